/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the record's renderer write members with. */
#ifndef MQWARD_EXPORTERS_RECORD_WRITE_H
#define MQWARD_EXPORTERS_RECORD_WRITE_H

#include "base/json.h"
#include "exporters/audit.h"
#include "exporters/audit_fields.h"
#include "exporters/record.h"

/* A text of the event, if it is there. */
#define RECORD_TEXT(json, key, event, member) record_text((json), (key), (event)->member, AUDIT_CAP_##member)
/* A list of the event, if it has elements. */
#define RECORD_LIST(json, key, event, member, count)                                                         \
    record_texts((json), (key), (event)->member, (event)->count, AUDIT_CAP_##member)

/* An object that is left out if nothing was written into it. The end takes what the begin returned. */
struct record_object {
    struct json before;
    size_t length;
};
struct record_object record_object_begin(struct json *json, const char *key);
void record_object_end(struct json *json, struct record_object object);
JSON_INLINE void record_text(struct json *json, const char *key, struct view text, size_t cap)
{
    if (text.length > 0)
        json_write_string_capped(json, key, text, cap);
}
void record_texts(struct json *json, const char *key, const struct view *texts, size_t count, size_t cap);
/* Indexes map numbers to a signed 64-bit type and refuse the whole document for more: what is more becomes
 * that. */
JSON_INLINE void record_number(struct json *json, const char *key, uint64_t value)
{
    json_write_unsigned(json, key, value > INT64_MAX ? INT64_MAX : value);
}
void record_append_timestamp(struct buffer *out, uint64_t wall_us);
JSON_INLINE void record_timestamp(struct json *json, const char *key, uint64_t wall_us)
{
    json_write_key(json, key);
    record_append_timestamp(json->out, wall_us);
}
/* mqward.checkpoint; nothing for NULL. */
void record_checkpoint(struct json *json, const struct record_checkpoint *checkpoint);

#endif
