/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One monitor a sandbox and sink: a lock file, held by flock, with who holds it written inside.
 *
 * A newcomer checks the holder (pid, start time, and that it is this same program: /proc/PID/comm),
 * ends it by pidfd (SIGTERM, after LOCK_TERM_MSEC SIGKILL) and takes over. A holder that is
 * somebody else is not touched.
 */
#pragma once

#include <stdbool.h>

#include "base/cleanup.h"

#define LOCK_FILE_NAME "lock"
#define LOCK_TERM_MSEC 1000 /* a healthy monitor ends within 100 ms */
#define LOCK_KILL_MSEC 2000
/* Newcomers may race each other: each ends the one before it, the last one wins. */
#define LOCK_ROUNDS 16

struct lock {
	int fd;
};

#define LOCK_NULL ((struct lock){ .fd = -1 })

enum { _LOCK_OK = 0, LOCK_TAKEN_OVER = 1 };

/**
 * lock_take() - become the monitor of this directory Blocks for at most LOCK_TERM_MSEC +
 * LOCK_KILL_MSEC a round (poll on pidfd): it runs before the loop does. A disk too full to write
 * down who holds it is no reason not to hold it; only nobody can take over then.
 * Return: 0; LOCK_TAKEN_OVER: there was one and it is ended; -EBUSY: held by something that is not
 * us, or that does not say who it is within LOCK_TERM_MSEC; -ETIMEDOUT: the holder does not even
 * end by SIGKILL; -errno.
 */
int lock_take(struct lock *l, int dirfd);
/*
 * Closes; the file stays (removing a lock file races with newcomers) unless @remove, when the whole
 * directory goes: a newcomer that has opened it by then sees that it is not the named one any more.
 * Legal on LOCK_NULL.
 */
void lock_release(struct lock *l, int dirfd, bool remove);
