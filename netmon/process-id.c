/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes by pid and start time, see process-id.h.
 */
#include "netmon/process-id.h"

#include <errno.h>
#include <poll.h>
#include <sys/pidfd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/spawn.h"

static bool process_id_has_ended(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/*
 * The number of a thread that is no process is EINVAL, and ENOENT since Linux 6.14: no process to
 * us.
 */
static int process_id_open_error(void)
{
	return errno == EINVAL || errno == ENOENT ? -ESRCH : -errno;
}

int process_id_open(pid_t pid, struct process_id *ret, int *ret_pidfd)
{
	CLEANUP(cleanup_close) int pidfd = -1;
	uint64_t ticks;
	int r;

	if (pid <= 0)
		return err_raise(-ESRCH, "find process %d", pid);
	pidfd = pidfd_open(pid, 0);
	if (pidfd < 0)
		return err_raise(process_id_open_error(), "find process %d", pid);
	r = spawn_start_time(pid, &ticks);
	if (r == 0 && process_id_has_ended(pidfd))
		r = -ESRCH;
	if (r < 0)
		return err_raise(r, "find process %d", pid);
	*ret = (struct process_id){ .pid = pid, .start_ticks = ticks };
	*ret_pidfd = TAKE_FD(pidfd);
	return 0;
}

/* Return: whether a process with that pid is there, and since when */
static bool process_id_look(pid_t pid, uint64_t *ret_ticks)
{
	CLEANUP(cleanup_close) int pidfd = -1;
	struct process_id now = { 0 };
	int r;

	if (pid <= 0)
		return false;
	r = process_id_open(pid, &now, &pidfd);
	if (r < 0 && r != -ESRCH) /* no fd to spare: the start time alone must do */
		r = spawn_start_time(pid, &now.start_ticks);
	if (r < 0)
		err_clear();
	*ret_ticks = now.start_ticks;
	return r == 0;
}

bool process_id_is_alive(const struct process_id *p)
{
	uint64_t ticks;

	return process_id_look(p->pid, &ticks) && ticks == p->start_ticks;
}

bool process_id_is_same_since(const struct process_id *p)
{
	uint64_t ticks;

	return process_id_look(p->pid, &ticks) && ticks <= p->start_ticks;
}
