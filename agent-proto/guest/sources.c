/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preferred sources. See sources.h.
 */
#include "agent-proto/guest/sources.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"

/* The kernel's to set; EINVAL for who sets them. */
#define ROUTE_STATE (RTNH_F_DEAD | RTNH_F_LINKDOWN | RTNH_F_OFFLOAD | RTNH_F_TRAP)

static uint32_t take_u32(const struct nlattr *a)
{
	return a && nla_len(a) >= (int)sizeof(uint32_t) ? nla_get_u32(a) : 0;
}

static bool is_ip(const struct nlattr *a, const uint8_t bytes[16])
{
	return a && nla_len(a) == 16 && memcmp(nla_data(a), bytes, 16) == 0;
}

static bool is_concerned(const struct rtmsg *rtm, struct nlattr *const *tb,
			 const struct owned_item *address)
{
	/* One with a nexthop object keeps its source. */
	return is_ip(tb[RTA_PREFSRC], address->bytes) && !tb[RTA_NH_ID] &&
	       (tb[RTA_MULTIPATH] || take_u32(tb[RTA_OIF]) == address->index) &&
	       rtm->rtm_protocol != RTPROT_KERNEL && rtm->rtm_protocol != RTPROT_RA;
}

static struct sources_key key_of(const struct rtmsg *rtm, struct nlattr *const *tb)
{
	struct sources_key key = {
		.table = tb[RTA_TABLE] ? take_u32(tb[RTA_TABLE]) : rtm->rtm_table,
		.priority = take_u32(tb[RTA_PRIORITY]),
		.prefixlen = rtm->rtm_dst_len,
	};

	if (tb[RTA_DST] && nla_len(tb[RTA_DST]) == sizeof(key.dest))
		memcpy(key.dest, nla_data(tb[RTA_DST]), sizeof(key.dest));
	return key;
}

static bool is_same_key(const struct sources_key *a, const struct sources_key *b)
{
	return a->table == b->table && a->priority == b->priority && a->prefixlen == b->prefixlen &&
	       memcmp(a->dest, b->dest, sizeof(a->dest)) == 0;
}

static int keep(struct sources *s, const struct nlmsghdr *h)
{
	size_t capacity = s->capacity ? 2 * s->capacity : 16;
	struct sources_message *messages = s->messages;
	struct nlmsghdr *kept;

	if (s->n == SOURCES_MAX)
		return err_raise(-EMSGSIZE, "keep more than %u sources of routes", SOURCES_MAX);
	if (s->n == s->capacity) {
		messages = reallocarray(messages, capacity, sizeof(*messages));
		if (!messages)
			return err_raise(-ENOMEM, "keep sources of routes");
		s->messages = messages;
		s->capacity = capacity;
	}
	messages[s->n].message = nlmsg_convert((struct nlmsghdr *)(uintptr_t)h);
	if (!messages[s->n].message)
		return err_raise(-ENOMEM, "keep sources of routes");
	kept = nlmsg_hdr(messages[s->n++].message);
	kept->nlmsg_flags = NLM_F_CREATE | NLM_F_REPLACE;
	((struct rtmsg *)nlmsg_data(kept))->rtm_flags &= ~(unsigned)ROUTE_STATE;
	return 0;
}

/* Those with one key follow each other. */
static int each_route(void *userdata, const struct nlmsghdr *h)
{
	struct sources *s = userdata;
	const struct rtmsg *rtm = nlmsg_data(h);
	struct nlattr *tb[RTA_MAX + 1] = { 0 };
	struct sources_key key;
	bool is_first;

	if (h->nlmsg_type != RTM_NEWROUTE || !nlmsg_valid_hdr(h, sizeof(*rtm)) ||
	    (rtm->rtm_flags & RTM_F_CLONED) ||
	    nlmsg_parse((struct nlmsghdr *)(uintptr_t)h, sizeof(*rtm), tb, RTA_MAX, NULL) < 0)
		return 0;
	key = key_of(rtm, tb);
	is_first = !is_same_key(&key, &s->last);
	s->last = key;
	return is_first && is_concerned(rtm, tb, &s->address) ? err_pass(keep(s, h)) : 0;
}

static void restart(void *userdata)
{
	struct sources *s = userdata;

	while (s->n > 0)
		nlmsg_free(s->messages[--s->n].message);
	s->last = (struct sources_key){ 0 }; /* no route has table 0 */
}

int sources_take(struct netlink *n, const struct owned_item *address, struct sources *ret)
{
	static const struct rtmsg all = { .rtm_family = AF_INET6 };
	CLEANUP(sources_done) struct sources s = { .address = *address };
	struct netlink_dump d = {
		.type = RTM_GETROUTE,
		.header = &all,
		.header_bytes = sizeof(all),
		.each = each_route,
		.restart = restart,
		.userdata = &s,
	};
	int r = netlink_dump(n, &d);

	if (r < 0)
		return err_pass(r);
	*ret = s;
	s = (struct sources){ 0 };
	return 0;
}

static struct nl_msg *make_again(void *userdata, size_t i)
{
	struct sources *s = userdata;

	return TAKE_PTR(s->messages[i].message);
}

static void done_again(void *userdata, size_t i, int error, const char *words)
{
	struct sources *s = userdata;

	(void)i, (void)words;
	if (error < 0 && s->error == 0)
		s->error = error;
}

int sources_put_back(struct netlink *n, struct sources *s)
{
	struct netlink_batch b = {
		.n = s->n,
		.make = make_again,
		.done = done_again,
		.userdata = s,
	};
	int r = netlink_send(n, &b);

	if (r < 0)
		return err_pass(r);
	return s->error < 0 ? err_raise(s->error, "put back the sources of routes") : 0;
}

void sources_done(struct sources *s)
{
	restart(s);
	free(s->messages);
	*s = (struct sources){ 0 };
}
