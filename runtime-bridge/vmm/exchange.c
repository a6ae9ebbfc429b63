/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared file, see exchange.h.
 */
#include "runtime-bridge/vmm/exchange.h"

#include "base/cleanup.h"
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int exchange_init(struct exchange *x, int dirfd, const char *dir_path)
{
	char *path;

	if (asprintf(&path, "%s/%s", dir_path, EXCHANGE_FILE_NAME) < 0)
		return err_raise(-ENOMEM, "name the shared file of '%s'", dir_path);
	*x = EXCHANGE_NULL;
	x->dirfd = dirfd;
	x->path = path;
	return 0;
}

/* Forgets a document that was begun and not published. Legal when there is none. */
static void exchange_abort(struct exchange *x)
{
	io_writer_done(&x->writer);
	x->writer = IO_WRITER_ON(-1);
	io_atomic_abort(&x->file);
}

void exchange_done(struct exchange *x)
{
	exchange_abort(x);
	free(x->path);
	*x = EXCHANGE_NULL;
}

int exchange_begin(struct exchange *x)
{
	int r;

	exchange_abort(x);
	r = io_atomic_begin(&x->file, x->dirfd, EXCHANGE_FILE_NAME, EXCHANGE_FILE_MODE);
	if (r < 0)
		return err_pass(r);
	x->writer = IO_WRITER_ON(x->file.fd);
	return 0;
}

int exchange_commit(struct exchange *x)
{
	int r = io_writer_flush(&x->writer);

	io_writer_done(&x->writer);
	if (r == 0)
		r = io_atomic_commit(&x->file);
	if (r < 0) {
		/*
		 * With it goes an older document: no file is better than one that says what was
		 * true before.
		 */
		exchange_remove(x);
		return err_pass(r);
	}
	return 0;
}

void exchange_remove(struct exchange *x)
{
	int saved = errno;

	exchange_abort(x);
	if (x->dirfd >= 0)
		(void)unlinkat(x->dirfd, EXCHANGE_FILE_NAME, 0);
	errno = saved;
}
