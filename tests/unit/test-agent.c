/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's calls as values: byte for byte what Kata's own client sends, what Kata's lists get
 * wrong, limits, generations, and laws over random values.
 */
#include "agent-proto/agent.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <cmocka.h>
#include <agent.pb-c.h>

#include "base/error.h"
#include "base/ip.h"
#include "base/text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- help ---- */

static void bytes_done(struct ttrpc_bytes *b)
{
	free((void *)(uintptr_t)b->data);
}

static struct ttrpc_bytes bytes_of(const void *data, size_t size)
{
	return (struct ttrpc_bytes){ data, size };
}

static struct agent_ip ip(const char *text)
{
	struct agent_ip i = { 0 };

	assert_true(ip_parse_prefix(text, &i.family, i.bytes, &i.prefixlen));
	return i;
}

/* @hex: with spaces between where they help the reader. */
static void assert_bytes(struct ttrpc_bytes b, const char *hex)
{
	CLEANUP(text_done) struct text t = TEXT_NULL;
	CLEANUP(text_done) struct text wanted = TEXT_NULL;

	for (size_t i = 0; i < b.size; i++)
		assert_int_equal(text_appendf(&t, "%02x", ((const uint8_t *)b.data)[i]), 0);
	for (; *hex != '\0'; hex++)
		if (*hex != ' ')
			assert_int_equal(text_append(&wanted, hex, 1), 0);
	assert_string_equal(t.data ? t.data : "", wanted.data ? wanted.data : "");
}

/* protobuf-c has no const; it reads only. */
static char *plain(const char *s)
{
	return (char *)(uintptr_t)s;
}

static struct ttrpc_bytes pack(const ProtobufCMessage *m)
{
	size_t size = protobuf_c_message_get_packed_size(m);
	uint8_t *data = malloc(size + 1);

	assert_non_null(data);
	assert_int_equal(protobuf_c_message_pack(m, data), size);
	return bytes_of(data, size);
}

/* ---- golden payloads. Source: kata's own Go client, kata-agent.md 3.4 ---- */

static const struct agent_interface *eth0(void)
{
	static struct agent_ip ips[2];
	static struct agent_interface i = {
		.device = "eth0",
		.name = "eth0",
		.device_path = "02/00",
		.mac = { 0x02, 0x42, 0xac, 0x11, 0x00, 0x02 },
		.has_mac = true,
		.mtu = 1500,
		.ips = ips,
		.n_ips = 2,
	};

	ips[0] = ip("172.17.0.2/16");
	ips[1] = ip("2001:db8::2/64");
	return &i;
}

#define ETH0_HEX                                                         \
	"0a0465746830 120465746830 1a10120a3137322e31372e302e321a023136" \
	"1a130801120b323030313a6462383a3a321a023634 20dc0b"              \
	"2a1130323a34323a61633a31313a30303a3032 320530322f3030"

static void test_golden_update_interface(void **state)
{
	CLEANUP(bytes_done) struct ttrpc_bytes b = { 0 };
	CLEANUP(bytes_done) struct ttrpc_bytes bare = { 0 };

	(void)state;
	assert_int_equal(agent_encode_interface(AGENT_UPDATE_INTERFACE, eth0(), &b), 0);
	assert_bytes(b, "0a50" ETH0_HEX);
	assert_int_equal(agent_encode_interface(AGENT_REMOVE_INTERFACE, eth0(), &bare), 0);
	assert_bytes(bare, ETH0_HEX);
}

static void golden_routes(struct agent_route r[2])
{
	r[0] = (struct agent_route){
		.family = AF_INET, .gateway = ip("172.17.0.1"), .device = "eth0", .mtu = 1400
	};
	r[1] = (struct agent_route){ .family = AF_INET,
				     .dest = ip("172.17.0.0/16"),
				     .source = ip("172.17.0.2"),
				     .device = "eth0",
				     .scope = RT_SCOPE_LINK };
}

#define ROUTES_HEX                                       \
	"0a15120a3137322e31372e302e311a046574683040f80a" \
	"0a240a0d3137322e31372e302e302f31361a0465746830220a3137322e31372e302e3228fd01"

static void test_golden_update_routes(void **state)
{
	CLEANUP(bytes_done) struct ttrpc_bytes b = { 0 };
	CLEANUP(bytes_done) struct ttrpc_bytes bare = { 0 };
	struct agent_route r[2];

	(void)state;
	golden_routes(r);
	assert_int_equal(agent_encode_routes(AGENT_UPDATE_ROUTES, r, 2, AGENT_SOURCE_PLAIN, &b), 0);
	assert_bytes(b, "0a3d" ROUTES_HEX);
	assert_int_equal(agent_encode_routes(AGENT_REMOVE_ROUTES, r, 2, AGENT_SOURCE_PLAIN, &bare),
			 0);
	assert_bytes(bare, ROUTES_HEX);
}

