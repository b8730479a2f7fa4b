/* SPDX-License-Identifier: Apache-2.0 */
/* The pool: a bounded queue under one lock, results by the worker's own queue of tasks. Called by
 * conn_password.c and server.c. */
#include "proxy/password_pool.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/thread.h"
#include "proxy/worker.h"

/* More waiting than these means minutes of waiting: CONNECT would time out anyway. */
#define QUEUE_MAX 1024

struct password_job {
    struct worker_task task; /* first: how the result comes back */
    struct password_job *next;
    struct password_request request; /* its owner is the worker's thread's alone */
    _Atomic bool cancelled;          /* nobody waits for the answer any more */
    enum reason found;
    const char *file; /* of the snapshot's policy */
    char address[INET6_ADDRSTRLEN];
    size_t name_length, password_length;
    uint8_t bytes[]; /* name, password */
};

struct password_pool {
    pthread_mutex_t lock;
    pthread_cond_t wanted;
    struct password_job *first, **last;
    size_t waiting;
    bool ending;
    unsigned thread_count;
    pthread_t threads[];
};

static void job_free(struct password_job *job)
{
    OPENSSL_cleanse(job->bytes, job->name_length + job->password_length);
    snapshot_release(job->request.snapshot);
    free(job);
}

/* On the worker's thread. */
static void job_done(struct worker_task *task)
{
    struct password_job *job = (struct password_job *)task;

    if (job->request.owner != NULL)
        job->request.done(job->request.owner, job->found);
    job_free(job);
}

static struct password_job *take(struct password_pool *pool)
{
    struct password_job *job;

    while (pool->first == NULL && !pool->ending)
        pthread_cond_wait(&pool->wanted, &pool->lock);
    if (pool->ending)
        return NULL;
    job = pool->first;
    pool->first = job->next;
    if (pool->first == NULL)
        pool->last = &pool->first;
    pool->waiting--;
    return job;
}

/* The limits are asked again, and a failure counts at once: hundreds of guesses may have been let in before
 * the first of them was found wrong. One that nobody waits for tells nobody anything, and costs no check. */
static enum reason check(const struct password_job *job)
{
    const struct password_request *request = &job->request;
    const struct view name = view_of(job->bytes, job->name_length);
    struct logins *logins = request->worker->logins;
    enum reason found;

    if (atomic_load(&job->cancelled) ||
        !logins_may_try(logins, &request->limits, request->address, name, clock_monotonic_ms()))
        return REASON_logins_exceeded;
    found = snapshot_check_password(
        request->snapshot, job->file, name, view_of(job->bytes + job->name_length, job->password_length));
    if (found != REASON_none && found != REASON_internal_error)
        logins_failed(logins, &request->limits, request->address, name, clock_monotonic_ms());
    return found;
}

static void *run(void *argument)
{
    struct password_pool *pool = argument;
    struct password_job *job;

    pthread_mutex_lock(&pool->lock);
    while ((job = take(pool)) != NULL) {
        pthread_mutex_unlock(&pool->lock);
        job->found = check(job);
        worker_post(job->request.worker, &job->task);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

struct password_pool *password_pool_new(unsigned threads)
{
    struct password_pool *pool = memory_calloc(1, sizeof(*pool) + threads * sizeof(pool->threads[0]));
    int error = 0;

    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wanted, NULL);
    pool->last = &pool->first;
    for (; pool->thread_count < threads && error == 0; pool->thread_count += error == 0) {
        error = thread_start(&pool->threads[pool->thread_count], run, pool);
        if (error == 0)
            pthread_setname_np(pool->threads[pool->thread_count], "passwords");
    }
    if (error == 0)
        return pool;
    password_pool_free(pool);
    errno = error;
    return NULL;
}

void password_pool_free(struct password_pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->wanted);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    while (pool->first != NULL) {
        struct password_job *next = pool->first->next;

        job_free(pool->first);
        pool->first = next;
    }
    pthread_cond_destroy(&pool->wanted);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

struct password_job *password_pool_submit(struct password_pool *pool, const struct password_request *request,
    const struct session_password_check *check)
{
    size_t length = check->name.length + check->password.length;
    struct password_job *job = memory_calloc(1, sizeof(*job) + length + 1);
    bool full;

    *job = (struct password_job){.task = {.run = job_done},
        .request = *request,
        .file = check->file,
        .name_length = check->name.length,
        .password_length = check->password.length};
    snapshot_retain(request->snapshot);
    snprintf(job->address, sizeof(job->address), "%.*s", VIEW_ARGS(request->address));
    job->request.address = view_of_string(job->address);
    if (check->name.length > 0)
        memcpy(job->bytes, check->name.data, check->name.length);
    if (check->password.length > 0)
        memcpy(job->bytes + check->name.length, check->password.data, check->password.length);
    pthread_mutex_lock(&pool->lock);
    full = pool->waiting >= QUEUE_MAX;
    if (!full) {
        *pool->last = job;
        pool->last = &job->next;
        pool->waiting++;
        pthread_cond_signal(&pool->wanted);
    }
    pthread_mutex_unlock(&pool->lock);
    if (!full)
        return job;
    job_free(job);
    return NULL;
}

void password_job_cancel(struct password_job *job)
{
    if (job == NULL)
        return;
    job->request.owner = NULL;
    atomic_store(&job->cancelled, true);
}
