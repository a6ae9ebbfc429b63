/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the guest should see, promise by promise; then as properties on random networks.
 */
#include "netmon/view.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "netmon/diff.h"
#include "netmon/refused.h"
#include "tests/unit/pod.h"
#include "tests/unit/random-net.h"

#define ROUNDS 2000
#define SECOND UINT64_C(1000000)

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

/* ---- the case in hand: one a test, made by setup() ---- */

static struct {
	struct view_config config;
	struct pod pod;
	struct snapshot seen, acked, wanted;
	struct view_notes notes;
	struct refused refused;
	uint32_t held[4];
	size_t n_held;
	uint32_t settling[4];
	size_t n_settling;
	uint64_t now_usec;
} c;

static int setup(void **state)
{
	(void)state;
	memset(&c, 0, sizeof(c));
	c.config = (struct view_config){ .kinds = VIEW_KINDS_DEFAULT, .caps = caps_record };
	c.now_usec = 100 * SECOND;
	assert_int_equal(snapshot_init(&c.acked), 0);
	assert_int_equal(snapshot_init(&c.wanted), 0);
	return 0;
}

static int setup_cli(void **state)
{
	(void)setup(state);
	c.config.caps = caps_cli;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	snapshot_done(&c.seen);
	snapshot_done(&c.acked);
	snapshot_done(&c.wanted);
	view_notes_done(&c.notes);
	refused_done(&c.refused);
	return 0;
}

/* The pod as it is now, seen. */
static void look(void)
{
	struct snapshot wanted = SNAPSHOT_NULL;
	struct view_input in = {
		.seen = &c.seen,
		.acked = &c.acked,
		.previous = &c.wanted,
		.held = c.held,
		.n_held = c.n_held,
		.settling = c.settling,
		.n_settling = c.n_settling,
		.refused = &c.refused,
		.now_usec = c.now_usec,
	};

	snapshot_done(&c.seen);
	pod_snapshot(&c.pod, &c.seen);
	assert_int_equal(view_build(&c.config, &in, &wanted, &c.notes), 0);
	snapshot_done(&c.wanted);
	c.wanted = wanted;
}

/* ... and told to the guest. */
static void tell(void)
{
	look();
	snapshot_copy(&c.acked, &c.wanted);
}

static bool wants_link(uint32_t ifindex)
{
	return table_find_link(snapshot_links(&c.wanted), ifindex);
}

static const struct link *wanted_link(uint32_t ifindex)
{
	const struct link *l = table_find_link(snapshot_links(&c.wanted), ifindex);

	assert_non_null(l);
	return l;
}

static bool wants_addr(uint32_t ifindex, const char *cidr)
{
	struct addr a = { .ifindex = ifindex };

	a.family = pod_parse(cidr, a.bytes, &a.prefixlen);
	return table_find(snapshot_addrs(&c.wanted), &a);
}

/* NULL: none to that destination */
static const struct route *wanted_route(const char *dst)
{
	struct route r = { 0 };

	r.is_inet6 = pod_parse(dst, r.dst, &r.prefixlen) == AF_INET6;
	return table_find(snapshot_routes(&c.wanted), &r);
}

static const struct neigh *wanted_neigh(uint32_t ifindex, const char *ip)
{
	struct neigh n = { .ifindex = ifindex };
	uint8_t ignored;

	n.family = pod_parse(ip, n.bytes, &ignored);
	return table_find(snapshot_neighs(&c.wanted), &n);
}

static size_t notes_of(enum view_reason reason)
{
	size_t n = 0;

	for (size_t i = 0; i < c.notes.n; i++)
		n += c.notes.notes[i].reason == reason;
	return n;
}

/* ---- which links ---- */

static void test_links_of_a_pluggable_kind_are_wanted(void **state)
{
	static const char *const kinds[] = { "veth", "tap", "macvlan", "ipvlan" };

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		struct link *l = pod_link(&c.pod, 4 + i, "eth");

		memset(l->kind, 0, sizeof(l->kind));
		(void)snprintf(l->kind, sizeof(l->kind), "%s", kinds[i]);
	}
	look();
	for (uint32_t i = 0; i < 4; i++)
		assert_true(wants_link(4 + i));
	assert_int_equal(c.notes.n_all, 0);
}

static void test_links_of_other_kinds_are_noted_as_not_pluggable(void **state)
{
	static const char *const kinds[] = { "bridge", "vxlan", "dummy", "tun", "", "bond" };

	(void)state;
	for (uint32_t i = 0; i < 6; i++) {
		struct link *l = pod_link(&c.pod, 4 + i, "eth");

		memset(l->kind, 0, sizeof(l->kind));
		(void)snprintf(l->kind, sizeof(l->kind), "%s", kinds[i]);
	}
	look();
	assert_int_equal(snapshot_links(&c.wanted)->n, 0);
	assert_int_equal(notes_of(VIEW_NOT_PLUGGABLE), 6);
}

static void test_kinds_are_configurable(void **state)
{
	(void)state;
	c.config.kinds = 1U << VIEW_KIND_PHYSICAL;
	memset(pod_link(&c.pod, 4, "ens1")->kind, 0, MODEL_NAME_BYTES);
	pod_link(&c.pod, 5, "eth1");
	look();
	assert_true(wants_link(4));
	assert_false(wants_link(5));
	assert_int_equal(notes_of(VIEW_NOT_PLUGGABLE), 1);
}

/* A kind that calls itself "physical" is not hardware: hardware has no kind. */
static void test_no_link_kind_passes_for_hardware(void **state)
{
	struct link *l = pod_link(&c.pod, 4, "eth1");

	(void)state;
	c.config.kinds = 1U << VIEW_KIND_PHYSICAL;
	(void)snprintf(l->kind, sizeof(l->kind), "physical");
	look();
	assert_false(wants_link(4));
}

static void test_a_link_needs_an_ethernet_mac(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "a")->mac_bytes = 0;
	memset(pod_link(&c.pod, 5, "b")->mac, 0, MODEL_MAC_BYTES);
	pod_link(&c.pod, 6, "c")->hardware = ARPHRD_NONE;
	look();
	assert_int_equal(snapshot_links(&c.wanted)->n, 0);
	assert_int_equal(notes_of(VIEW_NOT_PLUGGABLE), 3);
}

static void test_loopback_is_left_out_in_silence(void **state)
{
	struct link *l = pod_link(&c.pod, 1, "lo");

	(void)state;
	l->flags |= IFF_LOOPBACK;
	l->hardware = ARPHRD_LOOPBACK;
	memset(l->kind, 0, sizeof(l->kind));
	look();
	assert_false(wants_link(1));
	assert_int_equal(c.notes.n_all, 0);
}

/* The original's rule was "ends in" on add and "contains" on delete. */
static void test_names_that_end_in_kata_are_the_runtimes_own(void **state)
{
	static const struct {
		const char *name;
		bool wanted;
	} cases[] = {
		{ "tap0_kata", false }, { "br0_kata", false },
		{ "kata", false },	{ "katana", true },
		{ "kata0", true },	{ "eth_kata_1", true },
		{ "kat", true },	{ "longlonglonkata", false },
	};

	(void)state;
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		pod_link(&c.pod, 4 + i, cases[i].name);
	look();
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(wants_link(4 + i), cases[i].wanted);
	assert_int_equal(c.notes.n_all, 0);
}

static void test_ignored_names_are_globs(void **state)
{
	static const char *const ignore[] = { "cali*", "eth[12]", "x?" };
	static const struct {
		const char *name;
		bool wanted;
	} cases[] = {
		{ "cali123", false }, { "cali", false }, { "mycali", true }, { "eth1", false },
		{ "eth3", true },     { "xy", false },	 { "xyz", true },
	};

	(void)state;
	c.config.ignore = ignore;
	c.config.n_ignore = 3;
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		pod_link(&c.pod, 4 + i, cases[i].name);
	look();
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(wants_link(4 + i), cases[i].wanted);
	assert_int_equal(c.notes.n_all, 0);
}

