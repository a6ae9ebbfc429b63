/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only door to setns(2).
 */
#pragma once

#include <sys/types.h>

/**
 * netns_open() - a namespace by path or by pid
 * @spec: "/run/netns/x", any path of an nsfs file; or a decimal pid, meaning /proc/PID/ns/net
 * @ret_fd: close-on-exec, caller closes. @ret_pid: the pid, 0 for a path
 *
 * What is opened is checked to be a network namespace (NS_GET_NSTYPE), so that a wrong path is a
 * clear error.
 * Return: 0; -ENOENT, -EINVAL (not a network namespace), -EACCES, -ESRCH.
 */
int netns_open(const char *spec, int *ret_fd, pid_t *ret_pid);

/**
 * netns_run() - call @fn inside @netns_fd, then come back
 * Only @fn's sockets are made there; the process never moves. Failing to come back is fatal
 * (abort): a monitor in the wrong namespace would act on somebody else's links.
 * Return: what @fn returned; -errno when the namespace could not be entered.
 */
int netns_run(int netns_fd, int (*fn)(void *arg), void *arg);
