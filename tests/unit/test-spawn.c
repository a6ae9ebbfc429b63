/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children: what they inherit (nothing), what a failed start says, and that they end with all their
 * kin.
 */
#include "base/spawn.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LIFE_SEC \
	"60" /* of a child that is to be killed: what a failed case leaves behind ends soon */
#define DEADLINE_MS 20000 /* nothing here takes more than a moment; a loaded machine may */

/* ---- one directory for the whole program, removed at its end ---- */

static char work_dir[] = "/tmp/netmon-test-spawn-XXXXXX";

static int group_setup(void **state)
{
	(void)state;
	return mkdtemp(work_dir) ? 0 : -1;
}

static int group_teardown(void **state)
{
	static const char *const names[] = { "not-executable", "no-interpreter", "prog" };
	char path[128];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", work_dir, names[i]);
		(void)unlink(path);
	}
	return rmdir(work_dir);
}

static int teardown(void **state)
{
	(void)state;
	err_clear();
	return 0;
}

/* Return: its path, good until the next call */
static const char *make_program(const char *name, const char *text, mode_t mode)
{
	static char path[128];
	CLEANUP(cleanup_close)
	int fd = -1;

	(void)snprintf(path, sizeof(path), "%s/%s", work_dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	assert_true(fd >= 0);
	assert_int_equal(io_write_all(fd, text, strlen(text)), 0);
	return path;
}

static void wait_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
}

static int reap(struct spawn_child *c)
{
	int status = 12345;

	wait_readable(c->pidfd);
	assert_int_equal(spawn_reap(c, &status), 0);
	assert_int_equal(c->pidfd, -1);
	assert_int_equal(c->pid, 0);
	return status;
}

/* Runs a shell script with both outputs on one pipe. Return: the output, caller frees */
static char *output_of(const char *script, int (*before_exec)(void *arg), void *arg)
{
	const char *const argv[] = { "/bin/sh", "-c", script, NULL };
	CLEANUP(spawn_child_done)
	struct spawn_child c = SPAWN_CHILD_NULL;
	struct spawn_request req = { .argv = argv, .before_exec = before_exec, .arg = arg };
	char *data = NULL;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	req.stdout_fd = req.stderr_fd = fds[1];
	assert_int_equal(spawn_start(&req, &c), 0);
	(void)close(fds[1]);
	wait_readable(fds[0]);
	assert_int_equal(io_read_all(fds[0], 1 << 20, &data, NULL), 0);
	(void)close(fds[0]);
	assert_int_equal(reap(&c), 0);
	return data;
}

static int start(const char *program)
{
	const char *const argv[] = { program, "x", NULL };
	const struct spawn_request req = { .argv = argv, .stdout_fd = -1, .stderr_fd = -1 };
	CLEANUP(spawn_child_done)
	struct spawn_child c = SPAWN_CHILD_NULL;
	int r = spawn_start(&req, &c);

	if (r < 0)
		assert_int_equal(c.pidfd, -1);
	return r;
}

