/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one door to the kernel: requests with their answers, dumps, and the news that a link came.
 *
 * Requests go many to one sendmsg(); their answers are read together. A dump is asked for with
 * strict checking, and again when the network changed under it.
 *
 * The kernel answers all of this before sendmsg() returns, or as its reader reads: nothing here
 * waits for anybody else. NETLINK_ANSWER_MSEC is for a kernel that is not well.
 */
#pragma once

#include <linux/netlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define NETLINK_BATCH_MAX   256U /* messages to one sendmsg(): their answers fit any receive buffer */
#define NETLINK_ANSWER_MSEC 5000
#define NETLINK_DUMP_TRIES  16U /* a dump that was torn as often is given up */
#define NETLINK_WORDS_MAX   160

struct netlink;

DEFINE_CLEANUP(struct nl_msg, nlmsg_free)

/* In the network namespace of the caller. Return: 0, -errno. */
int netlink_new(struct netlink **ret);
struct netlink *netlink_free(struct netlink *n);
DEFINE_CLEANUP(struct netlink, netlink_free)

/* Readable when links came or changed. */
int netlink_event_fd(const struct netlink *n);
/* Reads all that is there. Return: whether there was something, be it an overrun. */
bool netlink_take_events(struct netlink *n);
/* What tells one network namespace from another; 0 on kernels before 5.14. */
uint64_t netlink_cookie(const struct netlink *n);

/* ---- requests ---- */

/* An empty message with @header, room for a page of attributes; NULL without memory. */
struct nl_msg *netlink_message(int type, int flags, const void *header, size_t header_bytes);

struct netlink_batch {
	size_t n;
	/* The message of item @i, freed by us; NULL: no memory, ends the batch with -ENOMEM. */
	struct nl_msg *(*make)(void *userdata, size_t i);
	/* @error: 0 or a negative errno; @words: the kernel's own, "" if it has none; borrowed */
	void (*done)(void *userdata, size_t i, int error, const char *words);
	void *userdata;
};

/* Sends all, in order, whatever becomes of each. Return: 0 when all were answered; -errno. */
int netlink_send(struct netlink *n, const struct netlink_batch *b);

/*
 * One request. @m is freed; NULL is -ENOMEM. Return: the kernel's answer, 0 or a negative errno
 * that was raised as "@what (kernel says '...')"; netlink_forgive() is for those that are none.
 */
int netlink_ask(struct netlink *n, struct nl_msg *m, const char *what);
/* @r, or 0 when it is one of the two. */
int netlink_forgive(int r, int error, int other);

/* ---- dumps ---- */

struct netlink_dump {
	int type; /* RTM_GET* */
	const void *header;
	size_t header_bytes;
	/* For each message that came. A negative return ends the dump. */
	int (*each)(void *userdata, const struct nlmsghdr *h);
	void (*restart)(void *userdata); /* forget all: it begins anew */
	void *userdata;
};

/* A family that the kernel has not is empty. Return: 0; -EAGAIN: always torn; -errno. */
int netlink_dump(struct netlink *n, const struct netlink_dump *d);
