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
 * already stays another's. IPv6 has an address once, whatever its length: ours goes before it comes
 * with the new one, and routes that have it as their preferred source have it again after; another's
 * is in the way. A name that another link has is swapped.
 *
 * All is tried; the first error is the answer. An address that can't be noted (a full disk) is not
 * added, and then none is removed.
 * Return: 0; INTERFACE_ABSENT: no link has that MAC; -EINVAL: it has no MAC; -EEXIST: another's
 * address is in the way; -errno.
 */
int interface_update(struct netlink *n, struct owned *o, const struct agent_interface *wanted);

/*
 * Takes back what is ours on it (addresses, neighbours, routes) and sets it down. Its name, its MTU
 * and IFF_NOARP stay as they are, and so does promote_secondaries where an address was removed.
 * Return: 0, also when there is no such link; -errno.
 */
int interface_remove(struct netlink *n, struct owned *o, const struct agent_interface *gone);
