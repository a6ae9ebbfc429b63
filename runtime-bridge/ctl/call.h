/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An agent, called as a function is: each call waits for its end on an event loop of its own.
 *
 * For programs that do one thing and exit. One budget of time is for all that is waited for: finding
 * the agent, connecting, every call and every pause. What the program does between them is not
 * counted. A call whose connection is lost has failed; the next one connects anew.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/agent.h"
#include "base/cleanup.h"

/* Conditions, which are netmonctl's exit statuses too (2 is a usage error). */
enum {
	CALL_FINE = 0,
	CALL_REFUSED = 1,     /* the agent said no: call_code(), call_why() */
	CALL_UNREACHABLE = 3, /* not found, or no connection */
	CALL_NO_ANSWER = 4,   /* none in time, the connection was lost in it, or it is no answer */
	CALL_CANNOT = 5,      /* this agent has no such call */
};

struct call;

/**
 * call_new() - nothing is done yet
 * @target: an agent's URL or absolute path, or a sandbox's id
 * @timeout_usec: that all steps together may wait
 * Return: 0; -EINVAL: neither URL nor id, with a sentence; -ENOMEM, -errno of sd-event
 */
int call_new(struct call **ret, const char *target, uint64_t timeout_usec);
struct call *call_free(struct call *c); /* returns NULL */
DEFINE_CLEANUP(struct call, call_free)

/* Finds the agent, if that was not done. Return: CALL_FINE; CALL_UNREACHABLE; negative */
int call_find(struct call *c);

/**
 * call_do() - one call; finds the agent and connects where that was not done, or was undone
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

/* Waits. A lost connection does not end it. Return: 0; CALL_NO_ANSWER: the time is up; negative */
int call_pause(struct call *c, uint64_t usec);

/* The time is up: nothing more will be waited for. */
bool call_is_over(const struct call *c);
