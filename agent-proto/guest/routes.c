/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UpdateRoutes and RemoveRoutes. See routes.h.
 *
 * NLM_F_REPLACE takes the first route with the same destination and metric, whose ever it is and of
 * whatever type (IPv6: with all that were appended to it). So the routes are listed before, once a
 * call, and what would hit another's is not sent. A removal needs no list where it says both link
 * and gateway: the kernel compares these and the protocol. Without a gateway it takes any.
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

/*
 * Of any type: a blackhole is in the way too. Local, broadcast and anycast ones are in a table of
 * their own, or have another metric.
 */
static bool is_listed(const struct rtmsg *rtm)
{
	return (rtm->rtm_family == AF_INET || rtm->rtm_family == AF_INET6) &&
	       !(rtm->rtm_flags & RTM_F_CLONED) && rtm->rtm_src_len == 0;
}

/*
 * IPv6 has one route of all that were appended to one, with the protocol, source and metrics of the
 * first of them. Source: net/ipv6/route.c, rt6_fill_node().
 */
static bool take_first_hop(const struct nlattr *multipath, struct routes_route *r)
{
	const struct rtnexthop *hop = nla_data(multipath);
	struct nlattr *tb[RTA_GATEWAY + 1] = { 0 };
	int size = nla_len(multipath);

	if (r->said.family != AF_INET6 || size < (int)sizeof(*hop) || !RTNH_OK(hop, size) ||
	    nla_parse(tb, RTA_GATEWAY, (struct nlattr *)(uintptr_t)(hop + 1),
		      hop->rtnh_len - (int)sizeof(*hop), NULL) < 0)
		return false;
	r->index = (uint32_t)hop->rtnh_ifindex;
	r->said.flags = hop->rtnh_flags & RTNH_F_ONLINK;
	return take_ip(tb[RTA_GATEWAY], AF_INET6, ip_bits(AF_INET6), &r->said.gateway);
}

static bool take_ips(struct nlattr **tb, const struct rtmsg *rtm, struct agent_route *ret)
{
	uint8_t bits = ip_bits(rtm->rtm_family);

	return take_ip(tb[RTA_DST], rtm->rtm_family, rtm->rtm_dst_len, &ret->dest) &&
	       take_ip(tb[RTA_GATEWAY], rtm->rtm_family, bits, &ret->gateway) &&
	       take_ip(tb[RTA_PREFSRC], rtm->rtm_family, bits, &ret->source);
}

static bool parse(const struct nlmsghdr *h, struct routes_route *ret)
{
	const struct rtmsg *rtm = nlmsg_data(h);
	struct nlattr *tb[RTA_MAX + 1] = { 0 };
	struct routes_route r = { .protocol = rtm->rtm_protocol, .tos = rtm->rtm_tos };

	if (!is_listed(rtm) ||
	    nlmsg_parse((struct nlmsghdr *)(uintptr_t)h, sizeof(*rtm), tb, RTA_MAX, NULL) < 0)
		return false;
	if (tb[RTA_TABLE] && nla_get_u32(tb[RTA_TABLE]) != RT_TABLE_MAIN)
		return false;
	if (!take_ips(tb, rtm, &r.said))
		return false;
	r.said.family = rtm->rtm_family;
	r.said.scope = rtm->rtm_scope;
	r.said.flags = rtm->rtm_flags & RTNH_F_ONLINK;
	r.said.mtu = take_mtu(tb[RTA_METRICS]);
	r.index = take_u32(tb[RTA_OIF]);
	r.priority = take_u32(tb[RTA_PRIORITY]);
	r.is_plain = rtm->rtm_type == RTN_UNICAST && tb[RTA_OIF] && !tb[RTA_MULTIPATH] &&
		     !tb[RTA_VIA] && rtm->rtm_tos == 0;
	r.is_shared = tb[RTA_MULTIPATH] && take_first_hop(tb[RTA_MULTIPATH], &r);
	*ret = r;
	return true;
}

static int add(struct routes *l, const struct routes_route *route)
{
	struct routes_route *items = l->items;
	size_t capacity = l->capacity ? 2 * l->capacity : 64;

	if (l->n == ROUTES_MAX)
		return err_raise(-EMSGSIZE, "list more than %u routes", ROUTES_MAX);
	if (l->n == l->capacity) {
		items = reallocarray(items, capacity, sizeof(*items));
		if (!items)
			return err_raise(-ENOMEM, "list routes");
		l->items = items;
		l->capacity = capacity;
	}
	items[l->n++] = *route;
	return 0;
}

