/* SPDX-License-Identifier: Apache-2.0 */
/* What a scan of a payload adds to an event's document. */
#ifndef MQWARD_EXPORTERS_RECORD_YARA_H
#define MQWARD_EXPORTERS_RECORD_YARA_H

#include "base/json.h"
#include "exporters/audit.h"

/* Rules have found something: rule is YARA's, and the policy's check is under mqward. */
bool record_is_match(const struct audit_event *event);
/* event.severity: what the first rule says of itself, if it is the reason; or usual, the reason's. */
unsigned record_match_severity(const struct audit_event *event, unsigned usual);
/* rule and threat, of a match. */
void record_match_rule(struct json *json, const struct audit_event *event);
/* The event names files in the quarantine by their hash. */
bool record_has_kept_hash(const struct audit_event *event);
/* Members of mqward, of any event. */
void record_scan(struct json *json, const struct audit_event *event);

#endif
