/* SPDX-License-Identifier: Apache-2.0 */
/* What the model's peers do next: chosen, or, in the end, all that they owe. */
#include "model_internal.h"

/* ---- what happens next ---- */

void model_abort_somehow(struct model *model)
{
    static const enum reason reasons[] = {REASON_client_closed, REASON_client_lost, REASON_broker_closed,
        REASON_broker_unreachable, REASON_broker_timeout, REASON_keep_alive_timeout, REASON_server_shutdown,
        REASON_slow_reader, REASON_session_taken_over, REASON_idle_timeout};

    model_abort(model, reasons[below(model, sizeof(reasons) / sizeof(reasons[0]))]);
}

/* The first thing that this side owes, from a random one on; false: nothing. */
static bool answer_something(struct model *model, int side)
{
    unsigned first = below(model, 4);

    if (side == CLIENT && !model_client_ready(model))
        return false;
    for (unsigned i = 0; i < 4; i++)
        if (peer_answer(model, side, (first + i) % 4))
            return true;
    return false;
}

static void maybe_answer(struct model *model, int side)
{
    if (!model->slow[side] || below(model, 4) == 0)
        answer_something(model, side);
}

static void rare_act(struct model *model, int side)
{
    switch (below(model, 16)) {
    case 0:
        peer_disconnect(model, side);
        break;
    case 1:
        model_abort_somehow(model);
        break;
    case 2:
    case 3:
    case 4:
        peer_authenticate(model, side);
        break;
    default:
        if (model->mischief)
            model_misbehave(model, side);
        break;
    }
}

static void client_act(struct model *model)
{
    unsigned dice = below(model, 256);

    if (!model_client_ready(model))
        return;
    if (dice < 105)
        peer_publish(model, CLIENT);
    else if (dice < 220)
        maybe_answer(model, CLIENT);
    else if (dice < 234)
        client_subscribe(model, MQTT_SUBSCRIBE);
    else if (dice < 242)
        client_subscribe(model, MQTT_UNSUBSCRIBE);
    else if (dice < 246)
        model_feed(model, CLIENT, packet_plain(model, MQTT_PINGREQ));
    else if (dice < 254)
        peer_send_again(model, CLIENT);
    else
        rare_act(model, CLIENT);
}

static void broker_act(struct model *model)
{
    struct peer *broker = &model->peers[BROKER];
    unsigned dice = below(model, 256);

    if (dice < 95)
        peer_publish(model, BROKER);
    else if (dice < 218)
        maybe_answer(model, BROKER);
    else if (dice < 240 && !(model->slow[BROKER] && below(model, 4) != 0))
        broker_answer_request(model);
    else if (dice < 246 && broker->pings > 0) {
        broker->pings--;
        model_feed(model, BROKER, packet_plain(model, MQTT_PINGRESP));
    } else if (dice < 254)
        peer_send_again(model, BROKER);
    else
        rare_act(model, BROKER);
}

/* A peer reads what came for it, most of the time, and acts. */
void model_act(struct model *model)
{
    int side = below(model, 2) == 0 ? CLIENT : BROKER;

    if (!rarely(model, 4))
        peer_read(model, side);
    if (side == CLIENT && model->peers[CLIENT].connected)
        client_act(model);
    else if (side == BROKER && model->peers[BROKER].connected)
        broker_act(model);
    else
        peer_read(model, side);
}

/* ---- both sides answer all that they owe ---- */

static bool settle_side(struct model *model, int side)
{
    bool progress = false;

    if (model->reference.phase != PHASE_OPEN)
        return false;
    peer_read(model, side);
    if (side == CLIENT && !model_client_ready(model))
        return false;
    while (model->reference.phase == PHASE_OPEN &&
           ((side == BROKER && broker_answer_request(model)) || answer_something(model, side) ||
               (model->peers[side].unsent > 0 && peer_resume(model, side)))) {
        progress = true;
        if (side == CLIENT && !model_client_ready(model))
            break;
    }
    return progress;
}

void model_settle(struct model *model)
{
    bool progress = true;

    while (progress) {
        unsigned unsent = model->peers[CLIENT].unsent + model->peers[BROKER].unsent;

        progress = settle_side(model, BROKER);
        progress |= settle_side(model, CLIENT);
        /* what an earlier connection left may have been given up without a packet */
        progress |= unsent != model->peers[CLIENT].unsent + model->peers[BROKER].unsent;
    }
    if (model->reference.phase != PHASE_OPEN || model->reference.vague || model->mischief)
        return;
    judge_settled(model);
    if (!model_client_ready(model))
        model_fail(model, "the client is held although nothing is outstanding");
}

/* Every packet identifier of both sides once more, as many at a time as the other side takes. */
void model_use_every_id(struct model *model)
{
    for (unsigned id = 1; id <= model->ids; id++)
        for (int side = 0; side < SIDES; side++) {
            struct peer *peer = &model->peers[side];
            struct message message;

            if (peer->in_flight >= peer->receive_maximum || (side == CLIENT && !model_client_ready(model)))
                model_settle(model);
            if (model->reference.phase != PHASE_OPEN || peer->max_qos == 0 ||
                (side == CLIENT && !model_client_ready(model)))
                continue;
            peer_choose_message(model, side, &message);
            message.qos = (uint8_t)(1 + (id + model->numbers) % peer->max_qos);
            if (peer->outgoing[id].stage == STAGE_FREE)
                peer_publish_as(model, side, id, message);
        }
    model_settle(model);
}
