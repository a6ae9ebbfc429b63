/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One sandbox's monitor on sd-event.
 *
 * How it works. Handlers of sockets only read and mark. The work is one one-shot source of IDLE
 * priority, so that it runs when nothing else is ready: ten hints are one look. In a namespace that
 * is never quiet that never comes, but the handler of the sockets does: after the ceiling it works
 * itself. One timer runs the work at the next time that observe.c or reconcile.c named; when neither
 * did, it is off: an idle monitor has no wake-ups.
 *
 * No handler returns a negative number: sd-event would mute its source without a word.
 *
 * The life: subscribe -> lock -> load state -> (wait for a predecessor's orphaned runtime child) ->
 * first complete look -> start -> work until the sandbox ends or a signal comes.
 */
#include "netmon/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include "base/error.h"
#include "base/io.h"
#include "netmon/audit.h"
#include "netmon/kernel.h"
#include "netmon/lifetime.h"
#include "netmon/lock.h"
#include "netmon/netns.h"
#include "netmon/observe.h"
#include "netmon/reconcile.h"
#include "netmon/report.h"
#include "netmon/state.h"

/* A table of so many routes gone is memory worth giving back to the system. */
#define MONITOR_TRIM_ROUTES 2000
#define MONITOR_ONCE_MSEC   2000

struct monitor {
	const struct options *options;
	const struct monitor_sink *kind;
	sd_event *event;

	int netns_fd; /* -1: where we are */
	pid_t netns_pid;
	int dirfd;
	char dir_path[PATH_MAX];
	struct lock lock;
	struct audit *audit;
	struct kernel *kernel;
	struct lifetime *lifetime;
	struct process_id vm; /* pid 0: not known yet */
	struct state *state;
	struct state_loaded loaded;
	struct sink *sink;
	struct observe observe;
	struct reconcile reconcile;
	bool is_started;
	bool is_ending;
	bool sandbox_gone;
	size_t routes_high; /* most routes seen since memory was given back */

	int orphan_fd; /* pidfd of a predecessor's runtime child, -1 */
	sd_event_source *on_event_fd, *on_neigh_fd, *on_log_fd;
	sd_event_source *work, *timer;
	uint64_t work_wanted_usec; /* since when; 0: it is not */
	sd_event_source *orphan, *orphan_deadline;
};

/* ---- audit ---- */

static void audit_life(struct monitor *m, const char *op, const char *result, const char *reason)
{
	audit_write(m->audit, &(struct audit_record){
				      .kind = AUDIT_LIFE,
				      .op = op,
				      .interface = "",
				      .generation = m->observe.generation,
				      .attempt = 1,
				      .result = result,
				      .reason = reason,
			      });
}

static void audit_resync(struct monitor *m, const char *reason)
{
	audit_write(m->audit, &(struct audit_record){
				      .kind = AUDIT_RESYNC,
				      .op = "resync",
				      .interface = "",
				      .generation = m->observe.generation,
				      .attempt = 1,
				      .result = "done",
				      .reason = reason,
			      });
}

static void audit_losses(struct monitor *m, unsigned lost)
{
	for (enum source_condition c = SOURCE_OVERRUN; c < _SOURCE_CONDITION_MAX; c++)
		if (lost & 1U << c)
			audit_resync(m, source_condition_to_string(c));
}

static void on_audit(void *userdata, const struct audit_record *record)
{
	struct monitor *m = userdata;

	audit_write(m->audit, record);
}

/* ---- timers of the loop ---- */

/* Setting a source that exists can only fail for our own mistakes; saying so beats silence. */
static void check(int r, const char *what)
{
	if (r < 0)
		log_error("event loop: %s: %s", what, strerror(-r));
}

static void run_timer(sd_event_source *s, uint64_t usec, const char *what)
{
	if (usec == CLOCK_NEVER) {
		check(sd_event_source_set_enabled(s, SD_EVENT_OFF), what);
		return;
	}
	check(sd_event_source_set_time(s, usec), what);
	check(sd_event_source_set_enabled(s, SD_EVENT_ONESHOT), what);
}

/* To be looked at when nothing else is ready. */
static void want_work(struct monitor *m)
{
	check(sd_event_source_set_enabled(m->work, SD_EVENT_ONESHOT), "work");
	if (!m->work_wanted_usec)
		m->work_wanted_usec = clock_now_usec();
}

static int on_log_writable(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct monitor *m = userdata;

	(void)s, (void)fd, (void)revents;
	log_flush();
	if (!log_pending())
		m->on_log_fd = sd_event_source_disable_unref(m->on_log_fd);
	return 0;
}

/* What the log's target did not take waits in its queue; the loop writes it when it can. */
static void watch_log(struct monitor *m)
{
	int fd = log_pending() ? log_fd() : -1;

	if (fd >= 0 && m->on_log_fd && sd_event_source_get_io_fd(m->on_log_fd) == fd)
		return;
	m->on_log_fd = sd_event_source_disable_unref(m->on_log_fd);
	if (fd >= 0)
		check(sd_event_add_io(m->event, &m->on_log_fd, fd, EPOLLOUT, on_log_writable, m),
		      "log");
}

/* ---- work ---- */

static struct reconcile_truth truth(const struct monitor *m)
{
	return (struct reconcile_truth){
		.seen = &m->observe.seen,
		.generation = m->observe.generation,
		.routes_settled = observe_is_settled(&m->observe, MODEL_ROUTE),
	};
}

static int start(struct monitor *m)
{
	struct reconcile_truth now = truth(m);
	struct reconcile_past past = {
		.acked = m->loaded.is_fresh ? NULL : &m->loaded.acked,
		.maybe = m->loaded.maybe,
		.n_maybe = m->loaded.n_maybe,
		.has_pending = m->loaded.pending.is_set,
		.pending_verb = m->loaded.pending.verb,
		.pending_link = m->loaded.pending.link,
		.pending_if_done = &m->loaded.pending.if_done,
	};
	int r = reconcile_start(&m->reconcile, &past, &now);

	if (r < 0)
		return err_pass(r);
	m->is_started = true;
	/*
	 * A baseline has to be on disk before the first op. What was loaded is there, with what was
	 * in flight: that stays as it is until the next intent takes it over (state_set_maybe()).
	 */
	if (m->loaded.is_fresh)
		state_set_maybe(m->state, m->reconcile.maybe.links, m->reconcile.maybe.n);
	if (m->loaded.is_fresh && state_compact(m->state, &m->reconcile.acked) < 0)
		err_clear(); /* broken: tried again every second */
	/* What it was to put counts as put (reconcile_start()): a second kill must not lose that. */
	if (m->loaded.pending.is_set && m->sink->ops->guest && doubt_is_put(m->loaded.pending.verb))
		state_outcome(m->state, true);
	state_loaded_done(&m->loaded);
	audit_resync(m, "start");
	return 0;
}

static void save_when_idle(struct monitor *m)
{
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;

	if (!reconcile_is_idle(&m->reconcile) || !state_wants_compaction(m->state))
		return;
	if (reconcile_acked_at_rest(&m->reconcile, &acked) < 0 ||
	    state_compact(m->state, &acked) < 0)
		err_clear(); /* said once by state.c's caller in on_state(); tried again below */
}

/* After a storm the tables of its height are gone, but malloc keeps what it got. */
static void trim_when_idle(struct monitor *m)
{
	size_t n = snapshot_routes(&m->observe.seen)->n;

	if (n > m->routes_high)
		m->routes_high = n;
	if (!reconcile_is_idle(&m->reconcile) || m->routes_high < n + MONITOR_TRIM_ROUTES)
		return;
	m->routes_high = n;
	(void)malloc_trim(0);
}

/* One look, one plan, at most one op begun. Return: < 0 when it could not be done now. */
static int look_and_act(struct monitor *m, uint64_t now_usec, bool *ret_more)
{
	struct reconcile_truth t;
	int r = observe_step(&m->observe, now_usec);

	if (r < 0)
		return err_pass(r);
	*ret_more = r == OBSERVE_MORE;
	audit_losses(m, observe_take_lost(&m->observe));
	if (!observe_is_complete(&m->observe) || m->orphan_fd >= 0)
		return 0;
	if (!m->is_started) {
		r = start(m);
		if (r < 0)
			return err_pass(r);
	}
	t = truth(m);
	return err_pass(reconcile_step(&m->reconcile, &t, now_usec));
}

static uint64_t next_look_usec(const struct monitor *m, uint64_t now_usec)
{
	uint64_t usec = observe_deadline(&m->observe);
	uint64_t act_usec = m->orphan_fd >= 0 ? CLOCK_NEVER : reconcile_deadline(&m->reconcile);

	if (act_usec < usec)
		usec = act_usec;
	if (m->is_started && state_is_broken(m->state) && usec > now_usec + MONITOR_AGAIN_USEC)
		usec = now_usec + MONITOR_AGAIN_USEC;
	return usec;
}

/*
 * While they are to be dumped anyway nothing they say is news: an ARP flood fills their socket and
 * wakes nobody.
 */
static void hear_neighbours(struct monitor *m)
{
	bool is_dirty = m->observe.dirty & 1U << MODEL_NEIGH;

	check(sd_event_source_set_enabled(m->on_neigh_fd, is_dirty ? SD_EVENT_OFF : SD_EVENT_ON),
	      "neighbours");
}

static void work(struct monitor *m)
{
	uint64_t now_usec = clock_now_usec();
	bool more = false;
	int r = look_and_act(m, now_usec, &more);

	m->work_wanted_usec = 0;
	if (r < 0) {
		log_error("%s; trying again in a second", err_text());
		err_clear();
		run_timer(m->timer, now_usec + MONITOR_AGAIN_USEC, "timer");
		watch_log(m);
		return;
	}
	if (m->is_started) {
		save_when_idle(m);
		trim_when_idle(m);
	}
	hear_neighbours(m);
	if (more)
		want_work(m);
	run_timer(m->timer, more ? CLOCK_NEVER : next_look_usec(m, now_usec), "timer");
	watch_log(m);
}

static int on_work(sd_event_source *s, void *userdata)
{
	(void)s;
	work(userdata);
	return 0;
}

static int on_time(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void)s, (void)usec;
	work(userdata);
	return 0;
}