static void test_golden_add_neighbors(void **state)
{
	CLEANUP(bytes_done) struct ttrpc_bytes b = { 0 };
	struct agent_neighbor n = { .ip = ip("172.17.0.1"),
				    .device = "eth0",
				    .mac = { 2, 0x42, 1, 2, 3, 4 } };

	(void)state;
	assert_int_equal(agent_encode_neighbors(AGENT_ADD_NEIGHBORS, &n, 1, &b), 0);
	assert_bytes(b, "0a2c0a2a 0a0c120a3137322e31372e302e31 120465746830"
			"1a1130323a34323a30313a30323a30333a3034 208001");
}

static void test_golden_check(void **state)
{
	CLEANUP(bytes_done) struct ttrpc_bytes b = { 0 };
	bool is_serving = false;

	(void)state;
	assert_int_equal(agent_encode_check_answer(&b), 0);
	assert_bytes(b, "0801");
	assert_int_equal(agent_decode_check(b, &is_serving), 0);
	assert_true(is_serving);
	assert_int_equal(agent_decode_check(bytes_of("\x08\x02", 2), &is_serving), 0);
	assert_false(is_serving);
}

/* ---- Kata's reader ---- */

static Grpc__Route *first_route(struct ttrpc_bytes b, Grpc__UpdateRoutesRequest **ret)
{
	*ret = grpc__update_routes_request__unpack(NULL, b.size, b.data);
	assert_non_null(*ret);
	return (*ret)->routes->routes[0];
}

static void test_routes_are_as_kata_reads_them(void **state)
{
	static const struct {
		struct agent_route route;
		enum agent_source source;
		const char *dest, *gateway, *from;
		uint32_t flags;
	} cases[] = {
		{ { .family = AF_INET6, .device = "e", .flags = RTNH_F_ONLINK },
		  AGENT_SOURCE_PLAIN,
		  "",
		  "",
		  "",
		  0 },
		{ { .family = AF_INET6,
		    .device = "e",
		    .dest = { AF_INET6, 0, { 0 } },
		    .gateway = { AF_INET6, 128, { 0xfe, 0x80, [15] = 1 } },
		    .flags = RTNH_F_ONLINK | RTNH_F_LINKDOWN | RTNH_F_OFFLOAD },
		  AGENT_SOURCE_PLAIN,
		  "",
		  "fe80::1",
		  "",
		  RTNH_F_ONLINK },
		{ { .family = AF_INET,
		    .device = "e",
		    .dest = { AF_INET, 8, { 10 } },
		    .source = { AF_INET, 32, { 10, 0, 0, 1 } } },
		  AGENT_SOURCE_ZERO,
		  "10.0.0.0/8",
		  "",
		  "10.0.0.1/0",
		  0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		CLEANUP(bytes_done) struct ttrpc_bytes b = { 0 };
		Grpc__UpdateRoutesRequest *m;
		Grpc__Route *r;

		assert_int_equal(agent_encode_routes(AGENT_UPDATE_ROUTES, &cases[i].route, 1,
						     cases[i].source, &b),
				 0);
		r = first_route(b, &m);
		assert_string_equal(r->dest, cases[i].dest);
		assert_string_equal(r->gateway, cases[i].gateway);
		assert_string_equal(r->source, cases[i].from);
		assert_int_equal(r->flags, cases[i].flags);
		assert_int_equal(r->family, cases[i].route.family == AF_INET6);
		grpc__update_routes_request__free_unpacked(m, NULL);
	}
}

/* An absent list is INVALID_ARGUMENT to Kata; an empty one empties a declarative agent. */
static void test_an_empty_list_is_there(void **state)
{
	CLEANUP(bytes_done) struct ttrpc_bytes b = { 0 };
	struct agent_network n = { .unusable = 7 };

	(void)state;
	assert_int_equal(agent_encode_routes(AGENT_UPDATE_ROUTES, NULL, 0, AGENT_SOURCE_PLAIN, &b),
			 0);
	assert_bytes(b, "0a00");
	assert_int_equal(agent_decode_request(AGENT_UPDATE_ROUTES, bytes_of("", 0), &n), -EBADMSG);
	assert_non_null(strstr(err_text(), "empty update routes request"));
	assert_int_equal(n.unusable, 7);
	assert_int_equal(agent_decode_request(AGENT_UPDATE_ROUTES, b, &n), 0);
	assert_int_equal(n.n_routes + n.unusable, 0);
	assert_int_equal(agent_decode_answer(AGENT_UPDATE_ROUTES, bytes_of("", 0), &n), 0);
	err_clear();
}

/* ---- Kata's lists ---- */

static void decode_interfaces(Grpc__Interface **interfaces, size_t n, struct agent_network *ret)
{
	Grpc__Interfaces list;
	struct ttrpc_bytes b;

	grpc__interfaces__init(&list);
	list.interfaces = interfaces;
	list.n_interfaces = n;
	b = pack(&list.base);
	assert_int_equal(agent_decode_answer(AGENT_LIST_INTERFACES, b, ret), 0);
	bytes_done(&b);
}

/* Source: kata-agent.md 4.4: family swapped, MAC in upper case, device empty. */
static void test_interfaces_of_a_kata_list(void **state)
{
	Grpc__IPAddress v4, v6;
	Grpc__IPAddress no_mask;
	Grpc__IPAddress *ips[] = { &v4, &no_mask, &v6 };
	Grpc__Interface lo, eth;
	Grpc__Interface *both[] = { &lo, &eth };
	CLEANUP(agent_network_done) struct agent_network n = { 0 };

	grpc__ipaddress__init(&v4);
	grpc__ipaddress__init(&v6);
	grpc__ipaddress__init(&no_mask);
	grpc__interface__init(&lo);
	grpc__interface__init(&eth);
	(void)state;
	v4 = (Grpc__IPAddress){ v4.base, GRPC__IPFAMILY__v6, plain("10.0.0.2"), plain("24") };
	v6 = (Grpc__IPAddress){ v6.base, GRPC__IPFAMILY__v4, plain("2001:db8::2"), plain("64") };
	no_mask.address = plain("10.0.0.3");
	lo.name = plain("lo");
	lo.hwaddr = plain("00:00:00:00:00:00");
	eth.name = plain("eth0");
	eth.hwaddr = plain("02:42:AC:11:00:FF");
	eth.ipaddresses = ips;
	eth.n_ipaddresses = 3;
	decode_interfaces(both, 2, &n);
	assert_int_equal(n.n_interfaces, 2);
	assert_int_equal(n.unusable, 1);
	assert_string_equal(n.interfaces[0].name, "lo");
	assert_true(n.interfaces[1].has_mac && n.interfaces[1].mac[5] == 0xff);
	assert_int_equal(n.interfaces[1].n_ips, 2);
	assert_int_equal(n.interfaces[1].ips[0].family, AF_INET);
	assert_int_equal(n.interfaces[1].ips[1].family, AF_INET6);
	assert_int_equal(n.interfaces[1].ips[1].prefixlen, 64);
}

static void test_an_unusable_interface_costs_itself_only(void **state)
{
	static const char *const bad_names[] = {
		"a234567890123456", "a/b", "a b", ".", "..", "a:0"
	};
	static const char *const bad_macs[] = { "x", "00:00:00:00", "02:42:ac:11:00:02:03" };
	Grpc__Interface entries[COUNT(bad_names) + COUNT(bad_macs) + 1];
	Grpc__Interface *at[COUNT(entries)];
	CLEANUP(agent_network_done) struct agent_network n = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT(entries); i++) {
		grpc__interface__init(&entries[i]);
		entries[i].name = plain(i < COUNT(bad_names) ? bad_names[i] : "a23456789012345");
		at[i] = &entries[i];
	}
	for (size_t i = 0; i < COUNT(bad_macs); i++)
		entries[COUNT(bad_names) + i].hwaddr = plain(bad_macs[i]);
	decode_interfaces(at, COUNT(at), &n);
	assert_int_equal(n.n_interfaces, 1);
	assert_int_equal(n.unusable, COUNT(entries) - 1);
	assert_string_equal(n.interfaces[0].name, "a23456789012345");
	assert_false(n.interfaces[0].has_mac);
}

