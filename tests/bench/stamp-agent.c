/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stamp-agent PATH VERSION [FEATURE]: an agent that answers everything at once, and says what it was asked and when.
 *
 * It serves the agent's calls on a unix socket, does nothing, and has nothing to list. For each call
 * a line on its standard output, once the answer is on its way:
 *   METHOD USEC BYTES ROUTES     CLOCK_MONOTONIC when it was there; its payload; the routes in it
 */
#include "agent-proto/agent.h"
#include "agent-proto/server.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Where there is nothing to say an empty payload is a message of every type. */
static int stamp_encode(enum agent_verb verb, const struct agent_details *details,
			struct ttrpc_bytes *ret)
{
	*ret = (struct ttrpc_bytes){ 0 };
	if (verb == AGENT_CHECK)
		return agent_encode_check_answer(ret);
	if (verb == AGENT_VERSION)
		return agent_encode_version_answer(details->version, ret);
	if (verb == AGENT_DETAILS)
		return agent_encode_details_answer(details, ret);
	return 0;
}

static size_t stamp_routes(enum agent_verb verb, struct ttrpc_bytes payload)
{
	CLEANUP(agent_network_done) struct agent_network network = { 0 };

	if (verb != AGENT_UPDATE_ROUTES && verb != AGENT_REMOVE_ROUTES)
		return 0;
	if (agent_decode_request(verb, payload, &network) < 0)
		abort(); /* what the monitor says can be read, or the figure is none */
	return network.n_routes;
}

static void stamp_on_request(void *userdata, const struct server_request *q)
{
	const uint64_t now = clock_now_usec();
	struct ttrpc_bytes answer;
	enum agent_verb verb;

	if (agent_find(q->service, q->method, &verb) != 0) {
		(void)server_fail(q->connection, q->stream, TTRPC_UNIMPLEMENTED, "not served");
		return;
	}
	if (stamp_encode(verb, userdata, &answer) < 0)
		abort();
	(void)server_answer(q->connection, q->stream, answer);
	cleanup_free(&answer.data);
	(void)printf("%s %" PRIu64 " %zu %zu\n", q->method, now, q->payload.size,
		     stamp_routes(verb, q->payload));
	(void)fflush(stdout);
}

static int stamp_listen(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 8) < 0)
		return -errno;
	return fd;
}

int main(int argc, char *argv[])
{
	CLEANUP(sd_event_unrefp) sd_event *event = NULL;
	CLEANUP(server_freep) struct server *server = NULL;
	struct agent_details details = { .n_features = argc > 3 };
	int fd, r;

	if (argc < 3 || sd_event_new(&event) < 0)
		return 1;
	(void)snprintf(details.version, sizeof(details.version), "%s", argv[2]);
	(void)snprintf(details.features[0], sizeof(details.features[0]), "%s",
		       argc > 3 ? argv[3] : "");
	fd = stamp_listen(argv[1]);
	if (fd < 0) {
		(void)fprintf(stderr, "stamp-agent: %s: %s\n", argv[1], strerror(-fd));
		return 1;
	}
	r = server_new(&server, event,
		       &(struct server_config){
			       .fd = fd,
			       .request = stamp_on_request,
			       .userdata = &details,
		       });
	return r < 0 || sd_event_loop(event) < 0;
}
