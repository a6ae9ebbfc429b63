/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal. See owned.h. The file:
 *
 *	netmon-agent 1 BOOT-ID NAMESPACE-COOKIE
 *	address 3 10.0.0.2/24
 *	neighbor 3 10.0.0.1/32
 *	neighbor 3 10.0.0.9/32 64
 *	end 3
 *
 * The last word of a neighbour is its state, if that is not permanent.
 */
#include "agent-proto/guest/owned.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#include "base/error.h"
#include "base/io.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/text.h"

#define BOOT_ID	      "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_BYTES 40U
#define HEAD_BYTES    96U

struct owned {
	int dirfd;
	char head[HEAD_BYTES]; /* the first line, without its end */
	struct owned_item *items;
	size_t n, capacity;
	bool is_changed;
	bool is_failure_said;
};

static const char *const kind_names[_OWNED_KIND_MAX] = { "address", "neighbor" };

static int compare(const void *a, const void *b)
{
	const struct owned_item *x = a, *y = b;

	if (x->index != y->index)
		return x->index < y->index ? -1 : 1;
	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->family != y->family)
		return x->family < y->family ? -1 : 1;
	if (x->prefixlen != y->prefixlen)
		return x->prefixlen < y->prefixlen ? -1 : 1;
	return memcmp(x->bytes, y->bytes, sizeof(x->bytes));
}

/* Where it is, or would be. */
static size_t place_of(const struct owned *o, const struct owned_item *item)
{
	size_t low = 0, high = o->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare(&o->items[middle], item) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct owned *o, size_t place, const struct owned_item *item)
{
	return place < o->n && compare(&o->items[place], item) == 0;
}

bool owned_has(const struct owned *o, const struct owned_item *item)
{
	return is_at(o, place_of(o, item), item);
}

const struct owned_item *owned_get(const struct owned *o, const struct owned_item *item)
{
	size_t place = place_of(o, item);

	return is_at(o, place, item) ? &o->items[place] : NULL;
}

static int grow(struct owned *o)
{
	size_t capacity = o->capacity ? 2 * o->capacity : 64;
	struct owned_item *items;

	if (o->n == OWNED_MAX)
		return err_raise(-ENOSPC, "note more than %u addresses and neighbours", OWNED_MAX);
	if (o->n < o->capacity)
		return 0;
	items = reallocarray(o->items, capacity, sizeof(*items));
	if (!items)
		return err_raise(-ENOMEM, "note an address");
	o->items = items;
	o->capacity = capacity;
	return 0;
}

int owned_add(struct owned *o, const struct owned_item *item)
{
	size_t place = place_of(o, item);
	int r;

	if (is_at(o, place, item)) {
		o->is_changed |= o->items[place].state != item->state;
		o->items[place].state = item->state;
		return 0;
	}
	r = grow(o);
	if (r < 0)
		return err_pass(r);
	memmove(&o->items[place + 1], &o->items[place], (o->n - place) * sizeof(*item));
	o->items[place] = *item;
	o->n++;
	o->is_changed = true;
	return 0;
}

void owned_remove(struct owned *o, const struct owned_item *item)
{
	size_t place = place_of(o, item);

	if (!is_at(o, place, item))
		return;
	o->n--;
	memmove(&o->items[place], &o->items[place + 1], (o->n - place) * sizeof(*item));
	o->is_changed = true;
}

const struct owned_item *owned_items(const struct owned *o, size_t *ret_n)
{
	*ret_n = o->n;
	return o->items;
}

void owned_keep(struct owned *o, enum owned_kind kind,
		bool (*is_there)(void *userdata, const struct owned_item *item), void *userdata)
{
	size_t kept = 0;

	for (size_t i = 0; i < o->n; i++) {
		if (o->items[i].kind == kind && !is_there(userdata, &o->items[i]))
			continue;
		o->items[kept++] = o->items[i];
	}
	if (kept != o->n)
		o->is_changed = true;
	o->n = kept;
}

/* ---- to disk ---- */

static void put_items(const struct owned *o, struct io_writer *w)
{
	char line[HEAD_BYTES + IP_PREFIX_TEXT_BYTES];

	io_writer_put(w, o->head, strlen(o->head));
	for (size_t i = 0; i < o->n; i++) {
		const struct owned_item *item = &o->items[i];
		char prefix[IP_PREFIX_TEXT_BYTES], state[8] = "";
		int size;

		ip_format_prefix(item->family, item->bytes, item->prefixlen, prefix);
		if (item->state != 0)
			(void)snprintf(state, sizeof(state), " %u", item->state);
		size = snprintf(line, sizeof(line), "\n%s %" PRIu32 " %s%s", kind_names[item->kind],
				item->index, prefix, state);
		io_writer_put(w, line, (size_t)size);
	}
	io_writer_put(w, line, (size_t)snprintf(line, sizeof(line), "\nend %zu\n", o->n));
}

int owned_save(struct owned *o)
{
	CLEANUP(io_atomic_abort) struct io_atomic a = IO_ATOMIC_NULL;
	CLEANUP(io_writer_done) struct io_writer w = IO_WRITER_ON(-1);
	int r;

	if (!o->is_changed)
		return 0;
	r = io_atomic_begin(&a, o->dirfd, OWNED_FILE, 0600);
	if (r < 0)
		return err_pass(r);
	w.fd = a.fd;
	put_items(o, &w);
	r = io_writer_flush(&w);
	if (r >= 0)
		r = io_atomic_commit(&a);
	if (r < 0)
		return err_pass(r);
	o->is_changed = false;
	o->is_failure_said = false;
	return 0;
}

void owned_settle(struct owned *o)
{
	if (owned_save(o) >= 0)
		return;
	if (!o->is_failure_said)
		log_warn("the journal still names what is gone: %s", err_text());
	o->is_failure_said = true;
	err_clear();
}

