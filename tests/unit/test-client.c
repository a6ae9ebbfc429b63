/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client in a loop of its own: against server.c on a real unix socket, or against a peer whose
 * every byte the test writes.
 */
#include "agent-proto/client.h"

#include "agent-proto/pipe.h"
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

#define CALLS_MAX  128
#define EVENTS_MAX 4096
#define MSEC	   CLOCK_USEC_PER_MSEC

struct fixture;

/* One call, and what became of it. */
struct call {
	struct fixture *f;
	char name; /* in the list of what happened */
	uint64_t id;
	int n_done;
	int error;
	enum ttrpc_code code;
	char message[256];
	size_t size;
	char payload[128]; /* the beginning of it */
	/* what to do inside done(), and what that was told */
	void (*then)(struct call *call);
	const struct client_result *result;
	struct call *other;
};

struct fixture {
	struct wire wire;
	struct client *client;
	struct server *server;
	/* what happened, one letter each: + connected, - disconnected, a call's name when done */
	char events[EVENTS_MAX];
	size_t n_events;
	uint64_t when[EVENTS_MAX];
	char why[1024];
	void (*on_connected)(struct fixture *f);
	void (*on_disconnected)(struct fixture *f);
	struct call calls[CALLS_MAX];
	size_t n_calls;
	bool is_in_call; /* of a function of the client: nothing may be called back */
	/* the server's side: requests that wait for the test */
	struct server_connection *connection;
	uint32_t streams[CALLS_MAX];
	uint64_t timeouts[CALLS_MAX];
	size_t n_streams;
};

static void happened(struct fixture *f, char what)
{
	assert_false(f->is_in_call);
	assert_true(f->n_events + 1 < EVENTS_MAX);
	f->when[f->n_events] = clock_now_usec();
	f->events[f->n_events++] = what;
}

static size_t count(const struct fixture *f, char what)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_events; i++)
		n += f->events[i] == what;
	return n;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || wire_init(&f->wire, "client") < 0)
		return -1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int r;

	client_free(f->client);
	server_free(f->server);
	r = wire_done(&f->wire);
	free(f);
	return r;
}

/* ---- the client's side ---- */

static void on_connected(void *userdata)
{
	struct fixture *f = userdata;

	happened(f, '+');
	assert_true(client_is_connected(f->client));
	if (f->on_connected)
		f->on_connected(f);
}

static void on_disconnected(void *userdata, const char *why)
{
	struct fixture *f = userdata;

	happened(f, '-');
	assert_false(client_is_connected(f->client));
	(void)snprintf(f->why, sizeof(f->why), "%s", why);
	if (f->on_disconnected)
		f->on_disconnected(f);
}

static void make_client(struct fixture *f, enum url_kind kind, uint64_t connect_usec)
{
	struct url url = { .kind = kind, .port = 1024 };
	struct client_config config = {
		.url = &url,
		.connect_usec = connect_usec,
		.connected = on_connected,
		.disconnected = on_disconnected,
		.userdata = f,
	};

	(void)snprintf(url.path, sizeof(url.path), "%s/agent", f->wire.dir);
	assert_int_equal(client_new(&f->client, f->wire.event, &config), 0);
}

static void start(struct fixture *f, enum url_kind kind, uint64_t connect_usec)
{
	make_client(f, kind, connect_usec);
	f->is_in_call = true;
	assert_int_equal(client_connect(f->client), 0);
	f->is_in_call = false;
}

static void on_done(void *userdata, const struct client_result *result)
{
	struct call *call = userdata;

	happened(call->f, call->name);
	call->n_done++;
	call->error = result->error;
	call->code = result->code;
	(void)snprintf(call->message, sizeof(call->message), "%s",
		       result->message ? result->message : "");
	call->size = result->payload.size;
	if (result->payload.size > 0)
		(void)snprintf(call->payload, sizeof(call->payload), "%.*s",
			       (int)(result->payload.size < 100 ? result->payload.size : 100),
			       (const char *)result->payload.data);
	call->result = result;
	if (call->then)
		call->then(call);
	call->result = NULL;
}

static int try_call(struct fixture *f, struct call **ret, const char *method,
		    struct ttrpc_bytes payload, uint64_t timeout_usec)
{
	struct call *call = &f->calls[f->n_calls];
	bool was_in_call = f->is_in_call;
	int r;

	assert_true(f->n_calls < CALLS_MAX);
	*call = (struct call){ .f = f, .name = (char)('a' + f->n_calls % 26) };
	f->is_in_call = true;
	r = client_call(f->client, "s", method, payload, timeout_usec, on_done, call, &call->id);
	f->is_in_call = was_in_call;
	f->n_calls += r == 0;
	*ret = call;
	return r;
}

static struct call *make_call(struct fixture *f, const char *method, const char *payload,
			      uint64_t timeout_usec)
{
	struct call *call;

	assert_int_equal(try_call(f, &call, method,
				  (struct ttrpc_bytes){ .data = payload, .size = strlen(payload) },
				  timeout_usec),
			 0);
	return call;
}

static void assert_answered(const struct call *call, const char *payload)
{
	WIRE_UNTIL(&call->f->wire, call->n_done > 0);
	assert_int_equal(call->n_done, 1);
	assert_int_equal(call->error, 0);
	assert_int_equal(call->code, TTRPC_OK);
	assert_string_equal(call->message, "");
	assert_int_equal(call->size, strlen(payload));
	assert_string_equal(call->payload, payload);
}

