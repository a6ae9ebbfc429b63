/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is acked after the other side has said what it has: after a start, and after each lost
 * connection, since it may have been restarted, or been spoken to by another, meanwhile.
 *
 * Links and addresses are believed: a link of the pod is the one of the guest with its MAC. What is
 * said of routes and neighbours is believed only where it is exact (Kata's agent loses the
 * destination of a gatewayed route, and has no list of neighbours); otherwise what was acked may be
 * there still or not: it is kept, so that it can be taken back, and what is wanted of it is told
 * once more (reconcile.c).
 *
 * Pure.
 */
#pragma once

#include "netmon/sink.h"
#include "netmon/snapshot.h"
#include "netmon/view.h"

/**
 * adopt_guest() - acked, as the guest says
 * @view: says which of the pod's links may be told at all
 * @acked: as it was; names the links that were told. @seen: the pod's, for those that were not
 * @guest: numbered by itself, see struct sink_guest
 * @ret: the caller's. Links that have no MAC in the pod are nobody's business and are left out; so
 *       are IPv6 link-local addresses that nobody told.
 * Return: 0, -ENOMEM.
 */
int adopt_guest(const struct view_config *view, const struct snapshot *acked,
		const struct snapshot *seen, const struct sink_guest *guest, struct snapshot *ret);
