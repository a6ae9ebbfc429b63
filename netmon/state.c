/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's writer, see state.h; its reader is state-load.c.
 *
 * How it works: an append is made of whole lines in one buffer (IO_WRITER_BYTES; one write() for
 * everything but a large set of routes) and counts only when all of it went: after a short write
 * the file is cut back to where it was, since a line behind half a line would be damage. From then
 * on the journal is broken: nothing is appended until a compaction has put a whole new file in its
 * place.
 */
#include "netmon/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/io.h"
#include "base/spawn.h"
#include "netmon/document.h"
#include "netmon/state-load.h"

#define STATE_MODE	      0640
#define STATE_TMP_NAME	      "." STATE_FILE_NAME ".tmp" /* of io_atomic */
#define STATE_CORRUPT_FORMAT  STATE_FILE_NAME ".corrupt-%u"
#define STATE_NAME_BYTES      32
#define STATE_CHILD_LINE_MAX  64
#define STATE_DECIMAL_U64_MAX 20 /* digits */

struct state {
	int dirfd; /* borrowed */
	int fd;	   /* O_APPEND; -1: there is no file that may be appended to */
	struct state_identity identity;
	uint64_t bytes;
	uint64_t compact_bytes; /* of the last compaction */
	uint64_t intent;	/* number of the last one */
	bool intent_is_open;	/* it is in the file, without an end */
	enum plan_verb intent_verb;
	struct link going; /* what an open intent of a deletion takes away; ifindex 0: none */
	bool is_broken;
	struct link *maybe; /* of state_set_maybe() */
	size_t n_maybe;
};

void state_loaded_done(struct state_loaded *l)
{
	snapshot_done(&l->acked);
	snapshot_done(&l->pending.if_done);
	free(l->maybe);
	l->maybe = NULL;
	l->n_maybe = 0;
}

/* ---- lines ---- */

struct lines {
	struct io_writer io;
	struct json_writer json; /* on io */
};

static void lines_done(struct lines *l)
{
	io_writer_done(&l->io);
}

static void lines_init(struct lines *l, int fd)
{
	l->io = IO_WRITER_ON(fd);
	l->json = json_writer_on_io(&l->io);
}

static void begin_line(struct lines *l)
{
	json_writer_object_begin(&l->json, NULL);
}

static void end_line(struct lines *l)
{
	json_writer_object_end(&l->json);
	io_writer_put(&l->io, "\n", 1);
}

static void write_u64_line(struct lines *l, const char *key, uint64_t value)
{
	begin_line(l);
	json_writer_u64(&l->json, key, value);
	end_line(l);
}

static void write_stale_line(struct lines *l, bool is_stale)
{
	begin_line(l);
	json_writer_bool(&l->json, "routes_stale", is_stale);
	end_line(l);
}

static void write_head(struct lines *l, const struct state_identity *identity)
{
	begin_line(l);
	json_writer_u64(&l->json, "netmon", 1);
	json_writer_string(&l->json, "boot", identity->boot_id);
	json_writer_u64(&l->json, "netns", identity->netns_cookie);
	json_writer_string(&l->json, "sink", identity->sink_name);
	end_line(l);
}

static void write_vm(struct lines *l, const struct process_id *vm)
{
	begin_line(l);
	json_writer_object_begin(&l->json, "vm");
	json_writer_u64(&l->json, "pid", (uint64_t)vm->pid);
	json_writer_u64(&l->json, "start", vm->start_ticks);
	json_writer_object_end(&l->json);
	end_line(l);
}

static void write_child(struct lines *l, const struct process_id *child)
{
	begin_line(l);
	json_writer_array_begin(&l->json, "child");
	json_writer_u64(&l->json, NULL, (uint64_t)child->pid);
	json_writer_u64(&l->json, NULL, child->start_ticks);
	json_writer_array_end(&l->json);
	end_line(l);
}

enum sign { PLAIN, GOES, COMES };

static const char *const item_keys[_MODEL_KIND_MAX][3] = {
	[MODEL_LINK] = { "link", "link-", "link+" },
	[MODEL_ADDR] = { "addr", "addr-", "addr+" },
	[MODEL_ROUTE] = { "route", "route-", "route+" },
	[MODEL_NEIGH] = { "neigh", "neigh-", "neigh+" },
};

