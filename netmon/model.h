/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The things that a pod's network is made of, as values: links, addresses, routes, neighbours, and
 * what else steers packets (rules and other tables, only counted).
 *
 * Pure: no library, no clock, no file, no log. Everything here is plain data without pointers, so
 * that a value can be copied, compared, hashed and stored as it is. Unused bytes are zero.
 *
 * The same types serve for what the kernel has (seen), what the guest should have (wanted) and what
 * it has confirmed (acked). What view.c makes of a seen value is *guest form*: fields that mean
 * nothing to a guest (flags, master, peer, state) are zero in it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text;

enum model_kind {
	MODEL_LINK,
	MODEL_ADDR,
	MODEL_ROUTE,
	MODEL_NEIGH,
	MODEL_POLICY,
	_MODEL_KIND_MAX,
};

/* "link", "address", "route", "neighbour", "policy" */
const char *model_kind_to_string(enum model_kind kind);

#define MODEL_NAME_BYTES 16 /* IFNAMSIZ, NUL included */
#define MODEL_MAC_BYTES	 6

struct link {
	uint32_t ifindex;
	/*
	 * Which appearance of this ifindex it is: a link moved away and back keeps its number and
	 * its MAC but has lost its datapath. 0 for what was there when observe.c first looked, then
	 * a number that is never used again.
	 */
	uint32_t incarnation;
	uint32_t mtu;
	uint32_t flags;	       /* IFF_*; seen only */
	uint32_t master;       /* ifindex, 0: none; seen only */
	uint32_t peer_ifindex; /* IFLA_LINK, 0: none; seen only */
	uint16_t hardware;     /* ARPHRD_*; seen only */
	/* IFLA_LINK_NETNSID was there: peer_ifindex counts in another namespace; seen only */
	bool peer_elsewhere;
	uint8_t mac_bytes; /* length in mac[]: 6, or 0 when there is none of that length */
	uint8_t mac[MODEL_MAC_BYTES];
	char name[MODEL_NAME_BYTES];
	/* IFLA_INFO_KIND; "tap" for a tun device in tap mode; "" for hardware */
	char kind[MODEL_NAME_BYTES];
	/*
	 * Not part of the value (no comparison looks at them): whether of a replug, and when the
	 * guest was told.
	 */
	bool replugged;
	uint8_t unused[5];  /* zero: values are hashed as they lie */
	uint64_t sent_usec; /* CLOCK_MONOTONIC, 0: cold-plugged */
};

struct addr {
	uint32_t ifindex;
	uint32_t flags; /* IFA_F_*; seen only, but for MODEL_ADDR_LEARNT in guest form */
	uint8_t family; /* AF_INET, AF_INET6 */
	uint8_t prefixlen;
	uint8_t scope;	   /* RT_SCOPE_*; seen only */
	uint8_t learnt;	   /* 1: no IFA_F_PERMANENT. Not part of the value */
	uint8_t bytes[16]; /* network order; IPv4 in the first four. IFA_LOCAL where there is one */
};

/*
 * Why a route can not be said in the agent's protocol; one, the first that applies. Order is the
 * audit's.
 */
enum model_unsayable {
	MODEL_SAYABLE,
	MODEL_UNSAYABLE_TYPE, /* blackhole, unreachable, prohibit, throw ... */
	MODEL_UNSAYABLE_MULTIPATH,
	MODEL_UNSAYABLE_VIA,	 /* RTA_VIA: a gateway of the other family */
	MODEL_UNSAYABLE_NEXTHOP, /* RTA_NH_ID */
	MODEL_UNSAYABLE_ENCAP,	 /* RTA_ENCAP: MPLS, SRv6, ... */
	MODEL_UNSAYABLE_TOS,
	_MODEL_UNSAYABLE_MAX,
};

#define MODEL_ROUTE_GATEWAY (1U << 0) /* gateway[] is set */
#define MODEL_ROUTE_SOURCE  (1U << 1) /* source[] (RTA_PREFSRC) is set */
#define MODEL_ROUTE_ONLINK  (1U << 2) /* RTNH_F_ONLINK */
#define MODEL_ROUTE_KERNEL  (1U << 3) /* RTPROT_KERNEL: a guest makes its own; seen only */
#define MODEL_ROUTE_LEARNT  (1U << 4) /* RTPROT_RA. Not part of the value */

/*
 * 64 bytes: a table of 100,000 is 6.1 MiB, and four such tables are alive at the height of a burst.
 */
