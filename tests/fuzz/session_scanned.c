/* SPDX-License-Identifier: Apache-2.0 */
/* A session whose messages are scanned, twice: once every scan is known at once, once those that the fuzzer
 * chooses are known later, when it says so. The same packets come out on each way in the same order, and the
 * audit hears the same of them. The first byte chooses the version; then steps of three bytes. Both peers
 * acknowledge what they got once nothing waits, so that what they say does not depend on the time either. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/session/session.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)
#define SETTLE 24 /* steps, at most */

static const char policy_text[] =
    "version: 1\npolicy: fuzz\nidentity:\n  - anonymous: {id: plc-7}\nrules:\n"
    "  - rule: all\n    who: everyone\n    allow: [publish, subscribe]\n    topics: [\"#\"]\n"
    "  - rule: never\n    who: everyone\n    deny: [publish, subscribe]\n    topics: [nay]\n"
    "checks:\n"
    "  - {check: a, topics: \"a/#\", yara: {rules: [one], at: [publish, receive]}}\n"
    "  - {check: b, topics: b, yara: {rules: [one], at: [publish, receive], on_match: disconnect}}\n"
    "  - {check: c, topics: \"c/#\", yara: {rules: [one], at: [publish, receive], on_match: alert, on_error: "
    "alert}}\n"
    "  - {check: d, topics: \"d/#\", yara: {rules: [one], at: [publish, receive], on_match: quarantine}}\n"
    "  - {check: e, mode: monitor, topics: \"e/#\", yara: {rules: [one], at: [publish, receive], on_match: "
    "drop}}\n"
    "  - {check: f, topics: \"+/2\", yara: {rules: [two], at: [publish, receive], on_match: drop}}\n"
    "  - {check: g, topics: \"+/2\", yara: {rules: [three], at: [publish, receive], on_match: quarantine, "
    "on_error: alert}}\n"
    "  - {check: rate, topics: \"#\", rate: {per: id, messages: 5/m}}\n";
static const char *const topics[] = {
    "a", "a/2", "c", "c/2", "d", "d/2", "e", "e/2", "o", "o/2", "nay", "a", "c/2", "e/2", "a/2", "b"};
/* Of the checks, in their order. */
static const uint64_t scan_sets[] = {1, 1, 1, 1, 1, 2, 4, 0};

/* What comes out, by what its order depends on. */
enum stream {
    TO_BROKER,
    TO_BROKER_ANSWERS,
    TO_CLIENT,
    TO_CLIENT_ANSWERS,
    TO_CLIENT_END,
    AUDIT_CLIENT,
    AUDIT_BROKER,
    STREAMS
};

static struct run {
    struct session *session;
    enum mqtt_version version;
    bool defers, closed;
    enum reason reason;
    struct buffer to_client, to_broker;
    struct buffer streams[STREAMS];
    struct buffer owed[2][2]; /* packets of the client, of the broker; answers to answers apart */
    struct asked {
        uint64_t ticket; /* 0: nothing is asked */
        struct session_scanned *results;
        size_t count;
    } asked[2]; /* about what the client sent, what the broker sent */
    unsigned messages, aliases;
} * now;

/* ---- the scanner: a function of bytes ---- */

static void look(uint8_t byte, uint64_t sets, enum scan_part_kind kind, struct scan_result *result)
{
    static const struct scan_rule rules[] = {{.name = "r1", .set = "one", .mitre_attack = "T1105"},
        {.name = "r2", .set = "two", .description = "two"}, {.name = "r3", .set = "three", .id = "3"}};

    for (size_t i = 0; i < 3; i++)
        if ((sets >> i & byte >> i & 1) != 0 && result->count++ < SCAN_FINDINGS_MAX)
            result->findings[result->count - 1] =
                (struct scan_finding){.rule = &rules[i], .part = kind, .offset = byte};
    if ((byte & 0x18) == 0x18) {
        result->error = "out of memory";
        result->error_set = "one";
    } else if ((byte & 8) != 0)
        result->incomplete = "ratio";
    result->complete = result->complete && (byte & 8) == 0;
}

static bool answer(const struct scan_request *request, struct scan_result *result)
{
    bool slow = false;

    *result = (struct scan_result){.complete = true};
    for (size_t i = 0; i < request->part_count; i++)
        for (size_t j = 0; j < request->parts[i].bytes.length; j++) {
            look(request->parts[i].bytes.data[j], request->sets, request->parts[i].kind, result);
            slow = slow || (request->parts[i].bytes.data[j] & 0x80) != 0;
        }
    return !slow;
}

