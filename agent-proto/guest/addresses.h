/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses as the kernel has them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/guest/netlink.h"
#include "agent-proto/guest/owned.h"

#define ADDRESSES_MAX 65536U

struct addresses {
	struct owned_item *items; /* kind OWNED_ADDRESS; in the kernel's order */
	size_t n, capacity;
	struct owned_item *sorted; /* the same, to look one up */
};

int addresses_list(struct netlink *n, struct addresses *ret); /* of all links, IPv4 before IPv6 */
void addresses_done(struct addresses *a); /* legal on a zeroed one; usable with CLEANUP() */
bool addresses_has(const struct addresses *a, const struct owned_item *item);
/* Forgets those of the journal that are gone from @a, on disk too. */
void addresses_sync(struct owned *o, const struct addresses *a);

/*
 * IPv6 without duplicate detection: the host has the same address of the pod's side, where it was
 * checked, and the guest's would wait a second for an answer that may be the host's own.
 * Return: 0; -EEXIST and others of the kernel.
 */
int addresses_add(struct netlink *n, const struct owned_item *item);
/* Return: 0, also when it is not there. */
int addresses_remove(struct netlink *n, const struct owned_item *item);
