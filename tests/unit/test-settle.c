/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a link may be told, in the orders in which CNI, Docker and people set links up.
 */
#include "netmon/settle.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/pod.h"

#define MSEC	 CLOCK_USEC_PER_MSEC
#define MAX_USEC (500 * MSEC)

static struct {
	struct view_config config;
	struct settle settle;
	struct pod pod;
	struct snapshot acked;
	uint64_t now_usec;
} c;

static int setup(void **state)
{
	(void)state;
	memset(&c, 0, sizeof(c));
	c.config = (struct view_config){ .kinds = VIEW_KINDS_DEFAULT };
	c.settle.max_usec = MAX_USEC;
	c.now_usec = 1000 * MSEC;
	return snapshot_init(&c.acked);
}

static int teardown(void **state)
{
	(void)state;
	settle_done(&c.settle);
	snapshot_done(&c.acked);
	return 0;
}

static void look(void)
{
	CLEANUP(snapshot_done) struct snapshot seen = SNAPSHOT_NULL;

	pod_snapshot(&c.pod, &seen);
	assert_int_equal(settle_update(&c.settle, &c.config, &seen, &c.acked, c.now_usec), 0);
}

static void look_after(uint64_t usec)
{
	c.now_usec += usec;
	look();
}

/* The pod as it was when the monitor started: empty. */
static void look_at_nothing(void)
{
	look();
	c.now_usec += 1000 * MSEC;
}

static bool is_held(uint32_t ifindex)
{
	return settle_is_held(&c.settle, ifindex, c.now_usec);
}

/* Held from now for exactly @usec, and the deadline says so. */
static void assert_held_for(uint32_t ifindex, uint64_t usec)
{
	assert_true(is_held(ifindex));
	assert_true(settle_deadline(&c.settle, c.now_usec) == c.now_usec + usec);
	assert_true(settle_is_held(&c.settle, ifindex, c.now_usec + usec - 1));
	assert_false(settle_is_held(&c.settle, ifindex, c.now_usec + usec));
	assert_true(settle_deadline(&c.settle, c.now_usec + usec) == CLOCK_NEVER);
}

static void assert_free(uint32_t ifindex)
{
	assert_false(is_held(ifindex));
	assert_true(settle_deadline(&c.settle, c.now_usec) == CLOCK_NEVER);
}

/* ---- the usual orders ---- */

/* Link up, then IPv4, then IPv6: each address starts the 20 ms anew. */
static void test_the_order_of_cni(void **state)
{
	(void)state;
	look_at_nothing();
	pod_link(&c.pod, 4, "eth1");
	look();
	assert_held_for(4, MAX_USEC);
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	look_after(3 * MSEC);
	assert_held_for(4, SETTLE_QUIET_USEC);
	pod_addr(&c.pod, 4, "2001:db8::2/64");
	look_after(5 * MSEC);
	assert_held_for(4, SETTLE_QUIET_USEC);
	look_after(SETTLE_QUIET_USEC);
	assert_free(4);
}

/* Addressed while down; it goes the moment it comes up. */
static void test_the_order_of_docker(void **state)
{
	(void)state;
	look_at_nothing();
	pod_link(&c.pod, 4, "eth1")->flags = 0;
	look();
	assert_free(4);
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	look_after(MSEC);
	look_after(SETTLE_QUIET_USEC);
	pod_find_link(&c.pod, 4)->flags = IFF_UP | (uint32_t)IFF_LOWER_UP;
	look();
	assert_free(4);
}

/* Addressed and up in one breath: 20 ms since its last address, no more. */
static void test_addressed_and_up_at_once_waits_for_the_quiet_only(void **state)
{
	(void)state;
	look_at_nothing();
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	look();
	assert_held_for(4, SETTLE_QUIET_USEC);
}

static void test_what_was_addressed_before_we_looked_goes_at_once(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	look();
	assert_free(4);
}

/* ---- never addressed ---- */

static void test_a_link_that_is_never_addressed_goes_after_the_maximum(void **state)
{
	(void)state;
	look_at_nothing();
	pod_link(&c.pod, 4, "eth1");
	look();
	look_after(200 * MSEC);
	assert_held_for(4, MAX_USEC - 200 * MSEC);
	look_after(300 * MSEC);
	assert_free(4);
}

