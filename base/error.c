/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error trail: one fixed record per thread, see error.h.
 */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ERR_SHOWN_MAX (ERR_TEXT_MAX + ERR_TRAIL_MAX * 64 + 128)

struct err_state {
	int r;		  /* 0: no error */
	unsigned n_trail; /* functions it went through; above ERR_TRAIL_MAX only counted */
	const char *trail[ERR_TRAIL_MAX]; /* __func__ of each: static storage */
	char sentence[ERR_TEXT_MAX];	  /* empty: nobody said what was tried */
	/* Apart from @sentence, so that err_text() may be an argument of err_raise(). */
	char shown[ERR_SHOWN_MAX];
};

static _Thread_local struct err_state err;

static void err_begin(int r)
{
	err.r = r;
	err.n_trail = 0;
	err.sentence[0] = '\0';
}

static void err_add_function(const char *function)
{
	if (err.n_trail < ERR_TRAIL_MAX)
		err.trail[err.n_trail] = function;
	err.n_trail++;
}

/* A cut sentence ends in "...": half a path must not look like a whole one. */
static void err_mark_cut(void)
{
	static const char mark[] = "...";

	memcpy(err.sentence + sizeof(err.sentence) - sizeof(mark), mark, sizeof(mark));
}

int err_raise_at(const char *function, int r, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;
	int n;

	if (r == 0)
		r = -EIO;
	else if (r > 0)
		r = -r;
	err_begin(r);
	err_add_function(function);
	va_start(ap, fmt);
	n = vsnprintf(err.sentence, sizeof(err.sentence), fmt, ap);
	va_end(ap);
	if (n < 0)
		err.sentence[0] = '\0';
	else if ((size_t)n >= sizeof(err.sentence))
		err_mark_cut();
	errno = saved;
	return r;
}

int err_pass_at(const char *function, int r)
{
	if (r >= 0)
		return r;
	/* Another number: the sentence that we hold is of an older error, a wrong story. */
	if (r != err.r)
		err_begin(r);
	err_add_function(function);
	return r;
}

/* Appends to err.shown at @used, which never passes its end. */
__attribute__((__format__(__printf__, 2, 3))) static size_t err_show(size_t used, const char *fmt,
								     ...)
{
	size_t room = sizeof(err.shown) - used;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(err.shown + used, room, fmt, ap);
	va_end(ap);
	if (n < 0)
		return used;
	return (size_t)n < room ? used + (size_t)n : sizeof(err.shown) - 1;
}

static size_t err_show_reason(size_t used)
{
	/* Not strerror(): that one translates and shares a buffer between threads. */
	const char *reason = strerrordesc_np(-err.r);

	if (!reason)
		return err_show(used, "Unknown error %d", -err.r);
	return err_show(used, "%s", reason);
}

static size_t err_show_trail(size_t used)
{
	unsigned n = err.n_trail < ERR_TRAIL_MAX ? err.n_trail : ERR_TRAIL_MAX;

	for (unsigned i = 0; i < n; i++)
		used = err_show(used, "%s%s", i == 0 ? " (" : " < ", err.trail[i]);
	if (err.n_trail > n)
		used = err_show(used, " < ...");
	return n > 0 ? err_show(used, ")") : used;
}

static const char *err_shown(bool has_trail)
{
	int saved = errno;
	size_t used = 0;

	if (err.r == 0)
		return "no error";
	if (err.sentence[0] != '\0')
		used = err_show(used, "%s: ", err.sentence);
	used = err_show_reason(used);
	if (has_trail)
		(void)err_show_trail(used);
	errno = saved;
	return err.shown;
}

const char *err_text(void)
{
	return err_shown(true);
}

const char *err_sentence(void)
{
	return err_shown(false);
}

void err_clear(void)
{
	err_begin(0);
}
