/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent, called as a function is, see call.h.
 *
 * How it works. Each step (find, connect, call, pause) starts something on the loop and runs the
 * loop until that something has said how it ended, or the time is up. The callbacks only note what
 * they were told: client and locate are never freed from within. What has been waited for is taken
 * off the time that is left.
 */
#include "runtime-bridge/ctl/call.h"

#include "agent-proto/client.h"
#include "agent-proto/locate.h"
#include "agent-proto/url.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-event.h>

#define CALL_WHY_MAX	   2048U /* bytes kept of a reason; a longer one is not said */
#define CALL_ACCURACY_USEC CLOCK_USEC_PER_MSEC

struct call {
	sd_event *event;
	sd_event_source *deadline; /* of the step that runs */
	sd_event_source *pause;
	uint64_t left_usec;
	struct locate *locate;
	struct client *client;
	bool has_url;
	struct url url;
	char id[TEXT_SANDBOX_ID_MAX + 1];

	bool is_over; /* the time is up */
	/* of the step that runs */
	bool is_connecting; /* it is for the client to say how it ends */
	bool has_ended;
	int condition;
	struct text answer;
	struct text why;
	enum ttrpc_code code;
};

/* ---- how a step ends ---- */

static void call_end(struct call *c, int condition, const char *why)
{
	size_t size = strnlen(why, CALL_WHY_MAX);

	if (c->has_ended)
		return;
	c->has_ended = true;
	c->condition = condition;
	(void)text_append(&c->why, why, size);
}

static void call_begin(struct call *c)
{
	c->has_ended = false;
	c->condition = CALL_FINE;
	c->code = TTRPC_OK;
	text_reset(&c->why);
}

static int call_on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct call *c = userdata;

	(void)source;
	(void)usec;
	c->is_over = true;
	return 0;
}

static int call_arm(struct call *c, uint64_t now)
{
	int r;

	c->deadline = sd_event_source_disable_unref(c->deadline);
	r = sd_event_add_time(c->event, &c->deadline, CLOCK_MONOTONIC, now + c->left_usec,
			      CALL_ACCURACY_USEC, call_on_deadline, c);
	return r < 0 ? err_raise(r, "set a deadline") : 0;
}

static void call_spend(struct call *c, uint64_t usec)
{
	c->left_usec = usec < c->left_usec ? c->left_usec - usec : 0;
	if (c->left_usec == 0)
		c->is_over = true;
}

/* Runs the loop until the step has ended. Return: its condition; @if_over when the time is up. */
static int call_wait(struct call *c, int if_over, const char *why)
{
	uint64_t begun = clock_now_usec();
	int r = call_arm(c, begun);

	if (r < 0)
		return err_pass(r);
	while (!c->has_ended && !c->is_over) {
		r = sd_event_run(c->event, UINT64_MAX);
		if (r < 0)
			return err_raise(r, "run the event loop");
	}
	call_spend(c, clock_now_usec() - begun);
	call_end(c, if_over, why);
	return c->condition;
}

/* ---- steps ---- */

static void call_on_located(void *userdata, const struct url *url, const char *why)
{
	struct call *c = userdata;

	if (!url) {
		call_end(c, CALL_UNREACHABLE, why);
		return;
	}
	c->url = *url;
	c->has_url = true;
	call_end(c, CALL_FINE, "");
}

int call_find(struct call *c)
{
	struct locate_config config = {
		.sandbox_id = c->id,
		.done = call_on_located,
		.userdata = c,
	};
	int r;

	if (c->has_url)
		return CALL_FINE;
	call_begin(c);
	r = locate_new(&c->locate, c->event, &config);
	if (r < 0)
		return err_pass(r);
	r = call_wait(c, CALL_UNREACHABLE, "its shim did not say in time where the agent is");
	c->locate = locate_free(c->locate);
	return r < 0 ? err_pass(r) : r;
}

static void call_on_connected(void *userdata)
{
	struct call *c = userdata;

	if (c->is_connecting)
		call_end(c, CALL_FINE, "");
}

/* Calls in flight were told before. Whoever pauses hears of it by the next call, if it is so still. */
static void call_on_disconnected(void *userdata, const char *why)
{
	struct call *c = userdata;

	if (c->is_connecting)
		call_end(c, CALL_UNREACHABLE, why);
}

static int call_make_client(struct call *c)
{
	struct client_config config = {
		.url = &c->url,
		.connected = call_on_connected,
		.disconnected = call_on_disconnected,
		.userdata = c,
	};

	return err_pass(c->client ? 0 : client_new(&c->client, c->event, &config));
}

/* One attempt: at once, not when the client's own backoff ends. */
static int call_connect(struct call *c)
{
	int r = call_make_client(c);

	if (r < 0)
		return err_pass(r);
	if (client_is_connected(c->client))
		return CALL_FINE;
	call_begin(c);
	r = client_connect(c->client);
	if (r < 0)
		return err_pass(r);
	c->is_connecting = true;
	r = call_wait(c, CALL_UNREACHABLE, "no connection in time");
	c->is_connecting = false;
	return r < 0 ? err_pass(r) : r;
}

