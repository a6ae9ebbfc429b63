/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest agent's hands on the real kernel: what no call from outside can bring about.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent-proto/guest/addresses.h"
#include "agent-proto/guest/interface.h"
#include "agent-proto/guest/links.h"
#include "agent-proto/guest/lists.h"
#include "agent-proto/guest/neighbours.h"
#include "agent-proto/guest/owned.h"
#include "agent-proto/guest/routes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/log.h"
#include "tests/netns/sandbox.h"

/* ---- a kernel that is not well: what the program sends and receives goes through here ---- */

static struct {
	void (*before)(void); /* what somebody else does before a request of that type */
	int type;	      /* RTM_* of the request that fails, once; 0: none */
	bool is_sent;	      /* and only its answer is lost */
	bool is_losing;
} fault;

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): libc's are reserved names */
ssize_t send(int fd, const void *data, size_t size, int flags)
{
	const struct nlmsghdr *h = data;

	if (fault.type != 0 && size >= sizeof(*h) && h->nlmsg_type == fault.type) {
		fault.type = 0;
		if (fault.before) {
			fault.before();
			return syscall(SYS_sendto, fd, data, size, flags, NULL, 0);
		}
		fault.is_losing = fault.is_sent;
		if (!fault.is_sent) {
			errno = ENOBUFS;
			return -1;
		}
	}
	return syscall(SYS_sendto, fd, data, size, flags, NULL, 0);
}

ssize_t recvmsg(int fd, struct msghdr *m, int flags)
{
	if (fault.is_losing) {
		fault.is_losing = false;
		errno = EAGAIN;
		return -1;
	}
	return syscall(SYS_recvmsg, fd, m, flags);
}
/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

#define MAC "02:00:00:00:00:01"

static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };

/* ---- what the cases share ---- */

struct guest {
	struct netlink *netlink;
	struct owned *owned;
	const char *directory;
};

/* One for the program, removed at its end: a case that fails cleans nothing up. */
static char directory[] = "/tmp/netmon-guest-XXXXXX";

static void empty_directory(void)
{
	int fd = open(directory, O_DIRECTORY | O_CLOEXEC);

	(void)unlinkat(fd, OWNED_FILE, 0);
	(void)unlinkat(fd, OWNED_FILE_BROKEN, 0);
	(void)close(fd);
}

/* Of a case that has failed: its lock must not fail the others. */
static struct owned *open_journal;

static void open_owned(struct guest *g, uint64_t cookie)
{
	open_journal = owned_free(open_journal);
	assert_int_equal(owned_new(&g->owned, g->directory, cookie), 0);
	open_journal = g->owned;
}

static void guest_done(struct guest *g)
{
	open_journal = owned_free(open_journal);
	(void)netlink_free(g->netlink);
}

static void guest_begin(struct guest *g)
{
	*g = (struct guest){ .directory = directory };
	empty_directory();
	assert_int_equal(netlink_new(&g->netlink), 0);
	open_owned(g, 1);
}

/* As after a restart. */
static void guest_again(struct guest *g, uint64_t cookie)
{
	open_owned(g, cookie);
}

static void make_veth(void)
{
	sandbox_ip("link add v0 address " MAC " type veth peer name v1\n"
		   "link set v1 up\n"
		   "link set v0 up");
}

static struct agent_ip ip_of(const char *text, uint8_t prefixlen)
{
	struct agent_ip ip = {
		.family = strchr(text, ':') ? AF_INET6 : AF_INET,
		.prefixlen = prefixlen,
	};

	assert_int_equal(inet_pton(ip.family, text, ip.bytes), 1);
	return ip;
}

static struct agent_route route_of(const char *dest, uint8_t prefixlen, const char *gateway)
{
	struct agent_route r = { .dest = ip_of(dest, prefixlen), .device = "v0" };

	r.family = r.dest.family;
	if (gateway)
		r.gateway = ip_of(gateway, 0);
	return r;
}