static void assert_failed(const struct call *call, int error)
{
	WIRE_UNTIL(&call->f->wire, call->n_done > 0);
	assert_int_equal(call->n_done, 1);
	assert_int_equal(call->error, error);
	assert_true(strlen(call->message) > 0);
	assert_int_equal(call->size, 0);
}

/* ---- a server's side: "echo" says it again, "fail" fails, "hold" waits for the test ---- */

static void on_request(void *userdata, const struct server_request *request)
{
	struct fixture *f = userdata;

	f->connection = request->connection;
	if (strcmp(request->method, "echo") == 0) {
		(void)server_answer(request->connection, request->stream, request->payload);
	} else if (strcmp(request->method, "fail") == 0) {
		(void)server_fail(request->connection, request->stream, TTRPC_NOT_FOUND,
				  "no such thing");
	} else {
		assert_true(f->n_streams < CALLS_MAX);
		f->timeouts[f->n_streams] = request->timeout_nsec;
		f->streams[f->n_streams++] = request->stream;
	}
}

static void serve(struct fixture *f)
{
	struct server_config config = { .request = on_request, .userdata = f };

	config.fd = dup(wire_listen(&f->wire, "agent"));
	assert_true(config.fd >= 0);
	wire_close(&f->wire, f->wire.fds[f->wire.n_fds - 1]);
	assert_int_equal(server_new(&f->server, f->wire.event, &config), 0);
}

static void release(struct fixture *f, size_t i, const char *payload)
{
	WIRE_UNTIL(&f->wire, f->n_streams > i);
	assert_int_equal(server_answer(f->connection, f->streams[i],
				       (struct ttrpc_bytes){ payload, strlen(payload) }),
			 0);
}

static void connect_to_server(struct fixture *f)
{
	serve(f);
	start(f, URL_UNIX, 0);
	WIRE_UNTIL(&f->wire, f->n_events > 0);
	assert_string_equal(f->events, "+");
}

/* ---- a peer's side: bytes ---- */

static int connect_to_peer(struct fixture *f)
{
	int listener = wire_listen(&f->wire, "agent"), peer;

	start(f, URL_UNIX, 0);
	peer = wire_accept(&f->wire, listener);
	WIRE_UNTIL(&f->wire, f->n_events > 0);
	assert_string_equal(f->events, "+");
	return peer;
}

static void respond(struct fixture *f, int peer, uint32_t stream, const char *payload)
{
	uint8_t frame[WIRE_FRAME_MAX];

	wire_write(&f->wire, peer, frame, wire_response(frame, stream, payload));
}

/* Whatever came before: the connection is whole, byte for byte. */
static void assert_alive(struct fixture *f, int peer)
{
	size_t n = f->n_events;
	struct call *call = make_call(f, "echo", "ping", 0);

	respond(f, peer, wire_read_frame(&f->wire, peer), "pong");
	assert_answered(call, "pong");
	assert_int_equal(f->n_events, n + 1);
}

/* ---- calls ---- */

static void test_a_call_is_answered(void **state)
{
	struct fixture *f = *state;
	struct call *echo, *fail, *empty;

	connect_to_server(f);
	echo = make_call(f, "echo", "hello", 0);
	fail = make_call(f, "fail", "hello", 0);
	empty = make_call(f, "echo", "", 0);
	assert_answered(echo, "hello");
	assert_answered(empty, "");
	assert_int_equal(fail->n_done, 1);
	assert_int_equal(fail->error, 0);
	assert_int_equal(fail->code, TTRPC_NOT_FOUND);
	assert_string_equal(fail->message, "no such thing");
}

static void test_answers_may_come_in_any_order(void **state)
{
	struct fixture *f = *state;
	struct call *a, *b, *c;

	connect_to_server(f);
	a = make_call(f, "hold", "", 0);
	b = make_call(f, "hold", "", 0);
	c = make_call(f, "hold", "", 0);
	WIRE_UNTIL(&f->wire, f->n_streams == 3);
	release(f, 1, "second");
	release(f, 2, "third");
	release(f, 0, "first");
	assert_answered(a, "first");
	assert_answered(b, "second");
	assert_answered(c, "third");
	assert_string_equal(f->events, "+bca");
}

static void test_an_answer_may_be_4_mib(void **state)
{
	struct fixture *f = *state;
	CLEANUP(cleanup_free)
	char *big = malloc(TTRPC_DATA_MAX);
	struct ttrpc_bytes payload = { .data = big, .size = TTRPC_DATA_MAX - 64 };
	struct call *calls[3];

	assert_non_null(big);
	memset(big, 'x', TTRPC_DATA_MAX);
	connect_to_server(f);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(try_call(f, &calls[round], "echo", payload, 0), 0);
		WIRE_UNTIL(&f->wire, calls[round]->n_done > 0);
		assert_int_equal(calls[round]->error, 0);
		assert_int_equal(calls[round]->code, TTRPC_OK);
		assert_int_equal(calls[round]->size, payload.size);
	}
	assert_answered(make_call(f, "echo", "small", 0), "small");
}

