/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what the kernel has to what the guest should see.
 *
 * How it works: links first, since everything else hangs on them. A link that is announced (acked,
 * same incarnation) stays wanted as long as it exists: a flap, a rename, a new master are no
 * unplug. A link that is not has to be pluggable, ready, not held, not refused, and the only one
 * with its MAC. Then the addresses, routes and neighbours of the wanted links follow, each by its
 * own filter; what is filtered out because no guest protocol has a word for it leaves a note.
 */
#include "netmon/view.h"

#include <errno.h>
#include <fnmatch.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "netmon/refused.h"

/* ---- words ---- */

static const char *const kind_names[] = {
	[VIEW_KIND_VETH] = "veth",	   [VIEW_KIND_TAP] = "tap",
	[VIEW_KIND_MACVLAN] = "macvlan",   [VIEW_KIND_IPVLAN] = "ipvlan",
	[VIEW_KIND_PHYSICAL] = "physical",
};
_Static_assert(sizeof(kind_names) / sizeof(kind_names[0]) == _VIEW_KIND_MAX, "one name a kind");

static const char *const on_change_names[] = {
	[VIEW_ON_CHANGE_IGNORE] = "ignore",
	[VIEW_ON_CHANGE_REPLUG] = "replug",
};
_Static_assert(sizeof(on_change_names) / sizeof(on_change_names[0]) == _VIEW_ON_CHANGE_MAX,
	       "one name a choice");

static const char *const reason_names[] = {
	[VIEW_NOT_PLUGGABLE] = "not-pluggable",
	[VIEW_DUPLICATE_MAC] = "duplicate-mac",
	[VIEW_CHANGE_IGNORED] = "change-ignored",
	[VIEW_REFUSED] = "refused",
	[VIEW_NO_PREFIX_ROUTE] = "noprefixroute",
	[VIEW_UNSAYABLE_ROUTE] = "unsayable-route",
	[VIEW_DEFAULT6_NO_GATEWAY] = "default6-without-gateway",
	[VIEW_NEIGHBOUR] = "neighbour-unsupported",
	[VIEW_POLICY] = "policy-routing",
	[VIEW_GUEST_ONLY] = "guest-only",
};
_Static_assert(sizeof(reason_names) / sizeof(reason_names[0]) == _VIEW_REASON_MAX,
	       "one name a reason");

static int from_string(const char *const *names, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], s) == 0)
			return (int)i;
	return -EINVAL;
}

const char *view_kind_to_string(enum view_kind k)
{
	return kind_names[k];
}

int view_kind_from_string(const char *s, enum view_kind *ret)
{
	int i = from_string(kind_names, _VIEW_KIND_MAX, s);

	if (i < 0)
		return i;
	*ret = (enum view_kind)i;
	return 0;
}

int view_on_change_from_string(const char *s, enum view_on_change *ret)
{
	int i = from_string(on_change_names, _VIEW_ON_CHANGE_MAX, s);

	if (i < 0)
		return i;
	*ret = (enum view_on_change)i;
	return 0;
}

const char *view_reason_to_string(enum view_reason r)
{
	return reason_names[r];
}

/* ---- notes ---- */

void view_notes_done(struct view_notes *n)
{
	free(n->notes);
	*n = (struct view_notes){ 0 };
}

/*
 * Of a link that can't be plugged it is the link that is said once, whatever changes of it: a
 * bridge's MAC follows its ports'.
 */
static uint64_t note_hash(const struct view_note *note)
{
	struct link only_number = { .ifindex = note->ifindex };
	bool is_about_link =
		note->reason == VIEW_NOT_PLUGGABLE || note->reason == VIEW_DUPLICATE_MAC;

	return model_hash(note->kind, is_about_link ? &only_number : &note->link,
			  MODEL_HASH_SEED + note->reason);
}

