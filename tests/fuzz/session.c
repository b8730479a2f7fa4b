/* SPDX-License-Identifier: Apache-2.0 */
/* A session between two hostile peers. Input: records of one control byte (bit 7: the broker's side; the
 * rest: a length, 127 aborts, 126 is another policy) and so many bytes of that side, framed as conn.c frames
 * them. What comes out must be well-formed, hold no message on a topic other than those that the policy in
 * force allows, no alias, and end with the close; and the audit must account for each message that a rate
 * refuses. */
#include <stdlib.h>

#include "base/memory.h"
#include "proxy/session/session.h"

#define POLICIES 2
static const char *const allowed[POLICIES] = {"ok", "ok/a"}; /* and below */
static unsigned in_force;
static const char policy_format[] =
    "version: 1\npolicy: fuzz\nidentity:\n  - anonymous: {id: anyone}\nrules:\n"
    "  - rule: ok\n    who: everyone\n    allow: [publish, subscribe]\n"
    "    topics: [%s/#]\n    if: {max_qos: 1}\n    features: [shared]\n"
    "  - rule: guard\n    who: everyone\n    deny: [publish, receive]\n"
    "    topics: [ok/secret/#]\nlimits: {subscriptions: 9, session_expiry: 1h}\n"
    "on_deny: {repeat: {count: 12, within: 1m, ban: 1m}}\n"
    "checks:\n  - check: some\n    topics: [ok/#]\n    rate: {per: id, messages: 5/m}\n"
    "  - check: trial\n    mode: monitor\n    topics: [ok/+]\n    rate: {per: id, bytes: 1KiB/s}\n";
static unsigned accepted, refused, errors, ends, denials;
static uint64_t counted, limited, told; /* messages: asked about; refused, or would be; and in the audit */
static bool banned;

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
    told += event->action == AUDIT_rate_limited;
}

static uint64_t on_password_tag(void *context, const char *file, struct view name)
{
    (void)context, (void)file, (void)name;
    return 0;
}

static enum reason on_claim(
    void *context, struct view identity, struct view client_id, uint64_t limit, bool proven)
{
    (void)context, (void)identity, (void)limit, (void)proven;
    return view_equal(client_id, VIEW("taken")) ? REASON_client_id_in_use : REASON_none;
}

static bool on_denied(void *context, const struct session_party *party, const struct policy_repeat *repeat)
{
    (void)context;
    CHECK(party->is_address && view_equal(party->value, VIEW("::1")) && !banned);
    return ++denials >= repeat->count;
}

static void on_ban(void *context, const struct session_ban *ban)
{
    (void)context;
    CHECK(ban->party.is_address && denials == 12);
    banned = true;
}

static uint64_t on_ban_left(void *context, const struct session_party *party, bool ordered)
{
    (void)context;
    CHECK(party->value.length > 0 && ordered == !party->is_address);
    return 0;
}

static void on_hold_rates(void *context, const struct policy *policy, const struct policy_subject *subject)
{
    (void)context, (void)subject;
    CHECK(policy_check_count(policy) == 2);
}

/* Every third message is one too many, every fifth would be. */
static struct session_rates on_count(
    void *context, enum session_counted what, uint64_t checks, uint64_t bytes)
{
    struct session_rates answer = {0};

    (void)context, (void)bytes;
    if (what != SESSION_MESSAGE)
        return answer;
    CHECK(checks == 1 || checks == 3);
    counted++;
    if (counted % 3 == 0)
        answer.refused = 1;
    else if (counted % 5 == 0)
        answer.monitored = checks & 2;
    limited += answer.refused != 0 || answer.monitored != 0;
    return answer;
}

static void check_message(const struct mqtt_publish *publish, bool forwarded_by_us)
{
    struct view start = view_of_string(allowed[in_force]);

    CHECK(view_starts_with(publish->topic, start) &&
          (publish->topic.length == start.length || publish->topic.data[start.length] == '/'));
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

/* What goes on in a run is whole packets that the other side may have. */
static size_t take_run(struct pair *pair, enum mqtt_direction from, struct view input)
{
    struct session_run run =
        (from == MQTT_FROM_CLIENT ? session_client_run : session_broker_run)(pair->session, input, 5);

    CHECK(run.length <= input.length && run.publishes <= 5);
    CHECK((run.length > 0) == (run.publishes + run.pubacks > 0));
    if (run.length > 0)
        check_bytes(pair->session, view_of(input.data, run.length), from);
    return run.length;
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
        enum mqtt_result result;

        if (client ? session_client_ready(pair->session) : session_broker_ready(pair->session)) {
            size_t run = take_run(pair, from, input);

            if (run > 0) {
                buffer_consume(&pair->held[from], run);
                continue;
            }
        }
        result = mqtt_frame_next(input, from, session_version(pair->session), maximum, &frame, &error);
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

static const struct policy *policy_of(unsigned index)
{
    static struct policy *made[POLICIES];
    static const struct policy_names names = {0};
    char *text = memory_format(policy_format, allowed[index]);
    const struct diag_source source = {.path = "policy.yaml", .text = view_of_string(text)};
    struct diag_list *diag = diag_list_new();

    if (made[index] == NULL)
        made[index] = policy_compile(&source, &names, diag);
    diag_print(diag, stderr);
    diag_list_free(diag);
    free(text);
    CHECK(made[index] != NULL);
    return made[index];
}

static void rebind(struct pair *pair, const struct session_settings *settings)
{
    struct session_output output = {.to_client = &pair->to_client, .to_broker = &pair->to_broker};

    if (pair->closed || session_is_connecting(pair->session))
        return;
    in_force = 1 - in_force;
    session_rebind(pair->session, &settings[in_force], &output);
    take_output(pair, &output);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct session_hooks hooks = {.audit = on_audit,
        .password_tag = on_password_tag,
        .claim = on_claim,
        .denied = on_denied,
        .ban = on_ban,
        .ban_left = on_ban_left,
        .hold_rates = on_hold_rates,
        .count = on_count};
    struct session_peer peer = {.session_id = VIEW("1"), .address = VIEW("::1")};
    struct session_settings settings[POLICIES] = {{.policy = policy_of(0),
        .dialect = DIALECT_EMQX,
        .listener = "l",
        .upstream = "u",
        .broker_max_packet = 4096,
        .topic_alias_maximum = 3,
        .max_filters = 5}};
    const struct session_totals totals = {0};
    struct pair pair = {0};

    settings[1] = settings[0];
    settings[1].policy = policy_of(1);
    settings[1].broker_max_packet = 64;
    in_force = 0;
    accepted = refused = errors = ends = denials = 0;
    counted = limited = told = 0;
    banned = false;
    pair.session = session_new(&settings[0], &peer, &hooks, NULL);
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
        if (length == 126) {
            rebind(&pair, settings);
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
    CHECK(told == limited);
    CHECK(session_version(pair.session) == 0 || accepted + refused + errors > 0);
    session_free(pair.session);
    buffer_release(&pair.held[0]);
    buffer_release(&pair.held[1]);
    buffer_release(&pair.to_client);
    buffer_release(&pair.to_broker);
    return 0;
}
