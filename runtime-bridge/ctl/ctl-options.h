/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of netmonctl: words that choose a command, and options anywhere among them.
 *
 *     netmonctl [OPTION...] kata-network VERB ID [FILE|-]     as kata-runtime of Kata 1.x
 *     netmonctl [OPTION...] agent URL|ID VERB
 *
 * Pure but for what ctl_options_parse() is given to print to. --x VALUE and --x=VALUE are the same;
 * "--" ends the options; of a repeated one the last counts. An option that would have no effect
 * with the command is refused.
 * Source of what kata-network does with few words: kata-containers/runtime cli/network.go.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CTL_OPTIONS_SEC_MAX 3600

/* Which options a command heeds. --timeout is every command's. */
enum ctl_options_flags {
	CTL_OPTIONS_AGENT = 1U << 0,
	CTL_OPTIONS_WAIT = 1U << 1,
	CTL_OPTIONS_JSON = 1U << 2,
	CTL_OPTIONS_IPV6 = 1U << 3,
};

struct ctl_options {
	const struct ctl_command *command;
	const char *target;   /* the id, or URL|ID; NULL: not given */
	const char *file;     /* FILE, "-" is stdin; NULL: not given */
	const char *agent;    /* --agent URL, checked; NULL: found by the id */
	uint32_t timeout_sec; /* --timeout */
	uint32_t wait_sec;    /* --wait */
	bool json;	      /* --json */
	bool ipv6;	      /* --ipv6 */
};

/* One row of the program's table of commands. */
struct ctl_command {
	const char *group;     /* first word */
	const char *verb;      /* kata-network: second word; agent: third */
	const char *arguments; /* for the help: what else it takes */
	const char *help;
	bool target_first; /* the target stands before the verb */
	bool takes_file;
	unsigned options; /* mask of enum ctl_options_flags */
	/* Return: the exit status; negative: an error of ours, in err_text() */
	int (*run)(const struct ctl_options *o);
};

enum { CTL_OPTIONS_RUN = 0, CTL_OPTIONS_EXIT = 1 };

#define CTL_OPTIONS_STATUS_USAGE 2

/**
 * ctl_options_parse() - argv to a command and its options
 * @commands: ends with a row without group
 * Strings are borrowed from @argv. Every refusal is one line on @err that says what is wanted.
 *
 * kata-network without a verb, or with an unknown one, is a question for help, as in the original.
 * Return: CTL_OPTIONS_RUN; CTL_OPTIONS_EXIT with *ret_exit_status: 0 help and version,
 * CTL_OPTIONS_STATUS_USAGE.
 */
int ctl_options_parse(int argc, char *const argv[], const struct ctl_command *commands, FILE *out,
		      FILE *err, struct ctl_options *ret, int *ret_exit_status);
