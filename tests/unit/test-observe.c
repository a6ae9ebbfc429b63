/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol with the kernel against a simulated kernel: the most important test of the project.
 *
 * The simulated kernel has the habits that were measured of the real one and some that were not: it
 * flushes IPv4 routes late and without a word, tears dumps (a change falls between two parts of
 * one), interrupts and refuses them, drops notifications, and hands them out in another order.
 * Whatever it does: when it falls quiet, what the guest was told becomes the truth; no link is
 * withdrawn that never went, and no route that was never away.
 *
 * Time is a number here, so a schedule of minutes runs in milliseconds, and a seed repeats it:
 * NETMON_SEED=n ./test-observe
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "netmon/observe.h"
#include "netmon/reconcile.h"

#define MS	   CLOCK_USEC_PER_MSEC
#define SIM_LINKS  6
#define SIM_ADDRS  3 /* a link: two IPv4, one IPv6 */
#define SIM_ROUTES 36
#define SIM_NEIGHS 2
#define SIM_QUEUE  64
#define SCHEDULES  400
/*
 * Between the dump that showed a thing and the op that tells it: the ceiling, and an op in flight.
 */
#define SIM_SLACK_USEC (400 * MS)
/* of a quiet kernel: far more than enough, and an end for a monitor that spins */
#define SIM_STEPS_MAX 20000

/* ---- the simulated kernel ---- */

struct sim_link {
	bool exists, up;
	uint32_t ifindex, birth;
	uint32_t mtu;
	bool addrs[SIM_ADDRS];
	bool neighs[SIM_NEIGHS];
};

struct sim_route {
	bool present;
	uint64_t flushed_at;	   /* CLOCK_NEVER, or when the kernel gets round to removing it */
	uint64_t last_absent_usec; /* when it was last not there (or could not be) */
	uint32_t metric;
};

struct sim {
	uint64_t now;
	uint64_t random;
	uint64_t seed;
	struct sim_link links[SIM_LINKS];
	struct sim_route routes[SIM_ROUTES];
	uint32_t next_ifindex, next_birth;
	struct source_hint queue[SIM_QUEUE];
	size_t n_queue;
	bool overrun, neigh_overrun;
	bool never_quiet; /* a notification of routes falls into each dump of them */
	/* faults, in percent of the occasions */
	unsigned p_tear, p_interrupt, p_again, p_truncate, p_reorder, p_fail, p_no_memory;
	uint64_t late_max_usec; /* how late the flush of routes may be */
	size_t queue_max;

	struct observe observe;
	struct reconcile reconcile;
	struct sink sink;
	uint64_t again_at;   /* after a look that could not be done for lack of memory */
	uint64_t blind_usec; /* how long all in all nothing could be seen for that */
	bool in_flight;
	uint64_t done_at;
	enum sink_result result;
	size_t n_dumps[_MODEL_KIND_MAX];
	size_t n_ops;
	uint64_t link_absent_usec[SIM_LINKS]; /* when it was last not there */
	uint64_t link_told_usec[SIM_LINKS];
	uint64_t route_told_usec[SIM_ROUTES];
};

static uint64_t rnd(struct sim *s, uint64_t below)
{
	s->random ^= s->random >> 12;
	s->random ^= s->random << 25;
	s->random ^= s->random >> 27;
	return (s->random * UINT64_C(0x2545f4914f6cdd1d) >> 16) % below;
}

static bool chance(struct sim *s, unsigned percent)
{
	return rnd(s, 100) < percent;
}

static void notify(struct sim *s, enum model_kind kind, bool gone, uint32_t ifindex)
{
	if (s->n_queue >= s->queue_max) {
		s->overrun = true;
		return;
	}
	s->queue[s->n_queue++] =
		(struct source_hint){ .kind = kind, .link_gone = gone, .ifindex = ifindex };
	if (s->n_queue > 1 && chance(s, s->p_reorder)) {
		size_t i = rnd(s, s->n_queue - 1);
		struct source_hint h = s->queue[i];

		s->queue[i] = s->queue[s->n_queue - 1];
		s->queue[s->n_queue - 1] = h;
	}
}

static struct sim_link *route_link(struct sim *s, size_t i)
{
	return &s->links[i % SIM_LINKS];
}

static bool is_inet6(size_t route)
{
	return (route / SIM_LINKS) % 3 == 2;
}

static bool link_has_inet(const struct sim_link *l)
{
	return l->exists && (l->addrs[0] || l->addrs[1]);
}

