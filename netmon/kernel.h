/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's side: three rtnetlink sockets in the pod's namespace. The only file, with
 * kernel-parse.c, that knows libnl.
 *
 *   events   links, addresses, routes (IPv4, IPv6), rules; a large buffer, forced (SO_RCVBUFFORCE)
 *   neigh    neighbours; a small buffer of its own, so that an ARP flood drowns nothing else
 *   dump     requests; strict checking (NETLINK_GET_STRICT_CHK), no notifications
 *
 * A netlink socket keeps the namespace that it was opened in, and pins it: see lifetime.h for how
 * the end is noticed. Received by our own recvmsg(), since libnl 3.7 reports an overrun as "out of
 * memory": overrun, truncation, interrupted dump and no memory stay four facts. Only messages whose
 * sender is the kernel (nl_pid 0) count.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "netmon/source.h"

#define KERNEL_EVENT_BUFFER_BYTES (1024U * 1024) /* default of @event_buffer_bytes */
#define KERNEL_NEIGH_BUFFER_BYTES (64U * 1024)
#define KERNEL_DUMP_TIMEOUT_MSEC \
	1000 /* a dump is answered by the kernel at once, or something is very wrong */

struct kernel_config {
	int netns_fd; /* borrowed; -1: the namespace that we are in */
	/* 0: the default; what the kernel made of it is in kernel_stats */
	uint32_t event_buffer_bytes;
	uint32_t neigh_buffer_bytes; /* 0: the default */
};

struct kernel_stats {
	uint64_t events; /* messages read from the event sockets */
	uint64_t dumps;
	uint64_t malformed;	     /* messages and objects that did not parse and were left out */
	uint32_t event_buffer_bytes; /* as SO_RCVBUF reports */
	uint32_t neigh_buffer_bytes;
};

struct kernel;

/*
 * Opens and subscribes (subscribe first, dump second: the caller dumps afterwards). Return: 0;
 * -EPERM, -EMFILE, -ENOMEM...
 */
int kernel_new(struct kernel **ret, const struct kernel_config *config);
struct kernel *kernel_free(struct kernel *k); /* returns NULL */
DEFINE_CLEANUP(struct kernel, kernel_free)

/* For the loop: EPOLLIN (and EPOLLERR, which is an overrun) on either. Borrowed. */
int kernel_event_fd(const struct kernel *k);
int kernel_neigh_fd(const struct kernel *k);

/*
 * SO_NETNS_COOKIE of the namespace: never reused while the machine runs. Return: 0; -ENOPROTOOPT on
 * kernels before 5.14.
 */
int kernel_netns_cookie(const struct kernel *k, uint64_t *ret);

const struct kernel_stats *kernel_stats(const struct kernel *k);

extern const struct source_ops kernel_source_ops; /* @source is the struct kernel */
