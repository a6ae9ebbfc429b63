/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URLs from a shim, a state file or a command line. What is taken is within its limits, drives no
 * terminal, and reads back as itself.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/url.h"
#include "base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): it must hold in any build. */
static void must(bool truth)
{
	if (!truth)
		abort();
}

static void must_be_within_limits(const struct url *u)
{
	must((unsigned)u->kind < _URL_KIND_MAX);
	must((u->kind == URL_VSOCK || u->kind == URL_HVSOCK) == (u->port != 0));
	must(u->port != UINT32_MAX);
	must((u->kind == URL_VSOCK) == (u->path[0] == '\0'));
	must(strnlen(u->path, sizeof(u->path)) < sizeof(u->path));
	must(u->path[0] == '\0' || u->path[0] == '/');
	for (const char *p = u->path; *p != '\0'; p++)
		must((unsigned char)*p >= ' ' && *p != '\x7f');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), form[URL_TEXT_MAX];
	struct url u, again;

	must(text);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	if (url_parse(text, &u) == 0) {
		must_be_within_limits(&u);
		url_format(&u, form);
		must(url_parse(form, &again) == 0);
		must(memcmp(&u, &again, sizeof(u)) == 0);
	}
	err_clear();
	free(text);
	return 0;
}
