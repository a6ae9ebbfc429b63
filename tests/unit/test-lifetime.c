/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a sandbox, whatever owns it: real directories, processes and network namespaces.
 *
 * inotify queues its event before the system call that caused it returns. So "nothing happens" is
 * tested without waiting: the loop is run until it has nothing left to do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/spawn.h"
#include "netmon/lifetime.h"

#define TEST_DEADLINE_USEC (20 * CLOCK_USEC_PER_SEC)
#define N_CHILDREN	   4
#define QUEUE_FILE	   "/proc/sys/fs/inotify/max_queued_events"

struct fixture {
	char base[64];	      /* a directory of its own */
	char parents[2][128]; /* below it, not made */
	const char *parent_list[3];
	sd_event *event;
	struct lifetime *lifetime;
	struct lifetime_config config;
	unsigned n_ended, n_vms;
	char what[512];
	struct process_id vm;
	bool free_when_ended;
	pid_t children[N_CHILDREN];
	size_t n_children;
};

static void on_ended(void *userdata, const char *what)
{
	struct fixture *f = userdata;

	f->n_ended++;
	(void)snprintf(f->what, sizeof(f->what), "%s", what);
	if (f->free_when_ended)
		f->lifetime = lifetime_free(f->lifetime);
}

static void on_vm(void *userdata, const struct process_id *vm)
{
	struct fixture *f = userdata;

	f->n_vms++;
	f->vm = *vm;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_tree(const char *path)
{
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	(void)snprintf(f->base, sizeof(f->base), "%s", "/tmp/test-lifetime-XXXXXX");
	if (!mkdtemp(f->base) || sd_event_new(&f->event) < 0)
		return -1;
	(void)snprintf(f->parents[0], sizeof(f->parents[0]), "%s/vc/sbs", f->base);
	(void)snprintf(f->parents[1], sizeof(f->parents[1]), "%s/kata", f->base);
	f->parent_list[0] = f->parents[0];
	f->parent_list[1] = f->parents[1];
	f->config = (struct lifetime_config){ .sandbox_id = "pod",
					      .netns_fd = -1,
					      .sandbox_parents = f->parent_list,
					      .ended = on_ended,
					      .vm_known = on_vm,
					      .userdata = f };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	lifetime_free(f->lifetime);
	sd_event_unref(f->event);
	for (size_t i = 0; i < f->n_children; i++) {
		if (f->children[i] == 0)
			continue;
		(void)kill(f->children[i], SIGKILL);
		(void)waitpid(f->children[i], NULL, 0);
	}
	remove_tree(f->base);
	free(f);
	return 0;
}

/* ---- what happens ---- */

static void start(struct fixture *f)
{
	assert_int_equal(lifetime_new(&f->lifetime, f->event, &f->config), 0);
	assert_int_equal(f->n_ended + f->n_vms, 0); /* never from within */
}

/* Runs the loop until it has nothing to do. */
static void settle(struct fixture *f)
{
	int r;

	do
		r = sd_event_run(f->event, 0);
	while (r > 0);
	assert_int_equal(r, 0);
}

static void assert_lives(struct fixture *f)
{
	settle(f);
	if (f->n_ended)
		fail_msg("ended: %s", f->what);
}

static void assert_ends(struct fixture *f, const char *why)
{
	uint64_t deadline = clock_now_usec() + TEST_DEADLINE_USEC;

	while (f->n_ended == 0 && clock_now_usec() < deadline)
		assert_true(sd_event_run(f->event, CLOCK_USEC_PER_SEC) >= 0);
	settle(f);
	assert_int_equal(f->n_ended, 1);
	if (!strstr(f->what, why))
		fail_msg("ended for another reason: %s", f->what);
}

static const char *at(const struct fixture *f, const char *name)
{
	static char path[256]; /* of a test, for one call */

	(void)snprintf(path, sizeof(path), "%s/%s", f->base, name);
	return path;
}

static void move(const struct fixture *f, const char *from, const char *to)
{
	char old[256];

	(void)snprintf(old, sizeof(old), "%s", at(f, from));
	assert_int_equal(rename(old, at(f, to)), 0);
}

static void make(const struct fixture *f, const char *name)
{
	assert_int_equal(mkdir(at(f, name), 0700), 0);
}

static void make_sandbox(const struct fixture *f)
{
	make(f, "vc");
	make(f, "vc/sbs");
	make(f, "vc/sbs/pod");
}

static void put(const struct fixture *f, const char *name, const char *text, size_t size)
{
	int fd = open(at(f, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(io_write_all(fd, text, size), 0);
	close(fd);
}

static void put_text(const struct fixture *f, const char *name, const char *text)
{
	put(f, name, text, strlen(text));
}

static void put_pid(const struct fixture *f, const char *name, long pid)
{
	char text[128];

	if (strstr(name, "persist"))
		(void)snprintf(text, sizeof(text),
			       "{\"State\":\"running\",\"HypervisorState\":{\"Type\":\"qemu\","
			       "\"Pid\":%ld}}",
			       pid);
	else
		(void)snprintf(text, sizeof(text),
			       "{\"sandbox_type\":\"x\",\"hypervisor\":{\"pid\":%ld}}", pid);
	put_text(f, name, text);
}

static pid_t start_child(struct fixture *f)
{
	pid_t parent = getpid(), pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
			_exit(1);
		for (;;)
			pause();
	}
	assert_true(f->n_children < N_CHILDREN);
	f->children[f->n_children++] = pid;
	return pid;
}

/* Not reaped until the teardown: a zombie is gone to us. */
static void end_child(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), 0);
}

