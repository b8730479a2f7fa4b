/* SPDX-License-Identifier: Apache-2.0 */
/* What a session counts without making events of it is what it would have told. The same packets go through
 * sessions that know what they have refused before, in runs where they can, and through sessions that know
 * nothing and make an event of each; both have a table of repeats and a ring. What goes out, what the metrics
 * say and what the trail says must be the same, event by event, but for the times. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/ring.h"
#include "choices.h"
#include "proxy/session/session_internal.h"
#include "signer.h"
#include "world.h"

#define SESSIONS 3
#define SLOTS 6
#define INTERVAL_MS 1000
#define RING_BYTES ((size_t)4 << 20)
#define BATCH 12

/* ---- the policies, between which sessions are bound anew ---- */

#define HEAD "version: 1\npolicy: p\nidentity: [{anonymous: {id: anyone}}]\n"
#define RULES                                                                                                \
    "rules:\n"                                                                                               \
    "  - {rule: own, who: everyone, allow: [publish, subscribe], topics: \"ok/#\", if: {max_size: 300}}\n"   \
    "  - {rule: small, who: everyone, allow: publish, topics: \"small/#\", if: {max_qos: 0, max_size: 8}}\n" \
    "  - {rule: tall, who: everyone, allow: publish, topics: \"small/#\", if: {retain: true, max_size: "     \
    "4}}\n"                                                                                                  \
    "  - {rule: guard, who: everyone, deny: [publish, receive], topics: [ok/guarded, \"no/+\"]}\n"           \
    "  - {rule: kept, who: everyone, deny: publish, topics: ok/kept, if: {retain: true}}\n"
#define WATCHED "  - {rule: watched, mode: monitor, who: everyone, deny: publish, topics: [no/b, ok/w]}\n"
#define CHECKS                                                                                               \
    "checks:\n"                                                                                              \
    "  - {check: rate, topics: ok/rated, rate: {per: id, messages: 1/s}}\n"                                  \
    "  - {check: slow, topics: [ok/rated, ok/a], rate: {per: id, messages: 2/s}}\n"                          \
    "  - {check: who, topics: \"ok/signed\", signature: {keys: [m25a], max_age: 2m, replay: none}}\n"

static const char *const policies[] = {
    HEAD RULES CHECKS,
    HEAD RULES WATCHED CHECKS "on_deny: {publish: drop}\naudit: {payload: none}\n",
    HEAD "rules:\n  - {rule: guard, who: everyone, deny: publish, topics: [\"no/+\"]}\n",
    HEAD RULES CHECKS "audit: {deny: none}\n",
    HEAD "mode: monitor\n" RULES "audit: {payload: excerpt 4}\n",
    HEAD RULES "limits: {topic_levels: 2}\non_deny: {repeat: {count: 1000, within: 1m}}\n",
    HEAD
    "rules:\n  - {rule: most, who: everyone, allow: [publish, subscribe], topics: [\"ok/#\", \"no/#\"]}\n",
};
#define POLICIES (sizeof(policies) / sizeof(policies[0]))
#define SETTINGS (POLICIES + 2) /* the last ones have the last policy as their shadow */

static const char *const topics[] = {"ok/a", "ok/b", "ok/guarded", "ok/kept", "ok/rated", "ok/signed", "ok/w",
    "small/a", "no/a", "no/b", "no/c/d", "$SYS/x", "else", "else/b", "else/c", "else/d", "else/e", "else/f"};
#define TOPICS (sizeof(topics) / sizeof(topics[0]))

/* ---- one of the two worlds ---- */

struct again_world {
    struct session_hooks hooks;
    bool knows;                /* its sessions know what they have refused */
    bool limited;              /* each rate refuses */
    const struct policy *held; /* of the session that has its turn */
    uint64_t denials;          /* that were counted for the client */
    uint64_t counted_again;    /* by tickets */
    struct repeats *repeats;
    struct ring *ring;
    struct session_counters *counters;
    uint64_t now_ms;
    struct session *sessions[SESSIONS];
    struct session_peer peers[SESSIONS];
    char names[SESSIONS][16];
    struct buffer to_client, to_broker, forwarded;
};

