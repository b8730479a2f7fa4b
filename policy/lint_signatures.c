/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the warnings about checks of signatures: those that get in each other's way, and what relays and
 * stores can't do. Called by lint.c. */
#include "base/buffer.h"
#include "policy/lint.h"
#include "policy/signature.h"

#define NONCE_AGE_MS (UINT64_C(24) * 3600 * 1000)

/* ---- two checks of one message ---- */

static bool is_subset(const uint64_t *part, const uint64_t *whole, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        if ((part[i] & ~whole[i]) != 0)
            return false;
    }
    return true;
}

/* Can both be about one client? */
static bool share_clients(
    const struct policy *policy, const struct policy_rule *a, const struct policy_rule *b)
{
    if (is_subset(a->who, b->unless, policy->group_words) ||
        is_subset(b->who, a->unless, policy->group_words))
        return false;
    for (size_t i = 0; i < policy->identity_count; i++) {
        if (lint_row_concerned(policy, a, &policy->identities[i]) &&
            lint_row_concerned(policy, b, &policy->identities[i]))
            return true;
    }
    return false;
}

static bool share_topics(struct compiler *compiler, const struct policy_rule *a, const struct policy_rule *b)
{
    for (size_t i = 0; i < a->topic_count; i++) {
        for (size_t k = 0; k < b->topic_count; k++) {
            if (lint_patterns_may_meet(compiler, &a->topics[i], &b->topics[k]))
                return true;
        }
    }
    return false;
}

static bool share_keys(const struct signature_terms *a, const struct signature_terms *b)
{
    for (size_t i = 0; i < a->key_count; i++) {
        if (signature_names_key(b, a->keys[i]))
            return true;
    }
    return false;
}

static bool replays_differ(const struct signature_terms *a, const struct signature_terms *b)
{
    return a->replay != b->replay && a->replay != SIGNATURE_REPLAY_NONE && b->replay != SIGNATURE_REPLAY_NONE;
}

/* Why no signature can pass both, or NULL. */
static const char *find_conflict(const struct policy_check *a, const struct policy_check *b)
{
    const struct signature_terms *one = a->info.signature, *other = b->info.signature;
    if (!share_keys(one, other))
        return "no key";
    return (a->match.verbs & b->match.verbs & VERB_PUBLISH) != 0 && replays_differ(one, other)
               ? "not the same 'replay'"
               : NULL;
}

static void lint_pair(struct compiler *compiler, const struct policy_check *first,
    const struct policy_check *second, const struct parsed_check *parsed)
{
    const struct signature_terms *a = first->info.signature, *b = second->info.signature;
    unsigned verbs = first->match.verbs & second->match.verbs;
    bool enforced = !first->match.monitor && !second->match.monitor;
    if (verbs == 0 || !share_clients(compiler->policy, &first->match, &second->match) ||
        !share_topics(compiler, &first->match, &second->match))
        return;
    const char *conflict = enforced ? find_conflict(first, second) : NULL;
    if (conflict != NULL)
        diag_add(compiler->diag, DIAG_WARNING, &parsed->name.place,
            "give them topics of their own, or 'who' and 'unless'",
            "check '%s' and check '%s' (%s) share topics and %s: no %smessage ever passes both",
            second->info.info.name, first->info.info.name, first->info.info.location, conflict,
            a->when_present && b->when_present ? "signed " : "");
    if ((verbs & VERB_PUBLISH) != 0 && a->forward != b->forward) {
        struct diag_place place = compile_key_place(parsed->node, &parsed->name, "signature", "forward");
        diag_add(compiler->diag, DIAG_WARNING, &place, "write the same 'forward' in both",
            "check '%s' and check '%s' (%s) share topics and not 'forward': the first in the file decides",
            second->info.info.name, first->info.info.name, first->info.info.location);
    }
}

