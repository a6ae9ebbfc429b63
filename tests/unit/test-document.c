/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values as JSON: the law "render then parse is identity" on random values, what strict parsing
 * refuses, and how it looks. The seed is printed; NETMON_SEED=N repeats a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/error.h"
#include "base/text.h"
#include "netmon/document.h"

#define N_RANDOM  20000
#define UNTOUCHED 0xa5

/* ---- random values ---- */

/* splitmix64 */
static uint64_t next(uint64_t *seed)
{
	uint64_t z = (*seed += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static uint64_t below(uint64_t *seed, uint64_t n)
{
	return next(seed) % n;
}

/* Zero, one, the largest, or anything. */
static uint64_t number(uint64_t *seed, uint64_t max)
{
	switch (below(seed, 4)) {
	case 0:
		return 0;
	case 1:
		return max;
	case 2:
		return 1;
	default:
		return max == UINT64_MAX ? next(seed) : below(seed, max + 1);
	}
}

static bool coin(uint64_t *seed)
{
	return next(seed) & 1;
}

static void bytes(uint64_t *seed, void *to, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)to)[i] = (uint8_t)next(seed);
}

/* Any byte but NUL. */
static void name(uint64_t *seed, char to[MODEL_NAME_BYTES])
{
	size_t size = below(seed, MODEL_NAME_BYTES);
	bool is_plain = coin(seed);

	for (size_t i = 0; i < size; i++)
		to[i] = (char)(is_plain ? ' ' + (int)below(seed, 95) : 1 + (int)below(seed, 255));
}

static uint64_t start_seed(void)
{
	const char *given = getenv("NETMON_SEED");
	struct timespec now;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = given ? strtoull(given, NULL, 10) : (uint64_t)now.tv_nsec;
	print_message("NETMON_SEED=%" PRIu64 "\n", seed);
	return seed;
}

static void random_mac(uint64_t *seed, uint8_t *ret_bytes, uint8_t mac[MODEL_MAC_BYTES])
{
	if (coin(seed))
		return;
	*ret_bytes = MODEL_MAC_BYTES;
	bytes(seed, mac, MODEL_MAC_BYTES);
}

