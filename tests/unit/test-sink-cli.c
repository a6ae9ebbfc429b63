/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ops as calls of a runtime: what it is handed, what its words mean, and what becomes of the shared
 * file. The runtime is a shell script.
 */
#include "netmon/sink-cli.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_USEC	   (30 * CLOCK_USEC_PER_SEC)
#define SHORT_TIMEOUT_USEC (800 * CLOCK_USEC_PER_MSEC) /* long enough for a script to begin */

#define MAC "02:42:ac:11:00:03"

/* The link before and after, as the documents say it. */
#define FROM_DOCUMENT                                                                             \
	"{\"Device\":\"old1\",\"Name\":\"old1\",\"IPAddresses\":[{\"Family\":2,\"Address\":\"10." \
	"0.0.5\","                                                                                \
	"\"Mask\":\"24\"}],\"Mtu\":1400,\"RawFlags\":0,\"HwAddr\":\"02:42:ac:11:00:99\","         \
	"\"PciAddr\":\"\","                                                                       \
	"\"PciPath\":{},\"LinkType\":\"veth\"}"
#define TO_DOCUMENT                                                                               \
	"{\"Device\":\"eth1\",\"Name\":\"eth1\",\"IPAddresses\":[{\"Family\":2,\"Address\":\"10." \
	"1.0.2\","                                                                                \
	"\"Mask\":\"24\"},{\"Family\":10,\"Address\":\"2001:db8::2\",\"Mask\":\"64\"}],\"Mtu\":"  \
	"1500,"                                                                                   \
	"\"RawFlags\":0,\"HwAddr\":\"" MAC                                                        \
	"\",\"PciAddr\":\"\",\"PciPath\":{},\"LinkType\":\"veth\"}"
#define ROUTES_DOCUMENT                                                                            \
	"[{\"Dest\":\"10.9.0.0/"                                                                   \
	"16\",\"Gateway\":\"\",\"Device\":\"eth1\",\"Source\":\"\",\"Scope\":253},"                \
	"{\"Dest\":\"\",\"Gateway\":\"10.1.0.1\",\"Device\":\"eth1\",\"Source\":\"\",\"Scope\":0}" \
	"]"

/* Each script begins so: what was called, and what was in the file. */
#define REMEMBER "echo $2 >>$TEST_DIR/calls; [ $# -lt 4 ] || cp $4 $TEST_DIR/document\n"

struct fixture {
	char dir[64];
	int dirfd;
	sd_event *event;
	struct sink *sink;
	struct plan plan;
	struct op op;
	/* what done was told */
	int outcomes;
	enum sink_result result;
	char reason[8192];
	uint64_t duration_usec;
};

static void remember(void *userdata, const struct sink_outcome *outcome)
{
	struct fixture *f = userdata;

	f->outcomes++;
	f->result = outcome->result;
	f->duration_usec = outcome->duration_usec;
	(void)snprintf(f->reason, sizeof(f->reason), "%s", outcome->reason);
}

/* ---- a plan: one link before, the same one and a bare one after, two routes ---- */

static struct addr make_addr(const char *ip, uint8_t prefixlen)
{
	struct addr a = { .ifindex = 4, .prefixlen = prefixlen };

