/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a shim answers and what lies in its state file, from hostile bytes. What is found lies within
 * what came, more bytes do not change what was whole, and a URL is one.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/locate.h"
#include "base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert(): it must hold in any build. */
static void must(bool truth)
{
	if (!truth)
		abort();
}

/* One byte more than there is, so that an overrun is seen; its value must not matter. */
static char *copy(const uint8_t *data, size_t size, char last)
{
	char *text = malloc(size + 1);

	must(text);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = last;
	return text;
}

/* Return: as locate_parse_http(); @ret_body: what it found, the caller's. */
static int parse(const uint8_t *data, size_t size, bool has_ended, char **ret_body,
		 size_t *ret_size)
{
	/* exactly as long as it says */
	char *text = malloc(size > 0 ? size : 1), *body = NULL;
	int status = -1, r;

	must(text);
	if (size > 0)
		memcpy(text, data, size);
	*ret_size = SIZE_MAX;
	r = locate_parse_http(text, size, has_ended, &status, &body, ret_size);
	*ret_body = NULL;
	if (r == 0) {
		must(status >= 0 && status <= 999);
		must(body >= text && *ret_size <= (size_t)(text + size - body));
		*ret_body = copy((const uint8_t *)body, *ret_size, '\0');
	} else {
		must(r == LOCATE_MORE || r < 0);
		must(r != LOCATE_MORE || (!has_ended && size < LOCATE_RESPONSE_MAX));
		must(status == -1 && !body && *ret_size == SIZE_MAX);
	}
	free(text);
	return r;
}

/* What is whole stays so, whatever follows it. */
static void parse_in_two(const uint8_t *data, size_t size)
{
	char *first = NULL, *whole = NULL;
	size_t first_size, whole_size;
	int r = parse(data, size / 2, false, &first, &first_size);
	int w = parse(data, size, false, &whole, &whole_size);

	if (r == 0)
		must(w == 0 && first_size == whole_size && memcmp(first, whole, first_size) == 0);
	free(first);
	free(whole);
	w = parse(data, size, true, &whole, &whole_size);
	must(w != LOCATE_MORE);
	free(whole);
}

static void read_state(const uint8_t *data, size_t size)
{
	char *json = copy(data, size, '\0'), text[URL_TEXT_MAX];
	struct url url, again;

	if (locate_parse_state(json, size, &url) == 0) {
		url_format(&url, text);
		must(url_parse(text, &again) == 0);
	}
	err_clear();
	free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	parse_in_two(data, size);
	read_state(data, size);
	return 0;
}
