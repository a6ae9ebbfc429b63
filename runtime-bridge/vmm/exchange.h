/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared file: one JSON document at a time, handed to the runtime's command line by its path.
 *
 * <state dir>/<sandbox id>/shared.json, mode 0640. The original wrote it in place and left it
 * behind after a failed call; here it appears whole (temporary name, rename) and is removed by its
 * owner.
 * Source: kata-containers/runtime netmon/netmon.go (storeDataToSend), cli/network.go ("file or -
 * for stdin").
 */
#pragma once

#include "base/io.h"

#define EXCHANGE_FILE_NAME "shared.json"
#define EXCHANGE_FILE_MODE 0640

struct exchange {
	int dirfd;  /* borrowed: the sandbox's directory, opened once */
	char *path; /* of the shared file, absolute, for argv */
	struct io_atomic file;
	struct io_writer writer; /* the document being written */
};

#define EXCHANGE_NULL       \
	((struct exchange){ \
		.dirfd = -1, .file = { .dirfd = -1, .fd = -1 }, .writer = { .fd = -1 } })

/* @dir_path: the absolute path of @dirfd. Return: 0, -ENOMEM. */
int exchange_init(struct exchange *x, int dirfd, const char *dir_path);
void exchange_done(
	struct exchange *x); /* removes nothing; legal on EXCHANGE_NULL; usable with CLEANUP() */

/* Begins a document: write it to &x->writer. Return: 0; -ENOSPC, -EMFILE... */
int exchange_begin(struct exchange *x);
/*
 * Publishes it. A failure (disk full) leaves no file and is the caller's to retry. Return: 0;
 * -ENOSPC, -EIO...
 */
int exchange_commit(struct exchange *x);
/* Removes the shared file, and a half-written one. Missing is fine. */
void exchange_remove(struct exchange *x);
