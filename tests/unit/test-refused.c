/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quarantine of values that the other side turned down.
 */
#include "netmon/refused.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/cleanup.h"

static void test_nothing_is_final_at_first(void **state)
{
	CLEANUP(refused_done) struct refused r = { 0 };

	(void)state;
	assert_false(refused_is_final(&r, 42));
	assert_int_equal(refused_count(&r), 0);
}

static void test_a_value_is_believed_when_refused_twice(void **state)
{
	CLEANUP(refused_done) struct refused r = { 0 };

	(void)state;
	assert_int_equal(refused_add(&r, 42), 1);
	assert_false(refused_is_final(&r, 42));
	assert_int_equal(refused_count(&r), 0);
	assert_int_equal(refused_add(&r, 42), 2);
	assert_true(refused_is_final(&r, 42));
	assert_int_equal(refused_count(&r), 1);
}

static void test_another_value_is_another_question(void **state)
{
	CLEANUP(refused_done) struct refused r = { 0 };

	(void)state;
	refused_add(&r, 42);
	refused_add(&r, 43);
	assert_false(refused_is_final(&r, 42));
	assert_false(refused_is_final(&r, 43));
	refused_add(&r, 42);
	assert_true(refused_is_final(&r, 42));
	assert_false(refused_is_final(&r, 43));
}

static void test_as_many_as_are_wanted_are_remembered(void **state)
{
	CLEANUP(refused_done) struct refused r = { 0 };

	(void)state;
	for (uint64_t i = 1; i <= 100000; i++) {
		refused_add(&r, i);
		refused_add(&r, i);
	}
	assert_int_equal(refused_count(&r), 100000);
	assert_true(refused_is_final(&r, 1));
}

static void test_what_nobody_asks_about_any_more_is_forgotten(void **state)
{
	CLEANUP(refused_done) struct refused r = { 0 };

	(void)state;
	for (uint64_t i = 1; i <= 3; i++) {
		refused_add(&r, i);
		refused_add(&r, i);
	}
	refused_begin_use(&r);
	assert_true(refused_is_final(&r, 2));
	refused_end_use(&r);
	assert_int_equal(refused_count(&r), 1);
	assert_true(refused_is_final(&r, 2));
	assert_int_equal(refused_add(&r, 1), 1);
}

static void test_done_twice_is_harmless(void **state)
{
	struct refused r = { 0 };

	(void)state;
	refused_add(&r, 1);
	refused_done(&r);
	refused_done(&r);
	assert_false(refused_is_final(&r, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_final_at_first),
		cmocka_unit_test(test_a_value_is_believed_when_refused_twice),
		cmocka_unit_test(test_another_value_is_another_question),
		cmocka_unit_test(test_as_many_as_are_wanted_are_remembered),
		cmocka_unit_test(test_what_nobody_asks_about_any_more_is_forgotten),
		cmocka_unit_test(test_done_twice_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