static bool on_scan(void *context, const struct scan_request *request, struct scan_result *result)
{
    (void)context;
    if (answer(request, result) || !now->defers)
        return true;
    *result = (struct scan_result){.count = 3, .given_up = true}; /* is not to be looked at */
    return false;
}

static void on_scan_later(void *context, const struct session_scan *scans, size_t count, uint64_t ticket)
{
    struct asked *asked = &now->asked[scans[0].request.context->outbound];

    (void)context;
    CHECK(asked->ticket == 0 && ticket != 0 && count > 0);
    *asked = (struct asked){ticket, calloc(count, sizeof(*asked->results)), count};
    CHECK(asked->results != NULL);
    for (size_t i = 0; i < count; i++) {
        answer(&scans[i].request, &asked->results[i].result);
        asked->results[i].quarantine =
            scans[i].quarantine && asked->results[i].result.count > 0 ? "stored" : NULL;
    }
}

/* ---- the other hooks ---- */

static void on_audit(void *context, const struct audit_event *event)
{
    static uint8_t record[AUDIT_EVENT_MAX];
    struct audit_event timeless = *event;
    size_t length;

    (void)context;
    timeless.wall_us = 0;
    length = audit_event_encode(&timeless, record);
    CHECK(length <= AUDIT_EVENT_MAX);
    buffer_append(&now->streams[event->outbound ? AUDIT_BROKER : AUDIT_CLIENT], view_of(record, length));
}

static enum reason on_claim(void *context, struct view identity, struct view id, uint64_t limit, bool proven)
{
    (void)context, (void)identity, (void)id, (void)limit, (void)proven;
    return REASON_none;
}

static uint64_t on_ban_left(void *context, const struct session_party *party, bool ordered)
{
    (void)context, (void)party, (void)ordered;
    return 0;
}

static void on_hold_rates(void *context, const struct policy *policy, const struct policy_subject *subject)
{
    (void)context, (void)policy, (void)subject;
}

/* Each seventh is one too many: whoever is counted twice, or in another order, is found out. */
static struct session_rates on_count(
    void *context, enum session_counted what, uint64_t checks, uint64_t bytes)
{
    (void)context, (void)bytes;
    return (struct session_rates){
        .refused = what == SESSION_MESSAGE && ++now->messages % 7 == 0 ? checks & 0x80 : 0};
}

/* ---- what comes out ---- */

static void owe(bool broker, bool answer_to_answer, enum mqtt_type type, uint16_t id, uint8_t code)
{
    mqtt_encode_ack(&now->owed[broker][answer_to_answer], now->version, type, id, code);
}

static void owe_suback(const struct mqtt_packet *packet)
{
    static const uint8_t granted = 0;
    struct mqtt_packet suback = {.type = MQTT_SUBACK, .version = now->version};

    suback.u.suback.packet_id = packet->u.subscribe.packet_id;
    suback.u.suback.codes = view_of(&granted, 1);
    mqtt_encode(&suback, &now->owed[1][0]);
}

/* What the receiver will say to it. */
static void owe_for(const struct mqtt_packet *packet, bool by_broker)
{
    const struct mqtt_publish *publish = &packet->u.publish;
    const struct mqtt_ack *ack = &packet->u.ack;
    bool refuses = packet->type == MQTT_PUBLISH && now->version == MQTT_V5 && by_broker &&
                   (publish->payload.data[0] & 0x40) != 0; /* none is empty */

    if (packet->type == MQTT_PUBLISH && publish->qos > 0)
        owe(by_broker, false, publish->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, publish->packet_id,
            refuses ? 0x97 : 0);
    else if (packet->type == MQTT_PUBREC && ack->code < 0x80)
        owe(by_broker, true, MQTT_PUBREL, ack->packet_id, 0);
    else if (packet->type == MQTT_PUBREL)
        owe(by_broker, true, MQTT_PUBCOMP, ack->packet_id, 0);
    else if (packet->type == MQTT_SUBSCRIBE)
        owe_suback(packet);
}

