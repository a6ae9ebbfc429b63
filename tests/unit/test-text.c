/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict numbers, the bounded buffer, harmless values, sandbox ids.
 */
#include "base/text.h"

#include "base/cleanup.h"
#include "base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void test_u64_good(void **state)
{
	static const struct {
		const char *s;
		uint64_t value;
	} good[] = {
		{ "0", 0 },
		{ "00", 0 },
		{ "007", 7 },
		{ "4294967296", UINT64_C(4294967296) },
		{ "18446744073709551615", UINT64_MAX },
		{ "000000000000000000000000018446744073709551615", UINT64_MAX },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		uint64_t value = 42;

		assert_int_equal(text_parse_u64(good[i].s, UINT64_MAX, &value), 0);
		assert_true(value == good[i].value);
	}
}

static void test_u64_bad_leaves_the_result(void **state)
{
	static const struct {
		const char *s;
		int r;
	} bad[] = {
		{ NULL, -EINVAL },
		{ "", -EINVAL },
		{ " 1", -EINVAL },
		{ "1 ", -EINVAL },
		{ "+1", -EINVAL },
		{ "-1", -EINVAL },
		{ "-0", -EINVAL },
		{ "0x10", -EINVAL },
		{ "1e3", -EINVAL },
		{ "1.0", -EINVAL },
		{ "1\n", -EINVAL },
		{ "\xd9\xa1", -EINVAL }, /* an Arabic digit */
		{ "18446744073709551616", -ERANGE },
		{ "18446744073709551620", -ERANGE },
		{ "99999999999999999999999", -ERANGE },
		{ "99999999999999999999999x", -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		uint64_t value = 42;

		assert_int_equal(text_parse_u64(bad[i].s, UINT64_MAX, &value), bad[i].r);
		assert_true(value == 42);
	}
	err_clear();
}

static void test_numbers_have_a_maximum(void **state)
{
	uint64_t u64 = 42;
	uint32_t u32 = 42;

	(void)state;
	assert_int_equal(text_parse_u64("100", 100, &u64), 0);
	assert_int_equal(text_parse_u64("101", 100, &u64), -ERANGE);
	assert_true(u64 == 100);
	assert_int_equal(text_parse_u32("4294967296", UINT32_MAX, &u32), -ERANGE);
	assert_int_equal(text_parse_u32("x", UINT32_MAX, &u32), -EINVAL);
	assert_int_equal(u32, 42);
	assert_int_equal(text_parse_u32("4294967295", UINT32_MAX, &u32), 0);
	assert_true(u32 == UINT32_MAX);
	err_clear();
}

static void test_append(void **state)
{
	CLEANUP(text_done)
	struct text t = TEXT_NULL;

	(void)state;
	assert_int_equal(text_append_str(&t, ""), 0);
	assert_string_equal(t.data, "");
	assert_int_equal(text_append(&t, NULL, 0), 0);
	assert_int_equal(text_append(&t, "a\0b", 3), 0);
	assert_int_equal(t.size, 3);
	assert_memory_equal(t.data, "a\0b", 4);
	text_reset(&t);
	assert_int_equal(t.size, 0);
	assert_string_equal(t.data, "");
	assert_int_equal(text_appendf(&t, "%s-%d", "x", 7), 0);
	assert_int_equal(text_appendf(&t, "%s", ""), 0);
	assert_string_equal(t.data, "x-7");
}

/* Every size around the growth steps, so that a wrong +1 shows under the sanitizer. */
static void test_appendf_of_every_size(void **state)
{
	(void)state;
	for (int n = 0; n < 300; n++) {
		CLEANUP(text_done)
		struct text t = TEXT_NULL;

		assert_int_equal(text_append_str(&t, "0123456789"), 0);
		assert_int_equal(text_appendf(&t, "%*s", n, ""), 0);
		assert_int_equal(t.size, 10 + n);
		assert_int_equal(strlen(t.data), 10 + n);
	}
}

static void test_limit_is_exact_and_sticks(void **state)
{
	CLEANUP(text_done)
	struct text t = { .limit_bytes = 10 };

	(void)state;
	assert_int_equal(text_append_str(&t, "0123456"), 0);
	assert_int_equal(text_appendf(&t, "%s", "7890"), -EFBIG);
	assert_string_equal(t.data, "0123456");
	assert_int_equal(t.error, -EFBIG);
	/* no holes: what came after the one that failed is not there either */
	assert_int_equal(text_append_str(&t, "7"), -EFBIG);
	assert_int_equal(text_append_value(&t, "7", 1), -EFBIG);
	assert_string_equal(t.data, "0123456");
	text_reset(&t);
	assert_int_equal(text_append_str(&t, "0123456789"), 0);
	assert_int_equal(text_append_str(&t, ""), 0);
	assert_int_equal(text_append_str(&t, "x"), -EFBIG);
	assert_string_equal(t.data, "0123456789");
	err_clear();
}

static void test_default_limit(void **state)
{
	CLEANUP(text_done)
	struct text t = TEXT_NULL;

	(void)state;
	assert_int_equal(text_append(&t, "", TEXT_MAX_BYTES + 1), -EFBIG);
	assert_null(t.data);
	text_reset(&t);
	assert_int_equal(text_append_str(&t, "x"), 0);
	err_clear();
}

static void assert_value(const char *value, size_t size, const char *expected)
{
	CLEANUP(text_done)
	struct text t = TEXT_NULL;

	assert_int_equal(text_append_value(&t, value, size), 0);
	assert_string_equal(t.data, expected);
}

static void test_value_plain(void **state)
{
	static const char plain[] = "ABCXYZabcxyz0189_.:/@%+,-";

	(void)state;
	assert_value(plain, sizeof(plain) - 1, plain);
	assert_value("-", 1, "-");
}

static void test_value_quoted(void **state)
{
	(void)state;
	assert_value("", 0, "\"\"");
	assert_value("a b", 3, "\"a b\"");
	assert_value("a=b", 3, "\"a=b\"");
	assert_value("say \"x\\\"", 8, "\"say \\\"x\\\\\\\"\"");
	assert_value("a\nb\r\t", 5, "\"a\\x0ab\\x0d\\x09\"");
	assert_value("\x1b[31m\x7f", 6, "\"\\x1b[31m\\x7f\"");
	assert_value("\xc3\xa4\xff", 3, "\"\\xc3\\xa4\\xff\"");
	assert_value("a\0b", 3, "\"a\\x00b\"");
}

/* Whatever goes in: printable ASCII comes out, and inside quotes no quote stands alone. */
static void test_value_of_every_byte_is_harmless(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		CLEANUP(text_done)
		struct text t = TEXT_NULL;
		char bytes[3] = { 'x', (char)c, 'x' };

		assert_int_equal(text_append_value(&t, bytes, sizeof(bytes)), 0);
		for (size_t i = 0; i < t.size; i++)
			assert_in_range(t.data[i], ' ', '~');
		if (t.data[0] != '"')
			assert_true(t.size == 3 && !strchr(" \"\\='", c));
		else
			assert_true(t.size >= 5 && t.data[t.size - 1] == '"');
	}
}

