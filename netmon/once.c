/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --once: one look at a namespace as one JSON document. No loop, no lock, no state, no sink.
 */
#include "netmon/once.h"

#include <errno.h>
#include <poll.h>

#include "base/error.h"
#include "netmon/kernel.h"
#include "netmon/netns.h"
#include "netmon/observe.h"
#include "netmon/report.h"

static bool is_clean(const struct observe *o)
{
	return observe_is_complete(o) && observe_is_settled(o, MODEL_LINK) &&
	       observe_is_settled(o, MODEL_ADDR) && observe_is_settled(o, MODEL_ROUTE);
}

/* Repeats the look until it is clean; waits where observe.c says so. */
static int look(struct kernel *k, struct observe *o)
{
	uint64_t start_usec = clock_now_usec();
	struct pollfd fds[] = {
		{ .fd = kernel_event_fd(k), .events = POLLIN },
		{ .fd = kernel_neigh_fd(k), .events = POLLIN },
	};

	for (;;) {
		uint64_t now_usec = clock_now_usec();
		int r = observe_step(o, now_usec);

		if (r < 0)
			return err_pass(r);
		if (is_clean(o))
			return 0;
		if (now_usec - start_usec > ONCE_TIMEOUT_USEC)
			return observe_is_complete(o) ? 0
						      : err_raise(-ETIMEDOUT, "read the network");
		if (r == 0)
			(void)poll(fds, 2, (int)(OBSERVE_PAUSE_MAX_USEC / CLOCK_USEC_PER_MSEC));
	}
}

static int print(const struct options *options, const struct sink_caps *caps,
		 const struct snapshot *seen, int fd)
{
	CLEANUP(snapshot_done) struct snapshot wanted = SNAPSHOT_NULL;
	CLEANUP(snapshot_done) struct snapshot nothing = SNAPSHOT_NULL;
	CLEANUP(view_notes_done) struct view_notes notes = { 0 };
	struct refused refused = { 0 };
	struct view_config config = {
		.kinds = options->kinds,
		.ignore = options->ignore,
		.n_ignore = options->n_ignore,
		.link_local = options->link_local,
		.on_change = options->on_change,
		.caps = *caps,
	};
	struct view_input in = {
		.seen = seen,
		.acked = &nothing,
		.previous = &nothing,
		.refused = &refused,
	};
	int r = snapshot_init(&nothing);

	if (r >= 0)
		r = view_build(&config, &in, &wanted, &notes);
	if (r < 0)
		return err_pass(r);
	return err_pass(report_once(fd, options->sandbox_id, &wanted, &notes));
}

int once_run(const struct options *options, const struct sink_caps *caps, int fd)
{
	CLEANUP(cleanup_close) int netns_fd = -1;
	CLEANUP(kernel_freep) struct kernel *k = NULL;
	CLEANUP(observe_done) struct observe o = { 0 };
	struct kernel_config config = { .event_buffer_bytes = options->receive_buffer_bytes };
	pid_t pid;
	int r = options->netns ? netns_open(options->netns, &netns_fd, &pid) : 0;

	config.netns_fd = netns_fd;
	if (r >= 0)
		r = kernel_new(&k, &config);
	if (r >= 0)
		r = observe_init(&o, &kernel_source_ops, k, clock_now_usec());
	if (r >= 0)
		r = look(k, &o);
	if (r < 0)
		return err_pass(r);
	return err_pass(print(options, caps, &o.seen, fd));
}
