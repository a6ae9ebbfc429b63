/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an agent, or an agent's caller, sends. The first byte chooses the decoder, the rest is the
 * message. What is decoded is within its limits, and its bytes decode to the same value again.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent-proto/agent.h"
#include "base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Behind two of each verb. */
enum { OTHER_CHECK, OTHER_VERSION, OTHER_DETAILS, OTHER_IPTABLES, _OTHER_MAX };

/* Not assert(): it must hold in any build. */
static void must(bool truth)
{
	if (!truth)
		abort();
}

static bool decoded(int r)
{
	must(r == 0 || r == -EBADMSG || r == -EMSGSIZE);
	err_clear();
	return r == 0;
}

static void give_back(struct ttrpc_bytes b)
{
	free((void *)(uintptr_t)b.data);
}

static void must_be_word(const char *word, size_t size)
{
	must(strnlen(word, size) < size);
}

static void must_be_ip(const struct agent_ip *ip)
{
	must(ip->family == AF_INET || ip->family == AF_INET6);
	must(ip->prefixlen <= (ip->family == AF_INET ? 32 : 128));
}

static void must_be_optional_ip(const struct agent_ip *ip, uint8_t family)
{
	must(ip->family == 0 || ip->family == family);
	if (ip->family != 0)
		must_be_ip(ip);
}

static void must_be_interface(const struct agent_interface *i, const struct agent_network *n)
{
	must_be_word(i->device, sizeof(i->device));
	must_be_word(i->name, sizeof(i->name));
	must_be_word(i->device_path, sizeof(i->device_path));
	must_be_word(i->type, sizeof(i->type));
	must(i->n_ips == 0 || (i->ips >= n->ips && i->ips + i->n_ips <= n->ips + n->n_ips));
	for (size_t k = 0; k < i->n_ips; k++)
		must_be_ip(&i->ips[k]);
}

static void must_be_within_limits(const struct agent_network *n)
{
	must(n->n_interfaces <= AGENT_INTERFACES_MAX && n->n_ips <= AGENT_ADDRESSES_MAX);
	must(n->n_routes <= AGENT_ROUTES_MAX && n->n_neighbors <= AGENT_NEIGHBORS_MAX);
	for (size_t i = 0; i < n->n_interfaces; i++)
		must_be_interface(&n->interfaces[i], n);
	for (size_t i = 0; i < n->n_routes; i++) {
		must_be_optional_ip(&n->routes[i].dest, n->routes[i].family);
		must_be_optional_ip(&n->routes[i].gateway, n->routes[i].family);
		must_be_optional_ip(&n->routes[i].source, n->routes[i].family);
		must_be_word(n->routes[i].device, AGENT_NAME_BYTES);
		must(n->routes[i].device[0] != '\0');
	}
	for (size_t i = 0; i < n->n_neighbors; i++) {
		must_be_ip(&n->neighbors[i].ip);
		must_be_word(n->neighbors[i].device, AGENT_NAME_BYTES);
	}
}

/* Bytes of what was decoded decode to what encodes to the same bytes, and lose no entry. */
static void must_come_back(const struct agent_network *n)
{
	struct agent_network again = { 0 };
	struct ttrpc_bytes first = { 0 }, second = { 0 };
	int r = agent_encode_network_answer(AGENT_LIST_NETWORK, n, &first);

	if (r == -EMSGSIZE) /* one form of an address may be longer than another */
		return;
	must(r == 0);
	must(agent_decode_answer(AGENT_LIST_NETWORK, first, &again) == 0);
	must(again.unusable == 0 && again.n_interfaces == n->n_interfaces);
	must(again.n_routes == n->n_routes && again.n_neighbors == n->n_neighbors);
	must(agent_encode_network_answer(AGENT_LIST_NETWORK, &again, &second) == 0);
	must(first.size == second.size);
	must(first.size == 0 || memcmp(first.data, second.data, first.size) == 0);
	agent_network_done(&again);
	give_back(first);
	give_back(second);
}

static void decode_network(enum agent_verb verb, bool is_answer, struct ttrpc_bytes b)
{
	struct agent_network n = { 0 };
	int r = is_answer ? agent_decode_answer(verb, b, &n) : agent_decode_request(verb, b, &n);

	if (!decoded(r))
		return;
	must_be_within_limits(&n);
	must_come_back(&n);
	agent_network_done(&n);
}

static void decode_details(struct ttrpc_bytes b)
{
	struct agent_details d, again;
	struct ttrpc_bytes bytes = { 0 };

	if (!decoded(agent_decode_details(b, &d)))
		return;
	must(d.n_features <= AGENT_FEATURES_MAX);
	must(agent_generation_to_string(agent_generation_of(&d)));
	must(agent_encode_details_answer(&d, &bytes) == 0);
	must(agent_decode_details(bytes, &again) == 0);
	must(strcmp(d.version, again.version) == 0 && d.n_features == again.n_features);
	for (size_t i = 0; i < d.n_features; i++)
		must(strcmp(d.features[i], again.features[i]) == 0);
	give_back(bytes);
}

static void decode_other(unsigned other, struct ttrpc_bytes b)
{
	char version[AGENT_WORD_BYTES], *text = NULL;
	bool is_serving;
	size_t size;

	if (other == OTHER_CHECK)
		(void)decoded(agent_decode_check(b, &is_serving));
	else if (other == OTHER_VERSION && decoded(agent_decode_version(b, version)))
		must_be_word(version, sizeof(version));
	else if (other == OTHER_DETAILS)
		decode_details(b);
	else if (other == OTHER_IPTABLES && decoded(agent_decode_iptables(b, &text, &size)))
		must(text[size] == '\0' && size <= b.size);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ttrpc_bytes b = { data + 1, size - 1 };
	unsigned choice;

	if (size == 0)
		return 0;
	choice = data[0] % (2U * _AGENT_VERB_MAX + _OTHER_MAX);
	if (choice < 2U * _AGENT_VERB_MAX)
		decode_network((enum agent_verb)(choice / 2), choice % 2, b);
	else
		decode_other(choice - 2U * _AGENT_VERB_MAX, b);
	return 0;
}
