/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values as JSON and back, see document.h.
 *
 * How it works: what every value has is always written; what is zero nearly always (all that is
 * "seen only") is left out when it is, so that the line of a plain route stays below 60 bytes:
 * there can be 100,000 of them. A name of printable ASCII is "name":"eth1". JSON has no way to hold
 * a byte that is no UTF-8 and a terminal has ways to misunderstand what is no ASCII, so every other
 * name is written as its bytes: "name_hex":"657468ff". "kind" is alike.
 */
#include "netmon/document.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/ip.h"
#include "base/text.h"

#define DOCUMENT_KEY_MAX 16 /* "name_hex" and kin */
/* "ffff:....:255.255.255.255/128" */

/* ---- writing ---- */

static void write_u64_unless_zero(struct json_writer *j, const char *key, uint64_t value)
{
	if (value != 0)
		json_writer_u64(j, key, value);
}

static void write_true(struct json_writer *j, const char *key, bool value)
{
	if (value)
		json_writer_bool(j, key, true);
}

static bool is_readable(const char *name)
{
	for (; *name != '\0'; name++)
		if (*name < ' ' || *name > '~')
			return false;
	return true;
}

static void write_name(struct json_writer *j, const char *key, const char name[MODEL_NAME_BYTES])
{
	char hex_key[DOCUMENT_KEY_MAX];
	char hex[2 * MODEL_NAME_BYTES] = "";

	if (is_readable(name)) {
		json_writer_string(j, key, name);
		return;
	}
	(void)snprintf(hex_key, sizeof(hex_key), "%s_hex", key);
	for (size_t i = 0; name[i] != '\0'; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", (unsigned char)name[i]);
	json_writer_string(j, hex_key, hex);
}

static void write_mac(struct json_writer *j, uint8_t mac_bytes, const uint8_t mac[MODEL_MAC_BYTES])
{
	char text[MODEL_MAC_TEXT_BYTES];

	model_format_mac(mac_bytes, mac, text);
	json_writer_string(j, "mac", text);
}

static void write_ip(struct json_writer *j, const char *key, uint8_t family,
		     const uint8_t bytes[16])
{
	char text[MODEL_IP_TEXT_BYTES];

	model_format_ip(family, bytes, text);
	json_writer_string(j, key, text);
}

static void write_prefix(struct json_writer *j, const char *key, uint8_t family,
			 const uint8_t bytes[16], uint8_t prefixlen)
{
	char text[IP_PREFIX_TEXT_BYTES];

	ip_format_prefix(family, bytes, prefixlen, text);
	json_writer_string(j, key, text);
}

static void write_link_members(struct json_writer *j, const struct link *l)
{
	json_writer_u64(j, "ifindex", l->ifindex);
	json_writer_u64(j, "incarnation", l->incarnation);
	write_name(j, "name", l->name);
	write_name(j, "kind", l->kind);
	write_mac(j, l->mac_bytes, l->mac);
	json_writer_u64(j, "mtu", l->mtu);
	json_writer_u64(j, "sent_usec", l->sent_usec);
	json_writer_bool(j, "replugged", l->replugged);
	write_u64_unless_zero(j, "flags", l->flags);
	write_u64_unless_zero(j, "master", l->master);
	write_u64_unless_zero(j, "peer", l->peer_ifindex);
	write_u64_unless_zero(j, "hardware", l->hardware);
	write_true(j, "peer_elsewhere", l->peer_elsewhere);
}

void document_write_link(struct json_writer *j, const char *key, const struct link *l)
{
	json_writer_object_begin(j, key);
	write_link_members(j, l);
	json_writer_object_end(j);
}

static void write_addr_members(struct json_writer *j, const struct addr *a)
{
	write_prefix(j, "ip", a->family, a->bytes, a->prefixlen);
	write_u64_unless_zero(j, "scope", a->scope);
	write_u64_unless_zero(j, "flags", a->flags);
	write_u64_unless_zero(j, "learnt", a->learnt);
}

void document_write_addr(struct json_writer *j, const char *key, const struct addr *a)
{
	json_writer_object_begin(j, key);
	json_writer_u64(j, "dev", a->ifindex);
	write_addr_members(j, a);
	json_writer_object_end(j);
}

void document_write_route(struct json_writer *j, const char *key, const struct route *r)
{
	uint8_t family = model_route_family(r);

	json_writer_object_begin(j, key);
	write_prefix(j, "dst", family, r->dst, r->prefixlen);
	if (r->flags & MODEL_ROUTE_GATEWAY)
		write_ip(j, "via", family, r->gateway);
	write_u64_unless_zero(j, "dev", r->ifindex);
	if (r->flags & MODEL_ROUTE_SOURCE)
		write_ip(j, "src", family, r->source);
	write_u64_unless_zero(j, "metric", r->metric);
	write_u64_unless_zero(j, "mtu", r->mtu);
	write_u64_unless_zero(j, "scope", r->scope);
	write_true(j, "onlink", r->flags & MODEL_ROUTE_ONLINK);
	write_true(j, "kernel", r->flags & MODEL_ROUTE_KERNEL);
	write_true(j, "learnt", r->flags & MODEL_ROUTE_LEARNT);
	if (r->unsayable != MODEL_SAYABLE)
		json_writer_string(j, "unsayable", model_unsayable_to_string(r->unsayable));
	json_writer_object_end(j);
}

void document_write_neigh(struct json_writer *j, const char *key, const struct neigh *n)
{
	json_writer_object_begin(j, key);
	json_writer_u64(j, "dev", n->ifindex);
	write_ip(j, "ip", n->family, n->bytes);
	write_mac(j, n->mac_bytes, n->mac);
	write_u64_unless_zero(j, "state", n->state);
	write_u64_unless_zero(j, "learnt", n->learnt);
	write_u64_unless_zero(j, "router", n->router);
	json_writer_object_end(j);
}

static void write_link_with_addrs(struct json_writer *j, const struct snapshot *s,
				  const struct link *l)
{
	size_t n, first = table_range_of_link(snapshot_addrs(s), l->ifindex, &n);

	json_writer_object_begin(j, NULL);
	write_link_members(j, l);
	json_writer_array_begin(j, "addresses");
	for (size_t i = first; i < first + n; i++) {
		json_writer_object_begin(j, NULL);
		write_addr_members(j, &snapshot_addrs(s)->addrs[i]);
		json_writer_object_end(j);
	}
	json_writer_array_end(j);
	json_writer_object_end(j);
}

void document_write_snapshot(struct json_writer *j, const char *key, const struct snapshot *s)
{
	json_writer_object_begin(j, key);
	json_writer_array_begin(j, "links");
	for (size_t i = 0; i < snapshot_links(s)->n; i++)
		write_link_with_addrs(j, s, &snapshot_links(s)->links[i]);
	json_writer_array_end(j);
	json_writer_array_begin(j, "routes");
	for (size_t i = 0; i < snapshot_routes(s)->n; i++)
		document_write_route(j, NULL, &snapshot_routes(s)->routes[i]);
	json_writer_array_end(j);
	json_writer_array_begin(j, "neighbours");
	for (size_t i = 0; i < snapshot_neighs(s)->n; i++)
		document_write_neigh(j, NULL, &snapshot_neighs(s)->neighs[i]);
	json_writer_array_end(j);
	json_writer_object_end(j);
}

/* ---- shared with the other readers ---- */

struct json_tokener *document_tokener_new(int depth_max)
{
	struct json_tokener *t = json_tokener_new_ex(depth_max);

	if (t)
		json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	return t;
}

int document_parse(struct json_tokener *t, const char *data, size_t size, struct json_object **ret)
{
	CLEANUP(document_put) struct json_object *o = NULL;

	json_tokener_reset(t);
	if (size > INT_MAX ||
	    memchr(data, '\0', size)) /* json-c stops at a NUL and calls it an end */
		return err_raise(-EBADMSG, "read a document of %zu bytes", size);
	o = json_tokener_parse_ex(t, data, (int)size);
	if (!o || json_tokener_get_error(t) != json_tokener_success ||
	    json_tokener_get_parse_end(t) != size || !json_object_is_type(o, json_type_object))
		return err_raise(-EBADMSG, "read a document of %zu bytes: no JSON object", size);
	*ret = TAKE_PTR(o);
	return 0;
}

int document_get_u64(const struct json_object *value, uint64_t max, uint64_t *ret)
{
	uint64_t number;

	/*
	 * json-c gives 0 for a negative number that is asked for as unsigned, and the largest for
	 * one above that (0.16, also when it is strict).
	 */
	if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0)
		return err_raise(-EBADMSG, "read a number");
	number = json_object_get_uint64(value);
	if (number > max)
		return err_raise(-EBADMSG, "read a number of at most %" PRIu64, max);
	*ret = number;
	return 0;
}

