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

static void test_the_oldest_is_forgotten_when_full(void **state)
{
	CLEANUP(refused_done) struct refused r = { 0 };

	(void)state;
	for (uint64_t i = 1; i <= REFUSED_MAX + 10; i++) {
		refused_add(&r, i);
		refused_add(&r, i);
	}
	assert_int_equal(r.n, REFUSED_MAX);
	assert_int_equal(refused_count(&r), REFUSED_MAX);
	assert_false(refused_is_final(&r, 10));
	assert_true(refused_is_final(&r, 11));
	assert_true(refused_is_final(&r, REFUSED_MAX + 10));
}

static void test_a_forgotten_value_costs_one_more_question(void **state)
{
	CLEANUP(refused_done) struct refused r = { 0 };

	(void)state;
	for (uint64_t i = 1; i <= REFUSED_MAX + 1; i++)
		refused_add(&r, i);
	assert_int_equal(refused_add(&r, 1), 1);
	assert_int_equal(refused_add(&r, 1), 2);
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
		cmocka_unit_test(test_the_oldest_is_forgotten_when_full),
		cmocka_unit_test(test_a_forgotten_value_costs_one_more_question),
		cmocka_unit_test(test_done_twice_is_harmless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
