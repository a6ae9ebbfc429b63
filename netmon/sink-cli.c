/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sink of Kata 1.x, see sink-cli.h.
 *
 * How it works. An op is one document in the shared file and one call of the runtime:
 *
 *     begin --> document, add-iface --> ended: remove the document, judge, done
 *
 * With one exception: a link that the guest may have already is asked for first, since the runtime
 * has no answer for "I have that": it fails half-way ("file exists") and leaves a tap behind.
 *
 *     begin --> list-ifaces --> lists the MAC: done
 *                           +-> does not, or no answer: document, add-iface --> ...
 *
 * The runtime says why it failed only in words, so the words decide what follows
 * (sink_cli_verdicts). What is not in the table is a reason to ask again: a runtime of a version
 * that we do not know must not lose a link.
 */
#include "netmon/sink-cli.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "runtime-bridge/vmm/exchange.h"
#include "runtime-bridge/vmm/runtime-cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The runtime's stderr, its escapes and a few words of ours. */
#define SINK_CLI_REASON_MAX (RUNTIME_CLI_STDERR_MAX + 256U)

struct sink_cli {
	struct sink sink;
	struct runtime_cli *runtime; /* NULL after an end that killed what ran */
	struct exchange exchange;
	enum dialect dialect;
	uint64_t timeout_usec;
	struct text reason;
	/* of the op in flight */
	struct sink_call call; /* plan and op borrowed until done */
	uint64_t begun_usec;
	bool list_answered; /* list-ifaces was asked, answered, and did not name the link */
};

/*
 * What the runtime's words mean, first match counts.
 * Source: measured against kata-runtime 1.13 (cli/network.go, virtcontainers/endpoint.go,
 * network.go, tap_endpoint.go).
 */
static const struct sink_cli_verdict {
	const char *fragment;
	enum sink_result result;
} sink_cli_verdicts[] = {
	/* Another value is needed: this link, as it is, will never be taken. */
	{ "Unsupported network interface", SINK_REFUSED },
	{ "does not support Hot attach", SINK_REFUSED },
	{ "invalid MAC address", SINK_REFUSED },
	{ "Could not set TAP MTU", SINK_REFUSED },
	/* The guest's policy, in the words of netmonctl's kata-network. */
	{ "code = PermissionDenied", SINK_REFUSED },
	/* Not now: the sandbox is on its way up, or down. */
	{ "is not running", SINK_RETRY },
	{ "does not exist", SINK_RETRY },
};

/* What a link that is there already sounds like; counts only where it may be. */
static const char *const sink_cli_exists[] = { "file exists", "already exists" };

static struct sink_cli *sink_cli_of(struct sink *s)
{
	return (struct sink_cli *)s;
}

/* ---- the verdict ---- */

static bool sink_cli_says_exists(const char *text)
{
	for (size_t i = 0; i < sizeof(sink_cli_exists) / sizeof(sink_cli_exists[0]); i++) {
		if (strcasestr(text, sink_cli_exists[i]))
			return true;
	}
	return false;
}

/*
 * "exists" is the runtime's half of the link (tap, tc). A guest that was just asked and has not got
 * it still has not got it, so then it is a failure like another.
 */
static bool sink_cli_had_it(const struct sink_cli *s, const struct runtime_cli_result *result)
{
	return s->call.op->verb == PLAN_LINK_ADD && s->call.maybe_done && !s->list_answered &&
	       sink_cli_says_exists(result->stderr_text);
}

static enum sink_result sink_cli_judge(const struct sink_cli *s,
				       const struct runtime_cli_result *result)
{
	if (result->status == 0)
		return SINK_DONE;
	if (result->status < 0)
		return SINK_RETRY;
	if (sink_cli_had_it(s, result))
		return SINK_DONE;
	for (size_t i = 0; i < sizeof(sink_cli_verdicts) / sizeof(sink_cli_verdicts[0]); i++) {
		if (strcasestr(result->stderr_text, sink_cli_verdicts[i].fragment))
			return sink_cli_verdicts[i].result;
	}
	return SINK_RETRY;
}

