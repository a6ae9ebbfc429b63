/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words for what a kernel answers.
 */
#include "netmon/source.h"

static const char *const condition_names[] = {
	[_SOURCE_OK] = "ok",
	[SOURCE_OVERRUN] = "overrun",
	[SOURCE_TRUNCATED] = "truncated",
	[SOURCE_INTERRUPTED] = "interrupted",
	[SOURCE_AGAIN] = "again",
};
_Static_assert(sizeof(condition_names) / sizeof(condition_names[0]) == _SOURCE_CONDITION_MAX,
	       "one name a condition");

const char *source_condition_to_string(enum source_condition c)
{
	return condition_names[c];
}
