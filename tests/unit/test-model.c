/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of a network: order, equality, hash, words.
 */
#include "netmon/model.h"

#include <linux/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "netmon/snapshot.h"
#include "tests/unit/pod.h"
#include "tests/unit/random-net.h"

#define ROUNDS 300

static struct random_net random_state;

static int sign(int c)
{
	return (c > 0) - (c < 0);
}

/* ---- order ---- */

static void check_pair(enum model_kind k, const void *a, const void *b)
{
	int c = sign(model_compare(k, a, b));
	int key = sign(model_compare_key(k, a, b));

	assert_int_equal(c, -sign(model_compare(k, b, a)));
	assert_int_equal(key, -sign(model_compare_key(k, b, a)));
	if (key)
		assert_int_equal(c, key);
	assert_int_equal(c == 0,
			 model_hash(k, a, MODEL_HASH_SEED) == model_hash(k, b, MODEL_HASH_SEED));
}

static void check_kind(const struct table *a, const struct table *b)
{
	for (size_t i = 0; i < a->n; i++)
		for (size_t j = 0; j < b->n; j++)
			check_pair(a->kind, table_at(a, i), table_at(b, j));
}

/* Antisymmetric, led by the key, and zero exactly when the hashes are equal. */
static void test_order_is_led_by_the_key_and_agrees_with_the_hash(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		CLEANUP(snapshot_done) struct snapshot a = SNAPSHOT_NULL;
		CLEANUP(snapshot_done) struct snapshot b = SNAPSHOT_NULL;

		random_net_seen(&random_state, &a);
		random_net_seen(&random_state, &b);
		for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
			check_kind(a.tables[k], b.tables[k]);
	}
}

/* A sealed table is sorted by neighbours; that its ends are in order, too, is transitivity. */
static void test_order_is_transitive(void **state)
{
	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		CLEANUP(snapshot_done) struct snapshot s = SNAPSHOT_NULL;

		random_net_seen(&random_state, &s);
		for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
			for (size_t i = 0; i < s.tables[k]->n; i++)
				for (size_t j = i + 1; j < s.tables[k]->n; j++)
					assert_true(model_compare(k, table_at(s.tables[k], i),
								  table_at(s.tables[k], j)) < 0);
	}
}

static void assert_other(enum model_kind k, const void *a, const void *b)
{
	assert_int_not_equal(model_compare(k, a, b), 0);
	assert_true(model_hash(k, a, MODEL_HASH_SEED) != model_hash(k, b, MODEL_HASH_SEED));
}

static void assert_same(enum model_kind k, const void *a, const void *b)
{
	assert_int_equal(model_compare(k, a, b), 0);
	assert_true(model_hash(k, a, MODEL_HASH_SEED) == model_hash(k, b, MODEL_HASH_SEED));
}

/* One statement changes one field of a copy; the copy must be another value. */
#define ASSERT_FIELD_COUNTS(kind, value, change)  \
	do {                                      \
		__typeof__(value) x = (value);    \
		change;                           \
		assert_other(kind, &(value), &x); \
	} while (0)

static void test_every_field_of_a_link_counts(void **state)
{
	struct pod pod = { 0 };
	struct link l = *pod_link(&pod, 4, "eth1");

	(void)state;
	ASSERT_FIELD_COUNTS(MODEL_LINK, l, x.ifindex++);
	ASSERT_FIELD_COUNTS(MODEL_LINK, l, x.incarnation++);
	ASSERT_FIELD_COUNTS(MODEL_LINK, l, x.mtu++);
	ASSERT_FIELD_COUNTS(MODEL_LINK, l, x.flags ^= IFF_UP);
	ASSERT_FIELD_COUNTS(MODEL_LINK, l, x.master = 9);
	ASSERT_FIELD_COUNTS(MODEL_LINK, l, x.peer_ifindex++);
	ASSERT_FIELD_COUNTS(MODEL_LINK, l, x.peer_elsewhere = false);
	ASSERT_FIELD_COUNTS(MODEL_LINK, l, x.hardware++);
	ASSERT_FIELD_COUNTS(MODEL_LINK, l, x.mac_bytes = 0);
	ASSERT_FIELD_COUNTS(MODEL_LINK, l, x.mac[5]++);
	ASSERT_FIELD_COUNTS(MODEL_LINK, l, x.name[3] = '2');
	ASSERT_FIELD_COUNTS(MODEL_LINK, l, x.kind[0] = 'w');
}

