/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking back what can't be taken back. See withdraw.h.
 */
#include "netmon/withdraw.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/ip.h"

static const char *const policy_names[] = {
	[WITHDRAW_BOUNCE] = "bounce",
	[WITHDRAW_REPORT] = "report",
};
_Static_assert(sizeof(policy_names) / sizeof(policy_names[0]) == _WITHDRAW_POLICY_MAX,
	       "one name a policy");

int withdraw_policy_from_string(const char *s, enum withdraw_policy *ret)
{
	for (enum withdraw_policy p = 0; p < _WITHDRAW_POLICY_MAX; p++) {
		if (strcmp(s, policy_names[p]) == 0) {
			*ret = p;
			return 0;
		}
	}
	return -EINVAL;
}

void withdraw_done(struct withdraw *w)
{
	free(w->bounce);
	*w = (struct withdraw){ 0 };
}

struct withdrawal {
	const struct withdraw_input *in;
	const struct snapshot *wanted; /* as the view made it: what covers is no shadow */
	struct view_notes *notes;
	struct withdraw result;
	struct table *routes;	 /* of wanted, with shadows; NULL: there is none */
	bool has_length[2][129]; /* by is_inet6: a wanted route has this prefix length */
};

static void withdrawal_done(struct withdrawal *w)
{
	table_unref(w->routes);
	withdraw_done(&w->result);
}

static bool is_wanted_link(const struct withdrawal *w, uint32_t ifindex)
{
	return table_find_link(snapshot_links(w->wanted), ifindex);
}

static int note(struct withdrawal *w, enum model_kind kind, const void *value, uint32_t ifindex)
{
	return err_pass(view_notes_add(w->notes, VIEW_GUEST_ONLY, kind, value, ifindex));
}

/* ---- what covers a destination ---- */

/* Is @dst in the network around @of? */
static bool is_inside(const uint8_t dst[16], const uint8_t of[16], uint8_t prefixlen)
{
	uint8_t a[16], b[16];

	memcpy(a, dst, sizeof(a));
	memcpy(b, of, sizeof(b));
	ip_mask(a, prefixlen);
	ip_mask(b, prefixlen);
	return memcmp(a, b, sizeof(a)) == 0;
}

static const struct route *find_route(const struct withdrawal *w, const struct route *r)
{
	struct route key = { .is_inet6 = r->is_inet6 };

	for (unsigned length = r->prefixlen; length-- > 0;) {
		const struct route *found;

		if (!w->has_length[r->is_inet6][length])
			continue;
		memcpy(key.dst, r->dst, sizeof(key.dst));
		key.prefixlen = (uint8_t)length;
		ip_mask(key.dst, key.prefixlen);
		found = table_find(snapshot_routes(w->wanted), &key);
		if (found)
			return found;
	}
	return NULL;
}

/* The narrowest network of an address that the guest has: it is on the link there. */
static const struct addr *find_network(const struct withdrawal *w, const struct route *r)
{
	const struct table *addrs = snapshot_addrs(w->wanted);
	const struct addr *best = NULL;

	for (size_t i = 0; i < addrs->n; i++) {
		const struct addr *a = &addrs->addrs[i];

		if (a->family == model_route_family(r) && a->prefixlen < r->prefixlen &&
		    (!best || a->prefixlen > best->prefixlen) &&
		    is_inside(r->dst, a->bytes, a->prefixlen))
			best = a;
	}
	return best;
}

/* Return: whether something covers @r: *ret leads there as it would lead without @r. */
static bool make_shadow(const struct withdrawal *w, const struct route *r, struct route *ret)
{
	const struct route *route = find_route(w, r);
	const struct addr *network = find_network(w, r);

	if (!route && !network)
		return false;
	if (route && (!network || route->prefixlen >= network->prefixlen))
		*ret = *route;
	else
		*ret = (struct route){ .ifindex = network->ifindex, .scope = RT_SCOPE_LINK };
	ret->is_inet6 = r->is_inet6;
	ret->prefixlen = r->prefixlen;
	ret->flags &= (uint8_t)(~MODEL_ROUTE_LEARNT & 0x1f);
	memcpy(ret->dst, r->dst, sizeof(ret->dst));
	return true;
}

/* ---- routes ---- */

static int add_shadow(struct withdrawal *w, const struct route *shadow)
{
	int r = 0;

	if (!w->routes)
		r = table_copy(snapshot_routes(w->wanted), &w->routes);
	if (r >= 0)
		r = table_add(w->routes, shadow);
	return r < 0 ? err_pass(r) : 0;
}

