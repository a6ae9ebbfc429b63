/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The numbers by which reconcile.c remembers what failed: objects for backoff.h, values for refused.h.
 *
 * An object is a link, a destination, a neighbour; what fails for the fault of no single one is the set of all
 * routes or of all neighbours. Pure.
 */
#pragma once

#include <stdint.h>

#include "netmon/plan.h"

uint64_t object_of_link(uint32_t ifindex);
uint64_t object_of_route(const struct route *r); /* by its destination */
uint64_t object_of_op(const struct plan *p, const struct op *op);
/* What backs off when none of the ops that went together is to blame; object_of_op() if it goes alone. */
uint64_t object_of_group(const struct plan *p, const struct op *op);

/*
 * The key of a refusal: the value that the op brings; 0 for an op that brings none (a deletion is
 * never refused for good).
 */
uint64_t object_value(const struct plan *p, const struct op *op);
