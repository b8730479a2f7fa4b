/* SPDX-License-Identifier: Apache-2.0 */
/* A session between two hostile peers. Input: records of one control byte (bit 7: the broker's side; the
 * rest: a length, 127 aborts) and so many bytes of that side, framed as conn.c frames them. What comes out
 * must be well-formed, hold no message on a topic other than ok/#, no alias, and end with the close. */
#include <stdlib.h>

#include "proxy/session/session.h"

static const char policy_text[] =
    "version: 1\npolicy: fuzz\nidentity:\n  - anonymous: {id: anyone}\nrules:\n"
    "  - rule: ok\n    who: everyone\n    allow: [publish, subscribe]\n"
    "    topics: [ok/#]\n    if: {max_qos: 1}\n    features: [shared]\n"
    "  - rule: guard\n    who: everyone\n    deny: [publish, receive]\n"
    "    topics: [ok/secret/#]\nlimits: {subscriptions: 9, session_expiry: 1h}\n";
static unsigned accepted, refused, errors, ends;

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

static void on_audit(void *context, const struct audit_event *event)
{
    static uint8_t record[AUDIT_EVENT_MAX];
    struct audit_event again;

    (void)context;
    CHECK(audit_event_decode(view_of(record, audit_event_encode(event, record)), &again) == 0);
    accepted += event->action == AUDIT_connect_accepted;
    refused += event->action == AUDIT_connect_refused;
    errors += event->action == AUDIT_protocol_error;
    ends += event->action == AUDIT_disconnect;
}

static enum reason on_password(void *context, const char *file, struct view name, struct view password)
{
    (void)context, (void)file, (void)name, (void)password;
    return REASON_password_wrong;
}

static enum reason on_claim(
    void *context, struct view identity, struct view client_id, uint64_t limit, bool proven)
{
    (void)context, (void)identity, (void)limit, (void)proven;
    return view_equal(client_id, VIEW("taken")) ? REASON_client_id_in_use : REASON_none;
}

static void check_message(const struct mqtt_publish *publish, bool forwarded_by_us)
{
    CHECK(view_starts_with(publish->topic, VIEW("ok/")) || view_equal(publish->topic, VIEW("ok")));
    CHECK(!view_equal(publish->topic, VIEW("ok/secret")) &&
          !view_starts_with(publish->topic, VIEW("ok/secret/")));
    CHECK(publish->topic_alias == 0 && (!forwarded_by_us || publish->qos <= 1));
}

/* What one side gets, packet by packet. */
static void check_bytes(struct session *session, struct view bytes, enum mqtt_direction direction)
{
    struct mqtt_frame frame;
    struct mqtt_error error;
    struct mqtt_packet packet;

    for (; bytes.length > 0; bytes = view_skip(bytes, frame.bytes.length)) {
        bool connect = bytes.data[0] >> 4 == MQTT_CONNECT;

        CHECK(mqtt_frame_next(bytes, direction, connect ? 0 : session_version(session), SIZE_MAX, &frame,
                  &error) == MQTT_OK);
        CHECK(mqtt_decode(&frame, direction, session_version(session), NULL, &packet, &error) == MQTT_OK);
        if (packet.type == MQTT_PUBLISH)
            check_message(&packet.u.publish, direction == MQTT_FROM_CLIENT);
    }
}

struct pair {
    struct session *session;
    struct buffer held[2], to_client, to_broker;
    bool closed;
    enum reason reason;
};

static void take_output(struct pair *pair, const struct session_output *output)
{
    check_bytes(pair->session, buffer_view(&pair->to_client), MQTT_FROM_SERVER);
    check_bytes(pair->session, buffer_view(&pair->to_broker), MQTT_FROM_CLIENT);
    buffer_clear(&pair->to_client);
    buffer_clear(&pair->to_broker);
    CHECK(!(pair->closed && output->close));
    pair->closed = pair->closed || output->close;
    if (output->close)
        pair->reason = output->reason;
}

static void pump(struct pair *pair, enum mqtt_direction from)
{
    bool client = from == MQTT_FROM_CLIENT;

    while (buffer_length(&pair->held[from]) > 0 && !pair->closed) {
        struct session_output output = {.to_client = &pair->to_client, .to_broker = &pair->to_broker};
        struct view input = buffer_view(&pair->held[from]);
        size_t maximum =
            client ? session_client_max_packet(pair->session) : session_broker_max_packet(pair->session);
        struct mqtt_frame frame;
        struct mqtt_error error;
        enum mqtt_result result =
            mqtt_frame_next(input, from, session_version(pair->session), maximum, &frame, &error);

        if (result == MQTT_MORE || (result == MQTT_OK && client && !session_client_ready(pair->session)))
            return;
        if (result == MQTT_BAD)
            (client ? session_client_malformed : session_broker_malformed)(pair->session, &error, &output);
        else if ((client ? session_client_packet : session_broker_packet)(pair->session, &frame, &output) ==
                 SESSION_FORWARD)
            check_bytes(pair->session, frame.bytes, from);
        take_output(pair, &output);
        buffer_consume(&pair->held[from], result == MQTT_OK ? frame.bytes.length : input.length);
    }
}

static struct policy *make_policy(void)
{
    static const struct policy_names names = {0};
    const struct diag_source source = {"policy.yaml", view_of_string(policy_text)};
    struct diag_list *diag = diag_list_new();
    struct policy *policy = policy_compile(&source, &names, diag);

    diag_print(diag, stderr);
    diag_list_free(diag);
    CHECK(policy != NULL);
    return policy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct policy *policy;
    static const struct session_hooks hooks = {on_audit, on_password, on_claim, NULL};
    struct session_peer peer = {.session_id = VIEW("1"), .address = VIEW("::1")};
    struct session_settings settings = {.dialect = DIALECT_EMQX,
        .listener = "l",
        .upstream = "u",
        .broker_max_packet = 4096,
        .topic_alias_maximum = 3,
        .max_filters = 5};
    const struct session_totals totals = {0};
    struct pair pair = {0};

    policy = policy != NULL ? policy : make_policy();
    settings.policy = policy;
    accepted = refused = errors = ends = 0;
    pair.session = session_new(&settings, &peer, &hooks);
    for (struct view rest = view_of(data, size); rest.length > 0;) {
        enum mqtt_direction from = rest.data[0] & 0x80 ? MQTT_FROM_SERVER : MQTT_FROM_CLIENT;
        size_t length = rest.data[0] & 0x7F;
        struct session_output output = {.to_client = &pair.to_client, .to_broker = &pair.to_broker};

        rest = view_skip(rest, 1);
        if (length == 127) {
            session_abort(
                pair.session, from == MQTT_FROM_CLIENT ? REASON_client_lost : REASON_broker_timeout, &output);
            take_output(&pair, &output);
            continue;
        }
        length = length < rest.length ? length : rest.length;
        if (from == MQTT_FROM_CLIENT || session_version(pair.session) != 0) /* no CONNECT, no broker */
            buffer_append(&pair.held[from], view_of(rest.data, length));
        rest = view_skip(rest, length);
        pump(&pair, from);
        pump(&pair, MQTT_FROM_CLIENT);
    }
    session_ended(pair.session, pair.closed ? pair.reason : REASON_client_lost, &totals);
    CHECK(accepted == ends && accepted + refused <= 1);
    CHECK(session_version(pair.session) == 0 || accepted + refused + errors > 0);
    session_free(pair.session);
    buffer_release(&pair.held[0]);
    buffer_release(&pair.held[1]);
    buffer_release(&pair.to_client);
    buffer_release(&pair.to_broker);
    return 0;
}
