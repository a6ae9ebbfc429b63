/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our half of test_interop.py: client.h or server.h on the command line. go/peer.go is the other.
 *
 *   ttrpc-peer serve PATH   serves netmon.test.Peer on a unix socket until it is killed:
 *       Echo      the same bytes
 *       Fail      "CODE:MESSAGE" in the payload is the status
 *       Grow      so many bytes as the payload says
 *       Hold      is answered with the same bytes when Release comes; the last call first
 *       Release   how many calls it has released
 *       Deadline  the nanoseconds that are left for the call, 0 for no end
 *   ttrpc-peer call URL     makes the calls that its standard input names, at once and beside each other:
 *       ID SERVICE METHOD MSEC PAYLOAD     MSEC 0 is no deadline of the caller's own; PAYLOAD is =TEXT or a size
 *     and prints
 *       connected | disconnected
 *       ID ok SIZE BYTES-IN-HEX            above 64 bytes: fnv:, and 64 bits of FNV-1a
 *       ID code-NUMBER MESSAGE
 *       ID timeout | lost | refused ERRNO  nobody answered; the connection ended; not sent at all
 */
#include "agent-proto/client.h"
#include "agent-proto/server.h"
#include "agent-proto/url.h"
#include "base/cleanup.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define SERVICE	   "netmon.test.Peer"
#define HELD_MAX   64U
#define ID_BYTES   32U
#define LINE_BYTES 65536U

static int die(const char *what, int r)
{
	(void)fprintf(stderr, "ttrpc-peer: %s: %s\n", what, strerror(-r));
	return EXIT_FAILURE;
}

/* ---- server ---- */

struct held {
	struct server_connection *connection;
	uint32_t stream;
	void *data;
	size_t size;
};

struct peer {
	struct held held[HELD_MAX];
	size_t n_held;
};

static void answer(const struct server_request *q, const void *data, size_t size)
{
	(void)server_answer(q->connection, q->stream,
			    (struct ttrpc_bytes){ .data = data, .size = size });
}

static void answer_number(const struct server_request *q, uint64_t number)
{
	char text[32];

	answer(q, text, (size_t)snprintf(text, sizeof(text), "%ju", (uintmax_t)number));
}

static void text_of(const struct server_request *q, char ret[256])
{
	(void)snprintf(ret, 256, "%.*s", (int)q->payload.size, (const char *)q->payload.data);
}

static void on_echo(struct peer *p, const struct server_request *q)
{
	(void)p;
	answer(q, q->payload.data, q->payload.size);
}

static void on_fail(struct peer *p, const struct server_request *q)
{
	char text[256];
	char *message;
	unsigned long code;

	(void)p;
	text_of(q, text);
	code = strtoul(text, &message, 10);
	(void)server_fail(q->connection, q->stream, (enum ttrpc_code)code,
			  *message == ':' ? message + 1 : message);
}

static void on_grow(struct peer *p, const struct server_request *q)
{
	char text[256];
	char *data;
	size_t size;

	(void)p;
	text_of(q, text);
	size = strtoul(text, NULL, 10);
	data = calloc(1, size);
	answer(q, data, data ? size : 0);
	free(data);
}

static void on_hold(struct peer *p, const struct server_request *q)
{
	struct held *h = &p->held[p->n_held];

	if (p->n_held == HELD_MAX)
		return;
	*h = (struct held){
		.connection = q->connection,
		.stream = q->stream,
		.data = malloc(q->payload.size + 1),
		.size = q->payload.size,
	};
	if (!h->data)
		return;
	memcpy(h->data, q->payload.data, q->payload.size);
	p->n_held++;
}

static void on_release(struct peer *p, const struct server_request *q)
{
	const size_t n = p->n_held;

	while (p->n_held > 0) {
		struct held *h = &p->held[--p->n_held];

		(void)server_answer(h->connection, h->stream,
				    (struct ttrpc_bytes){ .data = h->data, .size = h->size });
		free(h->data);
	}
	answer_number(q, n);
}

static void on_deadline(struct peer *p, const struct server_request *q)
{
	(void)p;
	answer_number(q, q->timeout_nsec);
}

static const struct {
	const char *name;
	void (*handle)(struct peer *p, const struct server_request *q);
} methods[] = {
	{ "Deadline", on_deadline }, { "Echo", on_echo }, { "Fail", on_fail },
	{ "Grow", on_grow },	     { "Hold", on_hold }, { "Release", on_release },
};

static void on_request(void *userdata, const struct server_request *q)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (strcmp(q->service, SERVICE) == 0 && strcmp(q->method, methods[i].name) == 0) {
			methods[i].handle(userdata, q);
			return;
		}
	}
	(void)server_fail(q->connection, q->stream, TTRPC_UNIMPLEMENTED, "no such method");
}

static void on_closed(void *userdata, struct server_connection *c)
{
	struct peer *p = userdata;
	size_t n = 0;

	for (size_t i = 0; i < p->n_held; i++) {
		if (p->held[i].connection == c)
			free(p->held[i].data);
		else
			p->held[n++] = p->held[i];
	}
	p->n_held = n;
}

static int listen_unix(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 64) < 0)
		return -errno;
	return fd;
}