/* ---- the reason, for people ---- */

static void sink_cli_say_timeout(struct text *to, uint64_t usec)
{
	if (usec % CLOCK_USEC_PER_SEC == 0)
		(void)text_appendf(to, "no answer in %" PRIu64 " s: killed",
				   usec / CLOCK_USEC_PER_SEC);
	else
		(void)text_appendf(to, "no answer in %" PRIu64 " ms: killed",
				   usec / CLOCK_USEC_PER_MSEC);
}

/* "exit status 1: Unsupported network interface: bridge (12 bytes more)" */
static const char *sink_cli_explain(struct sink_cli *s, const struct runtime_cli_result *result)
{
	struct text *to = &s->reason;

	text_reset(to);
	if (result->status == RUNTIME_CLI_TIMED_OUT)
		sink_cli_say_timeout(to, s->timeout_usec);
	else if (result->status < 0)
		(void)text_appendf(to, "killed by signal %d", -result->status);
	else
		(void)text_appendf(to, "exit status %d", result->status);
	if (result->stderr_text[0] != '\0')
		(void)text_appendf(to, ": %s", result->stderr_text);
	if (result->stderr_dropped > 0)
		(void)text_appendf(to, " (%zu bytes more)", result->stderr_dropped);
	return to->data ? to->data : "";
}

/* Why the runtime could not be called. Taken over: from here on it is the caller's to tell. */
static const char *sink_cli_explain_error(struct sink_cli *s)
{
	text_reset(&s->reason);
	(void)text_append_str(&s->reason, err_text());
	err_clear();
	return s->reason.data ? s->reason.data : "";
}

/* ---- the end of an op ---- */

/* The last thing done with @s: the callback may begin the next op, or free us. */
static void sink_cli_finish(struct sink_cli *s, enum sink_result result, const char *reason,
			    bool is_unknown)
{
	struct sink_outcome outcome = {
		.result = result,
		.reason = result == SINK_DONE ? "" : reason,
		.duration_usec = clock_now_usec() - s->begun_usec,
		.is_unknown = is_unknown,
	};

	exchange_remove(&s->exchange);
	s->call = (struct sink_call){ 0 };
	s->sink.done(s->sink.userdata, &outcome);
}

static void sink_cli_on_done(void *userdata, const struct runtime_cli_result *result)
{
	struct sink_cli *s = userdata;
	enum sink_result verdict = sink_cli_judge(s, result);

	/* killed by a signal, or by us at its deadline: how far it came nobody knows */
	sink_cli_finish(s, verdict, verdict == SINK_DONE ? "" : sink_cli_explain(s, result),
			result->status < 0);
}

/* ---- the document ---- */

static void sink_cli_write_interface(struct sink_cli *s, struct json_writer *j,
				     const struct snapshot *network, const struct link *link)
{
	const struct table *addrs = snapshot_addrs(network);
	size_t n, first = table_range_of_link(addrs, link->ifindex, &n);

	dialect_write_interface(j, s->dialect, link, n > 0 ? &addrs->addrs[first] : NULL, n);
}

/* A link goes as the guest knows it: with the name, MAC and addresses that it was told. */
static void sink_cli_write_document(struct sink_cli *s)
{
	const struct plan *plan = s->call.plan;
	const struct op *op = s->call.op;
	struct json_writer j = json_writer_on_io(&s->exchange.writer);

	if (op->verb == PLAN_ROUTES_SET)
		dialect_write_routes(&j, &plan->to);
	else if (op->verb == PLAN_LINK_DEL)
		sink_cli_write_interface(s, &j, &plan->from, plan_link_from(plan, op));
	else
		sink_cli_write_interface(s, &j, &plan->to, plan_link_to(plan, op));
}

