/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection, fed by a stranger. The first byte says which side (bit 0), how the rest is cut (bits
 * 1 to 5: the longest piece) and whether the output is read (bit 6). Whatever comes: texts end, what
 * is kept is within its limits, and after an error there is nothing.
 */
#include "agent-proto/ttrpc.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define CALLS_MADE 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): it must hold in any build. */
static void must(bool truth)
{
	if (!truth)
		abort();
}

/* So that a sanitizer sees all of it. */
static void read_all(const struct ttrpc_bytes *bytes)
{
	const uint8_t *at = bytes->data;
	volatile uint8_t seen = 0;

	for (size_t i = 0; i < bytes->size; i++)
		seen = at[i];
	(void)seen;
}

static void look(struct ttrpc *t, enum ttrpc_role role, const struct ttrpc_event *e)
{
	must(e->payload.size <= TTRPC_DATA_MAX);
	must((unsigned int)e->code < _TTRPC_CODE_MAX);
	must(strlen(e->message) <= TTRPC_MESSAGE_MAX);
	must(strlen(e->service) <= TTRPC_NAME_MAX && strlen(e->method) <= TTRPC_NAME_MAX);
	must(e->timeout_nsec <= INT64_MAX);
	must((e->type == TTRPC_REQUEST) == (role == TTRPC_SERVER));
	must(e->code == TTRPC_OK ? *e->message == '\0' : e->payload.size == 0);
	read_all(&e->payload);
	if (role == TTRPC_CLIENT || e->stream % 8 == 1)
		return; /* some requests stay open */
	if (e->payload.size % 2)
		must(ttrpc_answer(t, e->stream, e->payload) != -ENOMEM);
	else
		must(ttrpc_fail(t, e->stream, TTRPC_UNIMPLEMENTED, e->method) != -ENOMEM);
}

/* Return: as ttrpc_next(), 0 or an error. */
static int take_events(struct ttrpc *t, enum ttrpc_role role, bool reads)
{
	struct ttrpc_event e;
	size_t size = 0;
	int r;

	while ((r = ttrpc_next(t, &e)) > 0)
		look(t, role, &e);
	must(r == 0 || r == -EPROTO || r == -EMSGSIZE);
	must((ttrpc_output(t, &size) != NULL) == (size > 0));
	must(size <= TTRPC_OUTPUT_MAX);
	if (reads)
		ttrpc_output_done(t, size);
	return r;
}

static void after_an_error_nothing(struct ttrpc *t, int error)
{
	struct ttrpc_event e;
	size_t size = 1;

	must(ttrpc_next(t, &e) == error);
	must(!ttrpc_output(t, &size) && size == 0);
}

static void run(struct ttrpc *t, enum ttrpc_role role, uint8_t how, const uint8_t *data,
		size_t size)
{
	size_t piece = 1 + ((how >> 1) & 31U);
	int r = 0;

	while (size > 0 && r == 0) {
		size_t room = 0, n = 1 + *data % piece;
		void *at = ttrpc_input(t, &room);

		must(at && room >= 1 && room <= TTRPC_DATA_MAX + TTRPC_HEADER_BYTES);
		n = n < size ? n : size;
		n = n < room ? n : room;
		memcpy(at, data, n);
		ttrpc_input_done(t, n);
		data += n;
		size -= n;
		r = take_events(t, role, how & 0x40);
	}
	if (r < 0)
		after_an_error_nothing(t, r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(ttrpc_freep) struct ttrpc *t = NULL;
	enum ttrpc_role role = size > 0 && data[0] & 1 ? TTRPC_CLIENT : TTRPC_SERVER;
	struct ttrpc_bytes none = { 0 };
	uint32_t stream = 0;

	if (size == 0)
		return 0;
	must(ttrpc_new(&t, role) == 0);
	for (int i = 0; role == TTRPC_CLIENT && i < CALLS_MADE; i++)
		must(ttrpc_call(t, "s", "m", none, 0, &stream) == 0);
	if (role == TTRPC_CLIENT)
		ttrpc_forget(t, 3);
	run(t, role, data[0], data + 1, size - 1);
	err_clear();
	return 0;
}