/* An op ended: the next one should not wait for the idle priority. */
static void on_wake(void *userdata)
{
	struct monitor *m = userdata;

	run_timer(m->timer, 0, "timer");
}

/* ---- the kernel's sockets ---- */

static void stop_watching_kernel(struct monitor *m)
{
	m->on_event_fd = sd_event_source_disable_unref(m->on_event_fd);
	m->on_neigh_fd = sd_event_source_disable_unref(m->on_neigh_fd);
}

static int watch_kernel(struct monitor *m);

/* Sockets beyond use are no end of a monitor: new ones, and everything is read again. */
static void reopen_kernel(struct monitor *m)
{
	struct kernel_config config = {
		.netns_fd = m->netns_fd,
		.event_buffer_bytes = m->options->receive_buffer_bytes,
	};
	struct kernel *k;

	if (kernel_new(&k, &config) < 0) {
		err_clear();
		return; /* the old ones stay; the next failure tries again */
	}
	stop_watching_kernel(m);
	kernel_free(m->kernel);
	m->kernel = k;
	m->observe.source = k;
	observe_resync(&m->observe, clock_now_usec());
	check(watch_kernel(m), "watch the kernel");
	audit_resync(m, "sockets reopened");
}

static int on_kernel(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	struct monitor *m = userdata;

	(void)s, (void)fd, (void)revents;
	if (observe_drain(&m->observe, clock_now_usec()) < 0) {
		log_error("%s; opening new sockets", err_text());
		err_clear();
		reopen_kernel(m);
	}
	if (!m->observe.dirty)
		return 0;
	want_work(m);
	/* Never quiet: we are called again and again, and the idle priority never comes. */
	if (clock_now_usec() - m->work_wanted_usec >= OBSERVE_CEILING_USEC)
		work(m);
	return 0;
}

