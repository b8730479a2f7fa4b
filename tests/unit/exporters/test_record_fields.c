/* SPDX-License-Identifier: Apache-2.0 */
/* The list of a record's fields: that of the manual, and of what is rendered. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "exporters/record_fields.h"

Test(record_fields, are_found_by_their_name)
{
    const char *near = NULL;
    size_t count;
    const struct record_field *fields = record_fields(&count);

    cr_assert_gt(count, 100);
    for (size_t i = 0; i < count; i++)
        cr_expect_eq(record_field_find(view_of_string(fields[i].path), &near), &fields[i],
            "%s is there twice", fields[i].path);
    cr_expect_null(record_field_find(VIEW("mqtt.topik"), &near));
    cr_assert_not_null(near);
    cr_expect_str_eq(near, "mqtt.topic");
    cr_expect_null(record_field_find(VIEW(""), &near));
    cr_expect_null(record_field_find(VIEW("mqtt"), &near));
    cr_expect_null(record_field_find(VIEW("there is no such thing"), &near));
    cr_expect_null(near);
}

static char *read_manual(void)
{
    FILE *file = fopen(MQWARD_SOURCE_DIR "/docs/audit.md", "r");
    char *text = calloc(1, 1 << 20);

    cr_assert(file != NULL && text != NULL);
    size_t length = fread(text, 1, (1 << 20) - 1, file);
    fclose(file);
    text[length] = '\0';
    return text;
}

Test(record_fields, are_those_of_the_manual)
{
    char *manual = read_manual(), path[128];
    const char *near;
    size_t count, rows = 0;
    const struct record_field *fields = record_fields(&count);

    for (const char *row = strstr(manual, "| field |"); row != NULL && row[0] == '|';
         row = strchr(row, '\n') + 1) {
        if (sscanf(row, "| `%127[^`]` |", path) != 1)
            continue;
        cr_expect_not_null(record_field_find(view_of_string(path), &near), "%s is not in the list", path);
        cr_expect(rows < count && strcmp(fields[rows].path, path) == 0, "%s is at another place", path);
        rows++;
    }
    cr_expect_eq(rows, count, "the manual has %zu fields, the list %zu", rows, count);
    free(manual);
}

static void check_kinds(const char *prefix, json_t *object, bool *seen)
{
    size_t count;
    const struct record_field *fields = record_fields(&count);
    const char *key, *near;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        char path[128];
        snprintf(path, sizeof(path), "%s%s%s", prefix, prefix[0] == '\0' ? "" : ".", key);
        if (json_is_object(value)) {
            check_kinds(path, value, seen);
            continue;
        }
        const struct record_field *field = record_field_find(view_of_string(path), &near);
        cr_assert_not_null(field, "%s is not in the list", path);
        seen[field - fields] = true;
        const json_t *one = json_is_array(value) ? json_array_get(value, 0) : value;
        const enum record_field_kind kind = json_is_integer(one)   ? RECORD_FIELD_NUMBER
                                            : json_is_boolean(one) ? RECORD_FIELD_BOOLEAN
                                                                   : RECORD_FIELD_TEXT;
        cr_expect_eq(field->kind, kind, "%s is of another kind", path);
    }
}

/* Those of chain and checkpoint are the sealer's. */
static bool is_of_the_sealer(const char *path)
{
    return strncmp(path, "chain.", 6) == 0 || strncmp(path, "mqward.checkpoint.", 18) == 0;
}

Test(record_fields, are_those_that_are_rendered)
{
    struct audit_event events[] = {event_full(), event_plain(), event_plain(), event_plain()};
    size_t count;
    const struct record_field *fields = record_fields(&count);
    bool *seen = calloc(count, sizeof(*seen));

    events[1].outbound = events[2].outbound = true;
    events[2].client_ip = VIEW("fe80::1%eth0");
    events[2].server_ip = VIEW("/run/broker.sock");
    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        json_t *document = event_document(&events[i]);
        check_kinds("", document, seen);
        json_decref(document);
    }
    for (size_t i = 0; i < count; i++)
        cr_expect(seen[i] || is_of_the_sealer(fields[i].path), "%s is in no record", fields[i].path);
    free(seen);
}

Test(record_fields, a_shadow_says_in_one_sentence_what_would_change)
{
    struct audit_event event = {.action = AUDIT_shadow_diff,
        .reason = REASON_allowed,
        .user = VIEW("plc-7"),
        .has_topic = true,
        .topic = VIEW("dt/plc-7/zz"),
        .rule = VIEW("report"),
        .shadow_decision = VIEW("deny"),
        .shadow_reason = VIEW("no_allow")};
    json_t *document = event_document(&event);

    cr_expect_str_eq(string_at(document, "message"),
        "shadow policy differs: plc-7 -> dt/plc-7/zz: shadow: deny, no_allow; in force: allowed by report");
    json_decref(document);
    event.shadow_rule = VIEW("se\"crets");
    event.detail = VIEW("QoS 1");
    document = event_document(&event);
    cr_expect_str_eq(string_at(document, "message"),
        "shadow policy differs: plc-7 -> dt/plc-7/zz: shadow: deny, no_allow by se\"crets; "
        "in force: allowed by report: QoS 1");
    json_decref(document);
}
