/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the decision about one filter of a SUBSCRIBE. Called by the proxy and the command line. It is about
 * all topics of the filter at once (policy-language, semantics 2): the filter's witnesses say whether allows
 * or denies cover it, a walk of the trie with the filter says which denies and excepts it only overlaps. */
#include <assert.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/topic.h"
#include "policy/compiled.h"

struct filter_except {
    const struct policy_rule *rule;
    const struct pattern *pattern;
    bool unknown;
};

struct judge {
    const struct policy *policy;
    const struct policy_subject *subject;
    struct dialect_topic topic;
    const struct region *region;
    struct arena *arena; /* for filled-in levels; made when needed */
    unsigned regions_left, intersections_left;
    /* What the walk with the filter finds. */
    const struct policy_rule *overlap_deny, *overlap_monitor_deny;
    struct filter_except *excepts;
    size_t except_count, except_capacity;
};

/* Every verb of a rule that is about deliveries, subscribe too, has VERB_RECEIVE. */
static bool rule_concerns_delivery(const struct judge *judge, const struct policy_rule *rule)
{
    return (rule->verbs & VERB_RECEIVE) != 0 && rule_applies(judge->policy, rule, judge->subject->groups);
}

static struct rule_scope scope_of(const struct judge *judge, unsigned verbs)
{
    return (struct rule_scope){verbs, group_sets_fold(judge->subject->groups, judge->policy->group_words)};
}

/* ---- witnesses ---- */

/* What the rules say about one witness, or, put together, about all. */
struct finding {
    bool denied, monitor_denied;
    bool receivable; /* some allow delivers it */
    bool covered;    /* some allow of subscribe has it among its topics */
    bool open;       /* ... and not among its excepts */
    uint8_t qos;     /* the highest that these allows have */
    const struct policy_rule *deny, *monitor_deny, *allow;
};

static void keep_first(const struct policy_rule **best, const struct policy_rule *rule)
{
    if (rule != NULL && (*best == NULL || rule->rank < (*best)->rank))
        *best = rule;
}

static void find_deny(struct finding *finding, const struct policy_rule *rule)
{
    *(rule->monitor ? &finding->monitor_denied : &finding->denied) = true;
    keep_first(rule->monitor ? &finding->monitor_deny : &finding->deny, rule);
}

static void find_allow(
    struct finding *finding, const struct policy_rule *rule, unsigned features, bool excepted)
{
    finding->receivable = finding->receivable || !excepted;
    if ((rule->verbs & VERB_SUBSCRIBE) == 0 || (features & ~rule->features) != 0)
        return;
    /* A rule that excepts the witness gives the QoS only where none has it openly: nothing is delivered
     * there, but the rule's bound holds for the filter. */
    bool first_open = !excepted && !finding->open;
    if (!finding->covered || first_open)
        finding->qos = rule->max_qos;
    else if (finding->open == !excepted && rule->max_qos > finding->qos)
        finding->qos = rule->max_qos;
    finding->covered = true;
    if (excepted)
        return;
    finding->open = true;
    keep_first(&finding->allow, rule);
}

static struct finding judge_witness(const struct judge *judge, const struct region *region, size_t count)
{
    struct finding finding = {0};
    struct rule_hits hits;
    struct except_set excepts;

    rule_trie_match(judge->policy->trie, VERB_RECEIVE, judge->subject->values, region, count, &hits);
    except_set_collect(&excepts, &hits);
    for (size_t i = 0; i < hits.count; i++) {
        const struct rule_terminal *terminal = hits.items[i].terminal;
        for (uint32_t k = terminal->except_count; k < terminal->count; k++) {
            const struct policy_rule *rule = terminal->references[k].rule;
            if (!rule_concerns_delivery(judge, rule))
                continue;
            bool excepted = except_set_has(&excepts, rule);
            if (rule->deny && !excepted)
                find_deny(&finding, rule);
            else if (!rule->deny && !rule->monitor && !hits.items[i].unknown)
                find_allow(&finding, rule, judge->topic.features, excepted);
        }
    }
    except_set_release(&excepts);
    rule_hits_release(&hits);
    return finding;
}

static void add_finding(struct finding *all, const struct finding *one)
{
    all->denied = all->denied && one->denied;
    all->monitor_denied = all->monitor_denied && one->monitor_denied;
    all->receivable = all->receivable && one->receivable;
    all->covered = all->covered && one->covered;
    all->open = all->open || one->open;
    all->qos = one->qos < all->qos ? one->qos : all->qos;
    keep_first(&all->deny, one->deny);
    keep_first(&all->monitor_deny, one->monitor_deny);
    keep_first(&all->allow, one->allow);
}

static struct finding judge_region(const struct judge *judge, const struct region *region)
{
    struct finding all = {
        .denied = true, .monitor_denied = true, .receivable = true, .covered = true, .qos = 2};
    size_t last = region_last_witness(region, rule_trie_depth(judge->policy->trie));
    for (size_t count = region_first_witness(region); count <= last; count++) {
        struct finding one = judge_witness(judge, region, count);
        add_finding(&all, &one);
    }
    return all;
}

