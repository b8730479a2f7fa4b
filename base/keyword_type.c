/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the kinds of values: which setter reads which, and how quantities are read and shown. Called by
 * keyword.c (reading), keyword_reference.c (the manual) and keyword_schema.c. */
#include "base/keyword_type.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/number.h"

#define WHOLE_NUMBER "(0|[1-9][0-9]*)"

const struct quantity quantity_number = {.expected = "a whole number",
    .parse = number_parse,
    .bare = true,
    .pattern = "^" WHOLE_NUMBER "$",
    .units = {{1, ""}}};
const struct quantity quantity_size = {.expected = "a size",
    .hint = "a number and, without a blank, one of B, KiB, MiB, GiB, KB, MB, GB: 64KiB",
    .parse = number_parse_size,
    .pattern = "^" WHOLE_NUMBER "(B|KiB|MiB|GiB|KB|MB|GB)?$",
    .units = {{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}, {1, ""}}};
const struct quantity quantity_duration = {.expected = "a duration",
    .hint = "a number and, without a blank, one of ms, s, m, h, d: 10s",
    .parse = number_parse_duration_ms,
    .bare_zero_only = true,
    .pattern = "^(0|" WHOLE_NUMBER "(ms|s|m|h|d))$",
    .units = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}}};
const struct quantity quantity_short_duration = {.expected = "a duration",
    .hint = "a number and, without a blank, one of us, ms, s: 20us",
    .parse = number_parse_duration_ns,
    .bare_zero_only = true,
    .pattern = "^(0|" WHOLE_NUMBER "(us|ms|s))$",
    .units = {{1000000000, "s"}, {1000000, "ms"}, {1000, "us"}, {1, "ns"}}};

struct keyword_quantity_text quantity_show(const struct quantity *quantity, uint64_t value)
{
    const struct quantity_unit *unit = quantity->units;
    while (unit->factor > 1 && (value < unit->factor || value % unit->factor != 0))
        unit++;
    struct keyword_quantity_text text;
    const char *suffix = value == 0 ? "" : unit->suffix;
    snprintf(text.bytes, sizeof(text.bytes), "%" PRIu64 "%s", value / unit->factor, suffix);
    return text;
}

struct keyword_quantity_text keyword_show_size(uint64_t bytes)
{
    return quantity_show(&quantity_size, bytes);
}

struct keyword_quantity_text keyword_show_duration(uint64_t ms)
{
    return quantity_show(&quantity_duration, ms);
}

struct keyword_range_text quantity_show_range(const struct quantity *quantity, const struct keyword *keyword)
{
    struct keyword_range_text text = {""};
    struct keyword_quantity_text minimum = quantity_show(quantity, keyword->minimum);
    struct keyword_quantity_text maximum = quantity_show(quantity, keyword->maximum);
    if (keyword->maximum != 0)
        snprintf(text.bytes, sizeof(text.bytes), "from %s to %s", minimum.bytes, maximum.bytes);
    else if (keyword->minimum != 0)
        snprintf(text.bytes, sizeof(text.bytes), "at least %s", minimum.bytes);
    return text;
}

static const struct {
    keyword_set *set;
    struct keyword_type type;
} types_by_setter[] = {
    {keyword_set_string, {KEYWORD_KIND_TEXT, "string", NULL}},
    {keyword_set_strings, {KEYWORD_KIND_TEXTS, "list of strings", NULL}},
    {keyword_set_boolean, {KEYWORD_KIND_BOOLEAN, "`true` or `false`", NULL}},
    {keyword_set_number, {KEYWORD_KIND_QUANTITY, "number", &quantity_number}},
    {keyword_set_size, {KEYWORD_KIND_QUANTITY, "size", &quantity_size}},
    {keyword_set_duration_ms, {KEYWORD_KIND_QUANTITY, "duration", &quantity_duration}},
    {keyword_set_duration_ns, {KEYWORD_KIND_QUANTITY, "duration", &quantity_short_duration}},
    {keyword_set_share_ppm, {KEYWORD_KIND_SHARE, "share", NULL}},
    {keyword_set_choice, {KEYWORD_KIND_CHOICE, "choice", NULL}},
    {keyword_set_choices, {KEYWORD_KIND_CHOICES, "choices", NULL}},
    {keyword_set_mapping, {KEYWORD_KIND_MAPPING, "mapping", NULL}},
};

static const struct keyword_type types_by_shape[] = {
    [KEYWORD_MAPPING] = {KEYWORD_KIND_MAPPING, "mapping", NULL},
    [KEYWORD_LIST] = {KEYWORD_KIND_LIST, "list of mappings", NULL},
    [KEYWORD_NAMED] = {KEYWORD_KIND_NAMED, "mapping of names to mappings", NULL},
    [KEYWORD_PAIRS] = {KEYWORD_KIND_PAIRS, "mapping", NULL},
};

struct keyword_type keyword_type_of(const struct keyword *keyword)
{
    keyword_set *set = keyword->like != NULL ? keyword->like : keyword->set;
    if (keyword->shape != KEYWORD_BY_SETTER)
        return types_by_shape[keyword->shape];
    for (size_t i = 0; i < sizeof(types_by_setter) / sizeof(types_by_setter[0]); i++) {
        if (types_by_setter[i].set == set)
            return types_by_setter[i].type;
    }
    return (struct keyword_type){KEYWORD_KIND_UNKNOWN, "value", NULL};
}
