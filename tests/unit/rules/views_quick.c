/* SPDX-License-Identifier: Apache-2.0 */
/* The first look at a message may say "nothing here" only where nothing is. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/memory.h"
#include "generate.h"
#include "rules/views_decode.h"

/* Byte by byte, what each kind of view needs at least. */
static bool has_run(struct view bytes, uint8_t classes, size_t length)
{
    size_t run = 0;

    for (size_t i = 0; i < bytes.length; i++) {
        run = (views_classes[bytes.data[i]] & classes) != 0 ? run + 1 : 0;
        if (run == length)
            return true;
    }
    return false;
}

static bool may_hold_views(struct view bytes)
{
    for (size_t i = 0; i < bytes.length; i++) {
        if (bytes.data[i] == '\\' || bytes.data[i] == 0x1F || bytes.data[i] == 0)
            return true;
    }
    return (bytes.length > 0 && bytes.data[0] >= 0xFE) || views_is_zlib(bytes) ||
           has_run(bytes, VIEWS_CLASS_BASE64 | VIEWS_CLASS_BREAK, VIEWS_BASE64_MIN) ||
           has_run(bytes, VIEWS_CLASS_HEX | VIEWS_CLASS_BETWEEN, VIEWS_HEX_MIN);
}

/* In memory of their own size, so that a read beyond it is an error. */
static void look(const uint8_t *data, size_t length)
{
    uint8_t *copy = memory_calloc(length + 1, 1);

    memcpy(copy, data, length);
    copy = memory_realloc(copy, length == 0 ? 1 : length, 1);
    const struct view bytes = view_of(copy, length);
    if (views_quiet(bytes)) {
        cr_assert_not(may_hold_views(bytes), "%zu bytes", length);
        cr_assert_eq(views_look(bytes, SCAN_VIEWS_ALL), 0);
    }
    free(copy);
}

/* A run of each length at each place of up to four blocks, of each kind of byte. */
Test(views_quick, never_misses_a_run)
{
    static const char fills[] = "aA0+/-_\r\n fx,:;%\t";
    uint8_t bytes[64];

    for (const char *fill = fills; *fill != '\0'; fill++) {
        for (size_t length = 0; length <= sizeof(bytes); length++) {
            for (size_t start = 0; start < length; start++) {
                for (size_t run = 14; run <= 26 && start + run <= length; run++) {
                    memset(bytes, '"', sizeof(bytes));
                    memset(bytes + start, *fill, run);
                    look(bytes, length);
                }
            }
        }
    }
}

/* Each byte alone at each place. */
Test(views_quick, never_misses_a_mark)
{
    uint8_t bytes[50];

    for (unsigned byte = 0; byte < 256; byte++) {
        for (size_t length = 0; length <= sizeof(bytes); length++) {
            for (size_t at = 0; at < length; at++) {
                memset(bytes, '.', sizeof(bytes));
                bytes[at] = (uint8_t)byte;
                look(bytes, length);
            }
        }
    }
}

Test(views_quick, never_misses_anything_by_chance)
{
    static const char letters[] = "aaaaaabF07-x/=+ ,:;\nTG\".\x80\xFF";
    struct random random = {3};
    uint8_t bytes[120];

    for (unsigned round = 0; round < 200000; round++) {
        size_t length = random_below(&random, sizeof(bytes));
        for (size_t i = 0; i < length; i++)
            bytes[i] = random_below(&random, 400) == 0
                           ? (uint8_t)random_next(&random)
                           : (uint8_t)letters[random_below(&random, sizeof(letters) - 1)];
        look(bytes, length);
    }
}

#ifdef __SSE2__
Test(views_quick, ordinary_telemetry_is_quiet)
{
    cr_expect(views_quiet(VIEW("{\"battery\":97,\"humidity\":40.12,\"linkquality\":84}")));
    cr_expect(views_quiet(VIEW("{\"Time\":\"2026-03-01\",\"ENERGY\":{\"Total\":117.42}}")));
    cr_expect(views_quiet(VIEW("{\"Time\":\"2026-03-01T12:00:00\",\"Uptime\":\"14T03:12:09\",\"Heap\":24}")));
    cr_expect_not(views_quiet(VIEW("{\"text\":\"a \\u0041 and more of it\"}")));
    cr_expect_not(views_quiet(VIEW("{\"image\":\"aGVsbG8sIHdvcmxkLCB0aGlz\"}")));
    cr_expect_not(views_quiet(VIEW("short")));
}
#endif
