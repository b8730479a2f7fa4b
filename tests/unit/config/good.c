/* SPDX-License-Identifier: Apache-2.0 */
/* Good configurations, field by field. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "exporters/sink_syslog.h"
#include "policy/replay.h"
#include "proxy/config.h"

#define GOOD MQWARD_SOURCE_DIR "/tests/vectors/config/good/"
#define LISTENER "listeners: [{address: '127.0.0.1:8883', plaintext: true}]\n"
#define UPSTREAM "upstreams: [{name: main, address: '127.0.0.1:1883'}]\n"

struct loaded {
    struct diag_list *diag;
    struct arena *arena;
    const struct config *config;
};

static struct loaded load(const char *path)
{
    struct loaded loaded = {.diag = diag_list_new(), .arena = arena_new()};
    loaded.config = config_load(path, loaded.arena, loaded.diag, NULL);
    if (loaded.config == NULL)
        diag_print(loaded.diag, stderr);
    return loaded;
}

static void unload(struct loaded *loaded)
{
    arena_free(loaded->arena);
    diag_list_free(loaded->diag);
}

/* A file without a folder to clean up. */
static struct loaded load_text(const char *text)
{
    char path[64];
    int descriptor = memfd_create("mqward.yaml", MFD_CLOEXEC);
    cr_assert_eq(write(descriptor, text, strlen(text)), (ssize_t)strlen(text));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
    struct loaded loaded = load(path);
    close(descriptor);
    return loaded;
}

Test(config_good, source_addresses_are_kept_in_their_order)
{
    struct loaded loaded =
        load_text("version: 1\npolicy: p.yaml\n" LISTENER "upstreams: [{name: main, address: 'broker:1883', "
                  "source_addresses: [127.0.0.3, '::1', 127.0.0.2]}]\n"
                  "audit: {directory: audit}\n");
    const struct config_addresses *sources;

    cr_assert_not_null(loaded.config);
    sources = &loaded.config->upstreams[0].sources;
    cr_assert_eq(sources->count, 3);
    cr_expect_str_eq(sources->items[0].host, "127.0.0.3");
    cr_expect_str_eq(sources->items[1].host, "::1");
    cr_expect_str_eq(sources->items[2].host, "127.0.0.2");
    cr_expect_eq(sources->items[2].port, 0);
    unload(&loaded);
}

