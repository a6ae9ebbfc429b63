/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fresh network namespace for one test case. See sandbox.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/netns/sandbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define OWN_NETNS     "/proc/thread-self/ns/net"
#define ASK_MSEC      2
#define BATCH_BYTES   (32U * 1024)
#define FIRST_ADDRESS 0x10000000U /* 16.0.0.0 */

struct sandbox {
	int home_fd;
};

static int open_own_netns(void)
{
	int fd = open(OWN_NETNS, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

int sandbox_enter(void **state)
{
	struct sandbox *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->home_fd = open_own_netns();
	*state = s;
	if (unshare(CLONE_NEWNET) < 0) {
		print_error("a new network namespace: %s (are you root?)\n", strerror(errno));
		return -1;
	}
	return 0;
}

int sandbox_leave(void **state)
{
	struct sandbox *s = *state;
	int r = setns(s->home_fd, CLONE_NEWNET);

	(void)close(s->home_fd);
	free(s);
	return r;
}

int sandbox_new_netns(void)
{
	CLEANUP(cleanup_close) int home_fd = open_own_netns();
	int fd;

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	fd = open_own_netns();
	assert_int_equal(setns(home_fd, CLONE_NEWNET), 0);
	return fd;
}

char *sandbox_fd_path(int fd)
{
	char *path = NULL;

	assert_true(asprintf(&path, "/proc/%d/fd/%d", getpid(), fd) > 0);
	return path;
}

uint32_t sandbox_ifindex(const char *name)
{
	uint32_t ifindex = if_nametoindex(name);

	assert_int_not_equal(ifindex, 0);
	return ifindex;
}

void sandbox_write(const char *path, const char *line)
{
	CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t n = strlen(line);

	if (fd < 0 || write(fd, line, n) != (ssize_t)n)
		fail_msg("write '%s' to %s: %s", line, path, strerror(errno));
}

/* ---- ip(8) ---- */

static int open_text(const char *text)
{
	int fd = memfd_create("ip-batch", MFD_CLOEXEC);
	size_t n = strlen(text);

	assert_true(fd >= 0);
	assert_true(write(fd, text, n) == (ssize_t)n);
	assert_true(lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

static int run(const char *const argv[], int stdin_fd)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int status = -1;
	int r;

	assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
	assert_int_equal(posix_spawn_file_actions_adddup2(&actions, stdin_fd, STDIN_FILENO), 0);
	r = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (r != 0)
		fail_msg("run %s: %s", argv[0], strerror(r));
	assert_true(waitpid(pid, &status, 0) == pid);
	return status;
}

__attribute__((__format__(__printf__, 2, 0))) static void run_ip(const char *family,
								 const char *fmt, va_list arguments)
{
	CLEANUP(cleanup_free) char *text = NULL;
	CLEANUP(cleanup_close) int fd = -1;

	assert_true(vasprintf(&text, fmt, arguments) >= 0);
	fd = open_text(text);
	if (run((const char *const[]){ "ip", family, "-batch", "-", NULL }, fd) != 0)
		fail_msg("ip %s failed in: %.200s", family, text);
}

void sandbox_ip(const char *fmt, ...)
{
	va_list arguments;

	va_start(arguments, fmt);
	run_ip("-details", fmt, arguments);
	va_end(arguments);
}

void sandbox_ip6(const char *fmt, ...)
{
	va_list arguments;

	va_start(arguments, fmt);
	run_ip("-6", fmt, arguments);
	va_end(arguments);
}

void sandbox_ip_in(int netns_fd, const char *fmt, ...)
{
	CLEANUP(cleanup_close) int home_fd = open_own_netns();
	va_list arguments;

	assert_int_equal(setns(netns_fd, CLONE_NEWNET), 0);
	va_start(arguments, fmt);
	run_ip("-details", fmt, arguments);
	va_end(arguments);
	assert_int_equal(setns(home_fd, CLONE_NEWNET), 0);
}

/* ---- waiting ---- */

static int msec_left(uint64_t until_usec)
{
	uint64_t now = clock_now_usec();

	return now >= until_usec ? 0 : (int)((until_usec - now) / CLOCK_USEC_PER_MSEC) + 1;
}

bool sandbox_wait(const int *fds, unsigned n_fds, bool (*is_true)(void *arg), void *arg,
		  int deadline_msec)
{
	uint64_t until_usec = clock_now_usec() + (uint64_t)deadline_msec * CLOCK_USEC_PER_MSEC;
	struct pollfd polls[8];

	assert_true(n_fds <= sizeof(polls) / sizeof(polls[0]));
	for (unsigned i = 0; i < n_fds; i++)
		polls[i] = (struct pollfd){ .fd = fds[i], .events = POLLIN };
	while (!is_true(arg)) {
		int left = msec_left(until_usec);

		if (left == 0)
			return false;
		(void)poll(polls, n_fds, n_fds ? left : ASK_MSEC);
	}
	return true;
}

/* ---- many objects at once ---- */

/*
 * Messages one behind the other; the kernel takes them in order and answers only what it refuses.
 */
struct batch {
	int fd;
	size_t used;
	char *bytes;
};

static void batch_open(struct batch *b)
{
	b->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	assert_true(b->fd >= 0);
	b->used = 0;
	b->bytes = malloc(BATCH_BYTES);
	assert_non_null(b->bytes);
}

static void batch_send(struct batch *b)
{
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
	} refusal;

	if (b->used > 0)
		assert_true(send(b->fd, b->bytes, b->used, 0) == (ssize_t)b->used);
	b->used = 0;
	if (recv(b->fd, &refusal, sizeof(refusal), MSG_DONTWAIT) > 0)
		fail_msg("the kernel refused one: %s", strerror(-refusal.e.error));
}

static void batch_put(struct batch *b, const void *message, size_t bytes)
{
	if (b->used + bytes > BATCH_BYTES)
		batch_send(b);
	memcpy(b->bytes + b->used, message, bytes);
	b->used += bytes;
}

static void batch_close(struct batch *b)
{
	batch_send(b);
	(void)close(b->fd);
	free(b->bytes);
}

struct u32_attribute {
	struct rtattr head;
	uint32_t value;
};

static struct u32_attribute u32_attribute(uint16_t type, uint32_t value)
{
	return (struct u32_attribute){
		.head = { .rta_len = sizeof(struct u32_attribute), .rta_type = type },
		.value = value,
	};
}

struct route_message {
	struct nlmsghdr h;
	struct rtmsg rtm;
	struct u32_attribute oif, dst, gateway; /* the last one is left out when there is none */
};

static struct route_message route_message(uint16_t type, uint32_t ifindex, const uint8_t *gateway)
{
	/* not on a removal: there the bit of NLM_F_EXCL means "in bulk" */
	uint16_t flags = type == RTM_NEWROUTE ? NLM_F_CREATE | NLM_F_EXCL : 0;
	struct route_message m = {
		.h = { .nlmsg_len = sizeof(m),
		       .nlmsg_type = type,
		       .nlmsg_flags = NLM_F_REQUEST | flags },
		.rtm = { .rtm_family = AF_INET,
			 .rtm_dst_len = 24,
			 .rtm_table = RT_TABLE_MAIN,
			 .rtm_protocol = RTPROT_STATIC,
			 .rtm_scope = gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
			 .rtm_type = RTN_UNICAST },
		.oif = u32_attribute(RTA_OIF, ifindex),
		.gateway = u32_attribute(RTA_GATEWAY, 0),
	};

	if (gateway)
		memcpy(&m.gateway.value, gateway, sizeof(m.gateway.value));
	else
		m.h.nlmsg_len -= (uint32_t)sizeof(m.gateway);
	return m;
}

void sandbox_routes(uint16_t type, uint32_t n, uint32_t ifindex, const uint8_t *gateway)
{
	struct route_message m = route_message(type, ifindex, gateway);
	struct batch b;

	assert_true(n <= 1000000);
	batch_open(&b);
	for (uint32_t i = 0; i < n; i++) {
		m.dst = u32_attribute(RTA_DST, htonl(FIRST_ADDRESS + (i << 8)));
		batch_put(&b, &m, m.h.nlmsg_len);
	}
	batch_close(&b);
}

struct neighbour_message {
	struct nlmsghdr h;
	struct ndmsg ndm;
	struct u32_attribute dst;
	struct rtattr mac_head;
	uint8_t mac[8]; /* six and two to fill up */
};

void sandbox_neigh_flood(uint32_t n, uint32_t ifindex)
{
	struct neighbour_message m = {
		.h = { .nlmsg_len = sizeof(m),
		       .nlmsg_type = RTM_NEWNEIGH,
		       .nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE },
		.ndm = { .ndm_family = AF_INET,
			 .ndm_ifindex = (int)ifindex,
			 .ndm_state = NUD_REACHABLE },
		.dst = u32_attribute(NDA_DST, htonl(FIRST_ADDRESS)),
		.mac_head = { .rta_len = sizeof(struct rtattr) + 6, .rta_type = NDA_LLADDR },
		.mac = { 2 },
	};
	struct batch b;

	batch_open(&b);
	for (uint32_t i = 0; i < n; i++) {
		memcpy(m.mac + 2, &i, sizeof(i));
		batch_put(&b, &m, sizeof(m));
	}
	batch_close(&b);
}