static void test_what_can_not_begin_says_so(void **state)
{
	struct fixture *f = *state;
	CLEANUP(cleanup_free)
	char *big = calloc(1, TTRPC_DATA_MAX + 1);
	struct call *call;

	make_client(f, URL_UNIX, 0);
	assert_int_equal(try_call(f, &call, "echo", (struct ttrpc_bytes){ 0 }, 0), -ENOTCONN);
	f->client = client_free(f->client);
	connect_to_server(f);
	assert_int_equal(try_call(f, &call, "echo", (struct ttrpc_bytes){ big, TTRPC_DATA_MAX + 1 },
				  0),
			 -EMSGSIZE);
	for (unsigned i = 0; i < TTRPC_CALLS_MAX; i++)
		(void)make_call(f, "hold", "", 0);
	assert_int_equal(try_call(f, &call, "hold", (struct ttrpc_bytes){ 0 }, 0), -EBUSY);
	err_clear();
	for (unsigned i = 0; i < TTRPC_CALLS_MAX; i++)
		release(f, i, "late");
	for (unsigned i = 0; i < TTRPC_CALLS_MAX; i++)
		assert_answered(&f->calls[i], "late");
	assert_answered(make_call(f, "echo", "again", 0), "again");
}

static void test_the_deadline_is_told_to_the_peer(void **state)
{
	struct fixture *f = *state;

	connect_to_server(f);
	(void)make_call(f, "hold", "", 1500 * MSEC);
	(void)make_call(f, "hold", "", 0);
	(void)make_call(f, "hold", "", CLOCK_NEVER);
	WIRE_UNTIL(&f->wire, f->n_streams == 3);
	assert_int_equal(f->timeouts[0], 1500 * MSEC * 1000);
	assert_int_equal(f->timeouts[1], CLIENT_CALL_USEC * 1000);
	assert_true(f->timeouts[2] >= UINT64_C(1) << 62);
}

static void test_a_late_answer_is_dropped_and_the_connection_lives(void **state)
{
	struct fixture *f = *state;
	int peer = connect_to_peer(f);
	uint64_t begun = clock_now_usec();
	struct call *late = make_call(f, "echo", "", 30 * MSEC);
	struct call *patient = make_call(f, "echo", "", 0);

	assert_int_equal(wire_read_frame(&f->wire, peer), 1);
	assert_int_equal(wire_read_frame(&f->wire, peer), 3);
	assert_failed(late, -ETIMEDOUT);
	assert_true(clock_now_usec() - begun >= 30 * MSEC);
	respond(f, peer, 1, "too late");
	respond(f, peer, 3, "in time");
	assert_answered(patient, "in time");
	assert_int_equal(late->n_done, 1);
	assert_alive(f, peer);
}

static void test_calls_expire_in_the_order_of_their_deadlines(void **state)
{
	struct fixture *f = *state;
	int peer = connect_to_peer(f);
	struct call *second = make_call(f, "echo", "", 120 * MSEC);
	struct call *first = make_call(f, "echo", "", 20 * MSEC);

	assert_failed(first, -ETIMEDOUT);
	assert_failed(second, -ETIMEDOUT);
	assert_string_equal(f->events, "+ba");
	wire_assert_no_timer(&f->wire);
	(void)wire_read_frame(&f->wire, peer);
	(void)wire_read_frame(&f->wire, peer);
	assert_alive(f, peer);
}

/* Also when the loop comes late, and the time of both is over. */
static void test_late_calls_expire_in_the_order_of_their_deadlines(void **state)
{
	struct fixture *f = *state;
	struct call *second, *first;
	uint64_t both;

	(void)connect_to_peer(f);
	both = clock_now_usec() + 40 * MSEC;
	second = make_call(f, "echo", "", 20 * MSEC);
	first = make_call(f, "echo", "", 10 * MSEC);
	while (clock_now_usec() < both)
		;
	assert_failed(second, -ETIMEDOUT);
	assert_failed(first, -ETIMEDOUT);
	assert_string_equal(f->events, "+ba");
}

static void test_a_cancelled_call_is_not_told(void **state)
{
	struct fixture *f = *state;
	int peer = connect_to_peer(f);
	struct call *call = make_call(f, "echo", "", 30 * MSEC);

	client_cancel(f->client, call->id);
	client_cancel(f->client, call->id);
	client_cancel(f->client, 77);
	wire_assert_no_timer(&f->wire);
	respond(f, peer, wire_read_frame(&f->wire, peer), "nobody waits");
	wire_run(&f->wire, 40 * MSEC);
	assert_int_equal(call->n_done, 0);
	assert_alive(f, peer);
}

/* A call that nobody waits for takes no place from the others. */
static void test_calls_that_ended_without_an_answer_leave_room(void **state)
{
	struct fixture *f = *state;
	struct call *last = NULL;

	(void)connect_to_peer(f);
	for (unsigned i = 0; i < TTRPC_CALLS_MAX; i++) {
		client_cancel(f->client, make_call(f, "echo", "", 0)->id);
		f->n_calls = 0;
	}
	for (unsigned i = 0; i < TTRPC_CALLS_MAX; i++)
		last = make_call(f, "echo", "", MSEC);
	assert_failed(last, -ETIMEDOUT);
	(void)make_call(f, "echo", "", 0);
}

