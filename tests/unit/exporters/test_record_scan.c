/* SPDX-License-Identifier: Apache-2.0 */
/* What scans of payloads add to the journal's line: YARA's rule beside the policy's check, what ECS allows,
 * meta that wants to break out. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "event.h"
#include "exporters/audit_fields.h"

#define KEPT "ab00000000000000000000000000000000000000000000000000000000000000"

static struct audit_event match(void)
{
    struct audit_event event = event_full();

    event.action = AUDIT_payload_blocked;
    event.reason = REASON_payload_matched;
    event.detail = VIEW("iot/elf_anywhere");
    return event;
}

static void check_strings(json_t *document, const char *const (*expected)[2], size_t count)
{
    for (size_t i = 0; i < count; i++)
        cr_expect_str_eq(string_at(document, expected[i][0]), expected[i][1], "%s is %s", expected[i][0],
            string_at(document, expected[i][0]));
}
#define CHECK_STRINGS(document, expected)                                                                    \
    check_strings((document), (expected), sizeof(expected) / sizeof((expected)[0]))

Test(record_scan, a_match_is_an_alert_about_the_rule_of_yara_that_names_the_check_too)
{
    static const char *const expected[][2] = {
        {"event.kind", "alert"},
        {"event.category.0", "malware"},
        {"event.category.1", "intrusion_detection"},
        {"event.type.0", "info"},
        {"event.type.1", "denied"},
        {"event.action", "mqtt-payload-blocked"},
        {"event.outcome", "failure"},
        {"event.reason", "payload_matched"},
        {"event.code", "YAR-1001"},
        {"message", "payload blocked: sensor-17 -> plant/a/valve/3/cmd: iot/elf_anywhere"},
        {"rule.name", "elf_anywhere"},
        {"rule.ruleset", "iot"},
        {"rule.category", "yara"},
        {"rule.uuid", "iot-001"},
        {"rule.description", "ELF where telemetry belongs"},
        {"rule.reference", "https://attack.mitre.org/techniques/T1105/"},
        {"threat.framework", "MITRE ATT&CK"},
        {"threat.technique.id.0", "T1105"},
        {"threat.technique.id.1", "T1059"},
        {"threat.technique.subtechnique.id.0", "T1059.004"},
        {"mqward.policy", "plant-a"},
        {"mqward.policy_version", "sha256:6b1e"},
        {"mqward.check", "valves"},
        {"mqward.rule_line", "policy.yaml:41"},
        {"mqward.yara.rules.0", "elf_anywhere"},
        {"mqward.yara.rules.2", "dropper"},
        {"mqward.yara.namespaces.1", "site"},
        {"mqward.yara.tags.0", "executable"},
        {"mqward.yara.view", "json/base64"},
        {"mqward.yara.part", "user_property"},
        {"mqward.yara.incomplete", "bomb: ratio"},
        {"mqward.quarantine.result", "stored"},
        {"mqward.quarantine.sha256", KEPT},
        {"user.name", "sensor-17"},
        {"mqtt.topic", "plant/a/valve/3/cmd"},
    };
    struct audit_event event = match();
    json_t *document = event_document(&event);

    CHECK_STRINGS(document, expected);
    cr_expect_eq(number_at(document, "event.severity"), 73, "what the rule says of itself");
    cr_expect_eq(number_at(document, "mqward.yara.matches"), 5);
    cr_expect_eq(number_at(document, "mqward.yara.first_offset"), 12);
    cr_expect(json_is_false(json_at(document, "mqward.yara.scan_complete")));
    cr_expect_eq(json_array_size(json_at(document, "threat.technique.id")), 2);
    cr_expect_null(json_at(document, "rule.id"), "that is the policy's");
    cr_expect_null(json_at(document, "rule.version"));
    json_decref(document);
}

static bool is_related(json_t *document, const char *hash)
{
    json_t *hashes = json_at(document, "related.hash");
    bool found = false;

    for (size_t i = 0; i < json_array_size(hashes); i++)
        found = found || strcmp(json_string_value(json_array_get(hashes, i)), hash) == 0;
    return found;
}

Test(record_scan, what_is_kept_is_found_by_its_hash)
{
    struct audit_event event = match();
    json_t *document = event_document(&event);

    cr_expect(is_related(document, KEPT));
    cr_expect_eq(
        json_array_size(json_at(document, "related.hash")), 3, "and the payload's, the certificate's");
    json_decref(document);
    memcpy(event.payload_sha256, event.quarantine_sha256, sizeof(event.payload_sha256));
    document = event_document(&event);
    cr_expect_eq(json_array_size(json_at(document, "related.hash")), 2, "it is the payload itself");
    json_decref(document);
    event.has_payload_hash = false; /* the policy wants none of those */
    event.tls_fingerprint = (struct view){NULL, 0};
    document = event_document(&event);
    cr_expect(is_related(document, KEPT));
    json_decref(document);
    event.has_quarantine_sha256 = false;
    event.quarantine = VIEW("busy");
    document = event_document(&event);
    cr_expect_null(json_at(document, "related.hash"));
    cr_expect_str_eq(string_at(document, "mqward.quarantine.result"), "busy");
    cr_expect_null(json_at(document, "mqward.quarantine.sha256"));
    json_decref(document);
}

