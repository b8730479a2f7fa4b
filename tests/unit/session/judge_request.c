/* SPDX-License-Identifier: Apache-2.0 */
/* The reference for SUBSCRIBE and UNSUBSCRIBE: each filter by itself, and each has its answer in its place.
 */
#include "model_internal.h"

#define NO_SUBSCRIPTION_EXISTED 0x11

/* What is made of one filter. */
enum fate { FATE_FORWARDED, FATE_ANSWERED, FATE_EITHER };

/* ---- what becomes of a filter ---- */

static bool awaited(const struct reference *reference, struct view filter)
{
    for (unsigned i = 0; i < reference->pending_count; i++)
        for (unsigned k = 0; reference->pending[i].type == MQTT_SUBACK && k < reference->pending[i].count;
             k++)
            if (!reference->pending[i].filters[k].own &&
                view_equal(text_view(&reference->pending[i].filters[k].text), filter))
                return true;
    return false;
}

/* granted: filters of this packet that go on and were perhaps not held before. */
static enum fate judge_limit(const struct model *model, const struct set *granted, struct view filter)
{
    const struct reference *reference = &model->reference;
    unsigned limit = model->variant->subscriptions, most = reference->maybe.count + granted->count;

    if (set_has(&reference->sure, filter) || set_has(granted, filter) || most < limit)
        return FATE_FORWARDED;
    return !set_has(&reference->maybe, filter) && reference->sure.count >= limit ? FATE_ANSWERED
                                                                                 : FATE_EITHER;
}

static enum fate judge_subscribe(
    const struct model *model, const struct set *granted, struct view filter, struct judgement *judgement)
{
    enum fate fate;

    *judgement = rules_filter(model->variant, text_view(&model->reference.known_id), filter);
    if (model->variant->monitor)
        return FATE_FORWARDED;
    if (judgement->denied)
        return FATE_ANSWERED;
    fate = judge_limit(model, granted, filter);
    if (fate == FATE_ANSWERED)
        judgement->code = 0x97;
    return judgement->unknown || model->reference.vague_filters ? FATE_EITHER : fate;
}

static enum fate judge_unsubscribe(const struct model *model, struct view filter)
{
    const struct reference *reference = &model->reference;

    if (reference->vague_filters || set_has(&reference->unsure, filter))
        return FATE_EITHER;
    if (reference->resumed || !set_has(&reference->refused, filter) || set_has(&reference->sure, filter))
        return FATE_FORWARDED; /* a session that the broker kept may hold anything */
    return set_has(&reference->maybe, filter) ? FATE_EITHER : FATE_ANSWERED;
}

/* ---- the packet ---- */

/* The filters that came out to the broker, one after the other. */
struct sent_on {
    bool any;
    struct mqtt_packet packet;
    size_t offset;
    struct mqtt_filter next;
    bool more;
};

static void look_at_broker(struct model *model, struct sent_on *sent_on)
{
    struct mqtt_error error;
    struct step *step = &model->step;

    *sent_on = (struct sent_on){.any = buffer_length(&step->out[BROKER]) > 0};
    if (!sent_on->any)
        return;
    if (!packet_read(
            buffer_view(&step->out[BROKER]), CLIENT, model->reference.version, &sent_on->packet, &error) ||
        sent_on->packet.type != step->packet.type)
        model_fail(model, "something else than the %s went on", mqtt_type_name(step->packet.type));
    sent_on->more = mqtt_filter_next(&sent_on->packet.u.subscribe, &sent_on->offset, &sent_on->next);
}

static void sent_on_next(struct sent_on *sent_on)
{
    sent_on->more = mqtt_filter_next(&sent_on->packet.u.subscribe, &sent_on->offset, &sent_on->next);
}

/* The options that a filter must go on with. */
static uint8_t options_due(const struct model *model, const struct mqtt_filter *filter,
    const struct judgement *judgement, uint8_t got)
{
    uint8_t qos = filter->options & 3;

    if (judgement->unknown && !model->variant->monitor)
        return (uint8_t)((filter->options & ~3) | ((got & 3) < qos ? got & 3 : qos));
    if (model->variant->monitor || judgement->watched || qos <= judgement->max_qos)
        return filter->options;
    return (uint8_t)((filter->options & ~3) | judgement->max_qos);
}

/* The code that the client gets for a filter that is answered here. */
static uint8_t own_code(const struct model *model, uint8_t code)
{
    if (model->step.packet.type == MQTT_UNSUBSCRIBE)
        return NO_SUBSCRIPTION_EXISTED;
    return model->reference.version == MQTT_V5 ? code : model->reference.version == MQTT_V311 ? 0x80 : 0;
}

