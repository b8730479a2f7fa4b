/* SPDX-License-Identifier: Apache-2.0 */
/* The reference for messages and their acknowledgements: what may go on, who ends the flow of a packet
 * identifier, and the order of what is due to a sender. */
#include "base/memory.h"
#include "model_internal.h"

static struct flow *flow_of(struct model *model, int sender)
{
    return &model->reference.flows[sender];
}

/* What is known of an identifier; beyond those that the peers use there is one for all. */
static struct flow_id *id_of(const struct model *model, struct flow *flow, uint16_t packet_id)
{
    return &flow->ids[packet_id <= model->ids ? packet_id : 0];
}

/* ---- what is due to a sender ---- */

static struct answer *answer_at(struct answers *answers, uint32_t index)
{
    return &answers->items[answers->first + index];
}

static void answers_push(struct answers *answers, struct answer answer)
{
    if (answers->count == 0)
        answers->first = 0;
    if (answers->first + answers->count == answers->capacity && answers->first > 0) {
        memmove(answers->items, answers->items + answers->first, answers->count * sizeof(answer));
        answers->first = 0;
    }
    if (answers->count == answers->capacity) {
        answers->capacity = answers->capacity == 0 ? 16 : answers->capacity * 2;
        answers->items = memory_realloc(answers->items, answers->capacity, sizeof(answer));
    }
    answers->items[answers->first + answers->count++] = answer;
}

static uint32_t answers_find(struct answers *answers, uint16_t packet_id)
{
    uint32_t i = 0;

    while (i < answers->count && answer_at(answers, i)->packet_id != packet_id)
        i++;
    return i;
}

static void answers_remove(struct answers *answers, uint32_t index)
{
    struct answer *at = answer_at(answers, index);

    if (index == 0)
        answers->first++;
    else
        memmove(at, at + 1, (answers->count - index - 1) * sizeof(*at));
    answers->count--;
}

static void own_flow(struct flow *flow, struct flow_id *id, enum owner owner)
{
    flow->in_flight += owner != OWNER_NOBODY;
    flow->in_flight -= id->owner != OWNER_NOBODY;
    if (owner == OWNER_NOBODY)
        *id = (struct flow_id){0};
    id->owner = (uint8_t)owner;
}

/* ---- PUBLISH ---- */

/* The message goes on, or is refused with a code: what that makes of its packet identifier. */
static void track(struct model *model, const struct mqtt_publish *publish, enum owner owner, uint8_t code)
{
    struct flow *flow = flow_of(model, model->step.side);
    struct flow_id *id = id_of(model, flow, publish->packet_id);
    struct answers *answers = &flow->answers[publish->qos - 1];

    if (id->owner == OWNER_RECEIVER && owner == OWNER_PROXY && id->qos == publish->qos && !model->mischief)
        return; /* sent once more under another policy: the receiver's answer is the answer */
    if (id->owner != OWNER_NOBODY && (id->owner != owner || id->qos != publish->qos))
        model->reference.vague = true; /* used again for another message */
    else if (id->owner != OWNER_NOBODY && answers_find(answers, publish->packet_id) < answers->count)
        return; /* sent once more before its answer: the one answer is for both */
    else if (id->owner == OWNER_RECEIVER)
        return; /* sent once more after it: the receiver says it again */
    own_flow(flow, id, owner);
    id->qos = publish->qos;
    id->released = id->refused = false;
    if (owner == OWNER_PROXY && id->acknowledged) { /* the turn of the answer has been */
        mqtt_encode_ack(&model->step.expected[model->step.side], model->reference.version, MQTT_PUBREC,
            publish->packet_id, code);
        return;
    }
    flow->made_up += owner == OWNER_PROXY;
    answers_push(answers, (struct answer){publish->packet_id, owner == OWNER_PROXY, code});
}

