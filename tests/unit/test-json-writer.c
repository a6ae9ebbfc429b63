/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON writer: goldens as Go's encoding/json writes them, and json-c reads every document back.
 */
#include "base/json-writer.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/text.h"

#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static json_object *parse(const char *doc, size_t size)
{
	json_tokener *tokener = json_tokener_new_ex(JSON_WRITER_DEPTH_MAX + 1);
	json_object *o;

	assert_non_null(tokener);
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tokener, doc, (int)size + 1); /* with the NUL: "that was all" */
	assert_int_equal(json_tokener_get_error(tokener), json_tokener_success);
	json_tokener_free(tokener);
	return o;
}

/* @expected is the golden; @back what a reader must see, or NULL not to look. */
static void assert_json_string(const char *value, const char *expected, const char *back)
{
	CLEANUP(text_done)
	struct text t = TEXT_NULL;
	struct json_writer j = json_writer_on_text(&t);
	json_object *o;

	json_writer_string(&j, NULL, value);
	assert_int_equal(t.error, 0);
	assert_string_equal(t.data, expected);
	o = parse(t.data, t.size);
	assert_int_equal(json_object_get_type(o), json_type_string);
	if (back)
		assert_string_equal(json_object_get_string(o), back);
	json_object_put(o);
}

static void test_strings_as_go_writes_them(void **state)
{
	(void)state;
	assert_json_string("", "\"\"", "");
	assert_json_string("e<&>\"1", "\"e\\u003c\\u0026\\u003e\\\"1\"", "e<&>\"1");
	assert_json_string("a\\b/c'", "\"a\\\\b/c'\"", "a\\b/c'");
	assert_json_string("\n\r\t", "\"\\n\\r\\t\"", "\n\r\t");
	assert_json_string("\x01\x08\x0b\x0c\x1b\x1f\x7f",
			   "\"\\u0001\\u0008\\u000b\\u000c\\u001b\\u001f\x7f\"",
			   "\x01\x08\x0b\x0c\x1b\x1f\x7f");
	assert_json_string("a\u2028b\u2029c\u2027\u2030", "\"a\\u2028b\\u2029c\u2027\u2030\"",
			   "a\u2028b\u2029c\u2027\u2030");
}

static void test_valid_utf8_is_kept(void **state)
{
	static const char *const kept[] = {
		"\xc2\x80",	    /* U+0080, the first of two bytes */
		"\xdf\xbf",	    /* U+07FF, the last */
		"\xe0\xa0\x80",	    /* U+0800 */
		"\xed\x9f\xbf",	    /* U+D7FF, just below the surrogates */
		"\xee\x80\x80",	    /* U+E000, just above */
		"\xef\xbf\xbd",	    /* U+FFFD itself */
		"\xef\xbf\xbf",	    /* U+FFFF */
		"\xf0\x90\x80\x80", /* U+10000 */
		"\xf4\x8f\xbf\xbf", /* U+10FFFF, the last of all */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		char expected[16];

		(void)snprintf(expected, sizeof(expected), "\"%s\"", kept[i]);
		assert_json_string(kept[i], expected, kept[i]);
	}
}

#define BAD "\\ufffd"

