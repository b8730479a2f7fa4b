/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the look at each rule for a subscription. Called by explain.c, and by the tests that compare what it
 * comes to with the engine's decision. A filter is judged by its witnesses (policy-language, semantics 2),
 * here rule by rule; and, where an except: cuts something out of it, by the witnesses of what is cut out. */
#include "base/buffer.h"
#include "base/memory.h"
#include "base/topic.h"
#include "policy/explain_rules.h"

#include <stdlib.h>

struct cut {
    const struct policy_rule *rule;
    const struct pattern *pattern;
    bool unknown;
};

struct pass {
    const struct policy *policy;
    const struct policy_subject *subject;
    struct dialect_topic topic;
    struct region region;
    size_t depth;
    struct arena *arena, *fill;
    struct cut *cuts; /* excepts that reach into the filter */
    size_t cut_count;
    size_t regions_left, cuts_left; /* the engine's bounds: beyond, its answer is no, too */
};

/* What the rules say of one topic, or of all of several. */
struct say {
    bool denied, monitor_denied, receivable, covered, open;
    uint8_t qos;
    const struct policy_rule *deny, *monitor_deny, *allow;
};

static bool concerns(const struct pass *pass, const struct policy_rule *rule)
{
    return (rule->verbs & VERB_RECEIVE) != 0 && rule_applies(pass->policy, rule, pass->subject->groups);
}

static bool lacks_feature(const struct pass *pass, const struct policy_rule *rule)
{
    return (pass->topic.features & ~rule->features) != 0;
}

/* ---- topics ---- */

static void say_allow(const struct pass *pass, const struct policy_rule *rule, bool excepted, struct say *say,
    uint8_t *open_qos, uint8_t *excepted_qos)
{
    say->receivable = say->receivable || !excepted;
    if ((rule->verbs & VERB_SUBSCRIBE) == 0 || lacks_feature(pass, rule))
        return;
    uint8_t *qos = excepted ? excepted_qos : open_qos;
    *qos = rule->max_qos > *qos ? rule->max_qos : *qos;
    say->covered = true;
    say->open = say->open || !excepted;
    if (!excepted)
        rules_keep_first(&say->allow, rule);
}

static struct say say_of_witness(const struct pass *pass, const struct region *region, size_t count)
{
    const struct view *values = pass->subject->values;
    struct say say = {0};
    uint8_t open_qos = 0, excepted_qos = 0;
    for (size_t i = 0; i < pass->policy->rule_count; i++) {
        const struct policy_rule *rule = &pass->policy->rules[i];
        if (!concerns(pass, rule) || !rule_has_topic(rule, values, region, count))
            continue;
        bool excepted = rule_excepts_topic(rule, values, region, count);
        if (!rule->deny && !rule->monitor)
            say_allow(pass, rule, excepted, &say, &open_qos, &excepted_qos);
        if (rule->deny && !excepted) {
            *(rule->monitor ? &say.monitor_denied : &say.denied) = true;
            rules_keep_first(rule->monitor ? &say.monitor_deny : &say.deny, rule);
        }
    }
    say.qos = say.open ? open_qos : excepted_qos;
    return say;
}

static void add_first(const struct policy_rule **best, const struct policy_rule *rule)
{
    if (rule != NULL)
        rules_keep_first(best, rule);
}

static struct say say_of_region(const struct pass *pass, const struct region *region)
{
    struct say all = {.denied = true, .monitor_denied = true, .receivable = true, .covered = true, .qos = 2};
    size_t last = region_last_witness(region, pass->depth);
    for (size_t count = region_first_witness(region); count <= last; count++) {
        struct say one = say_of_witness(pass, region, count);
        all.denied = all.denied && one.denied;
        all.monitor_denied = all.monitor_denied && one.monitor_denied;
        all.receivable = all.receivable && one.receivable;
        all.covered = all.covered && one.covered;
        all.open = all.open || one.open;
        all.qos = one.qos < all.qos ? one.qos : all.qos;
        add_first(&all.deny, one.deny);
        add_first(&all.monitor_deny, one.monitor_deny);
        add_first(&all.allow, one.allow);
    }
    return all;
}

/* Do the rules deny (or else deliver) all of the region, what excepts cut out of it included? */
static bool all_of_region(struct pass *pass, const struct region *region, bool denied, unsigned depth)
{
    const struct level_fill fill = {pass->subject->values, &pass->fill};
    if (depth > SUBSCRIBE_REGION_DEPTH_MAXIMUM || pass->regions_left == 0)
        return false;
    pass->regions_left--;
    struct say say = say_of_region(pass, region);
    if (denied ? !say.denied : !say.receivable)
        return false;
    for (size_t i = 0; i < pass->cut_count; i++) {
        const struct cut *cut = &pass->cuts[i];
        struct region inner;
        if (cut->rule->deny != denied)
            continue;
        if (cut->unknown || pass->cuts_left-- == 0)
            return false;
        if (region_intersect(region, cut->pattern, &fill, &inner) && !region_equal(region, &inner) &&
            !all_of_region(pass, &inner, denied, depth + 1))
            return false;
    }
    return true;
}