/* What nobody asks for takes no memory and no part of ROUTES_MAX: others may have a million. */
struct listing {
	struct routes routes;
	uint8_t protocol; /* 0: any */
	bool (*is_kept)(const void *userdata, const struct routes_route *r);
	const void *userdata;
	size_t first; /* of the family that is being listed */
};

static void listing_done(struct listing *l)
{
	routes_done(&l->routes);
}

static int each_route(void *userdata, const struct nlmsghdr *h)
{
	struct listing *l = userdata;
	struct routes_route route;

	if (h->nlmsg_type != RTM_NEWROUTE || !nlmsg_valid_hdr(h, sizeof(struct rtmsg)) ||
	    !parse(h, &route))
		return 0;
	if (l->protocol != 0 && route.protocol != l->protocol)
		return 0;
	if (l->is_kept && !l->is_kept(l->userdata, &route))
		return 0;
	return err_pass(add(&l->routes, &route));
}

static void restart(void *userdata)
{
	struct listing *l = userdata;

	l->routes.n = l->first;
}

/* Kernels that check strictly (4.20) filter by table and protocol themselves. */
static int list_family(struct netlink *n, uint8_t family, struct listing *l)
{
	struct rtmsg rtm = {
		.rtm_family = family,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = l->protocol,
	};
	struct netlink_dump d = {
		.type = RTM_GETROUTE,
		.header = &rtm,
		.header_bytes = sizeof(rtm),
		.each = each_route,
		.restart = restart,
		.userdata = l,
	};

	l->first = l->routes.n;
	return err_pass(netlink_dump(n, &d));
}

/* @l is used up. */
static int list(struct netlink *n, struct listing *l, struct routes *ret)
{
	CLEANUP(listing_done) struct listing mine = *l;
	int r = list_family(n, AF_INET, &mine);

	if (r >= 0)
		r = list_family(n, AF_INET6, &mine);
	if (r < 0)
		return err_pass(r);
	*ret = mine.routes;
	mine.routes = (struct routes){ 0 };
	return 0;
}

int routes_list(struct netlink *n, struct routes *ret)
{
	return err_pass(list(n, &(struct listing){ 0 }, ret));
}

int routes_list_own(struct netlink *n, struct routes *ret)
{
	return err_pass(list(n, &(struct listing){ .protocol = ROUTES_PROTOCOL }, ret));
}

void routes_done(struct routes *r)
{
	free(r->items);
	*r = (struct routes){ 0 };
}

/* ---- what is asked for ---- */

struct work {
	const struct agent_route *route;
	struct agent_ip dest; /* as the kernel has it */
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

/* IPv4 refuses host bits, and says so. Source: base/ip.h, ip_is_network(). */
static struct agent_ip mask(const struct agent_route *r)
{
	struct agent_ip ip = r->dest;

