/* SPDX-License-Identifier: Apache-2.0 */
/* The engine against the reference on random policies, and its promise about the envelope. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "random_policy.h"

#define DECIDE_POLICIES 2500
#define REQUESTS 50
#define SUBSCRIBE_POLICIES 1000
#define FILTERS 10
#define ENVELOPE_REQUESTS 6

struct round {
    struct random_policy random;
    struct fixture fixture;
    struct buffer text;
};

static struct round round_start(struct random *random)
{
    struct round round = {0};
    random_policy(random, &round.random);
    random_policy_print(&round.random, &round.text);
    buffer_append_byte(&round.text, '\0');
    round.fixture = fixture_good((const char *)buffer_view(&round.text).data);
    return round;
}

static void round_end(struct round *round)
{
    fixture_free(&round->fixture);
    buffer_release(&round->text);
}

static void random_request(struct random *random, char *topic, struct policy_request *request)
{
    static const uint64_t sizes[] = {0, 1, 10, 11, 100, 101, 100000};
    char plain[64];
    random_topic(random, plain);
    snprintf(topic, 96, "%s%s", random_chance(random, 12) ? "$delayed/7/" : "", plain);
    *request = (struct policy_request){
        .operation = (enum policy_operation)random_below(random, 3),
        .topic = view_of_string(topic),
        .dialect = DIALECT_EMQX,
        .qos = (uint8_t)random_below(random, 3),
        .retain = random_chance(random, 50),
        .size = sizes[random_below(random, 7)],
    };
}

static void check_names(const struct round *round, const struct random_subject *subject,
    const struct policy_request *request, const struct policy_verdict *verdict)
{
    const char *text = (const char *)buffer_view(&round->text).data;
    if (verdict->reason == REASON_allowed || verdict->reason == REASON_denied_by_rule)
        CHECK(reference_rule_decides(&round->random, subject, request, rule_name(verdict->rule),
                  verdict->reason == REASON_denied_by_rule),
            "%.*s: '%s' does not decide in\n%s", VIEW_ARGS(request->topic), rule_name(verdict->rule), text);
    if (verdict->nearest != NULL)
        CHECK(reference_rule_near(&round->random, subject, request, rule_name(verdict->nearest)),
            "%.*s: '%s' does not miss by one condition in\n%s", VIEW_ARGS(request->topic),
            rule_name(verdict->nearest), text);
    if (verdict->would_deny != NULL)
        CHECK(reference_rule_decides(&round->random, subject, request, rule_name(verdict->would_deny), true),
            "%s", text);
}

/* Which near miss an engine names is its choice, and with it the finer reason. */
static enum reason coarse(enum reason reason)
{
    return reason == REASON_not_privileged || reason == REASON_feature_not_granted ? REASON_no_allow : reason;
}

static bool same_verdict(const struct policy_verdict *a, const struct policy_verdict *b)
{
    return a->allowed == b->allowed && a->reason == b->reason && a->rule == b->rule &&
           a->nearest == b->nearest && a->would_deny == b->would_deny &&
           a->would_be_denied == b->would_be_denied;
}

static void check_envelope(struct random *random, const struct round *round,
    const struct policy_subject *subject, const struct policy_request *request,
    const struct policy_verdict *verdict)
{
    const struct policy_envelope *envelope = &verdict->envelope;
    struct policy_request other = *request;
    if (!envelope->valid)
        return;
    CHECK(request->qos <= envelope->max_qos && request->size <= envelope->max_size &&
              (envelope->retain || !request->retain),
        "the request itself is outside of its envelope");
    CHECK(!verdict->would_be_denied && verdict->would_deny == NULL,
        "an envelope with a finding of monitor mode");
    for (int i = 0; i < ENVELOPE_REQUESTS; i++) {
        static const uint64_t sizes[] = {0, 5, 10, 11, 99, 100, 101, 5000, UINT64_MAX};
        uint64_t size = sizes[random_below(random, 9)];
        struct policy_verdict found;
        other.qos = (uint8_t)random_below(random, envelope->max_qos + 1U);
        other.size = size < envelope->max_size ? size : envelope->max_size;
        other.retain = envelope->retain && random_chance(random, 50);
        policy_decide(round->fixture.policy, subject, &other, &found);
        CHECK(same_verdict(verdict, &found),
            "%.*s: qos %u retain %d size %llu differs within the envelope of\n%s", VIEW_ARGS(request->topic),
            other.qos, other.retain, (unsigned long long)other.size,
            (const char *)buffer_view(&round->text).data);
    }
}

