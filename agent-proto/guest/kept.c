/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a link loses when it goes down. See kept.h. It is what `ip route save` and `restore` do.
 */
#include "agent-proto/guest/kept.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"

/* The kernel's to set; EINVAL for who sets them. */
#define ROUTE_STATE (RTNH_F_DEAD | RTNH_F_LINKDOWN | RTNH_F_OFFLOAD | RTNH_F_TRAP)

static int keep(struct kept *k, const struct nlmsghdr *h, int flags)
{
	size_t capacity = k->capacity ? 2 * k->capacity : 64;
	struct kept_message *messages = k->messages;

	if (k->n == KEPT_MAX)
		return err_raise(-EMSGSIZE, "keep more than %u routes, addresses and neighbours",
				 KEPT_MAX);
	if (k->n == k->capacity) {
		messages = reallocarray(messages, capacity, sizeof(*messages));
		if (!messages)
			return err_raise(-ENOMEM, "keep what a link loses");
		k->messages = messages;
		k->capacity = capacity;
	}
	messages[k->n].message = nlmsg_convert((struct nlmsghdr *)(uintptr_t)h);
	if (!messages[k->n].message)
		return err_raise(-ENOMEM, "keep what a link loses");
	nlmsg_hdr(messages[k->n].message)->nlmsg_flags = (uint16_t)(NLM_F_CREATE | flags);
	k->n++;
	return 0;
}

static int each_address(void *userdata, const struct nlmsghdr *h)
{
	struct kept *k = userdata;
	const struct ifaddrmsg *ifa = nlmsg_data(h);

	if (h->nlmsg_type != RTM_NEWADDR || !nlmsg_valid_hdr(h, sizeof(*ifa)) ||
	    ifa->ifa_index != k->index || ifa->ifa_scope == RT_SCOPE_LINK)
		return 0;
	return err_pass(keep(k, h, NLM_F_EXCL));
}

/*
 * The kernel's own are of another type (multicast, local, broadcast). One that it has learnt since
 * must not stay in the way of who set it.
 */
static int each_neighbour(void *userdata, const struct nlmsghdr *h)
{
	struct kept *k = userdata;
	const struct ndmsg *ndm = nlmsg_data(h);

	if (h->nlmsg_type != RTM_NEWNEIGH || !nlmsg_valid_hdr(h, sizeof(*ndm)) ||
	    (uint32_t)ndm->ndm_ifindex != k->index || ndm->ndm_type != RTN_UNICAST ||
	    !(ndm->ndm_state & (NUD_PERMANENT | NUD_NOARP)))
		return 0;
	return err_pass(keep(k, h, NLM_F_REPLACE));
}

static struct nlattr *find(const struct nlmsghdr *h, int type)
{
	return nlmsg_find_attr((struct nlmsghdr *)(uintptr_t)h, sizeof(struct rtmsg), type);
}

/* Of a route that has several hops: for (hop = 0; hop = next_hop(h, hop);) */
static struct rtnexthop *next_hop(const struct nlmsghdr *h, struct rtnexthop *hop)
{
	struct nlattr *hops = find(h, RTA_MULTIPATH);
	char *at, *end;

	if (!hops)
		return NULL;
	end = (char *)nla_data(hops) + nla_len(hops);
	at = hop ? (char *)hop + RTNH_ALIGN(hop->rtnh_len) : nla_data(hops);
	if (at > end || (size_t)(end - at) < sizeof(*hop))
		return NULL;
	hop = (struct rtnexthop *)(void *)at;
	return hop->rtnh_len >= sizeof(*hop) && hop->rtnh_len <= end - at ? hop : NULL;
}

static bool goes_through(const struct nlmsghdr *h, uint32_t index)
{
	const struct nlattr *link = find(h, RTA_OIF);

	if (link)
		return nla_len(link) >= (int)sizeof(index) && nla_get_u32(link) == index;
	for (struct rtnexthop *hop = NULL; (hop = next_hop(h, hop));)
		if ((uint32_t)hop->rtnh_ifindex == index)
			return true;
	return false;
}

static bool has_gateway(const struct nlmsghdr *h)
{
	return find(h, RTA_GATEWAY) || find(h, RTA_VIA) || find(h, RTA_MULTIPATH);
}

static void clear_state(struct nlmsghdr *h)
{
	struct rtmsg *rtm = nlmsg_data(h);

	rtm->rtm_flags &= ~(unsigned)ROUTE_STATE;
	for (struct rtnexthop *hop = NULL; (hop = next_hop(h, hop));)
		hop->rtnh_flags &= (uint8_t)~ROUTE_STATE;
}