int view_notes_add(struct view_notes *notes, enum view_reason reason, enum model_kind kind,
		   const void *value, uint32_t ifindex)
{
	struct view_note *note;

	notes->n_all++;
	if (notes->n == VIEW_NOTES_MAX)
		return 0;
	if (!notes->notes) {
		notes->notes = calloc(VIEW_NOTES_MAX, sizeof(*notes->notes));
		if (!notes->notes)
			return err_raise(-ENOMEM, "note what can't be told");
	}
	note = &notes->notes[notes->n++];
	*note = (struct view_note){ .reason = reason, .kind = kind, .ifindex = ifindex };
	memcpy(&note->link, value, model_bytes(kind));
	note->hash = note_hash(note);
	return 0;
}

/* ---- which links ---- */

static bool has_suffix(const char *s, const char *suffix)
{
	size_t n = strnlen(s, MODEL_NAME_BYTES), m = strlen(suffix);

	return n >= m && strncmp(s + n - m, suffix, m) == 0;
}

/*
 * Names that end in "kata" are the runtime's own taps and bridges: one rule, for what appears and
 * for what goes.
 */
static bool is_ours_to_tell(const struct view_config *config, const struct link *l)
{
	if (l->flags & IFF_LOOPBACK || has_suffix(l->name, "kata"))
		return false;
	for (size_t i = 0; i < config->n_ignore; i++)
		if (fnmatch(config->ignore[i], l->name, 0) == 0)
			return false;
	return true;
}

static bool is_local_pair(const struct snapshot *seen, const struct link *l)
{
	return strcmp(l->kind, "veth") == 0 && l->peer_ifindex && !l->peer_elsewhere &&
	       table_find_link(snapshot_links(seen), l->peer_ifindex);
}

static bool is_kind_allowed(const struct view_config *config, const struct link *l)
{
	int kind = from_string(kind_names, VIEW_KIND_PHYSICAL, l->kind);

	if (l->kind[0] == '\0')
		kind = VIEW_KIND_PHYSICAL;
	return kind >= 0 && config->kinds & 1U << kind;
}

static bool has_mac(const struct link *l)
{
	static const uint8_t zero[MODEL_MAC_BYTES];

	return l->hardware == ARPHRD_ETHER && l->mac_bytes == MODEL_MAC_BYTES &&
	       memcmp(l->mac, zero, sizeof(zero)) != 0;
}

/* Not something to report either: another's business (a master's, the pod's own inside). */
static bool is_quietly_left_out(const struct view_config *config, const struct snapshot *seen,
				const struct link *l)
{
	return !is_ours_to_tell(config, l) || l->master || is_local_pair(seen, l);
}

bool view_is_pluggable(const struct view_config *config, const struct snapshot *seen,
		       const struct link *l)
{
	return !is_quietly_left_out(config, seen, l) && is_kind_allowed(config, l) && has_mac(l);
}

bool view_is_ready(const struct link *l)
{
	if (!(l->flags & IFF_UP))
		return false;
	return l->flags & (uint32_t)IFF_LOWER_UP || strcmp(l->kind, "tap") == 0;
}

static struct link guest_link(const struct link *l)
{
	struct link g = {
		.ifindex = l->ifindex,
		.incarnation = l->incarnation,
		.mtu = l->mtu,
		.mac_bytes = l->mac_bytes,
	};

	memcpy(g.mac, l->mac, sizeof(g.mac));
	memcpy(g.name, l->name, sizeof(g.name));
	memcpy(g.kind, l->kind, sizeof(g.kind));
	return g;
}

/* ---- addresses ---- */

static bool is_wanted_addr(const struct view_config *config, const struct addr *a)
{
	if (a->flags & IFA_F_DADFAILED)
		return false;
	return config->link_local || !model_is_link_local6(a->family, a->bytes);
}

static struct addr guest_addr(const struct addr *a)
{
	struct addr g = {
		.ifindex = a->ifindex,
		.family = a->family,
		.prefixlen = a->prefixlen,
		.learnt = a->learnt,
	};

	memcpy(g.bytes, a->bytes, sizeof(g.bytes));
	return g;
}

