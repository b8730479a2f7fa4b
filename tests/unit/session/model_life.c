/* SPDX-License-Identifier: Apache-2.0 */
/* Lives of the session model: a client and a broker with what they remember, and their connections, one after
 * the other. */
#include <stdlib.h>

#include "model_internal.h"

/* ---- connections ---- */

static void begin_connection(struct model *model)
{
    model->accepted = model->refused = model->disconnects = 0;
    model->claimed.length = 0;
    model->claim_answer = REASON_none;
    if (rarely(model, 20))
        model->claim_answer = below(model, 2) == 0 ? REASON_client_id_in_use : REASON_sessions_exceeded;
    judge_begin(model);
    model->corrupt[CLIENT] = model->corrupt[BROKER] = false;
    model->slow[CLIENT] = rarely(model, 4);
    model->slow[BROKER] = rarely(model, 4);
    for (int side = 0; side < SIDES; side++)
        peer_new_connection(model, side);
    model->bound = model_copy_settings(model);
    model->session = session_new(model->bound, &model->session_peer, &model->hooks, model);
}

/* The password is checked, if there is one; a file may be read again meanwhile. */
static void identify(struct model *model)
{
    static const enum reason wrong[] = {
        REASON_password_wrong, REASON_password_unknown_user, REASON_logins_busy, REASON_logins_exceeded};

    if (model->reference.phase != PHASE_IDENTIFYING)
        return;
    if (model_client_ready(model))
        model_fail(model, "the client goes on while its password is being checked");
    if (rarely(model, 8))
        model->tag++;
    if (rarely(model, 12))
        model_abort_somehow(model);
    else
        model_password(model, rarely(model, 4) ? wrong[below(model, 4)] : REASON_none);
}

/* From CONNECT to CONNACK. */
static void connect(struct model *model, bool resumed)
{
    bool any_order = model->options.any_order || rarely(model, 4), session_present = false;
    bool careless = rarely(model, 8);

    begin_connection(model);
    model->reference.flows[BROKER].any_order = false;
    model->reference.flows[CLIENT].any_order = any_order;
    if (model->mischief && rarely(model, 8))
        model_misbehave(model, CLIENT);
    if (model->rebinds && rarely(model, 4))
        model_rebind(model);
    if (model->reference.phase == PHASE_NEW)
        client_connect(model, resumed);
    identify(model);
    while (model->reference.phase == PHASE_CONNECTING) {
        unsigned dice = below(model, 64);

        peer_read(model, BROKER);
        peer_read(model, CLIENT);
        if (careless) { /* as some brokers are */
            model->peers[BROKER].packet_limit = UINT32_MAX;
            model->peers[BROKER].answers_once = true;
        }
        if (dice == 63)
            model_abort_somehow(model);
        else if (dice == 62 && model->mischief)
            model_misbehave(model, BROKER);
        else if (dice == 61 && model->mischief && model_client_ready(model))
            model_misbehave(model, CLIENT);
        else if (dice == 60 && model_client_ready(model))
            peer_disconnect(model, CLIENT);
        else if (model->peers[CLIENT].to_authenticate && model_client_ready(model))
            peer_authenticate(model, CLIENT);
        else if (dice < 20 || !peer_authenticate(model, BROKER))
            session_present = broker_connack(model);
    }
    if (model->reference.phase == PHASE_OPEN && !session_present) {
        peer_reset(model, CLIENT);
        peer_reset(model, BROKER);
    }
}

/* Once closed, whatever still comes does nothing. */
static void check_silence(struct model *model)
{
    static const uint8_t bytes[] = {0xC0, 0, 0x30, 4, 0, 2, 'o', 'k', 0xD0, 0};
    const struct mqtt_frame frames[] = {
        {.bytes = view_of(bytes, 2), .header_length = 2, .type = MQTT_PINGREQ, .size = 2},
        {.bytes = view_of(bytes + 2, 6), .header_length = 2, .type = MQTT_PUBLISH, .size = 6},
        {.bytes = view_of(bytes + 8, 2), .header_length = 2, .type = MQTT_PINGRESP, .size = 2},
    };
    const struct mqtt_error error = {REASON_malformed_packet, "", ""};
    struct buffer to_client = {0}, to_broker = {0};
    struct session_output output = {.to_client = &to_client, .to_broker = &to_broker};
    bool silent = !session_client_ready(model->session);
    unsigned events = 0;

    memset(model->step.events, 0, sizeof(model->step.events));
    for (unsigned i = 0; i < 3; i++) {
        silent &= session_client_packet(model->session, &frames[i], &output) == SESSION_CONSUMED;
        silent &= session_broker_packet(model->session, &frames[i], &output) == SESSION_CONSUMED;
    }
    session_abort(model->session, REASON_server_shutdown, &output);
    session_password_checked(model->session, REASON_none, &output);
    session_client_malformed(model->session, &error, &output);
    session_broker_malformed(model->session, &error, &output);
    for (unsigned i = 0; i < COUNTS; i++)
        events += model->step.events[i];
    if (!silent || output.close || output.open_broker || events > 0 ||
        buffer_length(&to_client) + buffer_length(&to_broker) > 0)
        model_fail(model, "something came out behind the end");
}