Test(config_good, the_smallest_file_has_the_documented_defaults)
{
    struct loaded loaded = load(GOOD "minimal.yaml");
    const struct config *config = loaded.config;
    cr_assert_not_null(config);
    cr_expect_eq(config->workers, CONFIG_AUTO);
    cr_expect_str_eq(config->policy.path, GOOD "policy.yaml");
    cr_expect_eq(config->policy.place.line, 2);
    cr_expect_eq(config->ca_count + config->password_file_count, 0);
    cr_expect_null(config->keys.path);
    cr_expect_eq(config->log_level, LOG_INFO);
    cr_expect_eq(config->log_format, LOG_TEXT);
    cr_expect_eq(config->limit_filters, 200);
    cr_expect_not(config->refuse_control_characters);
    cr_expect_eq(config->drain_ms, 10000);

    cr_assert_eq(config->listener_count, 1);
    const struct config_listener *listener = &config->listeners[0];
    cr_expect_str_eq(listener->name, "127.0.0.1:8883");
    cr_expect_eq(listener->upstream, &config->upstreams[0]);
    cr_expect_eq(listener->limit_connections, 10000);
    cr_expect_eq(listener->limit_connections_per_address, 1000);
    cr_expect_eq(listener->timeout_handshake_ms, 10000);
    cr_expect_eq(listener->timeout_connect_ms, 10000);
    cr_expect_eq(listener->timeout_idle_ms, 3600000);
    cr_expect_eq(listener->timeout_send_ms, 30000);
    cr_expect_eq(listener->topic_alias_maximum, 16);
    cr_assert_not_null(listener->tls);
    cr_expect_eq(listener->tls->min_version, 0x0303);
    cr_expect_eq(listener->tls->client_certificate, CONFIG_CERTIFICATE_NONE);
    cr_expect_null(listener->tls->ciphers);
    cr_expect_null(listener->tls->ciphersuites);
    cr_expect_eq(listener->tls->client_ca_count + listener->tls->sni_count, 0);
    cr_expect_eq(listener->tls->crl_count, 0);
    cr_expect_not(listener->tls->crl_check_chain);

    cr_assert_eq(config->upstream_count, 1);
    cr_expect_eq(config->upstreams[0].dialect, DIALECT_MOSQUITTO);
    cr_expect_null(config->upstreams[0].tls);
    cr_expect_eq(config->upstreams[0].timeout_connect_ms, 10000);
    cr_expect_eq(config->upstreams[0].timeout_connack_ms, 20000);
    cr_expect_eq(config->upstreams[0].max_packet, 16 << 20);

    cr_expect_str_eq(config->audit.directory.path, "/var/lib/mqward");
    cr_expect_eq(config->audit.fsync, CONFIG_FSYNC_INTERVAL);
    cr_expect_eq(config->audit.fsync_interval_ms, 100);
    cr_expect_eq(config->audit.ring_bytes, 8 << 20);
    cr_expect_eq(config->audit.segment_bytes, 64 << 20);
    cr_expect_eq(config->audit.quota_bytes, 1 << 30);
    cr_expect_eq(config->audit.retention_ms, UINT64_C(7) * 24 * 3600 * 1000);
    cr_expect_null(config->audit.chain.signing_key.path);
    cr_expect_eq(config->audit.chain.checkpoint.events, 10000);
    cr_expect_eq(config->audit.chain.checkpoint.interval_ms, 60000);
    cr_expect_eq(config->audit.sink_count, 0);

    cr_expect_eq(config->replay.nonces, REPLAY_TOTAL);
    cr_expect_eq(config->replay.per_signer, REPLAY_PER_SIGNER);
    cr_expect_eq(config->replay.signers, REPLAY_SIGNERS);
    cr_expect_null(config->replay.redis);
    cr_expect_eq(config->rules_count, 0);
    cr_expect_eq(config->scan.inline_bytes, 16384);
    cr_expect_eq(config->scan.threads, 2);
    cr_expect_eq(config->scan.wait_ms, 10000);
    cr_expect_null(config->scan.quarantine.directory.path);
    unload(&loaded);
}

Test(config_good, every_key_of_the_file_arrives)
{
    struct loaded loaded = load(GOOD "full.yaml");
    const struct config *config = loaded.config;
    cr_assert_not_null(config);
    cr_expect_eq(config->workers, 256);
    cr_expect_str_eq(config->policy.path, GOOD "../policy/policy.yaml");
    cr_expect_eq(config->log_level, LOG_DEBUG);
    cr_expect_eq(config->log_format, LOG_JSON);
    cr_expect_eq(config->limit_filters, 10);
    cr_expect(config->refuse_control_characters);
    cr_expect_eq(config->drain_ms, 3600000);
    cr_assert_eq(config->ca_count, 2);
    cr_expect_str_eq(config->cas[0].name, "fleet");
    cr_expect_str_eq(config->cas[0].file.path, GOOD "fleet-ca.pem");
    cr_expect_str_eq(config->cas[1].file.path, "/etc/ssl/internal.pem");
    cr_assert_eq(config->password_file_count, 1);
    cr_expect_str_eq(config->password_files[0].name, "users");
    cr_expect_str_eq(config->password_files[0].file.path, GOOD "users.passwd");
    cr_assert_eq(config->jwks_count, 1);
    cr_expect_str_eq(config->jwks[0].name, "idp");
    cr_expect_str_eq(config->jwks[0].file.path, GOOD "jwks.json");
    cr_expect_str_eq(config->keys.path, GOOD "../keys/keys.yaml");
    unload(&loaded);
}

