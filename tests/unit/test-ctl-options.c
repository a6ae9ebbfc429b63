/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netmonctl's command line: words to a command, options anywhere, refusals in one line.
 */
#include "runtime-bridge/ctl/ctl-options.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int run_nothing(const struct ctl_options *o)
{
	(void)o;
	return 0;
}

static const struct ctl_command commands[] = {
	{ .group = "kata-network",
	  .verb = "add-iface",
	  .arguments = "ID FILE|-",
	  .help = "add",
	  .takes_file = true,
	  .options = CTL_OPTIONS_AGENT | CTL_OPTIONS_WAIT,
	  .run = run_nothing },
	{ .group = "kata-network",
	  .verb = "list-ifaces",
	  .arguments = "ID",
	  .help = "list",
	  .options = CTL_OPTIONS_AGENT,
	  .run = run_nothing },
	{ .group = "agent",
	  .verb = "ping",
	  .arguments = "URL|ID",
	  .help = "ping",
	  .target_first = true,
	  .options = CTL_OPTIONS_JSON,
	  .run = run_nothing },
	{ .group = NULL },
};

struct run {
	int verdict, status;
	struct ctl_options o;
	char *out, *err;
};

static void run_done(struct run *r)
{
	free(r->out);
	free(r->err);
}

/* @line: words with one space between them */
static void run(struct run *ret, const char *line)
{
	static char words[512]; /* the options borrow from it */
	char *argv[32], *rest = NULL;
	size_t out_size, err_size;
	int argc = 0;
	FILE *out, *err;

	*ret = (struct run){ .status = -1 };
	out = open_memstream(&ret->out, &out_size);
	err = open_memstream(&ret->err, &err_size);
	assert_true(out && err);
	(void)snprintf(words, sizeof(words), "netmonctl %s", line);
	for (char *w = strtok_r(words, " ", &rest); w; w = strtok_r(NULL, " ", &rest))
		argv[argc++] = w;
	ret->verdict = ctl_options_parse(argc, argv, commands, out, err, &ret->o, &ret->status);
	(void)fclose(out);
	(void)fclose(err);
}

static struct ctl_options accept(const char *line)
{
	CLEANUP(run_done) struct run r;

	run(&r, line);
	if (r.verdict != CTL_OPTIONS_RUN)
		fail_msg("%s: %s", line, r.err);
	assert_string_equal(r.out, "");
	assert_string_equal(r.err, "");
	return r.o;
}

static void refuse(const char *line, const char *said)
{
	CLEANUP(run_done) struct run r;

	run(&r, line);
	assert_int_equal(r.verdict, CTL_OPTIONS_EXIT);
	assert_int_equal(r.status, CTL_OPTIONS_STATUS_USAGE);
	assert_string_equal(r.out, "");
	if (strncmp(r.err, said, strlen(said)) != 0)
		fail_msg("%s: said %s", line, r.err);
	assert_ptr_equal(strchr(r.err, '\n'), r.err + strlen(r.err) - 1);
}

static void test_words(void **state)
{
	struct ctl_options o = accept("kata-network add-iface pod1 -");

	(void)state;
	assert_string_equal(o.command->verb, "add-iface");
	assert_string_equal(o.target, "pod1");
	assert_string_equal(o.file, "-");
	assert_null(o.agent);
	assert_int_equal(o.timeout_sec, 30);
	assert_int_equal(o.wait_sec, 3);
	o = accept("agent vsock://3:1024 ping");
	assert_string_equal(o.command->verb, "ping");
	assert_string_equal(o.target, "vsock://3:1024");
	assert_null(o.file);
	assert_false(o.json);
}

/* The original says what is missing only when it looks for it. */
static void test_kata_network_with_few_words(void **state)
{
	struct ctl_options o = accept("kata-network add-iface");

	(void)state;
	assert_null(o.target);
	o = accept("kata-network add-iface pod1");
	assert_string_equal(o.target, "pod1");
	assert_null(o.file);
}

static void test_options_stand_anywhere(void **state)
{
	static const char *const lines[] = {
		"--agent unix:///a --wait 0 --timeout 5 kata-network add-iface pod1 -",
		"kata-network --agent=unix:///a add-iface --wait=0 pod1 - --timeout=5",
		"kata-network add-iface pod1 - --agent /b --agent unix:///a --timeout 5 --wait 0",
		"--agent unix:///a --wait 0 --timeout 5 -- kata-network add-iface pod1 -",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct ctl_options o = accept(lines[i]);

		assert_string_equal(o.agent, "unix:///a");
		assert_int_equal(o.wait_sec, 0);
		assert_int_equal(o.timeout_sec, 5);
		assert_string_equal(o.target, "pod1");
		assert_string_equal(o.file, "-");
	}
	assert_true(accept("agent pod1 ping --json").json);
	assert_string_equal(accept("--agent /run/a kata-network list-ifaces pod1").agent, "/run/a");
	assert_null(accept("--agent /a --agent auto kata-network list-ifaces pod1").agent);
	assert_string_equal(accept("kata-network add-iface -- --agent").target, "--agent");
}

