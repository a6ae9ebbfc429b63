/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ttrpc connection on an fd on sd-event: what client.c and server.c have in common.
 *
 * The output waits here as long as the peer does not read; EPOLLOUT is watched only then.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "agent-proto/ttrpc.h"

struct stream {
	struct ttrpc *ttrpc;
	sd_event_source *source;
	int fd; /* owned; -1: none */
	bool is_watching_out;
};

#define STREAM_NULL ((struct stream){ .fd = -1 })

/**
 * stream_open() - begin a ttrpc connection
 * @s: closed
 * @fd: non-blocking, read and write; taken over, also on failure
 * @handler: of the fd's readiness; calls stream_ready()
 * Return: 0; -ENOMEM, -EPERM (an fd that can't be waited for) ...; then @s is closed.
 */
int stream_open(struct stream *s, sd_event *event, int fd, enum ttrpc_role role,
		sd_event_io_handler_t handler, void *userdata);

/*
 * stream_ready() - write what waits, read what is there (once: the loop has others too)
 * Return: 0: take events with ttrpc_next(); -ECONNRESET: the peer is gone; -ENOMEM, -errno.
 */
int stream_ready(struct stream *s, uint32_t events);

/*
 * As if these bytes had just come: as many as there is room for. Events are taken before the next
 * ones. Return: 0, -ENOMEM.
 */
int stream_feed(struct stream *s, const void *data, size_t size, size_t *ret_used);

/* Writes what the peer takes now; the rest follows by stream_ready(). Return: 0, -errno. */
int stream_write(struct stream *s);

/* Closes the fd. The ttrpc, and with it all that an event points to, stays until stream_close(). */
void stream_hang_up(struct stream *s);
void stream_close(struct stream *s);
