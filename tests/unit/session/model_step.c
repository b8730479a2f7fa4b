/* SPDX-License-Identifier: Apache-2.0 */
/* One packet handed to the session, framed as proxy/conn.c frames it, and what came out held against what was
 * due: packet by packet, in order, nothing more and nothing less. */
#include <stdlib.h>

#include "base/memory.h"
#include "model_internal.h"

bool model_client_ready(const struct model *model)
{
    return model->reference.phase != PHASE_CLOSED && session_client_ready(model->session);
}

/* ---- what came out ---- */

static bool is_acknowledgement(uint8_t first_byte)
{
    return first_byte >> 4 >= MQTT_PUBACK && first_byte >> 4 <= MQTT_PUBCOMP;
}

/* The next packet of a side's bytes, which must be one that this side may get. */
static void next_packet(struct model *model, int receiver, struct view bytes, struct mqtt_packet *packet)
{
    struct mqtt_error error;

    if (!packet_read(bytes, other_side(receiver), model->reference.version, packet, &error))
        model_fail(model, "what goes to the %s is no packet: %s", receiver == CLIENT ? "client" : "broker",
            error.text);
}

/* What no packet may ever be, whatever went before. */
static void check_packet(struct model *model, int receiver, const struct mqtt_packet *packet)
{
    const struct reference *reference = &model->reference;
    size_t limit = receiver == CLIENT ? reference->client_packet_limit : reference->broker_packet_limit;
    const struct mqtt_publish *publish = &packet->u.publish;
    struct judgement judgement;

    if (packet->frame.bytes.length > limit)
        model_fail(model, "a packet of %zu bytes goes to the %s, who takes %zu", packet->frame.bytes.length,
            receiver == CLIENT ? "client" : "broker", limit);
    if (packet->type != MQTT_PUBLISH)
        return;
    if (publish->topic_alias != 0 || publish->topic.length == 0)
        model_fail(model, "a topic alias got through");
    judgement = receiver == CLIENT
                    ? rules_receive(model->variant, text_view(&reference->known_id), publish->topic)
                    : rules_publish(model->variant, text_view(&reference->known_id), publish->topic,
                          publish->qos, publish->retain, publish->payload.length);
    if (judgement.denied && !model->variant->monitor)
        model_fail(model, "%.*s got through", VIEW_ARGS(publish->topic));
}

/* A CONNACK that says no, of a code that one of the causes has; or, in 3.x, nothing. */
static void check_refusal(struct model *model, struct view bytes)
{
    struct step *step = &model->step;
    struct mqtt_packet packet;
    unsigned i = 0;

    if (bytes.length == 0) {
        if (model->reference.version == MQTT_V5 && step->refusal_code_count > 0 &&
            model->reference.client_packet_limit >= 5)
            model_fail(model, "a CONNACK was due and did not come");
        return;
    }
    if (model->reference.version == 0) /* CONNECT was broken, but not beyond recognition */
        model->reference.version = session_version(model->session);
    next_packet(model, CLIENT, bytes, &packet);
    if (packet.type != MQTT_CONNACK || packet.u.connack.code == 0 ||
        packet.frame.bytes.length != bytes.length)
        model_fail(model, "the refusal is not one CONNACK that says no");
    check_packet(model, CLIENT, &packet);
    while (i < step->refusal_code_count && step->refusal_codes[i] != packet.u.connack.code)
        i++;
    if (model->reference.version == MQTT_V5 && step->refusal_code_count > 0 && i == step->refusal_code_count)
        model_fail(model, "the CONNACK says 0x%02x", packet.u.connack.code);
}

static size_t packet_length(struct model *model, struct view bytes)
{
    struct mqtt_frame frame;
    struct mqtt_error error;

    /* The expected packets are well-formed; whose they are does not matter. */
    for (int sender = 0; sender < SIDES; sender++)
        if (mqtt_frame_next(bytes, (enum mqtt_direction)sender, model->reference.version, SIZE_MAX, &frame,
                &error) == MQTT_OK)
            return frame.bytes.length;
    model_fail(model, "the model expects what is no packet");
}

