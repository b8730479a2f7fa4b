/* SPDX-License-Identifier: Apache-2.0 */
/* The engine against the reference: 100,000 random policies, each with a client of its own and requests of
 * all kinds, in parts that run in parallel. MQWARD_SEED=<n> with --filter repeats what a part printed,
 * MQWARD_ROUNDS (rounds.h) shortens all. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "../rounds.h"
#include "policy/explain.h"
#include "random_policy.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* 8 parts of small policies and 2 of large ones. */
#define SMALL_POLICIES 12400
#define LARGE_POLICIES 400
#define MESSAGES 4
#define FILTERS 3
#define CLIENTS 6 /* that try to be let in */
#define ENVELOPE_REQUESTS 3

enum kind { IDENTIFY, ASSIGN, PUBLISH, WILL, RECEIVE, SUBSCRIBE, SHARED, KINDS };
/* What happens beside reasons. */
enum event {
    WOULD_DENY,
    WOULD_BE_DENIED,
    NEAR_MISS,
    ENVELOPE,
    FILTERED,
    LOWERED,
    MONITOR_LET_IN,
    ASKS_PASSWORD,
    ASKS_BROKER,
    CHECKED,
    EVENTS
};

struct part {
    struct random random;
    size_t reasons[KINDS][REASON_COUNT];
    size_t events[EVENTS];
};

/* One policy and its client. */
struct round {
    struct part *part;
    struct random_policy random;
    struct random_client client;
    struct random_subject subject;
    struct fixture fixture;
    struct policy_subject *identified;
    struct buffer text;
};

static const char *text_of(const struct round *round)
{
    return (const char *)buffer_view(&round->text).data;
}

#define AGREE(round, condition, format, ...)                                                                 \
    CHECK(condition, format "\n%s\n%s", __VA_ARGS__, random_client_describe(&(round)->client), text_of(round))

/* ---- who ---- */

static void check_identification(
    struct round *round, const struct policy_identification *found, const struct reference_identity *expected)
{
    AGREE(round, found->result == expected->result && found->source == round->subject.source,
        "result %d source %d reason %s, not result %d source %d", found->result, found->source,
        reason_info(found->reason)->name, expected->result, round->subject.source);
    if (found->result != POLICY_REFUSED)
        return;
    AGREE(round, expected->refuses[found->reason], "refused because of %s", reason_info(found->reason)->name);
    if (found->rule != NULL)
        AGREE(round, reference_rule_needs(&round->random, &round->subject, rule_name(found->rule)),
            "'%s' does not need %s", rule_name(found->rule), found->detail);
}

/* One more client; true if it is let in. */
static bool try_client(struct round *round)
{
    struct part *part = round->part;
    random_client(&part->random, &round->random, &round->client);
    struct reference_identity expected = reference_identify(&round->random, &round->client, &round->subject);
    struct policy_identification found =
        random_client_identify(round->fixture.policy, &round->client, &round->identified);
    check_identification(round, &found, &expected);
    part->reasons[IDENTIFY][found.reason]++;
    part->events[ASKS_PASSWORD] += found.result == POLICY_CHECK_PASSWORD;
    part->events[ASKS_BROKER] += found.result == POLICY_ASK_BROKER;
    AGREE(round, (round->identified != NULL) == (found.result != POLICY_REFUSED || round->random.monitor),
        "result %d with%s a subject", found.result, round->identified == NULL ? "out" : "");
    if (found.result != POLICY_REFUSED)
        return true;
    part->events[MONITOR_LET_IN] += round->identified != NULL;
    reference_forget(&round->subject);
    return round->identified != NULL;
}

/* The broker assigns the client id. False if it can't go on with it. */
static bool assign_client_id(struct round *round)
{
    struct policy_identification found = policy_subject_set_client_id(
        round->fixture.policy, round->identified, view_of_string(round->client.assigned));
    struct reference_identity expected =
        reference_assign(&round->random, round->client.assigned, &round->subject);
    AGREE(round, found.result == expected.result, "assigned: result %d reason %s, not result %d",
        found.result, reason_info(found.reason)->name, expected.result);
    round->part->reasons[ASSIGN][found.reason]++;
    if (found.result != POLICY_REFUSED)
        return true;
    AGREE(round, expected.refuses[found.reason], "assigned: refused because of %s",
        reason_info(found.reason)->name);
    reference_forget(&round->subject);
    return round->random.monitor;
}

