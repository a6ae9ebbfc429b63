/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sink of a guest agent, see sink-agent.h. What an op becomes is in agent-op.c.
 *
 * How it works. One state, and one timer that means what the state says:
 *
 *     locating --found--> away --connected--> asking --listed--> there
 *      |    ^              | ^------ lost ------+------ lost ------+
 *      +----+ not found:   | timer: relocate
 *   timer: backoff         +--> locating
 *
 * News is told by a source of its own, one a turn of the loop, and never while an op is in flight
 * that has to be told done before.
 */
#include "netmon/sink-agent.h"

#include "agent-proto/agent.h"
#include "agent-proto/client.h"
#include "agent-proto/locate.h"
#include "agent-proto/url.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "netmon/agent-op.h"
#include "netmon/agent-words.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SINK_AGENT_ACCURACY_USEC CLOCK_USEC_PER_MSEC
#define SINK_AGENT_WHY_MAX	 256U /* bytes kept of why there was no list */

enum sink_agent_state {
	SINK_AGENT_OFF,	     /* stopped */
	SINK_AGENT_LOCATING, /* timer: when to look again */
	SINK_AGENT_AWAY,     /* auto: timer: when to look anew */
	SINK_AGENT_ASKING,
	SINK_AGENT_THERE,
};

struct sink_agent {
	struct sink sink;
	struct sink_caps caps;
	sd_event *event;
	char *sandbox_id;
	char *root;
	bool is_auto;
	uint64_t timeout_usec;
	uint64_t relocate_usec;

	enum sink_agent_state state;
	sd_event_source *timer;
	uint64_t backoff_usec;
	struct locate *locate;
	struct url url;
	struct client *client;
	struct agent_op *op;

	/* of this connection */
	enum agent_generation generation;
	uint64_t connected_usec;
	struct sink_guest guest;
	bool has_guest;
	size_t unusable; /* entries of its list */

	/* of the agents so far */
	unsigned list_failures;		  /* one after the other */
	bool is_logged;			  /* that it fails */
	bool is_there_logged;		  /* since then */
	char no_list[SINK_AGENT_WHY_MAX]; /* why there was none; "": there was one */

	/* what our user has been told, and is to be told */
	sd_event_source *tell;
	bool is_told_ready;
	bool is_lost;	 /* since then */
	unsigned denied; /* of this connection, kinds: caps.denied */
	unsigned kept;	 /* likewise: caps.keeps_* */
};

static struct sink_agent *sink_agent_of(struct sink *s)
{
	return (struct sink_agent *)s;
}

/* ---- what each generation can be told. Source: agent.h on the generations ---- */

/* With our own agent nothing is kept and nothing flushed. */
#define SINK_AGENT_CAPS                                                                        \
	{                                                                                      \
		.updates_links = true, .neighbours = true, .route_mtu = true,                  \
		.route_onlink = true, .route_family = true, .batch_max = SINK_AGENT_BATCH_MAX, \
	}

static struct sink_caps sink_agent_caps_of(enum agent_generation generation)
{
	struct sink_caps caps = SINK_AGENT_CAPS;

	if (generation == AGENT_DELTA_V1)
		return caps;
	caps.keeps_links = true;
	caps.keeps_neighs = true;
	caps.update_flushes = true;
	if (generation == AGENT_DECLARATIVE) {
		caps.routes_whole = true;
		caps.batch_max = 0;
		return caps;
	}
	caps.keeps_addrs4 = true;
	caps.keeps_routes = true;
	return caps;
}

/* ---- the timer ---- */

static void sink_agent_arm(struct sink_agent *s, uint64_t usec)
{
	(void)sd_event_source_set_time(s->timer, clock_now_usec() + usec);
	(void)sd_event_source_set_enabled(s->timer, SD_EVENT_ONESHOT);
}

static void sink_agent_disarm(struct sink_agent *s)
{
	(void)sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
}

