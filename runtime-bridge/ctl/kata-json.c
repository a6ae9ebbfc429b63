/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON of Kata 1.x's `kata-network`, see kata-json.h.
 *
 * How it works. The outer brackets of a list are read here; each element goes to json-c alone,
 * bounded in bytes and depth, becomes a value of agent.h and is dropped. A reader remembers one
 * refusal, so that a record can be read field by field: after the first one nothing is taken any
 * more.
 */
#include "runtime-bridge/ctl/kata-json.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/ip.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

/* An interface, its addresses, an address, its strings; the rest is for keys that we do not know. */
#define KATA_JSON_DEPTH 32

struct kata_json_reader {
	const char *at;
	const char *end;
	struct json_tokener *tokener;
	char why[KATA_JSON_WHY_BYTES];
	bool is_bad;	/* @why is said */
	bool no_memory; /* likewise final */
	struct agent_network n;
	size_t capacity; /* of the array that grows: ips or routes */
};

__attribute__((__format__(__printf__, 2, 3))) static bool kata_json_refuse(
	struct kata_json_reader *r, const char *fmt, ...)
{
	va_list ap;

	if (r->is_bad)
		return false;
	r->is_bad = true;
	va_start(ap, fmt);
	(void)vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	return false;
}

static bool kata_json_is_fine(const struct kata_json_reader *r)
{
	return !r->is_bad && !r->no_memory;
}

/* Room for one more of @size bytes. NULL: over @max, or no memory; the reader knows. */
static void *kata_json_grow(struct kata_json_reader *r, void *array, size_t n, size_t max,
			    size_t size)
{
	size_t capacity = r->capacity > 0 ? r->capacity * 2 : 16;
	void *grown;

	if (n < r->capacity)
		return array;
	if (n >= max) {
		(void)kata_json_refuse(r, "more than %zu entries in a list", max);
		return NULL;
	}
	grown = reallocarray(array, capacity, size);
	if (!grown) {
		r->no_memory = true;
		return NULL;
	}
	r->capacity = capacity;
	return grown;
}

/* ---- the text ---- */

static void kata_json_skip_space(struct kata_json_reader *r)
{
	while (r->at < r->end && strchr(" \t\r\n", *r->at))
		r->at++;
}

/* Steps over @c and the space around it. */
static bool kata_json_take(struct kata_json_reader *r, char c)
{
	kata_json_skip_space(r);
	if (r->at == r->end || *r->at != c)
		return false;
	r->at++;
	kata_json_skip_space(r);
	return true;
}

static bool kata_json_is_null(struct kata_json_reader *r)
{
	kata_json_skip_space(r);
	return r->end - r->at >= 4 && memcmp(r->at, "null", 4) == 0;
}

static bool kata_json_refuse_at(struct kata_json_reader *r, const char *begin)
{
	if (r->at == r->end)
		return kata_json_refuse(r, r->at == begin ? "EOF" : "unexpected EOF");
	if (*r->at < ' ' || *r->at > '~')
		return kata_json_refuse(r, "invalid character '\\x%02x' at byte %td",
					(unsigned char)*r->at, r->at - begin);
	return kata_json_refuse(r, "invalid character '%c' at byte %td", *r->at, r->at - begin);
}

static const char *kata_json_kind(struct json_object *o)
{
	switch (json_object_get_type(o)) {
	case json_type_boolean:
		return "bool";
	case json_type_double:
	case json_type_int:
		return "number";
	case json_type_object:
		return "object";
	case json_type_array:
		return "array";
	case json_type_string:
		return "string";
	case json_type_null:
	default:
		return "null";
	}
}

/* One value, and steps over it. NULL: refused. @go_type: what it should have been. */
static struct json_object *kata_json_next(struct kata_json_reader *r, const char *begin,
					  const char *go_type)
{
	size_t left = (size_t)(r->end - r->at);
	size_t size = left < KATA_JSON_ELEMENT_MAX ? left : KATA_JSON_ELEMENT_MAX;
	struct json_object *o;

	json_tokener_reset(r->tokener);
	o = size > 0 ? json_tokener_parse_ex(r->tokener, r->at, (int)size) : NULL;
	if (json_object_is_type(o, json_type_object)) {
		r->at += json_tokener_get_parse_end(r->tokener);
		return o;
	}
	if (size < left && json_tokener_get_error(r->tokener) == json_tokener_continue) {
		(void)kata_json_refuse(r, "a value of more than %u bytes", KATA_JSON_ELEMENT_MAX);
	} else if (o || (size > 0 && json_tokener_get_error(r->tokener) == json_tokener_success)) {
		(void)kata_json_refuse(r, "json: cannot unmarshal %s into Go value of type %s",
				       kata_json_kind(o), go_type);
	} else {
		r->at += size > 0 ? json_tokener_get_parse_end(r->tokener) : 0;
		(void)kata_json_refuse_at(r, begin);
	}
	json_object_put(o);
	return NULL;
}

