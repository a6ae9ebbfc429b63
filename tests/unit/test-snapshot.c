/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables and snapshots: sealed, sorted, shared.
 */
#include "netmon/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "tests/unit/pod.h"
#include "tests/unit/random-net.h"

#define ROUNDS 500

static struct random_net random_state;

static struct table *new_table(enum model_kind kind)
{
	struct table *t = NULL;

	assert_int_equal(table_new(&t, kind), 0);
	return t;
}

static void add_policy(struct table *t, uint32_t number)
{
	assert_int_equal(table_add(t, &(struct policy){ .family = AF_INET, .table = number }), 0);
}

/* ---- tables ---- */

static void test_seal_sorts_and_drops_duplicates(void **state)
{
	static const uint32_t numbers[] = { 5, 1, 5, 3, 1, 5, 2 };
	static const uint32_t expected[] = { 1, 2, 3, 5 };
	CLEANUP(table_unrefp) struct table *t = new_table(MODEL_POLICY);

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		add_policy(t, numbers[i]);
	table_seal(t);
	assert_int_equal(t->n, 4);
	for (size_t i = 0; i < t->n; i++)
		assert_int_equal(t->policies[i].table, expected[i]);
}

/* Equal neighbours make a table unsorted: "sorted" is strict. */
static void test_duplicates_in_sorted_input_are_dropped_too(void **state)
{
	CLEANUP(table_unrefp) struct table *t = new_table(MODEL_POLICY);

	(void)state;
	add_policy(t, 1);
	add_policy(t, 2);
	add_policy(t, 2);
	add_policy(t, 3);
	table_seal(t);
	assert_int_equal(t->n, 3);
}

static void test_seal_gives_memory_back(void **state)
{
	CLEANUP(table_unrefp) struct table *t = new_table(MODEL_POLICY);

	(void)state;
	for (uint32_t i = 0; i < 17; i++)
		add_policy(t, i);
	assert_true(t->capacity > 17);
	table_seal(t);
	assert_int_equal(t->capacity, 17);
}

static void test_an_empty_table_answers(void **state)
{
	CLEANUP(table_unrefp) struct table *t = new_table(MODEL_ADDR);
	size_t n = 42;

	(void)state;
	table_seal(t);
	assert_int_equal(t->n, 0);
	assert_null(table_find(t, &(struct addr){ .ifindex = 1 }));
	assert_int_equal(table_lower_bound(t, &(struct addr){ .ifindex = 1 }), 0);
	assert_int_equal(table_range_of_link(t, 1, &n), 0);
	assert_int_equal(n, 0);
	assert_true(table_equal(t, t));
}

static void test_a_full_table_counts_what_it_leaves_out_and_stays_good(void **state)
{
	CLEANUP(table_unrefp) struct table *t = new_table(MODEL_POLICY);

	(void)state;
	for (uint32_t i = 0; i < SNAPSHOT_MAX_POLICY; i++)
		add_policy(t, i);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(table_add(t, &(struct policy){ .table = 1000000 + i }),
				 TABLE_FULL);
	table_seal(t);
	assert_int_equal(t->n, SNAPSHOT_MAX_POLICY);
	assert_int_equal(t->left_out, 3);
}

static void test_lower_bound_and_find_agree_with_a_search_by_hand(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		CLEANUP(snapshot_done) struct snapshot s = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot other = SNAPSHOT_NULL;

		random_net_guest(&random_state, &s);
		random_net_guest(&random_state, &other);
		for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++) {
			const struct table *t = s.tables[k], *o = other.tables[k];

			for (size_t i = 0; i < o->n; i++) {
				const void *key = table_at(o, i);
				const void *found = table_find(t, key);
				size_t at = 0;

				while (at < t->n && model_compare_key(k, table_at(t, at), key) < 0)
					at++;
				assert_int_equal(table_lower_bound(t, key), at);
				if (at < t->n && model_compare_key(k, table_at(t, at), key) == 0)
					assert_ptr_equal(found, table_at(t, at));
				else
					assert_null(found);
			}
		}
	}
}

static void test_the_first_of_equal_keys_is_found(void **state)
{
	struct pod pod = { 0 };
	CLEANUP(snapshot_done) struct snapshot s = SNAPSHOT_NULL;
	const struct route *found;

	(void)state;
	for (uint32_t metric = 5; metric > 0; metric--)
		pod_route(&pod, 4, "10.0.0.0/8", NULL)->metric = metric;
	pod_snapshot(&pod, &s);
	found = table_find(snapshot_routes(&s), &pod.routes[0]);
	assert_non_null(found);
	assert_int_equal(found->metric, 1);
}

