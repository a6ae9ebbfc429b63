/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runtime's command line, see runtime-cli.h.
 *
 * How it works. A call is a child, its pidfd, a pipe for what it says, and a deadline:
 *
 *     idle ---start---> running ---pidfd---> reaped: done() ---> idle
 *                          |                    ^
 *                          +--deadline--> killed +   (status RUNTIME_CLI_TIMED_OUT)
 *
 * Before the child runs, only the pipes are made: everything else is done while the program starts,
 * since the time from a ready NIC to the runtime's main() is what this project is measured by.
 *
 * The end of a call is the end of the child, never the end of its output: what it left behind may
 * hold the pipes open for ever. What the child wrote itself is in the pipes by then.
 *
 * A child must outlive us (we may be killed, or hand over to a successor), but a program that
 * writes to a pipe without a reader dies of SIGPIPE, in the middle of attaching a device. So the
 * child's end is opened for reading as well: the pipe has a reader as long as it has a writer.
 *
 * No handler fails: sd-event would switch its source off without a word.
 */
#include "runtime-bridge/vmm/runtime-cli.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/spawn.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <unistd.h>

/*
 * Read from a pipe per wakeup: its usual capacity. A child that prints without end delays the loop
 * no longer than this.
 */
#define RUNTIME_CLI_READ_MAX   (64U * 1024)
#define RUNTIME_CLI_READ_BYTES 4096U
/* A deadline is in seconds; the kernel may be this late with it. */
#define RUNTIME_CLI_ACCURACY_USEC CLOCK_USEC_PER_MSEC

/*
 * list-ifaces: list, interface, IPAddresses, address, its strings; the rest is slack for what we do
 * not know.
 */
#define RUNTIME_CLI_JSON_DEPTH 16
/*
 * One interface. json-c needs up to 300 times the memory of what it reads, so it is never given the
 * whole list.
 */
#define RUNTIME_CLI_INTERFACE_MAX (64U * 1024)

static const char *const runtime_cli_verbs[] = {
	[RUNTIME_CLI_ADD_IFACE] = "add-iface",
	[RUNTIME_CLI_DEL_IFACE] = "del-iface",
	[RUNTIME_CLI_UPDATE_ROUTES] = "update-routes",
	[RUNTIME_CLI_LIST_IFACES] = "list-ifaces",
};
_Static_assert(sizeof(runtime_cli_verbs) / sizeof(runtime_cli_verbs[0]) == _RUNTIME_CLI_VERB_MAX,
	       "each verb has its word");

/* One of the child's outputs. */
struct runtime_cli_pipe {
	int fd; /* our end, -1: none (any more) */
	sd_event_source *source;
	struct text text; /* the first limit_bytes */
	size_t dropped;	  /* bytes beyond them */
};

struct runtime_cli {
	sd_event *event;
	char *runtime;
	char *sandbox_id;
	uint64_t timeout_usec;
	sd_event_source *deadline; /* made once, armed by each call */

	/* of the running call; child.pidfd is -1 when there is none */
	struct spawn_child child;
	sd_event_source *exited;
	struct runtime_cli_pipe out;
	struct runtime_cli_pipe err;
	uint64_t begun_usec;
	bool timed_out;
	void (*done)(void *userdata, const struct runtime_cli_result *result);
	void *userdata;
};

#define RUNTIME_CLI_PIPE_NULL(limit) \
	((struct runtime_cli_pipe){ .fd = -1, .text = { .limit_bytes = (limit) } })

/* ---- pipes ---- */

static void runtime_cli_pipe_close(struct runtime_cli_pipe *p)
{
	p->source = sd_event_source_disable_unref(p->source);
	p->fd = cleanup_close_fd(p->fd);
}

static void runtime_cli_pipe_done(struct runtime_cli_pipe *p)
{
	runtime_cli_pipe_close(p);
	text_done(&p->text);
	p->dropped = 0;
}

/* What fits is kept; when there is no memory for it, it is dropped like the rest. */
static void runtime_cli_pipe_keep(struct runtime_cli_pipe *p, const char *data, size_t size)
{
	size_t room = p->text.limit_bytes - p->text.size;
	size_t kept = size < room ? size : room;

	if (kept > 0 && text_append(&p->text, data, kept) < 0) {
		err_clear();
		kept = 0;
	}
	p->dropped += size - kept;
}

/*
 * Reads what is there, at most RUNTIME_CLI_READ_MAX, so that a child that never stops does not stop
 * us.
 */
