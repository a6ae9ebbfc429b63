/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rtnetlink messages to values, by value: messages are built here, byte for byte as the kernel
 * fills them; what the kernel really sends is in tests/netns/test-kernel.c and in the fuzz corpus.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "netmon/kernel-parse.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"

DEFINE_CLEANUP(struct nl_msg, nlmsg_free)
#define MESSAGE CLEANUP(nlmsg_freep) struct nl_msg *

/* ---- building ---- */

static struct nl_msg *new_message(uint16_t type, void *header, size_t header_bytes)
{
	struct nl_msg *m = nlmsg_alloc_simple(type, 0);

	assert_non_null(m);
	assert_int_equal(nlmsg_append(m, header, header_bytes, NLMSG_ALIGNTO), 0);
	return m;
}

static struct nl_msg *new_link(uint16_t type, struct ifinfomsg ifi, const char *name)
{
	struct nl_msg *m = new_message(type, &ifi, sizeof(ifi));

	if (name)
		assert_int_equal(nla_put_string(m, IFLA_IFNAME, name), 0);
	return m;
}

static struct nl_msg *new_addr(struct ifaddrmsg ifa)
{
	return new_message(RTM_NEWADDR, &ifa, sizeof(ifa));
}

/* A static IPv4 route of the main table, unless @rtm says otherwise. */
static struct nl_msg *new_route(struct rtmsg rtm)
{
	rtm.rtm_family = rtm.rtm_family ? rtm.rtm_family : AF_INET;
	rtm.rtm_table = rtm.rtm_table ? rtm.rtm_table : RT_TABLE_MAIN;
	rtm.rtm_protocol = rtm.rtm_protocol ? rtm.rtm_protocol : RTPROT_STATIC;
	rtm.rtm_type = rtm.rtm_type ? rtm.rtm_type : RTN_UNICAST;
	return new_message(RTM_NEWROUTE, &rtm, sizeof(rtm));
}

static struct nl_msg *new_neigh(struct ndmsg ndm)
{
	return new_message(RTM_NEWNEIGH, &ndm, sizeof(ndm));
}

static struct nl_msg *new_rule(struct fib_rule_hdr frh, uint32_t priority)
{
	struct nl_msg *m = new_message(RTM_NEWRULE, &frh, sizeof(frh));

	assert_int_equal(nla_put_u32(m, FRA_PRIORITY, priority), 0);
	return m;
}

static void put(struct nl_msg *m, int type, const void *data, size_t bytes)
{
	assert_int_equal(nla_put(m, type, (int)bytes, data), 0);
}

static void put_u32(struct nl_msg *m, int type, uint32_t value)
{
	put(m, type, &value, sizeof(value));
}

static void put_ip4(struct nl_msg *m, int type, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	put(m, type, (const uint8_t[]){ a, b, c, d }, 4);
}

/* IFLA_LINKINFO { IFLA_INFO_KIND @kind, IFLA_INFO_DATA { IFLA_TUN_TYPE @tun_type } } */
static void put_kind(struct nl_msg *m, const char *kind, int tun_type)
{
	struct nlattr *info = nla_nest_start(m, IFLA_LINKINFO);
	struct nlattr *data;

	assert_int_equal(nla_put_string(m, IFLA_INFO_KIND, kind), 0);
	if (tun_type) {
		data = nla_nest_start(m, IFLA_INFO_DATA);
		assert_int_equal(nla_put_u8(m, IFLA_TUN_TYPE, (uint8_t)tun_type), 0);
		assert_int_equal(nla_nest_end(m, data), 0);
	}
	assert_int_equal(nla_nest_end(m, info), 0);
}

/*
 * Parsed from a block of exactly its length, so that a read behind it is seen by ASan, and into a
 * value that has to stay as it was when there is nothing to say.
 */
static int parse(enum model_kind kind, struct nl_msg *m, void *ret)
{
	uint8_t before[128], after[128];
	const struct nlmsghdr *from = nlmsg_hdr(m);
	CLEANUP(cleanup_free) struct nlmsghdr *h = malloc(from->nlmsg_len);
	size_t bytes = model_bytes(kind);
	int r;

	assert_non_null(h);
	assert_true(bytes <= sizeof(before));
	memcpy(h, from, from->nlmsg_len);
	memset(before, 0xa5, sizeof(before));
	memset(after, 0xa5, sizeof(after));
	r = kernel_parse_object(kind, h, after);
	if (r != 0)
		assert_memory_equal(before, after, sizeof(after));
	memcpy(ret, after, bytes);
	return r;
}

#define IP4(a, b, c, d) ((const uint8_t[16]){ a, b, c, d })

/* ---- links ---- */

