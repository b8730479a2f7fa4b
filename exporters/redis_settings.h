/* SPDX-License-Identifier: Apache-2.0 */
/* How a Redis is reached, and what its sink delivers. Strings and arrays are borrowed: they outlive whoever
 * takes them. */
#ifndef MQWARD_EXPORTERS_REDIS_SETTINGS_H
#define MQWARD_EXPORTERS_REDIS_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REDIS_NODES_MAX 16 /* sentinels, or nodes of a cluster, that can be named */

struct credentials;

struct redis_address {
    const char *host; /* host name, IPv4, IPv6, or a path starting with '/' for a Unix socket */
    uint16_t port;
};

/* How servers of one kind are spoken to. */
struct redis_access {
    const char *username;            /* NULL: none */
    struct credentials *credentials; /* password and TLS; borrowed; NULL: neither */
    const char *tls_server_name;     /* NULL: the host of the address */
};

enum redis_topology {
    REDIS_SINGLE,   /* one server */
    REDIS_SENTINEL, /* sentinels say which server is the master */
    REDIS_CLUSTER   /* nodes redirect to the one that has the key */
};

enum redis_mode { REDIS_STREAM, REDIS_LIST, REDIS_CHANNEL };

struct exporter_redis {
    enum redis_topology topology;
    struct redis_address address;      /* REDIS_SINGLE */
    const struct redis_address *nodes; /* the sentinels; the nodes that a cluster is looked for at */
    size_t node_count;                 /* REDIS_NODES_MAX at most */
    const char *master;                /* REDIS_SENTINEL: the name that the sentinels know it by */
    struct redis_access access;
    struct redis_access sentinel_access;
    uint32_t database;
    uint64_t timeout_ms; /* to connect, and without any answer */

    /* of the sink alone */
    enum redis_mode mode;
    const char *key;     /* of the stream or list; the name of the channel */
    const char *field;   /* REDIS_STREAM: of an entry */
    bool shared;         /* REDIS_STREAM: several writers use it: IDs are '*' */
    uint64_t max_length; /* of a stream: MAXLEN ~; of a list: no more is pushed. 0: any */
    uint32_t replicas;   /* so many must have an event (WAIT) before it counts as delivered */
};

#endif