static void runtime_cli_pipe_read(struct runtime_cli_pipe *p)
{
	char buffer[RUNTIME_CLI_READ_BYTES];

	for (size_t taken = 0; p->fd >= 0 && taken < RUNTIME_CLI_READ_MAX;) {
		ssize_t n = read(p->fd, buffer, sizeof(buffer));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			runtime_cli_pipe_close(p);
			return;
		}
		runtime_cli_pipe_keep(p, buffer, (size_t)n);
		taken += (size_t)n;
	}
}

static int runtime_cli_on_output(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	(void)source;
	(void)fd;
	(void)events;
	runtime_cli_pipe_read(userdata);
	return 0;
}

/*
 * Makes the pipe; the child's end goes to *@ret_child_fd, and can also be read from (see above).
 * Where there is no
 * /proc to open it by, it can not, and the child fares as with any other parent.
 */
static int runtime_cli_pipe_open(struct runtime_cli_pipe *p, int *ret_child_fd)
{
	char name[32];
	int fds[2], both;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_raise(-errno, "make a pipe for the runtime's output");
	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fds[1]);
	both = open(name, O_RDWR | O_CLOEXEC);
	if (both >= 0) {
		(void)close(fds[1]);
		fds[1] = both;
	}
	p->fd = fds[0];
	*ret_child_fd = fds[1];
	return 0;
}

static int runtime_cli_pipe_watch(struct runtime_cli_pipe *p, sd_event *event)
{
	int r;

	if (p->fd < 0)
		return 0;
	/* Only our end: the flag belongs to the open file, and the child's is another. */
	if (fcntl(p->fd, F_SETFL, O_NONBLOCK) < 0)
		return err_raise(-errno, "make the runtime's output non-blocking");
	r = sd_event_add_io(event, &p->source, p->fd, EPOLLIN, runtime_cli_on_output, p);
	if (r < 0)
		return err_raise(r, "watch the runtime's output");
	(void)sd_event_source_set_description(p->source, "runtime-output");
	return 0;
}

/* ---- the end of a call ---- */

/* The group, and the child itself, which may have left its group (setsid). */
static void runtime_cli_kill(struct runtime_cli *r)
{
	if (r->child.pidfd < 0)
		return;
	if (spawn_kill_group(&r->child, SIGKILL) < 0)
		err_clear();
	(void)pidfd_send_signal(r->child.pidfd, SIGKILL, NULL, 0);
}

/* Back to idle. Whatever became of the child is settled before. */
static void runtime_cli_reset(struct runtime_cli *r)
{
	r->exited = sd_event_source_disable_unref(r->exited);
	(void)sd_event_source_set_enabled(r->deadline, SD_EVENT_OFF);
	runtime_cli_pipe_done(&r->out);
	runtime_cli_pipe_done(&r->err);
	r->child.pidfd = cleanup_close_fd(r->child.pidfd);
	r->child = SPAWN_CHILD_NULL;
	r->timed_out = false;
	r->done = NULL;
	r->userdata = NULL;
}

/*
 * One line's worth for people: no NUL inside, which would hide what follows, and no white space at
 * the end.
 */
static const char *runtime_cli_tidy(struct text *t)
{
	static const char space[] = " \t\r\n\v\f";

	if (!t->data)
		return "";
	for (size_t i = 0; i < t->size; i++) {
		if (t->data[i] == '\0')
			t->data[i] = '?';
	}
	while (t->size > 0 && strchr(space, t->data[t->size - 1]))
		t->data[--t->size] = '\0';
	return t->data;
}

/*
 * The last thing done with @r: the callback may start the next call, or free us. So what it is told
 * of is taken out of @r first.
 */
static void runtime_cli_finish(struct runtime_cli *r, int status)
{
	CLEANUP(text_done) struct text err = r->err.text;
	CLEANUP(text_done) struct text out = r->out.text;
	struct runtime_cli_result result = {
		.status = r->timed_out ? RUNTIME_CLI_TIMED_OUT : status,
		.stderr_text = runtime_cli_tidy(&err),
		.stderr_dropped = r->err.dropped,
		.stdout_text = "",
		.duration_usec = clock_now_usec() - r->begun_usec,
	};
	void (*done)(void *userdata, const struct runtime_cli_result *result) = r->done;
	void *userdata = r->userdata;

	/* A cut answer is none. */
	if (out.data && r->out.dropped == 0) {
		result.stdout_text = out.data;
		result.stdout_bytes = out.size;
	}
	r->err.text = (struct text){ .limit_bytes = RUNTIME_CLI_STDERR_MAX };
	r->out.text = (struct text){ .limit_bytes = RUNTIME_CLI_STDOUT_MAX };
	runtime_cli_reset(r);
	done(userdata, &result);
}