static void test_link_local_does_not_count(void **state)
{
	(void)state;
	look_at_nothing();
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "fe80::2/64");
	look();
	assert_held_for(4, MAX_USEC);
}

static void test_link_local_that_comes_later_starts_nothing_anew(void **state)
{
	(void)state;
	look_at_nothing();
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	look();
	pod_addr(&c.pod, 4, "fe80::2/64");
	look_after(10 * MSEC);
	assert_held_for(4, SETTLE_QUIET_USEC - 10 * MSEC);
}

static void test_link_local_counts_where_it_is_told(void **state)
{
	(void)state;
	c.config.link_local = true;
	look_at_nothing();
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "fe80::2/64");
	look();
	assert_held_for(4, SETTLE_QUIET_USEC);
}

static void test_an_address_of_failed_dad_does_not_count(void **state)
{
	(void)state;
	look_at_nothing();
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "2001:db8::2/64")->flags = IFA_F_DADFAILED;
	look();
	assert_held_for(4, MAX_USEC);
}

/* ---- what starts nothing anew ---- */

/* A link whose addresses change every 15 ms goes all the same. */
static void test_the_maximum_holds_in_all(void **state)
{
	(void)state;
	look_at_nothing();
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	look();
	for (uint64_t waited = 15 * MSEC; waited < MAX_USEC; waited += 15 * MSEC) {
		c.pod.addrs[0].bytes[2]++;
		look_after(15 * MSEC);
		assert_true(is_held(4));
	}
	c.pod.addrs[0].bytes[2]++;
	look_after(15 * MSEC);
	assert_free(4);
}

static void test_flips_of_flags_do_not_start_the_quiet_anew(void **state)
{
	(void)state;
	look_at_nothing();
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	look();
	pod_find_link(&c.pod, 4)->flags &= ~(uint32_t)IFF_RUNNING;
	look_after(5 * MSEC);
	pod_find_link(&c.pod, 4)->flags &= ~(uint32_t)IFF_LOWER_UP;
	look_after(5 * MSEC);
	pod_find_link(&c.pod, 4)->flags |= (uint32_t)IFF_LOWER_UP | IFF_RUNNING;
	look_after(5 * MSEC);
	assert_held_for(4, SETTLE_QUIET_USEC - 15 * MSEC);
}

/* A veth whose carrier flaps while CNI sets it up: "at most --settle in all". */
static void test_flips_of_flags_do_not_start_the_maximum_anew(void **state)
{
	(void)state;
	look_at_nothing();
	pod_link(&c.pod, 4, "eth1");
	look();
	pod_find_link(&c.pod, 4)->flags &= ~(uint32_t)(IFF_LOWER_UP | IFF_RUNNING);
	look_after(100 * MSEC);
	pod_find_link(&c.pod, 4)->flags |= (uint32_t)IFF_LOWER_UP | IFF_RUNNING;
	look_after(100 * MSEC);
	assert_held_for(4, MAX_USEC - 200 * MSEC);
}

static void test_the_flags_of_an_address_start_nothing_anew(void **state)
{
	(void)state;
	look_at_nothing();
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "2001:db8::2/64")->flags |= IFA_F_TENTATIVE;
	look();
	c.pod.addrs[0].flags &= ~(uint32_t)IFA_F_TENTATIVE;
	look_after(10 * MSEC);
	assert_held_for(4, SETTLE_QUIET_USEC - 10 * MSEC);
}

static void test_a_rename_starts_nothing_anew(void **state)
{
	(void)state;
	look_at_nothing();
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	look();
	pod_find_link(&c.pod, 4)->name[0] = 'x';
	pod_find_link(&c.pod, 4)->mtu = 9000;
	look_after(10 * MSEC);
	assert_held_for(4, SETTLE_QUIET_USEC - 10 * MSEC);
}

static void test_other_links_do_not_matter(void **state)
{
	(void)state;
	look_at_nothing();
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	look();
	pod_link(&c.pod, 3, "eth0");
	pod_link(&c.pod, 5, "eth2");
	pod_addr(&c.pod, 5, "10.0.5.2/24");
	look_after(SETTLE_QUIET_USEC);
	assert_false(is_held(4));
	assert_true(is_held(3));
	assert_true(is_held(5));
}

