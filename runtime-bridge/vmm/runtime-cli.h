/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtime's command line: RUNTIME kata-network VERB SANDBOX [FILE], one call at a time.
 *
 * A call never blocks: the child is followed by pidfd, has a deadline, and what it prints is read
 * as it comes, bounded and thrown away beyond. A child over its deadline is killed with its process
 * group.
 * Source: kata-containers/runtime cli/network.go; virtcontainers calls netmon with -r BIN -s ID.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"

#define RUNTIME_CLI_STDERR_MAX \
	4096U /* bytes of stderr kept: the first ones, where the reason stands */
#define RUNTIME_CLI_STDOUT_MAX \
	(1024U * 1024)		   /* bytes of list-ifaces' answer; a longer one is no answer */
#define RUNTIME_CLI_TIMEOUT_SEC 60 /* default deadline: the runtime waits for its sandbox lock */

enum runtime_cli_verb {
	RUNTIME_CLI_ADD_IFACE,
	RUNTIME_CLI_DEL_IFACE,
	RUNTIME_CLI_UPDATE_ROUTES,
	RUNTIME_CLI_LIST_IFACES, /* no FILE; its stdout is kept */
	_RUNTIME_CLI_VERB_MAX,
};

/* How a call ended. All borrowed for the duration of the callback. */
struct runtime_cli_result {
	/* 0-255 exit status; -SIGNAL killed by a signal; RUNTIME_CLI_TIMED_OUT */
	int status;
	/* NUL-terminated, hostile bytes; "" when silent. Trailing white space removed */
	const char *stderr_text;
	size_t stderr_dropped;	 /* bytes beyond RUNTIME_CLI_STDERR_MAX */
	const char *stdout_text; /* list-ifaces only, otherwise ""; NUL-terminated */
	size_t stdout_bytes;
	uint64_t duration_usec;
};

#define RUNTIME_CLI_TIMED_OUT (-1000)

struct runtime_cli_config {
	const char *runtime; /* as given: PATH is searched when it has no '/' */
	const char *sandbox_id;
	uint64_t timeout_usec; /* 0: RUNTIME_CLI_TIMEOUT_SEC */
};

struct runtime_cli_call {
	enum runtime_cli_verb verb;
	const char *file;	       /* NULL for list-ifaces */
	int (*before_exec)(void *arg); /* see base/spawn.h; may be NULL */
	void *before_exec_arg;
	void (*done)(void *userdata, const struct runtime_cli_result *result);
	void *userdata;
};

struct runtime_cli;

int runtime_cli_new(struct runtime_cli **ret, sd_event *event,
		    const struct runtime_cli_config *config);
/* Kills what runs (its whole group) and frees. Returns NULL. */
struct runtime_cli *runtime_cli_free(struct runtime_cli *r);
DEFINE_CLEANUP(struct runtime_cli, runtime_cli_free)

/**
 * runtime_cli_start() - begin a call; done is called once, later, from the loop
 * Return: 0; -EBUSY while another runs; -ENOENT, -EACCES ... (no such runtime); -EMFILE, -ENOMEM:
 * done is not called.
 */
int runtime_cli_start(struct runtime_cli *r, const struct runtime_cli_call *call);

/*
 * Forgets a running call without killing it: it goes on as an orphan, for a successor to wait for.
 */
void runtime_cli_abandon(struct runtime_cli *r);

enum { RUNTIME_CLI_LISTS_IT = 1, RUNTIME_CLI_LISTS_OTHER = 2 };

/* An interface to look for in an answer of list-ifaces; all borrowed. */
struct runtime_cli_interface {
	const char *mac;
	const char *const *ips; /* addresses without prefix, as inet_ntop() writes them */
	size_t n_ips;
};

/**
 * runtime_cli_lists() - does an answer of list-ifaces name this interface, with just these
 * addresses?
 * @json: hostile; parsed by json-c with its depth bounded. Keys are matched without case (HwAddr,
 *        hwAddr)
 *
 * IPv6 link-local addresses are the guest's own and do not count.
 * Return: RUNTIME_CLI_LISTS_IT; RUNTIME_CLI_LISTS_OTHER: its MAC with other addresses (or none:
 * plugged by a call that did not come to its end); 0 no; -EBADMSG not a list of interfaces.
 */
int runtime_cli_lists(const char *json, size_t bytes, const struct runtime_cli_interface *wanted);
