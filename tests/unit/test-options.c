/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: what callers of the original depend on, to the letter, and one clear line for
 * every refusal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "netmon/kernel.h"
#include "netmon/options.h"
#include "runtime-bridge/vmm/runtime-cli.h"

#define WORDS_MAX 160

struct run {
	int verdict;
	int exit_status; /* -1: not touched */
	char *out;
	char *err;
	struct options o;
};

static void run_done(struct run *r)
{
	free(r->out);
	free(r->err);
}

static void run_words(struct run *r, int argc, char *const argv[])
{
	size_t out_size, err_size;
	FILE *out = open_memstream(&r->out, &out_size);
	FILE *err = open_memstream(&r->err, &err_size);

	assert_non_null(out);
	assert_non_null(err);
	r->exit_status = -1;
	memset(&r->o, 0x5a, sizeof(r->o));
	r->verdict = options_parse(argc, argv, out, err, &r->o, &r->exit_status);
	(void)fclose(out);
	(void)fclose(err);
}

/* The words given so far: options borrow from them, so they live until all tests are done. */
struct word {
	struct word *next;
	char bytes[];
};

static struct word *words;

/* Each in memory of its own, so that ASan sees a byte read behind it. */
static char *word_keep(const char *bytes)
{
	struct word *w = malloc(sizeof(*w) + strlen(bytes) + 1);

	assert_non_null(w);
	memcpy(w->bytes, bytes, strlen(bytes) + 1);
	w->next = words;
	words = w;
	return w->bytes;
}

static int words_done(void **state)
{
	(void)state;
	while (words) {
		struct word *next = words->next;

		free(words);
		words = next;
	}
	return 0;
}

/* @line: the words behind the program's name, with blanks between them; '' is an empty word */
static void run_line(struct run *r, const char *line)
{
	char *argv[WORDS_MAX] = { word_keep("/usr/libexec/kata-netmon") };
	char *copy = word_keep(line), *save = NULL;
	int argc = 1;

	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		assert_true(argc < WORDS_MAX - 1);
		argv[argc++] = word_keep(strcmp(w, "''") == 0 ? "" : w);
	}
	run_words(r, argc, argv);
}

static struct options accept(const char *line)
{
	struct run r;

	run_line(&r, line);
	if (r.verdict != OPTIONS_RUN)
		print_error("%s: %s", line, r.err);
	assert_int_equal(r.verdict, OPTIONS_RUN);
	assert_int_equal(r.exit_status, -1);
	assert_string_equal(r.out, "");
	assert_string_equal(r.err, "");
	run_done(&r);
	return r.o;
}

static void refuse(struct run *r, const char *line, int exit_status)
{
	struct options untouched;

	run_line(r, line);
	memset(&untouched, 0x5a, sizeof(untouched));
	if (r->verdict != OPTIONS_EXIT)
		print_error("accepted: %s\n", line);
	assert_int_equal(r->verdict, OPTIONS_EXIT);
	assert_int_equal(r->exit_status, exit_status);
	assert_memory_equal(&r->o, &untouched, sizeof(untouched));
}

static void assert_starts(const char *text, const char *start)
{
	if (strncmp(text, start, strlen(start)) != 0)
		print_error("wanted: %s\ngot: %s\n", start, text);
	assert_int_equal(strncmp(text, start, strlen(start)), 0);
}

/* One line, and it is this one. */
static void refuse_line(const char *line, const char *said)
{
	struct run r;

	refuse(&r, line, 1);
	assert_string_equal(r.out, "");
	assert_starts(r.err, said);
	assert_string_equal(r.err + strlen(said), "\n");
	run_done(&r);
}

#define GOOD "-s pod1 -r /bin/rt "