Test(record_scan, a_match_says_no_more_than_the_rule_does)
{
    struct audit_event event = {.action = AUDIT_payload_blocked,
        .reason = REASON_payload_matched,
        .disposition = AUDIT_DROPPED,
        .yara_rules = {VIEW("bare")},
        .yara_rule_count = 1,
        .yara_matches = 1,
        .has_yara_offset = true};
    json_t *document = event_document(&event);

    cr_expect_str_eq(string_at(document, "rule.name"), "bare");
    cr_expect_eq(json_object_size(json_at(document, "rule")), 2, "its name and category");
    cr_expect_null(json_at(document, "threat"));
    cr_expect_null(json_at(document, "mqward.check"));
    cr_expect_null(json_at(document, "mqward.quarantine"));
    cr_expect(json_is_true(json_at(document, "mqward.yara.scan_complete")));
    cr_expect_null(json_at(document, "mqward.yara.incomplete"));
    cr_expect_eq(number_at(document, "mqward.yara.first_offset"), 0, "at the very beginning");
    json_decref(document);
    event.has_yara_offset = false;
    document = event_document(&event);
    cr_expect_null(json_at(document, "mqward.yara.first_offset"), "no string of it matched");
    json_decref(document);
}

Test(record_scan, severity_is_what_the_rule_says_if_it_says_something_known)
{
    static const struct {
        struct view text;
        int64_t severity;
    } cases[] = {
        {VIEW("low"), 21},
        {VIEW("medium"), 47},
        {VIEW("high"), 73},
        {VIEW("critical"), 99},
        {VIEW(""), 99},
        {VIEW("lo"), 99},
        {VIEW("lower"), 99},
        {VIEW("low\0"), 99},
        {VIEW("LOW"), 99},
        {VIEW("21"), 99},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct audit_event event = match();
        event.yara_severity = cases[i].text;
        json_t *document = event_document(&event);
        cr_expect_eq(number_at(document, "event.severity"), cases[i].severity, "%zu", i);
        json_decref(document);
        event.reason = REASON_scan_failed; /* what was found before that is no excuse */
        document = event_document(&event);
        cr_expect_eq(number_at(document, "event.severity"), 73, "%zu", i);
        json_decref(document);
        event.reason = REASON_payload_matched;
        event.yara_rule_count = 0; /* nothing was found: the text is about nothing */
        document = event_document(&event);
        cr_expect_eq(number_at(document, "event.severity"), 99, "%zu", i);
        json_decref(document);
    }
}

Test(record_scan, what_a_number_can_be_is_what_indexes_take)
{
    struct audit_event event = match();
    event.yara_offset = event.yara_matches = UINT64_MAX;
    json_t *document = event_document(&event);

    cr_expect_eq(number_at(document, "mqward.yara.first_offset"), INT64_MAX);
    cr_expect_eq(number_at(document, "mqward.yara.matches"), INT64_MAX);
    json_decref(document);
}