Test(config_good, listeners_have_what_was_written)
{
    struct loaded loaded = load(GOOD "full.yaml");
    cr_assert_not_null(loaded.config);
    cr_assert_eq(loaded.config->listener_count, 4);
    const struct config_listener *devices = &loaded.config->listeners[0];
    cr_expect_str_eq(devices->name, "devices");
    cr_expect_str_eq(devices->address.text, "[::]:8883");
    cr_expect_str_eq(devices->address.host, "::");
    cr_expect_eq(devices->address.port, 8883);
    cr_expect_eq(devices->upstream, &loaded.config->upstreams[1]);
    cr_expect_eq(devices->limit_connections, 0);
    cr_expect_eq(devices->limit_connections_per_address, 5);
    cr_expect_eq(devices->timeout_handshake_ms, 1000);
    cr_expect_eq(devices->timeout_connect_ms, 2000);
    cr_expect_eq(devices->timeout_idle_ms, 0);
    cr_expect_eq(devices->timeout_send_ms, 60000);
    cr_expect_eq(devices->topic_alias_maximum, 0);

    const struct config_listener *plain = &loaded.config->listeners[1];
    cr_expect_null(plain->tls);
    cr_expect_str_eq(plain->name, "localhost:0");
    cr_expect_str_eq(plain->address.host, "localhost");
    cr_expect_eq(plain->address.port, 0);
    cr_expect_eq(plain->upstream, &loaded.config->upstreams[0]);
    unload(&loaded);
}

Test(config_good, tls_of_listeners_has_what_was_written)
{
    struct loaded loaded = load(GOOD "full.yaml");
    const struct config *config = loaded.config;
    cr_assert_not_null(config);
    const struct config_listener_tls *tls = config->listeners[0].tls;
    cr_expect_str_eq(tls->certificate.path, GOOD "server.pem");
    cr_expect_str_eq(tls->key.path, "/etc/ssl/server.key");
    cr_expect_eq(tls->min_version, 0x0304);
    cr_expect_str_eq(tls->ciphersuites, "TLS_AES_256_GCM_SHA384");
    cr_expect_eq(tls->client_certificate, CONFIG_CERTIFICATE_REQUIRED);
    cr_assert_eq(tls->client_ca_count, 2);
    cr_expect_eq(tls->client_cas[0], &config->cas[0]);
    cr_expect_eq(tls->client_cas[1], &config->cas[1]);
    cr_assert_eq(tls->crl_count, 2);
    cr_expect_str_eq(tls->crls[0].path, GOOD "fleet.crl");
    cr_expect_str_eq(tls->crls[1].path, "/var/lib/crl/internal.der");
    cr_expect(tls->crl_check_chain);
    cr_assert_eq(tls->sni_count, 2);
    cr_assert_eq(tls->sni[0].name_count, 2);
    cr_expect_str_eq(tls->sni[0].names[0], "a.example", "server names are lower case");
    cr_expect_str_eq(tls->sni[0].names[1], "*.b.example");
    cr_expect_str_eq(tls->sni[0].certificate.path, GOOD "ab.pem");
    cr_expect_str_eq(tls->sni[1].names[0], "c.example", "a single name needs no brackets");
    cr_expect_str_eq(tls->sni[1].key.path, GOOD "c.key");
    cr_expect_str_eq(config->listeners[3].tls->ciphers, "HIGH");
    cr_expect_eq(config->listeners[3].tls->client_certificate, CONFIG_CERTIFICATE_OPTIONAL);
    cr_expect_eq(config->listeners[3].tls->client_cas[0], &config->cas[0]);
    unload(&loaded);
}

