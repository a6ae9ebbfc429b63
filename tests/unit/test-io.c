/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files: no link is followed in any place, nothing is seen half-written, nothing is read without a
 * bound.
 */
#include "base/io.h"

#include "base/cleanup.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the play-ground: a tmpfs that only this process sees, gone with it ---- */

#define ROOT "/mnt"

struct ground {
	int fd;
};

static int ground_setup(void **state)
{
	static struct ground ground;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	(void)umask(022);
	*state = &ground;
	return 0;
}

static int test_setup(void **state)
{
	struct ground *g = *state;

	if (mount("test", ROOT, "tmpfs", 0, "size=1m,mode=0755") < 0)
		return -1;
	g->fd = open(ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return g->fd < 0 ? -1 : 0;
}

static int test_teardown(void **state)
{
	struct ground *g = *state;

	(void)umask(022);
	(void)close(g->fd);
	err_clear();
	return umount2(ROOT, MNT_DETACH);
}

static void make_file(const char *path, const char *content)
{
	CLEANUP(cleanup_close)
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(io_write_all(fd, content, strlen(content)), 0);
}

static void make_dir(const char *path)
{
	assert_int_equal(mkdir(path, 0755), 0);
}

static void make_link(const char *to, const char *path)
{
	assert_int_equal(symlink(to, path), 0);
}

static void assert_content(const char *path, const char *expected)
{
	CLEANUP(cleanup_free)
	char *data = NULL;

	assert_int_equal(io_read_path(path, 1 << 20, &data, NULL), 0);
	assert_string_equal(data, expected);
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

/* ---- both ways of io_openat() ---- */

typedef int open_fn(int dirfd, const char *name, int flags, mode_t mode);

static open_fn *const both_ways[] = { io_openat, io_openat_walk };

#define FOR_BOTH_WAYS(open_) for (size_t way_ = 0; way_ < 2 && ((open_) = both_ways[way_]); way_++)

static void make_tree(void)
{
	make_dir(ROOT "/a");
	make_dir(ROOT "/a/b");
	make_file(ROOT "/a/b/file", "content");
	make_link("b", ROOT "/a/to-b");
	make_link("a", ROOT "/to-a");
	make_link("file", ROOT "/a/b/to-file");
	make_link(ROOT "/a/b/file", ROOT "/a/b/to-file-abs");
	make_link("nowhere", ROOT "/a/b/dangling");
	make_link("loop", ROOT "/a/b/loop");
	make_link("/", ROOT "/to-root");
	make_link("..", ROOT "/a/up");
}

static void test_opens_what_is_there(void **state)
{
	static const char *const names[] = { "a",	 "a/b",	       "a/b/",
					     "a//b",	 "a/./b",      "./a/b",
					     "a/b/file", "a/b/./file", "a///b///file",
					     "." };
	struct ground *g = *state;
	open_fn *open_way;

	make_tree();
	FOR_BOTH_WAYS(open_way)
	{
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			CLEANUP(cleanup_close)
			int fd = open_way(g->fd, names[i], O_RDONLY, 0);

			assert_true(fd >= 0);
			assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		}
	}
}

/* CVE-2021-30465 and kin: a link in whatever place is refused. */
static void test_links_are_refused_in_every_place(void **state)
{
	static const char *const names[] = {
		"to-a",		 "to-a/",	"to-a/b",      "to-a/b/file",	  "a/to-b",
		"a/to-b/",	 "a/to-b/file", "a/b/to-file", "a/b/to-file-abs", "a/b/dangling",
		"a/b/loop",	 "a/b/loop/x",	"to-root",     "to-root/etc",	  "to-root/mnt/a",
		"a/up/a/b/file",
	};
	static const int flags[] = {
		O_RDONLY,	   O_PATH, O_PATH | O_NOFOLLOW, O_RDONLY | O_DIRECTORY, O_WRONLY,
		O_WRONLY | O_TRUNC
	};
	struct ground *g = *state;
	open_fn *open_way;

	make_tree();
	FOR_BOTH_WAYS(open_way)
	{
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			for (size_t f = 0; f < sizeof(flags) / sizeof(flags[0]); f++)
				assert_int_equal(open_way(g->fd, names[i], flags[f], 0), -ELOOP);
		}
	}
	assert_content(ROOT "/a/b/file", "content");
}