static uint8_t random_ip(uint64_t *seed, uint8_t to[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	bool is_inet6 = coin(seed);

	bytes(seed, to, is_inet6 ? 16 : 4);
	if (is_inet6 && below(seed, 4) == 0)
		memcpy(to, mapped, sizeof(mapped));
	if (is_inet6 && below(seed, 4) == 0)
		memset(to + below(seed, 8), 0, 8);
	return is_inet6 ? AF_INET6 : AF_INET;
}

static uint8_t random_prefixlen(uint64_t *seed, uint8_t family)
{
	return (uint8_t)number(seed, family == AF_INET6 ? 128 : 32);
}

static void random_link(uint64_t *seed, struct link *l)
{
	l->ifindex = (uint32_t)number(seed, UINT32_MAX);
	l->incarnation = (uint32_t)number(seed, UINT32_MAX);
	l->mtu = (uint32_t)number(seed, UINT32_MAX);
	l->flags = (uint32_t)number(seed, UINT32_MAX);
	l->master = (uint32_t)number(seed, UINT32_MAX);
	l->peer_ifindex = (uint32_t)number(seed, UINT32_MAX);
	l->hardware = (uint16_t)number(seed, UINT16_MAX);
	l->peer_elsewhere = coin(seed);
	random_mac(seed, &l->mac_bytes, l->mac);
	name(seed, l->name);
	name(seed, l->kind);
	l->replugged = coin(seed);
	l->sent_usec = number(seed, UINT64_MAX);
}

static void random_addr(uint64_t *seed, struct addr *a)
{
	a->ifindex = (uint32_t)number(seed, UINT32_MAX);
	a->flags = (uint32_t)number(seed, UINT32_MAX);
	a->family = random_ip(seed, a->bytes);
	a->prefixlen = random_prefixlen(seed, a->family);
	a->scope = (uint8_t)number(seed, UINT8_MAX);
	a->learnt = (uint8_t)number(seed, UINT8_MAX);
}

static void random_route(uint64_t *seed, struct route *r)
{
	uint8_t family = random_ip(seed, r->dst);
	size_t size = family == AF_INET6 ? 16 : 4;

	r->is_inet6 = family == AF_INET6;
	r->prefixlen = random_prefixlen(seed, family);
	r->flags = next(seed) & 0x1f;
	if (r->flags & MODEL_ROUTE_GATEWAY)
		bytes(seed, r->gateway, size);
	if (r->flags & MODEL_ROUTE_SOURCE)
		bytes(seed, r->source, size);
	r->ifindex = (uint32_t)number(seed, UINT32_MAX);
	r->metric = (uint32_t)number(seed, UINT32_MAX);
	r->mtu = (uint32_t)number(seed, UINT32_MAX);
	r->scope = (uint8_t)number(seed, UINT8_MAX);
	r->unsayable = below(seed, _MODEL_UNSAYABLE_MAX) & 0x7;
}

static void random_neigh(uint64_t *seed, struct neigh *n)
{
	n->ifindex = (uint32_t)number(seed, UINT32_MAX);
	n->state = (uint16_t)number(seed, UINT16_MAX);
	n->family = random_ip(seed, n->bytes);
	random_mac(seed, &n->mac_bytes, n->mac);
	n->learnt = (uint8_t)number(seed, UINT8_MAX);
	n->router = (uint8_t)number(seed, UINT8_MAX);
}

/* ---- the law ---- */

static struct json_object *parse_text(const char *text, size_t size)
{
	CLEANUP(json_tokener_freep) struct json_tokener *t = document_tokener_new(8);
	struct json_object *o = NULL;

	assert_non_null(t);
	if (document_parse(t, text, size, &o) < 0)
		return NULL;
	return o;
}

/* One law a kind: the bytes that come back, padding included, are those that went in. */
#define DEFINE_LAW(kind)                                                       \
	static void test_##kind##_render_then_parse_is_identity(void **unused) \
	{                                                                      \
		uint64_t seed = start_seed();                                  \
                                                                               \
		(void)unused;                                                  \
		for (int i = 0; i < N_RANDOM; i++) {                           \
			CLEANUP(document_put) struct json_object *o = NULL;    \
			CLEANUP(text_done) struct text t = TEXT_NULL;          \
			struct json_writer j = json_writer_on_text(&t);        \
			struct kind before, after;                             \
                                                                               \
			memset(&before, 0, sizeof(before));                    \
			memset(&after, UNTOUCHED, sizeof(after));              \
			random_##kind(&seed, &before);                         \
			document_write_##kind(&j, NULL, &before);              \
			assert_int_equal(t.error, 0);                          \
			o = parse_text(t.data, t.size);                        \
			if (!o || document_parse_##kind(o, &after) < 0)        \
				fail_msg("%s: %s", err_text(), t.data);        \
			if (memcmp(&before, &after, sizeof(before)) != 0)      \
				fail_msg("changed: %s", t.data);               \
		}                                                              \
	}

DEFINE_LAW(link)
DEFINE_LAW(addr)
DEFINE_LAW(route)
DEFINE_LAW(neigh)

/* ---- how it looks ---- */

static void assert_renders(const struct text *t, const char *want)
{
	assert_int_equal(t->error, 0);
	assert_string_equal(t->data, want);
}

static void test_link_looks_as_documented(void **unused)
{
	struct link l = { .ifindex = 4,
			  .mtu = 1500,
			  .mac_bytes = 6,
			  .mac = { 2, 0x42, 0xac, 0x11, 0, 3 },
			  .name = "eth1",
			  .kind = "veth" };
	CLEANUP(text_done) struct text t = TEXT_NULL;
	struct json_writer j = json_writer_on_text(&t);

	(void)unused;
	document_write_link(&j, NULL, &l);
	assert_renders(&t, "{\"ifindex\":4,\"incarnation\":0,\"name\":\"eth1\",\"kind\":\"veth\","
			   "\"mac\":\"02:42:ac:11:00:03\",\"mtu\":1500,\"sent_usec\":0,"
			   "\"replugged\":false}");
}

static void test_hostile_name_is_hex(void **unused)
{
	struct link l = { .ifindex = 1, .name = "e\x1b[2J\xff" };
	CLEANUP(text_done) struct text t = TEXT_NULL;
	struct json_writer j = json_writer_on_text(&t);

	(void)unused;
	document_write_link(&j, NULL, &l);
	assert_int_equal(t.error, 0);
	assert_non_null(strstr(t.data, "\"name_hex\":\"651b5b324aff\",\"kind\":\"\""));
	assert_null(strchr(t.data, '\x1b'));
}

static void test_route_is_short(void **unused)
{
	struct route r = { .dst = { 10 },
			   .prefixlen = 24,
			   .gateway = { 10, 0, 0, 1 },
			   .flags = MODEL_ROUTE_GATEWAY,
			   .ifindex = 4 };
	CLEANUP(text_done) struct text t = TEXT_NULL;
	struct json_writer j = json_writer_on_text(&t);

	(void)unused;
	document_write_route(&j, NULL, &r);
	assert_renders(&t, "{\"dst\":\"10.0.0.0/24\",\"via\":\"10.0.0.1\",\"dev\":4}");
}

static void add(struct snapshot *s, enum model_kind kind, const void *item)
{
	struct table *t = NULL;

	assert_int_equal(table_new(&t, kind), 0);
	assert_int_equal(table_add(t, item), 0);
	table_seal(t);
	snapshot_replace(s, t);
}

static void test_snapshot_nests_addresses(void **unused)
{
	struct link l = { .ifindex = 4, .name = "eth1", .kind = "tap" };
	struct addr a = {
		.ifindex = 4, .family = AF_INET, .bytes = { 10, 0, 0, 2 }, .prefixlen = 24
	};
	struct route r = { .is_inet6 = 1, .ifindex = 4 };
	struct neigh n = { .ifindex = 4, .family = AF_INET, .bytes = { 10, 0, 0, 1 } };
	CLEANUP(snapshot_done) struct snapshot s = SNAPSHOT_NULL;
	CLEANUP(text_done) struct text t = TEXT_NULL;
	struct json_writer j = json_writer_on_text(&t);

	(void)unused;
	assert_int_equal(snapshot_init(&s), 0);
	add(&s, MODEL_LINK, &l);
	add(&s, MODEL_ADDR, &a);
	add(&s, MODEL_ROUTE, &r);
	add(&s, MODEL_NEIGH, &n);
	document_write_snapshot(&j, NULL, &s);
	assert_renders(&t, "{\"links\":[{\"ifindex\":4,\"incarnation\":0,\"name\":\"eth1\","
			   "\"kind\":\"tap\",\"mac\":\"\",\"mtu\":0,\"sent_usec\":0,"
			   "\"replugged\":false,\"addresses\":[{\"ip\":\"10.0.0.2/24\"}]}],"
			   "\"routes\":[{\"dst\":\"::/0\",\"dev\":4}],"
			   "\"neighbours\":[{\"dev\":4,\"ip\":\"10.0.0.1\",\"mac\":\"\"}]}");
}

static void test_empty_snapshot(void **unused)
{
	CLEANUP(snapshot_done) struct snapshot s = SNAPSHOT_NULL;
	CLEANUP(text_done) struct text t = TEXT_NULL;
	struct json_writer j = json_writer_on_text(&t);

	(void)unused;
	assert_int_equal(snapshot_init(&s), 0);
	document_write_snapshot(&j, NULL, &s);
	assert_renders(&t, "{\"links\":[],\"routes\":[],\"neighbours\":[]}");
}

/* ---- what is refused ---- */

union any {
	struct link link;
	struct addr addr;
	struct route route;
	struct neigh neigh;
};

static bool is_untouched(const void *data, size_t size)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < size; i++)
		if (p[i] != UNTOUCHED)
			return false;
	return true;
}

