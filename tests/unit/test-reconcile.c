/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From truth to work, against a sink that holds every op against a guest of its own (guest.h) and
 * fails when told to. Time is a number: nothing here waits.
 */
#include "netmon/reconcile.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/neighbour.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/text.h"
#include "netmon/diff.h"
#include "tests/unit/guest.h"
#include "tests/unit/pod.h"
#include "tests/unit/random-net.h"

#define MSEC	  CLOCK_USEC_PER_MSEC
#define SEC	  CLOCK_USEC_PER_SEC
#define LOG_MAX	  4096
#define STEPS_MAX 20000 /* of one run: more is spinning */
#define WALKS	  150
#define ANY	  (~0U)
#define BIT(verb) (1U << (verb))

static struct random_net random_state;

static const struct sink_caps caps_cli = {
	.routes_whole = true,
	.cold_plugged = true,
	.settles = true,
};
static const struct sink_caps caps_record = {
	.updates_links = true,
	.neighbours = true,
	.route_mtu = true,
	.route_onlink = true,
	.route_family = true,
};

/* What the other side is to fail at. */
struct trouble {
	uint32_t ifindex; /* 0: of any link */
	unsigned verbs;	  /* BIT() mask */
	unsigned times;	  /* how often still */
	enum sink_result result;
	bool is_unknown; /* nobody knows whether it was done */
	bool is_done;	 /* ... but it was */
};

struct told {
	enum plan_verb verb;
	uint32_t ifindex;
	uint64_t at_usec;
	bool maybe_done;
};

/* The host of one test; a test is alone in it. */
static struct {
	struct pod pod;
	struct snapshot seen;
	uint64_t generation;
	bool routes_unsettled;
	uint64_t now_usec;

	struct reconcile r;
	struct sink sink;
	struct guest guest;
	bool guest_is_doubted; /* an op of unknown outcome was there */
	struct trouble trouble;
	unsigned begin_fails; /* how often still */
	uint64_t op_usec;     /* how long one takes */
	bool in_flight;
	struct sink_call call;

	struct told told[LOG_MAX];
	size_t n_told, n_checked;
	unsigned intents, begins, outcomes, outcomes_done, wakes;
	unsigned audited[_AUDIT_KIND_MAX];
	unsigned last_attempt;
	char last_result[16], last_reason[128], last_interface[MODEL_NAME_BYTES];
} h;

/* ---- the journal, the audit ---- */

static void on_intent(void *userdata, const struct plan *plan, const struct op *op, size_t n,
		      const struct link *maybe, size_t n_maybe)
{
	assert_true(n > 0 && op + n <= plan->ops + plan->n);
	assert_ptr_equal(userdata, &h);
	assert_ptr_equal(maybe, h.r.maybe.links);
	assert_int_equal(n_maybe, h.r.maybe.n);
	assert_in_range(op->verb, 0, _PLAN_VERB_MAX - 1);
	assert_ptr_equal(plan, &h.r.plan);
	assert_int_equal(h.intents, h.begins);
	assert_int_equal(h.intents, h.outcomes);
	h.intents++;
}

static void on_outcome(void *userdata, const struct plan *plan, const struct op *op, size_t n,
		       size_t n_done)
{
	assert_ptr_equal(plan, &h.r.plan);
	assert_ptr_equal(op, &plan->ops[h.r.cursor]);
	assert_ptr_equal(userdata, &h);
	assert_int_equal(h.begins, h.intents);
	h.outcomes++;
	assert_int_equal(h.outcomes, h.begins);
	h.outcomes_done += n_done == n;
}

static int on_before_exec(void *userdata)
{
	(void)userdata;
	return 0;
}

static void on_audit(void *userdata, const struct audit_record *a)
{
	assert_ptr_equal(userdata, &h);
	assert_true(a->op && a->interface && a->result && a->reason && a->attempt >= 1);
	h.audited[a->kind]++;
	h.last_attempt = a->attempt;
	(void)snprintf(h.last_result, sizeof(h.last_result), "%s", a->result);
	(void)snprintf(h.last_reason, sizeof(h.last_reason), "%s", a->reason);
	(void)snprintf(h.last_interface, sizeof(h.last_interface), "%s", a->interface);
}

static void on_wake(void *userdata)
{
	assert_ptr_equal(userdata, &h);
	h.wakes++;
}

/* ---- the sink ---- */

static uint32_t ifindex_of(const struct plan *p, const struct op *op)
{
	const struct link *l = plan_link_to(p, op) ? plan_link_to(p, op) : plan_link_from(p, op);
	const struct route *r =
		plan_route_to(p, op) ? plan_route_to(p, op) : plan_route_from(p, op);
	const struct neigh *n =
		plan_neigh_to(p, op) ? plan_neigh_to(p, op) : plan_neigh_from(p, op);

	if (l)
		return l->ifindex;
	if (r)
		return r->ifindex;
	return n ? n->ifindex : 0;
}

static void assert_within_caps(enum plan_verb verb)
{
	const struct sink_caps *caps = &h.r.config.view.caps;

	switch (verb) {
	case PLAN_LINK_DEL:
	case PLAN_LINK_ADD:
		return;
	case PLAN_LINK_UPDATE:
		assert_true(caps->updates_links);
		return;
	case PLAN_ROUTES_SET:
		assert_true(caps->routes_whole);
		return;
	case PLAN_ROUTE_DEL:
	case PLAN_ROUTE_ADD:
	case PLAN_ROUTE_REPLACE:
		assert_false(caps->routes_whole);
		return;
	case PLAN_NEIGH_DEL:
	case PLAN_NEIGH_ADD:
		assert_true(caps->neighbours);
		return;
	case _PLAN_VERB_MAX:
		break;
	}
	fail_msg("no such verb");
}

static int sink_begin(struct sink *s, const struct sink_call *call)
{
	assert_ptr_equal(s, &h.sink);
	assert_false(h.in_flight);
	assert_within_caps(call->op->verb);
	assert_true(call->before_exec == on_before_exec);
	assert_ptr_equal(call->arg, &h);
	h.begins++;
	assert_int_equal(h.begins, h.intents);
	if (h.begin_fails > 0) {
		h.begin_fails--;
		return err_raise(-EMFILE, "begin");
	}
	h.in_flight = true;
	h.call = *call;
	assert_true(h.n_told < LOG_MAX);
	h.told[h.n_told++] = (struct told){
		.verb = call->op->verb,
		.ifindex = ifindex_of(call->plan, call->op),
		.at_usec = h.now_usec,
		.maybe_done = call->maybe_done,
	};
	return 0;
}

/* "exists" counts as done; a deletion of what never came is no harm. */
static void apply_in_doubt(void)
{
	const struct plan *p = h.call.plan;
	const struct op *op = h.call.op;
	uint32_t ifindex = ifindex_of(p, op);

	if (op->verb == PLAN_LINK_ADD && h.call.maybe_done)
		pod_drop_link(&h.guest.net, ifindex);
	if (op->verb == PLAN_LINK_DEL) {
		if (guest_has_link(&h.guest, ifindex))
			*pod_find_link(&h.guest.net, ifindex) = *plan_link_from(p, op);
		else
			return;
	}
	guest_apply(&h.guest, p, op);
}

static void apply(void)
{
	if (h.guest_is_doubted)
		apply_in_doubt();
	else
		guest_apply(&h.guest, h.call.plan, h.call.op);
}

/* The op in flight ends. */
static void finish_as(enum sink_result result, bool is_unknown, bool is_done)
{
	struct sink_outcome outcome = { .result = result,
					.reason = result == SINK_DONE ? "" : "trouble",
					.duration_usec = h.op_usec,
					.is_unknown = is_unknown };

	assert_true(h.in_flight);
	h.guest_is_doubted |= is_unknown;
	if (result == SINK_DONE || is_done)
		apply();
	h.in_flight = false;
	h.sink.done(h.sink.userdata, &outcome);
	assert_int_equal(h.outcomes, h.begins);
}

static void finish(void)
{
	struct trouble *t = &h.trouble;
	bool is_met = t->times > 0 && t->verbs & BIT(h.call.op->verb) &&
		      (t->ifindex == 0 || t->ifindex == ifindex_of(h.call.plan, h.call.op));

	if (!is_met) {
		finish_as(SINK_DONE, false, false);
		return;
	}
	t->times--;
	finish_as(t->result, t->is_unknown, t->is_done);
}

/* ---- running it ---- */

static struct reconcile_truth truth(void)
{
	return (struct reconcile_truth){
		.seen = &h.seen,
		.generation = h.generation,
		.routes_settled = !h.routes_unsettled,
	};
}

