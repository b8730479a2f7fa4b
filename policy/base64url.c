/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the strict reading of base64 without padding. OpenSSL's decoder takes blanks and padding and forgives
 * left-over bits, so that two different texts would be the same token. Called by jwks.c, jwt.c and
 * password_hash.c. */
#include "policy/base64url.h"

/* last: the two characters that the alphabets differ in. */
static int sextet(uint8_t c, const char last[2])
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == (uint8_t)last[0])
        return 62;
    return c == (uint8_t)last[1] ? 63 : -1;
}

static ssize_t decode(struct view text, const char last[2], uint8_t *out, size_t size)
{
    uint32_t bits = 0;
    unsigned held = 0;
    size_t count = 0;

    if (text.length % 4 == 1)
        return -1;
    for (size_t i = 0; i < text.length; i++) {
        int value = sextet(text.data[i], last);
        if (value < 0)
            return -1;
        bits = (bits << 6 | (uint32_t)value) & 0xffff;
        held += 6;
        if (held >= 8) {
            held -= 8;
            if (count == size)
                return -1;
            out[count++] = (uint8_t)(bits >> held);
        }
    }
    return (bits & ((1U << held) - 1)) != 0 ? -1 : (ssize_t)count;
}

ssize_t base64url_decode(struct view text, uint8_t *out, size_t size)
{
    return decode(text, "-_", out, size);
}

ssize_t base64_decode_unpadded(struct view text, uint8_t *out, size_t size)
{
    return decode(text, "+/", out, size);
}
