/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words on their way out: the three forms byte by byte, what a stranger's bytes can not do, and
 * targets that are slow, gone, or come back. The receivers are sockets of our own.
 */
#include "base/log.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define DEADLINE_MS 20000 /* nothing here takes more than a moment; a loaded machine may */
#define DEADLINE_S  60	  /* of the whole program: a log that blocks is ended by SIGALRM */

/* ---- receivers ---- */

static char work_dir[] = "/tmp/netmon-test-log-XXXXXX";
static char journal_path[64], syslog_path[64];

struct ground {
	int journal, syslog; /* -1: no such daemon */
	int err;	     /* a file that stands where stderr stood */
	int saved_err;
};

static int daemon_start(const char *path)
{
	const struct timeval deadline = { .tv_sec = DEADLINE_MS / 1000 };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof(deadline)), 0);
	return fd;
}

static void daemon_stop(int *fd, const char *path)
{
	*fd = cleanup_close_fd(*fd);
	(void)unlink(path);
}

/* Return: the next datagram with a NUL behind it, good until the next call */
static const char *receive(int fd, size_t *ret_size)
{
	static char buffer[256 * 1024];
	ssize_t n = recv(fd, buffer, sizeof(buffer) - 1, 0);

	assert_true(n >= 0);
	buffer[n] = '\0';
	if (ret_size)
		*ret_size = (size_t)n;
	return buffer;
}

static void assert_nothing_more(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

/* Return: all that went to stderr since the last call, good until the next */
static const char *stderr_said(const struct ground *g)
{
	static char buffer[64 * 1024];
	ssize_t n = pread(g->err, buffer, sizeof(buffer) - 1, 0);

	assert_true(n >= 0);
	buffer[n] = '\0';
	assert_int_equal(ftruncate(g->err, 0), 0);
	assert_true(lseek(g->err, 0, SEEK_SET) == 0);
	return buffer;
}

static int group_setup(void **state)
{
	static struct ground ground;

	*state = &ground;
	if (!mkdtemp(work_dir))
		return -1;
	(void)snprintf(journal_path, sizeof(journal_path), "%s/journal", work_dir);
	(void)snprintf(syslog_path, sizeof(syslog_path), "%s/log", work_dir);
	/* local time that is not UTC, without any file of zones */
	(void)setenv("TZ", "TST-5:30", 1);
	tzset();
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	return rmdir(work_dir);
}

static int setup(void **state)
{
	struct ground *g = *state;

	g->journal = daemon_start(journal_path);
	g->syslog = daemon_start(syslog_path);
	g->err = memfd_create("stderr", MFD_CLOEXEC);
	g->saved_err = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
	(void)dup2(g->err, STDERR_FILENO);
	log_set_paths(journal_path, syslog_path);
	return 0;
}

/* log_close() first: stderr must be what it was only when nobody speaks any more. */
static int teardown(void **state)
{
	struct ground *g = *state;

	log_close();
	(void)dup2(g->saved_err, STDERR_FILENO);
	(void)close(g->saved_err);
	(void)close(g->err);
	daemon_stop(&g->journal, journal_path);
	daemon_stop(&g->syslog, syslog_path);
	log_set_paths(NULL, NULL);
	err_clear();
	return 0;
}

#define OPEN(target) assert_int_equal(log_open("netmon-test", (target), LOG_INFO), 0)

static const struct log_field add_iface[] = {
	{ "op", "add-iface" },
	{ "iface", "eth0" },
	{ "reason", NULL },
	{ "error", "say \"no\"" },
};
#define N_ADD_IFACE (sizeof(add_iface) / sizeof(add_iface[0]))

/* ---- the forms ---- */

static void test_target_names(void **state)
{
	enum log_target target = _LOG_TARGET_MAX;

	(void)state;
	assert_int_equal(log_target_from_string("auto", &target), 0);
	assert_int_equal(target, LOG_TARGET_AUTO);
	assert_int_equal(log_target_from_string("stderr", &target), 0);
	assert_int_equal(target, LOG_TARGET_STDERR);
	assert_int_equal(log_target_from_string("journal", &target), 0);
	assert_int_equal(target, LOG_TARGET_JOURNAL);
	assert_int_equal(log_target_from_string("", &target), -EINVAL);
	assert_int_equal(log_target_from_string("Journal", &target), -EINVAL);
	assert_int_equal(target, LOG_TARGET_JOURNAL);
	assert_int_equal(log_target_from_string("syslog", &target), 0);
	assert_int_equal(target, LOG_TARGET_SYSLOG);
}

static void test_journal_golden(void **state)
{
	struct ground *g = *state;
	char expected[512];

	OPEN(LOG_TARGET_JOURNAL);
	assert_int_equal(log_set_common("sandbox", "sb1"), 0);
	log_record(LOG_INFO, "0123456789abcdef0123456789abcdef", "interface added", add_iface,
		   N_ADD_IFACE);
	(void)snprintf(expected, sizeof(expected),
		       "MESSAGE=interface added\nPRIORITY=6\nSYSLOG_FACILITY=1\nSYSLOG_PID=%d\n"
		       "SYSLOG_IDENTIFIER=netmon-test\n"
		       "MESSAGE_ID=0123456789abcdef0123456789abcdef\n"
		       "NETMON_SANDBOX=sb1\nNETMON_OP=add-iface\nNETMON_IFACE=eth0\n"
		       "NETMON_ERROR=say \"no\"\n",
		       getpid());
	assert_string_equal(receive(g->journal, NULL), expected);
	log_warn("%s is %d", "answer", 42);
	(void)snprintf(expected, sizeof(expected),
		       "MESSAGE=answer is 42\nPRIORITY=4\nSYSLOG_FACILITY=1\nSYSLOG_PID=%d\n"
		       "SYSLOG_IDENTIFIER=netmon-test\nNETMON_SANDBOX=sb1\n",
		       getpid());
	assert_string_equal(receive(g->journal, NULL), expected);
	assert_string_equal(stderr_said(g), "");
	assert_nothing_more(g->syslog);
}

/* The line with its time, which is taken just before or just after. */
static void assert_syslog_line(const char *line, int pri, time_t when, const char *rest)
{
	for (time_t t = when; t <= time(NULL); t++) {
		char stamp[32], expected[512];
		struct tm tm;

		(void)localtime_r(&t, &tm);
		(void)strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &tm);
		(void)snprintf(expected, sizeof(expected), "<%d>%s netmon-test[%d]: %s", pri, stamp,
			       getpid(), rest);
		if (strcmp(line, expected) == 0)
			return;
	}
	fail_msg("unexpected: %s", line);
}

