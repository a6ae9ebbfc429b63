/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a message of the kernel. The first byte selects the kind that is expected (of the
 * model, one more is a hint), the rest is the message; a length in it that is not true is put
 * right, as the receiving loop would have seen to.
 */
#include <linux/netlink.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "netmon/kernel-parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

union value {
	struct link link;
	struct addr addr;
	struct route route;
	struct neigh neigh;
	struct policy policy;
};

/* abort(), so that it is found in a build without assertions too */
static void must(bool is_true, const char *what)
{
	if (is_true)
		return;
	(void)fprintf(stderr, "broken: %s\n", what);
	abort();
}

static bool is_ip(uint8_t family, unsigned prefixlen)
{
	return (family == AF_INET && prefixlen <= 32) || (family == AF_INET6 && prefixlen <= 128);
}

static bool has_host_bits(const struct route *r)
{
	for (unsigned bit = r->prefixlen; bit < 128; bit++)
		if (r->dst[bit / 8] & (0x80U >> (bit % 8)))
			return true;
	return false;
}

static void check_link(const struct link *l)
{
	must(l->ifindex != 0, "a link has a number");
	must(l->name[0] != '\0' && memchr(l->name, 0, sizeof(l->name)), "a link has a name");
	must(memchr(l->kind, 0, sizeof(l->kind)) != NULL, "a kind ends");
	must(l->mac_bytes == 0 || l->mac_bytes == MODEL_MAC_BYTES, "a MAC is whole");
}

static void check(enum model_kind kind, const union value *v)
{
	switch (kind) {
	case MODEL_LINK:
		check_link(&v->link);
		return;
	case MODEL_ADDR:
		must(is_ip(v->addr.family, v->addr.prefixlen), "an address is one");
		return;
	case MODEL_ROUTE:
		must(is_ip(model_route_family(&v->route), v->route.prefixlen), "a route is one");
		must(!has_host_bits(&v->route), "a destination has no host bits");
		must(v->route.unsayable < _MODEL_UNSAYABLE_MAX, "a reason is one");
		return;
	case MODEL_NEIGH:
		must(is_ip(v->neigh.family, 0), "a neighbour is one");
		return;
	case MODEL_POLICY:
		must(is_ip(v->policy.family, 0), "a policy is one");
		return;
	case _MODEL_KIND_MAX:
		return;
	}
}

static void parse_object(enum model_kind kind, const struct nlmsghdr *h)
{
	CLEANUP(text_done) struct text words = TEXT_NULL;
	union value v;
	union value again;

	memset(&v, 0, sizeof(v));
	memset(&again, 0xff, sizeof(again));
	if (kernel_parse_object(kind, h, &v) != 0)
		return;
	check(kind, &v);
	/* The value depends on the message alone: no field of it is left as it was. */
	must(kernel_parse_object(kind, h, &again) == 0, "the same answer twice");
	must(model_compare(kind, &v, &again) == 0, "the same value twice");
	model_describe(kind, &v, &words);
}

static void parse_hint(const struct nlmsghdr *h)
{
	struct source_hint hint;

	if (kernel_parse_hint(h, &hint) != 0)
		return;
	must((unsigned)hint.kind < _MODEL_KIND_MAX, "a hint has a kind");
	must(!hint.link_gone || hint.kind == MODEL_LINK, "only links go");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(cleanup_free) struct nlmsghdr *h = NULL;
	unsigned kind;

	if (size < 1 + sizeof(*h))
		return 0;
	kind = data[0] % (_MODEL_KIND_MAX + 1U);
	size--;
	h = malloc(size);
	if (!h)
		return 0;
	memcpy(h, data + 1, size);
	if (h->nlmsg_len < sizeof(*h) || h->nlmsg_len > size)
		h->nlmsg_len = (uint32_t)size;
	if (kind == _MODEL_KIND_MAX)
		parse_hint(h);
	else
		parse_object((enum model_kind)kind, h);
	return 0;
}
