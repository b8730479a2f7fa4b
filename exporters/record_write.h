/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the record's renderer write members with. */
#ifndef MQWARD_EXPORTERS_RECORD_WRITE_H
#define MQWARD_EXPORTERS_RECORD_WRITE_H

#include "base/json.h"
#include "exporters/audit.h"
#include "exporters/audit_fields.h"

/* A text of the event, if it is there. */
#define RECORD_TEXT(json, key, event, member) record_text((json), (key), (event)->member, AUDIT_CAP_##member)
/* A list of the event, if it has elements. */
#define RECORD_LIST(json, key, event, member, count)                                                         \
    record_texts((json), (key), (event)->member, (event)->count, AUDIT_CAP_##member)

void record_text(struct json *json, const char *key, struct view text, size_t cap);
void record_texts(struct json *json, const char *key, const struct view *texts, size_t count, size_t cap);
/* Indexes map numbers to a signed 64-bit type and refuse the whole document for more: what is more becomes
 * that. */
void record_number(struct json *json, const char *key, uint64_t value);
void record_literal(struct json *json, const char *key, const char *text);
void record_timestamp(struct json *json, const char *key, uint64_t wall_us);

#endif
