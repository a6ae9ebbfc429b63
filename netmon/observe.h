/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol with the kernel: events are hints, dumps are truth.
 *
 * How it works. A hint marks its kind dirty; a link or address hint marks routes too, since the
 * kernel removes IPv4 routes on link down, carrier loss and loss of the last address without a word
 * about any of them. When the loop is idle observe_step() dumps what is dirty; the other kinds are
 * shared, by reference, with the last snapshot.
 *
 *   A dump counts only if no hint of its kind came between its start and its end (the notifications
 *   are drained before and after, and the kernel queues them before it answers, so none can hide).
 *   A torn one is thrown away and repeated; when a kind has been dirty for OBSERVE_CEILING_USEC
 *   without a clean dump the torn one is used, to add: it never withdraws.
 *
 *   A dump can be too early: on link down RTM_NEWLINK is sent before the IPv4 flush. So after a
 *   link or address hint the route dump is repeated until two in a row agree, and confirmed after
 *   OBSERVE_CONFIRM_FIRST_USEC and OBSERVE_CONFIRM_LAST_USEC. A route whose device is not up, or an
 *   IPv4 one whose device has no IPv4 address, is never in seen.
 *
 *   Losses (overrun, truncation, interrupted dump) are dirt like any other, and are told to the
 *   caller for the audit. Neighbours are dumped at most every OBSERVE_NEIGH_USEC: an ARP flood is
 *   no reason to work. Rules and other tables, which are only reported, at most every
 *   OBSERVE_POLICY_USEC: the kernel can't leave the main table out of that dump.
 *
 * Pure: a kernel is struct source_ops, the clock is an argument, and so the whole of it runs
 * against a simulated kernel in the tests.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "netmon/source.h"

#define OBSERVE_CEILING_USEC	   (250 * CLOCK_USEC_PER_MSEC)
#define OBSERVE_CONFIRM_FIRST_USEC (20 * CLOCK_USEC_PER_MSEC)
#define OBSERVE_CONFIRM_LAST_USEC  (250 * CLOCK_USEC_PER_MSEC)
#define OBSERVE_NEIGH_USEC	   (250 * CLOCK_USEC_PER_MSEC)
#define OBSERVE_POLICY_USEC	   CLOCK_USEC_PER_SEC
#define OBSERVE_AGREE_TRIES	   4 /* route dumps in one step before it counts as torn */
/* A torn dump is repeated at once this often, then with a pause that grows up to the maximum. */
#define OBSERVE_TORN_AT_ONCE   3
#define OBSERVE_PAUSE_USEC     (2 * CLOCK_USEC_PER_MSEC)
#define OBSERVE_PAUSE_MAX_USEC (20 * CLOCK_USEC_PER_MSEC)
#define OBSERVE_GONE_MAX       4096 /* RTM_DELLINKs between two link dumps that are told apart */

struct observe_stats {
	uint64_t hints;
	uint64_t dumps;
	uint64_t torn;
	uint64_t forced; /* torn, and used to add */
	uint64_t overruns;
	uint64_t truncated;
	uint64_t interrupted;
	uint64_t too_early; /* a confirming dump found routes gone that no hint had told of */
};

struct observe {
	const struct source_ops *ops;
	void *source;

	struct snapshot seen;
	uint64_t generation;	  /* counts accepted changes of seen */
	bool changed;		  /* since observe_take_changed() */
	uint64_t first_hint_usec; /* of what led to the present dirt; CLOCK_NEVER: none */

	unsigned dirty; /* mask of (1U << kind) */
	struct observe_kind {
		uint64_t hints; /* so far */
		uint64_t dirty_since_usec;
		uint64_t not_before_usec; /* no dump earlier than this */
		unsigned torn_in_row;
		bool is_forced; /* what was accepted last was torn, and used to add */
	} kinds[_MODEL_KIND_MAX];

	struct observe_gone {
		uint32_t ifindex;
		uint64_t hint; /* number of the link hint that told it */
	} * gone;	       /* made at the first: most monitors never see one */
	size_t n_gone;
	bool gone_overflowed;
	unsigned read; /* mask of the kinds that were accepted at least once */
	uint32_t births;

	bool routes_doubted;
	bool confirming;
	uint64_t confirm_usec[2];

	unsigned lost;	   /* mask of (1U << enum source_condition) since observe_take_lost() */
	uint64_t now_usec; /* of the step that runs */
	struct observe_stats stats;
};

/* Everything is dirty at first. Return: 0, -ENOMEM. */
int observe_init(struct observe *o, const struct source_ops *ops, void *source, uint64_t now_usec);
void observe_done(struct observe *o); /* legal on a zeroed object; usable with CLEANUP() */

/*
 * Reads the queued notifications: for the handler of a readable socket. Return: 0; -errno: the
 * source is beyond use.
 */
int observe_drain(struct observe *o, uint64_t now_usec);

enum { _OBSERVE_IDLE = 0, OBSERVE_MORE = 1 };

/**
 * observe_step() - one step towards the truth: links and addresses, or routes, or neighbours, or
 * policy Links and addresses are a step of their own, so that the caller can act on them before a
 * long route dump.
 * Return: 0: nothing to do before observe_deadline(); OBSERVE_MORE: call again when the loop is
 * idle; -errno.
 */
int observe_step(struct observe *o, uint64_t now_usec);

/* When observe_step() has work without any further hint; CLOCK_NEVER: none. */
uint64_t observe_deadline(const struct observe *o);
/*
 * May the picture of this kind be acted on? When it is clean, and when it was forced: then it lacks
 * nothing that was there, and a namespace that is never quiet would never be told of.
 */
bool observe_is_settled(const struct observe *o, enum model_kind kind);
/* Has every kind been read at least once? Before that seen is no picture. */
bool observe_is_complete(const struct observe *o);
/* Did seen change since the last call? */
bool observe_take_changed(struct observe *o);
/* Which losses happened since the last call: mask of (1U << enum source_condition). */
unsigned observe_take_lost(struct observe *o);
/* Marks everything dirty: on demand, after a takeover. */
void observe_resync(struct observe *o, uint64_t now_usec);
