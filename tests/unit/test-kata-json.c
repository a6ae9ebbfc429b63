/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON of Kata 1.x: what its runtime took is taken, what it refused is refused in its words, and
 * what is printed is what it printed.
 */
#include "runtime-bridge/ctl/kata-json.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Samples of the original, byte for byte. */
#define SAMPLE_1_13                                                                              \
	"{\"Device\":\"eth1\",\"Name\":\"eth1\",\"IPAddresses\":[{\"Family\":2,\"Address\":"     \
	"\"10.1.0.2\",\"Mask\":\"24\"},{\"Family\":10,\"Address\":\"2001:db8::2\",\"Mask\":"     \
	"\"64\"},{\"Family\":10,\"Address\":\"fe80::42:acff:fe11:3\",\"Mask\":\"64\"}],\"Mtu\":" \
	"1500,\"RawFlags\":0,\"HwAddr\":\"02:42:ac:11:00:03\",\"PciPath\":{},\"LinkType\":"      \
	"\"veth\"}"
#define SAMPLE_1_12                                                                              \
	"{\"Device\":\"vx0\",\"Name\":\"vx0\",\"IPAddresses\":null,\"Mtu\":1500,\"RawFlags\":0," \
	"\"HwAddr\":\"5e:98:44:68:3d:d5\",\"PciAddr\":\"\",\"LinkType\":\"vxlan\"}"
#define SAMPLE_ROUTES                                                                             \
	"[{\"Dest\":\"\",\"Gateway\":\"172.17.0.1\",\"Device\":\"eth0\",\"Source\":\"\","         \
	"\"Scope\":0},{\"Dest\":\"10.1.5.0/24\",\"Gateway\":\"\",\"Device\":\"eth0\",\"Source\":" \
	"\"172.17.0.2\",\"Scope\":253},{\"Dest\":\"2001:db8:5::/48\",\"Gateway\":\"fe80::1\","    \
	"\"Device\":\"eth0\",\"Source\":\"2001:db8::2\",\"Scope\":0},{\"Dest\":\"\",\"Gateway\":" \
	"\"2001:db8::1\",\"Device\":\"eth0\",\"Source\":\"\",\"Scope\":0}]"

static void read_interface(const char *json, struct agent_network *ret)
{
	char why[KATA_JSON_WHY_BYTES] = "";
	int r = kata_json_read_interface(json, strlen(json), ret, why);

	if (r != 0)
		fail_msg("%s: %d, %s", json, r, why);
	assert_int_equal(ret->n_interfaces, 1);
	assert_int_equal(ret->interfaces[0].n_ips, ret->n_ips);
}

static void read_routes(const char *json, struct agent_network *ret)
{
	char why[KATA_JSON_WHY_BYTES] = "";
	int r = kata_json_read_routes(json, strlen(json), ret, why);

	if (r != 0)
		fail_msg("%s: %d, %s", json, r, why);
}

typedef int reader_fn(const char *json, size_t size, struct agent_network *ret,
		      char why[KATA_JSON_WHY_BYTES]);

/* Refused with a reason that begins so; the output is untouched. */
static void refuse(reader_fn *reader, const char *json, const char *wanted)
{
	struct agent_network n, before;
	char why[KATA_JSON_WHY_BYTES] = "";

	memset(&n, 0x55, sizeof(n));
	memset(&before, 0x55, sizeof(before));
	assert_int_equal(reader(json, strlen(json), &n, why), KATA_JSON_BAD);
	assert_memory_equal(&n, &before, sizeof(n));
	if (strncmp(why, wanted, strlen(wanted)) != 0)
		fail_msg("%s: said '%s', wanted '%s'", json, why, wanted);
}

static void assert_ip(const struct agent_ip *ip, const char *wanted)
{
	char text[INET6_ADDRSTRLEN] = "", cidr[INET6_ADDRSTRLEN + 4] = "";

	if (ip->family != 0) {
		assert_non_null(inet_ntop(ip->family, ip->bytes, text, sizeof(text)));
		(void)snprintf(cidr, sizeof(cidr), "%s/%u", text, ip->prefixlen);
	}
	assert_string_equal(cidr, wanted);
}

/* ---- interfaces ---- */