static void test_syslog_golden(void **state)
{
	struct ground *g = *state;
	time_t now = time(NULL);

	OPEN(LOG_TARGET_SYSLOG);
	log_set_level(LOG_DEBUG);
	assert_int_equal(log_set_common("sandbox", "sb1"), 0);
	log_record(LOG_INFO, "0123456789abcdef0123456789abcdef", "interface added", add_iface,
		   N_ADD_IFACE);
	assert_syslog_line(receive(g->syslog, NULL), 14, now,
			   "interface added sandbox=sb1 op=add-iface iface=eth0 "
			   "error=\"say \\\"no\\\"\"");
	log_debug("d");
	assert_syslog_line(receive(g->syslog, NULL), 15, now, "d sandbox=sb1");
	log_warn("w");
	assert_syslog_line(receive(g->syslog, NULL), 12, now, "w sandbox=sb1");
	log_error("e");
	assert_syslog_line(receive(g->syslog, NULL), 11, now, "e sandbox=sb1");
	assert_string_equal(stderr_said(g), "");
	assert_nothing_more(g->journal);
}

static void test_stderr_golden(void **state)
{
	struct ground *g = *state;

	OPEN(LOG_TARGET_STDERR);
	assert_int_equal(log_set_common("sandbox", "sb1"), 0);
	log_record(LOG_ERR, NULL, "interface not added", add_iface, N_ADD_IFACE);
	log_warn("100%% of %s", "nothing");
	assert_string_equal(stderr_said(g),
			    "netmon-test: error: interface not added sandbox=sb1 op=add-iface "
			    "iface=eth0 error=\"say \\\"no\\\"\"\n"
			    "netmon-test: warning: 100% of nothing sandbox=sb1\n");
	assert_nothing_more(g->journal);
	assert_nothing_more(g->syslog);
}