/* Puts the topic in place of the alias. False: the client broke the rules of aliases. */
static bool resolve_alias(struct model *model, struct mqtt_publish *publish)
{
    struct reference *reference = &model->reference;
    struct text *alias = NULL;

    if (!mqtt_properties_has(&publish->properties, MQTT_TOPIC_ALIAS))
        return true;
    if (publish->topic_alias > reference->alias_maximum)
        return false;
    alias = &reference->aliases[publish->topic_alias - 1];
    if (publish->topic.length > 0) {
        if (!text_set(alias, publish->topic))
            reference->vague_aliases = true;
    } else if (alias->length == 0)
        return reference->vague_aliases;
    else
        publish->topic = text_view(alias);
    return true;
}

static void expect_publish(struct model *model, const struct mqtt_publish *publish)
{
    struct step *step = &model->step;
    struct mqtt_packet packet = {.type = MQTT_PUBLISH, .version = MQTT_V5, .u.publish = *publish};

    if (publish->topic_alias == 0) {
        judge_forward(model);
        return;
    }
    buffer_clear(&model->scratch);
    mqtt_properties_copy_without(&model->scratch, &publish->properties, UINT64_C(1) << MQTT_TOPIC_ALIAS);
    packet.u.publish.topic_alias = 0;
    packet.u.publish.properties = (struct mqtt_properties){buffer_view(&model->scratch), 0};
    mqtt_encode(&packet, &step->expected[other_side(step->side)]);
}

/* What the broker can't do, and what would be more than it takes at a time. 0: nothing of that. */
static uint8_t beyond_broker(struct model *model, const struct mqtt_publish *publish)
{
    struct reference *reference = &model->reference;
    struct flow *flow = &reference->flows[CLIENT];
    bool more = publish->qos > 0 && id_of(model, flow, publish->packet_id)->owner == OWNER_NOBODY;

    if (publish->qos > reference->broker_max_qos)
        return 0x9B;
    if (publish->retain && !reference->broker_retains)
        return 0x9A;
    return reference->version == MQTT_V5 && more && flow->in_flight >= reference->broker_receive_maximum
               ? 0x93
               : 0;
}

static struct judgement judge_message(struct model *model, const struct mqtt_publish *publish)
{
    struct view id = text_view(&model->reference.known_id);
    struct mqtt_property_value response;
    struct judgement judgement, received;

    if (model->step.side == BROKER)
        return rules_receive(model->variant, id, publish->topic);
    judgement = rules_publish(
        model->variant, id, publish->topic, publish->qos, publish->retain, publish->payload.length);
    if (judgement.denied || !mqtt_properties_find(&publish->properties, MQTT_RESPONSE_TOPIC, &response))
        return judgement;
    received = rules_receive(model->variant, id, response.string);
    judgement.denied = received.denied;
    judgement.watched |= received.watched;
    return judgement;
}

/* What the client is told of a message that was refused; a broker is always told that it arrived. */
static void refuse(struct model *model, const struct mqtt_publish *publish, uint8_t code)
{
    bool client = model->step.side == CLIENT;

    judge_event(model, client ? COUNT_PUBLISH_DENIED : COUNT_FILTERED, 1);
    if (client && model->variant->publish == ON_DENY_DISCONNECT) {
        judge_close(model, code);
        return;
    }
    if (!client || model->variant->publish == ON_DENY_DROP || model->reference.version != MQTT_V5)
        code = 0;
    if (publish->qos > 0)
        track(model, publish, OWNER_PROXY, code);
}

/* The code of 5.0 for a message that must not be sent at all; 0: it may. Puts the topic in. */
static uint8_t find_violation(struct model *model, struct mqtt_publish *publish)
{
    uint8_t code;

    if (model->step.side == BROKER) /* no alias was permitted */
        return publish->topic_alias != 0 ? 0x94 : 0;
    if (!resolve_alias(model, publish))
        return 0x94;
    code = beyond_broker(model, publish);
    if (model->reference.vague && publish->qos > 0 && (code == 0 || code == 0x93))
        return judge_said(model, 0x93) ? 0x93 : 0; /* nobody knows how many are in flight */
    return code;
}

/* The refusal of a message with this id waits for its turn: whatever comes under the id is that message. */
static bool waits_for_refusal(struct model *model, const struct mqtt_publish *publish)
{
    const struct flow_id *id = id_of(model, flow_of(model, CLIENT), publish->packet_id);

    if (model->reference.vague) /* nobody knows */
        return publish->qos > 0 && buffer_length(&model->step.out[BROKER]) == 0;
    return publish->qos > 0 && id->owner == OWNER_PROXY && !id->acknowledged;
}