static void test_making_a_file_never_goes_through_a_link(void **state)
{
	struct ground *g = *state;
	open_fn *open_way;

	make_tree();
	FOR_BOTH_WAYS(open_way)
	{
		assert_int_equal(open_way(g->fd, "a/b/dangling", O_WRONLY | O_CREAT, 0600), -ELOOP);
		assert_int_equal(open_way(g->fd, "a/b/dangling", O_WRONLY | O_CREAT | O_EXCL, 0600),
				 -EEXIST);
		assert_int_equal(open_way(g->fd, "to-a/new", O_WRONLY | O_CREAT, 0600), -ELOOP);
		assert_int_equal(open_way(g->fd, "a/b/to-file", O_WRONLY | O_TRUNC | O_CREAT, 0600),
				 -ELOOP);
	}
	assert_false(exists(ROOT "/a/b/nowhere"));
	assert_false(exists(ROOT "/a/new"));
	assert_content(ROOT "/a/b/file", "content");
}

static void test_magic_links_are_refused(void **state)
{
	CLEANUP(cleanup_close)
	int proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	open_fn *open_way;

	(void)state;
	assert_true(proc >= 0);
	FOR_BOTH_WAYS(open_way)
	{
		assert_int_equal(open_way(proc, "root/etc/passwd", O_RDONLY, 0), -ELOOP);
		assert_int_equal(open_way(proc, "cwd", O_RDONLY, 0), -ELOOP);
		assert_int_equal(open_way(proc, "fd/0", O_RDONLY, 0), -ELOOP);
		assert_int_equal(open_way(proc, "exe", O_PATH, 0), -ELOOP);
	}
}

static void test_names_that_are_refused_unseen(void **state)
{
	static const struct {
		const char *name;
		int r;
	} bad[] = {
		{ "", -EINVAL },     { "/", -EXDEV },	    { ROOT "/a", -EXDEV },
		{ "//a", -EXDEV },   { "..", -EXDEV },	    { "../mnt/a", -EXDEV },
		{ "a/..", -EXDEV },  { "a/../a", -EXDEV },  { "a/b/../../../etc", -EXDEV },
		{ "a/../", -EXDEV }, { "a/b//..", -EXDEV }, { "nothing/../a", -EXDEV },
		{ "./..", -EXDEV },
	};
	struct ground *g = *state;
	open_fn *open_way;

	make_tree();
	FOR_BOTH_WAYS(open_way)
	{
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
			assert_int_equal(open_way(g->fd, bad[i].name, O_RDONLY, 0), bad[i].r);
	}
}

static void test_other_errors_are_the_same_on_both_ways(void **state)
{
	char longer[NAME_MAX + 2];
	struct ground *g = *state;
	open_fn *open_way;

	make_tree();
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	FOR_BOTH_WAYS(open_way)
	{
		assert_int_equal(open_way(g->fd, "none", O_RDONLY, 0), -ENOENT);
		assert_int_equal(open_way(g->fd, "none/x", O_RDONLY, 0), -ENOENT);
		assert_int_equal(open_way(g->fd, "a/b/file/x", O_RDONLY, 0), -ENOTDIR);
		assert_int_equal(open_way(g->fd, "a/b/file/", O_RDONLY, 0), -ENOTDIR);
		assert_int_equal(open_way(g->fd, "a/b/file", O_RDONLY | O_DIRECTORY, 0), -ENOTDIR);
		assert_int_equal(open_way(g->fd, "a", O_WRONLY, 0), -EISDIR);
		assert_int_equal(open_way(g->fd, "a/new/", O_WRONLY | O_CREAT, 0600), -EISDIR);
		assert_int_equal(open_way(g->fd, longer, O_RDONLY, 0), -ENAMETOOLONG);
		assert_int_equal(open_way(-1, "a", O_RDONLY, 0), -EBADF);
	}
	assert_false(exists(ROOT "/a/new"));
}

/* "..x" and "..." are names like others. */
static void test_names_with_dots(void **state)
{
	struct ground *g = *state;
	open_fn *open_way;

	make_dir(ROOT "/..x");
	make_file(ROOT "/..x/...", "dots");
	FOR_BOTH_WAYS(open_way)
	{
		CLEANUP(cleanup_close)
		int fd = open_way(g->fd, "..x/...", O_RDONLY, 0);

		assert_true(fd >= 0);
	}
}

