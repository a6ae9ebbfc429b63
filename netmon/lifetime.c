/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a sandbox ends, see lifetime.h.
 *
 * How it works: events are hints here too. Whatever inotify says (a name that concerns us, or that
 * its queue ran over), all directories and documents are looked at anew: first the watches, then
 * what is there, so that nothing falls between. What is found is noted in the struct and told to
 * the owner as the last thing that a handler does.
 *
 * Of a directory that is not there the nearest ancestor that is gets watched; when a name on the
 * way to it appears, the next look moves the watch down. Of one that is there its parent is watched
 * too: the kernel tells a directory of its own end only when its last user has closed it, its
 * parent at once.
 */
#include "netmon/lifetime.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/io.h"
#include "base/text.h"
#include "netmon/document.h"

#define LIFETIME_DEPTH_MAX    32 /* of JSON; persist.json has about 8 levels */
#define LIFETIME_WATCHES_MAX  32
#define LIFETIME_LINKS_MAX    4 /* symbolic links from --netns PATH on that are followed */
#define LIFETIME_RETRIES_MAX  8 /* of a watch, while directories on its path come into being */
#define LIFETIME_WHAT_BYTES   512
#define LIFETIME_EVENTS_BYTES 4096 /* of struct inotify_event; one takes at most 272 */

#define LIFETIME_EVENTS                                                                          \
	(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_CLOSE_WRITE | IN_DELETE_SELF | \
	 IN_MOVE_SELF | IN_ONLYDIR)

struct document_row {
	const char *name, *object, *pid;
};

static const struct document_row documents[] = {
	/* Source: kata-containers virtcontainers/persist/api/hypervisor.go, type HypervisorState */
	[LIFETIME_PERSIST_JSON] = { "persist.json", "HypervisorState", "Pid" },
	/* Source: kata-containers runtime-rs crates/hypervisor/src/hypervisor_persist.rs */
	[LIFETIME_STATE_JSON] = { "state.json", "hypervisor", "pid" },
};
_Static_assert(sizeof(documents) / sizeof(documents[0]) == _LIFETIME_DOCUMENT_MAX,
	       "one row a document");

static const char *const default_parents[] = { "/run/vc/sbs", "/run/kata", NULL };

/* A process whose end is the sandbox's. */
struct process {
	struct lifetime *owner;
	bool is_vm;
	struct process_id id;
	int pidfd;
	sd_event_source *source;
};

/* A file or directory as it was when it was first seen: another one of that name is another one. */
struct identity {
	dev_t dev;
	ino_t ino;
};

struct directory {
	char *path;
	bool is_seen;
	struct identity id;
};

struct watch {
	int wd;
	unsigned round; /* the last look that wanted it */
};

struct lifetime {
	sd_event *event;
	void (*ended)(void *userdata, const char *what);
	void (*vm_known)(void *userdata, const struct process_id *vm);
	void *userdata;

	int inotify_fd;
	sd_event_source *inotify_source;
	sd_event_source *first_source; /* tells of an end that was there at the start */
	struct watch watches[LIFETIME_WATCHES_MAX];
	size_t n_watches;
	unsigned round;
	int watch_error; /* of this look; old watches are kept then */

	struct directory directories[LIFETIME_PARENTS_MAX];
	size_t n_directories;
	char *netns_path; /* NULL: there is none, or its process stands for it */
	struct identity netns_id;
	bool netns_is_link; /* or leads through one */

	struct process processes[LIFETIME_PROCESSES_MAX];
	size_t n_processes;
	const struct process *vm; /* one of them */
	bool reads_documents;

	/* what is to be told */
	bool vm_is_new;
	bool is_ended;
	bool is_told;
	char what[LIFETIME_WHAT_BYTES];
};

/* ---- paths ---- */

