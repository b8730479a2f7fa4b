/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the small writers of the record's renderer: texts within their caps, numbers that indexes take. */
#include "exporters/record_write.h"

#include "base/clock.h"

struct record_object record_object_begin(struct json *json, const char *key)
{
    struct record_object object = {.before = *json, .length = buffer_length(json->out)};

    json_write_object_begin(json, key);
    return object;
}

void record_object_end(struct json *json, struct record_object object)
{
    bool empty = (json->comma >> json->depth & 1) == 0;

    json_write_object_end(json);
    if (!empty)
        return;
    json->out->end = json->out->start + object.length;
    *json = object.before;
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

void record_append_timestamp(struct buffer *out, uint64_t wall_us)
{
    uint8_t *room = buffer_reserve(out, CLOCK_TIMESTAMP_LENGTH + 2);

    room[0] = '"';
    clock_format_timestamp(wall_us, (char *)room + 1);
    room[CLOCK_TIMESTAMP_LENGTH + 1] = '"';
    out->end += CLOCK_TIMESTAMP_LENGTH + 2;
}