static struct owned_item item_of(uint32_t index, const char *ip, uint8_t prefixlen)
{
	struct agent_ip a = ip_of(ip, prefixlen);
	struct owned_item item = {
		.index = index,
		.kind = OWNED_ADDRESS,
		.family = a.family,
		.prefixlen = prefixlen,
	};

	memcpy(item.bytes, a.bytes, sizeof(item.bytes));
	return item;
}

static size_t count_routes(struct netlink *n, uint8_t protocol)
{
	CLEANUP(routes_done) struct routes l = { 0 };
	size_t found = 0;

	assert_int_equal(routes_list(n, &l), 0);
	for (size_t i = 0; i < l.n; i++)
		found += l.items[i].protocol == protocol;
	return found;
}

static bool has_address(struct netlink *n, const struct owned_item *item)
{
	CLEANUP(addresses_done) struct addresses a = { 0 };

	assert_int_equal(addresses_list(n, &a), 0);
	return addresses_has(&a, item);
}

/* ---- links ---- */

/* A bridge has the MAC of what is in it: the NIC is the one without a kind, or the first. */
static void test_by_mac_is_the_nic(void **state)
{
	struct links_link items[] = {
		{ .index = 2, .kind = "bridge", .has_mac = true },
		{ .index = 9, .has_mac = true },
		{ .index = 5, .has_mac = true },
		{ .index = 1, .has_mac = false },
	};
	struct links l = { .items = items, .n = 4 };
	static const uint8_t zero[6] = { 0 };

	(void)state;
	assert_int_equal(links_by_mac(&l, zero)->index, 5);
	assert_null(links_by_mac(&l, mac));
}

/* Old kernels rename no link that is up: what goes with it comes back, whoever it belongs to. */
static void test_rename_down_keeps_all(void **state)
{
	CLEANUP(guest_done) struct guest g;
	struct owned_item v6;
	uint32_t index;

	(void)state;
	guest_begin(&g);
	make_veth();
	index = sandbox_ifindex("v0");
	v6 = item_of(index, "2001:db8::2", 64);
	sandbox_ip("addr add 10.1.0.2/24 dev v0\n"
		   "addr add 2001:db8::2/64 dev v0 nodad\n"
		   "route add 10.7.0.1 dev v0 proto 186\n"
		   "route add 10.8.0.0/16 via 10.7.0.1 proto 186\n"
		   "route add 10.9.0.0/16 via 10.1.0.1 proto 157 mtu 1300 metric 7\n"
		   "route add 2001:db8:8::/48 via 2001:db8::1 proto 186");
	assert_int_equal(links_rename_down(g.netlink, index, "net0"), 0);
	assert_int_equal(sandbox_ifindex("net0"), index);
	assert_int_equal(count_routes(g.netlink, 186), 3);
	assert_int_equal(count_routes(g.netlink, ROUTES_PROTOCOL), 1);
	assert_true(has_address(g.netlink, &v6));
}

/* Also when the new name is refused. */
static void test_rename_down_fails_harmlessly(void **state)
{
	CLEANUP(guest_done) struct guest g;
	CLEANUP(links_done) struct links l = { 0 };

	(void)state;
	guest_begin(&g);
	make_veth();
	sandbox_ip("addr add 10.1.0.2/24 dev v0\n"
		   "route add 10.8.0.0/16 via 10.1.0.1 proto 186");
	assert_int_equal(links_rename_down(g.netlink, sandbox_ifindex("v0"), "a/b"), -EINVAL);
	err_clear();
	assert_int_equal(count_routes(g.netlink, 186), 1);
	assert_int_equal(links_list(g.netlink, &l), 0);
	assert_true(links_by_name(&l, "v0")->flags & IFF_UP);
}