/* The pod has changed, and it was seen. */
static void look(void)
{
	snapshot_done(&h.seen);
	pod_snapshot(&h.pod, &h.seen);
	h.generation++;
}

static void step(void)
{
	struct reconcile_truth t = truth();

	assert_int_equal(reconcile_step(&h.r, &t, h.now_usec), 0);
	assert_int_equal(h.in_flight, h.r.in_flight);
}

/* What acked says is what the guest has, op by op. */
static void assert_acked_is_the_guest(void)
{
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;

	if (h.guest_is_doubted)
		return;
	assert_int_equal(reconcile_acked(&h.r, &acked), 0);
	/*
	 * a failed set may have been done in part: acked may doubt more than the guest has reason
	 * to
	 */
	acked.routes_stale = h.guest.routes_stale;
	guest_assert_equal(&h.guest, &acked);
}

/* Until nothing happens without news before @until_usec; ops take op_usec. */
static void run_until(uint64_t until_usec)
{
	for (unsigned i = 0; i < STEPS_MAX; i++) {
		uint64_t deadline;

		step();
		if (h.in_flight) {
			h.now_usec += h.op_usec;
			finish();
			assert_acked_is_the_guest();
			continue;
		}
		deadline = reconcile_deadline(&h.r);
		if (deadline > until_usec) {
			h.now_usec = until_usec > h.now_usec && until_usec != CLOCK_NEVER - 1
					     ? until_usec
					     : h.now_usec;
			return;
		}
		if (deadline > h.now_usec)
			h.now_usec = deadline;
	}
	fail_msg("it spins");
}

static void run_for(uint64_t usec)
{
	run_until(h.now_usec + usec);
}

/* Until only news can bring work. */
static void run(void)
{
	run_until(CLOCK_NEVER - 1);
}

static void start_with(const struct sink_caps *caps, const struct reconcile_past *past)
{
	static struct sink_ops ops;
	struct reconcile_config config = {
		.view = { .kinds = VIEW_KINDS_DEFAULT, .caps = *caps },
		.settle_usec = 500 * MSEC,
		.sink = &h.sink,
		.journal = { on_intent, on_outcome, on_before_exec, &h },
		.audit = on_audit,
		.wake = on_wake,
		.userdata = &h,
		.seed = 1,
	};
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;
	struct reconcile_truth t;

	ops = (struct sink_ops){ .name = "test", .caps = *caps, .begin = sink_begin };
	h.sink.ops = &ops;
	assert_int_equal(reconcile_init(&h.r, &config), 0);
	look();
	t = truth();
	assert_int_equal(reconcile_start(&h.r, past, &t), 0);
	assert_int_equal(reconcile_acked(&h.r, &acked), 0);
	guest_load(&h.guest, &acked);
}

static void start(const struct sink_caps *caps)
{
	start_with(caps, &(struct reconcile_past){ 0 });
}

static int setup(void **state)
{
	(void)state;
	memset(&h, 0, sizeof(h));
	h.now_usec = 1000 * SEC;
	h.op_usec = MSEC;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	reconcile_done(&h.r);
	snapshot_done(&h.seen);
	return 0;
}

/* ---- what was told ---- */

/* All ops begun since the last call: "add-link 4, set-routes, add-link 5 maybe" */
static void assert_told(const char *expected)
{
	CLEANUP(text_done) struct text t = TEXT_NULL;

	text_append_str(&t, "");
	for (size_t i = h.n_checked; i < h.n_told; i++) {
		const struct told *o = &h.told[i];

		text_appendf(&t, "%s%s", i > h.n_checked ? ", " : "", plan_verb_to_string(o->verb));
		if (o->ifindex)
			text_appendf(&t, " %u", o->ifindex);
		if (o->maybe_done)
			text_append_str(&t, " maybe");
	}
	h.n_checked = h.n_told;
	assert_string_equal(t.data, expected);
}

static void assert_idle(void)
{
	assert_true(reconcile_is_idle(&h.r));
	assert_true(reconcile_deadline(&h.r) == CLOCK_NEVER);
	assert_false(h.in_flight);
}

static void fail_always(uint32_t ifindex, unsigned verbs, enum sink_result result)
{
	h.trouble = (struct trouble){
		.ifindex = ifindex,
		.verbs = verbs,
		.times = ANY,
		.result = result,
	};
}

static void add_link(uint32_t ifindex, const char *cidr)
{
	char name[MODEL_NAME_BYTES];

	(void)snprintf(name, sizeof(name), "eth%u", ifindex);
	pod_link(&h.pod, ifindex, name);
	if (cidr)
		pod_addr(&h.pod, ifindex, cidr);
}

/* ---- plain work ---- */

static void test_an_empty_pod_is_no_work(void **state)
{
	(void)state;
	start(&caps_record);
	run();
	assert_told("");
	assert_idle();
}

static void test_before_the_start_nothing_is_done(void **state)
{
	(void)state;
	start(&caps_record);
	h.r.is_started = false;
	add_link(4, NULL);
	look();
	step();
	assert_told("");
	assert_true(reconcile_deadline(&h.r) == CLOCK_NEVER);
	assert_false(reconcile_is_idle(&h.r));
}

static void test_all_of_a_pod_is_told_in_order(void **state)
{
	(void)state;
	start(&caps_record);
	add_link(4, "10.0.0.2/24");
	pod_route(&h.pod, 4, "0.0.0.0/0", "10.0.0.1");
	pod_neigh(&h.pod, 4, "10.0.0.1", 1);
	look();
	run();
	assert_told("add-link 4, add-route 4, add-neighbour 4");
	assert_idle();
	assert_int_equal(h.outcomes_done, 3);
	assert_int_equal(h.wakes, 3);
}

static void test_what_changes_is_told_and_nothing_else(void **state)
{
	(void)state;
	start(&caps_record);
	add_link(4, "10.0.0.2/24");
	add_link(5, "10.0.5.2/24");
	look();
	run();
	assert_told("add-link 4, add-link 5");
	pod_addr(&h.pod, 5, "10.0.5.3/24");
	pod_route(&h.pod, 4, "0.0.0.0/0", "10.0.0.1");
	look();
	run();
	assert_told("update-link 5, add-route 4");
	pod_drop_link(&h.pod, 4);
	look();
	run();
	assert_told("del-link 4");
	assert_idle();
}

static void test_news_without_change_is_no_work(void **state)
{
	(void)state;
	start(&caps_record);
	add_link(4, "10.0.0.2/24");
	look();
	run();
	assert_told("add-link 4");
	for (int i = 0; i < 5; i++) {
		pod_find_link(&h.pod, 4)->flags ^= (uint32_t)IFF_LOWER_UP;
		look();
		run();
	}
	assert_told("");
	assert_idle();
}

static void test_a_step_without_news_makes_no_plan(void **state)
{
	uint64_t plans;

	(void)state;
	start(&caps_record);
	run();
	plans = h.r.stats.plans;
	for (int i = 0; i < 10; i++)
		step();
	assert_true(h.r.stats.plans == plans);
}

static void test_acked_counts_what_is_done_in_the_middle_of_a_plan(void **state)
{
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;

	(void)state;
	start(&caps_record);
	add_link(4, NULL);
	add_link(5, NULL);
	look();
	step();
	finish();
	step(); /* the second is in flight */
	assert_int_equal(reconcile_acked(&h.r, &acked), 0);
	assert_int_equal(snapshot_links(&acked)->n, 1);
	assert_false(reconcile_is_idle(&h.r));
}

/* ---- route sets ---- */

static void start_cli_with_one_link(void)
{
	start(&caps_cli);
	run();
	add_link(4, "10.0.0.2/24");
	pod_route(&h.pod, 4, "0.0.0.0/0", "10.0.0.1");
	look();
	run();
	h.n_checked = h.n_told;
	h.now_usec += SEC; /* far from the last set */
}

/* The original sent a set after each link. */
static void test_all_additions_come_before_one_set(void **state)
{
	static const char *const destinations[] = { "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16" };

	(void)state;
	start(&caps_cli);
	run();
	assert_told("set-routes"); /* of the baseline */
	for (uint32_t i = 4; i < 7; i++) {
		add_link(i, "10.0.0.2/24");
		pod_route(&h.pod, i, destinations[i - 4], NULL);
	}
	h.now_usec += SEC;
	look();
	run();
	assert_told("add-link 4, add-link 5, add-link 6, set-routes");
	assert_idle();
}