/* May this route be there at all? */
static bool is_possible(struct sim *s, size_t i)
{
	const struct sim_link *l = route_link(s, i);

	return l->exists && l->up && (is_inet6(i) || link_has_inet(l));
}

/* What lost its footing goes: IPv6 with a notification, IPv4 later and without one. */
static void flush(struct sim *s, bool link_is_gone)
{
	for (size_t i = 0; i < SIM_ROUTES; i++) {
		struct sim_route *r = &s->routes[i];

		if (!is_possible(s, i))
			r->last_absent_usec = s->now;
		if (!r->present || is_possible(s, i))
			continue;
		if (is_inet6(i) || link_is_gone) {
			r->present = false;
			if (is_inet6(i) && !link_is_gone)
				notify(s, MODEL_ROUTE, false, 0);
		} else if (r->flushed_at == CLOCK_NEVER) {
			r->flushed_at = s->now + rnd(s, s->late_max_usec + 1);
		}
	}
}

static void run_flushes(struct sim *s)
{
	for (size_t i = 0; i < SIM_ROUTES; i++) {
		struct sim_route *r = &s->routes[i];

		if (r->flushed_at > s->now)
			continue;
		r->present = false; /* without a word */
		r->flushed_at = CLOCK_NEVER;
		r->last_absent_usec = s->now;
	}
}

static void link_appears(struct sim *s, struct sim_link *l, bool same_number)
{
	uint32_t ifindex = same_number && l->ifindex ? l->ifindex : s->next_ifindex++;

	*l = (struct sim_link){
		.exists = true, .ifindex = ifindex, .birth = ++s->next_birth, .mtu = 1500
	};
	notify(s, MODEL_LINK, false, l->ifindex);
}

static void link_goes(struct sim *s, struct sim_link *l)
{
	uint32_t ifindex = l->ifindex;

	*l = (struct sim_link){ .ifindex = ifindex };
	s->link_absent_usec[l - s->links] = s->now;
	notify(s, MODEL_ADDR, false, ifindex);
	notify(s, MODEL_LINK, true, ifindex);
	flush(s, true);
}

static void remove_route(struct sim *s, size_t i)
{
	s->routes[i].present = false;
	s->routes[i].last_absent_usec = s->now;
}

static void mutate_route(struct sim *s)
{
	size_t i = rnd(s, SIM_ROUTES);
	struct sim_route *r = &s->routes[i];

	if (r->flushed_at != CLOCK_NEVER)
		return; /* the kernel is at it */
	if (r->present) {
		if (chance(s, 30)) {
			r->metric = (uint32_t)rnd(s, 3);
		} else {
			remove_route(s, i);
		}
	} else if (is_possible(s, i)) {
		r->present = true;
	} else {
		return;
	}
	notify(s, MODEL_ROUTE, false, 0);
}

/* One random change, announced as the kernel would. */
static void mutate(struct sim *s)
{
	struct sim_link *l = &s->links[rnd(s, SIM_LINKS)];
	size_t a = rnd(s, SIM_ADDRS), n = rnd(s, SIM_NEIGHS);

	if (chance(s, 50)) {
		mutate_route(s);
		return;
	}
	if (!l->exists) {
		link_appears(s, l, chance(s, 40));
		return;
	}
	switch (rnd(s, 6)) {
	case 0:
	case 1:
		l->addrs[a] = !l->addrs[a];
		notify(s, MODEL_ADDR, false, l->ifindex);
		break;
	case 2:
	case 3:
		l->up = !l->up;
		notify(s, MODEL_LINK, false, l->ifindex);
		break;
	case 4:
		l->neighs[n] = !l->neighs[n];
		notify(s, MODEL_NEIGH, false, l->ifindex);
		break;
	default:
		if (chance(s, 40)) {
			link_goes(s, l);
			return;
		}
		l->mtu = 1400 + (uint32_t)rnd(s, 3);
		notify(s, MODEL_LINK, false, l->ifindex);
		break;
	}
	flush(s, false);
}

/* ---- its dumps ---- */

static struct link make_link(const struct sim_link *l, size_t slot)
{
	struct link v = {
		.ifindex = l->ifindex,
		.mtu = l->mtu,
		.flags = l->up ? IFF_UP | (uint32_t)IFF_LOWER_UP : 0,
		.hardware = ARPHRD_ETHER,
		.peer_elsewhere = true,
		.peer_ifindex = 2,
		.mac_bytes = 6,
		.mac = { 2, 0, 0, 0, (uint8_t)(l->ifindex >> 8), (uint8_t)l->ifindex },
		.kind = "veth",
	};

