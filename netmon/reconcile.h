/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From truth to work: seen -> wanted -> plan -> one op in flight -> acked.
 *
 * How it works. Each new truth (or the end of a wait) makes the plan anew: acked takes in what was
 * done, wanted = view(seen), plan = diff(acked, wanted). What may not be done now is left out of
 * the plan and has a time at which it is asked again:
 *   a link that settles, or backs off after a failure           held in the view, with its routes and neighbours
 *   the route set while the route dump is not clean, while it backs off, or sooner than
 *   RECONCILE_SET_GAP_USEC after the last one a neighbour that backs off
 * What was refused for good is left out until its value changes. Then the ops go to the sink one by
 * one. A done op advances acked; a failed one leaves it and backs off its object alone: one link
 * that always fails holds up nobody. Newer truth replaces unsent work by itself; while an op is in
 * flight nothing is planned, so that no more copies of a large table are alive than needed.
 *
 * A side that comes and goes (struct sink_ops.guest: an agent) is told nothing until it is there;
 * then it is asked what it has (adopt.h), and so again each time that it comes back. What acked says
 * beyond that is told once more: telling twice is harmless, and a guest may have been restarted.
 * Ops of one verb may go to it together; one of them that fails costs itself alone.
 *
 * Pure: the clock is an argument; the sink, the journal and the audit are handed in.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "netmon/audit.h"
#include "netmon/backoff.h"
#include "netmon/bounce.h"
#include "netmon/doubt.h"
#include "netmon/maybe.h"
#include "netmon/refused.h"
#include "netmon/settle.h"
#include "netmon/sink.h"
#include "netmon/view.h"
#include "netmon/withdraw.h"

/*
 * Refusals of a value by a side that says what it has (an agent) before it is believed: with the
 * backoff more than 12 s, so that a kernel that was busy, and the two seconds in which an address is
 * checked to be nobody else's, are over.
 */
#define RECONCILE_REFUSALS 8
/* The first change of routes goes at once; a storm is told at this pace, in whole sets. */
#define RECONCILE_SET_GAP_USEC (100 * CLOCK_USEC_PER_MSEC)

/* Where intents and outcomes are kept; state.h in the program. All may be NULL. */
struct reconcile_journal {
	/*
	 * @maybe: links that the other side may have, though acked has not; to be kept beside acked
	 */
	void (*intent)(void *userdata, const struct plan *plan, const struct op *op, size_t n,
		       const struct link *maybe, size_t n_maybe);
	/* The same ops: the first @n_done of them are done, the others are not. */
	void (*outcome)(void *userdata, const struct plan *plan, const struct op *op, size_t n,
			size_t n_done);
	int (*before_exec)(void *userdata); /* for struct sink_call */
	void *userdata;
};

struct reconcile_config {
	struct view_config view; /* its caps are the sink's */
	uint64_t settle_usec;
	enum withdraw_policy withdraw;
	struct sink *sink; /* borrowed; its done, news and userdata are set by reconcile_init() */
	struct reconcile_journal journal;
	void (*audit)(void *userdata, const struct audit_record *record); /* may be NULL */
	void (*wake)(void *userdata); /* an op ended: call reconcile_step() soon. May be NULL */
	void *userdata;
	uint64_t seed; /* of the jitter */
};

/* What the observer says about the truth of this moment. */
struct reconcile_truth {
	const struct snapshot *seen;
	uint64_t generation;
	bool routes_settled; /* the route table is clean */
};

/* What a predecessor left: see reconcile_start(). */
struct reconcile_past {
	const struct snapshot *acked; /* NULL: none, take a baseline */
	const struct link *maybe;
	size_t n_maybe;
	bool has_pending;
	enum plan_verb pending_verb;
	struct link pending_link;
	const struct snapshot *pending_if_done;
};

struct reconcile {
	struct reconcile_config config;
	struct snapshot acked;
	struct snapshot wanted; /* the last one */
	struct plan plan;
	size_t cursor; /* ops of the plan that are done */
	bool is_started;
	bool is_reachable;    /* a side that comes and goes is there now: SINK_READY */
	bool must_adopt;      /* what it has was not asked since */
	unsigned denied_said; /* 1U << enum model_kind: audited, see sink_caps.denied */
	struct doubt doubt;
	size_t in_flight; /* ops, from cursor on */
	size_t n_unknown; /* routes or neighbours from cursor on that may be done already */
	uint64_t begun_usec;
	uint64_t planned_generation;
	uint64_t generation; /* of the newest truth */
	bool must_plan;
	bool routes_wait; /* a route op was left out until the route dump is clean */
	uint64_t plan_again_usec;
	uint64_t last_set_usec;
	struct settle settle;
	struct refused refused;
	struct view_notes notes;
	uint64_t *audited; /* hashes of the notes that were audited, in the order of notes */
	size_t n_audited;
	struct backoff backoff;
	struct withdraw withdraw; /* links that the present plan bounces */
	struct bounces bounces;
	struct maybe maybe;
	bool routes_doubted; /* a route set failed: what the other side has now is not known */
	struct link
		/* of an op that left the other side otherwise than acked says; ifindex 0: none */
		doubted;
	enum plan_verb doubted_verb;
	uint64_t now_usec;
	struct reconcile_stats {
		uint64_t ops, retries, refused, plans;
	} stats;
};

int reconcile_init(struct reconcile *r, const struct reconcile_config *config);
void reconcile_done(struct reconcile *r); /* legal on a zeroed object; usable with CLEANUP() */

/**
 * reconcile_start() - say what the other side has already
 * With nothing of the past: an empty guest, or for a sink that cold-plugs the baseline
 * (view_baseline()), where links that are down but addressed count as "maybe there".
 * (A side that says itself what it has: nothing, until it says.)
 * With a past: its acked. An op that was in flight is told again in the one way that loses nothing:
 * an addition whose link is still there is repeated as "maybe done"; one whose link is gone is
 * taken back by a deletion; a deletion is repeated; a route set is due.
 *
 * Called once, with the first complete truth. Return: 0, -ENOMEM.
 */
int reconcile_start(struct reconcile *r, const struct reconcile_past *past,
		    const struct reconcile_truth *truth);

/**
 * reconcile_step() - plan if there is reason, begin the next op if there is one
 * Cheap when there is nothing to do. Return: 0; -ENOMEM (ask again later).
 */
int reconcile_step(struct reconcile *r, const struct reconcile_truth *truth, uint64_t now_usec);

/* When reconcile_step() has work without news; CLOCK_NEVER. */
uint64_t reconcile_deadline(const struct reconcile *r);
/* Nothing in flight, nothing planned, nothing waiting. */
bool reconcile_is_idle(const struct reconcile *r);
/* What the guest has, with the ops of the present plan that are done. @ret: the caller's. */
int reconcile_acked(const struct reconcile *r, struct snapshot *ret);
/* The same with what waits to be told once more: what is to be kept on disk. Return: 0, -ENOMEM. */
int reconcile_acked_at_rest(const struct reconcile *r, struct snapshot *ret);
/* Things of the pod that the guest can't be told: notes and refusals. */
size_t reconcile_drift(const struct reconcile *r);
