/* SPDX-License-Identifier: Apache-2.0 */
/* The reference for CONNECT, CONNACK, AUTH and DISCONNECT: who gets in, and what the proxy says in its own
 * name: limits of packets and sessions, and topic aliases, which end here. */
#include "model_internal.h"

#define BIT(id) (UINT64_C(1) << (id))

static uint32_t number_of(const struct mqtt_properties *properties, enum mqtt_property id, uint32_t fallback)
{
    return mqtt_properties_number(properties, id, fallback);
}

static void refuse(struct model *model, uint8_t code)
{
    struct step *step = &model->step;

    step->must_close = step->refusal = true;
    if (model->reference.phase == PHASE_CONNECTING)
        judge_withdrawal(model);
    step->refusal_codes[step->refusal_code_count++] = code;
}

/* The only packet that came out to a side, decoded; it takes the place of what is expected. */
static void take_only(struct model *model, int side, enum mqtt_type type, struct mqtt_packet *packet)
{
    struct step *step = &model->step;
    struct mqtt_error error;

    if (!packet_read(
            buffer_view(&step->out[side]), other_side(side), model->reference.version, packet, &error) ||
        packet->type != type || packet->frame.bytes.length != buffer_length(&step->out[side]))
        model_fail(model, "one %s was due and did not come", mqtt_type_name(type));
    buffer_append(&step->expected[side], packet->frame.bytes);
}

/* ---- CONNECT ---- */

bool judge_will(struct model *model, uint8_t *code)
{
    const struct last_will *will = &model->reference.will;
    struct view id = text_view(&model->reference.known_id);
    struct judgement judgement;

    if (!will->left)
        return true;
    judgement =
        rules_publish(model->variant, id, text_view(&will->topic), will->qos, will->retain, will->size);
    if (!judgement.denied && will->has_response) {
        struct judgement received = rules_receive(model->variant, id, text_view(&will->response));

        judgement.denied = received.denied;
        judgement.watched |= received.watched;
    }
    *code = judgement.code;
    if (judgement.denied || judgement.watched)
        judge_event(model, COUNT_WILL_DENIED, 1);
    return !judgement.denied || model->variant->monitor;
}

static void keep_will(struct last_will *kept, const struct mqtt_connect *connect)
{
    struct mqtt_property_value response;

    kept->left = connect->has_will;
    if (!connect->has_will)
        return;
    text_set(&kept->topic, connect->will.topic);
    kept->qos = connect->will.qos;
    kept->retain = connect->will.retain;
    kept->size = connect->will.payload.length;
    kept->has_response = mqtt_properties_find(&connect->will.properties, MQTT_RESPONSE_TOPIC, &response);
    if (kept->has_response)
        text_set(&kept->response, response.string);
}

/* What the broker gets of a CONNECT is what came, but for what the proxy limits. */
static void check_connect(struct model *model, const struct mqtt_connect *sent)
{
    struct mqtt_packet packet;
    const struct mqtt_connect *got = &packet.u.connect;
    uint32_t limit = (uint32_t)model->reference.broker_packet_max, expiry = model->reference.session_expiry;
    const uint64_t own =
        BIT(MQTT_TOPIC_ALIAS_MAXIMUM) | BIT(MQTT_MAXIMUM_PACKET_SIZE) | BIT(MQTT_SESSION_EXPIRY_INTERVAL);

    if (model->reference.version != MQTT_V5) {
        judge_forward(model);
        return;
    }
    take_only(model, BROKER, MQTT_CONNECT, &packet);
    if (limit > model->reference.client_packet_limit)
        limit = model->reference.client_packet_limit;
    if (got->version != sent->version || got->clean_start != sent->clean_start || got->bridge ||
        got->keep_alive != sent->keep_alive || !view_equal(got->client_id, sent->client_id) ||
        got->has_username != sent->has_username || !view_equal(got->username, sent->username) ||
        got->has_password != sent->has_password || !view_equal(got->password, sent->password))
        model_fail(model, "CONNECT was changed");
    if (got->has_will != sent->has_will || !view_equal(got->will.topic, sent->will.topic) ||
        !view_equal(got->will.payload, sent->will.payload) || got->will.qos != sent->will.qos ||
        got->will.retain != sent->will.retain ||
        !view_equal(got->will.properties.raw, sent->will.properties.raw))
        model_fail(model, "the will was changed");
    if (!judge_same_properties(model, &sent->properties, &got->properties, own))
        model_fail(model, "properties of CONNECT were changed");
    if (number_of(&got->properties, MQTT_TOPIC_ALIAS_MAXIMUM, 0) != 0 ||
        number_of(&got->properties, MQTT_MAXIMUM_PACKET_SIZE, UINT32_MAX) != limit ||
        number_of(&got->properties, MQTT_SESSION_EXPIRY_INTERVAL, 0) != expiry)
        model_fail(model, "CONNECT announces other limits than those of client and proxy");
}