/* ---- members ---- */

/*
 * As Go assigns them: key by key in their order, without case, null changing nothing. NULL: none, or
 * one of another type, which is refused. @what: "Route.Dest", the struct and its field.
 */
static struct json_object *kata_json_member(struct kata_json_reader *r, struct json_object *o,
					    const char *what, enum json_type type,
					    const char *go_type)
{
	const char *key = strchr(what, '.') + 1;
	struct json_object_iterator at = json_object_iter_begin(o);
	struct json_object_iterator end = json_object_iter_end(o);
	struct json_object *found = NULL;

	for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
		struct json_object *value = json_object_iter_peek_value(&at);

		if (!value || strcasecmp(json_object_iter_peek_name(&at), key) != 0)
			continue;
		if (!json_object_is_type(value, type)) {
			(void)kata_json_refuse(r,
					       "json: cannot unmarshal %s into Go struct field %s "
					       "of type %s",
					       kata_json_kind(value), what, go_type);
			return NULL;
		}
		found = value;
	}
	return found;
}

/* "" when there is none */
static const char *kata_json_string(struct kata_json_reader *r, struct json_object *o,
				    const char *what)
{
	struct json_object *value = kata_json_member(r, o, what, json_type_string, "string");
	const char *s = value ? json_object_get_string(value) : "";

	if (value && strlen(s) != (size_t)json_object_get_string_len(value))
		(void)kata_json_refuse(r, "%s: a NUL in it", what);
	return s;
}

static uint32_t kata_json_number(struct kata_json_reader *r, struct json_object *o,
				 const char *what)
{
	struct json_object *value = kata_json_member(r, o, what, json_type_int, "uint32");
	int64_t number = value ? json_object_get_int64(value) : 0;

	if (number < 0 || number > UINT32_MAX) {
		(void)kata_json_refuse(r,
				       "json: cannot unmarshal number %s into Go struct field "
				       "%s of type uint32",
				       json_object_get_string(value), what);
		return 0;
	}
	return (uint32_t)number;
}

/* What the first byte of a character says; 0: it is no first byte. */
static size_t kata_json_utf8_announced(unsigned char c)
{
	if (c < 0x80)
		return 1;
	if (c < 0xc0)
		return 0;
	if (c < 0xe0)
		return 2;
	if (c < 0xf0)
		return 3;
	return c < 0xf8 ? 4 : 0;
}

/* Bytes of the character at @s; 0: it is none, or is written too long. RFC 3629 */
static size_t kata_json_utf8_size(const unsigned char *s)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t size = kata_json_utf8_announced(s[0]);
	uint32_t code = size > 1 ? s[0] & (0x7fU >> size) : s[0];

	for (size_t i = 1; i < size; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < least[size] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return 0;
	return size;
}

/* A string of proto3 has to be. json-c takes any bytes. */
static bool kata_json_is_utf8(const unsigned char *s)
{
	while (*s != '\0') {
		size_t size = kata_json_utf8_size(s);

		if (size == 0)
			return false;
		s += size;
	}
	return true;
}

static void kata_json_name(struct kata_json_reader *r, struct json_object *o, const char *what,
			   char ret[AGENT_NAME_BYTES])
{
	const char *s = kata_json_string(r, o, what);

	if (strlen(s) >= AGENT_NAME_BYTES)
		(void)kata_json_refuse(r, "%s: '%.64s' is longer than an interface's name", what,
				       s);
	else if (!kata_json_is_utf8((const unsigned char *)s))
		(void)kata_json_refuse(r, "%s: '%s' is not UTF-8: no agent can be told", what, s);
	else
		memcpy(ret, s, strlen(s) + 1);
}

/* ---- addresses ---- */

