/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's calls, from bytes. See agent.h.
 *
 * A list is walked twice on the wire and never unpacked as a whole: first it is counted, so that a
 * list over its limit costs no memory and one within it gets exactly its own; then each entry is
 * unpacked alone, through the bounded allocator, and becomes a value or is counted as unusable.
 */
#include "agent-proto/agent.h"

#include <agent.pb-c.h>
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent-proto/bounded.h"
#include "agent-proto/cursor.h"
#include "base/error.h"
#include "base/ip.h"

#define AGENT_DECODE_ADDRESSES 3U /* field of an Interface */
#define AGENT_DECODE_DETAILS   2U /* field of a GuestDetailsResponse */
#define AGENT_DECODE_FEATURES  6U /* field of AgentDetails */
#define AGENT_DECODE_PARTS     3U

/* ---- the wire ---- */

static int agent_decode_bad(const char *what)
{
	return err_raise(-EBADMSG, "%s in an agent's message", what);
}

/* Adds up how often a message has @number. Return: 0, -EBADMSG, -EMSGSIZE: over @max. */
static int agent_decode_count(struct ttrpc_bytes message, uint64_t number, size_t max, size_t *n)
{
	struct cursor c = cursor_on(message);
	struct cursor_field field;
	int r;

	while ((r = cursor_next(&c, &field)) > 0) {
		if (field.number != number)
			continue;
		if (*n >= max)
			return err_raise(-EMSGSIZE, "more than %zu entries of a kind", max);
		(*n)++;
	}
	return err_pass(r);
}

/* What protobuf-c makes of one message. NULL: with *ret_error. */
static void *agent_decode_unpack(struct bounded *b, const ProtobufCMessageDescriptor *type,
				 struct ttrpc_bytes message, int *ret_error)
{
	void *m;

	bounded_init(b, AGENT_DECODE_BYTES_MAX);
	m = protobuf_c_message_unpack(type, &b->allocator, message.size, message.data);
	if (m)
		return m;
	*ret_error = err_raise(b->error < 0 ? b->error : -EBADMSG, "unpack %zu bytes as %s",
			       message.size, type->short_name);
	return NULL;
}

static void agent_decode_free(void *message, struct bounded *b)
{
	protobuf_c_message_free_unpacked(message, &b->allocator);
}

/* ---- words ---- */

/* Return: whether it fits. */
static bool agent_decode_word(const char *text, size_t size, char *ret)
{
	size_t length = strnlen(text, size);

	if (length >= size)
		return false;
	memcpy(ret, text, length + 1);
	return true;
}

