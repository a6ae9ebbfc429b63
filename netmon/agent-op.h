/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One op of a plan as calls of an agent: what is sent, what its answers mean, and who of many is to
 * blame.
 *
 * All ops of a call go in one request. When that is answered with an error that blames a value, the
 * first half is sent, and so on down to one, whose answer is the op's; a half that goes well moves
 * on. To send a value again is harmless: an agent replaces it, and the one that does not (neighbours
 * of old releases of Kata) says that it is there. One answer is awaited before the next request.
 * What an answer holds is not looked at: that the agent has done it is all that it says.
 *
 * A set (PLAN_ROUTES_SET) goes whole, those without a gateway first; when it is refused, prefixes of
 * it are sent, each a legal set: the shortest that is refused ends with the one to blame.
 *
 *     answer                               of one value                of many, of a set
 *     ok; done, but the answer is too long done                        done
 *     no link of that name or MAC          retry; a deletion is done   halved; a set: retry, of all
 *     a neighbour is there already         done                        halved
 *     permission denied                    refused, final              halved; or the method, below
 *     unimplemented                        retry, of all; the kind is denied, of a deletion: kept
 *     resource exhausted, unavailable,
 *     cancelled, aborted                   retry, of all
 *     no answer in time, connection lost   retry, of all, unknown
 *     any other                            refused                     halved
 *
 * The method is denied, and no value, when both halves of the first split are, and then one single
 * value of each; of a set, when the empty one is. A set whose empty prefix is refused for another
 * reason has nobody to blame: retry, of all.
 *
 * What ends with nobody to blame after a blame is unknown too: a request is carried out up to its bad
 * one.
 *
 * Source: kata-containers src/agent/src/{rpc,netlink}.rs, src/tools/genpolicy/rules.rego.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "agent-proto/agent.h"
#include "agent-proto/client.h"
#include "netmon/sink.h"

/*
 * Answers that blame a value, since one was last passed over. Halving 2^31 takes no more; an agent
 * that says no to many and yes to each of them would be asked forever. Over it: retry, of all.
 */
#define AGENT_OP_BLAMES_MAX   32U
#define AGENT_OP_REASON_BYTES (TTRPC_MESSAGE_MAX + 128U)

/* What an answer says beyond its op. Kinds: 1U << enum model_kind */
struct agent_op_lesson {
	unsigned denied; /* of these the agent takes none */
	unsigned kept;	 /* of these it has no word to take one back */
	bool is_silent;	 /* nobody answered within the deadline */
};

struct agent_op_config {
	sd_event *event;
	uint64_t timeout_usec; /* of a call; 0: CLIENT_CALL_USEC */
	/* From the loop, once for each begin. The agent_op may be begun anew or freed inside. */
	void (*done)(void *userdata, const struct sink_outcome *outcome,
		     const struct agent_op_lesson *lesson);
	void *userdata;
};

struct agent_op;

int agent_op_new(struct agent_op **ret, const struct agent_op_config *config);
struct agent_op *agent_op_free(struct agent_op *o); /* NULL is fine; returns NULL */

/**
 * agent_op_begin() - start one op, or several of one verb
 * @client: borrowed until done
 * @call: plan and ops are borrowed until done
 * Return: 0; -EBUSY: one is in flight; -ENOTCONN, -ENOMEM, ...: not begun.
 */
int agent_op_begin(struct agent_op *o, struct client *client, enum agent_generation generation,
		   const struct sink_call *call);
bool agent_op_is_busy(const struct agent_op *o);
void agent_op_cancel(struct agent_op *o); /* done() does not follow */
