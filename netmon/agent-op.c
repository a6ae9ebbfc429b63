/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One op as calls of an agent, see agent-op.h.
 *
 * How the one to blame is found. Ops [0, n_done) are done; the request in flight holds [first,
 * first + n_sent); of [n_done, n_bad) it is known that one at least is bad, so that it is never sent
 * as a whole again:
 *
 *     all --ok--> done
 *      +--blamed--> half --ok--> n_done moves on --> half of what is left of [n_done, n_bad)
 *                    +--blamed--> n_bad comes nearer --> half of it
 *                                  +-- it was one: its verdict is the op's
 *
 * Of a set prefixes are sent: those shorter than n_good are taken, the one of n_bad is refused.
 */
#include "netmon/agent-op.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "netmon/agent-words.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { _AGENT_OP_SENT = 0, AGENT_OP_TOO_LARGE = 1 };

/* Of the first request that was denied: is it a value, or the method? What is in flight. */
enum agent_op_split {
	AGENT_OP_SPLIT_NONE,
	AGENT_OP_SPLIT_FIRST,	   /* its first half */
	AGENT_OP_SPLIT_SECOND,	   /* its second half, after the first was denied too */
	AGENT_OP_SPLIT_ONE_FIRST,  /* one value of the first half, after both were */
	AGENT_OP_SPLIT_ONE_SECOND, /* one value of the second half, after that was too */
};

struct agent_op {
	uint64_t timeout_usec;
	void (*done)(void *userdata, const struct sink_outcome *outcome,
		     const struct agent_op_lesson *lesson);
	void *userdata;
	sd_event_source *refuse; /* an op that can't even be sent, told from the loop */
	char reason[AGENT_OP_REASON_BYTES];

	/* of the op in flight; call.op is NULL: none */
	struct client *client;
	enum agent_generation generation;
	struct sink_call call;
	uint64_t begun_usec;
	uint64_t id; /* of the request in flight; 0: none */
	size_t first, n_sent;
	size_t n_done;
	size_t n_bad;  /* 0: no range is known to hold a bad one */
	size_t n_good; /* of a set */
	bool is_bad_final;
	size_t n_split;
	enum agent_op_split split;
	unsigned blames; /* since a value was last passed over */
	bool was_blamed; /* ever */
};

/* ---- what is sent ---- */

static bool is_deletion(enum plan_verb verb)
{
	return verb == PLAN_LINK_DEL || verb == PLAN_ROUTE_DEL || verb == PLAN_NEIGH_DEL;
}

static enum model_kind kind_of(enum plan_verb verb)
{
	switch (verb) {
	case PLAN_LINK_DEL:
	case PLAN_LINK_ADD:
	case PLAN_LINK_UPDATE:
		return MODEL_LINK;
	case PLAN_NEIGH_DEL:
	case PLAN_NEIGH_ADD:
		return MODEL_NEIGH;
	case PLAN_ROUTES_SET:
	case PLAN_ROUTE_DEL:
	case PLAN_ROUTE_ADD:
	case PLAN_ROUTE_REPLACE:
	case _PLAN_VERB_MAX:
		break;
	}
	return MODEL_ROUTE;
}

static enum agent_verb agent_verb_of(enum plan_verb verb)
{
	static const enum agent_verb gone[] = {
		[MODEL_LINK] = AGENT_REMOVE_INTERFACE,
		[MODEL_ROUTE] = AGENT_REMOVE_ROUTES,
		[MODEL_NEIGH] = AGENT_REMOVE_NEIGHBORS,
	};
	static const enum agent_verb there[] = {
		[MODEL_LINK] = AGENT_UPDATE_INTERFACE,
		[MODEL_ROUTE] = AGENT_UPDATE_ROUTES,
		[MODEL_NEIGH] = AGENT_ADD_NEIGHBORS,
	};

	return is_deletion(verb) ? gone[kind_of(verb)] : there[kind_of(verb)];
}

/* A link goes as the guest knows it, with what it was told. */
static int agent_op_encode_link(const struct agent_op *o, struct ttrpc_bytes *ret)
{
	const struct plan *p = o->call.plan;
	bool is_gone = is_deletion(o->call.op->verb);
	CLEANUP(cleanup_free) struct agent_ip *ips = NULL;
	struct agent_interface i;
	int r = is_gone ? agent_words_from_link(&p->from, plan_link_from(p, o->call.op), &i, &ips)
			: agent_words_from_link(&p->to, plan_link_to(p, o->call.op), &i, &ips);

	if (r < 0)
		return err_pass(r);
	return err_pass(agent_encode_interface(agent_verb_of(o->call.op->verb), &i, ret));
}

