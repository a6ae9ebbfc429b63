/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UpdateRoutes and RemoveRoutes. See routes.h.
 *
 * NLM_F_REPLACE takes the first route with the same destination and metric, whose ever it is (IPv6:
 * with all that were appended to it). So the routes are listed before, once a call, and what would
 * hit another's is not sent. A removal needs no list: the kernel compares the protocol itself.
 * Source: net/ipv4/fib_trie.c, fib_table_insert() and fib_table_delete(); net/ipv6/ip6_fib.c,
 * fib6_add_rt2node(); net/ipv6/route.c, ip6_route_del().
 */
#include "agent-proto/guest/routes.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "agent-proto/guest/links.h"
#include "base/error.h"
#include "base/ip.h"

#define PRIORITY_IPV6 1024U /* IP6_RT_PRIO_USER, what 0 becomes */

/* ---- the list ---- */

static bool take_ip(const struct nlattr *a, uint8_t family, uint8_t prefixlen, struct agent_ip *ret)
{
	int bytes = ip_bits(family) / 8;

	if (!a)
		return true;
	if (nla_len(a) != bytes)
		return false;
	*ret = (struct agent_ip){ .family = family, .prefixlen = prefixlen };
	memcpy(ret->bytes, nla_data(a), (size_t)bytes);
	return true;
}

static uint32_t take_u32(const struct nlattr *a)
{
	return a && nla_len(a) >= (int)sizeof(uint32_t) ? nla_get_u32(a) : 0;
}

static uint32_t take_mtu(const struct nlattr *metrics)
{
	struct nlattr *tb[RTAX_MTU + 1] = { 0 };

	if (!metrics ||
	    nla_parse_nested(tb, RTAX_MTU, (struct nlattr *)(uintptr_t)metrics, NULL) < 0)
		return 0;
	return take_u32(tb[RTAX_MTU]);
}

static bool is_listed(const struct rtmsg *rtm)
{
	return (rtm->rtm_family == AF_INET || rtm->rtm_family == AF_INET6) &&
	       rtm->rtm_type == RTN_UNICAST && !(rtm->rtm_flags & RTM_F_CLONED) &&
	       rtm->rtm_src_len == 0;
}

static bool parse(const struct nlmsghdr *h, struct routes_route *ret)
{
	const struct rtmsg *rtm = nlmsg_data(h);
	struct nlattr *tb[RTA_MAX + 1] = { 0 };
	struct routes_route r = { .protocol = rtm->rtm_protocol };
	uint8_t bits = ip_bits(rtm->rtm_family);

	if (!is_listed(rtm) ||
	    nlmsg_parse((struct nlmsghdr *)(uintptr_t)h, sizeof(*rtm), tb, RTA_MAX, NULL) < 0)
		return false;
	if (tb[RTA_TABLE] && nla_get_u32(tb[RTA_TABLE]) != RT_TABLE_MAIN)
		return false;
	if (!take_ip(tb[RTA_DST], rtm->rtm_family, rtm->rtm_dst_len, &r.said.dest) ||
	    !take_ip(tb[RTA_GATEWAY], rtm->rtm_family, bits, &r.said.gateway) ||
	    !take_ip(tb[RTA_PREFSRC], rtm->rtm_family, bits, &r.said.source))
		return false;
	r.said.family = rtm->rtm_family;
	r.said.scope = rtm->rtm_scope;
	r.said.flags = rtm->rtm_flags & RTNH_F_ONLINK;
	r.said.mtu = take_mtu(tb[RTA_METRICS]);
	r.index = take_u32(tb[RTA_OIF]);
	r.priority = take_u32(tb[RTA_PRIORITY]);
	r.is_plain = tb[RTA_OIF] && !tb[RTA_MULTIPATH] && !tb[RTA_VIA] && rtm->rtm_tos == 0;
	*ret = r;
	return true;
}

