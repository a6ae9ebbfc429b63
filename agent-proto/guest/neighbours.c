/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AddARPNeighbors and RemoveNeighbors. See neighbours.h.
 */
#include "agent-proto/guest/neighbours.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "agent-proto/guest/links.h"
#include "base/error.h"
#include "base/ip.h"

#define NOT_IN_USE (NUD_FAILED | NUD_INCOMPLETE)
#define IS_SET	   (NUD_PERMANENT | NUD_NOARP) /* no state that the kernel leads to another */

/* ---- the list ---- */

static bool parse(const struct nlmsghdr *h, struct neighbours_neighbour *ret)
{
	const struct ndmsg *ndm = nlmsg_data(h);
	struct nlattr *tb[NDA_LLADDR + 1] = { 0 };
	struct neighbours_neighbour x = { .state = ndm->ndm_state, .flags = ndm->ndm_flags };
	uint8_t bits = ip_bits(ndm->ndm_family);

	if (bits == 0 || (ndm->ndm_state & NOT_IN_USE) || ndm->ndm_ifindex <= 0 ||
	    nlmsg_parse((struct nlmsghdr *)(uintptr_t)h, sizeof(*ndm), tb, NDA_LLADDR, NULL) < 0)
		return false;
	if (!tb[NDA_DST] || nla_len(tb[NDA_DST]) != bits / 8 || !tb[NDA_LLADDR] ||
	    nla_len(tb[NDA_LLADDR]) != sizeof(x.mac))
		return false;
	x.item = (struct owned_item){
		.index = (uint32_t)ndm->ndm_ifindex,
		.kind = OWNED_NEIGHBOR,
		.family = ndm->ndm_family,
		.prefixlen = bits,
	};
	memcpy(x.item.bytes, nla_data(tb[NDA_DST]), bits / 8);
	memcpy(x.mac, nla_data(tb[NDA_LLADDR]), sizeof(x.mac));
	*ret = x;
	return true;
}

static int each_neighbour(void *userdata, const struct nlmsghdr *h)
{
	struct neighbours *l = userdata;
	struct neighbours_neighbour *items = l->items;
	size_t capacity = l->capacity ? 2 * l->capacity : 32;
	struct neighbours_neighbour x;

	if (h->nlmsg_type != RTM_NEWNEIGH || !nlmsg_valid_hdr(h, sizeof(struct ndmsg)) ||
	    !parse(h, &x))
		return 0;
	if (l->n == NEIGHBOURS_MAX)
		return err_raise(-EMSGSIZE, "list more than %u neighbours", NEIGHBOURS_MAX);
	if (l->n == l->capacity) {
		items = reallocarray(items, capacity, sizeof(*items));
		if (!items)
			return err_raise(-ENOMEM, "list neighbours");
		l->items = items;
		l->capacity = capacity;
	}
	items[l->n++] = x;
	return 0;
}

static void restart(void *userdata)
{
	struct neighbours *l = userdata;

	l->n = 0;
}

static int compare(const void *a, const void *b)
{
	const struct neighbours_neighbour *x = a, *y = b;

	if (x->item.index != y->item.index)
		return x->item.index < y->item.index ? -1 : 1;
	if (x->item.family != y->item.family)
		return x->item.family < y->item.family ? -1 : 1;
	return memcmp(x->item.bytes, y->item.bytes, sizeof(x->item.bytes));
}

int neighbours_list(struct netlink *n, struct neighbours *ret)
{
	static const struct ndmsg all = { .ndm_family = AF_UNSPEC };
	CLEANUP(neighbours_done) struct neighbours l = { 0 };
	struct netlink_dump d = {
		.type = RTM_GETNEIGH,
		.header = &all,
		.header_bytes = sizeof(all),
		.each = each_neighbour,
		.restart = restart,
		.userdata = &l,
	};
	int r = netlink_dump(n, &d);

	if (r < 0)
		return err_pass(r);
	if (l.n > 0)
		qsort(l.items, l.n, sizeof(*l.items), compare);
	*ret = l;
	l = (struct neighbours){ 0 };
	return 0;
}

void neighbours_done(struct neighbours *l)
{
	free(l->items);
	*l = (struct neighbours){ 0 };
}

