/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest says, in the pod's numbers. See adopt.h.
 */
#include "netmon/adopt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/ip.h"

/* A link of the guest and the one of the pod that it is. */
struct pair {
	uint32_t guest;	  /* ifindex over there */
	struct link link; /* as it is over there, in the pod's numbers */
};

struct adoption {
	const struct view_config *view;
	const struct snapshot *acked, *seen, *guest;
	struct pair *pairs;
	size_t n;
	struct table *tables[_MODEL_KIND_MAX];
};

static void adoption_done(struct adoption *a)
{
	free(a->pairs);
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		table_unref(a->tables[k]);
}

static bool has_mac_of(const struct link *l, const struct link *guest)
{
	return l->mac_bytes == MODEL_MAC_BYTES && memcmp(l->mac, guest->mac, sizeof(l->mac)) == 0;
}

static const struct link *find_told(const struct adoption *a, const struct link *guest)
{
	const struct table *links = snapshot_links(a->acked);

	for (size_t i = 0; i < links->n; i++)
		if (has_mac_of(&links->links[i], guest))
			return &links->links[i];
	return NULL;
}

/* Not a bridge that has its port's MAC, nor what somebody has told us to ignore. */
static const struct link *find_seen(const struct adoption *a, const struct link *guest)
{
	const struct table *links = snapshot_links(a->seen);

	for (size_t i = 0; i < links->n; i++)
		if (has_mac_of(&links->links[i], guest) &&
		    view_is_pluggable(a->view, a->seen, &links->links[i]))
			return &links->links[i];
	return NULL;
}

/* The one that was told under this MAC, if it is there still; else one that is there. */
static const struct link *find_ours(const struct adoption *a, const struct link *guest)
{
	const struct link *told = find_told(a, guest);
	const struct link *seen = find_seen(a, guest);

	if (told && (!seen || table_find_link(snapshot_links(a->seen), told->ifindex)))
		return told;
	return seen;
}

static struct link link_of(const struct link *ours, const struct link *guest)
{
	struct link l = {
		.ifindex = ours->ifindex,
		.incarnation = ours->incarnation,
		.mtu = guest->mtu,
		.mac_bytes = guest->mac_bytes,
		.replugged = ours->replugged,
		.sent_usec = ours->sent_usec,
	};

	memcpy(l.mac, guest->mac, sizeof(l.mac));
	memcpy(l.name, guest->name, sizeof(l.name));
	memcpy(l.kind, ours->kind, sizeof(l.kind));
	return l;
}

/* A guest that lists a MAC twice has one NIC of that MAC all the same: the first. */
static bool is_taken(const struct adoption *a, uint32_t ifindex)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->pairs[i].link.ifindex == ifindex)
			return true;
	return false;
}

static int adopt_links(struct adoption *a)
{
	const struct table *links = snapshot_links(a->guest);
	int r = 0;

	a->pairs = calloc(links->n + 1, sizeof(*a->pairs));
	if (!a->pairs)
		return err_raise(-ENOMEM, "adopt %zu links", links->n);
	for (size_t i = 0; r >= 0 && i < links->n; i++) {
		const struct link *guest = &links->links[i];
		const struct link *ours = find_ours(a, guest);

		if (!ours || guest->mac_bytes != MODEL_MAC_BYTES || is_taken(a, ours->ifindex))
			continue;
		a->pairs[a->n] = (struct pair){ guest->ifindex, link_of(ours, guest) };
		r = table_add(a->tables[MODEL_LINK], &a->pairs[a->n++].link);
	}
	return r < 0 ? err_pass(r) : 0;
}

/* The pod's number of a link of the guest; 0: none */
static uint32_t ifindex_of(const struct adoption *a, uint32_t guest)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->pairs[i].guest == guest)
			return a->pairs[i].link.ifindex;
	return 0;
}

static int adopt_addrs(struct adoption *a)
{
	const struct table *addrs = snapshot_addrs(a->guest);
	int r = 0;

	for (size_t i = 0; r >= 0 && i < addrs->n; i++) {
		struct addr addr = addrs->addrs[i];

		addr.ifindex = ifindex_of(a, addr.ifindex);
		if (!addr.ifindex || (model_is_link_local6(addr.family, addr.bytes) &&
				      !table_find(snapshot_addrs(a->acked), &addr)))
			continue;
		r = table_add(a->tables[MODEL_ADDR], &addr);
	}
	return r < 0 ? err_pass(r) : 0;
}

static int adopt_routes(struct adoption *a)
{
	const struct table *routes = snapshot_routes(a->guest);
	int r = 0;

	for (size_t i = 0; r >= 0 && i < routes->n; i++) {
		struct route route = routes->routes[i];

		route.ifindex = ifindex_of(a, route.ifindex);
		if (route.ifindex && route.prefixlen <= ip_bits(model_route_family(&route)))
			r = table_add(a->tables[MODEL_ROUTE], &route);
	}
	return r < 0 ? err_pass(r) : 0;
}

static int adopt_neighs(struct adoption *a)
{
	const struct table *neighs = snapshot_neighs(a->guest);
	int r = 0;

	for (size_t i = 0; r >= 0 && i < neighs->n; i++) {
		struct neigh neigh = neighs->neighs[i];

		neigh.ifindex = ifindex_of(a, neigh.ifindex);
		if (neigh.ifindex)
			r = table_add(a->tables[MODEL_NEIGH], &neigh);
	}
	return r < 0 ? err_pass(r) : 0;
}

/* What the guest does not say of is as it was, as far as its link is there. */
static int keep(struct adoption *a, enum model_kind kind)
{
	const struct table *was = a->acked->tables[kind];
	int r = 0;

	for (size_t i = 0; r >= 0 && i < was->n; i++) {
		uint32_t ifindex =
			kind == MODEL_ROUTE ? was->routes[i].ifindex : was->neighs[i].ifindex;

		if (is_taken(a, ifindex))
			r = table_add(a->tables[kind], table_at(was, i));
	}
	return r < 0 ? err_pass(r) : 0;
}

static int adopt_all(struct adoption *a, bool is_exact)
{
	int r = 0;

	for (enum model_kind k = 0; r >= 0 && k < _MODEL_KIND_MAX; k++)
		r = table_new(&a->tables[k], k);
	if (r >= 0)
		r = adopt_links(a);
	if (r >= 0)
		r = adopt_addrs(a);
	if (r >= 0)
		r = is_exact ? adopt_routes(a) : keep(a, MODEL_ROUTE);
	if (r >= 0)
		r = is_exact ? adopt_neighs(a) : keep(a, MODEL_NEIGH);
	return err_pass(r);
}

int adopt_guest(const struct view_config *view, const struct snapshot *acked,
		const struct snapshot *seen, const struct sink_guest *guest, struct snapshot *ret)
{
	CLEANUP(adoption_done)
	struct adoption a = {
		.view = view,
		.acked = acked,
		.seen = seen,
		.guest = &guest->net,
	};
	struct snapshot s = SNAPSHOT_NULL;
	int r = adopt_all(&a, guest->is_exact);

	if (r < 0)
		return err_pass(r);
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++) {
		table_seal(a.tables[k]);
		s.tables[k] = TAKE_PTR(a.tables[k]);
	}
	/* A side that takes whole sets gets one: nobody knows what it has. */
	s.routes_stale = !guest->is_exact;
	*ret = s;
	return 0;
}
