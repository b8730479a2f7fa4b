/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures of payloads, as a session meets them: what the checks find (policy/signature.h), what the replay
 * store is asked and told, and in which form a message goes on. Called by the handlers of CONNECT, of PUBLISH
 * both ways and of the acknowledgements, and by session_waiting.c. */
#include <string.h>

#include "base/clock.h"
#include "proxy/session/session_internal.h"

#define BIT(id) (UINT64_C(1) << (id))
/* MQTT 5.0 properties that a signature may cover, or be in. */
#define SIGNED_PROPERTIES                                                                                    \
    (BIT(MQTT_CONTENT_TYPE) | BIT(MQTT_RESPONSE_TOPIC) | BIT(MQTT_CORRELATION_DATA) | BIT(MQTT_USER_PROPERTY))

/* ---- the message ---- */

static bool is_signature(const struct mqtt_property_value *value)
{
    return value->id == MQTT_USER_PROPERTY && view_equal(value->string, VIEW(MPS1_PROPERTY));
}

static void take_property(struct signature_message *message, const struct mqtt_property_value *value)
{
    switch (value->id) {
    case MQTT_CONTENT_TYPE:
        message->message.content_type = value->string;
        break;
    case MQTT_RESPONSE_TOPIC:
        message->message.response_topic = value->string;
        break;
    case MQTT_CORRELATION_DATA:
        message->message.correlation_data = value->string;
        break;
    default:
        if (is_signature(value) && message->property_count++ == 0)
            message->property = value->value;
        return;
    }
    message->has_properties = true;
}

struct signature_message session_signed_message(const struct session *session, struct view topic,
    struct view payload, const struct mqtt_properties *properties, bool retain)
{
    struct signature_message message = {.message = {.topic = topic, .payload = payload},
        .retain = retain,
        .principal = policy_subject_id(session->subject)};
    struct mqtt_property_value value;

    message.groups =
        policy_subject_group_bits(session->settings->policy, session->subject, &message.group_words);
    if ((properties->present & SIGNED_PROPERTIES) != 0)
        for (size_t offset = 0; mqtt_properties_next(properties, &offset, &value);)
            take_property(&message, &value);
    return message;
}

/* ---- what the checks find ---- */

/* Of a check whose signature stands. The first one decides how the message goes on, and asks the replay
 * store; one that only reports does so where no other stands. */
static void stands(struct session_signature *signature, const struct policy_check_info *info)
{
    const struct signature_terms *terms = info->signature;
    const struct policy_check_info *before = signature->replay_check;

    if (signature->check == NULL || (signature->check->monitor && !info->monitor))
        signature->check = info;
    if (terms->replay == SIGNATURE_REPLAY_NONE)
        return;
    if (before != NULL &&
        (before->monitor < info->monitor ||
            (before->monitor == info->monitor && before->signature->store_down <= terms->store_down)))
        return;
    signature->replay_check = info;
    signature->replay = (struct session_replay){.mark = signature_mark(terms, &signature->found),
        .sequence = (signature->found.header.flags & MPS1_SEQ) != 0,
        .store_down = terms->store_down};
}

static void note_monitored(
    struct session_signature *signature, size_t index, enum reason reason, const char *detail)
{
    signature->monitored |= UINT64_C(1) << index;
    signature->would[index].reason = reason;
    signature->would[index].detail = detail;
}

enum reason session_signature_verify(const struct session *session, enum signature_place place,
    const struct signature_message *message, uint64_t checks, struct session_signature *signature)
{
    signature->check = signature->refusing = signature->replay_check = NULL;
    signature->monitored = 0;
    signature->found.header = (struct mps1_header){.length = 0};
    signature->found.detail = NULL;
    signature->now_ms = session->foreseen != NULL ? session->foreseen->now_ms : clock_wall_us() / 1000;
    for (uint64_t rest = checks; rest != 0; rest &= rest - 1) {
        size_t index = (size_t)__builtin_ctzll(rest);
        const struct policy_check_info *info = policy_check(session->settings->policy, index);
        uint64_t begun_ns = session_signature_begin(session);
        enum reason reason = session->settings->keyring == NULL
                                 ? REASON_sig_key_unknown
                                 : signature_verify(session->settings->keyring, info->signature, place,
                                       message, signature->now_ms, &signature->found);

        session_signature_end(session, begun_ns);
        if (reason == REASON_none) {
            if (signature->found.present)
                stands(signature, info);
        } else if (info->monitor) {
            note_monitored(signature, index, reason, signature->found.detail);
        } else {
            signature->refusing = info;
            return reason;
        }
    }
    signature->found.detail = NULL; /* of those that only report, each has its own */
    return REASON_none;
}

void session_signature_note(const struct session *session, struct session_signature *signature,
    const struct policy_check_info *info, enum reason reason)
{
    for (size_t i = 0; i < policy_check_count(session->settings->policy); i++)
        if (policy_check(session->settings->policy, i) == info)
            note_monitored(signature, i, reason, signature->found.detail);
    signature->found.detail = NULL;
}

void session_signature_names(const struct session_signature *signature, struct view *kid, struct view *sub)
{
    const struct mps1_header *header = &signature->found.header;

    if (!mps1_kid_valid(header->kid) || !mps1_sub_valid(header->sub))
        return;
    *kid = header->kid;
    *sub = header->sub;
}

void session_event_signature(struct audit_event *event, const struct session_signature *signature)
{
    if (signature->found.detail != NULL)
        event->detail = view_of_string(signature->found.detail);
    session_signature_names(signature, &event->signature_kid, &event->signature_sub);
}

