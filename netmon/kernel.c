/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real kernel: events are hints, dumps are truth.
 *
 * How it works. libnl makes the sockets and the requests; receiving is ours, one recvmsg() for both
 * ways, because libnl 3.7 turns an overrun into "out of memory" and waits where we must not. What
 * receive() returns keeps the facts apart: -ENOBUFS an overrun, -EMSGSIZE a message longer than the
 * buffer, -EAGAIN nothing there.
 *
 * A dump is a request and a row of parts, each as long as our buffer (up to 32 KiB), the last
 * ending in NLMSG_DONE. The kernel makes the next part only when one was read, so a dump given up
 * half-way goes on with the next read on that socket, and until its end every new request is
 * answered EBUSY. So what is left of an old one is read away before a new one begins, and parts
 * with another sequence number are passed over.
 *
 * An error of a dump comes in one of two ways: NLMSG_ERROR if it did not begin, the payload of
 * NLMSG_DONE if it did.
 * Source: net/netlink/af_netlink.c, __netlink_dump_start(), netlink_dump(), netlink_dump_done().
 */
#include "netmon/kernel.h"

#include <errno.h>
#include <limits.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/error.h"
#include "netmon/kernel-parse.h"
#include "netmon/netns.h"

/*
 * The kernel fills parts of a dump up to the reader's buffer, at most to 32 KiB: a larger one is no
 * faster (measured: 100,000 routes in 163 parts). Source: net/netlink/af_netlink.c,
 * netlink_recvmsg() and netlink_dump(), max_recvmsg_len.
 */
#define RECEIVE_BYTES (32U * 1024)
/*
 * A single message may be longer: a link holds up to 64 KiB of alternative names, and a pod may
 * name its own links. The buffer grows for what was cut, so that the same message is cut once.
 */
#define RECEIVE_MAX_BYTES (256U * 1024)

#define DUMP_BUFFER_BYTES (256U * 1024) /* of the dump's socket; one part at a time is in it */
#define DUMP_REST_MAX	  65536		/* parts of an old dump read away; more than any dump has */
#define REQUEST_BYTES	  128 /* header, the longest of the fixed headers, one attribute */

/*
 * Of the reads of one drain this share is the neighbours': a flood of events may not silence them,
 * nor they the events.
 */
#define DRAIN_NEIGH_MAX (SOURCE_DRAIN_MAX / 16)

#define MASK(kind)  (1U << (kind))
#define EVENT_KINDS (MASK(MODEL_LINK) | MASK(MODEL_ADDR) | MASK(MODEL_ROUTE) | MASK(MODEL_POLICY))
#define NEIGH_KINDS MASK(MODEL_NEIGH)

DEFINE_CLEANUP(struct nl_sock, nl_socket_free)
DEFINE_CLEANUP(struct nl_msg, nlmsg_free)

struct kernel {
	struct nl_sock *events;
	struct nl_sock *neigh;
	struct nl_sock *dump;
	char *buffer;
	size_t buffer_bytes;
	struct kernel_stats stats;
};

/* ---- opening ---- */

/*
 * libnl has numbers of its own and loses the kernel's, but errno is still that of the call which
 * failed.
 */
static int raise_libnl(int nl_error, const char *what)
{
	return err_raise(-errno, "%s (%s)", what, nl_geterror(nl_error));
}

static int set_option(struct nl_sock *s, int level, int option, int value)
{
	if (setsockopt(nl_socket_get_fd(s), level, option, &value, sizeof(value)) < 0)
		return err_raise(-errno, "set option %d of a netlink socket", option);
	return 0;
}

/*
 * SO_RCVBUF goes up to net.core.rmem_max, the forced one beyond it, if we may (CAP_NET_ADMIN). The
 * kernel doubles either.
 */
