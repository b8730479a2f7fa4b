/* SPDX-License-Identifier: Apache-2.0 */
/* The reference for another policy in the life of a connection: who the client is now, whether its will may
 * stay, and which filters the proxy gives back in its stead. */
#include "model_internal.h"

static void evict(struct model *model, uint8_t code)
{
    judge_withdrawal(model);
    judge_close(model, code == 0x85 ? 0x87 : code); /* 0x85 is not one of DISCONNECT */
}

/* What the new policy holds against the client; 0: nothing. */
static uint8_t identify_again(struct model *model)
{
    struct reference *reference = &model->reference;
    struct view client_id = text_view(&reference->client_id);
    bool safe = rules_id_safe(client_id); /* without one, what rests on it is missing */
    bool asks = model->variant->passwords && reference->has_password;
    bool proven = !asks || (reference->password_tag != 0 && reference->password_tag == model->tag);
    enum identity identity = asks ? IDENTITY_USER : IDENTITY_ANYONE;
    bool other = reference->identity != identity;

    reference->identity = safe && !proven ? IDENTITY_NOBODY : identity;
    text_set(&reference->known_id, safe && proven ? client_id : view_of("", 0));
    if (!safe)
        return 0x87;                    /* identity_unsafe, identity_missing */
    return proven && !other ? 0 : 0x87; /* credential_changed, identity_changed */
}

/* ---- filters ---- */

/* The session holds it: granted, or its SUBSCRIBE is under way. */
static bool holds(const struct model *model, struct view filter)
{
    const struct reference *reference = &model->reference;

    for (unsigned i = 0; i < reference->pending_count; i++)
        for (unsigned k = 0; reference->pending[i].type == MQTT_SUBACK && k < reference->pending[i].count;
             k++) {
            const struct pending_filter *slot = &reference->pending[i].filters[k];

            if (!slot->own && !slot->past && view_equal(text_view(&slot->text), filter))
                return true;
        }
    return set_has(&reference->sure, filter);
}

/* A SUBSCRIBE for it that is under way has no success any more; 3.1 has no word for that. */
static void given_back(struct model *model, struct view filter, uint8_t code)
{
    struct reference *reference = &model->reference;

    for (unsigned i = 0; i < reference->pending_count; i++)
        for (unsigned k = 0; reference->pending[i].type == MQTT_SUBACK && k < reference->pending[i].count;
             k++) {
            struct pending_filter *slot = &reference->pending[i].filters[k];

            if (!slot->own && !slot->past && view_equal(text_view(&slot->text), filter))
                slot->withdrawn = reference->version == MQTT_V5     ? code
                                  : reference->version == MQTT_V311 ? 0x80
                                                                    : 0;
        }
    judge_make_past(reference, filter);
    set_remove(&reference->sure, filter);
    set_remove(&reference->maybe, filter);
    set_remove(&reference->unsure, filter);
    reference->vague_filters |= !set_add(&reference->refused, filter);
}

/* What each filter that the session holds has to expect. */
static void judge_filters(struct model *model, struct set *due, struct set *perhaps)
{
    const struct reference *reference = &model->reference;
    struct step *step = &model->step;

    due->count = perhaps->count = 0;
    for (unsigned i = 0; i < reference->maybe.count; i++) {
        struct view filter = text_view(&reference->maybe.items[i]);
        struct judgement judgement;

        if (!holds(model, filter))
            continue;
        judgement = rules_filter(model->variant, text_view(&reference->known_id), filter);
        if (judgement.unknown) {
            step->events_max[COUNT_WITHDRAWN]++;
            set_add(perhaps, filter);
        } else if (judgement.denied || judgement.watched)
            judge_event(model, COUNT_WITHDRAWN, 1);
        if (judgement.denied && !model->variant->monitor)
            set_add(due, filter);
    }
}

static void check_packet_id(struct model *model, uint16_t packet_id)
{
    const struct reference *reference = &model->reference;
    bool used = packet_id <= model->ids && !reference->vague &&
                reference->flows[CLIENT].ids[packet_id].owner != OWNER_NOBODY;

    for (unsigned i = 0; i < reference->pending_count; i++)
        used |= reference->pending[i].packet_id == packet_id;
    if (used)
        model_fail(model, "the proxy's UNSUBSCRIBE has the packet identifier %u, which is in use", packet_id);
}

static void take_filter(struct model *model, struct set *due, struct set *perhaps, struct view filter)
{
    uint8_t code = rules_filter(model->variant, text_view(&model->reference.known_id), filter).code;

    if (!set_has(due, filter) && !set_has(perhaps, filter) && !model->reference.vague_filters)
        model_fail(model, "the filter %.*s was given back", VIEW_ARGS(filter));
    set_remove(due, filter);
    set_remove(perhaps, filter);
    given_back(model, filter, code != 0 ? code : 0x87);
}

/* Each filter once, in as many packets as are needed. */
static void judge_given_up(struct model *model)
{
    struct set due, perhaps;
    struct step *step = &model->step;
    struct view out = buffer_view(&step->out[BROKER]);

    judge_filters(model, &due, &perhaps);
    while (out.length > 0) {
        struct pending pending = {.type = MQTT_UNSUBACK, .proxys = true};
        struct mqtt_packet packet;
        struct mqtt_error error;
        struct mqtt_filter filter;

        if (!packet_read(out, CLIENT, model->reference.version, &packet, &error) ||
            packet.type != MQTT_UNSUBSCRIBE)
            model_fail(model, "another policy makes the proxy send something else than UNSUBSCRIBE");
        check_packet_id(model, packet.u.subscribe.packet_id);
        for (size_t offset = 0; mqtt_filter_next(&packet.u.subscribe, &offset, &filter);)
            take_filter(model, &due, &perhaps, filter.filter);
        pending.packet_id = packet.u.subscribe.packet_id;
        pending.forwarded = (unsigned)packet.u.subscribe.count;
        judge_await(model, &pending);
        buffer_append(&step->expected[BROKER], packet.frame.bytes);
        out = view_skip(out, packet.frame.bytes.length);
    }
    if (model->reference.vague_filters) {
        step->events_min[COUNT_WITHDRAWN] = 0;
        step->events_max[COUNT_WITHDRAWN] = UINT32_MAX;
    } else if (due.count > 0)
        model_fail(model, "the filter %.*s is not given back", VIEW_ARGS(text_view(&due.items[0])));
}

/* ---- the whole ---- */

void judge_rebind(struct model *model, const struct variant *before)
{
    bool enforced = !model->variant->monitor;
    uint8_t code;

    if (model->reference.phase == PHASE_NEW) {
        judge_take_limits(model);
        return;
    }
    code = identify_again(model);
    if (code == 0 && before->monitor && enforced) { /* the place that monitor mode gave it all the same */
        code = reason_info(model->claim_answer)->v5;
        if (!view_equal(text_view(&model->claimed_by), judge_identity(model)))
            model_fail(model, "a claim for somebody else");
    }
    if (enforced && (code != 0 || !judge_will(model, &code))) {
        evict(model, code);
        return;
    }
    if (!enforced)
        judge_will(model, &code);
    judge_given_up(model);
}