static int watch_kernel(struct monitor *m)
{
	int r = sd_event_add_io(m->event, &m->on_event_fd, kernel_event_fd(m->kernel), EPOLLIN,
				on_kernel, m);

	if (r >= 0)
		r = sd_event_add_io(m->event, &m->on_neigh_fd, kernel_neigh_fd(m->kernel), EPOLLIN,
				    on_kernel, m);
	return r < 0 ? err_raise(r, "watch the kernel's sockets") : 0;
}

/* ---- the end ---- */

static void end(struct monitor *m, bool sandbox_gone, const char *reason)
{
	if (m->is_ending)
		return;
	m->is_ending = true;
	m->sandbox_gone = sandbox_gone;
	audit_life(m, "end", sandbox_gone ? "sandbox-gone" : "stopped", reason);
	m->sink->ops->stop(m->sink, sandbox_gone);
	if (sandbox_gone)
		state_remove(m->state);
	check(sd_event_exit(m->event, 0), "exit");
}

static void on_sandbox_ended(void *userdata, const char *what)
{
	end(userdata, true, what);
}

/*
 * Of another VMM than the known one nothing is true that was told: that is another life of the
 * sandbox.
 */
static void on_vm_known(void *userdata, const struct process_id *vm)
{
	struct monitor *m = userdata;

	if (m->vm.pid && m->vm.pid != vm->pid) {
		end(m, true, "the sandbox has another VMM");
		return;
	}
	m->vm = *vm;
	if (state_set_vm(m->state, vm) < 0)
		err_clear(); /* broken: written with the next compaction */
}