uint64_t view_addrs_hash(const struct view_config *config, const struct snapshot *seen,
			 uint32_t ifindex, size_t *ret_n)
{
	uint64_t hash = MODEL_HASH_SEED;
	size_t n, wanted = 0;
	size_t first = table_range_of_link(snapshot_addrs(seen), ifindex, &n);

	for (size_t i = 0; i < n; i++) {
		const struct addr *a = &snapshot_addrs(seen)->addrs[first + i];

		if (!is_wanted_addr(config, a))
			continue;
		struct addr g = guest_addr(a);

		hash = model_hash(MODEL_ADDR, &g, hash);
		wanted++;
	}
	*ret_n = wanted;
	return hash;
}

uint64_t view_link_hash(const struct link *l, const struct addr *addrs, size_t n_addrs)
{
	uint64_t hash = model_hash(MODEL_LINK, l, MODEL_HASH_SEED);

	for (size_t i = 0; i < n_addrs; i++)
		hash = model_hash(MODEL_ADDR, &addrs[i], hash);
	return hash;
}

/* ---- building ---- */

struct build {
	const struct view_config *config;
	const struct view_input *in;
	struct view_notes *notes;
	struct table *tables[_MODEL_KIND_MAX];
	struct table *scratch; /* addresses of the link in hand, sealed */
};

static void build_done(struct build *b)
{
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		b->tables[k] = table_unref(b->tables[k]);
	b->scratch = table_unref(b->scratch);
}

static int add(struct build *b, enum model_kind kind, const void *value)
{
	int r = table_add(b->tables[kind], value);

	return r < 0 ? err_pass(r) : 0; /* over the limit: counted by the table */
}

/* Learnt before, told, and gone from sight since: kept (see view.h). */
static bool is_retained(const struct build *b, enum model_kind kind, const void *value)
{
	return !table_find(b->in->seen->tables[kind], value) &&
	       table_find(b->in->acked->tables[kind], value);
}

static int retain_addrs(struct build *b, uint32_t ifindex)
{
	const struct table *previous = snapshot_addrs(b->in->previous);
	size_t n;
	size_t first = table_range_of_link(previous, ifindex, &n);
	int r = 0;

	for (size_t i = first; r >= 0 && i < first + n; i++)
		if (previous->addrs[i].learnt && is_retained(b, MODEL_ADDR, &previous->addrs[i]))
			r = table_add(b->scratch, &previous->addrs[i]);
	return err_pass(r);
}

/* Fills b->scratch with the addresses that the guest should have on this link. */
static int collect_addrs(struct build *b, uint32_t ifindex, bool is_announced)
{
	const struct table *seen = snapshot_addrs(b->in->seen);
	size_t n;
	size_t first = table_range_of_link(seen, ifindex, &n);
	int r;

	b->scratch = table_unref(b->scratch);
	r = table_new(&b->scratch, MODEL_ADDR);
	for (size_t i = first; r >= 0 && i < first + n; i++) {
		struct addr g = guest_addr(&seen->addrs[i]);

		if (is_wanted_addr(b->config, &seen->addrs[i]))
			r = table_add(b->scratch, &g);
	}
	if (r >= 0 && is_announced)
		r = retain_addrs(b, ifindex);
	if (r < 0)
		return err_pass(r);
	table_seal(b->scratch);
	return 0;
}

static int emit_link(struct build *b, const struct link *l, const struct addr *addrs,
		     size_t n_addrs)
{
	int r = add(b, MODEL_LINK, l);

	for (size_t i = 0; r >= 0 && i < n_addrs; i++)
		r = add(b, MODEL_ADDR, &addrs[i]);
	return err_pass(r);
}

static int emit_as_acked(struct build *b, const struct link *acked)
{
	const struct table *addrs = snapshot_addrs(b->in->acked);
	size_t n;
	size_t first = table_range_of_link(addrs, acked->ifindex, &n);

	return err_pass(emit_link(b, acked, addrs->addrs ? addrs->addrs + first : NULL, n));
}

