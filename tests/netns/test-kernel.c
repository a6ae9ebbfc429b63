/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real kernel: what it has is read right, what it tells is heard, what it does not tell is
 * known.
 *
 * How it works: every case has a network namespace of its own (sandbox.h). What can not be had by
 * waiting for luck (a change in the middle of a dump, a kernel without memory) is made by standing
 * between us and the kernel: this program has a recvmsg() and a sendmsg() of its own, which
 * kernel.c and libnl call instead of libc's, and which call the kernel unless a case has put a hook
 * in.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "netmon/kernel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "netmon/kernel-parse.h"
#include "tests/netns/sandbox.h"

#define KERNEL	   CLEANUP(kernel_freep) struct kernel *
#define TABLE	   CLEANUP(table_unrefp) struct table *
#define MASK(kind) (1U << (kind))

#define DUMP_TRIES 100 /* of a dump that DAD interrupts, or that the kernel puts off */

/* ---- between us and the kernel ---- */

struct wire {
	/* @call counts from 1. Return: what recvmsg() returns, with errno. */
	ssize_t (*receive)(struct wire *w, int fd, struct msghdr *m, int flags);
	void (*send)(struct wire *w, const struct msghdr *m);
	unsigned call;	/* of the reads that wait: the parts of a dump */
	unsigned parts; /* reads of any kind that gave something */
	int error;	/* for the hook */
	struct table *table;
};

static struct wire wire;

static int wire_reset(void **state)
{
	wire = (struct wire){ 0 };
	return sandbox_leave(state);
}

static ssize_t receive_really(int fd, struct msghdr *m, int flags)
{
	ssize_t n = syscall(SYS_recvmsg, fd, m, flags);

	if (n > 0)
		wire.parts++;
	return n;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): libc's are reserved names */
ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	if (!(flags & MSG_DONTWAIT))
		wire.call++;
	if (wire.receive)
		return wire.receive(&wire, fd, m, flags);
	return receive_really(fd, m, flags);
}

/* Visible, or libnl would not find it. */
__attribute__((__visibility__("default"))) ssize_t sendmsg(int fd, const struct msghdr *m,
							   int flags)
{
	if (wire.send)
		wire.send(&wire, m);
	return syscall(SYS_sendmsg, fd, m, flags);
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

static struct nlmsghdr *first_message(const struct msghdr *m)
{
	return m->msg_iov[0].iov_base;
}

/* ---- helpers ---- */

struct heard {
	unsigned kinds;
	unsigned hints[_MODEL_KIND_MAX];
	unsigned gone;
	uint32_t gone_ifindex;
	unsigned overruns, truncations;
	unsigned lost_kinds;
};

static void on_hint(void *userdata, const struct source_hint *h)
{
	struct heard *heard = userdata;

	heard->kinds |= MASK(h->kind);
	heard->hints[h->kind]++;
	if (!h->link_gone)
		return;
	heard->gone++;
	heard->gone_ifindex = h->ifindex;
}

static void on_lost(void *userdata, enum source_condition c, unsigned kinds)
{
	struct heard *heard = userdata;

	heard->lost_kinds |= kinds;
	if (c == SOURCE_OVERRUN)
		heard->overruns++;
	else
		heard->truncations++;
}

static int drain(struct kernel *k, struct heard *heard)
{
	return kernel_source_ops.drain(k, on_hint, on_lost, heard);
}

static struct heard hear(struct kernel *k)
{
	struct heard heard = { 0 };

	assert_int_equal(drain(k, &heard), 0);
	return heard;
}

static struct kernel *open_kernel_with(uint32_t event_bytes, uint32_t neigh_bytes)
{
	struct kernel_config config = { .netns_fd = -1,
					.event_buffer_bytes = event_bytes,
					.neigh_buffer_bytes = neigh_bytes };
	struct kernel *k = NULL;

	if (kernel_new(&k, &config) < 0)
		fail_msg("%s", err_text());
	return k;
}

static struct kernel *open_kernel(void)
{
	return open_kernel_with(0, 0);
}

static int dump(struct kernel *k, enum model_kind kind, struct table **ret)
{
	return kernel_source_ops.dump(k, kind, ret);
}

static struct table *must_dump(struct kernel *k, enum model_kind kind)
{
	for (unsigned i = 0; i < DUMP_TRIES; i++) {
		TABLE t = NULL;
		int r = dump(k, kind, &t);

		if (r < 0)
			fail_msg("dump of %s: %s", model_kind_to_string(kind), err_text());
		if (r != 0)
			continue;
		assert_true(t->sealed);
		return TAKE_PTR(t);
	}
	fail_msg("dump of %s: %u tries", model_kind_to_string(kind), DUMP_TRIES);
	return NULL;
}

static const struct link *find_link(const struct table *t, const char *name)
{
	for (size_t i = 0; i < t->n; i++)
		if (strcmp(t->links[i].name, name) == 0)
			return &t->links[i];
	fail_msg("no link %s", name);
	return NULL;
}

static void parse_ip(const char *text, uint8_t ret[16])
{
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;

	memset(ret, 0, 16);
	assert_int_equal(inet_pton(family, text, ret), 1);
}

static bool is_ip(const uint8_t bytes[16], const char *text)
{
	uint8_t expected[16];

	parse_ip(text, expected);
	return memcmp(bytes, expected, 16) == 0;
}

static const struct addr *find_addr(const struct table *t, const char *ip)
{
	for (size_t i = 0; i < t->n; i++)
		if (is_ip(t->addrs[i].bytes, ip))
			return &t->addrs[i];
	fail_msg("no address %s", ip);
	return NULL;
}

static const struct route *find_route(const struct table *t, const char *dst, uint8_t prefixlen)
{
	for (size_t i = 0; i < t->n; i++)
		if (is_ip(t->routes[i].dst, dst) && t->routes[i].prefixlen == prefixlen &&
		    t->routes[i].is_inet6 == (strchr(dst, ':') != NULL))
			return &t->routes[i];
	return NULL;
}

static const struct route *must_find_route(const struct table *t, const char *dst,
					   uint8_t prefixlen)
{
	const struct route *r = find_route(t, dst, prefixlen);

	if (!r)
		fail_msg("no route %s/%u", dst, prefixlen);
	return r;
}

static const struct neigh *find_neigh(const struct table *t, const char *ip)
{
	for (size_t i = 0; i < t->n; i++)
		if (is_ip(t->neighs[i].bytes, ip))
			return &t->neighs[i];
	return NULL;
}

/*
 * A veth with 10.0.0.1/24 whose both ends are here and up; IPv6 only where a case asks for it,
 * since it talks by itself.
 */
static void make_veth4(void)
{
	sandbox_write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
	sandbox_write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	sandbox_ip("link add v0 type veth peer name v1\n"
		   "link set v1 up\n"
		   "link set v0 up\n"
		   "address add 10.0.0.1/24 dev v0");
}

static void make_veth6(void)
{
	sandbox_ip("link add v0 type veth peer name v1\n"
		   "link set v1 up\n"
		   "link set v0 up\n"
		   "address add 10.0.0.1/24 dev v0\n"
		   "address add 2001:db8::1/64 dev v0 nodad");
}

/* ---- what is there ---- */

/*
 * A namespace in which nobody ever added a route has no main table, and a dump of it is answered
 * ENOENT.
 */
static void test_empty_namespace(void **state)
{
	static const size_t expected[] = { [MODEL_LINK] = 1, [_MODEL_KIND_MAX] = 0 };
	KERNEL k = open_kernel();

	(void)state;
	for (enum model_kind kind = 0; kind < _MODEL_KIND_MAX; kind++) {
		TABLE t = must_dump(k, kind);

		assert_int_equal(t->n, expected[kind]);
	}
	assert_int_equal(kernel_stats(k)->dumps, _MODEL_KIND_MAX);
	assert_int_equal(kernel_stats(k)->malformed, 0);
}

static void test_links(void **state)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	KERNEL k = open_kernel();
	TABLE t = NULL;
	const struct link *v0;

	(void)state;
	sandbox_ip("link add v0 address 02:00:00:00:00:01 mtu 1400 type veth peer name v1\n"
		   "tuntap add tap0 mode tap\n"
		   "tuntap add tun0 mode tun\n"
		   "link add m0 link v0 type macvlan\n"
		   "link add b0 type bridge\n"
		   "link set v1 master b0\n"
		   "link set v0 up");
	t = must_dump(k, MODEL_LINK);
	assert_int_equal(t->n, 7);
	v0 = find_link(t, "v0");
	assert_int_equal(v0->ifindex, sandbox_ifindex("v0"));
	assert_string_equal(v0->kind, "veth");
	assert_int_equal(v0->mtu, 1400);
	assert_int_equal(v0->hardware, ARPHRD_ETHER);
	assert_int_equal(v0->mac_bytes, 6);
	assert_memory_equal(v0->mac, mac, 6);
	assert_true(v0->flags & IFF_UP);
	assert_int_equal(v0->peer_ifindex, sandbox_ifindex("v1"));
	assert_false(v0->peer_elsewhere);
	assert_int_equal(find_link(t, "v1")->master, sandbox_ifindex("b0"));
	assert_string_equal(find_link(t, "b0")->kind, "bridge");
	assert_string_equal(find_link(t, "tap0")->kind, "tap");
	assert_string_equal(find_link(t, "tun0")->kind, "tun");
	assert_int_equal(find_link(t, "tun0")->mac_bytes, 0);
	assert_string_equal(find_link(t, "m0")->kind, "macvlan");
	assert_int_equal(find_link(t, "m0")->peer_ifindex, v0->ifindex);
	assert_string_equal(find_link(t, "lo")->kind, "");
	assert_true(find_link(t, "lo")->flags & IFF_LOOPBACK);
}

