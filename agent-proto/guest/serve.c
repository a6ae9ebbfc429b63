/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's loop. See serve.h.
 *
 * A pipe (virtio-serial port) has no connections: it is one for as long as we live, and a hello of
 * the host (pipe.h) begins its stream anew. While no host has it open poll() says POLLHUP without
 * end, so that it is only looked at from time to time.
 * Source: drivers/char/virtio_console.c, port_fops_poll(), port_fops_read().
 */
#include "agent-proto/guest/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <linux/vm_sockets.h>

#include "agent-proto/guest/init.h"
#include "agent-proto/pipe.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/ip.h"
#include "base/log.h"

#define BACKLOG	       64
#define READ_BYTES     16384U
#define RESERVED_PORTS 1024U /* below: CAP_NET_BIND_SERVICE. vsock_addr.h, LAST_RESERVED_PORT */
#define QUOTA_USEC     (60 * CLOCK_USEC_PER_SEC)
#define NSEC_PER_USEC  1000U

struct listener {
	int fd;
	struct url url;
	/* unix: the file that bind() made; at its path may be somebody else's by now */
	dev_t dev;
	ino_t ino;
};

/* What others can cause as often as they like: said at most once in QUOTA_USEC. */
struct quota {
	uint64_t next_usec;
	uint64_t n; /* since it was last said */
};

struct connection {
	int fd;		     /* -1: free */
	uint64_t id;	     /* never used again */
	struct ttrpc *ttrpc; /* NULL: a pipe whose host has not said hello */
	bool is_pipe;
	bool is_hung_up; /* a pipe without a host: not to be polled */
	bool has_asked;	 /* a whole call, ever */
	uint64_t heard_usec;
	struct pipe_scan scan;
	uint8_t hello[PIPE_HELLO_BYTES]; /* the rest of our answer */
	size_t n_hello;
};

struct waiting {
	bool is_used;
	uint64_t age;	     /* greater: asked later */
	uint64_t connection; /* id */
	uint32_t stream;
	uint64_t until_usec;
	uint64_t forgotten_usec; /* from then on its client has no use for it; CLOCK_NEVER */
	struct calls_waiting call;
};

struct serve {
	struct serve_config config;
	int signal_fd;
	unsigned n_listeners;
	struct listener listeners[SERVE_LISTEN_MAX];
	struct connection connections[SERVE_CONNECTIONS_MAX];
	struct waiting waiting[SERVE_WAITING_MAX];
	uint64_t last_id;
	uint64_t last_age;
	struct quota refused, displaced;
};

/* Return: how often it was, this time included; 0: not now. */
static uint64_t quota_take(struct quota *q)
{
	uint64_t now = clock_now_usec(), n = ++q->n;

	if (now < q->next_usec)
		return 0;
	*q = (struct quota){ .next_usec = now + QUOTA_USEC };
	return n;
}

/* ---- signals ---- */

static int open_signals(struct serve *s)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGUSR2);
	(void)sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_raise(-errno, "block signals");
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signal_fd < 0 ? err_raise(-errno, "open signals") : 0;
}

/* Return: 0; a signal that ends us. */
static int take_signals(struct serve *s)
{
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo != SIGCHLD)
			return (int)info.ssi_signo;
		init_reap();
	}
	return 0;
}

/* ---- life ---- */

int serve_new(struct serve **ret, const struct serve_config *config)
{
	CLEANUP(serve_freep) struct serve *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_raise(-ENOMEM, "make the server");
	s->config = *config;
	s->signal_fd = -1;
	for (unsigned i = 0; i < SERVE_CONNECTIONS_MAX; i++)
		s->connections[i].fd = -1;
	r = open_signals(s);
	if (r < 0)
		return err_pass(r);
	*ret = TAKE_PTR(s);
	return 0;
}

static void forget_waiting(struct serve *s, uint64_t connection)
{
	for (unsigned i = 0; i < SERVE_WAITING_MAX; i++) {
		struct waiting *w = &s->waiting[i];

		if (!w->is_used || w->connection != connection)
			continue;
		agent_network_done(&w->call.request);
		*w = (struct waiting){ 0 };
	}
}

