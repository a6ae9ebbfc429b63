/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's loop: sockets that listen, connections, pipes, calls that wait, signals; on poll(2).
 *
 * A connection that breaks the protocol, or does not read its answers, costs itself. Calls of one
 * connection are carried out one after the other, those that wait for a link aside.
 *
 * Who waits for a link is answered when it comes, in the order of asking; at the end of the hot-plug
 * timeout; when its own timeout is over, and then it is not carried out any more; or at once with
 * ABORTED when a later UpdateInterface or RemoveInterface names the same hardware address, whoever
 * sent it: what was asked last is what holds.
 *
 * When all places are taken a new connection gets that of one that never asked anything, or else of
 * the one that was quiet longest. Who waits for a link keeps its place, and so do pipes.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "agent-proto/guest/calls.h"
#include "agent-proto/url.h"
#include "base/cleanup.h"

#define SERVE_CONNECTIONS_MAX 16U
#define SERVE_LISTEN_MAX      8U
#define SERVE_WAITING_MAX     64U    /* calls that wait for a link; one more is answered at once */
#define SERVE_PIPE_MSEC	      200U   /* how often a pipe without a host is looked at */
#define SERVE_OUTPUT_MAX      65536U /* bytes of answers unread: no more calls are taken */

struct serve;

struct serve_config {
	struct calls *calls; /* borrowed */
	uint32_t hotplug_timeout_msec;
	/*
	 * vsock connections of the guest's own processes: any user of the guest could speak to an
	 * agent that is root. Without this only the host is heard, and those of them that have a
	 * port below 1024. Another VM is never heard.
	 */
	bool allow_local;
};

int serve_new(struct serve **ret, const struct serve_config *config);
/* Removes the unix sockets that it made, unless somebody else's is at their place by now. */
struct serve *serve_free(struct serve *s);
DEFINE_CLEANUP(struct serve, serve_free)

/*
 * vsock, unix (made with mode 0600; a socket that nobody listens on any more is taken away), pipe.
 * Return: 0; -EADDRINUSE: also a unix socket on which somebody listens; -errno.
 */
int serve_listen(struct serve *s, const struct url *url);

/**
 * serve_run() - until a signal ends it
 * Return: the number of the signal (SIGTERM, SIGINT, SIGUSR2); -errno: the loop itself failed.
 */
int serve_run(struct serve *s);