static void test_identical_sets_are_not_sent_twice(void **state)
{
	(void)state;
	start_cli_with_one_link();
	h.pod.routes[0].metric = 50; /* no word for it */
	look();
	run();
	assert_told("");
	pod_drop_route(&h.pod, "0.0.0.0/0");
	pod_route(&h.pod, 4, "0.0.0.0/0", "10.0.0.1");
	look();
	run();
	assert_told("");
	assert_idle();
}

static void test_the_first_change_of_routes_goes_at_once(void **state)
{
	(void)state;
	start_cli_with_one_link();
	pod_route(&h.pod, 4, "10.1.0.0/16", "10.0.0.1");
	look();
	step();
	assert_told("set-routes");
}

static void test_a_storm_of_routes_is_told_in_few_sets(void **state)
{
	uint64_t first;

	(void)state;
	start_cli_with_one_link();
	first = h.now_usec;
	for (int i = 0; i < 50; i++) {
		pod_route(&h.pod, 4, "10.0.0.0/16", "10.0.0.1")->dst[1] = (uint8_t)(i + 1);
		look();
		run_for(4 * MSEC);
	}
	run();
	assert_told("set-routes, set-routes, set-routes");
	assert_true(h.told[h.n_told - 2].at_usec >= first + RECONCILE_SET_GAP_USEC);
	assert_true(h.told[h.n_told - 1].at_usec >= first + 2 * RECONCILE_SET_GAP_USEC);
	assert_int_equal(h.guest.net.n_routes, 51);
	assert_idle();
}

static void test_the_gap_between_sets_holds_up_no_link(void **state)
{
	(void)state;
	start_cli_with_one_link();
	pod_route(&h.pod, 4, "10.1.0.0/16", "10.0.0.1");
	look();
	run_for(MSEC);
	assert_told("set-routes");
	pod_drop_link(&h.pod, 4);
	look();
	run_for(MSEC);
	assert_told("del-link 4");
	run();
	assert_told("set-routes");
}

static void test_routes_wait_until_their_dump_is_clean_and_links_do_not(void **state)
{
	(void)state;
	start_cli_with_one_link();
	h.routes_unsettled = true;
	add_link(5, NULL);
	pod_addr(&h.pod, 5, "10.0.5.2/24");
	pod_route(&h.pod, 5, "10.5.0.0/16", NULL);
	look();
	run();
	assert_told("add-link 5");
	/* it waits for news, not for a time: no spinning, and not idle */
	assert_true(reconcile_deadline(&h.r) == CLOCK_NEVER);
	assert_false(reconcile_is_idle(&h.r));
	h.routes_unsettled = false;
	run();
	assert_told("set-routes");
	assert_idle();
}

static void test_single_routes_wait_too(void **state)
{
	(void)state;
	start(&caps_record);
	h.routes_unsettled = true;
	add_link(4, "10.0.0.2/24");
	pod_route(&h.pod, 4, "0.0.0.0/0", "10.0.0.1");
	pod_neigh(&h.pod, 4, "10.0.0.1", 1);
	look();
	run();
	assert_told("add-link 4, add-neighbour 4");
	h.routes_unsettled = false;
	run();
	assert_told("add-route 4");
}

static void test_routes_that_are_what_they_were_wait_for_nothing(void **state)
{
	(void)state;
	start_cli_with_one_link();
	h.routes_unsettled = true;
	look();
	run();
	assert_idle();
}

/* An empty set is a set. */
static void test_the_last_route_is_withdrawn_by_an_empty_set(void **state)
{
	(void)state;
	start_cli_with_one_link();
	pod_drop_route(&h.pod, "0.0.0.0/0");
	look();
	run();
	assert_told("set-routes");
	assert_int_equal(h.guest.net.n_routes, 0);
}

static void test_a_set_that_failed_is_due_even_when_the_truth_goes_back(void **state)
{
	(void)state;
	start_cli_with_one_link();
	fail_always(0, BIT(PLAN_ROUTES_SET), SINK_RETRY);
	h.trouble.times = 1;
	pod_route(&h.pod, 4, "10.1.0.0/16", "10.0.0.1");
	look();
	step();
	finish();
	pod_drop_route(&h.pod, "10.1.0.0/16");
	look();
	run();
	assert_told("set-routes, set-routes");
	assert_idle();
}

/* ---- failures ---- */

static void test_one_link_that_always_fails_holds_up_nobody(void **state)
{
	uint64_t begun;

	(void)state;
	start(&caps_cli);
	run();
	fail_always(4, BIT(PLAN_LINK_ADD), SINK_RETRY);
	for (uint32_t i = 4; i < 7; i++) {
		add_link(i, "10.0.0.2/24");
		pod_route(&h.pod, i,
			  i == 4   ? "10.4.0.0/16"
			  : i == 5 ? "10.5.0.0/16"
				   : "10.6.0.0/16",
			  NULL);
	}
	h.now_usec += SEC;
	begun = h.now_usec;
	look();
	run_for(60 * MSEC);
	assert_told("set-routes, add-link 4, add-link 5, add-link 6, set-routes");
	assert_true(h.told[h.n_told - 1].at_usec - begun < 60 * MSEC);
	assert_int_equal(h.guest.net.n_routes, 2); /* its own route waits with it */
	h.trouble.times = 0;
	run();
	assert_told("add-link 4, set-routes");
	assert_int_equal(h.guest.net.n_routes, 3);
	assert_idle();
}

static void test_a_failing_route_set_holds_up_no_link(void **state)
{
	(void)state;
	start_cli_with_one_link();
	fail_always(0, BIT(PLAN_ROUTES_SET), SINK_RETRY);
	pod_route(&h.pod, 4, "10.1.0.0/16", "10.0.0.1");
	look();
	run_for(10 * MSEC);
	assert_told("set-routes");
	add_link(5, "10.0.5.2/24");
	look();
	run_for(40 * MSEC);
	assert_told("add-link 5");
}

static void test_a_failing_neighbour_holds_up_no_other(void **state)
{
	(void)state;
	start(&caps_record);
	fail_always(4, BIT(PLAN_NEIGH_ADD), SINK_RETRY);
	add_link(4, "10.0.0.2/24");
	add_link(5, "10.0.5.2/24");
	pod_neigh(&h.pod, 4, "10.0.0.1", 1);
	pod_neigh(&h.pod, 5, "10.0.5.1", 1);
	look();
	run_for(20 * MSEC);
	assert_told("add-link 4, add-link 5, add-neighbour 4, add-neighbour 5");
	pod_route(&h.pod, 4, "0.0.0.0/0", "10.0.0.1");
	look();
	run_for(20 * MSEC);
	assert_told("add-route 4");
}

static void test_a_failing_deletion_holds_up_no_other(void **state)
{
	(void)state;
	start(&caps_cli);
	add_link(4, "10.0.0.2/24");
	add_link(5, "10.0.5.2/24");
	look();
	run();
	h.n_checked = h.n_told;
	fail_always(4, BIT(PLAN_LINK_DEL), SINK_RETRY);
	pod_drop_link(&h.pod, 4);
	pod_drop_link(&h.pod, 5);
	look();
	run_for(20 * MSEC);
	assert_told("del-link 4, del-link 5");
	h.trouble.times = 0;
	run();
	assert_told("del-link 4");
	assert_idle();
}

/* Three quarters to five quarters of 100 ms, 200 ms, ... 10 s, 10 s. */
static void test_the_times_double_to_ten_seconds_with_jitter(void **state)
{
	uint64_t nominal = BACKOFF_FIRST_USEC;
	unsigned exact = 0;

	(void)state;
	start(&caps_record);
	h.op_usec = 0;
	fail_always(4, BIT(PLAN_LINK_ADD), SINK_RETRY);
	add_link(4, NULL);
	look();
	run_for(120 * SEC);
	assert_in_range(h.n_told, 14, 26);
	for (size_t i = 1; i < h.n_told; i++) {
		uint64_t gap = h.told[i].at_usec - h.told[i - 1].at_usec;

		assert_true(gap >= nominal - nominal / 4);
		assert_true(gap <= nominal + nominal / 4);
		exact += gap == nominal;
		nominal = nominal * 2 > BACKOFF_MAX_USEC ? BACKOFF_MAX_USEC : nominal * 2;
	}
	assert_true(exact < 3);
	assert_true(h.last_attempt == h.n_told);
	assert_string_equal(h.last_result, "retry");
	assert_string_equal(h.last_reason, "trouble");
	assert_string_equal(h.last_interface, "eth4");
}

