/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one door to the kernel. See netlink.h; netmon/kernel.c tells how dumps end and what they
 * leave behind.
 */
#include "agent-proto/guest/netlink.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/error.h"

#define SEND_BYTES    (64U * 1024)
#define RECEIVE_BYTES (64U * 1024) /* a part of a dump is at most 32 KiB; one link may be longer */
#define MESSAGE_BYTES 4096U
#define BUFFER_BYTES  (1024 * 1024)
#define EVENT_READS   1024U /* of one netlink_take_events() */

DEFINE_CLEANUP(struct nl_sock, nl_socket_free)

struct netlink {
	struct nl_sock *requests;
	struct nl_sock *events;
	uint32_t seq;
	char words[NETLINK_WORDS_MAX];
	char send[SEND_BYTES];
	char receive[RECEIVE_BYTES];
};

/* ---- opening ---- */

static void set_option(struct nl_sock *s, int level, int option, int value)
{
	/* Each of them is a help that an old kernel, or one without rights, does not give. */
	(void)setsockopt(nl_socket_get_fd(s), level, option, &value, sizeof(value));
}

static int open_socket(struct nl_sock **ret)
{
	struct timeval limit = { .tv_sec = NETLINK_ANSWER_MSEC / 1000 };
	CLEANUP(nl_socket_freep) struct nl_sock *s = nl_socket_alloc();

	if (!s)
		return err_raise(-ENOMEM, "make a netlink socket");
	nl_socket_disable_auto_ack(s);
	/* libnl opens it close-on-exec, and loses the kernel's number; errno still has it. */
	if (nl_connect(s, NETLINK_ROUTE) < 0)
		return err_raise(-errno, "open a netlink socket");
	if (setsockopt(nl_socket_get_fd(s), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
		return err_raise(-errno, "set the timeout of a netlink socket");
	set_option(s, SOL_SOCKET, SO_RCVBUF, BUFFER_BYTES);
	set_option(s, SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES);
	*ret = TAKE_PTR(s);
	return 0;
}

static int open_both(struct netlink *n)
{
	int r = open_socket(&n->requests);

	if (r < 0)
		return err_pass(r);
	set_option(n->requests, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
	set_option(n->requests, SOL_NETLINK, NETLINK_EXT_ACK, 1);
	set_option(n->requests, SOL_NETLINK, NETLINK_CAP_ACK, 1);
	r = open_socket(&n->events);
	if (r < 0)
		return err_pass(r);
	if (nl_socket_add_membership(n->events, RTNLGRP_LINK) < 0)
		return err_raise(-errno, "subscribe to link events");
	return 0;
}

int netlink_new(struct netlink **ret)
{
	CLEANUP(netlink_freep) struct netlink *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return err_raise(-ENOMEM, "make the kernel's side");
	r = open_both(n);
	if (r < 0)
		return err_pass(r);
	*ret = TAKE_PTR(n);
	return 0;
}

struct netlink *netlink_free(struct netlink *n)
{
	if (!n)
		return NULL;
	nl_socket_free(n->requests);
	nl_socket_free(n->events);
	free(n);
	return NULL;
}

uint64_t netlink_cookie(const struct netlink *n)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);

	(void)getsockopt(nl_socket_get_fd(n->requests), SOL_SOCKET, SO_NETNS_COOKIE, &cookie,
			 &size);
	return cookie;
}

/* ---- receiving ---- */

/* Return: bytes; 0: not the kernel's, pass over; -errno, raises nothing. */
static int receive(struct netlink *n, struct nl_sock *s, int flags)
{
	struct sockaddr_nl from = { 0 };
	struct iovec iov = { .iov_base = n->receive, .iov_len = sizeof(n->receive) };
	struct msghdr m = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};
	ssize_t size;

	do
		size = recvmsg(nl_socket_get_fd(s), &m, flags);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		return -errno;
	if (m.msg_namelen != sizeof(from) || from.nl_pid != 0)
		return 0;
	return m.msg_flags & MSG_TRUNC ? -EMSGSIZE : (int)size;
}

static struct nlmsghdr *first_of(struct netlink *n)
{
	return (struct nlmsghdr *)(void *)n->receive;
}

int netlink_event_fd(const struct netlink *n)
{
	return nl_socket_get_fd(n->events);
}

bool netlink_take_events(struct netlink *n)
{
	unsigned reads = 0;

	while (reads < EVENT_READS && receive(n, n->events, MSG_DONTWAIT) != -EAGAIN)
		reads++;
	return reads > 0;
}