static void write_value(struct json_writer *j, const char *key, enum model_kind kind,
			const void *item)
{
	switch (kind) {
	case MODEL_LINK:
		document_write_link(j, key, item);
		return;
	case MODEL_ADDR:
		document_write_addr(j, key, item);
		return;
	case MODEL_ROUTE:
		document_write_route(j, key, item);
		return;
	case MODEL_NEIGH:
		document_write_neigh(j, key, item);
		return;
	case MODEL_POLICY:
	case _MODEL_KIND_MAX:
		break;
	}
}

static void write_item(struct lines *l, enum model_kind kind, enum sign sign, const void *item)
{
	begin_line(l);
	write_value(&l->json, item_keys[kind][sign], kind, item);
	end_line(l);
}

/* ---- snapshots and their differences ---- */

/*
 * What a journal holds of a snapshot, in an order in which a reader meets a link before its
 * addresses.
 */
static const enum model_kind kept_kinds[] = { MODEL_LINK, MODEL_ADDR, MODEL_ROUTE, MODEL_NEIGH };
#define N_KEPT_KINDS (sizeof(kept_kinds) / sizeof(kept_kinds[0]))

struct range {
	const struct table *table;
	size_t first;
	size_t n;
};

static struct range whole(const struct table *t)
{
	return (struct range){ .table = t, .n = t->n };
}

static struct range empty_of(const struct table *t)
{
	return (struct range){ .table = t };
}

static struct range of_link(const struct table *t, uint32_t ifindex)
{
	struct range r = { .table = t };

	r.first = table_range_of_link(t, ifindex, &r.n);
	return r;
}

static const void *range_at(const struct range *r, size_t i)
{
	return table_at(r->table, r->first + i);
}

/*
 * One merge. An item that is the same in both but for a field that is not part of the value comes
 * anew.
 */
static void write_difference(struct lines *l, struct range from, struct range to)
{
	enum model_kind kind = from.table->kind;
	size_t f = 0, t = 0;

	while (f < from.n || t < to.n) {
		const void *old = f < from.n ? range_at(&from, f) : NULL;
		const void *new = t < to.n ? range_at(&to, t) : NULL;
		int c = !old ? 1 : !new ? -1 : state_load_compare(kind, old, new);

		if (c < 0)
			write_item(l, kind, GOES, old);
		else if (c > 0 || memcmp(old, new, model_bytes(kind)) != 0)
			write_item(l, kind, COMES, new);
		f += c <= 0;
		t += c >= 0;
	}
}

static void write_acked(struct lines *l, const struct snapshot *s)
{
	for (size_t k = 0; k < N_KEPT_KINDS; k++) {
		const struct table *t = s->tables[kept_kinds[k]];

		for (size_t i = 0; i < t->n; i++)
			write_item(l, kept_kinds[k], PLAIN, table_at(t, i));
	}
	if (s->routes_stale)
		write_stale_line(l, true);
}

static void write_maybe(struct lines *l, const struct state *s)
{
	begin_line(l);
	json_writer_bool(&l->json, "maybe_none", true);
	end_line(l);
	for (size_t i = 0; i < s->n_maybe; i++) {
		begin_line(l);
		document_write_link(&l->json, "maybe", &s->maybe[i]);
		end_line(l);
	}
}

/* ---- what an op takes and brings ---- */

/* A link's routes are not beside each other: one pass. */
static void write_routes_of_deleted(struct lines *l, const struct plan *p, uint32_t ifindex)
{
	const struct table *routes = snapshot_routes(&p->from);

	for (size_t i = 0; i < routes->n; i++) {
		if (routes->routes[i].ifindex != ifindex)
			continue;
		if (p->routes_whole) {
			write_stale_line(l, true);
			return;
		}
		write_item(l, MODEL_ROUTE, GOES, &routes->routes[i]);
	}
}

static void write_link_del(struct lines *l, const struct plan *p, const struct link *link)
{
	struct range addrs = of_link(snapshot_addrs(&p->from), link->ifindex);
	struct range neighs = of_link(snapshot_neighs(&p->from), link->ifindex);

	write_item(l, MODEL_LINK, GOES, link);
	write_difference(l, addrs, empty_of(addrs.table));
	write_difference(l, neighs, empty_of(neighs.table));
	write_routes_of_deleted(l, p, link->ifindex);
}

