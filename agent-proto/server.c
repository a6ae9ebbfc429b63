/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ttrpc server on sd-event, see server.h.
 *
 * How it works. Each connection is a stream. One that ends, for whatever reason, is only marked and
 * its fd closed; the reaper, from the loop, tells of it and frees it. So a connection lives at least
 * as long as the handler that it is in, and an answer to one that has just ended is no mistake.
 */
#include "agent-proto/server.h"

#include "agent-proto/stream.h"
#include "base/clock.h"
#include "base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/*
 * Without fds or memory nothing can be accepted, and the backlog stays readable: looked at again
 * after this.
 */
#define SERVER_PAUSE_USEC    (100 * CLOCK_USEC_PER_MSEC)
#define SERVER_ACCURACY_USEC (10 * CLOCK_USEC_PER_MSEC)

struct server_connection {
	struct server *server;
	struct stream stream;
	bool is_handling; /* its handler writes at its end */
	bool is_closed;	  /* for the reaper */
};

struct server {
	sd_event *event;
	struct server_config config;
	sd_event_source *listener;
	sd_event_source *pause;
	sd_event_source *reaper;
	struct server_connection *connections[SERVER_CONNECTIONS_MAX];
	size_t n_connections;
};

/* ---- the end of a connection ---- */

static struct server_connection *server_connection_free(struct server_connection *c)
{
	stream_close(&c->stream);
	free(c);
	return NULL;
}

void server_close(struct server_connection *c)
{
	if (c->is_closed)
		return;
	c->is_closed = true;
	stream_hang_up(&c->stream);
	(void)sd_event_source_set_enabled(c->server->reaper, SD_EVENT_ONESHOT);
}

static struct server_connection *server_take_closed(struct server *s)
{
	for (size_t i = 0; i < s->n_connections; i++) {
		struct server_connection *c = s->connections[i];

		if (!c->is_closed)
			continue;
		s->connections[i] = s->connections[--s->n_connections];
		return c;
	}
	return NULL;
}

static int server_on_reaper(sd_event_source *source, void *userdata)
{
	struct server *s = userdata;

	(void)source;
	for (struct server_connection *c = server_take_closed(s); c; c = server_take_closed(s)) {
		if (s->config.closed)
			s->config.closed(s->config.userdata, c);
		server_connection_free(c);
	}
	(void)sd_event_source_set_enabled(s->pause, SD_EVENT_OFF);
	(void)sd_event_source_set_enabled(s->listener, SD_EVENT_ON);
	return 0;
}

/* ---- requests and answers ---- */

static void server_lose(struct server_connection *c)
{
	err_clear();
	server_close(c);
}

/* Return: as ttrpc_next(): 0 when all is served, or the connection was closed meanwhile. */
static int server_serve(struct server_connection *c)
{
	struct ttrpc_event event;
	int r = 0;

	while (!c->is_closed) {
		r = ttrpc_next(c->stream.ttrpc, &event);
		if (r <= 0)
			return r;
		if (event.type != TTRPC_REQUEST)
			continue;
		c->server->config.request(c->server->config.userdata,
					  &(struct server_request){
						  .connection = c,
						  .stream = event.stream,
						  .service = event.service,
						  .method = event.method,
						  .payload = event.payload,
						  .timeout_nsec = event.timeout_nsec,
					  });
	}
	return 0;
}

/* A peer that breaks the protocol, or does not read, costs its connection. */
static int server_on_stream(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct server_connection *c = userdata;
	int r;

	(void)source;
	(void)fd;
	c->is_handling = true;
	r = stream_ready(&c->stream, events);
	if (r == 0)
		r = server_serve(c);
	if (r == 0 && !c->is_closed)
		r = stream_write(&c->stream);
	c->is_handling = false;
	if (r < 0)
		server_lose(c);
	return 0;
}

/*
 * @r: of ttrpc_answer() or ttrpc_fail(): an answer that is too long was answered all the same, any
 * other failure is the end.
 */
static int server_flush(struct server_connection *c, int r)
{
	bool is_over = r < 0 && r != -EMSGSIZE;

	if (!is_over && !c->is_handling && stream_write(&c->stream) < 0) {
		err_clear();
		is_over = true;
	}
	if (is_over)
		server_close(c);
	return err_pass(r);
}

