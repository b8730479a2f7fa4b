/* SPDX-License-Identifier: Apache-2.0 */
/* Runs of packets whose fate is known: one look at each, and no more (performance, "What it teaches"). What a
 * run takes is what session_client_packet() or session_broker_packet() would send on unchanged, with nothing
 * to tell and nothing to answer; of all else, and of whatever is doubtful, it keeps its hands off, and they
 * decide. Called by proxy/conn.c before it takes packets one by one. */
#include "proxy/mqtt/plain_packet.h"
#include "proxy/session/session_internal.h"

/* What a run is about, for the time of one call. */
struct run {
    struct session *session;
    enum session_operation operation;
    struct session_cache *cache;             /* NULL: nothing was allowed yet */
    struct session_flow *messages, *answers; /* of the side's messages; of those that it answers */
    const struct session_waiting *waiting;   /* packets of the side */
    size_t maximum;                          /* bytes of a packet that goes on */
    uint8_t max_qos;                         /* that goes on */
    uint32_t in_flight;                      /* so many messages at most */
    const struct session_cache_entry *entry; /* that the last message was allowed by; NULL: none was */
    uint64_t count;                          /* messages that it has allowed and that are not counted yet */
    bool samples;                            /* the policy wants to see a share of the messages */
    bool answered;                           /* the replay store wants to know of answers */
};

static size_t lower_of(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* ---- messages ---- */

static void count_passed(struct run *run)
{
    struct session_counters *counters = run->session->hooks->counters;

    if (run->count > 0 && counters != NULL) {
        uint16_t rule = session_rule_slot(run->session, run->entry->rule);

        counter_add(&counters->decisions[run->operation][SESSION_ALLOWED], run->count);
        counter_add(&counters->rules[rule][SESSION_ALLOWED], run->count);
    }
    run->count = 0;
}

/* A topic that is in the cache has been decoded before, so that its characters need no second look. */
static bool is_known(struct run *run, const struct mqtt_plain_publish *publish)
{
    const struct policy_request request = {
        .topic = publish->topic, .qos = publish->packet_id != 0, .size = publish->payload};
    const struct session_cache_entry *entry = session_cache_find(run->cache, &request);

    if (entry == run->entry && entry != NULL)
        return true;
    if (entry == NULL || entry->checks != 0)
        return false;
    count_passed(run);
    run->entry = entry;
    return true;
}

static bool goes_on(struct run *run, const struct mqtt_plain_publish *publish)
{
    if (publish->size > run->maximum || !is_known(run, publish))
        return false;
    if (publish->packet_id != 0 && (run->max_qos == 0 || run->messages->ids.count >= run->in_flight ||
                                       !session_flow_is_new(run->messages, publish->packet_id)))
        return false;
    /* last of what may leave it to others: of each message this is asked once */
    if (run->samples && session_sample_is_due(run->session))
        return false;
    return publish->packet_id == 0 || session_flow_begin(run->messages, publish->packet_id);
}

/* ---- both ---- */

static bool acknowledges(struct run *run, uint16_t packet_id)
{
    return packet_id != 0 && !run->answered && run->maximum >= MQTT_PLAIN_PUBACK_SIZE &&
           session_flow_end(run->answers, packet_id);
}

static struct session_run take(struct run *run, struct view input, uint64_t most)
{
    enum mqtt_version version = run->session->version;
    struct session_run taken = {0};
    struct mqtt_plain_publish publish;

    if (run->session->state != SESSION_OPEN || run->session->unrecorded || run->waiting->first != NULL)
        return taken;
    while (taken.publishes < most) {
        struct view rest = view_skip(input, taken.length);

        if (run->cache != NULL && mqtt_plain_publish(rest, version, &publish)) {
            if (!goes_on(run, &publish))
                break;
            taken.length += publish.size;
            taken.publishes++;
            run->count++;
        } else if (acknowledges(run, mqtt_plain_puback(rest))) {
            taken.length += MQTT_PLAIN_PUBACK_SIZE;
            taken.pubacks++;
        } else
            break;
    }
    count_passed(run);
    return taken;
}

struct session_run session_client_run(struct session *session, struct view input, uint64_t most)
{
    struct run run = {.session = session,
        .operation = SESSION_OPERATION_PUBLISH,
        .cache = session->publish_cache,
        .messages = &session->from_client,
        .answers = &session->from_broker,
        .waiting = &session->waiting,
        .maximum = lower_of(session->broker_packet_limit, session->packet_limit),
        .samples = session->policy->audit_allow_ppm != 0,
        .max_qos = session->broker_max_qos,
        .in_flight = session->version == MQTT_V5 ? session->broker_receive_maximum : UINT32_MAX};

    return take(&run, input, most);
}

struct session_run session_broker_run(struct session *session, struct view input, uint64_t most)
{
    struct run run = {.session = session,
        .operation = SESSION_OPERATION_RECEIVE,
        .cache = session->receive_cache,
        .messages = &session->from_broker,
        .answers = &session->from_client,
        .waiting = &session->deliveries,
        .maximum = lower_of(session->broker_packet_max, session->client_packet_limit),
        .max_qos = 1,
        .in_flight = UINT32_MAX,
        .answered = session->marks.count > 0};

    return take(&run, input, most);
}
