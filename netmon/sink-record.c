/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record sink, see sink-record.h.
 *
 * A line is written at once, as far as the reader takes it; the rest waits for EPOLLOUT. done()
 * always comes from the loop: by a one-shot defer source when the line went whole, from the write
 * handler otherwise. Nothing is ready while no op is in flight, so an idle monitor has no wake-ups.
 *
 * Who calls this ignores SIGPIPE (netmon.c): a reader that went away is EPIPE here, and a reason to
 * ask again.
 */
#include "netmon/sink-record.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "netmon/document.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct sink_record {
	struct sink sink;
	int fd;	      /* borrowed */
	int fd_flags; /* as we found them; -1: left alone */
	char *sandbox_id;
	uint64_t fail_op;
	uint64_t number;	   /* ops begun so far */
	sd_event_source *finish;   /* calls done() */
	sd_event_source *writable; /* NULL: the file never blocks */
	bool torn; /* a line was cut short: the next one starts on a line of its own */
	/* of the op in flight */
	bool busy;
	uint64_t begun_usec;
	struct text line;
	size_t written; /* bytes of it */
	enum sink_result result;
	const char *reason; /* static, or in @said */
	struct text said;
};

static struct sink_record *sink_record_of(struct sink *s)
{
	return (struct sink_record *)s;
}

/* ---- the line ---- */

/* A link and what it has: "link":{..},"addresses":[..] */
static void sink_record_write_link(struct json_writer *j, const struct snapshot *network,
				   const struct link *link)
{
	const struct table *addrs = snapshot_addrs(network);
	size_t n, first = table_range_of_link(addrs, link->ifindex, &n);

	document_write_link(j, "link", link);
	json_writer_array_begin(j, "addresses");
	for (size_t i = first; i < first + n; i++)
		document_write_addr(j, NULL, &addrs->addrs[i]);
	json_writer_array_end(j);
}

static void sink_record_write_side(struct json_writer *j, const char *key,
				   const struct snapshot *network, const struct link *link)
{
	json_writer_object_begin(j, key);
	sink_record_write_link(j, network, link);
	json_writer_object_end(j);
}

static void sink_record_write_links(struct json_writer *j, const struct plan *p,
				    const struct op *op)
{
	const struct link *from = plan_link_from(p, op);
	const struct link *to = plan_link_to(p, op);

	if (op->verb == PLAN_LINK_UPDATE) {
		sink_record_write_side(j, "from", &p->from, from);
		sink_record_write_side(j, "to", &p->to, to);
	} else if (op->verb == PLAN_LINK_DEL) {
		sink_record_write_link(j, &p->from, from);
	} else {
		sink_record_write_link(j, &p->to, to);
	}
}

static void sink_record_write_routes(struct json_writer *j, const struct plan *p,
				     const struct op *op)
{
	const struct route *from = plan_route_from(p, op);
	const struct route *to = plan_route_to(p, op);

	if (op->verb == PLAN_ROUTE_REPLACE) {
		document_write_route(j, "from", from);
		document_write_route(j, "to", to);
	} else {
		document_write_route(j, "route", op->verb == PLAN_ROUTE_DEL ? from : to);
	}
}

static void sink_record_write_neighs(struct json_writer *j, const struct plan *p,
				     const struct op *op)
{
	document_write_neigh(j, "neighbour",
			     op->verb == PLAN_NEIGH_DEL ? plan_neigh_from(p, op)
							: plan_neigh_to(p, op));
}

/*
 * What follows the head of a line; NULL: never sent here, since the whole set is said route by
 * route.
 */
