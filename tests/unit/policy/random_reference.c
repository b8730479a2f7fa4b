/* SPDX-License-Identifier: Apache-2.0 */
/* The reference: every rule, every topic, level by level, with nothing shared with the engine but the
 * language's page. A subscription is decided by going through the topics of its filter one by one. */
#include <stdio.h>

#include "random_policy.h"

enum match { NO, YES, MAYBE };

/* ---- one topic against one pattern ---- */

static const char *value_of(const struct random_subject *subject, const char *name, size_t length)
{
    const char *const names[] = {"id", "site", "client_id", "username"};
    const char *const values[] = {subject->id, subject->site, subject->client_id, subject->username};
    for (size_t i = 0; i < 4; i++) {
        if (strlen(names[i]) == length && memcmp(names[i], name, length) == 0)
            return values[i];
    }
    return NULL;
}

static enum match level_matches(const char *pattern, size_t pattern_length, const char *level, size_t length,
    const struct random_subject *subject)
{
    const char *open = memchr(pattern, '<', pattern_length), *close = memchr(pattern, '>', pattern_length);
    if (open == NULL)
        return pattern_length == length && memcmp(pattern, level, length) == 0 ? YES : NO;
    size_t before = (size_t)(open - pattern), after = pattern_length - before - (size_t)(close - open) - 1;
    const char *value = value_of(subject, open + 1, (size_t)(close - open) - 1);
    if (length <= before + after || memcmp(level, pattern, before) != 0 ||
        memcmp(level + length - after, close + 1, after) != 0)
        return NO;
    if (value == NULL)
        return level[before] == '$' ? NO : MAYBE;
    return length == before + after + strlen(value) && memcmp(level + before, value, strlen(value)) == 0 ? YES
                                                                                                         : NO;
}

static enum match topic_matches_pattern(
    const char *pattern, const char *topic, const struct random_subject *subject)
{
    enum match result = YES;
    if (topic[0] == '$' && (pattern[0] == '+' || pattern[0] == '#'))
        return NO;
    for (;;) {
        size_t p = strcspn(pattern, "/"), t = strcspn(topic, "/");
        if (pattern[0] == '#')
            return result;
        if (!(p == 1 && pattern[0] == '+')) {
            enum match match = level_matches(pattern, p, topic, t, subject);
            if (match == NO)
                return NO;
            result = match == MAYBE ? MAYBE : result;
        }
        if (pattern[p] == '\0' || topic[t] == '\0')
            return pattern[p] == topic[t] || strcmp(pattern + p, "/#") == 0 ? result : NO;
        pattern += p + 1;
        topic += t + 1;
    }
}

/* Is the topic among a rule's topics? An unknown value counts against the client. */
static bool in_topics(const struct random_rule *rule, const char *topic, const struct random_subject *subject)
{
    for (size_t i = 0; i < rule->topics; i++) {
        enum match match = topic_matches_pattern(rule->topic[i], topic, subject);
        if (match == YES || (match == MAYBE && rule->deny))
            return true;
    }
    return false;
}

static bool in_excepts(
    const struct random_rule *rule, const char *topic, const struct random_subject *subject)
{
    for (size_t i = 0; i < rule->excepts; i++) {
        enum match match = topic_matches_pattern(rule->except[i], topic, subject);
        if (match == YES || (match == MAYBE && !rule->deny))
            return true;
    }
    return false;
}

static bool applies(const struct random_rule *rule, const struct random_subject *subject)
{
    return (rule->who & subject->groups) != 0 && (rule->unless & subject->groups) == 0;
}

static unsigned verbs_of(const struct random_rule *rule)
{
    unsigned verbs = rule->verbs;
    if ((verbs & R_SUBSCRIBE) != 0)
        verbs |= R_RECEIVE;
    if (rule->deny && (verbs & R_RECEIVE) != 0)
        verbs |= R_SUBSCRIBE;
    return verbs;
}

/* ---- decide ---- */

static bool starts_own_tree(const char *topic)
{
    size_t length = strcspn(topic, "/");
    return (length == 4 && memcmp(topic, "$SYS", 4) == 0) ||
           (length == 8 && memcmp(topic, "$CONTROL", 8) == 0);
}

/* The topic without "$delayed/<seconds>/". */
static const char *without_prefix(const struct policy_request *request, char *buffer, bool *delayed)
{
    memcpy(buffer, request->topic.data, request->topic.length);
    buffer[request->topic.length] = '\0';
    *delayed = request->operation != POLICY_RECEIVE && strncmp(buffer, "$delayed/", 9) == 0;
    return *delayed ? strchr(buffer + 9, '/') + 1 : buffer;
}

