/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: what is written comes back, after every kill, and nothing that a disk does ends a
 * monitor. The laws run on random networks and plans; the seed is printed, NETMON_SEED=N repeats a
 * run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/spawn.h"
#include "netmon/diff.h"
#include "netmon/state.h"

#define N_LIVES	     400 /* of the random monitor */
#define N_MANY	     100000
#define NOTHING_LEFT (1024 * 1024)

/* ---- a directory of its own ---- */

struct fixture {
	char path[64];
	int dirfd;
	struct state_identity identity;
};

static void remove_all(int dirfd)
{
	DIR *d = fdopendir(dup(dirfd));
	struct dirent *e;

	if (!d)
		return;
	rewinddir(d);
	while ((e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
		    unlinkat(dirfd, e->d_name, 0) < 0)
			(void)unlinkat(dirfd, e->d_name, AT_REMOVEDIR);
	closedir(d);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (!f)
		return -1;
	(void)snprintf(f->path, sizeof(f->path), "%s", "/tmp/test-state-XXXXXX");
	if (!mkdtemp(f->path))
		return -1;
	f->dirfd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->identity = (struct state_identity){ .boot_id = "0d8e4f3a-boot",
					       .netns_cookie = UINT64_MAX,
					       .sink_name = "cli" };
	*state = f;
	return f->dirfd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	remove_all(f->dirfd);
	close(f->dirfd);
	rmdir(f->path);
	free(f);
	return 0;
}

static void write_file(const struct fixture *f, const char *name, const void *data, size_t size)
{
	int fd = openat(f->dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(io_write_all(fd, data, size), 0);
	close(fd);
}

static char *read_file(const struct fixture *f, const char *name, size_t *ret_size)
{
	int fd = openat(f->dirfd, name, O_RDONLY | O_CLOEXEC);
	char *data = NULL;

	if (fd < 0)
		return NULL;
	assert_int_equal(io_read_all(fd, STATE_BYTES_MAX, &data, ret_size), 0);
	close(fd);
	return data;
}

static bool is_there(const struct fixture *f, const char *name)
{
	struct stat st;

	return fstatat(f->dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static struct state *open_state(const struct fixture *f, struct state_loaded *ret)
{
	struct state *s = NULL;

	assert_int_equal(state_open(&s, f->dirfd, &f->identity, ret), 0);
	return s;
}

/* ---- random networks: small numbers, so that things meet ---- */

static uint64_t next(uint64_t *seed)
{
	uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15)); /* splitmix64 */

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint32_t below(uint64_t *seed, uint32_t n)
{
	return (uint32_t)(next(seed) % n);
}

static uint64_t start_seed(void)
{
	const char *given = getenv("NETMON_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : clock_now_usec();

	print_message("NETMON_SEED=%" PRIu64 "\n", seed);
	return seed;
}

union item {
	struct link link;
	struct addr addr;
	struct route route;
	struct neigh neigh;
};

static void random_link(uint64_t *seed, struct link *l)
{
	l->ifindex = 1 + below(seed, 5);
	l->incarnation = below(seed, 2);
	l->mtu = 1500 - below(seed, 2);
	(void)snprintf(l->name, sizeof(l->name), "eth%u%s", l->ifindex,
		       below(seed, 3) ? "" : "\xff\"\n");
	(void)snprintf(l->kind, sizeof(l->kind), "%s", "veth");
	l->mac_bytes = 6;
	l->mac[5] = (uint8_t)l->ifindex;
	l->sent_usec = below(seed, 3);
	l->replugged = below(seed, 2);
}

static void random_addr(uint64_t *seed, struct addr *a)
{
	a->ifindex = 1 + below(seed, 5);
	a->family = AF_INET;
	a->prefixlen = 24;
	a->learnt = below(seed, 2) & 1;
	a->bytes[0] = 10;
	a->bytes[3] = (uint8_t)below(seed, 3);
}

static void random_route(uint64_t *seed, struct route *r)
{
	r->is_inet6 = below(seed, 2) & 1;
	r->dst[0] = (uint8_t)(10 + below(seed, 12));
	r->prefixlen = 8;
	r->ifindex = 1 + below(seed, 5);
	r->mtu = below(seed, 2);
	if (below(seed, 2)) {
		r->flags |= MODEL_ROUTE_GATEWAY;
		r->gateway[3] = (uint8_t)below(seed, 3);
	}
	if (below(seed, 4) == 0)
		r->flags |= MODEL_ROUTE_LEARNT;
}

static void random_neigh(uint64_t *seed, struct neigh *n)
{
	n->ifindex = 1 + below(seed, 5);
	n->family = AF_INET;
	n->bytes[3] = (uint8_t)below(seed, 3);
	n->mac_bytes = 6;
	n->mac[5] = (uint8_t)below(seed, 2);
	n->learnt = below(seed, 2) & 1;
}

static void random_item(uint64_t *seed, enum model_kind kind, union item *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (kind == MODEL_LINK)
		random_link(seed, &ret->link);
	else if (kind == MODEL_ADDR)
		random_addr(seed, &ret->addr);
	else if (kind == MODEL_ROUTE)
		random_route(seed, &ret->route);
	else
		random_neigh(seed, &ret->neigh);
}

static bool has_key(const struct table *t, const void *item)
{
	for (size_t i = 0; i < t->n; i++)
		if (model_compare_key(t->kind, table_at(t, i), item) == 0)
			return true;
	return false;
}

/* A network in guest form: one item a key, nothing on links that are not there. */
static void random_network(uint64_t *seed, struct snapshot *s)
{
	static const enum model_kind kinds[] = { MODEL_LINK, MODEL_ADDR, MODEL_ROUTE, MODEL_NEIGH };
	static const uint32_t most[] = { 4, 6, 14, 5 };

	assert_int_equal(snapshot_init(s), 0);
	for (size_t k = 0; k < 4; k++) {
		uint32_t n = below(seed, most[k] + 1);
		struct table *t = NULL;

		assert_int_equal(table_new(&t, kinds[k]), 0);
		while (n-- > 0) {
			union item item;

			random_item(seed, kinds[k], &item);
			if (k > 0 &&
			    !table_find_link(snapshot_links(s), k == 1	 ? item.addr.ifindex
								: k == 2 ? item.route.ifindex
									 : item.neigh.ifindex))
				continue;
			if (!has_key(t, &item))
				assert_int_equal(table_add(t, &item), 0);
		}
		table_seal(t);
		snapshot_replace(s, t);
	}
}

/* Also in what is not part of the value: when a link was sent matters after a restart. */
static bool is_same(const struct snapshot *a, const struct snapshot *b)
{
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++) {
		const struct table *x = a->tables[k], *y = b->tables[k];

		if (x->n != y->n ||
		    (x->n > 0 && memcmp(x->items, y->items, x->n * model_bytes(k)) != 0))
			return false;
	}
	return snapshot_equal(a, b) && a->routes_stale == b->routes_stale;
}

static const struct sink_caps all_caps[] = {
	{ .routes_whole = true },
	{ .routes_whole = true, .updates_links = true, .neighbours = true },
	{ .updates_links = true, .neighbours = true },
	{ .neighbours = true },
	/* agents: Kata's of both generations, ours */
	{ .routes_whole = true,
	  .updates_links = true,
	  .neighbours = true,
	  .keeps_links = true,
	  .keeps_neighs = true,
	  .update_flushes = true },
	{ .updates_links = true,
	  .neighbours = true,
	  .keeps_links = true,
	  .keeps_addrs4 = true,
	  .keeps_routes = true,
	  .keeps_neighs = true,
	  .update_flushes = true },
};
#define N_CAPS (sizeof(all_caps) / sizeof(all_caps[0]))

static void make_plan(uint64_t *seed, const struct snapshot *acked, struct plan *ret)
{
	CLEANUP(snapshot_done) struct snapshot wanted = SNAPSHOT_NULL;

	random_network(seed, &wanted);
	assert_int_equal(diff_plan(acked, &wanted, &all_caps[below(seed, N_CAPS)], ret), 0);
}

/* ---- the laws ---- */

static void assert_applied(const struct plan *p, size_t n_done, const struct snapshot *s)
{
	CLEANUP(snapshot_done) struct snapshot want = SNAPSHOT_NULL;

	assert_int_equal(plan_apply(p, n_done, &want), 0);
	if (!is_same(&want, s))
		fail_msg("not what plan_apply() says after %zu of %zu ops, the last a %s", n_done,
			 p->n, n_done ? plan_verb_to_string(p->ops[n_done - 1].verb) : "-");
}

static void assert_pending(const struct plan *p, size_t i, const struct state_pending *pending)
{
	const struct op *op = &p->ops[i];
	const struct link *link = plan_link_to(p, op);

	if (!link)
		link = plan_link_from(p, op);
	assert_true(pending->is_set);
	assert_int_equal(pending->verb, op->verb);
	assert_applied(p, i + 1, &pending->if_done);
	if (link)
		assert_memory_equal(&pending->link, link, sizeof(*link));
}

/*
 * A kill in the middle of op @i, and as many more as the dice say, before it is resolved. Return:
 * how it was
 */
static bool die_in_flight(uint64_t *seed, const struct fixture *f, struct state **s,
			  const struct plan *p, size_t i)
{
	bool done = below(seed, 2);

	do {
		CLEANUP(state_loaded_done) struct state_loaded l = { 0 };

		state_free(*s);
		*s = open_state(f, &l);
		assert_false(l.was_set_aside || l.was_foreign || l.is_fresh);
		assert_applied(p, i, &l.acked);
		assert_pending(p, i, &l.pending);
	} while (below(seed, 2));
	state_outcome(*s, done);
	return done;
}

/* Return: ops that were done */
static size_t live(uint64_t *seed, const struct fixture *f, struct state **s, const struct plan *p)
{
	size_t i;

	for (i = 0; i < p->n; i++) {
		bool done = below(seed, 8) != 0;

		state_intent(*s, p, &p->ops[i], 1);
		if (below(seed, 10) == 0)
			done = die_in_flight(seed, f, s, p, i);
		else
			state_outcome(*s, done);
		if (!done)
			break;
	}
	return i;
}

/*
 * As assert_applied(), and what an op that was not done leaves in doubt: a route set is due again;
 * a link whose deletion was not done is another life's.
 */
static void assert_lived(const struct plan *p, size_t n_done, const struct snapshot *s)
{
	CLEANUP(snapshot_done) struct snapshot want = SNAPSHOT_NULL;
	const struct op *undone = n_done < p->n ? &p->ops[n_done] : NULL;

	assert_int_equal(plan_apply(p, n_done, &want), 0);
	if (undone && undone->verb == PLAN_ROUTES_SET)
		want.routes_stale = true;
	if (undone && undone->verb == PLAN_LINK_DEL) {
		uint32_t ifindex = plan_link_from(p, undone)->ifindex;
		struct table *links;

		assert_int_equal(table_copy(snapshot_links(&want), &links), 0);
		for (size_t i = 0; i < links->n; i++)
			if (links->links[i].ifindex == ifindex)
				links->links[i].incarnation = UINT32_MAX;
		table_seal(links);
		snapshot_replace(&want, links);
	}
	if (!is_same(&want, s))
		fail_msg("not what was lived after %zu of %zu ops", n_done, p->n);
}

static void test_replay_is_plan_apply(void **state)
{
	const struct fixture *f = *state;
	uint64_t seed = start_seed();
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;
	CLEANUP(state_loaded_done) struct state_loaded fresh = { 0 };
	struct state *s = open_state(f, &fresh);

	assert_true(fresh.is_fresh);
	random_network(&seed, &acked);
	assert_int_equal(state_compact(s, &acked), 0);
	for (int i = 0; i < N_LIVES; i++) {
		CLEANUP(plan_done) struct plan p = PLAN_NULL;
		CLEANUP(state_loaded_done) struct state_loaded l = { 0 };
		size_t n_done;

		make_plan(&seed, &acked, &p);
		n_done = live(&seed, f, &s, &p);
		assert_false(state_is_broken(s));
		state_free(s);
		s = open_state(f, &l);
		assert_false(l.is_fresh || l.was_set_aside || l.was_foreign || l.pending.is_set);
		assert_lived(&p, n_done, &l.acked);
		snapshot_copy(&acked, &l.acked);
	}
	state_free(s);
}

/* Several plans in one life, with a compaction now and then: the journal grows long. */
static void test_replay_of_a_long_life(void **state)
{
	const struct fixture *f = *state;
	uint64_t seed = start_seed();
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;
	CLEANUP(state_loaded_done) struct state_loaded l = { 0 };
	struct state *s = open_state(f, &l);

	state_loaded_done(&l);
	random_network(&seed, &acked);
	assert_int_equal(state_compact(s, &acked), 0);
	for (int i = 0; i < N_LIVES * 5; i++) {
		CLEANUP(plan_done) struct plan p = PLAN_NULL;
		CLEANUP(snapshot_done) struct snapshot after = SNAPSHOT_NULL;
		size_t n_done = 0;

		make_plan(&seed, &acked, &p);
		for (; n_done < p.n; n_done++) {
			state_intent(s, &p, &p.ops[n_done], 1);
			state_outcome(s, true);
		}
		assert_int_equal(plan_apply(&p, n_done, &after), 0);
		snapshot_copy(&acked, &after);
		if (state_wants_compaction(s) && below(&seed, 3) == 0)
			assert_int_equal(state_compact(s, &acked), 0);
	}
	state_free(s);
	s = open_state(f, &l);
	assert_true(is_same(&acked, &l.acked));
	state_free(s);
}

/* Whole lines that say "done": a line counts with its newline. */
static size_t count_done(const char *data, size_t size)
{
	static const char done[] = "{\"done\":";
	const char *end = data + size;
	const char *newline;
	size_t n = 0;

	for (; (newline = memchr(data, '\n', (size_t)(end - data))) != NULL; data = newline + 1)
		n += strncmp(data, done, strlen(done)) == 0;
	return n;
}

/*
 * A kill may cut the file at any byte: whatever the length, the done ops count and nothing is
 * called damage.
 */
static void test_every_prefix_is_true(void **state)
{
	const struct fixture *f = *state;
	uint64_t seed = start_seed();
	CLEANUP(state_loaded_done) struct state_loaded fresh = { 0 };
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;
	CLEANUP(plan_done) struct plan p = PLAN_NULL;
	CLEANUP(cleanup_free) char *journal = NULL;
	struct state *s = open_state(f, &fresh);
	size_t size, start;
	struct stat st;

	do {
		plan_done(&p);
		snapshot_done(&acked);
		random_network(&seed, &acked);
		make_plan(&seed, &acked, &p);
	} while (p.n < 6);
	assert_int_equal(state_compact(s, &acked), 0);
	assert_int_equal(fstatat(f->dirfd, STATE_FILE_NAME, &st, 0), 0);
	start = (size_t)st.st_size;
	for (size_t i = 0; i < p.n; i++) {
		state_intent(s, &p, &p.ops[i], 1);
		state_outcome(s, true);
	}
	state_free(s);
	journal = read_file(f, STATE_FILE_NAME, &size);
	for (size_t n = start; n <= size; n++) {
		CLEANUP(state_loaded_done) struct state_loaded l = { 0 };
		size_t n_done = count_done(journal, n);

		write_file(f, STATE_FILE_NAME, journal, n);
		s = open_state(f, &l);
		assert_false(l.was_set_aside || l.was_foreign || l.is_fresh);
		assert_applied(&p, n_done, &l.acked);
		if (l.pending.is_set)
			assert_pending(&p, n_done, &l.pending);
		state_free(s);
	}
}

/* ---- who it is about ---- */

static void write_one_link(const struct fixture *f, const struct process_id *vm)
{
	CLEANUP(state_loaded_done) struct state_loaded l = { 0 };
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;
	struct link link = { .ifindex = 4, .name = "eth1" };
	struct table *t = NULL;
	struct state *s;

	(void)unlinkat(f->dirfd, STATE_FILE_NAME, 0);
	s = open_state(f, &l);
	assert_true(l.is_fresh);
	assert_false(is_there(f, STATE_FILE_NAME)); /* not before the baseline */
	assert_true(state_wants_compaction(s));
	assert_false(state_is_broken(s));
	assert_int_equal(snapshot_init(&acked), 0);
	assert_int_equal(table_new(&t, MODEL_LINK), 0);
	assert_int_equal(table_add(t, &link), 0);
	table_seal(t);
	snapshot_replace(&acked, t);
	acked.routes_stale = true;
	assert_int_equal(state_compact(s, &acked), 0);
	assert_false(state_wants_compaction(s));
	if (vm)
		assert_int_equal(state_set_vm(s, vm), 0);
	state_free(s);
}

static void assert_kept(const struct fixture *f, bool is_kept)
{
	CLEANUP(state_loaded_done) struct state_loaded l = { 0 };

	state_free(open_state(f, &l));
	assert_false(l.was_set_aside);
	assert_int_equal(l.was_foreign, !is_kept);
	assert_int_equal(l.is_fresh, !is_kept);
	assert_int_equal(snapshot_links(&l.acked)->n, is_kept);
	assert_int_equal(l.acked.routes_stale, is_kept);
	assert_int_equal(is_there(f, STATE_FILE_NAME), is_kept);
}

static void test_another_life_is_swept_away(void **state)
{
	struct fixture *f = *state;
	struct state_identity ours = f->identity;

	write_one_link(f, NULL);
	assert_kept(f, true);
	f->identity.netns_cookie--;
	assert_kept(f, false);
	f->identity = ours;
	write_one_link(f, NULL);
	(void)snprintf(f->identity.boot_id, sizeof(f->identity.boot_id), "%s", "another");
	assert_kept(f, false);
	f->identity = ours;
	write_one_link(f, NULL);
	f->identity.sink_name = "record";
	assert_kept(f, false);
}

static pid_t start_child(struct process_id *ret)
{
	pid_t parent = getpid(), pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) { /* ends with us */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
			_exit(1);
		for (;;)
			pause();
	}
	ret->pid = pid;
	assert_int_equal(spawn_start_time(pid, &ret->start_ticks), 0);
	return pid;
}

static void end_child(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

static void test_vm_is_part_of_the_identity(void **state)
{
	struct fixture *f = *state;
	struct process_id vm, other = { .pid = getpid() };
	pid_t pid = start_child(&vm);

	assert_int_equal(spawn_start_time(0, &other.start_ticks), 0);
	/* saved, we know none, it lives: ours, and it stays written down */
	write_one_link(f, &vm);
	assert_kept(f, true);
	assert_kept(f, true);
	/* the very same */
	f->identity.vm = vm;
	assert_kept(f, true);
	/* same pid, other start: another one */
	f->identity.vm.start_ticks++;
	assert_kept(f, false);
	/* another pid */
	f->identity.vm = (struct process_id){ 0 };
	write_one_link(f, NULL);
	f->identity.vm = vm;
	assert_kept(f, true); /* saved without a vm: matches any, and is saved with it now */
	f->identity.vm = other;
	assert_kept(f, false);
	/* saved, we know none, it is dead, though not reaped */
	f->identity.vm = (struct process_id){ 0 };
	write_one_link(f, &vm);
	assert_kept(f, true);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT), 0);
	assert_false(process_id_is_alive(&vm));
	assert_kept(f, false);
	end_child(pid);
}

static void test_vm_becomes_known_in_flight(void **state)
{
	struct fixture *f = *state;
	uint64_t seed = start_seed();
	CLEANUP(state_loaded_done) struct state_loaded l = { 0 };
	CLEANUP(plan_done) struct plan p = PLAN_NULL;
	struct process_id vm = { .pid = getpid() };
	struct state *s;

	assert_int_equal(spawn_start_time(0, &vm.start_ticks), 0);
	write_one_link(f, NULL);
	s = open_state(f, &l);
	do {
		plan_done(&p);
		make_plan(&seed, &l.acked, &p);
	} while (p.n == 0);
	state_intent(s, &p, &p.ops[0], 1);
	assert_int_equal(state_set_vm(s, &vm), 0);
	assert_int_equal(state_set_vm(s, &vm), 0);
	state_outcome(s, true);
	state_free(s);
	state_loaded_done(&l);
	f->identity.vm = vm;
	state_free(open_state(f, &l));
	assert_applied(&p, 1, &l.acked);
}

/* ---- the child ---- */

static void test_child_writes_itself_down(void **state)
{
	const struct fixture *f = *state;
	uint64_t seed = start_seed();
	static const char *const argv[] = { "/bin/sleep", "100", NULL };
	struct spawn_request request = { .argv = argv, .stdout_fd = -1, .stderr_fd = -1 };
	CLEANUP(spawn_child_done) struct spawn_child child = SPAWN_CHILD_NULL;
	CLEANUP(plan_done) struct plan p = PLAN_NULL;
	struct state_loaded l = { 0 };
	struct process_id first;
	struct state *s;

	write_one_link(f, NULL);
	s = open_state(f, &l);
	do {
		plan_done(&p);
		make_plan(&seed, &l.acked, &p);
	} while (p.n == 0);
	state_loaded_done(&l);
	state_intent(s, &p, &p.ops[0], 1);
	request.before_exec = state_child_begins;
	request.arg = s;
	assert_int_equal(spawn_start(&request, &child), 0);
	for (int i = 0; i < 2; i++) { /* and it outlives a second kill */
		state_free(s);
		s = open_state(f, &l);
		assert_pending(&p, 0, &l.pending);
		first = l.pending.child;
		assert_int_equal(first.pid, child.pid);
		assert_true(process_id_is_same_since(&first));
		state_loaded_done(&l);
	}
	state_outcome(s, false);
	/* without an intent nothing is written */
	assert_int_equal(state_child_begins(s), 0);
	state_free(s);
	s = open_state(f, &l);
	assert_false(l.pending.is_set || l.was_set_aside);
	state_loaded_done(&l);
	state_free(s);
}

/* Ops that go together, and only the first two of them come through. */
static void test_of_ops_that_went_together_those_that_are_done_count(void **state)
{
	const struct fixture *f = *state;
	CLEANUP(snapshot_done) struct snapshot from = SNAPSHOT_NULL, to = SNAPSHOT_NULL;
	CLEANUP(plan_done) struct plan p = PLAN_NULL;
	CLEANUP(state_loaded_done) struct state_loaded l = { 0 };
	static const struct sink_caps caps = { .updates_links = true };
	struct table *t = NULL;
	struct state *s;

	assert_int_equal(snapshot_init(&from), 0);
	assert_int_equal(snapshot_init(&to), 0);
	assert_int_equal(table_new(&t, MODEL_ROUTE), 0);
	for (uint8_t i = 1; i <= 3; i++)
		assert_int_equal(table_add(t, &(struct route){ .dst = { 10, i },
							       .prefixlen = 16,
							       .ifindex = 4 }),
				 0);
	table_seal(t);
	snapshot_replace(&to, t);
	assert_int_equal(diff_plan(&from, &to, &caps, &p), 0);
	assert_int_equal(p.n, 3);
	s = open_state(f, &l);
	assert_int_equal(state_compact(s, &from), 0);
	state_intent(s, &p, p.ops, 3);
	state_outcome_part(s, &p, p.ops, 2);
	assert_false(state_is_broken(s));
	state_free(s);
	state_loaded_done(&l);
	s = open_state(f, &l);
	assert_false(l.was_set_aside || l.pending.is_set);
	assert_applied(&p, 2, &l.acked);
	state_free(s);
}

static void test_unresolved_intent_is_undone_by_the_next(void **state)
{
	const struct fixture *f = *state;
	uint64_t seed = start_seed();
	CLEANUP(plan_done) struct plan p = PLAN_NULL;
	CLEANUP(state_loaded_done) struct state_loaded l = { 0 }, after = { 0 };
	struct state *s;

	write_one_link(f, NULL);
	s = open_state(f, &l);
	do {
		plan_done(&p);
		make_plan(&seed, &l.acked, &p);
	} while (p.n < 2);
	state_intent(s, &p, &p.ops[1], 1);
	state_intent(s, &p, &p.ops[0], 1);
	state_outcome(s, true);
	state_free(s);
	state_free(open_state(f, &after));
	assert_false(after.was_set_aside || after.pending.is_set);
	assert_applied(&p, 1, &after.acked);
}

/* ---- links that the other side may have ---- */

static void assert_maybe(const struct fixture *f, const struct link *want, size_t n)
{
	CLEANUP(state_loaded_done) struct state_loaded l = { 0 };

	state_free(open_state(f, &l));
	assert_false(l.is_fresh || l.was_set_aside || l.pending.is_set);
	assert_int_equal(l.n_maybe, n);
	for (size_t i = 0; i < n; i++)
		assert_memory_equal(&l.maybe[i], &want[i], sizeof(*want));
	assert_int_equal(snapshot_links(&l.acked)->n, 1);
}

static void test_maybe_outlives_kills_and_compactions(void **state)
{
	const struct fixture *f = *state;
	struct link links[2] = { { .ifindex = 5, .name = "eth2" }, { .ifindex = 6 } };
	struct state_loaded l = { 0 };
	struct state *s;

	write_one_link(f, NULL);
	assert_maybe(f, NULL, 0);
	for (size_t n = 3; n-- > 0;) { /* two, one, none */
		s = open_state(f, &l);
		state_set_maybe(s, links, n);
		state_free(s);
		state_loaded_done(&l);
		assert_maybe(f, links, n);
		assert_maybe(f, links, n);
	}
	s = open_state(f, &l);
	state_set_maybe(s, links, 2);
	assert_int_equal(state_compact(s, &l.acked), 0);
	state_free(s);
	state_loaded_done(&l);
	assert_maybe(f, links, 2);
}

/*
 * What is known of an op that was in flight goes from the intent to the list, and is never in
 * neither.
 */
static void test_maybe_takes_over_what_was_in_flight(void **state)
{
	const struct fixture *f = *state;
	uint64_t seed = start_seed();
	struct link link = { .ifindex = 5, .name = "eth2" };
	CLEANUP(plan_done) struct plan p = PLAN_NULL;
	struct state_loaded l = { 0 };
	struct state *s;

	write_one_link(f, NULL);
	s = open_state(f, &l);
	do {
		plan_done(&p);
		make_plan(&seed, &l.acked, &p);
	} while (p.n == 0);
	state_intent(s, &p, &p.ops[0], 1);
	state_free(s);
	state_loaded_done(&l);
	s = open_state(f, &l);
	assert_true(l.pending.is_set);
	state_set_maybe(s, &link, 1);
	state_free(s);
	state_loaded_done(&l);
	assert_maybe(f, &link, 1);
}

/* ---- damage ---- */

#define HEAD                                                                                \
	"{\"netmon\":1,\"boot\":\"0d8e4f3a-boot\",\"netns\":18446744073709551615,\"sink\":" \
	"\"cli\"}\n"
#define LINK(n)                                                                           \
	"{\"ifindex\":" n ",\"incarnation\":0,\"name\":\"e\",\"kind\":\"\",\"mac\":\"\"," \
	"\"mtu\":0,\"sent_usec\":0,\"replugged\":false}"

static void test_damage_is_set_aside_and_the_prefix_counts(void **state)
{
	static const char *const damages[] = {
		"x\n",
		"\n",
		"{}\n",
		"[]\n",
		"null\n",
		"{\"link\":{}}\n",
		"{\"link\":" LINK("7") ",\"x\":1}\n",
		"{\"colour\":1}\n",
		"{\"maybe_none\":1}\n",
		"{\"maybe\":{\"ifindex\":7}}\n",
		/* NOLINTNEXTLINE(bugprone-suspicious-missing-comma): it is one line */
		HEAD,
		"{\"link+\":" LINK("7") "}\n",
		"{\"begun\":1}\n",
		"{\"done\":1}\n",
		"{\"child\":[1,2]}\n",
		"{\"vm\":{\"pid\":0,\"start\":1}}\n",
		"{\"vm\":{\"pid\":4194305,\"start\":1}}\n",
		"{\"vm\":7}\n",
		"{\"vm\":{\"pid\":7,\"start\":1,\"x\":1}}\n",
		"{\"routes_stale\":1}\n",
		"{\"intent\":1}\n",
		"{\"intent\":1,\"verb\":\"dance\"}\n",
		"{\"intent\":-1,\"verb\":\"add-link\"}\n",
		"{\"intent\":1,\"verb\":\"add-link\"}\n{\"intent\":2,\"verb\":\"add-link\"}\n",
		"{\"intent\":1,\"verb\":\"add-link\"}\n{\"link+\":" LINK("7") "}\n{\"begun\":2}\n",
		"{\"intent\":1,\"verb\":\"add-link\"}\n{\"link\":" LINK("7") "}\n",
		"{\"intent\":1,\"verb\":\"add-link\"}\n{\"done\":1}\n",
	};

	const struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		CLEANUP(state_loaded_done) struct state_loaded l = { 0 };
		char text[2048];

		remove_all(f->dirfd);
		(void)snprintf(text, sizeof(text), "%s{\"link\":%s}\n%s{\"link\":%s}\n", HEAD,
			       LINK("4"), damages[i], LINK("9"));
		write_file(f, STATE_FILE_NAME, text, strlen(text));
		state_free(open_state(f, &l));
		if (!l.was_set_aside || l.n_maybe || l.is_fresh || l.was_foreign ||
		    l.pending.is_set || snapshot_links(&l.acked)->n != 1 ||
		    snapshot_links(&l.acked)->links[0].ifindex != 4)
			fail_msg("not set aside: %s", damages[i]);
		CLEANUP(cleanup_free) char *aside = read_file(f, "state.corrupt-1", NULL);
		assert_string_equal(aside, text);
		state_loaded_done(&l);
		state_free(open_state(f, &l)); /* and what was written anew is good */
		assert_false(l.was_set_aside || l.is_fresh);
		assert_int_equal(snapshot_links(&l.acked)->n, 1);
	}
}

