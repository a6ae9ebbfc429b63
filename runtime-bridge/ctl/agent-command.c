/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `agent URL|ID VERB`, see agent-command.h.
 *
 * How it works. A command is a call, a decoder, and two printers: one fills a table, one writes
 * JSON. What is printed is made whole before the first byte of it goes out.
 */
#include "runtime-bridge/ctl/agent-command.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/ip.h"
#include "base/json-writer.h"
#include "base/text.h"
#include "runtime-bridge/ctl/call.h"
#include "runtime-bridge/ctl/ctl-options.h"
#include "runtime-bridge/ctl/say.h"
#include "runtime-bridge/ctl/table.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- saying no ---- */

static const char *agent_command_what(int condition)
{
	switch (condition) {
	case CALL_UNREACHABLE:
		return "the agent can't be reached";
	case CALL_NO_ANSWER:
		return "no answer";
	case CALL_CANNOT:
		return "this agent can't tell";
	default:
		return "the agent refused";
	}
}

/* One line on stderr. Return: @condition. */
static int agent_command_say(const struct call *c, int condition)
{
	bool has_code = condition == CALL_REFUSED || condition == CALL_CANNOT;
	const char *code = has_code ? ttrpc_code_to_string(call_code(c)) : "";

	say_line("netmonctl: %s%s%s: %s", agent_command_what(condition), has_code ? ": " : "", code,
		 call_why(c));
	return condition;
}

/* ---- calls ---- */

/* Return: 0; a condition that was said; CTL_OPTIONS_STATUS_USAGE; negative */
static int agent_command_call(struct call **c, const struct ctl_options *o, enum agent_verb verb,
			      struct ttrpc_bytes payload, struct ttrpc_bytes *ret)
{
	int r = *c ? 0 : call_new(c, o->target, o->timeout_sec * CLOCK_USEC_PER_SEC);

	if (r == -EINVAL) {
		say_line("netmonctl: %s", err_sentence()); /* a target that is none */
		err_clear();
		return CTL_OPTIONS_STATUS_USAGE;
	}
	if (r == 0)
		r = call_do(*c, verb, payload, ret);
	return r > 0 ? agent_command_say(*c, r) : err_pass(r);
}

/* What a decoder returned. Return: 0; CALL_NO_ANSWER: said; negative */
static int agent_command_decoded(struct call *c, int r)
{
	if (r >= 0)
		return 0;
	r = call_bad_answer(c, r);
	return r > 0 ? agent_command_say(c, r) : err_pass(r);
}

static int agent_command_network(struct call **c, const struct ctl_options *o, enum agent_verb verb,
				 struct agent_network *ret)
{
	struct ttrpc_bytes answer;
	int r = agent_command_call(c, o, verb, (struct ttrpc_bytes){ 0 }, &answer);

	if (r == 0)
		r = agent_command_decoded(*c, agent_decode_answer(verb, answer, ret));
	if (r == 0 && ret->unusable > 0)
		say_line("netmonctl: %zu entries of the answer make no sense", ret->unusable);
	return r;
}

static int agent_command_meet(struct call **c, const struct ctl_options *o,
			      struct agent_details *ret)
{
	struct ttrpc_bytes answer;
	int r = agent_command_call(c, o, AGENT_DETAILS, (struct ttrpc_bytes){ 0 }, &answer);

	return r == 0 ? agent_command_decoded(*c, agent_decode_details(answer, ret)) : r;
}

/* ---- stdout ---- */

static int agent_command_flush(const struct text *t)
{
	if (t->error < 0)
		return err_raise(t->error, "print the answer");
	return err_pass(t->size > 0 ? io_write_all(STDOUT_FILENO, t->data, t->size) : 0);
}

static int agent_command_flush_json(struct text *t)
{
	(void)text_append(t, "\n", 1);
	return agent_command_flush(t);
}

static int agent_command_flush_table(const struct table *t)
{
	CLEANUP(text_done) struct text out = TEXT_NULL;
	int r = table_print(t, &out);

	return r < 0 ? err_pass(r) : agent_command_flush(&out);
}

/* ---- ping ---- */

