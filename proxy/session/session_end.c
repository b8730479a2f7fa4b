/* SPDX-License-Identifier: Apache-2.0 */
/* How a session ends: the last words that a version and a state have for a reason, violations of the
 * protocol, and the audit's last event. Called by the handlers and, through session.h, by proxy/conn_life.c.
 */
#include "proxy/session/session_internal.h"

/* A reason code has a place in some packets and not in others (MQTT 5.0, 2.4); the nearest that has one here.
 */
static uint8_t connack_code(uint8_t code)
{
    switch (code) {
    case 0x8B: /* server shutting down */
        return 0x88;
    case 0x8D: /* keep alive timeout, and what else only a connected client can be told */
    case 0x8E:
    case 0x8F:
    case 0x93:
    case 0x94:
    case 0x98:
        return 0x80;
    default:
        return code;
    }
}

static uint8_t disconnect_code(uint8_t code)
{
    switch (code) {
    case 0x85: /* what only a CONNACK says of an identifier, or a password: of an open session */
    case 0x86:
        return 0x87;
    case 0x88: /* server unavailable: busy */
        return 0x89;
    case 0x8A: /* banned, which only a CONNACK says: administrative action */
        return 0x98;
    default:
        return code;
    }
}

uint8_t session_refusal_code_of(const struct session *session, enum reason reason)
{
    return session->refusal_code != 0 ? session->refusal_code : reason_info(reason)->v5;
}

bool session_connack_code(const struct session *session, enum reason reason, uint8_t *code)
{
    const struct reason_info *info = reason_info(reason);

    if (session->version == 0)
        *code = 0;
    else if (session->version == MQTT_V5)
        *code = connack_code(session_refusal_code_of(session, reason));
    else /* 3.x: what has no return code of its own but is a matter of permission is "not authorized". */
        *code = info->v3 != 0 ? info->v3 : info->v5 == 0x87 ? 5 : 0;
    return *code != 0;
}

/* A CONNECT that the proxy refuses after it has gone on must leave no will behind at the broker. A client
 * that left by itself is another matter: its will is due. */
static void withdraw_connect(const struct session *session, enum reason reason, struct session_output *output)
{
    switch (reason) {
    case REASON_client_closed:
    case REASON_client_lost:
    case REASON_session_taken_over:
    case REASON_broker_closed: /* nobody is there any more */
    case REASON_broker_unreachable:
        break;
    default:
        mqtt_encode_disconnect(output->to_broker, session->version, 0);
    }
}

/* The client's last packet: none where it takes none that large. */
static void last_words(struct session *session, enum reason reason, struct session_output *output)
{
    const struct reason_info *info = reason_info(reason);
    size_t before = buffer_length(output->to_client);
    uint8_t code;

    if (session->version == MQTT_V5 && session->state == SESSION_OPEN && info->v5 != 0 &&
        reason != REASON_broker_closed) /* it said nothing, and so does the proxy */
        mqtt_encode_disconnect(
            output->to_client, MQTT_V5, disconnect_code(session_refusal_code_of(session, reason)));
    else if (session->state <= SESSION_CONNECTING && session_connack_code(session, reason, &code))
        mqtt_encode_connack(output->to_client, session->version, false, code);
    if (buffer_length(output->to_client) - before > session->client_packet_limit)
        output->to_client->end = output->to_client->start + before;
}

void session_close(struct session *session, enum reason reason, struct session_output *output)
{
    if (output->close)
        return;
    last_words(session, reason, output);
    if (session->state == SESSION_CONNECTING)
        withdraw_connect(session, reason, output);
    if (reason == REASON_broker_unreachable)
        session_will_answered(session, false);
    session_set_state(session, SESSION_CLOSING);
    output->close = true;
    output->reason = reason;
}

void session_encode_to_client(struct session *session, struct mqtt_packet *packet,
    struct mqtt_properties *properties, struct session_output *output)
{
    const uint64_t optional = UINT64_C(1) << MQTT_REASON_STRING | UINT64_C(1) << MQTT_USER_PROPERTY;
    size_t before = buffer_length(output->to_client);
    struct buffer kept = {0};

