/* SPDX-License-Identifier: Apache-2.0 */
/* A session whose messages are signed: the fuzzer chooses what is done, the signatures are made for it. The
 * first byte chooses the version, whether the replay store answers at once, and if it does not whether scans
 * do; then steps of two bytes. What reaches the broker was signed for that topic, has lost its signature, is
 * not what the scanner finds something in, and does not go on again once it is done. Where the store answers
 * at once, a reference says of each message whether it goes on. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "proxy/session/session.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)
#define NONCES 8
#define TICKETS 64
#define IDS 5
#define FOUND (NONCES - 1) /* number of the message that the scanner does not let through */

static const char policy_text[] =
    "version: 1\npolicy: fuzz\nidentity:\n  - anonymous: {id: plc-7}\nrules:\n"
    "  - rule: all\n    who: everyone\n    allow: [publish, subscribe]\n    topics: [\"#\"]\n"
    "checks:\n  - {check: nonce, topics: \"dt/#\", signature: {keys: [m25a]}}\n"
    "  - {check: seq, topics: \"seq/#\", signature: {keys: [m25a], replay: seq}}\n"
    "  - {check: rate, topics: \"#\", rate: {per: id, messages: 5/m}}\n"
    "  - {check: scan, topics: \"#\", yara: {rules: [one]}}\n";
static const uint64_t scan_sets[] = {0, 0, 0, 1};
static const char *const topics[] = {"dt/x", "seq/x"};

/* A message by its number, and what became of it. */
static struct message {
    bool sent;                      /* with a signature that stands */
    bool done;                      /* as the store has heard */
    bool fresh;                     /* which it did not know before */
    enum { NEW, PENDING, DONE } is; /* as the reference has it */
    unsigned again;                 /* times that it was sent again while pending */
} messages[2][NONCES];
/* By packet id: what the broker has not acknowledged. */
static struct flight {
    struct message *message; /* NULL: nothing */
    uint8_t qos;
    bool is_first; /* it was new then */
    bool received; /* PUBREC said yes */
} in_flight[IDS];
static bool refused_id[IDS]; /* the proxy answers itself, perhaps later */
static unsigned arrived;     /* signed messages, at the broker */
static struct ticket {
    uint64_t ticket; /* 0: none */
    enum replay_answer answer;
} tickets[TICKETS];
static size_t ticket_count;
static struct replay_store *store;
static bool later, limited, scans_later;
static uint64_t scan_ticket; /* 0: nothing is scanned */
static struct scan_result scanned;
static uint64_t began_ms;

/* ---- hooks ---- */

