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
#include "netmon/diff.h"

/* ---- objects: what backs off together ---- */

static uint64_t object_of_link(uint32_t ifindex)
{
	return (uint64_t)MODEL_LINK << 56 | ifindex;
}

/* The route set is one object: a guest that can't take routes now can't take any. */
#define OBJECT_ROUTES ((uint64_t)MODEL_ROUTE << 56)

static uint64_t object_of_neigh(const struct neigh *n)
{
	struct neigh key = { .ifindex = n->ifindex, .family = n->family };

	memcpy(key.bytes, n->bytes, sizeof(key.bytes));
	return model_hash(MODEL_NEIGH, &key, MODEL_HASH_SEED) | UINT64_C(1) << 63;
}

static uint64_t op_object(const struct plan *p, const struct op *op)
{
	const struct link *l = plan_link_from(p, op) ? plan_link_from(p, op) : plan_link_to(p, op);
	const struct neigh *n =
		plan_neigh_from(p, op) ? plan_neigh_from(p, op) : plan_neigh_to(p, op);

	if (l)
		return object_of_link(l->ifindex);
	return n ? object_of_neigh(n) : OBJECT_ROUTES;
}

/*
 * The key of a refusal: the value that the op brings; 0 for an op that brings none (a deletion is
 * never refused for good).
 */
static uint64_t op_value_hash(const struct plan *p, const struct op *op)
{
	const struct link *l = plan_link_to(p, op);
	const struct table *addrs = snapshot_addrs(&p->to);
	const struct table *routes = snapshot_routes(&p->to);
	uint64_t hash = MODEL_HASH_SEED;
	size_t first, n;

	if (l) {
		first = table_range_of_link(addrs, l->ifindex, &n);
		return view_link_hash(l, addrs->addrs ? addrs->addrs + first : NULL, n);
	}
	if (plan_route_to(p, op))
		return model_hash(MODEL_ROUTE, plan_route_to(p, op), hash);
	if (plan_neigh_to(p, op))
		return model_hash(MODEL_NEIGH, plan_neigh_to(p, op), hash);
	if (op->verb != PLAN_ROUTES_SET)
		return 0;
	for (size_t i = 0; i < routes->n; i++)
		hash = model_hash(MODEL_ROUTE, &routes->routes[i], hash);
	return hash;
}

/* ---- backoff ---- */

static struct reconcile_backoff *find_backoff(const struct reconcile *r, uint64_t object)
{
	for (size_t i = 0; i < r->n_backoffs; i++)
		if (r->backoffs[i].object == object)
			return &r->backoffs[i];
	return NULL;
}

static bool is_backing_off(const struct reconcile *r, uint64_t object)
{
	const struct reconcile_backoff *b = find_backoff(r, object);

	return b && r->now_usec < b->not_before_usec;
}

static void clear_backoff(struct reconcile *r, uint64_t object)
{
	struct reconcile_backoff *b = find_backoff(r, object);

	if (b)
		*b = r->backoffs[--r->n_backoffs];
}

/* xorshift64*: jitter needs no more. */
static uint64_t next_random(struct reconcile *r)
{
	r->random ^= r->random >> 12;
	r->random ^= r->random << 25;
	r->random ^= r->random >> 27;
	return r->random * UINT64_C(0x2545f4914f6cdd1d);
}

/* 100 ms doubling to 10 s, each three quarters to five quarters of it. */
static uint64_t backoff_usec(struct reconcile *r, unsigned attempts)
{
	uint64_t usec = RECONCILE_BACKOFF_FIRST_USEC;

	for (unsigned i = 1; i < attempts && usec < RECONCILE_BACKOFF_MAX_USEC; i++)
		usec *= 2;
	if (usec > RECONCILE_BACKOFF_MAX_USEC)
		usec = RECONCILE_BACKOFF_MAX_USEC;
	return usec - usec / 4 + next_random(r) % (usec / 2);
}

static int back_off(struct reconcile *r, uint64_t object)
{
	struct reconcile_backoff *b = find_backoff(r, object);

	if (!b && r->n_backoffs == r->backoffs_capacity) {
		size_t capacity = r->backoffs_capacity ? r->backoffs_capacity * 2 : 8;

		b = reallocarray(r->backoffs, capacity, sizeof(*b));
		if (!b)
			return err_raise(-ENOMEM, "back off");
		r->backoffs = b;
		r->backoffs_capacity = capacity;
		b = NULL;
	}
	if (!b) {
		b = &r->backoffs[r->n_backoffs++];
		*b = (struct reconcile_backoff){ .object = object };
	}
	b->attempts++;
	b->not_before_usec = r->now_usec + backoff_usec(r, b->attempts);
	return 0;
}

/* An object that nobody wants any more has nothing to back off from. */
static void forget_unused_backoffs(struct reconcile *r)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->n_backoffs; i++)
		if (r->backoffs[i].is_used || r->now_usec < r->backoffs[i].not_before_usec)
			r->backoffs[kept++] = r->backoffs[i];
	r->n_backoffs = kept;
}

