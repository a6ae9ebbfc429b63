/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line, see options.h.
 *
 * How it works. One table says all of each flag: its name, what it takes, what it is for, its
 * default, who reads its value and whom it concerns. First the words are taken as Go's flag package
 * takes them, values unseen (exit status 2 is its); then help, version, sandbox id and runtime, as
 * the original looks at them; then the values, given ones and defaults alike, go to their readers.
 * A default is a text of the table too, so that the list of flags can not say one thing and the
 * program do another.
 *
 * Source: Go's flag package (src/flag/flag.go: parseOne, failf, PrintDefaults);
 * kata-containers/runtime netmon/netmon.go, parseOptions().
 */
#include "netmon/options.h"

#include "base/error.h"
#include "base/text.h"
#include "agent-proto/url.h"

#include <limits.h>
#include <string.h>
#include <strings.h>

#define OPTIONS_PROGRAM "kata-netmon"

#define OPTIONS_STATUS_REFUSED 1 /* by the program */
#define OPTIONS_STATUS_USAGE   2 /* by the flag package */

#define OPTIONS_SHOWN_MAX   64	       /* bytes shown of a bad value */
#define OPTIONS_BUFFER_MIN  4096       /* bytes; above the kernel's own floor (SOCK_MIN_RCVBUF) */
#define OPTIONS_BUFFER_MAX  (1U << 30) /* bytes; the kernel doubles it and keeps it in an int */
#define OPTIONS_PID_MAX	    4194304    /* PID_MAX_LIMIT, linux/threads.h */
#define OPTIONS_STATE_BYTES (PATH_MAX - 200) /* room for what we put behind it: id, file names */

enum options_sink {
	OPTIONS_SINK_CLI,
	OPTIONS_SINK_AGENT,
	OPTIONS_SINK_RECORD,
	_OPTIONS_SINK_MAX,
};

static const char *const options_sinks[] = {
	[OPTIONS_SINK_CLI] = "cli",
	[OPTIONS_SINK_AGENT] = "agent",
	[OPTIONS_SINK_RECORD] = "record",
};
_Static_assert(sizeof(options_sinks) / sizeof(options_sinks[0]) == _OPTIONS_SINK_MAX,
	       "each sink has a name");

/*
 * logrus.ParseLevel(); its three levels of dying and erring are two to syslog, as in the original's
 * hook.
 */
static const struct {
	const char *word;
	int level;
} options_levels[] = {
	{ "panic", LOG_CRIT },	 { "fatal", LOG_CRIT },	     { "error", LOG_ERR },
	{ "warn", LOG_WARNING }, { "warning", LOG_WARNING }, { "info", LOG_INFO },
	{ "debug", LOG_DEBUG },	 { "trace", LOG_DEBUG },
};

struct options_flag {
	const char *name;
	const char *argument; /* NULL: a boolean */
	const char *help;
	const char *fallback; /* the default, read like a given value; NULL: none */
	/* Value to field; false: refused, the field may be touched. NULL for booleans. */
	bool (*read)(const struct options_flag *f, const char *value, void *field);
	const char *wanted; /* "'x' is not ..." */
	uint32_t min, max;  /* of a number, otherwise 0 */
	size_t field;	    /* offset in struct options_parser */
	/* mask of 1U << enum options_sink: the others would ignore it; 0: concerns all */
	unsigned sinks;
	bool is_list;  /* adds up, instead of the last one winning */
	bool not_once; /* --once would ignore it */
};

#define OPTIONS_FLAGS_MAX 32

struct options_parser {
	int argc;
	char *const *argv;
	int next; /* word */
	FILE *out;
	FILE *err;
	struct options o;
	bool is_help;
	bool is_version;
	/* last value of each row, not read yet; NULL: not given */
	const char *given[OPTIONS_FLAGS_MAX];
	int exit_status;
};

/* ---- readers ---- */

static bool options_read_number(const struct options_flag *f, const char *value, void *field)
{
	uint32_t number;

	if (text_parse_u32(value, f->max, &number) < 0 || number < f->min)
		return false;
	*(uint32_t *)field = number;
	return true;
}

static bool options_read_string(const struct options_flag *f, const char *value, void *field)
{
	(void)f;
	*(const char **)field = value;
	return true;
}

/* GHSA-fmg6-v47x-52wr: an empty pattern that matched. */
static bool options_read_word(const struct options_flag *f, const char *value, void *field)
{
	return *value != '\0' && options_read_string(f, value, field);
}