static void on_audit(void *context, const struct audit_event *event)
{
    static uint8_t record[AUDIT_EVENT_MAX];

    (void)context;
    CHECK(audit_event_encode(event, record) <= AUDIT_EVENT_MAX);
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

static struct session_rates on_count(
    void *context, enum session_counted what, uint64_t checks, uint64_t bytes)
{
    (void)context, (void)bytes;
    return (struct session_rates){.refused = limited && what == SESSION_MESSAGE ? checks & 4 : 0};
}

static struct message *message_of(const struct session_replay *asked)
{
    unsigned number = asked->mark.nonce[MPS1_NONCE_SIZE - 1];

    CHECK(number < NONCES && view_equal(asked->mark.sub, VIEW("plc-7")));
    CHECK(messages[asked->sequence][number].sent); /* nobody else's signature gets as far as this */
    return &messages[asked->sequence][number];
}

static bool on_replay(
    void *context, const struct session_replay *asked, uint64_t ticket, enum replay_answer *answer)
{
    enum replay_answer said =
        asked->sequence ? replay_sequence(store, &asked->mark) : replay_nonce(store, &asked->mark, began_ms);

    (void)context;
    CHECK(ticket != 0 && message_of(asked) != NULL);
    *answer = said;
    if (!later || ticket_count == TICKETS)
        return true;
    tickets[ticket_count++] = (struct ticket){ticket, said};
    *answer = REPLAY_DOWN; /* is not to be looked at */
    return false;
}

static bool on_replay_is_done(void *context, const struct session_replay *asked)
{
    (void)context;
    return replay_is_done(store, &asked->mark, asked->sequence);
}

static void on_replay_end(void *context, const struct session_replay *asked, bool done)
{
    struct message *message = message_of(asked);

    (void)context;
    if (!done) {
        replay_undo(store, &asked->mark, asked->sequence);
        return;
    }
    message->fresh = !message->done;
    message->done = true;
    replay_done(store, &asked->mark, asked->sequence);
}

static bool on_scan(void *context, const struct scan_request *request, struct scan_result *result)
{
    static const struct scan_rule rule = {.name = "r", .set = "one"};
    struct view payload = request->parts[0].bytes;

    (void)context;
    *result = (struct scan_result){.complete = true};
    if (view_equal(payload, VIEW("m7")))
        result->findings[result->count++] = (struct scan_finding){.rule = &rule};
    return !scans_later;
}

static void on_scan_later(void *context, const struct session_scan *scans, size_t count, uint64_t ticket)
{
    CHECK(count == 1 && scan_ticket == 0);
    on_scan(context, &scans->request, &scanned);
    scan_ticket = ticket;
}

/* ---- what comes out ---- */

static void check_publish(const struct mqtt_publish *publish)
{
    bool sequence = view_equal(publish->topic, view_of_string(topics[1]));
    struct mqtt_property_value value;
    struct message *message;
    unsigned number;

    if (!sequence && !view_equal(publish->topic, view_of_string(topics[0])))
        return;
    CHECK(publish->payload.length == 2 && publish->payload.data[0] == 'm');
    number = publish->payload.data[1] - (unsigned)'0';
    CHECK(number < NONCES && number != FOUND);
    message = &messages[sequence][number];
    arrived++;
    CHECK(message->sent && !mqtt_properties_find(&publish->properties, MQTT_USER_PROPERTY, &value));
    if (publish->qos == 0) {
        CHECK(message->fresh);
        message->fresh = false;
    } else /* the store may have been asked before it was done */
        CHECK(!message->done || (publish->dup && later));
}

static void check_bytes(const struct session *session, struct view bytes, enum mqtt_direction direction)
{
    struct mqtt_frame frame;
    struct mqtt_error error;
    struct mqtt_packet packet;

    for (; bytes.length > 0; bytes = view_skip(bytes, frame.bytes.length)) {
        bool connect = bytes.data[0] >> 4 == MQTT_CONNECT;

        CHECK(mqtt_frame_next(bytes, direction, connect ? 0 : session_version(session), SIZE_MAX, &frame,
                  &error) == MQTT_OK);
        CHECK(mqtt_decode(&frame, direction, session_version(session), NULL, &packet, &error) == MQTT_OK);
        if (packet.type == MQTT_PUBLISH && direction == MQTT_FROM_CLIENT)
            check_publish(&packet.u.publish);
    }
}

struct pair {
    struct session *session;
    enum mqtt_version version;
    struct buffer to_client, to_broker;
    bool closed;
};

static void take_output(struct pair *pair, const struct session_output *output)
{
    check_bytes(pair->session, buffer_view(&pair->to_client), MQTT_FROM_SERVER);
    check_bytes(pair->session, buffer_view(&pair->to_broker), MQTT_FROM_CLIENT);
    buffer_clear(&pair->to_client);
    buffer_clear(&pair->to_broker);
    CHECK(!(pair->closed && output->close));
    pair->closed = pair->closed || output->close;
}

static struct session_output begin(struct pair *pair)
{
    return (struct session_output){.to_client = &pair->to_client, .to_broker = &pair->to_broker};
}

/* False: the session takes nothing more. */
static bool feed(struct pair *pair, enum mqtt_direction from, struct view bytes)
{
    bool client = from == MQTT_FROM_CLIENT;
    struct session_output output = begin(pair);
    struct mqtt_frame frame;
    struct mqtt_error error;

    if (pair->closed || (client && !session_client_ready(pair->session)))
        return false;
    CHECK(mqtt_frame_next(bytes, from, session_version(pair->session), 4096, &frame, &error) == MQTT_OK);
    if ((client ? session_client_packet : session_broker_packet)(pair->session, &frame, &output) ==
        SESSION_FORWARD)
        check_bytes(pair->session, bytes, from);
    take_output(pair, &output);
    return true;
}

/* ---- the reference ---- */

static bool goes_on(const struct message *message, const struct mqtt_publish *publish, bool stands)
{
    bool again = publish->dup && publish->qos > 0 && message->again < REPLAY_RETRANSMISSIONS;

    for (unsigned id = 1; id < IDS; id++) /* a client sends it again under the same id */
        again = again && (in_flight[id].message != message || id == publish->packet_id);
    return stands && !limited && message != &messages[0][FOUND] && message != &messages[1][FOUND] &&
           (message->is == NEW || (message->is == PENDING && again));
}

static void judge_publish(
    struct message *message, const struct mqtt_publish *publish, bool stands, bool expected)
{
    struct flight *flight = &in_flight[publish->packet_id];

    CHECK(arrived <= expected);
    CHECK(arrived == expected || (publish->qos > 0 && refused_id[publish->packet_id]));
    if (publish->qos > 0 && arrived == 0)
        refused_id[publish->packet_id] = true;
    else if (publish->qos > 0)
        *flight = (struct flight){
            message, publish->qos, message->is == NEW, flight->message == message && flight->received};
    if (stands && message->is == PENDING && publish->dup && message->again < REPLAY_RETRANSMISSIONS)
        message->again++;
    if (arrived > 0 && message->is != DONE)
        message->is = publish->qos == 0 ? DONE : PENDING;
    CHECK(message->done == (message->is == DONE));
}

/* PUBREC only says that the broker has it: it is done with PUBCOMP. Only who was the first to bring it may
 * take it back, and not once the broker has it or a copy was let through. */
static void judge_answer(enum mqtt_type type, unsigned id, bool refuses)
{
    struct flight *flight = &in_flight[id];
    struct message *message = flight->message;

    if (message == NULL || (flight->qos == 1) != (type == MQTT_PUBACK))
        return;
    if (type == MQTT_PUBREC && (!refuses || flight->received)) {
        flight->received = true;
        return;
    }
    flight->message = NULL;
    if (!refuses)
        message->is = DONE;
    else if (message->is == PENDING && flight->is_first && message->again == 0)
        message->is = NEW;
    CHECK(message->done == (message->is == DONE));
}

/* ---- what the client does ---- */

static void sign(struct mps1_header *header, const struct mps1_message *message, bool forged,
    struct keyring *keyring, uint8_t space[MPS1_HEADER_MAX])
{
    const struct keyring_key *key =
        keyring_take(keyring, keyring_entry(keyring, 0), MPS1_DEVICE, header->kid, header->sub);
    uint8_t tag[MPS1_TAG_MAX];

    mps1_write(header, space);
    mps1_mac(&key->key, header->covered, false, message, tag);
    tag[31] ^= forged;
    mps1_write_tag(header, space, tag);
    keyring_put(key);
}

/* The property, or the envelope. */
static void carry(struct mqtt_publish *publish, const struct mps1_header *header, const uint8_t *space,
    bool property, struct buffer *room)
{
    char text[MPS1_PROPERTY_MAX + 4];

    if (property) {
        EVP_EncodeBlock((uint8_t *)text, space, (int)header->length);
        for (char *c = text; *c != 0; c++)
            *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
        mqtt_property_write_pair(room, VIEW(MPS1_PROPERTY), view_of(text, strcspn(text, "=")));
        publish->properties.raw = buffer_view(room);
        publish->properties.present = UINT64_C(1) << MQTT_USER_PROPERTY;
    } else {
        buffer_append(room, view_of(space, header->length));
        buffer_append(room, publish->payload);
        publish->payload = buffer_view(room);
    }
}

static void publish_signed(struct pair *pair, struct keyring *keyring, uint8_t a, uint8_t b)
{
    bool sequence = (a >> 3 & 1) != 0, forged = (a >> 6 & 1) != 0, retain = b >> 7 != 0;
    const uint8_t payload[2] = {'m', (uint8_t)('0' + b % NONCES)};
    struct mps1_message message = {.topic = view_of_string(topics[sequence]), .payload = view_of(payload, 2)};
    struct mps1_header header = {.algorithm = MPS1_HMAC_SHA_256,
        .flags = sequence ? MPS1_SEQ : 0,
        .t_ms = began_ms,
        .kid = VIEW("m25a"),
        .sub = VIEW("plc-7"),
        .nonce = {[MPS1_NONCE_SIZE - 1] = b % NONCES}};
    struct mqtt_packet packet = {.type = MQTT_PUBLISH, .version = pair->version};
    struct mqtt_publish *publish = &packet.u.publish;
    struct buffer room = {0}, bytes = {0};
    struct message *sent = &messages[sequence][b % NONCES];
    uint8_t space[MPS1_HEADER_MAX];
    bool expected;

    limited = (b >> 6 & 1) != 0;
    *publish = (struct mqtt_publish){.qos = (a >> 4 & 3) % 3,
        .retain = retain, /* which none was signed with */
        .topic = message.topic,
        .payload = message.payload};
    publish->packet_id = publish->qos == 0 ? 0 : (uint16_t)(1 + (b >> 4 & 3));
    publish->dup = a >> 7 != 0 && publish->qos > 0;
    sign(&header, &message, forged, keyring, space);
    carry(publish, &header, space, pair->version == MQTT_V5 && (b >> 3 & 1) != 0, &room);
    sent->sent |= !forged && !retain;
    mqtt_encode(&packet, &bytes);
    expected = goes_on(sent, publish, !forged && !retain);
    arrived = 0;
    if (feed(pair, MQTT_FROM_CLIENT, buffer_view(&bytes)) && !later)
        judge_publish(sent, publish, !forged && !retain, expected);
    buffer_release(&bytes);
    buffer_release(&room);
}

static void acknowledge(struct pair *pair, uint8_t a, uint8_t b)
{
    static const enum mqtt_type types[] = {MQTT_PUBACK, MQTT_PUBREC, MQTT_PUBCOMP, MQTT_PUBREL};
    enum mqtt_type type = types[a >> 3 & 3];
    struct buffer bytes = {0};
    bool refuses =
        (b >> 7 & 1) != 0 && pair->version == MQTT_V5 && (type == MQTT_PUBACK || type == MQTT_PUBREC);

    mqtt_encode_ack(&bytes, pair->version, type, (uint16_t)(1 + b % 4), refuses ? 0x97 : 0);
    if (feed(pair, type == MQTT_PUBREL ? MQTT_FROM_CLIENT : MQTT_FROM_SERVER, buffer_view(&bytes)) &&
        !later && type != MQTT_PUBREL)
        judge_answer(type, 1 + b % 4, refuses);
    buffer_release(&bytes);
}

/* Of the store: one of the answers that are on their way, in any order, or that it is down. */
static void answer(struct pair *pair, uint8_t a, uint8_t b)
{
    struct ticket *ticket = &tickets[ticket_count == 0 ? 0 : b % ticket_count];
    struct session_output output = begin(pair);

    if (ticket_count == 0)
        return;
    session_replay_answered(
        pair->session, ticket->ticket, (a >> 3 & 7) == 7 ? REPLAY_DOWN : ticket->answer, &output);
    *ticket = tickets[--ticket_count];
    take_output(pair, &output);
}

/* Of the scanner; or of the store, if nothing is scanned. */
static void answer_scan(struct pair *pair, uint8_t a, uint8_t b)
{
    const struct session_scanned found = {.result = scanned};
    struct session_output output = begin(pair);
    uint64_t ticket = scan_ticket;

    if (ticket == 0) {
        answer(pair, a, b);
        return;
    }
    scan_ticket = 0;
    session_scan_answered(pair->session, ticket, &found, 1, &output);
    take_output(pair, &output);
}

static void other(struct pair *pair, uint8_t a)
{
    static const struct view packets[] = {
        VIEW("\xc0\0"), VIEW("\x30\x04\0\1a\0"), VIEW("\x82\x06\0\1\0\1a\0"), VIEW("\xe0\0")};
    struct session_output output = begin(pair);

    if ((a >> 3 & 7) < 4)
        feed(pair, MQTT_FROM_CLIENT, packets[a >> 3 & 3]);
    else if ((a >> 3 & 7) == 7 && !pair->closed) {
        session_abort(pair->session, REASON_server_shutdown, &output);
        take_output(pair, &output);
    }
}

static void step(struct pair *pair, struct keyring *keyring, uint8_t a, uint8_t b)
{
    switch (a & 7) {
    case 4:
        acknowledge(pair, a, b);
        break;
    case 5:
        answer(pair, a, b);
        break;
    case 6:
        answer_scan(pair, a, b);
        break;
    case 7:
        other(pair, a);
        break;
    default:
        publish_signed(pair, keyring, a, b);
        break;
    }
}

/* ---- a run ---- */

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
    CHECK(policy != NULL);
    return policy;
}