static void lint_pairs(struct compiler *compiler)
{
    const struct policy *policy = compiler->policy;
    for (size_t i = 1; i < policy->check_count; i++) {
        for (size_t k = 0; k < i && policy->checks[i].info.signature != NULL; k++) {
            if (policy->checks[k].info.signature != NULL)
                lint_pair(
                    compiler, &policy->checks[k], &policy->checks[i], &compiler->parsed->checks.items[i]);
        }
    }
}

/* ---- one check ---- */

/* Is every member of the group surely a client that the check is about? bit: the group's; 0: everyone. */
static bool is_among(const struct policy *policy, const struct policy_rule *match, size_t bit)
{
    if (lint_has_bit(match->who, 0) || lint_has_bit(match->who, bit))
        return true;
    for (size_t i = 0; i < policy->identity_count; i++) {
        const struct identity_row *row = &policy->identities[i];
        bool among = bit > 0 && !lint_row_fits_group(policy, row, &policy->groups[bit - 1]);
        for (size_t other = 1; other <= policy->group_count && !among; other++)
            among =
                lint_has_bit(match->who, other) && lint_row_surely_in_group(row, &policy->groups[other - 1]);
        if (!among)
            return false;
    }
    return true;
}

static bool has_all(const struct signature_relay *relay)
{
    for (size_t i = 0; i < relay->signer_count; i++) {
        if (view_equal(relay->signers[i], VIEW("*")))
            return true;
    }
    return false;
}

static void lint_relay(struct compiler *compiler, const struct policy_check *check,
    const struct parsed_pair *parsed, const struct signature_relay *relay)
{
    const struct policy *policy = compiler->policy;
    for (size_t bit = 0; bit <= policy->group_count; bit++) {
        if (!lint_has_bit(relay->who, bit))
            continue;
        if (lint_has_bit(check->match.unless, bit))
            diag_add(compiler->diag, DIAG_WARNING, &parsed->name.place, "they relay what they like",
                "check '%s' is not about '%.*s': 'unless' names it", check->info.info.name,
                VIEW_ARGS(parsed->name.text));
        else if (!is_among(policy, &check->match, bit))
            diag_add(compiler->diag, DIAG_WARNING, &parsed->name.place,
                "name it in 'who', too, unless all its members are in a group that is named there",
                "check '%s' is not about '%.*s': 'who' does not name it", check->info.info.name,
                VIEW_ARGS(parsed->name.text));
        if (bit == 0 && has_all(relay))
            diag_add(compiler->diag, DIAG_WARNING, &parsed->name.place,
                "name the gateways, and the devices behind them",
                "check '%s': everyone may bring the messages of everybody", check->info.info.name);
    }
}

/* What is forgotten for want of room is refused if it comes, as is all that is older. */
static void lint_memory(
    struct compiler *compiler, const struct policy_check *check, const struct parsed_check *parsed)
{
    const struct signature_terms *terms = check->info.signature;
    if (terms->replay != SIGNATURE_REPLAY_NONCE || terms->max_age_ms <= NONCE_AGE_MS)
        return;
    struct diag_place place = compile_key_place(parsed->node, &parsed->name, "signature", "max_age");
    diag_add(compiler->diag, DIAG_WARNING, &place,
        "'replay: seq' remembers as little for a month as for a minute",
        "check '%s': %d nonces of a signer are remembered, which is one each %s for so long",
        check->info.info.name, REPLAY_PER_SIGNER,
        keyword_show_duration(terms->max_age_ms / REPLAY_PER_SIGNER / 1000 * 1000).bytes);
}

void lint_signatures(struct compiler *compiler)
{
    const struct policy *policy = compiler->policy;
    for (size_t i = 0; i < policy->check_count; i++) {
        const struct policy_check *check = &policy->checks[i];
        const struct parsed_check *parsed = &compiler->parsed->checks.items[i];
        if (check->info.signature == NULL)
            continue;
        for (size_t k = 0; k < check->info.signature->relay_count; k++)
            lint_relay(
                compiler, check, &parsed->signature.relays.items[k], &check->info.signature->relays[k]);
        lint_memory(compiler, check, parsed);
    }
    lint_pairs(compiler);
}
