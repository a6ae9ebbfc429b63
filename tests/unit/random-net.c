/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random networks. See random-net.h.
 */
#include "tests/unit/random-net.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/text.h"

/* ---- numbers ---- */

void random_net_start(struct random_net *r)
{
	const char *given = getenv("NETMON_SEED");
	uint64_t seed;

	assert_int_equal(getrandom(&seed, sizeof(seed), 0), sizeof(seed));
	if (given)
		assert_int_equal(text_parse_u64(given, UINT64_MAX, &seed), 0);
	print_message("seed: NETMON_SEED=%llu repeats this\n", (unsigned long long)seed);
	r->state = seed;
}

/* splitmix64: every seed is a good one, 0 too. */
static uint64_t next(struct random_net *r)
{
	uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint32_t random_net_below(struct random_net *r, uint32_t n)
{
	return (uint32_t)((next(r) >> 32) % n);
}

bool random_net_chance(struct random_net *r, unsigned percent)
{
	return random_net_below(r, 100) < percent;
}

/* ---- filling ---- */

static struct table *new_table(enum model_kind kind)
{
	struct table *t = NULL;

	assert_int_equal(table_new(&t, kind), 0);
	return t;
}

static void add(struct table *t, const void *item)
{
	assert_int_equal(table_add(t, item), 0);
}

static void start_tables(struct table *t[_MODEL_KIND_MAX])
{
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		t[k] = new_table(k);
}

static void seal_tables(struct table *t[_MODEL_KIND_MAX], struct snapshot *ret)
{
	*ret = SNAPSHOT_NULL;
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++) {
		table_seal(t[k]);
		ret->tables[k] = t[k];
	}
}

static bool has_key(const struct table *unsealed, const void *item)
{
	for (size_t i = 0; i < unsealed->n; i++)
		if (model_compare_key(unsealed->kind, table_at(unsealed, i), item) == 0)
			return true;
	return false;
}

static uint32_t any_link(struct random_net *r, const struct table *links)
{
	return links->links[random_net_below(r, (uint32_t)links->n)].ifindex;
}

/* ---- what a guest may have ---- */

static struct link guest_link(struct random_net *r, uint32_t ifindex)
{
	struct link l = {
		.ifindex = ifindex,
		.incarnation = random_net_chance(r, 15) ? 1 : 0,
		.mtu = random_net_chance(r, 15) ? 9000 : 1500,
		.mac_bytes = MODEL_MAC_BYTES,
		.kind = "veth",
		.replugged = random_net_chance(r, 20),
		.sent_usec = random_net_below(r, 1000),
	};

	l.mac[0] = 0x02;
	l.mac[4] = random_net_chance(r, 15);
	l.mac[5] = (uint8_t)ifindex;
	(void)snprintf(l.name, sizeof(l.name), "eth%u",
		       random_net_chance(r, 15) ? random_net_below(r, 4) : ifindex);
	return l;
}

static struct addr guest_addr(struct random_net *r, uint32_t ifindex)
{
	struct addr a = { .ifindex = ifindex, .learnt = random_net_chance(r, 30) };

	if (random_net_chance(r, 60)) {
		a.family = AF_INET;
		a.prefixlen = random_net_chance(r, 80) ? 24 : 16;
		a.bytes[0] = 10;
	} else {
		a.family = AF_INET6;
		a.prefixlen = 64;
		a.bytes[0] = random_net_chance(r, 30) ? 0xfe : 0x20;
		a.bytes[1] = a.bytes[0] == 0xfe ? 0x80 : 0x01;
	}
	a.bytes[a.family == AF_INET ? 3 : 15] = (uint8_t)(1 + random_net_below(r, 4));
	return a;
}

static void random_destination(struct random_net *r, struct route *route)
{
	static const uint8_t prefixes[] = { 0, 8, 16, 24 };

	route->is_inet6 = random_net_chance(r, 40);
	route->prefixlen = prefixes[random_net_below(r, 4)];
	if (route->prefixlen)
		route->dst[0] = route->is_inet6 ? 0x20 : 10;
	if (route->prefixlen > 8)
		route->dst[1] = (uint8_t)random_net_below(r, 3);
	if (route->prefixlen > 16)
		route->dst[2] = (uint8_t)random_net_below(r, 3);
}

static struct route guest_route(struct random_net *r, uint32_t ifindex)
{
	struct route route = { .ifindex = ifindex };