Test(random, decisions_agree_with_the_reference_and_hold_within_their_envelope, .timeout = 120)
{
    struct random random = random_seeded("decide");
    size_t allowed = 0, enveloped = 0, denied = 0;
    for (int n = 0; n < DECIDE_POLICIES; n++) {
        struct round round = round_start(&random);
        struct random_subject subject;
        random_subject(&random, &subject);
        struct policy_subject *identified = random_subject_identify(&round.fixture, &subject);
        for (int i = 0; i < REQUESTS; i++) {
            char topic[96];
            struct policy_request request;
            struct policy_verdict verdict;
            random_request(&random, topic, &request);
            struct reference_verdict expected = reference_decide(&round.random, &subject, &request);
            policy_decide(round.fixture.policy, identified, &request, &verdict);
            CHECK(verdict.allowed == expected.allowed && coarse(verdict.reason) == expected.reason &&
                      (verdict.would_deny != NULL) == expected.would_deny &&
                      verdict.would_be_denied == expected.would_be_denied,
                "id %s site %s client %s: operation %d %s qos %u retain %d size %llu: %s, not %s\n%s",
                subject.id, subject.site, subject.client_id, request.operation, topic, request.qos,
                request.retain, (unsigned long long)request.size, reason_info(verdict.reason)->name,
                reason_info(expected.reason)->name, (const char *)buffer_view(&round.text).data);
            check_names(&round, &subject, &request, &verdict);
            check_envelope(&random, &round, identified, &request, &verdict);
            allowed += verdict.reason == REASON_allowed;
            denied += verdict.reason == REASON_denied_by_rule;
            enveloped += verdict.envelope.valid;
        }
        policy_subject_free(identified);
        round_end(&round);
    }
    cr_assert(allowed > DECIDE_POLICIES && denied > DECIDE_POLICIES && enveloped > DECIDE_POLICIES * 5,
        "too few of a kind: %zu allowed, %zu denied, %zu with an envelope", allowed, denied, enveloped);
}

static void check_subscribe(struct random *random, const struct round *round,
    const struct random_subject *subject, const struct policy_subject *identified, size_t *counts)
{
    char plain[64], filter[80];
    bool shared = random_chance(random, 35);
    struct policy_subscribe_verdict verdict;
    random_filter(random, plain);
    snprintf(filter, sizeof(filter), "%s%s", shared ? "$share/g/" : "", plain);
    const struct policy_subscribe_request request = {.filter = view_of_string(filter),
        .dialect = DIALECT_MOSQUITTO,
        .qos = (uint8_t)random_below(random, 3)};
    struct reference_subscribe expected =
        reference_subscribe(&round->random, subject, plain, shared, request.qos);
    policy_decide_subscribe(round->fixture.policy, identified, &request, &verdict);
    const struct policy_verdict *found = &verdict.verdict;
    counts[0] += found->reason == REASON_allowed;
    counts[1] += found->reason == REASON_denied_by_rule;
    counts[2] += verdict.filtered;
    counts[3] += found->reason == REASON_not_covered;
    counts[4] += found->reason == REASON_shared_needs_filter;
    /* In monitor mode the other side of a shared filter may add a finding of its own. */
    bool would = (found->would_deny != NULL) == expected.verdict.would_deny || shared;
    bool would_be = found->would_be_denied == expected.verdict.would_be_denied || shared;
    CHECK(found->allowed == expected.verdict.allowed && found->reason == expected.verdict.reason && would &&
              would_be && verdict.max_qos == expected.max_qos && verdict.filtered == expected.filtered,
        "id %s site %s client %s user %s: %s qos %u: %s qos %u filtered %d, not %s qos %u filtered %d\n%s",
        subject->id, subject->site, subject->client_id, subject->username, filter, request.qos,
        reason_info(found->reason)->name, verdict.max_qos, verdict.filtered,
        reason_info(expected.verdict.reason)->name, expected.max_qos, expected.filtered,
        (const char *)buffer_view(&round->text).data);
}

Test(random, subscriptions_agree_with_all_their_topics_one_by_one, .timeout = 120)
{
    struct random random = random_seeded("subscribe");
    size_t counts[5] = {0};
    for (int n = 0; n < SUBSCRIBE_POLICIES; n++) {
        struct round round = round_start(&random);
        struct random_subject subject;
        random_subject(&random, &subject);
        /* The reference's topics are too few to say what an unknown client id may be. */
        subject.client_id = subject.client_id == NULL ? "u" : subject.client_id;
        struct policy_subject *identified = random_subject_identify(&round.fixture, &subject);
        for (int i = 0; i < FILTERS; i++)
            check_subscribe(&random, &round, &subject, identified, counts);
        policy_subject_free(identified);
        round_end(&round);
    }
    for (size_t i = 0; i < 5; i++)
        cr_assert_gt(counts[i], 20, "too few of kind %zu: %zu", i, counts[i]);
}