static enum runtime_cli_verb sink_cli_verb(const struct op *op)
{
	if (op->verb == PLAN_ROUTES_SET)
		return RUNTIME_CLI_UPDATE_ROUTES;
	return op->verb == PLAN_LINK_DEL ? RUNTIME_CLI_DEL_IFACE : RUNTIME_CLI_ADD_IFACE;
}

/* Publishes the op's document and calls the runtime. On failure nothing is left behind. */
static int sink_cli_send(struct sink_cli *s)
{
	struct runtime_cli_call call = {
		.verb = sink_cli_verb(s->call.op),
		.file = s->exchange.path,
		.before_exec = s->call.before_exec,
		.before_exec_arg = s->call.arg,
		.done = sink_cli_on_done,
		.userdata = s,
	};
	int r = exchange_begin(&s->exchange);

	if (r < 0)
		return err_pass(r);
	sink_cli_write_document(s);
	r = exchange_commit(&s->exchange);
	if (r < 0)
		return err_pass(r);
	r = runtime_cli_start(s->runtime, &call);
	if (r < 0) {
		exchange_remove(&s->exchange);
		return err_pass(r);
	}
	return 0;
}

/* ---- asking first ---- */

struct sink_cli_asked {
	char (*text)[MODEL_IP_TEXT_BYTES];
	const char **ips;
	size_t n;
};

static void sink_cli_asked_done(struct sink_cli_asked *a)
{
	free(a->text);
	free(a->ips);
}

/* The addresses of the link as text. Return: false without memory. */
static bool sink_cli_asked_init(struct sink_cli_asked *a, const struct sink_call *call)
{
	const struct table *addrs = snapshot_addrs(&call->plan->to);
	size_t first =
		table_range_of_link(addrs, plan_link_to(call->plan, call->op)->ifindex, &a->n);

	a->text = calloc(a->n + 1, sizeof(*a->text));
	a->ips = calloc(a->n + 1, sizeof(*a->ips));
	if (!a->text || !a->ips)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		const struct addr *addr = &addrs->addrs[first + i];

		model_format_ip(addr->family, addr->bytes, a->text[i]);
		a->ips[i] = a->text[i];
	}
	return true;
}

/* What runtime_cli_lists() says of the op's link; -EBADMSG: the guest did not say. */
static int sink_cli_guest_has(const struct sink_cli *s, const struct runtime_cli_result *result)
{
	const struct link *link = plan_link_to(s->call.plan, s->call.op);
	CLEANUP(sink_cli_asked_done) struct sink_cli_asked asked = { 0 };
	struct runtime_cli_interface wanted;
	char mac[MODEL_MAC_TEXT_BYTES];

	if (result->status != 0 || !sink_cli_asked_init(&asked, &s->call))
		return -EBADMSG;
	model_format_mac(link->mac_bytes, link->mac, mac);
	wanted = (struct runtime_cli_interface){ .mac = mac, .ips = asked.ips, .n_ips = asked.n };
	return runtime_cli_lists(result->stdout_text, result->stdout_bytes, &wanted);
}

/* A failed answer is not explained: the add that follows fails for the same reason, or for none. */
static void sink_cli_on_list(void *userdata, const struct runtime_cli_result *result)
{
	struct sink_cli *s = userdata;
	int r;

	if (result->status == RUNTIME_CLI_TIMED_OUT) {
		sink_cli_finish(s, SINK_RETRY, sink_cli_explain(s, result), true);
		return;
	}
	r = sink_cli_guest_has(s, result);
	if (r == RUNTIME_CLI_LISTS_IT) {
		sink_cli_finish(s, SINK_DONE, "", false);
		return;
	}
	if (r == RUNTIME_CLI_LISTS_OTHER) {
		sink_cli_finish(s, SINK_STALE, "the guest has it with other addresses", false);
		return;
	}
	if (r < 0)
		err_clear();
	s->list_answered = r == 0;
	r = sink_cli_send(s);
	if (r < 0)
		sink_cli_finish(s, SINK_RETRY, sink_cli_explain_error(s), true);
}

