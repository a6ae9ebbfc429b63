/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files, see io.h.
 */
#include "base/io.h"

#include "base/cleanup.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IO_READ_FIRST_BYTES 4096U /* most of what we read from /proc is less */

/* ---- names ---- */

static bool io_is_dot_dot(const char *component, size_t size)
{
	return size == 2 && memcmp(component, "..", 2) == 0;
}

/* What both ways of io_openat() refuse before they look at the disk. */
static int io_check_name(const char *name)
{
	const char *p = name;

	if (*name == '\0')
		return -EINVAL;
	if (*name == '/')
		return -EXDEV;
	while (*p != '\0') {
		size_t size = strcspn(p, "/");

		if (io_is_dot_dot(p, size))
			return -EXDEV;
		p += size;
		p += strspn(p, "/");
	}
	return 0;
}

static bool io_is_component(const char *name)
{
	return *name != '\0' && !strchr(name, '/') && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0;
}

/* Copies the component at *@p and steps over it and its slashes. */
static int io_next_component(const char **p, char ret[static NAME_MAX + 1])
{
	size_t size = strcspn(*p, "/");

	if (size > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(ret, *p, size);
	ret[size] = '\0';
	*p += size;
	*p += strspn(*p, "/");
	return 0;
}

/* ---- opening without links ---- */

static bool io_is_link_at(int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
}

static bool io_is_link(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISLNK(st.st_mode);
}

static bool io_creates(int flags)
{
	return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

/*
 * One component; a link is -ELOOP whatever the flags. The kernel says ENOTDIR for O_DIRECTORY |
 * O_NOFOLLOW on a link, and with O_PATH it opens the link itself: open(2), O_NOFOLLOW.
 */
static int io_open_component(int dirfd, const char *name, int flags, mode_t mode)
{
	CLEANUP(cleanup_close)
	int fd = openat(dirfd, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);

	if (fd < 0) {
		int r = -errno;

		return r == -ENOTDIR && io_is_link_at(dirfd, name) ? -ELOOP : r;
	}
	if ((flags & O_PATH) != 0 && io_is_link(fd))
		return -ELOOP;
	return TAKE_FD(fd);
}

static int io_walk(int dirfd, const char *name, int flags, mode_t mode)
{
	char component[NAME_MAX + 1];
	CLEANUP(cleanup_close)
	int held = -1;
	int at = dirfd;
	int r = io_check_name(name);

	if (r < 0)
		return r;
	for (const char *p = name;;) {
		r = io_next_component(&p, component);
		if (r < 0)
			return r;
		if (*p == '\0')
			break;
		r = io_open_component(at, component, O_PATH | O_DIRECTORY, 0);
		if (r < 0)
			return r;
		cleanup_close_fd(held);
		held = at = r;
	}
	if (name[strlen(name) - 1] == '/') {
		if (io_creates(flags))
			return -EISDIR;
		flags |= O_DIRECTORY;
	}
	return io_open_component(at, component, flags, mode);
}

int io_openat_walk(int dirfd, const char *name, int flags, mode_t mode)
{
	int r = io_walk(dirfd, name, flags, mode);

	return r < 0 ? err_raise(r, "open '%s' below a directory", name) : r;
}

/* openat2(2) rejects a mode where nothing can be made; O_NOFOLLOW | O_PATH would open a link. */
static int io_openat2(int dirfd, const char *name, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)((flags | O_CLOEXEC) & ~O_NOFOLLOW),
		.mode = io_creates(flags) ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	long fd = syscall(SYS_openat2, dirfd, name, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

int io_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	int r = io_check_name(name);

	if (r == 0)
		r = io_openat2(dirfd, name, flags, mode);
	if (r == -ENOSYS || r == -EPERM)
		return err_pass(io_openat_walk(dirfd, name, flags, mode));
	return r < 0 ? err_raise(r, "open '%s' below a directory", name) : r;
}

/* ---- directories ---- */

/* Links are followed here. Opened first: what exists needs no right to write beside it. */
static int io_open_or_make_dir(int dirfd, const char *name, int flags, mode_t mode)
{
	int fd = openat(dirfd, name, flags | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (errno != ENOENT)
		return -errno;
	if (mkdirat(dirfd, name, mode) < 0) {
		if (errno != EEXIST)
			return -errno;
	} else if (fchmodat(dirfd, name, mode, 0) < 0) {
		return -errno; /* what we make has our mode, whatever the umask of who started us */
	}
	fd = openat(dirfd, name, flags | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int io_make_dir_walk(const char *path, mode_t mode)
{
	const char *p = path + strspn(path, "/");
	char component[NAME_MAX + 1];
	CLEANUP(cleanup_close)
	int at = open("/", (*p == '\0' ? O_RDONLY : O_PATH) | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (at < 0)
		return -errno;
	while (*p != '\0') {
		r = io_next_component(&p, component);
		if (r < 0)
			return r;
		r = io_open_or_make_dir(at, component, *p == '\0' ? O_RDONLY : O_PATH, mode);
		if (r < 0)
			return r;
		cleanup_close_fd(at);
		at = r;
	}
	return TAKE_FD(at);
}

int io_make_dir(const char *path, mode_t mode, int *ret_fd)
{
	int r;

	if (path[0] != '/')
		return err_raise(-EINVAL, "make directory '%s', which is not absolute", path);
	if (strlen(path) >= PATH_MAX)
		return err_raise(-ENAMETOOLONG, "make directory '%s'", path);
	r = io_make_dir_walk(path, mode);
	if (r < 0)
		return err_raise(r, "make directory '%s'", path);
	*ret_fd = r;
	return 0;
}

int io_mkdirat(int dirfd, const char *name, mode_t mode)
{
	bool made;
	int fd;

	if (!io_is_component(name))
		return err_raise(-EINVAL, "make directory '%s', which is not one name", name);
	made = mkdirat(dirfd, name, mode) == 0;
	if (!made && errno != EEXIST)
		return err_raise(-errno, "make directory '%s'", name);
	fd = io_openat(dirfd, name, O_RDONLY | O_DIRECTORY, 0);
	if (fd >= 0 && made && fchmod(fd, mode) < 0) {
		int r = err_raise(-errno, "set the mode of directory '%s'", name);

		cleanup_close_fd(fd);
		return r;
	}
	return err_pass(fd);
}

/* ---- reading and writing ---- */

/* Return: bytes, 0 at the end, -errno */
static ssize_t io_read_some(int fd, char *data, size_t size)
{
	ssize_t n;

	do
		n = read(fd, data, size);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* Room for one byte more than @max, to see that there is more, and for the NUL. */
static int io_grow(char **data, size_t *capacity, size_t max)
{
	size_t want = *capacity == 0 ? IO_READ_FIRST_BYTES : *capacity * 2;
	char *grown;

	if (*capacity > SIZE_MAX / 2)
		return -ENOMEM;
	if (want - 2 > max)
		want = max + 2;
	grown = realloc(*data, want);
	if (!grown)
		return -ENOMEM;
	*data = grown;
	*capacity = want;
	return 0;
}

int io_read_all(int fd, size_t max, char **ret, size_t *ret_size)
{
	CLEANUP(cleanup_free)
	char *data = NULL;
	size_t capacity = 0, used = 0;
	ssize_t n;

	do {
		if (used + 1 >= capacity && io_grow(&data, &capacity, max) < 0)
			return err_raise(-ENOMEM, "read a file of over %zu bytes", used);
		n = io_read_some(fd, data + used, capacity - used - 1);
		if (n < 0)
			return err_raise((int)n, "read a file");
		used += (size_t)n;
		if (used > max)
			return err_raise(-EFBIG, "read a file of over %zu bytes", max);
	} while (n > 0);
	data[used] = '\0';
	*ret = TAKE_PTR(data);
	if (ret_size)
		*ret_size = used;
	return 0;
}

int io_read_path(const char *path, size_t max, char **ret, size_t *ret_size)
{
	CLEANUP(cleanup_close)
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	int r;

	if (fd < 0)
		return err_raise(-errno, "open '%s'", path);
	r = io_read_all(fd, max, ret, ret_size);
	return r < 0 ? err_raise(r, "read '%s'", path) : 0;
}

/* As io_write_all(), and counts what the kernel took, also on failure. */
static int io_write_counted(int fd, const char *data, size_t size, size_t *written)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) /* 0 bytes of more: no file of ours does that; never spin on it */
			return n < 0 ? -errno : -EIO;
		data += n;
		size -= (size_t)n;
		*written += (size_t)n;
	}
	return 0;
}

int io_write_all(int fd, const void *data, size_t size)
{
	size_t written = 0;
	int r = io_write_counted(fd, data, size, &written);

	return r < 0 ? err_raise(r, "write %zu bytes, of which %zu went", size, written) : 0;
}

/* ---- the buffered writer ---- */

static void io_writer_send(struct io_writer *w, const void *data, size_t size)
{
	int r;

	if (w->error < 0)
		return;
	r = io_write_counted(w->fd, data, size, &w->written_bytes);
	if (r < 0)
		w->error = r;
}

static void io_writer_empty(struct io_writer *w)
{
	io_writer_send(w, w->buffer, w->used);
	w->used = 0;
}

static void io_writer_make_buffer(struct io_writer *w)
{
	w->buffer = malloc(IO_WRITER_BYTES);
	if (!w->buffer)
		w->error = -ENOMEM;
}

void io_writer_put(struct io_writer *w, const void *data, size_t size)
{
	if (w->error < 0 || size == 0)
		return;
	if (!w->buffer)
		io_writer_make_buffer(w);
	if (!w->buffer)
		return;
	if (size > IO_WRITER_BYTES - w->used)
		io_writer_empty(w);
	if (size >= IO_WRITER_BYTES) {
		io_writer_send(w, data, size);
		return;
	}
	memcpy(w->buffer + w->used, data, size);
	w->used += size;
}

int io_writer_flush(struct io_writer *w)
{
	io_writer_empty(w);
	if (w->error < 0)
		return err_raise(w->error, "write after %zu bytes", w->written_bytes);
	return 0;
}

void io_writer_done(struct io_writer *w)
{
	free(w->buffer);
	w->buffer = NULL;
	w->used = 0;
}

/* ---- the atomic file ---- */

static int io_temporary_name(const char *name, char **ret)
{
	return asprintf(ret, ".%s.tmp", name) < 0 ? -ENOMEM : 0;
}

/* A stale one, of a writer that was killed, is removed; it is the exception. */
static int io_make_temporary(int dirfd, const char *temporary, mode_t mode)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dirfd, temporary, flags, mode);

	if (fd < 0 && errno == EEXIST && unlinkat(dirfd, temporary, 0) == 0)
		fd = openat(dirfd, temporary, flags, mode);
	return fd < 0 ? -errno : fd;
}

int io_atomic_begin(struct io_atomic *a, int dirfd, const char *name, mode_t mode)
{
	CLEANUP(cleanup_free)
	char *temporary = NULL;
	CLEANUP(cleanup_close)
	int fd = -1;
	char *copy;

	if (!io_is_component(name))
		return err_raise(-EINVAL, "write file '%s', which is not one name", name);
	if (io_temporary_name(name, &temporary) < 0)
		return err_raise(-ENOMEM, "write file '%s'", name);
	fd = io_make_temporary(dirfd, temporary, mode);
	if (fd < 0)
		return err_raise(fd, "make file '%s'", temporary);
	copy = fchmod(fd, mode) < 0 ? NULL : strdup(name);
	if (!copy) {
		int r = -errno;

		(void)unlinkat(dirfd, temporary, 0);
		return err_raise(r, "make file '%s'", temporary);
	}
	*a = (struct io_atomic){ .dirfd = dirfd, .fd = TAKE_FD(fd), .name = copy };
	return 0;
}

/* Return: 0 or -errno of close() or rename() */
static int io_atomic_publish(struct io_atomic *a, const char *temporary)
{
	int fd = TAKE_FD(a->fd);

	if (close(fd) < 0)
		return -errno;
	return renameat(a->dirfd, temporary, a->dirfd, a->name) < 0 ? -errno : 0;
}

int io_atomic_commit(struct io_atomic *a)
{
	CLEANUP(cleanup_free)
	char *temporary = NULL;
	int r = io_temporary_name(a->name, &temporary);

	if (r == 0)
		r = io_atomic_publish(a, temporary);
	if (r < 0) {
		(void)err_raise(r, "put file '%s' in place", a->name);
		io_atomic_abort(a);
		return r;
	}
	free(a->name);
	*a = IO_ATOMIC_NULL;
	return 0;
}

void io_atomic_abort(struct io_atomic *a)
{
	CLEANUP(cleanup_free)
	char *temporary = NULL;
	int saved = errno;

	if (!a->name)
		return;
	if (io_temporary_name(a->name, &temporary) == 0)
		(void)unlinkat(a->dirfd, temporary, 0);
	a->fd = cleanup_close_fd(a->fd);
	free(a->name);
	*a = IO_ATOMIC_NULL;
	errno = saved;
}
