/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables for people: aligned, and no byte of a stranger ends a column, a line, or drives a terminal.
 */
#include "runtime-bridge/ctl/table.h"

#include "base/cleanup.h"
#include "base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const headers[] = { "NAME", "MTU", "ADDRESSES" };

static void assert_prints(const struct table *t, const char *wanted)
{
	CLEANUP(text_done) struct text out = TEXT_NULL;

	assert_int_equal(table_print(t, &out), 0);
	assert_string_equal(out.data, wanted);
}

static void test_columns_are_as_wide_as_their_widest_cell(void **state)
{
	CLEANUP(table_done) struct table t;

	(void)state;
	table_init(&t, headers, 3);
	table_cell(&t, "eth0");
	table_cellf(&t, "%d", 1500);
	table_cell(&t, "172.17.0.2/16,2001:db8::2/64");
	table_cell(&t, "a-longer-name");
	table_cellf(&t, "%d", 65536);
	table_cell(&t, "");
	assert_prints(&t, "NAME           MTU    ADDRESSES\n"
			  "eth0           1500   172.17.0.2/16,2001:db8::2/64\n"
			  "a-longer-name  65536  -\n");
}

static void test_no_rows(void **state)
{
	CLEANUP(table_done) struct table t;

	(void)state;
	table_init(&t, headers, 3);
	assert_prints(&t, "NAME  MTU  ADDRESSES\n");
}

static void test_a_cell_is_one_harmless_word(void **state)
{
	static const struct {
		const char *value, *shown;
	} cases[] = {
		{ "", "-" },
		{ "a b", "a\\x20b" },
		{ "a\nb\tc", "a\\x0ab\\x09c" },
		{ "\x1b]0;x\x07", "\\x1b]0;x\\x07" },
		{ "\\x41", "\\x5cx41" },
		{ "\x7f\xff", "\\x7f\\xff" },
		{ "e<&>\"'%s", "e<&>\"'%s" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CLEANUP(text_done) struct text out = TEXT_NULL;

		assert_int_equal(table_escape(&out, cases[i].value), 0);
		assert_string_equal(out.data, cases[i].shown);
	}
}

static void test_a_line_stays_one(void **state)
{
	CLEANUP(text_done) struct text out = TEXT_NULL;

	(void)state;
	assert_int_equal(table_escape_line(&out, "rpc error: \\ \n\t\x1b[2J"), 0);
	assert_string_equal(out.data, "rpc error: \\ \\x0a\\x09\\x1b[2J");
}

static void test_many_lines_stay_lines(void **state)
{
	static const char hostile[] = "*nat\n-A X\t\\ y\x1b[2J\r\0z\n";
	CLEANUP(text_done) struct text out = TEXT_NULL;

	(void)state;
	assert_int_equal(table_escape_lines(&out, hostile, sizeof(hostile) - 1), 0);
	assert_string_equal(out.data, "*nat\n-A X\t\\ y\\x1b[2J\\x0d\\x00z\n");
}

static void test_a_wide_cell_pushes_only_its_own_row(void **state)
{
	static const char *const two[] = { "A", "B" };
	CLEANUP(table_done) struct table t;
	char wide[TABLE_WIDTH_MAX + 2];
	char wanted[256];

	(void)state;
	memset(wide, 'w', sizeof(wide) - 1);
	wide[sizeof(wide) - 1] = '\0';
	table_init(&t, two, 2);
	table_cell(&t, "x");
	table_cell(&t, "y");
	table_cell(&t, wide);
	table_cell(&t, "z");
	(void)snprintf(wanted, sizeof(wanted), "A  B\nx  y\n%s  z\n", wide);
	assert_prints(&t, wanted);
}

static void test_a_table_that_is_not_whole_says_so(void **state)
{
	CLEANUP(text_done) struct text out = TEXT_NULL;
	CLEANUP(table_done) struct table t;

	(void)state;
	table_init(&t, headers, 3);
	t.cells.limit_bytes = 8;
	table_cell(&t, "123");
	table_cell(&t, "1234567890");
	assert_int_equal(table_print(&t, &out), -EFBIG);
	err_clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_columns_are_as_wide_as_their_widest_cell),
		cmocka_unit_test(test_no_rows),
		cmocka_unit_test(test_a_cell_is_one_harmless_word),
		cmocka_unit_test(test_a_line_stays_one),
		cmocka_unit_test(test_many_lines_stay_lines),
		cmocka_unit_test(test_a_wide_cell_pushes_only_its_own_row),
		cmocka_unit_test(test_a_table_that_is_not_whole_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