/* ---- inside callbacks ---- */

static void then_free(struct call *call)
{
	call->f->client = client_free(call->f->client);
	/* borrowed for the call, whatever is done in it */
	assert_true(strlen(call->message) == 0 ||
		    strcmp(call->result->message, call->message) == 0);
}

/* What a result points to. */
static void assert_payload(const struct call *call, const char *payload)
{
	assert_int_equal(call->result->payload.size, strlen(payload));
	assert_memory_equal(call->result->payload.data, payload, strlen(payload));
}

static void then_reset(struct call *call)
{
	client_reset(call->f->client, "a promise was broken");
	assert_false(client_is_connected(call->f->client));
	assert_payload(call, "one");
}

static void then_cancel_other(struct call *call)
{
	client_cancel(call->f->client, call->other->id);
}

static void then_call(struct call *call)
{
	if (call->f->n_calls < 20)
		make_call(call->f, "echo", "next", 0)->then = then_call;
	assert_payload(call, call == call->f->calls ? "first" : "next");
}

static void test_it_may_be_freed_inside_done(void **state)
{
	struct fixture *f = *state;
	int peer = connect_to_peer(f);
	struct call *a = make_call(f, "echo", "", 0), *b = make_call(f, "echo", "", 0);
	uint8_t frames[2 * WIRE_FRAME_MAX];
	size_t n = wire_response(frames, 1, "one");

	n += wire_response(frames + n, 3, "two");
	a->then = then_free;
	wire_write(&f->wire, peer, frames, n);
	assert_answered(a, "one");
	wire_assert_end(&f->wire, peer);
	assert_int_equal(b->n_done, 0);
	assert_string_equal(f->events, "+a");
}

static void test_it_may_be_freed_inside_done_of_a_lost_call(void **state)
{
	struct fixture *f = *state;
	int peer = connect_to_peer(f);
	struct call *a = make_call(f, "echo", "", 0), *b = make_call(f, "echo", "", 0);

	a->then = then_free;
	wire_close(&f->wire, peer);
	assert_failed(a, -ECONNRESET);
	wire_run(&f->wire, 30 * MSEC);
	assert_int_equal(b->n_done, 0);
	assert_string_equal(f->events, "+a");
}

static void test_it_may_be_freed_inside_done_of_a_late_call(void **state)
{
	struct fixture *f = *state;
	struct call *a, *b;

	(void)connect_to_peer(f);
	a = make_call(f, "echo", "", MSEC);
	b = make_call(f, "echo", "", MSEC);
	a->then = then_free;
	assert_failed(a, -ETIMEDOUT);
	wire_run(&f->wire, 10 * MSEC);
	assert_int_equal(b->n_done, 0);
	wire_assert_no_timer(&f->wire);
}

static void free_it(struct fixture *f)
{
	f->client = client_free(f->client);
}

static void test_it_may_be_freed_inside_connected_and_disconnected(void **state)
{
	struct fixture *f = *state;
	int listener = wire_listen(&f->wire, "agent");

	f->on_connected = free_it;
	start(f, URL_UNIX, 0);
	wire_assert_end(&f->wire, wire_accept(&f->wire, listener));
	WIRE_UNTIL(&f->wire, !f->client);
	wire_close(&f->wire, listener);
	f->on_disconnected = free_it;
	start(f, URL_UNIX, 0);
	WIRE_UNTIL(&f->wire, !f->client);
	wire_assert_no_timer(&f->wire);
	assert_string_equal(f->events, "+-");
}

static void test_it_may_be_reset_inside_done(void **state)
{
	struct fixture *f = *state;
	int peer = connect_to_peer(f);
	struct call *a = make_call(f, "echo", "", 0), *b = make_call(f, "echo", "", 0);
	uint8_t frames[2 * WIRE_FRAME_MAX];
	size_t n = wire_response(frames, 1, "one");

	n += wire_response(frames + n, 3, "two");
	a->then = then_reset;
	wire_write(&f->wire, peer, frames, n);
	assert_answered(a, "one");
	wire_assert_end(&f->wire, peer);
	assert_failed(b, -ECONNRESET);
	assert_string_equal(b->message, "a promise was broken");
	WIRE_UNTIL(&f->wire, count(f, '+') == 2);
	assert_string_equal(f->events, "+ab-+");
	assert_string_equal(f->why, "a promise was broken");
}

static void reset_it(struct fixture *f)
{
	if (f->n_events < 4)
		client_reset(f->client, "again");
}

static void test_it_may_be_reset_inside_connected_and_disconnected(void **state)
{
	struct fixture *f = *state;

	f->on_connected = reset_it;
	f->on_disconnected = reset_it;
	serve(f);
	start(f, URL_UNIX, 0);
	WIRE_UNTIL(&f->wire, count(f, '+') == 3);
	assert_string_equal(f->events, "+-+-+");
	assert_answered(make_call(f, "echo", "x", 0), "x");
}

static void test_a_call_may_be_cancelled_inside_done_of_another(void **state)
{
	struct fixture *f = *state;
	int peer = connect_to_peer(f);
	struct call *a = make_call(f, "echo", "", 0), *b = make_call(f, "echo", "", 0);
	struct call *c = make_call(f, "echo", "", 0);

	a->then = then_cancel_other;
	a->other = b;
	wire_close(&f->wire, peer);
	assert_failed(a, -ECONNRESET);
	assert_failed(c, -ECONNRESET);
	assert_int_equal(b->n_done, 0);
}

