/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent sink against a fake agent on a real socket in the same loop: what each generation is
 * sent, what its answers mean, and what becomes of a connection.
 */
#include "netmon/sink-agent.h"

#include "agent-proto/agent.h"
#include "agent-proto/client.h"
#include "agent-proto/server.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/log.h"
#include "netmon/agent-op.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_USEC (30 * CLOCK_USEC_PER_SEC)
#define SANDBOX	      "sandbox-1"
#define SANDBOX_DIR   "run/vc/sbs/" SANDBOX
#define REQUESTS_MAX  256U
/* A route with this MTU is a bad one, a neighbour with it in its last byte too. */
#define BAD	   66U
#define FORBIDDEN  67U
#define LINK_EARLY 68U

/* As ttrpc-rust says it of its own answer. */
#define TOO_LONG "message length 5242880 exceed maximum message size of 4194304"

struct answer {
	enum ttrpc_code code;
	const char *message;
};

struct request {
	enum agent_verb verb;
	size_t n; /* interfaces, routes, neighbours */
	size_t bytes;
};

/* The other side: what it says of itself, what it refuses, and what it was asked. */
struct fake {
	struct server *server;
	char path[96];
	bool has_no_details; /* GetGuestDetails is not served */
	const char *version;
	bool is_delta;
	struct answer no[_AGENT_VERB_MAX]; /* code other than ok: that for every request */
	bool refuses_many;		   /* INTERNAL for more than one value */
	bool is_silent;			   /* to what would change something */
	size_t fails_after;		   /* so many changes: "not now"; 0: never */
	const void *list;		   /* raw answer to lists; NULL: an agent_network */
	size_t list_bytes;
	struct agent_network network;
	struct server_connection *last;
	/* what it was asked */
	struct request requests[REQUESTS_MAX];
	size_t n_requests;
	bool is_last_kept;	  /* when there are more: in the last place */
	struct agent_network got; /* of the last change */
	bool has_zero_source;	  /* its bytes hold "10.0.0.2/0" */
	size_t put, refused;	  /* values that it has taken; requests that it has not */
};

struct fixture {
	char dir[64];
	sd_event *event;
	struct fake fake, other;
	struct sink *sink;
	struct plan plan;
	struct op *ops;
	/* what we were told */
	char told[64]; /* R, L, C, D: in order */
	int outcomes;
	int begun; /* what begin() said within done */
	struct sink_outcome outcome;
	char reason[AGENT_OP_REASON_BYTES];
	bool free_in_done, begin_in_done;
	/* what is logged; the fd that stderr was, 0: it is */
	int heard, was_stderr;
};

/* ---- the fake ---- */

static void fake_reply(const struct server_request *r, int encoded, struct ttrpc_bytes payload)
{
	assert_int_equal(encoded, 0);
	assert_int_equal(server_answer(r->connection, r->stream, payload), 0);
	cleanup_free(&payload.data);
}

static void fake_details(const struct fake *f, const struct server_request *r)
{
	struct agent_details d = { .n_features = f->is_delta ? 1 : 0 };
	struct ttrpc_bytes bytes = { 0 };

	(void)snprintf(d.version, sizeof(d.version), "%s", f->version);
	(void)snprintf(d.features[0], sizeof(d.features[0]), "%s", AGENT_DELTA_FEATURE);
	fake_reply(r, agent_encode_details_answer(&d, &bytes), bytes);
}

static void fake_list(const struct fake *f, enum agent_verb verb, const struct server_request *r)
{
	struct ttrpc_bytes bytes = { .data = f->list, .size = f->list_bytes };

	if (f->list) {
		assert_int_equal(server_answer(r->connection, r->stream, bytes), 0);
		return;
	}
	bytes = (struct ttrpc_bytes){ 0 };
	fake_reply(r, agent_encode_network_answer(verb, &f->network, &bytes), bytes);
}

static struct answer fake_mark(uint64_t mark)
{
	if (mark == BAD)
		return (struct answer){ TTRPC_INTERNAL, "Failed to update routes: \x1b[31m bad" };
	if (mark == FORBIDDEN)
		return (struct answer){ TTRPC_PERMISSION_DENIED, "UpdateRoutes is blocked" };
	if (mark == LINK_EARLY)
		return (struct answer){ TTRPC_INTERNAL, "update: Link not found (Address: ..)" };
	return (struct answer){ TTRPC_OK, "" };
}

static bool is_change(enum agent_verb verb)
{
	return verb == AGENT_UPDATE_INTERFACE || verb == AGENT_UPDATE_ROUTES ||
	       verb == AGENT_ADD_NEIGHBORS || verb == AGENT_REMOVE_INTERFACE ||
	       verb == AGENT_REMOVE_ROUTES || verb == AGENT_REMOVE_NEIGHBORS;
}

static size_t fake_changes(const struct fake *f)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_requests; i++)
		n += is_change(f->requests[i].verb);
	return n;
}

/* As Kata's: in order, up to the first bad one; the earlier ones stay. */
static struct answer fake_judge(struct fake *f, enum agent_verb verb)
{
	const struct agent_network *n = &f->got;
	struct answer a = f->no[verb];

	if (f->fails_after > 0 && fake_changes(f) > f->fails_after)
		a = (struct answer){ TTRPC_UNAVAILABLE, "not now" };
	if (a.code == TTRPC_OK && f->refuses_many && n->n_routes > 1)
		a = (struct answer){ TTRPC_INTERNAL, "too many for me" };
	for (size_t i = 0; a.code == TTRPC_OK && i < n->n_interfaces; i++)
		a = fake_mark(n->interfaces[i].mtu);
	for (size_t i = 0; a.code == TTRPC_OK && i < n->n_routes; i++)
		a = fake_mark(n->routes[i].mtu);
	for (size_t i = 0; a.code == TTRPC_OK && i < n->n_neighbors; i++)
		a = fake_mark(n->neighbors[i].mac[5]);
	return a;
}

static void fake_change(struct fake *f, enum agent_verb verb, const struct server_request *r)
{
	static const char zero[] = "10.0.0.2/0";
	struct ttrpc_bytes bytes = { 0 };
	struct answer a;

	agent_network_done(&f->got);
	f->got = (struct agent_network){ 0 };
	assert_int_equal(agent_decode_request(verb, r->payload, &f->got), 0);
	f->has_zero_source = memmem(r->payload.data, r->payload.size, zero, strlen(zero)) != NULL;
	f->requests[f->n_requests - 1].n =
		f->got.n_interfaces + f->got.n_routes + f->got.n_neighbors;
	if (f->is_silent)
		return;
	a = fake_judge(f, verb);
	if (a.code != TTRPC_OK) {
		f->refused++;
		assert_int_equal(server_fail(r->connection, r->stream, a.code, a.message), 0);
		return;
	}
	f->put += f->requests[f->n_requests - 1].n;
	if (verb == AGENT_UPDATE_INTERFACE || verb == AGENT_UPDATE_ROUTES)
		fake_reply(r, agent_encode_network_answer(verb, &f->got, &bytes), bytes);
	else
		fake_reply(r, 0, bytes);
}

static void fake_tell(struct fake *f, enum agent_verb verb, const struct server_request *r)
{
	struct ttrpc_bytes bytes = { 0 };

	if (f->no[verb].code != TTRPC_OK)
		(void)server_fail(r->connection, r->stream, f->no[verb].code, f->no[verb].message);
	else if (verb == AGENT_DETAILS && f->has_no_details)
		(void)server_fail(r->connection, r->stream, TTRPC_UNIMPLEMENTED, "GetGuestDetails");
	else if (verb == AGENT_DETAILS)
		fake_details(f, r);
	else if (verb == AGENT_VERSION)
		fake_reply(r, agent_encode_version_answer(f->version, &bytes), bytes);
	else
		fake_list(f, verb, r);
}

static void fake_request(void *userdata, const struct server_request *r)
{
	struct fake *f = userdata;
	enum agent_verb verb;

	assert_int_equal(agent_find(r->service, r->method, &verb), 0);
	if (f->is_last_kept && f->n_requests == REQUESTS_MAX)
		f->n_requests--;
	assert_true(f->n_requests < REQUESTS_MAX);
	assert_true(r->payload.size <= TTRPC_DATA_MAX);
	assert_true(r->timeout_nsec > 0);
	f->requests[f->n_requests++] = (struct request){ .verb = verb, .bytes = r->payload.size };
	f->last = r->connection;
	if (is_change(verb))
		fake_change(f, verb, r);
	else
		fake_tell(f, verb, r);
}

static void fake_start(struct fixture *f, struct fake *fake)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct server_config config = { .request = fake_request, .userdata = fake };

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", fake->path);
	config.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(config.fd >= 0);
	(void)unlink(fake->path);
	assert_int_equal(bind(config.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(config.fd, 16), 0);
	assert_int_equal(server_new(&fake->server, f->event, &config), 0);
}

static void fake_stop(struct fake *fake)
{
	fake->server = server_free(fake->server);
	fake->last = NULL;
	(void)unlink(fake->path);
}

static size_t fake_count(const struct fake *f, enum agent_verb verb)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n_requests; i++)
		n += f->requests[i].verb == verb;
	return n;
}

/* ---- what we are told ---- */

static void note(struct fixture *f, char c)
{
	size_t n = strlen(f->told);

	assert_true(n + 1 < sizeof(f->told));
	f->told[n] = c;
}

static void on_done(void *userdata, const struct sink_outcome *outcome)
{
	struct fixture *f = userdata;

	note(f, 'D');
	f->outcomes++;
	f->outcome = *outcome;
	(void)snprintf(f->reason, sizeof(f->reason), "%s", outcome->reason);
	f->outcome.reason = f->reason;
	if (f->free_in_done)
		f->sink = f->sink->ops->free(f->sink);
	if (f->begin_in_done)
		f->begun = f->sink->ops->begin(
			f->sink, &(struct sink_call){ .plan = &f->plan, .op = f->ops, .n = 1 });
	f->begin_in_done = false;
}

static void on_news(void *userdata, enum sink_news news)
{
	static const char letters[] = { [SINK_READY] = 'R', [SINK_LOST] = 'L', [SINK_CAPS] = 'C' };

	note(userdata, letters[news]);
}

