/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last word of a test guest's /init: runs commands that come over vsock, and reaps what they leave.
 *
 * A connection to port 1025 begins with a command that ends with a NUL. It becomes the standard
 * input, output and error of `sh -c COMMAND`; when that has ended, a NUL and its exit status in
 * three digits follow. Each connection has a process of its own, so commands run beside each other.
 *
 * As a command, `guest-shell CID PORT FROM`: connects from vsock port FROM to that of CID, sends its
 * standard input (up to COMMAND_MAX bytes) and prints what comes first. 1 when it ends or fails before.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#define PORT	    1025U
#define COMMAND_MAX 65536U
#define ASK_SEC	    20

static int listen_vsock(void)
{
	const struct sockaddr_vm address = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_ANY,
		.svm_port = PORT,
	};
	const int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(fd, 64) < 0)
		return -1;
	return fd;
}

/* Byte by byte: what follows the NUL is the command's input. */
static int read_command(int fd, char ret[COMMAND_MAX])
{
	for (size_t i = 0; i < COMMAND_MAX; i++) {
		if (read(fd, &ret[i], 1) != 1)
			return -1;
		if (ret[i] == '\0')
			return 0;
	}
	return -1;
}

static void become_command(int fd, char *command)
{
	for (int i = 0; i < 3; i++)
		if (dup2(fd, i) < 0)
			_exit(126);
	(void)execl("/bin/busybox", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

static int exit_status(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void serve(int fd)
{
	static char command[COMMAND_MAX];
	char end[8];
	int status = 0;
	pid_t pid;

	if (read_command(fd, command) < 0)
		return;
	pid = fork();
	if (pid == 0)
		become_command(fd, command);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return;
	(void)snprintf(end, sizeof(end), "%03d", exit_status(status));
	/* The NUL in front, not the one behind. */
	(void)!write(fd, "", 1);
	(void)!write(fd, end, strlen(end));
}

static uint32_t number(const char *word)
{
	return (uint32_t)strtoul(word, NULL, 10);
}

static int connect_vsock(const char *cid, const char *port, const char *from)
{
	const struct timeval limit = { .tv_sec = ASK_SEC };
	const struct sockaddr_vm here = {
		.svm_family = AF_VSOCK,
		.svm_cid = VMADDR_CID_ANY,
		.svm_port = number(from),
	};
	const struct sockaddr_vm there = {
		.svm_family = AF_VSOCK,
		.svm_cid = number(cid),
		.svm_port = number(port),
	};
	const int fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&here, sizeof(here)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
	    connect(fd, (const struct sockaddr *)&there, sizeof(there)) < 0)
		return -1;
	return fd;
}

static int ask(char *argv[])
{
	static char data[COMMAND_MAX];
	const int fd = connect_vsock(argv[1], argv[2], argv[3]);
	ssize_t n = fd < 0 ? -1 : read(STDIN_FILENO, data, sizeof(data));

	if (n >= 0)
		n = send(fd, data, (size_t)n, MSG_NOSIGNAL);
	if (n >= 0)
		n = read(fd, data, sizeof(data));
	if (n < 0)
		perror("guest-shell");
	return n > 0 && write(STDOUT_FILENO, data, (size_t)n) == n ? 0 : 1;
}

int main(int argc, char *argv[])
{
	if (argc == 4)
		return ask(argv);
	/* It gives a shell to whoever can connect: that is for a guest without anybody else in it. */
	const int fd = getpid() == 1 ? listen_vsock() : -1;

	if (fd < 0) {
		perror("guest-shell");
		return 1;
	}
	/* Nobody waits for these processes, nor for those that commands leave behind. */
	(void)signal(SIGCHLD, SIG_IGN);
	for (;;) {
		const int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

		if (peer >= 0 && fork() == 0) {
			(void)signal(SIGCHLD, SIG_DFL);
			(void)setsid();
			serve(peer);
			_exit(0);
		}
		if (peer >= 0)
			(void)close(peer);
	}
}
