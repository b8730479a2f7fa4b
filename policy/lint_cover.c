/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the warnings about rules that never come to speak: allows whose topics the denies take, and rules that
 * others decide before. Called by lint.c.
 *
 * Exact about topics: a rule's pattern is covered if each of its witnesses is (policy-language, semantics 2),
 * and the trie finds what matches a witness. The values of placeholders are their names, "<id>": the same
 * placeholder has the same value, and a value of its own fits nothing else but a wildcard. About clients it
 * says less than could be known (the other rule must name the same groups, or everyone), so that it is silent
 * where it can't be sure. */
#include "policy/lint.h"
#include "policy/region.h"

#include "base/buffer.h"

/* References that are looked at, over all rules: where thousands of rules share topics, the cost would be the
 * square of their number. */
#define REFERENCES_MAXIMUM 20000000
#define CULPRITS_MAXIMUM 3

struct cover {
    struct compiler *compiler;
    const struct policy *policy;
    struct view values[PLACEHOLDER_NAMES_MAXIMUM];
    uint64_t possible[(GROUPS_MAXIMUM + 63) / 64]; /* groups that somebody can be in */
    size_t references_left;
    const struct policy_rule *rule; /* that is asked about */
    bool denied;                    /* the question: is it denied? else: do others decide before? */
    const struct policy_rule *culprits[CULPRITS_MAXIMUM];
    size_t culprit_count; /* may be more than are kept */
};

/* ---- is the other rule about all clients that the rule is about? ---- */

/* Can nobody be in both? A client has one source. */
static bool groups_apart(const struct policy *policy, size_t a, size_t b)
{
    if (a == 0 || b == 0)
        return false;
    unsigned x = policy->groups[a - 1].sources, y = policy->groups[b - 1].sources;
    return x != 0 && y != 0 && (x & y) == 0;
}

/* Does nobody of the rule's who: belong to the group? */
static bool group_apart_from_rule(const struct cover *cover, size_t group)
{
    for (size_t bit = 0; bit <= cover->policy->group_count; bit++) {
        if (lint_has_bit(cover->rule->who, bit) && lint_has_bit(cover->possible, bit) &&
            !groups_apart(cover->policy, bit, group))
            return false;
    }
    return true;
}

static bool same_clients(const struct cover *cover, const struct policy_rule *other)
{
    const struct policy_rule *rule = cover->rule;
    bool everyone = lint_has_bit(other->who, 0);
    for (size_t word = 0; word < cover->policy->group_words; word++) {
        if (!everyone && (rule->who[word] & cover->possible[word] & ~other->who[word]) != 0)
            return false;
        uint64_t extra = other->unless[word] & cover->possible[word] & ~rule->unless[word];
        for (size_t bit = word * 64; extra != 0; bit++, extra >>= 1) {
            if ((extra & 1) != 0 && !group_apart_from_rule(cover, bit))
                return false;
        }
    }
    return true;
}

/* ---- does it decide whatever the rule could? ---- */

static bool retain_as_wide(const struct policy_rule *other, const struct policy_rule *rule)
{
    return other->retain == RETAIN_ANY || other->retain == rule->retain;
}

static bool decides_instead(const struct cover *cover, const struct policy_rule *other, unsigned verb)
{
    const struct policy_rule *rule = cover->rule;
    if ((other->verbs & verb) == 0 || other == rule || (verb == VERB_PUBLISH && !retain_as_wide(other, rule)))
        return false;
    if (cover->denied)
        return other->deny && !other->monitor;
    if (other->deny != rule->deny || other->monitor != rule->monitor || other->rank > rule->rank)
        return false;
    return rule->deny ||
           (other->max_size >= rule->max_size && other->max_qos >= rule->max_qos &&
               (rule->features & ~other->features) == 0 && (other->privileged || !rule->privileged));
}

/* Does the other rule speak about all topics of the pattern that the rule speaks about? */
static bool speaks_of_all(
    const struct cover *cover, const struct policy_rule *other, const struct pattern *pattern)
{
    for (size_t i = 0; i < other->except_count; i++) {
        if (lint_patterns_may_meet(cover->compiler, &other->excepts[i], pattern))
            return false;
    }
    return true;
}

