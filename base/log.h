/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one way out for words: log lines and audit records.
 *
 * Targets: the journal (native protocol, /run/systemd/journal/socket), syslog (/dev/log, RFC 3164
 * as everybody speaks it, facility USER) and stderr. Both sockets are written by ourselves and
 * never block: sd_journal_send() and syslog(3) wait for a stalled daemon, and a monitor that waits
 * for its log is deaf. What the socket does not take now waits in a bounded queue (LOG_QUEUE_MAX
 * records); the loop watches log_fd() for EPOLLOUT while log_pending(). When the queue is full the
 * record is counted, and the count is the first thing said once the target takes records again: a
 * loss is never silent.
 *
 * These settings, and the error trail, are the only mutable globals of the programs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <syslog.h>

enum log_target {
	LOG_TARGET_AUTO, /* journal if its socket is there, else syslog, else stderr */
	LOG_TARGET_JOURNAL,
	LOG_TARGET_SYSLOG,
	LOG_TARGET_STDERR,
	_LOG_TARGET_MAX,
};

#define LOG_QUEUE_MAX	1024 /* records that wait for a target; also at most LOG_QUEUE_BYTES */
#define LOG_QUEUE_BYTES (1024U * 1024)
#define LOG_FIELDS_MAX	24

/* "auto", "journal", "syslog", "stderr"; -EINVAL for others */
int log_target_from_string(const char *s, enum log_target *ret);

/**
 * log_open() - choose where words go
 * @ident: SYSLOG_IDENTIFIER and syslog tag; borrowed for the life of the program
 * @level: syslog priority; log_at() calls above it are dropped, records never are
 *
 * A target that is not there is no failure: records go to stderr until it appears, and it is tried
 * again with each record. Return: 0 (stderr is always left).
 */
int log_open(const char *ident, enum log_target target, int level);

/*
 * Tries to flush what is queued, without waiting; how much could not be is said on stderr. Forgets
 * all settings.
 */
void log_close(void);
void log_set_level(int level);
bool log_enabled(int level);

/*
 * One field common to all lines from now on (sandbox), before their own fields. @name as in struct
 * log_field; both are copied; a name given again gets the new value. In the journal NAME is upper
 * case with NETMON_ in front.
 * Return: 0; -ENOSPC for a fifth, -EINVAL for a bad name, -ENOMEM.
 */
int log_set_common(const char *name, const char *value);

struct log_field {
	const char *name;  /* ours: [a-z0-9_]{1,31} */
	const char *value; /* hostile bytes, cut after 2 KiB with "..."; NULL: left out */
};

/**
 * log_record() - one record with fields, at any level, never filtered
 * @message_id: 32 hex digits for the journal's MESSAGE_ID, or NULL
 * @message: short and ours; fields follow as key=value (syslog, stderr) or NETMON_KEY= (journal)
 * @n_fields: at most LOG_FIELDS_MAX
 *
 * A line is at most 8 KiB on syslog and PIPE_BUF on stderr: a field that does not fit is left out,
 * and the line ends in " ...". Everything but printable ASCII in @message is written as \xNN.
 *
 * Never blocks, never fails visibly; see above for what happens when the target is slow.
 */
void log_record(int level, const char *message_id, const char *message,
		const struct log_field *fields, size_t n_fields);

#define log_error(...) log_at(LOG_ERR, __VA_ARGS__)
#define log_warn(...)  log_at(LOG_WARNING, __VA_ARGS__)
#define log_info(...)  log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
/* As log_record() without fields; over 2 KiB is cut with "...". Keeps errno. */
void log_at(int level, const char *fmt, ...) __attribute__((__format__(__printf__, 2, 3)));

/* ---- for the loop ---- */
/*
 * What to watch for EPOLLOUT, or -1 when nothing waits. It is the same socket from log_open() to
 * log_close(), or stderr when the records go there (that one may refuse epoll with EPERM only where
 * it never makes one wait).
 */
int log_fd(void);
bool log_pending(void);
void log_flush(void);	 /* writes as much as the target takes */
uint64_t log_lost(void); /* records lost since the start */

/* For tests: other sockets than the system's; NULL is the system's. Before log_open(). */
void log_set_paths(const char *journal, const char *syslog);
