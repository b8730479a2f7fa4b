/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the buckets: a hash table in shards, each with a lock, and the sets that point into it. Called by
 * conn_rates.c. */
#include "proxy/rates.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/buffer.h"
#include "base/hash.h"
#include "base/memory.h"

#define SHARDS 16 /* a power of two */
/* Each touch of a shard looks at so many buckets that nobody holds, and forgets those that are full again. */
#define SWEEP 4
/* One that must go is chosen among so many. */
#define CHOICE 8

/* Addresses are an attacker's to choose; they never displace what others have. */
enum rate_kind { RATE_ADDRESS, RATE_OTHER, RATE_KINDS };

struct rate_entry {
    struct rate_bucket bucket;
    struct rate_limit limit;          /* of the policy that took hold last */
    struct rate_entry *next;          /* in its chain */
    struct rate_entry *older, *newer; /* nobody holds them */
    uint64_t hash;
    uint32_t holders;
    enum rate_kind kind;
    size_t length;
    uint8_t key[];
};

struct idle_list {
    struct rate_entry *oldest, *newest;
    size_t bytes;
};

struct shard {
    pthread_mutex_t lock;
    struct rate_entry **chains;
    size_t mask; /* number of chains - 1 */
    size_t used;
    struct idle_list idle[RATE_KINDS];
};

struct rates {
    size_t idle_bytes; /* of a shard and kind */
    struct shard shards[SHARDS];
};

/* A bucket that a session holds. */
struct holding {
    struct rate_entry *entry;
    struct rate_limit limit;
    enum session_counted counted;
    uint8_t check;
    bool bytes; /* each message takes its payload, not one */
};

struct rate_set {
    uint64_t monitored; /* checks that only report */
    uint64_t checks[SESSION_MESSAGE + 1];
    uint32_t first[POLICY_CHECKS_MAXIMUM + 1]; /* holding of each check */
    size_t count, capacity;
    struct holding *holdings; /* by check */
};

/* ---- the table ---- */

struct rates *rates_new(size_t idle_bytes)
{
    struct rates *rates = memory_calloc(1, sizeof(*rates));

    rates->idle_bytes = idle_bytes / SHARDS;
    for (size_t i = 0; i < SHARDS; i++)
        pthread_mutex_init(&rates->shards[i].lock, NULL);
    return rates;
}

static void free_shard(struct shard *shard)
{
    for (size_t i = 0; shard->chains != NULL && i <= shard->mask; i++)
        for (struct rate_entry *entry = shard->chains[i], *next; entry != NULL; entry = next) {
            assert(entry->holders == 0);
            next = entry->next;
            free(entry);
        }
    free(shard->chains);
    pthread_mutex_destroy(&shard->lock);
}

void rates_free(struct rates *rates)
{
    if (rates == NULL)
        return;
    for (size_t i = 0; i < SHARDS; i++)
        free_shard(&rates->shards[i]);
    free(rates);
}

size_t rates_buckets(struct rates *rates)
{
    size_t count = 0;

    for (size_t i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&rates->shards[i].lock);
        count += rates->shards[i].used;
        pthread_mutex_unlock(&rates->shards[i].lock);
    }
    return count;
}

static struct shard *shard_of(struct rates *rates, uint64_t hash)
{
    return &rates->shards[(hash >> 56) % SHARDS];
}

static void grow(struct shard *shard)
{
    size_t size = shard->chains == NULL ? 64 : 2 * (shard->mask + 1);
    struct rate_entry **chains = memory_calloc(size, sizeof(struct rate_entry *));

    for (size_t i = 0; shard->chains != NULL && i <= shard->mask; i++)
        for (struct rate_entry *entry = shard->chains[i], *next; entry != NULL; entry = next) {
            next = entry->next;
            entry->next = chains[entry->hash & (size - 1)];
            chains[entry->hash & (size - 1)] = entry;
        }
    free(shard->chains);
    shard->chains = chains;
    shard->mask = size - 1;
}

static struct rate_entry *find(const struct shard *shard, uint64_t hash, struct view key)
{
    if (shard->chains == NULL)
        return NULL;
    for (struct rate_entry *entry = shard->chains[hash & shard->mask]; entry != NULL; entry = entry->next)
        if (entry->hash == hash && view_equal(view_of(entry->key, entry->length), key))
            return entry;
    return NULL;
}

static struct rate_entry *add(struct shard *shard, uint64_t hash, struct view key, enum rate_kind kind)
{
    struct rate_entry *entry = memory_calloc(1, sizeof(*entry) + key.length);
    struct rate_entry **chain;

    if (shard->chains == NULL || shard->used > shard->mask)
        grow(shard);
    entry->hash = hash;
    entry->kind = kind;
    entry->length = key.length;
    memcpy(entry->key, key.data, key.length);
    chain = &shard->chains[hash & shard->mask];
    entry->next = *chain;
    *chain = entry;
    shard->used++;
    return entry;
}

static void forget(struct shard *shard, struct rate_entry *entry)
{
    struct rate_entry **at = &shard->chains[entry->hash & shard->mask];

    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    shard->used--;
    free(entry);
}

