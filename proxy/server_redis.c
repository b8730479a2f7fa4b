/* SPDX-License-Identifier: Apache-2.0 */
/* How a Redis is reached: from the configuration to what its client takes, passwords included. Called by
 * server.c and server_sinks.c. */
#include <stdlib.h>

#include "base/memory.h"
#include "exporters/credentials.h"
#include "proxy/server_internal.h"

_Static_assert(CONFIG_REDIS_NODES_MAX <= REDIS_NODES_MAX, "what is configured can be used");

/* Also without TLS and password: then there is nothing in it. */
static int fill_access(
    struct redis_access *access, const struct config_redis_access *config, struct credentials **credentials)
{
    access->username = config->username;
    access->tls_server_name = config->tls == NULL ? NULL : config->tls->server_name;
    access->credentials = *credentials = server_credentials("redis", config->tls, config->password_file.path);
    return *credentials == NULL ? -1 : 0;
}

static void fill_nodes(
    struct exporter_redis *redis, const struct config_addresses *config, struct server_redis *owned)
{
    owned->nodes = memory_calloc(config->count, sizeof(*owned->nodes));
    for (size_t i = 0; i < config->count; i++)
        owned->nodes[i] = (struct redis_address){config->items[i].host, config->items[i].port};
    redis->nodes = owned->nodes;
    redis->node_count = config->count;
}

int server_redis_fill(
    struct exporter_redis *redis, const struct config_redis_server *config, struct server_redis *owned)
{
    const struct config_redis_sentinel *sentinel = config->sentinel;

    redis->database = (uint32_t)config->database;
    redis->timeout_ms = config->timeout_ms;
    if (sentinel != NULL) {
        redis->topology = REDIS_SENTINEL;
        redis->master = sentinel->master;
        fill_nodes(redis, &sentinel->addresses, owned);
        if (fill_access(&redis->sentinel_access, &sentinel->access, &owned->sentinel_credentials) != 0)
            return -1;
    } else if (config->cluster.count > 0) {
        redis->topology = REDIS_CLUSTER;
        fill_nodes(redis, &config->cluster, owned);
    } else {
        const struct config_address *address = &config->address;
        redis->topology = REDIS_SINGLE;
        redis->address = (struct redis_address){
            address->unix_path != NULL ? address->unix_path : address->host, address->port};
    }
    return fill_access(&redis->access, &config->access, &owned->credentials);
}

void server_redis_release(struct server_redis *owned)
{
    credentials_free(owned->credentials);
    credentials_free(owned->sentinel_credentials);
    free(owned->nodes);
    *owned = (struct server_redis){NULL, NULL, NULL};
}