static void assert_vm(struct fixture *f, pid_t pid, unsigned n_told)
{
	uint64_t start_ticks;

	settle(f);
	assert_int_equal(f->n_vms, n_told);
	assert_int_equal(lifetime_vm(f->lifetime).pid, pid);
	if (pid == 0)
		return;
	assert_int_equal(spawn_start_time(pid, &start_ticks), 0);
	assert_int_equal(lifetime_vm(f->lifetime).start_ticks, start_ticks);
	if (n_told) {
		assert_int_equal(f->vm.pid, pid);
		assert_int_equal(f->vm.start_ticks, start_ticks);
	}
}

/* ---- a Kata sandbox ---- */

static void test_before_the_vm_boots(void **state)
{
	struct fixture *f = *state;
	pid_t vm = start_child(f);

	start(f); /* not even the parents' parent is there */
	assert_vm(f, 0, 0);
	make(f, "vc");
	assert_lives(f);
	make(f, "vc/sbs");
	assert_lives(f);
	make(f, "vc/sbs/pod");
	assert_lives(f);
	put_text(f, "vc/sbs/pod/persist.json", "{\"HypervisorState\":{\"Pid\":0}}");
	assert_vm(f, 0, 0);
	put_pid(f, "vc/sbs/pod/persist.json", vm);
	assert_vm(f, vm, 1);
	put_pid(f, "vc/sbs/pod/persist.json", vm); /* the same again */
	assert_vm(f, vm, 1);
	assert_lives(f);
	end_child(vm);
	assert_ends(f, "VMM");
}

static void test_all_at_once(void **state)
{
	struct fixture *f = *state;
	pid_t vm = start_child(f);

	start(f);
	make_sandbox(f);
	put_pid(f, "vc/sbs/pod/persist.json", vm);
	assert_vm(f, vm, 1);
	remove_tree(at(f, "vc"));
	assert_ends(f, "is gone");
}