Test(config_good, upstreams_have_what_was_written)
{
    struct loaded loaded = load(GOOD "full.yaml");
    const struct config *config = loaded.config;
    cr_assert_not_null(config);
    cr_assert_eq(config->upstream_count, 3);
    const struct config_upstream *main_upstream = &config->upstreams[0];
    cr_expect_str_eq(main_upstream->name, "main");
    cr_expect_str_eq(main_upstream->address.host, "broker.example");
    cr_expect_eq(main_upstream->address.port, 8883);
    cr_expect_eq(main_upstream->dialect, DIALECT_EMQX);
    cr_expect_eq(main_upstream->timeout_connect_ms, 1000);
    cr_expect_eq(main_upstream->timeout_connack_ms, 3000);
    cr_expect_eq(main_upstream->max_packet, 1000000);
    cr_assert_not_null(main_upstream->tls);
    cr_expect_eq(main_upstream->tls->ca, &config->cas[1]);
    cr_expect_str_eq(main_upstream->tls->server_name, "10.0.0.1");
    cr_expect_str_eq(main_upstream->tls->certificate.path, GOOD "c.pem");
    cr_expect_str_eq(main_upstream->tls->key.path, GOOD "c.key");
    cr_expect(main_upstream->tls->verify);
    cr_expect_not(config->upstreams[1].tls->verify);
    cr_assert_not_null(config->upstreams[2].tls, "tls: {} is TLS");
    cr_expect(config->upstreams[2].tls->verify);
    cr_expect_null(config->upstreams[2].tls->ca);
    cr_expect_null(config->upstreams[2].tls->certificate.path);
    unload(&loaded);
}

Test(config_good, the_audit_has_what_was_written)
{
    struct loaded loaded = load(GOOD "full.yaml");
    cr_assert_not_null(loaded.config);
    const struct config_audit *audit = &loaded.config->audit;
    cr_expect_str_eq(audit->directory.path, GOOD "audit");
    cr_expect_eq(audit->fsync, CONFIG_FSYNC_ALWAYS);
    cr_expect_eq(audit->ring_bytes, 256 << 10);
    cr_expect_eq(audit->segment_bytes, 1 << 20);
    cr_expect_eq(audit->quota_bytes, 4 << 20);
    cr_expect_eq(audit->retention_ms, 0);
    cr_expect_str_eq(audit->chain.signing_key.path, GOOD "trail.pem");
    cr_expect_eq(audit->chain.checkpoint.events, 500);
    cr_expect_eq(audit->chain.checkpoint.interval_ms, 5000);
    cr_expect_str_eq(loaded.config->control_socket.path, "/run/mqward/control.sock");
    cr_expect_str_eq(loaded.config->admin.listen.host, "::");
    cr_expect_eq(loaded.config->admin.listen.port, 9883);
    cr_expect(loaded.config->admin.remote);
    cr_assert_eq(audit->sink_count, 6);
    cr_expect_str_eq(audit->sinks[0].name, "siem");
    const struct config_redis *redis = audit->sinks[0].redis;
    cr_expect_str_eq(redis->server.address.host, "::1");
    cr_expect_eq(redis->server.address.port, 6380);
    cr_expect_str_eq(redis->stream, "events");
    cr_expect_str_eq(redis->field, "json");
    cr_expect_eq(redis->max_length, 0);
    cr_expect(redis->shared);
    cr_expect_eq(redis->server.database, 3);
    cr_expect_str_eq(redis->server.access.username, "mqward");
    cr_expect_str_eq(redis->server.access.password_file.path, "/etc/mqward/redis.pass");
    cr_expect_eq(redis->server.timeout_ms, 250);
    cr_expect_eq(redis->server.access.tls->ca, &loaded.config->cas[1]);
    cr_expect(redis->server.access.tls->verify, "Redis over TLS is always verified");
    redis = audit->sinks[1].redis;
    cr_expect_str_eq(redis->server.address.unix_path, "/run/redis/redis.sock");
    cr_expect_null(redis->server.address.host);
    cr_expect_str_eq(redis->stream, "mqward:audit");
    cr_expect_str_eq(redis->field, "event");
    cr_expect_eq(redis->max_length, 1000000);
    cr_expect_eq(redis->server.timeout_ms, 5000);
    cr_expect_null(redis->server.access.tls);
    unload(&loaded);
}