static void assert_no_children(void)
{
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* ---- starting ---- */

static void test_exit_status_and_signal(void **state)
{
	static const struct {
		const char *script;
		int status;
	} cases[] = {
		{ "exit 0", 0 },
		{ "exit 255", 255 },
		{ "kill -9 $$", -SIGKILL },
		{ "kill -TERM $$", -SIGTERM },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *const argv[] = { "sh", "-c", cases[i].script, NULL };
		const struct spawn_request req = { .argv = argv, .stdout_fd = -1, .stderr_fd = -1 };
		struct spawn_child c = SPAWN_CHILD_NULL;

		assert_int_equal(spawn_start(&req, &c), 0);
		assert_int_equal(fcntl(c.pidfd, F_GETFD), FD_CLOEXEC);
		assert_int_equal(reap(&c), cases[i].status);
	}
	assert_no_children();
}

static void test_failures_of_exec_are_return_values(void **state)
{
	int before = count_fds();

	(void)state;
	assert_int_equal(start("/nowhere/program"), -ENOENT);
	assert_non_null(strstr(err_text(), "start '/nowhere/program' (exec): No such file"));
	assert_int_equal(start("no-such-program-in-path"), -ENOENT);
	assert_int_equal(start(""), -ENOENT);
	assert_int_equal(start(make_program("not-executable", "#!/bin/sh\n", 0644)), -EACCES);
	assert_int_equal(start(work_dir), -EACCES);
	assert_int_equal(start("/etc/passwd/x"), -ENOTDIR);
	/* no shell is asked to make something of it */
	assert_int_equal(start(make_program("no-interpreter", "exit 0\n", 0755)), -ENOEXEC);
	assert_no_children();
	assert_int_equal(count_fds(), before);
}

static void test_path_is_searched(void **state)
{
	const char *path_before = getenv("PATH");
	CLEANUP(cleanup_free)
	char *saved = strdup(path_before ? path_before : "/usr/bin:/bin");
	char path[256];

	(void)state;
	(void)make_program("prog", "#!/bin/sh\nexit 0\n", 0755);
	(void)make_program("not-executable", "#!/bin/sh\n", 0644);
	(void)snprintf(path, sizeof(path), ":/nowhere:/etc/passwd:.:%s:", work_dir);
	(void)setenv("PATH", path, 1);
	assert_int_equal(start("prog"), 0);
	assert_int_equal(start("not-executable"), -EACCES);
	assert_int_equal(start("sh"), -ENOENT);
	/* relative directories of PATH are nobody's wish */
	assert_int_equal(chdir(work_dir), 0);
	(void)setenv("PATH", ".::", 1);
	assert_int_equal(start("prog"), -ENOENT);
	/* but a relative path means ours, though the child stands in "/" */
	assert_int_equal(start("./prog"), 0);
	assert_int_equal(chdir("/"), 0);
	(void)unsetenv("PATH");
	assert_int_equal(start("sh"), 0);
	(void)setenv("PATH", saved, 1);
}

static void test_stdin_cwd_and_environment(void **state)
{
	CLEANUP(cleanup_free)
	char *out = NULL;

	(void)state;
	(void)setenv("NETMON_TEST", "here", 1);
	out = output_of("pwd; echo $NETMON_TEST; readlink /proc/self/fd/0; cat; echo err >&2", NULL,
			NULL);
	assert_string_equal(out, "/\nhere\n/dev/null\nerr\n");
	(void)unsetenv("NETMON_TEST");
}

/* What we hand over may itself be 0, 1 or 2, in any order, or not be there. */
static void test_stdio_of_any_numbers(void **state)
{
	const char *const argv[] = { "/bin/sh", "-c", "echo out; echo err >&2", NULL };
	CLEANUP(cleanup_close)
	int saved_out = fcntl(1, F_DUPFD_CLOEXEC, 10);
	CLEANUP(cleanup_close)
	int saved_err = fcntl(2, F_DUPFD_CLOEXEC, 10);
	CLEANUP(cleanup_close)
	int out = memfd_create("out", MFD_CLOEXEC);
	CLEANUP(cleanup_close)
	int err = memfd_create("err", MFD_CLOEXEC);
	struct spawn_request req = { .argv = argv, .stdout_fd = 2, .stderr_fd = 1 };
	struct spawn_child c = SPAWN_CHILD_NULL;
	char buffer[16] = "";
	int r;

	(void)state;
	assert_true(saved_out >= 0 && saved_err >= 0 && out >= 0 && err >= 0);
	(void)dup2(err, 1);
	(void)dup2(out, 2);
	r = spawn_start(&req, &c);
	(void)dup2(saved_out, 1);
	(void)dup2(saved_err, 2);
	assert_int_equal(r, 0);
	assert_int_equal(reap(&c), 0);
	assert_int_equal(pread(out, buffer, sizeof(buffer), 0), 4);
	assert_memory_equal(buffer, "out\n", 4);
	assert_int_equal(pread(err, buffer, sizeof(buffer), 0), 4);
	assert_memory_equal(buffer, "err\n", 4);
}

/* Runs @what in a process of its own, for what can not be undone; it returns 0 when all is well. */
static void assert_in_fork(int (*what)(void))
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0)
		_exit(what());
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/*
 * Without assertions, for use in a fork. Return: exit status, or a number that no program here
 * returns
 */