static const struct route_case {
	const char *dest, *gateway, *device, *source;
	int family; /* of the enum, and of the result: 0 is unusable */
	uint8_t is_family;
	const char *is_dest;
} route_cases[] = {
	/* a gatewayed route of Kata's: the destination is lost, the enum unset */
	{ "0.0.0.0", "10.0.0.1", "eth0", "", 0, AF_INET, "0.0.0.0/32" },
	{ "::1", "fe80::1", "eth0", "", 0, AF_INET6, "::1/128" },
	{ "10.0.0.0/8", "", "eth0", "10.0.0.1", 1, AF_INET, "10.0.0.0/8" },
	{ "", "fe80::1", "eth0", "", 0, AF_INET6, "" },
	{ "0.0.0.0/0", "", "eth0", "", 1, AF_INET, "" },
	{ "default", "10.0.0.1", "eth0", "", 0, AF_INET, "" },
	{ "", "", "eth0", "", 1, AF_INET6, "" }, /* on the link: only the enum says it */
	{ "", "", "eth0", "", 0, AF_INET, "" },
	{ "", "", "eth0", "", 7, 0, "" },
	{ "10.0.0.0/8", "fe80::1", "eth0", "", 0, 0, "" },
	{ "10.0.0.0/33", "", "eth0", "", 0, 0, "" },
	{ "10.0.0.0/8", "10.0.0.1/8", "eth0", "", 0, 0, "" },
	{ "10.0.0.0/8", "10.0.0.1", "", "", 0, 0, "" },
	{ "10.0.0.0/8", "10.0.0.1", "a234567890123456", "", 0, 0, "" },
	{ "10.0.0.0/8", "", "eth0", "eth0", 0, 0, "" },
};

