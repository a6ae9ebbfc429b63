/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From truth to work. See reconcile.h for how it works.
 */
#include "netmon/reconcile.h"

#include <errno.h>
#include <linux/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "netmon/adopt.h"
#include "netmon/diff.h"
#include "netmon/object.h"

/* ---- acked, as it may differ from what was told ---- */

/*
 * Puts a link into acked, so that the difference takes it back. Its addresses go with it over
 * there.
 */
static int assume_acked(struct reconcile *r, const struct link *l)
{
	CLEANUP(table_unrefp) struct table *t = NULL;
	int e = table_copy(snapshot_links(&r->acked), &t);

	if (e >= 0)
		e = table_add(t, l);
	if (e < 0)
		return err_pass(e);
	table_seal(t);
	snapshot_replace(&r->acked, TAKE_PTR(t));
	return 0;
}

/*
 * Makes acked's link differ from every link that can be seen, so that it is told again: as another
 * life, or as a change.
 */
static int doubt_link(struct reconcile *r, uint32_t ifindex, bool as_another_life)
{
	CLEANUP(table_unrefp) struct table *t = NULL;
	int e = table_copy(snapshot_links(&r->acked), &t);

	if (e < 0)
		return err_pass(e);
	for (size_t i = 0; i < t->n; i++) {
		if (t->links[i].ifindex != ifindex)
			continue;
		if (as_another_life)
			t->links[i].incarnation = UINT32_MAX;
		else
			t->links[i].mtu = 0;
	}
	table_seal(t);
	snapshot_replace(&r->acked, TAKE_PTR(t));
	return 0;
}

/*
 * A link that may have been told and is gone since has to be taken back: an unknown one costs the
 * other side nothing.
 */
static int take_back_what_went(struct reconcile *r, const struct snapshot *seen)
{
	for (size_t i = 0; i < r->maybe.n; i++) {
		const struct link *l = &r->maybe.links[i];
		const struct link *now = table_find_link(snapshot_links(seen), l->ifindex);

		if ((now && now->incarnation == l->incarnation) ||
		    table_find_link(snapshot_links(&r->acked), l->ifindex))
			continue;
		/* It stays a maybe until it is taken back: we may be killed before that. */
		int e = assume_acked(r, l);

		if (e < 0)
			return err_pass(e);
	}
	return 0;
}

/* ---- audit ---- */

static void audit(const struct reconcile *r, struct audit_record record)
{
	if (!r->config.audit)
		return;
	record.generation = r->planned_generation;
	r->config.audit(r->config.userdata, &record);
}

/* What failed as a part of many counts with them. */
static unsigned attempt_of(const struct reconcile *r, const struct op *op)
{
	unsigned own = backoff_attempt(&r->backoff, object_of_op(&r->plan, op));
	unsigned of_all = backoff_attempt(&r->backoff, object_of_group(&r->plan, op));

	return own > of_all ? own : of_all;
}

static void audit_outcome(const struct reconcile *r, const struct op *op, enum sink_result result,
			  uint64_t duration_usec, const char *reason)
{
	audit(r, (struct audit_record){
			 .kind = AUDIT_OP,
			 .op = plan_verb_to_string(op->verb),
			 .interface = plan_op_interface(&r->plan, op),
			 .attempt = attempt_of(r, op),
			 .result = sink_result_to_string(result),
			 .duration_usec = duration_usec,
			 .reason = reason,
		 });
}

/* Ops that went together and are done have one record: the first of them, and how many. */
static void audit_done(const struct reconcile *r, const struct op *op, size_t n,
		       const struct sink_outcome *outcome)
{
	char how_many[32] = "";

	if (n > 1)
		(void)snprintf(how_many, sizeof(how_many), "%zu of them", n);
	audit_outcome(r, op, SINK_DONE, outcome->duration_usec, how_many);
}

static void audit_note(const struct reconcile *r, const struct view_note *note,
		       const struct snapshot *seen)
{
	CLEANUP(text_done) struct text reason = TEXT_NULL;
	const struct link *l = table_find_link(snapshot_links(seen), note->ifindex);

	text_append_str(&reason, view_reason_to_string(note->reason));
	text_append_str(&reason, ": ");
	model_describe(note->kind, &note->link, &reason);
	audit(r, (struct audit_record){
			 .kind = AUDIT_DRIFT,
			 .op = "drift",
			 .interface = l ? l->name : "",
			 .attempt = 1,
			 .result = "reported",
			 .reason = reason.data ? reason.data : "",
		 });
}

static bool was_audited(const struct reconcile *r, uint64_t hash)
{
	for (size_t i = 0; i < r->n_audited; i++)
		if (r->audited[i] == hash)
			return true;
	return false;
}

