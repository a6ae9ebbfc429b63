/* SPDX-License-Identifier: Apache-2.0 */
#include "agent-proto/pipe.h"

#include <string.h>

#define FIXED_BYTES 16U

_Static_assert(PIPE_HELLO_BYTES == FIXED_BYTES + sizeof(uint64_t),
	       "the fixed part and the random one");

/*
 * The host's order. No byte is 0, so none begins a frame, in either order; no byte comes twice, so
 * after a mismatch only one place is left where a hello may have begun.
 */
static const uint8_t fixed[FIXED_BYTES] = { 0xff, 'n', 'e', 't', 'm',  'o',  '-', 'p',
					    'i',  'P', 'E', 0x1, '\r', '\n', 0x8, 0xfe };

static void put_fixed(struct pipe_hello *ret, bool is_reverse)
{
	for (size_t i = 0; i < FIXED_BYTES; i++)
		ret->bytes[i] = fixed[is_reverse ? FIXED_BYTES - 1 - i : i];
}

void pipe_hello_make(struct pipe_hello *ret, uint64_t random)
{
	put_fixed(ret, false);
	for (size_t i = FIXED_BYTES; i < PIPE_HELLO_BYTES; i++, random >>= 8)
		ret->bytes[i] = (uint8_t)random == fixed[0] ? 0 : (uint8_t)random;
}

void pipe_hello_answer(const struct pipe_hello *hello, struct pipe_hello *ret)
{
	struct pipe_hello answer = *hello;

	put_fixed(&answer, true);
	*ret = answer;
}

void pipe_scan_init_host(struct pipe_scan *s, const struct pipe_hello *sent)
{
	*s = (struct pipe_scan){ 0 };
	pipe_hello_answer(sent, &s->wanted);
}

void pipe_scan_init_guest(struct pipe_scan *s)
{
	*s = (struct pipe_scan){ .any_random = true };
	put_fixed(&s->wanted, false);
}

/*
 * Is what came last the beginning of a hello? The random part holds no byte that a hello begins
 * with: one that was cut off does not swallow the next.
 */
static bool may_be_hello(const struct pipe_scan *s)
{
	size_t wanted = s->n_tail;

	if (s->any_random && wanted > FIXED_BYTES) {
		wanted = FIXED_BYTES;
		if (memchr(s->tail + wanted, fixed[0], s->n_tail - wanted))
			return false;
	}
	return memcmp(s->tail, s->wanted.bytes, wanted) == 0;
}

/* At most PIPE_HELLO_BYTES steps, over 24 bytes: a stranger can't make it expensive. */
static void drop_what_is_none(struct pipe_scan *s)
{
	while (!may_be_hello(s)) {
		s->n_tail--;
		memmove(s->tail, s->tail + 1, s->n_tail);
	}
}

/* Where the next byte is, that a hello may begin with. */
static size_t find_first(const struct pipe_scan *s, const uint8_t *data, size_t size)
{
	const uint8_t *at = memchr(data, s->wanted.bytes[0], size);

	return at ? (size_t)(at - data) : size;
}

bool pipe_scan_feed(struct pipe_scan *s, const uint8_t *data, size_t size, size_t *ret_used,
		    struct pipe_hello *ret_hello)
{
	size_t i = 0;

	while (i < size) {
		if (s->n_tail == 0)
			i += find_first(s, data + i, size - i);
		if (i == size)
			break;
		s->tail[s->n_tail++] = data[i++];
		drop_what_is_none(s);
		if (s->n_tail < PIPE_HELLO_BYTES)
			continue;
		memcpy(ret_hello->bytes, s->tail, PIPE_HELLO_BYTES);
		s->n_tail = 0;
		*ret_used = i;
		return true;
	}
	return false;
}
