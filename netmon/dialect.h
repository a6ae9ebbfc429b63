/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON that runtimes of Kata 1.x read: interfaces and routes in Go's spelling.
 * Source: kata-containers/runtime virtcontainers/pkg/types/types.go (no json tags: keys are the Go
 * names, all always there).
 */
#pragma once

#include "base/json-writer.h"
#include "netmon/snapshot.h"

enum dialect {
	DIALECT_1_12, /* "PciAddr":"" */
	DIALECT_1_13, /* "PciPath":{} */
	DIALECT_BOTH, /* both keys: either generation ignores the other's */
	_DIALECT_MAX,
};

int dialect_from_string(const char *s, enum dialect *ret); /* "1.12", "1.13", "both"; -EINVAL */

/*
 * Device Name IPAddresses Mtu RawFlags HwAddr PciAddr/PciPath LinkType; IPAddresses null when there
 * is none.
 */
void dialect_write_interface(struct json_writer *j, enum dialect dialect, const struct link *link,
			     const struct addr *addrs, size_t n_addrs);

/*
 * The whole route set of @s, on-link routes before gatewayed ones, Device by the name in @s's own
 * links; an empty set is [], never null, which the runtime would silently drop
 * (virtcontainers/kata_agent.go, updateRoutes(nil)).
 */
void dialect_write_routes(struct json_writer *j, const struct snapshot *s);
