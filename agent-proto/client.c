/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ttrpc client on sd-event, see client.h.
 *
 * How it works. One state, and one timer that means what the state says:
 *
 *     off --connect--> waiting --backoff over--> connecting --through--> connected
 *                        ^                           |deadline, error        |call's deadline: -ETIMEDOUT
 *                        +------- told of it --------+-------- lost ---------+
 *                        +--- told of it -- dropped <------ client_reset() --+
 *
 * Only the loop's handlers call back, and any callback may free, reset or call the client. So a
 * handler looks at the state after each one, and what a result points to (the ttrpc, the client
 * itself) is freed when the outermost handler leaves.
 *
 * A connection proves itself by its age, not by having been made: a guest that accepts and hangs up
 * is asked again as seldom as one that is not there.
 */
#include "agent-proto/client.h"

#include "agent-proto/stream.h"
#include "agent-proto/transport.h"
#include "base/clock.h"
#include "base/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define CLIENT_WHY_MAX	     ERR_TEXT_MAX /* bytes kept of why a connection was lost */
#define CLIENT_ACCURACY_USEC CLOCK_USEC_PER_MSEC
#define CLIENT_NSEC_PER_USEC UINT64_C(1000)

enum client_state {
	CLIENT_OFF,
	CLIENT_WAITING,	   /* timer: the end of the backoff */
	CLIENT_CONNECTING, /* timer: the deadline of connect and handshake */
	CLIENT_CONNECTED, /* timer: at the first deadline of a call, or before; off without calls */
	CLIENT_DROPPED,	  /* by us; timer: now, to tell of it */
	CLIENT_GONE,	  /* freed within a callback */
};

struct client_pending {
	uint64_t id;
	uint32_t stream;
	uint64_t deadline_usec;
	client_done_fn *done;
	void *userdata;
};

struct client {
	sd_event *event;
	struct url url;
	uint64_t connect_usec;
	void (*connected)(void *userdata);
	void (*disconnected)(void *userdata, const char *why);
	void *userdata;

	enum client_state state;
	bool is_handling;
	sd_event_source *timer;
	uint64_t armed_usec;	  /* CLOCK_NEVER: the timer is off */
	uint64_t backoff_usec;	  /* of the next failure */
	uint64_t connected_usec;  /* since when; 0: is not */
	char why[CLIENT_WHY_MAX]; /* it was dropped */

	struct transport transport;
	sd_event_source *transport_source;
	struct stream stream;

	uint64_t last_id;
	struct client_pending pending[TTRPC_CALLS_MAX]; /* the oldest first */
	size_t n_pending;
};

/* ---- the timer ---- */

static void client_arm(struct client *c, uint64_t usec)
{
	(void)sd_event_source_set_time(c->timer, usec);
	(void)sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
	c->armed_usec = usec;
}

static void client_disarm(struct client *c)
{
	(void)sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
	c->armed_usec = CLOCK_NEVER;
}

static uint64_t client_first_deadline(const struct client *c)
{
	uint64_t first = CLOCK_NEVER;

	for (size_t i = 0; i < c->n_pending; i++)
		if (c->pending[i].deadline_usec < first)
			first = c->pending[i].deadline_usec;
	return first;
}

/*
 * Too early is good enough, it looks again then: calls that are answered in time, one after the
 * other, cost no timerfd_settime(). Idle is idle: no timer.
 */
static void client_arm_calls(struct client *c)
{
	uint64_t first = client_first_deadline(c);

	if (c->state != CLIENT_CONNECTED)
		return;
	if (first == CLOCK_NEVER)
		client_disarm(c);
	else if (first < c->armed_usec)
		client_arm(c, first);
}

/* Half of it for sure, so that it never spins, half by chance, so that many do not come at once. */
static uint64_t client_backoff(struct client *c, uint64_t now)
{
	uint64_t half, delay;

	if (c->connected_usec != 0 && now - c->connected_usec >= CLIENT_BACKOFF_MAX_USEC)
		c->backoff_usec = CLIENT_BACKOFF_FIRST_USEC;
	half = c->backoff_usec / 2;
	delay = half + transport_random() % (half + 1);
	c->backoff_usec *= 2;
	if (c->backoff_usec > CLIENT_BACKOFF_MAX_USEC)
		c->backoff_usec = CLIENT_BACKOFF_MAX_USEC;
	return delay;
}