static void test_two_seeds_have_two_jitters(void **state)
{
	uint64_t first;

	(void)state;
	for (int i = 0; i < 2; i++) {
		teardown(NULL);
		setup(NULL);
		start(&caps_record);
		h.r.backoff.random += (unsigned)i * 1000;
		h.op_usec = 0;
		fail_always(4, BIT(PLAN_LINK_ADD), SINK_RETRY);
		add_link(4, NULL);
		look();
		run_for(SEC);
		if (i == 0)
			first = h.told[1].at_usec;
		else
			assert_true(h.told[1].at_usec != first);
	}
}

static void test_success_ends_the_backoff(void **state)
{
	(void)state;
	start(&caps_record);
	h.op_usec = 0;
	h.trouble = (struct trouble){ .verbs = BIT(PLAN_LINK_ADD) | BIT(PLAN_LINK_UPDATE),
				      .times = 6,
				      .result = SINK_RETRY };
	add_link(4, NULL);
	look();
	run();
	assert_int_equal(h.n_told, 7);
	assert_idle();
	assert_int_equal(backoff_count(&h.r.backoff), 0);
	h.trouble.times = 1;
	pod_addr(&h.pod, 4, "10.0.0.2/24");
	look();
	run();
	assert_int_equal(h.n_told, 9);
	assert_true(h.told[8].at_usec - h.told[7].at_usec <= BACKOFF_FIRST_USEC * 5 / 4);
}

static void test_news_does_not_shorten_a_backoff(void **state)
{
	(void)state;
	start(&caps_record);
	fail_always(4, BIT(PLAN_LINK_ADD), SINK_RETRY);
	add_link(4, NULL);
	look();
	run_for(10 * MSEC);
	assert_told("add-link 4");
	for (int i = 0; i < 5; i++) {
		pod_find_link(&h.pod, 4)->mtu++;
		look();
		run_for(10 * MSEC);
	}
	assert_told("");
}

static void test_a_link_that_failed_and_went_is_forgotten(void **state)
{
	(void)state;
	start(&caps_record);
	fail_always(4, BIT(PLAN_LINK_ADD), SINK_RETRY);
	add_link(4, NULL);
	look();
	run_for(10 * SEC);
	h.n_checked = h.n_told;
	pod_drop_link(&h.pod, 4);
	look();
	run();
	assert_told("");
	assert_idle();
	assert_int_equal(backoff_count(&h.r.backoff), 0);
}

static void test_a_sink_that_can_not_begin_is_a_retry(void **state)
{
	(void)state;
	start(&caps_record);
	h.op_usec = 0;
	h.begin_fails = 3;
	add_link(4, NULL);
	look();
	step();
	assert_false(h.in_flight);
	assert_int_equal(h.outcomes, 1);
	assert_int_equal(h.outcomes_done, 0);
	assert_int_equal(h.audited[AUDIT_OP], 1);
	assert_string_equal(h.last_result, "retry");
	assert_non_null(strstr(h.last_reason, "begin"));
	assert_string_equal(err_text(), "no error");
	run();
	assert_told("add-link 4");
	assert_true(h.now_usec >= 1000 * SEC + 500 * MSEC); /* 100 + 200 + 400 ms, with jitter */
	assert_idle();
}

static void test_an_answer_without_a_question_is_ignored(void **state)
{
	struct sink_outcome outcome = { .result = SINK_DONE, .reason = "" };

	(void)state;
	start(&caps_record);
	h.sink.done(h.sink.userdata, &outcome);
	add_link(4, NULL);
	look();
	run();
	h.sink.done(h.sink.userdata, &outcome);
	assert_told("add-link 4");
	assert_int_equal(h.outcomes, 1);
	assert_idle();
}

/* ---- refusals ---- */

static void test_a_refused_link_is_asked_twice_and_then_quiet(void **state)
{
	(void)state;
	start(&caps_record);
	fail_always(4, BIT(PLAN_LINK_ADD), SINK_REFUSED);
	add_link(4, "10.0.0.2/24");
	pod_route(&h.pod, 4, "0.0.0.0/0", "10.0.0.1");
	look();
	run();
	assert_told("add-link 4, add-link 4");
	assert_idle();
	assert_int_equal(h.r.stats.refused, 2);
	assert_true(reconcile_drift(&h.r) > 0);
	look(); /* news, but the same value */
	run_for(100 * SEC);
	assert_told("");
	h.trouble.times = 0;
	pod_addr(&h.pod, 4, "10.0.0.3/24");
	look();
	run();
	assert_told("add-link 4, add-route 4");
	assert_idle();
}

static void test_a_refused_update_is_asked_twice_and_then_quiet(void **state)
{
	(void)state;
	start(&caps_record);
	add_link(4, NULL);
	look();
	run();
	h.n_checked = h.n_told;
	fail_always(4, BIT(PLAN_LINK_UPDATE), SINK_REFUSED);
	pod_find_link(&h.pod, 4)->mtu = 9000;
	look();
	run();
	assert_told("update-link 4, update-link 4");
	assert_idle();
	pod_find_link(&h.pod, 4)->mtu = 1500;
	look();
	run();
	assert_told("");
	assert_int_equal(h.guest.net.links[0].mtu, 1500);
}

static void test_a_refused_route_set_is_asked_twice_and_then_quiet(void **state)
{
	(void)state;
	start_cli_with_one_link();
	fail_always(0, BIT(PLAN_ROUTES_SET), SINK_REFUSED);
	pod_route(&h.pod, 4, "10.1.0.0/16", "10.0.0.1");
	look();
	run();
	assert_told("set-routes, set-routes");
	assert_idle();
	h.trouble.times = 0;
	pod_route(&h.pod, 4, "10.2.0.0/16", "10.0.0.1");
	look();
	run();
	assert_told("set-routes");
	assert_int_equal(h.guest.net.n_routes, 3);
}

static void test_a_refused_route_holds_up_no_other(void **state)
{
	(void)state;
	start(&caps_record);
	add_link(4, "10.0.0.2/24");
	add_link(5, "10.0.5.2/24");
	look();
	run();
	h.n_checked = h.n_told;
	fail_always(4, BIT(PLAN_ROUTE_ADD), SINK_REFUSED);
	pod_route(&h.pod, 4, "10.4.0.0/16", NULL);
	pod_route(&h.pod, 5, "10.5.0.0/16", NULL);
	look();
	run();
	assert_told("add-route 4, add-route 5, add-route 4");
	assert_idle();
}

static void test_a_refused_neighbour_is_asked_twice_and_then_quiet(void **state)
{
	(void)state;
	start(&caps_record);
	add_link(4, NULL);
	look();
	run();
	h.n_checked = h.n_told;
	fail_always(4, BIT(PLAN_NEIGH_ADD), SINK_REFUSED);
	pod_neigh(&h.pod, 4, "10.0.0.1", 1);
	look();
	run();
	assert_told("add-neighbour 4, add-neighbour 4");
	assert_idle();
	h.trouble.times = 0;
	h.pod.neighs[0].mac[5] = 2;
	look();
	run();
	assert_told("add-neighbour 4");
}

static void test_refused_once_and_then_done_is_done(void **state)
{
	(void)state;
	start(&caps_record);
	fail_always(4, BIT(PLAN_LINK_ADD), SINK_REFUSED);
	h.trouble.times = 1;
	add_link(4, NULL);
	look();
	run();
	assert_told("add-link 4, add-link 4");
	assert_true(guest_has_link(&h.guest, 4));
	assert_int_equal(reconcile_drift(&h.r), 0);
}

/* What is gone from the pod must go from the guest, however often it says no. */
static void test_a_deletion_is_never_refused_for_good(void **state)
{
	(void)state;
	start(&caps_record);
	add_link(4, NULL);
	look();
	run();
	h.n_checked = h.n_told;
	fail_always(4, BIT(PLAN_LINK_DEL), SINK_REFUSED);
	h.trouble.times = 5;
	pod_drop_link(&h.pod, 4);
	look();
	run();
	assert_told("del-link 4, del-link 4, del-link 4, del-link 4, del-link 4, del-link 4");
	assert_idle();
	assert_int_equal(h.guest.net.n_links, 0);
}

/* ---- the truth moves on ---- */

static void test_nothing_is_begun_or_planned_while_an_op_is_in_flight(void **state)
{
	uint64_t plans;

	(void)state;
	start(&caps_record);
	add_link(4, NULL);
	look();
	step();
	plans = h.r.stats.plans;
	add_link(5, NULL);
	look();
	for (int i = 0; i < 5; i++)
		step();
	assert_told("add-link 4");
	assert_true(h.r.stats.plans == plans);
	assert_true(reconcile_deadline(&h.r) == CLOCK_NEVER);
	assert_false(reconcile_is_idle(&h.r));
	finish();
	run();
	assert_told("add-link 5");
}

