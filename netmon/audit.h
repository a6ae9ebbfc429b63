/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit: one record for every op and resync, always the same fields, never dropped silently.
 *
 * Goes where the log goes (journal fields NETMON_*, or key=value in syslog) and, with --audit, as
 * one logfmt line a record to a file. Not the log: no level hides it. No payloads, no environment.
 */
#pragma once

#include <stdint.h>

#include "base/cleanup.h"

enum audit_kind {
	AUDIT_OP, /* an op ended: done, retry, refused */
	/* the picture was lost and re-read: start, overrun, truncated, interrupted, takeover ... */
	AUDIT_RESYNC,
	AUDIT_DRIFT, /* something of the pod can't be told to the guest, said once each */
	AUDIT_LIFE,  /* start, takeover, end: with the reason */
	_AUDIT_KIND_MAX,
};

struct audit_record {
	enum audit_kind kind;
	const char *op;	       /* plan_verb_to_string(), "resync", "drift", "start", "end" */
	const char *interface; /* "" when it is about none */
	uint64_t generation;   /* of the truth (observe.h) that led to it */
	unsigned attempt;      /* from 1 */
	const char *result;    /* "done", "retry", "refused", "reported" ... */
	uint64_t duration_usec;
	const char *reason; /* hostile bytes; "" */
};

struct audit;

/**
 * audit_open() - @file_path: of --audit, or NULL
 * The file is opened O_APPEND | O_CREAT, 0640, its last component not followed if it is a link.
 * Return: 0; -ELOOP, -EACCES, ...
 */
int audit_open(struct audit **ret, const char *sandbox_id, const char *file_path);
struct audit *audit_close(struct audit *a); /* returns NULL */
DEFINE_CLEANUP(struct audit, audit_close)

/*
 * audit_write() - never blocks, never fails visibly. A line that the file does not take (disk full)
 * is counted, and the count is the first line that it takes again: `audit lost=3`.
 * File line: time=<RFC 3339, microseconds, UTC> kind=op sandbox=.. op=.. interface=.. generation=..
 * attempt=.. result=.. duration_usec=.. reason=".."
 */
void audit_write(struct audit *a, const struct audit_record *r);
uint64_t audit_lost(const struct audit *a);
