/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the way from the settings of a Kafka sink to librdkafka's properties. Which of them the configuration
 * may set is kafka_rules.c's. Called by kafka_producer.c. */
#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include <librdkafka/rdkafka.h>

#include "exporters/credentials.h"
#include "exporters/kafka_producer.h"

static bool settings_put(
    rd_kafka_conf_t *conf, const char *name, const char *value, char *error, size_t error_size)
{
    char reason[512] = "";

    if (rd_kafka_conf_set(conf, name, value, reason, sizeof(reason)) == RD_KAFKA_CONF_OK)
        return true;
    snprintf(error, error_size, "%s", reason[0] != '\0' ? reason : name);
    return false;
}

/* ---- the whole ---- */

struct settings_pair {
    const char *name, *value;
};

static bool settings_put_all(
    rd_kafka_conf_t *conf, const struct settings_pair *pairs, size_t count, char *error, size_t error_size)
{
    for (size_t i = 0; i < count; i++) {
        if (pairs[i].value != NULL && !settings_put(conf, pairs[i].name, pairs[i].value, error, error_size))
            return false;
    }
    return true;
}

/* Before the properties: these may be changed by them. */
static bool settings_put_defaults(rd_kafka_conf_t *conf, char *error, size_t error_size)
{
    static const struct settings_pair pairs[] = {
        {"client.id", "mqward"},
        {"reconnect.backoff.ms", "100"},
        {"reconnect.backoff.max.ms", "5000"},
        {"socket.keepalive.enable", "true"},
    };

    return settings_put_all(conf, pairs, sizeof(pairs) / sizeof(pairs[0]), error, error_size);
}

static const char *settings_protocol(const struct exporter_kafka *settings)
{
    if (settings->sasl_mechanism != NULL)
        return settings->tls ? "sasl_ssl" : "sasl_plaintext";
    return settings->tls ? "ssl" : "plaintext";
}

static bool settings_put_own(
    rd_kafka_conf_t *conf, const struct exporter_kafka *settings, char *error, size_t error_size)
{
    char records[24], kilobytes[24];
    char *password = credentials_take_password(settings->credentials);
    const struct settings_pair pairs[] = {
        {"bootstrap.servers", settings->brokers},
        {"enable.idempotence", "true"},
        {"acks", "all"},
        /* With more, the library takes a later request's success for that of an earlier one, which holds only
         * if the broker refuses what is out of sequence. The promise rests on nobody else: one request, of
         * many records. */
        {"max.in.flight", "1"},
        /* A message that is refused for good ends the producer: what is behind it does not overtake it. */
        {"enable.gapless.guarantee", "true"},
        /* The sink's own clock: a record that the library gives up alone would be behind the next ones. */
        {"message.timeout.ms", "0"},
        /* The window is ours: the library's own bounds are never reached. */
        {"queue.buffering.max.messages", records},
        {"queue.buffering.max.kbytes", kilobytes},
        {"security.protocol", settings_protocol(settings)},
        {"ssl.ca.location", settings->tls ? settings->tls_ca : NULL},
        {"ssl.certificate.location", settings->tls ? settings->tls_certificate : NULL},
        {"ssl.key.location", settings->tls ? settings->tls_key : NULL},
        {"enable.ssl.certificate.verification", "true"},
        {"ssl.endpoint.identification.algorithm", "https"},
        {"sasl.mechanisms", settings->sasl_mechanism},
        {"sasl.username", settings->username},
        {"sasl.password", password},
    };

    snprintf(records, sizeof(records), "%u", 4 * KAFKA_WINDOW);
    snprintf(kilobytes, sizeof(kilobytes), "%zu", 4 * KAFKA_WINDOW_BYTES / 1024);
    bool put = settings_put_all(conf, pairs, sizeof(pairs) / sizeof(pairs[0]), error, error_size);
    credentials_give_password(password);
    return put;
}

static bool settings_put_given(
    rd_kafka_conf_t *conf, const struct exporter_kafka *settings, char *error, size_t error_size)
{
    for (size_t i = 0; i < settings->property_count; i++) {
        const struct exporter_kafka_property *property = &settings->properties[i];
        if (!settings->tls && sink_kafka_property_needs_tls(property->name)) {
            snprintf(error, error_size, "%s: without tls it has no effect", property->name);
            return false;
        }
        if (!sink_kafka_property(property->name, property->value, error, error_size) ||
            !settings_put(conf, property->name, property->value, error, error_size))
            return false;
    }
    return true;
}

