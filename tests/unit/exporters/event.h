/* SPDX-License-Identifier: Apache-2.0 */
/* Events for tests, and JSON lines read back. */
#ifndef MQWARD_TESTS_EXPORTERS_EVENT_H
#define MQWARD_TESTS_EXPORTERS_EVENT_H

#include <jansson.h>

#include "exporters/audit.h"
#include "exporters/record.h"

/* Every field set, no two texts alike. */
struct audit_event event_full(void);
/* The same without what a scan found: its rule is the policy's. */
struct audit_event event_plain(void);
/* Every text of every field is this one, every list is full, every number the largest. */
struct audit_event event_with_texts(struct view text);
/* Texts that would break out of a string or a line. */
#define EVENT_HOSTILE 8
extern const struct view event_hostile[EVENT_HOSTILE];
/* A denied PUBLISH whose user is the number. */
struct audit_event event_numbered(uint64_t number, char user[32]);
bool event_equal(const struct audit_event *a, const struct audit_event *b);

/* The member at "event.sequence", or NULL. Array elements as numbers. */
json_t *json_at(json_t *root, const char *path);
const char *string_at(json_t *root, const char *path);
int64_t number_at(json_t *root, const char *path);
/* The document that an event renders to; checks that it is one line. Free with json_decref(). */
json_t *event_document(const struct audit_event *event);
extern const struct record_seal event_seal;

#endif
