/* SPDX-License-Identifier: Apache-2.0 */
/* The Kafka sink against librdkafka's mock cluster: everything arrives, in order, whatever the brokers do;
 * and nothing waits for brokers that hang. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ring.h"
#include "event.h"
#include "exporters/sinks.h"
#include "kafka_cluster.h"

static struct exporter *start(const struct exporter_settings *settings)
{
    char error[256] = "";
    struct exporter *exporter = exporter_open(settings, error, sizeof(error));

    cr_assert_not_null(exporter, "%s", error);
    cr_assert_eq(exporter_start(exporter), 0);
    return exporter;
}

static void push_event(struct exporter *exporter, const struct audit_event *event)
{
    uint8_t record[AUDIT_EVENT_MAX];
    size_t length = audit_event_encode(event, record);

    while (!ring_push(exporter_ring(exporter, 0), view_of(record, length))) {
        exporter_wake(exporter);
        usleep(1000);
    }
}

static void push(struct exporter *exporter, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        char user[32];
        struct audit_event event = event_numbered(i, user);
        push_event(exporter, &event);
    }
    exporter_wake(exporter);
}

static struct exporter_sink_status status_of(struct exporter *exporter, size_t sink)
{
    struct exporter_sink_status status;

    exporter_sink_status(exporter, sink, &status);
    return status;
}

static bool delivered(struct exporter *exporter, uint64_t count)
{
    struct exporter_sink_status status = status_of(exporter, 0);

    return status.delivered >= count && status.lag_bytes == 0;
}

Test(kafka, all_events_arrive_in_order)
{
    struct kafka_cluster cluster;
    size_t repeats;
    kafka_cluster_open(&cluster, 1);
    struct exporter *exporter = start(&cluster.exporter);
    push(exporter, 0, 3000);
    WAIT_FOR(delivered(exporter, 3000) && status_of(exporter, 0).lag_seconds == 0);
    struct exporter_sink_status status = status_of(exporter, 0);
    cr_assert(status.up && status.failures == 0);
    cr_assert_str_eq(status.kind, "kafka");
    cr_assert_str_eq(status.name, "siem");
    exporter_close(exporter, CLOSE_MS);
    cr_assert_eq(kafka_cluster_users(&cluster, 1, &repeats), 3000);
    cr_assert_eq(repeats, 0);
    kafka_cluster_close(&cluster);
}

Test(kafka, a_new_run_goes_on_at_the_cursor)
{
    struct kafka_cluster cluster;
    size_t repeats;
    kafka_cluster_open(&cluster, 1);
    for (uint64_t run = 0; run < 3; run++) {
        struct exporter *exporter = start(&cluster.exporter);
        push(exporter, run * 100, 100);
        exporter_close(exporter, CLOSE_MS);
    }
    cr_assert_eq(kafka_cluster_users(&cluster, 1, &repeats), 300);
    cr_assert_eq(repeats, 0);
    kafka_cluster_close(&cluster);
}

Test(kafka, a_broker_that_was_away_gets_everything_in_order)
{
    struct kafka_cluster cluster;
    kafka_cluster_open(&cluster, 1);
    struct exporter *exporter = start(&cluster.exporter);
    push(exporter, 0, 500);
    WAIT_FOR(delivered(exporter, 500));
    kafka_cluster_up(&cluster, false);
    push(exporter, 500, 500);
    WAIT_FOR(!status_of(exporter, 0).up);
    WAIT_FOR(status_of(exporter, 0).lag_seconds > 0);
    WAIT_FOR(status_of(exporter, 0).lag_bytes > 500 * 100);
    push(exporter, 1000, 500);
    kafka_cluster_up(&cluster, true);
    WAIT_FOR(delivered(exporter, 1500));
    exporter_close(exporter, CLOSE_MS);
    cr_assert_eq(kafka_cluster_users(&cluster, 1, NULL), 1500);
    cr_assert_geq(directory_actions(cluster.path, "sink-down"), 1);
    cr_assert_geq(directory_actions(cluster.path, "sink-up"), 1);
    kafka_cluster_close(&cluster);
}

Test(kafka, a_broker_that_comes_after_us)
{
    struct kafka_cluster cluster;
    kafka_cluster_open(&cluster, 1);
    kafka_cluster_up(&cluster, false);
    struct exporter *exporter = start(&cluster.exporter);
    push(exporter, 0, 100);
    WAIT_FOR(status_of(exporter, 0).failures > 0);
    WAIT_FOR(status_of(exporter, 0).lag_seconds > 0.2);
    cr_assert_lt(status_of(exporter, 0).lag_seconds, 60);
    kafka_cluster_up(&cluster, true);
    WAIT_FOR(delivered(exporter, 100));
    WAIT_FOR(status_of(exporter, 0).lag_seconds == 0);
    exporter_close(exporter, CLOSE_MS);
    cr_assert_eq(kafka_cluster_users(&cluster, 1, NULL), 100);
    kafka_cluster_close(&cluster);
}

Test(kafka, what_the_library_may_try_again_is_neither_lost_nor_doubled)
{
    struct kafka_cluster cluster;
    size_t repeats;
    kafka_cluster_open(&cluster, 1);
    kafka_cluster_refuse(&cluster, KAFKA_PRODUCE, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, 3);
    kafka_cluster_refuse(&cluster, KAFKA_PRODUCE, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, 2);
    struct exporter *exporter = start(&cluster.exporter);
    push(exporter, 0, 200);
    WAIT_FOR(delivered(exporter, 200));
    cr_assert_eq(status_of(exporter, 0).failures, 0);
    exporter_close(exporter, CLOSE_MS);
    cr_assert_eq(kafka_cluster_users(&cluster, 1, &repeats), 200);
    cr_assert_eq(repeats, 0);
    kafka_cluster_close(&cluster);
}

/* Refuses as many requests of the kind, and sees everything arrive all the same. */
static void check_refused(int16_t api, rd_kafka_resp_err_t error, size_t count)
{
    struct kafka_cluster cluster;
    kafka_cluster_open(&cluster, 1);
    kafka_cluster_refuse(&cluster, api, error, count);
    struct exporter *exporter = start(&cluster.exporter);
    push(exporter, 0, 200);
    WAIT_FOR(delivered(exporter, 200));
    cr_assert_geq(status_of(exporter, 0).failures, 1);
    exporter_close(exporter, CLOSE_MS);
    cr_assert_eq(kafka_cluster_users(&cluster, 1, NULL), 200);
    cr_assert_eq(directory_actions(cluster.path, "sink-down"), 1);
    cr_assert_eq(directory_actions(cluster.path, "sink-up"), 1);
    kafka_cluster_close(&cluster);
}

