/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's reader, see state-load.h.
 *
 * The lines must come in this order; whatever is not allowed where it stands is damage:
 *
 *   HEAD    "netmon"                                   then TOP
 *   TOP     "vm", items, "routes_stale", "maybe_none", "maybe", "intent"      the last: INTENT
 *   INTENT  items with - and +, "routes_stale"         "begun": BEGUN
 *   BEGUN   "child", "vm"                              "done", "undone": TOP
 */
#include "netmon/state-load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "netmon/document.h"

#define LOAD_VERSION	 1
#define LOAD_CHUNK_BYTES (64U * 1024)
#define LOAD_DEPTH_MAX	 4    /* {"child":[1,2]} and {"link":{...}} are 2 */
#define LOAD_FOLD_MIN	 4096 /* changes; below this a merge is not worth it */

/* ---- lines ---- */

struct lines {
	int fd;
	char *buffer; /* LOAD_CHUNK_BYTES */
	size_t start, end;
	uint64_t total_bytes;
};

enum { LINES_LINE = 0, LINES_END = 1 };

static void lines_done(struct lines *l)
{
	free(l->buffer);
}

static int lines_init(struct lines *l, int fd)
{
	*l = (struct lines){ .fd = fd, .buffer = malloc(LOAD_CHUNK_BYTES) };
	return l->buffer ? 0 : err_raise(-ENOMEM, "read the state");
}

static int lines_refill(struct lines *l)
{
	ssize_t n;

	memmove(l->buffer, l->buffer + l->start, l->end - l->start);
	l->end -= l->start;
	l->start = 0;
	do
		n = read(l->fd, l->buffer + l->end, LOAD_CHUNK_BYTES - l->end);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_raise(-errno, "read the state after %llu bytes",
				 (unsigned long long)l->total_bytes);
	l->end += (size_t)n;
	l->total_bytes += (size_t)n;
	if (l->total_bytes > STATE_BYTES_MAX)
		return err_raise(-EFBIG, "read a state of over %u bytes", STATE_BYTES_MAX);
	return n == 0 ? LINES_END : 0;
}

/*
 * The next whole line, without its newline; a torn one at the end is no line. Return: 0; LINES_END;
 * -errno: damage
 */
static int lines_next(struct lines *l, const char **ret, size_t *ret_size)
{
	for (;;) {
		const char *line = l->buffer + l->start;
		size_t rest = l->end - l->start;
		const char *end = memchr(line, '\n', rest);
		size_t size = end ? (size_t)(end - line) : rest;
		int r;

		if (size > STATE_LINE_MAX)
			return err_raise(-EBADMSG, "read a line of over %u bytes", STATE_LINE_MAX);
		if (end) {
			l->start += size + 1;
			*ret = line;
			*ret_size = size;
			return LINES_LINE;
		}
		r = lines_refill(l);
		if (r != 0)
			return r;
	}
}

/* ---- changes of one kind, in the order of the journal ---- */

struct changes {
	enum model_kind kind;
	char *items;
	bool *goes; /* beside each item: it goes, or it comes */
	size_t n;
	size_t n_done; /* the first of them: they count. Those above are of the open intent. */
	size_t capacity;
};

static const void *changes_at(const struct changes *c, size_t i)
{
	return c->items + i * model_bytes(c->kind);
}

static int changes_grow(struct changes *c)
{
	size_t capacity = c->capacity ? c->capacity * 2 : 64;
	char *items = realloc(c->items, capacity * model_bytes(c->kind));
	bool *goes;

	if (!items)
		return err_raise(-ENOMEM, "read the state");
	c->items = items;
	goes = realloc(c->goes, capacity * sizeof(*goes));
	if (!goes)
		return err_raise(-ENOMEM, "read the state");
	c->goes = goes;
	c->capacity = capacity;
	return 0;
}

static int changes_add(struct changes *c, const void *item, bool goes)
{
	size_t bytes = model_bytes(c->kind);

	if (c->n == c->capacity) {
		int r = changes_grow(c);

		if (r < 0)
			return err_pass(r);
	}
	memcpy(c->items + c->n * bytes, item, bytes);
	c->goes[c->n++] = goes;
	return 0;
}

int state_load_compare(enum model_kind kind, const void *a, const void *b)
{
	return kind == MODEL_ROUTE ? model_compare(kind, a, b) : model_compare_key(kind, a, b);
}

/* By item, and for the same item by age: the last one of them counts. */
static int compare_changes(const void *a, const void *b, void *changes)
{
	const struct changes *c = changes;
	uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
	int r = state_load_compare(c->kind, changes_at(c, i), changes_at(c, k));

	return r != 0 ? r : (i > k) - (i < k);
}