static void set_client_id(struct reference *reference, struct view client_id)
{
    text_set(&reference->client_id, client_id);
    text_set(&reference->known_id, rules_id_safe(client_id) ? client_id : view_of("", 0));
}

static void learn_connect(struct model *model, const struct mqtt_connect *connect)
{
    struct reference *reference = &model->reference;
    struct mqtt_property_value method = {0};

    set_client_id(reference, connect->client_id);
    reference->keep_alive = connect->keep_alive;
    reference->clean_start = connect->clean_start;
    reference->has_method = mqtt_properties_find(&connect->properties, MQTT_AUTHENTICATION_METHOD, &method);
    text_set(&reference->method, method.string);
    reference->has_password = connect->has_username && connect->has_password;
    text_set(&reference->username, connect->username);
    keep_will(&reference->will, connect);
    reference->client_packet_limit = number_of(&connect->properties, MQTT_MAXIMUM_PACKET_SIZE, UINT32_MAX);
    reference->session_expiry_asked = number_of(&connect->properties, MQTT_SESSION_EXPIRY_INTERVAL, 0);
    reference->session_expiry = reference->session_expiry_asked < model->variant->session_expiry
                                    ? reference->session_expiry_asked
                                    : model->variant->session_expiry;
}

struct view judge_identity(const struct model *model)
{
    switch (model->reference.identity) {
    case IDENTITY_USER:
        return text_view(&model->reference.username);
    case IDENTITY_ANYONE:
        return VIEW("anyone");
    case IDENTITY_NOBODY:
        break;
    }
    return view_of("", 0);
}

/* What is left to judge once it is known who the client is. */
static void judge_connect_on(struct model *model)
{
    struct step *step = &model->step;
    uint8_t code;

    if (!judge_will(model, &code)) {
        refuse(model, code);
        return;
    }
    if (model->claim_answer != REASON_none && !model->variant->monitor) {
        refuse(model, reason_info(model->claim_answer)->v5);
        return;
    }
    if (!view_equal(text_view(&model->claimed_by), judge_identity(model)))
        model_fail(model, "a claim for somebody else");
    step->must_open = true;
    check_connect(model, &step->packet.u.connect);
    model->reference.phase = PHASE_CONNECTING;
}

void judge_connect(struct model *model)
{
    struct step *step = &model->step;
    struct reference *reference = &model->reference;
    const struct mqtt_connect *connect = &step->packet.u.connect;
    bool unsafe;

    reference->version = connect->version;
    if (connect->bridge) {
        judge_violation(model, 0x84);
        return;
    }
    learn_connect(model, connect);
    reference->outcome_due = true;
    unsafe = connect->client_id.length > 0 && !rules_id_safe(connect->client_id);
    if (unsafe && !model->variant->monitor) {
        refuse(model, 0x87);
        return;
    }
    reference->identity =
        model->variant->passwords && reference->has_password ? IDENTITY_USER : IDENTITY_ANYONE;
    if (unsafe && reference->identity == IDENTITY_USER) /* nobody is asked once it is refused */
        reference->identity = IDENTITY_NOBODY;
    if (reference->identity != IDENTITY_USER) {
        judge_connect_on(model);
        return;
    }
    if (!view_equal(text_view(&step->asked_name), connect->username) ||
        !view_equal(text_view(&step->asked_password), connect->password))
        model_fail(model, "another password than the client's is to be checked");
    step->must_ask = true;
    reference->password_tag = model->tag;
    reference->phase = PHASE_IDENTIFYING;
}