static void test_runtime_rs(void **state)
{
	struct fixture *f = *state;
	pid_t vm = start_child(f);

	start(f);
	make(f, "kata");
	make(f, "kata/pod");
	put_text(f, "kata/pod/state.json", "{\"hypervisor\":{\"pid\":null,\"netns\":null}}");
	assert_vm(f, 0, 0);
	put_pid(f, "kata/pod/state.json.new", vm);
	assert_vm(f, 0, 0);
	move(f, "kata/pod/state.json.new", "kata/pod/state.json");
	assert_vm(f, vm, 1);
	end_child(vm);
	assert_ends(f, "VMM");
}

static void test_vm_runs_at_the_start(void **state)
{
	struct fixture *f = *state;
	pid_t vm = start_child(f);

	make_sandbox(f);
	put_pid(f, "vc/sbs/pod/persist.json", vm);
	start(f);
	assert_vm(f, vm, 0); /* asked for, not told */
	end_child(vm);
	assert_ends(f, "VMM");
}

static void test_dead_vm_is_not_believed(void **state)
{
	struct fixture *f = *state;
	pid_t dead = start_child(f), vm = start_child(f);

	end_child(dead);
	make_sandbox(f);
	put_pid(f, "vc/sbs/pod/persist.json", dead);
	start(f);
	assert_vm(f, 0, 0);
	assert_lives(f);
	put_pid(f, "vc/sbs/pod/persist.json", vm);
	assert_vm(f, vm, 1);
	put_pid(f, "vc/sbs/pod/persist.json", dead);
	assert_vm(f, vm, 1);
	assert_lives(f);
}

static void test_another_vm(void **state)
{
	struct fixture *f = *state;
	pid_t first = start_child(f), second = start_child(f);

	make_sandbox(f);
	start(f);
	put_pid(f, "vc/sbs/pod/persist.json", first);
	assert_vm(f, first, 1);
	put_pid(f, "vc/sbs/pod/persist.json", second);
	assert_vm(f, second, 2);
	put_pid(f, "vc/sbs/pod/persist.json", first); /* known: no news */
	assert_vm(f, second, 2);
	end_child(first);
	assert_ends(f, "VMM");
}

static void test_more_vms_than_anybody_needs(void **state)
{
	struct fixture *f = *state;
	pid_t vms[LIFETIME_PROCESSES_MAX + 2], parent = getpid();

	make_sandbox(f);
	start(f);
	for (size_t i = 0; i < LIFETIME_PROCESSES_MAX + 2; i++) {
		vms[i] = fork();
		if (vms[i] == 0) {
			if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
				_exit(1);
			for (;;)
				pause();
		}
		put_pid(f, "vc/sbs/pod/persist.json", vms[i]);
		settle(f);
	}
	assert_vm(f, vms[LIFETIME_PROCESSES_MAX - 1], LIFETIME_PROCESSES_MAX);
	assert_lives(f);
	for (size_t i = 0; i < LIFETIME_PROCESSES_MAX + 2; i++) {
		end_child(vms[i]);
		(void)waitpid(vms[i], NULL, 0);
	}
	assert_ends(f, "VMM");
}