static void let_pass(
    struct model *model, const struct mqtt_publish *publish, const struct judgement *judgement)
{
    struct step *step = &model->step;
    bool reported = judgement->denied || judgement->watched;

    if (reported)
        judge_event(model, step->side == CLIENT ? COUNT_PUBLISH_DENIED : COUNT_FILTERED, 1);
    if (step->side == CLIENT && waits_for_refusal(model, publish)) {
        judge_event(model, COUNT_PUBLISH_DENIED, 1);
        if (model->variant->publish == ON_DENY_DISCONNECT)
            judge_close(model, 0x91);
        return;
    }
    expect_publish(model, publish);
    if (buffer_length(&step->expected[BROKER]) > model->reference.broker_packet_limit) {
        /* With its topic in full it is too large. PUBACK and PUBREC have no code for that but the quota's. */
        buffer_clear(&step->expected[BROKER]);
        refuse(model, publish, model->variant->publish == ON_DENY_DISCONNECT ? 0x95 : 0x97);
        return;
    }
    if (!reported && step->side == CLIENT && model->variant->audit_all)
        judge_event(model, COUNT_PUBLISH_ALLOWED, 1);
    if (publish->qos > 0)
        track(model, publish, OWNER_RECEIVER, 0);
}

void judge_publish(struct model *model)
{
    struct step *step = &model->step;
    struct mqtt_publish publish = step->packet.u.publish;
    struct judgement judgement;
    uint8_t code;

    if (publish.packet_id > model->ids)
        model->reference.vague = true;
    code = find_violation(model, &publish);
    if (code != 0) {
        judge_violation(model, code);
        return;
    }
    judgement = judge_message(model, &publish);
    if (step->side == BROKER && step->bytes.length > model->reference.client_packet_limit)
        refuse(model, &publish, 0); /* [MQTT-3.1.2-25]: as if it had been delivered */
    else if (judgement.denied && !model->variant->monitor)
        refuse(model, &publish, judgement.code);
    else
        let_pass(model, &publish, &judgement);
}

/* ---- PUBACK, PUBREC, PUBCOMP of the receiver ---- */

void judge_acknowledgement(struct model *model)
{
    struct step *step = &model->step;
    enum mqtt_type type = step->packet.type;
    struct flow *flow = flow_of(model, other_side(step->side));
    uint16_t packet_id = step->packet.u.ack.packet_id;
    const struct flow_id *id = id_of(model, flow, packet_id);

    if (id->owner == OWNER_PROXY)
        return; /* the receiver never got it: this is not for the sender */
    judge_forward(model);
    if (id->owner == OWNER_NOBODY) {
        step->optional = !(type == MQTT_PUBCOMP && id->released);
        return;
    }
    if ((type == MQTT_PUBACK) != (id->qos == 1) || (type == MQTT_PUBCOMP && !id->released))
        model->reference.vague = true; /* not what this message is answered with */
}

void judge_answered(struct model *model, struct flow *flow, const struct mqtt_packet *packet, bool made_up)
{
    const struct mqtt_ack *ack = &packet->u.ack;
    struct answers *answers = &flow->answers[packet->type == MQTT_PUBACK ? 0 : 1];
    struct flow_id *id = id_of(model, flow, ack->packet_id);
    uint32_t index;

    if (packet->type == MQTT_PUBCOMP) {
        if (!made_up)
            own_flow(flow, id, OWNER_NOBODY);
        return;
    }
    index = answers_find(answers, ack->packet_id);
    if (index < answers->count) {
        const struct answer *answer = answer_at(answers, index);

        if (answer->made_up != made_up || (made_up && answer->code != ack->code))
            model_fail(model, "the answer to message %u is wrong: code 0x%02x", ack->packet_id, ack->code);
        if (index > 0 && !made_up && model->mischief)
            flow->any_order = true; /* the receiver's doing */
        if (index > 0 && !flow->any_order)
            model_fail(model, "the answer to message %u comes ahead of that to message %u", ack->packet_id,
                answer_at(answers, 0)->packet_id);
        flow->made_up -= made_up;
        answers_remove(answers, index);
    } else if (made_up)
        model_fail(model, "an answer to message %u that nobody waits for", ack->packet_id);
    if (id->owner == OWNER_NOBODY)
        return;
    if (packet->type == MQTT_PUBREC && ack->code < 0x80) {
        id->acknowledged = true;
        return;
    }
    own_flow(flow, id, OWNER_NOBODY);
    id->refused = made_up && packet->type == MQTT_PUBREC;
}

