/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line on stderr, for whoever typed the command.
 */
#pragma once

/* Hostile bytes are escaped, as table_escape_line() does it. Without memory nothing is said. */
void say_line(const char *fmt, ...) __attribute__((__format__(__printf__, 1, 2)));
