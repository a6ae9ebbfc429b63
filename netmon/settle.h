/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When is a link ready to be told to a side that can't be told of changes later?
 *
 * CNI sets a link up, then adds IPv4, IPv6 and routes; Docker addresses first. A link told too
 * early is told without its addresses. So a new link waits for an address (link-local does not
 * count) and until its addresses have been still for SETTLE_QUIET_USEC, at most @max_usec after it
 * became ready; one that was addressed before it came up goes at once. A change of a known link
 * waits for the same stillness. Pure: the time is an argument.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "netmon/view.h"

#define SETTLE_QUIET_USEC (20 * CLOCK_USEC_PER_MSEC)

struct settle {
	uint64_t max_usec; /* --settle; 0: nothing waits */
	struct settle_entry {
		uint32_t ifindex;
		uint32_t incarnation;
		uint64_t addrs_hash;
		size_t n_addrs;
		uint64_t changed_usec; /* addresses; 0: before we looked */
		uint64_t ready_usec;   /* 0: not ready */
		bool is_announced;
	} * entries; /* sorted by ifindex */
	size_t n;
	bool has_looked;
};

void settle_done(struct settle *s);

/* Takes notice of a new truth. Return: 0, -ENOMEM. */
int settle_update(struct settle *s, const struct view_config *config, const struct snapshot *seen,
		  const struct snapshot *acked, uint64_t now_usec);
/* May this link not be told yet? */
bool settle_is_held(const struct settle *s, uint32_t ifindex, uint64_t now_usec);
/* When the next held link may go; CLOCK_NEVER. */
uint64_t settle_deadline(const struct settle *s, uint64_t now_usec);
