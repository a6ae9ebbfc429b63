/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a sandbox's agent listens, see locate.h.
 *
 * How it works. Two shims are asked one after the other, then the state on disk is read. A shim that
 * is there and says nothing gets half of the time that is left, so that the next one has its turn
 * before the deadline. What was tried, and with which result, is gathered in a text; the first
 * answer that is a URL ends it.
 */
#include "agent-proto/locate.h"

#include "agent-proto/transport.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCATE_ACCURACY_USEC CLOCK_USEC_PER_MSEC
#define LOCATE_WHY_MAX	     2048U /* bytes of the text that says what was tried */
#define LOCATE_QUOTE_MAX     128U  /* bytes of an answer that are shown in it */
/*
 * json-c needs up to 300 times the memory of what it reads: it is given the one object that we
 * want, and no more of that than this.
 */
#define LOCATE_OBJECT_MAX 4096U
#define LOCATE_DEPTH_MAX  16

static const char locate_request[] = "GET /agent-url HTTP/1.1\r\n"
				     "Host: shim\r\n"
				     "Connection: close\r\n"
				     "\r\n";

/* Where the shims' folders are; the one of the Go shim has the state file too. */
static const char *const locate_dirs[] = { "/run/vc/sbs", "/run/kata" };
#define LOCATE_SHIMS (sizeof(locate_dirs) / sizeof(locate_dirs[0]))

struct locate {
	sd_event *event;
	char sandbox_id[TEXT_SANDBOX_ID_MAX + 1];
	char *root;
	void (*done)(void *userdata, const struct url *url, const char *why);
	void *userdata;

	sd_event_source *timer; /* the start, then the deadline of the one that is asked */
	sd_event_source *source;
	uint64_t deadline_usec; /* of all */
	size_t n_asked;		/* shims; the last of them is being asked while there is an fd */
	struct transport transport;
	size_t n_sent;
	char answer[LOCATE_RESPONSE_MAX];
	size_t n_answer;
	struct text why;
};

/* ---- HTTP: one answer ---- */

/* A cursor over it. */
struct locate_reader {
	char *at;
	char *end;
};

/* Without its end. */
struct locate_line {
	const char *text;
	size_t size;
};

/* Return: false: it is not whole yet. */
static bool locate_next_line(struct locate_reader *r, struct locate_line *ret)
{
	char *end = memchr(r->at, '\n', (size_t)(r->end - r->at));

	if (!end)
		return false;
	*ret = (struct locate_line){ .text = r->at, .size = (size_t)(end - r->at) };
	if (ret->size > 0 && ret->text[ret->size - 1] == '\r')
		ret->size--;
	r->at = end + 1;
	return true;
}

/* "HTTP/1.1 200 OK" */
static int locate_parse_status(struct locate_line line, int *ret)
{
	const char *s = line.text;

	if (line.size < 12 || memcmp(s, "HTTP/1.", 7) != 0 || s[8] != ' ')
		return -EBADMSG;
	*ret = 0;
	for (size_t i = 9; i < 12; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -EBADMSG;
		*ret = *ret * 10 + (s[i] - '0');
	}
	return line.size == 12 || s[12] == ' ' ? 0 : -EBADMSG;
}

/* How long a body is. */
struct locate_framing {
	bool is_chunked;
	bool has_length;
	size_t length;
};

/* The value of header @name on this line, without the space around it. */
static bool locate_is_header(struct locate_line line, const char *name, struct locate_line *ret)
{
	size_t n = strlen(name);

	if (line.size <= n || line.text[n] != ':' || strncasecmp(line.text, name, n) != 0)
		return false;
	line.text += n + 1;
	line.size -= n + 1;
	while (line.size > 0 && (*line.text == ' ' || *line.text == '\t')) {
		line.text++;
		line.size--;
	}
	while (line.size > 0 &&
	       (line.text[line.size - 1] == ' ' || line.text[line.size - 1] == '\t'))
		line.size--;
	*ret = line;
	return true;
}

static int locate_digit(char c, unsigned base)
{
	int digit = -1;

	if (c >= '0' && c <= '9')
		digit = c - '0';
	else if (c >= 'a' && c <= 'f')
		digit = c - 'a' + 10;
	else if (c >= 'A' && c <= 'F')
		digit = c - 'A' + 10;
	return digit < (int)base ? digit : -1;
}

