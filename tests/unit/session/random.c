/* SPDX-License-Identifier: Apache-2.0 */
/* Random legal and illegal packets of both sides against a model: nothing denied gets through, every message
 * has exactly one answer and in order, and every session exactly one beginning and one end in the audit.
 * MQWARD_SEED repeats a run. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "model.h"
#include "packet_text.h"

#define STEPS 200000

static const char *const topics[] = {"ok", "ok/a", "ok/a/b/c", "ok/", "okk", "/ok/a", "ok/secret",
    "ok/secret/x", "ok/secrets", "both/a", "both/", "both/a/b", "both/secret", "low", "low/a", "low/secret/",
    "in/a", "in/secret", "in/b/secret", "in", "$SYS/ok", "other"};
static const char *const filters[] = {"in/#", "in/a", "in/+/x", "both/+", "both/a", "#", "+/a", "in/secret/#",
    "$share/g/in/a", "ok/a", "$SYS/#"};

/* ---- what goes in ---- */

static void send(struct model *model, enum mqtt_direction from, const char *text)
{
    struct buffer bytes = {0};
    const char *error = "";

    if (model->world->closed || (from == MQTT_FROM_CLIENT && !session_client_ready(model->world->session)))
        return;
    cr_assert(packet_text_parse(text, model->version, &bytes, &error), "%s: %s", text, error);
    world_feed(model->world, from, buffer_view(&bytes));
    buffer_release(&bytes);
    model_look(model, from, text);
}

static unsigned free_id(struct model *model, struct flow *flow)
{
    unsigned id = 1 + model_below(model, MODEL_IDS);

    return flow->used[id] ? 0 : id;
}

/* Puts an alias in, sometimes alone; the model keeps what it means. Returns false if it can't be used. */
static void with_alias(struct model *model, char *text, size_t size, const char **shown)
{
    unsigned alias = 1 + model_below(model, MODEL_ALIASES);

    if (model->version != MQTT_V5 || model_below(model, 3) > 0)
        return;
    if (model->aliases[alias][0] != 0 && model_below(model, 2) == 0) {
        snprintf(model->topic, sizeof(model->topic), "%s", model->aliases[alias]);
        *shown = "-";
    } else
        snprintf(model->aliases[alias], sizeof(model->aliases[alias]), "%s", model->topic);
    snprintf(text, size, " topic_alias=%u", alias);
}

static void publish(struct model *model, enum mqtt_direction from)
{
    struct flow *flow = from == MQTT_FROM_CLIENT ? &model->up : &model->down;
    const char *topic = topics[model_below(model, sizeof(topics) / sizeof(topics[0]))];
    unsigned qos = model_below(model, 3), id = free_id(model, flow);
    char text[256], alias[32] = "", message[32] = "";

    if ((qos > 0 && id == 0) || (from == MQTT_FROM_CLIENT && !session_client_ready(model->world->session)))
        return;
    if (qos > 0)
        snprintf(message, sizeof(message), " id=%u", id);
    if (from == MQTT_FROM_CLIENT) {
        snprintf(model->topic, sizeof(model->topic), "%s", topic);
        with_alias(model, alias, sizeof(alias), &topic);
    }
    snprintf(text, sizeof(text), "PUBLISH %s qos=%u%s payload=x%s", topic, qos, message, alias);
    if (qos > 0) {
        flow->used[id] = true;
        model_list_push(&flow->unanswered[qos - 1], id);
    }
    send(model, from, text);
}

/* The receiver answers its oldest message of a kind, or the sender releases, or the receiver completes. */
static void answer(struct model *model, enum mqtt_direction from, unsigned what)
{
    bool client = from == MQTT_FROM_CLIENT;
    struct flow *in = client ? &model->down : &model->up, *out = client ? &model->up : &model->down;
    struct list *arrived = &in->arrived[what % 2];
    char text[64];

    if (what < 2 && arrived->count > 0) {
        bool no = model->version == MQTT_V5 && model_below(model, 8) == 0;
        unsigned id = model_list_take(arrived, 0);

        snprintf(text, sizeof(text), "%s %u%s", what == 0 ? "PUBACK" : "PUBREC", id, no ? " 0x80" : "");
    } else if (what == 2 && out->to_release.count > 0) {
        unsigned id = model_list_take(&out->to_release, model_below(model, (unsigned)out->to_release.count));

        model_list_push(&out->released, id);
        snprintf(text, sizeof(text), "PUBREL %u", id);
    } else if (what == 3 && in->to_complete.count > 0)
        snprintf(text, sizeof(text), "PUBCOMP %u", model_list_take(&in->to_complete, 0));
    else
        return;
    send(model, from, text);
}

