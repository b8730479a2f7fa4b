/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy file says, with places, before names are resolved. Private to policy/. */
#ifndef MQWARD_POLICY_PARSE_H
#define MQWARD_POLICY_PARSE_H

#include "base/keyword.h"

/* A member of a mapping whose keys are the user's: a name and one or more values. */
struct parsed_pair {
    struct keyword_string name;
    struct keyword_strings values;
};
struct parsed_pairs {
    struct parsed_pair *items;
    size_t count;
};

struct parsed_identity {
    struct diag_place place;
    bool has_cert, has_password, has_broker, has_anonymous;
    struct {
        struct keyword_string ca, id, strip;
        struct parsed_pairs attributes;
    } cert;
    struct {
        struct keyword_string file;
    } password;
    struct {
        int from_client_id;
    } broker;
    struct {
        struct keyword_string id;
    } anonymous;
};
struct parsed_identities {
    struct parsed_identity *items;
    size_t count;
};

struct parsed_group {
    struct keyword_string name;
    unsigned sources; /* enum policy_source bits */
    struct keyword_strings ids, networks;
    struct parsed_pairs attributes;
};
struct parsed_groups {
    struct parsed_group *items;
    size_t count;
};

struct parsed_conditions {
    uint64_t max_qos, max_size;
    bool retain;
    bool has_max_qos, has_retain, has_max_size;
};

struct parsed_rule {
    struct keyword_string name;
    struct keyword_strings who, unless, topics, except;
    struct parsed_conditions conditions;
    unsigned allow, deny; /* enum policy_verb bits */
    unsigned features;    /* enum policy_feature bits */
    int mode;             /* enum policy_mode */
    bool privileged;
    bool has_allow, has_deny, has_conditions, has_features;
};
struct parsed_rules {
    struct parsed_rule *items;
    size_t count;
};

struct parsed_policy {
    uint64_t version;
    struct keyword_string name, client_id;
    int mode;
    struct parsed_identities identities;
    struct parsed_groups groups;
    struct parsed_rules rules;
    int uncovered_filter;
    struct {
        int publish, subscribe;
    } on_deny;
    struct {
        uint64_t sessions, subscriptions, topic_levels, packet, session_expiry_ms;
    } limits;
    struct {
        int deny;
        uint32_t allow_ppm;
        int payload; /* enum policy_audit_payload */
        uint64_t excerpt;
    } audit;
};

#define SESSION_EXPIRY_NO_LIMIT UINT64_MAX

/* Tables of parse.c's subjects. */
extern const struct keyword parse_identity_table[];
extern const struct keyword parse_group_table[];
extern const struct keyword parse_rule_table[];
keyword_set parse_set_identities;
keyword_set parse_set_groups;
keyword_set parse_set_rules;
/* A mapping with the user's keys into struct parsed_pairs. */
keyword_set parse_set_pairs;
/* Names of rules, groups, policies: letters, digits, '_', '-', '.', at most 64. Adds an error for any other.
 */
bool parse_check_name(struct keyword_context *context, const struct keyword_string *name, const char *what);
/* The key of a member as a string with its place. */
struct keyword_string parse_key(struct keyword_context *context, const struct yaml_node *member);

/* Reads a policy file's tree; errors go to the context's list. */
void parse_policy(struct keyword_context *context, const struct yaml_node *root, struct parsed_policy *out);
void parse_print_reference(struct buffer *out);

#endif
