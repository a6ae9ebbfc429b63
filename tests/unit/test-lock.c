/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One monitor a directory: real processes hold the lock, and end or do not end when a newcomer asks
 * them to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "netmon/lock.h"
#include "netmon/process-id.h"

#define N_RACERS	   8
#define TEST_DEADLINE_MSEC 20000

struct fixture {
	char path[64];
	int dirfd;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	(void)snprintf(f->path, sizeof(f->path), "%s", "/tmp/test-lock-XXXXXX");
	if (!mkdtemp(f->path))
		return -1;
	f->dirfd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = f;
	return f->dirfd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	(void)unlinkat(f->dirfd, LOCK_FILE_NAME, 0);
	(void)unlinkat(f->dirfd, LOCK_FILE_NAME, AT_REMOVEDIR);
	close(f->dirfd);
	rmdir(f->path);
	free(f);
	return 0;
}

/* A child of a test ends with it. */
static pid_t fork_bound(void)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
		_exit(1);
	return pid;
}

/* ---- holders ---- */

enum manner {
	HEALTHY,     /* ends on SIGTERM */
	DEAF,	     /* does not */
	OTHER,	     /* is another program */
	SILENT,	     /* holds the lock and does not say who it is, nor ends */
	LATE,	     /* says so when it is told to */
	LATE_TO_END, /* holds it in the name of a dead process, and lets go when it is told to */
};

struct holder {
	pid_t pid;
	int ready; /* readable once it holds the lock */
	int go;	   /* closed: "told to" */
};

static void wait_told(int go)
{
	char c;

	(void)!read(go, &c, 1);
}

static int hold_by_hand(int dirfd, const char *words)
{
	int fd = openat(dirfd, LOCK_FILE_NAME, O_RDWR | O_CREAT, 0640);

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 ||
	    pwrite(fd, words, strlen(words), 0) != (ssize_t)strlen(words))
		_exit(1);
	return fd;
}

static void be_holder(enum manner manner, int dirfd, int ready, int go)
{
	struct lock l = LOCK_NULL;
	char words[64] = "";
	uint64_t start = 0;
	int fd = -1;

	if (manner == DEAF)
		(void)signal(SIGTERM, SIG_IGN);
	if (manner == OTHER)
		(void)prctl(PR_SET_NAME, "other");
	if (manner == SILENT || manner == LATE)
		fd = hold_by_hand(dirfd, "");
	else if (manner == LATE_TO_END)
		fd = hold_by_hand(dirfd, "4194303 1\n");
	else if (lock_take(&l, dirfd) < 0)
		_exit(1);
	if (write(ready, "x", 1) != 1)
		_exit(1);
	if (manner == LATE) {
		struct process_id self;
		int pidfd;

		wait_told(go);
		if (process_id_open(getpid(), &self, &pidfd) < 0)
			_exit(1);
		start = self.start_ticks;
		(void)snprintf(words, sizeof(words), "%d %llu\n", getpid(),
			       (unsigned long long)start);
		if (pwrite(fd, words, strlen(words), 0) != (ssize_t)strlen(words))
			_exit(1);
	}
	if (manner == LATE_TO_END) {
		wait_told(go);
		close(fd);
	}
	for (;;)
		pause();
}

static struct holder start_holder(const struct fixture *f, enum manner manner)
{
	struct holder h = { 0 };
	int ready[2], go[2];
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	h.pid = fork_bound();
	if (h.pid == 0) {
		close(go[1]);
		be_holder(manner, f->dirfd, ready[1], go[0]);
	}
	close(ready[1]);
	close(go[0]);
	h.ready = ready[0];
	h.go = go[1];
	assert_int_equal(read(h.ready, &c, 1), 1);
	return h;
}

/* Return: the signal that ended it, 0 if it had not ended and was killed here */
static int end_holder(struct holder *h)
{
	siginfo_t info = { 0 };
	int status = 0;

	assert_int_equal(waitid(P_PID, (id_t)h->pid, &info, WEXITED | WNOHANG | WNOWAIT), 0);
	if (info.si_pid == 0)
		(void)kill(h->pid, SIGKILL);
	assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
	close(h->ready);
	if (h->go >= 0)
		close(h->go);
	return info.si_pid == 0 ? 0 : WTERMSIG(status);
}

static void assert_is_ours(const struct fixture *f)
{
	CLEANUP(cleanup_close)
	int fd = openat(f->dirfd, LOCK_FILE_NAME, O_RDONLY | O_CLOEXEC);
	CLEANUP(cleanup_free) char *words = NULL;
	char want[32];

	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
	assert_int_equal(errno, EWOULDBLOCK);
	assert_int_equal(io_read_all(fd, 64, &words, NULL), 0);
	(void)snprintf(want, sizeof(want), "%d ", getpid());
	assert_memory_equal(words, want, strlen(want));
	assert_string_equal(strchr(words, '\n'), "\n"); /* and nothing behind it */
}

static void write_words(const struct fixture *f, const char *words)
{
	int fd = openat(f->dirfd, LOCK_FILE_NAME, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, words, strlen(words)), (ssize_t)strlen(words));
	close(fd);
}