/* Each once, for as long as it stands. */
static int audit_notes(struct reconcile *r, const struct snapshot *seen)
{
	uint64_t *hashes = calloc(r->notes.n + 1, sizeof(*hashes));

	if (!hashes)
		return err_raise(-ENOMEM, "audit the drift");
	for (size_t i = 0; i < r->notes.n; i++) {
		hashes[i] = r->notes.notes[i].hash;
		if (!was_audited(r, hashes[i]))
			audit_note(r, &r->notes.notes[i], seen);
	}
	free(r->audited);
	r->audited = hashes;
	r->n_audited = r->notes.n;
	return 0;
}

/* ---- planning ---- */

/* What the last failure left over there differs from acked, and has to be set right. */
static int fold_doubt(struct reconcile *r)
{
	struct link l = r->doubted;
	int e = 0;

	if (l.ifindex && r->doubted_verb == PLAN_LINK_ADD &&
	    !table_find_link(snapshot_links(&r->acked), l.ifindex))
		e = assume_acked(r, &l);
	if (e >= 0 && l.ifindex)
		e = doubt_link(r, l.ifindex, r->doubted_verb != PLAN_LINK_UPDATE);
	if (e < 0)
		return err_pass(e);
	r->doubted = (struct link){ 0 };
	return 0;
}

static void sink_guest_done(struct sink_guest *g)
{
	snapshot_done(&g->net);
}

/*
 * It did not say: each link is told once more, with all its addresses, at the cost of a moment
 * without routes where an update is one. A guest that was restarted has nothing.
 */
static int doubt_all_links(struct reconcile *r)
{
	CLEANUP(table_unrefp) struct table *links = NULL;
	CLEANUP(table_unrefp) struct table *addrs = NULL;
	int e = table_copy(snapshot_links(&r->acked), &links);

	if (e >= 0)
		e = table_new(&addrs, MODEL_ADDR);
	if (e < 0)
		return err_pass(e);
	for (size_t i = 0; i < links->n; i++)
		links->links[i].mtu = 0;
	table_seal(links);
	table_seal(addrs);
	snapshot_replace(&r->acked, TAKE_PTR(links));
	snapshot_replace(&r->acked, TAKE_PTR(addrs));
	return 0;
}

static int adopt_known(struct reconcile *r, const struct snapshot *seen,
		       const struct sink_guest *guest)
{
	struct snapshot acked = SNAPSHOT_NULL;
	int e = adopt_guest(&r->config.view, &r->acked, seen, guest, &acked);

	if (e < 0)
		return err_pass(e);
	snapshot_done(&r->acked);
	r->acked = acked;
	maybe_done(&r->maybe); /* which links it has is known */
	return 0;
}

/* The other side is there (again): acked is what it says that it has. */
static int adopt(struct reconcile *r, const struct snapshot *seen)
{
	CLEANUP(sink_guest_done) struct sink_guest guest = { 0 };
	bool routes_whole = r->config.view.caps.routes_whole;
	int e = r->config.sink->ops->guest(r->config.sink, &guest);

	if (e >= 0)
		e = guest.is_known ? adopt_known(r, seen, &guest) : doubt_all_links(r);
	if (e < 0)
		return err_pass(e);
	r->acked.routes_stale = routes_whole;
	r->must_adopt = false;
	doubt_return(&r->doubt, &r->acked, routes_whole, guest.is_known && guest.is_exact);
	audit(r, (struct audit_record){
			 .kind = AUDIT_RESYNC,
			 .op = "resync",
			 .interface = "",
			 .attempt = 1,
			 .result = "done",
			 .reason = guest.is_known ? "the guest said what it has"
						  : "the guest did not say what it has",
		 });
	return 0;
}

/* What may have been in the place of a doubtful route went with the others of its link. */
static void forget_flushed(struct reconcile *r)
{
	for (size_t i = 0; r->plan.update_flushes && i < r->cursor; i++)
		if (r->plan.ops[i].verb == PLAN_LINK_UPDATE)
			doubt_flushed(&r->doubt, plan_link_to(&r->plan, &r->plan.ops[i])->ifindex);
}

static int fold_ops(struct reconcile *r)
{
	struct snapshot acked = SNAPSHOT_NULL;
	size_t n = r->cursor;
	int e = 0;

	if (r->n_unknown > 0 && doubt_is_put(r->plan.ops[r->cursor].verb))
		n += r->n_unknown;
	if (n > 0)
		e = plan_apply(&r->plan, n, &acked);
	if (e >= 0 && r->n_unknown > 0)
		e = doubt_ops(&r->doubt, &r->plan, &r->plan.ops[r->cursor], r->n_unknown);
	if (e < 0) {
		snapshot_done(&acked);
		return err_pass(e);
	}
	if (n > 0) {
		snapshot_done(&r->acked);
		r->acked = acked;
	}
	forget_flushed(r);
	plan_done(&r->plan);
	r->cursor = r->n_unknown = 0;
	return 0;
}

