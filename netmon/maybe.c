/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links that the other side may have. See maybe.h.
 */
#include "netmon/maybe.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"

struct link *maybe_find(const struct maybe *m, const struct link *l)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->links[i].ifindex == l->ifindex && m->links[i].incarnation == l->incarnation)
			return &m->links[i];
	return NULL;
}

int maybe_add(struct maybe *m, const struct link *l)
{
	struct link *links;

	if (maybe_find(m, l))
		return 0;
	links = reallocarray(m->links, m->n + 1, sizeof(*links));
	if (!links)
		return err_raise(-ENOMEM, "remember a link");
	m->links = links;
	m->links[m->n++] = *l;
	return 0;
}

void maybe_clear(struct maybe *m, uint32_t ifindex)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->links[i].ifindex == ifindex)
			m->links[i--] = m->links[--m->n];
}

void maybe_done(struct maybe *m)
{
	free(m->links);
	*m = (struct maybe){ 0 };
}
