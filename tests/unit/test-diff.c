/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The laws of plans, on random networks and against the dull guest of guest.h; then the order of a
 * plan by value.
 */
#include "netmon/diff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "tests/unit/guest.h"
#include "tests/unit/pod.h"
#include "tests/unit/random-net.h"

#define ROUNDS 6000

static struct random_net random_state;

static const struct sink_caps caps_cli = { .routes_whole = true };
static const struct sink_caps caps_record = { .updates_links = true, .neighbours = true };

/* Every mixture of what a sink can be told, the two real ones among them. */
static struct sink_caps random_caps(void)
{
	return (struct sink_caps){
		.routes_whole = random_net_chance(&random_state, 50),
		.updates_links = random_net_chance(&random_state, 50),
		.neighbours = random_net_chance(&random_state, 50),
	};
}

static void drop_neighs(struct snapshot *s)
{
	struct table *t = NULL;

	assert_int_equal(table_new(&t, MODEL_NEIGH), 0);
	table_seal(t);
	snapshot_replace(s, t);
}

/* A network that this sink's guest can have: view.c leaves out what can't be told. */
static void random_guest(const struct sink_caps *caps, struct snapshot *ret)
{
	random_net_guest(&random_state, ret);
	if (!caps->neighbours)
		drop_neighs(ret);
}

static void plan_between(const struct snapshot *a, const struct snapshot *b,
			 const struct sink_caps *caps, struct plan *ret)
{
	assert_int_equal(diff_plan(a, b, caps, ret), 0);
}

/* ---- the laws ---- */

static void test_a_network_does_not_differ_from_itself(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		CLEANUP(snapshot_done) struct snapshot a = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot same = SNAPSHOT_NULL;
		CLEANUP(plan_done) struct plan shared = PLAN_NULL;
		CLEANUP(plan_done) struct plan equal = PLAN_NULL;
		struct sink_caps caps = random_caps();

		random_guest(&caps, &a);
		random_net_shuffle(&random_state, &a, &same);
		plan_between(&a, &a, &caps, &shared);
		plan_between(&a, &same, &caps, &equal);
		assert_int_equal(shared.n, 0);
		assert_int_equal(equal.n, 0);
	}
}

static void check_whole_plan(const struct sink_caps *caps)
{
	CLEANUP(snapshot_done) struct snapshot a = SNAPSHOT_NULL;
	CLEANUP(snapshot_done) struct snapshot b = SNAPSHOT_NULL;
	CLEANUP(snapshot_done) struct snapshot result = SNAPSHOT_NULL;
	CLEANUP(plan_done) struct plan p = PLAN_NULL;

	random_guest(caps, &a);
	random_guest(caps, &b);
	a.routes_stale = caps->routes_whole && random_net_chance(&random_state, 20);
	plan_between(&a, &b, caps, &p);
	assert_int_equal(plan_apply(&p, p.n, &result), 0);
	assert_true(snapshot_equal(&result, &b));
}

static void test_the_whole_plan_leads_to_the_other_network(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct sink_caps caps = random_caps();

		check_whole_plan(&caps);
		check_whole_plan(&caps_cli);
		check_whole_plan(&caps_record);
	}
}

/* The guest is led op by op, and after each plan_apply() must say the same as it. */
static void check_prefixes(const struct sink_caps *caps)
{
	CLEANUP(snapshot_done) struct snapshot a = SNAPSHOT_NULL;
	CLEANUP(snapshot_done) struct snapshot b = SNAPSHOT_NULL;
	CLEANUP(plan_done) struct plan p = PLAN_NULL;
	struct guest guest;

	random_guest(caps, &a);
	random_guest(caps, &b);
	a.routes_stale = caps->routes_whole && random_net_chance(&random_state, 20);
	plan_between(&a, &b, caps, &p);
	guest_load(&guest, &a);
	for (size_t n = 0; n <= p.n; n++) {
		CLEANUP(snapshot_done) struct snapshot result = SNAPSHOT_NULL;

		assert_int_equal(plan_apply(&p, n, &result), 0);
		guest_assert_equal(&guest, &result);
		if (n < p.n)
			guest_apply(&guest, &p, &p.ops[n]);
	}
	guest_assert_equal(&guest, &b);
}

