/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables and snapshots: a network at one moment, immutable once sealed, shared by reference.
 *
 * A table is filled (table_add), sealed (sorted, duplicates dropped) and from then on never
 * changes; a snapshot is one table a kind. A partial dump replaces one table and shares the others.
 * Pure: no library, no clock, no file, no log.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "netmon/model.h"

#define SNAPSHOT_MAX_LINKS  16384U
#define SNAPSHOT_MAX_ADDRS  65536U
#define SNAPSHOT_MAX_ROUTES 1000000U /* 61 MiB: a pod that holds a full BGP table */
#define SNAPSHOT_MAX_NEIGHS 65536U
#define SNAPSHOT_MAX_POLICY 4096U

struct table {
	unsigned refs;
	enum model_kind kind;
	bool sealed;
	bool sorted; /* while filling: each item was above the last */
	size_t n;
	size_t capacity;
	size_t left_out; /* items over the limit of the kind */
	union {
		void *items;
		struct link *links;
		struct addr *addrs;
		struct route *routes;
		struct neigh *neighs;
		struct policy *policies;
	};
};

enum { _TABLE_OK = 0, TABLE_FULL = 1 };

/* Return: 0, -ENOMEM. The new table has one reference. */
int table_new(struct table **ret, enum model_kind kind);
/* A new table, not sealed, with the same items. Return: 0, -ENOMEM. */
int table_copy(const struct table *t, struct table **ret);
struct table *table_ref(struct table *t);
struct table *table_unref(struct table *t); /* NULL is fine; returns NULL */
DEFINE_CLEANUP(struct table, table_unref)

/*
 * Copies *@item to the end. Return: 0; TABLE_FULL (counted in left_out, the table stays good);
 * -ENOMEM.
 */
int table_add(struct table *t, const void *item);
/* Sorts by model_compare(), drops equal items, gives unused memory back. */
void table_seal(struct table *t);
const void *table_at(const struct table *t, size_t i);
/* First item of a sealed table whose key is not below @key's; t->n if none. */
size_t table_lower_bound(const struct table *t, const void *key);
/* Item with that key, or NULL. */
const void *table_find(const struct table *t, const void *key);
bool table_equal(const struct table *a, const struct table *b);
/* Equal also in what is not part of the value. */
bool table_identical(const struct table *a, const struct table *b);

/* All of @of that is not, by value, in @without: a sealed table. Return: 0, -ENOMEM. */
int table_difference(const struct table *of, const struct table *without, struct table **ret);
/* All of @first, and of @second what has no key in @first: a sealed table. Return: 0, -ENOMEM. */
int table_union(const struct table *first, const struct table *second, struct table **ret);

const struct link *table_find_link(const struct table *links, uint32_t ifindex);
/*
 * The addresses (or neighbours) of a link are neighbours in the table: index of the first, number
 * in *ret_n.
 */
size_t table_range_of_link(const struct table *t, uint32_t ifindex, size_t *ret_n);

struct snapshot {
	/* each sealed and never NULL after snapshot_init() */
	struct table *tables[_MODEL_KIND_MAX];
	/*
	 * acked only: the guest's routes are not what tables[MODEL_ROUTE] says (a link that carried
	 * some was unplugged under a whole-set protocol, or nothing was ever sent): the set is due
	 * even when it looks equal.
	 */
	bool routes_stale;
};

#define SNAPSHOT_NULL ((struct snapshot){ 0 })

int snapshot_init(struct snapshot *s);	/* empty tables. Return: 0, -ENOMEM */
void snapshot_done(struct snapshot *s); /* legal on SNAPSHOT_NULL; usable with CLEANUP() */
void snapshot_copy(struct snapshot *to,
		   const struct snapshot *from); /* @to is done first; shares all tables */
/* Takes @t (a sealed table of its kind). */
void snapshot_replace(struct snapshot *s, struct table *t);
bool snapshot_equal(const struct snapshot *a, const struct snapshot *b);

static inline const struct table *snapshot_links(const struct snapshot *s)
{
	return s->tables[MODEL_LINK];
}
static inline const struct table *snapshot_addrs(const struct snapshot *s)
{
	return s->tables[MODEL_ADDR];
}
static inline const struct table *snapshot_routes(const struct snapshot *s)
{
	return s->tables[MODEL_ROUTE];
}
static inline const struct table *snapshot_neighs(const struct snapshot *s)
{
	return s->tables[MODEL_NEIGH];
}
static inline const struct table *snapshot_policies(const struct snapshot *s)
{
	return s->tables[MODEL_POLICY];
}