static int parse_as(enum model_kind kind, const char *text)
{
	CLEANUP(document_put) struct json_object *o = parse_text(text, strlen(text));
	union any after;
	int r = -EINVAL;

	if (!o)
		fail_msg("not even JSON: %s", text);
	memset(&after, UNTOUCHED, sizeof(after));
	if (kind == MODEL_LINK)
		r = document_parse_link(o, &after.link);
	else if (kind == MODEL_ADDR)
		r = document_parse_addr(o, &after.addr);
	else if (kind == MODEL_ROUTE)
		r = document_parse_route(o, &after.route);
	else if (kind == MODEL_NEIGH)
		r = document_parse_neigh(o, &after.neigh);
	if (r < 0 && !is_untouched(&after, sizeof(after)))
		fail_msg("output touched on failure: %s", text);
	return r;
}

/* Every fault of a link is one replaced piece of a good one. */
static void test_link_is_parsed_strictly(void **unused)
{
	static const char good[] = "{\"ifindex\":4,\"incarnation\":0,\"name\":\"eth1\","
				   "\"kind\":\"\",\"mac\":\"02:00:00:00:00:01\",\"mtu\":1500,"
				   "\"sent_usec\":0,\"replugged\":false}";
	static const char *const faults[][2] = {
		{ "\"ifindex\":4,", "" },
		{ "\"ifindex\":4", "\"ifindex\":4294967296" },
		{ "\"ifindex\":4", "\"ifindex\":-1" },
		{ "\"ifindex\":4", "\"ifindex\":4.0" },
		{ "\"ifindex\":4", "\"ifindex\":\"4\"" },
		{ "\"ifindex\":4", "\"ifindex\":null" },
		{ "\"ifindex\":4", "\"ifindex\":18446744073709551615" },
		{ "\"name\":\"eth1\",", "" },
		{ "\"name\":\"eth1\"", "\"name\":\"sixteen-bytes-xx\"" },
		{ "\"name\":\"eth1\"", "\"name\":\"et\\u0000h1\"" },
		{ "\"name\":\"eth1\"", "\"name\":7" },
		{ "\"name\":\"eth1\"", "\"name\":\"eth1\",\"name_hex\":\"65\"" },
		{ "\"name\":\"eth1\"", "\"name_hex\":\"6\"" },
		{ "\"name\":\"eth1\"", "\"name_hex\":\"6500\"" },
		{ "\"name\":\"eth1\"", "\"name_hex\":\"6G\"" },
		{ "\"name\":\"eth1\"", "\"name_hex\":\"6565656565656565656565656565656565\"" },
		{ "02:00:00:00:00:01", "02:00:00:00:00" },
		{ "02:00:00:00:00:01", "02:00:00:00:00:01:02" },
		{ "02:00:00:00:00:01", "02-00-00-00-00-01" },
		{ "02:00:00:00:00:01", "02:00:00:00:00:0g" },
		{ "\"mtu\":1500", "\"mtu\":1500,\"colour\":1" },
		{ "\"replugged\":false", "\"replugged\":0" },
		{ "\"replugged\":false", "\"replugged\":false,\"hardware\":65536" },
		{ "\"replugged\":false", "\"replugged\":false,\"peer_elsewhere\":1" },
	};

	(void)unused;
	assert_int_equal(parse_as(MODEL_LINK, good), 0);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		const char *at = strstr(good, faults[i][0]);
		char text[512];

		assert_non_null(at);
		(void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, faults[i][1],
			       at + strlen(faults[i][0]));
		if (parse_as(MODEL_LINK, text) != -EBADMSG)
			fail_msg("taken: %s", text);
	}
}