static int set_buffer(struct nl_sock *s, uint32_t bytes, uint32_t *ret_bytes)
{
	int value = bytes > INT_MAX / 2 ? INT_MAX / 2 : (int)bytes;
	socklen_t size = sizeof(value);
	int r;

	r = set_option(s, SOL_SOCKET, SO_RCVBUF, value);
	if (r < 0)
		return err_pass(r);
	if (set_option(s, SOL_SOCKET, SO_RCVBUFFORCE, value) < 0)
		err_clear();
	if (getsockopt(nl_socket_get_fd(s), SOL_SOCKET, SO_RCVBUF, &value, &size) < 0)
		return err_raise(-errno, "ask for the receive buffer of a netlink socket");
	*ret_bytes = (uint32_t)value;
	return 0;
}

static int open_socket(struct nl_sock **ret)
{
	CLEANUP(nl_socket_freep) struct nl_sock *s = nl_socket_alloc();
	int r;

	if (!s)
		return err_raise(-ENOMEM, "make a netlink socket");
	nl_socket_disable_auto_ack(s);
	/* libnl opens it close-on-exec. */
	r = nl_connect(s, NETLINK_ROUTE);
	if (r < 0)
		return raise_libnl(r, "open a netlink socket");
	*ret = TAKE_PTR(s);
	return 0;
}

static int subscribe(struct nl_sock *s, const uint8_t *groups, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = nl_socket_add_membership(s, groups[i]);

		if (r < 0)
			return raise_libnl(r, "subscribe to network events");
	}
	return 0;
}

static int open_events(struct kernel *k, uint32_t bytes)
{
	static const uint8_t groups[] = {
		RTNLGRP_LINK,	    RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
		RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE,	 RTNLGRP_IPV6_RULE,
	};
	int r = open_socket(&k->events);

	if (r < 0)
		return err_pass(r);
	/* The buffer first: from the subscription on it is in use. */
	r = set_buffer(k->events, bytes, &k->stats.event_buffer_bytes);
	if (r < 0)
		return err_pass(r);
	return err_pass(subscribe(k->events, groups, sizeof(groups)));
}

static int open_neigh(struct kernel *k, uint32_t bytes)
{
	static const uint8_t groups[] = { RTNLGRP_NEIGH };
	int r = open_socket(&k->neigh);

	if (r < 0)
		return err_pass(r);
	r = set_buffer(k->neigh, bytes, &k->stats.neigh_buffer_bytes);
	if (r < 0)
		return err_pass(r);
	return err_pass(subscribe(k->neigh, groups, sizeof(groups)));
}

/*
 * What a kernel may be too old for: without strict checking it sends more than was asked for, and
 * the parser leaves that out.
 */
static int set_new_option(struct nl_sock *s, int option)
{
	int r = set_option(s, SOL_NETLINK, option, 1);

	if (r != -ENOPROTOOPT)
		return err_pass(r);
	err_clear();
	return 0;
}

