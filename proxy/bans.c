/* SPDX-License-Identifier: Apache-2.0 */
/* Bans in a hash table for each kind under one lock, and a list of those whose end was not reported yet.
 * Called by conn_ban.c (asked, begun) and server_control.c (listed, ordered, lifted, reported). */
#include "proxy/bans.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"

#define BUCKETS 4096

struct entry {
    struct entry *next;
    uint64_t hash; /* of the whole value, of which ban has the beginning */
    enum reason ended;
    struct ban ban;
};

struct table {
    struct entry *buckets[BUCKETS];
    size_t count;
};

struct bans {
    pthread_mutex_t lock;
    struct table tables[BAN_KINDS];
    struct entry *ended;
    _Atomic size_t count; /* of both tables: without bans nobody takes the lock */
    uint64_t next_end_ms; /* no ban ends before; 0: not known */
    void (*changed)(void *context);
    void *context;
};

const char *ban_by_name(enum ban_by by)
{
    static const char *const names[BAN_KINDS] = {"id", "address"};

    assert(by < BAN_KINDS);
    return names[by];
}

struct bans *bans_new(void)
{
    struct bans *bans = memory_calloc(1, sizeof(*bans));

    pthread_mutex_init(&bans->lock, NULL);
    return bans;
}

static void free_list(struct entry *entry)
{
    while (entry != NULL) {
        struct entry *next = entry->next;

        free(entry);
        entry = next;
    }
}

void bans_free(struct bans *bans)
{
    if (bans == NULL)
        return;
    for (int by = 0; by < BAN_KINDS; by++)
        for (int i = 0; i < BUCKETS; i++)
            free_list(bans->tables[by].buckets[i]);
    free_list(bans->ended);
    pthread_mutex_destroy(&bans->lock);
    free(bans);
}

void bans_count(struct bans *bans, size_t counts[BAN_KINDS])
{
    pthread_mutex_lock(&bans->lock);
    for (int by = 0; by < BAN_KINDS; by++)
        counts[by] = bans->tables[by].count;
    pthread_mutex_unlock(&bans->lock);
}

void bans_on_change(struct bans *bans, void (*changed)(void *context), void *context)
{
    bans->changed = changed;
    bans->context = context;
}

/* ---- one table ---- */

static size_t shorter(size_t length, size_t limit)
{
    return length < limit ? length : limit;
}

/* Where the ban of value is linked, or would be. */
static struct entry **find(struct table *table, struct view value, uint64_t hash)
{
    struct entry **at = &table->buckets[hash % BUCKETS];

    for (; *at != NULL; at = &(*at)->next) {
        const struct ban *ban = &(*at)->ban;

        if ((*at)->hash == hash && ban->value_length == value.length &&
            view_equal(view_of(ban->shown, ban->shown_length), view_of(value.data, ban->shown_length)))
            break;
    }
    return at;
}

static void end(struct bans *bans, struct entry **at, enum reason reason, const char *who)
{
    struct entry *entry = *at;

    if (who != NULL)
        snprintf(entry->ban.lifted_by, sizeof(entry->ban.lifted_by), "%s", who);
    *at = entry->next;
    bans->tables[entry->ban.by].count--;
    atomic_fetch_sub(&bans->count, 1);
    entry->ended = reason;
    entry->next = bans->ended;
    bans->ended = entry;
}

/* The policy's ban that ends soonest; NULL: all are operators'. */
static struct entry **soonest(struct table *table)
{
    struct entry **found = NULL;

    for (int i = 0; i < BUCKETS; i++)
        for (struct entry **at = &table->buckets[i]; *at != NULL; at = &(*at)->next)
            if (!(*at)->ban.ordered && (found == NULL || (*at)->ban.until_ms < (*found)->ban.until_ms))
                found = at;
    return found;
}

/* ---- beginning ---- */