/* What the broker says of it from now on is about a subscription that is given back. */
void judge_make_past(struct reference *reference, struct view text)
{
    for (unsigned i = 0; i < reference->pending_count; i++)
        for (unsigned k = 0; k < reference->pending[i].count; k++)
            if (view_equal(text_view(&reference->pending[i].filters[k].text), text))
                reference->pending[i].filters[k].past = true;
}

static void remember_filter(struct model *model, const struct pending_filter *filter)
{
    struct reference *reference = &model->reference;
    struct view text = text_view(&filter->text);
    bool fits = true;

    if (model->step.packet.type == MQTT_SUBSCRIBE) {
        set_remove(&reference->unsure, text);
        if (filter->own)
            fits = set_add(&reference->refused, text);
        else {
            set_remove(&reference->refused, text);
            set_remove(&reference->parted, text);
            fits = set_add(&reference->maybe, text);
        }
    } else if (filter->own) {
        /* Whoever asks once more gets the same answer, from either. */
        set_remove(&reference->refused, text);
        fits = set_add(&reference->unsure, text);
    } else {
        set_remove(&reference->sure, text);
        fits = set_add(&reference->parted, text);
        judge_make_past(reference, text);
    }
    reference->vague_filters |= !fits;
}

/* One filter of the packet: is it where it belongs? */
static void take_filter(struct model *model, const struct mqtt_filter *filter, struct sent_on *sent_on,
    struct set *granted, struct pending *pending)
{
    struct pending_filter *slot = &pending->filters[pending->count++];
    struct judgement judgement = {0};
    bool subscribe = model->step.packet.type == MQTT_SUBSCRIBE, went_on;
    enum fate fate = subscribe ? judge_subscribe(model, granted, filter->filter, &judgement)
                               : judge_unsubscribe(model, filter->filter);

    if (!text_set(&slot->text, filter->filter))
        model->reference.vague_filters = true;
    went_on = sent_on->more && view_equal(sent_on->next.filter, filter->filter);
    if (fate == FATE_FORWARDED && !went_on)
        model_fail(model, "the filter %.*s should have gone on", VIEW_ARGS(filter->filter));
    if (fate == FATE_ANSWERED)
        went_on = false;
    slot->own = !went_on;
    slot->either = fate == FATE_EITHER;
    slot->any_code = judgement.unknown && slot->own && model->reference.version == MQTT_V5;
    slot->code = own_code(model, judgement.code != 0 ? judgement.code : 0x97);
    if (subscribe && (slot->own || judgement.watched || (judgement.denied && model->variant->monitor)))
        judge_event(model, COUNT_SUBSCRIBE_DENIED, 1);
    else if (judgement.unknown)
        model->step.events_max[COUNT_SUBSCRIBE_DENIED]++; /* it may be watched */
    if (!subscribe)
        remember_filter(model, slot); /* named twice, it is asked for once more */
    if (!went_on)
        return;
    if (subscribe && sent_on->next.options != options_due(model, filter, &judgement, sent_on->next.options))
        model_fail(model, "the filter %.*s went on with the options 0x%02x", VIEW_ARGS(filter->filter),
            sent_on->next.options);
    pending->forwarded++;
    if (!set_has(&model->reference.maybe, filter->filter))
        set_add(granted, filter->filter);
    sent_on_next(sent_on);
}

/* In monitor mode the limit on subscriptions is only reported: perhaps. */
static void allow_reports(struct model *model, const struct pending *pending)
{
    struct step *step = &model->step;

    if (model->reference.vague_filters)
        step->events_min[COUNT_SUBSCRIBE_DENIED] = 0;
    if (model->variant->monitor || model->reference.vague_filters)
        step->events_max[COUNT_SUBSCRIBE_DENIED] = pending->count;
    if (model->variant->audit_all) {
        step->events_min[COUNT_SUBSCRIBE_GRANTED] = 0;
        step->events_max[COUNT_SUBSCRIBE_GRANTED] = pending->forwarded;
    }
}

/* Named twice, and one of the two may have gone on: which one nobody can tell. */
static bool is_ambiguous(const struct pending *pending, unsigned index)
{
    const struct pending_filter *filter = &pending->filters[index];

    for (unsigned i = 0; i < pending->count; i++)
        if (i != index && (filter->either || pending->filters[i].either) &&
            view_equal(text_view(&filter->text), text_view(&pending->filters[i].text)))
            return true;
    return false;
}

/* Which code a filter gets that the model does not know, only the answer itself can say; and where
 * identifiers were mixed up, all of them. */
