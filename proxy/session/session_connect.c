/* SPDX-License-Identifier: Apache-2.0 */
/* CONNECT: who is it, may it, and what goes on to the broker (mqtt-semantics "Sessions"). */
#include <assert.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "proxy/session/session_internal.h"

#define BIT(id) (UINT64_C(1) << (id))

void session_connect_refuse(struct session *session, enum reason reason, const struct policy_rule_info *rule,
    const char *detail, struct session_output *output)
{
    struct audit_event event;

    session_count_refused(session, reason);
    session_event_begin(session, &event, AUDIT_connect_refused, reason, AUDIT_REJECTED);
    event.packet = VIEW("connect");
    event.has_connect = true;
    event.clean_start = session->clean_start;
    event.keep_alive = session->keep_alive;
    event.detail = view_of_string(detail);
    if (rule != NULL) {
        event.rule = view_of_string(rule->name);
        event.rule_location = view_of_string(rule->location);
    }
    event.has_reason_code = session_connack_code(session, reason, &event.reason_code);
    session_event_emit(session, &event);
    session->refused = true;
    session_close(session, reason, output);
}

void session_connect_would_refuse(const struct session *session, enum reason reason,
    const struct policy_rule_info *rule, const char *detail)
{
    struct audit_event event;

    session_event_begin(session, &event, AUDIT_connect_refused, reason, AUDIT_MONITORED);
    event.packet = VIEW("connect");
    event.detail = view_of_string(detail);
    if (rule != NULL) {
        event.rule = view_of_string(rule->name);
        event.rule_location = view_of_string(rule->location);
    }
    session_event_emit(session, &event);
}

/* ---- identity ---- */

struct policy_credentials session_credentials(const struct session *session)
{
    struct policy_credentials credentials = {
        .has_certificate = session->peer->has_certificate,
        .certificate_cas = session->peer->certificate_cas,
        .certificate_ca_count = session->peer->certificate_ca_count,
        .certificate_values = session->peer->certificate_values,
        .certificate_value_count = session->peer->certificate_value_count,
        .has_username = session->has_username,
        .username = session->username,
        .has_password = session->has_password,
        .client_id = session->client_id,
        .address = session->peer->address,
        .dialect = session->settings->dialect,
        .certificate_expires_s = session->peer->certificate_expires_s,
        .now_s = clock_wall_us() / 1000000,
        .find_jwks = session->settings->find_jwks,
        .context = session->settings->jwks_context,
    };
    session_token_present(session, &credentials);
    return credentials;
}

uint64_t session_password_tag(const struct session *session, const struct policy_identification *found)
{
    return session->hooks->password_tag(session->context, found->password_file, session->username);
}

enum reason session_check_identity(const struct session *session, const struct policy_identification *found)
{
    if (found->result == POLICY_REFUSED)
        return found->reason;
    /* With an authentication method the broker authenticates whom the exchange names, and never looks at the
     * user name that the identity would be taken from. */
    if (found->result == POLICY_ASK_BROKER && session->has_authentication)
        return REASON_bad_authentication_method;
    return REASON_none;
}

/* False: refused. Monitor mode reports, and lets in somebody of whom nothing is believed. */
static bool identity_stands(struct session *session, const struct policy_identification *found,
    enum reason reason, struct session_output *output)
{
    if (reason == REASON_none)
        return true;
    if (session->policy->mode == POLICY_MONITOR && session->subject != NULL) {
        session_connect_would_refuse(session, reason, found->rule, found->detail);
        /* it was not known yet, or not to be asked about any more: a name alone proves nothing */
        if (found->result != POLICY_REFUSED || found->source == POLICY_SOURCE_PASSWORD)
            policy_subject_distrust(session->settings->policy, session->subject);
        return true;
    }
    session_connect_refuse(session, reason, found->rule, found->detail, output);
    return false;
}

bool session_is_broker_identified(const struct session *session)
{
    return policy_subject_source(session->subject) == POLICY_SOURCE_BROKER;
}

enum reason session_claim(struct session *session, bool proven)
{
    uint64_t limit = session->policy->mode == POLICY_MONITOR ? 0 : session->policy->limit_sessions;

