/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol with the kernel. See observe.h for how it works.
 */
#include "netmon/observe.h"

#include <errno.h>
#include <linux/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"

#define BIT(kind) (1U << (kind))
#define ALL_KINDS (BIT(_MODEL_KIND_MAX) - 1)

/* ---- dirt ---- */

static void mark(struct observe *o, enum model_kind kind)
{
	struct observe_kind *k = &o->kinds[kind];

	k->hints++;
	if (o->dirty & BIT(kind))
		return;
	o->dirty |= BIT(kind);
	k->dirty_since_usec = o->now_usec;
	if (o->first_hint_usec == CLOCK_NEVER)
		o->first_hint_usec = o->now_usec;
}

static void mark_mask(struct observe *o, unsigned kinds)
{
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		if (kinds & BIT(k))
			mark(o, k);
}

/* What else may have changed when something of this kind did. */
static unsigned implied(enum model_kind kind)
{
	if (kind == MODEL_LINK)
		return BIT(MODEL_LINK) | BIT(MODEL_ADDR) | BIT(MODEL_ROUTE) | BIT(MODEL_NEIGH);
	if (kind == MODEL_ADDR)
		return BIT(MODEL_ADDR) | BIT(MODEL_ROUTE);
	return BIT(kind);
}

static void remember_gone(struct observe *o, uint32_t ifindex)
{
	if (!o->gone)
		o->gone = calloc(OBSERVE_GONE_MAX, sizeof(*o->gone));
	if (!o->gone || o->n_gone == OBSERVE_GONE_MAX) {
		o->gone_overflowed = true;
		return;
	}
	o->gone[o->n_gone++] = (struct observe_gone){ ifindex, o->kinds[MODEL_LINK].hints };
}

static void on_hint(void *userdata, const struct source_hint *h)
{
	struct observe *o = userdata;

	o->stats.hints++;
	mark_mask(o, implied(h->kind));
	if (h->kind == MODEL_LINK || h->kind == MODEL_ADDR)
		o->routes_doubted = true;
	if (h->kind == MODEL_LINK && h->link_gone)
		remember_gone(o, h->ifindex);
}

static void on_lost(void *userdata, enum source_condition c, unsigned kinds)
{
	struct observe *o = userdata;

	/* An overrun of neighbours alone is just dirt: their socket is small so that a flood ends there. */
	if (kinds & ~BIT(MODEL_NEIGH))
		o->lost |= 1U << c;
	o->stats.overruns += c == SOURCE_OVERRUN;
	o->stats.truncated += c == SOURCE_TRUNCATED;
	mark_mask(o, kinds);
	if (kinds & (BIT(MODEL_LINK) | BIT(MODEL_ADDR)))
		o->routes_doubted = true;
}

/* Return: 0; SOURCE_AGAIN when there is more to read; -errno. */
static int drain(struct observe *o)
{
	return err_pass(o->ops->drain(o->source, on_hint, on_lost, o));
}

int observe_drain(struct observe *o, uint64_t now_usec)
{
	int r;

	o->now_usec = now_usec;
	r = drain(o);
	return r < 0 ? err_pass(r) : 0;
}

void observe_resync(struct observe *o, uint64_t now_usec)
{
	o->now_usec = now_usec;
	o->routes_doubted = true;
	mark_mask(o, ALL_KINDS);
}

/* ---- from a dump to seen ---- */

static void replace_seen(struct observe *o, struct table *t)
{
	if (table_equal(o->seen.tables[t->kind], t)) {
		table_unref(t);
		return;
	}
	snapshot_replace(&o->seen, t);
	o->changed = true;
	o->generation++;
}

/* Was this link told to be gone, by a hint up to number @until? */
static bool is_gone(const struct observe *o, uint32_t ifindex, uint64_t until)
{
	for (size_t i = 0; i < o->n_gone; i++)
		if (o->gone[i].ifindex == ifindex && o->gone[i].hint <= until)
			return true;
	return false;
}

static void forget_gone(struct observe *o, uint64_t until)
{
	size_t kept = 0;

	for (size_t i = 0; i < o->n_gone; i++)
		if (o->gone[i].hint > until)
			o->gone[kept++] = o->gone[i];
	o->n_gone = kept;
	o->gone_overflowed = false;
}

/*
 * Gives each link the number of its appearance. When more links went than we can tell apart, every
 * link counts as new: one replug too many beats a guest with a dead NIC.
 */
static void number_links(struct observe *o, struct table *t, uint64_t until)
{
	for (size_t i = 0; i < t->n; i++) {
		struct link *l = &t->links[i];
		const struct link *before = table_find_link(snapshot_links(&o->seen), l->ifindex);

		if (!(o->read & BIT(MODEL_LINK)))
			l->incarnation = 0;
		else if (before && !o->gone_overflowed && !is_gone(o, l->ifindex, until))
			l->incarnation = before->incarnation;
		else
			l->incarnation = ++o->births;
	}
}

