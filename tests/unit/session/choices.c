/* SPDX-License-Identifier: Apache-2.0 */
#include "choices.h"

#include <assert.h>

struct choices choices_from_seed(uint64_t seed)
{
    return (struct choices){.state = seed};
}

struct choices choices_from_bytes(struct view bytes)
{
    return (struct choices){.from_bytes = true, .bytes = bytes};
}

/* splitmix64 */
static uint64_t next_word(struct choices *choices)
{
    uint64_t z = choices->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static unsigned next_byte(struct choices *choices)
{
    unsigned byte;

    if (choices->from_bytes) {
        if (choices->bytes.length == 0) {
            choices->exhausted = true;
            return 0;
        }
        byte = choices->bytes.data[0];
        choices->bytes = view_skip(choices->bytes, 1);
    } else {
        if (choices->bytes_left == 0) {
            choices->word = next_word(choices);
            choices->bytes_left = sizeof(choices->word);
        }
        byte = choices->word & 0xFF;
        choices->word >>= 8;
        choices->bytes_left--;
    }
    if (choices->record != NULL)
        buffer_append_byte(choices->record, (uint8_t)byte);
    return byte;
}

unsigned choices_below(struct choices *choices, unsigned limit)
{
    unsigned number;

    assert(limit > 0 && limit <= 65536);
    if (limit == 1)
        return 0;
    number = next_byte(choices);
    if (limit > 256)
        number = number << 8 | next_byte(choices);
    return number % limit;
}

bool choices_rarely(struct choices *choices, unsigned times)
{
    return times > 1 && choices_below(choices, times) == times - 1;
}
