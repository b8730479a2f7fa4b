/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the copy of a message that is scanned beside its worker. Called by scan_pool.c and
 * quarantine_writer.c. */
#include "proxy/scan_job.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"

void scan_job_free(struct scan_job *job)
{
    scan_rules_release(job->rules);
    free(job->scans);
    free(job->results);
    free(job->parts);
    free(job->bytes);
    free(job);
}

/* On the worker's thread. */
static void on_worker(struct worker_task *task)
{
    struct scan_job *job = (struct scan_job *)task;

    if (job->owner != NULL)
        job->done(job->owner, job->results, job->count);
    scan_job_free(job);
}

/* How much of a payload is needed: one byte more than is looked at tells the scanner that there is more. */
static size_t payload_wanted(const struct scan_pool_request *request, bool whole)
{
    size_t most = 0;

    for (size_t i = 0; i < request->count; i++) {
        size_t max_scan = request->scans[i].request.max_scan;

        if (max_scan == SIZE_MAX || (request->scans[i].quarantine && whole))
            return SIZE_MAX;
        most = max_scan + 1 > most ? max_scan + 1 : most;
    }
    return most;
}

/* Moves the view to bytes at *used; bytes NULL: only counts. */
static void take_view(struct view *view, uint8_t *bytes, size_t *used)
{
    if (bytes != NULL && view->length > 0)
        memcpy(bytes + *used, view->data, view->length);
    if (bytes != NULL)
        view->data = bytes + *used;
    *used += view->length;
}

static size_t take_views(struct scan_job *job, uint8_t *bytes)
{
    struct view *const context[] = {&job->context.topic, &job->context.client_id, &job->context.username,
        &job->context.identity, &job->context.groups, &job->context.content_type};
    size_t used = 0;

    for (size_t i = 0; i < sizeof(context) / sizeof(context[0]); i++)
        take_view(context[i], bytes, &used);
    for (size_t i = 0; i < job->part_count; i++)
        take_view(&job->parts[i].bytes, bytes, &used);
    return used;
}

static void copy_message(struct scan_job *job, const struct scan_request *message, size_t payload_length)
{
    job->context = *message->context;
    job->part_count = message->part_count;
    job->parts = memory_calloc(message->part_count + 1, sizeof(*job->parts));
    for (size_t i = 0; i < message->part_count; i++) {
        struct scan_part *part = &job->parts[i];

        *part = message->parts[i];
        if (part->kind == SCAN_PAYLOAD && part->bytes.length > payload_length)
            part->bytes.length = payload_length;
    }
    job->size = take_views(job, NULL);
    job->bytes = memory_calloc(1, job->size + 1);
    take_views(job, job->bytes);
}

struct scan_job *scan_job_new(const struct scan_pool_request *request, bool whole)
{
    const struct scan_request *message = &request->scans[0].request;
    struct scan_job *job = memory_calloc(1, sizeof(*job));

    *job = (struct scan_job){.task = {.run = on_worker},
        .since_ms = clock_monotonic_ms(),
        .worker = request->worker,
        .rules = scan_rules_retain(request->rules),
        .done = request->done,
        .owner = request->owner,
        .scans = memory_calloc(request->count, sizeof(*job->scans)),
        .results = memory_calloc(request->count, sizeof(*job->results)),
        .count = request->count};
    copy_message(job, message, payload_wanted(request, whole));
    for (size_t i = 0; i < request->count; i++) {
        struct scan_request *scan = &job->scans[i].request;

        assert(request->scans[i].request.parts == message->parts &&
               request->scans[i].request.context == message->context);
        job->scans[i] = request->scans[i];
        scan->parts = job->parts;
        scan->context = &job->context;
        scan->work_max = 0; /* nobody else would finish it */
        scan->each = NULL;
    }
    return job;
}