static int set_dump_timeout(struct nl_sock *s)
{
	struct timeval limit = {
		.tv_sec = KERNEL_DUMP_TIMEOUT_MSEC / 1000,
		.tv_usec = KERNEL_DUMP_TIMEOUT_MSEC % 1000 * 1000L,
	};

	if (setsockopt(nl_socket_get_fd(s), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0)
		return err_raise(-errno, "set the timeout of a netlink socket");
	return 0;
}

static int open_dump(struct kernel *k)
{
	/* CAP_ACK: an error comes without a copy of the request */
	static const uint8_t options[] = { NETLINK_GET_STRICT_CHK, NETLINK_EXT_ACK,
					   NETLINK_CAP_ACK };
	uint32_t bytes;
	int r = open_socket(&k->dump);

	if (r < 0)
		return err_pass(r);
	r = set_buffer(k->dump, DUMP_BUFFER_BYTES, &bytes);
	for (size_t i = 0; i < sizeof(options) && r >= 0; i++)
		r = set_new_option(k->dump, options[i]);
	if (r >= 0)
		r = set_dump_timeout(k->dump);
	return err_pass(r);
}

struct opening {
	struct kernel *kernel;
	const struct kernel_config *config;
};

static int open_all(void *arg)
{
	const struct opening *o = arg;
	uint32_t event_bytes = o->config->event_buffer_bytes;
	uint32_t neigh_bytes = o->config->neigh_buffer_bytes;
	int r;

	r = open_events(o->kernel, event_bytes ? event_bytes : KERNEL_EVENT_BUFFER_BYTES);
	if (r < 0)
		return err_pass(r);
	r = open_neigh(o->kernel, neigh_bytes ? neigh_bytes : KERNEL_NEIGH_BUFFER_BYTES);
	if (r < 0)
		return err_pass(r);
	return err_pass(open_dump(o->kernel));
}

int kernel_new(struct kernel **ret, const struct kernel_config *config)
{
	CLEANUP(kernel_freep) struct kernel *k = calloc(1, sizeof(*k));
	struct opening opening = { .kernel = k, .config = config };
	int r;

	if (!k)
		return err_raise(-ENOMEM, "make the kernel's side");
	k->buffer = malloc(RECEIVE_BYTES);
	if (!k->buffer)
		return err_raise(-ENOMEM, "make a receive buffer");
	k->buffer_bytes = RECEIVE_BYTES;
	if (config->netns_fd < 0)
		r = open_all(&opening);
	else
		r = netns_run(config->netns_fd, open_all, &opening);
	if (r < 0)
		return err_pass(r);
	*ret = TAKE_PTR(k);
	return 0;
}

struct kernel *kernel_free(struct kernel *k)
{
	if (!k)
		return NULL;
	nl_socket_free(k->dump);
	nl_socket_free(k->neigh);
	nl_socket_free(k->events);
	free(k->buffer);
	free(k);
	return NULL;
}

int kernel_event_fd(const struct kernel *k)
{
	return nl_socket_get_fd(k->events);
}

int kernel_neigh_fd(const struct kernel *k)
{
	return nl_socket_get_fd(k->neigh);
}

int kernel_netns_cookie(const struct kernel *k, uint64_t *ret)
{
	uint64_t cookie;
	socklen_t size = sizeof(cookie);

	if (getsockopt(nl_socket_get_fd(k->dump), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) < 0)
		return err_raise(-errno, "ask for the cookie of the network namespace");
	*ret = cookie;
	return 0;
}

const struct kernel_stats *kernel_stats(const struct kernel *k)
{
	return &k->stats;
}

/* ---- receiving ---- */

/*
 * Doubled, since such a link tends to get longer. A failure is none: the next message of that
 * length is cut again, and said to be.
 */
static void grow_buffer(struct kernel *k, size_t needed_bytes)
{
	size_t bytes = k->buffer_bytes;
	char *buffer;

	while (bytes < needed_bytes && bytes < RECEIVE_MAX_BYTES)
		bytes *= 2;
	buffer = realloc(k->buffer, bytes);
	if (!buffer)
		return;
	k->buffer = buffer;
	k->buffer_bytes = bytes;
}

/*
 * One datagram to k->buffer. @flags: MSG_DONTWAIT or 0.
 * Return: its size; 0 when it is not the kernel's (another process may send to our port) and to be
 * passed over;
 * -EAGAIN nothing there, or the timeout; -ENOBUFS overrun; -EMSGSIZE cut; other -errno. Raises
 * nothing.
 */
static int receive(struct kernel *k, struct nl_sock *s, int flags)
{
	struct sockaddr_nl from = { 0 };
	struct iovec iov = { .iov_base = k->buffer, .iov_len = k->buffer_bytes };
	struct msghdr m = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
	};
	ssize_t n;

	do
		n = recvmsg(nl_socket_get_fd(s), &m, flags | MSG_TRUNC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (m.msg_namelen != sizeof(from) || from.nl_pid != 0)
		return 0;
	if (m.msg_flags & MSG_TRUNC) {
		grow_buffer(k, (size_t)n);
		return -EMSGSIZE;
	}
	return (int)n;
}

/*
 * libnl's nlmsg_for_each() does not compile (it declares an int for the message), so the loops are
 * written out.
 */
static struct nlmsghdr *first_of(struct kernel *k)
{
	return (struct nlmsghdr *)(void *)k->buffer;
}

/* ---- events ---- */

struct drain {
	struct kernel *kernel;
	void (*hint)(void *userdata, const struct source_hint *h);
	void (*lost)(void *userdata, enum source_condition c, unsigned kinds);
	void *userdata;
};

static void hint_each(const struct drain *d, int size)
{
	struct kernel *k = d->kernel;

	for (struct nlmsghdr *h = first_of(k); nlmsg_ok(h, size); h = nlmsg_next(h, &size)) {
		struct source_hint hint;
		int r = kernel_parse_hint(h, &hint);

		k->stats.events++;
		if (r == 0)
			d->hint(d->userdata, &hint);
		else if (r < 0)
			k->stats.malformed++;
	}
}

/*
 * An overrun is told once, before what was queued when it happened: that is still there, and is
 * read on.
 */
static int drain_socket(const struct drain *d, struct nl_sock *s, unsigned kinds, unsigned reads)
{
	for (unsigned i = 0; i < reads; i++) {
		int n = receive(d->kernel, s, MSG_DONTWAIT);

		if (n == -EAGAIN)
			return 0;
		if (n == -ENOBUFS)
			d->lost(d->userdata, SOURCE_OVERRUN, kinds);
		else if (n == -EMSGSIZE)
			d->lost(d->userdata, SOURCE_TRUNCATED, kinds);
		else if (n < 0)
			return err_raise(n, "read network events");
		else
			hint_each(d, n);
	}
	return SOURCE_AGAIN;
}

static int drain(void *source, void (*hint)(void *userdata, const struct source_hint *h),
		 void (*lost)(void *userdata, enum source_condition c, unsigned kinds),
		 void *userdata)
{
	struct kernel *k = source;
	struct drain d = { .kernel = k, .hint = hint, .lost = lost, .userdata = userdata };
	int events, neigh;

	events = drain_socket(&d, k->events, EVENT_KINDS, SOURCE_DRAIN_MAX - DRAIN_NEIGH_MAX);
	if (events < 0)
		return err_pass(events);
	neigh = drain_socket(&d, k->neigh, NEIGH_KINDS, DRAIN_NEIGH_MAX);
	if (neigh < 0)
		return err_pass(neigh);
	return events ? events : neigh;
}

/* ---- dumps: the requests ---- */

struct request {
	enum model_kind kind;
	uint16_t type;
	uint8_t family;
	uint8_t table; /* of a route, 0: all */
	uint8_t header_bytes;
};

/*
 * In this order into one table: IPv4 first, as the order of routes has it, so that a dump of them
 * needs no sorting.
 */
static const struct request requests[] = {
	{ MODEL_LINK, RTM_GETLINK, AF_UNSPEC, 0, sizeof(struct ifinfomsg) },
	{ MODEL_ADDR, RTM_GETADDR, AF_UNSPEC, 0, sizeof(struct ifaddrmsg) },
	{ MODEL_ROUTE, RTM_GETROUTE, AF_INET, RT_TABLE_MAIN, sizeof(struct rtmsg) },
	{ MODEL_ROUTE, RTM_GETROUTE, AF_INET6, RT_TABLE_MAIN, sizeof(struct rtmsg) },
	{ MODEL_NEIGH, RTM_GETNEIGH, AF_UNSPEC, 0, sizeof(struct ndmsg) },
	{ MODEL_POLICY, RTM_GETRULE, AF_INET, 0, sizeof(struct fib_rule_hdr) },
	{ MODEL_POLICY, RTM_GETRULE, AF_INET6, 0, sizeof(struct fib_rule_hdr) },
	{ MODEL_POLICY, RTM_GETROUTE, AF_INET, 0, sizeof(struct rtmsg) },
	{ MODEL_POLICY, RTM_GETROUTE, AF_INET6, 0, sizeof(struct rtmsg) },
};

/*
 * Each header begins with its family; what else is asked for stays zero, as strict checking wants
 * it.
 */
static int fill_request(struct nl_msg *m, const struct request *q)
{
	union {
		uint8_t family;
		struct rtmsg rtm;
		struct ifinfomsg longest;
	} header = { 0 };

	header.family = q->family;
	if (q->table)
		header.rtm.rtm_table = q->table;
	if (nlmsg_append(m, &header, q->header_bytes, NLMSG_ALIGNTO) < 0)
		return -ENOMEM;
	/* Counters are two thirds of a link's message and nothing to us. */
	if (q->kind == MODEL_LINK && nla_put_u32(m, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS) < 0)
		return -ENOMEM;
	return 0;
}

/* Return: 0; SOURCE_AGAIN; -ENOMEM, -errno. */
static int send_request(struct kernel *k, const struct request *q, uint32_t *ret_seq)
{
	CLEANUP(nlmsg_freep) struct nl_msg *m = nlmsg_alloc_size(REQUEST_BYTES);
	struct nlmsghdr *h;
	int r;

	h = m ? nlmsg_put(m, NL_AUTO_PORT, NL_AUTO_SEQ, q->type, 0, NLM_F_REQUEST | NLM_F_DUMP)
	      : NULL;
	if (!h || fill_request(m, q) < 0)
		return err_raise(-ENOMEM, "make a netlink request");
	r = nl_send_auto(k->dump, m);
	if (r < 0 && (errno == ENOBUFS || errno == ENOMEM || errno == EAGAIN))
		return SOURCE_AGAIN;
	if (r < 0)
		return raise_libnl(r, "send a netlink request");
	*ret_seq = h->nlmsg_seq;
	return 0;
}

/* ---- dumps: the answers ---- */

struct dump {
	struct kernel *kernel;
	const struct request *request;
	struct table *table;
	uint32_t seq;
	bool done;
	bool interrupted;
};

/*
 * The kernel's own words for an error (NETLINK_EXT_ACK), "" if it has none. @payload_bytes: what
 * stands before them.
 * Source: linux/netlink.h, enum nlmsgerr_attrs; Documentation/userspace-api/netlink/intro.rst, "Ext
 * ACK".
 */
static const char *words_of(const struct nlmsghdr *h, size_t payload_bytes)
{
	static const struct nla_policy policy[NLMSGERR_ATTR_MSG + 1] = {
		[NLMSGERR_ATTR_MSG] = { .type = NLA_STRING },
	};
	struct nlattr *tb[NLMSGERR_ATTR_MSG + 1];
	int bytes = (int)payload_bytes;

	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS) || !nlmsg_valid_hdr(h, bytes))
		return "";
	if (nla_parse(tb, NLMSGERR_ATTR_MSG, nlmsg_attrdata(h, bytes), nlmsg_attrlen(h, bytes),
		      policy) < 0)
		return "";
	return tb[NLMSGERR_ATTR_MSG] ? nla_get_string(tb[NLMSGERR_ATTR_MSG]) : "";
}

