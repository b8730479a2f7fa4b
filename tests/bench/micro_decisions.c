/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what mqward-bench-decisions measures: decisions without the connection's cache, and loading, for
 * policies that rulesets.py wrote. Their file name says which: <set>-<rules>-<groups>.yaml. The subject is
 * always plc-7 of site a. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"
#include "base/memory.h"
#include "micro.h"
#include "policy/policy.h"

#define TOPICS 256
#define TOPIC_SIZE 64
#define WORST_RUN 16 /* decisions in a run of the other sets, each of which may take milliseconds */
#define FILLERS 6    /* kinds of rules that fill a fleet's policy up; plant-<n> is the second */
#define FLEET_RULES 7

enum what { DECISIONS = 1, LOADING = 2 };
enum operation { PUBLISH, RECEIVE, SUBSCRIBE };

/* A case: 256 topics (or filters), of which %zu is the number; they all get the same answer. */
static const struct decision_case {
    const char *set, *name;
    enum operation operation;
    const char *topic;
    bool allowed;
    bool spread; /* each topic is another rule's, over the whole policy */
} cases[] = {
    {"fleet", "publish: allowed", PUBLISH, "dt/a/plc-7/t%zu", true, false},
    {"fleet", "publish: allowed, each by another rule", PUBLISH, "plant-%zu/x/plc-7/t", true, true},
    {"fleet", "publish: a rule denies", PUBLISH, "fw/plc/v%zu", false, false},
    {"fleet", "publish: nothing allows", PUBLISH, "dt/a/plc-8/t%zu", false, false},
    {"fleet", "receive: allowed", RECEIVE, "cmd/a/plc-7/c%zu", true, false},
    {"fleet", "receive: a rule denies", RECEIVE, "dt/a/plc-7/secret/k%zu", false, false},
    {"fleet", "subscribe: a topic", SUBSCRIBE, "cmd/a/plc-7/c%zu", true, false},
    {"fleet", "subscribe: P/#", SUBSCRIBE, "cmd/a/plc-7/c%zu/#", true, false},
    {"fleet", "subscribe: a hole in it", SUBSCRIBE, "st/a/#", true, false},
    {"fleet", "subscribe: nothing allows", SUBSCRIBE, "dt/a/plc-8/t%zu/#", false, false},
    {"fleet", "subscribe: #", SUBSCRIBE, "#", false, false},
    {"fleet", "subscribe: +/+/+/+/+/#", SUBSCRIBE, "+/+/+/+/+/#", false, false},
    {"same", "publish: all match", PUBLISH, "both/%zu", false, false},
    {"same", "publish: half, all allow", PUBLISH, "allow/%zu", true, false},
    {"same", "publish: half, all deny", PUBLISH, "deny/%zu", false, false},
    {"same", "receive: all match", RECEIVE, "both/%zu", false, false},
    {"same", "subscribe: all match", SUBSCRIBE, "both/%zu/#", false, false},
    {"same", "subscribe: half, all allow", SUBSCRIBE, "allow/%zu/#", true, false},
    {"holes", "subscribe: #", SUBSCRIBE, "#", true, false},
    {"holes", "subscribe: +/+/#", SUBSCRIBE, "+/+/#", true, false},
    {"holes", "receive: denied by one", RECEIVE, "hall-3/x/%zu", false, false},
    {"others", "subscribe: #", SUBSCRIBE, "#", false, false},
    {"others", "subscribe: +/+/+/+", SUBSCRIBE, "+/+/+/+", false, false},
    {"fan", "publish: all match", PUBLISH, "plc-7/plc-7/plc-7/plc-7/plc-7/plc-7/plc-7/plc-7/plc-7/%zu", true,
        false},
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

struct decision {
    const struct decision_case *row;
    struct policy *policy;
    struct policy_subject *subject;
    char topics[TOPICS][TOPIC_SIZE];
};

static const char *const cas[] = {"fleet"};
static const struct policy_names names = {.cas = cas, .ca_count = 1};

static struct policy *load(const char *path)
{
    struct diag_list *diag = diag_list_new();
    struct policy *policy = policy_load(path, &names, diag, NULL);

    if (policy == NULL) {
        diag_print(diag, stderr);
        exit(1);
    }
    diag_list_free(diag);
    return policy;
}

static bool decide(const struct decision *decision, struct view topic)
{
    struct policy_verdict verdict;
    struct policy_subscribe_verdict granted;

    if (decision->row->operation == SUBSCRIBE) {
        policy_decide_subscribe(decision->policy, decision->subject,
            &(struct policy_subscribe_request){topic, DIALECT_MOSQUITTO, 1}, &granted);
        return granted.verdict.allowed;
    }
    policy_decide(decision->policy, decision->subject,
        &(struct policy_request){
            .operation = decision->row->operation == PUBLISH ? POLICY_PUBLISH : POLICY_RECEIVE,
            .topic = topic,
            .dialect = DIALECT_MOSQUITTO,
            .size = 64},
        &verdict);
    return verdict.allowed;
}

static void run_decisions(void *context, size_t count)
{
    const struct decision *decision = context;

    for (size_t i = 0; i < count; i++) {
        const char *topic = decision->topics[i % TOPICS];
        if (decide(decision, view_of(topic, strlen(topic))) != decision->row->allowed) {
            fprintf(stderr, "mqward-bench-decisions: %s, %s: not the expected answer\n", decision->row->name,
                topic);
            exit(1);
        }
    }
}

static void destroy_decision(void *context)
{
    struct decision *decision = context;

    policy_subject_free(decision->subject);
    policy_release(decision->policy);
    free(decision);
}

/* The number goes where the row has %zu, if it does. */
static void write_topic(char *out, const char *form, size_t number)
{
    const char *place = strstr(form, "%zu");

    if (place == NULL)
        snprintf(out, TOPIC_SIZE, "%s", form);
    else
        snprintf(out, TOPIC_SIZE, "%.*s%zu%s", (int)(place - form), form, number, place + 3);
}

static struct decision *new_decision(const struct decision_case *row, struct policy *policy, size_t rules)
{
    static const struct policy_certificate_value values[] = {
        {"cn", {(const uint8_t *)"plc-7", 5}}, {"ou", {(const uint8_t *)"a", 1}}};
    const struct policy_credentials credentials = {.has_certificate = true,
        .certificate_cas = cas,
        .certificate_ca_count = 1,
        .certificate_values = values,
        .certificate_value_count = 2,
        .client_id = VIEW("plc-7"),
        .address = VIEW("127.0.0.1")};
    struct decision *decision = memory_calloc(1, sizeof(*decision));
    size_t plants = (rules - FLEET_RULES + FILLERS - 2) / FILLERS;

    decision->row = row;
    decision->policy = policy_retain(policy);
    if (policy_identify(policy, &credentials, &decision->subject).result != POLICY_IDENTIFIED) {
        fprintf(stderr, "mqward-bench-decisions: the policy does not know the client\n");
        exit(1);
    }
    for (size_t i = 0; i < TOPICS; i++) {
        /* Far from each other, as clients of a whole fleet are. */
        size_t number = row->spread ? i * 2654435761u % plants * FILLERS + 1 : i;
        write_topic(decision->topics[i], row->topic, number);
    }
    return decision;
}

static void run_load(void *context, size_t count)
{
    for (size_t i = 0; i < count; i++)
        policy_release(load(context));
}

static void keep(void *context)
{
    (void)context;
}

static void add_policy(
    struct micro_subject *subjects, size_t *used, size_t max, const char *path, unsigned what)
{
    const char *slash = strrchr(path, '/');
    char set[16];
    size_t rules, groups;

    if (sscanf(slash == NULL ? path : slash + 1, "%15[a-z]-%zu-%zu.yaml", set, &rules, &groups) != 3) {
        fprintf(stderr, "mqward-bench-decisions: %s is not named <set>-<rules>-<groups>.yaml\n", path);
        exit(1);
    }
    struct policy *policy = load(path);
    size_t run_size = strcmp(set, "fleet") == 0 ? TOPICS : WORST_RUN;
    for (size_t i = 0; i <= CASES; i++) {
        bool loading = i == CASES;
        if ((what & (loading ? LOADING : DECISIONS)) == 0 || (!loading && strcmp(cases[i].set, set) != 0))
            continue;
        assert(*used < max);
        struct micro_subject *subject = &subjects[(*used)++];
        *subject = loading ? (struct micro_subject){"", run_load, NULL, keep, (void *)(uintptr_t)path, 1}
                           : (struct micro_subject){"", run_decisions, NULL, destroy_decision,
                                 new_decision(&cases[i], policy, rules), run_size};
        snprintf(subject->name, sizeof(subject->name), "%s-%zu-%zu %s", set, rules, groups,
            loading ? "load" : cases[i].name);
    }
    policy_release(policy);
}

size_t micro_subjects(struct micro_subject *subjects, size_t max, char *const *policies, size_t policy_count)
{
    size_t used = 0;
    unsigned what = LOADING | DECISIONS;

    if (policy_count > 0 && strcmp(policies[0], "--decisions") == 0)
        what = DECISIONS;
    else if (policy_count > 0 && strcmp(policies[0], "--load") == 0)
        what = LOADING;
    for (size_t i = what == (LOADING | DECISIONS) ? 0 : 1; i < policy_count; i++)
        add_policy(subjects, &used, max, policies[i], what);
    return used;
}
