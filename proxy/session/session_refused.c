/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of messages that are refused, and of which nothing is left to say but how many: as session_run.c for
 * those that go on, and with the same looks at each packet. What a run takes is what session_client_publish()
 * or session_broker_publish() would drop without an answer, as repeats of an event; all else is theirs.
 * Called by proxy/conn.c before it takes packets one by one. */
#include <assert.h>

#include "proxy/mqtt/plain_packet.h"
#include "proxy/session/session_internal.h"

/* What a run is about, for the time of one call. */
struct refused {
    struct session *session;
    enum session_operation operation;
    enum audit_action action;
    struct session_denials *denials;       /* NULL: nothing was denied yet */
    const struct session_waiting *waiting; /* packets of the side */
    size_t maximum;                        /* bytes of a packet whose size is no matter */
    /* The last packets, of one topic, that are not counted yet. */
    const struct policy_verdict *verdict; /* NULL: there are none */
    struct view topic;
    uint64_t count;
    size_t bytes;
    struct session_run taken; /* those that are */
};

/* As session_audit_publish() has it of a packet of QoS 0 that is not retained. */
static struct session_act act_of(const struct refused *run)
{
    struct session_act act = session_act_of_verdict(run->verdict, run->action, AUDIT_DROPPED);

    act.outbound = run->operation == SESSION_OPERATION_RECEIVE;
    act.topic = run->topic;
    return act;
}

/* False: they can't be counted together, and are left. */
static bool count(struct refused *run)
{
    struct session_act act;

    if (run->count == 0)
        return true;
    if (session_audit_tells(run->session, run->action)) {
        act = act_of(run);
        if (!session_repeats_count(run->session, &act, run->count))
            return false;
    }
    session_count_denials(run->session, run->operation, run->verdict, run->count);
    run->taken.publishes += run->count;
    run->taken.length += run->bytes;
    run->count = 0;
    run->bytes = 0;
    return true;
}

/* True: it is refused as those before it, or as the first of its own. A topic that was refused before has
 * been decoded before, so that its characters need no second look. */
static bool take(struct refused *run, const struct mqtt_plain_publish *publish)
{
    const struct policy_request request = {.topic = publish->topic, .size = publish->payload};
    const struct policy_verdict *verdict = session_denials_find(run->denials, &request);

    if (verdict == NULL || (verdict != run->verdict && !count(run)))
        return false;
    run->verdict = verdict;
    run->topic = publish->topic;
    run->count++;
    run->bytes += publish->size;
    return true;
}

static struct session_run take_all(struct refused *run, struct view input, uint64_t most)
{
    enum mqtt_version version = run->session->version;
    struct mqtt_plain_publish publish;

    assert(most <= REPEATS_STEP);
    if (run->denials == NULL || run->session->state != SESSION_OPEN || run->session->unrecorded ||
        run->waiting->first != NULL)
        return (struct session_run){0};
    while (run->taken.publishes + run->count < most &&
           mqtt_plain_publish(view_skip(input, run->taken.length + run->bytes), version, &publish) &&
           publish.packet_id == 0 && publish.size <= run->maximum && take(run, &publish))
        ;
    count(run);
    return run->taken;
}

static size_t lower_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Denials that lead to more than a count are looked at one by one. */
static bool has_consequences(const struct session *session)
{
    return session->policy->repeat.count != 0 || session->policy->deny_publish == POLICY_PUBLISH_DISCONNECT;
}

struct session_run session_client_refused(struct session *session, struct view input, uint64_t most)
{
    struct refused run = {.session = session,
        .operation = SESSION_OPERATION_PUBLISH,
        .action = AUDIT_publish_denied,
        .denials = session->publish_denials,
        .waiting = &session->waiting,
        .maximum = lower_of(session->broker_packet_limit, session->packet_limit)};

    return has_consequences(session) ? (struct session_run){0} : take_all(&run, input, most);
}

struct session_run session_broker_refused(struct session *session, struct view input, uint64_t most)
{
    struct refused run = {.session = session,
        .operation = SESSION_OPERATION_RECEIVE,
        .action = AUDIT_delivery_filtered,
        .denials = session->receive_denials,
        .waiting = &session->deliveries,
        .maximum = lower_of(session->broker_packet_max, session->client_packet_limit)};

    return take_all(&run, input, most);
}