static bool has_neighbour(struct netlink *n, uint32_t index, const char *text)
{
	CLEANUP(neighbours_done) struct neighbours l = { 0 };
	struct agent_ip ip = ip_of(text, 0);

	assert_int_equal(neighbours_list(n, &l), 0);
	for (size_t i = 0; i < l.n; i++)
		if (l.items[i].item.index == index && l.items[i].mac[5] == 9 &&
		    memcmp(l.items[i].item.bytes, ip.bytes, sizeof(ip.bytes)) == 0)
			return true;
	return false;
}

/* Whoever has set them; and routes of several hops have no link of their own. */
static void test_rename_down_keeps_neighbours_and_hops(void **state)
{
	CLEANUP(guest_done) struct guest g;
	static const char *const ips[] = { "10.1.0.9", "10.1.0.8", "2001:db8::9" };
	uint32_t index;

	(void)state;
	guest_begin(&g);
	make_veth();
	index = sandbox_ifindex("v0");
	sandbox_ip("addr add 10.1.0.2/24 dev v0\n"
		   "addr add 2001:db8::2/64 dev v0 nodad\n"
		   "neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev v0 nud permanent\n"
		   "neigh add 10.1.0.8 lladdr 02:00:00:00:00:09 dev v0 nud noarp\n"
		   "neigh add 2001:db8::9 lladdr 02:00:00:00:00:09 dev v0 nud permanent router\n"
		   "route add 10.8.0.0/16 proto 186 nexthop via 10.1.0.1 nexthop via 10.1.0.3");
	sandbox_ip6("route add 2001:db8:8::/48 proto 186 nexthop via 2001:db8::1 dev v0 "
		    "nexthop via 2001:db8::3 dev v0");
	assert_int_equal(links_rename_down(g.netlink, index, "net0"), 0);
	assert_int_equal(count_routes(g.netlink, 186), 2);
	for (size_t i = 0; i < 3; i++)
		assert_true(has_neighbour(g.netlink, index, ips[i]));
}

/*
 * The third of three renames fails: here since the list says a name that no link can have, so that
 * the way back fails too, and is said.
 */
static void test_swap_that_fails_says_who_is_called_what(void **state)
{
	CLEANUP(guest_done) struct guest g;
	CLEANUP(links_done) struct links l = { 0 };
	char text[32];
	uint32_t mine, other;

	(void)state;
	guest_begin(&g);
	make_veth();
	mine = sandbox_ifindex("v0");
	other = sandbox_ifindex("v1");
	assert_int_equal(links_list(g.netlink, &l), 0);
	for (size_t i = 0; i < l.n; i++)
		if (l.items[i].index == mine)
			(void)snprintf(l.items[i].name, sizeof(l.items[i].name), "a/b");
	assert_int_equal(links_rename(g.netlink, &l, mine, "v1"), -EINVAL);
	(void)snprintf(text, sizeof(text), "'v1' is called 'swap%u'", other);
	assert_non_null(strstr(err_text(), text));
	err_clear();
}

/* The kernel's linkwatch tells of a link's state when it comes to it, once more than what we did. */
static bool becomes_quiet(struct netlink *n)
{
	uint64_t until = clock_now_usec() + 10 * CLOCK_USEC_PER_SEC;

	while (netlink_take_events(n))
		if (clock_now_usec() > until)
			return false;
	return true;
}

static void test_events_tell_of_links(void **state)
{
	CLEANUP(guest_done) struct guest g;

	(void)state;
	guest_begin(&g);
	assert_false(netlink_take_events(g.netlink));
	make_veth();
	assert_true(netlink_take_events(g.netlink));
	assert_true(becomes_quiet(g.netlink));
}

static void test_absent_link_is_a_condition(void **state)
{
	CLEANUP(guest_done) struct guest g;
	struct agent_interface i = { .has_mac = true, .mac = { 2, 9, 9, 9, 9, 9 } };

	(void)state;
	guest_begin(&g);
	assert_int_equal(interface_update(g.netlink, g.owned, &i), INTERFACE_ABSENT);
	assert_int_equal(interface_remove(g.netlink, g.owned, &i), 0);
	i.has_mac = false;
	assert_int_equal(interface_update(g.netlink, g.owned, &i), -EINVAL);
	err_clear();
}