static const char *link_name(const struct plan *p, uint32_t ifindex)
{
	const struct link *l = table_find_link(snapshot_links(&p->to), ifindex);

	if (!l)
		l = table_find_link(snapshot_links(&p->from), ifindex);
	return l ? l->name : "";
}

static bool agent_op_is_set(const struct agent_op *o)
{
	return o->call.op->verb == PLAN_ROUTES_SET;
}

/* In the order in which a set is sent: without a gateway first, they make the others reachable. */
struct set_walk {
	const struct table *routes;
	size_t at;
	bool has_gateway; /* the second time through the table */
};

static const struct route *set_next(struct set_walk *w)
{
	while (w->at < w->routes->n || !w->has_gateway) {
		const struct route *route;

		if (w->at == w->routes->n) {
			w->has_gateway = true;
			w->at = 0;
			continue;
		}
		route = table_at(w->routes, w->at++);
		if (((route->flags & MODEL_ROUTE_GATEWAY) != 0) == w->has_gateway)
			return route;
	}
	return NULL;
}

static const struct route *agent_op_route(const struct agent_op *o, size_t i)
{
	const struct plan *p = o->call.plan;

	if (o->call.op->verb == PLAN_ROUTE_DEL)
		return plan_route_from(p, &o->call.op[i]);
	return plan_route_to(p, &o->call.op[i]);
}

/* Of a set, whose one op says nothing of how many there are: the first @n. */
static int agent_op_encode_routes(const struct agent_op *o, size_t first, size_t n,
				  struct ttrpc_bytes *ret)
{
	enum agent_source source =
		o->generation == AGENT_DELTA_V1 ? AGENT_SOURCE_PLAIN : AGENT_SOURCE_ZERO;
	struct set_walk set = { .routes = snapshot_routes(&o->call.plan->to) };
	CLEANUP(cleanup_free) struct agent_route *routes = NULL;

	if (n > AGENT_ROUTES_MAX)
		return err_raise(-EMSGSIZE, "put %zu routes into one request", n);
	routes = calloc(n + 1, sizeof(*routes));
	if (!routes)
		return err_raise(-ENOMEM, "put %zu routes into an agent's words", n);
	for (size_t i = 0; i < n; i++) {
		const struct route *route =
			agent_op_is_set(o) ? set_next(&set) : agent_op_route(o, first + i);

		agent_words_from_route(route, link_name(o->call.plan, route->ifindex), &routes[i]);
	}
	return err_pass(
		agent_encode_routes(agent_verb_of(o->call.op->verb), routes, n, source, ret));
}

static int agent_op_encode_neighs(const struct agent_op *o, size_t first, size_t n,
				  struct ttrpc_bytes *ret)
{
	const struct plan *p = o->call.plan;
	CLEANUP(cleanup_free) struct agent_neighbor *neighs = calloc(n + 1, sizeof(*neighs));

	if (!neighs)
		return err_raise(-ENOMEM, "put %zu neighbours into an agent's words", n);
	for (size_t i = 0; i < n; i++) {
		const struct op *op = &o->call.op[first + i];
		const struct neigh *neigh =
			op->verb == PLAN_NEIGH_DEL ? plan_neigh_from(p, op) : plan_neigh_to(p, op);

		agent_words_from_neigh(neigh, link_name(p, neigh->ifindex), &neighs[i]);
	}
	return err_pass(agent_encode_neighbors(agent_verb_of(o->call.op->verb), neighs, n, ret));
}

static int agent_op_encode(const struct agent_op *o, size_t first, size_t n,
			   struct ttrpc_bytes *ret)
{
	switch (kind_of(o->call.op->verb)) {
	case MODEL_LINK:
		return err_pass(agent_op_encode_link(o, ret));
	case MODEL_NEIGH:
		return err_pass(agent_op_encode_neighs(o, first, n, ret));
	case MODEL_ROUTE:
	case MODEL_ADDR:
	case MODEL_POLICY:
	case _MODEL_KIND_MAX:
		break;
	}
	return err_pass(agent_op_encode_routes(o, first, n, ret));
}

static void agent_op_answered(void *userdata, const struct client_result *result);

