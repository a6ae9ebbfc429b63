/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's calls: their names, and which agent understands what. See agent.h.
 */
#include "agent-proto/agent.h"

#include <stdlib.h>
#include <string.h>

#define AGENT_ADDITIVE_MAJOR 3U
#define AGENT_ADDITIVE_MINOR 15U
#define AGENT_VERSION_DIGITS 6 /* of one number: more is no version of anybody's */

static const struct {
	const char *service, *method;
} agent_verbs[_AGENT_VERB_MAX] = {
	[AGENT_CHECK] = { AGENT_HEALTH, "Check" },
	[AGENT_VERSION] = { AGENT_HEALTH, "Version" },
	[AGENT_DETAILS] = { AGENT_SERVICE, "GetGuestDetails" },
	[AGENT_UPDATE_INTERFACE] = { AGENT_SERVICE, "UpdateInterface" },
	[AGENT_UPDATE_ROUTES] = { AGENT_SERVICE, "UpdateRoutes" },
	[AGENT_LIST_INTERFACES] = { AGENT_SERVICE, "ListInterfaces" },
	[AGENT_LIST_ROUTES] = { AGENT_SERVICE, "ListRoutes" },
	[AGENT_ADD_NEIGHBORS] = { AGENT_SERVICE, "AddARPNeighbors" },
	[AGENT_GET_IPTABLES] = { AGENT_SERVICE, "GetIPTables" },
	[AGENT_REMOVE_INTERFACE] = { AGENT_DELTA, "RemoveInterface" },
	[AGENT_REMOVE_ROUTES] = { AGENT_DELTA, "RemoveRoutes" },
	[AGENT_REMOVE_NEIGHBORS] = { AGENT_DELTA, "RemoveNeighbors" },
	[AGENT_LIST_NETWORK] = { AGENT_DELTA, "List" },
};

static const char *const agent_generations[] = {
	[AGENT_DECLARATIVE] = "declarative",
	[AGENT_ADDITIVE] = "additive",
	[AGENT_DELTA_V1] = "delta-v1",
};

/* ---- names ---- */

const char *agent_service(enum agent_verb verb)
{
	return agent_verbs[verb].service;
}

const char *agent_method(enum agent_verb verb)
{
	return agent_verbs[verb].method;
}

int agent_find(const char *service, const char *method, enum agent_verb *ret)
{
	int found = AGENT_NO_SERVICE;

	for (enum agent_verb v = 0; v < _AGENT_VERB_MAX; v++) {
		if (strcmp(agent_verbs[v].service, service) != 0)
			continue;
		found = AGENT_NO_METHOD;
		if (strcmp(agent_verbs[v].method, method) != 0)
			continue;
		*ret = v;
		return _AGENT_FOUND;
	}
	return found;
}

/* ---- values ---- */

void agent_network_done(struct agent_network *n)
{
	free(n->interfaces);
	free(n->ips);
	free(n->routes);
	free(n->neighbors);
	*n = (struct agent_network){ 0 };
}

bool agent_has_feature(const struct agent_details *d, const char *feature)
{
	for (size_t i = 0; i < d->n_features; i++)
		if (strcmp(d->features[i], feature) == 0)
			return true;
	return false;
}

/* ---- answers ---- */

bool agent_is_answer_too_long(enum ttrpc_code code, const char *message)
{
	if (code == TTRPC_RESOURCE_EXHAUSTED)
		return strcmp(message, TTRPC_ANSWER_TOO_LONG) == 0;
	return (code == TTRPC_INVALID_ARGUMENT || code == TTRPC_UNKNOWN) &&
	       strstr(message, "exceed maximum message size");
}

/* ---- generations ---- */

/* Return: what follows the number; NULL: there is none, or one too long. */
static const char *agent_take_number(const char *text, unsigned *ret)
{
	unsigned value = 0;
	size_t n;

	for (n = 0; text[n] >= '0' && text[n] <= '9'; n++) {
		if (n == AGENT_VERSION_DIGITS)
			return NULL;
		value = value * 10 + (unsigned)(text[n] - '0');
	}
	*ret = value;
	return n > 0 ? text + n : NULL;
}

/* "3.15.0", "3.15.0-rc1", "3.15.0+dirty". Source: every VERSION file of Kata since 1.0. */
static bool agent_parse_version(const char *text, unsigned *ret_major, unsigned *ret_minor)
{
	unsigned numbers[3];

	for (size_t i = 0; i < 3; i++) {
		if (i > 0 && *text++ != '.')
			return false;
		text = agent_take_number(text, &numbers[i]);
		if (!text)
			return false;
	}
	*ret_major = numbers[0];
	*ret_minor = numbers[1];
	return *text == '\0' || *text == '-' || *text == '+';
}

/* Source: kata d929bc0224, first released in 3.15.0. */
enum agent_generation agent_generation_of(const struct agent_details *d)
{
	unsigned major, minor;

	if (agent_has_feature(d, AGENT_DELTA_FEATURE))
		return AGENT_DELTA_V1;
	if (!agent_parse_version(d->version, &major, &minor))
		return AGENT_DECLARATIVE;
	if (major != AGENT_ADDITIVE_MAJOR)
		return major > AGENT_ADDITIVE_MAJOR ? AGENT_ADDITIVE : AGENT_DECLARATIVE;
	return minor >= AGENT_ADDITIVE_MINOR ? AGENT_ADDITIVE : AGENT_DECLARATIVE;
}

const char *agent_generation_to_string(enum agent_generation g)
{
	return agent_generations[g];
}
