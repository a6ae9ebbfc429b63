/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line on stderr, see say.h.
 */
#include "runtime-bridge/ctl/say.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"
#include "runtime-bridge/ctl/table.h"

#include <stdarg.h>
#include <stdio.h>

void say_line(const char *fmt, ...)
{
	CLEANUP(text_done) struct text line = TEXT_NULL;
	CLEANUP(cleanup_free) char *said = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&said, fmt, ap);
	va_end(ap);
	if (n >= 0 && table_escape_line(&line, said) == 0)
		(void)fprintf(stderr, "%s\n", line.data ? line.data : "");
	else
		err_clear();
}