static void close_connection(struct serve *s, struct connection *c)
{
	forget_waiting(s, c->id);
	(void)ttrpc_free(c->ttrpc);
	(void)cleanup_close_fd(c->fd);
	*c = (struct connection){ .fd = -1 };
}

/* While the socket is open its inode's number is nobody else's. */
static void close_listener(struct listener *l)
{
	struct stat st;

	if (l->url.kind == URL_UNIX && lstat(l->url.path, &st) == 0 && st.st_dev == l->dev &&
	    st.st_ino == l->ino)
		(void)unlink(l->url.path);
	(void)cleanup_close_fd(l->fd);
}

struct serve *serve_free(struct serve *s)
{
	if (!s)
		return NULL;
	for (unsigned i = 0; i < SERVE_CONNECTIONS_MAX; i++)
		if (s->connections[i].fd >= 0)
			close_connection(s, &s->connections[i]);
	for (unsigned i = 0; i < s->n_listeners; i++)
		close_listener(&s->listeners[i]);
	(void)cleanup_close_fd(s->signal_fd);
	free(s);
	return NULL;
}

static struct connection *free_connection(struct serve *s)
{
	for (unsigned i = 0; i < SERVE_CONNECTIONS_MAX; i++)
		if (s->connections[i].fd < 0)
			return &s->connections[i];
	return NULL;
}

static struct connection *find_connection(struct serve *s, uint64_t id)
{
	for (unsigned i = 0; i < SERVE_CONNECTIONS_MAX; i++)
		if (s->connections[i].fd >= 0 && s->connections[i].id == id)
			return &s->connections[i];
	return NULL;
}

/* ---- listening ---- */

static bool is_listened_to(const struct sockaddr_un *address)
{
	CLEANUP(cleanup_close)
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* Only that tells that nobody does: who is busy says EAGAIN. */
	return fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
	       errno != ECONNREFUSED;
}