/* Whatever plan->from had under that number went with a deletion before this op. */
static void write_link_add(struct lines *l, const struct plan *p, const struct link *link)
{
	struct range addrs = of_link(snapshot_addrs(&p->to), link->ifindex);

	write_item(l, MODEL_LINK, COMES, link);
	write_difference(l, empty_of(addrs.table), addrs);
}

static void write_link_update(struct lines *l, const struct plan *p, const struct link *from,
			      const struct link *to)
{
	write_item(l, MODEL_LINK, GOES, from);
	write_item(l, MODEL_LINK, COMES, to);
	write_difference(l, of_link(snapshot_addrs(&p->from), from->ifindex),
			 of_link(snapshot_addrs(&p->to), to->ifindex));
}

static void write_route_change(struct lines *l, const struct route *from, const struct route *to)
{
	if (from)
		write_item(l, MODEL_ROUTE, GOES, from);
	if (to)
		write_item(l, MODEL_ROUTE, COMES, to);
}

static void write_op(struct lines *l, const struct plan *p, const struct op *op)
{
	switch (op->verb) {
	case PLAN_LINK_DEL:
		write_link_del(l, p, plan_link_from(p, op));
		return;
	case PLAN_LINK_ADD:
		write_link_add(l, p, plan_link_to(p, op));
		return;
	case PLAN_LINK_UPDATE:
		write_link_update(l, p, plan_link_from(p, op), plan_link_to(p, op));
		return;
	case PLAN_ROUTES_SET:
		write_difference(l, whole(snapshot_routes(&p->from)),
				 whole(snapshot_routes(&p->to)));
		write_stale_line(l, false);
		return;
	case PLAN_ROUTE_DEL:
	case PLAN_ROUTE_ADD:
	case PLAN_ROUTE_REPLACE:
		write_route_change(l, plan_route_from(p, op), plan_route_to(p, op));
		return;
	case PLAN_NEIGH_DEL:
		write_item(l, MODEL_NEIGH, GOES, plan_neigh_from(p, op));
		return;
	case PLAN_NEIGH_ADD:
		write_item(l, MODEL_NEIGH, COMES, plan_neigh_to(p, op));
		return;
	case _PLAN_VERB_MAX:
		break;
	}
}

static void write_intent(struct lines *l, uint64_t number, enum plan_verb verb)
{
	begin_line(l);
	json_writer_u64(&l->json, "intent", number);
	json_writer_string(&l->json, "verb", plan_verb_to_string(verb));
	end_line(l);
}

static bool is_link_verb(enum plan_verb verb)
{
	return verb == PLAN_LINK_DEL || verb == PLAN_LINK_ADD || verb == PLAN_LINK_UPDATE;
}

/* An op that was in flight, said again: what it would change, from what it leads from and to. */
static void write_pending(struct lines *l, uint64_t number, const struct snapshot *acked,
			  const struct state_pending *p)
{
	write_intent(l, number, p->verb);
	for (size_t k = 0; k < N_KEPT_KINDS; k++)
		write_difference(l, whole(acked->tables[kept_kinds[k]]),
				 whole(p->if_done.tables[kept_kinds[k]]));
	/*
	 * Also where the link itself is as it was: it is how the reader knows which one it is
	 * about.
	 */
	if (is_link_verb(p->verb))
		write_item(l, MODEL_LINK, p->verb == PLAN_LINK_DEL ? GOES : COMES, &p->link);
	write_stale_line(l, p->if_done.routes_stale);
	write_u64_line(l, "begun", number);
	if (p->child.pid != 0)
		write_child(l, &p->child);
}

/* ---- appending ---- */

static void mark_broken(struct state *s)
{
	err_clear();
	s->fd = cleanup_close_fd(s->fd);
	s->is_broken = true;
	s->intent_is_open = false;
}

/*
 * The file's own length counts, since a child of ours appends too; and a file that somebody removed
 * is none.
 */
static bool may_append(struct state *s)
{
	struct stat st;

	if (s->fd < 0 || s->is_broken || fstat(s->fd, &st) < 0 || st.st_nlink == 0) {
		mark_broken(s);
		return false;
	}
	s->bytes = (uint64_t)st.st_size;
	return true;
}