/* Ends the call if its child has ended. Return: true; @r may be gone by then. */
static bool runtime_cli_collect(struct runtime_cli *r)
{
	int status = -SIGKILL;
	int reaped = spawn_reap(&r->child, &status);

	if (reaped > 0)
		return false;
	/*
	 * Not ours to wait for (somebody reaps all children of the process): it is gone, how is not
	 * known.
	 */
	if (reaped < 0)
		err_clear();
	runtime_cli_pipe_read(&r->out);
	runtime_cli_pipe_read(&r->err);
	runtime_cli_finish(r, status);
	return true;
}

static int runtime_cli_on_exit(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	(void)source;
	(void)fd;
	(void)events;
	(void)runtime_cli_collect(userdata);
	return 0;
}

/*
 * A child that ended in the same moment was in time. Another is ended by SIGKILL, and the pidfd
 * tells when.
 */
static int runtime_cli_on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct runtime_cli *r = userdata;

	(void)source;
	(void)usec;
	if (runtime_cli_collect(r))
		return 0;
	r->timed_out = true;
	runtime_cli_kill(r);
	return 0;
}

/* ---- the start of a call ---- */

static int runtime_cli_arm(struct runtime_cli *r)
{
	int ret = sd_event_source_set_time(r->deadline, r->begun_usec + r->timeout_usec);

	if (ret >= 0)
		ret = sd_event_source_set_enabled(r->deadline, SD_EVENT_ONESHOT);
	return ret < 0 ? err_raise(ret, "set the runtime's deadline") : 0;
}

static int runtime_cli_watch(struct runtime_cli *r)
{
	int ret = sd_event_add_io(r->event, &r->exited, r->child.pidfd, EPOLLIN,
				  runtime_cli_on_exit, r);

	if (ret < 0)
		return err_raise(ret, "watch the runtime");
	(void)sd_event_source_set_description(r->exited, "runtime-exit");
	ret = runtime_cli_arm(r);
	if (ret == 0)
		ret = runtime_cli_pipe_watch(&r->err, r->event);
	if (ret == 0)
		ret = runtime_cli_pipe_watch(&r->out, r->event);
	return err_pass(ret);
}

static int runtime_cli_spawn(struct runtime_cli *r, const struct runtime_cli_call *call)
{
	const char *const argv[] = {
		r->runtime,    "kata-network", runtime_cli_verbs[call->verb],
		r->sandbox_id, call->file,     NULL,
	};
	CLEANUP(cleanup_close) int out_fd = -1;
	CLEANUP(cleanup_close) int err_fd = -1;
	int ret = runtime_cli_pipe_open(&r->err, &err_fd);

	if (ret == 0 && call->verb == RUNTIME_CLI_LIST_IFACES)
		ret = runtime_cli_pipe_open(&r->out, &out_fd);
	if (ret < 0)
		return err_pass(ret);
	return err_pass(spawn_start(
		&(struct spawn_request){
			.argv = argv,
			.stdout_fd = out_fd,
			.stderr_fd = err_fd,
			.before_exec = call->before_exec,
			.arg = call->before_exec_arg,
		},
		&r->child));
}

int runtime_cli_start(struct runtime_cli *r, const struct runtime_cli_call *call)
{
	int ret;

	if (r->child.pidfd >= 0)
		return err_raise(-EBUSY, "start '%s' while it runs", r->runtime);
	r->begun_usec = clock_now_usec();
	ret = runtime_cli_spawn(r, call);
	if (ret == 0)
		ret = runtime_cli_watch(r);
	if (ret < 0) {
		/* It may have been started and not be followed: it must not go on unseen. */
		runtime_cli_kill(r);
		spawn_child_done(&r->child);
		runtime_cli_reset(r);
		return err_pass(ret);
	}
	r->done = call->done;
	r->userdata = call->userdata;
	return 0;
}

void runtime_cli_abandon(struct runtime_cli *r)
{
	runtime_cli_reset(r);
}

/* ---- birth and death ---- */