/* A socket that nobody listens on any more; anything else at that path is somebody's. */
static int remove_stale(const struct sockaddr_un *address)
{
	struct stat st;

	if (lstat(address->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return 0;
	if (is_listened_to(address))
		return err_raise(-EADDRINUSE, "listen at '%s', where somebody does already",
				 address->sun_path);
	(void)unlink(address->sun_path);
	return 0;
}

static int bind_unix(int fd, const char *path, struct listener *l)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat st;
	mode_t mask;
	int r;

	if (strlen(path) >= sizeof(address.sun_path))
		return err_raise(-ENAMETOOLONG, "listen at '%s'", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	r = remove_stale(&address);
	if (r < 0)
		return err_pass(r);
	mask = umask(0177);
	r = bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	(void)umask(mask);
	if (r >= 0 && lstat(path, &st) < 0)
		r = -errno;
	if (r < 0)
		return err_raise(r, "listen at '%s'", path);
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	return 0;
}

static int bind_vsock(int fd, const struct url *url)
{
	struct sockaddr_vm address = {
		.svm_family = AF_VSOCK,
		.svm_port = url->port,
		.svm_cid = url->cid,
	};

	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return err_raise(-errno, "listen at vsock port %u", url->port);
	return 0;
}

static int listen_socket(struct serve *s, const struct url *url)
{
	CLEANUP(cleanup_close)
	int fd = socket(url->kind == URL_UNIX ? AF_UNIX : AF_VSOCK,
			SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct listener l = { .url = *url };
	int r;

	if (fd < 0)
		return err_raise(-errno, "make a socket");
	r = url->kind == URL_UNIX ? bind_unix(fd, url->path, &l) : bind_vsock(fd, url);
	if (r < 0)
		return err_pass(r);
	if (listen(fd, BACKLOG) < 0)
		return err_raise(-errno, "listen");
	l.fd = TAKE_FD(fd);
	s->listeners[s->n_listeners++] = l;
	return 0;
}

static int open_pipe(struct serve *s, const struct url *url)
{
	struct connection *c = free_connection(s);
	int fd = open(url->path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return err_raise(-errno, "open '%s'", url->path);
	*c = (struct connection){ .fd = fd, .id = ++s->last_id, .is_pipe = true };
	pipe_scan_init_guest(&c->scan);
	return 0;
}

int serve_listen(struct serve *s, const struct url *url)
{
	/* Pipes keep their place for ever: together they leave room for connections. */
	if (s->n_listeners == SERVE_LISTEN_MAX || s->last_id == SERVE_LISTEN_MAX)
		return err_raise(-ENOSPC, "listen at more than %u places", SERVE_LISTEN_MAX);
	return err_pass(url->kind == URL_PIPE ? open_pipe(s, url) : listen_socket(s, url));
}

/* ---- connections ---- */

union address {
	struct sockaddr any;
	struct sockaddr_vm vm;
	struct sockaddr_un un;
};

/*
 * By its own loopback a VM speaks to itself with one CID for both ends: VMADDR_CID_LOCAL, or that of
 * the VM. (IOCTL_VM_SOCKETS_GET_LOCAL_CID tells ours too, but needs /dev/vsock.)
 */
static bool is_from_inside(int fd, const struct sockaddr_vm *from)
{
	union address at = { 0 };
	socklen_t size = sizeof(at);

	if (from->svm_cid == VMADDR_CID_LOCAL)
		return true;
	return getsockname(fd, &at.any, &size) == 0 && at.vm.svm_cid == from->svm_cid;
}

/*
 * The host; of this VM not every user, but who may bind a reserved port. A sibling, or a VM inside
 * of this one, chooses its port itself: that says nothing.
 */
static bool is_allowed(const struct serve *s, int fd, const struct sockaddr_vm *from)
{
	if (from->svm_family != AF_VSOCK || from->svm_cid == VMADDR_CID_HOST)
		return true;
	return is_from_inside(fd, from) &&
	       (s->config.allow_local || from->svm_port < RESERVED_PORTS);
}

static void say_refused(struct serve *s, const struct sockaddr_vm *from)
{
	uint64_t n = quota_take(&s->refused);

	if (n > 0)
		log_warn("a connection from CID %u, port %u is refused (%" PRIu64
			 " since this was last said)",
			 from->svm_cid, from->svm_port, n);
}

static bool is_waited_for(const struct serve *s, const struct connection *c)
{
	for (unsigned i = 0; i < SERVE_WAITING_MAX; i++)
		if (s->waiting[i].is_used && s->waiting[i].connection == c->id)
			return true;
	return false;
}

/* Who never asked anything goes before who did. */
static bool is_idler(const struct connection *a, const struct connection *b)
{
	if (a->has_asked != b->has_asked)
		return !a->has_asked;
	return a->heard_usec < b->heard_usec;
}

/* NULL: all are pipes, or wait for a link. */
static struct connection *idlest_connection(struct serve *s)
{
	struct connection *idlest = NULL;

	for (unsigned i = 0; i < SERVE_CONNECTIONS_MAX; i++) {
		struct connection *c = &s->connections[i];

		if (c->fd < 0 || c->is_pipe || is_waited_for(s, c))
			continue;
		if (!idlest || is_idler(c, idlest))
			idlest = c;
	}
	return idlest;
}

/* Those who say nothing may not keep others out. */
static struct connection *make_room(struct serve *s)
{
	struct connection *c = free_connection(s);
	uint64_t n;

	if (c)
		return c;
	c = idlest_connection(s);
	if (!c)
		return NULL;
	n = quota_take(&s->displaced);
	if (n > 0)
		log_info("%u connections are open: the one that was quiet longest is closed for a "
			 "new one (%" PRIu64 " since this was last said)",
			 SERVE_CONNECTIONS_MAX, n);
	close_connection(s, c);
	return c;
}

static void accept_one(struct serve *s, const struct listener *l)
{
	union address from = { 0 };
	socklen_t size = sizeof(from);
	CLEANUP(cleanup_close)
	int fd = accept4(l->fd, &from.any, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct connection *c;

	if (fd < 0)
		return;
	if (!is_allowed(s, fd, &from.vm)) {
		say_refused(s, &from.vm);
		return;
	}
	c = make_room(s);
	if (!c)
		return;
	*c = (struct connection){
		.fd = -1,
		.id = ++s->last_id,
		.heard_usec = clock_now_usec(),
	};
	if (ttrpc_new(&c->ttrpc, TTRPC_SERVER) < 0) {
		log_error("%s", err_text());
		err_clear();
		return;
	}
	c->fd = TAKE_FD(fd);
}

/* A pipe stays open and waits for the next hello; what was asked before is not answered. */
static void drop_stream(struct serve *s, struct connection *c)
{
	forget_waiting(s, c->id);
	c->id = ++s->last_id;
	c->ttrpc = ttrpc_free(c->ttrpc);
	c->n_hello = 0;
}

static void give_up(struct serve *s, struct connection *c, const char *why)
{
	log_debug("a connection ends: %s", why);
	err_clear();
	if (c->is_pipe)
		drop_stream(s, c);
	else
		close_connection(s, c);
}

static void hang_up(struct serve *s, struct connection *c, const char *why)
{
	bool is_pipe = c->is_pipe;

	give_up(s, c, why);
	if (is_pipe) {
		pipe_scan_init_guest(&c->scan);
		c->is_hung_up = true;
	}
}

/* ---- calls ---- */

static void answer(struct serve *s, struct connection *c, uint32_t stream,
		   const struct calls_answer *a)
{
	int r;

	if (a->code == TTRPC_OK)
		r = ttrpc_answer(c->ttrpc, stream, a->payload);
	else
		r = ttrpc_fail(c->ttrpc, stream, a->code, a->message);
	if (r == -EMSGSIZE)
		err_clear(); /* the core has told it */
	else if (r < 0)
		give_up(s, c, err_text());
}

static struct waiting *free_waiting(struct serve *s)
{
	for (unsigned i = 0; i < SERVE_WAITING_MAX; i++)
		if (!s->waiting[i].is_used)
			return &s->waiting[i];
	return NULL;
}

static uint64_t after(uint64_t now, uint64_t usec)
{
	return usec < CLOCK_NEVER - now ? now + usec : CLOCK_NEVER;
}

/* False: there is no room, or no time. */
static bool wait_for_link(struct serve *s, const struct connection *c, const struct ttrpc_event *e,
			  const struct calls_waiting *call)
{
	struct waiting *w = free_waiting(s);
	uint64_t now = clock_now_usec();

	if (!w || s->config.hotplug_timeout_msec == 0)
		return false;
	*w = (struct waiting){
		.is_used = true,
		.age = ++s->last_age,
		.connection = c->id,
		.stream = e->stream,
		.until_usec = after(now, s->config.hotplug_timeout_msec * CLOCK_USEC_PER_MSEC),
		.forgotten_usec = e->timeout_nsec > 0 ? after(now, e->timeout_nsec / NSEC_PER_USEC)
						      : CLOCK_NEVER,
		.call = *call,
	};
	return true;
}

/* Taken out before it is answered: an answer may end its connection, and that forgets what waits. */
static void end_waiting(struct serve *s, struct waiting *at, const struct calls_answer *a)
{
	struct connection *c = find_connection(s, at->connection);
	uint32_t stream = at->stream;

	agent_network_done(&at->call.request);
	*at = (struct waiting){ 0 };
	if (c && c->ttrpc)
		answer(s, c, stream, a);
}

/* What was asked of a link before and is not done yet is not to be done after this. */
static void supersede(struct serve *s, const struct agent_interface *by)
{
	struct calls_answer a = { .code = TTRPC_ABORTED };
	char mac[IP_MAC_TEXT_BYTES];

	ip_format_mac(by->mac, mac);
	(void)snprintf(a.message, sizeof(a.message),
		       "update interface: a later call for %s has taken its place", mac);
	for (unsigned i = 0; i < SERVE_WAITING_MAX; i++) {
		struct waiting *w = &s->waiting[i];

		if (w->is_used &&
		    memcmp(w->call.request.interfaces->mac, by->mac, sizeof(by->mac)) == 0)
			end_waiting(s, w, &a);
	}
}

static bool is_any_waiting(const struct serve *s)
{
	for (unsigned i = 0; i < SERVE_WAITING_MAX; i++)
		if (s->waiting[i].is_used)
			return true;
	return false;
}

static void supersede_by_call(struct serve *s, const struct ttrpc_event *e)
{
	CLEANUP(agent_network_done) struct agent_network request = { 0 };
	enum agent_verb verb;

	if (!is_any_waiting(s) || agent_find(e->service, e->method, &verb) != 0 ||
	    (verb != AGENT_UPDATE_INTERFACE && verb != AGENT_REMOVE_INTERFACE))
		return;
	if (agent_decode_request(verb, e->payload, &request) < 0) {
		err_clear();
		return;
	}
	if (request.n_interfaces == 1 && request.interfaces->has_mac)
		supersede(s, request.interfaces);
}

static void handle(struct serve *s, struct connection *c, const struct ttrpc_event *e)
{
	CLEANUP(calls_answer_done) struct calls_answer a = { 0 };
	struct calls_waiting call;
	uint32_t stream = e->stream;
	uint64_t id = c->id;
	int r = calls_handle(s->config.calls, e->service, e->method, e->payload, &a, &call);

	c->has_asked = true;
	if (r == CALLS_WAIT || a.code == TTRPC_OK || a.code == TTRPC_INTERNAL)
		supersede_by_call(s, e);
	/* That may have ended our connection: it had not read the answers before. */
	if (r == CALLS_WAIT && c->id == id && wait_for_link(s, c, e, &call))
		return;
	if (r == CALLS_WAIT) {
		calls_expire(&call, &a);
		agent_network_done(&call.request);
	}
	if (c->id == id)
		answer(s, c, stream, &a);
}

static uint64_t over_usec(const struct waiting *w)
{
	return w->forgotten_usec < w->until_usec ? w->forgotten_usec : w->until_usec;
}

/* NULL: there is none that was asked after @age. */
static struct waiting *next_waiting(struct serve *s, uint64_t age)
{
	struct waiting *next = NULL;

	for (unsigned i = 0; i < SERVE_WAITING_MAX; i++) {
		struct waiting *w = &s->waiting[i];

		if (w->is_used && w->age > age && (!next || w->age < next->age))
			next = w;
	}
	return next;
}

/* Those whose link may have come, and those whose time is over, in the order they were asked. */
static void look_at_waiting(struct serve *s, bool links_changed)
{
	uint64_t now = clock_now_usec(), age = 0;
	struct waiting *w;

	while ((w = next_waiting(s, age))) {
		CLEANUP(calls_answer_done) struct calls_answer a = { 0 };
		bool is_forgotten = now >= w->forgotten_usec;
		bool is_over = now >= over_usec(w);
		int r = CALLS_WAIT;

		age = w->age;
		if (!links_changed && !is_over)
			continue;
		/* What its client has given up may not be done behind what it asked since. */
		if (!is_forgotten)
			r = calls_retry(s->config.calls, &w->call, &a);
		if (r == CALLS_WAIT && !is_over)
			continue;
		if (r == CALLS_WAIT)
			calls_expire(&w->call, &a);
		end_waiting(s, w, &a);
	}
}

/* ---- bytes ---- */

/* Return: 0; -EAGAIN: it takes no more now; -errno. Raises nothing. */
static int write_some(int fd, const void *data, size_t size, size_t *ret)
{
	ssize_t n;

	do
		n = write(fd, data, size);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : -EAGAIN;
	*ret = (size_t)n;
	return 0;
}

static int write_hello(struct connection *c)
{
	size_t done = 0;
	int r = c->n_hello ? write_some(c->fd, c->hello, c->n_hello, &done) : 0;

	if (r < 0)
		return r;
	c->n_hello -= done;
	memmove(c->hello, c->hello + done, c->n_hello);
	return c->n_hello > 0 ? -EAGAIN : 0;
}

static int write_out(struct connection *c)
{
	int r = write_hello(c);

	while (r == 0 && c->ttrpc) {
		size_t size, done = 0;
		const void *data = ttrpc_output(c->ttrpc, &size);

		if (size == 0)
			return 0;
		r = write_some(c->fd, data, size, &done);
		if (r == 0)
			ttrpc_output_done(c->ttrpc, done);
	}
	return r == -EAGAIN ? 0 : r;
}

static bool is_full(const struct connection *c)
{
	size_t size = 0;

	if (c->ttrpc)
		(void)ttrpc_output(c->ttrpc, &size);
	return size > SERVE_OUTPUT_MAX;
}

static bool has_output(const struct connection *c)
{
	size_t size = 0;

	if (c->ttrpc)
		(void)ttrpc_output(c->ttrpc, &size);
	return size > 0 || c->n_hello > 0;
}

/* All calls that are there, for as long as their answers are taken. */
static void run_calls(struct serve *s, struct connection *c)
{
	uint64_t id = c->id;

	while (c->fd >= 0 && c->id == id && c->ttrpc) {
		struct ttrpc_event e;
		int r = write_out(c);

		if (r < 0) {
			hang_up(s, c, strerror(-r));
			return;
		}
		if (is_full(c))
			return;
		r = ttrpc_next(c->ttrpc, &e);
		if (r < 0)
			give_up(s, c, err_text());
		else if (r == 0)
			return;
		else
			handle(s, c, &e);
	}
}

static void feed(struct serve *s, struct connection *c, const uint8_t *data, size_t size)
{
	uint64_t id = c->id;

	while (size > 0 && c->fd >= 0 && c->id == id && c->ttrpc) {
		size_t room;
		void *to = ttrpc_input(c->ttrpc, &room);
		size_t n = size < room ? size : room;

		if (!to) {
			give_up(s, c, "out of memory");
			return;
		}
		memcpy(to, data, n);
		ttrpc_input_done(c->ttrpc, n);
		data += n;
		size -= n;
		run_calls(s, c);
	}
}

static void begin_stream(struct serve *s, struct connection *c, const struct pipe_hello *hello)
{
	struct pipe_hello reply;

	drop_stream(s, c);
	if (ttrpc_new(&c->ttrpc, TTRPC_SERVER) < 0) {
		log_error("%s", err_text());
		err_clear();
		return;
	}
	pipe_hello_answer(hello, &reply);
	memcpy(c->hello, reply.bytes, sizeof(c->hello));
	c->n_hello = sizeof(c->hello);
}

/* What stands before a hello belongs to a stream that nobody waits for any more. */
static void feed_pipe(struct serve *s, struct connection *c, const uint8_t *data, size_t size)
{
	struct pipe_hello hello;
	size_t used;

	while (pipe_scan_feed(&c->scan, data, size, &used, &hello)) {
		begin_stream(s, c, &hello);
		data += used;
		size -= used;
	}
	feed(s, c, data, size);
}

static void read_pipe(struct serve *s, struct connection *c)
{
	uint8_t data[READ_BYTES];
	ssize_t n = read(c->fd, data, sizeof(data));

	if (n > 0) {
		c->is_hung_up = false;
		feed_pipe(s, c, data, (size_t)n);
		run_calls(s, c);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		hang_up(s, c, "the host is gone");
	} else {
		c->is_hung_up = false;
	}
}

static void read_socket(struct serve *s, struct connection *c)
{
	size_t room;
	void *to = ttrpc_input(c->ttrpc, &room);
	ssize_t n = to ? read(c->fd, to, room) : -1;

	if (!to) {
		give_up(s, c, "out of memory");
	} else if (n > 0) {
		ttrpc_input_done(c->ttrpc, (size_t)n);
		c->heard_usec = clock_now_usec();
		run_calls(s, c);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		give_up(s, c, n == 0 ? "the peer has closed it" : strerror(errno));
	}
}

static void serve_connection(struct serve *s, struct connection *c, short events)
{
	if (events & POLLOUT)
		run_calls(s, c);
	if (c->fd < 0)
		return;
	if (c->is_pipe && (events & POLLHUP) && !(events & POLLIN)) {
		hang_up(s, c, "the host is gone");
		return;
	}
	if (!(events & (POLLIN | POLLHUP | POLLERR)))
		return;
	if (c->is_pipe)
		read_pipe(s, c);
	else
		read_socket(s, c);
}

/* ---- the loop ---- */

enum { POLL_SIGNALS, POLL_LINKS, POLL_LISTENERS };
#define POLLS_MAX (POLL_LISTENERS + SERVE_LISTEN_MAX + SERVE_CONNECTIONS_MAX)

static short events_of(const struct connection *c)
{
	/* Who does not read is not read from. */
	if (is_full(c))
		return POLLOUT;
	return has_output(c) ? POLLIN | POLLOUT : POLLIN;
}

static unsigned prepare(struct serve *s, struct pollfd polls[POLLS_MAX])
{
	bool has_room = free_connection(s) || idlest_connection(s);
	unsigned n = POLL_LISTENERS;

	polls[POLL_SIGNALS] = (struct pollfd){ .fd = s->signal_fd, .events = POLLIN };
	polls[POLL_LINKS] = (struct pollfd){ .fd = netlink_event_fd(s->config.calls->netlink),
					     .events = POLLIN };
	/* A negative number is passed over by poll(). */
	for (unsigned i = 0; i < s->n_listeners; i++)
		polls[n++] = (struct pollfd){ .fd = has_room ? s->listeners[i].fd : -1,
					      .events = POLLIN };
	for (unsigned i = 0; i < SERVE_CONNECTIONS_MAX; i++) {
		const struct connection *c = &s->connections[i];

		polls[n++] =
			(struct pollfd){ .fd = c->is_hung_up ? -1 : c->fd, .events = events_of(c) };
	}
	return n;
}

static int timeout_msec(const struct serve *s)
{
	uint64_t now = clock_now_usec(), until = CLOCK_NEVER;

	for (unsigned i = 0; i < SERVE_WAITING_MAX; i++)
		if (s->waiting[i].is_used && over_usec(&s->waiting[i]) < until)
			until = over_usec(&s->waiting[i]);
	for (unsigned i = 0; i < SERVE_CONNECTIONS_MAX; i++) {
		uint64_t next = now + SERVE_PIPE_MSEC * CLOCK_USEC_PER_MSEC;

		if (s->connections[i].is_hung_up && next < until)
			until = next;
	}
	if (until == CLOCK_NEVER)
		return -1;
	return until <= now ? 0 : (int)((until - now) / CLOCK_USEC_PER_MSEC) + 1;
}

static void serve_all(struct serve *s, const struct pollfd *polls)
{
	const struct pollfd *of_connections = &polls[POLL_LISTENERS + s->n_listeners];
	bool links_changed =
		polls[POLL_LINKS].revents && netlink_take_events(s->config.calls->netlink);

	look_at_waiting(s, links_changed);
	for (unsigned i = 0; i < SERVE_CONNECTIONS_MAX; i++) {
		struct connection *c = &s->connections[i];

		/* One that was closed meanwhile has another number, or none. */
		if (c->fd >= 0 && c->is_hung_up)
			read_pipe(s, c);
		else if (c->fd >= 0 && of_connections[i].revents && of_connections[i].fd == c->fd)
			serve_connection(s, c, of_connections[i].revents);
	}
	for (unsigned i = 0; i < s->n_listeners; i++)
		if (polls[POLL_LISTENERS + i].revents)
			accept_one(s, &s->listeners[i]);
}

int serve_run(struct serve *s)
{
	struct pollfd polls[POLLS_MAX];
	int ended = 0;

	while (ended == 0) {
		unsigned n = prepare(s, polls);
		int r = poll(polls, n, timeout_msec(s));

		if (r < 0 && errno != EINTR)
			return err_raise(-errno, "poll");
		if (r < 0)
			continue;
		if (polls[POLL_SIGNALS].revents)
			ended = take_signals(s);
		if (ended == 0)
			serve_all(s, polls);
	}
	return ended;
}