static void take(struct view bytes, enum mqtt_direction direction)
{
    bool to_broker = direction == MQTT_FROM_CLIENT;
    struct mqtt_frame frame;
    struct mqtt_error error;
    struct mqtt_packet packet;

    for (; bytes.length > 0; bytes = view_skip(bytes, frame.bytes.length)) {
        enum mqtt_version version = bytes.data[0] >> 4 == MQTT_CONNECT ? 0 : now->version;
        bool answers;

        CHECK(mqtt_frame_next(bytes, direction, version, SIZE_MAX, &frame, &error) == MQTT_OK);
        CHECK(mqtt_decode(&frame, direction, now->version, NULL, &packet, &error) == MQTT_OK);
        answers = packet.type >= MQTT_PUBACK && packet.type <= MQTT_PUBCOMP;
        buffer_append(&now->streams[to_broker                        ? TO_BROKER + answers
                                    : packet.type == MQTT_DISCONNECT ? TO_CLIENT_END
                                                                     : TO_CLIENT + answers],
            frame.bytes);
        owe_for(&packet, to_broker);
    }
}

static struct session_output begin(void)
{
    return (struct session_output){.to_client = &now->to_client, .to_broker = &now->to_broker};
}

static void take_output(const struct session_output *output)
{
    take(buffer_view(&now->to_broker), MQTT_FROM_CLIENT);
    take(buffer_view(&now->to_client), MQTT_FROM_SERVER);
    buffer_clear(&now->to_client);
    buffer_clear(&now->to_broker);
    CHECK(!(now->closed && output->close));
    if (output->close)
        now->reason = output->reason;
    now->closed = now->closed || output->close;
}

/* What is scanned of a side is known now. */
static void resolve(bool broker)
{
    struct asked asked = now->asked[broker];
    struct session_output output = begin();

    if (asked.ticket == 0)
        return;
    now->asked[broker].ticket = 0;
    session_scan_answered(now->session, asked.ticket, asked.results, asked.count, &output);
    free(asked.results);
    take_output(&output);
}

static void resolve_all(void)
{
    while ((now->asked[0].ticket | now->asked[1].ticket) != 0) {
        resolve(false);
        resolve(true);
    }
    CHECK(!session_is_asking(now->session) && !session_is_asking_broker(now->session));
}

static size_t audit_length(void)
{
    return buffer_length(&now->streams[AUDIT_CLIENT]) + buffer_length(&now->streams[AUDIT_BROKER]);
}

static void feed(enum mqtt_direction from, struct view bytes)
{
    bool broker = from == MQTT_FROM_SERVER;
    struct session_output output = begin();
    struct mqtt_frame frame;
    struct mqtt_error error;

    while (!now->closed && !(broker ? session_broker_ready : session_client_ready)(now->session)) {
        CHECK(now->asked[broker].ticket != 0);
        resolve(broker);
    }
    if (now->closed)
        return;
    CHECK(mqtt_frame_next(bytes, from, session_version(now->session), SIZE_MAX, &frame, &error) == MQTT_OK);
    struct session_need need = session_audit_need(now->session, &frame);
    size_t told = audit_length();

    CHECK(need.usual > 0 && need.most >= need.usual);
    if ((broker ? session_broker_packet : session_client_packet)(now->session, &frame, &output) ==
        SESSION_FORWARD)
        take(bytes, from);
    CHECK(audit_length() - told <= need.most);
    take_output(&output);
    if (!now->defers)
        resolve_all();
}

/* ---- what the peers do ---- */

static void feed_owed(bool broker, bool answers)
{
    struct buffer owed = now->owed[broker][answers];
    enum mqtt_direction from = broker ? MQTT_FROM_SERVER : MQTT_FROM_CLIENT;
    struct view rest = buffer_view(&owed);
    struct mqtt_frame frame;
    struct mqtt_error error;

    now->owed[broker][answers] = (struct buffer){0};
    for (; rest.length > 0; rest = view_skip(rest, frame.bytes.length)) {
        CHECK(mqtt_frame_next(rest, from, now->version, SIZE_MAX, &frame, &error) == MQTT_OK);
        feed(from, frame.bytes);
    }
    buffer_release(&owed);
}

static bool is_owed(void)
{
    return buffer_length(&now->owed[0][0]) + buffer_length(&now->owed[0][1]) +
               buffer_length(&now->owed[1][0]) + buffer_length(&now->owed[1][1]) >
           0;
}