/* acked takes in what was done. */
static int fold(struct reconcile *r)
{
	int e = fold_ops(r);

	if (e >= 0)
		e = doubt_put_back(&r->doubt, &r->acked);
	if (e < 0)
		return err_pass(e);
	if (r->routes_doubted)
		r->acked.routes_stale = true;
	r->routes_doubted = false;
	return err_pass(fold_doubt(r));
}

/* Which links may not be told now; see struct view_input. */
struct waiting {
	uint32_t *settling, *held;
	size_t n_settling, n_held;
};

static void waiting_done(struct waiting *w)
{
	free(w->settling);
	free(w->held);
}

static int collect_waiting(const struct reconcile *r, const struct snapshot *seen,
			   struct waiting *ret)
{
	const struct table *links = snapshot_links(seen);
	const struct table *acked = snapshot_links(&r->acked);

	ret->settling = calloc(links->n + 1, sizeof(*ret->settling));
	ret->held = calloc(links->n + acked->n + 1, sizeof(*ret->held));
	if (!ret->settling || !ret->held)
		return err_raise(-ENOMEM, "hold links back");
	for (size_t i = 0; i < links->n; i++) {
		uint32_t ifindex = links->links[i].ifindex;

		if (settle_is_held(&r->settle, ifindex, r->now_usec))
			ret->settling[ret->n_settling++] = ifindex;
		if (backoff_is_waiting(&r->backoff, object_of_link(ifindex), r->now_usec))
			ret->held[ret->n_held++] = ifindex;
	}
	for (size_t i = 0; i < acked->n; i++)
		if (backoff_is_waiting(&r->backoff, object_of_link(acked->links[i].ifindex),
				       r->now_usec))
			ret->held[ret->n_held++] = acked->links[i].ifindex;
	return 0;
}

/*
 * Equal tables are made one: in the quiet state a table of 100,000 routes is there once for the
 * guest, not twice.
 */
static void share_equal(struct snapshot *s, const struct snapshot *with)
{
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		if (s->tables[k] != with->tables[k] && (k == MODEL_ROUTE || k == MODEL_NEIGH) &&
		    table_identical(s->tables[k], with->tables[k]))
			snapshot_replace(s, table_ref(with->tables[k]));
}

static int make_wanted(struct reconcile *r, const struct snapshot *seen)
{
	CLEANUP(waiting_done) struct waiting waiting = { 0 };
	struct snapshot wanted = SNAPSHOT_NULL;
	struct view_input in = {
		.seen = seen,
		.acked = &r->acked,
		.previous = &r->wanted,
		.refused = &r->refused,
		.now_usec = r->now_usec,
	};
	int e = collect_waiting(r, seen, &waiting);

	if (e < 0)
		return err_pass(e);
	in.held = waiting.held;
	in.n_held = waiting.n_held;
	in.settling = waiting.settling;
	in.n_settling = waiting.n_settling;
	e = view_build(&r->config.view, &in, &wanted, &r->notes);
	if (e < 0)
		return err_pass(e);
	snapshot_done(&r->wanted);
	r->wanted = wanted;
	return 0;
}

static void ask_again_at(struct reconcile *r, uint64_t usec)
{
	if (usec < r->plan_again_usec)
		r->plan_again_usec = usec;
}

/* By the present plan. */
static bool is_bounced(const struct reconcile *r, uint32_t ifindex)
{
	for (size_t i = 0; i < r->withdraw.n_bounce; i++)
		if (r->withdraw.bounce[i] == ifindex)
			return true;
	return false;
}

/* Does the op wait, or what it belongs to? The time is in plan_again_usec: see tidy_plan(). */
static bool is_waiting(struct reconcile *r, const struct op *op)
{
	bool waits = backoff_use(&r->backoff, object_of_op(&r->plan, op), r->now_usec);

	return backoff_use(&r->backoff, object_of_group(&r->plan, op), r->now_usec) || waits;
}

static bool is_refused(struct reconcile *r, const struct op *op)
{
	return r->refused.entries.n > 0 &&
	       refused_is_final(&r->refused, object_value(&r->plan, op));
}