static int each_route(void *userdata, const struct nlmsghdr *h)
{
	struct routes *l = userdata;
	struct routes_route *items = l->items;
	size_t capacity = l->capacity ? 2 * l->capacity : 64;
	struct routes_route route;

	if (h->nlmsg_type != RTM_NEWROUTE || !nlmsg_valid_hdr(h, sizeof(struct rtmsg)) ||
	    !parse(h, &route))
		return 0;
	if (l->n == ROUTES_MAX)
		return err_raise(-EMSGSIZE, "list more than %u routes", ROUTES_MAX);
	if (l->n == l->capacity) {
		items = reallocarray(items, capacity, sizeof(*items));
		if (!items)
			return err_raise(-ENOMEM, "list routes");
		l->items = items;
		l->capacity = capacity;
	}
	items[l->n++] = route;
	return 0;
}

struct listing {
	struct routes *routes;
	size_t first;
};

static int each_listed(void *userdata, const struct nlmsghdr *h)
{
	struct listing *l = userdata;

	return err_pass(each_route(l->routes, h));
}

static void restart(void *userdata)
{
	struct listing *l = userdata;

	l->routes->n = l->first;
}

static int list_family(struct netlink *n, uint8_t family, struct routes *l)
{
	struct rtmsg rtm = { .rtm_family = family, .rtm_table = RT_TABLE_MAIN };
	struct listing listing = { .routes = l, .first = l->n };
	struct netlink_dump d = {
		.type = RTM_GETROUTE,
		.header = &rtm,
		.header_bytes = sizeof(rtm),
		.each = each_listed,
		.restart = restart,
		.userdata = &listing,
	};

	return err_pass(netlink_dump(n, &d));
}

int routes_list(struct netlink *n, struct routes *ret)
{
	CLEANUP(routes_done) struct routes l = { 0 };
	int r = list_family(n, AF_INET, &l);

	if (r >= 0)
		r = list_family(n, AF_INET6, &l);
	if (r < 0)
		return err_pass(r);
	*ret = l;
	l = (struct routes){ 0 };
	return 0;
}

void routes_done(struct routes *r)
{
	free(r->items);
	*r = (struct routes){ 0 };
}

/* ---- what is in the way ---- */

static int compare_keys(const struct agent_route *a, const struct agent_route *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	if (a->dest.prefixlen != b->dest.prefixlen)
		return a->dest.prefixlen < b->dest.prefixlen ? -1 : 1;
	return memcmp(a->dest.bytes, b->dest.bytes, sizeof(a->dest.bytes));
}

static int compare_routes(const void *a, const void *b)
{
	const struct routes_route *x = a, *y = b;

	return compare_keys(&x->said, &y->said);
}

