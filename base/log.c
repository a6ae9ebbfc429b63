/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way out for words, see log.h.
 *
 * How it works. A line is an entry: level, message, fields, not yet in anybody's format. It is
 * formatted when it is sent, so that an entry that waited for the journal can still go to syslog or
 * stderr when the journal has gone.
 *
 *     send now ->  taken
 *                  would block    -> a copy waits in the queue, later ones behind it
 *                  daemon is gone -> connect anew (to it, or for AUTO to the next), else stderr
 *
 * There is one socket from log_open() to log_close(), connected again rather than replaced: the
 * number that the loop watches stays the same. stderr may be a full pipe as well: it is asked with
 * poll() before each write, and its lines are at most PIPE_BUF, which a pipe that says POLLOUT
 * takes at once: pipe(7).
 */
#include "base/log.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LOG_COMMON_MAX	   4
#define LOG_NAME_MAX	   32
#define LOG_ALL_FIELDS_MAX (LOG_COMMON_MAX + LOG_FIELDS_MAX)
/*
 * Bytes of one value or message before escaping, longer ones are cut and end in "...". All of an
 * entry is then below 72 KiB, far under what a datagram socket takes (wmem_default, 208 KiB): no
 * EMSGSIZE.
 */
#define LOG_VALUE_MAX 2048
/* rsyslog cuts at 8 KiB by default ($MaxMessageSize): we leave out whole fields instead. */
#define LOG_SYSLOG_BYTES 8192
#define LOG_MARK_CUT	 "..."
#define LOG_MARK_OMITTED " ..." /* fields did not fit */

#define LOG_JOURNAL_PATH "/run/systemd/journal/socket"
#define LOG_SYSLOG_PATH	 "/dev/log"

struct log_entry {
	int level;
	time_t when;
	const char *message_id; /* or NULL */
	const char *message;
	const struct log_field *fields; /* common ones first */
	size_t n_fields;
};

/* An entry that waits, with all that it points to behind it in the same allocation. */
struct log_queued {
	struct log_queued *next;
	size_t bytes;
	struct log_entry entry;
	struct log_field fields[];
};

struct log_common {
	char name[LOG_NAME_MAX];
	char *value; /* NULL: free */
};

