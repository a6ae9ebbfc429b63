/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words for what a sink answers.
 */
#include "netmon/sink.h"

static const char *const result_names[] = {
	[SINK_DONE] = "done",
	[SINK_RETRY] = "retry",
	[SINK_REFUSED] = "refused",
	[SINK_STALE] = "stale",
};
_Static_assert(sizeof(result_names) / sizeof(result_names[0]) == _SINK_RESULT_MAX,
	       "one name a result");

const char *sink_result_to_string(enum sink_result r)
{
	return result_names[r];
}
