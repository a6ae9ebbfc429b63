/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `kata-network`, see kata-network.h.
 *
 * How it works. A command is a run: the sandbox's agent is looked for, then the document is read and
 * converted, then the agent is asked how it treats a list (its generation), then told. What it
 * prints when is as in the original: see kata_network_end(). A step returns 0, a condition (> 0) that has been
 * said on stderr, or an error of ours.
 */
#include "runtime-bridge/ctl/kata-network.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/text.h"
#include "runtime-bridge/ctl/call.h"
#include "runtime-bridge/ctl/ctl-options.h"
#include "runtime-bridge/ctl/kata-json.h"
#include "runtime-bridge/ctl/say.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KATA_NETWORK_FAILED 1 /* exit status, and condition: it is said */

/* Between two tries at a NIC that is on its way; doubling. */
#define KATA_NETWORK_RETRY_FIRST_USEC (20 * CLOCK_USEC_PER_MSEC)
#define KATA_NETWORK_RETRY_MAX_USEC   (500 * CLOCK_USEC_PER_MSEC)

struct kata_network {
	const struct ctl_options *o;
	struct call *call;
	struct agent_network wanted;   /* the document */
	char why[KATA_JSON_WHY_BYTES]; /* it is refused, or its interface has no MAC */
	struct agent_details details;
	enum agent_generation generation;
};

static void kata_network_done(struct kata_network *k)
{
	call_free(k->call);
	agent_network_done(&k->wanted);
}

/* ---- words ---- */

/* One line on stderr. Return: KATA_NETWORK_FAILED. */
#define kata_network_say(...) (say_line(__VA_ARGS__), KATA_NETWORK_FAILED)

/* "permission denied" as Go's gRPC prints it: "PermissionDenied" */
static void kata_network_code(enum ttrpc_code code, char *ret, size_t size)
{
	const char *s = ttrpc_code_to_string(code);
	bool is_start = true;
	size_t n = 0;

	for (; *s != '\0' && n + 1 < size; s++) {
		int c = is_start ? toupper((unsigned char)*s) : *s;

		is_start = !isalpha(c);
		if (!is_start)
			ret[n++] = (char)c;
	}
	ret[n] = '\0';
}

/* What a condition of call.h is called. */
static int kata_network_explain(const struct kata_network *k, int condition, struct text *to)
{
	const char *why = call_why(k->call);
	char code[32];

	if (condition == CALL_UNREACHABLE)
		return err_pass(text_appendf(to, "the agent %s can't be reached: %s",
					     k->o->agent ? k->o->agent : k->o->target, why));
	if (condition == CALL_NO_ANSWER)
		return err_pass(text_appendf(to, "the agent gave no answer: %s", why));
	kata_network_code(call_code(k->call), code, sizeof(code));
	return err_pass(text_appendf(to, "rpc error: code = %s desc = %s", code, why));
}

static int kata_network_say_call(const struct kata_network *k, int condition)
{
	CLEANUP(text_done) struct text line = TEXT_NULL;
	int r = kata_network_explain(k, condition, &line);

	return r < 0 ? err_pass(r) : kata_network_say("%s", line.data);
}

/* ---- stdout ---- */

static int kata_network_flush(struct io_writer *w)
{
	int r;

	io_writer_put(w, "\n", 1);
	r = io_writer_flush(w);
	io_writer_done(w);
	return err_pass(r);
}

static int kata_network_print_null(void)
{
	struct io_writer w = IO_WRITER_ON(STDOUT_FILENO);

	io_writer_put(&w, "null", 4);
	return kata_network_flush(&w);
}

static int kata_network_print(const struct agent_network *n,
			      void (*write)(struct json_writer *j, const struct agent_network *n))
{
	struct io_writer w = IO_WRITER_ON(STDOUT_FILENO);
	struct json_writer j = json_writer_on_io(&w);

	write(&j, n);
	return kata_network_flush(&w);
}

/* ---- the document ---- */

/* In Go's words: "open /x: no such file or directory" */
static int kata_network_say_file(const char *what, const char *file, int error)
{
	const char *reason = strerrordesc_np(error);

	if (!reason || *reason == '\0')
		return kata_network_say("%s %s: errno %d", what, file, error);
	return kata_network_say("%s %s: %c%s", what, file, tolower((unsigned char)reason[0]),
				reason + 1);
}

