/* SPDX-License-Identifier: Apache-2.0 */
/* Why a policy decides as it does: the daemon's own decision, and beside it every rule, looked at one by one.
 * For 'mqward policy explain'. */
#ifndef MQWARD_POLICY_EXPLAIN_H
#define MQWARD_POLICY_EXPLAIN_H

#include "policy/test.h"

/* What a rule has to do with a decision, in the order in which it is told. */
enum policy_consideration {
    POLICY_RULE_DECIDED,
    POLICY_RULE_WOULD_DENY, /* a deny in monitor mode that would decide */
    POLICY_RULE_MATCHES,    /* but another rule decided */
    POLICY_RULE_MISSED_ONE, /* the topic matches, one condition does not hold */
    POLICY_RULE_MISSED_MORE,
    POLICY_RULE_OTHER_TOPIC,
    POLICY_RULE_OTHER_CLIENT,
    POLICY_RULE_OTHER_ACT,
    POLICY_CONSIDERATIONS
};
const char *policy_consideration_name(enum policy_consideration consideration); /* "other_topic" */
const char *policy_consideration_text(enum policy_consideration consideration); /* a heading */

struct policy_considered_rule {
    const struct policy_rule_info *info;
    bool deny, monitor;
    enum policy_consideration consideration;
    const char *why; /* "max_qos is 1, the QoS is 2" */
};

/* A check that the act is to pass, too, once the rules allow it. */
struct policy_considered_check {
    const struct policy_rule_info *info;
    bool monitor;
    const char *what;   /* "rate: 20/s per id" */
    enum reason reason; /* why it refuses; REASON_none: it does not */
    bool reports;       /* the reason; and it does not refuse */
};

struct policy_explanation {
    struct arena *arena;
    const char *as, *act;    /* the two halves of what was asked */
    const char *source, *id; /* whom it is about */
    const char *client_id;   /* that the client presents; "": the broker assigns one */
    const char *dialect;
    const char *const *groups; /* everyone is not among them */
    size_t group_count;
    const char *const *attributes; /* "site=a" */
    size_t attribute_count;
    const char *const *missing; /* names of attributes that the identity could have and was not given */
    size_t missing_count;
    struct policy_outcome outcome; /* the daemon's decision */
    const char *verdict;           /* the same as a text */
    bool monitored;                /* the policy is in monitor mode: a denial only shows in the audit */
    const struct policy_considered_rule *rules; /* by consideration; none if the client is refused */
    size_t rule_count;
    const struct policy_considered_check *checks; /* in the file's order */
    size_t check_count;
    struct policy_outcome own; /* what the rules, one by one, come to */
    bool agrees;               /* with outcome; anything else is an error of ours */
};

/* An attribute of the identities of a source. */
struct policy_attribute_info {
    const char *name;  /* "site" */
    const char *value; /* of the certificate or the token: "ou" */
};
/* Those of the first identity source of that kind; source: a name as policy_source_name() gives it. Returns
 * how many there are; at most max are written. */
size_t policy_explain_attributes(
    const struct policy *policy, struct view source, struct policy_attribute_info *out, size_t max);

/* line: "cert plc-7 site=a publish dt/a/plc-7/temp qos=1", at a place for messages. NULL after errors were
 * added. The policy outlives the explanation. */
struct policy_explanation *policy_explain(
    const struct policy *policy, const struct diag_source *line, struct diag_list *diag);
void policy_explanation_free(struct policy_explanation *explanation); /* NULL is fine */

/* The rules one by one, for a request that the daemon's functions also take: what they come to. For tests. */
struct policy_outcome policy_explain_request(
    const struct policy *policy, const struct policy_subject *subject, const struct policy_request *request);
struct policy_outcome policy_explain_subscribe(const struct policy *policy,
    const struct policy_subject *subject, const struct policy_subscribe_request *request);

#endif