static bool has_ifindex(const uint32_t *list, size_t n, uint32_t ifindex)
{
	for (size_t i = 0; i < n; i++)
		if (list[i] == ifindex)
			return true;
	return false;
}

static bool is_held(const struct build *b, uint32_t ifindex)
{
	return has_ifindex(b->in->held, b->in->n_held, ifindex);
}

/* May the link be announced, or a change of it told? */
static bool may_be_told(const struct build *b, uint32_t ifindex)
{
	return !is_held(b, ifindex) && !has_ifindex(b->in->settling, b->in->n_settling, ifindex);
}

/* Does the link have a family now of which the guest was told no address? */
static bool has_new_family(const struct build *b, const struct link *acked)
{
	const struct table *told = snapshot_addrs(b->in->acked);
	size_t n;
	size_t first = table_range_of_link(told, acked->ifindex, &n);

	for (size_t i = 0; i < b->scratch->n; i++) {
		bool found = false;

		for (size_t j = first; j < first + n; j++)
			found = found || told->addrs[j].family == b->scratch->addrs[i].family;
		if (!found)
			return true;
	}
	return false;
}

/* For a side that can't update: is this change worth deleting and adding the link? */
static bool is_replug(const struct build *b, const struct link *acked)
{
	if (b->config->on_change == VIEW_ON_CHANGE_REPLUG)
		return true;
	return !acked->replugged && acked->sent_usec &&
	       b->in->now_usec - acked->sent_usec <= VIEW_REPLUG_WINDOW_USEC &&
	       has_new_family(b, acked);
}