	if (ip.family == AF_INET6)
		ip_mask(ip.bytes, ip.prefixlen);
	return ip;
}

static int make_room(struct job *j, size_t n)
{
	j->work = calloc(n ? n : 1, sizeof(*j->work));
	return j->work ? 0 : err_raise(-ENOMEM, "%s routes", j->verb);
}

static int compare_dests(uint8_t a_family, const struct agent_ip *a, uint8_t b_family,
			 const struct agent_ip *b)
{
	if (a_family != b_family)
		return a_family < b_family ? -1 : 1;
	if (a->prefixlen != b->prefixlen)
		return a->prefixlen < b->prefixlen ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static int compare_keys(const struct routes_route *a, const struct work *b)
{
	return compare_dests(a->said.family, &a->said.dest, b->route->family, &b->dest);
}

static int compare_routes(const void *a, const void *b)
{
	const struct routes_route *x = a, *y = b;

	return compare_dests(x->said.family, &x->said.dest, y->said.family, &y->said.dest);
}

static int compare_work_keys(const struct work *a, const struct work *b)
{
	return compare_dests(a->route->family, &a->dest, b->route->family, &b->dest);
}

static int compare_places(const struct work *a, const struct work *b)
{
	return a->route < b->route ? -1 : a->route > b->route;
}

/* Of one destination in the order of the request. */
static int compare_work(const void *a, const void *b)
{
	int r = compare_work_keys(a, b);

	return r ? r : compare_places(a, b);
}

/* What has no gateway makes the gateways of the others reachable. */
static int compare_turns(const void *a, const void *b)
{
	const struct work *x = a, *y = b;
	bool x_has = x->route->gateway.family != 0, y_has = y->route->gateway.family != 0;

	return x_has != y_has ? x_has - y_has : compare_places(x, y);
}

/* Sorted by destination. */
static int make_work(struct job *j, const struct agent_route *routes, size_t n)
{
	int r = make_room(j, n);

	if (r < 0)
		return err_pass(r);
	for (size_t i = 0; i < n; i++)
		j->work[i] = (struct work){ .route = &routes[i], .dest = mask(&routes[i]) };
	j->n = n;
	qsort(j->work, n, sizeof(*j->work), compare_work);
	return 0;
}

/* The last word about a destination is the one that counts. */
static void keep_last(struct job *j)
{
	size_t n = 0;

	for (size_t i = 0; i < j->n; i++)
		if (i + 1 == j->n || compare_work_keys(&j->work[i], &j->work[i + 1]) != 0)
			j->work[n++] = j->work[i];
	j->n = n;
}

static void take_turns(struct job *j)
{
	qsort(j->work, j->n, sizeof(*j->work), compare_turns);
}

static bool is_about(const struct job *j, const struct routes_route *r)
{
	size_t low = 0, high = j->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare_keys(r, &j->work[middle]);

		if (order == 0)
			return true;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return false;
}

/* ---- what is in the way ---- */

/* Another metric or IPv4's type of service makes it another route. */
static bool is_in_place(const void *userdata, const struct routes_route *r)
{
	uint32_t priority = r->said.family == AF_INET6 ? PRIORITY_IPV6 : 0;

	return r->priority == priority && r->tos == 0 && is_about(userdata, r);
}

static bool is_named(const void *userdata, const struct routes_route *r)
{
	return is_about(userdata, r);
}

/* Of those with this destination the first. */
static size_t first_with(const struct routes *l, const struct work *w)
{
	size_t low = 0, high = l->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_keys(&l->items[middle], w) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct routes *l, size_t i, const struct work *w)
{
	return i < l->n && compare_keys(&l->items[i], w) == 0;
}

static bool same_ip(const struct agent_ip *a, const struct agent_ip *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static bool is_ours(const struct routes_route *r)
{
	return r->protocol == ROUTES_PROTOCOL && (r->is_plain || r->is_shared);
}

/* Ours also with others' appended to it: it is there. Theirs only as a whole. */
static bool is_same(const struct routes_route *there, const struct work *w)
{
	const struct agent_route *r = w->route;

	return (there->is_plain || is_ours(there)) && (w->index == 0 || there->index == w->index) &&
	       same_ip(&there->said.gateway, &r->gateway) &&
	       same_ip(&there->said.source, &r->source) && there->said.mtu == r->mtu &&
	       there->said.flags == (r->flags & RTNH_F_ONLINK) &&
	       (r->family == AF_INET6 || there->said.scope == r->scope);
}

enum way { WAY_FREE, WAY_DONE, WAY_BLOCKED };

static enum way look(const struct routes *l, const struct work *w)
{
	enum way way = WAY_FREE;

	for (size_t i = first_with(l, w); is_at(l, i, w); i++) {
		const struct routes_route *at = &l->items[i];

		if (is_same(at, w))
			return WAY_DONE;
		if (at->protocol != ROUTES_PROTOCOL || at->is_shared)
			way = WAY_BLOCKED;
	}
	return way;
}

/*
 * Ours that a removal means. Of a link that nobody calls so the kernel has none, or it is called
 * otherwise by now: then it is the one with that destination and gateway, if there is but one.
 */
static const struct routes_route *find_ours(const struct routes *l, const struct work *w,
					    bool any_link)
{
	const struct routes_route *found = NULL;

	for (size_t i = first_with(l, w); is_at(l, i, w); i++) {
		const struct routes_route *at = &l->items[i];

		if (!is_ours(at) || !same_ip(&at->said.gateway, &w->route->gateway) ||
		    (!any_link && w->index != 0 && at->index != w->index))
			continue;
		if (found && any_link)
			return NULL;
		found = at;
	}
	return found;
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

static struct nl_msg *make_route(int type, int flags, const struct rtmsg *rtm, const struct work *w)
{
	CLEANUP(nlmsg_freep) struct nl_msg *m = netlink_message(type, flags, rtm, sizeof(*rtm));
	const struct agent_route *r = w->route;

	if (!m || !put_ip(m, RTA_DST, &w->dest) || !put_ip(m, RTA_GATEWAY, &r->gateway) ||
	    (w->index != 0 && nla_put_u32(m, RTA_OIF, w->index) < 0))
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

	return make_route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &rtm, &j->work[i]);
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
	return make_route(RTM_DELROUTE, 0, &rtm, &j->work[i]);
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

/* ---- the calls ---- */

struct there {
	struct links links;
	struct routes routes; /* sorted */
};

static void there_done(struct there *t)
{
	links_done(&t->links);
	routes_done(&t->routes);
}

static int list_there(struct netlink *n, struct listing *l, struct there *t)
{
	int r = list(n, l, &t->routes);

	if (r < 0)
		return err_pass(r);
	if (t->routes.n > 0)
		qsort(t->routes.items, t->routes.n, sizeof(*t->routes.items), compare_routes);
	return 0;
}

static bool is_to_add(struct job *j, const struct there *t, struct work *w)
{
	enum way way;

	if (index_of(&t->links, w->route, &w->index) < 0) {
		note(j, w->route, -ENODEV, "Link not found");
		return false;
	}
	way = look(&t->routes, w);
	if (way == WAY_BLOCKED)
		note(j, w->route, -EEXIST, "there is one that is not ours");
	return way == WAY_FREE;
}

int routes_update(struct netlink *n, const struct agent_route *wanted, size_t n_wanted)
{
	CLEANUP(there_done) struct there t = { 0 };
	CLEANUP(job_done) struct job j = { .verb = "add" };
	struct listing l = { .is_kept = is_in_place, .userdata = &j };
	int r = make_work(&j, wanted, n_wanted);
	size_t left = 0;

	if (r >= 0)
		r = links_list(n, &t.links);
	keep_last(&j);
	if (r >= 0)
		r = list_there(n, &l, &t);
	if (r < 0)
		return err_pass(r);
	take_turns(&j);
	for (size_t i = 0; i < j.n; i++)
		if (is_to_add(&j, &t, &j.work[i]))
			j.work[left++] = j.work[i];
	j.n = left;
	return err_pass(run_job(n, &j, make_new, done_new));
}

static bool is_said_whole(const struct there *t, struct work *w)
{
	return index_of(&t->links, w->route, &w->index) >= 0 && w->route->gateway.family != 0;
}

static bool is_to_remove(const struct there *t, struct work *w)
{
	const struct routes_route *at;

	if (is_said_whole(t, w))
		return true;
	at = find_ours(&t->routes, w, w->route->device[0] && w->index == 0);
	if (at)
		w->index = at->index;
	return at != NULL;
}

/* The routes only where they are needed. */
static int list_for_removal(struct netlink *n, const struct job *j, struct there *t)
{
	struct listing l = {
		.protocol = ROUTES_PROTOCOL,
		.is_kept = is_named,
		.userdata = j,
	};
	int r = links_list(n, &t->links);

	if (r < 0)
		return err_pass(r);
	for (size_t i = 0; i < j->n; i++)
		if (!is_said_whole(t, &j->work[i]))
			return err_pass(list_there(n, &l, t));
	return 0;
}

int routes_remove(struct netlink *n, const struct agent_route *gone, size_t n_gone)
{
	CLEANUP(there_done) struct there t = { 0 };
	CLEANUP(job_done) struct job j = { .verb = "remove" };
	int r = make_work(&j, gone, n_gone);
	size_t left = 0;

	if (r >= 0)
		r = list_for_removal(n, &j, &t);
	if (r < 0)
		return err_pass(r);
	for (size_t i = 0; i < j.n; i++)
		if (is_to_remove(&t, &j.work[i]))
			j.work[left++] = j.work[i];
	j.n = left;
	return err_pass(run_job(n, &j, make_del, done_del));
}

static bool is_of_link(const void *userdata, const struct routes_route *r)
{
	const uint32_t *index = userdata;

	return r->index == *index;
}

int routes_remove_of_link(struct netlink *n, uint32_t index)
{
	CLEANUP(routes_done) struct routes l = { 0 };
	CLEANUP(job_done) struct job j = { .verb = "remove" };
	struct listing only = {
		.protocol = ROUTES_PROTOCOL,
		.is_kept = is_of_link,
		.userdata = &index,
	};
	int r = list(n, &only, &l);

	if (r >= 0)
		r = make_room(&j, l.n);
	if (r < 0)
		return err_pass(r);
	for (size_t i = l.n; i-- > 0;)
		j.work[j.n++] = (struct work){
			.route = &l.items[i].said,
			.dest = l.items[i].said.dest,
			.index = index,
		};
	return err_pass(run_job(n, &j, make_del, done_del));
}
