/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When is a link ready to be told? See settle.h.
 */
#include "netmon/settle.h"

#include <errno.h>
#include <linux/if.h>
#include <stdlib.h>

#include "base/error.h"

void settle_done(struct settle *s)
{
	free(s->entries);
	s->entries = NULL;
	s->n = 0;
}

static const struct settle_entry *find(const struct settle *s, uint32_t ifindex)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (s->entries[middle].ifindex < ifindex)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->n && s->entries[low].ifindex == ifindex ? &s->entries[low] : NULL;
}

static bool is_announced(const struct snapshot *acked, const struct link *l)
{
	const struct link *known = table_find_link(snapshot_links(acked), l->ifindex);

	return known && known->incarnation == l->incarnation;
}

static struct settle_entry look_at(const struct settle *s, const struct view_config *config,
				   const struct snapshot *seen, const struct link *l,
				   uint64_t now_usec)
{
	const struct settle_entry *before = find(s, l->ifindex);
	struct settle_entry e = { .ifindex = l->ifindex, .incarnation = l->incarnation };

	if (before && before->incarnation != l->incarnation)
		before = NULL;
	e.addrs_hash = view_addrs_hash(config, seen, l->ifindex, &e.n_addrs);
	if (before && before->addrs_hash == e.addrs_hash)
		e.changed_usec = before->changed_usec;
	else
		e.changed_usec = s->has_looked ? now_usec : 0;
	/* As long as it is up, so that a carrier that flaps does not put it off for ever. */
	if (before && before->ready_usec && l->flags & IFF_UP)
		e.ready_usec = before->ready_usec;
	else if (view_is_ready(l) && view_is_pluggable(config, seen, l))
		e.ready_usec = now_usec;
	return e;
}

int settle_update(struct settle *s, const struct view_config *config, const struct snapshot *seen,
		  const struct snapshot *acked, uint64_t now_usec)
{
	const struct table *links = snapshot_links(seen);
	struct settle_entry *entries = calloc(links->n + 1, sizeof(*entries));

	if (!entries)
		return err_raise(-ENOMEM, "settle %zu links", links->n);
	for (size_t i = 0; i < links->n; i++) {
		entries[i] = look_at(s, config, seen, &links->links[i], now_usec);
		entries[i].is_announced = is_announced(acked, &links->links[i]);
	}
	free(s->entries);
	s->entries = entries;
	s->n = links->n;
	s->has_looked = true;
	return 0;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* When this link may be told; 0: it does not wait. */
static uint64_t go_usec(const struct settle *s, const struct settle_entry *e)
{
	uint64_t still = e->changed_usec ? e->changed_usec + SETTLE_QUIET_USEC : 0;

	if (s->max_usec == 0)
		return 0;
	if (e->is_announced)
		return still;
	if (!e->ready_usec)
		return 0; /* not ready: another's question (view_is_ready) */
	return e->n_addrs == 0 ? e->ready_usec + s->max_usec
			       : earlier(still, e->ready_usec + s->max_usec);
}

bool settle_is_held(const struct settle *s, uint32_t ifindex, uint64_t now_usec)
{
	const struct settle_entry *e = find(s, ifindex);

	return e && now_usec < go_usec(s, e);
}

uint64_t settle_deadline(const struct settle *s, uint64_t now_usec)
{
	uint64_t deadline = CLOCK_NEVER;

	for (size_t i = 0; i < s->n; i++) {
		uint64_t go = go_usec(s, &s->entries[i]);

		if (go > now_usec)
			deadline = earlier(deadline, go);
	}
	return deadline;
}
