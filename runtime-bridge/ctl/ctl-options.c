/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of netmonctl, see ctl-options.h.
 *
 * How it works. One table says all of each option. First the words are sorted into options, whose
 * values are read at once, and the others; then those choose a row of the table of commands; then
 * what was given is held against what the command heeds.
 */
#include "runtime-bridge/ctl/ctl-options.h"

#include "agent-proto/url.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "runtime-bridge/ctl/table.h"

#include <stdlib.h>
#include <string.h>

#define CTL_OPTIONS_PROGRAM	"netmonctl"
#define CTL_OPTIONS_WORDS_MAX	4
#define CTL_OPTIONS_TIMEOUT_SEC 30
#define CTL_OPTIONS_WAIT_SEC	3
#define CTL_OPTIONS_SHOWN_MAX	64 /* bytes shown of a bad word */

/* A number of the above in a text */
#define CTL_OPTIONS_WORD(number)  CTL_OPTIONS_QUOTE(number)
#define CTL_OPTIONS_QUOTE(number) #number

struct ctl_option {
	const char *name;
	char letter;	      /* 0: none */
	const char *argument; /* NULL: a boolean */
	const char *help;
	bool is_number;
	uint32_t min;
	size_t field;	 /* offset in struct ctl_parser */
	unsigned heeded; /* enum ctl_options_flags; 0: by every command */
};

struct ctl_parser {
	const struct ctl_command *commands;
	FILE *out;
	FILE *err;
	int argc;
	char *const *argv;
	int next;
	bool options_ended;
	bool is_help;
	bool is_version;
	unsigned given; /* mask of enum ctl_options_flags */
	const char *words[CTL_OPTIONS_WORDS_MAX];
	size_t n_words;
	struct ctl_options o;
	int exit_status;
};

#define CTL_OPTIONS_FIELD(name) .field = offsetof(struct ctl_parser, name)

/* clang-format off */
static const struct ctl_option ctl_options[] = {
	{ .name = "agent", .argument = "URL", CTL_OPTIONS_FIELD(o.agent), .heeded = CTL_OPTIONS_AGENT,
	  .help = "the sandbox's agent (default auto: found by ID)" },
	{ .name = "wait", .argument = "SEC", CTL_OPTIONS_FIELD(o.wait_sec), .heeded = CTL_OPTIONS_WAIT,
	  .is_number = true, .min = 0,
	  .help = "how long add-iface waits for the NIC, 0 to " CTL_OPTIONS_WORD(CTL_OPTIONS_SEC_MAX)
		  " (default " CTL_OPTIONS_WORD(CTL_OPTIONS_WAIT_SEC) ")" },
	{ .name = "timeout", .argument = "SEC", CTL_OPTIONS_FIELD(o.timeout_sec),
	  .is_number = true, .min = 1,
	  .help = "how long it may take in all, 1 to " CTL_OPTIONS_WORD(CTL_OPTIONS_SEC_MAX)
		  " (default " CTL_OPTIONS_WORD(CTL_OPTIONS_TIMEOUT_SEC) ")" },
	{ .name = "json", CTL_OPTIONS_FIELD(o.json), .heeded = CTL_OPTIONS_JSON,
	  .help = "print JSON instead of a table" },
	{ .name = "ipv6", CTL_OPTIONS_FIELD(o.ipv6), .heeded = CTL_OPTIONS_IPV6,
	  .help = "the IPv6 tables" },
	{ .name = "help", .letter = 'h', CTL_OPTIONS_FIELD(is_help),
	  .help = "print this, and exit" },
	{ .name = "version", .letter = 'v', CTL_OPTIONS_FIELD(is_version),
	  .help = "print the version, and exit" },
};
/* clang-format on */

#define CTL_OPTIONS_N (sizeof(ctl_options) / sizeof(ctl_options[0]))

/* ---- words for the user ---- */

static bool ctl_options_end(struct ctl_parser *p, int exit_status)
{
	p->exit_status = exit_status;
	return false;
}

/* "netmonctl: what 'word' more". What somebody typed drives no terminal. */
static bool ctl_options_usage(struct ctl_parser *p, const char *what, const char *word,
			      const char *more)
{
	CLEANUP(text_done) struct text line = TEXT_NULL;
	char shown[CTL_OPTIONS_SHOWN_MAX + 1];
	bool is_cut = (size_t)snprintf(shown, sizeof(shown), "%s", word) >= sizeof(shown);

	if (table_escape_line(&line, shown) < 0)
		err_clear();
	(void)fprintf(p->err,
		      CTL_OPTIONS_PROGRAM ": %s '%s%s'%s; see " CTL_OPTIONS_PROGRAM " --help\n",
		      what, line.data ? line.data : "", is_cut ? "..." : "", more);
	return ctl_options_end(p, CTL_OPTIONS_STATUS_USAGE);
}

