/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a hostile guest lists, as a network of ours. Whatever it is: links are numbered from 1 and
 * have a MAC, all else names one of them, and of each key there is one.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent-proto/agent.h"
#include "base/error.h"
#include "base/ip.h"
#include "netmon/agent-words.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): it must hold in any build. */
static void must(bool truth)
{
	if (!truth)
		abort();
}

static void must_be_unique(const struct table *t)
{
	must(t->sealed);
	for (size_t i = 1; i < t->n; i++)
		must(model_compare_key(t->kind, table_at(t, i - 1), table_at(t, i)) < 0);
}

static void must_be_links(const struct table *links)
{
	for (size_t i = 0; i < links->n; i++) {
		const struct link *l = &links->links[i];

		must(l->ifindex == i + 1);
		must(l->mac_bytes == MODEL_MAC_BYTES);
		must(memchr(l->name, '\0', sizeof(l->name)) != NULL);
	}
}

static void must_be_addrs(const struct table *addrs, size_t n_links)
{
	for (size_t i = 0; i < addrs->n; i++) {
		const struct addr *a = &addrs->addrs[i];

		must(a->ifindex >= 1 && a->ifindex <= n_links);
		must(a->prefixlen <= ip_bits(a->family) && ip_bits(a->family) != 0);
	}
}

static void must_be_routes(const struct table *routes, size_t n_links)
{
	for (size_t i = 0; i < routes->n; i++) {
		const struct route *r = &routes->routes[i];

		must(r->ifindex >= 1 && r->ifindex <= n_links);
		must(r->prefixlen <= ip_bits(model_route_family(r)));
		must(ip_is_network(r->dst, r->prefixlen));
		must(r->metric == 0 && r->unsayable == MODEL_SAYABLE);
	}
}

static void must_be_neighs(const struct table *neighs, size_t n_links)
{
	for (size_t i = 0; i < neighs->n; i++) {
		const struct neigh *n = &neighs->neighs[i];

		must(n->ifindex >= 1 && n->ifindex <= n_links);
		must(ip_bits(n->family) != 0 && n->mac_bytes == MODEL_MAC_BYTES);
	}
}

static void try(const struct agent_network *network, bool is_exact)
{
	struct sink_guest guest = { 0 };
	size_t n_links;

	if (agent_words_to_guest(network, is_exact, &guest) < 0) {
		err_clear();
		return;
	}
	must(guest.is_known && guest.is_exact == is_exact);
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		must_be_unique(guest.net.tables[k]);
	n_links = snapshot_links(&guest.net)->n;
	must_be_links(snapshot_links(&guest.net));
	must_be_addrs(snapshot_addrs(&guest.net), n_links);
	must_be_routes(snapshot_routes(&guest.net), n_links);
	must_be_neighs(snapshot_neighs(&guest.net), n_links);
	must(snapshot_policies(&guest.net)->n == 0);
	if (!is_exact)
		must(snapshot_routes(&guest.net)->n + snapshot_neighs(&guest.net)->n == 0);
	snapshot_done(&guest.net);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct agent_network network = { 0 };

	if (agent_decode_answer(AGENT_LIST_NETWORK, (struct ttrpc_bytes){ data, size }, &network) <
	    0) {
		err_clear();
		return 0;
	}
	try(&network, true);
	try(&network, false);
	agent_network_done(&network);
	return 0;
}
