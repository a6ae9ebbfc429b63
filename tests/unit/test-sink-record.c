/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ops as JSON lines, on pipes that are read, slow, or closed, and on files.
 */
#include "netmon/sink-record.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_USEC (30 * CLOCK_USEC_PER_SEC)
#define SMALL_PIPE    4096 /* the least that a pipe holds: pipe(7) */
#define MANY_ADDRS    1000 /* more than it holds */

struct fixture {
	int read_fd, write_fd;
	sd_event *event;
	struct sink *sink;
	struct plan plan;
	struct op op;
	struct text got;
	/* what done was told */
	int outcomes;
	enum sink_result result;
	char reason[256];
};

static void remember(void *userdata, const struct sink_outcome *outcome)
{
	struct fixture *f = userdata;

	f->outcomes++;
	f->result = outcome->result;
	(void)snprintf(f->reason, sizeof(f->reason), "%s", outcome->reason);
}

static void fill(struct snapshot *s, enum model_kind kind, const void *items, size_t n)
{
	struct table *table;

	assert_int_equal(table_new(&table, kind), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(table_add(table, (const char *)items + i * model_bytes(kind)), 0);
	table_seal(table);
	snapshot_replace(s, table);
}

/* One of each kind, before and after. */
static void make_side(struct snapshot *s, const char *name, uint8_t number)
{
	struct link link = { .ifindex = 4,
			     .mtu = 1500,
			     .mac_bytes = 6,
			     .mac = { 2, [5] = number },
			     .kind = "veth" };
	const struct addr addr = {
		.ifindex = 4, .family = AF_INET, .prefixlen = 24, .bytes = { 10, 0, number, 2 }
	};
	const struct route route = {
		.ifindex = 4, .dst = { 10, 9 }, .prefixlen = 16, .scope = 253, .mtu = number
	};
	const struct neigh neigh = { .ifindex = 4,
				     .family = AF_INET,
				     .mac_bytes = 6,
				     .mac = { 2, [5] = 9 },
				     .bytes = { 10, 0, number, 1 } };

	(void)snprintf(link.name, sizeof(link.name), "%s", name);
	assert_int_equal(snapshot_init(s), 0);
	fill(s, MODEL_LINK, &link, 1);
	fill(s, MODEL_ADDR, &addr, 1);
	fill(s, MODEL_ROUTE, &route, 1);
	fill(s, MODEL_NEIGH, &neigh, 1);
}

static void fill_many_addrs(struct snapshot *s)
{
	struct addr *addrs = calloc(MANY_ADDRS, sizeof(*addrs));

	assert_non_null(addrs);
	for (size_t i = 0; i < MANY_ADDRS; i++)
		addrs[i] = (struct addr){ .ifindex = 4,
					  .family = AF_INET,
					  .prefixlen = 24,
					  .bytes = { 10, 1, (uint8_t)(i >> 8), (uint8_t)i } };
	fill(s, MODEL_ADDR, addrs, MANY_ADDRS);
	free(addrs);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int fds[2];

	if (!f || pipe2(fds, O_CLOEXEC) < 0 || sd_event_new(&f->event) < 0)
		return -1;
	*state = f;
	f->read_fd = fds[0];
	f->write_fd = fds[1];
	make_side(&f->plan.from, "eth1", 1);
	make_side(&f->plan.to, "net1", 2);
	return fcntl(f->read_fd, F_SETFL, O_NONBLOCK) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->sink)
		f->sink = f->sink->ops->free(f->sink);
	sd_event_unref(f->event);
	plan_done(&f->plan);
	text_done(&f->got);
	(void)cleanup_close_fd(f->read_fd);
	(void)cleanup_close_fd(f->write_fd);
	err_clear();
	free(f);
	return 0;
}

static void make_sink(struct fixture *f, int fd, uint64_t fail_op)
{
	struct sink_record_config config = { .fd = fd,
					     .sandbox_id = "sandbox-1",
					     .fail_op = fail_op };

	assert_int_equal(sink_record_new(&f->sink, f->event, &config), 0);
	f->sink->done = remember;
	f->sink->userdata = f;
}

