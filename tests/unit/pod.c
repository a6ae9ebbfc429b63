/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pod's network by hand. See pod.h.
 */
#include "tests/unit/pod.h"

#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

uint8_t pod_parse(const char *cidr, uint8_t ret_bytes[16], uint8_t *ret_prefixlen)
{
	char ip[64];
	uint8_t family = strchr(cidr, ':') ? AF_INET6 : AF_INET;
	const char *slash = strchr(cidr, '/');
	size_t n = strcspn(cidr, "/");

	assert_true(n < sizeof(ip));
	memcpy(ip, cidr, n);
	ip[n] = '\0';
	memset(ret_bytes, 0, 16);
	assert_int_equal(inet_pton(family, ip, ret_bytes), 1);
	*ret_prefixlen = family == AF_INET ? 32 : 128;
	if (slash)
		*ret_prefixlen = (uint8_t)strtoul(slash + 1, NULL, 10);
	return family;
}

struct link *pod_link(struct pod *p, uint32_t ifindex, const char *name)
{
	struct link *l = &p->links[p->n_links++];

	assert_true(p->n_links <= POD_MAX);
	*l = (struct link){
		.ifindex = ifindex,
		.mtu = 1500,
		.flags = IFF_UP | IFF_BROADCAST | IFF_MULTICAST | IFF_RUNNING |
			 (uint32_t)IFF_LOWER_UP,
		.peer_ifindex = ifindex + 1000,
		.peer_elsewhere = true,
		.hardware = ARPHRD_ETHER,
		.mac_bytes = MODEL_MAC_BYTES,
		.mac = { 0x02, 0, 0, 0, (uint8_t)(ifindex >> 8), (uint8_t)ifindex },
		.kind = "veth",
	};
	(void)snprintf(l->name, sizeof(l->name), "%s", name);
	return l;
}

struct addr *pod_addr(struct pod *p, uint32_t ifindex, const char *cidr)
{
	struct addr *a = &p->addrs[p->n_addrs++];

	assert_true(p->n_addrs <= POD_MAX);
	*a = (struct addr){ .ifindex = ifindex, .flags = IFA_F_PERMANENT };
	a->family = pod_parse(cidr, a->bytes, &a->prefixlen);
	return a;
}

struct route *pod_route(struct pod *p, uint32_t ifindex, const char *dst, const char *via)
{
	struct route *r = &p->routes[p->n_routes++];
	uint8_t ignored;

	assert_true(p->n_routes <= POD_MAX);
	*r = (struct route){ .ifindex = ifindex, .scope = RT_SCOPE_LINK };
	r->is_inet6 = pod_parse(dst, r->dst, &r->prefixlen) == AF_INET6;
	if (!via)
		return r;
	r->flags |= MODEL_ROUTE_GATEWAY;
	r->scope = RT_SCOPE_UNIVERSE;
	(void)pod_parse(via, r->gateway, &ignored);
	return r;
}

struct neigh *pod_neigh(struct pod *p, uint32_t ifindex, const char *ip, uint8_t mac)
{
	struct neigh *n = &p->neighs[p->n_neighs++];
	uint8_t ignored;

	assert_true(p->n_neighs <= POD_MAX);
	*n = (struct neigh){
		.ifindex = ifindex,
		.state = NUD_PERMANENT,
		.mac_bytes = MODEL_MAC_BYTES,
		.mac = { 0x06, 0, 0, 0, 0, mac },
	};
	n->family = pod_parse(ip, n->bytes, &ignored);
	return n;
}

struct policy *pod_policy(struct pod *p, uint32_t table)
{
	struct policy *policy = &p->policies[p->n_policies++];

	assert_true(p->n_policies <= POD_MAX);
	*policy = (struct policy){ .family = AF_INET, .table = table };
	return policy;
}

struct link *pod_find_link(struct pod *p, uint32_t ifindex)
{
	for (size_t i = 0; i < p->n_links; i++)
		if (p->links[i].ifindex == ifindex)
			return &p->links[i];
	fail_msg("the pod has no link %u", ifindex);
	return NULL;
}

/* Drops array[i] if @is_it, by the last one: order does not matter, snapshots sort. */
#define DROP_IF(array, n, is_it)                               \
	do {                                                   \
		for (size_t i = 0; i < (n); i++)               \
			if (is_it)                             \
				(array)[i--] = (array)[--(n)]; \
	} while (0)

void pod_drop_link(struct pod *p, uint32_t ifindex)
{
	DROP_IF(p->links, p->n_links, p->links[i].ifindex == ifindex);
	DROP_IF(p->addrs, p->n_addrs, p->addrs[i].ifindex == ifindex);
	DROP_IF(p->routes, p->n_routes, p->routes[i].ifindex == ifindex);
	DROP_IF(p->neighs, p->n_neighs, p->neighs[i].ifindex == ifindex);
}

void pod_drop_addr(struct pod *p, uint32_t ifindex, const char *cidr)
{
	struct addr a = { .ifindex = ifindex };

	a.family = pod_parse(cidr, a.bytes, &a.prefixlen);
	DROP_IF(p->addrs, p->n_addrs, model_compare_key(MODEL_ADDR, &p->addrs[i], &a) == 0);
}

void pod_drop_route(struct pod *p, const char *dst)
{
	struct route r = { 0 };

	r.is_inet6 = pod_parse(dst, r.dst, &r.prefixlen) == AF_INET6;
	DROP_IF(p->routes, p->n_routes, model_compare_key(MODEL_ROUTE, &p->routes[i], &r) == 0);
}

void pod_drop_neigh(struct pod *p, const char *ip)
{
	uint8_t bytes[16], ignored;
	uint8_t family = pod_parse(ip, bytes, &ignored);

	DROP_IF(p->neighs, p->n_neighs,
		p->neighs[i].family == family && memcmp(p->neighs[i].bytes, bytes, 16) == 0);
}

static void fill(struct snapshot *s, enum model_kind kind, const void *items, size_t n)
{
	struct table *t = NULL;

	assert_int_equal(table_new(&t, kind), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(table_add(t, (const char *)items + i * model_bytes(kind)), 0);
	table_seal(t);
	s->tables[kind] = t;
}

void pod_snapshot(const struct pod *p, struct snapshot *ret)
{
	*ret = SNAPSHOT_NULL;
	fill(ret, MODEL_LINK, p->links, p->n_links);
	fill(ret, MODEL_ADDR, p->addrs, p->n_addrs);
	fill(ret, MODEL_ROUTE, p->routes, p->n_routes);
	fill(ret, MODEL_NEIGH, p->neighs, p->n_neighs);
	fill(ret, MODEL_POLICY, p->policies, p->n_policies);
}
