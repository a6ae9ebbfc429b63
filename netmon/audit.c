/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit, see audit.h.
 *
 * How it works. A record becomes fields once; the fields go to the log's target, and as one line by
 * one write(2) to the file. The file is opened for appending, so several monitors may share one.
 *
 * A disk that is full takes no line, or half of one. What was not taken whole counts as lost;
 * before the next line goes `audit lost=N`, and before that, if half a line stands there, the
 * newline that it lacks: whatever happens, a line of the file is a record, a count, or visibly the
 * torn beginning of a record that was counted.
 */
#include "netmon/audit.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define AUDIT_FILE_MODE 0640
/*
 * Bytes of one value before escaping: what a runtime said (4 KiB of stderr at most) and the words
 * before it.
 */
#define AUDIT_VALUE_MAX	 8192U
#define AUDIT_NUMBER_MAX 24 /* "18446744073709551615" */
#define AUDIT_TIME_MAX	 40 /* "2026-11-22T13:30:00.123456Z" */

struct audit {
	char *sandbox_id;
	int fd; /* -1: no file */
	uint64_t lost;
	uint64_t lost_unsaid; /* of them, those that the file does not tell of yet */
	bool is_torn;	      /* half a line stands at its end */
};

/*
 * The numbers by which contrib/catalog/netmon.catalog explains a record. Drawn once (systemd-id128
 * new), and never changed: people filter by them.
 */
static const struct {
	const char *name;
	const char *message_id;
} audit_kinds[] = {
	[AUDIT_OP] = { "op", "41ced11b6ad6495a82be9dfca93d9542" },
	[AUDIT_RESYNC] = { "resync", "05797c1650e9460a98d956193ae7e6b2" },
	[AUDIT_DRIFT] = { "drift", "43724e410dbe4e8fb5c94ab1c1014285" },
	[AUDIT_LIFE] = { "life", "b0474b9fce6e4c3d80c776cfa34a04b3" },
};
static_assert(sizeof(audit_kinds) / sizeof(audit_kinds[0]) == _AUDIT_KIND_MAX,
	      "each kind has a name and a number");

/* The fields of every record, in the order of every record. */
enum {
	AUDIT_FIELD_KIND,
	AUDIT_FIELD_OP,
	AUDIT_FIELD_INTERFACE,
	AUDIT_FIELD_GENERATION,
	AUDIT_FIELD_ATTEMPT,
	AUDIT_FIELD_RESULT,
	AUDIT_FIELD_DURATION,
	AUDIT_FIELD_REASON,
	_AUDIT_FIELD_MAX,
};

struct audit_fields {
	struct log_field field[_AUDIT_FIELD_MAX];
	char generation[AUDIT_NUMBER_MAX];
	char attempt[AUDIT_NUMBER_MAX];
	char duration[AUDIT_NUMBER_MAX];
};

/* @f points into itself and into @r. */
static void audit_fill(struct audit_fields *f, const struct audit_record *r)
{
	(void)snprintf(f->generation, sizeof(f->generation), "%" PRIu64, r->generation);
	(void)snprintf(f->attempt, sizeof(f->attempt), "%u", r->attempt);
	(void)snprintf(f->duration, sizeof(f->duration), "%" PRIu64, r->duration_usec);
	f->field[AUDIT_FIELD_KIND] = (struct log_field){ "kind", audit_kinds[r->kind].name };
	f->field[AUDIT_FIELD_OP] = (struct log_field){ "op", r->op };
	f->field[AUDIT_FIELD_INTERFACE] = (struct log_field){ "interface", r->interface };
	f->field[AUDIT_FIELD_GENERATION] = (struct log_field){ "generation", f->generation };
	f->field[AUDIT_FIELD_ATTEMPT] = (struct log_field){ "attempt", f->attempt };
	f->field[AUDIT_FIELD_RESULT] = (struct log_field){ "result", r->result };
	f->field[AUDIT_FIELD_DURATION] = (struct log_field){ "duration_usec", f->duration };
	f->field[AUDIT_FIELD_REASON] = (struct log_field){ "reason", r->reason };
	/* Always the same fields: one that is not given is empty, not absent. */
	for (size_t i = 0; i < _AUDIT_FIELD_MAX; i++) {
		if (!f->field[i].value)
			f->field[i].value = "";
	}
}

/* ---- to the log's target ---- */

/* How loud: only people's filters look at it, a record is written at any level. */
static int audit_level(const struct audit_record *r, const struct audit_fields *f)
{
	const char *result = f->field[AUDIT_FIELD_RESULT].value;

	if (strcmp(result, "refused") == 0)
		return LOG_WARNING;
	if (r->kind == AUDIT_DRIFT || strcmp(result, "retry") == 0)
		return LOG_NOTICE;
	return LOG_INFO;
}

/*
 * "audit: add-link eth1 done": all that `journalctl` shows without being asked. The name is quoted
 * where it must be, so that it can not pass for one of the fields that follow in syslog.
 */
static int audit_put_message(struct text *t, const struct audit_fields *f)
{
	const char *interface = f->field[AUDIT_FIELD_INTERFACE].value;

	(void)text_appendf(t, "audit: %s", f->field[AUDIT_FIELD_OP].value);
	if (*interface != '\0') {
		(void)text_append_str(t, " ");
		(void)text_append_value(t, interface, strlen(interface));
	}
	if (*f->field[AUDIT_FIELD_RESULT].value != '\0')
		(void)text_appendf(t, " %s", f->field[AUDIT_FIELD_RESULT].value);
	return t->error;
}