static void test_every_prefix_can_be_applied_and_is_a_legal_network(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS / 2; round++) {
		struct sink_caps caps = random_caps();

		check_prefixes(&caps);
		check_prefixes(&caps_cli);
		check_prefixes(&caps_record);
	}
}

/* From any prefix the rest of the way is found anew: what reconcile.c does after a failure. */
static void test_from_every_prefix_a_new_plan_leads_on(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		CLEANUP(snapshot_done) struct snapshot a = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot b = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot half = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot result = SNAPSHOT_NULL;
		CLEANUP(plan_done) struct plan first = PLAN_NULL;
		CLEANUP(plan_done) struct plan rest = PLAN_NULL;
		struct sink_caps caps = random_caps();

		random_guest(&caps, &a);
		random_guest(&caps, &b);
		plan_between(&a, &b, &caps, &first);
		assert_int_equal(plan_apply(&first,
					    random_net_below(&random_state, (uint32_t)first.n + 1),
					    &half),
				 0);
		plan_between(&half, &b, &caps, &rest);
		assert_int_equal(plan_apply(&rest, rest.n, &result), 0);
		assert_true(snapshot_equal(&result, &b));
	}
}

static void test_the_order_of_input_does_not_matter(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		CLEANUP(snapshot_done) struct snapshot a = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot b = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot a2 = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot b2 = SNAPSHOT_NULL;
		CLEANUP(plan_done) struct plan p = PLAN_NULL;
		CLEANUP(plan_done) struct plan p2 = PLAN_NULL;
		struct sink_caps caps = random_caps();

		random_guest(&caps, &a);
		random_guest(&caps, &b);
		random_net_shuffle(&random_state, &a, &a2);
		random_net_shuffle(&random_state, &b, &b2);
		plan_between(&a, &b, &caps, &p);
		plan_between(&a2, &b2, &caps, &p2);
		assert_int_equal(p.n, p2.n);
		if (p.n > 0)
			assert_memory_equal(p.ops, p2.ops, p.n * sizeof(p.ops[0]));
	}
}

/* Rank of an op in the order that diff.h promises. */
static int rank(const struct plan *p, const struct op *op)
{
	const struct route *to = plan_route_to(p, op), *from = plan_route_from(p, op);

	switch (op->verb) {
	case PLAN_LINK_DEL:
		return 0;
	case PLAN_LINK_ADD:
		return 1;
	case PLAN_LINK_UPDATE:
		return 2;
	case PLAN_ROUTES_SET:
		return 3;
	case PLAN_ROUTE_DEL:
		return from->flags & MODEL_ROUTE_GATEWAY ? 3 : 4;
	case PLAN_ROUTE_ADD:
	case PLAN_ROUTE_REPLACE:
		return to->flags & MODEL_ROUTE_GATEWAY ? 6 : 5;
	case PLAN_NEIGH_DEL:
		return 7;
	case PLAN_NEIGH_ADD:
	case _PLAN_VERB_MAX:
		break;
	}
	return 8;
}

static void test_links_then_routes_then_neighbours(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		CLEANUP(snapshot_done) struct snapshot a = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot b = SNAPSHOT_NULL;
		CLEANUP(plan_done) struct plan p = PLAN_NULL;
		struct sink_caps caps = random_caps();
		int last = 0;

		random_guest(&caps, &a);
		random_guest(&caps, &b);
		plan_between(&a, &b, &caps, &p);
		for (size_t i = 0; i < p.n; i++) {
			assert_true(rank(&p, &p.ops[i]) >= last);
			last = rank(&p, &p.ops[i]);
		}
	}
}

/*
 * An op for each difference, and no op but for a difference: what is equal on both sides is never
 * touched.
 */