/*
 * What is not there is empty: a family that this kernel has not, a table that no route was ever put
 * in.
 */
static bool means_empty(const struct request *q, int error)
{
	return error == -EAFNOSUPPORT || error == -EOPNOTSUPP || (error == -ENOENT && q->table);
}

static bool means_again(int error)
{
	return error == -EBUSY || error == -ENOMEM || error == -ENOBUFS || error == -EAGAIN;
}

static int end_dump(struct dump *d, int error, const char *words)
{
	d->done = true;
	if (error >= 0 || means_empty(d->request, error))
		return 0;
	if (means_again(error))
		return SOURCE_AGAIN;
	return err_raise(error, "dump of the %ss: kernel says '%s'",
			 model_kind_to_string(d->request->kind), words);
}

/*
 * Both begin with an int, 0 or a negative errno; an NLMSG_ERROR of 0 is an acknowledgement, and
 * ends nothing.
 */
static int end_by_message(struct dump *d, const struct nlmsghdr *h)
{
	bool is_done = h->nlmsg_type == NLMSG_DONE;
	int error = is_done ? 0 : -EBADMSG;

	if (nlmsg_datalen(h) >= (int)sizeof(error))
		memcpy(&error, nlmsg_data(h), sizeof(error));
	if (!is_done && error == 0)
		return 0;
	return end_dump(d, error, words_of(h, is_done ? sizeof(int) : sizeof(struct nlmsgerr)));
}

