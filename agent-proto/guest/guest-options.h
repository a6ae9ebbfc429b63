/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of netmon-agent.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "agent-proto/url.h"

#define GUEST_OPTIONS_LISTEN_MAX     8U
#define GUEST_OPTIONS_LISTEN	     "vsock://-1:1024"
#define GUEST_OPTIONS_STATE_DIR	     "/run/netmon-agent"
#define GUEST_OPTIONS_HOTPLUG_MSEC   3000U /* as agent.hotplug_timeout of Kata */
#define GUEST_OPTIONS_HOTPLUG_MAX    60000U
#define GUEST_OPTIONS_STATUS_REFUSED 2

struct guest_options {
	struct url listen[GUEST_OPTIONS_LISTEN_MAX];
	unsigned n_listen;
	const char *state_dir;
	uint32_t hotplug_timeout_msec;
	bool allow_local;
	bool is_debug;
};

enum { _GUEST_OPTIONS_RUN = 0, GUEST_OPTIONS_EXIT = 1 };

/*
 * As process 1 words and options that are not ours are said on @err and ignored; a value of ours that
 * is wrong is refused there too.
 * Return: 0: *ret; GUEST_OPTIONS_EXIT: all was said, on @out or @err, and *ret_exit_status.
 */
int guest_options_parse(int argc, char *const argv[], FILE *out, FILE *err,
			struct guest_options *ret, int *ret_exit_status);
