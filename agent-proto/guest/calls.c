/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls. See calls.h.
 */
#include "agent-proto/guest/calls.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/guest/interface.h"
#include "agent-proto/guest/lists.h"
#include "agent-proto/guest/neighbours.h"
#include "agent-proto/guest/routes.h"
#include "base/error.h"
#include "base/ip.h"
#include "base/log.h"

/* ---- answers ---- */

void calls_answer_done(struct calls_answer *a)
{
	free((void *)(uintptr_t)a->payload.data);
	*a = (struct calls_answer){ 0 };
}

__attribute__((__format__(__printf__, 3, 4))) static void fail(struct calls_answer *a,
							       enum ttrpc_code code,
							       const char *fmt, ...)
{
	va_list arguments;

	a->code = code;
	va_start(arguments, fmt);
	(void)vsnprintf(a->message, sizeof(a->message), fmt, arguments);
	va_end(arguments);
}

/* Who called has nothing of the names of our functions. */
static void cut_trail(char *message)
{
	char *trail = strrchr(message, '(');

	if (trail && trail - message > 1 && message[strlen(message) - 1] == ')')
		trail[-1] = '\0';
}

/* The one place where an error of a call ends: it is said to who called, and in the log. */
static void fail_by_error(struct calls_answer *a, int r, const char *what)
{
	enum ttrpc_code code = r == -EMSGSIZE ? TTRPC_RESOURCE_EXHAUSTED : TTRPC_INTERNAL;

	fail(a, code, "%s: %s", what, err_text());
	log_warn("%s", a->message);
	cut_trail(a->message);
	err_clear();
}

/* ---- handlers: 0 with *ret_payload, CALLS_WAIT, -errno ---- */

struct call {
	struct calls *calls;
	enum agent_verb verb;
	struct agent_network request;
	struct ttrpc_bytes payload; /* of the answer */
};

static int answer_network(struct call *c, const struct agent_network *n)
{
	return err_pass(agent_encode_network_answer(c->verb, n, &c->payload));
}

static int do_check(struct call *c)
{
	return err_pass(agent_encode_check_answer(&c->payload));
}

static int do_version(struct call *c)
{
	return err_pass(agent_encode_version_answer(NETMON_VERSION, &c->payload));
}

static int do_details(struct call *c)
{
	struct agent_details d = {
		.version = NETMON_VERSION,
		.init_daemon = c->calls->is_init,
		.n_features = 1,
		.features = { AGENT_DELTA_FEATURE },
	};

	return err_pass(agent_encode_details_answer(&d, &c->payload));
}

/* Answers with what was asked for, as Kata's agents do. */
static int do_update_interface(struct call *c)
{
	int r = interface_update(c->calls->netlink, c->calls->owned, c->request.interfaces);

	if (r != 0)
		return r > 0 ? CALLS_WAIT : err_pass(r);
	return err_pass(answer_network(c, &c->request));
}

/* Likewise: all of ours would cost each call more, and at some number not fit any answer. */
static int do_update_routes(struct call *c)
{
	int r = routes_update(c->calls->netlink, c->request.routes, c->request.n_routes);

	if (r < 0)
		return err_pass(r);
	return err_pass(answer_network(c, &c->request));
}

static int do_list_interfaces(struct call *c)
{
	CLEANUP(agent_network_done) struct agent_network n = { 0 };
	int r = lists_interfaces(c->calls->netlink, c->calls->owned, LISTS_ALL, &n);

	if (r < 0)
		return err_pass(r);
	return err_pass(answer_network(c, &n));
}

static int do_list_routes(struct call *c)
{
	CLEANUP(agent_network_done) struct agent_network n = { 0 };
	int r = lists_routes(c->calls->netlink, LISTS_ALL, &n);

	if (r < 0)
		return err_pass(r);
	return err_pass(answer_network(c, &n));
}

static int do_list_network(struct call *c)
{
	CLEANUP(agent_network_done) struct agent_network n = { 0 };
	int r = lists_interfaces(c->calls->netlink, c->calls->owned, LISTS_OURS, &n);

	if (r >= 0)
		r = lists_routes(c->calls->netlink, LISTS_OURS, &n);
	if (r >= 0)
		r = lists_neighbors(c->calls->netlink, c->calls->owned, &n);
	if (r < 0)
		return err_pass(r);
	return err_pass(answer_network(c, &n));
}

static int do_add_neighbors(struct call *c)
{
	return err_pass(neighbours_add(c->calls->netlink, c->calls->owned, c->request.neighbors,
				       c->request.n_neighbors));
}

static int do_remove_interface(struct call *c)
{
	return err_pass(
		interface_remove(c->calls->netlink, c->calls->owned, c->request.interfaces));
}

static int do_remove_routes(struct call *c)
{
	return err_pass(routes_remove(c->calls->netlink, c->request.routes, c->request.n_routes));
}

static int do_remove_neighbors(struct call *c)
{
	return err_pass(neighbours_remove(c->calls->netlink, c->calls->owned, c->request.neighbors,
					  c->request.n_neighbors));
}

