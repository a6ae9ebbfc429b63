/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kata-netmon: whatever happens to the network of a pod's namespace happens to the VM inside it.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "netmon/monitor.h"
#include "netmon/once.h"
#include "netmon/options.h"
#include "netmon/sink-agent.h"
#include "netmon/sink-cli.h"
#include "netmon/sink-record.h"

/* ---- sinks: one row each ---- */

static int make_cli(struct sink **ret, sd_event *event, const struct options *o, int dirfd,
		    const char *dir_path)
{
	struct sink_cli_config config = {
		.runtime = o->runtime,
		.sandbox_id = o->sandbox_id,
		.timeout_usec = o->runtime_timeout_sec * CLOCK_USEC_PER_SEC,
		.dialect = o->dialect,
		.dirfd = dirfd,
		.dir_path = dir_path,
	};

	return sink_cli_new(ret, event, &config);
}

static int make_agent(struct sink **ret, sd_event *event, const struct options *o, int dirfd,
		      const char *dir_path)
{
	struct sink_agent_config config = {
		.url = o->agent,
		.sandbox_id = o->sandbox_id,
		.timeout_usec = o->runtime_timeout_sec * CLOCK_USEC_PER_SEC,
	};

	(void)dirfd, (void)dir_path;
	return sink_agent_new(ret, event, &config);
}

static int make_record(struct sink **ret, sd_event *event, const struct options *o, int dirfd,
		       const char *dir_path)
{
	struct sink_record_config config = {
		.fd = STDOUT_FILENO,
		.sandbox_id = o->sandbox_id,
		.fail_op = o->record_fail,
	};

	(void)dirfd, (void)dir_path;
	return sink_record_new(ret, event, &config);
}

static const struct monitor_sink sinks[] = {
	{ &sink_cli_ops, make_cli },
	{ &sink_agent_ops, make_agent },
	{ &sink_record_ops, make_record },
};

/* options.c accepts no other name. */
static const struct monitor_sink *find_sink(const char *name)
{
	for (size_t i = 0; i < sizeof(sinks) / sizeof(sinks[0]); i++)
		if (strcmp(sinks[i].ops->name, name) == 0)
			return &sinks[i];
	return NULL;
}

/* ---- life ---- */

/*
 * A caller may have closed them; what we open must not become our stdout. The lowest free number is
 * taken.
 */
static int hold_stdio(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

/*
 * Nobody may look into us (CVE-2019-5736 is what this is against); a vanished reader or terminal is
 * no end; the signals that mean something are taken by the loop.
 */
static int harden(void)
{
	sigset_t set;

	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN); /* a file size limit is a full disk, not a death */
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGUSR1);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_raise(-errno, "block signals");
	/*
	 * Large tables are mapped and given back, always: glibc would raise the threshold after the
	 * first one.
	 */
	(void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	(void)mallopt(M_TRIM_THRESHOLD, 128 * 1024);
	return 0;
}

static int run(const struct options *options, const struct monitor_sink *sink)
{
	CLEANUP(sd_event_unrefp) sd_event *event = NULL;
	CLEANUP(monitor_freep) struct monitor *monitor = NULL;
	int r = sd_event_new(&event);

	if (r < 0)
		return err_raise(r, "make the event loop");
	r = monitor_new(&monitor, event, options, sink);
	if (r < 0)
		return err_pass(r);
	r = sd_event_loop(event);
	return r < 0 ? err_raise(r, "run the event loop") : 0;
}

/* Said to both: the log for the operator, stderr for whoever started us by hand. */
static int fail(const char *what)
{
	log_error("%s: %s", what, err_text());
	(void)fprintf(stderr, "kata-netmon: %s: %s\n", what, err_text());
	log_close();
	return EXIT_FAILURE;
}

int main(int argc, char *argv[])
{
	struct options options;
	const struct monitor_sink *sink;
	int exit_status = EXIT_FAILURE;
	int r;

	if (hold_stdio() < 0)
		return EXIT_FAILURE;
	r = options_parse(argc, argv, stdout, stderr, &options, &exit_status);
	if (r == OPTIONS_EXIT)
		return exit_status;
	sink = find_sink(options.sink);
	if (log_open("kata-netmon", options.log_target, options.log_level) < 0 ||
	    log_set_common("sandbox", options.sandbox_id) < 0)
		return fail("can't log");
	if (harden() < 0)
		return fail("can't start");
	if (options.once) {
		r = once_run(&options, &sink->ops->caps, STDOUT_FILENO);
		return r < 0 ? fail("can't look") : EXIT_SUCCESS;
	}
	r = run(&options, sink);
	if (r < 0)
		return fail("can't watch the sandbox");
	log_close();
	return EXIT_SUCCESS;
}
