/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netmon-agent: sets the network of a VM as its host asks for it, and takes back what it has set.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "agent-proto/guest/calls.h"
#include "agent-proto/guest/guest-options.h"
#include "agent-proto/guest/init.h"
#include "agent-proto/guest/links.h"
#include "agent-proto/guest/serve.h"
#include "base/error.h"
#include "base/log.h"

/* What we open must not become our stderr. */
static bool hold_stdio(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		(void)close(fd);
	return fd >= 0 || errno == ENOENT; /* an initramfs may be without */
}

/* An init's loopback is down. */
static int set_loopback_up(struct netlink *n)
{
	CLEANUP(links_done) struct links links = { 0 };
	int r = links_list(n, &links);

	if (r < 0)
		return err_pass(r);
	for (size_t i = 0; i < links.n; i++)
		if (links.items[i].is_loopback)
			return err_pass(links_set_flags(n, links.items[i].index, IFF_UP, IFF_UP));
	return 0;
}

static int listen_all(struct serve *s, const struct guest_options *o)
{
	for (unsigned i = 0; i < o->n_listen; i++) {
		char url[URL_TEXT_MAX];
		int r = serve_listen(s, &o->listen[i]);

		if (r < 0)
			return err_pass(r);
		url_format(&o->listen[i], url);
		log_info("netmon-agent " NETMON_VERSION " serves %s", url);
	}
	return 0;
}

/* Return: the signal that ended it; -errno. */
static int run(const struct guest_options *o)
{
	CLEANUP(netlink_freep) struct netlink *netlink = NULL;
	CLEANUP(owned_freep) struct owned *owned = NULL;
	CLEANUP(serve_freep) struct serve *serve = NULL;
	struct calls calls = { .is_init = init_is_us() };
	struct serve_config config = {
		.calls = &calls,
		.hotplug_timeout_msec = o->hotplug_timeout_msec,
		.allow_local = o->allow_local,
	};
	int r = netlink_new(&netlink);

	if (r >= 0 && init_is_us())
		r = set_loopback_up(netlink);
	if (r >= 0)
		r = owned_new(&owned, o->state_dir, netlink_cookie(netlink));
	if (r >= 0)
		r = serve_new(&serve, &config);
	if (r >= 0)
		r = listen_all(serve, o);
	if (r < 0)
		return err_pass(r);
	calls.netlink = netlink;
	calls.owned = owned;
	return err_pass(serve_run(serve));
}

/* Return: the exit status. */
static int live(int argc, char *argv[])
{
	struct guest_options options;
	int exit_status = EXIT_FAILURE;
	int r;

	if (!hold_stdio()) {
		(void)fputs("netmon-agent: /dev/null can't be opened\n", stderr);
		return EXIT_FAILURE;
	}
	if (guest_options_parse(argc, argv, stdout, stderr, &options, &exit_status) ==
	    GUEST_OPTIONS_EXIT)
		return exit_status;
	(void)log_open("netmon-agent", LOG_TARGET_STDERR, options.is_debug ? LOG_DEBUG : LOG_INFO);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	r = run(&options);
	if (r < 0)
		log_error("%s", err_text());
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* The kernel panics when its init ends, for whatever reason: ours never does. */
int main(int argc, char *argv[])
{
	int exit_status;

	if (init_is_us())
		init_mount();
	exit_status = live(argc, argv);
	(void)fflush(stdout);
	if (init_is_us())
		init_power_off();
	return exit_status;
}