    mqtt_encode(packet, output->to_client);
    if (buffer_length(output->to_client) - before <= session->client_packet_limit)
        return;
    output->to_client->end = output->to_client->start + before;
    mqtt_properties_copy_without(&kept, properties, optional);
    *properties = (struct mqtt_properties){buffer_view(&kept), properties->present & ~optional};
    mqtt_encode(packet, output->to_client);
    if (buffer_length(output->to_client) - before > session->client_packet_limit) {
        output->to_client->end = output->to_client->start + before;
        session_close(session, REASON_packet_too_large, output);
    }
    buffer_release(&kept);
}

/* As the audit writes them. */
static struct view packet_name(enum mqtt_type type)
{
    static const char *const names[16] = {NULL, "connect", "connack", "publish", "puback", "pubrec", "pubrel",
        "pubcomp", "subscribe", "suback", "unsubscribe", "unsuback", "pingreq", "pingresp", "disconnect",
        "auth"};

    return view_of_string(names[type]);
}

static void audit_violation(struct session *session, enum reason reason, const char *statement,
    const char *text, enum mqtt_type type, bool outbound)
{
    struct audit_event event;

    session_count_violation(session, reason);
    session_event_begin(session, &event, AUDIT_protocol_error, reason, AUDIT_CLOSED);
    event.outbound = outbound;
    event.statement = view_of_string(statement);
    event.detail = view_of_string(text);
    if (type != 0)
        event.packet = packet_name(type);
    session_event_emit(session, &event);
    session->refused = true;
}

/* Before CONNACK it also refuses the CONNECT: each has an event of how it ended. */
static void close_violation(struct session *session, enum reason reason, struct session_output *output)
{
    if (session_is_connecting(session))
        session_connect_refuse(session, reason, NULL, NULL, output);
    else
        session_close(session, reason, output);
}

enum session_verdict session_client_violation(struct session *session, enum reason reason,
    const char *statement, const char *text, enum mqtt_type type, struct session_output *output)
{
    audit_violation(session, reason, statement, text, type, false);
    close_violation(session, reason, output);
    return SESSION_CONSUMED;
}

enum session_verdict session_client_error(struct session *session, const struct mqtt_error *error,
    enum mqtt_type type, struct session_output *output)
{
    return session_client_violation(session, error->reason, error->statement, error->text, type, output);
}

enum session_verdict session_broker_violation(
    struct session *session, const char *statement, const char *text, struct session_output *output)
{
    audit_violation(session, REASON_broker_protocol_error, statement, text, 0, true);
    close_violation(session, REASON_broker_protocol_error, output);
    return SESSION_CONSUMED;
}

void session_client_malformed(
    struct session *session, const struct mqtt_error *error, struct session_output *output)
{
    if (session->state != SESSION_CLOSING)
        session_client_error(session, error, 0, output);
}

void session_broker_malformed(
    struct session *session, const struct mqtt_error *error, struct session_output *output)
{
    if (session->state != SESSION_CLOSING)
        session_broker_violation(session, error->statement, error->text, output);
}

void session_abort(struct session *session, enum reason reason, struct session_output *output)
{
    if (session->state == SESSION_CLOSING)
        return;
    if (session_is_connecting(session) && reason != REASON_client_closed && reason != REASON_client_lost)
        session_connect_refuse(session, reason, NULL, NULL, output);
    else
        session_close(session, reason, output);
}

void session_ended(struct session *session, enum reason reason, const struct session_totals *totals)
{
    struct audit_event event;

    if (session->accepted)
        session_event_begin(session, &event, AUDIT_disconnect, reason, AUDIT_INFORMED);
    else if (!session->refused && (session->version != 0 || reason == REASON_connect_timeout)) {
        session_count_refused(session, reason);
        session_event_begin(session, &event, AUDIT_connect_refused, reason, AUDIT_CLOSED);
    } else
        return; /* nobody ever said who it was: a port check, a scan; the log has it */
    event.detail = view_of_string(session->end_detail);
    if (session->end_rule != NULL) {
        event.rule = view_of_string(session->end_rule->name);
        event.rule_location = view_of_string(session->end_rule->location);
    }
    event.has_totals = true;
    event.duration_ms = totals->duration_ms;
    event.client_bytes = totals->client_bytes;
    event.client_packets = totals->client_packets;
    event.server_bytes = totals->server_bytes;
    event.server_packets = totals->server_packets;
    session_event_emit(session, &event);
    session->accepted = false;
    session->refused = true;
}