struct log_state {
	const char *ident; /* NULL: before log_open() */
	enum log_target target;
	int level;
	int fd;			   /* -1: none */
	enum log_target connected; /* JOURNAL or SYSLOG: what fd speaks to; STDERR: to nobody */
	struct log_common common[LOG_COMMON_MAX];
	struct log_queued *head, **tail; /* tail is NULL before the first */
	size_t queue_records, queue_bytes;
	uint64_t lost;
	uint64_t lost_unsaid;
	struct text line; /* the formatter's, kept from one entry to the next */
	char journal_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char syslog_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

static struct log_state log_state = {
	.target = LOG_TARGET_STDERR,
	.level = LOG_INFO,
	.fd = -1,
	.connected = LOG_TARGET_STDERR,
	.journal_path = LOG_JOURNAL_PATH,
	.syslog_path = LOG_SYSLOG_PATH,
};

static const char *const log_target_names[] = {
	[LOG_TARGET_AUTO] = "auto",
	[LOG_TARGET_JOURNAL] = "journal",
	[LOG_TARGET_SYSLOG] = "syslog",
	[LOG_TARGET_STDERR] = "stderr",
};
static_assert(sizeof(log_target_names) / sizeof(log_target_names[0]) == _LOG_TARGET_MAX,
	      "each target has a name");

static const char *const log_level_words[] = {
	[LOG_EMERG] = "emergency", [LOG_ALERT] = "alert",     [LOG_CRIT] = "critical",
	[LOG_ERR] = "error",	   [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
	[LOG_INFO] = "info",	   [LOG_DEBUG] = "debug",
};

/* RFC 3164, 4.1.2: English, whatever the locale */
static const char log_months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
					"Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

static const char *log_ident(void)
{
	return log_state.ident ? log_state.ident : program_invocation_short_name;
}

/* ---- formatting: appends to log_state.line, which remembers its errors ---- */

static bool log_is_printable(char c)
{
	return c >= ' ' && c <= '~';
}

/* @value itself, or what fits of it in @buffer with the mark of a cut */
static const char *log_bounded(const char *value,
			       char buffer[static LOG_VALUE_MAX + sizeof(LOG_MARK_CUT)])
{
	if (strnlen(value, LOG_VALUE_MAX + 1) <= LOG_VALUE_MAX)
		return value;
	memcpy(buffer, value, LOG_VALUE_MAX);
	memcpy(buffer + LOG_VALUE_MAX, LOG_MARK_CUT, sizeof(LOG_MARK_CUT));
	return buffer;
}

/* The message has no quotes, as it is meant to be read; what is not printable ASCII is \xNN. */
static void log_put_message(struct text *t, const char *message)
{
	char buffer[LOG_VALUE_MAX + sizeof(LOG_MARK_CUT)];

	for (const char *p = log_bounded(message, buffer); *p != '\0';) {
		size_t run = 0;

		while (log_is_printable(p[run]))
			run++;
		(void)text_append(t, p, run);
		p += run;
		if (*p != '\0')
			(void)text_appendf(t, "\\x%02x", (unsigned char)*p++);
	}
}

/* Appends " name=value"; false, and nothing, when the line would be longer than @max. */
static bool log_put_pair(struct text *t, const struct log_field *field, size_t max)
{
	char buffer[LOG_VALUE_MAX + sizeof(LOG_MARK_CUT)];
	const char *value = log_bounded(field->value, buffer);
	size_t before = t->size;

	(void)text_appendf(t, " %s=", field->name);
	(void)text_append_value(t, value, strlen(value));
	if (t->error < 0 || t->size <= max)
		return true;
	t->size = before;
	t->data[before] = '\0';
	return false;
}

static void log_put_pairs(struct text *t, const struct log_entry *e, size_t max)
{
	bool all = true;

	for (size_t i = 0; i < e->n_fields; i++)
		all = log_put_pair(t, &e->fields[i], max - strlen(LOG_MARK_OMITTED)) && all;
	if (!all)
		(void)text_append_str(t, LOG_MARK_OMITTED);
}

/* A message of nothing but escapes is four times as long as it was. */
static void log_cut_line(struct text *t, size_t max)
{
	if (t->error < 0 || t->size <= max)
		return;
	t->size = max - strlen(LOG_MARK_CUT);
	(void)text_append_str(t, LOG_MARK_CUT);
}

/* "<PRI>Mon dd hh:mm:ss ident[pid]: message key=value", as syslog(3). Source: RFC 3164, 4.1 */
static void log_format_syslog(struct text *t, const struct log_entry *e)
{
	struct tm tm = { 0 };

	(void)localtime_r(&e->when, &tm);
	(void)text_appendf(t, "<%d>%s %2d %02d:%02d:%02d %s[%d]: ", LOG_USER | e->level,
			   log_months[tm.tm_mon], tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
			   log_ident(), getpid());
	log_put_message(t, e->message);
	log_cut_line(t, LOG_SYSLOG_BYTES - sizeof(LOG_MARK_OMITTED));
	log_put_pairs(t, e, LOG_SYSLOG_BYTES);
}

static void log_format_stderr(struct text *t, const struct log_entry *e)
{
	(void)text_appendf(t, "%s: %s: ", log_ident(), log_level_words[e->level]);
	log_put_message(t, e->message);
	log_cut_line(t, PIPE_BUF - sizeof(LOG_MARK_OMITTED) - 1);
	log_put_pairs(t, e, PIPE_BUF - 1);
	(void)text_append_str(t, "\n");
}

static bool log_has_control(const char *value)
{
	for (; *value != '\0'; value++) {
		if ((unsigned char)*value < ' ' || *value == 0x7f)
			return true;
	}
	return false;
}

/* The form with a length can hold anything. Source: https://systemd.io/JOURNAL_NATIVE_PROTOCOL */
static void log_put_journal_value(struct text *t, const char *value)
{
	char buffer[LOG_VALUE_MAX + sizeof(LOG_MARK_CUT)];
	uint64_t size;

	value = log_bounded(value, buffer);
	if (log_has_control(value)) {
		size = htole64(strlen(value));
		(void)text_append_str(t, "\n");
		(void)text_append(t, &size, sizeof(size));
	} else {
		(void)text_append_str(t, "=");
	}
	(void)text_append_str(t, value);
	(void)text_append_str(t, "\n");
}

static void log_put_journal_field(struct text *t, const struct log_field *field)
{
	(void)text_append_str(t, "NETMON_");
	for (const char *p = field->name; *p != '\0'; p++) {
		char upper = *p;

		if (upper >= 'a' && upper <= 'z')
			upper = (char)(upper - 'a' + 'A');
		(void)text_append(t, &upper, 1);
	}
	log_put_journal_value(t, field->value);
}

static void log_format_journal(struct text *t, const struct log_entry *e)
{
	(void)text_append_str(t, "MESSAGE=");
	log_put_message(t, e->message);
	(void)text_appendf(t, "\nPRIORITY=%d\nSYSLOG_FACILITY=%d\nSYSLOG_PID=%d\n", e->level,
			   LOG_FAC(LOG_USER), getpid());
	(void)text_append_str(t, "SYSLOG_IDENTIFIER");
	log_put_journal_value(t, log_ident());
	if (e->message_id) {
		(void)text_append_str(t, "MESSAGE_ID");
		log_put_journal_value(t, e->message_id);
	}
	for (size_t i = 0; i < e->n_fields; i++)
		log_put_journal_field(t, &e->fields[i]);
}

static int log_format(const struct log_entry *e, enum log_target form)
{
	static void (*const formats[])(struct text * t, const struct log_entry *e) = {
		[LOG_TARGET_JOURNAL] = log_format_journal,
		[LOG_TARGET_SYSLOG] = log_format_syslog,
		[LOG_TARGET_STDERR] = log_format_stderr,
	};
	struct text *t = &log_state.line;

	text_reset(t);
	formats[form](t, e);
	return t->error;
}

/* ---- sending: 0 taken, -EAGAIN not now, other -errno not there ---- */

static bool log_connect_to(enum log_target target, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	if (log_state.fd < 0)
		log_state.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (log_state.fd < 0)
		return false;
	memcpy(addr.sun_path, path, strlen(path) + 1);
	if (connect(log_state.fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return false;
	log_state.connected = target;
	return true;
}

static bool log_connect(void)
{
	bool any = log_state.target == LOG_TARGET_AUTO;

	log_state.connected = LOG_TARGET_STDERR;
	if ((any || log_state.target == LOG_TARGET_JOURNAL) &&
	    log_connect_to(LOG_TARGET_JOURNAL, log_state.journal_path))
		return true;
	return (any || log_state.target == LOG_TARGET_SYSLOG) &&
	       log_connect_to(LOG_TARGET_SYSLOG, log_state.syslog_path);
}

static int log_send_socket(const struct log_entry *e)
{
	const struct text *t = &log_state.line;
	int r = log_format(e, log_state.connected);

	if (r < 0)
		return r;
	if (send(log_state.fd, t->data, t->size, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return 0;
	if (errno == EINTR || errno == ENOBUFS || errno == ENOMEM)
		return -EAGAIN;
	return -errno;
}

/* POLLERR is a pipe without a reader: writing would be SIGPIPE. */
static int log_send_stderr(const struct log_entry *e)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
	int r = log_format(e, LOG_TARGET_STDERR);

	if (r < 0)
		return r;
	if (poll(&p, 1, 0) <= 0)
		return -EAGAIN;
	if ((p.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0 || (p.revents & POLLOUT) == 0)
		return -EPIPE;
	if (write(STDERR_FILENO, log_state.line.data, log_state.line.size) >= 0)
		return 0;
	return errno == EINTR ? -EAGAIN : -errno;
}

/*
 * A daemon that went away and came back shows as an error of the old connection (ECONNREFUSED,
 * ECONNRESET, ENOTCONN, EPIPE): connect once more, and only then use stderr. Whatever else send()
 * says gets the same treatment.
 */
static int log_send(const struct log_entry *e)
{
	bool fresh = false;
	int r;

	if (log_state.connected == LOG_TARGET_STDERR)
		fresh = log_connect();
	while (log_state.connected != LOG_TARGET_STDERR) {
		r = log_send_socket(e);
		if (r == 0 || r == -EAGAIN || r == -ENOMEM || r == -EFBIG)
			return r;
		if (fresh)
			break;
		fresh = log_connect();
	}
	return log_send_stderr(e);
}

static void log_count_lost(void)
{
	log_state.lost++;
	log_state.lost_unsaid++;
}

/* ---- the queue ---- */

/* One byte more than is ever shown, so that the formatter still sees that there was more. */
static size_t log_string_bytes(const char *s)
{
	return s ? strnlen(s, LOG_VALUE_MAX + 1) + 1 : 0;
}

static size_t log_entry_bytes(const struct log_entry *e)
{
	size_t bytes = sizeof(struct log_queued) + e->n_fields * sizeof(e->fields[0]);

	bytes += log_string_bytes(e->message_id) + log_string_bytes(e->message);
	for (size_t i = 0; i < e->n_fields; i++)
		bytes += log_string_bytes(e->fields[i].name) + log_string_bytes(e->fields[i].value);
	return bytes;
}

/* Copies @s to *@at and steps over it. */
static const char *log_keep_string(char **at, const char *s)
{
	size_t bytes = log_string_bytes(s);
	char *copy = *at;

	if (!s)
		return NULL;
	memcpy(copy, s, bytes - 1);
	copy[bytes - 1] = '\0';
	*at += bytes;
	return copy;
}

static struct log_queued *log_copy_entry(const struct log_entry *e)
{
	size_t bytes = log_entry_bytes(e);
	struct log_queued *q = malloc(bytes);
	char *at;

	if (!q)
		return NULL;
	at = (char *)&q->fields[e->n_fields];
	*q = (struct log_queued){ .bytes = bytes, .entry = *e };
	for (size_t i = 0; i < e->n_fields; i++) {
		q->fields[i].name = log_keep_string(&at, e->fields[i].name);
		q->fields[i].value = log_keep_string(&at, e->fields[i].value);
	}
	q->entry.message_id = log_keep_string(&at, e->message_id);
	q->entry.message = log_keep_string(&at, e->message);
	q->entry.fields = q->fields;
	return q;
}

static bool log_queue_has_room(const struct log_entry *e)
{
	return log_state.queue_records < LOG_QUEUE_MAX &&
	       log_entry_bytes(e) <= LOG_QUEUE_BYTES - log_state.queue_bytes;
}

static void log_queue_push(const struct log_entry *e)
{
	struct log_queued *q = log_queue_has_room(e) ? log_copy_entry(e) : NULL;

	if (!q) {
		log_count_lost();
		return;
	}
	if (!log_state.head)
		log_state.tail = &log_state.head;
	*log_state.tail = q;
	log_state.tail = &q->next;
	log_state.queue_records++;
	log_state.queue_bytes += q->bytes;
}

static void log_queue_pop(void)
{
	struct log_queued *q = log_state.head;

	log_state.head = q->next;
	log_state.queue_records--;
	log_state.queue_bytes -= q->bytes;
	free(q);
}

/* ---- entries ---- */

/* Points @fields to the common ones and returns their number. */
static size_t log_add_common(struct log_field fields[static LOG_COMMON_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < LOG_COMMON_MAX; i++) {
		const struct log_common *c = &log_state.common[i];

		if (c->value)
			fields[n++] = (struct log_field){ c->name, c->value };
	}
	return n;
}

/* Return: as log_send(); 0 also when there is nothing to say */
static int log_say_lost(void)
{
	struct log_field common[LOG_COMMON_MAX];
	struct log_entry e = { .level = LOG_WARNING, .when = time(NULL), .fields = common };
	char message[80];
	int r;

	if (log_state.lost_unsaid == 0)
		return 0;
	e.n_fields = log_add_common(common);
	(void)snprintf(message, sizeof(message),
		       "%" PRIu64 " records lost: the log target was too slow",
		       log_state.lost_unsaid);
	e.message = message;
	r = log_send(&e);
	if (r == 0)
		log_state.lost_unsaid = 0;
	return r;
}

/* What waits goes first: the order of records is the order of what happened. */
static void log_submit(const struct log_entry *e)
{
	int r = -EAGAIN;

	log_flush();
	if (!log_state.head && log_say_lost() != -EAGAIN)
		r = log_send(e);
	if (r == -EAGAIN)
		log_queue_push(e);
	else if (r < 0)
		log_count_lost();
}

static bool log_name_is_valid(const char *name)
{
	size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return size > 0 && size < LOG_NAME_MAX && name[size] == '\0';
}

void log_record(int level, const char *message_id, const char *message,
		const struct log_field *fields, size_t n_fields)
{
	struct log_field all[LOG_ALL_FIELDS_MAX];
	struct log_entry e = {
		.level = LOG_PRI(level),
		.when = time(NULL),
		.message_id = message_id,
		.message = message,
		.fields = all,
	};
	int saved = errno;

	assert(n_fields <= LOG_FIELDS_MAX);
	e.n_fields = log_add_common(all);
	for (size_t i = 0; i < n_fields; i++) {
		assert(log_name_is_valid(fields[i].name));
		if (fields[i].value)
			all[e.n_fields++] = fields[i];
	}
	log_submit(&e);
	errno = saved;
}

void log_at(int level, const char *fmt, ...)
{
	char message[LOG_VALUE_MAX +
		     2]; /* one byte more than fits shows log_bounded() that it was cut */
	int saved = errno;
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, fmt);
	if (vsnprintf(message, sizeof(message), fmt, ap) < 0)
		message[0] = '\0';
	va_end(ap);
	log_record(level, NULL, message, NULL, 0);
	errno = saved;
}

/* ---- settings ---- */

int log_target_from_string(const char *s, enum log_target *ret)
{
	for (unsigned i = 0; i < _LOG_TARGET_MAX; i++) {
		if (strcmp(s, log_target_names[i]) == 0) {
			*ret = (enum log_target)i;
			return 0;
		}
	}
	return err_raise(-EINVAL, "log target '%.64s'", s);
}

/* What could not be sent is lost, and stderr, the last one who may listen, is told. */
static void log_drop_queue(void)
{
	log_flush();
	while (log_state.head) {
		log_count_lost();
		log_queue_pop();
	}
	if (log_state.lost_unsaid > 0) {
		log_state.target = log_state.connected = LOG_TARGET_STDERR;
		(void)log_say_lost();
	}
}

static void log_disconnect(void)
{
	log_drop_queue();
	log_state.fd = cleanup_close_fd(log_state.fd);
	log_state.connected = LOG_TARGET_STDERR;
}

int log_open(const char *ident, enum log_target target, int level)
{
	int saved = errno;

	log_disconnect();
	log_state.ident = ident;
	log_state.target = target;
	log_state.level = level;
	(void)log_connect(); /* now, while we see the socket; tried again with each record */
	errno = saved;
	return 0;
}

void log_close(void)
{
	log_disconnect();
	for (size_t i = 0; i < LOG_COMMON_MAX; i++) {
		free(log_state.common[i].value);
		log_state.common[i].value = NULL;
	}
	text_done(&log_state.line);
	log_state.ident = NULL;
	log_state.target = LOG_TARGET_STDERR;
	log_state.lost = log_state.lost_unsaid = 0;
}

void log_set_level(int level)
{
	log_state.level = level;
}

bool log_enabled(int level)
{
	return level <= log_state.level;
}

/* The slot of @name, else a free one, else NULL */
static struct log_common *log_find_common(const char *name)
{
	struct log_common *unused = NULL;

	for (size_t i = 0; i < LOG_COMMON_MAX; i++) {
		struct log_common *c = &log_state.common[i];

		if (c->value && strcmp(c->name, name) == 0)
			return c;
		if (!c->value && !unused)
			unused = c;
	}
	return unused;
}

int log_set_common(const char *name, const char *value)
{
	struct log_common *c;
	char *copy;

	if (!log_name_is_valid(name))
		return err_raise(-EINVAL, "name '%s' of a log field", name);
	c = log_find_common(name);
	if (!c)
		return err_raise(-ENOSPC, "log field '%s'", name);
	copy = strdup(value);
	if (!copy)
		return err_raise(-ENOMEM, "log field '%s'", name);
	memcpy(c->name, name, strlen(name) + 1);
	free(c->value);
	c->value = copy;
	return 0;
}

static void log_set_path(char *to, const char *path)
{
	assert(strlen(path) < sizeof(log_state.journal_path));
	memcpy(to, path, strlen(path) + 1);
}

void log_set_paths(const char *journal, const char *syslog)
{
	log_set_path(log_state.journal_path, journal ? journal : LOG_JOURNAL_PATH);
	log_set_path(log_state.syslog_path, syslog ? syslog : LOG_SYSLOG_PATH);
}

/* ---- for the loop ---- */

int log_fd(void)
{
	if (!log_state.head)
		return -1;
	return log_state.connected == LOG_TARGET_STDERR ? STDERR_FILENO : log_state.fd;
}

bool log_pending(void)
{
	return log_state.head;
}

void log_flush(void)
{
	int saved = errno;

	while (log_state.head) {
		int r = log_say_lost();

		if (r == 0)
			r = log_send(&log_state.head->entry);
		if (r == -EAGAIN)
			break;
		if (r < 0)
			log_count_lost();
		log_queue_pop();
	}
	errno = saved;
}

uint64_t log_lost(void)
{
	return log_state.lost;
}
