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

static int add(struct doubt *d, const struct table *t)
{
	struct table **at = &d->entries[t->kind];
	struct table *all = NULL;
	int r = *at ? table_union(t, *at, &all) : table_copy(t, &all);

	if (r < 0)
		return err_pass(r);
	table_seal(all);
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
	int r = d->instead ? table_copy(d->instead, &t) : table_new(&t, MODEL_ROUTE);

	for (size_t i = 0; r >= 0 && i < n; i++)
		if (op[i].verb == PLAN_ROUTE_REPLACE)
			r = table_add(t, plan_route_from(p, &op[i]));
	if (r < 0)
		return err_pass(r);
	table_seal(t);
	replace(&d->instead, t->n > 0 ? TAKE_PTR(t) : NULL);
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

/* ---- what was not told ---- */

/* It may be there, as before, though it may not be wanted any more. */
static int put_back_retold(struct doubt *d, enum model_kind kind, struct snapshot *acked)
{
	CLEANUP(table_unrefp) struct table *missing = NULL;
	struct table *t = NULL;
	int r = table_difference(d->retold[kind], acked->tables[kind], &missing);

	if (r >= 0 && missing->n > 0)
		r = table_union(acked->tables[kind], missing, &t);
	if (r >= 0 && t) {
		snapshot_replace(acked, t);
		r = add(d, missing);
	}
	if (r < 0)
		return err_pass(r);
	d->retold[kind] = table_unref(d->retold[kind]);
	return 0;
}

/* By destination. */
static bool is_doubtful(const struct doubt *d, const struct route *route)
{
	return d->entries[MODEL_ROUTE] && table_find(d->entries[MODEL_ROUTE], route);
}

/* Those whose place was taken for sure are in neither of the two. */
static int sort_instead(const struct doubt *d, const struct snapshot *acked, struct table *back,
			struct table *rest)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < d->instead->n; i++) {
		const struct route *route = &d->instead->routes[i];

		if (!table_find(snapshot_routes(acked), route))
			r = table_add(back, route);
		else if (is_doubtful(d, route))
			r = table_add(rest, route);
	}
	table_seal(back);
	table_seal(rest);
	return r < 0 ? err_pass(r) : 0;
}

/*
 * What was to replace them is gone (its link went) and was never known to be there: so they are to
 * be taken back.
 */
static int put_back_instead(struct doubt *d, struct snapshot *acked)
{
	CLEANUP(table_unrefp) struct table *back = NULL;
	CLEANUP(table_unrefp) struct table *rest = NULL;
	struct table *t = NULL;
	int r = table_new(&back, MODEL_ROUTE);

	if (r >= 0)
		r = table_new(&rest, MODEL_ROUTE);
	if (r >= 0)
		r = sort_instead(d, acked, back, rest);
	if (r >= 0 && back->n > 0)
		r = table_union(snapshot_routes(acked), back, &t);
	if (r >= 0 && t) {
		snapshot_replace(acked, t);
		r = add(d, back);
	}
	if (r < 0)
		return err_pass(r);
	replace(&d->instead, rest->n > 0 ? TAKE_PTR(rest) : NULL);
	return 0;
}

int doubt_put_back(struct doubt *d, struct snapshot *acked)
{
	int r = 0;

	for (enum model_kind k = 0; r >= 0 && k < _MODEL_KIND_MAX; k++)
		if (d->retold[k])
			r = put_back_retold(d, k, acked);
	if (r >= 0 && d->instead)
		r = put_back_instead(d, acked);
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