static void test_nothing_is_sent_for_no_change(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		CLEANUP(snapshot_done) struct snapshot a = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot b = SNAPSHOT_NULL;
		CLEANUP(plan_done) struct plan p = PLAN_NULL;

		random_guest(&caps_record, &a);
		random_guest(&caps_record, &b);
		plan_between(&a, &b, &caps_record, &p);
		for (size_t i = 0; i < p.n; i++) {
			CLEANUP(snapshot_done) struct snapshot before = SNAPSHOT_NULL;
			CLEANUP(snapshot_done) struct snapshot after = SNAPSHOT_NULL;

			assert_int_equal(plan_apply(&p, i, &before), 0);
			assert_int_equal(plan_apply(&p, i + 1, &after), 0);
			assert_false(snapshot_equal(&before, &after));
		}
	}
}

/* ---- by value ---- */

struct case_ {
	struct pod from, to;
	struct snapshot a, b;
	struct plan plan;
};

/* One on the stack would be large; a test is alone in its process. */
static struct case_ c;

static int setup(void **state)
{
	(void)state;
	c = (struct case_){ 0 };
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	plan_done(&c.plan);
	snapshot_done(&c.a);
	snapshot_done(&c.b);
	return 0;
}

static void make_plan(const struct sink_caps *caps)
{
	bool stale = c.a.routes_stale;

	plan_done(&c.plan);
	snapshot_done(&c.a);
	snapshot_done(&c.b);
	pod_snapshot(&c.from, &c.a);
	pod_snapshot(&c.to, &c.b);
	c.a.routes_stale = stale;
	plan_between(&c.a, &c.b, caps, &c.plan);
}

/* "del-link 4, add-link 4, set-routes" */
static void assert_plan(const char *expected)
{
	CLEANUP(text_done) struct text t = TEXT_NULL;

	text_append_str(&t, "");
	for (size_t i = 0; i < c.plan.n; i++) {
		const struct op *op = &c.plan.ops[i];
		const struct link *l = plan_link_to(&c.plan, op);
		const struct route *r = plan_route_to(&c.plan, op);
		const struct neigh *n = plan_neigh_to(&c.plan, op);

		l = l ? l : plan_link_from(&c.plan, op);
		r = r ? r : plan_route_from(&c.plan, op);
		n = n ? n : plan_neigh_from(&c.plan, op);
		text_appendf(&t, "%s%s", i ? ", " : "", plan_verb_to_string(op->verb));
		if (l)
			text_appendf(&t, " %u", l->ifindex);
		if (r)
			text_appendf(&t, " %u/%u", r->dst[0], r->prefixlen);
		if (n)
			text_appendf(&t, " %u", n->bytes[3]);
	}
	assert_string_equal(t.data, expected);
}

static void test_an_on_link_parent_comes_before_what_it_carries(void **state)
{
	(void)state;
	pod_link(&c.from, 4, "eth1");
	c.to = c.from;
	/* by destination the default route would come first */
	pod_route(&c.to, 4, "0.0.0.0/0", "192.0.2.1");
	pod_route(&c.to, 4, "192.0.2.1/32", NULL);
	make_plan(&caps_record);
	assert_plan("add-route 192/32, add-route 0/0");
}

static void test_deletions_of_routes_run_the_other_way(void **state)
{
	(void)state;
	pod_link(&c.from, 4, "eth1");
	c.to = c.from;
	pod_route(&c.from, 4, "192.0.2.1/32", "10.0.0.1");
	pod_route(&c.from, 4, "10.0.0.0/8", NULL);
	make_plan(&caps_record);
	assert_plan("del-route 192/32, del-route 10/8");
}

static void test_routes_are_deleted_before_others_are_added(void **state)
{
	(void)state;
	pod_link(&c.from, 4, "eth1");
	c.to = c.from;
	pod_route(&c.from, 4, "172.16.0.0/12", NULL);
	pod_route(&c.to, 4, "10.0.0.0/8", NULL);
	make_plan(&caps_record);
	assert_plan("del-route 172/12, add-route 10/8");
}

