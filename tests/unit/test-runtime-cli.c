/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of a runtime, with real children: shell scripts that end, fail, hang, shout, and leave
 * things behind.
 */
#include "runtime-bridge/vmm/runtime-cli.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
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

#define DEADLINE_USEC \
	(30 * CLOCK_USEC_PER_SEC) /* nothing here takes more than a moment; a loaded machine may */
#define SHORT_TIMEOUT_USEC (800 * CLOCK_USEC_PER_MSEC) /* long enough for a script to begin */
#define SHOUT_BYTES	   3000000

/* What done() was told. */
struct seen {
	int calls;
	int status;
	char stderr_text[RUNTIME_CLI_STDERR_MAX + 1];
	size_t stderr_dropped;
	char *stdout_text;
	size_t stdout_bytes;
	uint64_t duration_usec;
};

struct fixture {
	char dir[64];
	sd_event *event;
	struct runtime_cli *cli;
	struct seen seen;
};

static void remember(void *userdata, const struct runtime_cli_result *result)
{
	struct seen *seen = userdata;

	seen->calls++;
	seen->status = result->status;
	(void)snprintf(seen->stderr_text, sizeof(seen->stderr_text), "%s", result->stderr_text);
	seen->stderr_dropped = result->stderr_dropped;
	free(seen->stdout_text);
	seen->stdout_text = strdup(result->stdout_text);
	seen->stdout_bytes = result->stdout_bytes;
	seen->duration_usec = result->duration_usec;
}

/* ---- one directory a test, with the runtime as a script in it ---- */

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/netmon-test-runtime-cli-XXXXXX");
	*state = f;
	if (!mkdtemp(f->dir) || setenv("TEST_DIR", f->dir, 1) < 0)
		return -1;
	return sd_event_new(&f->event) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	DIR *dir = opendir(f->dir);
	struct dirent *entry;

	f->cli = runtime_cli_free(f->cli);
	sd_event_unref(f->event);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		continue;
	while (dir && (entry = readdir(dir)))
		(void)unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		(void)closedir(dir);
	err_clear();
	free(f->seen.stdout_text);
	if (rmdir(f->dir) < 0)
		return -1;
	free(f);
	return 0;
}

static void make_path(const struct fixture *f, const char *name, char ret[static 128])
{
	(void)snprintf(ret, 128, "%s/%s", f->dir, name);
}

static bool is_there(const struct fixture *f, const char *name)
{
	char path[128];

	make_path(f, name, path);
	return access(path, F_OK) == 0;
}

static void write_file(const struct fixture *f, const char *name, const char *text, mode_t mode)
{
	CLEANUP(cleanup_close)
	int fd = -1;
	char path[128];

	make_path(f, name, path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	assert_true(fd >= 0);
	assert_int_equal(io_write_all(fd, text, strlen(text)), 0);
}

static char *read_file(const struct fixture *f, const char *name)
{
	char path[128], *text;

	make_path(f, name, path);
	assert_int_equal(io_read_path(path, 65536, &text, NULL), 0);
	return text;
}

/* @script: the runtime's body; its directory is $TEST_DIR */
static void make_runtime(struct fixture *f, const char *script, uint64_t timeout_usec)
{
	char path[128], text[1024];
	struct runtime_cli_config config = {
		.runtime = path,
		.sandbox_id = "sandbox-1",
		.timeout_usec = timeout_usec,
	};

	make_path(f, "runtime", path);
	(void)snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", script);
	write_file(f, "runtime", text, 0755);
	assert_int_equal(runtime_cli_new(&f->cli, f->event, &config), 0);
}

static int start(struct fixture *f, enum runtime_cli_verb verb)
{
	return runtime_cli_start(
		f->cli, &(struct runtime_cli_call){
				.verb = verb,
				.file = verb == RUNTIME_CLI_LIST_IFACES ? NULL : "/x/shared.json",
				.done = remember,
				.userdata = &f->seen,
			});
}

/* ---- waiting for conditions ---- */

static void wait_calls(struct fixture *f, int calls)
{
	uint64_t end = clock_now_usec() + DEADLINE_USEC;

	while (f->seen.calls < calls && clock_now_usec() < end)
		assert_true(sd_event_run(f->event, 10 * CLOCK_USEC_PER_MSEC) >= 0);
	assert_int_equal(f->seen.calls, calls);
}

/* Runs the loop, for what may happen there, until the file is there. */
static void wait_file(struct fixture *f, const char *name)
{
	uint64_t end = clock_now_usec() + DEADLINE_USEC;

	while (!is_there(f, name) && clock_now_usec() < end)
		assert_true(sd_event_run(f->event, 5 * CLOCK_USEC_PER_MSEC) >= 0);
	assert_true(is_there(f, name));
}

static pid_t read_pid(const struct fixture *f, const char *name)
{
	CLEANUP(cleanup_free)
	char *text = read_file(f, name);
	pid_t pid = (pid_t)strtol(text, NULL, 10);

	assert_true(pid > 1);
	return pid;
}

/* We are the subreaper: a grandchild without parent is ours to wait for. */
static void assert_ends(pid_t pid, int want_signal)
{
	uint64_t end = clock_now_usec() + DEADLINE_USEC;
	int status = 0;
	pid_t r;

	do
		r = waitpid(pid, &status, WNOHANG);
	while (r == 0 && clock_now_usec() < end && poll(NULL, 0, 5) == 0);
	assert_int_equal(r, pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), want_signal);
}

