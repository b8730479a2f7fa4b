/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the shards of the replay store and their signers; replay_signer.c owns what is remembered of one.
 * Called by signature.c. */
#include "policy/replay.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/memory.h"
#include "policy/replay_signer.h"

#define SHARDS_MAX 16
/* A shard for fewer would fill up by chance while others have room. */
#define SHARD_SIGNERS 512
#define SHARD_NONCES 4096
#define BUCKETS_FIRST 16
/* Signers that are looked at for some to forget, with each new one; and where there is no room for it. */
#define SWEEP 8
#define SWEEP_FULL 512
/* Signers that are looked at for one who has more nonces than his part. */
#define SEARCH 64

struct shard {
    pthread_mutex_t lock;
    struct replay_signer **buckets; /* chains; a power of two of them */
    size_t bucket_count;
    struct replay_list used;       /* signers, least recently used first */
    struct replay_signer *hand;    /* of them, the next one to be looked at; NULL: the first */
    struct replay_signer *largest; /* with more nonces than any that got one since; NULL: nobody */
    size_t signers, nonces;
    uint64_t now_ms; /* the latest that was seen */
    uint64_t evicted;
    struct replay_span span; /* of the policy in force */
    /* What was signed before since_ms may have been forgotten once it was older than age_before_ms. */
    uint64_t since_ms, age_before_ms;
};

struct replay_store {
    struct replay_limits limits; /* of a shard, but for per_signer */
    size_t shard_count;          /* a power of two */
    struct shard shards[SHARDS_MAX];
};

static size_t count_shards(size_t nonces, size_t signers)
{
    size_t count = 1;

    while (
        count < SHARDS_MAX && nonces / (count * 2) >= SHARD_NONCES && signers / (count * 2) >= SHARD_SIGNERS)
        count *= 2;
    return count;
}

/* Signers fall into shards by chance: a little room for that, where there are several. */
static size_t share(size_t limit, size_t count)
{
    size_t part = (limit + count - 1) / count;

    return count == 1 ? part : part + part / 8;
}

struct replay_store *replay_new(const struct replay_limits *limits)
{
    struct replay_store *store = memory_calloc(1, sizeof(*store));
    size_t total = limits->total == 0 ? REPLAY_TOTAL : limits->total;
    size_t signers = limits->signers == 0 ? REPLAY_SIGNERS : limits->signers;

    store->shard_count = count_shards(total, signers);
    store->limits = (struct replay_limits){
        .per_signer = limits->per_signer == 0 ? REPLAY_PER_SIGNER : limits->per_signer,
        .total = share(total, store->shard_count),
        .signers = share(signers, store->shard_count),
    };
    for (size_t i = 0; i < store->shard_count; i++) {
        struct shard *shard = &store->shards[i];

        pthread_mutex_init(&shard->lock, NULL);
        shard->bucket_count = BUCKETS_FIRST;
        shard->buckets = memory_calloc(BUCKETS_FIRST, sizeof(struct replay_signer *));
    }
    return store;
}

/* ---- the span of a policy ---- */

/* Sessions change to a new policy one after the other. */
#define CHANGE_MS 60000

static void expect(struct shard *shard, const struct replay_span *span, uint64_t now_ms)
{
    const struct replay_span before = shard->span;
    bool over = shard->since_ms + before.age_ms < now_ms; /* all from before is too old by now */

    if (span->age_ms > before.age_ms && before.age_ms > 0) {
        shard->since_ms = now_ms + (before.ahead_ms > CHANGE_MS ? before.ahead_ms : CHANGE_MS);
        if (over || before.age_ms < shard->age_before_ms)
            shard->age_before_ms = before.age_ms;
    }
    shard->span = *span;
}

void replay_expect(struct replay_store *store, const struct replay_span *span, uint64_t now_ms)
{
    if (span->age_ms == 0)
        return; /* what is remembered stays, and so does how long it is */
    for (size_t i = 0; i < store->shard_count; i++) {
        pthread_mutex_lock(&store->shards[i].lock);
        expect(&store->shards[i], span, now_ms);
        pthread_mutex_unlock(&store->shards[i].lock);
    }
}

/* It may have been here, and be forgotten. */
static bool is_forgotten(
    const struct shard *shard, const struct replay_signer *signer, const struct replay_mark *mark)
{
    return mark->t_ms <= signer->forgotten_ms || mark->until_ms < shard->now_ms ||
           (mark->t_ms < shard->since_ms && mark->t_ms + shard->age_before_ms < shard->now_ms);
}

static void remove_signer(struct shard *shard, struct replay_signer *signer)
{
    struct replay_signer **at = &shard->buckets[signer->hash / SHARDS_MAX & (shard->bucket_count - 1)];

    while (*at != signer)
        at = &(*at)->next;
    *at = signer->next;
    if (shard->hand == signer)
        shard->hand = signer->newer;
    if (shard->largest == signer)
        shard->largest = NULL;
    replay_list_remove(&shard->used, signer);
    shard->signers--;
    shard->nonces -= signer->count;
    replay_signer_free(signer);
}

