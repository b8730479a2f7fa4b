/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the list of librdkafka's properties that nobody but the sink may set: at stake are that each event is
 * delivered, in order, that the broker is who it says, and that a configuration file runs no code. What would
 * have no effect is refused as well. Called by kafka_settings.c and by the reader of mqward.yaml. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include "exporters/record.h"
#include "exporters/sink_kafka.h"
#include "exporters/tls_suites.h"

static const char setting[] = "the sink has a setting of its own for it";
static const char promise[] = "the sink sets it, or events could be lost, repeated or out of order unnoticed";
static const char unchecked[] = "the sink sets it, or the broker could be anybody";
static const char code[] = "it would run code that the configuration names";
static const char inside[] = "it is between the library and the program";
static const char consumer[] = "it is a consumer's, and has no effect here";
static const char versions[] =
    "the sink needs brokers that say which versions they speak, and asks them (Kafka 0.11 or later)";

/* ---- values ---- */

static bool check_suites(const char *value, char *error, size_t error_size)
{
    return tls_suites_are_sound(value, error, error_size);
}

/* With a key, it decides what is in order. */
static bool check_partitioner(const char *value, char *error, size_t error_size)
{
    if (strcmp(value, "random") != 0)
        return true;
    snprintf(error, error_size,
        "random would part what belongs together; where that is wanted, write 'key: none' in its stead");
    return false;
}

#define RECORD_ROOM 4096 /* key, header, and what a batch has around its records */

/* What the library itself refuses is never delivered, and everything behind it waits for ever. */
static bool check_message_bytes(const char *value, char *error, size_t error_size)
{
    if (strtoull(value, NULL, 0) >= RECORD_LINE_MAX + RECORD_ROOM)
        return true;
    snprintf(error, error_size, "an event can have %zu bytes: at least %zu are needed", RECORD_LINE_MAX,
        RECORD_LINE_MAX + RECORD_ROOM);
    return false;
}

/* ---- names ---- */

/* The first row that fits decides. A pattern that ends with '*' fits all that begin so, one that begins with
 * it all that end so. */
static const struct kafka_rule {
    const char *pattern;
    const char *refusal; /* NULL: allowed, if check (NULL: none) likes the value */
    bool (*check)(const char *value, char *error, size_t error_size);
} rules[] = {
    {"bootstrap.servers", setting, NULL},
    {"metadata.broker.list", setting, NULL},
    {"security.protocol", setting, NULL},
    {"sasl.mechanism*", setting, NULL},
    {"sasl.username", setting, NULL},
    {"sasl.password", setting, NULL},
    {"sasl.*", "only PLAIN and SCRAM are supported", NULL},
    {"enable.sasl.*", "only PLAIN and SCRAM are supported", NULL},
    {"message.timeout.ms", setting, NULL},
    {"delivery.timeout.ms", setting, NULL},
    {"enable.idempotence", promise, NULL},
    {"enable.gapless.guarantee", promise, NULL},
    {"acks", promise, NULL},
    {"request.required.acks", promise, NULL},
    {"retries", promise, NULL},
    {"message.send.max.retries", promise, NULL},
    {"max.in.flight*", promise, NULL},
    {"queue.buffering.max.messages", promise, NULL},
    {"queue.buffering.max.kbytes", promise, NULL},
    {"queuing.strategy", promise, NULL},
    {"msg_order_cmp", promise, NULL},
    {"delivery.report.only.error", promise, NULL},
    {"dr_*", promise, NULL},
    {"transaction*", promise, NULL},
    {"topic.blacklist", promise, NULL},
    {"partitioner", NULL, check_partitioner},
    {"message.max.bytes", NULL, check_message_bytes},
    {"api.version.*", versions, NULL},
    {"broker.version.fallback", versions, NULL},
    {"enable.ssl.certificate.verification", unchecked, NULL},
    {"ssl.endpoint.identification.algorithm", unchecked, NULL},
    {"ssl.certificate.verify_cb", unchecked, NULL},
    {"ssl.cipher.suites", NULL, check_suites},
    {"ssl.curves.list", NULL, NULL},
    {"ssl.sigalgs.list", NULL, NULL},
    {"ssl.crl.location", NULL, NULL},
    {"ssl.engine*", code, NULL},
    {"ssl_engine*", code, NULL},
    {"ssl.providers", code, NULL},
    {"plugin.*", code, NULL},
    {"ssl*", setting, NULL},
    {"interceptors", inside, NULL},
    {"opaque", inside, NULL},
    {"default_topic_conf", inside, NULL},
    {"log.queue", inside, NULL},
    {"enabled_events", inside, NULL},
    {"statistics.interval.ms", inside, NULL},
    {"internal.*", inside, NULL},
    {"test.*", inside, NULL},
    {"*_cb", inside, NULL},
    {"group.*", consumer, NULL},
    {"session.timeout.ms", consumer, NULL},
    {"heartbeat.interval.ms", consumer, NULL},
    {"partition.assignment.strategy", consumer, NULL},
    {"coordinator.query.interval.ms", consumer, NULL},
    {"max.poll.*", consumer, NULL},
    {"max.partition.fetch.bytes", consumer, NULL},
    {"auto.*", consumer, NULL},
    {"enable.auto.*", consumer, NULL},
    {"enable.partition.eof", consumer, NULL},
    {"queued.*", consumer, NULL},
    {"fetch.*", consumer, NULL},
    {"offset.store.*", consumer, NULL},
    {"isolation.level", consumer, NULL},
    {"check.crcs", consumer, NULL},
    {"consume.callback.max.messages", consumer, NULL},
};

static bool rule_fits(const char *pattern, const char *name)
{
    size_t length = strlen(pattern), name_length = strlen(name);

    if (pattern[0] == '*')
        return name_length >= length - 1 && strcmp(name + name_length - (length - 1), pattern + 1) == 0;
    if (pattern[length - 1] == '*')
        return strncmp(name, pattern, length - 1) == 0;
    return strcmp(name, pattern) == 0;
}

static const struct kafka_rule *find_rule(const char *name)
{
    static const struct kafka_rule allowed = {"", NULL, NULL};

    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (rule_fits(rules[i].pattern, name))
            return &rules[i];
    }
    return &allowed;
}

/* ---- the whole ---- */

/* The library knows the name, and can read the value. */
static bool is_taken(const char *name, const char *value, char *error, size_t error_size)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char reason[512] = "";
    bool taken = rd_kafka_conf_set(conf, name, value, reason, sizeof(reason)) == RD_KAFKA_CONF_OK;

    rd_kafka_conf_destroy(conf);
    if (!taken) {
        reason[strcspn(reason, "\n")] = '\0';
        snprintf(error, error_size, "%s", reason[0] != '\0' ? reason : name);
    }
    return taken;
}

bool sink_kafka_property(const char *name, const char *value, char *error, size_t error_size)
{
    const struct kafka_rule *rule = find_rule(name);
    char reason[256];

    if (rule->refusal != NULL) {
        snprintf(error, error_size, "%s: %s", name, rule->refusal);
        return false;
    }
    if (!is_taken(name, value, error, error_size))
        return false;
    if (rule->check == NULL || rule->check(value, reason, sizeof(reason)))
        return true;
    snprintf(error, error_size, "%s: %s", name, reason);
    return false;
}

bool sink_kafka_property_needs_tls(const char *name)
{
    return strncmp(name, "ssl.", 4) == 0;
}
