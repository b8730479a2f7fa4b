/* SPDX-License-Identifier: Apache-2.0 */
/* Counts of failed logins in a table of fixed size: keyed hashes of address or name, four places each. Called
 * by conn_password.c and password_pool.c. */
#include "proxy/logins.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/address.h"
#include "base/hash.h"
#include "base/memory.h"

#define PLACES 4
#define SETS 8192

struct login_count {
    uint64_t key; /* 0: free */
    uint64_t began_ms;
    uint64_t failures;
};

struct logins {
    pthread_mutex_t lock;
    struct login_count counts[SETS][PLACES];
};

enum login_kind { LOGIN_ADDRESS = 1, LOGIN_NAME = 2 };

struct logins *logins_new(void)
{
    struct logins *logins = memory_calloc(1, sizeof(*logins));

    pthread_mutex_init(&logins->lock, NULL);
    return logins;
}

void logins_free(struct logins *logins)
{
    if (logins == NULL)
        return;
    pthread_mutex_destroy(&logins->lock);
    free(logins);
}

static uint64_t key_of(enum login_kind kind, struct view text)
{
    char site[ADDRESS_SITE_SIZE];
    uint64_t key;

    if (kind == LOGIN_ADDRESS && address_site(text, site))
        text = view_of_string(site);
    key = hash_bytes(text) * 2 + (kind == LOGIN_NAME);
    return key == 0 ? (uint64_t)kind : key;
}

static struct login_count *find(struct logins *logins, uint64_t key)
{
    struct login_count *set = logins->counts[(key >> 1) % SETS];

    for (int i = 0; i < PLACES; i++)
        if (set[i].key == key)
            return &set[i];
    return NULL;
}

/* A free place, or the one of the oldest count. */
static struct login_count *place(struct logins *logins, uint64_t key)
{
    struct login_count *set = logins->counts[(key >> 1) % SETS], *oldest = &set[0];

    for (int i = 0; i < PLACES; i++) {
        if (set[i].key == 0)
            return &set[i];
        if (set[i].began_ms < oldest->began_ms)
            oldest = &set[i];
    }
    return oldest;
}

/* Threads may come in another order than they looked at the clock: a count that began later is not over. */
static bool is_over(const struct login_count *count, uint64_t window_ms, uint64_t now_ms)
{
    return now_ms > count->began_ms && now_ms - count->began_ms >= window_ms;
}

static bool exceeded(struct logins *logins, uint64_t key, uint64_t limit, uint64_t window_ms, uint64_t now_ms)
{
    const struct login_count *count = limit == 0 ? NULL : find(logins, key);

    return count != NULL && !is_over(count, window_ms, now_ms) && count->failures >= limit;
}

bool logins_may_try(struct logins *logins, const struct login_limits *limits, struct view address,
    struct view name, uint64_t now_ms)
{
    bool may;

    pthread_mutex_lock(&logins->lock);
    may = !exceeded(logins, key_of(LOGIN_ADDRESS, address), limits->per_address, limits->window_ms, now_ms) &&
          !exceeded(logins, key_of(LOGIN_NAME, name), limits->per_name, limits->window_ms, now_ms);
    pthread_mutex_unlock(&logins->lock);
    return may;
}

static void count_one(struct logins *logins, uint64_t key, uint64_t window_ms, uint64_t now_ms)
{
    struct login_count *count = find(logins, key);

    if (count == NULL)
        count = place(logins, key);
    if (count->key != key || is_over(count, window_ms, now_ms))
        *count = (struct login_count){.key = key, .began_ms = now_ms};
    count->failures++;
}

void logins_failed(struct logins *logins, const struct login_limits *limits, struct view address,
    struct view name, uint64_t now_ms)
{
    pthread_mutex_lock(&logins->lock);
    if (limits->per_address != 0)
        count_one(logins, key_of(LOGIN_ADDRESS, address), limits->window_ms, now_ms);
    if (limits->per_name != 0)
        count_one(logins, key_of(LOGIN_NAME, name), limits->window_ms, now_ms);
    pthread_mutex_unlock(&logins->lock);
}
