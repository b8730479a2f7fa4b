/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the list of a record's fields. The renderer (record.c) writes them member by member; the tests hold
 * both, and the manual, against each other. */
#include "exporters/record_fields.h"

#include "base/diag.h"

#define TEXT(path)                                                                                           \
    {                                                                                                        \
        (path), RECORD_FIELD_TEXT                                                                            \
    }
#define NUMBER(path)                                                                                         \
    {                                                                                                        \
        (path), RECORD_FIELD_NUMBER                                                                          \
    }
#define BOOLEAN(path)                                                                                        \
    {                                                                                                        \
        (path), RECORD_FIELD_BOOLEAN                                                                         \
    }

/* clang-format off: one a line, as in the manual */
static const struct record_field fields[] = {
    TEXT("@timestamp"),
    TEXT("event.created"),
    NUMBER("event.sequence"),
    TEXT("event.id"),
    TEXT("event.kind"),
    TEXT("event.category"),
    TEXT("event.type"),
    TEXT("event.action"),
    TEXT("event.outcome"),
    TEXT("event.reason"),
    TEXT("event.code"),
    NUMBER("event.severity"),
    TEXT("event.module"),
    TEXT("event.dataset"),
    TEXT("event.start"),
    TEXT("event.end"),
    NUMBER("event.duration"),
    TEXT("message"),
    TEXT("network.transport"),
    TEXT("network.protocol"),
    TEXT("network.direction"),
    TEXT("source.ip"),
    TEXT("source.address"),
    NUMBER("source.port"),
    TEXT("destination.ip"),
    TEXT("destination.address"),
    NUMBER("destination.port"),
    TEXT("client.ip"),
    TEXT("client.address"),
    NUMBER("client.port"),
    NUMBER("client.bytes"),
    NUMBER("client.packets"),
    TEXT("server.ip"),
    TEXT("server.address"),
    NUMBER("server.port"),
    NUMBER("server.bytes"),
    NUMBER("server.packets"),
    TEXT("user.name"),
    TEXT("user.roles"),
    TEXT("tls.version"),
    TEXT("tls.version_protocol"),
    TEXT("tls.cipher"),
    BOOLEAN("tls.resumed"),
    TEXT("tls.client.server_name"),
    TEXT("tls.client.subject"),
    TEXT("tls.client.issuer"),
    TEXT("tls.client.hash.sha256"),
    TEXT("tls.client.x509.serial_number"),
    TEXT("rule.ruleset"),
    TEXT("rule.id"),
    TEXT("rule.name"),
    TEXT("rule.category"),
    TEXT("rule.version"),
    TEXT("rule.uuid"),
    TEXT("rule.description"),
    TEXT("rule.reference"),
    TEXT("threat.framework"),
    TEXT("threat.technique.id"),
    TEXT("threat.technique.subtechnique.id"),
    TEXT("observer.vendor"),
    TEXT("observer.product"),
    TEXT("observer.type"),
    TEXT("observer.version"),
    TEXT("observer.hostname"),
    TEXT("related.ip"),
    TEXT("related.user"),
    TEXT("related.hash"),
    TEXT("mqtt.packet"),
    TEXT("mqtt.version"),
    TEXT("mqtt.client_id"),
    TEXT("mqtt.session_id"),
    TEXT("mqtt.username"),
    TEXT("mqtt.topic"),
    TEXT("mqtt.response_topic"),
    NUMBER("mqtt.qos"),
    BOOLEAN("mqtt.retained"),
    BOOLEAN("mqtt.duplicate"),
    NUMBER("mqtt.message_id"),
    NUMBER("mqtt.reason_code"),
    TEXT("mqtt.statement"),
    BOOLEAN("mqtt.clean_start"),
    NUMBER("mqtt.keep_alive"),
    NUMBER("mqtt.payload.bytes"),
    TEXT("mqtt.payload.sha256"),
    TEXT("mqtt.payload.excerpt"),
    TEXT("mqward.origin"),
    TEXT("mqward.disposition"),
    TEXT("mqward.policy_version"),
    TEXT("mqward.previous_policy_version"),
    TEXT("mqward.policy"),
    TEXT("mqward.check"),
    TEXT("mqward.rule_line"),
    TEXT("mqward.yara.rules"),
    TEXT("mqward.yara.namespaces"),
    TEXT("mqward.yara.tags"),
    NUMBER("mqward.yara.matches"),
    NUMBER("mqward.yara.first_offset"),
    TEXT("mqward.yara.view"),
    TEXT("mqward.yara.part"),
    BOOLEAN("mqward.yara.scan_complete"),
    TEXT("mqward.yara.incomplete"),
    TEXT("mqward.quarantine.result"),
    TEXT("mqward.quarantine.sha256"),
    TEXT("mqward.signature.kid"),
    TEXT("mqward.signature.signer"),
    TEXT("mqward.nearest"),
    TEXT("mqward.detail"),
    TEXT("mqward.listener"),
    TEXT("mqward.upstream"),
    TEXT("mqward.identity_source"),
    NUMBER("mqward.count"),
    NUMBER("mqward.suppressed"),
    NUMBER("mqward.gap.first_sequence"),
    NUMBER("mqward.gap.last_sequence"),
    TEXT("mqward.shadow.policy_version"),
    TEXT("mqward.shadow.decision"),
    TEXT("mqward.shadow.reason"),
    TEXT("mqward.shadow.rule"),
    TEXT("mqward.shadow.rule_line"),
    TEXT("mqward.ban.by"),
    TEXT("mqward.ban.value"),
    TEXT("mqward.ban.until"),
    TEXT("mqward.checkpoint.previous"),
    NUMBER("mqward.checkpoint.events"),
    NUMBER("mqward.checkpoint.interval.events"),
    NUMBER("mqward.checkpoint.interval.seconds"),
    TEXT("mqward.checkpoint.key"),
    TEXT("mqward.checkpoint.signature"),
    TEXT("ecs.version"),
    TEXT("chain.epoch"),
    NUMBER("chain.start"),
    TEXT("chain.prev"),
    TEXT("chain.hash"),
};
/* clang-format on */
#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

const struct record_field *record_fields(size_t *count)
{
    *count = FIELD_COUNT;
    return fields;
}

const struct record_field *record_field_find(struct view path, const char **near)
{
    const char *paths[FIELD_COUNT];

    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (view_equal_string(path, fields[i].path))
            return &fields[i];
        paths[i] = fields[i].path;
    }
    *near = diag_suggest(path, paths, FIELD_COUNT);
    return NULL;
}
