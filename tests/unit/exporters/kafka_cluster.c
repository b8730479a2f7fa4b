/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the mock clusters of the tests, and a consumer. */
#include "kafka_cluster.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event.h"
#include "exporters/sinks.h"

#define BROKER 1
#define USERS_MAX 20000
#define READ_MS 20000

static void silence(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    (void)handle;
    (void)level;
    (void)facility;
    (void)text;
}

static rd_kafka_t *new_handle(rd_kafka_type_t type, const char *brokers)
{
    char error[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    rd_kafka_conf_set_log_cb(conf, silence);
    if (brokers != NULL) {
        rd_kafka_conf_set(conf, "bootstrap.servers", brokers, NULL, 0);
        rd_kafka_conf_set(conf, "group.id", "reader", NULL, 0);
        rd_kafka_conf_set(conf, "enable.partition.eof", "true", NULL, 0);
        rd_kafka_conf_set(conf, "enable.auto.commit", "false", NULL, 0);
    }
    rd_kafka_t *handle = rd_kafka_new(type, conf, error, sizeof(error));
    cr_assert_not_null(handle, "%s", error);
    return handle;
}

void kafka_cluster_open(struct kafka_cluster *cluster, int partitions)
{
    *cluster = (struct kafka_cluster){.handle = new_handle(RD_KAFKA_PRODUCER, NULL)};
    cluster->mock = rd_kafka_mock_cluster_new(cluster->handle, 1);
    cr_assert_not_null(cluster->mock);
    cr_assert_eq(rd_kafka_mock_topic_create(cluster->mock, KAFKA_TOPIC, partitions, 1), 0);
    cluster->settings = (struct exporter_kafka){
        .brokers = rd_kafka_mock_cluster_bootstraps(cluster->mock),
        .topic = KAFKA_TOPIC,
        .timeout_ms = 600000, /* a slow machine is no outage */
    };
    cluster->sink = (struct exporter_sink){"siem", &sink_kafka, &cluster->settings};
    directory_make(cluster->path);
    cluster->exporter = directory_settings(cluster->path);
    cluster->exporter.sinks = &cluster->sink;
    cluster->exporter.sink_count = 1;
}

void kafka_cluster_close(struct kafka_cluster *cluster)
{
    rd_kafka_mock_cluster_destroy(cluster->mock);
    rd_kafka_destroy(cluster->handle);
    directory_remove(cluster->path);
}

void kafka_cluster_refuse(struct kafka_cluster *cluster, int16_t api, rd_kafka_resp_err_t error, size_t count)
{
    rd_kafka_resp_err_t *errors = calloc(count, sizeof(*errors));

    for (size_t i = 0; i < count; i++)
        errors[i] = error;
    rd_kafka_mock_push_request_errors_array(cluster->mock, api, count, errors);
    free(errors);
}

void kafka_cluster_up(struct kafka_cluster *cluster, bool up)
{
    cr_assert_eq(up ? rd_kafka_mock_broker_set_up(cluster->mock, BROKER)
                    : rd_kafka_mock_broker_set_down(cluster->mock, BROKER),
        0);
}

void kafka_cluster_slow(struct kafka_cluster *cluster, int milliseconds)
{
    cr_assert_eq(rd_kafka_mock_broker_set_rtt(cluster->mock, BROKER, milliseconds), 0);
}

/* What the trail says of itself is left out. */
static void take_record(json_t *records, const rd_kafka_message_t *message)
{
    json_t *record = json_object();
    json_t *event = json_loadb(message->payload, message->len, 0, NULL);

    cr_assert_not_null(event, "a record is one JSON document");
    if (json_object_get(event, "mqtt") == NULL) {
        json_decref(event);
        json_decref(record);
        return;
    }
    json_object_set_new(record, "partition", json_integer(message->partition));
    if (message->key != NULL)
        json_object_set_new(record, "key", json_stringn(message->key, message->key_len));
    json_object_set_new(record, "event", event);
    json_array_append_new(records, record);
}

json_t *kafka_cluster_records(struct kafka_cluster *cluster, int partitions)
{
    rd_kafka_t *reader = new_handle(RD_KAFKA_CONSUMER, cluster->settings.brokers);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    json_t *records = json_array();

    for (int i = 0; i < partitions; i++)
        rd_kafka_topic_partition_list_add(list, KAFKA_TOPIC, i)->offset = RD_KAFKA_OFFSET_BEGINNING;
    cr_assert_eq(rd_kafka_assign(reader, list), 0);
    for (int ended = 0; ended < partitions;) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(reader, READ_MS);
        cr_assert_not_null(message, "the records are there");
        if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            ended++;
        else if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            take_record(records, message);
        rd_kafka_message_destroy(message);
    }
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_consumer_close(reader);
    rd_kafka_destroy(reader);
    return records;
}

size_t kafka_cluster_users(struct kafka_cluster *cluster, int partitions, size_t *repeats)
{
    json_t *records = kafka_cluster_records(cluster, partitions), *record;
    uint8_t *seen = calloc(USERS_MAX, 1);
    int64_t *last = calloc((size_t)partitions, sizeof(*last));
    size_t users = 0, index;

    if (repeats != NULL)
        *repeats = 0;
    json_array_foreach(records, index, record)
    {
        const char *user = string_at(record, "event.user.name");
        if (user == NULL || user[0] == '\0')
            continue;
        int64_t number = strtoll(user, NULL, 10) + 1;
        int64_t partition = number_at(record, "partition");
        cr_assert(number > 0 && number <= USERS_MAX && partition >= 0 && partition < partitions);
        if (seen[number - 1]) {
            if (repeats != NULL)
                (*repeats)++;
            continue;
        }
        seen[number - 1] = 1;
        users++;
        cr_assert_gt(number, last[partition], "in order");
        last[partition] = number;
    }
    free(seen);
    free(last);
    json_decref(records);
    return users;
}
