/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A runtime that is not there: stub-runtime kata-network VERB ID [FILE|-].
 *
 * It answers as kata-runtime 1.x does, remembers what it was told as a guest would, and is stricter
 * than it: what is not exactly the protocol is refused and written to the file `violations`, which
 * no test may find there.
 *
 * It lives in one directory: $STUB_DIR, or stub.d beside the program as it was called. Files there
 * tell it how to behave:
 *
 *     delay_msec N         wait before doing what was asked         exit N            end so, doing nothing
 *     delay_after_msec N   wait after doing it                      hang              wait for ever before doing it
 *     fail-verb-VERB TEXT  fail with TEXT                           noise_bytes N     so many bytes on stderr first
 *     fail-mac             lines "MAC [TEXT]": add-iface fails      not-running       "container ID is not running"
 *     no-list              list-ifaces is no command                any-device        routes on unknown devices pass
 *
 * and it writes there:
 *
 *     calls        one JSON line when a call begins and one when it ends, each by one write:
 *                  {"kind":"begin","usec":U,"pid":P,"verb":"..","id":"..","overlap":false,"bytes":N,"document":..}
 *                   {"kind":"end","usec":U,"pid":P,"verb":"..","id":"..","end_usec":E,"status":S,"error":".."}
 *                   
 *                  U is CLOCK_MONOTONIC when main() began, and with P names the call; document is
 *                  null when there is none, when it is no JSON, or when it is longer than
 *                  STUB_LOGGED_MAX
 *     ifaces/MAC   what add-iface said (and what a test put there: cold-plugged)
 *     routes.json  what the last update-routes said
 *     violations   one line each; see above
 *     lock         held for the length of a call, as the runtime holds its sandbox's
 *
 * State changes by rename or unlink under the lock: it is whole after a kill at any moment.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define STUB_LOGGED_MAX	  (1024U * 1024)
#define STUB_DOCUMENT_MAX (64U * 1024 * 1024)
#define STUB_FILE_MODE	  0640 /* of the shared file; netmon/netmon.go, sharedFile */
#define STUB_JSON_DEPTH	  8

enum stub_verb {
	STUB_ADD_IFACE,
	STUB_DEL_IFACE,
	STUB_UPDATE_ROUTES,
	STUB_LIST_IFACES,
	_STUB_VERB_MAX,
};

static const char *const stub_verbs[] = {
	[STUB_ADD_IFACE] = "add-iface",
	[STUB_DEL_IFACE] = "del-iface",
	[STUB_UPDATE_ROUTES] = "update-routes",
	[STUB_LIST_IFACES] = "list-ifaces",
};
_Static_assert(sizeof(stub_verbs) / sizeof(stub_verbs[0]) == _STUB_VERB_MAX,
	       "each verb has its word");

struct stub {
	uint64_t begun_usec;
	int dirfd;
	enum stub_verb verb;
	const char *id;
	const char *file;
	bool overlap;
	char *document; /* compact: no white space outside strings; NULL: none */
	size_t document_bytes;
	char mac[18]; /* of the interface in it, "" when there is none */
	char error[512];
};