static void decode_route_case(const struct route_case *c, struct agent_network *ret)
{
	Grpc__Route m;
	Grpc__Route *one = &m;
	Grpc__Routes list;
	struct ttrpc_bytes b;

	grpc__route__init(&m);
	grpc__routes__init(&list);
	m.dest = plain(c->dest);
	m.gateway = plain(c->gateway);
	m.device = plain(c->device);
	m.source = plain(c->source);
	m.family = (Grpc__IPFamily)c->family;
	m.flags = UINT32_MAX;
	list.routes = &one;
	list.n_routes = 1;
	b = pack(&list.base);
	assert_int_equal(agent_decode_answer(AGENT_LIST_ROUTES, b, ret), 0);
	bytes_done(&b);
}

static void test_routes_of_a_list(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(route_cases); i++) {
		const struct route_case *c = &route_cases[i];
		CLEANUP(agent_network_done) struct agent_network n = { 0 };
		char dest[IP_PREFIX_TEXT_BYTES];

		decode_route_case(c, &n);
		assert_int_equal(n.n_routes, c->is_family != 0);
		assert_int_equal(n.unusable, c->is_family == 0);
		if (n.n_routes == 0)
			continue;
		ip_format_prefix(n.routes[0].dest.family, n.routes[0].dest.bytes,
				 n.routes[0].dest.prefixlen, dest);
		assert_string_equal(dest, c->is_dest);
		assert_int_equal(n.routes[0].family, c->is_family);
		assert_int_equal(n.routes[0].flags, *c->gateway != '\0' ? RTNH_F_ONLINK : 0);
	}
}

/* protobuf-c ends a string at a NUL: what is left is judged. */
static void test_a_nul_inside_a_name_is_its_end(void **state)
{
	static const char message[] = "\x0a\x08\x12\x06"
				      "ab\0/cd";
	CLEANUP(agent_network_done) struct agent_network n = { 0 };

	(void)state;
	assert_int_equal(agent_decode_answer(AGENT_LIST_INTERFACES,
					     bytes_of(message, sizeof(message) - 1), &n),
			 0);
	assert_int_equal(n.n_interfaces, 1);
	assert_string_equal(n.interfaces[0].name, "ab");
}

/* ---- limits ---- */

/* @n empty entries of two bytes, in field 1. */
static struct ttrpc_bytes empty_entries(size_t n, uint8_t tag)
{
	uint8_t *data = calloc(n + 1, 2);

	assert_non_null(data);
	for (size_t i = 0; i < n; i++)
		data[2 * i] = tag;
	return bytes_of(data, 2 * n);
}

static void test_lists_have_limits(void **state)
{
	static const struct {
		enum agent_verb verb;
		size_t max;
	} lists[] = {
		{ AGENT_REMOVE_ROUTES, AGENT_ROUTES_MAX },
		{ AGENT_REMOVE_NEIGHBORS, AGENT_NEIGHBORS_MAX },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(lists); i++) {
		CLEANUP(bytes_done) struct ttrpc_bytes b = empty_entries(lists[i].max + 1, 0x0a);
		CLEANUP(agent_network_done) struct agent_network n = { 0 };

		assert_int_equal(agent_decode_request(lists[i].verb, b, &n), -EMSGSIZE);
		b.size -= 2;
		assert_int_equal(agent_decode_request(lists[i].verb, b, &n), 0);
		assert_int_equal(n.unusable, lists[i].max);
	}
	err_clear();
}

static void test_addresses_have_a_limit(void **state)
{
	CLEANUP(bytes_done) struct ttrpc_bytes b = empty_entries(AGENT_ADDRESSES_MAX + 1, 0x1a);
	CLEANUP(agent_network_done) struct agent_network n = { 0 };

	(void)state;
	assert_int_equal(agent_decode_request(AGENT_REMOVE_INTERFACE, b, &n), -EMSGSIZE);
	b.size -= 2;
	assert_int_equal(agent_decode_request(AGENT_REMOVE_INTERFACE, b, &n), 0);
	assert_int_equal(n.n_interfaces, 1);
	assert_int_equal(n.unusable, AGENT_ADDRESSES_MAX);
	err_clear();
}