/*
 * What is over the limit of a request is cut, not blamed; a set can't be.
 * Return: 0; AGENT_OP_TOO_LARGE: not even one fits; -errno.
 */
static int agent_op_send(struct agent_op *o, size_t first, size_t n)
{
	enum agent_verb verb = agent_verb_of(o->call.op->verb);
	struct ttrpc_bytes payload = { 0 };
	int r = agent_op_encode(o, first, n, &payload);

	while (r == -EMSGSIZE && n > 1 && !agent_op_is_set(o)) {
		n /= 2;
		r = agent_op_encode(o, first, n, &payload);
	}
	if (r == -EMSGSIZE) {
		err_clear();
		return AGENT_OP_TOO_LARGE;
	}
	if (r < 0)
		return err_pass(r);
	r = client_call(o->client, agent_service(verb), agent_method(verb), payload,
			o->timeout_usec, agent_op_answered, o, &o->id);
	cleanup_free(&payload.data);
	if (r < 0)
		return err_pass(r);
	o->first = first;
	o->n_sent = n;
	return 0;
}

/* ---- what an answer means ---- */

struct verdict {
	enum sink_result result;
	bool blames; /* one of what was sent */
	bool is_final;
	bool is_unknown;
	bool is_silent;
	bool is_denied; /* all of its kind */
	bool is_kept;	/* likewise: it can't be taken back */
	const struct route *blamed;
};

/*
 * The guest has no such link (yet): the NIC is plugged by others, and its driver takes its time.
 * Source: kata-containers src/agent/src/netlink.rs ("Link not found (Address: ..)"), device/
 * network_device_handler.rs ("interface not available"); ENODEV in the words of rtnetlink.
 */
static const char *const no_link[] = {
	"link not found",
	"interface not found",
	"interface not available",
	"no such device",
};

static bool says_no_link(const struct client_result *result)
{
	if (result->code == TTRPC_NOT_FOUND)
		return true;
	for (size_t i = 0; i < sizeof(no_link) / sizeof(no_link[0]); i++)
		if (strcasestr(result->message, no_link[i]))
			return true;
	return false;
}

/*
 * NLM_F_EXCL of Kata's releases that do not replace a neighbour: what is there stays as it is, and
 * nobody has a word to change that. Source: kata-containers src/agent/src/netlink.rs.
 */
static bool says_exists(enum plan_verb verb, const struct client_result *result)
{
	return verb == PLAN_NEIGH_ADD && result->code == TTRPC_INTERNAL &&
	       strcasestr(result->message, "file exists");
}

static struct verdict judge_value(enum plan_verb verb, const struct client_result *result)
{
	if (says_exists(verb, result))
		return (struct verdict){ .result = SINK_DONE, .blames = true };
	if (says_no_link(result))
		return (struct verdict){ .result = is_deletion(verb) ? SINK_DONE : SINK_RETRY,
					 .blames = true };
	return (struct verdict){ .result = SINK_REFUSED, .blames = true };
}

static struct verdict judge(enum plan_verb verb, const struct client_result *result)
{
	if (result->error != 0)
		return (struct verdict){ .result = SINK_RETRY,
					 .is_unknown = true,
					 .is_silent = result->error == -ETIMEDOUT };
	if (agent_is_answer_too_long(result->code, result->message))
		return (struct verdict){ .result = SINK_DONE };
	switch (result->code) {
	case TTRPC_OK:
		return (struct verdict){ .result = SINK_DONE };
	case TTRPC_PERMISSION_DENIED:
		return (struct verdict){ .result = SINK_REFUSED, .blames = true, .is_final = true };
	case TTRPC_UNIMPLEMENTED:
		return (struct verdict){ .result = SINK_RETRY,
					 .is_denied = !is_deletion(verb),
					 .is_kept = is_deletion(verb) };
	case TTRPC_DEADLINE_EXCEEDED:
		return (struct verdict){ .result = SINK_RETRY, .is_unknown = true };
	case TTRPC_CANCELLED:
	case TTRPC_RESOURCE_EXHAUSTED:
	case TTRPC_ABORTED:
	case TTRPC_UNAVAILABLE:
		return (struct verdict){ .result = SINK_RETRY };
	case TTRPC_UNKNOWN:
	case TTRPC_INVALID_ARGUMENT:
	case TTRPC_NOT_FOUND:
	case TTRPC_ALREADY_EXISTS:
	case TTRPC_FAILED_PRECONDITION:
	case TTRPC_OUT_OF_RANGE:
	case TTRPC_INTERNAL:
	case TTRPC_DATA_LOSS:
	case TTRPC_UNAUTHENTICATED:
	case _TTRPC_CODE_MAX:
		break;
	}
	return judge_value(verb, result);
}