/* If not even that works, a reader drops half a line, or an intent that never began. */
static void abandon_append(struct state *s)
{
	(void)!ftruncate(s->fd, (off_t)s->bytes);
	mark_broken(s);
}

/* Return: whether all of it is in the file; if not, none of it is. */
static bool end_append(struct state *s, struct lines *l)
{
	int r = io_writer_flush(&l->io);

	if (r >= 0 && s->bytes + l->io.written_bytes <= STATE_BYTES_MAX) {
		s->bytes += l->io.written_bytes;
		return true;
	}
	abandon_append(s);
	return false;
}

/*
 * An op that failed may have done half of its work, and one that a predecessor left may have done
 * all of it. What acked then no longer says of the other side is written with its end: the set is
 * due, the link is another life's. That link was to go anyway, so no more than that comes of it.
 */
static void write_undone(struct lines *l, struct state *s)
{
	write_u64_line(l, "undone", s->intent);
	if (s->intent_verb == PLAN_ROUTES_SET)
		write_stale_line(l, true);
	if (s->going.ifindex) {
		s->going.incarnation = UINT32_MAX;
		write_item(l, MODEL_LINK, PLAIN, &s->going);
	}
}

static bool append_outcome(struct state *s, bool done)
{
	CLEANUP(lines_done) struct lines l;

	lines_init(&l, s->fd);
	s->intent_is_open = false;
	if (!may_append(s))
		return false;
	if (done)
		write_u64_line(&l, "done", s->intent);
	else
		write_undone(&l, s);
	s->going = (struct link){ 0 };
	return end_append(s, &l);
}

/*
 * What an op on a link takes and brings where the other side keeps things, flushes routes, and knows
 * a NIC by its MAC: more than the link. Without memory for it the intent is not written.
 */
static int write_link_effects(struct lines *l, const struct plan *p, const struct op *op)
{
	CLEANUP(snapshot_done) struct snapshot before = SNAPSHOT_NULL;
	CLEANUP(snapshot_done) struct snapshot after = SNAPSHOT_NULL;
	size_t at = (size_t)(op - p->ops);
	int r = plan_apply(p, at, &before);

	if (r >= 0)
		r = plan_apply(p, at + 1, &after);
	if (r < 0)
		return err_pass(r);
	for (size_t k = 0; k < N_KEPT_KINDS; k++)
		if (before.tables[kept_kinds[k]] != after.tables[kept_kinds[k]])
			write_difference(l, whole(before.tables[kept_kinds[k]]),
					 whole(after.tables[kept_kinds[k]]));
	/* The last link of an intent is the one that it is about. */
	if (op->verb == PLAN_LINK_DEL)
		write_item(l, MODEL_LINK, GOES, plan_link_from(p, op));
	else
		write_item(l, MODEL_LINK, COMES, plan_link_to(p, op));
	write_stale_line(l, after.routes_stale);
	return 0;
}

static bool has_effects(const struct plan *p, const struct op *op)
{
	return is_link_verb(op->verb) && (p->keeps_links || p->keeps_addrs4 || p->update_flushes);
}

/* Return: 0, -ENOMEM: what was written is no whole intent. */
static int write_ops(struct lines *l, struct state *s, const struct plan *plan, const struct op *op,
		     size_t n)
{
	int r = 0;

	s->intent++;
	s->intent_verb = op->verb;
	write_intent(l, s->intent, op->verb);
	for (size_t i = 0; r >= 0 && i < n; i++) {
		if (has_effects(plan, &op[i]))
			r = write_link_effects(l, plan, &op[i]);
		else
			write_op(l, plan, &op[i]);
	}
	write_u64_line(l, "begun", s->intent);
	return err_pass(r);
}

void state_intent(struct state *s, const struct plan *plan, const struct op *op, size_t n)
{
	CLEANUP(lines_done) struct lines l = { 0 };

	if (s->intent_is_open && !append_outcome(s, false))
		return;
	if (!may_append(s))
		return;
	lines_init(&l, s->fd);
	if (op->verb == PLAN_LINK_DEL)
		s->going = *plan_link_from(plan, op);
	if (write_ops(&l, s, plan, op, n) < 0)
		abandon_append(s);
	else
		s->intent_is_open = end_append(s, &l);
}