/* ---- nobody there ---- */

static void test_free_lock_is_taken(void **state)
{
	const struct fixture *f = *state;
	struct lock l = LOCK_NULL;
	struct stat st;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(lock_take(&l, f->dirfd), 0);
		assert_is_ours(f);
		lock_release(&l, f->dirfd, false);
		assert_int_equal(l.fd, -1);
		assert_int_equal(fstatat(f->dirfd, LOCK_FILE_NAME, &st, 0), 0);
		assert_int_equal(st.st_size, 0); /* we live on: no words that name us */
	}
	lock_release(&l, f->dirfd, true); /* nothing held, nothing removed */
	assert_int_equal(fstatat(f->dirfd, LOCK_FILE_NAME, &st, 0), 0);
	assert_int_equal(lock_take(&l, f->dirfd), 0);
	lock_release(&l, f->dirfd, true);
	assert_int_equal(fstatat(f->dirfd, LOCK_FILE_NAME, &st, 0), -1);
}

static void test_words_without_a_holder_mean_nothing(void **state)
{
	static const char *const words[] = {
		"1 1\n",
		"4194303 77\n",
		"",
		"garbage",
		"garbage that is much longer than any\n pid 7\n",
	};
	const struct fixture *f = *state;
	char self[64];

	for (size_t i = 0; i <= sizeof(words) / sizeof(words[0]); i++) {
		struct lock l = LOCK_NULL;

		(void)snprintf(self, sizeof(self), "%d 1\n", getpid());
		write_words(f, i < sizeof(words) / sizeof(words[0]) ? words[i] : self);
		assert_int_equal(lock_take(&l, f->dirfd), 0);
		assert_is_ours(f);
		lock_release(&l, f->dirfd, false);
	}
}

static void test_link_is_not_followed(void **state)
{
	const struct fixture *f = *state;
	struct lock l = LOCK_NULL;

	assert_int_equal(symlinkat("/tmp/test-lock-elsewhere", f->dirfd, LOCK_FILE_NAME), 0);
	assert_int_equal(lock_take(&l, f->dirfd), -ELOOP);
	assert_int_equal(l.fd, -1);
	assert_int_equal(access("/tmp/test-lock-elsewhere", F_OK), -1);
}

/* ---- somebody there ---- */

static void test_healthy_holder_ends_by_sigterm(void **state)
{
	const struct fixture *f = *state;
	struct holder h = start_holder(f, HEALTHY);
	struct lock l = LOCK_NULL;
	uint64_t begin = clock_now_usec();

	assert_int_equal(lock_take(&l, f->dirfd), LOCK_TAKEN_OVER);
	assert_true(clock_now_usec() - begin < LOCK_TERM_MSEC * CLOCK_USEC_PER_MSEC);
	assert_is_ours(f);
	assert_int_equal(end_holder(&h), SIGTERM);
	lock_release(&l, f->dirfd, false);
}

static void test_deaf_holder_ends_by_sigkill(void **state)
{
	const struct fixture *f = *state;
	struct holder h = start_holder(f, DEAF);
	struct lock l = LOCK_NULL;

	assert_int_equal(lock_take(&l, f->dirfd), LOCK_TAKEN_OVER);
	assert_is_ours(f);
	assert_int_equal(end_holder(&h), SIGKILL);
	lock_release(&l, f->dirfd, false);
}

static void test_another_program_is_not_touched(void **state)
{
	const struct fixture *f = *state;
	struct holder h = start_holder(f, OTHER);
	struct lock l = LOCK_NULL;

	assert_int_equal(lock_take(&l, f->dirfd), -EBUSY);
	assert_non_null(strstr(err_text(), "another program"));
	assert_int_equal(l.fd, -1);
	assert_int_equal(end_holder(&h), 0);
}

static void test_we_do_not_end_ourselves(void **state)
{
	const struct fixture *f = *state;
	struct lock l = LOCK_NULL, again = LOCK_NULL;

	assert_int_equal(lock_take(&l, f->dirfd), 0);
	assert_int_equal(lock_take(&again, f->dirfd), -EBUSY);
	assert_is_ours(f);
	lock_release(&l, f->dirfd, false);
}

static void test_silent_holder_is_not_ours(void **state)
{
	const struct fixture *f = *state;
	struct holder h = start_holder(f, SILENT);
	struct lock l = LOCK_NULL;

	assert_int_equal(lock_take(&l, f->dirfd), -EBUSY);
	write_words(f, "garbage\n");
	assert_int_equal(lock_take(&l, f->dirfd), -EBUSY);
	assert_int_equal(end_holder(&h), 0);
}

/*
 * The moment between flock() and the words, made long. The newcomer is in a child, since it blocks.
 */