/* Return: 0; KATA_NETWORK_FAILED: said; negative */
static int kata_network_read(const char *file, char **ret, size_t *ret_size)
{
	bool is_stdin = strcmp(file, "-") == 0;
	CLEANUP(cleanup_close) int opened = is_stdin ? -1 : open(file, O_RDONLY | O_CLOEXEC);
	int r;

	if (!is_stdin && opened < 0)
		return kata_network_say_file("open", file, errno);
	r = io_read_all(is_stdin ? STDIN_FILENO : opened, KATA_JSON_INPUT_MAX, ret, ret_size);
	if (r >= 0 || r == -ENOMEM)
		return err_pass(r);
	err_clear();
	if (r == -EFBIG)
		return kata_network_say("%s: more than %u bytes", file, KATA_JSON_INPUT_MAX);
	return kata_network_say_file("read", is_stdin ? "/dev/stdin" : file, -r);
}

typedef int kata_network_reader(const char *json, size_t size, struct agent_network *ret,
				char why[KATA_JSON_WHY_BYTES]);

/* Return: 0; KATA_NETWORK_FAILED: said; KATA_NETWORK_NOTHING: null; negative */
enum { KATA_NETWORK_NOTHING = 2 };

static int kata_network_load(struct kata_network *k, kata_network_reader *reader)
{
	CLEANUP(cleanup_free) char *json = NULL;
	size_t size = 0;
	int r = kata_network_read(k->o->file ? k->o->file : "", &json, &size);

	if (r != 0)
		return r < 0 ? err_pass(r) : r;
	r = reader(json, size, &k->wanted, k->why);
	if (r == KATA_JSON_BAD)
		return kata_network_say("%s", k->why);
	return r == KATA_JSON_NULL ? KATA_NETWORK_NOTHING : err_pass(r);
}

/* ---- the agent ---- */

/* As kata-runtime: is there such a sandbox? It looks before it reads a document. */
static int kata_network_find(struct kata_network *k)
{
	int r = call_find(k->call);

	return r > 0 ? kata_network_say("Container ID (%s) does not exist: %s", k->o->target,
					call_why(k->call))
		     : err_pass(r);
}

/* Return: 0; KATA_NETWORK_FAILED: said; negative */
static int kata_network_init(struct kata_network *k, const struct ctl_options *o)
{
	const char *target = o->agent ? o->agent : o->target;
	int r;

	*k = (struct kata_network){ .o = o };
	if (!o->target || *o->target == '\0')
		return kata_network_say("Missing container ID");
	if (!o->agent && !text_is_sandbox_id(o->target))
		return kata_network_say("Container ID (%s) does not exist", o->target);
	r = call_new(&k->call, target, o->timeout_sec * CLOCK_USEC_PER_SEC);
	return r < 0 ? err_pass(r) : kata_network_find(k);
}

/* A call whose failure is final. Return: 0; KATA_NETWORK_FAILED: said; negative */
static int kata_network_call(struct kata_network *k, enum agent_verb verb,
			     struct ttrpc_bytes payload, struct ttrpc_bytes *ret)
{
	int r = call_do(k->call, verb, payload, ret);

	return r > 0 ? kata_network_say_call(k, r) : err_pass(r);
}

static int kata_network_bad_answer(struct kata_network *k, int r)
{
	r = call_bad_answer(k->call, r);
	return r > 0 ? kata_network_say_call(k, r) : err_pass(r);
}

/* A call whose answer is a part of the network. */
static int kata_network_ask(struct kata_network *k, enum agent_verb verb,
			    struct ttrpc_bytes payload, struct agent_network *ret)
{
	struct ttrpc_bytes answer;
	int r = kata_network_call(k, verb, payload, &answer);

	if (r != 0)
		return r;
	r = agent_decode_answer(verb, answer, ret);
	return r < 0 ? kata_network_bad_answer(k, r) : 0;
}

/* What does not say its version either is, by agent.h, of the oldest generation. */
static int kata_network_meet_by_version(struct kata_network *k)
{
	struct ttrpc_bytes answer;
	int r = call_do(k->call, AGENT_VERSION, (struct ttrpc_bytes){ 0 }, &answer);

	if (r == 0 && agent_decode_version(answer, k->details.version) < 0)
		err_clear();
	if (r != 0 && r != CALL_REFUSED && r != CALL_CANNOT)
		return r > 0 ? kata_network_say_call(k, r) : err_pass(r);
	k->generation = agent_generation_of(&k->details);
	return 0;
}