static void test_help_and_version(void **state)
{
	static const char *const helps[] = { "--help", "-h", "kata-network",
					     "kata-network nonsense",
					     "agent pod1 ping --help --version" };
	CLEANUP(run_done) struct run version;

	(void)state;
	for (size_t i = 0; i < sizeof(helps) / sizeof(helps[0]); i++) {
		CLEANUP(run_done) struct run r;

		run(&r, helps[i]);
		assert_int_equal(r.verdict, CTL_OPTIONS_EXIT);
		assert_int_equal(r.status, 0);
		assert_non_null(strstr(r.out, "  kata-network add-iface ID FILE|- "));
		assert_non_null(strstr(r.out, "\n  --timeout SEC "));
		assert_string_equal(r.err, "");
	}
	run(&version, "-v");
	assert_int_equal(version.status, 0);
	assert_string_equal(version.out, "netmonctl version " NETMON_VERSION "\n");
}

static void test_refusals(void **state)
{
	static const struct {
		const char *line, *said;
	} cases[] = {
		{ "", "netmonctl: a command is wanted after 'netmonctl'; see netmonctl --help" },
		{ "nonsense", "netmonctl: no command 'nonsense'" },
		{ "agent", "netmonctl: no command 'agent': agent URL|ID VERB is wanted" },
		{ "agent pod1", "netmonctl: no command 'pod1'" },
		{ "agent pod1 pong", "netmonctl: no command 'pong'" },
		{ "agent pod1 ping x", "netmonctl: one word too many: 'x'" },
		{ "kata-network list-ifaces pod1 x", "netmonctl: one word too many: 'x'" },
		{ "kata-network add-iface pod1 x y", "netmonctl: one word too many: 'y'" },
		{ "--nonsense", "netmonctl: no option '--nonsense'" },
		{ "-x", "netmonctl: no option '-x'" },
		{ "-hv", "netmonctl: no option '-hv'" },
		{ "--agen x", "netmonctl: no option '--agen'" },
		{ "--json=yes agent x ping", "netmonctl: no value is wanted by '--json=yes'" },
		{ "--agent", "netmonctl: a value is wanted by '--agent'" },
		{ "--agent x kata-network",
		  "netmonctl: agent 'x': an agent's URL, /PATH or auto is" },
		{ "--agent vsock://3 kata-network",
		  "netmonctl: agent 'vsock://3': an agent's URL" },
		{ "--agent= kata-network", "netmonctl: a value is wanted by '--agent='" },
		{ "--timeout 0", "netmonctl: timeout '0': seconds, 1 to 3600, are wanted" },
		{ "--timeout 3601", "netmonctl: timeout '3601': seconds, 1 to 3600, are wanted" },
		{ "--wait -1", "netmonctl: wait '-1': seconds, 0 to 3600, are wanted" },
		{ "--wait 1s", "netmonctl: wait '1s': seconds, 0 to 3600, are wanted" },
		{ "\x1b[2J", "netmonctl: no command '\\x1b[2J'" },
		{ "a-word-of-64-bytes-is-shown-as-it-is-012345678901234567890123456",
		  "netmonctl: no command "
		  "'a-word-of-64-bytes-is-shown-as-it-is-012345678901234567890123456'; see" },
		{ "of-one-with-more-the-first-64-are-shown-0123456789012345678901\x1b"
		  "9876543210",
		  "netmonctl: no command "
		  "'of-one-with-more-the-first-64-are-shown-0123456789012345678901\\x1b9...'; "
		  "see" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refuse(cases[i].line, cases[i].said);
}

static void test_options_that_would_be_ignored(void **state)
{
	(void)state;
	refuse("--wait 1 kata-network list-ifaces pod1", "netmonctl: wait 'list-ifaces': this "
							 "option means nothing with it");
	refuse("--json kata-network list-ifaces pod1", "netmonctl: json 'list-ifaces'");
	refuse("--agent unix:///x agent pod1 ping", "netmonctl: agent 'ping'");
	refuse("--ipv6 agent pod1 ping", "netmonctl: ipv6 'ping'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_kata_network_with_few_words),
		cmocka_unit_test(test_options_stand_anywhere),
		cmocka_unit_test(test_help_and_version),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_options_that_would_be_ignored),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
