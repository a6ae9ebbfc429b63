/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door to other namespaces: what is let in, what is refused, and that we always come back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "netmon/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "tests/netns/sandbox.h"

#define OWN_NETNS "/proc/thread-self/ns/net"

/* ---- opening ---- */

static ino_t inode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_ino;
}

static ino_t inode_of_fd(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_ino;
}

static void test_open_by_path(void **state)
{
	CLEANUP(cleanup_close) int fd = -1;
	pid_t pid = 77;

	(void)state;
	assert_int_equal(netns_open(OWN_NETNS, &fd, &pid), 0);
	assert_int_equal(pid, 0);
	assert_int_equal(inode_of_fd(fd), inode_of(OWN_NETNS));
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void test_open_by_pid(void **state)
{
	CLEANUP(cleanup_close) int fd = -1;
	char spec[16];
	pid_t pid = 77;

	(void)state;
	(void)snprintf(spec, sizeof(spec), "%d", getpid());
	assert_int_equal(netns_open(spec, &fd, &pid), 0);
	assert_int_equal(pid, getpid());
	assert_int_equal(inode_of_fd(fd), inode_of(OWN_NETNS));
}

/* As `ip netns add` makes them: a file with the namespace mounted over it. */
static void test_open_a_named_one(void **state)
{
	CLEANUP(cleanup_close) int netns_fd = sandbox_new_netns();
	CLEANUP(cleanup_free) char *source = sandbox_fd_path(netns_fd);
	CLEANUP(cleanup_close) int fd = -1;
	CLEANUP(cleanup_close) int file_fd = -1;
	char path[] = "/tmp/test-netns-XXXXXX";
	pid_t pid;
	int r;

	(void)state;
	file_fd = mkostemp(path, O_CLOEXEC);
	assert_true(file_fd >= 0);
	assert_int_equal(mount(source, path, NULL, MS_BIND, NULL), 0);
	r = netns_open(path, &fd, &pid);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(r, 0);
	assert_int_equal(inode_of_fd(fd), inode_of_fd(netns_fd));
}

/* A pid that was in use a moment ago. */
static pid_t ended_pid(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	assert_true(pid > 0);
	assert_true(waitpid(pid, NULL, 0) == pid);
	return pid;
}

static void test_refusals(void **state)
{
	static const struct {
		const char *spec;
		int r;
	} rows[] = {
		{ "/nowhere/at/all", -ENOENT },
		{ "", -ENOENT },
		{ "/proc/self/ns/mnt", -EINVAL },
		{ "/proc/self/status", -EINVAL },
		{ "/dev/null", -EINVAL },
		{ "/", -EINVAL },
		{ "0", -EINVAL },
		{ "99999999999999999999", -EINVAL },
		{ "4294967297", -EINVAL },
		{ "2147483647", -ESRCH }, /* above every pid_max */
		{ "-1", -ENOENT },
		{ "12x", -ENOENT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = -77;
		pid_t pid = 77;

		if (netns_open(rows[i].spec, &fd, &pid) != rows[i].r)
			fail_msg("'%s': %s", rows[i].spec, err_text());
		assert_int_equal(fd, -77);
		assert_int_equal(pid, 77);
		assert_non_null(strstr(err_text(), rows[i].spec));
		err_clear();
	}
}

static void test_ended_process(void **state)
{
	char spec[16];
	int fd = -77;
	pid_t pid = 77;

	(void)state;
	(void)snprintf(spec, sizeof(spec), "%d", ended_pid());
	assert_int_equal(netns_open(spec, &fd, &pid), -ESRCH);
	assert_int_equal(fd, -77);
	err_clear();
}

/* The open of a FIFO waits for a writer; ours does not. */
static void test_fifo_does_not_hold_us_up(void **state)
{
	char directory[] = "/tmp/test-netns-XXXXXX";
	char path[64];
	int fd = -77;
	pid_t pid;
	int r;

	(void)state;
	assert_non_null(mkdtemp(directory));
	(void)snprintf(path, sizeof(path), "%s/fifo", directory);
	assert_int_equal(mkfifo(path, 0600), 0);
	r = netns_open(path, &fd, &pid);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
	assert_int_equal(r, -EINVAL);
	err_clear();
}

/* ---- running inside ---- */

static int note_inode(void *arg)
{
	*(ino_t *)arg = inode_of(OWN_NETNS);
	errno = EXDEV;
	return 42;
}

static void test_run_inside_and_come_back(void **state)
{
	CLEANUP(cleanup_close) int fd = sandbox_new_netns();
	ino_t home = inode_of(OWN_NETNS);
	ino_t inside = 0;

	(void)state;
	assert_int_equal(netns_run(fd, note_inode, &inside), 42);
	assert_int_equal(errno, EXDEV);
	assert_int_equal(inside, inode_of_fd(fd));
	assert_int_not_equal(inside, home);
	assert_int_equal(inode_of(OWN_NETNS), home);
}

static int fail_inside(void *arg)
{
	(void)arg;
	return -EPROTO;
}

static void test_failure_inside_comes_back_too(void **state)
{
	CLEANUP(cleanup_close) int fd = sandbox_new_netns();
	ino_t home = inode_of(OWN_NETNS);

	(void)state;
	assert_int_equal(netns_run(fd, fail_inside, NULL), -EPROTO);
	assert_int_equal(inode_of(OWN_NETNS), home);
}

static int never(void *arg)
{
	*(int *)arg = 1;
	return 0;
}

static void test_run_in_what_is_no_namespace(void **state)
{
	CLEANUP(cleanup_close) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	CLEANUP(cleanup_close) int mnt_fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	int called = 0;

	(void)state;
	assert_int_equal(netns_run(fd, never, &called), -EINVAL);
	assert_int_equal(netns_run(mnt_fd, never, &called), -EINVAL);
	assert_int_equal(netns_run(-1, never, &called), -EBADF);
	assert_int_equal(called, 0);
	err_clear();
}

static int close_everything(void *arg)
{
	(void)arg;
	return close_range(3, ~0U, 0);
}

/* Runs in a process of its own, which is to die of it. */
static void lose_the_way_home(int netns_fd)
{
	const struct rlimit no_core = { 0, 0 };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setrlimit(RLIMIT_CORE, &no_core);
	(void)signal(SIGABRT, SIG_DFL);
	(void)netns_run(netns_fd, close_everything, NULL);
	_exit(0);
}

static void test_no_way_back_is_the_end(void **state)
{
	CLEANUP(cleanup_close) int fd = sandbox_new_netns();
	int status = 0;
	pid_t pid = fork();

	(void)state;
	if (pid == 0)
		lose_the_way_home(fd);
	assert_true(pid > 0);
	assert_true(waitpid(pid, &status, 0) == pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, sandbox_enter, sandbox_leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_open_by_path),
		CASE(test_open_by_pid),
		CASE(test_open_a_named_one),
		CASE(test_refusals),
		CASE(test_ended_process),
		CASE(test_fifo_does_not_hold_us_up),
		CASE(test_run_inside_and_come_back),
		CASE(test_failure_inside_comes_back_too),
		CASE(test_run_in_what_is_no_namespace),
		CASE(test_no_way_back_is_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
