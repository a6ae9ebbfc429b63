/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files: opened without following anybody's links, read with a bound, written whole or not at all.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/**
 * io_make_dir() - open directory @path, making it and its missing parents
 * @path: absolute; its components may be links (/var/run is one on today's systems): this is for
 *        the operator's own base path, never for a path built from an id
 * @mode: of the directories that are made, exactly
 * @ret_fd: O_PATH-less directory fd, close-on-exec, caller closes
 *
 * Return: 0; -EINVAL if not absolute, -ENOTDIR, -EACCES, -ENOSPC, -ENAMETOOLONG...
 */
int io_make_dir(const char *path, mode_t mode, int *ret_fd);

/**
 * io_openat() - open @name below @dirfd without following any link
 * @flags: O_CLOEXEC is added. @mode: for O_CREAT, before the umask
 *
 * openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS); where the kernel or a
 * seccomp filter has no openat2 (ENOSYS, EPERM), component by component with O_NOFOLLOW. On both
 * ways absolute names and ".." anywhere are -EXDEV, an empty name is -EINVAL.
 *
 * Return: fd >= 0, caller closes; -ELOOP for a link in any place (also with O_PATH | O_NOFOLLOW),
 * -ENOENT, ...
 * Source: openat2(2); CVE-2021-30465 (runc) is what this is against.
 */
int io_openat(int dirfd, const char *name, int flags, mode_t mode);

/* The fall-back of io_openat() alone: for its tests. */
int io_openat_walk(int dirfd, const char *name, int flags, mode_t mode);

/*
 * Opens directory @name (one component) below @dirfd, making it when it is not there.
 * Return: fd or -errno; -EINVAL if it is not one component, -ELOOP for a link.
 */
int io_mkdirat(int dirfd, const char *name, mode_t mode);

/**
 * io_read_all() - read from @fd to its end
 * @max: bytes; a longer file is -EFBIG and nothing is returned
 * @ret: NUL-terminated (the NUL is not counted), caller frees. @ret_size may be NULL.
 */
int io_read_all(int fd, size_t max, char **ret, size_t *ret_size);

/* io_read_path() - the same for an absolute path of the system's own (/proc/...), links followed */
int io_read_path(const char *path, size_t max, char **ret, size_t *ret_size);

/*
 * Writes all of it, across short writes and EINTR. Return: 0 or -errno (-EAGAIN on a full
 * non-blocking fd).
 */
int io_write_all(int fd, const void *data, size_t size);

/* ---- a buffered writer, for documents too long to hold ---- */

#define IO_WRITER_BYTES (32U * 1024)

/* Errors are kept in @error and given by io_writer_flush(): put as often as you like, look once. */
struct io_writer {
	int fd; /* borrowed */
	int error;
	size_t used;
	size_t written_bytes; /* handed to the kernel so far */
	char *buffer;	      /* IO_WRITER_BYTES, made at the first put */
};

#define IO_WRITER_ON(fd_) ((struct io_writer){ .fd = (fd_) })

void io_writer_put(struct io_writer *w, const void *data, size_t size);
int io_writer_flush(struct io_writer *w); /* Return: 0, or the first error */
void io_writer_done(struct io_writer *w); /* frees the buffer, does not flush */

/* ---- a file that appears whole or not at all ---- */

/*
 * io_atomic_begin() makes ".NAME.tmp" (O_EXCL; a stale one is removed) in @dirfd with exactly
 * @mode, whatever the umask; write to @fd; io_atomic_commit() renames it over NAME, and when that
 * fails removes it: after it the object is IO_ATOMIC_NULL in either case. io_atomic_abort() removes
 * it; legal on IO_ATOMIC_NULL and after a commit. One writer for a NAME at a time: callers hold a
 * lock.
 *
 * No fsync: all that we write lives on /run and is worth nothing after a crash of the machine
 * (state is bound to the boot id).
 */
struct io_atomic {
	int dirfd; /* borrowed */
	int fd;
	char *name;
};

#define IO_ATOMIC_NULL ((struct io_atomic){ .dirfd = -1, .fd = -1 })

int io_atomic_begin(struct io_atomic *a, int dirfd, const char *name, mode_t mode);
int io_atomic_commit(struct io_atomic *a);
void io_atomic_abort(struct io_atomic *a); /* usable with CLEANUP() */
