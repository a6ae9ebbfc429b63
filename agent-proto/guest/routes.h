/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UpdateRoutes and RemoveRoutes: unicast routes of the main table.
 *
 * Ours carry ROUTES_PROTOCOL; no other is ever replaced or removed. The protocol has no metric, so
 * ours have the kernel's default one (IPv4 0, IPv6 1024): a route of somebody else with the same
 * destination and that metric, of whatever type, stands in the way of ours, and the call says so.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/agent.h"
#include "agent-proto/guest/netlink.h"

/* Nobody else's in linux/rtnetlink.h, in iproute2's rt_protos and in FRR. */
#define ROUTES_PROTOCOL 157
#define ROUTES_MAX	AGENT_ROUTES_MAX

struct routes_route {
	struct agent_route said; /* device left empty */
	uint32_t index;		 /* of the link */
	uint32_t priority;	 /* metric */
	uint8_t protocol;
	uint8_t tos;
	bool is_plain;	/* unicast, one next hop, no type of service: what we could have made */
	bool is_shared; /* IPv6: others were appended to it; said is the first of them */
};

struct routes {
	struct routes_route *items; /* IPv4, then IPv6 */
	size_t n, capacity;
};

/* All, of every type. Return: 0; -EMSGSIZE over ROUTES_MAX; -errno. *ret untouched on failure. */
int routes_list(struct netlink *n, struct routes *ret);
/* Of ROUTES_PROTOCOL; others don't count. Return: likewise. */
int routes_list_own(struct netlink *n, struct routes *ret);
void routes_done(struct routes *r); /* legal on a zeroed one; usable with CLEANUP() */

/**
 * routes_update() - add or replace these
 *
 * First those without a gateway, then the others; of one destination only the last. All are tried;
 * the first error is the answer. A route that is there as it should be is left alone; so is another's
 * that is equal in all but its protocol.
 *
 * Return: 0; -EEXIST: another's is in the way; -ENODEV: no such device; the kernel's -errno.
 */
int routes_update(struct netlink *n, const struct agent_route *wanted, size_t n_wanted);
/*
 * Of ours those with this destination, link and gateway; without a gateway those that have none.
 * Where no link has that name it may have been renamed: ours with that destination and gateway goes
 * if there is only one. What is not there is fine. Return: 0, or the first error, after all were
 * tried.
 */
int routes_remove(struct netlink *n, const struct agent_route *gone, size_t n_gone);
int routes_remove_of_link(struct netlink *n, uint32_t index);
