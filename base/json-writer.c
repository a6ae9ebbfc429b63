/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The streaming JSON writer, see json-writer.h.
 */
#include "base/json-writer.h"

#include "base/io.h"
#include "base/text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- where the bytes go ---- */

static void json_writer_put_io(void *to, const void *data, size_t size)
{
	io_writer_put(to, data, size);
}

static void json_writer_put_text(void *to, const void *data, size_t size)
{
	(void)text_append(to, data, size); /* remembered in its @error */
}

struct json_writer json_writer_on_io(struct io_writer *w)
{
	return (struct json_writer){ .put = json_writer_put_io, .to = w };
}

struct json_writer json_writer_on_text(struct text *t)
{
	return (struct json_writer){ .put = json_writer_put_text, .to = t };
}

static void json_writer_put(struct json_writer *j, const char *data, size_t size)
{
	if (size > 0)
		j->put(j->to, data, size);
}

static void json_writer_put_str(struct json_writer *j, const char *s)
{
	json_writer_put(j, s, strlen(s));
}

/* ---- strings ---- */

static bool json_writer_is_continuation(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* Bytes that the lead byte @c announces; 0: no lead byte. C0 and C1 begin only overlong forms. */
static size_t json_writer_utf8_announced(unsigned char c)
{
	if (c < 0x80)
		return 1;
	if (c < 0xc2)
		return 0;
	if (c < 0xe0)
		return 2;
	if (c < 0xf0)
		return 3;
	return c < 0xf5 ? 4 : 0;
}

/* What the lead byte alone does not forbid: overlong, surrogates, above U+10FFFF. RFC 3629, 4 */
static bool json_writer_utf8_second_is_valid(unsigned char lead, unsigned char second)
{
	switch (lead) {
	case 0xe0:
		return second >= 0xa0;
	case 0xed:
		return second <= 0x9f;
	case 0xf0:
		return second >= 0x90;
	case 0xf4:
		return second <= 0x8f;
	default:
		return true;
	}
}

/* Bytes of the character at @s, 0 if its first byte is invalid. Never looks past the NUL. */
static size_t json_writer_utf8_size(const unsigned char *s)
{
	size_t size = json_writer_utf8_announced(s[0]);

	for (size_t i = 1; i < size; i++) {
		if (!json_writer_is_continuation(s[i]))
			return 0;
	}
	if (size > 1 && !json_writer_utf8_second_is_valid(s[0], s[1]))
		return 0;
	return size;
}

static bool json_writer_is_plain(unsigned char c)
{
	return c >= ' ' && c < 0x80 && !strchr("\"\\<>&", c);
}

static void json_writer_put_ascii(struct json_writer *j, unsigned char c)
{
	char buffer[8];

	switch (c) {
	case '"':
		json_writer_put_str(j, "\\\"");
		return;
	case '\\':
		json_writer_put_str(j, "\\\\");
		return;
	case '\n':
		json_writer_put_str(j, "\\n");
		return;
	case '\r':
		json_writer_put_str(j, "\\r");
		return;
	case '\t':
		json_writer_put_str(j, "\\t");
		return;
	default:
		(void)snprintf(buffer, sizeof(buffer), "\\u%04x", c);
		json_writer_put_str(j, buffer);
	}
}

/* Puts the one character at @s that is not plain. Return: bytes that it was, at least 1. */
static size_t json_writer_put_special(struct json_writer *j, const unsigned char *s)
{
	size_t size = json_writer_utf8_size(s);

	if (size == 0) {
		json_writer_put_str(j, "\\ufffd");
		return 1;
	}
	if (size == 1)
		json_writer_put_ascii(j, s[0]);
	else if (memcmp(s, "\xe2\x80\xa8", 3) == 0)
		json_writer_put_str(j, "\\u2028");
	else if (memcmp(s, "\xe2\x80\xa9", 3) == 0)
		json_writer_put_str(j, "\\u2029");
	else
		json_writer_put(j, (const char *)s, size);
	return size;
}

static void json_writer_put_quoted(struct json_writer *j, const char *value)
{
	const unsigned char *s = (const unsigned char *)value;

	json_writer_put(j, "\"", 1);
	while (*s != '\0') {
		size_t run = 0;

		while (s[run] != '\0' && json_writer_is_plain(s[run]))
			run++;
		json_writer_put(j, (const char *)s, run);
		s += run;
		if (*s != '\0')
			s += json_writer_put_special(j, s);
	}
	json_writer_put(j, "\"", 1);
}

/* ---- values ---- */

/* The comma that is due and the key. At the top (depth 0) values just follow each other. */
static void json_writer_begin_value(struct json_writer *j, const char *key)
{
	if (j->has_item[j->depth])
		json_writer_put(j, ",", 1);
	j->has_item[j->depth] = j->depth > 0;
	if (!key)
		return;
	json_writer_put(j, "\"", 1);
	json_writer_put_str(j, key);
	json_writer_put(j, "\":", 2);
}

static void json_writer_open(struct json_writer *j, const char *key, const char *bracket)
{
	assert(j->depth + 1 < JSON_WRITER_DEPTH_MAX);
	json_writer_begin_value(j, key);
	json_writer_put(j, bracket, 1);
	j->depth++;
	j->has_item[j->depth] = false;
}

static void json_writer_close(struct json_writer *j, const char *bracket)
{
	assert(j->depth > 0);
	j->depth--;
	json_writer_put(j, bracket, 1);
}

void json_writer_object_begin(struct json_writer *j, const char *key)
{
	json_writer_open(j, key, "{");
}

void json_writer_object_end(struct json_writer *j)
{
	json_writer_close(j, "}");
}

void json_writer_array_begin(struct json_writer *j, const char *key)
{
	json_writer_open(j, key, "[");
}

void json_writer_array_end(struct json_writer *j)
{
	json_writer_close(j, "]");
}

void json_writer_u64(struct json_writer *j, const char *key, uint64_t value)
{
	char buffer[24];

	(void)snprintf(buffer, sizeof(buffer), "%" PRIu64, value);
	json_writer_begin_value(j, key);
	json_writer_put_str(j, buffer);
}

void json_writer_i64(struct json_writer *j, const char *key, int64_t value)
{
	char buffer[24];

	(void)snprintf(buffer, sizeof(buffer), "%" PRId64, value);
	json_writer_begin_value(j, key);
	json_writer_put_str(j, buffer);
}

void json_writer_bool(struct json_writer *j, const char *key, bool value)
{
	json_writer_begin_value(j, key);
	json_writer_put_str(j, value ? "true" : "false");
}

void json_writer_null(struct json_writer *j, const char *key)
{
	json_writer_begin_value(j, key);
	json_writer_put_str(j, "null");
}

void json_writer_string(struct json_writer *j, const char *key, const char *value)
{
	json_writer_begin_value(j, key);
	json_writer_put_quoted(j, value);
}
