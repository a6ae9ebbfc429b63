/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an agent is reached: what is taken, what is refused, and that what is written is read back.
 */
#include "agent-proto/url.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void test_good_urls(void **state)
{
	static const struct {
		const char *text, *form;
		struct url url;
	} good[] = {
		{ "vsock://3:1024", "vsock://3:1024", { URL_VSOCK, 3, 1024, "" } },
		{ "vsock://-1:1024", "vsock://-1:1024", { URL_VSOCK, UINT32_MAX, 1024, "" } },
		{ "vsock://0:1", "vsock://0:1", { URL_VSOCK, 0, 1, "" } },
		{ "vsock://4294967294:4294967294",
		  "vsock://4294967294:4294967294",
		  { URL_VSOCK, UINT32_MAX - 1, UINT32_MAX - 1, "" } },
		{ "hvsock:///run/clh.sock:1024",
		  "hvsock:///run/clh.sock:1024",
		  { URL_HVSOCK, 0, 1024, "/run/clh.sock" } },
		{ "hvsock:///a:b:7", "hvsock:///a:b:7", { URL_HVSOCK, 0, 7, "/a:b" } },
		{ "unix:///run/a.sock", "unix:///run/a.sock", { URL_UNIX, 0, 0, "/run/a.sock" } },
		{ "remote:///run/a", "unix:///run/a", { URL_UNIX, 0, 0, "/run/a" } },
		/* whether that is a port or a name only the file system knows */
		{ "remote:///run/a:1024", "unix:///run/a:1024", { URL_UNIX, 0, 0, "/run/a:1024" } },
		{ "/run/a b", "unix:///run/a b", { URL_UNIX, 0, 0, "/run/a b" } },
		{ "pipe:///dev/vport0p1",
		  "pipe:///dev/vport0p1",
		  { URL_PIPE, 0, 0, "/dev/vport0p1" } },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		char text[URL_TEXT_MAX];
		struct url u;

		assert_int_equal(url_parse(good[i].text, &u), 0);
		assert_memory_equal(&u, &good[i].url, sizeof(u));
		url_format(&u, text);
		assert_string_equal(text, good[i].form);
	}
}

static void test_bad_urls_are_refused_with_what_is_wanted(void **state)
{
	static const struct {
		const char *text, *wanted;
	} bad[] = {
		{ NULL, "vsock://CID:PORT" },
		{ "", "vsock://CID:PORT" },
		{ "run/a.sock", "vsock://CID:PORT" },
		{ "http://a:80", "vsock://CID:PORT" },
		{ "VSOCK://3:1024", "vsock://CID:PORT" },
		{ " vsock://3:1024", "vsock://CID:PORT" },
		{ "vsock:/3:1024", "vsock://CID:PORT" },
		{ "vsock://", "vsock://CID:PORT" },
		{ "vsock://3", "vsock://CID:PORT" },
		{ "vsock://3:", "vsock://CID:PORT" },
		{ "vsock://:1024", "vsock://CID:PORT" },
		{ "vsock://3:0", "vsock://CID:PORT" },
		{ "vsock://3:4294967295", "vsock://CID:PORT" },
		{ "vsock://3:99999999999999999999", "vsock://CID:PORT" },
		{ "vsock://4294967295:1024", "vsock://CID:PORT" },
		{ "vsock://-2:1024", "vsock://CID:PORT" },
		{ "vsock://3:-1", "vsock://CID:PORT" },
		{ "vsock://3:1024 ", "vsock://CID:PORT" },
		{ "vsock://+3:1024", "vsock://CID:PORT" },
		{ "vsock://3:4:1024", "vsock://CID:PORT" },
		{ "hvsock:///run/a", "hvsock:///PATH:PORT" },
		{ "hvsock://run/a:1024", "hvsock:///PATH:PORT" },
		{ "hvsock://:1024", "hvsock:///PATH:PORT" },
		{ "hvsock:///:1024", "hvsock:///PATH:PORT" },
		{ "hvsock:///run/a:", "hvsock:///PATH:PORT" },
		{ "unix://", "unix:///PATH" },
		{ "unix://run/a", "unix:///PATH" },
		{ "unix:///", "unix:///PATH" },
		{ "unix:///run/", "unix:///PATH" },
		{ "unix:///run/a\n", "unix:///PATH" },
		{ "unix:///run/\x7f", "unix:///PATH" },
		{ "remote://", "remote:///PATH" },
		{ "pipe://dev/vport", "pipe:///PATH" },
		{ "pipe:///dev/\x1b[2J", "pipe:///PATH" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct url u = { .port = 42 };

		assert_int_equal(url_parse(bad[i].text, &u), -EINVAL);
		assert_non_null(strstr(err_text(), bad[i].wanted));
		assert_int_equal(u.port, 42);
	}
	err_clear();
}

/* sockaddr_un takes 107 bytes: a longer path is not this file's to refuse. */
static void test_paths_are_bounded_by_the_text(void **state)
{
	char text[2 * URL_TEXT_MAX], back[URL_TEXT_MAX];
	size_t longest = 0;

	(void)state;
	for (size_t size = 2; size < sizeof(text); size++) {
		struct url u, again;

		memset(text, 'a', size);
		text[0] = '/';
		text[size] = '\0';
		if (url_parse(text, &u) < 0)
			continue;
		assert_int_equal(size, longest > 0 ? longest + 1 : 2);
		longest = size;
		url_format(&u, back);
		assert_int_equal(url_parse(back, &again), 0);
		assert_memory_equal(&u, &again, sizeof(u));
	}
	assert_in_range(longest, 255, URL_TEXT_MAX - 1);
	err_clear();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_urls),
		cmocka_unit_test(test_bad_urls_are_refused_with_what_is_wanted),
		cmocka_unit_test(test_paths_are_bounded_by_the_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
