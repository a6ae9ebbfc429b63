/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a sandbox's agent listens: asked of its shim, or read from the state on disk.
 *
 * In this order: GET /agent-url over /run/vc/sbs/ID/shim-monitor.sock (Go shim), the same over
 * /run/kata/ID/shim-monitor.sock (runtime-rs), AgentState.URL in /run/vc/sbs/ID/persist.json.
 * Answers are bounded and checked as url.h does; a shim that says nothing, too much or nonsense is
 * passed over. Asynchronous, under one deadline.
 *
 * Source: kata-containers src/runtime/pkg/containerd-shim-v2/shim_management.go, src/runtime-rs/
 * crates/runtimes/src/shim_mgmt; virtcontainers/persist/api/.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "agent-proto/url.h"
#include "base/cleanup.h"

#define LOCATE_USEC	    (5 * UINT64_C(1000000))
#define LOCATE_RESPONSE_MAX 8192U	   /* bytes of a shim's whole HTTP answer */
#define LOCATE_STATE_MAX    (1024U * 1024) /* bytes of persist.json */

struct locate;

struct locate_config {
	const char *sandbox_id; /* checked with text_is_sandbox_id() */
	const char *root;	/* put before the paths above; NULL or "": none (tests) */
	uint64_t timeout_usec;	/* 0: LOCATE_USEC */
	/*
	 * Once, from the event loop. @url NULL: not found; @why says what was tried, for people. The
	 * locate may be freed inside.
	 */
	void (*done)(void *userdata, const struct url *url, const char *why);
	void *userdata;
};

int locate_new(struct locate **ret, sd_event *event, const struct locate_config *config);
struct locate *locate_free(struct locate *l); /* done() does not follow; returns NULL */
DEFINE_CLEANUP(struct locate, locate_free)

/*
 * The body of one HTTP/1.x answer, by Content-Length, chunked, or to the end of @data when the
 * connection has ended. Pure, for the fuzzer. @ret: in @data (chunked bodies are joined in place).
 * Return: 0; 1: more is needed; -EBADMSG, -EMSGSIZE
 */
enum { _LOCATE_WHOLE = 0, LOCATE_MORE = 1 };
int locate_parse_http(char *data, size_t size, bool has_ended, int *ret_status, char **ret_body,
		      size_t *ret_size);

/*
 * AgentState.URL of a persist.json. @json: NUL-terminated after @size bytes. Pure, for the fuzzer.
 * Return: 0; -EBADMSG: there is none; -EINVAL: it is no URL.
 */
int locate_parse_state(const char *json, size_t size, struct url *ret);