static void test_link_with_everything(void **state)
{
	static const uint8_t mac[6] = { 2, 0x42, 0xac, 0x11, 0, 3 };
	MESSAGE m = new_link(RTM_NEWLINK,
			     (struct ifinfomsg){ .ifi_index = 7,
						 .ifi_type = ARPHRD_ETHER,
						 .ifi_flags = IFF_UP | IFF_RUNNING },
			     "eth1");
	struct link l;

	(void)state;
	put_u32(m, IFLA_MTU, 1450);
	put_u32(m, IFLA_MASTER, 3);
	put_u32(m, IFLA_LINK, 9);
	put_u32(m, IFLA_LINK_NETNSID, 0);
	put(m, IFLA_ADDRESS, mac, sizeof(mac));
	put_kind(m, "veth", 0);
	assert_int_equal(parse(MODEL_LINK, m, &l), 0);
	assert_int_equal(l.ifindex, 7);
	assert_int_equal(l.mtu, 1450);
	assert_int_equal(l.flags, IFF_UP | IFF_RUNNING);
	assert_int_equal(l.hardware, ARPHRD_ETHER);
	assert_int_equal(l.master, 3);
	assert_int_equal(l.peer_ifindex, 9);
	assert_true(l.peer_elsewhere);
	assert_int_equal(l.mac_bytes, 6);
	assert_memory_equal(l.mac, mac, 6);
	assert_string_equal(l.name, "eth1");
	assert_string_equal(l.kind, "veth");
	assert_int_equal(l.incarnation, 0);
	assert_int_equal(l.sent_usec, 0);
}

static void test_link_with_nothing(void **state)
{
	MESSAGE m = new_link(RTM_NEWLINK, (struct ifinfomsg){ .ifi_index = 1 }, "lo");
	struct link l;

	(void)state;
	assert_int_equal(parse(MODEL_LINK, m, &l), 0);
	assert_string_equal(l.kind, "");
	assert_int_equal(l.mac_bytes, 0);
	assert_false(l.peer_elsewhere);
	assert_int_equal(l.mtu, 0);
}

static void test_tap_and_tun(void **state)
{
	static const struct {
		int tun_type;
		const char *kind;
	} rows[] = { { IFF_TAP, "tap" }, { IFF_TUN, "tun" }, { 0, "tun" } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		MESSAGE m = new_link(RTM_NEWLINK, (struct ifinfomsg){ .ifi_index = 4 }, "t0");
		struct link l;

		put_kind(m, "tun", rows[i].tun_type);
		assert_int_equal(parse(MODEL_LINK, m, &l), 0);
		assert_string_equal(l.kind, rows[i].kind);
	}
}

static void test_mac_of_another_length(void **state)
{
	static const uint8_t infiniband[20] = { 1 };
	MESSAGE m = new_link(RTM_NEWLINK, (struct ifinfomsg){ .ifi_index = 4 }, "ib0");
	struct link l;

	(void)state;
	put(m, IFLA_ADDRESS, infiniband, sizeof(infiniband));
	assert_int_equal(parse(MODEL_LINK, m, &l), 0);
	assert_int_equal(l.mac_bytes, 0);
	assert_memory_equal(l.mac, ((const uint8_t[6]){ 0 }), 6);
}

static void test_long_kind_is_cut(void **state)
{
	MESSAGE m = new_link(RTM_NEWLINK, (struct ifinfomsg){ .ifi_index = 4 }, "x0");
	struct link l;

	(void)state;
	put_kind(m, "a-kind-of-twenty-one", 0);
	assert_int_equal(parse(MODEL_LINK, m, &l), 0);
	assert_string_equal(l.kind, "a-kind-of-twent");
}

static void test_link_of_another_family(void **state)
{
	MESSAGE port = new_link(
		RTM_NEWLINK, (struct ifinfomsg){ .ifi_family = AF_BRIDGE, .ifi_index = 4 }, "v0");
	MESSAGE settings = new_link(
		RTM_NEWLINK, (struct ifinfomsg){ .ifi_family = AF_INET6, .ifi_index = 4 }, "v0");
	MESSAGE gone = new_link(RTM_DELLINK, (struct ifinfomsg){ .ifi_index = 4 }, "v0");
	struct link l;

	(void)state;
	assert_int_equal(parse(MODEL_LINK, port, &l), KERNEL_PARSE_SKIP);
	assert_int_equal(parse(MODEL_LINK, settings, &l), KERNEL_PARSE_SKIP);
	assert_int_equal(parse(MODEL_LINK, gone, &l), KERNEL_PARSE_SKIP);
}