static void subscribe(struct model *model)
{
    unsigned id = 1 + model_below(model, MODEL_IDS), count = 1 + model_below(model, 4);
    char text[256];
    int length = snprintf(text, sizeof(text), "SUBSCRIBE %u", id);

    if (model->subscribe_counts[id] != 0 || !session_client_ready(model->world->session))
        return;
    for (unsigned i = 0; i < count; i++)
        length += snprintf(text + length, sizeof(text) - (size_t)length, " %s:%u",
            filters[model_below(model, sizeof(filters) / sizeof(filters[0]))], model_below(model, 3));
    model->subscribe_counts[id] = count;
    send(model, MQTT_FROM_CLIENT, text);
}

static void suback(struct model *model)
{
    char text[128];
    unsigned id;
    int length;

    if (model->subscribes.count == 0)
        return;
    id = model_list_take(&model->subscribes, model_below(model, (unsigned)model->subscribes.count));
    length = snprintf(text, sizeof(text), "SUBACK %u", id);
    for (unsigned i = 0; i < model->forwarded_counts[id]; i++)
        length += snprintf(text + length, sizeof(text) - (size_t)length, " %s",
            model->version != MQTT_V31 && model_below(model, 4) == 0 ? "0x80" : "0");
    send(model, MQTT_FROM_SERVER, text);
}

/* Bytes at random, or a packet where it has no business. */
static void misbehave(struct model *model, enum mqtt_direction from)
{
    static const char *const packets[] = {"CONNECT id=x", "CONNACK 0", "PUBACK 7", "PUBREC 7", "PUBREL 7",
        "PUBCOMP 7", "SUBACK 7 0", "SUBSCRIBE 7 in/a:0", "UNSUBACK 7 0", "PINGREQ", "PINGRESP", "DISCONNECT",
        "PUBLISH in/a qos=1 id=3", "PUBLISH other qos=2 id=3", "PUBLISH ok/a qos=2 id=3"};
    struct buffer bytes = {0};
    const char *error;

    model->wild = true;
    snprintf(model->topic, sizeof(model->topic), "ok/a");
    if (from == MQTT_FROM_CLIENT && !session_client_ready(model->world->session))
        return;
    if (model_below(model, 2) == 0)
        packet_text_parse(packets[model_below(model, sizeof(packets) / sizeof(packets[0]))], model->version,
            &bytes, &error);
    else
        for (unsigned i = model_below(model, 12) + 2; i > 0; i--)
            buffer_append_byte(&bytes, (uint8_t)model_below(model, 256));
    /* what is forwarded of it is looked at as what it is */
    if (!model->world->closed) {
        struct buffer text = {0};
        char *shown;

        world_feed(model->world, from, buffer_view(&bytes));
        packet_text_print(buffer_view(&bytes), from, model->version, &text);
        shown = memory_copy_string(buffer_view(&text));
        if (strncmp(shown, "PUBLISH ", 8) == 0 && from == MQTT_FROM_CLIENT)
            sscanf(shown, "PUBLISH %15s", model->topic);
        model_look(model, from, shown);
        free(shown);
        buffer_release(&text);
    }
    buffer_release(&bytes);
}

static void step(struct model *model)
{
    enum mqtt_direction side = model_below(model, 2) == 0 ? MQTT_FROM_CLIENT : MQTT_FROM_SERVER;
    unsigned dice = model_below(model, 1000);

    if (dice < 400)
        publish(model, side);
    else if (dice < 930)
        answer(model, side, model_below(model, 4));
    else if (dice < 960)
        subscribe(model);
    else if (dice < 994)
        suback(model);
    else if (dice < 997)
        misbehave(model, side);
    else
        send(model, MQTT_FROM_CLIENT, dice == 999 ? "DISCONNECT" : "PINGREQ");
}

/* ---- lives ---- */

static void begin_life(struct model *model, const struct policy *policy)
{
    uint64_t random = model->random;
    struct world *world = model->world;

    *model = (struct model){.random = random, .world = world};
    model->version = (enum mqtt_version)(MQTT_V31 + model_below(model, 3));
    world_init(world, policy, model_policy);
    world->settings.topic_alias_maximum = MODEL_ALIASES;
    world_begin(world);
    if (model_below(model, 20) == 0)
        misbehave(model, MQTT_FROM_CLIENT);
    send(model, MQTT_FROM_CLIENT, "CONNECT id=c keepalive=60");
    if (model_below(model, 20) == 0)
        misbehave(model, MQTT_FROM_SERVER);
    if (!world->closed && session_version(world->session) != 0)
        send(model, MQTT_FROM_SERVER, model_below(model, 20) == 0 ? "CONNACK 3" : "CONNACK 0");
}