static void test_peer_in_another_namespace(void **state)
{
	CLEANUP(cleanup_close) int elsewhere_fd = sandbox_new_netns();
	CLEANUP(cleanup_free) char *path = sandbox_fd_path(elsewhere_fd);
	KERNEL k = open_kernel();
	TABLE t = NULL;

	(void)state;
	sandbox_ip("link add v0 type veth peer name v1\n"
		   "link set v1 netns %s",
		   path);
	t = must_dump(k, MODEL_LINK);
	assert_int_equal(t->n, 2);
	assert_true(find_link(t, "v0")->peer_elsewhere);
	assert_int_not_equal(find_link(t, "v0")->peer_ifindex, 0);
}

static void test_addresses(void **state)
{
	KERNEL k = open_kernel();
	TABLE t = NULL;

	(void)state;
	make_veth6();
	sandbox_ip("address add 10.8.0.2 peer 10.8.0.9/24 dev v0\n"
		   "address add 2001:db8:8::2 peer 2001:db8:8::9/64 dev v0 nodad\n"
		   "address add 10.9.0.2/16 dev v0 valid_lft 600 preferred_lft 600\n"
		   "address add 10.10.0.2/20 dev v0 noprefixroute scope link");
	t = must_dump(k, MODEL_ADDR);
	assert_int_equal(find_addr(t, "10.0.0.1")->prefixlen, 24);
	assert_int_equal(find_addr(t, "10.0.0.1")->family, AF_INET);
	assert_int_equal(find_addr(t, "10.0.0.1")->ifindex, sandbox_ifindex("v0"));
	assert_int_equal(find_addr(t, "10.0.0.1")->learnt, 0);
	assert_int_equal(find_addr(t, "2001:db8::1")->prefixlen, 64);
	assert_int_equal(find_addr(t, "2001:db8::1")->family, AF_INET6);
	assert_true(find_addr(t, "2001:db8::1")->flags & IFA_F_NODAD);
	/* point-to-point: ours, without the other end's prefix */
	assert_int_equal(find_addr(t, "10.8.0.2")->prefixlen, 32);
	assert_int_equal(find_addr(t, "2001:db8:8::2")->prefixlen, 128);
	assert_int_equal(find_addr(t, "10.9.0.2")->learnt, 1);
	assert_true(find_addr(t, "10.10.0.2")->flags & IFA_F_NOPREFIXROUTE);
	assert_int_equal(find_addr(t, "10.10.0.2")->scope, RT_SCOPE_LINK);
}