static void test_link_names(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		int r;
	} rows[] = {
		{ "a\0", 2, 0 },
		{ "fifteen-letters\0", 16, 0 },
		{ "sixteen-letters!\0", 17, -EBADMSG },
		{ "eth0", 4, -EBADMSG }, /* no NUL */
		{ "\0", 1, -EBADMSG },
		{ "\0\0", 2, -EBADMSG },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		MESSAGE m = new_link(RTM_NEWLINK, (struct ifinfomsg){ .ifi_index = 4 }, NULL);
		struct link l;

		put(m, IFLA_IFNAME, rows[i].bytes, rows[i].n);
		assert_int_equal(parse(MODEL_LINK, m, &l), rows[i].r);
		if (rows[i].r == 0)
			assert_string_equal(l.name, rows[i].bytes);
	}
}

static void test_broken_links(void **state)
{
	MESSAGE no_name = new_link(RTM_NEWLINK, (struct ifinfomsg){ .ifi_index = 4 }, NULL);
	MESSAGE no_index = new_link(RTM_NEWLINK, (struct ifinfomsg){ .ifi_index = 0 }, "v0");
	MESSAGE short_mtu = new_link(RTM_NEWLINK, (struct ifinfomsg){ .ifi_index = 4 }, "v0");
	MESSAGE bad_kind = new_link(RTM_NEWLINK, (struct ifinfomsg){ .ifi_index = 4 }, "v0");
	struct nlattr *info;
	struct link l;

	(void)state;
	assert_int_equal(parse(MODEL_LINK, no_name, &l), -EBADMSG);
	assert_int_equal(parse(MODEL_LINK, no_index, &l), -EBADMSG);
	put(short_mtu, IFLA_MTU, "\1\2", 2);
	assert_int_equal(parse(MODEL_LINK, short_mtu, &l), -EBADMSG);
	info = nla_nest_start(bad_kind, IFLA_LINKINFO);
	put(bad_kind, IFLA_INFO_KIND, "veth", 4);
	assert_int_equal(nla_nest_end(bad_kind, info), 0);
	assert_int_equal(parse(MODEL_LINK, bad_kind, &l), -EBADMSG);
}

/*
 * Every length of a good message, cut anywhere: nothing is read behind its end (ASan), nothing half
 * is returned.
 */
static void test_cut_messages(void **state)
{
	MESSAGE m = new_link(RTM_NEWLINK, (struct ifinfomsg){ .ifi_index = 4 }, "v0");
	struct nlmsghdr *h = nlmsg_hdr(m);

	(void)state;
	put_u32(m, IFLA_MTU, 1500);
	put_kind(m, "tun", IFF_TAP);
	for (uint32_t n = h->nlmsg_len; n >= NLMSG_HDRLEN; n--) {
		struct source_hint hint;
		struct link l;
		int r;

		h->nlmsg_len = n;
		r = parse(MODEL_LINK, m, &l);
		assert_true(r == 0 || r == -EBADMSG);
		if (r == 0)
			assert_string_equal(l.name, "v0");
		r = kernel_parse_hint(h, &hint);
		assert_int_equal(r, n < NLMSG_HDRLEN + sizeof(struct ifinfomsg) ? -EBADMSG : 0);
	}
}

/* ---- addresses ---- */

static void test_addr4(void **state)
{
	MESSAGE m = new_addr((struct ifaddrmsg){ .ifa_family = AF_INET,
						 .ifa_prefixlen = 24,
						 .ifa_flags = IFA_F_PERMANENT,
						 .ifa_scope = RT_SCOPE_UNIVERSE,
						 .ifa_index = 4 });
	struct addr a;

	(void)state;
	put_ip4(m, IFA_ADDRESS, 10, 0, 0, 2);
	put_ip4(m, IFA_LOCAL, 10, 0, 0, 2);
	put_u32(m, IFA_FLAGS, IFA_F_PERMANENT | IFA_F_NOPREFIXROUTE);
	assert_int_equal(parse(MODEL_ADDR, m, &a), 0);
	assert_int_equal(a.ifindex, 4);
	assert_int_equal(a.family, AF_INET);
	assert_int_equal(a.prefixlen, 24);
	assert_int_equal(a.flags, IFA_F_PERMANENT | IFA_F_NOPREFIXROUTE);
	assert_int_equal(a.learnt, 0);
	assert_memory_equal(a.bytes, IP4(10, 0, 0, 2), 16);
}

static void test_addr_of_a_point_to_point_link(void **state)
{
	MESSAGE m = new_addr(
		(struct ifaddrmsg){ .ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_index = 4 });
	struct addr a;

	(void)state;
	put_ip4(m, IFA_ADDRESS, 10, 8, 0, 9);
	put_ip4(m, IFA_LOCAL, 10, 8, 0, 2);
	assert_int_equal(parse(MODEL_ADDR, m, &a), 0);
	assert_memory_equal(a.bytes, IP4(10, 8, 0, 2), 16);
	assert_int_equal(a.prefixlen, 32);
}

