/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How it works: linear probing; at most three quarters are used. What is removed leaves no mark
 * behind: those that follow it and would be looked for in its place move up.
 */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#define MAP_FIRST_CAPACITY 16

void map_done(struct map *m)
{
	free(m->keys);
	free(m->used);
	free(m->values);
	*m = (struct map){ .value_bytes = m->value_bytes };
}

/* Source: the finalizer of MurmurHash3. Numbers in a row do not fall into places in a row. */
static size_t place(const struct map *m, uint64_t key)
{
	key ^= key >> 33;
	key *= UINT64_C(0xff51afd7ed558ccd);
	key ^= key >> 33;
	return (size_t)key & (m->capacity - 1);
}

static void *value_at(const struct map *m, size_t i)
{
	return m->values + i * m->value_bytes;
}

/* Where it is, or where it would be put. */
static size_t look(const struct map *m, uint64_t key)
{
	size_t i = place(m, key);

	while (m->used[i] && m->keys[i] != key)
		i = (i + 1) & (m->capacity - 1);
	return i;
}

void *map_find(const struct map *m, uint64_t key)
{
	size_t i;

	if (m->n == 0)
		return NULL;
	i = look(m, key);
	return m->used[i] ? value_at(m, i) : NULL;
}

static bool alloc(struct map *m, size_t capacity)
{
	m->capacity = capacity;
	m->keys = calloc(capacity, sizeof(*m->keys));
	m->used = calloc(capacity, sizeof(*m->used));
	m->values = calloc(capacity, m->value_bytes);
	if (m->keys && m->used && m->values)
		return true;
	map_done(m);
	return false;
}

static void *take(struct map *m, size_t i, uint64_t key)
{
	m->used[i] = true;
	m->keys[i] = key;
	m->n++;
	return value_at(m, i);
}

static bool grow(struct map *m)
{
	struct map bigger = { .value_bytes = m->value_bytes };

	if (!alloc(&bigger, m->capacity ? m->capacity * 2 : MAP_FIRST_CAPACITY))
		return false;
	for (size_t i = 0; i < m->capacity; i++)
		if (m->used[i])
			memcpy(take(&bigger, look(&bigger, m->keys[i]), m->keys[i]), value_at(m, i),
			       m->value_bytes);
	map_done(m);
	*m = bigger;
	return true;
}

void *map_put(struct map *m, uint64_t key)
{
	void *value = map_find(m, key);
	size_t i;

	if (value)
		return value;
	if (m->n + 1 > m->capacity / 4 * 3 && !grow(m))
		return NULL;
	i = look(m, key);
	memset(value_at(m, i), 0, m->value_bytes);
	return take(m, i, key);
}

/* Is @home of what stands at @i cyclically behind the hole? Then it is found without moving. */
static bool stays(size_t hole, size_t home, size_t i)
{
	return hole < i ? hole < home && home <= i : hole < home || home <= i;
}

static void remove_at(struct map *m, size_t hole)
{
	size_t i = hole;

	m->used[hole] = false;
	m->n--;
	for (;;) {
		i = (i + 1) & (m->capacity - 1);
		if (!m->used[i])
			return;
		if (stays(hole, place(m, m->keys[i]), i))
			continue;
		m->keys[hole] = m->keys[i];
		memcpy(value_at(m, hole), value_at(m, i), m->value_bytes);
		m->used[hole] = true;
		m->used[i] = false;
		hole = i;
	}
}

void map_remove(struct map *m, uint64_t key)
{
	size_t i;

	if (m->n == 0)
		return;
	i = look(m, key);
	if (m->used[i])
		remove_at(m, i);
}

bool map_next(const struct map *m, size_t *at, uint64_t *ret_key, void **ret_value)
{
	for (; *at < m->capacity; (*at)++) {
		if (!m->used[*at])
			continue;
		*ret_key = m->keys[*at];
		*ret_value = value_at(m, *at);
		(*at)++;
		return true;
	}
	return false;
}

/*
 * Backwards: what a removal moves up comes from behind, and was looked at; what it takes around the
 * end is looked at again, which does no harm.
 */
void map_filter(struct map *m, bool (*keep)(const void *value, const void *arg), const void *arg)
{
	for (size_t i = m->capacity; i-- > 0;)
		while (m->used[i] && !keep(value_at(m, i), arg))
			remove_at(m, i);
}