/* The number that @line begins with: at least one digit, at most LOCATE_RESPONSE_MAX. */
static int locate_parse_number(struct locate_line line, unsigned base, size_t *ret_digits,
			       size_t *ret)
{
	size_t n = 0, i = 0;

	for (; i < line.size && locate_digit(line.text[i], base) >= 0; i++) {
		n = n * base + (size_t)locate_digit(line.text[i], base);
		if (n > LOCATE_RESPONSE_MAX)
			return -EMSGSIZE;
	}
	if (i == 0)
		return -EBADMSG;
	*ret_digits = i;
	*ret = n;
	return 0;
}

static int locate_parse_header(struct locate_line line, struct locate_framing *f)
{
	struct locate_line value;
	size_t digits, length;
	int r;

	if (locate_is_header(line, "Transfer-Encoding", &value)) {
		f->is_chunked = value.size == 7 && strncasecmp(value.text, "chunked", 7) == 0;
		return f->is_chunked ? 0 : -EBADMSG;
	}
	if (!locate_is_header(line, "Content-Length", &value))
		return 0;
	r = locate_parse_number(value, 10, &digits, &length);
	if (r < 0)
		return r;
	if (digits != value.size || (f->has_length && f->length != length))
		return -EBADMSG;
	f->has_length = true;
	f->length = length;
	return 0;
}

static int locate_parse_head(struct locate_reader *r, int *ret_status, struct locate_framing *ret)
{
	struct locate_line line;
	int error;

	if (!locate_next_line(r, &line))
		return LOCATE_MORE;
	error = locate_parse_status(line, ret_status);
	while (error == 0) {
		if (!locate_next_line(r, &line))
			return LOCATE_MORE;
		if (line.size == 0)
			return 0;
		error = locate_parse_header(line, ret);
	}
	return error;
}

/* Steps over one chunk. @ret_size: 0 for the last one */
static int locate_next_chunk(struct locate_reader *r, char **ret_chunk, size_t *ret_size)
{
	struct locate_line line;
	size_t digits;
	int error;

	if (!locate_next_line(r, &line))
		return LOCATE_MORE;
	error = locate_parse_number(line, 16, &digits, ret_size);
	if (error < 0)
		return error;
	if (digits < line.size && line.text[digits] != ';' && line.text[digits] != ' ')
		return -EBADMSG;
	*ret_chunk = r->at;
	if (*ret_size == 0)
		return 0;
	if ((size_t)(r->end - r->at) < *ret_size)
		return LOCATE_MORE;
	r->at += *ret_size;
	if (!locate_next_line(r, &line))
		return LOCATE_MORE;
	return line.size == 0 ? 0 : -EBADMSG;
}

/* Is the body whole? Touches nothing, since there may be more to come. */
static int locate_check_chunks(struct locate_reader r)
{
	struct locate_line line;
	char *chunk;
	size_t size;
	int error;

	do {
		error = locate_next_chunk(&r, &chunk, &size);
		if (error != 0)
			return error;
	} while (size > 0);
	/* what may follow the last chunk (trailers) ends like a head */
	do {
		if (!locate_next_line(&r, &line))
			return LOCATE_MORE;
	} while (line.size > 0);
	return 0;
}

static int locate_join_chunks(struct locate_reader r, char **ret, size_t *ret_size)
{
	char *to = r.at, *chunk;
	size_t size;
	int error = locate_check_chunks(r);

	if (error != 0)
		return error;
	*ret = to;
	/* checked: each is there; what is joined never reaches what is still to be read */
	while (locate_next_chunk(&r, &chunk, &size) == 0 && size > 0) {
		memmove(to, chunk, size);
		to += size;
	}
	*ret_size = (size_t)(to - *ret);
	return 0;
}

/* 1xx, 204 and 304 have none, whatever their headers say. RFC 9112 6.3 */
static bool locate_has_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

static int locate_parse_body(struct locate_reader r, const struct locate_framing *f, bool has_ended,
			     char **ret, size_t *ret_size)
{
	size_t size = (size_t)(r.end - r.at);

	if (f->is_chunked)
		return locate_join_chunks(r, ret, ret_size);
	if (f->has_length ? size < f->length : !has_ended)
		return LOCATE_MORE;
	*ret = r.at;
	*ret_size = f->has_length ? f->length : size;
	return 0;
}

