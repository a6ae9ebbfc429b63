/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: both sides are sorted by key, so each kind is one merge of two tables. A merge is
 * run once for each class of ops (deletions, additions, updates), which gives the order of the plan
 * without sorting it.
 */
#include "netmon/diff.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/error.h"

#define DIFF_FIRST_CAPACITY 16

/* One pair of a merge: both with equal keys, or one alone. */
struct pair {
	uint32_t from; /* PLAN_NONE: only in to */
	uint32_t to;   /* PLAN_NONE: only in from */
};

/* Walks two sorted tables by key. Return: false at the end. */
static bool next_pair(const struct table *from, const struct table *to, size_t *f, size_t *t,
		      struct pair *ret)
{
	int c;

	if (*f >= from->n && *t >= to->n)
		return false;
	if (*f >= from->n)
		c = 1;
	else if (*t >= to->n)
		c = -1;
	else
		c = model_compare_key(from->kind, table_at(from, *f), table_at(to, *t));
	ret->from = c <= 0 ? (uint32_t)(*f)++ : PLAN_NONE;
	ret->to = c >= 0 ? (uint32_t)(*t)++ : PLAN_NONE;
	return true;
}

static int add_op(struct plan *p, enum plan_verb verb, uint32_t from, uint32_t to)
{
	if (p->n == p->capacity) {
		size_t capacity = p->capacity ? p->capacity * 2 : DIFF_FIRST_CAPACITY;
		struct op *ops = realloc(p->ops, capacity * sizeof(*ops));

		if (!ops)
			return err_raise(-ENOMEM, "grow a plan");
		p->ops = ops;
		p->capacity = capacity;
	}
	p->ops[p->n++] = (struct op){ .verb = verb, .from = from, .to = to };
	return 0;
}

/* ---- links ---- */

/* Is something to be told of the link's addresses? Not that one went which the other side keeps. */
static bool addrs_differ(const struct plan *p, uint32_t ifindex)
{
	const struct table *from = snapshot_addrs(&p->from), *to = snapshot_addrs(&p->to);
	size_t n_from, n_to;
	size_t f = table_range_of_link(from, ifindex, &n_from), end_f = f + n_from;
	size_t t = table_range_of_link(to, ifindex, &n_to), end_t = t + n_to;

	while (f < end_f || t < end_t) {
		int c = f == end_f   ? 1
			: t == end_t ? -1
				     : model_compare(MODEL_ADDR, &from->addrs[f], &to->addrs[t]);

		if (c > 0 || (c < 0 && !(p->keeps_addrs4 && from->addrs[f].family == AF_INET)))
			return true;
		f++;
		t += c == 0;
	}
	return false;
}

struct bounce {
	const uint32_t *ifindexes;
	size_t n;
};

static bool is_bounced(const struct bounce *b, uint32_t ifindex)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->ifindexes[i] == ifindex)
			return true;
	return false;
}

enum link_change { LINK_SAME, LINK_GONE, LINK_NEW, LINK_CHANGED, LINK_ANEW };

/*
 * LINK_ANEW: same number, another life of it, or a change that the other side can only take as a
 * new link.
 */
static enum link_change link_change(const struct plan *p, const struct sink_caps *caps,
				    const struct bounce *bounce, const struct pair *pair)
{
	const struct link *from, *to;

	if (pair->to == PLAN_NONE)
		return caps->keeps_links ? LINK_SAME : LINK_GONE;
	if (pair->from == PLAN_NONE)
		return LINK_NEW;
	from = &snapshot_links(&p->from)->links[pair->from];
	to = &snapshot_links(&p->to)->links[pair->to];
	if (from->incarnation != to->incarnation)
		return caps->keeps_links ? LINK_CHANGED : LINK_ANEW;
	if (model_compare(MODEL_LINK, from, to) == 0 && !addrs_differ(p, from->ifindex) &&
	    !is_bounced(bounce, from->ifindex))
		return LINK_SAME;
	return caps->updates_links ? LINK_CHANGED : LINK_ANEW;
}

static int diff_links(struct plan *p, const struct sink_caps *caps, const struct bounce *bounce,
		      enum plan_verb verb)
{
	size_t f = 0, t = 0;
	struct pair pair;
	int r = 0;

	while (r >= 0 &&
	       next_pair(snapshot_links(&p->from), snapshot_links(&p->to), &f, &t, &pair)) {
		enum link_change change = link_change(p, caps, bounce, &pair);

		if (verb == PLAN_LINK_DEL && (change == LINK_GONE || change == LINK_ANEW))
			r = add_op(p, verb, pair.from, PLAN_NONE);
		else if (verb == PLAN_LINK_ADD && (change == LINK_NEW || change == LINK_ANEW))
			r = add_op(p, verb, PLAN_NONE, pair.to);
		else if (verb == PLAN_LINK_UPDATE && change == LINK_CHANGED)
			r = add_op(p, verb, pair.from, pair.to);
	}
	return err_pass(r);
}

/*
 * Does the plan so far delete this link? Its routes and neighbours go with it (but see
 * plan.routes_whole).
 */
static bool is_deleted(const struct plan *p, uint32_t ifindex)
{
	for (size_t i = 0; i < p->n && p->ops[i].verb == PLAN_LINK_DEL; i++)
		if (plan_link_from(p, &p->ops[i])->ifindex == ifindex)
			return true;
	return false;
}

/* ---- routes ---- */

static bool carried_stale_routes(const struct plan *p)
{
	const struct table *routes = snapshot_routes(&p->from);

	if (p->n == 0 || p->ops[0].verb != PLAN_LINK_DEL)
		return false;
	for (size_t i = 0; i < routes->n; i++)
		if (is_deleted(p, routes->routes[i].ifindex))
			return true;
	return false;
}

