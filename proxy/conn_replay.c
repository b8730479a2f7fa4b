/* SPDX-License-Identifier: Apache-2.0 */
/* The hooks of a session that asks whether a signed message has been here before: the proxy's own store, and
 * behind it the one that several proxies share. The answer of the latter comes later, from the worker's loop.
 *
 * The own store is always asked, first. What it refuses is refused, whatever Redis says: Redis may have lost
 * its data (a restart without persistence, a FLUSHALL, a failover to a replica that was behind), and must not
 * open on this proxy what this proxy knows. It refuses what was here and is acknowledged, what is another
 * message, and, failing closed as without Redis, what its bounds made it forget; a retransmission of what the
 * broker has not acknowledged is asked about in any case. Of what it lets pass, Redis decides:
 *
 *   own      Redis              answer
 *   NEW      NEW                NEW
 *   PENDING  NEW                PENDING: Redis has lost it
 *   either   PENDING            PENDING
 *   either   any other          that; and the own store remembers it as done, in case Redis is away next time
 *   either   away, or not asked store_down: local: own; deny: DOWN, and what was NEW is forgotten again
 */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "proxy/conn_internal.h"
#include "proxy/replay_shared.h"

/* A question under way. */
struct conn_ask {
    struct conn_ask *previous, *next; /* of the connection */
    struct conn *conn;
    struct replay_shared_ask
        *ask; /* NULL: it is answered, and found has to wait for room in the audit's ring */
    struct session_replay asked; /* its views are of names */
    uint64_t ticket;
    enum replay_answer own, found;
    uint8_t names[MPS1_KID_MAX + MPS1_SUB_MAX];
};

/* ---- the two stores ---- */

static enum replay_answer own_answer(const struct conn *conn, const struct session_replay *asked)
{
    return asked->sequence ? replay_sequence(conn->worker->replays, &asked->mark)
                           : replay_nonce(conn->worker->replays, &asked->mark, clock_wall_us() / 1000);
}

/* As the table above has it. shared: REPLAY_DOWN if Redis is away. */
static enum replay_answer combine(const struct conn *conn, const struct session_replay *asked,
    enum replay_answer own, enum replay_answer shared)
{
    struct replay_store *store = conn->worker->replays;

    switch (shared) {
    case REPLAY_NEW:
        return own;
    case REPLAY_PENDING:
        return shared;
    case REPLAY_DOWN:
        if (asked->store_down == SIGNATURE_STORE_LOCAL)
            return own;
        if (own == REPLAY_NEW)
            replay_undo(store, &asked->mark, asked->sequence);
        return REPLAY_DOWN;
    case REPLAY_DONE:
    case REPLAY_REUSED:
    case REPLAY_FORGOTTEN:
    case REPLAY_FULL:
        break;
    }
    replay_done(store, &asked->mark, asked->sequence);
    return shared;
}

/* ---- questions under way ---- */

static struct conn_ask *add_ask(
    struct conn *conn, const struct session_replay *asked, uint64_t ticket, enum replay_answer own)
{
    struct conn_ask *ask = memory_calloc(1, sizeof(*ask));
    const struct view *kid = &asked->mark.kid, *sub = &asked->mark.sub;

    assert(kid->length + sub->length <= sizeof(ask->names));
    ask->conn = conn;
    ask->asked = *asked;
    ask->ticket = ticket;
    ask->own = own;
    memcpy(ask->names, kid->data, kid->length);
    memcpy(ask->names + kid->length, sub->data, sub->length);
    ask->asked.mark.kid = view_of(ask->names, kid->length);
    ask->asked.mark.sub = view_of(ask->names + kid->length, sub->length);
    ask->next = conn->asks;
    if (ask->next != NULL)
        ask->next->previous = ask;
    conn->asks = ask;
    return ask;
}

static void remove_ask(struct conn_ask *ask)
{
    *(ask->previous == NULL ? &ask->conn->asks : &ask->previous->next) = ask->next;
    if (ask->next != NULL)
        ask->next->previous = ask->previous;
    free(ask);
}

void conn_cancel_asks(struct conn *conn)
{
    while (conn->asks != NULL) {
        replay_shared_cancel(conn->asks->ask);
        remove_ask(conn->asks);
    }
}

/* ---- answers ---- */

/* The packets that waited are carried out; those behind them that were read already have their turn. */
static void deliver(struct conn *conn, struct conn_ask *ask)
{
    enum replay_answer answer = combine(conn, &ask->asked, ask->own, ask->found);
    uint64_t ticket = ask->ticket;
    struct session_output output = conn_output_begin(conn);

    remove_ask(ask);
    conn->worker->scan_work = 0;
    session_replay_answered(conn->session, ticket, answer, &output);
    conn_carry_out(conn, &output);
    if (conn->client.waiting && conn->phase < CONN_CLOSING)
        conn_pump(conn, &conn->client);
}

static void on_answer(void *owner, enum replay_answer answer)
{
    struct conn_ask *ask = owner;
    struct conn *conn = ask->conn;

    assert(conn->magic == CONN_MAGIC && conn->phase < CONN_CLOSING);
    ask->ask = NULL;
    ask->found = answer;
    if (conn_may_answer(conn))
        deliver(conn, ask);
    conn_after_event(conn);
}

void conn_deliver_answers(struct conn *conn)
{
    struct conn_ask *next;

    for (struct conn_ask *ask = conn->asks; ask != NULL; ask = next) {
        next = ask->next;
        if (ask->ask != NULL)
            continue;
        if (!conn_may_answer(conn))
            return;
        deliver(conn, ask);
        next = conn->asks; /* anything may have been asked or cancelled */
    }
}

/* ---- hooks ---- */

bool conn_replay(
    void *context, const struct session_replay *asked, uint64_t ticket, enum replay_answer *answer)
{
    struct conn *conn = context;
    enum replay_answer own = own_answer(conn, asked);
    struct conn_ask *ask;

    assert(conn->magic == CONN_MAGIC);
    *answer = own;
    if (conn->worker->replay_shared == NULL || (own != REPLAY_NEW && own != REPLAY_PENDING))
        return true;
    ask = add_ask(conn, asked, ticket, own);
    ask->ask = replay_shared_ask(
        conn->worker->replay_shared, &asked->mark, asked->sequence, clock_wall_us() / 1000, on_answer, ask);
    if (ask->ask != NULL)
        return false;
    remove_ask(ask);
    *answer = combine(conn, asked, own, REPLAY_DOWN);
    return true;
}

bool conn_replay_is_done(void *context, const struct session_replay *asked)
{
    const struct conn *conn = context;

    return replay_is_done(conn->worker->replays, &asked->mark, asked->sequence);
}

void conn_replay_end(void *context, const struct session_replay *asked, bool done)
{
    const struct conn *conn = context;
    struct worker *worker = conn->worker;

    if (done) {
        replay_done(worker->replays, &asked->mark, asked->sequence);
        if (worker->replay_shared != NULL)
            replay_shared_done(worker->replay_shared, &asked->mark, asked->sequence);
    } else if (replay_undo(worker->replays, &asked->mark, asked->sequence) && worker->replay_shared != NULL)
        replay_shared_undo(worker->replay_shared, &asked->mark, asked->sequence);
}
