/* SPDX-License-Identifier: Apache-2.0 */
/* The reference for subscriptions: it goes through the topics of the filter one by one. */
#include <stdio.h>

#include "random_policy.h"

/* ---- which topics there are ---- */

/* '#' stands for one level more than any pattern has. */
#define DEPTH (PATTERN_LEVELS + 24)
#define LETTERS 32

/* The texts that a level can have, as far as the policy can tell them apart: those that some pattern or the
 * filter has in this place, and "z" for all others. */
struct alphabet {
    size_t depth; /* levels of the longest topic */
    size_t count[DEPTH];
    char letter[DEPTH][LETTERS][24];
};

static void add_letter(struct alphabet *alphabet, size_t place, const char *text)
{
    for (size_t i = 0; i < alphabet->count[place]; i++) {
        if (strcmp(alphabet->letter[place][i], text) == 0)
            return;
    }
    cr_assert(
        alphabet->count[place] < LETTERS && strlen(text) < 24, "too many letters, or '%s' is too long", text);
    strcpy(alphabet->letter[place][alphabet->count[place]++], text);
}

static void add_letters(struct alphabet *alphabet, const char *pattern, const struct random_subject *subject)
{
    size_t place = 0, open, close;
    for (const char *level = pattern;; place++) {
        char text[64];
        size_t length = strcspn(level, "/");
        int placeholder = level_placeholder(level, length, &open, &close);
        bool wild = length == 1 && (level[0] == '+' || level[0] == '#');
        if (placeholder < 0)
            snprintf(text, sizeof(text), "%.*s", (int)length, level);
        else
            snprintf(text, sizeof(text), "%.*s%s%.*s", (int)open, level,
                subject->value[placeholder] == NULL ? "z" : subject->value[placeholder],
                (int)(length - close), level + close);
        if (!wild)
            add_letter(alphabet, place, text);
        if (level[length] == '\0')
            break;
        level += length + 1;
    }
    alphabet->depth = place + 2 > alphabet->depth ? place + 2 : alphabet->depth;
}

static void make_alphabet(struct alphabet *alphabet, const struct random_policy *policy,
    const struct random_subject *subject, const char *filter)
{
    alphabet->depth = 1;
    memset(alphabet->count, 0, sizeof(alphabet->count));
    for (size_t i = 0; i < policy->rules; i++) {
        const struct random_rule *rule = &policy->rule[i];
        for (size_t k = 0; k < rule->topics; k++)
            add_letters(alphabet, rule->topic[k], subject);
        for (size_t k = 0; k < rule->excepts; k++)
            add_letters(alphabet, rule->except[k], subject);
    }
    add_letters(alphabet, filter, subject);
    for (size_t place = 0; place < alphabet->depth; place++)
        add_letter(alphabet, place, "z");
}

/* ---- what the rules say about them ---- */

struct survey {
    const struct random_policy *policy;
    const struct random_subject *subject;
    const char *filter;
    unsigned features;
    const struct random_rule *about[RULES]; /* the rules that are about deliveries to this subject */
    size_t about_count;
    struct alphabet alphabet;
    bool all_denied, any_denied, any_monitor_denied, all_covered, all_receivable, reach, without_feature;
    uint8_t reach_qos;
    struct reference_subscribe *out;
};

static int qos_of(const struct random_rule *rule)
{
    return rule->max_qos < 0 ? 2 : rule->max_qos;
}

/* One rule that has the topic among its own. True if it covers it for a subscription. */
static bool survey_rule(struct survey *survey, const struct random_rule *rule, bool excepted)
{
    size_t number = (size_t)(rule - survey->policy->rule);
    if (rule->deny) {
        survey->any_monitor_denied |= rule->monitor && !excepted;
        survey->out->denies[number] |= !excepted;
        return false;
    }
    if (rule->monitor || (rule->verbs & R_SUBSCRIBE) == 0)
        return false;
    if ((survey->features & ~rule->features) != 0) {
        survey->without_feature = true;
        return false;
    }
    survey->reach = true;
    survey->reach_qos = qos_of(rule) > survey->reach_qos ? (uint8_t)qos_of(rule) : survey->reach_qos;
    survey->out->allows[number] |= !excepted;
    return true;
}