static void test_a_call_may_be_made_inside_done(void **state)
{
	struct fixture *f = *state;

	connect_to_server(f);
	make_call(f, "echo", "first", 0)->then = then_call;
	WIRE_UNTIL(&f->wire, f->n_events == 21);
	for (size_t i = 0; i < 20; i++)
		assert_answered(&f->calls[i], i == 0 ? "first" : "next");
	wire_assert_no_timer(&f->wire);
}

static void test_freed_it_tells_no_call(void **state)
{
	struct fixture *f = *state;
	int peer = connect_to_peer(f);
	struct call *call = make_call(f, "echo", "", 0);

	f->client = client_free(f->client);
	wire_assert_end(&f->wire, peer);
	assert_int_equal(call->n_done, 0);
	assert_string_equal(f->events, "+");
}

/* ---- a connection that is lost, and comes back ---- */

static void test_lost_calls_are_told_then_the_loss_then_it_tries_again(void **state)
{
	struct fixture *f = *state;
	int listener = wire_listen(&f->wire, "agent"), peer;
	struct call *calls[3], *refused;

	start(f, URL_UNIX, 0);
	peer = wire_accept(&f->wire, listener);
	WIRE_UNTIL(&f->wire, f->n_events == 1);
	for (size_t i = 0; i < 3; i++)
		calls[i] = make_call(f, "echo", "", 0);
	wire_close(&f->wire, peer);
	for (size_t i = 0; i < 3; i++)
		assert_failed(calls[i], -ECONNRESET);
	assert_int_equal(try_call(f, &refused, "echo", (struct ttrpc_bytes){ 0 }, 0), -ENOTCONN);
	peer = wire_accept(&f->wire, listener);
	WIRE_UNTIL(&f->wire, count(f, '+') == 2);
	assert_string_equal(f->events, "+abc-+");
	assert_true(strlen(f->why) > 10);
	/* streams of the new connection begin anew */
	(void)make_call(f, "echo", "", 0);
	assert_int_equal(wire_read_frame(&f->wire, peer), 1);
}

static void test_answers_before_the_end_count(void **state)
{
	struct fixture *f = *state;
	int peer = connect_to_peer(f);
	struct call *a = make_call(f, "echo", "", 0), *b = make_call(f, "echo", "", 0);

	(void)wire_read_frame(&f->wire, peer);
	(void)wire_read_frame(&f->wire, peer);
	respond(f, peer, 3, "bye");
	wire_close(&f->wire, peer);
	assert_answered(b, "bye");
	assert_failed(a, -ECONNRESET);
}

/* No attempt comes before half of what the backoff has grown to. */
static void assert_backs_off(struct fixture *f, size_t n)
{
	uint64_t half = CLIENT_BACKOFF_FIRST_USEC / 2, last = 0;

	for (size_t i = 0, seen = 0; i < f->n_events && seen < n; i++) {
		if (f->events[i] != '-')
			continue;
		if (seen++ > 0) {
			assert_true(f->when[i] - last >= half);
			half = half * 2 < CLIENT_BACKOFF_MAX_USEC / 2 ? half * 2
								      : CLIENT_BACKOFF_MAX_USEC / 2;
		}
		last = f->when[i];
	}
}

static void test_nobody_there_is_asked_ever_more_seldom(void **state)
{
	struct fixture *f = *state;
	uint64_t before;

	start(f, URL_UNIX, 0);
	WIRE_UNTIL(&f->wire, count(f, '-') == 1);
	assert_int_equal(sd_event_get_iteration(f->wire.event, &before), 0);
	WIRE_UNTIL(&f->wire, count(f, '-') == 6);
	assert_backs_off(f, 6);
	assert_int_equal(count(f, '+'), 0);
	assert_non_null(strstr(f->why, "agent"));
	assert_non_null(strstr(f->why, strerror(ENOENT)));
}

/* Between two attempts the loop sleeps: each costs a few turns, not a thousand. */
static void test_waiting_is_not_spinning(void **state)
{
	struct fixture *f = *state;
	uint64_t before, after, until;

	start(f, URL_UNIX, 0);
	WIRE_UNTIL(&f->wire, count(f, '-') == 4);
	assert_int_equal(sd_event_get_iteration(f->wire.event, &before), 0);
	until = clock_now_usec() + 300 * MSEC;
	for (uint64_t now = clock_now_usec(); now < until; now = clock_now_usec())
		assert_true(sd_event_run(f->wire.event, until - now) >= 0);
	assert_int_equal(sd_event_get_iteration(f->wire.event, &after), 0);
	assert_true(after - before < 20);
}

/* Who accepts and hangs up is no better than who is not there. */
static void test_a_peer_that_hangs_up_at_once_is_asked_ever_more_seldom(void **state)
{
	struct fixture *f = *state;
	int listener = wire_listen(&f->wire, "agent");

	start(f, URL_UNIX, 0);
	for (int i = 0; i < 6; i++)
		wire_close(&f->wire, wire_accept(&f->wire, listener));
	WIRE_UNTIL(&f->wire, count(f, '-') == 6);
	assert_backs_off(f, 6);
}

