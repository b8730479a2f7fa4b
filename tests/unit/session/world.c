/* SPDX-License-Identifier: Apache-2.0 */
/* The surroundings of a session under test. Used by scenario.c and the tests in C. */
#include "world.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "packet_text.h"
#include "signer.h"

struct policy *world_policy(const char *text)
{
    static const char *const cas[] = {"fleet"};
    static const char *const files[] = {"users"};
    static const char *const jwks[] = {"idp"};
    static const struct policy_names names = {.cas = cas,
        .ca_count = 1,
        .password_files = files,
        .password_file_count = 1,
        .jwks = jwks,
        .jwks_count = 1};
    const struct diag_source source = {.path = "policy.yaml", .text = view_of_string(text)};
    struct diag_list *diag = diag_list_new();
    struct policy *policy = policy_compile(&source, &names, diag);

    if (policy == NULL)
        diag_print(diag, stderr);
    diag_list_free(diag);
    return policy;
}

/* ---- life ---- */

void world_init(struct world *world, const struct policy *policy, const char *policy_text)
{
    static const char *const cas[] = {"fleet"};

    *world = (struct world){.policy_text = policy_text, .password_tag = 1, .keys = "k1"};
    world->settings = (struct session_settings){
        .policy = policy,
        .dialect = DIALECT_MOSQUITTO,
        .listener = "outside",
        .upstream = "broker",
        .broker_max_packet = 1 << 20,
        .topic_alias_maximum = 16,
        .max_filters = 8,
        .scan_inline = 16 * 1024,
        .find_jwks = world_find_jwks,
        .jwks_context = world,
        .keyring = signer_keyring(),
    };
    world->replays = replay_new(&(struct replay_limits){0});
    world->peer = (struct session_peer){
        .session_id = VIEW("9c1f-000412"),
        .address = VIEW("203.0.113.9"),
        .port = 51724,
        .certificate_cas = cas,
        .certificate_values = world->certificate_values,
    };
}

static struct session_settings *copy_settings(struct world *world)
{
    struct session_settings *copy = memory_calloc(1, sizeof(*copy));

    world_take_sets(world);
    *copy = world->settings;
    return copy;
}

void world_begin(struct world *world)
{
    world->peer.certificate_ca_count = world->peer.has_certificate ? 1 : 0;
    world->bound = copy_settings(world);
    world->hooks = world_hooks(world);
    world->session = session_new(world->bound, &world->peer, &world->hooks, world);
}

void world_forget_lines(struct world *world)
{
    for (size_t i = 0; i < world->count; i++)
        free(world->lines[i]);
    world->count = 0;
}

void world_free(struct world *world)
{
    world_forget_lines(world);
    free(world->banned);
    session_free(world->session);
    free(world->bound);
    policy_release(world->rebound);
    policy_release(world->shadow);
    replay_free(world->replays);
    buffer_release(&world->to_client);
    buffer_release(&world->to_broker);
    buffer_release(&world->held);
    buffer_release(&world->held_broker);
    world_scan_free(world);
}

/* ---- bytes in, lines out ---- */

static void add_line(struct world *world, const char *text)
{
    struct buffer line = {0};

    buffer_append(&line, view_of_string(text));
    world_take_line(world, &line);
}

static void add_packets(
    struct world *world, const char *prefix, enum mqtt_direction direction, struct buffer *bytes)
{
    enum mqtt_version version = session_version(world->session);
    struct mqtt_frame frame;
    struct mqtt_error error;

    while (buffer_length(bytes) > 0) {
        struct buffer line = {0};
        struct view rest = buffer_view(bytes);
        bool connect = rest.data[0] >> 4 == MQTT_CONNECT;
        enum mqtt_result result =
            mqtt_frame_next(rest, direction, connect ? 0 : version, SIZE_MAX, &frame, &error);

        cr_assert(
            result == MQTT_OK, "%s: not a packet: %s", prefix, result == MQTT_BAD ? error.text : "cut off");
        buffer_append(&line, view_of_string(prefix));
        packet_text_print(frame.bytes, direction, version, &line);
        world_take_line(world, &line);
        buffer_consume(bytes, frame.bytes.length);
    }
    buffer_clear(bytes);
}