static void wait_told(struct fixture *f, const char *told)
{
	uint64_t end = clock_now_usec() + DEADLINE_USEC;

	while (strcmp(f->told, told) != 0 && strlen(f->told) <= strlen(told) &&
	       clock_now_usec() < end)
		assert_true(sd_event_run(f->event, 10 * CLOCK_USEC_PER_MSEC) >= 0);
	assert_string_equal(f->told, told);
}

static void wait_requests(struct fixture *f, enum agent_verb verb, size_t n)
{
	uint64_t end = clock_now_usec() + DEADLINE_USEC;

	while (fake_count(&f->fake, verb) < n && clock_now_usec() < end)
		assert_true(sd_event_run(f->event, 10 * CLOCK_USEC_PER_MSEC) >= 0);
	assert_true(fake_count(&f->fake, verb) >= n);
}

/* All that is pending is handled: nothing more comes by itself. */
static void run_dry(struct fixture *f)
{
	while (sd_event_run(f->event, 0) > 0)
		;
}

/* ---- what is logged: stderr is a file meanwhile ---- */

static void hear(struct fixture *f)
{
	f->heard = memfd_create("stderr", MFD_CLOEXEC);
	f->was_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	assert_true(f->heard >= 0 && f->was_stderr >= 0);
	assert_int_equal(fflush(stderr), 0);
	assert_true(dup2(f->heard, STDERR_FILENO) >= 0);
	assert_int_equal(log_open("test", LOG_TARGET_STDERR, LOG_INFO), 0);
}

static void stop_hearing(struct fixture *f)
{
	if (f->was_stderr == 0)
		return;
	log_close();
	log_set_level(LOG_ERR);
	(void)dup2(f->was_stderr, STDERR_FILENO);
	(void)close(f->was_stderr);
	(void)close(f->heard);
	f->was_stderr = 0;
}

static size_t count_heard(const struct fixture *f, const char *words)
{
	static char text[65536];
	ssize_t size = pread(f->heard, text, sizeof(text) - 1, 0);
	size_t n = 0;

	assert_true(size >= 0);
	text[size] = '\0';
	for (const char *at = text; (at = strstr(at, words)); at++)
		n++;
	return n;
}

/* ---- one directory a test ---- */

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	*state = f;
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/netmon-test-sink-agent-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	(void)snprintf(f->fake.path, sizeof(f->fake.path), "%s/agent.sock", f->dir);
	(void)snprintf(f->other.path, sizeof(f->other.path), "%s/other.sock", f->dir);
	f->fake.version = f->other.version = "3.20.0";
	return sd_event_new(&f->event) < 0 ? -1 : 0;
}

/* Deepest first. */
static void remove_state(const struct fixture *f)
{
	char path[256];
	char *end;

	(void)snprintf(path, sizeof(path), "%s/" SANDBOX_DIR "/persist.json", f->dir);
	while ((end = strrchr(path, '/')) > path + strlen(f->dir) - 1) {
		(void)remove(path);
		*end = '\0';
	}
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	stop_hearing(f);
	if (f->sink)
		f->sink = f->sink->ops->free(f->sink);
	fake_stop(&f->fake);
	fake_stop(&f->other);
	agent_network_done(&f->fake.got);
	agent_network_done(&f->other.got);
	sd_event_unref(f->event);
	plan_done(&f->plan);
	free(f->ops);
	remove_state(f);
	err_clear();
	if (rmdir(f->dir) < 0)
		return -1;
	free(f);
	return 0;
}

/* ---- a sink ---- */

static void make_sink(struct fixture *f, const struct sink_agent_config *config)
{
	assert_int_equal(sink_agent_new(&f->sink, f->event, config), 0);
	f->sink->done = on_done;
	f->sink->news = on_news;
	f->sink->userdata = f;
}

static void make_sink_of_url(struct fixture *f, uint64_t timeout_usec)
{
	char url[128];

	(void)snprintf(url, sizeof(url), "unix://%s", f->fake.path);
	make_sink(f, &(struct sink_agent_config){ .url = url, .timeout_usec = timeout_usec });
}

static void be(struct fake *f, enum agent_generation generation)
{
	f->version = generation == AGENT_DECLARATIVE ? "3.14.0" : "3.15.0";
	f->is_delta = generation == AGENT_DELTA_V1;
}

static void make_ready(struct fixture *f, enum agent_generation generation)
{
	be(&f->fake, generation);
	fake_start(f, &f->fake);
	make_sink_of_url(f, 0);
	wait_told(f, "R");
	f->told[0] = '\0';
}

/* ---- a plan ---- */

static void fill(struct snapshot *s, enum model_kind kind, const void *items, size_t n)
{
	struct table *table;

	assert_int_equal(table_new(&table, kind), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(table_add(table, (const char *)items + i * model_bytes(kind)), 0);
	table_seal(table);
	snapshot_replace(s, table);
}

static struct link make_link(uint32_t ifindex, const char *name)
{
	struct link l = { .ifindex = ifindex,
			  .mtu = 1500,
			  .mac_bytes = 6,
			  .mac = { 2, 0x42, 0xac, 0x11, 0, (uint8_t)ifindex },
			  .kind = "veth" };

	(void)snprintf(l.name, sizeof(l.name), "%s", name);
	return l;
}

static void make_links(struct plan *p)
{
	const struct link before[] = { make_link(4, "old0"), make_link(5, "gone1") };
	const struct link after[] = { make_link(4, "eth0") };
	const struct addr old = {
		.ifindex = 5, .family = AF_INET, .prefixlen = 24, .bytes = { 10, 7, 0, 2 }
	};
	const struct addr addrs[] = {
		{ .ifindex = 4, .family = AF_INET, .prefixlen = 24, .bytes = { 10, 0, 0, 2 } },
		{ .ifindex = 4,
		  .family = AF_INET6,
		  .prefixlen = 64,
		  .bytes = { 0x20, 1, 0xd, 0xb8, [15] = 2 } },
	};

	assert_int_equal(snapshot_init(&p->from), 0);
	assert_int_equal(snapshot_init(&p->to), 0);
	fill(&p->from, MODEL_LINK, before, 2);
	fill(&p->from, MODEL_ADDR, &old, 1);
	fill(&p->to, MODEL_LINK, after, 1);
	fill(&p->to, MODEL_ADDR, addrs, 2);
}

/* Long in its words, so that few of them are much. */
static struct route make_route(size_t i)
{
	struct route r = { .ifindex = 4,
			   .is_inet6 = 1,
			   .prefixlen = 128,
			   .flags = MODEL_ROUTE_GATEWAY | MODEL_ROUTE_SOURCE };

	memset(r.dst, 0xfd, sizeof(r.dst));
	memset(r.gateway, 0xfd, sizeof(r.gateway));
	memset(r.source, 0xfd, sizeof(r.source));
	r.dst[13] = (uint8_t)(i >> 16);
	r.dst[14] = (uint8_t)(i >> 8);
	r.dst[15] = (uint8_t)i;
	return r;
}

/* @marks: of the first routes, 0 for a good one; may be NULL */
static void make_routes(struct fixture *f, size_t n, const unsigned *marks)
{
	struct route *routes = calloc(n, sizeof(*routes));

	assert_non_null(routes);
	for (size_t i = 0; i < n; i++) {
		routes[i] = make_route(i);
		routes[i].mtu = marks ? marks[i] : 0;
	}
	fill(&f->plan.from, MODEL_ROUTE, routes, n);
	fill(&f->plan.to, MODEL_ROUTE, routes, n);
	free(routes);
}

static void make_neighs(struct fixture *f, size_t n, unsigned mark)
{
	struct neigh *neighs = calloc(n, sizeof(*neighs));

	assert_non_null(neighs);
	for (size_t i = 0; i < n; i++)
		neighs[i] = (struct neigh){ .ifindex = 4,
					    .family = AF_INET,
					    .bytes = { 10, 0, (uint8_t)(i >> 8), (uint8_t)i },
					    .mac_bytes = 6,
					    .mac = { 2, 0, 0, 0, 0, (uint8_t)mark } };
	fill(&f->plan.from, MODEL_NEIGH, neighs, n);
	fill(&f->plan.to, MODEL_NEIGH, neighs, n);
	free(neighs);
}

static int begin(struct fixture *f, enum plan_verb verb, size_t n)
{
	struct sink_call call = { .plan = &f->plan, .n = n };

	free(f->ops);
	f->ops = calloc(n, sizeof(*f->ops));
	assert_non_null(f->ops);
	for (size_t i = 0; i < n; i++)
		f->ops[i] = (struct op){ .verb = verb, .from = (uint32_t)i, .to = (uint32_t)i };
	if (verb == PLAN_LINK_DEL)
		f->ops[0].from = 1;
	call.op = f->ops;
	return f->sink->ops->begin(f->sink, &call);
}

/* One op from begin to done. */
static void run(struct fixture *f, enum plan_verb verb, size_t n)
{
	uint64_t end = clock_now_usec() + DEADLINE_USEC;
	int before = f->outcomes;

	assert_int_equal(begin(f, verb, n), 0);
	assert_int_equal(f->outcomes, before);
	while (f->outcomes == before && clock_now_usec() < end)
		assert_true(sd_event_run(f->event, 10 * CLOCK_USEC_PER_MSEC) >= 0);
	assert_int_equal(f->outcomes, before + 1);
}

static void assert_done(const struct fixture *f)
{
	assert_string_equal(f->reason, "");
	assert_int_equal(f->outcome.result, SINK_DONE);
	assert_false(f->outcome.is_of_all || f->outcome.is_final || f->outcome.is_unknown);
}

static void assert_ends(const struct fixture *f, enum sink_result result, size_t n_done,
			const char *reason)
{
	assert_string_equal(f->reason, reason);
	assert_int_equal(f->outcome.result, result);
	assert_int_equal(f->outcome.n_done, n_done);
}

/* ---- who are you, and what can you be told ---- */

static void test_caps_before_it_is_known_are_ours(void **state)
{
	const struct sink_caps *c = &sink_agent_ops.caps;

	(void)state;
	assert_string_equal(sink_agent_ops.name, "agent");
	assert_true(c->updates_links && c->neighbours && c->route_mtu && c->route_onlink &&
		    c->route_family);
	assert_false(c->routes_whole || c->cold_plugged || c->settles || c->keeps_links ||
		     c->keeps_addrs4 || c->keeps_routes || c->keeps_neighs || c->update_flushes);
	assert_int_equal(c->batch_max, SINK_AGENT_BATCH_MAX);
	assert_int_equal(c->denied, 0);
}

static void assert_caps(const struct sink_caps *c, enum agent_generation g)
{
	bool is_kata = g != AGENT_DELTA_V1;

	assert_true(c->updates_links && c->neighbours && c->route_mtu && c->route_onlink &&
		    c->route_family);
	assert_false(c->cold_plugged || c->settles);
	assert_int_equal(c->routes_whole, g == AGENT_DECLARATIVE);
	assert_int_equal(c->keeps_links, is_kata);
	assert_int_equal(c->keeps_neighs, is_kata);
	assert_int_equal(c->update_flushes, is_kata);
	assert_int_equal(c->keeps_addrs4, g == AGENT_ADDITIVE);
	assert_int_equal(c->keeps_routes, g == AGENT_ADDITIVE);
	assert_int_equal(c->batch_max, g == AGENT_DECLARATIVE ? 0 : SINK_AGENT_BATCH_MAX);
	assert_int_equal(c->denied, 0);
}

static void test_generations_by_version_and_feature(void **state)
{
	static const struct {
		const char *version;
		bool is_delta, has_no_details;
		enum agent_generation want;
	} cases[] = {
		{ "2.0.0", false, true, AGENT_DECLARATIVE },
		{ "3.14.9", false, false, AGENT_DECLARATIVE },
		{ "3.15.0-rc1", false, false, AGENT_ADDITIVE },
		{ "4.1.0-alpha0", false, false, AGENT_ADDITIVE },
		{ "3.31.0", false, true, AGENT_ADDITIVE },
		{ "", false, false, AGENT_DECLARATIVE },
		{ "no version", false, true, AGENT_DECLARATIVE },
		{ "0.1.0", true, false, AGENT_DELTA_V1 },
	};
	struct fixture *f = *state;

	fake_start(f, &f->fake);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		f->fake.version = cases[i].version;
		f->fake.is_delta = cases[i].is_delta;
		f->fake.has_no_details = cases[i].has_no_details;
		f->fake.n_requests = 0;
		memset(f->told, 0, sizeof(f->told));
		make_sink_of_url(f, 0);
		wait_told(f, "R");
		assert_caps(f->sink->caps, cases[i].want);
		assert_int_equal(fake_count(&f->fake, AGENT_VERSION), cases[i].has_no_details);
		assert_int_equal(fake_count(&f->fake, AGENT_LIST_NETWORK),
				 cases[i].want == AGENT_DELTA_V1);
		assert_int_equal(fake_count(&f->fake, AGENT_LIST_INTERFACES),
				 cases[i].want != AGENT_DELTA_V1);
		assert_int_equal(fake_count(&f->fake, AGENT_LIST_ROUTES), 0);
		assert_int_equal(fake_changes(&f->fake), 0);
		f->sink = f->sink->ops->free(f->sink);
	}
}

