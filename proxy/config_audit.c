/* SPDX-License-Identifier: Apache-2.0 */
/* audit: of mqward.yaml: rings, journal and sinks. Called by proxy/config.c through the table of the file. */
#include "base/number.h"
#include "proxy/config_build.h"

#define KIB ((uint64_t)1 << 10)
#define GIB ((uint64_t)1 << 30)
#define MS_SECOND 1000
#define MS_MINUTE (60 * MS_SECOND)
#define MS_DAY (24 * 60 * MS_MINUTE)

/* Redis */

#define REDIS(field) offsetof(struct config_redis, field)

static const struct keyword redis_table[] = {
    CONFIG_REDIS_KEYWORDS("5s", 10 * MS_MINUTE),
    {.name = "stream",
        .set = config_set_text,
        .offset = REDIS(stream),
        .default_text = "mqward:audit",
        .value = "string",
        .help = "Key of the stream."},
    {.name = "field",
        .set = config_set_text,
        .offset = REDIS(field),
        .default_text = "event",
        .value = "string",
        .help = "Field of a stream entry that holds the event's JSON."},
    {.name = "max_length",
        .set = keyword_set_number,
        .offset = REDIS(max_length),
        .default_text = "1000000",
        .maximum = INT64_MAX,
        .help = "The stream is trimmed to about so many entries (`MAXLEN ~`). 0: never."},
    {.name = "shared",
        .set = keyword_set_boolean,
        .offset = REDIS(shared),
        .default_text = "false",
        .help = "`true` when others, such as further mqwards, write to the same stream. Redis then gives the "
                "IDs, and an "
                "event that is sent twice is in the stream twice."},
    {0},
};

static int set_redis(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    if (keyword_expect(context, node, keyword->name, YAML_MAPPING) != 0)
        return -1;
    struct config_redis *redis = arena_alloc(context->arena, sizeof(*redis));
    *(struct config_redis **)(void *)((char *)target + keyword->offset) = redis;
    return config_read_redis(context, keyword, redis, node);
}

/* Sinks */

struct sink_row {
    struct config_sink sink;
    struct keyword_string name;
};

/* Names become file names: nothing that leaves the folder or hides in it. */
static int set_sink_name(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    if (keyword_set_string(context, keyword, target, node) != 0)
        return -1;
    struct keyword_string *name = (void *)((char *)target + keyword->offset);
    if (config_is_name(name->text))
        return 0;
    name->text = (struct view){NULL, 0};
    return keyword_error(context, node, "it becomes part of a file name: " CONFIG_NAME_HINT,
        "name: '%.*s' is not a possible name", VIEW_ARGS(node->text));
}

static const struct keyword sink_table[] = {
    {.name = "name",
        .set = set_sink_name,
        .offset = offsetof(struct sink_row, name),
        .flags = KEYWORD_REQUIRED,
        .value = "string",
        .help = "Its name in the log, and of its cursor file. Letters, digits, `_` and `-`. A sink with a "
                "new name "
                "begins with the oldest event of the journal."},
    {.name = "redis",
        .set = set_redis,
        .offset = offsetof(struct sink_row, sink.redis),
        .flags = KEYWORD_REQUIRED,
        .members = redis_table,
        .value = "mapping",
        .help = "A Redis stream."},
    {0},
};

static void finish_sink(struct keyword_context *context, void *target, const struct yaml_node *node)
{
    (void)context;
    (void)node;
    struct sink_row *row = target;
    row->sink.name = (const char *)row->name.text.data;
}

int config_set_sinks(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config_audit *audit = target;
    struct sink_row *rows = config_read_list(context, keyword, node, sizeof(*rows), finish_sink);
    if (rows == NULL)
        return -1;
    struct config_unique *unique = arena_calloc(context->arena, node->count, sizeof(*unique));
    size_t named = 0;
    audit->sinks = arena_calloc(context->arena, node->count, sizeof(*audit->sinks));
    audit->sink_count = node->count;
    for (size_t i = 0; i < node->count; i++) {
        audit->sinks[i] = rows[i].sink;
        if (rows[i].sink.name != NULL)
            unique[named++] =
                (struct config_unique){rows[i].sink.name, rows[i].sink.name, rows[i].name.place};
    }
    return config_check_unique(context, unique, named, "sink") == 0 ? 0 : -1;
}

/* Rings and journal */

