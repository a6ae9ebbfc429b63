/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random networks for property tests.
 *
 * They come from a small universe (a handful of links, addresses and destinations), so that two of
 * them have much in common and differ in every way that there is. The seed is printed;
 * NETMON_SEED=N repeats a run.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "netmon/snapshot.h"

struct random_net {
	uint64_t state;
};

/* Links have the numbers 1 ... RANDOM_NET_LINKS. */
#define RANDOM_NET_LINKS 7

/* Takes NETMON_SEED or a seed of its own, and prints it. */
void random_net_start(struct random_net *r);
uint32_t random_net_below(struct random_net *r, uint32_t n);
bool random_net_chance(struct random_net *r, unsigned percent);

/*
 * Guest form: routes and neighbours unique by key, all on links that exist, each MAC once. @ret:
 * the caller's.
 */
void random_net_guest(struct random_net *r, struct snapshot *ret);
/*
 * As a kernel may show it: flags, masters, metrics, unsayable routes, equal MACs, policies. @ret:
 * the caller's.
 */
void random_net_seen(struct random_net *r, struct snapshot *ret);
/* The same values, filled in another order and some of them twice. @ret: the caller's. */
void random_net_shuffle(struct random_net *r, const struct snapshot *s, struct snapshot *ret);
