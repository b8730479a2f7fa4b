/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a journal line, in each format and one of some limits: the message must hold by parsers of RFC
 * 5424 and CEF that share nothing with the renderers. The same bytes as the texts of an event must leave
 * every field that they are not in as it is. */
#include <stdlib.h>

#include "base/buffer.h"
#include "exporters/audit.h"
#include "exporters/record.h"
#include "exporters/record_read.h"
#include "exporters/record_shorten.h"
#include "exporters/syslog_message.h"
#include "syslog_parse.h"

static void check(bool holds)
{
    if (!holds)
        abort();
}

/* What was JSON is JSON still, and within its limit. */
static void check_shortened(struct view line, size_t limit)
{
    static struct buffer out;

    buffer_clear(&out);
    record_shorten(&out, line, limit);
    check(buffer_length(&out) <= limit);
    if (record_walk(line, NULL, NULL) == 0)
        check(record_walk(buffer_view(&out), NULL, NULL) == 0);
}

/* Whatever a client chose, these are there. */
static void check_document(struct view document)
{
    static const char *const paths[] = {
        "mqward.disposition", "mqtt.topic", "rule.id", "source.ip", "event.reason", "mqtt.client_id"};
    struct record_value values[6];

    check(record_find(document, paths, 6, values) == 0);
    for (size_t i = 0; i < 6; i++)
        check(values[i].kind == RECORD_STRING && values[i].text.length > 0);
    check(view_equal(values[0].text, VIEW("rejected")) && view_equal(values[3].text, VIEW("203.0.113.9")));
}

static void check_message(struct view line, enum syslog_format format, size_t limit, bool ours)
{
    const struct syslog_shape shape = {16, format, "mqward@32473", 1, limit};
    static struct buffer out;
    static struct syslog_parsed parsed;
    static struct cef_parsed cef;

    buffer_clear(&out);
    syslog_message_render(&out, &shape, line);
    check(buffer_length(&out) <= limit);
    /* The bytes of a line that is no line of ours are passed on as JSON: whatever they are, they are one
     * line. */
    if (format == SYSLOG_JSON && !ours) {
        for (size_t i = 0; i < buffer_length(&out); i++)
            check(buffer_view(&out).data[i] >= 0x20);
        return;
    }
    check(syslog_parse(buffer_view(&out), &parsed) == NULL);
    if (format == SYSLOG_CEF)
        check(cef_parse(parsed.message, &cef) == NULL);
    if (ours && format == SYSLOG_JSON && limit >= 8192)
        check_document(parsed.message);
    if (!ours || limit < SYSLOG_LIMIT_MAX)
        return;
    check(strcmp(syslog_param(&parsed, "code"), "ACL-1002") == 0 &&
          strcmp(syslog_param(&parsed, "disposition"), "rejected") == 0);
    if (format == SYSLOG_CEF)
        check(
            strcmp(cef_key(&cef, "act"), "rejected") == 0 && strcmp(cef_key(&cef, "cs1Label"), "topic") == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct record_seal seal = {
        .epoch = 0x6920d2f13f1c9a52, .sequence = 1042, .hostname = "edge"};
    static struct buffer line;
    struct view text = view_of(data, size);
    const struct audit_event event = {.action = AUDIT_publish_denied,
        .reason = REASON_denied_by_rule,
        .disposition = AUDIT_REJECTED,
        .has_topic = true,
        .client_ip = VIEW("203.0.113.9"),
        .topic = text,
        .user = text,
        .client_id = text,
        .rule = text,
        .detail = text};

    if (size == 0)
        return 0;
    buffer_clear(&line);
    record_render(&line, &event, &seal);
    static const size_t limits[] = {SYSLOG_LIMIT_MIN, 2000, 8192, SYSLOG_LIMIT_MAX};
    size_t limit = limits[data[0] % 4];
    check_shortened(text, data[0]);
    check_shortened(text, limit);
    for (int format = SYSLOG_JSON; format <= SYSLOG_CEF; format++) {
        check_message(text, (enum syslog_format)format, limit, false);
        check_message(view_of(buffer_view(&line).data, buffer_length(&line) - 1), (enum syslog_format)format,
            limit, true);
    }
    return 0;
}
