/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnetlink messages to values.
 *
 * How it works: each kind has a fixed header, checked for length here, and attributes, split by
 * libnl's nla_parse() with a policy: without one it checks no length at all, and nla_get_u32()
 * would read behind a short attribute. A policy gives the least length only, so what has one right
 * length (an IP address) is compared with it. Attributes that nobody here looks at are not looked
 * at by nla_parse() either: newer kernels may add what they like.
 *
 * Source: linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h, linux/neighbour.h,
 * linux/fib_rules.h, and in the kernel the functions that fill the messages: rtnl_fill_ifinfo(),
 * inet_fill_ifaddr(), inet6_fill_ifaddr(), fib_dump_info(), rt6_fill_node(), neigh_fill_info(),
 * fib_nl_fill_rule().
 */
#include "netmon/kernel-parse.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "base/ip.h"

_Static_assert(MODEL_NAME_BYTES == IFNAMSIZ, "names of the model are the kernel's");

/* The highest attribute that we look at decides how long the index is. */
#define LINK_MAX   IFLA_LINK_NETNSID
#define INFO_MAX   IFLA_INFO_DATA
#define TUN_MAX	   IFLA_TUN_TYPE
#define ADDR_MAX   IFA_FLAGS
#define ROUTE_MAX  RTA_NH_ID
#define METRIC_MAX RTAX_MTU
#define NEIGH_MAX  NDA_LLADDR
#define RULE_MAX   FRA_DPORT_RANGE

static const struct nla_policy link_policy[LINK_MAX + 1] = {
	[IFLA_IFNAME] = { .type = NLA_STRING, .minlen = 2, .maxlen = IFNAMSIZ },
	[IFLA_MTU] = { .type = NLA_U32 },
	[IFLA_LINK] = { .type = NLA_U32 },
	[IFLA_MASTER] = { .type = NLA_U32 },
};

static const struct nla_policy info_policy[INFO_MAX + 1] = {
	[IFLA_INFO_KIND] = { .type = NLA_STRING },
};

static const struct nla_policy tun_policy[TUN_MAX + 1] = {
	[IFLA_TUN_TYPE] = { .type = NLA_U8 },
};

static const struct nla_policy addr_policy[ADDR_MAX + 1] = {
	[IFA_FLAGS] = { .type = NLA_U32 },
};

static const struct nla_policy route_policy[ROUTE_MAX + 1] = {
	[RTA_OIF] = { .type = NLA_U32 },
	[RTA_PRIORITY] = { .type = NLA_U32 },
	[RTA_TABLE] = { .type = NLA_U32 },
};

static const struct nla_policy metric_policy[METRIC_MAX + 1] = {
	[RTAX_MTU] = { .type = NLA_U32 },
};

static const struct nla_policy rule_policy[RULE_MAX + 1] = {
	[FRA_PRIORITY] = { .type = NLA_U32 },
	[FRA_TABLE] = { .type = NLA_U32 },
};

/* ---- pieces ---- */

/* The fixed header behind the nlmsghdr, NULL if the message is too short for it. */
static const void *header_of(const struct nlmsghdr *h, size_t bytes)
{
	if (h->nlmsg_len < NLMSG_HDRLEN + bytes)
		return NULL;
	return nlmsg_data(h);
}

static int index_attributes(const struct nlmsghdr *h, size_t header_bytes, struct nlattr *tb[],
			    int max, const struct nla_policy *policy)
{
	int bytes = (int)header_bytes;

	if (nla_parse(tb, max, nlmsg_attrdata(h, bytes), nlmsg_attrlen(h, bytes), policy) < 0)
		return -EBADMSG;
	return 0;
}

static int index_nested(struct nlattr *a, struct nlattr *tb[], int max,
			const struct nla_policy *policy)
{
	return nla_parse_nested(tb, max, a, policy) < 0 ? -EBADMSG : 0;
}

static uint32_t u32_or_zero(const struct nlattr *a)
{
	return a ? nla_get_u32(a) : 0;
}

static bool is_ip_family(uint8_t family)
{
	return family == AF_INET || family == AF_INET6;
}

static uint8_t ip_bytes(uint8_t family)
{
	return family == AF_INET ? 4 : 16;
}