/* ---- PUBREL ---- */

void judge_release(struct model *model)
{
    struct step *step = &model->step;
    struct flow *flow = flow_of(model, step->side);
    uint16_t packet_id = step->packet.u.ack.packet_id;
    struct flow_id *id = id_of(model, flow, packet_id);

    if (id->owner == OWNER_PROXY) {
        if (id->qos == 2 && id->acknowledged) {
            mqtt_encode_ack(
                &step->expected[step->side], model->reference.version, MQTT_PUBCOMP, packet_id, 0);
            own_flow(flow, id, OWNER_NOBODY);
        } else
            model->reference.vague = true; /* ahead of the answer that it is to follow */
        return;
    }
    /* After a PUBREC that said no there is nothing to release: the proxy says so, or the receiver does. */
    if (id->refused && buffer_length(&step->out[other_side(step->side)]) == 0) {
        mqtt_encode_ack(&step->expected[step->side], MQTT_V5, MQTT_PUBCOMP, packet_id, 0x92);
        return;
    }
    if (id->owner == OWNER_RECEIVER && (id->qos != 2 || !id->acknowledged))
        model->reference.vague = true;
    id->released = true; /* of an earlier connection, perhaps: the receiver knows */
    judge_forward(model);
}

/* ---- what must hold between packets ---- */

void judge_nothing_due(struct model *model)
{
    for (int side = 0; side < SIDES; side++)
        for (unsigned kind = 0; kind < 2; kind++) {
            struct answers *answers = &model->reference.flows[side].answers[kind];

            if (answers->count > 0 && answer_at(answers, 0)->made_up)
                model_fail(model, "the answer to message %u of the %s is due and did not come",
                    answer_at(answers, 0)->packet_id, side == CLIENT ? "client" : "broker");
        }
}

/* How much may be outstanding before the client has to wait, and how much must not make it wait. */
#define ANSWERS_FEW 256
#define ANSWERS_MANY 2048
#define REQUESTS_FEW 16

void judge_held(struct model *model, bool ready)
{
    const struct flow *flow = &model->reference.flows[CLIENT];
    unsigned answers = flow->made_up, requests = model->reference.pending_count;

    if (ready && (answers > ANSWERS_MANY || requests == REQUESTS_MAX))
        model_fail(model, "the client goes on although %u answers and %u requests are outstanding", answers,
            requests);
    if (!ready && answers <= ANSWERS_FEW && requests <= REQUESTS_FEW)
        model_fail(model, "the client has to wait although only %u answers and %u requests are outstanding",
            answers, requests);
}

void judge_settled(struct model *model)
{
    for (int side = 0; side < SIDES; side++) {
        const struct peer *peer = &model->peers[side];
        const struct flow *flow = &model->reference.flows[side];

        for (unsigned id = 1; id <= model->ids; id++)
            if (peer->outgoing[id].stage != STAGE_FREE || flow->ids[id].owner != OWNER_NOBODY)
                model_fail(model, "packet identifier %u of the %s is still in use", id,
                    side == CLIENT ? "client" : "broker");
        if (flow->in_flight != 0 || peer->in_flight != 0 ||
            flow->answers[0].count + flow->answers[1].count > 0)
            model_fail(model, "messages of the %s are still in flight", side == CLIENT ? "client" : "broker");
    }
    if (model->reference.pending_count != 0)
        model_fail(model, "a SUBSCRIBE or UNSUBSCRIBE has no answer");
}
