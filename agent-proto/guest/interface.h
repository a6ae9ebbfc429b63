/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UpdateInterface and RemoveInterface.
 */
#pragma once

#include "agent-proto/agent.h"
#include "agent-proto/guest/netlink.h"
#include "agent-proto/guest/owned.h"

enum { _INTERFACE_DONE = 0, INTERFACE_ABSENT = 1 };

/**
 * interface_update() - a link as it is asked for, in place
 *
 * Never sets a link down to change an address. Of its addresses those that are not asked for and
 * are ours go, after what is new has come; another's stay, and one that is asked for and there
 * already stays another's. A name that another link has is swapped.
 *
 * All is tried; the first error is the answer.
 * Return: 0; INTERFACE_ABSENT: no link has that MAC; -EINVAL: it has no MAC; -errno.
 */
int interface_update(struct netlink *n, struct owned *o, const struct agent_interface *wanted);

/*
 * Takes back what is ours on it (addresses, neighbours, routes) and sets it down. Return: 0, also
 * when there is no such link; -errno.
 */
int interface_remove(struct netlink *n, struct owned *o, const struct agent_interface *gone);
