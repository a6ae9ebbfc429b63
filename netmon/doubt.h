/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes and neighbours of which nobody knows whether the other side has them: told to a side that
 * has come back since and does not say what it has; or part of a call that nobody answered.
 *
 * In acked they are as if they were there, so that they can be taken back. As soon as one is wanted
 * it is taken out of acked, so that the difference tells it once more. What a plan was to tell once
 * more and did not come to is put back first when the next one is made.
 *
 * (Links and whole sets of routes in doubt are reconcile.c's own: a mark in acked says so.) Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netmon/plan.h"
#include "netmon/snapshot.h"

struct doubt {
	struct table *entries[_MODEL_KIND_MAX]; /* NULL: none */
	struct table *retold[_MODEL_KIND_MAX];	/* those that the present plan tells once more */
	/*
	 * Routes that may be there in the place of doubtful ones to the same destination: those were
	 * to replace them.
	 */
	struct table *instead;
};

void doubt_done(struct doubt *d); /* legal on a zeroed one */

/* The other side is back. @is_exact: it says what it has, and that is in @acked: no doubt is left. */
void doubt_return(struct doubt *d, const struct snapshot *acked, bool routes_whole, bool is_exact);

/*
 * Whether routes or neighbours of such an op count as put, to be doubted, when nobody knows how it
 * ended. Others (deletions) count as there still.
 */
bool doubt_is_put(enum plan_verb verb);
/* @op: the first of @n routes or neighbours; nobody knows how it ended. Return: 0, -ENOMEM. */
int doubt_ops(struct doubt *d, const struct plan *p, const struct op *op, size_t n);

/* All routes of a link went over there. */
void doubt_flushed(struct doubt *d, uint32_t ifindex);

/*
 * After a plan: what is not in @acked any more was taken back, and @acked gets back what was not
 * told. Return: 0, -ENOMEM.
 */
int doubt_put_back(struct doubt *d, struct snapshot *acked);
/* The same for a copy of acked while the plan is there: for the disk. Return: 0, -ENOMEM. */
int doubt_complete(const struct doubt *d, struct snapshot *acked);
/* Before the difference is made: takes out of @acked what is to be told. Return: 0, -ENOMEM. */
int doubt_retell(struct doubt *d, struct snapshot *acked, const struct snapshot *wanted);
