/* SPDX-License-Identifier: Apache-2.0 */
/* librdkafka's mock cluster for one test, in this process: one broker on loopback, one topic. */
#ifndef MQWARD_TESTS_EXPORTERS_KAFKA_CLUSTER_H
#define MQWARD_TESTS_EXPORTERS_KAFKA_CLUSTER_H

#include <jansson.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "directory.h"
#include "exporters/sink_kafka.h"

#define KAFKA_TOPIC "audit"

/* The API keys of Kafka's protocol whose requests tests refuse. */
#define KAFKA_PRODUCE 0
#define KAFKA_INIT_PRODUCER_ID 22

struct kafka_cluster {
    rd_kafka_t *handle;
    rd_kafka_mock_cluster_t *mock;
    struct exporter_kafka settings; /* of a sink to it */
    struct exporter_sink sink;      /* "siem" */
    char path[DIRECTORY_MAX];       /* an audit directory */
    struct exporter_settings exporter;
};

void kafka_cluster_open(struct kafka_cluster *cluster, int partitions);
void kafka_cluster_close(struct kafka_cluster *cluster);
/* The next count answers to requests of this kind are the error. */
void kafka_cluster_refuse(
    struct kafka_cluster *cluster, int16_t api, rd_kafka_resp_err_t error, size_t count);
/* false: it listens no more, and its connections are closed. */
void kafka_cluster_up(struct kafka_cluster *cluster, bool up);
/* Milliseconds until it answers. */
void kafka_cluster_slow(struct kafka_cluster *cluster, int milliseconds);

/* All records so far that are about MQTT: [{"partition", "key" (absent: none), "event"}], a partition's in
 * order. */
json_t *kafka_cluster_records(struct kafka_cluster *cluster, int partitions);
/* How many different users event_numbered() made are there; asserts that each partition has their first
 * occurrences in rising order. *repeats: records beyond the first for a user. */
size_t kafka_cluster_users(struct kafka_cluster *cluster, int partitions, size_t *repeats);

#endif