/* ---- what the guest has ---- */

/* A message by hand: agent.h does not lie, Kata's lists do. */
struct message {
	uint8_t data[512];
	size_t size;
};

static void put_field(struct message *m, uint8_t number, const void *data, size_t size)
{
	assert_true(size < 128 && m->size + size + 2 <= sizeof(m->data));
	m->data[m->size++] = (uint8_t)(number << 3 | 2);
	m->data[m->size++] = (uint8_t)size;
	memcpy(m->data + m->size, data, size);
	m->size += size;
}

static void put_text(struct message *m, uint8_t number, const char *text)
{
	put_field(m, number, text, strlen(text));
}

static void put_address(struct message *interface, bool says_v6, const char *text, const char *mask)
{
	struct message m = { 0 };

	if (says_v6) {
		m.data[m.size++] = 1 << 3;
		m.data[m.size++] = 1;
	}
	put_text(&m, 2, text);
	put_text(&m, 3, mask);
	put_field(interface, 3, m.data, m.size);
}

/*
 * hwAddr in upper case, no device, the family's numbers swapped, loopback and link-local among them.
 * Source: kata-containers src/agent/src/netlink.rs, list_interfaces().
 */
static struct message kata_list(void)
{
	struct message list = { 0 }, lo = { 0 }, eth0 = { 0 };

	put_text(&lo, 2, "lo");
	put_address(&lo, true, "127.0.0.1", "8");
	put_text(&lo, 5, "00:00:00:00:00:00");
	put_text(&eth0, 2, "eth0");
	put_address(&eth0, true, "10.0.0.2", "24");
	put_address(&eth0, false, "2001:db8::2", "64");
	put_address(&eth0, false, "fe80::1", "64");
	eth0.data[eth0.size++] = 4 << 3;
	eth0.data[eth0.size++] = 0xdc;
	eth0.data[eth0.size++] = 0x0b;
	put_text(&eth0, 5, "02:42:AC:11:00:FE");
	put_field(&list, 1, lo.data, lo.size);
	put_field(&list, 1, eth0.data, eth0.size);
	return list;
}

static void test_guest_of_katas_list(void **state)
{
	static const uint8_t mac[6] = { 2, 0x42, 0xac, 0x11, 0, 0xfe };
	struct fixture *f = *state;
	struct message list = kata_list();
	struct sink_guest guest = { 0 };

	f->fake.list = list.data;
	f->fake.list_bytes = list.size;
	make_ready(f, AGENT_ADDITIVE);
	assert_int_equal(f->sink->ops->guest(f->sink, &guest), 0);
	assert_true(guest.is_known);
	assert_false(guest.is_exact);
	assert_int_equal(snapshot_links(&guest.net)->n, 1);
	assert_string_equal(snapshot_links(&guest.net)->links[0].name, "eth0");
	assert_memory_equal(snapshot_links(&guest.net)->links[0].mac, mac, 6);
	assert_int_equal(snapshot_links(&guest.net)->links[0].mtu, 1500);
	assert_int_equal(snapshot_addrs(&guest.net)->n, 3);
	assert_int_equal(snapshot_addrs(&guest.net)->addrs[0].family, AF_INET);
	assert_int_equal(snapshot_addrs(&guest.net)->addrs[1].family, AF_INET6);
	assert_int_equal(snapshot_routes(&guest.net)->n, 0);
	snapshot_done(&guest.net);
}

static void test_guest_of_our_own_list(void **state)
{
	struct fixture *f = *state;
	struct agent_interface i = { .name = "eth0", .has_mac = true, .mac = { 2, [5] = 4 } };
	struct agent_route r = { .family = AF_INET,
				 .dest = { .family = AF_INET, .prefixlen = 8, .bytes = { 10 } },
				 .device = "eth0" };
	struct agent_neighbor n = { .ip = { .family = AF_INET, .bytes = { 10, 0, 0, 1 } },
				    .device = "eth0",
				    .mac = { 2, [5] = 1 } };
	struct sink_guest guest = { 0 };

	f->fake.network = (struct agent_network){ .interfaces = &i,
						  .n_interfaces = 1,
						  .routes = &r,
						  .n_routes = 1,
						  .neighbors = &n,
						  .n_neighbors = 1 };
	make_ready(f, AGENT_DELTA_V1);
	assert_int_equal(f->sink->ops->guest(f->sink, &guest), 0);
	assert_true(guest.is_known && guest.is_exact);
	assert_int_equal(snapshot_links(&guest.net)->n, 1);
	assert_int_equal(snapshot_routes(&guest.net)->n, 1);
	assert_int_equal(snapshot_neighs(&guest.net)->n, 1);
	snapshot_done(&guest.net);
	/* given away: once */
	guest = (struct sink_guest){ 0 };
	assert_int_equal(f->sink->ops->guest(f->sink, &guest), 0);
	assert_false(guest.is_known);
	assert_int_equal(snapshot_links(&guest.net)->n, 0);
	snapshot_done(&guest.net);
}

static void test_a_guest_that_nobody_asked_for_goes_with_the_first_op(void **state)
{
	struct fixture *f = *state;
	struct sink_guest guest = { 0 };

	make_links(&f->plan);
	make_ready(f, AGENT_ADDITIVE);
	run(f, PLAN_LINK_ADD, 1);
	assert_int_equal(f->sink->ops->guest(f->sink, &guest), 0);
	assert_false(guest.is_known);
	snapshot_done(&guest.net);
}

static void test_no_list_is_ready_and_not_known(void **state)
{
	static const struct answer answers[] = {
		{ TTRPC_PERMISSION_DENIED, "ListInterfaces is blocked by policy" },
		{ TTRPC_UNIMPLEMENTED, "/grpc.AgentService/ListInterfaces is not supported" },
		{ TTRPC_RESOURCE_EXHAUSTED, "too much" },
		{ TTRPC_INVALID_ARGUMENT, TOO_LONG },
		{ TTRPC_RESOURCE_EXHAUSTED, TTRPC_ANSWER_TOO_LONG },
	};
	struct fixture *f = *state;

	fake_start(f, &f->fake);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct sink_guest guest = { 0 };

		f->fake.no[AGENT_LIST_INTERFACES] = answers[i];
		memset(f->told, 0, sizeof(f->told));
		make_sink_of_url(f, 0);
		wait_told(f, "R");
		assert_int_equal(f->sink->ops->guest(f->sink, &guest), 0);
		assert_false(guest.is_known || guest.is_exact);
		assert_int_equal(snapshot_links(&guest.net)->n, 0);
		snapshot_done(&guest.net);
		f->sink = f->sink->ops->free(f->sink);
	}
}

/* More than a list may hold: no reason to be without a guest. */
static void test_an_overlong_list_is_not_known(void **state)
{
	static const uint8_t entry[] = { 1 << 3 | 2, 0 }; /* an Interface without fields */
	const size_t n = AGENT_INTERFACES_MAX + 1;
	struct fixture *f = *state;
	uint8_t *list = malloc(n * sizeof(entry));
	struct sink_guest guest = { 0 };

	assert_non_null(list);
	for (size_t i = 0; i < n; i++)
		memcpy(list + i * sizeof(entry), entry, sizeof(entry));
	f->fake.list = list;
	f->fake.list_bytes = n * sizeof(entry);
	make_ready(f, AGENT_ADDITIVE);
	free(list);
	assert_int_equal(f->sink->ops->guest(f->sink, &guest), 0);
	assert_false(guest.is_known);
	snapshot_done(&guest.net);
}