	(void)snprintf(v.name, sizeof(v.name), "eth%zu", slot);
	return v;
}

static struct addr make_addr(const struct sim_link *l, size_t slot, size_t i)
{
	struct addr a = { .ifindex = l->ifindex, .family = i < 2 ? AF_INET : AF_INET6 };

	a.prefixlen = i < 2 ? 24 : 64;
	a.bytes[0] = i < 2 ? 10 : 0x20;
	a.bytes[1] = (uint8_t)slot;
	a.bytes[3] = (uint8_t)(i + 1);
	return a;
}

static struct route make_route(struct sim *s, size_t i)
{
	struct route r = {
		.ifindex = route_link(s, i)->ifindex,
		.is_inet6 = is_inet6(i),
		.prefixlen = is_inet6(i) ? 64 : 24,
		.metric = s->routes[i].metric,
	};

	r.dst[0] = is_inet6(i) ? 0x20 : 100;
	r.dst[1] = (uint8_t)i;
	if (i % 2) {
		r.flags = MODEL_ROUTE_GATEWAY;
		r.gateway[0] = 10;
		r.gateway[3] = (uint8_t)(i + 1);
	}
	return r;
}

static struct neigh make_neigh(const struct sim_link *l, size_t i)
{
	return (struct neigh){
		.ifindex = l->ifindex,
		.state = NUD_PERMANENT,
		.family = AF_INET,
		.mac_bytes = 6,
		.mac = { 2, 9, (uint8_t)i },
		.bytes = { 10, 9, 9, (uint8_t)i },
	};
}

static void dump_slot(struct sim *s, enum model_kind kind, size_t slot, struct table *t)
{
	const struct sim_link *l = &s->links[slot];

	if (kind == MODEL_LINK && l->exists) {
		struct link v = make_link(l, slot);

		assert_int_equal(table_add(t, &v), 0);
	}
	for (size_t i = 0; kind == MODEL_ADDR && l->exists && i < SIM_ADDRS; i++) {
		struct addr v = make_addr(l, slot, i);

		if (l->addrs[i])
			assert_int_equal(table_add(t, &v), 0);
	}
	for (size_t i = slot; kind == MODEL_ROUTE && i < SIM_ROUTES; i += SIM_LINKS) {
		struct route v = make_route(s, i);

		if (s->routes[i].present)
			assert_int_equal(table_add(t, &v), 0);
	}
	for (size_t i = 0; kind == MODEL_NEIGH && l->exists && i < SIM_NEIGHS; i++) {
		struct neigh v = make_neigh(l, i);

		if (l->neighs[i])
			assert_int_equal(table_add(t, &v), 0);
	}
}

static struct table *dump_truth(struct sim *s, enum model_kind kind, bool torn)
{
	struct table *t;
	size_t tear_at = torn ? rnd(s, SIM_LINKS) : SIM_LINKS;

	assert_int_equal(table_new(&t, kind), 0);
	for (size_t slot = 0; slot < SIM_LINKS; slot++) {
		if (slot == tear_at)
			mutate(s);
		dump_slot(s, kind, slot, t);
	}
	table_seal(t);
	return t;
}

static int sim_dump(void *source, enum model_kind kind, struct table **ret)
{
	struct sim *s = source;

	s->n_dumps[kind]++;
	if (chance(s, s->p_no_memory))
		return -ENOMEM;
	if (chance(s, s->p_again))
		return SOURCE_AGAIN;
	if (chance(s, s->p_truncate))
		return SOURCE_TRUNCATED;
	if (chance(s, s->p_interrupt)) {
		mutate(s);
		*ret = dump_truth(s, kind, true);
		return SOURCE_INTERRUPTED;
	}
	*ret = dump_truth(s, kind, chance(s, s->p_tear));
	if (s->never_quiet && kind == MODEL_ROUTE)
		notify(s, MODEL_ROUTE, false, 0);
	return 0;
}

static int sim_drain(void *source, void (*hint)(void *, const struct source_hint *),
		     void (*lost)(void *, enum source_condition, unsigned), void *userdata)
{
	struct sim *s = source;

	for (size_t i = 0; i < s->n_queue; i++)
		hint(userdata, &s->queue[i]);
	s->n_queue = 0;
	if (s->overrun)
		lost(userdata, SOURCE_OVERRUN, (1U << _MODEL_KIND_MAX) - 1);
	if (s->neigh_overrun)
		lost(userdata, SOURCE_OVERRUN, 1U << MODEL_NEIGH);
	s->overrun = s->neigh_overrun = false;
	return 0;
}

