/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON of Kata 1.x, see dialect.h.
 *
 * Go's encoding/json prints structs in the order of their fields, all of them, compact: so do we,
 * byte for byte, but for three things that the original gets wrong: an empty route set is []
 * instead of null, a route without a device is left out (the agent rejects the whole set for it),
 * and an IPv4-mapped IPv6 address stays IPv6 (printed as IPv4 its prefix length is above 32).
 */
#include "netmon/dialect.h"

#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* An address, '/', a prefix length. */
#define DIALECT_CIDR_BYTES (MODEL_IP_TEXT_BYTES + 4)

static const char *const dialect_names[] = {
	[DIALECT_1_12] = "1.12",
	[DIALECT_1_13] = "1.13",
	[DIALECT_BOTH] = "both",
};
_Static_assert(sizeof(dialect_names) / sizeof(dialect_names[0]) == _DIALECT_MAX,
	       "each dialect has its name");

int dialect_from_string(const char *s, enum dialect *ret)
{
	for (enum dialect d = 0; d < _DIALECT_MAX; d++) {
		if (strcmp(s, dialect_names[d]) == 0) {
			*ret = d;
			return 0;
		}
	}
	return err_raise(-EINVAL, "dialect '%.64s' (1.12, 1.13 or both)", s);
}

/* ---- interfaces ---- */

/*
 * LinkType is IFLA_INFO_KIND as the netlink library of the original names it: "tuntap" for a tun
 * device that is no tap, "device" for what has no kind.
 */
static const char *dialect_link_type(const struct link *link)
{
	if (link->kind[0] == '\0')
		return "device";
	return strcmp(link->kind, "tun") == 0 ? "tuntap" : link->kind;
}

static void dialect_write_address(struct json_writer *j, const struct addr *a)
{
	char ip[MODEL_IP_TEXT_BYTES];
	char mask[4]; /* "0" to "255" */

	model_format_ip(a->family, a->bytes, ip);
	(void)snprintf(mask, sizeof(mask), "%u", a->prefixlen);
	json_writer_object_begin(j, NULL);
	json_writer_u64(j, "Family", a->family);
	json_writer_string(j, "Address", ip);
	json_writer_string(j, "Mask", mask);
	json_writer_object_end(j);
}

static void dialect_write_addresses(struct json_writer *j, const struct addr *addrs, size_t n)
{
	if (n == 0) {
		json_writer_null(j, "IPAddresses");
		return;
	}
	json_writer_array_begin(j, "IPAddresses");
	for (size_t i = 0; i < n; i++)
		dialect_write_address(j, &addrs[i]);
	json_writer_array_end(j);
}

/*
 * A string until 1.12; since then a struct without exported fields. Each reader ignores the other's
 * key.
 */
static void dialect_write_pci(struct json_writer *j, enum dialect dialect)
{
	if (dialect != DIALECT_1_13)
		json_writer_string(j, "PciAddr", "");
	if (dialect != DIALECT_1_12) {
		json_writer_object_begin(j, "PciPath");
		json_writer_object_end(j);
	}
}

void dialect_write_interface(struct json_writer *j, enum dialect dialect, const struct link *link,
			     const struct addr *addrs, size_t n_addrs)
{
	char mac[MODEL_MAC_TEXT_BYTES];

	model_format_mac(link->mac_bytes, link->mac, mac);
	json_writer_object_begin(j, NULL);
	json_writer_string(j, "Device", link->name);
	json_writer_string(j, "Name", link->name);
	dialect_write_addresses(j, addrs, n_addrs);
	json_writer_u64(j, "Mtu", link->mtu);
	json_writer_u64(j, "RawFlags", 0); /* the original never sets it */
	json_writer_string(j, "HwAddr", mac);
	dialect_write_pci(j, dialect);
	json_writer_string(j, "LinkType", dialect_link_type(link));
	json_writer_object_end(j);
}

/* ---- routes ---- */

/* "" for a default route: only the gateway tells its family. */
static void dialect_write_dest(struct json_writer *j, const struct route *r)
{
	char dest[DIALECT_CIDR_BYTES] = "";

	if (r->prefixlen > 0) {
		char ip[MODEL_IP_TEXT_BYTES];

		model_format_ip(model_route_family(r), r->dst, ip);
		(void)snprintf(dest, sizeof(dest), "%s/%u", ip, r->prefixlen);
	}
	json_writer_string(j, "Dest", dest);
}

static void dialect_write_ip(struct json_writer *j, const char *key, const struct route *r,
			     unsigned flag, const uint8_t bytes[16])
{
	char ip[MODEL_IP_TEXT_BYTES] = "";

	if ((r->flags & flag) != 0)
		model_format_ip(model_route_family(r), bytes, ip);
	json_writer_string(j, key, ip);
}

static void dialect_write_route(struct json_writer *j, const struct route *r, const char *device)
{
	json_writer_object_begin(j, NULL);
	dialect_write_dest(j, r);
	dialect_write_ip(j, "Gateway", r, MODEL_ROUTE_GATEWAY, r->gateway);
	json_writer_string(j, "Device", device);
	dialect_write_ip(j, "Source", r, MODEL_ROUTE_SOURCE, r->source);
	json_writer_u64(j, "Scope", r->scope);
	json_writer_object_end(j);
}

/* The routes with a gateway, or those without. */
static void dialect_write_routes_of(struct json_writer *j, const struct snapshot *s, bool gatewayed)
{
	const struct table *routes = snapshot_routes(s);

	for (size_t i = 0; i < routes->n; i++) {
		const struct route *r = &routes->routes[i];
		const struct link *device;

		if (((r->flags & MODEL_ROUTE_GATEWAY) != 0) != gatewayed)
			continue;
		device = table_find_link(snapshot_links(s), r->ifindex);
		if (device)
			dialect_write_route(j, r, device->name);
	}
}

/*
 * The agent adds them one by one, and the kernel takes a gateway only when a route to it is there.
 */
void dialect_write_routes(struct json_writer *j, const struct snapshot *s)
{
	json_writer_array_begin(j, NULL);
	dialect_write_routes_of(j, s, false);
	dialect_write_routes_of(j, s, true);
	json_writer_array_end(j);
}