static struct view skip_acknowledgements(struct model *model, struct view bytes)
{
    while (bytes.length > 0 && is_acknowledgement(bytes.data[0]))
        bytes = view_skip(bytes, packet_length(model, bytes));
    return bytes;
}

/* Everything that goes to one side. Acknowledgements that the proxy makes up are not among the expected
 * packets: the flow knows which are due, and from when on. */
static void check_side(struct model *model, int receiver)
{
    struct step *step = &model->step;
    struct view out = buffer_view(&step->out[receiver]), expected = buffer_view(&step->expected[receiver]);
    struct flow *flow = &model->reference.flows[receiver];
    bool vague = model->reference.vague;

    if (step->optional && out.length == 0)
        return;
    for (;;) {
        struct mqtt_packet packet;
        size_t due;
        bool matches;

        if (vague)
            expected = skip_acknowledgements(model, expected);
        if (out.length == 0)
            break;
        next_packet(model, receiver, out, &packet);
        check_packet(model, receiver, &packet);
        due = expected.length == 0 ? 0 : packet_length(model, expected);
        matches = due > 0 && view_equal(packet.frame.bytes, view_of(expected.data, due));
        if (!vague && is_acknowledgement(out.data[0]) && packet.type != MQTT_PUBREL)
            judge_answered(model, flow, &packet, !matches);
        else if (!matches && !(vague && is_acknowledgement(out.data[0])))
            model_fail(model, "a %s goes to the %s that is not due", mqtt_type_name(packet.type),
                receiver == CLIENT ? "client" : "broker");
        if (!matches && packet.type == MQTT_PUBCOMP && !vague)
            model_fail(
                model, "a PUBCOMP goes to the %s that is not due", receiver == CLIENT ? "client" : "broker");
        expected = view_skip(expected, matches ? due : 0);
        out = view_skip(out, packet.frame.bytes.length);
    }
    if (expected.length > 0)
        model_fail(model, "what is due to the %s did not come: a %s",
            receiver == CLIENT ? "client" : "broker",
            mqtt_type_name((enum mqtt_type)(expected.data[0] >> 4)));
}

static void check_events(struct model *model)
{
    static const char *const names[COUNTS] = {"publish-denied", "publish-allowed", "subscribe-denied",
        "subscribe-granted", "delivery-filtered", "will-denied", "protocol-error", "subscription-withdrawn"};
    const struct step *step = &model->step;

    for (unsigned i = 0; i < COUNTS; i++)
        if (step->events[i] < step->events_min[i] || step->events[i] > step->events_max[i])
            model_fail(model, "%u events %s, not %u", step->events[i], names[i], step->events_min[i]);
}

/* ---- a step ---- */

static void begin_step(struct model *model, int side, struct view bytes)
{
    struct step *step = &model->step;
    struct buffer kept[2 * SIDES] = {step->out[0], step->out[1], step->expected[0], step->expected[1]};

    for (unsigned i = 0; i < 2 * SIDES; i++)
        buffer_clear(&kept[i]);
    *step = (struct step){
        .side = side, .bytes = bytes, .out = {kept[0], kept[1]}, .expected = {kept[2], kept[3]}};
    model->steps++;
}

static struct session_output begin_output(struct model *model)
{
    return (struct session_output){
        .to_client = &model->step.out[CLIENT], .to_broker = &model->step.out[BROKER]};
}

static void take_output(struct model *model, const struct session_output *output)
{
    struct step *step = &model->step;
    struct buffer *out = step->out;

    step->opens = output->open_broker;
    step->closes = output->close;
    step->asks = output->check_password != NULL;
    if (step->asks) {
        text_set(&step->asked_name, output->check_password->name);
        text_set(&step->asked_password, output->check_password->password);
    }
    if (buffer_length(&out[BROKER]) > 0)
        history_add(model, "         > broker", CLIENT, buffer_view(&out[BROKER]));
    if (buffer_length(&out[CLIENT]) > 0)
        history_add(model, "client <         ", BROKER, buffer_view(&out[CLIENT]));
    if (output->close)
        history_add(model, reason_info(output->reason)->text, CLIENT, view_of("", 0));
}