static int agent_command_print_ping(const struct ctl_options *o, bool is_serving, uint64_t usec)
{
	CLEANUP(text_done) struct text out = TEXT_NULL;
	struct json_writer j = json_writer_on_text(&out);

	if (!o->json) {
		(void)text_appendf(&out, "%s in %" PRIu64 ".%03" PRIu64 " ms\n",
				   is_serving ? "serving" : "not serving",
				   usec / CLOCK_USEC_PER_MSEC, usec % CLOCK_USEC_PER_MSEC);
		return agent_command_flush(&out);
	}
	json_writer_object_begin(&j, NULL);
	json_writer_bool(&j, "serving", is_serving);
	json_writer_u64(&j, "usec", usec);
	json_writer_object_end(&j);
	return agent_command_flush_json(&out);
}

/* The second call is measured: the first one finds the agent and connects. */
int agent_command_ping(const struct ctl_options *o)
{
	CLEANUP(call_freep) struct call *c = NULL;
	struct ttrpc_bytes answer;
	bool is_serving;
	uint64_t begun;
	int r = agent_command_call(&c, o, AGENT_CHECK, (struct ttrpc_bytes){ 0 }, &answer);

	begun = clock_now_usec();
	if (r == 0)
		r = agent_command_call(&c, o, AGENT_CHECK, (struct ttrpc_bytes){ 0 }, &answer);
	if (r == 0)
		r = agent_command_decoded(c, agent_decode_check(answer, &is_serving));
	if (r != 0)
		return r;
	r = agent_command_print_ping(o, is_serving, clock_now_usec() - begun);
	return r < 0 || is_serving ? r : CALL_REFUSED;
}

/* ---- version, details ---- */

int agent_command_version(const struct ctl_options *o)
{
	CLEANUP(call_freep) struct call *c = NULL;
	CLEANUP(text_done) struct text out = TEXT_NULL;
	struct json_writer j = json_writer_on_text(&out);
	char version[AGENT_WORD_BYTES];
	struct ttrpc_bytes answer;
	int r = agent_command_call(&c, o, AGENT_VERSION, (struct ttrpc_bytes){ 0 }, &answer);

	if (r == 0)
		r = agent_command_decoded(c, agent_decode_version(answer, version));
	if (r != 0)
		return r;
	if (!o->json) {
		(void)table_escape(&out, version);
		return agent_command_flush_json(&out);
	}
	json_writer_object_begin(&j, NULL);
	json_writer_string(&j, "version", version);
	json_writer_object_end(&j);
	return agent_command_flush_json(&out);
}

static int agent_command_print_details(const struct agent_details *d)
{
	static const char *const headers[] = { "WHAT", "VALUE" };
	CLEANUP(table_done) struct table t;

	table_init(&t, headers, 2);
	table_cell(&t, "version");
	table_cell(&t, d->version);
	table_cell(&t, "generation");
	table_cell(&t, agent_generation_to_string(agent_generation_of(d)));
	table_cell(&t, "init");
	table_cell(&t, d->init_daemon ? "yes" : "no");
	for (size_t i = 0; i < d->n_features; i++) {
		table_cell(&t, "feature");
		table_cell(&t, d->features[i]);
	}
	return agent_command_flush_table(&t);
}

static int agent_command_json_details(const struct agent_details *d)
{
	CLEANUP(text_done) struct text out = TEXT_NULL;
	struct json_writer j = json_writer_on_text(&out);

	json_writer_object_begin(&j, NULL);
	json_writer_string(&j, "version", d->version);
	json_writer_string(&j, "generation", agent_generation_to_string(agent_generation_of(d)));
	json_writer_bool(&j, "init_daemon", d->init_daemon);
	json_writer_array_begin(&j, "features");
	for (size_t i = 0; i < d->n_features; i++)
		json_writer_string(&j, NULL, d->features[i]);
	json_writer_array_end(&j);
	json_writer_object_end(&j);
	return agent_command_flush_json(&out);
}

int agent_command_details(const struct ctl_options *o)
{
	CLEANUP(call_freep) struct call *c = NULL;
	struct agent_details details = { 0 };
	int r = agent_command_meet(&c, o, &details);

	if (r != 0)
		return r;
	return o->json ? agent_command_json_details(&details)
		       : agent_command_print_details(&details);
}

/* ---- interfaces ---- */