static void test_a_link_with_a_master_is_the_masters(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1")->master = 9;
	look();
	assert_false(wants_link(4));
	pod_find_link(&c.pod, 4)->master = 0;
	look();
	assert_true(wants_link(4));
}

static void test_a_veth_pair_inside_the_pod_is_the_pods_own(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "a")->peer_ifindex = 5;
	pod_link(&c.pod, 5, "b")->peer_ifindex = 4;
	pod_find_link(&c.pod, 4)->peer_elsewhere = false;
	pod_find_link(&c.pod, 5)->peer_elsewhere = false;
	look();
	assert_int_equal(snapshot_links(&c.wanted)->n, 0);
	assert_int_equal(c.notes.n_all, 0);
}

/* The peer's number counts in its own namespace: one here of the same number is a stranger. */
static void test_a_peer_elsewhere_is_not_looked_for_here(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "a")->peer_ifindex = 5;
	pod_link(&c.pod, 5, "b");
	look();
	assert_true(wants_link(4));
	assert_true(wants_link(5));
}

/* IFLA_LINK of a macvlan is its lower device. */
static void test_the_lower_device_of_a_macvlan_is_no_peer(void **state)
{
	struct link *l = pod_link(&c.pod, 4, "m");

	(void)state;
	(void)snprintf(l->kind, sizeof(l->kind), "macvlan");
	l->peer_ifindex = 5;
	l->peer_elsewhere = false;
	pod_link(&c.pod, 5, "eth1");
	look();
	assert_true(wants_link(4));
}

/* ---- readiness ---- */

static void test_ready_is_up_with_carrier_and_not_running(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "a")->flags = IFF_UP | (uint32_t)IFF_LOWER_UP;
	pod_link(&c.pod, 5, "b")->flags = IFF_UP | IFF_RUNNING;
	pod_link(&c.pod, 6, "c")->flags = (uint32_t)IFF_LOWER_UP | IFF_RUNNING;
	look();
	assert_true(wants_link(4));
	assert_false(wants_link(5));
	assert_false(wants_link(6));
	assert_int_equal(c.notes.n_all, 0);
}

static void test_a_tap_is_ready_without_carrier(void **state)
{
	struct link *l = pod_link(&c.pod, 4, "tap0");

	(void)state;
	memset(l->kind, 0, sizeof(l->kind));
	(void)snprintf(l->kind, sizeof(l->kind), "tap");
	l->flags = IFF_UP;
	look();
	assert_true(wants_link(4));
	pod_find_link(&c.pod, 4)->flags = (uint32_t)IFF_LOWER_UP;
	c.pod.links[0].incarnation = 1;
	look();
	assert_false(wants_link(4));
}

static void test_a_carrier_flap_is_no_unplug(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	tell();
	pod_find_link(&c.pod, 4)->flags &= ~(uint32_t)(IFF_LOWER_UP | IFF_RUNNING);
	look();
	assert_true(snapshot_equal(&c.wanted, &c.acked));
	pod_find_link(&c.pod, 4)->flags = 0;
	look();
	assert_true(snapshot_equal(&c.wanted, &c.acked));
}

static void test_an_announced_link_stays_whatever_becomes_of_its_place(void **state)
{
	static const char *const ignore[] = { "ignored*" };

	(void)state;
	c.config.ignore = ignore;
	c.config.n_ignore = 1;
	pod_link(&c.pod, 4, "a");
	pod_link(&c.pod, 5, "b");
	pod_link(&c.pod, 6, "d");
	tell();
	pod_find_link(&c.pod, 4)->master = 9;
	(void)snprintf(pod_find_link(&c.pod, 5)->name, MODEL_NAME_BYTES, "b_kata");
	(void)snprintf(pod_find_link(&c.pod, 6)->name, MODEL_NAME_BYTES, "ignored0");
	look();
	assert_true(wants_link(4));
	assert_true(wants_link(5));
	assert_true(wants_link(6));
	assert_string_equal(wanted_link(5)->name, "b_kata");
}

static void test_a_link_that_is_gone_is_not_wanted(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1");
	pod_neigh(&c.pod, 4, "10.0.0.1", 1);
	tell();
	pod_drop_link(&c.pod, 4);
	look();
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		assert_int_equal(c.wanted.tables[k]->n, 0);
}

static void test_what_is_wanted_is_in_guest_form(void **state)
{
	const struct link *l;

	(void)state;
	pod_link(&c.pod, 4, "eth1")->incarnation = 3;
	pod_find_link(&c.pod, 4)->mtu = 1450;
	look();
	l = wanted_link(4);
	assert_string_equal(l->name, "eth1");
	assert_string_equal(l->kind, "veth");
	assert_int_equal(l->mtu, 1450);
	assert_int_equal(l->incarnation, 3);
	assert_memory_equal(l->mac, pod_find_link(&c.pod, 4)->mac, MODEL_MAC_BYTES);
	assert_int_equal(l->flags, 0);
	assert_int_equal(l->master, 0);
	assert_int_equal(l->peer_ifindex, 0);
	assert_int_equal(l->hardware, 0);
	assert_false(l->peer_elsewhere);
	assert_true(l->sent_usec == c.now_usec);
	assert_false(l->replugged);
}

static void test_mtu_mac_and_name_changes_are_updates(void **state)
{
	CLEANUP(plan_done) struct plan plan = PLAN_NULL;

	(void)state;
	pod_link(&c.pod, 4, "a");
	pod_link(&c.pod, 5, "b");
	pod_link(&c.pod, 6, "d");
	tell();
	pod_find_link(&c.pod, 4)->mtu = 9000;
	pod_find_link(&c.pod, 5)->mac[4] = 0x77;
	pod_find_link(&c.pod, 6)->name[0] = 'x';
	look();
	assert_int_equal(wanted_link(4)->mtu, 9000);
	assert_int_equal(wanted_link(5)->mac[4], 0x77);
	assert_string_equal(wanted_link(6)->name, "x");
	assert_int_equal(diff_plan(&c.acked, &c.wanted, &c.config.caps, &plan), 0);
	assert_int_equal(plan.n, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(plan.ops[i].verb, PLAN_LINK_UPDATE);
}

/* Moved away and back: same number, same MAC, but its datapath is gone. */
static void test_another_incarnation_is_delete_and_add(void **state)
{
	CLEANUP(plan_done) struct plan plan = PLAN_NULL;

	(void)state;
	pod_link(&c.pod, 4, "eth1");
	tell();
	pod_find_link(&c.pod, 4)->incarnation = 1;
	look();
	assert_int_equal(diff_plan(&c.acked, &c.wanted, &c.config.caps, &plan), 0);
	assert_int_equal(plan.n, 2);
	assert_int_equal(plan.ops[0].verb, PLAN_LINK_DEL);
	assert_int_equal(plan.ops[1].verb, PLAN_LINK_ADD);
}

static void test_another_incarnation_has_to_be_ready_again(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	tell();
	pod_find_link(&c.pod, 4)->incarnation = 1;
	pod_find_link(&c.pod, 4)->flags = 0;
	look();
	assert_false(wants_link(4));
}

static void test_the_same_name_with_a_new_number_is_another_link(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	tell();
	pod_drop_link(&c.pod, 4);
	pod_link(&c.pod, 9, "eth1");
	look();
	assert_false(wants_link(4));
	assert_true(wants_link(9));
}

/* ---- MAC is the guest's key ---- */

static void same_mac(uint32_t ifindex, uint32_t as)
{
	memcpy(pod_find_link(&c.pod, ifindex)->mac, pod_find_link(&c.pod, as)->mac,
	       MODEL_MAC_BYTES);
}

static void test_of_equal_macs_the_first_announced_goes(void **state)
{
	(void)state;
	pod_link(&c.pod, 7, "first");
	tell();
	pod_link(&c.pod, 4, "second");
	same_mac(4, 7);
	look();
	assert_true(wants_link(7));
	assert_false(wants_link(4));
	assert_int_equal(notes_of(VIEW_DUPLICATE_MAC), 1);
}

static void test_of_equal_macs_that_come_at_once_one_goes(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "a");
	pod_link(&c.pod, 5, "b");
	pod_link(&c.pod, 6, "d");
	same_mac(5, 4);
	same_mac(6, 4);
	look();
	assert_int_equal(snapshot_links(&c.wanted)->n, 1);
	assert_int_equal(notes_of(VIEW_DUPLICATE_MAC), 2);
}