/* Holds the step against the reference, and puts what came out on its way. */
static void finish_step(struct model *model)
{
    struct step *step = &model->step;

    check_events(model);
    if (step->opens != step->must_open || step->closes != step->must_close)
        model_fail(model, "the session %s",
            step->closes       ? "ends"
            : step->must_close ? "does not end"
            : step->opens      ? "opens the broker's connection"
                               : "does not open the broker's connection");
    if (step->asks != step->must_ask)
        model_fail(model, "a password %s", step->asks ? "is to be checked" : "is not to be checked");
    if (step->refusal)
        check_refusal(model, buffer_view(&step->out[CLIENT]));
    else
        check_side(model, CLIENT);
    check_side(model, BROKER);
    if (step->must_close) {
        model->reference.phase = PHASE_CLOSED;
        return;
    }
    if (!model->reference.vague)
        judge_nothing_due(model);
    if (model->reference.phase == PHASE_OPEN && !model->reference.vague && !model->reference.vague_filters)
        judge_held(model, session_client_ready(model->session));
    for (int side = 0; side < SIDES; side++)
        buffer_append(&model->peers[side].inbox, buffer_view(&step->out[side]));
    if (model->reference.phase == PHASE_OPEN &&
        (!session_is_open(model->session) ||
            session_keep_alive_ms(model->session) != (uint64_t)model->reference.keep_alive * 1500))
        model_fail(model, "the session is not open, or has another keep alive");
}

static void step_malformed(struct model *model, const struct mqtt_error *error)
{
    struct session_output output = begin_output(model);

    (model->step.side == CLIENT ? session_client_malformed : session_broker_malformed)(
        model->session, error, &output);
    take_output(model, &output);
    judge_malformed(model, error);
    finish_step(model);
}

/* As the connection hands it in: as a run, if it is one. */
static enum session_verdict hand_in(
    struct model *model, const struct mqtt_frame *frame, struct session_output *output)
{
    bool client = model->step.side == CLIENT;
    struct session_run run =
        (client ? session_client_run : session_broker_run)(model->session, frame->bytes, 1);
    uint64_t packets = run.publishes + run.pubacks;

    if (run.length != (packets == 1 ? frame->bytes.length : 0) || packets > 1)
        model_fail(model, "a run of %zu bytes", run.length);
    if (packets == 1)
        return SESSION_FORWARD;
    return (client ? session_client_packet : session_broker_packet)(model->session, frame, output);
}

static void step_packet(struct model *model, const struct mqtt_frame *frame)
{
    struct step *step = &model->step;
    struct session_output output = begin_output(model);
    struct mqtt_error error;
    struct buffer made = {0};
    struct buffer *out = &step->out[other_side(step->side)];

    struct session_need need = session_audit_need(model->session, frame);
    if (need.usual == 0 || need.most < need.usual)
        model_fail(model, "no room for audit events is asked for");
    if (hand_in(model, frame, &output) == SESSION_FORWARD) {
        /* The packet itself goes ahead of what was made. */
        buffer_append(&made, buffer_view(out));
        buffer_clear(out);
        buffer_append(out, frame->bytes);
        buffer_append(out, buffer_view(&made));
        buffer_release(&made);
    }
    if (step->event_bytes > need.most)
        model_fail(model, "%zu bytes of events, %zu were asked for", step->event_bytes, need.most);
    take_output(model, &output);
    if (judge_out_of_place(model, frame))
        judge_violation(model, 0x82);
    else if (mqtt_decode(frame, (enum mqtt_direction)step->side, model->reference.version, NULL,
                 &step->packet, &error) == MQTT_OK)
        judge_packet(model);
    else
        judge_malformed(model, &error);
    if (step->must_ask) {
        buffer_clear(&model->held_connect);
        buffer_append(&model->held_connect, frame->bytes);
    }
    finish_step(model);
}

size_t packet_limit(const struct model *model, int sender)
{
    size_t limit = model->reference.broker_packet_limit;

    if (sender == BROKER)
        return model->reference.broker_packet_max;
    return limit < model->reference.packet_max ? limit : model->reference.packet_max;
}

