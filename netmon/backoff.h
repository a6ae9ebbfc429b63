/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was tried in vain and is tried again later: a time for each object, 100 ms doubling to 10 s.
 *
 * An object is a number that its user makes up. Pure: the clock is an argument.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/map.h"

#define BACKOFF_FIRST_USEC (100 * CLOCK_USEC_PER_MSEC)
#define BACKOFF_MAX_USEC   (10 * CLOCK_USEC_PER_SEC)

struct backoff {
	struct map entries; /* struct backoff_entry, by object */
	uint64_t random;    /* of the jitter; never 0 */
};

void backoff_init(struct backoff *b, uint64_t seed);
void backoff_done(struct backoff *b); /* legal on a zeroed one */

/* It failed once more. Return: 0, -ENOMEM: it may be tried at once. */
int backoff_add(struct backoff *b, uint64_t object, uint64_t now_usec);
void backoff_clear(struct backoff *b, uint64_t object); /* it went well */
bool backoff_is_waiting(const struct backoff *b, uint64_t object, uint64_t now_usec);
/* The same, and somebody wants it still. */
bool backoff_use(struct backoff *b, uint64_t object, uint64_t now_usec);
/* Which attempt the next one is, from 1. */
unsigned backoff_attempt(const struct backoff *b, uint64_t object);
size_t backoff_count(const struct backoff *b); /* objects */
/* When the first of those that wait may be tried; CLOCK_NEVER. */
uint64_t backoff_deadline(const struct backoff *b, uint64_t now_usec);

/* Around the uses of one plan: an object that nobody wants any more has nothing to back off from. */
void backoff_begin_use(struct backoff *b);
void backoff_end_use(struct backoff *b, uint64_t now_usec);
