/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children, see spawn.h.
 *
 * The child runs in our memory while we stand still, so nothing below "the child" may allocate,
 * lock, print, or touch what is not its own stack or struct spawn_call. It has its own table of
 * fds, its own cwd and its own signal handlers, since none of CLONE_FILES, CLONE_FS, CLONE_SIGHAND
 * is given. A signal handler of ours must never run in it: all signals are blocked around clone()
 * and every one is back at its default before they are unblocked.
 */
#include "base/spawn.h"

#include "base/cleanup.h"
#include "base/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <paths.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The deepest use is a path of PATH_MAX and a directory buffer; before_exec is given the rest. */
#define SPAWN_STACK_BYTES (128U * 1024)
/* A killed child that is not gone by then hangs in the kernel: init may have it. */
#define SPAWN_DONE_TIMEOUT_MS 1000
/* /proc/PID/stat is about 350 bytes; its name part is at most 64. */
#define SPAWN_STAT_BYTES       1024
#define SPAWN_START_TIME_FIELD 22 /* proc_pid_stat(5) */
#define SPAWN_NAME_END_FIELD   2

/* Runs on a stack that the sanitizers do not know and leaves without returning. */
#define SPAWN_IN_CHILD __attribute__((__no_sanitize__("address", "undefined")))

/* What parent and child share. */
struct spawn_call {
	const struct spawn_request *req;
	const char *path;   /* of the program; NULL: look in @search */
	const char *search; /* directories divided by ':' */
	sigset_t none;
	int error;	  /* negative errno of the child, 0 when it became the program */
	const char *step; /* what the child did when it failed */
};

/* ---- the child ---- */

/* Signals that glibc keeps for itself are refused; exec sets them to their default. */
SPAWN_IN_CHILD static void spawn_reset_signals(void)
{
	struct sigaction action;

	for (int sig = 1; sig < NSIG; sig++) {
		if (sigaction(sig, NULL, &action) < 0 || action.sa_handler == SIG_DFL)
			continue;
		action.sa_handler = SIG_DFL;
		action.sa_flags = 0;
		(void)sigaction(sig, &action, NULL);
	}
}

/* All three are first copied above 2, since what we were given may itself be 0, 1 or 2. */
SPAWN_IN_CHILD static int spawn_set_stdio(const struct spawn_request *req)
{
	int null_fd = open(_PATH_DEVNULL, O_RDWR | O_CLOEXEC);
	int from[3];

	if (null_fd < 0)
		return -errno;
	from[0] = null_fd;
	from[1] = req->stdout_fd >= 0 ? req->stdout_fd : null_fd;
	from[2] = req->stderr_fd >= 0 ? req->stderr_fd : null_fd;
	for (int i = 0; i < 3; i++) {
		from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 3);
		if (from[i] < 0)
			return -errno;
	}
	for (int i = 0; i < 3; i++) {
		if (dup2(from[i], i) < 0)
			return -errno;
	}
	return 0;
}

/* "123" -> 123, -1 for anything else */
SPAWN_IN_CHILD static int spawn_parse_fd(const char *name)
{
	int fd = 0;

	if (*name == '\0')
		return -1;
	for (; *name != '\0'; name++) {
		if (*name < '0' || *name > '9' || fd > INT_MAX / 10 - 1)
			return -1;
		fd = fd * 10 + (*name - '0');
	}
	return fd;
}

/* Closes what one read of /proc/self/fd named. It goes by fd number: closing loses no entry. */
SPAWN_IN_CHILD static void spawn_close_listed(const char *buffer, long size, int dir_fd)
{
	for (long at = 0; at < size;) {
		const struct dirent64 *entry = (const void *)(buffer + at);
		int fd = spawn_parse_fd(entry->d_name);

		if (fd > 2 && fd != dir_fd)
			(void)close(fd);
		at += entry->d_reclen;
	}
}

SPAWN_IN_CHILD static void spawn_close_up_to_limit(void)
{
	struct rlimit limit;
	int end = 65536;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < INT_MAX)
		end = (int)limit.rlim_cur;
	for (int fd = 3; fd < end; fd++)
		(void)close(fd);
}

SPAWN_IN_CHILD static void spawn_close_others(void)
{
	_Alignas(struct dirent64) char buffer[4096];
	int dir_fd;
	long n;

	if (close_range(3, ~0U, 0) == 0)
		return;
	dir_fd = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0) {
		spawn_close_up_to_limit();
		return;
	}
	while ((n = syscall(SYS_getdents64, dir_fd, buffer, sizeof(buffer))) > 0)
		spawn_close_listed(buffer, n, dir_fd);
	(void)close(dir_fd);
}