static void on_audit(void *context, const struct audit_event *event)
{
    struct again_world *world = context;
    uint8_t record[AUDIT_EVENT_MAX];

    if (repeats_count(world->repeats, event))
        return;
    cr_assert(ring_push(world->ring, view_of(record, audit_event_encode(event, record))));
    repeats_begin(world->repeats, event, world->ring, world->now_ms);
}

static bool on_repeat(void *context, const struct audit_event *event, struct repeats_ticket *ticket)
{
    struct again_world *world = context;

    if (!repeats_count(world->repeats, event))
        return false;
    *ticket = repeats_ticket(world->repeats);
    return true;
}

static bool on_again(void *context, const struct repeats_ticket *ticket, uint64_t count)
{
    struct again_world *world = context;

    if (!repeats_count_again(world->repeats, ticket, count, 1))
        return false;
    world->counted_again += count;
    return true;
}

static enum reason on_claim(
    void *context, struct view identity, struct view client_id, uint64_t limit, bool proven)
{
    (void)context, (void)identity, (void)client_id, (void)limit, (void)proven;
    return REASON_none;
}

static bool on_denied(void *context, const struct session_party *party, const struct policy_repeat *repeat)
{
    struct again_world *world = context;

    (void)party, (void)repeat;
    world->denials++;
    return false;
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
    void *context, enum session_counted counted, uint64_t checks, uint64_t bytes)
{
    const struct again_world *world = context;

    (void)bytes;
    for (uint64_t rest = counted == SESSION_MESSAGE && world->limited ? checks : 0; rest != 0;
         rest &= rest - 1)
        if (policy_check(world->held, (size_t)__builtin_ctzll(rest))->counts[POLICY_MESSAGES])
            return (struct session_rates){.refused = rest & -rest};
    return (struct session_rates){0};
}

/* ---- both ---- */

struct both {
    struct choices choices;
    uint64_t seed;
    struct policy *compiled[POLICIES];
    struct session_settings settings[SETTINGS];
    struct again_world worlds[2];
    char path[64];
    uint16_t packet_ids[SESSIONS];
    unsigned topic[2]; /* that most messages are about for now */
    int session;       /* whose most of them are */
    enum mqtt_version versions[SESSIONS];
};

static unsigned below(struct both *both, unsigned limit)
{
    return choices_below(&both->choices, limit);
}

static void begin_table(struct both *both, struct again_world *world, int number)
{
    const struct repeats_options options = {SLOTS, INTERVAL_MS};
    char path[96], error[256] = "";
    bool damaged;

    snprintf(path, sizeof(path), "%s/%d.ring", both->path, number);
    world->ring = ring_open(path, RING_BYTES, &damaged, error, sizeof(error));
    cr_assert_not_null(world->ring, "%s", error);
    snprintf(path, sizeof(path), "%s/%d.table", both->path, number);
    world->repeats = repeats_open(path, &options, &damaged, error, sizeof(error));
    cr_assert_not_null(world->repeats, "%s", error);
    world->counters = memory_calloc(1, sizeof(*world->counters));
}

/* A packet into a session of one world, and what it leads to. */
static void feed_one(struct again_world *world, int session, enum mqtt_direction from, struct view bytes)
{
    struct session_output output = {.to_client = &world->to_client, .to_broker = &world->to_broker};
    struct session *at = world->sessions[session];
    struct mqtt_frame frame;
    struct mqtt_error error;

    cr_assert_eq(mqtt_frame_next(bytes, from, session_version(at), 1 << 20, &frame, &error), MQTT_OK);
    if ((from == MQTT_FROM_CLIENT ? session_client_packet : session_broker_packet)(at, &frame, &output) ==
        SESSION_FORWARD)
        buffer_append(&world->forwarded, frame.bytes);
    cr_assert_not(output.close, "%s", reason_info(output.reason)->name);
}

