/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest says that it has, in the pod's numbers.
 */
#include "netmon/adopt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/pod.h"

/* A test is alone in it. pod_link() gives MACs by number: same_mac() says which NIC it is. */
static struct {
	struct pod told, pod, guest;
	struct snapshot acked;
} c;

static int setup(void **state)
{
	(void)state;
	memset(&c, 0, sizeof(c));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	snapshot_done(&c.acked);
	return 0;
}

static void adopt_as(bool is_exact)
{
	CLEANUP(snapshot_done) struct snapshot told = SNAPSHOT_NULL, seen = SNAPSHOT_NULL;
	static const struct view_config view = { .kinds = VIEW_KINDS_DEFAULT };
	struct sink_guest guest = { .is_known = true, .is_exact = is_exact };

	pod_snapshot(&c.told, &told);
	pod_snapshot(&c.pod, &seen);
	pod_snapshot(&c.guest, &guest.net);
	snapshot_done(&c.acked);
	assert_int_equal(adopt_guest(&view, &told, &seen, &guest, &c.acked), 0);
	snapshot_done(&guest.net);
}

static struct link *nic(uint32_t number, const char *name, uint32_t mac_of)
{
	struct link *l = pod_link(&c.guest, number, name);

	l->mac[4] = (uint8_t)(mac_of >> 8);
	l->mac[5] = (uint8_t)mac_of;
	return l;
}

static const struct link *acked_link(uint32_t ifindex)
{
	return table_find_link(snapshot_links(&c.acked), ifindex);
}

static void test_a_link_is_the_one_with_its_mac_as_the_guest_has_it(void **state)
{
	(void)state;
	pod_link(&c.pod, 40, "eth1")->incarnation = 3;
	nic(2, "ens4", 40)->mtu = 1400;
	pod_addr(&c.guest, 2, "10.0.0.2/24");
	adopt_as(false);
	assert_int_equal(snapshot_links(&c.acked)->n, 1);
	assert_int_equal(acked_link(40)->mtu, 1400);
	assert_int_equal(acked_link(40)->incarnation, 3);
	assert_string_equal(acked_link(40)->name, "ens4");
	assert_string_equal(acked_link(40)->kind, "veth");
	assert_int_equal(snapshot_addrs(&c.acked)->n, 1);
	assert_int_equal(snapshot_addrs(&c.acked)->addrs[0].ifindex, 40);
}

static void test_a_nic_that_the_pod_has_not_is_nobodys_business(void **state)
{
	(void)state;
	nic(2, "mgmt", 77);
	pod_addr(&c.guest, 2, "192.168.0.2/24");
	adopt_as(false);
	assert_int_equal(snapshot_links(&c.acked)->n, 0);
	assert_int_equal(snapshot_addrs(&c.acked)->n, 0);
}

/* A bridge has the MAC of its port, and often the lower number. */
static void test_a_link_that_can_not_be_plugged_is_not_the_one(void **state)
{
	struct link *bridge = pod_link(&c.pod, 5, "br0");

	(void)state;
	memcpy(bridge->kind, "bridge", sizeof("bridge"));
	bridge->mac[5] = 40;
	pod_link(&c.pod, 40, "eth1");
	nic(2, "eth1", 40);
	adopt_as(false);
	assert_null(acked_link(5));
	assert_non_null(acked_link(40));
}

static void test_a_link_that_was_told_and_is_gone_from_the_pod_is_still_over_there(void **state)
{
	(void)state;
	pod_link(&c.told, 40, "eth1");
	nic(2, "eth1", 40);
	adopt_as(false);
	assert_non_null(acked_link(40));
}

static void test_a_link_that_was_told_and_is_gone_from_the_guest_is_not(void **state)
{
	(void)state;
	pod_link(&c.told, 40, "eth1");
	pod_link(&c.pod, 40, "eth1");
	pod_route(&c.told, 40, "10.1.0.0/16", NULL);
	adopt_as(false);
	assert_null(acked_link(40));
	assert_int_equal(snapshot_routes(&c.acked)->n, 0);
}