/* Of those with this destination the first. */
static size_t first_with(const struct routes *l, const struct agent_route *key)
{
	size_t low = 0, high = l->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_keys(&l->items[middle].said, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool same_ip(const struct agent_ip *a, const struct agent_ip *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static bool leads_same_way(const struct routes_route *there, const struct agent_route *r,
			   uint32_t index)
{
	return there->is_plain && (index == 0 || there->index == index) &&
	       same_ip(&there->said.gateway, &r->gateway);
}

static bool is_same(const struct routes_route *there, const struct agent_route *r, uint32_t index)
{
	return leads_same_way(there, r, index) && same_ip(&there->said.source, &r->source) &&
	       there->said.mtu == r->mtu && there->said.flags == (r->flags & RTNH_F_ONLINK) &&
	       (r->family == AF_INET6 || there->said.scope == r->scope);
}

enum way { WAY_FREE, WAY_DONE, WAY_BLOCKED };

static enum way look(const struct routes *l, const struct agent_route *r, uint32_t index)
{
	uint32_t priority = r->family == AF_INET6 ? PRIORITY_IPV6 : 0;
	enum way way = WAY_FREE;

	for (size_t i = first_with(l, r); i < l->n && compare_keys(&l->items[i].said, r) == 0;
	     i++) {
		const struct routes_route *at = &l->items[i];

		if (at->priority != priority)
			continue;
		if (at->protocol != ROUTES_PROTOCOL)
			return leads_same_way(at, r, index) ? WAY_DONE : WAY_BLOCKED;
		if (is_same(at, r, index))
			way = WAY_DONE;
	}
	return way;
}

/* ---- messages ---- */

static bool put_ip(struct nl_msg *m, int type, const struct agent_ip *ip)
{
	return ip->family == 0 || nla_put(m, type, ip_bits(ip->family) / 8, ip->bytes) >= 0;
}

static bool put_mtu(struct nl_msg *m, uint32_t mtu)
{
	struct nlattr *metrics;

	if (mtu == 0)
		return true;
	metrics = nla_nest_start(m, RTA_METRICS);
	if (!metrics || nla_put_u32(m, RTAX_MTU, mtu) < 0)
		return false;
	(void)nla_nest_end(m, metrics);
	return true;
}

static struct nl_msg *make_route(int type, int flags, const struct rtmsg *rtm,
				 const struct agent_route *r, uint32_t index)
{
	CLEANUP(nlmsg_freep) struct nl_msg *m = netlink_message(type, flags, rtm, sizeof(*rtm));

	if (!m || !put_ip(m, RTA_DST, &r->dest) || !put_ip(m, RTA_GATEWAY, &r->gateway) ||
	    (index != 0 && nla_put_u32(m, RTA_OIF, index) < 0))
		return NULL;
	if (type == RTM_NEWROUTE && (!put_ip(m, RTA_PREFSRC, &r->source) || !put_mtu(m, r->mtu)))
		return NULL;
	return TAKE_PTR(m);
}

static struct rtmsg header_of(const struct agent_route *r)
{
	return (struct rtmsg){
		.rtm_family = r->family,
		.rtm_dst_len = r->dest.family ? r->dest.prefixlen : 0,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = ROUTES_PROTOCOL,
		.rtm_scope = (uint8_t)r->scope,
		.rtm_type = RTN_UNICAST,
		.rtm_flags = r->gateway.family ? r->flags & RTNH_F_ONLINK : 0,
	};
}

static void describe(const struct agent_route *r, char *ret, size_t size)
{
	char dest[IP_PREFIX_TEXT_BYTES] = "default", gateway[IP_TEXT_BYTES] = "";

	if (r->dest.family)
		ip_format_prefix(r->dest.family, r->dest.bytes, r->dest.prefixlen, dest);
	if (r->gateway.family)
		ip_format(r->gateway.family, r->gateway.bytes, gateway);
	(void)snprintf(ret, size, "%s%s%s%s%s", dest, gateway[0] ? " via " : "", gateway,
		       r->device[0] ? " dev " : "", r->device);
}

/* ---- many at once ---- */

struct work {
	const struct agent_route *route;
	uint32_t index;
};

struct job {
	const char *verb;
	struct work *work;
	size_t n;
	int error; /* the first one */
	char text[NETLINK_WORDS_MAX + 192];
};

static void job_done(struct job *j)
{
	free(j->work);
}

static void note(struct job *j, const struct agent_route *r, int error, const char *words)
{
	char route[128];

	if (j->error < 0)
		return;
	describe(r, route, sizeof(route));
	j->error = error;
	(void)snprintf(j->text, sizeof(j->text), "%s route %s%s%s%s", j->verb, route,
		       words[0] ? " (" : "", words, words[0] ? ")" : "");
}

static int end_job(const struct job *j)
{
	return j->error < 0 ? err_raise(j->error, "%s", j->text) : 0;
}

/* Return: 0; -ENODEV, raises nothing. */
static int index_of(const struct links *links, const struct agent_route *r, uint32_t *ret)
{
	const struct links_link *l = r->device[0] ? links_by_name(links, r->device) : NULL;

	if (r->device[0] && !l)
		return -ENODEV;
	*ret = l ? l->index : 0;
	return 0;
}

static struct nl_msg *make_new(void *userdata, size_t i)
{
	const struct job *j = userdata;
	struct rtmsg rtm = header_of(j->work[i].route);

	return make_route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &rtm, j->work[i].route,
			  j->work[i].index);
}

static void done_new(void *userdata, size_t i, int error, const char *words)
{
	struct job *j = userdata;

	if (error < 0)
		note(j, j->work[i].route, error, words);
}

/* Any scope: the kernel ends one that was made with another. */
static struct nl_msg *make_del(void *userdata, size_t i)
{
	const struct job *j = userdata;
	struct rtmsg rtm = header_of(j->work[i].route);

	rtm.rtm_scope = RT_SCOPE_NOWHERE;
	rtm.rtm_flags = 0;
	return make_route(RTM_DELROUTE, 0, &rtm, j->work[i].route, j->work[i].index);
}

static void done_del(void *userdata, size_t i, int error, const char *words)
{
	struct job *j = userdata;

	if (error < 0 && error != -ESRCH && error != -ENODEV && error != -ENOENT)
		note(j, j->work[i].route, error, words);
}

static int run_job(struct netlink *n, struct job *j,
		   struct nl_msg *(*make)(void *userdata, size_t i),
		   void (*done)(void *userdata, size_t i, int error, const char *words))
{
	struct netlink_batch b = { .n = j->n, .make = make, .done = done, .userdata = j };
	int r = netlink_send(n, &b);

	if (r < 0)
		return err_pass(r);
	return err_pass(end_job(j));
}

static int make_work(struct job *j, size_t n)
{
	j->work = calloc(n ? n : 1, sizeof(*j->work));
	return j->work ? 0 : err_raise(-ENOMEM, "%s routes", j->verb);
}

/* ---- the calls ---- */

struct update {
	struct links links;
	struct routes routes;
};

static void update_done(struct update *u)
{
	links_done(&u->links);
	routes_done(&u->routes);
}

static void consider(struct job *j, const struct update *u, const struct agent_route *r)
{
	struct work *w = &j->work[j->n];
	enum way way;

	if (index_of(&u->links, r, &w->index) < 0) {
		note(j, r, -ENODEV, "Link not found");
		return;
	}
	way = look(&u->routes, r, w->index);
	if (way == WAY_BLOCKED)
		note(j, r, -EEXIST, "there is one that is not ours");
	if (way != WAY_FREE)
		return;
	w->route = r;
	j->n++;
}

static int prepare(struct netlink *n, struct update *u)
{
	int r = links_list(n, &u->links);

	if (r >= 0)
		r = routes_list(n, &u->routes);
	if (r < 0)
		return err_pass(r);
	if (u->routes.n > 0)
		qsort(u->routes.items, u->routes.n, sizeof(*u->routes.items), compare_routes);
	return 0;
}

int routes_update(struct netlink *n, const struct agent_route *wanted, size_t n_wanted)
{
	CLEANUP(update_done) struct update u = { 0 };
	CLEANUP(job_done) struct job j = { .verb = "add" };
	int r = make_work(&j, n_wanted);

	if (r >= 0)
		r = prepare(n, &u);
	if (r < 0)
		return err_pass(r);
	for (size_t i = 0; i < 2 * n_wanted; i++) {
		const struct agent_route *at = &wanted[i % n_wanted];

		if ((at->gateway.family != 0) == (i >= n_wanted))
			consider(&j, &u, at);
	}
	return err_pass(run_job(n, &j, make_new, done_new));
}

int routes_remove(struct netlink *n, const struct agent_route *gone, size_t n_gone)
{
	CLEANUP(links_done) struct links links = { 0 };
	CLEANUP(job_done) struct job j = { .verb = "remove" };
	int r = make_work(&j, n_gone);

	if (r >= 0)
		r = links_list(n, &links);
	if (r < 0)
		return err_pass(r);
	for (size_t i = n_gone; i-- > 0;) {
		j.work[j.n].route = &gone[i];
		/* Of a link that is gone the kernel has none. */
		if (index_of(&links, &gone[i], &j.work[j.n].index) >= 0)
			j.n++;
	}
	return err_pass(run_job(n, &j, make_del, done_del));
}

int routes_remove_of_link(struct netlink *n, uint32_t index)
{
	CLEANUP(routes_done) struct routes l = { 0 };
	CLEANUP(job_done) struct job j = { .verb = "remove" };
	int r = routes_list(n, &l);

	if (r >= 0)
		r = make_work(&j, l.n);
	if (r < 0)
		return err_pass(r);
	for (size_t i = l.n; i-- > 0;) {
		if (l.items[i].protocol == ROUTES_PROTOCOL && l.items[i].index == index)
			j.work[j.n++] = (struct work){ .route = &l.items[i].said, .index = index };
	}
	return err_pass(run_job(n, &j, make_del, done_del));
}
