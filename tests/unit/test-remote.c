/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reconcile.c against guests that come and go: agents that take whole lists, agents that only add,
 * and ours; on random schedules with a printed seed.
 *
 * The guest here is as dull as they are: it forwards by what it was told, loses the routes of a link
 * that is updated (Kata's), keeps what nobody can take back, and knows links by their MAC alone.
 * Its connection breaks in the middle of an op, which then was carried out or not; it is restarted
 * with nothing; NICs are plugged late; calls fail as a whole or for one of many.
 *
 * Whatever happens: when it falls quiet, a packet to any destination goes in the guest where it goes
 * in the pod, addresses and neighbours are there, and what is there beyond that is reported.
 */
#include "netmon/reconcile.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "tests/unit/pod.h"
#include "tests/unit/random-net.h"

#define ROUNDS	     300
#define CHANGES	     25
#define STEPS_MAX    20000
#define N_LINKS	     3
#define FIRST_LINK   11U
#define GUEST_OFFSET 1000U /* its own numbers */
#define MSEC	     UINT64_C(1000)
#define SEC	     UINT64_C(1000000)

static const struct sink_caps caps_of[] = {
	/* Kata 2.0 to 3.14 */
	{ .updates_links = true,
	  .neighbours = true,
	  .route_mtu = true,
	  .route_family = true,
	  .routes_whole = true,
	  .keeps_links = true,
	  .keeps_neighs = true,
	  .update_flushes = true },
	/* Kata from 3.15 */
	{ .updates_links = true,
	  .neighbours = true,
	  .route_mtu = true,
	  .route_family = true,
	  .keeps_links = true,
	  .keeps_addrs4 = true,
	  .keeps_routes = true,
	  .keeps_neighs = true,
	  .update_flushes = true,
	  .batch_max = 4 },
	/* ours */
	{ .updates_links = true,
	  .neighbours = true,
	  .route_mtu = true,
	  .route_family = true,
	  .batch_max = 4 },
};
enum generation { DECLARATIVE, ADDITIVE, OURS, N_GENERATIONS };

static struct random_net dice;

/* A round is alone in it. */
static struct {
	enum generation generation;
	struct sink sink;
	struct sink_caps caps;
	struct sink_ops ops;
	struct reconcile r;
	struct pod pod, guest; /* the guest's links have GUEST_OFFSET on their numbers */
	struct snapshot seen;
	uint64_t truth, now_usec, done_at_usec;
	bool is_connected, in_flight, is_quiet;
	bool list_is_denied;
	struct sink_outcome refuse; /* what becomes of refuse_dst; result 0: it is no trouble */
	uint8_t refuse_dst;	    /* its second byte */
	uint8_t blame_dst;	    /* of one for which a set is refused; 0: none */
	bool routes_unsettled;
	struct sink_call call;
	unsigned births, updates, begins, routes_told, drifts, resyncs;
} h;

static bool chance(unsigned percent)
{
	return !h.is_quiet && random_net_chance(&dice, percent);
}

static struct link *find_in_pod(uint32_t ifindex)
{
	for (size_t i = 0; i < h.pod.n_links; i++)
		if (h.pod.links[i].ifindex == ifindex)
			return &h.pod.links[i];
	return NULL;
}

/* ---- the guest ---- */

static struct link *find_nic(const struct link *l)
{
	for (size_t i = 0; i < h.guest.n_links; i++)
		if (memcmp(h.guest.links[i].mac, l->mac, sizeof(l->mac)) == 0)
			return &h.guest.links[i];
	return NULL;
}

static void flush_routes(uint32_t ifindex)
{
	for (size_t i = 0; i < h.guest.n_routes; i++)
		if (h.guest.routes[i].ifindex == ifindex)
			h.guest.routes[i--] = h.guest.routes[--h.guest.n_routes];
}

static void drop_addrs(uint32_t ifindex, bool keep4)
{
	for (size_t i = 0; i < h.guest.n_addrs; i++)
		if (h.guest.addrs[i].ifindex == ifindex &&
		    !(keep4 && h.guest.addrs[i].family == AF_INET))
			h.guest.addrs[i--] = h.guest.addrs[--h.guest.n_addrs];
}

static void put_addr(struct addr a, uint32_t ifindex)
{
	a.ifindex = ifindex;
	for (size_t i = 0; i < h.guest.n_addrs; i++)
		if (model_compare(MODEL_ADDR, &h.guest.addrs[i], &a) == 0)
			return;
	assert_true(h.guest.n_addrs < POD_MAX);
	h.guest.addrs[h.guest.n_addrs++] = a;
}

static bool update_interface(const struct plan *p, const struct link *l)
{
	struct link *nic = find_nic(l);
	const struct table *addrs = snapshot_addrs(&p->to);
	size_t n, first = table_range_of_link(addrs, l->ifindex, &n);

	if (!nic)
		return false;
	h.updates++;
	memcpy(nic->name, l->name, sizeof(nic->name));
	nic->mtu = l->mtu;
	drop_addrs(nic->ifindex, h.generation == ADDITIVE);
	if (h.caps.update_flushes)
		flush_routes(nic->ifindex);
	for (size_t i = first; i < first + n; i++)
		put_addr(addrs->addrs[i], nic->ifindex);
	return true;
}

static void remove_interface(const struct link *l)
{
	struct link *nic = find_nic(l);

	assert_int_equal(h.generation, OURS);
	if (!nic)
		return;
	drop_addrs(nic->ifindex, false);
	flush_routes(nic->ifindex);
	for (size_t i = 0; i < h.guest.n_neighs; i++)
		if (h.guest.neighs[i].ifindex == nic->ifindex)
			h.guest.neighs[i--] = h.guest.neighs[--h.guest.n_neighs];
}

/* The guest's number of a link of the plan; 0: it has no such NIC */
static uint32_t number_of(const struct snapshot *s, uint32_t ifindex)
{
	const struct link *l = table_find_link(snapshot_links(s), ifindex);
	const struct link *nic = l ? find_nic(l) : NULL;

	return nic ? nic->ifindex : 0;
}

static size_t find_route(const struct route *r)
{
	size_t i = 0;

	while (i < h.guest.n_routes && model_compare_key(MODEL_ROUTE, &h.guest.routes[i], r) != 0)
		i++;
	return i;
}

static bool put_route(const struct plan *p, const struct route *r)
{
	size_t i = find_route(r);
	uint32_t number = number_of(&p->to, r->ifindex);

	if (!number)
		return false;
	assert_true(i < POD_MAX);
	h.guest.routes[i] = *r;
	h.guest.routes[i].ifindex = number;
	h.guest.n_routes += i == h.guest.n_routes;
	return true;
}

static void remove_route(const struct route *r)
{
	size_t i = find_route(r);

	assert_int_equal(h.generation, OURS);
	if (i < h.guest.n_routes)
		h.guest.routes[i] = h.guest.routes[--h.guest.n_routes];
}

static bool set_routes(const struct plan *p)
{
	const struct table *routes = snapshot_routes(&p->to);

	assert_int_equal(h.generation, DECLARATIVE);
	h.guest.n_routes = 0;
	for (size_t i = 0; i < routes->n; i++)
		if (!put_route(p, &routes->routes[i]))
			return false;
	return true;
}

static bool put_neigh(const struct plan *p, const struct neigh *n)
{
	uint32_t number = number_of(&p->to, n->ifindex);
	size_t i = 0;

	if (!number)
		return false;
	while (i < h.guest.n_neighs && (h.guest.neighs[i].ifindex != number ||
					memcmp(h.guest.neighs[i].bytes, n->bytes, 16) != 0))
		i++;
	h.guest.neighs[i] = *n;
	h.guest.neighs[i].ifindex = number;
	h.guest.n_neighs += i == h.guest.n_neighs;
	return true;
}

static void remove_neigh(const struct plan *p, const struct neigh *n)
{
	uint32_t number = number_of(&p->from, n->ifindex);

	assert_int_equal(h.generation, OURS);
	for (size_t i = 0; i < h.guest.n_neighs; i++)
		if (h.guest.neighs[i].ifindex == number &&
		    memcmp(h.guest.neighs[i].bytes, n->bytes, 16) == 0)
			h.guest.neighs[i--] = h.guest.neighs[--h.guest.n_neighs];
}

/* Return: false: it can't. */
static bool carry_out(const struct plan *p, const struct op *op)
{
	switch (op->verb) {
	case PLAN_LINK_ADD:
	case PLAN_LINK_UPDATE:
		return update_interface(p, plan_link_to(p, op));
	case PLAN_LINK_DEL:
		remove_interface(plan_link_from(p, op));
		return true;
	case PLAN_ROUTES_SET:
		return set_routes(p);
	case PLAN_ROUTE_ADD:
	case PLAN_ROUTE_REPLACE:
		return put_route(p, plan_route_to(p, op));
	case PLAN_ROUTE_DEL:
		remove_route(plan_route_from(p, op));
		return true;
	case PLAN_NEIGH_ADD:
		return put_neigh(p, plan_neigh_to(p, op));
	case PLAN_NEIGH_DEL:
		remove_neigh(p, plan_neigh_from(p, op));
		return true;
	case _PLAN_VERB_MAX:
		break;
	}
	return false;
}

/* ---- the sink ---- */

static int sink_begin(struct sink *sink, const struct sink_call *call)
{
	(void)sink;
	assert_false(h.in_flight);
	assert_true(h.is_connected);
	assert_true(call->n == 1 || call->n <= h.caps.batch_max);
	if (chance(3))
		return err_raise(-EMFILE, "begin");
	h.call = *call;
	h.begins++;
	h.routes_told += call->op->verb == PLAN_ROUTE_ADD ? (unsigned)call->n : 0;
	h.in_flight = true;
	h.done_at_usec = h.now_usec + random_net_below(&dice, 3) * MSEC;
	return 0;
}

static int sink_guest(struct sink *sink, struct sink_guest *ret)
{
	struct pod p = h.guest;

	(void)sink;
	if (h.list_is_denied) {
		pod_snapshot(&(struct pod){ 0 }, &ret->net);
		return 0;
	}
	ret->is_known = true;
	ret->is_exact = h.generation == OURS;
	if (!ret->is_exact)
		p.n_routes = p.n_neighs = 0;
	pod_snapshot(&p, &ret->net);
	return 0;
}

static void end(struct sink_outcome outcome)
{
	outcome.reason = outcome.result == SINK_DONE ? "" : "trouble";
	h.in_flight = false;
	h.sink.done(h.sink.userdata, &outcome);
}

static bool is_refused(const struct op *op)
{
	const struct route *r = plan_route_to(h.call.plan, op);

	return h.refuse.result != SINK_DONE && r && r->dst[1] == h.refuse_dst;
}

/* As Kata does it: what was there is gone, and what comes before the bad one is there. */
static const struct route *find_blamed(void)
{
	const struct table *routes = snapshot_routes(&h.call.plan->to);

	for (size_t i = 0; h.blame_dst && h.call.op->verb == PLAN_ROUTES_SET && i < routes->n; i++)
		if (routes->routes[i].dst[1] == h.blame_dst)
			return &routes->routes[i];
	return NULL;
}

static void end_op(void)
{
	size_t n_done = 0;

	if (find_blamed()) {
		h.guest.n_routes = 0;
		end((struct sink_outcome){ .result = SINK_REFUSED, .blamed = find_blamed() });
		return;
	}

	if (chance(10)) { /* no answer: how far it came nobody knows */
		for (size_t i = 0; i < h.call.n && chance(50); i++)
			(void)carry_out(h.call.plan, &h.call.op[i]);
		end((struct sink_outcome){
			.result = SINK_RETRY, .is_unknown = true, .is_of_all = true });
		return;
	}
	while (n_done < h.call.n && !chance(10) && !is_refused(&h.call.op[n_done]) &&
	       carry_out(h.call.plan, &h.call.op[n_done]))
		n_done++;
	/* Some go on behind the one that fails. */
	for (size_t i = n_done + 1; i < h.call.n; i++)
		if (chance(50))
			(void)carry_out(h.call.plan, &h.call.op[i]);
	if (n_done < h.call.n && is_refused(&h.call.op[n_done])) {
		struct sink_outcome outcome = h.refuse;

		outcome.n_done = n_done;
		end(outcome);
		return;
	}
	end((struct sink_outcome){ .result = n_done == h.call.n ? SINK_DONE : SINK_RETRY,
				   .n_done = n_done });
}

static void disconnect(void)
{
	if (h.in_flight) {
		for (size_t i = 0; i < h.call.n && chance(50); i++)
			(void)carry_out(h.call.plan, &h.call.op[i]);
		end((struct sink_outcome){
			.result = SINK_RETRY, .is_unknown = true, .is_of_all = true });
	}
	h.is_connected = false;
	h.sink.news(h.sink.userdata, SINK_LOST);
	if (chance(30)) /* the guest's network is begun anew */
		h.guest.n_addrs = h.guest.n_routes = h.guest.n_neighs = 0;
}

static void connect_again(void)
{
	h.is_connected = true;
	h.sink.news(h.sink.userdata, SINK_READY);
}

/* ---- the pod ---- */

static uint32_t some_link(void)
{
	return h.pod.n_links ? h.pod.links[random_net_below(&dice, (uint32_t)h.pod.n_links)].ifindex
			     : 0;
}

static bool has_addr(uint32_t ifindex, const char *cidr)
{
	uint8_t bytes[16], prefixlen;

	(void)pod_parse(cidr, bytes, &prefixlen);
	for (size_t i = 0; i < h.pod.n_addrs; i++)
		if (h.pod.addrs[i].ifindex == ifindex &&
		    memcmp(h.pod.addrs[i].bytes, bytes, 16) == 0)
			return true;
	return false;
}

static void change_link(void)
{
	uint32_t ifindex = FIRST_LINK + random_net_below(&dice, N_LINKS);
	struct link *l = find_in_pod(ifindex);
	char name[MODEL_NAME_BYTES];

	if (l && chance(50)) {
		l->mtu = l->mtu == 1500 ? 1400 : 1500;
	} else if (l) {
		pod_drop_link(&h.pod, ifindex);
	} else {
		(void)snprintf(name, sizeof(name), "eth%u", ifindex);
		pod_link(&h.pod, ifindex, name)->incarnation = ++h.births;
	}
}

static void change_addr(void)
{
	static const char *const suffixes[] = { "2/24", "3/24", "66/26" };
	uint32_t ifindex = some_link();
	char cidr[64];

	if (!ifindex)
		return;
	if (chance(60))
		(void)snprintf(cidr, sizeof(cidr), "10.%u.0.%s", ifindex,
			       suffixes[random_net_below(&dice, 3)]);
	else
		(void)snprintf(cidr, sizeof(cidr), "2001:db8:%u::%u/64", ifindex,
			       2 + random_net_below(&dice, 2));
	if (has_addr(ifindex, cidr))
		pod_drop_addr(&h.pod, ifindex, cidr);
	else
		pod_addr(&h.pod, ifindex, cidr);
}

static void change_route(void)
{
	static const char *const dests[] = { "0.0.0.0/0",   "10.0.0.0/8", "10.1.0.0/16",
					     "10.1.2.0/24", "::/0",	  "2001:db8:99::/48" };
	const char *dst = dests[random_net_below(&dice, 6)];
	uint32_t ifindex = some_link();
	char via[64];

	pod_drop_route(&h.pod, dst);
	if (!ifindex || chance(40))
		return;
	(void)snprintf(via, sizeof(via), strchr(dst, ':') ? "2001:db8:%u::%u" : "10.%u.0.%u",
		       ifindex, 1 + random_net_below(&dice, 2));
	pod_route(&h.pod, ifindex, dst, chance(20) ? NULL : via);
}

static void change_neigh(void)
{
	uint32_t ifindex = some_link();
	char ip[32];

	if (!ifindex)
		return;
	(void)snprintf(ip, sizeof(ip), "10.%u.0.1", ifindex);
	pod_drop_neigh(&h.pod, ip);
	if (chance(70))
		pod_neigh(&h.pod, ifindex, ip, (uint8_t)(1 + random_net_below(&dice, 2)));
}

/* Somebody plugs what the pod has, sooner or later; what it has not any more stays. */
static void plug(void)
{
	for (size_t i = 0; i < h.pod.n_links; i++) {
		const struct link *l = &h.pod.links[i];

		if (find_nic(l) || chance(50))
			continue;
		pod_link(&h.guest, l->ifindex + GUEST_OFFSET, "ens");
		memcpy(h.guest.links[h.guest.n_links - 1].mac, l->mac, sizeof(l->mac));
	}
}

static void look(void)
{
	snapshot_done(&h.seen);
	pod_snapshot(&h.pod, &h.seen);
	h.truth++;
}

static void change(void)
{
	void (*const what[])(void) = { change_link,  change_addr,  change_addr,
				       change_route, change_route, change_neigh };

	for (uint32_t n = random_net_below(&dice, 4); n > 0; n--)
		what[random_net_below(&dice, sizeof(what) / sizeof(what[0]))]();
	if (chance(40))
		plug();
	look();
}

/* ---- the loop ---- */

static void step(void)
{
	struct reconcile_truth t = { &h.seen, h.truth, !h.routes_unsettled };

	if (h.in_flight && h.now_usec >= h.done_at_usec)
		end_op();
	assert_int_equal(reconcile_step(&h.r, &t, h.now_usec), 0);
}

static void run_for(uint64_t usec)
{
	for (uint64_t until = h.now_usec + usec; h.now_usec < until; h.now_usec += MSEC)
		step();
}

static void run_until_quiet(void)
{
	for (unsigned i = 0; i < STEPS_MAX; i++) {
		uint64_t deadline;

		step();
		deadline = h.in_flight ? h.done_at_usec : reconcile_deadline(&h.r);
		if (deadline == CLOCK_NEVER)
			return;
		if (deadline > h.now_usec)
			h.now_usec = deadline;
	}
	fail_msg("never quiet");
}

/* ---- what is true at the end ---- */

static bool is_inside(const uint8_t dst[16], const uint8_t of[16], unsigned prefixlen)
{
	for (unsigned bit = 0; bit < prefixlen; bit++)
		if ((dst[bit / 8] ^ of[bit / 8]) >> (7 - bit % 8) & 1)
			return false;
	return true;
}

struct hop {
	uint32_t ifindex; /* of the pod; 0: unreachable */
	uint8_t gateway[16];
};

/* Where @net forwards @dst to: its routes, and the networks of its addresses. */
static struct hop forward(const struct pod *net, bool is_inet6, const uint8_t dst[16],
			  uint32_t offset)
{
	struct hop hop = { 0 };
	int best = -1;

	for (size_t i = 0; i < net->n_addrs; i++) {
		const struct addr *a = &net->addrs[i];

		if ((a->family == AF_INET6) != is_inet6 || a->prefixlen <= best ||
		    !is_inside(dst, a->bytes, a->prefixlen))
			continue;
		hop = (struct hop){ .ifindex = a->ifindex - offset };
		best = a->prefixlen;
	}
	for (size_t i = 0; i < net->n_routes; i++) {
		const struct route *r = &net->routes[i];

		if (r->is_inet6 != is_inet6 || r->prefixlen < best ||
		    !is_inside(dst, r->dst, r->prefixlen))
			continue;
		hop = (struct hop){ .ifindex = r->ifindex - offset };
		memcpy(hop.gateway, r->gateway, sizeof(hop.gateway));
		best = r->prefixlen;
	}
	return hop;
}

static void drop_guest_only(struct pod *guest)
{
	/* A NIC that the pod has not: what is by it is reported, and no packet of the pod's. */
	for (size_t i = 0; i < guest->n_links; i++)
		if (!find_in_pod(guest->links[i].ifindex - GUEST_OFFSET))
			pod_drop_link(guest, guest->links[i--].ifindex);
}

static void assert_forwards_alike(void)
{
	static const char *const probes[] = { "8.8.8.8",       "10.200.0.9", "10.1.9.9",
					      "10.1.2.9",      "10.11.0.9",  "10.11.0.70",
					      "10.12.0.70",    "10.13.0.70", "2001:db8:99::9",
					      "2001:db8:11::9" };
	struct pod guest = h.guest;

	drop_guest_only(&guest);
	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++) {
		uint8_t dst[16], prefixlen;
		bool is_inet6 = pod_parse(probes[i], dst, &prefixlen) == AF_INET6;
		struct hop wanted, got;

		/* An address that can't be taken back makes its network reachable: reported. */
		if (h.generation == ADDITIVE && strncmp(probes[i], "10.1", 4) == 0 &&
		    strlen(probes[i]) > 8)
			continue;
		wanted = forward(&h.pod, is_inet6, dst, 0);
		got = forward(&guest, is_inet6, dst, GUEST_OFFSET);
		if (memcmp(&wanted, &got, sizeof(got)) != 0)
			fail_msg("%s goes by link %u instead of %u", probes[i], got.ifindex,
				 wanted.ifindex);
	}
}