/* The sandbox is not among these fields: it is a common one of the log (log_set_common). */
static void audit_to_log(const struct audit_record *r, const struct audit_fields *f)
{
	CLEANUP(text_done)
	struct text message = TEXT_NULL;
	bool is_whole = audit_put_message(&message, f) == 0;

	log_record(audit_level(r, f), audit_kinds[r->kind].message_id,
		   is_whole ? message.data : "audit", f->field, _AUDIT_FIELD_MAX);
}

/* ---- to the file ---- */

/* RFC 3339, 5.6, in UTC: sorts as text */
static void audit_format_time(char ret[static AUDIT_TIME_MAX])
{
	struct timespec now;
	struct tm tm = { 0 };
	size_t n;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &tm);
	n = strftime(ret, AUDIT_TIME_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(ret + n, AUDIT_TIME_MAX - n, ".%06ldZ", now.tv_nsec / 1000);
}

static void audit_put_pair(struct text *t, const char *name, const char *value)
{
	size_t size = strnlen(value, AUDIT_VALUE_MAX);

	(void)text_appendf(t, " %s=", name);
	(void)text_append_value(t, value, size);
	/* Outside the quotes, where the value itself can not put it. */
	if (value[size] != '\0')
		(void)text_append_str(t, "...");
}

static int audit_put_line(struct text *t, const struct audit *a, const struct audit_fields *f)
{
	char when[AUDIT_TIME_MAX];

	audit_format_time(when);
	(void)text_appendf(t, "time=%s", when);
	audit_put_pair(t, "kind", f->field[AUDIT_FIELD_KIND].value);
	audit_put_pair(t, "sandbox", a->sandbox_id);
	for (size_t i = AUDIT_FIELD_KIND + 1; i < _AUDIT_FIELD_MAX; i++)
		audit_put_pair(t, f->field[i].name, f->field[i].value);
	(void)text_append_str(t, "\n");
	return t->error;
}

/* One write(2), so that lines of several monitors do not mix. False: not taken, or not whole. */
static bool audit_put_file(struct audit *a, const char *data, size_t size)
{
	ssize_t n;

	do
		n = write(a->fd, data, size);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		a->is_torn = (size_t)n < size;
	return n >= 0 && (size_t)n == size;
}

static bool audit_say_lost(struct audit *a)
{
	char line[64];
	int n;

	if (a->lost_unsaid == 0)
		return true;
	n = snprintf(line, sizeof(line), "%saudit lost=%" PRIu64 "\n", a->is_torn ? "\n" : "",
		     a->lost_unsaid);
	if (!audit_put_file(a, line, (size_t)n))
		return false;
	a->lost_unsaid = 0;
	return true;
}

static void audit_to_file(struct audit *a, const struct audit_fields *f)
{
	CLEANUP(text_done)
	struct text line = TEXT_NULL;

	if (a->fd < 0)
		return;
	if (audit_put_line(&line, a, f) == 0 && audit_say_lost(a) &&
	    audit_put_file(a, line.data, line.size))
		return;
	a->lost++;
	a->lost_unsaid++;
}

/* ---- public ---- */

/*
 * O_NONBLOCK: a FIFO that nobody reads is an error here and not a wait; it means nothing to a
 * regular file.
 */
static int audit_open_file(const char *path)
{
	CLEANUP(cleanup_close)
	int fd =
		open(path,
		     O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK | O_CLOEXEC,
		     AUDIT_FILE_MODE);
	struct stat st;

	if (fd < 0)
		return err_raise(-errno, "open audit file '%s'", path);
	if (fstat(fd, &st) < 0)
		return err_raise(-errno, "look at audit file '%s'", path);
	/* A pipe can end us (SIGPIPE), a terminal can stop us. */
	if (!S_ISREG(st.st_mode))
		return err_raise(-EINVAL, "audit file '%s' is not a regular file", path);
	return TAKE_FD(fd);
}

int audit_open(struct audit **ret, const char *sandbox_id, const char *file_path)
{
	CLEANUP(audit_closep)
	struct audit *a = calloc(1, sizeof(*a));

	if (!a)
		return err_raise(-ENOMEM, "audit");
	a->fd = -1;
	a->sandbox_id = strdup(sandbox_id);
	if (!a->sandbox_id)
		return err_raise(-ENOMEM, "audit");
	if (file_path) {
		a->fd = audit_open_file(file_path);
		if (a->fd < 0)
			return err_pass(a->fd);
	}
	*ret = TAKE_PTR(a);
	return 0;
}

struct audit *audit_close(struct audit *a)
{
	if (!a)
		return NULL;
	(void)cleanup_close_fd(a->fd);
	free(a->sandbox_id);
	free(a);
	return NULL;
}

void audit_write(struct audit *a, const struct audit_record *r)
{
	struct audit_fields f;
	int saved = errno;

	audit_fill(&f, r);
	audit_to_log(r, &f);
	audit_to_file(a, &f);
	errno = saved;
}

uint64_t audit_lost(const struct audit *a)
{
	return a->lost;
}