static void test_a_message_over_the_frame_is_refused_before_it_is_sent(void **state)
{
	const size_t n = 200000;
	CLEANUP(cleanup_free) struct agent_route *routes = calloc(n, sizeof(*routes));
	CLEANUP(bytes_done) struct ttrpc_bytes b = { 0 };

	(void)state;
	assert_non_null(routes);
	for (size_t i = 0; i < n; i++)
		routes[i] = (struct agent_route){ .family = AF_INET,
						  .dest = ip("10.123.124.125/32"),
						  .device = "eth0" };
	assert_int_equal(agent_encode_routes(AGENT_UPDATE_ROUTES, routes, n, AGENT_SOURCE_PLAIN,
					     &b),
			 -EMSGSIZE);
	assert_null(b.data);
	assert_int_equal(
		agent_encode_routes(AGENT_UPDATE_ROUTES, routes, 10000, AGENT_SOURCE_PLAIN, &b), 0);
	assert_in_range(b.size, 10000 * 20, 10000 * 40);
	err_clear();
}

/* ---- details, versions, iptables ---- */

static void test_details_and_version_come_back(void **state)
{
	struct agent_details d = { .version = "3.15.0", .init_daemon = true, .n_features = 2 }, e;
	CLEANUP(bytes_done) struct ttrpc_bytes b = { 0 };
	CLEANUP(bytes_done) struct ttrpc_bytes v = { 0 };
	char version[AGENT_WORD_BYTES];

	(void)state;
	(void)strcpy(d.features[0], "guest-pull");
	(void)strcpy(d.features[1], AGENT_DELTA_FEATURE);
	assert_int_equal(agent_encode_details_answer(&d, &b), 0);
	assert_int_equal(agent_decode_details(b, &e), 0);
	assert_string_equal(e.version, d.version);
	assert_true(e.init_daemon && agent_has_feature(&e, AGENT_DELTA_FEATURE));
	assert_false(agent_has_feature(&e, "guest"));
	assert_int_equal(agent_encode_version_answer("4.1.0", &v), 0);
	assert_bytes(v, "0a05302e302e31 1205342e312e30");
	assert_int_equal(agent_decode_version(v, version), 0);
	assert_string_equal(version, "4.1.0");
}

static void test_words_of_details_are_bounded(void **state)
{
	char long_word[AGENT_WORD_BYTES + 1] = "", *features[AGENT_FEATURES_MAX + 1];
	Grpc__GuestDetailsResponse m;
	Grpc__AgentDetails details;
	struct agent_details d = { .n_features = 42 };
	static const size_t numbers[] = { AGENT_FEATURES_MAX + 1, AGENT_FEATURES_MAX };

	grpc__guest_details_response__init(&m);
	grpc__agent_details__init(&details);
	(void)state;
	memset(long_word, 'x', AGENT_WORD_BYTES);
	for (size_t i = 0; i < COUNT(features); i++)
		features[i] = i == 0 ? long_word : plain("f");
	m.agent_details = &details;
	details.extra_features = features;
	for (size_t i = 0; i < COUNT(numbers); i++) {
		CLEANUP(bytes_done) struct ttrpc_bytes b = { 0 };

		details.n_extra_features = numbers[i];
		b = pack(&m.base);
		assert_int_equal(agent_decode_details(b, &d), i == 0 ? -EMSGSIZE : 0);
		assert_int_equal(d.n_features, i == 0 ? 42 : AGENT_FEATURES_MAX - 1);
	}
	details.version = long_word;
	CLEANUP(bytes_done) struct ttrpc_bytes b = pack(&m.base);
	assert_int_equal(agent_decode_details(b, &d), -EMSGSIZE);
	err_clear();
}

static void test_iptables_are_bytes(void **state)
{
	CLEANUP(bytes_done) struct ttrpc_bytes b = { 0 };
	CLEANUP(cleanup_free) char *text = NULL;
	size_t size = 0;

	(void)state;
	assert_int_equal(agent_decode_iptables(bytes_of("\x0a\x03"
							"a\0b",
							5),
					       &text, &size),
			 0);
	assert_int_equal(size, 3);
	assert_memory_equal(text, "a\0b", 4);
	assert_int_equal(agent_encode_iptables_request(true, &b), 0);
	assert_bytes(b, "0801");
}

static void test_generations(void **state)
{
	static const struct {
		const char *version;
		enum agent_generation g;
	} cases[] = {
		{ "2.0.0", AGENT_DECLARATIVE },
		{ "2.5.2", AGENT_DECLARATIVE },
		{ "2.99.0", AGENT_DECLARATIVE },
		{ "3.14.0", AGENT_DECLARATIVE },
		{ "3.15.0-rc0", AGENT_ADDITIVE },
		{ "3.15.0", AGENT_ADDITIVE },
		{ "3.17.0", AGENT_ADDITIVE },
		{ "4.1.0-alpha0", AGENT_ADDITIVE },
		{ "4.0.0+dirty", AGENT_ADDITIVE },
		{ "3.150.0", AGENT_ADDITIVE },
		{ "", AGENT_DECLARATIVE },
		{ "main", AGENT_DECLARATIVE },
		{ "3", AGENT_DECLARATIVE },
		{ "3.15", AGENT_DECLARATIVE },
		{ "3.15.x", AGENT_DECLARATIVE },
		{ "3.15.0 ", AGENT_DECLARATIVE },
		{ "99999999999.1", AGENT_DECLARATIVE },
		{ "99999999999.1.0", AGENT_DECLARATIVE },
		{ "4294967299.15.0", AGENT_DECLARATIVE },
		{ "-3.15.0", AGENT_DECLARATIVE },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct agent_details d = { 0 };

		(void)snprintf(d.version, sizeof(d.version), "%s", cases[i].version);
		assert_int_equal(agent_generation_of(&d), cases[i].g);
		d.n_features = 1;
		(void)strcpy(d.features[0], AGENT_DELTA_FEATURE);
		assert_int_equal(agent_generation_of(&d), AGENT_DELTA_V1);
	}
	assert_string_equal(agent_generation_to_string(AGENT_DECLARATIVE), "declarative");
}

