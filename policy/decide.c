/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the decision about one topic: publish, will, delivery. Called by the proxy for every message that its
 * cache does not know, and by the command line. One walk of the trie finds the rules whose topics match; one
 * pass over them finds who decides and for which other requests the same would hold. */
#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/topic.h"
#include "policy/checks.h"

#define QOS_MAXIMUM 2

/* ---- except ---- */

static int compare_rules(const void *a, const void *b)
{
    const struct policy_rule *const *x = a, *const *y = b;
    return (*x > *y) - (*x < *y);
}

#define EXCEPTS_INLINE                                                                                       \
    (sizeof(((struct except_set *)NULL)->inline_rules) / sizeof(const struct policy_rule *))

/* An except: that may match takes from an allow, but only one that does match takes from a deny. */
static bool except_counts(const struct policy_rule *rule, bool unknown)
{
    return !unknown || !rule->deny;
}

void except_set_collect(struct except_set *set, const struct rule_hits *hits)
{
    size_t total = 0;
    set->count = 0;
    set->rules = set->inline_rules;
    for (size_t i = 0; i < hits->count; i++)
        total += hits->items[i].terminal->except_count;
    if (total == 0)
        return;
    if (total > EXCEPTS_INLINE)
        set->rules = memory_calloc(total, sizeof(const struct policy_rule *));
    for (size_t i = 0; i < hits->count; i++) {
        const struct rule_terminal *terminal = hits->items[i].terminal;
        for (uint32_t k = 0; k < terminal->except_count; k++) {
            const struct policy_rule *rule = terminal->references[k].rule;
            if (except_counts(rule, hits->items[i].unknown))
                set->rules[set->count++] = rule;
        }
    }
    if (set->rules != set->inline_rules)
        qsort(set->rules, set->count, sizeof(const struct policy_rule *), compare_rules);
}

bool except_set_has(const struct except_set *set, const struct policy_rule *rule)
{
    if (set->count == 0 || rule->except_count == 0)
        return false;
    if (set->rules != set->inline_rules)
        return bsearch(&rule, set->rules, set->count, sizeof(const struct policy_rule *), compare_rules) !=
               NULL;
    for (size_t i = 0; i < set->count; i++) {
        if (set->rules[i] == rule)
            return true;
    }
    return false;
}

void except_set_release(struct except_set *set)
{
    if (set->rules != set->inline_rules)
        free(set->rules);
}

/* ---- conditions ---- */

enum condition {
    MISSED_QOS = 1,
    MISSED_RETAIN = 2,
    MISSED_SIZE = 4,
    MISSED_PRIVILEGED = 8,
    MISSED_FEATURE = 16,
};
/* Those that another request about the same topic can meet. */
#define MISSED_OF_MESSAGE (MISSED_QOS | MISSED_RETAIN | MISSED_SIZE)

static const struct condition_row {
    unsigned missed;
    const char *name;
    enum reason reason;
} conditions[] = {
    {MISSED_QOS, "max_qos", REASON_no_allow},
    {MISSED_RETAIN, "retain", REASON_no_allow},
    {MISSED_SIZE, "max_size", REASON_no_allow},
    {MISSED_PRIVILEGED, "privileged", REASON_not_privileged},
    {MISSED_FEATURE, "feature", REASON_feature_not_granted},
};

static bool retain_fits(const struct policy_rule *rule, bool retain)
{
    return rule->retain == RETAIN_ANY || (rule->retain == RETAIN_ONLY) == retain;
}

/* What a decision knows while it goes through the rules. */
struct tally {
    const struct policy *policy;
    const struct policy_request *request;
    unsigned verb;
    unsigned features;
    bool needs_privilege;
    const struct policy_rule *deny, *monitor_deny, *allow;
    const struct policy_rule *nearest;
    unsigned nearest_missed;
    bool retain_matters;  /* a deny asks for retain */
    bool message_matters; /* an allow asks for something of the message */
    uint32_t blocked; /* lowest rank of an allow that this message misses, another within bounds may not */
    uint32_t blocked_retained; /* the same, of those that only a retained message meets */
};