void state_outcome(struct state *s, bool done)
{
	if (s->intent_is_open)
		(void)append_outcome(s, done);
	else if (done)
		mark_broken(s); /* the file does not know what has just become true */
}

void state_outcome_part(struct state *s, const struct plan *plan, const struct op *op,
			size_t n_done)
{
	CLEANUP(lines_done) struct lines l = { 0 };

	if (!s->intent_is_open || !may_append(s)) {
		mark_broken(s);
		return;
	}
	lines_init(&l, s->fd);
	s->intent_is_open = false;
	write_undone(&l, s);
	(void)write_ops(&l, s, plan, op, n_done); /* of routes and neighbours: can't fail */
	write_u64_line(&l, "done", s->intent);
	(void)end_append(s, &l);
}

/* Return: false when there is no memory for it: the old list stays. */
static bool keep_maybe(struct state *s, const struct link *links, size_t n)
{
	struct link *copy = n > 0 ? reallocarray(NULL, n, sizeof(*links)) : NULL;

	if (n > 0 && !copy)
		return false;
	if (n > 0)
		memcpy(copy, links, n * sizeof(*links));
	free(s->maybe);
	s->maybe = copy;
	s->n_maybe = n;
	return true;
}

static bool is_same_maybe(const struct state *s, const struct link *links, size_t n)
{
	for (size_t i = 0; i < n && n == s->n_maybe; i++)
		if (model_compare(MODEL_LINK, &s->maybe[i], &links[i]) != 0)
			return false;
	return n == s->n_maybe;
}

/*
 * In one write with the end of an op that the last monitor left open: what is known of that op goes
 * from there to here, and no kill finds it in neither place.
 */
void state_set_maybe(struct state *s, const struct link *links, size_t n)
{
	CLEANUP(lines_done) struct lines l = { 0 };

	if (n > STATE_MAYBE_MAX)
		n = STATE_MAYBE_MAX;
	if (is_same_maybe(s, links, n) || !keep_maybe(s, links, n) || !may_append(s))
		return;
	lines_init(&l, s->fd);
	if (s->intent_is_open)
		write_undone(&l, s);
	s->intent_is_open = false;
	s->going = (struct link){ 0 };
	write_maybe(&l, s);
	(void)end_append(s, &l);
}

int state_set_vm(struct state *s, const struct process_id *vm)
{
	CLEANUP(lines_done) struct lines l = { 0 };

	if (s->identity.vm.pid == vm->pid && s->identity.vm.start_ticks == vm->start_ticks)
		return 0;
	s->identity.vm = *vm;
	if (s->fd < 0 || !may_append(s))
		return 0; /* the next compaction writes it */
	lines_init(&l, s->fd);
	write_vm(&l, vm);
	(void)end_append(s, &l);
	return 0;
}

/* ---- in the child: no allocation, no lock, no stdio ---- */

static size_t put_text(char *to, size_t used, const char *text)
{
	size_t size = strlen(text);

	memcpy(to + used, text, size);
	return used + size;
}

static size_t put_decimal(char *to, size_t used, uint64_t value)
{
	char digits[STATE_DECIMAL_U64_MAX];
	size_t n = 0;

	do
		digits[n++] = (char)('0' + value % 10);
	while ((value /= 10) != 0);
	while (n > 0)
		to[used++] = digits[--n];
	return used;
}

int state_child_begins(void *state)
{
	char line[STATE_CHILD_LINE_MAX];
	struct state *s = state;
	size_t used;

	if (s->fd < 0 || !s->intent_is_open)
		return 0;
	used = put_text(line, 0, "{\"child\":[");
	used = put_decimal(line, used, (uint64_t)getpid());
	used = put_text(line, used, ",");
	used = put_decimal(line, used, spawn_now_ticks());
	used = put_text(line, used, "]}\n");
	if (write(s->fd, line, used) == (ssize_t)used) {
		s->bytes += used;
		return 0;
	}
	/*
	 * The memory is our parent's: it will find the journal broken. The intent stays, without a
	 * child.
	 */
	(void)!ftruncate(s->fd, (off_t)s->bytes);
	s->is_broken = true;
	return 0;
}

