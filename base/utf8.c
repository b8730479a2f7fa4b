/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the definition of well-formed UTF-8. utf8_valid() is on the packet path: the codec calls it for every
 * string. */
#include "base/utf8.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)

/* The first byte decides the length and, for the edges, the range of the second (RFC 3629, section 4): this
 * is what keeps out overlong forms, surrogates and everything above U+10FFFF. */
static size_t utf8_multibyte_length(const uint8_t *p, size_t available)
{
    uint8_t first = p[0], low = 0x80, high = 0xBF;
    size_t length;

    if (first < 0xC2)
        return 0;
    if (first < 0xE0) {
        length = 2;
    } else if (first < 0xF0) {
        length = 3;
        if (first == 0xE0)
            low = 0xA0;
        else if (first == 0xED)
            high = 0x9F;
    } else if (first < 0xF5) {
        length = 4;
        if (first == 0xF0)
            low = 0x90;
        else if (first == 0xF4)
            high = 0x8F;
    } else {
        return 0;
    }
    if (length > available || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return length;
}

size_t utf8_sequence_length(struct view v)
{
    if (v.length == 0)
        return 0;
    return v.data[0] < 0x80 ? 1 : utf8_multibyte_length(v.data, v.length);
}

bool utf8_valid(struct view v)
{
    size_t i = 0;

    while (i < v.length) {
        uint64_t words[2];
        /* Topics and names are mostly ASCII: 16 bytes a step, then 8. */
        while (v.length - i >= sizeof(words)) {
            memcpy(words, v.data + i, sizeof(words));
            if (((words[0] | words[1]) & HIGH_BITS) != 0)
                break;
            i += sizeof(words);
        }
        if (v.length - i >= sizeof(words[0])) {
            memcpy(words, v.data + i, sizeof(words[0]));
            if ((words[0] & HIGH_BITS) == 0) {
                i += sizeof(words[0]);
                continue;
            }
        }
        while (i < v.length && v.data[i] < 0x80)
            i++;
        /* Texts that are not ASCII mostly stay so: no new attempt at words before the run is over. */
        while (i < v.length && v.data[i] >= 0x80) {
            size_t length = utf8_multibyte_length(v.data + i, v.length - i);
            if (length == 0)
                return false;
            i += length;
        }
    }
    return true;
}