int server_answer(struct server_connection *c, uint32_t stream, struct ttrpc_bytes payload)
{
	if (c->is_closed)
		return 0;
	return err_pass(server_flush(c, ttrpc_answer(c->stream.ttrpc, stream, payload)));
}

int server_fail(struct server_connection *c, uint32_t stream, enum ttrpc_code code,
		const char *message)
{
	if (c->is_closed)
		return 0;
	return err_pass(server_flush(c, ttrpc_fail(c->stream.ttrpc, stream, code, message)));
}

/* ---- new connections ---- */

/* Takes @fd over. */
static int server_add(struct server *s, int fd)
{
	struct server_connection *c = malloc(sizeof(*c));
	int r;

	if (!c) {
		cleanup_close_fd(fd);
		return err_raise(-ENOMEM, "serve one more connection");
	}
	*c = (struct server_connection){ .server = s, .stream = STREAM_NULL };
	r = stream_open(&c->stream, s->event, fd, TTRPC_SERVER, server_on_stream, c);
	if (r < 0) {
		server_connection_free(c);
		return err_pass(r);
	}
	s->connections[s->n_connections++] = c;
	return 0;
}

/* Return: 0: look for more; 1: there is no more now; -errno: pause. */
static int server_accept(struct server *s)
{
	int fd = accept4(s->config.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		return err_pass(server_add(s, fd));
	/* level-triggered: one that was gone before we came is no reason to wait for the next */
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return 1;
	return err_raise(-errno, "accept a connection");
}

static void server_pause(struct server *s)
{
	(void)sd_event_source_set_enabled(s->listener, SD_EVENT_OFF);
	(void)sd_event_source_set_time(s->pause, clock_now_usec() + SERVER_PAUSE_USEC);
	(void)sd_event_source_set_enabled(s->pause, SD_EVENT_ONESHOT);
}

static int server_on_listener(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct server *s = userdata;
	int r = 0;

	(void)fd;
	(void)events;
	while (r == 0 && s->n_connections < SERVER_CONNECTIONS_MAX)
		r = server_accept(s);
	if (r < 0) {
		err_clear();
		server_pause(s);
	}
	/* the others wait in the backlog, until the reaper has been */
	if (s->n_connections == SERVER_CONNECTIONS_MAX)
		(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	return 0;
}

static int server_on_pause(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct server *s = userdata;

	(void)source;
	(void)usec;
	(void)sd_event_source_set_enabled(s->listener, SD_EVENT_ON);
	return 0;
}

/* ---- birth and death ---- */

static int server_watch(struct server *s)
{
	int r = sd_event_add_io(s->event, &s->listener, s->config.fd, EPOLLIN, server_on_listener,
				s);

	if (r >= 0)
		r = sd_event_add_time(s->event, &s->pause, CLOCK_MONOTONIC, CLOCK_NEVER,
				      SERVER_ACCURACY_USEC, server_on_pause, s);
	if (r >= 0)
		r = sd_event_source_set_enabled(s->pause, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_defer(s->event, &s->reaper, server_on_reaper, s);
	if (r >= 0)
		r = sd_event_source_set_enabled(s->reaper, SD_EVENT_OFF);
	return r < 0 ? err_raise(r, "watch a listening socket") : 0;
}

int server_new(struct server **ret, sd_event *event, const struct server_config *config)
{
	CLEANUP(cleanup_close) int fd = config->fd;
	CLEANUP(server_freep) struct server *s = malloc(sizeof(*s));
	int r;

	if (!s)
		return err_raise(-ENOMEM, "make a server");
	*s = (struct server){ .event = sd_event_ref(event), .config = *config };
	s->config.fd = TAKE_FD(fd);
	r = server_watch(s);
	if (r < 0)
		return err_pass(r);
	*ret = TAKE_PTR(s);
	return 0;
}

struct server *server_free(struct server *s)
{
	if (!s)
		return NULL;
	for (size_t i = 0; i < s->n_connections; i++)
		server_connection_free(s->connections[i]);
	sd_event_source_disable_unref(s->reaper);
	sd_event_source_disable_unref(s->pause);
	sd_event_source_disable_unref(s->listener);
	cleanup_close_fd(s->config.fd);
	sd_event_unref(s->event);
	free(s);
	return NULL;
}

size_t server_connections(const struct server *s)
{
	return s->n_connections;
}
