/* SPDX-License-Identifier: Apache-2.0 */
/* How a Redis is reached, for whatever mqward keeps there: the part of mqward.yaml that all such sections
 * have. Called by config_redis_sink.c and config_replay.c. */
#include "proxy/config_build.h"

const struct keyword config_redis_tls_table[] = {
    CONFIG_CLIENT_TLS_KEYWORDS,
    {0},
};

#define SENTINEL(field) offsetof(struct config_redis_sentinel, field)

const struct keyword config_redis_sentinel_table[] = {
    {.name = "addresses",
        .set = config_set_redis_nodes,
        .offset = SENTINEL(addresses),
        .flags = KEYWORD_REQUIRED,
        .like = keyword_set_strings,
        .value = "list of `host:port` or `[v6]:port`",
        .example = "[127.0.0.1:26379]",
        .help = "The sentinels, at most 16. They are asked in this order; the one that helped last is asked "
                "first."},
    {.name = "master",
        .set = config_set_text,
        .offset = SENTINEL(master),
        .flags = KEYWORD_REQUIRED,
        .value = "string",
        .example = "mymaster",
        .help = "The name that the sentinels monitor it under."},
    CONFIG_REDIS_ACCESS_KEYWORDS("the sentinels"),
    {0},
};

int config_set_redis_nodes(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct config_addresses *addresses = (void *)((char *)target + keyword->offset);
    const struct keyword item = {.name = keyword->name};
    size_t before = diag_errors(context->diag);

    if (keyword_expect(context, node, keyword->name, YAML_SEQUENCE) != 0)
        return -1;
    if (node->count == 0 || node->count > CONFIG_REDIS_NODES_MAX)
        return keyword_error(
            context, node, NULL, "%s: from 1 to %d are possible", keyword->name, CONFIG_REDIS_NODES_MAX);
    addresses->items = arena_calloc(context->arena, node->count, sizeof(*addresses->items));
    struct config_unique *unique = arena_calloc(context->arena, node->count, sizeof(*unique));
    for (const struct yaml_node *each = node->first; each != NULL; each = each->next) {
        struct config_address *address = &addresses->items[addresses->count];
        if (config_set_connect_address(context, &item, address, each) != 0)
            continue;
        unique[addresses->count++] = (struct config_unique){address->text, address->text, address->place};
    }
    config_check_unique(context, unique, addresses->count, "address");
    return diag_errors(context->diag) == before ? 0 : -1;
}

static void check_access(struct keyword_context *context, const struct yaml_node *node)
{
    const struct yaml_node *username = config_find_member(node, "username");

    if (username != NULL && config_find_member(node, "password_file") == NULL)
        diag_add(context->diag, DIAG_ERROR, &username->key_place, NULL,
            "'username' needs 'password_file' beside it");
}

/* The sentinels say which server is connected to. Who may answer in their stead, without TLS, names one that
 * has a certificate for its own name. */
static void check_sentinel_tls(
    struct keyword_context *context, const struct config_redis_server *server, const struct yaml_node *node)
{
    const struct yaml_node *tls = config_find_member(node, "tls");

    if (tls == NULL || server->sentinel == NULL || server->access.tls == NULL ||
        server->sentinel->access.tls != NULL || server->access.tls->server_name != NULL)
        return;
    diag_add(context->diag, DIAG_ERROR, &tls->key_place,
        "tls for the sentinels, or server_name here: the name in the certificates of all servers",
        "tls proves nothing where sentinels without tls say which name is expected");
}

int config_set_redis_sentinel(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    size_t before = diag_errors(context->diag);

    if (keyword_expect(context, node, keyword->name, YAML_MAPPING) != 0)
        return -1;
    struct config_redis_sentinel *sentinel = arena_alloc(context->arena, sizeof(*sentinel));
    *(struct config_redis_sentinel **)(void *)((char *)target + keyword->offset) = sentinel;
    keyword_read(context, keyword->members, sentinel, node);
    check_access(context, node);
    return diag_errors(context->diag) == before ? 0 : -1;
}

int config_read_redis(
    struct keyword_context *context, const struct keyword *keyword, void *redis, const struct yaml_node *node)
{
    const struct config_redis_server *server = redis;
    size_t before = diag_errors(context->diag);

    keyword_read(context, keyword->members, redis, node);
    check_access(context, node);
    const struct yaml_node *tls = config_find_member(node, "tls");
    if (tls != NULL && server->address.unix_path != NULL)
        diag_add(context->diag, DIAG_ERROR, &tls->key_place, NULL, "tls over a Unix socket is not possible");
    check_sentinel_tls(context, server, node);
    return diag_errors(context->diag) == before ? 0 : -1;
}
