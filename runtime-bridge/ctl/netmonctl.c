/* SPDX-License-Identifier: Apache-2.0 */
/*
 * netmonctl: the agent of a sandbox, from the command line.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "runtime-bridge/ctl/agent-command.h"
#include "runtime-bridge/ctl/ctl-options.h"
#include "runtime-bridge/ctl/kata-network.h"
#include "runtime-bridge/ctl/say.h"

/* The commands: one row each. */

/* clang-format off */
static const struct ctl_command commands[] = {
	{ .group = "kata-network", .verb = "add-iface", .arguments = "ID FILE|-", .takes_file = true,
	  .options = CTL_OPTIONS_AGENT | CTL_OPTIONS_WAIT, .run = kata_network_add,
	  .help = "configure a NIC of the guest" },
	{ .group = "kata-network", .verb = "del-iface", .arguments = "ID FILE|-", .takes_file = true,
	  .options = CTL_OPTIONS_AGENT, .run = kata_network_del,
	  .help = "take it back" },
	{ .group = "kata-network", .verb = "update-routes", .arguments = "ID FILE|-", .takes_file = true,
	  .options = CTL_OPTIONS_AGENT, .run = kata_network_update_routes,
	  .help = "these are the routes" },
	{ .group = "kata-network", .verb = "list-ifaces", .arguments = "ID",
	  .options = CTL_OPTIONS_AGENT, .run = kata_network_list_ifaces,
	  .help = "print the guest's interfaces" },
	{ .group = "kata-network", .verb = "list-routes", .arguments = "ID",
	  .options = CTL_OPTIONS_AGENT, .run = kata_network_list_routes,
	  .help = "print the guest's routes" },
	{ .group = "agent", .verb = "ping", .arguments = "URL|ID", .target_first = true,
	  .options = CTL_OPTIONS_JSON, .run = agent_command_ping,
	  .help = "does it serve, and how fast" },
	{ .group = "agent", .verb = "version", .arguments = "URL|ID", .target_first = true,
	  .options = CTL_OPTIONS_JSON, .run = agent_command_version,
	  .help = "print its version" },
	{ .group = "agent", .verb = "details", .arguments = "URL|ID", .target_first = true,
	  .options = CTL_OPTIONS_JSON, .run = agent_command_details,
	  .help = "what it is and can" },
	{ .group = "agent", .verb = "interfaces", .arguments = "URL|ID", .target_first = true,
	  .options = CTL_OPTIONS_JSON, .run = agent_command_interfaces,
	  .help = "the guest's interfaces" },
	{ .group = "agent", .verb = "routes", .arguments = "URL|ID", .target_first = true,
	  .options = CTL_OPTIONS_JSON, .run = agent_command_routes,
	  .help = "the guest's routes" },
	{ .group = "agent", .verb = "neighbours", .arguments = "URL|ID", .target_first = true,
	  .options = CTL_OPTIONS_JSON, .run = agent_command_neighbours,
	  .help = "neighbours that the agent was told" },
	{ .group = "agent", .verb = "iptables", .arguments = "URL|ID", .target_first = true,
	  .options = CTL_OPTIONS_JSON | CTL_OPTIONS_IPV6, .run = agent_command_iptables,
	  .help = "the guest's packet filter" },
	{ .group = NULL },
};
/* clang-format on */

/*
 * A caller may have closed them; a socket to an agent must not become our stdout. What stands in
 * takes no byte, so that a result that nobody can have is an error as with every other bad stdout.
 */
static bool hold_stdio(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		int flags = fd == STDOUT_FILENO ? O_RDONLY : O_WRONLY;

		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", flags) != fd)
			return false;
	}
	return true;
}

int main(int argc, char *argv[])
{
	struct ctl_options options;
	int status = EXIT_FAILURE;

	if (!hold_stdio())
		return EXIT_FAILURE;
	(void)signal(SIGPIPE, SIG_IGN); /* a reader that is gone is an error of the write */
	if (ctl_options_parse(argc, argv, commands, stdout, stderr, &options, &status) ==
	    CTL_OPTIONS_EXIT)
		status = fflush(stdout) == 0 ? status : err_raise(-errno, "write stdout");
	else
		status = options.command->run(&options);
	if (status >= 0)
		return status;
	say_line("netmonctl: %s", err_sentence());
	return EXIT_FAILURE;
}