static bool options_read_path(const struct options_flag *f, const char *value, void *field)
{
	return strlen(value) < PATH_MAX && options_read_word(f, value, field);
}

static bool options_read_state_dir(const struct options_flag *f, const char *value, void *field)
{
	return *value == '/' && strlen(value) < OPTIONS_STATE_BYTES &&
	       options_read_string(f, value, field);
}

static bool options_read_sandbox_id(const struct options_flag *f, const char *value, void *field)
{
	return text_is_sandbox_id(value) && options_read_string(f, value, field);
}

static bool options_read_level(const struct options_flag *f, const char *value, void *field)
{
	(void)f;
	for (size_t i = 0; i < sizeof(options_levels) / sizeof(options_levels[0]); i++) {
		if (strcasecmp(value, options_levels[i].word) == 0) {
			*(int *)field = options_levels[i].level;
			return true;
		}
	}
	return false;
}

/* What stands behind --sink, as a mask; 0: no sink */
static unsigned options_sink_mask(const char *name)
{
	for (unsigned i = 0; i < _OPTIONS_SINK_MAX; i++) {
		if (strcmp(name, options_sinks[i]) == 0)
			return 1U << i;
	}
	return 0;
}

static bool options_read_sink(const struct options_flag *f, const char *value, void *field)
{
	return options_sink_mask(value) != 0 && options_read_string(f, value, field);
}

static bool options_read_kind(const char *word, size_t size, unsigned *kinds)
{
	char name[16];
	enum view_kind kind;

	if (size >= sizeof(name))
		return false;
	memcpy(name, word, size);
	name[size] = '\0';
	if (view_kind_from_string(name, &kind) < 0)
		return false;
	*kinds |= 1U << kind;
	return true;
}

static bool options_read_kinds(const struct options_flag *f, const char *value, void *field)
{
	unsigned kinds = 0;

	(void)f;
	for (const char *p = value;; p++) {
		size_t size = strcspn(p, ",");

		if (!options_read_kind(p, size, &kinds))
			return false;
		p += size;
		if (*p == '\0')
			break;
	}
	*(unsigned *)field = kinds;
	return true;
}

static bool options_read_on_change(const struct options_flag *f, const char *value, void *field)
{
	(void)f;
	return view_on_change_from_string(value, field) >= 0;
}

static bool options_read_dialect(const struct options_flag *f, const char *value, void *field)
{
	(void)f;
	return dialect_from_string(value, field) >= 0;
}

/* "auto" is no URL: NULL, also after one that was given before */
static bool options_read_agent(const struct options_flag *f, const char *value, void *field)
{
	bool is_auto = strcmp(value, "auto") == 0;
	struct url url;

	(void)f;
	*(const char **)field = is_auto ? NULL : value;
	return is_auto || url_parse(value, &url) >= 0;
}

static bool options_read_withdraw(const struct options_flag *f, const char *value, void *field)
{
	(void)f;
	return withdraw_policy_from_string(value, field) >= 0;
}

static bool options_read_log_target(const struct options_flag *f, const char *value, void *field)
{
	(void)f;
	return log_target_from_string(value, field) >= 0;
}

/* ---- the flags, in the order of their names, as Go lists them ---- */

#define OPTIONS_FIELD(name)    .field = offsetof(struct options_parser, name)
#define OPTIONS_ONLY_FOR(sink) .sinks = 1U << (sink)