/* ---- the end of a call ---- */

static struct client_pending client_take(struct client *c, size_t i)
{
	struct client_pending p = c->pending[i];

	c->n_pending--;
	memmove(c->pending + i, c->pending + i + 1, (c->n_pending - i) * sizeof(p));
	return p;
}

static void client_finish(struct client *c, size_t i, const struct client_result *result)
{
	struct client_pending p = client_take(c, i);

	p.done(p.userdata, result);
}

static size_t client_find_stream(const struct client *c, uint32_t stream)
{
	size_t i = 0;

	while (i < c->n_pending && c->pending[i].stream != stream)
		i++;
	return i;
}

static void client_answered(struct client *c, const struct ttrpc_event *event)
{
	size_t i = client_find_stream(c, event->stream);

	if (event->type == TTRPC_RESPONSE && i < c->n_pending)
		client_finish(c, i,
			      &(struct client_result){
				      .code = event->code,
				      .message = event->message,
				      .payload = event->payload,
			      });
}

/* Of those whose time is over the one whose was first. Return: its place, or n_pending. */
static size_t client_find_late(const struct client *c, uint64_t now)
{
	size_t late = c->n_pending;

	for (size_t i = 0; i < c->n_pending; i++) {
		uint64_t deadline = c->pending[i].deadline_usec;

		if (deadline <= now &&
		    (late == c->n_pending || deadline < c->pending[late].deadline_usec))
			late = i;
	}
	return late;
}

static void client_expire(struct client *c)
{
	const struct client_result result = {
		.error = -ETIMEDOUT,
		.message = "no answer within the deadline",
	};
	uint64_t now = clock_now_usec();

	c->armed_usec = CLOCK_NEVER; /* it has fired */
	while (c->state == CLIENT_CONNECTED) {
		size_t i = client_find_late(c, now);

		if (i == c->n_pending)
			return;
		ttrpc_forget(c->stream.ttrpc, c->pending[i].stream);
		client_finish(c, i, &result);
	}
}

/* ---- the end of a connection, or of an attempt ---- */

static void client_hang_up(struct client *c)
{
	c->transport_source = sd_event_source_disable_unref(c->transport_source);
	transport_close(&c->transport);
	stream_hang_up(&c->stream);
}

/* From the loop only. @why may point into what is dropped. */
static void client_lose(struct client *c, const char *why)
{
	uint64_t now = clock_now_usec();
	char text[CLIENT_WHY_MAX];
	const struct client_result result = { .error = -ECONNRESET, .message = text };

	(void)snprintf(text, sizeof(text), "%s", why);
	err_clear();
	client_hang_up(c);
	c->state = CLIENT_WAITING;
	client_arm(c, now + client_backoff(c, now));
	c->connected_usec = 0;
	while (c->state != CLIENT_GONE && c->n_pending > 0)
		client_finish(c, 0, &result);
	if (c->state != CLIENT_GONE && c->disconnected)
		c->disconnected(c->userdata, text);
}

void client_reset(struct client *c, const char *why)
{
	if (c->state != CLIENT_CONNECTING && c->state != CLIENT_CONNECTED)
		return;
	(void)snprintf(c->why, sizeof(c->why), "%s", why);
	client_hang_up(c);
	c->state = CLIENT_DROPPED;
	client_arm(c, 0);
}

/* ---- handlers: all callbacks come from below them ---- */

static struct client *client_destroy(struct client *c)
{
	stream_close(&c->stream);
	sd_event_source_disable_unref(c->timer);
	sd_event_unref(c->event);
	free(c);
	return NULL;
}

static void client_leave(struct client *c)
{
	c->is_handling = false;
	if (c->state == CLIENT_GONE) {
		client_destroy(c);
		return;
	}
	if (c->state != CLIENT_CONNECTED)
		stream_close(&c->stream);
	client_arm_calls(c);
}

