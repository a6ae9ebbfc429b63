/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: a number that travels, and a sentence that stays behind.
 *
 * A function of this project returns an int: < 0 is a negative errno, fatal to the call, and is
 * forwarded with err_pass(); 0 is fine; > 0 is a condition documented in that function's header,
 * handled by its direct caller and never forwarded.
 *
 * The place that meets an error says what it tried with err_raise(); each function that forwards it
 * adds its own name. The one place that decides what follows prints err_text() and calls
 * err_clear():
 *
 *     open '/x': No such file or directory (exchange_write < sink_cli_begin)
 *
 * The trail is a fixed buffer per thread: raising never allocates and never fails. A second
 * err_raise() replaces the first, since only the last one can still be on its way up.
 */
#pragma once

#define ERR_TEXT_MAX  512 /* bytes of the sentence, longer ones are cut and end in "..." */
#define ERR_TRAIL_MAX 8	  /* names of functions kept; the innermost ones, "< ..." for the others */

/**
 * err_raise() - start an error: what was tried, and with which result
 * @r:   negative errno (a positive one is negated, 0 becomes -EIO: our mistake, but never silence)
 * @fmt: what was tried, without the reason: "open '%s'"; the reason is added from @r
 *
 * Return: @r, negative. Keeps errno.
 */
#define err_raise(r, ...) err_is_negative(err_raise_at(__func__, (r), __VA_ARGS__))
int err_raise_at(const char *function, int r, const char *fmt, ...)
	__attribute__((__format__(__printf__, 3, 4)));

/**
 * err_pass() - forward an error, adding this function's name to its trail
 *
 * An @r other than the one that was raised begins an error without a sentence: an old sentence
 * would tell a wrong story.
 * Return: @r unchanged; does nothing for @r >= 0. Keeps errno.
 */
#define err_pass(r) err_pass_from(__func__, (r))
int err_pass_at(const char *function, int r);

/*
 * What the two promise, said to compilers and analyzers: otherwise every output that is used after
 * `if (r < 0) return err_pass(r);` looks uninitialised to them.
 */
static inline int err_is_negative(int r)
{
	if (r >= 0)
		__builtin_unreachable();
	return r;
}

static inline int err_pass_from(const char *function, int r)
{
	(void)err_pass_at(function, r);
	return r;
}

/*
 * err_text() - the sentence of the last error, or "no error"
 *
 * Valid until the next err_ call; may be an argument of that err_raise(). May hold a stranger's
 * bytes: whoever prints it escapes it, as log_at() does. Keeps errno.
 */
const char *err_text(void);
/* Likewise without the trail: for whoever typed a command, and reads no source. */
const char *err_sentence(void);

/* err_clear() - forget it: somebody has decided what follows. */
void err_clear(void);