double kafka_settings_linger_ms(const rd_kafka_conf_t *conf)
{
    char text[64] = "";
    size_t size = sizeof(text);

    return rd_kafka_conf_get(conf, "linger.ms", text, &size) == RD_KAFKA_CONF_OK ? strtod(text, NULL) : 0;
}

/* A record that is kept back for company longer than it may take would never be confirmed in time. */
static bool settings_fit(
    const rd_kafka_conf_t *conf, const struct exporter_kafka *settings, char *error, size_t error_size)
{
    double linger_ms = kafka_settings_linger_ms(conf);

    if (linger_ms < (double)settings->timeout_ms)
        return true;
    snprintf(error, error_size, "linger.ms (%.10g) must be less than the sink's timeout (%" PRIu64 " ms)",
        linger_ms, settings->timeout_ms);
    return false;
}

rd_kafka_conf_t *kafka_settings_conf(const struct exporter_kafka *settings, char *error, size_t error_size)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    assert(settings->topic != NULL && settings->timeout_ms > 0);
    if (settings_put_defaults(conf, error, error_size) &&
        settings_put_given(conf, settings, error, error_size) &&
        settings_put_own(conf, settings, error, error_size) &&
        settings_fit(conf, settings, error, error_size))
        return conf;
    rd_kafka_conf_destroy(conf);
    return NULL;
}

/* ---- trying it ---- */

/* What the library says while it makes a producer. */
struct settings_trial {
    pthread_t thread;
    const struct exporter_kafka *settings;
    char warning[256]; /* the first; empty: none */
    char failure[256]; /* likewise */
};

/* "[thrd:app]: what it is about" */
static void settings_note(char *note, size_t size, const char *text)
{
    const char *said = strncmp(text, "[thrd:", 6) == 0 ? strstr(text, "]: ") : NULL;

    if (note[0] == '\0')
        snprintf(note, size, "%s", said == NULL ? text : said + 3);
}

static bool settings_is_name(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '_';
}

/* The name as a whole: neither a part of another ("batch.size" of "queue.batch.size") nor the start of one. A
 * full stop behind it ends the sentence. */
static bool settings_have_word(const char *text, const char *name)
{
    size_t length = strlen(name);

    for (const char *found = text; (found = strstr(found, name)) != NULL; found++) {
        const char *end = found + length;
        bool begins = found == text || (!settings_is_name(found[-1]) && found[-1] != '.');
        if (begins && !settings_is_name(end[0]) && !(end[0] == '.' && settings_is_name(end[1])))
            return true;
    }
    return false;
}

/* What the sink sets itself is its own affair: another version of the library may have more to say of it. */
static bool settings_are_given(const struct settings_trial *trial, const char *text)
{
    for (size_t i = 0; i < trial->settings->property_count; i++) {
        if (settings_have_word(text, trial->settings->properties[i].name))
            return true;
    }
    return false;
}

/* The library's own threads may have something to say, too. */
static void settings_on_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    struct settings_trial *trial = rd_kafka_opaque(handle);

    if (!pthread_equal(trial->thread, pthread_self()))
        return;
    if (strcmp(facility, "CONFWARN") == 0 && settings_are_given(trial, text))
        settings_note(trial->warning, sizeof(trial->warning), text);
    else if (level <= LOG_ERR)
        settings_note(trial->failure, sizeof(trial->failure), text);
}

bool sink_kafka_try(
    const struct exporter_kafka *settings, char *error, size_t error_size, char *warning, size_t warning_size)
{
    struct settings_trial trial = {.thread = pthread_self(), .settings = settings};
    struct exporter_kafka alone = *settings;
    char reason[512] = "";

    warning[0] = '\0';
    alone.brokers = NULL; /* nobody is asked: neither brokers nor a resolver */
    rd_kafka_conf_t *conf = kafka_settings_conf(&alone, error, error_size);
    if (conf == NULL)
        return false;
    rd_kafka_conf_set_opaque(conf, &trial);
    rd_kafka_conf_set_log_cb(conf, settings_on_log);
    rd_kafka_t *handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
    if (handle == NULL) {
        rd_kafka_conf_destroy(conf);
        snprintf(error, error_size, "%s%s%s", reason, trial.failure[0] == '\0' ? "" : "; ", trial.failure);
        return false;
    }
    rd_kafka_destroy(handle);
    snprintf(warning, warning_size, "%s", trial.warning);
    return true;
}