static void test_the_others_are_parsed_strictly(void **unused)
{
	static const struct {
		enum model_kind kind;
		int want;
		const char *text;
	} cases[] = {
		{ MODEL_ADDR, 0, "{\"dev\":4,\"ip\":\"10.0.0.2/24\"}" },
		{ MODEL_ADDR, -EBADMSG, "{\"ip\":\"10.0.0.2/24\"}" },
		{ MODEL_ADDR, -EBADMSG, "{\"dev\":4}" },
		{ MODEL_ADDR, -EBADMSG, "{\"dev\":4,\"ip\":\"10.0.0.2\"}" },
		{ MODEL_ADDR, -EBADMSG, "{\"dev\":4,\"ip\":\"10.0.0.2/\"}" },
		{ MODEL_ADDR, -EBADMSG, "{\"dev\":4,\"ip\":\"10.0.0.2/33\"}" },
		{ MODEL_ADDR, -EBADMSG, "{\"dev\":4,\"ip\":\"10.0.0.2/-1\"}" },
		{ MODEL_ADDR, -EBADMSG, "{\"dev\":4,\"ip\":\"10.0.0.2/024\"}" },
		{ MODEL_ADDR, -EBADMSG, "{\"dev\":4,\"ip\":\"10.0.0.2/24 \"}" },
		{ MODEL_ADDR, -EBADMSG, "{\"dev\":4,\"ip\":\"10.0.2/24\"}" },
		{ MODEL_ADDR, -EBADMSG, "{\"dev\":4,\"ip\":\"::1/129\"}" },
		{ MODEL_ADDR, -EBADMSG, "{\"dev\":4,\"ip\":\"/24\"}" },
		{ MODEL_ADDR, -EBADMSG,
		  "{\"dev\":4,\"ip\":\"1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1:1/1\"}" },
		{ MODEL_ADDR, -EBADMSG, "{\"dev\":4,\"ip\":\"::1/64\",\"scope\":256}" },
		{ MODEL_ADDR, -EBADMSG, "{\"dev\":4,\"ip\":\"::1/64\",\"family\":10}" },
		{ MODEL_ROUTE, 0, "{\"dst\":\"0.0.0.0/0\"}" },
		{ MODEL_ROUTE, 0, "{\"dst\":\"::/0\",\"via\":\"fe80::1\",\"onlink\":true}" },
		{ MODEL_ROUTE, -EBADMSG, "{\"dev\":4}" },
		{ MODEL_ROUTE, -EBADMSG, "{\"dst\":\"default\"}" },
		{ MODEL_ROUTE, -EBADMSG, "{\"dst\":\"0.0.0.0/0\",\"via\":\"fe80::1\"}" },
		{ MODEL_ROUTE, -EBADMSG, "{\"dst\":\"0.0.0.0/0\",\"via\":\"\"}" },
		{ MODEL_ROUTE, -EBADMSG, "{\"dst\":\"0.0.0.0/0\",\"onlink\":1}" },
		{ MODEL_ROUTE, -EBADMSG, "{\"dst\":\"0.0.0.0/0\",\"unsayable\":\"\"}" },
		{ MODEL_ROUTE, -EBADMSG, "{\"dst\":\"0.0.0.0/0\",\"unsayable\":\"x\"}" },
		{ MODEL_ROUTE, -EBADMSG, "{\"dst\":\"0.0.0.0/0\",\"table\":254}" },
		{ MODEL_NEIGH, 0, "{\"dev\":4,\"ip\":\"10.0.0.1\",\"mac\":\"\"}" },
		{ MODEL_NEIGH, -EBADMSG, "{\"dev\":4,\"ip\":\"10.0.0.1\"}" },
		{ MODEL_NEIGH, -EBADMSG, "{\"dev\":4,\"ip\":\"10.0.0.1/32\",\"mac\":\"\"}" },
		{ MODEL_NEIGH, -EBADMSG,
		  "{\"dev\":4,\"ip\":\"10.0.0.1\",\"mac\":\"\",\"state\":65536}" },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (parse_as(cases[i].kind, cases[i].text) != cases[i].want)
			fail_msg("wrong: %s", cases[i].text);
}

static void test_document_is_one_whole_object(void **unused)
{
	static const char *const bad[] = {
		"",
		"{",
		"{}x",
		"{}{}",
		"[]",
		"null",
		"1",
		"{\"a\":1,}",
		"{\"a\":'1'}",
		"{\"a\":\"\xff\"}",
		"{\"a\":01}",
		"{a:1}",

		"/* c */ {}",
		"{\"a\":1e}",
		"{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}}}}",
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CLEANUP(document_put) struct json_object *o = parse_text(bad[i], strlen(bad[i]));

		if (o)
			fail_msg("taken: %s", bad[i]);
	}
	CLEANUP(document_put) struct json_object *good = parse_text("{} \n", 4);
	assert_non_null(good);
	assert_null(parse_text("{}\0", 3));
}

static void test_tokener_recovers_from_a_bad_document(void **unused)
{
	CLEANUP(json_tokener_freep) struct json_tokener *t = document_tokener_new(8);

	(void)unused;
	for (int i = 0; i < 3; i++) {
		CLEANUP(document_put) struct json_object *o = NULL;

		assert_int_equal(document_parse(t, "{\"a\":[", 6, &o), -EBADMSG);
		assert_int_equal(document_parse(t, "{\"a\":1}", 7, &o), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_link_render_then_parse_is_identity),
		cmocka_unit_test(test_addr_render_then_parse_is_identity),
		cmocka_unit_test(test_route_render_then_parse_is_identity),
		cmocka_unit_test(test_neigh_render_then_parse_is_identity),
		cmocka_unit_test(test_link_looks_as_documented),
		cmocka_unit_test(test_hostile_name_is_hex),
		cmocka_unit_test(test_route_is_short),
		cmocka_unit_test(test_snapshot_nests_addresses),
		cmocka_unit_test(test_empty_snapshot),
		cmocka_unit_test(test_link_is_parsed_strictly),
		cmocka_unit_test(test_the_others_are_parsed_strictly),
		cmocka_unit_test(test_document_is_one_whole_object),
		cmocka_unit_test(test_tokener_recovers_from_a_bad_document),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
