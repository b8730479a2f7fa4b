/* SPDX-License-Identifier: Apache-2.0 */
/* mqward.yaml: read, checked, and turned into plain structs. Nothing here opens a socket; files that the
 * configuration names (certificates, keys, passwords, policy) are read by their own modules with the places
 * given here. */
#ifndef MQWARD_PROXY_CONFIG_H
#define MQWARD_PROXY_CONFIG_H

#include "base/diag.h"
#include "base/keyword.h"
#include "policy/dialect.h"

#define CONFIG_AUTO UINT64_MAX /* workers: auto */

/* A file: its path resolved against the folder of mqward.yaml, and where it was named. path NULL: not given.
 */
struct config_path {
    const char *path;
    struct diag_place place;
};

/* host:port, [v6]:port, or (where allowed) /path/of/a/socket. */
struct config_address {
    const char *text; /* as written */
    const char *host; /* without brackets; NULL for a Unix socket */
    uint16_t port;
    const char *unix_path;
    struct diag_place place;
};

struct config_addresses {
    struct config_address *items;
    size_t count;
};

/* A named file of cas:, password_files: or jwks:. */
struct config_named_file {
    const char *name;
    struct config_path file;
};

struct config_sni {
    const char **names; /* lower case; "*.x" matches one label */
    size_t name_count;
    struct config_path certificate, key;
};

enum config_client_certificate {
    CONFIG_CERTIFICATE_NONE,
    CONFIG_CERTIFICATE_OPTIONAL,
    CONFIG_CERTIFICATE_REQUIRED
};

struct config_listener_tls {
    struct config_path certificate, key;
    int min_version;                    /* 0x0303 or 0x0304, as OpenSSL's TLS1_2_VERSION, TLS1_3_VERSION */
    const char *ciphers, *ciphersuites; /* NULL: OpenSSL's defaults */
    enum config_client_certificate client_certificate;
    const struct config_named_file **client_cas;
    size_t client_ca_count;
    struct config_path *crls;
    size_t crl_count;
    int crl_check_chain; /* every certificate of the chain, not the client's alone */
    struct config_sni *sni;
    size_t sni_count;
};

struct config_listener {
    const char *name;
    struct config_address address;
    const struct config_upstream *upstream;
    struct config_listener_tls *tls;                           /* NULL: plaintext: true */
    uint64_t limit_connections, limit_connections_per_address; /* 0: no limit */
    uint64_t timeout_handshake_ms, timeout_connect_ms, timeout_idle_ms, timeout_send_ms; /* 0: none */
    uint64_t topic_alias_maximum;
    struct diag_place place;
};

struct config_upstream_tls {
    const struct config_named_file *ca;  /* NULL: the system's */
    const char *server_name;             /* NULL: the host of the address */
    struct config_path certificate, key; /* path NULL: none */
    bool verify;
};

#define CONFIG_SOURCES_MAX 64
struct config_upstream {
    const char *name;
    struct config_address address;
    struct config_addresses sources; /* of connections to it, ports 0, CONFIG_SOURCES_MAX at most; none: the
                                        system chooses */
    enum dialect dialect;
    struct config_upstream_tls *tls; /* NULL: plain */
    uint64_t timeout_connect_ms, timeout_connack_ms;
    uint64_t max_packet; /* bytes */
    struct diag_place place;
};

enum config_fsync { CONFIG_FSYNC_ALWAYS, CONFIG_FSYNC_INTERVAL, CONFIG_FSYNC_NEVER };

/* How servers of one kind are spoken to. */
struct config_redis_access {
    const char *username;             /* NULL: none */
    struct config_path password_file; /* path NULL: none; the password is the file's first line */
    struct config_upstream_tls *tls;  /* NULL: plain */
};

#define CONFIG_REDIS_NODES_MAX 16 /* addresses of sentinels, or of a cluster */

struct config_redis_sentinel {
    struct config_redis_access access; /* the first, as in the server's: both have the same keywords */
    struct config_addresses addresses;
    const char *master;
};

/* How a Redis is reached: one of address, sentinel and cluster is given. */
struct config_redis_server {
    struct config_redis_access access;
    struct config_address address;          /* or a Unix socket; text NULL: not given */
    struct config_redis_sentinel *sentinel; /* NULL: not given */
    struct config_addresses cluster;        /* none: not given */
    uint64_t database, timeout_ms;
};

/* One of stream, list and channel is not NULL. */
struct config_redis {
    struct config_redis_server server; /* the first: its keywords are those of all of its kind */
    const char *stream, *list, *channel;
    const char *field;
    uint64_t max_length, replicas;
    bool shared;
};

struct config_kafka_sasl {
    int mechanism;    /* a row of config_kafka.c */
    const char *name; /* of the mechanism, as Kafka has it */
    const char *username;
    struct config_path password_file;
};

struct exporter_kafka_property;
struct config_kafka {
    const char *brokers; /* "host:port,host:port" */
    const char *topic;
    int key; /* enum exporter_kafka_key */
    uint64_t timeout_ms;
    struct config_upstream_tls *tls; /* NULL: plain */
    struct config_kafka_sasl *sasl;  /* NULL: none */
    const struct exporter_kafka_property *properties;
    size_t property_count;
};

