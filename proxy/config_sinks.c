/* SPDX-License-Identifier: Apache-2.0 */
/* audit.sinks of mqward.yaml: a row of config_sink_table and a table of its own for each kind. Called by
 * proxy/config_audit.c. */
#include "base/buffer.h"
#include "proxy/config_build.h"

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

const struct keyword config_sink_table[] = {
    {.name = "name",
        .set = set_sink_name,
        .offset = offsetof(struct sink_row, name),
        .flags = KEYWORD_REQUIRED,
        .value = "string",
        .help = "Its name in the log, and of its cursor file. Letters, digits, `_` and `-`. A sink with a "
                "new name "
                "begins with the oldest event of the journal."},
    {.name = "redis",
        .set = config_set_redis_sink,
        .offset = offsetof(struct sink_row, sink.redis),
        .members = config_redis_sink_table,
        .value = "mapping",
        .help = "A Redis stream, list or channel."},
    {.name = "kafka",
        .set = config_set_kafka,
        .offset = offsetof(struct sink_row, sink.kafka),
        .members = config_kafka_table,
        .value = "mapping",
        .help = "A topic of Kafka."},
    {.name = "file",
        .set = config_set_sink_file,
        .offset = offsetof(struct sink_row, sink.file),
        .members = config_sink_file_table,
        .value = "mapping",
        .help = "A file of lines of JSON."},
    {.name = "stdout",
        .set = config_set_sink_stdout,
        .offset = offsetof(struct sink_row, sink.output),
        .members = config_sink_stdout_table,
        .value = "mapping",
        .help = "The standard output, lines of JSON; `{}` will do. The log goes to the standard error."},
    {.name = "syslog",
        .set = config_set_sink_syslog,
        .offset = offsetof(struct sink_row, sink.syslog),
        .members = config_sink_syslog_table,
        .value = "mapping",
        .help = "A receiver of syslog (RFC 5424)."},
    {0},
};

/* All members but the name are kinds. */
static void check_kind(struct keyword_context *context, const struct yaml_node *node)
{
    const struct yaml_node *first = NULL;
    struct buffer kinds = {0};

    for (const struct keyword *kind = config_sink_table + 1; kind->name != NULL; kind++) {
        const struct yaml_node *member = config_find_member(node, kind->name);
        buffer_format(&kinds, "%s%s", kind == config_sink_table + 1 ? "" : ", ", kind->name);
        if (member != NULL && first != NULL)
            diag_add(context->diag, DIAG_ERROR, &member->key_place, "one entry of sinks for each",
                "a sink is of one kind: '%s' stands beside '%.*s'", kind->name, VIEW_ARGS(first->key));
        first = first == NULL ? member : first;
    }
    buffer_append_byte(&kinds, 0);
    /* With another member, that is what is wrong. */
    if (first == NULL && node->count == (config_find_member(node, "name") != NULL ? 1 : 0))
        diag_add(context->diag, DIAG_ERROR, &node->place, (const char *)buffer_view(&kinds).data,
            "the sink has no kind");
    buffer_release(&kinds);
}

static void finish_sink(struct keyword_context *context, void *target, const struct yaml_node *node)
{
    struct sink_row *row = target;
    row->sink.name = (const char *)row->name.text.data;
    row->sink.place = row->name.place;
    if (row->sink.redis != NULL)
        row->sink.tls = row->sink.redis->server.access.tls;
    if (row->sink.kafka != NULL)
        row->sink.tls = row->sink.kafka->tls;
    if (row->sink.syslog != NULL)
        row->sink.tls = row->sink.syslog->tls;
    check_kind(context, node);
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
    size_t errors = config_check_unique(context, unique, named, "sink");
    errors += config_check_sink_files(context, audit->sinks, audit->sink_count);
    return errors == 0 ? 0 : -1;
}