#define SPREAD_CLIENTS	16
#define SPREAD_ATTEMPTS 6

struct attempts {
	uint64_t when[SPREAD_ATTEMPTS];
	size_t n;
};

static void remember_time(void *userdata, const char *why)
{
	struct attempts *a = userdata;

	(void)why;
	if (a->n < SPREAD_ATTEMPTS)
		a->when[a->n++] = clock_now_usec();
}

/* How far apart the attempts of this number were; 0 while some are to come. */
static uint64_t spread_of(const struct attempts clients[static SPREAD_CLIENTS], size_t attempt)
{
	uint64_t least = UINT64_MAX, most = 0;

	for (size_t i = 0; i < SPREAD_CLIENTS; i++) {
		uint64_t when = clients[i].when[attempt];

		least = when < least ? when : least;
		most = when > most ? when : most;
	}
	return least == 0 ? 0 : most - least;
}

/*
 * Many that lost the same agent do not come back in the same moment. A loop that is held up by a busy machine
 * wakes all whose time is over at once: so any later attempt, of a longer backoff each time, may show it.
 */
static bool are_spread(const struct attempts clients[static SPREAD_CLIENTS])
{
	for (size_t i = 2; i < SPREAD_ATTEMPTS; i++)
		if (spread_of(clients, i) > (CLIENT_BACKOFF_FIRST_USEC << (i - 1)) / 4)
			return true;
	return false;
}

static void test_attempts_are_spread(void **state)
{
	struct fixture *f = *state;
	struct client *clients[SPREAD_CLIENTS] = { 0 };
	struct attempts attempts[SPREAD_CLIENTS] = { 0 };
	struct url url = { .kind = URL_UNIX };
	struct client_config config = { .url = &url, .disconnected = remember_time };

	(void)snprintf(url.path, sizeof(url.path), "%s/agent", f->wire.dir);
	for (size_t i = 0; i < SPREAD_CLIENTS; i++) {
		config.userdata = &attempts[i];
		assert_int_equal(client_new(&clients[i], f->wire.event, &config), 0);
		assert_int_equal(client_connect(clients[i]), 0);
	}
	WIRE_UNTIL(&f->wire, are_spread(attempts));
	for (size_t i = 0; i < SPREAD_CLIENTS; i++)
		client_free(clients[i]);
}

static void test_connect_tries_again_at_once(void **state)
{
	struct fixture *f = *state;

	start(f, URL_UNIX, 0);
	/* some way into the backoff */
	WIRE_UNTIL(&f->wire, count(f, '-') == 5);
	for (size_t n = 6; n < 26; n++) {
		assert_int_equal(client_connect(f->client), 0);
		WIRE_UNTIL(&f->wire, count(f, '-') == n);
	}
	serve(f);
	assert_int_equal(client_connect(f->client), 0);
	WIRE_UNTIL(&f->wire, count(f, '+') == 1);
	/* and while it is there it does nothing */
	assert_int_equal(client_connect(f->client), 0);
	assert_answered(make_call(f, "echo", "x", 0), "x");
	assert_int_equal(count(f, '+'), 1);
}

static void test_without_fds_it_is_one_more_failed_attempt(void **state)
{
	struct fixture *f = *state;

	serve(f);
	wire_forbid_fds();
	start(f, URL_UNIX, 0);
	WIRE_UNTIL(&f->wire, count(f, '-') == 3);
	wire_allow_fds();
	assert_non_null(strstr(f->why, strerror(EMFILE)));
	assert_backs_off(f, 3);
	WIRE_UNTIL(&f->wire, count(f, '+') == 1);
	assert_answered(make_call(f, "echo", "x", 0), "x");
}

static void test_a_reset_while_connecting_is_a_failed_attempt(void **state)
{
	struct fixture *f = *state;
	int listener = wire_listen(&f->wire, "agent"), vmm;

	start(f, URL_HVSOCK, 0);
	vmm = wire_accept(&f->wire, listener);
	client_reset(f->client, "no more");
	client_reset(f->client, "and no more");
	assert_int_equal(f->n_events, 0);
	wire_assert_end(&f->wire, vmm);
	WIRE_UNTIL(&f->wire, f->n_events == 1);
	assert_string_equal(f->events, "-");
	assert_string_equal(f->why, "no more");
	(void)wire_accept(&f->wire, listener);
}

static void test_a_connected_idle_client_has_no_timer(void **state)
{
	struct fixture *f = *state;

	connect_to_server(f);
	wire_assert_no_timer(&f->wire);
	assert_answered(make_call(f, "echo", "x", 0), "x");
	wire_assert_no_timer(&f->wire);
	wire_assert_quiet(&f->wire, 50 * MSEC);
}

/* ---- a handshake ---- */