static bool guest_has_addr(const struct addr *a)
{
	for (size_t i = 0; i < h.guest.n_addrs; i++)
		if (h.guest.addrs[i].ifindex == a->ifindex + GUEST_OFFSET &&
		    h.guest.addrs[i].prefixlen == a->prefixlen &&
		    memcmp(h.guest.addrs[i].bytes, a->bytes, 16) == 0)
			return true;
	return false;
}

static void assert_addresses(void)
{
	struct pod guest = h.guest;

	for (size_t i = 0; i < h.pod.n_addrs; i++)
		assert_true(guest_has_addr(&h.pod.addrs[i]));
	drop_guest_only(&guest);
	for (size_t i = 0; i < guest.n_addrs; i++)
		if (!(h.caps.keeps_addrs4 && guest.addrs[i].family == AF_INET)) {
			bool wanted = false;

			for (size_t k = 0; k < h.pod.n_addrs && !wanted; k++)
				wanted =
					h.pod.addrs[k].ifindex + GUEST_OFFSET ==
						guest.addrs[i].ifindex &&
					memcmp(h.pod.addrs[k].bytes, guest.addrs[i].bytes, 16) == 0;
			assert_true(wanted);
		}
}

static void assert_links(void)
{
	for (size_t i = 0; i < h.pod.n_links; i++) {
		const struct link *nic = find_nic(&h.pod.links[i]);

		assert_non_null(nic);
		assert_int_equal(nic->mtu, h.pod.links[i].mtu);
		assert_string_equal(nic->name, h.pod.links[i].name);
	}
}