static int each_route(void *userdata, const struct nlmsghdr *h, bool gatewayed)
{
	struct kept *k = userdata;
	const struct rtmsg *rtm = nlmsg_data(h);
	int r;

	if (h->nlmsg_type != RTM_NEWROUTE || !nlmsg_valid_hdr(h, sizeof(*rtm)) ||
	    rtm->rtm_protocol == RTPROT_KERNEL || rtm->rtm_protocol == RTPROT_RA ||
	    (rtm->rtm_flags & RTM_F_CLONED) || has_gateway(h) != gatewayed ||
	    !goes_through(h, k->index))
		return 0;
	r = keep(k, h, NLM_F_EXCL);
	if (r >= 0)
		clear_state(nlmsg_hdr(k->messages[k->n - 1].message));
	return err_pass(r);
}

static int each_direct(void *userdata, const struct nlmsghdr *h)
{
	return err_pass(each_route(userdata, h, false));
}

static int each_gatewayed(void *userdata, const struct nlmsghdr *h)
{
	return err_pass(each_route(userdata, h, true));
}

/* What the dumps before have brought stays. */
static void drop_from(struct kept *k, size_t n)
{
	while (k->n > n)
		nlmsg_free(k->messages[--k->n].message);
}

struct taking {
	struct kept *kept;
	size_t first;
	int (*each)(void *userdata, const struct nlmsghdr *h);
};

static int each_taken(void *userdata, const struct nlmsghdr *h)
{
	struct taking *t = userdata;

	return err_pass(t->each(t->kept, h));
}

static void restart_taking(void *userdata)
{
	struct taking *t = userdata;

	drop_from(t->kept, t->first);
}

/* One of the kinds: what is asked for, and what is kept of it. */
struct kind {
	int type;
	size_t header_bytes;
	uint8_t family; /* the first byte of each header */
	int (*each)(void *userdata, const struct nlmsghdr *h);
};

/* A gateway is accepted only where a route leads to it. */
static const struct kind kinds[] = {
	{ RTM_GETADDR, sizeof(struct ifaddrmsg), AF_INET6, each_address },
	{ RTM_GETROUTE, sizeof(struct rtmsg), AF_INET, each_direct },
	{ RTM_GETROUTE, sizeof(struct rtmsg), AF_INET6, each_direct },
	{ RTM_GETROUTE, sizeof(struct rtmsg), AF_INET, each_gatewayed },
	{ RTM_GETROUTE, sizeof(struct rtmsg), AF_INET6, each_gatewayed },
	{ RTM_GETNEIGH, sizeof(struct ndmsg), AF_INET, each_neighbour },
	{ RTM_GETNEIGH, sizeof(struct ndmsg), AF_INET6, each_neighbour },
};

static int take(struct netlink *n, struct kept *k, const struct kind *kind)
{
	union {
		struct ifaddrmsg ifa;
		struct rtmsg rtm;
		struct ndmsg ndm;
		uint8_t family;
	} header = { 0 };
	struct taking t = { .kept = k, .first = k->n, .each = kind->each };
	struct netlink_dump d = {
		.type = kind->type,
		.header = &header,
		.header_bytes = kind->header_bytes,
		.each = each_taken,
		.restart = restart_taking,
		.userdata = &t,
	};

	header.family = kind->family;
	return err_pass(netlink_dump(n, &d));
}

int kept_take(struct netlink *n, uint32_t index, struct kept *ret)
{
	CLEANUP(kept_done) struct kept k = { .index = index };
	int r = 0;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && r >= 0; i++)
		r = take(n, &k, &kinds[i]);
	if (r < 0)
		return err_pass(r);
	*ret = k;
	k = (struct kept){ 0 };
	return 0;
}

static struct nl_msg *make_again(void *userdata, size_t i)
{
	struct kept *k = userdata;

	return TAKE_PTR(k->messages[i].message);
}

static void done_again(void *userdata, size_t i, int error, const char *words)
{
	struct kept *k = userdata;

	(void)i, (void)words;
	if (error < 0 && error != -EEXIST && k->error == 0)
		k->error = error;
}

int kept_put_back(struct netlink *n, struct kept *k)
{
	struct netlink_batch b = {
		.n = k->n,
		.make = make_again,
		.done = done_again,
		.userdata = k,
	};
	int r = netlink_send(n, &b);

	if (r < 0)
		return err_pass(r);
	return k->error < 0 ? err_raise(k->error, "put back what a link lost") : 0;
}

void kept_done(struct kept *k)
{
	drop_from(k, 0);
	free(k->messages);
	*k = (struct kept){ 0 };
}
