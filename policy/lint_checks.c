/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the warnings about checks: about nobody, about what nobody publishes, bursts and scans that are too
 * small, and scans that refuse more than they find. Called by lint.c. */
#include <stdlib.h>

#include "base/memory.h"
#include "policy/lint.h"
#include "policy/topic_algebra.h"
#include "policy/yara.h"

/* What an enforced rule lets publish, or receive. */
struct reach {
    struct view topics; /* as a filter; data NULL: not known */
    unsigned verbs;
    uint64_t max_size;
};

struct reaches {
    struct reach *items;
    size_t count;
};

static void find_reaches(struct compiler *compiler, struct reaches *reaches)
{
    const struct policy *policy = compiler->policy;
    size_t capacity = 0;
    for (size_t i = 0; i < policy->rule_count; i++)
        capacity += policy->rules[i].topic_count;
    reaches->items = memory_calloc(capacity + 1, sizeof(*reaches->items));
    for (size_t i = 0; i < policy->rule_count; i++) {
        const struct policy_rule *rule = &policy->rules[i];
        if (rule->deny || rule->monitor || (rule->verbs & (VERB_PUBLISH | VERB_RECEIVE)) == 0)
            continue;
        for (size_t k = 0; k < rule->topic_count; k++)
            reaches->items[reaches->count++] =
                (struct reach){lint_loosen(compiler, &rule->topics[k]), rule->verbs, rule->max_size};
    }
}

/* Does any rule allow one of the verbs on topics of the pattern? Then *largest is at least the largest
 * payload that may come, in bytes. */
static bool is_reached(struct compiler *compiler, const struct reaches *reaches, unsigned verbs,
    const struct pattern *pattern, uint64_t *largest)
{
    struct view topics = lint_loosen(compiler, pattern);
    uint64_t packet = compiler->policy->settings.limit_packet;
    bool reached = false;
    for (size_t i = 0; i < reaches->count && (!reached || *largest < packet); i++) {
        const struct reach *reach = &reaches->items[i];
        uint64_t size = reach->max_size < packet ? reach->max_size : packet;
        if ((reach->verbs & verbs) == 0)
            continue;
        if (topics.data != NULL && reach->topics.data != NULL && !topic_overlaps(reach->topics, topics))
            continue;
        reached = true;
        *largest = size > *largest ? size : *largest;
    }
    return reached;
}

/* A bound that the policy names, and that messages which the rules allow may exceed. */
static void lint_bound(struct compiler *compiler, const struct parsed_check *parsed, const char *key,
    const char *inner, uint64_t bound, uint64_t largest)
{
    if (largest <= bound)
        return;
    struct diag_place place = compile_key_place(parsed->node, &parsed->name, key, inner);
    diag_add(compiler->diag, DIAG_WARNING, &place,
        arena_format(compiler->arena, "the rules and 'limits: {packet: %s}' allow larger ones",
            keyword_show_size(compiler->policy->settings.limit_packet).bytes),
        "check '%.*s': a payload of more than %s%s never passes", VIEW_ARGS(parsed->name.text),
        keyword_show_size(bound).bytes, bound % 1024 == 0 ? "" : " bytes");
}

/* What was only to be watched is refused, too, where it can't be scanned. */
static void lint_alert(struct compiler *compiler, const struct parsed_check *parsed)
{
    const struct parsed_yara *yara = &parsed->yara;
    if (yara->on_match != YARA_MATCH_ALERT || yara->on_error != YARA_ERROR_REJECT || yara->has_on_error)
        return;
    struct diag_place place = compile_key_place(parsed->node, &parsed->name, "yara", "on_match");
    diag_add(compiler->diag, DIAG_WARNING, &place,
        "write 'on_error: alert', or 'on_error: reject' if it is meant",
        "check '%.*s': what is found goes on, and what can't be scanned to its end is refused",
        VIEW_ARGS(parsed->name.text));
}

static void lint_bounds(struct compiler *compiler, const struct parsed_check *parsed, uint64_t largest)
{
    const struct parsed_yara *yara = &parsed->yara;
    if (parsed->has_burst[POLICY_BYTES])
        lint_bound(compiler, parsed, "rate", "bytes_burst", parsed->bursts[POLICY_BYTES], largest);
    if (yara->has_max_scan && yara->on_error == YARA_ERROR_REJECT)
        lint_bound(compiler, parsed, "yara", "max_scan", yara->max_scan, largest);
}

static void lint_topics(struct compiler *compiler, const struct parsed_check *parsed,
    const struct policy_rule *match, const struct reaches *reaches)
{
    const char *verb = (match->verbs & VERB_PUBLISH) != 0 ? "publish" : "receive";
    uint64_t largest = 0;
    for (size_t i = 0; i < match->topic_count; i++) {
        if (!is_reached(compiler, reaches, match->verbs, &match->topics[i], &largest))
            diag_add(compiler->diag, DIAG_WARNING, &parsed->topics.items[i].place,
                arena_format(compiler->arena, "a check is about what rules allow to %s", verb),
                "check '%s': no rule lets anybody %s these topics", match->info.name,
                verb[0] == 'p' ? "publish to" : verb);
        lint_foreign(compiler, &parsed->topics.items[i]);
    }
    lint_bounds(compiler, parsed, largest);
}

void lint_checks(struct compiler *compiler)
{
    const struct policy *policy = compiler->policy;
    struct reaches reaches = {0};
    if (policy->check_count == 0)
        return;
    find_reaches(compiler, &reaches);
    for (size_t i = 0; i < policy->check_count; i++) {
        const struct parsed_check *parsed = &compiler->parsed->checks.items[i];
        const struct policy_rule *match = &policy->checks[i].match;
        if (lint_nobody_left(policy, match))
            diag_add(compiler->diag, DIAG_WARNING, &parsed->name.place,
                "nobody can be in the groups of 'who', or 'unless' names all of them",
                "check '%s' never holds: it is about nobody", match->info.name);
        lint_values(compiler, &parsed->name.place, "check", match);
        lint_topics(compiler, parsed, match, &reaches);
        if (policy->checks[i].info.kind == POLICY_CHECK_YARA)
            lint_alert(compiler, parsed);
    }
    free(reaches.items);
}