static bool all_of_filter(struct pass *pass, bool denied)
{
    pass->regions_left = SUBSCRIBE_REGIONS_MAXIMUM;
    pass->cuts_left = SUBSCRIBE_INTERSECTIONS_MAXIMUM;
    return all_of_region(pass, &pass->region, denied, 0);
}

/* ---- the rules that reach into the filter ---- */

static void find_cuts(struct pass *pass)
{
    size_t excepts = 0;
    for (size_t i = 0; i < pass->policy->rule_count; i++)
        excepts += pass->policy->rules[i].except_count;
    pass->cuts = memory_calloc(excepts + 1, sizeof(*pass->cuts));
    for (size_t i = 0; i < pass->policy->rule_count; i++) {
        const struct policy_rule *rule = &pass->policy->rules[i];
        for (size_t k = 0; k < rule->except_count && concerns(pass, rule) && !rule->monitor; k++) {
            enum meets meets = pattern_overlaps(&rule->excepts[k], pass->subject->values, &pass->region);
            if (meets == MEETS_YES || (meets == MEETS_MAYBE && !rule->deny))
                pass->cuts[pass->cut_count++] = (struct cut){rule, &rule->excepts[k], meets == MEETS_MAYBE};
        }
    }
}

static bool within_own_excepts(
    const struct pass *pass, const struct policy_rule *rule, const struct pattern *topic)
{
    struct arena *scratch = NULL;
    const struct level_fill fill = {pass->subject->values, &scratch};
    struct region common;
    bool within = rule->except_count > 0 && region_intersect(&pass->region, topic, &fill, &common);
    size_t last = within ? region_last_witness(&common, pass->depth) : 0;
    for (size_t count = within ? region_first_witness(&common) : 1; count <= last && within; count++)
        within = rule_excepts_topic(rule, pass->subject->values, &common, count);
    arena_free(scratch);
    return within;
}

/* Does a topic of the rule's reach into the filter, more than its own excepts take away? */
static enum meets reaches(const struct pass *pass, const struct policy_rule *rule)
{
    enum meets best = MEETS_NO;
    for (size_t i = 0; i < rule->topic_count; i++) {
        enum meets meets = pattern_overlaps(&rule->topics[i], pass->subject->values, &pass->region);
        if (meets == MEETS_YES && rule->deny && within_own_excepts(pass, rule, &rule->topics[i]))
            meets = MEETS_NO;
        best = meets > best ? meets : best;
    }
    return best;
}

static bool covers(const struct pass *pass, const struct policy_rule *rule)
{
    const struct view *values = pass->subject->values;
    size_t last = region_last_witness(&pass->region, pass->depth);
    for (size_t count = region_first_witness(&pass->region); count <= last; count++) {
        if (!rule_has_topic(rule, values, &pass->region, count) ||
            rule_excepts_topic(rule, values, &pass->region, count))
            return false;
    }
    return true;
}

static const struct policy_rule *first_deny(const struct pass *pass, bool monitor)
{
    const struct policy_rule *best = NULL;
    for (size_t i = 0; i < pass->policy->rule_count; i++) {
        const struct policy_rule *rule = &pass->policy->rules[i];
        if (rule->deny && rule->monitor == monitor && concerns(pass, rule) && reaches(pass, rule) != MEETS_NO)
            rules_keep_first(&best, rule);
    }
    return best;
}

/* ---- the conclusion ---- */

static void refuse(struct policy_outcome *outcome, enum reason reason, const struct policy_rule *rule)
{
    outcome->reason = reason;
    outcome->rule = rule == NULL ? NULL : &rule->info;
}

/* The allows do not cover the filter. False if that refuses it; else the QoS that they have. */
static bool conclude_uncovered(const struct pass *pass, struct policy_outcome *outcome, uint8_t *qos)
{
    const struct policy_rule *without_feature = NULL;
    bool any = false;
    *qos = 0;
    for (size_t i = 0; i < pass->policy->rule_count; i++) {
        const struct policy_rule *rule = &pass->policy->rules[i];
        if (rule->deny || rule->monitor || (rule->verbs & VERB_SUBSCRIBE) == 0 || !concerns(pass, rule) ||
            reaches(pass, rule) != MEETS_YES)
            continue;
        if (lacks_feature(pass, rule)) {
            rules_keep_first(&without_feature, rule);
            continue;
        }
        any = true;
        *qos = rule->max_qos > *qos ? rule->max_qos : *qos;
    }
    refuse(outcome, any ? REASON_not_covered : REASON_no_allow, NULL);
    if (!any && without_feature != NULL) {
        refuse(outcome, REASON_feature_not_granted, NULL);
        outcome->nearest = &without_feature->info;
        outcome->nearest_condition = "feature";
    }
    return any && pass->policy->uncovered_filter;
}