static void test_a_silent_handshake_ends_at_its_deadline(void **state)
{
	struct fixture *f = *state;
	int listener = wire_listen(&f->wire, "agent"), vmm;
	uint64_t begun = clock_now_usec();
	size_t n;

	start(f, URL_HVSOCK, 60 * MSEC);
	vmm = wire_accept(&f->wire, listener);
	WIRE_UNTIL(&f->wire, count(f, '-') > 0);
	assert_true(f->when[0] - begun >= 60 * MSEC);
	wire_assert_end(&f->wire, vmm);
	/* slow is not silent: the deadline is over all of it; a next attempt is one more */
	n = count(f, '-');
	vmm = wire_accept(&f->wire, listener);
	do {
		(void)send(vmm, "O", 1, MSG_NOSIGNAL);
		wire_run(&f->wire, 5 * MSEC);
	} while (count(f, '-') <= n && clock_now_usec() - begun < WIRE_DEADLINE_USEC);
	assert_true(count(f, '-') > n);
	assert_int_equal(count(f, '+'), 0);
}

static void test_what_follows_the_line_of_hvsock_belongs_to_ttrpc(void **state)
{
	static const char line[] = "OK 1073741824\n";
	struct fixture *f = *state;
	int listener = wire_listen(&f->wire, "agent"), vmm;
	uint8_t bytes[64 + WIRE_FRAME_MAX];
	char asked[13];
	size_t n;

	start(f, URL_HVSOCK, 0);
	vmm = wire_accept(&f->wire, listener);
	wire_read(&f->wire, vmm, asked, sizeof(asked));
	/* A frame that nobody waits for is dropped, if it is read from its first byte to its last. */
	memcpy(bytes, line, sizeof(line) - 1);
	n = sizeof(line) - 1;
	n += wire_response(bytes + n, 77, "who are you?");
	wire_write(&f->wire, vmm, bytes, n);
	WIRE_UNTIL(&f->wire, count(f, '+') == 1);
	assert_alive(f, vmm);
}

static void test_a_pipe_is_resynced_before_each_connection(void **state)
{
	struct fixture *f = *state;
	int listener = wire_listen(&f->wire, "agent");

	start(f, URL_PIPE, 0);
	for (size_t round = 1; round <= 2; round++) {
		int port = wire_accept(&f->wire, listener);
		uint8_t bytes[PIPE_HELLO_BYTES + WIRE_FRAME_MAX];
		struct pipe_hello hello, answer;

		wire_read(&f->wire, port, hello.bytes, sizeof(hello.bytes));
		pipe_hello_answer(&hello, &answer);
		/* the end of an answer to somebody before us */
		wire_write(&f->wire, port, "\0\0\2\0 stale", 10);
		memcpy(bytes, answer.bytes, sizeof(answer.bytes));
		wire_write(&f->wire, port, bytes,
			   sizeof(answer.bytes) +
				   wire_response(bytes + sizeof(answer.bytes), 99, "unasked"));
		WIRE_UNTIL(&f->wire, count(f, '+') == round);
		assert_alive(f, port);
		wire_close(&f->wire, port);
		WIRE_UNTIL(&f->wire, count(f, '-') == round);
	}
}

/* ---- bad peers ---- */

static void test_garbage_costs_the_connection_and_nothing_else(void **state)
{
	static const char *const garbage[] = {
		"HTTP/1.1 400 Bad Request\r\n\r\n",
		"\0\0\0\0\0\0\0\1\7\0", /* no such type */
		"\0\0\0\0\0\0\0\1\1\0", /* a server that asks */
		"\0\0\0\4\0\0\0\1\2\0\377\377\377\377",
	};
	static const size_t sizes[] = { 28, 10, 10, 14 };
	struct fixture *f = *state;
	int listener = wire_listen(&f->wire, "agent");

	start(f, URL_UNIX, 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int peer = wire_accept(&f->wire, listener);
		struct call *call;

		WIRE_UNTIL(&f->wire, count(f, '+') == i + 1);
		call = make_call(f, "echo", "", 0);
		(void)wire_read_frame(&f->wire, peer);
		wire_write(&f->wire, peer, garbage[i], sizes[i]);
		assert_failed(call, -ECONNRESET);
		WIRE_UNTIL(&f->wire, count(f, '-') == i + 1);
		wire_assert_end(&f->wire, peer);
		wire_close(&f->wire, peer);
	}
	WIRE_UNTIL(&f->wire, count(f, '+') == 5);
	assert_alive(f, wire_accept(&f->wire, listener));
}

static void test_a_frame_of_an_unknown_stream_is_dropped(void **state)
{
	struct fixture *f = *state;
	int peer = connect_to_peer(f);

	respond(f, peer, 101, "never asked");
	respond(f, peer, 2, "even");
	respond(f, peer, 0, "none");
	respond(f, peer, UINT32_MAX, "last");
	assert_alive(f, peer);
	respond(f, peer, 1, "twice");
	assert_alive(f, peer);
}

/* Half a frame is waited for until the deadline of the call, not longer, and does not spin. */
static void test_half_a_frame_is_waited_for(void **state)
{
	struct fixture *f = *state;
	int peer = connect_to_peer(f);
	struct call *call = make_call(f, "echo", "", 40 * MSEC), *next;
	uint8_t frame[WIRE_FRAME_MAX];
	size_t n = wire_response(frame, 1, "late");

	(void)wire_read_frame(&f->wire, peer);
	wire_write(&f->wire, peer, frame, n / 2);
	assert_failed(call, -ETIMEDOUT);
	wire_assert_quiet(&f->wire, 20 * MSEC);
	next = make_call(f, "echo", "", 0);
	(void)wire_read_frame(&f->wire, peer);
	wire_write(&f->wire, peer, frame + n / 2, n - n / 2);
	respond(f, peer, 3, "next");
	assert_answered(next, "next");
}