/* ---- no match ---- */

Test(record_scan, a_failed_scan_is_about_the_check_and_says_why)
{
    static const char *const expected[][2] = {
        {"event.kind", "event"},
        {"event.category.0", "network"},
        {"event.type.0", "access"},
        {"event.type.1", "denied"},
        {"event.action", "mqtt-scan-failed"},
        {"event.reason", "scan_failed"},
        {"event.code", "YAR-1002"},
        {"event.outcome", "failure"},
        {"message", "scan failed: sensor-17 -> plant/a/valve/3/cmd: too many matches"},
        {"rule.name", "valves"},
        {"rule.id", "valves"},
        {"rule.ruleset", "plant-a"},
        {"rule.category", "access-control"},
        {"mqward.rule_line", "policy.yaml:41"},
    };
    struct audit_event event = event_plain();
    event.action = AUDIT_scan_failed;
    event.reason = REASON_scan_failed;
    event.detail = VIEW("too many matches");
    json_t *document = event_document(&event);

    CHECK_STRINGS(document, expected);
    cr_expect_eq(number_at(document, "event.severity"), 73);
    cr_expect(json_is_false(json_at(document, "mqward.yara.scan_complete")));
    cr_expect_eq(json_object_size(json_at(document, "mqward.yara")), 1);
    json_decref(document);
    event.yara_sets[0] = VIEW("iot"); /* whose rules failed */
    event.yara_set_count = 1;
    document = event_document(&event);
    cr_expect_str_eq(string_at(document, "mqward.yara.namespaces.0"), "iot");
    cr_expect_str_eq(string_at(document, "rule.ruleset"), "plant-a");
    json_decref(document);
}

Test(record_scan, a_scan_that_found_nothing_says_that_it_was_not_complete)
{
    static const enum audit_action actions[] = {AUDIT_scan_failed, AUDIT_publish_allowed};

    for (size_t i = 0; i < 2; i++) {
        struct audit_event event = event_plain();
        event.action = actions[i];
        event.reason = REASON_scan_incomplete;
        event.scan_incomplete = VIEW("max_scan");
        json_t *document = event_document(&event);
        cr_expect_eq(json_object_size(json_at(document, "mqward.yara")), 2);
        cr_expect(json_is_false(json_at(document, "mqward.yara.scan_complete")));
        cr_expect_str_eq(string_at(document, "mqward.yara.incomplete"), "max_scan");
        cr_expect_str_eq(string_at(document, "rule.name"), "valves");
        cr_expect_null(json_at(document, "threat"));
        json_decref(document);
    }
}

Test(record_scan, other_events_know_nothing_of_scans)
{
    for (unsigned action = 0; action < AUDIT_ACTION_COUNT; action++) {
        struct audit_event event = event_plain();
        event.action = (enum audit_action)action;
        if (event.action == AUDIT_scan_failed)
            continue;
        json_t *document = event_document(&event);
        cr_expect_null(json_at(document, "mqward.yara"));
        cr_expect_null(json_at(document, "mqward.check"));
        cr_expect_null(json_at(document, "mqward.policy"));
        cr_expect_null(json_at(document, "mqward.quarantine"));
        cr_expect_null(json_at(document, "threat"));
        cr_expect_null(json_at(document, "rule.uuid"));
        cr_expect_str_eq(string_at(document, "rule.name"), "valves");
        json_decref(document);
    }
}

/* ---- what ECS has ---- */