static int run_in_fork(const struct spawn_request *req)
{
	struct spawn_child c = SPAWN_CHILD_NULL;
	struct pollfd p = { .events = POLLIN };
	int status;

	if (spawn_start(req, &c) < 0)
		return 100;
	p.fd = c.pidfd;
	if (poll(&p, 1, DEADLINE_MS) != 1)
		return 101;
	return spawn_reap(&c, &status) == 0 ? status : 102;
}

static int start_without_stdio(void)
{
	const char *const argv[] = { "/bin/sh", "-c",
				     "read x; echo x && echo x >&2 && cd /proc/$$/fd && test "
				     "\"$(echo [012])\" = '0 1 2'",
				     NULL };
	const struct spawn_request req = { .argv = argv, .stdout_fd = -1, .stderr_fd = -1 };

	(void)close(0);
	(void)close(1);
	(void)close(2);
	return run_in_fork(&req);
}

static void test_without_stdio_of_our_own(void **state)
{
	(void)state;
	assert_in_fork(start_without_stdio);
}

/* CVE-2024-21626 began with one forgotten descriptor. */
static void test_no_descriptor_leaks(void **state)
{
	CLEANUP(cleanup_free)
	char *out = NULL;
	int fds[40];

	(void)state;
	for (int i = 0; i < 40; i++)
		fds[i] = open("/", O_PATH); /* not close-on-exec: as if somebody had forgotten it */
	(void)dup2(fds[0], 900);
	out = output_of("cd /proc/self/fd && echo *", NULL, NULL);
	for (int i = 0; i < 40; i++)
		(void)close(fds[i]);
	(void)close(900);
	/* the listing's own is 3; a shell that keeps none is as good */
	assert_true(strcmp(out, "0 1 2 3\n") == 0 || strcmp(out, "0 1 2\n") == 0);
}

static int deny_close_range(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int leak_without_close_range(void)
{
	const char *const argv[] = { "/bin/sh", "-c", "cd /proc/self/fd && echo *", NULL };
	int out = memfd_create("out", MFD_CLOEXEC);
	const struct spawn_request req = { .argv = argv, .stdout_fd = out, .stderr_fd = 2 };
	char buffer[64] = "";
	int r;

	if (deny_close_range() < 0)
		return 110;
	for (int i = 0; i < 400; i++) /* more than one buffer of the directory */
		(void)open("/", O_PATH);
	if (close_range(500, 600, 0) == 0)
		return 111;
	r = run_in_fork(&req);
	if (r != 0)
		return r;
	if (pread(out, buffer, sizeof(buffer) - 1, 0) < 6)
		return 112;
	return strcmp(buffer, "0 1 2\n") == 0 || strcmp(buffer, "0 1 2 3\n") == 0 ? 0 : 113;
}

static void test_no_descriptor_leaks_on_old_kernels(void **state)
{
	(void)state;
	assert_in_fork(leak_without_close_range);
}

/* ---- signals ---- */

static volatile sig_atomic_t handled;

static void on_signal(int sig)
{
	(void)sig;
	handled = handled + 1;
}

/* All three kinds of inheritance: blocked, ignored, handled. */
static void test_signals_are_at_their_defaults(void **state)
{
	struct sigaction old_usr1, handler = { .sa_handler = on_signal };
	sigset_t mask, old_mask;
	CLEANUP(cleanup_free)
	char *out = NULL;

	(void)state;
	(void)sigfillset(&mask);
	(void)sigprocmask(SIG_SETMASK, &mask, &old_mask);
	(void)sigaction(SIGUSR1, &handler, &old_usr1);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGRTMAX, SIG_IGN);
	out = output_of("sed -n '/^Sig[BIC]/p' /proc/self/status", NULL, NULL);
	(void)sigaction(SIGUSR1, &old_usr1, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)signal(SIGHUP, SIG_DFL);
	(void)signal(SIGRTMAX, SIG_DFL);
	assert_string_equal(out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
				 "SigCgt:\t0000000000000000\n");
	/* ours are as they were: still blocked, still handled */
	(void)sigprocmask(SIG_SETMASK, NULL, &mask);
	assert_int_equal(sigismember(&mask, SIGTERM), 1);
	(void)sigprocmask(SIG_SETMASK, &old_mask, NULL);
}

