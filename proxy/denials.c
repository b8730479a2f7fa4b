/* SPDX-License-Identifier: Apache-2.0 */
/* The times of denials, in tables of fixed size: keyed hashes, PLACES places each set, a lock for each shard.
 * Called by conn_ban.c. */
#include "proxy/denials.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/memory.h"

#define KINDS 2
#define SHARDS 16
#define PLACES 16
#define SETS (DENIALS_PLACES / SHARDS / PLACES) /* of a shard */
#define FIRST_CAPACITY 8

/* The last denials of somebody. */
struct record {
    uint64_t key;     /* 0: free */
    uint64_t last_ms; /* of the newest */
    uint64_t within_ms;
    uint32_t *times; /* a ring, the oldest at first: the low half of their milliseconds, enough for a day */
    uint32_t first, count, capacity;
};

struct shard {
    pthread_mutex_t lock;
    struct record records[SETS][PLACES];
};

struct denials {
    struct shard shards[KINDS][SHARDS];
};

struct denials *denials_new(void)
{
    struct denials *denials = memory_calloc(1, sizeof(*denials));

    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < SHARDS; i++)
            pthread_mutex_init(&denials->shards[kind][i].lock, NULL);
    return denials;
}

static void forget(struct record *record)
{
    free(record->times);
    *record = (struct record){0};
}

void denials_free(struct denials *denials)
{
    if (denials == NULL)
        return;
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < SHARDS; i++) {
            struct shard *shard = &denials->shards[kind][i];

            for (int set = 0; set < SETS; set++)
                for (int place = 0; place < PLACES; place++)
                    forget(&shard->records[set][place]);
            pthread_mutex_destroy(&shard->lock);
        }
    free(denials);
}

/* now_ms may be a little before last_ms: threads come in another order than they looked at the clock. */
static bool is_over(const struct record *record, uint64_t now_ms)
{
    return now_ms > record->last_ms && now_ms - record->last_ms >= record->within_ms;
}

/* The record of key; else a free place, one that is over, or the one with the fewest denials, the oldest of
 * several. */
static struct record *find(struct record *set, uint64_t key, uint64_t now_ms)
{
    struct record *best = NULL;

    for (int i = 0; i < PLACES; i++)
        if (set[i].key == key)
            return &set[i];
    for (int i = 0; i < PLACES; i++) {
        if (set[i].key == 0 || is_over(&set[i], now_ms)) {
            best = &set[i];
            break;
        }
        if (best == NULL || set[i].count < best->count ||
            (set[i].count == best->count && set[i].last_ms < best->last_ms))
            best = &set[i];
    }
    forget(best);
    best->key = key;
    return best;
}

static void drop_oldest(struct record *record)
{
    record->first = (record->first + 1) % record->capacity;
    record->count--;
}

/* Room for count times, those there are in order. */
static void resize(struct record *record, uint32_t capacity)
{
    uint32_t *times = memory_calloc(capacity, sizeof(*times));

    for (uint32_t i = 0; i < record->count; i++)
        times[i] = record->times[(record->first + i) % record->capacity];
    free(record->times);
    record->times = times;
    record->first = 0;
    record->capacity = capacity;
}

static void add(struct record *record, uint32_t limit, uint64_t within_ms, uint64_t now_ms)
{
    if (record->count > 0 && now_ms - record->last_ms >= within_ms)
        record->count = 0; /* longer ago than their halves could tell */
    while (record->count > 0 && (uint32_t)now_ms - record->times[record->first] >= within_ms)
        drop_oldest(record);
    while (record->count >= limit) /* another policy wants fewer */
        drop_oldest(record);
    if (record->count == record->capacity)
        resize(record, record->capacity == 0 ? FIRST_CAPACITY : 2 * record->capacity);
    record->times[(record->first + record->count) % record->capacity] = (uint32_t)now_ms;
    record->count++;
    record->last_ms = now_ms;
    record->within_ms = within_ms;
}

bool denials_add(struct denials *denials, enum denials_by by, struct view key, uint32_t count,
    uint64_t within_ms, uint64_t now_ms)
{
    uint64_t hash = hash_bytes(key) | 1; /* 0 is a free place */
    struct shard *shard = &denials->shards[by][(hash >> 1) % SHARDS];
    struct record *record;
    bool reached;

    assert(count > 0 && within_ms <= UINT64_C(24) * 3600 * 1000);
    pthread_mutex_lock(&shard->lock);
    record = find(shard->records[(hash >> 1) / SHARDS % SETS], hash, now_ms);
    if (now_ms < record->last_ms)
        now_ms = record->last_ms;
    add(record, count, within_ms, now_ms);
    reached = record->count == count;
    if (reached)
        forget(record);
    pthread_mutex_unlock(&shard->lock);
    return reached;
}