static void test_garbage_is_asked_again(void **state)
{
	struct fixture *f = *state;

	f->fake.list = "\xff\xff\xff\xff";
	f->fake.list_bytes = 4;
	fake_start(f, &f->fake);
	make_sink_of_url(f, 0);
	wait_requests(f, AGENT_LIST_INTERFACES, 3);
	assert_string_equal(f->told, "");
	f->fake.list = NULL;
	wait_told(f, "R");
}

/* "Not now" is no answer to who are you, and a failed list is none to what do you have. */
static void test_a_passing_no_is_asked_again(void **state)
{
	static const struct {
		enum agent_verb verb;
		enum ttrpc_code code;
	} cases[] = {
		{ AGENT_DETAILS, TTRPC_UNAVAILABLE },
		{ AGENT_LIST_INTERFACES, TTRPC_ABORTED },
		{ AGENT_LIST_INTERFACES, TTRPC_INTERNAL },
	};
	struct fixture *f = *state;

	fake_start(f, &f->fake);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct answer *no = &f->fake.no[cases[i].verb];

		*no = (struct answer){ cases[i].code, "not now" };
		f->fake.n_requests = 0;
		memset(f->told, 0, sizeof(f->told));
		make_sink_of_url(f, 0);
		wait_requests(f, cases[i].verb, 2);
		assert_string_equal(f->told, "");
		*no = (struct answer){ 0 };
		wait_told(f, "R");
		f->sink = f->sink->ops->free(f->sink);
	}
}

/* Words and garbage alike: without a list it is worked with too. */
static void test_a_list_that_fails_for_ever_is_not_known(void **state)
{
	struct fixture *f = *state;

	fake_start(f, &f->fake);
	for (size_t i = 0; i < 2; i++) {
		struct sink_guest guest = { 0 };

		f->fake.no[AGENT_LIST_INTERFACES] =
			i == 0 ? (struct answer){ TTRPC_INTERNAL, "no" } : (struct answer){ 0 };
		f->fake.list = "\xff\xff\xff\xff";
		f->fake.list_bytes = 4;
		f->fake.n_requests = 0;
		memset(f->told, 0, sizeof(f->told));
		make_sink_of_url(f, 0);
		wait_told(f, "R");
		assert_int_equal(fake_count(&f->fake, AGENT_LIST_INTERFACES),
				 SINK_AGENT_LIST_TRIES);
		assert_int_equal(f->sink->ops->guest(f->sink, &guest), 0);
		assert_false(guest.is_known);
		snapshot_done(&guest.net);
		f->sink = f->sink->ops->free(f->sink);
	}
}

static void test_denied_details_leave_the_version(void **state)
{
	struct fixture *f = *state;

	f->fake.no[AGENT_DETAILS] = (struct answer){ TTRPC_PERMISSION_DENIED, "policy" };
	make_ready(f, AGENT_ADDITIVE);
	assert_caps(f->sink->caps, AGENT_ADDITIVE);
}

/* ---- what is sent ---- */

static void test_verbs(void **state)
{
	static const struct {
		enum agent_generation generation;
		enum plan_verb verb;
		size_t n;
		enum agent_verb want;
		size_t want_n;
	} cases[] = {
		{ AGENT_DECLARATIVE, PLAN_LINK_ADD, 1, AGENT_UPDATE_INTERFACE, 1 },
		{ AGENT_DECLARATIVE, PLAN_LINK_UPDATE, 1, AGENT_UPDATE_INTERFACE, 1 },
		{ AGENT_DECLARATIVE, PLAN_ROUTES_SET, 1, AGENT_UPDATE_ROUTES, 7 },
		{ AGENT_DECLARATIVE, PLAN_NEIGH_ADD, 1, AGENT_ADD_NEIGHBORS, 1 },
		{ AGENT_ADDITIVE, PLAN_LINK_ADD, 1, AGENT_UPDATE_INTERFACE, 1 },
		{ AGENT_ADDITIVE, PLAN_LINK_UPDATE, 1, AGENT_UPDATE_INTERFACE, 1 },
		{ AGENT_ADDITIVE, PLAN_ROUTE_ADD, 5, AGENT_UPDATE_ROUTES, 5 },
		{ AGENT_ADDITIVE, PLAN_ROUTE_REPLACE, 2, AGENT_UPDATE_ROUTES, 2 },
		{ AGENT_ADDITIVE, PLAN_NEIGH_ADD, 3, AGENT_ADD_NEIGHBORS, 3 },
		{ AGENT_DELTA_V1, PLAN_LINK_ADD, 1, AGENT_UPDATE_INTERFACE, 1 },
		{ AGENT_DELTA_V1, PLAN_LINK_UPDATE, 1, AGENT_UPDATE_INTERFACE, 1 },
		{ AGENT_DELTA_V1, PLAN_LINK_DEL, 1, AGENT_REMOVE_INTERFACE, 1 },
		{ AGENT_DELTA_V1, PLAN_ROUTE_ADD, 7, AGENT_UPDATE_ROUTES, 7 },
		{ AGENT_DELTA_V1, PLAN_ROUTE_REPLACE, 1, AGENT_UPDATE_ROUTES, 1 },
		{ AGENT_DELTA_V1, PLAN_ROUTE_DEL, 6, AGENT_REMOVE_ROUTES, 6 },
		{ AGENT_DELTA_V1, PLAN_NEIGH_ADD, 4, AGENT_ADD_NEIGHBORS, 4 },
		{ AGENT_DELTA_V1, PLAN_NEIGH_DEL, 2, AGENT_REMOVE_NEIGHBORS, 2 },
	};
	struct fixture *f = *state;

	make_links(&f->plan);
	make_routes(f, 7, NULL);
	make_neighs(f, 4, 1);
	fake_start(f, &f->fake);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		be(&f->fake, cases[i].generation);
		memset(f->told, 0, sizeof(f->told));
		make_sink_of_url(f, 0);
		wait_told(f, "R");
		f->fake.n_requests = 0;
		run(f, cases[i].verb, cases[i].n);
		assert_done(f);
		assert_int_equal(f->fake.n_requests, 1);
		assert_int_equal(f->fake.requests[0].verb, cases[i].want);
		assert_int_equal(f->fake.requests[0].n, cases[i].want_n);
		f->sink = f->sink->ops->free(f->sink);
	}
}

static void test_a_link_goes_whole(void **state)
{
	static const uint8_t mac[6] = { 2, 0x42, 0xac, 0x11, 0, 4 };
	struct fixture *f = *state;
	const struct agent_interface *i;

	make_links(&f->plan);
	make_ready(f, AGENT_ADDITIVE);
	run(f, PLAN_LINK_UPDATE, 1);
	i = f->fake.got.interfaces;
	assert_string_equal(i->name, "eth0");
	assert_string_equal(i->device, "eth0");
	assert_string_equal(i->type, "veth");
	assert_string_equal(i->device_path, "");
	assert_memory_equal(i->mac, mac, 6);
	assert_int_equal(i->mtu, 1500);
	assert_int_equal(i->raw_flags, 0);
	assert_int_equal(i->n_ips, 2);
	assert_int_equal(i->ips[0].prefixlen, 24);
	assert_int_equal(i->ips[1].family, AF_INET6);
}

static void test_a_link_is_taken_back_as_it_was_told(void **state)
{
	struct fixture *f = *state;

	make_links(&f->plan);
	make_ready(f, AGENT_DELTA_V1);
	run(f, PLAN_LINK_DEL, 1);
	assert_string_equal(f->fake.got.interfaces[0].name, "gone1");
	assert_int_equal(f->fake.got.interfaces[0].mac[5], 5);
	assert_int_equal(f->fake.got.interfaces[0].n_ips, 1);
}

/* Kata's read a bare address as /32, and lose it. */
static void test_the_source_is_written_as_the_agent_needs_it(void **state)
{
	static const enum agent_generation all[] = { AGENT_DECLARATIVE, AGENT_ADDITIVE,
						     AGENT_DELTA_V1 };
	const struct route route = { .ifindex = 4,
				     .dst = { 10, 9 },
				     .prefixlen = 16,
				     .flags = MODEL_ROUTE_SOURCE,
				     .source = { 10, 0, 0, 2 } };
	struct fixture *f = *state;

	make_links(&f->plan);
	fill(&f->plan.to, MODEL_ROUTE, &route, 1);
	fake_start(f, &f->fake);
	for (size_t i = 0; i < 3; i++) {
		be(&f->fake, all[i]);
		memset(f->told, 0, sizeof(f->told));
		make_sink_of_url(f, 0);
		wait_told(f, "R");
		run(f, all[i] == AGENT_DECLARATIVE ? PLAN_ROUTES_SET : PLAN_ROUTE_ADD, 1);
		assert_done(f);
		assert_int_equal(f->fake.has_zero_source, all[i] != AGENT_DELTA_V1);
		assert_string_equal(f->fake.got.routes[0].device, "eth0");
		f->sink = f->sink->ops->free(f->sink);
	}
}

static void test_neighbours_are_permanent(void **state)
{
	struct fixture *f = *state;

	make_links(&f->plan);
	make_neighs(f, 1, 9);
	make_ready(f, AGENT_ADDITIVE);
	run(f, PLAN_NEIGH_ADD, 1);
	assert_done(f);
	assert_int_equal(f->fake.got.neighbors[0].state, NUD_PERMANENT);
	assert_int_equal(f->fake.got.neighbors[0].mac[5], 9);
	assert_string_equal(f->fake.got.neighbors[0].device, "eth0");
}

/* An empty set is a set: a declarative agent deletes all its routes. */
static void test_an_empty_set_is_sent(void **state)
{
	struct fixture *f = *state;

	make_links(&f->plan);
	make_ready(f, AGENT_DECLARATIVE);
	run(f, PLAN_ROUTES_SET, 1);
	assert_done(f);
	assert_int_equal(fake_count(&f->fake, AGENT_UPDATE_ROUTES), 1);
	assert_int_equal(f->fake.got.n_routes, 0);
}