/* clang-format off */
static const struct options_flag options_flags[] = {
	{ .name = "agent", .argument = "URL", OPTIONS_FIELD(o.agent), .fallback = "auto",
	  .help = "where the guest's agent listens (man page); auto: ask the sandbox's shim",
	  .read = options_read_agent,
	  .wanted = "auto, or vsock://CID:PORT, hvsock://PATH:PORT, unix://PATH, remote://PATH, pipe://PATH",
	  OPTIONS_ONLY_FOR(OPTIONS_SINK_AGENT), .not_once = true },
	{ .name = "audit", .argument = "FILE", OPTIONS_FIELD(o.audit_file),
	  .help = "also append one line for each op and resync to FILE (default: no file)",
	  .read = options_read_path, .wanted = "the path of a file" },
	{ .name = "d", OPTIONS_FIELD(o.debug),
	  .help = "enable debug mode" },
	{ .name = "dialect", .argument = "WORD", OPTIONS_FIELD(o.dialect), .fallback = "both",
	  .help = "JSON of which generation of the runtime: 1.12, 1.13, or both at once",
	  .read = options_read_dialect, .wanted = "one of 1.12, 1.13, both",
	  OPTIONS_ONLY_FOR(OPTIONS_SINK_CLI), .not_once = true },
	{ .name = "h", OPTIONS_FIELD(is_help),
	  .help = "describe component usage" },
	{ .name = "help", OPTIONS_FIELD(is_help),
	  .help = "" },
	{ .name = "ignore", .argument = "GLOB", OPTIONS_FIELD(o.ignore),
	  .help = "leave out links whose name matches GLOB; up to 64 times (default: none)",
	  .read = options_read_word, .wanted = "a pattern of names", .is_list = true },
	{ .name = "kinds", .argument = "LIST", OPTIONS_FIELD(o.kinds),
	  .fallback = "veth,tap,macvlan,ipvlan",
	  .help = "kinds of link that are plugged: veth, tap, macvlan, ipvlan, physical",
	  .read = options_read_kinds,
	  .wanted = "a list, with commas, of veth, tap, macvlan, ipvlan, physical" },
	{ .name = "link-local", OPTIONS_FIELD(o.link_local), .fallback = "false",
	  .help = "send IPv6 link-local addresses too, though the guest makes its own" },
	{ .name = "log", .argument = "string", OPTIONS_FIELD(o.log_level), .fallback = "warn",
	  .help = "log messages above specified level: debug, warn, error, fatal or panic",
	  .read = options_read_level,
	  .wanted = "one of panic, fatal, error, warn, warning, info, debug, trace" },
	{ .name = "log-target", .argument = "WORD", OPTIONS_FIELD(o.log_target), .fallback = "auto",
	  .help = "journal, syslog, stderr, or auto: the first of these that is there",
	  .read = options_read_log_target, .wanted = "one of auto, journal, syslog, stderr" },
	{ .name = "netns", .argument = "PATH|PID", OPTIONS_FIELD(o.netns),
	  .help = "network namespace to watch (default: the one that we are started in)",
	  .read = options_read_path, .wanted = "the path of a network namespace, or a process id" },
	{ .name = "on-change", .argument = "WORD", OPTIONS_FIELD(o.on_change), .fallback = "ignore",
	  .help = "when a link that was sent is changed: ignore (report it) or replug",
	  .read = options_read_on_change, .wanted = "one of ignore, replug",
	  OPTIONS_ONLY_FOR(OPTIONS_SINK_CLI), .not_once = true },
	{ .name = "once", OPTIONS_FIELD(o.once), .fallback = "false",
	  .help = "print one snapshot as JSON and exit; needs -s, but no -r" },
	{ .name = "r", .argument = "string", OPTIONS_FIELD(o.runtime),
	  .help = "runtime path (required)",
	  .read = options_read_string, .wanted = "a path" },
	{ .name = "receive-buffer", .argument = "BYTES", OPTIONS_FIELD(o.receive_buffer_bytes),
	  .fallback = "1048576",
	  .help = "bytes of the kernel's buffer for our events, 4096 to 1073741824",
	  .read = options_read_number, .wanted = "a number of bytes",
	  .min = OPTIONS_BUFFER_MIN, .max = OPTIONS_BUFFER_MAX },
	{ .name = "record-fail", .argument = "N", OPTIONS_FIELD(o.record_fail),
	  .help = "the record sink fails its Nth op, once, counted from 1 (default: none)",
	  .read = options_read_number, .wanted = "the number of an op",
	  .min = 1, .max = UINT32_MAX,
	  OPTIONS_ONLY_FOR(OPTIONS_SINK_RECORD), .not_once = true },
	{ .name = "runtime-timeout", .argument = "SEC", OPTIONS_FIELD(o.runtime_timeout_sec),
	  .fallback = "60",
	  .help = "seconds after which a call of runtime or agent is given up, 1 to 3600",
	  .read = options_read_number, .wanted = "a number of seconds",
	  .min = 1, .max = OPTIONS_TIMEOUT_SEC_MAX,
	  .sinks = 1U << OPTIONS_SINK_CLI | 1U << OPTIONS_SINK_AGENT, .not_once = true },
	{ .name = "s", .argument = "string", OPTIONS_FIELD(o.sandbox_id),
	  .help = "sandbox id (required)",
	  .read = options_read_sandbox_id,
	  .wanted = "a sandbox id ([A-Za-z0-9][A-Za-z0-9_.-]{0,127})" },
	{ .name = "settle", .argument = "MS", OPTIONS_FIELD(o.settle_msec), .fallback = "500",
	  .help = "milliseconds that a new link waits for its addresses at most, 0 to 60000",
	  .read = options_read_number, .wanted = "a number of milliseconds",
	  .min = 0, .max = OPTIONS_SETTLE_MSEC_MAX,
	  OPTIONS_ONLY_FOR(OPTIONS_SINK_CLI), .not_once = true },
	{ .name = "sink", .argument = "WORD", OPTIONS_FIELD(o.sink), .fallback = "cli",
	  .help = "cli: call the runtime; agent: call the guest's agent; record: print JSON",
	  .read = options_read_sink, .wanted = "one of cli, agent, record" },
	{ .name = "state-dir", .argument = "DIR", OPTIONS_FIELD(o.state_dir),
	  .fallback = OPTIONS_STATE_DIR,
	  .help = "directory of the sandboxes' directories, absolute",
	  .read = options_read_state_dir, .wanted = "an absolute path of up to 3895 bytes" },
	{ .name = "v", OPTIONS_FIELD(is_version),
	  .help = "display program version and exit" },
	{ .name = "version", OPTIONS_FIELD(is_version),
	  .help = "" },
	{ .name = "vm-pid", .argument = "PID", OPTIONS_FIELD(o.vm_pid),
	  .help = "process whose end is the sandbox's (default: from the sandbox's files)",
	  .read = options_read_number, .wanted = "a process id",
	  .min = 1, .max = OPTIONS_PID_MAX, .not_once = true },
	{ .name = "withdraw", .argument = "WORD", OPTIONS_FIELD(o.withdraw), .fallback = "bounce",
	  .help = "what to do about a route that the agent can't delete: bounce its link, or report",
	  .read = options_read_withdraw, .wanted = "one of bounce, report",
	  OPTIONS_ONLY_FOR(OPTIONS_SINK_AGENT), .not_once = true },
};
/* clang-format on */