static bool sink_agent_is_armed(const struct sink_agent *s)
{
	int enabled = SD_EVENT_OFF;

	(void)sd_event_source_get_enabled(s->timer, &enabled);
	return enabled != SD_EVENT_OFF;
}

/* ---- news ---- */

static void sink_agent_tell_soon(struct sink_agent *s)
{
	(void)sd_event_source_set_enabled(s->tell, SD_EVENT_ONESHOT);
}

static void sink_agent_keep(struct sink_caps *caps, unsigned kinds)
{
	caps->keeps_links |= (kinds & 1U << MODEL_LINK) != 0;
	caps->keeps_routes |= (kinds & 1U << MODEL_ROUTE) != 0;
	caps->keeps_neighs |= (kinds & 1U << MODEL_NEIGH) != 0;
}

static unsigned sink_agent_kept(const struct sink_caps *caps)
{
	return (caps->keeps_links ? 1U << MODEL_LINK : 0) |
	       (caps->keeps_routes ? 1U << MODEL_ROUTE : 0) |
	       (caps->keeps_neighs ? 1U << MODEL_NEIGH : 0);
}

/* Return: whether it was something new. */
static bool sink_agent_learn(struct sink_agent *s)
{
	unsigned denied = s->denied & ~s->caps.denied;
	unsigned kept = s->kept & ~sink_agent_kept(&s->caps);

	s->caps.denied |= denied;
	sink_agent_keep(&s->caps, kept);
	s->denied = s->kept = 0;
	return (denied | kept) != 0;
}

static bool sink_agent_next_news(struct sink_agent *s, enum sink_news *ret)
{
	if (s->is_told_ready && s->is_lost) {
		s->is_told_ready = false;
		*ret = SINK_LOST;
		return true;
	}
	s->is_lost = false;
	if (!s->is_told_ready && s->state == SINK_AGENT_THERE) {
		s->is_told_ready = true;
		*ret = SINK_READY;
		return true;
	}
	*ret = SINK_CAPS;
	return s->is_told_ready && sink_agent_learn(s);
}

/* Once more after each, until there is none. The callback may free us. */
static int sink_agent_on_tell(sd_event_source *source, void *userdata)
{
	struct sink_agent *s = userdata;
	enum sink_news news;

	(void)source;
	if (s->is_lost && agent_op_is_busy(s->op)) {
		sink_agent_tell_soon(s);
		return 0;
	}
	if (!sink_agent_next_news(s, &news))
		return 0;
	sink_agent_tell_soon(s);
	if (s->sink.news)
		s->sink.news(s->sink.userdata, news);
	return 0;
}

/* Once until it was there for long: it is tried for as long as we live. */
static void sink_agent_log_failure(struct sink_agent *s, const char *what, const char *why)
{
	if (s->is_logged)
		return;
	log_warn("%s: %s; trying on", what, why);
	s->is_logged = true;
	s->is_there_logged = false;
}

static void sink_agent_log_there(struct sink_agent *s)
{
	char url[URL_TEXT_MAX], unusable[64] = "";

	if (s->unusable > 0)
		(void)snprintf(unusable, sizeof(unusable), ", %zu entries of its list are unusable",
			       s->unusable);
	url_format(&s->url, url);
	log_at(s->is_there_logged ? LOG_DEBUG : LOG_INFO, "agent at %s is there, of the %s kind%s",
	       url, agent_generation_to_string(s->generation), unusable);
	s->is_there_logged = true;
}

/* Once a reason. */
static void sink_agent_log_no_list(struct sink_agent *s, const char *why)
{
	char text[SINK_AGENT_WHY_MAX];

	(void)snprintf(text, sizeof(text), "%s", why);
	if (strcmp(text, s->no_list) == 0)
		return;
	log_warn("the agent does not list the guest's links: %s; what it was told before is taken "
		 "for what it has",
		 why);
	memcpy(s->no_list, text, sizeof(text));
}

/* ---- who are you, and what do you have ---- */

