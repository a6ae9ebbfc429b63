/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a plan's ops are about, and what is true after some of them.
 */
#include "netmon/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"

static const char *const verb_names[] = {
	[PLAN_LINK_DEL] = "del-link",		[PLAN_LINK_ADD] = "add-link",
	[PLAN_LINK_UPDATE] = "update-link",	[PLAN_ROUTES_SET] = "set-routes",
	[PLAN_ROUTE_DEL] = "del-route",		[PLAN_ROUTE_ADD] = "add-route",
	[PLAN_ROUTE_REPLACE] = "replace-route", [PLAN_NEIGH_DEL] = "del-neighbour",
	[PLAN_NEIGH_ADD] = "add-neighbour",
};
_Static_assert(sizeof(verb_names) / sizeof(verb_names[0]) == _PLAN_VERB_MAX, "one name a verb");

const char *plan_verb_to_string(enum plan_verb verb)
{
	return verb_names[verb];
}

int plan_verb_from_string(const char *s, enum plan_verb *ret)
{
	for (enum plan_verb v = 0; v < _PLAN_VERB_MAX; v++) {
		if (strcmp(s, verb_names[v]) == 0) {
			*ret = v;
			return 0;
		}
	}
	return -EINVAL;
}

bool plan_is_route_verb(enum plan_verb verb)
{
	return verb == PLAN_ROUTES_SET || verb == PLAN_ROUTE_DEL || verb == PLAN_ROUTE_ADD ||
	       verb == PLAN_ROUTE_REPLACE;
}

bool plan_is_neigh_verb(enum plan_verb verb)
{
	return verb == PLAN_NEIGH_DEL || verb == PLAN_NEIGH_ADD;
}

void plan_done(struct plan *p)
{
	snapshot_done(&p->from);
	snapshot_done(&p->to);
	free(p->ops);
	*p = PLAN_NULL;
}

/* ---- what an op is about ---- */

/* Which table an op's indices count in; links for PLAN_ROUTES_SET, which has none. */
static enum model_kind verb_kind(enum plan_verb verb)
{
	switch (verb) {
	case PLAN_LINK_DEL:
	case PLAN_LINK_ADD:
	case PLAN_LINK_UPDATE:
		return MODEL_LINK;
	case PLAN_ROUTES_SET:
	case PLAN_ROUTE_DEL:
	case PLAN_ROUTE_ADD:
	case PLAN_ROUTE_REPLACE:
		return MODEL_ROUTE;
	case PLAN_NEIGH_DEL:
	case PLAN_NEIGH_ADD:
	case _PLAN_VERB_MAX:
		break;
	}
	return MODEL_NEIGH;
}

static const void *side(const struct snapshot *s, enum plan_verb verb, enum model_kind kind,
			uint32_t index)
{
	if (index == PLAN_NONE || verb_kind(verb) != kind)
		return NULL;
	return table_at(s->tables[kind], index);
}

const struct link *plan_link_from(const struct plan *p, const struct op *op)
{
	return side(&p->from, op->verb, MODEL_LINK, op->from);
}

const struct link *plan_link_to(const struct plan *p, const struct op *op)
{
	return side(&p->to, op->verb, MODEL_LINK, op->to);
}

const struct route *plan_route_from(const struct plan *p, const struct op *op)
{
	return side(&p->from, op->verb, MODEL_ROUTE, op->from);
}

const struct route *plan_route_to(const struct plan *p, const struct op *op)
{
	return side(&p->to, op->verb, MODEL_ROUTE, op->to);
}

const struct neigh *plan_neigh_from(const struct plan *p, const struct op *op)
{
	return side(&p->from, op->verb, MODEL_NEIGH, op->from);
}

const struct neigh *plan_neigh_to(const struct plan *p, const struct op *op)
{
	return side(&p->to, op->verb, MODEL_NEIGH, op->to);
}

static uint32_t op_ifindex(const struct plan *p, const struct op *op)
{
	const struct route *r = plan_route_to(p, op);
	const struct neigh *n = plan_neigh_to(p, op);

	if (!r)
		r = plan_route_from(p, op);
	if (!n)
		n = plan_neigh_from(p, op);
	if (r)
		return r->ifindex;
	return n ? n->ifindex : 0;
}

const char *plan_op_interface(const struct plan *p, const struct op *op)
{
	const struct link *l = plan_link_from(p, op);
	uint32_t ifindex = op_ifindex(p, op);

	if (!l)
		l = plan_link_to(p, op);
	if (!l && ifindex)
		l = table_find_link(snapshot_links(&p->to), ifindex);
	if (!l && ifindex)
		l = table_find_link(snapshot_links(&p->from), ifindex);
	return l ? l->name : "";
}

/* ---- what is true after some of them ---- */

/*
 * How plan_apply() works: the done ops mark which items of `from` go and which of `to` come, by
 * bit; then each table is one merge. Ops are never applied one by one to a table, so a plan of
 * 100,000 costs 100,000.
 */
