/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of a message, as cursor.h promises them, and its numbers both ways.
 */
#include "agent-proto/cursor.h"

#include "base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BYTES(s) ((struct ttrpc_bytes){ .data = (s), .size = sizeof(s) - 1 })

static void test_every_wire_type(void **state)
{
	/* 1: 300; 2: 8 bytes; 3: "ab"; 4: ""; 17: 4 bytes */
	struct cursor c = cursor_on(BYTES("\x08\xac\x02"
					  "\x11"
					  "12345678"
					  "\x1a\x02"
					  "ab"
					  "\x22\x00"
					  "\x8d\x01"
					  "wxyz"));
	static const struct cursor_field want[] = {
		{ .number = 1, .wire = CURSOR_VARINT, .value = 300 },
		{ .number = 2, .wire = CURSOR_64, .bytes = { "12345678", 8 } },
		{ .number = 3, .wire = CURSOR_BYTES, .bytes = { "ab", 2 } },
		{ .number = 4, .wire = CURSOR_BYTES, .bytes = { "", 0 } },
		{ .number = 17, .wire = CURSOR_32, .bytes = { "wxyz", 4 } },
	};
	struct cursor_field f;

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_int_equal(cursor_next(&c, &f), 1);
		assert_int_equal(f.number, want[i].number);
		assert_int_equal(f.wire, want[i].wire);
		assert_int_equal(f.value, want[i].value);
		assert_int_equal(f.bytes.size, want[i].bytes.size);
		if (f.bytes.size > 0)
			assert_memory_equal(f.bytes.data, want[i].bytes.data, f.bytes.size);
	}
	assert_int_equal(cursor_next(&c, &f), 0);
	c = cursor_on((struct ttrpc_bytes){ 0 });
	assert_int_equal(cursor_next(&c, &f), 0);
}

static void test_what_is_no_field(void **state)
{
	static const struct ttrpc_bytes bad[] = {
		{ "\x80", 1 },	   /* half a tag */
		{ "\x08", 1 },	   /* no number behind it */
		{ "\x08\xff", 2 }, /* half a number */
		{ "\x0a\x03"
		  "ab",
		  4 }, /* longer than the message */
		{ "\x09"
		  "1234567",
		  8 }, /* 7 of 8 bytes */
		{ "\x0d"
		  "123",
		  4 },							    /* 3 of 4 */
		{ "\x0b", 1 },						    /* a group */
		{ "\x0e", 1 },						    /* wire type 6 */
		{ "\x02\x00", 2 },					    /* number 0 */
		{ "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12 }, /* 11 bytes of one */
		{ "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11 },	    /* 2^64 - 1 bytes */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct cursor c = cursor_on(bad[i]);
		struct cursor_field f = { .number = 99 };

		assert_int_equal(cursor_next(&c, &f), -EBADMSG);
		assert_int_equal(f.number, 99);
		err_clear();
	}
}

static void test_numbers_come_back(void **state)
{
	static const struct {
		uint64_t value;
		size_t size;
	} cases[] = {
		{ 0, 1 },
		{ 127, 1 },
		{ 128, 2 },
		{ 16383, 2 },
		{ 16384, 3 },
		{ UINT32_MAX, 5 },
		{ UINT64_MAX, CURSOR_VARINT_MAX },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t bytes[1 + CURSOR_VARINT_MAX] = { CURSOR_TAG(1, CURSOR_VARINT) };
		struct cursor_field f = { 0 };
		struct cursor c;

		assert_int_equal(cursor_varint_size(cases[i].value), cases[i].size);
		assert_int_equal(cursor_put_varint(bytes + 1, cases[i].value), cases[i].size);
		c = cursor_on((struct ttrpc_bytes){ bytes, 1 + cases[i].size });
		assert_int_equal(cursor_next(&c, &f), 1);
		assert_true(f.value == cases[i].value);
		assert_int_equal(cursor_next(&c, &f), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_wire_type),
		cmocka_unit_test(test_what_is_no_field),
		cmocka_unit_test(test_numbers_come_back),
	};

	return cmocka_run_group_tests_name("cursor", tests, NULL, NULL);
}