Test(kafka, a_refused_record_is_not_delivered_yet)
{
    check_refused(KAFKA_PRODUCE, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 2);
}

Test(kafka, a_record_that_is_too_large_for_the_topic_is_not_delivered_yet)
{
    check_refused(KAFKA_PRODUCE, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 1);
}

/* The next records wait in the library while the first request is under way: refused, that is sent again
 * before them. kafka_cluster_users() looks at the order. */
Test(kafka, a_refused_record_is_not_overtaken)
{
    struct kafka_cluster cluster;
    kafka_cluster_open(&cluster, 1);
    struct exporter *exporter = start(&cluster.exporter);
    push(exporter, 0, 1);
    WAIT_FOR(delivered(exporter, 1));
    kafka_cluster_refuse(&cluster, KAFKA_PRODUCE, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 1);
    kafka_cluster_slow(&cluster, 300);
    push(exporter, 1, 10);
    usleep(150000);
    push(exporter, 11, 189);
    WAIT_FOR(status_of(exporter, 0).failures > 0);
    kafka_cluster_slow(&cluster, 0);
    WAIT_FOR(delivered(exporter, 200));
    exporter_close(exporter, CLOSE_MS);
    cr_assert_eq(kafka_cluster_users(&cluster, 1, NULL), 200);
    kafka_cluster_close(&cluster);
}

Test(kafka, after_a_fatal_error_the_producer_is_made_anew)
{
    check_refused(KAFKA_INIT_PRODUCER_ID, RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, 1);
}

Test(kafka, a_cluster_that_loses_its_memory_of_the_producer)
{
    struct kafka_cluster cluster;
    kafka_cluster_open(&cluster, 1);
    struct exporter *exporter = start(&cluster.exporter);
    push(exporter, 0, 200);
    WAIT_FOR(delivered(exporter, 200));
    kafka_cluster_refuse(&cluster, KAFKA_PRODUCE, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, 1);
    kafka_cluster_refuse(&cluster, KAFKA_PRODUCE, RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, 1);
    push(exporter, 200, 200);
    WAIT_FOR(delivered(exporter, 400));
    exporter_close(exporter, CLOSE_MS);
    cr_assert_eq(kafka_cluster_users(&cluster, 1, NULL), 400);
    kafka_cluster_close(&cluster);
}