/* ---- addresses ---- */

/* Killed between the note and the address: the note goes, and who adds it meanwhile keeps it. */
static void test_noted_but_never_added(void **state)
{
	CLEANUP(guest_done) struct guest g;
	struct agent_interface i = { .has_mac = true };
	struct owned_item item;

	(void)state;
	guest_begin(&g);
	make_veth();
	item = item_of(sandbox_ifindex("v0"), "10.1.0.2", 24);
	assert_int_equal(owned_add(g.owned, &item), 0);
	assert_int_equal(owned_save(g.owned), 0);
	guest_again(&g, 1);
	memcpy(i.mac, mac, sizeof(mac));
	assert_int_equal(interface_update(g.netlink, g.owned, &i), 0);
	assert_false(owned_has(g.owned, &item));
	sandbox_ip("addr add 10.1.0.2/24 dev v0");
	assert_int_equal(interface_update(g.netlink, g.owned, &i), 0);
	assert_true(has_address(g.netlink, &item));
}

static void test_ipv6_switched_off_is_no_failure(void **state)
{
	CLEANUP(guest_done) struct guest g;
	struct agent_ip ips[] = { ip_of("2001:db8::2", 64), ip_of("10.1.0.2", 24) };
	struct agent_interface i = { .has_mac = true, .ips = ips, .n_ips = 2 };
	struct owned_item v4, v6;

	(void)state;
	guest_begin(&g);
	make_veth();
	sandbox_write("/proc/sys/net/ipv6/conf/v0/disable_ipv6", "1");
	memcpy(i.mac, mac, sizeof(mac));
	v4 = item_of(sandbox_ifindex("v0"), "10.1.0.2", 24);
	v6 = item_of(sandbox_ifindex("v0"), "2001:db8::2", 64);
	assert_int_equal(interface_update(g.netlink, g.owned, &i), 0);
	assert_true(has_address(g.netlink, &v4));
	assert_false(owned_has(g.owned, &v6));
}

/* Ours from the moment that the kernel may have it. */
static void test_address_with_a_lost_answer_is_ours(void **state)
{
	CLEANUP(guest_done) struct guest g;
	struct agent_ip ips[] = { ip_of("10.1.0.2", 24), ip_of("10.1.0.3", 24) };
	struct agent_interface i = { .has_mac = true, .ips = ips, .n_ips = 2 };
	struct owned_item lost, other;

	(void)state;
	guest_begin(&g);
	make_veth();
	memcpy(i.mac, mac, sizeof(mac));
	lost = item_of(sandbox_ifindex("v0"), "10.1.0.2", 24);
	other = item_of(sandbox_ifindex("v0"), "10.1.0.3", 24);
	fault.type = RTM_NEWADDR;
	fault.is_sent = true;
	assert_int_equal(interface_update(g.netlink, g.owned, &i), -EAGAIN);
	err_clear();
	assert_true(has_address(g.netlink, &lost) && has_address(g.netlink, &other));
	i.n_ips = 0;
	guest_again(&g, 1);
	assert_int_equal(interface_update(g.netlink, g.owned, &i), 0);
	assert_false(has_address(g.netlink, &lost) || has_address(g.netlink, &other));
}

static void test_address_that_never_came_is_not_ours(void **state)
{
	CLEANUP(guest_done) struct guest g;
	struct agent_ip ip = ip_of("10.1.0.2", 24);
	struct agent_interface i = { .has_mac = true, .ips = &ip, .n_ips = 1 };
	struct owned_item item;

	(void)state;
	guest_begin(&g);
	make_veth();
	memcpy(i.mac, mac, sizeof(mac));
	item = item_of(sandbox_ifindex("v0"), "10.1.0.2", 24);
	fault.type = RTM_NEWADDR;
	fault.is_sent = false;
	assert_int_equal(interface_update(g.netlink, g.owned, &i), -ENOBUFS);
	err_clear();
	assert_false(owned_has(g.owned, &item));
}

