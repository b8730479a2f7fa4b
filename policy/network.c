/* SPDX-License-Identifier: Apache-2.0 */
/* Owns networks: the conditions net: of groups. Called by compile.c and identity.c. IPv4 addresses are kept
 * mapped into IPv6, so that a client that a dual-stack socket shows as ::ffff:10.0.0.1 is in 10.0.0.0/8. */
#include "policy/network.h"

#include <arpa/inet.h>

#include "base/number.h"

#define MAPPED_BITS 96

static bool parse_bare(struct view text, uint8_t address[16], bool *is_v4)
{
    char buffer[INET6_ADDRSTRLEN + 1];
    if (text.length == 0 || text.length >= sizeof(buffer) || memchr(text.data, '\0', text.length) != NULL)
        return false;
    memcpy(buffer, text.data, text.length);
    buffer[text.length] = '\0';
    *is_v4 = inet_pton(AF_INET, buffer, address + 12) == 1;
    if (!*is_v4)
        return inet_pton(AF_INET6, buffer, address) == 1;
    memset(address, 0, 10);
    memset(address + 10, 0xff, 2);
    return true;
}

bool network_parse_address(struct view text, uint8_t address[16])
{
    bool is_v4;
    const uint8_t *zone = text.length == 0 ? NULL : memchr(text.data, '%', text.length);
    if (zone != NULL)
        text.length = (size_t)(zone - text.data);
    return parse_bare(text, address, &is_v4);
}

/* Clears the bits behind the prefix; true if one was set. */
static bool clear_host_bits(struct network *network)
{
    bool found = false;
    for (unsigned i = 0; i < 16; i++) {
        unsigned bits = network->bits > i * 8 ? network->bits - i * 8 : 0;
        uint8_t mask = (uint8_t)(0xff00 >> (bits > 8 ? 8 : bits));
        found = found || (network->address[i] & ~mask) != 0;
        network->address[i] &= mask;
    }
    return found;
}

enum network_error network_parse(struct view text, struct network *out)
{
    const uint8_t *slash = text.length == 0 ? NULL : memchr(text.data, '/', text.length);
    struct view address = text;
    bool is_v4;

    if (slash != NULL)
        address.length = (size_t)(slash - text.data);
    if (!parse_bare(address, out->address, &is_v4))
        return NETWORK_MALFORMED;
    uint64_t bits = is_v4 ? 32 : 128;
    if (slash != NULL) {
        uint64_t written;
        if (number_parse(view_skip(text, address.length + 1), &written) != 0 || written > bits)
            return NETWORK_MALFORMED;
        bits = written;
    }
    out->bits = (uint8_t)(bits + (is_v4 ? MAPPED_BITS : 0));
    return clear_host_bits(out) ? NETWORK_HOST_BITS : NETWORK_OK;
}

bool network_contains(const struct network *network, const uint8_t address[16])
{
    unsigned whole = network->bits / 8, rest = network->bits % 8;
    if (memcmp(network->address, address, whole) != 0)
        return false;
    return rest == 0 || ((network->address[whole] ^ address[whole]) & (0xff00 >> rest) & 0xff) == 0;
}