/* ---- the filter against all patterns ---- */

/* Is all of region among a rule's own excepts? */
static bool within_excepts(
    const struct judge *judge, const struct region *region, const struct policy_rule *rule)
{
    size_t last = region_last_witness(region, rule_trie_depth(judge->policy->trie));
    for (size_t count = region_first_witness(region); count <= last; count++) {
        bool found = false;
        for (size_t i = 0; i < rule->except_count && !found; i++)
            found = region_witness_matches(region, count, &rule->excepts[i], judge->subject->values);
        if (!found)
            return false;
    }
    return true;
}

static void overlap_deny(struct judge *judge, const struct rule_reference *reference, bool unknown)
{
    const struct policy_rule *rule = reference->rule;
    const struct level_fill fill = {judge->subject->values, &judge->arena};
    struct region common;
    if (!unknown && rule->except_count > 0 &&
        region_intersect(judge->region, reference->pattern, &fill, &common) &&
        within_excepts(judge, &common, rule))
        return;
    keep_first(rule->monitor ? &judge->overlap_monitor_deny : &judge->overlap_deny, rule);
}

static void add_except(struct judge *judge, const struct rule_reference *reference, bool unknown)
{
    if (reference->rule->monitor || (unknown && reference->rule->deny))
        return;
    if (judge->except_count == judge->except_capacity) {
        judge->except_capacity = judge->except_capacity == 0 ? 8 : judge->except_capacity * 2;
        judge->excepts = memory_realloc(judge->excepts, judge->except_capacity, sizeof(*judge->excepts));
    }
    judge->excepts[judge->except_count++] =
        (struct filter_except){reference->rule, reference->pattern, unknown};
}

static bool visit_overlap(void *context, const struct rule_terminal *terminal, bool unknown)
{
    struct judge *judge = context;
    for (uint32_t i = 0; i < terminal->count; i++) {
        const struct rule_reference *reference = &terminal->references[i];
        if (!rule_concerns_delivery(judge, reference->rule))
            continue;
        if (i < terminal->except_count)
            add_except(judge, reference, unknown);
        else if (reference->rule->deny)
            overlap_deny(judge, reference, unknown);
    }
    return true;
}

/* ---- all topics of a region, excepts included ---- */

enum question { ALL_DENIED, ALL_RECEIVABLE };

/* True if the answer holds for every topic of the region. Where an except: cuts into it, the cut-out region
 * is asked again, because there the rule no longer speaks and others may: a topic's rules are those of the
 * witness of the smallest such region that it is in, or more. */
static bool region_answers(
    struct judge *judge, const struct region *region, enum question question, unsigned depth)
{
    const struct level_fill fill = {judge->subject->values, &judge->arena};
    struct region inner;

    if (depth > SUBSCRIBE_REGION_DEPTH_MAXIMUM || judge->regions_left == 0)
        return false;
    judge->regions_left--;
    struct finding finding = judge_region(judge, region);
    if (question == ALL_DENIED ? !finding.denied : !finding.receivable)
        return false;
    for (size_t i = 0; i < judge->except_count; i++) {
        const struct filter_except *except = &judge->excepts[i];
        if (except->rule->deny != (question == ALL_DENIED))
            continue;
        if (except->unknown || judge->intersections_left-- == 0)
            return false;
        if (region_intersect(region, except->pattern, &fill, &inner) && !region_equal(region, &inner) &&
            !region_answers(judge, &inner, question, depth + 1))
            return false;
    }
    return true;
}

/* Asked of the filter itself; no is always safe. */
static bool filter_answers(struct judge *judge, enum question question)
{
    judge->regions_left = SUBSCRIBE_REGIONS_MAXIMUM;
    judge->intersections_left = SUBSCRIBE_INTERSECTIONS_MAXIMUM;
    return region_answers(judge, judge->region, question, 0);
}

/* ---- not covered ---- */

/* Which allows of subscribe reach into the filter? */
struct reach {
    const struct judge *judge;
    bool any;
    uint8_t qos;                               /* the highest that one of them has */
    const struct policy_rule *without_feature; /* one that would but for the feature */
};

static bool visit_reach(void *context, const struct rule_terminal *terminal, bool unknown)
{
    struct reach *reach = context;
    const struct judge *judge = reach->judge;
    for (uint32_t i = terminal->except_count; i < terminal->count && !unknown; i++) {
        const struct policy_rule *rule = terminal->references[i].rule;
        if (rule->deny || rule->monitor || (rule->verbs & VERB_SUBSCRIBE) == 0 ||
            !rule_concerns_delivery(judge, rule))
            continue;
        if ((judge->topic.features & ~rule->features) != 0) {
            keep_first(&reach->without_feature, rule);
            continue;
        }
        reach->any = true;
        reach->qos = rule->max_qos > reach->qos ? rule->max_qos : reach->qos;
        /* Once it is known that there is one, only "uncovered: filter" asks for the best. */
        if (!judge->policy->uncovered_filter || reach->qos == 2)
            return false;
    }
    return true;
}