static void client_take_answers(struct client *c)
{
	struct ttrpc_event event;

	while (c->state == CLIENT_CONNECTED) {
		int r = ttrpc_next(c->stream.ttrpc, &event);

		if (r == 0)
			return;
		if (r < 0) {
			(void)err_pass(r);
			client_lose(c, err_sentence());
			return;
		}
		client_answered(c, &event);
	}
}

static int client_on_stream(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct client *c = userdata;

	(void)source;
	(void)fd;
	c->is_handling = true;
	if (stream_ready(&c->stream, events) < 0)
		client_lose(c, err_sentence());
	else
		client_take_answers(c);
	client_leave(c);
	return 0;
}

/* What was read behind a pipe's hello. Nobody was asked yet: whatever it answers is dropped. */
static int client_feed_rest(struct client *c)
{
	struct ttrpc_event dropped;
	size_t used;
	int r = 0;

	for (size_t n = 0; r == 0 && n < c->transport.n_rest; n += used) {
		r = stream_feed(&c->stream, c->transport.rest + n, c->transport.n_rest - n, &used);
		if (r < 0)
			break;
		do
			r = ttrpc_next(c->stream.ttrpc, &dropped);
		while (r > 0);
	}
	return err_pass(r);
}

static void client_through(struct client *c)
{
	int r;

	c->transport_source = sd_event_source_disable_unref(c->transport_source);
	r = stream_open(&c->stream, c->event, transport_take(&c->transport), TTRPC_CLIENT,
			client_on_stream, c);
	if (r == 0)
		r = client_feed_rest(c);
	if (r < 0) {
		client_lose(c, err_sentence());
		return;
	}
	c->state = CLIENT_CONNECTED;
	c->connected_usec = clock_now_usec();
	if (c->connected)
		c->connected(c->userdata);
}

static int client_on_transport(sd_event_source *source, int fd, uint32_t events, void *userdata);

static int client_watch(struct client *c, int want)
{
	uint32_t events = want == TRANSPORT_WANT_READ ? EPOLLIN : EPOLLOUT;
	int r;

	if (c->transport_source)
		r = sd_event_source_set_io_events(c->transport_source, events);
	else
		r = sd_event_add_io(c->event, &c->transport_source, c->transport.fd, events,
				    client_on_transport, c);
	return r < 0 ? err_raise(r, "watch the way to an agent") : 0;
}

/* @want: of transport_begin() or transport_advance() */
static void client_follow(struct client *c, int want)
{
	if (want == TRANSPORT_DONE) {
		client_through(c);
		return;
	}
	if (want > 0)
		want = client_watch(c, want);
	if (want < 0)
		client_lose(c, err_sentence());
}

static int client_on_transport(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct client *c = userdata;

	(void)source;
	(void)fd;
	(void)events;
	c->is_handling = true;
	client_follow(c, transport_advance(&c->transport));
	client_leave(c);
	return 0;
}

static void client_attempt(struct client *c)
{
	c->state = CLIENT_CONNECTING;
	client_arm(c, clock_now_usec() + c->connect_usec);
	client_follow(c, transport_begin(&c->transport, &c->url));
}

static void client_on_deadline(struct client *c)
{
	char why[128];

	(void)snprintf(why, sizeof(why), "no connection and handshake within %" PRIu64 " ms",
		       c->connect_usec / CLOCK_USEC_PER_MSEC);
	client_lose(c, why);
}

static int client_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct client *c = userdata;

	(void)source;
	(void)usec;
	c->is_handling = true;
	switch (c->state) {
	case CLIENT_WAITING:
		client_attempt(c);
		break;
	case CLIENT_CONNECTING:
		client_on_deadline(c);
		break;
	case CLIENT_CONNECTED:
		client_expire(c);
		break;
	case CLIENT_DROPPED:
		client_lose(c, c->why);
		break;
	case CLIENT_OFF:
	case CLIENT_GONE:
		break;
	}
	client_leave(c);
	return 0;
}

/* ---- calls ---- */

static uint64_t client_deadline(uint64_t timeout_usec)
{
	uint64_t now = clock_now_usec();

	return timeout_usec < CLOCK_NEVER - now ? now + timeout_usec : CLOCK_NEVER;
}

