/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's links. See links.h.
 */
#include "agent-proto/guest/links.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/rtnetlink.h>
#include <linux/if.h>
#include <stdio.h>
#include <string.h>

#include "agent-proto/guest/kept.h"
#include "base/error.h"

/* ---- the list ---- */

static void parse_kind(const struct nlattr *info, struct links_link *l)
{
	struct nlattr *tb[IFLA_INFO_KIND + 1] = { 0 };

	if (info &&
	    nla_parse_nested(tb, IFLA_INFO_KIND, (struct nlattr *)(uintptr_t)info, NULL) >= 0 &&
	    tb[IFLA_INFO_KIND])
		(void)nla_strlcpy(l->kind, tb[IFLA_INFO_KIND], sizeof(l->kind));
}

static void parse_link(const struct nlmsghdr *h, struct links_link *l)
{
	const struct ifinfomsg *ifi = nlmsg_data(h);
	struct nlattr *tb[IFLA_LINKINFO + 1] = { 0 };

	l->index = (uint32_t)ifi->ifi_index;
	l->flags = ifi->ifi_flags;
	l->is_loopback = (ifi->ifi_flags & IFF_LOOPBACK) != 0;
	if (nlmsg_parse((struct nlmsghdr *)(uintptr_t)h, sizeof(*ifi), tb, IFLA_LINKINFO, NULL) < 0)
		return;
	if (tb[IFLA_IFNAME])
		(void)nla_strlcpy(l->name, tb[IFLA_IFNAME], sizeof(l->name));
	if (tb[IFLA_MTU] && nla_len(tb[IFLA_MTU]) >= (int)sizeof(uint32_t))
		l->mtu = nla_get_u32(tb[IFLA_MTU]);
	l->has_mac =
		tb[IFLA_ADDRESS] && nla_len(tb[IFLA_ADDRESS]) == sizeof(l->mac) && !l->is_loopback;
	if (l->has_mac)
		memcpy(l->mac, nla_data(tb[IFLA_ADDRESS]), sizeof(l->mac));
	parse_kind(tb[IFLA_LINKINFO], l);
}

static int each_link(void *userdata, const struct nlmsghdr *h)
{
	struct links *l = userdata;
	struct links_link *items = l->items;
	size_t capacity = l->capacity ? 2 * l->capacity : 16;

	if (h->nlmsg_type != RTM_NEWLINK || !nlmsg_valid_hdr(h, sizeof(struct ifinfomsg)))
		return 0;
	if (l->n == LINKS_MAX)
		return err_raise(-EMSGSIZE, "list more than %u links", LINKS_MAX);
	if (l->n == l->capacity) {
		items = reallocarray(items, capacity, sizeof(*items));
		if (!items)
			return err_raise(-ENOMEM, "list links");
		l->items = items;
		l->capacity = capacity;
	}
	items[l->n] = (struct links_link){ 0 };
	parse_link(h, &items[l->n++]);
	return 0;
}

static void restart_links(void *userdata)
{
	struct links *l = userdata;

	l->n = 0;
}

int links_list(struct netlink *n, struct links *ret)
{
	/* Counters are two thirds of a link's message and nothing to us. */
	struct {
		struct ifinfomsg ifi;
		struct nlattr mask;
		uint32_t value;
	} header = {
		.mask = { .nla_len = sizeof(struct nlattr) + sizeof(uint32_t),
			  .nla_type = IFLA_EXT_MASK },
		.value = RTEXT_FILTER_SKIP_STATS,
	};
	CLEANUP(links_done) struct links l = { 0 };
	struct netlink_dump d = {
		.type = RTM_GETLINK,
		.header = &header,
		.header_bytes = sizeof(header),
		.each = each_link,
		.restart = restart_links,
		.userdata = &l,
	};
	int r = netlink_dump(n, &d);

	if (r < 0)
		return err_pass(r);
	*ret = l;
	l = (struct links){ 0 };
	return 0;
}

void links_done(struct links *l)
{
	free(l->items);
	*l = (struct links){ 0 };
}

static bool is_better(const struct links_link *a, const struct links_link *b)
{
	bool a_has = a->kind[0] != '\0', b_has = b->kind[0] != '\0';

	return a_has != b_has ? b_has : a->index < b->index;
}

const struct links_link *links_by_mac(const struct links *l, const uint8_t mac[6])
{
	const struct links_link *best = NULL;

	for (size_t i = 0; i < l->n; i++) {
		const struct links_link *at = &l->items[i];

		if (at->has_mac && memcmp(at->mac, mac, 6) == 0 && (!best || is_better(at, best)))
			best = at;
	}
	return best;
}

const struct links_link *links_by_name(const struct links *l, const char *name)
{
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->items[i].name, name) == 0)
			return &l->items[i];
	return NULL;
}

const struct links_link *links_by_index(const struct links *l, uint32_t index)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->items[i].index == index)
			return &l->items[i];
	return NULL;
}

/* ---- changes ---- */

int links_set_flags(struct netlink *n, uint32_t index, uint32_t flags, uint32_t mask)
{
	struct ifinfomsg ifi = {
		.ifi_index = (int)index,
		.ifi_flags = flags & mask,
		.ifi_change = mask,
	};

	return err_pass(netlink_ask(n, netlink_message(RTM_NEWLINK, 0, &ifi, sizeof(ifi)),
				    "set flags of a link"));
}

