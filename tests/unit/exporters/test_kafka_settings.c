/* SPDX-License-Identifier: Apache-2.0 */
/* What a Kafka sink may be told of librdkafka's properties, what is found out before anything is connected,
 * what it says of a cluster that goes away while there is nothing to send, and what a reload means for it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/ring.h"
#include "event.h"
#include "exporters/exporter.h"
#include "kafka_cluster.h"
#include "secrets.h"

/* ---- properties ---- */

static void expect_refused(const char *name, const char *value, const char *why)
{
    char error[512] = "";

    cr_expect_not(sink_kafka_property(name, value, error, sizeof(error)), "%s: %s", name, value);
    cr_expect_not_null(strstr(error, why), "%s: %s: %s", name, value, error);
}

static void expect_allowed(const char *name, const char *value)
{
    char error[512] = "";

    cr_expect(sink_kafka_property(name, value, error, sizeof(error)), "%s: %s: %s", name, value, error);
}

/* A value that the library takes, out of what it says of the property. */
static const char *some_value(const char *range)
{
    static char value[64];

    if (sscanf(range, " %63[^., ]", value) != 1)
        snprintf(value, sizeof(value), "x");
    return value;
}

/* Whatever the installed library calls a consumer's. */
Test(kafka_settings, no_property_of_consumers_is_taken)
{
    char *text = NULL, *rest, *line;
    size_t size = 0, consumers = 0;
    FILE *file = open_memstream(&text, &size);

    rd_kafka_conf_properties_show(file);
    fclose(file);
    for (rest = text; (line = strsep(&rest, "\n")) != NULL;) {
        char name[128], whose[8], range[512] = "";
        if (sscanf(line, "%127s | %7s | %511[^|]", name, whose, range) < 2 || strcmp(whose, "C") != 0)
            continue;
        consumers++;
        expect_refused(name, some_value(range), name);
    }
    cr_assert_geq(consumers, 30, "the library's table is read: %zu", consumers);
    free(text);
}

Test(kafka_settings, what_would_break_a_promise_by_its_value_is_refused)
{
    expect_refused("partitioner", "random", "key: none");
    expect_refused("message.max.bytes", "1000", "262144");
    expect_refused("message.max.bytes", "0x3e8", "262144");
    expect_refused("api.version.request", "false", "versions");
    expect_refused("broker.version.fallback", "0.9.0", "versions");
    expect_allowed("partitioner", "murmur2_random");
    expect_allowed("partitioner", "consistent");
    expect_allowed("message.max.bytes", "1000000");
}

/* ---- cipher suites ---- */