struct route {
	/* host bits zero; all zero with prefixlen 0: default route of its family */
	uint8_t dst[16];
	uint8_t gateway[16];
	uint8_t source[16];
	uint32_t ifindex; /* 0: none (blackhole, multipath) */
	uint32_t metric;  /* RTA_PRIORITY; seen only: no guest protocol has it */
	uint32_t mtu;	  /* RTAX_MTU, 0: none */
	uint8_t is_inet6; /* 0: AF_INET, 1: AF_INET6 */
	uint8_t prefixlen;
	uint8_t scope;	       /* RT_SCOPE_* */
	uint8_t flags : 5;     /* MODEL_ROUTE_* */
	uint8_t unsayable : 3; /* enum model_unsayable; seen only */
};

_Static_assert(sizeof(struct route) == 64, "struct route is sized for tables of 100,000");
_Static_assert(_MODEL_UNSAYABLE_MAX <= 8, "unsayable has three bits");

struct neigh {
	uint32_t ifindex;
	uint16_t state; /* NUD_*; seen only */
	uint8_t family;
	uint8_t mac_bytes; /* 6, or 0 when not resolved */
	uint8_t mac[MODEL_MAC_BYTES];
	uint8_t learnt; /* 1: not NUD_PERMANENT. Not part of the value */
	uint8_t router; /* NTF_ROUTER; seen only */
	uint8_t bytes[16];
};

/*
 * What steers packets and has no word in any guest protocol; reported as drift, one value a table
 * and family, or rule.
 */
struct policy {
	uint8_t family;
	uint8_t is_rule; /* 1: a rule other than the kernel's three; 0: routes in another table */
	uint16_t unused; /* zero */
	uint32_t table;
	uint32_t priority; /* of a rule */
};

/* No padding that a compiler may leave as it finds it: model_hash() reads every byte. */
_Static_assert(sizeof(struct link) == 80, "struct link has no padding");
_Static_assert(sizeof(struct addr) == 28, "struct addr has no padding");
_Static_assert(sizeof(struct neigh) == 32, "struct neigh has no padding");
_Static_assert(sizeof(struct policy) == 12, "struct policy has no padding");

/* ---- order, equality, hash ---- */

/*
 * Total order over the value (fields "not part of the value" are left out), memcmp-like result. Its
 * leading fields are the key: links ifindex; addresses ifindex, family, bytes, prefixlen; routes
 * is_inet6, dst, prefixlen (longest first, as the kernel's trie is dumped), then metric; neighbours
 * ifindex, family, bytes.
 */
int model_compare(enum model_kind kind, const void *a, const void *b);

/*
 * Order over the key alone. For routes the key is the destination (family, dst, prefixlen): in
 * guest form it is unique, in seen form it is not.
 */
int model_compare_key(enum model_kind kind, const void *a, const void *b);

size_t model_bytes(enum model_kind kind);

/* 64-bit FNV-1a over the value, chained through @seed (start with MODEL_HASH_SEED). */
#define MODEL_HASH_SEED UINT64_C(0xcbf29ce484222325)
uint64_t model_hash(enum model_kind kind, const void *value, uint64_t seed);

/* ---- words for people and logs: one line's worth without newline, hostile names escaped ---- */

#define MODEL_IP_TEXT_BYTES  46 /* INET6_ADDRSTRLEN */
#define MODEL_MAC_TEXT_BYTES 18

/* "10.0.0.1", "2001:db8::1" (RFC 5952; v4-mapped as inet_ntop does) */
void model_format_ip(uint8_t family, const uint8_t bytes[16], char ret[MODEL_IP_TEXT_BYTES]);
/* "02:42:ac:11:00:03", "" for length 0 */
void model_format_mac(uint8_t mac_bytes, const uint8_t mac[MODEL_MAC_BYTES],
		      char ret[MODEL_MAC_TEXT_BYTES]);

/*
 * "eth1 (4) veth 02:.. mtu 1500", "4 10.0.0.2/24", "10.1.0.0/16 via 10.0.0.1 dev 4 ...": for logs
 * and notes
 */
void model_describe(enum model_kind kind, const void *value, struct text *to);

/* "multipath", "via", ... for audit records; "" for MODEL_SAYABLE */
const char *model_unsayable_to_string(enum model_unsayable u);

/* AF_INET or AF_INET6 */
uint8_t model_route_family(const struct route *r);
/* fe80::/10 */
bool model_is_link_local6(uint8_t family, const uint8_t bytes[16]);
