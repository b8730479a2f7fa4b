/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the strict reading of base64 without padding. OpenSSL's decoder takes blanks and padding and forgives
 * left-over bits, so that two different texts would be the same token. Called by jwks.c, jwt.c and
 * password_hash.c. */
#include "policy/base64url.h"

/* By character: one more than it stands for; 0 for all that stand for nothing. */
#define DIGITS(c62, c63)                                                                                     \
    {                                                                                                        \
        ['A'] = 1, ['B'] = 2, ['C'] = 3, ['D'] = 4, ['E'] = 5, ['F'] = 6, ['G'] = 7, ['H'] = 8, ['I'] = 9,   \
        ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16, ['Q'] = 17,      \
        ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25,      \
        ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32, ['g'] = 33,      \
        ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41,      \
        ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49,      \
        ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56, ['4'] = 57,      \
        ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, [c62] = 63, [c63] = 64                   \
    }

static const uint8_t url_digits[256] = DIGITS('-', '_');
static const uint8_t plain_digits[256] = DIGITS('+', '/');

/* The bits of count characters, at most 4; or -1. */
static inline int32_t read_group(const uint8_t *text, size_t count, const uint8_t digits[256])
{
    int32_t bits = 0;

    for (size_t i = 0; i < count; i++) {
        int digit = digits[text[i]];

        if (digit == 0)
            return -1;
        bits = bits << 6 | (digit - 1);
    }
    return bits;
}

/* In groups: the header of a signature is decoded for each message that has one. */
static ssize_t decode(struct view text, const uint8_t digits[256], uint8_t *out, size_t size)
{
    size_t rest = text.length % 4, groups = text.length / 4;
    size_t length = groups * 3 + (rest == 0 ? 0 : rest - 1);
    const uint8_t *from = text.data;
    int32_t bits;

    if (rest == 1 || length > size)
        return -1;
    for (size_t i = 0; i < groups; i++, from += 4, out += 3) {
        bits = read_group(from, 4, digits);
        if (bits < 0)
            return -1;
        out[0] = (uint8_t)(bits >> 16);
        out[1] = (uint8_t)(bits >> 8);
        out[2] = (uint8_t)bits;
    }
    if (rest == 0)
        return (ssize_t)length;
    bits = read_group(from, rest, digits);
    if (bits < 0 || (bits & ((1 << (rest == 2 ? 4 : 2)) - 1)) != 0)
        return -1;
    bits >>= rest == 2 ? 4 : 2;
    if (rest == 3)
        *out++ = (uint8_t)(bits >> 8);
    *out = (uint8_t)bits;
    return (ssize_t)length;
}

ssize_t base64url_decode(struct view text, uint8_t *out, size_t size)
{
    return decode(text, url_digits, out, size);
}

ssize_t base64_decode_unpadded(struct view text, uint8_t *out, size_t size)
{
    return decode(text, plain_digits, out, size);
}