static void test_defaults(void **state)
{
	struct options o = accept("-s pod1 -r kata-runtime");

	(void)state;
	assert_string_equal(o.sandbox_id, "pod1");
	assert_string_equal(o.runtime, "kata-runtime");
	assert_false(o.debug);
	assert_int_equal(o.log_level, LOG_WARNING);
	assert_null(o.netns);
	assert_int_equal(o.vm_pid, 0);
	assert_string_equal(o.sink, "cli");
	assert_int_equal(o.settle_msec, 500);
	assert_int_equal(o.kinds, VIEW_KINDS_DEFAULT);
	assert_int_equal(o.n_ignore, 0);
	assert_false(o.link_local);
	assert_int_equal(o.on_change, VIEW_ON_CHANGE_IGNORE);
	assert_string_equal(o.state_dir, OPTIONS_STATE_DIR);
	assert_int_equal(o.runtime_timeout_sec, RUNTIME_CLI_TIMEOUT_SEC);
	assert_false(o.once);
	assert_int_equal(o.dialect, DIALECT_BOTH);
	assert_int_equal(o.log_target, LOG_TARGET_AUTO);
	assert_null(o.audit_file);
	assert_null(o.agent);
	assert_int_equal(o.withdraw, WITHDRAW_BOUNCE);
	assert_int_equal(o.receive_buffer_bytes, KERNEL_EVENT_BUFFER_BYTES);
	assert_int_equal(o.record_fail, 0);
}

/* kata-cli.md: virtcontainers passes these, in this order */
static void test_as_the_runtime_starts_it(void **state)
{
	struct options o = accept("-r /usr/bin/kata-runtime -s 0a1b2c -d -log debug");

	(void)state;
	assert_string_equal(o.runtime, "/usr/bin/kata-runtime");
	assert_string_equal(o.sandbox_id, "0a1b2c");
	assert_true(o.debug);
	assert_int_equal(o.log_level, LOG_DEBUG);
}

static void test_everything_at_once(void **state)
{
	struct options o = accept(
		GOOD "--netns /run/netns/a=b --vm-pid 4194304 --sink=cli --settle 0 "
		     "--kinds physical,veth,veth --ignore eth* --ignore=docker? --link-local "
		     "--on-change replug --state-dir /tmp/x --runtime-timeout 3600 --dialect 1.12 "
		     "--log-target syslog --audit a.log --receive-buffer 1073741824 -log TRACE");

	(void)state;
	assert_string_equal(o.netns, "/run/netns/a=b");
	assert_int_equal(o.vm_pid, 4194304);
	assert_string_equal(o.sink, "cli");
	assert_int_equal(o.settle_msec, 0);
	assert_int_equal(o.kinds, 1U << VIEW_KIND_PHYSICAL | 1U << VIEW_KIND_VETH);
	assert_int_equal(o.n_ignore, 2);
	assert_string_equal(o.ignore[0], "eth*");
	assert_string_equal(o.ignore[1], "docker?");
	assert_true(o.link_local);
	assert_int_equal(o.on_change, VIEW_ON_CHANGE_REPLUG);
	assert_string_equal(o.state_dir, "/tmp/x");
	assert_int_equal(o.runtime_timeout_sec, 3600);
	assert_int_equal(o.dialect, DIALECT_1_12);
	assert_int_equal(o.log_target, LOG_TARGET_SYSLOG);
	assert_string_equal(o.audit_file, "a.log");
	assert_int_equal(o.receive_buffer_bytes, 1073741824);
	assert_int_equal(o.log_level, LOG_DEBUG);
}

static void test_spellings(void **state)
{
	static const char *const lines[] = {
		"-s pod1 -r rt -settle 7",
		"-s=pod1 -r=rt -settle=7",
		"--s pod1 --r rt --settle 7",
		"--s=pod1 --r=rt --settle=7",
		"-s x -r rt --settle 7 -s pod1", /* the last one wins, even over a bad one */
		"-s ../.. -r rt --settle abc -s pod1 -settle=7",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct options o = accept(lines[i]);

		assert_string_equal(o.sandbox_id, "pod1");
		assert_string_equal(o.runtime, "rt");
		assert_int_equal(o.settle_msec, 7);
	}
	/* The first = ends the name, the others are the value's. */
	assert_string_equal(accept("-s a -r=b=c").runtime, "b=c");
}