static struct keyring *make_keyring(void)
{
    static struct keyring *keyring;
    const struct keyring_given given = {.entry = {.kid = "m25a",
                                            .type = KEYRING_MASTER,
                                            .algorithm = MPS1_HMAC_SHA_256,
                                            .not_after_ms = UINT64_MAX},
        .secret = VIEW("0123456789abcdef0123456789abcdef")};

    if (keyring == NULL)
        keyring = keyring_of(&given, 1);
    return keyring;
}

static void open_session(struct pair *pair)
{
    static const uint8_t connect[] = {0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 1, 'c'};
    static const uint8_t connect_5[] = {0x10, 14, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 60, 0, 0, 1, 'c'};
    static const uint8_t connack[] = {0x20, 2, 0, 0}, connack_5[] = {0x20, 3, 0, 0, 0};
    bool v5 = pair->version == MQTT_V5;

    feed(pair, MQTT_FROM_CLIENT,
        v5 ? view_of(connect_5, sizeof(connect_5)) : view_of(connect, sizeof(connect)));
    feed(pair, MQTT_FROM_SERVER,
        v5 ? view_of(connack_5, sizeof(connack_5)) : view_of(connack, sizeof(connack)));
    CHECK(session_is_open(pair->session));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct session_hooks hooks = {.audit = on_audit,
        .claim = on_claim,
        .ban_left = on_ban_left,
        .hold_rates = on_hold_rates,
        .count = on_count,
        .replay = on_replay,
        .replay_is_done = on_replay_is_done,
        .replay_end = on_replay_end,
        .replays_later = size > 0 && (data[0] & 1) != 0,
        .scan = on_scan,
        .scan_later = on_scan_later};
    const struct session_peer peer = {.session_id = VIEW("1"), .address = VIEW("::1")};
    const struct session_settings settings = {.policy = make_policy(),
        .keyring = make_keyring(),
        .listener = "l",
        .upstream = "u",
        .broker_max_packet = 4096,
        .topic_alias_maximum = 3,
        .max_filters = 5,
        .scan_sets = scan_sets,
        .scan_inline = 4096};
    struct pair pair = {.version = size > 0 && (data[0] & 2) != 0 ? MQTT_V5 : MQTT_V311};

    memset(messages, 0, sizeof(messages));
    memset(in_flight, 0, sizeof(in_flight));
    memset(refused_id, 0, sizeof(refused_id));
    ticket_count = 0;
    later = hooks.replays_later;
    limited = false;
    scans_later = later && (data[0] & 4) != 0;
    scan_ticket = 0;
    began_ms = clock_wall_us() / 1000;
    store = replay_new(&(struct replay_limits){0});
    pair.session = session_new(&settings, &peer, &hooks, NULL);
    open_session(&pair);
    for (size_t at = 1; at + 1 < size; at += 2)
        step(&pair, settings.keyring, data[at], data[at + 1]);
    session_ended(pair.session, REASON_client_lost, &(struct session_totals){0});
    session_free(pair.session);
    replay_free(store);
    buffer_release(&pair.to_client);
    buffer_release(&pair.to_broker);
    return 0;
}