static void sink_agent_drop_guest(struct sink_agent *s)
{
	snapshot_done(&s->guest.net);
	s->guest = (struct sink_guest){ 0 };
	s->has_guest = false;
}

/* It can't be worked with as it answers now: anew, after the client's backoff. */
static void sink_agent_start_over(struct sink_agent *s, const char *what, const char *why)
{
	char text[ERR_TEXT_MAX];

	(void)snprintf(text, sizeof(text), "%s: %s", what, why);
	err_clear();
	client_reset(s->client, text);
}

/*
 * Return: true: it was answered, by a payload or by a "no" that is about the question. Otherwise the
 * connection ends, or has ended, and all begins again.
 */
static bool sink_agent_is_answered(struct sink_agent *s, const char *what,
				   const struct client_result *result)
{
	if (result->error == -ECONNRESET)
		return false;
	if (result->error == 0 && result->code != TTRPC_UNAVAILABLE &&
	    result->code != TTRPC_CANCELLED && result->code != TTRPC_ABORTED &&
	    result->code != TTRPC_DEADLINE_EXCEEDED)
		return true;
	sink_agent_start_over(s, what, result->message);
	return false;
}

static void sink_agent_ask(struct sink_agent *s, enum agent_verb verb, client_done_fn *done)
{
	int r = client_call(s->client, agent_service(verb), agent_method(verb),
			    (struct ttrpc_bytes){ 0 }, s->timeout_usec, done, s, NULL);

	if (r < 0)
		sink_agent_start_over(s, agent_method(verb), err_text());
}

static void sink_agent_ready(struct sink_agent *s)
{
	sink_agent_log_there(s);
	s->caps = sink_agent_caps_of(s->generation);
	s->denied = s->kept = 0;
	s->has_guest = true;
	s->state = SINK_AGENT_THERE;
	sink_agent_disarm(s);
	sink_agent_tell_soon(s);
}

/* An empty guest would be a lie: it is said that nothing is known. */
static void sink_agent_ready_unknown(struct sink_agent *s, const char *why)
{
	int r;

	sink_agent_drop_guest(s);
	r = snapshot_init(&s->guest.net);
	if (r < 0) {
		sink_agent_start_over(s, "list the guest's links", err_text());
		return;
	}
	s->unusable = 0;
	sink_agent_log_no_list(s, why);
	sink_agent_ready(s);
}

/* What fails for ever must not keep us away for ever. */
static void sink_agent_list_failed(struct sink_agent *s, const char *why)
{
	if (s->list_failures < SINK_AGENT_LIST_TRIES)
		s->list_failures++;
	if (s->list_failures < SINK_AGENT_LIST_TRIES)
		sink_agent_start_over(s, "list the guest's links", why);
	else
		sink_agent_ready_unknown(s, why);
}

static int sink_agent_read_list(struct sink_agent *s, struct ttrpc_bytes payload)
{
	bool is_exact = s->generation == AGENT_DELTA_V1;
	CLEANUP(agent_network_done) struct agent_network network = { 0 };
	int r = agent_decode_answer(is_exact ? AGENT_LIST_NETWORK : AGENT_LIST_INTERFACES, payload,
				    &network);

	if (r < 0)
		return err_pass(r);
	s->unusable = network.unusable;
	sink_agent_drop_guest(s);
	return err_pass(agent_words_to_guest(&network, is_exact, &s->guest));
}

/* No list, now and later. */
static bool sink_agent_has_no_list(const struct client_result *result)
{
	return result->code == TTRPC_PERMISSION_DENIED || result->code == TTRPC_UNIMPLEMENTED ||
	       result->code == TTRPC_RESOURCE_EXHAUSTED ||
	       agent_is_answer_too_long(result->code, result->message);
}

