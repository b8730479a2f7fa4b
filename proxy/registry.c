/* SPDX-License-Identifier: Apache-2.0 */
/* The registry: two hash tables under one lock. Called by conn.c at accept, CONNECT and close. */
#include "proxy/registry.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"

/* A counted key: an address, an identity, or a client id. */
struct entry {
    struct entry *next;
    uint64_t hash;
    const void *scope;
    uint64_t count;
    char *owner;                       /* of a client id: the identity that holds it */
    struct registry_session *sessions; /* of a client id: that claimed it, the newest first */
    size_t owner_length;
    size_t length;
    uint8_t key[];
};

struct table {
    struct entry **buckets;
    size_t mask; /* number of buckets - 1 */
    size_t used;
};

struct registry {
    pthread_mutex_t lock;
    struct table addresses, identities, client_ids;
    struct registry_scope *scopes;
};

struct registry_session {
    struct entry *identity;
    struct entry *client_id;                /* NULL: the broker's choice */
    struct registry_session *newer, *older; /* with the same client id */
};

static void table_grow(struct table *table)
{
    size_t size = table->buckets == NULL ? 64 : 2 * (table->mask + 1);
    struct entry **buckets = memory_calloc(size, sizeof(*buckets));

    for (size_t i = 0; table->buckets != NULL && i <= table->mask; i++)
        for (struct entry *entry = table->buckets[i], *next; entry != NULL; entry = next) {
            next = entry->next;
            entry->next = buckets[entry->hash & (size - 1)];
            buckets[entry->hash & (size - 1)] = entry;
        }
    free(table->buckets);
    table->buckets = buckets;
    table->mask = size - 1;
}

static uint64_t key_hash(const void *scope, struct view key)
{
    return hash_bytes(key) ^ (uint64_t)(uintptr_t)scope * UINT64_C(0x9E3779B97F4A7C15);
}

static struct entry *table_find(const struct table *table, const void *scope, struct view key)
{
    uint64_t hash = key_hash(scope, key);

    if (table->buckets == NULL)
        return NULL;
    for (struct entry *entry = table->buckets[hash & table->mask]; entry != NULL; entry = entry->next)
        if (entry->hash == hash && entry->scope == scope &&
            view_equal(view_of(entry->key, entry->length), key))
            return entry;
    return NULL;
}

static struct entry *table_add(struct table *table, const void *scope, struct view key)
{
    struct entry *entry = memory_calloc(1, sizeof(*entry) + key.length);
    struct entry **bucket;

    if (table->buckets == NULL || table->used > table->mask)
        table_grow(table);
    entry->hash = key_hash(scope, key);
    entry->scope = scope;
    entry->length = key.length;
    if (key.length > 0)
        memcpy(entry->key, key.data, key.length);
    bucket = &table->buckets[entry->hash & table->mask];
    entry->next = *bucket;
    *bucket = entry;
    table->used++;
    return entry;
}

/* Counts down, and forgets at zero. */
static void table_drop(struct table *table, struct entry *entry)
{
    struct entry **at = &table->buckets[entry->hash & table->mask];

    assert(entry->count > 0);
    if (--entry->count > 0)
        return;
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    table->used--;
    free(entry->owner);
    free(entry);
}

static void table_free(struct table *table)
{
    for (size_t i = 0; table->buckets != NULL && i <= table->mask; i++)
        for (struct entry *entry = table->buckets[i], *next; entry != NULL; entry = next) {
            next = entry->next;
            free(entry->owner);
            free(entry);
        }
    free(table->buckets);
}

struct registry *registry_new(void)
{
    struct registry *registry = memory_calloc(1, sizeof(*registry));

    pthread_mutex_init(&registry->lock, NULL);
    return registry;
}

void registry_free(struct registry *registry)
{
    if (registry == NULL)
        return;
    table_free(&registry->addresses);
    table_free(&registry->identities);
    table_free(&registry->client_ids);
    while (registry->scopes != NULL) {
        struct registry_scope *next = registry->scopes->next;

        free(registry->scopes);
        registry->scopes = next;
    }
    pthread_mutex_destroy(&registry->lock);
    free(registry);
}

static struct registry_scope *scope_locked(struct registry *registry, const char *kind, const char *name)
{
    size_t length = strlen(kind) + 1 + strlen(name);
    struct registry_scope *scope = memory_calloc(1, sizeof(*scope) + length + 1);

    snprintf(scope->key, length + 1, "%s:%s", kind, name);
    for (struct registry_scope *known = registry->scopes; known != NULL; known = known->next)
        if (strcmp(known->key, scope->key) == 0) {
            free(scope);
            return known;
        }
    scope->next = registry->scopes;
    registry->scopes = scope;
    return scope;
}

struct registry_scope *registry_scope(struct registry *registry, const char *kind, const char *name)
{
    struct registry_scope *scope;