static void conclude_grant(
    struct pass *pass, const struct say *all, bool uncovered, uint8_t qos, struct policy_outcome *outcome)
{
    const struct policy_rule *deny = first_deny(pass, false);
    bool filtered = uncovered || deny != NULL || !all_of_filter(pass, false);
    if (pass->topic.shared && filtered) {
        refuse(outcome, REASON_shared_needs_filter, deny);
        outcome->nearest = NULL;
        outcome->nearest_condition = NULL;
        return;
    }
    if (pass->topic.shared && outcome->would_deny == NULL) {
        const struct policy_rule *monitor_deny = first_deny(pass, true);
        outcome->would_deny = monitor_deny == NULL ? NULL : &monitor_deny->info;
    }
    refuse(outcome, REASON_allowed, all->allow);
    outcome->nearest = NULL;
    outcome->nearest_condition = NULL;
    outcome->filtered = filtered;
    outcome->qos = qos < outcome->qos ? qos : outcome->qos;
}

static void conclude(struct pass *pass, struct policy_outcome *outcome)
{
    struct say all = say_of_region(pass, &pass->region);
    bool uncovered = !all.covered || !all.open;
    uint8_t qos = all.qos;
    if (all.monitor_denied && all.monitor_deny != NULL)
        outcome->would_deny = &all.monitor_deny->info;
    bool refused = uncovered && !conclude_uncovered(pass, outcome, &qos);
    find_cuts(pass);
    if (all.denied && all_of_filter(pass, true)) {
        refuse(outcome, REASON_denied_by_rule, all.deny);
        outcome->nearest = NULL;
        outcome->nearest_condition = NULL;
    } else if (!refused) {
        conclude_grant(pass, &all, uncovered, qos, outcome);
    }
    free(pass->cuts);
    arena_free(pass->fill);
}

/* ---- the listing ---- */

static struct consideration consider(const struct pass *pass, const struct policy_rule *rule)
{
    if ((rule->verbs & VERB_SUBSCRIBE) == 0)
        return (struct consideration){POLICY_RULE_OTHER_ACT, ""};
    if (!rule_applies(pass->policy, rule, pass->subject->groups))
        return (struct consideration){
            POLICY_RULE_OTHER_CLIENT, explain_other_client(pass->policy, pass->subject, rule, pass->arena)};
    enum meets meets = reaches(pass, rule);
    if (meets == MEETS_NO || (meets == MEETS_MAYBE && !rule->deny))
        return (struct consideration){
            POLICY_RULE_OTHER_TOPIC, explain_topics(pass->subject, rule, pass->arena)};
    if (!rule->deny && lacks_feature(pass, rule))
        return (struct consideration){
            POLICY_RULE_MISSED_ONE, "the feature of the filter's prefix is not granted"};
    if (rule->monitor)
        return (struct consideration){POLICY_RULE_MATCHES,
            rule->deny ? "in monitor mode, denies nothing" : "in monitor mode, allows nothing"};
    return (struct consideration){POLICY_RULE_MATCHES,
        covers(pass, rule) ? "has all topics of the filter" : "has a part of the filter's topics"};
}

bool explain_subscribe(const struct policy *policy, const struct policy_subject *subject,
    const struct policy_subscribe_request *request, struct arena *arena, struct consideration *considerations,
    struct policy_outcome *outcome)
{
    struct pass pass = {.policy = policy, .subject = subject, .arena = arena, .depth = rules_depth(policy)};
    uint64_t limit = policy->settings.limit_topic_levels;
    struct buffer space = {0};
    bool form = dialect_strip_filter(request->dialect, request->filter, &pass.topic);
    pass.topic.topic = dialect_read_filter(request->dialect, pass.topic.topic, &space);
    bool deep = form && limit != 0 && topic_levels(pass.topic.topic) > limit;
    *outcome =
        (struct policy_outcome){.act = POLICY_ACT_SUBSCRIBE, .qos_asked = request->qos, .qos = request->qos};
    if (!form || deep) {
        outcome->reason = form ? REASON_topic_too_deep : REASON_topic_filter_invalid;
    } else {
        region_of_filter(&pass.region, pass.topic.topic, pass.depth);
        for (size_t i = 0; i < policy->rule_count && considerations != NULL; i++)
            considerations[i] = consider(&pass, &policy->rules[i]);
        conclude(&pass, outcome);
        outcome->allowed = outcome->reason == REASON_allowed;
    }
    buffer_release(&space);
    return form && !deep;
}