/* Length of @path's directory part, without the slash but for "/" itself; 0 if it has none */
static size_t parent_size(const char *path, size_t size)
{
	while (size > 0 && path[size - 1] != '/')
		size--;
	while (size > 1 && path[size - 1] == '/')
		size--;
	return size;
}

static bool copy_path(char ret[PATH_MAX], const char *path, size_t size)
{
	if (size == 0 || size >= PATH_MAX)
		return false;
	memcpy(ret, path, size);
	ret[size] = '\0';
	return true;
}

/* Is @name one of the components of @path? */
static bool has_component(const char *path, const char *name)
{
	size_t size = strlen(name);

	for (const char *p = path; *p != '\0';) {
		size_t component = strcspn(p, "/");

		if (component == size && memcmp(p, name, size) == 0)
			return true;
		p += component;
		p += strspn(p, "/");
	}
	return false;
}

/* "/proc/123/ns/net" -> 123; 0 for anything else */
static pid_t pid_of_path(const char *path)
{
	static const char proc[] = "/proc/";
	char digits[16];
	uint32_t pid;
	size_t size;

	if (strncmp(path, proc, strlen(proc)) != 0)
		return 0;
	path += strlen(proc);
	size = strcspn(path, "/");
	if (path[size] != '/' || size >= sizeof(digits))
		return 0;
	memcpy(digits, path, size);
	digits[size] = '\0';
	if (text_parse_u32(digits, PROCESS_ID_PID_MAX, &pid) < 0) {
		err_clear();
		return 0;
	}
	return (pid_t)pid;
}

static struct identity identity_of(const struct stat *st)
{
	return (struct identity){ .dev = st->st_dev, .ino = st->st_ino };
}

static bool is_identical(struct identity a, struct identity b)
{
	return a.dev == b.dev && a.ino == b.ino;
}

/* "Not there" in all its ways; what else stat() can say means nothing. */
static bool is_absence(int error)
{
	return error == ENOENT || error == ENOTDIR || error == ELOOP;
}

/* ---- what is to be told ---- */

__attribute__((__format__(__printf__, 2, 3))) static void note_end(struct lifetime *l,
								   const char *fmt, ...)
{
	va_list ap;

	if (l->is_ended)
		return;
	l->is_ended = true;
	va_start(ap, fmt);
	(void)vsnprintf(l->what, sizeof(l->what), fmt, ap);
	va_end(ap);
}

/* The last act of a handler: after it @l may be gone. */
static void tell(struct lifetime *l)
{
	char what[LIFETIME_WHAT_BYTES];

	if (l->is_told)
		return;
	if (l->is_ended) {
		l->is_told = true;
		memcpy(what, l->what, sizeof(what));
		l->ended(l->userdata, what);
		return;
	}
	if (l->vm_is_new) {
		struct process_id vm = l->vm->id;

		l->vm_is_new = false;
		l->vm_known(l->userdata, &vm);
	}
}

/* ---- processes ---- */

static int on_process_end(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	const struct process *p = userdata;

	(void)source;
	(void)fd;
	(void)events;
	note_end(p->owner, "%s %d ended", p->is_vm ? "VMM" : "process", p->id.pid);
	tell(p->owner);
	return 0;
}

static void process_done(struct process *p)
{
	p->source = sd_event_source_disable_unref(p->source);
	p->pidfd = cleanup_close_fd(p->pidfd);
}

/* Return: 0; -ESRCH; -EMFILE, -ENOMEM...: @l is as it was */
static int add_process(struct lifetime *l, pid_t pid, bool is_vm)
{
	struct process *p = &l->processes[l->n_processes];
	int r;

	*p = (struct process){ .owner = l, .is_vm = is_vm, .pidfd = -1 };
	r = process_id_open(pid, &p->id, &p->pidfd);
	if (r < 0)
		return err_pass(r);
	r = sd_event_add_io(l->event, &p->source, p->pidfd, EPOLLIN, on_process_end, p);
	if (r >= 0) /* a pidfd stays readable */
		r = sd_event_source_set_enabled(p->source, SD_EVENT_ONESHOT);
	if (r < 0) {
		process_done(p);
		return err_raise(r, "watch process %d", pid);
	}
	(void)sd_event_source_set_description(p->source, "lifetime-process");
	l->n_processes++;
	if (is_vm)
		l->vm = p;
	return 0;
}