/* ---- compaction ---- */

/*
 * The new file's fd for appending: taken before the rename, so that what can fail fails while the
 * old file stands.
 */
static int dup_for_append(int fd)
{
	CLEANUP(cleanup_close) int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	if (copy < 0 || fcntl(copy, F_SETFL, O_APPEND) < 0)
		return err_raise(-errno, "append to the state");
	return TAKE_FD(copy);
}

/* @pending: NULL or one that is not resolved yet */
static int write_anew(struct state *s, const struct snapshot *acked,
		      const struct state_pending *pending)
{
	CLEANUP(io_atomic_abort) struct io_atomic file = IO_ATOMIC_NULL;
	CLEANUP(cleanup_close) int fd = -1;
	CLEANUP(lines_done) struct lines l = { 0 };
	int r = io_atomic_begin(&file, s->dirfd, STATE_FILE_NAME, STATE_MODE);

	if (r < 0)
		return err_pass(r);
	lines_init(&l, file.fd);
	write_head(&l, &s->identity);
	if (s->identity.vm.pid != 0)
		write_vm(&l, &s->identity.vm);
	write_acked(&l, acked);
	if (s->n_maybe > 0)
		write_maybe(&l, s);
	if (pending)
		write_pending(&l, 1, acked, pending);
	r = io_writer_flush(&l.io);
	if (r < 0)
		return err_pass(r);
	fd = dup_for_append(file.fd);
	if (fd < 0)
		return err_pass(fd);
	r = io_atomic_commit(&file);
	if (r < 0)
		return err_pass(r);
	cleanup_close_fd(s->fd);
	s->fd = TAKE_FD(fd);
	s->bytes = s->compact_bytes = l.io.written_bytes;
	s->intent = pending ? 1 : 0;
	s->intent_is_open = pending;
	s->intent_verb = pending ? pending->verb : _PLAN_VERB_MAX;
	s->going = pending && pending->verb == PLAN_LINK_DEL ? pending->link : (struct link){ 0 };
	s->is_broken = false;
	return 0;
}

int state_compact(struct state *s, const struct snapshot *acked)
{
	int r = write_anew(s, acked, NULL);

	if (r == 0)
		return 0;
	if (s->fd >= 0 && !s->is_broken)
		s->compact_bytes =
			s->bytes; /* the old one is good: try again when it has doubled */
	else
		s->is_broken = true;
	return err_pass(r);
}

bool state_wants_compaction(const struct state *s)
{
	return s->is_broken || s->fd < 0 ||
	       (s->bytes > STATE_COMPACT_MIN && s->bytes > 2 * s->compact_bytes);
}

bool state_is_broken(const struct state *s)
{
	return s->is_broken;
}

/* ---- damage ---- */

static void corrupt_name(char ret[STATE_NAME_BYTES], unsigned n)
{
	(void)snprintf(ret, STATE_NAME_BYTES, STATE_CORRUPT_FORMAT, n);
}