static void ask_password(struct world *world, const struct session_password_check *check)
{
    snprintf(world->password_asked, sizeof(world->password_asked), "%s %.*s %.*s", check->file,
        VIEW_ARGS(check->name), VIEW_ARGS(check->password));
    world->password_awaited = true;
    if (world->password_later)
        add_line(world, "check-password");
    else
        world_password(world, world->password_answer);
}

static void carry_out(struct world *world, struct session_output *output)
{
    add_packets(world, "to-broker ", MQTT_FROM_CLIENT, &world->to_broker);
    add_packets(world, "to-client ", MQTT_FROM_SERVER, &world->to_client);
    if (output->open_broker)
        add_line(world, "open-broker");
    if (output->close) {
        struct buffer line = {0};

        cr_expect_not(world->closed, "closed twice");
        world->closed = true;
        world->closing = output->reason;
        buffer_format(&line, "close %s", reason_info(output->reason)->name);
        world_take_line(world, &line);
    }
    if (output->check_password != NULL)
        ask_password(world, output->check_password);
}

static struct session_output begin_output(struct world *world)
{
    return (struct session_output){.to_client = &world->to_client, .to_broker = &world->to_broker};
}

/* The events of a packet take no more than was asked for before it was handed in. */
static void begin_need(struct world *world)
{
    world->room_asked = world->room_taken = 0;
}

static void check_need(const struct world *world, struct session_need need)
{
    cr_expect(need.usual > 0 && need.most > need.usual);
    cr_expect(world->room_taken <= need.most + world->room_asked, "%zu bytes of events, %zu were asked for",
        world->room_taken, need.most + world->room_asked);
}

/* As the connection does it: what a run takes goes on, and nothing else comes of it. */
static bool feed_run(struct world *world, enum mqtt_direction from, const struct mqtt_frame *frame)
{
    size_t lines = world->count, need = session_run_need(world->session);
    struct session_run run =
        (from == MQTT_FROM_CLIENT ? session_client_run : session_broker_run)(world->session, frame->bytes, 1);

    if (run.length == 0 && run.publishes + run.pubacks == 0)
        return false;
    cr_expect(
        run.length == frame->bytes.length && run.publishes + run.pubacks == 1, "a run is whole packets");
    cr_expect(world->count == lines && buffer_length(&world->to_broker) == 0 &&
                  buffer_length(&world->to_client) == 0,
        "a run has nothing to tell");
    cr_expect(need >= session_audit_need(world->session, frame).most);
    add_line(world, "forward");
    return true;
}

static void feed_packet(struct world *world, enum mqtt_direction from, const struct mqtt_frame *frame)
{
    if (feed_run(world, from, frame))
        return;
    struct session_output output = begin_output(world);
    struct session_need need = session_audit_need(world->session, frame);
    begin_need(world);
    enum session_verdict verdict = from == MQTT_FROM_CLIENT
                                       ? session_client_packet(world->session, frame, &output)
                                       : session_broker_packet(world->session, frame, &output);

    check_need(world, need);
    if (verdict == SESSION_FORWARD)
        add_line(world, "forward");
    carry_out(world, &output);
}

static void feed_malformed(struct world *world, enum mqtt_direction from, const struct mqtt_error *error)
{
    struct session_output output = begin_output(world);

    if (from == MQTT_FROM_CLIENT)
        session_client_malformed(world->session, error, &output);
    else
        session_broker_malformed(world->session, error, &output);
    carry_out(world, &output);
}

/* Returns the bytes taken; the rest waits, or is nobody's any more. */
static size_t feed(struct world *world, enum mqtt_direction from, struct view bytes)
{
    size_t taken = 0;

    while (taken < bytes.length && !world->closed) {
        struct mqtt_frame frame;
        struct mqtt_error error;
        size_t maximum = from == MQTT_FROM_CLIENT ? session_client_max_packet(world->session)
                                                  : session_broker_max_packet(world->session);
        enum mqtt_result result = mqtt_frame_next(
            view_skip(bytes, taken), from, session_version(world->session), maximum, &frame, &error);

        if (result == MQTT_MORE)
            break;
        if (result == MQTT_BAD) {
            feed_malformed(world, from, &error);
            return bytes.length;
        }
        if (!(from == MQTT_FROM_CLIENT ? session_client_ready : session_broker_ready)(world->session)) {
            add_line(world, "held");
            break;
        }
        feed_packet(world, from, &frame);
        taken += frame.bytes.length;
    }
    return world->closed ? bytes.length : taken;
}

