/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit: the same fields always, lines that nobody can forge, and no silent loss on a full
 * disk.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "netmon/audit.h"

#define FILE_MAX (4U * 1024 * 1024)

#define TIME "time=[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z"

struct place {
	char dir[64];
	char file[96];
	char journal[96];
	int journal_fd; /* what the log sends lands here */
	bool is_mounted;
};

static int journal_bind(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static int setup(void **state)
{
	struct place *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	(void)snprintf(p->dir, sizeof(p->dir), "/tmp/test-audit-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->file, sizeof(p->file), "%s/audit", p->dir);
	(void)snprintf(p->journal, sizeof(p->journal), "%s/journal", p->dir);
	p->journal_fd = journal_bind(p->journal);
	log_set_paths(p->journal, "/nonexistent");
	/* The highest level: it must hide no record. */
	assert_int_equal(log_open("test-audit", LOG_TARGET_JOURNAL, LOG_EMERG), 0);
	assert_int_equal(log_set_common("sandbox", "pod1"), 0);
	*state = p;
	return 0;
}

static int teardown(void **state)
{
	struct place *p = *state;
	char path[160];

	log_close();
	log_set_paths(NULL, NULL);
	(void)close(p->journal_fd);
	if (p->is_mounted)
		(void)umount2(p->dir, MNT_DETACH);
	(void)unlink(p->journal);
	(void)unlink(p->file);
	(void)snprintf(path, sizeof(path), "%s/other", p->dir);
	(void)unlink(path);
	(void)rmdir(p->dir);
	free(p);
	return 0;
}

static char *contents(const char *path)
{
	char *data = NULL;

	assert_int_equal(io_read_path(path, FILE_MAX, &data, NULL), 0);
	return data;
}

static bool matches(const char *text, const char *pattern)
{
	regex_t re;
	bool yes;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB | REG_NEWLINE), 0);
	yes = regexec(&re, text, 0, NULL, 0) == 0;
	regfree(&re);
	return yes;
}

static void assert_matches(const char *text, const char *pattern)
{
	if (!matches(text, pattern))
		print_error("wanted: %s\ngot: %s\n", pattern, text);
	assert_true(matches(text, pattern));
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += *text == '\n';
	return n;
}

static const struct audit_record a_record = {
	.kind = AUDIT_OP,
	.op = "add-link",
	.interface = "eth1",
	.generation = 7,
	.attempt = 1,
	.result = "done",
	.duration_usec = 1234,
	.reason = "",
};

static void test_line(void **state)
{
	CLEANUP(audit_closep)
	struct audit *a = NULL;
	struct place *p = *state;
	struct stat st;
	char *text;

	assert_int_equal(audit_open(&a, "pod1", p->file), 0);
	audit_write(a, &a_record);
	assert_int_equal(audit_lost(a), 0);
	text = contents(p->file);
	assert_matches(text,
		       "^" TIME " kind=op sandbox=pod1 op=add-link interface=eth1 generation=7 "
		       "attempt=1 result=done duration_usec=1234 reason=\"\"$");
	assert_int_equal(count_lines(text), 1);
	free(text);
	assert_int_equal(stat(p->file, &st), 0);
	assert_int_equal(st.st_mode & 07137, 0); /* 0640 or less */
}

/* Every kind, and every field missing or at its largest. */
static void test_fields_are_always_the_same(void **state)
{
	static const char *const kinds[] = { "op", "resync", "drift", "life" };
	CLEANUP(audit_closep)
	struct audit *a = NULL;
	struct place *p = *state;
	char pattern[512], *text;

	assert_int_equal(audit_open(&a, "pod1", p->file), 0);
	for (unsigned k = 0; k < _AUDIT_KIND_MAX; k++) {
		struct audit_record r = { .kind = (enum audit_kind)k,
					  .op = "x",
					  .generation = UINT64_MAX,
					  .attempt = UINT32_MAX,
					  .duration_usec = UINT64_MAX };

		audit_write(a, &r);
		text = contents(p->file);
		(void)snprintf(pattern, sizeof(pattern),
			       "^" TIME " kind=%s sandbox=pod1 op=x interface=\"\" "
			       "generation=18446744073709551615 attempt=4294967295 result=\"\" "
			       "duration_usec=18446744073709551615 reason=\"\"$",
			       kinds[k]);
		assert_matches(text, pattern);
		assert_int_equal(count_lines(text), k + 1);
		free(text);
	}
}