static int add_bounce(struct withdrawal *w, uint32_t ifindex)
{
	struct withdraw *to = &w->result;

	for (size_t i = 0; i < to->n_bounce; i++)
		if (to->bounce[i] == ifindex)
			return 0;
	if (!to->bounce)
		to->bounce = calloc(snapshot_links(w->wanted)->n, sizeof(*to->bounce));
	if (!to->bounce)
		return err_raise(-ENOMEM, "withdraw routes");
	to->bounce[to->n_bounce++] = ifindex;
	return 0;
}

/* A bounce flushes, and what is not to go has to be told again: both have to be possible. */
static bool may_bounce(const struct withdrawal *w, const struct route *r)
{
	const struct sink_caps *caps = w->in->caps;

	return w->in->policy == WITHDRAW_BOUNCE && caps->update_flushes &&
	       !(caps->denied & (1U << MODEL_LINK | 1U << MODEL_ROUTE)) &&
	       is_wanted_link(w, r->ifindex);
}

static int withdraw_route(struct withdrawal *w, const struct route *r)
{
	const struct route *instead;
	struct route shadow;

	if (make_shadow(w, r, &shadow))
		return err_pass(add_shadow(w, &shadow));
	if (may_bounce(w, r))
		return err_pass(add_bounce(w, r->ifindex));
	/* It may be that another one is there, on a link that can be. */
	instead = w->in->instead ? table_find(w->in->instead, r) : NULL;
	if (instead && may_bounce(w, instead))
		return err_pass(add_bounce(w, instead->ifindex));
	return err_pass(note(w, MODEL_ROUTE, r, r->ifindex));
}

static void collect_lengths(struct withdrawal *w)
{
	const struct table *routes = snapshot_routes(w->wanted);

	for (size_t i = 0; i < routes->n; i++)
		w->has_length[routes->routes[i].is_inet6][routes->routes[i].prefixlen] = true;
}

static int withdraw_routes(struct withdrawal *w)
{
	const struct table *acked = snapshot_routes(w->in->acked);
	int r = 0;

	collect_lengths(w);
	for (size_t i = 0; r >= 0 && i < acked->n; i++)
		if (!table_find(snapshot_routes(w->wanted), &acked->routes[i]))
			r = withdraw_route(w, &acked->routes[i]);
	return err_pass(r);
}

/* ---- what stays ---- */

static int note_links(struct withdrawal *w)
{
	const struct table *acked = snapshot_links(w->in->acked);
	int r = 0;

	for (size_t i = 0; r >= 0 && i < acked->n; i++)
		if (!is_wanted_link(w, acked->links[i].ifindex))
			r = note(w, MODEL_LINK, &acked->links[i], acked->links[i].ifindex);
	return err_pass(r);
}

static int note_addrs4(struct withdrawal *w)
{
	const struct table *acked = snapshot_addrs(w->in->acked);
	int r = 0;

	for (size_t i = 0; r >= 0 && i < acked->n; i++) {
		const struct addr *a = &acked->addrs[i];

		if (a->family == AF_INET && is_wanted_link(w, a->ifindex) &&
		    !table_find(snapshot_addrs(w->wanted), a))
			r = note(w, MODEL_ADDR, a, a->ifindex);
	}
	return err_pass(r);
}

static int note_neighs(struct withdrawal *w)
{
	const struct table *acked = snapshot_neighs(w->in->acked);
	int r = 0;

	for (size_t i = 0; r >= 0 && i < acked->n; i++) {
		const struct neigh *n = &acked->neighs[i];

		if (is_wanted_link(w, n->ifindex) && !table_find(snapshot_neighs(w->wanted), n))
			r = note(w, MODEL_NEIGH, n, n->ifindex);
	}
	return err_pass(r);
}

static int withdraw_all(struct withdrawal *w)
{
	const struct sink_caps *caps = w->in->caps;
	int r = 0;

	if (caps->keeps_links)
		r = note_links(w);
	if (r >= 0 && caps->keeps_addrs4)
		r = note_addrs4(w);
	if (r >= 0 && caps->keeps_neighs)
		r = note_neighs(w);
	if (r >= 0 && caps->keeps_routes)
		r = withdraw_routes(w);
	return err_pass(r);
}

int withdraw_plan(const struct withdraw_input *in, struct snapshot *wanted,
		  struct view_notes *notes, struct withdraw *ret)
{
	CLEANUP(withdrawal_done)
	struct withdrawal w = {
		.in = in,
		.wanted = wanted,
		.notes = notes,
	};
	int r = withdraw_all(&w);

	if (r < 0)
		return err_pass(r);
	if (w.routes) {
		table_seal(w.routes);
		snapshot_replace(wanted, TAKE_PTR(w.routes));
	}
	*ret = w.result;
	w.result = (struct withdraw){ 0 };
	return 0;
}