static bool same_addrs_as_acked(const struct build *b, const struct link *acked)
{
	const struct table *told = snapshot_addrs(b->in->acked);
	size_t n;
	size_t first = table_range_of_link(told, acked->ifindex, &n);

	if (n != b->scratch->n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (model_compare(MODEL_ADDR, &told->addrs[first + i], &b->scratch->addrs[i]) != 0)
			return false;
	return true;
}

static int note_link(struct build *b, enum view_reason reason, const struct link *guest)
{
	return err_pass(view_notes_add(b->notes, reason, MODEL_LINK, guest, guest->ifindex));
}

static bool mac_is_taken(const struct build *b, const struct link *guest)
{
	const struct table *links = b->tables[MODEL_LINK];

	for (size_t i = 0; i < links->n; i++)
		if (memcmp(links->links[i].mac, guest->mac, sizeof(guest->mac)) == 0)
			return true;
	return false;
}

/* Does the guest keep this link, as it is or changed? */
static bool stays(const struct build *b, const struct link *acked)
{
	const struct link *seen = table_find_link(snapshot_links(b->in->seen), acked->ifindex);

	return (seen && seen->incarnation == acked->incarnation) || is_held(b, acked->ifindex);
}

/* Has another link that stays this MAC in the guest now, whatever is wanted of it? */
static bool mac_is_anothers(const struct build *b, const struct link *guest)
{
	const struct table *acked = snapshot_links(b->in->acked);

	for (size_t i = 0; i < acked->n; i++)
		if (acked->links[i].ifindex != guest->ifindex &&
		    memcmp(acked->links[i].mac, guest->mac, sizeof(guest->mac)) == 0 &&
		    stays(b, &acked->links[i]))
			return true;
	return false;
}

/* A link that the guest knows: unchanged, changed and told, or changed and kept as it was told. */
static int view_announced(struct build *b, const struct link *seen, const struct link *acked)
{
	struct link guest = guest_link(seen);
	uint64_t hash;
	int r = collect_addrs(b, seen->ifindex, true);

	if (r < 0)
		return err_pass(r);
	guest.sent_usec = acked->sent_usec;
	guest.replugged = acked->replugged;
	if (model_compare(MODEL_LINK, &guest, acked) == 0 && same_addrs_as_acked(b, acked))
		return err_pass(emit_link(b, &guest, b->scratch->addrs, b->scratch->n));

	if (memcmp(guest.mac, acked->mac, sizeof(guest.mac)) != 0 &&
	    (mac_is_taken(b, &guest) || mac_is_anothers(b, &guest))) {
		r = note_link(b, VIEW_DUPLICATE_MAC, &guest);
		return r < 0 ? r : err_pass(emit_as_acked(b, acked));
	}
	hash = view_link_hash(&guest, b->scratch->addrs, b->scratch->n);
	if (refused_is_final(b->in->refused, hash)) {
		r = note_link(b, VIEW_REFUSED, &guest);
		return r < 0 ? r : err_pass(emit_as_acked(b, acked));
	}
	if (!b->config->caps.updates_links && !is_replug(b, acked)) {
		r = note_link(b, VIEW_CHANGE_IGNORED, &guest);
		return r < 0 ? r : err_pass(emit_as_acked(b, acked));
	}
	if (!may_be_told(b, seen->ifindex))
		return err_pass(emit_as_acked(b, acked));
	if (!b->config->caps.updates_links) {
		guest.replugged = true;
		guest.sent_usec = b->in->now_usec;
	}
	return err_pass(emit_link(b, &guest, b->scratch->addrs, b->scratch->n));
}

/* A link that the guest has not heard of. */
static int view_new(struct build *b, const struct link *seen)
{
	struct link guest = guest_link(seen);
	uint64_t hash;
	int r;

	if (is_quietly_left_out(b->config, b->in->seen, seen))
		return 0;
	if (!view_is_pluggable(b->config, b->in->seen, seen))
		return note_link(b, VIEW_NOT_PLUGGABLE, &guest);
	if (!view_is_ready(seen) || !may_be_told(b, seen->ifindex))
		return 0;
	if (mac_is_taken(b, &guest))
		return note_link(b, VIEW_DUPLICATE_MAC, &guest);
	if (mac_is_anothers(b, &guest))
		return 0; /* about to be free: the next plan tells it */
	r = collect_addrs(b, seen->ifindex, false);
	if (r < 0)
		return err_pass(r);
	hash = view_link_hash(&guest, b->scratch->addrs, b->scratch->n);
	if (refused_is_final(b->in->refused, hash))
		return note_link(b, VIEW_REFUSED, &guest);
	guest.sent_usec = b->in->now_usec;
	return err_pass(emit_link(b, &guest, b->scratch->addrs, b->scratch->n));
}

static const struct link *find_announced(const struct build *b, const struct link *seen)
{
	const struct link *acked = table_find_link(snapshot_links(b->in->acked), seen->ifindex);

	return acked && acked->incarnation == seen->incarnation ? acked : NULL;
}

/*
 * One that went but may not be withdrawn now (its deletion backs off): the guest has it still, and
 * its MAC.
 */
static int view_gone(struct build *b, const struct link *acked)
{
	const struct link *seen = table_find_link(snapshot_links(b->in->seen), acked->ifindex);

	if ((seen && find_announced(b, seen)) || !is_held(b, acked->ifindex))
		return 0;
	return err_pass(emit_as_acked(b, acked));
}

/* Those that the guest has first: they hold their MACs. */
static int build_links(struct build *b)
{
	const struct table *seen = snapshot_links(b->in->seen);
	const struct table *acked = snapshot_links(b->in->acked);
	int r = 0;

	for (size_t i = 0; r >= 0 && i < acked->n; i++)
		r = view_gone(b, &acked->links[i]);
	for (size_t i = 0; r >= 0 && i < seen->n; i++) {
		const struct link *known = find_announced(b, &seen->links[i]);

		if (known)
			r = view_announced(b, &seen->links[i], known);
	}
	for (size_t i = 0; r >= 0 && i < seen->n; i++)
		if (!find_announced(b, &seen->links[i]))
			r = view_new(b, &seen->links[i]);
	if (r < 0)
		return err_pass(r);
	table_seal(b->tables[MODEL_LINK]);
	table_seal(b->tables[MODEL_ADDR]);
	return 0;
}

static bool is_wanted_link(const struct build *b, uint32_t ifindex)
{
	return ifindex && table_find_link(b->tables[MODEL_LINK], ifindex);
}

static int note_addrs(struct build *b)
{
	const struct table *seen = snapshot_addrs(b->in->seen);
	int r = 0;

	for (size_t i = 0; r >= 0 && i < seen->n; i++) {
		const struct addr *a = &seen->addrs[i];

		if (a->flags & IFA_F_NOPREFIXROUTE && is_wanted_addr(b->config, a) &&
		    is_wanted_link(b, a->ifindex)) {
			struct addr g = guest_addr(a);

			r = view_notes_add(b->notes, VIEW_NO_PREFIX_ROUTE, MODEL_ADDR, &g,
					   a->ifindex);
		}
	}
	return err_pass(r);
}

/* ---- routes ---- */

static struct route guest_route(const struct view_config *config, const struct route *r)
{
	struct route g = *r;

	g.metric = 0;
	g.unsayable = MODEL_SAYABLE;
	g.flags &= (uint8_t)(~MODEL_ROUTE_KERNEL & 0x1f);
	if (!config->caps.route_mtu)
		g.mtu = 0;
	if (!config->caps.route_onlink)
		g.flags &= (uint8_t)(~MODEL_ROUTE_ONLINK & 0x1f);
	return g;
}

enum route_fate { ROUTE_LEFT_OUT, ROUTE_NOTED, ROUTE_WANTED };

static enum route_fate route_fate(const struct build *b, const struct route *r,
				  enum view_reason *ret_reason)
{
	if (r->flags & MODEL_ROUTE_KERNEL || (r->ifindex && !is_wanted_link(b, r->ifindex)))
		return ROUTE_LEFT_OUT;
	*ret_reason = VIEW_UNSAYABLE_ROUTE;
	if (r->unsayable != MODEL_SAYABLE)
		return ROUTE_NOTED;
	if (!r->ifindex)
		return ROUTE_LEFT_OUT;
	*ret_reason = VIEW_DEFAULT6_NO_GATEWAY;
	if (!b->config->caps.route_family && r->is_inet6 && r->prefixlen == 0 &&
	    !(r->flags & MODEL_ROUTE_GATEWAY))
		return ROUTE_NOTED;
	return ROUTE_WANTED;
}

/* Of equal destinations the first is the one of lowest metric: so they are sorted. */
static bool is_destination_taken(const struct build *b, const struct route *r)
{
	const struct table *t = b->tables[MODEL_ROUTE];

	return t->n > 0 && model_compare_key(MODEL_ROUTE, &t->routes[t->n - 1], r) == 0;
}

static int view_route(struct build *b, const struct route *seen)
{
	enum view_reason reason = VIEW_UNSAYABLE_ROUTE;

	switch (route_fate(b, seen, &reason)) {
	case ROUTE_LEFT_OUT:
		return 0;
	case ROUTE_NOTED:
		return err_pass(view_notes_add(b->notes, reason, MODEL_ROUTE, seen, seen->ifindex));
	case ROUTE_WANTED:
		break;
	}
	if (is_destination_taken(b, seen))
		return 0;
	struct route g = guest_route(b->config, seen);

	return err_pass(add(b, MODEL_ROUTE, &g));
}

/* Learnt, told, of a link that stays, and no other route has taken its destination. */
static bool is_retained_route(const struct build *b, const struct route *p)
{
	return p->flags & MODEL_ROUTE_LEARNT && is_wanted_link(b, p->ifindex) &&
	       !table_find(b->tables[MODEL_ROUTE], p) &&
	       table_find(snapshot_routes(b->in->acked), p);
}

static int retain_routes(struct build *b)
{
	const struct table *previous = snapshot_routes(b->in->previous);
	const struct table *wanted = b->tables[MODEL_ROUTE];
	CLEANUP(table_unrefp) struct table *t = NULL;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < previous->n; i++) {
		if (!is_retained_route(b, &previous->routes[i]))
			continue;
		r = t ? 0 : table_copy(wanted, &t);
		if (r >= 0)
			r = table_add(t, &previous->routes[i]);
	}
	if (r < 0 || !t)
		return err_pass(r);
	table_seal(t);
	table_unref(b->tables[MODEL_ROUTE]);
	b->tables[MODEL_ROUTE] = TAKE_PTR(t);
	return 0;
}

