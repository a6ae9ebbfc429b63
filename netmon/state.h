/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest has confirmed, on disk: so that a restart, however it came, tells the other side
 * exactly what changed.
 *
 * How it works: <dir>/state is an append-only journal of JSON lines.
 *
 *   {"netmon":1,"boot":"<boot id>","netns":<cookie>,"sink":"cli"}           who it is about; first line
 *   {"vm":{"pid":P,"start":T}}                                             the VMM, once known
 *   {"link":{..}} {"addr":{..}} {"route":{..}} {"neigh":{..}} {"routes_stale":true}   acked, as of the last compaction
 *   {"intent":N,"verb":"add-link"} {"link+":{..}} {"addr+":{..}} ...       op N: what it takes away (-) and brings (+)
 *   {"routes_stale":false}                                                 and what becomes of that, where it may change
 *   {"begun":N}                                                            end of op N's lines: complete
 *   {"child":[PID,WHEN]}                                                   who carries it, written by the child itself before exec
 *   {"done":N} | {"undone":N}                                              how it ended
 *   {"maybe_none":true} {"maybe":{..}} ...                                 links that the other side may have beside acked: all of them
 *
 * To bring what is there already is to replace it: links, addresses and neighbours by their key,
 * routes by their value. An intent is on disk before its op begins. A file that ends inside an
 * intent without "begun" never began it, and half a line at the end was never written. With "begun"
 * and without an end the op was in flight when we were killed: state_open() hands it back as
 * pending. No fsync: the file is bound to the boot id, and page cache outlives a process.
 *
 * Identity: boot id, SO_NETNS_COOKIE, sink name, and the VM (pid and start time). What does not
 * match is another life's, and is removed. A file that can't be read is set aside as
 * state.corrupt-<n> (n up to STATE_CORRUPT_KEEP, then the oldest goes); what stood before the
 * damage counts, since a journal's prefix is true.
 *
 * A failing disk never stops the monitor: writes that fail mark the journal broken, which is said
 * once, and it is written anew (compaction) as soon as that works.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "netmon/plan.h"
#include "netmon/process-id.h"

#define STATE_FILE_NAME	   "state"
#define STATE_LINE_MAX	   4096U /* bytes; a longer line is damage */
#define STATE_BYTES_MAX	   (256U * 1024 * 1024)
#define STATE_CORRUPT_KEEP 3
#define STATE_COMPACT_MIN  (64U * 1024) /* below this the journal is not worth compacting */

struct state_identity {
	char boot_id[40]; /* /proc/sys/kernel/random/boot_id */
	uint64_t netns_cookie;
	const char *sink_name;
	struct process_id vm; /* pid 0: not known (yet) */
};

/* The op that was in flight when the last monitor was killed. */
struct state_pending {
	bool is_set;
	enum plan_verb verb;
	/*
	 * pid 0: nobody was started, or the sink has no children. start_ticks is a moment at which
	 * it was there: process_id_is_same_since(). Its start time would cost a read of /proc at
	 * every op.
	 */
	struct process_id child;
	struct link link; /* of a PLAN_LINK_* op: what it was to bring, or to take away */
	/* acked as it is if the op came through after all */
	struct snapshot if_done;
};

struct state_loaded {
	/*
	 * Nothing (valid) was there: take a baseline. Nothing is written until state_compact() is
	 * called with it, so that a kill before that is a first start again.
	 */
	bool is_fresh;
	bool was_set_aside; /* damage: the caller says so once */
	bool was_foreign;   /* another boot, namespace, sink or VM: removed */
	struct snapshot acked;
	struct state_pending pending;
	struct link *maybe; /* of state_set_maybe() */
	size_t n_maybe;
};

void state_loaded_done(struct state_loaded *l); /* usable with CLEANUP() */

struct state;

/**
 * state_open() - load what is there and write it anew, compacted
 * @dirfd: the sandbox's (or sink's) directory, borrowed for the life of @ret
 * @identity: copied; sink_name borrowed
 *
 * VM: a saved vm that differs from @identity's, or is saved while @identity knows none and that
 * process is gone, is another life's. A saved file without vm matches any. A saved vm that matches
 * is kept when @identity knows none.
 *
 * A pending op is written anew with the rest, so that it outlives any number of kills, and counts
 * as the intent that is open: it is resolved by state_outcome(), or by state_compact() with what
 * has become true. An unresolved one is undone by the next state_intent().
 * Return: 0, also when nothing can be written (see state_is_broken()); -ENOMEM, -EMFILE, -ENFILE:
 * it could not be read, and was not touched.
 */
int state_open(struct state **ret, int dirfd, const struct state_identity *identity,
	       struct state_loaded *ret_loaded);
struct state *state_free(struct state *s); /* keeps the file; returns NULL */
DEFINE_CLEANUP(struct state, state_free)

/*
 * Becomes known later than the start: the VM boots after us. Not for a VM that takes the place of
 * another: that is another life, of which nothing that was acked is true. Return: 0, also when it
 * can't be written now.
 */
int state_set_vm(struct state *s, const struct process_id *vm);

/* ---- around an op: none of these fails it, what can't be written marks the journal broken ---- */

/*
 * Writes the intent, complete, before the op begins. Routes are written as the difference between
 * plan->from and plan->to. @n: ops of one kind that go together, from @op on, with one outcome.
 */
void state_intent(struct state *s, const struct plan *plan, const struct op *op, size_t n);
/*
 * For sink_call.before_exec: async-signal-safe, runs in the child. arg is the struct state. Always
 * returns 0.
 */
int state_child_begins(void *state);
/* Without an intent in the file (it could not be written) a done op makes the journal broken. */
void state_outcome(struct state *s, bool done);
/*
 * Of the ops of the last intent only the first @n_done are done: it is undone, and they are written
 * as an intent of their own that is done.
 */
void state_outcome_part(struct state *s, const struct plan *plan, const struct op *op,
			size_t n_done);

#define STATE_MAYBE_MAX 1024 /* links; what is above is not kept */

/*
 * Links that the other side may have though acked has not: of an op whose end nobody knows. @links:
 * copied; the whole list, which takes the place of the last one. Called before an intent; writes
 * only when it changed.
 */
void state_set_maybe(struct state *s, const struct link *links, size_t n);

/*
 * Rewrites the file as @acked alone, by temporary name and rename; an intent that is open is
 * forgotten, so call it with no op in flight. Return: 0; -ENOSPC...: a broken journal is still
 * broken, a good one still good.
 */
int state_compact(struct state *s, const struct snapshot *acked);
/* No file yet, broken, or grown beyond twice its compact size: worth a compaction when idle. */
bool state_wants_compaction(const struct state *s);
bool state_is_broken(const struct state *s);

/*
 * The sandbox is gone: removes the file for good, and those set aside. Only state_free() may
 * follow.
 */
void state_remove(struct state *s);