Test(config_good, sinks_that_answer_nothing_have_what_was_written)
{
    struct loaded loaded = load(GOOD "full.yaml");
    const struct config_audit *audit = &loaded.config->audit;

    const struct config_sink_file *file = audit->sinks[2].file;
    cr_expect_str_eq(file->path.path, "/var/log/mqward/audit.ndjson");
    cr_expect(file->mode == 0644 && file->max_size == UINT64_C(64) << 20 && file->keep == 7 &&
              file->timeout_ms == 1000);
    cr_expect_eq(audit->sinks[3].output->timeout_ms, 2000);
    const struct config_sink_syslog *syslog = audit->sinks[4].syslog;
    cr_expect_str_eq(syslog->address.host, "::1");
    cr_expect(syslog->address.port == 6514 && !syslog->udp);
    cr_expect_eq(syslog->tls->ca, &loaded.config->cas[1]);
    cr_expect_str_eq(syslog->tls->server_name, "siem.example");
    cr_expect(syslog->tls->verify, "syslog over TLS is always verified");
    cr_expect_eq(audit->sinks[4].tls, syslog->tls);
    cr_expect(syslog->framing == SYSLOG_LINES && syslog->format == SYSLOG_CEF && syslog->facility == 13);
    cr_expect_str_eq(syslog->sd_id, "trail@99999");
    cr_expect(syslog->max_message == 60 << 10 && syslog->timeout_ms == 3000);
    syslog = audit->sinks[5].syslog;
    cr_expect_str_eq(syslog->address.unix_path, "/dev/log");
    cr_expect(
        syslog->framing == SYSLOG_OCTET_COUNTING && syslog->format == SYSLOG_JSON && syslog->facility == 16);
    cr_expect_str_eq(syslog->sd_id, "mqward@32473");
    cr_expect(syslog->max_message == 8 << 10 && syslog->timeout_ms == 10000 && syslog->tls == NULL);
    unload(&loaded);
}

Test(config_good, a_redis_is_found_by_sentinels_or_in_a_cluster)
{
    struct loaded loaded =
        load_text("version: 1\npolicy: p\n" LISTENER UPSTREAM "audit:\n  directory: a\n  sinks:\n"
                  "    - name: watched\n      redis:\n"
                  "        sentinel: {addresses: ['a:1', '[::1]:2'], master: main,\n"
                  "          username: u, password_file: s.pass, tls: {}}\n"
                  "        username: v\n        password_file: r.pass\n"
                  "        list: '{q}'\n        max_length: 7\n        replicas: 2\n"
                  "    - name: sharded\n"
                  "      redis: {cluster: ['a:1', 'b:2', 'c:3'], channel: news}\n"
                  "replay: {redis: {sentinel: {addresses: ['x:9'], master: m}}}\n");
    cr_assert_not_null(loaded.config);
    const struct config_redis *redis = loaded.config->audit.sinks[0].redis;
    const struct config_redis_sentinel *sentinel = redis->server.sentinel;
    cr_expect_null(redis->server.address.text);
    cr_assert_eq(sentinel->addresses.count, 2);
    cr_expect_str_eq(sentinel->addresses.items[0].host, "a");
    cr_expect_eq(sentinel->addresses.items[1].port, 2);
    cr_expect_str_eq(sentinel->master, "main");
    cr_expect_str_eq(sentinel->access.username, "u");
    cr_expect_not_null(sentinel->access.tls);
    cr_expect_str_eq(redis->server.access.username, "v");
    cr_expect_null(redis->server.access.tls, "each has its own");
    cr_expect_null(redis->stream);
    cr_expect_str_eq(redis->list, "{q}");
    cr_expect_eq(redis->max_length, 7);
    cr_expect_eq(redis->replicas, 2);
    redis = loaded.config->audit.sinks[1].redis;
    cr_expect_null(redis->server.sentinel);
    cr_assert_eq(redis->server.cluster.count, 3);
    cr_expect_str_eq(redis->server.cluster.items[2].host, "c");
    cr_expect_str_eq(redis->channel, "news");
    cr_expect_null(redis->stream);
    cr_expect_str_eq(loaded.config->replay.redis->server.sentinel->master, "m");
    unload(&loaded);
}