/* How many conditions an allow or a deny misses; -1: it is not about the request at all. */
static int missed(const struct random_rule *rule, const struct random_subject *subject,
    const struct policy_request *request, enum reason *reason)
{
    char buffer[128];
    bool delayed;
    const char *topic = without_prefix(request, buffer, &delayed);
    bool publishing = request->operation != POLICY_RECEIVE;
    int count = 0;
    *reason = REASON_no_allow;
    if (!applies(rule, subject) || (verbs_of(rule) & (publishing ? R_PUBLISH : R_RECEIVE)) == 0 ||
        !in_topics(rule, topic, subject) || in_excepts(rule, topic, subject))
        return -1;
    if (!publishing)
        return 0;
    count += rule->retain >= 0 && (rule->retain == 1) != request->retain;
    if (rule->deny)
        return count;
    count += rule->max_qos >= 0 && request->qos > rule->max_qos;
    count += rule->max_size >= 0 && request->size > (uint64_t)rule->max_size;
    if (starts_own_tree(topic) && !rule->privileged) {
        count++;
        *reason = REASON_not_privileged;
    }
    if (delayed && (rule->features & POLICY_FEATURE_DELAYED) == 0) {
        count++;
        *reason = REASON_feature_not_granted;
    }
    return count;
}

static void finish(const struct random_policy *policy, struct reference_verdict *verdict)
{
    verdict->would_be_denied = verdict->allowed && verdict->would_deny;
    if (policy->monitor && !verdict->allowed) {
        verdict->allowed = true;
        verdict->would_be_denied = true;
    }
}

struct reference_verdict reference_decide(const struct random_policy *policy,
    const struct random_subject *subject, const struct policy_request *request)
{
    struct reference_verdict verdict = {.reason = REASON_no_allow};
    bool denied = false, allowed = false;
    enum reason reason;
    for (size_t i = 0; i < policy->rules; i++) {
        const struct random_rule *rule = &policy->rule[i];
        if (missed(rule, subject, request, &reason) != 0)
            continue;
        if (rule->deny)
            *(rule->monitor ? &verdict.would_deny : &denied) = true;
        else if (!rule->monitor)
            allowed = true;
    }
    if (denied)
        verdict.reason = REASON_denied_by_rule;
    else if (allowed)
        verdict.reason = REASON_allowed;
    verdict.allowed = verdict.reason == REASON_allowed;
    finish(policy, &verdict);
    return verdict;
}

static const struct random_rule *find_rule(const struct random_policy *policy, const char *name)
{
    unsigned number = 0;
    if (sscanf(name, "r%u", &number) != 1 || number >= policy->rules)
        return NULL;
    return &policy->rule[number];
}

bool reference_rule_decides(const struct random_policy *policy, const struct random_subject *subject,
    const struct policy_request *request, const char *name, bool deny)
{
    const struct random_rule *rule = find_rule(policy, name);
    enum reason reason;
    return rule != NULL && rule->deny == deny && missed(rule, subject, request, &reason) == 0;
}

bool reference_rule_near(const struct random_policy *policy, const struct random_subject *subject,
    const struct policy_request *request, const char *name)
{
    const struct random_rule *rule = find_rule(policy, name);
    enum reason reason;
    return rule != NULL && !rule->deny && !rule->monitor && missed(rule, subject, request, &reason) == 1;
}

/* ---- subscribe ---- */

/* "z" is in no pattern. */
static const char *const alphabet[] = {
    "a", "b", "", "z", "pa", "pb", "px1", "pc", "x1", "c", "u", "as", "bs", "us", "$x", "$SYS"};
#define LETTERS 16
#define PATTERN_LEVELS 2
#define FIRST_ONLY 2 /* the last ones make sense in the first level only */

struct survey {
    const struct random_policy *policy;
    const struct random_subject *subject;
    const char *filter;
    unsigned features;
    bool any, all_denied, any_denied, all_covered, all_receivable, reach, without_feature;
    uint8_t reach_qos;
};

static int qos_of(const struct random_rule *rule)
{
    return rule->max_qos < 0 ? 2 : rule->max_qos;
}

/* A topic that the filter matches. */
static void survey_topic(struct survey *survey, const char *topic)
{
    bool denied = false, covered = false, receivable = false;
    for (size_t i = 0; i < survey->policy->rules; i++) {
        const struct random_rule *rule = &survey->policy->rule[i];
        if (rule->monitor || !applies(rule, survey->subject) || (verbs_of(rule) & R_RECEIVE) == 0 ||
            !in_topics(rule, topic, survey->subject))
            continue;
        bool excepted = in_excepts(rule, topic, survey->subject);
        denied = denied || (rule->deny && !excepted);
        receivable = receivable || (!rule->deny && !excepted);
        if (rule->deny || (rule->verbs & R_SUBSCRIBE) == 0)
            continue;
        if ((survey->features & ~rule->features) != 0) {
            survey->without_feature = true;
            continue;
        }
        covered = true;
        survey->reach = true;
        survey->reach_qos = qos_of(rule) > survey->reach_qos ? (uint8_t)qos_of(rule) : survey->reach_qos;
    }
    survey->any = true;
    survey->all_denied = survey->all_denied && denied;
    survey->any_denied = survey->any_denied || denied;
    survey->all_covered = survey->all_covered && covered;
    survey->all_receivable = survey->all_receivable && receivable;
}