/* ---- parsing ---- */

/*
 * Members are taken one by one by the key that they must have. The first that is wrong is
 * remembered in @wrong, so that a value is parsed straight on and judged once; a member that nobody
 * took is found by counting.
 */
struct members {
	struct json_object *object;
	int n_taken;
	const char *wrong;
};

enum member_need { OPTIONAL, REQUIRED };

static void mark_wrong(struct members *m, const char *key)
{
	if (!m->wrong)
		m->wrong = key;
}

/* Return: NULL when it is not there (wrong if it should be) or has another type (wrong) */
static struct json_object *take(struct members *m, const char *key, enum json_type type,
				enum member_need need)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(m->object, key, &value)) {
		if (need == REQUIRED)
			mark_wrong(m, key);
		return NULL;
	}
	m->n_taken++;
	if (json_object_is_type(value, type))
		return value;
	mark_wrong(m, key);
	return NULL;
}

static uint64_t take_u64(struct members *m, const char *key, uint64_t max, enum member_need need)
{
	struct json_object *value = take(m, key, json_type_int, need);
	uint64_t number = 0;

	if (!value)
		return 0;
	if (document_get_u64(value, max, &number) < 0)
		mark_wrong(m, key);
	return number;
}

static uint32_t take_u32(struct members *m, const char *key, enum member_need need)
{
	return (uint32_t)take_u64(m, key, UINT32_MAX, need);
}

