/* SPDX-License-Identifier: Apache-2.0 */
/* Owns explanations: who the client is, what the daemon's own functions decide, and what each rule has to do
 * with it. Called by 'mqward policy explain' and by tests. */
#include "policy/explain.h"

#include <assert.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "policy/explain_rules.h"
#include "policy/notation.h"

static const struct {
    const char *name, *text;
} considerations[POLICY_CONSIDERATIONS] = {
    [POLICY_RULE_DECIDED] = {"decided", "decided"},
    [POLICY_RULE_WOULD_DENY] = {"would_deny", "would deny, if it were enforced"},
    [POLICY_RULE_MATCHES] = {"matches", "match, but did not decide"},
    [POLICY_RULE_MISSED_ONE] = {"missed_one", "missed by one condition"},
    [POLICY_RULE_MISSED_MORE] = {"missed_more", "missed by several conditions"},
    [POLICY_RULE_OTHER_TOPIC] = {"other_topic", "the topic does not match"},
    [POLICY_RULE_OTHER_CLIENT] = {"other_client", "not about this client"},
    [POLICY_RULE_OTHER_ACT] = {"other_act", "about other acts"},
};

const char *policy_consideration_name(enum policy_consideration consideration)
{
    assert(consideration < POLICY_CONSIDERATIONS);
    return considerations[consideration].name;
}

const char *policy_consideration_text(enum policy_consideration consideration)
{
    assert(consideration < POLICY_CONSIDERATIONS);
    return considerations[consideration].text;
}

/* ---- who ---- */

static void describe_client(
    const struct policy *policy, const struct notated_client *client, struct policy_explanation *explanation)
{
    struct arena *arena = explanation->arena;
    const struct identity_row *row = client->row;
    const char **given = arena_calloc(arena, client->attribute_count + 1, sizeof(*given));
    const char **missing = arena_calloc(arena, row->attribute_count + 1, sizeof(*missing));
    for (size_t i = 0; i < client->attribute_count; i++)
        given[i] = arena_format(arena, "%.*s=%.*s", VIEW_ARGS(client->attributes[i].name),
            VIEW_ARGS(client->attributes[i].value));
    for (size_t i = 0; i < row->attribute_count; i++) {
        const char *name = policy->names.names[row->attributes[i].slot];
        bool found = false;
        for (size_t k = 0; k < client->attribute_count && !found; k++)
            found = view_equal_string(client->attributes[k].name, name);
        if (!found)
            missing[explanation->missing_count++] = name;
    }
    explanation->source = policy_source_name(row->source);
    explanation->id = arena_copy_string(arena, client->id);
    explanation->client_id = arena_copy_string(arena, client->credentials.client_id);
    explanation->dialect = dialect_name(client->dialect);
    explanation->attributes = given;
    explanation->attribute_count = client->attribute_count;
    explanation->missing = missing;
}

static void describe_groups(
    const struct policy *policy, const struct policy_subject *subject, struct policy_explanation *explanation)
{
    const char **names = arena_calloc(explanation->arena, policy->group_count + 1, sizeof(*names));
    for (size_t bit = 1; bit <= policy->group_count; bit++) {
        if ((subject->groups[bit / 64] >> bit % 64 & 1) != 0)
            names[explanation->group_count++] = policy->groups[bit - 1].name;
    }
    explanation->groups = names;
}

size_t policy_explain_attributes(
    const struct policy *policy, struct view source, struct policy_attribute_info *out, size_t max)
{
    const struct identity_row *row = NULL;
    for (size_t i = 0; i < policy->identity_count && row == NULL; i++) {
        if (view_equal_string(source, policy_source_name(policy->identities[i].source)))
            row = &policy->identities[i];
    }
    for (size_t i = 0; row != NULL && i < row->attribute_count && i < max; i++)
        out[i] = (struct policy_attribute_info){
            policy->names.names[row->attributes[i].slot], row->attributes[i].value_name};
    return row == NULL ? 0 : row->attribute_count;
}

