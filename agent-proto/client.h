/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ttrpc client on sd-event: one connection that comes back by itself.
 *
 * connect -> handshake (hvsock's line, a pipe's resync) under one deadline -> calls -> lost -> after
 * a backoff again. Never a busy loop; no wake-up while connected and idle. The backoff begins anew
 * only after a connection that lasted CLIENT_BACKOFF_MAX_USEC: a peer that accepts and hangs up is
 * asked as seldom as one that is not there. All callbacks come from the event loop, never from
 * within a call of this file; whatever is called in them, client_free() too, what they were told
 * stays valid until they return.
 */
#pragma once

#include <stdint.h>
#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "agent-proto/ttrpc.h"
#include "agent-proto/url.h"
#include "base/cleanup.h"

#define CLIENT_CONNECT_USEC	  (10 * UINT64_C(1000000)) /* connect and handshake together */
#define CLIENT_BACKOFF_FIRST_USEC (20 * UINT64_C(1000))	   /* doubling to the next, with jitter */
#define CLIENT_BACKOFF_MAX_USEC	  (2 * UINT64_C(1000000))
#define CLIENT_CALL_USEC	  (60 * UINT64_C(1000000)) /* default deadline of a call, as Kata's */

struct client;

struct client_result {
	/*
	 * 0: answered, see @code. -ETIMEDOUT: not within the deadline; -ECONNRESET: the connection
	 * was lost. In both cases the call may have been carried out.
	 */
	int error;
	enum ttrpc_code code;
	const char *
		message; /* of a code that is not ok, or of @error; hostile bytes, NUL-terminated */
	struct ttrpc_bytes payload; /* ok only; borrowed for the call */
};

struct client_config {
	const struct url *url; /* copied */
	uint64_t connect_usec; /* 0: CLIENT_CONNECT_USEC */
	/* the handshake is through: calls may be made */
	void (*connected)(void *userdata);
	/*
	 * It was lost, or an attempt failed. @why: for people, borrowed. All calls in flight have
	 * been told so before. A next attempt is under way.
	 */
	void (*disconnected)(void *userdata, const char *why);
	void *userdata;
};

/* Does not connect yet. Return: 0, -ENOMEM, -errno of sd-event. */
int client_new(struct client **ret, sd_event *event, const struct client_config *config);
/* Calls in flight end without a callback. Returns NULL. */
struct client *client_free(struct client *c);
DEFINE_CLEANUP(struct client, client_free)

/* First attempt: at once. Also: try again now, instead of when the backoff ends. */
int client_connect(struct client *c);
/*
 * Drops the connection, or the attempt, and begins anew: the peer broke a promise. disconnected()
 * follows, unless there is nothing to drop.
 */
void client_reset(struct client *c, const char *why);
bool client_is_connected(const struct client *c);

typedef void client_done_fn(void *userdata, const struct client_result *result);

/**
 * client_call() - one unary call
 * @payload: encoded message, copied
 * @timeout_usec: 0: CLIENT_CALL_USEC; also told to the peer
 * @done: exactly once, unless client_free() or client_cancel() comes first
 * @ret_id: for client_cancel(); may be NULL
 *
 * Return: 0; -ENOTCONN, -EMSGSIZE, -EBUSY, -ENOMEM: not begun, @done does not follow.
 */
int client_call(struct client *c, const char *service, const char *method,
		struct ttrpc_bytes payload, uint64_t timeout_usec, client_done_fn *done,
		void *userdata, uint64_t *ret_id);
void client_cancel(struct client *c, uint64_t id); /* @done does not follow; the peer is not told */
