/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the journal that state.h describes. For state.c, and for the fuzzer.
 *
 * Line by line through one bounded buffer, so that a journal of 100,000 routes costs its table and
 * one line. Nothing is applied to a table as it is read: what a done intent takes and brings is
 * collected, and folded into the tables by one merge when much has come together. So neither one
 * intent of 100,000 routes nor 100,000 intents of one are more than a sort.
 */
#pragma once

#include "netmon/state.h"

enum {
	_STATE_LOAD_OK = 0,
	STATE_LOAD_NOTHING = 1, /* not even a whole first line */
	STATE_LOAD_FOREIGN = 2, /* of another life */
	STATE_LOAD_DAMAGED =
		3, /* what stood before the damage was read; @ret is fresh if that was nothing */
};

/**
 * state_load() - read a journal from its beginning
 * @fd: at offset 0
 * @ret: done by the caller; is_fresh unless something was read; its acked is usable in any case
 * @ret_vm: the VM that was written there, pid 0 if none
 *
 * Return: 0; a STATE_LOAD_ condition; -ENOMEM.
 */
int state_load(int fd, const struct state_identity *identity, struct state_loaded *ret,
	       struct process_id *ret_vm);

/*
 * Which items are the same one to a journal: what brings one replaces the same one. Links,
 * addresses and neighbours by their key, routes by their whole value, since a plan names both sides
 * of a replaced route. Same order as model_compare().
 */
int state_load_compare(enum model_kind kind, const void *a, const void *b);