Test(record_scan, what_went_on_is_allowed_and_what_did_not_is_denied)
{
    static const struct {
        enum audit_action action;
        const char *first;
        int always; /* 1: it went on, 0: it did not, -1: the disposition says */
    } actions[] = {{AUDIT_payload_matched, "info", 1}, {AUDIT_payload_blocked, "info", 0},
        {AUDIT_scan_failed, "access", -1}};
    static const bool passes[] = {[AUDIT_FORWARDED] = false,
        [AUDIT_REWRITTEN] = false,
        [AUDIT_REJECTED] = false,
        [AUDIT_DROPPED] = false,
        [AUDIT_CLOSED] = false,
        [AUDIT_INFORMED] = true,
        [AUDIT_MONITORED] = true};

    for (size_t i = 0; i < 3; i++) {
        for (unsigned disposition = 0; disposition < sizeof(passes) / sizeof(passes[0]); disposition++) {
            bool went_on = actions[i].always == -1 ? passes[disposition] : actions[i].always == 1;
            if (actions[i].action == AUDIT_payload_blocked && passes[disposition])
                continue; /* there is no such event */
            struct audit_event event = match();
            event.action = actions[i].action;
            event.disposition = (enum audit_disposition)disposition;
            json_t *document = event_document(&event);
            cr_expect_str_eq(string_at(document, "event.type.0"), actions[i].first);
            cr_expect_str_eq(string_at(document, "event.type.1"), went_on ? "allowed" : "denied");
            cr_expect_eq(json_array_size(json_at(document, "event.type")), 2);
            cr_expect_str_eq(string_at(document, "event.outcome"), went_on ? "success" : "failure");
            json_decref(document);
        }
    }
}

/* A will that was taken out of its CONNECT is not allowed, although the CONNECT went on. */
Test(record_scan, a_forwarded_packet_of_another_action_is_as_it_was)
{
    struct audit_event event = event_plain();
    event.action = AUDIT_will_denied;
    event.disposition = AUDIT_REWRITTEN;
    json_t *document = event_document(&event);

    cr_expect_str_eq(string_at(document, "event.type.1"), "denied");
    cr_expect_str_eq(string_at(document, "event.outcome"), "failure");
    json_decref(document);
}

/* event.type that ECS 9 expects for event.category: what the traffic's categories allow. */
static bool type_is_expected(const char *category, const char *type)
{
    static const struct {
        const char *category, *types;
    } rows[] = {
        {"network", ",access,allowed,connection,denied,end,info,protocol,start,"},
        {"authentication", ",start,end,info,"},
        {"session", ",start,end,info,"},
        {"malware", ",info,"},
        {"intrusion_detection", ",allowed,denied,info,"},
    };
    char wanted[64];

    snprintf(wanted, sizeof(wanted), ",%s,", type);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].category, category) == 0)
            return strstr(rows[i].types, wanted) != NULL;
    }
    return false;
}

Test(record_scan, every_type_of_an_event_of_traffic_is_one_that_its_categories_expect)
{
    for (unsigned i = 0; i < AUDIT_ACTION_COUNT * (AUDIT_MONITORED + 1); i++) {
        struct audit_event event = match();
        event.action = (enum audit_action)(i / (AUDIT_MONITORED + 1));
        event.disposition = (enum audit_disposition)(i % (AUDIT_MONITORED + 1));
        if (strcmp(audit_action_info(event.action)->categories, "configuration") == 0)
            continue; /* of the proxy itself */
        json_t *document = event_document(&event);
        json_t *categories = json_at(document, "event.category"), *types = json_at(document, "event.type");
        for (size_t type = 0; type < json_array_size(types); type++) {
            bool expected = false;
            for (size_t category = 0; category < json_array_size(categories); category++)
                expected =
                    expected || type_is_expected(json_string_value(json_array_get(categories, category)),
                                    json_string_value(json_array_get(types, type)));
            cr_expect(expected, "%s: %s", audit_action_name(event.action),
                json_string_value(json_array_get(types, type)));
        }
        json_decref(document);
    }
}

/* ---- hostile meta ---- */

