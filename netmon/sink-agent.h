/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sink of a guest agent: ttrpc over whatever reaches it, see agent-proto/client.h.
 *
 * It begins to look for the agent, and to connect, when it is made, and does so for as long as it
 * lives: a monitor is there before its VM. Nothing of it is an error of the sink; the first failure
 * is logged, and then the next success, and both again after a connection that lasted
 * CLIENT_BACKOFF_MAX_USEC: who comes and goes does not fill the log.
 *
 *     locate (auto) -> connect -> who are you -> what do you have -> SINK_READY -> ops -> SINK_LOST
 *          ^              ^------------------------- any failure ----------------------------+
 *          +-- not there for SINK_AGENT_RELOCATE_USEC: the VM may have been restarted elsewhere
 *
 * An op that nobody answered costs the connection: then what the guest has is asked anew.
 *
 * Who are you: GetGuestDetails, else Health's Version; what does not say is declarative (agent.h).
 * What do you have: List of our own agent; ListInterfaces of Kata's, whose ListRoutes can't be
 * believed and is not asked. An agent that does not list (its policy; more than its 4 MiB;
 * SINK_AGENT_LIST_TRIES failures or lists that can't be read, one after the other) is ready all the
 * same, and guest() says that nothing is known.
 */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "netmon/sink.h"

#define SINK_AGENT_BATCH_MAX	     2500U /* routes or neighbours of one call */
#define SINK_AGENT_LIST_TRIES	     5U
#define SINK_AGENT_LOCATE_FIRST_USEC (100 * UINT64_C(1000)) /* doubling to the next */
#define SINK_AGENT_LOCATE_MAX_USEC   (10 * UINT64_C(1000000))
#define SINK_AGENT_RELOCATE_USEC     (5 * UINT64_C(1000000))

struct sink_agent_config {
	const char *url;	/* see url.h; NULL: asked of the sandbox's shim, locate.h */
	const char *sandbox_id; /* for that */
	const char *root;	/* put before the shims' paths; NULL: none (tests) */
	uint64_t timeout_usec;	/* of a call; 0: CLIENT_CALL_USEC */
	uint64_t relocate_usec; /* 0: SINK_AGENT_RELOCATE_USEC */
};

extern const struct sink_ops sink_agent_ops; /* for its caps before there is a sink: ours' */

/*
 * guest() answers once after each SINK_READY: the list is given away, and what nobody has asked for
 * is dropped with the first op.
 * Return: 0; -EINVAL: no such URL, or no sandbox id to look for; -ENOMEM, -errno of sd-event.
 */
int sink_agent_new(struct sink **ret, sd_event *event, const struct sink_agent_config *config);
