/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text of addresses, prefixes and MACs, and back. Strict: the whole text or nothing. Pure.
 *
 * An address is its family (AF_INET, AF_INET6) and 16 bytes in network order, IPv4 in the first
 * four. A parser fills all 16, so that two equal addresses are equal bytes; it returns whether it
 * could, and what it does not take leaves its outputs as they were.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define IP_BYTES	     16
#define IP_TEXT_BYTES	     46 /* INET6_ADDRSTRLEN, NUL included */
#define IP_PREFIX_TEXT_BYTES 50 /* with "/128" */
#define IP_MAC_BYTES	     6
#define IP_MAC_TEXT_BYTES    18

uint8_t ip_bits(uint8_t family); /* 32, 128; 0 for what is no family */

/* The family shows in the text: only IPv6 has a colon. No zone, no leading zeros in IPv4. */
bool ip_parse(const char *text, uint8_t *ret_family, uint8_t ret[IP_BYTES]);
/* Decimal, no sign, no leading zero, at most ip_bits(). */
bool ip_parse_prefixlen(const char *text, uint8_t family, uint8_t *ret);
/* "10.0.0.1/8" with its host bits as they are; without '/' the whole length. */
bool ip_parse_prefix(const char *text, uint8_t *ret_family, uint8_t ret[IP_BYTES],
		     uint8_t *ret_prefixlen);

/* As inet_ntop(): RFC 5952. Empty for what is no family. */
void ip_format(uint8_t family, const uint8_t bytes[IP_BYTES], char ret[IP_TEXT_BYTES]);
void ip_format_prefix(uint8_t family, const uint8_t bytes[IP_BYTES], uint8_t prefixlen,
		      char ret[IP_PREFIX_TEXT_BYTES]);

/* Clears what lies behind the prefix. */
void ip_mask(uint8_t bytes[IP_BYTES], uint8_t prefixlen);
/* A destination for the kernel: nothing lies behind the prefix. IPv4 refuses others, IPv6 masks. */
bool ip_is_network(const uint8_t bytes[IP_BYTES], uint8_t prefixlen);

/* Six pairs of digits of either case, with colons. */
bool ip_parse_mac(const char *text, uint8_t ret[IP_MAC_BYTES]);
/* Lower case: agents of 1.x compare text. */
void ip_format_mac(const uint8_t mac[IP_MAC_BYTES], char ret[IP_MAC_TEXT_BYTES]);