static void sink_agent_take_list(struct sink_agent *s, struct ttrpc_bytes payload)
{
	int r = sink_agent_read_list(s, payload);

	if (r == 0) {
		s->list_failures = 0;
		s->no_list[0] = '\0';
		sink_agent_ready(s);
	} else if (r == -EMSGSIZE) {
		sink_agent_ready_unknown(s, err_text());
	} else if (r == -EBADMSG) {
		sink_agent_list_failed(s, err_text());
	} else {
		sink_agent_start_over(s, "list the guest's links", err_text());
	}
	err_clear();
}

static void sink_agent_on_list(void *userdata, const struct client_result *result)
{
	struct sink_agent *s = userdata;

	if (!sink_agent_is_answered(s, "list the guest's links", result))
		return;
	if (sink_agent_has_no_list(result))
		sink_agent_ready_unknown(s, result->message);
	else if (result->code != TTRPC_OK)
		sink_agent_list_failed(s, result->message);
	else
		sink_agent_take_list(s, result->payload);
}

static void sink_agent_identify(struct sink_agent *s, const struct agent_details *details)
{
	s->generation = agent_generation_of(details);
	sink_agent_ask(s,
		       s->generation == AGENT_DELTA_V1 ? AGENT_LIST_NETWORK : AGENT_LIST_INTERFACES,
		       sink_agent_on_list);
}

/* What does not say its version either is identified without one. */
static void sink_agent_on_version(void *userdata, const struct client_result *result)
{
	struct sink_agent *s = userdata;
	struct agent_details details = { 0 };

	if (!sink_agent_is_answered(s, "ask the agent's version", result))
		return;
	if (result->code == TTRPC_OK && agent_decode_version(result->payload, details.version) < 0)
		err_clear();
	sink_agent_identify(s, &details);
}

static void sink_agent_on_details(void *userdata, const struct client_result *result)
{
	struct sink_agent *s = userdata;
	struct agent_details details = { 0 };

	if (!sink_agent_is_answered(s, "ask the agent who it is", result))
		return;
	if (result->code == TTRPC_OK && agent_decode_details(result->payload, &details) == 0) {
		sink_agent_identify(s, &details);
		return;
	}
	err_clear();
	sink_agent_ask(s, AGENT_VERSION, sink_agent_on_version);
}

/* ---- connected, and not ---- */

static void sink_agent_on_connected(void *userdata)
{
	struct sink_agent *s = userdata;

	s->state = SINK_AGENT_ASKING;
	s->connected_usec = clock_now_usec();
	sink_agent_ask(s, AGENT_DETAILS, sink_agent_on_details);
}

/* The time to look anew runs from the first failure, not from the last. */
static void sink_agent_gone(struct sink_agent *s)
{
	s->state = SINK_AGENT_AWAY;
	s->is_lost = true;
	sink_agent_drop_guest(s);
	if (s->is_auto && !sink_agent_is_armed(s))
		sink_agent_arm(s, s->relocate_usec);
	sink_agent_tell_soon(s);
}

static void sink_agent_on_disconnected(void *userdata, const char *why)
{
	struct sink_agent *s = userdata;
	char url[URL_TEXT_MAX], what[URL_TEXT_MAX + 32];

	if (s->state == SINK_AGENT_THERE &&
	    clock_now_usec() - s->connected_usec >= CLIENT_BACKOFF_MAX_USEC)
		s->is_logged = false;
	url_format(&s->url, url);
	(void)snprintf(what, sizeof(what), "agent at %s is not there", url);
	sink_agent_log_failure(s, what, why);
	sink_agent_gone(s);
}

static int sink_agent_connect(struct sink_agent *s)
{
	const struct client_config config = {
		.url = &s->url,
		.connected = sink_agent_on_connected,
		.disconnected = sink_agent_on_disconnected,
		.userdata = s,
	};
	int r = client_new(&s->client, s->event, &config);

	if (r >= 0)
		r = client_connect(s->client);
	if (r < 0) {
		s->client = client_free(s->client);
		return err_pass(r);
	}
	s->state = SINK_AGENT_AWAY;
	return 0;
}

