/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values that the other side has turned down for good. See refused.h.
 */
#include "netmon/refused.h"

#include <errno.h>

#include "base/error.h"

struct refused_entry {
	unsigned times;
	bool is_used;
};

static bool is_final(const struct refused *r, const struct refused_entry *e)
{
	return e->times >= (r->final_times ? r->final_times : REFUSED_FINAL);
}

void refused_done(struct refused *r)
{
	map_done(&r->entries);
}

int refused_add(struct refused *r, uint64_t hash)
{
	struct refused_entry *e;

	r->entries.value_bytes = sizeof(*e);
	e = map_put(&r->entries, hash);
	if (!e)
		return err_raise(-ENOMEM, "remember a refused value");
	e->is_used = true;
	return (int)++e->times;
}

bool refused_is_final(struct refused *r, uint64_t hash)
{
	struct refused_entry *e = map_find(&r->entries, hash);

	if (!e)
		return false;
	e->is_used = true;
	return is_final(r, e);
}

size_t refused_count(const struct refused *r)
{
	size_t n = 0, at = 0;
	uint64_t hash;
	void *e;

	while (map_next(&r->entries, &at, &hash, &e))
		n += is_final(r, e);
	return n;
}

void refused_begin_use(struct refused *r)
{
	size_t at = 0;
	uint64_t hash;
	void *e;

	while (map_next(&r->entries, &at, &hash, &e))
		((struct refused_entry *)e)->is_used = false;
}

static bool is_used(const void *value, const void *arg)
{
	(void)arg;
	return ((const struct refused_entry *)value)->is_used;
}

void refused_end_use(struct refused *r)
{
	map_filter(&r->entries, is_used, NULL);
}