#define OPTIONS_N_FLAGS (sizeof(options_flags) / sizeof(options_flags[0]))
_Static_assert(OPTIONS_N_FLAGS <= OPTIONS_FLAGS_MAX, "given[] has a place for each flag");
_Static_assert(OPTIONS_STATE_BYTES == 3896, "what is said of --state-dir");

/* @name: NUL or '=' ends it. */
static const struct options_flag *options_find(const char *name, size_t size)
{
	for (size_t i = 0; i < OPTIONS_N_FLAGS; i++) {
		const struct options_flag *f = &options_flags[i];

		if (strncmp(f->name, name, size) == 0 && f->name[size] == '\0')
			return f;
	}
	return NULL;
}

static size_t options_row(const struct options_flag *f)
{
	return (size_t)(f - options_flags);
}

static void *options_field(struct options_parser *p, const struct options_flag *f)
{
	return (char *)p + f->field;
}

/* ---- words for the user ---- */

/*
 * What somebody typed, or a program passed: no byte of it can drive a terminal or end the line or
 * the quotes.
 */
static void options_print_hostile(FILE *to, const char *s, size_t size)
{
	size_t shown = size < OPTIONS_SHOWN_MAX ? size : OPTIONS_SHOWN_MAX;

	for (size_t i = 0; i < shown; i++) {
		if (s[i] < ' ' || s[i] > '~')
			(void)fprintf(to, "\\x%02x", (unsigned char)s[i]);
		else
			(void)fprintf(to, "%s%c", strchr("\\'\"", s[i]) ? "\\" : "", s[i]);
	}
	if (size > shown)
		(void)fputs("...", to);
}

static void options_print_flag(FILE *to, const struct options_flag *f)
{
	bool is_short = !f->argument && f->name[1] == '\0';
	bool is_text = f->argument && f->max == 0;

	(void)fprintf(to, "  -%s", f->name);
	if (f->argument)
		(void)fprintf(to, " %s", f->argument);
	(void)fprintf(to, "%s%s", is_short ? "\t" : "\n    \t", f->help);
	if (f->fallback)
		(void)fprintf(to, is_text ? " (default \"%s\")" : " (default %s)", f->fallback);
	(void)fputc('\n', to);
}

static void options_print_flags(FILE *to)
{
	for (size_t i = 0; i < OPTIONS_N_FLAGS; i++)
		options_print_flag(to, &options_flags[i]);
}

static bool options_end(struct options_parser *p, int exit_status)
{
	p->exit_status = exit_status;
	return false;
}