/* Left of a request that was given up: an answer of it must not be taken for another's. */
static void discard_rest(struct netlink *n)
{
	for (unsigned i = 0; i < EVENT_READS; i++) {
		int size = receive(n, n->requests, MSG_DONTWAIT);

		if (size < 0 && size != -EMSGSIZE && size != -ENOBUFS)
			return;
	}
}

/*
 * The error of an answer, and the kernel's words with it. NLMSG_ERROR and NLMSG_DONE both begin
 * with an int. Source: linux/netlink.h, enum nlmsgerr_attrs.
 */
static int error_of(struct netlink *n, const struct nlmsghdr *h)
{
	int fixed = h->nlmsg_type == NLMSG_DONE ? (int)sizeof(int) : (int)sizeof(struct nlmsgerr);
	struct nlattr *tb[NLMSGERR_ATTR_MSG + 1] = { 0 };
	int error = h->nlmsg_type == NLMSG_DONE ? 0 : -EBADMSG;

	n->words[0] = '\0';
	if (nlmsg_datalen(h) >= (int)sizeof(error))
		memcpy(&error, nlmsg_data(h), sizeof(error));
	if ((h->nlmsg_flags & NLM_F_ACK_TLVS) && nlmsg_valid_hdr(h, fixed) &&
	    nla_parse(tb, NLMSGERR_ATTR_MSG, nlmsg_attrdata(h, fixed), nlmsg_attrlen(h, fixed),
		      NULL) >= 0 &&
	    tb[NLMSGERR_ATTR_MSG])
		(void)nla_strlcpy(n->words, tb[NLMSGERR_ATTR_MSG], sizeof(n->words));
	return error < 0 ? error : 0;
}

/* ---- requests ---- */

struct nl_msg *netlink_message(int type, int flags, const void *header, size_t header_bytes)
{
	CLEANUP(nlmsg_freep) struct nl_msg *m = nlmsg_alloc_size(MESSAGE_BYTES);

	if (!m || !nlmsg_put(m, 0, 0, type, 0, flags) ||
	    nlmsg_append(m, (void *)(uintptr_t)header, header_bytes, NLMSG_ALIGNTO) < 0)
		return NULL;
	return TAKE_PTR(m);
}

/* What of a batch goes with one sendmsg(). */
struct part {
	const struct netlink_batch *batch;
	size_t first, count; /* items */
	size_t bytes;
	uint32_t seq; /* of item first */
	size_t answered;
};

/* Return: 0; 1: does not fit any more; -errno */
static int put_item(struct netlink *n, struct part *p)
{
	const struct netlink_batch *b = p->batch;
	CLEANUP(nlmsg_freep)
	struct nl_msg *m = b->make(b->userdata, p->first + p->count);
	struct nlmsghdr *h;

	if (!m)
		return err_raise(-ENOMEM, "make a netlink request");
	h = nlmsg_hdr(m);
	if (NLMSG_ALIGN(h->nlmsg_len) > sizeof(n->send) - p->bytes)
		return p->count > 0 ? 1 : err_raise(-EMSGSIZE, "make a netlink request");
	h->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	h->nlmsg_seq = p->seq + (uint32_t)p->count;
	h->nlmsg_pid = 0;
	memcpy(n->send + p->bytes, h, h->nlmsg_len);
	p->bytes += NLMSG_ALIGN(h->nlmsg_len);
	p->count++;
	return 0;
}

static int put_items(struct netlink *n, struct part *p)
{
	while (p->count < NETLINK_BATCH_MAX && p->first + p->count < p->batch->n) {
		int r = put_item(n, p);

		if (r < 0)
			return err_pass(r);
		if (r > 0)
			break;
	}
	return 0;
}

static void take_answers(struct netlink *n, struct part *p, int size)
{
	for (struct nlmsghdr *h = first_of(n); nlmsg_ok(h, size); h = nlmsg_next(h, &size)) {
		uint32_t i = h->nlmsg_seq - p->seq;

		if (h->nlmsg_type != NLMSG_ERROR || i >= p->count)
			continue;
		p->answered++;
		p->batch->done(p->batch->userdata, p->first + i, error_of(n, h), n->words);
	}
}

static int exchange_part(struct netlink *n, struct part *p)
{
	ssize_t sent;

	do
		sent = send(nl_socket_get_fd(n->requests), n->send, p->bytes, 0);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return err_raise(-errno, "send a netlink request");
	while (p->answered < p->count) {
		int size = receive(n, n->requests, 0);

		if (size < 0)
			return err_raise(size, "read the answer of the kernel");
		take_answers(n, p, size);
	}
	return 0;
}

