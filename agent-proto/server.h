/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ttrpc server on sd-event, on one listening socket: for tests, fakes and what will serve later.
 * (The guest agent drives the same core from poll: agent-proto/guest/.)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "agent-proto/ttrpc.h"
#include "base/cleanup.h"

#define SERVER_CONNECTIONS_MAX 64U /* one more waits in the backlog */

struct server;
struct server_connection;

/*
 * One request; answer it, now or later, with server_answer() or server_fail(). What it points to is
 * borrowed until the next answer on this connection, whichever request that is for, or until the
 * call returns.
 */
struct server_request {
	struct server_connection *connection;
	uint32_t stream;
	const char *service, *method; /* as struct ttrpc_event */
	struct ttrpc_bytes payload;   /* borrowed, see below */
	uint64_t timeout_nsec;
};

struct server_config {
	int fd; /* listening, non-blocking; taken over */
	void (*request)(void *userdata, const struct server_request *request);
	/* It may not be answered on any more. May be NULL. */
	void (*closed)(void *userdata, struct server_connection *connection);
	void *userdata;
};

int server_new(struct server **ret, sd_event *event, const struct server_config *config);
/* Closes all, without a callback; not from within one. Returns NULL. */
struct server *server_free(struct server *s);
DEFINE_CLEANUP(struct server, server_free)

/*
 * Return: as ttrpc_answer() and ttrpc_fail(), 0 after server_close(); -ENOBUFS: the peer does not
 * read its answers. A failure other than -EMSGSIZE costs the connection.
 */
int server_answer(struct server_connection *c, uint32_t stream, struct ttrpc_bytes payload);
int server_fail(struct server_connection *c, uint32_t stream, enum ttrpc_code code,
		const char *message);
/* closed() follows, from the event loop; until then @c may be answered on, to no effect. */
void server_close(struct server_connection *c);
size_t server_connections(const struct server *s);