/* "internal: update interface: Link not found (...)" */
static void agent_op_explain(struct agent_op *o, const struct verdict *v,
			     const struct client_result *result)
{
	const char *what = "";

	if (v->result == SINK_RETRY && v->blames)
		what = "not plugged yet: ";
	if (result->error == -ETIMEDOUT)
		(void)snprintf(o->reason, sizeof(o->reason), "no answer in %" PRIu64 " ms",
			       o->timeout_usec / CLOCK_USEC_PER_MSEC);
	else if (result->error != 0)
		(void)snprintf(o->reason, sizeof(o->reason), "connection lost: %s",
			       result->message);
	else
		(void)snprintf(o->reason, sizeof(o->reason), "%s%s: %s", what,
			       ttrpc_code_to_string(result->code), result->message);
}

/* ---- the end of an op ---- */

static void agent_op_forget(struct agent_op *o)
{
	o->call = (struct sink_call){ 0 };
	o->client = NULL;
	o->id = 0;
}

/*
 * A request that was blamed has put what stood before the bad one, and halves that were sent since
 * too: when the op then ends with nobody to blame, what is behind n_done may be there. What is denied
 * is denied before anything is done.
 */
static bool agent_op_is_unknown(const struct agent_op *o, const struct verdict *v)
{
	return v->is_unknown || (v->result == SINK_RETRY && !v->blames && !v->is_denied &&
				 !v->is_kept && o->was_blamed);
}

/* The last thing done with @o: the callback may begin the next op, or free us. */
static void agent_op_finish(struct agent_op *o, const struct verdict *v)
{
	struct sink_outcome outcome = {
		.result = v->result,
		.n_done = o->n_done,
		.is_of_all = v->result != SINK_DONE && !v->blames,
		.is_final = v->is_final,
		.blamed = v->blamed,
		.reason = v->result == SINK_DONE ? "" : o->reason,
		.duration_usec = clock_now_usec() - o->begun_usec,
		.is_unknown = agent_op_is_unknown(o, v),
	};
	unsigned kind = 1U << kind_of(o->call.op->verb);
	const struct agent_op_lesson lesson = {
		.denied = v->is_denied ? kind : 0,
		.kept = v->is_kept ? kind : 0,
		.is_silent = v->is_silent,
	};

	agent_op_forget(o);
	o->done(o->userdata, &outcome, &lesson);
}

/* Nobody over there said anything: memory, or a connection that is about to be told as lost. */
static void agent_op_give_up(struct agent_op *o)
{
	(void)snprintf(o->reason, sizeof(o->reason), "%s", err_text());
	err_clear();
	agent_op_finish(o, &(struct verdict){ .result = SINK_RETRY });
}

static void agent_op_explain_size(struct agent_op *o)
{
	bool is_set = agent_op_is_set(o);

	(void)snprintf(o->reason, sizeof(o->reason),
		       "the %s of %zu %s is over the agent's limit of %u MiB a request",
		       is_set ? "list" : "request",
		       is_set ? snapshot_routes(&o->call.plan->to)->n : (size_t)1,
		       is_set ? "routes" : "value", TTRPC_DATA_MAX >> 20);
}

/* It said no to many, and to which of them it never came. */
static void agent_op_explain_limit(struct agent_op *o)
{
	char last[AGENT_OP_REASON_BYTES];

	(void)snprintf(last, sizeof(last), "%s", o->reason);
	(void)snprintf(o->reason, sizeof(o->reason), "nobody is to blame after %u answers: %.*s",
		       o->blames, (int)TTRPC_MESSAGE_MAX, last);
}

static void agent_op_refuse_size(struct agent_op *o)
{
	agent_op_explain_size(o);
	agent_op_finish(
		o, &(struct verdict){ .result = SINK_REFUSED, .blames = true, .is_final = true });
}

static int agent_op_on_refuse(sd_event_source *source, void *userdata)
{
	(void)source;
	agent_op_refuse_size(userdata);
	return 0;
}

/* ---- from one answer to the next request ---- */