static void test_nothing_is_sent_unasked(void **state)
{
	struct fixture *f = *state;

	make_ready(f, AGENT_ADDITIVE);
	run_dry(f);
	assert_int_equal(fake_changes(&f->fake), 0);
	assert_string_equal(f->told, "");
}

/* As the Go shim leaves it: AgentState.URL in persist.json. */
static void write_url(const struct fixture *f, const char *socket_path)
{
	static const char *const dirs[] = { "run", "run/vc", "run/vc/sbs", SANDBOX_DIR };
	char path[256], text[256];
	FILE *file;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", f->dir, dirs[i]);
		assert_true(mkdir(path, 0700) == 0 || errno == EEXIST);
	}
	(void)snprintf(path, sizeof(path), "%s/%s/persist.json", f->dir, dirs[3]);
	(void)snprintf(text, sizeof(text), "{\"AgentState\":{\"URL\":\"unix://%s\"}}", socket_path);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* Of all timerfds of this process: none is armed. Source: proc_pid_fdinfo(5). */
static bool is_any_timer_armed(void)
{
	DIR *dir = opendir("/proc/self/fdinfo");
	const struct dirent *entry;
	bool is_armed = false;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		CLEANUP(cleanup_free) char *text = NULL;
		char path[288];
		const char *value;

		(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%s", entry->d_name);
		if (entry->d_name[0] == '.' || io_read_path(path, 65536, &text, NULL) < 0)
			continue;
		value = strstr(text, "it_value: ");
		is_armed |= value && !strstr(value, "it_value: (0, 0)");
	}
	(void)closedir(dir);
	return is_armed;
}

static void test_idle_is_idle(void **state)
{
	struct fixture *f = *state;

	make_links(&f->plan);
	fake_start(f, &f->fake);
	make_sink(f, &(struct sink_agent_config){ .sandbox_id = SANDBOX, .root = f->dir });
	run_dry(f);
	assert_true(is_any_timer_armed()); /* it looks for it */
	write_url(f, f->fake.path);
	wait_told(f, "R");
	run(f, PLAN_LINK_ADD, 1);
	run_dry(f);
	assert_false(is_any_timer_armed());
	/* nor when it was lost, and is back before anybody looks elsewhere */
	server_close(f->fake.last);
	wait_told(f, "RDLR");
	run_dry(f);
	assert_false(is_any_timer_armed());
}

/* ---- sizes ---- */

/* What is over 4 MiB in one request goes in several, and nobody is blamed. */
static void test_a_batch_is_cut_by_size(void **state)
{
	const size_t n = 60000;
	struct fixture *f = *state;

	make_links(&f->plan);
	make_routes(f, n, NULL);
	make_ready(f, AGENT_ADDITIVE);
	run(f, PLAN_ROUTE_ADD, n);
	assert_done(f);
	assert_int_equal(f->fake.put, n);
	assert_int_equal(f->fake.refused, 0);
	assert_in_range(fake_count(&f->fake, AGENT_UPDATE_ROUTES), 2, 8);
}

static void test_a_set_over_the_limit_is_refused(void **state)
{
	struct fixture *f = *state;

	make_links(&f->plan);
	make_routes(f, 60000, NULL);
	make_ready(f, AGENT_DECLARATIVE);
	run(f, PLAN_ROUTES_SET, 1);
	assert_ends(f, SINK_REFUSED, 0,
		    "the list of 60000 routes is over the agent's limit of 4 MiB a request");
	assert_true(f->outcome.is_final);
	assert_int_equal(fake_changes(&f->fake), 0);
	/* and the next op goes */
	run(f, PLAN_LINK_ADD, 1);
	assert_done(f);
}

/* ---- who is to blame ---- */

static unsigned log2_up(size_t n)
{
	unsigned bits = 0;

	while ((size_t)1 << bits < n)
		bits++;
	return bits;
}

/* The one bad route of @n at each place: all before it are done, and few are asked. */
static void one_bad(struct fixture *f, size_t n, size_t bad)
{
	unsigned *marks = calloc(n, sizeof(*marks));

	assert_non_null(marks);
	marks[bad] = BAD;
	make_routes(f, n, marks);
	free(marks);
	f->fake.n_requests = 0;
	memset(f->told, 0, sizeof(f->told));
	run(f, PLAN_ROUTE_ADD, n);
	assert_ends(f, SINK_REFUSED, bad, "internal: Failed to update routes: \x1b[31m bad");
	assert_false(f->outcome.is_of_all || f->outcome.is_final || f->outcome.is_unknown);
	assert_true(fake_count(&f->fake, AGENT_UPDATE_ROUTES) <= 2 + log2_up(n));
}

static void test_the_bad_one_is_found(void **state)
{
	static const size_t many[] = { 0, 1, 1249, 1250, 2498, 2499 };
	struct fixture *f = *state;

	make_links(&f->plan);
	make_ready(f, AGENT_ADDITIVE);
	for (size_t n = 1; n <= 9; n++)
		for (size_t bad = 0; bad < n; bad++)
			one_bad(f, n, bad);
	for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
		one_bad(f, SINK_AGENT_BATCH_MAX, many[i]);
}

/*
 * The caller goes on behind each that is refused. Return: how many were; @marks says which.
 */
static size_t run_on(struct fixture *f, size_t n, const unsigned *marks, unsigned mark)
{
	size_t refused = 0;

	for (size_t from = 0; from < n; from++) {
		struct sink_call call = { .plan = &f->plan, .n = n - from };
		int before = f->outcomes;
		uint64_t end = clock_now_usec() + DEADLINE_USEC;

		if (!f->ops)
			f->ops = calloc(n, sizeof(*f->ops));
		assert_non_null(f->ops);
		for (size_t i = 0; i < n; i++)
			f->ops[i] = (struct op){ .verb = PLAN_ROUTE_ADD,
						 .from = PLAN_NONE,
						 .to = (uint32_t)i };
		call.op = f->ops + from;
		assert_int_equal(f->sink->ops->begin(f->sink, &call), 0);
		while (f->outcomes == before && clock_now_usec() < end)
			assert_true(sd_event_run(f->event, 10 * CLOCK_USEC_PER_MSEC) >= 0);
		assert_int_equal(f->outcomes, before + 1);
		if (f->outcome.result == SINK_DONE)
			break;
		assert_int_equal(f->outcome.result, SINK_REFUSED);
		from += f->outcome.n_done;
		assert_int_equal(marks[from], mark);
		refused++;
	}
	return refused;
}

/* All the good ones get there, each bad one costs itself. */
static void test_several_bad_ones(void **state)
{
	enum { N = 64 };
	struct fixture *f = *state;
	unsigned marks[N] = { [3] = BAD, [4] = BAD, [40] = BAD, [63] = BAD };

	make_links(&f->plan);
	make_routes(f, N, marks);
	make_ready(f, AGENT_ADDITIVE);
	assert_int_equal(run_on(f, N, marks, BAD), 4);
}

/* One in each half: both halves are denied, and the method is not. */
static void test_several_denied_ones(void **state)
{
	static const size_t pairs[][2] = { { 2, 5 }, { 1, 4 }, { 0, 5 }, { 2, 3 }, { 0, 4 } };
	struct fixture *f = *state;

	make_links(&f->plan);
	make_ready(f, AGENT_ADDITIVE);
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		unsigned marks[6] = { 0 };

		marks[pairs[i][0]] = marks[pairs[i][1]] = FORBIDDEN;
		make_routes(f, 6, marks);
		f->fake.put = f->fake.n_requests = 0;
		memset(f->told, 0, sizeof(f->told));
		assert_int_equal(run_on(f, 6, marks, FORBIDDEN), 2);
		assert_true(f->fake.put >= 4);
		assert_true(f->outcome.result == SINK_DONE || f->outcome.is_final);
		run_dry(f);
		assert_null(strchr(f->told, 'C'));
	}
	assert_int_equal(f->sink->caps->denied, 0);
}

/* What is behind a part that went well is no first split: it says nothing of the method. */
static void test_denied_ones_behind_a_good_part(void **state)
{
	enum { N = 60000, FIRST = 16000 };
	struct fixture *f = *state;
	unsigned *marks = calloc(N, sizeof(*marks));

	assert_non_null(marks);
	for (size_t i = FIRST; i < N; i += 500)
		marks[i] = FORBIDDEN;
	make_links(&f->plan);
	make_routes(f, N, marks);
	free(marks);
	make_ready(f, AGENT_ADDITIVE);
	run(f, PLAN_ROUTE_ADD, N);
	assert_ends(f, SINK_REFUSED, FIRST, "permission denied: UpdateRoutes is blocked");
	assert_true(f->outcome.is_final);
	/* 4 MiB hold about 25,000 of these: the first part ends before the first bad one */
	assert_true(f->fake.requests[f->fake.n_requests - 1].n == 1 && f->fake.put >= N / 4);
	assert_true(fake_count(&f->fake, AGENT_UPDATE_ROUTES) <= 2 + log2_up(N / 2));
	run_dry(f);
	assert_string_equal(f->told, "D");
}

static void test_all_bad(void **state)
{
	struct fixture *f = *state;
	unsigned marks[100];

	for (size_t i = 0; i < 100; i++)
		marks[i] = BAD;
	make_links(&f->plan);
	make_routes(f, 100, marks);
	make_ready(f, AGENT_ADDITIVE);
	run(f, PLAN_ROUTE_ADD, 100);
	assert_ends(f, SINK_REFUSED, 0, "internal: Failed to update routes: \x1b[31m bad");
	assert_true(fake_count(&f->fake, AGENT_UPDATE_ROUTES) <= 2 + log2_up(100));
}

/* An agent that says no to many and yes to each is not asked forever. */
static void test_an_agent_that_contradicts_itself(void **state)
{
	struct fixture *f = *state;

	make_links(&f->plan);
	make_routes(f, 2500, NULL);
	make_ready(f, AGENT_ADDITIVE);
	f->fake.refuses_many = true;
	run(f, PLAN_ROUTE_ADD, 2500);
	assert_int_equal(f->outcome.result, SINK_RETRY);
	assert_true(f->outcome.is_of_all);
	assert_true(f->outcome.is_unknown); /* the first half of what was blamed may be there */
	assert_true(f->fake.refused <= AGENT_OP_BLAMES_MAX + 1);
	assert_string_equal(f->reason,
			    "nobody is to blame after 33 answers: internal: too many for me");
}

