/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is the monitor, see lock.h.
 *
 * How it works: flock() decides, what is written inside ("PID START\n") only says whom to end. So
 * stale words in a file that nobody holds mean nothing. A holder writes them just after it got the
 * lock: a newcomer that comes in between, or just as a holder ends, sees a lock that is held and
 * nobody who holds it, and waits by inotify for the file to change.
 */
#include "netmon/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/text.h"
#include "netmon/process-id.h"

#define LOCK_MODE	0640
#define LOCK_WORDS_MAX	64 /* bytes of "PID START\n": at most 7 + 20 + 2 */
#define LOCK_COMM_BYTES 32 /* TASK_COMM_LEN is 16, with its newline */
/*
 * The kernel announces that a file was closed just before it drops its locks (__fput() in
 * fs/file_table.c), so after an event the lock may be held for a moment more, and no further event
 * comes.
 */
#define LOCK_LOOK_MSEC 20

/* What an attempt on a held lock can come to; handled in lock_take(). */
enum { HOLDER_ENDED = 0, HOLDER_UNKNOWN = 1 };
enum { LOCK_OURS = 0, LOCK_HELD = 1, LOCK_STALE = 2 };

/* ---- the lock ---- */

static bool is_named_one(int fd, int dirfd)
{
	struct stat ours, named;

	return fstat(fd, &ours) == 0 &&
	       fstatat(dirfd, LOCK_FILE_NAME, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

/* Return: LOCK_OURS; LOCK_HELD; LOCK_STALE: the file was removed before we had it; -errno */
static int try_lock(int fd, int dirfd)
{
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? LOCK_HELD : err_raise(-errno, "lock");
	return is_named_one(fd, dirfd) ? LOCK_OURS : LOCK_STALE;
}

/*
 * Over what was there, then cut: a reader sees the old words, the new ones, or the new ones and a
 * rest behind the newline.
 */
static void write_words(int fd)
{
	struct process_id self = { 0 };
	char words[LOCK_WORDS_MAX];
	CLEANUP(cleanup_close) int pidfd = -1;
	int n;

	if (process_id_open(getpid(), &self, &pidfd) < 0) {
		err_clear();
		return;
	}
	n = snprintf(words, sizeof(words), "%d %llu\n", self.pid,
		     (unsigned long long)self.start_ticks);
	if (pwrite(fd, words, (size_t)n, 0) == n)
		(void)!ftruncate(fd, n);
	(void)!fchmod(fd, LOCK_MODE); /* whatever the umask of who started us */
}

/* ---- its holder ---- */

static bool parse_words(char *words, struct process_id *ret)
{
	char *newline = strchr(words, '\n');
	char *space = strchr(words, ' ');
	uint64_t start_ticks;
	uint32_t pid;

	if (!newline || !space || space > newline)
		return false;
	*newline = *space = '\0';
	if (text_parse_u32(words, PROCESS_ID_PID_MAX, &pid) < 0 || pid == 0 ||
	    text_parse_u64(space + 1, UINT64_MAX, &start_ticks) < 0) {
		err_clear();
		return false;
	}
	*ret = (struct process_id){ .pid = (pid_t)pid, .start_ticks = start_ticks };
	return true;
}

static bool read_words(int fd, struct process_id *ret)
{
	char words[LOCK_WORDS_MAX];
	ssize_t n = pread(fd, words, sizeof(words) - 1, 0);

	if (n <= 0)
		return false;
	words[n] = '\0';
	return parse_words(words, ret);
}

static bool read_comm(const char *of, char ret[LOCK_COMM_BYTES])
{
	CLEANUP(cleanup_free) char *text = NULL;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%s/comm", of);
	if (io_read_path(path, LOCK_COMM_BYTES - 1, &text, NULL) < 0) {
		err_clear();
		return false;
	}
	memcpy(ret, text, strlen(text) + 1);
	return true;
}

static bool is_this_program(pid_t pid)
{
	char ours[LOCK_COMM_BYTES], theirs[LOCK_COMM_BYTES], number[16];

	(void)snprintf(number, sizeof(number), "%d", pid);
	return pid != getpid() && read_comm("self", ours) && read_comm(number, theirs) &&
	       strcmp(ours, theirs) == 0;
}

/* Return: whether the process ended in time */
static bool wait_ended(int pidfd, uint64_t msec)
{
	const uint64_t deadline = clock_now_usec() + msec * CLOCK_USEC_PER_MSEC;
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	for (;;) {
		uint64_t now = clock_now_usec();
		/* rounded up, so that the last wait is not a spin */
		uint64_t left = now < deadline ? (deadline - now) / CLOCK_USEC_PER_MSEC + 1 : 0;

		if (poll(&p, 1, (int)left) > 0)
			return true;
		if (left == 0)
			return false;
	}
}

static int end_process(const struct process_id *p, int pidfd)
{
	static const struct {
		int signal;
		uint64_t msec;
	} steps[] = { { SIGTERM, LOCK_TERM_MSEC }, { SIGKILL, LOCK_KILL_MSEC } };

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		if (pidfd_send_signal(pidfd, steps[i].signal, NULL, 0) < 0 && errno != ESRCH)
			return err_raise(-errno, "end the monitor that is there, process %d",
					 p->pid);
		if (wait_ended(pidfd, steps[i].msec))
			return 0;
	}
	return err_raise(-ETIMEDOUT, "end the monitor that is there, process %d", p->pid);
}

/* Return: HOLDER_ENDED; HOLDER_UNKNOWN: no process that lives is named; -EBUSY; -errno */
static int end_holder(int fd)
{
	CLEANUP(cleanup_close) int pidfd = -1;
	struct process_id named, now;
	int r;

	if (!read_words(fd, &named))
		return HOLDER_UNKNOWN;
	r = process_id_open(named.pid, &now, &pidfd);
	if (r < 0 && r != -ESRCH)
		return err_pass(r);
	if (r < 0 || now.start_ticks != named.start_ticks) {
		err_clear();
		return HOLDER_UNKNOWN;
	}
	if (!is_this_program(named.pid))
		return err_raise(-EBUSY, "take the lock from process %d, which is another program",
				 named.pid);
	return err_pass(end_process(&now, pidfd));
}

/* ---- a lock that is held, and nobody who holds it ---- */

struct watch {
	int fd; /* inotify on the lock file; -1: not yet */
	uint64_t deadline_usec;
};

static void watch_done(struct watch *w)
{
	w->fd = cleanup_close_fd(w->fd);
}

static int watch_begin(struct watch *w, int lock_fd)
{
	char path[64];

	w->deadline_usec = clock_now_usec() + LOCK_TERM_MSEC * CLOCK_USEC_PER_MSEC;
	w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", lock_fd);
	if (w->fd < 0 || inotify_add_watch(w->fd, path, IN_MODIFY | IN_CLOSE_WRITE) < 0)
		return err_raise(-errno, "watch the lock");
	return 0;
}

/* Return: 0: look again; -EBUSY: the time is over */
static int watch_wait(const struct watch *w)
{
	struct pollfd p = { .fd = w->fd, .events = POLLIN };
	char events[1024];

	if (clock_now_usec() >= w->deadline_usec)
		return err_raise(-EBUSY, "take the lock: its holder does not say who it is");
	if (poll(&p, 1, LOCK_LOOK_MSEC) > 0)
		(void)!read(w->fd, events, sizeof(events));
	return 0;
}

/*
 * Waits until somebody who lives is named, or the lock is free.
 * Return: LOCK_OURS, LOCK_STALE: we have it; LOCK_HELD: by whom is known now; -EBUSY; -errno
 */
static int wait_for_words(int fd, int dirfd)
{
	CLEANUP(watch_done) struct watch w = { .fd = -1 };
	struct process_id named;
	int r = watch_begin(&w, fd);

	while (r == 0) {
		if (read_words(fd, &named) && process_id_is_alive(&named))
			return LOCK_HELD;
		r = try_lock(fd, dirfd);
		if (r != LOCK_HELD)
			return err_pass(r);
		r = watch_wait(&w);
	}
	return err_pass(r);
}

/* ---- taking ---- */

/*
 * One round. Return: LOCK_OURS; LOCK_HELD, LOCK_STALE: try again, with the file opened anew; -errno
 */
static int take_round(int fd, int dirfd, bool *taken_over)
{
	int r = try_lock(fd, dirfd);

	if (r != LOCK_HELD)
		return err_pass(r);
	r = end_holder(fd);
	if (r == HOLDER_UNKNOWN) {
		r = wait_for_words(fd, dirfd);
		if (r != LOCK_HELD)
			return err_pass(r);
		r = end_holder(fd);
	}
	if (r == HOLDER_UNKNOWN)
		return LOCK_HELD; /* it ended by itself meanwhile */
	if (r < 0)
		return err_pass(r);
	*taken_over = true;
	return err_pass(try_lock(fd, dirfd));
}

int lock_take(struct lock *l, int dirfd)
{
	bool taken_over = false;

	for (unsigned round = 0; round < LOCK_ROUNDS; round++) {
		CLEANUP(cleanup_close)
		int fd = io_openat(dirfd, LOCK_FILE_NAME, O_RDWR | O_CREAT | O_NONBLOCK, LOCK_MODE);
		int r;

		if (fd < 0)
			return err_pass(fd);
		r = take_round(fd, dirfd, &taken_over);
		if (r < 0)
			return err_pass(r);
		if (r != LOCK_OURS)
			continue;
		write_words(fd);
		l->fd = TAKE_FD(fd);
		return taken_over ? LOCK_TAKEN_OVER : 0;
	}
	return err_raise(-EBUSY, "take the lock: %d others were faster", LOCK_ROUNDS);
}

void lock_release(struct lock *l, int dirfd, bool remove)
{
	if (l->fd < 0)
		return;
	/*
	 * We may live on for a moment, and whoever holds it next may not have said so: nobody
	 * should end us for it.
	 */
	(void)!ftruncate(l->fd, 0);
	if (remove)
		(void)unlinkat(dirfd, LOCK_FILE_NAME, 0);
	l->fd = cleanup_close_fd(l->fd);
}