/*
 * Indices of the first @n changes in the order of compare_changes(). What was compacted is in order
 * as it comes.
 */
static uint32_t *changes_in_order(struct changes *c, size_t n)
{
	uint32_t *order = malloc(n * sizeof(*order));
	bool is_sorted = true;

	if (!order)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		order[i] = (uint32_t)i;
		if (i > 0 &&
		    state_load_compare(c->kind, changes_at(c, i - 1), changes_at(c, i)) > 0)
			is_sorted = false;
	}
	if (!is_sorted)
		qsort_r(order, n, sizeof(*order), compare_changes, c);
	return order;
}

/*
 * Adds the items of @base that are below @limit (NULL: all) from @at on; skips those that are the
 * same as @limit.
 */
static int add_base_up_to(struct table *to, const struct table *base, size_t *at, const void *limit)
{
	while (*at < base->n) {
		const void *item = table_at(base, *at);
		int c = limit ? state_load_compare(base->kind, item, limit) : -1;
		int r;

		if (c > 0)
			break;
		(*at)++;
		r = c < 0 ? table_add(to, item) : 0;
		if (r < 0)
			return err_pass(r);
	}
	return 0;
}

static int merge(const struct changes *c, const uint32_t *order, size_t n, const struct table *base,
		 struct table *to)
{
	size_t at = 0;
	int r = 0;

	for (size_t i = 0; i < n; i++) {
		const void *item = changes_at(c, order[i]);

		if (i + 1 < n &&
		    state_load_compare(c->kind, item, changes_at(c, order[i + 1])) == 0)
			continue; /* a later word on the same item */
		r = add_base_up_to(to, base, &at, item);
		if (r >= 0 && !c->goes[order[i]])
			r = table_add(to, item);
		if (r < 0)
			return err_pass(r);
	}
	return err_pass(add_base_up_to(to, base, &at, NULL));
}

/* Folds the first @n changes into the table of @s and forgets them. */
static int changes_fold(struct changes *c, size_t n, struct snapshot *s)
{
	CLEANUP(table_unrefp) struct table *t = NULL;
	CLEANUP(cleanup_free) uint32_t *order = NULL;
	int r;

	if (n == 0)
		return 0;
	order = changes_in_order(c, n);
	if (!order)
		return err_raise(-ENOMEM, "read the state");
	r = table_new(&t, c->kind);
	if (r >= 0)
		r = merge(c, order, n, s->tables[c->kind], t);
	if (r < 0)
		return err_pass(r);
	table_seal(t);
	snapshot_replace(s, TAKE_PTR(t));
	memmove(c->items, changes_at(c, n), (c->n - n) * model_bytes(c->kind));
	memmove(c->goes, c->goes + n, (c->n - n) * sizeof(*c->goes));
	c->n -= n;
	c->n_done -= c->n_done < n ? c->n_done : n;
	return 0;
}

/* ---- what the lines say ---- */

enum stage { STAGE_HEAD, STAGE_TOP, STAGE_INTENT, STAGE_BEGUN };

struct loader {
	const struct state_identity *identity;
	enum stage stage;
	bool is_foreign;
	struct process_id vm;
	struct snapshot acked;
	struct changes changes[_MODEL_KIND_MAX];
	uint64_t intent;	      /* its number, while it is open */
	struct state_pending pending; /* of it; if_done is made at the end */
	bool stale_if_done;
	struct link *maybe;
	size_t n_maybe;
};

static void loader_done(struct loader *l)
{
	snapshot_done(&l->acked);
	snapshot_done(&l->pending.if_done);
	free(l->maybe);
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++) {
		free(l->changes[k].items);
		free(l->changes[k].goes);
	}
}

static int loader_init(struct loader *l, const struct state_identity *identity)
{
	*l = (struct loader){ .identity = identity };
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		l->changes[k].kind = k;
	return err_pass(snapshot_init(&l->acked));
}

static int damaged(const char *key)
{
	return err_raise(-EBADMSG, "read the state: member '%s'", key);
}

static int get_process(struct json_object *pid, struct json_object *start, struct process_id *ret)
{
	uint64_t number, ticks;

	if (document_get_u64(pid, PROCESS_ID_PID_MAX, &number) < 0 || number == 0 ||
	    document_get_u64(start, UINT64_MAX, &ticks) < 0)
		return damaged("pid");
	*ret = (struct process_id){ .pid = (pid_t)number, .start_ticks = ticks };
	return 0;
}

