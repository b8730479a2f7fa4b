/* SPDX-License-Identifier: Apache-2.0 */
/* What of a text nobody can see or trust: all code points, against the list of Unicode's ranges. */
#include <criterion/criterion.h>

#include "base/character.h"

#define CODE_POINTS 0x110000

struct range {
    uint32_t first, last;
};

static bool is_in(uint32_t character, const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (character >= ranges[i].first && character <= ranges[i].last)
            return true;
    return false;
}

/* Unicode 14, DerivedCoreProperties.txt: Default_Ignorable_Code_Point (the reserved ones in it as well) */
static const struct range ignorable[] = {{0xad, 0xad}, {0x34f, 0x34f}, {0x61c, 0x61c}, {0x115f, 0x1160},
    {0x17b4, 0x17b5}, {0x180b, 0x180f}, {0x200b, 0x200f}, {0x202a, 0x202e}, {0x2060, 0x206f},
    {0x3164, 0x3164}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff0, 0xfff8},
    {0x1bca0, 0x1bca3}, {0x1d173, 0x1d17a}, {0xe0000, 0xe0fff}};
/* category Zs but for U+0020, and the pattern of Braille without a dot */
static const struct range blanks[] = {{0xa0, 0xa0}, {0x1680, 0x1680}, {0x2000, 0x200a}, {0x202f, 0x202f},
    {0x205f, 0x205f}, {0x2800, 0x2800}, {0x3000, 0x3000}};
static const struct range anchors[] = {{0xfff9, 0xfffb}};
static const struct range orders[] = {
    {0, 0x1f}, {0x7f, 0x9f}, {0x2028, 0x2029}, {0x202a, 0x202e}, {0x2066, 0x2069}};

#define IS_IN(character, ranges) is_in(character, ranges, sizeof(ranges) / sizeof((ranges)[0]))

Test(character, what_shows_nothing_is_what_unicode_says)
{
    for (uint32_t character = 0; character < CODE_POINTS; character++) {
        const bool hidden =
            IS_IN(character, ignorable) || IS_IN(character, blanks) || IS_IN(character, anchors);

        cr_assert_eq(character_is_invisible(character), hidden, "U+%04X", (unsigned)character);
        cr_assert_eq(character_is_deceptive(character), hidden || IS_IN(character, orders), "U+%04X",
            (unsigned)character);
    }
}