/* @to is zero before; the bytes behind an IPv4 address stay so. */
static int copy_ip(uint8_t to[16], const struct nlattr *a, uint8_t family)
{
	if (nla_len(a) != ip_bytes(family))
		return -EBADMSG;
	memcpy(to, nla_data(a), ip_bytes(family));
	return 0;
}

/* The length of the MAC, 0 when there is none or it is of another length (InfiniBand has 20). */
static uint8_t copy_mac(uint8_t to[MODEL_MAC_BYTES], const struct nlattr *a)
{
	if (!a || nla_len(a) != MODEL_MAC_BYTES)
		return 0;
	memcpy(to, nla_data(a), MODEL_MAC_BYTES);
	return MODEL_MAC_BYTES;
}

/* A policy saw to the NUL at the end; a longer text is cut. */
static void copy_text(char to[MODEL_NAME_BYTES], const struct nlattr *a)
{
	size_t n = strnlen(nla_data(a), MODEL_NAME_BYTES - 1);

	memcpy(to, nla_data(a), n);
}

/* ---- links ---- */

/*
 * "tun" is one kind to the kernel; a tap carries Ethernet and is what a VMM attaches to. Source:
 * drivers/net/tun.c, tun_fill_info()
 */
static int parse_tun_mode(struct nlattr *data, struct link *l)
{
	struct nlattr *tb[TUN_MAX + 1];

	if (index_nested(data, tb, TUN_MAX, tun_policy) < 0)
		return -EBADMSG;
	if (tb[IFLA_TUN_TYPE] && nla_get_u8(tb[IFLA_TUN_TYPE]) == IFF_TAP)
		memcpy(l->kind, "tap", sizeof("tap"));
	return 0;
}

static int parse_link_kind(struct nlattr *info, struct link *l)
{
	struct nlattr *tb[INFO_MAX + 1];

	if (!info)
		return 0;
	if (index_nested(info, tb, INFO_MAX, info_policy) < 0)
		return -EBADMSG;
	if (!tb[IFLA_INFO_KIND])
		return 0;
	copy_text(l->kind, tb[IFLA_INFO_KIND]);
	if (strcmp(l->kind, "tun") == 0 && tb[IFLA_INFO_DATA])
		return parse_tun_mode(tb[IFLA_INFO_DATA], l);
	return 0;
}

static int parse_link(const struct nlmsghdr *h, struct link *ret)
{
	const struct ifinfomsg *ifi = header_of(h, sizeof(*ifi));
	struct nlattr *tb[LINK_MAX + 1];
	struct link l = { 0 };

	if (!ifi)
		return -EBADMSG;
	if (ifi->ifi_family != AF_UNSPEC)
		return KERNEL_PARSE_SKIP;
	if (index_attributes(h, sizeof(*ifi), tb, LINK_MAX, link_policy) < 0)
		return -EBADMSG;
	if (ifi->ifi_index <= 0 || !tb[IFLA_IFNAME])
		return -EBADMSG;
	l.ifindex = (uint32_t)ifi->ifi_index;
	l.flags = ifi->ifi_flags;
	l.hardware = ifi->ifi_type;
	l.mtu = u32_or_zero(tb[IFLA_MTU]);
	l.master = u32_or_zero(tb[IFLA_MASTER]);
	l.peer_ifindex = u32_or_zero(tb[IFLA_LINK]);
	l.peer_elsewhere = tb[IFLA_LINK_NETNSID] != NULL;
	l.mac_bytes = copy_mac(l.mac, tb[IFLA_ADDRESS]);
	copy_text(l.name, tb[IFLA_IFNAME]);
	if (l.name[0] == '\0' || parse_link_kind(tb[IFLA_LINKINFO], &l) < 0)
		return -EBADMSG;
	*ret = l;
	return 0;
}

/* ---- addresses ---- */

/*
 * On a point-to-point link IFA_ADDRESS is the other end and the prefix is the other end's; our own
 * address has none, which is 32 (128) bits. The original monitor said so too (Mask "32").
 * Source: linux/if_addr.h, "Important comment"; ip-address(8), "peer ADDRESS".
 */
