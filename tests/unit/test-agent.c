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

#include "agent.pb-c.h"
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden_update_interface),
		cmocka_unit_test(test_golden_update_routes),
		cmocka_unit_test(test_golden_add_neighbors),
		cmocka_unit_test(test_golden_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
