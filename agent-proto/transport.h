/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to an agent, opened without blocking: from a struct url to an fd that speaks ttrpc.
 *
 *     connect -> say (hvsock's "CONNECT PORT\n", a pipe's hello) -> listen (its answer) -> done
 *
 * Driven by the readiness of the fd; a deadline over all of it is the caller's. No event loop here.
 *
 * Source: firecracker docs/vsock.md (host-initiated connections); vsock(7); unix(7); pipe.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent-proto/pipe.h"
#include "agent-proto/url.h"

#define TRANSPORT_LINE_MAX   64U   /* bytes of hvsock's answer, with its end of line */
#define TRANSPORT_READ_BYTES 4096U /* read at once while a pipe's hello is looked for */

/* What transport_begin() and transport_advance() return when they do not fail. */
enum transport_want {
	TRANSPORT_DONE,	      /* the handshake is through: take the fd */
	TRANSPORT_WANT_READ,  /* come back when the fd is readable */
	TRANSPORT_WANT_WRITE, /* come back when it is writable */
};

enum transport_step {
	TRANSPORT_CONNECT,
	TRANSPORT_SAY,
	TRANSPORT_LISTEN,
	_TRANSPORT_STEP_MAX,
};

/* A VMM's answer to CONNECT, as far as it has come. */
struct transport_line {
	char text[TRANSPORT_LINE_MAX + 1]; /* NUL-terminated, hostile bytes */
	size_t size;
};

struct transport {
	struct url url;
	enum transport_step step;
	int fd; /* owned; -1: none */
	bool is_connecting;
	uint8_t greeting[PIPE_HELLO_BYTES];
	size_t n_greeting, n_said;
	struct transport_line line;
	struct pipe_scan scan;
	/* What came after a pipe's hello in the same read: it belongs to ttrpc. */
	uint8_t rest[TRANSPORT_READ_BYTES];
	size_t n_rest;
};

#define TRANSPORT_NULL ((struct transport){ .fd = -1 })

/**
 * transport_begin() - open the fd, connect, and go as far as it goes at once
 * @t: TRANSPORT_NULL, or what transport_close() left
 *
 * Return: enum transport_want; -errno with a sentence, and then there is no fd: -ENOENT,
 * -ECONNREFUSED (nobody accepts), -EAGAIN (a unix socket's backlog is full: there is nothing to
 * wait for, try again later), -ECONNRESET and -ENODEV (vsock: no listener; no such CID), -ENODEV
 * (pipe: neither socket nor character device), -EMFILE ...
 */
int transport_begin(struct transport *t, const struct url *url);

/**
 * transport_advance() - go on; may be called at any time after a want
 * Return: enum transport_want; -errno with a sentence, the fd is closed: also -ECONNREFUSED (a VMM
 * that hung up instead of "OK"), -EBADMSG (it said something else), -EMSGSIZE (and did not stop).
 */
int transport_advance(struct transport *t);

/* Hands the fd over, non-blocking and close-on-exec. After TRANSPORT_DONE, once. */
int transport_take(struct transport *t);
void transport_close(struct transport *t); /* at any time; usable with CLEANUP() */

/**
 * transport_line_feed() - one more byte of a VMM's answer
 * Return: 0: the line is whole and says "OK"; TRANSPORT_WANT_READ; -EBADMSG: it says something else;
 * -EMSGSIZE: TRANSPORT_LINE_MAX bytes and no end. Pure: for the fuzzer too.
 */
int transport_line_feed(struct transport_line *l, char c);

/*
 * Writes to a socket or a device, no SIGPIPE. Return: as write(2), a negative errno for -1;
 * -EAGAIN when nothing fits.
 */
ssize_t transport_send(int fd, const void *data, size_t size);

/*
 * Good enough to spread attempts and to tell one hello from an older one, never a secret: early in
 * boot it is the clock.
 */
uint64_t transport_random(void);
