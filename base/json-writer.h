/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON writer that streams: a json-c tree of 100,000 routes costs 132 MiB, this costs nothing.
 * Compact output, keys in the order they are written, strings escaped as Go's encoding/json does,
 * which is what the runtimes that read our documents were written against.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSON_WRITER_DEPTH_MAX 16

/* Where the bytes go: an io_writer, a text buffer. Errors are that object's to remember. */
struct json_writer {
	void (*put)(void *to, const void *data, size_t size);
	void *to;
	unsigned depth;
	bool has_item[JSON_WRITER_DEPTH_MAX]; /* a comma is due before the next; never at the top */
};

struct io_writer;
struct text;

struct json_writer json_writer_on_io(struct io_writer *w);
struct json_writer json_writer_on_text(struct text *t);

/*
 * @key is ours, plain ASCII, and NULL inside arrays and at the top. At the top values follow each
 * other with nothing between. Nesting of JSON_WRITER_DEPTH_MAX and ends without a begin are
 * asserted against.
 */
void json_writer_object_begin(struct json_writer *j, const char *key);
void json_writer_object_end(struct json_writer *j);
void json_writer_array_begin(struct json_writer *j, const char *key);
void json_writer_array_end(struct json_writer *j);
void json_writer_u64(struct json_writer *j, const char *key, uint64_t value);
void json_writer_i64(struct json_writer *j, const char *key, int64_t value);
void json_writer_bool(struct json_writer *j, const char *key, bool value);
void json_writer_null(struct json_writer *j, const char *key);

/*
 * @value: any bytes, NUL-terminated. < > & as \u003c \u003e \u0026; " and \ escaped; control bytes
 * \u00XX (\n \r \t short); U+2028/2029 escaped; each invalid UTF-8 byte as \ufffd.
 * Source: measured against Go's encoding/json, see the goldens in tests/unit/test-json-writer.c.
 */
void json_writer_string(struct json_writer *j, const char *key, const char *value);