static void assert_neighs(void)
{
	size_t found = 0;

	for (size_t i = 0; i < h.pod.n_neighs; i++)
		for (size_t k = 0; k < h.guest.n_neighs; k++)
			found += h.guest.neighs[k].ifindex ==
					 h.pod.neighs[i].ifindex + GUEST_OFFSET &&
				 memcmp(h.guest.neighs[k].bytes, h.pod.neighs[i].bytes, 16) == 0 &&
				 memcmp(h.guest.neighs[k].mac, h.pod.neighs[i].mac, 6) == 0;
	assert_int_equal(found, h.pod.n_neighs);
	if (h.generation == OURS)
		assert_int_equal(h.guest.n_neighs, h.pod.n_neighs);
}

/* Everything that the guest keeps is in acked, and so in the drift. */
static void assert_reported(void)
{
	size_t kept = 0;

	for (size_t i = 0; i < snapshot_links(&h.r.acked)->n; i++)
		kept += !find_in_pod(snapshot_links(&h.r.acked)->links[i].ifindex);
	assert_true(reconcile_drift(&h.r) >= kept);
	if (h.generation == OURS)
		assert_int_equal(reconcile_drift(&h.r), 0);
}

static void on_audit(void *userdata, const struct audit_record *record)
{
	(void)userdata;
	h.drifts += record->kind == AUDIT_DRIFT;
	h.resyncs += record->kind == AUDIT_RESYNC;
}