static void note_culprit(struct cover *cover, const struct policy_rule *rule)
{
    size_t kept = cover->culprit_count < CULPRITS_MAXIMUM ? cover->culprit_count : CULPRITS_MAXIMUM;
    for (size_t i = 0; i < kept; i++) {
        if (cover->culprits[i] == rule)
            return;
    }
    if (kept < CULPRITS_MAXIMUM)
        cover->culprits[kept] = rule;
    cover->culprit_count++;
}

/* Does the rule's own except surely take the topic from it? Where a value is not known yet (<client_id> of a
 * will whose client leaves the choice to the broker), a deny holds, and its except does not. */
static bool takes_away(const struct cover *cover, const struct rule_reference *except)
{
    return except->rule == cover->rule && (!cover->rule->deny || except->pattern->slots == 0);
}

/* Is the witness that these hits are about decided by another rule, or not the rule's at all? */
static bool witness_covered(
    struct cover *cover, const struct rule_hits *hits, const struct pattern *pattern, unsigned verb)
{
    for (size_t i = 0; i < hits->count; i++) {
        const struct rule_terminal *terminal = hits->items[i].terminal;
        for (uint32_t k = 0; k < terminal->count && cover->references_left > 0;
             k++, cover->references_left--) {
            const struct policy_rule *other = terminal->references[k].rule;
            if (k < terminal->except_count && takes_away(cover, &terminal->references[k]))
                return true;
            if (k < terminal->except_count || !decides_instead(cover, other, verb) ||
                !same_clients(cover, other) || !speaks_of_all(cover, other, pattern))
                continue;
            note_culprit(cover, other);
            return true;
        }
    }
    return false;
}

static bool pattern_covered(struct cover *cover, const struct pattern *pattern, unsigned verb)
{
    const struct rule_trie *trie = cover->policy->trie;
    struct region region;
    region_of_filter(&region, pattern->text, rule_trie_depth(trie));
    size_t last = region_last_witness(&region, rule_trie_depth(trie));
    for (size_t count = region_first_witness(&region); count <= last; count++) {
        struct rule_hits hits;
        rule_trie_match(trie, verb, cover->values, &region, count, &hits);
        bool covered = witness_covered(cover, &hits, pattern, verb);
        rule_hits_release(&hits);
        if (!covered)
            return false;
    }
    return true;
}

/* ---- the warnings ---- */

/* "rule 'a' at policy.yaml:7 and 'b' at policy.yaml:9" */
static const char *name_culprits(struct cover *cover)
{
    struct buffer text = {0};
    for (size_t i = 0; i < cover->culprit_count && i < CULPRITS_MAXIMUM; i++)
        buffer_format(&text, "%s'%s' at %s", i == 0 ? "see rule " : ", ", cover->culprits[i]->info.name,
            cover->culprits[i]->info.location);
    if (cover->culprit_count > CULPRITS_MAXIMUM)
        buffer_append(&text, VIEW(", ..."));
    const char *copy =
        buffer_length(&text) == 0 ? NULL : arena_copy_string(cover->compiler->arena, buffer_view(&text));
    buffer_release(&text);
    return copy;
}

/* Of an allow's verbs those that are denied on all topics of the pattern. Delivery stands for subscribe. */
static unsigned denied_verbs(struct cover *cover, const struct pattern *pattern, unsigned verbs)
{
    unsigned denied = 0;
    if ((verbs & VERB_PUBLISH) != 0 && pattern_covered(cover, pattern, VERB_PUBLISH))
        denied |= VERB_PUBLISH;
    if ((verbs & VERB_RECEIVE) != 0 && pattern_covered(cover, pattern, VERB_RECEIVE))
        denied |= verbs & (VERB_SUBSCRIBE | VERB_RECEIVE);
    return denied;
}