    pthread_mutex_lock(&registry->lock);
    scope = scope_locked(registry, kind, name);
    pthread_mutex_unlock(&registry->lock);
    return scope;
}

bool registry_address_add(struct registry *registry, const void *scope, struct view address, uint64_t limit)
{
    struct entry *entry;
    bool added = false;

    pthread_mutex_lock(&registry->lock);
    entry = table_find(&registry->addresses, scope, address);
    if (entry == NULL)
        entry = table_add(&registry->addresses, scope, address);
    if (limit == 0 || entry->count < limit) {
        entry->count++;
        added = true;
    }
    pthread_mutex_unlock(&registry->lock);
    return added;
}

void registry_address_remove(struct registry *registry, const void *scope, struct view address)
{
    struct entry *entry;

    pthread_mutex_lock(&registry->lock);
    entry = table_find(&registry->addresses, scope, address);
    assert(entry != NULL);
    table_drop(&registry->addresses, entry);
    pthread_mutex_unlock(&registry->lock);
}

/* Who holds what a session asks for; NULL: nobody. */
struct holders {
    struct entry *identity;
    struct entry *client_id;
};

static enum reason check_locked(const struct registry *registry, const void *scope, struct view identity,
    struct view client_id, uint64_t limit, struct holders *holders)
{
    struct entry *holder = table_find(&registry->identities, NULL, identity);
    struct entry *id = client_id.length == 0 ? NULL : table_find(&registry->client_ids, scope, client_id);

    *holders = (struct holders){holder, id};
    if (id != NULL && !view_equal(view_of(id->owner, id->owner_length), identity))
        return REASON_client_id_in_use;
    /* A takeover replaces a session and does not count as one more. */
    if (id == NULL && limit != 0 && holder != NULL && holder->count >= limit)
        return REASON_sessions_exceeded;
    return REASON_none;
}

enum reason registry_session_check(
    struct registry *registry, const void *scope, struct view identity, struct view client_id, uint64_t limit)
{
    struct holders holders;
    enum reason reason;

    pthread_mutex_lock(&registry->lock);
    reason = check_locked(registry, scope, identity, client_id, limit, &holders);
    pthread_mutex_unlock(&registry->lock);
    return reason;
}

static enum reason claim_locked(struct registry *registry, const void *scope, struct view identity,
    struct view client_id, uint64_t limit, struct registry_session *claim)
{
    struct holders holders;
    enum reason reason = check_locked(registry, scope, identity, client_id, limit, &holders);
    struct entry *holder = holders.identity, *id = holders.client_id;

    if (reason != REASON_none)
        return reason;
    if (client_id.length != 0 && id == NULL) {
        id = table_add(&registry->client_ids, scope, client_id);
        id->owner = memory_copy_string(identity);
        id->owner_length = identity.length;
    }
    if (id == NULL || id->count == 0) {
        if (holder == NULL)
            holder = table_add(&registry->identities, NULL, identity);
        holder->count++;
    }
    if (id != NULL) {
        id->count++;
        claim->older = id->sessions;
        if (id->sessions != NULL)
            id->sessions->newer = claim;
        id->sessions = claim;
    }
    claim->identity = holder;
    claim->client_id = id;
    return REASON_none;
}

static void release_locked(struct registry *registry, struct registry_session *session)
{
    struct entry *id = session->client_id;

    /* The identity's session ends with the last connection that holds its client id. */
    if (id == NULL || id->count == 1)
        table_drop(&registry->identities, session->identity);
    if (id == NULL)
        return;
    if (session->newer != NULL)
        session->newer->older = session->older;
    else
        id->sessions = session->older;
    if (session->older != NULL)
        session->older->newer = session->newer;
    table_drop(&registry->client_ids, id);
}

enum reason registry_session_claim(struct registry *registry, const void *scope, struct view identity,
    struct view client_id, uint64_t limit, struct registry_session **session)
{
    struct registry_session *claim = memory_calloc(1, sizeof(*claim)), *before = *session;
    enum reason reason;

    pthread_mutex_lock(&registry->lock);
    if (before != NULL)
        release_locked(registry, before);
    reason = claim_locked(registry, scope, identity, client_id, limit, claim);
    pthread_mutex_unlock(&registry->lock);
    free(before);
    if (reason != REASON_none) {
        free(claim);
        claim = NULL;
    }
    *session = claim;
    return reason;
}

void registry_session_release(struct registry *registry, struct registry_session *session)
{
    if (session == NULL)
        return;
    pthread_mutex_lock(&registry->lock);
    release_locked(registry, session);
    pthread_mutex_unlock(&registry->lock);
    free(session);
}

bool registry_session_taken_over(struct registry *registry, const struct registry_session *session)
{
    bool taken_over;

    if (session == NULL)
        return false;
    pthread_mutex_lock(&registry->lock);
    taken_over = session->newer != NULL;
    pthread_mutex_unlock(&registry->lock);
    return taken_over;
}