/* ---- who of a set is to blame ---- */

/* Every second one has no gateway; the tables' order mixes them. */
static void make_set(struct fixture *f, size_t n, size_t marked, unsigned mark)
{
	struct route *routes = calloc(n + 1, sizeof(*routes));

	assert_non_null(routes);
	for (size_t i = 0; i < n; i++) {
		routes[i] = make_route(i);
		routes[i].flags = MODEL_ROUTE_GATEWAY;
		memset(routes[i].source, 0, sizeof(routes[i].source));
		if (i % 2 == 0)
			continue;
		routes[i].flags = 0;
		memset(routes[i].gateway, 0, sizeof(routes[i].gateway));
	}
	if (marked < n)
		routes[marked].mtu = mark;
	fill(&f->plan.to, MODEL_ROUTE, routes, n);
	free(routes);
	f->fake.n_requests = 0;
	memset(f->told, 0, sizeof(f->told));
}

static void assert_gatewayless_first(const struct agent_network *n)
{
	for (size_t i = 1; i < n->n_routes; i++)
		assert_false(n->routes[i - 1].gateway.family != 0 &&
			     n->routes[i].gateway.family == 0);
}

static void one_bad_of_a_set(struct fixture *f, size_t n, size_t bad, unsigned mark)
{
	make_set(f, n, bad, mark);
	run(f, PLAN_ROUTES_SET, 1);
	assert_int_equal(f->outcome.result, SINK_REFUSED);
	assert_false(f->outcome.is_of_all);
	assert_int_equal(f->outcome.is_final, mark == FORBIDDEN);
	assert_ptr_equal(f->outcome.blamed, table_at(snapshot_routes(&f->plan.to), bad));
	assert_non_null(strstr(f->reason, mark == BAD ? "internal: " : "permission denied: "));
	assert_true(fake_count(&f->fake, AGENT_UPDATE_ROUTES) <= 2 + log2_up(n + 1));
	assert_gatewayless_first(&f->fake.got);
}

static void test_the_bad_one_of_a_set_is_found(void **state)
{
	static const size_t many[] = { 0, 1, 999, 1000, 1001, 1998, 1999 };
	struct fixture *f = *state;

	make_links(&f->plan);
	make_ready(f, AGENT_DECLARATIVE);
	for (size_t n = 1; n <= 9; n++) {
		for (size_t bad = 0; bad < n; bad++) {
			one_bad_of_a_set(f, n, bad, BAD);
			one_bad_of_a_set(f, n, bad, FORBIDDEN);
		}
	}
	for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
		one_bad_of_a_set(f, 2000, many[i], BAD);
	/* without it the set is taken, by one call */
	make_set(f, 2000, 0, 0);
	run(f, PLAN_ROUTES_SET, 1);
	assert_done(f);
	assert_null(f->outcome.blamed);
	assert_int_equal(fake_count(&f->fake, AGENT_UPDATE_ROUTES), 1);
	assert_int_equal(f->fake.got.n_routes, 2000);
	assert_gatewayless_first(&f->fake.got);
	run_dry(f);
	assert_int_equal(f->sink->caps->denied, 0);
}

static void test_a_set_waits_for_its_links(void **state)
{
	struct fixture *f = *state;

	make_links(&f->plan);
	make_ready(f, AGENT_DECLARATIVE);
	make_set(f, 8, 3, LINK_EARLY);
	run(f, PLAN_ROUTES_SET, 1);
	assert_ends(f, SINK_RETRY, 0,
		    "not plugged yet: internal: update: Link not found (Address: ..)");
	assert_true(f->outcome.is_of_all);
	assert_null(f->outcome.blamed);
	assert_int_equal(fake_count(&f->fake, AGENT_UPDATE_ROUTES), 1);
}

/* Not even the empty one: no route is at fault, nor believed to be. */
static void test_a_set_of_which_nobody_is_to_blame(void **state)
{
	struct fixture *f = *state;

	make_links(&f->plan);
	make_ready(f, AGENT_DECLARATIVE);
	f->fake.no[AGENT_UPDATE_ROUTES] = (struct answer){ TTRPC_INTERNAL, "broken" };
	for (size_t n = 0; n < 10; n++) {
		make_set(f, n, 0, 0);
		run(f, PLAN_ROUTES_SET, 1);
		assert_ends(f, SINK_RETRY, 0, "internal: broken");
		assert_true(f->outcome.is_of_all);
		assert_false(f->outcome.is_final);
		assert_null(f->outcome.blamed);
		assert_true(fake_count(&f->fake, AGENT_UPDATE_ROUTES) <= 2 + log2_up(n + 1));
	}
	run_dry(f);
	assert_string_equal(f->told, "D");
	/* a policy that takes not even that takes none */
	f->fake.no[AGENT_UPDATE_ROUTES] = (struct answer){ TTRPC_PERMISSION_DENIED, "policy" };
	make_set(f, 9, 0, 0);
	run(f, PLAN_ROUTES_SET, 1);
	assert_ends(f, SINK_RETRY, 0, "permission denied: policy");
	assert_true(f->outcome.is_of_all);
	wait_told(f, "DC");
	assert_int_equal(f->sink->caps->denied, 1U << MODEL_ROUTE);
}

static void test_a_denied_value_is_refused_for_good(void **state)
{
	struct fixture *f = *state;

	make_links(&f->plan);
	make_ready(f, AGENT_ADDITIVE);
	for (size_t n = 3; n <= 8; n++) {
		for (size_t bad = 0; bad < n; bad++) {
			unsigned marks[8] = { 0 };

			marks[bad] = FORBIDDEN;
			make_routes(f, n, marks);
			f->fake.n_requests = 0;
			memset(f->told, 0, sizeof(f->told));
			run(f, PLAN_ROUTE_ADD, n);
			assert_ends(f, SINK_REFUSED, bad,
				    "permission denied: UpdateRoutes is blocked");
			assert_true(f->outcome.is_final);
			assert_false(f->outcome.is_of_all);
			assert_true(fake_count(&f->fake, AGENT_UPDATE_ROUTES) <= 4 + log2_up(n));
			run_dry(f);
			assert_string_equal(f->told, "D");
		}
	}
	assert_int_equal(f->sink->caps->denied, 0);
}

static void test_a_denied_link_is_refused_for_good(void **state)
{
	struct fixture *f = *state;

	make_links(&f->plan);
	make_ready(f, AGENT_ADDITIVE);
	f->fake.no[AGENT_UPDATE_INTERFACE] = (struct answer){ TTRPC_PERMISSION_DENIED, "policy" };
	run(f, PLAN_LINK_ADD, 1);
	assert_ends(f, SINK_REFUSED, 0, "permission denied: policy");
	assert_true(f->outcome.is_final);
	run_dry(f);
	assert_int_equal(f->sink->caps->denied, 0);
}

static void test_both_halves_denied_is_the_method(void **state)
{
	struct fixture *f = *state;

	make_links(&f->plan);
	make_routes(f, 2500, NULL);
	make_ready(f, AGENT_ADDITIVE);
	f->fake.no[AGENT_UPDATE_ROUTES] = (struct answer){ TTRPC_PERMISSION_DENIED, "policy" };
	run(f, PLAN_ROUTE_ADD, 2500);
	assert_ends(f, SINK_RETRY, 0, "permission denied: policy");
	assert_true(f->outcome.is_of_all);
	assert_false(f->outcome.is_unknown);
	/* the whole, its halves, and one value of each */
	assert_int_equal(fake_count(&f->fake, AGENT_UPDATE_ROUTES), 5);
	assert_int_equal(f->sink->caps->denied, 0); /* it changes with the news of it */
	wait_told(f, "DC");
	assert_int_equal(f->sink->caps->denied, 1U << MODEL_ROUTE);
}

static void test_neighbours_that_nobody_takes_are_told_once(void **state)
{
	struct fixture *f = *state;

	make_links(&f->plan);
	make_neighs(f, 3, 1);
	make_ready(f, AGENT_ADDITIVE);
	f->fake.no[AGENT_ADD_NEIGHBORS] = (struct answer){ TTRPC_UNIMPLEMENTED, "no method" };
	run(f, PLAN_NEIGH_ADD, 3);
	assert_ends(f, SINK_RETRY, 0, "unimplemented: no method");
	assert_true(f->outcome.is_of_all);
	assert_int_equal(fake_count(&f->fake, AGENT_ADD_NEIGHBORS), 1);
	wait_told(f, "DC");
	assert_int_equal(f->sink->caps->denied, 1U << MODEL_NEIGH);
	run(f, PLAN_NEIGH_ADD, 3);
	run_dry(f);
	assert_string_equal(f->told, "DCD");
}

static void test_a_link_that_is_not_plugged_yet(void **state)
{
	static const struct answer answers[] = {
		{ TTRPC_INTERNAL, "update interface: Link not found (Address: 02:..)" },
		{ TTRPC_INTERNAL, "interface not available: timeout" },
		{ TTRPC_NOT_FOUND, "02:42:ac:11:00:04" },
	};
	struct fixture *f = *state;

	make_links(&f->plan);
	make_ready(f, AGENT_DELTA_V1);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		f->fake.no[AGENT_UPDATE_INTERFACE] = answers[i];
		run(f, PLAN_LINK_ADD, 1);
		assert_int_equal(f->outcome.result, SINK_RETRY);
		assert_false(f->outcome.is_of_all || f->outcome.is_unknown);
		assert_non_null(strstr(f->reason, "not plugged yet: "));
		assert_non_null(strstr(f->reason, answers[i].message));
	}
	/* what is not there needs not be taken back */
	f->fake.no[AGENT_REMOVE_INTERFACE] = answers[0];
	run(f, PLAN_LINK_DEL, 1);
	assert_done(f);
}

