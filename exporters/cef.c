/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the Common Event Format of a journal line. Called by syslog_message.c.
 *
 *   CEF:0|mqward|mqward|<version>|<event.code>|<event.action>|<0 to 10>|key=value key=value ...
 *
 * Keys are those of the CEF dictionary. Its address fields of version 0 take IPv4 only: IPv6 addresses stand
 * in c6a2 and c6a3, as the dictionary has it. */
#include <arpa/inet.h>
#include <inttypes.h>

#include "exporters/syslog_members.h"

#define HEADER_MAX 31   /* of a field that a line brings */
#define CEF_STRING 1023 /* the dictionary's length of most texts */
#define CEF_CUSTOM 1024 /* of cs1 to cs6 it is 4000: ours are shorter */
#define CEF_LEAST 64    /* of a text, where there is little room; a hash has as much */

static const struct syslog_escape header_escape = {"|\\", false};
static const struct syslog_escape value_escape = {"=\\", true};

struct cef {
    struct buffer *out;
    const struct syslog_members *members;
    size_t start, limit;
    size_t cap; /* of a text, beside that of its field */
    bool first, dropped;
};

/* Drops what was written since before if it is too much. */
static void cef_settle(struct cef *cef, size_t before)
{
    if (buffer_length(cef->out) - cef->start > cef->limit) {
        cef->out->end = before;
        cef->dropped = true;
    } else {
        cef->first = false;
    }
}

static void cef_value(struct cef *cef, enum syslog_member member, size_t cap)
{
    syslog_append_text(
        cef->out, cef->members->values[member], cap < cef->cap ? cap : cef->cap, &value_escape);
}

static void cef_key(struct cef *cef, const char *key)
{
    if (!cef->first)
        buffer_append_byte(cef->out, ' ');
    buffer_append(cef->out, view_of_string(key));
    buffer_append_byte(cef->out, '=');
}

static void cef_text(struct cef *cef, const char *key, enum syslog_member member, size_t cap)
{
    size_t before = cef->out->end;

    if (cef->members->values[member].text.length == 0)
        return;
    cef_key(cef, key);
    cef_value(cef, member, cap);
    cef_settle(cef, before);
}

/* A custom field and its label: both or none. */
static void cef_custom(struct cef *cef, const char *key, const char *label, enum syslog_member member)
{
    size_t before = cef->out->end;

    if (cef->members->values[member].text.length == 0)
        return;
    cef_key(cef, key);
    cef_value(cef, member, CEF_CUSTOM);
    buffer_format(cef->out, " %sLabel=%s", key, label);
    cef_settle(cef, before);
}

static bool cef_is_v4(struct view text)
{
    char copy[INET_ADDRSTRLEN];
    struct in_addr address;

    if (text.length == 0 || text.length >= sizeof(copy))
        return false;
    memcpy(copy, text.data, text.length);
    copy[text.length] = '\0';
    return inet_pton(AF_INET, copy, &address) == 1;
}

static void cef_address(struct cef *cef, enum syslog_member ip, enum syslog_member port, bool source)
{
    if (cef_is_v4(cef->members->values[ip].text))
        cef_text(cef, source ? "src" : "dst", ip, CEF_STRING);
    else if (source)
        cef_custom(cef, "c6a2", "Source IPv6 Address", ip);
    else
        cef_custom(cef, "c6a3", "Destination IPv6 Address", ip);
    cef_text(cef, source ? "spt" : "dpt", port, CEF_STRING);
}

/* Whoever sent the packet is the source; the user is at the client's end. */
static void cef_network(struct cef *cef)
{
    struct record_value direction = cef->members->values[SYSLOG_direction];
    bool outbound = direction.kind == RECORD_STRING && view_equal(direction.text, VIEW("outbound"));
    size_t before = cef->out->end;

    cef_address(cef, outbound ? SYSLOG_server_ip : SYSLOG_client_ip,
        outbound ? SYSLOG_server_port : SYSLOG_client_port, true);
    cef_address(cef, outbound ? SYSLOG_client_ip : SYSLOG_server_ip,
        outbound ? SYSLOG_client_port : SYSLOG_server_port, false);
    cef_text(cef, outbound ? "duser" : "suser", SYSLOG_user, CEF_STRING);
    if (direction.kind != RECORD_STRING)
        return;
    before = cef->out->end;
    buffer_format(cef->out, "%sproto=TCP app=MQTT deviceDirection=%d", cef->first ? "" : " ", outbound);
    cef_settle(cef, before);
}

