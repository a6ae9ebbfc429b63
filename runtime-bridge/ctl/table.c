/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table for people, see table.h.
 *
 * Cells are kept escaped, one after another, each with its NUL: their number says their column.
 */
#include "runtime-bridge/ctl/table.h"

#include "base/cleanup.h"
#include "base/error.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define TABLE_GAP	   2
#define TABLE_FORMAT_BYTES 256

/* ---- escaping ---- */

static int table_escape_bytes(struct text *to, const char *value, size_t size, const char *kept)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < size; i++) {
		bool is_plain = value[i] > ' ' && value[i] <= '~' && value[i] != '\\';

		if (is_plain || (value[i] != '\0' && strchr(kept, value[i])))
			r = text_append(to, &value[i], 1);
		else
			r = text_appendf(to, "\\x%02x", (unsigned char)value[i]);
	}
	return err_pass(r);
}

int table_escape(struct text *to, const char *value)
{
	if (*value == '\0')
		return err_pass(text_append_str(to, "-"));
	return err_pass(table_escape_bytes(to, value, strlen(value), ""));
}

int table_escape_line(struct text *to, const char *value)
{
	return err_pass(table_escape_bytes(to, value, strlen(value), " \\"));
}

int table_escape_lines(struct text *to, const char *value, size_t size)
{
	return err_pass(table_escape_bytes(to, value, size, " \t\n\\"));
}

/* ---- filling ---- */

void table_init(struct table *t, const char *const *headers, size_t columns)
{
	assert(columns > 0 && columns <= TABLE_COLUMNS_MAX);
	*t = (struct table){ .headers = headers, .columns = columns, .cells = TEXT_NULL };
	for (size_t i = 0; i < columns; i++)
		t->width[i] = strlen(headers[i]);
}

void table_done(struct table *t)
{
	text_done(&t->cells);
}

void table_cell(struct table *t, const char *value)
{
	size_t before = t->cells.size, width, column = t->n % t->columns;

	if (table_escape(&t->cells, value) < 0 || text_append(&t->cells, "", 1) < 0)
		return; /* remembered in the buffer */
	width = t->cells.size - before - 1;
	if (width > t->width[column] && width <= TABLE_WIDTH_MAX)
		t->width[column] = width;
	t->n++;
}

void table_cellf(struct table *t, const char *fmt, ...)
{
	char value[TABLE_FORMAT_BYTES] = "";
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(value, sizeof(value), fmt, ap);
	va_end(ap);
	table_cell(t, value);
}

/* ---- printing ---- */

static int table_print_cell(const struct table *t, struct text *to, size_t column,
			    const char *value)
{
	if (column + 1 == t->columns)
		return err_pass(text_appendf(to, "%s\n", value));
	return err_pass(text_appendf(to, "%-*s%*s", (int)t->width[column], value, TABLE_GAP, ""));
}

int table_print(const struct table *t, struct text *to)
{
	const char *at = t->cells.data;
	int r = t->cells.error;

	assert(t->columns > 0);
	if (r < 0)
		return err_raise(r, "make a table of %zu cells", t->n);
	for (size_t i = 0; r == 0 && i < t->columns; i++)
		r = table_print_cell(t, to, i, t->headers[i]);
	for (size_t i = 0; r == 0 && i < t->n; i++) {
		r = table_print_cell(t, to, i % t->columns, at);
		at += strlen(at) + 1;
	}
	return err_pass(r);
}
