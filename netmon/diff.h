/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The difference of two networks as a plan. Pure.
 *
 * Laws (tests/unit/test-diff.c): diff(a, a) is empty; applying all of diff(a, b) to a gives b;
 * every prefix can be applied; the order of input does not matter. Where the other side keeps what
 * it has (sink_caps.keeps_*), a plan has no op for that, and b has it still.
 */
#pragma once

#include "netmon/plan.h"
#include "netmon/sink.h"

/**
 * diff_plan() - the work that turns @from into @to
 * @from, @to: guest form (routes and neighbours unique by key); shared by the plan
 * @caps: what the other side can be told: whole sets of routes; no link updates (then a changed
 *        link is deleted and added); no neighbours
 *
 * Order: links deleted, added, updated; routes, an on-link one before those it carries (deletions
 * the other way round); neighbours. Where links can't be updated, deletions of all changed links
 * come first, too: of two links that swap names neither is in the way.
 *
 * Return: 0; -ENOMEM. @ret is replaced, not freed.
 */
int diff_plan(const struct snapshot *from, const struct snapshot *to, const struct sink_caps *caps,
	      struct plan *ret);

/*
 * The same, and a link of @bounce (ifindexes) that stays as it is is updated all the same, for what
 * that takes down over there; see withdraw.h.
 */
int diff_plan_bouncing(const struct snapshot *from, const struct snapshot *to,
		       const struct sink_caps *caps, const uint32_t *bounce, size_t n_bounce,
		       struct plan *ret);
