/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ttrpc's core: each promise of ttrpc.h, with frames of Kata's own client and server, at any cut.
 */
#include "agent-proto/ttrpc.h"

#include "base/error.h"

#include <errno.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define FRAME_MAX    ((size_t)TTRPC_HEADER_BYTES + TTRPC_DATA_MAX)
#define MINUTE_NSEC  (60 * UINT64_C(1000000000))
#define SMALL_MEMORY ((size_t)64 * 1024)
#define GARBAGE	     2000
#define CALLS	     3000

#define BYTES(s)	      ((struct ttrpc_bytes){ .data = (s), .size = sizeof(s) - 1 })
#define NO_BYTES	      ((struct ttrpc_bytes){ 0 })
#define REUSED		      "StreamID cannot be re-used and must increment"
#define TEST_ON(role_, name_) cmocka_unit_test_setup_teardown(name_, setup_##role_, teardown)

static struct ttrpc *subject(void **state)
{
	return *state;
}

static int setup_client(void **state)
{
	return ttrpc_new((struct ttrpc **)state, TTRPC_CLIENT);
}

static int setup_server(void **state)
{
	return ttrpc_new((struct ttrpc **)state, TTRPC_SERVER);
}

static int teardown(void **state)
{
	*state = ttrpc_free(*state);
	err_clear();
	return 0;
}

/* ---- bytes ---- */

static uint64_t random_state;

/* xorshift64*: the same everywhere for a seed. */
static uint64_t next_random(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * UINT64_C(2685821657736338717);
}

static size_t below(size_t n)
{
	return (size_t)(next_random() % n);
}

static void seed(void)
{
	const char *wanted = getenv("NETMON_SEED");
	uint64_t value = wanted ? strtoull(wanted, NULL, 10) : (uint64_t)time(NULL);

	print_message("NETMON_SEED=%llu repeats this\n", (unsigned long long)value);
	random_state = value * 2 + 1;
}

/* A frame by hand: what the core is not asked for. */
struct frame {
	uint8_t *bytes;
	size_t size;
};

static void frame_done(struct frame *f)
{
	free(f->bytes);
}

