/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scanners of a virtio-serial port. The first byte is the length of the pieces. What is found at
 * one cut is found at each, and is what a look at the whole finds.
 */
#include "agent-proto/pipe.h"

#include <stdlib.h>
#include <string.h>

#define RANDOM UINT64_C(0x6d6c6b6a69686766) /* the host's hello in the corpus */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): it must hold in any build. */
static void must(bool truth)
{
	if (!truth)
		abort();
}

/* Return: bytes up to the end of the first hello; 0: none. */
static size_t find(struct pipe_scan s, const uint8_t *data, size_t size, size_t piece,
		   struct pipe_hello *ret)
{
	for (size_t at = 0; at < size;) {
		size_t n = size - at < piece ? size - at : piece, used = 0;

		if (pipe_scan_feed(&s, data + at, n, &used, ret)) {
			must(used >= 1 && used <= n);
			return at + used;
		}
		must(s.n_tail < PIPE_HELLO_BYTES);
		at += n;
	}
	return 0;
}

static void scan(const struct pipe_scan *s, const uint8_t *data, size_t size, size_t piece)
{
	struct pipe_hello one, other;
	size_t whole = find(*s, data, size, size, &one);

	must(find(*s, data, size, piece, &other) == whole);
	if (whole == 0)
		return;
	must(whole >= PIPE_HELLO_BYTES);
	must(memcmp(data + whole - PIPE_HELLO_BYTES, one.bytes, PIPE_HELLO_BYTES) == 0);
	must(memcmp(&one, &other, sizeof(one)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pipe_hello hello;
	struct pipe_scan s;

	if (size < 2)
		return 0;
	pipe_scan_init_guest(&s);
	scan(&s, data + 1, size - 1, 1U + data[0] % 64);
	pipe_hello_make(&hello, RANDOM);
	pipe_scan_init_host(&s, &hello);
	scan(&s, data + 1, size - 1, 1U + data[0] % 64);
	return 0;
}
