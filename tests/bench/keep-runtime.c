/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A runtime that keeps each document that it was told, and takes its time: keep-runtime
 * kata-network VERB ID FILE.
 *
 * In the folder of the program as it was called:
 *
 *     delay_msec    how long a call lasts in all; not there: no longer than it must
 *     documents/BEGIN_USEC-VERB.json   what it was told (CLOCK_MONOTONIC when main() began)
 *     calls         a line "VERB BEGIN_USEC END_USEC BYTES" when a call ends, by one write
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KEEP_DELAY_MAX 10000 /* msec */

static int64_t keep_now_usec(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int keep_enter(const char *program)
{
	char folder[PATH_MAX];
	char *slash;

	(void)snprintf(folder, sizeof(folder), "%s", program);
	slash = strrchr(folder, '/');
	if (!slash)
		return 0;
	*slash = '\0';
	return chdir(folder);
}

/* Return: msec, 0 when the file is not there */
static int64_t keep_delay_msec(void)
{
	char text[16] = "";
	int fd = open("delay_msec", O_RDONLY | O_CLOEXEC);
	long msec;

	if (fd < 0)
		return 0;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = '\0';
	(void)close(fd);
	msec = strtol(text, NULL, 10);
	return msec < 0 || msec > KEEP_DELAY_MAX ? 0 : msec;
}

/* Return: bytes, -1 when it went wrong */
static int64_t keep_document(const char *from, const char *verb, int64_t begin_usec)
{
	char to[64];
	struct stat st;
	int64_t done = 0;
	int out, in = open(from, O_RDONLY | O_CLOEXEC);

	(void)snprintf(to, sizeof(to), "documents/%jd-%.20s.json", (intmax_t)begin_usec, verb);
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (in < 0 || out < 0 || fstat(in, &st) < 0)
		return -1;
	while (done < st.st_size) {
		ssize_t n = sendfile(out, in, NULL, (size_t)(st.st_size - done));

		if (n <= 0)
			return -1;
		done += n;
	}
	return close(out) < 0 || close(in) < 0 ? -1 : done;
}

/* The time that a runtime needs; the whole of it counts from main(). */
static void keep_last_until(int64_t usec)
{
	struct timespec until = { .tv_sec = usec / 1000000, .tv_nsec = usec % 1000000 * 1000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

static int keep_call(const char *verb, int64_t begin_usec, int64_t bytes)
{
	char line[96];
	int size = snprintf(line, sizeof(line), "%.20s %jd %jd %jd\n", verb, (intmax_t)begin_usec,
			    (intmax_t)keep_now_usec(), (intmax_t)bytes);
	int fd = open("calls", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	return fd < 0 || write(fd, line, (size_t)size) != size ? -1 : 0;
}

int main(int argc, char *argv[])
{
	int64_t begin_usec = keep_now_usec();
	int64_t bytes = 0;

	if (argc < 4 || strcmp(argv[1], "kata-network") != 0 || keep_enter(argv[0]) < 0) {
		(void)fputs("usage: keep-runtime kata-network VERB ID [FILE]\n", stderr);
		return 1;
	}
	if (argc > 4)
		bytes = keep_document(argv[4], argv[2], begin_usec);
	if (bytes < 0) {
		(void)fprintf(stderr, "keep-runtime: %s: %s\n", argv[4], strerror(errno));
		return 1;
	}
	keep_last_until(begin_usec + keep_delay_msec() * 1000);
	return keep_call(argv[2], begin_usec, bytes) < 0;
}
