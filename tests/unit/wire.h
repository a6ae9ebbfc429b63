/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of what talks over sockets: a directory for them, an event loop that runs until
 * something is so, peers that are written by hand, and frames as bytes.
 *
 * All fds of a peer are the test's own and non-blocking; while one waits, the loop of the tested
 * side runs. Everything has a deadline, and missing it fails the test.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "base/clock.h"

#define WIRE_DEADLINE_USEC (30 * CLOCK_USEC_PER_SEC)
#define WIRE_PEERS_MAX	   128

struct wire {
	char dir[64];
	sd_event *event;
	int fds[WIRE_PEERS_MAX]; /* closed by wire_done() */
	size_t n_fds;
};

int wire_init(struct wire *w, const char *name); /* Return: 0, -1: for a cmocka setup */
int wire_done(struct wire *w);

/* Runs the loop until @condition. */
#define WIRE_UNTIL(w, condition)                                                     \
	for (uint64_t until_ = clock_now_usec() + WIRE_DEADLINE_USEC; !(condition);) \
	wire_turn((w), until_, #condition)
void wire_turn(struct wire *w, uint64_t until_usec, const char *condition);
/* Runs it for this long, whatever happens. */
void wire_run(struct wire *w, uint64_t usec);
/* When all that is pending is done nothing comes within @usec: no source of the loop is dispatched. */
void wire_assert_quiet(struct wire *w, uint64_t usec);
/* No timer of the process is armed: idle has no wake-ups, however late. */
void wire_assert_no_timer(struct wire *w);

void wire_path(const struct wire *w, const char *name, char ret[static 256]);

int wire_listen(struct wire *w, const char *name);
int wire_accept(struct wire *w, int listener);
int wire_connect(struct wire *w, const char *name);
void wire_close(struct wire *w, int fd);
/* It stays the caller's to close through wire_close(), or wire_done() does. */
int wire_own(struct wire *w, int fd);

void wire_write(struct wire *w, int fd, const void *data, size_t size);
void wire_read(struct wire *w, int fd, void *ret, size_t size); /* exactly so many */
void wire_assert_end(struct wire *w, int fd);			/* end of file, or reset */
bool wire_has_input(int fd);

/* The lowest limit that leaves no fd to be made; undone by wire_allow_fds(), also in wire_done(). */
void wire_forbid_fds(void);
void wire_allow_fds(void);
size_t wire_count_fds(void);

/* ---- frames: 10 bytes of header, small bodies ---- */

#define WIRE_FRAME_MAX 160

/* An answer that is ok, as a Rust server writes it; @payload below 100 bytes. Return: its size. */
size_t wire_response(uint8_t ret[static WIRE_FRAME_MAX], uint32_t stream, const char *payload);
/* Service "s", method @method, without deadline. */
size_t wire_request(uint8_t ret[static WIRE_FRAME_MAX], uint32_t stream, const char *method,
		    const char *payload);
/* Reads one whole frame and drops its body. Return: its stream. */
uint32_t wire_read_frame(struct wire *w, int fd);
