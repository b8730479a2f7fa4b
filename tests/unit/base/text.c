/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8, topics, time stamps, reasons and hashes: each against a slow second implementation or a table. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/reason.h"
#include "base/topic.h"
#include "base/utf8.h"
#include "check.h"

/* The second implementation: decode the bits, then ask whether the result is a scalar value in its shortest
 * form. */
static size_t slow_sequence_length(const uint8_t *p, size_t length)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t count = p[0] < 0x80             ? 1
                   : (p[0] & 0xE0) == 0xC0 ? 2
                   : (p[0] & 0xF0) == 0xE0 ? 3
                   : (p[0] & 0xF8) == 0xF0 ? 4
                                           : 0;
    uint32_t scalar = count < 2 ? p[0] : p[0] & (0x7Fu >> count);

    if (count == 0 || count > length)
        return 0;
    for (size_t i = 1; i < count; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        scalar = scalar << 6 | (p[i] & 0x3F);
    }
    if (scalar < smallest[count] || scalar > 0x10FFFF || (scalar >= 0xD800 && scalar <= 0xDFFF))
        return 0;
    return count;
}

static bool slow_valid(const uint8_t *p, size_t length)
{
    for (size_t i = 0, count; i < length; i += count)
        if ((count = slow_sequence_length(p + i, length - i)) == 0)
            return false;
    return true;
}

