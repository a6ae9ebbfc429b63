/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dull guest. See guest.h.
 */
#include "tests/unit/guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

void guest_load(struct guest *g, const struct snapshot *s)
{
	assert_true(snapshot_links(s)->n <= POD_MAX && snapshot_addrs(s)->n <= POD_MAX &&
		    snapshot_routes(s)->n <= POD_MAX && snapshot_neighs(s)->n <= POD_MAX);
	*g = (struct guest){ .routes_stale = s->routes_stale };
	for (size_t i = 0; i < snapshot_links(s)->n; i++)
		g->net.links[g->net.n_links++] = snapshot_links(s)->links[i];
	for (size_t i = 0; i < snapshot_addrs(s)->n; i++)
		g->net.addrs[g->net.n_addrs++] = snapshot_addrs(s)->addrs[i];
	for (size_t i = 0; i < snapshot_routes(s)->n; i++)
		g->net.routes[g->net.n_routes++] = snapshot_routes(s)->routes[i];
	for (size_t i = 0; i < snapshot_neighs(s)->n; i++)
		g->net.neighs[g->net.n_neighs++] = snapshot_neighs(s)->neighs[i];
}

bool guest_has_link(const struct guest *g, uint32_t ifindex)
{
	for (size_t i = 0; i < g->net.n_links; i++)
		if (g->net.links[i].ifindex == ifindex)
			return true;
	return false;
}

static const struct link *find_link(const struct guest *g, uint32_t ifindex)
{
	for (size_t i = 0; i < g->net.n_links; i++)
		if (g->net.links[i].ifindex == ifindex)
			return &g->net.links[i];
	fail_msg("the guest has no link %u", ifindex);
	return NULL;
}

/* Index of the route with that destination; n_routes if there is none. */
static size_t find_route(const struct guest *g, const struct route *r)
{
	size_t i = 0;

	while (i < g->net.n_routes && model_compare_key(MODEL_ROUTE, &g->net.routes[i], r) != 0)
		i++;
	return i;
}

static size_t find_neigh(const struct guest *g, const struct neigh *n)
{
	size_t i = 0;

	while (i < g->net.n_neighs && model_compare_key(MODEL_NEIGH, &g->net.neighs[i], n) != 0)
		i++;
	return i;
}

static void drop_addrs(struct guest *g, uint32_t ifindex)
{
	for (size_t i = 0; i < g->net.n_addrs; i++)
		if (g->net.addrs[i].ifindex == ifindex)
			g->net.addrs[i--] = g->net.addrs[--g->net.n_addrs];
}

/* A guest that takes whole sets only keeps what it has until the next one: see struct plan. */
static void link_del(struct guest *g, const struct plan *p, const struct link *from)
{
	struct route kept[POD_MAX];
	size_t n = g->net.n_routes;

	assert_int_equal(model_compare(MODEL_LINK, find_link(g, from->ifindex), from), 0);
	memcpy(kept, g->net.routes, sizeof(kept));
	for (size_t i = 0; i < n; i++)
		g->routes_stale |= p->routes_whole && kept[i].ifindex == from->ifindex;
	pod_drop_link(&g->net, from->ifindex);
	if (!p->routes_whole)
		return;
	memcpy(g->net.routes, kept, sizeof(kept));
	g->net.n_routes = n;
}

static void link_set(struct guest *g, const struct plan *p, const struct link *to)
{
	const struct table *addrs = snapshot_addrs(&p->to);

	for (size_t i = 0; i < g->net.n_links; i++)
		if (g->net.links[i].ifindex == to->ifindex)
			g->net.links[i--] = g->net.links[--g->net.n_links];
	g->net.links[g->net.n_links++] = *to;
	drop_addrs(g, to->ifindex);
	for (size_t i = 0; i < addrs->n; i++)
		if (addrs->addrs[i].ifindex == to->ifindex)
			g->net.addrs[g->net.n_addrs++] = addrs->addrs[i];
}