static int parse_addr_ip(struct nlattr *const tb[], struct addr *a)
{
	uint8_t other_end[16] = { 0 };
	const struct nlattr *own = tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS];

	if (!own || copy_ip(a->bytes, own, a->family) < 0)
		return -EBADMSG;
	if (!tb[IFA_ADDRESS])
		return 0;
	if (copy_ip(other_end, tb[IFA_ADDRESS], a->family) < 0)
		return -EBADMSG;
	if (memcmp(other_end, a->bytes, sizeof(other_end)) != 0)
		a->prefixlen = ip_bits(a->family);
	return 0;
}

static int parse_addr(const struct nlmsghdr *h, struct addr *ret)
{
	const struct ifaddrmsg *ifa = header_of(h, sizeof(*ifa));
	struct nlattr *tb[ADDR_MAX + 1];
	struct addr a = { 0 };

	if (!ifa)
		return -EBADMSG;
	if (!is_ip_family(ifa->ifa_family))
		return KERNEL_PARSE_SKIP;
	if (index_attributes(h, sizeof(*ifa), tb, ADDR_MAX, addr_policy) < 0)
		return -EBADMSG;
	if (ifa->ifa_index == 0 || ifa->ifa_prefixlen > ip_bits(ifa->ifa_family))
		return -EBADMSG;
	a.ifindex = ifa->ifa_index;
	a.family = ifa->ifa_family;
	a.prefixlen = ifa->ifa_prefixlen;
	a.scope = ifa->ifa_scope;
	/*
	 * ifa_flags has eight bits only: IFA_F_NOPREFIXROUTE and younger ones are in the attribute.
	 */
	a.flags = tb[IFA_FLAGS] ? nla_get_u32(tb[IFA_FLAGS]) : ifa->ifa_flags;
	a.learnt = !(a.flags & IFA_F_PERMANENT);
	if (parse_addr_ip(tb, &a) < 0)
		return -EBADMSG;
	*ret = a;
	return 0;
}

/* ---- routes ---- */

static bool is_forwarding_type(uint8_t type)
{
	switch (type) {
	case RTN_UNICAST:
	case RTN_BLACKHOLE:
	case RTN_UNREACHABLE:
	case RTN_PROHIBIT:
	case RTN_THROW:
		return true;
	default:
		return false;
	}
}

/*
 * A table above 255 has RT_TABLE_COMPAT here, and its number in RTA_TABLE. Source:
 * net/ipv4/fib_semantics.c, fib_dump_info()
 */
static bool is_table_of_kernel(uint8_t table)
{
	return table == RT_TABLE_MAIN || table == RT_TABLE_LOCAL;
}

static bool is_route_left_out(const struct rtmsg *rtm)
{
	/*
	 * A cloned route is an entry of a cache (a path MTU, a redirect), not of a table; a
	 * redirect is one by ICMP.
	 */
	if ((rtm->rtm_flags & RTM_F_CLONED) || rtm->rtm_protocol == RTPROT_REDIRECT)
		return true;
	return !is_ip_family(rtm->rtm_family) || rtm->rtm_table != RT_TABLE_MAIN ||
	       !is_forwarding_type(rtm->rtm_type);
}

/*
 * A route by a nexthop object carries RTA_NH_ID and, for old programs, what the object stands for
 * (gateway, multipath): the object is what it is, so it comes first. A source prefix (IPv6 "from")
 * steers by more than the destination, as TOS does, and is counted with it.
 */
static enum model_unsayable unsayable_of(const struct rtmsg *rtm, struct nlattr *const tb[])
{
	if (tb[RTA_NH_ID])
		return MODEL_UNSAYABLE_NEXTHOP;
	if (rtm->rtm_type != RTN_UNICAST)
		return MODEL_UNSAYABLE_TYPE;
	if (tb[RTA_MULTIPATH])
		return MODEL_UNSAYABLE_MULTIPATH;
	if (tb[RTA_VIA])
		return MODEL_UNSAYABLE_VIA;
	if (tb[RTA_ENCAP])
		return MODEL_UNSAYABLE_ENCAP;
	if (rtm->rtm_tos != 0 || rtm->rtm_src_len != 0)
		return MODEL_UNSAYABLE_TOS;
	return MODEL_SAYABLE;
}