/* "10.0.0.1/24,2001:db8::1/64" */
static void agent_command_addresses(struct table *t, const struct agent_interface *i)
{
	CLEANUP(text_done) struct text list = TEXT_NULL;
	char cidr[IP_PREFIX_TEXT_BYTES];

	for (size_t n = 0; n < i->n_ips; n++) {
		ip_format_prefix(i->ips[n].family, i->ips[n].bytes, i->ips[n].prefixlen, cidr);
		(void)text_appendf(&list, "%s%s", n > 0 ? "," : "", cidr);
	}
	if (list.error < 0)
		t->cells.error = list.error;
	table_cell(t, list.data ? list.data : "");
}

static int agent_command_print_interfaces(const struct agent_network *n)
{
	static const char *const headers[] = { "NAME", "MAC", "MTU", "FLAGS", "ADDRESSES" };
	CLEANUP(table_done) struct table t;

	table_init(&t, headers, 5);
	for (size_t i = 0; i < n->n_interfaces; i++) {
		const struct agent_interface *interface = &n->interfaces[i];
		char mac[IP_MAC_TEXT_BYTES] = "";

		if (interface->has_mac)
			ip_format_mac(interface->mac, mac);
		table_cell(&t, interface->name);
		table_cell(&t, mac);
		table_cellf(&t, "%" PRIu64, interface->mtu);
		table_cellf(&t, "0x%" PRIx32, interface->raw_flags);
		agent_command_addresses(&t, interface);
	}
	return agent_command_flush_table(&t);
}

static void agent_command_json_interface(struct json_writer *j, const struct agent_interface *i)
{
	char mac[IP_MAC_TEXT_BYTES] = "", cidr[IP_PREFIX_TEXT_BYTES];

	if (i->has_mac)
		ip_format_mac(i->mac, mac);
	json_writer_object_begin(j, NULL);
	json_writer_string(j, "name", i->name);
	json_writer_string(j, "mac", mac);
	json_writer_u64(j, "mtu", i->mtu);
	json_writer_u64(j, "flags", i->raw_flags);
	json_writer_string(j, "type", i->type);
	json_writer_array_begin(j, "addresses");
	for (size_t n = 0; n < i->n_ips; n++) {
		ip_format_prefix(i->ips[n].family, i->ips[n].bytes, i->ips[n].prefixlen, cidr);
		json_writer_string(j, NULL, cidr);
	}
	json_writer_array_end(j);
	json_writer_object_end(j);
}

static int agent_command_json_interfaces(const struct agent_network *n)
{
	CLEANUP(text_done) struct text out = TEXT_NULL;
	struct json_writer j = json_writer_on_text(&out);

	json_writer_array_begin(&j, NULL);
	for (size_t i = 0; i < n->n_interfaces; i++)
		agent_command_json_interface(&j, &n->interfaces[i]);
	json_writer_array_end(&j);
	return agent_command_flush_json(&out);
}

int agent_command_interfaces(const struct ctl_options *o)
{
	CLEANUP(call_freep) struct call *c = NULL;
	CLEANUP(agent_network_done) struct agent_network n = { 0 };
	int r = agent_command_network(&c, o, AGENT_LIST_INTERFACES, &n);

	if (r != 0)
		return r;
	return o->json ? agent_command_json_interfaces(&n) : agent_command_print_interfaces(&n);
}

/* ---- routes ---- */

/* What Kata's agents say instead of the destination of a route with a gateway. */
static bool agent_command_is_lost(const struct agent_route *r)
{
	static const uint8_t any[4] = { 0 };

	if (r->gateway.family == 0)
		return false;
	if (r->dest.family == AF_INET)
		return r->dest.prefixlen == 32 && memcmp(r->dest.bytes, any, sizeof(any)) == 0;
	return r->dest.family == AF_INET6 && r->dest.prefixlen == 128 &&
	       memcmp(r->dest.bytes, &in6addr_loopback, sizeof(r->dest.bytes)) == 0;
}

