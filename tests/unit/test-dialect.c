/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON of Kata 1.x byte for byte. The goldens are what the original kata-netmon 1.12 and 1.13
 * wrote for the same links and routes (json.Encoder of Go), but for the three differences that
 * dialect.c names.
 */
#include "netmon/dialect.h"

#include "base/error.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- values ---- */

static struct link make_link(const char *name, const char *kind, uint32_t ifindex,
			     uint8_t last_byte)
{
	struct link l = {
		.ifindex = ifindex,
		.mtu = 1500,
		.mac_bytes = 6,
		.mac = { 0x02, 0x42, 0xac, 0x11, 0x00, last_byte },
	};

	(void)snprintf(l.name, sizeof(l.name), "%s", name);
	(void)snprintf(l.kind, sizeof(l.kind), "%s", kind);
	return l;
}

static struct addr make_addr(const char *ip, uint8_t prefixlen)
{
	struct addr a = { .ifindex = 4, .prefixlen = prefixlen };

	a.family = strchr(ip, ':') ? AF_INET6 : AF_INET;
	assert_int_equal(inet_pton(a.family, ip, a.bytes), 1);
	return a;
}

/* @dest, @gateway, @source: "" for none; what is there is of one family, AF_INET when nothing is */
static struct route make_route(const char *dest, uint8_t prefixlen, const char *gateway,
			       const char *source, uint8_t scope, uint32_t ifindex)
{
	struct route r = { .prefixlen = prefixlen, .scope = scope, .ifindex = ifindex };
	int family = strchr(dest, ':') || strchr(gateway, ':') ? AF_INET6 : AF_INET;

	r.is_inet6 = family == AF_INET6;
	if (dest[0] != '\0')
		assert_int_equal(inet_pton(family, dest, r.dst), 1);
	if (gateway[0] != '\0') {
		assert_int_equal(inet_pton(family, gateway, r.gateway), 1);
		r.flags |= MODEL_ROUTE_GATEWAY;
	}
	if (source[0] != '\0') {
		assert_int_equal(inet_pton(family, source, r.source), 1);
		r.flags |= MODEL_ROUTE_SOURCE;
	}
	return r;
}

/* ---- what is written ---- */

static void assert_interface(enum dialect dialect, const struct link *link,
			     const struct addr *addrs, size_t n_addrs, const char *want)
{
	CLEANUP(text_done) struct text t = TEXT_NULL;
	struct json_writer j = json_writer_on_text(&t);

	dialect_write_interface(&j, dialect, link, addrs, n_addrs);
	assert_int_equal(t.error, 0);
	assert_string_equal(t.data, want);
}

static void assert_routes(const struct link *links, size_t n_links, const struct route *routes,
			  size_t n_routes, const char *want)
{
	CLEANUP(text_done) struct text t = TEXT_NULL;
	CLEANUP(snapshot_done) struct snapshot s = SNAPSHOT_NULL;
	struct json_writer j = json_writer_on_text(&t);
	struct table *table;

	assert_int_equal(snapshot_init(&s), 0);
	assert_int_equal(table_new(&table, MODEL_LINK), 0);
	for (size_t i = 0; i < n_links; i++)
		assert_int_equal(table_add(table, &links[i]), 0);
	table_seal(table);
	snapshot_replace(&s, table);
	assert_int_equal(table_new(&table, MODEL_ROUTE), 0);
	for (size_t i = 0; i < n_routes; i++)
		assert_int_equal(table_add(table, &routes[i]), 0);
	table_seal(table);
	snapshot_replace(&s, table);
	dialect_write_routes(&j, &s);
	assert_int_equal(t.error, 0);
	assert_string_equal(t.data, want);
}

/* ---- tests ---- */

static void test_names(void **state)
{
	enum dialect d = _DIALECT_MAX;

	(void)state;
	assert_int_equal(dialect_from_string("1.12", &d), 0);
	assert_int_equal(d, DIALECT_1_12);
	assert_int_equal(dialect_from_string("1.13", &d), 0);
	assert_int_equal(d, DIALECT_1_13);
	assert_int_equal(dialect_from_string("both", &d), 0);
	assert_int_equal(d, DIALECT_BOTH);
	assert_int_equal(dialect_from_string("1.1", &d), -EINVAL);
	assert_int_equal(dialect_from_string("", &d), -EINVAL);
	assert_int_equal(dialect_from_string("Both", &d), -EINVAL);
	assert_int_equal(d, DIALECT_BOTH);
	err_clear();
}