static void test_the_duplicate_goes_when_the_first_leaves(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "a");
	pod_link(&c.pod, 5, "b");
	same_mac(5, 4);
	tell();
	assert_false(wants_link(5));
	pod_drop_link(&c.pod, 4);
	look();
	assert_true(wants_link(5));
	assert_int_equal(c.notes.n_all, 0);
}

/*
 * Two that the guest knows, and one takes the other's MAC: the guest has one key for both, so it is
 * not told.
 */
static void test_an_announced_link_does_not_take_anothers_mac(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "a");
	pod_link(&c.pod, 5, "b");
	tell();
	same_mac(5, 4);
	look();
	assert_true(wants_link(4));
	assert_true(wants_link(5));
	assert_int_not_equal(memcmp(wanted_link(4)->mac, wanted_link(5)->mac, MODEL_MAC_BYTES), 0);
	assert_int_equal(notes_of(VIEW_DUPLICATE_MAC), 1);
}

/*
 * The guest has the MAC under the first link until that link's change is told, and additions come
 * before updates.
 */
static void test_a_mac_that_is_being_given_up_is_free_when_that_was_told(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "a");
	tell();
	pod_link(&c.pod, 5, "b");
	same_mac(5, 4);
	pod_find_link(&c.pod, 4)->mac[4] = 0x77;
	look();
	assert_int_equal(wanted_link(4)->mac[4], 0x77);
	assert_false(wants_link(5));
	tell();
	look();
	assert_true(wants_link(5));
}

/* ---- addresses ---- */

static void test_addresses_of_both_families_go_with_their_prefix_length(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "10.0.0.2/23")->scope = RT_SCOPE_LINK;
	pod_addr(&c.pod, 4, "2001:db8::2/61");
	look();
	assert_true(wants_addr(4, "10.0.0.2/23"));
	assert_true(wants_addr(4, "2001:db8::2/61"));
	assert_int_equal(snapshot_addrs(&c.wanted)->addrs[0].flags, 0);
	assert_int_equal(snapshot_addrs(&c.wanted)->addrs[0].scope, 0);
}

static void test_addresses_of_links_that_are_not_wanted_do_not_go(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "x_kata");
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	look();
	assert_int_equal(snapshot_addrs(&c.wanted)->n, 0);
}

static void test_link_local_goes_only_when_asked_for(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "fe80::2/64");
	pod_addr(&c.pod, 4, "169.254.7.7/16");
	look();
	assert_false(wants_addr(4, "fe80::2/64"));
	assert_true(wants_addr(4, "169.254.7.7/16"));
	c.config.link_local = true;
	look();
	assert_true(wants_addr(4, "fe80::2/64"));
}

static void test_tentative_is_sent_and_dad_failed_is_not(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "2001:db8::2/64")->flags |= IFA_F_TENTATIVE;
	pod_addr(&c.pod, 4, "2001:db8::3/64")->flags |= IFA_F_DADFAILED | IFA_F_TENTATIVE;
	look();
	assert_true(wants_addr(4, "2001:db8::2/64"));
	assert_false(wants_addr(4, "2001:db8::3/64"));
}

static void test_the_end_of_tentative_is_no_change(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "2001:db8::2/64")->flags |= IFA_F_TENTATIVE;
	tell();
	c.pod.addrs[0].flags &= ~(uint32_t)IFA_F_TENTATIVE;
	look();
	assert_true(snapshot_equal(&c.wanted, &c.acked));
}

static void test_an_address_that_fails_dad_later_is_withdrawn(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "2001:db8::2/64")->learnt = 1;
	tell();
	c.pod.addrs[0].flags |= IFA_F_DADFAILED;
	look();
	assert_false(wants_addr(4, "2001:db8::2/64"));
}

static void test_noprefixroute_is_noted_and_the_address_goes(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "10.0.0.2/24")->flags |= IFA_F_NOPREFIXROUTE;
	pod_link(&c.pod, 5, "x_kata");
	pod_addr(&c.pod, 5, "10.0.0.3/24")->flags |= IFA_F_NOPREFIXROUTE;
	look();
	assert_true(wants_addr(4, "10.0.0.2/24"));
	assert_int_equal(notes_of(VIEW_NO_PREFIX_ROUTE), 1);
}

/* ---- learnt state on a link whose datapath is redirected ---- */

static void test_the_expiry_of_a_learnt_address_is_no_withdrawal(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "2001:db8::2/64")->learnt = 1;
	tell();
	pod_drop_addr(&c.pod, 4, "2001:db8::2/64");
	look();
	assert_true(snapshot_equal(&c.wanted, &c.acked));
	look(); /* and stays so */
	assert_true(snapshot_equal(&c.wanted, &c.acked));
}

static void test_the_end_of_a_permanent_address_is_a_withdrawal(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "2001:db8::2/64");
	tell();
	pod_drop_addr(&c.pod, 4, "2001:db8::2/64");
	look();
	assert_false(wants_addr(4, "2001:db8::2/64"));
}

static void test_a_learnt_address_that_became_permanent_is_withdrawn(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "10.0.0.2/24")->learnt = 1;
	tell();
	c.pod.addrs[0].learnt = 0;
	tell();
	pod_drop_addr(&c.pod, 4, "10.0.0.2/24");
	look();
	assert_false(wants_addr(4, "10.0.0.2/24"));
}

/* What the guest never heard of needs no keeping. */
static void test_a_learnt_address_that_was_never_told_is_forgotten(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	tell();
	pod_addr(&c.pod, 4, "2001:db8::2/64")->learnt = 1;
	look();
	assert_true(wants_addr(4, "2001:db8::2/64"));
	pod_drop_addr(&c.pod, 4, "2001:db8::2/64");
	look();
	assert_false(wants_addr(4, "2001:db8::2/64"));
}

static void test_a_learnt_address_goes_with_its_link(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "2001:db8::2/64")->learnt = 1;
	tell();
	pod_drop_link(&c.pod, 4);
	pod_link(&c.pod, 4, "eth1")->incarnation = 1;
	look();
	assert_true(wants_link(4));
	assert_false(wants_addr(4, "2001:db8::2/64"));
}

static void test_the_expiry_of_a_learnt_route_is_no_withdrawal(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_route(&c.pod, 4, "::/0", "fe80::1")->flags |= MODEL_ROUTE_LEARNT;
	pod_route(&c.pod, 4, "10.0.0.0/8", NULL);
	tell();
	pod_drop_route(&c.pod, "::/0");
	pod_drop_route(&c.pod, "10.0.0.0/8");
	look();
	assert_non_null(wanted_route("::/0"));
	assert_null(wanted_route("10.0.0.0/8"));
}