Test(kafka_settings, no_suite_without_certificate_or_encryption_is_taken)
{
    static const char *const refused[][2] = {
        {"aNULL:@SECLEVEL=0", "asks the server for no certificate"},
        {"ADH-AES256-GCM-SHA384:@SECLEVEL=0", "asks the server for no certificate"},
        {"@SECLEVEL=0:AECDH", "asks the server for no certificate"},
        {"HIGH:@SECLEVEL=0", "asks the server for no certificate"},
        {"HIGH, @SECLEVEL=0", "asks the server for no certificate"},
        {"ALL:@SECLEVEL=0", "asks the server for no certificate"},
        {"COMPLEMENTOFDEFAULT:!eNULL:@SECLEVEL=0", "asks the server for no certificate"},
        {"ECDHE-RSA-AES256-GCM-SHA384:@SECLEVEL=0:+aNULL:aNULL", "asks the server for no certificate"},
        {"eNULL:@SECLEVEL=0", "does not encrypt"},
        {"NULL-SHA256:@SECLEVEL=0", "does not encrypt"},
        {"HIGH:!aNULL:@SECLEVEL=0", "forged"},
        {"no-such-suite", "no such cipher suites"},
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        expect_refused("ssl.cipher.suites", refused[i][0], refused[i][1]);
    expect_allowed("ssl.cipher.suites", "HIGH");
    expect_allowed("ssl.cipher.suites", "HIGH:!aNULL:!MD5");
    expect_allowed("ssl.cipher.suites", "ECDHE+AESGCM:ECDHE+CHACHA20");
    expect_allowed("ssl.cipher.suites", "DEFAULT:@SECLEVEL=1");
}

/* ---- all of it, at the start ---- */

static void expect_no_start(struct kafka_cluster *cluster, const char *why)
{
    char error[512] = "";

    struct exporter *exporter = exporter_open(&cluster->exporter, error, sizeof(error));
    cr_expect_null(exporter, "%s", why);
    exporter_close(exporter, 0);
    cr_expect_not_null(strstr(error, "siem: "), "%s", error);
    cr_expect_not_null(strstr(error, why), "%s", error);
}

static void expect_no_start_with(const char *name, const char *value, const char *why)
{
    const struct exporter_kafka_property property = {name, value};
    struct kafka_cluster cluster;

    kafka_cluster_open(&cluster, 1);
    cluster.settings.timeout_ms = 1000;
    cluster.settings.properties = &property;
    cluster.settings.property_count = 1;
    expect_no_start(&cluster, why);
    kafka_cluster_close(&cluster);
}

Test(kafka_settings, what_the_library_judges_as_a_whole_is_an_error_at_the_start)
{
    expect_no_start_with("linger.ms", "5000", "must be less than the sink's timeout");
    expect_no_start_with("ssl.curves.list", "X25519", "without tls it has no effect");
}

/* It may have been good with the library of yesterday. */
Test(kafka_settings, what_the_library_merely_warns_of_is_no_reason_not_to_start)
{
    const struct exporter_kafka_property deprecated = {"produce.offset.report", "false"};
    const struct exporter_kafka_property part = {"offset.report", "false"}, fine = {"linger.ms", "7"};
    struct exporter_kafka settings = {
        .topic = KAFKA_TOPIC, .timeout_ms = 1000, .properties = &deprecated, .property_count = 1};
    char error[512] = "", warning[512] = "";

    cr_assert(sink_kafka_try(&settings, error, sizeof(error), warning, sizeof(warning)), "%s", error);
    cr_assert_not_null(strstr(warning, "produce.offset.report"), "%s", warning);
    cr_assert_not_null(strstr(warning, "deprecated"), "%s", warning);
    settings.properties = &fine;
    cr_assert(sink_kafka_try(&settings, error, sizeof(error), warning, sizeof(warning)), "%s", error);
    cr_assert_str_eq(warning, "");
    settings.properties = &part;
    cr_assert_not(sink_kafka_try(&settings, error, sizeof(error), warning, sizeof(warning)));
}

Test(kafka_settings, files_of_tls_are_read_at_the_start)
{
    struct kafka_cluster cluster;

    kafka_cluster_open(&cluster, 1);
    cluster.settings.tls = true;
    cluster.settings.tls_ca = "/nonexistent/ca.pem";
    expect_no_start(&cluster, "/nonexistent/ca.pem");
    cluster.settings.tls_ca = NULL;
    cluster.settings.tls_certificate = "/nonexistent/cert.pem";
    cluster.settings.tls_key = "/nonexistent/key.pem";
    expect_no_start(&cluster, "/nonexistent/cert.pem");
    kafka_cluster_close(&cluster);
}

/* The brokers' names are not resolved for it, and nothing is connected. */
Test(kafka_settings, good_settings_are_good_wherever_the_brokers_are, .timeout = 30)
{
    struct kafka_cluster cluster;
    char error[512] = "";

    kafka_cluster_open(&cluster, 1);
    cluster.settings.brokers = "no-such-host.invalid:9092";
    struct exporter *exporter = exporter_open(&cluster.exporter, error, sizeof(error));
    cr_assert_not_null(exporter, "%s", error);
    exporter_close(exporter, 0);
    kafka_cluster_close(&cluster);
}

/* ---- a cluster that goes away while nothing is under way ---- */

static struct exporter_sink_status status_of(struct exporter *exporter)
{
    struct exporter_sink_status status;

    exporter_sink_status(exporter, 0, &status);
    return status;
}

static void push(struct exporter *exporter)
{
    struct audit_event event = event_plain();
    uint8_t record[AUDIT_EVENT_MAX];

    cr_assert(ring_push(exporter_ring(exporter, 0), view_of(record, audit_event_encode(&event, record))));
    exporter_wake(exporter);
}

/* The first event and the checkpoint before it, and whatever came behind them. The lag alone may still be
 * that of before the event. */
static bool has_delivered(struct exporter *exporter)
{
    struct exporter_sink_status status = status_of(exporter);

    return status.up && status.delivered >= 2 && status.lag_bytes == 0;
}

/* Opened anew: the log is written meanwhile, at an offset that reading would move. */
static bool file_has(FILE *file, const char *text)
{
    char path[64], line[4096];
    bool found = false;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fileno(file));
    FILE *reader = fopen(path, "re");
    cr_assert_not_null(reader);
    while (!found && fgets(line, sizeof(line), reader) != NULL)
        found = strstr(line, text) != NULL;
    fclose(reader);
    return found;
}