/* Which generation it is. A policy may deny GetGuestDetails; netmon asks likewise then. */
static int kata_network_meet(struct kata_network *k)
{
	struct ttrpc_bytes answer;
	int r = call_do(k->call, AGENT_DETAILS, (struct ttrpc_bytes){ 0 }, &answer);

	if (r == CALL_REFUSED || r == CALL_CANNOT)
		return kata_network_meet_by_version(k);
	if (r != 0)
		return r > 0 ? kata_network_say_call(k, r) : err_pass(r);
	r = agent_decode_details(answer, &k->details);
	if (r < 0)
		return kata_network_bad_answer(k, r);
	k->generation = agent_generation_of(&k->details);
	return 0;
}

/* ---- interfaces ---- */

/* Words of Kata's agents of all generations, and of ours. */
static bool kata_network_has_no_link(const struct call *c)
{
	return call_code(c) == TTRPC_NOT_FOUND || strstr(call_why(c), "Link not found");
}

/* May it come right by waiting? Who has said "no link" once may restart in the meantime. */
static bool kata_network_may_come(const struct call *c, int condition, bool is_waiting)
{
	if (condition == CALL_REFUSED)
		return kata_network_has_no_link(c);
	return is_waiting && (condition == CALL_UNREACHABLE || condition == CALL_NO_ANSWER);
}

/*
 * What the last try came to that had its time: how a wait for a NIC ends must not depend on whether
 * the time was up in a call or between two.
 */
static int kata_network_remember(const struct kata_network *k, int condition, struct text *last)
{
	if (last->size > 0 && call_is_over(k->call))
		return 0;
	text_reset(last);
	return err_pass(kata_network_explain(k, condition, last));
}

/*
 * The NIC may be on its way: a hot-plug takes the guest a moment. Kata's runtime asks up to twenty
 * times for the same reason (virtcontainers/kata_agent.go, updateInterface).
 */
static int kata_network_update(struct kata_network *k, struct ttrpc_bytes payload)
{
	uint64_t until = clock_now_usec() + k->o->wait_sec * CLOCK_USEC_PER_SEC;
	uint64_t pause = KATA_NETWORK_RETRY_FIRST_USEC, now;
	CLEANUP(text_done) struct text last = TEXT_NULL;
	struct ttrpc_bytes answer;
	bool may_come;
	int r;

	for (;;) {
		r = call_do(k->call, AGENT_UPDATE_INTERFACE, payload, &answer);
		if (r <= 0)
			return err_pass(r);
		may_come = kata_network_may_come(k->call, r, last.size > 0);
		r = kata_network_remember(k, r, &last);
		now = clock_now_usec();
		if (r < 0 || !may_come || now >= until || call_is_over(k->call))
			break;
		r = call_pause(k->call, pause < until - now ? pause : until - now);
		if (r != 0)
			break;
		pause = pause * 2 < KATA_NETWORK_RETRY_MAX_USEC ? pause * 2
								: KATA_NETWORK_RETRY_MAX_USEC;
	}
	return r < 0 ? err_pass(r) : kata_network_say("%s", last.data);
}

/*
 * As kata-runtime: who has come as far as to the agent prints a result, null for none, whatever
 * came of it. Source: kata-containers/runtime cli/network.go, networkModifyCommand(),
 * networkListCommand().
 */
static int kata_network_end(int r)
{
	int printed = kata_network_print_null();

	return r != 0 ? r : err_pass(printed);
}

static int kata_network_do_add(struct kata_network *k)
{
	CLEANUP(call_payload_done) struct ttrpc_bytes payload = { 0 };
	int r;

	if (!k->wanted.interfaces[0].has_mac)
		return kata_network_say("%s", k->why);
	r = agent_encode_interface(AGENT_UPDATE_INTERFACE, &k->wanted.interfaces[0], &payload);
	if (r < 0)
		return err_pass(r);
	return kata_network_update(k, payload);
}

int kata_network_add(const struct ctl_options *o)
{
	CLEANUP(kata_network_done) struct kata_network k;
	int r = kata_network_init(&k, o);

	if (r == 0)
		r = kata_network_load(&k, kata_json_read_interface);
	return r == 0 ? kata_network_end(kata_network_do_add(&k)) : r;
}

