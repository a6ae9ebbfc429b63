/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A time for each object. See backoff.h.
 */
#include "netmon/backoff.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"

#define BACKOFF_FIRST_CAPACITY 8

void backoff_init(struct backoff *b, uint64_t seed)
{
	*b = (struct backoff){ .random = seed | 1 };
}

void backoff_done(struct backoff *b)
{
	free(b->entries);
	*b = (struct backoff){ 0 };
}

static struct backoff_entry *find(const struct backoff *b, uint64_t object)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->entries[i].object == object)
			return &b->entries[i];
	return NULL;
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

static struct backoff_entry *add(struct backoff *b, uint64_t object)
{
	if (b->n == b->capacity) {
		size_t capacity = b->capacity ? b->capacity * 2 : BACKOFF_FIRST_CAPACITY;
		struct backoff_entry *grown =
			reallocarray(b->entries, capacity, sizeof(*b->entries));

		if (!grown)
			return NULL;
		b->entries = grown;
		b->capacity = capacity;
	}
	b->entries[b->n] = (struct backoff_entry){ .object = object };
	return &b->entries[b->n++];
}

int backoff_add(struct backoff *b, uint64_t object, uint64_t now_usec)
{
	struct backoff_entry *e = find(b, object);

	if (!e)
		e = add(b, object);
	if (!e)
		return err_raise(-ENOMEM, "back off");
	e->attempts++;
	e->not_before_usec = now_usec + wait_usec(b, e->attempts);
	return 0;
}

void backoff_clear(struct backoff *b, uint64_t object)
{
	struct backoff_entry *e = find(b, object);

	if (e)
		*e = b->entries[--b->n];
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
	uint64_t deadline = CLOCK_NEVER;

	for (size_t i = 0; i < b->n; i++)
		if (b->entries[i].not_before_usec > now_usec &&
		    b->entries[i].not_before_usec < deadline)
			deadline = b->entries[i].not_before_usec;
	return deadline;
}

void backoff_begin_use(struct backoff *b)
{
	for (size_t i = 0; i < b->n; i++)
		b->entries[i].is_used = false;
}

void backoff_end_use(struct backoff *b, uint64_t now_usec)
{
	size_t kept = 0;

	for (size_t i = 0; i < b->n; i++)
		if (b->entries[i].is_used || now_usec < b->entries[i].not_before_usec)
			b->entries[kept++] = b->entries[i];
	b->n = kept;
}