static int on_end_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
	(void)s;
	end(userdata, false, si->ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
	return 0;
}

static int on_report_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
	struct monitor *m = userdata;

	(void)s, (void)si;
	report_log(&m->observe, &m->reconcile, m->options->debug);
	watch_log(m);
	return 0;
}

/* ---- a predecessor's runtime child ---- */

static void orphan_is_gone(struct monitor *m)
{
	m->orphan = sd_event_source_disable_unref(m->orphan);
	m->orphan_deadline = sd_event_source_disable_unref(m->orphan_deadline);
	m->orphan_fd = cleanup_close_fd(m->orphan_fd);
	audit_resync(m, "the last monitor's runtime call ended");
	want_work(m);
}

static int on_orphan_ended(sd_event_source *s, int fd, uint32_t revents, void *userdata)
{
	(void)s, (void)fd, (void)revents;
	orphan_is_gone(userdata);
	return 0;
}

/* As for our own children: over its deadline it goes with its process group. */
static int on_orphan_late(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct monitor *m = userdata;
	const struct process_id *child = &m->loaded.pending.child;

	(void)s, (void)usec;
	if (process_id_is_same_since(child))
		(void)kill(-child->pid, SIGKILL);
	return 0;
}

static int wait_for_orphan(struct monitor *m)
{
	const struct state_pending *p = &m->loaded.pending;
	uint64_t deadline = clock_now_usec() + m->options->runtime_timeout_sec * CLOCK_USEC_PER_SEC;
	int r;

	if (!p->is_set || !p->child.pid || !process_id_is_same_since(&p->child))
		return 0;
	m->orphan_fd = (int)syscall(SYS_pidfd_open, p->child.pid, 0);
	if (m->orphan_fd < 0)
		return errno == ESRCH ? 0 : err_raise(-errno, "watch process %d", p->child.pid);
	r = sd_event_add_io(m->event, &m->orphan, m->orphan_fd, EPOLLIN, on_orphan_ended, m);
	if (r >= 0)
		r = sd_event_add_time(m->event, &m->orphan_deadline, CLOCK_MONOTONIC, deadline, 0,
				      on_orphan_late, m);
	return r < 0 ? err_raise(r, "watch process %d", p->child.pid) : 0;
}

/* ---- coming up ---- */

static int open_namespace(struct monitor *m)
{
	if (!m->options->netns)
		return 0;
	return err_pass(netns_open(m->options->netns, &m->netns_fd, &m->netns_pid));
}

/*
 * <state dir>/<sandbox id>, and for other sinks than the runtime's a folder of their own in it: a
 * dry run beside the real monitor shares neither lock nor state with it.
 */