static void test_newer_truth_replaces_unsent_work(void **state)
{
	(void)state;
	start(&caps_record);
	for (uint32_t i = 4; i < 8; i++)
		add_link(i, NULL);
	look();
	step();
	pod_drop_link(&h.pod, 5);
	pod_find_link(&h.pod, 6)->mtu = 9000;
	look();
	finish();
	run();
	assert_told("add-link 4, add-link 6, add-link 7");
	assert_idle();
}

static void test_a_link_that_goes_while_it_is_added_is_deleted(void **state)
{
	(void)state;
	start(&caps_record);
	add_link(4, "10.0.0.2/24");
	look();
	step();
	pod_drop_link(&h.pod, 4);
	look();
	finish();
	run();
	assert_told("add-link 4, del-link 4");
	assert_int_equal(h.guest.net.n_links, 0);
}

static void test_a_link_that_changes_while_it_is_added_is_updated(void **state)
{
	(void)state;
	start(&caps_record);
	add_link(4, NULL);
	look();
	step();
	pod_addr(&h.pod, 4, "10.0.0.2/24");
	look();
	finish();
	run();
	assert_told("add-link 4, update-link 4");
	assert_int_equal(h.guest.net.n_addrs, 1);
}

static void test_another_life_of_a_link_while_it_is_added_is_told_anew(void **state)
{
	(void)state;
	start(&caps_record);
	add_link(4, NULL);
	look();
	step();
	pod_find_link(&h.pod, 4)->incarnation = 1;
	look();
	finish();
	run();
	assert_told("add-link 4, del-link 4, add-link 4");
}

static void test_a_failed_op_that_nobody_wants_any_more_is_not_repeated(void **state)
{
	(void)state;
	start(&caps_record);
	fail_always(4, BIT(PLAN_LINK_ADD), SINK_RETRY);
	add_link(4, NULL);
	look();
	step();
	pod_drop_link(&h.pod, 4);
	look();
	finish();
	run();
	assert_told("add-link 4");
	assert_idle();
}

/*
 * The deletion waits out its backoff; meanwhile the guest still has the link and its route, so the
 * new one can not be an addition.
 */
static void test_a_route_moves_off_a_link_whose_deletion_fails(void **state)
{
	(void)state;
	start(&caps_record);
	add_link(4, "10.0.4.2/24");
	add_link(5, "10.0.5.2/24");
	pod_route(&h.pod, 4, "0.0.0.0/0", "10.0.4.1");
	look();
	run();
	fail_always(4, BIT(PLAN_LINK_DEL), SINK_RETRY);
	h.trouble.times = 3;
	pod_drop_link(&h.pod, 4);
	pod_route(&h.pod, 5, "0.0.0.0/0", "10.0.5.1");
	look();
	run(); /* the guest fails the test over an op that it can't carry out */
	assert_idle();
	assert_int_equal(h.guest.net.n_links, 1);
	assert_int_equal(h.guest.net.n_routes, 1);
	assert_int_equal(h.guest.net.routes[0].ifindex, 5);
}

/* MAC is the guest's key: Docker gives a network that is left and joined again the same one. */
static void test_a_mac_is_not_told_again_while_the_deletion_of_its_link_fails(void **state)
{
	(void)state;
	start(&caps_cli);
	run();
	add_link(4, "10.0.4.2/24");
	look();
	run();
	h.n_checked = h.n_told;
	fail_always(4, BIT(PLAN_LINK_DEL), SINK_RETRY);
	h.trouble.times = 2;
	add_link(5, "10.0.4.2/24");
	memcpy(pod_find_link(&h.pod, 5)->mac, pod_find_link(&h.pod, 4)->mac, MODEL_MAC_BYTES);
	pod_drop_link(&h.pod, 4);
	look();
	run();
	assert_told("del-link 4, del-link 4, del-link 4, add-link 5");
}

/* ---- outcomes that nobody knows ---- */

static void test_an_unknown_addition_is_asked_about(void **state)
{
	(void)state;
	start(&caps_record);
	h.trouble = (struct trouble){ .ifindex = 4,
				      .verbs = BIT(PLAN_LINK_ADD),
				      .times = 1,
				      .result = SINK_RETRY,
				      .is_unknown = true,
				      .is_done = true };
	add_link(4, NULL);
	look();
	run();
	assert_told("add-link 4, add-link 4 maybe");
	assert_idle();
	/* known now: another life of it is plain */
	pod_find_link(&h.pod, 4)->incarnation = 1;
	look();
	run();
	assert_told("del-link 4, add-link 4");
}

/* There, but not as it should be: taken back and told again, at once. */
static void test_a_stale_addition_is_deleted_and_added(void **state)
{
	uint64_t begun_usec;

	(void)state;
	start(&caps_record);
	h.guest_is_doubted = true;
	h.trouble = (struct trouble){ .ifindex = 4,
				      .verbs = BIT(PLAN_LINK_ADD),
				      .times = 1,
				      .result = SINK_STALE,
				      .is_done = true };
	begun_usec = h.now_usec;
	add_link(4, "10.0.4.2/24");
	look();
	run();
	assert_told("add-link 4, del-link 4, add-link 4");
	assert_true(h.now_usec - begun_usec < BACKOFF_FIRST_USEC / 2);
	assert_idle();
}

static void test_an_unknown_addition_is_taken_back_when_its_link_goes(void **state)
{
	(void)state;
	start(&caps_record);
	h.trouble = (struct trouble){ .ifindex = 4,
				      .verbs = BIT(PLAN_LINK_ADD),
				      .times = 1,
				      .result = SINK_RETRY,
				      .is_unknown = true,
				      .is_done = true };
	add_link(4, NULL);
	look();
	step();
	finish();
	pod_drop_link(&h.pod, 4);
	look();
	run();
	assert_told("add-link 4, del-link 4");
	assert_int_equal(h.guest.net.n_links, 0);
	assert_idle();
}

static void test_an_unknown_addition_of_a_former_life_is_taken_back_first(void **state)
{
	(void)state;
	start(&caps_record);
	h.trouble = (struct trouble){ .ifindex = 4,
				      .verbs = BIT(PLAN_LINK_ADD),
				      .times = 1,
				      .result = SINK_RETRY,
				      .is_unknown = true,
				      .is_done = true };
	add_link(4, NULL);
	look();
	step();
	finish();
	pod_find_link(&h.pod, 4)->incarnation = 1;
	look();
	run();
	assert_told("add-link 4, del-link 4, add-link 4");
	assert_idle();
}

/*
 * A replug whose deletion may have been done, and the change that led to it is taken back: the
 * guest may be without the link.
 */
static void test_an_unknown_deletion_is_repeated_though_the_change_was_taken_back(void **state)
{
	(void)state;
	start_cli_with_one_link();
	h.trouble = (struct trouble){ .ifindex = 4,
				      .verbs = BIT(PLAN_LINK_DEL),
				      .times = 1,
				      .result = SINK_RETRY,
				      .is_unknown = true,
				      .is_done = true };
	pod_addr(&h.pod, 4, "2001:db8::2/64");
	look();
	run_for(30 * MSEC);
	assert_false(guest_has_link(&h.guest, 4));
	pod_drop_addr(&h.pod, 4, "2001:db8::2/64");
	look();
	run();
	assert_true(guest_has_link(&h.guest, 4));
	assert_idle();
}

/* ---- learnt state through the whole loop ---- */

static void test_a_learnt_neighbour_that_became_permanent_is_withdrawn(void **state)
{
	struct neigh *n;

	(void)state;
	start(&caps_record);
	add_link(4, "10.0.0.2/24");
	pod_route(&h.pod, 4, "0.0.0.0/0", "10.0.0.1");
	n = pod_neigh(&h.pod, 4, "10.0.0.1", 1);
	n->state = NUD_REACHABLE;
	n->learnt = 1;
	look();
	run();
	assert_told("add-link 4, add-route 4, add-neighbour 4");
	n->state = NUD_PERMANENT;
	n->learnt = 0;
	look();
	run();
	assert_told("");
	pod_drop_neigh(&h.pod, "10.0.0.1");
	look();
	run();
	assert_told("del-neighbour 4");
}

static void test_a_learnt_route_that_became_static_is_withdrawn(void **state)
{
	(void)state;
	start(&caps_record);
	add_link(4, "2001:db8::2/64");
	pod_route(&h.pod, 4, "::/0", "fe80::1")->flags |= MODEL_ROUTE_LEARNT;
	look();
	run();
	assert_told("add-link 4, add-route 4");
	h.pod.routes[0].flags &= (uint8_t)(~MODEL_ROUTE_LEARNT & 0x1f);
	look();
	run();
	assert_told("");
	pod_drop_route(&h.pod, "::/0");
	look();
	run();
	assert_told("del-route 4");
}

