/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the small writers of the record's renderer: texts within their caps, numbers that indexes take. */
#include "exporters/record_write.h"

#include "base/clock.h"

void record_text(struct json *json, const char *key, struct view text, size_t cap)
{
    if (text.length > 0)
        json_write_string_capped(json, key, text, cap);
}

void record_texts(struct json *json, const char *key, const struct view *texts, size_t count, size_t cap)
{
    if (count == 0)
        return;
    json_write_array_begin(json, key);
    for (size_t i = 0; i < count; i++)
        record_text(json, NULL, texts[i], cap);
    json_write_array_end(json);
}

void record_number(struct json *json, const char *key, uint64_t value)
{
    json_write_unsigned(json, key, value > INT64_MAX ? INT64_MAX : value);
}

void record_literal(struct json *json, const char *key, const char *text)
{
    json_write_string(json, key, view_of_string(text));
}

void record_timestamp(struct json *json, const char *key, uint64_t wall_us)
{
    char text[CLOCK_TIMESTAMP_LENGTH + 1];

    clock_format_timestamp(wall_us, text);
    record_literal(json, key, text);
}