static uint16_t take_u16(struct members *m, const char *key, enum member_need need)
{
	return (uint16_t)take_u64(m, key, UINT16_MAX, need);
}

static uint8_t take_u8(struct members *m, const char *key, enum member_need need)
{
	return (uint8_t)take_u64(m, key, UINT8_MAX, need);
}

static bool take_bool(struct members *m, const char *key, enum member_need need)
{
	struct json_object *value = take(m, key, json_type_boolean, need);

	return value && json_object_get_boolean(value);
}

/* Return: NULL or text without NUL inside */
static const char *take_text(struct members *m, const char *key, enum member_need need)
{
	struct json_object *value = take(m, key, json_type_string, need);
	const char *text;

	if (!value)
		return NULL;
	text = json_object_get_string(value);
	if (strlen(text) == (size_t)json_object_get_string_len(value))
		return text;
	mark_wrong(m, key);
	return NULL;
}

/* One lower case hex digit, -1 for anything else: we write no other. */
static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "0a" -> 10; -1 for anything else */
static int hex_byte(const char *s)
{
	int high = hex_value(s[0]);
	int low = high < 0 ? -1 : hex_value(s[1]);

	return low < 0 ? -1 : high * 16 + low;
}

static bool parse_hex_name(const char *hex, char ret[MODEL_NAME_BYTES])
{
	size_t size = strlen(hex);

	if (size % 2 != 0 || size / 2 >= MODEL_NAME_BYTES)
		return false;
	for (size_t i = 0; i < size / 2; i++) {
		int byte = hex_byte(hex + 2 * i);

		if (byte <= 0)
			return false;
		ret[i] = (char)byte;
	}
	return true;
}

