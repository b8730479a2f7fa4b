/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a session, the dispatch of packets by type and direction, and its end. Called by proxy/conn.c,
 * the unit tests and the fuzzers; it owns no descriptor and no clock. */
#include "proxy/session/session.h"

#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "proxy/session/session_internal.h"

void session_take_limits(struct session *session)
{
    session->packet_limit = session->policy->limit_packet;
    session->broker_packet_max = session->settings->broker_max_packet;
    session->aliases.maximum = session->settings->topic_alias_maximum;
}

struct session *session_new(const struct session_settings *settings, const struct session_peer *peer,
    const struct session_hooks *hooks, void *context)
{
    struct session *session = memory_calloc(1, sizeof(*session));

    session->magic = SESSION_MAGIC;
    session->settings = settings;
    session->policy = policy_settings(settings->policy);
    session->peer = peer;
    session->hooks = hooks;
    session->context = context;
    session->client_packet_limit = UINT32_MAX;
    session->from_client.search = SESSION_ORDER_MAX; /* brokers hardly ever answer out of order */
    session->from_broker.search = SESSION_ORDER_SEARCH;
    session_take_limits(session);
    /* Sampling needs no secrecy, only that sessions differ. */
    session->sample = (uint64_t)(uintptr_t)session ^ ((uint64_t)peer->port << 40) ^ 0x9E3779B97F4A7C15u;
    return session;
}

void session_free(struct session *session)
{
    if (session == NULL)
        return;
    assert(session->magic == SESSION_MAGIC);
    session->magic = 0;
    policy_subject_free(session->subject);
    session_shadow_end(session);
    free((void *)(uintptr_t)session->former_user.data);
    free(session->end_detail);
    free((void *)(uintptr_t)session->client_id.data);
    free((void *)(uintptr_t)session->username.data);
    free((void *)(uintptr_t)session->authentication_method.data);
    session_token_free(session);
    session_will_free(session->will);
    session_held_connect_free(session->held_connect);
    session_hold_end(session);
    free(session->previous_policy);
    session_flow_free(&session->from_client);
    session_flow_free(&session->from_broker);
    session_alias_free(&session->aliases);
    session_subscriptions_free(&session->subscriptions);
    session_cache_free(session->publish_cache);
    session_cache_free(session->receive_cache);
    session_denials_free(session->publish_denials);
    session_denials_free(session->receive_denials);
    session_repeats_forget(session);
    session_marks_free(&session->marks);
    session_waiting_free(&session->waiting);
    session_waiting_free(&session->deliveries);
    session_scan_forget(session);
    buffer_release(&session->scratch);
    free(session);
}

void session_set_state(struct session *session, enum session_state state)
{
    static const uint8_t legal[] = {
        [SESSION_NEW] = 1 << SESSION_IDENTIFYING | 1 << SESSION_CONNECTING | 1 << SESSION_CLOSING,
        [SESSION_IDENTIFYING] = 1 << SESSION_CONNECTING | 1 << SESSION_CLOSING,
        [SESSION_CONNECTING] = 1 << SESSION_OPEN | 1 << SESSION_CLOSING,
        [SESSION_OPEN] = 1 << SESSION_CLOSING,
        [SESSION_CLOSING] = 1 << SESSION_CLOSING,
    };

    assert(legal[session->state] & (1 << state));
    session->state = state;
    session_room_forget(session);
    if (state == SESSION_CLOSING)
        session_waiting_drop(session);
}

bool session_client_ready(const struct session *session)
{
    switch (session->state) {
    case SESSION_NEW:
        return true;
    case SESSION_CONNECTING: /* only the exchange of AUTH may go on [MQTT-4.12.0-2]; all else waits for
                                CONNACK */
        return session->has_authentication;
    case SESSION_OPEN:
        return session->from_client.made_up < SESSION_MADE_UP_HIGH &&
               session->subscriptions.pending_count < SESSION_PENDING_HIGH &&
               session->waiting.count < SESSION_WAITING_MAX && session->waiting.bytes < SESSION_WAITING_BYTES;
    case SESSION_IDENTIFYING:
    case SESSION_CLOSING:
        break;
    }
    return false;
}