static void test_every_verb_is_found_by_its_names(void **state)
{
	enum agent_verb v;

	(void)state;
	for (enum agent_verb i = 0; i < _AGENT_VERB_MAX; i++) {
		assert_int_equal(agent_find(agent_service(i), agent_method(i), &v), _AGENT_FOUND);
		assert_int_equal(v, i);
	}
	assert_int_equal(agent_find(AGENT_SERVICE, "Check", &v), AGENT_NO_METHOD);
	assert_int_equal(agent_find("grpc.Image", "Check", &v), AGENT_NO_SERVICE);
}

/* ---- laws ---- */

static uint64_t seed;

/* splitmix64 */
static uint32_t below(uint32_t n)
{
	uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)((z ^ (z >> 31)) >> 32) % n;
}

static int start_random(void **state)
{
	const char *given = getenv("NETMON_SEED");

	(void)state;
	assert_int_equal(getrandom(&seed, sizeof(seed), 0), sizeof(seed));
	if (given)
		assert_int_equal(text_parse_u64(given, UINT64_MAX, &seed), 0);
	print_message("seed: NETMON_SEED=%llu repeats this\n", (unsigned long long)seed);
	return 0;
}

static struct agent_ip random_ip(uint8_t family, uint8_t least)
{
	struct agent_ip i = { .family = family };

	for (size_t n = 0; n < (family == AF_INET ? 4U : 16U); n++)
		i.bytes[n] = (uint8_t)below(256);
	i.prefixlen = (uint8_t)(least + below(ip_bits(family) - least + 1U));
	return i;
}

static struct agent_ip random_host(uint8_t family)
{
	return random_ip(family, ip_bits(family));
}

static uint8_t random_family(void)
{
	return below(2) ? AF_INET : AF_INET6;
}

#define RANDOM_MAX 5

struct random_network {
	struct agent_network n;
	struct agent_interface interfaces[RANDOM_MAX];
	struct agent_ip ips[RANDOM_MAX * RANDOM_MAX];
	struct agent_route routes[RANDOM_MAX];
	struct agent_neighbor neighbors[RANDOM_MAX];
};

static void random_interface(struct random_network *w)
{
	struct agent_interface *i = &w->interfaces[w->n.n_interfaces++];

	(void)snprintf(i->device, sizeof(i->device), "dev%u", below(UINT32_MAX));
	(void)snprintf(i->name, sizeof(i->name), "%s", below(2) ? "" : "eth\x1b[");
	(void)snprintf(i->device_path, sizeof(i->device_path), "%.*s", (int)below(6), "02/00");
	(void)snprintf(i->type, sizeof(i->type), "%s", below(2) ? "" : "virtual");
	i->has_mac = below(2);
	i->mac[0] = i->has_mac ? (uint8_t)below(256) : 0;
	i->mtu = (uint64_t)below(UINT32_MAX) << below(32);
	i->raw_flags = below(UINT32_MAX);
	i->ips = &w->ips[w->n.n_ips];
	i->n_ips = below(RANDOM_MAX);
	for (size_t n = 0; n < i->n_ips; n++)
		w->ips[w->n.n_ips++] = random_ip(random_family(), 0);
}

static void random_route(struct random_network *w)
{
	struct agent_route *r = &w->routes[w->n.n_routes++];

	r->family = random_family();
	if (below(2))
		r->dest = random_ip(r->family, 1);
	if (below(2))
		r->gateway = random_host(r->family);
	if (below(2))
		r->source = random_host(r->family);
	r->flags = r->gateway.family != 0 && below(2) ? RTNH_F_ONLINK : 0;
	(void)strcpy(r->device, "eth0");
	r->scope = below(256);
	r->mtu = below(2) * below(UINT32_MAX);
}

static void random_neighbor(struct random_network *w)
{
	struct agent_neighbor *n = &w->neighbors[w->n.n_neighbors++];

	n->ip = random_host(random_family());
	(void)strcpy(n->device, "eth0");
	n->mac[5] = (uint8_t)below(256);
	n->state = (int32_t)(1 + below(INT32_MAX)) * (below(2) ? 1 : -1);
	n->flags = (int32_t)below(256) - 128;
}

