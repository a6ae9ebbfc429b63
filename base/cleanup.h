/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ownership that ends with the scope.
 *
 * CLEANUP(fn) runs fn(&variable) when the variable leaves its scope; TAKE_PTR and TAKE_FD hand the
 * value on and leave an empty one behind. With these a function needs no goto and no second list of
 * what to undo.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((__cleanup__(fn)))

#define TAKE_PTR(p)                               \
	__extension__({                           \
		__typeof__(p) *take_at_ = &(p);   \
		__typeof__(p) taken_ = *take_at_; \
		*take_at_ = NULL;                 \
		taken_;                           \
	})

#define TAKE_FD(fd)                     \
	__extension__({                 \
		int *take_at_ = &(fd);  \
		int taken_ = *take_at_; \
		*take_at_ = -1;         \
		taken_;                 \
	})

/* DEFINE_CLEANUP(struct foo, foo_free) defines foo_freep(), for CLEANUP(foo_freep) on a pointer. */
#define DEFINE_CLEANUP(type, fn)            \
	static inline void fn##p(type **at) \
	{                                   \
		if (*at)                    \
			fn(*at);            \
	}

static inline void cleanup_free(void *at)
{
	free(*(void **)at);
}

/* These keep errno: they run on the way out, when errno may still be the answer. */
static inline int cleanup_close_fd(int fd)
{
	int saved = errno;

	if (fd >= 0)
		(void)close(fd);
	errno = saved;
	return -1;
}

static inline void cleanup_close(int *at)
{
	*at = cleanup_close_fd(*at);
}

static inline void cleanup_fclose(FILE **at)
{
	int saved = errno;

	if (*at)
		(void)fclose(*at);
	errno = saved;
}

static inline void cleanup_closedir(DIR **at)
{
	int saved = errno;

	if (*at)
		(void)closedir(*at);
	errno = saved;
}