/* As proxy/conn.c does it. */
static size_t feed_run(
    struct again_world *world, int session, enum mqtt_direction from, struct view bytes, uint64_t most)
{
    bool client = from == MQTT_FROM_CLIENT;
    struct session *at = world->sessions[session];
    struct session_run run = (client ? session_client_run : session_broker_run)(at, bytes, most);

    if (run.length > 0) {
        buffer_append(&world->forwarded, view_of(bytes.data, run.length));
        return run.length;
    }
    return (client ? session_client_refused : session_broker_refused)(at, bytes, most).length;
}

/* Makes it look at the next packet as if there had been none before. */
static void forget(struct session *session)
{
    session_cache_free(session->publish_cache);
    session_cache_free(session->receive_cache);
    session_denials_free(session->publish_denials);
    session_denials_free(session->receive_denials);
    session->publish_cache = session->receive_cache = NULL;
    session->publish_denials = session->receive_denials = NULL;
}

static void feed_world(
    struct again_world *world, int session, enum mqtt_direction from, struct view bytes, uint64_t most)
{
    world->held = world->sessions[session]->settings->policy;
    while (bytes.length > 0) {
        size_t taken = world->knows ? feed_run(world, session, from, bytes, most) : 0;
        struct mqtt_frame frame;
        struct mqtt_error error;

        if (taken == 0) {
            cr_assert_eq(mqtt_frame_next(
                             bytes, from, session_version(world->sessions[session]), 1 << 20, &frame, &error),
                MQTT_OK);
            taken = frame.bytes.length;
            if (!world->knows)
                forget(world->sessions[session]);
            feed_one(world, session, from, frame.bytes);
        }
        bytes = view_skip(bytes, taken);
    }
}

static void expect_same(struct both *both, const struct buffer *a, const struct buffer *b, const char *what)
{
    cr_assert(view_equal(buffer_view(a), buffer_view(b)), "seed %lu: other bytes %s", both->seed, what);
}

static void expect_same_output(struct both *both)
{
    struct again_world *a = &both->worlds[0], *b = &both->worlds[1];

    expect_same(both, &a->to_client, &b->to_client, "to the client");
    expect_same(both, &a->to_broker, &b->to_broker, "to the broker");
    expect_same(both, &a->forwarded, &b->forwarded, "are sent on");
    cr_assert_eq(memcmp(a->counters->decisions, b->counters->decisions, sizeof(a->counters->decisions)), 0,
        "seed %lu: decisions", both->seed);
    cr_assert_eq(memcmp(a->counters->refusals, b->counters->refusals, sizeof(a->counters->refusals)), 0,
        "seed %lu: refusals", both->seed);
    cr_assert_eq(memcmp(a->counters->rules, b->counters->rules, sizeof(a->counters->rules)), 0,
        "seed %lu: rules", both->seed);
    cr_assert_eq(memcmp(a->counters->monitored, b->counters->monitored, sizeof(a->counters->monitored)), 0,
        "seed %lu: monitored", both->seed);
    cr_assert_eq(a->denials, b->denials, "seed %lu: denials", both->seed);
}

/* Puts the messages that went on in flight to rest, so that packet ids stay free and nothing waits. */
static void acknowledge(struct both *both, int session, enum mqtt_direction from)
{
    struct buffer forwarded = {0}, answers = {0};
    enum mqtt_version version = both->versions[session];
    struct mqtt_packet packet;
    struct mqtt_frame frame;
    struct mqtt_error error;

    buffer_append(&forwarded, buffer_view(&both->worlds[1].forwarded));
    if (from == MQTT_FROM_CLIENT)
        buffer_append(&forwarded, buffer_view(&both->worlds[1].to_broker));
    for (struct view rest = buffer_view(&forwarded); rest.length > 0;
         rest = view_skip(rest, frame.bytes.length)) {
        cr_assert_eq(mqtt_frame_next(rest, from, version, 1 << 20, &frame, &error), MQTT_OK);
        cr_assert_eq(mqtt_decode(&frame, from, version, NULL, &packet, &error), MQTT_OK);
        if (packet.type == MQTT_PUBLISH && packet.u.publish.qos > 0)
            mqtt_encode_ack(&answers, version, MQTT_PUBACK, packet.u.publish.packet_id, 0);
    }
    for (int i = 0; i < 2; i++) {
        struct again_world *world = &both->worlds[i];

        feed_world(world, session, from == MQTT_FROM_CLIENT ? MQTT_FROM_SERVER : MQTT_FROM_CLIENT,
            buffer_view(&answers), 5);
        buffer_clear(&world->forwarded);
        buffer_clear(&world->to_client);
        buffer_clear(&world->to_broker);
    }
    buffer_release(&forwarded);
    buffer_release(&answers);
}