static void describe(struct entry *entry, const struct ban_order *order)
{
    struct ban *ban = &entry->ban;

    ban->ordered = order->ordered;
    if (order->until_ms > ban->until_ms) {
        ban->until_ms = order->until_ms;
        ban->until_wall_us = order->until_wall_us;
    }
    ban->why_length = shorter(order->why.length, sizeof(ban->why));
    if (ban->why_length > 0)
        memcpy(ban->why, order->why.data, ban->why_length);
}

/* *displaced: what makes room for a new one, where there is need. */
static enum ban_begun judge(
    struct table *table, const struct ban_order *order, const struct entry *held, struct entry ***displaced)
{
    *displaced = NULL;
    if (held != NULL) {
        if (held->ban.ordered != order->ordered)
            return order->ordered ? BAN_BEGUN : BAN_HELD;
        return order->until_ms > held->ban.until_ms ? BAN_BEGUN : BAN_HELD;
    }
    if (table->count >= BANS_MAX)
        *displaced = soonest(table);
    return table->count >= BANS_MAX && *displaced == NULL ? BAN_FULL : BAN_BEGUN;
}

static struct entry *insert(struct bans *bans, const struct ban_order *order, uint64_t hash)
{
    struct table *table = &bans->tables[order->by];
    struct entry *entry = memory_calloc(1, sizeof(*entry));

    entry->hash = hash;
    entry->ban.by = order->by;
    entry->ban.value_length = order->value.length;
    entry->ban.shown_length = shorter(order->value.length, sizeof(entry->ban.shown));
    memcpy(entry->ban.shown, order->value.data, entry->ban.shown_length);
    entry->next = table->buckets[hash % BUCKETS];
    table->buckets[hash % BUCKETS] = entry;
    table->count++;
    atomic_fetch_add(&bans->count, 1);
    return entry;
}

static enum ban_begun begin_locked(
    struct bans *bans, struct ban_order *order, uint64_t now_ms, bool only_look)
{
    struct table *table = &bans->tables[order->by];
    uint64_t hash = hash_bytes(order->value);
    struct entry **at = find(table, order->value, hash), **displaced, *entry;
    enum ban_begun begun;

    if (*at != NULL && (*at)->ban.until_ms <= now_ms) {
        end(bans, at, REASON_ban_expired, NULL);
        at = find(table, order->value, hash);
    }
    entry = *at;
    begun = judge(table, order, entry, &displaced);
    if (begun == BAN_BEGUN && entry != NULL && entry->ban.until_ms > order->until_ms) {
        order->until_ms = entry->ban.until_ms;
        order->until_wall_us = entry->ban.until_wall_us;
    }
    if (begun != BAN_BEGUN || only_look)
        return begun;
    if (displaced != NULL)
        end(bans, displaced, REASON_ban_displaced, NULL);
    if (entry == NULL)
        entry = insert(bans, order, hash);
    describe(entry, order);
    bans->next_end_ms = 0;
    return BAN_BEGUN;
}

static void log_begun(const struct ban_order *order)
{
    char until[CLOCK_TIMESTAMP_LENGTH + 1];

    clock_format_timestamp(order->until_wall_us, until);
    LOG_LIMITED(LOG_INFO, "bans", "a ban has begun", log_string("by", ban_by_name(order->by)),
        log_view("value", order->value), log_string("until", until), log_view("why", order->why));
}

enum ban_begun bans_begin(struct bans *bans, struct ban_order *order, uint64_t now_ms)
{
    enum ban_begun begun;

    assert(order->value.length > 0 && order->until_ms > now_ms);
    pthread_mutex_lock(&bans->lock);
    begun = begin_locked(bans, order, now_ms, false);
    pthread_mutex_unlock(&bans->lock);
    if (begun != BAN_BEGUN)
        return begun;
    log_begun(order);
    if (bans->changed != NULL)
        bans->changed(bans->context);
    return begun;
}

enum ban_begun bans_may_begin(struct bans *bans, struct ban_order *order, uint64_t now_ms)
{
    enum ban_begun may;

    pthread_mutex_lock(&bans->lock);
    may = begin_locked(bans, order, now_ms, true);
    pthread_mutex_unlock(&bans->lock);
    return may;
}

