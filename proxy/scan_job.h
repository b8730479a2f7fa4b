/* SPDX-License-Identifier: Apache-2.0 */
/* A message on the scan pool, with all that its scans need. One owner at a time: the queue, a thread that
 * scans, the quarantine's writer, and at last the queue of its worker's tasks. */
#ifndef MQWARD_PROXY_SCAN_JOB_H
#define MQWARD_PROXY_SCAN_JOB_H

#include "proxy/scan_pool.h"
#include "proxy/worker.h"

struct scan_job {
    struct worker_task task; /* first: how the results come back */
    struct scan_pool *pool;
    struct scan_job *previous, *next; /* in a queue */
    uint64_t since_ms;                /* when it was submitted, monotonic */
    bool begun;                       /* the pool's lock's: it is not in its queue any more */
    struct worker *worker;
    struct scan_rules *rules; /* a reference: findings point into them until done() has returned */
    scan_done *done;
    void *owner; /* the worker's thread's alone; NULL: nobody waits any more */
    struct scan_context context;
    struct session_scan *scans;
    struct session_scanned *results;
    size_t count;
    struct scan_part *parts;
    size_t part_count;
    uint8_t *bytes; /* of parts and context */
    size_t size;    /* of bytes */
};

/* Copies what it needs of the message. whole: all of the payload, which may have to be stored. */
struct scan_job *scan_job_new(const struct scan_pool_request *request, bool whole);
void scan_job_free(struct scan_job *job);

#endif