static void test_addr6(void **state)
{
	static const uint8_t ip[16] = { 0x20, 1, 0xd, 0xb8, [15] = 2 };
	MESSAGE m = new_addr(
		(struct ifaddrmsg){ .ifa_family = AF_INET6, .ifa_prefixlen = 64, .ifa_index = 4 });
	struct addr a;

	(void)state;
	put(m, IFA_ADDRESS, ip, sizeof(ip));
	put_u32(m, IFA_FLAGS, IFA_F_MANAGETEMPADDR);
	assert_int_equal(parse(MODEL_ADDR, m, &a), 0);
	assert_memory_equal(a.bytes, ip, 16);
	assert_int_equal(a.prefixlen, 64);
	assert_int_equal(a.learnt, 1);
}

static void test_broken_addresses(void **state)
{
	const struct ifaddrmsg good = { .ifa_family = AF_INET,
					.ifa_prefixlen = 24,
					.ifa_index = 4 };
	struct ifaddrmsg long_prefix = good, no_index = good, other_family = good;
	MESSAGE nothing = new_addr(good);
	MESSAGE short_ip = new_addr(good);
	MESSAGE long_ip = new_addr(good);
	MESSAGE m33 = (long_prefix.ifa_prefixlen = 33, new_addr(long_prefix));
	MESSAGE m0 = (no_index.ifa_index = 0, new_addr(no_index));
	MESSAGE other = (other_family.ifa_family = AF_PACKET, new_addr(other_family));
	struct addr a;

	(void)state;
	put(short_ip, IFA_LOCAL, "\12\0\0", 3);
	put(long_ip, IFA_LOCAL, "\12\0\0\1\0\0\0\0\0\0\0\0\0\0\0", 16);
	put_ip4(m33, IFA_LOCAL, 10, 0, 0, 1);
	put_ip4(m0, IFA_LOCAL, 10, 0, 0, 1);
	assert_int_equal(parse(MODEL_ADDR, nothing, &a), -EBADMSG);
	assert_int_equal(parse(MODEL_ADDR, short_ip, &a), -EBADMSG);
	assert_int_equal(parse(MODEL_ADDR, long_ip, &a), -EBADMSG);
	assert_int_equal(parse(MODEL_ADDR, m33, &a), -EBADMSG);
	assert_int_equal(parse(MODEL_ADDR, m0, &a), -EBADMSG);
	assert_int_equal(parse(MODEL_ADDR, other, &a), KERNEL_PARSE_SKIP);
}

/* ---- routes ---- */

static void test_route_with_everything(void **state)
{
	MESSAGE m = new_route((struct rtmsg){ .rtm_dst_len = 20,
					      .rtm_scope = RT_SCOPE_LINK,
					      .rtm_flags = RTNH_F_ONLINK | RTNH_F_LINKDOWN |
							   RTNH_F_DEAD | RTNH_F_OFFLOAD });
	struct nlattr *metrics;
	struct route r;

	(void)state;
	put_u32(m, RTA_TABLE, RT_TABLE_MAIN);
	put_ip4(m, RTA_DST, 10, 1, 0xff,
		7); /* the kernel sends no host bits; a value never has them */
	put_ip4(m, RTA_GATEWAY, 10, 0, 0, 1);
	put_ip4(m, RTA_PREFSRC, 10, 0, 0, 2);
	put_u32(m, RTA_OIF, 4);
	put_u32(m, RTA_PRIORITY, 77);
	metrics = nla_nest_start(m, RTA_METRICS);
	put_u32(m, RTAX_MTU, 1400);
	assert_int_equal(nla_nest_end(m, metrics), 0);
	assert_int_equal(parse(MODEL_ROUTE, m, &r), 0);
	assert_memory_equal(r.dst, IP4(10, 1, 0xf0, 0), 16);
	assert_memory_equal(r.gateway, IP4(10, 0, 0, 1), 16);
	assert_memory_equal(r.source, IP4(10, 0, 0, 2), 16);
	assert_int_equal(r.prefixlen, 20);
	assert_int_equal(r.ifindex, 4);
	assert_int_equal(r.metric, 77);
	assert_int_equal(r.mtu, 1400);
	assert_int_equal(r.scope, RT_SCOPE_LINK);
	assert_int_equal(r.is_inet6, 0);
	assert_int_equal(r.flags, MODEL_ROUTE_GATEWAY | MODEL_ROUTE_SOURCE | MODEL_ROUTE_ONLINK);
	assert_int_equal(r.unsayable, MODEL_SAYABLE);
}

