/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process by name: its pid, and the time at which it began, since a pid alone is soon somebody
 * else's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCESS_ID_PID_MAX (4U * 1024 * 1024) /* Source: PID_MAX_LIMIT, include/linux/threads.h */

struct process_id {
	pid_t pid; /* 0: none */
	uint64_t start_ticks;
};

/**
 * process_id_open() - take hold of the process that has this pid now
 * @ret_pidfd: close-on-exec, readable once the process has ended; caller closes
 *
 * The start time is read while the pidfd shows that the process lives, so both speak of the same
 * one.
 * Return: 0; -ESRCH: there is none, or it has ended and is only not reaped yet; -EMFILE, -ENOMEM...
 */
int process_id_open(pid_t pid, struct process_id *ret, int *ret_pidfd);

/* Is that very process still there? One that has ended and is not reaped is not. */
bool process_id_is_alive(const struct process_id *p);

/*
 * The same for a process of which only a moment is known at which it was there: @p's start_ticks is
 * that moment. A process that has this pid now and began no later is that one.
 */
bool process_id_is_same_since(const struct process_id *p);
