/* SPDX-License-Identifier: Apache-2.0 */
/* Who is connected, across all workers: connections per address, sessions per identity, and which identity
 * holds a client id. Thread-safe; touched when connections come and go, never per packet. */
#ifndef MQWARD_PROXY_REGISTRY_H
#define MQWARD_PROXY_REGISTRY_H

#include <stdatomic.h>

#include "base/reason.h"
#include "base/view.h"

struct registry;
struct registry_session;

/* What counts belong to: a listener or an upstream, by its name, whichever configuration is in force. */
struct registry_scope {
    struct registry_scope *next;
    _Atomic uint64_t connections; /* of a listener: open now, all workers */
    /* For metrics: of a listener those that were let in, of an upstream what became of those to it. */
    _Atomic uint64_t accepted, reached, unreached;
    _Atomic int last; /* of an upstream: 1 reached, -1 unreached, 0 not tried yet */
    char key[];       /* "listener:<name>", "upstream:<name>" */
};

struct registry *registry_new(void);
void registry_free(struct registry *registry);

/* The scope of that kind and name; made if it is new, and kept as long as the registry. */
struct registry_scope *registry_scope(struct registry *registry, const char *kind, const char *name);

/* Counts a connection of this address under scope (the listener). False: limit (0 = none) is reached, nothing
 * counted. */
bool registry_address_add(struct registry *registry, const void *scope, struct view address, uint64_t limit);
void registry_address_remove(struct registry *registry, const void *scope, struct view address);

/* Claims a session, in place of the one that *session holds (NULL: none), which is released in any case.
 * scope: the upstream, since client ids are a broker's. client_id empty: one that the broker will choose. The
 * same identity may hold the same client id twice for a while: a takeover. limit: sessions of the identity, 0
 * = any number. REASON_none and the claim in *session, or REASON_sessions_exceeded, REASON_client_id_in_use.
 */
enum reason registry_session_claim(struct registry *registry, const void *scope, struct view identity,
    struct view client_id, uint64_t limit, struct registry_session **session);
/* A later claim for the same client id is there: the broker ends this session for that one. */
bool registry_session_taken_over(struct registry *registry, const struct registry_session *session);
/* What registry_session_claim() would say now; claims nothing. */
enum reason registry_session_check(struct registry *registry, const void *scope, struct view identity,
    struct view client_id, uint64_t limit);
void registry_session_release(struct registry *registry, struct registry_session *session); /* NULL is fine */

#endif