static int raise_in_child(void *arg)
{
	(void)arg;
	return kill(getpid(), SIGUSR1) < 0 ? -errno : 0;
}

/* A signal that comes before exec kills the child; our handler must not run in our memory. */
static void test_our_handlers_never_run_in_the_child(void **state)
{
	const char *const argv[] = { "/bin/true", NULL };
	const struct spawn_request req = {
		.argv = argv, .stdout_fd = -1, .stderr_fd = -1, .before_exec = raise_in_child
	};
	struct sigaction old, handler = { .sa_handler = on_signal };
	struct spawn_child c = SPAWN_CHILD_NULL;

	(void)state;
	handled = 0;
	(void)sigaction(SIGUSR1, &handler, &old);
	assert_int_equal(spawn_start(&req, &c), 0);
	assert_int_equal(reap(&c), -SIGUSR1);
	assert_int_equal(handled, 0);
	assert_int_equal(raise(SIGUSR1), 0);
	assert_int_equal(handled, 1);
	(void)sigaction(SIGUSR1, &old, NULL);
}

/* ---- before_exec ---- */

struct note {
	int fd; /* above 2: still open when before_exec runs */
	int r;
	pid_t pid;
	uint64_t start_time;
};

static int write_note(void *arg)
{
	struct note *note = arg;

	note->pid = getpid();
	note->r = spawn_start_time(0, &note->start_time);
	if (write(note->fd, note, sizeof(*note)) != (ssize_t)sizeof(*note))
		return -EIO;
	return note->r;
}

/*
 * What a crashed monitor's successor relies on: the file names the very process that then becomes
 * the program.
 */
static void test_before_exec_writes_down_who_it_is(void **state)
{
	const char *const argv[] = { "sleep", LIFE_SEC, NULL };
	CLEANUP(cleanup_close)
	int fd = memfd_create("note", MFD_CLOEXEC);
	struct note note = { .fd = fd }, written;
	const struct spawn_request req = { .argv = argv,
					   .stdout_fd = -1,
					   .stderr_fd = -1,
					   .before_exec = write_note,
					   .arg = &note };
	CLEANUP(spawn_child_done)
	struct spawn_child c = SPAWN_CHILD_NULL;
	uint64_t start_time = 0;
	CLEANUP(cleanup_free)
	char *name = NULL;
	char path[64];

	(void)state;
	assert_int_equal(spawn_start(&req, &c), 0);
	assert_int_equal(pread(fd, &written, sizeof(written), 0), sizeof(written));
	assert_int_equal(written.pid, c.pid);
	assert_int_equal(spawn_start_time(c.pid, &start_time), 0);
	assert_true(start_time > 0 && start_time == written.start_time);
	(void)snprintf(path, sizeof(path), "/proc/%d/comm", c.pid);
	assert_int_equal(io_read_path(path, 64, &name, NULL), 0);
	assert_string_equal(name, "sleep\n"); /* spawn_start() returned, so the exec is done */
}

static int refuse(void *arg)
{
	(void)arg;
	return -EDQUOT;
}

