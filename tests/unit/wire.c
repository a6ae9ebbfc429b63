/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/wire.h"

#include "base/cleanup.h"
#include "base/error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define QUIET_TURNS_MAX 1000U /* more are not what was pending, they go on */

int wire_init(struct wire *w, const char *name)
{
	*w = (struct wire){ 0 };
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/netmon-test-%s-XXXXXX", name);
	if (!mkdtemp(w->dir))
		return -1;
	return sd_event_new(&w->event) < 0 ? -1 : 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int wire_done(struct wire *w)
{
	wire_allow_fds();
	for (size_t i = 0; i < w->n_fds; i++)
		(void)close(w->fds[i]);
	sd_event_unref(w->event);
	err_clear();
	return nftw(w->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void wire_turn(struct wire *w, uint64_t until_usec, const char *condition)
{
	if (clock_now_usec() >= until_usec)
		fail_msg("deadline: %s", condition);
	assert_true(sd_event_run(w->event, 5 * CLOCK_USEC_PER_MSEC) >= 0);
}

void wire_run(struct wire *w, uint64_t usec)
{
	uint64_t until = clock_now_usec() + usec;

	for (uint64_t now = clock_now_usec(); now < until; now = clock_now_usec())
		assert_true(sd_event_run(w->event, until - now) >= 0);
}

/* sd_event_run() says 1 also when a signal (a stop, a debugger) ended its wait: so it is not asked. */
void wire_assert_quiet(struct wire *w, uint64_t usec)
{
	struct pollfd p = { .fd = sd_event_get_fd(w->event), .events = POLLIN };
	unsigned turns = 0;

	while (sd_event_run(w->event, 0) > 0)
		assert_true(++turns < QUIET_TURNS_MAX);
	assert_int_equal(sd_event_prepare(w->event), 0);
	assert_int_equal(poll(&p, 1, (int)(usec / CLOCK_USEC_PER_MSEC)), 0);
	assert_int_equal(sd_event_wait(w->event, 0), 0);
}

static bool is_armed_timer(int dirfd, const char *fd)
{
	char name[64], text[512] = "";
	CLEANUP(cleanup_close) int info = -1;
	const char *value;

	(void)snprintf(name, sizeof(name), "/proc/self/fdinfo/%s", fd);
	if (readlinkat(dirfd, fd, text, sizeof(text) - 1) < 0 || !strstr(text, "timerfd"))
		return false;
	info = open(name, O_RDONLY | O_CLOEXEC);
	memset(text, 0, sizeof(text));
	assert_true(info >= 0 && read(info, text, sizeof(text) - 1) > 0);
	value = strstr(text, "it_value: (");
	return value && strncmp(value, "it_value: (0, 0)", 16) != 0;
}

void wire_assert_no_timer(struct wire *w)
{
	CLEANUP(cleanup_closedir) DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	/* the loop disarms before it waits */
	(void)sd_event_run(w->event, 0);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		assert_false(is_armed_timer(dirfd(dir), entry->d_name));
}

void wire_path(const struct wire *w, const char *name, char ret[static 256])
{
	(void)snprintf(ret, 256, "%s/%s", w->dir, name);
}

/* ---- peers ---- */

int wire_own(struct wire *w, int fd)
{
	assert_true(fd >= 0);
	assert_true(w->n_fds < WIRE_PEERS_MAX);
	w->fds[w->n_fds++] = fd;
	return fd;
}

void wire_close(struct wire *w, int fd)
{
	for (size_t i = 0; i < w->n_fds; i++)
		if (w->fds[i] == fd) {
			(void)close(fd);
			w->fds[i] = w->fds[--w->n_fds];
			return;
		}
	fail_msg("fd %d is nobody's", fd);
}

static struct sockaddr_un address_of(const struct wire *w, const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", w->dir, name);
	return address;
}

static int make_socket(struct wire *w)
{
	return wire_own(w, socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

int wire_listen(struct wire *w, const char *name)
{
	struct sockaddr_un address = address_of(w, name);
	int fd = make_socket(w);

	(void)unlink(address.sun_path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 128), 0);
	return fd;
}

int wire_accept(struct wire *w, int listener)
{
	int fd = -1;

	WIRE_UNTIL(w, (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
	return wire_own(w, fd);
}

int wire_connect(struct wire *w, const char *name)
{
	struct sockaddr_un address = address_of(w, name);
	int fd = make_socket(w);

	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static ssize_t send_or_write(int fd, const void *data, size_t size)
{
	ssize_t n = send(fd, data, size, MSG_NOSIGNAL);

	return n < 0 && errno == ENOTSOCK ? write(fd, data, size) : n;
}

void wire_write(struct wire *w, int fd, const void *data, size_t size)
{
	const char *from = data;

	while (size > 0) {
		ssize_t n = -1;

		WIRE_UNTIL(w, (n = send_or_write(fd, from, size)) >= 0 || errno != EAGAIN);
		assert_true(n > 0);
		from += n;
		size -= (size_t)n;
	}
}

void wire_read(struct wire *w, int fd, void *ret, size_t size)
{
	char *to = ret;

	while (size > 0) {
		ssize_t n = -1;

		WIRE_UNTIL(w, (n = read(fd, to, size)) >= 0 || errno != EAGAIN);
		assert_true(n > 0);
		to += n;
		size -= (size_t)n;
	}
}

void wire_assert_end(struct wire *w, int fd)
{
	char drain[4096];
	ssize_t n = 1;

	WIRE_UNTIL(w, (n = read(fd, drain, sizeof(drain))) == 0 || (n < 0 && errno != EAGAIN));
	assert_true(n == 0 || errno == ECONNRESET);
}

bool wire_has_input(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* ---- fds ---- */

static void limit_fds(rlim_t soft)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

void wire_forbid_fds(void)
{
	limit_fds(3); /* poll(2) takes no more fds than the limit */
}

void wire_allow_fds(void)
{
	limit_fds(1024);
}

size_t wire_count_fds(void)
{
	CLEANUP(cleanup_closedir) DIR *dir = opendir("/proc/self/fd");
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	return n;
}

/* ---- frames ---- */

static size_t put_bytes(uint8_t *to, uint8_t tag, const char *text)
{
	size_t size = strlen(text);

	assert_true(size < 100);
	to[0] = tag;
	to[1] = (uint8_t)size;
	memcpy(to + 2, text, size);
	return size + 2;
}

static size_t put_header(uint8_t *frame, size_t size, uint32_t stream, uint8_t type)
{
	const uint8_t header[] = {
		0,
		0,
		0,
		(uint8_t)size,
		(uint8_t)(stream >> 24),
		(uint8_t)(stream >> 16),
		(uint8_t)(stream >> 8),
		(uint8_t)stream,
		type,
		0,
	};

	assert_true(sizeof(header) + size <= WIRE_FRAME_MAX);
	memcpy(frame, header, sizeof(header));
	return sizeof(header) + size;
}

size_t wire_response(uint8_t ret[static WIRE_FRAME_MAX], uint32_t stream, const char *payload)
{
	size_t size = put_bytes(ret + 10, 0x0a, "");

	size += put_bytes(ret + 10 + size, 0x12, payload);
	return put_header(ret, size, stream, 2);
}

size_t wire_request(uint8_t ret[static WIRE_FRAME_MAX], uint32_t stream, const char *method,
		    const char *payload)
{
	size_t size = put_bytes(ret + 10, 0x0a, "s");

	size += put_bytes(ret + 10 + size, 0x12, method);
	size += put_bytes(ret + 10 + size, 0x1a, payload);
	return put_header(ret, size, stream, 1);
}

uint32_t wire_read_frame(struct wire *w, int fd)
{
	uint8_t h[10];
	CLEANUP(cleanup_free) void *body = NULL;
	size_t size;

	wire_read(w, fd, h, sizeof(h));
	size = (size_t)h[0] << 24 | (size_t)h[1] << 16 | (size_t)h[2] << 8 | h[3];
	body = malloc(size + 1);
	assert_non_null(body);
	wire_read(w, fd, body, size);
	return (uint32_t)h[4] << 24 | (uint32_t)h[5] << 16 | (uint32_t)h[6] << 8 | h[7];
}