static void feed(struct both *both, int session, enum mqtt_direction from, struct view bytes)
{
    unsigned most = 1 + below(both, BATCH);

    for (int i = 0; i < 2; i++)
        feed_world(&both->worlds[i], session, from, bytes, most);
    expect_same_output(both);
    acknowledge(both, session, from);
}

/* ---- what peers send ---- */

/* A signature of somebody, which stands for nothing here: the client is none of them. */
static void sign(struct both *both, struct buffer *payload)
{
    static const char *const words[] = {"topic=ok/signed sub=plc-7", "topic=ok/signed sub=plc-8",
        "topic=ok/signed sub=plc-7 kid=m38", "topic=ok/signed sub=plc-7 kid=own",
        "topic=ok/signed sub=anyone forged=true"};
    struct buffer text = {0};

    cr_assert(signer_sign("n", words[below(both, 5)], payload, &text));
    buffer_append(payload, buffer_view(&text));
    buffer_release(&text);
}

static void add_properties(struct both *both, struct buffer *properties, struct mqtt_publish *publish)
{
    if (below(both, 6) == 0)
        mqtt_property_write_string(
            properties, MQTT_RESPONSE_TOPIC, below(both, 2) == 0 ? VIEW("ok/answer") : VIEW("no/answer"));
    if (below(both, 6) == 0)
        mqtt_property_write_pair(properties, VIEW("a"), VIEW("b"));
    publish->properties.raw = buffer_view(properties);
}

static void add_publish(struct both *both, int session, struct buffer *out)
{
    struct mqtt_packet packet = {.type = MQTT_PUBLISH, .version = both->versions[session]};
    struct mqtt_publish *publish = &packet.u.publish;
    struct buffer properties = {0}, payload = {0};
    char space[700];
    unsigned more = below(both, 40) == 0 ? 200 + below(both, 400) : 0;

    snprintf(space, sizeof(space), "%s%s%0*d",
        topics[below(both, 6) == 0 ? below(both, TOPICS) : both->topic[below(both, 2)]], more > 0 ? "/" : "",
        (int)more, 0);
    if (more == 0)
        space[strlen(space) - 1] = 0;
    publish->topic = view_of_string(space);
    publish->retain = below(both, 8) == 0;
    publish->qos = (uint8_t)(below(both, 3) == 0);
    if (publish->qos > 0) {
        both->packet_ids[session] = (uint16_t)(both->packet_ids[session] % 60000 + 1);
        publish->packet_id = both->packet_ids[session];
    }
    if (below(both, 3) == 0)
        sign(both, &payload);
    else
        buffer_append(&payload, view_of("0123456789", below(both, 11)));
    publish->payload = buffer_view(&payload);
    if (packet.version == MQTT_V5)
        add_properties(both, &properties, publish);
    mqtt_encode(&packet, out);
    buffer_release(&properties);
    buffer_release(&payload);
}

/* Some are sent again and again. */
static void send_messages(struct both *both, int session, enum mqtt_direction from)
{
    struct buffer bytes = {0}, one = {0};

    for (unsigned count = 1 + below(both, BATCH); count > 0; count--) {
        unsigned times = below(both, 3) == 0 ? 1 + below(both, 9) : 1;

        buffer_clear(&one);
        add_publish(both, session, &one);
        if ((one.data[one.start] & 0x06) != 0)
            times = 1; /* it has a packet id */
        for (; times > 0; times--)
            buffer_append(&bytes, buffer_view(&one));
    }
    feed(both, session, from, buffer_view(&bytes));
    buffer_release(&bytes);
    buffer_release(&one);
}

