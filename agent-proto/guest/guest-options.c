/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of netmon-agent. See guest-options.h.
 */
#include "agent-proto/guest/guest-options.h"

#include <getopt.h>
#include <string.h>

#include "agent-proto/guest/init.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/text.h"

enum {
	OPT_ALLOW_LOCAL = 256,
	OPT_DEBUG,
	OPT_HELP,
	OPT_HOTPLUG_TIMEOUT,
	OPT_LISTEN,
	OPT_STATE_DIR,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{ "allow-local", no_argument, NULL, OPT_ALLOW_LOCAL },
	{ "debug", no_argument, NULL, OPT_DEBUG },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "hotplug-timeout", required_argument, NULL, OPT_HOTPLUG_TIMEOUT },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "state-dir", required_argument, NULL, OPT_STATE_DIR },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

static const char help[] =
	"netmon-agent sets the network of a VM as its host asks for it: addresses, routes,\n"
	"neighbours, names and MTUs, and takes back what it has set.\n"
	"\n"
	"Usage: netmon-agent [OPTION ...]\n"
	"\n"
	"  --allow-local           take vsock connections from inside of the VM too\n"
	"  --debug                 say more\n"
	"  --help                  this text\n"
	"  --hotplug-timeout MSEC  how long an interface that is not there is waited for,\n"
	"                          0 to 60000 (default 3000)\n"
	"  --listen URL            vsock://CID:PORT, unix:///PATH or pipe:///PATH, up to 8 times\n"
	"                          (default vsock://-1:1024)\n"
	"  --state-dir DIR         where it notes what it has set, absolute\n"
	"                          (default /run/netmon-agent)\n"
	"  --version               print the version\n";

struct parsing {
	struct guest_options o;
	FILE *out, *err;
	int exit_status;
};

static int end(struct parsing *p, int exit_status)
{
	p->exit_status = exit_status;
	return GUEST_OPTIONS_EXIT;
}

/* What somebody typed is escaped: it may not drive a terminal. */
static int refuse(struct parsing *p, const char *option, const char *value, const char *wanted)
{
	CLEANUP(text_done) struct text t = TEXT_NULL;
	bool is_said = text_append_value(&t, value, strnlen(value, 128)) >= 0;

	(void)fprintf(p->err, "netmon-agent: %s %s is not %s\n", option, is_said ? t.data : "",
		      wanted);
	err_clear();
	return end(p, GUEST_OPTIONS_STATUS_REFUSED);
}

static int take_listen(struct parsing *p, const char *value)
{
	struct url *u = &p->o.listen[p->o.n_listen];

	if (p->o.n_listen == GUEST_OPTIONS_LISTEN_MAX) {
		(void)fprintf(p->err, "netmon-agent: more than %u --listen\n",
			      GUEST_OPTIONS_LISTEN_MAX);
		return end(p, GUEST_OPTIONS_STATUS_REFUSED);
	}
	if (url_parse(value, u) < 0 || u->kind == URL_HVSOCK)
		return refuse(p, "--listen", value,
			      "vsock://CID:PORT, unix:///PATH or pipe:///PATH");
	p->o.n_listen++;
	return 0;
}

static int take(struct parsing *p, int option, const char *value)
{
	switch (option) {
	case OPT_ALLOW_LOCAL:
		p->o.allow_local = true;
		return 0;
	case OPT_DEBUG:
		p->o.is_debug = true;
		return 0;
	case OPT_HELP:
		(void)fputs(help, p->out);
		return end(p, 0);
	case OPT_HOTPLUG_TIMEOUT:
		if (text_parse_u32(value, GUEST_OPTIONS_HOTPLUG_MAX, &p->o.hotplug_timeout_msec) <
		    0)
			return refuse(p, "--hotplug-timeout", value,
				      "a number of milliseconds, 0 to 60000");
		return 0;
	case OPT_LISTEN:
		return take_listen(p, value);
	case OPT_STATE_DIR:
		p->o.state_dir = value;
		return value[0] == '/' ? 0 : refuse(p, "--state-dir", value, "an absolute path");
	case OPT_VERSION:
		(void)fprintf(p->out, "netmon-agent version %s\n", NETMON_VERSION);
		return end(p, 0);
	default:
		(void)fputs("netmon-agent: --help says what there is\n", p->err);
		return end(p, GUEST_OPTIONS_STATUS_REFUSED);
	}
}

static void say_ignored(struct parsing *p, const char *word)
{
	CLEANUP(text_done) struct text t = TEXT_NULL;
	bool is_said = text_append_value(&t, word, strnlen(word, 128)) >= 0;

	(void)fprintf(p->err, "netmon-agent: %s is no option of ours, and ignored\n",
		      is_said ? t.data : "a word");
	err_clear();
}

/* Of optopt getopt_long() makes the letter of a short option, or the number of one that is ours. */
static int take_unknown(struct parsing *p, char *const argv[])
{
	const char letter[] = { '-', (char)optopt, '\0' };

	if (!init_is_us() || optopt >= OPT_ALLOW_LOCAL)
		return take(p, '?', NULL);
	say_ignored(p, optopt ? letter : argv[optind - 1]);
	return 0;
}

/*
 * As an init we get the words of the kernel's command line that it does not know: they are not for
 * us, and an init that ends for them is a kernel that panics.
 * Source: Documentation/admin-guide/kernel-parameters.rst.
 */
static int take_words(struct parsing *p, int argc, char *const argv[])
{
	int option;

	optind = 0;
	opterr = !init_is_us();
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		int r = option == '?' ? take_unknown(p, argv) : take(p, option, optarg);

		if (r != 0)
			return r;
	}
	if (optind < argc && !init_is_us())
		return refuse(p, "the word", argv[optind], "an option; --help says what there is");
	for (; optind < argc; optind++)
		say_ignored(p, argv[optind]);
	return 0;
}

int guest_options_parse(int argc, char *const argv[], FILE *out, FILE *err,
			struct guest_options *ret, int *ret_exit_status)
{
	struct parsing p = {
		.o = { .state_dir = GUEST_OPTIONS_STATE_DIR,
		       .hotplug_timeout_msec = GUEST_OPTIONS_HOTPLUG_MSEC },
		.out = out,
		.err = err,
	};

	if (take_words(&p, argc, argv) != 0) {
		*ret_exit_status = p.exit_status;
		return GUEST_OPTIONS_EXIT;
	}
	if (p.o.n_listen == 0)
		(void)take_listen(&p, GUEST_OPTIONS_LISTEN);
	*ret = p.o;
	return 0;
}