static void ctl_options_print_command(FILE *to, const struct ctl_command *c)
{
	char line[80];

	(void)snprintf(line, sizeof(line), "%s %s %s", c->group,
		       c->target_first ? c->arguments : c->verb,
		       c->target_first ? c->verb : c->arguments);
	(void)fprintf(to, "  %-39s %s\n", line, c->help);
}

/* @group: NULL for all */
static void ctl_options_print_commands(const struct ctl_parser *p, const char *group)
{
	for (const struct ctl_command *c = p->commands; c->group; c++) {
		if (!group || strcmp(c->group, group) == 0)
			ctl_options_print_command(p->out, c);
	}
}

static void ctl_options_print_option(FILE *to, const struct ctl_option *option)
{
	char line[32];

	if (option->letter != '\0')
		(void)snprintf(line, sizeof(line), "-%c, --%s", option->letter, option->name);
	else
		(void)snprintf(line, sizeof(line), "--%s%s%s", option->name,
			       option->argument ? " " : "",
			       option->argument ? option->argument : "");
	(void)fprintf(to, "  %-15s %s\n", line, option->help);
}

static bool ctl_options_end_help(struct ctl_parser *p, const char *group)
{
	(void)fputs("Usage: " CTL_OPTIONS_PROGRAM " [OPTION...] COMMAND\n\n"
		    "Speaks to the agent inside the VM of a sandbox.\n\nCommands:\n",
		    p->out);
	ctl_options_print_commands(p, group);
	(void)fputs("\nOptions:\n", p->out);
	for (size_t i = 0; i < CTL_OPTIONS_N; i++)
		ctl_options_print_option(p->out, &ctl_options[i]);
	return ctl_options_end(p, EXIT_SUCCESS);
}

static bool ctl_options_end_version(struct ctl_parser *p)
{
	(void)fputs(CTL_OPTIONS_PROGRAM " version " NETMON_VERSION "\n", p->out);
	return ctl_options_end(p, EXIT_SUCCESS);
}

/* ---- options ---- */

static const struct ctl_option *ctl_options_find(const char *word, size_t size)
{
	for (size_t i = 0; i < CTL_OPTIONS_N; i++) {
		const struct ctl_option *option = &ctl_options[i];

		if (size == 2 && word[1] != '-' && word[1] == option->letter)
			return option;
		if (size > 2 && word[1] == '-' && strlen(option->name) == size - 2 &&
		    memcmp(option->name, word + 2, size - 2) == 0)
			return option;
	}
	return NULL;
}

static void *ctl_options_field(struct ctl_parser *p, const struct ctl_option *option)
{
	return (char *)p + option->field;
}

/* "auto" as in kata-netmon: found by the id. */
static bool ctl_options_read_url(struct ctl_parser *p, const struct ctl_option *option,
				 const char *value)
{
	bool is_auto = strcmp(value, "auto") == 0;
	struct url url;

	if (!is_auto && url_parse(value, &url) < 0) {
		err_clear();
		return ctl_options_usage(p, option->name, value,
					 ": an agent's URL, /PATH or auto is wanted");
	}
	*(const char **)ctl_options_field(p, option) = is_auto ? NULL : value;
	return true;
}

static bool ctl_options_read_value(struct ctl_parser *p, const struct ctl_option *option,
				   const char *value)
{
	char wanted[48];
	uint32_t number;

	if (!option->is_number)
		return ctl_options_read_url(p, option, value);
	if (text_parse_u32(value, CTL_OPTIONS_SEC_MAX, &number) < 0 || number < option->min) {
		err_clear();
		(void)snprintf(wanted, sizeof(wanted), ": seconds, %u to %u, are wanted",
			       option->min, CTL_OPTIONS_SEC_MAX);
		return ctl_options_usage(p, option->name, value, wanted);
	}
	*(uint32_t *)ctl_options_field(p, option) = number;
	return true;
}