/* A topic that the filter matches. */
static void survey_topic(struct survey *survey, const char *topic)
{
    bool denied = false, covered = false, receivable = false;
    for (size_t i = 0; i < survey->about_count; i++) {
        const struct random_rule *rule = survey->about[i];
        if (!in_topics(rule, topic, survey->subject))
            continue;
        bool excepted = in_excepts(rule, topic, survey->subject);
        denied |= rule->deny && !rule->monitor && !excepted;
        receivable |= !rule->deny && !rule->monitor && !excepted;
        covered |= survey_rule(survey, rule, excepted);
    }
    survey->all_denied &= denied;
    survey->any_denied |= denied;
    survey->all_covered &= covered;
    survey->all_receivable &= receivable;
}

/* All topics that the filter matches: rest is what is left of it behind topic, which has depth levels. */
static void survey_topics(struct survey *survey, const char *rest, char *topic, size_t depth)
{
    size_t length = strlen(topic), span = strcspn(rest, "/");
    bool many = rest[0] == '#', last = rest[span] == '\0';
    if (many && topic[0] != '\0' && topic_matches_pattern(survey->filter, topic, survey->subject) != NO)
        survey_topic(survey, topic);
    if (many && depth == survey->alphabet.depth)
        return;
    for (size_t i = 0; i < survey->alphabet.count[depth]; i++) {
        const char *letter = survey->alphabet.letter[depth][i];
        bool same = strlen(letter) == span && memcmp(letter, rest, span) == 0;
        if (!many && !same && !(span == 1 && rest[0] == '+'))
            continue;
        snprintf(topic + length, TOPIC_SIZE - length, "%s%s", depth == 0 ? "" : "/", letter);
        if (many || !last)
            survey_topics(survey, many ? rest : rest + span + 1, topic, depth + 1);
        else if (topic[0] != '\0' && topic_matches_pattern(survey->filter, topic, survey->subject) != NO)
            survey_topic(survey, topic);
    }
    topic[length] = '\0';
}

/* ---- the witnesses of policy-language, semantics 2: "z" for '+', any number of them for '#' ---- */

struct witnesses {
    bool open;
    int qos;
    bool all_monitor_denied;
};

static void judge_witness(const struct survey *survey, const char *topic, struct witnesses *witnesses)
{
    int open = -1, hidden = -1;
    bool monitor_denied = false;
    for (size_t i = 0; i < survey->about_count; i++) {
        const struct random_rule *rule = survey->about[i];
        if (!in_topics(rule, topic, survey->subject))
            continue;
        bool excepted = in_excepts(rule, topic, survey->subject);
        monitor_denied |= rule->deny && rule->monitor && !excepted;
        if (rule->deny || rule->monitor || (rule->verbs & R_SUBSCRIBE) == 0 ||
            (survey->features & ~rule->features) != 0)
            continue;
        int *best = excepted ? &hidden : &open;
        *best = qos_of(rule) > *best ? qos_of(rule) : *best;
    }
    int qos = open >= 0 ? open : hidden >= 0 ? hidden : 0;
    witnesses->open |= open >= 0;
    witnesses->qos = qos < witnesses->qos ? qos : witnesses->qos;
    witnesses->all_monitor_denied &= monitor_denied;
}