/* What the flag package refuses: the line was begun. */
static bool options_end_usage(struct options_parser *p)
{
	const char *program = p->argc > 0 ? p->argv[0] : OPTIONS_PROGRAM;

	(void)fputs("\nUsage of ", p->err);
	options_print_hostile(p->err, program, strlen(program));
	(void)fputs(":\n", p->err);
	options_print_flags(p->err);
	return options_end(p, OPTIONS_STATUS_USAGE);
}

/* A required argument is missing, in the original's words. */
static bool options_end_missing(struct options_parser *p, const char *what)
{
	(void)fprintf(p->err, "Error: %s is empty, one must be provided\n", what);
	options_print_flags(p->err);
	return options_end(p, OPTIONS_STATUS_REFUSED);
}

static const char *options_dashes(const struct options_flag *f)
{
	return f->name[1] == '\0' ? "-" : "--";
}

/* The original's last words for a bad level are a line of its log: who looks for that finds it. */
static bool options_end_level(struct options_parser *p, const struct options_flag *f,
			      const char *value)
{
	(void)fputs("level=fatal msg=\"setupLogger()\" error=\"-log: '", p->err);
	options_print_hostile(p->err, value, strlen(value));
	(void)fprintf(p->err, "' is not %s\"\n", f->wanted);
	return options_end(p, OPTIONS_STATUS_REFUSED);
}

static bool options_end_bad(struct options_parser *p, const struct options_flag *f,
			    const char *value)
{
	err_clear();
	if (f->read == options_read_level)
		return options_end_level(p, f, value);
	(void)fprintf(p->err, "Error: %s%s: '", options_dashes(f), f->name);
	options_print_hostile(p->err, value, strlen(value));
	(void)fprintf(p->err, "' is not %s", f->wanted);
	if (f->max > 0)
		(void)fprintf(p->err, " (%u to %u)", f->min, f->max);
	(void)fputc('\n', p->err);
	return options_end(p, OPTIONS_STATUS_REFUSED);
}

static bool options_end_pointless(struct options_parser *p, const struct options_flag *f,
				  const char *with, const char *word)
{
	(void)fprintf(p->err, "Error: %s%s means nothing with %s%s\n", options_dashes(f), f->name,
		      with, word);
	return options_end(p, OPTIONS_STATUS_REFUSED);
}

static bool options_end_help(struct options_parser *p)
{
	(void)fputs(
		"\n" OPTIONS_PROGRAM
		" is a network monitoring process that keeps the network of a VM equal to that\n"
		"of its pod: it watches the pod's network namespace, and tells the runtime of "
		"every\n"
		"interface, address and route that comes, changes or goes.\n\n",
		p->out);
	options_print_flags(p->err);
	return options_end(p, 0);
}

static bool options_end_version(struct options_parser *p)
{
	(void)fprintf(p->out, "%s version %s\n", OPTIONS_PROGRAM, NETMON_VERSION);
	return options_end(p, 0);
}

/* ---- words to flags: what Go's flag package does. False: refused, exit_status is set ---- */

/* strconv.ParseBool() */
static bool options_read_bool(const char *value, bool *ret)
{
	static const char *const words[][6] = {
		{ "0", "f", "F", "false", "FALSE", "False" },
		{ "1", "t", "T", "true", "TRUE", "True" },
	};

	for (size_t i = 0; i < 12; i++) {
		if (strcmp(value, words[i / 6][i % 6]) == 0) {
			*ret = i / 6 == 1;
			return true;
		}
	}
	return false;
}

static bool options_take_bool(struct options_parser *p, const struct options_flag *f,
			      const char *value)
{
	if (!value)
		value = "true";
	p->given[options_row(f)] = value;
	if (options_read_bool(value, options_field(p, f)))
		return true;
	(void)fputs("invalid boolean value \"", p->err);
	options_print_hostile(p->err, value, strlen(value));
	(void)fprintf(p->err, "\" for -%s: parse error", f->name);
	return options_end_usage(p);
}

static bool options_take_value(struct options_parser *p, const struct options_flag *f,
			       const char *value)
{
	if (!value && p->next < p->argc)
		value = p->argv[p->next++];
	if (!value) {
		(void)fprintf(p->err, "flag needs an argument: -%s", f->name);
		return options_end_usage(p);
	}
	p->given[options_row(f)] = value;
	if (f->is_list) {
		if (p->o.n_ignore < OPTIONS_IGNORE_MAX)
			p->o.ignore[p->o.n_ignore] = value;
		p->o.n_ignore++;
	}
	return true;
}