static void test_each_invalid_byte_is_replaced(void **state)
{
	static const struct {
		const char *bytes;
		const char *expected;
	} bad[] = {
		{ "a\x80z", "\"a" BAD "z\"" }, /* a continuation alone */
		{ "\xff\xfe", "\"" BAD BAD "\"" },
		{ "\xc0\xaf", "\"" BAD BAD "\"" }, /* overlong '/' */
		{ "\xc1\xbf", "\"" BAD BAD "\"" },
		{ "\xe0\x80\xaf", "\"" BAD BAD BAD "\"" }, /* the same in three */
		{ "\xe0\x9f\xbf", "\"" BAD BAD BAD "\"" },
		{ "\xf0\x8f\xbf\xbf", "\"" BAD BAD BAD BAD "\"" },
		{ "\xed\xa0\x80", "\"" BAD BAD BAD "\"" }, /* surrogates */
		{ "\xed\xbf\xbf", "\"" BAD BAD BAD "\"" },
		{ "\xf4\x90\x80\x80", "\"" BAD BAD BAD BAD "\"" }, /* above U+10FFFF */
		{ "\xf5\x80\x80\x80", "\"" BAD BAD BAD BAD "\"" },
		{ "\xc3", "\"" BAD "\"" }, /* ends in the middle */
		{ "\xe2\x80", "\"" BAD BAD "\"" },
		{ "\xf0\x90\x80", "\"" BAD BAD BAD "\"" },
		{ "\xe2\x80<", "\"" BAD BAD "\\u003c\"" },
		{ "\xc3\xc3\xa4", "\"" BAD "\xc3\xa4\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_json_string(bad[i].bytes, bad[i].expected, NULL);
}

/*
 * Every pair of bytes: what comes out is always JSON in valid UTF-8, with none of the bytes Go
 * escapes.
 */
static void test_every_pair_of_bytes_parses(void **state)
{
	CLEANUP(text_done)
	struct text t = TEXT_NULL;
	struct json_writer j = json_writer_on_text(&t);

	(void)state;
	json_writer_array_begin(&j, NULL);
	for (int a = 1; a < 256; a++) {
		for (int b = 1; b < 256; b++) {
			const char bytes[] = { (char)a, (char)b, '\0' };

			json_writer_string(&j, NULL, bytes);
		}
	}
	json_writer_array_end(&j);
	assert_int_equal(t.error, 0);
	assert_null(strpbrk(t.data, "<>&\n\x01\x1f"));
	json_object *o = parse(t.data, t.size);

	assert_int_equal(json_object_array_length(o), 255 * 255);
	json_object_put(o);
}

static void test_scalars(void **state)
{
	CLEANUP(text_done)
	struct text t = TEXT_NULL;
	struct json_writer j = json_writer_on_text(&t);

	(void)state;
	json_writer_object_begin(&j, NULL);
	json_writer_u64(&j, "zero", 0);
	json_writer_u64(&j, "max", UINT64_MAX);
	json_writer_i64(&j, "min", INT64_MIN);
	json_writer_i64(&j, "minus", -1);
	json_writer_bool(&j, "yes", true);
	json_writer_bool(&j, "no", false);
	json_writer_null(&j, "nothing");
	json_writer_string(&j, "s", "x");
	json_writer_object_end(&j);
	assert_string_equal(t.data, "{\"zero\":0,\"max\":18446744073709551615,"
				    "\"min\":-9223372036854775808,\"minus\":-1,\"yes\":true,"
				    "\"no\":false,\"nothing\":null,\"s\":\"x\"}");
	json_object_put(parse(t.data, t.size));
}

static void test_nesting(void **state)
{
	CLEANUP(text_done)
	struct text t = TEXT_NULL;
	struct json_writer j = json_writer_on_text(&t);

	(void)state;
	json_writer_object_begin(&j, NULL);
	json_writer_array_begin(&j, "empty");
	json_writer_array_end(&j);
	json_writer_object_begin(&j, "void");
	json_writer_object_end(&j);
	json_writer_array_begin(&j, "list");
	json_writer_u64(&j, NULL, 1);
	json_writer_array_begin(&j, NULL);
	json_writer_array_end(&j);
	json_writer_object_begin(&j, NULL);
	json_writer_u64(&j, "a", 2);
	json_writer_object_end(&j);
	json_writer_object_begin(&j, NULL);
	json_writer_object_end(&j);
	json_writer_array_end(&j);
	json_writer_bool(&j, "last", true);
	json_writer_object_end(&j);
	assert_string_equal(
		t.data, "{\"empty\":[],\"void\":{},\"list\":[1,[],{\"a\":2},{}],\"last\":true}");
	json_object_put(parse(t.data, t.size));
}

static void test_values_at_the_top_follow_each_other(void **state)
{
	CLEANUP(text_done)
	struct text t = TEXT_NULL;
	struct json_writer j = json_writer_on_text(&t);

	(void)state;
	for (int i = 0; i < 2; i++) {
		json_writer_array_begin(&j, NULL);
		json_writer_array_end(&j);
		(void)text_append_str(&t, "\n");
	}
	assert_string_equal(t.data, "[]\n[]\n");
}

static void test_deepest(void **state)
{
	CLEANUP(text_done)
	struct text t = TEXT_NULL;
	struct json_writer j = json_writer_on_text(&t);

	(void)state;
	for (int i = 1; i < JSON_WRITER_DEPTH_MAX; i++)
		json_writer_array_begin(&j, NULL);
	for (int i = 1; i < JSON_WRITER_DEPTH_MAX; i++)
		json_writer_array_end(&j);
	assert_int_equal(t.size, 2 * (JSON_WRITER_DEPTH_MAX - 1));
	json_object_put(parse(t.data, t.size));
}

/* A document that is many buffers long arrives whole through an io_writer. */
static void test_long_document_to_a_file(void **state)
{
	enum { ITEMS = 20000 };
	CLEANUP(cleanup_close)
	int fd = memfd_create("json", MFD_CLOEXEC);
	CLEANUP(io_writer_done)
	struct io_writer w = IO_WRITER_ON(fd);
	struct json_writer j = json_writer_on_io(&w);
	CLEANUP(cleanup_free)
	char *doc = NULL;
	json_object *o;
	size_t size;

	(void)state;
	assert_true(fd >= 0);
	json_writer_array_begin(&j, NULL);
	for (unsigned i = 0; i < ITEMS; i++)
		json_writer_u64(&j, NULL, i);
	json_writer_array_end(&j);
	assert_int_equal(io_writer_flush(&w), 0);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	assert_int_equal(io_read_all(fd, 1 << 20, &doc, &size), 0);
	assert_int_equal(size, w.written_bytes);
	o = parse(doc, size);
	assert_int_equal(json_object_array_length(o), ITEMS);
	assert_int_equal(json_object_get_int(json_object_array_get_idx(o, ITEMS - 1)), ITEMS - 1);
	json_object_put(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strings_as_go_writes_them),
		cmocka_unit_test(test_valid_utf8_is_kept),
		cmocka_unit_test(test_each_invalid_byte_is_replaced),
		cmocka_unit_test(test_every_pair_of_bytes_parses),
		cmocka_unit_test(test_scalars),
		cmocka_unit_test(test_nesting),
		cmocka_unit_test(test_values_at_the_top_follow_each_other),
		cmocka_unit_test(test_deepest),
		cmocka_unit_test(test_long_document_to_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