static uint64_t client_timeout_nsec(uint64_t timeout_usec)
{
	return timeout_usec < INT64_MAX / CLIENT_NSEC_PER_USEC ? timeout_usec * CLIENT_NSEC_PER_USEC
							       : INT64_MAX;
}

/* A failure to write is told by the loop, as every loss is. */
static void client_write(struct client *c)
{
	if (stream_write(&c->stream) < 0) {
		client_reset(c, err_sentence());
		err_clear();
	}
}

static int client_send(struct client *c, const char *service, const char *method,
		       struct ttrpc_bytes payload, uint64_t timeout_usec, uint32_t *ret_stream)
{
	int r;

	if (c->state != CLIENT_CONNECTED)
		return err_raise(-ENOTCONN, "call %s", method);
	if (c->n_pending == TTRPC_CALLS_MAX)
		return err_raise(-EBUSY, "call %s beside %u others", method, TTRPC_CALLS_MAX);
	r = ttrpc_call(c->stream.ttrpc, service, method, payload, client_timeout_nsec(timeout_usec),
		       ret_stream);
	if (r == -EOVERFLOW) {
		client_reset(c, "the connection has used up its stream ids");
		return err_raise(-ENOTCONN, "call %s", method);
	}
	return err_pass(r);
}

int client_call(struct client *c, const char *service, const char *method,
		struct ttrpc_bytes payload, uint64_t timeout_usec, client_done_fn *done,
		void *userdata, uint64_t *ret_id)
{
	struct client_pending p = { .id = c->last_id + 1, .done = done, .userdata = userdata };
	int r;

	if (timeout_usec == 0)
		timeout_usec = CLIENT_CALL_USEC;
	r = client_send(c, service, method, payload, timeout_usec, &p.stream);
	if (r < 0)
		return err_pass(r);
	p.deadline_usec = client_deadline(timeout_usec);
	c->pending[c->n_pending++] = p;
	c->last_id = p.id;
	client_write(c);
	client_arm_calls(c);
	if (ret_id)
		*ret_id = p.id;
	return 0;
}

void client_cancel(struct client *c, uint64_t id)
{
	size_t i = 0;

	while (i < c->n_pending && c->pending[i].id != id)
		i++;
	if (i == c->n_pending)
		return;
	if (c->state == CLIENT_CONNECTED)
		ttrpc_forget(c->stream.ttrpc, c->pending[i].stream);
	(void)client_take(c, i);
	client_arm_calls(c);
}

/* ---- birth and death ---- */

int client_new(struct client **ret, sd_event *event, const struct client_config *config)
{
	struct client *c = malloc(sizeof(*c));
	int r;

	if (!c)
		return err_raise(-ENOMEM, "make a client");
	*c = (struct client){
		.event = sd_event_ref(event),
		.url = *config->url,
		.connect_usec =
			config->connect_usec != 0 ? config->connect_usec : CLIENT_CONNECT_USEC,
		.connected = config->connected,
		.disconnected = config->disconnected,
		.userdata = config->userdata,
		.armed_usec = CLOCK_NEVER,
		.backoff_usec = CLIENT_BACKOFF_FIRST_USEC,
		.transport = TRANSPORT_NULL,
		.stream = STREAM_NULL,
	};
	r = sd_event_add_time(event, &c->timer, CLOCK_MONOTONIC, 0, CLIENT_ACCURACY_USEC,
			      client_on_timer, c);
	if (r < 0) {
		client_destroy(c);
		return err_raise(r, "make a client's timer");
	}
	(void)sd_event_source_set_description(c->timer, "client");
	client_disarm(c);
	*ret = c;
	return 0;
}

struct client *client_free(struct client *c)
{
	if (!c)
		return NULL;
	client_hang_up(c);
	client_disarm(c);
	c->n_pending = 0;
	c->state = CLIENT_GONE;
	return c->is_handling ? NULL : client_destroy(c);
}

int client_connect(struct client *c)
{
	if (c->state != CLIENT_OFF && c->state != CLIENT_WAITING)
		return 0;
	c->state = CLIENT_WAITING;
	client_arm(c, 0);
	return 0;
}

bool client_is_connected(const struct client *c)
{
	return c->state == CLIENT_CONNECTED;
}