/* Writes "DIR/NAME"; false when DIR is not absolute or it is all too long. */
SPAWN_IN_CHILD static bool spawn_join(char ret[static PATH_MAX], const char *dir, size_t dir_size,
				      const char *name)
{
	size_t name_size = strlen(name);

	if (dir_size == 0 || dir[0] != '/' || dir_size + 1 + name_size + 1 > PATH_MAX)
		return false;
	memcpy(ret, dir, dir_size);
	ret[dir_size] = '/';
	memcpy(ret + dir_size + 1, name, name_size + 1);
	return true;
}

/*
 * Not execvp(): that one gives a file without "#!" to a shell, and searches relative directories.
 * As there, a directory that has not got it is passed over, and one that has it but may not be used
 * decides the error.
 */
SPAWN_IN_CHILD static int spawn_exec_search(const struct spawn_call *call, char *const *argv)
{
	char path[PATH_MAX];
	int r = -ENOENT;

	for (const char *dir = call->search; *dir != '\0';) {
		size_t size = strcspn(dir, ":");

		if (spawn_join(path, dir, size, argv[0])) {
			(void)execve(path, argv, environ);
			if (errno == EACCES)
				r = -EACCES;
			else if (errno != ENOENT && errno != ENOTDIR)
				return -errno;
		}
		dir += size;
		dir += *dir == ':';
	}
	return r;
}

SPAWN_IN_CHILD static int spawn_exec(const struct spawn_call *call)
{
	/* execve() writes to none of them: POSIX only lacks the const. */
	char *const *argv = (char *const *)(uintptr_t)call->req->argv;

	if (!call->path)
		return spawn_exec_search(call, argv);
	(void)execve(call->path, argv, environ);
	return -errno;
}

/* Sets @step before each step: it is what the parent says when it fails. */
SPAWN_IN_CHILD static int spawn_become(struct spawn_call *call)
{
	const struct spawn_request *req = call->req;
	int r;

	spawn_reset_signals();
	call->step = "setpgid";
	if (setpgid(0, 0) < 0)
		return -errno;
	call->step = "stdio";
	r = spawn_set_stdio(req);
	if (r < 0)
		return r;
	call->step = "chdir";
	if (chdir("/") < 0)
		return -errno;
	call->step = "before_exec";
	r = req->before_exec ? req->before_exec(req->arg) : 0;
	if (r < 0)
		return r;
	spawn_close_others();
	call->step = "sigprocmask";
	if (sigprocmask(SIG_SETMASK, &call->none, NULL) < 0)
		return -errno;
	call->step = "exec";
	return spawn_exec(call);
}

SPAWN_IN_CHILD static int spawn_child_main(void *arg)
{
	struct spawn_call *call = arg;

	call->error = spawn_become(call);
	_exit(127);
}

/* ---- the parent ---- */

/*
 * Returns when the child has become the program or has ended; call->error tells which. The child
 * stands on a piece of our own stack, which nobody else uses while we wait: a mapping of its own
 * would cost as much as all the rest that we do.
 */
static int spawn_clone(struct spawn_call *call, int *ret_pidfd)
{
	_Alignas(16) char stack[SPAWN_STACK_BYTES];
	/* By number, so that also the signals are blocked that glibc keeps for its threads. */
	const uint64_t all = UINT64_MAX;
	uint64_t before;
	int pid, r;

	(void)syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, &before, sizeof(all));
	pid = clone(spawn_child_main, stack + sizeof(stack),
		    CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, call, ret_pidfd);
	r = pid < 0 ? -errno : pid;
	(void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, sizeof(before));
	return r;
}

static void spawn_wait_ended(int pidfd)
{
	siginfo_t info;
	int r;

	do
		r = waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED);
	while (r < 0 && errno == EINTR);
}

/* The child stands in "/": a relative path of ours is made whole while we are where it counts. */
static int spawn_resolve(struct spawn_call *call, const char *name, char buffer[static PATH_MAX])
{
	size_t used;

	if (!strchr(name, '/')) {
		call->search = getenv("PATH");
		if (!call->search)
			call->search = _PATH_STDPATH;
		return *name == '\0' ? -ENOENT : 0;
	}
	call->path = name;
	if (name[0] == '/')
		return 0;
	if (!getcwd(buffer, PATH_MAX))
		return -errno;
	used = strlen(buffer);
	if (used + 1 + strlen(name) >= PATH_MAX)
		return -ENAMETOOLONG;
	buffer[used] = '/';
	memcpy(buffer + used + 1, name, strlen(name) + 1);
	call->path = buffer;
	return 0;
}