/* Both connections are gone: one outcome, and one end if it was a session. */
static void end_connection(struct model *model)
{
    static const struct session_totals totals = {1500, 1000, 10, 2000, 20};
    unsigned outcomes;

    if (model->reference.phase != PHASE_CLOSED)
        model_abort_somehow(model);
    check_silence(model);
    session_ended(model->session, REASON_client_lost, &totals);
    session_ended(model->session, REASON_client_lost, &totals);
    outcomes = model->accepted + model->refused;
    if (outcomes > 1 || (model->reference.outcome_due && outcomes == 0) ||
        model->disconnects != model->accepted)
        model_fail(model, "%u times accepted, %u times refused, %u times disconnected", model->accepted,
            model->refused, model->disconnects);
    session_free(model->session);
    model->session = NULL;
    free(model->bound);
    model->bound = NULL;
}

static void lead_connection(struct model *model, bool resumed)
{
    static const uint16_t lengths[] = {30, 300, 3000};
    unsigned length = 1 + below(model, lengths[below(model, 3)]);

    connect(model, resumed);
    for (unsigned i = 0; i < length && model->reference.phase == PHASE_OPEN && !model->choices.exhausted; i++)
        if (model->rebinds && rarely(model, 30))
            model_rebind(model);
        else
            model_act(model);
    if (model->reference.phase == PHASE_OPEN && rarely(model, 2)) {
        model_settle(model);
        if (rarely(model, 4))
            model_use_every_id(model);
    }
    end_connection(model);
}

/* ---- lives ---- */

void model_choose_variant(struct model *model)
{
    unsigned index = model->options.monitor ? VARIANTS_ENFORCED + below(model, VARIANTS - VARIANTS_ENFORCED)
                                            : below(model, VARIANTS);

    model->variant = &rules_variants[index];
    model->settings = (struct session_settings){.policy = model->policies[index],
        .dialect = DIALECT_MOSQUITTO,
        .listener = "l",
        .upstream = "u",
        .broker_max_packet = rarely(model, 4) ? 200 : 4096,
        .topic_alias_maximum = (uint16_t)below(model, 5),
        .max_filters = 5};
}

static void begin_life(struct model *model, struct choices choices, uint64_t seed)
{
    model->choices = choices;
    model->seed = seed;
    model->steps = model->history_count = 0;
    model->numbers = 0;
    model->version = model->options.version;
    if (model->version == 0)
        model->version = (enum mqtt_version)(MQTT_V31 + below(model, 3));
    model_choose_variant(model);
    model->mischief = below(model, 3) == 2;
    model->rebinds = below(model, 2) == 1;
    model->tag = rarely(model, 4) ? 0 : 1;
    model->ids = model->options.ids != 0 ? model->options.ids
                 : rarely(model, 8)      ? MODEL_IDS_MANY
                                         : MODEL_IDS_FEW;
    model->session_peer =
        (struct session_peer){.session_id = VIEW("1"), .address = VIEW("::1"), .port = 1234};
    for (int side = 0; side < SIDES; side++) {
        peer_reset(model, side);
        model->peers[side].client_id.length = 0;
    }
}

unsigned model_life(struct model *model, struct choices choices, uint64_t seed)
{
    bool resumed = false;

    begin_life(model, choices, seed);
    do {
        lead_connection(model, resumed);
        resumed = model->peers[CLIENT].client_id.length > 0 && below(model, 4) != 0;
        if (!resumed) {
            peer_reset(model, CLIENT);
            peer_reset(model, BROKER);
        }
    } while (!model->choices.exhausted && below(model, 3) != 0);
    return model->steps;
}

/* No message is too large or of too high a QoS for the other side. */
static bool takes_everything(const struct peer *peer)
{
    return peer->max_qos == 2 && peer->packet_limit >= 1000;
}

unsigned model_every_id(struct model *model, enum mqtt_version version, struct choices choices, uint64_t seed)
{
    begin_life(model, choices, seed);
    model->version = version;
    model->mischief = model->rebinds = false;
    model->settings.topic_alias_maximum = 0;
    model->settings.broker_max_packet = 4096;
    model->variant = &rules_variants[1];
    model->settings.policy = model->policies[1];
    for (;;) {
        peer_reset(model, CLIENT);
        peer_reset(model, BROKER);
        connect(model, false);
        peer_read(model, CLIENT);
        if (model->reference.phase == PHASE_OPEN && takes_everything(&model->peers[CLIENT]) &&
            takes_everything(&model->peers[BROKER]))
            break;
        end_connection(model);
    }
    for (unsigned round = 0; round < 2; round++)
        model_use_every_id(model);
    end_connection(model);
    return model->steps;
}
