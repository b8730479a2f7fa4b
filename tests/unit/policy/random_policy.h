/* SPDX-License-Identifier: Apache-2.0 */
/* Random policies, subjects and requests, and the slow, obvious reference that decides them rule by rule. */
#ifndef MQWARD_TESTS_POLICY_RANDOM_POLICY_H
#define MQWARD_TESTS_POLICY_RANDOM_POLICY_H

#include "base/buffer.h"
#include "support.h"

#define RULES 8
#define PATTERNS 3
#define GROUPS 3 /* g0 (id a or b), g1 (site a), g2 (an id that begins with x) */

enum { R_PUBLISH = 1, R_SUBSCRIBE = 2, R_RECEIVE = 4 };

struct random_rule {
    unsigned who, unless; /* bits: everyone, g0, g1, g2 */
    bool deny, monitor, privileged;
    unsigned verbs, features;
    int max_qos;   /* -1: no condition */
    int retain;    /* -1, 0, 1 */
    long max_size; /* -1 */
    size_t topics, excepts;
    char topic[PATTERNS][40], except[PATTERNS][40];
};

struct random_policy {
    size_t rules;
    struct random_rule rule[RULES];
    bool monitor, uncovered_filter;
};

struct random_subject {
    const char *id, *site, *client_id, *username; /* client_id NULL: not known yet */
    unsigned groups;
};

void random_policy(struct random *random, struct random_policy *policy);
void random_policy_print(const struct random_policy *policy, struct buffer *out);
void random_subject(struct random *random, struct random_subject *subject);
struct policy_subject *random_subject_identify(
    const struct fixture *fixture, const struct random_subject *subject);
void random_topic(struct random *random, char *out);
void random_filter(struct random *random, char *out);

/* What the reference says. */
struct reference_verdict {
    bool allowed;
    enum reason reason;
    bool would_deny, would_be_denied;
};
struct reference_verdict reference_decide(const struct random_policy *policy,
    const struct random_subject *subject, const struct policy_request *request);
/* Does the reference agree that this rule decides, or misses by one condition? */
bool reference_rule_decides(const struct random_policy *policy, const struct random_subject *subject,
    const struct policy_request *request, const char *rule, bool deny);
bool reference_rule_near(const struct random_policy *policy, const struct random_subject *subject,
    const struct policy_request *request, const char *rule);

struct reference_subscribe {
    struct reference_verdict verdict;
    uint8_t max_qos;
    bool filtered;
};
struct reference_subscribe reference_subscribe(const struct random_policy *policy,
    const struct random_subject *subject, const char *filter, bool shared, uint8_t qos);

#endif