static void test_routes4(void **state)
{
	KERNEL k = open_kernel();
	TABLE t = NULL;
	const struct route *r;

	(void)state;
	make_veth4();
	sandbox_ip("route add default via 10.0.0.254\n"
		   "route add 10.1.0.0/16 via 10.0.0.254 src 10.0.0.1 metric 7 mtu 1300\n"
		   "route add 10.1.0.0/16 via 10.0.0.253 metric 8\n"
		   "route add 10.2.0.0/16 dev v0 scope link\n"
		   "route add 10.3.0.0/16 via 10.77.0.1 dev v0 onlink");
	t = must_dump(k, MODEL_ROUTE);
	assert_int_equal(t->n, 6);
	r = must_find_route(t, "0.0.0.0", 0);
	assert_int_equal(r->flags, MODEL_ROUTE_GATEWAY);
	assert_true(is_ip(r->gateway, "10.0.0.254"));
	assert_int_equal(r->ifindex, sandbox_ifindex("v0"));
	r = must_find_route(t, "10.1.0.0", 16);
	assert_int_equal(r->metric, 7);
	assert_int_equal(r->mtu, 1300);
	assert_int_equal(r->flags, MODEL_ROUTE_GATEWAY | MODEL_ROUTE_SOURCE);
	assert_true(is_ip(r->source, "10.0.0.1"));
	assert_int_equal(r[1].metric, 8);
	r = must_find_route(t, "10.2.0.0", 16);
	assert_int_equal(r->scope, RT_SCOPE_LINK);
	assert_int_equal(r->flags, 0);
	r = must_find_route(t, "10.3.0.0", 16);
	assert_int_equal(r->flags, MODEL_ROUTE_GATEWAY | MODEL_ROUTE_ONLINK);
	r = must_find_route(t, "10.0.0.0", 24);
	assert_int_equal(r->flags, MODEL_ROUTE_KERNEL | MODEL_ROUTE_SOURCE);
}

static void test_routes6(void **state)
{
	KERNEL k = open_kernel();
	TABLE t = NULL;
	const struct route *r;

	(void)state;
	make_veth6();
	sandbox_ip6("route add default via 2001:db8::fe metric 5\n"
		    "route add 2001:db8:1::/48 via 2001:db8::fe mtu 1280\n"
		    "route add 2001:db8:2::/48 via 2001:db8::fe protocol ra\n"
		    "route add 2001:db8:3::/48 via 2001:db8:77::1 dev v0 onlink");
	t = must_dump(k, MODEL_ROUTE);
	r = must_find_route(t, "::", 0);
	assert_int_equal(r->is_inet6, 1);
	assert_int_equal(r->metric, 5);
	assert_true(is_ip(r->gateway, "2001:db8::fe"));
	assert_int_equal(must_find_route(t, "2001:db8:1::", 48)->mtu, 1280);
	assert_int_equal(must_find_route(t, "2001:db8:2::", 48)->flags,
			 MODEL_ROUTE_GATEWAY | MODEL_ROUTE_LEARNT);
	assert_int_equal(must_find_route(t, "2001:db8:3::", 48)->flags,
			 MODEL_ROUTE_GATEWAY | MODEL_ROUTE_ONLINK);
	assert_true(must_find_route(t, "2001:db8::", 64)->flags & MODEL_ROUTE_KERNEL);
	/* ff00::/8 and the own addresses are in the local table */
	assert_null(find_route(t, "ff00::", 8));
	assert_null(find_route(t, "2001:db8::1", 128));
}

static void test_unsayable_routes(void **state)
{
	static const struct {
		const char *dst;
		uint8_t prefixlen;
		enum model_unsayable unsayable;
	} rows[] = {
		{ "10.1.0.0", 16, MODEL_UNSAYABLE_MULTIPATH },
		{ "10.2.0.0", 16, MODEL_UNSAYABLE_TYPE },
		{ "10.3.0.0", 16, MODEL_UNSAYABLE_TYPE },
		{ "10.4.0.0", 16, MODEL_UNSAYABLE_VIA },
		{ "10.5.0.0", 16, MODEL_UNSAYABLE_NEXTHOP },
		{ "10.6.0.0", 16, MODEL_UNSAYABLE_NEXTHOP },
		{ "10.7.0.0", 16, MODEL_UNSAYABLE_ENCAP },
		{ "10.8.0.0", 16, MODEL_UNSAYABLE_TOS },
		{ "2001:db8:1::", 48, MODEL_UNSAYABLE_MULTIPATH },
		{ "2001:db8:2::", 48, MODEL_UNSAYABLE_TYPE },
		{ "2001:db8:3::", 48, MODEL_UNSAYABLE_NEXTHOP },
		{ "2001:db8:4::", 48, MODEL_UNSAYABLE_TOS },
		{ "10.0.0.0", 24, MODEL_SAYABLE },
	};
	KERNEL k = open_kernel();
	TABLE t = NULL;

	(void)state;
	make_veth6();
	sandbox_ip("nexthop add id 5 via 10.0.0.2 dev v0\n"
		   "nexthop add id 6 via 10.0.0.3 dev v0\n"
		   "nexthop add id 7 group 5/6\n"
		   "nexthop add id 8 via 2001:db8::2 dev v0\n"
		   "route add 10.1.0.0/16 nexthop via 10.0.0.2 nexthop via 10.0.0.3\n"
		   "route add blackhole 10.2.0.0/16\n"
		   "route add unreachable 10.3.0.0/16\n"
		   "route add 10.4.0.0/16 via inet6 fe80::1 dev v0\n"
		   "route add 10.5.0.0/16 nhid 5\n"
		   "route add 10.6.0.0/16 nhid 7\n"
		   "route add 10.7.0.0/16 encap ip id 5 dst 10.0.0.7 dev v0\n"
		   "route add 10.8.0.0/16 tos 0x10 via 10.0.0.2");
	sandbox_ip6("route add 2001:db8:1::/48 nexthop via 2001:db8::2 nexthop via 2001:db8::3\n"
		    "route add prohibit 2001:db8:2::/48\n"
		    "route add 2001:db8:3::/48 nhid 8\n"
		    "route add 2001:db8:4::/48 from 2001:db8:5::/48 dev v0");
	t = must_dump(k, MODEL_ROUTE);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct route *r = must_find_route(t, rows[i].dst, rows[i].prefixlen);

		if (r->unsayable != rows[i].unsayable)
			fail_msg("%s: %s", rows[i].dst, model_unsayable_to_string(r->unsayable));
	}
	assert_int_equal(kernel_stats(k)->malformed, 0);
}