/* May this op be done now? If not, sees to it that it is asked again. */
static bool may_begin(struct reconcile *r, const struct reconcile_truth *truth, const struct op *op)
{
	uint64_t gap_usec = r->last_set_usec + RECONCILE_SET_GAP_USEC;

	if (is_refused(r, op) || is_waiting(r, op))
		return false;
	if (plan_is_route_verb(op->verb) && !truth->routes_settled) {
		r->routes_wait = true;
		return false;
	}
	if (op->verb == PLAN_ROUTES_SET && r->last_set_usec && r->now_usec < gap_usec) {
		ask_again_at(r, gap_usec);
		return false;
	}
	return true;
}

static void leave_out(struct reconcile *r, const struct reconcile_truth *truth)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->plan.n; i++)
		if (may_begin(r, truth, &r->plan.ops[i]))
			r->plan.ops[kept++] = r->plan.ops[i];
	r->plan.n = kept;
}

static bool is_blamed(struct reconcile *r, const struct route *route)
{
	bool is_final =
		refused_is_final(&r->refused, model_hash(MODEL_ROUTE, route, MODEL_HASH_SEED));

	return backoff_use(&r->backoff, object_of_route(route), r->now_usec) || is_final;
}

/* A set goes without those for which it was refused. */
static int leave_out_blamed(struct reconcile *r)
{
	const struct table *routes = snapshot_routes(&r->wanted);
	CLEANUP(table_unrefp) struct table *t = NULL;
	int e = 0;

	if (!r->config.view.caps.routes_whole || r->refused.entries.n == 0)
		return 0;
	e = table_new(&t, MODEL_ROUTE);
	for (size_t i = 0; e >= 0 && i < routes->n; i++)
		if (!is_blamed(r, &routes->routes[i]))
			e = table_add(t, &routes->routes[i]);
	if (e < 0)
		return err_pass(e);
	table_seal(t);
	snapshot_replace(&r->wanted, TAKE_PTR(t));
	return 0;
}

/* From what is true and known to what is wanted and how: acked, wanted, and links to bounce. */
static int prepare(struct reconcile *r, const struct snapshot *seen, struct withdraw *ret)
{
	const struct view_config *view = &r->config.view;
	int e = fold(r);

	if (e >= 0 && r->must_adopt)
		e = adopt(r, seen);
	if (e >= 0)
		e = take_back_what_went(r, seen);
	if (e >= 0)
		e = settle_update(&r->settle, view, seen, &r->acked, r->now_usec);
	if (e >= 0)
		e = make_wanted(r, seen);
	if (e >= 0)
		e = leave_out_blamed(r);
	if (e >= 0)
		e = withdraw_plan(&(struct withdraw_input){ .acked = &r->acked,
							    .instead = r->doubt.instead,
							    .caps = &view->caps,
							    .policy = r->config.withdraw },
				  &r->wanted, &r->notes, ret);
	if (e >= 0)
		e = doubt_retell(&r->doubt, &r->acked, &r->wanted); /* shadows too */
	if (e < 0)
		return err_pass(e);
	share_equal(&r->wanted, &r->acked);
	return 0;
}

/* After all questions of this plan were asked. */
static void tidy_plan(struct reconcile *r, const struct reconcile_truth *truth)
{
	leave_out(r, truth);
	backoff_end_use(&r->backoff, r->now_usec);
	/* While something backs off not all that is wanted is asked about. */
	if (backoff_count(&r->backoff) == 0)
		refused_end_use(&r->refused);
	ask_again_at(r, settle_deadline(&r->settle, r->now_usec));
	ask_again_at(r, backoff_deadline(&r->backoff, r->now_usec));
}

/*
 * A route that is missed in a table that is not clean may be there, and the others of its link could
 * not be told again.
 */
static void limit_bounces(struct reconcile *r, const struct reconcile_truth *truth)
{
	ask_again_at(r, bounce_limit(&r->bounces, &r->withdraw, r->now_usec));
	if (truth->routes_settled || r->withdraw.n_bounce == 0)
		return;
	r->withdraw.n_bounce = 0;
	r->routes_wait = true;
}

static void begin_plan(struct reconcile *r)
{
	withdraw_done(&r->withdraw);
	backoff_begin_use(&r->backoff);
	refused_begin_use(&r->refused);
	r->plan_again_usec = CLOCK_NEVER;
	r->routes_wait = false;
}

static int make_plan(struct reconcile *r, const struct reconcile_truth *truth)
{
	int e;

	begin_plan(r);
	e = prepare(r, truth->seen, &r->withdraw);
	if (e < 0)
		return err_pass(e);
	limit_bounces(r, truth);
	e = diff_plan_bouncing(&r->acked, &r->wanted, &r->config.view.caps, r->withdraw.bounce,
			       r->withdraw.n_bounce, &r->plan);
	if (e < 0)
		return err_pass(e);
	r->stats.plans++;
	r->planned_generation = truth->generation;
	r->must_plan = false;
	tidy_plan(r, truth);
	return err_pass(audit_notes(r, truth->seen));
}