    return session->hooks->claim(
        session->context, policy_subject_id(session->subject), session->client_id, limit, proven);
}

static bool claim(struct session *session, struct session_output *output)
{
    enum reason reason = session_claim(session, !session_is_broker_identified(session));

    if (reason == REASON_none)
        return true;
    if (session->policy->mode == POLICY_MONITOR) {
        session_connect_would_refuse(session, reason, NULL, NULL);
        return true;
    }
    session_connect_refuse(session, reason, NULL, NULL, output);
    return false;
}

/* ---- what the broker gets ---- */

static uint32_t lower_of(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

/* 5.0: no topic aliases towards the proxy; the session no longer than the policy allows; no packet larger
 * than what both the client and the proxy take. */
static void write_connect_v5(
    struct session *session, const struct mqtt_packet *packet, struct session_output *output)
{
    struct mqtt_packet rewritten = *packet;
    const struct mqtt_properties *given = &packet->u.connect.properties;

    session->session_expiry_asked = mqtt_properties_number(given, MQTT_SESSION_EXPIRY_INTERVAL, 0);
    session->session_expiry =
        lower_of(session->session_expiry_asked, session->policy->limit_session_expiry_s);
    session->session_expiry_limited = session->session_expiry != session->session_expiry_asked;
    mqtt_properties_copy_without(&session->scratch, given,
        BIT(MQTT_TOPIC_ALIAS_MAXIMUM) | BIT(MQTT_MAXIMUM_PACKET_SIZE) | BIT(MQTT_SESSION_EXPIRY_INTERVAL) |
            (session->token_in == POLICY_TOKEN_AUTHENTICATION
                    ? BIT(MQTT_AUTHENTICATION_METHOD) | BIT(MQTT_AUTHENTICATION_DATA)
                    : 0));
    mqtt_property_write_number(&session->scratch, MQTT_MAXIMUM_PACKET_SIZE,
        lower_of(session->broker_packet_max, session->client_packet_limit));
    if (session->session_expiry != 0)
        mqtt_property_write_number(&session->scratch, MQTT_SESSION_EXPIRY_INTERVAL, session->session_expiry);
    rewritten.u.connect.properties = (struct mqtt_properties){buffer_view(&session->scratch), given->present};
    mqtt_encode(&rewritten, output->to_broker);
    buffer_clear(&session->scratch);
}

static void remember(struct session *session, const struct mqtt_connect *connect)
{
    struct mqtt_property_value method;

    session->version = connect->version;
    session->keep_alive = connect->keep_alive;
    session->clean_start = connect->clean_start;
    session->client_packet_limit =
        mqtt_properties_number(&connect->properties, MQTT_MAXIMUM_PACKET_SIZE, UINT32_MAX);
    session->has_authentication =
        mqtt_properties_find(&connect->properties, MQTT_AUTHENTICATION_METHOD, &method);
    if (session->has_authentication)
        session->authentication_method = view_of(memory_copy_string(method.string), method.string.length);
    session->has_username = connect->has_username;
    session->has_password = connect->has_password;
    session->client_id = view_of(memory_copy_string(connect->client_id), connect->client_id.length);
    session->username = view_of(memory_copy_string(connect->username), connect->username.length);
}

static struct view authentication_data(const struct mqtt_connect *connect)
{
    struct mqtt_property_value data = {0};

    mqtt_properties_find(&connect->properties, MQTT_AUTHENTICATION_DATA, &data);
    return data.string;
}

/* The version in which a CONNECT too broken to decode is refused: 5.0's form for level 5, 3.1.1's for the
 * other levels of its name, those that are still to come too. 0: not even the name is MQTT's, or there is
 * none; whoever it is gets no answer, [MQTT-3.1.2-1]. */
static enum mqtt_version claimed_version(const struct mqtt_frame *frame)
{
    struct view body = view_skip(frame->bytes, frame->header_length);
    size_t name = body.length < 2 ? 0 : (size_t)body.data[0] << 8 | body.data[1];

    if (body.length < 2 + name + 1)
        return 0;
    if (view_equal(view_of(body.data + 2, name), VIEW("MQIsdp")))
        return MQTT_V31;
    if (!view_equal(view_of(body.data + 2, name), VIEW("MQTT")))
        return 0;
    return body.data[2 + name] == 5 ? MQTT_V5 : MQTT_V311;
}

/* CONNECT goes on, without what the broker is not to have. */
static enum session_verdict go_on(struct session *session, const struct mqtt_packet *packet,
    const struct session_carrier *carrier, struct session_output *output)
{
    struct mqtt_packet stripped = *packet;
    struct mqtt_will *will = &stripped.u.connect.will;
    struct buffer properties = {0};

    session_set_state(session, SESSION_CONNECTING);
    output->open_broker = true;
    if (session->token_in == POLICY_TOKEN_PASSWORD) {
        /* Nobody has checked the user name beside a token, and a broker might believe it. */
        stripped.u.connect.has_username = stripped.u.connect.has_password = false;
        stripped.u.connect.username = stripped.u.connect.password = (struct view){NULL, 0};
    } else if (session->version != MQTT_V5 && !carrier->changed)
        return SESSION_FORWARD;
    if (carrier->changed) {
        session_carrier_properties(carrier, &properties, &will->properties, 0);
        will->payload = carrier->payload;
        will->properties.raw = buffer_view(&properties);
    }
    if (session->version == MQTT_V5)
        write_connect_v5(session, &stripped, output);
    else
        mqtt_encode(&stripped, output->to_broker);
    buffer_release(&properties);
    return SESSION_CONSUMED;
}

void session_held_connect_free(struct session_held_connect *held)
{
    if (held == NULL)
        return;
    OPENSSL_cleanse(held->bytes, held->length);
    free(held);
}

static struct session_held_connect *hold(const struct mqtt_frame *frame)
{
    struct session_held_connect *held = memory_calloc(1, sizeof(*held) + frame->bytes.length);

    held->header_length = frame->header_length;
    held->length = frame->bytes.length;
    memcpy(held->bytes, frame->bytes.data, frame->bytes.length);
    return held;
}

/* CONNECT waits: for the replay store, or for a scan. */
static struct session_held_connect *wait_with(
    struct session *session, const struct mqtt_frame *frame, uint64_t checks)
{
    session->held_connect = hold(frame);
    session->held_connect->will_checks = checks;
    if (session->state == SESSION_NEW)
        session_set_state(session, SESSION_IDENTIFYING);
    return session->held_connect;
}

/* With what the replay store has said, so that it is not asked twice. */
static void wait_for_scan(struct session *session, const struct mqtt_frame *frame, uint64_t checks,
    const struct session_signature *signature)
{
    struct session_held_connect *held = wait_with(session, frame, checks);

    held->scan_ticket = session->hold.ticket;
    held->scanned_checks = session->hold.checks;
    held->scanned_of = session->hold.of;
    session_hold_end(session);
    if (signature == NULL || signature->replay_check == NULL)
        return;
    held->is_foreseen = true;
    held->foreseen = (struct session_foreseen){.now_ms = signature->now_ms, .answer = signature->answer};
    session_mark_take(&held->foreseen.mark, &signature->replay);
}

/* What a will has to pass; checks: all of them. False: denied (and answered), or CONNECT waits. */
static bool pass_will(struct session *session, const struct mqtt_frame *frame, const struct mqtt_will *will,
    uint64_t checks, struct session_signature *signature, struct session_carrier *carrier,
    struct session_output *output)
{
    const struct policy *policy = session->settings->policy;
    uint64_t signatures = checks & policy_signature_checks(policy),
             scans = checks & policy_yara_checks(policy);

    if (signatures != 0 && !session_will_signed(session, will, signatures, signature, carrier, output))
        return false;
    if (signatures == 0)
        signature = NULL;
    if (scans == 0 || session_will_scanned(session, will, scans, signature, output))
        return true;
    if (session->hold.ticket != 0)
        wait_for_scan(session, frame, checks, signature);
    else if (signature != NULL)
        session_signature_undo(session, signature);
    session_carrier_release(carrier);
    return false;
}

/* All is judged but what the will has to pass; checks: all of them. */
static enum session_verdict connect_will(struct session *session, const struct mqtt_frame *frame,
    const struct mqtt_packet *packet, uint64_t checks, struct session_output *output)
{
    bool is_signed = (checks & policy_signature_checks(session->settings->policy)) != 0;
    struct session_signature signature;
    struct session_carrier carrier = {0};
    enum session_verdict verdict = SESSION_CONSUMED;

    if (checks != 0 &&
        !pass_will(session, frame, &packet->u.connect.will, checks, &signature, &carrier, output))
        return SESSION_CONSUMED;
    if (claim(session, output)) {
        verdict = go_on(session, packet, &carrier, output);
        if (packet->u.connect.has_will)
            session_count_passed(session, SESSION_OPERATION_WILL, &session->will->verdict);
        if (is_signed)
            session_will_sent(session, &signature);
    } else if (is_signed)
        session_signature_undo(session, &signature);
    session_carrier_release(&carrier);
    return verdict;
}

/* The replay store answers later: CONNECT waits. False: it has answered, or is not to be asked. */
static bool wait_for_store(
    struct session *session, const struct mqtt_frame *frame, const struct mqtt_will *will, uint64_t checks)
{
    struct session_foreseen known = {.now_ms = clock_wall_us() / 1000};
    uint64_t signatures = checks & policy_signature_checks(session->settings->policy);
    struct session_held_connect *held;
    struct session_replay replay;
    uint64_t ticket;

    if (!session->hooks->replays_later || signatures == 0 ||
        !session_will_foresee(session, will, signatures, known.now_ms, &known.mark))
        return false;
    replay = session_mark_replay(&known.mark);
    if (session_replay_ask(session, &replay, &ticket, &known.answer))
        ticket = 0;
    held = wait_with(session, frame, checks);
    held->ticket = ticket;
    held->foreseen = known;
    held->is_foreseen = true;
    return true;
}

/* The identity stands: the rest of what CONNECT asks for, and on to the broker. */
static enum session_verdict connect_on(struct session *session, const struct mqtt_frame *frame,
    const struct mqtt_packet *packet, struct session_output *output)
{
    const struct mqtt_connect *connect = &packet->u.connect;
    uint64_t checks = 0;

    if (session->unrecorded) { /* the address may be told of it, and this identity not */
        session_connect_refuse(session, REASON_audit_unavailable, NULL, NULL, output);
        return SESSION_CONSUMED;
    }
    if (session_refuse_banned(session, output))
        return SESSION_CONSUMED;
    session->identified = !session_is_broker_identified(session);
    if (session->identified && !session_rates_enter(session, output))
        return SESSION_CONSUMED;
    if (connect->has_will && !session_will_allowed(session, &connect->will, &checks, output))
        return SESSION_CONSUMED;
    if (checks == 0 || !wait_for_store(session, frame, &connect->will, checks))
        return connect_will(session, frame, packet, checks, output);
    if (session->held_connect->ticket == 0)
        session_connect_foreseen(session, session->held_connect->foreseen.answer, output);
    return SESSION_CONSUMED;
}

/* Takes the CONNECT that waited out of the session. Its bytes are those of held. */
static struct session_held_connect *release(
    struct session *session, struct mqtt_frame *frame, struct mqtt_packet *packet)
{
    struct session_held_connect *held = session->held_connect;
    struct mqtt_error error;

    session->held_connect = NULL;
    *frame = (struct mqtt_frame){.type = MQTT_CONNECT,
        .bytes = view_of(held->bytes, held->length),
        .header_length = held->header_length,
        .size = held->length};
    if (mqtt_decode(frame, MQTT_FROM_CLIENT, 0, &session->settings->options, packet, &error) != MQTT_OK)
        assert(false && "it was decoded before");
    return held;
}

/* Goes on with a CONNECT that waited, and what is known of it by now. It may have to wait once more. */
static void go_on_with(struct session *session, struct session_held_connect *held,
    const struct mqtt_frame *frame, const struct mqtt_packet *packet, struct session_output *output)
{
    session->foreseen = held->is_foreseen ? &held->foreseen : NULL;
    if (connect_will(session, frame, packet, held->will_checks, output) == SESSION_FORWARD)
        buffer_append(output->to_broker, frame->bytes);
    session->scanned = NULL;
    if (session->held_connect != NULL)
        session->foreseen = NULL; /* it waits with what was foreseen */
    else
        session_foreseen_end(session);
    session_held_connect_free(held);
}

void session_connect_foreseen(
    struct session *session, enum replay_answer answer, struct session_output *output)
{
    struct mqtt_frame frame;
    struct mqtt_packet packet;
    struct session_held_connect *held = release(session, &frame, &packet);

    held->foreseen.answer = answer;
    go_on_with(session, held, &frame, &packet, output);
}

void session_connect_scanned(
    struct session *session, const struct session_scanned *results, struct session_output *output)
{
    struct mqtt_frame frame;
    struct mqtt_packet packet;
    struct session_held_connect *held = release(session, &frame, &packet);

    session->scanned = results;
    session->scanned_checks = held->scanned_checks;
    session->scanned_of = held->scanned_of;
    go_on_with(session, held, &frame, &packet, output);
}

static void ask_for_password(struct session *session, const struct mqtt_frame *frame,
    const struct mqtt_connect *connect, const struct policy_identification *found,
    struct session_output *output)
{
    struct session_held_connect *held = hold(frame);

    held->found = *found;
    held->check = (struct session_password_check){.file = found->password_file,
        .name = session->username,
        .password =
            view_of(held->bytes + (connect->password.data - frame->bytes.data), connect->password.length)};
    session->held_connect = held;
    session->password_tag = session_password_tag(session, found);
    session_set_state(session, SESSION_IDENTIFYING);
    output->check_password = &held->check;
}

void session_password_checked(struct session *session, enum reason found, struct session_output *output)
{
    struct session_held_connect *held;
    struct mqtt_frame frame;
    struct mqtt_packet packet;

    if (session->state != SESSION_IDENTIFYING)
        return;
    held = release(session, &frame, &packet);
    if (found != REASON_none)
        session->password_tag = 0; /* monitor mode may let it in, but nothing was proven */
    if (identity_stands(session, &held->found, found, output) &&
        connect_on(session, &frame, &packet, output) == SESSION_FORWARD)
        buffer_append(output->to_broker, frame.bytes);
    session_held_connect_free(held);
}

enum session_verdict session_client_connect(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output)
{
    struct mqtt_packet packet;
    struct mqtt_error error;
    const struct mqtt_connect *connect = &packet.u.connect;
    struct policy_credentials credentials;
    struct policy_identification found;

    assert(session->state == SESSION_NEW);
    if (mqtt_decode(frame, MQTT_FROM_CLIENT, 0, &session->settings->options, &packet, &error) != MQTT_OK) {
        session->version = claimed_version(frame);
        return session_client_error(session, &error, MQTT_CONNECT, output);
    }
    remember(session, connect);
    if (connect->bridge)
        return session_client_violation(session, REASON_unsupported_version, "MQTT-3.1.2-2",
            "a bridge's private protocol level", MQTT_CONNECT, output);
    if (session->unrecorded) {
        session_connect_refuse(session, REASON_audit_unavailable, NULL, NULL, output);
        return SESSION_CONSUMED;
    }
    if (session_refuse_banned(session, output)) /* an address: nothing of it is checked */
        return SESSION_CONSUMED;
    if (!session_rates_arrive(session, output))
        return SESSION_CONSUMED;
    credentials = session_credentials(session);
    credentials.password = connect->password;
    credentials.authentication_data = authentication_data(connect);
    found = policy_identify(session->settings->policy, &credentials, &session->subject);
    session_token_take(session, &found, connect);
    if (found.result == POLICY_REFUSED)
        session_shadow_refused(session, &credentials, found.reason);
    if (!identity_stands(session, &found, session_check_identity(session, &found), output))
        return SESSION_CONSUMED;
    if (found.result != POLICY_CHECK_PASSWORD)
        return connect_on(session, frame, &packet, output);
    ask_for_password(session, frame, connect, &found, output);
    return SESSION_CONSUMED;
}