static void test_a_learnt_route_gives_way_to_another_of_its_destination(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_route(&c.pod, 4, "::/0", "fe80::1")->flags |= MODEL_ROUTE_LEARNT;
	tell();
	pod_drop_route(&c.pod, "::/0");
	pod_route(&c.pod, 4, "::/0", "fe80::2");
	look();
	assert_int_equal(snapshot_routes(&c.wanted)->n, 1);
	assert_int_equal(wanted_route("::/0")->gateway[15], 2);
}

/* A route that the guest is not to see does not take the place of one that it has. */
static void test_a_learnt_route_does_not_give_way_to_one_of_an_unwanted_link(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_link(&c.pod, 5, "tap0_kata");
	pod_route(&c.pod, 4, "::/0", "fe80::1")->flags |= MODEL_ROUTE_LEARNT;
	tell();
	pod_drop_route(&c.pod, "::/0");
	pod_route(&c.pod, 5, "::/0", "fe80::2");
	look();
	assert_non_null(wanted_route("::/0"));
}

static void test_a_learnt_route_goes_with_its_link(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_route(&c.pod, 4, "::/0", "fe80::1")->flags |= MODEL_ROUTE_LEARNT;
	tell();
	pod_drop_link(&c.pod, 4);
	look();
	assert_null(wanted_route("::/0"));
}

static void test_the_expiry_of_a_learnt_neighbour_is_no_withdrawal(void **state)
{
	struct neigh *n;

	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1");
	n = pod_neigh(&c.pod, 4, "10.0.0.1", 1);
	n->state = NUD_REACHABLE;
	n->learnt = 1;
	tell();
	n->state = NUD_FAILED;
	n->mac_bytes = 0;
	memset(n->mac, 0, sizeof(n->mac));
	look();
	assert_true(snapshot_equal(&c.wanted, &c.acked));
	pod_drop_neigh(&c.pod, "10.0.0.1");
	look();
	assert_true(snapshot_equal(&c.wanted, &c.acked));
}

static void test_the_end_of_a_permanent_neighbour_is_a_withdrawal(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_neigh(&c.pod, 4, "10.0.0.1", 1);
	tell();
	pod_drop_neigh(&c.pod, "10.0.0.1");
	look();
	assert_null(wanted_neigh(4, "10.0.0.1"));
}

/* ---- routes ---- */

static void test_routes_of_the_kernel_are_left_out_in_silence(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_route(&c.pod, 4, "10.0.0.0/24", NULL)->flags |= MODEL_ROUTE_KERNEL;
	look();
	assert_int_equal(snapshot_routes(&c.wanted)->n, 0);
	assert_int_equal(c.notes.n_all, 0);
}

static void test_routes_keep_what_can_be_said(void **state)
{
	struct route *r;
	const struct route *w;

	(void)state;
	pod_link(&c.pod, 4, "eth1");
	r = pod_route(&c.pod, 4, "10.1.0.0/16", "10.0.0.1");
	r->mtu = 1400;
	r->metric = 100;
	r->flags |= MODEL_ROUTE_ONLINK | MODEL_ROUTE_SOURCE;
	r->source[0] = 10;
	r->scope = RT_SCOPE_LINK;
	look();
	w = wanted_route("10.1.0.0/16");
	assert_non_null(w);
	assert_int_equal(w->mtu, 1400);
	assert_int_equal(w->flags, MODEL_ROUTE_GATEWAY | MODEL_ROUTE_ONLINK | MODEL_ROUTE_SOURCE);
	assert_int_equal(w->scope, RT_SCOPE_LINK);
	assert_int_equal(w->source[0], 10);
	assert_int_equal(w->metric, 0);
}

/* What a sink can't say must not make a difference either. */
static void test_mtu_and_onlink_are_left_out_where_there_is_no_word_for_them(void **state)
{
	struct route *r;

	(void)state;
	pod_link(&c.pod, 4, "eth1");
	r = pod_route(&c.pod, 4, "10.1.0.0/16", "10.0.0.1");
	r->mtu = 1400;
	r->flags |= MODEL_ROUTE_ONLINK;
	look();
	assert_int_equal(wanted_route("10.1.0.0/16")->mtu, 0);
	assert_int_equal(wanted_route("10.1.0.0/16")->flags, MODEL_ROUTE_GATEWAY);
}

static void test_of_equal_destinations_the_lowest_metric_goes(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_link(&c.pod, 5, "eth2");
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1")->metric = 200;
	pod_route(&c.pod, 5, "0.0.0.0/0", "10.0.0.2")->metric = 100;
	look();
	assert_int_equal(snapshot_routes(&c.wanted)->n, 1);
	assert_int_equal(wanted_route("0.0.0.0/0")->ifindex, 5);
	pod_find_link(&c.pod, 5)->flags = 0; /* not announced: its routes do not go */
	look();
	assert_int_equal(wanted_route("0.0.0.0/0")->ifindex, 4);
}

static void test_a_change_of_metric_alone_is_no_change(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1")->metric = 200;
	tell();
	c.pod.routes[0].metric = 100;
	look();
	assert_true(snapshot_equal(&c.wanted, &c.acked));
}

static void test_what_can_not_be_said_is_noted_and_never_sent(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	for (unsigned u = 1; u < _MODEL_UNSAYABLE_MAX; u++) {
		struct route *r = pod_route(&c.pod, u <= MODEL_UNSAYABLE_MULTIPATH ? 0 : 4,
					    "10.0.0.0/8", NULL);

		r->dst[1] = (uint8_t)u;
		r->prefixlen = 16;
		r->unsayable = u & 7;
	}
	look();
	assert_int_equal(snapshot_routes(&c.wanted)->n, 0);
	assert_int_equal(notes_of(VIEW_UNSAYABLE_ROUTE), _MODEL_UNSAYABLE_MAX - 1);
}

static void test_unsayable_routes_of_other_links_are_nobodys_business(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "x_kata");
	pod_route(&c.pod, 4, "10.0.0.0/8", NULL)->unsayable = MODEL_UNSAYABLE_TOS;
	look();
	assert_int_equal(c.notes.n_all, 0);
}

static void test_a_default_route_without_gateway_goes_where_its_family_can_be_said(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_route(&c.pod, 4, "::/0", NULL);
	look();
	assert_non_null(wanted_route("::/0"));
}

/* "Dest":"" without gateway would be read as IPv4. */
static void test_an_ipv6_default_route_without_gateway_is_not_for_the_cli(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_route(&c.pod, 4, "::/0", NULL);
	pod_route(&c.pod, 4, "0.0.0.0/0", NULL);
	look();
	assert_null(wanted_route("::/0"));
	assert_non_null(wanted_route("0.0.0.0/0"));
	assert_int_equal(notes_of(VIEW_DEFAULT6_NO_GATEWAY), 1);
}

static void test_an_ipv6_default_route_with_gateway_is_for_the_cli(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_route(&c.pod, 4, "::/0", "fe80::1");
	look();
	assert_non_null(wanted_route("::/0"));
	assert_int_equal(c.notes.n_all, 0);
}

static void test_rules_and_other_tables_are_noted(void **state)
{
	(void)state;
	pod_policy(&c.pod, 100);
	pod_policy(&c.pod, 200)->is_rule = 1;
	look();
	assert_int_equal(notes_of(VIEW_POLICY), 2);
	assert_int_equal(snapshot_policies(&c.wanted)->n, 0);
}

/* ---- neighbours ---- */

static void test_permanent_neighbours_go(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_neigh(&c.pod, 4, "10.0.0.7", 7)->router = 1;
	look();
	assert_non_null(wanted_neigh(4, "10.0.0.7"));
	assert_int_equal(wanted_neigh(4, "10.0.0.7")->state, 0);
	assert_int_equal(wanted_neigh(4, "10.0.0.7")->router, 0);
}

