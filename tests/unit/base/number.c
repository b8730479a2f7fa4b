/* SPDX-License-Identifier: Apache-2.0 */
/* The notation of numbers, sizes, durations and shares. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/number.h"

struct number_row {
    const char *text;
    int status;
    uint64_t value;
};

#define UNTOUCHED 987654321

static void check_rows(int (*parse)(struct view, uint64_t *), const struct number_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t value = UNTOUCHED;
        cr_assert_eq(parse(view_of_string(rows[i].text), &value), rows[i].status, "'%s'", rows[i].text);
        cr_assert_eq(value, rows[i].status == 0 ? rows[i].value : UNTOUCHED, "'%s'", rows[i].text);
    }
}

#define CHECK_ROWS(parse, rows) check_rows(parse, rows, sizeof(rows) / sizeof(rows[0]))

Test(number, reads_decimal_digits_and_nothing_else)
{
    static const struct number_row rows[] = {
        {"0", 0, 0},
        {"7", 0, 7},
        {"18446744073709551615", 0, UINT64_MAX},
        {"18446744073709551616", -1, 0},
        {"184467440737095516150", -1, 0},
        {"99999999999999999999999999", -1, 0},
        {"", -1, 0},
        {"00", -1, 0},
        {"01", -1, 0},
        {"+1", -1, 0},
        {"-1", -1, 0},
        {" 1", -1, 0},
        {"1 ", -1, 0},
        {"1x", -1, 0},
        {"0x10", -1, 0},
        {"1.0", -1, 0},
        {"1e3", -1, 0},
        {"1B", -1, 0},
        {"\xD9\xA1", -1, 0},
    };
    uint64_t value = 0;

    CHECK_ROWS(number_parse, rows);
    cr_assert_eq(number_parse(VIEW("1\0"), &value), -1, "a NUL is trailing text");
    cr_assert_eq(number_parse((struct view){NULL, 0}, &value), -1);
}

Test(number, reads_sizes_in_both_kinds_of_units)
{
    static const struct number_row rows[] = {
        {"0", 0, 0},
        {"512", 0, 512},
        {"512B", 0, 512},
        {"64KiB", 0, 65536},
        {"1MiB", 0, 1048576},
        {"2GiB", 0, UINT64_C(2147483648)},
        {"1KB", 0, 1000},
        {"3MB", 0, 3000000},
        {"1GB", 0, 1000000000},
        {"17179869183GiB", 0, UINT64_C(17179869183) << 30},
        {"17179869184GiB", -1, 0},
        {"18446744073709551615KB", -1, 0},
        {"KiB", -1, 0},
        {"1kib", -1, 0},
        {"1KIB", -1, 0},
        {"1K", -1, 0},
        {"1 KiB", -1, 0},
        {"1.5MiB", -1, 0},
        {"01KiB", -1, 0},
        {"-1KiB", -1, 0},
        {"1KiBs", -1, 0},
        {"1TiB", -1, 0},
        {"1s", -1, 0},
        {"", -1, 0},
    };

    CHECK_ROWS(number_parse_size, rows);
}

Test(number, reads_durations_only_with_a_unit)
{
    static const struct number_row rows[] = {
        {"0", 0, 0},
        {"0s", 0, 0},
        {"250ms", 0, 250},
        {"10s", 0, 10000},
        {"5m", 0, 300000},
        {"2h", 0, 7200000},
        {"30d", 0, UINT64_C(2592000000)},
        {"213503982334d", 0, UINT64_C(213503982334) * 86400000},
        {"213503982335d", -1, 0},
        {"10", -1, 0},
        {"00", -1, 0},
        {"1h30m", -1, 0},
        {"1.5s", -1, 0},
        {"10S", -1, 0},
        {"10 s", -1, 0},
        {"s", -1, 0},
        {"1us", -1, 0},
        {"1w", -1, 0},
        {"", -1, 0},
    };

    CHECK_ROWS(number_parse_duration_ms, rows);
}

Test(number, reads_short_durations_only_with_a_unit)
{
    static const struct number_row rows[] = {
        {"0", 0, 0},
        {"0us", 0, 0},
        {"20us", 0, 20000},
        {"3ms", 0, 3000000},
        {"1s", 0, 1000000000},
        {"18446744073s", 0, UINT64_C(18446744073) * 1000000000},
        {"18446744074s", -1, 0},
        {"20", -1, 0},
        {"20ns", -1, 0},
        {"1m", -1, 0},
        {"0.5ms", -1, 0},
        {"20 us", -1, 0},
        {"20US", -1, 0},
        {"us", -1, 0},
        {"", -1, 0},
    };

    CHECK_ROWS(number_parse_duration_ns, rows);
}

static int parse_share(struct view text, uint64_t *out)
{
    uint32_t ppm = UNTOUCHED;
    int status = number_parse_share_ppm(text, &ppm);

    *out = ppm;
    return status;
}

Test(number, reads_shares_as_parts_per_million)
{
    static const struct number_row rows[] = {
        {"0%", 0, 0},
        {"1%", 0, 10000},
        {"0.5%", 0, 5000},
        {"0.0001%", 0, 1},
        {"12.3456%", 0, 123456},
        {"99.9999%", 0, 999999},
        {"100%", 0, 1000000},
        {"100.0000%", 0, 1000000},
        {"100.0001%", -1, 0},
        {"101%", -1, 0},
        {"429497%", -1, 0},
        {"99999999999999999999%", -1, 0},
        {"0.00001%", -1, 0},
        {"1", -1, 0},
        {"1.%", -1, 0},
        {".5%", -1, 0},
        {"00.5%", -1, 0},
        {"1 %", -1, 0},
        {"-1%", -1, 0},
        {"1%%", -1, 0},
        {"1..5%", -1, 0},
        {"1.5.5%", -1, 0},
        {"%", -1, 0},
        {"", -1, 0},
    };

    CHECK_ROWS(parse_share, rows);
}

Test(number, numbers_are_written_as_printf_writes_them)
{
    static const uint64_t values[] = {
        0, 1, 9, 10, 99, 100, 4294967295, 4294967296, UINT64_MAX - 1, UINT64_MAX};

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char expected[64], out[64];
        int length = snprintf(expected, sizeof(expected), "%llu", (unsigned long long)values[i]);
        *number_put_decimal(out, values[i]) = '\0';
        cr_expect_str_eq(out, expected);
        cr_expect_leq(length, NUMBER_DECIMAL_MAX);
        snprintf(expected, sizeof(expected), "%016llx", (unsigned long long)values[i]);
        *number_put_hex64(out, values[i]) = '\0';
        cr_expect_str_eq(out, expected);
    }
}
