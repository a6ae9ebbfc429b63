/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's calls, to bytes. See agent.h.
 *
 * A list goes out entry by entry: each is put together on the stack, packed behind the others, and
 * only its bytes stay. 10,000 routes as a tree of protobuf-c would cost ten times their bytes. What
 * holds the entries gets its length when its end is known.
 */
#include "agent-proto/agent.h"

#include <agent.pb-c.h>
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "agent-proto/cursor.h"
#include "base/error.h"
#include "base/ip.h"
#include "base/text.h"

_Static_assert(sizeof(((struct agent_ip *)0)->bytes) == IP_BYTES, "an address is one of ip.h");

#define AGENT_ENCODE_BARE	0U /* no field of another message */
#define AGENT_ENCODE_LIST	1U /* Routes, Interfaces, ARPNeighbors: their one field */
#define AGENT_ENCODE_REQUEST	1U /* Update...Request, AddARPNeighborsRequest: likewise */
#define AGENT_ENCODE_ADDRESSES	3U /* of an Interface */
#define AGENT_ENCODE_INTERFACES 1U /* of netmon.Network */
#define AGENT_ENCODE_ROUTES	2U
#define AGENT_ENCODE_NEIGHBORS	3U
#define AGENT_ENCODE_MASK_BYTES 4U	/* "128" */
#define AGENT_ENCODE_GRPC	"0.0.1" /* Source: every release says so, kata-agent.md 3.1 */

/* ---- bytes ---- */

struct agent_encode_sink {
	ProtobufCBuffer base;
	struct text *to;
};

static void agent_encode_append(ProtobufCBuffer *buffer, size_t size, const uint8_t *data)
{
	/* protobuf-c hands back the first member's address */
	struct agent_encode_sink *s = (struct agent_encode_sink *)buffer;

	(void)text_append(s->to, data, size);
}

static void agent_encode_tag(struct text *to, unsigned field)
{
	uint8_t tag = CURSOR_TAG(field, CURSOR_BYTES);

	(void)text_append(to, &tag, 1);
}

static void agent_encode_message(struct text *to, unsigned field, const ProtobufCMessage *m)
{
	struct agent_encode_sink s = { .base = { agent_encode_append }, .to = to };
	uint8_t length[CURSOR_VARINT_MAX];
	size_t size;

	if (to->error < 0)
		return;
	if (field != AGENT_ENCODE_BARE) {
		size = protobuf_c_message_get_packed_size(m);
		if (size > to->limit_bytes) {
			to->error = -EFBIG;
			return;
		}
		agent_encode_tag(to, field);
		(void)text_append(to, length, cursor_put_varint(length, size));
	}
	(void)protobuf_c_message_pack_to_buffer(m, &s.base);
}

/* Return: where the contents begin; to agent_encode_end(). */
static size_t agent_encode_begin(struct text *to, unsigned field)
{
	if (field != AGENT_ENCODE_BARE)
		agent_encode_tag(to, field);
	return to->size;
}

/* Makes room for the length of what was put there since. */
static void agent_encode_end(struct text *to, unsigned field, size_t begin)
{
	uint8_t length[CURSOR_VARINT_MAX];
	size_t n, size = to->size - begin;

	if (field == AGENT_ENCODE_BARE)
		return;
	n = cursor_put_varint(length, size);
	if (text_append(to, length, n) < 0)
		return;
	memmove(to->data + begin + n, to->data + begin, size);
	memcpy(to->data + begin, length, n);
}

/* Of the frame's limit, what is left beside the names, the deadline and the tags. */
static struct text agent_encode_start(void)
{
	return (struct text){ .limit_bytes = AGENT_PAYLOAD_MAX };
}

