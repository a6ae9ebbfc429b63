/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hand that changes a pod's network, and knows when: one command a line on stdin, one answer a
 * line on stdout.
 *
 *     veth NAME INDEX PEER PEER_INDEX PID   a pair, both numbers given; the peer goes to the namespace of PID
 *     addr INDEX ADDRESS PREFIXLEN
 *     up INDEX | del INDEX
 *     routes add|del FIRST COUNT STEP INDEX GATEWAY
 *                                           16.0.0.0/24 + FIRST, and every STEP-th of the COUNT
 *                                           that follow, in batches
 *
 * Answers "ok BEFORE_USEC AFTER_USEC" (CLOCK_MONOTONIC around the requests) or "error WHY". It
 * works in the namespace that it is started in, and keeps one socket, so that nothing but the
 * request itself lies between the two times.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HAND_WORDS_MAX	  8
#define HAND_ROUTES_FIRST 0x10000000U /* 16.0.0.0; 2^20 networks of 24 bits follow */
#define HAND_ROUTES_MAX	  (1U << 20)
#define HAND_ROUTE_BITS	  24
#define HAND_ROUTE_BYTES  64  /* at least what a route's message takes */
#define HAND_BATCH	  256 /* messages in one send; 16 KiB, far below the socket's send buffer */

/* A word of ours; 0 for what is none, which the kernel refuses. */
static uint32_t number(const char *word)
{
	return (uint32_t)strtoul(word, NULL, 10);
}

struct hand {
	int fd;
	uint32_t sequence;
	int64_t before_usec;
	int64_t after_usec;
};

/* Requests one behind the other; the last one asks for an answer. */
struct hand_batch {
	_Alignas(struct nlmsghdr) char bytes[HAND_BATCH * HAND_ROUTE_BYTES];
	size_t size;
	struct nlmsghdr *last;
};

static int64_t hand_now_usec(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- messages ---- */

static void *hand_take(struct hand_batch *b, size_t size)
{
	void *p = b->bytes + b->size;

	size = NLMSG_ALIGN(size);
	if (b->size + size > sizeof(b->bytes))
		abort(); /* our own mistake: all messages are of known size */
	memset(p, 0, size);
	b->size += size;
	if (b->last)
		b->last->nlmsg_len += (uint32_t)size;
	return p;
}

static void hand_begin(struct hand *hand, struct hand_batch *b, uint16_t type, uint16_t flags)
{
	b->last = NULL;
	b->last = hand_take(b, sizeof(struct nlmsghdr));
	*b->last = (struct nlmsghdr){
		.nlmsg_len = sizeof(struct nlmsghdr),
		.nlmsg_type = type,
		.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags),
		.nlmsg_seq = ++hand->sequence,
	};
}

static void hand_put(struct hand_batch *b, uint16_t type, const void *data, size_t size)
{
	struct rtattr *a = hand_take(b, RTA_LENGTH(size));

	a->rta_type = type;
	a->rta_len = (uint16_t)RTA_LENGTH(size);
	memcpy(RTA_DATA(a), data, size);
}

static struct rtattr *hand_nest(struct hand_batch *b, uint16_t type)
{
	struct rtattr *a = hand_take(b, RTA_LENGTH(0));

	a->rta_type = type;
	return a;
}

static void hand_nest_end(const struct hand_batch *b, struct rtattr *a)
{
	a->rta_len = (uint16_t)(b->bytes + b->size - (char *)a);
}

/*
 * Reads until the answer to the last request. Return: 0, or the first error that the kernel told.
 */
static int hand_answer(const struct hand *hand)
{
	_Alignas(struct nlmsghdr) char buffer[8192];
	int first = 0;

	for (;;) {
		struct nlmsghdr *h = (struct nlmsghdr *)(void *)buffer;
		ssize_t size = recv(hand->fd, buffer, sizeof(buffer), 0);
		unsigned left = (unsigned)size;

		if (size < 0)
			return -errno;
		for (; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			const struct nlmsgerr *e = NLMSG_DATA(h);

			if (h->nlmsg_type != NLMSG_ERROR)
				return -EPROTO;
			if (first == 0)
				first = e->error;
			if (h->nlmsg_seq == hand->sequence)
				return first;
		}
	}
}

static int hand_send(struct hand *hand, struct hand_batch *b)
{
	b->last->nlmsg_flags |= NLM_F_ACK;
	if (send(hand->fd, b->bytes, b->size, 0) < 0)
		return -errno;
	return hand_answer(hand);
}

/* One request, with the times around it. */
static int hand_do(struct hand *hand, struct hand_batch *b)
{
	int r;

	hand->before_usec = hand_now_usec();
	r = hand_send(hand, b);
	hand->after_usec = hand_now_usec();
	return r;
}

/* ---- links and addresses ---- */

