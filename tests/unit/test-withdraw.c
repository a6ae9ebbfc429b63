/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shadows, bounces and reports: how a guest whose agent deletes nothing is kept equal all the same.
 */
#include "netmon/withdraw.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"
#include "tests/unit/pod.h"

static const struct sink_caps caps_additive = {
	.updates_links = true,
	.neighbours = true,
	.keeps_links = true,
	.keeps_addrs4 = true,
	.keeps_routes = true,
	.keeps_neighs = true,
	.update_flushes = true,
};

/* A test is alone in it. */
static struct {
	struct pod pod; /* as it was when it was told, then as it is */
	struct snapshot acked, wanted;
	struct view_notes notes;
	struct withdraw withdraw;
	enum withdraw_policy policy;
	struct sink_caps caps;
} c;

static int setup(void **state)
{
	(void)state;
	memset(&c, 0, sizeof(c));
	c.caps = caps_additive;
	pod_link(&c.pod, 4, "eth0");
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	snapshot_done(&c.acked);
	snapshot_done(&c.wanted);
	view_notes_done(&c.notes);
	withdraw_done(&c.withdraw);
	return 0;
}

static void tell(void)
{
	snapshot_done(&c.acked);
	pod_snapshot(&c.pod, &c.acked);
}

static void plan(void)
{
	snapshot_done(&c.wanted);
	withdraw_done(&c.withdraw);
	c.notes.n = c.notes.n_all = 0;
	pod_snapshot(&c.pod, &c.wanted);
	assert_int_equal(withdraw_plan(&(struct withdraw_input){ .acked = &c.acked,
								 .caps = &c.caps,
								 .policy = c.policy },
				       &c.wanted, &c.notes, &c.withdraw),
			 0);
}

/* "10.1.0.0/16 via 10.0.0.1 dev 4; ..." of all that is wanted, shadows too */
static void assert_routes(const char *expected)
{
	static const char usual[] = " scope 0";
	CLEANUP(text_done) struct text t = TEXT_NULL;
	const struct table *routes = snapshot_routes(&c.wanted);

	text_append_str(&t, "");
	for (size_t i = 0; i < routes->n; i++) {
		CLEANUP(text_done) struct text one = TEXT_NULL;
		size_t size;

		model_describe(MODEL_ROUTE, &routes->routes[i], &one);
		size = one.size;
		if (size > strlen(usual) && strcmp(one.data + size - strlen(usual), usual) == 0)
			size -= strlen(usual);
		text_append_str(&t, i > 0 ? "; " : "");
		text_append(&t, one.data, size);
	}
	assert_string_equal(t.data, expected);
}

static void assert_bounced(uint32_t ifindex)
{
	assert_int_equal(c.withdraw.n_bounce, ifindex != 0);
	if (ifindex)
		assert_int_equal(c.withdraw.bounce[0], ifindex);
}

/* ---- routes ---- */

static void test_what_is_wanted_needs_nothing(void **state)
{
	(void)state;
	pod_route(&c.pod, 4, "10.1.0.0/16", "10.0.0.1");
	tell();
	plan();
	assert_routes("10.1.0.0/16 via 10.0.0.1 dev 4");
	assert_bounced(0);
	assert_int_equal(c.notes.n_all, 0);
}

static void test_a_route_that_a_default_covers_gets_its_next_hop(void **state)
{
	(void)state;
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1");
	pod_route(&c.pod, 4, "10.1.0.0/16", "10.0.0.9");
	tell();
	pod_drop_route(&c.pod, "10.1.0.0/16");
	plan();
	assert_routes("0.0.0.0/0 via 10.0.0.1 dev 4; 10.1.0.0/16 via 10.0.0.1 dev 4");
	assert_bounced(0);
	assert_int_equal(c.notes.n_all, 0);
}

static void test_the_narrowest_cover_counts(void **state)
{
	(void)state;
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1");
	pod_route(&c.pod, 4, "10.0.0.0/8", "10.0.0.8");
	pod_route(&c.pod, 4, "10.1.0.0/16", "10.0.0.7");
	pod_route(&c.pod, 4, "10.1.2.0/24", "10.0.0.9");
	tell();
	pod_drop_route(&c.pod, "10.1.2.0/24");
	plan();
	assert_routes("0.0.0.0/0 via 10.0.0.1 dev 4; 10.0.0.0/8 via 10.0.0.8 dev 4; "
		      "10.1.0.0/16 via 10.0.0.7 dev 4; 10.1.2.0/24 via 10.0.0.7 dev 4");
}

/* In the guest an address makes its network reachable on the link. */
static void test_the_network_of_an_address_covers(void **state)
{
	(void)state;
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1");
	pod_route(&c.pod, 4, "10.0.0.64/28", "10.0.0.9");
	tell();
	pod_drop_route(&c.pod, "10.0.0.64/28");
	plan();
	assert_routes("0.0.0.0/0 via 10.0.0.1 dev 4; 10.0.0.64/28 dev 4 scope 253");
}

