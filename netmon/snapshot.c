/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables and snapshots. See snapshot.h.
 */
#include "netmon/snapshot.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define TABLE_FIRST_CAPACITY 16

static const size_t limits[] = {
	[MODEL_LINK] = SNAPSHOT_MAX_LINKS,    [MODEL_ADDR] = SNAPSHOT_MAX_ADDRS,
	[MODEL_ROUTE] = SNAPSHOT_MAX_ROUTES,  [MODEL_NEIGH] = SNAPSHOT_MAX_NEIGHS,
	[MODEL_POLICY] = SNAPSHOT_MAX_POLICY,
};
_Static_assert(sizeof(limits) / sizeof(limits[0]) == _MODEL_KIND_MAX, "one limit a kind");

/* ---- tables ---- */

int table_new(struct table **ret, enum model_kind kind)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return err_raise(-ENOMEM, "make a table of %s", model_kind_to_string(kind));
	t->refs = 1;
	t->kind = kind;
	t->sorted = true;
	*ret = t;
	return 0;
}

struct table *table_ref(struct table *t)
{
	t->refs++;
	return t;
}

struct table *table_unref(struct table *t)
{
	if (!t || --t->refs > 0)
		return NULL;
	free(t->items);
	free(t);
	return NULL;
}

const void *table_at(const struct table *t, size_t i)
{
	return (const char *)t->items + i * model_bytes(t->kind);
}

static int table_grow(struct table *t, size_t capacity)
{
	void *items = realloc(t->items, capacity * model_bytes(t->kind));

	if (!items)
		return err_raise(-ENOMEM, "grow a table of %s", model_kind_to_string(t->kind));
	t->items = items;
	t->capacity = capacity;
	return 0;
}

int table_add(struct table *t, const void *item)
{
	size_t bytes = model_bytes(t->kind);
	int r;

	assert(!t->sealed);
	if (t->n >= limits[t->kind]) {
		t->left_out++;
		return TABLE_FULL;
	}
	if (t->n == t->capacity) {
		r = table_grow(t, t->capacity ? t->capacity * 2 : TABLE_FIRST_CAPACITY);
		if (r < 0)
			return r;
	}
	if (t->sorted && t->n > 0 && model_compare(t->kind, table_at(t, t->n - 1), item) >= 0)
		t->sorted = false;
	memcpy((char *)t->items + t->n * bytes, item, bytes);
	t->n++;
	return 0;
}

#define DEFINE_QSORT_COMPARE(name, kind)              \
	static int name(const void *a, const void *b) \
	{                                             \
		return model_compare(kind, a, b);     \
	}

DEFINE_QSORT_COMPARE(compare_links, MODEL_LINK)
DEFINE_QSORT_COMPARE(compare_addrs, MODEL_ADDR)
DEFINE_QSORT_COMPARE(compare_routes, MODEL_ROUTE)
DEFINE_QSORT_COMPARE(compare_neighs, MODEL_NEIGH)
DEFINE_QSORT_COMPARE(compare_policies, MODEL_POLICY)

static int (*const qsort_compare[])(const void *, const void *) = {
	[MODEL_LINK] = compare_links,	   [MODEL_ADDR] = compare_addrs,
	[MODEL_ROUTE] = compare_routes,	   [MODEL_NEIGH] = compare_neighs,
	[MODEL_POLICY] = compare_policies,
};

static void drop_duplicates(struct table *t)
{
	size_t bytes = model_bytes(t->kind);
	char *items = t->items;
	size_t kept = 1;

	for (size_t i = 1; i < t->n; i++) {
		if (model_compare(t->kind, items + (kept - 1) * bytes, items + i * bytes) == 0)
			continue;
		if (kept != i)
			memcpy(items + kept * bytes, items + i * bytes, bytes);
		kept++;
	}
	t->n = kept;
}

void table_seal(struct table *t)
{
	if (!t->sorted) {
		qsort(t->items, t->n, model_bytes(t->kind), qsort_compare[t->kind]);
		drop_duplicates(t);
	}
	/* Shrinking can not fail in a way that matters: the larger block stays good. */
	if (t->n < t->capacity && t->n > 0)
		(void)table_grow(t, t->n);
	t->sealed = true;
}