static int build_routes(struct build *b)
{
	const struct table *seen = snapshot_routes(b->in->seen);
	int r = 0;

	for (size_t i = 0; r >= 0 && i < seen->n; i++)
		r = view_route(b, &seen->routes[i]);
	if (r < 0)
		return err_pass(r);
	table_seal(b->tables[MODEL_ROUTE]);
	return err_pass(retain_routes(b));
}

/* ---- neighbours ---- */

static bool has_learnt_neighs(const struct build *b)
{
	const struct table *seen = snapshot_neighs(b->in->seen);

	for (size_t i = 0; i < seen->n; i++)
		if (seen->neighs[i].learnt)
			return true;
	return false;
}

/*
 * The gateways of the wanted routes as a set: a table of neighbours without MAC. Empty when nobody
 * will ask.
 */
static int collect_gateways(const struct build *b, struct table **ret)
{
	const struct table *routes = b->tables[MODEL_ROUTE];
	CLEANUP(table_unrefp) struct table *t = NULL;
	size_t n = b->config->caps.neighbours && has_learnt_neighs(b) ? routes->n : 0;
	int r = table_new(&t, MODEL_NEIGH);

	for (size_t i = 0; r >= 0 && i < n; i++) {
		const struct route *route = &routes->routes[i];
		struct neigh key = { .ifindex = route->ifindex,
				     .family = model_route_family(route) };

		memcpy(key.bytes, route->gateway, sizeof(key.bytes));
		if (!(route->flags & MODEL_ROUTE_GATEWAY))
			continue;
		if (t->n == 0 || model_compare(MODEL_NEIGH, &t->neighs[t->n - 1], &key) != 0)
			r = table_add(t, &key);
	}
	if (r < 0)
		return err_pass(r);
	table_seal(t);
	*ret = TAKE_PTR(t);
	return 0;
}