static const struct neighbours_neighbour *find(const struct neighbours *l,
					       const struct owned_item *item)
{
	struct neighbours_neighbour key = { .item = *item };

	return l->n ? bsearch(&key, l->items, l->n, sizeof(key), compare) : NULL;
}

/* What is ours is as it was asked for: in the place of one that was set may be a learnt one. */
static bool is_there(void *userdata, const struct owned_item *item)
{
	const struct neighbours_neighbour *at = find(userdata, item);
	unsigned wanted = item->state ? item->state : NUD_PERMANENT;

	return at && (!(wanted & IS_SET) || (at->state & wanted & IS_SET));
}

void neighbours_sync(struct owned *o, const struct neighbours *l)
{
	owned_keep(o, OWNED_NEIGHBOR, is_there, (void *)(uintptr_t)l);
	owned_settle(o);
}

/* ---- many at once ---- */

struct work {
	struct owned_item item;
	const struct agent_neighbor *wanted; /* NULL: to remove */
	struct owned_item before;	     /* the note that it had, if it had one */
	bool was_owned;
};

struct job {
	struct owned *owned;
	const char *verb;
	struct work *work;
	size_t n;
	int error; /* the first one */
	char text[NETLINK_WORDS_MAX + 128];
};

static void job_done(struct job *j)
{
	free(j->work);
}

static int make_work(struct job *j, size_t n)
{
	j->work = calloc(n ? n : 1, sizeof(*j->work));
	return j->work ? 0 : err_raise(-ENOMEM, "%s neighbours", j->verb);
}

static void note(struct job *j, const struct owned_item *item, int error, const char *words)
{
	char ip[IP_TEXT_BYTES];

	if (j->error < 0)
		return;
	ip_format(item->family, item->bytes, ip);
	j->error = error;
	(void)snprintf(j->text, sizeof(j->text), "%s neighbour %s%s%s%s", j->verb, ip,
		       words[0] ? " (" : "", words, words[0] ? ")" : "");
}

static struct nl_msg *make(void *userdata, size_t i)
{
	const struct job *j = userdata;
	const struct work *w = &j->work[i];
	bool is_new = w->wanted != NULL;
	struct ndmsg ndm = {
		.ndm_family = w->item.family,
		.ndm_ifindex = (int)w->item.index,
		.ndm_state =
			is_new && w->wanted->state ? (uint16_t)w->wanted->state : NUD_PERMANENT,
		.ndm_flags = is_new ? (uint8_t)w->wanted->flags : 0,
	};
	CLEANUP(nlmsg_freep)
	struct nl_msg *m =
		netlink_message(is_new ? RTM_NEWNEIGH : RTM_DELNEIGH,
				is_new ? NLM_F_CREATE | NLM_F_REPLACE : 0, &ndm, sizeof(ndm));

	if (!m || nla_put(m, NDA_DST, ip_bits(w->item.family) / 8, w->item.bytes) < 0 ||
	    (is_new && nla_put(m, NDA_LLADDR, sizeof(w->wanted->mac), w->wanted->mac) < 0))
		return NULL;
	return TAKE_PTR(m);
}

/* To how it was before this call. */
static void restore_note(struct job *j, const struct work *w)
{
	if (!w->was_owned)
		owned_remove(j->owned, &w->item);
	else
		(void)owned_add(j->owned, &w->before); /* is there: can't fail */
}

/* Asked for twice in one call, the first may have failed and taken the note with it. */
static void done_new(struct job *j, const struct work *w, int error)
{
	int r;

	if (error < 0) {
		restore_note(j, w);
		return;
	}
	r = owned_add(j->owned, &w->item);
	if (r >= 0)
		return;
	note(j, &w->item, r, "it is there but not noted");
	err_clear();
}

static void done(void *userdata, size_t i, int error, const char *words)
{
	struct job *j = userdata;
	const struct work *w = &j->work[i];
	bool is_absent = !w->wanted && (error == -ENOENT || error == -ENODEV || error == -ESRCH);

	if (error < 0 && !is_absent)
		note(j, &w->item, error, words);
	if (w->wanted)
		done_new(j, w, error);
	else if (error == 0 || is_absent)
		owned_remove(j->owned, &w->item);
}

