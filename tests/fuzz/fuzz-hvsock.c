/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VMM's answer to CONNECT, from hostile bytes: it ends at its line or at the limit, and is taken
 * for "OK" only when it says so.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/transport.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): it must hold in any build. */
static void must(bool truth)
{
	if (!truth)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct transport_line line = { 0 };
	int r = TRANSPORT_WANT_READ;
	size_t n = 0;

	while (n < size && r == TRANSPORT_WANT_READ)
		r = transport_line_feed(&line, (char)data[n++]);
	must(n <= TRANSPORT_LINE_MAX && line.size < TRANSPORT_LINE_MAX);
	must(line.text[line.size] == '\0');
	must(line.size == 0 || memcmp(line.text, data, line.size) == 0);
	if (r == 0)
		must(n >= 3 && memcmp(data, "OK", 2) == 0 && data[n - 1] == '\n');
	else if (r == -EBADMSG)
		must(data[n - 1] == '\n' && (n < 3 || memcmp(data, "OK", 2) != 0));
	else if (r == -EMSGSIZE)
		must(n == TRANSPORT_LINE_MAX && !memchr(data, '\n', n));
	else
		must(r == TRANSPORT_WANT_READ && n == size);
	return 0;
}