static int serve(sd_event *event, const char *path)
{
	CLEANUP(server_freep) struct server *server = NULL;
	struct peer peer = { .n_held = 0 };
	const int fd = listen_unix(path);
	int r;

	if (fd < 0)
		return die(path, fd);
	r = server_new(&server, event,
		       &(struct server_config){
			       .fd = fd,
			       .request = on_request,
			       .closed = on_closed,
			       .userdata = &peer,
		       });
	if (r < 0)
		return die("server", r);
	r = sd_event_loop(event);
	return r < 0 ? die("event loop", r) : r;
}

/* ---- client ---- */

struct caller {
	struct client *client;
	sd_event *event;
	char line[LINE_BYTES];
	size_t size;
};

struct call {
	char id[ID_BYTES];
};

static void print_bytes(const unsigned char *data, size_t size)
{
	uint64_t sum = UINT64_C(14695981039346656037);

	(void)printf("%zu ", size);
	for (size_t i = 0; i < size; i++) {
		sum = (sum ^ data[i]) * UINT64_C(1099511628211);
		if (size <= 64)
			(void)printf("%02x", data[i]);
	}
	if (size > 64)
		(void)printf("fnv:%016jx", (uintmax_t)sum);
	(void)puts("");
}

static void on_done(void *userdata, const struct client_result *result)
{
	struct call *call = userdata;

	(void)printf("%s ", call->id);
	if (result->error == -ETIMEDOUT) {
		(void)puts("timeout");
	} else if (result->error < 0) {
		(void)puts("lost");
	} else if (result->code != TTRPC_OK) {
		(void)printf("code-%d %s\n", (int)result->code, result->message);
	} else {
		(void)printf("ok ");
		print_bytes(result->payload.data, result->payload.size);
	}
	free(call);
}

/* @text: =TEXT or a number of bytes. Return: malloc'ed. */
static void *make_payload(const char *text, size_t *ret_size)
{
	const size_t size = *text == '=' ? strlen(text + 1) : strtoul(text, NULL, 10);
	unsigned char *data = malloc(size + 1);

	for (size_t i = 0; data && i < size; i++)
		data[i] = (unsigned char)(*text == '=' ? (unsigned char)text[1 + i] : i * 7);
	*ret_size = size;
	return data;
}

static void begin(struct caller *c, const char *id, const char *service, const char *method,
		  uint64_t msec, const char *payload)
{
	struct call *call = calloc(1, sizeof(*call));
	size_t size;
	CLEANUP(cleanup_free) void *data = make_payload(payload, &size);
	int r;

	if (!call || !data)
		abort();
	(void)snprintf(call->id, sizeof(call->id), "%s", id);
	r = client_call(c->client, service, method,
			(struct ttrpc_bytes){ .data = data, .size = size }, msec * 1000, on_done,
			call, NULL);
	if (r < 0) {
		(void)printf("%s refused %s\n", id, strerrorname_np(-r));
		free(call);
	}
}

static void take_line(struct caller *c, char *line)
{
	static const char blank[] = " ";
	char *save = NULL;
	const char *id = strtok_r(line, blank, &save);
	const char *service = strtok_r(NULL, blank, &save);
	const char *method = strtok_r(NULL, blank, &save);
	const char *msec = strtok_r(NULL, blank, &save);
	const char *payload = strtok_r(NULL, blank, &save);

	if (payload)
		begin(c, id, service, method, strtoull(msec, NULL, 10), payload);
}

static void take_lines(struct caller *c)
{
	char *begin_of_line = c->line;
	char *end;

	while ((end = memchr(begin_of_line, '\n', c->size - (size_t)(begin_of_line - c->line))) !=
	       NULL) {
		*end = '\0';
		take_line(c, begin_of_line);
		begin_of_line = end + 1;
	}
	c->size -= (size_t)(begin_of_line - c->line);
	memmove(c->line, begin_of_line, c->size);
}

static int on_input(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct caller *c = userdata;
	const ssize_t n = read(fd, c->line + c->size, sizeof(c->line) - c->size);

	(void)source;
	(void)events;
	if (n <= 0)
		return sd_event_exit(c->event, 0);
	c->size += (size_t)n;
	take_lines(c);
	return 0;
}

static void on_connected(void *userdata)
{
	(void)userdata;
	(void)puts("connected");
}

static void on_disconnected(void *userdata, const char *why)
{
	(void)userdata;
	(void)why;
	(void)puts("disconnected");
}

static int converse(sd_event *event, const char *text)
{
	struct caller caller = { .event = event };
	CLEANUP(client_freep) struct client *client = NULL;
	struct url url;
	int r;

	r = url_parse(text, &url);
	if (r < 0)
		return die(text, r);
	r = client_new(&client, event,
		       &(struct client_config){
			       .url = &url,
			       .connected = on_connected,
			       .disconnected = on_disconnected,
		       });
	if (r < 0)
		return die("client", r);
	caller.client = client;
	r = client_connect(client);
	if (r >= 0)
		r = sd_event_add_io(event, NULL, STDIN_FILENO, EPOLLIN, on_input, &caller);
	if (r >= 0)
		r = sd_event_loop(event);
	return r < 0 ? die("event loop", r) : r;
}

int main(int argc, char *argv[])
{
	sd_event *event = NULL;
	int r = sd_event_new(&event);

	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	if (r < 0)
		return die("event loop", r);
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		r = serve(event, argv[2]);
	else if (argc == 3 && strcmp(argv[1], "call") == 0)
		r = converse(event, argv[2]);
	else
		r = die("usage: ttrpc-peer serve PATH | call URL", -EINVAL);
	sd_event_unref(event);
	return r;
}