static int open_directory(struct monitor *m)
{
	CLEANUP(cleanup_close) int base = -1;
	CLEANUP(cleanup_close) int sandbox = -1;
	const struct options *o = m->options;
	bool is_own = strcmp(o->sink, "cli") != 0;
	int r = io_make_dir(o->state_dir, MONITOR_DIR_MODE, &base);

	if (r < 0)
		return err_pass(r);
	r = snprintf(m->dir_path, sizeof(m->dir_path), "%s/%s%s%s", o->state_dir, o->sandbox_id,
		     is_own ? "/" : "", is_own ? o->sink : "");
	if (r < 0 || (size_t)r >= sizeof(m->dir_path))
		return err_raise(-ENAMETOOLONG, "directory of sandbox '%s'", o->sandbox_id);
	sandbox = io_mkdirat(base, o->sandbox_id, MONITOR_DIR_MODE);
	if (sandbox < 0)
		return err_pass(sandbox);
	m->dirfd = is_own ? io_mkdirat(sandbox, o->sink, MONITOR_DIR_MODE) : TAKE_FD(sandbox);
	return m->dirfd < 0 ? err_pass(m->dirfd) : 0;
}

static int take_lock(struct monitor *m)
{
	int r = lock_take(&m->lock, m->dirfd);

	if (r == LOCK_TAKEN_OVER)
		audit_life(m, "start", "taken-over", "another monitor of this sandbox was ended");
	return r < 0 ? err_pass(r) : 0;
}

static int open_kernel(struct monitor *m)
{
	struct kernel_config config = {
		.netns_fd = m->netns_fd,
		.event_buffer_bytes = m->options->receive_buffer_bytes,
	};
	int r = kernel_new(&m->kernel, &config);

	if (r < 0)
		return err_pass(r);
	return err_pass(observe_init(&m->observe, &kernel_source_ops, m->kernel, clock_now_usec()));
}

static int open_lifetime(struct monitor *m)
{
	const struct options *o = m->options;
	struct lifetime_config config = {
		.sandbox_id = o->sandbox_id,
		.netns_path = o->netns && !m->netns_pid ? o->netns : NULL,
		.netns_fd = m->netns_fd,
		.netns_pid = m->netns_pid,
		.vm_pid = (pid_t)o->vm_pid,
		.ended = on_sandbox_ended,
		.vm_known = on_vm_known,
		.userdata = m,
	};

	return err_pass(lifetime_new(&m->lifetime, m->event, &config));
}

static int identify(const struct monitor *m, struct state_identity *ret)
{
	CLEANUP(cleanup_free) char *boot_id = NULL;
	int r = io_read_path("/proc/sys/kernel/random/boot_id", sizeof(ret->boot_id), &boot_id,
			     NULL);

	if (r < 0)
		return err_pass(r);
	boot_id[strcspn(boot_id, "\n")] = '\0';
	(void)snprintf(ret->boot_id, sizeof(ret->boot_id), "%s", boot_id);
	ret->sink_name = m->kind->ops->name;
	ret->vm = m->vm;
	r = kernel_netns_cookie(m->kernel, &ret->netns_cookie);
	if (r < 0) {
		err_clear(); /* kernels before 5.14: boot id and VM have to do */
		ret->netns_cookie = 0;
	}
	return 0;
}

static int open_state(struct monitor *m)
{
	struct state_identity identity = { 0 };
	int r;

	m->vm = lifetime_vm(m->lifetime);
	r = identify(m, &identity);
	if (r >= 0)
		r = state_open(&m->state, m->dirfd, &identity, &m->loaded);
	if (r < 0)
		return err_pass(r);
	if (m->loaded.was_set_aside)
		log_warn(
			"the state file was damaged; it is kept as state.corrupt-*, and what stood "
			"before the damage counts");
	if (state_is_broken(m->state))
		log_warn("the state can't be written now: after a kill more would be told anew; "
			 "trying again every second");
	return err_pass(wait_for_orphan(m));
}

static void journal_intent(void *userdata, const struct plan *plan, const struct op *op, size_t n,
			   const struct link *maybe, size_t n_maybe)
{
	state_set_maybe(userdata, maybe, n_maybe);
	state_intent(userdata, plan, op, n);
}

static void journal_outcome(void *userdata, const struct plan *plan, const struct op *op, size_t n,
			    size_t n_done)
{
	if (n_done == 0 || n_done == n)
		state_outcome(userdata, n_done > 0);
	else
		state_outcome_part(userdata, plan, op, n_done);
}

