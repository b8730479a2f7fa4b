/* SPDX-License-Identifier: Apache-2.0 */
/* From mqward.yaml to something that can serve. Called by the subcommands run and check. */
#include "proxy/service.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "proxy/service_rules.h"

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

/* Without keys: they are not known. Who tests policies need not be allowed to read keys.yaml; and where it
 * has errors, those are reported, not what the policy can't find because of them. */
static void name_keys(
    const struct config *config, const struct keyring *keys, struct arena *arena, struct policy_names *names)
{
    static const char *const none[1];
    struct keyring_names read = {.kids = none};

    if (keys != NULL)
        keyring_names(keys, arena, &read);
    else if (config->keys.path != NULL && !keyring_read_names(config->keys.path, arena, &read))
        return;
    names->keys = read.kids;
    names->key_masters = read.masters;
    names->key_count = read.count;
}

struct policy_names snapshot_policy_names(
    const struct config *config, const struct keyring *keys, struct arena *arena)
{
    struct policy_names names = {0};

    names.cas = names_of(arena, config->cas, config->ca_count, &names.ca_count);
    names.password_files =
        names_of(arena, config->password_files, config->password_file_count, &names.password_file_count);
    names.jwks = names_of(arena, config->jwks, config->jwks_count, &names.jwks_count);
    names.rule_sets = service_rule_names(config, arena, &names.rule_set_count);
    name_keys(config, keys, arena, &names);
    return names;
}

static void load_policy(struct snapshot *snapshot, const struct config *config, struct diag_list *diag)
{
    const struct policy_names names = snapshot_policy_names(config, snapshot->keys, snapshot->arena);

    if (config->policy.path != NULL)
        snapshot->policy = policy_load(config->policy.path, &names, diag, &config->policy.place);
}

/* Its own tests must pass, too, but its lints are for whoever works on it. */
static void load_shadow(struct snapshot *snapshot, const struct config *config, struct diag_list *diag)
{
    const struct policy_names names = snapshot_policy_names(config, snapshot->keys, snapshot->arena);

    if (config->shadow_policy.path != NULL)
        snapshot->shadow =
            policy_load(config->shadow_policy.path, &names, diag, &config->shadow_policy.place);
}

static void load_keys(struct snapshot *snapshot, const struct config *config, struct diag_list *diag)
{
    if (config->keys.path != NULL)
        snapshot->keys = keyring_load(config->keys.path, diag, &config->keys.place);
}

static void load_password_files(
    struct snapshot *snapshot, const struct config *config, struct diag_list *diag)
{
    uint64_t checks = config->limit_password_checks > 0 ? config->limit_password_checks : 1;

    snapshot->password_file_count = config->password_file_count;
    snapshot->password_files =
        arena_calloc(snapshot->arena, config->password_file_count + 1, sizeof(struct password_file *));
    for (size_t i = 0; i < config->password_file_count; i++)
        if (config->password_files[i].file.path != NULL)
            snapshot->password_files[i] = password_file_load(config->password_files[i].file.path,
                config->limit_password_memory / checks, diag, &config->password_files[i].file.place);
}

static void load_jwks(struct snapshot *snapshot, const struct config *config, struct diag_list *diag)
{
    snapshot->jwks_count = config->jwks_count;
    snapshot->jwks = arena_calloc(snapshot->arena, config->jwks_count + 1, sizeof(struct jwks *));
    for (size_t i = 0; i < config->jwks_count; i++)
        if (config->jwks[i].file.path != NULL)
            snapshot->jwks[i] = jwks_load(config->jwks[i].file.path, diag, &config->jwks[i].file.place);
}

/* As struct session_settings wants it. */
static const struct jwks *find_jwks(void *context, const char *name)
{
    const struct snapshot *snapshot = context;

    for (size_t i = 0; i < snapshot->jwks_count; i++)
        if (strcmp(snapshot->config->jwks[i].name, name) == 0)
            return snapshot->jwks[i];
    return NULL;
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
        .shadow = snapshot->shadow,
        .dialect = service->upstream->dialect,
        .listener = service->listener->name,
        .upstream = service->upstream->name,
        .broker_max_packet = (uint32_t)service->upstream->max_packet,
        .topic_alias_maximum = (uint16_t)service->listener->topic_alias_maximum,
        .max_filters = (uint32_t)config->limit_filters,
        .find_jwks = find_jwks,
        .jwks_context = snapshot,
        .keyring = snapshot->keys,
        .scan_sets = snapshot->scan_sets,
        .scan_inline = config->scan.inline_bytes,
        .options = {.refuse_control_characters = config->refuse_control_characters},
    };
}