static void test_a_route_of_the_same_destination_is_replaced(void **state)
{
	(void)state;
	pod_link(&c.from, 4, "eth1");
	c.to = c.from;
	pod_route(&c.from, 4, "0.0.0.0/0", "10.0.0.1");
	pod_route(&c.to, 4, "0.0.0.0/0", "10.0.0.2");
	make_plan(&caps_record);
	assert_plan("replace-route 0/0");
}

static void test_routes_of_a_deleted_link_go_with_it(void **state)
{
	(void)state;
	pod_link(&c.from, 4, "eth1");
	pod_link(&c.from, 5, "eth2");
	c.to = c.from;
	pod_addr(&c.from, 4, "10.0.0.2/8");
	pod_neigh(&c.from, 4, "10.0.0.1", 1);
	pod_route(&c.from, 4, "10.0.0.0/8", NULL);
	pod_route(&c.from, 4, "0.0.0.0/0", "10.0.0.1");
	pod_route(&c.to, 5, "0.0.0.0/0", "11.0.0.1");
	pod_drop_link(&c.to, 4);
	make_plan(&caps_record);
	assert_plan("del-link 4, add-route 0/0");
}

static void test_equal_route_sets_are_not_sent(void **state)
{
	(void)state;
	pod_link(&c.from, 4, "eth1");
	pod_route(&c.from, 4, "0.0.0.0/0", "10.0.0.1");
	c.to = c.from;
	pod_link(&c.to, 5, "eth2");
	make_plan(&caps_cli);
	assert_plan("add-link 5");
}

static void test_one_set_goes_after_all_additions(void **state)
{
	static const char *const destinations[] = { "10.4.0.0/16", "10.5.0.0/16", "10.6.0.0/16",
						    "10.7.0.0/16" };

	(void)state;
	for (uint32_t i = 4; i < 8; i++) {
		pod_link(&c.to, i, "eth");
		pod_route(&c.to, i, destinations[i - 4], NULL);
	}
	make_plan(&caps_cli);
	assert_plan("add-link 4, add-link 5, add-link 6, add-link 7, set-routes");
}

static void test_a_stale_set_is_sent_though_it_is_equal(void **state)
{
	(void)state;
	pod_link(&c.from, 4, "eth1");
	pod_route(&c.from, 4, "0.0.0.0/0", "10.0.0.1");
	c.to = c.from;
	c.a.routes_stale = true;
	make_plan(&caps_cli);
	assert_plan("set-routes");
}

static void test_a_stale_empty_set_is_sent_too(void **state)
{
	(void)state;
	c.a.routes_stale = true;
	make_plan(&caps_cli);
	assert_plan("set-routes");
}

/*
 * The replugged link had routes: the guest may have lost them, so the set is due though it is the
 * same.
 */
static void test_the_set_follows_the_replug_of_a_link_that_carried_routes(void **state)
{
	CLEANUP(snapshot_done) struct snapshot half = SNAPSHOT_NULL;
	CLEANUP(plan_done) struct plan rest = PLAN_NULL;

	(void)state;
	pod_link(&c.from, 4, "eth1");
	pod_route(&c.from, 4, "0.0.0.0/0", "10.0.0.1");
	c.to = c.from;
	c.to.links[0].mtu = 9000;
	make_plan(&caps_cli);
	assert_plan("del-link 4, add-link 4, set-routes");

	assert_int_equal(plan_apply(&c.plan, 1, &half), 0);
	assert_true(half.routes_stale);
	assert_int_equal(snapshot_routes(&half)->n, 1);
	plan_between(&half, &c.b, &caps_cli, &rest);
	assert_int_equal(rest.n, 2);
	assert_int_equal(rest.ops[1].verb, PLAN_ROUTES_SET);
}

static void test_no_set_follows_a_link_that_carried_none(void **state)
{
	(void)state;
	pod_link(&c.from, 4, "eth1");
	pod_link(&c.from, 5, "eth2");
	pod_route(&c.from, 5, "0.0.0.0/0", "10.0.0.1");
	c.to = c.from;
	pod_drop_link(&c.to, 4);
	make_plan(&caps_cli);
	assert_plan("del-link 4");
}

