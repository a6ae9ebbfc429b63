/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our own JSON form of the values: what --once and the record sink print and what the state file
 * holds. Render then parse is identity (a law, tested on random values). Parsing is strict: a
 * missing, mistyped, unknown or out-of-range member is -EBADMSG, since what is parsed has been
 * written by us or is damaged.
 */
#pragma once

#include <json-c/json.h>

#include "base/cleanup.h"
#include "base/json-writer.h"
#include "netmon/plan.h"

/*
 * Guest form:
 *   {"ifindex":4,"incarnation":0,"name":"eth1","kind":"veth","mac":"02:..","mtu":1500,"sent_usec":..,"replugged":false}
 *    {"dev":4,"ip":"10.0.0.2/24"}
 *   {"dst":"10.0.0.0/24","via":"10.0.0.1","dev":4}
 *   {"dev":4,"ip":"10.0.0.1","mac":"02:.."}
 * What is zero in it ("seen only", mtu of a route...) is a further member when it is not zero.
 * Names that are not printable ASCII are "name_hex" and "kind_hex": every byte survives.
 */
void document_write_link(struct json_writer *j, const char *key, const struct link *l);
void document_write_addr(struct json_writer *j, const char *key, const struct addr *a);
void document_write_route(struct json_writer *j, const char *key, const struct route *r);
void document_write_neigh(struct json_writer *j, const char *key, const struct neigh *n);

int document_parse_link(struct json_object *o, struct link *ret);
int document_parse_addr(struct json_object *o, struct addr *ret);
int document_parse_route(struct json_object *o, struct route *ret);
int document_parse_neigh(struct json_object *o, struct neigh *ret);

/*
 * {"links":[{...,"addresses":[...]}],"routes":[...],"neighbours":[...]}: for people and programs
 * (--once), streamed.
 */
void document_write_snapshot(struct json_writer *j, const char *key, const struct snapshot *s);

/* ---- shared with the other readers of bounded documents ---- */

DEFINE_CLEANUP(struct json_tokener, json_tokener_free)
static inline void document_put(struct json_object **o) /* for CLEANUP() */
{
	json_object_put(*o);
}

/*
 * A tokener that takes strict JSON in UTF-8, at most @depth_max deep; may be used many times. NULL:
 * no memory.
 */
struct json_tokener *document_tokener_new(int depth_max);

/**
 * document_parse() - one whole object, with nothing but white space behind it
 * @size: at most INT_MAX; the caller has bounded it to what a tree of it may cost (about 50 times
 * as much)
 * @ret: put by the caller
 * Return: 0; -EBADMSG.
 */
int document_parse(struct json_tokener *t, const char *data, size_t size, struct json_object **ret);

/* @value: may be NULL. Return: 0; -EBADMSG: no integer, or not within 0 and @max */
int document_get_u64(const struct json_object *value, uint64_t max, uint64_t *ret);
