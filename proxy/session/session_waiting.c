/* SPDX-License-Identifier: Apache-2.0 */
/* Packets that wait, in the order in which they came: those of a client for a replay store that answers
 * later, those of either side for a scan.
 *
 * The replay store is asked about each as it comes, so that its answers take the time of one; what follows
 * from the answer, and all else that a packet does, has its turn when those before it are through. Foreseeing
 * what will be asked changes nothing of the session; the turn then judges once more and finds the same. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "proxy/session/session_internal.h"

struct session_waiting_packet {
    struct session_waiting_packet *next;
    uint64_t ticket;               /* under which the store was asked and has not answered; 0: none */
    uint64_t scan_ticket;          /* under which it is scanned; 0: it is not */
    uint64_t scan_checks, scan_of; /* as struct session_hold */
    bool foreseen;                 /* it was asked, and what it said is in known */
    struct session_foreseen known;
    struct mqtt_frame frame; /* of bytes */
    uint8_t bytes[];
};

/* ---- asking ---- */

bool session_replay_ask(struct session *session, const struct session_replay *replay, uint64_t *ticket,
    enum replay_answer *answer)
{
    *ticket = ++session->tickets;
    return session->hooks->replay(session->context, replay, *ticket, answer);
}

/* What a PUBLISH will want to know is asked for now. first: those before it are through, so that what its
 * alias stands for is known. True: it is not known yet. */
static bool foresee(struct session *session, const struct mqtt_frame *frame, bool first,
    struct session_foreseen *known, uint64_t *ticket, bool *foreseen)
{
    struct session_replay replay;

    *foreseen = false;
    *ticket = 0;
    if (!session->hooks->replays_later) /* it says in the packet's turn what is so by then */
        return false;
    known->now_ms = clock_wall_us() / 1000;
    known->used = false;
    if (frame->type != MQTT_PUBLISH ||
        !session_publish_foresee(session, frame, first, known->now_ms, &known->mark))
        return false;
    *foreseen = true;
    replay = session_mark_replay(&known->mark);
    if (!session_replay_ask(session, &replay, ticket, &known->answer))
        return true;
    *ticket = 0;
    return false;
}

static void undo(const struct session *session, const struct session_foreseen *known)
{
    struct session_replay replay = session_mark_replay(&known->mark);

    if (known->answer == REPLAY_NEW)
        session->hooks->replay_end(session->context, &replay, false);
}

void session_foreseen_end(struct session *session)
{
    if (session->foreseen != NULL && !session->foreseen->used)
        undo(session, session->foreseen);
    session->foreseen = NULL;
}

/* ---- the queue ---- */

static struct session_waiting_packet *copy(const struct mqtt_frame *frame)
{
    struct session_waiting_packet *item = memory_calloc(1, sizeof(*item) + frame->bytes.length);

    memcpy(item->bytes, frame->bytes.data, frame->bytes.length);
    item->frame = *frame;
    item->frame.bytes = view_of(item->bytes, frame->bytes.length);
    return item;
}

static void append(struct session_waiting *waiting, struct session_waiting_packet *item)
{
    if (waiting->first == NULL)
        waiting->last = &waiting->first;
    *waiting->last = item;
    waiting->last = &item->next;
    waiting->count++;
    waiting->bytes += item->frame.bytes.length;
}

/* Back to where it was. */
static void push(struct session_waiting *waiting, struct session_waiting_packet *item)
{
    if (waiting->first == NULL)
        waiting->last = &item->next;
    item->next = waiting->first;
    waiting->first = item;
    waiting->count++;
    waiting->bytes += item->frame.bytes.length;
}

static struct session_waiting_packet *pop(struct session_waiting *waiting)
{
    struct session_waiting_packet *item = waiting->first;

    waiting->first = item->next;
    waiting->count--;
    waiting->bytes -= item->frame.bytes.length;
    return item;
}

bool session_waiting_take(struct session *session, const struct mqtt_frame *frame)
{
    bool first = session->waiting.first == NULL, foreseen;
    struct session_waiting_packet *item;
    struct session_foreseen known;
    uint64_t ticket;

    if (first && !(session->hooks->replays_later && frame->type == MQTT_PUBLISH &&
                     policy_signature_checks(session->settings->policy) != 0))
        return false;
    if (!foresee(session, frame, first, &known, &ticket, &foreseen) && first && !foreseen)
        return false;
    /* also where the answer is there: the turn is then taken from the queue at once */
    item = copy(frame);
    item->ticket = ticket;
    item->foreseen = foreseen;
    if (foreseen)
        item->known = known;
    append(&session->waiting, item);
    return true;
}

void session_hold_end(struct session *session)
{
    session->hold.ticket = 0;
    free(session->hold.known);
    session->hold.known = NULL;
}

/* The turn of a packet ends without an end: it goes on when the scan is known. */
static void hold(struct session *session, struct session_waiting_packet *item)
{
    item->scan_ticket = session->hold.ticket;
    item->scan_checks = session->hold.checks;
    item->scan_of = session->hold.of;
    if (session->hold.known != NULL && !item->foreseen) {
        item->foreseen = true;
        item->known = *session->hold.known;
    }
    session_hold_end(session);
}

void session_waiting_hold(
    struct session *session, struct session_waiting *waiting, const struct mqtt_frame *frame)
{
    struct session_waiting_packet *item = copy(frame);

    hold(session, item);
    append(waiting, item);
}