static uint64_t stub_now_usec(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* ---- the answer: an exit status and a sentence ---- */

/* Return: 1, the exit status of all failures of kata-runtime. */
__attribute__((__format__(__printf__, 2, 3))) static int stub_fail(struct stub *s, const char *fmt,
								   ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(s->error, sizeof(s->error), fmt, ap);
	va_end(ap);
	return 1;
}

static void stub_append(struct stub *s, const char *name, const char *line, size_t size)
{
	int fd = openat(s->dirfd, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	if (fd < 0 || write(fd, line, size) != (ssize_t)size) {
		(void)fprintf(stderr, "stub-runtime: %s: %s\n", name, strerror(errno));
		_exit(125);
	}
	(void)close(fd);
}

/* What kata-netmon must never do. */
__attribute__((__format__(__printf__, 2, 3))) static int stub_violation(struct stub *s,
									const char *fmt, ...)
{
	char line[640];
	va_list ap;
	int n;

	va_start(ap, fmt);
	(void)vsnprintf(s->error, sizeof(s->error), fmt, ap);
	va_end(ap);
	n = snprintf(line, sizeof(line), "%d %s: %s\n", getpid(), stub_verbs[s->verb], s->error);
	stub_append(s, "violations", line, (size_t)n);
	return 1;
}

/* ---- how to behave ---- */

/* Reads a small file of our directory. Return: false when it is not there. */
static bool stub_read_knob(const struct stub *s, const char *name, char *ret, size_t size)
{
	int fd = openat(s->dirfd, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, ret, size - 1);
	(void)close(fd);
	ret[n > 0 ? n : 0] = '\0';
	ret[strcspn(ret, "\n")] = '\0';
	return true;
}

static bool stub_is_told(const struct stub *s, const char *name)
{
	return faccessat(s->dirfd, name, F_OK, 0) == 0;
}

static unsigned long stub_number(const struct stub *s, const char *name)
{
	char text[32];

	return stub_read_knob(s, name, text, sizeof(text)) ? strtoul(text, NULL, 10) : 0;
}

static void stub_wait_msec(unsigned long msec)
{
	struct timespec left = { .tv_sec = (time_t)(msec / 1000),
				 .tv_nsec = (long)(msec % 1000) * 1000000 };

	while (msec > 0 && clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		continue;
}

static void stub_make_noise(unsigned long bytes)
{
	char block[4096];

	memset(block, '#', sizeof(block));
	while (bytes > 0) {
		size_t size = bytes < sizeof(block) ? bytes : sizeof(block);
		ssize_t n = write(STDERR_FILENO, block, size);

		if (n <= 0)
			return;
		bytes -= (unsigned long)n;
	}
}

/* Return: the exit status that was asked for, 0 for none. */
static int stub_fail_as_told(struct stub *s)
{
	char name[64], text[256];
	unsigned long status = stub_number(s, "exit");

	if (status != 0) {
		(void)stub_fail(s, "told to end with %lu", status);
		return (int)status;
	}
	if (stub_is_told(s, "not-running"))
		return stub_fail(s, "container %s is not running", s->id);
	(void)snprintf(name, sizeof(name), "fail-verb-%s", stub_verbs[s->verb]);
	if (stub_read_knob(s, name, text, sizeof(text)))
		return stub_fail(s, "%s", text[0] != '\0' ? text : "told to fail");
	if (s->verb == STUB_LIST_IFACES && stub_is_told(s, "no-list"))
		return stub_fail(s, "No help topic for 'list-ifaces'");
	return 0;
}

/* fail-mac: lines "MAC [TEXT]" */
static int stub_fail_mac(struct stub *s)
{
	int fd = openat(s->dirfd, "fail-mac", O_RDONLY | O_CLOEXEC);
	FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
	char line[256];
	int status = 0;

	while (file && status == 0 && fgets(line, sizeof(line), file)) {
		size_t size = strcspn(line, " \n");

		line[strcspn(line, "\n")] = '\0';
		if (size != strlen(s->mac) || strncasecmp(line, s->mac, size) != 0)
			continue;
		status = stub_fail(s, "%s", line[size] != '\0' ? line + size + 1 : "told to fail");
	}
	if (file)
		(void)fclose(file);
	return status;
}

/* ---- the document: reading ---- */

/* NUL-terminated, for those who print it. Past STUB_DOCUMENT_MAX it is cut. */
static char *stub_read_fd(int fd, size_t *ret_size)
{
	size_t capacity = 64 * 1024, used = 0;
	char *data = malloc(capacity);
	ssize_t n;

	while (data && (n = read(fd, data + used, capacity - used - 1)) > 0) {
		used += (size_t)n;
		if (used == capacity - 1 && capacity < STUB_DOCUMENT_MAX) {
			capacity *= 2;
			data = realloc(data, capacity);
		}
	}
	if (data)
		data[used] = '\0';
	*ret_size = used;
	return data;
}

/* Takes white space out that is not inside a string. */
static void stub_compact(char *data, size_t *size)
{
	bool in_string = false;
	size_t used = 0;

	for (size_t i = 0; i < *size; i++) {
		char c = data[i];

		if (in_string && c == '\\' && i + 1 < *size)
			data[used++] = data[i++];
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && strchr(" \t\r\n", c))
			continue;
		data[used++] = data[i];
	}
	data[used] = '\0';
	*size = used;
}

static int stub_open_document(struct stub *s, int *ret_fd)
{
	struct stat st;
	int fd;

	if (strcmp(s->file, "-") == 0) {
		*ret_fd = STDIN_FILENO;
		return 0;
	}
	fd = open(s->file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return stub_fail(s, "open %s: no such file or directory", s->file);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || (st.st_mode & 07777) != STUB_FILE_MODE)
		return stub_violation(s, "%s has mode %o", s->file, (unsigned)st.st_mode);
	*ret_fd = fd;
	return 0;
}

static int stub_read_document(struct stub *s)
{
	int fd = -1, status = stub_open_document(s, &fd);

	if (status != 0)
		return status;
	s->document = stub_read_fd(fd, &s->document_bytes);
	(void)close(fd);
	if (!s->document || s->document_bytes >= STUB_DOCUMENT_MAX - 1)
		return stub_violation(s, "a document of %zu bytes", s->document_bytes);
	if (s->document_bytes == 0 || memchr(s->document, '\0', s->document_bytes))
		return stub_violation(s, "an empty document, or a NUL in it");
	stub_compact(s->document, &s->document_bytes);
	return 0;
}

/* ---- the document: checking ---- */

/* Keys that each object has, exactly these; source: virtcontainers/pkg/types/types.go */
struct stub_key {
	const char *name;
	enum json_type type;
	bool optional; /* may be missing */
	bool nullable;
};

static int stub_check_keys(struct stub *s, struct json_object *o, const struct stub_key *keys,
			   int n)
{
	int known = 0;

	if (!json_object_is_type(o, json_type_object))
		return stub_violation(s, "not an object: %.200s", json_object_to_json_string(o));
	for (int i = 0; i < n; i++) {
		struct json_object *value;

		if (!json_object_object_get_ex(o, keys[i].name, &value)) {
			if (keys[i].optional)
				continue;
			return stub_violation(s, "no %s: %.200s", keys[i].name,
					      json_object_to_json_string(o));
		}
		known++;
		if (!json_object_is_type(value, keys[i].type) && !(keys[i].nullable && !value))
			return stub_violation(s, "%s has another type: %.200s", keys[i].name,
					      json_object_to_json_string(o));
	}
	if (known != json_object_object_length(o))
		return stub_violation(s, "unknown keys: %.200s", json_object_to_json_string(o));
	return 0;
}

static const char *stub_string(struct json_object *o, const char *key)
{
	return json_object_get_string(json_object_object_get(o, key));
}

/* Decimal, no sign, no leading zero, up to @max. -1: no */
static int stub_prefixlen(const char *text, int max)
{
	size_t digits = strspn(text, "0123456789");
	long value = strtol(text, NULL, 10);

	if (digits == 0 || digits > 3 || text[digits] != '\0' || (digits > 1 && text[0] == '0'))
		return -1;
	return value <= max ? (int)value : -1;
}

static int stub_family(const char *ip)
{
	unsigned char bytes[16];

	if (inet_pton(AF_INET, ip, bytes) == 1)
		return AF_INET;
	return inet_pton(AF_INET6, ip, bytes) == 1 ? AF_INET6 : AF_UNSPEC;
}

static bool stub_is_mac(const char *text)
{
	for (int i = 0; i < 17; i++) {
		if (i % 3 == 2 ? text[i] != ':' : !strchr("0123456789abcdef", text[i]) || !text[i])
			return false;
	}
	return text[17] == '\0';
}

static int stub_check_address(struct stub *s, struct json_object *a)
{
	static const struct stub_key keys[] = {
		{ "Family", json_type_int, false, false },
		{ "Address", json_type_string, false, false },
		{ "Mask", json_type_string, false, false },
	};
	int status = stub_check_keys(s, a, keys, 3);
	int family;

	if (status != 0)
		return status;
	family = stub_family(stub_string(a, "Address"));
	if (family == AF_UNSPEC ||
	    family != json_object_get_int(json_object_object_get(a, "Family")) ||
	    stub_prefixlen(stub_string(a, "Mask"), family == AF_INET ? 32 : 128) < 0)
		return stub_violation(s, "not an address: %.200s", json_object_to_json_string(a));
	return 0;
}

/* null, or a list that is not empty: what Go prints for a nil slice */
static int stub_check_addresses(struct stub *s, struct json_object *iface)
{
	struct json_object *list = json_object_object_get(iface, "IPAddresses");
	int status = 0;

	if (!list)
		return 0;
	if (!json_object_is_type(list, json_type_array) || json_object_array_length(list) == 0)
		return stub_violation(s, "IPAddresses is neither null nor a list of some");
	for (size_t i = 0; status == 0 && i < json_object_array_length(list); i++)
		status = stub_check_address(s, json_object_array_get_idx(list, i));
	return status;
}

/*
 * A string for the readers up to 1.12, an object for those since; at least one of them, and empty.
 */
static int stub_check_pci(struct stub *s, struct json_object *iface)
{
	struct json_object *addr = NULL, *path = NULL;
	bool has_addr = json_object_object_get_ex(iface, "PciAddr", &addr);
	bool has_path = json_object_object_get_ex(iface, "PciPath", &path);

	if ((!has_addr && !has_path) || (has_addr && json_object_get_string_len(addr) != 0) ||
	    (has_path && json_object_object_length(path) != 0))
		return stub_violation(s, "not of a dialect: %.200s",
				      json_object_to_json_string(iface));
	return 0;
}

static int stub_check_interface_values(struct stub *s, struct json_object *iface)
{
	const char *name = stub_string(iface, "Name");

	if (name[0] == '\0' || strcmp(name, stub_string(iface, "Device")) != 0 ||
	    !stub_is_mac(stub_string(iface, "HwAddr")) ||
	    stub_string(iface, "LinkType")[0] == '\0' ||
	    json_object_get_int64(json_object_object_get(iface, "Mtu")) <= 0 ||
	    json_object_get_int64(json_object_object_get(iface, "RawFlags")) != 0)
		return stub_violation(s, "not an interface: %.200s",
				      json_object_to_json_string(iface));
	return 0;
}

static int stub_check_interface(struct stub *s, struct json_object *iface)
{
	static const struct stub_key keys[] = {
		{ "Device", json_type_string, false, false },
		{ "Name", json_type_string, false, false },
		{ "Mtu", json_type_int, false, false },
		{ "RawFlags", json_type_int, false, false },
		{ "HwAddr", json_type_string, false, false },
		{ "LinkType", json_type_string, false, false },
		{ "PciAddr", json_type_string, true, false },
		{ "PciPath", json_type_object, true, false },
		{ "IPAddresses", json_type_array, false, true },
	};
	int status = stub_check_keys(s, iface, keys, (int)(sizeof(keys) / sizeof(keys[0])));

	if (status == 0)
		status = stub_check_interface_values(s, iface);
	if (status == 0)
		status = stub_check_pci(s, iface);
	if (status == 0)
		status = stub_check_addresses(s, iface);
	if (status == 0)
		(void)snprintf(s->mac, sizeof(s->mac), "%s", stub_string(iface, "HwAddr"));
	return status;
}

/* Host bits behind the prefix must be zero: the agent's kernel takes no other destination. */
static bool stub_is_cidr(const char *text, int *ret_family)
{
	unsigned char bytes[16] = { 0 };
	char ip[INET6_ADDRSTRLEN];
	size_t size = strcspn(text, "/");
	int family, prefixlen;

	if (size >= sizeof(ip) || text[size] != '/')
		return false;
	memcpy(ip, text, size);
	ip[size] = '\0';
	family = stub_family(ip);
	prefixlen = family == AF_UNSPEC
			    ? -1
			    : stub_prefixlen(text + size + 1, family == AF_INET ? 32 : 128);
	if (prefixlen <= 0 || inet_pton(family, ip, bytes) != 1)
		return false;
	for (int bit = prefixlen; bit < (family == AF_INET ? 32 : 128); bit++) {
		if ((bytes[bit / 8] & (0x80 >> (bit % 8))) != 0)
			return false;
	}
	*ret_family = family;
	return true;
}

/* Each of Dest, Gateway, Source is "" or of one and the same family. */
static bool stub_is_route(struct json_object *route)
{
	const char *dest = stub_string(route, "Dest");
	const char *gateway = stub_string(route, "Gateway"), *source = stub_string(route, "Source");
	int64_t scope = json_object_get_int64(json_object_object_get(route, "Scope"));
	int family = AF_UNSPEC;

	if ((dest[0] != '\0' && !stub_is_cidr(dest, &family)) || scope < 0 || scope > 255)
		return false;
	for (int i = 0; i < 2; i++) {
		const char *ip = i == 0 ? gateway : source;
		int own = stub_family(ip);

		if (ip[0] == '\0')
			continue;
		if (own == AF_UNSPEC || (family != AF_UNSPEC && own != family))
			return false;
		family = own;
	}
	return true;
}

/* The names of the interfaces that the guest has, one a line: they are few, the routes are many. */
struct stub_devices {
	bool any;
	char *names; /* "\nlo\neth0\n" */
};

static bool stub_has_device(const struct stub_devices *d, const char *name)
{
	size_t size = strlen(name);

	if (d->any)
		return true;
	for (const char *at = strstr(d->names, name); at; at = strstr(at + 1, name)) {
		if (at[-1] == '\n' && at[size] == '\n')
			return true;
	}
	return false;
}

static int stub_check_route(struct stub *s, struct json_object *route, const struct stub_devices *d)
{
	static const struct stub_key keys[] = {
		{ "Dest", json_type_string, false, false },
		{ "Gateway", json_type_string, false, false },
		{ "Device", json_type_string, false, false },
		{ "Source", json_type_string, false, false },
		{ "Scope", json_type_int, false, false },
	};
	int status = stub_check_keys(s, route, keys, (int)(sizeof(keys) / sizeof(keys[0])));
	const char *device;

	if (status != 0)
		return status;
	if (!stub_is_route(route))
		return stub_violation(s, "not a route: %.200s", json_object_to_json_string(route));
	device = stub_string(route, "Device");
	if (device[0] == '\0' || !stub_has_device(d, device))
		return stub_violation(s, "Could not find link from device %.64s: %.200s", device,
				      json_object_to_json_string(route));
	return 0;
}

/* ---- the guest's interfaces ---- */

/* Calls @each with every file of ifaces/. */
static void stub_each_interface(struct stub *s,
				void (*each)(void *userdata, const char *document, size_t size),
				void *userdata)
{
	int fd = openat(s->dirfd, "ifaces", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		int at = entry->d_name[0] == '.' ? -1
						 : openat(fd, entry->d_name, O_RDONLY | O_CLOEXEC);
		size_t size;
		char *document;

		if (at < 0)
			continue;
		document = stub_read_fd(at, &size);
		(void)close(at);
		each(userdata, document, size);
		free(document);
	}
	if (dir)
		(void)closedir(dir);
}

static struct json_object *stub_parse(const char *data, size_t size, size_t *ret_used)
{
	struct json_tokener *tokener = json_tokener_new_ex(STUB_JSON_DEPTH);
	struct json_object *o;

	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS |
						JSON_TOKENER_VALIDATE_UTF8);
	o = json_tokener_parse_ex(tokener, data, (int)size);
	*ret_used = json_tokener_get_error(tokener) == json_tokener_success
			    ? json_tokener_get_parse_end(tokener)
			    : 0;
	json_tokener_free(tokener);
	return o;
}

static void stub_add_name(void *userdata, const char *document, size_t size)
{
	struct stub_devices *d = userdata;
	size_t used;
	struct json_object *o = stub_parse(document, size, &used);
	const char *name = json_object_is_type(o, json_type_object) ? stub_string(o, "Name") : NULL;
	char *names;

	if (name && asprintf(&names, "%s%s\n", d->names, name) >= 0) {
		free(d->names);
		d->names = names;
	}
	json_object_put(o);
}

static void stub_print_interface(void *userdata, const char *document, size_t size)
{
	bool *first = userdata;

	(void)printf("%s%.*s", *first ? "[" : ",", (int)size, document);
	*first = false;
}

/* Writes @name whole or not at all. The lock is held, so the temporary name is ours. */
static void stub_replace(struct stub *s, const char *name, const char *data, size_t size)
{
	int fd = openat(s->dirfd, ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	for (size_t used = 0; used < size;) {
		ssize_t n = write(fd, data + used, size - used);

		if (n <= 0) {
			(void)fprintf(stderr, "stub-runtime: %s: %s\n", name, strerror(errno));
			_exit(125);
		}
		used += (size_t)n;
	}
	(void)close(fd);
	(void)renameat(s->dirfd, ".new", s->dirfd, name);
}

static void stub_interface_path(const struct stub *s, char ret[static 32])
{
	(void)snprintf(ret, 32, "ifaces/%s", s->mac);
}

/* ---- the verbs: check, then do ---- */

static int stub_check_one_interface(struct stub *s)
{
	size_t used;
	struct json_object *o = stub_parse(s->document, s->document_bytes, &used);
	int status;

	if (used != s->document_bytes)
		status = stub_violation(s, "not one JSON value: %.200s", s->document);
	else
		status = stub_check_interface(s, o);
	json_object_put(o);
	return status;
}

static int stub_add_iface(struct stub *s)
{
	char path[32];
	int status = stub_fail_mac(s);

	if (status != 0)
		return status;
	stub_interface_path(s, path);
	if (stub_is_told(s, path))
		return stub_fail(s, "Failed to add qdisc for network index 4 : file exists");
	stub_replace(s, path, s->document, s->document_bytes);
	(void)puts("null");
	return 0;
}

/* An unknown MAC is success: virtcontainers/sandbox.go, RemoveInterface */
static int stub_del_iface(struct stub *s)
{
	char path[32];

	stub_interface_path(s, path);
	(void)unlinkat(s->dirfd, path, 0);
	(void)puts("null");
	return 0;
}

/* Route by route: a tree of 100,000 of them would be slower than what we are to measure. */
static int stub_check_each_route(struct stub *s, const struct stub_devices *devices)
{
	const char *at = s->document + 1;
	const char *end = s->document + s->document_bytes - 1;

	while (at < end) {
		size_t used;
		struct json_object *o = stub_parse(at, (size_t)(end - at), &used);
		int status = used == 0 ? stub_violation(s, "not JSON: %.200s", at)
				       : stub_check_route(s, o, devices);

		json_object_put(o);
		if (status != 0)
			return status;
		at += used;
		if (at < end && (*at++ != ',' || at == end))
			return stub_violation(s, "not a list: %.200s", at - 1);
	}
	return 0;
}

static int stub_check_routes(struct stub *s)
{
	struct stub_devices devices = { .any = stub_is_told(s, "any-device"),
					.names = strdup("\n") };
	int status;

	stub_each_interface(s, stub_add_name, &devices);
	if (s->document_bytes < 2 || s->document[0] != '[' ||
	    s->document[s->document_bytes - 1] != ']')
		status = stub_violation(s, "not a list of routes: %.200s", s->document);
	else
		status = stub_check_each_route(s, &devices);
	free(devices.names);
	return status;
}

static int stub_update_routes(struct stub *s)
{
	stub_replace(s, "routes.json", s->document, s->document_bytes);
	(void)fwrite(s->document, 1, s->document_bytes, stdout);
	return 0;
}

static int stub_list_ifaces(struct stub *s)
{
	bool first = true;

	stub_each_interface(s, stub_print_interface, &first);
	(void)puts(first ? "[]" : "]");
	return 0;
}

static const struct stub_action {
	int (*check)(struct stub *s);
	int (*act)(struct stub *s);
} stub_actions[] = {
	[STUB_ADD_IFACE] = { stub_check_one_interface, stub_add_iface },
	[STUB_DEL_IFACE] = { stub_check_one_interface, stub_del_iface },
	[STUB_UPDATE_ROUTES] = { stub_check_routes, stub_update_routes },
	[STUB_LIST_IFACES] = { NULL, stub_list_ifaces },
};

/* ---- the log of calls ---- */

static struct json_object *stub_log_head(const struct stub *s, const char *kind)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "kind", json_object_new_string(kind));
	json_object_object_add(o, "usec", json_object_new_uint64(s->begun_usec));
	json_object_object_add(o, "pid", json_object_new_int(getpid()));
	json_object_object_add(o, "verb", json_object_new_string(stub_verbs[s->verb]));
	json_object_object_add(o, "id", json_object_new_string(s->id));
	return o;
}

