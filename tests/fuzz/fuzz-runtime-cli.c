/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtime's answer to list-ifaces: strings in it come from the guest.
 */
#include "runtime-bridge/vmm/runtime-cli.h"

#include "base/error.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy of exactly that size, so that a read past its end is seen. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const ips[] = { "10.0.0.1", "2001:db8::2" };
	static const struct runtime_cli_interface wanted = { "02:42:ac:11:00:03", ips, 2 };
	char *json = malloc(size > 0 ? size : 1);
	int r;

	if (!json)
		return 0;
	memcpy(json, data, size);
	r = runtime_cli_lists(json, size, &wanted);
	assert(r == 0 || r == RUNTIME_CLI_LISTS_IT || r == RUNTIME_CLI_LISTS_OTHER ||
	       r == -EBADMSG || r == -ENOMEM);
	err_clear();
	free(json);
	return 0;
}
