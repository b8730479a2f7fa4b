/* SPDX-License-Identifier: Apache-2.0 */
/* The compiled policy and the subject: what compile.c makes and the deciding modules read. Private to
 * policy/. */
#ifndef MQWARD_POLICY_COMPILED_H
#define MQWARD_POLICY_COMPILED_H

#include <stdatomic.h>

#include "policy/jwt.h"
#include "policy/network.h"
#include "policy/policy.h"
#include "policy/replay.h"
#include "policy/rule_trie.h"

#define POLICY_MAGIC 0x706f6c69U
#define SUBJECT_MAGIC 0x7375626aU

/* Groups are bits; bit 0 is everyone. */
#define GROUPS_MAXIMUM 1024

/* Verbs of a rule as bits. allow: subscribe implies receive; deny: subscribe and receive imply each other. */
enum policy_verb { VERB_PUBLISH = 1, VERB_SUBSCRIBE = 2, VERB_RECEIVE = 4 };

enum retain_condition { RETAIN_ANY, RETAIN_NEVER, RETAIN_ONLY };

struct policy_rule {
    struct policy_rule_info info;
    const uint64_t *who; /* bitsets over groups */
    const uint64_t *unless;
    uint64_t slots; /* placeholders that its patterns need */
    uint64_t max_size;
    uint32_t
        rank; /* total order of rules; where several decide, the one with the lowest names the decision */
    uint8_t verbs;
    uint8_t features;
    uint8_t max_qos;
    uint8_t retain; /* enum retain_condition */
    bool deny;
    bool monitor;
    bool privileged;
    const struct pattern *topics;
    size_t topic_count;
    const struct pattern *excepts;
    size_t except_count;
};

/* A check matches topics and clients as a deny does: a value that is not known may be any. */
struct policy_check {
    struct policy_rule match; /* who, unless, topics; rank is its index */
    struct policy_check_info info;
};

struct attribute_condition {
    uint8_t slot;
    const struct view *globs; /* any of them */
    size_t glob_count;
};

struct policy_group {
    const char *name;
    unsigned sources;       /* enum policy_source bits, 0 = any */
    const struct view *ids; /* globs, any of them */
    size_t id_count;
    const struct network *networks;
    size_t network_count;
    const struct view *members; /* globs over what the token says, any of them */
    size_t member_count;
    const struct attribute_condition *attributes; /* all of them */
    size_t attribute_count;
};

struct identity_attribute {
    uint8_t slot;
    const char *value_name; /* of the certificate; a token's claim */
};

/* What a row of identity says of tokens. */
struct identity_token {
    enum policy_token in; /* not POLICY_TOKEN_NONE */
    bool passed;          /* the broker gets it, too */
    struct view method;   /* for POLICY_TOKEN_AUTHENTICATION */
    const char *jwks;
    struct jwt_settings settings;
    struct view id, groups; /* claims; groups may be empty */
};

/* A row of identity. */
struct identity_row {
    enum policy_source source;
    const char *ca;
    const char *value_name; /* of the certificate, for the id */
    struct view strip;
    const struct identity_attribute *attributes;
    size_t attribute_count;
    const char *password_file;
    const struct identity_token *token; /* jwt */
    bool ends_at_expiry;                /* cert, jwt */
    bool from_client_id;                /* broker: id: client_id */
    struct view anonymous_id;
};

/* client_id: as a glob with at most one placeholder. */
struct client_id_pattern {
    bool given;
    bool has_slot;
    bool open; /* has a '*', so that an id that the broker makes up can fit */
    uint8_t slot;
    struct view prefix, suffix;   /* globs */
    struct policy_rule_info info; /* named where it refuses */
    const char *mismatch;         /* and what is wrong then: a sentence */
};

struct policy {
    uint32_t magic;
    atomic_size_t references;
    struct arena *arena;
    struct policy_settings settings;
    bool uncovered_filter;
    struct placeholder_names names;
    const struct identity_row *identities;
    size_t identity_count;
    struct client_id_pattern client_id;
    const struct policy_group *groups;
    size_t group_count;
    size_t group_words;
    const struct policy_rule *rules; /* in the file's order */
    size_t rule_count;
    struct rule_trie *trie;
    const struct policy_check *checks;
    size_t check_count;
    uint64_t checks_of[POLICY_CHECK_KINDS]; /* as bits */
    uint64_t resign_checks; /* those of signatures whose messages are signed again when they are delivered */
    struct replay_span replay_span;
    struct rule_trie *check_trie;
    size_t depth;                    /* levels of the deepest pattern of both tries */
    const struct policy_test *tests; /* notation.h */
    size_t test_count;
};

struct policy_subject {
    uint32_t magic;
    const struct policy *policy; /* not owned; to catch a mix-up */
    enum policy_source source;
    enum dialect dialect; /* of the broker that its values' topics go to */
    bool refused;         /* monitor mode let it in */
    struct view id;
    struct view *members; /* the groups that a token names; one allocation with their texts */
    size_t member_count;
    uint64_t unsafe;     /* slots whose value may not be used: bits */
    uint64_t *groups;    /* bits; in the same allocation, as are the values' views */
    struct view *values; /* by slot; data == NULL: not known or not safe; otherwise owned */
};

static inline bool group_sets_meet(const uint64_t *a, const uint64_t *b, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        if ((a[i] & b[i]) != 0)
            return true;
    }
    return false;
}

/* One word of it, for a first look: sets that meet have a bit of their words in common, too. */
static inline uint64_t group_sets_fold(const uint64_t *set, size_t words)
{
    uint64_t all = 0;
    for (size_t i = 0; i < words; i++)
        all |= set[i];
    return all;
}

/* Is the rule about this subject at all? */
static inline bool rule_applies(
    const struct policy *policy, const struct policy_rule *rule, const uint64_t *groups)
{
    return group_sets_meet(rule->who, groups, policy->group_words) &&
           !group_sets_meet(rule->unless, groups, policy->group_words);
}

/* The except references among hits, to be asked of each rule. */
struct except_set {
    const struct policy_rule **rules; /* sorted when there are many */
    size_t count;
    const struct policy_rule *inline_rules[8];
};
void except_set_collect(struct except_set *set, const struct rule_hits *hits);
bool except_set_has(const struct except_set *set, const struct policy_rule *rule);
void except_set_release(struct except_set *set);

/* A rule's bits of enum policy_verb that a request needs. */
static inline unsigned operation_verb(enum policy_operation operation)
{
    return operation == POLICY_RECEIVE ? VERB_RECEIVE : VERB_PUBLISH;
}

/* Regions of a filter that are looked at because of an except: inside another. Beyond, the answer is
 * "filter", which is always safe: deliveries are decided one by one. */
#define SUBSCRIBE_REGIONS_MAXIMUM 128
#define SUBSCRIBE_REGION_DEPTH_MAXIMUM 12
/* And what a client's SUBSCRIBE may cost where thousands of excepts have to be looked at for each of them. */
#define SUBSCRIBE_INTERSECTIONS_MAXIMUM 16384

/* In monitor mode, turns a denial into what it is there: allowed, but it would not be. Sets would_be_denied.
 */
void verdict_apply_monitor(const struct policy *policy, struct policy_verdict *verdict);

#endif
