/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what a scan adds to an event's document. Called by record.c. Everything of a rule's meta is somebody
 * else's text: it is escaped and capped like what comes from the wire. */
#include "exporters/record_yara.h"

#include "exporters/record_write.h"

bool record_is_match(const struct audit_event *event)
{
    return event->yara_rule_count > 0;
}

unsigned record_match_severity(const struct audit_event *event, unsigned usual)
{
    static const struct {
        const char *name;
        unsigned severity;
    } levels[] = {{"low", 21}, {"medium", 47}, {"high", 73}, {"critical", 99}};

    /* Where a failed scan is the reason, a harmless finding beside it must not make that look harmless. */
    if (!record_is_match(event) || event->reason != REASON_payload_matched)
        return usual;
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (view_equal_string(event->yara_severity, levels[i].name))
            return levels[i].severity;
    }
    return usual;
}

static const uint8_t *dot_of(struct view technique)
{
    return technique.length == 0 ? NULL : memchr(technique.data, '.', technique.length);
}

/* "T1059" of "T1059.004": whoever searches for a technique finds its sub-techniques, too. */
static void record_techniques(struct json *json, const struct audit_event *event)
{
    struct view parents[AUDIT_YARA_MAX] = {0}, subs[AUDIT_YARA_MAX] = {0};
    size_t sub_count = 0;

    for (uint8_t i = 0; i < event->yara_technique_count; i++) {
        struct view technique = event->yara_techniques[i];
        const uint8_t *dot = dot_of(technique);

        parents[i] = dot == NULL ? technique : view_of(technique.data, (size_t)(dot - technique.data));
        if (dot != NULL)
            subs[sub_count++] = technique;
    }
    record_texts(json, "id", parents, event->yara_technique_count, AUDIT_CAP_yara_techniques);
    if (sub_count == 0)
        return;
    json_write_object_begin(json, "subtechnique");
    record_texts(json, "id", subs, sub_count, AUDIT_CAP_yara_techniques);
    json_write_object_end(json);
}

static void record_threat(struct json *json, const struct audit_event *event)
{
    if (event->yara_technique_count == 0)
        return;
    json_write_object_begin(json, "threat");
    json_write_literal(json, "framework", "MITRE ATT&CK");
    json_write_object_begin(json, "technique");
    record_techniques(json, event);
    json_write_object_end(json);
    json_write_object_end(json);
}

void record_match_rule(struct json *json, const struct audit_event *event)
{
    json_write_object_begin(json, "rule");
    if (event->yara_set_count > 0)
        record_text(json, "ruleset", event->yara_sets[0], AUDIT_CAP_yara_sets);
    record_text(json, "name", event->yara_rules[0], AUDIT_CAP_yara_rules);
    json_write_literal(json, "category", "yara");
    RECORD_TEXT(json, "uuid", event, yara_id);
    RECORD_TEXT(json, "description", event, yara_description);
    RECORD_TEXT(json, "reference", event, yara_reference);
    json_write_object_end(json);
    record_threat(json, event);
}

/* Without a match there is only to say that, and why, not all was looked at. */
static void record_yara(struct json *json, const struct audit_event *event)
{
    bool failed = event->action == AUDIT_scan_failed || event->scan_incomplete.length > 0;

    if (!failed && !record_is_match(event))
        return;
    json_write_object_begin(json, "yara");
    RECORD_LIST(json, "rules", event, yara_rules, yara_rule_count);
    RECORD_LIST(json, "namespaces", event, yara_sets, yara_set_count);
    RECORD_LIST(json, "tags", event, yara_tags, yara_tag_count);
    if (event->yara_matches > 0)
        record_number(json, "matches", event->yara_matches);
    if (event->has_yara_offset)
        record_number(json, "first_offset", event->yara_offset);
    RECORD_TEXT(json, "view", event, yara_view);
    RECORD_TEXT(json, "part", event, yara_part);
    json_write_boolean(json, "scan_complete", !failed);
    RECORD_TEXT(json, "incomplete", event, scan_incomplete);
    json_write_object_end(json);
}

bool record_has_kept_hash(const struct audit_event *event)
{
    return event->quarantine.length > 0 && event->has_quarantine_sha256;
}

static void record_quarantine(struct json *json, const struct audit_event *event)
{
    if (event->quarantine.length == 0)
        return;
    json_write_object_begin(json, "quarantine");
    RECORD_TEXT(json, "result", event, quarantine);
    if (record_has_kept_hash(event))
        json_write_hex(json, "sha256", view_of(event->quarantine_sha256, sizeof(event->quarantine_sha256)));
    json_write_object_end(json);
}

void record_scan(struct json *json, const struct audit_event *event)
{
    if (record_is_match(event)) {
        RECORD_TEXT(json, "policy", event, ruleset);
        RECORD_TEXT(json, "check", event, rule);
    }
    record_yara(json, event);
    record_quarantine(json, event);
}