static void test_directory_is_removed(void **state)
{
	struct fixture *f = *state;

	make_sandbox(f);
	start(f);
	assert_lives(f);
	/* The kernel keeps the end of a directory that somebody has open from its own watch. */
	CLEANUP(cleanup_close) int fd = open(at(f, "vc/sbs/pod"), O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(rmdir(at(f, "vc/sbs/pod")), 0);
	assert_ends(f, "is gone");
}

static void test_directory_is_moved_away(void **state)
{
	struct fixture *f = *state;

	make_sandbox(f);
	start(f);
	move(f, "vc/sbs/pod", "vc/sbs/old");
	assert_ends(f, "is gone");
}

static void test_directory_is_another_one(void **state)
{
	struct fixture *f = *state;

	make_sandbox(f);
	start(f);
	make(f, "vc/sbs/new"); /* beside it, so that its inode number is another one */
	assert_int_equal(rmdir(at(f, "vc/sbs/pod")), 0);
	move(f, "vc/sbs/new", "vc/sbs/pod");
	assert_ends(f, "another");
}

static void test_parent_is_moved_away(void **state)
{
	struct fixture *f = *state;

	make_sandbox(f);
	start(f);
	move(f, "vc/sbs", "vc/old");
	assert_ends(f, "is gone");
}

static void test_parents_come_and_go_before_it_is_there(void **state)
{
	struct fixture *f = *state;
	pid_t vm = start_child(f);

	make(f, "vc");
	make(f, "vc/sbs");
	start(f);
	for (int i = 0; i < 3; i++) {
		remove_tree(at(f, "vc"));
		assert_lives(f);
		make(f, "vc");
		assert_lives(f);
		make(f, "vc/sbs");
	}
	make(f, "vc/sbs/pod");
	put_pid(f, "vc/sbs/pod/persist.json", vm);
	assert_vm(f, vm, 1);
	assert_int_equal(unlink(at(f, "vc/sbs/pod/persist.json")), 0);
	assert_vm(f, vm, 1);
	assert_lives(f);
	assert_int_equal(rmdir(at(f, "vc/sbs/pod")), 0);
	assert_ends(f, "is gone");
}

static void test_other_sandboxes_do_not_matter(void **state)
{
	struct fixture *f = *state;
	pid_t other = start_child(f);

	make_sandbox(f);
	start(f);
	make(f, "vc/sbs/pod2");
	put_pid(f, "vc/sbs/pod2/persist.json", other);
	assert_vm(f, 0, 0);
	remove_tree(at(f, "vc/sbs/pod2"));
	end_child(other);
	make(f, "vc/sbs/po");
	assert_int_equal(rmdir(at(f, "vc/sbs/po")), 0);
	assert_lives(f);
}

static void test_bad_documents_do_no_harm(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"null",
		"[]",
		"7",
		"{}",
		"{\"HypervisorState\":7}",
		"{\"HypervisorState\":{}}",
		"{\"HypervisorState\":{\"Pid\":-1}}",
		"{\"HypervisorState\":{\"Pid\":1}}",
		"{\"HypervisorState\":{\"Pid\":\"%d\"}}",
		"{\"HypervisorState\":{\"Pid\":%d.0}}",
		"{\"HypervisorState\":{\"Pid\":[%d]}}",
		"{\"HypervisorState\":{\"Pid\":99999999999999999999}}",
		"{\"HypervisorState\":{\"Pid\":4294967297}}",
		"{\"HypervisorState\":{\"pid\":%d}}",
		"{\"hypervisorState\":{\"Pid\":%d}}",
		"{\"hypervisor\":{\"pid\":%d}}",
		"{\"Pid\":%d}",
		"{\"a\":{\"HypervisorState\":{\"Pid\":%d}}}",
		"{\"HypervisorState\":{\"Pid\":%d}} x",
		"{\"HypervisorState\":{\"Pid\":%d}}{}",
		"{\"HypervisorState\":{\"Pid\":%d}",
		"{\"a\":\"\xff\",\"HypervisorState\":{\"Pid\":%d}}",
	};
	struct fixture *f = *state;
	pid_t vm = start_child(f);

	make_sandbox(f);
	start(f);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char text[256];
		char *hole;

		(void)snprintf(text, sizeof(text), "%s", bad[i]);
		hole = strstr(text, "%d");
		if (hole)
			(void)sprintf(hole, "%d%s", vm, strstr(bad[i], "%d") + 2);
		put_text(f, "vc/sbs/pod/persist.json", text);
		settle(f);
		if (lifetime_vm(f->lifetime).pid != 0)
			fail_msg("believed: %s", text);
	}
	assert_lives(f);
	put_pid(f, "vc/sbs/pod/persist.json", vm);
	assert_vm(f, vm, 1);
}