/* @ret is all zero before. */
static void take_name(struct members *m, const char *key, const char *hex_key,
		      char ret[MODEL_NAME_BYTES])
{
	const char *hex = take_text(m, hex_key, OPTIONAL);
	const char *name = take_text(m, key, hex ? OPTIONAL : REQUIRED);

	if (hex && (name || !parse_hex_name(hex, ret)))
		mark_wrong(m, hex_key);
	if (hex || !name)
		return;
	if (strlen(name) < MODEL_NAME_BYTES)
		memcpy(ret, name, strlen(name));
	else
		mark_wrong(m, key);
}

static void take_mac(struct members *m, uint8_t *ret_bytes, uint8_t ret[MODEL_MAC_BYTES])
{
	const char *text = take_text(m, "mac", REQUIRED);

	if (!text || *text == '\0')
		return;
	if (ip_parse_mac(text, ret))
		*ret_bytes = MODEL_MAC_BYTES;
	else
		mark_wrong(m, "mac");
}

static void take_ip(struct members *m, const char *key, uint8_t *ret_family, uint8_t ret[16])
{
	const char *text = take_text(m, key, REQUIRED);

	if (text && !ip_parse(text, ret_family, ret))
		mark_wrong(m, key);
}

/* An address of @family that says by being there that it is there. Return: whether it is. */
static bool take_ip_of(struct members *m, const char *key, uint8_t family, uint8_t ret[16])
{
	const char *text = take_text(m, key, OPTIONAL);
	uint8_t its_family;

	if (text && (!ip_parse(text, &its_family, ret) || its_family != family))
		mark_wrong(m, key);
	return text;
}

static void take_prefix(struct members *m, const char *key, uint8_t *ret_family, uint8_t ret[16],
			uint8_t *ret_prefixlen)
{
	const char *text = take_text(m, key, REQUIRED);

	if (text && (!strchr(text, '/') || !ip_parse_prefix(text, ret_family, ret, ret_prefixlen)))
		mark_wrong(m, key);
}

static enum model_unsayable take_unsayable(struct members *m)
{
	const char *text = take_text(m, "unsayable", OPTIONAL);

	if (!text)
		return MODEL_SAYABLE;
	for (enum model_unsayable u = MODEL_SAYABLE + 1; u < _MODEL_UNSAYABLE_MAX; u++)
		if (strcmp(text, model_unsayable_to_string(u)) == 0)
			return u;
	mark_wrong(m, "unsayable");
	return MODEL_SAYABLE;
}

static int judge(const struct members *m, const char *what)
{
	if (m->wrong)
		return err_raise(-EBADMSG, "read a %s: member '%s'", what, m->wrong);
	if (m->n_taken != json_object_object_length(m->object))
		return err_raise(-EBADMSG, "read a %s: a member that is not known", what);
	return 0;
}

static int begin(struct members *m, struct json_object *o, const char *what)
{
	*m = (struct members){ .object = o };
	if (json_object_is_type(o, json_type_object))
		return 0;
	return err_raise(-EBADMSG, "read a %s: no object", what);
}

/*
 * Each value is made in a block of zeros, padding included, and copied whole: it is compared and
 * stored as bytes.
 */

