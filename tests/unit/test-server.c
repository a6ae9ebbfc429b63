/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server in a loop of its own, its peers written by hand: each byte of them is the test's.
 */
#include "agent-proto/server.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "tests/unit/wire.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define HELD_MAX 1024
#define MSEC	 CLOCK_USEC_PER_MSEC

struct fixture {
	struct wire wire;
	struct server *server;
	size_t n_requests;
	/* requests of method "hold" */
	struct server_connection *connections[HELD_MAX];
	uint32_t streams[HELD_MAX];
	uint64_t timeouts[HELD_MAX];
	size_t n_held;
	/* who was told closed() */
	struct server_connection *closed[HELD_MAX];
	size_t n_closed;
	char *big; /* answered to "big" */
	size_t n_big;
};

static void hold(struct fixture *f, const struct server_request *request)
{
	assert_true(f->n_held < HELD_MAX);
	f->connections[f->n_held] = request->connection;
	f->streams[f->n_held] = request->stream;
	f->timeouts[f->n_held++] = request->timeout_nsec;
}

static void on_request(void *userdata, const struct server_request *request)
{
	struct fixture *f = userdata;
	struct server_connection *c = request->connection;

	f->n_requests++;
	assert_string_equal(request->service, "s");
	if (strcmp(request->method, "echo") == 0)
		(void)server_answer(c, request->stream, request->payload);
	else if (strcmp(request->method, "big") == 0)
		(void)server_answer(c, request->stream, (struct ttrpc_bytes){ f->big, f->n_big });
	else if (strcmp(request->method, "close") == 0)
		server_close(c);
	else
		hold(f, request);
}

static void on_closed(void *userdata, struct server_connection *c)
{
	struct fixture *f = userdata;

	/* too late, and no harm done */
	assert_int_equal(server_answer(c, 1, (struct ttrpc_bytes){ "x", 1 }), 0);
	f->closed[f->n_closed++] = c;
}

static void serve(struct fixture *f)
{
	struct server_config config = {
		.request = on_request,
		.closed = on_closed,
		.userdata = f,
	};
	int listener = wire_listen(&f->wire, "server");

	config.fd = dup(listener);
	assert_true(config.fd >= 0);
	wire_close(&f->wire, listener);
	assert_int_equal(server_new(&f->server, f->wire.event, &config), 0);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || wire_init(&f->wire, "server") < 0)
		return -1;
	serve(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int r;

	server_free(f->server);
	r = wire_done(&f->wire);
	free(f->big);
	free(f);
	return r;
}

static void ask(struct fixture *f, int peer, uint32_t stream, const char *method,
		const char *payload)
{
	uint8_t frame[WIRE_FRAME_MAX];

	wire_write(&f->wire, peer, frame, wire_request(frame, stream, method, payload));
}

static void assert_answer(struct fixture *f, int peer, uint32_t stream)
{
	assert_int_equal(wire_read_frame(&f->wire, peer), stream);
}

static void assert_served(struct fixture *f, int peer, uint32_t stream)
{
	ask(f, peer, stream, "echo", "ping");
	assert_answer(f, peer, stream);
}

/* ---- requests and answers ---- */

static void test_a_request_is_answered_byte_for_byte(void **state)
{
	static const uint8_t request[] = {
		0,   0,	   0, 0x0d, 0,	 0,   0,   1,	 1, 0,	 0x0a, 1,
		's', 0x12, 4, 'e',  'c', 'h', 'o', 0x1a, 2, 'h', 'i',
	};
	/* status may be left out, or be there and empty */
	static const uint8_t go[] = { 0, 0, 0, 4, 0, 0, 0, 1, 2, 0, 0x12, 2, 'h', 'i' };
	static const uint8_t rust[] = { 0, 0, 0, 6, 0, 0, 0, 1, 2, 0, 0x0a, 0, 0x12, 2, 'h', 'i' };
	struct fixture *f = *state;
	int peer = wire_connect(&f->wire, "server");
	uint8_t answer[16];

	wire_write(&f->wire, peer, request, sizeof(request));
	wire_read(&f->wire, peer, answer, sizeof(go));
	if (memcmp(answer, go, sizeof(go)) != 0) {
		wire_read(&f->wire, peer, answer + sizeof(go), sizeof(rust) - sizeof(go));
		assert_memory_equal(answer, rust, sizeof(rust));
	}
	assert_false(wire_has_input(peer));
}