static void test_huge_and_strange_files_do_no_harm(void **state)
{
	struct fixture *f = *state;
	pid_t vm = start_child(f);
	size_t size = LIFETIME_DOCUMENT_MAX + 1;
	CLEANUP(cleanup_free) char *text = malloc(size);
	int n;

	make_sandbox(f);
	start(f);
	memset(text, '[', size);
	put(f, "vc/sbs/pod/persist.json", text, size - 1);
	assert_vm(f, 0, 0);
	memset(text, ' ', size);
	n = sprintf(text, "{\"HypervisorState\":{\"Pid\":%d}}", vm);
	text[n] = ' ';
	put(f, "vc/sbs/pod/persist.json", text, size);
	assert_vm(f, 0, 0);
	assert_int_equal(unlink(at(f, "vc/sbs/pod/persist.json")), 0);
	make(f, "vc/sbs/pod/persist.json");
	assert_vm(f, 0, 0);
	assert_int_equal(rmdir(at(f, "vc/sbs/pod/persist.json")), 0);
	assert_int_equal(mkfifo(at(f, "vc/sbs/pod/persist.json"), 0600), 0);
	assert_vm(f, 0, 0);
	assert_int_equal(unlink(at(f, "vc/sbs/pod/persist.json")), 0);
	put_pid(f, "elsewhere-persist.json", vm);
	assert_int_equal(
		symlink("../../../elsewhere-persist.json", at(f, "vc/sbs/pod/persist.json")), 0);
	assert_vm(f, 0, 0);
	assert_int_equal(unlink(at(f, "vc/sbs/pod/persist.json")), 0);
	put(f, "vc/sbs/pod/persist.json", text, size - 1); /* just not too long */
	assert_vm(f, vm, 1);
	assert_lives(f);
}

