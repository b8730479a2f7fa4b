/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the threads that scan, and their queue. Called by conn_scan.c and server_scan.c. A job comes from a
 * worker's thread, is a pool thread's while it is scanned, the quarantine's writer's if something of it is to
 * be stored, and goes back as a task of its worker. */
#include "proxy/scan_pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/thread.h"
#include "proxy/quarantine_writer.h"
#include "proxy/scan_evidence.h"

/* A thread that had nothing to do for so long lets go of the rules that it has scanned with: they may be
 * those of connections that were bound to others since then. */
#define IDLE_S 10

struct scan_thread {
    struct scan_pool *pool;
    pthread_t thread;
    struct scanner *scanner;
    bool bound;        /* to the rules of the last job */
    uint64_t releases; /* of the pool's, those that it has followed */
    struct histogram durations;
};

struct scan_pool {
    struct quarantine_writer *writer; /* NULL: nothing is stored */
    uint64_t wait_ms;
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t wanted;
    struct scan_job *first, *last;
    size_t waiting;    /* jobs between them */
    unsigned busy;     /* threads that handle one */
    uint64_t releases; /* how often rules were to be let go of */
    bool ending;
    unsigned thread_count;
    struct scan_thread threads[];
};

/* ---- the queue, with the lock ---- */

static void link_job(struct scan_pool *pool, struct scan_job *job)
{
    job->previous = pool->last;
    *(pool->last == NULL ? &pool->first : &pool->last->next) = job;
    pool->last = job;
    pool->waiting++;
}

static void unlink_job(struct scan_pool *pool, struct scan_job *job)
{
    *(job->previous == NULL ? &pool->first : &job->previous->next) = job->next;
    *(job->next == NULL ? &pool->last : &job->next->previous) = job->previous;
    job->previous = job->next = NULL;
    pool->waiting--;
}

/* ---- threads ---- */

static void scan(struct scan_thread *thread, struct scan_job *job)
{
    thread->bound = true;
    for (size_t i = 0; i < job->count; i++) {
        uint64_t begun_ns = clock_monotonic_ns();

        scanner_scan(thread->scanner, job->rules, &job->scans[i].request, &job->results[i].result);
        histogram_add(&thread->durations, &histogram_long, clock_monotonic_ns() - begun_ns);
    }
}

/* So that on_error decides: what was sent meanwhile waits behind it. */
static void answer_late(struct scan_job *job)
{
    for (size_t i = 0; i < job->count; i++)
        job->results[i].result.error = "waited too long";
}

static void handle(struct scan_thread *thread, struct scan_job *job)
{
    struct scan_pool *pool = thread->pool;

    if (clock_monotonic_ms() - job->since_ms > pool->wait_ms)
        answer_late(job);
    else
        scan(thread, job);
    if (scan_evidence_wanted(job)) {
        if (pool->writer != NULL && quarantine_writer_take(pool->writer, job))
            return;
        scan_evidence_lose(job, pool->writer == NULL ? QUARANTINE_FAILED : QUARANTINE_BUSY);
    }
    worker_post(job->worker, &job->task);
}

/* With the lock, which is let go of meanwhile: it takes a while. */
static void release_rules(struct scan_thread *thread)
{
    struct scan_pool *pool = thread->pool;

    thread->releases = pool->releases;
    thread->bound = false;
    pthread_mutex_unlock(&pool->lock);
    scanner_release_rules(thread->scanner);
    pthread_mutex_lock(&pool->lock);
}

static void wait_for_work(struct scan_thread *thread, const struct timespec *idle)
{
    struct scan_pool *pool = thread->pool;

    if (!thread->bound)
        pthread_cond_wait(&pool->wanted, &pool->lock);
    else if (pthread_cond_timedwait(&pool->wanted, &pool->lock, idle) == ETIMEDOUT)
        release_rules(thread);
}

/* With the lock. NULL: it ends. */
static struct scan_job *take(struct scan_thread *thread)
{
    struct scan_pool *pool = thread->pool;
    struct scan_job *job;
    struct timespec idle;