void session_set_unrecorded(struct session *session, bool unrecorded)
{
    session->unrecorded = unrecorded;
}

void session_set_room(struct session *session, enum session_room room)
{
    session->unrecorded = room == SESSION_ROOM_DENIED || room == SESSION_ROOM_NEVER;
    session->unrecordable = room == SESSION_ROOM_NEVER;
}

bool session_broker_ready(const struct session *session)
{
    return session->deliveries.count < SESSION_WAITING_MAX &&
           session->deliveries.bytes < SESSION_WAITING_BYTES;
}

/* ---- dispatch ---- */

static enum session_verdict decode(struct session *session, const struct mqtt_frame *frame,
    enum mqtt_direction direction, struct mqtt_packet *packet, struct session_output *output)
{
    struct mqtt_error error;

    if (mqtt_decode(frame, direction, session->version, &session->settings->options, packet, &error) ==
        MQTT_OK)
        return SESSION_FORWARD;
    if (direction == MQTT_FROM_CLIENT)
        return session_client_error(session, &error, frame->type, output);
    return session_broker_violation(session, error.statement, error.text, output);
}

static enum session_verdict client_pass(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    struct mqtt_packet packet;

    return decode(session, frame, MQTT_FROM_CLIENT, &packet, output);
}

/* PUBACK, PUBREC, PUBCOMP: the client answers a delivery, and what waited behind it becomes due. */
static enum session_verdict client_answer(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    struct mqtt_packet packet;

    if (decode(session, frame, MQTT_FROM_CLIENT, &packet, output) == SESSION_CONSUMED)
        return SESSION_CONSUMED;
    return session_flow_answered(&session->from_broker, &packet, output->to_broker) ? SESSION_FORWARD
                                                                                    : SESSION_CONSUMED;
}

static enum session_verdict client_pubrel(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    struct mqtt_packet packet;

    if (decode(session, frame, MQTT_FROM_CLIENT, &packet, output) == SESSION_CONSUMED)
        return SESSION_CONSUMED;
    if (session_flow_release(
            &session->from_client, packet.u.ack.packet_id, session->version, output->to_client))
        return SESSION_CONSUMED;
    return SESSION_FORWARD;
}

/* DISCONNECT goes on, so that the broker forgets the will or not as the client said; a longer session than
 * the policy allows does not. */
static enum session_verdict client_disconnect(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    struct mqtt_packet packet;
    enum session_verdict verdict = decode(session, frame, MQTT_FROM_CLIENT, &packet, output);
    struct mqtt_properties *properties = &packet.u.disconnect.properties;

    if (verdict == SESSION_CONSUMED)
        return verdict;
    if (session->version == MQTT_V5 && mqtt_properties_has(properties, MQTT_SESSION_EXPIRY_INTERVAL)) {
        uint32_t expiry = mqtt_properties_number(properties, MQTT_SESSION_EXPIRY_INTERVAL, 0);

        if (expiry != 0 && session->session_expiry_asked == 0)
            return session_client_violation(session, REASON_protocol_error, "MQTT-3.14.2-2",
                "a session expiry in DISCONNECT although CONNECT had none", MQTT_DISCONNECT, output);
        if (expiry > session->policy->limit_session_expiry_s) {
            mqtt_properties_copy_without(
                &session->scratch, properties, UINT64_C(1) << MQTT_SESSION_EXPIRY_INTERVAL);
            mqtt_property_write_number(&session->scratch, MQTT_SESSION_EXPIRY_INTERVAL,
                (uint32_t)session->policy->limit_session_expiry_s);
            *properties = (struct mqtt_properties){buffer_view(&session->scratch), properties->present};
            mqtt_encode(&packet, output->to_broker);
            buffer_clear(&session->scratch);
            verdict = SESSION_CONSUMED;
        }
    }
    session_set_state(session, SESSION_CLOSING);
    output->close = true;
    output->reason = REASON_client_disconnected;
    return verdict;
}