Test(kafka, a_cluster_that_hangs_stalls_no_other_sink_and_not_the_stop)
{
    struct kafka_cluster good, hung;
    struct exporter_sink sinks[2];
    kafka_cluster_open(&good, 1);
    kafka_cluster_open(&hung, 1);
    hung.settings.timeout_ms = 1000;
    sinks[0] = good.sink;
    sinks[1] = (struct exporter_sink){"hung", &sink_kafka, &hung.settings};
    good.exporter.sinks = sinks;
    good.exporter.sink_count = 2;
    kafka_cluster_slow(&hung, 3600 * 1000);
    struct exporter *exporter = start(&good.exporter);
    push(exporter, 0, 1000);
    WAIT_FOR(delivered(exporter, 1000));
    WAIT_FOR(status_of(exporter, 1).failures >= 2);
    push(exporter, 1000, 500);
    WAIT_FOR(delivered(exporter, 1500));
    cr_assert(status_of(exporter, 0).up && !status_of(exporter, 1).up);
    cr_assert_eq(status_of(exporter, 1).delivered, 0);
    uint64_t before = clock_monotonic_ms();
    exporter_close(exporter, 100);
    cr_assert_lt(clock_monotonic_ms() - before, 20000, "closing waits for nobody");
    cr_assert_eq(kafka_cluster_users(&good, 1, NULL), 1500);
    kafka_cluster_close(&good);
    kafka_cluster_close(&hung);
}

/* The keys of the records of one event. */
static json_t *keyed_record(enum exporter_kafka_key key, struct view client_id)
{
    struct kafka_cluster cluster;
    kafka_cluster_open(&cluster, 4);
    cluster.settings.key = key;
    struct exporter *exporter = start(&cluster.exporter);
    for (uint64_t i = 0; i < 10; i++) {
        struct audit_event event = event_plain();
        event.client_id = client_id;
        event.user = VIEW("user \"},{\"client_id\":\"forged\"");
        push_event(exporter, &event);
    }
    exporter_wake(exporter);
    WAIT_FOR(delivered(exporter, 10));
    exporter_close(exporter, CLOSE_MS);
    json_t *records = kafka_cluster_records(&cluster, 4);
    kafka_cluster_close(&cluster);
    cr_assert_eq(json_array_size(records), 10);
    json_t *first = json_incref(json_array_get(records, 0));
    bool is_keyed = json_object_get(first, "key") != NULL;
    for (size_t i = 0; i < 10; i++) {
        json_t *record = json_array_get(records, i);
        cr_assert_eq(json_object_get(record, "key") != NULL, is_keyed);
        if (is_keyed)
            cr_assert_eq(
                number_at(record, "partition"), number_at(first, "partition"), "one key, one partition");
    }
    json_decref(records);
    return first;
}

Test(kafka, the_key_is_the_client_identifier_as_it_stands_in_the_event)
{
    json_t *record = keyed_record(EXPORTER_KAFKA_KEY_CLIENT_ID, VIEW("sensor \"17\"\\"));
    cr_assert_str_eq(string_at(record, "key"), "sensor \\\"17\\\"\\\\");
    json_decref(record);
}

Test(kafka, the_key_is_the_user)
{
    json_t *record = keyed_record(EXPORTER_KAFKA_KEY_USER, VIEW("c"));
    cr_assert_str_eq(string_at(record, "key"), "user \\\"},{\\\"client_id\\\":\\\"forged\\\"");
    json_decref(record);
}

Test(kafka, there_is_no_key)
{
    json_t *record = keyed_record(EXPORTER_KAFKA_KEY_NONE, VIEW("c"));
    cr_assert_null(json_object_get(record, "key"));
    json_decref(record);
}

Test(kafka, an_event_without_the_field_has_no_key)
{
    json_t *record = keyed_record(EXPORTER_KAFKA_KEY_CLIENT_ID, VIEW(""));
    cr_assert_null(json_object_get(record, "key"), "and what a user's name says is no field");
    json_decref(record);
}

