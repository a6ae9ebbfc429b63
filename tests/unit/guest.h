/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest as the dullest model of it: lists, and one op after the other.
 *
 * It knows nothing of plan_apply() and is what that is held against. An op that no guest could
 * carry out (a link that is there already, a route on a link that is not) fails the test.
 */
#pragma once

#include <stdbool.h>

#include "netmon/plan.h"
#include "tests/unit/pod.h"

struct guest {
	struct pod net; /* guest form */
	bool routes_stale;
};

void guest_load(struct guest *g, const struct snapshot *s);
/* Fails the test when the op is not legal in this guest. */
void guest_apply(struct guest *g, const struct plan *p, const struct op *op);
/* Fails the test when @s says anything else. Policies are nobody's business here. */
void guest_assert_equal(const struct guest *g, const struct snapshot *s);
bool guest_has_link(const struct guest *g, uint32_t ifindex);
