/* SPDX-License-Identifier: Apache-2.0 */
/* Journal lines as messages of RFC 5424 and as CEF: by the letter for a plain event, and by parsers of their
 * own for hostile ones. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "event.h"
#include "exporters/syslog_message.h"
#include "syslog_parse.h"

static struct syslog_shape shape(enum syslog_format format)
{
    return (struct syslog_shape){
        .facility = 16, .format = format, .sd_id = "mqward@32473", .process = 4711, .limit = 8192};
}

static struct view render_line(struct view line, const struct syslog_shape *shape)
{
    static struct buffer out;

    buffer_clear(&out);
    syslog_message_render(&out, shape, line);
    cr_assert_leq(buffer_length(&out), shape->limit);
    return buffer_view(&out);
}

static struct view line_of(const struct audit_event *event)
{
    static struct buffer line;

    buffer_clear(&line);
    record_render(&line, event, &event_seal);
    return view_of(buffer_view(&line).data, buffer_length(&line) - 1);
}

static struct view render(const struct audit_event *event, const struct syslog_shape *shape)
{
    return render_line(line_of(event), shape);
}

static void expect(struct view message, const char *expected)
{
    cr_expect(view_equal_string(message, expected), "\n%.*s\nis not\n%s", VIEW_ARGS(message), expected);
}

#define HEADER(severity, action) "<" severity ">1 2026-01-02T03:04:06.001245Z edge-1 mqward 4711 " action " "
#define DATA                                                                                                 \
    "[mqward@32473 id=\"6920d2f13f1c9a52-1042\" reason=\"denied_by_rule\" code=\"ACL-1002\" "                \
    "severity=\"73\" outcome=\"failure\" disposition=\"rejected\" src=\"203.0.113.9\" spt=\"51724\" "        \
    "user=\"sensor-17\" client_id=\"client-17\" topic=\"plant/a/valve/3/cmd\" rule=\"valves\" "              \
    "session_id=\"9c1f-000412\" suppressed=\"41\"] "
#define TEXT "PUBLISH denied: sensor-17 -> plant/a/valve/3/cmd: max_qos is 0"

Test(syslog_message, text)
{
    struct audit_event event = event_plain();
    struct syslog_shape text = shape(SYSLOG_TEXT);

    expect(render(&event, &text), HEADER("132", "mqtt-publish-denied") DATA TEXT);
}

Test(syslog_message, json_is_the_line_itself)
{
    struct audit_event event = event_plain();
    struct syslog_shape json = shape(SYSLOG_JSON);
    struct syslog_parsed parsed;

    struct view line = line_of(&event);
    cr_assert_null(syslog_parse(render_line(line, &json), &parsed));
    cr_expect(view_equal(parsed.message, line));
}

Test(syslog_message, cef)
{
    struct audit_event event = event_plain();
    struct syslog_shape cef = shape(SYSLOG_CEF);

    expect(render(&event, &cef), HEADER("132", "mqtt-publish-denied") DATA
        "CEF:0|mqward|mqward|" MQWARD_VERSION "|ACL-1002|mqtt-publish-denied|8|rt=1767323046001 "
        "externalId=6920d2f13f1c9a52-1042 dvchost=edge-1 act=rejected outcome=failure reason=denied_by_rule "
        "src=203.0.113.9 spt=51724 dst=10.0.0.5 dpt=1883 suser=sensor-17 proto=TCP app=MQTT "
        "deviceDirection=0 cnt=42 cs1=plant/a/valve/3/cmd cs1Label=topic cs2=valves cs2Label=rule "
        "cs3=client-17 cs3Label=clientId cs4=9c1f-000412 cs4Label=sessionId cs5=policy.yaml:41 "
        "cs5Label=ruleLine "
        "cs6=9f86d08100000000000000000000000000000000000000000000000000000000 cs6Label=payloadSha256 "
        "cn1=1 cn1Label=qos cn2=135 cn2Label=mqttReasonCode cn3=4 cn3Label=payloadBytes in=100 out=200 "
        "msg=" TEXT);
}

Test(syslog_message, cef_of_what_the_broker_sends_over_ipv6)
{
    struct audit_event event = event_plain();
    struct syslog_shape cef = shape(SYSLOG_CEF);
    struct syslog_parsed parsed;
    struct cef_parsed fields;

    event.outbound = true;
    event.client_ip = VIEW("2001:db8::17");
    cr_assert_null(syslog_parse(render(&event, &cef), &parsed));
    cr_assert_null(cef_parse(parsed.message, &fields));
    cr_expect_str_eq(cef_key(&fields, "src"), "10.0.0.5");
    cr_expect_str_eq(cef_key(&fields, "c6a3"), "2001:db8::17");
    cr_expect_str_eq(cef_key(&fields, "c6a3Label"), "Destination IPv6 Address");
    cr_expect_str_eq(cef_key(&fields, "dpt"), "51724");
    cr_expect_str_eq(cef_key(&fields, "duser"), "sensor-17");
    cr_expect_str_eq(cef_key(&fields, "deviceDirection"), "1");
    cr_expect_null(cef_key(&fields, "suser"));
}

Test(syslog_message, facility_and_severity_make_the_priority)
{
    static const struct {
        enum reason reason;
        unsigned severity;
        const char *cef;
    } rows[] = {{REASON_allowed, 6, "3"}, {REASON_no_allow, 5, "5"}, {REASON_denied_by_rule, 4, "8"},
        {REASON_sig_replay, 2, "10"}};
    struct audit_event event = event_plain();
    struct syslog_parsed parsed;
    struct cef_parsed fields;

    for (unsigned facility = 0; facility < 24; facility++) {
        for (size_t i = 0; i < 4; i++) {
            struct syslog_shape cef = shape(SYSLOG_CEF);
            cef.facility = facility;
            event.reason = rows[i].reason;
            cr_assert_null(syslog_parse(render(&event, &cef), &parsed));
            cr_expect_eq(parsed.facility, facility);
            cr_expect_eq(parsed.severity, rows[i].severity);
            cr_assert_null(cef_parse(parsed.message, &fields));
            cr_expect_str_eq(fields.header[6], rows[i].cef);
        }
    }
}

/* ---- hostile texts ---- */

