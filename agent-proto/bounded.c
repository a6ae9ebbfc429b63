/* SPDX-License-Identifier: Apache-2.0 */
#include "agent-proto/bounded.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

static void *take(void *userdata, size_t size)
{
	struct bounded *b = userdata;
	void *memory;

	if (size > b->max - b->used) {
		b->error = -EMSGSIZE;
		return NULL;
	}
	memory = malloc(size);
	if (!memory) {
		b->error = -ENOMEM;
		return NULL;
	}
	b->used += malloc_usable_size(memory);
	/* What the allocator rounded up must not make the subtraction above wrap around. */
	if (b->used > b->max)
		b->used = b->max;
	return memory;
}

static void give_back(void *userdata, void *memory)
{
	struct bounded *b = userdata;
	size_t size = memory ? malloc_usable_size(memory) : 0;

	b->used = size < b->used ? b->used - size : 0;
	free(memory);
}

void bounded_init(struct bounded *b, size_t max)
{
	*b = (struct bounded){
		.allocator = { .alloc = take, .free = give_back, .allocator_data = b },
		.max = max,
	};
}