int spawn_start(const struct spawn_request *req, struct spawn_child *ret)
{
	struct spawn_call call = { .req = req, .step = "clone" };
	char path[PATH_MAX];
	CLEANUP(cleanup_close)
	int pidfd = -1;
	int pid, r = spawn_resolve(&call, req->argv[0], path);

	if (r < 0)
		return err_raise(r, "start '%s'", req->argv[0]);
	(void)sigemptyset(&call.none);
	pid = spawn_clone(&call, &pidfd);
	if (pid < 0)
		return err_raise(pid, "start '%s' (%s)", req->argv[0], call.step);
	if (call.error < 0) {
		spawn_wait_ended(pidfd);
		return err_raise(call.error, "start '%s' (%s)", req->argv[0], call.step);
	}
	*ret = (struct spawn_child){ .pid = pid, .pidfd = TAKE_FD(pidfd) };
	return 0;
}

int spawn_kill_group(const struct spawn_child *c, int sig)
{
	/* kill(-1) and kill(0) would mean everybody and ourselves. */
	if (c->pid <= 1)
		return err_raise(-ESRCH, "send signal %d to a child that is not there", sig);
	if (kill(-c->pid, sig) < 0)
		return err_raise(-errno, "send signal %d to process group %d", sig, c->pid);
	return 0;
}

static void spawn_forget(struct spawn_child *c)
{
	(void)cleanup_close_fd(c->pidfd);
	*c = SPAWN_CHILD_NULL;
}

int spawn_reap(struct spawn_child *c, int *ret_status)
{
	siginfo_t info = { 0 };
	int r;

	do
		r = waitid(P_PIDFD, (id_t)c->pidfd, &info, WEXITED | WNOHANG);
	while (r < 0 && errno == EINTR);
	if (r < 0) {
		r = err_raise(-errno, "wait for process %d", c->pid);
		spawn_forget(c);
		return r;
	}
	if (info.si_pid == 0)
		return 1;
	*ret_status = info.si_code == CLD_EXITED ? info.si_status : -info.si_status;
	spawn_forget(c);
	return 0;
}

void spawn_child_done(struct spawn_child *c)
{
	struct pollfd ended = { .fd = c->pidfd, .events = POLLIN };
	int saved = errno;
	siginfo_t info;

	if (c->pidfd < 0)
		return;
	(void)kill(-c->pid, SIGKILL);
	while (poll(&ended, 1, SPAWN_DONE_TIMEOUT_MS) < 0 && errno == EINTR)
		continue;
	(void)waitid(P_PIDFD, (id_t)c->pidfd, &info, WEXITED | WNOHANG);
	spawn_forget(c);
	errno = saved;
}

/* ---- the start time: only async-signal-safe calls, so no err_raise() and no printf ---- */

/* Writes "/proc/PID/stat" */
static void spawn_stat_path(pid_t pid, char ret[static 32])
{
	static const char head[] = "/proc/", tail[] = "/stat";
	char digits[16];
	size_t n = 0, used = sizeof(head) - 1;

	memcpy(ret, head, used);
	if (pid == 0) {
		memcpy(ret + used, "self", 4);
		used += 4;
	}
	for (; pid > 0; pid /= 10)
		digits[n++] = (char)('0' + pid % 10);
	while (n > 0)
		ret[used++] = digits[--n];
	memcpy(ret + used, tail, sizeof(tail));
}

static int spawn_read_stat(pid_t pid, char ret[static SPAWN_STAT_BYTES])
{
	char path[32];
	ssize_t n;
	int fd;

	spawn_stat_path(pid, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = read(fd, ret, SPAWN_STAT_BYTES - 1);
	(void)cleanup_close_fd(fd);
	if (n < 0)
		return -errno;
	ret[n] = '\0';
	return 0;
}

/* The name is the process's own choice and may hold ")" and spaces: only its last ")" counts. */
static const char *spawn_find_start_time(const char *stat)
{
	const char *p = strrchr(stat, ')');

	for (int field = SPAWN_NAME_END_FIELD; p && field < SPAWN_START_TIME_FIELD; field++) {
		p = strchr(p, ' ');
		if (p)
			p++;
	}
	return p;
}

int spawn_start_time(pid_t pid, uint64_t *ret_ticks)
{
	char stat[SPAWN_STAT_BYTES];
	uint64_t ticks = 0;
	const char *p;
	int r;

	if (pid < 0)
		return -ESRCH;
	r = spawn_read_stat(pid, stat);
	if (r < 0)
		return r;
	p = spawn_find_start_time(stat);
	if (!p || *p < '0' || *p > '9')
		return -EIO;
	for (; *p >= '0' && *p <= '9'; p++)
		ticks = ticks * 10 + (uint64_t)(*p - '0');
	*ret_ticks = ticks;
	return 0;
}

uint64_t spawn_now_ticks(void)
{
	const long ticks_per_sec = sysconf(_SC_CLK_TCK);
	struct timespec ts = { 0 };

	(void)clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * (uint64_t)ticks_per_sec +
	       (uint64_t)ts.tv_nsec / (UINT64_C(1000000000) / (uint64_t)ticks_per_sec);
}