/* Through the ring and into a line: what the line says where readers look. */
static void check_line(struct audit_event *event)
{
    static uint8_t record[AUDIT_EVENT_MAX];
    struct audit_event back;
    struct buffer out = {0};
    struct record_head head;
    struct record_origin origin;

    size_t length = audit_event_encode(event, record);
    cr_assert_eq(audit_event_decode(view_of(record, length), &back), 0);
    json_t *document = event_document(&back);
    cr_expect_str_eq(string_at(document, "event.action"), "mqtt-payload-blocked");
    cr_expect_str_eq(string_at(document, "mqward.origin"), "6920d2f13f1c9a52.3.77");
    cr_expect_str_eq(string_at(document, "mqward.check"), "valves");
    json_decref(document);
    record_render(&out, &back, &event_seal);
    struct view line = view_of(out.data, buffer_length(&out) - 1);
    for (size_t i = 0; i < line.length; i++)
        cr_assert(line.data[i] >= 0x20, "a control character at %zu", i);
    cr_expect_eq(record_parse_head(line, &head), 0);
    cr_expect_eq(record_parse_origin(line, &origin), 0);
    cr_expect_eq(origin.serial, 77);
    buffer_release(&out);
}

static void set_meta(struct audit_event *event, struct view text)
{
    for (size_t i = 0; i < AUDIT_YARA_MAX; i++)
        event->yara_rules[i] = event->yara_sets[i] = event->yara_tags[i] = event->yara_techniques[i] = text;
    event->yara_rule_count = event->yara_set_count = event->yara_tag_count = event->yara_technique_count =
        AUDIT_YARA_MAX;
    event->yara_id = event->yara_description = event->yara_reference = event->yara_severity = text;
    event->yara_view = event->yara_part = event->scan_incomplete = event->quarantine = event->detail = text;
}

Test(record_scan, no_meta_of_a_rule_breaks_out_of_its_string)
{
    for (size_t i = 0; i < EVENT_HOSTILE; i++) {
        struct audit_event event = match();
        set_meta(&event, event_hostile[i]);
        check_line(&event);
    }
    for (unsigned byte = 1; byte < 256; byte++) {
        uint8_t text[3] = {(uint8_t)byte, 'x', (uint8_t)byte};
        struct audit_event event = match();
        set_meta(&event, view_of(text, sizeof(text)));
        check_line(&event);
    }
}

Test(record_scan, long_meta_is_cut_with_a_mark_wherever_it_stands)
{
    static const struct {
        const char *path;
        size_t cap;
    } texts[] = {
        {"rule.name", AUDIT_CAP_yara_rules},
        {"rule.ruleset", AUDIT_CAP_yara_sets},
        {"rule.uuid", AUDIT_CAP_yara_id},
        {"rule.description", AUDIT_CAP_yara_description},
        {"rule.reference", AUDIT_CAP_yara_reference},
        {"threat.technique.id.15", AUDIT_CAP_yara_techniques},
        {"mqward.yara.rules.15", AUDIT_CAP_yara_rules},
        {"mqward.yara.namespaces.15", AUDIT_CAP_yara_sets},
        {"mqward.yara.tags.15", AUDIT_CAP_yara_tags},
        {"mqward.yara.view", AUDIT_CAP_yara_view},
        {"mqward.yara.part", AUDIT_CAP_yara_part},
        {"mqward.yara.incomplete", AUDIT_CAP_scan_incomplete},
        {"mqward.quarantine.result", AUDIT_CAP_quarantine},
    };
    static const size_t size = (size_t)64 * 1024;
    static const uint8_t fills[] = {'x', '"', '\n', 0xff};
    uint8_t *bytes = malloc(size); /* so that a read beyond the end is found */

    for (size_t fill = 0; fill < sizeof(fills); fill++) {
        struct audit_event event = match();
        memset(bytes, fills[fill], size);
        set_meta(&event, view_of(bytes, size));
        check_line(&event);
        json_t *document = event_document(&event);
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
            const char *text = string_at(document, texts[i].path);
            size_t each = fills[fill] == 0xff ? 3 : 1; /* U+FFFD */
            size_t kept = (texts[i].cap - 3) * each;
            cr_assert_eq(strlen(text), kept + 3, "%s", texts[i].path);
            cr_assert_str_eq(text + kept, "\xE2\x80\xA6", "%s", texts[i].path);
        }
        cr_expect_eq(json_array_size(json_at(document, "mqward.yara.rules")), AUDIT_YARA_MAX);
        json_decref(document);
    }
    free(bytes);
}
