/* SPDX-License-Identifier: Apache-2.0 */
/* Any file as mqward.yaml: no crash, a configuration exactly when there is no error, and one that holds what
 * the daemon relies on. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proxy/config.h"
#include "rules/scan.h"

static void check_redis(const struct config_redis_server *server)
{
    const bool address = server->address.text != NULL;
    assert(address + (server->sentinel != NULL) + (server->cluster.count > 0) == 1);
    assert(!address || (server->address.host == NULL) == (server->address.unix_path != NULL));
}

static void check_sink(const struct config_sink *sink)
{
    unsigned kinds = (sink->redis != NULL) + (sink->kafka != NULL) + (sink->file != NULL) +
                     (sink->output != NULL) + (sink->syslog != NULL);

    assert(strchr(sink->name, '/') == NULL && kinds == 1);
    if (sink->redis != NULL)
        check_redis(&sink->redis->server);
    assert(sink->kafka == NULL || (sink->kafka->brokers != NULL && sink->kafka->topic != NULL));
    assert(sink->file == NULL || (sink->file->path.path != NULL && sink->file->keep > 0));
}

static void check_rules(const struct config *config)
{
    assert(config->rules_count <= SCAN_SETS_MAX);
    for (size_t i = 0; i < config->rules_count; i++) {
        const struct config_rules *rules = &config->rules[i];
        assert(rules->name[0] != '\0' && strlen(rules->name) <= 64 && strchr(rules->name, '/') == NULL);
        assert(rules->file_count > 0 && rules->budget_ns <= UINT64_C(1000000000));
        for (size_t k = 0; k < rules->file_count; k++)
            assert(rules->files[k].path != NULL);
    }
    assert(config->scan.threads > 0 && config->scan.inline_bytes <= 1 << 20);
    assert(config->scan.quarantine.directory.path == NULL || config->scan.quarantine.max_files > 0);
}

static void check_config(const struct config *config)
{
    check_rules(config);
    assert(config->policy.path != NULL && config->audit.directory.path != NULL);
    assert(config->listener_count > 0 && config->upstream_count > 0);
    assert(config->audit.segment_bytes <= config->audit.quota_bytes / 2);
    for (size_t i = 0; i < config->listener_count; i++) {
        const struct config_listener *listener = &config->listeners[i];
        assert(listener->name != NULL && listener->upstream != NULL && listener->address.host != NULL);
        assert(listener->tls == NULL || listener->tls->certificate.path != NULL);
        for (size_t j = 0; listener->tls != NULL && j < listener->tls->client_ca_count; j++)
            assert(listener->tls->client_cas[j] != NULL);
    }
    for (size_t i = 0; i < config->audit.sink_count; i++)
        check_sink(&config->audit.sinks[i]);
    if (config->replay.redis != NULL) {
        check_redis(&config->replay.redis->server);
        assert(strlen(config->replay.redis->prefix) <= CONFIG_REPLAY_PREFIX_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int descriptor = -1;
    static char path[64];
    if (descriptor < 0) {
        descriptor = memfd_create("mqward.yaml", MFD_CLOEXEC);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
    }
    if (ftruncate(descriptor, 0) != 0 || pwrite(descriptor, data, size, 0) != (ssize_t)size)
        abort();
    struct diag_list *diag = diag_list_new();
    struct arena *arena = arena_new();
    const struct config *config = config_load(path, arena, diag, NULL);
    assert((config == NULL) == (diag_errors(diag) > 0));
    if (config != NULL)
        check_config(config);
    arena_free(arena);
    diag_list_free(diag);
    return 0;
}