int links_set_mtu(struct netlink *n, uint32_t index, uint32_t mtu)
{
	struct ifinfomsg ifi = { .ifi_index = (int)index };
	CLEANUP(nlmsg_freep)
	struct nl_msg *m = netlink_message(RTM_NEWLINK, 0, &ifi, sizeof(ifi));

	if (!m || nla_put_u32(m, IFLA_MTU, mtu) < 0)
		return err_raise(-ENOMEM, "set the MTU of a link");
	return err_pass(netlink_ask(n, TAKE_PTR(m), "set the MTU of a link"));
}

/* IFLA_AF_SPEC { AF_INET { IFLA_INET_CONF { PROMOTE_SECONDARIES: 1 } } } */
static bool put_promotion(struct nl_msg *m)
{
	struct nlattr *spec = nla_nest_start(m, IFLA_AF_SPEC);
	struct nlattr *inet = spec ? nla_nest_start(m, AF_INET) : NULL;
	struct nlattr *conf = inet ? nla_nest_start(m, IFLA_INET_CONF) : NULL;

	if (!conf || nla_put_u32(m, IPV4_DEVCONF_PROMOTE_SECONDARIES, 1) < 0)
		return false;
	(void)nla_nest_end(m, conf);
	(void)nla_nest_end(m, inet);
	(void)nla_nest_end(m, spec);
	return true;
}

int links_promote_secondaries(struct netlink *n, uint32_t index)
{
	struct ifinfomsg ifi = { .ifi_index = (int)index };
	CLEANUP(nlmsg_freep)
	struct nl_msg *m = netlink_message(RTM_SETLINK, 0, &ifi, sizeof(ifi));

	if (!m || !put_promotion(m))
		return err_raise(-ENOMEM, "keep secondary addresses");
	return err_pass(netlink_ask(n, TAKE_PTR(m), "keep secondary addresses"));
}

/* ---- names ---- */

static int set_name(struct netlink *n, uint32_t index, const char *name)
{
	struct ifinfomsg ifi = { .ifi_index = (int)index };
	CLEANUP(nlmsg_freep)
	struct nl_msg *m = netlink_message(RTM_NEWLINK, 0, &ifi, sizeof(ifi));

	if (!m || nla_put_string(m, IFLA_IFNAME, name) < 0)
		return err_raise(-ENOMEM, "rename a link");
	return err_pass(netlink_ask(n, TAKE_PTR(m), "rename a link"));
}

int links_rename_down(struct netlink *n, uint32_t index, const char *name)
{
	CLEANUP(kept_done) struct kept kept = { 0 };
	int r = kept_take(n, index, &kept);
	int renamed;

	if (r >= 0)
		r = links_set_flags(n, index, 0, IFF_UP);
	if (r < 0)
		return err_pass(r);
	renamed = set_name(n, index, name);
	/* Up again and all put back, whether it has its new name or not. */
	r = links_set_flags(n, index, IFF_UP, IFF_UP);
	if (r >= 0)
		r = kept_put_back(n, &kept);
	return err_pass(renamed < 0 ? renamed : r);
}

static int rename_one(struct netlink *n, uint32_t index, const char *name)
{
	int r = set_name(n, index, name);

	if (r != -EBUSY)
		return err_pass(r);
	err_clear();
	return err_pass(links_rename_down(n, index, name));
}

#define SWAP_NAME "swap%u" /* made of the number, which nobody else has */

/* Nobody may keep a name that nobody gave. Return: @r. */
static int name_back(struct netlink *n, const struct links_link *mine,
		     const struct links_link *other, const char *name, int r)
{
	if (rename_one(n, other->index, name) < 0)
		return err_raise(r, "rename a link; '%s' is called '" SWAP_NAME "' now", name,
				 other->index);
	return err_raise(r, "rename '%s' to '%s'", mine->name, name);
}

/* The first has its new name already. Return: @r. */
static int swap_back(struct netlink *n, const struct links_link *mine,
		     const struct links_link *other, const char *name, int r)
{
	if (rename_one(n, mine->index, mine->name) < 0)
		return err_raise(r, "rename a link; '%s' is called '" SWAP_NAME "' now", name,
				 other->index);
	return err_pass(name_back(n, mine, other, name, r));
}

/* Its old name for the other one's. */
static int swap_names(struct netlink *n, const struct links_link *mine,
		      const struct links_link *other, const char *name)
{
	char temporary[LINKS_NAME_BYTES];
	int r;

	(void)snprintf(temporary, sizeof(temporary), SWAP_NAME, other->index);
	r = rename_one(n, other->index, temporary);
	if (r < 0)
		return err_pass(r);
	r = rename_one(n, mine->index, name);
	if (r < 0)
		return err_pass(name_back(n, mine, other, name, r));
	r = rename_one(n, other->index, mine->name);
	return r < 0 ? err_pass(swap_back(n, mine, other, name, r)) : 0;
}

int links_rename(struct netlink *n, const struct links *l, uint32_t index, const char *name)
{
	const struct links_link *mine = links_by_index(l, index);
	const struct links_link *other = links_by_name(l, name);

	if (!mine)
		return err_raise(-ENODEV, "rename link %u", index);
	if (mine == other)
		return 0;
	if (other && other->is_loopback)
		return err_raise(-EEXIST, "rename '%s' to '%s', which is the loopback", mine->name,
				 name);
	return other ? err_pass(swap_names(n, mine, other, name))
		     : err_pass(rename_one(n, index, name));
}
