/* SPDX-License-Identifier: Apache-2.0 */
/* redis: of a sink of mqward.yaml: what is written there, and what its three modes have of their own. Called
 * by config_sinks.c. */
#include "proxy/config_build.h"

#define MS_MINUTE ((uint64_t)60 * 1000)
#define STREAM_DEFAULT "mqward:audit"

#define REDIS(field) offsetof(struct config_redis, field)

static const struct keyword_foreign foreign_keys[] = {
    {"sentinels", "write sentinel: {addresses: [...], master: ...}", "sentinel"},
    {"nodes", "write cluster: [host:port, ...]", "cluster"},
    {"mode", "write stream, list or channel with the name of what is written to", NULL},
    {"key", "write stream, list or channel with the name of what is written to", NULL},
    {0},
};

const struct keyword config_redis_sink_table[] = {
    CONFIG_REDIS_KEYWORDS("5s", 10 * MS_MINUTE),
    {.name = "cluster",
        .set = config_set_redis_nodes,
        .offset = offsetof(struct config_redis_server, cluster),
        .flags = KEYWORD_ALTERNATIVE,
        .like = keyword_set_strings,
        .value = "list of `host:port` or `[v6]:port`",
        .help = "Instead of `address`: nodes of a Redis Cluster, at most 16, that say where the key is."},
    {.name = "stream",
        .set = config_set_text,
        .offset = REDIS(stream),
        .value = "string",
        .help = "Key of the stream that events are added to. Without `stream`, `list` or `channel` it is "
                "`" STREAM_DEFAULT "`."},
    {.name = "list",
        .set = config_set_text,
        .offset = REDIS(list),
        .value = "string",
        .help = "Instead of `stream`: key of the list that events are pushed to, for readers that pop its "
                "head."},
    {.name = "channel",
        .set = config_set_text,
        .offset = REDIS(channel),
        .value = "string",
        .help = "Instead of `stream`: name of the channel that events are published to. Best effort: who is "
                "not subscribed at that moment misses them."},
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
        .help = "A stream is trimmed to about so many entries (`MAXLEN ~`). A list that has so many gets no "
                "more, and the rest waits in the journal. 0: any number."},
    {.name = "shared",
        .set = keyword_set_boolean,
        .offset = REDIS(shared),
        .default_text = "false",
        .help = "`true` when others, such as further mqwards, write to the same stream. Redis then gives the "
                "IDs, and an event that is sent twice is in the stream twice."},
    {.name = "replicas",
        .set = keyword_set_number,
        .offset = REDIS(replicas),
        .default_text = "0",
        .maximum = 100,
        .help = "An event in a stream or list counts as delivered when so many replicas have it, too "
                "(`WAIT`)."},
    {.foreign = foreign_keys},
};

static void refuse(struct keyword_context *context, const struct yaml_node *node, const char *key,
    const char *hint, const char *problem)
{
    const struct yaml_node *member = config_find_member(node, key);

    if (member != NULL)
        diag_add(context->diag, DIAG_ERROR, &member->key_place, hint, "'%s' %s", key, problem);
}

/* At most one of them; the stream has a default. */
static void check_mode(
    struct keyword_context *context, struct config_redis *redis, const struct yaml_node *node)
{
    static const char *const modes[] = {"stream", "list", "channel"};
    const struct yaml_node *first = NULL;

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        const struct yaml_node *member = config_find_member(node, modes[i]);
        if (member != NULL && first != NULL)
            diag_add(context->diag, DIAG_ERROR, &member->key_place, "make two sinks of it",
                "'%s' beside '%.*s': a sink writes to one of them", modes[i], VIEW_ARGS(first->key));
        first = first == NULL ? member : first;
    }
    if (first == NULL)
        redis->stream = STREAM_DEFAULT;
}

/* What would have no effect is refused. */
static void check_belonging(
    struct keyword_context *context, const struct config_redis *redis, const struct yaml_node *node)
{
    if (config_find_member(node, "list") != NULL || config_find_member(node, "channel") != NULL) {
        refuse(context, node, "field", NULL, "belongs to a stream");
        refuse(context, node, "shared", NULL, "belongs to a stream");
    }
    if (config_find_member(node, "channel") != NULL) {
        refuse(context, node, "max_length", NULL, "belongs to a stream or a list: a channel keeps nothing");
        refuse(context, node, "replicas", NULL, "belongs to a stream or a list: a channel keeps nothing");
        refuse(context, node, "database", NULL, "has no effect: channels belong to none");
    }
    if (config_find_member(node, "cluster") != NULL && redis->server.database != 0)
        refuse(context, node, "database", NULL, "must be 0: a cluster has no other");
}

int config_set_redis_sink(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    if (keyword_expect(context, node, keyword->name, YAML_MAPPING) != 0)
        return -1;
    size_t before = diag_errors(context->diag);
    struct config_redis *redis = arena_alloc(context->arena, sizeof(*redis));
    *(struct config_redis **)(void *)((char *)target + keyword->offset) = redis;
    config_read_redis(context, keyword, redis, node);
    check_mode(context, redis, node);
    check_belonging(context, redis, node);
    return diag_errors(context->diag) == before ? 0 : -1;
}
