/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON of Kata 1.x's `kata-network`, read and written.
 *
 * Read as Go's decoder reads it: keys without case, unknown ones ignored (so both PciAddr of 1.12 and
 * PciPath of 1.13 are), null leaves a value as it is, Mask is a string, and of the input only the
 * first JSON value counts. Refusals are in its words. Lists are read element by element, since
 * json-c needs up to 300 times the memory of what it reads.
 *
 * Family is taken from the text of an address: Family 2 and 10, and the 0 and 1 of others, are not
 * needed. Of a route it is the family of its destination, its gateway, its source, else IPv4.
 *
 * Source: kata-containers/runtime cli/network.go, virtcontainers/pkg/types/types.go; Go's
 * encoding/json, net.ParseCIDR(), net.ParseMAC().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "agent-proto/agent.h"
#include "base/json-writer.h"

#define KATA_JSON_INPUT_MAX   (4U * 1024 * 1024) /* bytes of a document */
#define KATA_JSON_ELEMENT_MAX (256U * 1024)	 /* bytes of an interface, or of one route */

#define KATA_JSON_WHY_BYTES 256 /* of a refusal; a stranger's bytes in it */

/*
 * Conditions. KATA_JSON_NULL: a list that is null, which to the runtime means nothing to do.
 * KATA_JSON_BAD: refused, @why says why.
 */
enum { _KATA_JSON_READ = 0, KATA_JSON_NULL = 1, KATA_JSON_BAD = 2 };

/**
 * kata_json_read_interface() - one interface
 * @ret: one interface, its addresses in @ret->ips; the caller's, agent_network_done()
 *
 * An interface whose HwAddr is no MAC of six bytes, or is none, has has_mac false, and @why has what
 * Go says of it: to add it is an error, to delete it is not, since the original compared texts.
 * Return: 0; KATA_JSON_BAD; -ENOMEM.
 */
int kata_json_read_interface(const char *json, size_t size, struct agent_network *ret,
			     char why[KATA_JSON_WHY_BYTES]);

/* kata_json_read_routes() - a list of routes. Return: 0, KATA_JSON_NULL, KATA_JSON_BAD, -ENOMEM. */
int kata_json_read_routes(const char *json, size_t size, struct agent_network *ret,
			  char why[KATA_JSON_WHY_BYTES]);

/* As the 1.13 runtime prints them: [] for no interfaces, null for no routes. */
void kata_json_write_interfaces(struct json_writer *j, const struct agent_network *n);
void kata_json_write_routes(struct json_writer *j, const struct agent_network *n);