static void test_flags_end_at_the_first_other_word(void **state)
{
	(void)state;
	assert_false(accept(GOOD "word -d").debug);
	assert_false(accept(GOOD "- -d").debug);
	assert_false(accept(GOOD "-- -d").debug);
	assert_false(accept(GOOD "'' -d").debug);
	assert_false(accept(GOOD "-- --zzz ---").debug);
	/* A boolean takes no word: "false" ends the flags. */
	assert_true(accept(GOOD "-d false --zzz").debug);
	/* A value is the next word, whatever it looks like. */
	assert_string_equal(accept("-s pod1 -r -d").runtime, "-d");
	assert_string_equal(accept("-s pod1 -r --").runtime, "--");
}

static void test_booleans(void **state)
{
	static const char *const yes[] = { "1", "t", "T", "true", "TRUE", "True" };
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };
	char line[64];

	(void)state;
	for (size_t i = 0; i < 6; i++) {
		(void)snprintf(line, sizeof(line), GOOD "--link-local=%s", yes[i]);
		assert_true(accept(line).link_local);
		(void)snprintf(line, sizeof(line), GOOD "-d -d=%s", no[i]);
		assert_false(accept(line).debug);
	}
}

static void test_what_the_flag_package_refuses(void **state)
{
	static const struct {
		const char *line;
		const char *said;
	} cases[] = {
		{ "-zzz", "flag provided but not defined: -zzz" },
		{ "--zzz=1", "flag provided but not defined: -zzz" },
		{ "-S pod1", "flag provided but not defined: -S" },
		{ "-sx", "flag provided but not defined: -sx" },
		{ "-s", "flag needs an argument: -s" },
		{ GOOD "--settle", "flag needs an argument: -settle" },
		{ "---x", "bad flag syntax: ---x" },
		{ "-=x", "bad flag syntax: -=x" },
		{ "--=x", "bad flag syntax: --=x" },
		{ "-d=x", "invalid boolean value \"x\" for -d: parse error" },
		{ "-d=", "invalid boolean value \"\" for -d: parse error" },
		{ "-once=yes", "invalid boolean value \"yes\" for -once: parse error" },
		/* Words are taken before any of them is looked at. */
		{ "-h -zzz", "flag provided but not defined: -zzz" },
	};
	char said[128];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct run r;

		refuse(&r, cases[i].line, 2);
		(void)snprintf(said, sizeof(said),
			       "%s\nUsage of /usr/libexec/kata-netmon:\n  -agent URL\n",
			       cases[i].said);
		assert_starts(r.err, said);
		assert_string_equal(r.out, "");
		run_done(&r);
	}
}

/* The original's lines as measured, byte by byte */
static const char *const original_lines[] = {
	"\n  -d\tenable debug mode\n",
	"\n  -h\tdescribe component usage\n",
	"\n  -help\n    \t\n",
	("\n  -log string\n    \tlog messages above specified level: debug, warn, error, fatal or "
	 "panic (default \"warn\")\n"),
	"\n  -r string\n    \truntime path (required)\n",
	"\n  -s string\n    \tsandbox id (required)\n",
	"\n  -v\tdisplay program version and exit\n",
	"\n  -version\n    \t\n",
};

static void test_list_of_flags(void **state)
{
	struct run r;
	const char *at;
	char last[64] = "";

	(void)state;
	refuse(&r, "-h", 0);
	at = r.err;
	for (size_t i = 0; i < sizeof(original_lines) / sizeof(original_lines[0]); i++) {
		at = strstr(at, original_lines[i]);
		assert_non_null(at);
	}
	/* Sorted by name, as Go's VisitAll() */
	for (const char *p = r.err; p; p = strstr(p, "\n  -")) {
		char name[64];

		assert_int_equal(sscanf(p + (*p == '\n'), "  -%63s", name), 1);
		assert_true(strcmp(last, name) < 0);
		memcpy(last, name, sizeof(last));
		p += 2;
	}
	assert_non_null(strstr(r.err, "\n  -settle MS\n    \tmilliseconds "));
	assert_non_null(strstr(r.err, ", 0 to 60000 (default 500)\n"));
	assert_non_null(strstr(r.err, " (default \"" OPTIONS_STATE_DIR "\")\n"));
	run_done(&r);
}

