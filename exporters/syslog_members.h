/* SPDX-License-Identifier: Apache-2.0 */
/* What the renderings of a journal line for syslog take from it, and how they write texts. Private to
 * syslog_message.c and cef.c. */
#ifndef MQWARD_EXPORTERS_SYSLOG_MEMBERS_H
#define MQWARD_EXPORTERS_SYSLOG_MEMBERS_H

#include "base/buffer.h"
#include "exporters/record_read.h"

/* MEMBER(identifier, path) */
#define SYSLOG_MEMBERS(MEMBER)                                                                               \
    MEMBER(timestamp, "@timestamp")                                                                          \
    MEMBER(id, "event.id")                                                                                   \
    MEMBER(sequence, "event.sequence")                                                                       \
    MEMBER(action, "event.action")                                                                           \
    MEMBER(outcome, "event.outcome")                                                                         \
    MEMBER(reason, "event.reason")                                                                           \
    MEMBER(code, "event.code")                                                                               \
    MEMBER(severity, "event.severity")                                                                       \
    MEMBER(message, "message")                                                                               \
    MEMBER(direction, "network.direction")                                                                   \
    MEMBER(source_ip, "source.ip")                                                                           \
    MEMBER(source_port, "source.port")                                                                       \
    MEMBER(client_ip, "client.ip")                                                                           \
    MEMBER(client_port, "client.port")                                                                       \
    MEMBER(client_bytes, "client.bytes")                                                                     \
    MEMBER(server_ip, "server.ip")                                                                           \
    MEMBER(server_port, "server.port")                                                                       \
    MEMBER(server_bytes, "server.bytes")                                                                     \
    MEMBER(user, "user.name")                                                                                \
    MEMBER(rule, "rule.name")                                                                                \
    MEMBER(version, "observer.version")                                                                      \
    MEMBER(hostname, "observer.hostname")                                                                    \
    MEMBER(client_id, "mqtt.client_id")                                                                      \
    MEMBER(session_id, "mqtt.session_id")                                                                    \
    MEMBER(topic, "mqtt.topic")                                                                              \
    MEMBER(qos, "mqtt.qos")                                                                                  \
    MEMBER(reason_code, "mqtt.reason_code")                                                                  \
    MEMBER(payload_bytes, "mqtt.payload.bytes")                                                              \
    MEMBER(payload_hash, "mqtt.payload.sha256")                                                              \
    MEMBER(disposition, "mqward.disposition")                                                                \
    MEMBER(rule_line, "mqward.rule_line")                                                                    \
    MEMBER(suppressed, "mqward.suppressed")

enum syslog_member {
#define MEMBER(identifier, path) SYSLOG_##identifier,
    SYSLOG_MEMBERS(MEMBER)
#undef MEMBER
        SYSLOG_MEMBER_COUNT
};

struct syslog_members {
    struct record_value values[SYSLOG_MEMBER_COUNT];
};

/* How a text is written where some characters mean something. */
struct syslog_escape {
    const char *special; /* these get a backslash */
    bool
        has_line_breaks; /* LF and CR are written as \n and \r; otherwise they are U+FFFD like all controls */
};

/* The characters of a member, numbers included; nothing for other kinds. Of more than cap bytes (3 at least,
 * escapes not counted) as many characters as fit it with a closing U+2026. Control characters, U+2028 and
 * U+2029 become U+FFFD: no reader takes them for a line end, and no terminal obeys them. */
void syslog_append_text(
    struct buffer *out, struct record_value value, size_t cap, const struct syslog_escape *escape);

/* Milliseconds since 1970 of @timestamp, 0 if it is none of ours. */
uint64_t syslog_time_ms(const struct syslog_members *members);

/* cef.c: appends "CEF:0|...", limit bytes at most where the header alone is not longer. */
void cef_render(struct buffer *out, const struct syslog_members *members, size_t limit);

#endif
