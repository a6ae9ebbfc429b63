/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sink carries ops to the other side: the runtime's command line, a guest agent, a VMM, a record.
 *
 * One new sink is one file with a struct sink_ops and one row in the table of netmon.c. reconcile.c
 * knows of a sink only what stands here, and has at most one op in flight.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "netmon/plan.h"

enum sink_result {
	SINK_DONE,    /* the other side has it */
	SINK_RETRY,   /* not now: back off, ask again */
	SINK_REFUSED, /* not this value, ever (asked twice before it is believed) */
	/* of a link: the other side has it, but otherwise; it has to be taken back first */
	SINK_STALE,
	_SINK_RESULT_MAX,
};

const char *sink_result_to_string(enum sink_result r); /* "done", "retry", "refused", "stale" */

/*
 * What the other side can be told; view.c and diff.c read it, so that no sink gets what it can't
 * carry.
 */
struct sink_caps {
	bool routes_whole; /* only the whole set (PLAN_ROUTES_SET), never one route */
	/* PLAN_LINK_UPDATE; without it a change is a replug or drift, by --on-change */
	bool updates_links;
	bool neighbours; /* PLAN_NEIGH_* */
	/* at a first start the links that are up and addressed are known already */
	bool cold_plugged;
	bool settles;	   /* a new link waits for its addresses (settle.h) */
	bool route_mtu;	   /* a route's MTU can be said */
	bool route_onlink; /* a route's onlink flag can be said */
	bool route_family; /* a default route without gateway says its family */
	/*
	 * What the other side has no word to take back. It stays in acked, which says what is true
	 * over there, is reported as drift, and no op is made for it.
	 */
	bool keeps_links;
	bool keeps_addrs4; /* IPv4 alone: an IPv6 address goes when a change takes the link down */
	bool keeps_routes;
	bool keeps_neighs;
	/*
	 * PLAN_LINK_ADD and PLAN_LINK_UPDATE take the link down over there: its routes go, and are
	 * told again after it.
	 */
	bool update_flushes;
	/* Ops of one verb, beside each other in the plan, that may be handed over at once; 0 is 1 */
	unsigned batch_max;
	/* 1U << enum model_kind: of these the other side takes none (its policy, an old agent) */
	unsigned denied;
};

/* What the other side says that it has. */
struct sink_guest {
	/*
	 * Numbered by the other side: links are known by their MAC, what has none is left out; the
	 * others name links of this snapshot. Guest form.
	 */
	struct snapshot net;
	/* false: it did not say which links it has; net is empty and says nothing */
	bool is_known;
	/* Routes and neighbours are told as they are, all of them ours; otherwise they say nothing */
	bool is_exact;
};

enum sink_news {
	SINK_READY, /* (again) reachable: caps and guest() are those of now, ops may begin */
	SINK_LOST,  /* not reachable: no op may begin until SINK_READY */
	SINK_CAPS,  /* caps have changed, and nothing else */
};

struct sink;

struct sink_call {
	const struct plan *plan; /* borrowed until done */
	const struct op *op;	 /* the first of @n of the same verb, beside each other */
	size_t n;		 /* 1, or up to caps.batch_max */
	/*
	 * The other side may have this already (an op in flight when we were killed; a link that
	 * was down but addressed when a first start took stock): ask where it can be asked;
	 * "exists" counts as done.
	 */
	bool maybe_done;
	/*
	 * For sinks that spawn: run it in the child before exec (async-signal-safe), it writes down
	 * who carries this op (see state.h). May be NULL.
	 */
	int (*before_exec)(void *arg);
	void *arg;
};

struct sink_ops {
	const char *name;
	struct sink_caps caps; /* before it is known more: see struct sink */
	/*
	 * Starts one op. Exactly one call of sink->done follows, never from within begin().
	 * Return: 0; -errno: could not even start (no fds, no memory, no disk): the caller treats
	 * it as SINK_RETRY, and no done follows.
	 */
	int (*begin)(struct sink *s, const struct sink_call *call);
	/*
	 * NULL: the other side is always there, and acked on disk is what it has. Otherwise nothing
	 * begins before SINK_READY; then this says what is there. @ret: zeroed, the caller's.
	 * Return: 0, -ENOMEM.
	 */
	int (*guest)(struct sink *s, struct sink_guest *ret);
	/*
	 * For orderly ends. @sandbox_gone: kill what is in flight; otherwise leave it running for a
	 * successor. Removes what is only ours (shared.json). No done follows.
	 */
	void (*stop)(struct sink *s, bool sandbox_gone);
	struct sink *(*free)(struct sink *s); /* returns NULL */
};

struct sink_outcome {
	enum sink_result result; /* of op @n_done of the call, or, when done, of all */
	size_t n_done;		 /* of more than one: so many are done before the one of @result */
	/*
	 * Of more than one: not one of them is to blame (no answer, no connection, no memory over
	 * there).
	 */
	bool is_of_all;
	bool is_final; /* SINK_REFUSED: believed at once (its policy) */
	/*
	 * PLAN_ROUTES_SET that is SINK_REFUSED: the one of plan->to that is to blame, NULL: it is
	 * not known. It is left out of the sets that follow, and asked about again later.
	 */
	const struct route *blamed;
	/* for people, hostile bytes possible, borrowed for the call; "" when done */
	const char *reason;
	uint64_t duration_usec;
	/*
	 * Not done, but the other side may have it all the same: who was carrying it was killed at
	 * its deadline, or died. An addition is asked about (maybe_done) before it is repeated, and
	 * is taken back when its link goes meanwhile.
	 */
	bool is_unknown;
};

struct sink {
	const struct sink_ops *ops;
	const struct sink_caps *caps; /* NULL: ops->caps. May change with news */
	void (*done)(void *userdata, const struct sink_outcome *outcome);
	/* From the loop, never from within begin(). An op in flight is told done before SINK_LOST. */
	void (*news)(void *userdata, enum sink_news news);
	void *userdata;
};
