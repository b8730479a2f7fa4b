/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that scan what would hold up a worker's loop, and one that stores what is to be kept for the
 * analyst. Messages are scanned in the order in which they come, whoever sends them: each connection has at
 * most one in a direction there, and waits for its answer, so that none has more than its share. How long one
 * waits is bounded; then it is answered as one that could not be scanned. */
#ifndef MQWARD_PROXY_SCAN_POOL_H
#define MQWARD_PROXY_SCAN_POOL_H

#include "base/counter.h"
#include "proxy/quarantine.h"
#include "proxy/session/session.h"

struct scan_job;
struct scan_pool;
struct worker;

/* threads: scans at the same time. wait_ms: how long a message waits for one; it is looked at when one of
 * them is free. quarantine: where parts of messages are stored, NULL: nowhere; outlives the pool. NULL: no
 * thread could be started (errno). */
struct scan_pool *scan_pool_new(unsigned threads, uint64_t wait_ms, struct quarantine *quarantine);
/* Ends the threads; what was not scanned is not, what waits to be stored is. After the workers' loops. NULL
 * is fine. False: the disk does not answer, and the quarantine must not be touched any more, nor closed. */
bool scan_pool_free(struct scan_pool *pool);

/* results: one for each scan, for the call. */
typedef void scan_done(void *owner, const struct session_scanned *results, size_t count);

struct scan_pool_request {
    struct worker *worker;
    struct scan_rules *rules;         /* the job takes a reference of its own */
    const struct session_scan *scans; /* of one message: they share its parts and context */
    size_t count;
    scan_done *done;
    void *owner;
};
/* Has the message scanned; done(owner, ...) is called on the worker's thread, once. Copies what it needs of
 * the message: of each part no more than the scans look at, or all of the payload where it may have to be
 * stored. */
struct scan_job *scan_pool_submit(struct scan_pool *pool, const struct scan_pool_request *request);
/* The worker's thread: done is not called any more. A job that has not begun is gone at once; what has begun
 * is scanned and, if need be, stored. */
void scan_job_cancel(struct scan_job *job); /* NULL is fine */
/* Any thread: how busy it is, and how long scans took since the start (histogram_long). */
struct scan_pool_status {
    unsigned threads, busy;
    size_t waiting; /* messages */
    struct histogram_total durations;
};
void scan_pool_status(struct scan_pool *pool, struct scan_pool_status *status);
/* Any thread: other rules are in force. Idle threads let go of the ones that they have scanned with. */
void scan_pool_release_rules(struct scan_pool *pool);

#endif