static int begin(struct fixture *f, enum plan_verb verb)
{
	struct sink_call call = { .plan = &f->plan, .op = &f->op };
	bool del = verb == PLAN_LINK_DEL || verb == PLAN_ROUTE_DEL || verb == PLAN_NEIGH_DEL;
	bool both = verb == PLAN_LINK_UPDATE || verb == PLAN_ROUTE_REPLACE;

	f->op = (struct op){ .verb = verb,
			     .from = del || both ? 0 : PLAN_NONE,
			     .to = del ? PLAN_NONE : 0 };
	return f->sink->ops->begin(f->sink, &call);
}

static void wait_outcomes(struct fixture *f, int n)
{
	uint64_t end = clock_now_usec() + DEADLINE_USEC;

	while (f->outcomes < n && clock_now_usec() < end)
		assert_true(sd_event_run(f->event, 10 * CLOCK_USEC_PER_MSEC) >= 0);
	assert_int_equal(f->outcomes, n);
}

static void run(struct fixture *f, enum plan_verb verb)
{
	int before = f->outcomes;

	assert_int_equal(begin(f, verb), 0);
	assert_int_equal(f->outcomes, before);
	wait_outcomes(f, before + 1);
}

/* Adds to f->got what is in the pipe. Return: bytes */
static size_t take(struct fixture *f)
{
	char buffer[65536];
	size_t before = f->got.size;
	ssize_t n;

	while ((n = read(f->read_fd, buffer, sizeof(buffer))) > 0)
		assert_int_equal(text_append(&f->got, buffer, (size_t)n), 0);
	return f->got.size - before;
}

static void count_end(const char *text, size_t *lines)
{
	for (*lines = 0; (text = strchr(text, '\n')); text++)
		(*lines)++;
}

static struct json_object *parse(const char *line)
{
	struct json_object *o = json_tokener_parse(line);

	assert_true(json_object_is_type(o, json_type_object));
	return o;
}

/* The value at a path like "to.link.name" */
static const char *get(struct json_object *o, const char *path)
{
	char copy[64], *save = NULL;

	(void)snprintf(copy, sizeof(copy), "%s", path);
	for (char *key = strtok_r(copy, ".", &save); key; key = strtok_r(NULL, ".", &save)) {
		if (strcmp(key, "0") == 0)
			o = json_object_array_get_idx(o, 0);
		else
			assert_true(json_object_object_get_ex(o, key, &o));
	}
	return json_object_get_string(o);
}

/* ---- tests ---- */

static void test_caps(void **state)
{
	const struct sink_caps *caps = &sink_record_ops.caps;

	(void)state;
	assert_string_equal(sink_record_ops.name, "record");
	assert_false(caps->routes_whole || caps->cold_plugged || caps->settles);
	assert_true(caps->updates_links && caps->neighbours);
	assert_true(caps->route_mtu && caps->route_onlink && caps->route_family);
}

