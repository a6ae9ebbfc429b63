/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the other side may have. See doubt.h.
 */
#include "netmon/doubt.h"

#include <errno.h>

#include "base/error.h"

static void forget(struct table *tables[_MODEL_KIND_MAX])
{
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		tables[k] = table_unref(tables[k]);
}

/* @t takes the place of *at. */
static void replace(struct table **at, struct table *t)
{
	table_unref(*at);
	*at = t;
}

void doubt_done(struct doubt *d)
{
	forget(d->entries);
	forget(d->retold);
	d->instead = table_unref(d->instead);
}

void doubt_return(struct doubt *d, const struct snapshot *acked, bool routes_whole, bool is_exact)
{
	forget(d->entries);
	if (is_exact) {
		d->instead = table_unref(d->instead);
		return;
	}
	d->entries[MODEL_NEIGH] = table_ref(acked->tables[MODEL_NEIGH]);
	if (!routes_whole)
		d->entries[MODEL_ROUTE] = table_ref(acked->tables[MODEL_ROUTE]);
}

/* Those of @t are doubtful too. */
static int add(struct doubt *d, struct table *t)
{
	struct table **at = &d->entries[t->kind];
	struct table *all = NULL;
	int r = 0;

	if (*at)
		r = table_union(t, *at, &all);
	else
		all = table_ref(t);
	if (r < 0)
		return err_pass(r);
	replace(at, all);
	return 0;
}

/* ---- ops of unknown end ---- */

bool doubt_is_put(enum plan_verb verb)
{
	return verb == PLAN_ROUTE_ADD || verb == PLAN_ROUTE_REPLACE || verb == PLAN_NEIGH_ADD;
}

static enum model_kind kind_of(enum plan_verb verb)
{
	return verb == PLAN_NEIGH_ADD || verb == PLAN_NEIGH_DEL ? MODEL_NEIGH : MODEL_ROUTE;
}

/* The route or neighbour of an op as it is in acked from then on. */
static const void *entry_of(const struct plan *p, const struct op *op)
{
	if (doubt_is_put(op->verb))
		return table_at(p->to.tables[kind_of(op->verb)], op->to);
	return table_at(p->from.tables[kind_of(op->verb)], op->from);
}

static int add_instead(struct doubt *d, const struct plan *p, const struct op *op, size_t n)
{
	CLEANUP(table_unrefp) struct table *t = NULL;
	struct table *all = NULL;
	int r = table_new(&t, MODEL_ROUTE);

	for (size_t i = 0; r >= 0 && i < n; i++)
		if (op[i].verb == PLAN_ROUTE_REPLACE)
			r = table_add(t, plan_route_from(p, &op[i]));
	if (r < 0)
		return err_pass(r);
	table_seal(t);
	if (t->n == 0)
		return 0;
	/* One for a destination: acked has room for no more. */
	if (d->instead)
		r = table_union(t, d->instead, &all);
	else
		all = table_ref(t);
	if (r < 0)
		return err_pass(r);
	replace(&d->instead, all);
	return 0;
}

int doubt_ops(struct doubt *d, const struct plan *p, const struct op *op, size_t n)
{
	CLEANUP(table_unrefp) struct table *t = NULL;
	int r = table_new(&t, kind_of(op->verb));

	for (size_t i = 0; r >= 0 && i < n; i++)
		r = table_add(t, entry_of(p, &op[i]));
	if (r < 0)
		return err_pass(r);
	table_seal(t);
	r = add(d, t);
	if (r >= 0 && t->kind == MODEL_ROUTE)
		r = add_instead(d, p, op, n);
	return err_pass(r);
}

/* ---- what is not in doubt any more ---- */

void doubt_flushed(struct doubt *d, uint32_t ifindex)
{
	size_t kept = 0;
	CLEANUP(table_unrefp) struct table *t = NULL;

	if (!d->instead || table_copy(d->instead, &t) < 0)
		return; /* without memory: one bounce too many */
	for (size_t i = 0; i < t->n; i++)
		if (t->routes[i].ifindex != ifindex)
			t->routes[kept++] = t->routes[i];
	t->n = kept;
	table_seal(t);
	replace(&d->instead, t->n > 0 ? TAKE_PTR(t) : NULL);
}

/* What is in acked no more was taken back for sure, or went with its link. */
static int settle(struct doubt *d, enum model_kind kind, const struct snapshot *acked)
{
	CLEANUP(table_unrefp) struct table *gone = NULL;
	struct table *rest = NULL;
	int r = table_difference(d->entries[kind], acked->tables[kind], &gone);

	if (r < 0 || gone->n == 0)
		return err_pass(r);
	r = table_difference(d->entries[kind], gone, &rest);
	if (r < 0)
		return err_pass(r);
	replace(&d->entries[kind], rest);
	if (rest->n == 0)
		replace(&d->entries[kind], NULL);
	return 0;
}

/* ---- what was not told ---- */

static uint32_t ifindex_of(const struct table *t, size_t i)
{
	return t->kind == MODEL_ROUTE ? t->routes[i].ifindex : t->neighs[i].ifindex;
}