/* Whatever the list offers as kinds must be kinds. */
static void test_list_names_every_kind(void **state)
{
	struct run r;
	char line[64];

	(void)state;
	refuse(&r, "-h", 0);
	for (unsigned k = 0; k < _VIEW_KIND_MAX; k++) {
		const char *name = view_kind_to_string((enum view_kind)k);

		assert_non_null(strstr(strstr(r.err, "  -kinds"), name));
		(void)snprintf(line, sizeof(line), GOOD "--kinds %s", name);
		assert_int_equal(accept(line).kinds, 1U << k);
	}
	run_done(&r);
}

static void test_help_and_version(void **state)
{
	static const char *const help[] = { "-h", "--help", "-v -h", "-h -version",
					    "-s ../ -log zzz --sink q -help" };
	static const char *const version[] = { "-v", "--version", "-h=false -v", "-v -s ../",
					       "-h -help=false -v" };
	struct run r;

	(void)state;
	for (size_t i = 0; i < sizeof(help) / sizeof(help[0]); i++) {
		refuse(&r, help[i], 0);
		assert_starts(r.out, "\nkata-netmon is a network monitoring process that ");
		assert_string_equal(r.out + strlen(r.out) - 2, "\n\n");
		assert_starts(r.err, "  -agent URL\n");
		run_done(&r);
	}
	for (size_t i = 0; i < sizeof(version) / sizeof(version[0]); i++) {
		refuse(&r, version[i], 0);
		assert_string_equal(r.out, "kata-netmon version " NETMON_VERSION "\n");
		assert_string_equal(r.err, "");
		run_done(&r);
	}
}

static void test_the_agent_sink_needs_no_runtime(void **state)
{
	struct options o = accept("-s x --sink agent --agent vsock://3:1024 --withdraw report "
				  "--runtime-timeout 5");

	(void)state;
	assert_string_equal(o.sink, "agent");
	assert_string_equal(o.agent, "vsock://3:1024");
	assert_int_equal(o.withdraw, WITHDRAW_REPORT);
	assert_int_equal(o.runtime_timeout_sec, 5);
	assert_null(accept("-s x --sink agent --agent auto").agent);
	assert_null(accept("-s x --sink agent --agent unix:///a --agent auto").agent);
}

