/* SPDX-License-Identifier: Apache-2.0 */
/* Random policies, clients and requests, and the slow, obvious reference that judges them rule by rule and
 * topic by topic. The two share the language's page and the shape of questions and answers, no code. */
#ifndef MQWARD_TESTS_POLICY_RANDOM_POLICY_H
#define MQWARD_TESTS_POLICY_RANDOM_POLICY_H

#include "base/buffer.h"
#include "support.h"

#define RULES 40
#define PATTERNS 3
#define PATTERN_LEVELS 4
#define GROUPS 3
#define CHECKS 4
#define PATTERN_SIZE 64
#define TOPIC_SIZE 128

enum { R_PUBLISH = 1, R_SUBSCRIBE = 2, R_RECEIVE = 4 };
enum source_kind {
    SOURCE_CERT,
    SOURCE_PASSWORD,
    SOURCE_BROKER_USERNAME,
    SOURCE_BROKER_CLIENT_ID,
    SOURCE_ANONYMOUS
};
enum placeholder { P_ID, P_CLIENT_ID, P_USERNAME, P_SITE, PLACEHOLDERS };
extern const char *const placeholder_text[PLACEHOLDERS];

struct random_source {
    enum source_kind kind;
    bool strip; /* of a certificate: "d-" */
};

struct random_group {
    unsigned sources;    /* enum policy_source bits; 0: any */
    const char *ids[2];  /* globs */
    const char *site;    /* glob */
    const char *network; /* NULL as the others: no condition */
};

struct random_rule {
    unsigned who, unless; /* bits: everyone, g0, g1, g2 */
    bool deny, monitor, privileged;
    unsigned verbs, features;
    int max_qos;   /* -1: no condition */
    int retain;    /* -1, 0, 1 */
    long max_size; /* -1 */
    size_t topics, excepts;
    char topic[PATTERNS][PATTERN_SIZE], except[PATTERNS][PATTERN_SIZE];
};

/* What it is about as a deny would be: rates at publish, signatures and scans at its verbs. All are in
 * monitor mode, and so keep nobody from connecting. */
enum random_kind { R_RATE, R_SIGNATURE, R_SCAN };
struct random_check {
    struct random_rule match;
    enum random_kind kind;
    bool resigns;
};

struct random_policy {
    size_t rules, groups, sources, checks;
    struct random_rule rule[RULES];
    struct random_check check[CHECKS];
    struct random_group group[GROUPS];
    struct random_source source[3];
    const char *client_id; /* pattern or NULL */
    unsigned topic_levels; /* 0: no limit */
    bool monitor, uncovered_filter;
};

/* What a client presents. */
struct random_client {
    const char *cas[2]; /* that its certificate leads to */
    size_t ca_count;
    const char *cn[2], *ou[2]; /* NULL: not there */
    const char *username;      /* NULL: none */
    bool password;
    const char *client_id; /* "": the broker assigns one */
    const char *assigned;
    const char *address;
    enum dialect dialect; /* of its broker */
};

/* ---- random_policy.c, random_client.c ---- */

void random_policy(struct random *random, struct random_policy *policy, bool large);
void random_policy_print(const struct random_policy *policy, struct buffer *out);
void random_client(struct random *random, const struct random_policy *policy, struct random_client *client);
const char *random_client_describe(const struct random_client *client);
struct policy_identification random_client_identify(
    const struct policy *policy, const struct random_client *client, struct policy_subject **subject);

/* ---- the reference ---- */

/* Who the client is by the reference. */
struct random_subject {
    const char *value[PLACEHOLDERS]; /* NULL: not known or not safe */
    bool unsafe[PLACEHOLDERS];
    enum policy_source source;
    unsigned groups; /* bits as in struct random_rule */
    enum dialect dialect;
    bool forgotten; /* monitor mode let it in, and believes nothing of it */
};

/* What there is against the client; REASON_none alone: nothing. Which one is named is the engine's choice. */
struct reference_identity {
    enum policy_identify_result result;
    bool refuses[REASON_COUNT];
};
struct reference_identity reference_identify(
    const struct random_policy *policy, const struct random_client *client, struct random_subject *subject);
/* The broker assigned the client id. */
struct reference_identity reference_assign(
    const struct random_policy *policy, const char *client_id, struct random_subject *subject);
/* What monitor mode keeps of a client that it would have refused. */
void reference_forget(struct random_subject *subject);
/* Does the rule ("client_id" for the binding) need a value that the subject does not have? */
bool reference_rule_needs(
    const struct random_policy *policy, const struct random_subject *subject, const char *rule);

struct reference_verdict {
    bool allowed;
    enum reason reason;
    bool would_deny, would_be_denied;
    bool near; /* an allow misses by one condition */
};
struct reference_verdict reference_decide(const struct random_policy *policy,
    const struct random_subject *subject, const struct policy_request *request);
/* The checks that a message is to pass, once rules allow it, as bits. */
uint64_t reference_checks(const struct random_policy *policy, const struct random_subject *subject,
    const struct policy_request *request);
/* Does the reference agree that this rule decides, or misses by this one condition? */
bool reference_rule_decides(const struct random_policy *policy, const struct random_subject *subject,
    const struct policy_request *request, const char *rule, bool deny);
bool reference_rule_near(const struct random_policy *policy, const struct random_subject *subject,
    const struct policy_request *request, const char *rule, const char *condition);

struct reference_subscribe {
    struct reference_verdict verdict;
    uint8_t max_qos;
    bool filtered;
    bool denies[RULES], allows[RULES]; /* rules that deny, or openly allow, some topic of the filter */
};
void reference_subscribe(const struct random_policy *policy, const struct random_subject *subject,
    const struct policy_subscribe_request *request, struct reference_subscribe *out);

/* ---- what the reference's files share ---- */

enum match { NO, YES, MAYBE }; /* MAYBE: a value is not known */
enum match topic_matches_pattern(
    const char *pattern, const char *topic, const struct random_subject *subject);
bool rule_applies_to(const struct random_rule *rule, const struct random_subject *subject);
unsigned rule_all_verbs(const struct random_rule *rule);
bool in_topics(const struct random_rule *rule, const char *topic, const struct random_subject *subject);
bool in_excepts(const struct random_rule *rule, const char *topic, const struct random_subject *subject);
const struct random_rule *find_rule(const struct random_policy *policy, const char *name);
void apply_monitor(const struct random_policy *policy, struct reference_verdict *verdict);
/* The placeholder in a level, or -1. *open and *close: where it begins and where the text behind it does. */
int level_placeholder(const char *level, size_t length, size_t *open, size_t *close);
size_t levels_of(const char *topic);

struct prefixes {
    bool malformed, shared;
    unsigned features;
    const char *rest; /* NUL-terminated, as the text that was given */
};
struct prefixes strip_prefixes(const char *text, enum dialect dialect, bool publish);
/* Some brokers take dots for slashes and, in a filter, a level "*" for '+'. */
bool broker_reads_dots(enum dialect dialect);
/* The text as the broker reads it, in place. */
void read_as_broker(char *text, enum dialect dialect, bool filter);

/* ---- random_request.c ---- */

/* Both aim at the rules' topics more often than not. */
void random_topic(struct random *random, const struct random_policy *policy,
    const struct random_subject *subject, char out[TOPIC_SIZE]);
void random_filter(struct random *random, const struct random_policy *policy,
    const struct random_subject *subject, char out[TOPIC_SIZE]);

#endif