static void (*const sink_record_writers[])(struct json_writer *j, const struct plan *p,
					   const struct op *op) = {
	[PLAN_LINK_DEL] = sink_record_write_links,
	[PLAN_LINK_ADD] = sink_record_write_links,
	[PLAN_LINK_UPDATE] = sink_record_write_links,
	[PLAN_ROUTES_SET] = NULL,
	[PLAN_ROUTE_DEL] = sink_record_write_routes,
	[PLAN_ROUTE_ADD] = sink_record_write_routes,
	[PLAN_ROUTE_REPLACE] = sink_record_write_routes,
	[PLAN_NEIGH_DEL] = sink_record_write_neighs,
	[PLAN_NEIGH_ADD] = sink_record_write_neighs,
};
_Static_assert(sizeof(sink_record_writers) / sizeof(sink_record_writers[0]) == _PLAN_VERB_MAX,
	       "each verb has its writer");

static int sink_record_compose(struct sink_record *s, const struct sink_call *call)
{
	struct json_writer j = json_writer_on_text(&s->line);

	text_reset(&s->line);
	s->written = 0;
	if (s->torn)
		(void)text_append_str(&s->line, "\n");
	json_writer_object_begin(&j, NULL);
	json_writer_string(&j, "op", plan_verb_to_string(call->op->verb));
	json_writer_string(&j, "sandbox", s->sandbox_id);
	json_writer_u64(&j, "number", s->number);
	json_writer_u64(&j, "time_usec", s->begun_usec);
	sink_record_writers[call->op->verb](&j, call->plan, call->op);
	json_writer_object_end(&j);
	(void)text_append_str(&s->line, "\n");
	return s->line.error;
}

/* ---- writing and finishing ---- */

/* The last thing done with @s: the callback may begin the next op, or free us. */
static void sink_record_finish(struct sink_record *s)
{
	struct sink_outcome outcome = {
		.result = s->result,
		.reason = s->reason,
		.duration_usec = clock_now_usec() - s->begun_usec,
	};

	s->busy = false;
	s->sink.done(s->sink.userdata, &outcome);
}

static int sink_record_on_finish(sd_event_source *source, void *userdata)
{
	(void)source;
	sink_record_finish(userdata);
	return 0;
}

static void sink_record_fail(struct sink_record *s, int r)
{
	text_reset(&s->said);
	(void)text_appendf(&s->said, "write the record: %s", strerrordesc_np(-r));
	s->result = SINK_RETRY;
	s->reason = s->said.data ? s->said.data : "write the record";
	s->torn = s->torn || s->written > 0;
}

/* Return: true when there is nothing left to wait for, written or failed. */
static bool sink_record_write(struct sink_record *s)
{
	while (s->written < s->line.size) {
		ssize_t n = write(s->fd, s->line.data + s->written, s->line.size - s->written);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN && s->writable)
			return false;
		if (n <= 0) {
			sink_record_fail(s, n < 0 ? -errno : -EIO);
			return true;
		}
		s->written += (size_t)n;
	}
	s->torn = false;
	return true;
}