/* More events than the kernel keeps: what was lost is looked at anyhow. */
static void test_overflow_of_the_queue(void **state)
{
	struct fixture *f = *state;
	CLEANUP(cleanup_free) char *text = NULL;
	CLEANUP(cleanup_free) char *path = NULL;
	unsigned long limit;

	assert_int_equal(io_read_path(QUEUE_FILE, 64, &text, NULL), 0);
	limit = strtoul(text, NULL, 10);
	make_sandbox(f);
	start(f);
	path = strdup(at(f, "vc/sbs/x"));
	for (unsigned long i = 0; i < limit; i++) { /* three events each */
		int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		assert_true(fd >= 0);
		close(fd);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(rmdir(at(f, "vc/sbs/pod")), 0);
	assert_ends(f, "is gone");
}

static void test_idle_is_idle(void **state)
{
	struct fixture *f = *state;
	pid_t vm = start_child(f);

	make_sandbox(f);
	put_pid(f, "vc/sbs/pod/persist.json", vm);
	start(f);
	settle(f);
	assert_int_equal(sd_event_run(f->event, 200000), 0);
}

static void test_freed_when_it_ends(void **state)
{
	struct fixture *f = *state;

	f->free_when_ended = true;
	make_sandbox(f);
	start(f);
	assert_int_equal(rmdir(at(f, "vc/sbs/pod")), 0);
	assert_ends(f, "is gone");
	assert_null(f->lifetime);
}

static void test_told_once(void **state)
{
	struct fixture *f = *state;
	pid_t vm = start_child(f);

	make_sandbox(f);
	put_pid(f, "vc/sbs/pod/persist.json", vm);
	start(f);
	end_child(vm);
	remove_tree(at(f, "vc"));
	assert_ends(f, "");
	make_sandbox(f);
	settle(f);
	assert_int_equal(f->n_ended, 1);
}

/* ---- processes ---- */

static void test_pids_of_the_command_line(void **state)
{
	struct fixture *f = *state;
	pid_t vm = start_child(f), pause_process = start_child(f);

	f->config.vm_pid = vm;
	f->config.netns_pid = pause_process;
	start(f);
	assert_vm(f, vm, 0);
	/* what is said on the command line is not asked of a document */
	make_sandbox(f);
	put_pid(f, "vc/sbs/pod/persist.json", pause_process);
	assert_vm(f, vm, 0);
	assert_lives(f);
	end_child(pause_process);
	assert_ends(f, "process");
}

static void test_vm_pid_ends(void **state)
{
	struct fixture *f = *state;

	f->config.vm_pid = start_child(f);
	f->config.sandbox_id = NULL;
	start(f);
	assert_lives(f);
	end_child(f->config.vm_pid);
	assert_ends(f, "VMM");
}

static void test_vm_in_its_own_namespace_process(void **state)
{
	struct fixture *f = *state;
	pid_t vm = start_child(f);

	f->config.netns_pid = vm;
	make_sandbox(f);
	put_pid(f, "vc/sbs/pod/persist.json", vm);
	start(f);
	assert_vm(f, vm, 0);
	end_child(vm);
	assert_ends(f, "ended");
}

static void test_no_such_process(void **state)
{
	struct fixture *f = *state;
	pid_t dead = start_child(f);

	end_child(dead);
	f->config.vm_pid = dead;
	assert_int_equal(lifetime_new(&f->lifetime, f->event, &f->config), -ESRCH);
	f->config.vm_pid = 0;
	f->config.netns_pid = 4194304; /* above what the kernel gives */
	assert_int_equal(lifetime_new(&f->lifetime, f->event, &f->config), -ESRCH);
	assert_null(f->lifetime);
}

/* ---- network namespaces by path ---- */

/* In a mount namespace of our own, with a /run of its own. */
static int setup_netns(void **state)
{
	if (setup(state) < 0)
		return -1;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -1;
	return mount("tmpfs", "/run", "tmpfs", 0, "mode=755");
}

static int teardown_netns(void **state)
{
	(void)umount2("/run", MNT_DETACH);
	return teardown(state);
}

/* ip netns ACTION NAME */
static void netns(const char *action, const char *name)
{
	const char *argv[] = { "ip", "netns", action, name, NULL };
	struct spawn_request request = { .argv = argv, .stdout_fd = -1, .stderr_fd = -1 };
	CLEANUP(spawn_child_done) struct spawn_child child = SPAWN_CHILD_NULL;
	struct pollfd ended = { .events = POLLIN };
	int status = -1;

	assert_int_equal(spawn_start(&request, &child), 0);
	ended.fd = child.pidfd;
	assert_int_equal(poll(&ended, 1, (int)(TEST_DEADLINE_USEC / CLOCK_USEC_PER_MSEC)), 1);
	assert_int_equal(spawn_reap(&child, &status), 0);
	if (status != 0)
		fail_msg("ip netns %s %s: %d", action, name, status);
}

/* The monitor keeps the namespace by its sockets for as long as it lives; here by this. */
static void watch_netns(struct fixture *f, const char *path)
{
	f->config.netns_path = path;
	f->config.netns_fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(f->config.netns_fd >= 0);
	start(f);
	assert_lives(f);
}

static void test_netns_is_deleted(void **state)
{
	struct fixture *f = *state;

	netns("add", "pod");
	watch_netns(f, "/run/netns/pod");
	netns("add", "other");
	netns("del", "other");
	assert_lives(f);
	netns("del", "pod");
	assert_ends(f, "is gone");
	close(f->config.netns_fd);
}

static void test_netns_is_another_one(void **state)
{
	struct fixture *f = *state;

	netns("add", "pod");
	watch_netns(f, "/var/run/netns/pod"); /* through the link that /var/run is */
	netns("del", "pod");
	netns("add", "pod");
	assert_ends(f, "another");
	close(f->config.netns_fd);
	netns("del", "pod");
}

static void test_netns_through_a_link(void **state)
{
	struct fixture *f = *state;
	char *path = strdupa(at(f, "link"));

	netns("add", "pod");
	assert_int_equal(symlink("hop", path), 0);
	assert_int_equal(symlink("/run/netns/pod", at(f, "hop")), 0);
	watch_netns(f, path);
	netns("del", "pod");
	assert_ends(f, "is gone");
	close(f->config.netns_fd);
}

static void test_netns_link_is_removed(void **state)
{
	struct fixture *f = *state;
	char *path = strdupa(at(f, "link"));

	netns("add", "pod");
	assert_int_equal(symlink("/run/netns/pod", path), 0);
	watch_netns(f, path);
	assert_int_equal(unlink(path), 0);
	assert_ends(f, "is gone");
	close(f->config.netns_fd);
	netns("del", "pod");
}

static void test_netns_relative_path(void **state)
{
	struct fixture *f = *state;

	netns("add", "pod");
	assert_int_equal(chdir("/run/netns"), 0);
	watch_netns(f, "pod");
	assert_int_equal(chdir("/"), 0);
	netns("del", "pod");
	assert_ends(f, "is gone");
	close(f->config.netns_fd);
}

static void test_netns_is_gone_at_the_start(void **state)
{
	struct fixture *f = *state;

	netns("add", "pod");
	f->config.netns_path = "/run/netns/pod";
	f->config.netns_fd = open(f->config.netns_path, O_RDONLY | O_CLOEXEC);
	netns("del", "pod");
	start(f);
	assert_ends(f, "is gone");
	close(f->config.netns_fd);
}

static void test_netns_of_a_process(void **state)
{
	struct fixture *f = *state;
	pid_t pid = start_child(f);
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	/* as an engine does it: a name that leads below /proc */
	assert_int_equal(symlink(path, at(f, "link")), 0);
	watch_netns(f, strdupa(at(f, "link")));
	end_child(pid);
	assert_ends(f, "process");
	close(f->config.netns_fd);
}

static void test_netns_of_a_dead_process(void **state)
{
	struct fixture *f = *state;
	pid_t pid = start_child(f);
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	f->config.netns_path = path;
	f->config.netns_fd = open(path, O_RDONLY | O_CLOEXEC);
	end_child(pid);
	start(f);
	assert_ends(f, "process");
	close(f->config.netns_fd);
}

#define CASE(test)	 cmocka_unit_test_setup_teardown(test, setup, teardown)
#define CASE_NETNS(test) cmocka_unit_test_setup_teardown(test, setup_netns, teardown_netns)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_before_the_vm_boots),
		CASE(test_all_at_once),
		CASE(test_runtime_rs),
		CASE(test_vm_runs_at_the_start),
		CASE(test_dead_vm_is_not_believed),
		CASE(test_another_vm),
		CASE(test_more_vms_than_anybody_needs),
		CASE(test_directory_is_removed),
		CASE(test_directory_is_moved_away),
		CASE(test_directory_is_another_one),
		CASE(test_parent_is_moved_away),
		CASE(test_parents_come_and_go_before_it_is_there),
		CASE(test_other_sandboxes_do_not_matter),
		CASE(test_bad_documents_do_no_harm),
		CASE(test_huge_and_strange_files_do_no_harm),
		CASE(test_overflow_of_the_queue),
		CASE(test_idle_is_idle),
		CASE(test_freed_when_it_ends),
		CASE(test_told_once),
		CASE(test_pids_of_the_command_line),
		CASE(test_vm_pid_ends),
		CASE(test_vm_in_its_own_namespace_process),
		CASE(test_no_such_process),
		CASE_NETNS(test_netns_is_deleted),
		CASE_NETNS(test_netns_is_another_one),
		CASE_NETNS(test_netns_through_a_link),
		CASE_NETNS(test_netns_link_is_removed),
		CASE_NETNS(test_netns_relative_path),
		CASE_NETNS(test_netns_is_gone_at_the_start),
		CASE_NETNS(test_netns_of_a_process),
		CASE_NETNS(test_netns_of_a_dead_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