static void start(enum generation generation)
{
	struct reconcile_config config = {
		.audit = on_audit,
		.view = { .kinds = VIEW_KINDS_DEFAULT },
		.sink = &h.sink,
		.seed = 1,
	};
	struct reconcile_truth t;

	memset(&h, 0, sizeof(h));
	h.generation = generation;
	h.caps = caps_of[generation];
	h.now_usec = 1000 * SEC;
	h.ops = (struct sink_ops){ .name = "remote", .begin = sink_begin, .guest = sink_guest };
	h.sink.ops = &h.ops;
	h.sink.caps = &h.caps;
	assert_int_equal(reconcile_init(&h.r, &config), 0);
	look();
	t = (struct reconcile_truth){ &h.seen, h.truth, true };
	assert_int_equal(reconcile_start(&h.r, &(struct reconcile_past){ 0 }, &t), 0);
}

static void one_round(enum generation generation)
{
	start(generation);
	for (unsigned i = 0; i < CHANGES; i++) {
		change();
		if (h.is_connected && chance(10))
			disconnect();
		else if (!h.is_connected && chance(60))
			connect_again();
		h.routes_unsettled = chance(20);
		h.list_is_denied = chance(10);
		run_for(random_net_below(&dice, 200) * MSEC);
	}
	h.is_quiet = true;
	h.routes_unsettled = h.list_is_denied = false;
	plug();
	if (!h.is_connected)
		connect_again();
	run_until_quiet();
	assert_links();
	assert_addresses();
	assert_neighs();
	assert_forwards_alike();
	assert_reported();
	assert_true(reconcile_is_idle(&h.r));
	h.updates = 0;
	/* What is as it should be is not touched by a connection that comes back. */
	disconnect();
	connect_again();
	run_until_quiet();
	assert_int_equal(h.updates, 0);
	reconcile_done(&h.r);
	snapshot_done(&h.seen);
}