int netlink_send(struct netlink *n, const struct netlink_batch *b)
{
	discard_rest(n);
	for (size_t first = 0; first < b->n;) {
		struct part p = { .batch = b, .first = first, .seq = n->seq + 1 };
		int r = put_items(n, &p);

		if (r < 0)
			return err_pass(r);
		n->seq += (uint32_t)p.count;
		r = exchange_part(n, &p);
		if (r < 0)
			return err_pass(r);
		first += p.count;
	}
	return 0;
}

struct single {
	struct nl_msg *message;
	int error;
	char words[NETLINK_WORDS_MAX];
};

static struct nl_msg *make_single(void *userdata, size_t i)
{
	struct single *s = userdata;

	(void)i;
	return TAKE_PTR(s->message);
}

static void done_single(void *userdata, size_t i, int error, const char *words)
{
	struct single *s = userdata;

	(void)i;
	s->error = error;
	(void)snprintf(s->words, sizeof(s->words), "%s", words);
}

int netlink_ask(struct netlink *n, struct nl_msg *m, const char *what)
{
	struct single s = { .message = m };
	struct netlink_batch b = {
		.n = 1,
		.make = make_single,
		.done = done_single,
		.userdata = &s,
	};
	int r = netlink_send(n, &b);

	if (r < 0)
		return err_pass(r);
	if (s.error == 0)
		return 0;
	return s.words[0] ? err_raise(s.error, "%s (kernel says '%s')", what, s.words)
			  : err_raise(s.error, "%s", what);
}

int netlink_forgive(int r, int error, int other)
{
	if (r >= 0 || (r != error && r != other))
		return err_pass(r);
	err_clear();
	return 0;
}

/* ---- dumps ---- */

struct reading {
	const struct netlink_dump *dump;
	uint32_t seq;
	bool is_torn;
	bool is_done;
};

static int ask_dump(struct netlink *n, struct reading *r)
{
	CLEANUP(nlmsg_freep)
	struct nl_msg *m = netlink_message(r->dump->type, NLM_F_REQUEST | NLM_F_DUMP,
					   r->dump->header, r->dump->header_bytes);
	struct nlmsghdr *h;

	if (!m)
		return err_raise(-ENOMEM, "make a netlink request");
	h = nlmsg_hdr(m);
	r->seq = h->nlmsg_seq = ++n->seq;
	if (send(nl_socket_get_fd(n->requests), h, h->nlmsg_len, 0) < 0)
		return err_raise(-errno, "send a netlink request");
	return 0;
}

static int end_dump(struct netlink *n, struct reading *r, const struct nlmsghdr *h)
{
	int error = error_of(n, h);

	r->is_done = true;
	/* -ENOENT: a table that no route was ever put in */
	if (error == 0 || error == -EAFNOSUPPORT || error == -EOPNOTSUPP || error == -ENOENT)
		return 0;
	return err_raise(error, "dump (kernel says '%s')", n->words);
}

static int take_part(struct netlink *n, struct reading *r, int size)
{
	int result = 0;

	for (struct nlmsghdr *h = first_of(n); result >= 0 && !r->is_done && nlmsg_ok(h, size);
	     h = nlmsg_next(h, &size)) {
		if (h->nlmsg_seq != r->seq)
			continue;
		if (h->nlmsg_flags & NLM_F_DUMP_INTR)
			r->is_torn = true;
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			result = end_dump(n, r, h);
		else
			result = r->dump->each(r->dump->userdata, h);
	}
	return err_pass(result);
}

static int read_dump(struct netlink *n, struct reading *r)
{
	int result;

	discard_rest(n);
	r->dump->restart(r->dump->userdata);
	result = ask_dump(n, r);
	while (result >= 0 && !r->is_done) {
		int size = receive(n, n->requests, 0);

		if (size < 0)
			return err_raise(size, "read a dump");
		result = take_part(n, r, size);
	}
	return err_pass(result);
}

int netlink_dump(struct netlink *n, const struct netlink_dump *d)
{
	for (unsigned i = 0; i < NETLINK_DUMP_TRIES; i++) {
		struct reading reading = { .dump = d };
		int r = read_dump(n, &reading);

		if (r < 0)
			return err_pass(r);
		if (!reading.is_torn)
			return 0;
	}
	return err_raise(-EAGAIN, "list what changes all the time");
}
