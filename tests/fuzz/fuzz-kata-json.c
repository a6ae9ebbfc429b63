/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON that `kata-network` is given. What is taken is within its limits, and written and read
 * again it is the same.
 */
#include "runtime-bridge/ctl/kata-json.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): it must hold in any build. */
static void must(bool truth)
{
	if (!truth)
		abort();
}

typedef int reader_fn(const char *json, size_t size, struct agent_network *ret,
		      char why[KATA_JSON_WHY_BYTES]);
typedef void writer_fn(struct json_writer *j, const struct agent_network *n);

static void must_be_an_ip(const struct agent_ip *ip)
{
	must(ip->family == 0 || ip->family == AF_INET || ip->family == AF_INET6);
	must(ip->prefixlen <= (ip->family == AF_INET6 ? 128 : 32));
}

static void must_be_within_limits(const struct agent_network *n)
{
	must(n->n_interfaces <= 1 && n->n_ips <= AGENT_ADDRESSES_MAX);
	must(n->n_routes <= AGENT_ROUTES_MAX);
	for (size_t i = 0; i < n->n_interfaces; i++)
		must(strlen(n->interfaces[i].name) < AGENT_NAME_BYTES);
	for (size_t i = 0; i < n->n_ips; i++)
		must_be_an_ip(&n->ips[i]);
	for (size_t i = 0; i < n->n_routes; i++) {
		must_be_an_ip(&n->routes[i].dest);
		must(n->routes[i].dest.family == 0 ||
		     n->routes[i].dest.family == n->routes[i].family);
	}
}

static void print(writer_fn *writer, const struct agent_network *n, struct text *to)
{
	struct json_writer j = json_writer_on_text(to);

	writer(&j, n);
	must(to->error == 0 && to->data);
}

/*
 * A list of one interface has it between the brackets. A byte that is no UTF-8 becomes U+FFFD, three
 * bytes: a name may be too long then.
 */
static void must_survive(reader_fn *reader, writer_fn *writer, const struct agent_network *n)
{
	CLEANUP(text_done) struct text first = TEXT_NULL;
	CLEANUP(text_done) struct text second = TEXT_NULL;
	CLEANUP(agent_network_done) struct agent_network again = { 0 };
	char why[KATA_JSON_WHY_BYTES];
	size_t skipped = n->n_interfaces;
	int r;

	print(writer, n, &first);
	if (strstr(first.data, "\\ufffd"))
		return;
	r = reader(first.data + skipped, first.size - skipped, &again, why);
	if (r == KATA_JSON_NULL)
		return;
	must(r == 0);
	print(writer, &again, &second);
	must(strcmp(first.data, second.data) == 0);
}

static void read_one(reader_fn *reader, writer_fn *writer, const char *json, size_t size)
{
	CLEANUP(agent_network_done) struct agent_network n = { 0 };
	char why[KATA_JSON_WHY_BYTES] = "";
	int r = reader(json, size, &n, why);

	must(r == 0 || r == KATA_JSON_NULL || r == KATA_JSON_BAD || r == -ENOMEM);
	must(r != KATA_JSON_BAD || (why[0] != '\0' && memchr(why, '\0', sizeof(why))));
	err_clear();
	if (r != 0)
		return;
	must_be_within_limits(&n);
	must_survive(reader, writer, &n);
}

/* A copy of exactly that size, so that a read past its end is seen. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *json = malloc(size > 0 ? size : 1);

	must(json);
	memcpy(json, data, size);
	read_one(kata_json_read_interface, kata_json_write_interfaces, json, size);
	read_one(kata_json_read_routes, kata_json_write_routes, json, size);
	free(json);
	return 0;
}
