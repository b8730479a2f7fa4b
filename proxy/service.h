/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot: everything that was read from files, checked and made ready, immutable while connections use
 * it. 'mqward check' builds one and throws it away; 'mqward run' serves from it. */
#ifndef MQWARD_PROXY_SERVICE_H
#define MQWARD_PROXY_SERVICE_H

#include <stdatomic.h>

#include "policy/jwks.h"
#include "policy/keyring.h"
#include "policy/password.h"
#include "policy/policy.h"
#include "proxy/config.h"
#include "proxy/registry.h"
#include "proxy/session/session.h"
#include "proxy/tls.h"
#include "rules/scan.h"

/* A listener and what its connections need. */
struct service {
    const struct config_listener *listener;
    const struct config_upstream *upstream;
    struct tls_server *tls;          /* NULL: plaintext */
    struct tls_client *upstream_tls; /* NULL: plain */
    struct session_settings session;
    /* Set by snapshot_attach(): what is counted, whichever snapshot is in force. */
    struct registry_scope *listener_scope, *upstream_scope;
};

struct snapshot {
    _Atomic size_t references;
    _Atomic size_t config_references; /* one of them for all the references above */
    struct arena *arena;
    struct config *config;
    struct policy *policy;
    struct policy *shadow; /* decides beside it, and nothing comes of that but events; NULL: none */
    struct password_file **password_files; /* as config->password_files */
    size_t password_file_count;
    struct keyring *keys;          /* NULL: the configuration names none */
    struct scan_rules *scan_rules; /* NULL: the configuration names none */
    uint64_t *scan_sets;           /* for each check of the policy, the rule sets that it asks, as bits */
    struct jwks **jwks;            /* as config->jwks */
    size_t jwks_count;
    struct tls_client **upstream_tls;     /* as config->upstreams; NULL where plain */
    struct service *services;             /* as config->listeners */
    struct slots *rule_slots, *set_slots; /* of which it has some; NULL: it does not count */
    _Atomic uint16_t *taken_rules;        /* as struct session_slots, for the main thread */
    struct session_set_slot *taken_sets;
    bool has_all_slots; /* that it is ever to have */
    struct session_slots slots;
};

/* Reads mqward.yaml and all that it names. Errors and warnings go to diag; NULL if there was an error. The
 * result has one reference. */
struct snapshot *snapshot_load(const char *path, struct diag_list *diag);
/* The same, with one more look at the configuration, whose findings are among the others. It is called if
 * mqward.yaml itself has no errors, whatever else has. */
typedef void snapshot_check(const struct config *config, struct diag_list *diag);
struct snapshot *snapshot_load_checked(const char *path, struct diag_list *diag, snapshot_check *check);
struct snapshot *snapshot_retain(struct snapshot *snapshot);
void snapshot_release(struct snapshot *snapshot); /* NULL is fine */
/* The caller's reference is the only one, also of its rules (scanners hold theirs). */
bool snapshot_is_last(const struct snapshot *snapshot);
/* For whoever needs its configuration for longer than it is in force: policy, keys, passwords and TLS
 * contexts are freed (secrets wiped) with the last reference, the configuration's texts stay until this one
 * goes, too. */
struct snapshot *snapshot_retain_config(struct snapshot *snapshot);
void snapshot_release_config(struct snapshot *snapshot);
/* Before the first connection: where its services count. */
void snapshot_attach(struct snapshot *snapshot, struct registry *registry);
/* service_slots.c, before the first connection: where what its rules, checks and rule sets do is counted,
 * until it is freed. On the main thread, as is its last snapshot_release(). rules and sets outlive it. */
void snapshot_take_slots(struct snapshot *snapshot, struct slots *rules, struct slots *sets);
/* Then, whenever a former one was freed: what found no room because of that has it now. */
void snapshot_retake_slots(struct snapshot *snapshot);
void snapshot_give_slots(struct snapshot *snapshot); /* for snapshot_release() */
/* The service of the listener with that name; NULL: it has none. */
struct service *snapshot_service(const struct snapshot *snapshot, const char *listener);
/* What of next can't replace the same of current while the process runs: the key of mqward.yaml; NULL:
 * nothing. */
const char *snapshot_fixed_difference(const struct snapshot *current, const struct snapshot *next);

/* The names of mqward.yaml, and of the keys.yaml that it names, that its policy may refer to, in the arena.
 * keys: what was loaded; NULL: nothing, so that keys.yaml is looked into for its names alone. */
struct policy_names snapshot_policy_names(
    const struct config *config, const struct keyring *keys, struct arena *arena);

/* As struct session_hooks wants them. */
uint64_t snapshot_password_tag(const struct snapshot *snapshot, const char *file, struct view name);
enum reason snapshot_check_password(
    const struct snapshot *snapshot, const char *file, struct view name, struct view password);

#endif