static void test_before_exec_that_fails_aborts(void **state)
{
	const char *const argv[] = { "/bin/true", NULL };
	const struct spawn_request req = {
		.argv = argv, .stdout_fd = -1, .stderr_fd = -1, .before_exec = refuse
	};
	struct spawn_child c = SPAWN_CHILD_NULL;
	int before = count_fds();

	(void)state;
	assert_int_equal(spawn_start(&req, &c), -EDQUOT);
	assert_non_null(strstr(err_text(), "(before_exec)"));
	assert_int_equal(c.pidfd, -1);
	assert_no_children();
	assert_int_equal(count_fds(), before);
}

/* ---- the end of a child ---- */

/*
 * A shell with a grandchild that ignores what can be ignored; *@ret_out ends when the last of them
 * has.
 */
static struct spawn_child start_family(int *ret_out)
{
	const char *const argv[] = { "sh", "-c",
				     "trap '' HUP TERM; sleep " LIFE_SEC " & echo up; wait", NULL };
	struct spawn_request req = { .argv = argv, .stderr_fd = -1 };
	struct spawn_child c = SPAWN_CHILD_NULL;
	char buffer[3];
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	req.stdout_fd = fds[1];
	assert_int_equal(spawn_start(&req, &c), 0);
	(void)close(fds[1]);
	wait_readable(fds[0]);
	assert_int_equal(read(fds[0], buffer, 3), 3);
	*ret_out = fds[0];
	return c;
}

static void assert_all_gone(int out)
{
	char byte;

	wait_readable(out);
	assert_int_equal(read(out, &byte, 1), 0);
	(void)close(out);
}

static void test_kill_group_takes_grandchildren(void **state)
{
	int out, status = 7;
	struct spawn_child c = start_family(&out);

	(void)state;
	assert_int_equal(getpgid(c.pid), c.pid);
	assert_int_equal(spawn_reap(&c, &status), 1);
	assert_int_equal(status, 7);
	assert_int_equal(spawn_kill_group(&c, SIGKILL), 0);
	assert_all_gone(out);
	assert_int_equal(reap(&c), -SIGKILL);
}

static void test_done_takes_all(void **state)
{
	int out;
	struct spawn_child c = start_family(&out);

	(void)state;
	spawn_child_done(&c);
	assert_int_equal(c.pidfd, -1);
	assert_all_gone(out);
	assert_no_children();
	spawn_child_done(&c);
}

static void test_null_child(void **state)
{
	struct spawn_child c = SPAWN_CHILD_NULL;
	struct spawn_child init = { .pid = 1, .pidfd = -1 };
	int status = 7;

	(void)state;
	spawn_child_done(&c);
	assert_int_equal(spawn_kill_group(&c, 0), -ESRCH);
	assert_int_equal(spawn_kill_group(&init, 0), -ESRCH); /* kill(-1) is everybody */
	assert_true(spawn_reap(&c, &status) < 0);
	assert_int_equal(status, 7);
}

static void test_reap_of_a_stolen_child(void **state)
{
	const char *const argv[] = { "true", NULL };
	const struct spawn_request req = { .argv = argv, .stdout_fd = -1, .stderr_fd = -1 };
	struct spawn_child c = SPAWN_CHILD_NULL;
	int status = 7;

	(void)state;
	assert_int_equal(spawn_start(&req, &c), 0);
	assert_int_equal(waitpid(c.pid, NULL, 0), c.pid);
	assert_int_equal(spawn_reap(&c, &status), -ECHILD);
	assert_int_equal(c.pidfd, -1);
	assert_int_equal(status, 7);
}

/* ---- the start time ---- */

