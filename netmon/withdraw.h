/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How something is taken back from a guest whose agent has no word for that.
 *
 * A route that such an agent keeps (sink_caps.keeps_routes) is overwritten: by a shadow, a route to
 * the same destination by the next hop of what covers it now, so that packets go where they would go
 * without it. There is no outage, and a shadow follows what it shadows, since it is made anew with
 * each plan. Where nothing covers it the link that it is on is bounced: an update of the link
 * as it is, which takes it down over there and flushes its routes; or it is reported.
 * What stays over there all the same (links, IPv4 addresses, neighbours, such routes) is noted.
 *
 * Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netmon/sink.h"
#include "netmon/view.h"

enum withdraw_policy {
	WITHDRAW_BOUNCE,
	WITHDRAW_REPORT,
	_WITHDRAW_POLICY_MAX,
};

int withdraw_policy_from_string(const char *s, enum withdraw_policy *ret); /* -EINVAL */

struct withdraw {
	uint32_t *bounce; /* ifindexes, each once */
	size_t n_bounce;
};

void withdraw_done(struct withdraw *w); /* legal on { 0 }; usable with CLEANUP() */

struct withdraw_input {
	const struct snapshot *acked;
	/* routes that may be there in the place of doubtful ones of acked (doubt.h); NULL: none */
	const struct table *instead;
	const struct sink_caps *caps;
	enum withdraw_policy policy;
};

/**
 * withdraw_plan() - how what acked has and @wanted has not is taken back
 * @wanted: gets the shadows. @notes: gets what stays (VIEW_GUEST_ONLY)
 * @ret: the caller's: links whose routes go by a bounce
 *
 * Does nothing for a side that keeps nothing. Return: 0, -ENOMEM.
 */
int withdraw_plan(const struct withdraw_input *in, struct snapshot *wanted,
		  struct view_notes *notes, struct withdraw *ret);
