/* SPDX-License-Identifier: Apache-2.0 */
/* The names of all fields that a record can have, for what reads records and is told names by people. */
#ifndef MQWARD_EXPORTERS_RECORD_FIELDS_H
#define MQWARD_EXPORTERS_RECORD_FIELDS_H

#include "base/view.h"

/* Of a list: the kind of its elements. */
enum record_field_kind { RECORD_FIELD_TEXT, RECORD_FIELD_NUMBER, RECORD_FIELD_BOOLEAN };

struct record_field {
    const char *path; /* "mqtt.topic" */
    enum record_field_kind kind;
};

/* In the order of docs/audit.md. */
const struct record_field *record_fields(size_t *count);
/* NULL: there is none of this name; then *near is the one that was meant, or NULL. */
const struct record_field *record_field_find(struct view path, const char **near);

#endif