static int hand_veth(struct hand *hand, char *const w[])
{
	struct hand_batch b = { .size = 0 };
	struct rtattr *info, *data, *peer;
	int32_t pid = (int32_t)number(w[5]);

	hand_begin(hand, &b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	*(struct ifinfomsg *)hand_take(&b, sizeof(struct ifinfomsg)) =
		(struct ifinfomsg){ .ifi_index = (int)number(w[2]) };
	hand_put(&b, IFLA_IFNAME, w[1], strlen(w[1]) + 1);
	info = hand_nest(&b, IFLA_LINKINFO);
	hand_put(&b, IFLA_INFO_KIND, "veth", sizeof("veth"));
	data = hand_nest(&b, IFLA_INFO_DATA);
	peer = hand_nest(&b, VETH_INFO_PEER);
	*(struct ifinfomsg *)hand_take(&b, sizeof(struct ifinfomsg)) =
		(struct ifinfomsg){ .ifi_index = (int)number(w[4]) };
	hand_put(&b, IFLA_IFNAME, w[3], strlen(w[3]) + 1);
	hand_put(&b, IFLA_NET_NS_PID, &pid, sizeof(pid));
	hand_nest_end(&b, peer);
	hand_nest_end(&b, data);
	hand_nest_end(&b, info);
	return hand_do(hand, &b);
}

static int hand_addr(struct hand *hand, char *const w[])
{
	struct hand_batch b = { .size = 0 };
	bool is_inet6 = strchr(w[2], ':');
	uint8_t bytes[16];
	size_t size = is_inet6 ? 16 : 4;

	if (inet_pton(is_inet6 ? AF_INET6 : AF_INET, w[2], bytes) != 1)
		return -EINVAL;
	hand_begin(hand, &b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
	*(struct ifaddrmsg *)hand_take(&b, sizeof(struct ifaddrmsg)) = (struct ifaddrmsg){
		.ifa_family = is_inet6 ? AF_INET6 : AF_INET,
		.ifa_prefixlen = (uint8_t)number(w[3]),
		.ifa_index = number(w[1]),
	};
	hand_put(&b, IFA_LOCAL, bytes, size);
	hand_put(&b, IFA_ADDRESS, bytes, size);
	return hand_do(hand, &b);
}

static int hand_link(struct hand *hand, uint16_t type, const char *index, unsigned flags)
{
	struct hand_batch b = { .size = 0 };

	hand_begin(hand, &b, type, 0);
	*(struct ifinfomsg *)hand_take(&b, sizeof(struct ifinfomsg)) = (struct ifinfomsg){
		.ifi_index = (int)number(index),
		.ifi_flags = flags,
		.ifi_change = flags,
	};
	return hand_do(hand, &b);
}

static int hand_up(struct hand *hand, char *const w[])
{
	return hand_link(hand, RTM_NEWLINK, w[1], IFF_UP);
}

static int hand_del(struct hand *hand, char *const w[])
{
	return hand_link(hand, RTM_DELLINK, w[1], 0);
}

/* ---- routes ---- */

static void hand_put_route(struct hand *hand, struct hand_batch *b, bool is_add, uint32_t number,
			   const struct in_addr *gateway, uint32_t ifindex)
{
	uint32_t dst = htonl(HAND_ROUTES_FIRST + (number << (32 - HAND_ROUTE_BITS)));

	if (is_add)
		hand_begin(hand, b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
	else
		hand_begin(hand, b, RTM_DELROUTE, 0);
	*(struct rtmsg *)hand_take(b, sizeof(struct rtmsg)) = (struct rtmsg){
		.rtm_family = AF_INET,
		.rtm_dst_len = HAND_ROUTE_BITS,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_STATIC,
		.rtm_scope = RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
	};
	hand_put(b, RTA_DST, &dst, sizeof(dst));
	hand_put(b, RTA_GATEWAY, gateway, sizeof(*gateway));
	hand_put(b, RTA_OIF, &ifindex, sizeof(ifindex));
}

static int hand_routes(struct hand *hand, char *const w[])
{
	struct hand_batch b;
	bool is_add = strcmp(w[1], "add") == 0;
	uint32_t next = number(w[2]), end = next + number(w[3]);
	uint32_t step = number(w[4]), ifindex = number(w[5]);
	struct in_addr gateway;
	int r = 0;

	if (inet_pton(AF_INET, w[6], &gateway) != 1 || step == 0 || end > HAND_ROUTES_MAX)
		return -EINVAL;
	hand->before_usec = hand_now_usec();
	while (next < end && r == 0) {
		b.size = 0;
		for (int n = 0; n < HAND_BATCH && next < end; n++, next += step)
			hand_put_route(hand, &b, is_add, next, &gateway, ifindex);
		r = hand_send(hand, &b);
	}
	hand->after_usec = hand_now_usec();
	return r;
}

/* ---- commands ---- */

static const struct hand_command {
	const char *name;
	int n_words;
	int (*run)(struct hand *hand, char *const words[]);
} hand_commands[] = {
	{ "veth", 6, hand_veth }, { "addr", 4, hand_addr },	{ "up", 2, hand_up },
	{ "del", 2, hand_del },	  { "routes", 7, hand_routes },
};

static int hand_run(struct hand *hand, char *line)
{
	char *words[HAND_WORDS_MAX] = { NULL };
	int n = 0;

	for (char *w = strtok(line, " \n"); w && n < HAND_WORDS_MAX; w = strtok(NULL, " \n"))
		words[n++] = w;
	for (size_t i = 0; i < sizeof(hand_commands) / sizeof(hand_commands[0]); i++) {
		const struct hand_command *c = &hand_commands[i];

		if (n == c->n_words && strcmp(words[0], c->name) == 0)
			return c->run(hand, words);
	}
	return -EINVAL;
}

int main(void)
{
	struct hand hand = { .fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE) };
	char line[256];

	if (hand.fd < 0) {
		(void)fprintf(stderr, "netlink-hand: %s\n", strerror(errno));
		return 1;
	}
	while (fgets(line, sizeof(line), stdin)) {
		int r = hand_run(&hand, line);

		if (r == 0)
			(void)printf("ok %jd %jd\n", (intmax_t)hand.before_usec,
				     (intmax_t)hand.after_usec);
		else
			(void)printf("error %s\n", strerror(-r));
		(void)fflush(stdout);
	}
	return 0;
}