static void take_unknown_codes(const struct model *model, const struct pending *pending, uint8_t *codes)
{
    const struct buffer *out = &model->step.out[CLIENT];
    const uint8_t *last = buffer_length(out) < pending->count ? NULL : out->data + out->end - pending->count;

    for (unsigned i = 0; i < pending->count && last != NULL; i++)
        if (model->reference.vague_filters || pending->filters[i].any_code || is_ambiguous(pending, i))
            codes[i] = last[i];
}

/* What is rewritten is encoded anew: identifier, properties and order are those of the client's packet. */
static void expect_rest(struct model *model, const struct pending *pending, const struct sent_on *sent_on)
{
    struct step *step = &model->step;
    const struct mqtt_subscribe *sent = &step->packet.u.subscribe, *got = &sent_on->packet.u.subscribe;
    struct mqtt_packet answer = {.type = (enum mqtt_type)pending->type, .version = model->reference.version};
    uint8_t codes[FILTERS_MAX];

    if (sent_on->more)
        model_fail(model, "the filter %.*s should not have gone on", VIEW_ARGS(sent_on->next.filter));
    if (sent_on->any) {
        if (got->packet_id != sent->packet_id || got->count != pending->forwarded ||
            !view_equal(got->properties.raw, sent->properties.raw))
            model_fail(model, "the %s was changed", mqtt_type_name(step->packet.type));
        buffer_append(&step->expected[BROKER], sent_on->packet.frame.bytes);
        return;
    }
    for (unsigned i = 0; i < pending->count; i++)
        codes[i] = pending->filters[i].code;
    take_unknown_codes(model, pending, codes);
    answer.u.suback.packet_id = pending->packet_id;
    answer.u.suback.codes = view_of(codes, pending->count);
    judge_to_client(model, &answer);
}

void judge_await(struct model *model, const struct pending *pending)
{
    struct reference *reference = &model->reference;

    for (unsigned i = 0; i < reference->pending_count; i++)
        if (reference->pending[i].packet_id == pending->packet_id)
            reference->vague_filters = true; /* two at a time with one identifier */
    if (pending->forwarded == 0)
        return;
    if (reference->pending_count < REQUESTS_MAX)
        reference->pending[reference->pending_count++] = *pending;
    else
        reference->vague_filters = true;
}

/* A filter that is refused ends the session, where the policy says so, and nothing of the packet goes on.
 * Only the limit can be in doubt: then the session's word is taken. */
static bool ends_session(struct model *model, const struct mqtt_subscribe *subscribe)
{
    struct step *step = &model->step;
    struct set granted;
    struct mqtt_filter filter;
    uint8_t code = 0;
    bool doubt = false;
    unsigned denied = 0;

    if (!model->variant->disconnect_subscriber || step->packet.type != MQTT_SUBSCRIBE)
        return false;
    granted.count = 0;
    for (size_t offset = 0; mqtt_filter_next(subscribe, &offset, &filter);) {
        struct judgement judgement;
        enum fate fate = judge_subscribe(model, &granted, filter.filter, &judgement);

        doubt |= fate == FATE_EITHER;
        denied += fate == FATE_ANSWERED;
        code = fate == FATE_ANSWERED ? judgement.code : code;
        if (fate == FATE_FORWARDED && !set_has(&model->reference.maybe, filter.filter))
            set_add(&granted, filter.filter);
    }
    if (denied == 0 && !(doubt && step->closes))
        return false;
    step->events_min[COUNT_SUBSCRIBE_DENIED] = denied;
    step->events_max[COUNT_SUBSCRIBE_DENIED] = doubt ? (unsigned)subscribe->count : denied;
    judge_close(model, doubt ? (judge_said(model, 0x97) ? 0x97 : 0x87) : code);
    return true;
}

void judge_request(struct model *model)
{
    struct step *step = &model->step;
    const struct mqtt_subscribe *subscribe = &step->packet.u.subscribe;
    struct pending pending = {.packet_id = subscribe->packet_id};
    struct set granted;
    struct sent_on sent_on;
    struct mqtt_filter filter;

    if (subscribe->count > model->settings.max_filters) {
        judge_violation(model, 0x97);
        return;
    }
    if (ends_session(model, subscribe))
        return;
    granted.count = 0;
    pending.type = step->packet.type == MQTT_SUBSCRIBE ? MQTT_SUBACK : MQTT_UNSUBACK;
    look_at_broker(model, &sent_on);
    for (size_t offset = 0; mqtt_filter_next(subscribe, &offset, &filter);)
        take_filter(model, &filter, &sent_on, &granted, &pending);
    for (unsigned i = 0; i < pending.count && pending.type == MQTT_SUBACK; i++)
        remember_filter(model, &pending.filters[i]);
    expect_rest(model, &pending, &sent_on);
    allow_reports(model, &pending);
    judge_await(model, &pending);
}

