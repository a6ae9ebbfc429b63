/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UpdateInterface and RemoveInterface. See interface.h.
 *
 * The order of changes is what keeps a guest reachable: name and MTU, up, new addresses, and only
 * then the old ones away, since the last IPv4 address of a link takes its routes with it.
 */
#include "agent-proto/guest/interface.h"

#include <errno.h>
#include <linux/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "agent-proto/guest/addresses.h"
#include "agent-proto/guest/links.h"
#include "agent-proto/guest/neighbours.h"
#include "agent-proto/guest/routes.h"
#include "agent-proto/guest/sources.h"
#include "base/error.h"
#include "base/ip.h"
#include "base/log.h"

/* The first error of several steps is kept, with its sentence. */
struct outcome {
	int error;
	char text[ERR_TEXT_MAX];
};

/* err_raise() will add the reason again. */
static void cut_reason(char *text, int r)
{
	char *reason = strstr(text, strerror(-r));

	if (reason && reason - text > 2)
		reason[-2] = '\0';
}

static void note(struct outcome *o, int r)
{
	if (r < 0 && o->error == 0) {
		o->error = r;
		(void)snprintf(o->text, sizeof(o->text), "%s", err_text());
		cut_reason(o->text, r);
	}
	if (r < 0)
		err_clear();
}

static int raise_outcome(const struct outcome *o)
{
	return o->error < 0 ? err_raise(o->error, "%s", o->text) : 0;
}

/* ---- the link itself ---- */

static int set_mtu(struct netlink *n, const struct links_link *l, uint64_t mtu)
{
	if (mtu == 0 || mtu == l->mtu)
		return 0;
	if (mtu > INT32_MAX)
		return err_raise(-EINVAL, "set the MTU of '%s' to %llu", l->name,
				 (unsigned long long)mtu);
	return err_pass(links_set_mtu(n, l->index, (uint32_t)mtu));
}

/* IFF_NOARP is the one flag that a request carries. Source: agent.h. */
static int set_flags(struct netlink *n, const struct links_link *l, uint32_t raw_flags)
{
	uint32_t mask = IFF_UP | IFF_NOARP;
	uint32_t wanted = IFF_UP | (raw_flags & IFF_NOARP);

	if ((l->flags & mask) == wanted)
		return 0;
	return err_pass(links_set_flags(n, l->index, wanted, mask));
}

static void update_link(struct netlink *n, const struct links *links, const struct links_link *l,
			const struct agent_interface *wanted, struct outcome *out)
{
	if (wanted->name[0])
		note(out, links_rename(n, links, l->index, wanted->name));
	note(out, set_mtu(n, l, wanted->mtu));
	note(out, set_flags(n, l, wanted->raw_flags));
}

/* ---- its addresses ---- */

struct change {
	struct netlink *netlink;
	struct owned *owned;
	struct addresses there;
	struct owned_item *added; /* what is to come, each once */
	size_t n_added;
	uint32_t index;
	const struct agent_interface *wanted;
	struct outcome *out;
};

static void change_done(struct change *c)
{
	addresses_done(&c->there);
	free(c->added);
}

static struct owned_item item_of(uint32_t index, const struct agent_ip *ip)
{
	struct owned_item item = {
		.index = index,
		.kind = OWNED_ADDRESS,
		.family = ip->family,
		.prefixlen = ip->prefixlen,
	};

	memcpy(item.bytes, ip->bytes, sizeof(item.bytes));
	return item;
}

static bool is_wanted(const struct change *c, const struct owned_item *item)
{
	for (size_t i = 0; i < c->wanted->n_ips; i++) {
		const struct agent_ip *ip = &c->wanted->ips[i];

		if (ip->family == item->family && ip->prefixlen == item->prefixlen &&
		    memcmp(ip->bytes, item->bytes, sizeof(item->bytes)) == 0)
			return true;
	}
	return false;
}