/*
 * All of @t and, since @t is torn, what it lacks of @before. A link that RTM_DELLINK told of is not
 * kept: that is proof, not doubt.
 */
static int add_missing(const struct observe *o, const struct table *before, uint64_t until,
		       struct table **t)
{
	CLEANUP(table_unrefp) struct table *both = NULL;
	enum model_kind kind = before->kind;
	size_t a = 0, b = 0;
	int r = table_new(&both, kind);

	while (r >= 0 && (a < before->n || b < (*t)->n)) {
		const void *old = a < before->n ? table_at(before, a) : NULL;
		const void *new = b < (*t)->n ? table_at(*t, b) : NULL;

		if (new && (!old || model_compare_key(kind, new, old) <= 0)) {
			r = table_add(both, new);
			b++;
			continue;
		}
		a++;
		if (table_find(*t, old) ||
		    (kind == MODEL_LINK && is_gone(o, before->links[a - 1].ifindex, until)))
			continue;
		r = table_add(both, old);
	}
	if (r < 0)
		return err_pass(r);
	table_seal(both);
	table_unref(*t);
	*t = TAKE_PTR(both);
	return 0;
}

static bool has_inet_addr(const struct snapshot *s, uint32_t ifindex)
{
	size_t n;
	size_t first = table_range_of_link(snapshot_addrs(s), ifindex, &n);

	/* AF_INET sorts before AF_INET6 */
	return n > 0 && snapshot_addrs(s)->addrs[first].family == AF_INET;
}

static bool is_possible(const struct snapshot *s, const struct route *r)
{
	const struct link *l = r->ifindex ? table_find_link(snapshot_links(s), r->ifindex) : NULL;

	if (!r->ifindex)
		return true;
	return l && l->flags & IFF_UP && (r->is_inet6 || has_inet_addr(s, r->ifindex));
}

/*
 * Leaves out what is about to be flushed. Most often nothing is, and the table is used as it came.
 */
static int drop_impossible(const struct observe *o, struct table **t)
{
	CLEANUP(table_unrefp) struct table *kept = NULL;
	size_t i = 0;
	int r;

	while (i < (*t)->n && is_possible(&o->seen, &(*t)->routes[i]))
		i++;
	if (i == (*t)->n)
		return 0;
	r = table_new(&kept, MODEL_ROUTE);
	for (i = 0; r >= 0 && i < (*t)->n; i++)
		if (is_possible(&o->seen, &(*t)->routes[i]))
			r = table_add(kept, &(*t)->routes[i]);
	if (r < 0)
		return err_pass(r);
	table_seal(kept);
	table_unref(*t);
	*t = TAKE_PTR(kept);
	return 0;
}

/* Takes @t. @until: number of the kind's last hint when the dump began. */
static int accept_dump(struct observe *o, struct table *taken, uint64_t until, bool is_clean)
{
	CLEANUP(table_unrefp) struct table *t = taken;
	enum model_kind kind = t->kind;
	int r = 0;

	if (kind == MODEL_LINK)
		number_links(o, t, until);
	if (!is_clean)
		r = add_missing(o, o->seen.tables[kind], until, &t);
	if (r >= 0 && kind == MODEL_ROUTE)
		r = drop_impossible(o, &t);
	if (r < 0)
		return err_pass(r);
	if (kind == MODEL_LINK)
		forget_gone(o, until);
	o->read |= BIT(kind);
	replace_seen(o, TAKE_PTR(t));
	return 0;
}

/* ---- one dump ---- */

static void pause_after_torn(struct observe *o, struct observe_kind *k)
{
	uint64_t pause = OBSERVE_PAUSE_USEC * ++k->torn_in_row;

	if (pause > OBSERVE_PAUSE_MAX_USEC)
		pause = OBSERVE_PAUSE_MAX_USEC;
	if (k->torn_in_row > OBSERVE_TORN_AT_ONCE)
		k->not_before_usec = o->now_usec + pause;
}

/* Dirty again, as old as it was: the ceiling counts from the first hint. */
static void still_dirty(struct observe *o, enum model_kind kind, uint64_t since_usec)
{
	o->dirty |= BIT(kind);
	o->kinds[kind].dirty_since_usec = since_usec;
}

/*
 * Return: 0 with a clean or torn table in *ret and *ret_torn; SOURCE_AGAIN: no table now; -errno.
 * The notifications that the dump may have missed are read right after it.
 */
