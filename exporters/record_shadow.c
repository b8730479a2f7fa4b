/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what a record says of a shadow policy that decides otherwise than the one in force. Called by
 * record.c. */
#include "exporters/record_shadow.h"

#include "exporters/record_write.h"

void record_shadow(struct json *json, const struct audit_event *event)
{
    if (event->shadow_decision.length == 0)
        return;
    json_write_object_begin(json, "shadow");
    RECORD_TEXT(json, "policy_version", event, shadow_policy);
    RECORD_TEXT(json, "decision", event, shadow_decision);
    RECORD_TEXT(json, "reason", event, shadow_reason);
    RECORD_TEXT(json, "rule", event, shadow_rule);
    RECORD_TEXT(json, "rule_line", event, shadow_location);
    json_write_object_end(json);
}

static void put(struct json *json, const char *before, struct view text, size_t cap)
{
    if (text.length == 0)
        return;
    buffer_append(json->out, view_of_string(before));
    json_write_escape_capped(json->out, text, cap);
}

void record_shadow_message(struct json *json, const struct audit_event *event)
{
    if (event->action != AUDIT_shadow_diff)
        return;
    put(json, ": shadow: ", event->shadow_decision, AUDIT_CAP_shadow_decision);
    put(json, ", ", event->shadow_reason, AUDIT_CAP_shadow_reason);
    put(json, " by ", event->shadow_rule, AUDIT_CAP_shadow_rule);
    put(json, "; in force: ", view_of_string(reason_info(event->reason)->name), AUDIT_CAP_shadow_reason);
    put(json, " by ", event->rule, AUDIT_CAP_rule);
}