struct marks {
	const struct plan *plan;
	uint8_t *from[_MODEL_KIND_MAX]; /* 1: this item goes */
	uint8_t *to[_MODEL_KIND_MAX];	/* 1: this item comes */
	bool routes_replaced;
	bool routes_stale;
	/* what a NIC keeps that is another link's now, under that one's number; NULL: nothing */
	struct table *moved[_MODEL_KIND_MAX];
	int error; /* the first, of an addition to that */
};

static void marks_done(struct marks *m)
{
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++) {
		free(m->from[k]);
		free(m->to[k]);
		table_unref(m->moved[k]);
	}
}

static int marks_init(struct marks *m, const struct plan *p)
{
	*m = (struct marks){ .plan = p, .routes_stale = p->from.routes_stale };
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++) {
		m->from[k] = calloc(p->from.tables[k]->n + 1, 1);
		m->to[k] = calloc(p->to.tables[k]->n + 1, 1);
		if (!m->from[k] || !m->to[k]) {
			marks_done(m);
			return err_raise(-ENOMEM, "apply a plan");
		}
	}
	return 0;
}

static void mark_range(uint8_t *marks, const struct table *t, uint32_t ifindex)
{
	size_t n;
	size_t first = table_range_of_link(t, ifindex, &n);

	memset(marks + first, 1, n);
}

/* A link's routes are not beside each other: one pass, only for deletions. */
static void mark_routes_of_link(struct marks *m, uint32_t ifindex)
{
	const struct table *routes = snapshot_routes(&m->plan->from);

	for (size_t i = 0; i < routes->n; i++) {
		if (routes->routes[i].ifindex != ifindex)
			continue;
		if (m->plan->routes_whole)
			m->routes_stale = true;
		else
			m->from[MODEL_ROUTE][i] = 1;
	}
}

/* A link of plan->from with all that it has. */
static void mark_deleted(struct marks *m, size_t link)
{
	uint32_t ifindex = snapshot_links(&m->plan->from)->links[link].ifindex;

	m->from[MODEL_LINK][link] = 1;
	mark_range(m->from[MODEL_ADDR], snapshot_addrs(&m->plan->from), ifindex);
	mark_range(m->from[MODEL_NEIGH], snapshot_neighs(&m->plan->from), ifindex);
	mark_routes_of_link(m, ifindex);
}

static bool is_kept_addr(const struct marks *m, const struct addr *a)
{
	return m->plan->keeps_addrs4 && a->family == AF_INET &&
	       !table_find(snapshot_addrs(&m->plan->to), a);
}

static bool has_same_mac(const struct link *a, const struct link *b)
{
	return a && b && memcmp(a->mac, b->mac, sizeof(a->mac)) == 0;
}

/*
 * Addresses that an update takes away; the others of plan->from stay beside those that come. With
 * another MAC it is another NIC, which has none of them.
 */
static void mark_updated_addrs(struct marks *m, const struct link *link, bool is_same_nic)
{
	const struct table *from = snapshot_addrs(&m->plan->from);
	size_t n, first = table_range_of_link(from, link->ifindex, &n);

	for (size_t i = first; i < first + n; i++)
		if (!is_same_nic || !is_kept_addr(m, &from->addrs[i]))
			m->from[MODEL_ADDR][i] = 1;
}

static void mark_updated(struct marks *m, const struct op *op)
{
	const struct link *from = plan_link_from(m->plan, op);

	m->from[MODEL_LINK][op->from] = 1;
	mark_updated_addrs(m, from, has_same_mac(from, plan_link_to(m->plan, op)));
	if (m->plan->update_flushes)
		mark_routes_of_link(m, from->ifindex);
}

static void move_one(struct marks *m, enum model_kind kind, const void *item)
{
	int r = m->moved[kind] ? 0 : table_new(&m->moved[kind], kind);

	if (r >= 0)
		r = table_add(m->moved[kind], item);
	if (r < 0 && m->error == 0)
		m->error = r;
}

/* Its addresses and neighbours are still there, on what is the other link now. */
static void move_kept(struct marks *m, uint32_t from, uint32_t to)
{
	const struct table *addrs = snapshot_addrs(&m->plan->from);
	const struct table *neighs = snapshot_neighs(&m->plan->from);
	size_t n, first = table_range_of_link(addrs, from, &n);

	for (size_t i = first; i < first + n; i++) {
		struct addr a = addrs->addrs[i];

		a.ifindex = to;
		if (is_kept_addr(m, &a))
			move_one(m, MODEL_ADDR, &a);
	}
	first = table_range_of_link(neighs, from, &n);
	for (size_t i = first; i < first + n; i++) {
		struct neigh neigh = neighs->neighs[i];

		neigh.ifindex = to;
		move_one(m, MODEL_NEIGH, &neigh);
	}
}

/* The guest knows a NIC by its MAC: a link that it kept is the one that is told under that MAC now. */
static void mark_superseded(struct marks *m, const struct link *to)
{
	const struct table *from = snapshot_links(&m->plan->from);

	for (size_t i = 0; m->plan->keeps_links && i < from->n; i++) {
		if (from->links[i].ifindex == to->ifindex || !has_same_mac(&from->links[i], to))
			continue;
		move_kept(m, from->links[i].ifindex, to->ifindex);
		mark_deleted(m, i);
	}
}

