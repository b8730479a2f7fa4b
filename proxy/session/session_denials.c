/* SPDX-License-Identifier: Apache-2.0 */
/* Owns denials of the policy that hold for the same topic again, within the bounds that the policy gave: as
 * session_cache.c for what is allowed. Called by the handlers of PUBLISH, both ways. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

/* As those of what is allowed: longer ones are decided each time. */
#define TOPIC_MAX 256

static bool holds(const struct session_denial *denial, const struct policy_request *request)
{
    const struct policy_envelope *within = &denial->verdict.envelope;

    if (denial->topic == NULL || denial->length != request->topic.length ||
        memcmp(denial->topic, request->topic.data, denial->length) != 0)
        return false;
    if (!within->valid)
        return denial->qos == request->qos && denial->retain == request->retain &&
               denial->size == request->size;
    return request->qos <= within->max_qos && (!request->retain || within->retain) &&
           request->size <= within->max_size;
}

const struct policy_verdict *session_denials_find(
    struct session_denials *denials, const struct policy_request *request)
{
    if (denials == NULL)
        return NULL;
    /* the same once more, or the next of a few in turn */
    for (unsigned i = 0; i < SESSION_DENIALS; i++) {
        unsigned at = (denials->last + i) % SESSION_DENIALS;

        if (holds(&denials->items[at], request)) {
            denials->last = (uint8_t)at;
            return &denials->items[at].verdict;
        }
    }
    return NULL;
}

void session_denials_add(const struct session *session, struct session_denials **denials,
    const struct policy_request *request, const struct policy_verdict *verdict)
{
    struct session_denial *item;

    /* Where the shadow policy says something else, each one is told. */
    if (request->topic.length > TOPIC_MAX || (session->shadow != NULL && !verdict->envelope.valid))
        return;
    if (*denials == NULL)
        *denials = memory_calloc(1, sizeof(**denials));
    (*denials)->last = (*denials)->next;
    item = &(*denials)->items[(*denials)->next];
    (*denials)->next = (uint8_t)(((*denials)->next + 1) % SESSION_DENIALS);
    free(item->topic);
    *item = (struct session_denial){
        .topic = (uint8_t *)memory_copy_string(request->topic),
        .length = (uint32_t)request->topic.length,
        .qos = request->qos,
        .retain = request->retain,
        .size = request->size,
        .verdict = *verdict,
    };
}

void session_denials_free(struct session_denials *denials)
{
    if (denials == NULL)
        return;
    for (int i = 0; i < SESSION_DENIALS; i++)
        free(denials->items[i].topic);
    free(denials);
}
