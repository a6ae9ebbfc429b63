/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table for people: aligned columns, the last one as wide as it is.
 *
 *     NAME  MTU   ADDRESSES
 *     eth0  1500  172.17.0.2/16,2001:db8::2/64
 *
 * What a guest says is a stranger's: a cell is one word of printable ASCII, so that no name ends a
 * column or a line, or drives a terminal. Pure: the text goes to a buffer.
 */
#pragma once

#include <stddef.h>

#include "base/text.h"

#define TABLE_COLUMNS_MAX 8U
#define TABLE_WIDTH_MAX	  64U /* a wider cell pushes its own row aside, not all the others */

struct table {
	const char *const *headers; /* borrowed */
	size_t columns;
	size_t width[TABLE_COLUMNS_MAX];
	struct text cells; /* each ends in NUL; the rows one after another */
	size_t n;
};

/* @headers: @columns words of ours, at most TABLE_COLUMNS_MAX, for the life of the table */
void table_init(struct table *t, const char *const *headers, size_t columns);
void table_done(struct table *t); /* usable with CLEANUP() */

/*
 * The next cell, from left to right. @value: hostile; bytes that are no printable ASCII, blanks and
 * '\' are written as \xNN; an empty one is "-". Without memory nothing is added, and table_print()
 * says so.
 */
void table_cell(struct table *t, const char *value);
void table_cellf(struct table *t, const char *fmt, ...)
	__attribute__((__format__(__printf__, 2, 3))); /* at most 255 bytes, the rest is cut */

/* Return: 0; -ENOMEM, -EFBIG: of a cell or of @to, which then holds a part. */
int table_print(const struct table *t, struct text *to);

/* One value outside of a table, by the same rule. */
int table_escape(struct text *to, const char *value);
/* A line of hostile text: likewise, but blanks and '\' stay. */
int table_escape_line(struct text *to, const char *value);
/* Many lines: '\n' and tabs stay too. */
int table_escape_lines(struct text *to, const char *value, size_t size);