/* Both sides answer all that they owe: then nothing may be missing. */
static void settle(struct model *model)
{
    for (unsigned i = 0; i < 20 * MODEL_IDS && !model->world->closed; i++) {
        answer(model, MQTT_FROM_CLIENT, i % 4);
        answer(model, MQTT_FROM_SERVER, i % 4);
        suback(model);
    }
    if (model->wild || model->world->closed)
        return;
    for (unsigned kind = 0; kind < 2; kind++)
        cr_assert(model->up.unanswered[kind].count == 0 && model->down.unanswered[kind].count == 0,
            "a message without an answer");
    cr_assert(model->up.released.count == 0 && model->down.released.count == 0, "a PUBREL without an answer");
    for (unsigned id = 1; id <= MODEL_IDS; id++)
        cr_assert_eq(model->subscribe_counts[id], 0, "a SUBSCRIBE without an answer");
}

/* Once closed, whatever still comes does nothing. */
static void check_silence(struct model *model)
{
    static const uint8_t ping[] = {0xC0, 0}, message[] = {0x30, 4, 0, 2, 'o', 'k'}, pong[] = {0xD0, 0};
    struct buffer to_client = {0}, to_broker = {0};
    struct session_output output = {.to_client = &to_client, .to_broker = &to_broker};
    struct session *session = model->world->session;
    const struct mqtt_frame frames[] = {
        {.bytes = view_of(ping, 2), .header_length = 2, .type = MQTT_PINGREQ, .size = 2},
        {.bytes = view_of(message, 6), .header_length = 2, .type = MQTT_PUBLISH, .size = 6},
        {.bytes = view_of(pong, 2), .header_length = 2, .type = MQTT_PINGRESP, .size = 2},
    };
    unsigned events = model->world->events;

    cr_assert_not(session_client_ready(session));
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(session_client_packet(session, &frames[i], &output), SESSION_CONSUMED);
        cr_assert_eq(session_broker_packet(session, &frames[i], &output), SESSION_CONSUMED);
    }
    session_abort(session, REASON_server_shutdown, &output);
    cr_assert(buffer_length(&to_client) == 0 && buffer_length(&to_broker) == 0 && !output.close);
    cr_assert_eq(model->world->events, events);
}

static void end_life(struct model *model)
{
    struct world *world = model->world;
    bool connected = session_version(world->session) != 0;

    if (model_below(model, 2) == 0)
        settle(model);
    if (!world->closed)
        world_abort(world, model_below(model, 2) == 0 ? REASON_client_closed : REASON_broker_closed);
    cr_assert(world->closed);
    check_silence(model);
    world_end(world, world->closing);
    world_end(world, world->closing);
    cr_assert_leq(world->accepted + world->refused, 1);
    if (connected)
        cr_assert(world->accepted + world->refused == 1 || world->errors > 0, "a CONNECT without an outcome");
    cr_assert_eq(world->accepted, world->disconnects);
    world_free(world);
}

Test(random, nothing_denied_gets_through_and_everything_is_answered_in_order, .timeout = 110)
{
    const char *wanted = getenv("MQWARD_SEED");
    struct policy *policy = world_policy(model_policy);
    struct model *model = memory_calloc(1, sizeof(*model));
    unsigned lives = 0, opened = 0;

    model->random =
        wanted != NULL ? strtoull(wanted, NULL, 10) : (uint64_t)time(NULL) << 20 ^ (uint64_t)clock();
    fprintf(stderr, "random sessions: MQWARD_SEED=%llu\n", (unsigned long long)model->random);
    model->world = memory_calloc(1, sizeof(*model->world));
    cr_assert_not_null(policy);
    for (unsigned steps = 0; steps < STEPS; lives++) {
        unsigned length = 1 + model_below(model, 1500);

        begin_life(model, policy);
        opened += session_is_open(model->world->session);
        for (unsigned i = 0; i < length && !model->world->closed; i++, steps++)
            step(model);
        steps++;
        end_life(model);
    }
    cr_expect(opened > lives / 2, "%u of %u sessions were opened", opened, lives);
    free(model->world);
    free(model);
    policy_release(policy);
}
