/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the notation of numbers in files. Called by the keyword setters and by the policy reader. */
#include "base/number.h"

#define PPM_A_PERCENT 10000
#define SHARE_DECIMALS 4

struct number_unit {
    const char *suffix;
    uint64_t factor;
};

static const struct number_unit number_sizes[] = {
    {"", 1},
    {"B", 1},
    {"KiB", UINT64_C(1) << 10},
    {"MiB", UINT64_C(1) << 20},
    {"GiB", UINT64_C(1) << 30},
    {"KB", 1000},
    {"MB", 1000000},
    {"GB", 1000000000},
};

static const struct number_unit number_durations[] = {
    {"ms", 1},
    {"s", 1000},
    {"m", 60 * 1000},
    {"h", 60 * 60 * 1000},
    {"d", 24 * 60 * 60 * 1000},
};

static const struct number_unit number_short_durations[] = {
    {"us", 1000},
    {"ms", 1000 * 1000},
    {"s", 1000 * 1000 * 1000},
};

/* The digits at the start of text: how many, 0 if there are none, too many or a leading zero. */
static size_t number_read_digits(struct view text, uint64_t *out)
{
    uint64_t value = 0;
    size_t length = 0;

    for (; length < text.length && text.data[length] >= '0' && text.data[length] <= '9'; length++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text.data[length] - '0'), &value))
            return 0;
    if (length > 1 && text.data[0] == '0')
        return 0;
    *out = value;
    return length;
}

static int number_parse_unit(struct view text, const struct number_unit *units, size_t count, uint64_t *out)
{
    uint64_t value;
    size_t digits = number_read_digits(text, &value);
    struct view suffix = view_skip(text, digits);

    if (digits == 0)
        return -1;
    for (size_t i = 0; i < count; i++) {
        if (!view_equal_string(suffix, units[i].suffix))
            continue;
        if (__builtin_mul_overflow(value, units[i].factor, &value))
            return -1;
        *out = value;
        return 0;
    }
    return -1;
}

int number_parse(struct view text, uint64_t *out)
{
    return number_parse_unit(text, number_sizes, 1, out);
}

int number_parse_size(struct view text, uint64_t *out)
{
    return number_parse_unit(text, number_sizes, sizeof(number_sizes) / sizeof(number_sizes[0]), out);
}

static int number_parse_duration(
    struct view text, const struct number_unit *units, size_t count, uint64_t *out)
{
    if (view_equal(text, VIEW("0"))) { /* nothing is nothing in every unit */
        *out = 0;
        return 0;
    }
    return number_parse_unit(text, units, count, out);
}

int number_parse_duration_ms(struct view text, uint64_t *out)
{
    return number_parse_duration(
        text, number_durations, sizeof(number_durations) / sizeof(number_durations[0]), out);
}

int number_parse_duration_ns(struct view text, uint64_t *out)
{
    return number_parse_duration(text, number_short_durations,
        sizeof(number_short_durations) / sizeof(number_short_durations[0]), out);
}

/* ".5" as parts per million of a percent's hundred: the digits after the point, filled up to four. Returns
 * the bytes read including the point; 0 if there is no such fraction. */
static size_t number_read_fraction(struct view text, uint32_t *out)
{
    uint32_t value = 0;
    size_t decimals = 0;

    if (text.length == 0 || text.data[0] != '.')
        return 0;
    while (decimals + 1 < text.length && text.data[decimals + 1] >= '0' && text.data[decimals + 1] <= '9') {
        if (decimals == SHARE_DECIMALS)
            return 0;
        value = value * 10 + (uint32_t)(text.data[++decimals] - '0');
    }
    if (decimals == 0)
        return 0;
    for (size_t i = decimals; i < SHARE_DECIMALS; i++)
        value *= 10;
    *out = value;
    return decimals + 1;
}

int number_parse_share_ppm(struct view text, uint32_t *out)
{
    uint64_t percent;
    uint32_t fraction = 0;
    size_t digits = number_read_digits(text, &percent);

    if (digits == 0 || percent > 100)
        return -1;
    text = view_skip(text, digits);
    text = view_skip(text, number_read_fraction(text, &fraction));
    uint32_t ppm = (uint32_t)percent * PPM_A_PERCENT + fraction;
    if (!view_equal(text, VIEW("%")) || ppm > 100 * PPM_A_PERCENT)
        return -1;
    *out = ppm;
    return 0;
}

/* ---- writing ---- */

char *number_put_decimal(char *out, uint64_t value)
{
    char digits[NUMBER_DECIMAL_MAX];
    size_t start = sizeof(digits);

    do
        digits[--start] = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    memcpy(out, digits + start, sizeof(digits) - start);
    return out + sizeof(digits) - start;
}

char *number_put_hex64(char *out, uint64_t value)
{
    static const char hex[] = "0123456789abcdef";

    for (int shift = 60; shift >= 0; shift -= 4)
        *out++ = hex[value >> shift & 0xF];
    return out;
}
