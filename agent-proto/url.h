/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an agent is reached, and the first bytes to it.
 *
 *   vsock://CID:PORT        AF_VSOCK. -1 as CID means any, for a server
 *   hvsock://PATH:PORT      a VMM's unix socket: "CONNECT PORT\n" is answered by one line "OK N\n"
 *   unix://PATH             remote://PATH is the same, and so is a PATH alone that begins with '/'.
 *                           runtime-rs appends ":1024" to remote:// too: taken off where such a
 *                           path is no socket
 *   pipe://PATH             the host's end of a virtio-serial port: a unix socket (chardev) or a
 *                           character device. A pipe and no connection: after it was opened nothing
 *                           says that the other end starts anew, so both ends resync first (pipe.h)
 *
 * Source: kata-containers src/runtime/virtcontainers/pkg/agent/protocols/client/client.go;
 * firecracker docs/vsock.md; kata src/runtime-rs/crates/agent/src/sock/hybrid_vsock.rs.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

enum url_kind { URL_VSOCK, URL_HVSOCK, URL_UNIX, URL_PIPE, _URL_KIND_MAX };

#define URL_TEXT_MAX 512 /* bytes, NUL included */

struct url {
	enum url_kind kind;
	uint32_t cid;  /* vsock */
	uint32_t port; /* vsock, hvsock */
	char path[URL_TEXT_MAX];
};

/**
 * url_parse() - strict: the whole text or nothing
 * Paths are absolute, without control bytes, and for a socket not longer than sockaddr_un takes (a
 * longer one is connected by /proc/self/fd). A port is 1 to UINT32_MAX - 1.
 * Return: 0; -EINVAL with a sentence that says what is wanted.
 */
int url_parse(const char *text, struct url *ret);
/* As url_parse() reads it: "vsock://3:1024". */
void url_format(const struct url *u, char ret[URL_TEXT_MAX]);
