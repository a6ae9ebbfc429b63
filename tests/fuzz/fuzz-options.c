/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line, from hostile words. The input is what /proc/PID/cmdline would hold: words that
 * end in NUL. Whatever they are: it ends in one of the documented ways, what it lets through is
 * within its limits, and what it prints drives no terminal.
 */
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/url.h"
#include "base/text.h"
#include "netmon/options.h"

#define WORDS_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): it must hold in any build. */
static void must(bool truth)
{
	if (!truth)
		abort();
}

static void must_be_harmless(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		must((text[i] >= ' ' && text[i] <= '~') || text[i] == '\n' || text[i] == '\t');
}

static void must_be_within_limits(const struct options *o)
{
	struct url url;

	must(text_is_sandbox_id(o->sandbox_id));
	must(o->once || strcmp(o->sink, "cli") != 0 || *o->runtime != '\0');
	must(strcmp(o->sink, "cli") == 0 || strcmp(o->sink, "record") == 0 ||
	     strcmp(o->sink, "agent") == 0);
	must(!o->agent || url_parse(o->agent, &url) == 0);
	must((unsigned)o->withdraw < _WITHDRAW_POLICY_MAX);
	must(!o->netns || (*o->netns != '\0' && strlen(o->netns) < PATH_MAX));
	must(!o->audit_file || (*o->audit_file != '\0' && strlen(o->audit_file) < PATH_MAX));
	must(*o->state_dir == '/' && strlen(o->state_dir) < PATH_MAX - 200);
	must(o->settle_msec <= OPTIONS_SETTLE_MSEC_MAX);
	must(o->runtime_timeout_sec >= 1 && o->runtime_timeout_sec <= OPTIONS_TIMEOUT_SEC_MAX);
	must(o->receive_buffer_bytes >= 4096 && o->receive_buffer_bytes <= 1U << 30);
	must(o->kinds != 0 && o->kinds < 1U << _VIEW_KIND_MAX);
	must((unsigned)o->on_change < _VIEW_ON_CHANGE_MAX && (unsigned)o->dialect < _DIALECT_MAX);
	must((unsigned)o->log_target < _LOG_TARGET_MAX);
	must(o->log_level >= LOG_CRIT && o->log_level <= LOG_DEBUG);
	must(o->n_ignore <= OPTIONS_IGNORE_MAX);
	for (size_t i = 0; i < o->n_ignore; i++)
		must(*o->ignore[i] != '\0');
}

static void parse(int argc, char *argv[])
{
	char *out_text = NULL, *err_text = NULL;
	size_t out_size = 0, err_size = 0;
	FILE *out = open_memstream(&out_text, &out_size);
	FILE *err = open_memstream(&err_text, &err_size);
	struct options o;
	int verdict, exit_status = -1;

	must(out && err);
	verdict = options_parse(argc, argv, out, err, &o, &exit_status);
	(void)fclose(out);
	(void)fclose(err);
	must_be_harmless(out_text, out_size);
	must_be_harmless(err_text, err_size);
	if (verdict == OPTIONS_RUN) {
		must(exit_status == -1 && out_size == 0 && err_size == 0);
		must_be_within_limits(&o);
	} else {
		must(verdict == OPTIONS_EXIT && exit_status >= 0 && exit_status <= 2);
		must((exit_status == 0) == (out_size > 0));
		must(exit_status == 0 || err_text[err_size - 1] == '\n');
	}
	free(out_text);
	free(err_text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *argv[WORDS_MAX + 1];
	char *words = malloc(size + 1);
	int argc = 0;

	must(words);
	memcpy(words, data, size);
	words[size] = '\0';
	for (size_t i = 0; i < size && argc < WORDS_MAX; i += strlen(words + i) + 1)
		argv[argc++] = words + i;
	argv[argc] = NULL;
	parse(argc, argv);
	free(words);
	return 0;
}