static FILE *log_file(void)
{
    FILE *log = tmpfile();

    log_configure(LOG_INFO, LOG_TEXT, fileno(log));
    return log;
}

Test(kafka_settings, a_cluster_that_went_away_while_idle_is_down_as_soon_as_events_wait)
{
    struct kafka_cluster cluster;
    char error[512] = "";
    FILE *log = log_file();

    kafka_cluster_open(&cluster, 1);
    struct exporter *exporter = exporter_open(&cluster.exporter, error, sizeof(error));
    cr_assert_not_null(exporter, "%s", error);
    cr_assert_eq(exporter_start(exporter), 0);
    push(exporter);
    WAIT_FOR(has_delivered(exporter));
    kafka_cluster_up(&cluster, false);
    WAIT_FOR(file_has(log, "no broker is connected"));
    cr_assert(status_of(exporter).up && status_of(exporter).failures == 0, "brokers close idle connections");
    push(exporter);
    WAIT_FOR(!status_of(exporter).up);
    cr_assert_eq(status_of(exporter).failures, 1);
    cr_assert(file_has(log, "sink_unreachable"));
    kafka_cluster_up(&cluster, true);
    WAIT_FOR(status_of(exporter).up && status_of(exporter).lag_bytes == 0);
    exporter_close(exporter, CLOSE_MS);
    cr_assert_eq(directory_actions(cluster.path, "sink-down"), 1);
    cr_assert_eq(directory_actions(cluster.path, "sink-up"), 1);
    kafka_cluster_close(&cluster);
    log_configure(LOG_INFO, LOG_TEXT, 2);
    fclose(log);
}

static struct exporter *started(struct kafka_cluster *cluster)
{
    char error[512] = "";
    struct exporter *exporter = exporter_open(&cluster->exporter, error, sizeof(error));

    cr_assert_not_null(exporter, "%s", error);
    cr_assert_eq(exporter_start(exporter), 0);
    push(exporter);
    WAIT_FOR(has_delivered(exporter));
    return exporter;
}

static void push_and_wait(struct exporter *exporter)
{
    uint64_t before = status_of(exporter).delivered;

    push(exporter);
    WAIT_FOR(status_of(exporter).delivered > before && status_of(exporter).lag_bytes == 0);
}

/* Brokers close connections that are idle; what is then kept back for company, or has a long way, is late and
 * no sign of an outage. */
Test(kafka_settings, a_cluster_that_has_only_closed_idle_connections_is_never_down, .timeout = 120)
{
    const struct exporter_kafka_property properties[] = {
        {"linger.ms", "2500"}, {"reconnect.backoff.ms", "2000"}}; /* back before the next attempt */
    struct kafka_cluster cluster;
    FILE *log = log_file();

    kafka_cluster_open(&cluster, 1);
    cluster.settings.properties = properties;
    cluster.settings.property_count = 2;
    struct exporter *exporter = started(&cluster);
    kafka_cluster_up(&cluster, false);
    kafka_cluster_up(&cluster, true);
    WAIT_FOR(file_has(log, "no broker is connected"));
    kafka_cluster_slow(&cluster, 2500); /* linger.ms and this: longer than any wait of the sink's */
    push_and_wait(exporter);
    cr_assert_eq(status_of(exporter).failures, 0);
    exporter_close(exporter, CLOSE_MS);
    cr_assert_eq(directory_actions(cluster.path, "sink-down"), 0);
    kafka_cluster_close(&cluster);
    log_configure(LOG_INFO, LOG_TEXT, 2);
    fclose(log);
}

/* ---- a reload ---- */

/* path lives as long as what is returned. */
static struct credentials *with_password(const struct kafka_cluster *cluster, char path[256])
{
    const struct credentials_files files = {.password_file = path};
    char error[512] = "";