/* A row says what to do with the line that begins with its key. */
struct row {
	const char *key;
	unsigned stages; /* 1 << stage: where it may stand */
	int n_members;
	int (*read)(struct loader *l, const struct row *row, struct json_object *line,
		    struct json_object *value);
	enum model_kind kind;
	bool goes;
};

static bool has_text(struct json_object *line, const char *key, const char *text)
{
	struct json_object *value = json_object_object_get(line, key);

	return json_object_is_type(value, json_type_string) &&
	       strcmp(json_object_get_string(value), text) == 0;
}

static int read_head(struct loader *l, const struct row *row, struct json_object *line,
		     struct json_object *value)
{
	uint64_t version, netns;

	if (document_get_u64(value, LOAD_VERSION, &version) < 0 || version != LOAD_VERSION)
		return damaged(row->key);
	if (document_get_u64(json_object_object_get(line, "netns"), UINT64_MAX, &netns) < 0)
		return damaged("netns");
	if (!json_object_is_type(json_object_object_get(line, "boot"), json_type_string) ||
	    !json_object_is_type(json_object_object_get(line, "sink"), json_type_string))
		return damaged("boot");
	l->is_foreign = netns != l->identity->netns_cookie ||
			!has_text(line, "boot", l->identity->boot_id) ||
			!has_text(line, "sink", l->identity->sink_name);
	l->stage = STAGE_TOP;
	return 0;
}

static int read_vm(struct loader *l, const struct row *row, struct json_object *line,
		   struct json_object *value)
{
	(void)line;
	if (!json_object_is_type(value, json_type_object) || json_object_object_length(value) != 2)
		return damaged(row->key);
	return err_pass(get_process(json_object_object_get(value, "pid"),
				    json_object_object_get(value, "start"), &l->vm));
}

static int read_stale(struct loader *l, const struct row *row, struct json_object *line,
		      struct json_object *value)
{
	(void)line;
	if (!json_object_is_type(value, json_type_boolean))
		return damaged(row->key);
	l->stale_if_done = json_object_get_boolean(value);
	if (l->stage == STAGE_TOP)
		l->acked.routes_stale = l->stale_if_done;
	return 0;
}

union item {
	struct link link;
	struct addr addr;
	struct route route;
	struct neigh neigh;
};

static int parse_item(enum model_kind kind, struct json_object *value, union item *ret)
{
	switch (kind) {
	case MODEL_LINK:
		return err_pass(document_parse_link(value, &ret->link));
	case MODEL_ADDR:
		return err_pass(document_parse_addr(value, &ret->addr));
	case MODEL_ROUTE:
		return err_pass(document_parse_route(value, &ret->route));
	case MODEL_NEIGH:
		return err_pass(document_parse_neigh(value, &ret->neigh));
	case MODEL_POLICY:
	case _MODEL_KIND_MAX:
		break;
	}
	return damaged(model_kind_to_string(kind));
}

/*
 * All changes of that kind so far are true. The tables grow with what is folded in, so all folds
 * together cost a few times the last one, and what is not folded yet is never much more than the
 * table.
 */
static int count_changes(struct loader *l, enum model_kind kind)
{
	struct changes *c = &l->changes[kind];

	c->n_done = c->n;
	if (c->n <= LOAD_FOLD_MIN + 2 * l->acked.tables[kind]->n)
		return 0;
	return err_pass(changes_fold(c, c->n, &l->acked));
}

static int read_item(struct loader *l, const struct row *row, struct json_object *line,
		     struct json_object *value)
{
	union item item;
	int r = parse_item(row->kind, value, &item);

	(void)line;
	if (r < 0)
		return err_pass(r);
	r = changes_add(&l->changes[row->kind], &item, row->goes);
	if (r < 0)
		return err_pass(r);
	if (l->stage == STAGE_TOP)
		l->changes[row->kind].n_done = l->changes[row->kind].n;
	else if (row->kind == MODEL_LINK)
		l->pending.link =
			item.link; /* the one that comes stands behind the one that goes */
	return 0;
}

static int read_intent(struct loader *l, const struct row *row, struct json_object *line,
		       struct json_object *value)
{
	struct json_object *verb = json_object_object_get(line, "verb");

	if (document_get_u64(value, UINT64_MAX, &l->intent) < 0)
		return damaged(row->key);
	if (!json_object_is_type(verb, json_type_string) ||
	    plan_verb_from_string(json_object_get_string(verb), &l->pending.verb) < 0)
		return damaged("verb");
	l->stale_if_done = l->acked.routes_stale;
	l->stage = STAGE_INTENT;
	return 0;
}