/*
 * Routes of another table come in one row: of each row the first is enough, and the sealing does
 * the rest.
 */
static bool is_last(const struct table *t, const void *item)
{
	return t->n > 0 && model_compare(t->kind, table_at(t, t->n - 1), item) == 0;
}

static int take_object(struct dump *d, const struct nlmsghdr *h)
{
	union {
		struct link link;
		struct addr addr;
		struct route route;
		struct neigh neigh;
		struct policy policy;
	} item;
	int r = kernel_parse_object(d->request->kind, h, &item);

	if (r == KERNEL_PARSE_SKIP)
		return 0;
	if (r < 0) {
		d->kernel->stats.malformed++;
		return 0;
	}
	if (d->request->kind == MODEL_POLICY && is_last(d->table, &item))
		return 0;
	r = table_add(d->table, &item);
	return r == TABLE_FULL ? 0 : err_pass(r);
}

static int take_part(struct dump *d, int size)
{
	for (struct nlmsghdr *h = first_of(d->kernel); nlmsg_ok(h, size);
	     h = nlmsg_next(h, &size)) {
		int r;

		if (h->nlmsg_seq != d->seq)
			continue;
		if (h->nlmsg_flags & NLM_F_DUMP_INTR)
			d->interrupted = true;
		if (h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR)
			r = end_by_message(d, h);
		else
			r = take_object(d, h);
		if (r != 0 || d->done)
			return err_pass(r);
	}
	return 0;
}

