/* SPDX-License-Identifier: Apache-2.0 */
/* librdkafka's mock cluster as a program: one broker on loopback. It prints "brokers HOST:PORT" and then
 * reads commands, one a line, each answered by "ok" or "no":
 *
 *   topic NAME PARTITIONS     makes a topic
 *   down | up                 the broker listens no more, and breaks its connections; listens again
 *   rtt MILLISECONDS          until it answers
 *   refuse API ERROR COUNT    the next answers to such requests are errors, all numbers of the protocol
 *
 * It ends with its input. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#define BROKER 1
#define REFUSE_MAX 1000

static int refuse(rd_kafka_mock_cluster_t *cluster, int api, int error, int count)
{
    rd_kafka_resp_err_t errors[REFUSE_MAX];

    if (count < 1 || count > REFUSE_MAX)
        return -1;
    for (int i = 0; i < count; i++)
        errors[i] = (rd_kafka_resp_err_t)error;
    rd_kafka_mock_push_request_errors_array(cluster, (int16_t)api, (size_t)count, errors);
    return 0;
}

/* 0: done. */
static int run(rd_kafka_mock_cluster_t *cluster, const char *line)
{
    char name[256];
    int a, b, c;

    if (sscanf(line, "topic %255s %d", name, &a) == 2)
        return (int)rd_kafka_mock_topic_create(cluster, name, a, 1);
    if (strcmp(line, "down") == 0)
        return (int)rd_kafka_mock_broker_set_down(cluster, BROKER);
    if (strcmp(line, "up") == 0)
        return (int)rd_kafka_mock_broker_set_up(cluster, BROKER);
    if (sscanf(line, "rtt %d", &a) == 1)
        return (int)rd_kafka_mock_broker_set_rtt(cluster, BROKER, a);
    if (sscanf(line, "refuse %d %d %d", &a, &b, &c) == 3)
        return refuse(cluster, a, b, c);
    return -1;
}

int main(void)
{
    char line[512];
    rd_kafka_t *handle = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), line, sizeof(line));
    rd_kafka_mock_cluster_t *cluster = handle == NULL ? NULL : rd_kafka_mock_cluster_new(handle, 1);

    if (cluster == NULL) {
        fprintf(stderr, "no cluster\n");
        return 1;
    }
    printf("brokers %s\n", rd_kafka_mock_cluster_bootstraps(cluster));
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        puts(run(cluster, line) == 0 ? "ok" : "no");
        fflush(stdout);
    }
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(handle);
    return 0;
}