static int agent_encode_finish(struct text *t, struct ttrpc_bytes *ret)
{
	if (t->error == -EFBIG)
		return err_raise(-EMSGSIZE, "a message of more than %u bytes", AGENT_PAYLOAD_MAX);
	if (t->error < 0)
		return err_raise(t->error, "a message of %zu bytes", t->size);
	ret->size = t->size;
	ret->data = TAKE_PTR(t->data);
	return 0;
}

/* One message of its own. */
static int agent_encode_whole(const ProtobufCMessage *m, struct ttrpc_bytes *ret)
{
	CLEANUP(text_done) struct text t = agent_encode_start();

	agent_encode_message(&t, AGENT_ENCODE_BARE, m);
	return err_pass(agent_encode_finish(&t, ret));
}

/* protobuf-c has no const; it reads only. */
static char *agent_encode_string(const char *s)
{
	return (char *)(uintptr_t)s;
}

/* ---- interfaces ---- */

struct agent_encode_ip {
	Grpc__IPAddress message;
	char text[IP_TEXT_BYTES];
	char mask[AGENT_ENCODE_MASK_BYTES];
};

static Grpc__IPFamily agent_encode_family(uint8_t family)
{
	return family == AF_INET6 ? GRPC__IPFAMILY__v6 : GRPC__IPFAMILY__v4;
}

/* Without a mask. */
static void agent_encode_ip(const struct agent_ip *ip, struct agent_encode_ip *ret)
{
	grpc__ipaddress__init(&ret->message);
	ip_format(ip->family, ip->bytes, ret->text);
	ret->message.family = agent_encode_family(ip->family);
	ret->message.address = ret->text;
}

static void agent_encode_prefix(struct text *to, unsigned field, const struct agent_ip *ip)
{
	struct agent_encode_ip m;

	agent_encode_ip(ip, &m);
	(void)snprintf(m.mask, sizeof(m.mask), "%u", ip->prefixlen);
	m.message.mask = m.mask;
	agent_encode_message(to, field, &m.message.base);
}

/*
 * Two packed halves of a message are the message: so the addresses between them, in the order of
 * their field numbers, need no array.
 */
static void agent_encode_interface_to(struct text *to, unsigned field,
				      const struct agent_interface *i)
{
	Grpc__Interface head, tail;
	char mac[IP_MAC_TEXT_BYTES] = "";
	size_t begin = agent_encode_begin(to, field);

	grpc__interface__init(&head);
	grpc__interface__init(&tail);
	head.device = agent_encode_string(i->device);
	head.name = agent_encode_string(i->name);
	agent_encode_message(to, AGENT_ENCODE_BARE, &head.base);
	for (size_t n = 0; n < i->n_ips && to->error == 0; n++)
		agent_encode_prefix(to, AGENT_ENCODE_ADDRESSES, &i->ips[n]);
	if (i->has_mac)
		ip_format_mac(i->mac, mac);
	tail.mtu = i->mtu;
	tail.hwaddr = mac;
	tail.devicepath = agent_encode_string(i->device_path);
	tail.type = agent_encode_string(i->type);
	tail.raw_flags = i->raw_flags;
	agent_encode_message(to, AGENT_ENCODE_BARE, &tail.base);
	agent_encode_end(to, field, begin);
}

static void agent_encode_interfaces_to(struct text *to, const struct agent_network *n)
{
	for (size_t i = 0; i < n->n_interfaces && to->error == 0; i++)
		agent_encode_interface_to(to, AGENT_ENCODE_LIST, &n->interfaces[i]);
}

int agent_encode_interface(enum agent_verb verb, const struct agent_interface *i,
			   struct ttrpc_bytes *ret)
{
	CLEANUP(text_done) struct text t = agent_encode_start();
	unsigned field = verb == AGENT_UPDATE_INTERFACE ? AGENT_ENCODE_REQUEST : AGENT_ENCODE_BARE;

	agent_encode_interface_to(&t, field, i);
	return err_pass(agent_encode_finish(&t, ret));
}

/* ---- routes ---- */