/* Low 0 to 3, medium 4 to 6, high 7 and 8, very high 9 and 10. */
static unsigned cef_severity(uint64_t severity)
{
    return severity >= 99 ? 10 : severity >= 73 ? 8 : severity >= 47 ? 5 : 3;
}

static void cef_header_field(struct cef *cef, enum syslog_member member)
{
    syslog_append_text(cef->out, cef->members->values[member], HEADER_MAX, &header_escape);
    buffer_append_byte(cef->out, '|');
}

static void cef_number(struct cef *cef, const char *key, uint64_t value)
{
    size_t before = cef->out->end;

    cef_key(cef, key);
    buffer_format(cef->out, "%" PRIu64, value);
    cef_settle(cef, before);
}

/* False: a field for which there was no room is left out. */
static bool cef_fields(struct cef *cef)
{
    const struct syslog_members *members = cef->members;
    uint64_t time_ms = syslog_time_ms(members);
    uint64_t suppressed = record_value_number(members->values[SYSLOG_suppressed]);

    if (time_ms > 0)
        cef_number(cef, "rt", time_ms);
    cef_text(cef, "externalId", SYSLOG_id, 40);
    cef_text(cef, "dvchost", SYSLOG_hostname, 100);
    cef_text(cef, "act", SYSLOG_disposition, 63);
    cef_text(cef, "outcome", SYSLOG_outcome, 63);
    cef_text(cef, "reason", SYSLOG_reason, CEF_STRING);
    cef_network(cef);
    if (suppressed > 0 && suppressed < INT32_MAX)
        cef_number(cef, "cnt", suppressed + 1);
    cef_custom(cef, "cs1", "topic", SYSLOG_topic);
    cef_custom(cef, "cs2", "rule", SYSLOG_rule);
    cef_custom(cef, "cs3", "clientId", SYSLOG_client_id);
    cef_custom(cef, "cs4", "sessionId", SYSLOG_session_id);
    cef_custom(cef, "cs5", "ruleLine", SYSLOG_rule_line);
    cef_custom(cef, "cs6", "payloadSha256", SYSLOG_payload_hash);
    cef_custom(cef, "cn1", "qos", SYSLOG_qos);
    cef_custom(cef, "cn2", "mqttReasonCode", SYSLOG_reason_code);
    cef_custom(cef, "cn3", "payloadBytes", SYSLOG_payload_bytes);
    cef_text(cef, "in", SYSLOG_client_bytes, CEF_STRING);
    cef_text(cef, "out", SYSLOG_server_bytes, CEF_STRING);
    cef_text(cef, "msg", SYSLOG_message, CEF_STRING);
    return !cef->dropped;
}

/* Long texts give way before a field does. */
void cef_render(struct buffer *out, const struct syslog_members *members, size_t limit)
{
    struct cef cef = {out, members, buffer_length(out), limit, 0, true, false};

    buffer_append(out, VIEW("CEF:0|mqward|mqward|"));
    cef_header_field(&cef, SYSLOG_version);
    cef_header_field(&cef, SYSLOG_code);
    cef_header_field(&cef, SYSLOG_action);
    buffer_format(out, "%u|", cef_severity(record_value_number(members->values[SYSLOG_severity])));
    size_t before = out->end;
    for (cef.cap = CEF_CUSTOM; !cef_fields(&cef) && cef.cap > CEF_LEAST; cef.cap /= 2) {
        out->end = before;
        cef.first = true;
        cef.dropped = false;
    }
}