static void test_a_learnt_route_that_expires_stays(void **state)
{
	(void)state;
	start_cli_with_one_link();
	pod_route(&h.pod, 4, "::/0", "fe80::1")->flags |= MODEL_ROUTE_LEARNT;
	look();
	run();
	assert_told("set-routes");
	h.now_usec += SEC;
	pod_drop_route(&h.pod, "::/0");
	look();
	run();
	look();
	run();
	assert_told("");
	assert_idle();
	assert_int_equal(h.guest.net.n_routes, 2);
}

/* ---- settling ---- */

static void test_a_link_in_cnis_order_is_told_once_with_all_its_addresses(void **state)
{
	uint64_t last;

	(void)state;
	start(&caps_cli);
	run();
	h.n_checked = h.n_told;
	h.now_usec += SEC;
	add_link(4, NULL);
	look();
	run_for(3 * MSEC);
	pod_addr(&h.pod, 4, "10.0.0.2/24");
	look();
	run_for(2 * MSEC);
	pod_addr(&h.pod, 4, "2001:db8::2/64");
	look();
	last = h.now_usec;
	run_for(2 * MSEC);
	pod_route(&h.pod, 4, "0.0.0.0/0", "10.0.0.1");
	look();
	run();
	assert_told("add-link 4, set-routes");
	assert_true(h.told[h.n_told - 2].at_usec == last + SETTLE_QUIET_USEC);
	assert_int_equal(h.guest.net.n_addrs, 2);
	assert_idle();
}

static void test_a_link_that_is_never_addressed_is_told_after_the_maximum(void **state)
{
	uint64_t begun;

	(void)state;
	start(&caps_cli);
	run();
	h.n_checked = h.n_told;
	add_link(4, NULL);
	look();
	begun = h.now_usec;
	run();
	assert_told("add-link 4");
	assert_true(h.told[h.n_told - 1].at_usec == begun + 500 * MSEC);
	assert_idle();
}

static void test_a_settling_link_holds_up_no_other(void **state)
{
	(void)state;
	start_cli_with_one_link();
	add_link(5, NULL);
	pod_route(&h.pod, 5, "10.5.0.0/16", NULL);
	pod_route(&h.pod, 4, "10.4.0.0/16", NULL);
	look();
	run_for(MSEC);
	assert_told("set-routes");
	assert_int_equal(h.guest.net.n_routes, 2);
	run();
	assert_told("add-link 5, set-routes");
}

static void test_a_sink_that_updates_waits_for_nothing(void **state)
{
	(void)state;
	start(&caps_record);
	run();
	add_link(4, NULL);
	look();
	step();
	assert_told("add-link 4");
}

/* IPv6 came 10 s after IPv4: one replug, and the routes after it. */
static void test_a_family_that_comes_late_is_one_replug(void **state)
{
	(void)state;
	start_cli_with_one_link();
	h.now_usec += 10 * SEC;
	pod_addr(&h.pod, 4, "2001:db8::2/64");
	look();
	run();
	assert_told("del-link 4, add-link 4, set-routes");
	assert_int_equal(h.guest.net.n_addrs, 2);
	pod_addr(&h.pod, 4, "2001:db8::3/64");
	look();
	run();
	assert_told("");
	assert_idle();
	assert_int_equal(reconcile_drift(&h.r), 1);
}

/* ---- the start ---- */

static void test_what_was_plugged_cold_is_not_told_and_one_set_is(void **state)
{
	(void)state;
	add_link(2, "10.0.0.2/24");
	pod_route(&h.pod, 2, "0.0.0.0/0", "10.0.0.1");
	start(&caps_cli);
	run();
	assert_told("set-routes");
	assert_int_equal(h.guest.net.n_routes, 1);
	assert_idle();
	pod_drop_link(&h.pod, 2);
	look();
	run();
	assert_told("del-link 2, set-routes");
}

/* The VM does not answer yet: the set is asked again. */
static void test_the_first_set_is_repeated_until_the_vm_answers(void **state)
{
	(void)state;
	add_link(2, "10.0.0.2/24");
	start(&caps_cli);
	fail_always(0, BIT(PLAN_ROUTES_SET), SINK_RETRY);
	h.trouble.times = 4;
	run();
	assert_told("set-routes, set-routes, set-routes, set-routes, set-routes");
	assert_idle();
}

static void test_a_sink_that_plugs_nothing_cold_is_told_everything(void **state)
{
	(void)state;
	add_link(2, "10.0.0.2/24");
	start(&caps_record);
	run();
	assert_told("add-link 2");
}

/* The runtime may have plugged it though it was down. */
static void test_a_link_that_was_down_but_addressed_may_be_there(void **state)
{
	(void)state;
	add_link(2, "10.0.0.2/24");
	pod_find_link(&h.pod, 2)->flags = 0;
	add_link(3, NULL);
	pod_find_link(&h.pod, 3)->flags = 0;
	start(&caps_cli);
	run();
	assert_told("set-routes");
	h.guest_is_doubted = true;
	pod_find_link(&h.pod, 2)->flags = IFF_UP | (uint32_t)IFF_LOWER_UP;
	pod_find_link(&h.pod, 3)->flags = IFF_UP | (uint32_t)IFF_LOWER_UP;
	look();
	run();
	assert_told("add-link 2 maybe, add-link 3");
}

static void test_a_link_that_may_be_there_is_taken_back_when_it_goes(void **state)
{
	(void)state;
	add_link(2, "10.0.0.2/24");
	pod_find_link(&h.pod, 2)->flags = 0;
	start(&caps_cli);
	run();
	assert_told("set-routes");
	h.guest_is_doubted = true;
	pod_drop_link(&h.pod, 2);
	look();
	run();
	assert_told("del-link 2");
	assert_idle();
}

/* One rule for add and delete: what is not ours to tell is not ours to take back. */
static void test_the_runtimes_own_and_the_ignored_are_not_taken_back(void **state)
{
	(void)state;
	pod_link(&h.pod, 1, "lo")->flags = IFF_LOOPBACK;
	pod_addr(&h.pod, 1, "127.0.0.1/8");
	pod_link(&h.pod, 3, "tap0_kata")->flags = 0;
	pod_addr(&h.pod, 3, "10.0.3.2/24");
	start(&caps_cli);
	run();
	assert_told("set-routes");
	h.guest_is_doubted = true;
	pod_drop_link(&h.pod, 1);
	pod_drop_link(&h.pod, 3);
	look();
	run();
	assert_told("");
}

/* ---- a successor ---- */

/* What the predecessor had told: the pod as it is now, in guest form. */
static void predecessor_told(struct snapshot *ret)
{
	struct view_config config = { .kinds = VIEW_KINDS_DEFAULT, .caps = caps_record };
	CLEANUP(snapshot_done) struct snapshot seen = SNAPSHOT_NULL;
	CLEANUP(snapshot_done) struct snapshot none = SNAPSHOT_NULL;
	CLEANUP(view_notes_done) struct view_notes notes = { 0 };
	struct refused refused = { 0 };
	struct view_input in = {
		.seen = &seen,
		.acked = &none,
		.previous = &none,
		.refused = &refused,
		.now_usec = h.now_usec,
	};

	pod_snapshot(&h.pod, &seen);
	assert_int_equal(snapshot_init(&none), 0);
	assert_int_equal(view_build(&config, &in, ret, &notes), 0);
	h.now_usec += SEC;
}

static void test_a_successor_tells_exactly_what_changed(void **state)
{
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;

	(void)state;
	add_link(4, "10.0.4.2/24");
	pod_find_link(&h.pod, 4)->incarnation = 7; /* the predecessor's count */
	add_link(5, "10.0.5.2/24");
	add_link(6, "10.0.6.2/24");
	pod_route(&h.pod, 5, "0.0.0.0/0", "10.0.5.1");
	predecessor_told(&acked);
	pod_find_link(&h.pod, 4)->incarnation = 0;
	pod_drop_link(&h.pod, 6);
	add_link(7, NULL);
	pod_find_link(&h.pod, 5)->mtu = 9000;
	start_with(&caps_record, &(struct reconcile_past){ .acked = &acked });
	run();
	assert_told("del-link 6, add-link 7, update-link 5");
	assert_idle();
}