static bool is_known_vm(const struct lifetime *l, pid_t pid)
{
	for (size_t i = 0; i < l->n_processes; i++) {
		const struct process *p = &l->processes[i];

		if (p->is_vm && p->id.pid == pid && process_id_is_alive(&p->id))
			return true;
	}
	return false;
}

/*
 * The VMM that a document names. One that is dead was never the sandbox's as far as we can know:
 * wait for the next word.
 */
static void believe_vm(struct lifetime *l, pid_t pid)
{
	if (l->n_processes == LIFETIME_PROCESSES_MAX || is_known_vm(l, pid))
		return;
	if (add_process(l, pid, true) < 0)
		err_clear();
	else
		l->vm_is_new = true;
}

/* ---- documents ---- */

int lifetime_parse(enum lifetime_document document, const char *data, size_t size, pid_t *ret)
{
	CLEANUP(json_tokener_freep)
	struct json_tokener *t = document_tokener_new(LIFETIME_DEPTH_MAX);
	CLEANUP(document_put) struct json_object *o = NULL;
	struct json_object *vmm = NULL;
	uint64_t pid;
	int r;

	if (!t)
		return err_raise(-ENOMEM, "read %s", documents[document].name);
	if (size > LIFETIME_DOCUMENT_MAX)
		return err_raise(-EBADMSG, "read %s of %zu bytes", documents[document].name, size);
	r = document_parse(t, data, size, &o);
	if (r < 0)
		return err_pass(r);
	vmm = json_object_object_get(o, documents[document].object);
	if (!json_object_is_type(vmm, json_type_object))
		return err_raise(-EBADMSG, "read %s: no VMM", documents[document].name);
	r = document_get_u64(json_object_object_get(vmm, documents[document].pid),
			     PROCESS_ID_PID_MAX, &pid);
	if (r < 0 || pid <= 1) /* 0: not started; 1 is nobody's VMM */
		return err_raise(-EBADMSG, "read %s: no pid", documents[document].name);
	*ret = (pid_t)pid;
	return 0;
}

static int read_document(int dirfd, enum lifetime_document document, pid_t *ret)
{
	CLEANUP(cleanup_close)
	int fd = io_openat(dirfd, documents[document].name, O_RDONLY | O_NONBLOCK, 0);
	CLEANUP(cleanup_free) char *data = NULL;
	struct stat st;
	size_t size;
	int r;

	if (fd < 0)
		return err_pass(fd);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return err_raise(-EBADMSG, "read %s: no file", documents[document].name);
	r = io_read_all(fd, LIFETIME_DOCUMENT_MAX, &data, &size);
	if (r < 0)
		return err_pass(r);
	return err_pass(lifetime_parse(document, data, size, ret));
}

/* Missing, half written, wrong: nothing is known yet, and the next event on it says look again. */
static void read_documents(struct lifetime *l, const char *path)
{
	CLEANUP(cleanup_close) int dirfd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dirfd < 0)
		return;
	for (enum lifetime_document d = 0; d < _LIFETIME_DOCUMENT_MAX; d++) {
		pid_t pid;

		if (read_document(dirfd, d, &pid) == 0)
			believe_vm(l, pid);
		else
			err_clear();
	}
}

/* ---- watches ---- */

static void keep_watch(struct lifetime *l, int wd)
{
	for (size_t i = 0; i < l->n_watches; i++) {
		if (l->watches[i].wd == wd) {
			l->watches[i].round = l->round;
			return;
		}
	}
	if (l->n_watches < LIFETIME_WATCHES_MAX)
		l->watches[l->n_watches++] = (struct watch){ .wd = wd, .round = l->round };
}