static int runtime_cli_on_birth(struct runtime_cli *r, const struct runtime_cli_config *config)
{
	int ret;

	r->runtime = strdup(config->runtime);
	r->sandbox_id = strdup(config->sandbox_id);
	if (!r->runtime || !r->sandbox_id)
		return err_raise(-ENOMEM, "make a runtime caller");
	ret = sd_event_add_time(r->event, &r->deadline, CLOCK_MONOTONIC, CLOCK_NEVER,
				RUNTIME_CLI_ACCURACY_USEC, runtime_cli_on_deadline, r);
	if (ret >= 0)
		ret = sd_event_source_set_enabled(r->deadline, SD_EVENT_OFF);
	if (ret < 0)
		return err_raise(ret, "make the runtime's deadline");
	(void)sd_event_source_set_description(r->deadline, "runtime-deadline");
	return 0;
}

int runtime_cli_new(struct runtime_cli **ret, sd_event *event,
		    const struct runtime_cli_config *config)
{
	CLEANUP(runtime_cli_freep) struct runtime_cli *r = malloc(sizeof(*r));
	int error;

	if (!r)
		return err_raise(-ENOMEM, "make a runtime caller");
	*r = (struct runtime_cli){
		.event = sd_event_ref(event),
		.timeout_usec = config->timeout_usec != 0
					? config->timeout_usec
					: RUNTIME_CLI_TIMEOUT_SEC * CLOCK_USEC_PER_SEC,
		.child = SPAWN_CHILD_NULL,
		.out = RUNTIME_CLI_PIPE_NULL(RUNTIME_CLI_STDOUT_MAX),
		.err = RUNTIME_CLI_PIPE_NULL(RUNTIME_CLI_STDERR_MAX),
	};
	error = runtime_cli_on_birth(r, config);
	if (error < 0)
		return err_pass(error);
	*ret = TAKE_PTR(r);
	return 0;
}

struct runtime_cli *runtime_cli_free(struct runtime_cli *r)
{
	if (!r)
		return NULL;
	runtime_cli_kill(r);
	spawn_child_done(&r->child);
	runtime_cli_reset(r);
	sd_event_source_disable_unref(r->deadline);
	sd_event_unref(r->event);
	free(r->sandbox_id);
	free(r->runtime);
	free(r);
	return NULL;
}

/* ---- list-ifaces ---- */

/* A cursor over the answer. */
struct runtime_cli_list {
	const char *at;
	const char *end;
};

static void runtime_cli_list_skip_space(struct runtime_cli_list *l)
{
	while (l->at < l->end && strchr(" \t\r\n", *l->at))
		l->at++;
}

/* Steps over @c and the space around it. */
static bool runtime_cli_list_take(struct runtime_cli_list *l, char c)
{
	runtime_cli_list_skip_space(l);
	if (l->at == l->end || *l->at != c)
		return false;
	l->at++;
	runtime_cli_list_skip_space(l);
	return true;
}

static bool runtime_cli_list_is_null(struct runtime_cli_list *l)
{
	runtime_cli_list_skip_space(l);
	if (l->end - l->at < 4 || memcmp(l->at, "null", 4) != 0)
		return false;
	l->at += 4;
	runtime_cli_list_skip_space(l);
	return l->at == l->end;
}

/*
 * Go's decoder matches keys without case, and so do we: 1.x says HwAddr, 2.x hwAddr. NULL: no such
 * member.
 */
static struct json_object *runtime_cli_member(struct json_object *o, const char *key,
					      enum json_type type)
{
	struct json_object_iterator at = json_object_iter_begin(o);
	struct json_object_iterator end = json_object_iter_end(o);

	for (; !json_object_iter_equal(&at, &end); json_object_iter_next(&at)) {
		struct json_object *value = json_object_iter_peek_value(&at);

		if (strcasecmp(json_object_iter_peek_name(&at), key) == 0 &&
		    json_object_is_type(value, type))
			return value;
	}
	return NULL;
}

static bool runtime_cli_is_link_local(const char *ip)
{
	struct in6_addr a;

	return inet_pton(AF_INET6, ip, &a) == 1 && IN6_IS_ADDR_LINKLOCAL(&a);
}

/* As numbers: an address has many spellings. */
static bool runtime_cli_is_same_ip(const char *a, const char *b)
{
	unsigned char x[sizeof(struct in6_addr)], y[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, a, x) == 1)
		return inet_pton(AF_INET, b, y) == 1 && memcmp(x, y, 4) == 0;
	return inet_pton(AF_INET6, a, x) == 1 && inet_pton(AF_INET6, b, y) == 1 &&
	       memcmp(x, y, sizeof(x)) == 0;
}