/* ---- asking ---- */

uint64_t bans_left(struct bans *bans, enum ban_by by, struct view value, bool ordered, uint64_t now_ms)
{
    const struct entry *entry;
    uint64_t left = 0;

    if (value.length == 0 || atomic_load(&bans->count) == 0)
        return 0;
    pthread_mutex_lock(&bans->lock);
    entry = *find(&bans->tables[by], value, hash_bytes(value));
    if (entry != NULL && (entry->ban.ordered || !ordered) && entry->ban.until_ms > now_ms)
        left = entry->ban.until_ms - now_ms;
    pthread_mutex_unlock(&bans->lock);
    return left;
}

void bans_each(
    struct bans *bans, uint64_t now_ms, void (*each)(void *context, const struct ban *ban), void *context)
{
    pthread_mutex_lock(&bans->lock);
    for (int by = 0; by < BAN_KINDS; by++)
        for (int i = 0; i < BUCKETS; i++)
            for (const struct entry *entry = bans->tables[by].buckets[i]; entry != NULL; entry = entry->next)
                if (entry->ban.until_ms > now_ms)
                    each(context, &entry->ban);
    pthread_mutex_unlock(&bans->lock);
}

/* ---- ending ---- */

bool bans_lift(struct bans *bans, enum ban_by by, struct view value, const char *who, uint64_t now_ms)
{
    struct entry **at;
    bool lifted = false;

    pthread_mutex_lock(&bans->lock);
    at = find(&bans->tables[by], value, hash_bytes(value));
    if (*at != NULL && (*at)->ban.until_ms > now_ms) {
        end(bans, at, REASON_ban_lifted, who);
        lifted = true;
    }
    pthread_mutex_unlock(&bans->lock);
    return lifted;
}

/* Ends all bans that are over by now_ms; with who all, since they are lifted. Returns how many held until
 * now. */
static size_t end_all(struct bans *bans, uint64_t now_ms, const char *who)
{
    size_t lifted = 0;

    bans->next_end_ms = UINT64_MAX;
    for (int by = 0; by < BAN_KINDS; by++)
        for (int i = 0; i < BUCKETS; i++)
            for (struct entry **at = &bans->tables[by].buckets[i]; *at != NULL;) {
                const struct ban *ban = &(*at)->ban;

                if (ban->until_ms <= now_ms)
                    end(bans, at, REASON_ban_expired, NULL);
                else if (who != NULL) {
                    end(bans, at, REASON_ban_lifted, who);
                    lifted++;
                } else {
                    bans->next_end_ms = ban->until_ms < bans->next_end_ms ? ban->until_ms : bans->next_end_ms;
                    at = &(*at)->next;
                }
            }
    return lifted;
}

size_t bans_lift_all(struct bans *bans, const char *who, uint64_t now_ms)
{
    size_t lifted;

    pthread_mutex_lock(&bans->lock);
    lifted = end_all(bans, now_ms, who);
    pthread_mutex_unlock(&bans->lock);
    return lifted;
}

bool bans_take_ended(struct bans *bans, uint64_t now_ms, struct ban *out, enum reason *reason)
{
    struct entry *entry;

    pthread_mutex_lock(&bans->lock);
    if (bans->ended == NULL && now_ms >= bans->next_end_ms && atomic_load(&bans->count) > 0)
        end_all(bans, now_ms, NULL);
    entry = bans->ended;
    if (entry != NULL)
        bans->ended = entry->next;
    pthread_mutex_unlock(&bans->lock);
    if (entry == NULL)
        return false;
    *out = entry->ban;
    *reason = entry->ended;
    free(entry);
    return true;
}

uint64_t bans_next_end(struct bans *bans)
{
    uint64_t next = 0;

    pthread_mutex_lock(&bans->lock);
    if (atomic_load(&bans->count) > 0) {
        if (bans->next_end_ms == 0)
            end_all(bans, 0, NULL);
        next = bans->next_end_ms;
    }
    pthread_mutex_unlock(&bans->lock);
    return next;
}
