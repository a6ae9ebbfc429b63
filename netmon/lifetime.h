/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When does a sandbox end?
 *
 * A netlink socket pins its namespace, so the end of the namespace is never seen from inside. It is
 * seen from what owns the sandbox:
 *   --netns PATH   the name is gone from its directory, or means another namespace (inotify on the parent)
 *   --netns PID    that process ended (pidfd)
 *   --vm-pid PID   that process ended (pidfd)
 *   a Kata sandbox its directory under /run/vc/sbs or /run/kata goes (inotify on the parents), or
 *   its VMM ends: the pid in
 *                  persist.json (HypervisorState.Pid) or state.json (hypervisor.pid), read whenever
 *                  it changes
 * None of these need exist at the start: the 1.x runtime starts us before the VM boots. The nearest
 * existing parent is watched until they do. Everything in those files is read bounded and parsed
 * strictly; a pid is believed only together with its start time. No polling, no timers: an idle
 * monitor has no wake-ups.
 */
#pragma once

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "base/cleanup.h"
#include "netmon/state.h"

#define LIFETIME_DOCUMENT_MAX (1024U * 1024) /* bytes of persist.json; a longer one is ignored */
#define LIFETIME_PARENTS_MAX  4		     /* of sandbox_parents; later ones are ignored */
/* Of --netns PID, and the VMMs that are believed one after the other; later ones are ignored. */
#define LIFETIME_PROCESSES_MAX 8

struct lifetime_config {
	const char *sandbox_id;
	/* Of --netns PATH; NULL. One that leads to /proc/PID/... ends with that process. */
	const char *netns_path;
	int netns_fd; /* what was opened there, to compare; -1. Not needed after lifetime_new() */
	pid_t netns_pid; /* of --netns PID; 0 */
	pid_t vm_pid;	 /* of --vm-pid; 0 */
	/* Parents of sandbox directories, NULL: { "/run/vc/sbs", "/run/kata" }. For tests. */
	const char *const *sandbox_parents;
	/* Once; the sandbox is gone: "VMM 123 ended", ... The lifetime may be freed from within. */
	void (*ended)(void *userdata, const char *what);
	/*
	 * When the VMM is first known, or another one. That of an earlier one still counts: the
	 * first of them that ends, ends the sandbox. With @vm_pid the documents are not asked. The
	 * lifetime may not be freed from within.
	 */
	void (*vm_known)(void *userdata, const struct process_id *vm);
	void *userdata;
};

struct lifetime;

/*
 * vm_known is never called from within lifetime_new(): ask lifetime_vm(). A sandbox that is gone
 * already ends from the loop's first round. Return: 0; -ESRCH: --netns PID or --vm-pid names no
 * process; -EMFILE, -ENOMEM...
 */
int lifetime_new(struct lifetime **ret, sd_event *event, const struct lifetime_config *config);
struct lifetime *lifetime_free(struct lifetime *l); /* returns NULL */
DEFINE_CLEANUP(struct lifetime, lifetime_free)

/* The VMM, pid 0 while unknown. */
struct process_id lifetime_vm(const struct lifetime *l);

enum lifetime_document {
	LIFETIME_PERSIST_JSON, /* persist.json of the Go runtimes: HypervisorState.Pid */
	LIFETIME_STATE_JSON,   /* state.json of runtime-rs: hypervisor.pid */
	_LIFETIME_DOCUMENT_MAX,
};

/*
 * The VMM's pid in such a document; for the fuzzer. Return: 0; -EBADMSG: no such document, or no
 * (plausible) pid in it.
 */
int lifetime_parse(enum lifetime_document document, const char *data, size_t size, pid_t *ret);
