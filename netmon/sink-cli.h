/* SPDX-License-Identifier: Apache-2.0 */
/* The sink of Kata 1.x: the shared file and the runtime's kata-network command line. */
#pragma once

#include <systemd/sd-event.h>

#include "netmon/dialect.h"
#include "netmon/sink.h"

struct sink_cli_config {
	const char *runtime;
	const char *sandbox_id;
	uint64_t timeout_usec;
	enum dialect dialect;
	int dirfd;	      /* the sandbox's directory; borrowed */
	const char *dir_path; /* its absolute path */
};

extern const struct sink_ops sink_cli_ops; /* for its caps before there is a sink */

int sink_cli_new(struct sink **ret, sd_event *event, const struct sink_cli_config *config);
