/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a link loses when it goes down, taken before and put back after: its routes (but those that
 * the kernel makes itself), also those of several hops, its IPv6 addresses, and its neighbours that
 * somebody has set (permanent, noarp), of whoever they are, as the kernel wrote them.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "agent-proto/guest/netlink.h"

#define KEPT_MAX 100000U /* messages */

/* Named: the size of a bare pointer is what clang-tidy takes for a slip. */
struct kept_message {
	struct nl_msg *message;
};

struct kept {
	struct kept_message *messages; /* in the order in which they are put back */
	size_t n, capacity;
	uint32_t index;
	int error; /* the first of putting back */
};

int kept_take(struct netlink *n, uint32_t index, struct kept *ret);
/* What is there already is fine. Return: 0, or the first error, after all was tried. */
int kept_put_back(struct netlink *n, struct kept *k);
void kept_done(struct kept *k); /* legal on a zeroed one; usable with CLEANUP() */