static void test_missing(void **state)
{
	static const struct {
		const char *line;
		const char *said;
	} cases[] = {
		{ "", "Error: sandbox id is empty, one must be provided\n  -agent URL\n" },
		{ "-r rt", "Error: sandbox id is empty, one must be provided\n  -agent URL\n" },
		{ "-s ''", "Error: sandbox id is empty, one must be provided\n  -agent URL\n" },
		{ "--once", "Error: sandbox id is empty, one must be provided\n  -agent URL\n" },
		{ "-s pod1", "Error: runtime path is empty, one must be provided\n  -agent URL\n" },
		{ "-s pod1 -r=", "Error: runtime path is empty, one must be provided\n" },
		/* before any other value is looked at */
		{ "-s ../ -log zzz", "Error: runtime path is empty, one must be provided\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct run r;

		refuse(&r, cases[i].line, 1);
		assert_starts(r.err, cases[i].said);
		assert_string_equal(r.out, "");
		run_done(&r);
	}
	assert_true(accept("-s pod1 --once").once);
	assert_string_equal(accept("-s pod1 --sink record").sink, "record");
	/* Accepted and unused: the 1.x runtime always passes it. */
	assert_string_equal(accept("-s pod1 -r rt --sink record").sink, "record");
	assert_true(accept("-s pod1 -r rt --once").once);
}

static void test_no_program_name(void **state)
{
	struct run r;
	char *none[] = { NULL };

	(void)state;
	run_words(&r, 0, none);
	assert_int_equal(r.verdict, OPTIONS_EXIT);
	assert_int_equal(r.exit_status, 1);
	assert_starts(r.err, "Error: sandbox id is empty");
	run_done(&r);
}

static void test_levels(void **state)
{
	static const struct {
		const char *word;
		int level;
	} cases[] = {
		{ "panic", LOG_CRIT },	    { "fatal", LOG_CRIT },  { "error", LOG_ERR },
		{ "warn", LOG_WARNING },    { "info", LOG_INFO },   { "debug", LOG_DEBUG },
		{ "warning", LOG_WARNING }, { "trace", LOG_DEBUG }, { "WaRn", LOG_WARNING },
		{ "INFO", LOG_INFO },
	};
	char line[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(line, sizeof(line), GOOD "-log %s", cases[i].word);
		assert_int_equal(accept(line).log_level, cases[i].level);
	}
	refuse_line(GOOD "-log loud",
		    "level=fatal msg=\"setupLogger()\" error=\"-log: 'loud' is not one of panic, "
		    "fatal, error, warn, warning, info, debug, trace\"");
	refuse_line(GOOD "-log=x\"y",
		    "level=fatal msg=\"setupLogger()\" error=\"-log: 'x\\\"y' is not one of panic, "
		    "fatal, error, warn, warning, info, debug, trace\"");
}

static void test_bad_values(void **state)
{
	static const struct {
		const char *line;
		const char *said;
	} cases[] = {
		{ "--settle abc", "--settle: 'abc' is not a number of milliseconds (0 to 60000)" },
		{ "--settle -1", "--settle: '-1' is not a number of milliseconds (0 to 60000)" },
		{ "--settle 60001",
		  "--settle: '60001' is not a number of milliseconds (0 to 60000)" },
		{ "--settle=", "--settle: '' is not a number of milliseconds (0 to 60000)" },
		{ "--settle 1e3", "--settle: '1e3' is not a number of milliseconds (0 to 60000)" },
		{ "--settle 99999999999999999999",
		  "--settle: '99999999999999999999' is not a number of milliseconds (0 to 60000)" },
		{ "--runtime-timeout 0",
		  "--runtime-timeout: '0' is not a number of seconds (1 to 3600)" },
		{ "--runtime-timeout 3601",
		  "--runtime-timeout: '3601' is not a number of seconds (1 to 3600)" },
		{ "--receive-buffer 4095",
		  "--receive-buffer: '4095' is not a number of bytes (4096 to 1073741824)" },
		{ "--receive-buffer 1M",
		  "--receive-buffer: '1M' is not a number of bytes (4096 to 1073741824)" },
		{ "--receive-buffer 1073741825",
		  "--receive-buffer: '1073741825' is not a number of bytes (4096 to 1073741824)" },
		{ "--vm-pid 0", "--vm-pid: '0' is not a process id (1 to 4194304)" },
		{ "--vm-pid 4194305", "--vm-pid: '4194305' is not a process id (1 to 4194304)" },
		{ "--sink record --record-fail 0",
		  "--record-fail: '0' is not the number of an op (1 to 4294967295)" },
		{ "--sink vm", "--sink: 'vm' is not one of cli, agent, record" },
		{ "--sink=", "--sink: '' is not one of cli, agent, record" },
		{ "--dialect 1.14", "--dialect: '1.14' is not one of 1.12, 1.13, both" },
		{ "--on-change replug,", "--on-change: 'replug,' is not one of ignore, replug" },
		{ "--log-target file",
		  "--log-target: 'file' is not one of auto, journal, syslog, stderr" },
		{ "--kinds veth,bond",
		  "--kinds: 'veth,bond' is not a list, with commas, of veth, tap, macvlan, ipvlan, "
		  "physical" },
		{ "--kinds veth,",
		  "--kinds: 'veth,' is not a list, with commas, of veth, tap, macvlan, ipvlan, "
		  "physical" },
		{ "--kinds=", "--kinds: '' is not a list, with commas, of veth, tap, macvlan, "
			      "ipvlan, physical" },
		{ "--kinds vethvethvethvethveth",
		  "--kinds: 'vethvethvethvethveth' is not a list, with commas, of veth, tap, "
		  "macvlan, ipvlan, physical" },
		{ "--ignore=", "--ignore: '' is not a pattern of names" },
		{ "--ignore '' --ignore x", "--ignore: '' is not a pattern of names" },
		{ "--state-dir var/run",
		  "--state-dir: 'var/run' is not an absolute path of up to 3895 bytes" },
		{ "--state-dir=", "--state-dir: '' is not an absolute path of up to 3895 bytes" },
		{ "--netns=",
		  "--netns: '' is not the path of a network namespace, or a process id" },
		{ "--audit ''", "--audit: '' is not the path of a file" },
		{ "--sink agent --agent vsock://3",
		  "--agent: 'vsock://3' is not auto, or vsock://CID:PORT, hvsock://PATH:PORT, "
		  "unix://PATH, remote://PATH, pipe://PATH" },
		{ "--sink agent --agent=",
		  "--agent: '' is not auto, or vsock://CID:PORT, hvsock://PATH:PORT, unix://PATH, "
		  "remote://PATH, pipe://PATH" },
		{ "--sink agent --withdraw replug",
		  "--withdraw: 'replug' is not one of bounce, report" },
	};
	char line[256], said[256];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(line, sizeof(line), GOOD "%s", cases[i].line);
		(void)snprintf(said, sizeof(said), "Error: %s", cases[i].said);
		refuse_line(line, said);
	}
}

