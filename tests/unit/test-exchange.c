/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared file: there whole or not at all, on a real file system, a full one included.
 */
#include "runtime-bridge/vmm/exchange.h"

#include "base/cleanup.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SMALL_DISK_BYTES "65536"
#define BIG_DOCUMENT	 (512U * 1024)

struct fixture {
	char dir[64];
	int dirfd;
	struct exchange exchange;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/netmon-test-exchange-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	f->dirfd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = f;
	return f->dirfd < 0 ? -1 : exchange_init(&f->exchange, f->dirfd, f->dir);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	exchange_done(&f->exchange);
	(void)unlinkat(f->dirfd, EXCHANGE_FILE_NAME, 0);
	(void)unlinkat(f->dirfd, "elsewhere", 0);
	(void)close(f->dirfd);
	err_clear();
	/* Fails, and so does the test, when anything was left behind. */
	if (rmdir(f->dir) < 0)
		return -1;
	free(f);
	return 0;
}

static void put(struct fixture *f, const char *text)
{
	assert_int_equal(exchange_begin(&f->exchange), 0);
	io_writer_put(&f->exchange.writer, text, strlen(text));
}

static void assert_document(struct fixture *f, const char *want)
{
	CLEANUP(cleanup_free)
	char *text = NULL;

	assert_int_equal(io_read_path(f->exchange.path, 1024, &text, NULL), 0);
	assert_string_equal(text, want);
}

static bool is_there(const char *path)
{
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* ---- tests ---- */

static void test_path_is_for_argv(void **state)
{
	struct fixture *f = *state;
	char want[128];

	(void)snprintf(want, sizeof(want), "%s/shared.json", f->dir);
	assert_string_equal(f->exchange.path, want);
}

static void test_appears_whole(void **state)
{
	struct fixture *f = *state;

	put(f, "{\"a\":");
	assert_false(is_there(f->exchange.path));
	io_writer_put(&f->exchange.writer, "1}", 2);
	assert_int_equal(exchange_commit(&f->exchange), 0);
	assert_document(f, "{\"a\":1}");
}

static void test_mode_whatever_the_umask(void **state)
{
	struct fixture *f = *state;
	mode_t before = umask(0077);
	struct stat st;

	put(f, "[]");
	assert_int_equal(exchange_commit(&f->exchange), 0);
	(void)umask(before);
	assert_int_equal(stat(f->exchange.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_true(S_ISREG(st.st_mode));
}

static void test_replaces(void **state)
{
	struct fixture *f = *state;

	put(f, "first, and longer");
	assert_int_equal(exchange_commit(&f->exchange), 0);
	put(f, "second");
	assert_document(f, "first, and longer");
	assert_int_equal(exchange_commit(&f->exchange), 0);
	assert_document(f, "second");
}

static void test_begin_again_forgets_the_half_written(void **state)
{
	struct fixture *f = *state;

	put(f, "half");
	put(f, "whole");
	assert_int_equal(exchange_commit(&f->exchange), 0);
	assert_document(f, "whole");
}

static void test_remove(void **state)
{
	struct fixture *f = *state;

	exchange_remove(&f->exchange);
	put(f, "published");
	assert_int_equal(exchange_commit(&f->exchange), 0);
	put(f, "half");
	exchange_remove(&f->exchange);
	exchange_remove(&f->exchange);
	assert_false(is_there(f->exchange.path));
	/* The half-written one is gone too: teardown removes the directory. */
}

static void test_done_leaves_the_published(void **state)
{
	struct fixture *f = *state;
	struct exchange null = EXCHANGE_NULL;
	char path[128];

	exchange_done(&null);
	exchange_remove(&null);
	(void)snprintf(path, sizeof(path), "%s", f->exchange.path);
	put(f, "published");
	assert_int_equal(exchange_commit(&f->exchange), 0);
	put(f, "half");
	exchange_done(&f->exchange);
	assert_true(is_there(path));
}

/* CVE-2021-30465 and kin: a link in our place is replaced, what it points to is not touched. */
static void test_follows_no_link(void **state)
{
	struct fixture *f = *state;
	int fd = openat(f->dirfd, "elsewhere", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;

	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(symlinkat("elsewhere", f->dirfd, EXCHANGE_FILE_NAME), 0);
	put(f, "[]");
	assert_int_equal(exchange_commit(&f->exchange), 0);
	assert_int_equal(fstatat(f->dirfd, "elsewhere", &st, 0), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(fstatat(f->dirfd, EXCHANGE_FILE_NAME, &st, AT_SYMLINK_NOFOLLOW), 0);
	assert_true(S_ISREG(st.st_mode));
}

static void test_directory_is_gone(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(rmdir(f->dir), 0);
	assert_int_equal(exchange_begin(&f->exchange), -ENOENT);
	exchange_remove(&f->exchange);
	assert_int_equal(mkdir(f->dir, 0700), 0);
}

/* A disk of 64 KiB in a mount namespace of this process. */
static int mount_small_disk(struct fixture *f)
{
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;
	if (mount("none", f->dir, "tmpfs", 0, "size=" SMALL_DISK_BYTES) < 0)
		return -errno;
	return open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void test_full_disk(void **state)
{
	struct fixture *f = *state;
	struct exchange x = EXCHANGE_NULL;
	char *big = calloc(1, BIG_DOCUMENT);
	int dirfd = mount_small_disk(f);

	assert_non_null(big);
	assert_true(dirfd >= 0);
	assert_int_equal(exchange_init(&x, dirfd, f->dir), 0);
	assert_int_equal(exchange_begin(&x), 0);
	io_writer_put(&x.writer, "old", 3);
	assert_int_equal(exchange_commit(&x), 0);

	assert_int_equal(exchange_begin(&x), 0);
	io_writer_put(&x.writer, big, BIG_DOCUMENT);
	assert_int_equal(exchange_commit(&x), -ENOSPC);
	assert_non_null(strstr(err_text(), "No space left"));
	assert_false(is_there(x.path));

	/* What it took is given back: a small document goes again. */
	assert_int_equal(exchange_begin(&x), 0);
	io_writer_put(&x.writer, "new", 3);
	assert_int_equal(exchange_commit(&x), 0);
	exchange_remove(&x);
	exchange_done(&x);
	(void)close(dirfd);
	assert_int_equal(umount2(f->dir, MNT_DETACH), 0);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_path_is_for_argv, setup, teardown),
		cmocka_unit_test_setup_teardown(test_appears_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mode_whatever_the_umask, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replaces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_begin_again_forgets_the_half_written, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
		cmocka_unit_test_setup_teardown(test_done_leaves_the_published, setup, teardown),
		cmocka_unit_test_setup_teardown(test_follows_no_link, setup, teardown),
		cmocka_unit_test_setup_teardown(test_directory_is_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