static void test_damage_after_begun_leaves_it_pending(void **state)
{
	static const char text[] = HEAD "{\"link\":" LINK(
		"4") "}\n"
		     "{\"intent\":7,\"verb\":\"add-link\"}\n{\"link+\":" LINK(
			     "5") "}\n"
				  "{\"begun\":7}\n{\"child\":[9,8]}\n{\"done\":8}\n";
	const struct fixture *f = *state;

	write_file(f, STATE_FILE_NAME, text, strlen(text));
	for (int i = 0; i < 2; i++) {
		CLEANUP(state_loaded_done) struct state_loaded l = { 0 };

		state_free(open_state(f, &l));
		assert_int_equal(l.was_set_aside, i == 0);
		assert_true(l.pending.is_set);
		assert_int_equal(l.pending.verb, PLAN_LINK_ADD);
		assert_int_equal(l.pending.link.ifindex, 5);
		assert_int_equal(l.pending.child.pid, 9);
		assert_int_equal(l.pending.child.start_ticks, 8);
		assert_int_equal(snapshot_links(&l.acked)->n, 1);
		assert_int_equal(snapshot_links(&l.pending.if_done)->n, 2);
	}
}

static void test_damage_from_the_first_byte(void **state)
{
	CLEANUP(cleanup_free) char *long_line = malloc(2 * NOTHING_LEFT);
	const struct fixture *f = *state;

	memset(long_line, 'x', 2 * NOTHING_LEFT);
	for (int i = 0; i < 4; i++) {
		CLEANUP(state_loaded_done) struct state_loaded l = { 0 };

		remove_all(f->dirfd);
		if (i == 0)
			write_file(f, STATE_FILE_NAME, long_line, 2 * NOTHING_LEFT);
		else if (i == 1)
			write_file(f, STATE_FILE_NAME, "{\"netmon\":2}\n", 13);
		else if (i == 2)
			assert_int_equal(mkdirat(f->dirfd, STATE_FILE_NAME, 0700), 0);
		else
			assert_int_equal(symlinkat("/etc/passwd", f->dirfd, STATE_FILE_NAME), 0);
		state_free(open_state(f, &l));
		assert_true(l.is_fresh && l.was_set_aside);
		assert_false(is_there(f, STATE_FILE_NAME));
		assert_true(is_there(f, "state.corrupt-1"));
	}
}

