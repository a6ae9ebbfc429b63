/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AddARPNeighbors and RemoveNeighbors.
 *
 * One that the kernel has learnt is taken over; one that somebody else has set (permanent, noarp or
 * learnt outside of the kernel, as by FRR) stays: with another MAC the call says so.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/agent.h"
#include "agent-proto/guest/netlink.h"
#include "agent-proto/guest/owned.h"

#define NEIGHBOURS_MAX AGENT_NEIGHBORS_MAX

struct neighbours_neighbour {
	struct owned_item item; /* kind OWNED_NEIGHBOR */
	uint8_t mac[6];
	uint16_t state; /* NUD_* */
	uint8_t flags;	/* NTF_* */
};

struct neighbours {
	struct neighbours_neighbour *items;
	size_t n, capacity;
};

/* Those with a MAC that are in use, not failed or unresolved. */
int neighbours_list(struct netlink *n, struct neighbours *ret);
void neighbours_done(struct neighbours *l); /* legal on a zeroed one; usable with CLEANUP() */
/*
 * Forgets those of the journal that are gone from @l, on disk too. One that is permanent or noarp
 * is gone as well when the kernel has learnt another in its place; of one that was asked for in
 * another state nobody can tell.
 */
void neighbours_sync(struct owned *o, const struct neighbours *l);

/* All are tried; the first error is the answer. Return: 0; -EEXIST, -ENODEV, -errno. */
int neighbours_add(struct netlink *n, struct owned *o, const struct agent_neighbor *wanted,
		   size_t n_wanted);
/*
 * Of ours; what is not there is fine. A device that is not there may have another name by now: of
 * its neighbours those with that IP go which are on links that the request does not name.
 */
int neighbours_remove(struct netlink *n, struct owned *o, const struct agent_neighbor *gone,
		      size_t n_gone);
int neighbours_remove_of_link(struct netlink *n, struct owned *o, uint32_t index);
