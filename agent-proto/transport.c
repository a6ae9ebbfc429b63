/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to an agent, see transport.h.
 *
 * How it works. Three steps, of which a plain socket has only the first; each is a function that
 * either is through (0), waits (a want) or fails. A unix socket connects at once or not at all; only
 * vsock is in progress for a while.
 */
#include "agent-proto/transport.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

/*
 * Reads of a pipe's leftovers a call: what a flood of them may cost the event loop at once. It comes
 * back for more.
 */
#define TRANSPORT_READS_MAX 16U

ssize_t transport_send(int fd, const void *data, size_t size)
{
	ssize_t n;

	do {
		n = send(fd, data, size, MSG_NOSIGNAL);
		/* A device has no SIGPIPE. */
		if (n < 0 && errno == ENOTSOCK)
			n = write(fd, data, size);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

uint64_t transport_random(void)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = clock_now_usec();
	return random;
}

/* ---- connect ---- */

static int transport_socket(struct transport *t, int family)
{
	t->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	return t->fd < 0 ? err_raise(-errno, "make a socket for an agent") : 0;
}

static int transport_open_vsock(struct transport *t)
{
	const struct sockaddr_vm address = {
		.svm_family = AF_VSOCK,
		.svm_cid = t->url.cid,
		.svm_port = t->url.port,
	};
	int r = transport_socket(t, AF_VSOCK);

	if (r < 0)
		return err_pass(r);
	if (connect(t->fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return err_raise(-errno, "connect vsock %" PRIu32 ":%" PRIu32, t->url.cid,
				 t->url.port);
	t->is_connecting = true;
	return 0;
}

static bool transport_is_socket(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* runtime-rs appends ":1024" to every URL that it tells, remote:///path too. */
static void transport_drop_port(char *path)
{
	char *colon = strrchr(path, ':');
	uint32_t port;

	if (!colon || transport_is_socket(path))
		return;
	if (text_parse_u32(colon + 1, UINT32_MAX, &port) < 0) {
		err_clear();
		return;
	}
	*colon = '\0';
	if (!transport_is_socket(path))
		*colon = ':';
}

/* The path itself, or, when it is too long for that, another name of the file that @at holds. */
static int transport_address(const char *path, struct sockaddr_un *ret, int *at)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) < sizeof(ret->sun_path)) {
		memcpy(ret->sun_path, path, strlen(path));
		return 0;
	}
	*at = open(path, O_PATH | O_CLOEXEC);
	if (*at < 0)
		return err_raise(-errno, "open '%s'", path);
	(void)snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d", *at);
	return 0;
}

/* Never in progress: a full backlog is EAGAIN, and nothing says when it has room. unix(7) */
static int transport_open_unix(struct transport *t)
{
	CLEANUP(cleanup_close) int at = -1;
	struct sockaddr_un address;
	int r;

	if (t->url.kind == URL_UNIX)
		transport_drop_port(t->url.path);
	r = transport_address(t->url.path, &address, &at);
	if (r == 0)
		r = transport_socket(t, AF_UNIX);
	if (r < 0)
		return err_pass(r);
	if (connect(t->fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return err_raise(-errno, "connect '%s'", t->url.path);
	return 0;
}

/* A terminal (QEMU's chardev pty) would edit, echo and translate what goes through it. */
static int transport_make_raw(int fd)
{
	struct termios termios;

	if (!isatty(fd))
		return 0;
	if (tcgetattr(fd, &termios) < 0)
		return -errno;
	cfmakeraw(&termios);
	return tcsetattr(fd, TCSANOW, &termios) < 0 ? -errno : 0;
}

/* @at: what was looked at is what is opened. */
static int transport_open_device(struct transport *t, int at)
{
	char name[32];
	int r;

	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", at);
	t->fd = open(name, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (t->fd < 0)
		return err_raise(-errno, "open '%s'", t->url.path);
	r = transport_make_raw(t->fd);
	return r < 0 ? err_raise(r, "make '%s' raw", t->url.path) : 0;
}

static int transport_open_pipe(struct transport *t)
{
	CLEANUP(cleanup_close) int at = open(t->url.path, O_PATH | O_CLOEXEC);
	struct stat st;

	if (at < 0 || fstat(at, &st) < 0)
		return err_raise(-errno, "open '%s'", t->url.path);
	if (S_ISSOCK(st.st_mode))
		return err_pass(transport_open_unix(t));
	if (S_ISCHR(st.st_mode))
		return err_pass(transport_open_device(t, at));
	return err_raise(-ENODEV, "use '%s', which is neither a socket nor a character device",
			 t->url.path);
}

static int transport_connect(struct transport *t)
{
	struct pollfd writable = { .fd = t->fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int error = 0;

	if (!t->is_connecting)
		return 0;
	/* Whoever calls too early would read "no error yet". */
	if (poll(&writable, 1, 0) <= 0)
		return TRANSPORT_WANT_WRITE;
	if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	if (error != 0)
		return err_raise(-error, "connect vsock %" PRIu32 ":%" PRIu32, t->url.cid,
				 t->url.port);
	t->is_connecting = false;
	return 0;
}

/* ---- say ---- */

static void transport_prepare_pipe(struct transport *t)
{
	struct pipe_hello hello;

	pipe_hello_make(&hello, transport_random());
	pipe_scan_init_host(&t->scan, &hello);
	memcpy(t->greeting, hello.bytes, PIPE_HELLO_BYTES);
	t->n_greeting = PIPE_HELLO_BYTES;
}

static void transport_prepare_hvsock(struct transport *t)
{
	int n = snprintf((char *)t->greeting, sizeof(t->greeting), "CONNECT %" PRIu32 "\n",
			 t->url.port);

	t->n_greeting = (size_t)n;
}

static int transport_say(struct transport *t)
{
	while (t->n_said < t->n_greeting) {
		ssize_t n =
			transport_send(t->fd, t->greeting + t->n_said, t->n_greeting - t->n_said);

		if (n == -EAGAIN)
			return TRANSPORT_WANT_WRITE;
		if (n < 0)
			return err_raise((int)n, "greet '%s'", t->url.path);
		t->n_said += (size_t)n;
	}
	return 0;
}

/* ---- listen ---- */

int transport_line_feed(struct transport_line *l, char c)
{
	if (c == '\n')
		return l->size >= 2 && memcmp(l->text, "OK", 2) == 0 ? 0 : -EBADMSG;
	if (l->size + 1 >= TRANSPORT_LINE_MAX)
		return -EMSGSIZE;
	l->text[l->size++] = c;
	l->text[l->size] = '\0';
	return TRANSPORT_WANT_READ;
}

static ssize_t transport_read(struct transport *t, void *ret, size_t size)
{
	ssize_t n;

	do
		n = read(t->fd, ret, size);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/*
 * Byte by byte: what follows the line is ttrpc's. A VMM whose guest does not listen at that port
 * closes without a word.
 */
static int transport_listen_hvsock(struct transport *t)
{
	int r = TRANSPORT_WANT_READ;
	char c;

	while (r == TRANSPORT_WANT_READ) {
		ssize_t n = transport_read(t, &c, 1);

		if (n == -EAGAIN)
			return TRANSPORT_WANT_READ;
		if (n < 0)
			return err_raise((int)n, "read the answer of '%s' to CONNECT", t->url.path);
		if (n == 0)
			return err_raise(-ECONNREFUSED, "connect port %" PRIu32 " behind '%s'",
					 t->url.port, t->url.path);
		r = transport_line_feed(&t->line, c);
	}
	if (r < 0)
		return err_raise(r, "connect port %" PRIu32 " behind '%s', which said '%s'",
				 t->url.port, t->url.path, t->line.text);
	return 0;
}

static int transport_listen_pipe(struct transport *t)
{
	struct pipe_hello hello;

	for (unsigned i = 0; i < TRANSPORT_READS_MAX; i++) {
		ssize_t n = transport_read(t, t->rest, sizeof(t->rest));
		size_t used;

		if (n == -EAGAIN)
			return TRANSPORT_WANT_READ;
		if (n <= 0)
			return err_raise(n < 0 ? (int)n : -ECONNRESET,
					 "wait for the other end of '%s'", t->url.path);
		if (pipe_scan_feed(&t->scan, t->rest, (size_t)n, &used, &hello)) {
			t->n_rest = (size_t)n - used;
			memmove(t->rest, t->rest + used, t->n_rest);
			return 0;
		}
	}
	return TRANSPORT_WANT_READ;
}

static int transport_listen(struct transport *t)
{
	if (t->url.kind == URL_HVSOCK)
		return err_pass(transport_listen_hvsock(t));
	if (t->url.kind == URL_PIPE)
		return err_pass(transport_listen_pipe(t));
	return 0;
}

/* ---- all of it ---- */

static int (*const transport_steps[])(struct transport *t) = {
	[TRANSPORT_CONNECT] = transport_connect,
	[TRANSPORT_SAY] = transport_say,
	[TRANSPORT_LISTEN] = transport_listen,
};

int transport_advance(struct transport *t)
{
	while (t->step < _TRANSPORT_STEP_MAX) {
		int r = transport_steps[t->step](t);

		if (r < 0)
			transport_close(t);
		if (r != 0)
			return err_pass(r);
		t->step++;
	}
	return TRANSPORT_DONE;
}

static int transport_open(struct transport *t)
{
	switch (t->url.kind) {
	case URL_VSOCK:
		return err_pass(transport_open_vsock(t));
	case URL_HVSOCK:
		transport_prepare_hvsock(t);
		return err_pass(transport_open_unix(t));
	case URL_UNIX:
		return err_pass(transport_open_unix(t));
	case URL_PIPE:
		transport_prepare_pipe(t);
		return err_pass(transport_open_pipe(t));
	case _URL_KIND_MAX:
		break;
	}
	return err_raise(-EINVAL, "open a URL of no kind");
}

int transport_begin(struct transport *t, const struct url *url)
{
	int r;

	*t = TRANSPORT_NULL;
	t->url = *url;
	r = transport_open(t);
	if (r < 0) {
		transport_close(t);
		return err_pass(r);
	}
	return err_pass(transport_advance(t));
}

int transport_take(struct transport *t)
{
	return TAKE_FD(t->fd);
}

void transport_close(struct transport *t)
{
	t->fd = cleanup_close_fd(t->fd);
}