static struct witnesses judge_witnesses(const struct survey *survey)
{
    struct witnesses witnesses = {.qos = 2, .all_monitor_denied = true};
    char topic[TOPIC_SIZE] = "", *out = topic;
    const char *at = survey->filter;
    for (; *at != '\0' && *at != '#'; at++)
        *out++ = *at == '+' ? 'z' : *at;
    bool multi = *at == '#';
    /* Without the slash before '#'. */
    if (multi && out > topic)
        out--;
    *out = '\0';
    for (size_t extra = 0; extra <= (multi ? PATTERN_LEVELS + 2 : 0); extra++) {
        if (topic[0] != '\0')
            judge_witness(survey, topic, &witnesses);
        strcat(topic, extra == 0 && at == survey->filter ? "z" : "/z");
    }
    return witnesses;
}

/* ---- the verdict ---- */

static enum reason judge_survey(const struct survey *survey, bool uncovered, bool shared, bool filtered)
{
    if (survey->all_denied)
        return REASON_denied_by_rule;
    if (uncovered && !survey->reach)
        return survey->without_feature ? REASON_feature_not_granted : REASON_no_allow;
    if (uncovered && !survey->policy->uncovered_filter)
        return REASON_not_covered;
    return shared && filtered ? REASON_shared_needs_filter : REASON_allowed;
}

static void judge_filter(struct survey *survey, bool shared, uint8_t qos)
{
    struct reference_subscribe *out = survey->out;
    char topic[TOPIC_SIZE] = "";
    survey_topics(survey, survey->filter, topic, 0);
    struct witnesses witnesses = judge_witnesses(survey);
    bool uncovered = !survey->all_covered || !witnesses.open;
    bool filtered = uncovered || survey->any_denied || !survey->all_receivable;
    uint8_t granted = uncovered ? survey->reach_qos : (uint8_t)witnesses.qos;
    out->verdict.reason = judge_survey(survey, uncovered, shared, filtered);
    /* Of a shared filter, a deny that monitors would have refused the whole. */
    out->verdict.would_deny = witnesses.all_monitor_denied ||
                              (shared && out->verdict.reason == REASON_allowed && survey->any_monitor_denied);
    if (out->verdict.reason != REASON_allowed || survey->policy->monitor)
        return;
    out->max_qos = granted < qos ? granted : qos;
    out->filtered = filtered;
}

static void start_survey(struct survey *survey, const struct prefixes *prefixes)
{
    survey->filter = prefixes->rest;
    survey->features = prefixes->features;
    survey->all_denied = survey->all_covered = survey->all_receivable = true;
    survey->any_denied = survey->any_monitor_denied = survey->reach = survey->without_feature = false;
    survey->reach_qos = 0;
    survey->about_count = 0;
    for (size_t i = 0; i < survey->policy->rules; i++) {
        const struct random_rule *rule = &survey->policy->rule[i];
        if (rule_applies_to(rule, survey->subject) && (rule_all_verbs(rule) & R_RECEIVE) != 0)
            survey->about[survey->about_count++] = rule;
    }
    make_alphabet(&survey->alphabet, survey->policy, survey->subject, survey->filter);
}

void reference_subscribe(const struct random_policy *policy, const struct random_subject *subject,
    const struct policy_subscribe_request *request, struct reference_subscribe *out)
{
    static struct survey survey;
    char text[TOPIC_SIZE];
    snprintf(text, sizeof(text), "%.*s", (int)request->filter.length, (const char *)request->filter.data);
    struct prefixes prefixes = strip_prefixes(text, request->dialect, false);
    read_as_broker(text + (prefixes.rest - text), request->dialect, true);
    *out = (struct reference_subscribe){.max_qos = request->qos};
    survey.policy = policy;
    survey.subject = subject;
    survey.out = out;
    if (prefixes.malformed) {
        out->verdict.reason = REASON_topic_filter_invalid;
    } else if (policy->topic_levels > 0 && levels_of(prefixes.rest) > policy->topic_levels) {
        out->verdict.reason = REASON_topic_too_deep;
    } else {
        start_survey(&survey, &prefixes);
        judge_filter(&survey, prefixes.shared, request->qos);
    }
    apply_monitor(policy, &out->verdict);
}