static unsigned attempt_of(const struct reconcile *r, uint64_t object)
{
	const struct reconcile_backoff *b = find_backoff(r, object);

	return b ? b->attempts + 1 : 1;
}

/* ---- links that the other side may have ---- */

static struct link *find_maybe(const struct reconcile *r, const struct link *l)
{
	for (size_t i = 0; i < r->n_maybe; i++)
		if (r->maybe[i].ifindex == l->ifindex && r->maybe[i].incarnation == l->incarnation)
			return &r->maybe[i];
	return NULL;
}

static int add_maybe(struct reconcile *r, const struct link *l)
{
	struct link *maybe;

	if (find_maybe(r, l))
		return 0;
	maybe = reallocarray(r->maybe, r->n_maybe + 1, sizeof(*maybe));
	if (!maybe)
		return err_raise(-ENOMEM, "remember a link");
	r->maybe = maybe;
	r->maybe[r->n_maybe++] = *l;
	return 0;
}

/* It was told, or taken back: now it is known. */
static void clear_maybe(struct reconcile *r, uint32_t ifindex)
{
	for (size_t i = 0; i < r->n_maybe; i++)
		if (r->maybe[i].ifindex == ifindex)
			r->maybe[i--] = r->maybe[--r->n_maybe];
}

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
	for (size_t i = 0; i < r->n_maybe; i++) {
		const struct link *l = &r->maybe[i];
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

static void audit_outcome(const struct reconcile *r, const struct op *op, const char *result,
			  const struct sink_outcome *outcome)
{
	audit(r, (struct audit_record){
			 .kind = AUDIT_OP,
			 .op = plan_verb_to_string(op->verb),
			 .interface = plan_op_interface(&r->plan, op),
			 .attempt = attempt_of(r, op_object(&r->plan, op)),
			 .result = result,
			 .duration_usec = outcome->duration_usec,
			 .reason = outcome->reason,
		 });
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

/* acked takes in what was done. */
static int fold(struct reconcile *r)
{
	struct snapshot acked = SNAPSHOT_NULL;
	int e;

	if (r->cursor > 0) {
		e = plan_apply(&r->plan, r->cursor, &acked);
		if (e < 0)
			return err_pass(e);
		snapshot_done(&r->acked);
		r->acked = acked;
	}
	plan_done(&r->plan);
	r->cursor = 0;
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
		if (is_backing_off(r, object_of_link(ifindex)))
			ret->held[ret->n_held++] = ifindex;
	}
	for (size_t i = 0; i < acked->n; i++)
		if (is_backing_off(r, object_of_link(acked->links[i].ifindex)))
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
	share_equal(&wanted, &r->acked);
	snapshot_done(&r->wanted);
	r->wanted = wanted;
	return 0;
}

static void ask_again_at(struct reconcile *r, uint64_t usec)
{
	if (usec < r->plan_again_usec)
		r->plan_again_usec = usec;
}

static bool is_route_verb(enum plan_verb verb)
{
	return verb == PLAN_ROUTES_SET || verb == PLAN_ROUTE_DEL || verb == PLAN_ROUTE_ADD ||
	       verb == PLAN_ROUTE_REPLACE;
}

/* May this op be done now? If not, sees to it that it is asked again. */
static bool may_begin(struct reconcile *r, const struct reconcile_truth *truth, const struct op *op)
{
	struct reconcile_backoff *b = find_backoff(r, op_object(&r->plan, op));
	uint64_t gap_usec = r->last_set_usec + RECONCILE_SET_GAP_USEC;

	if (b)
		b->is_used = true;
	if (b && r->now_usec < b->not_before_usec)
		return false; /* the time is in plan_again_usec: see next_times() */
	if (is_route_verb(op->verb) && !truth->routes_settled) {
		r->routes_wait = true;
		return false;
	}
	if (op->verb == PLAN_ROUTES_SET && r->last_set_usec && r->now_usec < gap_usec) {
		ask_again_at(r, gap_usec);
		return false;
	}
	return r->refused.n == 0 || !refused_is_final(&r->refused, op_value_hash(&r->plan, op));
}

static void leave_out(struct reconcile *r, const struct reconcile_truth *truth)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->plan.n; i++)
		if (may_begin(r, truth, &r->plan.ops[i]))
			r->plan.ops[kept++] = r->plan.ops[i];
	r->plan.n = kept;
}

static void next_times(struct reconcile *r)
{
	ask_again_at(r, settle_deadline(&r->settle, r->now_usec));
	for (size_t i = 0; i < r->n_backoffs; i++)
		if (r->backoffs[i].not_before_usec > r->now_usec)
			ask_again_at(r, r->backoffs[i].not_before_usec);
}

static int make_plan(struct reconcile *r, const struct reconcile_truth *truth)
{
	int e = fold(r);

	if (e >= 0)
		e = take_back_what_went(r, truth->seen);
	if (e >= 0)
		e = settle_update(&r->settle, &r->config.view, truth->seen, &r->acked, r->now_usec);
	if (e >= 0)
		e = make_wanted(r, truth->seen);
	if (e >= 0)
		e = diff_plan(&r->acked, &r->wanted, &r->config.view.caps, &r->plan);
	if (e < 0)
		return err_pass(e);

	r->stats.plans++;
	r->planned_generation = truth->generation;
	r->must_plan = false;
	r->routes_wait = false;
	r->plan_again_usec = CLOCK_NEVER;
	for (size_t i = 0; i < r->n_backoffs; i++)
		r->backoffs[i].is_used = false;
	leave_out(r, truth);
	forget_unused_backoffs(r);
	next_times(r);
	return err_pass(audit_notes(r, truth->seen));
}

