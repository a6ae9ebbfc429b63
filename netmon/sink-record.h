/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sink that only writes down: one JSON line an op on a file descriptor. For dry runs, tests and
 * the demo. Says everything that any guest could be told (each route on its own, updates,
 * neighbours), so its output is the reference.
 */
#pragma once

#include <systemd/sd-event.h>

#include "netmon/sink.h"

struct sink_record_config {
	/*
	 * borrowed; stdout. Made non-blocking: a slow reader delays ops, never the reading of the
	 * kernel
	 */
	int fd;
	const char *sandbox_id;
	/* this op (counted from 1, retries count) fails once with SINK_RETRY; 0: none */
	uint64_t fail_op;
};

extern const struct sink_ops sink_record_ops;

int sink_record_new(struct sink **ret, sd_event *event, const struct sink_record_config *config);
