/* SPDX-License-Identifier: Apache-2.0 */
/* The session model: its policies and its memory, and what a session asks of its surroundings. */
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/ring.h"
#include "model_internal.h"

/* ---- what the session asks of its surroundings ---- */

static void on_audit(void *context, const struct audit_event *event)
{
    static const int counts[AUDIT_ACTION_COUNT] = {
        [AUDIT_publish_denied] = 1 + COUNT_PUBLISH_DENIED,
        [AUDIT_publish_allowed] = 1 + COUNT_PUBLISH_ALLOWED,
        [AUDIT_subscribe_denied] = 1 + COUNT_SUBSCRIBE_DENIED,
        [AUDIT_subscribe_granted] = 1 + COUNT_SUBSCRIBE_GRANTED,
        [AUDIT_delivery_filtered] = 1 + COUNT_FILTERED,
        [AUDIT_will_denied] = 1 + COUNT_WILL_DENIED,
        [AUDIT_protocol_error] = 1 + COUNT_PROTOCOL_ERROR,
        [AUDIT_subscription_withdrawn] = 1 + COUNT_WITHDRAWN,
    };
    static uint8_t encoded[AUDIT_EVENT_MAX];
    struct model *model = context;

    model->step.event_bytes += audit_event_encode(event, encoded) + RING_OVERHEAD + 7;
    if (counts[event->action] > 0)
        model->step.events[counts[event->action] - 1]++;
    model->accepted += event->action == AUDIT_connect_accepted;
    model->refused += event->action == AUDIT_connect_refused && event->disposition != AUDIT_MONITORED;
    model->disconnects += event->action == AUDIT_disconnect;
    if (model->variant->monitor && event->disposition != AUDIT_MONITORED &&
        event->reason != REASON_packet_too_large && event->reason != REASON_packet_id_in_use &&
        (event->action == AUDIT_publish_denied || event->action == AUDIT_subscribe_denied ||
            event->action == AUDIT_delivery_filtered || event->action == AUDIT_will_denied))
        model_fail(model, "monitor mode did not only report");
}

static uint64_t on_password_tag(void *context, const char *file, struct view name)
{
    const struct model *model = context;

    (void)file, (void)name;
    return model->tag;
}

static enum reason on_claim(
    void *context, struct view identity, struct view client_id, uint64_t limit, bool proven)
{
    struct model *model = context;

    if (limit != 0 || !proven)
        model_fail(model, "a claim with a limit, or before it is known by whom");
    text_set(&model->claimed_by, identity);
    text_set(&model->claimed, client_id);
    return model->claim_answer;
}

/* Its policies count no denials, and nobody is banned. */
static bool on_denied(void *context, const struct session_party *party, const struct policy_repeat *repeat)
{
    (void)party, (void)repeat;
    model_fail(context, "a denial is counted");
    return false;
}

static void on_ban(void *context, const struct session_ban *ban)
{
    (void)ban;
    model_fail(context, "a ban");
}

static uint64_t on_ban_left(void *context, const struct session_party *party, bool ordered)
{
    (void)context, (void)party, (void)ordered;
    return 0;
}

/* The model's policies have no checks. */
static void on_hold_rates(void *context, const struct policy *policy, const struct policy_subject *subject)
{
    (void)context, (void)policy, (void)subject;
    abort();
}

static struct session_rates on_count(
    void *context, enum session_counted counted, uint64_t checks, uint64_t bytes)
{
    (void)context, (void)counted, (void)checks, (void)bytes;
    abort();
}

/* ---- the model ---- */

static struct policy *compile(const struct variant *variant)
{
    static const char *const files[] = {"users"};
    static const struct policy_names names = {.password_files = files, .password_file_count = 1};
    char *text = rules_text(variant);
    const struct diag_source source = {.path = "model.yaml", .text = view_of_string(text)};
    struct diag_list *diag = diag_list_new();
    struct policy *policy = policy_compile(&source, &names, diag);

    if (policy == NULL)
        diag_print(diag, stderr);
    diag_list_free(diag);
    free(text);
    return policy;
}

struct model *model_new(const struct model_options *options)
{
    struct model *model = memory_calloc(1, sizeof(*model));

    model->options = *options;
    model->hooks = (struct session_hooks){.audit = on_audit,
        .password_tag = on_password_tag,
        .claim = on_claim,
        .denied = on_denied,
        .ban = on_ban,
        .ban_left = on_ban_left,
        .hold_rates = on_hold_rates,
        .count = on_count};
    model->ids_max = options->ids == 0 ? MODEL_IDS_MANY : options->ids;
    for (unsigned i = 0; i < VARIANTS; i++)
        if ((model->policies[i] = compile(&rules_variants[i])) == NULL) {
            model_free(model);
            return NULL;
        }
    for (int side = 0; side < SIDES; side++) {
        model->peers[side].outgoing = memory_calloc(model->ids_max + 1, sizeof(struct outgoing));
        model->peers[side].incoming = memory_calloc(model->ids_max + 1, sizeof(struct incoming));
        model->reference.flows[side].ids = memory_calloc(model->ids_max + 1, sizeof(struct flow_id));
    }
    return model;
}

void model_free(struct model *model)
{
    if (model == NULL)
        return;
    session_free(model->session);
    free(model->bound);
    for (unsigned i = 0; i < VARIANTS; i++)
        policy_release(model->policies[i]);
    for (int side = 0; side < SIDES; side++) {
        struct peer *peer = &model->peers[side];
        struct flow *flow = &model->reference.flows[side];

        free(peer->outgoing);
        free(peer->incoming);
        free(peer->owed[0].items);
        free(peer->owed[1].items);
        free(peer->to_release.items);
        free(peer->to_complete.items);
        buffer_release(&peer->inbox);
        free(flow->ids);
        free(flow->answers[0].items);
        free(flow->answers[1].items);
        buffer_release(&model->step.out[side]);
        buffer_release(&model->step.expected[side]);
    }
    buffer_release(&model->report);
    buffer_release(&model->held_connect);
    buffer_release(&model->packet);
    buffer_release(&model->corrupted);
    buffer_release(&model->properties);
    buffer_release(&model->will);
    buffer_release(&model->scratch);
    free(model);
}