int locate_parse_http(char *data, size_t size, bool has_ended, int *ret_status, char **ret_body,
		      size_t *ret_size)
{
	struct locate_framing framing = { 0 };
	struct locate_reader reader;
	char *body = NULL;
	size_t body_size = 0;
	int status = 0, r;

	reader.at = data;
	reader.end = data + size;
	r = locate_parse_head(&reader, &status, &framing);
	if (r == 0 && locate_has_body(status))
		r = locate_parse_body(reader, &framing, has_ended, &body, &body_size);
	if (r < 0)
		return r;
	if (r > 0 && has_ended)
		return -EBADMSG;
	if (r > 0)
		return size >= LOCATE_RESPONSE_MAX ? -EMSGSIZE : LOCATE_MORE;
	*ret_status = status;
	*ret_body = body ? body : reader.at;
	*ret_size = body_size;
	return 0;
}

/* ---- persist.json ---- */

/*
 * Finds the value of @key in the outermost object, without reading more than braces and strings:
 * the rest of the file is nobody's business here. NULL: there is none.
 */
static const char *locate_find_member(const char *json, const char *key)
{
	size_t n = strlen(key);
	const char *string = NULL; /* the last one, in the outermost object */
	size_t size = 0;
	unsigned depth = 0;

	for (const char *p = json; *p != '\0'; p++) {
		if (*p == '"') {
			string = ++p;
			for (; *p != '"' && *p != '\0'; p++)
				if (*p == '\\' && p[1] != '\0')
					p++;
			size = (size_t)(p - string);
			if (*p == '\0')
				return NULL;
		} else if (*p == '{' || *p == '[') {
			depth++;
		} else if (*p == '}' || *p == ']') {
			depth -= depth > 0;
		} else if (*p == ':' && depth == 1 && size == n && string &&
			   memcmp(string, key, n) == 0) {
			return p + 1;
		}
	}
	return NULL;
}

/* The string @key of the object that @json begins with. Return: caller frees; NULL: there is none. */
static char *locate_read_string(const char *json, const char *key)
{
	struct json_tokener *tokener = json_tokener_new_ex(LOCATE_DEPTH_MAX);
	size_t size = strnlen(json, LOCATE_OBJECT_MAX);
	struct json_object *object, *value;
	char *string = NULL;

	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
	object = json_tokener_parse_ex(tokener, json, (int)size);
	if (json_object_is_type(object, json_type_object) &&
	    json_object_object_get_ex(object, key, &value) &&
	    json_object_is_type(value, json_type_string) &&
	    !memchr(json_object_get_string(value), '\0', (size_t)json_object_get_string_len(value)))
		string = strdup(json_object_get_string(value));
	json_object_put(object);
	json_tokener_free(tokener);
	return string;
}

int locate_parse_state(const char *json, size_t size, struct url *ret)
{
	CLEANUP(cleanup_free) char *string = NULL;
	const char *state = NULL;

	/* a NUL would be taken for the end */
	if (!memchr(json, '\0', size))
		state = locate_find_member(json, "AgentState");
	if (state)
		string = locate_read_string(state, "URL");
	if (!string)
		return err_raise(-EBADMSG, "find AgentState.URL in a state of %zu bytes", size);
	return err_pass(url_parse(string, ret));
}

static int locate_open_state(struct locate *l)
{
	char path[PATH_MAX], name[TEXT_SANDBOX_ID_MAX + sizeof("/persist.json")];
	CLEANUP(cleanup_close) int dir = -1;

	(void)snprintf(path, sizeof(path), "%s%s", l->root, locate_dirs[0]);
	(void)snprintf(name, sizeof(name), "%s/persist.json", l->sandbox_id);
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_raise(-errno, "open '%s'", path);
	/* whatever lies there in its place must not make us wait */
	return err_pass(io_openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0));
}