/* A server without the method says UNIMPLEMENTED; ttrpc's in Rust, without the service, this. */
static int call_condition_of(enum ttrpc_code code, const char *message)
{
	if (code == TTRPC_OK)
		return CALL_FINE;
	if (code == TTRPC_UNIMPLEMENTED)
		return CALL_CANNOT;
	if (code == TTRPC_INVALID_ARGUMENT && strstr(message, "service does not exist"))
		return CALL_CANNOT;
	return CALL_REFUSED;
}

static void call_on_done(void *userdata, const struct client_result *result)
{
	struct call *c = userdata;

	if (result->error == -ETIMEDOUT)
		c->is_over = true; /* the client was given all that is left */
	if (result->error < 0) {
		call_end(c, CALL_NO_ANSWER, result->message);
		return;
	}
	c->code = result->code;
	if (result->code == TTRPC_OK)
		(void)text_append(&c->answer, result->payload.data, result->payload.size);
	call_end(c, call_condition_of(result->code, result->message), result->message);
}

/* 0 is "the default" to client_call() */
static uint64_t call_left_usec(const struct call *c)
{
	return c->left_usec > 0 ? c->left_usec : 1;
}

static int call_send(struct call *c, enum agent_verb verb, struct ttrpc_bytes payload,
		     uint64_t *ret_id)
{
	int r = client_call(c->client, agent_service(verb), agent_method(verb), payload,
			    call_left_usec(c), call_on_done, c, ret_id);

	if (r == -ENOTCONN) {
		err_clear();
		call_end(c, CALL_NO_ANSWER, "the connection was lost");
		return 0;
	}
	return err_pass(r);
}

int call_do(struct call *c, enum agent_verb verb, struct ttrpc_bytes payload,
	    struct ttrpc_bytes *ret)
{
	uint64_t id = 0; /* no call has it */
	int r = call_find(c);

	if (r == CALL_FINE)
		r = call_connect(c);
	if (r != CALL_FINE)
		return r < 0 ? err_pass(r) : r;
	call_begin(c);
	text_reset(&c->answer);
	r = call_send(c, verb, payload, &id);
	if (r < 0)
		return err_pass(r);
	r = call_wait(c, CALL_NO_ANSWER, "no answer in time");
	if (c->is_over)
		client_cancel(c->client, id);
	if (r == CALL_FINE && c->answer.error < 0)
		return err_raise(c->answer.error, "keep the agent's answer");
	if (r == CALL_FINE)
		*ret = (struct ttrpc_bytes){ c->answer.data, c->answer.size };
	return r < 0 ? err_pass(r) : r;
}

void call_payload_done(struct ttrpc_bytes *payload)
{
	free((void *)(uintptr_t)payload->data);
}

const char *call_why(const struct call *c)
{
	return c->why.data ? c->why.data : "";
}

enum ttrpc_code call_code(const struct call *c)
{
	return c->code;
}

int call_bad_answer(struct call *c, int r)
{
	if (r == -ENOMEM)
		return err_pass(r);
	call_begin(c);
	call_end(c, CALL_NO_ANSWER, err_sentence());
	err_clear();
	return c->condition;
}

/* ---- pausing ---- */

static int call_on_pause(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	call_end(userdata, CALL_FINE, "");
	return 0;
}

int call_pause(struct call *c, uint64_t usec)
{
	int r;

	call_begin(c);
	c->pause = sd_event_source_disable_unref(c->pause);
	r = sd_event_add_time(c->event, &c->pause, CLOCK_MONOTONIC, clock_now_usec() + usec,
			      CALL_ACCURACY_USEC, call_on_pause, c);
	if (r < 0)
		return err_raise(r, "make a timer");
	r = call_wait(c, CALL_NO_ANSWER, "no success in time");
	return r < 0 ? err_pass(r) : r;
}

bool call_is_over(const struct call *c)
{
	return c->is_over;
}

/* ---- birth and death ---- */

static int call_aim(struct call *c, const char *target)
{
	if (strstr(target, "://") || target[0] == '/') {
		int r = url_parse(target, &c->url);

		c->has_url = r == 0;
		return err_pass(r);
	}
	if (!text_is_sandbox_id(target))
		return err_raise(-EINVAL, "'%.64s' is neither an agent's URL nor a sandbox's id",
				 target);
	memcpy(c->id, target, strlen(target) + 1);
	return 0;
}

int call_new(struct call **ret, const char *target, uint64_t timeout_usec)
{
	CLEANUP(call_freep) struct call *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return err_raise(-ENOMEM, "call an agent");
	c->left_usec = timeout_usec;
	r = call_aim(c, target);
	if (r < 0)
		return err_pass(r);
	r = sd_event_new(&c->event);
	if (r < 0)
		return err_raise(r, "make an event loop");
	*ret = TAKE_PTR(c);
	return 0;
}

struct call *call_free(struct call *c)
{
	if (!c)
		return NULL;
	client_free(c->client);
	locate_free(c->locate);
	sd_event_source_disable_unref(c->pause);
	sd_event_source_disable_unref(c->deadline);
	sd_event_unref(c->event);
	text_done(&c->answer);
	text_done(&c->why);
	free(c);
	return NULL;
}
