/* SPDX-License-Identifier: Apache-2.0 */
/* The scan pool: many workers, threads and reloads at once. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "scan_bench.h"

#define WORKERS 3
#define MESSAGES 150

struct crowd {
    struct bench *bench;
    struct fake fakes[WORKERS]; /* what was cancelled in its scan comes back when it likes */
    _Atomic unsigned started;
    struct scan_rules *_Atomic rules;
    pthread_mutex_t lock;
    atomic_bool over;
};

static struct scan_rules *crowd_rules(struct crowd *crowd)
{
    pthread_mutex_lock(&crowd->lock);
    struct scan_rules *rules = scan_rules_retain(crowd->rules);
    pthread_mutex_unlock(&crowd->lock);
    return rules;
}

/* A worker: some messages at a time, some of which are given up. */
static void *crowd_work(void *argument)
{
    struct crowd *crowd = argument;
    struct message messages[3];
    char payloads[3][32];
    struct fake *fake = &crowd->fakes[atomic_fetch_add(&crowd->started, 1)];

    for (unsigned i = 0; i < MESSAGES; i++) {
        struct scan_rules *rules = crowd_rules(crowd);
        for (unsigned j = 0; j < 3; j++) {
            bool evil = (i + j) % 4 == 0;
            snprintf(payloads[j], sizeof(payloads[j]), "%s %u", evil ? "EVILEVIL" : "ordinary", i % 20);
            message_make(&messages[j], view_of_string(payloads[j]));
            messages[j].scans[0].quarantine = (i + j) % 8 == 0;
            struct scan_job *job = submit(crowd->bench->pool, fake, rules, &messages[j]);
            if (j == 2 && i % 3 == 0)
                scan_job_cancel(job);
        }
        scan_rules_release(rules);
        for (unsigned j = 0; j < (i % 3 == 0 ? 2 : 3); j++)
            while (messages[j].answers == 0)
                fake_run(fake);
        for (unsigned j = 0; j < 3; j++) {
            bool cancelled = j == 2 && i % 3 == 0;
            cr_assert_eq(messages[j].answers, !cancelled);
            cr_assert(cancelled || messages[j].found[0] == ((i + j) % 4 == 0));
            cr_assert(cancelled || (messages[j].quarantine[0] != NULL) == ((i + j) % 8 == 0));
        }
    }
    return NULL;
}

static unsigned references_left(struct crowd *crowd)
{
    for (unsigned i = 0; i < WORKERS; i++)
        fake_drain(&crowd->fakes[i]);
    return references(crowd->rules);
}

static void *crowd_reload(void *argument)
{
    struct crowd *crowd = argument;

    while (!atomic_load(&crowd->over)) {
        struct scan_rules *next = load();
        pthread_mutex_lock(&crowd->lock);
        struct scan_rules *last = crowd->rules;
        crowd->rules = next;
        pthread_mutex_unlock(&crowd->lock);
        scan_rules_release(last);
        scan_pool_release_rules(crowd->bench->pool);
        usleep(1000);
    }
    return NULL;
}

Test(scan_pool, workers_threads_and_reloads_at_once)
{
    struct bench bench;
    pthread_t workers[WORKERS], reloads;

    bench_start(&bench, 3, true);
    struct crowd crowd = {.bench = &bench, .rules = load(), .lock = PTHREAD_MUTEX_INITIALIZER};
    for (unsigned i = 0; i < WORKERS; i++)
        fake_start(&crowd.fakes[i]);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_create(&workers[i], NULL, crowd_work, &crowd);
    pthread_create(&reloads, NULL, crowd_reload, &crowd);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    atomic_store(&crowd.over, true);
    pthread_join(reloads, NULL);
    scan_pool_release_rules(bench.pool);
    WAIT_FOR(references_left(&crowd) == 1);
    scan_rules_release(crowd.rules);
    cr_expect_gt(directory_count(bench.folder, ".payload", NULL), 0);
    bench_stop(&bench);
}
