/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text: strict numbers, a growing buffer with a limit, and one way to make a stranger's bytes
 * harmless.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- numbers: the whole string or nothing, decimal, no sign, no space, no leading '+' ---- */

/* Return: 0; -EINVAL if not a plain decimal number; -ERANGE if above @max. */
int text_parse_u64(const char *s, uint64_t max, uint64_t *ret);
int text_parse_u32(const char *s, uint32_t max, uint32_t *ret);

/* ---- a buffer that grows up to a limit ---- */

#define TEXT_MAX_BYTES (64U * 1024 * 1024) /* default limit of a buffer */

/*
 * Start from TEXT_NULL or { .limit_bytes = N }. A failed append (-ENOMEM, -EFBIG over the limit)
 * leaves the buffer as it was and is remembered in @error, and so are all later ones (no holes), so
 * that a caller may append many times and look once. @data is NUL-terminated, and not NULL after an
 * append that succeeded. What is appended must not lie in the buffer itself.
 */
struct text {
	char *data;
	size_t size; /* bytes in use, without the NUL */
	size_t capacity;
	size_t limit_bytes; /* 0: TEXT_MAX_BYTES */
	int error;
};

#define TEXT_NULL ((struct text){ 0 })

void text_done(struct text *t);	 /* frees; legal on TEXT_NULL; usable with CLEANUP() */
void text_reset(struct text *t); /* empties, keeps the memory, forgets the error */
int text_append(struct text *t, const void *data, size_t size);
int text_append_str(struct text *t, const char *s);
int text_appendf(struct text *t, const char *fmt, ...)
	__attribute__((__format__(__printf__, 2, 3)));

/**
 * text_append_value() - one logfmt value: `plain`, or `"quoted \"text\" with \x1b"`
 * @value: hostile bytes, up to @size
 *
 * Plain when made of [A-Za-z0-9_.:/@%+,-] only and not empty; otherwise quoted, with " and \
 * escaped and every byte outside printable ASCII as \xNN: what comes out can not end the value, the
 * line or drive a terminal.
 */
int text_append_value(struct text *t, const char *value, size_t size);

/* ---- names ---- */

#define TEXT_SANDBOX_ID_MAX 128

/* [A-Za-z0-9][A-Za-z0-9_.-]{0,127}: safe as one path component, in a log line and in argv. */
bool text_is_sandbox_id(const char *s);