/* ---- messages ---- */

static void random_request(struct round *round, char topic[TOPIC_SIZE], struct policy_request *request)
{
    static const uint64_t sizes[] = {0, 1, 10, 11, 100, 101, 100000};
    static const char *const prefixes[] = {"$delayed/7/", "$delayed/7/", "$delayed/0000000001/$delayed/2/",
        "$delayed/x/", "$delayed//", "$delayed/12345678901/", "$share/g/"};
    struct random *random = &round->part->random;
    char plain[TOPIC_SIZE];
    random_topic(random, &round->random, &round->subject, plain);
    snprintf(topic, TOPIC_SIZE, "%s%s",
        random_chance(random, 15) ? prefixes[random_below(random, COUNT(prefixes))] : "",
        random_chance(random, 98) ? plain : "");
    if (topic[0] == '\0')
        strcpy(topic, "a");
    *request = (struct policy_request){
        .operation = (enum policy_operation)random_below(random, 3),
        .topic = view_of_string(topic),
        .dialect = round->client.dialect,
        .qos = (uint8_t)random_below(random, 3),
        .retain = random_chance(random, 50),
        .size = sizes[random_below(random, 7)],
    };
}

/* Which near miss an engine names is its choice, and with it the finer reason. */
static enum reason coarse(enum reason reason)
{
    return reason == REASON_not_privileged || reason == REASON_feature_not_granted ? REASON_no_allow : reason;
}

static void check_names(struct round *round, const struct policy_request *request,
    const struct policy_verdict *verdict, const struct reference_verdict *expected)
{
    const struct random_policy *policy = &round->random;
    const struct random_subject *subject = &round->subject;
    if (verdict->reason == REASON_allowed || verdict->reason == REASON_denied_by_rule)
        AGREE(round,
            reference_rule_decides(
                policy, subject, request, rule_name(verdict->rule), verdict->reason == REASON_denied_by_rule),
            "%.*s: '%s' does not decide", VIEW_ARGS(request->topic), rule_name(verdict->rule));
    if (verdict->would_deny != NULL)
        AGREE(round, reference_rule_decides(policy, subject, request, rule_name(verdict->would_deny), true),
            "%.*s: '%s' would not deny", VIEW_ARGS(request->topic), rule_name(verdict->would_deny));
    bool none = coarse(verdict->reason) != REASON_no_allow || !expected->near;
    AGREE(round, none == (verdict->nearest == NULL), "%.*s: nearest '%s'", VIEW_ARGS(request->topic),
        rule_name(verdict->nearest));
    if (verdict->nearest != NULL)
        AGREE(round,
            reference_rule_near(
                policy, subject, request, rule_name(verdict->nearest), verdict->nearest_condition),
            "%.*s: '%s' does not miss by %s alone", VIEW_ARGS(request->topic), rule_name(verdict->nearest),
            verdict->nearest_condition);
}

static bool same_verdict(const struct policy_verdict *a, const struct policy_verdict *b)
{
    return a->allowed == b->allowed && a->reason == b->reason && a->rule == b->rule &&
           a->nearest == b->nearest && a->would_deny == b->would_deny && a->checks == b->checks &&
           a->would_be_denied == b->would_be_denied;
}