Test(config_good, the_replay_store_has_what_was_written)
{
    struct loaded loaded = load(GOOD "full.yaml");
    cr_assert_not_null(loaded.config);
    const struct config_replay *replay = &loaded.config->replay;
    cr_expect_eq(replay->nonces, 1024);
    cr_expect_eq(replay->per_signer, 16);
    cr_expect_eq(replay->signers, 64);
    cr_assert_not_null(replay->redis);
    cr_expect_str_eq(replay->redis->prefix, "plant-a:");
    const struct config_redis_server *server = &replay->redis->server;
    cr_expect_str_eq(server->address.host, "redis.example");
    cr_expect_eq(server->address.port, 6380);
    cr_expect_eq(server->database, 1);
    cr_expect_str_eq(server->access.username, "replay");
    cr_expect_str_eq(server->access.password_file.path, GOOD "replay.pass");
    cr_expect_eq(server->timeout_ms, 250);
    cr_expect_eq(server->access.tls->ca, &loaded.config->cas[1]);
    unload(&loaded);
}

Test(config_good, a_shared_replay_store_needs_an_address_alone)
{
    struct loaded loaded = load_text("version: 1\npolicy: p\n" LISTENER UPSTREAM
                                     "audit: {directory: a}\nreplay: {redis: {address: '[::1]:6379'}}\n");
    cr_assert_not_null(loaded.config);
    const struct config_replay_redis *redis = loaded.config->replay.redis;
    cr_assert_not_null(redis);
    cr_expect_str_eq(redis->prefix, "mps1:");
    cr_expect_eq(redis->server.timeout_ms, 1000);
    cr_expect_eq(redis->server.database, 0);
    cr_expect_null(redis->server.access.username);
    cr_expect_null(redis->server.access.tls);
    unload(&loaded);
}

Test(config_good, rule_sets_have_what_was_written)
{
    struct loaded loaded = load(GOOD "full.yaml");
    cr_assert_not_null(loaded.config);
    cr_assert_eq(loaded.config->rules_count, 4);
    const struct config_rules *rules = loaded.config->rules;
    cr_expect_str_eq(rules[0].name, "shipped");
    cr_expect_eq(rules[0].place.column, 3, "errors of a set point at its name");
    cr_assert_eq(rules[0].file_count, 1);
    cr_expect_str_eq(rules[0].files[0].path, "/usr/share/mqward/rules");
    cr_expect_not(rules[0].allow_slow);
    cr_expect_eq(rules[0].module_count, 0);
    cr_expect_eq(rules[0].budget_ns, 20000);

    cr_expect_str_eq(rules[1].name, "own_2");
    cr_assert_eq(rules[1].file_count, 2);
    cr_expect_str_eq(rules[1].files[0].path, GOOD "iot.yar");
    cr_expect_str_eq(rules[1].files[1].path, GOOD "../more");
    cr_expect_eq(rules[1].budget_ns, 20000);

    cr_expect_str_eq(rules[2].name, "trial-1");
    cr_assert_eq(rules[2].file_count, 1);
    cr_expect_str_eq(rules[2].files[0].path, GOOD "trial");
    cr_expect(rules[2].allow_slow);
    cr_assert_eq(rules[2].module_count, 2);
    cr_expect_str_eq(rules[2].modules[0], "math");
    cr_expect_str_eq(rules[2].modules[1], "pe");
    cr_expect_eq(rules[2].budget_ns, 3000000);

    cr_assert_eq(rules[3].file_count, 2);
    cr_expect_str_eq(rules[3].files[1].path, "/b.yar");
    cr_assert_eq(rules[3].module_count, 1);
    cr_expect_str_eq(rules[3].modules[0], "elf");
    cr_expect_eq(rules[3].budget_ns, 0);
    unload(&loaded);
}