static bool kata_network_lists_mac(const struct agent_network *n, const uint8_t mac[6])
{
	for (size_t i = 0; i < n->n_interfaces; i++) {
		if (n->interfaces[i].has_mac && memcmp(n->interfaces[i].mac, mac, 6) == 0)
			return true;
	}
	return false;
}

/*
 * No call of Kata's agents takes an interface back; 1.x never told the agent either. A policy may
 * forbid to list: then nobody knows whether there is something to be said.
 */
static int kata_network_leave(struct kata_network *k)
{
	const struct agent_interface *i = &k->wanted.interfaces[0];
	CLEANUP(agent_network_done) struct agent_network listed = { 0 };
	struct ttrpc_bytes answer;
	int r = call_do(k->call, AGENT_LIST_INTERFACES, (struct ttrpc_bytes){ 0 }, &answer);
	bool is_silent = r == CALL_REFUSED || r == CALL_CANNOT;

	if (r != 0 && !is_silent)
		return r > 0 ? kata_network_say_call(k, r) : err_pass(r);
	if (r == 0)
		r = agent_decode_answer(AGENT_LIST_INTERFACES, answer, &listed);
	if (r < 0)
		return kata_network_bad_answer(k, r);
	if (is_silent || kata_network_lists_mac(&listed, i->mac))
		(void)kata_network_say("warning: interface '%s' stays in the guest: its agent %s "
				       "(%s) has no call to take it back",
				       i->name, k->details.version,
				       agent_generation_to_string(k->generation));
	return 0;
}

static int kata_network_withdraw(struct kata_network *k)
{
	CLEANUP(call_payload_done) struct ttrpc_bytes payload = { 0 };
	struct ttrpc_bytes answer;
	int r = agent_encode_interface(AGENT_REMOVE_INTERFACE, &k->wanted.interfaces[0], &payload);

	if (r < 0)
		return err_pass(r);
	r = call_do(k->call, AGENT_REMOVE_INTERFACE, payload, &answer);
	if (r == CALL_REFUSED && kata_network_has_no_link(k->call))
		return 0;
	return r > 0 ? kata_network_say_call(k, r) : err_pass(r);
}

/* What has no MAC, or nonsense for one, was never added: success, as with every unknown one. */
static int kata_network_do_del(struct kata_network *k)
{
	int r = kata_network_meet(k);

	if (r != 0 || !k->wanted.interfaces[0].has_mac)
		return r;
	return k->generation == AGENT_DELTA_V1 ? kata_network_withdraw(k) : kata_network_leave(k);
}

int kata_network_del(const struct ctl_options *o)
{
	CLEANUP(kata_network_done) struct kata_network k;
	int r = kata_network_init(&k, o);

	if (r == 0)
		r = kata_network_load(&k, kata_json_read_interface);
	return r == 0 ? kata_network_end(kata_network_do_del(&k)) : r;
}

/* ---- routes ---- */