static void test_a_shadow_follows_what_covers(void **state)
{
	(void)state;
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1");
	pod_route(&c.pod, 4, "10.1.0.0/16", "10.0.0.9");
	tell();
	pod_drop_route(&c.pod, "10.1.0.0/16");
	plan();
	snapshot_copy(&c.acked, &c.wanted); /* the shadow was told */
	pod_drop_route(&c.pod, "0.0.0.0/0");
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.5");
	plan();
	assert_routes("0.0.0.0/0 via 10.0.0.5 dev 4; 10.1.0.0/16 via 10.0.0.5 dev 4");
}

static void test_a_shadow_covers_nothing(void **state)
{
	(void)state;
	pod_route(&c.pod, 4, "10.1.0.0/16", "10.0.0.9");
	pod_route(&c.pod, 4, "10.1.2.0/24", "10.0.0.8");
	tell();
	pod_drop_route(&c.pod, "10.1.0.0/16");
	pod_drop_route(&c.pod, "10.1.2.0/24");
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1");
	plan();
	assert_routes("0.0.0.0/0 via 10.0.0.1 dev 4; 10.1.0.0/16 via 10.0.0.1 dev 4; "
		      "10.1.2.0/24 via 10.0.0.1 dev 4");
}

static void test_a_route_that_is_wanted_again_is_no_shadow_any_more(void **state)
{
	(void)state;
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1");
	pod_route(&c.pod, 4, "10.1.0.0/16", "10.0.0.1");
	tell();
	pod_drop_route(&c.pod, "10.1.0.0/16");
	pod_route(&c.pod, 4, "10.1.0.0/16", "10.0.0.9");
	plan();
	assert_routes("0.0.0.0/0 via 10.0.0.1 dev 4; 10.1.0.0/16 via 10.0.0.9 dev 4");
}

static void test_families_do_not_cover_each_other(void **state)
{
	(void)state;
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1");
	pod_route(&c.pod, 4, "2001:db8:1::/48", "2001:db8::1");
	tell();
	pod_drop_route(&c.pod, "2001:db8:1::/48");
	plan();
	assert_routes("0.0.0.0/0 via 10.0.0.1 dev 4");
	assert_bounced(4);
}

static void test_ipv6_has_shadows_too(void **state)
{
	(void)state;
	pod_addr(&c.pod, 4, "2001:db8::2/64");
	pod_route(&c.pod, 4, "::/0", "2001:db8::1");
	pod_route(&c.pod, 4, "2001:db8:1::/48", "2001:db8::9");
	tell();
	pod_drop_route(&c.pod, "2001:db8:1::/48");
	plan();
	assert_routes("::/0 via 2001:db8::1 dev 4; 2001:db8:1::/48 via 2001:db8::1 dev 4");
	assert_bounced(0);
}

static void test_what_nothing_covers_goes_by_a_bounce_of_its_link_once(void **state)
{
	(void)state;
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1");
	pod_route(&c.pod, 4, "172.16.0.0/12", "10.0.0.9");
	tell();
	pod_drop_route(&c.pod, "0.0.0.0/0");
	pod_drop_route(&c.pod, "172.16.0.0/12");
	plan();
	assert_routes("");
	assert_bounced(4);
	assert_int_equal(c.notes.n_all, 0);
}

static void test_with_report_it_is_noted(void **state)
{
	(void)state;
	c.policy = WITHDRAW_REPORT;
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1");
	tell();
	pod_drop_route(&c.pod, "0.0.0.0/0");
	plan();
	assert_bounced(0);
	assert_int_equal(c.notes.n_all, 1);
	assert_int_equal(c.notes.notes[0].reason, VIEW_GUEST_ONLY);
	assert_int_equal(c.notes.notes[0].kind, MODEL_ROUTE);
}

/* Nobody can take down a link that is not in the pod any more: what covers leads by another. */
static void test_a_route_of_a_link_that_went_is_led_elsewhere_or_noted(void **state)
{
	(void)state;
	pod_link(&c.pod, 5, "eth1");
	pod_route(&c.pod, 4, "10.0.0.0/8", "10.0.0.1");
	pod_route(&c.pod, 5, "10.9.0.0/16", NULL);
	pod_route(&c.pod, 5, "172.16.0.0/12", NULL);
	tell();
	pod_drop_link(&c.pod, 5);
	plan();
	assert_routes("10.0.0.0/8 via 10.0.0.1 dev 4; 10.9.0.0/16 via 10.0.0.1 dev 4");
	assert_bounced(0);
	assert_int_equal(c.notes.n_all, 2); /* the link, and the route that nothing covers */
}