static void settle(void)
{
    resolve_all();
    while (!now->closed && is_owed())
        for (unsigned i = 0; i < 4; i++)
            feed_owed(i < 2, i & 1);
}

static void add_properties(
    struct mqtt_publish *publish, bool by_client, uint8_t a, uint8_t c, struct buffer *properties)
{
    const char value = (char)('a' + (c >> 4));
    unsigned alias = 1 + c % 3;

    for (unsigned i = 0; i < ((a & 0xe0) == 0xe0 ? 40u : a >> 5 & 1u); i++) {
        mqtt_property_write_pair(properties, VIEW("`"), view_of(&value, 1));
        publish->properties.present |= UINT64_C(1) << MQTT_USER_PROPERTY;
    }
    if ((a >> 6 & 1) != 0) {
        mqtt_property_write_string(properties, MQTT_CORRELATION_DATA, view_of(&c, 1));
        publish->properties.present |= UINT64_C(1) << MQTT_CORRELATION_DATA;
    }
    if (by_client && (a >> 7 & 1) != 0) {
        mqtt_property_write_number(properties, MQTT_TOPIC_ALIAS, alias);
        publish->properties.present |= UINT64_C(1) << MQTT_TOPIC_ALIAS;
        publish->topic_alias = (uint16_t)alias;
        if ((now->aliases >> alias & 1) != 0 && (c & 1) != 0)
            publish->topic = VIEW("");
        now->aliases |= 1u << alias;
    }
    publish->properties.raw = buffer_view(properties);
}

static void publish(enum mqtt_direction from, uint16_t id, const uint8_t step[3])
{
    const uint8_t payload[4] = {step[2], step[2], step[2], step[2]};
    struct mqtt_packet packet = {.type = MQTT_PUBLISH, .version = now->version};
    struct mqtt_publish *publish = &packet.u.publish;
    struct buffer properties = {0}, bytes = {0};

    *publish = (struct mqtt_publish){.qos = (step[1] >> 4 & 3) % 3,
        .retain = step[1] >> 7 != 0,
        .topic = view_of_string(topics[step[1] & 15]),
        .payload = view_of(payload, 1 + (step[0] >> 3 & 3))};
    publish->packet_id = publish->qos == 0 ? 0 : id;
    if (now->version == MQTT_V5)
        add_properties(publish, from == MQTT_FROM_CLIENT, step[0], step[2], &properties);
    mqtt_encode(&packet, &bytes);
    feed(from, buffer_view(&bytes));
    buffer_release(&bytes);
    buffer_release(&properties);
}

static void subscribe(uint16_t id)
{
    const uint8_t bytes[] = {0x82, 6, (uint8_t)(id >> 8), (uint8_t)id, 0, 1, 'a', 1};
    const uint8_t bytes_5[] = {0x82, 7, (uint8_t)(id >> 8), (uint8_t)id, 0, 0, 1, 'a', 1};

    feed(MQTT_FROM_CLIENT,
        now->version == MQTT_V5 ? view_of(bytes_5, sizeof(bytes_5)) : view_of(bytes, sizeof(bytes)));
}

static void end(uint8_t how)
{
    struct session_output output = begin();

    if (how == 0)
        feed(MQTT_FROM_CLIENT, VIEW("\xe0\0"));
    else if (how == 1)
        feed(MQTT_FROM_CLIENT, VIEW("\x10\x0d\0\4MQTT\4\2\0\x3c\0\1c")); /* a second one */
    else if (how == 2 && now->version == MQTT_V5)
        feed(MQTT_FROM_SERVER, VIEW("\xe0\1\x8b"));
    else if (how == 3) {
        session_abort(now->session, REASON_server_shutdown, &output);
        take_output(&output);
    }
}

static void step(uint16_t number, const uint8_t bytes[3])
{
    switch (bytes[0] & 7) {
    case 0:
    case 1:
    case 2:
        publish(MQTT_FROM_CLIENT, number, bytes);
        break;
    case 3:
    case 4:
        publish(MQTT_FROM_SERVER, number, bytes);
        break;
    case 5:
        resolve((bytes[0] >> 3 & 1) != 0);
        break;
    case 6:
        if ((bytes[0] >> 3 & 3) == 0)
            subscribe(number);
        else
            feed((bytes[0] >> 3 & 1) != 0 ? MQTT_FROM_CLIENT : MQTT_FROM_SERVER,
                (bytes[0] >> 3 & 1) != 0 ? VIEW("\xc0\0") : VIEW("\xd0\0"));
        break;
    default:
        if ((bytes[1] & 0xf) == 0xf)
            end(bytes[2] & 3);
        else
            settle();
    }
}