static void newcomer(const struct fixture *f, struct holder *h, int want)
{
	pid_t pid = fork_bound();
	int status;

	if (pid == 0) {
		struct lock l = LOCK_NULL;

		close(h->go);
		_exit(lock_take(&l, f->dirfd) == want ? 0 : 1);
	}
	/* Told while the newcomer waits, or before it came: both must do. */
	(void)poll(NULL, 0, 100);
	close(h->go);
	h->go = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_newcomer_waits_for_the_words(void **state)
{
	const struct fixture *f = *state;
	struct holder h = start_holder(f, LATE);

	newcomer(f, &h, LOCK_TAKEN_OVER);
	assert_int_equal(end_holder(&h), SIGTERM);
}

static void test_newcomer_waits_for_the_end(void **state)
{
	const struct fixture *f = *state;
	struct holder h = start_holder(f, LATE_TO_END);

	newcomer(f, &h, 0);
	assert_int_equal(end_holder(&h), 0);
}

/*
 * A holder that removes the lock as it goes: a newcomer must not end up with a file that has no
 * name.
 */
static void test_removed_lock_is_made_anew(void **state)
{
	const struct fixture *f = *state;
	struct holder h = start_holder(f, HEALTHY);
	struct lock l = LOCK_NULL;

	assert_int_equal(unlinkat(f->dirfd, LOCK_FILE_NAME, 0), 0);
	assert_int_equal(lock_take(&l, f->dirfd), 0);
	assert_is_ours(f);
	lock_release(&l, f->dirfd, false);
	assert_int_equal(end_holder(&h), 0);
}

/* ---- races ---- */

static pid_t start_racer(const struct fixture *f, int start, int done)
{
	pid_t pid = fork_bound();
	struct lock l = LOCK_NULL;
	int r;

	if (pid != 0)
		return pid;
	wait_told(start);
	r = lock_take(&l, f->dirfd);
	pid = getpid();
	if (r < 0 || write(done, &pid, sizeof(pid)) != sizeof(pid))
		_exit(1);
	for (;;)
		pause();
}

/* Each that gets the lock says so, before it can lose it or after. */
static void wait_until_it_holds(int done, pid_t winner)
{
	struct pollfd p = { .fd = done, .events = POLLIN };
	pid_t pid = 0;

	while (pid != winner) {
		assert_int_equal(poll(&p, 1, TEST_DEADLINE_MSEC), 1);
		assert_int_equal(read(done, &pid, sizeof(pid)), sizeof(pid));
	}
}

/* Waits until all but one have ended. Return: how many were ended by a signal */
static size_t reap_losers(pid_t racers[N_RACERS])
{
	uint64_t deadline = clock_now_usec() + TEST_DEADLINE_MSEC * CLOCK_USEC_PER_MSEC;
	size_t n_ended = 0, n_signalled = 0;

	while (n_ended < N_RACERS - 1 && clock_now_usec() < deadline) {
		for (size_t i = 0; i < N_RACERS; i++) {
			int status;

			if (racers[i] == 0 || waitpid(racers[i], &status, WNOHANG) == 0)
				continue;
			racers[i] = 0;
			n_ended++;
			n_signalled += WIFSIGNALED(status);
		}
		(void)poll(NULL, 0, 5);
	}
	assert_int_equal(n_ended, N_RACERS - 1);
	return n_signalled;
}

static void test_of_many_newcomers_one_remains(void **state)
{
	const struct fixture *f = *state;

	for (int run = 0; run < 5; run++) {
		pid_t racers[N_RACERS], winner = 0;
		int start[2], done[2];
		struct lock l = LOCK_NULL;

		assert_int_equal(pipe2(start, O_CLOEXEC), 0);
		assert_int_equal(pipe2(done, O_CLOEXEC), 0);
		for (size_t i = 0; i < N_RACERS; i++)
			racers[i] = start_racer(f, start[0], done[1]);
		close(start[0]);
		/* each has a copy of start[1] from fork(): a byte each starts them */
		assert_int_equal(write(start[1], "xxxxxxxx", N_RACERS), N_RACERS);
		assert_int_equal(reap_losers(racers), N_RACERS - 1);
		for (size_t i = 0; i < N_RACERS; i++)
			winner += racers[i];
		wait_until_it_holds(done[0], winner);
		assert_int_equal(lock_take(&l, f->dirfd), LOCK_TAKEN_OVER);
		assert_is_ours(f);
		assert_int_equal(waitpid(winner, NULL, 0), winner);
		lock_release(&l, f->dirfd, false);
		close(start[1]);
		close(done[0]);
		close(done[1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_free_lock_is_taken, setup, teardown),
		cmocka_unit_test_setup_teardown(test_words_without_a_holder_mean_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_link_is_not_followed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_healthy_holder_ends_by_sigterm, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_deaf_holder_ends_by_sigkill, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_program_is_not_touched, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_we_do_not_end_ourselves, setup, teardown),
		cmocka_unit_test_setup_teardown(test_silent_holder_is_not_ours, setup, teardown),
		cmocka_unit_test_setup_teardown(test_newcomer_waits_for_the_words, setup, teardown),
		cmocka_unit_test_setup_teardown(test_newcomer_waits_for_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed_lock_is_made_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(test_of_many_newcomers_one_remains, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