static int locate_read_state(struct locate *l, struct url *ret)
{
	CLEANUP(cleanup_close) int fd = locate_open_state(l);
	CLEANUP(cleanup_free) char *json = NULL;
	struct stat st;
	size_t size;
	int r;

	if (fd < 0)
		return err_pass(fd);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_raise(-EBADMSG, "read what is no regular file");
	r = io_read_all(fd, LOCATE_STATE_MAX, &json, &size);
	if (r < 0)
		return err_pass(r);
	return err_pass(locate_parse_state(json, size, ret));
}

/* ---- the end ---- */

/* The last thing done with @l: it may be freed inside. */
static void locate_finish(struct locate *l, const struct url *url)
{
	CLEANUP(text_done) struct text why = l->why;

	l->why = TEXT_NULL;
	(void)sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
	l->done(l->userdata, url, !url && why.data ? why.data : "");
}

/* What was tried, and how it went: the error on its way up ends here. */
static void locate_note(struct locate *l)
{
	(void)text_appendf(&l->why, "%s%s", l->why.size > 0 ? "; " : "", err_sentence());
	err_clear();
}

static void locate_try_state(struct locate *l)
{
	struct url url;
	int r = locate_read_state(l, &url);

	if (r < 0) {
		(void)err_raise(r, "read '%s%s/%s/persist.json': %s", l->root, locate_dirs[0],
				l->sandbox_id, err_sentence());
		locate_note(l);
	}
	locate_finish(l, r < 0 ? NULL : &url);
}

/* ---- asking a shim ---- */

static int locate_on_socket(sd_event_source *source, int fd, uint32_t events, void *userdata);

static void locate_hang_up(struct locate *l)
{
	l->source = sd_event_source_disable_unref(l->source);
	transport_close(&l->transport);
	l->n_sent = 0;
	l->n_answer = 0;
}

/* Half of what is left: the next one has to have its turn too. */
static void locate_arm(struct locate *l)
{
	uint64_t now = clock_now_usec();
	uint64_t left = l->deadline_usec > now ? l->deadline_usec - now : 0;

	(void)sd_event_source_set_time(l->timer, now + left / 2);
	(void)sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
}

/* A unix socket is connected at once or never. */
static int locate_ask(struct locate *l, const char *dir)
{
	struct url url = { .kind = URL_UNIX };
	int n = snprintf(url.path, sizeof(url.path), "%s%s/%s/shim-monitor.sock", l->root, dir,
			 l->sandbox_id);
	int r;

	if (n < 0 || (size_t)n >= sizeof(url.path))
		return err_raise(-ENAMETOOLONG, "ask '%s'", url.path);
	r = transport_begin(&l->transport, &url);
	if (r < 0)
		return err_pass(r);
	r = sd_event_add_io(l->event, &l->source, l->transport.fd, EPOLLOUT, locate_on_socket, l);
	if (r < 0) {
		locate_hang_up(l);
		return err_raise(r, "ask '%s'", url.path);
	}
	(void)sd_event_source_set_description(l->source, "locate");
	locate_arm(l);
	return 0;
}

static void locate_next(struct locate *l)
{
	while (l->n_asked < LOCATE_SHIMS) {
		if (locate_ask(l, locate_dirs[l->n_asked++]) == 0)
			return;
		locate_note(l);
	}
	locate_try_state(l);
}

static int locate_send(struct locate *l)
{
	ssize_t n = transport_send(l->transport.fd, locate_request + l->n_sent,
				   sizeof(locate_request) - 1 - l->n_sent);
	int r;

	if (n == -EAGAIN)
		return 0;
	if (n < 0)
		return err_raise((int)n, "ask '%s'", l->transport.url.path);
	l->n_sent += (size_t)n;
	if (l->n_sent < sizeof(locate_request) - 1)
		return 0;
	r = sd_event_source_set_io_events(l->source, EPOLLIN);
	return r < 0 ? err_raise(r, "wait for '%s'", l->transport.url.path) : 0;
}

/* Return: 0: it is a URL. */
static int locate_judge(struct locate *l, int status, const char *body, size_t size,
			struct url *ret)
{
	char text[URL_TEXT_MAX];
	int shown = (int)(size < LOCATE_QUOTE_MAX ? size : LOCATE_QUOTE_MAX);