/* ---- acting ---- */

/* To put a route or a neighbour where one is already is the same call. */
static enum plan_verb call_of(enum plan_verb verb)
{
	return verb == PLAN_ROUTE_REPLACE ? PLAN_ROUTE_ADD : verb;
}

/* How many ops from cursor on go together. */
static size_t batch(const struct reconcile *r)
{
	const struct op *ops = &r->plan.ops[r->cursor];
	size_t most = r->plan.n - r->cursor, n = 1;

	if (most > r->config.view.caps.batch_max)
		most = r->config.view.caps.batch_max;
	if (!plan_is_route_verb(ops->verb) && !plan_is_neigh_verb(ops->verb))
		return 1;
	while (n < most && call_of(ops[n].verb) == call_of(ops->verb))
		n++;
	return n;
}

static void note_begin(struct reconcile *r, const struct op *op, size_t n)
{
	r->in_flight = n;
	r->begun_usec = r->now_usec;
	r->stats.ops += n;
	if (op->verb == PLAN_ROUTES_SET)
		r->last_set_usec = r->now_usec;
}

static void begin(struct reconcile *r)
{
	const struct op *op = &r->plan.ops[r->cursor];
	const struct link *l = plan_link_to(&r->plan, op);
	const struct reconcile_journal *journal = &r->config.journal;
	struct sink_call call = {
		.plan = &r->plan,
		.op = op,
		.n = batch(r),
		.maybe_done = op->verb == PLAN_LINK_ADD && maybe_find(&r->maybe, l),
		.before_exec = journal->before_exec,
		.arg = journal->userdata,
	};
	int e;

	if (journal->intent)
		journal->intent(journal->userdata, &r->plan, op, call.n, r->maybe.links,
				r->maybe.n);
	note_begin(r, op, call.n);
	e = r->config.sink->ops->begin(r->config.sink, &call);
	if (e < 0) {
		struct sink_outcome outcome = {
			.result = SINK_RETRY,
			.is_of_all = true,
			.reason = err_text(),
		};

		r->config.sink->done(r, &outcome);
		err_clear();
	}
}

static void on_success(struct reconcile *r, const struct op *op)
{
	const struct link *l = plan_link_from(&r->plan, op) ? plan_link_from(&r->plan, op)
							    : plan_link_to(&r->plan, op);

	backoff_clear(&r->backoff, object_of_op(&r->plan, op));
	if (l)
		maybe_clear(&r->maybe, l->ifindex);
	r->cursor++;
	if (r->cursor == r->plan.n)
		r->must_plan = true; /* something may have been left out of it */
	if (l && op->verb == PLAN_LINK_UPDATE && is_bounced(r, l->ifindex))
		bounce_note(&r->bounces, l->ifindex, r->now_usec);
	/* Its routes went over there: they are next. */
	if (op->verb == PLAN_LINK_UPDATE && r->plan.update_flushes && !r->plan.routes_whole)
		r->must_plan = true;
}

/* The other side may have, or has, what acked has not. */
static void note_doubt(struct reconcile *r, const struct op *op, const struct sink_outcome *outcome)
{
	const struct link *from = plan_link_from(&r->plan, op);
	const struct link *to = plan_link_to(&r->plan, op);

	if (op->verb == PLAN_LINK_ADD && outcome->is_unknown)
		(void)maybe_add(&r->maybe, to);
	if ((op->verb == PLAN_LINK_ADD && outcome->result == SINK_STALE) ||
	    (from && outcome->is_unknown)) {
		r->doubted = from ? *from : *to;
		r->doubted_verb = op->verb;
	}
}

/* Twice before it is believed: a runtime that is just starting says strange things. */
static void note_refusal(struct reconcile *r, uint64_t hash, bool is_final)
{
	/* Without memory for it the object is asked again; no worse than no refusal. */
	(void)refused_add(&r->refused, hash);
	while (is_final && !refused_is_final(&r->refused, hash))
		if (refused_add(&r->refused, hash) < 0)
			return;
}

/* One of a set: the next set goes without it, and at once, since the last one may have been wiped. */
static void blame_route(struct reconcile *r, const struct sink_outcome *outcome)
{
	uint64_t hash = model_hash(MODEL_ROUTE, outcome->blamed, MODEL_HASH_SEED);

	note_refusal(r, hash, outcome->is_final);
	(void)backoff_add(&r->backoff, object_of_route(outcome->blamed), r->now_usec);
	r->routes_doubted = true;
	r->stats.refused++;
}