static void agent_op_go_on(struct agent_op *o, size_t first, size_t n)
{
	int r = agent_op_send(o, first, n);

	if (r < 0)
		agent_op_give_up(o);
	else if (r == AGENT_OP_TOO_LARGE)
		agent_op_refuse_size(o);
}

static void agent_op_next(struct agent_op *o)
{
	size_t n = o->call.n - o->n_done;

	if (o->n_bad > o->n_done) {
		n = o->n_bad - o->n_done;
		n = n > 1 ? n / 2 : 1;
	}
	agent_op_go_on(o, o->n_done, n);
}

static void agent_op_advance(struct agent_op *o)
{
	o->n_done = o->first + o->n_sent;
	if (o->n_done == o->call.n)
		agent_op_finish(o, &(struct verdict){ .result = SINK_DONE });
	else
		agent_op_next(o);
}

static void agent_op_halve(struct agent_op *o, const struct verdict *v)
{
	o->n_bad = o->first + o->n_sent;
	if (v->is_final && o->blames == 1 && o->n_done == 0) {
		o->split = AGENT_OP_SPLIT_FIRST;
		o->n_split = o->n_bad;
	}
	agent_op_next(o);
}

static void agent_op_blamed_one(struct agent_op *o, const struct verdict *v)
{
	if (v->result != SINK_DONE) {
		agent_op_finish(o, v);
		return;
	}
	o->blames = 0;
	agent_op_advance(o);
}

static void agent_op_blamed_value(struct agent_op *o, const struct verdict *v)
{
	if (o->n_sent == 1) {
		agent_op_blamed_one(o, v);
	} else if (o->blames > AGENT_OP_BLAMES_MAX) {
		agent_op_explain_limit(o);
		agent_op_finish(o, &(struct verdict){ .result = SINK_RETRY });
	} else {
		agent_op_halve(o, v);
	}
}

/* ---- a value, or the method? ---- */

static void agent_op_ask(struct agent_op *o, enum agent_op_split split, size_t first, size_t n)
{
	o->split = split;
	agent_op_go_on(o, first, n);
}

/* All that was asked so far was denied. A half of one value is that value. */
static void agent_op_denied_again(struct agent_op *o, enum agent_op_split split)
{
	size_t half = o->n_split / 2, rest = o->n_split - half;

	if (split == AGENT_OP_SPLIT_FIRST)
		agent_op_ask(o, AGENT_OP_SPLIT_SECOND, half, rest);
	else if (split == AGENT_OP_SPLIT_SECOND && half > 1)
		agent_op_ask(o, AGENT_OP_SPLIT_ONE_FIRST, 0, 1);
	else if (split != AGENT_OP_SPLIT_ONE_SECOND && rest > 1)
		agent_op_ask(o, AGENT_OP_SPLIT_ONE_SECOND, half, 1);
	else
		agent_op_finish(o, &(struct verdict){ .result = SINK_RETRY, .is_denied = true });
}

/*
 * Not denied: it is no method. What is known of the first half then.
 * Return: true: it was about the second half; who is to blame is looked for in the first.
 */
static bool agent_op_end_split(struct agent_op *o)
{
	enum agent_op_split split = o->split;

	o->split = AGENT_OP_SPLIT_NONE;
	if (split == AGENT_OP_SPLIT_ONE_SECOND)
		o->n_bad = 1;
	else if (split == AGENT_OP_SPLIT_SECOND || split == AGENT_OP_SPLIT_ONE_FIRST)
		o->n_bad = o->n_split / 2;
	return split == AGENT_OP_SPLIT_SECOND || split == AGENT_OP_SPLIT_ONE_SECOND;
}

static void agent_op_blamed(struct agent_op *o, const struct verdict *v)
{
	o->blames++;
	o->was_blamed = true;
	if (o->split != AGENT_OP_SPLIT_NONE && v->is_final)
		agent_op_denied_again(o, o->split);
	else if (agent_op_end_split(o))
		agent_op_next(o);
	else
		agent_op_blamed_value(o, v);
}

static void agent_op_went_well(struct agent_op *o)
{
	if (agent_op_end_split(o))
		agent_op_next(o);
	else
		agent_op_advance(o);
}

/* ---- a set ---- */

static void agent_op_finish_set(struct agent_op *o)
{
	struct set_walk set = { .routes = snapshot_routes(&o->call.plan->to) };
	struct verdict v = { .result = SINK_RETRY, .is_denied = o->is_bad_final };

	if (o->n_bad > 0)
		v = (struct verdict){ .result = SINK_REFUSED,
				      .blames = true,
				      .is_final = o->is_bad_final };
	for (size_t i = 0; i < o->n_bad; i++)
		v.blamed = set_next(&set);
	agent_op_finish(o, &v);
}