/* Verb by verb: where the line says what it is about, and nothing more than that. */
static void test_lines(void **state)
{
	static const struct {
		enum plan_verb verb;
		const char *op;
		const char *at1, *want1, *at2, *want2;
		int members; /* besides op, sandbox, number, time_usec */
	} rows[] = {
		{ PLAN_LINK_ADD, "add-link", "link.name", "net1", "addresses.0.ip", "10.0.2.2/24",
		  2 },
		{ PLAN_LINK_DEL, "del-link", "link.name", "eth1", "addresses.0.ip", "10.0.1.2/24",
		  2 },
		{ PLAN_LINK_UPDATE, "update-link", "from.addresses.0.ip", "10.0.1.2/24",
		  "to.link.name", "net1", 2 },
		{ PLAN_ROUTE_ADD, "add-route", "route.dst", "10.9.0.0/16", "route.mtu", "2", 1 },
		{ PLAN_ROUTE_DEL, "del-route", "route.dst", "10.9.0.0/16", "route.mtu", "1", 1 },
		{ PLAN_ROUTE_REPLACE, "replace-route", "from.mtu", "1", "to.mtu", "2", 2 },
		{ PLAN_NEIGH_ADD, "add-neighbour", "neighbour.ip", "10.0.2.1", "neighbour.mac",
		  "02:00:00:00:00:09", 1 },
		{ PLAN_NEIGH_DEL, "del-neighbour", "neighbour.ip", "10.0.1.1", "neighbour.mac",
		  "02:00:00:00:00:09", 1 },
	};
	struct fixture *f = *state;

	make_sink(f, f->write_fd, 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t before = clock_now_usec();
		struct json_object *o;

		run(f, rows[i].verb);
		assert_int_equal(f->result, SINK_DONE);
		assert_string_equal(f->reason, "");
		text_reset(&f->got);
		assert_true(take(f) > 0);
		assert_ptr_equal(strchr(f->got.data, '\n'), f->got.data + f->got.size - 1);
		o = parse(f->got.data);
		assert_int_equal(json_object_object_length(o), 4 + rows[i].members);
		assert_string_equal(get(o, "op"), rows[i].op);
		assert_string_equal(get(o, "sandbox"), "sandbox-1");
		assert_int_equal(json_object_get_uint64(json_object_object_get(o, "number")),
				 i + 1);
		assert_in_range(json_object_get_uint64(json_object_object_get(o, "time_usec")),
				before, clock_now_usec());
		assert_string_equal(get(o, rows[i].at1), rows[i].want1);
		assert_string_equal(get(o, rows[i].at2), rows[i].want2);
		json_object_put(o);
	}
}

static void test_whole_sets_are_not_for_it(void **state)
{
	struct fixture *f = *state;

	make_sink(f, f->write_fd, 0);
	assert_int_equal(begin(f, PLAN_ROUTES_SET), -EOPNOTSUPP);
	assert_int_equal(sd_event_run(f->event, 0), 0);
	assert_int_equal(f->outcomes, 0);
}

static void test_fails_once(void **state)
{
	struct fixture *f = *state;

	make_sink(f, f->write_fd, 2);
	run(f, PLAN_LINK_ADD);
	assert_true(take(f) > 0);
	run(f, PLAN_ROUTE_ADD);
	assert_int_equal(f->result, SINK_RETRY);
	assert_string_not_equal(f->reason, "");
	/* Nobody has it, so it is not on record. */
	assert_int_equal(take(f), 0);
	run(f, PLAN_ROUTE_ADD);
	assert_int_equal(f->result, SINK_DONE);
	assert_true(take(f) > 0);
}

/*
 * The line is longer than the pipe: begin() does not wait, done comes when the reader has taken it.
 */
static void test_slow_reader(void **state)
{
	struct fixture *f = *state;
	struct json_object *o;

	assert_int_equal(fcntl(f->write_fd, F_SETPIPE_SZ, SMALL_PIPE), SMALL_PIPE);
	fill_many_addrs(&f->plan.to);
	make_sink(f, f->write_fd, 0);
	assert_int_equal(begin(f, PLAN_LINK_ADD), 0);
	assert_int_equal(begin(f, PLAN_LINK_ADD), -EBUSY);
	assert_int_equal(sd_event_run(f->event, 20 * CLOCK_USEC_PER_MSEC), 0);
	assert_int_equal(f->outcomes, 0);
	while (f->outcomes == 0) {
		(void)take(f);
		assert_true(sd_event_run(f->event, DEADLINE_USEC) > 0);
	}
	(void)take(f);
	assert_int_equal(f->result, SINK_DONE);
	o = parse(f->got.data);
	assert_int_equal(json_object_array_length(json_object_object_get(o, "addresses")),
			 MANY_ADDRS);
	json_object_put(o);
	/* Idle again: a pipe with room is no reason to wake up. */
	assert_int_equal(sd_event_run(f->event, 20 * CLOCK_USEC_PER_MSEC), 0);
}

static void test_reader_is_gone(void **state)
{
	struct fixture *f = *state;

	make_sink(f, f->write_fd, 0);
	f->read_fd = cleanup_close_fd(f->read_fd);
	run(f, PLAN_LINK_ADD);
	assert_int_equal(f->result, SINK_RETRY);
	assert_string_equal(f->reason, "write the record: Broken pipe");
	assert_int_equal(sd_event_run(f->event, 20 * CLOCK_USEC_PER_MSEC), 0);
}

