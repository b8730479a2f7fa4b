/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what micro.c measures: a push of an audit-sized record, a policy's decision; with the codec and the
 * keys of signatures (micro_codec.c, micro_keys.c). Each uses the layer as the data path does. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/diag.h"
#include "base/memory.h"
#include "base/ring.h"
#include "micro.h"
#include "policy/policy.h"

#define RECORD_SIZE 600
#define RING_CAPACITY (1024 * 1024)
#define TOPICS 256
#define TOPIC_SIZE 32

static void add(struct micro_subject *subjects, size_t *used, size_t max, struct micro_subject subject)
{
    assert(*used < max);
    subjects[(*used)++] = subject;
}

/* ---- ring: the producer's side; the consumer empties it between runs ---- */

static void run_push(void *context, size_t count)
{
    static const uint8_t record[RECORD_SIZE] = {'{'};

    for (size_t i = 0; i < count; i++)
        if (!ring_push(context, view_of(record, sizeof(record))))
            abort();
}

static void rest_ring(void *context)
{
    ring_discard(context);
}

static void destroy_ring(void *context)
{
    ring_close(context);
}

/* ---- policy: a device's topics, without the connection's cache ---- */

struct decision {
    struct policy *policy;
    struct policy_subject *subject;
    char topics[TOPICS][TOPIC_SIZE];
    bool allowed; /* what every decision must say */
};

static void run_decide(void *context, size_t count)
{
    const struct decision *decision = context;
    struct policy_request request = {.operation = POLICY_PUBLISH, .dialect = DIALECT_MOSQUITTO, .size = 64};
    struct policy_verdict verdict;

    for (size_t i = 0; i < count; i++) {
        const char *topic = decision->topics[i % TOPICS];
        request.topic = view_of(topic, strlen(topic));
        policy_decide(decision->policy, decision->subject, &request, &verdict);
        if (verdict.allowed != decision->allowed)
            abort();
    }
}

static void destroy_decision(void *context)
{
    struct decision *decision = context;

    policy_subject_free(decision->subject);
    policy_release(decision->policy);
    free(decision);
}

static struct policy *load_policy(const char *path)
{
    struct diag_list *diag = diag_list_new();
    struct policy *policy = policy_load(path, &(struct policy_names){0}, diag, NULL);

    if (policy == NULL) {
        diag_print(diag, stderr);
        exit(1);
    }
    diag_list_free(diag);
    return policy;
}

/* allowed: topics of the subject itself, else those of its neighbour, which no rule allows. */
static struct decision *new_decision(struct policy *policy, bool allowed)
{
    struct decision *decision = memory_calloc(1, sizeof(*decision));
    struct policy_credentials credentials = {.client_id = VIEW("00042"), .address = VIEW("127.0.0.1")};
    struct policy_identification identification;

    decision->policy = policy_retain(policy);
    decision->allowed = allowed;
    identification = policy_identify(policy, &credentials, &decision->subject);
    if (identification.result != POLICY_IDENTIFIED) {
        fprintf(stderr, "mqward-bench-micro: the policy does not let an anonymous client in\n");
        exit(1);
    }
    for (size_t i = 0; i < TOPICS; i++)
        snprintf(decision->topics[i], TOPIC_SIZE,
            allowed ? "bench/00042/data/%05zu" : "bench/00043/data/%05zu", i);
    return decision;
}

size_t micro_subjects(struct micro_subject *subjects, size_t max, char *const *policies, size_t policy_count)
{
    size_t used = 0;
    struct ring *ring = ring_new(RING_CAPACITY);

    assert(ring != NULL);
    used += micro_codec(subjects, max);
    add(subjects, &used, max,
        (struct micro_subject){"ring push, 600 bytes", run_push, rest_ring, destroy_ring, ring, 1000});
    used += micro_keys(subjects + used, max - used);
    for (size_t i = 0; i < policy_count; i++) {
        struct policy *policy = load_policy(policies[i]);
        const char *slash = strrchr(policies[i], '/');
        const char *file = slash == NULL ? policies[i] : slash + 1;
        for (int allowed = 1; allowed >= 0; allowed--) {
            struct micro_subject subject = {
                "", run_decide, NULL, destroy_decision, new_decision(policy, allowed == 1), 10000};
            snprintf(
                subject.name, sizeof(subject.name), "decide %s, %.30s", allowed ? "allowed" : "denied", file);
            add(subjects, &used, max, subject);
        }
        policy_release(policy);
    }
    return used;
}
