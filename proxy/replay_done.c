/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of messages that are done. Called by replay_shared.c. */
#include "proxy/replay_done.h"

static struct replay_done *at(struct replay_dones *dones, uint64_t number)
{
    return &dones->items[number % REPLAY_DONE_KEPT];
}

static void advance(struct replay_dones *dones)
{
    while (dones->first < dones->sent && at(dones, dones->first)->confirmed)
        dones->first++;
}

bool replay_dones_push(struct replay_dones *dones, const struct replay_subject *subject)
{
    bool room = dones->next - dones->first < REPLAY_DONE_KEPT;

    if (!room && dones->sent > dones->first)
        return false;
    if (!room) { /* the oldest message is the first that its age refuses */
        dones->first++;
        dones->sent++;
    }
    *at(dones, dones->next++) = (struct replay_done){.subject = *subject};
    return room;
}

struct replay_done *replay_dones_take(struct replay_dones *dones, uint64_t now_ms)
{
    while (dones->sent < dones->next && dones->sent - dones->first < REPLAY_DONE_AT_ONCE) {
        struct replay_done *done = at(dones, dones->sent++);

        if (!done->confirmed && (done->subject.sequence || done->subject.until_ms > now_ms))
            return done;
        replay_dones_confirm(dones, done);
    }
    return NULL;
}

void replay_dones_confirm(struct replay_dones *dones, struct replay_done *done)
{
    done->confirmed = true;
    advance(dones);
}

void replay_dones_rewind(struct replay_dones *dones)
{
    dones->sent = dones->first;
}