Test(config_good, scanning_has_what_was_written)
{
    struct loaded loaded = load(GOOD "full.yaml");
    cr_assert_not_null(loaded.config);
    const struct config_scan *scan = &loaded.config->scan;
    cr_expect_eq(scan->inline_bytes, 0);
    cr_expect_eq(scan->threads, 64);
    cr_expect_eq(scan->wait_ms, 60000);
    cr_expect_str_eq(scan->quarantine.directory.path, GOOD "quarantine");
    cr_expect_eq(scan->quarantine.max_bytes, 65536);
    cr_expect_eq(scan->quarantine.max_files, 1);
    unload(&loaded);
}

Test(config_good, a_quarantine_needs_a_folder_alone)
{
    struct loaded loaded = load_text("version: 1\npolicy: p\n" LISTENER UPSTREAM
                                     "audit: {directory: a}\nscan: {quarantine: {directory: /q}}\n");
    cr_assert_not_null(loaded.config);
    cr_expect_eq(loaded.config->scan.quarantine.max_bytes, 1 << 30);
    cr_expect_eq(loaded.config->scan.quarantine.max_files, 10000);
    unload(&loaded);
}

Test(config_good, a_path_without_a_folder_leaves_relative_paths_as_they_are)
{
    cr_assert_eq(chdir(GOOD), 0);
    struct loaded loaded = load("minimal.yaml");
    cr_assert_not_null(loaded.config);
    cr_expect_str_eq(loaded.config->policy.path, "policy.yaml");
    unload(&loaded);
}

Test(config_good, fsync_is_always_never_or_an_interval)
{
    static const struct {
        const char *text;
        enum config_fsync fsync;
        uint64_t interval_ms;
    } rows[] = {{"always", CONFIG_FSYNC_ALWAYS, 0}, {"never", CONFIG_FSYNC_NEVER, 0},
        {"1s", CONFIG_FSYNC_INTERVAL, 1000}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[512];
        snprintf(text, sizeof(text),
            "version: 1\npolicy: p\n" LISTENER UPSTREAM "audit: {directory: a, fsync: %s}\n", rows[i].text);
        struct loaded loaded = load_text(text);
        cr_assert_not_null(loaded.config);
        cr_expect_eq(loaded.config->audit.fsync, rows[i].fsync);
        cr_expect_eq(loaded.config->audit.fsync_interval_ms, rows[i].interval_ms);
        unload(&loaded);
    }
}

Test(config_good, the_example_of_the_manual_is_accepted)
{
    char *manual = NULL;
    size_t size = 0;
    FILE *in = fopen(MQWARD_SOURCE_DIR "/docs/configuration.md", "r");
    cr_assert_not_null(in);
    cr_assert_geq(getdelim(&manual, &size, '\0', in), 0);
    fclose(in);
    char *example = strstr(manual, "```yaml\nversion: 1\n");
    cr_assert_not_null(example);
    example += strlen("```yaml\n");
    *strstr(example, "```") = '\0';
    struct loaded loaded = load_text(example);
    cr_expect_not_null(loaded.config);
    unload(&loaded);
    free(manual);
}

Test(config_good, a_file_that_is_not_there_is_an_error_and_nothing_else)
{
    struct loaded loaded = load("/nonexistent/mqward.yaml");
    cr_expect_null(loaded.config);
    cr_expect_eq(diag_errors(loaded.diag), 1);
    unload(&loaded);
}
