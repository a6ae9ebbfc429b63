/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our values as an agent's, and an agent's as ours.
 */
#include "netmon/agent-words.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/ip.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

_Static_assert(AGENT_NAME_BYTES == MODEL_NAME_BYTES, "names are copied whole");

/* ---- ours as an agent's ---- */

static struct agent_ip words_ip(uint8_t family, const uint8_t bytes[16], uint8_t prefixlen)
{
	struct agent_ip ip = { .family = family, .prefixlen = prefixlen };

	memcpy(ip.bytes, bytes, family == AF_INET6 ? 16 : 4);
	return ip;
}

static void words_name(char ret[AGENT_NAME_BYTES], const char *name)
{
	size_t size = strnlen(name, AGENT_NAME_BYTES - 1);

	memset(ret, 0, AGENT_NAME_BYTES);
	memcpy(ret, name, size);
}

int agent_words_from_link(const struct snapshot *net, const struct link *l,
			  struct agent_interface *ret, struct agent_ip **ret_ips)
{
	const struct table *addrs = snapshot_addrs(net);
	size_t n, first = table_range_of_link(addrs, l->ifindex, &n);
	struct agent_ip *ips = calloc(n + 1, sizeof(*ips));

	if (!ips)
		return err_raise(-ENOMEM, "put a link into an agent's words");
	for (size_t i = 0; i < n; i++) {
		const struct addr *a = &addrs->addrs[first + i];

		ips[i] = words_ip(a->family, a->bytes, a->prefixlen);
	}
	*ret = (struct agent_interface){
		.has_mac = l->mac_bytes == MODEL_MAC_BYTES,
		.mtu = l->mtu,
		.ips = ips,
		.n_ips = n,
	};
	words_name(ret->device, l->name);
	words_name(ret->name, l->name);
	words_name(ret->type, l->kind);
	memcpy(ret->mac, l->mac, sizeof(ret->mac));
	*ret_ips = ips;
	return 0;
}

void agent_words_from_route(const struct route *route, const char *device, struct agent_route *ret)
{
	uint8_t family = model_route_family(route);

	*ret = (struct agent_route){
		.family = family,
		.scope = route->scope,
		.flags = route->flags & MODEL_ROUTE_ONLINK ? RTNH_F_ONLINK : 0,
		.mtu = route->mtu,
	};
	if (route->prefixlen > 0)
		ret->dest = words_ip(family, route->dst, route->prefixlen);
	if (route->flags & MODEL_ROUTE_GATEWAY)
		ret->gateway = words_ip(family, route->gateway, ip_bits(family));
	if (route->flags & MODEL_ROUTE_SOURCE)
		ret->source = words_ip(family, route->source, ip_bits(family));
	words_name(ret->device, device);
}

void agent_words_from_neigh(const struct neigh *neigh, const char *device,
			    struct agent_neighbor *ret)
{
	*ret = (struct agent_neighbor){
		.ip = words_ip(neigh->family, neigh->bytes, ip_bits(neigh->family)),
		.state = NUD_PERMANENT,
	};
	memcpy(ret->mac, neigh->mac, sizeof(ret->mac));
	words_name(ret->device, device);
}

/* ---- an agent's as ours ---- */

/* A name of the list and our number of it; sorted, since a guest may list many of both. */
struct numbered {
	const char *name;
	uint32_t number;
};

struct reading {
	const struct agent_network *network;
	struct table *tables[_MODEL_KIND_MAX];
	struct numbered *names;
	size_t n_names;
};

static void reading_done(struct reading *r)
{
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		r->tables[k] = table_unref(r->tables[k]);
	free(r->names);
}

static int reading_init(struct reading *r, const struct agent_network *network)
{
	int e = 0;

	*r = (struct reading){ .network = network };
	for (enum model_kind k = 0; e >= 0 && k < _MODEL_KIND_MAX; k++)
		e = table_new(&r->tables[k], k);
	r->names = calloc(network->n_interfaces + 1, sizeof(*r->names));
	if (e >= 0 && !r->names)
		e = err_raise(-ENOMEM, "read what an agent lists");
	return err_pass(e);
}

static int compare_numbered(const void *a, const void *b)
{
	const struct numbered *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	/* two of one name: the first of the list */
	return c != 0 ? c : (x->number > y->number) - (x->number < y->number);
}

