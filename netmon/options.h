/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: the original's, in Go's spelling, and ours in the same spelling.
 *
 * Pure but for what options_parse() is given to print to. Go's flag package: -x v, -x=v, --x v,
 * --x=v; booleans -d, -d=false; parsing stops at the first word that is no flag ("-" alone is one)
 * or after "--"; words after that are ignored; the last of a repeated flag wins (but --ignore adds
 * up). Source: Go's flag package documentation; measured messages of kata-netmon 1.13.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/log.h"
#include "netmon/dialect.h"
#include "netmon/view.h"
#include "netmon/withdraw.h"

#define OPTIONS_IGNORE_MAX	64
#define OPTIONS_STATE_DIR	"/var/run/kata-containers/netmon/sbs"
#define OPTIONS_SETTLE_MSEC_MAX 60000U
#define OPTIONS_TIMEOUT_SEC_MAX 3600U

struct options {
	const char *sandbox_id; /* -s */
	const char *runtime;	/* -r */
	/* -d: SIGUSR1 prints every entry, not the first ones of each table */
	bool debug;
	int log_level;				/* -log: syslog priority */
	const char *netns;			/* --netns PATH|PID, NULL: where we are */
	uint32_t vm_pid;			/* --vm-pid PID, 0: found by the sandbox's files */
	const char *sink;			/* --sink: a name of the table of sinks, "cli" */
	uint32_t settle_msec;			/* --settle */
	unsigned kinds;				/* --kinds: mask of (1U << enum view_kind) */
	const char *ignore[OPTIONS_IGNORE_MAX]; /* --ignore, each */
	size_t n_ignore;
	bool link_local;	       /* --link-local */
	enum view_on_change on_change; /* --on-change */
	const char *state_dir;	       /* --state-dir, absolute */
	uint32_t runtime_timeout_sec;  /* --runtime-timeout */
	const char *agent;	       /* --agent URL; NULL: auto, of the sandbox's own shim */
	enum withdraw_policy withdraw; /* --withdraw */
	bool once;		       /* --once */
	enum dialect dialect;	       /* --dialect */
	enum log_target log_target;    /* --log-target */
	const char *audit_file;	       /* --audit, NULL */
	uint32_t receive_buffer_bytes; /* --receive-buffer, 0: the default */
	uint32_t record_fail;	       /* --record-fail N: the record sink fails op N once */
};

enum options_verdict {
	OPTIONS_RUN = 0,
	OPTIONS_EXIT = 1, /* everything is printed; end with *ret_exit_status */
};

/**
 * options_parse() - argv to options
 * Strings are borrowed from @argv. Every refusal is one clear line on @err that names the argument
 * and what is wanted, followed, where the original does so, by its usage text.
 *
 * Order as the original: help, version, then the sandbox id, then the runtime, then the rest.
 * --once needs neither -r nor (for the cli sink) a runtime, but -s; -r is needed for --sink cli
 * only, and --agent has a default.
 * Return: OPTIONS_RUN; OPTIONS_EXIT with *ret_exit_status: 0 help and version, 2 what Go's flag
 * package refuses, 1 what the program refuses.
 */
int options_parse(int argc, char *const argv[], FILE *out, FILE *err, struct options *ret,
		  int *ret_exit_status);