static void test_an_interface_of_1_13(void **state)
{
	CLEANUP(agent_network_done) struct agent_network n = { 0 };
	static const uint8_t mac[] = { 0x02, 0x42, 0xac, 0x11, 0x00, 0x03 };
	const struct agent_interface *i;

	(void)state;
	read_interface(SAMPLE_1_13, &n);
	i = n.interfaces;
	assert_string_equal(i->device, "eth1");
	assert_string_equal(i->name, "eth1");
	assert_int_equal(i->mtu, 1500);
	assert_int_equal(i->raw_flags, 0);
	assert_true(i->has_mac);
	assert_memory_equal(i->mac, mac, sizeof(mac));
	/* the runtime does not pass LinkType and PCI on */
	assert_string_equal(i->type, "");
	assert_string_equal(i->device_path, "");
	assert_int_equal(i->n_ips, 3);
	assert_ip(&i->ips[0], "10.1.0.2/24");
	assert_ip(&i->ips[1], "2001:db8::2/64");
	assert_ip(&i->ips[2], "fe80::42:acff:fe11:3/64");
}

static void test_an_interface_of_1_12(void **state)
{
	CLEANUP(agent_network_done) struct agent_network n = { 0 };

	(void)state;
	read_interface(SAMPLE_1_12, &n);
	assert_string_equal(n.interfaces[0].name, "vx0");
	assert_int_equal(n.interfaces[0].n_ips, 0);
}

static void test_what_the_reader_is_lenient_about(void **state)
{
	static const char *const lenient[] = {
		"{\"name\":\"e\",\"HWADDR\":\"02:00:00:00:00:01\"}",
		" \n\t{\"Name\":\"e\",\"HwAddr\":\"02:00:00:00:00:01\"}",
		"{\"Name\":\"e\",\"HwAddr\":\"02:00:00:00:00:01\"} trailing text",
		"{\"Name\":\"e\",\"HwAddr\":\"02:00:00:00:00:01\"}{\"Name\":\"second\"}",
		"{\"Name\":\"e\",\"HwAddr\":\"02:00:00:00:00:01\",\"PciAddr\":\"\",\"PciPath\":{}}",
		"{\"Unknown\":[{\"x\":1.5e3}],\"Name\":\"e\",\"HwAddr\":\"02:00:00:00:00:01\"}",
		"{\"Name\":\"first\",\"name\":\"e\",\"HwAddr\":\"02:00:00:00:00:01\"}",
		"{\"Name\":\"e\",\"NAME\":null,\"HwAddr\":\"02:00:00:00:00:01\",\"Mtu\":null}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lenient) / sizeof(lenient[0]); i++) {
		CLEANUP(agent_network_done) struct agent_network n = { 0 };

		read_interface(lenient[i], &n);
		assert_string_equal(n.interfaces[0].name, "e");
		assert_true(n.interfaces[0].has_mac);
		assert_int_equal(n.interfaces[0].mac[5], 1);
	}
}

static void test_an_interface_without_mac(void **state)
{
	CLEANUP(agent_network_done) struct agent_network n = { 0 };

	(void)state;
	read_interface("{}", &n);
	assert_false(n.interfaces[0].has_mac);
}

static void test_forms_of_a_mac(void **state)
{
	static const struct {
		const char *text;
		bool is_mac;
	} cases[] = {
		{ "02:ab:00:00:00:01", true },
		{ "02-AB-00-00-00-01", true },
		{ "02ab.0000.0001", true },
		{ "", false },
		{ "x", false },
		{ "02:ab:00:00:00", false },
		{ "02:ab:00:00:00:0g", false },
		{ "02:ab-00:00:00:01", false },
		{ "02ab.0000.00010", false },
		{ "02ab:0000:0001", false },
		{ "02ab00000001", false },
		{ "2:ab:0:0:0:1", false },
		{ "02:ab:00:00:00:01 ", false },
		{ "02:ab:00:00:00:00:00:01", false },
	};
	static const uint8_t mac[6] = { 0x02, 0xab, 0, 0, 0, 1 };
	char json[128], wanted[128], why[KATA_JSON_WHY_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CLEANUP(agent_network_done) struct agent_network n = { 0 };

		(void)snprintf(json, sizeof(json), "{\"HwAddr\":\"%s\"}", cases[i].text);
		(void)snprintf(wanted, sizeof(wanted), "address %s: invalid MAC address",
			       cases[i].text);
		assert_int_equal(kata_json_read_interface(json, strlen(json), &n, why), 0);
		assert_int_equal(n.interfaces[0].has_mac, cases[i].is_mac);
		if (cases[i].is_mac)
			assert_memory_equal(n.interfaces[0].mac, mac, sizeof(mac));
		else
			assert_string_equal(why, wanted);
	}
}

