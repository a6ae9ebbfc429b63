/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `kata-network`: the network commands of kata-runtime of Kata 1.x, for a sandbox of Kata 2 to 4 or
 * with our agent. So `kata-netmon -r netmonctl` tells the agent of what happens to a pod.
 *
 * What 1.x's agents did and later ones do not is said on stderr, and the exit status is 0 all the
 * same: nothing would be gained by asking again. See the table in netmonctl(8).
 *
 * stdout, stderr and exit status are the original's: 0, or 1 with one line that says why; stdout
 * has the result, null when there is none.
 * Source: kata-containers/runtime cli/network.go, virtcontainers/kata_agent.go.
 */
#pragma once

struct ctl_options;

/* Return: the exit status; negative: an error of ours. */
int kata_network_add(const struct ctl_options *o);
int kata_network_del(const struct ctl_options *o);
int kata_network_update_routes(const struct ctl_options *o);
int kata_network_list_ifaces(const struct ctl_options *o);
int kata_network_list_routes(const struct ctl_options *o);