static bool is_of_intent(const struct loader *l, struct json_object *value)
{
	uint64_t number;

	return document_get_u64(value, UINT64_MAX, &number) == 0 && number == l->intent;
}

static int read_begun(struct loader *l, const struct row *row, struct json_object *line,
		      struct json_object *value)
{
	(void)line;
	if (!is_of_intent(l, value))
		return damaged(row->key);
	l->stage = STAGE_BEGUN;
	return 0;
}

static int read_child(struct loader *l, const struct row *row, struct json_object *line,
		      struct json_object *value)
{
	(void)line;
	if (!json_object_is_type(value, json_type_array) || json_object_array_length(value) != 2)
		return damaged(row->key);
	return err_pass(get_process(json_object_array_get_idx(value, 0),
				    json_object_array_get_idx(value, 1), &l->pending.child));
}

/* What the intent brought never was. */
static void forget_intent(struct loader *l)
{
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		l->changes[k].n = l->changes[k].n_done;
	memset(&l->pending, 0, sizeof(l->pending));
}

static int count_intent(struct loader *l)
{
	l->acked.routes_stale = l->stale_if_done;
	memset(&l->pending, 0, sizeof(l->pending));
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++) {
		int r = count_changes(l, k);

		if (r < 0)
			return err_pass(r);
	}
	return 0;
}

/* @row->goes: "undone" */
static int read_outcome(struct loader *l, const struct row *row, struct json_object *line,
			struct json_object *value)
{
	(void)line;
	if (!is_of_intent(l, value))
		return damaged(row->key);
	l->stage = STAGE_TOP;
	if (!row->goes)
		return err_pass(count_intent(l));
	forget_intent(l);
	return 0;
}

static int read_maybe_none(struct loader *l, const struct row *row, struct json_object *line,
			   struct json_object *value)
{
	(void)line;
	if (!json_object_is_type(value, json_type_boolean))
		return damaged(row->key);
	l->n_maybe = 0;
	return 0;
}

static int read_maybe(struct loader *l, const struct row *row, struct json_object *line,
		      struct json_object *value)
{
	int r;

	(void)line;
	if (l->n_maybe == STATE_MAYBE_MAX)
		return damaged(row->key);
	if (!l->maybe)
		l->maybe = calloc(STATE_MAYBE_MAX, sizeof(*l->maybe));
	if (!l->maybe)
		return err_raise(-ENOMEM, "read the state");
	r = document_parse_link(value, &l->maybe[l->n_maybe]);
	if (r < 0)
		return err_pass(r);
	l->n_maybe++;
	return 0;
}

#define HEAD   (1U << STAGE_HEAD)
#define TOP    (1U << STAGE_TOP)
#define INTENT (1U << STAGE_INTENT)
#define BEGUN  (1U << STAGE_BEGUN)

static const struct row rows[] = {
	{ "route", TOP, 1, read_item, MODEL_ROUTE, false },
	{ "route+", INTENT, 1, read_item, MODEL_ROUTE, false },
	{ "route-", INTENT, 1, read_item, MODEL_ROUTE, true },
	{ "addr", TOP, 1, read_item, MODEL_ADDR, false },
	{ "addr+", INTENT, 1, read_item, MODEL_ADDR, false },
	{ "addr-", INTENT, 1, read_item, MODEL_ADDR, true },
	{ "link", TOP, 1, read_item, MODEL_LINK, false },
	{ "link+", INTENT, 1, read_item, MODEL_LINK, false },
	{ "link-", INTENT, 1, read_item, MODEL_LINK, true },
	{ "neigh", TOP, 1, read_item, MODEL_NEIGH, false },
	{ "neigh+", INTENT, 1, read_item, MODEL_NEIGH, false },
	{ "neigh-", INTENT, 1, read_item, MODEL_NEIGH, true },
	{ "intent", TOP, 2, read_intent, 0, false },
	{ "begun", INTENT, 1, read_begun, 0, false },
	{ "child", BEGUN, 1, read_child, 0, false },
	{ "done", BEGUN, 1, read_outcome, 0, false },
	{ "undone", BEGUN, 1, read_outcome, 0, true },
	{ "routes_stale", TOP | INTENT, 1, read_stale, 0, false },
	{ "maybe_none", TOP, 1, read_maybe_none, 0, false },
	{ "maybe", TOP, 1, read_maybe, 0, false },
	{ "vm", TOP | BEGUN, 1, read_vm, 0, false },
	{ "netmon", HEAD, 4, read_head, 0, false },
};