static void on_failure(struct reconcile *r, const struct op *op, const struct sink_outcome *outcome)
{
	uint64_t hash = object_value(&r->plan, op);
	enum sink_result result = outcome->result;

	if (outcome->blamed) {
		blame_route(r, outcome);
		return;
	}
	if (result == SINK_REFUSED && hash)
		note_refusal(r, hash, outcome->is_final);
	/* Without memory for it the object is asked again at once; no worse than no backoff. */
	if (result != SINK_STALE && (!hash || !refused_is_final(&r->refused, hash)))
		(void)backoff_add(&r->backoff,
				  outcome->is_of_all ? object_of_group(&r->plan, op)
						     : object_of_op(&r->plan, op),
				  r->now_usec);
	note_doubt(r, op, outcome);
	r->routes_doubted = op->verb == PLAN_ROUTES_SET;
	r->stats.retries += result != SINK_REFUSED;
	r->stats.refused += result == SINK_REFUSED;
}

/* How many of the ops in flight are done. */
static size_t count_done(const struct reconcile *r, const struct sink_outcome *outcome)
{
	if (outcome->result == SINK_DONE)
		return r->in_flight;
	return outcome->n_done < r->in_flight ? outcome->n_done : r->in_flight - 1;
}

/*
 * How many of those that are not done may be done all the same: all when nobody knows, and all but
 * the one to blame when others came behind it in the same call.
 */
static size_t count_unknown(const struct reconcile *r, const struct op *op, size_t n_left,
			    const struct sink_outcome *outcome)
{
	if (n_left == 0 || object_of_group(&r->plan, op) == object_of_op(&r->plan, op))
		return 0;
	if (outcome->is_unknown)
		return n_left;
	return outcome->is_of_all ? 0 : n_left - 1;
}

/* What may be done is kept in the journal where it was to be put: it can be taken back then. */
static void journal_outcome(const struct reconcile *r, const struct op *op, size_t n, size_t n_done,
			    size_t n_unknown)
{
	const struct reconcile_journal *journal = &r->config.journal;

	if (journal->outcome)
		journal->outcome(journal->userdata, &r->plan, op, n,
				 doubt_is_put(op->verb) ? n_done + n_unknown : n_done);
}

/*
 * One route or neighbour that fails costs no new plan: it is left out of this one. Those that came
 * behind it in the same call are next, and unknown until then. If it came so itself it may be there
 * all the same: what is to be put counts as put then, and is doubtful.
 */
static int leave_out_failed(struct reconcile *r)
{
	struct op *op = &r->plan.ops[r->cursor];
	bool may_be_done = r->n_unknown > 0;
	int e = may_be_done ? doubt_ops(&r->doubt, &r->plan, op, 1) : 0;

	if (e < 0)
		return err_pass(e);
	if (may_be_done)
		r->n_unknown--;
	if (may_be_done && doubt_is_put(op->verb)) {
		r->cursor++;
	} else {
		memmove(op, op + 1, (r->plan.n - r->cursor - 1) * sizeof(*op));
		r->plan.n--;
	}
	r->must_plan |= r->cursor == r->plan.n;
	return 0;
}

static void on_some_failed(struct reconcile *r, size_t n_unknown,
			   const struct sink_outcome *outcome)
{
	const struct op *op = &r->plan.ops[r->cursor];
	bool is_alone = object_of_group(&r->plan, op) != object_of_op(&r->plan, op) &&
			!outcome->is_of_all && !outcome->is_unknown;

	audit_outcome(r, op, outcome->result, outcome->duration_usec, outcome->reason);
	on_failure(r, op, outcome);
	if (!is_alone || leave_out_failed(r) < 0)
		r->must_plan = true;
	if (r->n_unknown < n_unknown)
		r->n_unknown = n_unknown;
}

static void on_done(void *userdata, const struct sink_outcome *outcome)
{
	struct reconcile *r = userdata;
	const struct op *op = &r->plan.ops[r->cursor];
	size_t n = r->in_flight, n_done, n_unknown;

	if (n == 0)
		return;
	n_done = count_done(r, outcome);
	n_unknown = count_unknown(r, op, n - n_done, outcome);
	r->in_flight = 0;
	journal_outcome(r, op, n, n_done, n_unknown);
	if (n_done > 0) {
		audit_done(r, op, n_done, outcome);
		backoff_clear(&r->backoff, object_of_group(&r->plan, op));
	}
	r->n_unknown -= n_done < r->n_unknown ? n_done : r->n_unknown;
	for (size_t i = 0; i < n_done; i++)
		on_success(r, &op[i]);
	if (n_done < n)
		on_some_failed(r, n_unknown, outcome);
	if (r->config.wake)
		r->config.wake(r->config.userdata);
}