static void test_a_successor_of_the_same_is_idle(void **state)
{
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;

	(void)state;
	add_link(4, "10.0.4.2/24");
	pod_route(&h.pod, 4, "0.0.0.0/0", "10.0.4.1");
	predecessor_told(&acked);
	start_with(&caps_cli, &(struct reconcile_past){ .acked = &acked });
	run();
	assert_told("");
	assert_idle();
}

/* @before: what of link 4 was in acked; the op in flight was @verb; then the pod as it is. */
static void succeed(const struct sink_caps *caps, const struct snapshot *acked, enum plan_verb verb)
{
	struct reconcile_past past = {
		.acked = acked,
		.has_pending = true,
		.pending_verb = verb,
		.pending_link = {
			.ifindex = 4,
			.incarnation = 7,
			.mtu = 1500,
			.mac_bytes = MODEL_MAC_BYTES,
			.mac = { 2, 0, 0, 0, 0, 4 },
			.name = "eth4",
			.kind = "veth",
		},
	};

	h.guest_is_doubted = true;
	start_with(caps, &past);
	run();
	assert_idle();
}

static void test_a_pending_addition_is_repeated_as_maybe_done(void **state)
{
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;

	(void)state;
	predecessor_told(&acked);
	add_link(4, "10.0.4.2/24");
	succeed(&caps_cli, &acked, PLAN_LINK_ADD);
	assert_told("add-link 4 maybe");
}

static void test_a_pending_addition_whose_link_is_gone_is_taken_back(void **state)
{
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;

	(void)state;
	predecessor_told(&acked);
	succeed(&caps_cli, &acked, PLAN_LINK_ADD);
	assert_told("del-link 4");
}

static void test_a_pending_deletion_is_repeated(void **state)
{
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;

	(void)state;
	add_link(4, "10.0.4.2/24");
	predecessor_told(&acked);
	pod_drop_link(&h.pod, 4);
	succeed(&caps_cli, &acked, PLAN_LINK_DEL);
	assert_told("del-link 4");
}

static void test_a_pending_deletion_of_a_link_that_is_there_is_followed_by_an_addition(void **state)
{
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;

	(void)state;
	add_link(4, "10.0.4.2/24");
	predecessor_told(&acked);
	succeed(&caps_cli, &acked, PLAN_LINK_DEL);
	assert_told("del-link 4, add-link 4");
}

/*
 * Its deletion may have come through, and its addresses change: no route set may name it before it
 * is told anew.
 */
static void test_a_pending_deletion_goes_before_the_routes_while_its_link_settles(void **state)
{
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;

	(void)state;
	add_link(3, "10.0.3.2/24");
	add_link(4, "10.0.4.2/24");
	pod_route(&h.pod, 4, "10.9.0.0/16", "10.0.4.1");
	predecessor_told(&acked);
	pod_drop_link(&h.pod, 3);
	h.guest_is_doubted = true;
	start_with(&caps_cli, &(struct reconcile_past){ .acked = &acked,
							.has_pending = true,
							.pending_verb = PLAN_LINK_DEL,
							.pending_link = { .ifindex = 4 } });
	step();
	assert_told("del-link 3");
	pod_addr(&h.pod, 4, "10.0.4.3/24");
	pod_route(&h.pod, 4, "10.8.0.0/16", "10.0.4.1");
	look();
	finish();
	run();
	assert_told("del-link 4, set-routes, add-link 4, set-routes");
	assert_idle();
}

static void test_a_pending_update_is_repeated_though_the_change_was_taken_back(void **state)
{
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;

	(void)state;
	add_link(4, "10.0.4.2/24");
	predecessor_told(&acked);
	succeed(&caps_record, &acked, PLAN_LINK_UPDATE);
	assert_told("update-link 4");
}

static void test_after_a_pending_set_the_set_is_due(void **state)
{
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;

	(void)state;
	add_link(4, "10.0.4.2/24");
	predecessor_told(&acked);
	succeed(&caps_cli, &acked, PLAN_ROUTES_SET);
	assert_told("set-routes");
}

static void test_a_pending_route_or_neighbour_is_told_again_by_the_difference(void **state)
{
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;

	(void)state;
	add_link(4, "10.0.4.2/24");
	predecessor_told(&acked);
	pod_route(&h.pod, 4, "0.0.0.0/0", "10.0.4.1");
	pod_neigh(&h.pod, 4, "10.0.4.1", 1);
	succeed(&caps_record, &acked, PLAN_ROUTE_ADD);
	assert_told("add-route 4, add-neighbour 4");
}

/* Its predecessor had not heard either whether link 4 and link 5 were taken. */
static void test_a_successor_inherits_what_may_be_there(void **state)
{
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;
	struct link maybe[2];

	(void)state;
	predecessor_told(&acked);
	add_link(4, "10.0.4.2/24");
	add_link(5, "10.0.5.2/24");
	maybe[0] = *pod_find_link(&h.pod, 4);
	maybe[1] = *pod_find_link(&h.pod, 5);
	maybe[0].incarnation = maybe[1].incarnation = 7; /* the predecessor's count */
	pod_drop_link(&h.pod, 5);
	h.guest_is_doubted = true;
	start_with(&caps_cli,
		   &(struct reconcile_past){ .acked = &acked, .maybe = maybe, .n_maybe = 2 });
	run();
	assert_told("del-link 5, add-link 4 maybe");
	assert_idle();
}

/* ---- audit ---- */

static void test_every_op_is_audited_with_its_attempt(void **state)
{
	(void)state;
	start(&caps_record);
	fail_always(4, BIT(PLAN_LINK_ADD), SINK_RETRY);
	h.trouble.times = 2;
	add_link(4, NULL);
	look();
	run();
	assert_int_equal(h.audited[AUDIT_OP], 3);
	assert_int_equal(h.last_attempt, 3);
	assert_string_equal(h.last_result, "done");
	assert_string_equal(h.last_reason, "");
}

static void test_drift_is_audited_once_for_as_long_as_it_stands(void **state)
{
	(void)state;
	start(&caps_record);
	add_link(4, NULL);
	look();
	run();
	pod_route(&h.pod, 4, "10.0.0.0/8", NULL)->unsayable = MODEL_UNSAYABLE_TOS;
	look();
	run();
	assert_int_equal(h.audited[AUDIT_DRIFT], 1);
	assert_string_equal(h.last_result, "reported");
	assert_non_null(strstr(h.last_reason, "unsayable-route: 10.0.0.0/8"));
	assert_string_equal(h.last_interface, "eth4");
	look();
	run();
	assert_int_equal(h.audited[AUDIT_DRIFT], 1);
	assert_int_equal(reconcile_drift(&h.r), 1);
	pod_drop_route(&h.pod, "10.0.0.0/8");
	look();
	run();
	assert_int_equal(reconcile_drift(&h.r), 0);
	pod_route(&h.pod, 4, "10.0.0.0/8", NULL)->unsayable = MODEL_UNSAYABLE_TOS;
	look();
	run();
	assert_int_equal(h.audited[AUDIT_DRIFT], 2);
}

static void test_callbacks_may_be_missing(void **state)
{
	struct reconcile_journal none = { 0 };

	(void)state;
	start(&caps_record);
	h.r.config.audit = NULL;
	h.r.config.wake = NULL;
	h.r.config.journal.intent = NULL;
	h.r.config.journal.outcome = NULL;
	assert_null(none.intent);
	/* the counters of the journal stand still, so the sink's checks are fed by hand */
	add_link(4, NULL);
	look();
	h.intents = 1;
	step();
	h.outcomes = 1;
	finish();
	assert_told("add-link 4");
}

/* ---- the walk: any truth, any failure, any pace ---- */

static struct sink_caps random_caps(void)
{
	return (struct sink_caps){
		.routes_whole = random_net_chance(&random_state, 50),
		.updates_links = random_net_chance(&random_state, 50),
		.neighbours = random_net_chance(&random_state, 50),
		.settles = random_net_chance(&random_state, 50),
		.cold_plugged = random_net_chance(&random_state, 30),
		.route_mtu = random_net_chance(&random_state, 50),
		.route_onlink = random_net_chance(&random_state, 50),
		.route_family = random_net_chance(&random_state, 50),
	};
}

static void random_trouble(void)
{
	h.trouble = (struct trouble){
		.ifindex = random_net_below(&random_state, RANDOM_NET_LINKS + 1),
		.verbs = random_net_below(&random_state, BIT(_PLAN_VERB_MAX)),
		.times = random_net_below(&random_state, 6),
		.result = random_net_chance(&random_state, 70) ? SINK_RETRY : SINK_REFUSED,
	};
	h.begin_fails = random_net_chance(&random_state, 10);
	h.op_usec = random_net_below(&random_state, 300) * MSEC;
}