/* Neither is in the other's way. */
static void test_links_that_swap_names_are_both_deleted_first(void **state)
{
	(void)state;
	pod_link(&c.from, 4, "eth1");
	pod_link(&c.from, 5, "eth2");
	pod_link(&c.to, 4, "eth2");
	pod_link(&c.to, 5, "eth1");
	make_plan(&caps_cli);
	assert_plan("del-link 4, del-link 5, add-link 4, add-link 5");
	make_plan(&caps_record);
	assert_plan("update-link 4, update-link 5");
}

static void test_a_changed_address_is_an_update_or_a_replug(void **state)
{
	(void)state;
	pod_link(&c.from, 4, "eth1");
	pod_addr(&c.from, 4, "10.0.0.2/24");
	c.to = c.from;
	pod_addr(&c.to, 4, "2001:db8::2/64");
	make_plan(&caps_record);
	assert_plan("update-link 4");
	make_plan(&caps_cli);
	assert_plan("del-link 4, add-link 4");
}

static void test_a_changed_prefix_length_is_a_change(void **state)
{
	(void)state;
	pod_link(&c.from, 4, "eth1");
	c.to = c.from;
	pod_addr(&c.from, 4, "10.0.0.2/24");
	pod_addr(&c.to, 4, "10.0.0.2/16");
	make_plan(&caps_record);
	assert_plan("update-link 4");
}

static void test_when_it_was_sent_is_no_change(void **state)
{
	(void)state;
	pod_link(&c.from, 4, "eth1");
	pod_addr(&c.from, 4, "10.0.0.2/24");
	c.to = c.from;
	c.to.links[0].sent_usec = 7;
	c.to.links[0].replugged = true;
	c.to.addrs[0].learnt = 1;
	make_plan(&caps_record);
	assert_plan("");
}

static void test_another_life_of_a_link_is_told_anew_with_all_that_it_carries(void **state)
{
	(void)state;
	pod_link(&c.from, 4, "eth1");
	pod_neigh(&c.from, 4, "10.0.0.1", 1);
	pod_route(&c.from, 4, "10.0.0.0/8", NULL);
	c.to = c.from;
	c.to.links[0].incarnation = 1;
	make_plan(&caps_record);
	assert_plan("del-link 4, add-link 4, add-route 10/8, add-neighbour 1");
}

static void test_a_neighbour_with_another_mac_is_overwritten(void **state)
{
	CLEANUP(snapshot_done) struct snapshot result = SNAPSHOT_NULL;

	(void)state;
	pod_link(&c.from, 4, "eth1");
	c.to = c.from;
	pod_neigh(&c.from, 4, "10.0.0.1", 1);
	pod_neigh(&c.from, 4, "10.0.0.9", 1);
	pod_neigh(&c.to, 4, "10.0.0.1", 2);
	make_plan(&caps_record);
	assert_plan("del-neighbour 9, add-neighbour 1");
	assert_int_equal(plan_apply(&c.plan, 2, &result), 0);
	assert_int_equal(snapshot_neighs(&result)->n, 1);
	assert_int_equal(snapshot_neighs(&result)->neighs[0].mac[5], 2);
}

static void test_neighbours_are_not_told_to_a_side_that_has_no_word_for_them(void **state)
{
	(void)state;
	pod_link(&c.from, 4, "eth1");
	c.to = c.from;
	pod_neigh(&c.to, 4, "10.0.0.1", 1);
	make_plan(&caps_cli);
	assert_plan("");
}

static void test_an_op_names_the_link_that_it_touches(void **state)
{
	(void)state;
	pod_link(&c.from, 4, "old");
	pod_link(&c.to, 5, "new");
	pod_route(&c.to, 5, "10.0.0.0/8", NULL);
	pod_neigh(&c.to, 5, "10.0.0.1", 1);
	make_plan(&caps_record);
	assert_plan("del-link 4, add-link 5, add-route 10/8, add-neighbour 1");
	assert_string_equal(plan_op_interface(&c.plan, &c.plan.ops[0]), "old");
	for (size_t i = 1; i < 4; i++)
		assert_string_equal(plan_op_interface(&c.plan, &c.plan.ops[i]), "new");
	make_plan(&caps_cli);
	assert_plan("del-link 4, add-link 5, set-routes");
	assert_string_equal(plan_op_interface(&c.plan, &c.plan.ops[2]), "");
}

