/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's state for people and programs. See report.h.
 */
#include "netmon/report.h"

#include "base/error.h"
#include "base/io.h"
#include "base/json-writer.h"
#include "base/log.h"
#include "base/text.h"
#include "netmon/document.h"

static void say(struct text *line)
{
	log_record(LOG_NOTICE, NULL, line->data ? line->data : "", NULL, 0);
	text_reset(line);
}

static void say_table(const char *of, const struct table *t, bool all)
{
	CLEANUP(text_done) struct text line = TEXT_NULL;
	size_t shown = all || t->n < REPORT_ENTRIES ? t->n : REPORT_ENTRIES;

	text_appendf(&line, "%s: %zu of kind %s", of, t->n, model_kind_to_string(t->kind));
	say(&line);
	for (size_t i = 0; i < shown; i++) {
		text_appendf(&line, "%s %s: ", of, model_kind_to_string(t->kind));
		model_describe(t->kind, table_at(t, i), &line);
		say(&line);
	}
	if (shown < t->n) {
		text_appendf(&line, "%s: ... and %zu more (-d prints all)", of, t->n - shown);
		say(&line);
	}
}

static void say_snapshot(const char *of, const struct snapshot *s, bool all)
{
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		if (s->tables[k])
			say_table(of, s->tables[k], all);
}

static void say_plan(const struct reconcile *r, bool all)
{
	CLEANUP(text_done) struct text line = TEXT_NULL;
	size_t pending = r->plan.n - r->cursor;
	size_t shown = all || pending < REPORT_ENTRIES ? pending : REPORT_ENTRIES;

	text_appendf(&line, "plan: %zu ops pending, %s", pending,
		     !r->is_reachable ? "the guest is not reachable"
		     : r->in_flight   ? "the first in flight"
				      : "none in flight");
	say(&line);
	for (size_t i = r->cursor; i < r->cursor + shown; i++) {
		const char *name = plan_op_interface(&r->plan, &r->plan.ops[i]);

		text_appendf(&line, "plan op: %s ", plan_verb_to_string(r->plan.ops[i].verb));
		text_append_value(&line, name, __builtin_strlen(name));
		say(&line);
	}
}

static void say_backoffs(const struct reconcile *r)
{
	CLEANUP(text_done) struct text line = TEXT_NULL;

	text_appendf(&line, "waiting: %zu objects back off, %zu values refused, drift %zu",
		     backoff_count(&r->backoff), refused_count(&r->refused), reconcile_drift(r));
	say(&line);
}

void report_log(const struct observe *o, const struct reconcile *r, bool all)
{
	CLEANUP(snapshot_done) struct snapshot acked = SNAPSHOT_NULL;
	CLEANUP(text_done) struct text line = TEXT_NULL;

	text_appendf(
		&line,
		"state: generation %lu, hints %lu, dumps %lu, torn %lu, forced %lu, "
		"overruns %lu, interrupted %lu, truncated %lu; ops %lu, retries %lu, refused %lu",
		o->generation, o->stats.hints, o->stats.dumps, o->stats.torn, o->stats.forced,
		o->stats.overruns, o->stats.interrupted, o->stats.truncated, r->stats.ops,
		r->stats.retries, r->stats.refused);
	say(&line);
	say_snapshot("seen", &o->seen, all);
	say_snapshot("wanted", &r->wanted, all);
	if (reconcile_acked(r, &acked) >= 0)
		say_snapshot("acked", &acked, all);
	else
		err_clear();
	say_plan(r, all);
	say_backoffs(r);
}

static void write_note(struct json_writer *j, const struct view_note *n)
{
	CLEANUP(text_done) struct text what = TEXT_NULL;

	model_describe(n->kind, &n->link, &what);
	json_writer_object_begin(j, NULL);
	json_writer_string(j, "reason", view_reason_to_string(n->reason));
	json_writer_string(j, "kind", model_kind_to_string(n->kind));
	json_writer_string(j, "what", what.data ? what.data : "");
	json_writer_object_end(j);
}

int report_once(int fd, const char *sandbox_id, const struct snapshot *wanted,
		const struct view_notes *notes)
{
	CLEANUP(io_writer_done) struct io_writer w = IO_WRITER_ON(fd);
	struct json_writer j = json_writer_on_io(&w);

	json_writer_object_begin(&j, NULL);
	json_writer_string(&j, "sandbox", sandbox_id);
	document_write_snapshot(&j, "network", wanted);
	json_writer_u64(&j, "drift", notes->n_all);
	json_writer_array_begin(&j, "cannot_be_told");
	for (size_t i = 0; i < notes->n; i++)
		write_note(&j, &notes->notes[i]);
	json_writer_array_end(&j);
	json_writer_object_end(&j);
	io_writer_put(&w, "\n", 1);
	return err_pass(io_writer_flush(&w));
}
