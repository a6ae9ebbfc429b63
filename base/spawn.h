/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children: started in a process group of their own, with nothing of ours but what they are given,
 * owned by pidfd.
 *
 * How it works: clone(CLONE_VM | CLONE_VFORK | CLONE_PIDFD) on a piece of our stack, much as
 * posix_spawn() does inside glibc: no page table is copied, the parent stands still until the child
 * execs, and a failed exec is an ordinary return value here. We do not use posix_spawn() itself
 * because of
 * @before_exec: the child must be able to write down who it is before the program begins.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct spawn_child {
	pid_t pid; /* also its process group */
	int pidfd; /* owned; -1: none */
};

#define SPAWN_CHILD_NULL ((struct spawn_child){ .pid = 0, .pidfd = -1 })

struct spawn_request {
	/*
	 * argv[0] as given; looked up in the absolute directories of PATH when it has no '/', else
	 * relative to our cwd. A script without "#!" is -ENOEXEC, not given to a shell.
	 */
	const char *const *argv;
	int stdout_fd; /* -1: /dev/null; borrowed */
	int stderr_fd; /* -1: /dev/null; borrowed */
	/*
	 * Runs in the child before exec, in the parent's memory: async-signal-safe calls only, no
	 * allocation, no stdio, no err_raise(), 64 KiB of stack; it must return. Our fds above 2
	 * are still open. A negative return (errno) aborts the spawn and is what spawn_start()
	 * returns. May be NULL.
	 */
	int (*before_exec)(void *arg);
	void *arg;
};

/**
 * spawn_start() - run a program
 *
 * stdin is /dev/null, cwd "/", signals unblocked and at their defaults (ignored ones too),
 * environment ours, every other fd closed before exec (close_range), so that nothing of ours leaks
 * into the program (CVE-2024-21626 is what this is against). err_text() names the step that failed.
 *
 * Return: 0; -ENOENT, -EACCES, -ENOEXEC ... from exec; -EAGAIN, -ENOMEM, -EMFILE.
 */
int spawn_start(const struct spawn_request *req, struct spawn_child *ret);

/* Kills the whole process group with @sig. Return: 0; -ESRCH. */
int spawn_kill_group(const struct spawn_child *c, int sig);

/**
 * spawn_reap() - collect an ended child (its pidfd is readable) and close the pidfd
 * @ret_status: exit status 0-255, or -SIGNAL when it was killed by one
 *
 * Afterwards its pid may be a stranger's, so @c is SPAWN_CHILD_NULL: who wants to end grandchildren
 * that it left behind calls spawn_kill_group() first.
 *
 * Return: 0; 1 when it is still running (nothing changed); -errno: -ECHILD if somebody else reaped
 * it.
 */
int spawn_reap(struct spawn_child *c, int *ret_status);

/*
 * Kills the group with SIGKILL, reaps and closes. Waits for the end, but no longer than a second: a
 * child that hangs in the kernel is left to init. Legal on SPAWN_CHILD_NULL; usable with CLEANUP().
 */
void spawn_child_done(struct spawn_child *c);

/**
 * spawn_start_time() - when a process began, the part that makes a pid unique
 * @ret_ticks: field 22 of /proc/PID/stat, clock ticks since boot; @pid 0 means ourselves
 *
 * Async-signal-safe (open, read, close), so that before_exec may call it.
 * Return: 0; -ESRCH.
 */
int spawn_start_time(pid_t pid, uint64_t *ret_ticks);

/* The same clock, now (CLOCK_BOOTTIME). Async-signal-safe. */
uint64_t spawn_now_ticks(void);