int document_parse_link(struct json_object *o, struct link *ret)
{
	struct members m;
	struct link l;
	int r = begin(&m, o, "link");

	if (r < 0)
		return err_pass(r);
	memset(&l, 0, sizeof(l));
	l.ifindex = take_u32(&m, "ifindex", REQUIRED);
	l.incarnation = take_u32(&m, "incarnation", REQUIRED);
	take_name(&m, "name", "name_hex", l.name);
	take_name(&m, "kind", "kind_hex", l.kind);
	take_mac(&m, &l.mac_bytes, l.mac);
	l.mtu = take_u32(&m, "mtu", REQUIRED);
	l.sent_usec = take_u64(&m, "sent_usec", UINT64_MAX, REQUIRED);
	l.replugged = take_bool(&m, "replugged", REQUIRED);
	l.flags = take_u32(&m, "flags", OPTIONAL);
	l.master = take_u32(&m, "master", OPTIONAL);
	l.peer_ifindex = take_u32(&m, "peer", OPTIONAL);
	l.hardware = take_u16(&m, "hardware", OPTIONAL);
	l.peer_elsewhere = take_bool(&m, "peer_elsewhere", OPTIONAL);
	r = judge(&m, "link");
	if (r < 0)
		return err_pass(r);
	memcpy(ret, &l, sizeof(l));
	return 0;
}

int document_parse_addr(struct json_object *o, struct addr *ret)
{
	struct addr a = { 0 };
	struct members m;
	int r = begin(&m, o, "address");

	if (r < 0)
		return err_pass(r);
	a.ifindex = take_u32(&m, "dev", REQUIRED);
	take_prefix(&m, "ip", &a.family, a.bytes, &a.prefixlen);
	a.scope = take_u8(&m, "scope", OPTIONAL);
	a.flags = take_u32(&m, "flags", OPTIONAL);
	a.learnt = take_u8(&m, "learnt", OPTIONAL);
	r = judge(&m, "address");
	if (r < 0)
		return err_pass(r);
	*ret = a;
	return 0;
}

static unsigned take_route_flags(struct members *m, uint8_t family, struct route *route)
{
	unsigned flags = 0;

	if (take_ip_of(m, "via", family, route->gateway))
		flags |= MODEL_ROUTE_GATEWAY;
	if (take_ip_of(m, "src", family, route->source))
		flags |= MODEL_ROUTE_SOURCE;
	if (take_bool(m, "onlink", OPTIONAL))
		flags |= MODEL_ROUTE_ONLINK;
	if (take_bool(m, "kernel", OPTIONAL))
		flags |= MODEL_ROUTE_KERNEL;
	if (take_bool(m, "learnt", OPTIONAL))
		flags |= MODEL_ROUTE_LEARNT;
	return flags;
}

int document_parse_route(struct json_object *o, struct route *ret)
{
	uint8_t family = AF_INET;
	struct route route = { 0 };
	struct members m;
	int r = begin(&m, o, "route");

	if (r < 0)
		return err_pass(r);
	take_prefix(&m, "dst", &family, route.dst, &route.prefixlen);
	route.is_inet6 = family == AF_INET6;
	route.flags = take_route_flags(&m, family, &route) & 0x1fU;
	route.ifindex = take_u32(&m, "dev", OPTIONAL);
	route.metric = take_u32(&m, "metric", OPTIONAL);
	route.mtu = take_u32(&m, "mtu", OPTIONAL);
	route.scope = take_u8(&m, "scope", OPTIONAL);
	route.unsayable = take_unsayable(&m) & 0x7;
	r = judge(&m, "route");
	if (r < 0)
		return err_pass(r);
	*ret = route;
	return 0;
}

int document_parse_neigh(struct json_object *o, struct neigh *ret)
{
	struct neigh n = { 0 };
	struct members m;
	int r = begin(&m, o, "neighbour");

	if (r < 0)
		return err_pass(r);
	n.ifindex = take_u32(&m, "dev", REQUIRED);
	take_ip(&m, "ip", &n.family, n.bytes);
	take_mac(&m, &n.mac_bytes, n.mac);
	n.state = take_u16(&m, "state", OPTIONAL);
	n.learnt = take_u8(&m, "learnt", OPTIONAL);
	n.router = take_u8(&m, "router", OPTIONAL);
	r = judge(&m, "neighbour");
	if (r < 0)
		return err_pass(r);
	*ret = n;
	return 0;
}