static void test_sandbox_ids(void **state)
{
	static const char *const bad[] = { "../x", ".", "..", "-x", "_x", "a/b", "a:b", "a@b" };
	char longest[TEXT_SANDBOX_ID_MAX + 2], line[256], said[256];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(line, sizeof(line), "-r rt -s %s", bad[i]);
		(void)snprintf(said, sizeof(said),
			       "Error: -s: '%s' is not a sandbox id "
			       "([A-Za-z0-9][A-Za-z0-9_.-]{0,127})",
			       bad[i]);
		refuse_line(line, said);
	}
	memset(longest, 'a', sizeof(longest));
	longest[TEXT_SANDBOX_ID_MAX] = '\0';
	(void)snprintf(line, sizeof(line), "-r rt -s %s", longest);
	assert_string_equal(accept(line).sandbox_id, longest);
	longest[TEXT_SANDBOX_ID_MAX] = 'a';
	(void)snprintf(line, sizeof(line), "-r rt -s %.*s", TEXT_SANDBOX_ID_MAX + 1, longest);
	(void)snprintf(said, sizeof(said),
		       "Error: -s: '%.64s...' is not a sandbox id "
		       "([A-Za-z0-9][A-Za-z0-9_.-]{0,127})",
		       longest);
	refuse_line(line, said);
}

static void test_hostile_bytes_are_shown_harmless(void **state)
{
	struct run r;
	char program[] = "x\x1b]0;\n", unknown[] = "-a\nb\x1b[2J", id[] = "p\n'\\\x7f\xff";
	char s[] = "-s", rt[] = "-r";
	char *bad_flag[] = { program, unknown, NULL };
	char *bad_id[] = { program, rt, rt, s, id, NULL };

	(void)state;
	run_words(&r, 2, bad_flag);
	assert_int_equal(r.exit_status, 2);
	assert_starts(r.err, "flag provided but not defined: -a\\x0ab\\x1b[2J\n"
			     "Usage of x\\x1b]0;\\x0a:\n  -agent");
	run_done(&r);
	run_words(&r, 5, bad_id);
	assert_int_equal(r.exit_status, 1);
	assert_string_equal(r.err, "Error: -s: 'p\\x0a\\'\\\\\\x7f\\xff' is not a sandbox id "
				   "([A-Za-z0-9][A-Za-z0-9_.-]{0,127})\n");
	run_done(&r);
}

static void test_limits_of_paths(void **state)
{
	char path[PATH_MAX + 1], line[PATH_MAX + 64];
	struct run r;

	(void)state;
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	(void)snprintf(line, sizeof(line), GOOD "--state-dir %.*s", PATH_MAX - 201, path);
	assert_int_equal(strlen(accept(line).state_dir), PATH_MAX - 201);
	(void)snprintf(line, sizeof(line), GOOD "--state-dir %.*s", PATH_MAX - 200, path);
	refuse(&r, line, 1);
	run_done(&r);
	(void)snprintf(line, sizeof(line), GOOD "--netns %.*s", PATH_MAX - 1, path);
	assert_int_equal(strlen(accept(line).netns), PATH_MAX - 1);
	(void)snprintf(line, sizeof(line), GOOD "--netns %.*s", PATH_MAX, path);
	refuse(&r, line, 1);
	run_done(&r);
}