/* Return: whether that directory is there and watched */
static bool watch_directory(struct lifetime *l, const char *path)
{
	int wd = inotify_add_watch(l->inotify_fd, path, LIFETIME_EVENTS);

	if (wd >= 0) {
		keep_watch(l, wd);
		return true;
	}
	if (!is_absence(errno) && errno != EACCES)
		l->watch_error = -errno;
	return false;
}

/*
 * Return: length of the ancestor of @path that is watched now, its whole length if it is @path
 * itself; 0: none
 */
static size_t watch_nearest(struct lifetime *l, const char *path)
{
	char prefix[PATH_MAX];
	size_t size = strlen(path);

	while (copy_path(prefix, path, size)) {
		size_t up;

		if (watch_directory(l, prefix))
			return size;
		up = parent_size(path, size);
		if (up == size)
			break;
		size = up;
	}
	return 0;
}

/* Is there something at the first component of @path below its first @size bytes? */
static bool has_grown(const char *path, size_t size)
{
	char prefix[PATH_MAX];
	struct stat st;
	size_t next = size;

	next += strspn(path + next, "/");
	next += strcspn(path + next, "/");
	return copy_path(prefix, path, next) && stat(prefix, &st) == 0 && S_ISDIR(st.st_mode);
}

/*
 * Watches @path, or its nearest ancestor as long as that is the nearest. Return: whether it is
 * @path itself
 */
static bool watch_path(struct lifetime *l, const char *path)
{
	for (unsigned i = 0; i < LIFETIME_RETRIES_MAX; i++) {
		size_t size = watch_nearest(l, path);

		if (path[size] == '\0')
			return true;
		if (!has_grown(path, size)) /* what comes after this look is announced */
			return false;
	}
	return false;
}

static bool watch_parent(struct lifetime *l, const char *path)
{
	char parent[PATH_MAX];

	return copy_path(parent, path, parent_size(path, strlen(path))) && watch_path(l, parent);
}

static void drop_unwanted_watches(struct lifetime *l)
{
	size_t kept = 0;

	if (l->watch_error < 0)
		return;
	for (size_t i = 0; i < l->n_watches; i++) {
		if (l->watches[i].round == l->round)
			l->watches[kept++] = l->watches[i];
		else /* fails when its directory is gone, and the watch with it */
			(void)inotify_rm_watch(l->inotify_fd, l->watches[i].wd);
	}
	l->n_watches = kept;
}

/* ---- looking ---- */

static void look_at_directory(struct lifetime *l, struct directory *d)
{
	bool parent_is_there = watch_parent(l, d->path);
	struct stat st;

	if (parent_is_there)
		(void)watch_directory(l, d->path);
	if (stat(d->path, &st) < 0) {
		if (d->is_seen && is_absence(errno))
			note_end(l, "sandbox directory %s is gone", d->path);
		return;
	}
	if (!S_ISDIR(st.st_mode))
		return;
	if (d->is_seen && !is_identical(d->id, identity_of(&st))) {
		note_end(l, "sandbox directory %s is another one", d->path);
		return;
	}
	d->is_seen = true;
	d->id = identity_of(&st);
	if (l->reads_documents)
		read_documents(l, d->path);
}

/* Writes where the link @path leads. Return: false: it is no link */
static bool follow_link(const char *path, char ret[PATH_MAX])
{
	size_t directory = parent_size(path, strlen(path));
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	int size;

	if (n <= 0)
		return false;
	target[n] = '\0';
	if (target[0] == '/')
		return copy_path(ret, target, (size_t)n);
	size = snprintf(ret, PATH_MAX, "%.*s/%s", (int)directory, path, target);
	return size > 0 && size < PATH_MAX;
}