static void test_reader_goes_in_the_middle(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fcntl(f->write_fd, F_SETPIPE_SZ, SMALL_PIPE), SMALL_PIPE);
	fill_many_addrs(&f->plan.to);
	make_sink(f, f->write_fd, 0);
	assert_int_equal(begin(f, PLAN_LINK_ADD), 0);
	f->read_fd = cleanup_close_fd(f->read_fd);
	wait_outcomes(f, 1);
	assert_int_equal(f->result, SINK_RETRY);
}

/* A memfd sealed against growth is a full disk; what follows a torn line starts on its own. */
static void test_torn_line(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_create("record", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CLEANUP(cleanup_free)
	char *text = NULL;
	struct json_object *o;
	size_t lines;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, SMALL_PIPE + 512), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), 0);
	fill_many_addrs(&f->plan.to);
	make_sink(f, fd, 0);
	run(f, PLAN_LINK_ADD);
	assert_int_equal(f->result, SINK_RETRY);
	assert_string_equal(f->reason, "write the record: Operation not permitted");
	/* There is room again, behind what was written. */
	assert_true(lseek(fd, 0, SEEK_CUR) > 0);
	assert_int_equal(lseek(fd, 1024, SEEK_SET), 1024);
	run(f, PLAN_ROUTE_ADD);
	assert_int_equal(f->result, SINK_DONE);
	assert_int_equal(ftruncate(fd, lseek(fd, 0, SEEK_CUR)), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(io_read_all(fd, 65536, &text, NULL), 0);
	count_end(text, &lines);
	assert_int_equal(lines, 2);
	o = parse(strchr(text, '\n') + 1);
	assert_string_equal(get(o, "op"), "add-route");
	json_object_put(o);
	f->sink = f->sink->ops->free(f->sink);
	(void)close(fd);
}

/* epoll does not take files; /dev/null neither. */
static void test_files(void **state)
{
	struct fixture *f = *state;
	const int fds[] = {
		open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600),
		open("/dev/null", O_WRONLY | O_CLOEXEC),
	};

	for (size_t i = 0; i < 2; i++) {
		assert_true(fds[i] >= 0);
		make_sink(f, fds[i], 0);
		run(f, PLAN_LINK_ADD);
		run(f, PLAN_ROUTE_ADD);
		assert_int_equal(f->result, SINK_DONE);
		f->sink = f->sink->ops->free(f->sink);
		(void)close(fds[i]);
	}
}

/* The open file may be the terminal of the shell that started us. */
static void test_leaves_the_file_as_it_was(void **state)
{
	struct fixture *f = *state;
	int before = fcntl(f->write_fd, F_GETFL);

	make_sink(f, f->write_fd, 0);
	assert_true((fcntl(f->write_fd, F_GETFL) & O_NONBLOCK) != 0);
	f->sink = f->sink->ops->free(f->sink);
	assert_null(f->sink);
	assert_int_equal(fcntl(f->write_fd, F_GETFL), before);
}

static void test_stop(void **state)
{
	struct fixture *f = *state;

	make_sink(f, f->write_fd, 0);
	assert_int_equal(begin(f, PLAN_LINK_ADD), 0);
	f->sink->ops->stop(f->sink, false);
	f->sink->ops->stop(f->sink, true);
	assert_int_equal(sd_event_run(f->event, 20 * CLOCK_USEC_PER_MSEC), 0);
	assert_int_equal(f->outcomes, 0);
	/* What was said was said whole. */
	assert_true(take(f) > 0);
	json_object_put(parse(f->got.data));
}

static void test_bad_fd(void **state)
{
	struct fixture *f = *state;
	struct sink_record_config config = { .fd = -1, .sandbox_id = "x" };

	assert_int_equal(sink_record_new(&f->sink, f->event, &config), -EBADF);
	assert_null(f->sink);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_caps),
		cmocka_unit_test_setup_teardown(test_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(test_whole_sets_are_not_for_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fails_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_reader, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reader_is_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reader_goes_in_the_middle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torn_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_files, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaves_the_file_as_it_was, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_fd, setup, teardown),
	};

	/* As the program does. */
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