static int open_reconcile(struct monitor *m)
{
	const struct options *o = m->options;
	struct reconcile_config config = {
		.view = {
			.kinds = o->kinds,
			.ignore = o->ignore,
			.n_ignore = o->n_ignore,
			.link_local = o->link_local,
			.on_change = o->on_change,
			.caps = m->kind->ops->caps,
		},
		.settle_usec = o->settle_msec * CLOCK_USEC_PER_MSEC,
		.withdraw = o->withdraw,
		.journal = {
			.intent = journal_intent,
			.outcome = journal_outcome,
			.before_exec = state_child_begins,
			.userdata = m->state,
		},
		.audit = on_audit,
		.wake = on_wake,
		.userdata = m,
		.seed = clock_now_usec() ^ (uint64_t)getpid() << 32,
	};
	int r = m->kind->make(&m->sink, m->event, o, m->dirfd, m->dir_path);

	if (r < 0)
		return err_pass(r);
	config.sink = m->sink;
	return err_pass(reconcile_init(&m->reconcile, &config));
}

static int open_sources(struct monitor *m)
{
	int r = sd_event_add_defer(m->event, &m->work, on_work, m);

	if (r >= 0)
		r = sd_event_source_set_priority(m->work, SD_EVENT_PRIORITY_IDLE);
	if (r >= 0)
		r = sd_event_add_time(m->event, &m->timer, CLOCK_MONOTONIC, 0, 1, on_time, m);
	if (r >= 0)
		r = sd_event_add_signal(m->event, NULL, SIGTERM, on_end_signal, m);
	if (r >= 0)
		r = sd_event_add_signal(m->event, NULL, SIGINT, on_end_signal, m);
	if (r >= 0)
		r = sd_event_add_signal(m->event, NULL, SIGUSR1, on_report_signal, m);
	if (r < 0)
		return err_raise(r, "make the event loop");
	run_timer(m->timer, CLOCK_NEVER, "timer");
	want_work(m);
	return 0;
}

static int open_audit(struct monitor *m)
{
	return err_pass(audit_open(&m->audit, m->options->sandbox_id, m->options->audit_file));
}

int monitor_new(struct monitor **ret, sd_event *event, const struct options *options,
		const struct monitor_sink *sink)
{
	/* What can be refused comes first: a monitor that can't start ends no other one. */
	static int (*const steps[])(struct monitor *) = {
		open_namespace, open_kernel, open_lifetime,  open_audit,   open_directory,
		take_lock,	open_state,  open_reconcile, watch_kernel, open_sources,
	};
	CLEANUP(monitor_freep) struct monitor *m = calloc(1, sizeof(*m));

	if (!m)
		return err_raise(-ENOMEM, "make a monitor");
	m->options = options;
	m->kind = sink;
	m->event = sd_event_ref(event);
	m->netns_fd = m->dirfd = m->orphan_fd = -1;
	m->lock = LOCK_NULL;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		int r = steps[i](m);

		if (r < 0)
			return err_pass(r);
	}
	audit_life(m, "start", "done", "");
	*ret = TAKE_PTR(m);
	return 0;
}

static void close_sources(struct monitor *m)
{
	sd_event_source **sources[] = { &m->on_log_fd, &m->work, &m->timer, &m->orphan,
					&m->orphan_deadline };

	stop_watching_kernel(m);
	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++)
		*sources[i] = sd_event_source_disable_unref(*sources[i]);
	(void)cleanup_close_fd(m->orphan_fd);
}

struct monitor *monitor_free(struct monitor *m)
{
	close_sources(m);
	reconcile_done(&m->reconcile);
	if (m->sink)
		m->sink = m->sink->ops->free(m->sink);
	state_free(m->state);
	state_loaded_done(&m->loaded);
	lifetime_free(m->lifetime);
	observe_done(&m->observe);
	if (m->kernel)
		kernel_free(m->kernel);
	if (m->audit)
		audit_close(m->audit);
	lock_release(&m->lock, m->dirfd, m->sandbox_gone);
	if (m->sandbox_gone)
		(void)rmdir(m->dir_path); /* stays when another sink's folder is in it */
	(void)cleanup_close_fd(m->dirfd);
	(void)cleanup_close_fd(m->netns_fd);
	sd_event_unref(m->event);
	free(m);
	return NULL;
}
