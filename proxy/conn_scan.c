/* SPDX-License-Identifier: Apache-2.0 */
/* The hooks of a session that has payloads scanned: by the worker's own scanner, or, where that would hold up
 * the loop, by the pool, whose answers come from the worker's queue of tasks. */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "proxy/conn_internal.h"
#include "proxy/scan_pool.h"

/* A message on the pool. */
struct conn_scan {
    struct conn_scan *previous, *next; /* of the connection */
    struct conn *conn;
    struct scan_job *job; /* NULL: it is answered, and results have to wait for room in the audit's ring */
    uint64_t ticket;
    struct scan_rules *rules;        /* that results point into; one reference */
    struct session_scanned *results; /* owned; NULL while it is under way */
    size_t count;
};

static void remove_scan(struct conn_scan *scan)
{
    *(scan->previous == NULL ? &scan->conn->scans : &scan->previous->next) = scan->next;
    if (scan->next != NULL)
        scan->next->previous = scan->previous;
    scan_rules_release(scan->rules);
    free(scan->results);
    free(scan);
}

void conn_cancel_scans(struct conn *conn)
{
    while (conn->scans != NULL) {
        scan_job_cancel(conn->scans->job);
        remove_scan(conn->scans);
    }
}

/* ---- answers ---- */

/* The packets that waited are carried out; those behind them that were read already have their turn. */
static void carry_on(struct conn *conn, uint64_t ticket, const struct session_scanned *results, size_t count)
{
    struct session_output output = conn_output_begin(conn);

    conn->worker->scan_work = 0;
    session_scan_answered(conn->session, ticket, results, count, &output);
    conn_carry_out(conn, &output);
    if (conn->client.waiting && conn->phase < CONN_CLOSING)
        conn_pump(conn, &conn->client);
    if (conn->broker.waiting && conn->phase < CONN_CLOSING)
        conn_pump(conn, &conn->broker);
}

static void on_scanned(void *owner, const struct session_scanned *results, size_t count)
{
    struct conn_scan *scan = owner;
    struct conn *conn = scan->conn;
    uint64_t ticket = scan->ticket;

    assert(conn->magic == CONN_MAGIC && conn->phase < CONN_CLOSING);
    scan->job = NULL;
    if (conn_may_answer(conn)) {
        remove_scan(scan);
        carry_on(conn, ticket, results, count); /* the job holds what they point into */
    } else {
        scan->results = memory_calloc(count, sizeof(*results));
        memcpy(scan->results, results, count * sizeof(*results));
        scan->count = count;
    }
    conn_after_event(conn);
}

static void deliver(struct conn_scan *scan)
{
    struct conn *conn = scan->conn;
    struct session_scanned *results = scan->results;
    struct scan_rules *rules = scan_rules_retain(scan->rules);
    uint64_t ticket = scan->ticket;
    size_t count = scan->count;

    scan->results = NULL;
    remove_scan(scan);
    carry_on(conn, ticket, results, count);
    free(results);
    scan_rules_release(rules);
}

void conn_deliver_scans(struct conn *conn)
{
    struct conn_scan *next;

    for (struct conn_scan *scan = conn->scans; scan != NULL; scan = next) {
        next = scan->next;
        if (scan->results == NULL)
            continue;
        if (!conn_may_answer(conn))
            return;
        deliver(scan);
        next = conn->scans; /* anything may have been asked or cancelled */
    }
}

/* ---- hooks ---- */

/* What a connection's packets may take of one turn of the loop, as bounded as each is: then they wait for the
 * pool, and others have their turn. Messages that meet no rule take nothing of it. */
#define TURN_WORK (64 * 1024)

/* Most scans meet no rule, and two looks at the clock would cost a third of such a scan. One in so many is
 * timed; the others are taken to be like it, with what libyara took besides. */
#define SCANS_TIMED 16

static void scan_timed(struct worker *worker, struct scan_rules *rules, const struct scan_request *request,
    struct scan_result *result)
{
    bool timed = worker->scans_untimed == 0;
    uint64_t begun_ns = timed ? clock_monotonic_ns() : 0, took_ns;

    worker->scans_untimed = (worker->scans_untimed + 1) % SCANS_TIMED;
    scanner_scan(worker->scanner, rules, request, result);
    took_ns = timed ? clock_monotonic_ns() - begun_ns : worker->scan_quiet_ns + result->spent_ns;
    if (timed && result->work == 0)
        worker->scan_quiet_ns = took_ns;
    histogram_add(&worker->counters->scan, &histogram_long, took_ns);
}

bool conn_scan(void *context, const struct scan_request *request, struct scan_result *result)
{
    struct conn *conn = context;
    struct worker *worker = conn->worker;

    assert(conn->magic == CONN_MAGIC);
    if (worker->scan_work > TURN_WORK)
        return false;
    if (worker->scanner == NULL)
        worker->scanner = scanner_new();
    scan_timed(worker, conn->snapshot->scan_rules, request, result);
    worker->scan_work += result->work;
    return !result->given_up;
}

void conn_scan_later(void *context, const struct session_scan *scans, size_t count, uint64_t ticket)
{
    struct conn *conn = context;
    struct conn_scan *scan = memory_calloc(1, sizeof(*scan));
    const struct scan_pool_request request = {.worker = conn->worker,
        .rules = conn->snapshot->scan_rules,
        .scans = scans,
        .count = count,
        .done = on_scanned,
        .owner = scan};

    assert(conn->magic == CONN_MAGIC);
    scan->conn = conn;
    scan->ticket = ticket;
    scan->rules = scan_rules_retain(conn->snapshot->scan_rules);
    scan->next = conn->scans;
    if (scan->next != NULL)
        scan->next->previous = scan;
    conn->scans = scan;
    scan->job = scan_pool_submit(conn->worker->scan_pool, &request);
}