static void test_policy(void **state)
{
	/* as sealed, in any order of fields: looked for one by one */
	static const struct policy rows[] = {
		{ .family = AF_INET, .is_rule = 1, .table = 100, .priority = 50 },
		{ .family = AF_INET6, .is_rule = 1, .table = 1000, .priority = 60 },
		{ .family = AF_INET, .table = 100 },
		{ .family = AF_INET, .table = 1000 },
		{ .family = AF_INET6, .table = 100 },
	};
	KERNEL k = open_kernel();
	TABLE t = NULL;

	(void)state;
	make_veth6();
	sandbox_ip("rule add pref 50 from 10.0.0.1 table 100\n"
		   "route add 10.1.0.0/16 via 10.0.0.2\n" /* main: none of this */
		   "route add 10.1.0.0/16 via 10.0.0.2 table 100\n"
		   "route add 10.2.0.0/16 via 10.0.0.2 table 100\n"
		   "route add 10.1.0.0/16 via 10.0.0.2 table 1000\n"
		   "route add 2001:db8:1::/48 via 2001:db8::2 table 100");
	sandbox_ip6("rule add pref 60 fwmark 1 table 1000");
	t = must_dump(k, MODEL_POLICY);
	assert_int_equal(t->n, sizeof(rows) / sizeof(rows[0]));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_non_null(table_find(t, &rows[i]));
}

static void say_something_to(const char *ip)
{
	CLEANUP(cleanup_close) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };

	assert_true(fd >= 0);
	assert_int_equal(inet_pton(AF_INET, ip, &to.sin_addr), 1);
	assert_int_equal(sendto(fd, "", 1, 0, (const struct sockaddr *)&to, sizeof(to)), 1);
}

static bool is_gateway_known(void *arg)
{
	struct kernel *k = arg;
	TABLE t = must_dump(k, MODEL_NEIGH);
	const struct neigh *n = find_neigh(t, "10.0.0.254");

	(void)hear(k);
	return n && n->mac_bytes == 6;
}

static void test_neighbours(void **state)
{
	CLEANUP(cleanup_close) int gateway_fd = sandbox_new_netns();
	CLEANUP(cleanup_free) char *path = sandbox_fd_path(gateway_fd);
	KERNEL k = open_kernel();
	int neigh_fd = kernel_neigh_fd(k);
	TABLE t = NULL;

	(void)state;
	sandbox_ip("link add v0 type veth peer name v1 address 02:00:00:00:00:fe netns %s\n"
		   "link set v0 up\n"
		   "address add 10.0.0.1/24 dev v0\n"
		   "address add 2001:db8::1/64 dev v0 nodad",
		   path);
	sandbox_ip_in(gateway_fd, "link set v1 up\naddress add 10.0.0.254/24 dev v1");
	sandbox_ip(
		"neighbour add 10.0.0.9 lladdr 02:00:00:00:00:09 dev v0 nud permanent\n"
		"neighbour add 2001:db8::9 lladdr 02:00:00:00:00:09 dev v0 nud permanent router\n"
		"neighbour add proxy 10.0.0.8 dev v0");
	say_something_to("10.0.0.254");
	assert_true(sandbox_wait(&neigh_fd, 1, is_gateway_known, k, SANDBOX_DEADLINE_MSEC));
	t = must_dump(k, MODEL_NEIGH);
	assert_int_equal(find_neigh(t, "10.0.0.9")->learnt, 0);
	assert_int_equal(find_neigh(t, "10.0.0.9")->state, NUD_PERMANENT);
	assert_int_equal(find_neigh(t, "10.0.0.9")->mac[5], 9);
	assert_int_equal(find_neigh(t, "10.0.0.9")->ifindex, sandbox_ifindex("v0"));
	assert_int_equal(find_neigh(t, "2001:db8::9")->family, AF_INET6);
	assert_int_equal(find_neigh(t, "2001:db8::9")->router, 1);
	assert_int_equal(find_neigh(t, "10.0.0.254")->learnt, 1);
	assert_int_equal(find_neigh(t, "10.0.0.254")->mac[5], 0xfe);
	assert_null(find_neigh(t, "10.0.0.8"));
	/* multicast, NUD_NOARP: the kernel's own */
	assert_null(find_neigh(t, "ff02::16"));
}

/* ---- what is told ---- */

static void test_hints(void **state)
{
	static const struct {
		const char *commands;
		unsigned kinds;
		bool and_more; /* what else comes with it is the kernel's affair */
	} rows[] = {
		{ "link set v0 mtu 1400", MASK(MODEL_LINK), false },
		{ "link set v0 address 02:00:00:00:00:02", MASK(MODEL_LINK), true },
		{ "address add 10.7.0.1/24 dev v0", MASK(MODEL_ADDR) | MASK(MODEL_ROUTE), false },
		{ "route add 10.1.0.0/16 via 10.0.0.9", MASK(MODEL_ROUTE), false },
		{ "route replace 10.1.0.0/16 via 10.0.0.8", MASK(MODEL_ROUTE), false },
		{ "route del 10.1.0.0/16", MASK(MODEL_ROUTE), false },
		{ "route add blackhole 10.1.0.0/16", MASK(MODEL_ROUTE), false },
		{ "route add 10.1.0.0/16 via 10.0.0.9 table 100", MASK(MODEL_POLICY), false },
		{ "route add 10.1.0.0/16 via 10.0.0.9 table 1000", MASK(MODEL_POLICY), false },
		{ "rule add pref 50 table 100", MASK(MODEL_POLICY), false },
		{ "rule del pref 50 table 100", MASK(MODEL_POLICY), false },
		{ "route add local 10.5.0.1 dev v0 table local", 0, false },
		{ "neighbour add 10.0.0.9 lladdr 02:00:00:00:00:09 dev v0 nud permanent",
		  MASK(MODEL_NEIGH), false },
		{ "neighbour del 10.0.0.9 dev v0", MASK(MODEL_NEIGH), false },
		{ "address del 10.7.0.1/24 dev v0", MASK(MODEL_ADDR) | MASK(MODEL_ROUTE), false },
		{ "link set v0 down\nlink set v0 name v9\nlink set v9 up", MASK(MODEL_LINK), true },
		{ "link add m0 link v9 type macvlan", MASK(MODEL_LINK), true },
	};
	KERNEL k = NULL;

	(void)state;
	make_veth4();
	k = open_kernel();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct heard heard;
		unsigned strange;

		sandbox_ip("%s", rows[i].commands);
		heard = hear(k);
		/* a link speaks up late by itself, when its carrier has settled */
		strange = heard.kinds & ~rows[i].kinds & ~MASK(MODEL_LINK);
		if ((rows[i].kinds & ~heard.kinds) || (strange && !rows[i].and_more))
			fail_msg("'%s' was heard as %#x", rows[i].commands, heard.kinds);
		assert_int_equal(heard.gone, 0);
	}
}