static void learnt_neigh(uint32_t ifindex, const char *ip, uint16_t nud)
{
	struct neigh *n = pod_neigh(&c.pod, ifindex, ip, 1);

	n->state = nud;
	n->learnt = 1;
}

static void test_a_gateways_neighbour_goes_when_it_is_known(void **state)
{
	static const struct {
		const char *gateway;
		uint16_t nud;
		bool wanted;
	} cases[] = {
		{ "10.0.0.1", NUD_REACHABLE, true }, { "10.0.0.2", NUD_STALE, true },
		{ "10.0.0.3", NUD_DELAY, true },     { "10.0.0.4", NUD_PROBE, true },
		{ "10.0.0.5", NUD_FAILED, false },   { "10.0.0.6", NUD_INCOMPLETE, false },
		{ "10.0.0.7", NUD_NOARP, false },
	};

	(void)state;
	pod_link(&c.pod, 4, "eth1");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pod_route(&c.pod, 4, "10.0.0.0/16", cases[i].gateway)->dst[1] = (uint8_t)i;
		learnt_neigh(4, cases[i].gateway, cases[i].nud);
	}
	look();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(wanted_neigh(4, cases[i].gateway) != NULL, cases[i].wanted);
}

static void test_a_learnt_neighbour_that_is_no_gateway_does_not_go(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_link(&c.pod, 5, "eth2");
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1");
	learnt_neigh(4, "10.0.0.9", NUD_REACHABLE);
	learnt_neigh(5, "10.0.0.1", NUD_REACHABLE); /* the gateway's address on another link */
	look();
	assert_int_equal(snapshot_neighs(&c.wanted)->n, 0);
}

static void test_a_neighbour_without_mac_does_not_go(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_neigh(&c.pod, 4, "10.0.0.7", 7)->mac_bytes = 0;
	look();
	assert_int_equal(snapshot_neighs(&c.wanted)->n, 0);
}

static void test_a_permanent_neighbour_is_noted_where_there_is_no_word_for_it(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1");
	pod_neigh(&c.pod, 4, "10.0.0.7", 7);
	learnt_neigh(4, "10.0.0.1", NUD_REACHABLE);
	look();
	assert_int_equal(snapshot_neighs(&c.wanted)->n, 0);
	assert_int_equal(notes_of(VIEW_NEIGHBOUR), 1);
}

/* ---- held and refused ---- */

static void hold(uint32_t ifindex)
{
	c.held[0] = ifindex;
	c.n_held = 1;
}

static void test_a_held_link_waits_with_all_that_it_carries(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1");
	pod_neigh(&c.pod, 4, "10.0.0.1", 1);
	hold(4);
	look();
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		assert_int_equal(c.wanted.tables[k]->n, 0);
	assert_int_equal(c.notes.n_all, 0);
}

static void test_a_held_change_of_a_known_link_waits_and_its_routes_do_not(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	tell();
	pod_find_link(&c.pod, 4)->mtu = 9000;
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1");
	hold(4);
	look();
	assert_int_equal(wanted_link(4)->mtu, 1500);
	assert_non_null(wanted_route("0.0.0.0/0"));
}

/* Its deletion backs off: the guest has it still. Its routes went with it in the pod. */
static void test_a_link_that_is_gone_but_held_stays_as_it_was_told(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1");
	tell();
	pod_drop_link(&c.pod, 4);
	hold(4);
	look();
	assert_true(wants_link(4));
	assert_true(wants_addr(4, "10.0.0.2/24"));
	assert_null(wanted_route("0.0.0.0/0"));
	c.n_held = 0;
	look();
	assert_false(wants_link(4));
}

static void test_another_life_of_a_held_link_waits_for_the_end_of_the_first(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	tell();
	pod_find_link(&c.pod, 4)->incarnation = 1;
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1");
	hold(4);
	look();
	assert_int_equal(snapshot_links(&c.wanted)->n, 1);
	assert_int_equal(wanted_link(4)->incarnation, 0);
}

static void settle(uint32_t ifindex)
{
	c.settling[0] = ifindex;
	c.n_settling = 1;
}

/*
 * The guest may have lost it (its deletion was in flight when we were killed): a route by it would
 * be refused.
 */
static void test_another_life_of_a_link_that_settles_goes_at_once_with_its_routes(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	pod_route(&c.pod, 4, "0.0.0.0/0", "10.0.0.1");
	tell();
	pod_find_link(&c.pod, 4)->incarnation = 1;
	settle(4);
	look();
	assert_false(wants_link(4));
	assert_null(wanted_route("0.0.0.0/0"));
	c.n_settling = 0;
	look();
	assert_int_equal(wanted_link(4)->incarnation, 1);
	assert_non_null(wanted_route("0.0.0.0/0"));
}

static void test_a_change_of_a_link_that_settles_waits(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	tell();
	pod_find_link(&c.pod, 4)->mtu = 9000;
	settle(4);
	look();
	assert_int_equal(wanted_link(4)->mtu, 1500);
}

static void test_a_link_that_is_gone_but_held_keeps_its_mac(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "a");
	pod_link(&c.pod, 5, "b")->flags = 0;
	same_mac(5, 4);
	tell();
	pod_drop_link(&c.pod, 4);
	pod_find_link(&c.pod, 5)->flags = IFF_UP | (uint32_t)IFF_LOWER_UP;
	hold(4);
	look();
	assert_false(wants_link(5));
	c.n_held = 0;
	look();
	assert_true(wants_link(5));
}

static uint64_t hash_of_wanted(uint32_t ifindex)
{
	const struct table *addrs = snapshot_addrs(&c.wanted);
	size_t n;
	size_t first = table_range_of_link(addrs, ifindex, &n);

	return view_link_hash(wanted_link(ifindex), n ? &addrs->addrs[first] : NULL, n);
}

static void refuse(uint64_t hash)
{
	for (int i = 0; i < REFUSED_FINAL; i++)
		assert_true(refused_add(&c.refused, hash) > 0);
}

static void test_a_refused_link_is_noted_and_asked_again_when_it_changes(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	look();
	refuse(hash_of_wanted(4));
	look();
	assert_false(wants_link(4));
	assert_int_equal(notes_of(VIEW_REFUSED), 1);
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	look();
	assert_true(wants_link(4));
	assert_int_equal(c.notes.n_all, 0);
}

static void test_a_value_refused_once_is_asked_again(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	look();
	assert_int_equal(refused_add(&c.refused, hash_of_wanted(4)), 1);
	look();
	assert_true(wants_link(4));
}

static void test_a_refused_change_leaves_the_link_as_it_was_told(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	tell();
	pod_find_link(&c.pod, 4)->mtu = 9000;
	look();
	refuse(hash_of_wanted(4));
	look();
	assert_int_equal(wanted_link(4)->mtu, 1500);
	assert_int_equal(notes_of(VIEW_REFUSED), 1);
	pod_find_link(&c.pod, 4)->mtu = 8000;
	look();
	assert_int_equal(wanted_link(4)->mtu, 8000);
}

/* ---- a side that can't be told of changes ---- */

static void tell_cli_link_with_ipv4(void)
{
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	tell();
}

static void test_a_change_is_kept_as_drift_by_default(void **state)
{
	(void)state;
	tell_cli_link_with_ipv4();
	pod_find_link(&c.pod, 4)->mtu = 9000;
	pod_addr(&c.pod, 4, "10.0.0.3/24");
	look();
	assert_true(snapshot_equal(&c.wanted, &c.acked));
	assert_int_equal(notes_of(VIEW_CHANGE_IGNORED), 1);
	assert_int_equal(c.notes.notes[0].link.mtu, 9000);
}

