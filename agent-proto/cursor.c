/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of a protobuf message, see cursor.h.
 */
#include "agent-proto/cursor.h"

#include <errno.h>

#include "base/error.h"

struct cursor cursor_on(struct ttrpc_bytes message)
{
	const uint8_t *data = message.data;

	return (struct cursor){ .at = data, .end = data ? data + message.size : NULL };
}

static int cursor_varint(struct cursor *c, uint64_t *ret)
{
	uint64_t value = 0;

	for (unsigned int i = 0; i < CURSOR_VARINT_MAX && c->at < c->end; i++) {
		uint8_t byte = *c->at++;

		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (!(byte & 0x80)) {
			*ret = value;
			return 0;
		}
	}
	return err_raise(-EBADMSG, "a varint that doesn't end");
}

static int cursor_bytes(struct cursor *c, uint64_t size, struct ttrpc_bytes *ret)
{
	if (size > (size_t)(c->end - c->at))
		return err_raise(-EBADMSG, "a field that is longer than its message");
	*ret = (struct ttrpc_bytes){ .data = c->at, .size = (size_t)size };
	c->at += size;
	return 0;
}

static int cursor_value(struct cursor *c, struct cursor_field *f)
{
	uint64_t size = 0;
	int r;

	switch (f->wire) {
	case CURSOR_VARINT:
		return err_pass(cursor_varint(c, &f->value));
	case CURSOR_64:
		return err_pass(cursor_bytes(c, 8, &f->bytes));
	case CURSOR_32:
		return err_pass(cursor_bytes(c, 4, &f->bytes));
	case CURSOR_BYTES:
		r = cursor_varint(c, &size);
		return err_pass(r < 0 ? r : cursor_bytes(c, size, &f->bytes));
	default: /* groups are of proto2, and what is above is nothing */
		return err_raise(-EBADMSG, "a field of wire type %u", (unsigned int)f->wire);
	}
}

int cursor_next(struct cursor *c, struct cursor_field *ret)
{
	struct cursor_field f = { 0 };
	uint64_t tag = 0;
	int r;

	if (c->at == c->end)
		return 0;
	r = cursor_varint(c, &tag);
	if (r < 0)
		return err_pass(r);
	f.number = tag >> 3;
	f.wire = (enum cursor_wire)(tag & 7);
	if (f.number == 0)
		return err_raise(-EBADMSG, "a field without a number");
	r = cursor_value(c, &f);
	if (r < 0)
		return err_pass(r);
	*ret = f;
	return 1;
}

size_t cursor_varint_size(uint64_t value)
{
	size_t size = 1;

	while (value >>= 7)
		size++;
	return size;
}

size_t cursor_put_varint(uint8_t *to, uint64_t value)
{
	size_t n = 0;

	for (; value >= 0x80; value >>= 7)
		to[n++] = (uint8_t)(value | 0x80);
	to[n++] = (uint8_t)value;
	return n;
}