static void test_hints6(void **state)
{
	KERNEL k = open_kernel();
	struct heard heard;

	(void)state;
	make_veth6();
	heard = hear(k);
	assert_true(heard.hints[MODEL_ADDR] >= 2);
	sandbox_ip6("route add 2001:db8:1::/48 via 2001:db8::9\n"
		    "rule add pref 50 table 100\n"
		    "neighbour add 2001:db8::9 lladdr 02:00:00:00:00:09 dev v0 nud permanent");
	heard = hear(k);
	assert_true(heard.kinds & MASK(MODEL_ROUTE));
	assert_true(heard.kinds & MASK(MODEL_POLICY));
	assert_true(heard.kinds & MASK(MODEL_NEIGH));
}

/* Leaving a bridge is an RTM_DELLINK too, of family AF_BRIDGE: the link is there as before. */
static void test_leaving_a_bridge_is_no_unplug(void **state)
{
	KERNEL k = open_kernel();
	struct heard heard;

	(void)state;
	make_veth4();
	sandbox_ip("link add b0 type bridge\nlink set v0 master b0");
	(void)hear(k);
	sandbox_ip("link set v0 nomaster");
	heard = hear(k);
	assert_true(heard.kinds & MASK(MODEL_LINK));
	assert_int_equal(heard.gone, 0);
}

static void test_unplugs(void **state)
{
	CLEANUP(cleanup_close) int elsewhere_fd = sandbox_new_netns();
	CLEANUP(cleanup_free) char *path = sandbox_fd_path(elsewhere_fd);
	KERNEL k = open_kernel();
	struct heard heard;
	uint32_t ifindex;

	(void)state;
	sandbox_ip("link add v0 type veth peer name v1\ntuntap add tap0 mode tap");
	ifindex = sandbox_ifindex("v0");
	(void)hear(k);
	sandbox_ip("link set v0 netns %s", path);
	heard = hear(k);
	assert_int_equal(heard.gone, 1);
	assert_int_equal(heard.gone_ifindex, ifindex);
	ifindex = sandbox_ifindex("tap0");
	sandbox_ip("link del tap0");
	heard = hear(k);
	assert_int_equal(heard.gone, 1);
	assert_int_equal(heard.gone_ifindex, ifindex);
}

/* ---- what is not told ---- */

static bool has_no_static_route(void *arg)
{
	TABLE t = must_dump(arg, MODEL_ROUTE);

	for (size_t i = 0; i < t->n; i++)
		if (!(t->routes[i].flags & MODEL_ROUTE_KERNEL))
			return false;
	return true;
}

#define SILENT_ROUTES 40

static struct kernel *with_silent_routes(void)
{
	KERNEL k = open_kernel();
	TABLE t = NULL;

	make_veth4();
	sandbox_routes(RTM_NEWROUTE, SILENT_ROUTES, sandbox_ifindex("v0"), NULL);
	assert_true(hear(k).hints[MODEL_ROUTE] >= SILENT_ROUTES);
	t = must_dump(k, MODEL_ROUTE);
	assert_int_equal(t->n, SILENT_ROUTES + 1);
	return TAKE_PTR(k);
}

/*
 * The flush may be later than the notification: the dump is asked until it is true, at the pace of
 * nobody's hint.
 */
static void test_link_down_takes_routes_silently(void **state)
{
	KERNEL k = with_silent_routes();
	struct heard heard;

	(void)state;
	sandbox_ip("link set v0 down");
	assert_true(sandbox_wait(NULL, 0, has_no_static_route, k, SANDBOX_DEADLINE_MSEC));
	heard = hear(k);
	assert_true(heard.kinds & MASK(MODEL_LINK));
	assert_int_equal(heard.hints[MODEL_ROUTE], 0);
}

static void test_last_address_takes_routes_silently(void **state)
{
	KERNEL k = with_silent_routes();
	struct heard heard;

	(void)state;
	sandbox_ip("address del 10.0.0.1/24 dev v0");
	assert_true(sandbox_wait(NULL, 0, has_no_static_route, k, SANDBOX_DEADLINE_MSEC));
	heard = hear(k);
	assert_true(heard.kinds & MASK(MODEL_ADDR));
	/* the kernel's own: the subnet's */
	assert_true(heard.hints[MODEL_ROUTE] <= 2);
}

/* ---- losses ---- */

#define EVENT_KINDS (MASK(MODEL_LINK) | MASK(MODEL_ADDR) | MASK(MODEL_ROUTE) | MASK(MODEL_POLICY))

static void test_overrun(void **state)
{
	KERNEL k = open_kernel_with(1, 0); /* the kernel makes its least of it */
	struct heard heard;

	(void)state;
	make_veth4();
	(void)hear(k);
	sandbox_routes(RTM_NEWROUTE, 500, sandbox_ifindex("v0"), NULL);
	heard = hear(k);
	assert_int_equal(heard.overruns, 1);
	assert_int_equal(heard.truncations, 0);
	assert_int_equal(heard.lost_kinds, EVENT_KINDS);
	/* what was queued before is still read, */
	assert_true(heard.hints[MODEL_ROUTE] > 0);
	assert_true(heard.hints[MODEL_ROUTE] < 500);
	/* and what comes after */
	sandbox_ip("route add 10.1.0.0/16 dev v0");
	heard = hear(k);
	assert_int_equal(heard.overruns, 0);
	assert_int_equal(heard.hints[MODEL_ROUTE], 1);
}

static void test_buffer_sizes(void **state)
{
	KERNEL k = open_kernel();

	(void)state;
	/* the kernel reports twice what was asked for (socket(7)) */
	assert_int_equal(kernel_stats(k)->event_buffer_bytes, 2 * KERNEL_EVENT_BUFFER_BYTES);
	assert_int_equal(kernel_stats(k)->neigh_buffer_bytes, 2 * KERNEL_NEIGH_BUFFER_BYTES);
}

static void test_neighbour_flood_drowns_nothing_else(void **state)
{
	KERNEL k = open_kernel();
	struct heard heard;

	(void)state;
	make_veth4();
	(void)hear(k);
	sandbox_neigh_flood(5000, sandbox_ifindex("v0"));
	sandbox_ip("link set v0 mtu 1400");
	heard = hear(k);
	assert_int_equal(heard.overruns, 1);
	assert_int_equal(heard.lost_kinds, MASK(MODEL_NEIGH));
	assert_true(heard.hints[MODEL_NEIGH] > 0);
	assert_true(heard.hints[MODEL_LINK] > 0);
}