static void test_value_is_whole_or_not_at_all(void **state)
{
	CLEANUP(text_done)
	struct text t = { .limit_bytes = 12 };

	(void)state;
	assert_int_equal(text_append_str(&t, "key="), 0);
	assert_int_equal(text_append_value(&t, "\n\n", 2), -EFBIG);
	assert_string_equal(t.data, "key=");
	text_reset(&t);
	assert_int_equal(text_append_str(&t, "key="), 0);
	assert_int_equal(text_append_value(&t, "\n 1", 3), 0);
	assert_string_equal(t.data, "key=\"\\x0a 1\"");
	err_clear();
}

static void test_sandbox_id(void **state)
{
	char longest[TEXT_SANDBOX_ID_MAX + 2];
	static const char *const good[] = { "a", "0", "A.b_c-D", "4f0c1", "a..", "a-" };
	static const char *const bad[] = { "",	  ".",	 "..",	   "-a",    "_a",    ".a",  "a/b",
					   "a b", "a\n", "../../", "a\xc3", "a\x7f", "a=b", "a:b" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(text_is_sandbox_id(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(text_is_sandbox_id(bad[i]));
	assert_false(text_is_sandbox_id(NULL));
	memset(longest, 'a', sizeof(longest));
	longest[TEXT_SANDBOX_ID_MAX] = '\0';
	assert_true(text_is_sandbox_id(longest));
	longest[TEXT_SANDBOX_ID_MAX] = 'a';
	longest[TEXT_SANDBOX_ID_MAX + 1] = '\0';
	assert_false(text_is_sandbox_id(longest));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_u64_good),
		cmocka_unit_test(test_u64_bad_leaves_the_result),
		cmocka_unit_test(test_numbers_have_a_maximum),
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_appendf_of_every_size),
		cmocka_unit_test(test_limit_is_exact_and_sticks),
		cmocka_unit_test(test_default_limit),
		cmocka_unit_test(test_value_plain),
		cmocka_unit_test(test_value_quoted),
		cmocka_unit_test(test_value_of_every_byte_is_harmless),
		cmocka_unit_test(test_value_is_whole_or_not_at_all),
		cmocka_unit_test(test_sandbox_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