/* The authentication method of AUTH is that of CONNECT, [MQTT-4.12.0-5]. */
static bool same_method(const struct session *session, const struct mqtt_properties *properties)
{
    struct mqtt_property_value method;

    return mqtt_properties_find(properties, MQTT_AUTHENTICATION_METHOD, &method) &&
           view_equal(method.string, session->authentication_method);
}

static enum session_verdict client_auth(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    struct mqtt_packet packet;

    if (session->token_in != POLICY_TOKEN_AUTHENTICATION && !session->has_authentication)
        return session_client_violation(session, REASON_protocol_error, "MQTT-4.12.0-6",
            "AUTH although CONNECT named no authentication method", MQTT_AUTH, output);
    if (session->state == SESSION_CONNECTING && !session->authentication_asked)
        return session_client_violation(session, REASON_protocol_error, "MQTT-4.12.0-3",
            "AUTH before CONNACK that the server did not ask for", MQTT_AUTH, output);
    if (decode(session, frame, MQTT_FROM_CLIENT, &packet, output) == SESSION_CONSUMED)
        return SESSION_CONSUMED;
    if (!same_method(session, &packet.u.auth.properties))
        return session_client_violation(session, REASON_bad_authentication_method, "MQTT-4.12.0-5",
            "an authentication method other than that of CONNECT", MQTT_AUTH, output);
    if (session->token_in == POLICY_TOKEN_AUTHENTICATION)
        return session_token_renew(session, &packet, output);
    session->authentication_asked = false;
    return SESSION_FORWARD;
}

static enum session_verdict broker_pass(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    struct mqtt_packet packet;

    return decode(session, frame, MQTT_FROM_SERVER, &packet, output);
}

/* PUBACK, PUBREC, PUBCOMP: the broker answers the client; what the proxy answers itself and waited behind it
 * becomes due. */
static enum session_verdict broker_answer(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    struct mqtt_packet packet;

    if (decode(session, frame, MQTT_FROM_SERVER, &packet, output) == SESSION_CONSUMED)
        return SESSION_CONSUMED;
    session_signature_answered(session, packet.type, &packet.u.ack);
    return session_flow_answered(&session->from_client, &packet, output->to_client) ? SESSION_FORWARD
                                                                                    : SESSION_CONSUMED;
}

static enum session_verdict broker_pubrel(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    struct mqtt_packet packet;

    if (decode(session, frame, MQTT_FROM_SERVER, &packet, output) == SESSION_CONSUMED)
        return SESSION_CONSUMED;
    if (session_flow_release(
            &session->from_broker, packet.u.ack.packet_id, session->version, output->to_broker))
        return SESSION_CONSUMED;
    return SESSION_FORWARD;
}

static enum session_verdict broker_disconnect(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    enum session_verdict verdict = broker_pass(session, frame, output);

    if (verdict == SESSION_FORWARD) {
        session_set_state(session, SESSION_CLOSING);
        output->close = true;
        output->reason = REASON_broker_disconnected;
    }
    return verdict;
}

static enum session_verdict broker_auth(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    struct mqtt_packet packet;

    if (!session->has_authentication)
        return session_broker_violation(
            session, "MQTT-4.12.0-6", "AUTH although CONNECT named no authentication method", output);
    if (decode(session, frame, MQTT_FROM_SERVER, &packet, output) == SESSION_CONSUMED)
        return SESSION_CONSUMED;
    /* the short form, which says success and nothing else, names none */
    if (packet.u.auth.properties.present != 0 && !same_method(session, &packet.u.auth.properties))
        return session_broker_violation(
            session, "MQTT-4.12.0-5", "an authentication method other than that of CONNECT", output);
    session->authentication_asked = true;
    return SESSION_FORWARD;
}

static enum session_verdict client_second_connect(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    (void)frame;
    return session_client_violation(
        session, REASON_second_connect, "MQTT-3.1.0-2", "a second CONNECT", MQTT_CONNECT, output);
}

