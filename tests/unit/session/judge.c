/* SPDX-License-Identifier: Apache-2.0 */
/* What a packet must lead to: which handler of the reference looks at it, and what all of them say with. */
#include "model_internal.h"

void judge_begin(struct model *model)
{
    struct reference *reference = &model->reference;

    for (int side = 0; side < SIDES; side++) {
        struct flow *flow = &reference->flows[side];

        memset(flow->ids, 0, (model->ids + 1) * sizeof(*flow->ids));
        flow->answers[0].count = flow->answers[1].count = 0;
        flow->in_flight = flow->made_up = 0;
    }
    memset(&reference->phase, 0, offsetof(struct reference, pending) - offsetof(struct reference, phase));
    reference->sure.count = reference->maybe.count = reference->parted.count = 0;
    reference->refused.count = reference->unsure.count = 0;
    reference->client_packet_limit = reference->broker_packet_limit = UINT32_MAX;
    reference->broker_receive_maximum = 65535;
    reference->broker_max_qos = 2;
    reference->broker_retains = true;
    judge_take_limits(model);
}

void judge_take_limits(struct model *model)
{
    model->reference.packet_max = model->variant->packet;
    model->reference.broker_packet_max = model->settings.broker_max_packet;
    model->reference.alias_maximum = model->settings.topic_alias_maximum;
}

/* ---- what is said of a step ---- */

void judge_event(struct model *model, unsigned which, unsigned count)
{
    model->step.events_min[which] += count;
    model->step.events_max[which] += count;
}

static struct mqtt_properties *properties_of(struct mqtt_packet *packet)
{
    switch (packet->type) {
    case MQTT_CONNACK:
        return &packet->u.connack.properties;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        return &packet->u.suback.properties;
    case MQTT_DISCONNECT:
    case MQTT_AUTH:
        return &packet->u.auth.properties;
    default:
        return &packet->u.ack.properties;
    }
}

/* A packet for the client. One that is larger than it takes goes without what may be left out, and if that is
 * not enough the session ends, [MQTT-3.1.2-24]. */
void judge_to_client(struct model *model, struct mqtt_packet *packet)
{
    const uint64_t optional = UINT64_C(1) << MQTT_REASON_STRING | UINT64_C(1) << MQTT_USER_PROPERTY;
    struct buffer *expected = &model->step.expected[CLIENT];
    struct mqtt_properties *properties = properties_of(packet);

    mqtt_encode(packet, expected);
    if (buffer_length(expected) <= model->reference.client_packet_limit)
        return;
    buffer_clear(expected);
    buffer_clear(&model->scratch);
    mqtt_properties_copy_without(&model->scratch, properties, optional);
    *properties = (struct mqtt_properties){buffer_view(&model->scratch), properties->present & ~optional};
    mqtt_encode(packet, expected);
    if (buffer_length(expected) <= model->reference.client_packet_limit)
        return;
    buffer_clear(expected);
    if (!model->step.must_close)
        judge_close(model, 0x95);
}

/* The packet goes on as it is. */
void judge_forward(struct model *model)
{
    struct step *step = &model->step;

    if (step->side == BROKER && step->bytes.length > model->reference.client_packet_limit &&
        step->packet.type != MQTT_PINGRESP)
        judge_to_client(model, &step->packet);
    else
        buffer_append(&step->expected[other_side(step->side)], step->bytes);
}

/* A CONNECT that has gone on is taken back: it must leave no will at the broker. */
void judge_withdrawal(struct model *model)
{
    static const uint8_t packet[] = {MQTT_DISCONNECT << 4, 0};

    buffer_append(&model->step.expected[BROKER], view_of(packet, sizeof(packet)));
}

/* The session ends: in 5.0 the client is told why, unless it is the one who ended it (code 0). */
void judge_close(struct model *model, uint8_t code)
{
    struct step *step = &model->step;

    step->must_close = true;
    if (model->reference.phase == PHASE_CONNECTING)
        judge_withdrawal(model);
    if (model->reference.phase != PHASE_OPEN)
        step->refusal = true;
    else if (model->reference.version == MQTT_V5 && code != 0) {
        const uint8_t packet[] = {MQTT_DISCONNECT << 4, 1, code};

        buffer_append(&step->expected[CLIENT], view_of(packet, sizeof(packet)));
    }
}

/* A side broke the protocol. Nothing of its packet goes on; a broker's mistake is not the client's. */
void judge_violation(struct model *model, uint8_t code)
{
    judge_event(model, COUNT_PROTOCOL_ERROR, 1);
    judge_close(model, model->step.side == CLIENT ? code : 0x83);
}