static unsigned route_flags_of(const struct rtmsg *rtm, struct nlattr *const tb[])
{
	unsigned flags = 0;

	if (tb[RTA_GATEWAY])
		flags |= MODEL_ROUTE_GATEWAY;
	if (tb[RTA_PREFSRC])
		flags |= MODEL_ROUTE_SOURCE;
	/*
	 * The only one of RTNH_F_* that is configuration; DEAD, LINKDOWN, OFFLOAD, TRAP are state.
	 */
	if (rtm->rtm_flags & RTNH_F_ONLINK)
		flags |= MODEL_ROUTE_ONLINK;
	if (rtm->rtm_protocol == RTPROT_KERNEL)
		flags |= MODEL_ROUTE_KERNEL;
	if (rtm->rtm_protocol == RTPROT_RA)
		flags |= MODEL_ROUTE_LEARNT;
	return flags;
}

static int parse_route_ips(const struct rtmsg *rtm, struct nlattr *const tb[], struct route *r)
{
	uint8_t family = rtm->rtm_family;

	if (rtm->rtm_dst_len > ip_bits(family) || (rtm->rtm_dst_len > 0 && !tb[RTA_DST]))
		return -EBADMSG;
	if (tb[RTA_DST] && copy_ip(r->dst, tb[RTA_DST], family) < 0)
		return -EBADMSG;
	if (tb[RTA_GATEWAY] && copy_ip(r->gateway, tb[RTA_GATEWAY], family) < 0)
		return -EBADMSG;
	if (tb[RTA_PREFSRC] && copy_ip(r->source, tb[RTA_PREFSRC], family) < 0)
		return -EBADMSG;
	ip_mask(r->dst, rtm->rtm_dst_len);
	return 0;
}

static int parse_route_mtu(struct nlattr *metrics, struct route *r)
{
	struct nlattr *tb[METRIC_MAX + 1];

	if (!metrics)
		return 0;
	if (index_nested(metrics, tb, METRIC_MAX, metric_policy) < 0)
		return -EBADMSG;
	r->mtu = u32_or_zero(tb[RTAX_MTU]);
	return 0;
}

static int parse_route(const struct nlmsghdr *h, struct route *ret)
{
	const struct rtmsg *rtm = header_of(h, sizeof(*rtm));
	struct nlattr *tb[ROUTE_MAX + 1];
	struct route r = { 0 };

	if (!rtm)
		return -EBADMSG;
	if (is_route_left_out(rtm))
		return KERNEL_PARSE_SKIP;
	if (index_attributes(h, sizeof(*rtm), tb, ROUTE_MAX, route_policy) < 0)
		return -EBADMSG;
	if (parse_route_ips(rtm, tb, &r) < 0 || parse_route_mtu(tb[RTA_METRICS], &r) < 0)
		return -EBADMSG;
	r.ifindex = u32_or_zero(tb[RTA_OIF]);
	r.metric = u32_or_zero(tb[RTA_PRIORITY]);
	r.is_inet6 = rtm->rtm_family == AF_INET6;
	r.prefixlen = rtm->rtm_dst_len;
	r.scope = rtm->rtm_scope;
	r.flags = route_flags_of(rtm, tb) & 0x1fU;
	r.unsayable = unsayable_of(rtm, tb) & 0x7U;
	*ret = r;
	return 0;
}

/* ---- neighbours ---- */

static int parse_neigh(const struct nlmsghdr *h, struct neigh *ret)
{
	const struct ndmsg *ndm = header_of(h, sizeof(*ndm));
	struct nlattr *tb[NEIGH_MAX + 1];
	struct neigh n = { 0 };

	if (!ndm)
		return -EBADMSG;
	/*
	 * NUD_NOARP: multicast and loopback, made by the kernel by itself. Family AF_BRIDGE: the
	 * forwarding table of a bridge.
	 */
	if (!is_ip_family(ndm->ndm_family) || (ndm->ndm_flags & NTF_PROXY) ||
	    (ndm->ndm_state & NUD_NOARP))
		return KERNEL_PARSE_SKIP;
	if (index_attributes(h, sizeof(*ndm), tb, NEIGH_MAX, NULL) < 0)
		return -EBADMSG;
	if (ndm->ndm_ifindex <= 0 || !tb[NDA_DST] ||
	    copy_ip(n.bytes, tb[NDA_DST], ndm->ndm_family) < 0)
		return -EBADMSG;
	n.ifindex = (uint32_t)ndm->ndm_ifindex;
	n.state = ndm->ndm_state;
	n.family = ndm->ndm_family;
	n.mac_bytes = copy_mac(n.mac, tb[NDA_LLADDR]);
	n.learnt = !(ndm->ndm_state & NUD_PERMANENT);
	n.router = (ndm->ndm_flags & NTF_ROUTER) != 0;
	*ret = n;
	return 0;
}