	while (size > 0 && memchr(" \t\r\n", body[size - 1], 4))
		size--;
	if (status != 200 || size == 0 || size >= sizeof(text) || memchr(body, '\0', size))
		return err_raise(-EBADMSG, "ask '%s', which answered %d and %zu bytes: '%.*s'",
				 l->transport.url.path, status, size, shown, body);
	memcpy(text, body, size);
	text[size] = '\0';
	if (url_parse(text, ret) < 0)
		return err_raise(-EBADMSG, "ask '%s': %s", l->transport.url.path, err_sentence());
	return 0;
}

/* Return: 0: *ret; LOCATE_MORE; -errno */
static int locate_receive(struct locate *l, struct url *ret)
{
	ssize_t n = read(l->transport.fd, l->answer + l->n_answer, sizeof(l->answer) - l->n_answer);
	int status, r;
	char *body;
	size_t size;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return LOCATE_MORE;
	if (n < 0)
		return err_raise(-errno, "ask '%s'", l->transport.url.path);
	l->n_answer += (size_t)n;
	r = locate_parse_http(l->answer, l->n_answer, n == 0, &status, &body, &size);
	if (r < 0)
		return err_raise(r, "ask '%s', which answered %zu bytes", l->transport.url.path,
				 l->n_answer);
	if (r > 0)
		return LOCATE_MORE;
	return err_pass(locate_judge(l, status, body, size, ret));
}

static int locate_on_socket(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct locate *l = userdata;
	struct url url;
	int r;

	(void)source;
	(void)fd;
	(void)events;
	if (l->n_sent < sizeof(locate_request) - 1) {
		r = locate_send(l);
		r = r == 0 ? LOCATE_MORE : r;
	} else {
		r = locate_receive(l, &url);
	}
	if (r == LOCATE_MORE)
		return 0;
	if (r < 0)
		locate_note(l);
	locate_hang_up(l);
	if (r == 0)
		locate_finish(l, &url);
	else
		locate_next(l);
	return 0;
}

/* The start, or the end of the time of the one that is asked. */
static int locate_on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct locate *l = userdata;

	(void)source;
	(void)usec;
	if (l->source) {
		(void)err_raise(-ETIMEDOUT, "ask '%s', which answered %zu bytes",
				l->transport.url.path, l->n_answer);
		locate_note(l);
		locate_hang_up(l);
	}
	locate_next(l);
	return 0;
}

/* ---- birth and death ---- */

static int locate_on_birth(struct locate *l, const struct locate_config *config)
{
	int r;

	(void)snprintf(l->sandbox_id, sizeof(l->sandbox_id), "%s", config->sandbox_id);
	l->root = strdup(config->root ? config->root : "");
	if (!l->root)
		return err_raise(-ENOMEM, "look for an agent");
	r = sd_event_add_time(l->event, &l->timer, CLOCK_MONOTONIC, 0, LOCATE_ACCURACY_USEC,
			      locate_on_timer, l);
	if (r < 0)
		return err_raise(r, "look for an agent");
	(void)sd_event_source_set_description(l->timer, "locate");
	return 0;
}

int locate_new(struct locate **ret, sd_event *event, const struct locate_config *config)
{
	CLEANUP(locate_freep) struct locate *l = NULL;
	uint64_t timeout = config->timeout_usec != 0 ? config->timeout_usec : LOCATE_USEC;
	int r;

	if (!text_is_sandbox_id(config->sandbox_id))
		return err_raise(-EINVAL, "look for the agent of '%s'", config->sandbox_id);
	l = malloc(sizeof(*l));
	if (!l)
		return err_raise(-ENOMEM, "look for an agent");
	*l = (struct locate){
		.event = sd_event_ref(event),
		.done = config->done,
		.userdata = config->userdata,
		.deadline_usec = clock_now_usec() + timeout,
		.transport = TRANSPORT_NULL,
		.why = { .limit_bytes = LOCATE_WHY_MAX },
	};
	r = locate_on_birth(l, config);
	if (r < 0)
		return err_pass(r);
	*ret = TAKE_PTR(l);
	return 0;
}

struct locate *locate_free(struct locate *l)
{
	if (!l)
		return NULL;
	locate_hang_up(l);
	sd_event_source_disable_unref(l->timer);
	sd_event_unref(l->event);
	text_done(&l->why);
	free(l->root);
	free(l);
	return NULL;
}