size_t table_lower_bound(const struct table *t, const void *key)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (model_compare_key(t->kind, table_at(t, middle), key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const void *table_find(const struct table *t, const void *key)
{
	size_t i = table_lower_bound(t, key);

	if (i < t->n && model_compare_key(t->kind, table_at(t, i), key) == 0)
		return table_at(t, i);
	return NULL;
}

bool table_equal(const struct table *a, const struct table *b)
{
	if (a == b)
		return true;
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (model_compare(a->kind, table_at(a, i), table_at(b, i)) != 0)
			return false;
	return true;
}

const struct link *table_find_link(const struct table *links, uint32_t ifindex)
{
	return table_find(links, &(struct link){ .ifindex = ifindex });
}

size_t table_range_of_link(const struct table *t, uint32_t ifindex, size_t *ret_n)
{
	/* ifindex is the first field of both keys; all-zero others sort first */
	struct addr addr = { .ifindex = ifindex };
	struct neigh neigh = { .ifindex = ifindex };
	const void *key = t->kind == MODEL_ADDR ? (const void *)&addr : (const void *)&neigh;
	size_t first = table_lower_bound(t, key);
	size_t end = first;

	assert(t->kind == MODEL_ADDR || t->kind == MODEL_NEIGH);
	while (end < t->n &&
	       (t->kind == MODEL_ADDR ? t->addrs[end].ifindex : t->neighs[end].ifindex) == ifindex)
		end++;
	*ret_n = end - first;
	return first;
}

bool table_identical(const struct table *a, const struct table *b)
{
	return a == b || (a->n == b->n && (a->n == 0 || memcmp(a->items, b->items,
							       a->n * model_bytes(a->kind)) == 0));
}

int table_copy(const struct table *t, struct table **ret)
{
	CLEANUP(table_unrefp) struct table *copy = NULL;
	int r = table_new(&copy, t->kind);

	for (size_t i = 0; r >= 0 && i < t->n; i++)
		r = table_add(copy, table_at(t, i));
	if (r < 0)
		return err_pass(r);
	*ret = TAKE_PTR(copy);
	return 0;
}

int table_difference(const struct table *of, const struct table *without, struct table **ret)
{
	CLEANUP(table_unrefp) struct table *t = NULL;
	int r = table_new(&t, of->kind);

	for (size_t i = 0; r >= 0 && i < of->n; i++) {
		const void *same = table_find(without, table_at(of, i));

		if (!same || model_compare(of->kind, same, table_at(of, i)) != 0)
			r = table_add(t, table_at(of, i));
	}
	if (r < 0)
		return err_pass(r);
	table_seal(t);
	*ret = TAKE_PTR(t);
	return 0;
}

int table_union(const struct table *first, const struct table *second, struct table **ret)
{
	CLEANUP(table_unrefp) struct table *t = NULL;
	int r = table_copy(first, &t);

	for (size_t i = 0; r >= 0 && i < second->n; i++)
		if (!table_find(first, table_at(second, i)))
			r = table_add(t, table_at(second, i));
	if (r < 0)
		return err_pass(r);
	table_seal(t);
	*ret = TAKE_PTR(t);
	return 0;
}

/* ---- snapshots ---- */

int snapshot_init(struct snapshot *s)
{
	*s = SNAPSHOT_NULL;
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++) {
		int r = table_new(&s->tables[k], k);

		if (r < 0) {
			snapshot_done(s);
			return err_pass(r);
		}
		table_seal(s->tables[k]);
	}
	return 0;
}

void snapshot_done(struct snapshot *s)
{
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		s->tables[k] = table_unref(s->tables[k]);
	s->routes_stale = false;
}

void snapshot_copy(struct snapshot *to, const struct snapshot *from)
{
	struct snapshot copy = { .routes_stale = from->routes_stale };

	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		copy.tables[k] = table_ref(from->tables[k]);
	snapshot_done(to);
	*to = copy;
}

void snapshot_replace(struct snapshot *s, struct table *t)
{
	assert(t->sealed);
	table_unref(s->tables[t->kind]);
	s->tables[t->kind] = t;
}

bool snapshot_equal(const struct snapshot *a, const struct snapshot *b)
{
	if (a->routes_stale != b->routes_stale)
		return false;
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		if (!table_equal(a->tables[k], b->tables[k]))
			return false;
	return true;
}