/* ---- where ---- */

static void sink_agent_look_later(struct sink_agent *s, const char *why)
{
	sink_agent_log_failure(s, "find the sandbox's agent", why);
	sink_agent_arm(s, s->backoff_usec);
	s->backoff_usec *= 2;
	if (s->backoff_usec > SINK_AGENT_LOCATE_MAX_USEC)
		s->backoff_usec = SINK_AGENT_LOCATE_MAX_USEC;
}

static void sink_agent_connect_to(struct sink_agent *s, const struct url *url)
{
	s->url = *url;
	if (sink_agent_connect(s) < 0) {
		sink_agent_look_later(s, err_text());
		err_clear();
		return;
	}
	s->backoff_usec = SINK_AGENT_LOCATE_FIRST_USEC;
}

static void sink_agent_on_located(void *userdata, const struct url *url, const char *why)
{
	struct sink_agent *s = userdata;

	if (url)
		sink_agent_connect_to(s, url);
	else
		sink_agent_look_later(s, why);
	s->locate = locate_free(s->locate);
}

static int sink_agent_locate(struct sink_agent *s)
{
	const struct locate_config config = {
		.sandbox_id = s->sandbox_id,
		.root = s->root,
		.done = sink_agent_on_located,
		.userdata = s,
	};

	s->state = SINK_AGENT_LOCATING;
	return err_pass(locate_new(&s->locate, s->event, &config));
}

/* From the timer alone, so never below a callback of what is freed. */
static void sink_agent_look(struct sink_agent *s)
{
	s->client = client_free(s->client);
	s->locate = locate_free(s->locate);
	if (sink_agent_locate(s) < 0) {
		sink_agent_look_later(s, err_text());
		err_clear();
	}
}

static int sink_agent_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct sink_agent *s = userdata;

	(void)source;
	(void)usec;
	if (s->state == SINK_AGENT_ASKING) /* its questions have deadlines of their own */
		sink_agent_arm(s, s->relocate_usec);
	else if (s->state == SINK_AGENT_LOCATING || s->state == SINK_AGENT_AWAY)
		sink_agent_look(s);
	return 0;
}

/* ---- the sink ---- */

static void sink_agent_on_op(void *userdata, const struct sink_outcome *outcome,
			     const struct agent_op_lesson *lesson)
{
	struct sink_agent *s = userdata;

	s->denied |= lesson->denied;
	s->kept |= lesson->kept;
	if ((s->denied | s->kept) != 0)
		sink_agent_tell_soon(s);
	/*
	 * A peer that does not answer may be one that hangs, and ours says exactly what it has when
	 * it is met again: no doubt is left then.
	 */
	if (lesson->is_silent)
		client_reset(s->client, outcome->reason);
	s->sink.done(s->sink.userdata, outcome);
}

static int sink_agent_begin(struct sink *sink, const struct sink_call *call)
{
	struct sink_agent *s = sink_agent_of(sink);

	if (s->state != SINK_AGENT_THERE || !s->is_told_ready || s->is_lost)
		return err_raise(-ENOTCONN, "call the agent");
	sink_agent_drop_guest(s);
	return err_pass(agent_op_begin(s->op, s->client, s->generation, call));
}

static int sink_agent_guest(struct sink *sink, struct sink_guest *ret)
{
	struct sink_agent *s = sink_agent_of(sink);

	if (!s->has_guest)
		return err_pass(snapshot_init(&ret->net));
	*ret = s->guest;
	s->guest = (struct sink_guest){ 0 };
	s->has_guest = false;
	return 0;
}

/* An agent goes on with what it has begun either way. */
static void sink_agent_stop(struct sink *sink, bool sandbox_gone)
{
	struct sink_agent *s = sink_agent_of(sink);

	(void)sandbox_gone;
	s->state = SINK_AGENT_OFF;
	sink_agent_disarm(s);
	(void)sd_event_source_set_enabled(s->tell, SD_EVENT_OFF);
	agent_op_cancel(s->op);
	s->client = client_free(s->client);
	s->locate = locate_free(s->locate);
	sink_agent_drop_guest(s);
}