/* What the engine promises about other messages to the same topic. */
static void check_envelope(
    struct round *round, const struct policy_request *request, const struct policy_verdict *verdict)
{
    static const uint64_t sizes[] = {0, 5, 10, 11, 99, 100, 101, 5000, UINT64_MAX};
    const struct policy_envelope *envelope = &verdict->envelope;
    struct random *random = &round->part->random;
    struct policy_request other = *request;
    AGREE(round,
        request->qos <= envelope->max_qos && request->size <= envelope->max_size &&
            (envelope->retain || !request->retain) && !verdict->would_be_denied &&
            verdict->would_deny == NULL,
        "%.*s: outside of its own envelope, or one with a finding of monitor mode",
        VIEW_ARGS(request->topic));
    for (int i = 0; i < ENVELOPE_REQUESTS; i++) {
        uint64_t size = sizes[random_below(random, COUNT(sizes))];
        struct policy_verdict found;
        other.qos = (uint8_t)random_below(random, envelope->max_qos + 1U);
        other.size = size < envelope->max_size ? size : envelope->max_size;
        other.retain = envelope->retain && random_chance(random, 50);
        policy_decide(round->fixture.policy, round->identified, &other, &found);
        AGREE(round, same_verdict(verdict, &found),
            "%.*s: qos %u retain %d size %llu differs within the envelope", VIEW_ARGS(request->topic),
            other.qos, other.retain, (unsigned long long)other.size);
    }
}

/* By the reference, and by the explanation's own look at each of them. */
static void check_checks(
    struct round *round, const struct policy_request *request, const struct policy_verdict *verdict)
{
    uint64_t expected = reference_checks(&round->random, &round->subject, request);
    struct policy_outcome explained =
        policy_explain_request(round->fixture.policy, round->identified, request);
    if (verdict->reason != REASON_allowed)
        expected = 0;
    AGREE(round, verdict->checks == expected && explained.checks == expected,
        "operation %d %.*s: checks 0x%llx, explained 0x%llx, not 0x%llx", request->operation,
        VIEW_ARGS(request->topic), (unsigned long long)verdict->checks, (unsigned long long)explained.checks,
        (unsigned long long)expected);
    round->part->events[CHECKED] += expected != 0;
}

static void check_message(struct round *round)
{
    static const enum kind kinds[] = {
        [POLICY_PUBLISH] = PUBLISH, [POLICY_WILL] = WILL, [POLICY_RECEIVE] = RECEIVE};
    struct part *part = round->part;
    char topic[TOPIC_SIZE];
    struct policy_request request;
    struct policy_verdict verdict;
    random_request(round, topic, &request);
    struct reference_verdict expected = reference_decide(&round->random, &round->subject, &request);
    policy_decide(round->fixture.policy, round->identified, &request, &verdict);
    AGREE(round,
        verdict.allowed == expected.allowed && coarse(verdict.reason) == expected.reason &&
            (verdict.would_deny != NULL) == expected.would_deny &&
            verdict.would_be_denied == expected.would_be_denied,
        "operation %d %s qos %u retain %d size %llu: %s, not %s", request.operation, topic, request.qos,
        request.retain, (unsigned long long)request.size, reason_info(verdict.reason)->name,
        reason_info(expected.reason)->name);
    check_names(round, &request, &verdict, &expected);
    check_checks(round, &request, &verdict);
    if (verdict.envelope.valid)
        check_envelope(round, &request, &verdict);
    part->reasons[kinds[request.operation]][verdict.reason]++;
    part->events[WOULD_DENY] += verdict.would_deny != NULL;
    part->events[WOULD_BE_DENIED] += verdict.would_be_denied;
    part->events[NEAR_MISS] += verdict.nearest != NULL;
    part->events[ENVELOPE] += verdict.envelope.valid;
}

/* ---- subscriptions ---- */

static void random_subscribe(
    struct round *round, char filter[TOPIC_SIZE], struct policy_subscribe_request *request)
{
    static const char *const prefixes[] = {"$share/g/", "$share/g/", "$share/g/", "$share/g/", "$share/g/",
        "$share/g/", "$share/h/", "$share/g/", "$queue/", "$queue/", "$exclusive/", "$stream/",
        "$share/g/$exclusive/", "$queue/$stream/", "$share/+/", "$share//", "$share/g/$share/h/",
        "$queue/$share/g/", "$exclusive/$share/g/", "$unknown/"};
    struct random *random = &round->part->random;
    char plain[TOPIC_SIZE];
    random_filter(random, &round->random, &round->subject, plain);
    snprintf(filter, TOPIC_SIZE, "%s%s",
        random_chance(random, 45) ? prefixes[random_below(random, COUNT(prefixes))] : "",
        random_chance(random, 99) ? plain : "");
    if (filter[0] == '\0')
        strcpy(filter, "+");
    *request = (struct policy_subscribe_request){.filter = view_of_string(filter),
        .dialect = round->client.dialect,
        .qos = (uint8_t)random_below(random, 3)};
}