static int dump_once(struct observe *o, enum model_kind kind, struct table **ret, bool *ret_torn)
{
	CLEANUP(table_unrefp) struct table *t = NULL;
	uint64_t before = o->kinds[kind].hints;
	int condition, r;

	o->stats.dumps++;
	condition = o->ops->dump(o->source, kind, &t);
	if (condition < 0)
		return err_pass(condition);
	r = drain(o);
	if (r < 0)
		return err_pass(r);
	if (condition == SOURCE_INTERRUPTED || condition == SOURCE_TRUNCATED) {
		o->lost |= 1U << condition;
		o->stats.interrupted += condition == SOURCE_INTERRUPTED;
		o->stats.truncated += condition == SOURCE_TRUNCATED;
	}
	if (!t)
		return SOURCE_AGAIN;
	*ret_torn = condition != 0 || r == SOURCE_AGAIN || o->kinds[kind].hints != before;
	*ret = TAKE_PTR(t);
	return 0;
}

static uint64_t table_hash(const struct table *t)
{
	uint64_t hash = MODEL_HASH_SEED + t->n;

	for (size_t i = 0; i < t->n; i++)
		hash = model_hash(t->kind, table_at(t, i), hash);
	return hash;
}

/*
 * The same, repeated until two in a row agree. The first is remembered by its hash, so that no more
 * than one table of 100,000 routes is alive. Never agreeing is being torn.
 */
static int dump_until_two_agree(struct observe *o, enum model_kind kind, struct table **ret,
				bool *ret_torn)
{
	uint64_t last = 0;

	for (int i = 0; i < OBSERVE_AGREE_TRIES; i++) {
		CLEANUP(table_unrefp) struct table *t = NULL;
		uint64_t hash;
		bool torn = false;
		int r = dump_once(o, kind, &t, &torn);

		if (r != 0)
			return err_pass(r);
		hash = table_hash(t);
		if (torn || i == OBSERVE_AGREE_TRIES - 1 || (i > 0 && hash == last)) {
			*ret_torn = torn || hash != last;
			*ret = TAKE_PTR(t);
			return 0;
		}
		last = hash;
	}
	return SOURCE_AGAIN;
}

/* Takes @t, of one moment. Routes that were in doubt are confirmed twice more. */
static int use_clean(struct observe *o, struct table *t, uint64_t until, bool doubted)
{
	o->kinds[t->kind].torn_in_row = 0;
	o->kinds[t->kind].is_forced = false;
	if (doubted) {
		o->confirm_usec[0] = o->now_usec + OBSERVE_CONFIRM_FIRST_USEC;
		o->confirm_usec[1] = o->now_usec + OBSERVE_CONFIRM_LAST_USEC;
	}
	return err_pass(accept_dump(o, t, until, true));
}

/* Takes @t, which may be NULL: thrown away and repeated, until the ceiling makes it count. */
static int use_torn(struct observe *o, enum model_kind kind, struct table *t, uint64_t until,
		    uint64_t since_usec)
{
	o->stats.torn++;
	still_dirty(o, kind, since_usec);
	pause_after_torn(o, &o->kinds[kind]);
	if (!t || o->now_usec - since_usec < OBSERVE_CEILING_USEC) {
		table_unref(t);
		return 0;
	}
	o->stats.forced++;
	o->kinds[kind].is_forced = true;
	o->kinds[kind].dirty_since_usec = o->now_usec;
	return err_pass(accept_dump(o, t, until, false));
}

static int refresh(struct observe *o, enum model_kind kind)
{
	struct observe_kind *k = &o->kinds[kind];
	uint64_t since_usec = k->dirty_since_usec, until = k->hints;
	bool doubted = kind == MODEL_ROUTE && o->routes_doubted;
	struct table *t = NULL;
	bool torn = false;
	int r;

	o->dirty &= ~BIT(kind);
	if (doubted)
		o->routes_doubted = false;
	r = doubted ? dump_until_two_agree(o, kind, &t, &torn) : dump_once(o, kind, &t, &torn);
	if (doubted && (r != 0 || torn))
		o->routes_doubted = true;
	if (r == 0 && !torn)
		r = use_clean(o, t, until, doubted);
	else if (r >= 0)
		r = use_torn(o, kind, t, until, since_usec);
	if (r < 0) { /* no memory for it: as dirty as before */
		still_dirty(o, kind, since_usec);
		o->routes_doubted |= doubted;
	}
	return err_pass(r);
}

/* ---- steps ---- */

static bool is_due(const struct observe *o, enum model_kind kind)
{
	return o->dirty & BIT(kind) && o->now_usec >= o->kinds[kind].not_before_usec;
}

