/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal of what this agent put into the kernel and has no mark of its own there: addresses
 * and neighbours. (Routes are known by their protocol, routes.h.)
 *
 * On disk in a file that appears whole or not at all, and is written before the kernel is told: an
 * agent that is killed in between has noted what is not there, which is dropped when it is looked
 * for, never the other way round. By the same argument what is gone is struck out after the kernel
 * was told, and where the disk is full, later: nothing is added then, but all can be taken back. It
 * is bound to the boot and the network namespace; another's is thrown away.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define OWNED_MAX	  131072U
#define OWNED_BYTES_MAX	  (16U << 20) /* of the file */
#define OWNED_FILE	  "owned"
#define OWNED_FILE_BROKEN "owned.broken"

enum owned_kind { OWNED_ADDRESS, OWNED_NEIGHBOR, _OWNED_KIND_MAX };

struct owned_item {
	uint32_t index; /* of the link */
	uint8_t kind;
	uint8_t family;
	uint8_t prefixlen; /* of a neighbour: the whole length */
	uint8_t bytes[16];
	uint16_t state; /* of a neighbour: as it was asked for, NUD_*; 0: permanent; is no key */
};

struct owned;

/**
 * owned_new() - the journal in directory @path, which is made
 * @cookie: netlink_cookie()
 * A file that can't be read as one (a link is none) is set aside as OWNED_FILE_BROKEN, and that is
 * said. The directory is locked until owned_free() or our end: two agents would overwrite each
 * other's journal.
 * Return: 0; -EWOULDBLOCK: another agent has it; -errno.
 */
int owned_new(struct owned **ret, const char *path, uint64_t cookie);
struct owned *owned_free(struct owned *o);
DEFINE_CLEANUP(struct owned, owned_free)

bool owned_has(const struct owned *o, const struct owned_item *item);
/* NULL: it is not there. Valid until the next change. */
const struct owned_item *owned_get(const struct owned *o, const struct owned_item *item);
/* Return: 0, also when it is there (then with the new state, never an error); -ENOSPC over OWNED_MAX; -ENOMEM. */
int owned_add(struct owned *o, const struct owned_item *item);
void owned_remove(struct owned *o, const struct owned_item *item);
/* In order; valid until the next change. */
const struct owned_item *owned_items(const struct owned *o, size_t *ret_n);
/* Drops those of @kind that @is_there does not know. */
void owned_keep(struct owned *o, enum owned_kind kind,
		bool (*is_there)(void *userdata, const struct owned_item *item), void *userdata);
/* To disk, if something changed since. Return: 0, -errno. */
int owned_save(struct owned *o);
/* The same for what only strikes out: a failure is logged, once until it works again. */
void owned_settle(struct owned *o);