static void random_network(struct random_network *w)
{
	memset(w, 0, sizeof(*w));
	for (uint32_t i = below(RANDOM_MAX); i > 0; i--)
		random_interface(w);
	for (uint32_t i = below(RANDOM_MAX); i > 0; i--)
		random_route(w);
	for (uint32_t i = below(RANDOM_MAX); i > 0; i--)
		random_neighbor(w);
	w->n.interfaces = w->interfaces;
	w->n.ips = w->ips;
	w->n.routes = w->routes;
	w->n.neighbors = w->neighbors;
}

/* Member by member: what is between them has no promise. */
static void assert_same_ips(const struct agent_ip *a, const struct agent_ip *b, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_memory_equal(&a[i], &b[i], sizeof(a[i])); /* bytes only: no holes */
}

static void assert_same_interface(const struct agent_interface *a, const struct agent_interface *b)
{
	assert_string_equal(a->device, b->device);
	assert_string_equal(a->name, b->name);
	assert_string_equal(a->device_path, b->device_path);
	assert_string_equal(a->type, b->type);
	assert_memory_equal(a->mac, b->mac, sizeof(a->mac));
	assert_int_equal(a->has_mac, b->has_mac);
	assert_true(a->mtu == b->mtu && a->raw_flags == b->raw_flags);
	assert_int_equal(a->n_ips, b->n_ips);
	assert_same_ips(a->ips, b->ips, a->n_ips);
}

static void assert_same_route(const struct agent_route *a, const struct agent_route *b)
{
	assert_int_equal(a->family, b->family);
	assert_same_ips(&a->dest, &b->dest, 1);
	assert_same_ips(&a->gateway, &b->gateway, 1);
	assert_same_ips(&a->source, &b->source, 1);
	assert_string_equal(a->device, b->device);
	assert_true(a->scope == b->scope && a->flags == b->flags && a->mtu == b->mtu);
}

static void assert_same_neighbor(const struct agent_neighbor *a, const struct agent_neighbor *b)
{
	assert_same_ips(&a->ip, &b->ip, 1);
	assert_string_equal(a->device, b->device);
	assert_memory_equal(a->mac, b->mac, sizeof(a->mac));
	assert_true(a->state == b->state && a->flags == b->flags);
}

static void assert_same_network(const struct agent_network *a, const struct agent_network *b)
{
	assert_int_equal(b->unusable, 0);
	assert_int_equal(a->n_interfaces, b->n_interfaces);
	assert_int_equal(a->n_routes, b->n_routes);
	assert_int_equal(a->n_neighbors, b->n_neighbors);
	for (size_t i = 0; i < a->n_interfaces; i++)
		assert_same_interface(&a->interfaces[i], &b->interfaces[i]);
	for (size_t i = 0; i < a->n_routes; i++)
		assert_same_route(&a->routes[i], &b->routes[i]);
	for (size_t i = 0; i < a->n_neighbors; i++)
		assert_same_neighbor(&a->neighbors[i], &b->neighbors[i]);
}

static void test_what_is_encoded_is_decoded(void **state)
{
	(void)state;
	for (int round = 0; round < 2000; round++) {
		CLEANUP(bytes_done) struct ttrpc_bytes b = { 0 };
		CLEANUP(bytes_done) struct ttrpc_bytes again = { 0 };
		CLEANUP(agent_network_done) struct agent_network n = { 0 };
		struct random_network w;

		random_network(&w);
		assert_int_equal(agent_encode_network_answer(AGENT_LIST_NETWORK, &w.n, &b), 0);
		assert_int_equal(agent_decode_answer(AGENT_LIST_NETWORK, b, &n), 0);
		assert_same_network(&w.n, &n);
		assert_int_equal(agent_encode_network_answer(AGENT_LIST_NETWORK, &n, &again), 0);
		assert_int_equal(b.size, again.size);
		if (b.size > 0)
			assert_memory_equal(b.data, again.data, b.size);
	}
}

static void encode_request(enum agent_verb verb, const struct agent_network *n,
			   struct ttrpc_bytes *ret)
{
	int r;

	if (verb == AGENT_UPDATE_ROUTES || verb == AGENT_REMOVE_ROUTES)
		r = agent_encode_routes(verb, n->routes, n->n_routes, AGENT_SOURCE_PLAIN, ret);
	else if (verb == AGENT_ADD_NEIGHBORS || verb == AGENT_REMOVE_NEIGHBORS)
		r = agent_encode_neighbors(verb, n->neighbors, n->n_neighbors, ret);
	else
		r = agent_encode_interface(verb, &n->interfaces[0], ret);
	assert_int_equal(r, 0);
}

