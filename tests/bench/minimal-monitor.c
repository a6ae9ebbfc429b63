/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least that a monitor can do: minimal-monitor RUNTIME ID FILE.
 *
 * Receives RTM_NEWLINK; when a link that it has not seen so is up with carrier it writes a small
 * document in place and spawns `RUNTIME kata-network add-iface ID FILE`. No dump, no addresses, no
 * routes, no settling, no state, no retry: what kata-netmon costs above this, it costs for being
 * right. Says "ready" on stdout when it listens.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MINIMAL_SEEN_MAX 4096 /* ifindex numbers; a link above is not looked at */

struct minimal {
	char *runtime;
	char *id;
	char *file;
	bool seen[MINIMAL_SEEN_MAX];
};

static int minimal_open(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -1;
	return fd;
}

/* Data of an attribute of a link message; NULL: not there. */
static void *minimal_find(struct nlmsghdr *h, unsigned short type, size_t *ret_size)
{
	char *end = (char *)h + h->nlmsg_len;
	char *at = (char *)NLMSG_DATA(h) + NLMSG_ALIGN(sizeof(struct ifinfomsg));

	while (at + sizeof(struct rtattr) <= end) {
		struct rtattr *a = (struct rtattr *)(void *)at;

		if (a->rta_len < sizeof(*a))
			break;
		if (a->rta_type == type) {
			*ret_size = RTA_PAYLOAD(a);
			return RTA_DATA(a);
		}
		at += RTA_ALIGN(a->rta_len);
	}
	return NULL;
}

static int minimal_write(const struct minimal *m, struct nlmsghdr *h)
{
	size_t size = 0;
	const char *name = minimal_find(h, IFLA_IFNAME, &size);
	const uint8_t *mac = minimal_find(h, IFLA_ADDRESS, &size);
	char text[512];
	int fd, n;

	if (!name || !mac || size != ETH_ALEN)
		return -1;
	n = snprintf(text, sizeof(text),
		     "{\"Device\":\"%s\",\"Name\":\"%s\",\"IPAddresses\":null,\"Mtu\":1500,"
		     "\"RawFlags\":0,\"HwAddr\":\"%02x:%02x:%02x:%02x:%02x:%02x\",\"PciPath\":{},"
		     "\"LinkType\":\"veth\"}",
		     name, name, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	fd = open(m->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (fd < 0 || write(fd, text, (size_t)n) != n)
		return -1;
	return close(fd);
}

static int minimal_call(const struct minimal *m)
{
	char words[][16] = { "kata-network", "add-iface" };
	char *argv[] = { m->runtime, words[0], words[1], m->id, m->file, NULL };
	char *environment[] = { NULL };
	pid_t pid;
	int status;

	errno = posix_spawn(&pid, m->runtime, NULL, NULL, argv, environment);
	if (errno != 0)
		return -1;
	return waitpid(pid, &status, 0) < 0 ? -1 : 0;
}

static int minimal_on_message(struct minimal *m, struct nlmsghdr *h)
{
	const struct ifinfomsg *info = NLMSG_DATA(h);

	if (h->nlmsg_type != RTM_NEWLINK && h->nlmsg_type != RTM_DELLINK)
		return 0;
	if (info->ifi_index >= MINIMAL_SEEN_MAX || info->ifi_flags & IFF_LOOPBACK)
		return 0;
	if (h->nlmsg_type == RTM_DELLINK) {
		m->seen[info->ifi_index] = false;
		return 0;
	}
	if (m->seen[info->ifi_index] || !(info->ifi_flags & IFF_UP) ||
	    !(info->ifi_flags & IFF_LOWER_UP))
		return 0;
	m->seen[info->ifi_index] = true;
	return minimal_write(m, h) < 0 ? -1 : minimal_call(m);
}

static int minimal_receive(struct minimal *m, int fd)
{
	_Alignas(struct nlmsghdr) char buffer[32768];
	struct nlmsghdr *h = (struct nlmsghdr *)(void *)buffer;
	ssize_t size = recv(fd, buffer, sizeof(buffer), 0);
	unsigned left = (unsigned)size;

	if (size < 0)
		return -1;
	for (; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
		if (minimal_on_message(m, h) < 0)
			return -1;
	return 0;
}

int main(int argc, char *argv[])
{
	struct minimal m = { .seen = { false } };
	int fd = minimal_open();

	if (argc != 4 || fd < 0) {
		(void)fprintf(stderr, "usage: minimal-monitor RUNTIME ID FILE: %s\n",
			      strerror(errno));
		return 1;
	}
	m.runtime = argv[1];
	m.id = argv[2];
	m.file = argv[3];
	(void)puts("ready");
	(void)fflush(stdout);
	while (minimal_receive(&m, fd) >= 0)
		;
	(void)fprintf(stderr, "minimal-monitor: %s\n", strerror(errno));
	return 1;
}
