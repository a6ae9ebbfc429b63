/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our values in an agent's words, and what a hostile guest lists as a network of ours.
 */
#include "netmon/agent-words.h"

#include "base/cleanup.h"

#include <arpa/inet.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static const uint8_t mac_a[6] = { 2, 0x42, 0xac, 0x11, 0, 3 };
static const uint8_t mac_b[6] = { 2, 0x42, 0xac, 0x11, 0, 4 };

static struct agent_ip ip(const char *text, uint8_t prefixlen)
{
	struct agent_ip r = { .prefixlen = prefixlen };

	r.family = strchr(text, ':') ? AF_INET6 : AF_INET;
	assert_int_equal(inet_pton(r.family, text, r.bytes), 1);
	return r;
}

static void assert_ip(const struct agent_ip *got, const char *text)
{
	struct agent_ip want = ip(text, 0);

	assert_int_equal(got->family, want.family);
	assert_memory_equal(got->bytes, want.bytes, sizeof(want.bytes));
}

static void fill(struct snapshot *s, enum model_kind kind, const void *items, size_t n)
{
	struct table *table;

	assert_int_equal(table_new(&table, kind), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(table_add(table, (const char *)items + i * model_bytes(kind)), 0);
	table_seal(table);
	snapshot_replace(s, table);
}

/* ---- ours as an agent's ---- */

static void test_link_goes_with_all_its_addresses(void **state)
{
	const struct link link = { .ifindex = 4,
				   .mtu = 1400,
				   .mac_bytes = 6,
				   .mac = { 2, 0x42, 0xac, 0x11, 0, 3 },
				   .name = "eth1",
				   .kind = "veth" };
	const struct addr addrs[] = {
		{ .ifindex = 3, .family = AF_INET, .prefixlen = 8, .bytes = { 9, 9, 9, 9 } },
		{ .ifindex = 4, .family = AF_INET, .prefixlen = 24, .bytes = { 10, 0, 0, 2 } },
		{ .ifindex = 4,
		  .family = AF_INET6,
		  .prefixlen = 64,
		  .bytes = { 0x20, 1, 0xd, 0xb8, [15] = 2 } },
	};
	CLEANUP(snapshot_done) struct snapshot net = SNAPSHOT_NULL;
	CLEANUP(cleanup_free) struct agent_ip *ips = NULL;
	struct agent_interface i;

	(void)state;
	assert_int_equal(snapshot_init(&net), 0);
	fill(&net, MODEL_ADDR, addrs, 3);
	assert_int_equal(agent_words_from_link(&net, &link, &i, &ips), 0);
	assert_string_equal(i.name, "eth1");
	assert_string_equal(i.device, "eth1");
	assert_string_equal(i.type, "veth");
	assert_string_equal(i.device_path, "");
	assert_true(i.has_mac);
	assert_memory_equal(i.mac, mac_a, 6);
	assert_int_equal(i.mtu, 1400);
	assert_int_equal(i.raw_flags, 0);
	assert_int_equal(i.n_ips, 2);
	assert_ptr_equal(i.ips, ips);
	assert_ip(&i.ips[0], "10.0.0.2");
	assert_int_equal(i.ips[0].prefixlen, 24);
	assert_ip(&i.ips[1], "2001:db8::2");
	assert_int_equal(i.ips[1].prefixlen, 64);
}

static void test_default_route_is_no_destination(void **state)
{
	const struct route route = { .flags = MODEL_ROUTE_GATEWAY | MODEL_ROUTE_ONLINK,
				     .gateway = { 10, 0, 0, 1 },
				     .mtu = 1300 };
	struct agent_route r;

	(void)state;
	agent_words_from_route(&route, "eth0", &r);
	assert_int_equal(r.family, AF_INET);
	assert_int_equal(r.dest.family, 0);
	assert_ip(&r.gateway, "10.0.0.1");
	assert_int_equal(r.source.family, 0);
	assert_int_equal(r.flags, RTNH_F_ONLINK);
	assert_int_equal(r.mtu, 1300);
	assert_string_equal(r.device, "eth0");
}

static void test_route_keeps_destination_source_and_scope(void **state)
{
	const struct route route = { .is_inet6 = 1,
				     .dst = { 0x20, 1, 0xd, 0xb8 },
				     .prefixlen = 32,
				     .flags = MODEL_ROUTE_SOURCE,
				     .source = { 0x20, 1, [15] = 9 },
				     .scope = 253 };
	struct agent_route r;

	(void)state;
	agent_words_from_route(&route, "a-name-of-15-by", &r);
	assert_int_equal(r.family, AF_INET6);
	assert_ip(&r.dest, "2001:db8::");
	assert_int_equal(r.dest.prefixlen, 32);
	assert_int_equal(r.gateway.family, 0);
	assert_ip(&r.source, "2001::9");
	assert_int_equal(r.scope, 253);
	assert_int_equal(r.flags, 0);
	assert_string_equal(r.device, "a-name-of-15-by");
}

static void test_neighbour_is_permanent(void **state)
{
	const struct neigh neigh = { .family = AF_INET,
				     .bytes = { 10, 0, 0, 1 },
				     .mac_bytes = 6,
				     .mac = { 2, 0x42, 0xac, 0x11, 0, 4 },
				     .state = NUD_STALE };
	struct agent_neighbor n;

	(void)state;
	agent_words_from_neigh(&neigh, "eth0", &n);
	assert_ip(&n.ip, "10.0.0.1");
	assert_memory_equal(n.mac, mac_b, 6);
	assert_int_equal(n.state, NUD_PERMANENT);
	assert_int_equal(n.flags, 0);
	assert_string_equal(n.device, "eth0");
}

/* ---- an agent's as ours ---- */

static struct agent_interface interface(const char *name, const uint8_t *mac)
{
	struct agent_interface i = { .has_mac = mac != NULL, .mtu = 1500 };

	(void)snprintf(i.name, sizeof(i.name), "%s", name);
	if (mac)
		memcpy(i.mac, mac, sizeof(i.mac));
	return i;
}

static void test_links_are_numbered_in_the_order_of_the_list(void **state)
{
	static const uint8_t zeros[6] = { 0 };
	struct agent_interface is[] = {
		interface("lo", zeros),
		interface("sit0", NULL),
		interface("eth1", mac_b),
		interface("eth0", mac_a),
	};
	const struct agent_network network = { .interfaces = is, .n_interfaces = 4 };
	struct sink_guest guest = { 0 };
	const struct table *links;

	(void)state;
	is[3].mtu = UINT64_C(1) << 40; /* no MTU */
	assert_int_equal(agent_words_to_guest(&network, false, &guest), 0);
	links = snapshot_links(&guest.net);
	assert_true(guest.is_known);
	assert_false(guest.is_exact);
	assert_int_equal(links->n, 2);
	assert_int_equal(links->links[0].ifindex, 1);
	assert_string_equal(links->links[0].name, "eth1");
	assert_int_equal(links->links[0].mtu, 1500);
	assert_string_equal(links->links[0].kind, "");
	assert_int_equal(links->links[1].ifindex, 2);
	assert_memory_equal(links->links[1].mac, mac_a, 6);
	assert_int_equal(links->links[1].mtu, 0);
	snapshot_done(&guest.net);
}

static void test_the_guests_own_addresses_are_left_out(void **state)
{
	const struct agent_ip ips[] = {
		ip("127.0.0.1", 8),	ip("::1", 128),
		ip("fe80::1", 64),	ip("10.0.0.2", 24),
		ip("10.0.0.2", 24),	ip("10.0.0.3", 33), /* no prefix length */
		ip("2001:db8::2", 128), { 0 },
	};
	struct agent_interface i = interface("eth0", mac_a);
	const struct agent_network network = { .interfaces = &i, .n_interfaces = 1 };
	struct sink_guest guest = { 0 };
	const struct table *addrs;

	(void)state;
	i.ips = ips;
	i.n_ips = sizeof(ips) / sizeof(ips[0]);
	assert_int_equal(agent_words_to_guest(&network, false, &guest), 0);
	addrs = snapshot_addrs(&guest.net);
	assert_int_equal(addrs->n, 3); /* a link-local one may have been told */
	assert_int_equal(addrs->addrs[0].ifindex, 1);
	assert_int_equal(addrs->addrs[0].prefixlen, 24);
	assert_int_equal(addrs->addrs[1].family, AF_INET6);
	snapshot_done(&guest.net);
}

static struct agent_route route(const char *dest, uint8_t prefixlen, const char *gateway,
				const char *device)
{
	struct agent_route r = { .family = AF_INET };

	if (dest)
		r.dest = ip(dest, prefixlen);
	if (gateway)
		r.gateway = ip(gateway, 32);
	(void)snprintf(r.device, sizeof(r.device), "%s", device);
	return r;
}

/* Also: what is no route, or of no link that was listed, is left out; of one destination one. */
static void test_an_exact_list_has_routes(void **state)
{
	struct agent_interface i[] = { interface("eth1", mac_b), interface("eth0", mac_a) };
	struct agent_route rs[] = {
		route(NULL, 0, "10.0.0.1", "eth0"),  route("10.9.1.2", 16, NULL, "eth1"),
		route("10.9.0.0", 16, NULL, "eth0"), /* the same again */
		route("10.8.0.0", 16, NULL, "eth9"), /* not listed */
		route("10.7.0.0", 33, NULL, "eth0"), route("10.6.0.0", 16, "fe80::1", "eth0"),
		route("10.5.0.0", 16, NULL, "eth0"),
	};
	const struct agent_network network = {
		.interfaces = i, .n_interfaces = 2, .routes = rs, .n_routes = 7
	};
	struct sink_guest guest = { 0 };
	const struct table *routes;

	(void)state;
	rs[0].flags = RTNH_F_ONLINK | RTNH_F_LINKDOWN;
	rs[0].source = ip("10.0.0.2", 0);
	rs[0].mtu = 1300;
	rs[6].scope = 256;
	assert_int_equal(agent_words_to_guest(&network, true, &guest), 0);
	routes = snapshot_routes(&guest.net);
	assert_true(guest.is_known && guest.is_exact);
	assert_int_equal(routes->n, 2);
	/* by destination: the longest prefix of an address first, then what is above */
	for (size_t k = 0; k < 2; k++) {
		const struct route *r = &routes->routes[k];

		if (r->prefixlen == 16) {
			const uint8_t dst[16] = { 10, 9 };

			assert_memory_equal(r->dst, dst, sizeof(dst));
			assert_int_equal(r->flags, 0);
			continue;
		}
		assert_int_equal(r->ifindex, 2);
		assert_int_equal(r->flags,
				 MODEL_ROUTE_GATEWAY | MODEL_ROUTE_SOURCE | MODEL_ROUTE_ONLINK);
		assert_int_equal(r->mtu, 1300);
	}
	snapshot_done(&guest.net);
}

static void test_an_exact_list_has_neighbours(void **state)
{
	struct agent_interface i = interface("eth0", mac_a);
	struct agent_neighbor ns[] = {
		{ .ip = ip("10.0.0.1", 0), .device = "eth0", .mac = { 2, 1 }, .state = NUD_STALE },
		{ .ip = ip("10.0.0.1", 0), .device = "eth0", .mac = { 2, 2 } },
		{ .ip = ip("10.0.0.1", 0), .device = "lo", .mac = { 2, 2 } },
		{ .device = "eth0" },
	};
	const struct agent_network network = {
		.interfaces = &i, .n_interfaces = 1, .neighbors = ns, .n_neighbors = 4
	};
	struct sink_guest guest = { 0 };
	const struct table *neighs;

	(void)state;
	assert_int_equal(agent_words_to_guest(&network, true, &guest), 0);
	neighs = snapshot_neighs(&guest.net);
	assert_int_equal(neighs->n, 1);
	assert_int_equal(neighs->neighs[0].ifindex, 1);
	assert_int_equal(neighs->neighs[0].state, 0);
	assert_int_equal(neighs->neighs[0].mac[1], 1);
	snapshot_done(&guest.net);
}

/* Kata's own lists of routes can't be believed. */
static void test_another_list_has_neither(void **state)
{
	struct agent_interface i = interface("eth0", mac_a);
	struct agent_route r = route("0.0.0.0", 32, "10.0.0.1", "eth0");
	struct agent_neighbor n = { .ip = ip("10.0.0.1", 0), .device = "eth0" };
	const struct agent_network network = { .interfaces = &i,
					       .n_interfaces = 1,
					       .routes = &r,
					       .n_routes = 1,
					       .neighbors = &n,
					       .n_neighbors = 1 };
	struct sink_guest guest = { 0 };

	(void)state;
	assert_int_equal(agent_words_to_guest(&network, false, &guest), 0);
	assert_int_equal(snapshot_links(&guest.net)->n, 1);
	assert_int_equal(snapshot_routes(&guest.net)->n, 0);
	assert_int_equal(snapshot_neighs(&guest.net)->n, 0);
	snapshot_done(&guest.net);
}

/* What we tell is what we read back from an agent that lists exactly. */
static void test_there_and_back(void **state)
{
	struct agent_interface i = interface("eth0", mac_a);
	const struct route sent = { .ifindex = 1,
				    .is_inet6 = 1,
				    .dst = { 0x20, 1, 0xd, 0xb8, [15] = 0x80 },
				    .prefixlen = 121,
				    .flags = MODEL_ROUTE_GATEWAY | MODEL_ROUTE_SOURCE,
				    .gateway = { 0xfe, 0x80, [15] = 1 },
				    .source = { 0x20, 1, 0xd, 0xb8, [15] = 2 },
				    .scope = 0,
				    .mtu = 9000 };
	const struct neigh neigh = { .ifindex = 1,
				     .family = AF_INET6,
				     .mac_bytes = 6,
				     .mac = { 2, 3 },
				     .bytes = { 0xfe, 0x80, [15] = 1 } };
	struct agent_route r;
	struct agent_neighbor n;
	const struct agent_network network = { .interfaces = &i,
					       .n_interfaces = 1,
					       .routes = &r,
					       .n_routes = 1,
					       .neighbors = &n,
					       .n_neighbors = 1 };
	struct sink_guest guest = { 0 };

	(void)state;
	agent_words_from_route(&sent, "eth0", &r);
	agent_words_from_neigh(&neigh, "eth0", &n);
	assert_int_equal(agent_words_to_guest(&network, true, &guest), 0);
	assert_int_equal(snapshot_routes(&guest.net)->n, 1);
	assert_int_equal(model_compare(MODEL_ROUTE, snapshot_routes(&guest.net)->routes, &sent), 0);
	assert_int_equal(snapshot_neighs(&guest.net)->n, 1);
	assert_int_equal(model_compare(MODEL_NEIGH, snapshot_neighs(&guest.net)->neighs, &neigh),
			 0);
	snapshot_done(&guest.net);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link_goes_with_all_its_addresses),
		cmocka_unit_test(test_default_route_is_no_destination),
		cmocka_unit_test(test_route_keeps_destination_source_and_scope),
		cmocka_unit_test(test_neighbour_is_permanent),
		cmocka_unit_test(test_links_are_numbered_in_the_order_of_the_list),
		cmocka_unit_test(test_the_guests_own_addresses_are_left_out),
		cmocka_unit_test(test_an_exact_list_has_routes),
		cmocka_unit_test(test_an_exact_list_has_neighbours),
		cmocka_unit_test(test_another_list_has_neither),
		cmocka_unit_test(test_there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