Test(utf8, every_sequence_of_three_bytes)
{
    for (uint32_t i = 0x800000; i <= 0xFFFFFF; i++) {
        const uint8_t bytes[3] = {(uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        CHECK(utf8_sequence_length(view_of(bytes, 3)) == slow_sequence_length(bytes, 3), "%06x", i);
    }
}

Test(utf8, every_start_of_four_bytes_at_every_length)
{
    static const uint8_t last[] = {0x00, 0x7F, 0x80, 0xBF, 0xC0, 0xFF};

    for (uint32_t i = 0; i <= 0xFFFF; i++)
        for (size_t third = 0; third < 6; third++)
            for (size_t fourth = 0; fourth < 6; fourth++) {
                const uint8_t bytes[4] = {(uint8_t)(i >> 8), (uint8_t)i, last[third], last[fourth]};
                for (size_t length = 1; length <= 4; length++)
                    CHECK(
                        utf8_sequence_length(view_of(bytes, length)) == slow_sequence_length(bytes, length));
            }
    cr_assert_eq(utf8_sequence_length((struct view){NULL, 0}), 0);
}

/* Texts on the heap at their exact size, so that a read past the end is found. */
Test(utf8, texts_of_every_length_with_something_at_every_place)
{
    static const char *const pieces[] = {"\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x90\x8D", "\x80", "\xC0\xAF",
        "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF", "\xC3", "\xE2\x82"};

    for (size_t length = 0; length <= 40; length++)
        for (size_t place = 0; place <= length; place++)
            for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
                size_t piece = strlen(pieces[i]);
                uint8_t *text = malloc(length + piece);
                memset(text, 'a', length + piece);
                memcpy(text + place, pieces[i], piece);
                CHECK(utf8_valid(view_of(text, length + piece)) == slow_valid(text, length + piece));
                free(text);
            }
    cr_assert(utf8_valid((struct view){NULL, 0}));
    cr_assert(utf8_valid(VIEW("a\0b")), "U+0000 is the codec's matter");
}

Test(utf8, random_mixtures)
{
    uint64_t state = 11;

    for (int round = 0; round < 200000; round++) {
        uint8_t text[32];
        size_t length = 0;
        while (length < 20) { /* well-formed pieces, so that a break is rare enough to matter */
            static const char *const pieces[] = {
                "abcdefgh", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x90\x8D", "z"};
            const char *piece = pieces[check_random(&state) % 5];
            memcpy(text + length, piece, strlen(piece));
            length += strlen(piece);
        }
        if (round % 2 == 0)
            text[check_random(&state) % length] = (uint8_t)check_random(&state);
        CHECK(utf8_valid(view_of(text, length)) == slow_valid(text, length));
    }
}

Test(topic, names_have_no_wildcard_and_no_nul_at_any_place)
{
    for (size_t length = 1; length <= 40; length++)
        for (size_t place = 0; place < length; place++)
            for (int byte = 0; byte < 256; byte++) {
                uint8_t *name = malloc(length);
                memset(name, place % 2 ? 'x' : 0x80, length);
                name[place] = (uint8_t)byte;
                CHECK(topic_name_valid(view_of(name, length)) == (byte != 0 && byte != '+' && byte != '#'));
                free(name);
            }
}

Test(topic, lengths_are_1_to_65535)
{
    static uint8_t text[65536];

    memset(text, 'a', sizeof(text));
    cr_assert_not(topic_name_valid((struct view){NULL, 0}));
    cr_assert_not(topic_filter_valid((struct view){NULL, 0}));
    cr_assert(topic_name_valid(view_of(text, 65535)));
    cr_assert(topic_filter_valid(view_of(text, 65535)));
    cr_assert_not(topic_name_valid(view_of(text, 65536)));
    cr_assert_not(topic_filter_valid(view_of(text, 65536)));
}

Test(topic, filters_have_wildcards_alone_in_their_levels)
{
    static const char *const good[] = {"#", "+", "/", "a", "a/#", "+/#", "/#", "/+", "+/", "a/+/b", "+/+/+",
        "a//b", "$SYS/#", "/+/", " ", "sport/+/player1", "+/tennis/#"};
    static const char *const bad[] = {"a#", "#/", "#/a", "a/#/b", "a+", "+a", "a/+b", "a/b+/c", "++", "##",
        "+#", "a/##", "sport/tennis#", "sport/tennis/#/ranking", "sport+", "/++/", "#a"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_assert(topic_filter_valid(view_of_string(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_not(topic_filter_valid(view_of_string(bad[i])), "%s", bad[i]);
    cr_assert_not(topic_filter_valid(VIEW("a\0b")));
    cr_assert_not(topic_filter_valid(VIEW("\0")));
}

Test(topic, levels_are_one_more_than_slashes)
{
    cr_assert_eq(topic_levels(VIEW("a")), 1);
    cr_assert_eq(topic_levels(VIEW("/")), 2);
    cr_assert_eq(topic_levels(VIEW("a/b/c")), 3);
    cr_assert_eq(topic_levels(VIEW("//")), 3);
}

static void expect_timestamp(uint64_t seconds, unsigned microseconds)
{
    char expected[64], text[CLOCK_TIMESTAMP_LENGTH + 1];
    time_t time = (time_t)seconds;
    struct tm tm;

    gmtime_r(&time, &tm);
    size_t length = strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(expected + length, sizeof(expected) - length, ".%06uZ", microseconds);
    clock_format_timestamp(seconds * 1000000 + microseconds, text);
    CHECK(strcmp(text, expected) == 0, "%s is not %s", text, expected);
}

Test(clock, time_stamps_are_those_of_the_c_library)
{
    uint64_t state = 5;

    for (uint64_t day = 0; day < 2932896; day += day < 50000 ? 1 : 97) {
        expect_timestamp(day * 86400, 0);
        expect_timestamp(day * 86400 + 86399, 999999);
    }
    for (int i = 0; i < 50000; i++)
        expect_timestamp(
            check_random(&state) % UINT64_C(253402300800), (unsigned)(check_random(&state) % 1000000));
    expect_timestamp(UINT64_C(253402300799), 999999);
}

Test(clock, has_a_known_form_and_a_last_year)
{
    char text[CLOCK_TIMESTAMP_LENGTH + 1];

    clock_format_timestamp(UINT64_C(1767323046001245), text);
    cr_assert_str_eq(text, "2026-01-02T03:04:06.001245Z");
    clock_format_timestamp(UINT64_MAX, text);
    cr_assert_str_eq(text, "9999-12-31T23:59:59.999999Z");
}

Test(clock, runs)
{
    time_t first = time(NULL);
    uint64_t before = clock_monotonic_ms();
    time_t wall = (time_t)(clock_wall_us() / 1000000);

    cr_assert_leq(before, clock_monotonic_ms());
    cr_assert(wall >= first && wall <= time(NULL) + 1);
}

Test(reason, every_reason_has_its_row)
{
    for (int i = 0; i < REASON_COUNT; i++) {
        const struct reason_info *info = reason_info((enum reason)i);
        cr_assert_not_null(info->name);
        cr_assert_gt(strlen(info->text), 0);
        cr_assert_eq(strlen(info->code), 8, "%s", info->name);
        cr_assert(
            info->severity == 21 || info->severity == 47 || info->severity == 73 || info->severity == 99);
        cr_assert_leq(info->v3, 5);
        for (int k = 0; k < i; k++) {
            cr_assert_str_neq(info->name, reason_info((enum reason)k)->name);
            cr_assert_str_neq(info->code, reason_info((enum reason)k)->code, "%s", info->name);
        }
    }
    cr_assert_str_eq(reason_info(REASON_no_allow)->name, "no_allow");
    cr_assert_eq(reason_info(REASON_no_allow)->v5, 0x87);
}

/* Each bit that goes in changes about half of the bits that come out. */
Test(hash, depends_on_every_bit_at_every_length)
{
    uint8_t text[70] = {0};

    hash_initialize();
    for (size_t length = 1; length <= sizeof(text); length++) {
        uint64_t hash = hash_bytes(view_of(text, length));
        unsigned changed = 0;
        for (size_t bit = 0; bit < length * 8; bit++) {
            text[bit / 8] ^= (uint8_t)(1 << bit % 8);
            uint64_t other = hash_bytes(view_of(text, length));
            text[bit / 8] ^= (uint8_t)(1 << bit % 8);
            CHECK(other != hash);
            changed += (unsigned)__builtin_popcountll(other ^ hash);
        }
        CHECK(changed > length * 8 * 24 && changed < length * 8 * 40, "length %zu: %u", length, changed);
        CHECK(hash_bytes(view_of(text, length - 1)) != hash, "zeroes of different lengths");
    }
}

Test(hash, fills_a_table_evenly)
{
    static unsigned buckets[1024];
    char topic[64];

    hash_initialize();
    for (int i = 0; i < 102400; i++) {
        int length = snprintf(topic, sizeof(topic), "plant/a/sensor/%d/temperature", i);
        buckets[hash_bytes(view_of(topic, (size_t)length)) % 1024]++;
    }
    for (int i = 0; i < 1024; i++) /* 100 expected, deviation 10 */
        CHECK(buckets[i] > 40 && buckets[i] < 175, "%u", buckets[i]);
}

Test(hash, is_keyed_once_a_process)
{
    uint64_t before = hash_bytes(VIEW("topic"));

    hash_initialize();
    uint64_t keyed = hash_bytes(VIEW("topic"));
    cr_assert_neq(before, keyed);
    hash_initialize();
    cr_assert_eq(hash_bytes(VIEW("topic")), keyed);
    cr_assert_eq(hash_bytes((struct view){NULL, 0}), hash_bytes(VIEW("")));
}

Test(clock, times_of_files_are_read)
{
    static const struct {
        const char *text;
        uint64_t seconds;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01T00:00:01Z", 1},
        {"2000-02-29T12:00:00Z", 951825600},
        {"2024-02-29T23:59:59Z", 1709251199},
        {"2026-01-02T03:04:05Z", 1767323045},
        {"2100-03-01T00:00:00Z", 4107542400},
        {"9999-12-31T23:59:59Z", 253402300799},
    };
    static const char *const bad[] = {"", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04:05z",
        "2026-01-02t03:04:05Z", "2026-01-02 03:04:05Z", "2026-01-02T03:04:05.0Z", "2026-01-02T03:04:05+00:00",
        "1969-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-13-01T00:00:00Z",
        "2026-01-00T00:00:00Z", "2026-01-32T00:00:00Z", "2026-04-31T00:00:00Z", "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-12-31T23:59:60Z",
        "2026-1-002T03:04:05Z", "+026-01-02T03:04:05Z", "2026-01-02T03:04: 5Z"};
    uint64_t seconds = 7;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char text[CLOCK_SECONDS_LENGTH + 1];
        cr_expect_eq(clock_parse_seconds(view_of_string(good[i].text), &seconds), 0, "%s", good[i].text);
        cr_expect_eq(seconds, good[i].seconds, "%s", good[i].text);
        clock_format_seconds(seconds, text);
        cr_expect_str_eq(text, good[i].text);
    }
    seconds = 7;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_eq(clock_parse_seconds(view_of_string(bad[i]), &seconds), -1, "'%s'", bad[i]);
    cr_expect_eq(seconds, 7);
}

/* What is written was compared with the C library above. */
Test(clock, each_day_is_read_as_it_is_written)
{
    for (uint64_t day = 0; day < 2932897; day += 13) {
        char text[CLOCK_SECONDS_LENGTH + 1];
        uint64_t seconds = 0;
        clock_format_seconds(day * 86400 + 4711, text);
        CHECK(clock_parse_seconds(view_of_string(text), &seconds) == 0 && seconds == day * 86400 + 4711, "%s",
            text);
    }
}

Test(clock, a_timestamp_is_read_as_it_is_written_and_in_no_other_way)
{
    static const char *const bad[] = {"", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.00124Z",
        "2026-01-02T03:04:05.0012456Z", "2026-01-02T03:04:05,001245Z", "2026-01-02T03:04:05.001245z",
        "2026-01-02T03:04:05.00124 Z", "2026-01-02T03:04:05.+01245Z", "2026-01-02 03:04:05.001245Z",
        "2026-02-29T03:04:05.001245Z", "2026-01-02T24:00:00.001245Z", "1969-12-31T23:59:59.999999Z"};
    const uint64_t last = UINT64_C(253402300799999999);
    char text[CLOCK_TIMESTAMP_LENGTH + 1];
    uint64_t back = 7;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_eq(clock_parse_timestamp(view_of_string(bad[i]), &back), -1, "'%s'", bad[i]);
    cr_expect_eq(back, 7);
    for (uint64_t wall_us = 0; wall_us <= last; wall_us += 1 + last / 100003) {
        clock_format_timestamp(wall_us, text);
        CHECK(clock_parse_timestamp(view_of_string(text), &back) == 0 && back == wall_us, "%s", text);
    }
}
