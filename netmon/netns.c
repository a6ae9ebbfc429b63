/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only door to setns(2).
 */
#include "netmon/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"

/*
 * The namespace of the calling thread: setns(2) moves a thread, and /proc/self names the first one.
 */
#define OWN_NETNS "/proc/thread-self/ns/net"

#define PID_PATH_BYTES sizeof("/proc/4294967295/ns/net")

/*
 * The file system is asked first: only there does the ioctl mean what we mean. Source: ioctl_ns(2),
 * Linux 4.11
 */
static bool is_netns(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0 || fs.f_type != NSFS_MAGIC)
		return false;
	return ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET;
}

/* All digits is a pid: a path of that name is given as "./123". */
static bool is_pid(const char *spec)
{
	return *spec && strspn(spec, "0123456789") == strlen(spec);
}

static int parse_pid(const char *spec, pid_t *ret)
{
	uint32_t pid;

	if (text_parse_u32(spec, INT_MAX, &pid) < 0 || pid == 0)
		return err_raise(-EINVAL, "network namespace of process '%s'", spec);
	*ret = (pid_t)pid;
	return 0;
}

/* O_NONBLOCK: what somebody gave us may be a FIFO, and its open would wait for a writer. */
static int open_netns(const char *path, const char *spec, int *ret_fd)
{
	CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return err_raise(-errno, "open network namespace '%s'", spec);
	if (!is_netns(fd))
		return err_raise(-EINVAL, "'%s' is not a network namespace", spec);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int netns_open(const char *spec, int *ret_fd, pid_t *ret_pid)
{
	char path[PID_PATH_BYTES];
	pid_t pid = 0;
	int r;

	if (!is_pid(spec)) {
		r = open_netns(spec, spec, ret_fd);
		if (r < 0)
			return err_pass(r);
		*ret_pid = 0;
		return 0;
	}
	r = parse_pid(spec, &pid);
	if (r < 0)
		return err_pass(r);
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	r = open_netns(path, spec, ret_fd);
	/*
	 * ENOENT: no such process. Of a zombie the link is there and can not be followed: the same
	 * to us.
	 */
	if (r == -ENOENT)
		return err_raise(-ESRCH, "open network namespace of process %d", pid);
	if (r < 0)
		return err_pass(r);
	*ret_pid = pid;
	return 0;
}

int netns_run(int netns_fd, int (*fn)(void *arg), void *arg)
{
	CLEANUP(cleanup_close) int home_fd = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);
	int r, kept_errno;

	if (home_fd < 0)
		return err_raise(-errno, "open '%s'", OWN_NETNS);
	if (setns(netns_fd, CLONE_NEWNET) < 0)
		return err_raise(-errno, "enter network namespace");
	r = fn(arg);
	kept_errno = errno;
	if (setns(home_fd, CLONE_NEWNET) < 0)
		abort();
	errno = kept_errno;
	return r;
}