void session_waiting_deliver(struct session *session, const struct mqtt_frame *frame)
{
    append(&session->deliveries, copy(frame));
}

void session_waiting_drop(struct session *session)
{
    while (session->waiting.first != NULL) {
        struct session_waiting_packet *item = pop(&session->waiting);

        if (item->foreseen && item->ticket == 0)
            undo(session, &item->known);
        free(item);
    }
    session_waiting_free(&session->deliveries);
    if (session->held_connect != NULL && session->held_connect->is_foreseen &&
        session->held_connect->ticket == 0)
        undo(session, &session->held_connect->foreseen);
}

/* ---- turns ---- */

/* Has the first one its turn? What could not be foreseen of it is asked for now. */
static bool is_due(struct session *session, struct session_waiting_packet *item)
{
    if (item->scan_ticket != 0)
        return false;
    if (item->ticket == 0 && !item->foreseen && session->scanned == NULL)
        foresee(session, &item->frame, true, &item->known, &item->ticket, &item->foreseen);
    return item->ticket == 0;
}

/* The packet goes ahead of what its handler has made for its receiver, as it does where nothing waits. */
static void forward(const struct mqtt_frame *frame, size_t before, struct buffer *to)
{
    struct buffer made = {0};

    buffer_append(&made, view_skip(buffer_view(to), before));
    to->end = to->start + before;
    buffer_append(to, frame->bytes);
    buffer_append(to, buffer_view(&made));
    buffer_release(&made);
}

/* False: it has to wait after all. */
static bool take_turn(
    struct session *session, struct session_waiting_packet *item, struct session_output *output)
{
    size_t before = buffer_length(output->to_broker);
    enum session_verdict verdict;

    session->foreseen = item->foreseen ? &item->known : NULL;
    verdict = session_client_turn(session, &item->frame, output);
    session->scanned = NULL;
    if (session->hold.ticket != 0) {
        session->foreseen = NULL;
        hold(session, item);
        push(&session->waiting, item);
        return false;
    }
    if (verdict == SESSION_FORWARD)
        forward(&item->frame, before, output->to_broker);
    session_foreseen_end(session);
    free(item);
    return true;
}

/* False: the audit has no room for it yet. What was scanned has its turn now: its results are not kept. */
static bool has_room(struct session *session, const struct session_waiting_packet *item)
{
    enum session_room room = SESSION_ROOM;

    if (session->hooks->room != NULL)
        room = session->hooks->room(session->context, session_audit_need(session, &item->frame));
    session_set_room(session, room);
    return room != SESSION_ROOM_LATER || session->scanned != NULL;
}

void session_waiting_turns(struct session *session, struct session_output *output)
{
    while (session->state == SESSION_OPEN && session->waiting.first != NULL &&
           is_due(session, session->waiting.first) && has_room(session, session->waiting.first))
        if (!take_turn(session, pop(&session->waiting), output))
            break;
    session_set_room(session, SESSION_ROOM);
}

/* False: it has to wait. */
static bool deliver(
    struct session *session, struct session_waiting_packet *item, struct session_output *output)
{
    size_t before = buffer_length(output->to_client);
    enum session_verdict verdict = session_broker_turn(session, &item->frame, output);

    session->scanned = NULL;
    if (session->hold.ticket != 0) {
        hold(session, item);
        push(&session->deliveries, item);
        return false;
    }
    if (verdict == SESSION_FORWARD)
        forward(&item->frame, before, output->to_client);
    free(item);
    return true;
}

static void deliveries(struct session *session, struct session_output *output)
{
    struct session_waiting *waiting = &session->deliveries;

    while (session->state == SESSION_OPEN && waiting->first != NULL && waiting->first->scan_ticket == 0 &&
           has_room(session, waiting->first))
        if (!deliver(session, pop(waiting), output))
            break;
    session_set_room(session, SESSION_ROOM);
}

static bool is_scanned(const struct session_waiting *waiting, uint64_t ticket)
{
    return waiting->first != NULL && waiting->first->scan_ticket == ticket;
}

void session_waiting_scanned(struct session *session, uint64_t ticket, const struct session_scanned *results,
    struct session_output *output)
{
    struct session_waiting *waiting = is_scanned(&session->waiting, ticket)      ? &session->waiting
                                      : is_scanned(&session->deliveries, ticket) ? &session->deliveries
                                                                                 : NULL;

    if (waiting == NULL || session->state != SESSION_OPEN)
        return; /* it was given up */
    waiting->first->scan_ticket = 0;
    session->scanned = results;
    session->scanned_checks = waiting->first->scan_checks;
    session->scanned_of = waiting->first->scan_of;
    if (waiting == &session->waiting)
        session_waiting_turns(session, output);
    else
        deliveries(session, output);
}

void session_carry_on(struct session *session, struct session_output *output)
{
    assert(session->magic == SESSION_MAGIC);
    session_waiting_turns(session, output);
    deliveries(session, output);
}

bool session_waiting_answered(struct session *session, uint64_t ticket, enum replay_answer answer)
{
    struct session_waiting_packet *item = session->waiting.first;

    while (item != NULL && item->ticket != ticket)
        item = item->next;
    if (item == NULL)
        return false;
    item->ticket = 0;
    item->known.answer = answer;
    return true;
}

void session_waiting_free(struct session_waiting *waiting)
{
    while (waiting->first != NULL)
        free(pop(waiting));
}