/*
 * What was not answered may have been done: it stays noted if it is there. Its error is on the way
 * up, so nothing is said here.
 */
static void look_after(struct netlink *n, struct owned *o)
{
	CLEANUP(neighbours_done) struct neighbours there = { 0 };

	if (neighbours_list(n, &there) >= 0)
		owned_keep(o, OWNED_NEIGHBOR, is_there, &there);
}

static int run(struct netlink *n, struct job *j)
{
	struct netlink_batch b = { .n = j->n, .make = make, .done = done, .userdata = j };
	int r = netlink_send(n, &b);

	if (r < 0) {
		look_after(n, j->owned);
		return err_pass(r);
	}
	owned_settle(j->owned);
	return j->error < 0 ? err_raise(j->error, "%s", j->text) : 0;
}

/* ---- the calls ---- */

/* False: no such device, *ret says the rest. */
static bool item_of(const struct links *links, const struct agent_neighbor *a,
		    struct owned_item *ret)
{
	const struct links_link *l = links_by_name(links, a->device);

	*ret = (struct owned_item){
		.index = l ? l->index : 0,
		.kind = OWNED_NEIGHBOR,
		.family = a->ip.family,
		.prefixlen = ip_bits(a->ip.family),
	};
	memcpy(ret->bytes, a->ip.bytes, sizeof(ret->bytes));
	return l != NULL;
}

/*
 * Somebody has set it. Where a link has IFF_NOARP the kernel makes noarp entries itself, of whatever
 * it sends to. Source: net/ipv4/arp.c, arp_constructor(); net/ipv6/ndisc.c, ndisc_constructor().
 */
static bool is_set(const struct links *links, const struct neighbours_neighbour *at)
{
	const struct links_link *l = links_by_index(links, at->item.index);

	return (at->state & NUD_PERMANENT) || (at->flags & NTF_EXT_LEARNED) ||
	       ((at->state & NUD_NOARP) && !(l && l->flags & IFF_NOARP));
}

static int note_new(struct job *j, struct work *w, const struct agent_neighbor *a)
{
	const struct owned_item *before;
	int r;

	w->item.state = a->state == NUD_PERMANENT ? 0 : (uint16_t)a->state;
	before = owned_get(j->owned, &w->item);
	w->was_owned = before != NULL;
	if (before)
		w->before = *before;
	w->wanted = a;
	r = owned_add(j->owned, &w->item);
	if (r < 0)
		return err_pass(r);
	j->n++;
	return 0;
}

static int consider(struct job *j, const struct links *links, const struct neighbours *there,
		    const struct agent_neighbor *a)
{
	struct work *w = &j->work[j->n];
	const struct neighbours_neighbour *at;
	bool is_foreign;

	if (!item_of(links, a, &w->item)) {
		note(j, &w->item, -ENODEV, "Link not found");
		return 0;
	}
	if (a->flags & NTF_PROXY || a->flags < 0 || a->flags > UINT8_MAX) {
		note(j, &w->item, -EOPNOTSUPP, "flags that are not supported");
		return 0;
	}
	at = find(there, &w->item);
	is_foreign = at && is_set(links, at) && !owned_has(j->owned, &w->item);
	if (is_foreign && memcmp(at->mac, a->mac, sizeof(a->mac)) != 0)
		note(j, &w->item, -EEXIST, "there is one that is not ours");
	if (is_foreign)
		return 0;
	return err_pass(note_new(j, w, a));
}

int neighbours_add(struct netlink *n, struct owned *o, const struct agent_neighbor *wanted,
		   size_t n_wanted)
{
	CLEANUP(links_done) struct links links = { 0 };
	CLEANUP(neighbours_done) struct neighbours there = { 0 };
	CLEANUP(job_done) struct job j = { .owned = o, .verb = "add" };
	int r = make_work(&j, n_wanted);

	if (r >= 0)
		r = links_list(n, &links);
	if (r >= 0)
		r = neighbours_list(n, &there);
	if (r < 0)
		return err_pass(r);
	neighbours_sync(o, &there);
	for (size_t i = 0; r >= 0 && i < n_wanted; i++)
		r = consider(&j, &links, &there, &wanted[i]);
	if (r >= 0 && j.n > 0)
		r = owned_save(o);
	/* A note of what will not come would make ours what somebody else adds. */
	for (size_t i = j.n; r < 0 && i-- > 0;)
		restore_note(&j, &j.work[i]);
	if (r < 0)
		return err_pass(r);
	return err_pass(run(n, &j));
}