/* ---- the rules ---- */

static bool same_outcome(const struct policy_outcome *a, const struct policy_outcome *b, bool monitored)
{
    return a->allowed == b->allowed && a->reason == b->reason && a->rule == b->rule &&
           a->would_deny == b->would_deny && a->nearest == b->nearest && a->checks == b->checks &&
           a->reported_by == b->reported_by &&
           (monitored || (a->filtered == b->filtered && a->qos == b->qos));
}

static bool ask_rules(const struct policy *policy, const struct policy_subject *subject,
    const struct notated_client *client, const struct notated_act *act, struct arena *arena,
    struct consideration *found, struct policy_outcome *outcome)
{
    if (act->act == POLICY_ACT_SUBSCRIBE) {
        const struct policy_subscribe_request request = notation_subscribe_request(client->dialect, act);
        return explain_subscribe(policy, subject, &request, arena, found, outcome);
    }
    const struct policy_request request = notation_request(client->dialect, act);
    bool asked = explain_request(policy, subject, &request, arena, found, outcome);
    outcome->act = act->act;
    notation_ask_checks(policy, subject, act, outcome);
    return asked;
}

static int compare_considered(const void *a, const void *b)
{
    const struct policy_considered_rule *x = a, *y = b;
    if (x->consideration != y->consideration)
        return x->consideration < y->consideration ? -1 : 1;
    return (x->info > y->info) - (x->info < y->info);
}

/* Who decided, the engine says. */
static void list_rules(
    const struct policy *policy, const struct consideration *found, struct policy_explanation *explanation)
{
    const struct policy_outcome *outcome = &explanation->outcome;
    struct policy_considered_rule *rules =
        arena_calloc(explanation->arena, policy->rule_count, sizeof(*rules));
    for (size_t i = 0; i < policy->rule_count; i++) {
        const struct policy_rule *rule = &policy->rules[i];
        rules[i] = (struct policy_considered_rule){
            &rule->info, rule->deny, rule->monitor, found[i].kind, found[i].why};
        if (&rule->info == outcome->rule || &rule->info == outcome->allowed_by)
            rules[i].consideration = POLICY_RULE_DECIDED;
        else if (&rule->info == outcome->would_deny)
            rules[i].consideration = POLICY_RULE_WOULD_DENY;
    }
    if (policy->rule_count > 0)
        qsort(rules, policy->rule_count, sizeof(*rules), compare_considered);
    explanation->rules = rules;
    explanation->rule_count = policy->rule_count;
}

static void list_checks(const struct policy *policy, const struct policy_subject *subject,
    const struct notated_act *act, struct policy_explanation *explanation)
{
    static const char *const braces[POLICY_CHECK_KINDS][2] = {[POLICY_CHECK_RATE] = {"rate: ", ""},
        [POLICY_CHECK_SIGNATURE] = {"signature: {", "}"},
        [POLICY_CHECK_YARA] = {"yara: {", "}"}};
    struct policy_considered_check *checks =
        arena_calloc(explanation->arena, policy->check_count, sizeof(*checks));
    uint64_t asked = notation_checks_to_ask(policy, subject, act, explanation->outcome.checks);
    for (size_t i = 0; i < policy->check_count; i++) {
        const struct policy_check *check = &policy->checks[i];
        if ((explanation->outcome.checks >> i & 1) == 0)
            continue;
        const char *const *around = braces[check->info.kind];
        checks[explanation->check_count++] = (struct policy_considered_check){
            .info = &check->info.info,
            .monitor = check->match.monitor,
            .what = arena_format(explanation->arena, "%s%s%s", around[0], check->info.text, around[1]),
            .reason = (asked >> i & 1) == 0 ? REASON_none : notation_ask_check(policy, subject, check, act),
            .reports = notation_only_reports(&check->info),
        };
    }
    explanation->checks = checks;
}