static const struct source_ops sim_source_ops = { .drain = sim_drain, .dump = sim_dump };

/* ---- its guest ---- */

static size_t slot_of_name(const char *name)
{
	return (size_t)(name[3] - '0');
}

static size_t index_of_route(const struct route *r)
{
	return r->dst[1];
}

static bool is_added_again(const struct plan *p, uint32_t ifindex)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->ops[i].verb == PLAN_LINK_ADD &&
		    plan_link_to(p, &p->ops[i])->ifindex == ifindex)
			return true;
	return false;
}

/*
 * A link may only be withdrawn when it was away since it was told (or just before, while that was
 * under way).
 */
static void check_link_del(struct sim *s, const struct plan *p, const struct link *l)
{
	size_t slot = slot_of_name(l->name);

	if (!s->sink.ops->caps.updates_links && is_added_again(p, l->ifindex))
		return; /* a replug */
	if (s->links[slot].exists && s->links[slot].ifindex == l->ifindex &&
	    s->link_absent_usec[slot] + SIM_SLACK_USEC + s->blind_usec < s->link_told_usec[slot])
		fail_msg("seed %lu: a link that never went was withdrawn", s->seed);
}

static void check_op(struct sim *s, const struct plan *p, const struct op *op)
{
	const struct route *from = plan_route_from(p, op), *to = plan_route_to(p, op);

	if (op->verb == PLAN_LINK_DEL)
		check_link_del(s, p, plan_link_from(p, op));
	if (op->verb == PLAN_LINK_ADD)
		s->link_told_usec[slot_of_name(plan_link_to(p, op)->name)] = s->now;
	if (to)
		s->route_told_usec[index_of_route(to)] = s->now;
	if (op->verb == PLAN_ROUTE_DEL) {
		size_t i = index_of_route(from);

		if (s->routes[i].present &&
		    s->routes[i].last_absent_usec + SIM_SLACK_USEC + s->blind_usec <
			    s->route_told_usec[i])
			fail_msg("seed %lu: a route that was never away was withdrawn", s->seed);
	}
}

static int sim_begin(struct sink *sink, const struct sink_call *call)
{
	struct sim *s = (struct sim *)((char *)sink - offsetof(struct sim, sink));

	assert_false(s->in_flight);
	s->n_ops++;
	if (chance(s, s->p_fail))
		return -EMFILE;
	check_op(s, call->plan, call->op);
	s->in_flight = true;
	s->done_at = s->now + rnd(s, 3) * rnd(s, 5 * MS);
	s->result = chance(s, s->p_fail) ? SINK_RETRY : SINK_DONE;
	return 0;
}

static void sim_stop(struct sink *sink, bool gone)
{
	(void)sink, (void)gone;
}

static const struct sink_ops each_ops = {
	.name = "sim",
	.caps = { .updates_links = true,
		  .neighbours = true,
		  .route_mtu = true,
		  .route_onlink = true,
		  .route_family = true },
	.begin = sim_begin,
	.stop = sim_stop,
};

static const struct sink_ops whole_ops = {
	.name = "sim",
	.caps = { .routes_whole = true, .settles = true },
	.begin = sim_begin,
	.stop = sim_stop,
};

/* ---- the loop, in numbers ---- */

static struct view_config view_config(const struct sim *s)
{
	return (struct view_config){
		.kinds = VIEW_KINDS_DEFAULT,
		.on_change = VIEW_ON_CHANGE_REPLUG,
		.caps = s->sink.ops->caps,
	};
}

static void sim_init(struct sim *s, uint64_t seed, const struct sink_ops *ops)
{
	memset(s, 0, sizeof(*s));
	s->seed = seed;
	s->random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	s->now = 1000000;
	s->again_at = CLOCK_NEVER;
	s->next_ifindex = 3;
	s->queue_max = SIM_QUEUE;
	s->late_max_usec = 15 * MS;
	s->sink.ops = ops;
	for (size_t i = 0; i < SIM_ROUTES; i++)
		s->routes[i].flushed_at = CLOCK_NEVER;
	assert_int_equal(observe_init(&s->observe, &sim_source_ops, s, s->now), 0);
	struct reconcile_config config = {
		.view = view_config(s),
		.settle_usec = 500 * MS,
		.sink = &s->sink,
		.seed = seed,
	};
	assert_int_equal(reconcile_init(&s->reconcile, &config), 0);
}

static void sim_done(struct sim *s)
{
	reconcile_done(&s->reconcile);
	observe_done(&s->observe);
}

