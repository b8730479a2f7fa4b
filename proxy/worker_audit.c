/* SPDX-License-Identifier: Apache-2.0 */
/* The audit of a worker: its ring, its table of repeats and losses, and who waits when the ring is short of
 * room (audit-events "Bounded memory and disk"). Called by conn*.c for what happens, and by worker.c.
 *
 *   event -> repeats_count(): like one that was told? -> a count in the table, and that is all
 *         -> on_full: drop: worth its place?          -> else a count of what is lost
 *         -> ring_push()                              -> block: waits; deny, drop: a count of what is lost
 *         -> repeats_begin()
 *
 *   the same as the last one, as the session knows -> repeats_count_again(): no event is made of it
 *
 * What is counted is told by a timer: repeats when their interval ends, losses as soon as there is room. */
#include <event2/event.h>

#include "base/address.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "proxy/worker.h"

/* What could not be told for want of room is tried again after so long. */
#define RETRY_MS 100
/* While the ring is drained and stays short of room, losses are told so often, if so much is left for others.
 * While it is not drained at all they are not: there is nobody to tell. */
#define LOST_INTERVAL_MS 1000
#define LOST_ROOM ((size_t)4 * AUDIT_EVENT_MAX)

/* ---- shares ---- */

/* Whose events fill the ring? Above half of it, nobody has more than a part of what is left: however many
 * flood it, there is always something for those who do not. Of what is most severe the parts are larger, but
 * it is the client's to choose, too. */
struct parts {
    uint64_t connection, principal; /* one of so many */
};
static const struct parts usual_parts = {16, 8}, severe_parts = {4, 2};

/* Would bytes more be over it? A packet that has more to tell than a quarter of the ring has its turn when
 * that much is free of the lower half. */
static bool over_share(
    const struct worker *worker, const struct worker_share *share, uint64_t bytes, const struct parts *parts)
{
    uint64_t capacity = ring_capacity(worker->ring), used = ring_used(worker->ring), left = capacity - used;
    uint64_t counted = bytes < capacity / 4 ? bytes : capacity / 4, tail = ring_tail(worker->ring);

    if (share == NULL || used + counted <= capacity / 2)
        return false;
    if (!share->settled &&
        shares_undrained(&worker->shares, share->site, tail) + bytes > left / parts->principal)
        return true;
    return share_undrained(&share->own, tail) + bytes > left / parts->connection ||
           shares_undrained(&worker->shares, share->principal, tail) + bytes > left / parts->principal;
}

void worker_share_begin(struct worker_share *share, struct view address)
{
    char site[ADDRESS_SITE_SIZE];

    share->site = hash_bytes(address_site(address, site) ? view_of_string(site) : address);
    share->principal = share->site;
}

void worker_share_answer(struct worker_share *share, struct view identity)
{
    share->principal = identity.length == 0 ? share->site : hash_bytes(identity);
}

/* Of what was pushed since the ring's head was before. */
static void charge_all(struct worker *worker, struct worker_share *share, uint64_t before)
{
    uint64_t head = ring_head(worker->ring), tail = ring_tail(worker->ring), bytes = head - before;

    if (share == NULL)
        return;
    share_charge(&share->own, bytes, tail, head);
    shares_charge(&worker->shares, share->principal, bytes, tail, head);
    if (!share->settled && share->site != share->principal)
        shares_charge(&worker->shares, share->site, bytes, tail, head);
}

/* ---- what is not in the ring ---- */

/* Sets the timer, which is touched only where it has to be earlier. */
static void tell_by(struct worker *worker, uint64_t at_ms, uint64_t now_ms)
{
    uint64_t wait_ms = at_ms > now_ms ? at_ms - now_ms : 0;
    const struct timeval wait = {(time_t)(wait_ms / 1000), (suseconds_t)(wait_ms % 1000 * 1000)};

    if (worker->tell_at_ms != 0 && worker->tell_at_ms <= at_ms)
        return;
    worker->tell_at_ms = at_ms;
    event_add(worker->tell_event, &wait);
}