static void rounds(enum generation generation)
{
	for (unsigned i = 0; i < ROUNDS; i++)
		one_round(generation);
}

static void test_a_guest_that_takes_whole_lists_is_equal_when_it_falls_quiet(void **state)
{
	(void)state;
	rounds(DECLARATIVE);
}

static void test_a_guest_that_only_adds_forwards_alike_when_it_falls_quiet(void **state)
{
	(void)state;
	rounds(ADDITIVE);
}

static void test_a_guest_of_ours_is_equal_when_it_falls_quiet(void **state)
{
	(void)state;
	rounds(OURS);
}

/* ---- by hand ---- */

/* A guest with one NIC, told and quiet. */
static void start_quiet(enum generation generation)
{
	start(generation);
	h.is_quiet = true;
	pod_link(&h.pod, FIRST_LINK, "eth0");
	pod_addr(&h.pod, FIRST_LINK, "10.11.0.2/24");
	plug();
	look();
	connect_again();
	run_until_quiet();
}

static int teardown(void **state)
{
	(void)state;
	reconcile_done(&h.r);
	snapshot_done(&h.seen);
	return 0;
}

static void add_routes(unsigned n)
{
	char dst[32];

	for (unsigned i = 1; i <= n; i++) {
		(void)snprintf(dst, sizeof(dst), "10.%u.0.0/16", 100 + i);
		pod_route(&h.pod, FIRST_LINK, dst, "10.11.0.1");
	}
	look();
}

