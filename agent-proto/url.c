/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an agent is reached, see url.h.
 */
#include "agent-proto/url.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"

/* The longest scheme and port beside it still fit URL_TEXT_MAX. */
#define URL_PATH_MAX (URL_TEXT_MAX - 32)
#define URL_ANY_CID  UINT32_MAX /* VMADDR_CID_ANY */

static const struct url_scheme {
	const char *prefix;
	enum url_kind kind;
	const char *wanted;
} url_schemes[] = {
	{ "vsock://", URL_VSOCK, "vsock://CID:PORT" },
	{ "hvsock://", URL_HVSOCK, "hvsock:///PATH:PORT" },
	{ "unix://", URL_UNIX, "unix:///PATH" },
	{ "remote://", URL_UNIX, "remote:///PATH" },
	{ "pipe://", URL_PIPE, "pipe:///PATH" },
	{ "/", URL_UNIX, "/PATH" },
};

/* Return: NULL: none of ours. */
static const struct url_scheme *url_find_scheme(const char *text)
{
	for (size_t i = 0; i < sizeof(url_schemes) / sizeof(url_schemes[0]); i++)
		if (strncmp(text, url_schemes[i].prefix, strlen(url_schemes[i].prefix)) == 0)
			return &url_schemes[i];
	return NULL;
}

/* A path alone is its own scheme. */
static const char *url_after_scheme(const char *text, const struct url_scheme *scheme)
{
	return *text == '/' ? text : text + strlen(scheme->prefix);
}

/* A number that is taken out of a longer text, or "" where it would not fit. */
static bool url_take_number(const char *text, size_t size, uint32_t max, uint32_t *ret)
{
	char digits[11] = "";

	if (size < sizeof(digits))
		memcpy(digits, text, size);
	if (text_parse_u32(digits, max, ret) == 0)
		return true;
	err_clear();
	return false;
}

/* "REST:PORT". Return: the size of REST; 0: there is none, or no port. */
static size_t url_take_port(const char *text, uint32_t *ret)
{
	const char *colon = strrchr(text, ':');

	if (!colon || !url_take_number(colon + 1, strlen(colon + 1), UINT32_MAX - 1, ret))
		return 0;
	return *ret > 0 ? (size_t)(colon - text) : 0;
}

static bool url_take_cid(const char *text, size_t size, uint32_t *ret)
{
	if (size == 2 && memcmp(text, "-1", 2) == 0) {
		*ret = URL_ANY_CID;
		return true;
	}
	return url_take_number(text, size, URL_ANY_CID - 1, ret);
}

static bool url_take_path(const char *text, size_t size, char ret[URL_TEXT_MAX])
{
	if (size < 2 || size >= URL_PATH_MAX || text[0] != '/' || text[size - 1] == '/')
		return false;
	for (size_t i = 0; i < size; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == '\x7f')
			return false;
	memcpy(ret, text, size);
	ret[size] = '\0';
	return true;
}

static bool url_take(const char *rest, struct url *u)
{
	size_t size;

	switch (u->kind) {
	case URL_VSOCK:
		size = url_take_port(rest, &u->port);
		return size > 0 && url_take_cid(rest, size, &u->cid);
	case URL_HVSOCK:
		size = url_take_port(rest, &u->port);
		return size > 0 && url_take_path(rest, size, u->path);
	case URL_UNIX:
	case URL_PIPE:
		return url_take_path(rest, strlen(rest), u->path);
	case _URL_KIND_MAX:
		break;
	}
	return false;
}

int url_parse(const char *text, struct url *ret)
{
	const struct url_scheme *scheme = text ? url_find_scheme(text) : NULL;
	struct url u = { 0 };

	if (!scheme)
		return err_raise(-EINVAL,
				 "'%.64s' is not vsock://CID:PORT, hvsock:///PATH:PORT, "
				 "unix:///PATH, remote:///PATH, pipe:///PATH or /PATH",
				 text ? text : "");
	u.kind = scheme->kind;
	if (!url_take(url_after_scheme(text, scheme), &u))
		return err_raise(-EINVAL, "'%.256s' is not of the form %s", text, scheme->wanted);
	*ret = u;
	return 0;
}

void url_format(const struct url *u, char ret[URL_TEXT_MAX])
{
	ret[0] = '\0';
	switch (u->kind) {
	case URL_VSOCK:
		if (u->cid == URL_ANY_CID)
			(void)snprintf(ret, URL_TEXT_MAX, "vsock://-1:%u", u->port);
		else
			(void)snprintf(ret, URL_TEXT_MAX, "vsock://%u:%u", u->cid, u->port);
		return;
	case URL_HVSOCK:
		(void)snprintf(ret, URL_TEXT_MAX, "hvsock://%.*s:%u", URL_PATH_MAX, u->path,
			       u->port);
		return;
	case URL_UNIX:
		(void)snprintf(ret, URL_TEXT_MAX, "unix://%.*s", URL_PATH_MAX, u->path);
		return;
	case URL_PIPE:
		(void)snprintf(ret, URL_TEXT_MAX, "pipe://%.*s", URL_PATH_MAX, u->path);
		return;
	case _URL_KIND_MAX:
		break;
	}
}