static int kata_network_compare_ip(const struct agent_ip *a, const struct agent_ip *b)
{
	return a->family != b->family ? a->family - b->family
				      : memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

/* What makes a route another one. A source or a scope that differs was replaced in place. */
static int kata_network_compare_routes(const void *x, const void *y)
{
	const struct agent_route *a = x, *b = y;
	int order = a->family - b->family;

	if (order == 0)
		order = kata_network_compare_ip(&a->dest, &b->dest);
	if (order == 0)
		order = a->dest.prefixlen - b->dest.prefixlen;
	if (order == 0)
		order = kata_network_compare_ip(&a->gateway, &b->gateway);
	return order != 0 ? order : strcmp(a->device, b->device);
}

/* Moves the unwanted ones to the end, and sorts @wanted. Return: how many are wanted. */
static size_t kata_network_split(struct agent_network *listed, struct agent_network *wanted)
{
	size_t kept = 0;

	if (wanted->n_routes == 0)
		return 0;
	qsort(wanted->routes, wanted->n_routes, sizeof(wanted->routes[0]),
	      kata_network_compare_routes);
	for (size_t i = 0; i < listed->n_routes; i++) {
		struct agent_route route = listed->routes[i];

		if (!bsearch(&route, wanted->routes, wanted->n_routes, sizeof(route),
			     kata_network_compare_routes))
			continue;
		listed->routes[i] = listed->routes[kept];
		listed->routes[kept++] = route;
	}
	return kept;
}

static int kata_network_send_routes(struct kata_network *k, enum agent_verb verb,
				    const struct agent_route *routes, size_t n,
				    struct agent_network *ret)
{
	enum agent_source source =
		k->generation == AGENT_DELTA_V1 ? AGENT_SOURCE_PLAIN : AGENT_SOURCE_ZERO;
	CLEANUP(call_payload_done) struct ttrpc_bytes payload = { 0 };
	struct ttrpc_bytes answer;
	int r = agent_encode_routes(verb, routes, n, source, &payload);

	if (r == -EMSGSIZE) {
		err_clear();
		return kata_network_say("%zu routes are more than one call takes", n);
	}
	if (r < 0)
		return err_pass(r);
	if (ret)
		return kata_network_ask(k, verb, payload, ret);
	return kata_network_call(k, verb, payload, &answer);
}

/*
 * The list is the whole truth for whoever calls us. Ours adds what it is told and lists what it
 * owns: so what it has beyond the list is taken back, after the new ones have replaced what they
 * replace.
 */
static int kata_network_prune_routes(struct kata_network *k, struct agent_network *result)
{
	CLEANUP(agent_network_done) struct agent_network owned = { 0 };
	size_t kept;
	int r = kata_network_ask(k, AGENT_LIST_NETWORK, (struct ttrpc_bytes){ 0 }, &owned);

	if (r != 0)
		return r;
	kept = kata_network_split(&owned, &k->wanted);
	if (kept < owned.n_routes)
		r = kata_network_send_routes(k, AGENT_REMOVE_ROUTES, owned.routes + kept,
					     owned.n_routes - kept, NULL);
	if (r != 0)
		return r;
	owned.n_routes = kept;
	agent_network_done(result);
	*result = owned;
	owned = (struct agent_network){ 0 };
	return 0;
}

static int kata_network_do_routes(struct kata_network *k, struct agent_network *result)
{
	int r = kata_network_meet(k);

	if (r == 0)
		r = kata_network_send_routes(k, AGENT_UPDATE_ROUTES, k->wanted.routes,
					     k->wanted.n_routes, result);
	if (r != 0)
		return r;
	if (k->generation == AGENT_ADDITIVE)
		(void)kata_network_say("warning: routes that the guest has beyond this list stay: "
				       "its agent %s (additive) has no call to take them back",
				       k->details.version);
	return k->generation == AGENT_DELTA_V1 ? kata_network_prune_routes(k, result) : 0;
}

int kata_network_update_routes(const struct ctl_options *o)
{
	CLEANUP(kata_network_done) struct kata_network k;
	CLEANUP(agent_network_done) struct agent_network result = { 0 };
	int r = kata_network_init(&k, o);

	if (r == 0)
		r = kata_network_load(&k, kata_json_read_routes);
	if (r == KATA_NETWORK_NOTHING)
		return kata_network_end(0);
	if (r != 0)
		return r;
	r = kata_network_do_routes(&k, &result);
	return r == 0 ? kata_network_print(&result, kata_json_write_routes) : kata_network_end(r);
}

/* ---- lists ---- */

static int kata_network_list(const struct ctl_options *o, enum agent_verb verb,
			     void (*write)(struct json_writer *j, const struct agent_network *n))
{
	CLEANUP(kata_network_done) struct kata_network k;
	CLEANUP(agent_network_done) struct agent_network listed = { 0 };
	int r = kata_network_init(&k, o);

	if (r != 0)
		return r < 0 ? err_pass(r) : r;
	r = kata_network_ask(&k, verb, (struct ttrpc_bytes){ 0 }, &listed);
	if (r != 0)
		return kata_network_end(r);
	if (listed.unusable > 0)
		(void)kata_network_say("%zu entries of the answer make no sense", listed.unusable);
	return kata_network_print(&listed, write);
}

int kata_network_list_ifaces(const struct ctl_options *o)
{
	return kata_network_list(o, AGENT_LIST_INTERFACES, kata_json_write_interfaces);
}

int kata_network_list_routes(const struct ctl_options *o)
{
	return kata_network_list(o, AGENT_LIST_ROUTES, kata_json_write_routes);
}