static int set_fsync(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config_audit *audit = target;
    if (keyword_expect(context, node, keyword->name, YAML_SCALAR) != 0)
        return -1;
    if (view_equal(node->text, VIEW("always")) || view_equal(node->text, VIEW("never"))) {
        audit->fsync = view_equal(node->text, VIEW("always")) ? CONFIG_FSYNC_ALWAYS : CONFIG_FSYNC_NEVER;
        return 0;
    }
    uint64_t interval;
    if (number_parse_duration_ms(node->text, &interval) != 0)
        return keyword_error(context, node, "always, never, or the time between two, such as 100ms",
            "fsync: expected always, never or a duration, found '%.*s'", VIEW_ARGS(node->text));
    if (interval < 1 || interval > MS_MINUTE)
        return keyword_error(
            context, node, NULL, "fsync: must be from 1ms to 1m, found '%.*s'", VIEW_ARGS(node->text));
    audit->fsync = CONFIG_FSYNC_INTERVAL;
    audit->fsync_interval_ms = interval;
    return 0;
}

static int set_ring(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config_audit *audit = target;
    if (keyword_set_size(context, keyword, target, node) != 0)
        return -1;
    uint64_t below = 1, bytes = audit->ring_bytes;
    while (below * 2 <= bytes)
        below *= 2;
    if (bytes == below)
        return 0;
    char hint[96];
    snprintf(hint, sizeof(hint), "the nearest are %s and %s", keyword_show_size(below).bytes,
        keyword_show_size(below * 2).bytes);
    return keyword_error(
        context, node, hint, "ring: must be a power of two, found '%.*s'", VIEW_ARGS(node->text));
}

static const struct keyword_choice on_full_choices[] = {
    {"block", 0, false, "clients are no longer read until there is room again. Nothing is lost."},
    {"deny", 1, true, NULL},
    {"drop", 2, true, NULL},
    {0},
};

/* The only value says what happens anyway, so there is nothing to keep. */
static int set_on_full(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    (void)target;
    int value;
    struct keyword into_value = *keyword;
    into_value.offset = 0;
    return keyword_set_choice(context, &into_value, &value, node);
}

#define AUDIT(field) offsetof(struct config_audit, field)

const struct keyword config_audit_table[] = {
    {.name = "directory",
        .set = config_set_path,
        .offset = AUDIT(directory),
        .flags = KEYWORD_REQUIRED,
        .value = "path",
        .help = "Rings, journal and cursors. Made with mode 0700 if it is not there but its parent is. One "
                "mqward "
                "uses it at a time."},
    {.name = "fsync",
        .set = set_fsync,
        .default_text = "100ms",
        .value = "`always`, `never` or duration from 1ms to 1m",
        .help = "When the journal is forced to the disk: after every batch, at this interval, or when the "
                "kernel likes. "
                "It decides what a power cut can lose; the death of the process loses nothing in any case."},
    {.name = "ring",
        .set = set_ring,
        .offset = AUDIT(ring_bytes),
        .default_text = "8MiB",
        .minimum = 256 * KIB,
        .maximum = GIB,
        .value = "size from 256KiB to 1GiB, a power of two",
        .help = "Size of each worker's ring."},
    {.name = "segment",
        .set = keyword_set_size,
        .offset = AUDIT(segment_bytes),
        .default_text = "64MiB",
        .minimum = 16 * KIB,
        .maximum = (uint64_t)1 << 50,
        .help = "Above this size the journal begins a new file. At most a quarter of `quota`."},
    {.name = "quota",
        .set = keyword_set_size,
        .offset = AUDIT(quota_bytes),
        .default_text = "1GiB",
        .minimum = 1024 * KIB,
        .maximum = (uint64_t)1 << 50,
        .help = "Size of the whole journal. When it is full of events that a sink has not confirmed, "
                "`on_full` applies."},
    {.name = "retention",
        .set = keyword_set_duration_ms,
        .offset = AUDIT(retention_ms),
        .default_text = "7d",
        .maximum = (uint64_t)3650 * MS_DAY,
        .help = "Files of the journal that all sinks have confirmed are deleted when they are older. 0: only "
                "the quota "
                "deletes."},
    {.name = "on_full",
        .set = set_on_full,
        .default_text = "block",
        .choices = on_full_choices,
        .help = "What happens when there is no room for further events."},
    {.name = "sinks",
        .set = config_set_sinks,
        .members = sink_table,
        .shape = KEYWORD_LIST,
        .help = "Where events are sent. Without a sink the journal is all there is."},
    {0},
};

int config_set_audit(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config_audit *audit = (void *)((char *)target + keyword->offset);
    if (keyword_set_mapping(context, keyword, target, node) != 0)
        return -1;
    if (audit->segment_bytes <= audit->quota_bytes / 4)
        return 0;
    const struct yaml_node *segment = config_find_member(node, "segment");
    const struct yaml_node *quota = config_find_member(node, "quota");
    const struct yaml_node *given = segment != NULL ? segment : quota;
    return keyword_error(context, given, "the journal needs room for four files at least",
        "segment (%s) is more than a quarter of quota (%s)", keyword_show_size(audit->segment_bytes).bytes,
        keyword_show_size(audit->quota_bytes).bytes);
}