void replay_free(struct replay_store *store)
{
    if (store == NULL)
        return;
    for (size_t i = 0; i < store->shard_count; i++) {
        struct shard *shard = &store->shards[i];

        while (shard->used.first != NULL)
            remove_signer(shard, shard->used.first);
        free(shard->buckets);
        pthread_mutex_destroy(&shard->lock);
    }
    free(store);
}

/* ---- signers ---- */

static void grow(struct shard *shard)
{
    size_t count = shard->bucket_count * 2;
    struct replay_signer **buckets = memory_calloc(count, sizeof(struct replay_signer *));

    for (struct replay_signer *i = shard->used.first; i != NULL; i = i->newer) {
        i->next = buckets[i->hash / SHARDS_MAX & (count - 1)];
        buckets[i->hash / SHARDS_MAX & (count - 1)] = i;
    }
    free(shard->buckets);
    shard->buckets = buckets;
    shard->bucket_count = count;
}

/* Forgets signers of whom nothing needs to be remembered; in turns, since of others much does for good. */
static void sweep(struct shard *shard, size_t count)
{
    for (size_t i = 0; i < count && shard->used.first != NULL; i++) {
        struct replay_signer *signer = shard->hand != NULL ? shard->hand : shard->used.first;

        shard->hand = signer->newer;
        if (replay_signer_over(signer, shard->now_ms))
            remove_signer(shard, signer);
    }
}

static void use(struct shard *shard, struct replay_signer *signer)
{
    if (shard->hand == signer)
        shard->hand = signer->newer;
    replay_list_remove(&shard->used, signer);
    replay_list_append(&shard->used, signer);
}

/* The signer's shard, locked; *hash is the signer's. Its low bits choose the shard, the others the bucket. */
static struct shard *lock_shard(struct replay_store *store, const struct replay_mark *mark, uint64_t *hash)
{
    uint8_t key[1 + MPS1_KID_MAX + MPS1_SUB_MAX];
    struct shard *shard;

    *hash = hash_bytes(view_of(key, replay_signer_key(mark, key)));
    shard = &store->shards[*hash & (store->shard_count - 1)];
    pthread_mutex_lock(&shard->lock);
    return shard;
}

static struct replay_signer *find(struct shard *shard, const struct replay_mark *mark, uint64_t hash)
{
    struct replay_signer *signer = shard->buckets[hash / SHARDS_MAX & (shard->bucket_count - 1)];

    while (signer != NULL && !(signer->hash == hash && replay_signer_is(signer, mark)))
        signer = signer->next;
    return signer;
}

/* NULL: there is no room for another one. */
static struct replay_signer *find_or_add(
    struct replay_store *store, struct shard *shard, const struct replay_mark *mark, uint64_t hash)
{
    struct replay_signer *signer = find(shard, mark, hash), **bucket;

    if (signer != NULL) {
        use(shard, signer);
        return signer;
    }
    sweep(shard, shard->signers < store->limits.signers ? SWEEP : SWEEP_FULL);
    if (shard->signers >= store->limits.signers)
        return NULL;
    if (shard->signers >= shard->bucket_count)
        grow(shard);
    signer = replay_signer_new(mark, hash);
    bucket = &shard->buckets[hash / SHARDS_MAX & (shard->bucket_count - 1)];
    signer->next = *bucket;
    *bucket = signer;
    replay_list_append(&shard->used, signer);
    shard->signers++;
    return signer;
}

/* ---- nonces ---- */

/* Forgets a nonce of the signer before its time: from now on nothing as old is taken from him. */
static void evict(struct shard *shard, struct replay_signer *signer)
{
    replay_signer_evict(signer);
    shard->nonces--;
    shard->evicted++;
}

/* Does he have his part of the shard's nonces, or more? */
static bool has_his_part(
    const struct replay_store *store, const struct shard *shard, const struct replay_signer *signer)
{
    return signer->count > 0 && signer->count >= store->limits.total / shard->signers;
}

/* Whose nonce goes when the shard is full: who floods it forgets his own, not those of the silent. There is
 * always one who has his part; if he is not among the first, it is the one who was silent longest. */
static struct replay_signer *choose_victim(
    const struct replay_store *store, const struct shard *shard, struct replay_signer *signer)
{
    struct replay_signer *silent = NULL;
    size_t looked = 0;

    if (has_his_part(store, shard, signer))
        return signer;
    if (shard->largest != NULL && has_his_part(store, shard, shard->largest))
        return shard->largest;
    for (struct replay_signer *i = shard->used.first; i != NULL && (looked < SEARCH || silent == NULL);
         i = i->newer, looked++) {
        if (has_his_part(store, shard, i))
            return i;
        if (silent == NULL && i->count > 0)
            silent = i;
    }
    return silent;
}