/* What is ours is there (see update_addresses()), so one that is asked for twice is met once. */
static int note_each(struct change *c)
{
	for (size_t i = 0; i < c->wanted->n_ips; i++) {
		struct owned_item item = item_of(c->index, &c->wanted->ips[i]);
		int r;

		if (owned_has(c->owned, &item) || addresses_has(&c->there, &item))
			continue;
		r = owned_add(c->owned, &item);
		if (r < 0)
			return err_pass(r);
		c->added[c->n_added++] = item;
	}
	return 0;
}

/*
 * What is to come is noted before it is there: see owned.h. What can't be will not come, and a note
 * of it would make ours what somebody else adds.
 */
static int note_new(struct change *c)
{
	size_t n = c->wanted->n_ips;
	int r;

	c->added = calloc(n ? n : 1, sizeof(*c->added));
	if (!c->added)
		return err_raise(-ENOMEM, "note addresses");
	r = note_each(c);
	if (r >= 0 && c->n_added > 0)
		r = owned_save(c->owned);
	for (size_t i = 0; r < 0 && i < c->n_added; i++)
		owned_remove(c->owned, &c->added[i]);
	return err_pass(r);
}

static int raise_exists(const struct owned_item *item, const char *words)
{
	char prefix[IP_PREFIX_TEXT_BYTES];

	ip_format_prefix(item->family, item->bytes, item->prefixlen, prefix);
	return err_raise(-EEXIST, "add address %s (there is one %s)", prefix, words);
}

/* As IPv6 has it, see make_room(). NULL: no such. */
static const struct owned_item *find_other_length(const struct change *c,
						  const struct owned_item *item)
{
	for (size_t i = 0; item->family == AF_INET6 && i < c->there.n; i++) {
		const struct owned_item *at = &c->there.items[i];

		if (at->index == item->index && at->family == AF_INET6 &&
		    memcmp(at->bytes, item->bytes, sizeof(at->bytes)) == 0)
			return at;
	}
	return NULL;
}

/*
 * IPv6 has an address once, whatever its length: ours of another length goes first.
 * Source: net/ipv6/addrconf.c, ipv6_add_addr(), ipv6_chk_same_addr().
 */
static int make_room(struct change *c, const struct owned_item *item, struct sources *ret_lost)
{
	const struct owned_item *at = find_other_length(c, item);
	int r;

	if (!at)
		return 0;
	if (!owned_has(c->owned, at))
		return raise_exists(item, "of another length that is not ours");
	if (is_wanted(c, at))
		return raise_exists(item, "of another length that is asked for too");
	note(c->out, sources_take(c->netlink, at, ret_lost));
	r = addresses_remove(c->netlink, at);
	if (r >= 0)
		owned_remove(c->owned, at);
	return err_pass(r);
}

/* Somebody else was quicker: it is theirs, and fine if it is what was asked for. */
static int look_again(struct change *c, const struct owned_item *item)
{
	CLEANUP(addresses_done) struct addresses there = { 0 };
	int r;

	owned_remove(c->owned, item);
	r = addresses_list(c->netlink, &there);
	if (r < 0)
		return err_pass(r);
	return addresses_has(&there, item) ? 0 : raise_exists(item, "of another length");
}

/*
 * Where IPv6 is switched off for a link its addresses can't be had: said, and no failure of the
 * call, as agents of Kata from 3.17 on have it.
 *
 * After other errors the address may be there nevertheless (the answer was lost): it stays noted
 * until it was looked for.
 */
static int add_one(struct change *c, const struct owned_item *item)
{
	CLEANUP(sources_done) struct sources lost = { 0 };
	int r = make_room(c, item, &lost);

	if (r < 0)
		return err_pass(r);
	r = addresses_add(c->netlink, item);
	if (r >= 0)
		return err_pass(sources_put_back(c->netlink, &lost));
	if (item->family == AF_INET6 && (r == -EACCES || r == -EOPNOTSUPP)) {
		owned_remove(c->owned, item);
		log_warn("without IPv6 here: %s", err_text());
		err_clear();
		return 0;
	}
	if (r != -EEXIST)
		return err_pass(r);
	err_clear();
	return err_pass(look_again(c, item));
}