/* So that a learnt one in the place of ours stays. Where it can't be told, what is noted goes. */
static void sync_before(struct netlink *n, struct owned *o)
{
	CLEANUP(neighbours_done) struct neighbours there = { 0 };

	if (neighbours_list(n, &there) < 0)
		err_clear();
	else
		neighbours_sync(o, &there);
}

static void remove_named(struct job *j, const struct links *links,
			 const struct agent_neighbor *gone, size_t n_gone)
{
	for (size_t i = 0; i < n_gone; i++) {
		struct owned_item *item = &j->work[j->n].item;

		if (item_of(links, &gone[i], item) && owned_has(j->owned, item))
			j->n++;
	}
}

/* Those whose device is not there, in order, as if on link 0; *ret has room for all. */
static void find_nameless(const struct links *links, const struct agent_neighbor *gone,
			  size_t n_gone, struct neighbours *ret)
{
	for (size_t i = 0; i < n_gone; i++)
		if (!item_of(links, &gone[i], &ret->items[ret->n].item) && gone[i].device[0])
			ret->n++;
	if (ret->n > 0)
		qsort(ret->items, ret->n, sizeof(*ret->items), compare);
}

static bool is_named(const struct links_link *l, const struct agent_neighbor *gone, size_t n_gone)
{
	for (size_t i = 0; i < n_gone; i++)
		if (strcmp(gone[i].device, l->name) == 0)
			return true;
	return false;
}

/* The items are in order of their links: each link is looked for once. */
static int remove_nameless(struct job *j, const struct links *links,
			   const struct agent_neighbor *gone, size_t n_gone)
{
	CLEANUP(neighbours_done) struct neighbours nameless = { 0 };
	uint32_t index = 0;
	bool is_open = false;
	size_t n;
	const struct owned_item *items = owned_items(j->owned, &n);

	nameless.items = calloc(n_gone ? n_gone : 1, sizeof(*nameless.items));
	if (!nameless.items)
		return err_raise(-ENOMEM, "%s neighbours", j->verb);
	find_nameless(links, gone, n_gone, &nameless);
	for (size_t i = 0; nameless.n > 0 && i < n; i++) {
		struct owned_item key = items[i];

		if (key.index != index) {
			const struct links_link *l = links_by_index(links, key.index);

			is_open = l && !is_named(l, gone, n_gone);
			index = key.index;
		}
		key.index = 0;
		if (is_open && key.kind == OWNED_NEIGHBOR && find(&nameless, &key))
			j->work[j->n++].item = items[i];
	}
	return 0;
}

int neighbours_remove(struct netlink *n, struct owned *o, const struct agent_neighbor *gone,
		      size_t n_gone)
{
	CLEANUP(links_done) struct links links = { 0 };
	CLEANUP(job_done) struct job j = { .owned = o, .verb = "remove" };
	size_t n_items;
	int r;

	sync_before(n, o);
	(void)owned_items(o, &n_items);
	/* One more: the place of what is looked at. */
	r = make_work(&j, n_gone + n_items + 1);
	if (r >= 0)
		r = links_list(n, &links);
	if (r < 0)
		return err_pass(r);
	remove_named(&j, &links, gone, n_gone);
	r = remove_nameless(&j, &links, gone, n_gone);
	if (r < 0)
		return err_pass(r);
	return err_pass(run(n, &j));
}

int neighbours_remove_of_link(struct netlink *n, struct owned *o, uint32_t index)
{
	CLEANUP(job_done) struct job j = { .owned = o, .verb = "remove" };
	const struct owned_item *items;
	size_t n_items;
	int r;

	sync_before(n, o);
	items = owned_items(o, &n_items);
	r = make_work(&j, n_items);
	if (r < 0)
		return err_pass(r);
	for (size_t i = 0; i < n_items; i++) {
		if (items[i].kind == OWNED_NEIGHBOR && items[i].index == index)
			j.work[j.n++].item = items[i];
	}
	return err_pass(run(n, &j));
}