static bool ctl_options_take_option(struct ctl_parser *p, const char *word)
{
	size_t size = strcspn(word, "=");
	const char *value = word[size] == '=' ? word + size + 1 : NULL;
	const struct ctl_option *option = ctl_options_find(word, size);

	if (!option)
		return ctl_options_usage(p, "no option", word, "");
	p->given |= option->heeded;
	if (!option->argument) {
		if (value)
			return ctl_options_usage(p, "no value is wanted by", word, "");
		*(bool *)ctl_options_field(p, option) = true;
		return true;
	}
	if (!value && p->next < p->argc)
		value = p->argv[p->next++];
	if (!value || *value == '\0')
		return ctl_options_usage(p, "a value is wanted by", word, "");
	return ctl_options_read_value(p, option, value);
}

static bool ctl_options_take_word(struct ctl_parser *p, const char *word)
{
	if (!p->options_ended && word[0] == '-' && word[1] != '\0') {
		p->options_ended = strcmp(word, "--") == 0;
		return p->options_ended || ctl_options_take_option(p, word);
	}
	if (p->n_words == CTL_OPTIONS_WORDS_MAX)
		return ctl_options_usage(p, "one word too many:", word, "");
	p->words[p->n_words++] = word;
	return true;
}

static bool ctl_options_take_words(struct ctl_parser *p)
{
	while (p->next < p->argc) {
		const char *word = p->argv[p->next++];

		if (!ctl_options_take_word(p, word))
			return false;
	}
	return true;
}

/* ---- words to a command ---- */

static const struct ctl_command *ctl_options_group(const struct ctl_parser *p)
{
	for (const struct ctl_command *c = p->commands; c->group; c++) {
		if (strcmp(c->group, p->words[0]) == 0)
			return c;
	}
	return NULL;
}

static const struct ctl_command *ctl_options_command(const struct ctl_parser *p,
						     const struct ctl_command *group)
{
	size_t at = group->target_first ? 2 : 1;

	for (const struct ctl_command *c = group; at < p->n_words && c->group; c++) {
		if (strcmp(c->group, group->group) == 0 && strcmp(c->verb, p->words[at]) == 0)
			return c;
	}
	return NULL;
}

static bool ctl_options_choose(struct ctl_parser *p)
{
	const struct ctl_command *group, *command;

	if (p->n_words == 0)
		return ctl_options_usage(p, "a command is wanted after", CTL_OPTIONS_PROGRAM, "");
	group = ctl_options_group(p);
	if (!group)
		return ctl_options_usage(p, "no command", p->words[0], "");
	command = ctl_options_command(p, group);
	if (!command && !group->target_first)
		return ctl_options_end_help(p, group->group);
	if (!command)
		return ctl_options_usage(p, "no command", p->words[p->n_words - 1],
					 ": agent URL|ID VERB is wanted");
	p->o.command = command;
	p->o.target = p->words[command->target_first ? 1 : 2];
	if (p->n_words == CTL_OPTIONS_WORDS_MAX && !command->takes_file)
		return ctl_options_usage(p, "one word too many:", p->words[3], "");
	p->o.file = p->words[3];
	return true;
}

/* An option that would be ignored is a mistake of whoever wrote it. */
static bool ctl_options_check_pointless(struct ctl_parser *p)
{
	unsigned pointless = p->given & ~p->o.command->options;

	for (size_t i = 0; i < CTL_OPTIONS_N; i++) {
		if ((ctl_options[i].heeded & pointless) != 0)
			return ctl_options_usage(p, ctl_options[i].name, p->o.command->verb,
						 ": this option means nothing with it");
	}
	return true;
}

static bool ctl_options_run(struct ctl_parser *p)
{
	if (!ctl_options_take_words(p))
		return false;
	if (p->is_help)
		return ctl_options_end_help(p, NULL);
	if (p->is_version)
		return ctl_options_end_version(p);
	return ctl_options_choose(p) && ctl_options_check_pointless(p);
}

int ctl_options_parse(int argc, char *const argv[], const struct ctl_command *commands, FILE *out,
		      FILE *err, struct ctl_options *ret, int *ret_exit_status)
{
	struct ctl_parser p = {
		.commands = commands,
		.out = out,
		.err = err,
		.argc = argc,
		.argv = argv,
		.next = 1,
		.o = { .timeout_sec = CTL_OPTIONS_TIMEOUT_SEC, .wait_sec = CTL_OPTIONS_WAIT_SEC },
	};

	if (!ctl_options_run(&p)) {
		*ret_exit_status = p.exit_status;
		return CTL_OPTIONS_EXIT;
	}
	*ret = p.o;
	return CTL_OPTIONS_RUN;
}