static void test_level_filters_lines_but_never_records(void **state)
{
	struct ground *g = *state;

	OPEN(LOG_TARGET_STDERR);
	log_debug("no");
	assert_false(log_enabled(LOG_DEBUG));
	log_record(LOG_DEBUG, NULL, "record", NULL, 0);
	log_set_level(LOG_ERR);
	log_warn("no");
	log_record(LOG_INFO, NULL, "another", NULL, 0);
	log_set_level(LOG_DEBUG);
	assert_true(log_enabled(LOG_DEBUG));
	log_debug("yes");
	assert_string_equal(stderr_said(g), "netmon-test: debug: record\n"
					    "netmon-test: info: another\n"
					    "netmon-test: debug: yes\n");
}

static void test_before_open_it_is_stderr(void **state)
{
	struct ground *g = *state;

	log_error("early");
	assert_non_null(strstr(stderr_said(g), ": error: early\n"));
	assert_nothing_more(g->journal);
}

static void test_common_fields(void **state)
{
	struct ground *g = *state;

	OPEN(LOG_TARGET_STDERR);
	assert_int_equal(log_set_common("", "x"), -EINVAL);
	assert_int_equal(log_set_common("A", "x"), -EINVAL);
	assert_int_equal(log_set_common("a=b", "x"), -EINVAL);
	assert_int_equal(log_set_common("a\nb", "x"), -EINVAL);
	assert_int_equal(log_set_common("a_name_of_32_bytes_is_one_too_ma", "x"), -EINVAL);
	assert_int_equal(log_set_common("a", "1"), 0);
	assert_int_equal(log_set_common("b", "2"), 0);
	assert_int_equal(log_set_common("c", "3"), 0);
	assert_int_equal(log_set_common("d", "4"), 0);
	assert_int_equal(log_set_common("e", "5"), -ENOSPC);
	assert_int_equal(log_set_common("b", "x y"), 0);
	log_error("m");
	assert_string_equal(stderr_said(g), "netmon-test: error: m a=1 b=\"x y\" c=3 d=4\n");
}

static void test_errno_is_kept(void **state)
{
	struct ground *g = *state;

	OPEN(LOG_TARGET_JOURNAL);
	daemon_stop(&g->journal, journal_path);
	errno = EXDEV;
	log_error("x");
	log_debug("x");
	log_flush();
	assert_int_equal(errno, EXDEV);
}

/* ---- a stranger's bytes ---- */

/*
 * The value of field @name in a journal datagram, or NULL; asserts that the datagram is well
 * formed.
 */
