/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The error trail: the sentence, the names on the way up, and what it must not disturb.
 */
#include "base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int open_inner(const char *path)
{
	return err_raise(-ENOENT, "open '%s'", path);
}

static int exchange_write(void)
{
	return err_pass(open_inner("/x"));
}

static int sink_cli_begin(void)
{
	return err_pass(exchange_write());
}

static void test_sentence_reason_and_trail(void **state)
{
	(void)state;
	assert_int_equal(sink_cli_begin(), -ENOENT);
	assert_string_equal(err_text(), "open '/x': No such file or directory "
					"(open_inner < exchange_write < sink_cli_begin)");
	err_clear();
	assert_string_equal(err_text(), "no error");
}

static void test_the_sentence_alone_has_no_trail(void **state)
{
	(void)state;
	(void)sink_cli_begin();
	assert_string_equal(err_sentence(), "open '/x': No such file or directory");
	assert_non_null(strstr(err_text(), " (open_inner < "));
	(void)err_pass(-EIO);
	assert_string_equal(err_sentence(), "Input/output error");
	(void)err_raise(-EPERM, "after %s", err_sentence());
	assert_string_equal(err_sentence(), "after Input/output error: Operation not permitted");
	err_clear();
	assert_string_equal(err_sentence(), "no error");
}

static void test_errno_is_kept(void **state)
{
	(void)state;
	errno = EXDEV;
	(void)sink_cli_begin();
	(void)err_text();
	(void)err_sentence();
	assert_int_equal(errno, EXDEV);
	err_clear();
}

static void test_wrong_signs_are_never_silent(void **state)
{
	(void)state;
	assert_int_equal(err_raise(EPERM, "a"), -EPERM);
	assert_int_equal(err_raise(0, "b"), -EIO);
	assert_string_equal(err_text(),
			    "b: Input/output error (test_wrong_signs_are_never_silent)");
	err_clear();
}

static void test_pass_ignores_success(void **state)
{
	(void)state;
	err_clear();
	assert_int_equal(err_pass(0), 0);
	assert_int_equal(err_pass(7), 7);
	assert_string_equal(err_text(), "no error");
}

/* An error that nobody raised, or another one than was raised, must not borrow an old sentence. */
static void test_pass_of_an_unraised_error(void **state)
{
	(void)state;
	err_clear();
	assert_int_equal(err_pass(-EBUSY), -EBUSY);
	assert_string_equal(err_text(), "Device or resource busy (test_pass_of_an_unraised_error)");
	(void)open_inner("/stale");
	assert_int_equal(err_pass(-EPIPE), -EPIPE);
	assert_string_equal(err_text(), "Broken pipe (test_pass_of_an_unraised_error)");
	err_clear();
}

static void test_second_raise_replaces_the_first(void **state)
{
	(void)state;
	(void)sink_cli_begin();
	(void)err_raise(-EBADF, "tried: %s", err_text());
	assert_string_equal(err_text(),
			    "tried: open '/x': No such file or directory "
			    "(open_inner < exchange_write < sink_cli_begin): Bad file descriptor "
			    "(test_second_raise_replaces_the_first)");
	err_clear();
}

static void test_long_sentence_is_cut_and_says_so(void **state)
{
	char longer[ERR_TEXT_MAX * 4];
	const char *text;

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	(void)err_raise(-EINVAL, "%s", longer);
	text = err_text();
	assert_int_equal(strspn(text, "x"), ERR_TEXT_MAX - 4);
	assert_string_equal(text + ERR_TEXT_MAX - 4,
			    "...: Invalid argument (test_long_sentence_is_cut_and_says_so)");
	err_clear();
}

static int raise_deep(int depth)
{
	int r = err_raise(-EIO, "bottom");

	while (depth-- > 0)
		r = err_pass(r);
	return r;
}

static void test_long_trail_keeps_the_innermost(void **state)
{
	(void)state;
	(void)err_pass(raise_deep(ERR_TRAIL_MAX - 2));
	assert_null(strstr(err_text(), "..."));
	assert_non_null(strstr(err_text(), "raise_deep < test_long_trail_keeps_the_innermost)"));
	(void)err_pass(raise_deep(ERR_TRAIL_MAX - 1));
	assert_non_null(strstr(err_text(), "raise_deep < ...)"));
	(void)raise_deep(1000);
	assert_non_null(strstr(err_text(), "raise_deep < ...)"));
	err_clear();
}

static void test_unknown_number(void **state)
{
	(void)state;
	(void)err_raise(-99999, "x");
	assert_string_equal(err_text(), "x: Unknown error 99999 (test_unknown_number)");
	err_clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sentence_reason_and_trail),
		cmocka_unit_test(test_the_sentence_alone_has_no_trail),
		cmocka_unit_test(test_errno_is_kept),
		cmocka_unit_test(test_wrong_signs_are_never_silent),
		cmocka_unit_test(test_pass_ignores_success),
		cmocka_unit_test(test_pass_of_an_unraised_error),
		cmocka_unit_test(test_second_raise_replaces_the_first),
		cmocka_unit_test(test_long_sentence_is_cut_and_says_so),
		cmocka_unit_test(test_long_trail_keeps_the_innermost),
		cmocka_unit_test(test_unknown_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