	a.family = strchr(ip, ':') ? AF_INET6 : AF_INET;
	assert_int_equal(inet_pton(a.family, ip, a.bytes), 1);
	return a;
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

static void make_plan(struct plan *p)
{
	const struct link before = {
		.ifindex = 4,
		.mtu = 1400,
		.mac_bytes = 6,
		.mac = { 2, 0x42, 0xac, 0x11, 0, 0x99 },
		.name = "old1",
		.kind = "veth",
	};
	const struct link after[] = {
		{ .ifindex = 4,
		  .mtu = 1500,
		  .mac_bytes = 6,
		  .mac = { 2, 0x42, 0xac, 0x11, 0, 3 },
		  .name = "eth1",
		  .kind = "veth" },
		{ .ifindex = 5,
		  .mtu = 1500,
		  .mac_bytes = 6,
		  .mac = { 2, 0x42, 0xac, 0x11, 0, 5 },
		  .name = "eth2",
		  .kind = "veth" },
	};
	const struct addr old = make_addr("10.0.0.5", 24);
	const struct addr addrs[] = { make_addr("10.1.0.2", 24), make_addr("2001:db8::2", 64) };
	const struct route routes[] = {
		{ .ifindex = 4, .flags = MODEL_ROUTE_GATEWAY, .gateway = { 10, 1, 0, 1 } },
		{ .ifindex = 4, .dst = { 10, 9 }, .prefixlen = 16, .scope = 253 },
	};

	assert_int_equal(snapshot_init(&p->from), 0);
	assert_int_equal(snapshot_init(&p->to), 0);
	fill(&p->from, MODEL_LINK, &before, 1);
	fill(&p->from, MODEL_ADDR, &old, 1);
	fill(&p->to, MODEL_LINK, after, 2);
	fill(&p->to, MODEL_ADDR, addrs, 2);
	fill(&p->to, MODEL_ROUTE, routes, 2);
}

/* ---- one directory a test ---- */

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/netmon-test-sink-cli-XXXXXX");
	*state = f;
	if (!mkdtemp(f->dir) || setenv("TEST_DIR", f->dir, 1) < 0)
		return -1;
	f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_plan(&f->plan);
	return f->dirfd < 0 || sd_event_new(&f->event) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	DIR *dir = opendir(f->dir);
	struct dirent *entry;

	if (f->sink)
		f->sink = f->sink->ops->free(f->sink);
	sd_event_unref(f->event);
	plan_done(&f->plan);
	while (dir && (entry = readdir(dir)))
		(void)unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		(void)closedir(dir);
	(void)close(f->dirfd);
	err_clear();
	if (rmdir(f->dir) < 0)
		return -1;
	free(f);
	return 0;
}

static bool is_there(const struct fixture *f, const char *name)
{
	return faccessat(f->dirfd, name, F_OK, 0) == 0;
}