static void lose(struct worker *worker, enum repeats_loss why, const struct audit_event *event)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (!repeats_has_lost(worker->repeats))
        worker->lost_tail = ring_tail(worker->ring);
    repeats_lose(worker->repeats, why, event);
    LOG_LIMITED(LOG_ERROR, "audit",
        why == REPEATS_LOST_WAITING ? "an event was lost: the process ends and the ring has no room"
                                    : "an event was lost: the ring has no room",
        log_string("action", audit_action_name(event->action)), log_view("session", event->session_id));
    tell_by(worker, now_ms + RETRY_MS, now_ms);
}

static bool may_tell_lost(const struct worker *worker, uint64_t now_ms)
{
    uint64_t capacity = ring_capacity(worker->ring), drained = ring_tail(worker->ring) - worker->lost_tail;

    if (ring_used(worker->ring) <= capacity / 4)
        return true;
    return drained >= capacity / 8 && now_ms - worker->lost_told_ms >= LOST_INTERVAL_MS &&
           ring_has_room(worker->ring, LOST_ROOM);
}

static void tell_lost(struct worker *worker)
{
    uint64_t now_ms;

    if (!repeats_has_lost(worker->repeats))
        return;
    now_ms = clock_monotonic_ms();
    if (may_tell_lost(worker, now_ms) && repeats_tell_lost(worker->repeats, worker->ring, clock_wall_us()))
        worker->lost_told_ms = now_ms;
}

void worker_on_tell(evutil_socket_t fd, short what, void *argument)
{
    struct worker *worker = argument;
    uint64_t now_ms = clock_monotonic_ms(), due_ms;
    bool told;

    (void)fd, (void)what;
    worker->tell_at_ms = 0;
    tell_lost(worker);
    told = repeats_tell(worker->repeats, worker->ring, now_ms);
    due_ms = repeats_due_ms(worker->repeats);
    if (!told || repeats_has_lost(worker->repeats))
        tell_by(worker, now_ms + RETRY_MS, now_ms);
    if (told && due_ms != 0)
        tell_by(worker, due_ms, now_ms);
}

void worker_audit_begin(struct worker *worker)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (repeats_due_ms(worker->repeats) != 0 || repeats_has_lost(worker->repeats))
        tell_by(worker, now_ms, now_ms);
}

void worker_audit_finish(struct worker *worker)
{
    while (!repeats_tell_all(worker->repeats, worker->ring) ||
           !repeats_tell_lost(worker->repeats, worker->ring, clock_wall_us()))
        if (!worker_wait_for_room(worker)) {
            LOG_EVENT(LOG_WARN, "audit", "what was counted is told at the next start: the ring has no room");
            return;
        }
}

/* ---- events ---- */

/* With deny, a packet that was let in has its events recorded while there is room at all: that was asked for.
 * The events of what was not, a refusal for want of room or a connection that never said who it is, are not
 * to take that room away. */
static bool was_asked_for(const struct worker_share *share, const struct audit_event *event)
{
    return share == NULL || (share->admitted && event->reason != REASON_audit_unavailable);
}

/* What somebody pours in is lost before what is others'. With drop, the fuller the ring, the more severe is
 * what still gets in. */
static bool is_worth(const struct worker *worker, const struct worker_share *share,
    const struct audit_event *event, size_t size)
{
    uint64_t capacity = ring_capacity(worker->ring), used = ring_used(worker->ring);
    unsigned severity;

    if (worker->on_full == CONFIG_ON_FULL_BLOCK || used <= capacity / 2)
        return true;
    if (worker->on_full == CONFIG_ON_FULL_DENY)
        return was_asked_for(share, event) || !over_share(worker, share, size, &usual_parts);
    severity = repeats_severity(event);
    if (over_share(worker, share, size, severity >= 99 ? &severe_parts : &usual_parts))
        return false;
    return severity >= 99 ||
           (severity > 21 && used <= (severity <= 47 ? capacity / 4 * 3 : capacity / 8 * 7));
}

/* False: there is no room, and it is not to be waited for, or was for too long. */
static bool push(struct worker *worker, struct view record)
{
    while (!ring_push(worker->ring, record))
        if (worker->on_full != CONFIG_ON_FULL_BLOCK || !worker_wait_for_room(worker))
            return false;
    return true;
}

bool worker_audit_repeat(
    struct worker *worker, const struct audit_event *event, struct repeats_ticket *ticket)
{
    worker->wall_us = event->wall_us;
    if (!repeats_count(worker->repeats, event))
        return false;
    *ticket = repeats_ticket(worker->repeats);
    return true;
}