static struct neigh guest_neigh(const struct neigh *n)
{
	struct neigh g = {
		.ifindex = n->ifindex,
		.family = n->family,
		.mac_bytes = n->mac_bytes,
		.learnt = n->learnt,
	};

	memcpy(g.mac, n->mac, sizeof(g.mac));
	memcpy(g.bytes, n->bytes, sizeof(g.bytes));
	return g;
}

#define NUD_KNOWN (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE)

static int view_neigh(struct build *b, const struct neigh *seen, const struct table *gateways)
{
	struct neigh g = guest_neigh(seen);
	bool is_permanent = seen->state & NUD_PERMANENT;

	if (!is_wanted_link(b, seen->ifindex) || seen->mac_bytes != MODEL_MAC_BYTES)
		return 0;
	if (!b->config->caps.neighbours) {
		if (!is_permanent)
			return 0;
		return err_pass(
			view_notes_add(b->notes, VIEW_NEIGHBOUR, MODEL_NEIGH, &g, g.ifindex));
	}
	if (!is_permanent && !(seen->state & NUD_KNOWN && table_find(gateways, seen)))
		return 0;
	return err_pass(add(b, MODEL_NEIGH, &g));
}

static int retain_neighs(struct build *b)
{
	const struct table *previous = snapshot_neighs(b->in->previous);
	const struct table *wanted = b->tables[MODEL_NEIGH];
	size_t n_seen = wanted->n;
	int r = 0;

	/*
	 * Not is_retained(): a learnt entry that is stale or failed is still in seen, but not
	 * wanted.
	 */
	for (size_t i = 0; r >= 0 && i < previous->n; i++) {
		const struct neigh *p = &previous->neighs[i];
		bool found = false;

		if (!p->learnt || !is_wanted_link(b, p->ifindex) ||
		    !table_find(snapshot_neighs(b->in->acked), p))
			continue;
		for (size_t j = 0; !found && j < n_seen; j++)
			found = model_compare_key(MODEL_NEIGH, &wanted->neighs[j], p) == 0;
		if (!found)
			r = add(b, MODEL_NEIGH, p);
	}
	return err_pass(r);
}

