/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ttrpc: one connection, either side, without I/O: bytes in, events and bytes out.
 *
 * A driver (client.c and server.c on sd-event, the guest agent on poll) reads from its socket into
 * ttrpc_input(), takes events until there are none, and writes what ttrpc_output() holds. Nothing
 * here blocks, knows a clock or a file, or calls back. What the peer sends is hostile: each limit is
 * checked before memory is taken for what is over it, and a peer that breaks the protocol costs its
 * connection and nothing else.
 *
 * Source: containerd/ttrpc PROTOCOL.md, channel.go, request.proto. Header of 10 bytes, big endian:
 * u32 data length, u32 stream id, u8 type (1 request, 2 response, 3 data), u8 flags. Unary calls
 * only: a Data frame, or a request that says "remote open", is answered or dropped, never kept.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

#define TTRPC_HEADER_BYTES 10U
#define TTRPC_DATA_MAX	   (4U << 20) /* bytes of a frame after its header, each way */
#define TTRPC_NAME_MAX	   256U	      /* bytes of a service's or method's name */
#define TTRPC_MESSAGE_MAX  1024U      /* bytes kept of an error's message; the rest is cut */
#define TTRPC_CALLS_MAX	   64U	      /* calls in flight, each way */
#define TTRPC_METADATA_MAX 64U	      /* pairs of a request; more is a refused request */
#define TTRPC_UNWANTED_MAX 1024U      /* frames dropped without a word between two wanted ones */
/* Bytes of answers that the peer does not read before the connection is given up. */
#define TTRPC_OUTPUT_MAX (2 * (TTRPC_DATA_MAX + TTRPC_HEADER_BYTES))

/*
 * RESOURCE_EXHAUSTED, of the two places that say it: a client of an answer that was over
 * TTRPC_DATA_MAX, ttrpc_answer() of what it was given. The call itself was carried out.
 */
#define TTRPC_ANSWER_TOO_LONG "the answer is over 4194304 bytes"

/* google.rpc.Code */
enum ttrpc_code {
	TTRPC_OK,
	TTRPC_CANCELLED,
	TTRPC_UNKNOWN,
	TTRPC_INVALID_ARGUMENT,
	TTRPC_DEADLINE_EXCEEDED,
	TTRPC_NOT_FOUND,
	TTRPC_ALREADY_EXISTS,
	TTRPC_PERMISSION_DENIED,
	TTRPC_RESOURCE_EXHAUSTED,
	TTRPC_FAILED_PRECONDITION,
	TTRPC_ABORTED,
	TTRPC_OUT_OF_RANGE,
	TTRPC_UNIMPLEMENTED,
	TTRPC_INTERNAL,
	TTRPC_UNAVAILABLE,
	TTRPC_DATA_LOSS,
	TTRPC_UNAUTHENTICATED,
	_TTRPC_CODE_MAX,
};

/* "ok", "cancelled", ..., "unauthenticated"; a number that is no code is "unknown" */
const char *ttrpc_code_to_string(enum ttrpc_code code);

struct ttrpc_bytes {
	const void *data;
	size_t size;
};

enum ttrpc_role { TTRPC_CLIENT, TTRPC_SERVER };

enum ttrpc_event_type {
	TTRPC_RESPONSE, /* client: a call of ours was answered */
	TTRPC_REQUEST,	/* server: answer it with ttrpc_answer() or ttrpc_fail() */
};

/*
 * All pointers are into the connection, valid until the next call with it other than ttrpc_call()
 * and ttrpc_forget().
 */
struct ttrpc_event {
	enum ttrpc_event_type type;
	uint32_t stream;
	struct ttrpc_bytes payload; /* of a request, or of a response that is ok */
	/* response */
	enum ttrpc_code code; /* a number that is no code: TTRPC_UNKNOWN */
	const char *message;  /* "" when ok; hostile bytes up to the first NUL, NUL-terminated */
	/* request; NUL-terminated, no NUL inside, hostile bytes */
	const char *service, *method;
	uint64_t timeout_nsec; /* relative to now; 0: none; 1: also a negative one, which has passed */
};

struct ttrpc;