static size_t rule_number(const struct random_policy *policy, const struct policy_rule_info *rule)
{
    return rule == NULL ? SIZE_MAX : (size_t)(find_rule(policy, rule->name) - policy->rule);
}

/* A deny in monitor mode whose value is not known may be about any topic of the filter. */
static bool findings_agree(
    const struct round *round, const struct policy_verdict *found, const struct reference_verdict *expected)
{
    bool would_deny = found->would_deny != NULL, unknown = false;
    for (size_t i = 0; i < PLACEHOLDERS; i++)
        unknown |= round->subject.value[i] == NULL;
    if (unknown && would_deny && !expected->would_deny)
        return true;
    return would_deny == expected->would_deny && found->would_be_denied == expected->would_be_denied;
}

static void check_subscribe(struct round *round)
{
    struct part *part = round->part;
    char filter[TOPIC_SIZE];
    struct policy_subscribe_request request;
    struct policy_subscribe_verdict found;
    struct reference_subscribe expected;
    random_subscribe(round, filter, &request);
    reference_subscribe(&round->random, &round->subject, &request, &expected);
    policy_decide_subscribe(round->fixture.policy, round->identified, &request, &found);
    const struct policy_verdict *verdict = &found.verdict;
    AGREE(round,
        verdict->allowed == expected.verdict.allowed && verdict->reason == expected.verdict.reason &&
            findings_agree(round, verdict, &expected.verdict) && found.max_qos == expected.max_qos &&
            found.filtered == expected.filtered,
        "%s qos %u: %s qos %u filtered %d would_deny %d, not %s qos %u filtered %d would_deny %d", filter,
        request.qos, reason_info(verdict->reason)->name, found.max_qos, found.filtered,
        verdict->would_deny != NULL, reason_info(expected.verdict.reason)->name, expected.max_qos,
        expected.filtered, expected.verdict.would_deny);
    size_t rule = rule_number(&round->random, verdict->rule);
    AGREE(round,
        rule == SIZE_MAX || (verdict->reason == REASON_allowed ? expected.allows : expected.denies)[rule],
        "%s: %s, but not by '%s'", filter, reason_info(verdict->reason)->name, rule_name(verdict->rule));
    part->reasons[strncmp(filter, "$share/", 7) == 0 ? SHARED : SUBSCRIBE][verdict->reason]++;
    part->events[FILTERED] += found.filtered;
    part->events[LOWERED] += verdict->reason == REASON_allowed && found.max_qos < request.qos;
}

/* ---- rounds ---- */

/* True if a client was let in and its requests were judged. */
static bool run_round(struct round *round)
{
    bool in = false;
    for (int i = 0; i < CLIENTS && !in; i++)
        in = try_client(round);
    if (!in)
        return false;
    bool pending = round->client.client_id[0] == '\0';
    for (int i = 0; i < MESSAGES && pending; i++)
        check_message(round);
    if (pending && !assign_client_id(round))
        return false;
    for (int i = 0; i < MESSAGES; i++)
        check_message(round);
    /* Of a client that it forgot, monitor mode only says yes. */
    for (int i = 0; i < FILTERS && !round->subject.forgotten; i++)
        check_subscribe(round);
    return true;
}

static void run_part(struct part *part, const char *name, uint64_t number, size_t policies, bool large)
{
    static struct round round;
    part->random = random_seeded(name);
    part->random.state += number << 32;
    for (size_t n = 0; n < rounds_of(policies);) {
        round = (struct round){.part = part};
        random_policy(&part->random, &round.random, large);
        random_policy_print(&round.random, &round.text);
        buffer_append_byte(&round.text, '\0');
        round.fixture = fixture_good(text_of(&round));
        n += run_round(&round);
        policy_subject_free(round.identified);
        fixture_free(&round.fixture);
        buffer_release(&round.text);
    }
}

/* ---- how often what has to occur in a part of small policies ---- */