/* One bit of a packet changed, mostly near its beginning. */
static struct view corrupt(struct model *model, int side, struct view bytes)
{
    unsigned count = bytes.length < 24 ? (unsigned)bytes.length : 24;

    buffer_clear(&model->corrupted);
    buffer_append(&model->corrupted, bytes);
    if (rarely(model, 4))
        count = (unsigned)bytes.length;
    model->corrupted.data[below(model, count)] ^= (uint8_t)(1u << below(model, 8));
    model->corrupt[side] = false;
    return buffer_view(&model->corrupted);
}

void model_feed(struct model *model, int side, struct view bytes)
{
    if (model->corrupt[side])
        bytes = corrupt(model, side, bytes);
    history_add(model, side == CLIENT ? "client >         " : "         < broker", side, bytes);
    while (bytes.length > 0 && model->reference.phase != PHASE_CLOSED) {
        struct mqtt_frame frame;
        struct mqtt_error error;
        size_t maximum = side == CLIENT ? session_client_max_packet(model->session)
                                        : session_broker_max_packet(model->session);
        enum mqtt_result result = mqtt_frame_next(
            bytes, (enum mqtt_direction)side, model->reference.version, maximum, &frame, &error);

        if (result == MQTT_MORE || (side == CLIENT && !model_client_ready(model)))
            return;
        begin_step(model, side, bytes);
        if (result == MQTT_BAD && error.reason == REASON_packet_too_large &&
            frame.size <= packet_limit(model, side))
            model_fail(model, "a packet of %zu bytes is too large", frame.size);
        if (result == MQTT_BAD) {
            step_malformed(model, &error);
            return;
        }
        model->step.bytes = frame.bytes;
        step_packet(model, &frame);
        bytes = view_skip(bytes, frame.bytes.length);
    }
}

void model_password(struct model *model, enum reason found)
{
    struct step *step = &model->step;
    struct session_output output;
    struct mqtt_error error;

    history_add(model, found == REASON_none ? "the password is right" : "the password is wrong", CLIENT,
        view_of("", 0));
    begin_step(model, CLIENT, buffer_view(&model->held_connect));
    output = begin_output(model);
    session_password_checked(model->session, found, &output);
    take_output(model, &output);
    if (!packet_read(step->bytes, CLIENT, 0, &step->packet, &error))
        model_fail(model, "a CONNECT that was understood is not: %s", error.text);
    judge_password(model, found);
    finish_step(model);
}

struct session_settings *model_copy_settings(const struct model *model)
{
    struct session_settings *copy = memory_calloc(1, sizeof(*copy));

    *copy = model->settings;
    return copy;
}

void model_rebind(struct model *model)
{
    const struct variant *before = model->variant;
    struct session_settings *bound = model->bound;
    struct session_output output;

    if (model->reference.phase != PHASE_NEW && model->reference.phase != PHASE_OPEN)
        return;
    model_choose_variant(model);
    history_add(model, model->variant->name, CLIENT, view_of("", 0));
    begin_step(model, CLIENT, view_of("", 0));
    output = begin_output(model);
    model->bound = model_copy_settings(model);
    session_rebind(model->session, model->bound, &output);
    free(bound);
    take_output(model, &output);
    judge_rebind(model, before);
    finish_step(model);
}

void model_abort(struct model *model, enum reason reason)
{
    struct session_output output;
    uint8_t code = reason_info(reason)->v5;

    if (model->reference.phase == PHASE_CLOSED)
        return;
    begin_step(model, CLIENT, view_of("", 0));
    output = begin_output(model);
    session_abort(model->session, reason, &output);
    take_output(model, &output);
    judge_close(model, code == 0x88 ? 0x89 : code); /* 0x88 is not one of DISCONNECT */
    if (reason == REASON_client_closed || reason == REASON_client_lost || reason == REASON_broker_closed ||
        reason == REASON_broker_unreachable || reason == REASON_session_taken_over)
        buffer_clear(&model->step.expected[BROKER]); /* the client's will is due, or nobody is there */
    if (reason == REASON_broker_closed)
        buffer_clear(&model->step.expected[CLIENT]); /* the broker said nothing, and so does the proxy */
    finish_step(model);
}