    clock_gettime(CLOCK_MONOTONIC, &idle);
    idle.tv_sec += IDLE_S;
    while (!pool->ending) {
        if (thread->releases != pool->releases)
            release_rules(thread);
        else if (pool->first == NULL)
            wait_for_work(thread, &idle);
        else
            break;
    }
    if (pool->ending)
        return NULL;
    job = pool->first;
    unlink_job(pool, job);
    job->begun = true;
    return job;
}

static void *run(void *argument)
{
    struct scan_thread *thread = argument;
    struct scan_pool *pool = thread->pool;
    struct scan_job *job;

    pthread_mutex_lock(&pool->lock);
    while ((job = take(thread)) != NULL) {
        pool->busy++;
        pthread_mutex_unlock(&pool->lock);
        handle(thread, job);
        pthread_mutex_lock(&pool->lock);
        pool->busy--;
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* ---- life ---- */

static void initialize_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

static int start(struct scan_pool *pool, unsigned index)
{
    struct scan_thread *thread = &pool->threads[index];
    int error;

    thread->pool = pool;
    thread->scanner = scanner_new();
    error = thread_start(&thread->thread, run, thread);
    if (error == 0)
        pthread_setname_np(thread->thread, "scans");
    else
        scanner_free(thread->scanner);
    return error;
}

static int start_all(struct scan_pool *pool, unsigned threads, struct quarantine *quarantine)
{
    int error = 0;

    if (quarantine != NULL && (pool->writer = quarantine_writer_new(quarantine)) == NULL)
        return errno;
    for (; pool->thread_count < threads && error == 0; pool->thread_count += error == 0)
        error = start(pool, pool->thread_count);
    return error;
}

struct scan_pool *scan_pool_new(unsigned threads, uint64_t wait_ms, struct quarantine *quarantine)
{
    struct scan_pool *pool = memory_calloc(1, sizeof(*pool) + threads * sizeof(pool->threads[0]));
    int error;

    pool->wait_ms = wait_ms;
    pthread_mutex_init(&pool->lock, NULL);
    initialize_condition(&pool->wanted);
    error = start_all(pool, threads, quarantine);
    if (error == 0)
        return pool;
    scan_pool_free(pool);
    errno = error;
    return NULL;
}

bool scan_pool_free(struct scan_pool *pool)
{
    bool over;

    if (pool == NULL)
        return true;
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->wanted);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++) {
        pthread_join(pool->threads[i].thread, NULL);
        scanner_free(pool->threads[i].scanner);
    }
    while (pool->first != NULL) {
        struct scan_job *job = pool->first;

        unlink_job(pool, job);
        scan_job_free(job);
    }
    over = quarantine_writer_free(pool->writer);
    pthread_cond_destroy(&pool->wanted);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
    return over;
}

void scan_pool_release_rules(struct scan_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool->releases++;
    pthread_cond_broadcast(&pool->wanted);
    pthread_mutex_unlock(&pool->lock);
}

void scan_pool_status(struct scan_pool *pool, struct scan_pool_status *status)
{
    *status = (struct scan_pool_status){.threads = pool->thread_count};
    for (unsigned i = 0; i < pool->thread_count; i++)
        histogram_collect(&pool->threads[i].durations, &status->durations);
    pthread_mutex_lock(&pool->lock);
    status->busy = pool->busy;
    status->waiting = pool->waiting;
    pthread_mutex_unlock(&pool->lock);
}

/* ---- jobs ---- */

struct scan_job *scan_pool_submit(struct scan_pool *pool, const struct scan_pool_request *request)
{
    struct scan_job *job;

    assert(request->count > 0 && request->owner != NULL);
    job = scan_job_new(request, pool->writer != NULL);
    job->pool = pool;
    pthread_mutex_lock(&pool->lock);
    link_job(pool, job);
    pthread_cond_signal(&pool->wanted);
    pthread_mutex_unlock(&pool->lock);
    return job;
}

void scan_job_cancel(struct scan_job *job)
{
    struct scan_pool *pool;
    bool begun;

    if (job == NULL)
        return;
    pool = job->pool;
    pthread_mutex_lock(&pool->lock);
    begun = job->begun;
    if (!begun)
        unlink_job(pool, job);
    pthread_mutex_unlock(&pool->lock);
    if (begun)
        job->owner = NULL;
    else
        scan_job_free(job);
}
