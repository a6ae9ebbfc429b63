/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hello of a virtio-serial port: found at any cut, behind any rest, and never in a frame.
 */
#include "agent-proto/pipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define ROUNDS	     2000
#define STREAM_BYTES 512U

static uint64_t random_state;

/* xorshift64*: the same everywhere for a seed. */
static uint64_t next_random(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * UINT64_C(2685821657736338717);
}

static void seed(void)
{
	const char *wanted = getenv("NETMON_SEED");
	uint64_t value = wanted ? strtoull(wanted, NULL, 10) : (uint64_t)time(NULL);

	print_message("NETMON_SEED=%llu\n", (unsigned long long)value);
	random_state = value * 2 + 1;
}

/* Feeds it in pieces of @piece. Return: how many bytes were used up to the end of a hello, or 0. */
static size_t feed(struct pipe_scan *s, const uint8_t *data, size_t size, size_t piece,
		   struct pipe_hello *ret)
{
	size_t used = 0;

	for (size_t at = 0; at < size; at += piece) {
		size_t now = size - at < piece ? size - at : piece;

		if (pipe_scan_feed(s, data + at, now, &used, ret))
			return at + used;
	}
	return 0;
}

static void assert_hello(const struct pipe_hello *is, const struct pipe_hello *want)
{
	assert_memory_equal(is->bytes, want->bytes, PIPE_HELLO_BYTES);
}

static void test_answer_is_the_fixed_part_reversed(void **state)
{
	struct pipe_hello hello, answer;

	(void)state;
	pipe_hello_make(&hello, UINT64_C(0x0102030405060708));
	pipe_hello_answer(&hello, &answer);
	for (size_t i = 0; i < 16; i++)
		assert_int_equal(answer.bytes[i], hello.bytes[15 - i]);
	assert_memory_equal(answer.bytes + 16, hello.bytes + 16, 8);
	/* and in place */
	pipe_hello_answer(&hello, &hello);
	assert_hello(&hello, &answer);
}

/* The first byte of a ttrpc frame is 0. */
static void test_no_frame_begins_so(void **state)
{
	struct pipe_hello hello, answer;

	(void)state;
	pipe_hello_make(&hello, 0);
	pipe_hello_answer(&hello, &answer);
	for (size_t i = 0; i < 16; i++)
		assert_int_not_equal(hello.bytes[i], 0);
	assert_int_not_equal(answer.bytes[0], 0);
	assert_memory_not_equal(hello.bytes, answer.bytes, 16);
}

static void test_random_part_differs(void **state)
{
	struct pipe_hello one, other;

	(void)state;
	pipe_hello_make(&one, 1);
	pipe_hello_make(&other, UINT64_C(1) << 63);
	assert_memory_equal(one.bytes, other.bytes, 16);
	assert_memory_not_equal(one.bytes + 16, other.bytes + 16, 8);
}

static void test_random_part_begins_no_hello(void **state)
{
	struct pipe_hello hello;

	(void)state;
	pipe_hello_make(&hello, UINT64_MAX);
	assert_null(memchr(hello.bytes + 1, hello.bytes[0], PIPE_HELLO_BYTES - 1));
}

static void test_found_at_each_cut(void **state)
{
	struct pipe_hello hello, found;
	uint8_t data[PIPE_HELLO_BYTES + 10];

	(void)state;
	pipe_hello_make(&hello, 42);
	memset(data, 'x', sizeof(data));
	memcpy(data + 5, hello.bytes, PIPE_HELLO_BYTES);
	for (size_t cut = 0; cut <= sizeof(data); cut++) {
		struct pipe_scan s;
		size_t used = 0, at = 0;

		pipe_scan_init_guest(&s);
		if (!pipe_scan_feed(&s, data, cut, &used, &found)) {
			at = cut;
			assert_true(
				pipe_scan_feed(&s, data + at, sizeof(data) - at, &used, &found));
		}
		assert_int_equal(at + used, 5 + PIPE_HELLO_BYTES);
		assert_hello(&found, &hello);
	}
}

static void test_host_wants_its_own_answer(void **state)
{
	struct pipe_hello mine, old, answer, found;
	uint8_t data[2 * PIPE_HELLO_BYTES];
	struct pipe_scan s;

	(void)state;
	pipe_hello_make(&mine, 7);
	pipe_hello_make(&old, 8);
	pipe_hello_answer(&old, &answer);
	memcpy(data, answer.bytes, PIPE_HELLO_BYTES);
	pipe_hello_answer(&mine, &answer);
	memcpy(data + PIPE_HELLO_BYTES, answer.bytes, PIPE_HELLO_BYTES);
	pipe_scan_init_host(&s, &mine);
	assert_int_equal(feed(&s, data, sizeof(data), 1, &found), sizeof(data));
	assert_hello(&found, &answer);
}

