/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fresh network namespace for one test case, and hands to change it with.
 *
 * sandbox_enter() and sandbox_leave() are cmocka's setup and teardown: the test's own thread moves
 * in, so that every socket and every `ip` of the case is in there, and comes back afterwards.
 * Nothing outlives the case but what it forgot to close. Every helper asserts: a change that did
 * not happen fails the case where it was asked for.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SANDBOX_DEADLINE_MSEC \
	5000 /* for what comes at once or never, on a machine that does something else too */

int sandbox_enter(void **state);
int sandbox_leave(void **state);

/**
 * sandbox_ip() - run ip(8) over lines, each a command without the word "ip"
 *
 *	sandbox_ip("link add v0 type veth peer name v1\n"
 *		   "link set v0 up");
 *
 * One process a call (ip -batch). sandbox_ip6() is `ip -6`.
 */
void sandbox_ip(const char *fmt, ...) __attribute__((__format__(__printf__, 1, 2)));
void sandbox_ip6(const char *fmt, ...) __attribute__((__format__(__printf__, 1, 2)));

/* sandbox_ip_in() - the same inside another namespace */
void sandbox_ip_in(int netns_fd, const char *fmt, ...)
	__attribute__((__format__(__printf__, 2, 3)));

/* sandbox_write() - one line into a file, as /proc/sys/net/... of this namespace */
void sandbox_write(const char *path, const char *line);

/* sandbox_new_netns() - one more namespace; the caller stays where it is and closes the fd */
int sandbox_new_netns(void);

/* sandbox_fd_path() - "/proc/PID/fd/N", a name of @fd for other programs; caller frees */
char *sandbox_fd_path(int fd);

uint32_t sandbox_ifindex(const char *name);

/**
 * sandbox_wait() - until @is_true says so
 * @fds: readable when it may have become true; with none it is asked every few milliseconds
 * @is_true: also has to read what is there
 *
 * Return: whether it came true within @deadline_msec.
 */
bool sandbox_wait(const int *fds, unsigned n_fds, bool (*is_true)(void *arg), void *arg,
		  int deadline_msec);

/**
 * sandbox_routes() - many IPv4 routes at once, by netlink itself: a hundred thousand in about half
 * a second
 * @type: RTM_NEWROUTE or RTM_DELROUTE
 * @n: routes 16.0.0.0/24, 16.0.1.0/24, ... at most 1,000,000
 * @gateway: four bytes in network order, NULL for none
 *
 * Asserts that the kernel refused none.
 */
void sandbox_routes(uint16_t type, uint32_t n, uint32_t ifindex, const uint8_t *gateway);

/*
 * sandbox_neigh_flood() - @n changes of one IPv4 neighbour (16.0.0.0), each of them announced. Not
 * many neighbours: those are limited to 1024 for all namespaces together (gc_thresh3).
 */
void sandbox_neigh_flood(uint32_t n, uint32_t ifindex);