static void test_drift_that_goes_away_is_no_drift(void **state)
{
	(void)state;
	tell_cli_link_with_ipv4();
	pod_find_link(&c.pod, 4)->mtu = 9000;
	look();
	pod_find_link(&c.pod, 4)->mtu = 1500;
	look();
	assert_int_equal(c.notes.n_all, 0);
}

static void test_a_change_is_a_replug_when_asked_for(void **state)
{
	CLEANUP(plan_done) struct plan plan = PLAN_NULL;

	(void)state;
	c.config.on_change = VIEW_ON_CHANGE_REPLUG;
	tell_cli_link_with_ipv4();
	c.now_usec += 3600 * SECOND;
	pod_find_link(&c.pod, 4)->mtu = 9000;
	look();
	assert_int_equal(wanted_link(4)->mtu, 9000);
	assert_int_equal(diff_plan(&c.acked, &c.wanted, &c.config.caps, &plan), 0);
	assert_int_equal(plan.n, 2);
	assert_int_equal(plan.ops[0].verb, PLAN_LINK_DEL);
	assert_int_equal(plan.ops[1].verb, PLAN_LINK_ADD);
	/* and again, as often as it changes */
	snapshot_copy(&c.acked, &c.wanted);
	pod_find_link(&c.pod, 4)->mtu = 8000;
	look();
	assert_int_equal(wanted_link(4)->mtu, 8000);
}

static void test_a_family_that_comes_within_30_seconds_is_one_replug(void **state)
{
	(void)state;
	tell_cli_link_with_ipv4();
	c.now_usec += VIEW_REPLUG_WINDOW_USEC;
	pod_addr(&c.pod, 4, "2001:db8::2/64");
	tell();
	assert_true(wants_addr(4, "2001:db8::2/64"));
	assert_true(wanted_link(4)->replugged);
	assert_true(wanted_link(4)->sent_usec == c.now_usec);
	assert_int_equal(c.notes.n_all, 0);
}

static void test_a_family_that_comes_later_is_drift(void **state)
{
	(void)state;
	tell_cli_link_with_ipv4();
	c.now_usec += VIEW_REPLUG_WINDOW_USEC + 1;
	pod_addr(&c.pod, 4, "2001:db8::2/64");
	look();
	assert_false(wants_addr(4, "2001:db8::2/64"));
	assert_int_equal(notes_of(VIEW_CHANGE_IGNORED), 1);
}

static void test_there_is_only_one_such_replug(void **state)
{
	(void)state;
	pod_link(&c.pod, 4, "eth1");
	tell();
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	tell();
	assert_true(wants_addr(4, "10.0.0.2/24"));
	pod_addr(&c.pod, 4, "2001:db8::2/64");
	look();
	assert_false(wants_addr(4, "2001:db8::2/64"));
	assert_int_equal(notes_of(VIEW_CHANGE_IGNORED), 1);
}

static void test_a_second_address_of_a_told_family_is_no_replug(void **state)
{
	(void)state;
	tell_cli_link_with_ipv4();
	pod_addr(&c.pod, 4, "10.0.0.3/24");
	look();
	assert_false(wants_addr(4, "10.0.0.3/24"));
}

/* sent_usec 0: the runtime plugged it before we came. */
static void test_a_cold_plugged_link_is_not_replugged(void **state)
{
	CLEANUP(snapshot_done) struct snapshot seen = SNAPSHOT_NULL;

	(void)state;
	c.now_usec = 1;
	pod_link(&c.pod, 4, "eth1");
	pod_addr(&c.pod, 4, "10.0.0.2/24");
	pod_snapshot(&c.pod, &seen);
	snapshot_done(&c.acked);
	assert_int_equal(view_baseline(&c.config, &seen, &c.acked), 0);
	snapshot_copy(&c.wanted, &c.acked);
	pod_addr(&c.pod, 4, "2001:db8::2/64");
	look();
	assert_false(wants_addr(4, "2001:db8::2/64"));
	assert_int_equal(notes_of(VIEW_CHANGE_IGNORED), 1);
}

static void test_link_local_alone_is_no_family_that_comes(void **state)
{
	(void)state;
	tell_cli_link_with_ipv4();
	pod_addr(&c.pod, 4, "fe80::2/64");
	look();
	assert_true(snapshot_equal(&c.wanted, &c.acked));
	assert_int_equal(c.notes.n_all, 0);
}

static void test_a_held_replug_waits_without_being_called_drift(void **state)
{
	(void)state;
	tell_cli_link_with_ipv4();
	pod_addr(&c.pod, 4, "2001:db8::2/64");
	hold(4);
	look();
	assert_true(snapshot_equal(&c.wanted, &c.acked));
	assert_int_equal(c.notes.n_all, 0);
	c.n_held = 0;
	look();
	assert_true(wants_addr(4, "2001:db8::2/64"));
}

/* ---- notes ---- */

static void test_the_same_thing_has_the_same_note(void **state)
{
	uint64_t hash;

	(void)state;
	(void)snprintf(pod_link(&c.pod, 4, "br0")->kind, MODEL_NAME_BYTES, "bridge");
	look();
	hash = c.notes.notes[0].hash;
	look();
	assert_true(c.notes.notes[0].hash == hash);
	/* a bridge's MAC follows its ports: the link is said once, not each of its states */
	pod_find_link(&c.pod, 4)->mac[5]++;
	look();
	assert_true(c.notes.notes[0].hash == hash);
	assert_int_equal(c.notes.notes[0].ifindex, 4);
}

/* A carrier flap of a bridge is not a new thing to tell the auditor. */
static void test_flags_do_not_make_another_note(void **state)
{
	uint64_t hash;

	(void)state;
	(void)snprintf(pod_link(&c.pod, 4, "br0")->kind, MODEL_NAME_BYTES, "bridge");
	look();
	hash = c.notes.notes[0].hash;
	pod_find_link(&c.pod, 4)->flags = 0;
	look();
	assert_int_equal(c.notes.n, 1);
	assert_true(c.notes.notes[0].hash == hash);
}

static void test_notes_beyond_the_limit_are_counted(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < VIEW_NOTES_MAX + 10; i++)
		pod_policy(&c.pod, 1000 + i);
	look();
	assert_int_equal(c.notes.n, VIEW_NOTES_MAX);
	assert_int_equal(c.notes.n_all, VIEW_NOTES_MAX + 10);
}

/* ---- the baseline ---- */

static void test_the_baseline_is_what_is_up_and_addressed(void **state)
{
	static const char *const ignore[] = { "ign*" };
	CLEANUP(snapshot_done) struct snapshot seen = SNAPSHOT_NULL;
	CLEANUP(snapshot_done) struct snapshot base = SNAPSHOT_NULL;

	(void)state;
	c.config.ignore = ignore;
	c.config.n_ignore = 1;
	pod_link(&c.pod, 1, "lo")->flags |= IFF_LOOPBACK;
	pod_addr(&c.pod, 1, "127.0.0.1/8");
	pod_link(&c.pod, 2, "eth0");
	pod_addr(&c.pod, 2, "10.0.0.2/24");
	pod_addr(&c.pod, 2, "fe80::2/64");
	pod_link(&c.pod, 3, "unaddressed");
	pod_link(&c.pod, 4, "down")->flags = 0;
	pod_addr(&c.pod, 4, "10.0.4.2/24");
	pod_link(&c.pod, 5, "tap0_kata");
	pod_addr(&c.pod, 5, "10.0.5.2/24");
	pod_link(&c.pod, 6, "ign0");
	pod_addr(&c.pod, 6, "10.0.6.2/24");
	pod_route(&c.pod, 2, "0.0.0.0/0", "10.0.0.1");
	pod_snapshot(&c.pod, &seen);
	assert_int_equal(view_baseline(&c.config, &seen, &base), 0);
	assert_int_equal(snapshot_links(&base)->n, 1);
	assert_int_equal(snapshot_links(&base)->links[0].ifindex, 2);
	assert_int_equal(snapshot_links(&base)->links[0].flags, 0);
	assert_true(snapshot_links(&base)->links[0].sent_usec == 0);
	assert_int_equal(snapshot_addrs(&base)->n, 1); /* link-local is the guest's own */
	assert_int_equal(snapshot_routes(&base)->n, 0);
	assert_true(base.routes_stale);
}