static void test_torn_and_empty_files_are_no_damage(void **state)
{
	static const char *const texts[] = { "", "{\"netmon\":1,", "x", HEAD,
					     HEAD "{\"link\":{\"ifin" };
	const struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		CLEANUP(state_loaded_done) struct state_loaded l = { 0 };

		write_file(f, STATE_FILE_NAME, texts[i], strlen(texts[i]));
		state_free(open_state(f, &l));
		assert_false(l.was_set_aside || l.was_foreign);
		assert_int_equal(l.is_fresh, i < 3);
	}
}

static void test_only_so_many_are_kept(void **state)
{
	const struct fixture *f = *state;
	char text[8] = "0\n";

	for (int i = 1; i <= 6; i++) {
		CLEANUP(state_loaded_done) struct state_loaded l = { 0 };

		text[0] = (char)('0' + i);
		write_file(f, STATE_FILE_NAME, text, 2);
		state_free(open_state(f, &l));
		assert_true(l.was_set_aside);
	}
	for (int n = 1; n <= STATE_CORRUPT_KEEP; n++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "state.corrupt-%d", n);
		CLEANUP(cleanup_free) char *data = read_file(f, name, NULL);
		assert_non_null(data);
		assert_int_equal(data[0], '3' + n);
	}
	assert_false(is_there(f, "state.corrupt-4"));
}