static void test_the_range_of_a_link_is_all_and_only_its_own(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		CLEANUP(snapshot_done) struct snapshot s = SNAPSHOT_NULL;

		random_net_seen(&random_state, &s);
		for (uint32_t ifindex = 0; ifindex <= RANDOM_NET_LINKS + 1; ifindex++) {
			const struct table *addrs = snapshot_addrs(&s);
			size_t n, inside = 0;
			size_t first = table_range_of_link(addrs, ifindex, &n);

			for (size_t i = 0; i < addrs->n; i++) {
				bool is_in = i >= first && i < first + n;

				assert_int_equal(is_in, addrs->addrs[i].ifindex == ifindex);
				inside += is_in;
			}
			assert_int_equal(inside, n);
		}
	}
}

static void test_the_range_of_a_link_works_for_neighbours(void **state)
{
	struct pod pod = { 0 };
	CLEANUP(snapshot_done) struct snapshot s = SNAPSHOT_NULL;
	size_t n;

	(void)state;
	pod_neigh(&pod, 3, "10.0.0.1", 1);
	pod_neigh(&pod, 4, "10.0.0.1", 1);
	pod_neigh(&pod, 4, "2001:db8::1", 1);
	pod_neigh(&pod, 5, "10.0.0.1", 1);
	pod_snapshot(&pod, &s);
	assert_int_equal(table_range_of_link(snapshot_neighs(&s), 4, &n), 1);
	assert_int_equal(n, 2);
}

static void test_the_order_of_filling_does_not_matter(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		CLEANUP(snapshot_done) struct snapshot s = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot shuffled = SNAPSHOT_NULL;

		random_net_seen(&random_state, &s);
		random_net_shuffle(&random_state, &s, &shuffled);
		assert_true(snapshot_equal(&s, &shuffled));
	}
}

/* ---- references ---- */

static void test_a_table_lives_as_long_as_its_last_reference(void **state)
{
	struct table *t = new_table(MODEL_POLICY);

	(void)state;
	add_policy(t, 1);
	table_seal(t);
	assert_ptr_equal(table_ref(t), t);
	assert_null(table_unref(t));
	assert_int_equal(t->refs, 1);
	assert_int_equal(t->policies[0].table, 1);
	assert_null(table_unref(t));
	assert_null(table_unref(NULL));
}

static void test_a_copy_shares_and_a_replacement_leaves_the_copy_alone(void **state)
{
	struct pod pod = { 0 };
	CLEANUP(snapshot_done) struct snapshot s = SNAPSHOT_NULL;
	CLEANUP(snapshot_done) struct snapshot copy = SNAPSHOT_NULL;
	struct table *t = new_table(MODEL_LINK);

	(void)state;
	pod_link(&pod, 4, "eth1");
	pod_addr(&pod, 4, "10.0.0.2/24");
	pod_snapshot(&pod, &s);
	s.routes_stale = true;
	snapshot_copy(&copy, &s);
	assert_ptr_equal(copy.tables[MODEL_ADDR], s.tables[MODEL_ADDR]);
	assert_true(copy.routes_stale);
	table_seal(t);
	snapshot_replace(&s, t);
	assert_int_equal(snapshot_links(&s)->n, 0);
	assert_int_equal(snapshot_links(&copy)->n, 1);
	assert_int_equal(snapshot_addrs(&s)->refs, 2);
	assert_int_equal(snapshot_links(&copy)->refs, 1);
}

static void test_a_copy_over_an_old_one_or_itself_frees_once(void **state)
{
	struct pod pod = { 0 };
	CLEANUP(snapshot_done) struct snapshot s = SNAPSHOT_NULL;
	CLEANUP(snapshot_done) struct snapshot old = SNAPSHOT_NULL;

	(void)state;
	pod_link(&pod, 4, "eth1");
	pod_snapshot(&pod, &s);
	assert_int_equal(snapshot_init(&old), 0);
	snapshot_copy(&old, &s);
	snapshot_copy(&s, &s);
	assert_int_equal(snapshot_links(&s)->refs, 2);
	assert_true(snapshot_equal(&s, &old));
}