static bool has_mac(const struct guest *g, const struct link *l)
{
	for (size_t i = 0; i < g->net.n_links; i++)
		if (l->mac_bytes > 0 && g->net.links[i].mac_bytes > 0 &&
		    memcmp(g->net.links[i].mac, l->mac, MODEL_MAC_BYTES) == 0)
			return true;
	return false;
}

static void routes_set(struct guest *g, const struct plan *p)
{
	const struct table *routes = snapshot_routes(&p->to);

	assert_true(p->routes_whole);
	g->net.n_routes = 0;
	for (size_t i = 0; i < routes->n; i++) {
		(void)find_link(g, routes->routes[i].ifindex);
		g->net.routes[g->net.n_routes++] = routes->routes[i];
	}
	g->routes_stale = false;
}

static void route_del(struct guest *g, const struct route *from)
{
	size_t i = find_route(g, from);

	assert_true(i < g->net.n_routes);
	assert_int_equal(model_compare(MODEL_ROUTE, &g->net.routes[i], from), 0);
	g->net.routes[i] = g->net.routes[--g->net.n_routes];
}

static void route_add(struct guest *g, const struct route *to)
{
	if (find_route(g, to) < g->net.n_routes)
		fail_msg("add-route: the guest has a route to this destination");
	(void)find_link(g, to->ifindex);
	g->net.routes[g->net.n_routes++] = *to;
}

static void neigh_add(struct guest *g, const struct neigh *to)
{
	size_t i = find_neigh(g, to);

	(void)find_link(g, to->ifindex);
	if (i < g->net.n_neighs)
		assert_int_not_equal(model_compare(MODEL_NEIGH, &g->net.neighs[i], to), 0);
	else
		g->net.n_neighs++;
	g->net.neighs[i] = *to;
}

static void neigh_del(struct guest *g, const struct neigh *from)
{
	size_t i = find_neigh(g, from);

	assert_true(i < g->net.n_neighs);
	assert_int_equal(model_compare(MODEL_NEIGH, &g->net.neighs[i], from), 0);
	g->net.neighs[i] = g->net.neighs[--g->net.n_neighs];
}

void guest_apply(struct guest *g, const struct plan *p, const struct op *op)
{
	switch (op->verb) {
	case PLAN_LINK_DEL:
		link_del(g, p, plan_link_from(p, op));
		return;
	case PLAN_LINK_ADD:
		assert_false(guest_has_link(g, plan_link_to(p, op)->ifindex));
		assert_false(has_mac(g, plan_link_to(p, op)));
		link_set(g, p, plan_link_to(p, op));
		return;
	case PLAN_LINK_UPDATE:
		assert_int_equal(plan_link_from(p, op)->ifindex, plan_link_to(p, op)->ifindex);
		assert_true(guest_has_link(g, plan_link_to(p, op)->ifindex));
		link_set(g, p, plan_link_to(p, op));
		return;
	case PLAN_ROUTES_SET:
		routes_set(g, p);
		return;
	case PLAN_ROUTE_DEL:
		route_del(g, plan_route_from(p, op));
		return;
	case PLAN_ROUTE_ADD:
		route_add(g, plan_route_to(p, op));
		return;
	case PLAN_ROUTE_REPLACE:
		route_del(g, plan_route_from(p, op));
		route_add(g, plan_route_to(p, op));
		return;
	case PLAN_NEIGH_DEL:
		neigh_del(g, plan_neigh_from(p, op));
		return;
	case PLAN_NEIGH_ADD:
		neigh_add(g, plan_neigh_to(p, op));
		return;
	case _PLAN_VERB_MAX:
		break;
	}
	fail_msg("a plan has an op of no verb");
}

void guest_assert_equal(const struct guest *g, const struct snapshot *s)
{
	struct snapshot mine;

	pod_snapshot(&g->net, &mine);
	for (enum model_kind k = 0; k < MODEL_POLICY; k++)
		if (!table_equal(mine.tables[k], s->tables[k]))
			fail_msg("%s: the guest has another table", model_kind_to_string(k));
	snapshot_done(&mine);
	assert_int_equal(g->routes_stale, s->routes_stale);
}