/* What waited until the session is ready. */
static void feed_held(struct world *world)
{
    if (buffer_length(&world->held_broker) > 0 && !world->closed && session_broker_ready(world->session))
        buffer_consume(&world->held_broker, feed(world, MQTT_FROM_SERVER, buffer_view(&world->held_broker)));
    if (buffer_length(&world->held) > 0 && !world->closed && session_client_ready(world->session))
        buffer_consume(&world->held, feed(world, MQTT_FROM_CLIENT, buffer_view(&world->held)));
}

static void feed_broker(struct world *world, struct view bytes)
{
    if (buffer_length(&world->held_broker) > 0) {
        buffer_append(&world->held_broker, bytes);
        return;
    }
    bytes = view_skip(bytes, feed(world, MQTT_FROM_SERVER, bytes));
    if (!world->closed && !session_broker_ready(world->session))
        buffer_append(&world->held_broker, bytes);
}

void world_feed(struct world *world, enum mqtt_direction from, struct view bytes)
{
    if (world->closed)
        return;
    if (from == MQTT_FROM_CLIENT) {
        buffer_append(&world->held, bytes);
        buffer_consume(&world->held, feed(world, from, buffer_view(&world->held)));
        return;
    }
    feed_broker(world, bytes);
    feed_held(world);
}

void world_shadow(struct world *world, const char *policy_text)
{
    cr_assert_null(world->shadow, "there is one already");
    world->shadow = world_policy(policy_text);
    cr_assert_not_null(world->shadow, "the shadow policy is not good");
    world->settings.shadow = world->shadow;
}

void world_carry_on(struct world *world)
{
    struct session_output output = begin_output(world);

    session_carry_on(world->session, &output);
    carry_out(world, &output);
    feed_held(world);
}

/* What was in force before is gone afterwards: whoever still looks at it is found out. */
void world_rebind(struct world *world, const char *policy_text)
{
    struct session_output output = begin_output(world);
    struct session_settings *before = world->bound;
    struct policy *policy = world_policy(policy_text);

    cr_assert_not_null(policy, "the other policy is not good");
    snprintf(world->previous_version, sizeof(world->previous_version), "%s",
        policy_settings(world->settings.policy)->version);
    world->settings.policy = policy;
    world->policy_text = policy_text;
    world->bound = copy_settings(world);
    session_rebind(world->session, world->bound, &output);
    free(before);
    policy_release(world->rebound);
    world->rebound = policy;
    carry_out(world, &output);
    feed_held(world);
}

void world_password(struct world *world, enum reason found)
{
    struct session_output output = begin_output(world);

    cr_assert(world->password_awaited, "nobody asked about a password");
    world->password_awaited = false;
    session_password_checked(world->session, found, &output);
    carry_out(world, &output);
    feed_held(world);
}

bool world_replay_answer(struct world *world, const char *name, int answer)
{
    for (size_t i = 0; i < world->asked_count; i++) {
        struct world_asked *asked = &world->asked[i];
        struct session_output output = begin_output(world);
        uint64_t ticket = asked->ticket;

        if (ticket == 0 || strcmp(asked->name, name) != 0)
            continue;
        asked->ticket = 0;
        session_replay_answered(
            world->session, ticket, answer < 0 ? asked->answer : (enum replay_answer)answer, &output);
        carry_out(world, &output);
        feed_held(world);
        return true;
    }
    return false;
}

bool world_scanned(struct world *world, bool outbound, bool again)
{
    struct world_scan *scan = &world->scans[outbound];
    struct session_output output = begin_output(world);
    uint64_t ticket = again ? scan->answered : scan->ticket;
    struct session_scanned *results = scan->results;

    if (ticket == 0 || results == NULL)
        return false;
    scan->answered = ticket;
    scan->ticket = 0;
    scan->results = NULL; /* the next one may be asked about during the call */
    session_scan_answered(world->session, ticket, results, scan->count, &output);
    if (scan->results == NULL)
        scan->results = results;
    else
        free(results);
    carry_out(world, &output);
    feed_held(world);
    return true;
}

void world_abort(struct world *world, enum reason reason)
{
    struct session_output output = begin_output(world);

    session_abort(world->session, reason, &output);
    carry_out(world, &output);
}

void world_end(struct world *world, enum reason reason)
{
    const struct session_totals totals = {1500, 1000, 10, 2000, 20};

    session_ended(world->session, reason, &totals);
}