static void test_every_request_is_decoded(void **state)
{
	static const enum agent_verb verbs[] = { AGENT_UPDATE_INTERFACE, AGENT_UPDATE_ROUTES,
						 AGENT_ADD_NEIGHBORS,	 AGENT_REMOVE_INTERFACE,
						 AGENT_REMOVE_ROUTES,	 AGENT_REMOVE_NEIGHBORS };

	(void)state;
	for (size_t round = 0; round < 600; round++) {
		enum agent_verb verb = verbs[round % COUNT(verbs)];
		CLEANUP(bytes_done) struct ttrpc_bytes b = { 0 };
		CLEANUP(agent_network_done) struct agent_network n = { 0 };
		struct random_network w;

		random_network(&w);
		w.n.n_interfaces = round % 3 == 0;
		w.n.n_routes = round % 3 == 1 ? w.n.n_routes : 0;
		w.n.n_neighbors = round % 3 == 2 ? w.n.n_neighbors : 0;
		encode_request(verb, &w.n, &b);
		assert_int_equal(agent_decode_request(verb, b, &n), 0);
		assert_same_network(&w.n, &n);
	}
}

/* A block of exactly the message's length, so that ASan sees a read behind it. */
static void decode_corrupted(struct ttrpc_bytes b, size_t size, size_t at, uint8_t flip)
{
	CLEANUP(agent_network_done) struct agent_network n = { 0 };
	CLEANUP(cleanup_free) uint8_t *copy = malloc(size > 0 ? size : 1);
	int r;

	assert_non_null(copy);
	if (size > 0)
		memcpy(copy, b.data, size);
	if (at < size)
		copy[at] ^= flip;
	r = agent_decode_answer(AGENT_LIST_NETWORK, bytes_of(copy, size), &n);
	assert_true(r == 0 || r == -EBADMSG || r == -EMSGSIZE);
	if (r < 0)
		assert_null(n.interfaces);
	err_clear();
}

static void test_every_prefix_and_corruption_is_decoded_or_refused(void **state)
{
	(void)state;
	for (int round = 0; round < 20; round++) {
		CLEANUP(bytes_done) struct ttrpc_bytes b = { 0 };
		struct random_network w;

		random_network(&w);
		assert_int_equal(agent_encode_network_answer(AGENT_LIST_NETWORK, &w.n, &b), 0);
		for (size_t at = 0; at < b.size; at++) {
			decode_corrupted(b, at, SIZE_MAX, 0);
			decode_corrupted(b, b.size, at, (uint8_t)(1 + below(255)));
		}
	}
}

static void test_an_answer_that_is_too_long_is_known_by_its_words(void **state)
{
	static const char rust[] = "message length 5242880 exceed maximum message size of 4194304";

	(void)state;
	assert_true(agent_is_answer_too_long(TTRPC_INVALID_ARGUMENT, rust));
	assert_true(agent_is_answer_too_long(TTRPC_UNKNOWN, rust));
	assert_true(agent_is_answer_too_long(TTRPC_RESOURCE_EXHAUSTED, TTRPC_ANSWER_TOO_LONG));
	assert_false(agent_is_answer_too_long(TTRPC_INTERNAL, rust));
	assert_false(agent_is_answer_too_long(TTRPC_RESOURCE_EXHAUSTED, "too many calls"));
	assert_false(agent_is_answer_too_long(TTRPC_RESOURCE_EXHAUSTED,
					      "the request is over 4194304 bytes"));
	assert_false(agent_is_answer_too_long(TTRPC_OK, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_answer_that_is_too_long_is_known_by_its_words),
		cmocka_unit_test(test_golden_update_interface),
		cmocka_unit_test(test_golden_update_routes),
		cmocka_unit_test(test_golden_add_neighbors),
		cmocka_unit_test(test_golden_check),
		cmocka_unit_test(test_routes_are_as_kata_reads_them),
		cmocka_unit_test(test_an_empty_list_is_there),
		cmocka_unit_test(test_interfaces_of_a_kata_list),
		cmocka_unit_test(test_an_unusable_interface_costs_itself_only),
		cmocka_unit_test(test_routes_of_a_list),
		cmocka_unit_test(test_a_nul_inside_a_name_is_its_end),
		cmocka_unit_test(test_lists_have_limits),
		cmocka_unit_test(test_addresses_have_a_limit),
		cmocka_unit_test(test_a_message_over_the_frame_is_refused_before_it_is_sent),
		cmocka_unit_test(test_details_and_version_come_back),
		cmocka_unit_test(test_words_of_details_are_bounded),
		cmocka_unit_test(test_iptables_are_bytes),
		cmocka_unit_test(test_generations),
		cmocka_unit_test(test_every_verb_is_found_by_its_names),
		cmocka_unit_test(test_what_is_encoded_is_decoded),
		cmocka_unit_test(test_every_request_is_decoded),
		cmocka_unit_test(test_every_prefix_and_corruption_is_decoded_or_refused),
	};

	return cmocka_run_group_tests(tests, start_random, NULL);
}
