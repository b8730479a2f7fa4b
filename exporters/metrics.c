/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the text format of Prometheus
 * (https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format). Called by
 * proxy/metrics*.c. */
#include "exporters/metrics.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/utf8.h"

#define LABELS_MAX 8
#define SEEN_MIN 64

const char *metrics_type_name(enum metrics_type type)
{
    static const char *const names[] = {"counter", "gauge", "histogram"};

    return names[type];
}

void metrics_begin(struct metrics *metrics, struct buffer *out)
{
    *metrics = (struct metrics){.out = out};
}

void metrics_end(struct metrics *metrics)
{
    free(metrics->seen);
    free(metrics->families);
    *metrics = (struct metrics){0};
}

/* ---- families ---- */

static bool is_name(const char *name, bool colons)
{
    if (!isalpha((unsigned char)*name) && *name != '_')
        return false;
    for (; *name != '\0'; name++)
        if (!isalnum((unsigned char)*name) && *name != '_' && !(colons && *name == ':'))
            return false;
    return true;
}

static bool ends_in(const char *name, const char *end)
{
    return view_ends_with(view_of_string(name), view_of_string(end));
}

void metrics_family(struct metrics *metrics, const struct metrics_family *family)
{
    assert(is_name(family->name, true));
    assert((family->type == METRICS_COUNTER) == ends_in(family->name, "_total"));
    for (size_t i = 0; i < metrics->family_count; i++)
        assert(strcmp(metrics->families[i]->name, family->name) != 0);
    if (metrics->family_count == metrics->family_capacity) {
        metrics->family_capacity = metrics->family_capacity == 0 ? 64 : metrics->family_capacity * 2;
        metrics->families =
            memory_realloc(metrics->families, metrics->family_capacity, sizeof(struct metrics_family *));
    }
    metrics->families[metrics->family_count++] = family;
    metrics->family = family;
    metrics->headed = false;
    metrics->seen_count = 0;
    if (metrics->seen_capacity > 0)
        memset(metrics->seen, 0, metrics->seen_capacity * sizeof(*metrics->seen));
}

/* HELP: backslash and line feed are escaped, nothing else. */
static void write_head(struct metrics *metrics)
{
    const struct metrics_family *family = metrics->family;

    buffer_format(metrics->out, "# HELP %s ", family->name);
    for (const char *c = family->help; *c != '\0'; c++) {
        if (*c == '\\' || *c == '\n')
            buffer_append_byte(metrics->out, '\\');
        buffer_append_byte(metrics->out, *c == '\n' ? 'n' : (uint8_t)*c);
    }
    buffer_format(metrics->out, "\n# TYPE %s %s\n", family->name, metrics_type_name(family->type));
    metrics->headed = true;
}

/* ---- labels ---- */

/* Between quotes: backslash, quote and line feed are escaped. */
static void write_label_value(struct buffer *out, struct view value)
{
    while (value.length > 0) {
        size_t length = utf8_sequence_length(value);

        if (length == 0) {
            buffer_append(out, VIEW("\xEF\xBF\xBD"));
            length = 1;
        } else if (*value.data == '\n')
            buffer_append(out, VIEW("\\n"));
        else {
            if (*value.data == '\\' || *value.data == '"')
                buffer_append_byte(out, '\\');
            buffer_append(out, view_of(value.data, length));
        }
        value = view_skip(value, length);
    }
}

static void write_label(struct buffer *out, bool first, struct view name, struct view value)
{
    buffer_append_byte(out, first ? '{' : ',');
    buffer_append(out, name);
    buffer_append(out, VIEW("=\""));
    write_label_value(out, value);
    buffer_append_byte(out, '"');
}

/* suffix: of the family's name; le: of a bucket, NULL: none. */
static void write_series(
    struct metrics *metrics, const char *suffix, const struct view *values, const char *le)
{
    struct buffer *out = metrics->out;
    const char *name = metrics->family->labels;
    bool first = true;

    buffer_append(out, view_of_string(metrics->family->name));
    buffer_append(out, view_of_string(suffix));
    for (; *name != '\0'; first = false) {
        size_t length = strcspn(name, ",");

        write_label(out, first, view_of(name, length), *values++);
        name += length + (name[length] == ',');
    }
    if (le != NULL)
        write_label(out, first, VIEW("le"), view_of_string(le));
    if (le != NULL || !first)
        buffer_append_byte(out, '}');
    buffer_append_byte(out, ' ');
}