/* Return: 0, -ENOMEM. */
int ttrpc_new(struct ttrpc **ret, enum ttrpc_role role);
struct ttrpc *ttrpc_free(struct ttrpc *t); /* NULL is fine; returns NULL */
DEFINE_CLEANUP(struct ttrpc, ttrpc_free)

/**
 * ttrpc_input() - where the next bytes from the peer go
 * @ret_size: at least 1
 * To be called when ttrpc_next() has said 0. Grows only for a frame whose header was accepted, as
 * its bytes come and up to that frame; rests without memory of one that passed.
 * Return: the place; NULL without memory, or when a whole frame waits for ttrpc_next().
 */
void *ttrpc_input(struct ttrpc *t, size_t *ret_size);
/* So many bytes were written there (at most what ttrpc_input() said). */
void ttrpc_input_done(struct ttrpc *t, size_t size);

/**
 * ttrpc_next() - the next event
 *
 * Handled inside, and never an event: a response to a call that was forgotten or never made
 * (dropped), a Data frame of a unary call (client: dropped; server: answered INVALID_ARGUMENT once
 * a stream), a frame over TTRPC_DATA_MAX (server: RESOURCE_EXHAUSTED, its body is skipped, the
 * connection lives; client: that call is answered RESOURCE_EXHAUSTED by an event), a request with
 * an even or re-used stream id (INVALID_ARGUMENT "StreamID cannot be re-used and must increment"),
 * over a limit (RESOURCE_EXHAUSTED) or not decodable (INVALID_ARGUMENT).
 *
 * Return: 1: *ret; 0: no whole frame is there; -EPROTO: what came is no ttrpc (an unknown type, a
 * response whose message can't be decoded, a server that sends requests), or more than
 * TTRPC_UNWANTED_MAX frames that nobody wants; -EMSGSIZE: the peer does not read its answers
 * (TTRPC_OUTPUT_MAX); -ENOMEM. After an error only ttrpc_free() may follow.
 */
int ttrpc_next(struct ttrpc *t, struct ttrpc_event *ret);

/* What is to be written; NULL and 0 when nothing is. Valid until the next call with @t. */
const void *ttrpc_output(const struct ttrpc *t, size_t *ret_size);
void ttrpc_output_done(struct ttrpc *t, size_t size); /* so many bytes of it were written */

/* ---- client ---- */

/**
 * ttrpc_call() - put a request into the output
 * @timeout_nsec: goes to the peer as timeout_nano; 0: none. The local deadline is the driver's:
 *                when it passes, ttrpc_forget()
 * @ret_stream: odd, increasing from 1
 *
 * Return: 0; -EMSGSIZE: over TTRPC_DATA_MAX, nothing was sent; -EBUSY: TTRPC_CALLS_MAX are in flight
 * or TTRPC_OUTPUT_MAX is waiting; -EOVERFLOW: no stream id is left, reconnect; -ENOMEM.
 */
int ttrpc_call(struct ttrpc *t, const char *service, const char *method, struct ttrpc_bytes payload,
	       uint64_t timeout_nsec, uint32_t *ret_stream);
/* Nobody waits for it any more: a late answer is dropped. */
void ttrpc_forget(struct ttrpc *t, uint32_t stream);
/* As if the ids up to @last (odd) had been used: for the tests of what follows the last one. */
void ttrpc_skip_streams(struct ttrpc *t, uint32_t last);

/* ---- server ---- */

/*
 * Answer one request. Return: 0, also when that stream is not open (it was answered, or never was);
 * -EMSGSIZE: the payload is over the limit (answered RESOURCE_EXHAUSTED instead); -ENOBUFS: the peer
 * does not read (TTRPC_OUTPUT_MAX), -ENOMEM: the connection is broken, and ttrpc_next() says so.
 * Of a failure's message bytes over 0x7f go as '?': proto3 wants UTF-8, and Go drops what is none.
 */
int ttrpc_answer(struct ttrpc *t, uint32_t stream, struct ttrpc_bytes payload);
int ttrpc_fail(struct ttrpc *t, uint32_t stream, enum ttrpc_code code, const char *message);
