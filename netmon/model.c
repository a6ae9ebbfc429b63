/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of a pod's network: order, equality, hash, and words for people.
 */
#include "netmon/model.h"

#include <linux/if.h>
#include <string.h>
#include <sys/socket.h>

#include "base/ip.h"
#include "base/text.h"

_Static_assert(MODEL_NAME_BYTES == IFNAMSIZ, "names are the kernel's");
_Static_assert(MODEL_IP_TEXT_BYTES == IP_TEXT_BYTES, "ip_format() fills it");
_Static_assert(MODEL_MAC_TEXT_BYTES == IP_MAC_TEXT_BYTES, "ip_format_mac() fills it");

static const char *const kind_names[] = {
	[MODEL_LINK] = "link",	     [MODEL_ADDR] = "address",	[MODEL_ROUTE] = "route",
	[MODEL_NEIGH] = "neighbour", [MODEL_POLICY] = "policy",
};
_Static_assert(sizeof(kind_names) / sizeof(kind_names[0]) == _MODEL_KIND_MAX, "one name a kind");

static const char *const unsayable_names[] = {
	[MODEL_SAYABLE] = "",
	[MODEL_UNSAYABLE_TYPE] = "not-unicast",
	[MODEL_UNSAYABLE_MULTIPATH] = "multipath",
	[MODEL_UNSAYABLE_VIA] = "via-other-family",
	[MODEL_UNSAYABLE_NEXTHOP] = "nexthop-object",
	[MODEL_UNSAYABLE_ENCAP] = "encapsulation",
	[MODEL_UNSAYABLE_TOS] = "tos",
};
_Static_assert(sizeof(unsayable_names) / sizeof(unsayable_names[0]) == _MODEL_UNSAYABLE_MAX,
	       "one name a reason");

const char *model_kind_to_string(enum model_kind kind)
{
	return kind_names[kind];
}

const char *model_unsayable_to_string(enum model_unsayable u)
{
	return unsayable_names[u];
}

uint8_t model_route_family(const struct route *r)
{
	return r->is_inet6 ? AF_INET6 : AF_INET;
}