static void run(struct fixture *f, enum runtime_cli_verb verb)
{
	int before = f->seen.calls;

	assert_int_equal(start(f, verb), 0);
	assert_int_equal(f->seen.calls, before);
	wait_calls(f, before + 1);
}

/* ---- how calls end ---- */

static void test_argv(void **state)
{
	struct fixture *f = *state;
	static const struct {
		enum runtime_cli_verb verb;
		const char *want;
	} rows[] = {
		{ RUNTIME_CLI_ADD_IFACE, "[kata-network][add-iface][sandbox-1][/x/shared.json]" },
		{ RUNTIME_CLI_DEL_IFACE, "[kata-network][del-iface][sandbox-1][/x/shared.json]" },
		{ RUNTIME_CLI_UPDATE_ROUTES,
		  "[kata-network][update-routes][sandbox-1][/x/shared.json]" },
		{ RUNTIME_CLI_LIST_IFACES, "[kata-network][list-ifaces][sandbox-1]" },
	};

	make_runtime(f, "printf '[%s]' \"$@\" >$TEST_DIR/argv", 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		CLEANUP(cleanup_free)
		char *argv = NULL;

		run(f, rows[i].verb);
		assert_int_equal(f->seen.status, 0);
		assert_string_equal(f->seen.stderr_text, "");
		assert_string_equal(f->seen.stdout_text, "");
		argv = read_file(f, "argv");
		assert_string_equal(argv, rows[i].want);
	}
}

static void test_exit_status_and_stderr(void **state)
{
	struct fixture *f = *state;

	make_runtime(f, "echo 'container x is not running' >&2; echo null; echo ' \t' >&2; exit 3",
		     0);
	run(f, RUNTIME_CLI_ADD_IFACE);
	assert_int_equal(f->seen.status, 3);
	assert_string_equal(f->seen.stderr_text, "container x is not running");
	assert_int_equal(f->seen.stderr_dropped, 0);
	assert_string_equal(f->seen.stdout_text, "");
	assert_true(f->seen.duration_usec > 0 && f->seen.duration_usec < DEADLINE_USEC);
}

/* A NUL would hide what follows it. */
static void test_nul_in_stderr(void **state)
{
	struct fixture *f = *state;

	make_runtime(f, "printf 'one\\0two' >&2", 0);
	run(f, RUNTIME_CLI_ADD_IFACE);
	assert_string_equal(f->seen.stderr_text, "one?two");
}

static void test_killed_by_signal(void **state)
{
	struct fixture *f = *state;

	make_runtime(f, "kill -SEGV $$", 0);
	run(f, RUNTIME_CLI_ADD_IFACE);
	assert_int_equal(f->seen.status, -SIGSEGV);
}

static void test_missing(void **state)
{
	struct fixture *f = *state;
	char path[128];

	make_runtime(f, "exit 0", 0);
	make_path(f, "runtime", path);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(start(f, RUNTIME_CLI_ADD_IFACE), -EACCES);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(start(f, RUNTIME_CLI_ADD_IFACE), -ENOENT);
	assert_non_null(strstr(err_text(), path));
	assert_int_equal(sd_event_run(f->event, 0), 0);
	assert_int_equal(f->seen.calls, 0);
	/* It is put back (a package upgrade): the next call goes. */
	write_file(f, "runtime", "#!/bin/sh\nexit 0\n", 0755);
	run(f, RUNTIME_CLI_ADD_IFACE);
}

