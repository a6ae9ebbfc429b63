/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's state as a page of text (SIGUSR1), and one snapshot as JSON (--once).
 */
#pragma once

#include "netmon/observe.h"
#include "netmon/reconcile.h"

#define REPORT_ENTRIES 40 /* of each table, unless all are asked for */

/*
 * Logs seen, wanted, acked and the pending plan, whatever the log level is. @all: every entry (-d).
 */
void report_log(const struct observe *o, const struct reconcile *r, bool all);

/**
 * report_once() - what a guest should see now, and what of the pod it can't be told, as one JSON
 * document
 * @fd: written to; a full pipe is waited for
 * Return: 0, -EPIPE, -ENOSPC, -ENOMEM...
 */
int report_once(int fd, const char *sandbox_id, const struct snapshot *wanted,
		const struct view_notes *notes);
