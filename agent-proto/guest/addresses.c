/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses as the kernel has them. See addresses.h.
 */
#include "agent-proto/guest/addresses.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/ip.h"

/* ---- the list ---- */

/* IFA_LOCAL is ours, IFA_ADDRESS the other side's where there are two; IPv6 often has only that. */
static bool parse(const struct nlmsghdr *h, struct owned_item *ret)
{
	const struct ifaddrmsg *ifa = nlmsg_data(h);
	struct nlattr *tb[IFA_LOCAL + 1] = { 0 };
	struct nlattr *address;
	int bytes = ip_bits(ifa->ifa_family) / 8;

	if (bytes == 0 ||
	    nlmsg_parse((struct nlmsghdr *)(uintptr_t)h, sizeof(*ifa), tb, IFA_LOCAL, NULL) < 0)
		return false;
	address = tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS];
	if (!address || nla_len(address) != bytes)
		return false;
	*ret = (struct owned_item){
		.index = ifa->ifa_index,
		.kind = OWNED_ADDRESS,
		.family = ifa->ifa_family,
		.prefixlen = ifa->ifa_prefixlen,
	};
	memcpy(ret->bytes, nla_data(address), (size_t)bytes);
	return true;
}

static int each_address(void *userdata, const struct nlmsghdr *h)
{
	struct addresses *a = userdata;
	struct owned_item *items = a->items;
	size_t capacity = a->capacity ? 2 * a->capacity : 32;
	struct owned_item item;

	if (h->nlmsg_type != RTM_NEWADDR || !nlmsg_valid_hdr(h, sizeof(struct ifaddrmsg)) ||
	    !parse(h, &item))
		return 0;
	if (a->n == ADDRESSES_MAX)
		return err_raise(-EMSGSIZE, "list more than %u addresses", ADDRESSES_MAX);
	if (a->n == a->capacity) {
		items = reallocarray(items, capacity, sizeof(*items));
		if (!items)
			return err_raise(-ENOMEM, "list addresses");
		a->items = items;
		a->capacity = capacity;
	}
	items[a->n++] = item;
	return 0;
}

static void restart(void *userdata)
{
	struct addresses *a = userdata;

	a->n = 0;
}

static int compare(const void *a, const void *b)
{
	const struct owned_item *x = a, *y = b;

	if (x->index != y->index)
		return x->index < y->index ? -1 : 1;
	if (x->family != y->family)
		return x->family < y->family ? -1 : 1;
	if (x->prefixlen != y->prefixlen)
		return x->prefixlen < y->prefixlen ? -1 : 1;
	return memcmp(x->bytes, y->bytes, sizeof(x->bytes));
}

static int sort(struct addresses *a)
{
	if (a->n == 0)
		return 0;
	a->sorted = calloc(a->n, sizeof(*a->sorted));
	if (!a->sorted)
		return err_raise(-ENOMEM, "list addresses");
	memcpy(a->sorted, a->items, a->n * sizeof(*a->sorted));
	qsort(a->sorted, a->n, sizeof(*a->sorted), compare);
	return 0;
}

int addresses_list(struct netlink *n, struct addresses *ret)
{
	static const struct ifaddrmsg all = { .ifa_family = AF_UNSPEC };
	CLEANUP(addresses_done) struct addresses a = { 0 };
	struct netlink_dump d = {
		.type = RTM_GETADDR,
		.header = &all,
		.header_bytes = sizeof(all),
		.each = each_address,
		.restart = restart,
		.userdata = &a,
	};
	int r = netlink_dump(n, &d);

	if (r >= 0)
		r = sort(&a);
	if (r < 0)
		return err_pass(r);
	*ret = a;
	a = (struct addresses){ 0 };
	return 0;
}

void addresses_done(struct addresses *a)
{
	free(a->items);
	free(a->sorted);
	*a = (struct addresses){ 0 };
}

bool addresses_has(const struct addresses *a, const struct owned_item *item)
{
	return a->n > 0 && bsearch(item, a->sorted, a->n, sizeof(*item), compare);
}

static bool is_there(void *userdata, const struct owned_item *item)
{
	return addresses_has(userdata, item);
}

void addresses_sync(struct owned *o, const struct addresses *a)
{
	owned_keep(o, OWNED_ADDRESS, is_there, (void *)(uintptr_t)a);
	owned_settle(o);
}

/* ---- changes ---- */

static void broadcast_of(const struct owned_item *item, uint8_t ret[IP_BYTES])
{
	memcpy(ret, item->bytes, IP_BYTES);
	for (unsigned bit = item->prefixlen; bit < 32; bit++)
		ret[bit / 8] |= (uint8_t)(0x80U >> bit % 8);
}

static struct nl_msg *make(int type, int flags, const struct owned_item *item)
{
	struct ifaddrmsg ifa = {
		.ifa_family = item->family,
		.ifa_prefixlen = item->prefixlen,
		.ifa_flags = item->family == AF_INET6 ? IFA_F_NODAD : 0,
		.ifa_index = item->index,
	};
	CLEANUP(nlmsg_freep) struct nl_msg *m = netlink_message(type, flags, &ifa, sizeof(ifa));
	int bytes = ip_bits(item->family) / 8;
	uint8_t broadcast[IP_BYTES];

	if (!m || nla_put(m, IFA_LOCAL, bytes, item->bytes) < 0 ||
	    nla_put(m, IFA_ADDRESS, bytes, item->bytes) < 0)
		return NULL;
	broadcast_of(item, broadcast);
	if (type == RTM_NEWADDR && item->family == AF_INET && item->prefixlen < 31 &&
	    nla_put(m, IFA_BROADCAST, bytes, broadcast) < 0)
		return NULL;
	return TAKE_PTR(m);
}

static int change(struct netlink *n, int type, int flags, const char *verb,
		  const struct owned_item *item)
{
	char prefix[IP_PREFIX_TEXT_BYTES], what[IP_PREFIX_TEXT_BYTES + 32];

	ip_format_prefix(item->family, item->bytes, item->prefixlen, prefix);
	(void)snprintf(what, sizeof(what), "%s address %s", verb, prefix);
	return err_pass(netlink_ask(n, make(type, flags, item), what));
}

int addresses_add(struct netlink *n, const struct owned_item *item)
{
	return err_pass(change(n, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, "add", item));
}

int addresses_remove(struct netlink *n, const struct owned_item *item)
{
	int r = change(n, RTM_DELADDR, 0, "remove", item);

	return err_pass(netlink_forgive(r, -EADDRNOTAVAIL, -ENODEV));
}