static void test_a_route_of_a_link_that_is_not_plugged_yet(void **state)
{
	struct fixture *f = *state;
	const unsigned marks[5] = { [2] = LINK_EARLY };

	make_links(&f->plan);
	make_routes(f, 5, marks);
	make_ready(f, AGENT_DELTA_V1);
	run(f, PLAN_ROUTE_ADD, 5);
	assert_int_equal(f->outcome.result, SINK_RETRY);
	assert_int_equal(f->outcome.n_done, 2);
	assert_false(f->outcome.is_of_all);
	f->fake.put = 0;
	run(f, PLAN_ROUTE_DEL, 5); /* it is passed over, and the others go */
	assert_done(f);
}

/* However many are gone already: none of them is a blame that leads nowhere. */
static void test_many_routes_of_a_link_that_is_gone_are_taken_back(void **state)
{
	enum { N = 200 };
	struct fixture *f = *state;
	unsigned marks[N];

	for (size_t i = 0; i < N; i++)
		marks[i] = i % 4 == 0 ? 0 : LINK_EARLY;
	make_links(&f->plan);
	make_routes(f, N, marks);
	make_ready(f, AGENT_DELTA_V1);
	f->fake.is_last_kept = true;
	run(f, PLAN_ROUTE_DEL, N);
	assert_done(f);
	assert_true(f->fake.put >= N / 4);
}

/* The first request may have reached what is behind the one that was passed over. */
static void test_what_is_behind_a_blame_is_unknown(void **state)
{
	const unsigned marks[2] = { LINK_EARLY };
	struct fixture *f = *state;

	make_links(&f->plan);
	make_routes(f, 2, marks);
	make_ready(f, AGENT_DELTA_V1);
	f->fake.fails_after = 2; /* the whole, and the one */
	run(f, PLAN_ROUTE_DEL, 2);
	assert_ends(f, SINK_RETRY, 1, "unavailable: not now");
	assert_true(f->outcome.is_of_all && f->outcome.is_unknown);
}

/* Old releases of Kata add neighbours with NLM_F_EXCL. */
static void test_a_neighbour_that_is_there_is_there(void **state)
{
	static const char there[] =
		"Failed to add ARP neighbours: Received a netlink error message "
		"File exists (os error 17)";
	struct fixture *f = *state;

	make_links(&f->plan);
	make_neighs(f, 3, 1);
	make_routes(f, 1, NULL);
	make_ready(f, AGENT_DECLARATIVE);
	f->fake.no[AGENT_ADD_NEIGHBORS] = (struct answer){ TTRPC_INTERNAL, there };
	run(f, PLAN_NEIGH_ADD, 1);
	assert_done(f);
	run(f, PLAN_NEIGH_ADD, 3);
	assert_done(f);
	/* of nothing else */
	f->fake.no[AGENT_UPDATE_INTERFACE] = (struct answer){ TTRPC_INTERNAL, there };
	run(f, PLAN_LINK_ADD, 1);
	assert_int_equal(f->outcome.result, SINK_REFUSED);
}

/* No word to take it back: it is kept from then on, and what is to be added still goes. */
static void test_what_can_not_be_taken_back_is_kept(void **state)
{
	static const struct {
		enum plan_verb verb;
		enum agent_verb asked;
	} cases[] = {
		{ PLAN_LINK_DEL, AGENT_REMOVE_INTERFACE },
		{ PLAN_ROUTE_DEL, AGENT_REMOVE_ROUTES },
		{ PLAN_NEIGH_DEL, AGENT_REMOVE_NEIGHBORS },
	};
	const struct sink_caps *caps;
	struct fixture *f = *state;

	make_links(&f->plan);
	make_routes(f, 3, NULL);
	make_neighs(f, 3, 1);
	make_ready(f, AGENT_DELTA_V1);
	caps = f->sink->caps;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		f->fake.no[cases[i].asked] = (struct answer){ TTRPC_UNIMPLEMENTED, "no" };
		memset(f->told, 0, sizeof(f->told));
		run(f, cases[i].verb, 1);
		assert_ends(f, SINK_RETRY, 0, "unimplemented: no");
		assert_true(f->outcome.is_of_all);
		assert_false(f->outcome.is_unknown);
		wait_told(f, "DC");
		assert_true(caps->keeps_links);
		assert_int_equal(caps->keeps_routes, i >= 1);
		assert_int_equal(caps->keeps_neighs, i >= 2);
		assert_int_equal(caps->denied, 0);
		/* once */
		run(f, cases[i].verb, 1);
		run_dry(f);
		assert_string_equal(f->told, "DCD");
	}
	run(f, PLAN_ROUTE_ADD, 3);
	assert_done(f);
}

/* The agent has done it, and can't say how many routes it has now. */
static void test_an_answer_that_is_too_long_is_an_answer(void **state)
{
	static const struct answer answers[] = {
		{ TTRPC_INVALID_ARGUMENT, TOO_LONG },
		{ TTRPC_RESOURCE_EXHAUSTED,
		  TTRPC_ANSWER_TOO_LONG }, /* ours, and our own client's */
	};
	struct fixture *f = *state;

	make_links(&f->plan);
	make_routes(f, 5, NULL);
	make_ready(f, AGENT_ADDITIVE);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		f->fake.no[AGENT_UPDATE_ROUTES] = answers[i];
		run(f, PLAN_ROUTE_ADD, 5);
		assert_done(f);
		assert_int_equal(fake_count(&f->fake, AGENT_UPDATE_ROUTES), i + 1);
	}
}

static void test_what_every_answer_means(void **state)
{
	static const struct {
		enum ttrpc_code code;
		enum sink_result result;
		bool is_of_all, is_final, is_unknown;
	} cases[] = {
		{ TTRPC_CANCELLED, SINK_RETRY, true, false, false },
		{ TTRPC_UNKNOWN, SINK_REFUSED, false, false, false },
		{ TTRPC_INVALID_ARGUMENT, SINK_REFUSED, false, false, false },
		{ TTRPC_NOT_FOUND, SINK_RETRY, false, false, false },
		{ TTRPC_ALREADY_EXISTS, SINK_REFUSED, false, false, false },
		{ TTRPC_PERMISSION_DENIED, SINK_REFUSED, false, true, false },
		{ TTRPC_RESOURCE_EXHAUSTED, SINK_RETRY, true, false, false },
		{ TTRPC_FAILED_PRECONDITION, SINK_REFUSED, false, false, false },
		{ TTRPC_ABORTED, SINK_RETRY, true, false, false },
		{ TTRPC_OUT_OF_RANGE, SINK_REFUSED, false, false, false },
		{ TTRPC_UNIMPLEMENTED, SINK_RETRY, true, false, false },
		{ TTRPC_INTERNAL, SINK_REFUSED, false, false, false },
		{ TTRPC_UNAVAILABLE, SINK_RETRY, true, false, false },
		{ TTRPC_DATA_LOSS, SINK_REFUSED, false, false, false },
		{ TTRPC_UNAUTHENTICATED, SINK_REFUSED, false, false, false },
		{ TTRPC_DEADLINE_EXCEEDED, SINK_RETRY, true, false, true },
	};
	struct fixture *f = *state;

	make_links(&f->plan);
	make_routes(f, 1, NULL);
	make_ready(f, AGENT_ADDITIVE);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		f->fake.no[AGENT_UPDATE_ROUTES] = (struct answer){ cases[i].code, "why" };
		run(f, PLAN_ROUTE_ADD, 1);
		assert_int_equal(f->outcome.result, cases[i].result);
		assert_int_equal(f->outcome.is_of_all, cases[i].is_of_all);
		assert_int_equal(f->outcome.is_final, cases[i].is_final);
		assert_int_equal(f->outcome.is_unknown, cases[i].is_unknown);
		assert_non_null(strstr(f->reason, ": why"));
		assert_non_null(strstr(f->reason, ttrpc_code_to_string(cases[i].code)));
	}
	/* no answer costs the connection: somebody is there and says it */
	run_dry(f);
	assert_null(strchr(f->told, 'L'));
}

/* ---- connections, deadlines, ends ---- */

static void test_no_answer_in_time_costs_the_connection(void **state)
{
	struct fixture *f = *state;

	make_links(&f->plan);
	fake_start(f, &f->fake);
	f->fake.is_silent = true;
	make_sink_of_url(f, 200 * CLOCK_USEC_PER_MSEC);
	wait_told(f, "R");
	run(f, PLAN_LINK_ADD, 1);
	assert_ends(f, SINK_RETRY, 0, "no answer in 200 ms");
	assert_true(f->outcome.is_unknown && f->outcome.is_of_all);
	f->fake.is_silent = false;
	wait_told(f, "RDLR"); /* each of its questions may miss the 200 ms, and is asked again */
}

static void test_a_lost_connection_comes_back(void **state)
{
	struct fixture *f = *state;
	struct sink_guest guest = { 0 };

	make_links(&f->plan);
	make_ready(f, AGENT_ADDITIVE);
	f->fake.is_silent = true;
	assert_int_equal(begin(f, PLAN_LINK_ADD, 1), 0);
	assert_int_equal(
		f->sink->ops->begin(f->sink,
				    &(struct sink_call){ .plan = &f->plan, .op = f->ops, .n = 1 }),
		-EBUSY);
	wait_requests(f, AGENT_UPDATE_INTERFACE, 1);
	fake_stop(&f->fake);
	wait_told(f, "DL");
	assert_int_equal(f->outcome.result, SINK_RETRY);
	assert_true(f->outcome.is_unknown && f->outcome.is_of_all);
	assert_non_null(strstr(f->reason, "connection lost: "));
	assert_int_equal(begin(f, PLAN_LINK_ADD, 1), -ENOTCONN);
	/* another one, of another kind */
	f->fake.is_silent = false;
	f->fake.is_delta = true;
	fake_start(f, &f->fake);
	wait_told(f, "DLR");
	assert_caps(f->sink->caps, AGENT_DELTA_V1);
	assert_int_equal(f->sink->ops->guest(f->sink, &guest), 0);
	assert_true(guest.is_known && guest.is_exact);
	snapshot_done(&guest.net);
	run(f, PLAN_LINK_ADD, 1);
	assert_done(f);
}