static void add_the_same(void)
{
	sandbox_ip("addr add 10.1.0.2/24 dev v0");
}

static void add_another_length(void)
{
	sandbox_ip("addr add 2001:db8::2/128 dev v0 nodad");
}

static void test_who_was_quicker_keeps_his_address(void **state)
{
	CLEANUP(guest_done) struct guest g;
	struct agent_ip v4 = ip_of("10.1.0.2", 24), v6 = ip_of("2001:db8::2", 64);
	struct agent_interface i = { .has_mac = true, .ips = &v4, .n_ips = 1 };
	size_t n;

	(void)state;
	guest_begin(&g);
	make_veth();
	memcpy(i.mac, mac, sizeof(mac));
	fault.type = RTM_NEWADDR;
	fault.before = add_the_same;
	assert_int_equal(interface_update(g.netlink, g.owned, &i), 0);
	(void)owned_items(g.owned, &n);
	assert_int_equal(n, 0);
	i.ips = &v6;
	fault.type = RTM_NEWADDR;
	fault.before = add_another_length;
	assert_int_equal(interface_update(g.netlink, g.owned, &i), -EEXIST);
	assert_non_null(strstr(err_text(), "2001:db8::2/64 (there is one of another length)"));
	err_clear();
	(void)owned_items(g.owned, &n);
	assert_int_equal(n, 0);
	fault.before = NULL;
}

/* As an address: noted as long as it may be there. */
static void test_neighbour_with_a_lost_answer_is_ours(void **state)
{
	CLEANUP(guest_done) struct guest g;
	struct agent_neighbor a = {
		.ip = ip_of("10.1.0.1", 0),
		.device = "v0",
		.mac = { 2, 0, 0, 0, 0, 9 },
	};
	size_t n;

	(void)state;
	guest_begin(&g);
	make_veth();
	for (int i = 0; i < 2; i++) {
		fault.type = RTM_NEWNEIGH;
		fault.is_sent = i == 0;
		assert_true(neighbours_add(g.netlink, g.owned, &a, 1) < 0);
		err_clear();
		(void)owned_items(g.owned, &n);
		assert_int_equal(n, i == 0 ? 1 : 0);
		assert_int_equal(neighbours_remove(g.netlink, g.owned, &a, 1), 0);
		(void)owned_items(g.owned, &n);
		assert_int_equal(n, 0);
	}
}

static void test_failed_removal_is_tried_again(void **state)
{
	CLEANUP(guest_done) struct guest g;
	struct agent_ip ip = ip_of("10.1.0.2", 24);
	struct agent_interface i = { .has_mac = true, .ips = &ip, .n_ips = 1 };
	struct owned_item item;

	(void)state;
	guest_begin(&g);
	make_veth();
	memcpy(i.mac, mac, sizeof(mac));
	item = item_of(sandbox_ifindex("v0"), "10.1.0.2", 24);
	assert_int_equal(interface_update(g.netlink, g.owned, &i), 0);
	i.n_ips = 0;
	fault.type = RTM_DELADDR;
	fault.is_sent = false;
	assert_int_equal(interface_update(g.netlink, g.owned, &i), -ENOBUFS);
	err_clear();
	assert_true(has_address(g.netlink, &item) && owned_has(g.owned, &item));
	assert_int_equal(interface_update(g.netlink, g.owned, &i), 0);
	assert_false(has_address(g.netlink, &item) || owned_has(g.owned, &item));
}

/* ---- the journal ---- */

