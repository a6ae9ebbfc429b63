/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtimes' state files: whatever is in them, a pid that comes out is one that a process can
 * have.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "netmon/lifetime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (enum lifetime_document d = 0; d < _LIFETIME_DOCUMENT_MAX; d++) {
		pid_t pid = 0;
		int r = lifetime_parse(d, (const char *)data, size, &pid);

		if (r == 0 ? pid <= 1 || (unsigned)pid > PROCESS_ID_PID_MAX : pid != 0)
			abort();
	}
	return 0;
}