/* ---- buckets that nobody holds ---- */

static void idle_add(struct shard *shard, struct rate_entry *entry)
{
    struct idle_list *idle = &shard->idle[entry->kind];

    entry->newer = NULL;
    entry->older = idle->newest;
    if (idle->newest != NULL)
        idle->newest->newer = entry;
    else
        idle->oldest = entry;
    idle->newest = entry;
    idle->bytes += sizeof(*entry) + entry->length;
}

static void idle_remove(struct shard *shard, struct rate_entry *entry)
{
    struct idle_list *idle = &shard->idle[entry->kind];

    if (entry->older != NULL)
        entry->older->newer = entry->newer;
    else
        idle->oldest = entry->newer;
    if (entry->newer != NULL)
        entry->newer->older = entry->older;
    else
        idle->newest = entry->older;
    idle->bytes -= sizeof(*entry) + entry->length;
}

/* Full ones are forgotten, others go to the end of the list. */
static void sweep(struct shard *shard, enum rate_kind kind, uint64_t now_ns)
{
    struct idle_list *idle = &shard->idle[kind];

    for (int i = 0; i < SWEEP && idle->oldest != NULL; i++) {
        struct rate_entry *entry = idle->oldest;

        idle_remove(shard, entry);
        if (rate_is_full(&entry->bucket, now_ns))
            forget(shard, entry);
        else
            idle_add(shard, entry);
    }
}

static void make_room(struct shard *shard, enum rate_kind kind, size_t idle_bytes)
{
    struct idle_list *idle = &shard->idle[kind];

    while (idle->bytes > idle_bytes) {
        struct rate_entry *fullest = idle->oldest, *entry = fullest;

        for (int i = 0; i < CHOICE && entry != NULL; i++, entry = entry->newer)
            if (rate_is_full(
                    &entry->bucket, atomic_load_explicit(&fullest->bucket.full_ns, memory_order_relaxed)))
                fullest = entry;
        idle_remove(shard, fullest);
        forget(shard, fullest);
    }
}

/* ---- taking hold ---- */

static struct rate_entry *acquire(struct rates *rates, enum rate_kind kind, struct view key,
    const struct rate_limit *limit, uint64_t now_ns)
{
    uint64_t hash = hash_bytes(key);
    struct shard *shard = shard_of(rates, hash);
    struct rate_entry *entry;

    pthread_mutex_lock(&shard->lock);
    entry = find(shard, hash, key);
    if (entry == NULL)
        entry = add(shard, hash, key, kind);
    else if (entry->holders == 0)
        idle_remove(shard, entry);
    entry->holders++;
    if (entry->limit.interval != limit->interval || entry->limit.tolerance_ns != limit->tolerance_ns)
        rate_change_limit(&entry->bucket, limit, now_ns);
    entry->limit = *limit;
    sweep(shard, kind, now_ns);
    pthread_mutex_unlock(&shard->lock);
    return entry;
}

static void release(struct rates *rates, struct rate_entry *entry, uint64_t now_ns)
{
    struct shard *shard = shard_of(rates, entry->hash);
    enum rate_kind kind = entry->kind;

    pthread_mutex_lock(&shard->lock);
    assert(entry->holders > 0);
    if (--entry->holders == 0) {
        if (rate_is_full(&entry->bucket, now_ns))
            forget(shard, entry);
        else
            idle_add(shard, entry);
    }
    sweep(shard, kind, now_ns);
    make_room(shard, kind, rates->idle_bytes);
    pthread_mutex_unlock(&shard->lock);
}

/* What a set is made with. */
struct holder {
    struct rates *rates;
    const struct policy *policy;
    const struct policy_subject *subject;
    struct view site; /* of the address */
    uint64_t now_ns;
    struct rate_set *set;
    struct buffer key;
};

/* value: the identity, address or group that shares the bucket. */
static void hold_bucket(struct holder *holder, size_t index, enum policy_counted what, struct view value)
{
    const struct policy_check_info *check = policy_check(holder->policy, index);
    struct rate_set *set = holder->set;
    bool arrival = check->per == POLICY_PER_ADDRESS;
    enum session_counted counted = what != POLICY_CONNECTS ? SESSION_MESSAGE
                                   : arrival               ? SESSION_ARRIVAL
                                                           : SESSION_ENTRY;

    buffer_clear(&holder->key);
    buffer_append(&holder->key, view_of_string(check->info.name));
    buffer_append_byte(&holder->key, 0); /* no name has one */
    buffer_append_byte(&holder->key, (uint8_t)check->per);
    buffer_append_byte(&holder->key, (uint8_t)what);
    buffer_append(&holder->key, value);
    if (set->count == set->capacity) {
        set->capacity = set->capacity == 0 ? 4 : 2 * set->capacity;
        set->holdings = memory_realloc(set->holdings, set->capacity, sizeof(*set->holdings));
    }
    set->holdings[set->count++] = (struct holding){
        .entry = acquire(holder->rates, arrival ? RATE_ADDRESS : RATE_OTHER, buffer_view(&holder->key),
            &check->limits[what], holder->now_ns),
        .limit = check->limits[what],
        .counted = counted,
        .check = (uint8_t)index,
        .bytes = what == POLICY_BYTES,
    };
    set->checks[counted] |= UINT64_C(1) << index;
}