static bool options_take_flag(struct options_parser *p)
{
	const char *word = p->argv[p->next++];
	const char *name = word + (word[1] == '-' ? 2 : 1);
	size_t size = strcspn(name, "=");
	const char *value = name[size] == '=' ? name + size + 1 : NULL;
	const struct options_flag *f;

	if (size == 0 || *name == '-') {
		(void)fputs("bad flag syntax: ", p->err);
		options_print_hostile(p->err, word, strlen(word));
		return options_end_usage(p);
	}
	f = options_find(name, size);
	if (!f) {
		(void)fputs("flag provided but not defined: -", p->err);
		options_print_hostile(p->err, name, size);
		return options_end_usage(p);
	}
	return f->argument ? options_take_value(p, f, value) : options_take_bool(p, f, value);
}

static bool options_take_words(struct options_parser *p)
{
	while (p->next < p->argc) {
		const char *word = p->argv[p->next];

		if (word[0] != '-' || word[1] == '\0' || strcmp(word, "--") == 0)
			break;
		if (!options_take_flag(p))
			return false;
	}
	return true;
}

/* ---- flags to options ---- */

static const char *options_given(const struct options_parser *p, const char *name)
{
	const struct options_flag *f = options_find(name, strlen(name));
	const char *value = p->given[options_row(f)];

	return value ? value : f->fallback;
}

static bool options_is_missing(const struct options_parser *p, const char *name)
{
	const char *value = options_given(p, name);

	return !value || *value == '\0';
}

static bool options_check_required(struct options_parser *p)
{
	bool calls_runtime = !p->o.once && strcmp(options_given(p, "sink"), "cli") == 0;

	if (options_is_missing(p, "s"))
		return options_end_missing(p, "sandbox id");
	if (calls_runtime && options_is_missing(p, "r"))
		return options_end_missing(p, "runtime path");
	return true;
}

static bool options_read_list(struct options_parser *p, const struct options_flag *f)
{
	const char **list = options_field(p, f);

	if (p->o.n_ignore > OPTIONS_IGNORE_MAX) {
		(void)fprintf(p->err, "Error: --%s: given %zu times, at most %d are wanted\n",
			      f->name, p->o.n_ignore, OPTIONS_IGNORE_MAX);
		return options_end(p, OPTIONS_STATUS_REFUSED);
	}
	for (size_t i = 0; i < p->o.n_ignore; i++) {
		if (!f->read(f, list[i], &list[i]))
			return options_end_bad(p, f, list[i]);
	}
	return true;
}

static bool options_read_flag(struct options_parser *p, const struct options_flag *f)
{
	const char *value = p->given[options_row(f)];

	if (f->is_list)
		return options_read_list(p, f);
	if (!value)
		value = f->fallback;
	if (!f->read || !value || f->read(f, value, options_field(p, f)))
		return true;
	return options_end_bad(p, f, value);
}

/*
 * An option that would be ignored is a mistake of whoever wrote it. -r is none: the 1.x runtime
 * always passes it.
 */
static bool options_check_pointless(struct options_parser *p)
{
	unsigned sink = options_sink_mask(p->o.sink);

	for (size_t i = 0; i < OPTIONS_N_FLAGS; i++) {
		const struct options_flag *f = &options_flags[i];

		if (!p->given[i])
			continue;
		if (f->not_once && p->o.once)
			return options_end_pointless(p, f, "--once", "");
		if (f->sinks != 0 && (f->sinks & sink) == 0)
			return options_end_pointless(p, f, "--sink ", p->o.sink);
	}
	return true;
}

static bool options_read_flags(struct options_parser *p)
{
	if (p->is_help)
		return options_end_help(p);
	if (p->is_version)
		return options_end_version(p);
	if (!options_check_required(p))
		return false;
	for (size_t i = 0; i < OPTIONS_N_FLAGS; i++) {
		if (!options_read_flag(p, &options_flags[i]))
			return false;
	}
	return options_check_pointless(p);
}

int options_parse(int argc, char *const argv[], FILE *out, FILE *err, struct options *ret,
		  int *ret_exit_status)
{
	struct options_parser p = { .argc = argc, .argv = argv, .next = 1, .out = out, .err = err };

	if (!options_take_words(&p) || !options_read_flags(&p)) {
		*ret_exit_status = p.exit_status;
		return OPTIONS_EXIT;
	}
	*ret = p.o;
	return OPTIONS_RUN;
}