/* A port that sends back what was written to it is no agent. */
static void test_echo_is_no_answer(void **state)
{
	struct pipe_hello mine, found;
	struct pipe_scan s;

	(void)state;
	pipe_hello_make(&mine, 7);
	pipe_scan_init_host(&s, &mine);
	assert_int_equal(feed(&s, mine.bytes, PIPE_HELLO_BYTES, 24, &found), 0);
}

/* The host dies within its hello, at any byte, and comes again. */
static void test_cut_off_hello_does_not_swallow_the_next(void **state)
{
	struct pipe_hello old, hello, found;
	uint8_t data[2 * PIPE_HELLO_BYTES];

	(void)state;
	pipe_hello_make(&old, UINT64_MAX);
	pipe_hello_make(&hello, 99);
	for (size_t cut = 0; cut < PIPE_HELLO_BYTES; cut++) {
		struct pipe_scan s;

		memcpy(data, old.bytes, cut);
		memcpy(data + cut, hello.bytes, PIPE_HELLO_BYTES);
		for (size_t piece = 1; piece <= PIPE_HELLO_BYTES; piece++) {
			pipe_scan_init_guest(&s);
			assert_int_equal(feed(&s, data, cut + PIPE_HELLO_BYTES, piece, &found),
					 cut + PIPE_HELLO_BYTES);
			assert_hello(&found, &hello);
		}
	}
}

/* Two in one read: the rest belongs to the new stream, and begins with the next hello. */
static void test_one_after_the_other(void **state)
{
	struct pipe_hello first, second, found;
	uint8_t data[2 * PIPE_HELLO_BYTES];
	struct pipe_scan s;
	size_t used = 0;

	(void)state;
	pipe_hello_make(&first, 1);
	pipe_hello_make(&second, 2);
	memcpy(data, first.bytes, PIPE_HELLO_BYTES);
	memcpy(data + PIPE_HELLO_BYTES, second.bytes, PIPE_HELLO_BYTES);
	pipe_scan_init_guest(&s);
	assert_true(pipe_scan_feed(&s, data, sizeof(data), &used, &found));
	assert_int_equal(used, PIPE_HELLO_BYTES);
	assert_hello(&found, &first);
	assert_true(pipe_scan_feed(&s, data + used, sizeof(data) - used, &used, &found));
	assert_hello(&found, &second);
}

/* Its only bytes are those of the fixed part: many near misses. */
static void fill_with_near_misses(uint8_t *data, const struct pipe_hello *hello)
{
	size_t at = 0;

	while (at < STREAM_BYTES) {
		size_t n = 1 + next_random() % 15;

		for (size_t i = 0; i < n && at < STREAM_BYTES; i++)
			data[at++] = hello->bytes[i];
	}
}

/* The dull way to the same: look at each place of the whole. */
static size_t find_dully(const uint8_t *data, size_t size, const struct pipe_hello *hello)
{
	for (size_t i = 0; i + PIPE_HELLO_BYTES <= size; i++)
		if (memcmp(data + i, hello->bytes, PIPE_HELLO_BYTES) == 0)
			return i + PIPE_HELLO_BYTES;
	return 0;
}

static void test_random_streams(void **state)
{
	uint8_t data[STREAM_BYTES];

	(void)state;
	seed();
	for (unsigned int round = 0; round < ROUNDS; round++) {
		struct pipe_hello hello, found;
		struct pipe_scan s;
		size_t at = next_random() % (STREAM_BYTES - PIPE_HELLO_BYTES);

		pipe_hello_make(&hello, next_random());
		fill_with_near_misses(data, &hello);
		if (round % 4 > 0)
			memcpy(data + at, hello.bytes, PIPE_HELLO_BYTES);
		pipe_scan_init_guest(&s);
		assert_int_equal(feed(&s, data, sizeof(data), 1 + next_random() % 40, &found),
				 find_dully(data, sizeof(data), &hello));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer_is_the_fixed_part_reversed),
		cmocka_unit_test(test_no_frame_begins_so),
		cmocka_unit_test(test_random_part_differs),
		cmocka_unit_test(test_random_part_begins_no_hello),
		cmocka_unit_test(test_found_at_each_cut),
		cmocka_unit_test(test_host_wants_its_own_answer),
		cmocka_unit_test(test_echo_is_no_answer),
		cmocka_unit_test(test_cut_off_hello_does_not_swallow_the_next),
		cmocka_unit_test(test_one_after_the_other),
		cmocka_unit_test(test_random_streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