/* A storm is read in bites, so that there is time to act. */
static void test_drain_is_bounded(void **state)
{
	enum { ROUTES = SOURCE_DRAIN_MAX + 2000 };
	KERNEL k = open_kernel_with(64U * 1024 * 1024, 0);
	struct heard heard = { 0 };

	(void)state;
	make_veth4();
	sandbox_routes(RTM_NEWROUTE, ROUTES, sandbox_ifindex("v0"), NULL);
	assert_int_equal(drain(k, &heard), SOURCE_AGAIN);
	assert_true(heard.hints[MODEL_ROUTE] < SOURCE_DRAIN_MAX);
	assert_int_equal(drain(k, &heard), 0);
	assert_int_equal(heard.hints[MODEL_ROUTE], ROUTES + 1);
	assert_int_equal(heard.overruns, 0);
	assert_true(kernel_stats(k)->events >= ROUTES);
}

#define MANY_NAMES 300

/*
 * A link with so many names that its message is longer than the buffer, which a pod can make of its
 * own links.
 */
static void test_message_longer_than_the_buffer(void **state)
{
	CLEANUP(cleanup_free) char *commands = malloc(MANY_NAMES * 160);
	KERNEL dumper = open_kernel();
	KERNEL k = NULL;
	struct heard heard;
	TABLE t = NULL;
	size_t used = 0;

	(void)state;
	assert_non_null(commands);
	sandbox_ip("tuntap add tap0 mode tap");
	for (unsigned i = 0; i < MANY_NAMES; i++)
		used += (size_t)sprintf(commands + used,
					"link property add dev tap0 altname %0100u\n", i);
	sandbox_ip("%s", commands);
	assert_int_equal(dump(dumper, MODEL_LINK, &t), SOURCE_TRUNCATED);
	assert_null(t);
	t = must_dump(dumper, MODEL_LINK);
	assert_string_equal(find_link(t, "tap0")->kind, "tap");
	k = open_kernel();
	sandbox_ip("link set tap0 mtu 1400");
	heard = hear(k);
	assert_true(heard.truncations > 0);
	assert_int_equal(heard.overruns, 0);
	assert_int_equal(heard.lost_kinds, EVENT_KINDS);
	/* once the buffer is long enough it stays so */
	sandbox_ip("link set tap0 mtu 1300");
	heard = hear(k);
	assert_int_equal(heard.truncations, 0);
	assert_true(heard.hints[MODEL_LINK] > 0);
}

/* ---- dumps that go wrong ---- */

#define MANY_ADDRESSES 2000 /* five parts or so */

static void make_many_addresses(void)
{
	CLEANUP(cleanup_free) char *commands = malloc(MANY_ADDRESSES * 64);
	size_t used = 0;

	assert_non_null(commands);
	for (unsigned i = 0; i < MANY_ADDRESSES; i++)
		used += (size_t)sprintf(commands + used, "address add 10.1.%u.%u/32 dev v0\n",
					i / 250, i % 250 + 1);
	sandbox_ip("%s", commands);
}

static ssize_t change_between_parts(struct wire *w, int fd, struct msghdr *m, int flags)
{
	/*
	 * The kernel makes a part ahead: a change before the second read is between the second part
	 * and the third.
	 */
	if (w->call == 2 && !(flags & MSG_DONTWAIT)) {
		w->receive = NULL;
		sandbox_ip("address add 10.2.0.1/32 dev v0");
	}
	return receive_really(fd, m, flags);
}

static void test_interrupted_dump(void **state)
{
	KERNEL k = open_kernel();
	TABLE torn = NULL;
	TABLE whole = NULL;

	(void)state;
	make_veth4();
	make_many_addresses();
	wire.call = 0;
	wire.receive = change_between_parts;
	assert_int_equal(dump(k, MODEL_ADDR, &torn), SOURCE_INTERRUPTED);
	assert_true(wire.call > 3);
	assert_true(torn->sealed);
	assert_true(torn->n >= MANY_ADDRESSES);
	assert_int_equal(dump(k, MODEL_ADDR, &whole), 0);
	assert_int_equal(whole->n, MANY_ADDRESSES + 2);
}

static void add_a_route(void)
{
	sandbox_ip("route add 17.255.255.0/24 dev v0");
}

static ssize_t route_between_parts(struct wire *w, int fd, struct msghdr *m, int flags)
{
	if (w->call == 2 && !(flags & MSG_DONTWAIT)) {
		w->receive = NULL;
		add_a_route();
	}
	return receive_really(fd, m, flags);
}

/*
 * A dump of routes says nothing when it was torn: NLM_F_DUMP_INTR is never set. So a clean dump is
 * one during which no hint came; the hint is there.
 */
static void test_torn_route_dump_is_told_by_a_hint_only(void **state)
{
	KERNEL k = open_kernel();
	TABLE torn = NULL;

	(void)state;
	make_veth4();
	sandbox_routes(RTM_NEWROUTE, 5000, sandbox_ifindex("v0"), NULL);
	(void)hear(k);
	wire.call = 0;
	wire.receive = route_between_parts;
	assert_int_equal(dump(k, MODEL_ROUTE, &torn), 0);
	assert_true(wire.call > 3);
	assert_int_equal(hear(k).hints[MODEL_ROUTE], 1);
}