    secrets_write(path, cluster->path, "password", "s3cret");
    struct credentials *credentials = credentials_new(&files, error, sizeof(error));
    cr_assert_not_null(credentials, "%s", error);
    return credentials;
}

static void reload(struct credentials *credentials)
{
    char error[512] = "";

    cr_assert(credentials_read(credentials, error, sizeof(error)), "%s", error);
    credentials_commit(credentials);
}

Test(kafka_settings, what_a_reload_has_read_is_used_as_soon_as_nothing_is_under_way)
{
    struct kafka_cluster cluster;
    FILE *log = log_file();
    char path[256];

    kafka_cluster_open(&cluster, 1);
    cluster.settings.credentials = with_password(&cluster, path);
    struct exporter *exporter = started(&cluster);
    reload(cluster.settings.credentials);
    push_and_wait(exporter);
    cr_assert(file_has(log, "connecting anew"));
    kafka_cluster_slow(&cluster, 60000);
    push(exporter);
    WAIT_FOR(status_of(exporter).lag_bytes > 0);
    reload(cluster.settings.credentials); /* with an event under way: it is waited for */
    kafka_cluster_slow(&cluster, 0);      /* what has waited is answered at once */
    push_and_wait(exporter);
    cr_assert_eq(status_of(exporter).failures, 0);
    exporter_close(exporter, CLOSE_MS);
    cr_assert_eq(directory_actions(cluster.path, "sink-down"), 0);
    json_t *records = kafka_cluster_records(&cluster, 1);
    cr_assert_eq(json_array_size(records), 4, "each once: %zu", json_array_size(records));
    json_decref(records);
    credentials_free(cluster.settings.credentials);
    kafka_cluster_close(&cluster);
    log_configure(LOG_INFO, LOG_TEXT, 2);
    fclose(log);
}

/* The library would come back with the old ones, and may be refused until the time-out. */
Test(kafka_settings, a_connection_that_breaks_after_a_reload_is_made_with_what_it_has_read)
{
    struct kafka_cluster cluster;
    FILE *log = log_file();
    char path[256];

    kafka_cluster_open(&cluster, 1);
    cluster.settings.credentials = with_password(&cluster, path);
    struct exporter *exporter = started(&cluster);
    kafka_cluster_slow(&cluster, 60000); /* no answer any more */
    push(exporter);
    WAIT_FOR(status_of(exporter).lag_bytes > 0);
    reload(cluster.settings.credentials);
    cr_assert_not(file_has(log, "connecting anew"));
    kafka_cluster_up(&cluster, false);
    WAIT_FOR(file_has(log, "connecting anew"));
    kafka_cluster_slow(&cluster, 0);
    kafka_cluster_up(&cluster, true);
    WAIT_FOR(status_of(exporter).up && status_of(exporter).lag_bytes == 0);
    exporter_close(exporter, CLOSE_MS);
    credentials_free(cluster.settings.credentials);
    kafka_cluster_close(&cluster);
    log_configure(LOG_INFO, LOG_TEXT, 2);
    fclose(log);
}

/* The password was changed there first, and here because the sink was down. */
Test(kafka_settings, a_sink_that_is_down_does_not_wait_for_its_time_out_when_a_reload_comes)
{
    struct kafka_cluster cluster;
    FILE *log = log_file();
    char path[256];

    kafka_cluster_open(&cluster, 1);
    cluster.settings.credentials = with_password(&cluster, path);
    struct exporter *exporter = started(&cluster);
    kafka_cluster_slow(&cluster, 60000);
    push(exporter);
    WAIT_FOR(status_of(exporter).lag_bytes > 0);
    kafka_cluster_up(&cluster, false);
    WAIT_FOR(!status_of(exporter).up);
    reload(cluster.settings.credentials);
    push(exporter); /* as the reload itself does */
    WAIT_FOR(file_has(log, "connecting anew"));
    kafka_cluster_slow(&cluster, 0);
    kafka_cluster_up(&cluster, true);
    WAIT_FOR(status_of(exporter).up && status_of(exporter).lag_bytes == 0);
    exporter_close(exporter, CLOSE_MS);
    credentials_free(cluster.settings.credentials);
    kafka_cluster_close(&cluster);
    log_configure(LOG_INFO, LOG_TEXT, 2);
    fclose(log);
}