static const char *show_verbs(unsigned verbs)
{
    if ((verbs & VERB_PUBLISH) != 0)
        return (verbs & VERB_RECEIVE) != 0 ? "publish and subscribe" : "publish";
    return (verbs & VERB_SUBSCRIBE) != 0 ? "subscribe" : "receive";
}

/* True if nothing of the allow is left. Warns about it, or about the topics of which nothing is left. */
static bool lint_denied(struct cover *cover, const struct parsed_rule *parsed)
{
    const struct policy_rule *rule = cover->rule;
    struct arena *scratch = arena_new();
    unsigned *denied = arena_calloc(scratch, rule->topic_count, sizeof(*denied));
    unsigned all = rule->verbs;
    cover->denied = true;
    cover->culprit_count = 0;
    for (size_t i = 0; i < rule->topic_count; i++) {
        denied[i] = denied_verbs(cover, &rule->topics[i], rule->verbs);
        all &= denied[i];
    }
    if (all == rule->verbs && cover->culprit_count > 0) /* else its own except takes all */
        diag_add(cover->compiler->diag, DIAG_WARNING, &parsed->name.place, name_culprits(cover),
            "rule '%s' can never grant anything: denies take all of it", rule->info.name);
    for (size_t i = 0; i < rule->topic_count && all != rule->verbs; i++) {
        if (denied[i] == 0)
            continue;
        cover->culprit_count = 0;
        denied_verbs(cover, &rule->topics[i], rule->verbs);
        if (cover->culprit_count > 0)
            diag_add(cover->compiler->diag, DIAG_WARNING, &parsed->topics.items[i].place,
                name_culprits(cover), "%s can never be granted here: denies take it", show_verbs(denied[i]));
    }
    arena_free(scratch);
    return all == rule->verbs;
}

static void lint_shadowed(struct cover *cover, const struct parsed_rule *parsed)
{
    static const unsigned verbs[] = {VERB_PUBLISH, VERB_SUBSCRIBE, VERB_RECEIVE};
    const struct policy_rule *rule = cover->rule;
    cover->denied = false;
    cover->culprit_count = 0;
    for (size_t i = 0; i < rule->topic_count; i++) {
        for (size_t k = 0; k < sizeof(verbs) / sizeof(verbs[0]); k++) {
            if ((rule->verbs & verbs[k]) != 0 && !pattern_covered(cover, &rule->topics[i], verbs[k]))
                return;
        }
    }
    const char *culprits = name_culprits(cover); /* none: its own except takes all, which is said elsewhere */
    if (culprits != NULL)
        diag_add(cover->compiler->diag, DIAG_WARNING, &parsed->name.place, culprits,
            "rule '%s' can never decide: what it %s, others %s before it", rule->info.name,
            rule->deny ? "denies" : "allows", rule->deny ? "deny" : "allow");
}

void lint_cover(struct compiler *compiler)
{
    const struct policy *policy = compiler->policy;
    struct cover cover = {.compiler = compiler, .policy = policy, .references_left = REFERENCES_MAXIMUM};
    for (size_t slot = 0; slot < policy->names.count; slot++)
        cover.values[slot] = view_of_string(arena_format(compiler->arena, "<%s>", policy->names.names[slot]));
    for (size_t bit = 0; bit <= policy->group_count; bit++) {
        if (lint_group_possible(policy, bit))
            cover.possible[bit / 64] |= UINT64_C(1) << bit % 64;
    }
    for (size_t i = 0; i < policy->rule_count; i++) {
        const struct parsed_rule *parsed = &compiler->parsed->rules.items[i];
        cover.rule = &policy->rules[i];
        bool idle = lint_nobody_left(policy, cover.rule) || (cover.rule->monitor && !cover.rule->deny);
        if (!idle && (cover.rule->deny || !lint_denied(&cover, parsed)))
            lint_shadowed(&cover, parsed);
        if (cover.references_left == 0) {
            lint_warn(compiler, &parsed->name.place, NULL,
                "so many rules share topics that rules from here on were not compared with others");
            return;
        }
    }
}