static void test_nothing_is_begun_before_the_guest_is_there(void **state)
{
	(void)state;
	start(OURS);
	h.is_quiet = true;
	pod_link(&h.pod, FIRST_LINK, "eth0");
	plug();
	look();
	run_for(500 * MSEC);
	assert_int_equal(h.begins, 0);
	assert_true(reconcile_deadline(&h.r) == CLOCK_NEVER);
	assert_false(reconcile_is_idle(&h.r));
	connect_again();
	run_until_quiet();
	assert_int_equal(h.begins, 1);
	assert_int_equal(h.resyncs, 1);
}

static void test_routes_go_together_as_many_as_the_guest_takes(void **state)
{
	(void)state;
	start_quiet(OURS);
	h.begins = 0;
	add_routes(10);
	run_until_quiet();
	assert_int_equal(h.begins, 3); /* 4, 4, 2 */
	assert_int_equal(h.guest.n_routes, 10);
}

static void test_one_of_many_that_fails_costs_itself_alone(void **state)
{
	(void)state;
	start_quiet(ADDITIVE);
	h.refuse = (struct sink_outcome){ .result = SINK_RETRY };
	h.refuse_dst = 102;
	add_routes(8);
	run_for(90 * MSEC); /* less than a first backoff */
	assert_int_equal(h.guest.n_routes, 7);
	h.refuse.result = SINK_DONE;
	run_until_quiet();
	assert_int_equal(h.guest.n_routes, 8);
}

static void test_a_refusal_that_is_final_is_not_asked_again(void **state)
{
	(void)state;
	start_quiet(ADDITIVE);
	h.refuse = (struct sink_outcome){ .result = SINK_REFUSED, .is_final = true };
	h.refuse_dst = 101;
	h.begins = 0;
	add_routes(1);
	run_until_quiet();
	assert_int_equal(h.begins, 1);
	assert_int_equal(reconcile_drift(&h.r), 1);
	assert_true(reconcile_is_idle(&h.r));
}

static void test_what_is_to_blame_for_nothing_backs_off_together(void **state)
{
	(void)state;
	start_quiet(ADDITIVE);
	h.refuse = (struct sink_outcome){ .result = SINK_RETRY, .is_of_all = true };
	h.refuse_dst = 101;
	h.begins = 0;
	add_routes(4);
	run_for(60 * MSEC);
	assert_int_equal(h.begins, 1);
	h.refuse.result = SINK_DONE;
	run_until_quiet();
	assert_int_equal(h.guest.n_routes, 4);
}