static void test_an_op_has_the_sides_of_its_verb_only(void **state)
{
	const struct op *op;

	(void)state;
	pod_link(&c.from, 4, "eth1");
	c.to = c.from;
	c.to.links[0].mtu = 9000;
	make_plan(&caps_record);
	op = &c.plan.ops[0];
	assert_int_equal(plan_link_from(&c.plan, op)->mtu, 1500);
	assert_int_equal(plan_link_to(&c.plan, op)->mtu, 9000);
	assert_null(plan_route_from(&c.plan, op));
	assert_null(plan_route_to(&c.plan, op));
	assert_null(plan_neigh_from(&c.plan, op));
	assert_null(plan_neigh_to(&c.plan, op));
}

static void test_verbs_have_names_that_are_read_back(void **state)
{
	enum plan_verb read = _PLAN_VERB_MAX;

	(void)state;
	for (enum plan_verb v = 0; v < _PLAN_VERB_MAX; v++) {
		assert_int_equal(plan_verb_from_string(plan_verb_to_string(v), &read), 0);
		assert_int_equal(read, v);
	}
	read = PLAN_NEIGH_ADD;
	assert_true(plan_verb_from_string("add", &read) < 0);
	assert_int_equal(read, PLAN_NEIGH_ADD);
}

static int start(void **state)
{
	(void)state;
	random_net_start(&random_state);
	return 0;
}

#define BY_VALUE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_network_does_not_differ_from_itself),
		cmocka_unit_test(test_the_whole_plan_leads_to_the_other_network),
		cmocka_unit_test(test_every_prefix_can_be_applied_and_is_a_legal_network),
		cmocka_unit_test(test_from_every_prefix_a_new_plan_leads_on),
		cmocka_unit_test(test_the_order_of_input_does_not_matter),
		cmocka_unit_test(test_links_then_routes_then_neighbours),
		cmocka_unit_test(test_nothing_is_sent_for_no_change),
		BY_VALUE(test_an_on_link_parent_comes_before_what_it_carries),
		BY_VALUE(test_deletions_of_routes_run_the_other_way),
		BY_VALUE(test_routes_are_deleted_before_others_are_added),
		BY_VALUE(test_a_route_of_the_same_destination_is_replaced),
		BY_VALUE(test_routes_of_a_deleted_link_go_with_it),
		BY_VALUE(test_equal_route_sets_are_not_sent),
		BY_VALUE(test_one_set_goes_after_all_additions),
		BY_VALUE(test_a_stale_set_is_sent_though_it_is_equal),
		BY_VALUE(test_a_stale_empty_set_is_sent_too),
		BY_VALUE(test_the_set_follows_the_replug_of_a_link_that_carried_routes),
		BY_VALUE(test_no_set_follows_a_link_that_carried_none),
		BY_VALUE(test_links_that_swap_names_are_both_deleted_first),
		BY_VALUE(test_a_changed_address_is_an_update_or_a_replug),
		BY_VALUE(test_a_changed_prefix_length_is_a_change),
		BY_VALUE(test_when_it_was_sent_is_no_change),
		BY_VALUE(test_another_life_of_a_link_is_told_anew_with_all_that_it_carries),
		BY_VALUE(test_a_neighbour_with_another_mac_is_overwritten),
		BY_VALUE(test_neighbours_are_not_told_to_a_side_that_has_no_word_for_them),
		BY_VALUE(test_an_op_names_the_link_that_it_touches),
		BY_VALUE(test_an_op_has_the_sides_of_its_verb_only),
		BY_VALUE(test_verbs_have_names_that_are_read_back),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
