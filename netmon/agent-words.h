/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the values of model.h and those of agent-proto/agent.h, both ways. Pure.
 *
 * What an agent lists is hostile, and agent.h has bounded and checked it as text; here it is checked
 * as a network: what could not be in a snapshot in guest form is left out.
 */
#pragma once

#include <stdbool.h>

#include "agent-proto/agent.h"
#include "netmon/sink.h"

/**
 * agent_words_from_link() - a link with all its addresses
 * @net: has the addresses
 * @ret_ips: what @ret->ips points to, the caller's to free
 * Return: 0, -ENOMEM.
 */
int agent_words_from_link(const struct snapshot *net, const struct link *l,
			  struct agent_interface *ret, struct agent_ip **ret_ips);
/* @device: the link's name over there */
void agent_words_from_route(const struct route *route, const char *device, struct agent_route *ret);
/* Permanent: nobody over there resolves it for us. */
void agent_words_from_neigh(const struct neigh *neigh, const char *device,
			    struct agent_neighbor *ret);

/**
 * agent_words_to_guest() - what an agent lists, in guest form
 * @is_exact: our own agent's List. Otherwise routes and neighbours are left empty: Kata's ListRoutes
 *            loses the destination of what has a gateway, and it has no list of neighbours
 * @ret: is_known is set
 *
 * Links with a MAC are numbered from 1 in the order of the list, @net->links' kind stays "". Left
 * out: links without MAC or with one of zeros (loopback), loopback addresses,
 * routes and neighbours of a device that is not in the list, and of equal keys all but the first in
 * the table's order.
 *
 * Source: kata-containers src/agent/src/netlink.rs (list_interfaces, list_routes).
 * Return: 0, -ENOMEM.
 */
int agent_words_to_guest(const struct agent_network *network, bool is_exact,
			 struct sink_guest *ret);
