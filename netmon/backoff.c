/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A time for each object. See backoff.h.
 */
#include "netmon/backoff.h"

#include <errno.h>

#include "base/error.h"

struct backoff_entry {
	uint64_t not_before_usec;
	unsigned attempts;
	bool is_used; /* somebody asked for it since backoff_begin_use() */
};

void backoff_init(struct backoff *b, uint64_t seed)
{
	*b = (struct backoff){ .entries = MAP_OF(struct backoff_entry), .random = seed | 1 };
}

void backoff_done(struct backoff *b)
{
	map_done(&b->entries);
}

static struct backoff_entry *find(const struct backoff *b, uint64_t object)
{
	return map_find(&b->entries, object);
}

/* xorshift64*: jitter needs no more. */
static uint64_t next_random(struct backoff *b)
{
	b->random ^= b->random >> 12;
	b->random ^= b->random << 25;
	b->random ^= b->random >> 27;
	return b->random * UINT64_C(0x2545f4914f6cdd1d);
}

/* Each three quarters to five quarters of what it should be. */
static uint64_t wait_usec(struct backoff *b, unsigned attempts)
{
	uint64_t usec = BACKOFF_FIRST_USEC;

	for (unsigned i = 1; i < attempts && usec < BACKOFF_MAX_USEC; i++)
		usec *= 2;
	if (usec > BACKOFF_MAX_USEC)
		usec = BACKOFF_MAX_USEC;
	return usec - usec / 4 + next_random(b) % (usec / 2);
}

int backoff_add(struct backoff *b, uint64_t object, uint64_t now_usec)
{
	struct backoff_entry *e = map_put(&b->entries, object);

	if (!e)
		return err_raise(-ENOMEM, "back off");
	e->attempts++;
	e->not_before_usec = now_usec + wait_usec(b, e->attempts);
	return 0;
}

void backoff_clear(struct backoff *b, uint64_t object)
{
	map_remove(&b->entries, object);
}

bool backoff_is_waiting(const struct backoff *b, uint64_t object, uint64_t now_usec)
{
	const struct backoff_entry *e = find(b, object);

	return e && now_usec < e->not_before_usec;
}

bool backoff_use(struct backoff *b, uint64_t object, uint64_t now_usec)
{
	struct backoff_entry *e = find(b, object);

	if (e)
		e->is_used = true;
	return e && now_usec < e->not_before_usec;
}

unsigned backoff_attempt(const struct backoff *b, uint64_t object)
{
	const struct backoff_entry *e = find(b, object);

	return e ? e->attempts + 1 : 1;
}

uint64_t backoff_deadline(const struct backoff *b, uint64_t now_usec)
{
	uint64_t deadline = CLOCK_NEVER, object;
	size_t at = 0;
	void *value;

	while (map_next(&b->entries, &at, &object, &value)) {
		uint64_t usec = ((const struct backoff_entry *)value)->not_before_usec;

		if (usec > now_usec && usec < deadline)
			deadline = usec;
	}
	return deadline;
}

size_t backoff_count(const struct backoff *b)
{
	return b->entries.n;
}

void backoff_begin_use(struct backoff *b)
{
	size_t at = 0;
	uint64_t object;
	void *value;

	while (map_next(&b->entries, &at, &object, &value))
		((struct backoff_entry *)value)->is_used = false;
}

static bool is_wanted(const void *value, const void *now_usec)
{
	const struct backoff_entry *e = value;

	return e->is_used || *(const uint64_t *)now_usec < e->not_before_usec;
}

void backoff_end_use(struct backoff *b, uint64_t now_usec)
{
	map_filter(&b->entries, is_wanted, &now_usec);
}
