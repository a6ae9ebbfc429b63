/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One sandbox's monitor: the pure core tied to the kernel's sockets, a sink, the state on disk and
 * the event loop.
 *
 * Everything of a sandbox hangs on one struct monitor and there is nothing beside it, so that one
 * process can watch many.
 */
#pragma once

#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "netmon/options.h"
#include "netmon/sink.h"

#define MONITOR_DIR_MODE 0750
/* A loop that could not work (no memory) or write its state tries again after this. */
#define MONITOR_AGAIN_USEC (1000 * CLOCK_USEC_PER_MSEC)

/* One row a sink; netmon.c holds the table. */
struct monitor_sink {
	const struct sink_ops *ops;
	/* @dirfd, @dir_path: the sandbox's directory, borrowed for the sink's life */
	int (*make)(struct sink **ret, sd_event *event, const struct options *o, int dirfd,
		    const char *dir_path);
};

struct monitor;

/**
 * monitor_new() - lock, subscribe, load: everything but the first look
 * @options, @sink: borrowed for the monitor's life
 * Ends a predecessor of the same sandbox and sink. Nothing is told to anybody before the loop runs.
 * Return: 0; -errno, with nothing left behind but the directory.
 */
int monitor_new(struct monitor **ret, sd_event *event, const struct options *options,
		const struct monitor_sink *sink);
struct monitor *monitor_free(struct monitor *m); /* keeps the state for a successor; returns NULL */
DEFINE_CLEANUP(struct monitor, monitor_free)