static struct snapshot *load(const char *path, struct diag_list *diag, snapshot_check *check)
{
    struct arena *arena = arena_new();
    struct snapshot *snapshot = arena_alloc(arena, sizeof(*snapshot));
    const struct config *partial = NULL;

    snapshot->references = 1;
    snapshot->config_references = 1;
    snapshot->arena = arena;
    snapshot->config = config_load(path, arena, diag, &partial);
    if (partial != NULL) {                  /* even beside errors: one run reports those of all files */
        load_keys(snapshot, partial, diag); /* the policy names them */
        load_policy(snapshot, partial, diag);
        load_shadow(snapshot, partial, diag);
        service_rules_load(snapshot, partial, diag);
        load_password_files(snapshot, partial, diag);
        load_jwks(snapshot, partial, diag);
    }
    if (snapshot->config != NULL) {
        load_upstreams(snapshot, diag);
        if (snapshot->policy != NULL)
            service_rules_bind(snapshot, diag);
        snapshot->services = arena_calloc(arena, snapshot->config->listener_count, sizeof(struct service));
        for (size_t i = 0; i < snapshot->config->listener_count; i++)
            load_service(snapshot, i, diag);
    }
    if (snapshot->config != NULL && check != NULL)
        check(snapshot->config, diag);
    if (diag_errors(diag) == 0) {
        assert(snapshot->policy != NULL);
        return snapshot;
    }
    snapshot_release(snapshot);
    return NULL;
}

struct snapshot *snapshot_load(const char *path, struct diag_list *diag)
{
    return load(path, diag, NULL);
}

struct snapshot *snapshot_load_checked(const char *path, struct diag_list *diag, snapshot_check *check)
{
    return load(path, diag, check);
}

struct snapshot *snapshot_retain(struct snapshot *snapshot)
{
    atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);
    return snapshot;
}

void snapshot_attach(struct snapshot *snapshot, struct registry *registry)
{
    for (size_t i = 0; i < snapshot->config->listener_count; i++) {
        struct service *service = &snapshot->services[i];

        service->listener_scope = registry_scope(registry, "listener", service->listener->name);
        service->upstream_scope = registry_scope(registry, "upstream", service->upstream->name);
    }
}

struct service *snapshot_service(const struct snapshot *snapshot, const char *listener)
{
    for (size_t i = 0; i < snapshot->config->listener_count; i++)
        if (strcmp(snapshot->services[i].listener->name, listener) == 0)
            return &snapshot->services[i];
    return NULL;
}

/* ---- what only a restart changes ---- */

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_listeners(const struct snapshot *current, const struct snapshot *next)
{
    if (current->config->listener_count != next->config->listener_count)
        return false;
    for (size_t i = 0; i < current->config->listener_count; i++) {
        const struct config_listener *a = &current->config->listeners[i];
        const struct service *service = snapshot_service(next, a->name);

        if (service == NULL || !same_text(service->listener->address.text, a->address.text) ||
            (service->listener->tls == NULL) != (a->tls == NULL))
            return false;
    }
    return true;
}

static bool same_client_tls(const struct config_upstream_tls *a, const struct config_upstream_tls *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return same_text(a->ca == NULL ? NULL : a->ca->file.path, b->ca == NULL ? NULL : b->ca->file.path) &&
           same_text(a->server_name, b->server_name) && same_text(a->certificate.path, b->certificate.path) &&
           same_text(a->key.path, b->key.path) && a->verify == b->verify;
}

static bool same_access(const struct config_redis_access *a, const struct config_redis_access *b)
{
    return same_text(a->username, b->username) && same_text(a->password_file.path, b->password_file.path) &&
           same_client_tls(a->tls, b->tls);
}

static bool same_addresses(const struct config_addresses *a, const struct config_addresses *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!same_text(a->items[i].text, b->items[i].text))
            return false;
    return true;
}

static bool same_sentinel(const struct config_redis_sentinel *a, const struct config_redis_sentinel *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    return same_addresses(&a->addresses, &b->addresses) && same_text(a->master, b->master) &&
           same_access(&a->access, &b->access);
}

static bool same_redis(const struct config_redis_server *a, const struct config_redis_server *b)
{
    return same_text(a->address.text, b->address.text) && same_sentinel(a->sentinel, b->sentinel) &&
           same_addresses(&a->cluster, &b->cluster) && a->database == b->database &&
           a->timeout_ms == b->timeout_ms && same_access(&a->access, &b->access);
}