bool model_is_link_local6(uint8_t family, const uint8_t bytes[16])
{
	return family == AF_INET6 && bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

/* ---- order ---- */

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

/* The first difference decides; each line of a comparison is one field. */
#define RETURN_IF_DIFFERENT(c)     \
	do {                       \
		int c_ = (c);      \
		if (c_)            \
			return c_; \
	} while (0)

static int compare_link_key(const struct link *a, const struct link *b)
{
	return COMPARE(a->ifindex, b->ifindex);
}

static int compare_link(const struct link *a, const struct link *b)
{
	RETURN_IF_DIFFERENT(compare_link_key(a, b));
	RETURN_IF_DIFFERENT(COMPARE(a->incarnation, b->incarnation));
	RETURN_IF_DIFFERENT(COMPARE(a->mtu, b->mtu));
	RETURN_IF_DIFFERENT(COMPARE(a->flags, b->flags));
	RETURN_IF_DIFFERENT(COMPARE(a->master, b->master));
	RETURN_IF_DIFFERENT(COMPARE(a->peer_ifindex, b->peer_ifindex));
	RETURN_IF_DIFFERENT(COMPARE(a->hardware, b->hardware));
	RETURN_IF_DIFFERENT(COMPARE(a->peer_elsewhere, b->peer_elsewhere));
	RETURN_IF_DIFFERENT(COMPARE(a->mac_bytes, b->mac_bytes));
	RETURN_IF_DIFFERENT(memcmp(a->mac, b->mac, sizeof(a->mac)));
	RETURN_IF_DIFFERENT(strncmp(a->name, b->name, sizeof(a->name)));
	return strncmp(a->kind, b->kind, sizeof(a->kind));
}

static int compare_addr_key(const struct addr *a, const struct addr *b)
{
	RETURN_IF_DIFFERENT(COMPARE(a->ifindex, b->ifindex));
	RETURN_IF_DIFFERENT(COMPARE(a->family, b->family));
	RETURN_IF_DIFFERENT(memcmp(a->bytes, b->bytes, sizeof(a->bytes)));
	return COMPARE(a->prefixlen, b->prefixlen);
}

static int compare_addr(const struct addr *a, const struct addr *b)
{
	RETURN_IF_DIFFERENT(compare_addr_key(a, b));
	RETURN_IF_DIFFERENT(COMPARE(a->flags, b->flags));
	return COMPARE(a->scope, b->scope);
}

/*
 * As the kernel walks its IPv4 trie: by destination, longest prefix first. A dump comes sorted, so
 * sealing it costs nothing.
 */
static int compare_route_key(const struct route *a, const struct route *b)
{
	RETURN_IF_DIFFERENT(COMPARE(a->is_inet6, b->is_inet6));
	RETURN_IF_DIFFERENT(memcmp(a->dst, b->dst, sizeof(a->dst)));
	return COMPARE(b->prefixlen, a->prefixlen);
}

static int compare_route(const struct route *a, const struct route *b)
{
	uint8_t flags_a = a->flags & (uint8_t)~MODEL_ROUTE_LEARNT;
	uint8_t flags_b = b->flags & (uint8_t)~MODEL_ROUTE_LEARNT;

	RETURN_IF_DIFFERENT(compare_route_key(a, b));
	RETURN_IF_DIFFERENT(COMPARE(a->metric, b->metric));
	RETURN_IF_DIFFERENT(COMPARE(a->unsayable, b->unsayable));
	RETURN_IF_DIFFERENT(COMPARE(a->ifindex, b->ifindex));
	RETURN_IF_DIFFERENT(COMPARE(flags_a, flags_b));
	RETURN_IF_DIFFERENT(memcmp(a->gateway, b->gateway, sizeof(a->gateway)));
	RETURN_IF_DIFFERENT(memcmp(a->source, b->source, sizeof(a->source)));
	RETURN_IF_DIFFERENT(COMPARE(a->mtu, b->mtu));
	return COMPARE(a->scope, b->scope);
}

static int compare_neigh_key(const struct neigh *a, const struct neigh *b)
{
	RETURN_IF_DIFFERENT(COMPARE(a->ifindex, b->ifindex));
	RETURN_IF_DIFFERENT(COMPARE(a->family, b->family));
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static int compare_neigh(const struct neigh *a, const struct neigh *b)
{
	RETURN_IF_DIFFERENT(compare_neigh_key(a, b));
	RETURN_IF_DIFFERENT(COMPARE(a->mac_bytes, b->mac_bytes));
	RETURN_IF_DIFFERENT(memcmp(a->mac, b->mac, sizeof(a->mac)));
	RETURN_IF_DIFFERENT(COMPARE(a->state, b->state));
	return COMPARE(a->router, b->router);
}

static int compare_policy(const struct policy *a, const struct policy *b)
{
	RETURN_IF_DIFFERENT(COMPARE(a->is_rule, b->is_rule));
	RETURN_IF_DIFFERENT(COMPARE(a->family, b->family));
	RETURN_IF_DIFFERENT(COMPARE(a->table, b->table));
	return COMPARE(a->priority, b->priority);
}

int model_compare(enum model_kind kind, const void *a, const void *b)
{
	switch (kind) {
	case MODEL_LINK:
		return compare_link(a, b);
	case MODEL_ADDR:
		return compare_addr(a, b);
	case MODEL_ROUTE:
		return compare_route(a, b);
	case MODEL_NEIGH:
		return compare_neigh(a, b);
	case MODEL_POLICY:
	case _MODEL_KIND_MAX:
		break;
	}
	return compare_policy(a, b);
}

int model_compare_key(enum model_kind kind, const void *a, const void *b)
{
	switch (kind) {
	case MODEL_LINK:
		return compare_link_key(a, b);
	case MODEL_ADDR:
		return compare_addr_key(a, b);
	case MODEL_ROUTE:
		return compare_route_key(a, b);
	case MODEL_NEIGH:
		return compare_neigh_key(a, b);
	case MODEL_POLICY:
	case _MODEL_KIND_MAX:
		break;
	}
	return compare_policy(a, b);
}

size_t model_bytes(enum model_kind kind)
{
	static const size_t bytes[] = {
		[MODEL_LINK] = sizeof(struct link),	[MODEL_ADDR] = sizeof(struct addr),
		[MODEL_ROUTE] = sizeof(struct route),	[MODEL_NEIGH] = sizeof(struct neigh),
		[MODEL_POLICY] = sizeof(struct policy),
	};

	return bytes[kind];
}

/* ---- hash ---- */

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/*
 * What is not part of the value is blanked in a copy; the rest is hashed as it lies, since unused
 * bytes are zero.
 */
uint64_t model_hash(enum model_kind kind, const void *value, uint64_t seed)
{
	union {
		struct link link;
		struct addr addr;
		struct route route;
		struct neigh neigh;
		struct policy policy;
	} copy = { 0 };

	memcpy(&copy, value, model_bytes(kind));
	if (kind == MODEL_LINK) {
		copy.link.replugged = false;
		copy.link.sent_usec = 0;
	} else if (kind == MODEL_ADDR) {
		copy.addr.learnt = 0;
	} else if (kind == MODEL_ROUTE) {
		copy.route.flags &= (uint8_t)(~MODEL_ROUTE_LEARNT & 0x1f);
	} else if (kind == MODEL_NEIGH) {
		copy.neigh.learnt = 0;
	}
	return hash_bytes(hash_bytes(seed, &kind, sizeof(kind)), &copy, model_bytes(kind));
}

/* ---- words ---- */

void model_format_ip(uint8_t family, const uint8_t bytes[16], char ret[MODEL_IP_TEXT_BYTES])
{
	ip_format(family, bytes, ret);
	if (ret[0] == '\0')
		memcpy(ret, "?", 2);
}

void model_format_mac(uint8_t mac_bytes, const uint8_t mac[MODEL_MAC_BYTES],
		      char ret[MODEL_MAC_TEXT_BYTES])
{
	ret[0] = '\0';
	if (mac_bytes == MODEL_MAC_BYTES)
		ip_format_mac(mac, ret);
}

static void describe_link(const struct link *l, struct text *to)
{
	char mac[MODEL_MAC_TEXT_BYTES];

	model_format_mac(l->mac_bytes, l->mac, mac);
	text_append_value(to, l->name, strnlen(l->name, sizeof(l->name)));
	text_appendf(to, " (%u) ", l->ifindex);
	text_append_value(to, l->kind, strnlen(l->kind, sizeof(l->kind)));
	text_appendf(to, " %s mtu %u", mac[0] ? mac : "no-mac", l->mtu);
	if (l->flags)
		text_appendf(to, " flags 0x%x%s%s", l->flags, l->flags & IFF_UP ? " up" : "",
			     l->flags & (uint32_t)IFF_LOWER_UP ? " lower-up" : "");
	if (l->master)
		text_appendf(to, " master %u", l->master);
	if (l->incarnation)
		text_appendf(to, " incarnation %u", l->incarnation);
}

static void describe_addr(const struct addr *a, struct text *to)
{
	char ip[MODEL_IP_TEXT_BYTES];

	model_format_ip(a->family, a->bytes, ip);
	text_appendf(to, "%s/%u dev %u%s", ip, a->prefixlen, a->ifindex,
		     a->learnt ? " learnt" : "");
}

static void describe_route(const struct route *r, struct text *to)
{
	char ip[MODEL_IP_TEXT_BYTES];
	uint8_t family = model_route_family(r);

	model_format_ip(family, r->dst, ip);
	text_appendf(to, "%s/%u", ip, r->prefixlen);
	if (r->flags & MODEL_ROUTE_GATEWAY) {
		model_format_ip(family, r->gateway, ip);
		text_appendf(to, " via %s", ip);
	}
	if (r->ifindex)
		text_appendf(to, " dev %u", r->ifindex);
	if (r->flags & MODEL_ROUTE_SOURCE) {
		model_format_ip(family, r->source, ip);
		text_appendf(to, " src %s", ip);
	}
	if (r->metric)
		text_appendf(to, " metric %u", r->metric);
	if (r->mtu)
		text_appendf(to, " mtu %u", r->mtu);
	text_appendf(to, " scope %u%s%s%s%s", r->scope,
		     r->flags & MODEL_ROUTE_ONLINK ? " onlink" : "",
		     r->flags & MODEL_ROUTE_KERNEL ? " proto-kernel" : "", r->unsayable ? " " : "",
		     unsayable_names[r->unsayable]);
}

static void describe_neigh(const struct neigh *n, struct text *to)
{
	char ip[MODEL_IP_TEXT_BYTES];
	char mac[MODEL_MAC_TEXT_BYTES];

	model_format_ip(n->family, n->bytes, ip);
	model_format_mac(n->mac_bytes, n->mac, mac);
	text_appendf(to, "%s lladdr %s dev %u%s", ip, mac[0] ? mac : "none", n->ifindex,
		     n->learnt ? " learnt" : "");
}

static void describe_policy(const struct policy *p, struct text *to)
{
	const char *family = p->family == AF_INET6 ? "inet6" : "inet";

	if (p->is_rule)
		text_appendf(to, "%s rule %u table %u", family, p->priority, p->table);
	else
		text_appendf(to, "%s table %u", family, p->table);
}

void model_describe(enum model_kind kind, const void *value, struct text *to)
{
	switch (kind) {
	case MODEL_LINK:
		describe_link(value, to);
		return;
	case MODEL_ADDR:
		describe_addr(value, to);
		return;
	case MODEL_ROUTE:
		describe_route(value, to);
		return;
	case MODEL_NEIGH:
		describe_neigh(value, to);
		return;
	case MODEL_POLICY:
	case _MODEL_KIND_MAX:
		break;
	}
	describe_policy(value, to);
}