/* A bare address is a host. */
static bool kata_json_parse_ip(const char *s, struct agent_ip *ret)
{
	if (!ip_parse(s, &ret->family, ret->bytes))
		return false;
	ret->prefixlen = ip_bits(ret->family);
	return true;
}

/* "10.1.0.0/16". Bits below the prefix are dropped: agents refuse them. */
static bool kata_json_parse_cidr(const char *s, struct agent_ip *ret)
{
	if (!ip_parse_prefix(s, &ret->family, ret->bytes, &ret->prefixlen))
		return false;
	ip_mask(ret->bytes, ret->prefixlen);
	return true;
}

/* ---- interfaces ---- */

/* @form: where digits are, as 'x', and what is between them. @plain: with colons. */
static bool kata_json_mac_has_form(const char *s, const char *form, char plain[IP_MAC_TEXT_BYTES])
{
	size_t n = 0;

	for (; *form != '\0'; s++, form++) {
		if (*form == 'x' ? !isxdigit((unsigned char)*s) : *s != *form)
			return false;
		if (*form != 'x')
			continue;
		if (n % 3 == 2)
			plain[n++] = ':';
		plain[n++] = *s;
	}
	plain[n] = '\0';
	return *s == '\0';
}

/* As net.ParseMAC() reads six bytes. */
static bool kata_json_parse_mac(const char *s, uint8_t ret[IP_MAC_BYTES])
{
	static const char *const forms[] = { "xx:xx:xx:xx:xx:xx", "xx-xx-xx-xx-xx-xx",
					     "xxxx.xxxx.xxxx" };
	char plain[IP_MAC_TEXT_BYTES];

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if (kata_json_mac_has_form(s, forms[i], plain))
			return ip_parse_mac(plain, ret);
	}
	return false;
}

static void kata_json_read_address(struct kata_json_reader *r, struct json_object *o)
{
	const char *address = kata_json_string(r, o, "IPAddress.Address");
	const char *mask = kata_json_string(r, o, "IPAddress.Mask");
	struct agent_ip ip = { 0 }, *grown;

	if (!kata_json_is_fine(r))
		return;
	if (!kata_json_parse_ip(address, &ip) ||
	    !ip_parse_prefixlen(mask, ip.family, &ip.prefixlen)) {
		(void)kata_json_refuse(r, "invalid CIDR address: %.64s/%.16s", address, mask);
		return;
	}
	grown = kata_json_grow(r, r->n.ips, r->n.n_ips, AGENT_ADDRESSES_MAX, sizeof(*grown));
	if (!grown)
		return;
	r->n.ips = grown;
	r->n.ips[r->n.n_ips++] = ip;
}

static void kata_json_read_addresses(struct kata_json_reader *r, struct json_object *o)
{
	struct json_object *list = kata_json_member(r, o, "Interface.IPAddresses", json_type_array,
						    "[]*types.IPAddress");
	size_t n = list ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < n && kata_json_is_fine(r); i++) {
		struct json_object *address = json_object_array_get_idx(list, i);

		if (json_object_is_type(address, json_type_object))
			kata_json_read_address(r, address);
		else
			(void)kata_json_refuse(r,
					       "json: cannot unmarshal %s into Go value of type "
					       "types.IPAddress",
					       kata_json_kind(address));
	}
}

static void kata_json_convert_interface(struct kata_json_reader *r, struct json_object *o)
{
	struct agent_interface *i = calloc(1, sizeof(*i));
	const char *mac;

	r->n.interfaces = i;
	if (!i) {
		r->no_memory = true;
		return;
	}
	r->n.n_interfaces = 1;
	kata_json_name(r, o, "Interface.Device", i->device);
	kata_json_name(r, o, "Interface.Name", i->name);
	i->mtu = kata_json_number(r, o, "Interface.Mtu");
	i->raw_flags = kata_json_number(r, o, "Interface.RawFlags");
	mac = kata_json_string(r, o, "Interface.HwAddr");
	i->has_mac = kata_json_parse_mac(mac, i->mac);
	if (!i->has_mac && kata_json_is_fine(r))
		(void)snprintf(r->why, sizeof(r->why), "address %.64s: invalid MAC address", mac);
	kata_json_read_addresses(r, o);
	i->ips = r->n.ips;
	i->n_ips = r->n.n_ips;
}

/* ---- routes ---- */