static void test_create_modes(void **state)
{
	struct ground *g = *state;
	open_fn *open_way;

	(void)umask(027);
	FOR_BOTH_WAYS(open_way)
	{
		CLEANUP(cleanup_close)
		int fd = open_way(g->fd, "new", O_WRONLY | O_CREAT | O_EXCL, 0666);

		assert_true(fd >= 0);
		assert_int_equal(mode_of(ROOT "/new"), 0640);
		assert_int_equal(unlinkat(g->fd, "new", 0), 0);
		/* a mode without O_CREAT is no error, as with open(2) */
		cleanup_close_fd(fd);
		fd = open_way(g->fd, ".", O_RDONLY, 0666);
		assert_true(fd >= 0);
	}
}

/* ---- io_openat() where there is no openat2: in a child, since a filter stays ---- */

static int deny_openat2(unsigned error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* Return: exit status, 0 when all is as it should be, else the number of the step */
static int use_fall_back(int dirfd, unsigned error)
{
	struct open_how {
		uint64_t flags, mode, resolve;
	} how = { .flags = O_RDONLY };

	if (deny_openat2(error) < 0)
		return 1;
	if (syscall(SYS_openat2, dirfd, "a", &how, sizeof(how)) >= 0 || errno != (int)error)
		return 2;
	if (io_openat(dirfd, "a/b/file", O_RDONLY, 0) < 0)
		return 3;
	if (io_openat(dirfd, "a/to-b/file", O_RDONLY, 0) != -ELOOP)
		return 4;
	if (io_openat(dirfd, "a/../a", O_RDONLY, 0) != -EXDEV)
		return 5;
	return 0;
}

static void test_falls_back_without_openat2(void **state)
{
	static const unsigned errors[] = { ENOSYS, EPERM };
	struct ground *g = *state;

	make_tree();
	for (size_t i = 0; i < 2; i++) {
		pid_t pid = fork();
		int status = -1;

		if (pid == 0)
			_exit(use_fall_back(g->fd, errors[i]));
		assert_true(pid > 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

/* ---- directories ---- */

static void test_make_dir_makes_parents(void **state)
{
	CLEANUP(cleanup_close)
	int fd = -1;
	CLEANUP(cleanup_close)
	int again = -1;

	(void)state;
	(void)umask(077); /* what we make has our mode all the same */
	assert_int_equal(io_make_dir(ROOT "/x//y/z/", 0750, &fd), 0);
	(void)umask(022);
	assert_int_equal(mode_of(ROOT "/x"), 0750);
	assert_int_equal(mode_of(ROOT "/x/y/z"), 0750);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_PATH, 0);
	assert_int_equal(io_make_dir(ROOT "/x/y/z", 0700, &again), 0);
	assert_int_equal(mode_of(ROOT "/x/y/z"), 0750);
}

static void test_make_dir_of_the_root(void **state)
{
	CLEANUP(cleanup_close)
	int fd = -1;

	(void)state;
	assert_int_equal(io_make_dir("/", 0700, &fd), 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_PATH, 0);
}

/* /var/run is a link on today's systems. */
static void test_make_dir_follows_links_of_the_base_path(void **state)
{
	CLEANUP(cleanup_close)
	int fd = -1;
	struct stat st;

	(void)state;
	make_dir(ROOT "/run");
	make_dir(ROOT "/var");
	make_link("../run", ROOT "/var/run");
	make_link("final", ROOT "/run/last");
	make_dir(ROOT "/run/final");
	assert_int_equal(io_make_dir(ROOT "/var/run/kata/sbs", 0750, &fd), 0);
	assert_int_equal(lstat(ROOT "/run/kata/sbs", &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	fd = cleanup_close_fd(fd);
	assert_int_equal(io_make_dir(ROOT "/var/run/last", 0750, &fd), 0);
}

static void test_make_dir_refusals(void **state)
{
	char longer[PATH_MAX + 8];
	int fd = -7;

	(void)state;
	make_file(ROOT "/file", "");
	make_link("nowhere", ROOT "/dangling");
	assert_int_equal(io_make_dir("mnt/x", 0700, &fd), -EINVAL);
	assert_int_equal(io_make_dir("", 0700, &fd), -EINVAL);
	assert_int_equal(io_make_dir(ROOT "/file", 0700, &fd), -ENOTDIR);
	assert_int_equal(io_make_dir(ROOT "/file/x", 0700, &fd), -ENOTDIR);
	assert_int_equal(io_make_dir(ROOT "/dangling/x", 0700, &fd), -ENOENT);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[0] = '/';
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(io_make_dir(longer, 0700, &fd), -ENAMETOOLONG);
	longer[NAME_MAX + 2] = '\0';
	assert_int_equal(io_make_dir(longer, 0700, &fd), -ENAMETOOLONG);
	assert_int_equal(fd, -7);
}

static void test_mkdirat(void **state)
{
	struct ground *g = *state;
	CLEANUP(cleanup_close)
	int made = io_mkdirat(g->fd, "sb", 0750);
	CLEANUP(cleanup_close)
	int again = io_mkdirat(g->fd, "sb", 0700);

	assert_true(made >= 0 && again >= 0);
	assert_int_equal(mode_of(ROOT "/sb"), 0750);
	make_link("sb", ROOT "/link");
	make_link("none", ROOT "/dangling");
	make_file(ROOT "/file", "");
	assert_int_equal(io_mkdirat(g->fd, "link", 0750), -ELOOP);
	assert_int_equal(io_mkdirat(g->fd, "dangling", 0750), -ELOOP);
	assert_int_equal(io_mkdirat(g->fd, "file", 0750), -ENOTDIR);
	assert_int_equal(io_mkdirat(g->fd, "sb/x", 0750), -EINVAL);
	assert_int_equal(io_mkdirat(g->fd, "..", 0750), -EINVAL);
	assert_int_equal(io_mkdirat(g->fd, ".", 0750), -EINVAL);
	assert_int_equal(io_mkdirat(g->fd, "", 0750), -EINVAL);
	assert_false(exists(ROOT "/none"));
}

/* ---- reading and writing ---- */

static void test_read_bounds(void **state)
{
	char content[10001];
	CLEANUP(cleanup_free)
	char *data = NULL;
	size_t size = 77;

	(void)state;
	memset(content, 'x', sizeof(content) - 1);
	content[sizeof(content) - 1] = '\0';
	make_file(ROOT "/file", content);
	assert_int_equal(io_read_path(ROOT "/file", 9999, &data, &size), -EFBIG);
	assert_int_equal(io_read_path(ROOT "/file", 4095, &data, &size), -EFBIG);
	assert_int_equal(io_read_path(ROOT "/file", 0, &data, &size), -EFBIG);
	assert_int_equal(io_read_path(ROOT "/none", 9999, &data, &size), -ENOENT);
	assert_int_equal(io_read_path(ROOT, 9999, &data, &size), -EISDIR);
	assert_null(data);
	assert_int_equal(size, 77);
	assert_int_equal(io_read_path(ROOT "/file", 10000, &data, &size), 0);
	assert_int_equal(size, 10000);
	assert_string_equal(data, content);
}

static void test_read_of_every_size(void **state)
{
	static const size_t sizes[] = { 0, 1, 4093, 4094, 4095, 4096, 4097, 8190, 8191, 8192 };
	char content[8193];

	(void)state;
	memset(content, 'y', sizeof(content));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		CLEANUP(cleanup_free)
		char *data = NULL;
		size_t size;

		content[sizes[i]] = '\0';
		make_file(ROOT "/file", content);
		assert_int_equal(io_read_path(ROOT "/file", sizes[i], &data, &size), 0);
		assert_int_equal(size, sizes[i]);
		assert_string_equal(data, content);
		content[sizes[i]] = 'y';
	}
}

static void test_read_of_proc_and_no_limit(void **state)
{
	CLEANUP(cleanup_free)
	char *data = NULL;

	(void)state;
	assert_int_equal(io_read_path("/proc/self/status", SIZE_MAX, &data, NULL), 0);
	assert_non_null(strstr(data, "Name:\t"));
}

static void test_write_to_a_full_pipe_does_not_wait(void **state)
{
	CLEANUP(cleanup_free)
	char *data = calloc(1, 1 << 20);
	int fds[2];

	(void)state;
	assert_non_null(data);
	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(io_write_all(fds[1], data, 1 << 20), -EAGAIN);
	assert_int_equal(io_read_all(fds[0], 1 << 20, &data, NULL), -EAGAIN);
	(void)close(fds[0]);
	(void)close(fds[1]);
	assert_int_equal(io_write_all(-1, "x", 1), -EBADF);
	assert_int_equal(io_write_all(-1, "x", 0), 0);
}

/* Puts of all sizes around the buffer's, compared with what arrived. */
static void test_writer(void **state)
{
	static const size_t sizes[] = { 0,
					1,
					7,
					IO_WRITER_BYTES - 8,
					1,
					IO_WRITER_BYTES,
					IO_WRITER_BYTES - 1,
					IO_WRITER_BYTES + 1,
					3,
					3 * IO_WRITER_BYTES };
	struct ground *g = *state;
	CLEANUP(cleanup_close)
	int fd = io_openat(g->fd, "out", O_WRONLY | O_CREAT, 0600);
	CLEANUP(io_writer_done)
	struct io_writer w = IO_WRITER_ON(fd);
	CLEANUP(cleanup_free)
	char *data = NULL;
	char piece[3 * IO_WRITER_BYTES];
	size_t size, at = 0;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		memset(piece, 'a' + (int)i, sizes[i]);
		io_writer_put(&w, piece, sizes[i]);
	}
	assert_int_equal(io_writer_flush(&w), 0);
	assert_int_equal(io_read_path(ROOT "/out", 1 << 20, &data, &size), 0);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (size_t k = 0; k < sizes[i]; k++)
			assert_true(data[at++] == (char)('a' + (int)i));
	}
	assert_int_equal(at, size);
	assert_int_equal(w.written_bytes, size);
}

static void test_writer_remembers_the_first_error(void **state)
{
	CLEANUP(cleanup_close)
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	CLEANUP(io_writer_done)
	struct io_writer w = IO_WRITER_ON(full);

	(void)state;
	assert_true(full >= 0);
	for (unsigned i = 0; i < IO_WRITER_BYTES; i++)
		io_writer_put(&w, "xy", 2);
	assert_int_equal(io_writer_flush(&w), -ENOSPC);
	w.fd = -1;
	assert_int_equal(io_writer_flush(&w), -ENOSPC);
	assert_int_equal(w.written_bytes, 0);
}

/* ---- the atomic file ---- */

static void test_atomic_appears_whole(void **state)
{
	struct ground *g = *state;
	CLEANUP(io_atomic_abort)
	struct io_atomic a = IO_ATOMIC_NULL;

	make_file(ROOT "/doc", "old");
	assert_int_equal(io_atomic_begin(&a, g->fd, "doc", 0640), 0);
	assert_int_equal(fcntl(a.fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(io_write_all(a.fd, "new", 3), 0);
	assert_content(ROOT "/doc", "old");
	assert_true(exists(ROOT "/.doc.tmp"));
	assert_int_equal(io_atomic_commit(&a), 0);
	assert_content(ROOT "/doc", "new");
	assert_false(exists(ROOT "/.doc.tmp"));
	io_atomic_abort(&a); /* after a commit it does nothing */
	assert_content(ROOT "/doc", "new");
}

static void test_atomic_is_not_visible_before_commit(void **state)
{
	struct ground *g = *state;
	struct io_atomic a = IO_ATOMIC_NULL;

	assert_int_equal(io_atomic_begin(&a, g->fd, "doc", 0640), 0);
	assert_int_equal(io_write_all(a.fd, "new", 3), 0);
	assert_false(exists(ROOT "/doc"));
	errno = EXDEV;
	io_atomic_abort(&a);
	assert_int_equal(errno, EXDEV);
	assert_false(exists(ROOT "/doc"));
	assert_false(exists(ROOT "/.doc.tmp"));
	io_atomic_abort(&a);
}

static void test_atomic_mode_is_exact(void **state)
{
	static const mode_t umasks[] = { 0, 077, 0777 };
	struct ground *g = *state;

	for (size_t i = 0; i < sizeof(umasks) / sizeof(umasks[0]); i++) {
		struct io_atomic a = IO_ATOMIC_NULL;

		(void)umask(umasks[i]);
		assert_int_equal(io_atomic_begin(&a, g->fd, "doc", 0640), 0);
		assert_int_equal(io_atomic_commit(&a), 0);
		assert_int_equal(mode_of(ROOT "/doc"), 0640);
	}
}

static void test_atomic_takes_away_what_is_stale(void **state)
{
	struct ground *g = *state;
	struct io_atomic a = IO_ATOMIC_NULL;

	make_file(ROOT "/victim", "untouched");
	make_file(ROOT "/.doc.tmp", "left by one that was killed, and longer");
	assert_int_equal(io_atomic_begin(&a, g->fd, "doc", 0600), 0);
	assert_int_equal(io_write_all(a.fd, "new", 3), 0);
	assert_int_equal(io_atomic_commit(&a), 0);
	assert_content(ROOT "/doc", "new");
	/*
	 * a link in its place is removed, not written through; one in the place of the target is
	 * replaced
	 */
	make_link("victim", ROOT "/.doc.tmp");
	assert_int_equal(unlink(ROOT "/doc"), 0);
	make_link("victim", ROOT "/doc");
	assert_int_equal(io_atomic_begin(&a, g->fd, "doc", 0600), 0);
	assert_int_equal(io_write_all(a.fd, "new", 3), 0);
	assert_int_equal(io_atomic_commit(&a), 0);
	assert_content(ROOT "/victim", "untouched");
	assert_content(ROOT "/doc", "new");
	make_dir(ROOT "/.doc.tmp");
	assert_int_equal(io_atomic_begin(&a, g->fd, "doc", 0600), -EISDIR);
	assert_content(ROOT "/doc", "new");
}

static void test_atomic_refuses_paths(void **state)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "/doc", "../doc" };
	char longest[NAME_MAX + 1];
	struct ground *g = *state;
	struct io_atomic a = IO_ATOMIC_NULL;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(io_atomic_begin(&a, g->fd, bad[i], 0600), -EINVAL);
	memset(longest, 'x', NAME_MAX);
	longest[NAME_MAX] = '\0';
	assert_int_equal(io_atomic_begin(&a, g->fd, longest, 0600), -ENAMETOOLONG);
	assert_null(a.name);
	assert_int_equal(a.fd, -1);
}

static void test_atomic_on_a_full_disk_leaves_the_old(void **state)
{
	struct ground *g = *state;
	CLEANUP(cleanup_free)
	char *big = calloc(1, 2 << 20);
	struct io_atomic a = IO_ATOMIC_NULL;

	assert_non_null(big);
	make_file(ROOT "/doc", "old");
	assert_int_equal(io_atomic_begin(&a, g->fd, "doc", 0600), 0);
	assert_int_equal(io_write_all(a.fd, big, 2 << 20), -ENOSPC);
	io_atomic_abort(&a);
	assert_content(ROOT "/doc", "old");
	assert_false(exists(ROOT "/.doc.tmp"));
	/* and the room is there again */
	assert_int_equal(io_atomic_begin(&a, g->fd, "doc", 0600), 0);
	assert_int_equal(io_write_all(a.fd, "new", 3), 0);
	assert_int_equal(io_atomic_commit(&a), 0);
	assert_content(ROOT "/doc", "new");
}

static void test_atomic_commit_that_fails_cleans_up(void **state)
{
	struct ground *g = *state;
	struct io_atomic a = IO_ATOMIC_NULL;

	make_dir(ROOT "/doc");
	assert_int_equal(io_atomic_begin(&a, g->fd, "doc", 0600), 0);
	assert_int_equal(io_atomic_commit(&a), -EISDIR);
	assert_false(exists(ROOT "/.doc.tmp"));
	assert_null(a.name);
	assert_int_equal(a.fd, -1);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, test_setup, test_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_opens_what_is_there),
		TEST(test_links_are_refused_in_every_place),
		TEST(test_making_a_file_never_goes_through_a_link),
		TEST(test_magic_links_are_refused),
		TEST(test_names_that_are_refused_unseen),
		TEST(test_other_errors_are_the_same_on_both_ways),
		TEST(test_names_with_dots),
		TEST(test_create_modes),
		TEST(test_falls_back_without_openat2),
		TEST(test_make_dir_makes_parents),
		TEST(test_make_dir_of_the_root),
		TEST(test_make_dir_follows_links_of_the_base_path),
		TEST(test_make_dir_refusals),
		TEST(test_mkdirat),
		TEST(test_read_bounds),
		TEST(test_read_of_every_size),
		TEST(test_read_of_proc_and_no_limit),
		TEST(test_write_to_a_full_pipe_does_not_wait),
		TEST(test_writer),
		TEST(test_writer_remembers_the_first_error),
		TEST(test_atomic_appears_whole),
		TEST(test_atomic_is_not_visible_before_commit),
		TEST(test_atomic_mode_is_exact),
		TEST(test_atomic_takes_away_what_is_stale),
		TEST(test_atomic_refuses_paths),
		TEST(test_atomic_on_a_full_disk_leaves_the_old),
		TEST(test_atomic_commit_that_fails_cleans_up),
	};

	return cmocka_run_group_tests(tests, ground_setup, NULL);
}