static int refuse_exec(void *arg)
{
	(void)arg;
	return -ENOSPC;
}

static int write_pid(void *arg)
{
	int *fd = arg;
	pid_t pid = getpid();

	return write(*fd, &pid, sizeof(pid)) == sizeof(pid) ? 0 : -errno;
}

static void test_before_exec(void **state)
{
	struct fixture *f = *state;
	struct runtime_cli_call call = {
		.verb = RUNTIME_CLI_ADD_IFACE,
		.file = "f",
		.before_exec = refuse_exec,
		.done = remember,
		.userdata = &f->seen,
	};
	int fds[2];
	pid_t pid;

	make_runtime(f, "echo $$ >$TEST_DIR/pid", 0);
	assert_int_equal(runtime_cli_start(f->cli, &call), -ENOSPC);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	call.before_exec = write_pid;
	call.before_exec_arg = &fds[1];
	assert_int_equal(runtime_cli_start(f->cli, &call), 0);
	wait_calls(f, 1);
	assert_int_equal(read(fds[0], &pid, sizeof(pid)), sizeof(pid));
	assert_int_equal(read_pid(f, "pid"), pid);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

/* ---- deadlines ---- */

static void test_hang_is_killed_with_its_group(void **state)
{
	struct fixture *f = *state;
	pid_t grandchild;

	make_runtime(f, "sleep 60 & echo $! >$TEST_DIR/pid; echo stuck >&2; wait",
		     SHORT_TIMEOUT_USEC);
	run(f, RUNTIME_CLI_ADD_IFACE);
	assert_int_equal(f->seen.status, RUNTIME_CLI_TIMED_OUT);
	assert_string_equal(f->seen.stderr_text, "stuck");
	assert_true(f->seen.duration_usec >= SHORT_TIMEOUT_USEC);
	grandchild = read_pid(f, "pid");
	assert_ends(grandchild, SIGKILL);
	/* The next call has a deadline of its own, and is not taken for late. */
	write_file(f, "runtime", "#!/bin/sh\nexit 5\n", 0755);
	run(f, RUNTIME_CLI_ADD_IFACE);
	assert_int_equal(f->seen.status, 5);
}

/* The loop was away for longer than the deadline; the child was not: it was in time. */
static void test_ended_in_time_seen_late(void **state)
{
	struct fixture *f = *state;

	siginfo_t info;

	make_runtime(f, "exit 7", SHORT_TIMEOUT_USEC);
	assert_int_equal(start(f, RUNTIME_CLI_ADD_IFACE), 0);
	assert_int_equal(waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(poll(NULL, 0, 2 * (int)(SHORT_TIMEOUT_USEC / CLOCK_USEC_PER_MSEC)), 0);
	wait_calls(f, 1);
	assert_int_equal(f->seen.status, 7);
}

static void test_no_wakeups_when_idle(void **state)
{
	struct fixture *f = *state;

	make_runtime(f, "exit 0", SHORT_TIMEOUT_USEC);
	run(f, RUNTIME_CLI_ADD_IFACE);
	/* Nothing is dispatched, the deadline of the call that is over included. */
	assert_int_equal(sd_event_run(f->event, 2 * SHORT_TIMEOUT_USEC), 0);
	assert_int_equal(f->seen.calls, 1);
}

/* ---- output ---- */

static void test_megabytes_of_stderr(void **state)
{
	struct fixture *f = *state;

	make_runtime(f, "echo the reason >&2; head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 4",
		     0);
	run(f, RUNTIME_CLI_ADD_IFACE);
	assert_int_equal(f->seen.status, 4);
	assert_memory_equal(f->seen.stderr_text, "the reason\nxxx", 14);
	assert_int_equal(strlen(f->seen.stderr_text), RUNTIME_CLI_STDERR_MAX);
	assert_int_equal(f->seen.stderr_dropped, SHOUT_BYTES + 11 - RUNTIME_CLI_STDERR_MAX);
}

/* It prints without end and is killed for being late; nothing else waits for it. */
static void test_endless_output(void **state)
{
	struct fixture *f = *state;

	make_runtime(f, "exec cat /dev/zero >&2", SHORT_TIMEOUT_USEC);
	run(f, RUNTIME_CLI_ADD_IFACE);
	assert_int_equal(f->seen.status, RUNTIME_CLI_TIMED_OUT);
	assert_true(f->seen.stderr_dropped > 0);
}

static void test_grandchild_holds_the_pipe(void **state)
{
	struct fixture *f = *state;
	pid_t grandchild;

	make_runtime(f, "sleep 60 & echo $! >$TEST_DIR/pid; echo bye >&2; exit 2", 0);
	run(f, RUNTIME_CLI_ADD_IFACE);
	assert_int_equal(f->seen.status, 2);
	assert_string_equal(f->seen.stderr_text, "bye");
	grandchild = read_pid(f, "pid");
	/* Left alone: a runtime that puts something in the background means it. */
	assert_int_equal(kill(grandchild, SIGTERM), 0);
	assert_ends(grandchild, SIGTERM);
}

/* Longer than a pipe holds, so most of it is read before the child ends. */
static void test_stdout_of_list(void **state)
{
	struct fixture *f = *state;

	make_runtime(f, "head -c 300000 /dev/zero | tr '\\0' y; printf z", 0);
	run(f, RUNTIME_CLI_LIST_IFACES);
	assert_int_equal(f->seen.stdout_bytes, 300001);
	assert_int_equal(strspn(f->seen.stdout_text, "y"), 300000);
	assert_string_equal(f->seen.stdout_text + 300000, "z");
	/* Of the other verbs nobody wants it. */
	run(f, RUNTIME_CLI_ADD_IFACE);
	assert_string_equal(f->seen.stdout_text, "");
}

static void test_stdout_too_long_is_no_answer(void **state)
{
	struct fixture *f = *state;

	make_runtime(f, "head -c 1048577 /dev/zero | tr '\\0' y; exit 0", 0);
	run(f, RUNTIME_CLI_LIST_IFACES);
	assert_int_equal(f->seen.status, 0);
	assert_string_equal(f->seen.stdout_text, "");
	assert_int_equal(f->seen.stdout_bytes, 0);
}

/* ---- one at a time, and whose child it is ---- */

static void test_busy(void **state)
{
	struct fixture *f = *state;

	make_runtime(f, "while [ -d $TEST_DIR ] && [ ! -e $TEST_DIR/go ]; do sleep 0.01; done", 0);
	assert_int_equal(start(f, RUNTIME_CLI_ADD_IFACE), 0);
	assert_int_equal(start(f, RUNTIME_CLI_ADD_IFACE), -EBUSY);
	write_file(f, "go", "", 0644);
	wait_calls(f, 1);
	assert_int_equal(f->seen.status, 0);
}

/* It goes on, and may go on talking: a pipe that we left is no reason to die of SIGPIPE. */
static void test_abandon(void **state)
{
	struct fixture *f = *state;

	make_runtime(f,
		     "echo one >&2; echo $$ >$TEST_DIR/pid; while [ -d $TEST_DIR ] && [ ! -e "
		     "$TEST_DIR/go ]; do sleep "
		     "0.01; done\n"
		     "echo two >&2; echo three >&2; touch $TEST_DIR/end",
		     SHORT_TIMEOUT_USEC);
	assert_int_equal(start(f, RUNTIME_CLI_ADD_IFACE), 0);
	wait_file(f, "pid");
	runtime_cli_abandon(f->cli);
	runtime_cli_abandon(f->cli);
	/* Neither the deadline nor its end is ours any more. */
	assert_int_equal(sd_event_run(f->event, 2 * SHORT_TIMEOUT_USEC), 0);
	write_file(f, "go", "", 0644);
	wait_file(f, "end");
	assert_int_equal(f->seen.calls, 0);
	assert_int_equal(waitpid(read_pid(f, "pid"), NULL, 0), read_pid(f, "pid"));
	/* Free for the next call. */
	run(f, RUNTIME_CLI_ADD_IFACE);
}

static void test_free_kills(void **state)
{
	struct fixture *f = *state;
	pid_t child, grandchild;

	make_runtime(f,
		     "sleep 60 & echo $! >$TEST_DIR/pid; echo $$ >$TEST_DIR/own.new\n"
		     "mv $TEST_DIR/own.new $TEST_DIR/own; wait",
		     0);
	assert_int_equal(start(f, RUNTIME_CLI_ADD_IFACE), 0);
	wait_file(f, "own");
	child = read_pid(f, "own");
	grandchild = read_pid(f, "pid");
	f->cli = runtime_cli_free(f->cli);
	assert_null(f->cli);
	assert_ends(grandchild, SIGKILL);
	/* Reaped already. */
	assert_int_equal(waitpid(child, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	assert_int_equal(f->seen.calls, 0);
}

static void start_next(void *userdata, const struct runtime_cli_result *result)
{
	struct fixture *f = userdata;

	remember(&f->seen, result);
	assert_int_equal(start(f, RUNTIME_CLI_ADD_IFACE), 0);
	/* What we were told stands until we return. */
	assert_string_equal(result->stderr_text, "first");
}

static void free_it(void *userdata, const struct runtime_cli_result *result)
{
	struct fixture *f = userdata;

	f->cli = runtime_cli_free(f->cli);
	remember(&f->seen, result);
}

static void test_done_starts_the_next(void **state)
{
	struct fixture *f = *state;
	struct runtime_cli_call call = {
		.verb = RUNTIME_CLI_LIST_IFACES,
		.done = start_next,
		.userdata = f,
	};

	make_runtime(f, "if [ $2 = list-ifaces ]; then echo first >&2; else echo second >&2; fi",
		     0);
	assert_int_equal(runtime_cli_start(f->cli, &call), 0);
	wait_calls(f, 2);
	assert_string_equal(f->seen.stderr_text, "second");
}

static void test_done_frees(void **state)
{
	struct fixture *f = *state;
	struct runtime_cli_call call = {
		.verb = RUNTIME_CLI_LIST_IFACES,
		.done = free_it,
		.userdata = f,
	};

	make_runtime(f, "echo out; echo err >&2", 0);
	assert_int_equal(runtime_cli_start(f->cli, &call), 0);
	wait_calls(f, 1);
	assert_null(f->cli);
	assert_string_equal(f->seen.stdout_text, "out\n");
}

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n;
}

static void test_leaks_no_fd(void **state)
{
	struct fixture *f = *state;
	int before;

	make_runtime(f, "exit 1", 0);
	run(f, RUNTIME_CLI_LIST_IFACES); /* libsystemd keeps some of its own from now on */
	before = count_fds();
	for (int i = 0; i < 20; i++)
		run(f, i % 2 == 0 ? RUNTIME_CLI_LIST_IFACES : RUNTIME_CLI_ADD_IFACE);
	assert_int_equal(count_fds(), before);
}

/* ---- list-ifaces ---- */

#define MAC "02:42:ac:11:00:03"

static const struct runtime_cli_interface by_mac = { .mac = MAC };

static void test_lists_mac(void **state)
{
	static const struct {
		const char *json;
		int want;
	} rows[] = {
		{ "[{\"Device\":\"eth0\",\"HwAddr\":\"" MAC "\"}]", 1 },
		{ " [ {\"hwAddr\":\"02:42:AC:11:00:03\"} ] \n", 1 },
		{ "[{\"HwAddr\":\"02:42:ac:11:00:04\"},{\"HwAddr\":\"" MAC "\",\"PciPath\":{}}]",
		  1 },
		{ "[{\"IPAddresses\":[{\"Family\":10,\"Address\":\"fe80::1\",\"Mask\":\"64\"}],"
		  "\"HWADDR\":\"" MAC "\"}]",
		  1 },
		{ "[]", 0 },
		{ "null", 0 },
		{ "null\n", 0 },
		{ "[{}]", 0 },
		{ "[{\"HwAddr\":\"\"},{\"HwAddr\":null},{\"HwAddr\":7}]", 0 },
		{ "[{\"Name\":\"" MAC "\"}]", 0 },
		/* half an answer is none, also when it has what we look for */
		{ "[{\"HwAddr\":\"" MAC "\"}", -EBADMSG },
		{ "[{\"HwAddr\":\"" MAC "\"},]", -EBADMSG },
		{ "[{\"HwAddr\":\"" MAC "\"}] x", -EBADMSG },
		{ "[{\"HwAddr\":\"" MAC "\"}}", -EBADMSG },
		{ "", -EBADMSG },
		{ " ", -EBADMSG },
		{ "nul", -EBADMSG },
		{ "{}", -EBADMSG },
		{ "[1]", -EBADMSG },
		{ "[[]]", -EBADMSG },
		{ "[null]", -EBADMSG },
		{ "NAME:\n   kata-runtime kata-network - manage interfaces\n", -EBADMSG },
		{ "[{\"a\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}]", -EBADMSG },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(runtime_cli_lists(rows[i].json, strlen(rows[i].json), &by_mac),
				 rows[i].want);
	assert_int_equal(runtime_cli_lists("[]\0", 3, &by_mac), -EBADMSG);
}

/*
 * With other addresses it is there, but not as it was to be. Link-local ones are the guest's own.
 */
static void test_lists_only_with_just_these_addresses(void **state)
{
	static const char *const ips[] = { "10.0.0.1", "2001:db8::2" };
	static const struct runtime_cli_interface wanted = { MAC, ips, 2 };
	static const struct {
		const char *addresses;
		int want;
	} rows[] = {
		{ "[{\"Address\":\"10.0.0.1\"},{\"address\":\"2001:DB8::2\"}]",
		  RUNTIME_CLI_LISTS_IT },
		{ "[{\"Address\":\"fe80::1\"},{\"Address\":\"2001:db8:0:0::2\"},"
		  "{\"Address\":\"10.0.0.1\"}]",
		  RUNTIME_CLI_LISTS_IT },
		{ "[{\"Address\":\"10.0.0.1\"}]", RUNTIME_CLI_LISTS_OTHER },
		{ "[{\"Address\":\"10.0.0.1\"},{\"Address\":\"2001:db8::2\"},"
		  "{\"Address\":\"10.0.0.9\"}]",
		  RUNTIME_CLI_LISTS_OTHER },
		{ "[\"10.0.0.1\",7,null]", RUNTIME_CLI_LISTS_OTHER },
		{ "[]", RUNTIME_CLI_LISTS_OTHER },
		{ "null", RUNTIME_CLI_LISTS_OTHER },
	};
	char json[256];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int n = snprintf(json, sizeof(json), "[{\"HwAddr\":\"%s\",\"IPAddresses\":%s}]",
				 MAC, rows[i].addresses);

		assert_int_equal(runtime_cli_lists(json, (size_t)n, &wanted), rows[i].want);
	}
}

static void test_lists_mac_among_many(void **state)
{
	static const char one[] =
		"{\"Device\":\"e\",\"HwAddr\":\"02:00:00:00:00:00\",\"IPAddresses\":null},";
	static const char last[] = "{\"HwAddr\":\"" MAC "\"}]";
	size_t n = 10000, size = 1 + n * (sizeof(one) - 1) + sizeof(last) - 1;
	char *json = malloc(size), *at = json;

	(void)state;
	assert_non_null(json);
	*at++ = '[';
	for (size_t i = 0; i < n; i++, at += sizeof(one) - 1)
		memcpy(at, one, sizeof(one) - 1);
	memcpy(at, last, sizeof(last) - 1);
	assert_int_equal(runtime_cli_lists(json, size, &by_mac), 1);
	assert_int_equal(runtime_cli_lists(json, size - 1, &by_mac), -EBADMSG);
	free(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_argv, setup, teardown),
		cmocka_unit_test_setup_teardown(test_exit_status_and_stderr, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nul_in_stderr, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_by_signal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_before_exec, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hang_is_killed_with_its_group, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_ended_in_time_seen_late, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_wakeups_when_idle, setup, teardown),
		cmocka_unit_test_setup_teardown(test_megabytes_of_stderr, setup, teardown),
		cmocka_unit_test_setup_teardown(test_endless_output, setup, teardown),
		cmocka_unit_test_setup_teardown(test_grandchild_holds_the_pipe, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stdout_of_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stdout_too_long_is_no_answer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_busy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_abandon, setup, teardown),
		cmocka_unit_test_setup_teardown(test_free_kills, setup, teardown),
		cmocka_unit_test_setup_teardown(test_done_starts_the_next, setup, teardown),
		cmocka_unit_test_setup_teardown(test_done_frees, setup, teardown),
		cmocka_unit_test_setup_teardown(test_leaks_no_fd, setup, teardown),
		cmocka_unit_test(test_lists_mac),
		cmocka_unit_test(test_lists_mac_among_many),
		cmocka_unit_test(test_lists_only_with_just_these_addresses),
	};

	/* Orphans of our children come to us, so that nothing is left when we go. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