/* ---- acting ---- */

static void begin(struct reconcile *r)
{
	const struct op *op = &r->plan.ops[r->cursor];
	const struct link *l = plan_link_to(&r->plan, op);
	struct sink_call call = {
		.plan = &r->plan,
		.op = op,
		.maybe_done = op->verb == PLAN_LINK_ADD && find_maybe(r, l),
		.before_exec = r->config.journal.before_exec,
		.arg = r->config.journal.userdata,
	};
	int e;

	if (r->config.journal.intent)
		r->config.journal.intent(r->config.journal.userdata, &r->plan, op, r->maybe,
					 r->n_maybe);
	r->in_flight = true;
	r->begun_usec = r->now_usec;
	r->stats.ops++;
	if (op->verb == PLAN_ROUTES_SET)
		r->last_set_usec = r->now_usec;
	e = r->config.sink->ops->begin(r->config.sink, &call);
	if (e < 0) {
		struct sink_outcome outcome = { .result = SINK_RETRY, .reason = err_text() };

		r->config.sink->done(r, &outcome);
		err_clear();
	}
}

static void on_success(struct reconcile *r, const struct op *op)
{
	const struct link *l = plan_link_from(&r->plan, op) ? plan_link_from(&r->plan, op)
							    : plan_link_to(&r->plan, op);

	clear_backoff(r, op_object(&r->plan, op));
	if (l)
		clear_maybe(r, l->ifindex);
	r->cursor++;
	if (r->cursor == r->plan.n)
		r->must_plan = true; /* something may have been left out of it */
}

/* The other side may have, or has, what acked has not. */
static void note_doubt(struct reconcile *r, const struct op *op, const struct sink_outcome *outcome)
{
	const struct link *from = plan_link_from(&r->plan, op);
	const struct link *to = plan_link_to(&r->plan, op);

	if (op->verb == PLAN_LINK_ADD && outcome->is_unknown)
		(void)add_maybe(r, to);
	if ((op->verb == PLAN_LINK_ADD && outcome->result == SINK_STALE) ||
	    (from && outcome->is_unknown)) {
		r->doubted = from ? *from : *to;
		r->doubted_verb = op->verb;
	}
}

static void on_failure(struct reconcile *r, const struct op *op, const struct sink_outcome *outcome)
{
	uint64_t hash = op_value_hash(&r->plan, op);
	enum sink_result result = outcome->result;

	/* Without memory for it the object is asked again at once; no worse than no backoff. */
	if (result == SINK_REFUSED && hash)
		(void)refused_add(&r->refused, hash);
	if (result != SINK_STALE && (!hash || !refused_is_final(&r->refused, hash)))
		(void)back_off(r, op_object(&r->plan, op));
	note_doubt(r, op, outcome);
	r->routes_doubted = op->verb == PLAN_ROUTES_SET;
	r->stats.retries += result != SINK_REFUSED;
	r->stats.refused += result == SINK_REFUSED;
	r->must_plan = true;
}

static void on_done(void *userdata, const struct sink_outcome *outcome)
{
	struct reconcile *r = userdata;
	const struct op *op;

	if (!r->in_flight)
		return;
	op = &r->plan.ops[r->cursor];
	r->in_flight = false;
	if (r->config.journal.outcome)
		r->config.journal.outcome(r->config.journal.userdata, outcome->result == SINK_DONE);
	audit_outcome(r, op, sink_result_to_string(outcome->result), outcome);
	if (outcome->result == SINK_DONE)
		on_success(r, op);
	else
		on_failure(r, op, outcome);
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
	if (!r->is_started || r->in_flight)
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
	if (r->in_flight || !r->is_started)
		return CLOCK_NEVER;
	return r->must_plan || r->cursor < r->plan.n ? 0 : r->plan_again_usec;
}

bool reconcile_is_idle(const struct reconcile *r)
{
	return r->is_started && !r->in_flight && !r->routes_wait &&
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

size_t reconcile_drift(const struct reconcile *r)
{
	return r->notes.n_all + refused_count(&r->refused);
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

static int resolve_pending(struct reconcile *r, const struct reconcile_past *past)
{
	struct link link = past->pending_link;

	link.incarnation = 0;
	switch (past->pending_verb) {
	case PLAN_LINK_ADD:
		return err_pass(add_maybe(r, &link));
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
			e = add_maybe(r, &links->links[i]);
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
		e = add_maybe(r, &link);
	}
	if (e >= 0 && past->has_pending)
		e = resolve_pending(r, past);
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
	r->random = config->seed | 1;
	r->config.sink->done = on_done;
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
	free(r->backoffs);
	free(r->maybe);
	memset(r, 0, sizeof(*r));
}