static void put_u32(uint8_t *at, size_t value)
{
	for (size_t i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static struct frame frame_of(unsigned int type, uint32_t stream, const void *data, size_t size)
{
	struct frame f = { .bytes = calloc(1, TTRPC_HEADER_BYTES + size),
			   .size = TTRPC_HEADER_BYTES + size };

	assert_non_null(f.bytes);
	put_u32(f.bytes, size);
	put_u32(f.bytes + 4, stream);
	f.bytes[8] = (uint8_t)type;
	if (data)
		memcpy(f.bytes + TTRPC_HEADER_BYTES, data, size);
	return f;
}

static uint8_t digit(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* "0a00 12": spaces are for the reader. */
static struct frame from_hex(const char *hex)
{
	struct frame f = { .bytes = malloc(strlen(hex) / 2 + 1) };

	assert_non_null(f.bytes);
	for (const char *at = hex; *at;) {
		if (*at == ' ') {
			at++;
			continue;
		}
		f.bytes[f.size++] = (uint8_t)(digit(at[0]) << 4 | digit(at[1]));
		at += 2;
	}
	return f;
}

/* As a driver does it: as much as the core has room for, then all events, by the caller. */
static size_t feed_some(struct ttrpc *t, const void *data, size_t size)
{
	size_t room = 0;
	void *at = ttrpc_input(t, &room);

	assert_non_null(at);
	assert_true(room >= 1);
	if (room > size)
		room = size;
	memcpy(at, data, room);
	ttrpc_input_done(t, room);
	return room;
}

/* Return: what ttrpc_next() said after the last bytes, or the first that was not 0. */
static int feed(struct ttrpc *t, const void *data, size_t size, struct ttrpc_event *ret)
{
	const uint8_t *at = data;
	int r = 0;

	while (size > 0 && r == 0) {
		size_t n = feed_some(t, at, size);

		at += n;
		size -= n;
		r = ttrpc_next(t, ret);
	}
	assert_true(size == 0 || r < 0);
	return r;
}

static int feed_frame(struct ttrpc *t, struct frame f, struct ttrpc_event *ret)
{
	int r = feed(t, f.bytes, f.size, ret);

	frame_done(&f);
	return r;
}

static int feed_hex(struct ttrpc *t, const char *hex, struct ttrpc_event *ret)
{
	return feed_frame(t, from_hex(hex), ret);
}

static void assert_quiet(struct ttrpc *t)
{
	struct ttrpc_event e;

	assert_int_equal(ttrpc_next(t, &e), 0);
}

/* What waits is exactly this, and is taken. */
static void assert_output(struct ttrpc *t, const char *hex)
{
	CLEANUP(frame_done) struct frame want = from_hex(hex);
	size_t size = 0;
	const void *data = ttrpc_output(t, &size);

	assert_int_equal(size, want.size);
	if (size > 0)
		assert_memory_equal(data, want.bytes, size);
	ttrpc_output_done(t, size);
}

static void drop_output(struct ttrpc *t)
{
	size_t size = 0;

	(void)ttrpc_output(t, &size);
	ttrpc_output_done(t, size);
}

/* The one answer that waits, read by a client of its own; it is taken. */
static void assert_refusal(struct ttrpc *t, uint32_t stream, enum ttrpc_code code, const char *text)
{
	CLEANUP(ttrpc_freep) struct ttrpc *client = NULL;
	struct ttrpc_event e;
	size_t size = 0;
	uint32_t id = 0;
	const uint8_t *data = ttrpc_output(t, &size);

	assert_true(size > TTRPC_HEADER_BYTES);
	assert_int_equal(ttrpc_new(&client, TTRPC_CLIENT), 0);
	/* The core makes odd ones only; here it is to read an even one too. */
	if (stream != 1)
		ttrpc_skip_streams(client, stream - 2);
	assert_int_equal(ttrpc_call(client, "s", "m", NO_BYTES, 0, &id), 0);
	assert_int_equal(id, stream);
	assert_int_equal(feed(client, data, size, &e), 1);
	assert_int_equal(e.code, code);
	assert_string_equal(e.message, text);
	ttrpc_output_done(t, size);
}

static uint32_t call(struct ttrpc *t)
{
	uint32_t stream = 0;

	assert_int_equal(ttrpc_call(t, "s", "m", NO_BYTES, 0, &stream), 0);
	return stream;
}

static void assert_payload(const struct ttrpc_event *e, const void *want, size_t size)
{
	assert_int_equal(e->payload.size, size);
	if (size > 0)
		assert_memory_equal(e->payload.data, want, size);
}

static size_t memory_in_use(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* ASan's allocator doesn't count for mallinfo2(). */
static bool can_measure_memory(void)
{
	size_t before = memory_in_use();
	void *volatile block = malloc(1 << 20);
	bool can = memory_in_use() >= before + (1 << 20);

	free(block);
	return can;
}

/* ---- Kata's own frames ---- */

#define CHECK_REQUEST                                                       \
	"0000001b 00000001 01 00 0a0b677270632e4865616c74681205436865636b " \
	"209ee699c2df01"
#define UPDATE_REQUEST                                                   \
	"0000007f 00000001 01 00 0a11677270632e4167656e7453657276696365" \
	"120f557064617465496e74657266616365 1a52" UPDATE_PAYLOAD "20c086ffc1df01"
#define UPDATE_PAYLOAD                                                        \
	"0a50 0a0465746830 120465746830 1a10120a3137322e31372e302e321a023136" \
	"1a130801120b323030313a6462383a3a321a02363420dc0b"                    \
	"2a1130323a34323a61633a31313a30303a3032320530322f3030"
#define NEIGHBORS_REQUEST                                                \
	"0000005b 00000001 01 00 0a11677270632e4167656e7453657276696365" \
	"120f4164644152504e65696768626f7273 1a2e" NEIGHBORS_PAYLOAD "20e18d81c2df01"
#define NEIGHBORS_PAYLOAD                                  \
	"0a2c0a2a0a0c120a3137322e31372e302e31120465746830" \
	"1a1130323a34323a30313a30323a30333a3034208001"
#define ROUTES_REQUEST                                                   \
	"00000069 00000001 01 00 0a11677270632e4167656e7453657276696365" \
	"120c557064617465526f75746573 1a3f" ROUTES_PAYLOAD "20ea9cfcc1df01"
#define ROUTES_PAYLOAD                                        \
	"0a3d 0a15120a3137322e31372e302e311a046574683040f80a" \
	"0a240a0d3137322e31372e302e302f31361a0465746830220a3137322e31372e302e3228fd01"

static const struct golden {
	const char *frame, *service, *method, *payload;
} goldens[] = {
	{ CHECK_REQUEST, "grpc.Health", "Check", "" },
	{ UPDATE_REQUEST, "grpc.AgentService", "UpdateInterface", UPDATE_PAYLOAD },
	{ ROUTES_REQUEST, "grpc.AgentService", "UpdateRoutes", ROUTES_PAYLOAD },
	{ NEIGHBORS_REQUEST, "grpc.AgentService", "AddARPNeighbors", NEIGHBORS_PAYLOAD },
};

/* Read by a server, and what it says written by a client: the same bytes. */
static void test_golden_requests_both_ways(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(goldens) / sizeof(goldens[0]); i++) {
		CLEANUP(ttrpc_freep) struct ttrpc *server = NULL, *client = NULL;
		CLEANUP(frame_done) struct frame payload = from_hex(goldens[i].payload);
		struct ttrpc_event e;
		uint32_t stream = 0;

		assert_int_equal(ttrpc_new(&server, TTRPC_SERVER), 0);
		assert_int_equal(ttrpc_new(&client, TTRPC_CLIENT), 0);
		assert_int_equal(feed_hex(server, goldens[i].frame, &e), 1);
		assert_int_equal(e.type, TTRPC_REQUEST);
		assert_int_equal(e.stream, 1);
		assert_string_equal(e.service, goldens[i].service);
		assert_string_equal(e.method, goldens[i].method);
		assert_payload(&e, payload.bytes, payload.size);
		/* "about 60 s" */
		assert_in_range(e.timeout_nsec, MINUTE_NSEC - MINUTE_NSEC / 60, MINUTE_NSEC);
		assert_int_equal(ttrpc_call(client, e.service, e.method, e.payload, e.timeout_nsec,
					    &stream),
				 0);
		assert_int_equal(stream, 1);
		assert_output(client, goldens[i].frame);
	}
}

/* Go says nothing about success, Rust an empty status. */
static void test_golden_answers_of_both_servers(void **state)
{
	static const char *const answers[] = { "00000004 00000001 02 00 12020801",
					       "00000006 00000001 02 00 0a00 12020801" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		CLEANUP(ttrpc_freep) struct ttrpc *client = NULL;
		struct ttrpc_event e;

		assert_int_equal(ttrpc_new(&client, TTRPC_CLIENT), 0);
		(void)call(client);
		assert_int_equal(feed_hex(client, answers[i], &e), 1);
		assert_int_equal(e.type, TTRPC_RESPONSE);
		assert_int_equal(e.stream, 1);
		assert_int_equal(e.code, TTRPC_OK);
		assert_string_equal(e.message, "");
		assert_payload(&e, "\x08\x01", 2);
	}
}

static void test_golden_empty_body_is_success(void **state)
{
	struct ttrpc_event e;

	(void)call(subject(state));
	assert_int_equal(feed_hex(subject(state), "00000000 00000001 02 00", &e), 1);
	assert_int_equal(e.code, TTRPC_OK);
	assert_payload(&e, "", 0);
}

static void test_empty_status_and_no_payload_is_success(void **state)
{
	struct ttrpc_event e;

	(void)call(subject(state));
	assert_int_equal(feed_hex(subject(state), "00000004 00000001 02 00 0a00 1200", &e), 1);
	assert_int_equal(e.code, TTRPC_OK);
	assert_payload(&e, "", 0);
}

#define BOOM "00000011 00000001 02 00 0a0f080d120b66697273743a20626f6f6d"

static void test_golden_error(void **state)
{
	struct ttrpc_event e;

	(void)call(subject(state));
	assert_int_equal(feed_hex(subject(state), BOOM, &e), 1);
	assert_int_equal(e.code, TTRPC_INTERNAL);
	assert_string_equal(e.message, "first: boom");
	assert_payload(&e, "", 0);
}

/* Ours are those of containerd's server. */
static void test_golden_answers_are_written(void **state)
{
	struct ttrpc *t = subject(state);
	struct ttrpc_event e;

	assert_int_equal(feed_hex(t, CHECK_REQUEST, &e), 1);
	assert_int_equal(ttrpc_answer(t, 1, BYTES("\x08\x01")), 0);
	assert_output(t, "00000004 00000001 02 00 12020801");
	assert_int_equal(feed_hex(t, "00000000 00000003 01 00", &e), 1);
	assert_int_equal(ttrpc_answer(t, 3, NO_BYTES), 0);
	assert_output(t, "00000000 00000003 02 00");
	assert_int_equal(feed_hex(t, "00000000 00000005 01 00", &e), 1);
	assert_int_equal(ttrpc_fail(t, 5, TTRPC_INTERNAL, "first: boom"), 0);
	assert_output(t, "00000011 00000005 02 00 0a0f080d120b66697273743a20626f6f6d");
}

/* ---- cuts ---- */

static void test_cut_at_every_byte(void **state)
{
	CLEANUP(frame_done) struct frame f = from_hex(UPDATE_REQUEST);

	(void)state;
	for (size_t cut = 1; cut < f.size; cut++) {
		CLEANUP(ttrpc_freep) struct ttrpc *t = NULL;
		struct ttrpc_event e;

		assert_int_equal(ttrpc_new(&t, TTRPC_SERVER), 0);
		assert_int_equal(feed(t, f.bytes, cut, &e), 0);
		assert_int_equal(feed(t, f.bytes + cut, f.size - cut, &e), 1);
		assert_string_equal(e.method, "UpdateInterface");
		assert_quiet(t);
	}
}

static void test_byte_by_byte(void **state)
{
	CLEANUP(frame_done) struct frame f = from_hex(UPDATE_REQUEST);
	struct ttrpc_event e = { 0 };

	for (size_t i = 0; i < f.size; i++)
		assert_int_equal(feed(subject(state), f.bytes + i, 1, &e), i + 1 == f.size);
	assert_string_equal(e.method, "UpdateInterface");
}

static void test_several_frames_in_one_read(void **state)
{
	CLEANUP(frame_done)
	struct frame f = from_hex("00000003 00000001 01 00 120161 00000003 00000003 01 00 120162"
				  "00000003 00000005 01 00 120163 0000");
	struct ttrpc *t = subject(state);
	struct ttrpc_event e;

	assert_int_equal(feed_some(t, f.bytes, f.size), f.size);
	for (uint32_t i = 0; i < 3; i++) {
		char want[] = { (char)('a' + i), '\0' };

		assert_int_equal(ttrpc_next(t, &e), 1);
		assert_int_equal(e.stream, 2 * i + 1);
		assert_string_equal(e.method, want);
	}
	assert_quiet(t);
}

static void test_half_a_frame_and_nothing(void **state)
{
	struct ttrpc_event e;

	assert_int_equal(feed_hex(subject(state), "00000008 00000001 01 00 0a06", &e), 0);
	assert_quiet(subject(state));
	assert_output(subject(state), "");
}

/* ---- client: which answer belongs to which call ---- */

static void test_streams_are_odd_and_increase(void **state)
{
	assert_int_equal(call(subject(state)), 1);
	assert_int_equal(call(subject(state)), 3);
	ttrpc_forget(subject(state), 3);
	assert_int_equal(call(subject(state)), 5);
}

static void test_last_stream_then_eoverflow(void **state)
{
	uint32_t stream = 0;

	ttrpc_skip_streams(subject(state), UINT32_MAX - 2);
	assert_int_equal(call(subject(state)), UINT32_MAX);
	drop_output(subject(state));
	assert_int_equal(ttrpc_call(subject(state), "s", "m", NO_BYTES, 0, &stream), -EOVERFLOW);
	assert_output(subject(state), "");
}

static void test_answers_out_of_order(void **state)
{
	struct ttrpc *t = subject(state);
	struct ttrpc_event e;

	for (int i = 0; i < 3; i++)
		(void)call(t);
	assert_int_equal(feed_hex(t, "00000003 00000005 02 00 120165", &e), 1);
	assert_int_equal(e.stream, 5);
	assert_payload(&e, "e", 1);
	assert_int_equal(feed_hex(t, "00000003 00000001 02 00 120161", &e), 1);
	assert_int_equal(e.stream, 1);
	assert_payload(&e, "a", 1);
	assert_int_equal(feed_hex(t, "00000003 00000003 02 00 120163", &e), 1);
	assert_int_equal(e.stream, 3);
	assert_payload(&e, "c", 1);
}

static void test_unknown_late_and_second_answers_are_dropped(void **state)
{
	struct ttrpc *t = subject(state);
	struct ttrpc_event e;

	(void)call(t);
	(void)call(t);
	ttrpc_forget(t, 1);
	assert_int_equal(feed_hex(t, "00000003 00000001 02 00 120161", &e), 0); /* late */
	assert_int_equal(feed_hex(t, "00000003 00000007 02 00 120161", &e), 0); /* never made */
	assert_int_equal(feed_hex(t, "00000001 00000007 02 00 ff", &e), 0);	/* nor decoded */
	assert_int_equal(feed_hex(t, "00000003 00000003 02 00 120161", &e), 1);
	assert_int_equal(feed_hex(t, "00000003 00000003 02 00 120161", &e), 0); /* again */
}

static void feed_unwanted(struct ttrpc *t, const char *hex, size_t n)
{
	CLEANUP(frame_done) struct frame f = from_hex(hex);
	struct ttrpc_event e;

	for (size_t i = 0; i < n; i++)
		assert_int_equal(feed(t, f.bytes, f.size, &e), 0);
}

/* Each is dropped without a word: nothing else would ever end it. */
static void test_unwanted_frames_have_a_limit(void **state)
{
	struct ttrpc *t = subject(state);
	struct ttrpc_event e;

	(void)call(t);
	feed_unwanted(t, "00000003 00000007 02 00 120161", TTRPC_UNWANTED_MAX);
	assert_int_equal(feed_hex(t, "00000003 00000001 02 00 120161", &e), 1);
	/* and from that one on again */
	feed_unwanted(t, "00000001 00000001 03 00 aa", TTRPC_UNWANTED_MAX);
	assert_int_equal(feed_hex(t, "00000003 00000001 02 00 120161", &e), -EPROTO);
	assert_int_equal(ttrpc_next(t, &e), -EPROTO);
}

static void test_unwanted_data_of_a_server_has_a_limit(void **state)
{
	struct ttrpc *t = subject(state);
	struct ttrpc_event e;

	assert_int_equal(feed_hex(t, "00000001 00000001 03 00 aa", &e), 0);
	feed_unwanted(t, "00000001 00000001 03 00 aa", TTRPC_UNWANTED_MAX);
	assert_int_equal(feed_hex(t, "00000001 00000001 03 00 aa", &e), -EPROTO);
}

/* Forgotten when half of its answer is there: the rest is no beginning of a frame. */
static void test_forgotten_within_its_answer(void **state)
{
	struct ttrpc *t = subject(state);
	struct ttrpc_event e;

	(void)call(t);
	(void)call(t);
	assert_int_equal(feed_hex(t, "00000005 00000001 02 00 1203", &e), 0);
	ttrpc_forget(t, 1);
	assert_quiet(t);
	assert_int_equal(feed_hex(t, "616263 00000003 00000003 02 00 120162", &e), 1);
	assert_int_equal(e.stream, 3);
	assert_payload(&e, "b", 1);
}

static void test_client_drops_data_frames(void **state)
{
	struct ttrpc_event e;

	(void)call(subject(state));
	assert_int_equal(feed_hex(subject(state), "00000001 00000001 03 01 aa", &e), 0);
	assert_int_equal(feed_hex(subject(state), "00000003 00000001 02 00 120161", &e), 1);
}

static void test_strange_codes_are_unknown(void **state)
{
	static const char *const answers[] = {
		"00000004 00000001 02 00 0a02 0811",		       /* 17 */
		"0000000d 00000001 02 00 0a0b 08ffffffffffffffffff01", /* -1 */
		"00000008 00000001 02 00 0a06 088080808010", /* 2^32: 0 when cut to 32 bits */
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		CLEANUP(ttrpc_freep) struct ttrpc *client = NULL;
		struct ttrpc_event e;

		assert_int_equal(ttrpc_new(&client, TTRPC_CLIENT), 0);
		(void)call(client);
		assert_int_equal(feed_hex(client, answers[i], &e), 1);
		assert_int_equal(e.code, TTRPC_UNKNOWN);
	}
}

static void test_code_names(void **state)
{
	(void)state;
	assert_string_equal(ttrpc_code_to_string(TTRPC_OK), "ok");
	assert_string_equal(ttrpc_code_to_string(TTRPC_UNAUTHENTICATED), "unauthenticated");
	assert_string_equal(ttrpc_code_to_string(_TTRPC_CODE_MAX), "unknown");
	for (unsigned int i = 0; i < _TTRPC_CODE_MAX; i++)
		assert_non_null(ttrpc_code_to_string((enum ttrpc_code)i));
}

static void test_long_message_is_cut(void **state)
{
	uint8_t data[6 + 2000] = { 0x0a, 0xd3, 0x0f, 0x12, 0xd0, 0x0f }; /* 2003, 2000 */
	struct ttrpc_event e;

	memset(data + 6, 'x', 2000);
	(void)call(subject(state));
	assert_int_equal(feed_frame(subject(state), frame_of(2, 1, data, sizeof(data)), &e), 1);
	assert_int_equal(strlen(e.message), 0); /* without a code it is no error */
	(void)call(subject(state));
	data[1] = 0xd5;
	memmove(data + 5, data + 3, sizeof(data) - 5);
	data[3] = 0x08;
	data[4] = 0x0d;
	data[6] = 0xce; /* 1998 */
	data[1] = 0xd3;
	assert_int_equal(feed_frame(subject(state), frame_of(2, 3, data, sizeof(data)), &e), 1);
	assert_int_equal(e.code, TTRPC_INTERNAL);
	assert_int_equal(strlen(e.message), TTRPC_MESSAGE_MAX);
}

static void test_message_ends_at_a_nul(void **state)
{
	struct ttrpc_event e;

	(void)call(subject(state));
	assert_int_equal(
		feed_hex(subject(state), "00000009 00000001 02 00 0a07080d1203 610062", &e), 1);
	assert_string_equal(e.message, "a");
}

static void test_unknown_fields_are_skipped(void **state)
{
	struct ttrpc_event e;

	(void)call(subject(state));
	/* a fixed64, a fixed32, a varint, a message and details of a status, then the payload */
	assert_int_equal(feed_hex(subject(state),
				  "00000020 00000001 02 00 31 0102030405060708 3d 01020304"
				  "38ffff03 4a0178 0a061a0478797a7a 120161",
				  &e),
			 1);
	assert_payload(&e, "a", 1);
}

/* ---- what is no ttrpc ---- */

static void assert_breaks(enum ttrpc_role role, const char *hex)
{
	CLEANUP(ttrpc_freep) struct ttrpc *t = NULL;
	struct ttrpc_event e;
	size_t size = 0;

	assert_int_equal(ttrpc_new(&t, role), 0);
	if (role == TTRPC_CLIENT)
		(void)call(t);
	assert_int_equal(feed_hex(t, hex, &e), -EPROTO);
	/* and after it nothing */
	assert_int_equal(ttrpc_next(t, &e), -EPROTO);
	assert_null(ttrpc_output(t, &size));
	assert_int_equal(size, 0);
	assert_null(ttrpc_input(t, &size));
}

static void test_breaks_the_connection(void **state)
{
	(void)state;
	/* by its header alone: type 0, 4; a client's response, a server's request */
	assert_breaks(TTRPC_SERVER, "00000001 00000001 00 00");
	assert_breaks(TTRPC_SERVER, "ffffffff 00000001 04 00");
	assert_breaks(TTRPC_SERVER, "00000001 00000001 02 00");
	assert_breaks(TTRPC_CLIENT, "00000001 00000001 01 00");
	assert_breaks(TTRPC_CLIENT, "00000001 00000001 04 00");
	/* "OK 1\n" of a hybrid vsock that was not taken off */
	assert_breaks(TTRPC_CLIENT, "4f4b20310a 000000040000000102");
	/* a response: longer than its frame, no end, wire type, group, field 0, inside of status */
	assert_breaks(TTRPC_CLIENT, "00000003 00000001 02 00 120261");
	assert_breaks(TTRPC_CLIENT, "00000001 00000001 02 00 12");
	assert_breaks(TTRPC_CLIENT, "0000000c 00000001 02 00 12 ffffffffffffffffffff01");
	assert_breaks(TTRPC_CLIENT, "00000002 00000001 02 00 1001");
	assert_breaks(TTRPC_CLIENT, "00000002 00000001 02 00 0801");
	assert_breaks(TTRPC_CLIENT, "00000001 00000001 02 00 13");
	assert_breaks(TTRPC_CLIENT, "00000002 00000001 02 00 0200");
	assert_breaks(TTRPC_CLIENT, "00000004 00000001 02 00 0a020a05");
	assert_breaks(TTRPC_CLIENT, "00000004 00000001 02 00 0a021001");
}

/* ---- server: refused, and the connection lives ---- */

static void assert_lives(struct ttrpc *t, uint32_t stream)
{
	struct ttrpc_event e;

	assert_int_equal(feed_frame(t, frame_of(1, stream, "\x12\x01m", 3), &e), 1);
	assert_int_equal(e.stream, stream);
	assert_string_equal(e.method, "m");
}

static void test_even_and_reused_streams(void **state)
{
	struct ttrpc *t = subject(state);
	struct ttrpc_event e;

	assert_lives(t, 5);
	assert_int_equal(feed_hex(t, "00000000 00000003 01 00", &e), 0);
	assert_refusal(t, 3, TTRPC_INVALID_ARGUMENT, REUSED);
	assert_int_equal(feed_hex(t, "00000000 00000008 01 00", &e), 0);
	assert_refusal(t, 8, TTRPC_INVALID_ARGUMENT, REUSED);
	assert_lives(t, 7);
	/* 5 is still open */
	assert_int_equal(ttrpc_answer(t, 5, NO_BYTES), 0);
	assert_output(t, "00000000 00000005 02 00");
}

static void test_data_is_answered_once_a_stream(void **state)
{
	struct ttrpc *t = subject(state);
	struct ttrpc_event e;

	assert_lives(t, 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(feed_hex(t, "00000001 00000001 03 00 aa", &e), 0);
	assert_refusal(t, 1, TTRPC_INVALID_ARGUMENT, "data for a call that takes none");
	/* that was its answer */
	assert_int_equal(ttrpc_answer(t, 1, NO_BYTES), 0);
	assert_output(t, "");
	for (int i = 0; i < 3; i++)
		assert_int_equal(feed_hex(t, "00000001 00000007 03 00 aa", &e), 0);
	assert_refusal(t, 7, TTRPC_INVALID_ARGUMENT, "data for a call that takes none");
	assert_lives(t, 9);
}

static void test_streaming_is_unimplemented(void **state)
{
	struct ttrpc_event e;

	assert_int_equal(feed_hex(subject(state), "00000000 00000001 01 02", &e), 0);
	assert_refusal(subject(state), 1, TTRPC_UNIMPLEMENTED, "streams are not supported");
	assert_int_equal(feed_hex(subject(state), "00000001 00000001 03 01 aa", &e), 0);
	assert_output(subject(state), "");
	assert_lives(subject(state), 3);
}

static void test_undecodable_requests(void **state)
{
	static const char *const requests[] = {
		"00000001 00000001 01 00 0a",	      /* no length */
		"00000002 00000001 01 00 0a05",	      /* longer than the frame */
		"00000005 00000001 01 00 0a03610062", /* a NUL in the service */
		"00000005 00000001 01 00 1203610062", /* in the method */
		"00000002 00000001 01 00 1801",	      /* the payload a number */
		"00000002 00000001 01 00 2200",	      /* the timeout bytes */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		CLEANUP(ttrpc_freep) struct ttrpc *t = NULL;
		struct ttrpc_event e;

		assert_int_equal(ttrpc_new(&t, TTRPC_SERVER), 0);
		assert_int_equal(feed_hex(t, requests[i], &e), 0);
		assert_refusal(t, 1, TTRPC_INVALID_ARGUMENT, "the request can't be decoded");
		assert_lives(t, 3);
	}
}

static int feed_name(struct ttrpc *t, uint32_t stream, uint8_t tag, size_t size,
		     struct ttrpc_event *ret)
{
	uint8_t data[3 + 512] = { tag, (uint8_t)(size | 0x80), (uint8_t)(size >> 7) };

	memset(data + 3, 'n', size);
	return feed_frame(t, frame_of(1, stream, data, 3 + size), ret);
}

#define OVER "a name or the metadata is over its limit"

static void test_limit_of_names(void **state)
{
	struct ttrpc *t = subject(state);
	struct ttrpc_event e;

	assert_int_equal(feed_name(t, 1, 0x0a, TTRPC_NAME_MAX, &e), 1);
	assert_int_equal(strlen(e.service), TTRPC_NAME_MAX);
	assert_int_equal(feed_name(t, 3, 0x12, TTRPC_NAME_MAX, &e), 1);
	assert_int_equal(strlen(e.method), TTRPC_NAME_MAX);
	assert_int_equal(feed_name(t, 5, 0x0a, TTRPC_NAME_MAX + 1, &e), 0);
	assert_refusal(t, 5, TTRPC_RESOURCE_EXHAUSTED, OVER);
	assert_int_equal(feed_name(t, 7, 0x12, TTRPC_NAME_MAX + 1, &e), 0);
	assert_refusal(t, 7, TTRPC_RESOURCE_EXHAUSTED, OVER);
	assert_lives(t, 9);
}

static void test_limit_of_metadata(void **state)
{
	uint8_t data[2 * (TTRPC_METADATA_MAX + 1)];
	struct ttrpc *t = subject(state);
	struct ttrpc_event e;

	for (size_t i = 0; i < sizeof(data); i += 2) {
		data[i] = 0x2a;
		data[i + 1] = 0;
	}
	assert_int_equal(feed_frame(t, frame_of(1, 1, data, sizeof(data) - 2), &e), 1);
	assert_int_equal(feed_frame(t, frame_of(1, 3, data, sizeof(data)), &e), 0);
	assert_refusal(t, 3, TTRPC_RESOURCE_EXHAUSTED, OVER);
}

static void test_limit_of_calls_on_a_server(void **state)
{
	struct ttrpc *t = subject(state);
	struct ttrpc_event e;
	uint32_t stream = 1;

	for (unsigned int i = 0; i < TTRPC_CALLS_MAX; i++, stream += 2)
		assert_lives(t, stream);
	assert_int_equal(feed_frame(t, frame_of(1, stream, NULL, 0), &e), 0);
	assert_refusal(t, stream, TTRPC_RESOURCE_EXHAUSTED, "too many calls are in flight");
	assert_int_equal(ttrpc_answer(t, 1, NO_BYTES), 0);
	assert_lives(t, stream + 2);
}

static void test_limit_of_calls_on_a_client(void **state)
{
	struct ttrpc *t = subject(state);
	uint32_t stream = 0;

	for (unsigned int i = 0; i < TTRPC_CALLS_MAX; i++)
		(void)call(t);
	drop_output(t);
	assert_int_equal(ttrpc_call(t, "s", "m", NO_BYTES, 0, &stream), -EBUSY);
	assert_output(t, "");
	ttrpc_forget(t, 1);
	assert_int_equal(call(t), 2 * TTRPC_CALLS_MAX + 1);
}

static void test_answer_to_a_stream_that_is_not_open(void **state)
{
	struct ttrpc *t = subject(state);

	assert_int_equal(ttrpc_answer(t, 1, NO_BYTES), 0);
	assert_lives(t, 1);
	assert_int_equal(ttrpc_answer(t, 1, NO_BYTES), 0);
	drop_output(t);
	assert_int_equal(ttrpc_answer(t, 1, NO_BYTES), 0);
	assert_int_equal(ttrpc_fail(t, 1, TTRPC_INTERNAL, "twice"), 0);
	assert_output(t, "");
}

static void test_failure_is_no_success_and_utf8(void **state)
{
	struct ttrpc *t = subject(state);

	assert_lives(t, 1);
	assert_int_equal(ttrpc_fail(t, 1, TTRPC_OK, "a\xff\xc3"), 0);
	assert_refusal(t, 1, TTRPC_UNKNOWN, "a??");
}

/* ---- timeouts ---- */

static uint64_t timeout_of(const char *hex)
{
	CLEANUP(ttrpc_freep) struct ttrpc *t = NULL;
	struct ttrpc_event e;

	assert_int_equal(ttrpc_new(&t, TTRPC_SERVER), 0);
	assert_int_equal(feed_hex(t, hex, &e), 1);
	return e.timeout_nsec;
}

static void test_timeout_is_read(void **state)
{
	(void)state;
	assert_int_equal(timeout_of("00000000 00000001 01 00"), 0);
	assert_int_equal(timeout_of("00000002 00000001 01 00 2000"), 0);
	assert_int_equal(timeout_of("00000002 00000001 01 00 2005"), 5);
	/* -1, INT64_MIN: passed before it came, and not "none" */
	assert_int_equal(timeout_of("0000000b 00000001 01 00 20ffffffffffffffffff01"), 1);
	assert_int_equal(timeout_of("0000000b 00000001 01 00 2080808080808080808001"), 1);
	assert_int_equal(timeout_of("0000000a 00000001 01 00 20ffffffffffffffff7f"), INT64_MAX);
}

static void test_timeout_is_written(void **state)
{
	struct ttrpc *t = subject(state);
	uint32_t stream = 0;

	assert_int_equal(ttrpc_call(t, "s", "m", NO_BYTES, 5, &stream), 0);
	assert_output(t, "00000008 00000001 01 00 0a0173 12016d 2005");
	/* more than an int64 has is as long as can be, and not negative */
	assert_int_equal(ttrpc_call(t, "s", "m", NO_BYTES, UINT64_MAX, &stream), 0);
	assert_output(t, "00000010 00000003 01 00 0a0173 12016d 20ffffffffffffffff7f");
}

/* ---- the limit of a frame, and memory ---- */

/* A payload that makes the data exactly @size long. */
static struct frame big_frame(unsigned int type, uint32_t stream, size_t size)
{
	struct frame f = frame_of(type, stream, NULL, size);
	uint8_t *at = f.bytes + TTRPC_HEADER_BYTES;
	size_t payload = size - 5;

	*at++ = type == 1 ? 0x1a : 0x12;
	for (int i = 0; i < 3; i++, payload >>= 7)
		*at++ = (uint8_t)(payload | 0x80);
	*at = (uint8_t)payload;
	return f;
}

static void test_request_of_the_limit_passes(void **state)
{
	struct ttrpc_event e;

	assert_int_equal(feed_frame(subject(state), big_frame(1, 1, TTRPC_DATA_MAX), &e), 1);
	assert_int_equal(e.payload.size, TTRPC_DATA_MAX - 5);
	assert_lives(subject(state), 3);
}

static void test_request_over_the_limit_is_skipped(void **state)
{
	struct ttrpc_event e;
	size_t before = memory_in_use();
	bool can_measure = can_measure_memory();
	struct frame f = big_frame(1, 1, TTRPC_DATA_MAX + 1);
	size_t with_frame = memory_in_use();

	assert_int_equal(feed(subject(state), f.bytes, f.size - 1, &e), 0);
	if (can_measure)
		assert_true(memory_in_use() < with_frame + SMALL_MEMORY);
	assert_int_equal(feed(subject(state), f.bytes + f.size - 1, 1, &e), 0);
	frame_done(&f);
	assert_refusal(subject(state), 1, TTRPC_RESOURCE_EXHAUSTED,
		       "the request is over 4194304 bytes");
	assert_lives(subject(state), 3);
	if (can_measure)
		assert_true(memory_in_use() < before + SMALL_MEMORY);
}

static void test_answer_over_the_limit_is_an_event(void **state)
{
	struct ttrpc *t = subject(state);
	CLEANUP(frame_done) struct frame f = big_frame(2, 1, TTRPC_DATA_MAX + 1);
	struct ttrpc_event e;

	(void)call(t);
	(void)call(t);
	assert_int_equal(feed(t, f.bytes, TTRPC_HEADER_BYTES, &e), 1);
	assert_int_equal(e.stream, 1);
	assert_int_equal(e.code, TTRPC_RESOURCE_EXHAUSTED);
	assert_payload(&e, "", 0);
	assert_int_equal(feed(t, f.bytes + TTRPC_HEADER_BYTES, f.size - TTRPC_HEADER_BYTES, &e), 0);
	assert_int_equal(feed_frame(t, big_frame(2, 3, TTRPC_DATA_MAX), &e), 1);
	assert_int_equal(e.payload.size, TTRPC_DATA_MAX - 5);
}

/* Names "s" and "m" take 6 bytes, the payload's tag and length 5. */
static void test_call_over_the_limit_is_not_sent(void **state)
{
	struct ttrpc *t = subject(state);
	struct ttrpc_bytes payload = { .data = calloc(1, TTRPC_DATA_MAX),
				       .size = TTRPC_DATA_MAX - 10 };
	char name[TTRPC_NAME_MAX + 2] = { 0 };
	uint32_t stream = 0;
	size_t size = 0;

	memset(name, 'n', TTRPC_NAME_MAX + 1);
	assert_non_null(payload.data);
	assert_int_equal(ttrpc_call(t, "s", "m", payload, 0, &stream), -EMSGSIZE);
	assert_int_equal(ttrpc_call(t, name, "m", NO_BYTES, 0, &stream), -EMSGSIZE);
	assert_int_equal(ttrpc_call(t, "s", name, NO_BYTES, 0, &stream), -EMSGSIZE);
	assert_output(t, "");
	payload.size--;
	assert_int_equal(ttrpc_call(t, "s", "m", payload, 0, &stream), 0);
	assert_int_equal(stream, 1);
	(void)ttrpc_output(t, &size);
	assert_int_equal(size, FRAME_MAX);
	/* a second one fits, and no third */
	assert_int_equal(ttrpc_call(t, "s", "m", payload, 0, &stream), 0);
	assert_int_equal(ttrpc_call(t, "s", "m", NO_BYTES, 0, &stream), -EBUSY);
	free((void *)(uintptr_t)payload.data);
}

static void test_own_answer_over_the_limit(void **state)
{
	struct ttrpc *t = subject(state);
	struct ttrpc_bytes payload = { .data = calloc(1, TTRPC_DATA_MAX),
				       .size = TTRPC_DATA_MAX - 4 };

	assert_non_null(payload.data);
	assert_lives(t, 1);
	assert_int_equal(ttrpc_answer(t, 1, payload), -EMSGSIZE);
	assert_refusal(t, 1, TTRPC_RESOURCE_EXHAUSTED, TTRPC_ANSWER_TOO_LONG);
	assert_lives(t, 3);
	payload.size--;
	assert_int_equal(ttrpc_answer(t, 3, payload), 0);
	free((void *)(uintptr_t)payload.data);
}

static void test_peer_that_does_not_read(void **state)
{
	struct ttrpc *t = subject(state);
	struct ttrpc_bytes payload = { .data = calloc(1, TTRPC_DATA_MAX),
				       .size = TTRPC_DATA_MAX - 5 };
	struct ttrpc_event e;

	assert_non_null(payload.data);
	for (uint32_t stream = 1; stream <= 5; stream += 2)
		assert_lives(t, stream);
	assert_int_equal(ttrpc_answer(t, 1, payload), 0);
	assert_int_equal(ttrpc_answer(t, 3, payload), 0);
	assert_int_equal(ttrpc_answer(t, 5, NO_BYTES), -ENOBUFS);
	assert_int_equal(ttrpc_next(t, &e), -EMSGSIZE);
	assert_int_equal(ttrpc_next(t, &e), -EMSGSIZE);
	free((void *)(uintptr_t)payload.data);
}

/* It sends and sends, what is refused each time, and reads nothing. */
static void test_refusals_are_bounded_too(void **state)
{
	struct ttrpc *t = subject(state);
	CLEANUP(frame_done) struct frame f = from_hex("00000000 00000002 01 00");
	struct ttrpc_event e;
	size_t size = 0;
	int r = 0;

	while (r == 0) {
		(void)ttrpc_output(t, &size);
		assert_true(size <= TTRPC_OUTPUT_MAX);
		r = feed(t, f.bytes, f.size, &e);
	}
	assert_int_equal(r, -EMSGSIZE);
}

/* 4 MiB are announced, and a byte comes. */
static void test_memory_follows_bytes(void **state)
{
	size_t before = memory_in_use();
	struct ttrpc_event e;
	size_t room = 0;

	assert_int_equal(feed_hex(subject(state), "00400000 00000001 01 00 1a", &e), 0);
	assert_non_null(ttrpc_input(subject(state), &room));
	assert_true(room < SMALL_MEMORY);
	if (can_measure_memory())
		assert_true(memory_in_use() < before + SMALL_MEMORY);
}

static void test_idle_has_no_memory_of_a_large_frame(void **state)
{
	struct ttrpc *t = subject(state);
	size_t before = memory_in_use();
	struct ttrpc_event e;

	assert_int_equal(feed_frame(t, big_frame(1, 1, TTRPC_DATA_MAX), &e), 1);
	assert_int_equal(ttrpc_answer(t, 1, e.payload), 0);
	assert_quiet(t);
	drop_output(t);
	if (can_measure_memory())
		assert_true(memory_in_use() < before + SMALL_MEMORY);
}

/* ---- random ---- */

static void feed_garbage(enum ttrpc_role role)
{
	CLEANUP(ttrpc_freep) struct ttrpc *t = NULL;
	uint8_t bytes[300];
	struct ttrpc_event e;
	int r = 0;

	assert_int_equal(ttrpc_new(&t, role), 0);
	if (role == TTRPC_CLIENT)
		(void)call(t);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(next_random() >> 32);
	/* Most rounds begin as a frame does, so that they come to its inside. */
	if (below(4) > 0) {
		put_u32(bytes, below(sizeof(bytes)));
		put_u32(bytes + 4, 1);
		bytes[8] = role == TTRPC_CLIENT ? 2 : 1;
	}
	for (size_t at = 0; at < sizeof(bytes) && r >= 0;) {
		at += feed_some(t, bytes + at, 1 + below(sizeof(bytes) - at));
		while ((r = ttrpc_next(t, &e)) > 0)
			assert_true(memchr(e.message, '\0', TTRPC_MESSAGE_MAX + 1) != NULL);
	}
	assert_true(r == 0 || r == -EPROTO);
}

static void test_garbage(void **state)
{
	(void)state;
	seed();
	for (unsigned int i = 0; i < GARBAGE; i++)
		feed_garbage(i % 2 ? TTRPC_CLIENT : TTRPC_SERVER);
}

/* Two cores and a pipe between them that cuts anywhere. */
struct pair {
	struct ttrpc *client, *server;
	uint64_t wanted[2 * CALLS + 2];	 /* by stream: what was asked; 0: no answer is awaited */
	uint64_t asked[TTRPC_CALLS_MAX]; /* at the server, not answered */
	uint32_t streams[TTRPC_CALLS_MAX];
	size_t n_asked, n_called, n_done, n_in_flight;
};

static void pair_done(struct pair *p)
{
	(void)ttrpc_free(p->client);
	(void)ttrpc_free(p->server);
}

/* A number, and behind it that many bytes modulo something, so that sizes differ. */
static struct ttrpc_bytes payload_of(uint64_t value, uint8_t *buffer)
{
	size_t size = sizeof(value) + (value % 97 == 0 ? 20000 : value % 50);

	memset(buffer, (int)(value & 0xff), size);
	memcpy(buffer, &value, sizeof(value));
	return (struct ttrpc_bytes){ .data = buffer, .size = size };
}

static uint64_t value_of(struct ttrpc_bytes payload)
{
	uint8_t buffer[20000 + sizeof(uint64_t)];
	uint64_t value = 0;
	struct ttrpc_bytes want;

	assert_true(payload.size >= sizeof(value));
	memcpy(&value, payload.data, sizeof(value));
	want = payload_of(value, buffer);
	assert_int_equal(payload.size, want.size);
	assert_memory_equal(payload.data, want.data, want.size);
	return value;
}

static void some_bytes_over(struct ttrpc *from, struct ttrpc *to)
{
	size_t size = 0;
	const void *data = ttrpc_output(from, &size);

	if (size > 0)
		ttrpc_output_done(from,
				  feed_some(to, data, 1 + below(size < 99 ? size : 9000) % size));
}

static void pair_call(struct pair *p)
{
	uint8_t buffer[20000 + sizeof(uint64_t)];
	uint64_t value = next_random() | 1;
	uint32_t stream = 0;
	int r;

	if (p->n_called == CALLS)
		return;
	r = ttrpc_call(p->client, "s", "m", payload_of(value, buffer), 0, &stream);
	if (r == -EBUSY) {
		assert_int_equal(p->n_in_flight, TTRPC_CALLS_MAX);
		return;
	}
	assert_int_equal(r, 0);
	p->wanted[stream] = value;
	p->n_called++;
	p->n_in_flight++;
}

static void pair_receive_requests(struct pair *p)
{
	struct ttrpc_event e;
	int r;

	some_bytes_over(p->client, p->server);
	while ((r = ttrpc_next(p->server, &e)) > 0) {
		p->asked[p->n_asked] = value_of(e.payload);
		p->streams[p->n_asked++] = e.stream;
	}
	assert_int_equal(r, 0);
}

/* Any of them, with what was asked and one more; or as a failure. */
static void pair_answer(struct pair *p)
{
	uint8_t buffer[20000 + sizeof(uint64_t)];
	size_t i;

	if (p->n_asked == 0)
		return;
	i = below(p->n_asked);
	if (p->asked[i] % 5 == 0)
		assert_int_equal(ttrpc_fail(p->server, p->streams[i], TTRPC_INTERNAL, "five"), 0);
	else
		assert_int_equal(ttrpc_answer(p->server, p->streams[i],
					      payload_of(p->asked[i] + 1, buffer)),
				 0);
	p->asked[i] = p->asked[--p->n_asked];
	p->streams[i] = p->streams[p->n_asked];
}

static void pair_receive_answers(struct pair *p)
{
	struct ttrpc_event e;
	int r;

	some_bytes_over(p->server, p->client);
	while ((r = ttrpc_next(p->client, &e)) > 0) {
		uint64_t wanted = p->wanted[e.stream];

		assert_int_not_equal(wanted, 0);
		p->wanted[e.stream] = 0;
		if (wanted % 5 == 0)
			assert_int_equal(e.code, TTRPC_INTERNAL);
		else
			assert_int_equal(value_of(e.payload), wanted + 1);
		p->n_done++;
		p->n_in_flight--;
	}
	assert_int_equal(r, 0);
}

static void test_each_call_gets_its_answer(void **state)
{
	static void (*const steps[])(struct pair *) = { pair_call, pair_receive_requests,
							pair_answer, pair_receive_answers };
	CLEANUP(pair_done) struct pair p = { 0 };

	(void)state;
	seed();
	assert_int_equal(ttrpc_new(&p.client, TTRPC_CLIENT), 0);
	assert_int_equal(ttrpc_new(&p.server, TTRPC_SERVER), 0);
	while (p.n_done < CALLS)
		steps[below(4)](&p);
	assert_int_equal(p.n_in_flight, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden_requests_both_ways),
		cmocka_unit_test(test_golden_answers_of_both_servers),
		TEST_ON(client, test_golden_empty_body_is_success),
		TEST_ON(client, test_empty_status_and_no_payload_is_success),
		TEST_ON(client, test_golden_error),
		TEST_ON(server, test_golden_answers_are_written),
		cmocka_unit_test(test_cut_at_every_byte),
		TEST_ON(server, test_byte_by_byte),
		TEST_ON(server, test_several_frames_in_one_read),
		TEST_ON(server, test_half_a_frame_and_nothing),
		TEST_ON(client, test_streams_are_odd_and_increase),
		TEST_ON(client, test_last_stream_then_eoverflow),
		TEST_ON(client, test_answers_out_of_order),
		TEST_ON(client, test_unknown_late_and_second_answers_are_dropped),
		TEST_ON(client, test_unwanted_frames_have_a_limit),
		TEST_ON(server, test_unwanted_data_of_a_server_has_a_limit),
		TEST_ON(client, test_forgotten_within_its_answer),
		TEST_ON(client, test_client_drops_data_frames),
		cmocka_unit_test(test_strange_codes_are_unknown),
		cmocka_unit_test(test_code_names),
		TEST_ON(client, test_long_message_is_cut),
		TEST_ON(client, test_message_ends_at_a_nul),
		TEST_ON(client, test_unknown_fields_are_skipped),
		cmocka_unit_test(test_breaks_the_connection),
		TEST_ON(server, test_even_and_reused_streams),
		TEST_ON(server, test_data_is_answered_once_a_stream),
		TEST_ON(server, test_streaming_is_unimplemented),
		cmocka_unit_test(test_undecodable_requests),
		TEST_ON(server, test_limit_of_names),
		TEST_ON(server, test_limit_of_metadata),
		TEST_ON(server, test_limit_of_calls_on_a_server),
		TEST_ON(client, test_limit_of_calls_on_a_client),
		TEST_ON(server, test_answer_to_a_stream_that_is_not_open),
		TEST_ON(server, test_failure_is_no_success_and_utf8),
		cmocka_unit_test(test_timeout_is_read),
		TEST_ON(client, test_timeout_is_written),
		TEST_ON(server, test_request_of_the_limit_passes),
		TEST_ON(server, test_request_over_the_limit_is_skipped),
		TEST_ON(client, test_answer_over_the_limit_is_an_event),
		TEST_ON(client, test_call_over_the_limit_is_not_sent),
		TEST_ON(server, test_own_answer_over_the_limit),
		TEST_ON(server, test_peer_that_does_not_read),
		TEST_ON(server, test_refusals_are_bounded_too),
		TEST_ON(server, test_memory_follows_bytes),
		TEST_ON(server, test_idle_has_no_memory_of_a_large_frame),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_each_call_gets_its_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