static const struct {
    enum kind kind;
    enum reason reason;
    size_t minimum;
} reasons_wanted[] = {
    {IDENTIFY, REASON_none, 4000},
    {IDENTIFY, REASON_identity_no_credential, 700},
    {IDENTIFY, REASON_identity_bad_certificate, 700},
    {IDENTIFY, REASON_identity_unsafe, 150},
    {IDENTIFY, REASON_identity_missing, 700},
    {IDENTIFY, REASON_client_id_not_allowed, 1500},
    {ASSIGN, REASON_none, 500},
    {ASSIGN, REASON_identity_unsafe, 12},
    {ASSIGN, REASON_client_id_not_allowed, 150},
    {PUBLISH, REASON_allowed, 700},
    {PUBLISH, REASON_denied_by_rule, 500},
    {PUBLISH, REASON_no_allow, 4000},
    {PUBLISH, REASON_not_privileged, 25},
    {PUBLISH, REASON_feature_not_granted, 12},
    {PUBLISH, REASON_topic_name_invalid, 150},
    {PUBLISH, REASON_topic_too_deep, 300},
    {WILL, REASON_allowed, 700},
    {WILL, REASON_denied_by_rule, 500},
    {WILL, REASON_no_allow, 4000},
    {RECEIVE, REASON_allowed, 1500},
    {RECEIVE, REASON_denied_by_rule, 800},
    {RECEIVE, REASON_no_allow, 3000},
    {SUBSCRIBE, REASON_allowed, 1000},
    {SUBSCRIBE, REASON_denied_by_rule, 700},
    {SUBSCRIBE, REASON_no_allow, 4000},
    {SUBSCRIBE, REASON_not_covered, 500},
    {SUBSCRIBE, REASON_feature_not_granted, 150},
    {SUBSCRIBE, REASON_topic_filter_invalid, 120},
    {SUBSCRIBE, REASON_topic_too_deep, 400},
    {SHARED, REASON_allowed, 150},
    {SHARED, REASON_denied_by_rule, 200},
    {SHARED, REASON_not_covered, 80},
    {SHARED, REASON_feature_not_granted, 300},
    {SHARED, REASON_shared_needs_filter, 30},
    {SHARED, REASON_topic_filter_invalid, 700},
};

static const size_t events_wanted[EVENTS] = {
    [WOULD_DENY] = 300,
    [WOULD_BE_DENIED] = 1500,
    [NEAR_MISS] = 900,
    [ENVELOPE] = 15000,
    [FILTERED] = 200,
    [LOWERED] = 150,
    [MONITOR_LET_IN] = 120,
    [ASKS_PASSWORD] = 60,
    [ASKS_BROKER] = 150,
    [CHECKED] = 200,
};

static void run_small(uint64_t number, const char *name)
{
    static struct part part;
    run_part(&part, name, number, SMALL_POLICIES, false);
    if (!rounds_are_all())
        return;
    for (size_t i = 0; i < COUNT(reasons_wanted); i++) {
        enum kind kind = reasons_wanted[i].kind;
        enum reason reason = reasons_wanted[i].reason;
        cr_expect_gt(part.reasons[kind][reason], reasons_wanted[i].minimum, "too few: kind %d, %s: %zu", kind,
            reason_info(reason)->name, part.reasons[kind][reason]);
    }
    for (size_t i = 0; i < EVENTS; i++)
        cr_expect_gt(part.events[i], events_wanted[i], "too few: event %zu: %zu", i, part.events[i]);
}

#define SMALL(number)                                                                                        \
    Test(random, small_policies_##number, .timeout = 300)                                                    \
    {                                                                                                        \
        run_small(number, "random/small_policies_" #number);                                                 \
    }
SMALL(0)
SMALL(1)
SMALL(2)
SMALL(3)
SMALL(4)
SMALL(5)
SMALL(6)
SMALL(7)

#define LARGE(number)                                                                                        \
    Test(random, large_policies_##number, .timeout = 300)                                                    \
    {                                                                                                        \
        static struct part part;                                                                             \
        run_part(&part, "random/large_policies_" #number, 8 + number, LARGE_POLICIES, true);                 \
    }
LARGE(0)
LARGE(1)