Test(kafka, properties_that_would_break_the_promise_are_refused)
{
    static const char *const refused[][2] = {{"enable.idempotence", "false"}, {"acks", "1"},
        {"request.required.acks", "0"}, {"message.timeout.ms", "1"}, {"delivery.timeout.ms", "1"},
        {"retries", "0"}, {"max.in.flight", "1000"}, {"max.in.flight.requests.per.connection", "1"},
        {"queue.buffering.max.messages", "1"}, {"queue.buffering.max.kbytes", "1"},
        {"queuing.strategy", "lifo"}, {"delivery.report.only.error", "true"}, {"transactional.id", "x"},
        {"bootstrap.servers", "evil:1"}, {"metadata.broker.list", "evil:1"},
        {"security.protocol", "plaintext"}, {"enable.ssl.certificate.verification", "false"},
        {"ssl.endpoint.identification.algorithm", "none"}, {"ssl.ca.location", "ca.pem"},
        {"ssl.keystore.password", "x"}, {"ssl.engine.location", "e.so"}, {"ssl.providers", "x"},
        {"plugin.library.paths", "p.so"}, {"sasl.kerberos.kinit.cmd", "id"}, {"sasl.password", "x"},
        {"sasl.mechanisms", "PLAIN"}, {"sasl.oauthbearer.method", "oidc"}, {"topic.blacklist", ".*"},
        {"statistics.interval.ms", "1"}, {"internal.termination.signal", "9"}, {"test.mock.num.brokers", "1"},
        {"dr_msg_cb", "x"}, {"partitioner_cb", "x"}, {"log_cb", "x"}, {"no.such.property", "x"},
        {"linger.ms", "soon"}, {"compression.codec", "rar"}, {"", ""}};
    static const char *const allowed[][2] = {{"client.id", "x"}, {"client.rack", "a"}, {"linger.ms", "50"},
        {"compression.codec", "lz4"}, {"partitioner", "murmur2_random"}, {"ssl.cipher.suites", "HIGH"},
        {"socket.timeout.ms", "1000"}, {"message.max.bytes", "2000000"}, {"debug", "broker"}};
    char error[512];

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        error[0] = '\0';
        cr_expect_not(
            sink_kafka_property(refused[i][0], refused[i][1], error, sizeof(error)), "%s", refused[i][0]);
        cr_expect_neq(error[0], '\0', "%s", refused[i][0]);
    }
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
        cr_expect(sink_kafka_property(allowed[i][0], allowed[i][1], error, sizeof(error)), "%s: %s",
            allowed[i][0], error);
}

Test(kafka, settings_that_the_library_refuses_are_an_error_at_the_start)
{
    struct kafka_cluster cluster;
    const struct exporter_kafka_property property = {"acks", "0"};
    char error[256] = "";
    kafka_cluster_open(&cluster, 1);
    cluster.settings.properties = &property;
    cluster.settings.property_count = 1;
    cr_assert_null(exporter_open(&cluster.exporter, error, sizeof(error)));
    cr_assert_not_null(strstr(error, "siem: acks"), "%s", error);
    kafka_cluster_close(&cluster);
}

/* Of the library's threads; the cluster's own is the test's affair. */
static size_t threads_that_take_signals(void)
{
    size_t count = 0;
    char command[128];

    snprintf(command, sizeof(command), "cat /proc/%d/task/*/status", getpid());
    FILE *file = popen(command, "r");
    char line[256], name[64] = "";
    unsigned long long blocked;
    cr_assert_not_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "Name: %63s", name) == 1)
            continue;
        if (sscanf(line, "SigBlk: %llx", &blocked) == 1 && strncmp(name, "rdk:", 4) == 0 &&
            strcmp(name, "rdk:mock") != 0)
            count += (blocked & (1ULL << (SIGTERM - 1))) == 0 || (blocked & (1ULL << (SIGHUP - 1))) == 0;
    }
    pclose(file);
    return count;
}

Test(kafka, the_librarys_threads_take_no_signals)
{
    struct kafka_cluster cluster;
    kafka_cluster_open(&cluster, 1);
    struct exporter *exporter = start(&cluster.exporter);
    push(exporter, 0, 10);
    WAIT_FOR(delivered(exporter, 10));
    cr_assert_eq(threads_that_take_signals(), 0);
    exporter_close(exporter, 1000);
    kafka_cluster_close(&cluster);
}
