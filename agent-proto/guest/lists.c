/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel has, as the agent's messages say it. See lists.h.
 */
#include "agent-proto/guest/lists.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/guest/addresses.h"
#include "agent-proto/guest/links.h"
#include "agent-proto/guest/neighbours.h"
#include "agent-proto/guest/routes.h"
#include "base/error.h"

static void *make_list(size_t n, size_t size)
{
	return calloc(n ? n : 1, size);
}

/* ---- interfaces ---- */

static void fill_interface(struct agent_interface *i, const struct links_link *l)
{
	(void)snprintf(i->device, sizeof(i->device), "%s", l->name);
	(void)snprintf(i->name, sizeof(i->name), "%s", l->name);
	(void)snprintf(i->type, sizeof(i->type), "%s", l->kind);
	i->has_mac = l->has_mac;
	memcpy(i->mac, l->mac, sizeof(i->mac));
	i->mtu = l->mtu;
	i->raw_flags = l->flags;
}

static void fill_addresses(struct agent_network *ret, struct agent_interface *i, uint32_t index,
			   const struct addresses *there, const struct owned *only)
{
	i->ips = &ret->ips[ret->n_ips];
	for (size_t k = 0; k < there->n; k++) {
		const struct owned_item *at = &there->items[k];
		struct agent_ip *ip = &ret->ips[ret->n_ips];

		if (at->index != index || (only && !owned_has(only, at)))
			continue;
		ip->family = at->family;
		ip->prefixlen = at->prefixlen;
		memcpy(ip->bytes, at->bytes, sizeof(ip->bytes));
		ret->n_ips++;
		i->n_ips++;
	}
}

static int fill_interfaces(const struct links *links, const struct addresses *there,
			   const struct owned *only, struct agent_network *ret)
{
	ret->interfaces = make_list(links->n, sizeof(*ret->interfaces));
	ret->ips = make_list(there->n, sizeof(*ret->ips));
	if (!ret->interfaces || !ret->ips)
		return err_raise(-ENOMEM, "list interfaces");
	for (size_t i = 0; i < links->n; i++) {
		const struct links_link *l = &links->items[i];
		struct agent_interface *to = &ret->interfaces[ret->n_interfaces];

		if (l->is_loopback || (only && !l->has_mac))
			continue;
		fill_interface(to, l);
		fill_addresses(ret, to, l->index, there, only);
		ret->n_interfaces++;
	}
	return 0;
}

int lists_interfaces(struct netlink *n, struct owned *o, enum lists_of which,
		     struct agent_network *ret)
{
	CLEANUP(links_done) struct links links = { 0 };
	CLEANUP(addresses_done) struct addresses there = { 0 };
	int r = links_list(n, &links);

	if (r >= 0)
		r = addresses_list(n, &there);
	if (r < 0)
		return err_pass(r);
	addresses_sync(o, &there);
	return err_pass(fill_interfaces(&links, &there, which == LISTS_OURS ? o : NULL, ret));
}

/* ---- routes ---- */

/* Ours is there also when others were appended to it. */
static bool is_listed(const struct routes_route *r)
{
	return r->is_plain || (r->is_shared && r->protocol == ROUTES_PROTOCOL);
}

static void name_device(const struct links *links, uint32_t index, char ret[AGENT_NAME_BYTES])
{
	const struct links_link *l = links_by_index(links, index);

	if (l)
		memcpy(ret, l->name, AGENT_NAME_BYTES);
}

_Static_assert(AGENT_NAME_BYTES == LINKS_NAME_BYTES, "a name is copied whole");

int lists_routes(struct netlink *n, enum lists_of which, struct agent_network *ret)
{
	CLEANUP(links_done) struct links links = { 0 };
	CLEANUP(routes_done) struct routes there = { 0 };
	int r = links_list(n, &links);

	if (r >= 0)
		r = which == LISTS_ALL ? routes_list(n, &there) : routes_list_own(n, &there);
	if (r < 0)
		return err_pass(r);
	ret->routes = make_list(there.n, sizeof(*ret->routes));
	if (!ret->routes)
		return err_raise(-ENOMEM, "list routes");
	for (size_t i = 0; i < there.n; i++) {
		struct agent_route *to = &ret->routes[ret->n_routes];

		if (!is_listed(&there.items[i]))
			continue;
		*to = there.items[i].said;
		name_device(&links, there.items[i].index, to->device);
		ret->n_routes++;
	}
	return 0;
}

/* ---- neighbours ---- */

static void fill_neighbor(struct agent_neighbor *to, const struct neighbours_neighbour *at,
			  const struct links *links)
{
	to->ip.family = at->item.family;
	to->ip.prefixlen = at->item.prefixlen;
	memcpy(to->ip.bytes, at->item.bytes, sizeof(to->ip.bytes));
	memcpy(to->mac, at->mac, sizeof(to->mac));
	to->state = at->state;
	to->flags = at->flags;
	name_device(links, at->item.index, to->device);
}

int lists_neighbors(struct netlink *n, struct owned *o, struct agent_network *ret)
{
	CLEANUP(links_done) struct links links = { 0 };
	CLEANUP(neighbours_done) struct neighbours there = { 0 };
	int r = links_list(n, &links);

	if (r >= 0)
		r = neighbours_list(n, &there);
	if (r < 0)
		return err_pass(r);
	neighbours_sync(o, &there);
	ret->neighbors = make_list(there.n, sizeof(*ret->neighbors));
	if (!ret->neighbors)
		return err_raise(-ENOMEM, "list neighbours");
	for (size_t i = 0; i < there.n; i++) {
		if (owned_has(o, &there.items[i].item))
			fill_neighbor(&ret->neighbors[ret->n_neighbors++], &there.items[i], &links);
	}
	return 0;
}