static void test_end_leaves_nothing(void **state)
{
	const struct fixture *f = *state;
	struct state_loaded l = { 0 };
	struct state *s;

	write_file(f, STATE_FILE_NAME, HEAD "x\n", strlen(HEAD) + 2);
	write_file(f, ".state.tmp", "x", 1);
	s = open_state(f, &l);
	assert_true(is_there(f, "state.corrupt-1"));
	state_remove(s);
	state_free(s);
	state_loaded_done(&l);
	assert_int_equal(rmdir(f->path), 0);
	assert_int_equal(mkdir(f->path, 0700), 0);
}

/* ---- disks that fail ---- */

/* In a mount namespace of our own, over the fixture's directory. */
static void mount_small(struct fixture *f)
{
	assert_int_equal(unshare(CLONE_NEWNS), 0);
	assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	assert_int_equal(mount("tmpfs", f->path, "tmpfs", 0, "size=128k"), 0);
	close(f->dirfd);
	f->dirfd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->dirfd >= 0);
}

static int teardown_mount(void **state)
{
	struct fixture *f = *state;

	(void)umount2(f->path, MNT_DETACH);
	return teardown(state);
}

static void fill_disk(const struct fixture *f)
{
	int fd = openat(f->dirfd, "ballast", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	char block[4096] = "";

	assert_true(fd >= 0);
	while (write(fd, block, sizeof(block)) > 0)
		continue;
	close(fd);
}

static void test_full_disk_stops_nobody(void **state)
{
	struct fixture *f = *state;
	uint64_t seed = start_seed();
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;
	CLEANUP(snapshot_done) struct snapshot known = SNAPSHOT_NULL;
	CLEANUP(state_loaded_done) struct state_loaded l = { 0 };
	struct state *s;

	mount_small(f);
	write_one_link(f, NULL);
	s = open_state(f, &l);
	snapshot_copy(&acked, &l.acked);
	fill_disk(f);
	while (!state_is_broken(s)) { /* the last page of the file has room for a while */
		CLEANUP(plan_done) struct plan p = PLAN_NULL;
		CLEANUP(snapshot_done) struct snapshot after = SNAPSHOT_NULL;

		make_plan(&seed, &acked, &p);
		for (size_t i = 0; i < p.n && !state_is_broken(s); i++) {
			CLEANUP(snapshot_done) struct snapshot before = SNAPSHOT_NULL;

			assert_int_equal(plan_apply(&p, i, &before), 0);
			snapshot_copy(&known, &before);
			state_intent(s, &p, &p.ops[i], 1);
			state_outcome(s, true);
		}
		assert_int_equal(plan_apply(&p, p.n, &after), 0);
		snapshot_copy(&acked, &after);
	}
	/* Nothing of this fails, nothing of it is written. */
	assert_true(state_wants_compaction(s));
	assert_int_equal(state_compact(s, &acked), -ENOSPC);
	assert_true(state_is_broken(s));
	assert_int_equal(state_child_begins(s), 0);
	/* What a kill leaves now is true as far as it goes. */
	state_free(s);
	state_loaded_done(&l);
	s = open_state(f, &l);
	assert_false(l.was_set_aside || l.is_fresh);
	assert_true(is_same(&known, &l.acked));
	assert_true(state_is_broken(s));
	/* There is room again. */
	assert_int_equal(unlinkat(f->dirfd, "ballast", 0), 0);
	assert_int_equal(state_compact(s, &acked), 0);
	assert_false(state_is_broken(s) || state_wants_compaction(s));
	state_free(s);
	state_loaded_done(&l);
	state_free(open_state(f, &l));
	assert_true(is_same(&acked, &l.acked));
}

static void test_read_only_disk(void **state)
{
	struct fixture *f = *state;
	CLEANUP(state_loaded_done) struct state_loaded l = { 0 };
	struct state *s;

	mount_small(f);
	write_one_link(f, NULL);
	assert_int_equal(mount(NULL, f->path, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	s = open_state(f, &l);
	assert_false(l.is_fresh || l.was_set_aside);
	assert_int_equal(snapshot_links(&l.acked)->n, 1);
	assert_true(state_is_broken(s));
	assert_int_equal(state_compact(s, &l.acked), -EROFS);
	assert_int_equal(mount(NULL, f->path, NULL, MS_REMOUNT, NULL), 0);
	assert_int_equal(state_compact(s, &l.acked), 0);
	assert_false(state_is_broken(s));
	state_free(s);
}

static void test_no_descriptors_left(void **state)
{
	const struct fixture *f = *state;
	CLEANUP(state_loaded_done) struct state_loaded l = { 0 };
	struct rlimit before, none;
	struct state *s, *other = NULL;

	write_one_link(f, NULL);
	s = open_state(f, &l);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(state_compact(s, &l.acked), -EMFILE);
	assert_int_equal(state_open(&other, f->dirfd, &f->identity, &l), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_false(state_is_broken(s)); /* the old file is as good as it was */
	assert_int_equal(state_compact(s, &l.acked), 0);
	state_free(s);
	assert_null(other);
	assert_kept(f, true);
}

static void test_removed_file_is_written_anew(void **state)
{
	const struct fixture *f = *state;
	uint64_t seed = start_seed();
	CLEANUP(plan_done) struct plan p = PLAN_NULL;
	CLEANUP(state_loaded_done) struct state_loaded l = { 0 };
	struct state *s;

	write_one_link(f, NULL);
	s = open_state(f, &l);
	do {
		plan_done(&p);
		make_plan(&seed, &l.acked, &p);
	} while (p.n == 0);
	assert_int_equal(unlinkat(f->dirfd, STATE_FILE_NAME, 0), 0);
	state_intent(s, &p, &p.ops[0], 1);
	state_outcome(s, true);
	assert_true(state_is_broken(s));
	assert_int_equal(state_compact(s, &l.acked), 0);
	assert_true(is_there(f, STATE_FILE_NAME));
	state_free(s);
}

/* ---- many ---- */

static void many_routes(struct snapshot *s, uint32_t step)
{
	struct table *t = NULL;

	assert_int_equal(snapshot_init(s), 0);
	assert_int_equal(table_new(&t, MODEL_ROUTE), 0);
	for (uint32_t i = 0; i < N_MANY; i += step) {
		struct route r = { .dst = { 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i },
				   .gateway = { 172, 17, 0, 1 },
				   .prefixlen = 32,
				   .flags = MODEL_ROUTE_GATEWAY,
				   .ifindex = 4 };

		assert_int_equal(table_add(t, &r), 0);
	}
	table_seal(t);
	snapshot_replace(s, t);
}

static uint64_t say(const char *what, uint64_t since_usec)
{
	uint64_t now = clock_now_usec();

	print_message("%s: %" PRIu64 " ms\n", what, (now - since_usec) / 1000);
	return clock_now_usec();
}

static void assert_many(const struct fixture *f, const struct snapshot *want)
{
	CLEANUP(state_loaded_done) struct state_loaded l = { 0 };

	state_free(open_state(f, &l));
	assert_false(l.is_fresh || l.was_set_aside);
	assert_true(is_same(want, &l.acked));
}

static void test_many_routes(void **state)
{
	const struct fixture *f = *state;
	CLEANUP(snapshot_done) struct snapshot none = SNAPSHOT_NULL, all = SNAPSHOT_NULL;
	CLEANUP(plan_done) struct plan p = PLAN_NULL;
	CLEANUP(state_loaded_done) struct state_loaded l = { 0 };
	struct state *s = open_state(f, &l);
	uint64_t at;

	assert_int_equal(snapshot_init(&none), 0);
	many_routes(&all, 1);
	assert_int_equal(diff_plan(&none, &all, &all_caps[0], &p), 0);
	assert_int_equal(p.n, 1);
	assert_int_equal(state_compact(s, &none), 0);
	at = clock_now_usec();
	state_intent(s, &p, &p.ops[0], 1);
	(void)say("intent of 100,000 routes", at);
	state_outcome(s, true);
	assert_true(state_wants_compaction(s));
	state_free(s);
	at = clock_now_usec();
	assert_many(f, &all);
	at = say("load of an intent of 100,000 and compaction", at);
	assert_many(f, &all);
	(void)say("load of 100,000 and compaction", at);
}

/* Each in an intent of its own: what is folded together may not cost the square. */
static void test_many_intents(void **state)
{
	const struct fixture *f = *state;
	CLEANUP(snapshot_done) struct snapshot none = SNAPSHOT_NULL, all = SNAPSHOT_NULL;
	CLEANUP(plan_done) struct plan p = PLAN_NULL;
	CLEANUP(state_loaded_done) struct state_loaded l = { 0 };
	struct state *s = open_state(f, &l);
	uint64_t at = clock_now_usec();

	assert_int_equal(snapshot_init(&none), 0);
	many_routes(&all, 1);
	assert_int_equal(diff_plan(&none, &all, &all_caps[3], &p), 0);
	assert_int_equal(p.n, N_MANY);
	assert_int_equal(state_compact(s, &none), 0);
	for (size_t i = p.n; i-- > 0;) {
		state_intent(s, &p, &p.ops[i], 1);
		state_outcome(s, true);
	}
	at = say("100,000 intents of one route", at);
	state_free(s);
	assert_many(f, &all);
	(void)say("load of them and compaction", at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_replay_is_plan_apply, setup, teardown),
		cmocka_unit_test_setup_teardown(test_replay_of_a_long_life, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_prefix_is_true, setup, teardown),
		cmocka_unit_test_setup_teardown(test_another_life_is_swept_away, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vm_is_part_of_the_identity, setup, teardown),
		cmocka_unit_test_setup_teardown(test_vm_becomes_known_in_flight, setup, teardown),
		cmocka_unit_test_setup_teardown(test_child_writes_itself_down, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_of_ops_that_went_together_those_that_are_done_count, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unresolved_intent_is_undone_by_the_next, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_maybe_outlives_kills_and_compactions, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_maybe_takes_over_what_was_in_flight, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_damage_is_set_aside_and_the_prefix_counts,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage_after_begun_leaves_it_pending, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_damage_from_the_first_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(test_torn_and_empty_files_are_no_damage, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_only_so_many_are_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_end_leaves_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(test_full_disk_stops_nobody, setup, teardown_mount),
		cmocka_unit_test_setup_teardown(test_read_only_disk, setup, teardown_mount),
		cmocka_unit_test_setup_teardown(test_no_descriptors_left, setup, teardown),
		cmocka_unit_test_setup_teardown(test_removed_file_is_written_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_routes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_intents, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
