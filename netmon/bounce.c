/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When each link was bounced last. See bounce.h.
 */
#include "netmon/bounce.h"

#include <stdlib.h>

void bounce_done(struct bounces *b)
{
	free(b->links);
	*b = (struct bounces){ 0 };
}

/* When it may be bounced again; 0: now */
static uint64_t next_usec(const struct bounces *b, uint32_t ifindex)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->links[i].ifindex == ifindex)
			return b->links[i].usec + BOUNCE_GAP_USEC;
	return 0;
}

uint64_t bounce_limit(const struct bounces *b, struct withdraw *w, uint64_t now_usec)
{
	uint64_t again_usec = CLOCK_NEVER;
	size_t kept = 0;

	for (size_t i = 0; i < w->n_bounce; i++) {
		uint64_t usec = next_usec(b, w->bounce[i]);

		if (usec <= now_usec)
			w->bounce[kept++] = w->bounce[i];
		else if (usec < again_usec)
			again_usec = usec;
	}
	w->n_bounce = kept;
	return again_usec;
}

static void forget_old(struct bounces *b, uint64_t now_usec)
{
	size_t kept = 0;

	for (size_t i = 0; i < b->n; i++)
		if (now_usec < b->links[i].usec + BOUNCE_GAP_USEC)
			b->links[kept++] = b->links[i];
	b->n = kept;
}

void bounce_note(struct bounces *b, uint32_t ifindex, uint64_t now_usec)
{
	struct bounce_last *grown;

	forget_old(b, now_usec);
	grown = reallocarray(b->links, b->n + 1, sizeof(*grown));
	if (!grown)
		return; /* one bounce too early at worst */
	b->links = grown;
	b->links[b->n++] = (struct bounce_last){ ifindex, now_usec };
}
