/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of a client that wait for a replay store that answers later, in the order in which they came. The
 * store is asked about each as it comes, so that its answers take the time of one; what follows from the
 * answer, and all else that a packet does, has its turn when those before it are through. Foreseeing what
 * will be asked changes nothing of the session; the turn then judges once more and finds the same. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "proxy/session/session_internal.h"

struct session_waiting_packet {
    struct session_waiting_packet *next;
    uint64_t ticket; /* under which the store was asked and has not answered; 0: none */
    bool foreseen;   /* it was asked, and what it said is in known */
    struct session_foreseen known;
    struct mqtt_frame frame; /* of bytes */
    uint8_t bytes[];
};

/* ---- asking ---- */

bool session_replay_ask(struct session *session, const struct session_replay *replay, uint64_t *ticket,
    enum replay_answer *answer)
{
    *ticket = ++session->tickets;
    return session->hooks.replay(session->hooks.context, replay, *ticket, answer);
}

/* What a PUBLISH will want to know is asked for now. first: those before it are through, so that what its
 * alias stands for is known. True: it is not known yet. */
static bool foresee(struct session *session, const struct mqtt_frame *frame, bool first,
    struct session_foreseen *known, uint64_t *ticket, bool *foreseen)
{
    struct session_replay replay;

    *foreseen = false;
    *ticket = 0;
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
        session->hooks.replay_end(session->hooks.context, &replay, false);
}

void session_foreseen_end(struct session *session)
{
    if (session->foreseen != NULL && !session->foreseen->used)
        undo(session, session->foreseen);
    session->foreseen = NULL;
}

/* ---- the queue ---- */

static void append(struct session *session, const struct mqtt_frame *frame,
    const struct session_foreseen *known, uint64_t ticket, bool foreseen)
{
    struct session_waiting *waiting = &session->waiting;
    struct session_waiting_packet *item = memory_calloc(1, sizeof(*item) + frame->bytes.length);

    item->ticket = ticket;
    item->foreseen = foreseen;
    if (foreseen)
        item->known = *known;
    memcpy(item->bytes, frame->bytes.data, frame->bytes.length);
    item->frame = *frame;
    item->frame.bytes = view_of(item->bytes, frame->bytes.length);
    if (waiting->first == NULL)
        waiting->last = &waiting->first;
    *waiting->last = item;
    waiting->last = &item->next;
    waiting->count++;
    waiting->bytes += frame->bytes.length;
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
    struct session_foreseen known;
    uint64_t ticket;

    if (first && !(session->hooks.replays_later && frame->type == MQTT_PUBLISH &&
                     policy_signature_checks(session->settings->policy) != 0))
        return false;
    if (!foresee(session, frame, first, &known, &ticket, &foreseen) && first && !foreseen)
        return false;
    /* also where the answer is there: the turn is then taken from the queue at once */
    append(session, frame, &known, ticket, foreseen);
    return true;
}

void session_waiting_drop(struct session *session)
{
    while (session->waiting.first != NULL) {
        struct session_waiting_packet *item = pop(&session->waiting);

        if (item->foreseen && item->ticket == 0)
            undo(session, &item->known);
        free(item);
    }
}

/* ---- turns ---- */

/* Has the first one its turn? What could not be foreseen of it is asked for now. */
static bool is_due(struct session *session, struct session_waiting_packet *item)
{
    if (item->ticket == 0 && !item->foreseen)
        foresee(session, &item->frame, true, &item->known, &item->ticket, &item->foreseen);
    return item->ticket == 0;
}

/* The packet goes ahead of what its handler has made for the broker, as it does where nothing waits. */
static void forward(const struct mqtt_frame *frame, size_t before, struct buffer *to_broker)
{
    struct buffer made = {0};

    buffer_append(&made, view_skip(buffer_view(to_broker), before));
    to_broker->end = to_broker->start + before;
    buffer_append(to_broker, frame->bytes);
    buffer_append(to_broker, buffer_view(&made));
    buffer_release(&made);
}

static void take_turn(
    struct session *session, struct session_waiting_packet *item, struct session_output *output)
{
    size_t before = buffer_length(output->to_broker);

    session->foreseen = item->foreseen ? &item->known : NULL;
    if (session_client_turn(session, &item->frame, output) == SESSION_FORWARD)
        forward(&item->frame, before, output->to_broker);
    session_foreseen_end(session);
    free(item);
}

void session_waiting_turns(struct session *session, struct session_output *output)
{
    while (session->state == SESSION_OPEN && session->waiting.first != NULL &&
           is_due(session, session->waiting.first))
        take_turn(session, pop(&session->waiting), output);
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