static void test_interface_1_13(void **state)
{
	struct link l = make_link("eth1", "veth", 4, 3);
	const struct addr addrs[] = {
		make_addr("10.1.0.2", 24),
		make_addr("2001:db8::2", 64),
		make_addr("fe80::42:acff:fe11:3", 64),
	};

	(void)state;
	assert_interface(DIALECT_1_13, &l, addrs, 3,
			 "{\"Device\":\"eth1\",\"Name\":\"eth1\",\"IPAddresses\":[{\"Family\":2,"
			 "\"Address\":\"10.1.0.2\","
			 "\"Mask\":\"24\"},{\"Family\":10,\"Address\":\"2001:db8::2\",\"Mask\":"
			 "\"64\"},{\"Family\":10,"
			 "\"Address\":\"fe80::42:acff:fe11:3\",\"Mask\":\"64\"}],\"Mtu\":1500,"
			 "\"RawFlags\":0,"
			 "\"HwAddr\":\"02:42:ac:11:00:03\",\"PciPath\":{},\"LinkType\":\"veth\"}");
}

static void test_interface_1_12_without_addresses(void **state)
{
	struct link l = make_link("vx0", "vxlan", 4, 3);
	static const uint8_t mac[] = { 0x5e, 0x98, 0x44, 0x68, 0x3d, 0xd5 };

	(void)state;
	memcpy(l.mac, mac, sizeof(mac));
	assert_interface(
		DIALECT_1_12, &l, NULL, 0,
		"{\"Device\":\"vx0\",\"Name\":\"vx0\",\"IPAddresses\":null,\"Mtu\":1500,"
		"\"RawFlags\":0,"
		"\"HwAddr\":\"5e:98:44:68:3d:d5\",\"PciAddr\":\"\",\"LinkType\":\"vxlan\"}");
}

static void test_interface_both(void **state)
{
	struct link l = make_link("eth1", "veth", 4, 3);
	const struct addr point_to_point = make_addr("10.8.0.2", 32);

	(void)state;
	l.mtu = 65535;
	assert_interface(DIALECT_BOTH, &l, &point_to_point, 1,
			 "{\"Device\":\"eth1\",\"Name\":\"eth1\",\"IPAddresses\":[{\"Family\":2,"
			 "\"Address\":\"10.8.0.2\",\"Mask\":\"32\"}],\"Mtu\":65535,\"RawFlags\":0,"
			 "\"HwAddr\":\"02:42:ac:11:00:03\",\"PciAddr\":\"\",\"PciPath\":{},"
			 "\"LinkType\":\"veth\"}");
}

/* Linux takes such a name for an interface. */
static void test_hostile_name(void **state)
{
	struct link l = make_link("e<&>\"1", "dummy", 4, 3);

	(void)state;
	assert_interface(
		DIALECT_1_12, &l, NULL, 0,
		"{\"Device\":\"e\\u003c\\u0026\\u003e\\\"1\",\"Name\":"
		"\"e\\u003c\\u0026\\u003e\\\"1\","
		"\"IPAddresses\":null,\"Mtu\":1500,\"RawFlags\":0,\"HwAddr\":\"02:42:ac:11:00:03\","
		"\"PciAddr\":\"\",\"LinkType\":\"dummy\"}");
	l = make_link("a\\\xff\x01\xc3\xa9", "dummy", 4, 3);
	assert_interface(
		DIALECT_1_12, &l, NULL, 0,
		"{\"Device\":\"a\\\\\\ufffd\\u0001\xc3\xa9\",\"Name\":"
		"\"a\\\\\\ufffd\\u0001\xc3\xa9\","
		"\"IPAddresses\":null,\"Mtu\":1500,\"RawFlags\":0,\"HwAddr\":\"02:42:ac:11:00:03\","
		"\"PciAddr\":\"\",\"LinkType\":\"dummy\"}");
}