static void test_default_route6_of_a_router(void **state)
{
	static const uint8_t router[16] = { 0xfe, 0x80, [15] = 1 };
	MESSAGE m = new_route((struct rtmsg){ .rtm_family = AF_INET6, .rtm_protocol = RTPROT_RA });
	struct route r;

	(void)state;
	put(m, RTA_GATEWAY, router, sizeof(router));
	put_u32(m, RTA_OIF, 4);
	put_u32(m, RTA_PRIORITY, 1024);
	assert_int_equal(nla_put_u8(m, RTA_PREF, 0), 0);
	assert_int_equal(parse(MODEL_ROUTE, m, &r), 0);
	assert_int_equal(r.is_inet6, 1);
	assert_int_equal(r.prefixlen, 0);
	assert_int_equal(r.flags, MODEL_ROUTE_GATEWAY | MODEL_ROUTE_LEARNT);
	assert_memory_equal(r.gateway, router, 16);
}

static void test_routes_left_out(void **state)
{
	static const struct rtmsg rows[] = {
		{ .rtm_table = RT_TABLE_LOCAL },
		{ .rtm_table = RT_TABLE_DEFAULT },
		{ .rtm_table = 100 },
		{ .rtm_table = RT_TABLE_COMPAT },
		{ .rtm_type = RTN_LOCAL },
		{ .rtm_type = RTN_BROADCAST },
		{ .rtm_type = RTN_ANYCAST },
		{ .rtm_type = RTN_MULTICAST },
		{ .rtm_flags = RTM_F_CLONED },
		{ .rtm_protocol = RTPROT_REDIRECT },
		{ .rtm_family = RTNL_FAMILY_IPMR },
		{ .rtm_family = AF_MPLS },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		MESSAGE m = new_route(rows[i]);
		struct route r;

		put_u32(m, RTA_OIF, 4);
		assert_int_equal(parse(MODEL_ROUTE, m, &r), KERNEL_PARSE_SKIP);
	}
}

static void test_route_types_that_can_not_be_said(void **state)
{
	static const uint8_t types[] = { RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT, RTN_THROW };

	(void)state;
	for (size_t i = 0; i < sizeof(types); i++) {
		MESSAGE m = new_route((struct rtmsg){ .rtm_type = types[i], .rtm_dst_len = 8 });
		struct route r;

		put_ip4(m, RTA_DST, 10, 0, 0, 0);
		assert_int_equal(parse(MODEL_ROUTE, m, &r), 0);
		assert_int_equal(r.unsayable, MODEL_UNSAYABLE_TYPE);
		assert_int_equal(r.ifindex, 0);
	}
}

/* One reason a route, the first that applies; a nexthop object before what it expands to. */
static void test_unsayable_by_attribute(void **state)
{
	static const struct {
		uint16_t attribute;
		enum model_unsayable unsayable;
	} rows[] = {
		{ RTA_ENCAP, MODEL_UNSAYABLE_ENCAP },
		{ RTA_VIA, MODEL_UNSAYABLE_VIA },
		{ RTA_MULTIPATH, MODEL_UNSAYABLE_MULTIPATH },
		{ RTA_NH_ID, MODEL_UNSAYABLE_NEXTHOP },
	};
	MESSAGE m = new_route((struct rtmsg){ .rtm_tos = 0x10 });
	struct route r;

	(void)state;
	assert_int_equal(parse(MODEL_ROUTE, m, &r), 0);
	assert_int_equal(r.unsayable, MODEL_UNSAYABLE_TOS);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		put_u32(m, rows[i].attribute, 0);
		assert_int_equal(parse(MODEL_ROUTE, m, &r), 0);
		assert_int_equal(r.unsayable, rows[i].unsayable);
	}
}

static void test_route_from_a_source_prefix(void **state)
{
	MESSAGE m = new_route((struct rtmsg){ .rtm_family = AF_INET6, .rtm_src_len = 48 });
	struct route r;

	(void)state;
	put_u32(m, RTA_OIF, 4);
	assert_int_equal(parse(MODEL_ROUTE, m, &r), 0);
	assert_int_equal(r.unsayable, MODEL_UNSAYABLE_TOS);
}