/* The NIC was told under number 40, which is gone; number 41 has its MAC now. */
static void test_a_mac_that_moved_to_another_link_is_that_links(void **state)
{
	(void)state;
	pod_link(&c.told, 40, "eth1");
	pod_link(&c.pod, 41, "eth1")->mac[5] = 40;
	nic(2, "eth1", 40);
	adopt_as(false);
	assert_null(acked_link(40));
	assert_non_null(acked_link(41));
}

static void test_a_guest_that_lists_a_mac_twice_has_one_nic(void **state)
{
	(void)state;
	pod_link(&c.pod, 40, "eth1");
	nic(2, "a", 40);
	nic(3, "b", 40);
	adopt_as(false);
	assert_int_equal(snapshot_links(&c.acked)->n, 1);
	assert_string_equal(acked_link(40)->name, "a");
}

static void test_what_an_inexact_list_says_of_routes_is_not_believed(void **state)
{
	(void)state;
	pod_link(&c.told, 40, "eth1");
	pod_link(&c.pod, 40, "eth1");
	pod_route(&c.told, 40, "10.1.0.0/16", "10.0.0.1");
	pod_neigh(&c.told, 40, "10.0.0.1", 1);
	nic(2, "eth1", 40);
	pod_route(&c.guest, 2, "0.0.0.0/0", "10.0.0.1");
	adopt_as(false);
	assert_int_equal(snapshot_routes(&c.acked)->n, 1);
	assert_int_equal(snapshot_routes(&c.acked)->routes[0].prefixlen, 16);
	assert_int_equal(snapshot_neighs(&c.acked)->n, 1);
	assert_true(c.acked.routes_stale);
}

static void test_an_exact_list_is_the_truth(void **state)
{
	(void)state;
	pod_link(&c.told, 40, "eth1");
	pod_link(&c.pod, 40, "eth1");
	pod_route(&c.told, 40, "10.1.0.0/16", "10.0.0.1");
	pod_neigh(&c.told, 40, "10.0.0.1", 1);
	nic(2, "eth1", 40);
	pod_route(&c.guest, 2, "10.2.0.0/16", "10.0.0.1");
	pod_neigh(&c.guest, 2, "10.0.0.9", 2);
	adopt_as(true);
	assert_int_equal(snapshot_routes(&c.acked)->n, 1);
	assert_int_equal(snapshot_routes(&c.acked)->routes[0].dst[1], 2);
	assert_int_equal(snapshot_routes(&c.acked)->routes[0].ifindex, 40);
	assert_int_equal(snapshot_neighs(&c.acked)->n, 1);
	assert_int_equal(snapshot_neighs(&c.acked)->neighs[0].bytes[3], 9);
	assert_false(c.acked.routes_stale);
}

static void test_a_link_local_address_counts_when_it_was_told(void **state)
{
	(void)state;
	pod_link(&c.told, 40, "eth1");
	pod_link(&c.pod, 40, "eth1");
	nic(2, "eth1", 40);
	pod_addr(&c.guest, 2, "fe80::1/64");
	adopt_as(false);
	assert_int_equal(snapshot_addrs(&c.acked)->n, 0);
	pod_addr(&c.told, 40, "fe80::1/64");
	adopt_as(false);
	assert_int_equal(snapshot_addrs(&c.acked)->n, 1);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_a_link_is_the_one_with_its_mac_as_the_guest_has_it),
		CASE(test_a_nic_that_the_pod_has_not_is_nobodys_business),
		CASE(test_a_link_that_can_not_be_plugged_is_not_the_one),
		CASE(test_a_link_that_was_told_and_is_gone_from_the_pod_is_still_over_there),
		CASE(test_a_link_that_was_told_and_is_gone_from_the_guest_is_not),
		CASE(test_a_mac_that_moved_to_another_link_is_that_links),
		CASE(test_a_guest_that_lists_a_mac_twice_has_one_nic),
		CASE(test_what_an_inexact_list_says_of_routes_is_not_believed),
		CASE(test_an_exact_list_is_the_truth),
		CASE(test_a_link_local_address_counts_when_it_was_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