/* ---- the broker's answer ---- */

static void settle_filter(struct model *model, const struct pending *pending, unsigned index, uint8_t code)
{
    struct reference *reference = &model->reference;
    struct view text = text_view(&pending->filters[index].text);

    if (pending->type == MQTT_UNSUBACK) {
        if (code < 0x80 && set_has(&reference->parted, text))
            set_remove(&reference->maybe, text);
    } else if (code >= 0x80) {
        if (!set_has(&reference->sure, text) && !awaited(reference, text))
            set_remove(&reference->maybe, text);
    } else if (!set_has(&reference->parted, text) && !pending->filters[index].past)
        reference->vague_filters |= !set_add(&reference->sure, text) || !set_add(&reference->maybe, text);
}

static bool take_pending(struct model *model, struct pending *pending)
{
    struct reference *reference = &model->reference;

    for (unsigned i = 0; i < reference->pending_count; i++) {
        *pending = reference->pending[i];
        if (pending->type != model->step.packet.type ||
            pending->packet_id != model->step.packet.u.suback.packet_id)
            continue;
        reference->pending_count--;
        memmove(&reference->pending[i], &reference->pending[i + 1],
            (reference->pending_count - i) * sizeof(reference->pending[i]));
        return true;
    }
    return false;
}

/* All codes, each in its place. */
static void expect_answer(struct model *model, struct pending *pending)
{
    struct step *step = &model->step;
    struct mqtt_packet packet = step->packet;
    struct view codes = step->packet.u.suback.codes;
    uint8_t merged[FILTERS_MAX];
    size_t next = 0;

    for (unsigned i = 0; i < pending->count; i++) {
        const struct pending_filter *slot = &pending->filters[i];

        merged[i] = slot->own || codes.length == 0 ? slot->code : codes.data[next++];
        if (!slot->own && slot->withdrawn != 0 && merged[i] < 0x80)
            merged[i] = slot->withdrawn;
    }
    take_unknown_codes(model, pending, merged);
    packet.u.suback.codes = view_of(merged, pending->count);
    judge_to_client(model, &packet);
}

/* Some brokers answer a filter that a SUBSCRIBE names twice only once. That is let through where nothing has
 * to be merged; which code is whose nobody can say. */
static bool answers_once(const struct pending *pending, size_t codes)
{
    size_t different = pending->count;

    for (unsigned i = 0; i < pending->count; i++)
        for (unsigned k = i + 1; k < pending->count; k++)
            if (view_equal(text_view(&pending->filters[i].text), text_view(&pending->filters[k].text))) {
                different--;
                break;
            }
    return pending->type == MQTT_SUBACK && pending->forwarded == pending->count && codes == different;
}

static void settle_once(struct model *model, const struct pending *pending, struct view codes)
{
    unsigned granted = 0;

    for (size_t i = 0; i < codes.length; i++)
        granted += codes.data[i] < 0x80;
    if (granted > 0 && granted < codes.length)
        model->reference.vague_filters = true; /* some are held, who knows which */
    for (unsigned i = 0; i < pending->count; i++)
        settle_filter(model, pending, i, granted > 0 ? 0 : 0x80);
}

static bool any_withdrawn(const struct pending *pending)
{
    for (unsigned i = 0; i < pending->count; i++)
        if (pending->filters[i].withdrawn != 0)
            return true;
    return false;
}

void judge_request_answer(struct model *model)
{
    struct step *step = &model->step;
    struct pending pending;
    size_t codes = step->packet.u.suback.codes.length;
    bool has_codes = step->packet.type == MQTT_SUBACK || model->reference.version == MQTT_V5;

    if (!take_pending(model, &pending)) {
        /* An UNSUBACK without codes is like any acknowledgement that nobody waits for. */
        if (has_codes)
            judge_violation(model, 0);
        else
            judge_forward(model);
        step->optional = !has_codes;
        return;
    }
    if (pending.proxys)
        return;
    if (has_codes && codes != pending.forwarded) {
        if (answers_once(&pending, codes)) {
            settle_once(model, &pending, step->packet.u.suback.codes);
            judge_forward(model);
        } else
            judge_violation(model, 0);
        return;
    }
    for (unsigned i = 0, next = 0; i < pending.count; i++)
        if (!pending.filters[i].own)
            settle_filter(model, &pending, i, has_codes ? step->packet.u.suback.codes.data[next++] : 0);
    if ((pending.forwarded == pending.count && !any_withdrawn(&pending)) || !has_codes)
        judge_forward(model);
    else
        expect_answer(model, &pending);
}
