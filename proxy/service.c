/* SPDX-License-Identifier: Apache-2.0 */
/* From mqward.yaml to something that can serve. Called by the subcommands run and check. */
#include "proxy/service.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"

/* The names that were given (a part of the configuration may have none). */
static const char **names_of(
    struct arena *arena, const struct config_named_file *files, size_t count, size_t *given)
{
    const char **names = arena_calloc(arena, count + 1, sizeof(*names));

    *given = 0;
    for (size_t i = 0; i < count; i++)
        if (files[i].name != NULL)
            names[(*given)++] = files[i].name;
    return names;
}

static void load_policy(struct snapshot *snapshot, const struct config *config, struct diag_list *diag)
{
    struct policy_names names = {0};

    names.cas = names_of(snapshot->arena, config->cas, config->ca_count, &names.ca_count);
    names.password_files = names_of(
        snapshot->arena, config->password_files, config->password_file_count, &names.password_file_count);
    if (config->policy.path != NULL)
        snapshot->policy = policy_load(config->policy.path, &names, diag, &config->policy.place);
}

static void load_password_files(
    struct snapshot *snapshot, const struct config *config, struct diag_list *diag)
{
    snapshot->password_file_count = config->password_file_count;
    snapshot->password_files =
        arena_calloc(snapshot->arena, config->password_file_count + 1, sizeof(struct password_file *));
    for (size_t i = 0; i < config->password_file_count; i++)
        if (config->password_files[i].file.path != NULL)
            snapshot->password_files[i] = password_file_load(
                config->password_files[i].file.path, diag, &config->password_files[i].file.place);
}

static void load_upstreams(struct snapshot *snapshot, struct diag_list *diag)
{
    const struct config *config = snapshot->config;

    snapshot->upstream_tls =
        arena_calloc(snapshot->arena, config->upstream_count + 1, sizeof(struct tls_client *));
    for (size_t i = 0; i < config->upstream_count; i++)
        if (config->upstreams[i].tls != NULL)
            snapshot->upstream_tls[i] =
                tls_client_new(config->upstreams[i].tls, config->upstreams[i].address.host, diag);
}

static void load_service(struct snapshot *snapshot, size_t index, struct diag_list *diag)
{
    const struct config *config = snapshot->config;
    struct service *service = &snapshot->services[index];

    service->listener = &config->listeners[index];
    service->upstream = service->listener->upstream;
    service->upstream_tls = snapshot->upstream_tls[service->upstream - config->upstreams];
    if (service->listener->tls != NULL)
        service->tls = tls_server_new(service->listener, diag);
    service->session = (struct session_settings){
        .policy = snapshot->policy,
        .dialect = service->upstream->dialect,
        .listener = service->listener->name,
        .upstream = service->upstream->name,
        .broker_max_packet = (uint32_t)service->upstream->max_packet,
        .topic_alias_maximum = (uint16_t)service->listener->topic_alias_maximum,
        .max_filters = (uint32_t)config->limit_filters,
        .options = {.refuse_control_characters = config->refuse_control_characters},
    };
}

struct snapshot *snapshot_load(const char *path, struct diag_list *diag)
{
    struct arena *arena = arena_new();
    struct snapshot *snapshot = arena_alloc(arena, sizeof(*snapshot));
    const struct config *partial = NULL;

    snapshot->arena = arena;
    snapshot->config = config_load(path, arena, diag, &partial);
    if (partial != NULL) { /* even beside errors: one run reports those of all files */
        load_policy(snapshot, partial, diag);
        load_password_files(snapshot, partial, diag);
    }
    if (snapshot->config != NULL) {
        load_upstreams(snapshot, diag);
        snapshot->services = arena_calloc(arena, snapshot->config->listener_count, sizeof(struct service));
        for (size_t i = 0; i < snapshot->config->listener_count; i++)
            load_service(snapshot, i, diag);
    }
    if (diag_errors(diag) == 0) {
        assert(snapshot->policy != NULL);
        return snapshot;
    }
    snapshot_free(snapshot);
    return NULL;
}

void snapshot_free(struct snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    if (snapshot->config != NULL) {
        for (size_t i = 0; i < snapshot->config->listener_count; i++)
            tls_server_free(snapshot->services[i].tls);
        for (size_t i = 0; i < snapshot->config->upstream_count; i++)
            tls_client_free(snapshot->upstream_tls[i]);
    }
    for (size_t i = 0; i < snapshot->password_file_count; i++)
        password_file_free(snapshot->password_files[i]);
    policy_release(snapshot->policy);
    arena_free(snapshot->arena);
}

enum reason snapshot_check_password(
    const struct snapshot *snapshot, const char *file, struct view name, struct view password)
{
    const struct config *config = snapshot->config;

    for (size_t i = 0; i < config->password_file_count; i++)
        if (strcmp(config->password_files[i].name, file) == 0)
            return password_file_verify(snapshot->password_files[i], name, password);
    assert(false && "the policy names a password file that the configuration does not have");
    return REASON_internal_error;
}