/* The buckets of one thing that a check counts. */
static void hold_counted(struct holder *holder, size_t index, enum policy_counted what)
{
    enum policy_per per = policy_check(holder->policy, index)->per;
    const char *group;
    size_t next = 0;

    if (per == POLICY_PER_ADDRESS) {
        hold_bucket(holder, index, what, holder->site);
    } else if (per == POLICY_PER_ID) {
        hold_bucket(holder, index, what, policy_subject_id(holder->subject));
    } else {
        while ((group = policy_check_next_group(holder->policy, index, holder->subject, &next)) != NULL)
            hold_bucket(holder, index, what, view_of_string(group));
    }
}

static void hold_check(struct holder *holder, size_t index)
{
    const struct policy_check_info *check = policy_check(holder->policy, index);

    for (int what = 0; what < POLICY_COUNTED; what++) {
        bool arrival = what == POLICY_CONNECTS && check->per == POLICY_PER_ADDRESS;

        if (check->counts[what] && arrival == (holder->subject == NULL))
            hold_counted(holder, index, (enum policy_counted)what);
    }
}

void rates_hold(struct rates *rates, const struct policy *policy, const struct policy_subject *subject,
    struct view address, uint64_t now_ns, struct rate_set **set)
{
    struct rate_set *before = *set;
    char site[ADDRESS_SITE_SIZE];
    struct holder holder = {rates, policy, subject, {0}, now_ns, memory_calloc(1, sizeof(**set)), {0}};
    size_t checks = policy_check_count(policy);

    holder.site = address_site(address, site) ? view_of_string(site) : address;
    for (size_t i = 0; i < checks; i++) {
        holder.set->first[i] = (uint32_t)holder.set->count;
        if (policy_check(policy, i)->monitor)
            holder.set->monitored |= UINT64_C(1) << i;
        if (subject == NULL || policy_check_applies(policy, i, subject))
            hold_check(&holder, i);
    }
    for (size_t i = checks; i <= POLICY_CHECKS_MAXIMUM; i++)
        holder.set->first[i] = (uint32_t)holder.set->count;
    buffer_release(&holder.key);
    *set = holder.set;
    rates_drop(rates, before, now_ns); /* now that what stays is held twice */
}

void rates_drop(struct rates *rates, struct rate_set *set, uint64_t now_ns)
{
    if (set == NULL)
        return;
    for (size_t i = 0; i < set->count; i++)
        release(rates, set->holdings[i].entry, now_ns);
    free(set->holdings);
    free(set);
}

/* ---- counting ---- */

static uint64_t amount_of(const struct holding *holding, uint64_t bytes)
{
    return holding->bytes ? bytes : 1;
}

/* Gives back what the holdings from one to another had taken. */
static void give_back(const struct rate_set *set, enum session_counted counted, uint64_t checks,
    uint32_t first, uint32_t end, uint64_t bytes)
{
    for (uint32_t i = first; i < end; i++) {
        const struct holding *holding = &set->holdings[i];

        if (holding->counted == counted && (checks >> holding->check & 1) != 0)
            rate_give_back(&holding->entry->bucket, &holding->limit, amount_of(holding, bytes));
    }
}

/* All of a check's buckets, or none. */
static bool take(
    const struct rate_set *set, enum session_counted counted, size_t check, uint64_t bytes, uint64_t now_ns)
{
    for (uint32_t i = set->first[check]; i < set->first[check + 1]; i++) {
        const struct holding *holding = &set->holdings[i];

        if (holding->counted != counted ||
            rate_take(&holding->entry->bucket, &holding->limit, amount_of(holding, bytes), now_ns))
            continue;
        give_back(set, counted, UINT64_C(1) << check, set->first[check], i, bytes);
        return false;
    }
    return true;
}

struct session_rates rates_count(const struct rate_set *set, enum session_counted counted, uint64_t checks,
    uint64_t bytes, uint64_t now_ns)
{
    struct session_rates answer = {0};
    uint64_t enforced, monitored;

    if (set == NULL)
        return answer;
    checks &= set->checks[counted];
    enforced = checks & ~set->monitored;
    monitored = checks & set->monitored;
    for (uint64_t rest = enforced; rest != 0; rest &= rest - 1) {
        size_t check = (size_t)__builtin_ctzll(rest);

        if (take(set, counted, check, bytes, now_ns))
            continue;
        give_back(set, counted, enforced, 0, set->first[check], bytes);
        answer.refused = UINT64_C(1) << check;
        return answer;
    }
    for (uint64_t rest = monitored; rest != 0; rest &= rest - 1)
        if (!take(set, counted, (size_t)__builtin_ctzll(rest), bytes, now_ns))
            answer.monitored |= rest & -rest;
    return answer;
}