/* ---- a side that comes and goes ---- */

static void audit_denied(const struct reconcile *r, enum model_kind kind)
{
	char reason[64];

	(void)snprintf(reason, sizeof(reason), "the guest takes nothing of kind %s",
		       model_kind_to_string(kind));
	audit(r, (struct audit_record){
			 .kind = AUDIT_DRIFT,
			 .op = "drift",
			 .interface = "",
			 .attempt = 1,
			 .result = "reported",
			 .reason = reason,
		 });
}

static void take_caps(struct reconcile *r)
{
	const struct sink *sink = r->config.sink;
	unsigned denied;

	r->config.view.caps = sink->caps ? *sink->caps : sink->ops->caps;
	denied = r->config.view.caps.denied;
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		if (denied & ~r->denied_said & 1U << k)
			audit_denied(r, k);
	r->denied_said |= denied;
}

static void on_news(void *userdata, enum sink_news news)
{
	struct reconcile *r = userdata;

	if (news != SINK_CAPS)
		r->is_reachable = news == SINK_READY;
	r->must_adopt |= news == SINK_READY;
	if (news == SINK_READY)
		refused_done(&r->refused); /* what the last one did not take the next one may */
	r->must_plan = true;
	take_caps(r);
	if (r->config.wake)
		r->config.wake(r->config.userdata);
}

static bool has_reason_to_plan(const struct reconcile *r, const struct reconcile_truth *truth)
{
	return r->must_plan || truth->generation != r->planned_generation ||
	       (r->routes_wait && truth->routes_settled) || r->now_usec >= r->plan_again_usec;
}

int reconcile_step(struct reconcile *r, const struct reconcile_truth *truth, uint64_t now_usec)
{
	int e;

	r->now_usec = now_usec;
	r->generation = truth->generation;
	if (!r->is_started || r->in_flight || !r->is_reachable)
		return 0;
	if (has_reason_to_plan(r, truth)) {
		e = make_plan(r, truth);
		if (e < 0) {
			r->must_plan = true;
			return err_pass(e);
		}
	}
	if (r->cursor < r->plan.n)
		begin(r);
	return 0;
}

uint64_t reconcile_deadline(const struct reconcile *r)
{
	if (r->in_flight || !r->is_started || !r->is_reachable)
		return CLOCK_NEVER;
	return r->must_plan || r->cursor < r->plan.n ? 0 : r->plan_again_usec;
}

bool reconcile_is_idle(const struct reconcile *r)
{
	return r->is_started && r->is_reachable && !r->in_flight && !r->routes_wait &&
	       reconcile_deadline(r) == CLOCK_NEVER;
}

int reconcile_acked(const struct reconcile *r, struct snapshot *ret)
{
	if (r->cursor > 0)
		return err_pass(plan_apply(&r->plan, r->cursor, ret));
	*ret = SNAPSHOT_NULL;
	snapshot_copy(ret, &r->acked);
	return 0;
}

int reconcile_acked_at_rest(const struct reconcile *r, struct snapshot *ret)
{
	int e = reconcile_acked(r, ret);

	if (e >= 0)
		e = doubt_complete(&r->doubt, ret);
	return err_pass(e);
}

size_t reconcile_drift(const struct reconcile *r)
{
	return r->notes.n_all + refused_count(&r->refused) +
	       (size_t)__builtin_popcount(r->config.view.caps.denied);
}

/* ---- start ---- */

/*
 * Every link of the first truth is appearance 0 (observe.c); so are those that a predecessor told.
 */
static int reset_incarnations(struct snapshot *s)
{
	CLEANUP(table_unrefp) struct table *t = NULL;
	const struct table *links = snapshot_links(s);
	int e = table_new(&t, MODEL_LINK);

	for (size_t i = 0; e >= 0 && i < links->n; i++) {
		struct link l = links->links[i];

		if (l.incarnation != UINT32_MAX) /* doubted: see doubt_link() */
			l.incarnation = 0;
		e = table_add(t, &l);
	}
	if (e < 0)
		return err_pass(e);
	table_seal(t);
	snapshot_replace(s, TAKE_PTR(t));
	return 0;
}

/*
 * A side that says what links it has does so before the first op; of the rest what may have been
 * put counts as put: it is told once more, or taken back.
 */
