/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the thread that writes to the quarantine, and its queue. Called by scan_pool.c. */
#include "proxy/quarantine_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "proxy/scan_evidence.h"

/* What it has at most, with the one that it writes; a single one may be larger. */
#define JOBS_MAX 64
#define BYTES_MAX ((size_t)64 << 20)
/* How long the process's end waits for the disk. */
#define END_S 5

struct quarantine_writer {
    struct quarantine *quarantine;
    pthread_t thread;
    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t wanted, over;
    struct scan_job *first, **last;
    size_t jobs, bytes;
    bool ending; /* what waits is written, nothing more comes */
    bool ended;
    bool left; /* to itself: nobody else knows the writer any more, and the workers are gone */
};

static void destroy(struct quarantine_writer *writer)
{
    pthread_cond_destroy(&writer->wanted);
    pthread_cond_destroy(&writer->over);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}

/* ---- the thread ---- */

/* With the lock. NULL: it ends. */
static struct scan_job *next_job(struct quarantine_writer *writer)
{
    struct scan_job *job;

    while (writer->first == NULL && !writer->ending)
        pthread_cond_wait(&writer->wanted, &writer->lock);
    job = writer->first;
    if (job == NULL)
        return NULL;
    writer->first = job->next;
    if (writer->first == NULL)
        writer->last = &writer->first;
    return job;
}

/* With the lock, which is let go of meanwhile. False: the thread was left to itself. */
static bool write_job(struct quarantine_writer *writer, struct scan_job *job)
{
    pthread_mutex_unlock(&writer->lock);
    scan_evidence_store(writer->quarantine, job);
    pthread_mutex_lock(&writer->lock);
    if (writer->left) {
        scan_job_free(job);
        return false;
    }
    writer->jobs--;
    writer->bytes -= job->size;
    worker_post(job->worker, &job->task); /* with the lock: once it is left, the workers are gone */
    return true;
}

static void *run(void *argument)
{
    struct quarantine_writer *writer = argument;
    struct scan_job *job;
    bool left = false;

    pthread_mutex_lock(&writer->lock);
    while (!left && (job = next_job(writer)) != NULL)
        left = !write_job(writer, job);
    writer->ended = true;
    pthread_cond_signal(&writer->over);
    pthread_mutex_unlock(&writer->lock);
    if (left) {
        quarantine_close(writer->quarantine);
        destroy(writer);
    }
    return NULL;
}

/* ---- life ---- */

struct quarantine_writer *quarantine_writer_new(struct quarantine *quarantine)
{
    struct quarantine_writer *writer = memory_calloc(1, sizeof(*writer));
    pthread_condattr_t attributes;
    int error;

    writer->quarantine = quarantine;
    writer->last = &writer->first;
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->wanted, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&writer->over, &attributes);
    pthread_condattr_destroy(&attributes);
    error = thread_start(&writer->thread, run, writer);
    if (error == 0) {
        pthread_setname_np(writer->thread, "quarantine");
        return writer;
    }
    destroy(writer);
    errno = error;
    return NULL;
}

bool quarantine_writer_take(struct quarantine_writer *writer, struct scan_job *job)
{
    bool takes;

    pthread_mutex_lock(&writer->lock);
    takes = writer->jobs == 0 ||
            (writer->jobs < JOBS_MAX && writer->bytes < BYTES_MAX && job->size <= BYTES_MAX - writer->bytes);
    if (takes) {
        writer->jobs++;
        writer->bytes += job->size;
        job->next = NULL;
        *writer->last = job;
        writer->last = &job->next;
        pthread_cond_signal(&writer->wanted);
    }
    pthread_mutex_unlock(&writer->lock);
    return takes;
}

/* With the lock: the thread is on its own from now on. Those that wait are nobody's any more. */
static struct scan_job *leave(struct quarantine_writer *writer)
{
    struct scan_job *waiting = writer->first;

    writer->left = true;
    writer->first = NULL;
    writer->last = &writer->first;
    pthread_detach(writer->thread);
    return waiting;
}

static void lose(struct scan_job *waiting, size_t jobs)
{
    LOG_EVENT(LOG_ERROR, "quarantine", "the disk does not answer: what waits is not stored",
        log_unsigned("messages", jobs));
    while (waiting != NULL) {
        struct scan_job *next = waiting->next;

        scan_job_free(waiting);
        waiting = next;
    }
}

bool quarantine_writer_free(struct quarantine_writer *writer)
{
    struct scan_job *waiting = NULL;
    struct timespec until;
    size_t jobs;
    int error = 0;

    if (writer == NULL)
        return true;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += END_S;
    pthread_mutex_lock(&writer->lock);
    writer->ending = true;
    pthread_cond_signal(&writer->wanted);
    while (!writer->ended && error == 0)
        error = pthread_cond_timedwait(&writer->over, &writer->lock, &until);
    bool ended = writer->ended;
    jobs = writer->jobs;
    if (!ended)
        waiting = leave(writer);
    pthread_mutex_unlock(&writer->lock);
    if (!ended) {
        lose(waiting, jobs);
        return false;
    }
    pthread_join(writer->thread, NULL);
    destroy(writer);
    return true;
}