static void test_limit_of_ignore(void **state)
{
	char *argv[WORDS_MAX] = { word_keep("x"), word_keep("-s=pod1"), word_keep("-r=rt") };
	char *one = word_keep("--ignore=a*");
	struct run r;

	(void)state;
	for (int i = 0; i <= OPTIONS_IGNORE_MAX; i++)
		argv[3 + i] = one;
	run_words(&r, 3 + OPTIONS_IGNORE_MAX, argv);
	assert_int_equal(r.verdict, OPTIONS_RUN);
	assert_int_equal(r.o.n_ignore, OPTIONS_IGNORE_MAX);
	assert_string_equal(r.o.ignore[OPTIONS_IGNORE_MAX - 1], "a*");
	run_done(&r);
	run_words(&r, 4 + OPTIONS_IGNORE_MAX, argv);
	assert_int_equal(r.verdict, OPTIONS_EXIT);
	assert_int_equal(r.exit_status, 1);
	assert_string_equal(r.err, "Error: --ignore: given 65 times, at most 64 are wanted\n");
	run_done(&r);
}

static void test_what_would_be_ignored(void **state)
{
	static const struct {
		const char *line;
		const char *said;
	} cases[] = {
		{ "--record-fail 3", "--record-fail means nothing with --sink cli" },
		{ "--agent auto", "--agent means nothing with --sink cli" },
		{ "--withdraw report", "--withdraw means nothing with --sink cli" },
		{ "--sink agent --settle 9", "--settle means nothing with --sink agent" },
		{ "--once --sink agent --agent auto", "--agent means nothing with --once" },
		{ "--sink record --dialect both", "--dialect means nothing with --sink record" },
		{ "--sink record --on-change ignore",
		  "--on-change means nothing with --sink record" },
		{ "--sink record --runtime-timeout 60",
		  "--runtime-timeout means nothing with --sink record" },
		{ "--sink record --settle 9", "--settle means nothing with --sink record" },
		{ "--once --settle 500", "--settle means nothing with --once" },
		{ "--once --dialect 1.12", "--dialect means nothing with --once" },
		{ "--once --on-change replug", "--on-change means nothing with --once" },
		{ "--once --vm-pid 1", "--vm-pid means nothing with --once" },
		{ "--once --runtime-timeout 1", "--runtime-timeout means nothing with --once" },
		{ "--once --sink record --record-fail 1",
		  "--record-fail means nothing with --once" },
	};
	char line[128], said[128];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)snprintf(line, sizeof(line), GOOD "%s", cases[i].line);
		(void)snprintf(said, sizeof(said), "Error: %s", cases[i].said);
		refuse_line(line, said);
	}
	assert_int_equal(accept("-s pod1 --sink record --record-fail 3").record_fail, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_as_the_runtime_starts_it),
		cmocka_unit_test(test_everything_at_once),
		cmocka_unit_test(test_spellings),
		cmocka_unit_test(test_flags_end_at_the_first_other_word),
		cmocka_unit_test(test_booleans),
		cmocka_unit_test(test_what_the_flag_package_refuses),
		cmocka_unit_test(test_list_of_flags),
		cmocka_unit_test(test_list_names_every_kind),
		cmocka_unit_test(test_help_and_version),
		cmocka_unit_test(test_the_agent_sink_needs_no_runtime),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_no_program_name),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_bad_values),
		cmocka_unit_test(test_sandbox_ids),
		cmocka_unit_test(test_hostile_bytes_are_shown_harmless),
		cmocka_unit_test(test_limits_of_paths),
		cmocka_unit_test(test_limit_of_ignore),
		cmocka_unit_test(test_what_would_be_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, words_done);
}