struct handler {
	int (*run)(struct call *c);
	const char *what;	 /* before an error's sentence */
	bool has_request;	 /* a part of the network */
	bool wants_an_interface; /* exactly one */
};

static const struct handler handlers[_AGENT_VERB_MAX] = {
	[AGENT_CHECK] = { do_check, "Failed to check", false, false },
	[AGENT_VERSION] = { do_version, "Failed to say the version", false, false },
	[AGENT_DETAILS] = { do_details, "Failed to get guest details", false, false },
	[AGENT_UPDATE_INTERFACE] = { do_update_interface, "update interface", true, true },
	[AGENT_UPDATE_ROUTES] = { do_update_routes, "Failed to update routes", true, false },
	[AGENT_LIST_INTERFACES] = { do_list_interfaces, "Failed to list interfaces", false, false },
	[AGENT_LIST_ROUTES] = { do_list_routes, "list routes", false, false },
	[AGENT_ADD_NEIGHBORS] = { do_add_neighbors, "Failed to add ARP neighbours", true, false },
	[AGENT_REMOVE_INTERFACE] = { do_remove_interface, "remove interface", true, true },
	[AGENT_REMOVE_ROUTES] = { do_remove_routes, "Failed to remove routes", true, false },
	[AGENT_REMOVE_NEIGHBORS] = { do_remove_neighbors, "Failed to remove neighbours", true,
				     false },
	[AGENT_LIST_NETWORK] = { do_list_network, "list", false, false },
};

/* ---- the way to a handler ---- */

/*
 * An entry that can't be read is no small thing in a request: a list with a hole would be carried
 * out as if it were whole.
 */
static int decode(struct call *c, struct ttrpc_bytes payload)
{
	const struct handler *h = &handlers[c->verb];
	int r;

	if (!h->has_request)
		return 0;
	r = agent_decode_request(c->verb, payload, &c->request);
	if (r < 0)
		return err_pass(r);
	if (c->request.unusable > 0)
		return err_raise(-EINVAL, "%zu entries can't be read", c->request.unusable);
	if (h->wants_an_interface && c->request.n_interfaces != 1)
		return err_raise(-EINVAL, "not one interface in it");
	if (h->wants_an_interface && !c->request.interfaces->has_mac)
		return err_raise(-EINVAL, "the interface has no hardware address");
	return 0;
}

static void fail_by_request(struct calls_answer *a, int r, enum agent_verb verb)
{
	enum ttrpc_code code =
		r == -EMSGSIZE || r == -ENOMEM ? TTRPC_RESOURCE_EXHAUSTED : TTRPC_INVALID_ARGUMENT;

	fail(a, code, "%s: %s", agent_method(verb), err_text());
	log_warn("%s", a->message);
	cut_trail(a->message);
	err_clear();
}

static int run(struct call *c, struct calls_answer *ret)
{
	int r = handlers[c->verb].run(c);

	if (r == CALLS_WAIT)
		return CALLS_WAIT;
	if (r < 0)
		fail_by_error(ret, r, handlers[c->verb].what);
	else
		ret->payload = c->payload;
	return 0;
}

static void request_done(struct call *c)
{
	agent_network_done(&c->request);
}

int calls_handle(struct calls *c, const char *service, const char *method,
		 struct ttrpc_bytes payload, struct calls_answer *ret,
		 struct calls_waiting *ret_waiting)
{
	CLEANUP(request_done) struct call call = { .calls = c };
	int r = agent_find(service, method, &call.verb);

	*ret = (struct calls_answer){ 0 };
	if (r == AGENT_NO_SERVICE)
		fail(ret, TTRPC_UNIMPLEMENTED, "service %.128s", service);
	else if (r == AGENT_NO_METHOD || !handlers[call.verb].run)
		fail(ret, TTRPC_UNIMPLEMENTED, "method %.128s", method);
	if (ret->code != TTRPC_OK)
		return 0;
	r = decode(&call, payload);
	if (r < 0) {
		fail_by_request(ret, r, call.verb);
		return 0;
	}
	r = run(&call, ret);
	if (r == CALLS_WAIT) {
		ret_waiting->request = call.request;
		call.request = (struct agent_network){ 0 };
	}
	return r;
}

int calls_retry(struct calls *c, const struct calls_waiting *w, struct calls_answer *ret)
{
	struct call call = {
		.calls = c, .verb = AGENT_UPDATE_INTERFACE, .request = w->request, /* borrowed */
	};

	*ret = (struct calls_answer){ 0 };
	return run(&call, ret);
}

void calls_expire(const struct calls_waiting *w, struct calls_answer *ret)
{
	char mac[IP_MAC_TEXT_BYTES];

	*ret = (struct calls_answer){ 0 };
	ip_format_mac(w->request.interfaces->mac, mac);
	fail(ret, TTRPC_INTERNAL, "update interface: Link not found (Address: %s)", mac);
	log_warn("%s", ret->message);
}