/* What the last one did not take the next one may. */
static void test_what_is_denied_is_forgotten_with_the_connection(void **state)
{
	struct fixture *f = *state;

	make_links(&f->plan);
	make_neighs(f, 1, 1);
	make_ready(f, AGENT_ADDITIVE);
	f->fake.no[AGENT_ADD_NEIGHBORS] = (struct answer){ TTRPC_UNIMPLEMENTED, "no method" };
	run(f, PLAN_NEIGH_ADD, 1);
	wait_told(f, "DC");
	server_close(f->fake.last);
	wait_told(f, "DCLR");
	run_dry(f);
	assert_string_equal(f->told, "DCLR");
	assert_int_equal(f->sink->caps->denied, 0);
}

static void test_nothing_begins_before_it_is_ready(void **state)
{
	struct fixture *f = *state;

	make_links(&f->plan);
	make_sink_of_url(f, 0);
	assert_int_equal(begin(f, PLAN_LINK_ADD, 1), -ENOTCONN);
	fake_start(f, &f->fake);
	wait_told(f, "R");
	run(f, PLAN_LINK_ADD, 1);
	assert_done(f);
}

static void test_stop_is_quiet(void **state)
{
	struct fixture *f = *state;

	make_links(&f->plan);
	make_ready(f, AGENT_ADDITIVE);
	f->fake.is_silent = true;
	assert_int_equal(begin(f, PLAN_LINK_ADD, 1), 0);
	wait_requests(f, AGENT_UPDATE_INTERFACE, 1);
	f->sink->ops->stop(f->sink, false);
	run_dry(f);
	assert_string_equal(f->told, "");
	assert_int_equal(begin(f, PLAN_LINK_ADD, 1), -ENOTCONN);
}

static void test_the_next_begins_within_done(void **state)
{
	struct fixture *f = *state;

	make_links(&f->plan);
	make_ready(f, AGENT_ADDITIVE);
	f->begin_in_done = true;
	run(f, PLAN_LINK_ADD, 1);
	assert_int_equal(f->begun, 0);
	wait_told(f, "DD");
	/* but not when it was lost */
	f->fake.is_silent = f->begin_in_done = true;
	assert_int_equal(begin(f, PLAN_LINK_ADD, 1), 0);
	wait_requests(f, AGENT_UPDATE_INTERFACE, 3);
	fake_stop(&f->fake);
	wait_told(f, "DDDL");
	assert_int_equal(f->begun, -ENOTCONN);
}

static void test_freed_within_done(void **state)
{
	struct fixture *f = *state;

	make_links(&f->plan);
	make_ready(f, AGENT_ADDITIVE);
	f->free_in_done = true;
	run(f, PLAN_LINK_ADD, 1);
	run_dry(f);
	assert_null(f->sink);
}

static void test_freed_within_done_of_a_lost_connection(void **state)
{
	struct fixture *f = *state;

	make_links(&f->plan);
	make_ready(f, AGENT_ADDITIVE);
	f->fake.is_silent = f->free_in_done = true;
	assert_int_equal(begin(f, PLAN_LINK_ADD, 1), 0);
	wait_requests(f, AGENT_UPDATE_INTERFACE, 1);
	fake_stop(&f->fake);
	wait_told(f, "D");
	run_dry(f);
	assert_null(f->sink);
}

/* ---- what is logged ---- */

static void test_who_comes_and_goes_does_not_fill_the_log(void **state)
{
	struct fixture *f = *state;
	char told[32] = "R";

	f->fake.no[AGENT_LIST_INTERFACES] = (struct answer){ TTRPC_PERMISSION_DENIED, "policy" };
	fake_start(f, &f->fake);
	hear(f);
	make_sink_of_url(f, 0);
	wait_told(f, told);
	for (size_t i = 0; i < 3; i++) {
		server_close(f->fake.last);
		(void)snprintf(told + strlen(told), sizeof(told) - strlen(told), "LR");
		wait_told(f, told);
	}
	assert_int_equal(count_heard(f, "is not there"), 1);
	assert_int_equal(count_heard(f, "is there, of the additive kind"), 2);
	assert_int_equal(count_heard(f, "does not list"), 1);
	/* another reason is another line */
	f->fake.no[AGENT_LIST_INTERFACES].message = "another policy";
	server_close(f->fake.last);
	(void)snprintf(told + strlen(told), sizeof(told) - strlen(told), "LR");
	wait_told(f, told);
	assert_int_equal(count_heard(f, "does not list"), 2);
}

/* What lasted has proved itself: its end is news again. */
static void test_the_end_of_a_connection_that_lasted_is_logged(void **state)
{
	struct fixture *f = *state;
	uint64_t proved;

	fake_start(f, &f->fake);
	hear(f);
	make_sink_of_url(f, 0);
	wait_told(f, "R");
	server_close(f->fake.last);
	wait_told(f, "RLR");
	proved = clock_now_usec() + CLIENT_BACKOFF_MAX_USEC;
	while (clock_now_usec() < proved)
		assert_true(sd_event_run(f->event, proved - clock_now_usec()) >= 0);
	server_close(f->fake.last);
	wait_told(f, "RLRLR");
	assert_int_equal(count_heard(f, "is not there"), 2);
	assert_int_equal(count_heard(f, "is there"), 3);
}

static void test_unusable_entries_are_said(void **state)
{
	struct fixture *f = *state;

	/* two interfaces, by names that no link has */
	f->fake.list = "\x0a\x03\x12\x01/\x0a\x03\x12\x01:";
	f->fake.list_bytes = 10;
	hear(f);
	make_ready(f, AGENT_ADDITIVE);
	assert_int_equal(count_heard(f, "additive kind, 2 entries of its list are unusable"), 1);
}

/* ---- where it is ---- */

static void test_the_sandbox_comes_after_us(void **state)
{
	struct fixture *f = *state;

	make_sink(f, &(struct sink_agent_config){ .sandbox_id = SANDBOX, .root = f->dir });
	run_dry(f);
	fake_start(f, &f->fake);
	write_url(f, f->fake.path);
	wait_told(f, "R");
}

static void test_a_sandbox_that_moves_is_found_anew(void **state)
{
	struct fixture *f = *state;

	fake_start(f, &f->fake);
	write_url(f, f->fake.path);
	make_sink(f, &(struct sink_agent_config){ .sandbox_id = SANDBOX,
						  .root = f->dir,
						  .relocate_usec = 50 * CLOCK_USEC_PER_MSEC });
	wait_told(f, "R");
	fake_start(f, &f->other);
	write_url(f, f->other.path);
	fake_stop(&f->fake);
	wait_told(f, "RLR");
	assert_int_equal(fake_count(&f->other, AGENT_DETAILS), 1);
}

static void test_what_is_no_address(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(sink_agent_new(&f->sink, f->event,
					&(struct sink_agent_config){ .url = "tcp://x" }),
			 -EINVAL);
	assert_int_equal(sink_agent_new(&f->sink, f->event, &(struct sink_agent_config){ 0 }),
			 -EINVAL);
	assert_int_equal(sink_agent_new(&f->sink, f->event,
					&(struct sink_agent_config){ .sandbox_id = "../x" }),
			 -EINVAL);
	assert_null(f->sink);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_caps_before_it_is_known_are_ours),
		TEST(test_generations_by_version_and_feature),
		TEST(test_guest_of_katas_list),
		TEST(test_guest_of_our_own_list),
		TEST(test_a_guest_that_nobody_asked_for_goes_with_the_first_op),
		TEST(test_no_list_is_ready_and_not_known),
		TEST(test_an_overlong_list_is_not_known),
		TEST(test_garbage_is_asked_again),
		TEST(test_a_passing_no_is_asked_again),
		TEST(test_a_list_that_fails_for_ever_is_not_known),
		TEST(test_denied_details_leave_the_version),
		TEST(test_verbs),
		TEST(test_a_link_goes_whole),
		TEST(test_a_link_is_taken_back_as_it_was_told),
		TEST(test_the_source_is_written_as_the_agent_needs_it),
		TEST(test_neighbours_are_permanent),
		TEST(test_an_empty_set_is_sent),
		TEST(test_nothing_is_sent_unasked),
		TEST(test_idle_is_idle),
		TEST(test_a_batch_is_cut_by_size),
		TEST(test_a_set_over_the_limit_is_refused),
		TEST(test_the_bad_one_is_found),
		TEST(test_several_bad_ones),
		TEST(test_several_denied_ones),
		TEST(test_denied_ones_behind_a_good_part),
		TEST(test_all_bad),
		TEST(test_an_agent_that_contradicts_itself),
		TEST(test_the_bad_one_of_a_set_is_found),
		TEST(test_a_set_waits_for_its_links),
		TEST(test_a_set_of_which_nobody_is_to_blame),
		TEST(test_a_denied_value_is_refused_for_good),
		TEST(test_a_denied_link_is_refused_for_good),
		TEST(test_both_halves_denied_is_the_method),
		TEST(test_neighbours_that_nobody_takes_are_told_once),
		TEST(test_a_link_that_is_not_plugged_yet),
		TEST(test_a_route_of_a_link_that_is_not_plugged_yet),
		TEST(test_many_routes_of_a_link_that_is_gone_are_taken_back),
		TEST(test_what_is_behind_a_blame_is_unknown),
		TEST(test_a_neighbour_that_is_there_is_there),
		TEST(test_what_can_not_be_taken_back_is_kept),
		TEST(test_an_answer_that_is_too_long_is_an_answer),
		TEST(test_what_every_answer_means),
		TEST(test_no_answer_in_time_costs_the_connection),
		TEST(test_a_lost_connection_comes_back),
		TEST(test_what_is_denied_is_forgotten_with_the_connection),
		TEST(test_nothing_begins_before_it_is_ready),
		TEST(test_stop_is_quiet),
		TEST(test_the_next_begins_within_done),
		TEST(test_freed_within_done),
		TEST(test_freed_within_done_of_a_lost_connection),
		TEST(test_who_comes_and_goes_does_not_fill_the_log),
		TEST(test_the_end_of_a_connection_that_lasted_is_logged),
		TEST(test_unusable_entries_are_said),
		TEST(test_the_sandbox_comes_after_us),
		TEST(test_a_sandbox_that_moves_is_found_anew),
		TEST(test_what_is_no_address),
	};

	log_set_level(LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
