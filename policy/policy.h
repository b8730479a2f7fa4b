/* SPDX-License-Identifier: Apache-2.0 */
/* The policy: policy.yaml compiled into something immutable that identifies clients and decides about topics.
 * It knows nothing of packets and sockets. Everything here is a pure function of its arguments; any thread
 * may call it. */
#ifndef MQWARD_POLICY_POLICY_H
#define MQWARD_POLICY_POLICY_H

#include "base/diag.h"
#include "base/reason.h"
#include "policy/dialect.h"

struct policy;

/* The names of mqward.yaml that a policy may refer to. */
struct policy_names {
    const char *const *cas;
    size_t ca_count;
    const char *const *password_files;
    size_t password_file_count;
};

/* Reads and compiles a policy. All errors and lints go to diag; NULL if there was an error. referrer: the
 * place that names the file, or NULL. The result has one reference. */
struct policy *policy_load(const char *path, const struct policy_names *names, struct diag_list *diag,
    const struct diag_place *referrer);
/* The same from text in memory (tests, tools). */
struct policy *policy_compile(
    const struct diag_source *source, const struct policy_names *names, struct diag_list *diag);
struct policy *policy_retain(struct policy *policy);
void policy_release(struct policy *policy); /* NULL is fine */

/* ---- what the policy says as a whole ---- */

enum policy_mode { POLICY_ENFORCE, POLICY_MONITOR };
enum policy_deny_publish { POLICY_PUBLISH_REJECT, POLICY_PUBLISH_DROP, POLICY_PUBLISH_DISCONNECT };
enum policy_deny_subscribe { POLICY_SUBSCRIBE_REFUSE, POLICY_SUBSCRIBE_DISCONNECT };
enum policy_audit_payload { POLICY_PAYLOAD_NONE, POLICY_PAYLOAD_HASH, POLICY_PAYLOAD_EXCERPT };

struct policy_settings {
    const char *name;    /* policy: */
    const char *version; /* "sha256:<64 hex>" of the file's bytes */
    enum policy_mode mode;
    enum policy_deny_publish deny_publish;
    enum policy_deny_subscribe deny_subscribe;
    uint64_t limit_sessions;         /* sessions_per_id, 0 = no limit */
    uint64_t limit_subscriptions;    /* per session, default 1,000 */
    uint64_t limit_topic_levels;     /* 0 = no limit */
    uint64_t limit_packet;           /* bytes, default 1 MiB */
    uint64_t limit_session_expiry_s; /* seconds; UINT32_MAX = no limit */
    bool audit_deny;
    uint32_t audit_allow_ppm; /* share of allowed publishes, subscribes audited */
    enum policy_audit_payload audit_payload;
    uint64_t audit_excerpt; /* bytes */
};
const struct policy_settings *policy_settings(const struct policy *policy);

/* A rule, for explanations and audit. Lives as long as the policy. */
struct policy_rule_info {
    const char *name;
    const char *location; /* "policy.yaml:41" (file name without its folder) */
};

/* ---- who ---- */

enum policy_source {
    POLICY_SOURCE_CERT = 1,
    POLICY_SOURCE_PASSWORD = 2,
    POLICY_SOURCE_BROKER = 4,
    POLICY_SOURCE_ANONYMOUS = 8
};

/* A value of a client certificate: names are cn, ou, o, c, l, st, serial_number, san.uri, san.dns, san.email,
 * san.ip. The same name may occur several times. */
struct policy_certificate_value {
    const char *name;
    struct view value;
};

/* What a client presents. Views live for the call only. */
struct policy_credentials {
    bool has_certificate;               /* a certificate that the listener verified */
    const char *const *certificate_cas; /* names of the configured CAs that its chain leads to */
    size_t certificate_ca_count;
    const struct policy_certificate_value *certificate_values;
    size_t certificate_value_count;
    bool has_username;
    struct view username;
    bool has_password;
    struct view password;
    struct view client_id; /* empty: the server assigns one */
    enum dialect dialect;  /* of the broker: what is safe in a topic there */
    struct view address;   /* textual IPv4 or IPv6 */
};

