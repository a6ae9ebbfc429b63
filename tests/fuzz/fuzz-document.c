/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any JSON as any value: what is taken must come back the same when it is rendered and parsed
 * again.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "netmon/document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_DEPTH_MAX 8

/* One a kind, since each has types of its own. */
#define DEFINE_ROUND_TRIP(kind)                                                              \
	static void round_trip_##kind(struct json_tokener *t, struct json_object *o)         \
	{                                                                                    \
		CLEANUP(document_put) struct json_object *again = NULL;                      \
		CLEANUP(text_done) struct text text = TEXT_NULL;                             \
		struct json_writer j = json_writer_on_text(&text);                           \
		struct kind first, second;                                                   \
                                                                                             \
		if (document_parse_##kind(o, &first) < 0)                                    \
			return;                                                              \
		document_write_##kind(&j, NULL, &first);                                     \
		if (text.error < 0 || document_parse(t, text.data, text.size, &again) < 0 || \
		    document_parse_##kind(again, &second) < 0 ||                             \
		    memcmp(&first, &second, sizeof(first)) != 0)                             \
			abort();                                                             \
	}

DEFINE_ROUND_TRIP(link)
DEFINE_ROUND_TRIP(addr)
DEFINE_ROUND_TRIP(route)
DEFINE_ROUND_TRIP(neigh)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(json_tokener_freep) struct json_tokener *t = document_tokener_new(FUZZ_DEPTH_MAX);
	CLEANUP(document_put) struct json_object *o = NULL;

	if (!t || document_parse(t, (const char *)data, size, &o) < 0)
		return 0;
	round_trip_link(t, o);
	round_trip_addr(t, o);
	round_trip_route(t, o);
	round_trip_neigh(t, o);
	return 0;
}
