/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IPv6 routes that have an address as their preferred source, taken before that address goes and
 * comes again with another length, and put back after, of whoever they are: the kernel leaves them
 * there without it.
 * Source: net/ipv6/route.c, rt6_remove_prefsrc().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/guest/netlink.h"
#include "agent-proto/guest/owned.h"

#define SOURCES_MAX 100000U /* routes */

/* What tells routes from one another. */
struct sources_key {
	uint32_t table;
	uint32_t priority;
	uint8_t prefixlen;
	uint8_t dest[16];
};

struct sources_message {
	struct nl_msg *message;
};

struct sources {
	struct sources_message *messages;
	size_t n, capacity;
	struct owned_item address;
	struct sources_key last; /* of what was listed */
	int error;		 /* the first of putting back */
};

int sources_take(struct netlink *n, const struct owned_item *address, struct sources *ret);
/*
 * In place. Of several with one destination and metric only the first is: the kernel would replace
 * that one for the others too. Return: 0, or the first error, after all were tried.
 */
int sources_put_back(struct netlink *n, struct sources *s);
void sources_done(struct sources *s); /* legal on a zeroed one; usable with CLEANUP() */