static int sink_record_on_writable(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct sink_record *s = userdata;

	(void)fd;
	(void)events;
	if (!sink_record_write(s))
		return 0;
	(void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
	sink_record_finish(s);
	return 0;
}

static int sink_record_send(struct sink_record *s, const struct sink_call *call)
{
	int r = sink_record_compose(s, call);

	if (r < 0)
		return r;
	if (sink_record_write(s))
		return sd_event_source_set_enabled(s->finish, SD_EVENT_ONESHOT);
	return sd_event_source_set_enabled(s->writable, SD_EVENT_ON);
}

/* As we were told to: nothing is written, since nobody has it. */
static int sink_record_refuse(struct sink_record *s)
{
	s->result = SINK_RETRY;
	s->reason = "told to fail once";
	return sd_event_source_set_enabled(s->finish, SD_EVENT_ONESHOT);
}

/* ---- the sink ---- */

static int sink_record_begin(struct sink *sink, const struct sink_call *call)
{
	struct sink_record *s = sink_record_of(sink);
	int r;

	if (s->busy)
		return err_raise(-EBUSY, "record an op");
	if (!sink_record_writers[call->op->verb])
		return err_raise(-EOPNOTSUPP, "record %s", plan_verb_to_string(call->op->verb));
	s->number++;
	s->begun_usec = clock_now_usec();
	s->result = SINK_DONE;
	s->reason = "";
	if (s->number == s->fail_op)
		r = sink_record_refuse(s);
	else
		r = sink_record_send(s, call);
	if (r < 0)
		return err_raise(r, "record %s", plan_verb_to_string(call->op->verb));
	s->busy = true;
	return 0;
}

static void sink_record_stop(struct sink *sink, bool sandbox_gone)
{
	struct sink_record *s = sink_record_of(sink);

	(void)sandbox_gone;
	(void)sd_event_source_set_enabled(s->finish, SD_EVENT_OFF);
	(void)sd_event_source_set_enabled(s->writable, SD_EVENT_OFF);
	s->busy = false;
}

static struct sink *sink_record_free(struct sink *sink)
{
	struct sink_record *s = sink_record_of(sink);

	if (!s)
		return NULL;
	sd_event_source_disable_unref(s->finish);
	sd_event_source_disable_unref(s->writable);
	/* The flag is the open file's, and the shell that started us has the same one. */
	if (s->fd_flags >= 0)
		(void)fcntl(s->fd, F_SETFL, s->fd_flags);
	text_done(&s->line);
	text_done(&s->said);
	free(s->sandbox_id);
	free(s);
	return NULL;
}

const struct sink_ops sink_record_ops = {
	.name = "record",
	.caps = {
		.updates_links = true,
		.neighbours = true,
		.route_mtu = true,
		.route_onlink = true,
		.route_family = true,
	},
	.begin = sink_record_begin,
	.stop = sink_record_stop,
	.free = sink_record_free,
};

static int sink_record_unblock(struct sink_record *s)
{
	int flags = fcntl(s->fd, F_GETFL);

	if (flags < 0)
		return err_raise(-errno, "look at the record's file descriptor %d", s->fd);
	if ((flags & O_NONBLOCK) != 0)
		return 0;
	if (fcntl(s->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_raise(-errno, "make the record's file descriptor %d non-blocking",
				 s->fd);
	s->fd_flags = flags;
	return 0;
}

/*
 * Regular files, and devices as /dev/null, can not be waited for (EPERM, epoll_ctl(2)) and never
 * block.
 */
static int sink_record_watch(struct sink_record *s, sd_event *event)
{
	int r = sd_event_add_io(event, &s->writable, s->fd, EPOLLOUT, sink_record_on_writable, s);

	if (r < 0 && r != -EPERM)
		return err_raise(r, "watch the record's file descriptor %d", s->fd);
	if (r >= 0) {
		(void)sd_event_source_set_description(s->writable, "record-writable");
		r = sd_event_source_set_enabled(s->writable, SD_EVENT_OFF);
		if (r < 0)
			return err_raise(r, "watch the record's file descriptor %d", s->fd);
	}
	r = sd_event_add_defer(event, &s->finish, sink_record_on_finish, s);
	if (r >= 0)
		r = sd_event_source_set_enabled(s->finish, SD_EVENT_OFF);
	if (r < 0)
		return err_raise(r, "make the record sink");
	(void)sd_event_source_set_description(s->finish, "record-finish");
	return 0;
}

int sink_record_new(struct sink **ret, sd_event *event, const struct sink_record_config *config)
{
	struct sink_record *s = malloc(sizeof(*s));
	int r = 0;

	if (!s)
		return err_raise(-ENOMEM, "make the record sink");
	*s = (struct sink_record){
		.sink.ops = &sink_record_ops,
		.fd = config->fd,
		.fd_flags = -1,
		.sandbox_id = strdup(config->sandbox_id),
		.fail_op = config->fail_op,
	};
	if (!s->sandbox_id)
		r = err_raise(-ENOMEM, "make the record sink");
	if (r == 0)
		r = sink_record_unblock(s);
	if (r == 0)
		r = sink_record_watch(s, event);
	if (r < 0) {
		sink_record_free(&s->sink);
		return err_pass(r);
	}
	*ret = &s->sink;
	return 0;
}