/* ---- policy: rules, and routes in other tables ---- */

/* What a rule may select by, besides source, destination and TOS of its header. */
static const uint8_t rule_selectors[] = {
	FRA_IIFNAME,  FRA_OIFNAME,   FRA_FWMARK,      FRA_TUN_ID,      FRA_L3MDEV,
	FRA_IP_PROTO, FRA_UID_RANGE, FRA_SPORT_RANGE, FRA_DPORT_RANGE,
};

static bool selects_all(const struct fib_rule_hdr *frh, struct nlattr *const tb[])
{
	if (frh->src_len || frh->dst_len || frh->tos || (frh->flags & FIB_RULE_INVERT))
		return false;
	for (size_t i = 0; i < sizeof(rule_selectors) / sizeof(rule_selectors[0]); i++)
		if (tb[rule_selectors[i]])
			return false;
	return true;
}

/*
 * "0: from all lookup local", "32766: ... main", IPv4 also "32767: ... default". Source:
 * fib_default_rules_init(), fib6_rules_net_init()
 */
static bool is_rule_of_kernel(const struct fib_rule_hdr *frh, struct nlattr *const tb[],
			      const struct policy *p)
{
	if (frh->action != FR_ACT_TO_TBL || !selects_all(frh, tb))
		return false;
	return (p->priority == 0 && p->table == RT_TABLE_LOCAL) ||
	       (p->priority == 0x7ffe && p->table == RT_TABLE_MAIN) ||
	       (p->priority == 0x7fff && p->table == RT_TABLE_DEFAULT);
}

static int parse_rule(const struct nlmsghdr *h, struct policy *ret)
{
	const struct fib_rule_hdr *frh = header_of(h, sizeof(*frh));
	struct nlattr *tb[RULE_MAX + 1];
	struct policy p = { 0 };

	if (!frh)
		return -EBADMSG;
	if (!is_ip_family(frh->family))
		return KERNEL_PARSE_SKIP;
	if (index_attributes(h, sizeof(*frh), tb, RULE_MAX, rule_policy) < 0)
		return -EBADMSG;
	p.is_rule = 1;
	p.family = frh->family;
	p.table = tb[FRA_TABLE] ? nla_get_u32(tb[FRA_TABLE]) : frh->table;
	p.priority = u32_or_zero(tb[FRA_PRIORITY]);
	if (is_rule_of_kernel(frh, tb, &p))
		return KERNEL_PARSE_SKIP;
	*ret = p;
	return 0;
}

static int parse_other_table(const struct nlmsghdr *h, struct policy *ret)
{
	const struct rtmsg *rtm = header_of(h, sizeof(*rtm));
	struct nlattr *tb[ROUTE_MAX + 1];
	struct policy p = { 0 };

	if (!rtm)
		return -EBADMSG;
	if (!is_ip_family(rtm->rtm_family) || is_table_of_kernel(rtm->rtm_table) ||
	    (rtm->rtm_flags & RTM_F_CLONED))
		return KERNEL_PARSE_SKIP;
	if (index_attributes(h, sizeof(*rtm), tb, ROUTE_MAX, route_policy) < 0)
		return -EBADMSG;
	p.family = rtm->rtm_family;
	p.table = tb[RTA_TABLE] ? nla_get_u32(tb[RTA_TABLE]) : rtm->rtm_table;
	if (p.table == RT_TABLE_UNSPEC || p.table == RT_TABLE_DEFAULT)
		return KERNEL_PARSE_SKIP;
	*ret = p;
	return 0;
}

static int parse_policy(const struct nlmsghdr *h, struct policy *ret)
{
	if (h->nlmsg_type == RTM_NEWRULE)
		return parse_rule(h, ret);
	if (h->nlmsg_type == RTM_NEWROUTE)
		return parse_other_table(h, ret);
	return KERNEL_PARSE_SKIP;
}

/* ---- hints ---- */

