/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a journal: they are read, or refused as a whole or from some line on; what was read
 * is sealed and in order.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "netmon/state-load.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_table(const struct table *t)
{
	if (!t || !t->sealed)
		abort();
	for (size_t i = 1; i < t->n; i++)
		if (model_compare(t->kind, table_at(t, i - 1), table_at(t, i)) >= 0)
			abort();
}

static void check_snapshot(const struct snapshot *s)
{
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		check_table(s->tables[k]);
}

static void check(int r, const struct state_loaded *l)
{
	if (r < 0)
		return;
	check_snapshot(&l->acked);
	if (l->pending.is_set)
		check_snapshot(&l->pending.if_done);
	if (r == 0 && l->is_fresh)
		abort();
	if ((r == STATE_LOAD_NOTHING || r == STATE_LOAD_FOREIGN) && !l->is_fresh)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct state_identity identity = { .boot_id = "boot",
							.netns_cookie = 7,
							.sink_name = "cli" };
	CLEANUP(cleanup_close) int fd = memfd_create("state", MFD_CLOEXEC);
	CLEANUP(state_loaded_done) struct state_loaded l = { 0 };
	struct process_id vm;

	if (fd < 0 || io_write_all(fd, data, size) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		abort();
	check(state_load(fd, &identity, &l, &vm), &l);
	return 0;
}