/* Return: 0; SOURCE_TRUNCATED; SOURCE_AGAIN; -errno. */
static int read_parts(struct dump *d)
{
	while (!d->done) {
		int n = receive(d->kernel, d->kernel->dump, 0);
		int r;

		if (n == -EMSGSIZE)
			return SOURCE_TRUNCATED;
		if (n == -EAGAIN || n == -ENOBUFS)
			return SOURCE_AGAIN;
		if (n < 0)
			return err_raise(n, "read a dump");
		r = take_part(d, n);
		if (r != 0)
			return err_pass(r);
	}
	return 0;
}

/* Whatever goes wrong here goes wrong again in the dump, and is told there. */
static void discard_rest(struct kernel *k)
{
	for (unsigned i = 0; i < DUMP_REST_MAX; i++) {
		int n = receive(k, k->dump, MSG_DONTWAIT);

		if (n < 0 && n != -EMSGSIZE && n != -ENOBUFS)
			return;
	}
}

static int run_request(struct dump *d)
{
	int r;

	discard_rest(d->kernel);
	r = send_request(d->kernel, d->request, &d->seq);
	if (r != 0)
		return err_pass(r);
	d->done = false;
	r = read_parts(d);
	return err_pass(r);
}

static int dump(void *source, enum model_kind kind, struct table **ret)
{
	CLEANUP(table_unrefp) struct table *t = NULL;
	struct dump d = { .kernel = source };
	int r = table_new(&t, kind);

	if (r < 0)
		return err_pass(r);
	d.kernel->stats.dumps++;
	d.table = t;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		d.request = &requests[i];
		if (d.request->kind != kind)
			continue;
		r = run_request(&d);
		if (r != 0)
			return err_pass(r);
	}
	table_seal(t);
	*ret = TAKE_PTR(t);
	return d.interrupted ? SOURCE_INTERRUPTED : 0;
}

const struct source_ops kernel_source_ops = {
	.drain = drain,
	.dump = dump,
};