/* What an OPEN session does with each type; the codec refuses what a side must not send at all. */
static session_handler *const client_handlers[16] = {
    [MQTT_CONNECT] = client_second_connect,
    [MQTT_PUBLISH] = session_client_publish,
    [MQTT_PUBACK] = client_answer,
    [MQTT_PUBREC] = client_answer,
    [MQTT_PUBREL] = client_pubrel,
    [MQTT_PUBCOMP] = client_answer,
    [MQTT_SUBSCRIBE] = session_client_subscribe,
    [MQTT_UNSUBSCRIBE] = session_client_unsubscribe,
    [MQTT_PINGREQ] = client_pass,
    [MQTT_DISCONNECT] = client_disconnect,
    [MQTT_AUTH] = client_auth,
};

static session_handler *const broker_handlers[16] = {
    [MQTT_PUBLISH] = session_broker_publish,
    [MQTT_PUBACK] = broker_answer,
    [MQTT_PUBREC] = broker_answer,
    [MQTT_PUBREL] = broker_pubrel,
    [MQTT_PUBCOMP] = broker_answer,
    [MQTT_SUBACK] = session_broker_suback,
    [MQTT_UNSUBACK] = session_broker_unsuback,
    [MQTT_PINGRESP] = broker_pass,
    [MQTT_DISCONNECT] = broker_disconnect,
    [MQTT_AUTH] = broker_auth,
};

enum session_verdict session_client_turn(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    session_handler *handler = client_handlers[frame->type];

    if (handler != NULL)
        return handler(session, frame, output);
    return session_client_violation(
        session, REASON_protocol_error, "MQTT-2.1.2", "a packet that only servers send", frame->type, output);
}

/* It has its turn, or waits behind others or for what it needs. */
static enum session_verdict client_open(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    enum session_verdict verdict;

    if (session_waiting_take(session, frame)) {
        session_waiting_turns(session, output);
        return SESSION_CONSUMED;
    }
    verdict = session_client_turn(session, frame, output);
    if (session->hold.ticket != 0)
        session_waiting_hold(session, &session->waiting, frame);
    return verdict;
}

enum session_verdict session_client_packet(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    assert(session->magic == SESSION_MAGIC);
    if (session->state == SESSION_OPEN)
        return client_open(session, frame, output);
    if (session->state == SESSION_NEW) {
        if (frame->type == MQTT_CONNECT)
            return session_client_connect(session, frame, output);
        return session_client_violation(session, REASON_not_connect, "MQTT-3.1.0-1",
            "the first packet is not CONNECT", frame->type, output);
    }
    if (session->state == SESSION_CONNECTING) {
        if (frame->type == MQTT_AUTH || frame->type == MQTT_DISCONNECT)
            return client_handlers[frame->type](session, frame, output);
        return session_client_violation(session, REASON_protocol_error, "MQTT-3.1.2-30",
            "a packet other than AUTH or DISCONNECT before CONNACK", frame->type, output);
    }
    return SESSION_CONSUMED; /* closing: what still comes is nobody's any more */
}

static struct mqtt_properties *properties_of(struct mqtt_packet *packet)
{
    switch (packet->type) {
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        return &packet->u.suback.properties;
    case MQTT_DISCONNECT:
        return &packet->u.disconnect.properties;
    case MQTT_AUTH:
        return &packet->u.auth.properties;
    default:
        return &packet->u.ack.properties;
    }
}

/* A broker's packet that is larger than the client takes goes on without what may be left out, ahead of what
 * the proxy has to say after it. */
static enum session_verdict shorten(
    struct session *session, const struct mqtt_frame *frame, size_t before, struct session_output *output)
{
    struct mqtt_packet packet;
    struct buffer later = {0};

    if (decode(session, frame, MQTT_FROM_SERVER, &packet, output) == SESSION_CONSUMED)
        return SESSION_CONSUMED;
    buffer_append(&later, view_skip(buffer_view(output->to_client), before));
    output->to_client->end = output->to_client->start + before;
    session_encode_to_client(session, &packet, properties_of(&packet), output);
    buffer_append(output->to_client, buffer_view(&later));
    buffer_release(&later);
    return SESSION_CONSUMED;
}

