/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a link loses when it goes down. See kept.h. It is what `ip route save` and `restore` do.
 */
#include "agent-proto/guest/kept.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"

/* The kernel's to set; EINVAL for who sets them. */
#define ROUTE_STATE (RTNH_F_DEAD | RTNH_F_LINKDOWN | RTNH_F_OFFLOAD | RTNH_F_TRAP)

static int keep(struct kept *k, const struct nlmsghdr *h)
{
	size_t capacity = k->capacity ? 2 * k->capacity : 64;
	struct kept_message *messages = k->messages;

	if (k->n == KEPT_MAX)
		return err_raise(-EMSGSIZE, "keep more than %u routes", KEPT_MAX);
	if (k->n == k->capacity) {
		messages = reallocarray(messages, capacity, sizeof(*messages));
		if (!messages)
			return err_raise(-ENOMEM, "keep routes");
		k->messages = messages;
		k->capacity = capacity;
	}
	messages[k->n].message = nlmsg_convert((struct nlmsghdr *)(uintptr_t)h);
	if (!messages[k->n].message)
		return err_raise(-ENOMEM, "keep routes");
	nlmsg_hdr(messages[k->n].message)->nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL;
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
	return err_pass(keep(k, h));
}

static bool goes_through(const struct nlmsghdr *h, uint32_t index)
{
	struct nlattr *tb[RTA_OIF + 1] = { 0 };

	return nlmsg_parse((struct nlmsghdr *)(uintptr_t)h, sizeof(struct rtmsg), tb, RTA_OIF,
			   NULL) >= 0 &&
	       tb[RTA_OIF] && nla_len(tb[RTA_OIF]) >= (int)sizeof(uint32_t) &&
	       nla_get_u32(tb[RTA_OIF]) == index;
}

static bool has_gateway(const struct nlmsghdr *h)
{
	return nlmsg_find_attr((struct nlmsghdr *)(uintptr_t)h, sizeof(struct rtmsg),
			       RTA_GATEWAY) != NULL;
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
	r = keep(k, h);
	if (r >= 0)
		((struct rtmsg *)nlmsg_data(nlmsg_hdr(k->messages[k->n - 1].message)))->rtm_flags &=
			~(unsigned)ROUTE_STATE;
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

static int take(struct netlink *n, struct kept *k, uint8_t family,
		int (*each)(void *userdata, const struct nlmsghdr *h))
{
	struct rtmsg rtm = { .rtm_family = family };
	struct ifaddrmsg ifa = { .ifa_family = family };
	bool is_address = each == each_address;
	struct taking t = { .kept = k, .first = k->n, .each = each };
	struct netlink_dump d = {
		.type = is_address ? RTM_GETADDR : RTM_GETROUTE,
		.header = is_address ? (const void *)&ifa : (const void *)&rtm,
		.header_bytes = is_address ? sizeof(ifa) : sizeof(rtm),
		.each = each_taken,
		.restart = restart_taking,
		.userdata = &t,
	};

	return err_pass(netlink_dump(n, &d));
}

int kept_take(struct netlink *n, uint32_t index, struct kept *ret)
{
	CLEANUP(kept_done) struct kept k = { .index = index };
	/* A gateway is accepted only where a route leads to it. */
	int r = take(n, &k, AF_INET6, each_address);

	if (r >= 0)
		r = take(n, &k, AF_INET, each_direct);
	if (r >= 0)
		r = take(n, &k, AF_INET6, each_direct);
	if (r >= 0)
		r = take(n, &k, AF_INET, each_gatewayed);
	if (r >= 0)
		r = take(n, &k, AF_INET6, each_gatewayed);
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
	return k->error < 0 ? err_raise(k->error, "put back the routes of a link") : 0;
}

void kept_done(struct kept *k)
{
	drop_from(k, 0);
	free(k->messages);
	*k = (struct kept){ 0 };
}
