/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The duties of process 1, when the agent is the /init of an initramfs.
 */
#pragma once

#include <stdbool.h>

bool init_is_us(void);
/*
 * Mounts /proc, /sys, /dev and /run where nothing is mounted, and sends our words to the console.
 * What can't be had is said and gone without.
 */
void init_mount(void);
void init_reap(void); /* all children that have ended, whoever left them to us */
/* Syncs and switches the machine off. In a pid namespace that ends it. Does not return. */
_Noreturn void init_power_off(void);