static void test_many_routes_are_withdrawn_quickly(void **state)
{
	struct table *t = NULL;

	(void)state;
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1");
	tell();
	assert_int_equal(table_copy(snapshot_routes(&c.acked), &t), 0);
	for (uint32_t i = 0; i < 100000; i++) {
		struct route r = { .ifindex = 4, .prefixlen = 32, .scope = 253 };

		r.dst[0] = 11;
		r.dst[1] = (uint8_t)(i >> 16);
		r.dst[2] = (uint8_t)(i >> 8);
		r.dst[3] = (uint8_t)i;
		assert_int_equal(table_add(t, &r), 0);
	}
	table_seal(t);
	snapshot_replace(&c.acked, t);
	plan();
	assert_int_equal(snapshot_routes(&c.wanted)->n, 100001);
}

/* ---- what else stays ---- */

static void test_an_ipv4_address_stays_and_an_ipv6_one_does_not(void **state)
{
	(void)state;
	pod_addr(&c.pod, 4, "10.0.0.3/24");
	pod_addr(&c.pod, 4, "2001:db8::2/64");
	tell();
	pod_drop_addr(&c.pod, 4, "10.0.0.3/24");
	pod_drop_addr(&c.pod, 4, "2001:db8::2/64");
	plan();
	assert_int_equal(c.notes.n_all, 1);
	assert_int_equal(c.notes.notes[0].kind, MODEL_ADDR);
	assert_int_equal(c.notes.notes[0].addr.bytes[3], 3);
}

static void test_a_link_stays_and_is_one_note_with_all_that_it_has(void **state)
{
	(void)state;
	pod_link(&c.pod, 5, "eth1");
	pod_addr(&c.pod, 5, "10.1.0.2/24");
	pod_neigh(&c.pod, 5, "10.1.0.1", 1);
	tell();
	pod_drop_link(&c.pod, 5);
	plan();
	assert_int_equal(c.notes.n_all, 1);
	assert_int_equal(c.notes.notes[0].kind, MODEL_LINK);
}

static void test_a_neighbour_stays_unless_it_is_another_mac_now(void **state)
{
	(void)state;
	pod_neigh(&c.pod, 4, "10.0.0.1", 1);
	pod_neigh(&c.pod, 4, "10.0.0.9", 1);
	tell();
	pod_drop_neigh(&c.pod, "10.0.0.9");
	pod_drop_neigh(&c.pod, "10.0.0.1");
	pod_neigh(&c.pod, 4, "10.0.0.1", 2);
	plan();
	assert_int_equal(c.notes.n_all, 1);
	assert_int_equal(c.notes.notes[0].neigh.bytes[3], 9);
}

static void test_a_side_that_keeps_nothing_has_no_shadows_and_no_notes(void **state)
{
	(void)state;
	c.caps = (struct sink_caps){ .updates_links = true, .neighbours = true };
	pod_link(&c.pod, 5, "eth1");
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1");
	pod_route(&c.pod, 4, "10.1.0.0/16", "10.0.0.9");
	tell();
	pod_drop_link(&c.pod, 5);
	pod_drop_route(&c.pod, "10.1.0.0/16");
	plan();
	assert_routes("0.0.0.0/0 via 10.0.0.1 dev 4");
	assert_bounced(0);
	assert_int_equal(c.notes.n_all, 0);
}

static void test_policies_have_names(void **state)
{
	enum withdraw_policy policy = WITHDRAW_REPORT;

	(void)state;
	assert_int_equal(withdraw_policy_from_string("bounce", &policy), 0);
	assert_int_equal(policy, WITHDRAW_BOUNCE);
	assert_int_equal(withdraw_policy_from_string("report", &policy), 0);
	assert_int_equal(policy, WITHDRAW_REPORT);
	assert_int_equal(withdraw_policy_from_string("", &policy), -EINVAL);
	assert_int_equal(withdraw_policy_from_string("replug", &policy), -EINVAL);
	assert_int_equal(policy, WITHDRAW_REPORT);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_what_is_wanted_needs_nothing),
		CASE(test_a_route_that_a_default_covers_gets_its_next_hop),
		CASE(test_the_narrowest_cover_counts),
		CASE(test_the_network_of_an_address_covers),
		CASE(test_a_shadow_follows_what_covers),
		CASE(test_a_shadow_covers_nothing),
		CASE(test_a_route_that_is_wanted_again_is_no_shadow_any_more),
		CASE(test_families_do_not_cover_each_other),
		CASE(test_ipv6_has_shadows_too),
		CASE(test_what_nothing_covers_goes_by_a_bounce_of_its_link_once),
		CASE(test_with_report_it_is_noted),
		CASE(test_a_route_of_a_link_that_went_is_led_elsewhere_or_noted),
		CASE(test_many_routes_are_withdrawn_quickly),
		CASE(test_an_ipv4_address_stays_and_an_ipv6_one_does_not),
		CASE(test_a_link_stays_and_is_one_note_with_all_that_it_has),
		CASE(test_a_neighbour_stays_unless_it_is_another_mac_now),
		CASE(test_a_side_that_keeps_nothing_has_no_shadows_and_no_notes),
		CASE(test_policies_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