static void test_answers_may_come_later_and_in_any_order(void **state)
{
	struct fixture *f = *state;
	int peer = wire_connect(&f->wire, "server");

	for (uint32_t i = 0; i < 3; i++)
		ask(f, peer, 2 * i + 1, "hold", "");
	WIRE_UNTIL(&f->wire, f->n_held == 3);
	assert_served(f, peer, 7);
	for (size_t i = 3; i-- > 0;) {
		assert_int_equal(server_answer(f->connections[i], f->streams[i],
					       (struct ttrpc_bytes){ "x", 1 }),
				 0);
		assert_answer(f, peer, f->streams[i]);
	}
	/* answered is answered */
	assert_int_equal(server_answer(f->connections[0], 1, (struct ttrpc_bytes){ "x", 1 }), 0);
	assert_int_equal(server_fail(f->connections[0], 9, TTRPC_INTERNAL, "never asked"), 0);
	assert_served(f, peer, 9);
}

static void test_many_requests_at_once_are_all_answered(void **state)
{
	struct fixture *f = *state;
	int peer = wire_connect(&f->wire, "server");
	uint8_t frames[50 * WIRE_FRAME_MAX];
	size_t n = 0;

	for (uint32_t i = 0; i < 50; i++)
		n += wire_request(frames + n, 2 * i + 1, "echo", "payload");
	wire_write(&f->wire, peer, frames, n);
	for (uint32_t i = 0; i < 50; i++)
		assert_answer(f, peer, 2 * i + 1);
	assert_int_equal(f->n_requests, 50);
}

static void test_a_frame_may_come_byte_by_byte(void **state)
{
	struct fixture *f = *state;
	int peer = wire_connect(&f->wire, "server");
	uint8_t frame[WIRE_FRAME_MAX];
	size_t n = wire_request(frame, 1, "echo", "slow");

	for (size_t i = 0; i < n; i++) {
		assert_int_equal(f->n_requests, 0);
		wire_write(&f->wire, peer, frame + i, 1);
		wire_run(&f->wire, 100);
	}
	assert_answer(f, peer, 1);
}

/* ---- the end of a connection ---- */

static void test_the_end_of_a_connection_is_told_once(void **state)
{
	struct fixture *f = *state;
	int peer = wire_connect(&f->wire, "server"), other = wire_connect(&f->wire, "server");

	ask(f, peer, 1, "hold", "");
	assert_served(f, other, 1);
	WIRE_UNTIL(&f->wire, f->n_held == 1);
	assert_int_equal(server_connections(f->server), 2);
	wire_close(&f->wire, peer);
	WIRE_UNTIL(&f->wire, f->n_closed == 1);
	assert_ptr_equal(f->closed[0], f->connections[0]);
	assert_int_equal(server_connections(f->server), 1);
	wire_run(&f->wire, 5 * MSEC);
	assert_int_equal(f->n_closed, 1);
	assert_served(f, other, 3);
}

/* The peer has gone, and nobody has been told yet: the answer goes nowhere. */
static void test_an_answer_to_who_is_gone_is_harmless(void **state)
{
	struct fixture *f = *state;
	int peer = wire_connect(&f->wire, "server");

	ask(f, peer, 1, "hold", "");
	ask(f, peer, 3, "hold", "");
	WIRE_UNTIL(&f->wire, f->n_held == 2);
	wire_close(&f->wire, peer);
	for (int i = 0; i < 2; i++)
		assert_int_equal(server_answer(f->connections[i], f->streams[i],
					       (struct ttrpc_bytes){ "x", 1 }),
				 0);
	assert_int_equal(f->n_closed, 0);
	WIRE_UNTIL(&f->wire, f->n_closed == 1);
	assert_int_equal(server_connections(f->server), 0);
}

static void test_a_connection_may_be_closed_by_us(void **state)
{
	struct fixture *f = *state;
	int peer = wire_connect(&f->wire, "server");

	ask(f, peer, 1, "hold", "");
	WIRE_UNTIL(&f->wire, f->n_held == 1);
	server_close(f->connections[0]);
	server_close(f->connections[0]);
	assert_int_equal(server_fail(f->connections[0], f->streams[0], TTRPC_UNAVAILABLE, "closed"),
			 0);
	assert_int_equal(f->n_closed, 0);
	wire_assert_end(&f->wire, peer);
	WIRE_UNTIL(&f->wire, f->n_closed == 1);
	assert_served(f, wire_connect(&f->wire, "server"), 1);
}