static bool runtime_cli_wants_ip(const struct runtime_cli_interface *wanted, const char *ip)
{
	for (size_t i = 0; i < wanted->n_ips; i++)
		if (runtime_cli_is_same_ip(wanted->ips[i], ip))
			return true;
	return false;
}

/* As many of the listed addresses as are wanted, and none that is not. */
static bool runtime_cli_has_just(struct json_object *addresses,
				 const struct runtime_cli_interface *wanted)
{
	size_t n = addresses ? json_object_array_length(addresses) : 0, found = 0;

	for (size_t i = 0; i < n; i++) {
		struct json_object *entry = json_object_array_get_idx(addresses, i);
		struct json_object *text =
			json_object_is_type(entry, json_type_object)
				? runtime_cli_member(entry, "Address", json_type_string)
				: NULL;
		const char *ip = text ? json_object_get_string(text) : "";

		if (runtime_cli_wants_ip(wanted, ip))
			found++;
		else if (!runtime_cli_is_link_local(ip))
			return false;
	}
	return found >= wanted->n_ips;
}

static int runtime_cli_is_wanted(struct json_object *interface,
				 const struct runtime_cli_interface *wanted)
{
	struct json_object *mac = runtime_cli_member(interface, "HwAddr", json_type_string);

	if (!mac || strcasecmp(json_object_get_string(mac), wanted->mac) != 0)
		return 0;
	return runtime_cli_has_just(runtime_cli_member(interface, "IPAddresses", json_type_array),
				    wanted)
		       ? RUNTIME_CLI_LISTS_IT
		       : RUNTIME_CLI_LISTS_OTHER;
}

/* Parses one interface and steps over it. Return: as runtime_cli_lists(). */
static int runtime_cli_list_next(struct runtime_cli_list *l, struct json_tokener *tokener,
				 const struct runtime_cli_interface *wanted)
{
	size_t size = (size_t)(l->end - l->at);
	struct json_object *interface;
	int has;

	if (size > RUNTIME_CLI_INTERFACE_MAX)
		size = RUNTIME_CLI_INTERFACE_MAX;
	json_tokener_reset(tokener);
	interface = json_tokener_parse_ex(tokener, l->at, (int)size);
	if (!json_object_is_type(interface, json_type_object)) {
		json_object_put(interface);
		return -EBADMSG;
	}
	l->at += json_tokener_get_parse_end(tokener);
	has = runtime_cli_is_wanted(interface, wanted);
	json_object_put(interface);
	return has;
}

/* The whole list is read, so that half an answer is never taken for one. */
static int runtime_cli_list_find(struct runtime_cli_list *l, struct json_tokener *tokener,
				 const struct runtime_cli_interface *wanted)
{
	int found = 0;

	if (runtime_cli_list_is_null(l))
		return 0;
	if (!runtime_cli_list_take(l, '['))
		return -EBADMSG;
	if (!runtime_cli_list_take(l, ']')) {
		do {
			int r = runtime_cli_list_next(l, tokener, wanted);

			if (r < 0)
				return r;
			found = r > 0 ? r : found;
		} while (runtime_cli_list_take(l, ','));
		if (!runtime_cli_list_take(l, ']'))
			return -EBADMSG;
	}
	return l->at == l->end ? found : -EBADMSG;
}

int runtime_cli_lists(const char *json, size_t bytes, const struct runtime_cli_interface *wanted)
{
	struct runtime_cli_list list = { .at = json, .end = json + bytes };
	struct json_tokener *tokener;
	int r;

	/* json-c takes a NUL for the end, strchr() for a space. */
	if (bytes == 0 || bytes > RUNTIME_CLI_STDOUT_MAX || memchr(json, '\0', bytes))
		return err_raise(-EBADMSG, "read a list of interfaces of %zu bytes", bytes);
	tokener = json_tokener_new_ex(RUNTIME_CLI_JSON_DEPTH);
	if (!tokener)
		return err_raise(-ENOMEM, "read a list of interfaces");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
	r = runtime_cli_list_find(&list, tokener, wanted);
	json_tokener_free(tokener);
	if (r < 0)
		return err_raise(r, "read a list of interfaces of %zu bytes", bytes);
	return r;
}