/* The runtime plugged it, whatever --kinds says now: so its end has to be told. */
static void test_the_baseline_takes_links_of_any_kind(void **state)
{
	CLEANUP(snapshot_done) struct snapshot seen = SNAPSHOT_NULL;
	CLEANUP(snapshot_done) struct snapshot base = SNAPSHOT_NULL;

	(void)state;
	(void)snprintf(pod_link(&c.pod, 2, "br0")->kind, MODEL_NAME_BYTES, "bridge");
	pod_addr(&c.pod, 2, "10.0.0.2/24");
	pod_snapshot(&c.pod, &seen);
	assert_int_equal(view_baseline(&c.config, &seen, &base), 0);
	assert_int_equal(snapshot_links(&base)->n, 1);
}

/* The heart of a start: what was plugged cold is not plugged again. */
static void test_the_view_of_a_baseline_is_the_baseline(void **state)
{
	CLEANUP(snapshot_done) struct snapshot seen = SNAPSHOT_NULL;
	CLEANUP(plan_done) struct plan plan = PLAN_NULL;

	(void)state;
	pod_link(&c.pod, 2, "eth0");
	pod_addr(&c.pod, 2, "10.0.0.2/24");
	pod_addr(&c.pod, 2, "fe80::2/64");
	pod_snapshot(&c.pod, &seen);
	snapshot_done(&c.acked);
	assert_int_equal(view_baseline(&c.config, &seen, &c.acked), 0);
	snapshot_copy(&c.wanted, &c.acked);
	look();
	assert_int_equal(diff_plan(&c.acked, &c.wanted, &c.config.caps, &plan), 0);
	assert_int_equal(plan.n, 1);
	assert_int_equal(plan.ops[0].verb, PLAN_ROUTES_SET);
}

/* ---- words ---- */

static void test_words_are_read_back(void **state)
{
	enum view_kind kind = _VIEW_KIND_MAX;
	enum view_on_change on_change = _VIEW_ON_CHANGE_MAX;

	(void)state;
	for (enum view_kind k = 0; k < _VIEW_KIND_MAX; k++) {
		assert_int_equal(view_kind_from_string(view_kind_to_string(k), &kind), 0);
		assert_int_equal(kind, k);
	}
	assert_int_equal(view_kind_from_string("bridge", &kind), -EINVAL);
	assert_int_equal(view_kind_from_string("", &kind), -EINVAL);
	assert_int_equal(kind, VIEW_KIND_PHYSICAL);
	assert_int_equal(view_on_change_from_string("ignore", &on_change), 0);
	assert_int_equal(on_change, VIEW_ON_CHANGE_IGNORE);
	assert_int_equal(view_on_change_from_string("replug", &on_change), 0);
	assert_int_equal(on_change, VIEW_ON_CHANGE_REPLUG);
	assert_int_equal(view_on_change_from_string("Replug", &on_change), -EINVAL);
	for (enum view_reason r = 0; r < _VIEW_REASON_MAX; r++)
		assert_true(strlen(view_reason_to_string(r)) > 0);
}

/* ---- properties ---- */

static struct view_config random_config(void)
{
	return (struct view_config){
		.kinds = random_net_below(&random_state, 1U << _VIEW_KIND_MAX),
		.link_local = random_net_chance(&random_state, 30),
		.on_change = random_net_below(&random_state, 2) ? VIEW_ON_CHANGE_REPLUG
								: VIEW_ON_CHANGE_IGNORE,
		.caps = {
			.routes_whole = random_net_chance(&random_state, 50),
			.updates_links = random_net_chance(&random_state, 50),
			.neighbours = random_net_chance(&random_state, 50),
			.route_mtu = random_net_chance(&random_state, 50),
			.route_onlink = random_net_chance(&random_state, 50),
			.route_family = random_net_chance(&random_state, 50),
		},
	};
}

static void assert_same_notes(const struct view_notes *a, const struct view_notes *b)
{
	assert_int_equal(a->n_all, b->n_all);
	for (size_t i = 0; i < a->n; i++)
		assert_true(a->notes[i].hash == b->notes[i].hash);
}

static void test_the_view_does_not_depend_on_the_order_of_input(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		CLEANUP(snapshot_done) struct snapshot seen = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot seen2 = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot wanted = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot wanted2 = SNAPSHOT_NULL;
		CLEANUP(view_notes_done) struct view_notes notes = { 0 };
		CLEANUP(view_notes_done) struct view_notes notes2 = { 0 };
		struct view_config config = random_config();
		struct view_input in = {
			.acked = &acked, .previous = &acked, .refused = &c.refused, .now_usec = 100
		};

		random_net_seen(&random_state, &seen);
		random_net_guest(&random_state, &acked);
		random_net_shuffle(&random_state, &seen, &seen2);
		in.seen = &seen;
		assert_int_equal(view_build(&config, &in, &wanted, &notes), 0);
		in.seen = &seen2;
		assert_int_equal(view_build(&config, &in, &wanted2, &notes2), 0);
		assert_true(snapshot_equal(&wanted, &wanted2));
		assert_same_notes(&notes, &notes2);
	}
}

static void assert_on_wanted_links(const struct snapshot *w)
{
	const struct table *links = snapshot_links(w);

	for (size_t i = 0; i < snapshot_addrs(w)->n; i++)
		assert_non_null(table_find_link(links, snapshot_addrs(w)->addrs[i].ifindex));
	for (size_t i = 0; i < snapshot_routes(w)->n; i++)
		assert_non_null(table_find_link(links, snapshot_routes(w)->routes[i].ifindex));
	for (size_t i = 0; i < snapshot_neighs(w)->n; i++)
		assert_non_null(table_find_link(links, snapshot_neighs(w)->neighs[i].ifindex));
}

static void assert_unique_keys(const struct snapshot *w)
{
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		for (size_t i = 1; i < w->tables[k]->n; i++)
			assert_true(model_compare_key(k, table_at(w->tables[k], i - 1),
						      table_at(w->tables[k], i)) < 0);
}

/* What comes out is guest form, whatever went in. */
static void test_the_view_is_always_a_legal_guest(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		CLEANUP(snapshot_done) struct snapshot seen = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot previous = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot wanted = SNAPSHOT_NULL;
		CLEANUP(view_notes_done) struct view_notes notes = { 0 };
		struct view_config config = random_config();
		struct view_input in = { .seen = &seen,
					 .acked = &acked,
					 .previous = &previous,
					 .refused = &c.refused,
					 .now_usec = 100 };

		random_net_seen(&random_state, &seen);
		random_net_guest(&random_state, &acked);
		random_net_guest(&random_state, &previous);
		assert_int_equal(view_build(&config, &in, &wanted, &notes), 0);
		assert_on_wanted_links(&wanted);
		assert_unique_keys(&wanted);
		for (size_t i = 0; i < snapshot_links(&wanted)->n; i++)
			assert_int_equal(snapshot_links(&wanted)->links[i].flags, 0);
		for (size_t i = 0; i < snapshot_routes(&wanted)->n; i++)
			assert_int_equal(snapshot_routes(&wanted)->routes[i].metric, 0);
	}
}

