/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What backs off together. See object.h.
 */
#include "netmon/object.h"

#include <stdbool.h>
#include <string.h>

#include "netmon/view.h"

uint64_t object_of_link(uint32_t ifindex)
{
	return (uint64_t)MODEL_LINK << 56 | ifindex;
}

/*
 * The route set is one object: a guest that can't take routes now can't take any. So is what fails
 * for no fault of one route or neighbour.
 */
#define OBJECT_ROUTES ((uint64_t)MODEL_ROUTE << 56)
#define OBJECT_NEIGHS ((uint64_t)MODEL_NEIGH << 56)

#define OBJECT_IS_ROUTE (UINT64_C(1) << 62)
#define OBJECT_IS_NEIGH (UINT64_C(1) << 63)

uint64_t object_of_route(const struct route *r)
{
	struct route key = { .is_inet6 = r->is_inet6, .prefixlen = r->prefixlen };

	memcpy(key.dst, r->dst, sizeof(key.dst));
	return (model_hash(MODEL_ROUTE, &key, MODEL_HASH_SEED) & ~OBJECT_IS_NEIGH) |
	       OBJECT_IS_ROUTE;
}

static uint64_t object_of_neigh(const struct neigh *n)
{
	struct neigh key = { .ifindex = n->ifindex, .family = n->family };

	memcpy(key.bytes, n->bytes, sizeof(key.bytes));
	return model_hash(MODEL_NEIGH, &key, MODEL_HASH_SEED) | OBJECT_IS_NEIGH;
}

uint64_t object_of_op(const struct plan *p, const struct op *op)
{
	const struct link *l = plan_link_from(p, op) ? plan_link_from(p, op) : plan_link_to(p, op);
	const struct neigh *n =
		plan_neigh_from(p, op) ? plan_neigh_from(p, op) : plan_neigh_to(p, op);
	const struct route *route =
		plan_route_from(p, op) ? plan_route_from(p, op) : plan_route_to(p, op);

	if (l)
		return object_of_link(l->ifindex);
	if (route)
		return object_of_route(route);
	return n ? object_of_neigh(n) : OBJECT_ROUTES;
}

uint64_t object_of_group(const struct plan *p, const struct op *op)
{
	if (plan_is_route_verb(op->verb))
		return OBJECT_ROUTES;
	return plan_is_neigh_verb(op->verb) ? OBJECT_NEIGHS : object_of_op(p, op);
}

uint64_t object_value(const struct plan *p, const struct op *op)
{
	const struct link *l = plan_link_to(p, op);
	const struct table *addrs = snapshot_addrs(&p->to);
	const struct table *routes = snapshot_routes(&p->to);
	uint64_t hash = MODEL_HASH_SEED;
	size_t first, n;

	if (l) {
		first = table_range_of_link(addrs, l->ifindex, &n);
		return view_link_hash(l, addrs->addrs ? addrs->addrs + first : NULL, n);
	}
	if (plan_route_to(p, op))
		return model_hash(MODEL_ROUTE, plan_route_to(p, op), hash);
	if (plan_neigh_to(p, op))
		return model_hash(MODEL_NEIGH, plan_neigh_to(p, op), hash);
	if (op->verb != PLAN_ROUTES_SET)
		return 0;
	for (size_t i = 0; i < routes->n; i++)
		hash = model_hash(MODEL_ROUTE, &routes->routes[i], hash);
	return hash;
}
