/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values that the other side has turned down for good, so that idle stays idle.
 *
 * Keyed by a hash of the value: another value of the same object is a new question. A value is
 * final after it was refused REFUSED_FINAL times, since a runtime that is just starting says
 * strange things. Bounded: when REFUSED_MAX values are held the oldest is forgotten, which costs
 * one more question. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REFUSED_MAX   1024
#define REFUSED_FINAL 2

struct refused {
	struct refused_entry {
		uint64_t hash;
		unsigned times;
	} * entries; /* in order of arrival */
	size_t n;
};

void refused_done(struct refused *r);
/* One more refusal. Return: how often it was refused now; -ENOMEM. */
int refused_add(struct refused *r, uint64_t hash);
bool refused_is_final(const struct refused *r, uint64_t hash);
size_t refused_count(const struct refused *r); /* values that are final */