static int parse_link_hint(const struct nlmsghdr *h, struct source_hint *ret)
{
	const struct ifinfomsg *ifi = header_of(h, sizeof(*ifi));

	if (!ifi)
		return -EBADMSG;
	/*
	 * AF_BRIDGE: a port's settings, and RTM_DELLINK of that family means "left the bridge"
	 * (net/bridge/br_netlink.c).
	 */
	if (ifi->ifi_family != AF_UNSPEC)
		return KERNEL_PARSE_SKIP;
	if (ifi->ifi_index <= 0)
		return -EBADMSG;
	*ret = (struct source_hint){
		.kind = MODEL_LINK,
		.link_gone = h->nlmsg_type == RTM_DELLINK,
		.ifindex = (uint32_t)ifi->ifi_index,
	};
	return 0;
}

static int parse_addr_hint(const struct nlmsghdr *h, struct source_hint *ret)
{
	const struct ifaddrmsg *ifa = header_of(h, sizeof(*ifa));

	if (!ifa)
		return -EBADMSG;
	if (!is_ip_family(ifa->ifa_family))
		return KERNEL_PARSE_SKIP;
	*ret = (struct source_hint){ .kind = MODEL_ADDR };
	return 0;
}

static int parse_route_hint(const struct nlmsghdr *h, struct source_hint *ret)
{
	const struct rtmsg *rtm = header_of(h, sizeof(*rtm));

	if (!rtm)
		return -EBADMSG;
	if (!is_ip_family(rtm->rtm_family) || rtm->rtm_table == RT_TABLE_LOCAL ||
	    (rtm->rtm_flags & RTM_F_CLONED))
		return KERNEL_PARSE_SKIP;
	*ret = (struct source_hint){
		.kind = rtm->rtm_table == RT_TABLE_MAIN ? MODEL_ROUTE : MODEL_POLICY,
	};
	return 0;
}

static int parse_rule_hint(const struct nlmsghdr *h, struct source_hint *ret)
{
	const struct fib_rule_hdr *frh = header_of(h, sizeof(*frh));

	if (!frh)
		return -EBADMSG;
	if (!is_ip_family(frh->family))
		return KERNEL_PARSE_SKIP;
	*ret = (struct source_hint){ .kind = MODEL_POLICY };
	return 0;
}

/* No look at the state: the end of a permanent neighbour is announced as NUD_FAILED. */
static int parse_neigh_hint(const struct nlmsghdr *h, struct source_hint *ret)
{
	const struct ndmsg *ndm = header_of(h, sizeof(*ndm));

	if (!ndm)
		return -EBADMSG;
	if (!is_ip_family(ndm->ndm_family) || (ndm->ndm_flags & NTF_PROXY))
		return KERNEL_PARSE_SKIP;
	*ret = (struct source_hint){ .kind = MODEL_NEIGH };
	return 0;
}

/* ---- the two doors ---- */

int kernel_parse_object(enum model_kind kind, const struct nlmsghdr *h, void *ret)
{
	static const uint16_t types[] = {
		[MODEL_LINK] = RTM_NEWLINK,
		[MODEL_ADDR] = RTM_NEWADDR,
		[MODEL_ROUTE] = RTM_NEWROUTE,
		[MODEL_NEIGH] = RTM_NEWNEIGH,
	};

	if (kind == MODEL_POLICY)
		return parse_policy(h, ret);
	if (kind >= _MODEL_KIND_MAX || h->nlmsg_type != types[kind])
		return KERNEL_PARSE_SKIP;
	if (kind == MODEL_ROUTE)
		return parse_route(h, ret);
	if (kind == MODEL_ADDR)
		return parse_addr(h, ret);
	if (kind == MODEL_NEIGH)
		return parse_neigh(h, ret);
	return parse_link(h, ret);
}

int kernel_parse_hint(const struct nlmsghdr *h, struct source_hint *ret)
{
	switch (h->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return parse_link_hint(h, ret);
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return parse_addr_hint(h, ret);
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		return parse_route_hint(h, ret);
	case RTM_NEWRULE:
	case RTM_DELRULE:
		return parse_rule_hint(h, ret);
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		return parse_neigh_hint(h, ret);
	default:
		return KERNEL_PARSE_SKIP;
	}
}
