/* SPDX-License-Identifier: Apache-2.0 */
/* What the linter says of rules that can never decide, and of groups that nobody can be in, is
 * true: in random policies no client and no request shows otherwise. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "../rounds.h"
#include "random_policy.h"

#define POLICIES 2000
#define CLIENTS 12
#define REQUESTS 40
#define NAMES 64

/* Rules that a warning is about. */
struct named {
    char names[NAMES][32];
    size_t count;
};

static void find_named(const char *messages, const char *begin, const char *claim, struct named *named)
{
    named->count = 0;
    for (const char *at = strstr(messages, begin); at != NULL; at = strstr(at, begin)) {
        at += strlen(begin);
        size_t length = strcspn(at, "'");
        if (strncmp(at + length + 2, claim, strlen(claim)) != 0)
            continue;
        cr_assert_lt(named->count, NAMES);
        snprintf(named->names[named->count++], sizeof(named->names[0]), "%.*s", (int)length, at);
    }
}

static bool is_named(const struct named *named, const char *name)
{
    for (size_t i = 0; i < named->count; i++) {
        if (strcmp(named->names[i], name) == 0)
            return true;
    }
    return false;
}

struct case_of {
    struct random *random;
    const struct random_policy *policy;
    const struct fixture *fixture;
    const char *text;
    struct named idle;      /* all of which it is said that they can never ... */
    struct named undecided; /* ... decide */
    struct named empty;     /* groups */
    size_t members;         /* of any group */
    size_t decided;         /* by any rule */
};

#define NOT_IDLE(of, idle, rule, topic)                                                                      \
    cr_expect_not((rule) != NULL && is_named(&(of)->idle, rule_name(rule)),                                  \
        "'%s' decides about %s, and the linter says it never does\n%s\n%s", rule_name(rule), topic,          \
        (of)->text, (of)->fixture->messages)

static void ask(struct case_of *of, const struct policy_subject *subject,
    const struct random_subject *believed, enum dialect dialect)
{
    static const uint64_t sizes[] = {0, 10, 11, 100, 101, 100000};
    char topic[TOPIC_SIZE], filter[TOPIC_SIZE];
    random_topic(of->random, of->policy, believed, topic);
    random_filter(of->random, of->policy, believed, filter);
    const struct policy_request request = {
        .operation = (enum policy_operation)random_below(of->random, 3),
        .topic = view_of_string(topic),
        .dialect = dialect,
        .qos = (uint8_t)random_below(of->random, 3),
        .retain = random_chance(of->random, 50),
        .size = sizes[random_below(of->random, 6)],
    };
    const struct policy_subscribe_request wanted = {view_of_string(filter), dialect, 2};
    struct policy_verdict verdict;
    struct policy_subscribe_verdict subscription;
    policy_decide(of->fixture->policy, subject, &request, &verdict);
    policy_decide_subscribe(of->fixture->policy, subject, &wanted, &subscription);
    NOT_IDLE(of, idle, verdict.rule, topic);
    NOT_IDLE(of, idle, verdict.would_deny, topic);
    /* What allows a filter is any rule that allows a part of it, though a deny takes that part back. */
    if (subscription.verdict.allowed)
        NOT_IDLE(of, undecided, subscription.verdict.rule, filter);
    of->decided += verdict.rule != NULL;
}

static void check_groups(struct case_of *of, const struct policy_subject *subject)
{
    const char *names[GROUPS + 1];
    size_t count = policy_subject_groups(of->fixture->policy, subject, names, GROUPS + 1);
    for (size_t i = 0; i < count; i++)
        cr_expect_not(is_named(&of->empty, names[i]), "somebody is in '%s'\n%s\n%s", names[i], of->text,
            of->fixture->messages);
    of->members += count;
}

static void ask_clients(struct case_of *of)
{
    for (int i = 0; i < CLIENTS; i++) {
        struct random_client client;
        struct random_subject believed;
        struct policy_subject *subject;
        random_client(of->random, of->policy, &client);
        reference_identify(of->policy, &client, &believed);
        random_client_identify(of->fixture->policy, &client, &subject);
        if (subject != NULL)
            check_groups(of, subject);
        for (int k = 0; k < REQUESTS && of->idle.count > 0 && subject != NULL; k++)
            ask(of, subject, &believed, client.dialect);
        policy_subject_free(subject);
    }
}

Test(random, rules_that_the_linter_calls_idle_never_decide, .timeout = 300)
{
    static struct random_policy policy;
    struct random random = random_seeded("random/lint");
    size_t idle = 0, decided = 0, empty = 0, members = 0;
    for (int n = 0; n < (int)rounds_of(POLICIES); n++) {
        struct buffer text = {0};
        random_policy(&random, &policy, n % 4 == 0);
        random_policy_print(&policy, &text);
        buffer_append_byte(&text, '\0');
        struct fixture fixture = fixture_good((const char *)buffer_view(&text).data);
        struct case_of of = {.random = &random, .policy = &policy, .fixture = &fixture};
        of.text = (const char *)buffer_view(&text).data;
        find_named(fixture.messages, "warning: rule '", "can never", &of.idle);
        find_named(fixture.messages, "warning: rule '", "can never decide", &of.undecided);
        find_named(fixture.messages, "warning: nobody can be in group '", "", &of.empty);
        if (of.idle.count > 0 || of.empty.count > 0)
            ask_clients(&of);
        idle += of.idle.count;
        empty += of.empty.count;
        members += of.members;
        decided += of.decided;
        fixture_free(&fixture);
        buffer_release(&text);
    }
    if (!rounds_are_all())
        return;
    cr_expect_gt(idle, 1500, "too few idle rules: %zu", idle);
    cr_expect_gt(decided, 30000, "too few decisions: %zu", decided);
    cr_expect_gt(empty, 50, "too few empty groups: %zu", empty);
    cr_expect_gt(members, 500, "too few members: %zu", members);
}