/* Takes @head, an object; @tail is put before its last brace. */
static void stub_log(struct stub *s, struct json_object *head, const char *tail, size_t tail_size)
{
	const char *text = json_object_to_json_string_ext(
		head, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	size_t size = strlen(text) - 1;
	char *line = malloc(size + tail_size + 2);

	memcpy(line, text, size);
	memcpy(line + size, tail, tail_size);
	memcpy(line + size + tail_size, "}\n", 2);
	stub_append(s, "calls", line, size + tail_size + 2);
	free(line);
	json_object_put(head);
}

/* @shown: the document is JSON */
static void stub_log_begin(struct stub *s, bool shown)
{
	static const char key[] = ",\"document\":";
	struct json_object *o = stub_log_head(s, "begin");
	size_t size = sizeof(key) - 1;
	const char *document = "null";
	size_t document_size = 4;
	char *tail;

	json_object_object_add(o, "overlap", json_object_new_boolean(s->overlap));
	json_object_object_add(o, "bytes", json_object_new_uint64(s->document_bytes));
	if (shown && s->document && s->document_bytes <= STUB_LOGGED_MAX) {
		document = s->document;
		document_size = s->document_bytes;
	}
	tail = malloc(size + document_size);
	memcpy(tail, key, size);
	memcpy(tail + size, document, document_size);
	stub_log(s, o, tail, size + document_size);
	free(tail);
}

static void stub_log_end(struct stub *s, int status)
{
	struct json_object *o = stub_log_head(s, "end");

	json_object_object_add(o, "end_usec", json_object_new_uint64(stub_now_usec()));
	json_object_object_add(o, "status", json_object_new_int(status));
	json_object_object_add(o, "error", json_object_new_string(s->error));
	stub_log(s, o, "", 0);
}

/* ---- a call ---- */

static int stub_open_dir(const char *program)
{
	const char *dir = getenv("STUB_DIR");
	const char *slash = strrchr(program, '/');
	char beside[PATH_MAX];

	if (!dir) {
		(void)snprintf(beside, sizeof(beside), "%.*s/stub.d",
			       slash ? (int)(slash - program) : 1, slash ? program : ".");
		dir = beside;
	}
	return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* RUNTIME kata-network VERB ID [FILE]; cli/network.go */
static bool stub_parse_argv(struct stub *s, int argc, char **argv)
{
	if (argc < 4 || strcmp(argv[1], "kata-network") != 0 || argv[3][0] == '\0')
		return false;
	s->id = argv[3];
	s->file = argc > 4 ? argv[4] : NULL;
	for (s->verb = 0; s->verb < _STUB_VERB_MAX; s->verb++) {
		if (strcmp(argv[2], stub_verbs[s->verb]) == 0)
			return argc == (stub_actions[s->verb].check ? 5 : 4);
	}
	return false;
}

static int stub_try_lock(struct stub *s)
{
	int fd = openat(s->dirfd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0644);

	s->overlap = flock(fd, LOCK_EX | LOCK_NB) < 0;
	return fd;
}

/*
 * Two calls at a time are said and then wait, as with the runtime; kata-netmon makes them one by
 * one.
 */
static void stub_wait_lock(const struct stub *s, int fd)
{
	while (s->overlap && flock(fd, LOCK_EX) < 0 && errno == EINTR)
		continue;
}

static int stub_check(struct stub *s)
{
	const struct stub_action *action = &stub_actions[s->verb];
	int status = s->file ? stub_read_document(s) : 0;

	return status == 0 && action->check ? action->check(s) : status;
}

/* Return: exit status. The lock is held until the process is gone. */
static int stub_run(struct stub *s)
{
	int lock = stub_try_lock(s);
	int status = stub_check(s);

	stub_log_begin(s, status == 0);
	stub_wait_lock(s, lock);
	stub_make_noise(stub_number(s, "noise_bytes"));
	while (stub_is_told(s, "hang"))
		(void)pause();
	stub_wait_msec(stub_number(s, "delay_msec"));
	if (status == 0)
		status = stub_fail_as_told(s);
	if (status == 0)
		status = stub_actions[s->verb].act(s);
	stub_wait_msec(stub_number(s, "delay_after_msec"));
	stub_log_end(s, status);
	return status;
}

int main(int argc, char **argv)
{
	struct stub s = { .begun_usec = stub_now_usec(), .dirfd = stub_open_dir(argv[0]) };
	int status;

	if (s.dirfd < 0) {
		(void)fprintf(stderr, "stub-runtime: no directory: %s\n", strerror(errno));
		return 125;
	}
	(void)mkdirat(s.dirfd, "ifaces", 0755);
	if (!stub_parse_argv(&s, argc, argv)) {
		s.verb = STUB_LIST_IFACES; /* any: the line needs a word */
		(void)stub_violation(&s, "called as %s %s %s", argv[0], argc > 1 ? argv[1] : "",
				     argc > 2 ? argv[2] : "");
		(void)fprintf(stderr, "%s\n", s.error);
		return 2;
	}
	status = stub_run(&s);
	if (status != 0)
		(void)fprintf(stderr, "%s\n", s.error);
	free(s.document);
	(void)close(s.dirfd);
	return status;
}
