/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What observe.c needs of a kernel: the real one (kernel.c) or the simulated one of the tests.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "netmon/snapshot.h"

/*
 * One notification, reduced to what matters: that something of a kind changed. Nothing else of an
 * event is believed.
 */
struct source_hint {
	enum model_kind kind;
	bool link_gone;	  /* RTM_DELLINK, family AF_UNSPEC */
	uint32_t ifindex; /* of a link hint */
};

/* Conditions of drain() and dump(). They are four different facts and stay so. */
enum source_condition {
	_SOURCE_OK = 0,
	SOURCE_OVERRUN = 1,	/* the kernel dropped notifications: ENOBUFS */
	SOURCE_TRUNCATED = 2,	/* a message did not fit our buffer */
	SOURCE_INTERRUPTED = 3, /* NLM_F_DUMP_INTR: the dump is not of one moment */
	SOURCE_AGAIN = 4,	/* no answer, no memory in the kernel, EBUSY...: ask again later */
	_SOURCE_CONDITION_MAX,
};

const char *source_condition_to_string(enum source_condition c); /* "overrun", "truncated", ... */

struct source_ops {
	/**
	 * Reads every queued notification without waiting and calls @hint for each.
	 * A loss (SOURCE_OVERRUN, SOURCE_TRUNCATED) is told by @lost, with the mask of kinds (1U <<
	 * kind) whose hints may be missing, and reading goes on. Bounded: after SOURCE_DRAIN_MAX
	 * messages it returns SOURCE_AGAIN.
	 * Return: 0; SOURCE_AGAIN; -errno when the sockets are beyond use.
	 */
	int (*drain)(void *source, void (*hint)(void *userdata, const struct source_hint *h),
		     void (*lost)(void *userdata, enum source_condition c, unsigned kinds),
		     void *userdata);
	/**
	 * Reads the whole truth of one kind. @ret: a sealed table, the caller's.
	 * Return: 0; SOURCE_INTERRUPTED (@ret is set: it may be used to add); SOURCE_TRUNCATED,
	 * SOURCE_AGAIN (@ret untouched); -errno.
	 */
	int (*dump)(void *source, enum model_kind kind, struct table **ret);
};

#define SOURCE_DRAIN_MAX 65536 /* messages a call: a storm may not keep us from ever acting */