/* ---- series that are there already ---- */

static uint64_t hash_values(const struct metrics_family *family, const struct view *values)
{
    uint64_t hash = 1;

    for (const char *name = family->labels; *name != '\0'; values++) {
        hash = hash * UINT64_C(0x9E3779B97F4A7C15) + hash_bytes(*values);
        name += strcspn(name, ",");
        name += *name == ',';
    }
    return hash == 0 ? 1 : hash;
}

/* False: it was there. */
static bool add_hash(uint64_t *seen, size_t capacity, uint64_t hash)
{
    size_t place = (size_t)hash & (capacity - 1);

    while (seen[place] != 0 && seen[place] != hash)
        place = (place + 1) & (capacity - 1);
    if (seen[place] == hash)
        return false;
    seen[place] = hash;
    return true;
}

static void grow_seen(struct metrics *metrics)
{
    size_t capacity = metrics->seen_capacity == 0 ? SEEN_MIN : metrics->seen_capacity * 2;
    uint64_t *grown = memory_calloc(capacity, sizeof(*grown));

    for (size_t i = 0; i < metrics->seen_capacity; i++)
        if (metrics->seen[i] != 0)
            add_hash(grown, capacity, metrics->seen[i]);
    free(metrics->seen);
    metrics->seen = grown;
    metrics->seen_capacity = capacity;
}

/* False: the family has this series. */
static bool begin_series(struct metrics *metrics, const struct view *values)
{
    assert(metrics->family != NULL);
    if (metrics->seen_count * 2 >= metrics->seen_capacity)
        grow_seen(metrics);
    if (!add_hash(metrics->seen, metrics->seen_capacity, hash_values(metrics->family, values)))
        return false;
    metrics->seen_count++;
    if (!metrics->headed)
        write_head(metrics);
    return true;
}

/* ---- values ---- */

/* Exact, without zeros at the end: 1500000 of 9 digits is 0.0015. */
static void format_decimal(uint64_t value, unsigned digits, char text[48])
{
    uint64_t unit = 1;
    size_t length;

    assert(digits <= 18);
    for (unsigned i = 0; i < digits; i++)
        unit *= 10;
    length = (size_t)snprintf(text, 48, "%" PRIu64, value / unit);
    if (value % unit == 0)
        return;
    length += (size_t)snprintf(text + length, 48 - length, ".%0*" PRIu64, (int)digits, value % unit);
    while (text[length - 1] == '0')
        text[--length] = '\0';
}

void metrics_value(struct metrics *metrics, const struct view *values, uint64_t value)
{
    metrics_decimal(metrics, values, value, 0);
}

void metrics_decimal(struct metrics *metrics, const struct view *values, uint64_t value, unsigned digits)
{
    char text[48];

    assert(metrics->family->type != METRICS_HISTOGRAM);
    if (!begin_series(metrics, values))
        return;
    write_series(metrics, "", values, NULL);
    format_decimal(value, digits, text);
    buffer_format(metrics->out, "%s\n", text);
}

void metrics_histogram(struct metrics *metrics, const struct view *values,
    const struct histogram_bounds *bounds, const struct histogram_total *total)
{
    uint64_t count = 0;
    char text[48];

    assert(metrics->family->type == METRICS_HISTOGRAM);
    if (!begin_series(metrics, values))
        return;
    for (size_t i = 0; i < bounds->count; i++) {
        count += total->buckets[i];
        format_decimal(bounds->ns[i], 9, text);
        write_series(metrics, "_bucket", values, text);
        buffer_format(metrics->out, "%" PRIu64 "\n", count);
    }
    count += total->buckets[bounds->count];
    write_series(metrics, "_bucket", values, "+Inf");
    buffer_format(metrics->out, "%" PRIu64 "\n", count);
    write_series(metrics, "_sum", values, NULL);
    format_decimal(total->sum_ns, 9, text);
    buffer_format(metrics->out, "%s\n", text);
    write_series(metrics, "_count", values, NULL);
    buffer_format(metrics->out, "%" PRIu64 "\n", count);
}
