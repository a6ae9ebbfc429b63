/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pod's network written down by hand, as a kernel would show it, for tests by value.
 *
 * Each pod_*() adds one thing of the usual sort and returns it, so that a test sets only what it is
 * about:
 *
 *	pod_link(&pod, 4, "eth1")->master = 9;
 *
 * The pointer is good until something is dropped. Changes reach a snapshot with the next
 * pod_snapshot().
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "netmon/snapshot.h"

#define POD_MAX 320

struct pod {
	struct link links[POD_MAX];
	struct addr addrs[POD_MAX];
	struct route routes[POD_MAX];
	struct neigh neighs[POD_MAX];
	struct policy policies[POD_MAX];
	size_t n_links, n_addrs, n_routes, n_neighs, n_policies;
};

/*
 * A veth with its peer in another namespace, up, with carrier, running; MAC 02:00:00:00:hi:lo of
 * @ifindex.
 */
struct link *pod_link(struct pod *p, uint32_t ifindex, const char *name);
/* @cidr: "10.0.0.2/24"; permanent */
struct addr *pod_addr(struct pod *p, uint32_t ifindex, const char *cidr);
/* @dst: "10.1.0.0/16", "0.0.0.0/0", "::/0"; @via: NULL: on-link */
struct route *pod_route(struct pod *p, uint32_t ifindex, const char *dst, const char *via);
/* MAC 06:00:00:00:00:@mac; permanent */
struct neigh *pod_neigh(struct pod *p, uint32_t ifindex, const char *ip, uint8_t mac);
struct policy *pod_policy(struct pod *p, uint32_t table);

struct link *pod_find_link(struct pod *p, uint32_t ifindex);
/* With all that hangs on it. */
void pod_drop_link(struct pod *p, uint32_t ifindex);
void pod_drop_addr(struct pod *p, uint32_t ifindex, const char *cidr);
void pod_drop_route(struct pod *p, const char *dst);
void pod_drop_neigh(struct pod *p, const char *ip);

/* @ret: the caller's; not freed before */
void pod_snapshot(const struct pod *p, struct snapshot *ret);

/* "10.0.0.2/24" and "10.0.0.2" as the model has them. Return: the family. */
uint8_t pod_parse(const char *cidr, uint8_t ret_bytes[16], uint8_t *ret_prefixlen);