static void test_names_forge_no_line(void **state)
{
	CLEANUP(audit_closep)
	struct audit *a = NULL;
	struct place *p = *state;
	struct audit_record r = a_record;
	char *text;

	assert_int_equal(audit_open(&a, "pod1", p->file), 0);
	r.interface = "eth0\nop=del";
	r.reason = "\"\nkind=op sandbox=other\r\x1b[2J\\ \xff";
	audit_write(a, &r);
	text = contents(p->file);
	assert_int_equal(count_lines(text), 1);
	assert_matches(text, " interface=\"eth0\\\\x0aop=del\" generation=7 ");
	assert_matches(text, " reason=\"\\\\\"\\\\x0akind=op sandbox=other\\\\x0d\\\\x1b\\[2J"
			     "\\\\\\\\ \\\\xff\"$");
	for (const char *c = text; *c != '\0'; c++)
		assert_true(*c == '\n' || (*c >= ' ' && *c <= '~'));
	free(text);
}

static void test_long_reason_is_cut(void **state)
{
	CLEANUP(audit_closep)
	struct audit *a = NULL;
	struct place *p = *state;
	struct audit_record r = a_record;
	char reason[20000], *text;

	memset(reason, '\n', sizeof(reason));
	reason[sizeof(reason) - 1] = '\0';
	r.reason = reason;
	assert_int_equal(audit_open(&a, "pod1", p->file), 0);
	audit_write(a, &r);
	text = contents(p->file);
	assert_int_equal(count_lines(text), 1);
	assert_in_range(strlen(text), 8192 * 4, 8192 * 4 + 256);
	assert_matches(text, "\\\\x0a\"\\.\\.\\.$");
	free(text);
}

/* One datagram, as text; fields whose value has control bytes are in the form with a length. */
static void receive(struct place *p, char *ret, size_t size)
{
	ssize_t n = recv(p->journal_fd, ret, size - 1, MSG_DONTWAIT);

	assert_true(n > 0);
	for (ssize_t i = 0; i < n; i++) {
		if (ret[i] == '\0')
			ret[i] = ' ';
	}
	ret[n] = '\0';
}

static void test_journal(void **state)
{
	CLEANUP(audit_closep)
	struct audit *a = NULL;
	struct place *p = *state;
	char text[4096], ids[_AUDIT_KIND_MAX][64];
	struct audit_record r = a_record;

	assert_int_equal(audit_open(&a, "pod1", NULL), 0);
	for (unsigned k = 0; k < _AUDIT_KIND_MAX; k++) {
		r.kind = (enum audit_kind)k;
		audit_write(a, &r);
		receive(p, text, sizeof(text));
		assert_matches(text, "^MESSAGE=audit: add-link eth1 done$");
		assert_matches(text, "^NETMON_SANDBOX=pod1$");
		assert_matches(text, "^NETMON_OP=add-link$");
		assert_matches(text, "^NETMON_INTERFACE=eth1$");
		assert_matches(text, "^NETMON_GENERATION=7$");
		assert_matches(text, "^NETMON_ATTEMPT=1$");
		assert_matches(text, "^NETMON_RESULT=done$");
		assert_matches(text, "^NETMON_DURATION_USEC=1234$");
		assert_matches(text, "^NETMON_REASON=$");
		assert_matches(text, "^MESSAGE_ID=[0-9a-f]{32}$");
		assert_int_equal(sscanf(strstr(text, "MESSAGE_ID="), "%63s", ids[k]), 1);
		for (unsigned i = 0; i < k; i++)
			assert_string_not_equal(ids[i], ids[k]);
	}
	assert_int_equal(audit_lost(a), 0);
}

static void test_levels_are_for_filters(void **state)
{
	static const struct {
		enum audit_kind kind;
		const char *result;
		const char *priority;
	} cases[] = {
		{ AUDIT_OP, "done", "^PRIORITY=6$" },
		{ AUDIT_OP, "retry", "^PRIORITY=5$" },
		{ AUDIT_OP, "refused", "^PRIORITY=4$" },
		{ AUDIT_DRIFT, "reported", "^PRIORITY=5$" },
		{ AUDIT_RESYNC, "done", "^PRIORITY=6$" },
		{ AUDIT_LIFE, "done", "^PRIORITY=6$" },
	};
	CLEANUP(audit_closep)
	struct audit *a = NULL;
	struct place *p = *state;
	char text[4096];

	assert_int_equal(audit_open(&a, "pod1", NULL), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct audit_record r = a_record;

		r.kind = cases[i].kind;
		r.result = cases[i].result;
		audit_write(a, &r);
		receive(p, text, sizeof(text));
		assert_matches(text, cases[i].priority);
	}
}

