/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a URL to an fd: who is connected, what is said and heard, byte by byte, and who is turned
 * away. The other side is real sockets and a real terminal, driven by hand.
 */
#include "agent-proto/transport.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "tests/unit/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	struct wire wire;
	struct transport transport;
	size_t n_fds;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f || wire_init(&f->wire, "transport") < 0)
		return -1;
	f->transport = TRANSPORT_NULL;
	f->n_fds = wire_count_fds();
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int r;

	transport_close(&f->transport);
	r = wire_done(&f->wire);
	free(f);
	return r;
}

static struct url url_of(const struct fixture *f, enum url_kind kind, const char *name)
{
	struct url url = { .kind = kind, .port = 1024 };

	(void)snprintf(url.path, sizeof(url.path), "%s/%s", f->wire.dir, name);
	return url;
}

static int begin(struct fixture *f, enum url_kind kind, const char *name)
{
	struct url url = url_of(f, kind, name);

	return transport_begin(&f->transport, &url);
}

/* It failed, said why, and left no fd. */
static void assert_refused(struct fixture *f, int got, int want)
{
	assert_int_equal(got, want);
	assert_int_equal(f->transport.fd, -1);
	assert_true(strlen(err_text()) > 10);
	err_clear();
}

static void assert_through(struct fixture *f, int got)
{
	CLEANUP(cleanup_close)
	int fd = -1;

	assert_int_equal(got, TRANSPORT_DONE);
	fd = transport_take(&f->transport);
	assert_true(fd >= 0);
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	assert_int_equal(transport_take(&f->transport), -1);
}

/* ---- unix ---- */

static void test_unix_connects_at_once(void **state)
{
	struct fixture *f = *state;
	int listener = wire_listen(&f->wire, "agent.sock");

	assert_through(f, begin(f, URL_UNIX, "agent.sock"));
	(void)wire_accept(&f->wire, listener);
}

static void test_nobody_there_is_said(void **state)
{
	struct fixture *f = *state;
	int listener = wire_listen(&f->wire, "left.sock");

	assert_refused(f, begin(f, URL_UNIX, "none.sock"), -ENOENT);
	wire_close(&f->wire, listener);
	assert_refused(f, begin(f, URL_UNIX, "left.sock"), -ECONNREFUSED);
	assert_refused(f, begin(f, URL_HVSOCK, "left.sock"), -ECONNREFUSED);
	assert_refused(f, begin(f, URL_PIPE, "left.sock"), -ECONNREFUSED);
	assert_refused(f, begin(f, URL_PIPE, "none.sock"), -ENOENT);
}

/* There is nothing to wait for, so nothing waits. */
static void test_a_full_backlog_is_a_failure_at_once(void **state)
{
	struct fixture *f = *state;
	int listener = wire_listen(&f->wire, "full.sock");

	assert_int_equal(listen(listener, 0), 0);
	(void)wire_connect(&f->wire, "full.sock");
	assert_refused(f, begin(f, URL_UNIX, "full.sock"), -EAGAIN);
}

static void test_without_fds_it_fails(void **state)
{
	struct fixture *f = *state;
	struct url vsock = { .kind = URL_VSOCK, .cid = 3, .port = 1024 };
	int r;

	(void)wire_listen(&f->wire, "agent.sock");
	wire_forbid_fds();
	r = begin(f, URL_UNIX, "agent.sock");
	wire_allow_fds();
	assert_refused(f, r, -EMFILE);
	wire_forbid_fds();
	r = transport_begin(&f->transport, &vsock);
	wire_allow_fds();
	assert_true(r == -EMFILE || r == -EAFNOSUPPORT);
	assert_int_equal(f->transport.fd, -1);
}