static const struct row *find_row(const char *key)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].key, key) == 0)
			return &rows[i];
	return NULL;
}

static int read_line(struct loader *l, struct json_tokener *t, const char *line, size_t size)
{
	CLEANUP(document_put) struct json_object *o = NULL;
	struct json_object_iterator first, end;
	const struct row *row;
	int r = document_parse(t, line, size, &o);

	if (r < 0)
		return err_pass(r);
	first = json_object_iter_begin(o);
	end = json_object_iter_end(o);
	if (json_object_iter_equal(&first, &end))
		return damaged("");
	row = find_row(json_object_iter_peek_name(&first));
	if (!row || !(row->stages & (1U << l->stage)) ||
	    json_object_object_length(o) != row->n_members)
		return damaged(json_object_iter_peek_name(&first));
	return err_pass(row->read(l, row, o, json_object_iter_peek_value(&first)));
}

/* ---- the whole ---- */

/* Return: 0 at the end or when it is seen to be foreign; -ENOMEM; another -errno: damage */
static int read_lines(struct loader *l, int fd)
{
	CLEANUP(json_tokener_freep) struct json_tokener *t = document_tokener_new(LOAD_DEPTH_MAX);
	CLEANUP(lines_done) struct lines lines = { 0 };
	const char *line = NULL;
	size_t size = 0;
	int r = lines_init(&lines, fd);

	if (r < 0)
		return err_pass(r);
	if (!t)
		return err_raise(-ENOMEM, "read the state");
	while (r >= 0 && !l->is_foreign) {
		r = lines_next(&lines, &line, &size);
		if (r == LINES_END)
			return 0;
		if (r == LINES_LINE)
			r = read_line(l, t, line, size);
	}
	return r < 0 ? err_pass(r) : 0;
}

/* Without a VM of our own to compare, the saved one must be there still. */
static bool is_foreign_vm(const struct loader *l)
{
	const struct process_id *ours = &l->identity->vm;

	if (l->vm.pid == 0)
		return false;
	if (ours->pid == 0)
		return !process_id_is_alive(&l->vm);
	return ours->pid != l->vm.pid || ours->start_ticks != l->vm.start_ticks;
}

static int make_pending(struct loader *l)
{
	if (l->stage != STAGE_BEGUN)
		return 0;
	l->pending.is_set = true;
	snapshot_copy(&l->pending.if_done, &l->acked);
	l->pending.if_done.routes_stale = l->stale_if_done;
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++) {
		int r = changes_fold(&l->changes[k], l->changes[k].n, &l->pending.if_done);

		if (r < 0)
			return err_pass(r);
	}
	return 0;
}

/* An intent that was not complete never began. */
static int make_tables(struct loader *l)
{
	if (l->stage != STAGE_BEGUN)
		forget_intent(l);
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++) {
		int r = changes_fold(&l->changes[k], l->changes[k].n_done, &l->acked);

		if (r < 0)
			return err_pass(r);
	}
	return err_pass(make_pending(l));
}

static int hand_over(struct loader *l, struct state_loaded *ret, struct process_id *ret_vm)
{
	int r = make_tables(l);

	if (r < 0)
		return err_pass(r);
	*ret_vm = l->vm;
	ret->is_fresh = false;
	snapshot_copy(&ret->acked, &l->acked);
	ret->pending = l->pending;
	l->pending.if_done = SNAPSHOT_NULL;
	ret->maybe = TAKE_PTR(l->maybe);
	ret->n_maybe = l->n_maybe;
	return 0;
}

int state_load(int fd, const struct state_identity *identity, struct state_loaded *ret,
	       struct process_id *ret_vm)
{
	CLEANUP(loader_done) struct loader l = { 0 };
	bool is_damaged;
	int r;

	*ret = (struct state_loaded){ .is_fresh = true };
	*ret_vm = (struct process_id){ 0 };
	r = snapshot_init(&ret->acked);
	if (r >= 0)
		r = loader_init(&l, identity);
	if (r >= 0)
		r = read_lines(&l, fd);
	if (r == -ENOMEM)
		return err_pass(r);
	is_damaged = r < 0;
	if (is_damaged)
		err_clear();
	if (l.is_foreign || is_foreign_vm(&l))
		return STATE_LOAD_FOREIGN;
	if (l.stage == STAGE_HEAD)
		return is_damaged ? STATE_LOAD_DAMAGED : STATE_LOAD_NOTHING;
	r = hand_over(&l, ret, ret_vm);
	if (r < 0)
		return err_pass(r);
	return is_damaged ? STATE_LOAD_DAMAGED : 0;
}