static void test_names_of_every_script(void **state)
{
	CLEANUP(agent_network_done) struct agent_network n = { 0 };

	(void)state;
	read_interface("{\"Name\":\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"}", &n);
	assert_string_equal(n.interfaces[0].name, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
}

static void test_refused_interfaces(void **state)
{
	static const struct {
		const char *json, *why;
	} cases[] = {
		{ "", "EOF" },
		{ "  ", "EOF" },
		{ "null", "null is no interface" },
		{ "{\"Name\":\"e", "unexpected EOF" },
		{ "{broken", "invalid character 'b' at byte 1" },
		{ "{\"Name\":'e'}", "invalid character ''' at byte 8" },
		{ "x", "invalid character 'x' at byte 0" },
		{ "\x01", "invalid character '\\x01' at byte 0" },
		{ "[]", "json: cannot unmarshal array into Go value of type types.Interface" },
		{ "\"x\"", "json: cannot unmarshal string into Go value of type types.Interface" },
		{ "{\"Name\":1}",
		  "json: cannot unmarshal number into Go struct field Interface.Name of type "
		  "string" },
		{ "{\"Mtu\":\"1500\"}",
		  "json: cannot unmarshal string into Go struct field Interface.Mtu of type" },
		{ "{\"Mtu\":-1}", "json: cannot unmarshal number -1 into Go struct field" },
		{ "{\"Mtu\":99999999999999999999}", "json: cannot unmarshal number" },
		{ "{\"RawFlags\":4294967296}", "json: cannot unmarshal number 4294967296" },
		{ "{\"IPAddresses\":{}}", "json: cannot unmarshal object into Go struct field" },
		{ "{\"IPAddresses\":[1]}", "json: cannot unmarshal number into Go value" },
		{ "{\"IPAddresses\":[{\"Address\":\"10.0.0.1\",\"Mask\":24}]}",
		  "json: cannot unmarshal number into Go struct field IPAddress.Mask of type "
		  "string" },
		{ "{\"IPAddresses\":[{\"Address\":\"10.0.0.1\",\"Mask\":\"33\"}]}",
		  "invalid CIDR address: 10.0.0.1/33" },
		{ "{\"IPAddresses\":[{\"Address\":\"10.0.0.1\"}]}",
		  "invalid CIDR address: 10.0.0.1/" },
		{ "{\"IPAddresses\":[{\"Address\":\"x\",\"Mask\":\"8\"}]}",
		  "invalid CIDR address: x/8" },
		{ "{\"Name\":\"a-name-of-16-let\"}",
		  "Interface.Name: 'a-name-of-16-let' is longer" },
		{ "{\"Name\":\"e\xff\"}", "Interface.Name: 'e\xff' is not UTF-8" },
		{ "{\"Device\":\"\xc3\"}", "Interface.Device: '\xc3' is not UTF-8" },
		{ "{\"Name\":\"\xc0\xaf\"}", "Interface.Name: '\xc0\xaf' is not" },
		{ "{\"Name\":\"\xed\xa0\x80\"}", "Interface.Name: '\xed\xa0\x80' is not" },
		{ "{\"Name\":\"\xf4\x90\x80\x80\"}", "Interface.Name: '\xf4\x90\x80\x80' is not" },
		{ "{\"Name\":\"\xf8\x90\x80\x80\"}", "Interface.Name: '\xf8\x90\x80\x80' is not" },
		{ "{\"Name\":\"a\\u0000b\"}", "Interface.Name: a NUL in it" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refuse(kata_json_read_interface, cases[i].json, cases[i].why);
}

static void test_an_interface_over_its_limit(void **state)
{
	CLEANUP(text_done) struct text json = TEXT_NULL;

	(void)state;
	(void)text_append_str(&json, "{\"Name\":\"");
	for (size_t i = 0; i < KATA_JSON_ELEMENT_MAX; i++)
		(void)text_append(&json, "x", 1);
	(void)text_append_str(&json, "\"}");
	refuse(kata_json_read_interface, json.data, "a value of more than 262144 bytes");
}

/* ---- routes ---- */

static void test_the_routes_of_the_original(void **state)
{
	CLEANUP(agent_network_done) struct agent_network n = { 0 };

	(void)state;
	read_routes(SAMPLE_ROUTES, &n);
	assert_int_equal(n.n_routes, 4);
	assert_int_equal(n.routes[0].family, AF_INET);
	assert_ip(&n.routes[0].dest, "");
	assert_ip(&n.routes[0].gateway, "172.17.0.1/32");
	assert_string_equal(n.routes[0].device, "eth0");
	assert_ip(&n.routes[1].dest, "10.1.5.0/24");
	assert_ip(&n.routes[1].gateway, "");
	assert_ip(&n.routes[1].source, "172.17.0.2/32");
	assert_int_equal(n.routes[1].scope, 253);
	assert_int_equal(n.routes[2].family, AF_INET6);
	assert_ip(&n.routes[2].dest, "2001:db8:5::/48");
	/* only its gateway says what it is */
	assert_int_equal(n.routes[3].family, AF_INET6);
	assert_ip(&n.routes[3].dest, "");
}

static void test_null_is_nothing_and_an_empty_list_is_a_list(void **state)
{
	CLEANUP(agent_network_done) struct agent_network n = { 0 };
	char why[KATA_JSON_WHY_BYTES];

	(void)state;
	assert_int_equal(kata_json_read_routes("null", 4, &n, why), KATA_JSON_NULL);
	assert_int_equal(kata_json_read_routes(" null\n", 6, &n, why), KATA_JSON_NULL);
	read_routes("[]", &n);
	assert_int_equal(n.n_routes, 0);
	read_routes(" [ ] and more", &n);
	assert_int_equal(n.n_routes, 0);
}

static void test_forms_of_a_destination(void **state)
{
	static const struct {
		const char *dest, *wanted;
		int family;
	} cases[] = {
		{ "", "", AF_INET },
		{ "default", "", AF_INET },
		{ "0.0.0.0/0", "", AF_INET },
		{ "::/0", "", AF_INET6 },
		{ "10.0.0.1", "10.0.0.1/32", AF_INET },
		{ "2001:db8::1", "2001:db8::1/128", AF_INET6 },
		/* agents of Kata 2 refuse bits below the prefix */
		{ "192.168.157.204/20", "192.168.144.0/20", AF_INET },
		{ "2001:db8::ff/127", "2001:db8::fe/127", AF_INET6 },
		{ "255.255.255.255/1", "128.0.0.0/1", AF_INET },
	};
	char json[128];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CLEANUP(agent_network_done) struct agent_network n = { 0 };

		(void)snprintf(json, sizeof(json), "[{\"Dest\":\"%s\"}]", cases[i].dest);
		read_routes(json, &n);
		assert_ip(&n.routes[0].dest, cases[i].wanted);
		assert_int_equal(n.routes[0].family, cases[i].family);
	}
}

static void test_refused_routes(void **state)
{
	static const struct {
		const char *json, *why;
	} cases[] = {
		{ "", "EOF" },
		{ "{}", "json: cannot unmarshal object into Go value of type []*types.Route" },
		{ "5 ", "json: cannot unmarshal number into Go value of type []*types.Route" },
		{ "[", "unexpected EOF" },
		{ "[{}", "unexpected EOF" },
		{ "[{},", "unexpected EOF" },
		{ "[{} {}]", "invalid character '{' at byte 4" },
		{ "[{},]", "invalid character ']' at byte 4" },
		{ "[null]", "json: cannot unmarshal null into Go value of type types.Route" },
		{ "[[]]", "json: cannot unmarshal array into Go value of type types.Route" },
		{ "[{\"Dest\":\"10.0.0.0/33\"}]", "invalid CIDR address: 10.0.0.0/33" },
		{ "[{\"Dest\":\"10.0.0.0/\"}]", "invalid CIDR address: 10.0.0.0/" },
		{ "[{\"Dest\":\"10.0.0.0/+8\"}]", "invalid CIDR address: 10.0.0.0/+8" },
		{ "[{\"Dest\":\"10.0/8\"}]", "invalid CIDR address: 10.0/8" },
		{ "[{\"Gateway\":\"10.0.0.1/8\"}]", "Route.Gateway: invalid IP address" },
		{ "[{\"Source\":\"x\"}]", "Route.Source: invalid IP address: x" },
		{ "[{\"Device\":\"e\xff\"}]", "Route.Device: 'e\xff' is not UTF-8" },
		{ "[{\"Scope\":\"0\"}]", "json: cannot unmarshal string into Go struct field" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refuse(kata_json_read_routes, cases[i].json, cases[i].why);
}

static void test_a_long_list(void **state)
{
	CLEANUP(agent_network_done) struct agent_network n = { 0 };
	CLEANUP(text_done) struct text json = TEXT_NULL;

	(void)state;
	(void)text_append_str(&json, "[");
	for (unsigned i = 0; i < 20000; i++)
		(void)text_appendf(&json,
				   "%s{\"Dest\":\"10.%u.%u.0/24\",\"Gateway\":\"172.17.0.1\","
				   "\"Device\":\"eth0\",\"Source\":\"\",\"Scope\":0}",
				   i > 0 ? "," : "", i / 256, i % 256);
	(void)text_append_str(&json, "]");
	assert_int_equal(json.error, 0);
	read_routes(json.data, &n);
	assert_int_equal(n.n_routes, 20000);
	assert_ip(&n.routes[19999].dest, "10.78.31.0/24");
}

/* ---- writing ---- */

static void assert_writes(void (*write)(struct json_writer *j, const struct agent_network *n),
			  const struct agent_network *n, const char *wanted)
{
	CLEANUP(text_done) struct text out = TEXT_NULL;
	struct json_writer j = json_writer_on_text(&out);

	write(&j, n);
	assert_string_equal(out.data, wanted);
}

static void test_lists_as_the_runtime_prints_them(void **state)
{
	CLEANUP(agent_network_done) struct agent_network n = { 0 };
	CLEANUP(agent_network_done) struct agent_network routes = { 0 };
	const struct agent_network none = { 0 };

	(void)state;
	assert_writes(kata_json_write_interfaces, &none, "[]");
	assert_writes(kata_json_write_routes, &none, "null");
	read_interface(SAMPLE_1_13, &n);
	/* as Kata's agents in Rust leave it */
	n.interfaces[0].device[0] = '\0';
	n.interfaces[0].raw_flags = 0x1043;
	assert_writes(kata_json_write_interfaces, &n,
		      "[{\"Device\":\"eth1\",\"Name\":\"eth1\",\"IPAddresses\":[{\"Family\":2,"
		      "\"Address\":\"10.1.0.2\",\"Mask\":\"24\"},{\"Family\":10,\"Address\":"
		      "\"2001:db8::2\",\"Mask\":\"64\"},{\"Family\":10,\"Address\":"
		      "\"fe80::42:acff:fe11:3\",\"Mask\":\"64\"}],\"Mtu\":1500,\"RawFlags\":0,"
		      "\"HwAddr\":\"02:42:ac:11:00:03\",\"PciPath\":{},\"LinkType\":\"\"}]");
	read_routes(SAMPLE_ROUTES, &routes);
	assert_writes(kata_json_write_routes, &routes, SAMPLE_ROUTES);
}

static void test_hostile_names_are_written_as_go_does(void **state)
{
	CLEANUP(agent_network_done) struct agent_network n = { 0 };

	(void)state;
	read_interface("{\"Name\":\"e<&>\\\"1\\u001b\"}", &n);
	assert_writes(kata_json_write_interfaces, &n,
		      "[{\"Device\":\"e\\u003c\\u0026\\u003e\\\"1\\u001b\",\"Name\":"
		      "\"e\\u003c\\u0026\\u003e\\\"1\\u001b\",\"IPAddresses\":null,\"Mtu\":0,"
		      "\"RawFlags\":0,\"HwAddr\":\"\",\"PciPath\":{},\"LinkType\":\"\"}]");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_interface_of_1_13),
		cmocka_unit_test(test_an_interface_of_1_12),
		cmocka_unit_test(test_what_the_reader_is_lenient_about),
		cmocka_unit_test(test_an_interface_without_mac),
		cmocka_unit_test(test_forms_of_a_mac),
		cmocka_unit_test(test_names_of_every_script),
		cmocka_unit_test(test_refused_interfaces),
		cmocka_unit_test(test_an_interface_over_its_limit),
		cmocka_unit_test(test_the_routes_of_the_original),
		cmocka_unit_test(test_null_is_nothing_and_an_empty_list_is_a_list),
		cmocka_unit_test(test_forms_of_a_destination),
		cmocka_unit_test(test_refused_routes),
		cmocka_unit_test(test_a_long_list),
		cmocka_unit_test(test_lists_as_the_runtime_prints_them),
		cmocka_unit_test(test_hostile_names_are_written_as_go_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