/* Longer than a sockaddr_un takes: it is reached all the same, by its own door. */
static void test_a_long_path_is_connected(void **state)
{
	static const char part[] = "a-directory-with-a-name-of-fifty-one-bytes-in-length";
	struct fixture *f = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct url url = { .kind = URL_UNIX };
	int dir, listener;

	(void)snprintf(url.path, sizeof(url.path), "%s", f->wire.dir);
	for (int i = 0; i < 3; i++) {
		size_t n = strlen(url.path);

		(void)snprintf(url.path + n, sizeof(url.path) - n, "/%s", part);
		assert_int_equal(mkdir(url.path, 0700), 0);
	}
	dir = wire_own(&f->wire, open(url.path, O_PATH | O_DIRECTORY | O_CLOEXEC));
	listener = wire_own(&f->wire, socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/s", dir);
	assert_int_equal(bind(listener, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 4), 0);
	(void)strncat(url.path, "/s", sizeof(url.path) - strlen(url.path) - 1);
	assert_true(strlen(url.path) > sizeof(address.sun_path));
	assert_through(f, transport_begin(&f->transport, &url));
	(void)wire_accept(&f->wire, listener);
}

/* runtime-rs says remote:///path:1024 where /path is meant; but a socket may be named so. */
static void test_a_port_after_a_path_is_dropped_only_where_it_is_none_of_its_name(void **state)
{
	struct fixture *f = *state;
	int plain = wire_listen(&f->wire, "a.sock");
	int named;

	assert_through(f, begin(f, URL_UNIX, "a.sock:1024"));
	(void)wire_accept(&f->wire, plain);
	named = wire_listen(&f->wire, "a.sock:1024");
	assert_through(f, begin(f, URL_UNIX, "a.sock:1024"));
	(void)wire_accept(&f->wire, named);
	assert_false(wire_has_input(plain));
	assert_refused(f, begin(f, URL_UNIX, "b.sock:1024"), -ENOENT);
	assert_refused(f, begin(f, URL_UNIX, "a.sock:x"), -ENOENT);
	assert_refused(f, begin(f, URL_UNIX, "a.sock:"), -ENOENT);
	/* nobody else's paths are touched */
	assert_refused(f, begin(f, URL_HVSOCK, "a.sock:1025"), -ENOENT);
	assert_refused(f, begin(f, URL_PIPE, "a.sock:1025"), -ENOENT);
}

/* ---- hvsock ---- */

/* Begins, and reads what the VMM is asked. Return: the VMM's end. */
static int begin_hvsock(struct fixture *f)
{
	int listener = wire_listen(&f->wire, "vmm.sock"), vmm;
	char asked[13];

	assert_int_equal(begin(f, URL_HVSOCK, "vmm.sock"), TRANSPORT_WANT_READ);
	vmm = wire_accept(&f->wire, listener);
	wire_close(&f->wire, listener);
	wire_read(&f->wire, vmm, asked, sizeof(asked));
	assert_memory_equal(asked, "CONNECT 1024\n", sizeof(asked));
	assert_false(wire_has_input(vmm));
	return vmm;
}

static void test_hvsock_waits_for_the_whole_line(void **state)
{
	static const char line[] = "OK 1073741824\n";
	struct fixture *f = *state;
	int vmm = begin_hvsock(f);

	for (const char *p = line; *p != '\0'; p++) {
		assert_int_equal(transport_advance(&f->transport), TRANSPORT_WANT_READ);
		wire_write(&f->wire, vmm, p, 1);
	}
	assert_through(f, transport_advance(&f->transport));
}

static void test_hvsock_takes_not_one_byte_more_than_the_line(void **state)
{
	struct fixture *f = *state;
	int vmm = begin_hvsock(f), fd;
	char rest[16];

	wire_write(&f->wire, vmm, "OK 5\nOK 6\nttrpc", 15);
	assert_int_equal(transport_advance(&f->transport), TRANSPORT_DONE);
	fd = transport_take(&f->transport);
	assert_int_equal(read(fd, rest, sizeof(rest)), 10);
	assert_memory_equal(rest, "OK 6\nttrpc", 10);
	(void)close(fd);
}

static void test_hvsock_without_a_listener_in_the_guest_is_refused(void **state)
{
	struct fixture *f = *state;
	int vmm = begin_hvsock(f);

	wire_close(&f->wire, vmm);
	assert_refused(f, transport_advance(&f->transport), -ECONNREFUSED);
	vmm = begin_hvsock(f);
	wire_write(&f->wire, vmm, "OK 7", 4);
	wire_close(&f->wire, vmm);
	assert_refused(f, transport_advance(&f->transport), -ECONNREFUSED);
}

static void test_hvsock_takes_no_other_answer_for_ok(void **state)
{
	static const char *const answers[] = {
		"NO\n", "\n", "O\n", "ok 5\n", " OK 5\n", "Bad Request\n", "\0OK\n",
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		int vmm = begin_hvsock(f);
		size_t size = answers[i][0] == '\0' ? 4 : strlen(answers[i]);

		wire_write(&f->wire, vmm, answers[i], size);
		assert_refused(f, transport_advance(&f->transport), -EBADMSG);
		wire_close(&f->wire, vmm);
	}
}

static void test_hvsock_line_has_a_limit(void **state)
{
	struct fixture *f = *state;
	char line[TRANSPORT_LINE_MAX + 1] = "OK ";
	int vmm = begin_hvsock(f);

	memset(line + 3, '7', sizeof(line) - 3);
	wire_write(&f->wire, vmm, line, TRANSPORT_LINE_MAX);
	assert_refused(f, transport_advance(&f->transport), -EMSGSIZE);
	vmm = begin_hvsock(f);
	line[TRANSPORT_LINE_MAX - 1] = '\n';
	wire_write(&f->wire, vmm, line, TRANSPORT_LINE_MAX);
	assert_through(f, transport_advance(&f->transport));
}

/* ---- pipe ---- */

static struct pipe_hello read_hello(struct fixture *f, int guest)
{
	struct pipe_hello hello;

	wire_read(&f->wire, guest, hello.bytes, sizeof(hello.bytes));
	return hello;
}

static void test_pipe_drops_what_was_left_in_it_and_keeps_what_follows(void **state)
{
	struct fixture *f = *state;
	int listener = wire_listen(&f->wire, "port.sock"), guest;
	struct pipe_hello hello, answer, older;

	assert_int_equal(begin(f, URL_PIPE, "port.sock"), TRANSPORT_WANT_READ);
	guest = wire_accept(&f->wire, listener);
	hello = read_hello(f, guest);
	pipe_hello_make(&older, 1);
	pipe_hello_answer(&older, &older);
	pipe_hello_answer(&hello, &answer);
	wire_write(&f->wire, guest, "half an old answer", 18);
	wire_write(&f->wire, guest, older.bytes, sizeof(older.bytes));
	assert_int_equal(transport_advance(&f->transport), TRANSPORT_WANT_READ);
	wire_write(&f->wire, guest, answer.bytes, 7);
	assert_int_equal(transport_advance(&f->transport), TRANSPORT_WANT_READ);
	wire_write(&f->wire, guest, answer.bytes + 7, sizeof(answer.bytes) - 7);
	wire_write(&f->wire, guest, "new", 3);
	assert_int_equal(transport_advance(&f->transport), TRANSPORT_DONE);
	assert_int_equal(f->transport.n_rest, 3);
	assert_memory_equal(f->transport.rest, "new", 3);
}

static void test_pipe_says_another_hello_each_time(void **state)
{
	struct fixture *f = *state;
	int listener = wire_listen(&f->wire, "port.sock");
	struct pipe_hello first, second;

	assert_int_equal(begin(f, URL_PIPE, "port.sock"), TRANSPORT_WANT_READ);
	first = read_hello(f, wire_accept(&f->wire, listener));
	transport_close(&f->transport);
	assert_int_equal(begin(f, URL_PIPE, "port.sock"), TRANSPORT_WANT_READ);
	second = read_hello(f, wire_accept(&f->wire, listener));
	assert_memory_not_equal(first.bytes, second.bytes, sizeof(first.bytes));
}

/* A flood of leftovers is read in pieces: the loop has other work. */
static void test_pipe_reads_a_flood_in_pieces(void **state)
{
	static char flood[160 * 1024];
	struct fixture *f = *state;
	int listener = wire_listen(&f->wire, "port.sock"), guest;
	ssize_t n;

	assert_int_equal(begin(f, URL_PIPE, "port.sock"), TRANSPORT_WANT_READ);
	guest = wire_accept(&f->wire, listener);
	n = send(guest, flood, sizeof(flood), MSG_NOSIGNAL);
	assert_true(n > 80 * 1024);
	assert_int_equal(transport_advance(&f->transport), TRANSPORT_WANT_READ);
	assert_true(wire_has_input(f->transport.fd));
}

static void test_pipe_that_ends_is_an_error(void **state)
{
	struct fixture *f = *state;
	int listener = wire_listen(&f->wire, "port.sock"), guest;

	assert_int_equal(begin(f, URL_PIPE, "port.sock"), TRANSPORT_WANT_READ);
	guest = wire_accept(&f->wire, listener);
	(void)read_hello(f, guest);
	wire_close(&f->wire, guest);
	assert_refused(f, transport_advance(&f->transport), -ECONNRESET);
}

/* QEMU's "-chardev pty": bytes that a terminal would eat come through. */
static void test_pipe_of_a_terminal_is_raw(void **state)
{
	struct fixture *f = *state;
	int guest = wire_own(&f->wire, posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
	struct url url = { .kind = URL_PIPE };
	struct pipe_hello hello, answer;
	char rest[4];
	int fd;

	assert_int_equal(grantpt(guest), 0);
	assert_int_equal(unlockpt(guest), 0);
	(void)snprintf(url.path, sizeof(url.path), "%s", ptsname(guest));
	assert_int_equal(transport_begin(&f->transport, &url), TRANSPORT_WANT_READ);
	hello = read_hello(f, guest);
	pipe_hello_answer(&hello, &answer);
	wire_write(&f->wire, guest, answer.bytes, sizeof(answer.bytes));
	WIRE_UNTIL(&f->wire, transport_advance(&f->transport) == TRANSPORT_DONE);
	fd = wire_own(&f->wire, transport_take(&f->transport));
	wire_write(&f->wire, guest, "\x03\x04\r\n", 4);
	wire_read(&f->wire, fd, rest, 4);
	assert_memory_equal(rest, "\x03\x04\r\n", 4);
	/* and no echo */
	assert_false(wire_has_input(guest));
}

static void test_pipe_is_a_socket_or_a_device_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	char path[256];

	wire_path(&f->wire, "fifo", path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_refused(f, begin(f, URL_PIPE, "fifo"), -ENODEV);
	wire_path(&f->wire, "file", path);
	(void)wire_own(&f->wire, open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_refused(f, begin(f, URL_PIPE, "file"), -ENODEV);
	assert_refused(f, begin(f, URL_PIPE, "."), -ENODEV);
}

/* ---- the rest ---- */

/* As a vsock connects: not before it is writable, and whoever looks too early is told to wait. */
static void test_a_connection_in_progress_is_waited_for(void **state)
{
	static char bytes[64 * 1024];
	struct fixture *f = *state;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	(void)wire_own(&f->wire, fds[1]);
	f->transport = (struct transport){ .fd = fds[0], .is_connecting = true };
	while (send(fds[0], bytes, sizeof(bytes), MSG_NOSIGNAL) > 0)
		continue;
	assert_int_equal(transport_advance(&f->transport), TRANSPORT_WANT_WRITE);
	assert_int_equal(transport_advance(&f->transport), TRANSPORT_WANT_WRITE);
	while (read(fds[1], bytes, sizeof(bytes)) > 0)
		continue;
	assert_through(f, transport_advance(&f->transport));
}

static void test_a_failure_leaves_no_fd(void **state)
{
	struct fixture *f = *state;
	int vmm;

	for (int i = 0; i < 20; i++) {
		(void)begin(f, URL_UNIX, "none.sock");
		(void)begin(f, URL_PIPE, ".");
		vmm = begin_hvsock(f);
		wire_write(&f->wire, vmm, "NO\n", 3);
		assert_refused(f, transport_advance(&f->transport), -EBADMSG);
		wire_close(&f->wire, vmm);
	}
	err_clear();
	assert_int_equal(wire_count_fds(), f->n_fds);
}

static void test_writing_to_who_is_gone_is_an_error_and_no_signal(void **state)
{
	struct fixture *f = *state;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	(void)wire_own(&f->wire, fds[0]);
	(void)close(fds[1]);
	assert_int_equal(transport_send(fds[0], "x", 1), -EPIPE);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_unix_connects_at_once),
		TEST(test_nobody_there_is_said),
		TEST(test_a_full_backlog_is_a_failure_at_once),
		TEST(test_without_fds_it_fails),
		TEST(test_a_long_path_is_connected),
		TEST(test_a_port_after_a_path_is_dropped_only_where_it_is_none_of_its_name),
		TEST(test_hvsock_waits_for_the_whole_line),
		TEST(test_hvsock_takes_not_one_byte_more_than_the_line),
		TEST(test_hvsock_without_a_listener_in_the_guest_is_refused),
		TEST(test_hvsock_takes_no_other_answer_for_ok),
		TEST(test_hvsock_line_has_a_limit),
		TEST(test_pipe_drops_what_was_left_in_it_and_keeps_what_follows),
		TEST(test_pipe_says_another_hello_each_time),
		TEST(test_pipe_reads_a_flood_in_pieces),
		TEST(test_pipe_that_ends_is_an_error),
		TEST(test_pipe_of_a_terminal_is_raw),
		TEST(test_pipe_is_a_socket_or_a_device_and_nothing_else),
		TEST(test_a_connection_in_progress_is_waited_for),
		TEST(test_a_failure_leaves_no_fd),
		TEST(test_writing_to_who_is_gone_is_an_error_and_no_signal),
	};
#undef TEST

	return cmocka_run_group_tests_name("transport", tests, NULL, NULL);
}
