/* SPDX-License-Identifier: Apache-2.0 */
/* --once: one look at a namespace as one JSON document. */
#pragma once

#include "netmon/options.h"
#include "netmon/sink.h"

#define ONCE_TIMEOUT_USEC \
	(2 * CLOCK_USEC_PER_SEC) /* then the best there is: a namespace that is never quiet */

/**
 * once_run() - what a guest should see now, told to @fd
 * @caps: of the sink that is asked about
 * Return: 0; -ETIMEDOUT; -errno.
 */
int once_run(const struct options *options, const struct sink_caps *caps, int fd);