static void mark_link_to(struct marks *m, const struct op *op)
{
	const struct link *to = plan_link_to(m->plan, op);

	m->to[MODEL_LINK][op->to] = 1;
	mark_range(m->to[MODEL_ADDR], snapshot_addrs(&m->plan->to), to->ifindex);
	mark_superseded(m, to);
	/* What its routes were over there nobody said; they went. */
	if (m->plan->update_flushes && m->plan->routes_whole)
		m->routes_stale = true;
}

static void mark_neigh(struct marks *m, const struct op *op)
{
	const struct table *from = snapshot_neighs(&m->plan->from);

	if (op->verb == PLAN_NEIGH_DEL) {
		m->from[MODEL_NEIGH][op->from] = 1;
		return;
	}
	m->to[MODEL_NEIGH][op->to] = 1;
	/* an entry of that key is overwritten */
	size_t i = table_lower_bound(from, plan_neigh_to(m->plan, op));

	if (i < from->n &&
	    model_compare_key(MODEL_NEIGH, &from->neighs[i], plan_neigh_to(m->plan, op)) == 0)
		m->from[MODEL_NEIGH][i] = 1;
}

static void mark_op(struct marks *m, const struct op *op)
{
	switch (op->verb) {
	case PLAN_LINK_DEL:
		mark_deleted(m, op->from);
		return;
	case PLAN_LINK_ADD:
		mark_link_to(m, op);
		return;
	case PLAN_LINK_UPDATE:
		mark_updated(m, op);
		mark_link_to(m, op);
		return;
	case PLAN_ROUTES_SET:
		m->routes_replaced = true;
		m->routes_stale = false;
		return;
	case PLAN_ROUTE_DEL:
		m->from[MODEL_ROUTE][op->from] = 1;
		return;
	case PLAN_ROUTE_ADD:
		m->to[MODEL_ROUTE][op->to] = 1;
		return;
	case PLAN_ROUTE_REPLACE:
		m->from[MODEL_ROUTE][op->from] = 1;
		m->to[MODEL_ROUTE][op->to] = 1;
		return;
	case PLAN_NEIGH_DEL:
	case PLAN_NEIGH_ADD:
	case _PLAN_VERB_MAX:
		break;
	}
	mark_neigh(m, op);
}

/* All of @from that does not go and all of @to that comes, in order. */
static int merge(const struct marks *m, enum model_kind kind, struct table **ret)
{
	const struct table *from = m->plan->from.tables[kind];
	const struct table *to = m->plan->to.tables[kind];
	CLEANUP(table_unrefp) struct table *t = NULL;
	size_t f = 0, c = 0;
	int r = table_new(&t, kind);

	while (r >= 0) {
		while (f < from->n && m->from[kind][f])
			f++;
		while (c < to->n && !m->to[kind][c])
			c++;
		if (f >= from->n && c >= to->n)
			break;
		if (c >= to->n ||
		    (f < from->n && model_compare(kind, table_at(from, f), table_at(to, c)) <= 0))
			r = table_add(t, table_at(from, f++));
		else
			r = table_add(t, table_at(to, c++));
	}
	if (r < 0)
		return err_pass(r);
	table_seal(t);
	*ret = TAKE_PTR(t);
	return 0;
}

static bool has_marks(const struct marks *m, enum model_kind kind)
{
	return memchr(m->from[kind], 1, m->plan->from.tables[kind]->n) ||
	       memchr(m->to[kind], 1, m->plan->to.tables[kind]->n);
}

static int apply_kind(const struct marks *m, enum model_kind kind, struct snapshot *s)
{
	struct table *t = NULL;
	int r;

	if (has_marks(m, kind)) { /* otherwise it is shared as it is */
		r = merge(m, kind, &t);
		if (r < 0)
			return err_pass(r);
		snapshot_replace(s, t);
	}
	if (!m->moved[kind])
		return 0;
	table_seal(m->moved[kind]);
	r = table_union(s->tables[kind], m->moved[kind], &t);
	if (r < 0)
		return err_pass(r);
	snapshot_replace(s, t);
	return 0;
}

int plan_apply(const struct plan *p, size_t n_done, struct snapshot *ret)
{
	CLEANUP(snapshot_done) struct snapshot s = SNAPSHOT_NULL;
	CLEANUP(marks_done) struct marks m = { 0 };
	int r = marks_init(&m, p);

	if (r < 0)
		return err_pass(r);
	for (size_t i = 0; i < n_done; i++)
		mark_op(&m, &p->ops[i]);
	if (m.error < 0)
		return err_pass(m.error);

	snapshot_copy(&s, &p->from);
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++) {
		r = apply_kind(&m, k, &s);
		if (r < 0)
			return err_pass(r);
	}
	if (m.routes_replaced)
		snapshot_replace(&s, table_ref(p->to.tables[MODEL_ROUTE]));
	s.routes_stale = m.routes_stale;
	*ret = s;
	s = SNAPSHOT_NULL;
	return 0;
}