/* ---- the trail ---- */

static void expect_same_trail(struct both *both)
{
    struct ring_record records[2];
    struct audit_event events[2];
    uint8_t encoded[2][AUDIT_EVENT_MAX];

    while (ring_peek(both->worlds[0].ring, &records[0]) == 1) {
        size_t lengths[2];

        cr_assert_eq(ring_peek(both->worlds[1].ring, &records[1]), 1, "seed %lu: one is missing", both->seed);
        for (int i = 0; i < 2; i++) {
            cr_assert_eq(audit_event_decode(records[i].payload, &events[i]), 0);
            events[i].wall_us = events[i].start_us = events[i].end_us = 0;
            lengths[i] = audit_event_encode(&events[i], encoded[i]);
        }
        cr_assert(view_equal(view_of(encoded[0], lengths[0]), view_of(encoded[1], lengths[1])),
            "seed %lu: %s %.*s %lu, not %s %.*s %lu", both->seed, audit_action_name(events[0].action),
            VIEW_ARGS(events[0].topic), events[0].suppressed, audit_action_name(events[1].action),
            VIEW_ARGS(events[1].topic), events[1].suppressed);
        ring_pop(both->worlds[0].ring);
        ring_pop(both->worlds[1].ring);
    }
    cr_assert_eq(ring_peek(both->worlds[1].ring, &records[1]), 0, "seed %lu: one too many", both->seed);
}

static void pass_time(struct both *both, bool all)
{
    uint64_t more = below(both, INTERVAL_MS);

    for (int i = 0; i < 2; i++) {
        struct again_world *world = &both->worlds[i];

        world->now_ms += more;
        cr_assert(all ? repeats_tell_all(world->repeats, world->ring)
                      : repeats_tell(world->repeats, world->ring, world->now_ms));
    }
    expect_same_trail(both);
}

/* ---- lives ---- */

static void bind_anew(struct both *both, int session)
{
    unsigned chosen = below(both, SETTINGS);

    for (int i = 0; i < 2; i++) {
        struct again_world *world = &both->worlds[i];
        struct session_output output = {.to_client = &world->to_client, .to_broker = &world->to_broker};

        session_rebind(world->sessions[session], &both->settings[chosen], &output);
        cr_assert_not(output.close);
    }
}

static void connect(struct both *both, int session)
{
    static const char *const versions[] = {"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01"
                                           "c",
        "\x10\x0e\0\x04MQTT\x05\x02\0\x3c\0\0\x01"
        "c"};
    bool five = session != 0;
    const struct session_hooks hooks = {.audit = on_audit,
        .claim = on_claim,
        .denied = on_denied,
        .ban_left = on_ban_left,
        .hold_rates = on_hold_rates,
        .count = on_count};

    both->versions[session] = five ? MQTT_V5 : MQTT_V311;
    for (int i = 0; i < 2; i++) {
        struct again_world *world = &both->worlds[i];

        world->hooks = hooks;
        world->hooks.counters = world->counters;
        world->hooks.audit_repeat = world->knows ? on_repeat : NULL;
        world->hooks.audit_again = world->knows ? on_again : NULL;
        snprintf(world->names[session], sizeof(world->names[session]), "s-%d", session);
        world->peers[session] = (struct session_peer){.session_id = view_of_string(world->names[session]),
            .address = VIEW("203.0.113.9"),
            .port = (uint16_t)(4000 + session)};
        world->sessions[session] =
            session_new(&both->settings[0], &world->peers[session], &world->hooks, world);
        feed_one(world, session, MQTT_FROM_CLIENT, view_of(versions[five], five ? 16 : 15));
        feed_one(world, session, MQTT_FROM_SERVER,
            five ? view_of("\x20\x03\0\0\0", 5) : view_of("\x20\x02\0\0", 4));
        cr_assert(session_is_open(world->sessions[session]));
        buffer_clear(&world->to_client);
        buffer_clear(&world->to_broker);
        buffer_clear(&world->forwarded);
    }
}