static void finish_op(struct sim *s)
{
	static const char *const reasons[] = { [SINK_DONE] = "", [SINK_RETRY] = "not now" };
	struct sink_outcome outcome = { .result = s->result, .reason = reasons[s->result] };

	if (!s->in_flight || s->now < s->done_at)
		return;
	s->in_flight = false;
	s->sink.done(s->sink.userdata, &outcome);
}

static void act(struct sim *s)
{
	struct reconcile_truth truth = {
		.seen = &s->observe.seen,
		.generation = s->observe.generation,
		.routes_settled = observe_is_settled(&s->observe, MODEL_ROUTE),
	};

	if (!observe_is_complete(&s->observe))
		return;
	if (!s->reconcile.is_started) {
		struct reconcile_past past = { 0 };

		assert_int_equal(reconcile_start(&s->reconcile, &past, &truth), 0);
	}
	assert_int_equal(reconcile_step(&s->reconcile, &truth, s->now), 0);
}

/* As the monitor's work(): a look, an act; more looks follow when there is more to see. */
static void work(struct sim *s)
{
	int r;

	finish_op(s);
	for (int i = 0; i < 8; i++) {
		r = observe_step(&s->observe, s->now);
		assert_true(r >= 0 || r == -ENOMEM);
		if (r < 0) {
			s->again_at = s->now + 1000 * MS;
			s->blind_usec += 1000 * MS;
			return;
		}
		s->again_at = CLOCK_NEVER;
		act(s);
		if (r != OBSERVE_MORE)
			return;
	}
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t next_time(const struct sim *s)
{
	uint64_t t = earlier(observe_deadline(&s->observe), reconcile_deadline(&s->reconcile));

	if (s->again_at != CLOCK_NEVER)
		t = s->again_at; /* as the monitor: not before that */
	if (s->in_flight)
		t = earlier(t, s->done_at);
	for (size_t i = 0; i < SIM_ROUTES; i++)
		t = earlier(t, s->routes[i].flushed_at);
	if (s->n_queue > 0 || s->overrun || s->neigh_overrun)
		t = 0;
	return t;
}

/* Runs a kernel that does nothing of its own any more until nobody has anything to do. */
static void run_until_quiet(struct sim *s)
{
	s->p_tear = s->p_interrupt = s->p_again = s->p_truncate = s->p_fail = 0;
	s->p_no_memory = 0;
	for (int i = 0; i < SIM_STEPS_MAX; i++) {
		uint64_t t = next_time(s);

		if (t == CLOCK_NEVER)
			return;
		if (t > s->now)
			s->now = t;
		run_flushes(s);
		work(s);
	}
	fail_msg("seed %lu: never quiet", s->seed);
}

static void truth_as_snapshot(struct sim *s, struct snapshot *ret)
{
	assert_int_equal(snapshot_init(ret), 0);
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		snapshot_replace(ret, dump_truth(s, k, false));
	/* the number of an appearance is observe's own to give */
	for (size_t i = 0; i < snapshot_links(ret)->n; i++) {
		struct link *l = &ret->tables[MODEL_LINK]->links[i];
		const struct link *seen =
			table_find_link(snapshot_links(&s->observe.seen), l->ifindex);

		if (seen)
			l->incarnation = seen->incarnation;
	}
}

static void assert_seen_is_truth(struct sim *s)
{
	CLEANUP(snapshot_done) struct snapshot truth = SNAPSHOT_NULL;

	truth_as_snapshot(s, &truth);
	if (!snapshot_equal(&truth, &s->observe.seen))
		fail_msg("seed %lu: seen is not the truth", s->seed);
}

/* acked is what the view of the truth says, and nobody is waiting for anything. */
static void assert_acked_is_truth(struct sim *s)
{
	CLEANUP(snapshot_done) struct snapshot truth = SNAPSHOT_NULL;
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;
	CLEANUP(snapshot_done) struct snapshot wanted = SNAPSHOT_NULL;
	CLEANUP(view_notes_done) struct view_notes notes = { 0 };
	struct view_config config = view_config(s);
	struct refused refused = { 0 };

	assert_true(reconcile_is_idle(&s->reconcile));
	truth_as_snapshot(s, &truth);
	assert_int_equal(reconcile_acked(&s->reconcile, &acked), 0);
	struct view_input in = { .seen = &truth,
				 .acked = &acked,
				 .previous = &acked,
				 .refused = &refused,
				 .now_usec = s->now };
	assert_int_equal(view_build(&config, &in, &wanted, &notes), 0);
	if (!snapshot_equal(&wanted, &acked))
		fail_msg("seed %lu: acked is not the truth", s->seed);
}

static void random_faults(struct sim *s)
{
	s->p_tear = (unsigned)rnd(s, 4) * 20;
	s->p_interrupt = (unsigned)rnd(s, 3) * 15;
	s->p_again = (unsigned)rnd(s, 3) * 5;
	s->p_truncate = (unsigned)rnd(s, 3) * 5;
	s->p_reorder = (unsigned)rnd(s, 3) * 20;
	s->p_fail = (unsigned)rnd(s, 3) * 10;
	s->p_no_memory = (unsigned)rnd(s, 3) * 5;
	s->late_max_usec = rnd(s, 4) * 50 * MS;
	s->queue_max = chance(s, 30) ? 4 : SIM_QUEUE;
}

/*
 * Some tens of changes, from one burst to one now and then, with the monitor at work between them.
 */
static void storm(struct sim *s)
{
	uint64_t pace_usec = rnd(s, 4) == 0 ? 60 * MS : 2 * MS;
	size_t n = 20 + rnd(s, 100);

	random_faults(s);
	for (size_t i = 0; i < n; i++) {
		s->now += rnd(s, 3) ? rnd(s, pace_usec) : 0;
		run_flushes(s);
		mutate(s);
		if (chance(s, 60))
			assert_int_equal(observe_drain(&s->observe, s->now), 0);
		if (chance(s, 50))
			work(s);
	}
}

static void run_schedule(uint64_t seed, const struct sink_ops *ops)
{
	struct sim s;

	sim_init(&s, seed, ops);
	for (int i = 0; i < 3; i++) {
		storm(&s);
		run_until_quiet(&s);
		assert_seen_is_truth(&s);
		assert_acked_is_truth(&s);
	}
	sim_done(&s);
}

/* ---- tests ---- */

static uint64_t first_seed(size_t *ret_n)
{
	const char *given = getenv("NETMON_SEED");

	*ret_n = given ? 1 : SCHEDULES;
	return given ? strtoull(given, NULL, 0) : clock_now_usec();
}

static void run_schedules(const struct sink_ops *ops)
{
	size_t n;
	uint64_t seed = first_seed(&n);

	print_message("seeds %lu to %lu (NETMON_SEED repeats one)\n", seed, seed + n - 1);
	for (size_t i = 0; i < n; i++)
		run_schedule(seed + i, ops);
}

static void test_acked_becomes_truth_one_by_one(void **state)
{
	(void)state;
	run_schedules(&each_ops);
}

static void test_acked_becomes_truth_in_whole_sets(void **state)
{
	(void)state;
	run_schedules(&whole_ops);
}

/* A kernel with one link, up, addressed, with routes; told to the guest. */
static void sim_with_routes(struct sim *s)
{
	sim_init(s, 1, &each_ops);
	link_appears(s, &s->links[0], false);
	s->links[0].up = true;
	s->links[0].addrs[0] = true;
	for (size_t i = 0; i < SIM_ROUTES; i += SIM_LINKS)
		s->routes[i].present = is_possible(s, i);
	notify(s, MODEL_ROUTE, false, 0);
	run_until_quiet(s);
	assert_seen_is_truth(s);
	assert_acked_is_truth(s);
}

/*
 * The surprise that was measured: the dump after the last hint still holds routes that are gone a
 * moment later.
 */
static void test_dump_too_early_after_last_hint_is_corrected(void **state)
{
	struct sim s;

	(void)state;
	for (uint64_t late = 0; late <= 240 * MS; late += 5 * MS) {
		sim_with_routes(&s);
		/* another one stays, so that the routes are not impossible to us */
		s.links[0].addrs[0] = false;
		s.links[0].addrs[1] = true;
		notify(&s, MODEL_ADDR, false, s.links[0].ifindex);
		for (size_t i = 0; i < SIM_ROUTES; i += SIM_LINKS)
			if (s.routes[i].present && !is_inet6(i))
				s.routes[i].flushed_at = s.now + late;
		run_until_quiet(&s);
		assert_seen_is_truth(&s);
		assert_acked_is_truth(&s);
		sim_done(&s);
	}
}

static void test_route_of_a_link_that_is_down_is_never_seen(void **state)
{
	struct sim s;

	(void)state;
	sim_with_routes(&s);
	s.links[0].up = false;
	s.late_max_usec = 10 * CLOCK_USEC_PER_SEC; /* the flush does not come */
	notify(&s, MODEL_LINK, false, s.links[0].ifindex);
	flush(&s, false);
	work(&s);
	assert_int_equal(snapshot_routes(&s.observe.seen)->n, 0);
	sim_done(&s);
}

static void test_inet_route_without_inet_address_is_never_seen(void **state)
{
	struct sim s;

	(void)state;
	sim_with_routes(&s);
	s.links[0].addrs[0] = false;
	s.late_max_usec = 10 * CLOCK_USEC_PER_SEC;
	notify(&s, MODEL_ADDR, false, s.links[0].ifindex);
	flush(&s, false);
	work(&s);
	for (size_t i = 0; i < snapshot_routes(&s.observe.seen)->n; i++)
		assert_true(snapshot_routes(&s.observe.seen)->routes[i].is_inet6);
	sim_done(&s);
}

static void test_torn_dump_is_thrown_away_and_repeated(void **state)
{
	struct sim s;

	(void)state;
	sim_with_routes(&s);
	s.p_tear = 100;
	for (int i = 0; i < 1000 && s.observe.stats.torn == 0; i++) {
		notify(&s, MODEL_ROUTE, false, 0);
		assert_true(observe_step(&s.observe, s.now) >= 0);
	}
	s.p_tear = 0;
	assert_true(s.observe.stats.torn > 0);
	assert_int_equal(s.observe.stats.forced, 0);
	run_until_quiet(&s);
	assert_seen_is_truth(&s);
	sim_done(&s);
}

/*
 * Under a storm without end the picture is still used, after 250 ms, to add; nothing is withdrawn
 * by it.
 */
static void test_never_quiet_namespace_is_told_what_came_but_not_what_went(void **state)
{
	struct sim s;
	uint64_t start;

	(void)state;
	sim_with_routes(&s);
	size_t n_before = snapshot_routes(&s.observe.seen)->n;

	remove_route(&s, 0);
	start = s.now;
	while (s.now < start + 300 * MS) {
		s.now += MS;
		s.p_interrupt = 100;
		notify(&s, MODEL_ROUTE, false, 0);
		s.links[0].up = true; /* undo what the simulator changed meanwhile on this link */
		s.links[0].addrs[0] = true;
		assert_true(observe_step(&s.observe, s.now) >= 0);
	}
	assert_true(s.observe.stats.forced > 0);
	assert_true(snapshot_routes(&s.observe.seen)->n >= n_before);
	run_until_quiet(&s);
	assert_seen_is_truth(&s);
	sim_done(&s);
}

/* ... and the guest hears of it: what is never clean would otherwise never be told. */
static void test_never_quiet_namespace_is_told_to_the_guest(void **state)
{
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;
	struct sim s;
	uint64_t start;
	struct route wanted;

	(void)state;
	sim_with_routes(&s);
	remove_route(&s, 0);
	notify(&s, MODEL_ROUTE, false, 0);
	run_until_quiet(&s);
	s.routes[0].present = true;
	start = s.now;
	while (s.now < start + 600 * MS) {
		s.now += MS;
		notify(&s, MODEL_ROUTE, false, 0);
		s.p_tear = s.p_interrupt = 0;
		s.never_quiet = true;
		work(&s);
	}
	wanted = make_route(&s, 0);
	assert_true(s.observe.stats.forced > 0);
	assert_int_equal(reconcile_acked(&s.reconcile, &acked), 0);
	assert_non_null(table_find(snapshot_routes(&acked), &wanted));
	sim_done(&s);
}

/* The neighbours' socket is small so that a flood ends there: no loss to speak of. */
static void test_overrun_of_neighbours_alone_is_just_dirt(void **state)
{
	struct sim s;

	(void)state;
	sim_with_routes(&s);
	s.neigh_overrun = true;
	s.links[0].neighs[0] = true;
	run_until_quiet(&s);
	assert_int_equal(observe_take_lost(&s.observe), 0);
	assert_seen_is_truth(&s);
	assert_acked_is_truth(&s);
	sim_done(&s);
}

static void test_overrun_is_dirt_like_any_other(void **state)
{
	struct sim s;

	(void)state;
	sim_with_routes(&s);
	remove_route(&s, 0); /* its notification is lost */
	s.overrun = true;
	run_until_quiet(&s);
	assert_int_equal(s.observe.stats.overruns, 1);
	assert_int_equal(observe_take_lost(&s.observe), 1U << SOURCE_OVERRUN);
	assert_int_equal(observe_take_lost(&s.observe), 0);
	assert_seen_is_truth(&s);
	assert_acked_is_truth(&s);
	sim_done(&s);
}

static void test_truncated_and_interrupted_are_told_apart(void **state)
{
	struct sim s;

	(void)state;
	sim_with_routes(&s);
	s.p_truncate = 100;
	notify(&s, MODEL_ROUTE, false, 0);
	assert_true(observe_step(&s.observe, s.now) >= 0);
	assert_int_equal(observe_take_lost(&s.observe), 1U << SOURCE_TRUNCATED);
	s.p_truncate = 0;
	s.p_interrupt = 100;
	s.now += OBSERVE_PAUSE_MAX_USEC;
	assert_true(observe_step(&s.observe, s.now) >= 0);
	assert_int_equal(observe_take_lost(&s.observe), 1U << SOURCE_INTERRUPTED);
	sim_done(&s);
}

static void test_link_away_and_back_is_another_appearance(void **state)
{
	struct sim s;
	uint32_t before;

	(void)state;
	sim_with_routes(&s);
	before = snapshot_links(&s.observe.seen)->links[0].incarnation;
	link_goes(&s, &s.links[0]);
	link_appears(&s, &s.links[0], true);
	s.links[0].up = true;
	notify(&s, MODEL_LINK, false, s.links[0].ifindex);
	run_until_quiet(&s);
	assert_int_not_equal(snapshot_links(&s.observe.seen)->links[0].incarnation, before);
	assert_acked_is_truth(&s);
	sim_done(&s);
}

static void test_neighbours_are_dumped_at_most_every_250_ms(void **state)
{
	struct sim s;
	uint64_t start;

	(void)state;
	sim_with_routes(&s);
	s.n_dumps[MODEL_NEIGH] = 0;
	start = s.now;
	while (s.now < start + 1000 * MS) {
		s.now += MS;
		notify(&s, MODEL_NEIGH, false, s.links[0].ifindex);
		work(&s);
	}
	assert_in_range(s.n_dumps[MODEL_NEIGH], 3, 5);
	sim_done(&s);
}

static void test_link_hint_gets_two_agreeing_dumps_and_two_confirmations(void **state)
{
	struct sim s;

	(void)state;
	sim_with_routes(&s);
	s.n_dumps[MODEL_ROUTE] = 0;
	notify(&s, MODEL_LINK, false, s.links[0].ifindex);
	run_until_quiet(&s);
	assert_int_equal(s.n_dumps[MODEL_ROUTE], 4);
	sim_done(&s);
}

static void test_kinds_that_are_clean_are_shared(void **state)
{
	struct sim s;
	const struct table *links;

	(void)state;
	sim_with_routes(&s);
	links = snapshot_links(&s.observe.seen);
	s.n_dumps[MODEL_LINK] = 0;
	remove_route(&s, 0);
	notify(&s, MODEL_ROUTE, false, 0);
	run_until_quiet(&s);
	assert_ptr_equal(links, snapshot_links(&s.observe.seen));
	assert_int_equal(s.n_dumps[MODEL_LINK], 0);
	sim_done(&s);
}

static void test_idle_has_no_deadline(void **state)
{
	struct sim s;

	(void)state;
	sim_with_routes(&s);
	assert_true(observe_deadline(&s.observe) == CLOCK_NEVER);
	assert_true(reconcile_deadline(&s.reconcile) == CLOCK_NEVER);
	sim_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_acked_becomes_truth_one_by_one),
		cmocka_unit_test(test_acked_becomes_truth_in_whole_sets),
		cmocka_unit_test(test_dump_too_early_after_last_hint_is_corrected),
		cmocka_unit_test(test_route_of_a_link_that_is_down_is_never_seen),
		cmocka_unit_test(test_inet_route_without_inet_address_is_never_seen),
		cmocka_unit_test(test_torn_dump_is_thrown_away_and_repeated),
		cmocka_unit_test(test_never_quiet_namespace_is_told_what_came_but_not_what_went),
		cmocka_unit_test(test_never_quiet_namespace_is_told_to_the_guest),
		cmocka_unit_test(test_overrun_of_neighbours_alone_is_just_dirt),
		cmocka_unit_test(test_overrun_is_dirt_like_any_other),
		cmocka_unit_test(test_truncated_and_interrupted_are_told_apart),
		cmocka_unit_test(test_link_away_and_back_is_another_appearance),
		cmocka_unit_test(test_neighbours_are_dumped_at_most_every_250_ms),
		cmocka_unit_test(test_link_hint_gets_two_agreeing_dumps_and_two_confirmations),
		cmocka_unit_test(test_kinds_that_are_clean_are_shared),
		cmocka_unit_test(test_idle_has_no_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