/* ---- the verdict ---- */

static void refuse(
    struct policy_subscribe_verdict *verdict, enum reason reason, const struct policy_rule *rule)
{
    verdict->verdict.reason = reason;
    verdict->verdict.rule = rule == NULL ? NULL : &rule->info;
    verdict->verdict.nearest = NULL;
    verdict->verdict.nearest_condition = NULL;
}

static void refuse_feature(struct policy_subscribe_verdict *verdict, const struct policy_rule *nearest)
{
    refuse(verdict, REASON_feature_not_granted, NULL);
    verdict->verdict.nearest = &nearest->info;
    verdict->verdict.nearest_condition = "feature";
}

static void note_would_deny(struct policy_subscribe_verdict *verdict, const struct policy_rule *rule)
{
    if (verdict->verdict.would_deny == NULL && rule != NULL)
        verdict->verdict.would_deny = &rule->info;
}

/* Grants what is left when all refusals have been asked; found: about the whole filter. */
static void grant(struct judge *judge, const struct finding *found, bool uncovered, uint8_t qos,
    struct policy_subscribe_verdict *verdict)
{
    verdict->filtered = uncovered || judge->overlap_deny != NULL || !filter_answers(judge, ALL_RECEIVABLE);
    if (judge->topic.shared && verdict->filtered) {
        verdict->filtered = false;
        refuse(verdict, REASON_shared_needs_filter, judge->overlap_deny);
        return;
    }
    if (judge->topic.shared)
        note_would_deny(verdict, judge->overlap_monitor_deny);
    verdict->verdict.allowed = true;
    verdict->verdict.reason = REASON_allowed;
    verdict->verdict.rule = found->allow == NULL ? NULL : &found->allow->info;
    verdict->max_qos = qos < verdict->max_qos ? qos : verdict->max_qos;
}

/* An uncovered filter: is there anything in it to let deliveries filter? Otherwise refuses. */
static bool judge_uncovered(struct judge *judge, uint8_t *qos, struct policy_subscribe_verdict *verdict)
{
    struct reach reach = {.judge = judge};
    rule_trie_overlap(judge->policy->trie, scope_of(judge, VERB_SUBSCRIBE), judge->subject->values,
        judge->region, visit_reach, &reach);
    *qos = reach.qos;
    if (!reach.any && reach.without_feature != NULL)
        refuse_feature(verdict, reach.without_feature);
    else
        refuse(verdict, reach.any ? REASON_not_covered : REASON_no_allow, NULL);
    return reach.any && judge->policy->uncovered_filter;
}

static void judge_filter(struct judge *judge, struct policy_subscribe_verdict *verdict)
{
    const struct rule_trie *trie = judge->policy->trie;
    struct finding found = judge_region(judge, judge->region);
    bool uncovered = !found.covered || !found.open;
    uint8_t qos = found.qos;

    if (found.monitor_denied)
        note_would_deny(verdict, found.monitor_deny);
    bool refused = uncovered && !judge_uncovered(judge, &qos, verdict);
    if (refused && !found.denied)
        return;
    rule_trie_overlap(
        trie, scope_of(judge, VERB_RECEIVE), judge->subject->values, judge->region, visit_overlap, judge);
    if (found.denied && filter_answers(judge, ALL_DENIED))
        refuse(verdict, REASON_denied_by_rule, found.deny);
    else if (!refused)
        grant(judge, &found, uncovered, qos, verdict);
}

void policy_decide_subscribe(const struct policy *policy, const struct policy_subject *subject,
    const struct policy_subscribe_request *request, struct policy_subscribe_verdict *verdict)
{
    assert(policy->magic == POLICY_MAGIC && subject->magic == SUBJECT_MAGIC && subject->policy == policy);
    struct region region;
    struct judge judge = {.policy = policy, .subject = subject, .region = &region};
    struct buffer space = {0};
    uint64_t limit = policy->settings.limit_topic_levels;

    *verdict = (struct policy_subscribe_verdict){.max_qos = request->qos};
    bool whole = dialect_strip_filter(request->dialect, request->filter, &judge.topic);
    judge.topic.topic = dialect_read_filter(request->dialect, judge.topic.topic, &space);
    if (!whole) {
        refuse(verdict, REASON_topic_filter_invalid, NULL);
    } else if (limit != 0 && topic_levels(judge.topic.topic) > limit) {
        refuse(verdict, REASON_topic_too_deep, NULL);
    } else {
        region_of_filter(&region, judge.topic.topic, rule_trie_depth(policy->trie));
        judge_filter(&judge, verdict);
    }
    verdict_apply_monitor(policy, &verdict->verdict);
    if (policy->settings.mode == POLICY_MONITOR) {
        /* Nothing is held back there, so nothing is lowered or filtered either. */
        verdict->max_qos = request->qos;
        verdict->filtered = false;
    }
    free(judge.excepts);
    arena_free(judge.arena);
    buffer_release(&space);
}
