/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the rule by which addresses are one party's. Called by the session (denials, bans) and by the control
 * socket. */
#include "base/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#define SITE_BYTES 8 /* of 16: a /64 */

static bool has_prefix(const struct in6_addr *address, const uint8_t *prefix, size_t length)
{
    return memcmp(address->s6_addr, prefix, length) == 0;
}

/* One /64, many parties. */
static bool is_shared(const struct in6_addr *address)
{
    static const uint8_t nat64[12] = {0x00, 0x64, 0xff, 0x9b}, teredo[4] = {0x20, 0x01},
                         local_nat64[6] = {0x00, 0x64, 0xff, 0x9b, 0x00, 0x01}; /* RFC 8215 */

    return IN6_IS_ADDR_LINKLOCAL(address) || IN6_IS_ADDR_LOOPBACK(address) ||
           has_prefix(address, nat64, sizeof(nat64)) ||
           has_prefix(address, local_nat64, sizeof(local_nat64)) ||
           has_prefix(address, teredo, sizeof(teredo));
}

static void write_v6(struct in6_addr *address, char out[ADDRESS_SITE_SIZE])
{
    char text[INET6_ADDRSTRLEN];
    bool whole = is_shared(address);

    if (!whole)
        memset(address->s6_addr + SITE_BYTES, 0, sizeof(address->s6_addr) - SITE_BYTES);
    inet_ntop(AF_INET6, address, text, sizeof(text));
    snprintf(out, ADDRESS_SITE_SIZE, "%s%s", text, whole ? "" : "/64");
}

bool address_site(struct view address, char out[ADDRESS_SITE_SIZE])
{
    static const struct view suffix = {(const uint8_t *)"/64", 3};
    bool is_site = view_ends_with(address, suffix);
    char text[INET6_ADDRSTRLEN];
    struct in6_addr v6;
    struct in_addr v4;

    out[0] = 0;
    if (is_site)
        address.length -= suffix.length;
    if (address.length == 0 || address.length >= sizeof(text) ||
        memchr(address.data, 0, address.length) != NULL)
        return false;
    memcpy(text, address.data, address.length);
    text[address.length] = 0;
    if (inet_pton(AF_INET6, text, &v6) == 1 && !IN6_IS_ADDR_V4MAPPED(&v6)) {
        if (is_site && is_shared(&v6))
            return false;
        write_v6(&v6, out);
        return true;
    }
    if (is_site)
        return false;
    if (inet_pton(AF_INET, text, &v4) != 1) {
        if (inet_pton(AF_INET6, text, &v6) != 1)
            return false;
        memcpy(&v4, v6.s6_addr + 12, sizeof(v4));
    }
    return inet_ntop(AF_INET, &v4, out, ADDRESS_SITE_SIZE) != NULL;
}