/* Room for one more nonce of the signer: what is over goes first, then his own oldest above his quota. False:
 * the new one is older than what would have to go. */
static bool make_room(struct replay_store *store, struct shard *shard, struct replay_signer *signer,
    const struct replay_mark *mark)
{
    shard->nonces -= replay_signer_expire(signer, shard->now_ms);
    if (signer->count >= store->limits.per_signer) {
        if (mark->t_ms <= replay_signer_oldest_ms(signer))
            return false;
        evict(shard, signer);
    }
    while (shard->nonces >= store->limits.total) {
        struct replay_signer *victim = choose_victim(store, shard, signer);

        shard->nonces -= replay_signer_expire(victim, shard->now_ms);
        if (shard->nonces >= store->limits.total && victim->count > 0)
            evict(shard, victim);
    }
    return mark->t_ms > signer->forgotten_ms; /* the victim may be himself */
}

/* REPLAY_NEW: it is remembered now. */
static enum replay_answer remember(struct replay_store *store, struct shard *shard,
    struct replay_signer *signer, const struct replay_mark *mark)
{
    struct replay_mark kept = *mark;
    enum replay_answer answer = replay_signer_find(signer, mark);

    if (answer != REPLAY_NEW)
        return answer;
    if (kept.until_ms < kept.t_ms + shard->span.age_ms)
        kept.until_ms = kept.t_ms + shard->span.age_ms;
    if (is_forgotten(shard, signer, &kept) || !make_room(store, shard, signer, &kept))
        return REPLAY_FORGOTTEN;
    replay_signer_add(signer, &kept);
    shard->nonces++;
    if (shard->largest == NULL || signer->count > shard->largest->count)
        shard->largest = signer;
    return REPLAY_NEW;
}

enum replay_answer replay_nonce(struct replay_store *store, const struct replay_mark *mark, uint64_t now_ms)
{
    uint64_t hash;
    struct shard *shard = lock_shard(store, mark, &hash);
    struct replay_signer *signer;
    enum replay_answer answer = REPLAY_FULL;

    if (now_ms > shard->now_ms)
        shard->now_ms = now_ms;
    signer = find_or_add(store, shard, mark, hash);
    if (signer != NULL)
        answer = remember(store, shard, signer, mark);
    pthread_mutex_unlock(&shard->lock);
    return answer;
}

enum replay_answer replay_sequence(struct replay_store *store, const struct replay_mark *mark)
{
    uint64_t hash;
    struct shard *shard = lock_shard(store, mark, &hash);
    struct replay_signer *signer = find_or_add(store, shard, mark, hash);
    enum replay_answer answer = signer == NULL ? REPLAY_FULL : replay_signer_sequence(signer, mark);

    pthread_mutex_unlock(&shard->lock);
    return answer;
}

bool replay_is_done(struct replay_store *store, const struct replay_mark *mark, bool sequence)
{
    uint64_t hash;
    struct shard *shard = lock_shard(store, mark, &hash);
    const struct replay_signer *signer = find(shard, mark, hash);
    bool done = signer != NULL && replay_signer_is_done(signer, mark, sequence);

    pthread_mutex_unlock(&shard->lock);
    return done;
}

/* Another copy of it may have been undone since: it is remembered all the same. */
void replay_done(struct replay_store *store, const struct replay_mark *mark, bool sequence)
{
    uint64_t hash;
    struct shard *shard = lock_shard(store, mark, &hash);
    struct replay_signer *signer = find_or_add(store, shard, mark, hash);
    struct replay_mark done = *mark;

    done.again = false;
    if (signer != NULL) {
        if (sequence)
            replay_signer_sequence(signer, &done);
        else
            remember(store, shard, signer, &done);
        replay_signer_done(signer, &done, sequence);
    }
    pthread_mutex_unlock(&shard->lock);
}

bool replay_undo(struct replay_store *store, const struct replay_mark *mark, bool sequence)
{
    uint64_t hash;
    struct shard *shard = lock_shard(store, mark, &hash);
    struct replay_signer *signer = find(shard, mark, hash);
    size_t before = signer == NULL ? 0 : signer->count;
    bool undone = signer != NULL && replay_signer_undo(signer, mark, sequence);

    if (undone)
        shard->nonces -= before - signer->count;
    pthread_mutex_unlock(&shard->lock);
    return undone;
}

struct replay_usage replay_usage(struct replay_store *store)
{
    struct replay_usage usage = {0};

    for (size_t i = 0; i < store->shard_count; i++) {
        struct shard *shard = &store->shards[i];

        pthread_mutex_lock(&shard->lock);
        usage.signers += shard->signers;
        usage.nonces += shard->nonces;
        usage.evicted += shard->evicted;
        pthread_mutex_unlock(&shard->lock);
    }
    return usage;
}
