/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what a session knows of the messages that were refused and counted as repeats of an event
 * (audit-events "Floods are aggregated"). One that is the same in all that is compared of it is counted by a
 * ticket: no event is made of it, nothing is hashed, no clock is read. Called by session_audit_publish() and
 * session_run.c.
 *
 * What is compared here must be all of what exporters/repeats_key.c compares that may differ between two
 * messages of a session. The rest of it is the session's own: when it changes, everything is forgotten
 * (session_room_forget()). */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

/* Longer texts together are rare, and an attacker's: their events are made each time. */
#define TEXTS_MAX 512

struct session_act session_act_of_verdict(
    const struct policy_verdict *verdict, enum audit_action action, enum audit_disposition disposition)
{
    return (struct session_act){.action = action,
        .reason = verdict->reason,
        .disposition = disposition,
        .reason_code = -1,
        .rule = verdict->would_deny != NULL ? verdict->would_deny : verdict->rule,
        .nearest = verdict->nearest,
        .nearest_condition = verdict->nearest_condition};
}

struct session_act session_act_of(const struct session_publish *context, enum audit_action action,
    enum audit_disposition disposition, int reason_code)
{
    struct session_act act = session_act_of_verdict(&context->verdict, action, disposition);

    act.reason_code = reason_code;
    act.outbound = context->request.operation == POLICY_RECEIVE;
    if (context->is_signed)
        session_signature_names(&context->signature, &act.kid, &act.sub);
    if (!repeats_compares_topic(action))
        return act;
    act.topic = context->packet.topic;
    act.response_topic = context->response_topic;
    act.qos = context->packet.qos;
    act.retained = context->packet.retain;
    return act;
}

static bool is_same(const struct session_act *a, const struct session_act *b)
{
    return a->topic.length == b->topic.length && a->action == b->action && a->reason == b->reason &&
           a->disposition == b->disposition && a->reason_code == b->reason_code &&
           a->outbound == b->outbound && a->retained == b->retained && a->qos == b->qos &&
           a->rule == b->rule && a->nearest == b->nearest && a->nearest_condition == b->nearest_condition &&
           view_equal(a->topic, b->topic) && view_equal(a->response_topic, b->response_topic) &&
           view_equal(a->kid, b->kid) && view_equal(a->sub, b->sub);
}

/* NULL: there is none that is the same. */
static struct session_repeat *find(struct session_repeats *repeats, const struct session_act *act)
{
    if (repeats == NULL)
        return NULL;
    /* the same once more, or the next of a few in turn */
    for (unsigned i = 0; i < SESSION_REPEATS; i++) {
        unsigned at = (repeats->last + i) % SESSION_REPEATS;

        if (is_same(&repeats->items[at].act, act)) {
            repeats->last = (uint8_t)at;
            return &repeats->items[at];
        }
    }
    return NULL;
}

bool session_repeats_count(const struct session *session, const struct session_act *act, uint64_t count)
{
    const struct session_repeat *found = find(session->repeats, act);

    return found != NULL && session->hooks->audit_again(session->context, &found->ticket, count);
}

/* Its texts become the item's own. */
static void keep_text(struct view *text, uint8_t **at)
{
    if (text->length == 0) { /* and perhaps there is no place at all */
        *text = view_of(NULL, 0);
        return;
    }
    memcpy(*at, text->data, text->length);
    *text = view_of(*at, text->length);
    *at += text->length;
}

static struct session_repeat *replace_oldest(struct session_repeats *repeats, const struct session_act *act)
{
    size_t length = act->topic.length + act->response_topic.length + act->kid.length + act->sub.length;
    struct session_repeat *item;
    uint8_t *at;

    if (length > TEXTS_MAX)
        return NULL;
    repeats->last = repeats->next;
    item = &repeats->items[repeats->next];
    repeats->next = (uint8_t)((repeats->next + 1) % SESSION_REPEATS);
    if (length > item->capacity) {
        free(item->texts);
        item->texts = memory_calloc(1, length);
        item->capacity = length;
    }
    at = item->texts;
    item->act = *act;
    keep_text(&item->act.topic, &at);
    keep_text(&item->act.response_topic, &at);
    keep_text(&item->act.kid, &at);
    keep_text(&item->act.sub, &at);
    return item;
}

bool session_repeats_ask(
    struct session *session, const struct session_act *act, const struct audit_event *event)
{
    struct repeats_ticket ticket;
    struct session_repeat *item;

    if (!session->hooks->audit_repeat(session->context, event, &ticket))
        return false;
    if (act == NULL)
        return true;
    if (session->repeats == NULL)
        session->repeats = memory_calloc(1, sizeof(*session->repeats));
    item = find(session->repeats, act);
    if (item == NULL)
        item = replace_oldest(session->repeats, act);
    if (item != NULL)
        item->ticket = ticket;
    return true;
}

void session_repeats_forget(struct session *session)
{
    if (session->repeats == NULL)
        return;
    for (int i = 0; i < SESSION_REPEATS; i++)
        free(session->repeats->items[i].texts);
    free(session->repeats);
    session->repeats = NULL;
}
