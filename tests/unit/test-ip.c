/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of addresses, prefixes and MACs, and back.
 */
#include "base/ip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What a parser that refuses must leave as it was. */
#define UNTOUCHED 0xaa

static void test_good_text_comes_back_in_one_form(void **state)
{
	static const struct {
		const char *text, *form;
		uint8_t family, prefixlen;
	} good[] = {
		{ "10.0.0.1", "10.0.0.1/32", AF_INET, 32 },
		{ "10.0.0.1/8", "10.0.0.1/8", AF_INET, 8 },
		{ "0.0.0.0/0", "0.0.0.0/0", AF_INET, 0 },
		{ "::1", "::1/128", AF_INET6, 128 },
		{ "::/0", "::/0", AF_INET6, 0 },
		{ "2001:DB8:0::2/64", "2001:db8::2/64", AF_INET6, 64 },
		{ "::ffff:1.2.3.4", "::ffff:1.2.3.4/128", AF_INET6, 128 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		uint8_t family = 0, prefixlen = 0, bytes[IP_BYTES];
		char text[IP_PREFIX_TEXT_BYTES];

		memset(bytes, UNTOUCHED, sizeof(bytes));
		assert_true(ip_parse_prefix(good[i].text, &family, bytes, &prefixlen));
		assert_int_equal(family, good[i].family);
		assert_int_equal(prefixlen, good[i].prefixlen);
		/* all 16 are filled, so that equal addresses are equal bytes */
		assert_true(family == AF_INET6 || bytes[15] == 0);
		ip_format_prefix(family, bytes, prefixlen, text);
		assert_string_equal(text, good[i].form);
	}
}

static void test_bad_prefixes_are_refused_and_leave_the_result(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"1",
		"1.2.3",
		"1.2.3.4.5",
		"01.2.3.4",
		"1.2.3.256",
		"1.2.3.4 ",
		" 1.2.3.4",
		"1.2.3.4/",
		"1.2.3.4/33",
		"1.2.3.4/08",
		"1.2.3.4/+8",
		"1.2.3.4/-1",
		"1.2.3.4/8/8",
		"1.2.3.4/8 ",
		"/8",
		"::/129",
		"::/0128",
		"::/1000",
		":",
		":::",
		"fe80::1%lo",
		"default",
		"1.2.3.4\n",
		"1:2:3:4:5:6:7:8:9",
		"0x1.2.3.4",
		"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		uint8_t family = 1, prefixlen = 1, bytes[IP_BYTES] = { UNTOUCHED };

		assert_false(ip_parse_prefix(bad[i], &family, bytes, &prefixlen));
		assert_true(family == 1 && prefixlen == 1 && bytes[0] == UNTOUCHED);
	}
}

static void test_an_address_has_no_prefix(void **state)
{
	uint8_t family = 1, bytes[IP_BYTES] = { UNTOUCHED };

	(void)state;
	assert_false(ip_parse("10.0.0.1/32", &family, bytes));
	assert_true(family == 1 && bytes[0] == UNTOUCHED);
	assert_true(ip_parse("10.0.0.1", &family, bytes));
	assert_int_equal(family, AF_INET);
}

static void test_no_family_is_no_text(void **state)
{
	const uint8_t bytes[IP_BYTES] = { 1 };
	char text[IP_PREFIX_TEXT_BYTES] = "x";

	(void)state;
	ip_format(0, bytes, text);
	assert_string_equal(text, "");
	ip_format_prefix(AF_UNIX, bytes, 8, text);
	assert_string_equal(text, "");
	assert_int_equal(ip_bits(AF_UNIX), 0);
}

/* Bit by bit against the plainest definition. */
static void test_mask_of_every_length(void **state)
{
	(void)state;
	for (unsigned length = 0; length <= 128; length++) {
		uint8_t bytes[IP_BYTES];

		memset(bytes, 0xff, sizeof(bytes));
		assert_int_equal(ip_is_network(bytes, (uint8_t)length), length == 128);
		ip_mask(bytes, (uint8_t)length);
		assert_true(ip_is_network(bytes, (uint8_t)length));
		for (unsigned bit = 0; bit < 128; bit++)
			assert_int_equal(bytes[bit / 8] >> (7 - bit % 8) & 1, bit < length);
		if (length > 0)
			assert_false(ip_is_network(bytes, (uint8_t)(length - 1)));
	}
}

static void test_macs_of_either_case(void **state)
{
	static const char *const bad[] = {
		"",
		"02:42:ac:11:00",
		"02:42:ac:11:00:0",
		"02:42:ac:11:00:02:",
		"02:42:ac:11:00:02:03",
		"02-42-ac-11-00-02",
		"02:42:ac:11:00:0g",
		"02:42:ac:11:00: 2",
		" 2:42:ac:11:00:02",
		"0242ac110002",
		"2:42:ac:11:0:002",
		"02:42:ac:11:00:02\n",
	};
	uint8_t mac[IP_MAC_BYTES] = { UNTOUCHED };
	char text[IP_MAC_TEXT_BYTES];

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(ip_parse_mac(bad[i], mac));
	assert_int_equal(mac[0], UNTOUCHED);
	assert_true(ip_parse_mac("02:42:aC:11:00:FF", mac));
	ip_format_mac(mac, text);
	assert_string_equal(text, "02:42:ac:11:00:ff");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_text_comes_back_in_one_form),
		cmocka_unit_test(test_bad_prefixes_are_refused_and_leave_the_result),
		cmocka_unit_test(test_an_address_has_no_prefix),
		cmocka_unit_test(test_no_family_is_no_text),
		cmocka_unit_test(test_mask_of_every_length),
		cmocka_unit_test(test_macs_of_either_case),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