/* What the client may have of the broker: as it came, or shortened. */
enum session_verdict session_broker_turn(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    size_t before = buffer_length(output->to_client);
    enum session_verdict verdict = broker_handlers[frame->type](session, frame, output);

    if (verdict == SESSION_FORWARD && frame->bytes.length > session->client_packet_limit &&
        frame->type != MQTT_PINGRESP)
        return shorten(session, frame, before, output);
    return verdict;
}

/* It has its turn, or waits behind a message that is scanned, or to be scanned itself. */
static enum session_verdict broker_open(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    enum session_verdict verdict;

    if (session->deliveries.first != NULL) {
        session_waiting_deliver(session, frame);
        return SESSION_CONSUMED;
    }
    verdict = session_broker_turn(session, frame, output);
    if (session->hold.ticket != 0)
        session_waiting_hold(session, &session->deliveries, frame);
    return verdict;
}

enum session_verdict session_broker_packet(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    assert(session->magic == SESSION_MAGIC);
    if (session->state == SESSION_OPEN && broker_handlers[frame->type] != NULL)
        return broker_open(session, frame, output);
    if (session->state == SESSION_CLOSING)
        return SESSION_CONSUMED;
    if (session->state == SESSION_CONNECTING) {
        if (frame->type == MQTT_CONNACK)
            return session_broker_connack(session, frame, output);
        if (frame->type == MQTT_AUTH)
            return session_broker_turn(session, frame, output);
        return session_broker_violation(
            session, "MQTT-3.2.0-1", "the broker's first packet is not CONNACK", output);
    }
    return session_broker_violation(
        session, "MQTT-3.2.0-2", "a packet that a broker must not send here", output);
}

/* ---- what the caller frames with ---- */

enum mqtt_version session_version(const struct session *session)
{
    return session->version;
}

size_t session_client_max_packet(const struct session *session)
{
    return session->state == SESSION_OPEN && session->broker_packet_limit < session->packet_limit
               ? session->broker_packet_limit
               : session->packet_limit;
}

size_t session_broker_max_packet(const struct session *session)
{
    return session->broker_packet_max;
}

bool session_is_open(const struct session *session)
{
    return session->state == SESSION_OPEN;
}

bool session_is_connecting(const struct session *session)
{
    return session->state == SESSION_IDENTIFYING || session->state == SESSION_CONNECTING;
}

bool session_is_asking(const struct session *session)
{
    return session->waiting.first != NULL ||
           (session->held_connect != NULL &&
               (session->held_connect->ticket | session->held_connect->scan_ticket) != 0);
}

bool session_is_asking_broker(const struct session *session)
{
    return session->deliveries.first != NULL;
}

void session_scan_answered(struct session *session, uint64_t ticket, const struct session_scanned *results,
    size_t count, struct session_output *output)
{
    assert(session->magic == SESSION_MAGIC && count > 0);
    if (session->state == SESSION_IDENTIFYING && session->held_connect != NULL &&
        session->held_connect->scan_ticket == ticket)
        session_connect_scanned(session, results, output);
    else
        session_waiting_scanned(session, ticket, results, output);
}

void session_replay_answered(
    struct session *session, uint64_t ticket, enum replay_answer answer, struct session_output *output)
{
    assert(session->magic == SESSION_MAGIC);
    if (session->state == SESSION_IDENTIFYING && session->held_connect != NULL &&
        session->held_connect->ticket == ticket)
        session_connect_foreseen(session, answer, output);
    else if (session_waiting_answered(session, ticket, answer))
        session_waiting_turns(session, output);
}

uint64_t session_keep_alive_ms(const struct session *session)
{
    return (uint64_t)session->keep_alive * 1500;
}

void session_set_server(struct session *session, struct view address, uint16_t port)
{
    session->server_address = address;
    session->server_port = port;
    session_room_forget(session);
}
