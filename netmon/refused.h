/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values that the other side has turned down for good, so that idle stays idle.
 *
 * Keyed by a hash of the value: another value of the same object is a new question. A value is
 * final after it was refused several times, since a runtime that is just starting, and an agent whose
 * kernel is busy, say strange things. What nobody asks about any more is forgotten: there are never
 * more than there are things that are wanted. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"

#define REFUSED_FINAL 2 /* refusals, unless said otherwise */

struct refused {
	struct map entries;   /* struct refused_entry */
	unsigned final_times; /* refusals after which one is final; 0: REFUSED_FINAL */
};

void refused_done(struct refused *r); /* a zeroed one is empty, and legal everywhere */
/* One more refusal. Return: how often it was refused now; -ENOMEM. */
int refused_add(struct refused *r, uint64_t hash);
/* Asks, and says by that that it is wanted still. */
bool refused_is_final(struct refused *r, uint64_t hash);
size_t refused_count(const struct refused *r); /* values that are final */

/* Around the questions of one plan. */
void refused_begin_use(struct refused *r);
void refused_end_use(struct refused *r);
