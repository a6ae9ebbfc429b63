/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's calls as values: ours to its bytes, and its bytes to ours. Pure: no I/O, no clock.
 *
 * What an agent says is an attacker's input. A decoder takes at most the named numbers and lengths,
 * through an allocator that is bounded before the first byte is decoded (AGENT_DECODE_BYTES_MAX);
 * text that is no address, MAC or name makes that entry unusable (left out and counted), not the
 * list. The family of an address is taken from its text: Kata's lists swap the enum (2.5.2 to HEAD).
 *
 * Source: kata-containers src/libs/protocols/protos/, src/agent/src/netlink.rs, rpc.rs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/ttrpc.h"
#include "base/cleanup.h"

#define AGENT_SERVICE	    "grpc.AgentService"
#define AGENT_HEALTH	    "grpc.Health"
#define AGENT_DELTA	    "netmon.Delta"
#define AGENT_DELTA_FEATURE "netmon.delta.v1"
#define AGENT_VSOCK_PORT    1024U

#define AGENT_NAME_BYTES       16  /* IFNAMSIZ, NUL included */
#define AGENT_PATH_BYTES       256 /* devicePath */
#define AGENT_WORD_BYTES       64  /* version, type, a feature */
#define AGENT_INTERFACES_MAX   16384U
#define AGENT_ADDRESSES_MAX    65536U  /* of all interfaces of a list together */
#define AGENT_ROUTES_MAX       100000U /* 4 MiB hold about that many of the shortest */
#define AGENT_NEIGHBORS_MAX    65536U
#define AGENT_FEATURES_MAX     64U
#define AGENT_PAYLOAD_MAX      (TTRPC_DATA_MAX - 128U) /* the frame has names, a deadline, tags */
#define AGENT_DECODE_BYTES_MAX (64U << 20)	       /* memory of one decoded message */

enum agent_verb {
	AGENT_CHECK,		/* {} -> HealthCheckResponse */
	AGENT_VERSION,		/* {} -> VersionCheckResponse */
	AGENT_DETAILS,		/* {} -> GuestDetailsResponse */
	AGENT_UPDATE_INTERFACE, /* interface -> interface */
	AGENT_UPDATE_ROUTES,	/* routes -> routes */
	AGENT_LIST_INTERFACES,	/* {} -> interfaces */
	AGENT_LIST_ROUTES,	/* {} -> routes */
	AGENT_ADD_NEIGHBORS,	/* neighbours -> {} */
	AGENT_GET_IPTABLES,	/* is_ipv6 -> bytes */
	AGENT_REMOVE_INTERFACE, /* delta: interface -> {} */
	AGENT_REMOVE_ROUTES,	/* delta: routes -> {} */
	AGENT_REMOVE_NEIGHBORS, /* delta: neighbours -> {} */
	AGENT_LIST_NETWORK,	/* delta: {} -> network */
	_AGENT_VERB_MAX,
};

const char *agent_service(enum agent_verb verb); /* "grpc.AgentService", ... */
const char *agent_method(enum agent_verb verb);	 /* "UpdateInterface", ... */
/* A server's way back. Return: 0; 1: that service has no such method; 2: no such service. */
enum { _AGENT_FOUND = 0, AGENT_NO_METHOD = 1, AGENT_NO_SERVICE = 2 };
int agent_find(const char *service, const char *method, enum agent_verb *ret);

struct agent_ip {
	uint8_t family; /* AF_INET, AF_INET6; 0: none */
	uint8_t prefixlen;
	uint8_t bytes[16]; /* network order; IPv4 in the first four */
};

struct agent_interface {
	char device[AGENT_NAME_BYTES];
	char name[AGENT_NAME_BYTES];
	char device_path[AGENT_PATH_BYTES];
	char type[AGENT_NAME_BYTES];
	uint8_t mac[6];
	bool has_mac;
	uint64_t mtu; /* 0: not said */
	uint32_t raw_flags;
	const struct agent_ip *ips; /* of a decoded list: in the list's memory */
	size_t n_ips;
};

struct agent_route {
	uint8_t family;		 /* AF_INET, AF_INET6 */
	struct agent_ip dest;	 /* family 0: default */
	struct agent_ip gateway; /* family 0: none; prefixlen without meaning */
	struct agent_ip source;	 /* likewise. prefixlen: see enum agent_source */
	char device[AGENT_NAME_BYTES];
	uint32_t scope; /* RT_SCOPE_* */
	uint32_t flags; /* RTNH_F_ONLINK and no other */
	uint32_t mtu;
};

/*
 * How a preferred source is written. AGENT_SOURCE_PLAIN "10.0.0.1": ours. AGENT_SOURCE_ZERO
 * "10.0.0.1/0": all of Kata's since 2.0 read a bare address as /32, which becomes RTA_SRC, and that
 * the kernel ignores (IPv4) or refuses (IPv6); "/0" becomes RTA_PREFSRC.
 * Source: kata src/agent/src/netlink.rs ("if prefix() > 0 source_prefix else PrefSource").
 */