static void test_journal_outlives_a_restart(void **state)
{
	CLEANUP(guest_done) struct guest g;
	struct owned_item a = item_of(3, "10.1.0.2", 24), b = item_of(3, "2001:db8::2", 64);
	size_t n;

	(void)state;
	guest_begin(&g);
	assert_int_equal(owned_add(g.owned, &a), 0);
	assert_int_equal(owned_add(g.owned, &b), 0);
	assert_int_equal(owned_add(g.owned, &a), 0);
	b.kind = OWNED_NEIGHBOR;
	assert_false(owned_has(g.owned, &b));
	assert_int_equal(owned_save(g.owned), 0);
	guest_again(&g, 1);
	assert_non_null(owned_items(g.owned, &n));
	assert_int_equal(n, 2);
	assert_true(owned_has(g.owned, &a));
	owned_remove(g.owned, &a);
	assert_int_equal(owned_save(g.owned), 0);
	guest_again(&g, 1);
	assert_false(owned_has(g.owned, &a));
}

static void test_journal_of_another_namespace_is_none(void **state)
{
	CLEANUP(guest_done) struct guest g;
	struct owned_item a = item_of(3, "10.1.0.2", 24);

	(void)state;
	guest_begin(&g);
	assert_int_equal(owned_add(g.owned, &a), 0);
	assert_int_equal(owned_save(g.owned), 0);
	guest_again(&g, 12);
	assert_false(owned_has(g.owned, &a));
}

static bool is_aside(const struct guest *g)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/" OWNED_FILE_BROKEN, g->directory);
	return access(path, F_OK) == 0;
}

static void forget_aside(const struct guest *g)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/" OWNED_FILE_BROKEN, g->directory);
	(void)unlink(path);
}

static void write_journal(const struct guest *g, const char *data, size_t size)
{
	char path[128];
	CLEANUP(cleanup_close) int fd = -1;

	(void)snprintf(path, sizeof(path), "%s/" OWNED_FILE, g->directory);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(io_write_all(fd, data, size), 0);
}

/* Two addresses and a neighbour. */
static void make_journal(struct guest *g, char **ret, size_t *ret_size)
{
	struct owned_item items[] = { item_of(3, "10.1.0.2", 24), item_of(4, "2001:db8::2", 64),
				      item_of(4, "10.1.0.1", 32) };
	char path[128];

	items[2].kind = OWNED_NEIGHBOR;
	items[2].state = 64;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(owned_add(g->owned, &items[i]), 0);
	assert_int_equal(owned_save(g->owned), 0);
	(void)snprintf(path, sizeof(path), "%s/" OWNED_FILE, g->directory);
	assert_int_equal(io_read_path(path, 4096, ret, ret_size), 0);
}

/* Set aside or read, never a crash and never half of it. */
static void test_journal_with_any_byte_changed(void **state)
{
	static const char bytes[] = { '\0', '\n', ' ', '0', '9', '/', 'x', '\xff' };
	CLEANUP(guest_done) struct guest g;
	CLEANUP(cleanup_free) char *whole = NULL;
	size_t size, head, n;

	(void)state;
	guest_begin(&g);
	make_journal(&g, &whole, &size);
	head = strcspn(whole, "\n");
	for (size_t i = 0; i < size * sizeof(bytes); i++) {
		size_t at = i / sizeof(bytes);
		char right = whole[at];

		forget_aside(&g);
		whole[at] = bytes[i % sizeof(bytes)];
		write_journal(&g, whole, size);
		guest_again(&g, 1);
		(void)owned_items(g.owned, &n);
		if (whole[at] == right || (n > 0 && at > head))
			assert_true(n == 3 && !is_aside(&g));
		else
			assert_true(n == 0 && (is_aside(&g) || (at >= 15 && at <= head)));
		whole[at] = right;
	}
}

