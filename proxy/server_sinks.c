/* SPDX-License-Identifier: Apache-2.0 */
/* The sinks of the configuration, as the exporter takes them: one row a kind. Called by server.c. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "exporters/sink_file.h"
#include "exporters/sink_kafka.h"
#include "exporters/sink_stdout.h"
#include "exporters/sink_syslog.h"
#include "exporters/sinks.h"
#include "proxy/server_internal.h"

/* The settings of one sink, of whatever kind. */
struct server_sink {
    union {
        struct exporter_redis redis;
        struct exporter_kafka kafka;
        struct sink_file_settings file;
        struct sink_stdout_settings output;
        struct sink_syslog_settings syslog;
    } settings;
    const struct config_audit *audit;
    struct server_redis redis; /* of Kafka and syslog, too: the credentials */
};

struct server_sinks {
    struct exporter_sink *rows;
    struct server_sink *sinks;
    size_t count;
};

/* A kind: its part of the configuration (NULL: the sink is of another kind), and what makes settings of it
 * (-1 after an error was logged). */
struct server_sink_kind {
    size_t offset; /* of the pointer in struct config_sink */
    const struct sink_type *type;
    int (*fill)(struct server_sink *sink, const void *config);
};

static int fill_redis(struct server_sink *sink, const void *section)
{
    const struct config_redis *config = section;
    struct exporter_redis *redis = &sink->settings.redis;

    *redis = (struct exporter_redis){
        .field = config->field,
        .max_length = config->max_length,
        .replicas = (uint32_t)config->replicas,
        .shared = config->shared,
    };
    redis->mode = config->list != NULL ? REDIS_LIST : config->channel != NULL ? REDIS_CHANNEL : REDIS_STREAM;
    redis->key = config->list != NULL      ? config->list
                 : config->channel != NULL ? config->channel
                                           : config->stream;
    return server_redis_fill(redis, &config->server, &sink->redis);
}

static int fill_kafka(struct server_sink *sink, const void *section)
{
    return server_kafka_fill(&sink->settings.kafka, section, &sink->redis.credentials);
}

static int fill_file(struct server_sink *sink, const void *section)
{
    server_file_fill(&sink->settings.file, section, sink->audit);
    return 0;
}

static int fill_stdout(struct server_sink *sink, const void *section)
{
    server_stdout_fill(&sink->settings.output, section, sink->audit);
    return 0;
}

static int fill_syslog(struct server_sink *sink, const void *section)
{
    return server_syslog_fill(&sink->settings.syslog, section, &sink->redis.credentials);
}

static const struct server_sink_kind kinds[] = {
    {offsetof(struct config_sink, redis), &sink_redis, fill_redis},
    {offsetof(struct config_sink, kafka), &sink_kafka, fill_kafka},
    {offsetof(struct config_sink, file), &sink_file, fill_file},
    {offsetof(struct config_sink, output), &sink_stdout, fill_stdout},
    {offsetof(struct config_sink, syslog), &sink_syslog, fill_syslog},
};

static int fill(struct server_sink *sink, struct exporter_sink *row, const struct config_sink *config)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const void *section = *(void *const *)(const void *)((const char *)config + kinds[i].offset);

        if (section == NULL)
            continue;
        *row = (struct exporter_sink){config->name, kinds[i].type, &sink->settings};
        return kinds[i].fill(sink, section);
    }
    assert(false); /* the configuration sees to it that a sink is of one kind */
    return -1;
}

struct server_sinks *server_sinks_new(const struct config_audit *audit)
{
    struct server_sinks *sinks = memory_calloc(1, sizeof(*sinks));

    sinks->count = audit->sink_count;
    sinks->rows = memory_calloc(sinks->count + 1, sizeof(*sinks->rows));
    sinks->sinks = memory_calloc(sinks->count + 1, sizeof(*sinks->sinks));
    for (size_t i = 0; i < sinks->count; i++)
        sinks->sinks[i].audit = audit;
    for (size_t i = 0; i < sinks->count; i++)
        if (fill(&sinks->sinks[i], &sinks->rows[i], &audit->sinks[i]) != 0) {
            server_sinks_free(sinks);
            return NULL;
        }
    return sinks;
}

void server_sinks_each(struct server_sinks *sinks,
    void (*call)(void *argument, const char *name, struct server_redis *owned), void *argument)
{
    char name[128];

    for (size_t i = 0; i < sinks->count; i++) {
        snprintf(name, sizeof(name), "sink '%s'", sinks->rows[i].name);
        call(argument, name, &sinks->sinks[i].redis);
    }
}

const struct exporter_sink *server_sinks_rows(const struct server_sinks *sinks)
{
    return sinks->rows;
}

void server_sinks_free(struct server_sinks *sinks)
{
    if (sinks == NULL)
        return;
    for (size_t i = 0; i < sinks->count; i++)
        server_redis_release(&sinks->sinks[i].redis);
    free(sinks->sinks);
    free(sinks->rows);
    free(sinks);
}
