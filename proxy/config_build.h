/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the reader of mqward.yaml share: the builder, the setters of values that only this file
 * has, and the tables of the parts. Private to proxy/config*.c. */
#ifndef MQWARD_PROXY_CONFIG_BUILD_H
#define MQWARD_PROXY_CONFIG_BUILD_H

#include "proxy/config.h"

#define CONFIG_LIST_MAX                                                                                      \
    1000 /* items of a list of mappings: far above need, and what is quadratic stays cheap */

/* A name of a CA or an upstream, to be looked up when the whole file is read: sections come in any order. One
 * of ca and upstream is not NULL: where the result goes. */
struct config_reference {
    struct keyword_string name;
    const struct config_named_file **ca;
    const struct config_upstream **upstream;
    struct config_reference *next;
};

struct config_listener_row {
    struct config_listener listener;
    struct keyword_string name, upstream; /* as given; text.data NULL: not given */
    bool plaintext;
};

/* keyword_context.user of all setters here, and the target of the table of the file. */
struct config_builder {
    struct config config;
    uint64_t version;
    const char *folder; /* of mqward.yaml, with the last '/'; empty: the working directory */
    struct config_listener_row *listeners;
    size_t listener_count;
    struct config_reference *references;
    struct config_reference **references_tail;
};

struct config_builder *config_builder_of(struct keyword_context *context);

extern const struct keyword config_listener_table[];
extern const struct keyword config_upstream_table[];
extern const struct keyword config_admin_table[];
extern const struct keyword config_audit_table[];
extern const struct keyword config_chain_table[];
extern const struct keyword config_sink_table[];
extern const struct keyword config_kafka_table[];
extern const struct keyword config_replay_table[];
extern const struct keyword config_rules_table[];
extern const struct keyword config_scan_table[];
extern const struct keyword config_redis_tls_table[];
extern const struct keyword config_redis_sentinel_table[];
extern const struct keyword config_redis_sink_table[];
extern const struct keyword config_sink_file_table[];
extern const struct keyword config_sink_stdout_table[];
extern const struct keyword config_sink_syslog_table[];

keyword_set config_set_admin;       /* struct config_admin */
keyword_set config_set_audit;       /* into builder->config.audit */
keyword_set config_set_kafka;       /* struct config_kafka *, read against keyword->members */
keyword_set config_set_listeners;   /* into builder->listeners */
keyword_set config_set_upstreams;   /* into builder->config.upstreams */
keyword_set config_set_rules;       /* into builder->config.rules */
keyword_set config_set_sinks;       /* into struct config_audit's sinks */
keyword_set config_set_sink_file;   /* struct config_sink_file *, read against keyword->members */
keyword_set config_set_sink_stdout; /* struct config_sink_stdout *, likewise */
keyword_set config_set_sink_syslog; /* struct config_sink_syslog *, likewise */

/* Checks of the parts that need the whole file, references already resolved. */
void config_finish_listeners(struct keyword_context *context);
void config_check_places(struct keyword_context *context); /* after that */

/* Setters. The comment names the field's type. */
keyword_set config_set_text;             /* const char *: one line, not empty */
keyword_set config_set_path;             /* struct config_path */
keyword_set config_set_listen_address;   /* struct config_address: port 0 allowed */
keyword_set config_set_connect_address;  /* struct config_address */
keyword_set config_set_socket_address;   /* struct config_address, or an absolute path */
keyword_set config_set_ca;               /* const struct config_named_file *: a name from cas */
keyword_set config_set_optional_timeout; /* uint64_t milliseconds; 0 = none */
keyword_set config_set_server_name;      /* const char *: a host name or an IP address */
keyword_set config_set_upstream_tls;     /* struct config_upstream_tls *, read against keyword->members */

/* True for a name that can stand in a file name, a log and a query: CONFIG_NAME_HINT. */
bool config_is_name(struct view text);
#define CONFIG_NAME_HINT "letters, digits, _ and -, at most 64"
/* True for the syntax of a host name (RFC 1123; '_' is tolerated). */
bool config_is_host_name(struct view text);
/* Notes that name is to be looked up. */
void config_add_reference(struct keyword_context *context, struct keyword_string name,
    const struct config_named_file **ca, const struct config_upstream **upstream);
/* The member of a mapping with this key, or NULL. */
const struct yaml_node *config_find_member(const struct yaml_node *mapping, const char *key);
/* A value as it is written, without comments and layout: the same text means the same. In the arena. */
const char *config_show(struct keyword_context *context, const struct yaml_node *node);
/* certificate and key: both or none. */
void config_check_key_pair(struct keyword_context *context, const struct yaml_node *mapping);

/* Reads a list of mappings against keyword->members into an array of rows of row_size bytes, and calls finish
 * (may be NULL) for each. Returns the array, or NULL when the node is no usable list (the error is added). */
