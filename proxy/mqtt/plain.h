/* SPDX-License-Identifier: Apache-2.0 */
/* The common case of strings and topics, for the hot path: ASCII without U+0000 and wildcards, eight bytes at
 * a time. What is not plain may still be valid; text.c decides. */
#ifndef MQWARD_PROXY_MQTT_PLAIN_H
#define MQWARD_PROXY_MQTT_PLAIN_H

#include "base/view.h"

#define PLAIN_EACH_BYTE(byte) (0x0101010101010101u * (byte))

static inline uint64_t plain_load_word(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return word;
}

/* Has a high bit set exactly when a byte of word is suspicious: not ASCII, U+0000, '+' or '#'. Which byte it
 * is can't be told, since subtraction borrows from the next. */
static inline uint64_t plain_suspicious(uint64_t word)
{
    /* '#' is 0x23 and '+' 0x2B: with bit 3 set both are 0x2B. */
    uint64_t wildcard = (word | PLAIN_EACH_BYTE(0x08)) ^ PLAIN_EACH_BYTE('+');
    return word | (word - PLAIN_EACH_BYTE(1)) | (wildcard - PLAIN_EACH_BYTE(1));
}

static inline bool plain_short(const uint8_t *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (data[i] == 0 || data[i] >= 0x80 || (data[i] | 8) == '+') {
            return false;
        }
    }
    return true;
}

/* True if v is ASCII without U+0000, '+' and '#'. Reads nothing beyond v: the last word overlaps the one
 * before. */
static inline bool codec_is_plain(struct view v)
{
    if (v.length < 8) {
        return plain_short(v.data, v.length);
    }
    const uint8_t *last = v.data + v.length - 8;
    uint64_t found = plain_suspicious(plain_load_word(last));
    for (const uint8_t *at = v.data; at < last; at += 8) {
        found |= plain_suspicious(plain_load_word(at));
    }
    return (found & PLAIN_EACH_BYTE(0x80)) == 0;
}

#endif