/* "": the one word for a default that every generation reads. Source: kata-agent.md 4.4. */
static void agent_encode_dest(const struct agent_ip *dest, char ret[IP_PREFIX_TEXT_BYTES])
{
	ret[0] = '\0';
	if (dest->prefixlen > 0)
		ip_format_prefix(dest->family, dest->bytes, dest->prefixlen, ret);
}

static void agent_encode_source(const struct agent_ip *ip, enum agent_source source,
				char ret[IP_PREFIX_TEXT_BYTES])
{
	if (source == AGENT_SOURCE_ZERO)
		ip_format_prefix(ip->family, ip->bytes, 0, ret);
	else
		ip_format(ip->family, ip->bytes, ret);
}

/* Source: kata-agent.md 5: the kernel takes RTNH_F_ONLINK with a gateway only, and others wrongly. */
static uint32_t agent_encode_flags(const struct agent_route *route)
{
	return route->gateway.family != 0 ? route->flags & RTNH_F_ONLINK : 0;
}

static void agent_encode_route_to(struct text *to, const struct agent_route *route,
				  enum agent_source source)
{
	Grpc__Route m;
	char dest[IP_PREFIX_TEXT_BYTES], from[IP_PREFIX_TEXT_BYTES], gateway[IP_TEXT_BYTES];

	grpc__route__init(&m);
	agent_encode_dest(&route->dest, dest);
	ip_format(route->gateway.family, route->gateway.bytes, gateway);
	agent_encode_source(&route->source, source, from);
	m.dest = dest;
	m.gateway = gateway;
	m.device = agent_encode_string(route->device);
	m.source = from;
	m.scope = route->scope;
	m.family = agent_encode_family(route->family);
	m.flags = agent_encode_flags(route);
	m.mtu = route->mtu;
	agent_encode_message(to, AGENT_ENCODE_LIST, &m.base);
}

static void agent_encode_routes_to(struct text *to, const struct agent_route *routes, size_t n,
				   enum agent_source source)
{
	for (size_t i = 0; i < n && to->error == 0; i++)
		agent_encode_route_to(to, &routes[i], source);
}

int agent_encode_routes(enum agent_verb verb, const struct agent_route *routes, size_t n,
			enum agent_source source, struct ttrpc_bytes *ret)
{
	CLEANUP(text_done) struct text t = agent_encode_start();
	unsigned field = verb == AGENT_UPDATE_ROUTES ? AGENT_ENCODE_REQUEST : AGENT_ENCODE_BARE;
	size_t begin = agent_encode_begin(&t, field);

	agent_encode_routes_to(&t, routes, n, source);
	agent_encode_end(&t, field, begin);
	return err_pass(agent_encode_finish(&t, ret));
}

/* ---- neighbours ---- */

static void agent_encode_neighbor_to(struct text *to, const struct agent_neighbor *neighbor)
{
	Grpc__ARPNeighbor m;
	struct agent_encode_ip ip;
	char mac[IP_MAC_TEXT_BYTES];

	grpc__arpneighbor__init(&m);
	agent_encode_ip(&neighbor->ip, &ip);
	ip_format_mac(neighbor->mac, mac);
	m.toipaddress = &ip.message;
	m.device = agent_encode_string(neighbor->device);
	m.lladdr = mac;
	m.state = neighbor->state != 0 ? neighbor->state : NUD_PERMANENT;
	m.flags = neighbor->flags;
	agent_encode_message(to, AGENT_ENCODE_LIST, &m.base);
}

static void agent_encode_neighbors_to(struct text *to, const struct agent_neighbor *neighbors,
				      size_t n)
{
	for (size_t i = 0; i < n && to->error == 0; i++)
		agent_encode_neighbor_to(to, &neighbors[i]);
}

