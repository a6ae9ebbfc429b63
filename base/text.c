/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict numbers, a bounded buffer and harmless values, see text.h.
 */
#include "base/text.h"

#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_FIRST_BYTES 64 /* most buffers are one short line */

static const char text_hex[] = "0123456789abcdef";

/* ---- character classes: our own, since <ctype.h> asks the locale ---- */

static bool text_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool text_is_alnum(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || text_is_digit(c);
}

static bool text_is_plain(char c)
{
	return text_is_alnum(c) || (c != '\0' && strchr("_.:/@%+,-", c));
}

/* ---- numbers ---- */

static bool text_is_number(const char *s)
{
	if (!s || *s == '\0')
		return false;
	while (text_is_digit(*s))
		s++;
	return *s == '\0';
}

int text_parse_u64(const char *s, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;

	if (!text_is_number(s))
		return err_raise(-EINVAL, "number '%.64s'", s ? s : "");
	for (const char *p = s; *p != '\0'; p++) {
		uint64_t digit = (uint64_t)(*p - '0');

		if (value > (UINT64_MAX - digit) / 10)
			return err_raise(-ERANGE, "number '%.64s'", s);
		value = value * 10 + digit;
	}
	if (value > max)
		return err_raise(-ERANGE, "number '%.64s'", s);
	*ret = value;
	return 0;
}

int text_parse_u32(const char *s, uint32_t max, uint32_t *ret)
{
	uint64_t value;
	int r = text_parse_u64(s, max, &value);

	if (r < 0)
		return err_pass(r);
	*ret = (uint32_t)value;
	return 0;
}

/* ---- the buffer ---- */

static int text_fail(struct text *t, int r)
{
	t->error = err_raise(r, "text of %zu bytes", t->size);
	return t->error;
}

static size_t text_limit(const struct text *t)
{
	return t->limit_bytes != 0 ? t->limit_bytes : TEXT_MAX_BYTES;
}

/* Makes room for @size more bytes and their NUL; after it @data is never NULL. */
static int text_reserve(struct text *t, size_t size)
{
	size_t limit = text_limit(t);
	size_t capacity = t->capacity != 0 ? t->capacity : TEXT_FIRST_BYTES;
	size_t want;
	char *data;

	if (t->error < 0)
		return t->error;
	if (size > limit || t->size > limit - size)
		return text_fail(t, -EFBIG);
	want = t->size + size + 1;
	if (want <= t->capacity)
		return 0;
	while (capacity < want)
		capacity = capacity > SIZE_MAX / 2 ? want : capacity * 2;
	data = realloc(t->data, capacity);
	if (!data)
		return text_fail(t, -ENOMEM);
	t->data = data;
	t->capacity = capacity;
	return 0;
}

/* Room was reserved. */
static void text_put(struct text *t, const void *data, size_t size)
{
	if (size > 0)
		memcpy(t->data + t->size, data, size);
	t->size += size;
	t->data[t->size] = '\0';
}

void text_done(struct text *t)
{
	free(t->data);
	*t = (struct text){ .limit_bytes = t->limit_bytes };
}

void text_reset(struct text *t)
{
	t->size = 0;
	t->error = 0;
	if (t->data)
		t->data[0] = '\0';
}

int text_append(struct text *t, const void *data, size_t size)
{
	int r = text_reserve(t, size);

	if (r < 0)
		return err_pass(r);
	text_put(t, data, size);
	return 0;
}

int text_append_str(struct text *t, const char *s)
{
	return err_pass(text_append(t, s, strlen(s)));
}

/* Formats into what room there is under the limit. Return: the size that it wants, or -errno. */
__attribute__((__format__(__printf__, 2, 0))) static int text_format(struct text *t,
								     const char *fmt, va_list ap)
{
	size_t end = t->capacity <= text_limit(t) ? t->capacity : text_limit(t) + 1;
	size_t room = end - t->size;
	int n = vsnprintf(t->data + t->size, room, fmt, ap);

	if (n >= 0 && (size_t)n < room)
		t->size += (size_t)n;
	else
		t->data[t->size] = '\0'; /* take back the half line */
	return n < 0 ? text_fail(t, -EINVAL) : n;
}

int text_appendf(struct text *t, const char *fmt, ...)
{
	size_t before;
	va_list ap;
	int n, r = text_reserve(t, 0);

	if (r < 0)
		return err_pass(r);
	before = t->size;
	va_start(ap, fmt);
	n = text_format(t, fmt, ap);
	va_end(ap);
	if (n < 0)
		return err_pass(n);
	if (t->size == before + (size_t)n)
		return 0;
	r = text_reserve(t, (size_t)n);
	if (r < 0)
		return err_pass(r);
	va_start(ap, fmt);
	n = text_format(t, fmt, ap);
	va_end(ap);
	return n < 0 ? err_pass(n) : 0;
}

/* ---- values ---- */

/* Bytes that @c takes inside quotes. */
static size_t text_quoted_size(char c)
{
	if (c == '"' || c == '\\')
		return 2;
	return c < ' ' || c > '~' ? 4 : 1;
}

static void text_put_quoted(struct text *t, char c)
{
	unsigned char byte = (unsigned char)c;
	const char escaped[] = { '\\', c };
	const char hex[] = { '\\', 'x', text_hex[byte >> 4], text_hex[byte & 0xf] };

	switch (text_quoted_size(c)) {
	case 1:
		text_put(t, &c, 1);
		return;
	case 2:
		text_put(t, escaped, sizeof(escaped));
		return;
	default:
		text_put(t, hex, sizeof(hex));
	}
}

int text_append_value(struct text *t, const char *value, size_t size)
{
	bool plain = size > 0;
	size_t quoted_size = 2;
	int r;

	if (size > SIZE_MAX / 8)
		return text_fail(t, -EFBIG);
	for (size_t i = 0; i < size; i++) {
		plain = plain && text_is_plain(value[i]);
		quoted_size += text_quoted_size(value[i]);
	}
	if (plain)
		return err_pass(text_append(t, value, size));
	r = text_reserve(t, quoted_size);
	if (r < 0)
		return err_pass(r);
	text_put(t, "\"", 1);
	for (size_t i = 0; i < size; i++)
		text_put_quoted(t, value[i]);
	text_put(t, "\"", 1);
	return 0;
}

/* ---- names ---- */

bool text_is_sandbox_id(const char *s)
{
	size_t n;

	if (!s || !text_is_alnum(s[0]))
		return false;
	for (n = 1; s[n] != '\0'; n++) {
		if (n >= TEXT_SANDBOX_ID_MAX)
			return false;
		if (!text_is_alnum(s[n]) && !strchr("_.-", s[n]))
			return false;
	}
	return true;
}
