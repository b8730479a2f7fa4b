/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the syntax of topic names and filters. topic_name_valid() is on the packet path: once for every
 * PUBLISH. */
#include "base/topic.h"

#define TOPIC_LENGTH_MAXIMUM 65535

#define ONES UINT64_C(0x0101010101010101)
#define HIGH_BITS UINT64_C(0x8080808080808080)

/* Not zero if a byte of word is zero. Exact as a yes or no; which byte is not asked. */
static inline uint64_t topic_zero_byte(uint64_t word)
{
    return (word - ONES) & ~word & HIGH_BITS;
}

static inline uint64_t topic_forbidden_byte(uint64_t word)
{
    return topic_zero_byte(word) | topic_zero_byte(word ^ (ONES * '+')) |
           topic_zero_byte(word ^ (ONES * '#'));
}

bool topic_name_valid(struct view name)
{
    uint64_t word, found = 0;
    size_t i = 0;

    if (name.length == 0 || name.length > TOPIC_LENGTH_MAXIMUM)
        return false;
    if (name.length < sizeof(word)) {
        for (; i < name.length; i++)
            if (name.data[i] == '+' || name.data[i] == '#' || name.data[i] == '\0')
                return false;
        return true;
    }
    for (; name.length - i >= sizeof(word); i += sizeof(word)) {
        memcpy(&word, name.data + i, sizeof(word));
        found |= topic_forbidden_byte(word);
    }
    /* The rest, with what is before it once more. */
    memcpy(&word, name.data + name.length - sizeof(word), sizeof(word));
    return (found | topic_forbidden_byte(word)) == 0;
}

bool topic_filter_valid(struct view filter)
{
    if (filter.length == 0 || filter.length > TOPIC_LENGTH_MAXIMUM)
        return false;
    for (size_t i = 0; i < filter.length; i++) {
        uint8_t byte = filter.data[i];
        if (byte == '\0')
            return false;
        if (byte != '+' && byte != '#')
            continue;
        bool last = i + 1 == filter.length;
        if (i > 0 && filter.data[i - 1] != '/')
            return false;
        if (byte == '#' ? !last : !last && filter.data[i + 1] != '/')
            return false;
    }
    return true;
}

size_t topic_levels(struct view topic)
{
    size_t levels = 1;

    for (size_t i = 0; i < topic.length; i++)
        levels += topic.data[i] == '/';
    return levels;
}