static void test_a_link_is_bounced_once_in_ten_seconds_for_all_that_goes(void **state)
{
	(void)state;
	start_quiet(ADDITIVE);
	add_routes(3);
	run_until_quiet();
	h.updates = 0;
	pod_drop_route(&h.pod, "10.101.0.0/16");
	look();
	run_for(50 * MSEC);
	assert_int_equal(h.updates, 1);
	assert_int_equal(h.guest.n_routes, 2); /* the others were told again */
	pod_drop_route(&h.pod, "10.102.0.0/16");
	look();
	run_for(2 * SEC);
	pod_drop_route(&h.pod, "10.103.0.0/16");
	look();
	run_for(7 * SEC);
	assert_int_equal(h.updates, 1);
	run_until_quiet();
	assert_int_equal(h.updates, 2);
	assert_int_equal(h.guest.n_routes, 0);
	assert_true(reconcile_is_idle(&h.r));
}

static void test_an_update_of_a_link_is_followed_by_its_routes(void **state)
{
	(void)state;
	start_quiet(ADDITIVE);
	add_routes(3);
	run_until_quiet();
	pod_addr(&h.pod, FIRST_LINK, "10.11.0.3/24");
	h.routes_told = 0;
	look();
	run_until_quiet();
	assert_int_equal(h.routes_told, 3);
	assert_int_equal(h.guest.n_routes, 3);
}

static void test_a_kind_that_is_denied_is_said_once_and_left_alone(void **state)
{
	(void)state;
	start_quiet(ADDITIVE);
	h.drifts = 0;
	h.caps.denied = 1U << MODEL_NEIGH;
	h.sink.news(h.sink.userdata, SINK_CAPS);
	h.sink.news(h.sink.userdata, SINK_CAPS);
	h.begins = 0;
	pod_neigh(&h.pod, FIRST_LINK, "10.11.0.1", 1);
	look();
	run_until_quiet();
	assert_int_equal(h.begins, 0);
	assert_int_equal(h.drifts, 1);
	assert_int_equal(reconcile_drift(&h.r), 1);
	assert_true(reconcile_is_idle(&h.r));
}

/* Its policy may deny the list: everything is told once more, since it may have been restarted. */
static void test_a_guest_that_does_not_say_what_it_has_is_told_everything_once_more(void **state)
{
	(void)state;
	start_quiet(ADDITIVE);
	add_routes(2);
	run_until_quiet();
	h.list_is_denied = true;
	h.updates = h.routes_told = 0;
	disconnect();
	h.guest.n_addrs = h.guest.n_routes = 0;
	connect_again();
	run_until_quiet();
	assert_int_equal(h.updates, 1);
	assert_int_equal(h.routes_told, 2);
	assert_int_equal(h.guest.n_addrs, 1);
	assert_int_equal(h.guest.n_routes, 2);
}

/* A link that may have been told, and is gone since: its MAC is another link's now. */
static void test_what_may_have_been_told_is_no_doubt_once_the_guest_has_said_it(void **state)
{
	struct link old;

	(void)state;
	start(OURS);
	h.is_quiet = true;
	pod_link(&h.pod, FIRST_LINK, "eth0");
	look();
	connect_again();
	while (!h.in_flight) {
		step();
		h.now_usec += MSEC;
	}
	plug();
	h.in_flight = false;
	end((struct sink_outcome){ .result = SINK_RETRY, .is_unknown = true });
	disconnect();
	old = h.pod.links[0];
	pod_drop_link(&h.pod, FIRST_LINK);
	memcpy(pod_link(&h.pod, 12, "eth0")->mac, old.mac, sizeof(old.mac));
	pod_addr(&h.pod, 12, "10.12.0.2/24");
	look();
	connect_again();
	run_until_quiet();
	assert_int_equal(h.guest.n_addrs, 1);
}

static void test_a_route_that_may_be_in_the_place_of_another_goes_by_a_bounce(void **state)
{
	(void)state;
	start_quiet(ADDITIVE);
	pod_link(&h.pod, 12, "eth1");
	pod_addr(&h.pod, 12, "10.12.0.2/24");
	pod_route(&h.pod, 12, "0.0.0.0/0", "10.12.0.1");
	plug();
	look();
	run_until_quiet();
	pod_drop_route(&h.pod, "0.0.0.0/0");
	pod_route(&h.pod, FIRST_LINK, "0.0.0.0/0", "10.11.0.1");
	look();
	while (!h.in_flight) {
		step();
		h.now_usec += MSEC;
	}
	end((struct sink_outcome){ .result = SINK_RETRY, .is_unknown = true, .is_of_all = true });
	pod_drop_link(&h.pod, FIRST_LINK);
	look();
	run_until_quiet();
	assert_int_equal(h.guest.n_routes, 0);
}

static void test_no_link_is_bounced_for_routes_that_can_not_be_told_again(void **state)
{
	(void)state;
	start_quiet(ADDITIVE);
	add_routes(3);
	run_until_quiet();
	h.caps.denied = 1U << MODEL_ROUTE;
	h.sink.news(h.sink.userdata, SINK_CAPS);
	pod_drop_route(&h.pod, "10.101.0.0/16");
	look();
	run_until_quiet();
	assert_int_equal(h.guest.n_routes, 3);
}

