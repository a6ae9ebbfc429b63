/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what the kernel has to what the guest should see.
 *
 * Pure: the answer depends on the arguments alone and not on the order of anything.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netmon/sink.h"
#include "netmon/snapshot.h"

enum view_kind {
	VIEW_KIND_VETH,
	VIEW_KIND_TAP,
	VIEW_KIND_MACVLAN,
	VIEW_KIND_IPVLAN,
	VIEW_KIND_PHYSICAL,
	_VIEW_KIND_MAX,
};

#define VIEW_KINDS_DEFAULT                                                      \
	(1U << VIEW_KIND_VETH | 1U << VIEW_KIND_TAP | 1U << VIEW_KIND_MACVLAN | \
	 1U << VIEW_KIND_IPVLAN)

const char *view_kind_to_string(
	enum view_kind k); /* "veth", "tap", "macvlan", "ipvlan", "physical" */
int view_kind_from_string(const char *s, enum view_kind *ret); /* -EINVAL */

enum view_on_change {
	VIEW_ON_CHANGE_IGNORE, /* kept as drift */
	VIEW_ON_CHANGE_REPLUG,
	_VIEW_ON_CHANGE_MAX,
};

int view_on_change_from_string(const char *s, enum view_on_change *ret); /* -EINVAL */

/* ---- what can't be told: notes ---- */

enum view_reason {
	VIEW_NOT_PLUGGABLE, /* a link of another kind, or without a MAC of 6 bytes */
	VIEW_DUPLICATE_MAC, /* MAC is the guest's key: only the first announced goes */
	/* a known link changed, and the other side can't be told (--on-change ignore) */
	VIEW_CHANGE_IGNORED,
	VIEW_REFUSED,		  /* the other side has turned it down for good */
	VIEW_NO_PREFIX_ROUTE,	  /* an address with noprefixroute: the guest will make the route */
	VIEW_UNSAYABLE_ROUTE,	  /* see enum model_unsayable */
	VIEW_DEFAULT6_NO_GATEWAY, /* "Dest":"" without gateway is read as IPv4 */
	VIEW_NEIGHBOUR,		  /* a permanent neighbour, and the other side has no word for it */
	VIEW_POLICY,		  /* a rule, or routes in another table */
	/* gone from the pod, and the other side has no word to take it back (sink_caps.keeps_*) */
	VIEW_GUEST_ONLY,
	_VIEW_REASON_MAX,
};

const char *view_reason_to_string(enum view_reason r); /* "not-pluggable", "duplicate-mac", ... */

#define VIEW_NOTES_MAX 256 /* kept one by one; the rest is counted */

struct view_note {
	enum view_reason reason;
	enum model_kind kind;
	uint32_t ifindex; /* 0: none */
	uint64_t hash;	  /* of reason and value: the same note has the same hash */
	union {
		struct link link;
		struct addr addr;
		struct route route;
		struct neigh neigh;
		struct policy policy;
	};
};

struct view_notes {
	struct view_note *notes;
	size_t n;
	size_t n_all; /* with those beyond VIEW_NOTES_MAX: the drift */
};

void view_notes_done(struct view_notes *n); /* legal on { 0 }; usable with CLEANUP() */
/* @value: of @kind, copied. Return: 0, -ENOMEM. */
int view_notes_add(struct view_notes *notes, enum view_reason reason, enum model_kind kind,
		   const void *value, uint32_t ifindex);

/* ---- the view ---- */

#define VIEW_REPLUG_WINDOW_USEC (30 * UINT64_C(1000000)) /* IPv6 may come 10 s after IPv4 */

struct refused;

struct view_config {
	unsigned kinds;		   /* mask of (1U << enum view_kind) */
	const char *const *ignore; /* globs, as fnmatch(3); borrowed */
	size_t n_ignore;
	bool link_local; /* tell IPv6 link-local addresses too */
	enum view_on_change on_change;
	struct sink_caps caps;
};

struct view_input {
	const struct snapshot *seen;
	const struct snapshot *acked;
	/*
	 * The last wanted (acked at a start). Learnt state of a link that is announced stays once
	 * it was seen: the pod's own stack is deaf on a redirected link, so that its expiry means
	 * nothing.
	 */
	const struct snapshot *previous;
	/*
	 * Links that back off, as ifindexes: not announced, changed or withdrawn now. They stay as
	 * they are in acked, and keep their MAC.
	 */
	const uint32_t *held;
	size_t n_held;
	/*
	 * Links that settle: not announced or changed now. Another life of theirs that acked has
	 * goes all the same: the guest may have lost it already, and a route by it would be
	 * refused.
	 */
	const uint32_t *settling;
	size_t n_settling;
	struct refused *refused; /* asked, see refused_is_final() */
	uint64_t now_usec;
};

/**
 * view_build() - what the guest should see
 * @ret_wanted: guest form, the caller's
 * @notes: emptied and filled
 * Return: 0, -ENOMEM.
 */
int view_build(const struct view_config *config, const struct view_input *in,
	       struct snapshot *ret_wanted, struct view_notes *notes);

/**
 * view_baseline() - what a runtime that cold-plugs has told its guest before we came
 * Every link that is up and has an address, but for loopback, the runtime's own and the ignored;
 * routes are stale, so that one set goes once the VM answers. A link that is down is not in it: it
 * is new when it comes up.
 * @ret: guest form, the caller's. Return: 0, -ENOMEM.
 */
int view_baseline(const struct view_config *config, const struct snapshot *seen,
		  struct snapshot *ret);

/* Of a kind, name and place that may be announced at all (readiness apart)? */
bool view_is_pluggable(const struct view_config *config, const struct snapshot *seen,
		       const struct link *l);
/*
 * IFF_UP with carrier; for a tap IFF_UP is enough, since its reader is the VMM that we are about to
 * attach.
 */
bool view_is_ready(const struct link *l);
/* Hash over the addresses that count; *ret_n their number. */
uint64_t view_addrs_hash(const struct view_config *config, const struct snapshot *seen,
			 uint32_t ifindex, size_t *ret_n);
/* Hash of a link with its addresses in guest form: the key of its refusal. */
uint64_t view_link_hash(const struct link *l, const struct addr *addrs, size_t n_addrs);
