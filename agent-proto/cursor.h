/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a protobuf message, field by field, and the numbers in them: what ttrpc's frames and
 * the agent's lists are read with, before anything is unpacked. Takes no memory.
 *
 * Source: protobuf.dev, encoding: a tag is field << 3 | wire type.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "agent-proto/ttrpc.h"

#define CURSOR_VARINT_MAX	10U				   /* bytes of a number */
#define CURSOR_TAG(field, wire) ((uint8_t)((field) << 3 | (wire))) /* of a field below 16 */

enum cursor_wire { CURSOR_VARINT, CURSOR_64, CURSOR_BYTES, CURSOR_32 = 5 };

struct cursor {
	const uint8_t *at, *end;
};

struct cursor_field {
	uint64_t number; /* from 1 */
	enum cursor_wire wire;
	uint64_t value;		  /* CURSOR_VARINT */
	struct ttrpc_bytes bytes; /* the others; into the message */
};

struct cursor cursor_on(struct ttrpc_bytes message);
/*
 * Return: 1: *ret; 0: the message ends here; -EBADMSG: a number or a field that doesn't end, a field
 * without a number, a wire type that proto3 has not. *ret untouched otherwise.
 */
int cursor_next(struct cursor *c, struct cursor_field *ret);

size_t cursor_varint_size(uint64_t value);
/* @to: room for cursor_varint_size(). Return: that. */
size_t cursor_put_varint(uint8_t *to, uint64_t value);