/* The last message of the last part alone has the flag. */
static ssize_t flag_on_done(struct wire *w, int fd, struct msghdr *m, int flags)
{
	ssize_t n = receive_really(fd, m, flags);
	size_t left = n > 0 ? (size_t)n : 0;

	(void)w;
	for (struct nlmsghdr *h = first_message(m); NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
		if (h->nlmsg_type == NLMSG_DONE)
			h->nlmsg_flags |= NLM_F_DUMP_INTR;
	return n;
}

static void test_interrupted_at_the_very_end(void **state)
{
	KERNEL k = open_kernel();
	TABLE t = NULL;

	(void)state;
	wire.receive = flag_on_done;
	assert_int_equal(dump(k, MODEL_LINK, &t), SOURCE_INTERRUPTED);
	assert_int_equal(t->n, 1);
}

/* The second part does not come. */
static ssize_t fail_second(struct wire *w, int fd, struct msghdr *m, int flags)
{
	if (w->call != 2 || (flags & MSG_DONTWAIT))
		return receive_really(fd, m, flags);
	w->receive = NULL;
	errno = w->error;
	return -1;
}

/* Given up half-way; the next one has to be whole, in spite of what is left of the first. */
static void test_dump_given_up_half_way(void **state)
{
	static const struct {
		int error;
		int r;
	} rows[] = { { EAGAIN, SOURCE_AGAIN }, { ENOBUFS, SOURCE_AGAIN }, { EBADF, -EBADF } };
	KERNEL k = open_kernel();

	(void)state;
	make_veth4();
	sandbox_routes(RTM_NEWROUTE, 5000, sandbox_ifindex("v0"), NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		TABLE t = NULL;
		TABLE links = NULL;

		wire = (struct wire){ .receive = fail_second, .error = rows[i].error };
		assert_int_equal(dump(k, MODEL_ROUTE, &t), rows[i].r);
		assert_null(t);
		assert_int_equal(dump(k, MODEL_LINK, &links), 0);
		assert_int_equal(links->n, 3);
		assert_int_equal(dump(k, MODEL_ROUTE, &t), 0);
		assert_int_equal(t->n, 5001);
	}
}

/*
 * The rest of the first is not read away in time: the kernel says EBUSY, and its parts are not
 * taken for ours.
 */
static ssize_t hide_the_rest(struct wire *w, int fd, struct msghdr *m, int flags)
{
	(void)w;
	if (!(flags & MSG_DONTWAIT))
		return receive_really(fd, m, flags);
	errno = EAGAIN;
	return -1;
}

static void test_answers_of_an_older_request(void **state)
{
	KERNEL k = open_kernel();
	TABLE t = NULL;

	(void)state;
	make_veth4();
	sandbox_routes(RTM_NEWROUTE, 5000, sandbox_ifindex("v0"), NULL);
	wire = (struct wire){ .receive = fail_second, .error = EAGAIN };
	assert_int_equal(dump(k, MODEL_ROUTE, &t), SOURCE_AGAIN);
	wire = (struct wire){ .receive = hide_the_rest };
	assert_int_equal(dump(k, MODEL_ROUTE, &t), SOURCE_AGAIN);
	assert_true(wire.parts > 1);
	wire = (struct wire){ 0 };
	assert_int_equal(dump(k, MODEL_ROUTE, &t), 0);
	assert_int_equal(t->n, 5001);
}

/* Whatever the kernel answers becomes a refusal. */
static ssize_t refuse(struct wire *w, int fd, struct msghdr *m, int flags)
{
	ssize_t n = receive_really(fd, m, flags);
	struct nlmsghdr *h = first_message(m);
	struct nlmsgerr *e = NLMSG_DATA(h);

	if (n <= 0)
		return n;
	h->nlmsg_len = NLMSG_LENGTH(sizeof(*e));
	h->nlmsg_type = NLMSG_ERROR;
	h->nlmsg_flags = 0;
	memset(e, 0, sizeof(*e));
	e->error = w->error;
	return (ssize_t)h->nlmsg_len;
}

static void test_refused_dumps(void **state)
{
	static const struct {
		int error;
		enum model_kind kind;
		int r;
	} rows[] = {
		{ 0, MODEL_LINK, SOURCE_AGAIN }, /* an acknowledgement, and then nothing */
		{ -EBUSY, MODEL_LINK, SOURCE_AGAIN },	{ -ENOMEM, MODEL_ROUTE, SOURCE_AGAIN },
		{ -ENOBUFS, MODEL_ADDR, SOURCE_AGAIN }, { -EAFNOSUPPORT, MODEL_POLICY, 0 },
		{ -EOPNOTSUPP, MODEL_POLICY, 0 },	{ -ENOENT, MODEL_ROUTE, 0 },
		{ -ENOENT, MODEL_LINK, -ENOENT },	{ -EPERM, MODEL_NEIGH, -EPERM },
	};
	KERNEL k = open_kernel();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		TABLE t = NULL;

		wire = (struct wire){ .receive = refuse, .error = rows[i].error };
		assert_int_equal(dump(k, rows[i].kind, &t), rows[i].r);
		if (rows[i].r == 0)
			assert_int_equal(t->n, 0);
		else
			assert_null(t);
	}
}

/*
 * Strict checking is on: the kernel refuses what makes no sense, and its own words get into the
 * error.
 */
static void spoil_request(struct wire *w, const struct msghdr *m)
{
	struct ifinfomsg *ifi = NLMSG_DATA(first_message(m));

	(void)w;
	ifi->ifi_change = 1;
}

static void test_refusal_has_the_kernels_words(void **state)
{
	KERNEL k = open_kernel();
	TABLE t = NULL;

	(void)state;
	wire.send = spoil_request;
	assert_int_equal(dump(k, MODEL_LINK, &t), -EINVAL);
	assert_non_null(strstr(err_text(), "Invalid values in header"));
	err_clear();
	wire.send = NULL;
	assert_int_equal(dump(k, MODEL_LINK, &t), 0);
}

/* ---- forgery ---- */

static void send_forged(int to_fd, uint16_t type)
{
	CLEANUP(cleanup_close) int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct sockaddr_nl to = { 0 };
	socklen_t size = sizeof(to);
	struct {
		struct nlmsghdr h;
		struct ifinfomsg ifi;
	} m = {
		.h = { .nlmsg_len = sizeof(m), .nlmsg_type = type },
		.ifi = { .ifi_index = 1 },
	};

	assert_true(fd >= 0);
	assert_int_equal(getsockname(to_fd, (struct sockaddr *)&to, &size), 0);
	to.nl_groups = 0;
	assert_int_equal(sendto(fd, &m, sizeof(m), 0, (const struct sockaddr *)&to, sizeof(to)),
			 sizeof(m));
}

static void test_messages_of_other_processes(void **state)
{
	KERNEL k = open_kernel();
	struct heard heard;

	(void)state;
	wire.parts = 0;
	send_forged(kernel_event_fd(k), RTM_DELLINK);
	send_forged(kernel_neigh_fd(k), RTM_DELLINK);
	heard = hear(k);
	assert_int_equal(wire.parts, 2); /* they did arrive */
	assert_int_equal(heard.kinds, 0);
	assert_int_equal(heard.gone, 0);
	assert_int_equal(kernel_stats(k)->events, 0);
}

static ssize_t forge_before(struct wire *w, int fd, struct msghdr *m, int flags)
{
	if (!(flags & MSG_DONTWAIT)) {
		w->receive = NULL;
		send_forged(fd, NLMSG_DONE);
	}
	return receive_really(fd, m, flags);
}

static void test_forged_answer(void **state)
{
	KERNEL k = open_kernel();
	TABLE t = NULL;

	(void)state;
	make_veth4();
	sandbox_routes(RTM_NEWROUTE, 5000, sandbox_ifindex("v0"), NULL);
	wire.receive = forge_before;
	assert_int_equal(dump(k, MODEL_ROUTE, &t), 0);
	assert_int_equal(t->n, 5001);
}

/* ---- many ---- */

/*
 * Every route of every part goes into a table of our own, which knows whether it had to be sorted.
 */