/* "default" and "?" beside CIDRs */
static void agent_command_format_dest(const struct agent_route *r, char ret[IP_PREFIX_TEXT_BYTES])
{
	if (r->dest.family == 0)
		(void)snprintf(ret, IP_PREFIX_TEXT_BYTES, "default");
	else if (agent_command_is_lost(r))
		(void)snprintf(ret, IP_PREFIX_TEXT_BYTES, "?");
	else
		ip_format_prefix(r->dest.family, r->dest.bytes, r->dest.prefixlen, ret);
}

static void agent_command_scope(struct table *t, uint32_t scope)
{
	if (scope == RT_SCOPE_UNIVERSE)
		table_cell(t, "global");
	else if (scope == RT_SCOPE_LINK)
		table_cell(t, "link");
	else if (scope == RT_SCOPE_HOST)
		table_cell(t, "host");
	else
		table_cellf(t, "%" PRIu32, scope);
}

static int agent_command_print_routes(const struct agent_network *n)
{
	static const char *const headers[] = { "DESTINATION", "GATEWAY", "DEVICE", "SOURCE",
					       "SCOPE",	      "MTU",	 "FLAGS" };
	char dest[IP_PREFIX_TEXT_BYTES], ip[IP_TEXT_BYTES];
	CLEANUP(table_done) struct table t;

	table_init(&t, headers, 7);
	for (size_t i = 0; i < n->n_routes; i++) {
		const struct agent_route *r = &n->routes[i];

		agent_command_format_dest(r, dest);
		table_cell(&t, dest);
		ip_format(r->gateway.family, r->gateway.bytes, ip);
		table_cell(&t, ip);
		table_cell(&t, r->device);
		ip_format(r->source.family, r->source.bytes, ip);
		table_cell(&t, ip);
		agent_command_scope(&t, r->scope);
		if (r->mtu > 0)
			table_cellf(&t, "%" PRIu32, r->mtu);
		else
			table_cell(&t, "");
		table_cell(&t, (r->flags & RTNH_F_ONLINK) != 0 ? "onlink" : "");
	}
	return agent_command_flush_table(&t);
}

/* null where there is none */
static void agent_command_json_ip(struct json_writer *j, const char *key, const struct agent_ip *ip)
{
	char text[IP_TEXT_BYTES];

	ip_format(ip->family, ip->bytes, text);
	if (text[0] == '\0')
		json_writer_null(j, key);
	else
		json_writer_string(j, key, text);
}

static void agent_command_json_route(struct json_writer *j, const struct agent_route *r)
{
	char dest[IP_PREFIX_TEXT_BYTES];

	json_writer_object_begin(j, NULL);
	agent_command_format_dest(r, dest);
	if (agent_command_is_lost(r))
		json_writer_null(j, "destination");
	else
		json_writer_string(j, "destination", dest);
	json_writer_u64(j, "family", r->family == AF_INET6 ? 6 : 4);
	agent_command_json_ip(j, "gateway", &r->gateway);
	json_writer_string(j, "device", r->device);
	agent_command_json_ip(j, "source", &r->source);
	json_writer_u64(j, "scope", r->scope);
	json_writer_u64(j, "mtu", r->mtu);
	json_writer_bool(j, "onlink", (r->flags & RTNH_F_ONLINK) != 0);
	json_writer_object_end(j);
}

static int agent_command_json_routes(const struct agent_network *n)
{
	CLEANUP(text_done) struct text out = TEXT_NULL;
	struct json_writer j = json_writer_on_text(&out);

	json_writer_array_begin(&j, NULL);
	for (size_t i = 0; i < n->n_routes; i++)
		agent_command_json_route(&j, &n->routes[i]);
	json_writer_array_end(&j);
	return agent_command_flush_json(&out);
}

int agent_command_routes(const struct ctl_options *o)
{
	CLEANUP(call_freep) struct call *c = NULL;
	CLEANUP(agent_network_done) struct agent_network n = { 0 };
	int r = agent_command_network(&c, o, AGENT_LIST_ROUTES, &n);

	if (r != 0)
		return r;
	return o->json ? agent_command_json_routes(&n) : agent_command_print_routes(&n);
}

/* ---- neighbours ---- */