void judge_malformed(struct model *model, const struct mqtt_error *error)
{
    judge_violation(model, reason_info(error->reason)->v5);
}

/* The session ended with this code of 5.0. */
bool judge_said(const struct model *model, uint8_t code)
{
    const struct buffer *out = &model->step.out[CLIENT];

    return model->step.closes && buffer_length(out) == 3 && out->data[out->start] >> 4 == MQTT_DISCONNECT &&
           out->data[out->start + 2] == code;
}

static void copy_others(struct buffer *out, const struct mqtt_properties *properties, uint64_t without)
{
    buffer_clear(out);
    mqtt_properties_copy_without(out, properties, without);
}

/* The same properties in the same order, but for those in without. */
bool judge_same_properties(
    struct model *model, const struct mqtt_properties *a, const struct mqtt_properties *b, uint64_t without)
{
    copy_others(&model->scratch, a, without);
    copy_others(&model->properties, b, without);
    return view_equal(buffer_view(&model->scratch), buffer_view(&model->properties));
}

/* ---- dispatch ---- */

/* PINGREQ, PINGRESP. */
static void pass(struct model *model)
{
    judge_forward(model);
}

static void second_connect(struct model *model)
{
    judge_violation(model, 0x82);
}

typedef void judge(struct model *model);

static judge *const when_open[SIDES][16] = {
    [CLIENT] =
        {
            [MQTT_CONNECT] = second_connect,
            [MQTT_PUBLISH] = judge_publish,
            [MQTT_PUBACK] = judge_acknowledgement,
            [MQTT_PUBREC] = judge_acknowledgement,
            [MQTT_PUBCOMP] = judge_acknowledgement,
            [MQTT_PUBREL] = judge_release,
            [MQTT_SUBSCRIBE] = judge_request,
            [MQTT_UNSUBSCRIBE] = judge_request,
            [MQTT_PINGREQ] = pass,
            [MQTT_DISCONNECT] = judge_disconnect,
            [MQTT_AUTH] = judge_authentication,
        },
    [BROKER] =
        {
            [MQTT_PUBLISH] = judge_publish,
            [MQTT_PUBACK] = judge_acknowledgement,
            [MQTT_PUBREC] = judge_acknowledgement,
            [MQTT_PUBCOMP] = judge_acknowledgement,
            [MQTT_PUBREL] = judge_release,
            [MQTT_SUBACK] = judge_request_answer,
            [MQTT_UNSUBACK] = judge_request_answer,
            [MQTT_PINGRESP] = pass,
            [MQTT_DISCONNECT] = judge_disconnect,
            [MQTT_AUTH] = judge_authentication,
        },
};

static judge *const when_connecting[SIDES][16] = {
    [CLIENT] = {[MQTT_AUTH] = judge_authentication, [MQTT_DISCONNECT] = judge_disconnect},
    [BROKER] = {[MQTT_AUTH] = judge_authentication, [MQTT_CONNACK] = judge_connack},
};

static judge *const when_new[SIDES][16] = {[CLIENT] = {[MQTT_CONNECT] = judge_connect}};

/* A type alone can be wrong here, whatever is in the packet. */
bool judge_out_of_place(const struct model *model, const struct mqtt_frame *frame)
{
    const struct reference *reference = &model->reference;
    bool unasked = model->step.side == CLIENT && reference->phase == PHASE_CONNECTING &&
                   !reference->authentication_asked;

    if (frame->type == MQTT_AUTH)
        return reference->phase == PHASE_NEW || !reference->has_method || unasked;
    return (frame->type == MQTT_CONNECT) != (reference->phase == PHASE_NEW) &&
           (frame->type == MQTT_CONNECT || reference->phase == PHASE_NEW);
}

void judge_packet(struct model *model)
{
    const struct step *step = &model->step;
    enum phase phase = model->reference.phase;
    judge *handler = phase == PHASE_OPEN         ? when_open[step->side][step->packet.type]
                     : phase == PHASE_CONNECTING ? when_connecting[step->side][step->packet.type]
                                                 : when_new[step->side][step->packet.type];

    if (step->bytes.length > packet_limit(model, step->side))
        judge_violation(model, 0x95); /* [MQTT-3.1.2-24], [MQTT-3.2.2-15] */
    else if (handler != NULL)
        handler(model);
    else
        judge_violation(model, 0x82);
}