	random_destination(r, &route);
	route.scope = RT_SCOPE_LINK;
	if (random_net_chance(r, 50)) {
		route.flags |= MODEL_ROUTE_GATEWAY;
		route.gateway[0] = route.is_inet6 ? 0x20 : 10;
		route.gateway[15 - 12 * !route.is_inet6] = (uint8_t)(1 + random_net_below(r, 3));
		route.scope = RT_SCOPE_UNIVERSE;
	}
	if (random_net_chance(r, 15)) {
		route.flags |= MODEL_ROUTE_SOURCE;
		route.source[0] = 10;
	}
	if (random_net_chance(r, 15))
		route.flags |= MODEL_ROUTE_ONLINK;
	if (random_net_chance(r, 30))
		route.flags |= MODEL_ROUTE_LEARNT;
	if (random_net_chance(r, 15))
		route.mtu = 1400;
	return route;
}

static struct neigh guest_neigh(struct random_net *r, uint32_t ifindex)
{
	struct neigh n = {
		.ifindex = ifindex,
		.mac_bytes = MODEL_MAC_BYTES,
		.learnt = random_net_chance(r, 40),
	};

	n.family = random_net_chance(r, 60) ? AF_INET : AF_INET6;
	n.bytes[0] = n.family == AF_INET ? 10 : 0x20;
	n.bytes[n.family == AF_INET ? 3 : 15] = (uint8_t)(1 + random_net_below(r, 3));
	n.mac[0] = 0x06;
	n.mac[5] = (uint8_t)random_net_below(r, 2);
	return n;
}

static void guest_things(struct random_net *r, struct table *t[_MODEL_KIND_MAX])
{
	for (uint32_t n = random_net_below(r, 12); n > 0; n--) {
		struct addr a = guest_addr(r, any_link(r, t[MODEL_LINK]));

		if (!has_key(t[MODEL_ADDR], &a))
			add(t[MODEL_ADDR], &a);
	}
	for (uint32_t n = random_net_below(r, 14); n > 0; n--) {
		struct route route = guest_route(r, any_link(r, t[MODEL_LINK]));

		if (!has_key(t[MODEL_ROUTE], &route))
			add(t[MODEL_ROUTE], &route);
	}
	for (uint32_t n = random_net_below(r, 8); n > 0; n--) {
		struct neigh neigh = guest_neigh(r, any_link(r, t[MODEL_LINK]));

		if (!has_key(t[MODEL_NEIGH], &neigh))
			add(t[MODEL_NEIGH], &neigh);
	}
}

void random_net_guest(struct random_net *r, struct snapshot *ret)
{
	struct table *t[_MODEL_KIND_MAX];
	unsigned density = random_net_below(r, 100);

	start_tables(t);
	for (uint32_t i = 1; i <= RANDOM_NET_LINKS; i++) {
		struct link l = guest_link(r, i);

		if (random_net_chance(r, density))
			add(t[MODEL_LINK], &l);
	}
	if (t[MODEL_LINK]->n > 0)
		guest_things(r, t);
	seal_tables(t, ret);
}

/* ---- what a kernel may show ---- */

static void seen_kind(struct random_net *r, struct link *l)
{
	static const char *const kinds[] = { "tap", "macvlan", "ipvlan", "", "bridge", "vxlan" };

	memset(l->kind, 0, sizeof(l->kind));
	(void)snprintf(l->kind, sizeof(l->kind), "%s", kinds[random_net_below(r, 6)]);
}

static struct link seen_link(struct random_net *r, uint32_t ifindex)
{
	struct link l = guest_link(r, ifindex);

	l.replugged = false;
	l.sent_usec = 0;
	l.hardware = ARPHRD_ETHER;
	l.peer_elsewhere = !random_net_chance(r, 10);
	l.peer_ifindex = 1 + random_net_below(r, RANDOM_NET_LINKS);
	if (!random_net_chance(r, 10))
		l.flags |= IFF_UP;
	if (!random_net_chance(r, 10))
		l.flags |= (uint32_t)IFF_LOWER_UP;
	if (random_net_chance(r, 50))
		l.flags |= IFF_RUNNING;
	if (random_net_chance(r, 5))
		l.flags |= IFF_LOOPBACK;
	if (random_net_chance(r, 10))
		l.master = 1 + random_net_below(r, RANDOM_NET_LINKS);
	if (random_net_chance(r, 10))
		l.mac_bytes = 0;
	if (random_net_chance(r, 10))
		l.mac[5] = 1;
	if (random_net_chance(r, 5))
		(void)snprintf(l.name, sizeof(l.name), "tap%u_kata", ifindex);
	if (random_net_chance(r, 20))
		seen_kind(r, &l);
	if (l.mac_bytes == 0)
		memset(l.mac, 0, sizeof(l.mac));
	return l;
}

