/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy file says, with places, before names are resolved. Private to policy/. */
#ifndef MQWARD_POLICY_PARSE_H
#define MQWARD_POLICY_PARSE_H

#include "base/keyword.h"
#include "policy/policy.h"

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
    bool has_cert, has_jwt, has_password, has_broker, has_anonymous;
    struct {
        struct keyword_string ca, strip;
        int id; /* index into parse_certificate_ids */
        struct parsed_pairs attributes;
        int disconnects; /* at expiry */
    } cert;
    struct {
        int in; /* enum policy_token */
        struct keyword_string method, jwks, id, groups;
        struct keyword_strings issuers, audiences;
        unsigned algorithms; /* enum jwt_algorithm bits */
        struct parsed_pairs attributes;
        uint64_t skew_ms;
        int disconnects; /* at expiry */
        int passed;      /* to the broker */
        bool has_method;
    } jwt;
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
    struct keyword_strings ids, networks, members;
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
    const struct yaml_node *node; /* lives while it is compiled */
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

/* "20/s" */
struct parsed_rate {
    uint64_t count, period_ns; /* 0: not given, or an error */
    bool given;
};

struct parsed_signature {
    struct keyword_strings keys;
    unsigned verbs; /* enum policy_verb bits */
    uint64_t max_age_ms, skew_ms;
    int replay, store_down, forward, when_present; /* of signature.h */
    struct keyword_string receiver_key;
    struct parsed_pairs relays; /* group: signers */
    bool has_receiver_key;
};

struct parsed_yara {
    struct keyword_strings rules;
    unsigned verbs; /* enum policy_verb bits */
    uint64_t max_scan, timeout_ms;
    unsigned views;                      /* enum yara_view bits */
    int on_match, on_error, reason_code; /* of yara.h */
    bool has_max_scan, has_on_error, has_reason_code;
};

struct parsed_check {
    const struct yaml_node *node; /* lives while it is compiled */
    struct keyword_string name;
    struct keyword_strings who, unless, topics;
    int mode; /* enum policy_mode */
    int per;  /* enum policy_per */
    struct parsed_rate rates[POLICY_COUNTED];
    uint64_t bursts[POLICY_COUNTED];
    bool has_burst[POLICY_COUNTED];
    struct parsed_signature signature;
    struct parsed_yara yara;
    bool has_who, has_unless, has_topics, has_per;
    bool is_of[POLICY_CHECK_KINDS]; /* exactly one, unless there was an error */
};
struct parsed_checks {
    struct parsed_check *items;
    size_t count;
};

struct parsed_test {
    struct keyword_string as;
    struct keyword_strings allow, deny;
    bool has_allow, has_deny;
};
struct parsed_tests {
    struct parsed_test *items;
    size_t count;
};

/* ---- what people bring from elsewhere (parse_foreign.c) ---- */

/* True after an error: the text is Mosquitto's acl_file or EMQX's acl.conf. */
bool parse_refuse_foreign_file(const struct diag_source *source, struct diag_list *diag);

extern const struct keyword_foreign parse_foreign_policy[], parse_foreign_rule[], parse_foreign_condition[],
    parse_foreign_verb[], parse_foreign_mode[], parse_foreign_deny_publish[], parse_foreign_deny_subscribe[],
    parse_foreign_group[], parse_foreign_source[], parse_foreign_cert[], parse_foreign_jwt[],
    parse_foreign_algorithm[], parse_foreign_password[], parse_foreign_test[];

enum parsed_ban { PARSED_BAN_ID = 1, PARSED_BAN_ADDRESS = 2 };

struct parsed_policy {
    const struct diag_source *whole; /* the file, or the folder: for findings about the policy as a whole */
    uint64_t version;
    struct keyword_string name, client_id;
    int mode;
    struct parsed_identities identities;
    struct parsed_groups groups;
    struct parsed_rules rules;
    struct parsed_checks checks;
    struct parsed_tests tests;
    int uncovered_filter;
    struct {
        int publish, subscribe;
        struct {
            uint64_t count, within_ms, ban_ms;
            int then;
            unsigned by; /* enum parsed_ban bits */
            bool has_ban, has_by;
        } repeat;
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
extern const struct keyword parse_check_table[];
extern const struct keyword parse_signature_table[];
extern const struct keyword parse_yara_table[];
/* Values of a certificate: those that can be an identity, and all. */
extern const struct keyword_choice parse_certificate_ids[];
extern const struct keyword_choice parse_certificate_values[];
extern const struct keyword parse_test_table[];
keyword_set parse_set_identities;
keyword_set parse_set_groups;
keyword_set parse_set_rules;
keyword_set parse_set_checks;
keyword_set parse_set_tests;
/* A mapping with the user's keys into struct parsed_pairs. */
keyword_set parse_set_pairs;
/* Names of rules, groups, policies, rule sets: letters, digits, '_', '-', '.', at most 64. */
#define PARSE_NAME_PATTERN "^[A-Za-z0-9_.-]{1,64}$"
bool parse_name_valid(struct view name);
/* Adds an error for any other. */
bool parse_check_name(struct keyword_context *context, const struct keyword_string *name, const char *what);
/* A topic filter whose levels have at most one placeholder each. */
#define PARSE_LEVEL_PATTERN "(\\+|[^+#/<>]*(<[a-z0-9_]+>[^+#/<>]*)?)"
#define PARSE_FILTER_PATTERN "^(?!$)(#|" PARSE_LEVEL_PATTERN "(/" PARSE_LEVEL_PATTERN ")*(/#)?)$"
/* The key of a member as a string with its place. */
struct keyword_string parse_key(struct keyword_context *context, const struct yaml_node *member);

/* One tree of those of a policy's files (keyword_join). */
struct yaml_node *parse_join(struct keyword_context *context, const struct diag_source *whole,
    struct yaml_node *const *roots, size_t count, bool incomplete);
/* Reads a policy's tree; errors go to the context's list. */
void parse_policy(struct keyword_context *context, const struct yaml_node *root, struct parsed_policy *out);
void parse_print_reference(struct buffer *out);
void parse_print_schema(struct buffer *out);

#endif