static void kata_json_optional_ip(struct kata_json_reader *r, struct json_object *o,
				  const char *what, struct agent_ip *ret)
{
	const char *s = kata_json_string(r, o, what);

	if (*s != '\0' && !kata_json_parse_ip(s, ret))
		(void)kata_json_refuse(r, "%s: invalid IP address: %.64s", what, s);
}

/* "" and, as agents of 1.x take it, "default" are a default route. */
static void kata_json_dest(struct kata_json_reader *r, struct json_object *o,
			   struct agent_route *route)
{
	const char *s = kata_json_string(r, o, "Route.Dest");

	if (*s == '\0' || strcmp(s, "default") == 0)
		return;
	if (!kata_json_parse_cidr(s, &route->dest)) {
		(void)kata_json_refuse(r, "invalid CIDR address: %.64s", s);
		return;
	}
	/* "0.0.0.0/0": a default route that says its family */
	route->family = route->dest.family;
	if (route->dest.prefixlen == 0)
		route->dest = (struct agent_ip){ 0 };
}

static uint8_t kata_json_family(const struct agent_route *route)
{
	if (route->family != 0)
		return route->family;
	if (route->gateway.family != 0)
		return route->gateway.family;
	return route->source.family != 0 ? route->source.family : AF_INET;
}

static void kata_json_convert_route(struct kata_json_reader *r, struct json_object *o)
{
	struct agent_route route = { 0 }, *grown;

	kata_json_dest(r, o, &route);
	kata_json_optional_ip(r, o, "Route.Gateway", &route.gateway);
	kata_json_name(r, o, "Route.Device", route.device);
	kata_json_optional_ip(r, o, "Route.Source", &route.source);
	route.scope = kata_json_number(r, o, "Route.Scope");
	route.family = kata_json_family(&route);
	if (!kata_json_is_fine(r))
		return;
	grown = kata_json_grow(r, r->n.routes, r->n.n_routes, AGENT_ROUTES_MAX, sizeof(*grown));
	if (!grown)
		return;
	r->n.routes = grown;
	r->n.routes[r->n.n_routes++] = route;
}

static void kata_json_convert_routes(struct kata_json_reader *r, const char *begin)
{
	if (!kata_json_take(r, '[')) {
		json_object_put(kata_json_next(r, begin, "[]*types.Route"));
		(void)kata_json_refuse(
			r, "json: cannot unmarshal object into Go value of type []*types.Route");
		return;
	}
	if (kata_json_take(r, ']'))
		return;
	do {
		struct json_object *o = kata_json_next(r, begin, "types.Route");

		if (o)
			kata_json_convert_route(r, o);
		json_object_put(o);
	} while (kata_json_is_fine(r) && kata_json_take(r, ','));
	if (kata_json_is_fine(r) && !kata_json_take(r, ']'))
		(void)kata_json_refuse_at(r, begin);
}

/* ---- reading ---- */

static void kata_json_reader_done(struct kata_json_reader *r)
{
	agent_network_done(&r->n);
	if (r->tokener)
		json_tokener_free(r->tokener);
}