/* before_exec is not for this child: it carries no op, and a successor need not wait for it. */
static int sink_cli_ask(struct sink_cli *s)
{
	return err_pass(runtime_cli_start(s->runtime, &(struct runtime_cli_call){
							      .verb = RUNTIME_CLI_LIST_IFACES,
							      .done = sink_cli_on_list,
							      .userdata = s,
						      }));
}

/* ---- the sink ---- */

static bool sink_cli_can(const struct sink_call *call)
{
	return call->op->verb == PLAN_LINK_ADD || call->op->verb == PLAN_LINK_DEL ||
	       call->op->verb == PLAN_ROUTES_SET;
}

static int sink_cli_begin(struct sink *sink, const struct sink_call *call)
{
	struct sink_cli *s = sink_cli_of(sink);
	int r;

	if (!sink_cli_can(call))
		return err_raise(-EOPNOTSUPP, "%s by the runtime's command line",
				 plan_verb_to_string(call->op->verb));
	if (!s->runtime)
		return err_raise(-ESHUTDOWN, "call the runtime");
	if (s->call.op)
		return err_raise(-EBUSY, "call the runtime");
	s->call = *call;
	s->begun_usec = clock_now_usec();
	s->list_answered = false;
	r = call->maybe_done && call->op->verb == PLAN_LINK_ADD ? sink_cli_ask(s)
								: sink_cli_send(s);
	if (r < 0)
		s->call = (struct sink_call){ 0 };
	return err_pass(r);
}

static void sink_cli_stop(struct sink *sink, bool sandbox_gone)
{
	struct sink_cli *s = sink_cli_of(sink);

	if (sandbox_gone)
		s->runtime = runtime_cli_free(s->runtime);
	else if (s->runtime)
		runtime_cli_abandon(s->runtime);
	exchange_remove(&s->exchange);
	s->call = (struct sink_call){ 0 };
}

static struct sink *sink_cli_free(struct sink *sink)
{
	struct sink_cli *s = sink_cli_of(sink);

	if (!s)
		return NULL;
	s->runtime = runtime_cli_free(s->runtime);
	exchange_done(&s->exchange);
	text_done(&s->reason);
	free(s);
	return NULL;
}

const struct sink_ops sink_cli_ops = {
	.name = "cli",
	.caps = {
		.routes_whole = true,
		.cold_plugged = true,
		.settles = true,
	},
	.begin = sink_cli_begin,
	.stop = sink_cli_stop,
	.free = sink_cli_free,
};

int sink_cli_new(struct sink **ret, sd_event *event, const struct sink_cli_config *config)
{
	struct runtime_cli_config runtime = {
		.runtime = config->runtime,
		.sandbox_id = config->sandbox_id,
		.timeout_usec = config->timeout_usec != 0
					? config->timeout_usec
					: RUNTIME_CLI_TIMEOUT_SEC * CLOCK_USEC_PER_SEC,
	};
	struct sink_cli *s = malloc(sizeof(*s));
	int r;

	if (!s)
		return err_raise(-ENOMEM, "make the cli sink");
	*s = (struct sink_cli){
		.sink.ops = &sink_cli_ops,
		.exchange = EXCHANGE_NULL,
		.dialect = config->dialect,
		.timeout_usec = runtime.timeout_usec,
		.reason.limit_bytes = SINK_CLI_REASON_MAX,
	};
	r = exchange_init(&s->exchange, config->dirfd, config->dir_path);
	if (r == 0)
		r = runtime_cli_new(&s->runtime, event, &runtime);
	if (r < 0) {
		sink_cli_free(&s->sink);
		return err_pass(r);
	}
	*ret = &s->sink;
	return 0;
}