/* Told once, the same pod makes no more work: idle is idle. */
static void test_what_was_told_is_not_told_again(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		CLEANUP(snapshot_done) struct snapshot seen = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot none = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot first = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot second = SNAPSHOT_NULL;
		CLEANUP(view_notes_done) struct view_notes notes = { 0 };
		struct view_config config = random_config();
		struct view_input in = { .seen = &seen,
					 .acked = &none,
					 .previous = &none,
					 .refused = &c.refused,
					 .now_usec = 100 };

		assert_int_equal(snapshot_init(&none), 0);
		random_net_seen(&random_state, &seen);
		assert_int_equal(view_build(&config, &in, &first, &notes), 0);
		in.acked = in.previous = &first;
		in.now_usec = 200;
		assert_int_equal(view_build(&config, &in, &second, &notes), 0);
		assert_true(snapshot_equal(&first, &second));
	}
}

static int start(void **state)
{
	(void)state;
	random_net_start(&random_state);
	return 0;
}

#define RECORD(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
#define CLI(f)	  cmocka_unit_test_setup_teardown(f, setup_cli, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RECORD(test_links_of_a_pluggable_kind_are_wanted),
		RECORD(test_links_of_other_kinds_are_noted_as_not_pluggable),
		RECORD(test_kinds_are_configurable),
		RECORD(test_no_link_kind_passes_for_hardware),
		RECORD(test_a_link_needs_an_ethernet_mac),
		RECORD(test_loopback_is_left_out_in_silence),
		RECORD(test_names_that_end_in_kata_are_the_runtimes_own),
		RECORD(test_ignored_names_are_globs),
		RECORD(test_a_link_with_a_master_is_the_masters),
		RECORD(test_a_veth_pair_inside_the_pod_is_the_pods_own),
		RECORD(test_a_peer_elsewhere_is_not_looked_for_here),
		RECORD(test_the_lower_device_of_a_macvlan_is_no_peer),
		RECORD(test_ready_is_up_with_carrier_and_not_running),
		RECORD(test_a_tap_is_ready_without_carrier),
		RECORD(test_a_carrier_flap_is_no_unplug),
		RECORD(test_an_announced_link_stays_whatever_becomes_of_its_place),
		RECORD(test_a_link_that_is_gone_is_not_wanted),
		RECORD(test_what_is_wanted_is_in_guest_form),
		RECORD(test_mtu_mac_and_name_changes_are_updates),
		RECORD(test_another_incarnation_is_delete_and_add),
		RECORD(test_another_incarnation_has_to_be_ready_again),
		RECORD(test_the_same_name_with_a_new_number_is_another_link),
		RECORD(test_of_equal_macs_the_first_announced_goes),
		RECORD(test_of_equal_macs_that_come_at_once_one_goes),
		RECORD(test_the_duplicate_goes_when_the_first_leaves),
		RECORD(test_an_announced_link_does_not_take_anothers_mac),
		RECORD(test_a_mac_that_is_being_given_up_is_free_when_that_was_told),
		RECORD(test_addresses_of_both_families_go_with_their_prefix_length),
		RECORD(test_addresses_of_links_that_are_not_wanted_do_not_go),
		RECORD(test_link_local_goes_only_when_asked_for),
		RECORD(test_tentative_is_sent_and_dad_failed_is_not),
		RECORD(test_the_end_of_tentative_is_no_change),
		RECORD(test_an_address_that_fails_dad_later_is_withdrawn),
		RECORD(test_noprefixroute_is_noted_and_the_address_goes),
		RECORD(test_the_expiry_of_a_learnt_address_is_no_withdrawal),
		RECORD(test_the_end_of_a_permanent_address_is_a_withdrawal),
		RECORD(test_a_learnt_address_that_became_permanent_is_withdrawn),
		RECORD(test_a_learnt_address_that_was_never_told_is_forgotten),
		RECORD(test_a_learnt_address_goes_with_its_link),
		RECORD(test_the_expiry_of_a_learnt_route_is_no_withdrawal),
		RECORD(test_a_learnt_route_gives_way_to_another_of_its_destination),
		RECORD(test_a_learnt_route_does_not_give_way_to_one_of_an_unwanted_link),
		RECORD(test_a_learnt_route_goes_with_its_link),
		RECORD(test_the_expiry_of_a_learnt_neighbour_is_no_withdrawal),
		RECORD(test_the_end_of_a_permanent_neighbour_is_a_withdrawal),
		RECORD(test_routes_of_the_kernel_are_left_out_in_silence),
		RECORD(test_routes_keep_what_can_be_said),
		CLI(test_mtu_and_onlink_are_left_out_where_there_is_no_word_for_them),
		RECORD(test_of_equal_destinations_the_lowest_metric_goes),
		RECORD(test_a_change_of_metric_alone_is_no_change),
		RECORD(test_what_can_not_be_said_is_noted_and_never_sent),
		RECORD(test_unsayable_routes_of_other_links_are_nobodys_business),
		RECORD(test_a_default_route_without_gateway_goes_where_its_family_can_be_said),
		CLI(test_an_ipv6_default_route_without_gateway_is_not_for_the_cli),
		CLI(test_an_ipv6_default_route_with_gateway_is_for_the_cli),
		RECORD(test_rules_and_other_tables_are_noted),
		RECORD(test_permanent_neighbours_go),
		RECORD(test_a_gateways_neighbour_goes_when_it_is_known),
		RECORD(test_a_learnt_neighbour_that_is_no_gateway_does_not_go),
		RECORD(test_a_neighbour_without_mac_does_not_go),
		CLI(test_a_permanent_neighbour_is_noted_where_there_is_no_word_for_it),
		RECORD(test_a_held_link_waits_with_all_that_it_carries),
		RECORD(test_a_held_change_of_a_known_link_waits_and_its_routes_do_not),
		RECORD(test_a_link_that_is_gone_but_held_stays_as_it_was_told),
		RECORD(test_another_life_of_a_held_link_waits_for_the_end_of_the_first),
		RECORD(test_another_life_of_a_link_that_settles_goes_at_once_with_its_routes),
		RECORD(test_a_change_of_a_link_that_settles_waits),
		RECORD(test_a_link_that_is_gone_but_held_keeps_its_mac),

		RECORD(test_a_refused_link_is_noted_and_asked_again_when_it_changes),
		RECORD(test_a_value_refused_once_is_asked_again),
		RECORD(test_a_refused_change_leaves_the_link_as_it_was_told),
		CLI(test_a_change_is_kept_as_drift_by_default),
		CLI(test_drift_that_goes_away_is_no_drift),
		CLI(test_a_change_is_a_replug_when_asked_for),
		CLI(test_a_family_that_comes_within_30_seconds_is_one_replug),
		CLI(test_a_family_that_comes_later_is_drift),
		CLI(test_there_is_only_one_such_replug),
		CLI(test_a_second_address_of_a_told_family_is_no_replug),
		CLI(test_a_cold_plugged_link_is_not_replugged),
		CLI(test_link_local_alone_is_no_family_that_comes),
		CLI(test_a_held_replug_waits_without_being_called_drift),
		RECORD(test_the_same_thing_has_the_same_note),
		RECORD(test_flags_do_not_make_another_note),
		RECORD(test_notes_beyond_the_limit_are_counted),
		CLI(test_the_baseline_is_what_is_up_and_addressed),
		CLI(test_the_baseline_takes_links_of_any_kind),
		CLI(test_the_view_of_a_baseline_is_the_baseline),
		RECORD(test_words_are_read_back),
		RECORD(test_the_view_does_not_depend_on_the_order_of_input),
		RECORD(test_the_view_is_always_a_legal_guest),
		RECORD(test_what_was_told_is_not_told_again),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