static void add_new(struct change *c)
{
	for (size_t i = 0; i < c->n_added; i++)
		note(c->out, add_one(c, &c->added[i]));
}

/* Noted until it is gone: a removal that failed is tried again by the next call. */
static void remove_one(struct change *c, const struct owned_item *item)
{
	int r = addresses_remove(c->netlink, item);

	if (r >= 0)
		owned_remove(c->owned, item);
	note(c->out, r);
}

static void remove_old(struct change *c)
{
	bool is_promoting = false;

	for (size_t i = 0; i < c->there.n; i++) {
		const struct owned_item *at = &c->there.items[i];

		if (at->index != c->index || !owned_has(c->owned, at) || is_wanted(c, at))
			continue;
		if (at->family == AF_INET && !is_promoting) {
			note(c->out, links_promote_secondaries(c->netlink, c->index));
			is_promoting = true;
		}
		remove_one(c, at);
	}
}

/* Of what failed: whether it was done is what the kernel has. */
static int sync_journal(struct change *c)
{
	CLEANUP(addresses_done) struct addresses there = { 0 };
	int r = addresses_list(c->netlink, &there);

	if (r < 0)
		return err_pass(r);
	addresses_sync(c->owned, &there);
	return 0;
}

static int update_addresses(struct netlink *n, struct owned *o, uint32_t index,
			    const struct agent_interface *wanted, struct outcome *out)
{
	CLEANUP(change_done)
	struct change c = {
		.netlink = n,
		.owned = o,
		.index = index,
		.wanted = wanted,
		.out = out,
	};
	int r = addresses_list(n, &c.there);

	if (r < 0)
		return err_pass(r);
	addresses_sync(o, &c.there);
	r = note_new(&c);
	if (r < 0)
		return err_pass(r);
	add_new(&c);
	remove_old(&c);
	owned_settle(o);
	if (out->error < 0)
		note(out, sync_journal(&c));
	return 0;
}

/* ---- the calls ---- */

static int find(struct netlink *n, const struct agent_interface *i, struct links *links,
		const struct links_link **ret)
{
	int r;

	if (!i->has_mac)
		return err_raise(-EINVAL, "find a link without a hardware address");
	r = links_list(n, links);
	if (r < 0)
		return err_pass(r);
	*ret = links_by_mac(links, i->mac);
	return *ret ? 0 : INTERFACE_ABSENT;
}

int interface_update(struct netlink *n, struct owned *o, const struct agent_interface *wanted)
{
	CLEANUP(links_done) struct links links = { 0 };
	const struct links_link *l;
	struct outcome out = { 0 };
	int r = find(n, wanted, &links, &l);

	if (r != 0)
		return err_pass(r);
	update_link(n, &links, l, wanted, &out);
	r = update_addresses(n, o, l->index, wanted, &out);
	note(&out, r);
	return raise_outcome(&out);
}

int interface_remove(struct netlink *n, struct owned *o, const struct agent_interface *gone)
{
	static const struct agent_interface nothing = { 0 };
	CLEANUP(links_done) struct links links = { 0 };
	const struct links_link *l;
	struct outcome out = { 0 };
	int r = find(n, gone, &links, &l);

	if (r != 0)
		return r == INTERFACE_ABSENT ? 0 : err_pass(r);
	note(&out, routes_remove_of_link(n, l->index));
	note(&out, neighbours_remove_of_link(n, o, l->index));
	note(&out, update_addresses(n, o, l->index, &nothing, &out));
	note(&out, links_set_flags(n, l->index, 0, IFF_UP));
	return raise_outcome(&out);
}
