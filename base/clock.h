/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one clock of the programs: monotonic microseconds, the clock of sd-event's timers.
 * Pure modules never call it; they are handed the time.
 */
#pragma once

#include <stdint.h>
#include <time.h>

#define CLOCK_USEC_PER_MSEC UINT64_C(1000)
#define CLOCK_USEC_PER_SEC  UINT64_C(1000000)
/* "no deadline": later than every other time */
#define CLOCK_NEVER UINT64_MAX

static inline uint64_t clock_now_usec(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * CLOCK_USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}
