/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel has, as the agent's messages say it: the exact truth.
 */
#pragma once

#include "agent-proto/agent.h"
#include "agent-proto/guest/netlink.h"
#include "agent-proto/guest/owned.h"

enum lists_of {
	LISTS_ALL,  /* the kernel's, whoever made it */
	LISTS_OURS, /* what this agent put there and is there still */
};

/*
 * @ret is filled on, its lists of that kind must be empty; what was filled is the caller's also
 * after a failure: agent_network_done(). Return: 0, -errno.
 */

/* All links but the loopback; LISTS_OURS says of their addresses only ours. */
int lists_interfaces(struct netlink *n, struct owned *o, enum lists_of which,
		     struct agent_network *ret);
/*
 * Unicast routes of the main table with one next hop: the messages have no word for more. Of ours in
 * IPv6 that others were appended to it says the hop that is ours.
 */
int lists_routes(struct netlink *n, enum lists_of which, struct agent_network *ret);
/* LISTS_OURS only */
int lists_neighbors(struct netlink *n, struct owned *o, struct agent_network *ret);
