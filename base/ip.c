/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of addresses, prefixes and MACs, see ip.h.
 */
#include "base/ip.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

_Static_assert(IP_TEXT_BYTES == INET6_ADDRSTRLEN, "inet_ntop fills it");

uint8_t ip_bits(uint8_t family)
{
	if (family == AF_INET)
		return 32;
	return family == AF_INET6 ? 128 : 0;
}

/* ---- addresses ---- */

bool ip_parse(const char *text, uint8_t *ret_family, uint8_t ret[IP_BYTES])
{
	uint8_t family = strchr(text, ':') ? AF_INET6 : AF_INET;
	uint8_t bytes[IP_BYTES] = { 0 };

	if (inet_pton(family, text, bytes) != 1)
		return false;
	*ret_family = family;
	memcpy(ret, bytes, sizeof(bytes));
	return true;
}

bool ip_parse_prefixlen(const char *text, uint8_t family, uint8_t *ret)
{
	unsigned value = 0;
	const char *p = text;

	for (; *p >= '0' && *p <= '9' && p - text < 3; p++)
		value = value * 10 + (unsigned)(*p - '0');
	if (p == text || *p != '\0' || (text[0] == '0' && p - text > 1))
		return false;
	if (value > ip_bits(family))
		return false;
	*ret = (uint8_t)value;
	return true;
}

bool ip_parse_prefix(const char *text, uint8_t *ret_family, uint8_t ret[IP_BYTES],
		     uint8_t *ret_prefixlen)
{
	const char *slash = strchrnul(text, '/');
	size_t size = (size_t)(slash - text);
	uint8_t family, prefixlen, bytes[IP_BYTES];
	char ip[IP_TEXT_BYTES];

	if (size >= sizeof(ip))
		return false;
	memcpy(ip, text, size);
	ip[size] = '\0';
	if (!ip_parse(ip, &family, bytes))
		return false;
	prefixlen = ip_bits(family);
	if (*slash == '/' && !ip_parse_prefixlen(slash + 1, family, &prefixlen))
		return false;
	*ret_family = family;
	memcpy(ret, bytes, sizeof(bytes));
	*ret_prefixlen = prefixlen;
	return true;
}

void ip_format(uint8_t family, const uint8_t bytes[IP_BYTES], char ret[IP_TEXT_BYTES])
{
	if (ip_bits(family) == 0 || !inet_ntop(family, bytes, ret, IP_TEXT_BYTES))
		ret[0] = '\0';
}

void ip_format_prefix(uint8_t family, const uint8_t bytes[IP_BYTES], uint8_t prefixlen,
		      char ret[IP_PREFIX_TEXT_BYTES])
{
	size_t size;

	ip_format(family, bytes, ret);
	size = strlen(ret);
	if (size > 0)
		(void)snprintf(ret + size, IP_PREFIX_TEXT_BYTES - size, "/%u", prefixlen);
}

/* ---- prefixes ---- */

/* Bits of byte @at that lie within the prefix. */
static uint8_t ip_mask_byte(unsigned at, uint8_t prefixlen)
{
	unsigned bits = prefixlen > at * 8 ? prefixlen - at * 8 : 0;

	return bits >= 8 ? 0xff : (uint8_t)(0xff00U >> bits);
}

void ip_mask(uint8_t bytes[IP_BYTES], uint8_t prefixlen)
{
	for (unsigned i = 0; i < IP_BYTES; i++)
		bytes[i] = (uint8_t)(bytes[i] & ip_mask_byte(i, prefixlen));
}

bool ip_is_network(const uint8_t bytes[IP_BYTES], uint8_t prefixlen)
{
	for (unsigned i = 0; i < IP_BYTES; i++)
		if (bytes[i] & (uint8_t)~ip_mask_byte(i, prefixlen))
			return false;
	return true;
}

/* ---- MACs ---- */

static int ip_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool ip_parse_mac(const char *text, uint8_t ret[IP_MAC_BYTES])
{
	uint8_t mac[IP_MAC_BYTES];

	if (strnlen(text, IP_MAC_TEXT_BYTES) != IP_MAC_TEXT_BYTES - 1)
		return false;
	for (size_t i = 0; i < IP_MAC_BYTES; i++) {
		int high = ip_hex_digit(text[3 * i]), low = ip_hex_digit(text[3 * i + 1]);

		if (high < 0 || low < 0 || (text[3 * i + 2] != (i + 1 < IP_MAC_BYTES ? ':' : '\0')))
			return false;
		mac[i] = (uint8_t)(high << 4 | low);
	}
	memcpy(ret, mac, sizeof(mac));
	return true;
}

void ip_format_mac(const uint8_t mac[IP_MAC_BYTES], char ret[IP_MAC_TEXT_BYTES])
{
	(void)snprintf(ret, IP_MAC_TEXT_BYTES, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
		       mac[2], mac[3], mac[4], mac[5]);
}