static void test_broken_routes(void **state)
{
	MESSAGE long_prefix = new_route((struct rtmsg){ .rtm_dst_len = 33 });
	MESSAGE no_dst = new_route((struct rtmsg){ .rtm_dst_len = 8 });
	MESSAGE wrong_gateway = new_route((struct rtmsg){ 0 });
	MESSAGE short_oif = new_route((struct rtmsg){ 0 });
	MESSAGE bad_metrics = new_route((struct rtmsg){ 0 });
	MESSAGE overlong = new_route((struct rtmsg){ 0 });
	struct nlattr *a;
	struct route r;

	(void)state;
	put_ip4(long_prefix, RTA_DST, 10, 0, 0, 0);
	put(wrong_gateway, RTA_GATEWAY, "\376\200\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	put(short_oif, RTA_OIF, "\4", 1);
	a = nla_nest_start(bad_metrics, RTA_METRICS);
	put(bad_metrics, RTAX_MTU, "\5", 1);
	assert_int_equal(nla_nest_end(bad_metrics, a), 0);
	assert_int_equal(parse(MODEL_ROUTE, long_prefix, &r), -EBADMSG);
	assert_int_equal(parse(MODEL_ROUTE, no_dst, &r), -EBADMSG);
	assert_int_equal(parse(MODEL_ROUTE, wrong_gateway, &r), -EBADMSG);
	assert_int_equal(parse(MODEL_ROUTE, short_oif, &r), -EBADMSG);
	assert_int_equal(parse(MODEL_ROUTE, bad_metrics, &r), -EBADMSG);
	/*
	 * An attribute longer than the message ends the list: what is behind it is no attribute of
	 * ours.
	 */
	put_u32(overlong, RTA_OIF, 4);
	a = nlmsg_attrdata(nlmsg_hdr(overlong), sizeof(struct rtmsg));
	a->nla_len = 200;
	assert_int_equal(parse(MODEL_ROUTE, overlong, &r), 0);
	assert_int_equal(r.ifindex, 0);
}

/* ---- neighbours ---- */

static void test_neigh(void **state)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 9 };
	static const uint8_t ip[16] = { 0xfe, 0x80, [15] = 1 };
	MESSAGE m = new_neigh((struct ndmsg){ .ndm_family = AF_INET6,
					      .ndm_ifindex = 4,
					      .ndm_state = NUD_PERMANENT,
					      .ndm_flags = NTF_ROUTER });
	struct neigh n;

	(void)state;
	put(m, NDA_DST, ip, sizeof(ip));
	put(m, NDA_LLADDR, mac, sizeof(mac));
	assert_int_equal(parse(MODEL_NEIGH, m, &n), 0);
	assert_int_equal(n.ifindex, 4);
	assert_int_equal(n.family, AF_INET6);
	assert_int_equal(n.state, NUD_PERMANENT);
	assert_int_equal(n.learnt, 0);
	assert_int_equal(n.router, 1);
	assert_int_equal(n.mac_bytes, 6);
	assert_memory_equal(n.mac, mac, 6);
	assert_memory_equal(n.bytes, ip, 16);
}

static void test_unresolved_neigh(void **state)
{
	MESSAGE m = new_neigh((struct ndmsg){
		.ndm_family = AF_INET, .ndm_ifindex = 4, .ndm_state = NUD_INCOMPLETE });
	struct neigh n;

	(void)state;
	put_ip4(m, NDA_DST, 10, 0, 0, 1);
	assert_int_equal(parse(MODEL_NEIGH, m, &n), 0);
	assert_int_equal(n.mac_bytes, 0);
	assert_int_equal(n.learnt, 1);
	assert_int_equal(n.router, 0);
}

static void test_neighs_left_out(void **state)
{
	static const struct {
		struct ndmsg ndm;
		int r;
	} rows[] = {
		{ { .ndm_family = AF_BRIDGE, .ndm_ifindex = 4 }, KERNEL_PARSE_SKIP },
		{ { .ndm_family = AF_INET, .ndm_ifindex = 4, .ndm_flags = NTF_PROXY },
		  KERNEL_PARSE_SKIP },
		{ { .ndm_family = AF_INET, .ndm_ifindex = 4, .ndm_state = NUD_NOARP },
		  KERNEL_PARSE_SKIP },
		{ { .ndm_family = AF_INET, .ndm_ifindex = 0, .ndm_state = NUD_REACHABLE },
		  -EBADMSG },
		{ { .ndm_family = AF_INET6, .ndm_ifindex = 4, .ndm_state = NUD_REACHABLE },
		  -EBADMSG }, /* an IPv4 address */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		MESSAGE m = new_neigh(rows[i].ndm);
		struct neigh n;

		put_ip4(m, NDA_DST, 10, 0, 0, 1);
		assert_int_equal(parse(MODEL_NEIGH, m, &n), rows[i].r);
	}
}

/* ---- policy ---- */

static void test_rules_of_the_kernel(void **state)
{
	static const struct {
		uint32_t priority;
		uint8_t table;
	} rows[] = { { 0, RT_TABLE_LOCAL }, { 32766, RT_TABLE_MAIN }, { 32767, RT_TABLE_DEFAULT } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fib_rule_hdr frh = { .family = AF_INET,
					    .table = rows[i].table,
					    .action = FR_ACT_TO_TBL };
		MESSAGE m = new_rule(frh, rows[i].priority);
		struct policy p;

		put_u32(m, FRA_SUPPRESS_PREFIXLEN, UINT32_MAX);
		assert_int_equal(parse(MODEL_POLICY, m, &p), KERNEL_PARSE_SKIP);
		/* The same place and table, but only for a mark: somebody's own. */
		put_u32(m, FRA_FWMARK, 1);
		assert_int_equal(parse(MODEL_POLICY, m, &p), 0);
		assert_int_equal(p.is_rule, 1);
		assert_int_equal(p.priority, rows[i].priority);
	}
}