static const struct view hostile[] = {
    VIEW("x\"] <34>1 - - forged - - - CEF:0|a|b|c|d|e|1| suser=admin"),
    VIEW("a\n<34>1 2026-01-02T03:04:06Z host forged - - - b"),
    VIEW("a\r\n\r\n12 <34>1 - - - - - -"),
    VIEW("admin src=10.0.0.1 act=allowed | \\| \\= =\\"),
    VIEW("ends with \\"),
    VIEW("]\"\\]\"\\"),
    VIEW("\xef\xbb\xbf"
         "begins with a mark of byte order"),
    VIEW("\x1b[2J\x07\x7f\xc2\x85\xe2\x80\xa8\xe2\x80\xa9"),
    VIEW("\xff\xfe\xc0\xaf\xed\xa0\x80"),
    VIEW("cs1Label=user cs1=nobody"),
    VIEW(" leading and trailing "),
};

/* Nothing in it is replaced: it comes out as it went in. */
static bool is_plain(struct view text)
{
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] < 0x20 || text.data[i] >= 0x7F)
            return false;
    return true;
}

static void check_hostile(const struct audit_event *event, struct view text, enum syslog_format format)
{
    struct syslog_shape hostile_shape = shape(format);
    struct syslog_parsed parsed;
    struct cef_parsed fields;
    const char *error = syslog_parse(render(event, &hostile_shape), &parsed);

    cr_assert_null(error, "%s, of %.*s", error, VIEW_ARGS(text));
    cr_expect_eq(parsed.severity, 4);
    cr_expect_eq(parsed.param_count, 14);
    cr_expect_str_eq(syslog_param(&parsed, "outcome"), "failure");
    cr_expect_str_eq(syslog_param(&parsed, "disposition"), "rejected");
    cr_expect(view_equal_string(parsed.app, "mqward") &&
              view_equal_string(parsed.message_id, "mqtt-publish-denied"));
    if (is_plain(text))
        cr_expect_str_eq(syslog_param(&parsed, "topic"), (const char *)text.data);
    if (format == SYSLOG_JSON) {
        json_t *document = json_loadb((const char *)parsed.message.data, parsed.message.length, 0, NULL);
        cr_assert_not_null(document);
        json_decref(document);
    }
    if (format != SYSLOG_CEF)
        return;
    error = cef_parse(parsed.message, &fields);
    cr_assert_null(error, "%s, of %.*s", error, VIEW_ARGS(parsed.message));
    cr_expect_str_eq(cef_key(&fields, "act"), "rejected");
    cr_expect_str_eq(cef_key(&fields, "src"), "203.0.113.9");
    cr_expect_str_eq(cef_key(&fields, "cs1Label"), "topic");
    cr_expect_eq(fields.key_count, 36);
    if (is_plain(text)) {
        cr_expect_str_eq(cef_key(&fields, "cs1"), (const char *)text.data);
        cr_expect_str_eq(cef_key(&fields, "suser"), (const char *)text.data);
    }
}