static unsigned missed_conditions(const struct tally *tally, const struct policy_rule *rule)
{
    const struct policy_request *request = tally->request;
    unsigned missed = 0;
    if (tally->verb != VERB_PUBLISH)
        return 0;
    missed |= request->qos > rule->max_qos ? MISSED_QOS : 0U;
    missed |= retain_fits(rule, request->retain) ? 0U : MISSED_RETAIN;
    missed |= request->size > rule->max_size ? MISSED_SIZE : 0U;
    missed |= tally->needs_privilege && !rule->privileged ? MISSED_PRIVILEGED : 0U;
    missed |= (tally->features & ~rule->features) != 0 ? MISSED_FEATURE : 0U;
    return missed;
}

static void keep_first(const struct policy_rule **best, const struct policy_rule *rule)
{
    if (*best == NULL || rule->rank < (*best)->rank)
        *best = rule;
}

static void tally_deny(struct tally *tally, const struct policy_rule *rule)
{
    if (tally->verb == VERB_PUBLISH && rule->retain != RETAIN_ANY) {
        tally->retain_matters = true;
        if (!retain_fits(rule, tally->request->retain))
            return;
    }
    keep_first(rule->monitor ? &tally->monitor_deny : &tally->deny, rule);
}

static void tally_missed(struct tally *tally, const struct policy_rule *rule, unsigned missed)
{
    if ((missed & ~(unsigned)MISSED_OF_MESSAGE) == 0) {
        uint32_t *blocked = rule->retain == RETAIN_ONLY ? &tally->blocked_retained : &tally->blocked;
        if (rule->rank < *blocked)
            *blocked = rule->rank;
    }
    bool by_one = (missed & (missed - 1)) == 0;
    if (by_one && (tally->nearest == NULL || rule->rank < tally->nearest->rank)) {
        tally->nearest = rule;
        tally->nearest_missed = missed;
    }
}

static void tally_allow(struct tally *tally, const struct policy_rule *rule)
{
    if (rule->monitor)
        return;
    if (tally->verb == VERB_PUBLISH &&
        (rule->retain != RETAIN_ANY || rule->max_qos < QOS_MAXIMUM || rule->max_size < UINT64_MAX))
        tally->message_matters = true;
    unsigned missed = missed_conditions(tally, rule);
    if (missed == 0)
        keep_first(&tally->allow, rule);
    else
        tally_missed(tally, rule, missed);
}

static void tally_hits(
    struct tally *tally, const struct policy_subject *subject, const struct rule_hits *hits)
{
    struct except_set excepts;
    except_set_collect(&excepts, hits);
    for (size_t i = 0; i < hits->count; i++) {
        const struct rule_terminal *terminal = hits->items[i].terminal;
        for (uint32_t k = terminal->except_count; k < terminal->count; k++) {
            const struct policy_rule *rule = terminal->references[k].rule;
            if ((rule->verbs & tally->verb) == 0 || !rule_applies(tally->policy, rule, subject->groups) ||
                except_set_has(&excepts, rule))
                continue;
            if (rule->deny)
                tally_deny(tally, rule);
            else if (!hits->items[i].unknown)
                tally_allow(tally, rule);
        }
    }
    except_set_release(&excepts);
}

/* ---- the envelope ---- */

static const struct policy_envelope whole_envelope = {true, true, QOS_MAXIMUM, UINT64_MAX};

/* The bounds of the rule that allows, less what a better-ranked allow or a deny that asks for retain could
 * change within them: every bound includes QoS 0, no bytes and retain = false. */
static struct policy_envelope envelope_of_allow(const struct tally *tally)
{
    const struct policy_rule *allow = tally->allow;
    bool retain = tally->request->retain;
    struct policy_envelope envelope = {true, true, QOS_MAXIMUM, UINT64_MAX};
    if (tally->verb == VERB_PUBLISH)
        envelope =
            (struct policy_envelope){true, allow->retain == RETAIN_ANY, allow->max_qos, allow->max_size};
    if (tally->blocked < allow->rank)
        envelope.valid = false;
    if (tally->retain_matters || tally->blocked_retained < allow->rank)
        envelope.retain = false;
    envelope.valid = envelope.valid && (envelope.retain || !retain);
    return envelope;
}