/* ---- two runs ---- */

static const struct policy *make_policy(void)
{
    static struct policy *policy;
    static const struct policy_names names = {0};
    const struct diag_source source = {.path = "policy.yaml", .text = view_of_string(policy_text)};
    struct diag_list *diag = diag_list_new();

    if (policy == NULL)
        policy = policy_compile(&source, &names, diag);
    diag_print(diag, stderr);
    diag_list_free(diag);
    CHECK(policy != NULL && policy_check_count(policy) == sizeof(scan_sets) / sizeof(scan_sets[0]));
    return policy;
}

static void open_session(void)
{
    bool v5 = now->version == MQTT_V5;

    feed(MQTT_FROM_CLIENT,
        v5 ? VIEW("\x10\x0e\0\4MQTT\5\2\0\x3c\0\0\1c") : VIEW("\x10\x0d\0\4MQTT\4\2\0\x3c\0\1c"));
    feed(MQTT_FROM_SERVER, v5 ? VIEW("\x20\3\0\0\0") : VIEW("\x20\2\0\0"));
    CHECK(session_is_open(now->session));
}

static void go(const uint8_t *data, size_t size, const struct session_settings *settings)
{
    static const struct session_hooks hooks = {.audit = on_audit,
        .claim = on_claim,
        .ban_left = on_ban_left,
        .hold_rates = on_hold_rates,
        .count = on_count,
        .scan = on_scan,
        .scan_later = on_scan_later};
    static const struct session_peer peer = {
        .session_id = {(const uint8_t *)"1", 1}, .address = {(const uint8_t *)"::1", 3}};
    uint16_t number = 0;

    now->version = size > 0 && (data[0] & 1) != 0 ? MQTT_V5 : MQTT_V311;
    now->session = session_new(settings, &peer, &hooks, NULL);
    open_session();
    for (size_t at = 1; at + 2 < size && !now->closed && number < 4096; at += 3) {
        step(++number, &data[at]);
        if (number % SETTLE == 0)
            settle();
    }
    if (!now->closed)
        settle();
    resolve(false); /* answers that nobody waits for */
    resolve(true);
    session_free(now->session);
}

static bool begins_with(struct view text, struct view beginning)
{
    return text.length >= beginning.length && view_equal(view_of(text.data, beginning.length), beginning);
}

/* Of a session that has ended what was still to come is missing. */
static void compare(const struct run *plain, const struct run *deferring)
{
    bool ended = plain->closed || deferring->closed;

    for (size_t i = 0; i < STREAMS; i++) {
        struct view a = buffer_view(&plain->streams[i]), b = buffer_view(&deferring->streams[i]);

        if (i == TO_CLIENT_END && (plain->reason != deferring->reason || !plain->closed))
            continue;
        CHECK(begins_with(a, b) || begins_with(b, a));
        CHECK(a.length == b.length || ended);
        if (i != TO_CLIENT && i != TO_BROKER_ANSWERS && i != AUDIT_BROKER &&
            plain->reason == deferring->reason &&
            (plain->reason == REASON_payload_matched || plain->reason == REASON_client_disconnected))
            CHECK(a.length == b.length);
    }
    CHECK(ended || plain->messages == deferring->messages);
}

static void release(struct run *run)
{
    buffer_release(&run->to_client);
    buffer_release(&run->to_broker);
    for (size_t i = 0; i < STREAMS; i++)
        buffer_release(&run->streams[i]);
    for (size_t i = 0; i < 4; i++)
        buffer_release(&run->owed[i / 2][i % 2]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct session_settings settings = {.policy = make_policy(),
        .listener = "l",
        .upstream = "u",
        .broker_max_packet = 4096,
        .topic_alias_maximum = 3,
        .max_filters = 5,
        .scan_sets = scan_sets,
        .scan_inline = UINT64_MAX};
    struct run runs[2] = {{.defers = false}, {.defers = true}};

    now = &runs[0];
    go(data, size, &settings);
    settings.scan_inline = 3;
    now = &runs[1];
    go(data, size, &settings);
    compare(&runs[0], &runs[1]);
    release(&runs[0]);
    release(&runs[1]);
    return 0;
}
