/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtio-serial port as a channel: how two ends that can't see each other come and go agree where
 * a stream begins.
 *
 * A port has no connections: what the last user wrote may still lie in it, and the other end is not
 * told of a new one. So the host's end begins with a hello of PIPE_HELLO_BYTES: 16 fixed bytes that
 * no ttrpc frame begins with (the first byte of a frame's length is always 0) and 8 random ones, none
 * of which is the first of the fixed: a hello that was cut off does not swallow the next. The
 * guest's end looks for the fixed ones in whatever comes, at any place, drops all before and its own
 * connection with it, and answers with the same 24 bytes, the fixed ones in reverse order. The host
 * drops all that comes until it has seen its own answer. Then both begin with a new connection.
 *
 * Limits: a payload that holds the fixed 16 bytes by chance (2^-128) or by malice resets the
 * connection that it came on, and nothing else. Pure: no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PIPE_HELLO_BYTES 24U

struct pipe_hello {
	uint8_t bytes[PIPE_HELLO_BYTES];
};

void pipe_hello_make(struct pipe_hello *ret, uint64_t random);			/* the host's */
void pipe_hello_answer(const struct pipe_hello *hello, struct pipe_hello *ret); /* the guest's */

/* A scanner that is fed everything that comes. */
struct pipe_scan {
	struct pipe_hello wanted;
	bool any_random;		/* guest: the last 8 bytes may be any */
	uint8_t tail[PIPE_HELLO_BYTES]; /* what came last and may be the beginning of one */
	size_t n_tail;
};

void pipe_scan_init_host(struct pipe_scan *s, const struct pipe_hello *sent);
void pipe_scan_init_guest(struct pipe_scan *s);

/**
 * pipe_scan_feed() - look for a hello in the next bytes
 * @ret_used: bytes of @data up to and with the end of the hello; the rest belongs to the new stream
 * @ret_hello: what was found
 * Return: true when a whole one ended within @data.
 */
bool pipe_scan_feed(struct pipe_scan *s, const uint8_t *data, size_t size, size_t *ret_used,
		    struct pipe_hello *ret_hello);