static void explain_act(const struct policy *policy, const struct policy_subject *subject,
    const struct notated_client *client, const struct notated_act *act,
    struct policy_explanation *explanation)
{
    struct consideration *found = arena_calloc(explanation->arena, policy->rule_count, sizeof(*found));
    notation_decide(policy, subject, client->dialect, act, &explanation->outcome);
    explanation->own = explanation->outcome;
    if (act->act == POLICY_ACT_CONNECT)
        return;
    if (ask_rules(policy, subject, client, act, explanation->arena, found, &explanation->own))
        list_rules(policy, found, explanation);
    list_checks(policy, subject, act, explanation);
    explanation->agrees = same_outcome(&explanation->outcome, &explanation->own, explanation->monitored);
}

/* ---- the whole ---- */

/* The words of the line from one to another, as they are written. */
static const char *words_text(struct arena *arena, const struct notation *notation, size_t from, size_t to)
{
    if (from == to)
        return "";
    const struct view *first = &notation->words[from].raw, *last = &notation->words[to - 1].raw;
    return arena_copy_string(arena, view_of(first->data, (size_t)(last->data + last->length - first->data)));
}

static bool read_line(struct notation *notation, const struct keyword_string *line,
    struct notated_client *client, struct notated_act *act, struct policy_explanation *explanation)
{
    if (!notation_split(notation, line) || !notation_read_client(notation, client))
        return false;
    size_t client_words = notation->next;
    if (!notation_read_act(notation, ACT_OPEN, act))
        return false;
    explanation->as = words_text(explanation->arena, notation, 0, client_words);
    explanation->act = words_text(explanation->arena, notation, client_words, notation->count);
    return true;
}

static const char *verdict_text(struct arena *arena, const struct policy_outcome *outcome)
{
    struct buffer text = {0};
    policy_outcome_print(outcome, &text);
    const char *result = arena_copy_string(arena, buffer_view(&text));
    buffer_release(&text);
    return result;
}

struct policy_explanation *policy_explain(
    const struct policy *policy, const struct diag_source *source, struct diag_list *diag)
{
    assert(policy->magic == POLICY_MAGIC);
    struct arena *arena = arena_new();
    struct policy_explanation *explanation = arena_alloc(arena, sizeof(*explanation));
    const struct keyword_string line = {.text = source->text,
        .place = {.source = source, .line = 1, .column = 1, .length = (uint32_t)source->text.length}};
    struct notation notation = {.policy = policy, .arena = arena, .diag = diag};
    struct notated_client client;
    struct notated_act act;
    struct policy_subject *subject;

    *explanation = (struct policy_explanation){
        .arena = arena, .agrees = true, .monitored = policy->settings.mode == POLICY_MONITOR};
    if (!read_line(&notation, &line, &client, &act, explanation)) {
        arena_free(arena);
        return NULL;
    }
    describe_client(policy, &client, explanation);
    notation_identify(policy, &client, &subject, &explanation->outcome);
    explanation->own = explanation->outcome;
    if (subject != NULL) {
        describe_groups(policy, subject, explanation);
        explain_act(policy, subject, &client, &act, explanation);
    }
    explanation->verdict = verdict_text(arena, &explanation->outcome);
    policy_subject_free(subject);
    return explanation;
}

void policy_explanation_free(struct policy_explanation *explanation)
{
    if (explanation != NULL)
        arena_free(explanation->arena);
}

struct policy_outcome policy_explain_request(
    const struct policy *policy, const struct policy_subject *subject, const struct policy_request *request)
{
    struct policy_outcome outcome;
    explain_request(policy, subject, request, NULL, NULL, &outcome);
    return outcome;
}

struct policy_outcome policy_explain_subscribe(const struct policy *policy,
    const struct policy_subject *subject, const struct policy_subscribe_request *request)
{
    struct policy_outcome outcome;
    explain_subscribe(policy, subject, request, NULL, NULL, &outcome);
    return outcome;
}