static void test_every_field_of_an_address_counts(void **state)
{
	struct pod pod = { 0 };
	struct addr a = *pod_addr(&pod, 4, "10.0.0.2/24");

	(void)state;
	ASSERT_FIELD_COUNTS(MODEL_ADDR, a, x.ifindex++);
	ASSERT_FIELD_COUNTS(MODEL_ADDR, a, x.flags = 0);
	ASSERT_FIELD_COUNTS(MODEL_ADDR, a, x.family = AF_INET6);
	ASSERT_FIELD_COUNTS(MODEL_ADDR, a, x.prefixlen = 16);
	ASSERT_FIELD_COUNTS(MODEL_ADDR, a, x.scope = 253);
	ASSERT_FIELD_COUNTS(MODEL_ADDR, a, x.bytes[3]++);
}

static void test_every_field_of_a_route_counts(void **state)
{
	struct pod pod = { 0 };
	struct route r = *pod_route(&pod, 4, "10.1.0.0/16", "10.0.0.1");

	(void)state;
	ASSERT_FIELD_COUNTS(MODEL_ROUTE, r, x.dst[1]++);
	ASSERT_FIELD_COUNTS(MODEL_ROUTE, r, x.prefixlen++);
	ASSERT_FIELD_COUNTS(MODEL_ROUTE, r, x.gateway[3]++);
	ASSERT_FIELD_COUNTS(MODEL_ROUTE, r, x.source[0]++);
	ASSERT_FIELD_COUNTS(MODEL_ROUTE, r, x.ifindex++);
	ASSERT_FIELD_COUNTS(MODEL_ROUTE, r, x.metric++);
	ASSERT_FIELD_COUNTS(MODEL_ROUTE, r, x.mtu++);
	ASSERT_FIELD_COUNTS(MODEL_ROUTE, r, x.is_inet6 = 1);
	ASSERT_FIELD_COUNTS(MODEL_ROUTE, r, x.scope++);
	ASSERT_FIELD_COUNTS(MODEL_ROUTE, r, x.flags = 0);
	ASSERT_FIELD_COUNTS(MODEL_ROUTE, r, x.flags |= MODEL_ROUTE_ONLINK);
	ASSERT_FIELD_COUNTS(MODEL_ROUTE, r, x.flags |= MODEL_ROUTE_KERNEL);
	ASSERT_FIELD_COUNTS(MODEL_ROUTE, r, x.flags |= MODEL_ROUTE_SOURCE);
	ASSERT_FIELD_COUNTS(MODEL_ROUTE, r, x.unsayable = MODEL_UNSAYABLE_TOS);
}

static void test_every_field_of_a_neighbour_and_of_a_policy_counts(void **state)
{
	struct pod pod = { 0 };
	struct neigh n = *pod_neigh(&pod, 4, "10.0.0.1", 1);
	struct policy p = *pod_policy(&pod, 100);

	(void)state;
	ASSERT_FIELD_COUNTS(MODEL_NEIGH, n, x.ifindex++);
	ASSERT_FIELD_COUNTS(MODEL_NEIGH, n, x.state = 2);
	ASSERT_FIELD_COUNTS(MODEL_NEIGH, n, x.family = AF_INET6);
	ASSERT_FIELD_COUNTS(MODEL_NEIGH, n, x.mac_bytes = 0);
	ASSERT_FIELD_COUNTS(MODEL_NEIGH, n, x.mac[5]++);
	ASSERT_FIELD_COUNTS(MODEL_NEIGH, n, x.router = 1);
	ASSERT_FIELD_COUNTS(MODEL_NEIGH, n, x.bytes[3]++);
	ASSERT_FIELD_COUNTS(MODEL_POLICY, p, x.family = AF_INET6);
	ASSERT_FIELD_COUNTS(MODEL_POLICY, p, x.is_rule = 1);
	ASSERT_FIELD_COUNTS(MODEL_POLICY, p, x.table++);
	ASSERT_FIELD_COUNTS(MODEL_POLICY, p, x.priority++);
}

static void test_when_and_how_it_was_learnt_does_not_count(void **state)
{
	struct pod pod = { 0 };
	struct link l = *pod_link(&pod, 4, "eth1"), l2 = l;
	struct addr a = *pod_addr(&pod, 4, "10.0.0.2/24"), a2 = a;
	struct route r = *pod_route(&pod, 4, "0.0.0.0/0", "10.0.0.1"), r2 = r;
	struct neigh n = *pod_neigh(&pod, 4, "10.0.0.1", 1), n2 = n;

	(void)state;
	l2.sent_usec = 7;
	l2.replugged = true;
	a2.learnt = 1;
	r2.flags |= MODEL_ROUTE_LEARNT;
	n2.learnt = 1;
	assert_same(MODEL_LINK, &l, &l2);
	assert_same(MODEL_ADDR, &a, &a2);
	assert_same(MODEL_ROUTE, &r, &r2);
	assert_same(MODEL_NEIGH, &n, &n2);
}

