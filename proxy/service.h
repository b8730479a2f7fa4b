/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot: everything that was read from files, checked and made ready, immutable while connections use
 * it. 'mqward check' builds one and throws it away; 'mqward run' serves from it. */
#ifndef MQWARD_PROXY_SERVICE_H
#define MQWARD_PROXY_SERVICE_H

#include <stdatomic.h>

#include "policy/password.h"
#include "policy/policy.h"
#include "proxy/config.h"
#include "proxy/session/session.h"
#include "proxy/tls.h"

/* A listener and what its connections need. */
struct service {
    const struct config_listener *listener;
    const struct config_upstream *upstream;
    struct tls_server *tls;          /* NULL: plaintext */
    struct tls_client *upstream_tls; /* NULL: plain */
    struct session_settings session;
    _Atomic uint64_t connections; /* open now, all workers */
};

struct snapshot {
    struct arena *arena;
    struct config *config;
    struct policy *policy;
    struct password_file **password_files; /* as config->password_files */
    size_t password_file_count;
    struct tls_client **upstream_tls; /* as config->upstreams; NULL where plain */
    struct service *services;         /* as config->listeners */
};

/* Reads mqward.yaml and all that it names. Errors and warnings go to diag; NULL if there was an error. */
struct snapshot *snapshot_load(const char *path, struct diag_list *diag);
void snapshot_free(struct snapshot *snapshot); /* NULL is fine */

/* As struct session_hooks wants it. */
enum reason snapshot_check_password(
    const struct snapshot *snapshot, const char *file, struct view name, struct view password);

#endif
