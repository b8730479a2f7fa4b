/* SPDX-License-Identifier: Apache-2.0 */
/* The Kafka sink's settings (docs/audit.md, Kafka). */
#ifndef MQWARD_EXPORTERS_SINK_KAFKA_H
#define MQWARD_EXPORTERS_SINK_KAFKA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What decides a record's partition: Kafka keeps the order within a partition only. */
enum exporter_kafka_key {
    EXPORTER_KAFKA_KEY_CLIENT_ID, /* mqtt.client_id: what one client did stays in order */
    EXPORTER_KAFKA_KEY_USER,      /* user.name */
    EXPORTER_KAFKA_KEY_NONE,      /* as the partitioner likes */
};

struct credentials;

struct exporter_kafka_property {
    const char *name, *value;
};

/* Strings are borrowed: they outlive the exporter. */
struct exporter_kafka {
    const char *brokers; /* "host:port,host:port" */
    const char *topic;
    enum exporter_kafka_key key;
    bool tls;
    const char *tls_ca;                    /* PEM file; NULL: the system's */
    const char *tls_certificate, *tls_key; /* NULL: none */
    const char *sasl_mechanism;            /* PLAIN, SCRAM-SHA-256, SCRAM-SHA-512; NULL: none */
    const char *username;                  /* of SASL */
    struct credentials *credentials;       /* of them the password of SASL; borrowed; NULL: none */
    uint64_t timeout_ms;                   /* until an event that has no answer counts as not delivered */
    const struct exporter_kafka_property *properties; /* of librdkafka */
    size_t property_count;
};

/* kafka_settings.c */
/* Makes a producer without brokers, for the library judges some settings, and reads certificates and keys,
 * only then. Some milliseconds; nothing is connected or resolved. False and a sentence in error. True: what
 * the library warns of about the given properties is in warning, else "": another version of it may find
 * fault with what was good so far, and that is no reason not to start. */
bool sink_kafka_try(const struct exporter_kafka *settings, char *error, size_t error_size, char *warning,
    size_t warning_size);

/* kafka_rules.c */
/* True if librdkafka knows the property, takes the value, a producer makes use of it, and the promise of the
 * trail is not at stake. Otherwise a sentence in error. */
bool sink_kafka_property(const char *name, const char *value, char *error, size_t error_size);
/* True if it has no effect on a connection without TLS. */
bool sink_kafka_property_needs_tls(const char *name);

#endif
