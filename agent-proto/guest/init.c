/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The duties of process 1. See init.h.
 */
#include "agent-proto/guest/init.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"

struct place {
	const char *path, *type;
	unsigned long flags;
	const char *options;
};

static const struct place places[] = {
	{ "/proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL },
	{ "/sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL },
	{ "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, "mode=755" },
	{ "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755" },
};

bool init_is_us(void)
{
	return getpid() == 1;
}

/* All four are in the root itself. */
static bool is_mounted(const char *path)
{
	struct stat root, at;

	return stat("/", &root) == 0 && stat(path, &at) == 0 && root.st_dev != at.st_dev;
}

static void mount_place(const struct place *p)
{
	if (is_mounted(p->path))
		return;
	if (mkdir(p->path, 0755) < 0 && errno != EEXIST)
		log_warn("make %s: %s", p->path, strerror(errno));
	if (mount(p->type, p->path, p->type, p->flags, p->options) < 0)
		log_warn("mount %s: %s", p->path, strerror(errno));
}

/*
 * The kernel gives its init the console, unless the initramfs had no node for it. (Not /dev/kmsg:
 * poll() never calls that writable, and base/log.c waits for it.)
 */
static void speak_to_console(void)
{
	int fd;

	if (fcntl(STDERR_FILENO, F_GETFD) >= 0)
		return;
	fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0 && fd != STDERR_FILENO) {
		(void)dup2(fd, STDERR_FILENO);
		(void)close(fd);
	}
}

void init_mount(void)
{
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		mount_place(&places[i]);
	speak_to_console();
}

void init_reap(void)
{
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

_Noreturn void init_power_off(void)
{
	sync();
	(void)reboot(RB_POWER_OFF);
	/* A machine that can't be switched off stands still. */
	for (;;)
		(void)pause();
}
