/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls: a method's name and its bytes in, an answer out. A table of handlers, no connection.
 *
 * Words of errors are those of Kata's agents where a runtime reads them: "Link not found" is
 * retried by it. Source: kata-containers src/runtime/virtcontainers/kata_agent.go, src/agent/src/
 * rpc.rs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent-proto/agent.h"
#include "agent-proto/guest/netlink.h"
#include "agent-proto/guest/owned.h"

#define CALLS_MESSAGE_BYTES 1024

struct calls {
	struct netlink *netlink;
	struct owned *owned;
	bool is_init; /* GuestDetails says so */
};

struct calls_answer {
	enum ttrpc_code code;
	char message[CALLS_MESSAGE_BYTES]; /* of a code that is not ok */
	struct ttrpc_bytes payload;	   /* ok only; malloc'ed, the answer's */
};

void calls_answer_done(struct calls_answer *a); /* legal on a zeroed one; usable with CLEANUP() */

/* A call that waits for its link. */
struct calls_waiting {
	struct agent_network request; /* one interface */
};

enum { _CALLS_ANSWERED = 0, CALLS_WAIT = 1 };

/**
 * calls_handle() - carry out one call
 * @ret: always filled, but for CALLS_WAIT
 * @ret_waiting: of CALLS_WAIT; the caller's: agent_network_done() on its request
 * Return: 0; CALLS_WAIT: its link is not there (yet): calls_retry() when one came, calls_expire()
 * when it took too long.
 */
int calls_handle(struct calls *c, const char *service, const char *method,
		 struct ttrpc_bytes payload, struct calls_answer *ret,
		 struct calls_waiting *ret_waiting);
/* Return: as calls_handle(). */
int calls_retry(struct calls *c, const struct calls_waiting *w, struct calls_answer *ret);
void calls_expire(const struct calls_waiting *w, struct calls_answer *ret);