/* ---- from disk ---- */

/* "64"; NULL: there is none. */
static bool parse_state(const char *text, const struct owned_item *item, uint16_t *ret)
{
	uint32_t state = 0;

	if (!text)
		return true;
	if (text_parse_u32(text, UINT16_MAX, &state) < 0)
		err_clear();
	*ret = (uint16_t)state;
	return state != 0 && item->kind == OWNED_NEIGHBOR;
}

/* "address 3 10.0.0.2/24". False: it is none. */
static bool parse_item(char *line, struct owned_item *ret)
{
	char *index = strchr(line, ' ');
	char *prefix = index ? strchr(index + 1, ' ') : NULL;
	char *state = prefix ? strchr(prefix + 1, ' ') : NULL;
	struct owned_item item = { 0 };

	if (!prefix)
		return false;
	*index++ = '\0';
	*prefix++ = '\0';
	if (state)
		*state++ = '\0';
	while (item.kind < _OWNED_KIND_MAX && strcmp(kind_names[item.kind], line) != 0)
		item.kind++;
	if (item.kind == _OWNED_KIND_MAX)
		return false;
	if (text_parse_u32(index, INT32_MAX, &item.index) < 0) {
		err_clear();
		return false;
	}
	if (!ip_parse_prefix(prefix, &item.family, item.bytes, &item.prefixlen) ||
	    !parse_state(state, &item, &item.state))
		return false;
	*ret = item;
	return true;
}

/* "end N\n" and nothing behind it. */
static bool is_end(const struct owned *o, const char *line, const char *rest)
{
	uint32_t n;

	if (strncmp(line, "end ", 4) != 0 || *rest != '\0')
		return false;
	if (text_parse_u32(line + 4, OWNED_MAX, &n) < 0) {
		err_clear();
		return false;
	}
	return n == o->n;
}

/* Return: 0; -EBADMSG; -ENOMEM. */
static int parse_items(struct owned *o, char *text)
{
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		struct owned_item item;
		int r;

		*end = '\0';
		if (is_end(o, line, end + 1))
			return 0;
		if (!parse_item(line, &item))
			break;
		r = owned_add(o, &item);
		if (r < 0)
			return err_pass(r);
	}
	return err_raise(-EBADMSG, "read the journal");
}

static int parse(struct owned *o, char *text)
{
	size_t size = strlen(o->head);

	if (strncmp(text, "netmon-agent 1 ", 15) != 0)
		return err_raise(-EBADMSG, "read the journal");
	/* Another boot's, or another namespace's: nothing of it is here. */
	if (strncmp(text, o->head, size) != 0 || text[size] != '\n')
		return 0;
	return err_pass(parse_items(o, text + size + 1));
}

static void set_aside(struct owned *o)
{
	o->n = 0;
	o->is_changed = true;
	log_warn("the journal is broken and set aside as " OWNED_FILE_BROKEN
		 ": what was put in place before is not withdrawn any more: %s",
		 err_text());
	err_clear();
	if (renameat(o->dirfd, OWNED_FILE, o->dirfd, OWNED_FILE_BROKEN) < 0)
		log_warn("it can't be set aside: %s", strerror(errno));
}

static int load(struct owned *o)
{
	/* Not blocking: it may be a pipe that somebody has put there. */
	CLEANUP(cleanup_close)
	int fd = io_openat(o->dirfd, OWNED_FILE, O_RDONLY | O_NONBLOCK, 0);
	CLEANUP(cleanup_free) char *text = NULL;
	int r;

	if (fd == -ENOENT) {
		err_clear();
		return 0;
	}
	if (fd == -ELOOP) {
		set_aside(o); /* the link itself, wherever it leads */
		return 0;
	}
	if (fd < 0)
		return err_pass(fd);
	r = io_read_all(fd, OWNED_BYTES_MAX, &text, NULL);
	if (r >= 0)
		r = parse(o, text);
	if (r == -EBADMSG || r == -EFBIG || r == -ENOSPC)
		set_aside(o);
	else if (r < 0)
		return err_pass(r);
	return 0;
}

static int make_head(struct owned *o, uint64_t cookie)
{
	CLEANUP(cleanup_free) char *id = NULL;
	int r = io_read_path(BOOT_ID, BOOT_ID_BYTES, &id, NULL);

	if (r < 0)
		return err_pass(r);
	id[strcspn(id, "\n")] = '\0';
	(void)snprintf(o->head, sizeof(o->head), "netmon-agent 1 %s %" PRIu64, id, cookie);
	return 0;
}

/* Where a file system has no locks, there is only the word of who set two agents up. */
static int lock(const struct owned *o, const char *path)
{
	if (flock(o->dirfd, LOCK_EX | LOCK_NB) >= 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return err_raise(-EWOULDBLOCK, "another netmon-agent uses '%s'", path);
	log_warn("'%s' can't be locked against a second netmon-agent: %s", path, strerror(errno));
	return 0;
}

int owned_new(struct owned **ret, const char *path, uint64_t cookie)
{
	CLEANUP(owned_freep) struct owned *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return err_raise(-ENOMEM, "make the journal");
	o->dirfd = -1;
	r = make_head(o, cookie);
	if (r >= 0)
		r = io_make_dir(path, 0700, &o->dirfd);
	if (r >= 0)
		r = lock(o, path);
	if (r >= 0)
		r = load(o);
	if (r < 0)
		return err_pass(r);
	*ret = TAKE_PTR(o);
	return 0;
}

struct owned *owned_free(struct owned *o)
{
	if (!o)
		return NULL;
	(void)cleanup_close_fd(o->dirfd);
	free(o->items);
	free(o);
	return NULL;
}