static bool is_same_file(int dirfd, const char *a, const char *b)
{
	struct stat x, y;

	return fstatat(dirfd, a, &x, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstatat(dirfd, b, &y, AT_SYMLINK_NOFOLLOW) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/* The first number that is free; when none is, the oldest goes and the others move up. */
static void make_room(int dirfd, char ret[STATE_NAME_BYTES])
{
	char next[STATE_NAME_BYTES];
	struct stat st;

	for (unsigned n = 1; n <= STATE_CORRUPT_KEEP; n++) {
		corrupt_name(ret, n);
		if (fstatat(dirfd, ret, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
			return;
	}
	for (unsigned n = 1; n < STATE_CORRUPT_KEEP; n++) {
		corrupt_name(ret, n);
		corrupt_name(next, n + 1);
		(void)renameat(dirfd, next, dirfd, ret);
	}
	corrupt_name(ret, STATE_CORRUPT_KEEP);
}

static bool is_aside_already(int dirfd)
{
	char name[STATE_NAME_BYTES];

	for (unsigned n = 1; n <= STATE_CORRUPT_KEEP; n++) {
		corrupt_name(name, n);
		if (is_same_file(dirfd, STATE_FILE_NAME, name))
			return true;
	}
	return false;
}

/*
 * @keep: the damaged file stays in place under its own name as well, until the compaction that
 * follows takes that name: at no moment is there no state. Failures leave it where it is; it is
 * damaged at the next start as well.
 */
static void set_aside(int dirfd, bool keep)
{
	char name[STATE_NAME_BYTES];

	if (keep && is_aside_already(dirfd))
		return;
	make_room(dirfd, name);
	if (keep && linkat(dirfd, STATE_FILE_NAME, dirfd, name, 0) == 0)
		return;
	(void)renameat(dirfd, STATE_FILE_NAME, dirfd, name);
}

/* ---- opening ---- */

/* Return: fd; -ENOENT; another -errno: there is something that is no file of ours */
static int open_file(int dirfd)
{
	CLEANUP(cleanup_close) int fd = io_openat(dirfd, STATE_FILE_NAME, O_RDONLY | O_NONBLOCK, 0);
	struct stat st;

	if (fd < 0)
		return err_pass(fd);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_raise(-EBADMSG, "open the state: no regular file");
	return TAKE_FD(fd);
}

/*
 * Says something of us and not of the file, which may be good: to take a baseline instead would
 * lose it.
 */
static bool is_shortage(int r)
{
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM;
}

/* As state_load(), and what can not even be opened is damage. */
static int load_file(struct state *s, struct state_loaded *ret, struct process_id *ret_vm)
{
	CLEANUP(cleanup_close) int fd = open_file(s->dirfd);
	int r;

	if (fd >= 0)
		return err_pass(state_load(fd, &s->identity, ret, ret_vm));
	if (is_shortage(fd))
		return err_pass(fd);
	err_clear();
	*ret = (struct state_loaded){ .is_fresh = true };
	r = snapshot_init(&ret->acked);
	if (r < 0)
		return err_pass(r);
	return fd == -ENOENT ? STATE_LOAD_NOTHING : STATE_LOAD_DAMAGED;
}

static void settle_file(struct state *s, int condition, struct state_loaded *l)
{
	l->was_foreign = condition == STATE_LOAD_FOREIGN;
	l->was_set_aside = condition == STATE_LOAD_DAMAGED;
	if (l->was_foreign)
		(void)unlinkat(s->dirfd, STATE_FILE_NAME, 0);
	if (l->was_set_aside)
		set_aside(s->dirfd, !l->is_fresh);
	if (l->is_fresh)
		return;
	(void)keep_maybe(s, l->maybe, l->n_maybe);
	if (write_anew(s, &l->acked, l->pending.is_set ? &l->pending : NULL) < 0)
		mark_broken(s);
}

int state_open(struct state **ret, int dirfd, const struct state_identity *identity,
	       struct state_loaded *ret_loaded)
{
	CLEANUP(state_freep) struct state *s = calloc(1, sizeof(*s));
	CLEANUP(state_loaded_done) struct state_loaded loaded = { 0 };
	struct process_id vm = { 0 };
	int r;

	if (!s)
		return err_raise(-ENOMEM, "open the state");
	*s = (struct state){ .dirfd = dirfd, .fd = -1, .identity = *identity };
	r = load_file(s, &loaded, &vm);
	if (r < 0)
		return err_pass(r);
	if (s->identity.vm.pid == 0)
		s->identity.vm = vm;
	settle_file(s, r, &loaded);
	*ret_loaded = loaded;
	loaded = (struct state_loaded){ 0 };
	*ret = TAKE_PTR(s);
	return 0;
}

struct state *state_free(struct state *s)
{
	if (!s)
		return NULL;
	cleanup_close_fd(s->fd);
	free(s->maybe);
	free(s);
	return NULL;
}

void state_remove(struct state *s)
{
	char name[STATE_NAME_BYTES];

	s->fd = cleanup_close_fd(s->fd);
	s->intent_is_open = false;
	(void)unlinkat(s->dirfd, STATE_FILE_NAME, 0);
	(void)unlinkat(s->dirfd, STATE_TMP_NAME, 0);
	for (unsigned n = 1; n <= STATE_CORRUPT_KEEP; n++) {
		corrupt_name(name, n);
		(void)unlinkat(s->dirfd, name, 0);
	}
}
