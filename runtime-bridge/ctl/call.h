/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent, called as a function is: each call waits for its end on an event loop of its own.
 *
 * For programs that do one thing and exit. One deadline spans all: finding the agent, connecting and
 * every call. A lost connection is not tried again: whoever called us does that.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "agent-proto/agent.h"
#include "base/cleanup.h"

/* Conditions, which are netmonctl's exit statuses too (2 is a usage error). */
enum {
	CALL_FINE = 0,
	CALL_REFUSED = 1,     /* the agent said no: call_code(), call_why() */
	CALL_UNREACHABLE = 3, /* not found, or no connection */
	CALL_NO_ANSWER = 4,   /* none in time, the connection was lost, or what came is no answer */
	CALL_CANNOT = 5,      /* this agent has no such call */
};

struct call;

/**
 * call_new() - nothing is done yet
 * @target: an agent's URL or absolute path, or a sandbox's id
 * @timeout_usec: from now on, for everything
 * Return: 0; -EINVAL: neither URL nor id, with a sentence; -ENOMEM, -errno of sd-event
 */
int call_new(struct call **ret, const char *target, uint64_t timeout_usec);
struct call *call_free(struct call *c); /* returns NULL */
DEFINE_CLEANUP(struct call, call_free)

/**
 * call_do() - one call; the first one finds the agent and connects
 * @payload: encoded message; { 0 } for none
 * @ret: the answer, in @c until the next call
 * Return: CALL_FINE; the others above; negative: an error of ours
 */
int call_do(struct call *c, enum agent_verb verb, struct ttrpc_bytes payload,
	    struct ttrpc_bytes *ret);

/* Frees what agent.h encoded; for CLEANUP(). */
void call_payload_done(struct ttrpc_bytes *payload);

/* What was the matter, after a condition; hostile bytes, in @c until the next call. */
const char *call_why(const struct call *c);
enum ttrpc_code call_code(const struct call *c); /* of CALL_REFUSED and CALL_CANNOT */

/* The answer can't be decoded: err_text() becomes call_why(). Return: CALL_NO_ANSWER, -ENOMEM. */
int call_bad_answer(struct call *c, int r);

/* Waits, at most until the deadline. Return: 0; CALL_NO_ANSWER: the deadline; negative */
int call_pause(struct call *c, uint64_t usec);