static void test_the_longest_prefix_comes_first(void **state)
{
	struct pod pod = { 0 };
	struct route wide = *pod_route(&pod, 4, "10.0.0.0/8", NULL);
	struct route narrow = *pod_route(&pod, 4, "10.0.0.0/24", NULL);
	struct route next = *pod_route(&pod, 4, "10.1.0.0/16", NULL);

	(void)state;
	assert_true(model_compare_key(MODEL_ROUTE, &narrow, &wide) < 0);
	assert_true(model_compare_key(MODEL_ROUTE, &wide, &next) < 0);
}

static void test_the_lowest_metric_comes_first(void **state)
{
	struct pod pod = { 0 };
	struct route low = *pod_route(&pod, 9, "0.0.0.0/0", "10.0.0.9");
	struct route high = *pod_route(&pod, 1, "0.0.0.0/0", "10.0.0.1");

	(void)state;
	high.metric = 100;
	assert_true(model_compare(MODEL_ROUTE, &low, &high) < 0);
	assert_int_equal(model_compare_key(MODEL_ROUTE, &low, &high), 0);
}

static void test_default_routes_of_both_families_are_two(void **state)
{
	struct pod pod = { 0 };
	struct route v4 = *pod_route(&pod, 4, "0.0.0.0/0", NULL);
	struct route v6 = *pod_route(&pod, 4, "::/0", NULL);

	(void)state;
	assert_int_not_equal(model_compare_key(MODEL_ROUTE, &v4, &v6), 0);
	assert_int_equal(model_route_family(&v4), AF_INET);
	assert_int_equal(model_route_family(&v6), AF_INET6);
}

static void test_hashes_chain(void **state)
{
	struct pod pod = { 0 };
	struct addr a = *pod_addr(&pod, 4, "10.0.0.2/24");
	struct addr b = *pod_addr(&pod, 4, "10.0.0.3/24");
	uint64_t ab, ba;

	(void)state;
	ab = model_hash(MODEL_ADDR, &b, model_hash(MODEL_ADDR, &a, MODEL_HASH_SEED));
	ba = model_hash(MODEL_ADDR, &a, model_hash(MODEL_ADDR, &b, MODEL_HASH_SEED));
	assert_true(ab != ba);
}

/* ---- words ---- */