/* In syslog the message stands before the fields: a name in it must not look like one. */
static void test_names_forge_no_field_of_syslog(void **state)
{
	CLEANUP(audit_closep)
	struct audit *a = NULL;
	struct place *p = *state;
	struct audit_record r = a_record;
	char text[4096];

	log_close();
	log_set_paths("/nonexistent", p->journal);
	assert_int_equal(log_open("test-audit", LOG_TARGET_SYSLOG, LOG_EMERG), 0);
	assert_int_equal(log_set_common("sandbox", "pod1"), 0);
	assert_int_equal(audit_open(&a, "pod1", NULL), 0);
	r.interface = "op=del";
	r.reason = "no\nroom";
	audit_write(a, &r);
	receive(p, text, sizeof(text));
	assert_matches(text, ": audit: add-link \"op=del\" done sandbox=pod1 kind=op op=add-link "
			     "interface=\"op=del\" generation=7 attempt=1 result=done "
			     "duration_usec=1234 reason=\"no\\\\x0aroom\"$");
	assert_null(strchr(text, '\n'));
}

static void test_appends(void **state)
{
	struct place *p = *state;
	struct audit *a = NULL, *b = NULL;
	char *text;

	assert_int_equal(audit_open(&a, "pod1", p->file), 0);
	assert_int_equal(audit_open(&b, "pod2", p->file), 0);
	audit_write(a, &a_record);
	audit_write(b, &a_record);
	audit_write(a, &a_record);
	assert_null(audit_close(a));
	assert_int_equal(audit_open(&a, "pod3", p->file), 0);
	audit_write(a, &a_record);
	text = contents(p->file);
	assert_matches(text, "^" TIME " kind=op sandbox=pod3 ");
	assert_int_equal(count_lines(text), 4);
	free(text);
	assert_null(audit_close(a));
	assert_null(audit_close(b));
	assert_null(audit_close(NULL));
}

static void test_only_a_file_of_its_own(void **state)
{
	struct place *p = *state;
	struct audit *a = NULL;
	char other[128];

	(void)snprintf(other, sizeof(other), "%s/other", p->dir);
	assert_int_equal(symlink(other, p->file), 0);
	assert_int_equal(audit_open(&a, "pod1", p->file), -ELOOP);
	assert_int_equal(access(other, F_OK), -1);
	assert_int_equal(unlink(p->file), 0);
	assert_int_equal(mkfifo(p->file, 0600), 0);
	assert_int_equal(audit_open(&a, "pod1", p->file), -ENXIO);
	assert_int_equal(unlink(p->file), 0);
	assert_int_equal(audit_open(&a, "pod1", p->dir), -EISDIR);
	assert_int_equal(audit_open(&a, "pod1", "/dev/null"), -EINVAL);
	assert_int_equal(audit_open(&a, "pod1", "/nonexistent/audit"), -ENOENT);
	assert_null(a);
}

static void test_file_is_not_inherited(void **state)
{
	CLEANUP(audit_closep)
	struct audit *a = NULL;
	struct place *p = *state;
	int fd = dup(0); /* the number that the file will get */

	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(audit_open(&a, "pod1", p->file), 0);
	assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

static void test_keeps_errno(void **state)
{
	CLEANUP(audit_closep)
	struct audit *a = NULL;
	struct place *p = *state;

	assert_int_equal(audit_open(&a, "pod1", p->file), 0);
	errno = EXDEV;
	audit_write(a, &a_record);
	assert_int_equal(errno, EXDEV);
}

/* ---- a full disk ---- */

#define DISK_BYTES   (64U * 1024)
#define FILLER_BYTES (32U * 1024)

/*
 * A tmpfs of DISK_BYTES over the place's directory, seen by this process alone, half of it taken.
 */
static void make_small_disk(struct place *p, char filler[static 128])
{
	static const char block[FILLER_BYTES];
	int fd;

	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("tmpfs", p->dir, "tmpfs", 0, "size=64k"), 0);
	p->is_mounted = true;
	(void)snprintf(filler, 128, "%s/other", p->dir);
	fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(io_write_all(fd, block, sizeof(block)), 0);
	(void)close(fd);
}

