/* SPDX-License-Identifier: Apache-2.0 */
/* A Kafka sink, from the configuration to what the exporter takes, password included. Called by
 * server_sinks.c.
 *
 * The library reads the files of TLS itself, each time a producer is made. They are read here as well: so a
 * start and a reload refuse what it could not use, and the sink learns that they were read again. */
#include "exporters/sink_kafka.h"
#include "proxy/server_internal.h"

int server_kafka_fill(
    struct exporter_kafka *kafka, const struct config_kafka *config, struct credentials **credentials)
{
    *kafka = (struct exporter_kafka){
        .brokers = config->brokers,
        .topic = config->topic,
        .key = (enum exporter_kafka_key)config->key,
        .timeout_ms = config->timeout_ms,
        .properties = config->properties,
        .property_count = config->property_count,
    };
    if (config->tls != NULL) {
        kafka->tls = true;
        kafka->tls_ca = config->tls->ca == NULL ? NULL : config->tls->ca->file.path;
        kafka->tls_certificate = config->tls->certificate.path;
        kafka->tls_key = config->tls->key.path;
    }
    if (config->sasl != NULL) {
        kafka->sasl_mechanism = config->sasl->name;
        kafka->username = config->sasl->username;
    }
    if (config->tls == NULL && config->sasl == NULL)
        return 0;
    kafka->credentials = *credentials = server_credentials(
        "kafka", config->tls, config->sasl == NULL ? NULL : config->sasl->password_file.path);
    return *credentials == NULL ? -1 : 0;
}
