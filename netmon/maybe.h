/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links that the other side may have, though nobody saw it say so: an addition that nobody answered, a link
 * of before us. They are remembered until they are told for sure or taken back.
 *
 * Pure, and owned by reconcile.c; the journal keeps them over a restart.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "netmon/model.h"

struct maybe {
	struct link *links; /* one of each ifindex and incarnation */
	size_t n;
};

struct link *maybe_find(const struct maybe *m,
			const struct link *l);	      /* of the same life, or NULL */
int maybe_add(struct maybe *m, const struct link *l); /* Return: 0, -ENOMEM. */
/* It was told, or taken back: now it is known, in each of its lives. */
void maybe_clear(struct maybe *m, uint32_t ifindex);
void maybe_done(struct maybe *m); /* empties it; legal on a zeroed one */