static void set_server(struct both *both, int session)
{
    struct view address = below(both, 2) == 0 ? VIEW("10.0.0.5") : VIEW("10.0.0.6");

    for (int i = 0; i < 2; i++)
        session_set_server(both->worlds[i].sessions[session], address, 1883);
}

static void set_unrecorded(struct both *both, int session, bool unrecorded)
{
    for (int i = 0; i < 2; i++)
        session_set_unrecorded(both->worlds[i].sessions[session], unrecorded);
}

static void act(struct both *both)
{
    int session = below(both, 4) == 0 ? (int)below(both, SESSIONS) : both->session;

    switch (below(both, 40)) {
    case 0:
        bind_anew(both, session);
        break;
    case 1:
        set_server(both, session);
        break;
    case 2:
        both->worlds[0].limited = both->worlds[1].limited = !both->worlds[0].limited;
        break;
    case 3:
        both->topic[below(both, 2)] = below(both, TOPICS);
        both->session = (int)below(both, SESSIONS);
        break;
    case 4:
        pass_time(both, false);
        break;
    case 5:
        set_unrecorded(both, session, true);
        send_messages(both, session, MQTT_FROM_CLIENT);
        set_unrecorded(both, session, false);
        break;
    default:
        send_messages(both, session, below(both, 3) == 0 ? MQTT_FROM_SERVER : MQTT_FROM_CLIENT);
    }
}

static void begin(struct both *both, uint64_t seed)
{
    *both =
        (struct both){.choices = choices_from_seed(seed), .seed = seed, .path = "/tmp/mqward-test-XXXXXX"};
    cr_assert_not_null(mkdtemp(both->path));
    for (size_t i = 0; i < POLICIES; i++) {
        both->compiled[i] = world_policy(policies[i]);
        cr_assert_not_null(both->compiled[i]);
    }
    for (size_t i = 0; i < SETTINGS; i++)
        both->settings[i] = (struct session_settings){.policy = both->compiled[i % POLICIES],
            .shadow = i < POLICIES ? NULL : both->compiled[POLICIES - 1],
            .dialect = DIALECT_MOSQUITTO,
            .listener = "outside",
            .upstream = "broker",
            .broker_max_packet = 1 << 20,
            .topic_alias_maximum = 16,
            .max_filters = 8,
            .keyring = signer_keyring()};
    for (int i = 0; i < 2; i++) {
        both->worlds[i].knows = i == 1;
        begin_table(both, &both->worlds[i], i);
    }
    for (int i = 0; i < SESSIONS; i++)
        connect(both, i);
}

static void end(struct both *both)
{
    char path[96];

    for (int i = 0; i < 2; i++) {
        struct again_world *world = &both->worlds[i];

        for (int k = 0; k < SESSIONS; k++)
            session_free(world->sessions[k]);
        repeats_close(world->repeats, true);
        ring_close(world->ring);
        snprintf(path, sizeof(path), "%s/%d.ring", both->path, i);
        unlink(path);
        free(world->counters);
        buffer_release(&world->to_client);
        buffer_release(&world->to_broker);
        buffer_release(&world->forwarded);
    }
    rmdir(both->path);
    for (size_t i = 0; i < POLICIES; i++)
        policy_release(both->compiled[i]);
}

Test(again, what_is_counted_is_what_would_have_been_told, .timeout = 300)
{
    const char *wanted = getenv("MQWARD_SEED");
    uint64_t first = wanted == NULL ? 1 : strtoull(wanted, NULL, 10), again = 0;

    for (uint64_t seed = first; seed < first + (wanted == NULL ? 40 : 1); seed++) {
        struct both *both = memory_calloc(1, sizeof(*both));

        begin(both, seed);
        for (int i = 0; i < 400; i++)
            act(both);
        pass_time(both, true);
        again += both->worlds[1].counted_again;
        end(both);
        free(both);
    }
    cr_assert_gt(again, 10000, "%lu were counted by tickets", again);
}