static void random_news(void)
{
	if (random_net_chance(&random_state, 70)) {
		snapshot_done(&h.seen);
		random_net_seen(&random_state, &h.seen);
	}
	h.routes_unsettled = random_net_chance(&random_state, 30);
	h.generation++;
}

/* One more look finds nothing to do: acked is what the view of the truth asks for. */
static void assert_converged(void)
{
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;
	CLEANUP(snapshot_done) struct snapshot wanted = SNAPSHOT_NULL;
	CLEANUP(view_notes_done) struct view_notes notes = { 0 };
	CLEANUP(plan_done) struct plan plan = PLAN_NULL;
	struct view_input in = {
		.seen = &h.seen,
		.acked = &acked,
		.previous = &h.r.wanted,
		.refused = &h.r.refused,
		.now_usec = h.now_usec,
	};

	assert_int_equal(reconcile_acked(&h.r, &acked), 0);
	assert_int_equal(view_build(&h.r.config.view, &in, &wanted, &notes), 0);
	assert_int_equal(diff_plan(&acked, &wanted, &h.r.config.view.caps, &plan), 0);
	if (refused_count(&h.r.refused) == 0)
		assert_int_equal(plan.n, 0);
	assert_acked_is_the_guest();
}

static void walk(void)
{
	struct sink_caps caps = random_caps();

	teardown(NULL);
	setup(NULL);
	start(&caps);
	for (int i = 0; i < 40; i++) {
		random_news();
		random_trouble();
		run_for(random_net_below(&random_state, 400) * MSEC);
	}
	h.trouble.times = 0;
	h.begin_fails = 0;
	h.routes_unsettled = false;
	run();
	assert_idle();
	assert_converged();
}

static void test_whatever_happens_the_guest_becomes_the_truth(void **state)
{
	(void)state;
	for (int i = 0; i < WALKS; i++)
		walk();
}

/* News may come between the beginning of an op and its end. */
static void walk_with_news_in_flight(void)
{
	struct sink_caps caps = random_caps();

	teardown(NULL);
	setup(NULL);
	start(&caps);
	for (int i = 0; i < 300; i++) {
		h.now_usec += random_net_below(&random_state, 50) * MSEC;
		if (random_net_chance(&random_state, 30))
			random_news();
		if (random_net_chance(&random_state, 10))
			random_trouble();
		step();
		if (h.in_flight && random_net_chance(&random_state, 60)) {
			finish();
			assert_acked_is_the_guest();
		}
	}
	if (h.in_flight)
		finish();
	h.trouble.times = 0;
	h.begin_fails = 0;
	h.routes_unsettled = false;
	run();
	assert_idle();
	assert_converged();
}

static void test_news_at_any_moment_ends_in_the_truth(void **state)
{
	(void)state;
	for (int i = 0; i < WALKS; i++)
		walk_with_news_in_flight();
}

static int start_group(void **state)
{
	(void)state;
	random_net_start(&random_state);
	return 0;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_an_empty_pod_is_no_work),
		CASE(test_before_the_start_nothing_is_done),
		CASE(test_all_of_a_pod_is_told_in_order),
		CASE(test_what_changes_is_told_and_nothing_else),
		CASE(test_news_without_change_is_no_work),
		CASE(test_a_step_without_news_makes_no_plan),
		CASE(test_acked_counts_what_is_done_in_the_middle_of_a_plan),
		CASE(test_all_additions_come_before_one_set),
		CASE(test_identical_sets_are_not_sent_twice),
		CASE(test_the_first_change_of_routes_goes_at_once),
		CASE(test_a_storm_of_routes_is_told_in_few_sets),
		CASE(test_the_gap_between_sets_holds_up_no_link),
		CASE(test_routes_wait_until_their_dump_is_clean_and_links_do_not),
		CASE(test_single_routes_wait_too),
		CASE(test_routes_that_are_what_they_were_wait_for_nothing),
		CASE(test_the_last_route_is_withdrawn_by_an_empty_set),
		CASE(test_a_set_that_failed_is_due_even_when_the_truth_goes_back),
		CASE(test_one_link_that_always_fails_holds_up_nobody),
		CASE(test_a_failing_route_set_holds_up_no_link),
		CASE(test_a_failing_neighbour_holds_up_no_other),
		CASE(test_a_failing_deletion_holds_up_no_other),
		CASE(test_the_times_double_to_ten_seconds_with_jitter),
		CASE(test_two_seeds_have_two_jitters),
		CASE(test_success_ends_the_backoff),
		CASE(test_news_does_not_shorten_a_backoff),
		CASE(test_a_link_that_failed_and_went_is_forgotten),
		CASE(test_a_sink_that_can_not_begin_is_a_retry),
		CASE(test_an_answer_without_a_question_is_ignored),
		CASE(test_a_refused_link_is_asked_twice_and_then_quiet),
		CASE(test_a_refused_update_is_asked_twice_and_then_quiet),
		CASE(test_a_refused_route_set_is_asked_twice_and_then_quiet),
		CASE(test_a_refused_route_holds_up_no_other),
		CASE(test_a_refused_neighbour_is_asked_twice_and_then_quiet),
		CASE(test_refused_once_and_then_done_is_done),
		CASE(test_a_deletion_is_never_refused_for_good),
		CASE(test_nothing_is_begun_or_planned_while_an_op_is_in_flight),
		CASE(test_newer_truth_replaces_unsent_work),
		CASE(test_a_link_that_goes_while_it_is_added_is_deleted),
		CASE(test_a_link_that_changes_while_it_is_added_is_updated),
		CASE(test_another_life_of_a_link_while_it_is_added_is_told_anew),
		CASE(test_a_failed_op_that_nobody_wants_any_more_is_not_repeated),
		CASE(test_a_route_moves_off_a_link_whose_deletion_fails),
		CASE(test_a_mac_is_not_told_again_while_the_deletion_of_its_link_fails),
		CASE(test_an_unknown_addition_is_asked_about),
		CASE(test_a_stale_addition_is_deleted_and_added),
		CASE(test_an_unknown_addition_is_taken_back_when_its_link_goes),
		CASE(test_an_unknown_addition_of_a_former_life_is_taken_back_first),
		CASE(test_an_unknown_deletion_is_repeated_though_the_change_was_taken_back),
		CASE(test_a_learnt_neighbour_that_became_permanent_is_withdrawn),
		CASE(test_a_learnt_route_that_became_static_is_withdrawn),
		CASE(test_a_learnt_route_that_expires_stays),
		CASE(test_a_link_in_cnis_order_is_told_once_with_all_its_addresses),
		CASE(test_a_link_that_is_never_addressed_is_told_after_the_maximum),
		CASE(test_a_settling_link_holds_up_no_other),
		CASE(test_a_sink_that_updates_waits_for_nothing),
		CASE(test_a_family_that_comes_late_is_one_replug),
		CASE(test_what_was_plugged_cold_is_not_told_and_one_set_is),
		CASE(test_the_first_set_is_repeated_until_the_vm_answers),
		CASE(test_a_sink_that_plugs_nothing_cold_is_told_everything),
		CASE(test_a_link_that_was_down_but_addressed_may_be_there),
		CASE(test_a_link_that_may_be_there_is_taken_back_when_it_goes),
		CASE(test_the_runtimes_own_and_the_ignored_are_not_taken_back),
		CASE(test_a_successor_tells_exactly_what_changed),
		CASE(test_a_successor_of_the_same_is_idle),
		CASE(test_a_pending_addition_is_repeated_as_maybe_done),
		CASE(test_a_pending_addition_whose_link_is_gone_is_taken_back),
		CASE(test_a_pending_deletion_is_repeated),
		CASE(test_a_pending_deletion_of_a_link_that_is_there_is_followed_by_an_addition),
		CASE(test_a_pending_deletion_goes_before_the_routes_while_its_link_settles),
		CASE(test_a_pending_update_is_repeated_though_the_change_was_taken_back),
		CASE(test_after_a_pending_set_the_set_is_due),
		CASE(test_a_pending_route_or_neighbour_is_told_again_by_the_difference),
		CASE(test_a_successor_inherits_what_may_be_there),
		CASE(test_every_op_is_audited_with_its_attempt),
		CASE(test_drift_is_audited_once_for_as_long_as_it_stands),
		CASE(test_callbacks_may_be_missing),
		CASE(test_whatever_happens_the_guest_becomes_the_truth),
		CASE(test_news_at_any_moment_ends_in_the_truth),
	};

	return cmocka_run_group_tests(tests, start_group, NULL);
}