static void write_file(const struct fixture *f, const char *name, const char *text, mode_t mode)
{
	int fd = openat(f->dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(io_write_all(fd, text, strlen(text)), 0);
	(void)close(fd);
}

static void assert_file(const struct fixture *f, const char *name, const char *want)
{
	CLEANUP(cleanup_free)
	char *text = NULL;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	assert_int_equal(io_read_path(path, 65536, &text, NULL), 0);
	assert_string_equal(text, want);
}

static void make_sink(struct fixture *f, const char *script, uint64_t timeout_usec)
{
	char path[128], text[1024];
	struct sink_cli_config config = {
		.runtime = path,
		.sandbox_id = "sandbox-1",
		.timeout_usec = timeout_usec,
		.dialect = DIALECT_BOTH,
		.dirfd = f->dirfd,
		.dir_path = f->dir,
	};

	(void)snprintf(path, sizeof(path), "%s/runtime", f->dir);
	(void)snprintf(text, sizeof(text), "#!/bin/sh\n%s%s\n", REMEMBER, script);
	write_file(f, "runtime", text, 0755);
	if (f->sink)
		f->sink = f->sink->ops->free(f->sink);
	assert_int_equal(sink_cli_new(&f->sink, f->event, &config), 0);
	f->sink->done = remember;
	f->sink->userdata = f;
}

/* ---- ops ---- */

static int begin_call(struct fixture *f, enum plan_verb verb, struct sink_call *call)
{
	f->op = (struct op){
		.verb = verb,
		.from = verb == PLAN_LINK_DEL || verb == PLAN_LINK_UPDATE ? 0 : PLAN_NONE,
		.to = verb == PLAN_LINK_ADD || verb == PLAN_LINK_UPDATE ? 0 : PLAN_NONE,
	};
	call->plan = &f->plan;
	call->op = &f->op;
	return f->sink->ops->begin(f->sink, call);
}

static int begin(struct fixture *f, enum plan_verb verb, bool maybe_done)
{
	return begin_call(f, verb, &(struct sink_call){ .maybe_done = maybe_done });
}

static void wait_outcomes(struct fixture *f, int n)
{
	uint64_t end = clock_now_usec() + DEADLINE_USEC;

	while (f->outcomes < n && clock_now_usec() < end)
		assert_true(sd_event_run(f->event, 10 * CLOCK_USEC_PER_MSEC) >= 0);
	assert_int_equal(f->outcomes, n);
}

static void wait_file(struct fixture *f, const char *name)
{
	uint64_t end = clock_now_usec() + DEADLINE_USEC;

	while (!is_there(f, name) && clock_now_usec() < end)
		assert_true(sd_event_run(f->event, 5 * CLOCK_USEC_PER_MSEC) >= 0);
	assert_true(is_there(f, name));
}

/* One op from begin to done; the shared file is there for the runtime and gone afterwards. */
static void run(struct fixture *f, enum plan_verb verb, bool maybe_done)
{
	int before = f->outcomes;

	assert_int_equal(begin(f, verb, maybe_done), 0);
	assert_int_equal(f->outcomes, before);
	wait_outcomes(f, before + 1);
	assert_false(is_there(f, "shared.json"));
	assert_false(is_there(f, ".shared.json.tmp"));
}

static void assert_outcome(const struct fixture *f, enum sink_result result, const char *reason)
{
	assert_string_equal(f->reason, reason);
	assert_int_equal(f->result, result);
}

/* ---- what the runtime is handed ---- */

static void test_caps(void **state)
{
	const struct sink_caps *caps = &sink_cli_ops.caps;

	(void)state;
	assert_string_equal(sink_cli_ops.name, "cli");
	assert_true(caps->routes_whole && caps->cold_plugged && caps->settles);
	assert_false(caps->updates_links || caps->neighbours);
	assert_false(caps->route_mtu || caps->route_onlink || caps->route_family);
}

static void test_add(void **state)
{
	struct fixture *f = *state;

	make_sink(f, "stat -c %a $4 >$TEST_DIR/mode; echo \"$4\" >$TEST_DIR/path", 0);
	run(f, PLAN_LINK_ADD, false);
	assert_outcome(f, SINK_DONE, "");
	assert_file(f, "calls", "add-iface\n");
	assert_file(f, "document", TO_DOCUMENT);
	assert_file(f, "mode", "640\n");
	assert_true(f->duration_usec > 0 && f->duration_usec < DEADLINE_USEC);
}

/* As the guest knows it: old name, old MAC, old addresses. */
static void test_delete(void **state)
{
	struct fixture *f = *state;

	make_sink(f, "", 0);
	run(f, PLAN_LINK_DEL, false);
	assert_outcome(f, SINK_DONE, "");
	assert_file(f, "calls", "del-iface\n");
	assert_file(f, "document", FROM_DOCUMENT);
}

static void test_routes(void **state)
{
	struct fixture *f = *state;

	make_sink(f, "", 0);
	run(f, PLAN_ROUTES_SET, false);
	assert_outcome(f, SINK_DONE, "");
	assert_file(f, "document", ROUTES_DOCUMENT);
	fill(&f->plan.to, MODEL_ROUTE, NULL, 0);
	run(f, PLAN_ROUTES_SET, true);
	assert_outcome(f, SINK_DONE, "");
	assert_file(f, "calls", "update-routes\nupdate-routes\n");
	assert_file(f, "document", "[]");
}

static void test_what_it_can_not_say(void **state)
{
	static const enum plan_verb verbs[] = {
		PLAN_LINK_UPDATE,   PLAN_ROUTE_ADD, PLAN_ROUTE_DEL,
		PLAN_ROUTE_REPLACE, PLAN_NEIGH_ADD, PLAN_NEIGH_DEL,
	};
	struct fixture *f = *state;

	make_sink(f, "", 0);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		assert_int_equal(begin(f, verbs[i], false), -EOPNOTSUPP);
	assert_false(is_there(f, "calls"));
	assert_int_equal(f->outcomes, 0);
}

/* ---- what its words mean ---- */

static void test_verdicts(void **state)
{
	static const struct {
		const char *words;
		enum sink_result want;
	} rows[] = {
		{ "Unsupported network interface: bridge", SINK_REFUSED },
		{ "time=x level=error msg=\"Unsupported network interface: \" source=runtime",
		  SINK_REFUSED },
		{ "BridgedMacvlanEndpoint does not support Hot attach", SINK_REFUSED },
		{ "invalid MAC address", SINK_REFUSED },
		{ "Could not set TAP MTU 0: invalid argument", SINK_REFUSED },
		{ "rpc error: code = PermissionDenied desc = policy", SINK_REFUSED },
		{ "container x is not running", SINK_RETRY },
		{ "Container ID (x) does not exist", SINK_RETRY },
		{ "Failed to add qdisc for network index 4 : file exists", SINK_RETRY },
		{ "something else", SINK_RETRY },
		{ "", SINK_RETRY },
	};
	struct fixture *f = *state;

	make_sink(f, "cat $TEST_DIR/words >&2; exit 1", 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char want[256];

		write_file(f, "words", rows[i].words, 0644);
		run(f, PLAN_LINK_ADD, false);
		(void)snprintf(want, sizeof(want), "exit status 1%s%s",
			       rows[i].words[0] ? ": " : "", rows[i].words);
		assert_outcome(f, rows[i].want, want);
	}
}

static void test_success_is_not_read(void **state)
{
	struct fixture *f = *state;

	make_sink(f, "echo Unsupported network interface >&2", 0);
	run(f, PLAN_LINK_ADD, false);
	assert_outcome(f, SINK_DONE, "");
}

/* Killed by somebody while it said something: what it would have come to is not known. */
static void test_signal(void **state)
{
	struct fixture *f = *state;

	make_sink(f, "echo invalid MAC address >&2; kill -KILL $$", 0);
	run(f, PLAN_LINK_DEL, false);
	assert_outcome(f, SINK_RETRY, "killed by signal 9: invalid MAC address");
}

static void test_hang(void **state)
{
	struct fixture *f = *state;

	make_sink(f, "exec sleep 60", SHORT_TIMEOUT_USEC);
	run(f, PLAN_ROUTES_SET, false);
	assert_outcome(f, SINK_RETRY, "no answer in 800 ms: killed");
	make_sink(f, "exec sleep 60", CLOCK_USEC_PER_SEC);
	run(f, PLAN_ROUTES_SET, false);
	assert_outcome(f, SINK_RETRY, "no answer in 1 s: killed");
}

static void test_long_words(void **state)
{
	struct fixture *f = *state;
	const char *tail;

	make_sink(f,
		  "printf 'invalid MAC address '; head -c 5000 /dev/zero | tr '\\0' x >&2; exit 1",
		  0);
	run(f, PLAN_LINK_ADD, false);
	tail = strstr(f->reason, " (");
	assert_non_null(tail);
	assert_string_equal(tail, " (904 bytes more)");
	assert_int_equal(f->result, SINK_RETRY);
}

static void test_missing_runtime(void **state)
{
	struct fixture *f = *state;

	make_sink(f, "", 0);
	assert_int_equal(unlinkat(f->dirfd, "runtime", 0), 0);
	assert_int_equal(begin(f, PLAN_LINK_ADD, false), -ENOENT);
	assert_int_equal(begin(f, PLAN_LINK_ADD, true), -ENOENT);
	assert_false(is_there(f, "shared.json"));
	assert_int_equal(f->outcomes, 0);
	write_file(f, "runtime", "#!/bin/sh\nexit 0\n", 0755);
	run(f, PLAN_LINK_ADD, false);
	assert_outcome(f, SINK_DONE, "");
}

/* ---- what the guest may have already ---- */

static void test_listed_is_done(void **state)
{
	struct fixture *f = *state;

	make_sink(f,
		  "echo '[{\"Name\":\"eth1\",\"HwAddr\":\"" MAC "\",\"IPAddresses\":["
		  "{\"Address\":\"10.1.0.2\"},{\"Address\":\"2001:db8::2\"}]}]'",
		  0);
	run(f, PLAN_LINK_ADD, true);
	assert_outcome(f, SINK_DONE, "");
	assert_file(f, "calls", "list-ifaces\n");
}

/*
 * Plugged by a call that was killed before it set the addresses, or with others: taken back before
 * it is told again.
 */
static void test_listed_with_other_addresses_is_stale(void **state)
{
	struct fixture *f = *state;

	make_sink(f, "[ $2 = add-iface ] || echo '[{\"HwAddr\":\"" MAC "\",\"IPAddresses\":[]}]'",
		  0);
	run(f, PLAN_LINK_ADD, true);
	assert_outcome(f, SINK_STALE, "the guest has it with other addresses");
	assert_file(f, "calls", "list-ifaces\n");
}

static void test_not_listed_is_added(void **state)
{
	struct fixture *f = *state;

	make_sink(f, "[ $2 = add-iface ] || echo '[]'", 0);
	run(f, PLAN_LINK_ADD, true);
	assert_outcome(f, SINK_DONE, "");
	assert_file(f, "calls", "list-ifaces\nadd-iface\n");
	assert_file(f, "document", TO_DOCUMENT);
}

/* No such command (help and exit 0, or a failure): the add itself must tell. */
static void test_no_list_then_exists_is_done(void **state)
{
	static const char *const answers[] = { "echo 'NAME: kata-network'", "exit 1",
					       "kill -KILL $$" };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		char script[256];

		(void)snprintf(script, sizeof(script),
			       "if [ $2 = list-ifaces ]; then %s; else echo 'index 4 : file "
			       "exists' >&2; exit 1; fi",
			       answers[i]);
		make_sink(f, script, 0);
		run(f, PLAN_LINK_ADD, true);
		assert_outcome(f, SINK_DONE, "");
		assert_file(f, "calls", "list-ifaces\nadd-iface\n");
		assert_int_equal(unlinkat(f->dirfd, "calls", 0), 0);
	}
}