static void look_at_netns(struct lifetime *l)
{
	char path[PATH_MAX], target[PATH_MAX];
	struct stat st;

	if (!l->netns_path || !copy_path(path, l->netns_path, strlen(l->netns_path)))
		return;
	(void)watch_parent(l, path);
	for (unsigned i = 0; i < LIFETIME_LINKS_MAX && follow_link(path, target); i++) {
		memcpy(path, target, sizeof(path));
		(void)watch_parent(l, path);
		l->netns_is_link = true;
	}
	if (stat(l->netns_path, &st) < 0) {
		if (is_absence(errno))
			note_end(l, "network namespace %s is gone", l->netns_path);
		return;
	}
	if (!is_identical(l->netns_id, identity_of(&st)))
		note_end(l, "%s is another network namespace", l->netns_path);
}

static void look(struct lifetime *l)
{
	l->round++;
	l->watch_error = 0;
	for (size_t i = 0; i < l->n_directories; i++)
		look_at_directory(l, &l->directories[i]);
	look_at_netns(l);
	drop_unwanted_watches(l);
}

/* ---- events ---- */

static bool is_document(const char *name)
{
	for (enum lifetime_document d = 0; d < _LIFETIME_DOCUMENT_MAX; d++)
		if (strcmp(name, documents[d].name) == 0)
			return true;
	return false;
}

/* Others come and go in the parents too: other sandboxes, other namespaces. */
static bool concerns_us(const struct lifetime *l, const struct inotify_event *e)
{
	if (e->mask & IN_IGNORED) /* a watch is gone: what took it has been told, or we did */
		return false;
	if (e->len == 0) /* a watched directory itself, or an overflow */
		return true;
	if (is_document(e->name))
		return true;
	for (size_t i = 0; i < l->n_directories; i++)
		if (has_component(l->directories[i].path, e->name))
			return true;
	/* a link may lead to any name */
	return l->netns_path && (l->netns_is_link || has_component(l->netns_path, e->name));
}

static int on_inotify(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	_Alignas(struct inotify_event) char events[LIFETIME_EVENTS_BYTES];
	struct lifetime *l = userdata;
	bool is_relevant = false;
	ssize_t n = read(fd, events, sizeof(events));

	(void)source;
	(void)revents;
	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *e = (const void *)(events + at);

		is_relevant = is_relevant || concerns_us(l, e);
		at += (ssize_t)(sizeof(*e) + e->len);
	}
	if (is_relevant && !l->is_ended) {
		look(l);
		tell(l);
	}
	return 0;
}

static int on_first_round(sd_event_source *source, void *userdata)
{
	(void)source;
	tell(userdata);
	return 0;
}

/* ---- making ---- */

static int start_inotify(struct lifetime *l)
{
	int r;

	l->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (l->inotify_fd < 0)
		return err_raise(-errno, "watch the sandbox");
	r = sd_event_add_io(l->event, &l->inotify_source, l->inotify_fd, EPOLLIN, on_inotify, l);
	if (r < 0)
		return err_raise(r, "watch the sandbox");
	(void)sd_event_source_set_description(l->inotify_source, "lifetime-inotify");
	return 0;
}

static int add_directories(struct lifetime *l, const struct lifetime_config *c)
{
	const char *const *parents = c->sandbox_parents ? c->sandbox_parents : default_parents;

	if (!c->sandbox_id)
		return 0;
	for (; *parents && l->n_directories < LIFETIME_PARENTS_MAX; parents++) {
		char *path;

		if (asprintf(&path, "%s/%s", *parents, c->sandbox_id) < 0)
			return err_raise(-ENOMEM, "watch the sandbox");
		l->directories[l->n_directories++] = (struct directory){ .path = path };
	}
	return 0;
}

/*
 * The process whose namespace @path stands for, also through links as the engines make them; 0:
 * none
 */
