/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values that the other side has turned down for good. See refused.h.
 */
#include "netmon/refused.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

static struct refused_entry *find(const struct refused *r, uint64_t hash)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->entries[i].hash == hash)
			return &r->entries[i];
	return NULL;
}

void refused_done(struct refused *r)
{
	free(r->entries);
	*r = (struct refused){ 0 };
}

static void forget_oldest(struct refused *r)
{
	memmove(r->entries, r->entries + 1, (r->n - 1) * sizeof(*r->entries));
	r->n--;
}

int refused_add(struct refused *r, uint64_t hash)
{
	struct refused_entry *e = find(r, hash);

	if (e)
		return (int)++e->times;
	if (!r->entries) {
		r->entries = calloc(REFUSED_MAX, sizeof(*r->entries));
		if (!r->entries)
			return err_raise(-ENOMEM, "remember a refused value");
	}
	if (r->n == REFUSED_MAX)
		forget_oldest(r);
	r->entries[r->n++] = (struct refused_entry){ .hash = hash, .times = 1 };
	return 1;
}

bool refused_is_final(const struct refused *r, uint64_t hash)
{
	const struct refused_entry *e = find(r, hash);

	return e && e->times >= REFUSED_FINAL;
}

size_t refused_count(const struct refused *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->entries[i].times >= REFUSED_FINAL;
	return n;
}