/* json-c takes a NUL for the end of its input: so do we. */
static int kata_json_reader_init(struct kata_json_reader *r, const char *json, size_t size)
{
	*r = (struct kata_json_reader){
		.at = json,
		.end = json + strnlen(json, size),
		.tokener = json_tokener_new_ex(KATA_JSON_DEPTH),
	};
	if (!r->tokener)
		return err_raise(-ENOMEM, "read JSON");
	json_tokener_set_flags(r->tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
	kata_json_skip_space(r);
	return 0;
}

static int kata_json_finish(struct kata_json_reader *r, struct agent_network *ret,
			    char why[KATA_JSON_WHY_BYTES])
{
	if (r->no_memory)
		return err_raise(-ENOMEM, "read JSON");
	memcpy(why, r->why, sizeof(r->why));
	if (r->is_bad)
		return KATA_JSON_BAD;
	*ret = r->n;
	r->n = (struct agent_network){ 0 };
	return 0;
}

int kata_json_read_interface(const char *json, size_t size, struct agent_network *ret,
			     char why[KATA_JSON_WHY_BYTES])
{
	CLEANUP(kata_json_reader_done) struct kata_json_reader r = { 0 };
	struct json_object *o;
	int error = kata_json_reader_init(&r, json, size);

	if (error < 0)
		return err_pass(error);
	o = kata_json_is_null(&r) ? NULL : kata_json_next(&r, r.at, "types.Interface");
	if (o)
		kata_json_convert_interface(&r, o);
	else
		(void)kata_json_refuse(&r, "null is no interface");
	json_object_put(o);
	return kata_json_finish(&r, ret, why);
}

int kata_json_read_routes(const char *json, size_t size, struct agent_network *ret,
			  char why[KATA_JSON_WHY_BYTES])
{
	CLEANUP(kata_json_reader_done) struct kata_json_reader r = { 0 };
	int error = kata_json_reader_init(&r, json, size);

	if (error < 0)
		return err_pass(error);
	if (kata_json_is_null(&r))
		return KATA_JSON_NULL;
	kata_json_convert_routes(&r, r.at);
	return kata_json_finish(&r, ret, why);
}

/* ---- writing ---- */

static void kata_json_write_address(struct json_writer *j, const struct agent_ip *a)
{
	char ip[IP_TEXT_BYTES];
	char mask[4]; /* "0" to "128" */

	ip_format(a->family, a->bytes, ip);
	(void)snprintf(mask, sizeof(mask), "%u", a->prefixlen);
	json_writer_object_begin(j, NULL);
	json_writer_u64(j, "Family", a->family);
	json_writer_string(j, "Address", ip);
	json_writer_string(j, "Mask", mask);
	json_writer_object_end(j);
}

static void kata_json_write_addresses(struct json_writer *j, const struct agent_interface *i)
{
	if (i->n_ips == 0) {
		json_writer_null(j, "IPAddresses");
		return;
	}
	json_writer_array_begin(j, "IPAddresses");
	for (size_t n = 0; n < i->n_ips; n++)
		kata_json_write_address(j, &i->ips[n]);
	json_writer_array_end(j);
}

/* Kata's agents in Rust leave device empty. LinkType and RawFlags: always so in the original. */
static void kata_json_write_interface(struct json_writer *j, const struct agent_interface *i)
{
	char mac[IP_MAC_TEXT_BYTES] = "";

	if (i->has_mac)
		ip_format_mac(i->mac, mac);
	json_writer_object_begin(j, NULL);
	json_writer_string(j, "Device", i->device[0] != '\0' ? i->device : i->name);
	json_writer_string(j, "Name", i->name);
	kata_json_write_addresses(j, i);
	json_writer_u64(j, "Mtu", i->mtu);
	json_writer_u64(j, "RawFlags", 0);
	json_writer_string(j, "HwAddr", mac);
	json_writer_object_begin(j, "PciPath");
	json_writer_object_end(j);
	json_writer_string(j, "LinkType", "");
	json_writer_object_end(j);
}

void kata_json_write_interfaces(struct json_writer *j, const struct agent_network *n)
{
	json_writer_array_begin(j, NULL);
	for (size_t i = 0; i < n->n_interfaces; i++)
		kata_json_write_interface(j, &n->interfaces[i]);
	json_writer_array_end(j);
}

static void kata_json_write_ip(struct json_writer *j, const char *key, const struct agent_ip *ip)
{
	char text[IP_TEXT_BYTES];

	ip_format(ip->family, ip->bytes, text);
	json_writer_string(j, key, text);
}

static void kata_json_write_route(struct json_writer *j, const struct agent_route *r)
{
	char dest[IP_PREFIX_TEXT_BYTES] = "";

	if (r->dest.family != 0)
		ip_format_prefix(r->dest.family, r->dest.bytes, r->dest.prefixlen, dest);
	json_writer_object_begin(j, NULL);
	json_writer_string(j, "Dest", dest);
	kata_json_write_ip(j, "Gateway", &r->gateway);
	json_writer_string(j, "Device", r->device);
	kata_json_write_ip(j, "Source", &r->source);
	json_writer_u64(j, "Scope", r->scope);
	json_writer_object_end(j);
}

void kata_json_write_routes(struct json_writer *j, const struct agent_network *n)
{
	if (n->n_routes == 0) {
		json_writer_null(j, NULL);
		return;
	}
	json_writer_array_begin(j, NULL);
	for (size_t i = 0; i < n->n_routes; i++)
		kata_json_write_route(j, &n->routes[i]);
	json_writer_array_end(j);
}
