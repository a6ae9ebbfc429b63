/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map, by hand and against a plain list.
 */
#include "base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"

#define UNIVERSE 200U
#define STEPS	 60000

static void test_an_empty_map_answers(void **state)
{
	CLEANUP(map_done) struct map m = MAP_OF(int);
	size_t at = 0;
	uint64_t key;
	void *value;

	(void)state;
	assert_null(map_find(&m, 0));
	map_remove(&m, 7);
	assert_false(map_next(&m, &at, &key, &value));
}

static void test_a_value_is_made_zero_and_kept(void **state)
{
	CLEANUP(map_done) struct map m = MAP_OF(int);
	int *value = map_put(&m, 0);

	(void)state;
	assert_int_equal(*value, 0);
	*value = 42;
	for (uint64_t key = 1; key < 1000; key++)
		*(int *)map_put(&m, key) = (int)key;
	assert_int_equal(*(int *)map_find(&m, 0), 42);
	assert_int_equal(*(int *)map_put(&m, 999), 999);
	assert_int_equal(m.n, 1000);
	map_remove(&m, 0);
	assert_null(map_find(&m, 0));
	assert_int_equal(*(int *)map_put(&m, 0), 0);
}

static bool is_even(const void *value, const void *arg)
{
	(void)arg;
	return *(const unsigned *)value % 2 == 0;
}

/* A number that follows from @n: the same walk each time. */
static uint64_t step(uint64_t *random)
{
	*random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *random >> 33;
}

static void assert_same(const struct map *m, const unsigned list[UNIVERSE])
{
	size_t n = 0, at = 0, walked = 0;
	uint64_t key;
	void *value;

	for (unsigned k = 0; k < UNIVERSE; k++) {
		const unsigned *found = map_find(m, k);

		assert_int_equal(found ? *found : 0, list[k]);
		n += list[k] != 0;
	}
	assert_int_equal(m->n, n);
	for (; map_next(m, &at, &key, &value); walked++)
		assert_int_equal(*(unsigned *)value, list[key]);
	assert_int_equal(walked, n);
}

static void test_it_is_what_a_list_is(void **state)
{
	CLEANUP(map_done) struct map m = MAP_OF(unsigned);
	unsigned list[UNIVERSE] = { 0 };
	uint64_t random = 1;

	(void)state;
	for (unsigned i = 1; i < STEPS; i++) {
		uint64_t key = step(&random) % UNIVERSE;

		if (step(&random) % 2) {
			*(unsigned *)map_put(&m, key) = list[key] = i;
		} else {
			map_remove(&m, key);
			list[key] = 0;
		}
		if (i % 500 == 0) {
			map_filter(&m, is_even, NULL);
			for (unsigned k = 0; k < UNIVERSE; k++)
				list[k] = list[k] % 2 ? 0 : list[k];
		}
		if (i % 97 == 0)
			assert_same(&m, list);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_empty_map_answers),
		cmocka_unit_test(test_a_value_is_made_zero_and_kept),
		cmocka_unit_test(test_it_is_what_a_list_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