static void test_a_connection_may_be_closed_within_its_request(void **state)
{
	struct fixture *f = *state;
	int peer = wire_connect(&f->wire, "server");
	uint8_t frames[2 * WIRE_FRAME_MAX];
	size_t n = wire_request(frames, 1, "close", "");

	n += wire_request(frames + n, 3, "echo", "never served");
	wire_write(&f->wire, peer, frames, n);
	wire_assert_end(&f->wire, peer);
	WIRE_UNTIL(&f->wire, f->n_closed == 1);
	assert_int_equal(f->n_requests, 1);
}

static void test_freed_it_closes_all_and_tells_nobody(void **state)
{
	struct fixture *f = *state;
	int peers[3];

	for (int i = 0; i < 3; i++) {
		peers[i] = wire_connect(&f->wire, "server");
		assert_served(f, peers[i], 1);
	}
	ask(f, peers[0], 3, "hold", "");
	WIRE_UNTIL(&f->wire, f->n_held == 1);
	server_close(f->connections[0]);
	f->server = server_free(f->server);
	for (int i = 0; i < 3; i++)
		wire_assert_end(&f->wire, peers[i]);
	assert_int_equal(f->n_closed, 0);
}

/* ---- limits ---- */

static void test_one_more_connection_waits_in_the_backlog(void **state)
{
	struct fixture *f = *state;
	int peers[SERVER_CONNECTIONS_MAX], late;

	for (size_t i = 0; i < SERVER_CONNECTIONS_MAX; i++) {
		peers[i] = wire_connect(&f->wire, "server");
		assert_served(f, peers[i], 1);
	}
	late = wire_connect(&f->wire, "server");
	ask(f, late, 1, "echo", "late");
	/* it waits, and the loop does not turn for it */
	wire_run(&f->wire, MSEC);
	wire_assert_quiet(&f->wire, 20 * MSEC);
	assert_false(wire_has_input(late));
	assert_int_equal(server_connections(f->server), SERVER_CONNECTIONS_MAX);
	assert_served(f, peers[7], 3);
	wire_close(&f->wire, peers[7]);
	assert_answer(f, late, 1);
	assert_int_equal(server_connections(f->server), SERVER_CONNECTIONS_MAX);
}

/* Who asks and does not read costs a bounded amount, and then its connection. */
static void test_a_slow_reader_costs_its_connection_only(void **state)
{
	struct fixture *f = *state;
	int slow = wire_connect(&f->wire, "server"), other = wire_connect(&f->wire, "server");
	uint32_t n = 0;

	f->n_big = 1U << 20;
	f->big = calloc(1, f->n_big);
	assert_non_null(f->big);
	for (; f->n_closed == 0 && n < 64; n++) {
		uint8_t frame[WIRE_FRAME_MAX];
		size_t size = wire_request(frame, 2 * n + 1, "big", "");

		if (send(slow, frame, size, MSG_NOSIGNAL) < 0)
			break;
		wire_run(&f->wire, MSEC);
		assert_served(f, other, 2 * n + 1);
	}
	WIRE_UNTIL(&f->wire, f->n_closed == 1);
	/* several answers may wait before that: up to TTRPC_OUTPUT_MAX of them */
	assert_true(n > TTRPC_OUTPUT_MAX / f->n_big - 1);
	assert_served(f, other, 1001);
	assert_int_equal(server_connections(f->server), 1);
}

/* The same for answers that are given later, when no more requests come. */
static void test_late_answers_to_a_slow_reader_cost_its_connection(void **state)
{
	struct fixture *f = *state;
	int slow = wire_connect(&f->wire, "server");
	size_t n = 0;

	f->n_big = 1U << 20;
	f->big = calloc(1, f->n_big);
	for (uint32_t i = 0; i < 32; i++)
		ask(f, slow, 2 * i + 1, "hold", "");
	WIRE_UNTIL(&f->wire, f->n_held == 32);
	for (; n < 32 && f->n_closed == 0; n++) {
		(void)server_answer(f->connections[n], f->streams[n],
				    (struct ttrpc_bytes){ f->big, f->n_big });
		wire_run(&f->wire, 100);
	}
	assert_true(n >= TTRPC_OUTPUT_MAX / f->n_big);
	assert_int_equal(f->n_closed, 1);
	err_clear();
}

