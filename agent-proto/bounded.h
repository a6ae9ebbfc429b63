/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory for one protobuf-c message that a stranger sent: so much and no more.
 *
 * A few bytes on the wire may stand for much memory (an empty message in a list costs two bytes
 * there and a hundred here), so what is counted is memory, before it is taken.
 *
 *     bounded_init(&b, MAX);
 *     message = foo__unpack(&b.allocator, size, data);
 *     if (!message)
 *             return b.error ? b.error : -EBADMSG;
 *     foo__free_unpacked(message, &b.allocator);
 */
#pragma once

#include <stddef.h>
#include <protobuf-c/protobuf-c.h>

struct bounded {
	ProtobufCAllocator allocator; /* points back here: the struct must not move */
	size_t used, max;	      /* bytes, the allocator's own overhead included */
	int error; /* why memory was refused: 0, -EMSGSIZE (over @max), -ENOMEM */
};

void bounded_init(struct bounded *b, size_t max);