static void test_a_new_snapshot_is_empty_and_whole(void **state)
{
	struct snapshot s;

	(void)state;
	assert_int_equal(snapshot_init(&s), 0);
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++) {
		assert_non_null(s.tables[k]);
		assert_true(s.tables[k]->sealed);
		assert_int_equal(s.tables[k]->n, 0);
		assert_int_equal(s.tables[k]->kind, k);
	}
	assert_false(s.routes_stale);
	snapshot_done(&s);
	snapshot_done(&s);
}

static void test_snapshots_are_equal_by_value_and_staleness(void **state)
{
	struct pod pod = { 0 };
	CLEANUP(snapshot_done) struct snapshot a = SNAPSHOT_NULL;
	CLEANUP(snapshot_done) struct snapshot b = SNAPSHOT_NULL;

	(void)state;
	pod_link(&pod, 4, "eth1");
	pod_snapshot(&pod, &a);
	pod_snapshot(&pod, &b);
	assert_true(snapshot_equal(&a, &b));
	b.routes_stale = true;
	assert_false(snapshot_equal(&a, &b));
	snapshot_done(&b);
	pod.links[0].mtu = 9000;
	pod_snapshot(&pod, &b);
	assert_false(snapshot_equal(&a, &b));
}

static void test_a_link_is_found_by_its_number(void **state)
{
	struct pod pod = { 0 };
	CLEANUP(snapshot_done) struct snapshot s = SNAPSHOT_NULL;

	(void)state;
	pod_link(&pod, 7, "eth7");
	pod_link(&pod, 4, "eth4")->incarnation = 3;
	pod_snapshot(&pod, &s);
	assert_string_equal(table_find_link(snapshot_links(&s), 4)->name, "eth4");
	assert_string_equal(table_find_link(snapshot_links(&s), 7)->name, "eth7");
	assert_null(table_find_link(snapshot_links(&s), 5));
}

static int start(void **state)
{
	(void)state;
	random_net_start(&random_state);
	return 0;
}

static void test_difference_and_union(void **state)
{
	CLEANUP(snapshot_done) struct snapshot a = SNAPSHOT_NULL, b = SNAPSHOT_NULL;
	CLEANUP(table_unrefp) struct table *t = NULL;
	struct pod p = { 0 }, q = { 0 };

	(void)state;
	pod_route(&p, 4, "10.1.0.0/16", "10.0.0.1");
	pod_route(&p, 4, "10.2.0.0/16", "10.0.0.1");
	pod_route(&p, 4, "10.3.0.0/16", "10.0.0.1");
	pod_route(&q, 4, "10.2.0.0/16", "10.0.0.9");
	pod_route(&q, 4, "10.3.0.0/16", "10.0.0.1");
	pod_route(&q, 4, "10.4.0.0/16", "10.0.0.1");
	pod_snapshot(&p, &a);
	pod_snapshot(&q, &b);
	assert_int_equal(table_difference(snapshot_routes(&a), snapshot_routes(&b), &t), 0);
	assert_int_equal(t->n, 2); /* 10.1, and 10.2 by its old next hop */
	t = table_unref(t);
	assert_int_equal(table_union(snapshot_routes(&a), snapshot_routes(&b), &t), 0);
	assert_int_equal(t->n, 4);
	assert_int_equal(t->routes[1].gateway[3], 1); /* the first's word counts */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_seal_sorts_and_drops_duplicates),
		cmocka_unit_test(test_duplicates_in_sorted_input_are_dropped_too),
		cmocka_unit_test(test_seal_gives_memory_back),
		cmocka_unit_test(test_an_empty_table_answers),
		cmocka_unit_test(test_a_full_table_counts_what_it_leaves_out_and_stays_good),
		cmocka_unit_test(test_lower_bound_and_find_agree_with_a_search_by_hand),
		cmocka_unit_test(test_the_first_of_equal_keys_is_found),
		cmocka_unit_test(test_the_range_of_a_link_is_all_and_only_its_own),
		cmocka_unit_test(test_the_range_of_a_link_works_for_neighbours),
		cmocka_unit_test(test_the_order_of_filling_does_not_matter),
		cmocka_unit_test(test_a_table_lives_as_long_as_its_last_reference),
		cmocka_unit_test(test_a_copy_shares_and_a_replacement_leaves_the_copy_alone),
		cmocka_unit_test(test_a_copy_over_an_old_one_or_itself_frees_once),
		cmocka_unit_test(test_a_new_snapshot_is_empty_and_whole),
		cmocka_unit_test(test_snapshots_are_equal_by_value_and_staleness),
		cmocka_unit_test(test_a_link_is_found_by_its_number),
		cmocka_unit_test(test_difference_and_union),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