static pid_t pid_behind(const char *path)
{
	char at[PATH_MAX], target[PATH_MAX];
	pid_t pid;

	if (!copy_path(at, path, strlen(path)))
		return 0;
	pid = pid_of_path(at);
	for (unsigned i = 0; i < LIFETIME_LINKS_MAX && pid == 0 && follow_link(at, target); i++) {
		memcpy(at, target, sizeof(at));
		pid = pid_of_path(at);
	}
	return pid;
}

static char *absolute_path(const char *path)
{
	CLEANUP(cleanup_free) char *cwd = path[0] == '/' ? strdup("") : getcwd(NULL, 0);
	char *absolute;

	if (!cwd || asprintf(&absolute, "%s%s%s", cwd, path[0] == '/' ? "" : "/", path) < 0)
		return NULL;
	return absolute;
}

/* There are no events below /proc: the process stands for the path. */
static int add_netns_path(struct lifetime *l, const struct lifetime_config *c)
{
	pid_t pid = pid_behind(c->netns_path);
	struct stat st;
	int r;

	if (pid == 0) {
		if (fstat(c->netns_fd, &st) < 0)
			return err_raise(-errno, "watch %s", c->netns_path);
		l->netns_id = identity_of(&st);
		l->netns_path = absolute_path(c->netns_path);
		return l->netns_path ? 0 : err_raise(-ENOMEM, "watch the sandbox");
	}
	r = add_process(l, pid, false);
	if (r == -ESRCH) {
		err_clear();
		note_end(l, "process %d ended", pid);
		return 0;
	}
	return err_pass(r);
}

static int add_processes(struct lifetime *l, const struct lifetime_config *c)
{
	int r = 0;

	if (c->netns_pid != 0)
		r = add_process(l, c->netns_pid, false);
	if (r < 0)
		return err_pass(r);
	if (c->vm_pid == 0)
		return 0;
	return err_pass(add_process(l, c->vm_pid, true));
}

static int begin(struct lifetime *l, const struct lifetime_config *c)
{
	int r = start_inotify(l);

	if (r >= 0)
		r = add_processes(l, c);
	if (r >= 0)
		r = add_directories(l, c);
	if (r >= 0 && c->netns_path)
		r = add_netns_path(l, c);
	if (r < 0)
		return err_pass(r);
	look(l);
	if (l->watch_error < 0)
		return err_raise(l->watch_error, "watch the sandbox");
	l->vm_is_new = false;
	if (!l->is_ended)
		return 0;
	r = sd_event_add_defer(l->event, &l->first_source, on_first_round, l);
	return r < 0 ? err_raise(r, "watch the sandbox") : 0;
}

int lifetime_new(struct lifetime **ret, sd_event *event, const struct lifetime_config *config)
{
	CLEANUP(lifetime_freep) struct lifetime *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return err_raise(-ENOMEM, "watch the sandbox");
	l->event = sd_event_ref(event);
	l->ended = config->ended;
	l->vm_known = config->vm_known;
	l->userdata = config->userdata;
	l->inotify_fd = -1;
	l->reads_documents = config->vm_pid == 0;
	r = begin(l, config);
	if (r < 0)
		return err_pass(r);
	*ret = TAKE_PTR(l);
	return 0;
}

struct lifetime *lifetime_free(struct lifetime *l)
{
	if (!l)
		return NULL;
	for (size_t i = 0; i < l->n_processes; i++)
		process_done(&l->processes[i]);
	for (size_t i = 0; i < l->n_directories; i++)
		free(l->directories[i].path);
	sd_event_source_disable_unref(l->first_source);
	sd_event_source_disable_unref(l->inotify_source);
	cleanup_close_fd(l->inotify_fd);
	sd_event_unref(l->event);
	free(l->netns_path);
	free(l);
	return NULL;
}

struct process_id lifetime_vm(const struct lifetime *l)
{
	return l->vm ? l->vm->id : (struct process_id){ 0 };
}
