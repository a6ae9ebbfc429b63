/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ttrpc-echo ROUNDS: what a unary call costs, against the same bytes sent and sent back with nothing around them.
 *
 * Prints the medians of both in nanoseconds: "CALL BARE". The other end is a child each time, on a
 * unix socket: client.h and server.h on their loops, or read() and write() that block. They take
 * turns, so that what disturbs one disturbs the other, and all are on one processor: to wake another
 * one up costs more than the rest together, and whether that is done is chance.
 */
#include "agent-proto/client.h"
#include "agent-proto/server.h"
#include "base/cleanup.h"

#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SERVICE "grpc.AgentService"
#define METHOD	"UpdateInterface"
#define TURN	100 /* calls in a row */
/* An interface with two addresses, as in the golden frames; and the whole of such a frame. */
#define PAYLOAD_BYTES 82U
#define REQUEST_BYTES \
	(TTRPC_HEADER_BYTES + 2 + sizeof(SERVICE) + sizeof(METHOD) + PAYLOAD_BYTES + 8)
#define ANSWER_BYTES (TTRPC_HEADER_BYTES + 2 + PAYLOAD_BYTES)

static uint64_t echo_now_nsec(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void echo_die(const char *what)
{
	perror(what);
	exit(1);
}

static void echo_stay_here(void)
{
	cpu_set_t here;
	const int cpu = sched_getcpu();

	CPU_ZERO(&here);
	if (cpu >= 0)
		CPU_SET((unsigned)cpu, &here);
	if (cpu < 0 || sched_setaffinity(0, sizeof(here), &here) < 0)
		echo_die("stay on one processor");
}

/* Return: in the child 0. It ends with us. */
static pid_t echo_fork(void)
{
	const pid_t pid = fork();

	if (pid < 0)
		echo_die("fork");
	if (pid == 0)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

/* ---- bare ---- */

static void echo_read(int fd, size_t size)
{
	char bytes[1024];

	for (size_t done = 0; done < size;) {
		const ssize_t n = read(fd, bytes, size - done);

		if (n <= 0)
			exit(n < 0);
		done += (size_t)n;
	}
}

static void echo_write(int fd, size_t size)
{
	static const char bytes[1024];

	if (write(fd, bytes, size) != (ssize_t)size)
		echo_die("write");
}

static int echo_bare_start(void)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		echo_die("socketpair");
	if (echo_fork() == 0) {
		(void)close(fds[0]);
		for (;;) {
			echo_read(fds[1], REQUEST_BYTES);
			echo_write(fds[1], ANSWER_BYTES);
		}
	}
	(void)close(fds[1]);
	return fds[0];
}

static uint64_t echo_bare(int fd)
{
	const uint64_t begin = echo_now_nsec();

	echo_write(fd, REQUEST_BYTES);
	echo_read(fd, ANSWER_BYTES);
	return echo_now_nsec() - begin;
}

/* ---- a call ---- */

struct echo {
	sd_event *event;
	struct client *client;
	bool is_connected, is_done;
};

static void echo_on_request(void *userdata, const struct server_request *q)
{
	(void)userdata;
	(void)server_answer(q->connection, q->stream, q->payload);
}

static int echo_listen(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 1) < 0)
		echo_die(path);
	return fd;
}

static void echo_serve(int fd)
{
	CLEANUP(sd_event_unrefp) sd_event *event = NULL;
	struct server *server = NULL;

	if (sd_event_new(&event) < 0 ||
	    server_new(&server, event,
		       &(struct server_config){ .fd = fd, .request = echo_on_request }) < 0)
		exit(1);
	exit(sd_event_loop(event) < 0);
}

static void echo_on_connected(void *userdata)
{
	struct echo *e = userdata;

	e->is_connected = true;
}

static void echo_on_done(void *userdata, const struct client_result *result)
{
	struct echo *e = userdata;

	if (result->error != 0 || result->payload.size != PAYLOAD_BYTES)
		echo_die("a call was not answered as it should be");
	e->is_done = true;
}

static void echo_run_until(struct echo *e, const bool *flag)
{
	while (!*flag)
		if (sd_event_run(e->event, UINT64_MAX) < 0)
			echo_die("event loop");
}

static void echo_start(struct echo *e)
{
	struct url url;
	char text[64], path[48];
	int fd;

	(void)snprintf(path, sizeof(path), "/tmp/netmon-ttrpc-echo-%d", (int)getpid());
	(void)snprintf(text, sizeof(text), "unix://%s", path);
	fd = echo_listen(path);
	if (echo_fork() == 0)
		echo_serve(fd);
	(void)close(fd);
	if (url_parse(text, &url) < 0 || sd_event_new(&e->event) < 0 ||
	    client_new(&e->client, e->event,
		       &(struct client_config){
			       .url = &url, .connected = echo_on_connected, .userdata = e }) < 0 ||
	    client_connect(e->client) < 0)
		echo_die("client");
	echo_run_until(e, &e->is_connected);
	(void)unlink(path);
}

static uint64_t echo_call(struct echo *e)
{
	static const char payload[PAYLOAD_BYTES];
	const uint64_t begin = echo_now_nsec();

	e->is_done = false;
	if (client_call(e->client, SERVICE, METHOD,
			(struct ttrpc_bytes){ .data = payload, .size = sizeof(payload) }, 0,
			echo_on_done, e, NULL) < 0)
		echo_die("call");
	echo_run_until(e, &e->is_done);
	return echo_now_nsec() - begin;
}

/* ---- both ---- */

static int echo_compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t echo_median(uint64_t *times, size_t n)
{
	qsort(times, n, sizeof(*times), echo_compare);
	return times[n / 2];
}

int main(int argc, char *argv[])
{
	const size_t n = argc == 2 ? strtoul(argv[1], NULL, 10) * TURN : 0;
	CLEANUP(cleanup_free) uint64_t *calls = calloc(n + 1, sizeof(*calls));
	CLEANUP(cleanup_free) uint64_t *bare = calloc(n + 1, sizeof(*bare));
	struct echo echo = { 0 };
	int fd;

	if (n == 0 || !calls || !bare)
		return 1;
	echo_stay_here();
	fd = echo_bare_start();
	echo_start(&echo);
	for (size_t turn = 0; turn < n; turn += TURN) {
		for (size_t i = turn; i < turn + TURN; i++)
			bare[i] = echo_bare(fd);
		for (size_t i = turn; i < turn + TURN; i++)
			calls[i] = echo_call(&echo);
	}
	(void)printf("%" PRIu64 " %" PRIu64 "\n", echo_median(calls, n), echo_median(bare, n));
	client_free(echo.client);
	sd_event_unref(echo.event);
	return 0;
}