/* The guest was asked and has not got it; what exists is a leftover of the runtime. */
static void test_not_listed_but_exists_is_no_success(void **state)
{
	struct fixture *f = *state;

	make_sink(
		f,
		"if [ $2 = list-ifaces ]; then echo '[]'; else echo already exists >&2; exit 1; fi",
		0);
	run(f, PLAN_LINK_ADD, true);
	assert_outcome(f, SINK_RETRY, "exit status 1: already exists");
}

/* The routes of a set may exist in the guest; that is no success of the set. */
static void test_exists_counts_for_links_only(void **state)
{
	struct fixture *f = *state;

	make_sink(f, "echo route: file exists >&2; exit 1", 0);
	run(f, PLAN_ROUTES_SET, true);
	assert_outcome(f, SINK_RETRY, "exit status 1: route: file exists");
	run(f, PLAN_LINK_DEL, true);
	assert_outcome(f, SINK_RETRY, "exit status 1: route: file exists");
	assert_file(f, "calls", "update-routes\ndel-iface\n");
}

static void test_list_hangs(void **state)
{
	struct fixture *f = *state;

	make_sink(f, "exec sleep 60", SHORT_TIMEOUT_USEC);
	run(f, PLAN_LINK_ADD, true);
	assert_outcome(f, SINK_RETRY, "no answer in 800 ms: killed");
	assert_file(f, "calls", "list-ifaces\n");
}