static int build_neighs(struct build *b)
{
	const struct table *seen = snapshot_neighs(b->in->seen);
	CLEANUP(table_unrefp) struct table *gateways = NULL;
	int r = collect_gateways(b, &gateways);

	for (size_t i = 0; r >= 0 && i < seen->n; i++)
		r = view_neigh(b, &seen->neighs[i], gateways);
	if (r >= 0)
		r = retain_neighs(b);
	if (r < 0)
		return err_pass(r);
	table_seal(b->tables[MODEL_NEIGH]);
	return 0;
}

/* ---- the rest ---- */

static int build_policies(struct build *b)
{
	const struct table *seen = snapshot_policies(b->in->seen);
	int r = 0;

	for (size_t i = 0; r >= 0 && i < seen->n; i++)
		r = view_notes_add(b->notes, VIEW_POLICY, MODEL_POLICY, &seen->policies[i], 0);
	table_seal(b->tables[MODEL_POLICY]);
	return err_pass(r);
}

static int build_init(struct build *b)
{
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++) {
		int r = table_new(&b->tables[k], k);

		if (r < 0)
			return err_pass(r);
	}
	return 0;
}

static void hand_over(struct build *b, struct snapshot *ret)
{
	*ret = SNAPSHOT_NULL;
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		ret->tables[k] = TAKE_PTR(b->tables[k]);
}

int view_build(const struct view_config *config, const struct view_input *in,
	       struct snapshot *ret_wanted, struct view_notes *notes)
{
	CLEANUP(build_done) struct build b = { .config = config, .in = in, .notes = notes };
	int (*const steps[])(struct build *) = {
		build_init, build_links, note_addrs, build_routes, build_neighs, build_policies,
	};

	notes->n = notes->n_all = 0;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		int r = steps[i](&b);

		if (r < 0)
			return err_pass(r);
	}
	hand_over(&b, ret_wanted);
	return 0;
}

/* ---- baseline ---- */

static bool is_cold_plugged(const struct view_config *config, const struct snapshot *seen,
			    const struct link *l)
{
	size_t n;

	(void)table_range_of_link(snapshot_addrs(seen), l->ifindex, &n);
	return is_ours_to_tell(config, l) && l->flags & IFF_UP && n > 0;
}

int view_baseline(const struct view_config *config, const struct snapshot *seen,
		  struct snapshot *ret)
{
	struct snapshot nothing = SNAPSHOT_NULL;
	struct view_input in = { .seen = seen, .acked = &nothing, .previous = &nothing };
	CLEANUP(build_done) struct build b = { .config = config, .in = &in };
	const struct table *links = snapshot_links(seen);
	int r = build_init(&b);

	for (size_t i = 0; r >= 0 && i < links->n; i++) {
		struct link guest = guest_link(&links->links[i]);

		if (!is_cold_plugged(config, seen, &links->links[i]))
			continue;
		r = collect_addrs(&b, guest.ifindex, false);
		if (r >= 0)
			r = emit_link(&b, &guest, b.scratch->addrs, b.scratch->n);
	}
	if (r < 0)
		return err_pass(r);
	for (enum model_kind k = 0; k < _MODEL_KIND_MAX; k++)
		table_seal(b.tables[k]);
	hand_over(&b, ret);
	ret->routes_stale = true;
	return 0;
}