/* Source: linux net/core/dev.c dev_valid_name(), whose isspace() knows Latin-1's 0xa0. */
static bool agent_decode_name(const char *text, char ret[AGENT_NAME_BYTES])
{
	if (strpbrk(text, "/: \t\n\v\f\r\xa0") || strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
		return false;
	return agent_decode_word(text, AGENT_NAME_BYTES, ret);
}

static bool agent_decode_device(const char *text, char ret[AGENT_NAME_BYTES])
{
	return *text != '\0' && agent_decode_name(text, ret);
}

static bool agent_decode_ip(const char *text, struct agent_ip *ret)
{
	if (!ip_parse(text, &ret->family, ret->bytes))
		return false;
	ret->prefixlen = ip_bits(ret->family);
	return true;
}

/* "": none. */
static bool agent_decode_optional_ip(const char *text, struct agent_ip *ret)
{
	return *text == '\0' || agent_decode_ip(text, ret);
}

static bool agent_decode_optional_prefix(const char *text, struct agent_ip *ret)
{
	return *text == '\0' || ip_parse_prefix(text, &ret->family, ret->bytes, &ret->prefixlen);
}

static bool agent_decode_address(const Grpc__IPAddress *m, struct agent_ip *ret)
{
	return ip_parse(m->address, &ret->family, ret->bytes) &&
	       ip_parse_prefixlen(m->mask, ret->family, &ret->prefixlen);
}

/* ---- entries: from a message to a value. Return: whether it is usable ---- */

static bool agent_decode_is_interface(const Grpc__Interface *m, struct agent_interface *ret)
{
	ret->has_mac = *m->hwaddr != '\0';
	ret->mtu = m->mtu;
	ret->raw_flags = m->raw_flags;
	return agent_decode_name(m->device, ret->device) && agent_decode_name(m->name, ret->name) &&
	       agent_decode_word(m->devicepath, sizeof(ret->device_path), ret->device_path) &&
	       agent_decode_word(m->type, sizeof(ret->type), ret->type) &&
	       (!ret->has_mac || ip_parse_mac(m->hwaddr, ret->mac));
}

static void agent_decode_addresses(const Grpc__Interface *m, struct agent_network *to,
				   struct agent_interface *i)
{
	struct agent_ip *ips;

	if (m->n_ipaddresses == 0)
		return; /* there is no room where no interface of the list has any */
	ips = to->ips + to->n_ips;
	for (size_t n = 0; n < m->n_ipaddresses; n++) {
		struct agent_ip ip = { 0 };

		if (agent_decode_address(m->ipaddresses[n], &ip))
			ips[i->n_ips++] = ip;
		else
			to->unusable++;
	}
	if (i->n_ips > 0)
		i->ips = ips;
	to->n_ips += i->n_ips;
}

static void agent_decode_interface(const void *message, struct agent_network *to)
{
	struct agent_interface i = { 0 };

	if (!agent_decode_is_interface(message, &i)) {
		to->unusable++;
		return;
	}
	agent_decode_addresses(message, to, &i);
	to->interfaces[to->n_interfaces++] = i;
}

/* One value for one thing: "default" (1.x) and "0.0.0.0/0" are "". *ret keeps the family. */
static bool agent_decode_dest(const char *text, struct agent_ip *ret)
{
	return strcmp(text, "default") == 0 || agent_decode_optional_prefix(text, ret);
}

/* The texts' family; the enum's only where no text says one. Return: whether they agree. */
static bool agent_decode_family(const Grpc__Route *m, struct agent_route *route)
{
	const struct agent_ip *const ips[] = { &route->dest, &route->gateway, &route->source };
	uint8_t family = 0;

	for (size_t i = 0; i < sizeof(ips) / sizeof(ips[0]); i++) {
		if (family != 0 && ips[i]->family != 0 && ips[i]->family != family)
			return false;
		family = family != 0 ? family : ips[i]->family;
	}
	if (family == 0 && m->family == GRPC__IPFAMILY__v4)
		family = AF_INET;
	if (family == 0 && m->family == GRPC__IPFAMILY__v6)
		family = AF_INET6;
	route->family = family;
	return family != 0;
}

static void agent_decode_route(const void *message, struct agent_network *to)
{
	const Grpc__Route *m = message;
	struct agent_route route = { .scope = m->scope, .mtu = m->mtu };

	if (!agent_decode_dest(m->dest, &route.dest) ||
	    !agent_decode_optional_ip(m->gateway, &route.gateway) ||
	    !agent_decode_optional_prefix(m->source, &route.source) ||
	    !agent_decode_device(m->device, route.device) || !agent_decode_family(m, &route)) {
		to->unusable++;
		return;
	}
	if (route.dest.prefixlen == 0)
		route.dest = (struct agent_ip){ 0 };
	if (route.gateway.family != 0)
		route.flags = m->flags & RTNH_F_ONLINK;
	to->routes[to->n_routes++] = route;
}

static void agent_decode_neighbor(const void *message, struct agent_network *to)
{
	const Grpc__ARPNeighbor *m = message;
	struct agent_neighbor neighbor = {
		.state = m->state != 0 ? m->state : NUD_PERMANENT,
		.flags = m->flags,
	};

	if (!m->toipaddress || !agent_decode_ip(m->toipaddress->address, &neighbor.ip) ||
	    !agent_decode_device(m->device, neighbor.device) ||
	    !ip_parse_mac(m->lladdr, neighbor.mac)) {
		to->unusable++;
		return;
	}
	to->neighbors[to->n_neighbors++] = neighbor;
}

/* ---- shapes: where in a message the entries are ---- */

enum agent_decode_kind {
	AGENT_DECODE_INTERFACE,
	AGENT_DECODE_ROUTE,
	AGENT_DECODE_NEIGHBOR,
	_AGENT_DECODE_KIND_MAX,
};

static const struct {
	const ProtobufCMessageDescriptor *type;
	size_t max;
	void (*take)(const void *message, struct agent_network *to);
} agent_decode_kinds[_AGENT_DECODE_KIND_MAX] = {
	[AGENT_DECODE_INTERFACE] = { &grpc__interface__descriptor, AGENT_INTERFACES_MAX,
				     agent_decode_interface },
	[AGENT_DECODE_ROUTE] = { &grpc__route__descriptor, AGENT_ROUTES_MAX, agent_decode_route },
	[AGENT_DECODE_NEIGHBOR] = { &grpc__arpneighbor__descriptor, AGENT_NEIGHBORS_MAX,
				    agent_decode_neighbor },
};

/* An entry itself, or a list of them in field 1: Routes, Interfaces, ARPNeighbors. */
struct agent_decode_part {
	enum agent_decode_kind kind;
	bool is_list;
};

struct agent_decode_shape {
	size_t n_parts;	   /* 0: a message that says nothing */
	bool is_wrapped;   /* parts are the fields 1, 2 ... of the message; else parts[0] is it */
	const char *empty; /* the field must be there, once; what is said when it is not */
	struct agent_decode_part parts[AGENT_DECODE_PARTS];
};

/* Source of the words: kata src/agent/src/rpc.rs. */
static const struct agent_decode_shape agent_decode_requests[_AGENT_VERB_MAX] = {
	[AGENT_UPDATE_INTERFACE] = { 1,
				     true,
				     "empty update interface request",
				     { { AGENT_DECODE_INTERFACE, false } } },
	[AGENT_UPDATE_ROUTES] = { 1,
				  true,
				  "empty update routes request",
				  { { AGENT_DECODE_ROUTE, true } } },
	[AGENT_ADD_NEIGHBORS] = { 1,
				  true,
				  "empty add arp neighbours request",
				  { { AGENT_DECODE_NEIGHBOR, true } } },
	[AGENT_REMOVE_INTERFACE] = { 1, false, NULL, { { AGENT_DECODE_INTERFACE, false } } },
	[AGENT_REMOVE_ROUTES] = { 1, false, NULL, { { AGENT_DECODE_ROUTE, true } } },
	[AGENT_REMOVE_NEIGHBORS] = { 1, false, NULL, { { AGENT_DECODE_NEIGHBOR, true } } },
};

static const struct agent_decode_shape agent_decode_answers[_AGENT_VERB_MAX] = {
	[AGENT_UPDATE_INTERFACE] = { 1, false, NULL, { { AGENT_DECODE_INTERFACE, false } } },
	[AGENT_UPDATE_ROUTES] = { 1, false, NULL, { { AGENT_DECODE_ROUTE, true } } },
	[AGENT_LIST_INTERFACES] = { 1, false, NULL, { { AGENT_DECODE_INTERFACE, true } } },
	[AGENT_LIST_ROUTES] = { 1, false, NULL, { { AGENT_DECODE_ROUTE, true } } },
	[AGENT_LIST_NETWORK] = { 3,
				 true,
				 NULL,
				 { { AGENT_DECODE_INTERFACE, true },
				   { AGENT_DECODE_ROUTE, true },
				   { AGENT_DECODE_NEIGHBOR, true } } },
};

/* ---- walking ---- */

struct agent_decode_walk {
	int (*on_entry)(struct agent_decode_walk *w, enum agent_decode_kind kind,
			struct ttrpc_bytes entry);
	size_t n[_AGENT_DECODE_KIND_MAX]; /* counted */
	size_t n_ips;
	struct agent_network *to;
};

static int agent_decode_walk_part(struct agent_decode_walk *w, struct agent_decode_part part,
				  struct ttrpc_bytes bytes)
{
	struct cursor c = cursor_on(bytes);
	struct cursor_field field;
	int r;

	if (!part.is_list)
		return err_pass(w->on_entry(w, part.kind, bytes));
	while ((r = cursor_next(&c, &field)) > 0) {
		if (field.number != 1)
			continue;
		if (field.wire != CURSOR_BYTES)
			return agent_decode_bad("a number for an entry");
		r = w->on_entry(w, part.kind, field.bytes);
		if (r < 0)
			return err_pass(r);
	}
	return err_pass(r);
}

/* Return: 1: walked; 0: not a field of ours; < 0. */
static int agent_decode_walk_field(struct agent_decode_walk *w, const struct agent_decode_shape *s,
				   const struct cursor_field *field)
{
	int r;

	if (field->number > s->n_parts)
		return 0;
	if (field->wire != CURSOR_BYTES)
		return agent_decode_bad("a number for a list");
	r = agent_decode_walk_part(w, s->parts[field->number - 1], field->bytes);
	return r < 0 ? err_pass(r) : 1;
}

static int agent_decode_walk(struct agent_decode_walk *w, const struct agent_decode_shape *s,
			     struct ttrpc_bytes message)
{
	struct cursor c = cursor_on(message);
	struct cursor_field field;
	size_t found = 0;
	int r;

	if (!s->is_wrapped)
		return err_pass(agent_decode_walk_part(w, s->parts[0], message));
	while ((r = cursor_next(&c, &field)) > 0) {
		r = agent_decode_walk_field(w, s, &field);
		if (r < 0)
			return err_pass(r);
		found += (size_t)r;
	}
	if (r == 0 && s->empty && found != 1)
		return err_raise(-EBADMSG, "%s", found == 0 ? s->empty : "one field twice");
	return err_pass(r);
}

static int agent_decode_count_entry(struct agent_decode_walk *w, enum agent_decode_kind kind,
				    struct ttrpc_bytes entry)
{
	if (w->n[kind] >= agent_decode_kinds[kind].max)
		return err_raise(-EMSGSIZE, "more than %zu of %s", agent_decode_kinds[kind].max,
				 agent_decode_kinds[kind].type->short_name);
	w->n[kind]++;
	if (kind != AGENT_DECODE_INTERFACE)
		return 0;
	return err_pass(
		agent_decode_count(entry, AGENT_DECODE_ADDRESSES, AGENT_ADDRESSES_MAX, &w->n_ips));
}

static int agent_decode_take_entry(struct agent_decode_walk *w, enum agent_decode_kind kind,
				   struct ttrpc_bytes entry)
{
	struct bounded b;
	int r;
	void *m = agent_decode_unpack(&b, agent_decode_kinds[kind].type, entry, &r);

	if (!m)
		return err_pass(r);
	agent_decode_kinds[kind].take(m, w->to);
	agent_decode_free(m, &b);
	return 0;
}

/* ---- networks ---- */

/* Return: NULL also for 0 of them. */
static void *agent_decode_array(size_t n, size_t size, bool *is_out)
{
	void *array = n > 0 ? calloc(n, size) : NULL;

	*is_out = *is_out || (n > 0 && !array);
	return array;
}

static int agent_decode_make_room(const struct agent_decode_walk *w, struct agent_network *to)
{
	const size_t *n = w->n;
	bool is_out = false;

	to->interfaces =
		agent_decode_array(n[AGENT_DECODE_INTERFACE], sizeof(*to->interfaces), &is_out);
	to->ips = agent_decode_array(w->n_ips, sizeof(*to->ips), &is_out);
	to->routes = agent_decode_array(n[AGENT_DECODE_ROUTE], sizeof(*to->routes), &is_out);
	to->neighbors =
		agent_decode_array(n[AGENT_DECODE_NEIGHBOR], sizeof(*to->neighbors), &is_out);
	return is_out ? err_raise(-ENOMEM, "a guest's network") : 0;
}

static int agent_decode_network(const struct agent_decode_shape *s, struct ttrpc_bytes message,
				struct agent_network *ret)
{
	CLEANUP(agent_network_done) struct agent_network n = { 0 };
	struct agent_decode_walk w = { .on_entry = agent_decode_count_entry, .to = &n };
	int r;

	if (message.size > TTRPC_DATA_MAX)
		return err_raise(-EMSGSIZE, "a message of %zu bytes", message.size);
	if (s->n_parts > 0) {
		r = agent_decode_walk(&w, s, message);
		if (r < 0)
			return err_pass(r);
		r = agent_decode_make_room(&w, &n);
		if (r < 0)
			return err_pass(r);
		w.on_entry = agent_decode_take_entry;
		r = agent_decode_walk(&w, s, message);
		if (r < 0)
			return err_pass(r);
	}
	*ret = n;
	n = (struct agent_network){ 0 };
	return 0;
}

int agent_decode_request(enum agent_verb verb, struct ttrpc_bytes payload,
			 struct agent_network *ret)
{
	return err_pass(agent_decode_network(&agent_decode_requests[verb], payload, ret));
}

int agent_decode_answer(enum agent_verb verb, struct ttrpc_bytes payload, struct agent_network *ret)
{
	return err_pass(agent_decode_network(&agent_decode_answers[verb], payload, ret));
}

/* ---- the others ---- */

int agent_decode_check(struct ttrpc_bytes payload, bool *ret_is_serving)
{
	struct bounded b;
	int r;
	Grpc__HealthCheckResponse *m =
		agent_decode_unpack(&b, &grpc__health_check_response__descriptor, payload, &r);

	if (!m)
		return err_pass(r);
	*ret_is_serving = m->status == GRPC__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
	agent_decode_free(m, &b);
	return 0;
}

static int agent_decode_version_word(const char *text, char ret[AGENT_WORD_BYTES])
{
	if (!agent_decode_word(text, AGENT_WORD_BYTES, ret))
		return err_raise(-EMSGSIZE, "a version of more than %d bytes",
				 AGENT_WORD_BYTES - 1);
	return 0;
}

int agent_decode_version(struct ttrpc_bytes payload, char ret[AGENT_WORD_BYTES])
{
	struct bounded b;
	int r;
	Grpc__VersionCheckResponse *m =
		agent_decode_unpack(&b, &grpc__version_check_response__descriptor, payload, &r);

	if (!m)
		return err_pass(r);
	r = agent_decode_version_word(m->agent_version, ret);
	agent_decode_free(m, &b);
	return err_pass(r);
}

/* A guest's features are counted on the wire, before one of them takes memory. */
static int agent_decode_count_features(struct ttrpc_bytes message)
{
	struct cursor c = cursor_on(message);
	struct cursor_field field;
	size_t n = 0;
	int r;

	while ((r = cursor_next(&c, &field)) > 0) {
		if (field.number != AGENT_DECODE_DETAILS || field.wire != CURSOR_BYTES)
			continue;
		r = agent_decode_count(field.bytes, AGENT_DECODE_FEATURES, AGENT_FEATURES_MAX, &n);
		if (r < 0)
			return err_pass(r);
	}
	return err_pass(r);
}

/* A word too long for a feature is none that anybody here asks for. */
static int agent_decode_take_details(const Grpc__AgentDetails *m, struct agent_details *ret)
{
	struct agent_details d = { .init_daemon = m->init_daemon };
	int r = agent_decode_version_word(m->version, d.version);

	if (r < 0)
		return err_pass(r);
	for (size_t i = 0; i < m->n_extra_features && d.n_features < AGENT_FEATURES_MAX; i++)
		if (agent_decode_word(m->extra_features[i], AGENT_WORD_BYTES,
				      d.features[d.n_features]))
			d.n_features++;
	*ret = d;
	return 0;
}

int agent_decode_details(struct ttrpc_bytes payload, struct agent_details *ret)
{
	Grpc__GuestDetailsResponse *m;
	struct bounded b;
	int r = agent_decode_count_features(payload);

	if (r < 0)
		return err_pass(r);
	m = agent_decode_unpack(&b, &grpc__guest_details_response__descriptor, payload, &r);
	if (!m)
		return err_pass(r);
	if (m->agent_details)
		r = agent_decode_take_details(m->agent_details, ret);
	else
		*ret = (struct agent_details){ 0 };
	agent_decode_free(m, &b);
	return err_pass(r);
}

int agent_decode_iptables(struct ttrpc_bytes payload, char **ret, size_t *ret_size)
{
	struct bounded b;
	int r = 0;
	Grpc__GetIPTablesResponse *m =
		agent_decode_unpack(&b, &grpc__get_iptables_response__descriptor, payload, &r);
	char *text;

	if (!m)
		return err_pass(r);
	text = malloc(m->data.len + 1);
	if (text) {
		if (m->data.len > 0)
			memcpy(text, m->data.data, m->data.len);
		text[m->data.len] = '\0';
		*ret = text;
		*ret_size = m->data.len;
	}
	agent_decode_free(m, &b);
	return text ? 0 : err_raise(-ENOMEM, "iptables");
}