static void test_a_peer_may_close_at_every_byte(void **state)
{
	struct fixture *f = *state;
	int listener = wire_listen(&f->wire, "agent");
	uint8_t frame[WIRE_FRAME_MAX];
	size_t n = wire_response(frame, 1, "0123456789");

	start(f, URL_UNIX, 0);
	for (size_t i = 0; i <= n; i++) {
		int peer = wire_accept(&f->wire, listener);
		struct call *call;

		WIRE_UNTIL(&f->wire, count(f, '+') == i + 1);
		call = make_call(f, "echo", "", 0);
		(void)wire_read_frame(&f->wire, peer);
		wire_write(&f->wire, peer, frame, i);
		wire_close(&f->wire, peer);
		if (i < n)
			assert_failed(call, -ECONNRESET);
		else
			assert_answered(call, "0123456789");
		WIRE_UNTIL(&f->wire, count(f, '-') == i + 1);
		assert_int_equal(client_connect(f->client), 0);
	}
}

/* What the peer does not take waits here, without a turn of the loop; then it goes. */
static void test_a_peer_that_does_not_read_is_waited_for(void **state)
{
	struct fixture *f = *state;
	CLEANUP(cleanup_free)
	char *big = calloc(1, 1U << 20);
	int peer = connect_to_peer(f);
	struct call *call;

	assert_non_null(big);
	assert_int_equal(try_call(f, &call, "echo", (struct ttrpc_bytes){ big, 1U << 20 }, 0), 0);
	wire_assert_quiet(&f->wire, 30 * MSEC);
	assert_int_equal(call->n_done, 0);
	assert_int_equal(wire_read_frame(&f->wire, peer), 1);
	respond(f, peer, 1, "at last");
	assert_answered(call, "at last");
	/* and nothing watches for room that nobody needs */
	wire_run(&f->wire, MSEC);
	wire_assert_quiet(&f->wire, 30 * MSEC);
}

static void test_what_waits_for_a_peer_has_a_limit(void **state)
{
	struct fixture *f = *state;
	CLEANUP(cleanup_free)
	char *big = calloc(1, 4U << 20);
	struct ttrpc_bytes payload = { .data = big, .size = TTRPC_DATA_MAX - 64 };
	struct call *call;
	int r = 0;

	assert_non_null(big);
	(void)connect_to_peer(f);
	for (int i = 0; i < 8 && r == 0; i++)
		r = try_call(f, &call, "echo", payload, 0);
	assert_int_equal(r, -EBUSY);
	err_clear();
	assert_true(client_is_connected(f->client));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_a_call_is_answered),
		TEST(test_answers_may_come_in_any_order),
		TEST(test_an_answer_may_be_4_mib),
		TEST(test_what_can_not_begin_says_so),
		TEST(test_the_deadline_is_told_to_the_peer),
		TEST(test_a_late_answer_is_dropped_and_the_connection_lives),
		TEST(test_calls_expire_in_the_order_of_their_deadlines),
		TEST(test_late_calls_expire_in_the_order_of_their_deadlines),
		TEST(test_a_cancelled_call_is_not_told),
		TEST(test_calls_that_ended_without_an_answer_leave_room),
		TEST(test_it_may_be_freed_inside_done),
		TEST(test_it_may_be_freed_inside_done_of_a_lost_call),
		TEST(test_it_may_be_freed_inside_done_of_a_late_call),
		TEST(test_it_may_be_freed_inside_connected_and_disconnected),
		TEST(test_it_may_be_reset_inside_done),
		TEST(test_it_may_be_reset_inside_connected_and_disconnected),
		TEST(test_a_call_may_be_cancelled_inside_done_of_another),
		TEST(test_a_call_may_be_made_inside_done),
		TEST(test_freed_it_tells_no_call),
		TEST(test_lost_calls_are_told_then_the_loss_then_it_tries_again),
		TEST(test_answers_before_the_end_count),
		TEST(test_nobody_there_is_asked_ever_more_seldom),
		TEST(test_waiting_is_not_spinning),
		TEST(test_a_peer_that_hangs_up_at_once_is_asked_ever_more_seldom),
		TEST(test_attempts_are_spread),
		TEST(test_connect_tries_again_at_once),
		TEST(test_without_fds_it_is_one_more_failed_attempt),
		TEST(test_a_reset_while_connecting_is_a_failed_attempt),
		TEST(test_a_connected_idle_client_has_no_timer),
		TEST(test_a_silent_handshake_ends_at_its_deadline),
		TEST(test_what_follows_the_line_of_hvsock_belongs_to_ttrpc),
		TEST(test_a_pipe_is_resynced_before_each_connection),
		TEST(test_garbage_costs_the_connection_and_nothing_else),
		TEST(test_a_frame_of_an_unknown_stream_is_dropped),
		TEST(test_half_a_frame_is_waited_for),
		TEST(test_a_peer_may_close_at_every_byte),
		TEST(test_a_peer_that_does_not_read_is_waited_for),
		TEST(test_what_waits_for_a_peer_has_a_limit),
	};
#undef TEST

	return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
