/* SPDX-License-Identifier: Apache-2.0 */
/* How a Redis is reached, for whatever mqward keeps there: the part of mqward.yaml that all such sections
 * have. Called by config_audit.c and config_replay.c. */
#include "proxy/config_build.h"

const struct keyword config_redis_tls_table[] = {
    CONFIG_CLIENT_TLS_KEYWORDS,
    {0},
};

int config_read_redis(
    struct keyword_context *context, const struct keyword *keyword, void *redis, const struct yaml_node *node)
{
    const struct config_redis_server *server = redis;
    size_t before = diag_errors(context->diag);
    keyword_read(context, keyword->members, redis, node);
    const struct yaml_node *username = config_find_member(node, "username");
    const struct yaml_node *tls = config_find_member(node, "tls");
    if (username != NULL && config_find_member(node, "password_file") == NULL)
        diag_add(context->diag, DIAG_ERROR, &username->key_place, NULL,
            "'username' needs 'password_file' beside it");
    if (tls != NULL && server->address.unix_path != NULL)
        diag_add(context->diag, DIAG_ERROR, &tls->key_place, NULL, "tls over a Unix socket is not possible");
    return diag_errors(context->diag) == before ? 0 : -1;
}