static struct policy_envelope envelope_of_denial(const struct tally *tally)
{
    struct policy_envelope envelope = whole_envelope;
    if (tally->deny == NULL && tally->message_matters)
        envelope.valid = false;
    if (tally->retain_matters) {
        envelope.retain = false;
        envelope.valid = envelope.valid && !tally->request->retain;
    }
    return envelope;
}

/* ---- the verdict ---- */

void verdict_apply_monitor(const struct policy *policy, struct policy_verdict *verdict)
{
    verdict->would_be_denied = verdict->allowed && verdict->would_deny != NULL;
    if (policy->settings.mode == POLICY_MONITOR && !verdict->allowed) {
        verdict->allowed = true;
        verdict->would_be_denied = true;
    }
    if (verdict->would_be_denied || verdict->would_deny != NULL)
        verdict->envelope.valid = false;
}

static void conclude(const struct tally *tally, struct policy_verdict *verdict)
{
    verdict->would_deny = tally->monitor_deny == NULL ? NULL : &tally->monitor_deny->info;
    if (tally->deny == NULL && tally->allow != NULL) {
        verdict->allowed = true;
        verdict->reason = REASON_allowed;
        verdict->rule = &tally->allow->info;
        verdict->envelope = envelope_of_allow(tally);
        return;
    }
    verdict->envelope = envelope_of_denial(tally);
    if (tally->deny != NULL) {
        verdict->reason = REASON_denied_by_rule;
        verdict->rule = &tally->deny->info;
        return;
    }
    verdict->reason = REASON_no_allow;
    if (tally->nearest == NULL)
        return;
    verdict->nearest = &tally->nearest->info;
    for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
        if (tally->nearest_missed == conditions[i].missed) {
            verdict->nearest_condition = conditions[i].name;
            verdict->reason = conditions[i].reason;
        }
    }
}

/* The broker's own trees, to which only privileged rules let publish. */
static bool is_brokers_own(const struct region *region)
{
    struct view first = region->levels[0].text;
    return view_equal(first, VIEW("$SYS")) || view_equal(first, VIEW("$CONTROL"));
}

/* What can be said without looking at a rule. False if it decided. */
static bool check_form(const struct policy *policy, const struct policy_request *request,
    struct dialect_topic *topic, struct buffer *space, struct policy_verdict *verdict)
{
    *topic = (struct dialect_topic){.topic = request->topic};
    verdict->envelope = whole_envelope;
    if (request->operation != POLICY_RECEIVE &&
        !dialect_strip_name(request->dialect, request->topic, topic)) {
        verdict->reason = REASON_topic_name_invalid;
        return false;
    }
    topic->topic = dialect_read_name(request->dialect, topic->topic, space);
    if (request->operation == POLICY_RECEIVE)
        return true;
    uint64_t limit = policy->settings.limit_topic_levels;
    if (limit != 0 && topic_levels(topic->topic) > limit) {
        verdict->reason = REASON_topic_too_deep;
        return false;
    }
    return true;
}

void policy_decide(const struct policy *policy, const struct policy_subject *subject,
    const struct policy_request *request, struct policy_verdict *verdict)
{
    assert(policy->magic == POLICY_MAGIC && subject->magic == SUBJECT_MAGIC && subject->policy == policy);
    struct dialect_topic topic;
    struct buffer space = {0};
    *verdict = (struct policy_verdict){0};
    if (check_form(policy, request, &topic, &space, verdict)) {
        struct region region;
        struct rule_hits hits;
        unsigned verb = operation_verb(request->operation);
        region_of_name(&region, topic.topic, policy->depth);
        rule_trie_match(policy->trie, verb, subject->values, &region, region.count, &hits);
        struct tally tally = {
            .policy = policy,
            .request = request,
            .verb = verb,
            .features = topic.features,
            .needs_privilege = is_brokers_own(&region),
            .blocked = UINT32_MAX,
            .blocked_retained = UINT32_MAX,
        };
        tally_hits(&tally, subject, &hits);
        rule_hits_release(&hits);
        conclude(&tally, verdict);
        if (policy->check_count > 0 && verdict->reason == REASON_allowed)
            verdict->checks = checks_match(policy, subject, request->operation, &region);
    }
    buffer_release(&space);
    verdict_apply_monitor(policy, verdict);
}