static struct sink *sink_agent_free(struct sink *sink)
{
	struct sink_agent *s = sink_agent_of(sink);

	if (!s)
		return NULL;
	s->op = agent_op_free(s->op);
	s->client = client_free(s->client);
	s->locate = locate_free(s->locate);
	sink_agent_drop_guest(s);
	sd_event_source_disable_unref(s->timer);
	sd_event_source_disable_unref(s->tell);
	sd_event_unref(s->event);
	free(s->sandbox_id);
	free(s->root);
	free(s);
	return NULL;
}

const struct sink_ops sink_agent_ops = {
	.name = "agent",
	.caps = SINK_AGENT_CAPS,
	.begin = sink_agent_begin,
	.guest = sink_agent_guest,
	.stop = sink_agent_stop,
	.free = sink_agent_free,
};

/* ---- birth ---- */

static int sink_agent_add_sources(struct sink_agent *s)
{
	int r = sd_event_add_time(s->event, &s->timer, CLOCK_MONOTONIC, 0, SINK_AGENT_ACCURACY_USEC,
				  sink_agent_on_timer, s);

	if (r >= 0)
		r = sd_event_source_set_enabled(s->timer, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_defer(s->event, &s->tell, sink_agent_on_tell, s);
	if (r >= 0)
		r = sd_event_source_set_enabled(s->tell, SD_EVENT_OFF);
	if (r < 0)
		return err_raise(r, "make the agent sink");
	(void)sd_event_source_set_description(s->timer, "sink-agent");
	(void)sd_event_source_set_description(s->tell, "sink-agent-news");
	return 0;
}

static int sink_agent_copy_names(struct sink_agent *s, const struct sink_agent_config *config)
{
	if (!config->sandbox_id || !text_is_sandbox_id(config->sandbox_id))
		return err_raise(-EINVAL, "look for the agent of a sandbox without an id");
	s->sandbox_id = strdup(config->sandbox_id);
	s->root = strdup(config->root ? config->root : "");
	if (!s->sandbox_id || !s->root)
		return err_raise(-ENOMEM, "make the agent sink");
	return 0;
}

static int sink_agent_init(struct sink_agent *s, const struct sink_agent_config *config)
{
	const struct agent_op_config op = {
		.event = s->event,
		.timeout_usec = config->timeout_usec,
		.done = sink_agent_on_op,
		.userdata = s,
	};
	int r = s->is_auto ? sink_agent_copy_names(s, config) : url_parse(config->url, &s->url);

	if (r >= 0)
		r = sink_agent_add_sources(s);
	if (r >= 0)
		r = agent_op_new(&s->op, &op);
	if (r >= 0)
		r = s->is_auto ? sink_agent_locate(s) : sink_agent_connect(s);
	return err_pass(r);
}

int sink_agent_new(struct sink **ret, sd_event *event, const struct sink_agent_config *config)
{
	struct sink_agent *s = malloc(sizeof(*s));
	int r;

	if (!s)
		return err_raise(-ENOMEM, "make the agent sink");
	*s = (struct sink_agent){
		.sink.ops = &sink_agent_ops,
		.caps = SINK_AGENT_CAPS,
		.event = sd_event_ref(event),
		.is_auto = !config->url,
		.timeout_usec = config->timeout_usec,
		.relocate_usec = config->relocate_usec != 0 ? config->relocate_usec
							    : SINK_AGENT_RELOCATE_USEC,
		.backoff_usec = SINK_AGENT_LOCATE_FIRST_USEC,
	};
	s->sink.caps = &s->caps;
	r = sink_agent_init(s, config);
	if (r < 0) {
		sink_agent_free(&s->sink);
		return err_pass(r);
	}
	*ret = &s->sink;
	return 0;
}