static void test_no_link_is_bounced_while_the_route_table_is_not_clean(void **state)
{
	(void)state;
	start_quiet(ADDITIVE);
	add_routes(3);
	run_until_quiet();
	h.updates = 0;
	h.routes_unsettled = true;
	pod_drop_route(&h.pod, "10.101.0.0/16");
	look();
	run_for(200 * MSEC);
	assert_int_equal(h.updates, 0);
	h.routes_unsettled = false;
	run_until_quiet();
	assert_int_equal(h.updates, 1);
	assert_int_equal(h.guest.n_routes, 2);
}

static void test_addresses_that_a_nic_keeps_are_reported_of_the_link_that_has_it_now(void **state)
{
	struct link old;

	(void)state;
	start_quiet(ADDITIVE);
	old = h.pod.links[0];
	pod_drop_link(&h.pod, FIRST_LINK);
	look();
	run_until_quiet();
	memcpy(pod_link(&h.pod, 12, "eth0")->mac, old.mac, sizeof(old.mac));
	pod_addr(&h.pod, 12, "10.12.0.2/24");
	look();
	run_until_quiet();
	assert_int_equal(h.guest.n_addrs, 2);
	assert_int_equal(reconcile_drift(&h.r), 1);
}

/* Each of them is asked about a few times, and no more. */
static void test_thousands_of_refused_routes_come_to_rest(void **state)
{
	struct table *t = NULL;

	(void)state;
	start_quiet(ADDITIVE);
	h.caps.batch_max = 2500;
	h.sink.news(h.sink.userdata, SINK_CAPS);
	h.refuse = (struct sink_outcome){ .result = SINK_REFUSED, .is_final = true };
	h.refuse_dst = 200;
	h.begins = 0;
	assert_int_equal(table_new(&t, MODEL_ROUTE), 0);
	for (unsigned i = 0; i < 3000; i++)
		assert_int_equal(table_add(t, &(struct route){ .dst = { 10, 200, (uint8_t)(i >> 8),
									(uint8_t)i },
							       .prefixlen = 32,
							       .ifindex = FIRST_LINK,
							       .scope = 253 }),
				 0);
	table_seal(t);
	snapshot_replace(&h.seen, t);
	h.truth++;
	run_until_quiet();
	assert_true(reconcile_is_idle(&h.r));
	assert_int_equal(h.begins, 3000);
	assert_int_equal(reconcile_drift(&h.r), 3000);
	look();
	run_until_quiet();
	assert_int_equal(reconcile_drift(&h.r), 0);
}

/* A set of which one is refused goes without it, at once and as long as that stands. */
static void test_a_set_goes_without_the_route_to_blame(void **state)
{
	(void)state;
	start_quiet(DECLARATIVE);
	add_routes(3);
	run_until_quiet();
	h.blame_dst = 104;
	add_routes(4);
	run_for(50 * MSEC);
	assert_int_equal(h.guest.n_routes, 3);
	run_until_quiet();
	assert_int_equal(h.guest.n_routes, 3);
	assert_int_equal(reconcile_drift(&h.r), 1);
	assert_true(reconcile_is_idle(&h.r));
	/* the next agent may take it */
	h.blame_dst = 0;
	disconnect();
	connect_again();
	run_until_quiet();
	assert_int_equal(h.guest.n_routes, 4);
}

#define CASE(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_guest_that_takes_whole_lists_is_equal_when_it_falls_quiet),
		cmocka_unit_test(test_a_guest_that_only_adds_forwards_alike_when_it_falls_quiet),
		cmocka_unit_test(test_a_guest_of_ours_is_equal_when_it_falls_quiet),
		CASE(test_nothing_is_begun_before_the_guest_is_there),
		CASE(test_routes_go_together_as_many_as_the_guest_takes),
		CASE(test_one_of_many_that_fails_costs_itself_alone),
		CASE(test_a_refusal_that_is_final_is_not_asked_again),
		CASE(test_what_is_to_blame_for_nothing_backs_off_together),
		CASE(test_a_link_is_bounced_once_in_ten_seconds_for_all_that_goes),
		CASE(test_an_update_of_a_link_is_followed_by_its_routes),
		CASE(test_a_kind_that_is_denied_is_said_once_and_left_alone),
		CASE(test_a_guest_that_does_not_say_what_it_has_is_told_everything_once_more),
		CASE(test_what_may_have_been_told_is_no_doubt_once_the_guest_has_said_it),
		CASE(test_a_route_that_may_be_in_the_place_of_another_goes_by_a_bounce),
		CASE(test_no_link_is_bounced_for_routes_that_can_not_be_told_again),
		CASE(test_no_link_is_bounced_while_the_route_table_is_not_clean),
		CASE(test_addresses_that_a_nic_keeps_are_reported_of_the_link_that_has_it_now),
		CASE(test_thousands_of_refused_routes_come_to_rest),
		CASE(test_a_set_goes_without_the_route_to_blame),
	};

	random_net_start(&dice);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