static bool same_replay(const struct config_replay *a, const struct config_replay *b)
{
    if (a->nonces != b->nonces || a->per_signer != b->per_signer || a->signers != b->signers)
        return false;
    if (a->redis == NULL || b->redis == NULL)
        return a->redis == b->redis;
    return same_redis(&a->redis->server, &b->redis->server) && same_text(a->redis->prefix, b->redis->prefix);
}

static bool same_quarantine(const struct config_quarantine *a, const struct config_quarantine *b)
{
    return same_text(a->directory.path, b->directory.path) && a->max_bytes == b->max_bytes &&
           a->max_files == b->max_files;
}

/* The same words; and the files behind the names in them. */
static bool same_audit(const struct config_audit *a, const struct config_audit *b)
{
    if (!same_text(a->text, b->text) || !same_text(a->directory.path, b->directory.path))
        return false;
    for (size_t i = 0; i < a->sink_count; i++)
        if (!same_client_tls(a->sinks[i].tls, b->sinks[i].tls))
            return false;
    return true;
}

const char *snapshot_fixed_difference(const struct snapshot *current, const struct snapshot *next)
{
    if (current->config->workers != next->config->workers)
        return "workers";
    if (!same_listeners(current, next))
        return "listeners";
    if (!same_text(current->config->control_socket.path, next->config->control_socket.path))
        return "control";
    if (!same_text(current->config->admin.listen.text, next->config->admin.listen.text) ||
        current->config->admin.remote != next->config->admin.remote)
        return "admin";
    if (current->config->limit_password_checks != next->config->limit_password_checks)
        return "limits.password_checks";
    if (!same_replay(&current->config->replay, &next->config->replay))
        return "replay";
    if (current->config->scan.threads != next->config->scan.threads)
        return "scan.threads";
    if (current->config->scan.wait_ms != next->config->scan.wait_ms)
        return "scan.wait";
    if (!same_quarantine(&current->config->scan.quarantine, &next->config->scan.quarantine))
        return "scan.quarantine";
    return same_audit(&current->config->audit, &next->config->audit) ? NULL : "audit";
}

struct snapshot *snapshot_retain_config(struct snapshot *snapshot)
{
    atomic_fetch_add_explicit(&snapshot->config_references, 1, memory_order_relaxed);
    return snapshot;
}

void snapshot_release_config(struct snapshot *snapshot)
{
    if (atomic_fetch_sub_explicit(&snapshot->config_references, 1, memory_order_acq_rel) == 1)
        arena_free(snapshot->arena);
}

void snapshot_release(struct snapshot *snapshot)
{
    if (snapshot == NULL || atomic_fetch_sub_explicit(&snapshot->references, 1, memory_order_acq_rel) > 1)
        return;
    if (snapshot->config != NULL) {
        for (size_t i = 0; i < snapshot->config->listener_count; i++)
            tls_server_free(snapshot->services[i].tls);
        for (size_t i = 0; i < snapshot->config->upstream_count; i++)
            tls_client_free(snapshot->upstream_tls[i]);
    }
    for (size_t i = 0; i < snapshot->password_file_count; i++)
        password_file_free(snapshot->password_files[i]);
    for (size_t i = 0; i < snapshot->jwks_count; i++)
        jwks_free(snapshot->jwks[i]);
    snapshot_give_slots(snapshot);
    policy_release(snapshot->policy);
    policy_release(snapshot->shadow);
    keyring_release(snapshot->keys);
    scan_rules_release(snapshot->scan_rules);
    snapshot_release_config(snapshot);
}

bool snapshot_is_last(const struct snapshot *snapshot)
{
    return atomic_load_explicit(&snapshot->references, memory_order_acquire) == 1 &&
           (snapshot->scan_rules == NULL || scan_rules_is_last(snapshot->scan_rules));
}

static const struct password_file *find_password_file(const struct snapshot *snapshot, const char *name)
{
    const struct config *config = snapshot->config;

    for (size_t i = 0; i < config->password_file_count; i++)
        if (strcmp(config->password_files[i].name, name) == 0)
            return snapshot->password_files[i];
    assert(false && "the policy names a password file that the configuration does not have");
    return NULL;
}

enum reason snapshot_check_password(
    const struct snapshot *snapshot, const char *file, struct view name, struct view password)
{
    const struct password_file *found = find_password_file(snapshot, file);

    return found == NULL ? REASON_internal_error : password_file_verify(found, name, password);
}

uint64_t snapshot_password_tag(const struct snapshot *snapshot, const char *file, struct view name)
{
    const struct password_file *found = find_password_file(snapshot, file);

    return found == NULL ? 0 : password_file_tag(found, name);
}