static void test_own_rule(void **state)
{
	MESSAGE m = new_rule((struct fib_rule_hdr){ .family = AF_INET6,
						    .table = RT_TABLE_COMPAT,
						    .action = FR_ACT_TO_TBL },
			     100);
	MESSAGE multicast = new_rule((struct fib_rule_hdr){ .family = RTNL_FAMILY_IPMR }, 100);
	struct policy p;

	(void)state;
	put_u32(m, FRA_TABLE, 1000);
	assert_int_equal(parse(MODEL_POLICY, m, &p), 0);
	assert_int_equal(p.family, AF_INET6);
	assert_int_equal(p.is_rule, 1);
	assert_int_equal(p.table, 1000);
	assert_int_equal(p.priority, 100);
	assert_int_equal(parse(MODEL_POLICY, multicast, &p), KERNEL_PARSE_SKIP);
}

static void test_routes_of_other_tables(void **state)
{
	static const struct {
		uint8_t table;
		uint32_t attribute; /* 0: none */
		int r;
		uint32_t expected;
	} rows[] = {
		{ 100, 100, 0, 100 },
		{ 100, 0, 0, 100 },
		{ RT_TABLE_COMPAT, 1000, 0, 1000 },
		{ RT_TABLE_MAIN, RT_TABLE_MAIN, KERNEL_PARSE_SKIP, 0 },
		{ RT_TABLE_LOCAL, RT_TABLE_LOCAL, KERNEL_PARSE_SKIP, 0 },
		{ RT_TABLE_DEFAULT, RT_TABLE_DEFAULT, KERNEL_PARSE_SKIP, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		MESSAGE m = new_route((struct rtmsg){ .rtm_table = rows[i].table });
		struct policy p;

		if (rows[i].attribute)
			put_u32(m, RTA_TABLE, rows[i].attribute);
		assert_int_equal(parse(MODEL_POLICY, m, &p), rows[i].r);
		if (rows[i].r != 0)
			continue;
		assert_int_equal(p.table, rows[i].expected);
		assert_int_equal(p.is_rule, 0);
		assert_int_equal(p.family, AF_INET);
	}
}

/* ---- hints ---- */

static void test_link_hints(void **state)
{
	MESSAGE made = new_link(RTM_NEWLINK, (struct ifinfomsg){ .ifi_index = 4 }, "v0");
	MESSAGE gone = new_link(RTM_DELLINK, (struct ifinfomsg){ .ifi_index = 4 }, "v0");
	MESSAGE left_bridge = new_link(
		RTM_DELLINK, (struct ifinfomsg){ .ifi_family = AF_BRIDGE, .ifi_index = 4 }, "v0");
	MESSAGE no_index = new_link(RTM_DELLINK, (struct ifinfomsg){ .ifi_index = -4 }, "v0");
	struct source_hint h;

	(void)state;
	assert_int_equal(kernel_parse_hint(nlmsg_hdr(made), &h), 0);
	assert_int_equal(h.kind, MODEL_LINK);
	assert_int_equal(h.ifindex, 4);
	assert_false(h.link_gone);
	assert_int_equal(kernel_parse_hint(nlmsg_hdr(gone), &h), 0);
	assert_true(h.link_gone);
	assert_int_equal(kernel_parse_hint(nlmsg_hdr(left_bridge), &h), KERNEL_PARSE_SKIP);
	assert_int_equal(kernel_parse_hint(nlmsg_hdr(no_index), &h), -EBADMSG);
}

static void test_other_hints(void **state)
{
	struct ifaddrmsg ifa = { .ifa_family = AF_INET6 };
	struct fib_rule_hdr frh = { .family = AF_INET };
	struct ndmsg ndm = { .ndm_family = AF_INET, .ndm_state = NUD_FAILED };
	const struct {
		uint16_t type;
		void *header;
		size_t bytes;
		enum model_kind kind;
	} rows[] = {
		{ RTM_NEWADDR, &ifa, sizeof(ifa), MODEL_ADDR },
		{ RTM_DELADDR, &ifa, sizeof(ifa), MODEL_ADDR },
		{ RTM_NEWRULE, &frh, sizeof(frh), MODEL_POLICY },
		{ RTM_DELRULE, &frh, sizeof(frh), MODEL_POLICY },
		{ RTM_NEWNEIGH, &ndm, sizeof(ndm), MODEL_NEIGH },
		{ RTM_DELNEIGH, &ndm, sizeof(ndm), MODEL_NEIGH },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		MESSAGE whole = new_message(rows[i].type, rows[i].header, rows[i].bytes);
		MESSAGE cut = new_message(rows[i].type, rows[i].header, rows[i].bytes - 4);
		struct source_hint h;

		assert_int_equal(kernel_parse_hint(nlmsg_hdr(cut), &h), -EBADMSG);
		assert_int_equal(kernel_parse_hint(nlmsg_hdr(whole), &h), 0);
		assert_int_equal(h.kind, rows[i].kind);
		assert_false(h.link_gone);
		assert_int_equal(h.ifindex, 0);
	}
}

static void test_route_hints(void **state)
{
	static const struct {
		struct rtmsg rtm;
		int r;
		enum model_kind kind;
	} rows[] = {
		{ { .rtm_table = RT_TABLE_MAIN }, 0, MODEL_ROUTE },
		{ { .rtm_table = RT_TABLE_MAIN, .rtm_type = RTN_BLACKHOLE }, 0, MODEL_ROUTE },
		{ { .rtm_table = 100 }, 0, MODEL_POLICY },
		{ { .rtm_table = RT_TABLE_COMPAT }, 0, MODEL_POLICY },
		{ { .rtm_table = RT_TABLE_LOCAL }, KERNEL_PARSE_SKIP, 0 },
		{ { .rtm_flags = RTM_F_CLONED }, KERNEL_PARSE_SKIP, 0 },
		{ { .rtm_family = RTNL_FAMILY_IPMR }, KERNEL_PARSE_SKIP, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		MESSAGE m = new_route(rows[i].rtm);
		struct source_hint h;

		assert_int_equal(kernel_parse_hint(nlmsg_hdr(m), &h), rows[i].r);
		if (rows[i].r == 0)
			assert_int_equal(h.kind, rows[i].kind);
	}
}

static void test_hints_of_nothing(void **state)
{
	struct ndmsg fdb = { .ndm_family = AF_BRIDGE };
	struct ndmsg proxy = { .ndm_family = AF_INET, .ndm_flags = NTF_PROXY };
	struct rtgenmsg gen = { .rtgen_family = AF_INET };
	MESSAGE m1 = new_message(RTM_NEWNEIGH, &fdb, sizeof(fdb));
	MESSAGE m2 = new_message(RTM_NEWNEIGH, &proxy, sizeof(proxy));
	MESSAGE m3 = new_message(RTM_NEWNSID, &gen, sizeof(gen));
	MESSAGE m4 = new_message(NLMSG_NOOP, &gen, sizeof(gen));
	struct source_hint h;

	(void)state;
	assert_int_equal(kernel_parse_hint(nlmsg_hdr(m1), &h), KERNEL_PARSE_SKIP);
	assert_int_equal(kernel_parse_hint(nlmsg_hdr(m2), &h), KERNEL_PARSE_SKIP);
	assert_int_equal(kernel_parse_hint(nlmsg_hdr(m3), &h), KERNEL_PARSE_SKIP);
	assert_int_equal(kernel_parse_hint(nlmsg_hdr(m4), &h), KERNEL_PARSE_SKIP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link_with_everything),
		cmocka_unit_test(test_link_with_nothing),
		cmocka_unit_test(test_tap_and_tun),
		cmocka_unit_test(test_mac_of_another_length),
		cmocka_unit_test(test_long_kind_is_cut),
		cmocka_unit_test(test_link_of_another_family),
		cmocka_unit_test(test_link_names),
		cmocka_unit_test(test_broken_links),
		cmocka_unit_test(test_cut_messages),
		cmocka_unit_test(test_addr4),
		cmocka_unit_test(test_addr_of_a_point_to_point_link),
		cmocka_unit_test(test_addr6),
		cmocka_unit_test(test_broken_addresses),
		cmocka_unit_test(test_route_with_everything),
		cmocka_unit_test(test_default_route6_of_a_router),
		cmocka_unit_test(test_routes_left_out),
		cmocka_unit_test(test_route_types_that_can_not_be_said),
		cmocka_unit_test(test_unsayable_by_attribute),
		cmocka_unit_test(test_route_from_a_source_prefix),
		cmocka_unit_test(test_broken_routes),
		cmocka_unit_test(test_neigh),
		cmocka_unit_test(test_unresolved_neigh),
		cmocka_unit_test(test_neighs_left_out),
		cmocka_unit_test(test_rules_of_the_kernel),
		cmocka_unit_test(test_own_rule),
		cmocka_unit_test(test_routes_of_other_tables),
		cmocka_unit_test(test_link_hints),
		cmocka_unit_test(test_other_hints),
		cmocka_unit_test(test_route_hints),
		cmocka_unit_test(test_hints_of_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