static void test_the_deadline_is_that_of_the_first_link_to_go(void **state)
{
	(void)state;
	look_at_nothing();
	pod_link(&c.pod, 4, "eth1");
	look();
	pod_link(&c.pod, 5, "eth2");
	pod_addr(&c.pod, 5, "10.0.5.2/24");
	look_after(10 * MSEC);
	assert_true(settle_deadline(&c.settle, c.now_usec) == c.now_usec + SETTLE_QUIET_USEC);
	c.now_usec += SETTLE_QUIET_USEC;
	assert_held_for(4, MAX_USEC - 30 * MSEC);
}

/* ---- lives ---- */

static void test_another_life_of_a_link_waits_again(void **state)
{
	(void)state;
	look_at_nothing();
	pod_link(&c.pod, 4, "eth1");
	look();
	look_after(MAX_USEC);
	assert_free(4);
	pod_find_link(&c.pod, 4)->incarnation = 1;
	look();
	assert_held_for(4, MAX_USEC);
}

static void test_a_link_that_is_gone_holds_nothing(void **state)
{
	(void)state;
	look_at_nothing();
	pod_link(&c.pod, 4, "eth1");
	look();
	pod_drop_link(&c.pod, 4);
	look();
	assert_free(4);
}

static void announce(void)
{
	CLEANUP(snapshot_done) struct snapshot s = SNAPSHOT_NULL;

	pod_snapshot(&c.pod, &s);
	snapshot_copy(&c.acked, &s);
}

static void test_a_change_of_a_known_link_waits_for_the_same_quiet(void **state)
{
	(void)state;
	look_at_nothing();
	pod_link(&c.pod, 4, "eth1");
	announce();
	look();
	look_after(1000 * MSEC);
	assert_free(4); /* unaddressed, but told: nothing to wait for */
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	look();
	assert_held_for(4, SETTLE_QUIET_USEC);
	pod_addr(&c.pod, 4, "10.0.0.3/24");
	look_after(15 * MSEC);
	assert_held_for(4, SETTLE_QUIET_USEC);
}

static void test_a_known_link_that_is_down_waits_too(void **state)
{
	(void)state;
	look_at_nothing();
	pod_link(&c.pod, 4, "eth1")->flags = 0;
	announce();
	look();
	look_after(1000 * MSEC);
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	look();
	assert_held_for(4, SETTLE_QUIET_USEC);
}

/* ---- --settle 0 ---- */

static void test_settle_0_holds_nothing(void **state)
{
	(void)state;
	c.settle.max_usec = 0;
	look_at_nothing();
	pod_link(&c.pod, 4, "eth1");
	look();
	assert_free(4);
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	look();
	assert_free(4);
	announce();
	pod_addr(&c.pod, 4, "10.0.0.3/24");
	look();
	assert_free(4);
}

static void test_nothing_seen_is_nothing_held(void **state)
{
	(void)state;
	assert_free(4);
	look();
	assert_free(4);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_the_order_of_cni),
		CASE(test_the_order_of_docker),
		CASE(test_addressed_and_up_at_once_waits_for_the_quiet_only),
		CASE(test_what_was_addressed_before_we_looked_goes_at_once),
		CASE(test_a_link_that_is_never_addressed_goes_after_the_maximum),
		CASE(test_link_local_does_not_count),
		CASE(test_link_local_that_comes_later_starts_nothing_anew),
		CASE(test_link_local_counts_where_it_is_told),
		CASE(test_an_address_of_failed_dad_does_not_count),
		CASE(test_the_maximum_holds_in_all),
		CASE(test_flips_of_flags_do_not_start_the_quiet_anew),
		CASE(test_flips_of_flags_do_not_start_the_maximum_anew),
		CASE(test_the_flags_of_an_address_start_nothing_anew),
		CASE(test_a_rename_starts_nothing_anew),
		CASE(test_other_links_do_not_matter),
		CASE(test_the_deadline_is_that_of_the_first_link_to_go),
		CASE(test_another_life_of_a_link_waits_again),
		CASE(test_a_link_that_is_gone_holds_nothing),
		CASE(test_a_change_of_a_known_link_waits_for_the_same_quiet),
		CASE(test_a_known_link_that_is_down_waits_too),
		CASE(test_settle_0_holds_nothing),
		CASE(test_nothing_seen_is_nothing_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