static int diff_route_set(struct plan *p)
{
	if (!p->from.routes_stale && !carried_stale_routes(p) &&
	    table_equal(snapshot_routes(&p->from), snapshot_routes(&p->to)))
		return 0;
	return add_op(p, PLAN_ROUTES_SET, PLAN_NONE, PLAN_NONE);
}

static bool is_gatewayed(const struct route *r)
{
	return r->flags & MODEL_ROUTE_GATEWAY;
}

/* One class of route ops: verb, and whether gatewayed ones or on-link ones. */
static int diff_routes_class(struct plan *p, bool additions, bool gatewayed, bool any_link_goes)
{
	const struct table *from = snapshot_routes(&p->from);
	const struct table *to = snapshot_routes(&p->to);
	size_t f = 0, t = 0;
	struct pair pair;
	int r = 0;

	while (r >= 0 && next_pair(from, to, &f, &t, &pair)) {
		bool stays = pair.from != PLAN_NONE &&
			     !(any_link_goes && is_deleted(p, from->routes[pair.from].ifindex));
		const struct route *of =
			additions ? (pair.to == PLAN_NONE ? NULL : &to->routes[pair.to])
				  : (stays ? &from->routes[pair.from] : NULL);

		if (!of || is_gatewayed(of) != gatewayed)
			continue;
		if (!additions && pair.to == PLAN_NONE)
			r = add_op(p, PLAN_ROUTE_DEL, pair.from, PLAN_NONE);
		else if (additions && !stays)
			r = add_op(p, PLAN_ROUTE_ADD, PLAN_NONE, pair.to);
		else if (additions && model_compare(MODEL_ROUTE, &from->routes[pair.from], of) != 0)
			r = add_op(p, PLAN_ROUTE_REPLACE, pair.from, pair.to);
	}
	return err_pass(r);
}

static int diff_routes(struct plan *p, const struct sink_caps *caps)
{
	bool any_link_goes = p->n > 0 && p->ops[0].verb == PLAN_LINK_DEL;
	static const struct {
		bool additions, gatewayed;
	} order[] = { { false, true }, { false, false }, { true, false }, { true, true } };

	if (p->routes_whole)
		return err_pass(diff_route_set(p));
	if (!any_link_goes && table_equal(snapshot_routes(&p->from), snapshot_routes(&p->to)))
		return 0;
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		if (caps->keeps_routes && !order[i].additions)
			continue;
		int r = diff_routes_class(p, order[i].additions, order[i].gatewayed, any_link_goes);

		if (r < 0)
			return err_pass(r);
	}
	return 0;
}

/* ---- neighbours ---- */

static int diff_neighs(struct plan *p, enum plan_verb verb)
{
	const struct table *from = snapshot_neighs(&p->from);
	const struct table *to = snapshot_neighs(&p->to);
	size_t f = 0, t = 0;
	struct pair pair;
	int r = 0;

	while (r >= 0 && next_pair(from, to, &f, &t, &pair)) {
		bool stays =
			pair.from != PLAN_NONE && !is_deleted(p, from->neighs[pair.from].ifindex);

		if (verb == PLAN_NEIGH_DEL && stays && pair.to == PLAN_NONE)
			r = add_op(p, verb, pair.from, PLAN_NONE);
		else if (verb == PLAN_NEIGH_ADD && pair.to != PLAN_NONE &&
			 (!stays || model_compare(MODEL_NEIGH, &from->neighs[pair.from],
						  &to->neighs[pair.to]) != 0))
			r = add_op(p, verb, PLAN_NONE, pair.to);
	}
	return err_pass(r);
}

/* ---- the plan ---- */

static bool takes(const struct sink_caps *caps, enum model_kind kind)
{
	return !(caps->denied & 1U << kind);
}

static int fill(struct plan *p, const struct sink_caps *caps, const struct bounce *bounce)
{
	static const enum plan_verb link_verbs[] = { PLAN_LINK_DEL, PLAN_LINK_ADD,
						     PLAN_LINK_UPDATE };
	bool neighs = caps->neighbours && takes(caps, MODEL_NEIGH);
	int r = 0;

	for (size_t i = 0; r >= 0 && takes(caps, MODEL_LINK) && i < 3; i++)
		r = diff_links(p, caps, bounce, link_verbs[i]);
	if (r >= 0 && takes(caps, MODEL_ROUTE))
		r = diff_routes(p, caps);
	if (r >= 0 && neighs && !caps->keeps_neighs)
		r = diff_neighs(p, PLAN_NEIGH_DEL);
	if (r >= 0 && neighs)
		r = diff_neighs(p, PLAN_NEIGH_ADD);
	return err_pass(r);
}

int diff_plan_bouncing(const struct snapshot *from, const struct snapshot *to,
		       const struct sink_caps *caps, const uint32_t *bounce, size_t n_bounce,
		       struct plan *ret)
{
	CLEANUP(plan_done)
	struct plan p = {
		.routes_whole = caps->routes_whole,
		.keeps_links = caps->keeps_links,
		.keeps_addrs4 = caps->keeps_addrs4,
		.update_flushes = caps->update_flushes,
	};
	int r;

	snapshot_copy(&p.from, from);
	snapshot_copy(&p.to, to);
	r = fill(&p, caps, &(struct bounce){ bounce, n_bounce });
	if (r < 0)
		return err_pass(r);
	*ret = p;
	p = PLAN_NULL;
	return 0;
}

int diff_plan(const struct snapshot *from, const struct snapshot *to, const struct sink_caps *caps,
	      struct plan *ret)
{
	return err_pass(diff_plan_bouncing(from, to, caps, NULL, 0, ret));
}