static void agent_op_search_set(struct agent_op *o)
{
	if (o->n_good < o->n_bad)
		agent_op_go_on(o, 0, o->n_good + (o->n_bad - o->n_good) / 2);
	else
		agent_op_finish_set(o);
}

static void agent_op_set_answered(struct agent_op *o, struct verdict *v)
{
	if (v->result == SINK_REFUSED) {
		o->was_blamed = true;
		o->n_bad = o->n_sent;
		o->is_bad_final = v->is_final;
		agent_op_search_set(o);
	} else if (v->result == SINK_DONE && o->was_blamed) {
		o->n_good = o->n_sent + 1;
		agent_op_search_set(o);
	} else {
		/* a link that is not plugged yet is no route's fault, and all wait for it */
		v->blames = false;
		o->n_done = v->result == SINK_DONE ? o->call.n : 0;
		agent_op_finish(o, v);
	}
}

static void agent_op_answered(void *userdata, const struct client_result *result)
{
	struct agent_op *o = userdata;
	struct verdict v = judge(o->call.op->verb, result);

	o->id = 0;
	if (v.result != SINK_DONE)
		agent_op_explain(o, &v, result);
	if (agent_op_is_set(o))
		agent_op_set_answered(o, &v);
	else if (v.blames)
		agent_op_blamed(o, &v);
	else if (v.result == SINK_DONE)
		agent_op_went_well(o);
	else
		agent_op_finish(o, &v);
}

/* ---- birth, begin and death ---- */

bool agent_op_is_busy(const struct agent_op *o)
{
	return o->call.op != NULL;
}

static void agent_op_start(struct agent_op *o, struct client *client,
			   enum agent_generation generation, const struct sink_call *call)
{
	o->client = client;
	o->generation = generation;
	o->call = *call;
	o->begun_usec = clock_now_usec();
	o->n_done = o->n_bad = o->n_good = 0;
	o->is_bad_final = false;
	o->split = AGENT_OP_SPLIT_NONE;
	o->blames = 0;
	o->was_blamed = false;
	o->reason[0] = '\0';
}

int agent_op_begin(struct agent_op *o, struct client *client, enum agent_generation generation,
		   const struct sink_call *call)
{
	size_t n = call->n;
	int r;

	if (agent_op_is_busy(o))
		return err_raise(-EBUSY, "begin an op of an agent");
	agent_op_start(o, client, generation, call);
	if (agent_op_is_set(o))
		n = snapshot_routes(&call->plan->to)->n;
	r = agent_op_send(o, 0, n);
	if (r == AGENT_OP_TOO_LARGE)
		r = sd_event_source_set_enabled(o->refuse, SD_EVENT_ONESHOT);
	if (r < 0)
		agent_op_forget(o);
	return err_pass(r < 0 ? r : 0);
}

void agent_op_cancel(struct agent_op *o)
{
	if (o->id != 0)
		client_cancel(o->client, o->id);
	(void)sd_event_source_set_enabled(o->refuse, SD_EVENT_OFF);
	agent_op_forget(o);
}

struct agent_op *agent_op_free(struct agent_op *o)
{
	if (!o)
		return NULL;
	if (o->refuse)
		agent_op_cancel(o);
	sd_event_source_disable_unref(o->refuse);
	free(o);
	return NULL;
}

int agent_op_new(struct agent_op **ret, const struct agent_op_config *config)
{
	struct agent_op *o = malloc(sizeof(*o));
	int r;

	if (!o)
		return err_raise(-ENOMEM, "make an agent's op");
	*o = (struct agent_op){
		.timeout_usec = config->timeout_usec ? config->timeout_usec : CLIENT_CALL_USEC,
		.done = config->done,
		.userdata = config->userdata,
	};
	r = sd_event_add_defer(config->event, &o->refuse, agent_op_on_refuse, o);
	if (r >= 0)
		r = sd_event_source_set_enabled(o->refuse, SD_EVENT_OFF);
	if (r < 0) {
		agent_op_free(o);
		return err_raise(r, "make an agent's op");
	}
	(void)sd_event_source_set_description(o->refuse, "agent-op-refuse");
	*ret = o;
	return 0;
}