static void test_runtime_vanishes_after_list(void **state)
{
	struct fixture *f = *state;

	make_sink(f, "rm $TEST_DIR/runtime; echo '[]'", 0);
	run(f, PLAN_LINK_ADD, true);
	assert_int_equal(f->result, SINK_RETRY);
	assert_non_null(strstr(f->reason, "No such file or directory"));
}

static int count_run(void *arg)
{
	(*(int *)arg)++; /* in our memory: see base/spawn.h */
	return 0;
}

/* The child that carries the op is written down, the one that only asks is not. */
static void test_before_exec_is_for_the_op(void **state)
{
	struct fixture *f = *state;
	int runs = 0;
	struct sink_call call = { .maybe_done = true, .before_exec = count_run, .arg = &runs };

	make_sink(f, "echo '[]'", 0);
	assert_int_equal(begin_call(f, PLAN_LINK_ADD, &call), 0);
	assert_int_equal(runs, 0);
	wait_outcomes(f, 1);
	assert_int_equal(runs, 1);
}

/* ---- ends ---- */

#define WAIT_FOR_GO                                                                    \
	"echo $$ >$TEST_DIR/pid.new; mv $TEST_DIR/pid.new $TEST_DIR/pid\n"             \
	"while [ -d $TEST_DIR ] && [ ! -e $TEST_DIR/go ]; do sleep 0.01; done; touch " \
	"$TEST_DIR/end"