static const char *journal_field(const char *data, size_t size, const char *name, size_t *ret_size)
{
	const char *found = NULL;

	*ret_size = 0;
	for (const char *p = data, *end = data + size; p < end;) {
		size_t name_size = strcspn(p, "=\n");
		const char *value = p + name_size + 1;
		uint64_t value_size;

		assert_true(name_size > 0 && value < end);
		assert_int_equal(strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"), name_size);
		if (p[name_size] == '=') {
			value_size = strcspn(value, "\n");
		} else {
			memcpy(&value_size, value, sizeof(value_size));
			value_size = le64toh(value_size);
			value += sizeof(value_size);
		}
		assert_true(value_size < (size_t)(end - value) && value[value_size] == '\n');
		if (strlen(name) == name_size && memcmp(p, name, name_size) == 0) {
			found = value;
			*ret_size = value_size;
		}
		p = value + value_size + 1;
	}
	return found;
}

static void test_journal_form_with_a_length(void **state)
{
	static const struct log_field fields[] = { { "iface", "a\nb" } };
	static const char tail[] = "NETMON_IFACE\n\x03\0\0\0\0\0\0\0a\nb\n";
	struct ground *g = *state;
	const char *data;
	size_t size;

	OPEN(LOG_TARGET_JOURNAL);
	log_record(LOG_INFO, NULL, "m", fields, 1);
	data = receive(g->journal, &size);
	assert_true(size > sizeof(tail) - 1);
	assert_memory_equal(data + size - (sizeof(tail) - 1), tail, sizeof(tail) - 1);
}

static const char *const hostile[] = {
	"x\nMESSAGE=forged\nPRIORITY=0",
	"x\n<0>Jan  1 00:00:00 kernel: forged",
	"x\" forged=\"yes",
	"x forged=yes",
	"\x1b[2J\x1b]0;forged\x07",
	"\r\x7f\23331m",
	"\n",
	"",
	"\xff\xfe\xc3",
	"\\",
	"\\\"",
	"\u2028forged",
};
#define N_HOSTILE (sizeof(hostile) / sizeof(hostile[0]))

static void test_journal_fields_can_not_be_forged(void **state)
{
	struct ground *g = *state;

	OPEN(LOG_TARGET_JOURNAL);
	for (size_t i = 0; i < N_HOSTILE; i++) {
		const struct log_field fields[] = { { "iface", hostile[i] } };
		const char *data, *value;
		size_t size, value_size;

		log_record(LOG_INFO, NULL, "message", fields, 1);
		data = receive(g->journal, &size);
		value = journal_field(data, size, "MESSAGE", &value_size);
		assert_memory_equal(value, "message\n", 8);
		value = journal_field(data, size, "PRIORITY", &value_size);
		assert_memory_equal(value, "6\n", 2);
		/* and the value is all there, unchanged */
		value = journal_field(data, size, "NETMON_IFACE", &value_size);
		assert_int_equal(value_size, strlen(hostile[i]));
		assert_memory_equal(value, hostile[i], value_size);
	}
}

static void assert_printable(const char *line, size_t size)
{
	for (size_t i = 0; i < size; i++)
		assert_in_range(line[i], ' ', '~');
}

/*
 * Walks name=value pairs as a reader of logfmt does. Return: their number; "forged" must be none of
 * them
 */
static int count_pairs(const char *p)
{
	int n = 0;

	for (; *p == ' '; n++) {
		size_t name_size = strcspn(++p, "=");

		assert_true(name_size > 0 && p[name_size] == '=');
		assert_true(strncmp(p, "forged", name_size) != 0);
		p += name_size + 1;
		if (*p != '"') {
			p += strcspn(p, " ");
			continue;
		}
		for (p++; *p != '"'; p++) {
			assert_true(*p != '\0');
			p += *p == '\\';
		}
		p++;
	}
	assert_true(*p == '\0');
	return n;
}

static void test_syslog_line_can_not_be_forged(void **state)
{
	struct ground *g = *state;

	OPEN(LOG_TARGET_SYSLOG);
	for (size_t i = 0; i < N_HOSTILE; i++) {
		const struct log_field fields[] = { { "iface", hostile[i] }, { "last", "1" } };
		const char *line;
		size_t size;

		log_record(LOG_INFO, NULL, "message", fields, 2);
		line = receive(g->syslog, &size);
		assert_printable(line, size);
		assert_int_equal(count_pairs(strstr(line, "message") + strlen("message")), 2);
	}
	assert_nothing_more(g->syslog);
}

static void test_free_text_can_not_make_a_line(void **state)
{
	static const enum log_target targets[] = { LOG_TARGET_JOURNAL, LOG_TARGET_SYSLOG,
						   LOG_TARGET_STDERR };
	struct ground *g = *state;
	size_t size, value_size;
	const char *said;

	for (size_t t = 0; t < 3; t++) {
		OPEN(targets[t]);
		log_error("link %s", "a\nMESSAGE=x\r\x1b[0m\x7f\xc3\xa4 z");
	}
	said = receive(g->journal, &size);
	said = journal_field(said, size, "MESSAGE", &value_size);
	assert_memory_equal(said, "link a\\x0aMESSAGE=x\\x0d\\x1b[0m\\x7f\\xc3\\xa4 z\n",
			    value_size + 1);
	said = receive(g->syslog, &size);
	assert_printable(said, size);
	assert_non_null(strstr(said, ": link a\\x0aMESSAGE=x"));
	assert_string_equal(stderr_said(g), "netmon-test: error: link "
					    "a\\x0aMESSAGE=x\\x0d\\x1b[0m\\x7f\\xc3\\xa4 z\n");
}

/* ---- what is too long ---- */

static void test_long_values_are_cut_and_say_so(void **state)
{
	struct ground *g = *state;
	struct log_field fields[LOG_FIELDS_MAX];
	CLEANUP(cleanup_free)
	char *huge = malloc(1 << 20);
	size_t size, value_size;
	const char *data, *value;

	assert_non_null(huge);
	memset(huge, '\x01', (1 << 20) - 1);
	huge[(1 << 20) - 1] = '\0';
	for (size_t i = 0; i < LOG_FIELDS_MAX; i++)
		fields[i] = (struct log_field){ "field", huge };
	OPEN(LOG_TARGET_JOURNAL);
	log_record(LOG_INFO, NULL, huge, fields, LOG_FIELDS_MAX);
	data = receive(g->journal, &size);
	value = journal_field(data, size, "NETMON_FIELD", &value_size);
	assert_int_equal(value_size, 2048 + 3);
	assert_memory_equal(value + 2047, "\x01...", 4);
	value = journal_field(data, size, "MESSAGE", &value_size);
	assert_non_null(value);
	assert_int_equal(value_size, 2048 * 4 + 3);
	assert_int_equal(log_lost(), 0);
	log_info("%s", huge);
	data = receive(g->journal, &size);
	value = journal_field(data, size, "MESSAGE", &value_size);
	assert_int_equal(value_size, 2048 * 4 + 3);
	assert_memory_equal(value + value_size - 7, "\\x01...", 7);
}

/* Whole fields are left out, others that fit are kept, and the line says that it is not all. */
static void test_long_lines_are_bounded(void **state)
{
	struct ground *g = *state;
	char value[2049];
	struct log_field fields[9] = { { "first", "1" } };
	const char *line;
	size_t size;

	memset(value, '\n', 2048);
	value[2048] = '\0';
	for (size_t i = 1; i < 8; i++)
		fields[i] = (struct log_field){ "big", value };
	fields[8] = (struct log_field){ "last", "1" };
	OPEN(LOG_TARGET_SYSLOG);
	log_record(LOG_INFO, NULL, "m", fields, 9);
	line = receive(g->syslog, &size);
	assert_true(size <= 8192);
	assert_string_equal(strstr(line, ": m"), ": m first=1 last=1 ...");
	log_record(LOG_INFO, NULL, value, fields, 9);
	line = receive(g->syslog, &size);
	assert_true(size <= 8192);
	assert_string_equal(line + size - 7, "... ...");
	OPEN(LOG_TARGET_STDERR);
	log_record(LOG_INFO, NULL, "m", fields, 9);
	assert_string_equal(stderr_said(g), "netmon-test: info: m first=1 last=1 ...\n");
	log_record(LOG_INFO, NULL, value, fields, 9);
	line = stderr_said(g);
	assert_true(strlen(line) <= PIPE_BUF);
	assert_string_equal(line + strlen(line) - 8, "... ...\n");
}

/* ---- slow targets ---- */

/* Says "record N" until one has to wait. Return: how many were said */
static unsigned log_until_pending(void)
{
	unsigned n = 0;

	while (!log_pending()) {
		log_info("record %u", n++);
		assert_true(n < 100000);
	}
	return n;
}

/* As the loop does: waits for EPOLLOUT, flushes. */
static void pump(void)
{
	struct pollfd p = { .fd = log_fd(), .events = POLLOUT };

	assert_true(p.fd >= 0);
	assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
	log_flush();
}

static void assert_record(const char *line, const char *expected)
{
	const char *message = strstr(line, "]: ");

	assert_non_null(message);
	assert_string_equal(message + 3, expected);
}

static void test_stalled_target_never_blocks(void **state)
{
	enum { TOO_MANY = LOG_QUEUE_MAX + 100 };
	struct ground *g = *state;
	unsigned said, expected;
	char text[80];

	OPEN(LOG_TARGET_SYSLOG);
	assert_int_equal(log_fd(), -1);
	said = log_until_pending(); /* the last one waits */
	for (unsigned i = 0; i < TOO_MANY; i++)
		log_info("record %u", said + i);
	assert_int_equal(log_lost(), TOO_MANY + 1 - LOG_QUEUE_MAX);
	/* what the socket held */
	for (expected = 0; expected < said - 1; expected++) {
		(void)snprintf(text, sizeof(text), "record %u", expected);
		assert_record(receive(g->syslog, NULL), text);
	}
	/* then first the loss, then what waited, in its order */
	pump();
	assert_record(receive(g->syslog, NULL), "101 records lost: the log target was too slow");
	for (unsigned i = 0; i < LOG_QUEUE_MAX; i++) {
		/* not pump(): a socket says POLLOUT only when it is three quarters empty */
		log_flush();
		(void)snprintf(text, sizeof(text), "record %u", expected++);
		assert_record(receive(g->syslog, NULL), text);
	}
	assert_false(log_pending());
	assert_int_equal(log_fd(), -1);
	log_info("again");
	assert_record(receive(g->syslog, NULL), "again");
	assert_nothing_more(g->syslog);
	assert_int_equal(log_lost(), 101);
	assert_string_equal(stderr_said(g), "");
}

static void test_queue_is_bounded_by_bytes(void **state)
{
	struct ground *g = *state;
	struct log_field fields[LOG_FIELDS_MAX];
	char value[2000];
	unsigned n = 0;

	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	for (size_t i = 0; i < LOG_FIELDS_MAX; i++)
		fields[i] = (struct log_field){ "field", value };
	OPEN(LOG_TARGET_JOURNAL);
	(void)log_until_pending();
	for (; log_lost() == 0; n++)
		log_record(LOG_INFO, NULL, "big", fields, LOG_FIELDS_MAX);
	/* each is about 48 KB, so it was not the number of records that said no */
	assert_in_range(n, 10, LOG_QUEUE_BYTES / (LOG_FIELDS_MAX * sizeof(value)) + 1);
	(void)g;
}

/* A record that waits says what was true when it was made. */
static void test_waiting_records_keep_their_words(void **state)
{
	struct ground *g = *state;
	char value[] = "then";
	const struct log_field fields[] = { { "when", value }, { "none", NULL } };
	const char *data;
	size_t size;

	OPEN(LOG_TARGET_JOURNAL);
	(void)log_until_pending();
	assert_int_equal(log_set_common("sandbox", "old"), 0);
	log_record(LOG_ERR, "0123456789abcdef0123456789abcdef", "waited", fields, 2);
	memcpy(value, "now!", 4);
	assert_int_equal(log_set_common("sandbox", "new"), 0);
	do {
		if (log_pending())
			log_flush();
		data = receive(g->journal, &size);
	} while (!strstr(data, "MESSAGE=waited\n"));
	assert_non_null(strstr(data, "\nPRIORITY=3\n"));
	assert_non_null(strstr(data, "\nMESSAGE_ID=0123456789abcdef0123456789abcdef\n"
				     "NETMON_SANDBOX=old\nNETMON_WHEN=then\n"));
	assert_false(log_pending());
}

static void test_close_says_what_was_lost(void **state)
{
	struct ground *g = *state;

	OPEN(LOG_TARGET_JOURNAL);
	(void)log_until_pending();
	log_info("another");
	log_close();
	assert_string_equal(stderr_said(g), "netmon-test: warning: 2 records lost: "
					    "the log target was too slow\n");
	assert_false(log_pending());
	assert_int_equal(log_fd(), -1);
}

/* ---- targets that go and come ---- */

static void test_missing_daemon_is_stderr_until_it_comes(void **state)
{
	static const enum log_target targets[] = { LOG_TARGET_JOURNAL, LOG_TARGET_AUTO };
	struct ground *g = *state;

	daemon_stop(&g->syslog, syslog_path);
	for (size_t i = 0; i < 2; i++) {
		daemon_stop(&g->journal, journal_path);
		OPEN(targets[i]);
		log_info("nobody there");
		assert_string_equal(stderr_said(g), "netmon-test: info: nobody there\n");
		g->journal = daemon_start(journal_path);
		log_info("hello");
		assert_non_null(strstr(receive(g->journal, NULL), "MESSAGE=hello\n"));
		assert_string_equal(stderr_said(g), "");
		assert_int_equal(log_lost(), 0);
	}
}

static void test_restart_of_the_daemon(void **state)
{
	struct ground *g = *state;

	OPEN(LOG_TARGET_SYSLOG);
	log_info("one");
	assert_record(receive(g->syslog, NULL), "one");
	/* at once: not one record is lost or goes astray */
	daemon_stop(&g->syslog, syslog_path);
	g->syslog = daemon_start(syslog_path);
	log_info("two");
	assert_record(receive(g->syslog, NULL), "two");
	/* with a pause, in which there is stderr */
	daemon_stop(&g->syslog, syslog_path);
	log_info("three");
	log_info("four");
	assert_string_equal(stderr_said(g), "netmon-test: info: three\nnetmon-test: info: four\n");
	g->syslog = daemon_start(syslog_path);
	log_info("five");
	assert_record(receive(g->syslog, NULL), "five");
	/* a socket file that nobody listens on any more */
	g->syslog = cleanup_close_fd(g->syslog);
	log_info("six");
	assert_string_equal(stderr_said(g), "netmon-test: info: six\n");
	assert_int_equal(log_lost(), 0);
}

static void test_auto_takes_the_first_that_is_there(void **state)
{
	struct ground *g = *state;

	OPEN(LOG_TARGET_AUTO);
	log_info("one");
	assert_non_null(strstr(receive(g->journal, NULL), "MESSAGE=one\n"));
	daemon_stop(&g->journal, journal_path);
	log_info("two");
	assert_record(receive(g->syslog, NULL), "two");
	daemon_stop(&g->syslog, syslog_path);
	log_info("three");
	assert_string_equal(stderr_said(g), "netmon-test: info: three\n");
	g->journal = daemon_start(journal_path);
	g->syslog = daemon_start(syslog_path);
	log_info("four");
	assert_non_null(strstr(receive(g->journal, NULL), "MESSAGE=four\n"));
	assert_nothing_more(g->syslog);
	assert_int_equal(log_lost(), 0);
}

/*
 * The loop wakes up, on the same descriptor, and what waited for one target goes to the next in
 * that one's form.
 */
static void test_daemon_that_dies_while_records_wait(void **state)
{
	struct ground *g = *state;
	unsigned last;
	char text[80];
	int fd;

	OPEN(LOG_TARGET_AUTO);
	last = log_until_pending() - 1;
	log_info("behind it");
	fd = log_fd();
	daemon_stop(&g->journal, journal_path);
	assert_int_equal(log_fd(), fd);
	pump();
	assert_false(log_pending());
	(void)snprintf(text, sizeof(text), "record %u", last);
	assert_record(receive(g->syslog, NULL), text);
	assert_record(receive(g->syslog, NULL), "behind it");
	(void)log_until_pending();
	assert_int_equal(log_fd(), fd);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(log_lost(), 0);
}

/* ---- stderr is somebody's pipe ---- */

static void test_full_stderr_never_blocks(void **state)
{
	struct ground *g = *state;
	char line[256], expected[64];
	unsigned said;
	FILE *reader;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	(void)dup2(fds[1], STDERR_FILENO);
	(void)close(fds[1]);
	reader = fdopen(fds[0], "r");
	assert_non_null(reader);
	OPEN(LOG_TARGET_STDERR);
	said = log_until_pending();
	assert_int_equal(log_fd(), STDERR_FILENO);
	for (unsigned i = 0; i < said; i++) {
		if (log_pending())
			log_flush();
		assert_non_null(fgets(line, sizeof(line), reader));
		(void)snprintf(expected, sizeof(expected), "netmon-test: info: record %u\n", i);
		assert_string_equal(line, expected);
	}
	assert_false(log_pending());
	/* a pipe without a reader is a loss, not a SIGPIPE */
	(void)fclose(reader);
	log_error("nobody");
	assert_int_equal(log_lost(), 1);
	(void)dup2(g->err, STDERR_FILENO);
	log_error("somebody");
	assert_string_equal(stderr_said(g), "netmon-test: warning: 1 records lost: the log target "
					    "was too slow\nnetmon-test: error: somebody\n");
}

static void test_closed_stderr(void **state)
{
	struct ground *g = *state;

	OPEN(LOG_TARGET_STDERR);
	(void)close(STDERR_FILENO);
	log_error("nobody");
	assert_int_equal(log_lost(), 1);
	assert_false(log_pending());
	(void)dup2(g->err, STDERR_FILENO);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_target_names),
		TEST(test_journal_golden),
		TEST(test_syslog_golden),
		TEST(test_stderr_golden),
		TEST(test_level_filters_lines_but_never_records),
		TEST(test_before_open_it_is_stderr),
		TEST(test_common_fields),
		TEST(test_errno_is_kept),
		TEST(test_journal_form_with_a_length),
		TEST(test_journal_fields_can_not_be_forged),
		TEST(test_syslog_line_can_not_be_forged),
		TEST(test_free_text_can_not_make_a_line),
		TEST(test_long_values_are_cut_and_say_so),
		TEST(test_long_lines_are_bounded),
		TEST(test_stalled_target_never_blocks),
		TEST(test_queue_is_bounded_by_bytes),
		TEST(test_waiting_records_keep_their_words),
		TEST(test_close_says_what_was_lost),
		TEST(test_missing_daemon_is_stderr_until_it_comes),
		TEST(test_restart_of_the_daemon),
		TEST(test_auto_takes_the_first_that_is_there),
		TEST(test_daemon_that_dies_while_records_wait),
		TEST(test_full_stderr_never_blocks),
		TEST(test_closed_stderr),
	};

	(void)alarm(DEADLINE_S);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