/* What each line of the file is: a record, the count, or the torn beginning of a record */
struct tally {
	size_t records, torn, counts;
	unsigned long lost;
};

static void tally_line(struct tally *t, const char *line)
{
	if (matches(line, "^" TIME " kind=op .* reason=\".*\"$")) {
		t->records++;
	} else if (matches(line, "^audit lost=[1-9][0-9]*$")) {
		t->counts++;
		t->lost += strtoul(line + strlen("audit lost="), NULL, 10);
	} else {
		assert_int_equal(strncmp(line, "time=", strlen("time=")), 0);
		t->torn++;
	}
}

static struct tally tally_file(const char *path)
{
	struct tally t = { 0 };
	char *text = contents(path), *save = NULL;

	assert_int_equal(text[strlen(text) - 1], '\n');
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		tally_line(&t, line);
	free(text);
	return t;
}

/* Writes until @more records were lost. Return: how many were written. */
static size_t write_until_lost(struct place *p, struct audit *a, uint64_t more)
{
	uint64_t before = audit_lost(a);
	char datagram[4096];
	size_t n = 0;

	while (audit_lost(a) - before < more) {
		assert_true(n < 10000);
		audit_write(a, &a_record);
		receive(p, datagram, sizeof(datagram));
		n++;
	}
	return n;
}

static void test_full_disk(void **state)
{
	struct place *p = *state;
	struct audit *a = NULL;
	struct tally t;
	char filler[128], *text;
	size_t written;

	make_small_disk(p, filler);
	assert_int_equal(audit_open(&a, "pod1", p->file), 0);
	written = write_until_lost(p, a, 3);
	assert_int_equal(unlink(filler), 0);
	audit_write(a, &a_record);
	written++;
	assert_int_equal(audit_lost(a), 3);
	/* The count is the first line that goes in again. */
	text = contents(p->file);
	assert_non_null(strstr(text, "\naudit lost=3\ntime="));
	t = tally_file(p->file);
	assert_int_equal(t.records, written - 3);
	assert_int_equal(t.counts, 1);
	free(text);
	/* And again: what was said is not said twice. */
	written += write_until_lost(p, a, 5);
	assert_int_equal(truncate(p->file, 0), 0);
	audit_write(a, &a_record);
	text = contents(p->file);
	assert_matches(text, "^audit lost=5$");
	free(text);
	t = tally_file(p->file);
	assert_int_equal(t.records, 1);
	assert_int_equal(t.lost, 5);
	assert_true(written > 8);
	assert_null(audit_close(a));
}

/*
 * Whatever the sizes: each record is there, or counted, and a torn one is closed before anything
 * follows.
 */
static void test_full_disk_adds_up(void **state)
{
	struct place *p = *state;
	struct audit *a = NULL;
	struct tally t;
	char filler[128];
	size_t written;

	make_small_disk(p, filler);
	assert_int_equal(audit_open(&a, "pod1", p->file), 0);
	written = write_until_lost(p, a, 1);
	/* A page is free, then the disk is full again. */
	assert_int_equal(truncate(filler, FILLER_BYTES - 4096), 0);
	written += write_until_lost(p, a, 2);
	assert_int_equal(unlink(filler), 0);
	audit_write(a, &a_record);
	written++;
	t = tally_file(p->file);
	assert_int_equal(t.records + t.lost, written);
	assert_int_equal(t.lost, audit_lost(a));
	assert_int_equal(t.counts, 2);
	assert_true(t.torn >= 1 && t.torn <= 3);
	assert_null(audit_close(a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fields_are_always_the_same, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names_forge_no_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_long_reason_is_cut, setup, teardown),
		cmocka_unit_test_setup_teardown(test_journal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_levels_are_for_filters, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names_forge_no_field_of_syslog, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_appends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_a_file_of_its_own, setup, teardown),
		cmocka_unit_test_setup_teardown(test_file_is_not_inherited, setup, teardown),
		cmocka_unit_test_setup_teardown(test_keeps_errno, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_disk_adds_up, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