static pid_t read_pid(const struct fixture *f)
{
	CLEANUP(cleanup_free)
	char *text = NULL;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/pid", f->dir);
	assert_int_equal(io_read_path(path, 64, &text, NULL), 0);
	return (pid_t)strtol(text, NULL, 10);
}

static void test_busy(void **state)
{
	struct fixture *f = *state;

	make_sink(f, WAIT_FOR_GO, 0);
	assert_int_equal(begin(f, PLAN_LINK_ADD, false), 0);
	assert_int_equal(begin(f, PLAN_ROUTES_SET, false), -EBUSY);
	write_file(f, "go", "", 0644);
	wait_outcomes(f, 1);
	assert_outcome(f, SINK_DONE, "");
}

/* For a successor: the child goes on, the file does not stay. */
static void test_stop_leaves_the_child(void **state)
{
	struct fixture *f = *state;
	int status = -1;

	make_sink(f, WAIT_FOR_GO, SHORT_TIMEOUT_USEC);
	assert_int_equal(begin(f, PLAN_LINK_ADD, false), 0);
	wait_file(f, "pid");
	f->sink->ops->stop(f->sink, false);
	assert_false(is_there(f, "shared.json"));
	f->sink = f->sink->ops->free(f->sink);
	assert_null(f->sink);
	assert_int_equal(poll(NULL, 0, 2 * (int)(SHORT_TIMEOUT_USEC / CLOCK_USEC_PER_MSEC)), 0);
	write_file(f, "go", "", 0644);
	assert_int_equal(waitpid(read_pid(f), &status, 0), read_pid(f));
	assert_int_equal(status, 0);
	assert_true(is_there(f, "end"));
	assert_int_equal(f->outcomes, 0);
}

static void test_stop_of_a_gone_sandbox_kills(void **state)
{
	struct fixture *f = *state;

	make_sink(f, WAIT_FOR_GO, 0);
	assert_int_equal(begin(f, PLAN_LINK_ADD, false), 0);
	wait_file(f, "pid");
	f->sink->ops->stop(f->sink, true);
	assert_false(is_there(f, "shared.json"));
	/* Killed and reaped. */
	assert_int_equal(waitpid(read_pid(f), NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_int_equal(begin(f, PLAN_LINK_ADD, false), -ESHUTDOWN);
	assert_int_equal(f->outcomes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_caps),
		cmocka_unit_test_setup_teardown(test_add, setup, teardown),
		cmocka_unit_test_setup_teardown(test_delete, setup, teardown),
		cmocka_unit_test_setup_teardown(test_routes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_it_can_not_say, setup, teardown),
		cmocka_unit_test_setup_teardown(test_verdicts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_success_is_not_read, setup, teardown),
		cmocka_unit_test_setup_teardown(test_signal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hang, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_words, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing_runtime, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listed_is_done, setup, teardown),
		cmocka_unit_test_setup_teardown(test_listed_with_other_addresses_is_stale, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_not_listed_is_added, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_list_then_exists_is_done, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_listed_but_exists_is_no_success, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_exists_counts_for_links_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list_hangs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_runtime_vanishes_after_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_before_exec_is_for_the_op, setup, teardown),
		cmocka_unit_test_setup_teardown(test_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_leaves_the_child, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_of_a_gone_sandbox_kills, setup, teardown),
	};

	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