enum policy_identify_result {
    POLICY_IDENTIFIED,     /* the subject holds */
    POLICY_CHECK_PASSWORD, /* it holds once password_file says REASON_none */
    POLICY_ASK_BROKER,     /* it holds once the broker's CONNACK says yes */
    POLICY_REFUSED,        /* reason (and rule, detail) say why */
};

struct policy_subject;

struct policy_identification {
    enum policy_identify_result result;
    enum policy_source source;
    const char *password_file; /* its name in mqward.yaml */
    enum reason reason;
    const struct policy_rule_info *rule; /* that needs the missing or unsafe value, or NULL */
    char detail[128];                    /* "site", "client_id", ...: which value; empty otherwise */
};

/* Finds the identity: the first source of the policy whose credential is present decides. Unless refused,
 * *subject is a new subject (policy_subject_free) with its groups and placeholder values; values that rules
 * need and that are unsafe or missing refuse, naming the rule. <client_id> of a client without one counts as
 * missing only when policy_subject_set_client_id() gives it. In monitor mode a refusal still sets *subject,
 * to one in no group but 'everyone', and the caller goes on. */
struct policy_identification policy_identify(const struct policy *policy,
    const struct policy_credentials *credentials, struct policy_subject **subject);
/* The client id that the broker assigned. REASON_none, REASON_client_id_not_allowed, REASON_identity_unsafe.
 */
struct policy_identification policy_subject_set_client_id(
    const struct policy *policy, struct policy_subject *subject, struct view client_id);
void policy_subject_free(struct policy_subject *subject);
struct view policy_subject_id(
    const struct policy_subject *subject); /* the identity; may be empty in monitor mode */
enum policy_source policy_subject_source(const struct policy_subject *subject);
const char *policy_source_name(enum policy_source source); /* "cert", "password", "broker", "anonymous" */
/* The names of the subject's groups, for the audit; returns how many were written to names. */
size_t policy_subject_groups(
    const struct policy *policy, const struct policy_subject *subject, const char **names, size_t max);

/* ---- may it ---- */

enum policy_operation { POLICY_PUBLISH, POLICY_WILL, POLICY_RECEIVE };

struct policy_request {
    enum policy_operation operation;
    struct view topic; /* a valid topic name, dialect prefixes still on it */
    enum dialect dialect;
    uint8_t qos;
    bool retain;
    uint64_t size; /* bytes of payload */
};

/* Within these bounds the same subject gets the same answer for the same operation and topic, with no monitor
 * finding: what a caller may remember. */
struct policy_envelope {
    bool valid;
    bool retain; /* holds for retain = true, too */
    uint8_t max_qos;
    uint64_t max_size;
};

struct policy_verdict {
    bool allowed;       /* in monitor mode always true */
    enum reason reason; /* REASON_allowed, or why not (also when monitor mode allows it anyway) */
    const struct policy_rule_info *rule;    /* that decided; NULL: the default deny */
    const struct policy_rule_info *nearest; /* for no_allow: an allow that missed by one condition, or NULL */
    const char *nearest_condition;          /* "max_qos", "retain", "max_size", "privileged", "feature" */
    const struct policy_rule_info *would_deny; /* a deny in monitor mode that matched, or NULL */
    bool would_be_denied;                      /* allowed only because of monitor mode (of policy or rule) */
    struct policy_envelope envelope;
};

void policy_decide(const struct policy *policy, const struct policy_subject *subject,
    const struct policy_request *request, struct policy_verdict *verdict);

struct policy_subscribe_request {
    struct view filter; /* a valid filter, dialect prefixes still on it */
    enum dialect dialect;
    uint8_t qos;
};

struct policy_subscribe_verdict {
    struct policy_verdict verdict; /* reason also REASON_topic_filter_invalid for a malformed prefix */
    uint8_t max_qos;               /* the QoS to ask the broker for, at most the requested one */
    bool filtered;                 /* deliveries will be filtered (overlaps a deny or an except) */
};

void policy_decide_subscribe(const struct policy *policy, const struct policy_subject *subject,
    const struct policy_subscribe_request *request, struct policy_subscribe_verdict *verdict);

/* Markdown reference of the policy's keywords, printed from their tables. */
struct buffer;
void policy_print_reference(struct buffer *out);

#endif