static int agent_command_print_neighbours(const struct agent_network *n)
{
	static const char *const headers[] = { "ADDRESS", "DEVICE", "MAC", "STATE" };
	char ip[IP_TEXT_BYTES], mac[IP_MAC_TEXT_BYTES];
	CLEANUP(table_done) struct table t;

	table_init(&t, headers, 4);
	for (size_t i = 0; i < n->n_neighbors; i++) {
		const struct agent_neighbor *neighbour = &n->neighbors[i];

		ip_format(neighbour->ip.family, neighbour->ip.bytes, ip);
		ip_format_mac(neighbour->mac, mac);
		table_cell(&t, ip);
		table_cell(&t, neighbour->device);
		table_cell(&t, mac);
		if (neighbour->state == NUD_PERMANENT)
			table_cell(&t, "permanent");
		else
			table_cellf(&t, "0x%x", (unsigned)neighbour->state);
	}
	return agent_command_flush_table(&t);
}

static int agent_command_json_neighbours(const struct agent_network *n)
{
	CLEANUP(text_done) struct text out = TEXT_NULL;
	struct json_writer j = json_writer_on_text(&out);
	char mac[IP_MAC_TEXT_BYTES];

	json_writer_array_begin(&j, NULL);
	for (size_t i = 0; i < n->n_neighbors; i++) {
		const struct agent_neighbor *neighbour = &n->neighbors[i];

		ip_format_mac(neighbour->mac, mac);
		json_writer_object_begin(&j, NULL);
		agent_command_json_ip(&j, "address", &neighbour->ip);
		json_writer_string(&j, "device", neighbour->device);
		json_writer_string(&j, "mac", mac);
		json_writer_i64(&j, "state", neighbour->state);
		json_writer_object_end(&j);
	}
	json_writer_array_end(&j);
	return agent_command_flush_json(&out);
}

/* Kata's agents add neighbours and never tell of them; what does not say what it is can't either. */
int agent_command_neighbours(const struct ctl_options *o)
{
	CLEANUP(call_freep) struct call *c = NULL;
	CLEANUP(agent_network_done) struct agent_network n = { 0 };
	struct agent_details details = { 0 };
	int r = agent_command_meet(&c, o, &details);

	if (r != 0)
		return r;
	if (agent_generation_of(&details) != AGENT_DELTA_V1) {
		say_line("netmonctl: this agent (%s) can't tell its neighbours",
			 agent_generation_to_string(agent_generation_of(&details)));
		return CALL_CANNOT;
	}
	r = agent_command_network(&c, o, AGENT_LIST_NETWORK, &n);
	if (r != 0)
		return r;
	return o->json ? agent_command_json_neighbours(&n) : agent_command_print_neighbours(&n);
}

/* ---- iptables ---- */

/* A NUL would end the string, and hide what is behind it: no rules of a packet filter have one. */
static int agent_command_check_iptables(const char *data, size_t size)
{
	size_t text = strlen(data);

	return text < size ? err_raise(-EBADMSG, "rules with a NUL at byte %zu of %zu", text, size)
			   : 0;
}

static int agent_command_json_iptables(const char *data)
{
	CLEANUP(text_done) struct text out = TEXT_NULL;
	struct json_writer j = json_writer_on_text(&out);

	json_writer_object_begin(&j, NULL);
	json_writer_string(&j, "iptables", data);
	json_writer_object_end(&j);
	return agent_command_flush_json(&out);
}

int agent_command_iptables(const struct ctl_options *o)
{
	CLEANUP(call_freep) struct call *c = NULL;
	CLEANUP(call_payload_done) struct ttrpc_bytes payload = { 0 };
	CLEANUP(text_done) struct text out = TEXT_NULL;
	CLEANUP(cleanup_free) char *data = NULL;
	struct ttrpc_bytes answer;
	size_t size;
	int r = agent_encode_iptables_request(o->ipv6, &payload);

	if (r < 0)
		return err_pass(r);
	r = agent_command_call(&c, o, AGENT_GET_IPTABLES, payload, &answer);
	if (r == 0)
		r = agent_command_decoded(c, agent_decode_iptables(answer, &data, &size));
	if (r == 0 && o->json)
		r = agent_command_decoded(c, agent_command_check_iptables(data, size));
	if (r != 0)
		return r;
	if (o->json)
		return agent_command_json_iptables(data);
	(void)table_escape_lines(&out, data, size);
	return agent_command_flush(&out);
}
