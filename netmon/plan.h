/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plan: the ordered work that turns one network (acked) into another (wanted).
 *
 * diff.c makes it; reconcile.c hands its ops one by one to a sink; plan_apply() says what the guest
 * has after the first n of them. An op is two indices into the plan's own snapshots, 12 bytes,
 * since a plan can hold 100,000 of them. Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "netmon/snapshot.h"

enum plan_verb {
	PLAN_LINK_DEL, /* from; its addresses and neighbours go with it */
	PLAN_LINK_ADD, /* to, with its addresses */
	/* from and to: name, MTU, MAC or addresses differ; from as to: a bounce, see withdraw.h */
	PLAN_LINK_UPDATE,
	PLAN_ROUTES_SET,    /* the whole set of plan->to */
	PLAN_ROUTE_DEL,	    /* from */
	PLAN_ROUTE_ADD,	    /* to */
	PLAN_ROUTE_REPLACE, /* from and to: same destination */
	PLAN_NEIGH_DEL,	    /* from */
	PLAN_NEIGH_ADD,	    /* to; an entry with another MAC is overwritten */
	_PLAN_VERB_MAX,
};

/*
 * "del-link", "add-link", "update-link", "set-routes", "del-route", "add-route", "replace-route",
 * "del-neighbour", "add-neighbour"
 */
const char *plan_verb_to_string(enum plan_verb verb);
int plan_verb_from_string(const char *s, enum plan_verb *ret);
bool plan_is_route_verb(enum plan_verb verb);
bool plan_is_neigh_verb(enum plan_verb verb);

#define PLAN_NONE UINT32_MAX

struct op {
	enum plan_verb verb;
	uint32_t from; /* index in the table of plan->from, or PLAN_NONE */
	uint32_t to;   /* index in the table of plan->to, or PLAN_NONE */
};

struct plan {
	struct snapshot from;
	struct snapshot to;
	/*
	 * The other side takes routes only as a whole (PLAN_ROUTES_SET). Then what PLAN_LINK_DEL
	 * does to the link's routes over there is not known (the 1.x runtime may leave the NIC in
	 * the guest, and its routes with it): they stay in what is acked, marked stale, until the
	 * next set. Otherwise they go with the link.
	 */
	bool routes_whole;
	/* See struct sink_caps. A link that is kept gives way to one that comes with its MAC. */
	bool keeps_links, keeps_addrs4, update_flushes;
	struct op *ops;
	size_t n;
	size_t capacity;
};

#define PLAN_NULL ((struct plan){ 0 })

void plan_done(struct plan *p); /* legal on PLAN_NULL; usable with CLEANUP() */

/* What an op is about; NULL where the verb has no such side. Valid as long as the plan. */
const struct link *plan_link_from(const struct plan *p, const struct op *op);
const struct link *plan_link_to(const struct plan *p, const struct op *op);
const struct route *plan_route_from(const struct plan *p, const struct op *op);
const struct route *plan_route_to(const struct plan *p, const struct op *op);
const struct neigh *plan_neigh_from(const struct plan *p, const struct op *op);
const struct neigh *plan_neigh_to(const struct plan *p, const struct op *op);

/**
 * plan_apply() - what the guest has after the first @n_done ops
 * @ret: taken over by the caller
 * Return: 0, -ENOMEM.
 */
int plan_apply(const struct plan *p, size_t n_done, struct snapshot *ret);

/*
 * Name of the link that the op touches, as the guest knows it ("" for PLAN_ROUTES_SET); for audit
 * and logs.
 */
const char *plan_op_interface(const struct plan *p, const struct op *op);