void judge_password(struct model *model, enum reason found)
{
    struct reference *reference = &model->reference;

    reference->phase = PHASE_NEW; /* the broker knows nothing yet */
    if (found != REASON_none) {
        reference->password_tag = 0;
        reference->identity = IDENTITY_NOBODY;
        reference->known_id.length = 0;
    }
    if (found != REASON_none && !model->variant->monitor)
        refuse(model, reason_info(found)->v5);
    else
        judge_connect_on(model);
}

/* ---- CONNACK ---- */

/* The size of a CONNACK with these properties left out and the proxy's own put in. */
static size_t least_connack(struct model *model, const struct mqtt_connack *sent, uint64_t without)
{
    const struct reference *reference = &model->reference;
    bool has_expiry = mqtt_properties_has(&sent->properties, MQTT_SESSION_EXPIRY_INTERVAL);
    uint32_t length = 5; /* Maximum Packet Size */

    length += reference->alias_maximum != 0 ? 3 : 0;
    length += has_expiry || reference->session_expiry != reference->session_expiry_asked ? 5 : 0;
    buffer_clear(&model->scratch);
    mqtt_properties_copy_without(&model->scratch, &sent->properties, without);
    length += (uint32_t)buffer_length(&model->scratch);
    length += 2 + (uint32_t)mqtt_varint_size(length);
    return 1 + mqtt_varint_size(length) + length;
}

/* 5.0: what came, but for what the proxy limits; what does not fit the client is left out if it may be, or
 * the session ends. */
static void check_connack(struct model *model, const struct mqtt_connack *sent)
{
    struct mqtt_packet packet;
    struct reference *reference = &model->reference;
    const struct mqtt_connack *got = &packet.u.connack;
    uint32_t limit = number_of(&sent->properties, MQTT_MAXIMUM_PACKET_SIZE, UINT32_MAX);
    uint32_t expiry = number_of(&sent->properties, MQTT_SESSION_EXPIRY_INTERVAL, reference->session_expiry);
    uint64_t own =
        BIT(MQTT_TOPIC_ALIAS_MAXIMUM) | BIT(MQTT_MAXIMUM_PACKET_SIZE) | BIT(MQTT_SESSION_EXPIRY_INTERVAL);

    if (least_connack(model, sent, own | BIT(MQTT_REASON_STRING) | BIT(MQTT_USER_PROPERTY)) >
        reference->client_packet_limit) {
        judge_close(model, 0x95); /* it can't be told what it has to be told */
        return;
    }
    take_only(model, CLIENT, MQTT_CONNACK, &packet);
    if (limit > reference->packet_max)
        limit = (uint32_t)reference->packet_max;
    if (least_connack(model, sent, own) > reference->client_packet_limit)
        own |= BIT(MQTT_REASON_STRING) | BIT(MQTT_USER_PROPERTY);
    if (got->session_present != sent->session_present || got->code != sent->code ||
        !judge_same_properties(model, &sent->properties, &got->properties, own))
        model_fail(model, "CONNACK was changed");
    if (number_of(&got->properties, MQTT_TOPIC_ALIAS_MAXIMUM, 0) != reference->alias_maximum ||
        number_of(&got->properties, MQTT_MAXIMUM_PACKET_SIZE, UINT32_MAX) != limit)
        model_fail(model, "CONNACK announces other limits than those of broker and proxy");
    if (number_of(&got->properties, MQTT_SESSION_EXPIRY_INTERVAL, reference->session_expiry_asked) != expiry)
        model_fail(model, "CONNACK says another session expiry than what is in force");
}