struct config_sink_file {
    struct config_path path;
    unsigned mode;
    uint64_t max_size, keep; /* max_size 0: never rotated */
    uint64_t timeout_ms;
};

struct config_sink_stdout {
    uint64_t timeout_ms;
    struct diag_place place;
};

struct config_sink_syslog {
    struct config_address address; /* or a Unix socket */
    int udp;
    struct config_upstream_tls *tls; /* NULL: plain */
    int framing, format;             /* enum syslog_framing, enum syslog_format */
    int facility;                    /* RFC 5424, section 6.2.1 */
    const char *sd_id;
    uint64_t max_message, timeout_ms;
};

/* Of one kind: one of the pointers to their parts is not NULL. */
struct config_sink {
    const char *name;
    struct diag_place place;               /* of the name */
    const struct config_upstream_tls *tls; /* of whatever kind it is; NULL: plain */
    struct config_redis *redis;
    struct config_kafka *kafka;
    struct config_sink_file *file;
    struct config_sink_stdout *output; /* stdout */
    struct config_sink_syslog *syslog;
};

enum config_on_full { CONFIG_ON_FULL_BLOCK, CONFIG_ON_FULL_DENY, CONFIG_ON_FULL_DROP };

struct config_checkpoint {
    uint64_t events, interval_ms;
};

struct config_chain {
    struct config_path signing_key; /* path NULL: the default one of the directory */
    struct config_checkpoint checkpoint;
};

struct config_audit {
    const char *text; /* the whole section as written, to see whether it has changed */
    struct config_path directory;
    enum config_fsync fsync;
    uint64_t fsync_interval_ms;
    uint64_t ring_bytes, segment_bytes, quota_bytes, retention_ms;
    uint64_t aggregate_ms; /* 0: nothing is aggregated */
    int on_full;           /* enum config_on_full */
    struct config_chain chain;
    struct config_sink *sinks;
    size_t sink_count;
};

struct config_replay_redis {
    struct config_redis_server server; /* the first, as above */
    const char *prefix;                /* of its keys; CONFIG_REPLAY_PREFIX_MAX bytes at most */
};
#define CONFIG_REPLAY_PREFIX_MAX 64

/* The replay store of payload signatures. */
struct config_replay {
    uint64_t nonces, per_signer, signers; /* as struct replay_limits */
    struct config_replay_redis *redis;    /* NULL: it is not shared */
};

/* A rule set of rules: (YARA). */
struct config_rules {
    const char *name;
    struct config_path *files; /* *.yar, or folders of them */
    size_t file_count;
    bool allow_slow;
    const char **modules;
    size_t module_count;
    uint64_t budget_ns; /* of a rule, for each KiB of a hostile payload; 0: any */
    struct diag_place place;
};

struct config_quarantine {
    struct config_path directory; /* path NULL: there is none */
    uint64_t max_bytes, max_files;
};

struct config_scan {
    uint64_t inline_bytes; /* larger payloads are scanned on the pool */
    uint64_t threads;      /* of the pool */
    uint64_t wait_ms;      /* for one of them; then a message is not scanned */
    struct config_quarantine quarantine;
};

/* Metrics and health, over HTTP. */
struct config_admin {
    struct config_address listen; /* text NULL: nowhere */
    int remote;                   /* an address that is not of loopback is meant so */
};

struct config {
    uint64_t workers; /* CONFIG_AUTO or 1..256 */
    struct config_path policy;
    struct config_path shadow_policy; /* path NULL: none */
    struct config_path keys;          /* path NULL: none */
    struct config_listener *listeners;
    size_t listener_count;
    struct config_upstream *upstreams;
    size_t upstream_count;
    struct config_named_file *cas;
    size_t ca_count;
    struct config_named_file *password_files;
    size_t password_file_count;
    struct config_named_file *jwks;
    size_t jwks_count;
    struct config_rules *rules;
    size_t rules_count;
    struct config_scan scan;
    struct config_audit audit;
    struct config_replay replay;
    struct config_path control_socket; /* path NULL: none */
    struct config_admin admin;
    int log_level, log_format; /* enum log_level, enum log_format */
    uint64_t limit_filters, limit_password_checks, limit_password_memory;
    uint64_t limit_login_failures_per_address, limit_login_failures_per_name,
        login_window_ms; /* 0: any number */
    bool refuse_control_characters;
    uint64_t drain_ms;
};

/* Reads and checks the file; all errors go to diag. NULL if there was one. Everything lives in arena (and
 * source texts in diag). *partial (may be NULL): what could be read all the same, so that the files that it
 * names can be checked in the same run; names and paths in it may be NULL, and nothing else of it is to be
 * used. */
struct config *config_load(
    const char *path, struct arena *arena, struct diag_list *diag, const struct config **partial);

/* The Markdown reference of mqward.yaml, printed from its keyword tables. */
struct buffer;
void config_print_reference(struct buffer *out);

#endif
