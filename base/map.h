/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A map from numbers to small values, by open addressing.
 *
 * Keys are hashes already, or as good as that: they are mixed once. Values are of one size and are
 * zero when they are made; a pointer to one is good until the next change of the map. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map {
	size_t value_bytes;
	size_t n;
	size_t capacity; /* a power of two, or 0 */
	uint64_t *keys;
	bool *used;
	char *values;
};

#define MAP_OF(type) ((struct map){ .value_bytes = sizeof(type) })

void map_done(struct map *m); /* empties it; legal on MAP_OF(); usable with CLEANUP() */
/* Return: its value, NULL when it is not there. */
void *map_find(const struct map *m, uint64_t key);
/* Return: its value, made when it was not there; NULL without memory. */
void *map_put(struct map *m, uint64_t key);
void map_remove(struct map *m, uint64_t key); /* also of what is not there */
/*
 * Walks in no order: start with *at 0. Return: false at the end. Nothing may be put or removed
 * meanwhile, but by map_filter().
 */
bool map_next(const struct map *m, size_t *at, uint64_t *ret_key, void **ret_value);
/* Removes those of which @keep says false. */
void map_filter(struct map *m, bool (*keep)(const void *value, const void *arg), const void *arg);