/* All topics that the filter matches: rest is what is left of it behind topic, which has depth levels. '#'
 * stands for up to one level more than any pattern has. */
static void survey_topics(struct survey *survey, const char *rest, char *topic, size_t depth)
{
    size_t length = strlen(topic), span = strcspn(rest, "/");
    bool many = rest[0] == '#', last = rest[span] == '\0';
    if (many && topic[0] != '\0' && topic_matches_pattern(survey->filter, topic, survey->subject) != NO)
        survey_topic(survey, topic);
    if (many && depth > PATTERN_LEVELS)
        return;
    for (size_t i = 0; i < LETTERS - (depth == 0 ? 0 : FIRST_ONLY); i++) {
        bool same = strlen(alphabet[i]) == span && memcmp(alphabet[i], rest, span) == 0;
        if (!many && !same && !(span == 1 && rest[0] == '+'))
            continue;
        snprintf(topic + length, 64 - length, "%s%s", depth == 0 ? "" : "/", alphabet[i]);
        if (many || !last)
            survey_topics(survey, many ? rest : rest + span + 1, topic, depth + 1);
        else if (topic[0] != '\0' && topic_matches_pattern(survey->filter, topic, survey->subject) != NO)
            survey_topic(survey, topic);
    }
    topic[length] = '\0';
}

/* The witnesses: "z" for '+', none to three for '#'. */
struct witnesses {
    bool open;
    int qos;
    bool all_monitor_denied;
};

static void judge_witness(const struct survey *survey, const char *topic, struct witnesses *witnesses)
{
    int open = -1, hidden = -1;
    bool monitor_denied = false;
    for (size_t i = 0; i < survey->policy->rules; i++) {
        const struct random_rule *rule = &survey->policy->rule[i];
        if (!applies(rule, survey->subject) || (verbs_of(rule) & R_SUBSCRIBE) == 0 ||
            !in_topics(rule, topic, survey->subject))
            continue;
        bool excepted = in_excepts(rule, topic, survey->subject);
        monitor_denied = monitor_denied || (rule->deny && rule->monitor && !excepted);
        if (rule->deny || rule->monitor || (survey->features & ~rule->features) != 0)
            continue;
        int *best = excepted ? &hidden : &open;
        *best = qos_of(rule) > *best ? qos_of(rule) : *best;
    }
    int qos = open >= 0 ? open : hidden >= 0 ? hidden : 0;
    witnesses->open = witnesses->open || open >= 0;
    witnesses->qos = qos < witnesses->qos ? qos : witnesses->qos;
    witnesses->all_monitor_denied = witnesses->all_monitor_denied && monitor_denied;
}

static struct witnesses judge_witnesses(const struct survey *survey)
{
    struct witnesses witnesses = {.qos = 2, .all_monitor_denied = true};
    char topic[64] = "", *out = topic;
    const char *at = survey->filter;
    bool multi = false;
    for (; *at != '\0' && *at != '#'; at++)
        *out++ = *at == '+' ? 'z' : *at;
    multi = *at == '#';
    /* Without the slash before '#'. */
    if (multi && out > topic)
        out--;
    *out = '\0';
    for (int extra = 0; extra <= (multi ? 4 : 0); extra++) {
        if (topic[0] != '\0')
            judge_witness(survey, topic, &witnesses);
        strcat(topic, extra == 0 && at == survey->filter ? "z" : "/z");
    }
    return witnesses;
}

struct reference_subscribe reference_subscribe(const struct random_policy *policy,
    const struct random_subject *subject, const char *filter, bool shared, uint8_t qos)
{
    struct survey survey = {.policy = policy,
        .subject = subject,
        .filter = filter,
        .features = shared ? POLICY_FEATURE_SHARED : 0,
        .all_denied = true,
        .all_covered = true,
        .all_receivable = true};
    struct reference_subscribe result = {.max_qos = qos};
    char topic[64] = "";
    survey_topics(&survey, filter, topic, 0);
    struct witnesses witnesses = judge_witnesses(&survey);
    bool uncovered = !survey.all_covered || !witnesses.open;
    bool filtered = uncovered || survey.any_denied || !survey.all_receivable;
    result.verdict.would_deny = witnesses.all_monitor_denied;
    if (survey.all_denied)
        result.verdict.reason = REASON_denied_by_rule;
    else if (uncovered && !survey.reach)
        result.verdict.reason = survey.without_feature ? REASON_feature_not_granted : REASON_no_allow;
    else if (uncovered && !policy->uncovered_filter)
        result.verdict.reason = REASON_not_covered;
    else if (shared && filtered)
        result.verdict.reason = REASON_shared_needs_filter;
    else
        result.verdict.reason = REASON_allowed;
    result.verdict.allowed = result.verdict.reason == REASON_allowed;
    uint8_t granted = uncovered ? survey.reach_qos : (uint8_t)witnesses.qos;
    if (result.verdict.allowed && !policy->monitor) {
        result.max_qos = granted < qos ? granted : qos;
        result.filtered = filtered;
    }
    finish(policy, &result.verdict);
    return result;
}