/*
 * Into acked comes what has its link there and whose place is free: what went with its link is
 * nowhere, and of what was told acked knows.
 */
static int find_missing(const struct table *of, const struct snapshot *acked, struct table **ret)
{
	CLEANUP(table_unrefp) struct table *t = NULL;
	int r = table_new(&t, of->kind);

	for (size_t i = 0; r >= 0 && i < of->n; i++)
		if (table_find_link(snapshot_links(acked), ifindex_of(of, i)) &&
		    !table_find(acked->tables[of->kind], table_at(of, i)))
			r = table_add(t, table_at(of, i));
	if (r < 0)
		return err_pass(r);
	table_seal(t);
	*ret = TAKE_PTR(t);
	return 0;
}

static int put_into(struct snapshot *acked, const struct table *missing)
{
	struct table *t = NULL;
	int r = missing->n > 0 ? table_union(acked->tables[missing->kind], missing, &t) : 0;

	if (r < 0)
		return err_pass(r);
	if (t)
		snapshot_replace(acked, t);
	return 0;
}

/* It may be there, as before, though it may not be wanted any more. */
static int put_back(struct doubt *d, const struct table *of, struct snapshot *acked)
{
	CLEANUP(table_unrefp) struct table *missing = NULL;
	int r = find_missing(of, acked, &missing);

	if (r >= 0 && missing->n > 0)
		r = add(d, missing);
	if (r >= 0)
		r = put_into(acked, missing);
	return err_pass(r);
}

/* By destination. */
static bool is_doubtful(const struct doubt *d, const struct route *route)
{
	return d->entries[MODEL_ROUTE] && table_find(d->entries[MODEL_ROUTE], route);
}

/*
 * What was to replace them may be gone (its link went) and was never known to be there: then they
 * are to be taken back. Those whose place was taken for sure are forgotten.
 */
static int put_back_instead(struct doubt *d, struct snapshot *acked)
{
	CLEANUP(table_unrefp) struct table *rest = NULL;
	int r = table_new(&rest, MODEL_ROUTE);

	for (size_t i = 0; r >= 0 && i < d->instead->n; i++)
		if (table_find(snapshot_routes(acked), &d->instead->routes[i]) &&
		    is_doubtful(d, &d->instead->routes[i]))
			r = table_add(rest, &d->instead->routes[i]);
	if (r < 0)
		return err_pass(r);
	table_seal(rest);
	r = put_back(d, d->instead, acked);
	if (r < 0)
		return err_pass(r);
	replace(&d->instead, rest->n > 0 ? TAKE_PTR(rest) : NULL);
	return 0;
}

static int put_back_kind(struct doubt *d, enum model_kind kind, struct snapshot *acked)
{
	int r = d->entries[kind] ? settle(d, kind, acked) : 0;

	if (r >= 0 && d->retold[kind])
		r = put_back(d, d->retold[kind], acked);
	/* After that: what may be there instead is second to what was told last. */
	if (r >= 0 && kind == MODEL_ROUTE && d->instead)
		r = put_back_instead(d, acked);
	if (r < 0)
		return err_pass(r);
	replace(&d->retold[kind], NULL);
	return 0;
}

int doubt_put_back(struct doubt *d, struct snapshot *acked)
{
	int r = 0;

	for (enum model_kind k = 0; r >= 0 && k < _MODEL_KIND_MAX; k++)
		r = put_back_kind(d, k, acked);
	return err_pass(r);
}

int doubt_complete(const struct doubt *d, struct snapshot *acked)
{
	int r = 0;

	for (enum model_kind k = 0; r >= 0 && k < _MODEL_KIND_MAX; k++) {
		CLEANUP(table_unrefp) struct table *missing = NULL;

		if (!d->retold[k])
			continue;
		r = find_missing(d->retold[k], acked, &missing);
		if (r >= 0)
			r = put_into(acked, missing);
	}
	return err_pass(r);
}

/* ---- telling once more ---- */

static int retell(struct doubt *d, enum model_kind kind, struct snapshot *acked,
		  const struct snapshot *wanted)
{
	CLEANUP(table_unrefp) struct table *rest = NULL;
	CLEANUP(table_unrefp) struct table *taken = NULL;
	struct table *t = NULL;
	int r = table_difference(d->entries[kind], wanted->tables[kind], &rest);

	if (r < 0 || rest->n == d->entries[kind]->n)
		return err_pass(r);
	r = table_difference(d->entries[kind], rest, &taken);
	if (r >= 0)
		r = table_difference(acked->tables[kind], taken, &t);
	if (r < 0)
		return err_pass(r);
	snapshot_replace(acked, t);
	replace(&d->retold[kind], TAKE_PTR(taken));
	replace(&d->entries[kind], rest->n > 0 ? TAKE_PTR(rest) : NULL);
	return 0;
}

int doubt_retell(struct doubt *d, struct snapshot *acked, const struct snapshot *wanted)
{
	int r = 0;

	for (enum model_kind k = 0; r >= 0 && k < _MODEL_KIND_MAX; k++)
		if (d->entries[k])
			r = retell(d, k, acked, wanted);
	return err_pass(r);
}
