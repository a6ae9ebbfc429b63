/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnetlink messages to values. No socket, no state: bytes in, value out, so that it can be fuzzed.
 */
#pragma once

#include <linux/netlink.h>
#include <stddef.h>

#include "netmon/model.h"
#include "netmon/source.h"

enum { _KERNEL_PARSE_OK = 0, KERNEL_PARSE_SKIP = 1 };

/**
 * kernel_parse_object() - one RTM_NEW* message of a dump
 * @h: a message whose nlmsg_len was checked against its buffer
 * @ret: struct link, addr, route, neigh or policy as @kind says; untouched unless 0 is returned
 *
 * Left out (KERNEL_PARSE_SKIP): families other than IPv4 and IPv6, link messages not of family
 * AF_UNSPEC (AF_BRIDGE ports, AF_INET6 settings: no links), RTM_F_CLONED routes, the local table
 * (255), multicast and local types; for MODEL_ROUTE other tables than main; for MODEL_POLICY the
 * main table and the kernel's own three rules; proxy and NUD_NOARP neighbours.
 *
 * Return: 0; KERNEL_PARSE_SKIP; -EBADMSG for what is malformed (too short, wrong lengths,
 * unterminated names).
 */
int kernel_parse_object(enum model_kind kind, const struct nlmsghdr *h, void *ret);

/**
 * kernel_parse_hint() - one notification
 * A route of a table other than main and local, or a rule, is a hint of MODEL_POLICY; a route of
 * the local table and a cloned one are no hint of anything. Address events are hints of MODEL_ADDR,
 * and so on; RTM_DELLINK of family AF_UNSPEC sets link_gone.
 * Return: 0; KERNEL_PARSE_SKIP: tells nothing; -EBADMSG.
 */
int kernel_parse_hint(const struct nlmsghdr *h, struct source_hint *ret);