static void test_link_local_is_fe80_to_febf_of_ipv6(void **state)
{
	static const struct {
		const char *ip;
		bool is;
	} cases[] = {
		{ "fe80::1", true },	  { "febf::1", true },	    { "fec0::1", false },
		{ "fe7f::1", false },	  { "2001:db8::1", false }, { "169.254.1.1", false },
		{ "254.128.0.1", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t bytes[16], ignored;
		uint8_t family = pod_parse(cases[i].ip, bytes, &ignored);

		assert_int_equal(model_is_link_local6(family, bytes), cases[i].is);
	}
}

static void test_addresses_are_written_as_people_do(void **state)
{
	static const char *const ips[] = { "10.0.0.1", "::", "2001:db8::1", "fe80::1:0:0:2" };
	char text[MODEL_IP_TEXT_BYTES];
	uint8_t bytes[16] = { 0 }, ignored;

	(void)state;
	for (size_t i = 0; i < sizeof(ips) / sizeof(ips[0]); i++) {
		model_format_ip(pod_parse(ips[i], bytes, &ignored), bytes, text);
		assert_string_equal(text, ips[i]);
	}
	model_format_ip(AF_UNIX, bytes, text);
	assert_string_equal(text, "?");
}

static void test_a_mac_is_written_in_lower_case_or_not_at_all(void **state)
{
	static const uint8_t mac[MODEL_MAC_BYTES] = { 0x02, 0x42, 0xAC, 0x11, 0x00, 0x03 };
	char text[MODEL_MAC_TEXT_BYTES];

	(void)state;
	model_format_mac(6, mac, text);
	assert_string_equal(text, "02:42:ac:11:00:03");
	model_format_mac(0, mac, text);
	assert_string_equal(text, "");
}

static void assert_described(enum model_kind k, const void *value, const char *expected)
{
	CLEANUP(text_done) struct text t = TEXT_NULL;

	model_describe(k, value, &t);
	assert_non_null(t.data);
	assert_string_equal(t.data, expected);
}

static void test_a_description_says_what_counts(void **state)
{
	struct pod pod = { 0 };
	struct link l = *pod_link(&pod, 4, "eth1");
	struct route r = *pod_route(&pod, 4, "10.1.0.0/16", "10.0.0.1");
	struct policy p = *pod_policy(&pod, 100);

	(void)state;
	l.flags = 0;
	assert_described(MODEL_LINK, &l, "eth1 (4) veth 02:00:00:00:00:04 mtu 1500");
	assert_described(MODEL_ADDR, pod_addr(&pod, 4, "10.0.0.2/24"), "10.0.0.2/24 dev 4");
	r.mtu = 1400;
	r.flags |= MODEL_ROUTE_ONLINK;
	assert_described(MODEL_ROUTE, &r, "10.1.0.0/16 via 10.0.0.1 dev 4 mtu 1400 scope 0 onlink");
	r.unsayable = MODEL_UNSAYABLE_ENCAP;
	assert_described(MODEL_ROUTE, &r,
			 "10.1.0.0/16 via 10.0.0.1 dev 4 mtu 1400 scope 0 onlink encapsulation");
	assert_described(MODEL_NEIGH, pod_neigh(&pod, 4, "10.0.0.1", 1),
			 "10.0.0.1 lladdr 06:00:00:00:00:01 dev 4");
	assert_described(MODEL_POLICY, &p, "inet table 100");
	p.is_rule = 1;
	p.priority = 7;
	p.family = AF_INET6;
	assert_described(MODEL_POLICY, &p, "inet6 rule 7 table 100");
}

static void test_a_hostile_name_stays_on_its_line(void **state)
{
	struct pod pod = { 0 };
	struct link l = *pod_link(&pod, 4, "e\n\x1b[2J\"x");

	(void)state;
	l.flags = 0;
	assert_described(MODEL_LINK, &l,
			 "\"e\\x0a\\x1b[2J\\\"x\" (4) veth 02:00:00:00:00:04 mtu 1500");
}

static void test_a_name_of_full_length_needs_no_terminator(void **state)
{
	struct pod pod = { 0 };
	struct link l = *pod_link(&pod, 4, "");

	(void)state;
	l.flags = 0;
	memset(l.name, 'x', sizeof(l.name));
	assert_described(MODEL_LINK, &l, "xxxxxxxxxxxxxxxx (4) veth 02:00:00:00:00:04 mtu 1500");
}

static void test_kinds_and_reasons_have_names(void **state)
{
	(void)state;
	assert_string_equal(model_kind_to_string(MODEL_LINK), "link");
	assert_string_equal(model_kind_to_string(MODEL_ADDR), "address");
	assert_string_equal(model_kind_to_string(MODEL_ROUTE), "route");
	assert_string_equal(model_kind_to_string(MODEL_NEIGH), "neighbour");
	assert_string_equal(model_kind_to_string(MODEL_POLICY), "policy");
	assert_string_equal(model_unsayable_to_string(MODEL_SAYABLE), "");
	for (unsigned u = 1; u < _MODEL_UNSAYABLE_MAX; u++)
		assert_true(strlen(model_unsayable_to_string((enum model_unsayable)u)) > 0);
}

static int start(void **state)
{
	(void)state;
	random_net_start(&random_state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_is_led_by_the_key_and_agrees_with_the_hash),
		cmocka_unit_test(test_order_is_transitive),
		cmocka_unit_test(test_every_field_of_a_link_counts),
		cmocka_unit_test(test_every_field_of_an_address_counts),
		cmocka_unit_test(test_every_field_of_a_route_counts),
		cmocka_unit_test(test_every_field_of_a_neighbour_and_of_a_policy_counts),
		cmocka_unit_test(test_when_and_how_it_was_learnt_does_not_count),
		cmocka_unit_test(test_the_longest_prefix_comes_first),
		cmocka_unit_test(test_the_lowest_metric_comes_first),
		cmocka_unit_test(test_default_routes_of_both_families_are_two),
		cmocka_unit_test(test_hashes_chain),
		cmocka_unit_test(test_link_local_is_fe80_to_febf_of_ipv6),
		cmocka_unit_test(test_addresses_are_written_as_people_do),
		cmocka_unit_test(test_a_mac_is_written_in_lower_case_or_not_at_all),
		cmocka_unit_test(test_a_description_says_what_counts),
		cmocka_unit_test(test_a_hostile_name_stays_on_its_line),
		cmocka_unit_test(test_a_name_of_full_length_needs_no_terminator),
		cmocka_unit_test(test_kinds_and_reasons_have_names),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
