/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's links: found by MAC, set up and down, renamed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/guest/netlink.h"

#define LINKS_NAME_BYTES 16
#define LINKS_MAX	 16384U

struct links_link {
	uint32_t index;
	uint32_t flags; /* IFF_* */
	uint32_t mtu;
	char name[LINKS_NAME_BYTES];
	char kind[LINKS_NAME_BYTES]; /* "" of what hardware (and virtio) has */
	uint8_t mac[6];
	bool has_mac;
	bool is_loopback;
};

struct links {
	struct links_link *items;
	size_t n, capacity;
};

/* Return: 0; -EMSGSIZE over LINKS_MAX; -errno. *ret untouched on failure. */
int links_list(struct netlink *n, struct links *ret);
void links_done(struct links *l); /* legal on a zeroed one; usable with CLEANUP() */

/*
 * Not the loopback. Of several links with one MAC (a bridge or a VLAN has that of what is in it)
 * the one without a kind, then the one with the smallest index, is the NIC. NULL: none.
 */
const struct links_link *links_by_mac(const struct links *l, const uint8_t mac[6]);
const struct links_link *links_by_name(const struct links *l, const char *name);
const struct links_link *links_by_index(const struct links *l, uint32_t index);

/* Sets the flags of @mask to @flags. */
int links_set_flags(struct netlink *n, uint32_t index, uint32_t flags, uint32_t mask);
int links_set_mtu(struct netlink *n, uint32_t index, uint32_t mtu);
/*
 * Of two IPv4 addresses in one subnet the second lives as long as the first, unless this is set.
 * Source: net/ipv4/devinet.c, __inet_del_ifa(), IN_DEV_PROMOTE_SECONDARIES.
 */
int links_promote_secondaries(struct netlink *n, uint32_t index);

/**
 * links_rename() - give a link a name, also one that another has
 *
 * The other gets the first one's old name. A link that is up keeps all it has: kernels from 6.2 on
 * rename it so; where it must go down (EBUSY), its routes, IPv6 addresses and permanent neighbours
 * are put back, whoever they belong to.
 * Source: net/core/dev.c, dev_change_name(); Linux bd039b5ea2a9.
 */
int links_rename(struct netlink *n, const struct links *l, uint32_t index, const char *name);
/* The way for old kernels, alone. */
int links_rename_down(struct netlink *n, uint32_t index, const char *name);