static ssize_t collect(struct wire *w, int fd, struct msghdr *m, int flags)
{
	ssize_t n = receive_really(fd, m, flags);
	size_t left = n > 0 ? (size_t)n : 0;

	for (struct nlmsghdr *h = first_message(m); NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
		struct route r;

		if (kernel_parse_object(MODEL_ROUTE, h, &r) == 0)
			assert_int_equal(table_add(w->table, &r), 0);
	}
	return n;
}

static void test_hundred_thousand_routes(void **state)
{
	static const uint8_t gateway[4] = { 10, 0, 0, 254 };
	KERNEL k = open_kernel();
	TABLE raw = NULL;
	TABLE t = NULL;

	(void)state;
	make_veth4();
	sandbox_ip("route add default via 10.0.0.254\n"
		   "route add 16.0.0.0/8 via 10.0.0.254\n"
		   "route add 16.0.0.0/24 via 10.0.0.254 metric 9");
	sandbox_routes(RTM_NEWROUTE, 100000, sandbox_ifindex("v0"), gateway);
	assert_int_equal(table_new(&raw, MODEL_ROUTE), 0);
	wire = (struct wire){ .receive = collect, .table = raw };
	t = must_dump(k, MODEL_ROUTE);
	assert_int_equal(t->n, 100004);
	assert_int_equal(raw->n, 100004);
	assert_true(raw->sorted);
	sandbox_routes(RTM_DELROUTE, 100000, sandbox_ifindex("v0"), gateway);
	wire = (struct wire){ 0 };
	(void)table_unref(t);
	t = must_dump(k, MODEL_ROUTE);
	assert_int_equal(t->n, 4);
}

/* ---- namespaces ---- */

static void test_kernel_of_another_namespace(void **state)
{
	CLEANUP(cleanup_close) int elsewhere_fd = sandbox_new_netns();
	KERNEL k = NULL;
	TABLE t = NULL;

	(void)state;
	sandbox_ip("tuntap add here mode tap");
	assert_int_equal(kernel_new(&k, &(struct kernel_config){ .netns_fd = elsewhere_fd }), 0);
	/* we did not move */
	assert_int_not_equal(sandbox_ifindex("here"), 0);
	sandbox_ip_in(elsewhere_fd, "tuntap add there mode tap");
	assert_true(hear(k).kinds & MASK(MODEL_LINK));
	t = must_dump(k, MODEL_LINK);
	assert_int_equal(t->n, 2);
	assert_non_null(find_link(t, "there"));
	assert_true(fcntl(kernel_event_fd(k), F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(kernel_neigh_fd(k), F_GETFD) & FD_CLOEXEC);
}

static void test_no_namespace(void **state)
{
	CLEANUP(cleanup_close) int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct kernel *k = NULL;

	(void)state;
	assert_int_equal(kernel_new(&k, &(struct kernel_config){ .netns_fd = fd }), -EINVAL);
	assert_null(k);
	assert_null(kernel_free(NULL));
	err_clear();
}

static uint64_t cookie_of(const struct kernel *k)
{
	uint64_t cookie = 0;

	assert_int_equal(kernel_netns_cookie(k, &cookie), 0);
	assert_int_not_equal(cookie, 0);
	return cookie;
}

/* An inode number of a namespace is used again at once, the cookie never. */
static void test_cookie_of_a_remade_namespace(void **state)
{
	uint64_t last = 0;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		CLEANUP(cleanup_close) int fd = sandbox_new_netns();
		KERNEL one = NULL;
		KERNEL two = NULL;

		assert_int_equal(kernel_new(&one, &(struct kernel_config){ .netns_fd = fd }), 0);
		assert_int_equal(kernel_new(&two, &(struct kernel_config){ .netns_fd = fd }), 0);
		assert_int_equal(cookie_of(one), cookie_of(two));
		assert_int_not_equal(cookie_of(one), last);
		last = cookie_of(one);
	}
}

static bool is_peer_gone(void *arg)
{
	struct heard *heard = arg;

	(void)heard;
	return access("/proc/sys/net/ipv4/conf/v0", F_OK) < 0;
}

/*
 * A netlink socket pins its namespace: it goes, and the other end of its veth with it, when the
 * last socket is closed.
 */
static void test_namespace_is_pinned_until_the_end(void **state)
{
	CLEANUP(cleanup_close) int pod_fd = sandbox_new_netns();
	CLEANUP(cleanup_free) char *path = sandbox_fd_path(pod_fd);
	struct kernel *k = NULL;

	(void)state;
	sandbox_ip("link add v0 type veth peer name v1 netns %s", path);
	assert_int_equal(kernel_new(&k, &(struct kernel_config){ .netns_fd = pod_fd }), 0);
	cleanup_close(&pod_fd);
	assert_false(sandbox_wait(NULL, 0, is_peer_gone, NULL, 200));
	assert_null(kernel_free(k));
	assert_true(sandbox_wait(NULL, 0, is_peer_gone, NULL, SANDBOX_DEADLINE_MSEC));
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, sandbox_enter, wire_reset)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_empty_namespace),
		CASE(test_links),
		CASE(test_peer_in_another_namespace),
		CASE(test_addresses),
		CASE(test_routes4),
		CASE(test_routes6),
		CASE(test_unsayable_routes),
		CASE(test_policy),
		CASE(test_neighbours),
		CASE(test_hints),
		CASE(test_hints6),
		CASE(test_leaving_a_bridge_is_no_unplug),
		CASE(test_unplugs),
		CASE(test_link_down_takes_routes_silently),
		CASE(test_last_address_takes_routes_silently),
		CASE(test_overrun),
		CASE(test_buffer_sizes),
		CASE(test_neighbour_flood_drowns_nothing_else),
		CASE(test_drain_is_bounded),
		CASE(test_message_longer_than_the_buffer),
		CASE(test_interrupted_dump),
		CASE(test_torn_route_dump_is_told_by_a_hint_only),
		CASE(test_interrupted_at_the_very_end),
		CASE(test_dump_given_up_half_way),
		CASE(test_answers_of_an_older_request),
		CASE(test_refused_dumps),
		CASE(test_refusal_has_the_kernels_words),
		CASE(test_messages_of_other_processes),
		CASE(test_forged_answer),
		CASE(test_hundred_thousand_routes),
		CASE(test_kernel_of_another_namespace),
		CASE(test_no_namespace),
		CASE(test_cookie_of_a_remade_namespace),
		CASE(test_namespace_is_pinned_until_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