void *config_read_list(struct keyword_context *context, const struct keyword *keyword,
    const struct yaml_node *node, size_t row_size,
    void (*finish)(struct keyword_context *context, void *row, const struct yaml_node *node));

/* A name that may occur once. */
struct config_unique {
    const char *key;   /* compared */
    const char *shown; /* in the message */
    struct diag_place place;
};
/* Reorders items. what: "listener", .... Returns the number of errors added. */
size_t config_check_unique(
    struct keyword_context *context, struct config_unique *items, size_t count, const char *what);

keyword_set config_set_redis_sink;     /* struct config_redis * */
keyword_set config_set_redis_sentinel; /* struct config_redis_sentinel * */
keyword_set config_set_redis_nodes;    /* struct config_addresses */

/* Reads a mapping against keyword->members, whose first rows are CONFIG_REDIS_KEYWORDS, into redis, a struct
 * that begins with a struct config_redis_server. Returns 0, or -1 after an error was added. */
int config_read_redis(struct keyword_context *context, const struct keyword *keyword, void *redis,
    const struct yaml_node *node);

/* Two sinks do not write to one file. Returns the number of errors added. */
size_t config_check_sink_files(
    struct keyword_context *context, const struct config_sink *sinks, size_t count);

/* The rows that the TLS of every connection has that mqward opens (struct config_upstream_tls). */
/* clang-format off */
#define CONFIG_CLIENT_TLS_KEYWORDS \
    {.name = "ca", \
        .set = config_set_ca, \
        .offset = offsetof(struct config_upstream_tls, ca), \
        .value = "name from `cas`", \
        .help = "CA that the server's certificate is verified against. Without it, the system's."}, \
    {.name = "server_name", \
        .set = config_set_server_name, \
        .offset = offsetof(struct config_upstream_tls, server_name), \
        .value = "host name or IP address", \
        .help = "Name asked for (SNI) and expected in the certificate. Without it, the host of the address."}, \
    {.name = "certificate", \
        .set = config_set_path, \
        .offset = offsetof(struct config_upstream_tls, certificate), \
        .value = "path", \
        .help = "mqward's client certificate for this server (PEM)."}, \
    {.name = "key", \
        .set = config_set_path, \
        .offset = offsetof(struct config_upstream_tls, key), \
        .value = "path", \
        .help = "Its private key (PEM)."}

/* How servers are spoken to (struct config_redis_access, at the start of the target). */
#define CONFIG_REDIS_ACCESS_KEYWORDS(whom) \
    {.name = "username", \
        .set = config_set_text, \
        .offset = offsetof(struct config_redis_access, username), \
        .value = "string", \
        .help = "ACL user. Without it, the default user of " whom "."}, \
    {.name = "password_file", \
        .set = config_set_path, \
        .offset = offsetof(struct config_redis_access, password_file), \
        .value = "path", \
        .help = "File whose first line is the password. Others may not read it (mode 0600)."}, \
    {.name = "tls", \
        .set = config_set_upstream_tls, \
        .offset = offsetof(struct config_redis_access, tls), \
        .members = config_redis_tls_table, \
        .value = "mapping", \
        .help = "TLS towards " whom "; `{}` is TLS with the system's CAs. Without it: plain."}

/* The rows that every connection to a Redis has (struct config_redis_server). timeout: its default; longest: its
 * maximum, in milliseconds. */
#define CONFIG_REDIS_KEYWORDS(timeout, longest) \
    {.name = "address", \
        .set = config_set_socket_address, \
        .offset = offsetof(struct config_redis_server, address), \
        .flags = KEYWORD_ALTERNATIVE, \
        .value = "`host:port`, `[v6]:port` or the absolute path of a socket", \
        .example = "127.0.0.1:6379", \
        .help = "The server."}, \
    {.name = "sentinel", \
        .set = config_set_redis_sentinel, \
        .offset = offsetof(struct config_redis_server, sentinel), \
        .flags = KEYWORD_ALTERNATIVE, \
        .members = config_redis_sentinel_table, \
        .value = "mapping", \
        .help = "Instead of `address`: sentinels that know which server is the master, and follow it when it " \
                "changes."}, \
    {.name = "database", \
        .set = keyword_set_number, \
        .offset = offsetof(struct config_redis_server, database), \
        .default_text = "0", \
        .maximum = INT32_MAX, \
        .help = "Number of the database."}, \
    CONFIG_REDIS_ACCESS_KEYWORDS("Redis"), \
    {.name = "timeout", \
        .set = keyword_set_duration_ms, \
        .offset = offsetof(struct config_redis_server, timeout_ms), \
        .default_text = timeout, \
        .minimum = 100, \
        .maximum = longest, \
        .help = "To connect, and without any answer to what was sent."}
/* clang-format on */

#endif