static void test_journal_keeps_the_state_of_a_neighbour(void **state)
{
	CLEANUP(guest_done) struct guest g;
	CLEANUP(cleanup_free) char *whole = NULL;
	struct owned_item item = item_of(4, "10.1.0.1", 32);
	size_t size;

	(void)state;
	guest_begin(&g);
	make_journal(&g, &whole, &size);
	guest_again(&g, 1);
	item.kind = OWNED_NEIGHBOR;
	assert_int_equal(owned_get(g.owned, &item)->state, 64);
	assert_int_equal(owned_add(g.owned, &item), 0);
	assert_int_equal(owned_save(g.owned), 0);
	guest_again(&g, 1);
	assert_int_equal(owned_get(g.owned, &item)->state, 0);
}

static void test_journal_has_one_agent(void **state)
{
	CLEANUP(guest_done) struct guest g;
	struct owned *other;

	(void)state;
	guest_begin(&g);
	assert_int_equal(owned_new(&other, g.directory, 1), -EWOULDBLOCK);
	assert_non_null(strstr(err_text(), "another netmon-agent uses '/tmp/"));
	err_clear();
}

static void test_journal_cut_anywhere_is_set_aside(void **state)
{
	CLEANUP(guest_done) struct guest g;
	CLEANUP(cleanup_free) char *whole = NULL;
	size_t size, head, n;

	(void)state;
	guest_begin(&g);
	make_journal(&g, &whole, &size);
	head = strcspn(whole, "\n");
	for (size_t i = 0; i < size; i++) {
		forget_aside(&g);
		write_journal(&g, whole, i);
		guest_again(&g, 1);
		(void)owned_items(g.owned, &n);
		assert_int_equal(n, 0);
		assert_true(is_aside(&g) || (i >= 15 && i <= head));
	}
}

/* ---- routes and neighbours ---- */

