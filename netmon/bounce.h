/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often a link may be taken down for the sake of a route that can't be withdrawn otherwise (see
 * withdraw.h): once in BOUNCE_GAP_USEC. All that goes meanwhile goes with the next one. Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "netmon/withdraw.h"

#define BOUNCE_GAP_USEC (10 * CLOCK_USEC_PER_SEC)

struct bounces {
	struct bounce_last {
		uint32_t ifindex;
		uint64_t usec;
	} * links; /* those that were bounced within the gap, and older ones until the next */
	size_t n;
};

void bounce_done(struct bounces *b); /* legal on a zeroed one */

/*
 * Leaves in @w those that may be bounced now. Return: when the next of the others may be;
 * CLOCK_NEVER.
 */
uint64_t bounce_limit(const struct bounces *b, struct withdraw *w, uint64_t now_usec);
/* It was done. */
void bounce_note(struct bounces *b, uint32_t ifindex, uint64_t now_usec);
