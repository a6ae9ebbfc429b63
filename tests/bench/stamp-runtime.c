/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A runtime that only says when its main() began: "VERB USEC\n" into the pipe `stamps` beside the
 * program as it was called.
 *
 * The end of the line that the bench measures, so nothing is done before the clock is read, and no
 * library is linked.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void stamp_path(const char *program, char ret[PATH_MAX])
{
	const char *slash = strrchr(program, '/');

	(void)snprintf(ret, PATH_MAX, "%.*sstamps", slash ? (int)(slash + 1 - program) : 0,
		       program);
}

int main(int argc, char *argv[])
{
	struct timespec now;
	char path[PATH_MAX];
	char line[64];
	int size, fd;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	if (argc < 4)
		return 1;
	stamp_path(argv[0], path);
	size = snprintf(line, sizeof(line), "%.20s %jd\n", argv[2],
			(intmax_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 || write(fd, line, (size_t)size) != size;
}