/* Hears of every route, like who follows the guest's network. */
static int open_listener(void)
{
	struct sockaddr_nl a = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE,
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* The kernel has its own to tell, whenever an IPv6 address is ready. */
static size_t heard(int fd)
{
	union {
		struct nlmsghdr h;
		char bytes[8192];
	} u;
	size_t n = 0;
	ssize_t size;

	while ((size = recv(fd, &u, sizeof(u), 0)) > 0) {
		int left = (int)size;

		for (struct nlmsghdr *h = &u.h; nlmsg_ok(h, left); h = nlmsg_next(h, &left))
			n += ((const struct rtmsg *)nlmsg_data(h))->rtm_protocol == ROUTES_PROTOCOL;
	}
	assert_int_equal(errno, EAGAIN);
	return n;
}

/* The same call twice changes nothing, and the kernel tells nobody of a change. */
static void test_routes_twice_are_left_alone(void **state)
{
	CLEANUP(guest_done) struct guest g;
	struct agent_route r[] = { route_of("10.8.0.0", 16, "10.1.0.1"),
				   route_of("2001:db8:8::", 48, "2001:db8::1") };
	CLEANUP(cleanup_close) int fd = -1;

	(void)state;
	guest_begin(&g);
	make_veth();
	sandbox_ip("addr add 10.1.0.2/24 dev v0\n"
		   "addr add 2001:db8::2/64 dev v0 nodad");
	fd = open_listener();
	for (int i = 0; i < 2; i++) {
		assert_int_equal(routes_update(g.netlink, r, 2), 0);
		assert_int_equal(count_routes(g.netlink, ROUTES_PROTOCOL), 2);
		assert_int_equal(heard(fd), i == 0 ? 2 : 0);
	}
	assert_int_equal(routes_remove(g.netlink, r, 2), 0);
	assert_int_equal(routes_remove(g.netlink, r, 2), 0);
	assert_int_equal(count_routes(g.netlink, ROUTES_PROTOCOL), 0);
	assert_int_equal(routes_update(g.netlink, NULL, 0), 0);
}

/* NLM_F_REPLACE would take it: IPv6 with all that was appended to it. */
static void test_appended_foreign_route_is_not_replaced(void **state)
{
	CLEANUP(guest_done) struct guest g;
	struct agent_route r = route_of("2001:db8:8::", 48, "2001:db8::9");

	(void)state;
	guest_begin(&g);
	make_veth();
	sandbox_ip("addr add 2001:db8::2/64 dev v0 nodad");
	sandbox_ip6("route add 2001:db8:8::/48 via 2001:db8::1 dev v0 proto 186\n"
		    "route append 2001:db8:8::/48 via 2001:db8::2:1 dev v0 proto 186");
	assert_int_equal(routes_update(g.netlink, &r, 1), -EEXIST);
	err_clear();
	assert_int_equal(routes_remove(g.netlink, &r, 1), 0);
	assert_int_equal(count_routes(g.netlink, 186), 1);
}

static void test_lists_of_an_empty_guest(void **state)
{
	CLEANUP(guest_done) struct guest g;
	CLEANUP(agent_network_done) struct agent_network n = { 0 };

	(void)state;
	guest_begin(&g);
	assert_int_equal(lists_interfaces(g.netlink, g.owned, LISTS_ALL, &n), 0);
	assert_int_equal(lists_routes(g.netlink, LISTS_ALL, &n), 0);
	assert_int_equal(lists_neighbors(g.netlink, g.owned, &n), 0);
	assert_int_equal(n.n_interfaces + n.n_routes + n.n_neighbors, 0);
}

/* One that the kernel has learnt is taken over. */
static void test_learnt_neighbour_is_taken_over(void **state)
{
	CLEANUP(guest_done) struct guest g;
	struct agent_neighbor a = {
		.ip = ip_of("10.1.0.1", 0),
		.device = "v0",
		.mac = { 2, 0, 0, 0, 0, 9 },
	};
	size_t n;

	(void)state;
	guest_begin(&g);
	make_veth();
	sandbox_ip("addr add 10.1.0.2/24 dev v0\n"
		   "neigh add 10.1.0.1 lladdr 02:00:00:00:00:08 dev v0 nud reachable");
	assert_int_equal(neighbours_add(g.netlink, g.owned, &a, 1), 0);
	(void)owned_items(g.owned, &n);
	assert_int_equal(n, 1);
	assert_int_equal(neighbours_remove(g.netlink, g.owned, &a, 1), 0);
	(void)owned_items(g.owned, &n);
	assert_int_equal(n, 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, sandbox_enter, sandbox_leave)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_mac_is_the_nic),
		CASE(test_rename_down_keeps_all),
		CASE(test_rename_down_keeps_neighbours_and_hops),
		CASE(test_rename_down_fails_harmlessly),
		CASE(test_swap_that_fails_says_who_is_called_what),
		CASE(test_events_tell_of_links),
		CASE(test_absent_link_is_a_condition),
		CASE(test_noted_but_never_added),
		CASE(test_ipv6_switched_off_is_no_failure),
		CASE(test_address_with_a_lost_answer_is_ours),
		CASE(test_address_that_never_came_is_not_ours),
		CASE(test_who_was_quicker_keeps_his_address),
		CASE(test_neighbour_with_a_lost_answer_is_ours),
		CASE(test_failed_removal_is_tried_again),
		CASE(test_journal_outlives_a_restart),
		CASE(test_journal_of_another_namespace_is_none),
		CASE(test_journal_cut_anywhere_is_set_aside),
		CASE(test_journal_with_any_byte_changed),
		CASE(test_journal_keeps_the_state_of_a_neighbour),
		CASE(test_journal_has_one_agent),
		CASE(test_routes_twice_are_left_alone),
		CASE(test_appended_foreign_route_is_not_replaced),
		CASE(test_lists_of_an_empty_guest),
		CASE(test_learnt_neighbour_is_taken_over),
	};

	int failed;

	log_set_level(LOG_ERR);
	if (!mkdtemp(directory))
		return EXIT_FAILURE;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	empty_directory();
	(void)rmdir(directory);
	return failed;
}