/* What waits for a reader does not turn the loop, and comes whole when it reads. */
static void test_an_answer_waits_for_its_reader(void **state)
{
	struct fixture *f = *state;
	int peer = wire_connect(&f->wire, "server");

	f->n_big = TTRPC_DATA_MAX - 64;
	f->big = calloc(1, f->n_big);
	ask(f, peer, 1, "big", "");
	WIRE_UNTIL(&f->wire, f->n_requests == 1);
	wire_run(&f->wire, MSEC);
	wire_assert_quiet(&f->wire, 20 * MSEC);
	assert_answer(f, peer, 1);
	wire_run(&f->wire, MSEC);
	wire_assert_quiet(&f->wire, 20 * MSEC);
	assert_served(f, peer, 3);
}

/* The backlog stays readable: without a pause this would spin. */
static void test_without_fds_it_pauses_and_comes_back(void **state)
{
	struct fixture *f = *state;
	int peer = wire_connect(&f->wire, "server"), late;
	uint64_t before, after, until;

	assert_served(f, peer, 1);
	late = wire_connect(&f->wire, "server");
	ask(f, late, 1, "echo", "late");
	wire_forbid_fds();
	assert_int_equal(sd_event_get_iteration(f->wire.event, &before), 0);
	until = clock_now_usec() + 150 * MSEC;
	for (uint64_t now = clock_now_usec(); now < until; now = clock_now_usec())
		assert_true(sd_event_run(f->wire.event, until - now) >= 0);
	assert_int_equal(sd_event_get_iteration(f->wire.event, &after), 0);
	assert_true(after - before < 20);
	assert_served(f, peer, 3);
	wire_allow_fds();
	assert_answer(f, late, 1);
}

/* ---- bad peers ---- */

static void test_garbage_costs_its_connection_only(void **state)
{
	static const char garbage[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
	struct fixture *f = *state;
	int other = wire_connect(&f->wire, "server");

	for (uint32_t i = 0; i < 3; i++) {
		int peer = wire_connect(&f->wire, "server");

		/* "GET " is a length of 1.2 GB of type '/': skipped or refused, never kept */
		wire_write(&f->wire, peer, garbage, sizeof(garbage) - 1);
		assert_served(f, other, 4 * i + 1);
		wire_close(&f->wire, peer);
		assert_served(f, other, 4 * i + 3);
		WIRE_UNTIL(&f->wire, f->n_closed == i + 1);
	}
	assert_int_equal(server_connections(f->server), 1);
}

static void test_a_peer_may_close_at_every_byte(void **state)
{
	struct fixture *f = *state;
	uint8_t frame[WIRE_FRAME_MAX];
	size_t n = wire_request(frame, 1, "echo", "0123456789");

	for (size_t i = 0; i <= n; i++) {
		int peer = wire_connect(&f->wire, "server");

		wire_write(&f->wire, peer, frame, i);
		wire_close(&f->wire, peer);
		WIRE_UNTIL(&f->wire, f->n_closed == i + 1);
	}
	assert_int_equal(f->n_requests, 1);
	assert_served(f, wire_connect(&f->wire, "server"), 1);
}

static void test_who_says_nothing_costs_nothing(void **state)
{
	struct fixture *f = *state;
	int silent = wire_connect(&f->wire, "server"), other = wire_connect(&f->wire, "server");

	assert_served(f, other, 1);
	wire_assert_no_timer(&f->wire);
	wire_assert_quiet(&f->wire, 20 * MSEC);
	assert_served(f, silent, 1);
}

static void test_idle_has_no_timer(void **state)
{
	struct fixture *f = *state;

	wire_assert_no_timer(&f->wire);
	wire_assert_quiet(&f->wire, 20 * MSEC);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_request_is_answered_byte_for_byte),
		TEST(test_answers_may_come_later_and_in_any_order),
		TEST(test_many_requests_at_once_are_all_answered),
		TEST(test_a_frame_may_come_byte_by_byte),
		TEST(test_the_end_of_a_connection_is_told_once),
		TEST(test_an_answer_to_who_is_gone_is_harmless),
		TEST(test_a_connection_may_be_closed_by_us),
		TEST(test_a_connection_may_be_closed_within_its_request),
		TEST(test_freed_it_closes_all_and_tells_nobody),
		TEST(test_one_more_connection_waits_in_the_backlog),
		TEST(test_a_slow_reader_costs_its_connection_only),
		TEST(test_late_answers_to_a_slow_reader_cost_its_connection),
		TEST(test_an_answer_waits_for_its_reader),
		TEST(test_without_fds_it_pauses_and_comes_back),
		TEST(test_garbage_costs_its_connection_only),
		TEST(test_a_peer_may_close_at_every_byte),
		TEST(test_who_says_nothing_costs_nothing),
		TEST(test_idle_has_no_timer),
	};
#undef TEST

	return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