/* 0: no link of that name was taken */
static uint32_t number_of(const struct reading *r, const char *name)
{
	size_t low = 0, high = r->n_names;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(r->names[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == r->n_names || strcmp(r->names[low].name, name) != 0)
		return 0;
	return r->names[low].number;
}

static bool is_family(uint8_t family)
{
	return ip_bits(family) != 0;
}

/*
 * The guest's own business, on whichever link: no pod's address. (A link-local one may be told:
 * adopt.c knows whether it was.)
 */
static bool is_own_address(const struct agent_ip *ip)
{
	static const uint8_t loopback6[16] = { [15] = 1 };

	if (ip->family == AF_INET)
		return ip->bytes[0] == IN_LOOPBACKNET;
	return memcmp(ip->bytes, loopback6, sizeof(loopback6)) == 0;
}

static int read_address(struct reading *r, const struct agent_ip *ip, uint32_t number)
{
	struct addr a = { .ifindex = number, .family = ip->family, .prefixlen = ip->prefixlen };

	if (!is_family(ip->family) || ip->prefixlen > ip_bits(ip->family) || is_own_address(ip))
		return 0;
	memcpy(a.bytes, ip->bytes, ip->family == AF_INET6 ? 16 : 4);
	return err_pass(table_add(r->tables[MODEL_ADDR], &a));
}

static bool has_mac(const struct agent_interface *i)
{
	static const uint8_t zeros[sizeof(i->mac)] = { 0 };

	return i->has_mac && memcmp(i->mac, zeros, sizeof(zeros)) != 0;
}

static int read_interface(struct reading *r, const struct agent_interface *i)
{
	struct link l = {
		.ifindex = (uint32_t)r->n_names + 1,
		.mtu = i->mtu <= UINT32_MAX ? (uint32_t)i->mtu : 0,
		.mac_bytes = MODEL_MAC_BYTES,
	};
	int e;

	if (!has_mac(i) || r->n_names == SNAPSHOT_MAX_LINKS)
		return 0;
	memcpy(l.mac, i->mac, sizeof(l.mac));
	words_name(l.name, i->name);
	e = table_add(r->tables[MODEL_LINK], &l);
	for (size_t n = 0; e >= 0 && n < i->n_ips; n++)
		e = read_address(r, &i->ips[n], l.ifindex);
	r->names[r->n_names++] = (struct numbered){ .name = i->name, .number = l.ifindex };
	return err_pass(e);
}

static int read_interfaces(struct reading *r)
{
	int e = 0;

	for (size_t i = 0; e >= 0 && i < r->network->n_interfaces; i++)
		e = read_interface(r, &r->network->interfaces[i]);
	qsort(r->names, r->n_names, sizeof(*r->names), compare_numbered);
	return err_pass(e);
}

static bool is_route(const struct agent_route *r)
{
	return is_family(r->family) && (r->dest.family == 0 || r->dest.family == r->family) &&
	       (r->gateway.family == 0 || r->gateway.family == r->family) &&
	       (r->source.family == 0 || r->source.family == r->family) &&
	       r->dest.prefixlen <= ip_bits(r->family) && r->scope <= UINT8_MAX;
}

static void read_route_ips(struct route *to, const struct agent_route *from)
{
	size_t size = from->family == AF_INET6 ? 16 : 4;

	if (from->dest.family != 0) {
		to->prefixlen = from->dest.prefixlen;
		memcpy(to->dst, from->dest.bytes, size);
		ip_mask(to->dst, to->prefixlen);
	}
	if (from->gateway.family != 0) {
		to->flags |= MODEL_ROUTE_GATEWAY;
		memcpy(to->gateway, from->gateway.bytes, size);
	}
	if (from->source.family != 0) {
		to->flags |= MODEL_ROUTE_SOURCE;
		memcpy(to->source, from->source.bytes, size);
	}
}

static int read_route(struct reading *r, const struct agent_route *from)
{
	struct route to = {
		.ifindex = number_of(r, from->device),
		.mtu = from->mtu,
		.is_inet6 = from->family == AF_INET6,
		.scope = (uint8_t)from->scope,
		.flags = from->flags & RTNH_F_ONLINK ? MODEL_ROUTE_ONLINK : 0,
	};

	if (!is_route(from) || to.ifindex == 0)
		return 0;
	read_route_ips(&to, from);
	return err_pass(table_add(r->tables[MODEL_ROUTE], &to));
}

static int read_neighbor(struct reading *r, const struct agent_neighbor *from)
{
	struct neigh to = {
		.ifindex = number_of(r, from->device),
		.family = from->ip.family,
		.mac_bytes = MODEL_MAC_BYTES,
	};

	if (!is_family(to.family) || to.ifindex == 0)
		return 0;
	memcpy(to.mac, from->mac, sizeof(to.mac));
	memcpy(to.bytes, from->ip.bytes, to.family == AF_INET6 ? 16 : 4);
	return err_pass(table_add(r->tables[MODEL_NEIGH], &to));
}

static int read_rest(struct reading *r)
{
	int e = 0;

	for (size_t i = 0; e >= 0 && i < r->network->n_routes; i++)
		e = read_route(r, &r->network->routes[i]);
	for (size_t i = 0; e >= 0 && i < r->network->n_neighbors; i++)
		e = read_neighbor(r, &r->network->neighbors[i]);
	return err_pass(e);
}

/* In guest form a key is there once; whoever lists it twice does not get it twice. */
static int seal_unique(struct table **at)
{
	CLEANUP(table_unrefp) struct table *t = *at;
	CLEANUP(table_unrefp) struct table *unique = NULL;
	int r;

	*at = NULL;
	table_seal(t);
	r = table_new(&unique, t->kind);
	for (size_t i = 0; r >= 0 && i < t->n; i++) {
		const void *item = table_at(t, i);

		if (i == 0 || model_compare_key(t->kind, table_at(t, i - 1), item) != 0)
			r = table_add(unique, item);
	}
	if (r < 0)
		return err_pass(r);
	table_seal(unique);
	*at = TAKE_PTR(unique);
	return 0;
}

int agent_words_to_guest(const struct agent_network *network, bool is_exact, struct sink_guest *ret)
{
	CLEANUP(reading_done) struct reading reading = { 0 };
	CLEANUP(snapshot_done) struct snapshot net = SNAPSHOT_NULL;
	int r = reading_init(&reading, network);

	if (r >= 0)
		r = read_interfaces(&reading);
	if (r >= 0 && is_exact)
		r = read_rest(&reading);
	if (r >= 0)
		r = snapshot_init(&net);
	for (enum model_kind k = 0; r >= 0 && k < _MODEL_KIND_MAX; k++) {
		r = seal_unique(&reading.tables[k]);
		if (r >= 0)
			snapshot_replace(&net, TAKE_PTR(reading.tables[k]));
	}
	if (r < 0)
		return err_pass(r);
	*ret = (struct sink_guest){ .net = net, .is_known = true, .is_exact = is_exact };
	net = SNAPSHOT_NULL;
	return 0;
}