Test(syslog_message, no_text_leaves_its_field)
{
    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        for (int format = SYSLOG_JSON; format <= SYSLOG_CEF; format++) {
            struct audit_event event = event_plain();
            event.topic = event.user = event.client_id = event.rule = event.detail = hostile[i];
            check_hostile(&event, hostile[i], (enum syslog_format)format);
        }
    }
}

Test(syslog_message, every_field_hostile)
{
    for (size_t i = 0; i < EVENT_HOSTILE; i++) {
        for (int format = SYSLOG_JSON; format <= SYSLOG_CEF; format++) {
            struct audit_event event = event_with_texts(event_hostile[i]);
            struct syslog_shape any = shape((enum syslog_format)format);
            struct syslog_parsed parsed;
            struct cef_parsed fields;
            any.limit = SYSLOG_LIMIT_MAX;
            const char *error = syslog_parse(render(&event, &any), &parsed);
            cr_assert_null(error, "%s", error);
            if (format == SYSLOG_CEF)
                cr_assert_null(cef_parse(parsed.message, &fields));
        }
    }
}

Test(syslog_message, the_host_name_is_one_word)
{
    struct syslog_shape text = shape(SYSLOG_TEXT);
    struct syslog_parsed parsed;
    char name[600];

    memset(name, 'h', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    const char *const names[] = {"", "two words",
        "a\xc3\xa4"
        "b",
        name};
    const char *const expected[] = {"-", "two?words", "a?b", NULL};
    for (size_t i = 0; i < 4; i++) {
        struct audit_event event = event_plain();
        struct record_seal seal = event_seal;
        struct buffer line = {0};
        seal.hostname = names[i];
        record_render(&line, &event, &seal);
        cr_assert_null(syslog_parse(
            render_line(view_of(buffer_view(&line).data, buffer_length(&line) - 1), &text), &parsed));
        if (expected[i] != NULL)
            cr_expect(view_equal_string(parsed.hostname, expected[i]));
        else
            cr_expect_eq(parsed.hostname.length, 255);
        buffer_release(&line);
    }
}

/* ---- cutting ---- */

static char long_text[4096];

static struct audit_event long_event(const char *unit)
{
    struct audit_event event = event_full();

    for (size_t i = 0; i + strlen(unit) < sizeof(long_text); i += strlen(unit))
        memcpy(long_text + i, unit, strlen(unit));
    event.topic = event.user = event.client_id = event.rule = event.detail = event.tls_subject =
        event.session_id = view_of(long_text, 1024);
    return event;
}

Test(syslog_message, what_is_too_long_is_cut_and_can_be_read_still)
{
    static const char *const units[] = {"x", "\"", "]", "=|", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};

    for (size_t unit = 0; unit < sizeof(units) / sizeof(units[0]); unit++) {
        struct audit_event event = long_event(units[unit]);
        for (size_t limit = SYSLOG_LIMIT_MIN; limit < 12000; limit += limit < 1100 ? 7 : 331) {
            for (int format = SYSLOG_JSON; format <= SYSLOG_CEF; format++) {
                struct syslog_shape small = shape((enum syslog_format)format);
                struct syslog_parsed parsed;
                struct cef_parsed fields;
                struct view line = line_of(&event);
                small.limit = limit;
                const char *error = syslog_parse(render_line(line, &small), &parsed);
                cr_assert_null(error, "%s at %zu", error, limit);
                if (format == SYSLOG_CEF)
                    cr_assert_null(cef_parse(parsed.message, &fields));
                if (format != SYSLOG_JSON)
                    continue;
                json_t *document =
                    json_loadb((const char *)parsed.message.data, parsed.message.length, 0, NULL);
                cr_assert_not_null(document, "%.*s", VIEW_ARGS(parsed.message));
                bool cut = strcmp(string_at(document, "tags.0"), "mqward-truncated") == 0;
                cr_assert_eq(cut, !view_equal(parsed.message, line));
                json_decref(document);
            }
        }
    }
}

Test(syslog_message, texts_and_parameters_end_with_a_mark_where_they_are_cut)
{
    struct audit_event event = long_event("\xe2\x82\xac");
    struct syslog_shape text = shape(SYSLOG_TEXT);
    struct syslog_parsed parsed;

    text.limit = 8192;
    cr_assert_null(syslog_parse(render(&event, &text), &parsed));
    const char *user = syslog_param(&parsed, "user");
    cr_assert_not_null(user);
    cr_expect_leq(strlen(user), 256);
    cr_expect_gt(strlen(user), 250);
    cr_expect(view_ends_with(view_of_string(user), VIEW("\xe2\x82\xac\xe2\x80\xa6")));
    text.limit = 2500;
    cr_assert_null(syslog_parse(render(&event, &text), &parsed));
    cr_expect(view_ends_with(parsed.message, VIEW("\xe2\x82\xac\xe2\x80\xa6")));
    text.limit = SYSLOG_LIMIT_MIN;
    cr_assert_null(syslog_parse(render(&event, &text), &parsed));
    cr_expect_null(syslog_param(&parsed, "session_id"), "there is no room for all of them");
    cr_expect_not_null(syslog_param(&parsed, "topic"));
}

/* ---- what a client can't hide ---- */

static const char *const units[] = {
    "x", "\x7f", "\"", "\\", "]", "=", "|", "\xe2\x80\xa8", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xc2\x80"};

/* Whatever a client may choose is as long as it can be. */
static struct audit_event flooded_event(const char *unit)
{
    static char text[1024];
    struct audit_event event = event_plain();
    size_t length = 0;

    for (; length + strlen(unit) <= sizeof(text); length += strlen(unit))
        memcpy(text + length, unit, strlen(unit));
    event.user = event.username = event.client_id = event.topic = event.response_topic = event.detail =
        event.payload_excerpt = event.tls_subject = event.tls_issuer = view_of(text, length);
    event.tls_server_name = view_of(text, 252);
    return event;
}

static void expect_texts(json_t *document, const char *unit, size_t limit)
{
    static const char *const whole[][2] = {{"event.action", "mqtt-publish-denied"},
        {"event.reason", "denied_by_rule"}, {"source.ip", "203.0.113.9"}, {"rule.id", "valves"},
        {"mqtt.session_id", "9c1f-000412"}, {"mqward.disposition", "rejected"},
        {"mqward.rule_line", "policy.yaml:41"}};
    static const char *const begun[] = {"user.name", "mqtt.client_id", "mqtt.topic"};

    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
        cr_expect_str_eq(string_at(document, whole[i][0]), whole[i][1], "%s at %zu", whole[i][0], limit);
    for (size_t i = 0; i < sizeof(begun) / sizeof(begun[0]); i++) {
        struct view text = view_of_string(string_at(document, begun[i]));
        cr_expect(view_starts_with(text, view_of_string(unit)), "%s at %zu", begun[i], limit);
        cr_expect(view_ends_with(text, VIEW("\xe2\x80\xa6")), "%s at %zu", begun[i], limit);
    }
}

Test(syslog_message, long_texts_hide_no_member_of_the_json)
{
    static const size_t limits[] = {3 * 1024, 4096, 6000, 8192, 12000};

    for (size_t unit = 0; unit < sizeof(units) / sizeof(units[0]); unit++) {
        struct audit_event event = flooded_event(units[unit]);
        for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
            struct syslog_shape json = shape(SYSLOG_JSON);
            struct syslog_parsed parsed;
            json.limit = limits[i];
            cr_assert_null(syslog_parse(render(&event, &json), &parsed));
            json_t *document = json_loadb((const char *)parsed.message.data, parsed.message.length, 0, NULL);
            cr_assert_not_null(document, "%.*s", VIEW_ARGS(parsed.message));
            if (strcmp(string_at(document, "tags.0"), "mqward-truncated") == 0)
                expect_texts(document, units[unit], limits[i]);
            else
                cr_expect(view_equal(parsed.message, line_of(&event)));
            if (limits[i] >= 8192)
                cr_expect_not_null(json_at(document, "related"), "nothing has to go at %zu", limits[i]);
            json_decref(document);
        }
    }
}

Test(syslog_message, long_texts_hide_no_parameter_and_no_field)
{
    struct audit_event plain = event_plain();
    struct syslog_shape cef = shape(SYSLOG_CEF);
    struct syslog_parsed parsed;
    struct cef_parsed fields;

    cr_assert_null(syslog_parse(render(&plain, &cef), &parsed));
    cr_assert_null(cef_parse(parsed.message, &fields));
    size_t params = parsed.param_count, keys = fields.key_count;
    for (size_t unit = 0; unit < sizeof(units) / sizeof(units[0]); unit++) {
        struct audit_event event = flooded_event(units[unit]);
        for (cef.limit = 3000; cef.limit < 10000; cef.limit += 1000) {
            cr_assert_null(syslog_parse(render(&event, &cef), &parsed));
            cr_expect_eq(parsed.param_count, params, "'%s' at %zu", units[unit], cef.limit);
            cr_expect_str_eq(syslog_param(&parsed, "rule"), "valves");
            cr_assert_null(cef_parse(parsed.message, &fields));
            cr_expect_eq(fields.key_count, keys, "'%s' at %zu", units[unit], cef.limit);
            cr_expect_str_eq(cef_key(&fields, "cs2"), "valves");
        }
    }
}

Test(syslog_message, even_an_event_that_is_as_long_as_can_be_says_what_happened)
{
    static const char *const needed[] = {"event.action", "event.reason", "event.id", "source", "user.name",
        "rule.name", "mqtt.topic", "mqtt.client_id", "mqward.disposition", "mqward.rule_line", "ecs.version"};
    static char text[1024];

    memset(text, 0x7F, sizeof(text));
    struct audit_event event = event_with_texts(view_of(text, sizeof(text)));
    struct syslog_shape json = shape(SYSLOG_JSON);
    struct syslog_parsed parsed;
    cr_assert_null(syslog_parse(render(&event, &json), &parsed));
    json_t *document = json_loadb((const char *)parsed.message.data, parsed.message.length, 0, NULL);
    cr_assert_not_null(document);
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        cr_expect_not_null(json_at(document, needed[i]), "%s", needed[i]);
    cr_expect_eq(json_array_size(json_at(document, "user.roles")), 5);
    cr_expect_str_eq(string_at(document, "user.roles.4"), "\xe2\x80\xa6");
    json_decref(document);
}

Test(syslog_message, a_text_is_cut_between_characters)
{
    struct audit_event event = flooded_event("\xf0\x9f\x98\x80");
    struct syslog_shape json = shape(SYSLOG_JSON);
    struct syslog_parsed parsed;

    json.limit = 8192;
    cr_assert_null(syslog_parse(render(&event, &json), &parsed));
    json_t *document = json_loadb((const char *)parsed.message.data, parsed.message.length, 0, NULL);
    cr_assert_not_null(document);
    const char *topic = string_at(document, "mqtt.topic");
    cr_expect_eq((strlen(topic) - 3) % 4, 0);
    cr_expect_gt(strlen(topic), 60);
    json_decref(document);
}

/* ---- lines that are damaged ---- */

Test(syslog_message, a_damaged_line_is_a_message_all_the_same)
{
    static const char *const lines[] = {"", "x", "{", "{\"@timestamp\":1}",
        "{\"event\":{\"severity\":\"99\"}}",
        "{\"@timestamp\":\"2026-13-02T03:04:06.001245Z\",\"event\":{\"action\":\"a b\"}}",
        "{\"message\":\"a\nb\"}", "{\"event\":{\"code\":\"|\",\"action\":\"\\\\|\"}}",
        "{\"message\":\"\\ud800\"}"};
    struct audit_event event = event_full();
    struct view whole = line_of(&event);
    struct syslog_parsed parsed;
    struct cef_parsed fields;

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        for (int format = SYSLOG_JSON; format <= SYSLOG_CEF; format++) {
            struct syslog_shape any = shape((enum syslog_format)format);
            const char *error = syslog_parse(render_line(view_of_string(lines[i]), &any), &parsed);
            cr_assert_null(error, "%s of %s", error, lines[i]);
            if (format == SYSLOG_CEF)
                cr_assert_null(cef_parse(parsed.message, &fields));
        }
    }
    for (size_t length = 0; length < whole.length; length++) {
        struct syslog_shape cef = shape(SYSLOG_CEF);
        cr_assert_null(syslog_parse(render_line(view_of(whole.data, length), &cef), &parsed));
        cr_assert_null(cef_parse(parsed.message, &fields));
    }
}

Test(syslog_message, sd_ids)
{
    static const char *const good[] = {"mqward@32473", "a@1", "x@1.2.3", "123456789012345678901234567@3247"};
    static const char *const bad[] = {"", "mqward", "@32473", "mqward@", "mqward@x", "mqward@1.", "mqward@.1",
        "mq ward@1", "mq=ward@1", "mq]ward@1", "mq\"ward@1", "mqw\xc3\xa4rd@1",
        "123456789012345678901234567@32473x", "1234567890123456789012345678@32473", "a@1..2", "a@1@2"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_expect(syslog_sd_id_is_valid(view_of_string(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_not(syslog_sd_id_is_valid(view_of_string(bad[i])), "%s", bad[i]);
}
