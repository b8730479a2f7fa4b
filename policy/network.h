/* SPDX-License-Identifier: Apache-2.0 */
/* IPv4 and IPv6 networks in CIDR notation. */
#ifndef MQWARD_POLICY_NETWORK_H
#define MQWARD_POLICY_NETWORK_H

#include "base/view.h"

struct network {
    uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint8_t bits;        /* 0 to 128 */
};

enum network_error { NETWORK_OK, NETWORK_MALFORMED, NETWORK_HOST_BITS };

/* "10.0.0.0/8", "2001:db8::/32", or a single address. NETWORK_HOST_BITS: bits behind the prefix are set (*out
 * is the network that is meant, without them). */
enum network_error network_parse(struct view text, struct network *out);
/* Parses an address, with an IPv6 zone allowed ("fe80::1%eth0"). */
bool network_parse_address(struct view text, uint8_t address[16]);
bool network_contains(const struct network *network, const uint8_t address[16]);

#endif