static void assume_put(struct reconcile *r, const struct snapshot *if_done)
{
	snapshot_replace(&r->acked, table_ref(if_done->tables[MODEL_ROUTE]));
	snapshot_replace(&r->acked, table_ref(if_done->tables[MODEL_NEIGH]));
}

static int resolve_pending(struct reconcile *r, const struct reconcile_past *past)
{
	struct link link = past->pending_link;

	link.incarnation = 0;
	switch (past->pending_verb) {
	case PLAN_LINK_ADD:
		return err_pass(maybe_add(&r->maybe, &link));
	case PLAN_LINK_DEL:
		return err_pass(doubt_link(r, link.ifindex, true));
	case PLAN_LINK_UPDATE:
		return err_pass(doubt_link(r, link.ifindex, false));
	case PLAN_ROUTES_SET:
		r->acked.routes_stale = true;
		return 0;
	case PLAN_ROUTE_ADD:
	case PLAN_ROUTE_DEL:
	case PLAN_ROUTE_REPLACE:
	case PLAN_NEIGH_ADD:
	case PLAN_NEIGH_DEL:
	case _PLAN_VERB_MAX:
		break; /* told again by the difference; telling twice is harmless */
	}
	return 0;
}

static int mark_down_but_addressed(struct reconcile *r, const struct snapshot *seen)
{
	const struct table *links = snapshot_links(seen);
	size_t n;
	int e = 0;

	for (size_t i = 0; e >= 0 && i < links->n; i++) {
		(void)table_range_of_link(snapshot_addrs(seen), links->links[i].ifindex, &n);
		if (n > 0 && !(links->links[i].flags & IFF_UP) &&
		    view_is_pluggable(&r->config.view, seen, &links->links[i]))
			e = maybe_add(&r->maybe, &links->links[i]);
	}
	return err_pass(e);
}

static int start_fresh(struct reconcile *r, const struct snapshot *seen)
{
	struct snapshot acked = SNAPSHOT_NULL;
	int e;

	if (!r->config.view.caps.cold_plugged)
		return 0;
	e = view_baseline(&r->config.view, seen, &acked);
	if (e < 0)
		return err_pass(e);
	snapshot_done(&r->acked);
	r->acked = acked;
	return err_pass(mark_down_but_addressed(r, seen));
}

static int start_from_past(struct reconcile *r, const struct reconcile_past *past)
{
	int e;

	snapshot_copy(&r->acked, past->acked);
	e = reset_incarnations(&r->acked);
	for (size_t i = 0; e >= 0 && i < past->n_maybe; i++) {
		struct link link = past->maybe[i];

		link.incarnation = 0;
		e = maybe_add(&r->maybe, &link);
	}
	if (e >= 0 && past->has_pending)
		e = resolve_pending(r, past);
	if (e >= 0 && past->has_pending && r->config.sink->ops->guest &&
	    doubt_is_put(past->pending_verb))
		assume_put(r, past->pending_if_done);
	return err_pass(e);
}

int reconcile_start(struct reconcile *r, const struct reconcile_past *past,
		    const struct reconcile_truth *truth)
{
	int e = past->acked ? start_from_past(r, past) : start_fresh(r, truth->seen);

	if (e < 0)
		return err_pass(e);
	snapshot_copy(&r->wanted, &r->acked);
	r->is_started = true;
	r->must_plan = true;
	return 0;
}

int reconcile_init(struct reconcile *r, const struct reconcile_config *config)
{
	int e;

	memset(r, 0, sizeof(*r));
	r->config = *config;
	r->settle.max_usec = config->view.caps.settles ? config->settle_usec : 0;
	r->plan_again_usec = CLOCK_NEVER;
	backoff_init(&r->backoff, config->seed);
	r->is_reachable = !config->sink->ops->guest;
	r->refused.final_times = config->sink->ops->guest ? RECONCILE_REFUSALS : REFUSED_FINAL;
	r->config.sink->done = on_done;
	r->config.sink->news = on_news;
	r->config.sink->userdata = r;
	e = snapshot_init(&r->acked);
	if (e >= 0)
		e = snapshot_init(&r->wanted);
	if (e < 0)
		reconcile_done(r);
	return err_pass(e);
}

void reconcile_done(struct reconcile *r)
{
	plan_done(&r->plan);
	snapshot_done(&r->acked);
	snapshot_done(&r->wanted);
	settle_done(&r->settle);
	refused_done(&r->refused);
	view_notes_done(&r->notes);
	free(r->audited);
	doubt_done(&r->doubt);
	backoff_done(&r->backoff);
	withdraw_done(&r->withdraw);
	bounce_done(&r->bounces);
	maybe_done(&r->maybe);
	memset(r, 0, sizeof(*r));
}