static void start_due_confirmations(struct observe *o)
{
	for (size_t i = 0; i < 2; i++) {
		if (o->now_usec < o->confirm_usec[i])
			continue;
		o->confirm_usec[i] = CLOCK_NEVER;
		if (o->dirty & BIT(MODEL_ROUTE))
			continue;
		o->dirty |= BIT(MODEL_ROUTE);
		o->kinds[MODEL_ROUTE].dirty_since_usec = o->now_usec;
		o->confirming = true;
	}
}

/*
 * A confirmation that finds something was worth it: the kernel is still at it, so it is confirmed
 * again.
 */
static int refresh_routes(struct observe *o)
{
	uint64_t hints = o->kinds[MODEL_ROUTE].hints, generation = o->generation;
	bool confirming = o->confirming;
	int r = refresh(o, MODEL_ROUTE);

	if (r < 0)
		return err_pass(r);
	if (o->dirty & BIT(MODEL_ROUTE))
		return 0;
	o->confirming = false;
	if (confirming && hints == o->kinds[MODEL_ROUTE].hints && generation != o->generation) {
		o->stats.too_early++;
		o->confirm_usec[0] = o->now_usec + OBSERVE_CONFIRM_FIRST_USEC;
		o->confirm_usec[1] = o->now_usec + OBSERVE_CONFIRM_LAST_USEC;
	}
	return 0;
}

/* Of these a flood is no reason to work: a pause follows each dump. */
static int refresh_rarely(struct observe *o, enum model_kind kind, uint64_t pause_usec)
{
	int r = refresh(o, kind);

	o->kinds[kind].not_before_usec = o->now_usec + pause_usec;
	return err_pass(r);
}

static int refresh_links_and_addrs(struct observe *o)
{
	int r = is_due(o, MODEL_LINK) ? refresh(o, MODEL_LINK) : 0;

	if (r >= 0 && is_due(o, MODEL_ADDR))
		r = refresh(o, MODEL_ADDR);
	return err_pass(r);
}

static int refresh_due(struct observe *o)
{
	if (is_due(o, MODEL_LINK) || is_due(o, MODEL_ADDR))
		return err_pass(refresh_links_and_addrs(o));
	if (is_due(o, MODEL_ROUTE))
		return err_pass(refresh_routes(o));
	if (is_due(o, MODEL_NEIGH))
		return err_pass(refresh_rarely(o, MODEL_NEIGH, OBSERVE_NEIGH_USEC));
	if (is_due(o, MODEL_POLICY))
		return err_pass(refresh_rarely(o, MODEL_POLICY, OBSERVE_POLICY_USEC));
	return 0;
}

int observe_step(struct observe *o, uint64_t now_usec)
{
	int r;

	o->now_usec = now_usec;
	r = drain(o);
	if (r < 0)
		return err_pass(r);
	start_due_confirmations(o);
	r = refresh_due(o);
	if (r < 0)
		return err_pass(r);
	if (!o->dirty)
		o->first_hint_usec = CLOCK_NEVER;
	return observe_deadline(o) <= now_usec ? OBSERVE_MORE : 0;
}

uint64_t observe_deadline(const struct observe *o)
{
	uint64_t deadline = CLOCK_NEVER;

	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		if (o->dirty & BIT(k) && o->kinds[k].not_before_usec < deadline)
			deadline = o->kinds[k].not_before_usec;
	for (size_t i = 0; i < 2; i++)
		if (o->confirm_usec[i] < deadline)
			deadline = o->confirm_usec[i];
	return deadline;
}

bool observe_is_settled(const struct observe *o, enum model_kind kind)
{
	return !(o->dirty & BIT(kind)) || o->kinds[kind].is_forced ||
	       (kind == MODEL_ROUTE && o->confirming);
}

bool observe_is_complete(const struct observe *o)
{
	return o->read == ALL_KINDS;
}

bool observe_take_changed(struct observe *o)
{
	bool changed = o->changed;

	o->changed = false;
	return changed;
}

unsigned observe_take_lost(struct observe *o)
{
	unsigned lost = o->lost;

	o->lost = 0;
	return lost;
}

int observe_init(struct observe *o, const struct source_ops *ops, void *source, uint64_t now_usec)
{
	int r;

	memset(o, 0, sizeof(*o));
	o->ops = ops;
	o->source = source;
	o->first_hint_usec = CLOCK_NEVER;
	o->confirm_usec[0] = o->confirm_usec[1] = CLOCK_NEVER;
	r = snapshot_init(&o->seen);
	if (r < 0)
		return err_pass(r);
	observe_resync(o, now_usec);
	return 0;
}

void observe_done(struct observe *o)
{
	snapshot_done(&o->seen);
	free(o->gone);
	o->gone = NULL;
}
