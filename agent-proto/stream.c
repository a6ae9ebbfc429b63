/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ttrpc connection on an fd, see stream.h.
 */
#include "agent-proto/stream.h"

#include "agent-proto/transport.h"
#include "base/cleanup.h"
#include "base/error.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

int stream_open(struct stream *s, sd_event *event, int fd, enum ttrpc_role role,
		sd_event_io_handler_t handler, void *userdata)
{
	int r;

	*s = STREAM_NULL;
	s->fd = fd;
	r = ttrpc_new(&s->ttrpc, role);
	if (r == 0)
		r = sd_event_add_io(event, &s->source, fd, EPOLLIN, handler, userdata);
	if (r < 0) {
		stream_close(s);
		return err_raise(r, "watch a ttrpc connection");
	}
	(void)sd_event_source_set_description(s->source, "ttrpc");
	return 0;
}

/* Only while something waits: an empty output is always writable. */
static int stream_watch_out(struct stream *s, bool is_waiting)
{
	int r;

	if (is_waiting == s->is_watching_out)
		return 0;
	r = sd_event_source_set_io_events(s->source, is_waiting ? EPOLLIN | EPOLLOUT : EPOLLIN);
	if (r < 0)
		return err_raise(r, "watch a ttrpc connection");
	s->is_watching_out = is_waiting;
	return 0;
}

int stream_write(struct stream *s)
{
	size_t size;
	const void *data = ttrpc_output(s->ttrpc, &size);

	while (size > 0) {
		ssize_t n = transport_send(s->fd, data, size);

		if (n == -EAGAIN)
			break;
		if (n < 0)
			return err_raise((int)n, "write to a ttrpc connection");
		ttrpc_output_done(s->ttrpc, (size_t)n);
		data = ttrpc_output(s->ttrpc, &size);
	}
	return err_pass(stream_watch_out(s, size > 0));
}

/* An fd that has hung up stays ready for ever: nothing to read from it is its end. */
static int stream_read(struct stream *s, bool has_hung_up)
{
	size_t size;
	void *at = ttrpc_input(s->ttrpc, &size);
	ssize_t n;

	if (!at)
		return err_raise(-ENOMEM, "read from a ttrpc connection");
	do
		n = read(s->fd, at, size);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN && !has_hung_up)
		return 0;
	if (n == 0 || (n < 0 && errno == EAGAIN))
		return err_raise(-ECONNRESET, "read from a ttrpc connection that was closed");
	if (n < 0)
		return err_raise(-errno, "read from a ttrpc connection");
	ttrpc_input_done(s->ttrpc, (size_t)n);
	return 0;
}

int stream_ready(struct stream *s, uint32_t events)
{
	int r = (events & EPOLLOUT) != 0 ? stream_write(s) : 0;

	/* What the peer said before it went is worth reading, though it takes no more from us. */
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
		if (r < 0)
			err_clear();
		r = stream_read(s, (events & (EPOLLHUP | EPOLLERR)) != 0);
	}
	return err_pass(r);
}

int stream_feed(struct stream *s, const void *data, size_t size, size_t *ret_used)
{
	size_t room;
	void *at = ttrpc_input(s->ttrpc, &room);

	if (!at)
		return err_raise(-ENOMEM, "feed a ttrpc connection");
	if (room > size)
		room = size;
	memcpy(at, data, room);
	ttrpc_input_done(s->ttrpc, room);
	*ret_used = room;
	return 0;
}

void stream_hang_up(struct stream *s)
{
	s->source = sd_event_source_disable_unref(s->source);
	s->fd = cleanup_close_fd(s->fd);
}

void stream_close(struct stream *s)
{
	stream_hang_up(s);
	s->ttrpc = ttrpc_free(s->ttrpc);
}