int agent_encode_neighbors(enum agent_verb verb, const struct agent_neighbor *neighbors, size_t n,
			   struct ttrpc_bytes *ret)
{
	CLEANUP(text_done) struct text t = agent_encode_start();
	unsigned field = verb == AGENT_ADD_NEIGHBORS ? AGENT_ENCODE_REQUEST : AGENT_ENCODE_BARE;
	size_t begin = agent_encode_begin(&t, field);

	agent_encode_neighbors_to(&t, neighbors, n);
	agent_encode_end(&t, field, begin);
	return err_pass(agent_encode_finish(&t, ret));
}

/* ---- the others ---- */

int agent_encode_iptables_request(bool is_ipv6, struct ttrpc_bytes *ret)
{
	Grpc__GetIPTablesRequest m;

	grpc__get_iptables_request__init(&m);
	m.is_ipv6 = is_ipv6;
	return err_pass(agent_encode_whole(&m.base, ret));
}

int agent_encode_check_answer(struct ttrpc_bytes *ret)
{
	Grpc__HealthCheckResponse m;

	grpc__health_check_response__init(&m);
	m.status = GRPC__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
	return err_pass(agent_encode_whole(&m.base, ret));
}

int agent_encode_version_answer(const char *agent_version, struct ttrpc_bytes *ret)
{
	Grpc__VersionCheckResponse m;

	grpc__version_check_response__init(&m);
	m.grpc_version = agent_encode_string(AGENT_ENCODE_GRPC);
	m.agent_version = agent_encode_string(agent_version);
	return err_pass(agent_encode_whole(&m.base, ret));
}

int agent_encode_details_answer(const struct agent_details *d, struct ttrpc_bytes *ret)
{
	Grpc__GuestDetailsResponse m;
	Grpc__AgentDetails details;
	char *features[AGENT_FEATURES_MAX];

	grpc__guest_details_response__init(&m);
	grpc__agent_details__init(&details);
	for (size_t i = 0; i < d->n_features; i++)
		features[i] = agent_encode_string(d->features[i]);
	details.version = agent_encode_string(d->version);
	details.init_daemon = d->init_daemon;
	details.n_extra_features = d->n_features;
	details.extra_features = features;
	m.agent_details = &details;
	return err_pass(agent_encode_whole(&m.base, ret));
}

/* netmon.Network: three lists, each in its field. */
static void agent_encode_network_to(struct text *to, const struct agent_network *n)
{
	size_t begin = agent_encode_begin(to, AGENT_ENCODE_INTERFACES);

	agent_encode_interfaces_to(to, n);
	agent_encode_end(to, AGENT_ENCODE_INTERFACES, begin);
	begin = agent_encode_begin(to, AGENT_ENCODE_ROUTES);
	agent_encode_routes_to(to, n->routes, n->n_routes, AGENT_SOURCE_PLAIN);
	agent_encode_end(to, AGENT_ENCODE_ROUTES, begin);
	begin = agent_encode_begin(to, AGENT_ENCODE_NEIGHBORS);
	agent_encode_neighbors_to(to, n->neighbors, n->n_neighbors);
	agent_encode_end(to, AGENT_ENCODE_NEIGHBORS, begin);
}

int agent_encode_network_answer(enum agent_verb verb, const struct agent_network *n,
				struct ttrpc_bytes *ret)
{
	CLEANUP(text_done) struct text t = agent_encode_start();

	if (verb == AGENT_UPDATE_INTERFACE && n->n_interfaces > 0)
		agent_encode_interface_to(&t, AGENT_ENCODE_BARE, &n->interfaces[0]);
	else if (verb == AGENT_UPDATE_ROUTES || verb == AGENT_LIST_ROUTES)
		agent_encode_routes_to(&t, n->routes, n->n_routes, AGENT_SOURCE_PLAIN);
	else if (verb == AGENT_LIST_INTERFACES)
		agent_encode_interfaces_to(&t, n);
	else if (verb == AGENT_LIST_NETWORK)
		agent_encode_network_to(&t, n);
	return err_pass(agent_encode_finish(&t, ret));
}