static void seen_addr(struct random_net *r, struct table *t, uint32_t ifindex)
{
	struct addr a = guest_addr(r, ifindex);

	a.flags = a.learnt ? 0 : IFA_F_PERMANENT;
	if (random_net_chance(r, 10))
		a.flags |= IFA_F_TENTATIVE;
	if (random_net_chance(r, 10))
		a.flags |= IFA_F_DADFAILED;
	if (random_net_chance(r, 10))
		a.flags |= IFA_F_NOPREFIXROUTE;
	if (!has_key(t, &a))
		add(t, &a);
}

static void seen_route(struct random_net *r, struct table *t, uint32_t ifindex)
{
	struct route route = guest_route(r, ifindex);

	route.metric = random_net_below(r, 3);
	if (random_net_chance(r, 10))
		route.flags |= MODEL_ROUTE_KERNEL;
	if (random_net_chance(r, 15))
		route.unsayable = random_net_below(r, _MODEL_UNSAYABLE_MAX) & 7;
	if (route.unsayable == MODEL_UNSAYABLE_TYPE || route.unsayable == MODEL_UNSAYABLE_MULTIPATH)
		route.ifindex = 0;
	add(t, &route);
}

static void seen_neigh(struct random_net *r, struct table *t, uint32_t ifindex)
{
	static const uint16_t states[] = { NUD_REACHABLE, NUD_STALE, NUD_FAILED, NUD_INCOMPLETE };
	struct neigh n = guest_neigh(r, ifindex);

	n.state = n.learnt ? states[random_net_below(r, 4)] : NUD_PERMANENT;
	n.router = random_net_chance(r, 20);
	if (n.state & (NUD_FAILED | NUD_INCOMPLETE)) {
		n.mac_bytes = 0;
		memset(n.mac, 0, sizeof(n.mac));
	}
	if (!has_key(t, &n))
		add(t, &n);
}

static void seen_things(struct random_net *r, struct table *t[_MODEL_KIND_MAX])
{
	for (uint32_t n = random_net_below(r, 16); n > 0; n--)
		seen_addr(r, t[MODEL_ADDR], any_link(r, t[MODEL_LINK]));
	for (uint32_t n = random_net_below(r, 20); n > 0; n--)
		seen_route(r, t[MODEL_ROUTE], any_link(r, t[MODEL_LINK]));
	for (uint32_t n = random_net_below(r, 12); n > 0; n--)
		seen_neigh(r, t[MODEL_NEIGH], any_link(r, t[MODEL_LINK]));
	for (uint32_t n = random_net_below(r, 3); n > 0; n--) {
		struct policy p = { .family = random_net_chance(r, 50) ? AF_INET : AF_INET6,
				    .is_rule = random_net_chance(r, 50),
				    .table = 100 + random_net_below(r, 3) };

		add(t[MODEL_POLICY], &p);
	}
}

void random_net_seen(struct random_net *r, struct snapshot *ret)
{
	struct table *t[_MODEL_KIND_MAX];
	unsigned density = 50 + random_net_below(r, 50);

	start_tables(t);
	for (uint32_t i = 1; i <= RANDOM_NET_LINKS; i++) {
		struct link l = seen_link(r, i);

		if (random_net_chance(r, density))
			add(t[MODEL_LINK], &l);
	}
	if (t[MODEL_LINK]->n > 0)
		seen_things(r, t);
	seal_tables(t, ret);
}

/* ---- the same in another order ---- */

static struct table *shuffle(struct random_net *r, const struct table *from)
{
	struct table *t = new_table(from->kind);
	size_t *order = calloc(from->n + 1, sizeof(*order));

	assert_non_null(order);
	for (size_t i = 0; i < from->n; i++) {
		size_t j = random_net_below(r, (uint32_t)i + 1);

		order[i] = order[j];
		order[j] = i;
	}
	for (size_t i = 0; i < from->n; i++) {
		add(t, table_at(from, order[i]));
		if (random_net_chance(r, 20))
			add(t, table_at(from, order[random_net_below(r, (uint32_t)i + 1)]));
	}
	free(order);
	return t;
}

void random_net_shuffle(struct random_net *r, const struct snapshot *s, struct snapshot *ret)
{
	struct table *t[_MODEL_KIND_MAX];

	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		t[k] = shuffle(r, s->tables[k]);
	seal_tables(t, ret);
	ret->routes_stale = s->routes_stale;
}