static void learn_connack(struct model *model, const struct mqtt_connack *connack)
{
    struct reference *reference = &model->reference;
    const struct mqtt_properties *properties = &connack->properties;

    reference->phase = PHASE_OPEN;
    reference->resumed = reference->version == MQTT_V31 ? !reference->clean_start : connack->session_present;
    reference->broker_receive_maximum = number_of(properties, MQTT_RECEIVE_MAXIMUM, 65535);
    reference->broker_packet_limit = number_of(properties, MQTT_MAXIMUM_PACKET_SIZE, UINT32_MAX);
    reference->broker_max_qos = number_of(properties, MQTT_MAXIMUM_QOS, 2);
    reference->broker_retains = number_of(properties, MQTT_RETAIN_AVAILABLE, 1) != 0;
    reference->keep_alive = number_of(properties, MQTT_SERVER_KEEP_ALIVE, reference->keep_alive);
}

/* A client without an id has the one that it is assigned; the policy needs one that it can fill in. */
static bool judge_assigned(struct model *model, const struct mqtt_connack *connack)
{
    struct reference *reference = &model->reference;
    struct mqtt_property_value assigned = {0};

    if (reference->client_id.length > 0)
        return true;
    if (mqtt_properties_find(&connack->properties, MQTT_ASSIGNED_CLIENT_IDENTIFIER, &assigned))
        set_client_id(reference, assigned.string);
    if (reference->identity == IDENTITY_NOBODY)
        reference->known_id.length = 0;
    return model->variant->monitor || rules_id_safe(text_view(&reference->client_id));
}

void judge_connack(struct model *model)
{
    struct step *step = &model->step;
    const struct mqtt_connack *connack = &step->packet.u.connack;

    if (connack->code != 0) { /* the broker's own words */
        step->must_close = true;
        judge_forward(model);
        return;
    }
    if (!judge_assigned(model, connack)) {
        refuse(model, 0x87);
        return;
    }
    if (model->reference.known_id.length > 0 &&
        !view_equal(text_view(&model->claimed), text_view(&model->reference.client_id)))
        model_fail(model, "the session holds no claim to its client id");
    if (model->reference.version == MQTT_V5)
        check_connack(model, connack);
    else
        judge_forward(model);
    if (!step->must_close)
        learn_connack(model, connack);
}

/* ---- AUTH ---- */

void judge_authentication(struct model *model)
{
    struct step *step = &model->step;
    struct reference *reference = &model->reference;
    const struct mqtt_properties *properties = &step->packet.u.auth.properties;
    struct mqtt_property_value method = {0};
    bool named = mqtt_properties_find(properties, MQTT_AUTHENTICATION_METHOD, &method);
    bool short_form = step->side == BROKER && properties->present == 0;

    if (!short_form && !(named && view_equal(method.string, text_view(&reference->method))))
        judge_violation(model, 0x8C);
    else {
        reference->authentication_asked = step->side == BROKER;
        judge_forward(model);
    }
}

/* ---- DISCONNECT ---- */

void judge_disconnect(struct model *model)
{
    struct step *step = &model->step;
    const struct mqtt_disconnect *sent = &step->packet.u.disconnect;
    struct mqtt_packet packet;
    uint32_t expiry = number_of(&sent->properties, MQTT_SESSION_EXPIRY_INTERVAL, 0);

    if (step->side == CLIENT && expiry != 0 && model->reference.session_expiry_asked == 0) {
        judge_violation(model, 0x82); /* [MQTT-3.14.2-2] */
        return;
    }
    step->must_close = true;
    if (step->side == BROKER || expiry <= model->variant->session_expiry) {
        judge_forward(model);
        return;
    }
    take_only(model, BROKER, MQTT_DISCONNECT, &packet);
    if (packet.u.disconnect.code != sent->code ||
        !judge_same_properties(
            model, &sent->properties, &packet.u.disconnect.properties, BIT(MQTT_SESSION_EXPIRY_INTERVAL)) ||
        number_of(&packet.u.disconnect.properties, MQTT_SESSION_EXPIRY_INTERVAL, 0) !=
            model->variant->session_expiry)
        model_fail(model, "DISCONNECT was changed in another way than its session expiry");
}