static void test_start_time(void **state)
{
	uint64_t by_zero = 0, by_pid = 0, of_init = 0, none = 42;

	(void)state;
	assert_int_equal(spawn_start_time(0, &by_zero), 0);
	assert_int_equal(spawn_start_time(getpid(), &by_pid), 0);
	assert_true(by_zero > 0 && by_zero == by_pid);
	assert_int_equal(spawn_start_time(1, &of_init), 0);
	assert_true(of_init <= by_pid);
	assert_int_equal(spawn_start_time(0x7ffffff0, &none), -ESRCH);
	assert_int_equal(spawn_start_time(-5, &none), -ESRCH);
	assert_true(none == 42);
}

/* The name is the process's own choice. */
static void test_start_time_under_a_hostile_name(void **state)
{
	uint64_t before = 0, after = 0;
	char name[16];

	(void)state;
	(void)prctl(PR_GET_NAME, name);
	assert_int_equal(spawn_start_time(0, &before), 0);
	(void)prctl(PR_SET_NAME, "a) R 1 2 ) 3 (");
	assert_int_equal(spawn_start_time(0, &after), 0);
	(void)prctl(PR_SET_NAME, name);
	assert_true(before == after);
}

/* ---- around it ---- */

static void test_parent_that_is_not_dumpable(void **state)
{
	CLEANUP(cleanup_free)
	char *out = NULL;
	CLEANUP(cleanup_close)
	int fd = memfd_create("note", MFD_CLOEXEC);
	struct note note = { .fd = fd };

	(void)state;
	assert_int_equal(prctl(PR_SET_DUMPABLE, 0), 0);
	out = output_of("echo fine", write_note, &note);
	assert_int_equal(prctl(PR_SET_DUMPABLE, 1), 0);
	assert_string_equal(out, "fine\n");
	assert_int_equal(note.r, 0);
}

static long minor_faults(void)
{
	struct rusage usage;

	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	return usage.ru_minflt;
}

/*
 * Nothing is copied: after a fork() each page of ours would fault once more when we write to it,
 * which is 51,200 faults a start here, and at least 100 where the kernel gave huge pages.
 */
static void test_large_parent(void **state)
{
	enum { HEAP_BYTES = 200 << 20, STARTS = 20, FAULTS_MAX = 40 };
	char *heap = malloc(HEAP_BYTES);
	long before;

	(void)state;
	assert_non_null(heap);
	memset(heap, 1, HEAP_BYTES);
	before = minor_faults();
	for (int i = 0; i < STARTS; i++) {
		assert_int_equal(start("/bin/true"), 0);
		for (int at = 0; at < HEAP_BYTES; at += 4096)
			heap[at]++;
	}
	assert_in_range(minor_faults() - before, 0, STARTS * FAULTS_MAX);
	assert_int_equal(heap[0], STARTS + 1);
	free(heap);
	assert_no_children();
}

static void test_no_descriptors_left(void **state)
{
	struct rlimit old, few;
	int r;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){ .rlim_cur = 3, .rlim_max = old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	r = start("/bin/true");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(r, -EMFILE);
	assert_no_children();
}

#define TEST(fn) cmocka_unit_test_teardown(fn, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_exit_status_and_signal),
		TEST(test_failures_of_exec_are_return_values),
		TEST(test_path_is_searched),
		TEST(test_stdin_cwd_and_environment),
		TEST(test_stdio_of_any_numbers),
		TEST(test_without_stdio_of_our_own),
		TEST(test_no_descriptor_leaks),
		TEST(test_no_descriptor_leaks_on_old_kernels),
		TEST(test_signals_are_at_their_defaults),
		TEST(test_our_handlers_never_run_in_the_child),
		TEST(test_before_exec_writes_down_who_it_is),
		TEST(test_before_exec_that_fails_aborts),
		TEST(test_kill_group_takes_grandchildren),
		TEST(test_done_takes_all),
		TEST(test_null_child),
		TEST(test_reap_of_a_stolen_child),
		TEST(test_start_time),
		TEST(test_start_time_under_a_hostile_name),
		TEST(test_parent_that_is_not_dumpable),
		TEST(test_large_parent),
		TEST(test_no_descriptors_left),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
