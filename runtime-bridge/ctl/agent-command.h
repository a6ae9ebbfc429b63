/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `agent URL|ID VERB`: what an agent is and what its guest has; tables for people, --json for
 * programs. Nothing is changed by any of these.
 *
 * Exit status: the conditions of call.h, and 2 for a URL that is none. stdout is empty unless it is
 * 0 (ping: also when the agent says that it does not serve, which is 1).
 *
 * A list that Kata's agents print is as true as they are: for a route with a gateway they give no
 * destination (Kata 2 to 4 put 0.0.0.0 or ::1 in its place); it is shown as "?", null in JSON.
 * Source: kata-containers src/agent/src/netlink.rs, list_routes().
 */
#pragma once

struct ctl_options;

/* Return: the exit status; negative: an error of ours. */
int agent_command_ping(const struct ctl_options *o);
int agent_command_version(const struct ctl_options *o);
int agent_command_details(const struct ctl_options *o);
int agent_command_interfaces(const struct ctl_options *o);
int agent_command_routes(const struct ctl_options *o);
int agent_command_neighbours(const struct ctl_options *o);
int agent_command_iptables(const struct ctl_options *o);