enum agent_source { AGENT_SOURCE_PLAIN, AGENT_SOURCE_ZERO };

struct agent_neighbor {
	struct agent_ip ip; /* its mask is always sent empty: Kata's policy wants so */
	char device[AGENT_NAME_BYTES];
	uint8_t mac[6];
	int32_t state; /* NUD_*; 0 is taken for NUD_PERMANENT */
	int32_t flags; /* NTF_* */
};

/* ---- to bytes. @ret->data: malloc'ed, the caller's; free((void *)data). Return: 0, -ENOMEM ---- */

/* -EMSGSIZE: over TTRPC_DATA_MAX with its frame's words: refused here, not by the peer. */
int agent_encode_interface(enum agent_verb verb, const struct agent_interface *i,
			   struct ttrpc_bytes *ret);
int agent_encode_routes(enum agent_verb verb, const struct agent_route *routes, size_t n,
			enum agent_source source, struct ttrpc_bytes *ret);
int agent_encode_neighbors(enum agent_verb verb, const struct agent_neighbor *neighbors, size_t n,
			   struct ttrpc_bytes *ret);
int agent_encode_iptables_request(bool is_ipv6, struct ttrpc_bytes *ret);

/* A server's answers. */
struct agent_details {
	char version[AGENT_WORD_BYTES];
	bool init_daemon;
	size_t n_features;
	char features[AGENT_FEATURES_MAX][AGENT_WORD_BYTES];
};
bool agent_has_feature(const struct agent_details *d, const char *feature);

/* Everything that a list may hold; what a message has none of stays empty. */
struct agent_network {
	struct agent_interface *interfaces;
	size_t n_interfaces;
	struct agent_ip *ips; /* of all interfaces */
	size_t n_ips;
	struct agent_route *routes;
	size_t n_routes;
	struct agent_neighbor *neighbors;
	size_t n_neighbors;
	size_t unusable; /* entries and addresses that were left out */
};
void agent_network_done(struct agent_network *n); /* legal on a zeroed one; usable with CLEANUP() */

int agent_encode_check_answer(struct ttrpc_bytes *ret); /* SERVING */
int agent_encode_version_answer(const char *agent_version, struct ttrpc_bytes *ret);
int agent_encode_details_answer(const struct agent_details *d, struct ttrpc_bytes *ret);
/* The answer of UPDATE_INTERFACE, UPDATE_ROUTES, LIST_*: what of @n belongs into it. -EMSGSIZE. */
int agent_encode_network_answer(enum agent_verb verb, const struct agent_network *n,
				struct ttrpc_bytes *ret);

/*
 * ---- from bytes. Return: 0; -EBADMSG: no such message, with a sentence; -EMSGSIZE: over a limit;
 * -ENOMEM. *ret untouched on failure. ----
 */

/* A server's requests, and a client's answers: all verbs whose message is a part of the network. */
int agent_decode_request(enum agent_verb verb, struct ttrpc_bytes payload,
			 struct agent_network *ret);
int agent_decode_answer(enum agent_verb verb, struct ttrpc_bytes payload,
			struct agent_network *ret);
int agent_decode_check(struct ttrpc_bytes payload, bool *ret_is_serving);
int agent_decode_version(struct ttrpc_bytes payload, char ret[AGENT_WORD_BYTES]);
int agent_decode_details(struct ttrpc_bytes payload, struct agent_details *ret);
/* @ret: malloc'ed, NUL-terminated, hostile bytes, the caller's */
int agent_decode_iptables(struct ttrpc_bytes payload, char **ret, size_t *ret_size);

/*
 * "Carried out, and what there is to answer is over the limit": the call was within it, so these
 * words are never about the call. Said by ttrpc-rust, which looks at what a handler has returned
 * (INVALID_ARGUMENT, of "prost" builds UNKNOWN), and by ours, TTRPC_ANSWER_TOO_LONG.
 * Source: containerd/ttrpc-rust src/asynchronous/server.rs (handle_msg), src/proto.rs
 * (check_oversize).
 */
bool agent_is_answer_too_long(enum ttrpc_code code, const char *message);

/* ---- generations ---- */

enum agent_generation {
	AGENT_DECLARATIVE, /* Kata 2.0 to 3.14, and what does not say: each list is the whole truth */
	AGENT_ADDITIVE,	   /* Kata from 3.15: nothing is deleted */
	AGENT_DELTA_V1,	   /* ours */
};

/*
 * "3.15.0", "3.15.0-rc1", "4.1.0-alpha0" are additive; what is no version is declarative: to send
 * whole lists to an agent that only adds loses nothing, the other way round wipes a guest.
 */
enum agent_generation agent_generation_of(const struct agent_details *d);
const char *agent_generation_to_string(enum agent_generation g); /* "declarative", ... */