static void test_link_types(void **state)
{
	static const struct {
		const char *kind;
		const char *want;
	} rows[] = {
		{ "", "device" },   { "tun", "tuntap" },      { "tap", "tap" },
		{ "veth", "veth" }, { "macvlan", "macvlan" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct link l = make_link("x", rows[i].kind, 4, 3);
		char want[256];

		l.mac_bytes = 0;
		(void)snprintf(want, sizeof(want),
			       "{\"Device\":\"x\",\"Name\":\"x\",\"IPAddresses\":null,\"Mtu\":1500,"
			       "\"RawFlags\":0,"
			       "\"HwAddr\":\"\",\"PciPath\":{},\"LinkType\":\"%s\"}",
			       rows[i].want);
		assert_interface(DIALECT_1_13, &l, NULL, 0, want);
	}
}

/*
 * Printed as IPv4 (as the original does) its 128 bits of prefix would make the runtime refuse the
 * link.
 */
static void test_ipv4_mapped_stays_ipv6(void **state)
{
	struct link l = make_link("eth1", "veth", 4, 3);
	const struct addr mapped = make_addr("::ffff:10.0.0.1", 128);

	(void)state;
	assert_interface(
		DIALECT_1_13, &l, &mapped, 1,
		"{\"Device\":\"eth1\",\"Name\":\"eth1\",\"IPAddresses\":[{\"Family\":10,"
		"\"Address\":\"::ffff:10.0.0.1\",\"Mask\":\"128\"}],\"Mtu\":1500,\"RawFlags\":0,"
		"\"HwAddr\":\"02:42:ac:11:00:03\",\"PciPath\":{},\"LinkType\":\"veth\"}");
}

static void test_no_routes(void **state)
{
	(void)state;
	assert_routes(NULL, 0, NULL, 0, "[]");
}

/*
 * The routes of the original's sample, in an order in which the agent can add them one after
 * another.
 */
static void test_routes(void **state)
{
	const struct link eth0 = make_link("eth0", "veth", 2, 2);
	const struct route routes[] = {
		make_route("", 0, "172.17.0.1", "", 0, 2),
		make_route("10.1.5.0", 24, "", "172.17.0.2", 253, 2),
		make_route("10.1.6.0", 24, "172.17.0.9", "", 0, 2),
		make_route("10.1.7.7", 32, "", "", 253, 2),
		make_route("2001:db8:5::", 48, "fe80::1", "2001:db8::2", 0, 2),
		make_route("", 0, "2001:db8::1", "", 0, 2),
		make_route("2001:db8:6::", 64, "", "", 0, 2),
	};

	(void)state;
	assert_routes(
		&eth0, 1, routes, 7,
		"[{\"Dest\":\"10.1.5.0/"
		"24\",\"Gateway\":\"\",\"Device\":\"eth0\",\"Source\":\"172.17.0.2\","
		"\"Scope\":253},"
		"{\"Dest\":\"10.1.7.7/"
		"32\",\"Gateway\":\"\",\"Device\":\"eth0\",\"Source\":\"\",\"Scope\":253},"
		"{\"Dest\":\"2001:db8:6::/"
		"64\",\"Gateway\":\"\",\"Device\":\"eth0\",\"Source\":\"\",\"Scope\":0},"
		"{\"Dest\":\"\",\"Gateway\":\"172.17.0.1\",\"Device\":\"eth0\",\"Source\":\"\","
		"\"Scope\":0},"
		"{\"Dest\":\"10.1.6.0/"
		"24\",\"Gateway\":\"172.17.0.9\",\"Device\":\"eth0\",\"Source\":\"\",\"Scope\":0},"
		"{\"Dest\":\"\",\"Gateway\":\"2001:db8::1\",\"Device\":\"eth0\",\"Source\":\"\","
		"\"Scope\":0},"
		"{\"Dest\":\"2001:db8:5::/48\",\"Gateway\":\"fe80::1\",\"Device\":\"eth0\","
		"\"Source\":\"2001:db8::2\",\"Scope\":0}]");
}

/*
 * The agent refuses the whole set for one route without a device ("Could not find link from
 * device").
 */
static void test_route_without_device_is_left_out(void **state)
{
	const struct link links[] = { make_link("eth0", "veth", 2, 2),
				      make_link("a\"b", "veth", 3, 3) };
	const struct route routes[] = {
		make_route("10.66.0.0", 16, "", "", 253, 0),
		make_route("10.67.0.0", 16, "", "", 253, 3),
		make_route("10.68.0.0", 16, "", "", 253, 9),
	};

	(void)state;
	assert_routes(links, 2, routes, 3,
		      "[{\"Dest\":\"10.67.0.0/"
		      "16\",\"Gateway\":\"\",\"Device\":\"a\\\"b\",\"Source\":\"\","
		      "\"Scope\":253}]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_interface_1_13),
		cmocka_unit_test(test_interface_1_12_without_addresses),
		cmocka_unit_test(test_interface_both),
		cmocka_unit_test(test_hostile_name),
		cmocka_unit_test(test_link_types),
		cmocka_unit_test(test_ipv4_mapped_stays_ipv6),
		cmocka_unit_test(test_no_routes),
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_route_without_device_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