/* ---- the replay store ---- */

/* What was foreseen is about this very message, or the proxy has asked about another one. */
static enum replay_answer ask(struct session *session, const struct session_replay *replay)
{
    enum replay_answer answer;
    uint64_t ticket;

    if (session->foreseen != NULL && session_mark_is(&session->foreseen->mark, replay)) {
        session->foreseen->used = true;
        answer = session->foreseen->answer;
        /* a packet that came before it may have been that very message, and have had its turn since */
        if (answer == REPLAY_PENDING && session->hooks->replay_is_done(session->context, replay))
            answer = REPLAY_DONE;
        return answer;
    }
    if (session_replay_ask(session, replay, &ticket, &answer))
        return answer;
    return REPLAY_DOWN; /* what takes time is foreseen: see session_waiting_take() */
}

enum reason session_signature_seen(
    struct session *session, struct session_signature *signature, uint8_t qos, bool dup, uint16_t packet_id)
{
    const struct policy_check_info *info = signature->replay_check;
    enum reason reason;

    if (info == NULL)
        return REASON_none;
    signature->replay.mark.again = dup && qos > 0;
    signature->answer = ask(session, &signature->replay);
    reason = signature_replayed(signature->answer, qos, dup, signature->replay.sequence);
    /* A client sends it again under the same id. */
    if (reason == REASON_none && signature->answer == REPLAY_PENDING &&
        session_marks_has_other(&session->marks, packet_id, &signature->replay))
        reason = REASON_sig_replay;
    if (reason == REASON_none)
        return REASON_none;
    signature->replay_check = NULL; /* the store is not to hear of this one again */
    signature->found.detail = NULL;
    if (!info->monitor) {
        signature->refusing = info;
        return reason;
    }
    session_signature_note(session, signature, info, reason);
    return REASON_none;
}

void session_signature_undo(struct session *session, const struct session_signature *signature)
{
    if (signature->replay_check != NULL && signature->answer == REPLAY_NEW)
        session->hooks->replay_end(session->context, &signature->replay, false);
}

void session_signature_done(struct session *session, const struct session_signature *signature)
{
    if (signature->replay_check != NULL)
        session->hooks->replay_end(session->context, &signature->replay, true);
}

static void settle(struct session *session, uint16_t packet_id, bool done)
{
    struct session_mark mark = *session_marks_find(&session->marks, packet_id);
    struct session_replay replay = session_mark_replay(&mark);

    session_marks_remove(&session->marks, packet_id);
    session->hooks->replay_end(session->context, &replay, done);
}

/* What the broker refuses has not arrived, and may come again, unless this is about a further copy of it. Of
 * QoS 2 it is PUBCOMP that says that it has: a broker that loses its session after PUBREC throws the message
 * away. */
void session_signature_answered(struct session *session, enum mqtt_type type, const struct mqtt_ack *answer)
{
    struct session_mark *mark = session_marks_find(&session->marks, answer->packet_id);
    bool refused = answer->code >= 0x80;

    if (mark == NULL || (mark->qos == 1) != (type == MQTT_PUBACK))
        return;
    if (type == MQTT_PUBREC && (!refused || mark->received))
        mark->received = true; /* what it says to a further copy undoes nothing */
    else if (!refused || (mark->is_new && type != MQTT_PUBCOMP))
        settle(session, answer->packet_id, !refused);
    else
        session_marks_remove(&session->marks, answer->packet_id); /* it stays pending */
}

/* ---- what goes on ---- */

/* The header moves in front of the payload, where subscribers of every version can have it. */
static void into_envelope(const struct session_signature *signature, struct session_carrier *carrier)
{
    const struct signature_found *found = &signature->found;

    buffer_append(&carrier->space, view_of(found->space, found->header.length));
    buffer_append(&carrier->space, found->payload);
    carrier->payload = buffer_view(&carrier->space);
    /* what it says of the payload is not true of an envelope */
    carrier->without |= BIT(MQTT_PAYLOAD_FORMAT_INDICATOR);
    carrier->without_property = true;
}

void session_signature_forward(const struct session_signature *signature, struct view payload, bool retain,
    struct session_carrier *carrier)
{
    const struct signature_found *found = &signature->found;
    enum signature_forward forward;
    /* An envelope would be stored, not clear what is stored. */
    bool clears = retain && found->payload.length == 0;

    *carrier = (struct session_carrier){.payload = payload};
    if (signature->check == NULL)
        return;
    forward = signature->check->signature->forward;
    if (forward == SIGNATURE_PASS && !(clears && found->envelope))
        return;
    if (forward == SIGNATURE_RESIGN && !clears) {
        if (found->envelope)
            return;
        into_envelope(signature, carrier);
    } else {
        carrier->payload = found->payload;
        carrier->without_property = !found->envelope;
    }
    carrier->changed = true;
}

void session_carrier_release(struct session_carrier *carrier)
{
    buffer_release(&carrier->space);
    buffer_release(&carrier->properties);
}

void session_carrier_properties(const struct session_carrier *carrier, struct buffer *out,
    const struct mqtt_properties *properties, uint64_t without)
{
    struct mqtt_property_value value;

    if (!carrier->without_property) {
        mqtt_properties_copy_without(out, properties, carrier->without | without);
        return;
    }
    buffer_append(out, buffer_view(&carrier->properties));
    for (size_t offset = 0; mqtt_properties_next(properties, &offset, &value);)
        if (((carrier->without | without) & BIT(value.id)) == 0 && !is_signature(&value))
            buffer_append(out, value.raw);
}