/* Packets that are handled in one go have one time: that of the last event that was made, so that none seems
 * to have been before the one that it repeats. */
bool worker_audit_again(struct worker *worker, const struct repeats_ticket *ticket, uint64_t count)
{
    if (worker->wall_us == 0)
        worker->wall_us = clock_wall_us();
    return repeats_count_again(worker->repeats, ticket, count, worker->wall_us);
}

void worker_audit(struct worker *worker, struct worker_share *share, const struct audit_event *event)
{
    static const enum repeats_loss why[] = {
        [CONFIG_ON_FULL_BLOCK] = REPEATS_LOST_WAITING,
        [CONFIG_ON_FULL_DENY] = REPEATS_LOST_DENY,
        [CONFIG_ON_FULL_DROP] = REPEATS_LOST_DROP,
    };
    uint8_t record[AUDIT_EVENT_MAX];
    struct view encoded;
    uint64_t before, now_ms, due_ms;

    worker->wall_us = event->wall_us;
    if (repeats_count(worker->repeats, event))
        return;
    tell_lost(worker);
    encoded = view_of(record, audit_event_encode(event, record));
    before = ring_head(worker->ring);
    if (!is_worth(worker, share, event, encoded.length) || !push(worker, encoded)) {
        lose(worker, why[worker->on_full], event);
        return;
    }
    charge_all(worker, share, before);
    if (!worker->aggregates)
        return;
    now_ms = clock_monotonic_ms();
    repeats_begin(worker->repeats, event, worker->ring, now_ms);
    due_ms = repeats_due_ms(worker->repeats);
    if (due_ms != 0)
        tell_by(worker, due_ms, now_ms);
}

/* ---- room ---- */

/* To wait for more than half of the ring would be to wait for long, and with it for ever: what nobody loses
 * may wait again in the middle. What can't be recorded in whole is not let in where it would be lost. */
static bool has_room(const struct worker *worker, size_t most, size_t promised)
{
    uint64_t capacity = ring_capacity(worker->ring), room = capacity - ring_used(worker->ring);

    return room >= promised + (worker_audit_can_wait(worker, most) ? most : capacity / 2);
}

bool worker_audit_can_wait(const struct worker *worker, size_t most)
{
    return worker->on_full != CONFIG_ON_FULL_BLOCK || most <= ring_capacity(worker->ring) / 2;
}

enum worker_room worker_audit_foresee(
    const struct worker *worker, const struct worker_share *share, size_t most, size_t usual, size_t promised)
{
    bool room = has_room(worker, most, promised);

    if (worker->on_full == CONFIG_ON_FULL_DROP || (room && !over_share(worker, share, usual, &usual_parts)))
        return WORKER_ROOM;
    if (worker->on_full == CONFIG_ON_FULL_DENY)
        return WORKER_ROOM_DENIED;
    return room ? WORKER_SHARE_LATER : WORKER_ROOM_LATER;
}

static enum worker_room admit(struct worker_share *share)
{
    if (share != NULL)
        share->admitted = true;
    return WORKER_ROOM;
}

bool worker_audit_is_easy(const struct worker *worker, struct worker_share *share, size_t most)
{
    if (ring_used(worker->ring) + most > ring_capacity(worker->ring) / 2)
        return false;
    share->admitted = true;
    return true;
}

enum worker_room worker_audit_ask(
    struct worker *worker, struct worker_share *share, size_t most, size_t usual)
{
    enum worker_room room = worker_audit_foresee(worker, share, most, usual, 0);

    if (room == WORKER_ROOM)
        return admit(share);
    exporter_wake(worker->exporter);
    if (room == WORKER_SHARE_LATER)
        worker_rest_connection(worker);
    else if (room == WORKER_ROOM_LATER && !worker->audit_full) {
        worker->audit_full = true;
        LOG_LIMITED(LOG_ERROR, "audit", "the ring is full: clients are not read until it has room");
        worker_rest(worker);
    }
    return room;
}

bool worker_audit_room(struct worker *worker, size_t size)
{
    return worker_audit_ask(worker, NULL, size, 0) != WORKER_ROOM_LATER;
}
