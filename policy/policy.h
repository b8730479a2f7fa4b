/* SPDX-License-Identifier: Apache-2.0 */
/* The policy: policy.yaml compiled into something immutable that identifies clients and decides about topics.
 * It knows nothing of packets and sockets. Everything here is a pure function of its arguments; any thread
 * may call it. */
#ifndef MQWARD_POLICY_POLICY_H
#define MQWARD_POLICY_POLICY_H

#include "base/diag.h"
#include "base/rate.h"
#include "base/reason.h"
#include "policy/dialect.h"

struct policy;
struct jwks;

/* The names of mqward.yaml that a policy may refer to. */
struct policy_names {
    const char *const *cas;
    size_t ca_count;
    const char *const *password_files;
    size_t password_file_count;
    const char *const *jwks;
    size_t jwks_count;
    const char *const *keys; /* of keys.yaml; NULL: which there are is not known, and any name is fine */
    const bool *key_masters; /* beside keys: a master, from which keys of devices are derived */
    size_t key_count;
    const char *const *rule_sets; /* of YARA; NULL: as with keys */
    size_t rule_set_count;
};

/* Reads and compiles a policy: a file, or a folder whose *.yaml files are one policy. All errors and lints go
 * to diag; NULL if there was an error. referrer: the place that names the path, or NULL. The result has one
 * reference. */
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

/* on_deny.repeat: what a client that is denied again and again comes to. */
struct policy_repeat {
    uint32_t count; /* of denials within the time, 1 to POLICY_REPEAT_MAX; 0: nothing is counted */
    uint64_t within_ms;
    uint64_t ban_ms; /* 0: only the session ends */
    bool ban_id, ban_address;
};
#define POLICY_REPEAT_MAX 1000

struct policy_settings {
    const char *name;    /* policy: */
    const char *version; /* "sha256:<64 hex>" of the file's bytes; of a folder, of what sha256sum(1) prints */
    enum policy_mode mode;
    enum policy_deny_publish deny_publish;
    enum policy_deny_subscribe deny_subscribe;
    struct policy_repeat repeat;
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
    uint32_t index;       /* as policy_rule_info_at() counts */
};
/* All rules in the file's order, then all checks: what counts by rule counts by their index. */
size_t policy_rule_info_count(const struct policy *policy);
const struct policy_rule_info *policy_rule_info_at(const struct policy *policy, size_t index);

/* ---- who ---- */

enum policy_source {
    POLICY_SOURCE_CERT = 1,
    POLICY_SOURCE_PASSWORD = 2,
    POLICY_SOURCE_BROKER = 4,
    POLICY_SOURCE_ANONYMOUS = 8,
    POLICY_SOURCE_JWT = 16
};

/* A value of a client certificate: names are cn, ou, o, c, l, st, serial_number, san.uri, san.dns, san.email,
 * san.ip. The same name may occur several times. */
struct policy_certificate_value {
    const char *name;
    struct view value;
};

/* Where a client's token is. */
enum policy_token { POLICY_TOKEN_NONE, POLICY_TOKEN_PASSWORD, POLICY_TOKEN_AUTHENTICATION };

/* What a token says, believed without one: for a policy's own tests and explanations of it. */
struct policy_claims {
    enum policy_token in;                          /* where the token would be */
    struct view method;                            /* of POLICY_TOKEN_AUTHENTICATION */
    const struct policy_certificate_value *values; /* by the names of claims, the identity among them */
    size_t value_count;
    const struct view *members; /* the groups that it names */
    size_t member_count;
};

/* What a client presents. Views live for the call only. */
struct policy_credentials {
    bool has_certificate;               /* a certificate that the listener verified */
    const char *const *certificate_cas; /* names of the configured CAs that its chain leads to */
    size_t certificate_ca_count;
    const struct policy_certificate_value *certificate_values;
    size_t certificate_value_count;
    uint64_t certificate_expires_s; /* seconds since 1970, as all times here; 0: not known */
    bool has_username;
    struct view username;
    bool has_password;
    struct view password;
    struct view client_id;   /* empty: the server assigns one */
    enum dialect dialect;    /* of the broker: what is safe in a topic there */
    struct view address;     /* textual IPv4 or IPv6 */
    bool has_authentication; /* MQTT 5.0: CONNECT names an authentication method */
    struct view authentication_method, authentication_data;
    uint64_t now_s;
    uint64_t presented_s;               /* when the token came, if that was not now; 0: it was */
    const struct policy_claims *claims; /* NULL where clients are real */
    /* The key set of that name in mqward.yaml; NULL refuses the token. */
    const struct jwks *(*find_jwks)(void *context, const char *name);
    void *context;
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
    enum policy_token token;   /* where it was, if the broker does not get it; also of one that is refused */
    uint64_t expires_s;        /* when the credential, and with it the session, ends; 0: never */
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
/* The password of a subject that holds only with one was wrong, and monitor mode lets it in all the same: as
 * nobody, in no group but 'everyone', as if policy_identify() had refused it. */
void policy_subject_distrust(const struct policy *policy, struct policy_subject *subject);
/* Monitor mode let it in, and nothing of what it said of itself is believed. */
bool policy_subject_is_distrusted(const struct policy_subject *subject);
void policy_subject_free(struct policy_subject *subject);
struct view policy_subject_id(
    const struct policy_subject *subject); /* the identity; may be empty in monitor mode */
enum policy_source policy_subject_source(const struct policy_subject *subject);
const char *policy_source_name(
    enum policy_source source); /* "cert", "jwt", "password", "broker", "anonymous" */
/* The names of the subject's groups, for the audit; returns how many were written to names. */
size_t policy_subject_groups(
    const struct policy *policy, const struct policy_subject *subject, const char **names, size_t max);

/* The subject's groups as bits, in words, as signature.h wants them. */
const uint64_t *policy_subject_group_bits(
    const struct policy *policy, const struct policy_subject *subject, size_t *words);

/* ---- checks ---- */

/* What a message that the rules allow must pass besides. In a set of checks each is a bit, 1 << its index. */
#define POLICY_CHECKS_MAXIMUM 64

/* Who shares the buckets of a rate. */
enum policy_per { POLICY_PER_ID, POLICY_PER_ADDRESS, POLICY_PER_GROUP };
/* What is counted; POLICY_BYTES: of payload. */
enum policy_counted { POLICY_MESSAGES, POLICY_BYTES, POLICY_CONNECTS, POLICY_COUNTED };

struct signature_terms; /* signature.h */
struct yara_terms;      /* yara.h */

enum policy_check_kind { POLICY_CHECK_RATE, POLICY_CHECK_SIGNATURE, POLICY_CHECK_YARA, POLICY_CHECK_KINDS };

struct policy_check_info {
    struct policy_rule_info info;
    enum policy_check_kind kind;
    bool monitor;     /* it only reports: of the check, or of the whole policy */
    const char *text; /* "20/s, 256KiB/s per id"; "keys: [m25a], max_age: 5m, ..." */
    /* NULL, unless it is of that kind. */
    const struct signature_terms *signature;
    const struct yara_terms *yara;
    /* Of a rate. */
    enum policy_per per;
    bool counts[POLICY_COUNTED];
    struct rate_limit limits[POLICY_COUNTED]; /* of what it counts */
};
size_t policy_check_count(const struct policy *policy);
const struct policy_check_info *policy_check(const struct policy *policy, size_t index);
/* Those of signatures, as bits. */
uint64_t policy_signature_checks(const struct policy *policy);
/* Those of YARA, as bits. */
uint64_t policy_yara_checks(const struct policy *policy);
/* How long the replay store has to remember their nonces. */
struct replay_span;
void policy_replay_span(const struct policy *policy, struct replay_span *span);
/* Is the check about this subject? */
bool policy_check_applies(const struct policy *policy, size_t index, const struct policy_subject *subject);
/* The groups of its 'who' that the subject is in, one name a call; *next is 0 at first. NULL: no more. */
const char *policy_check_next_group(
    const struct policy *policy, size_t index, const struct policy_subject *subject, size_t *next);

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
    /* That an allowed message is to pass, as bits; they hold wherever the envelope does. Of a will and of a
     * delivery: those of signatures and of YARA; of a delivery also each check that signs again what is
     * delivered, whomever it is about. */
    uint64_t checks;
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
/* Their JSON Schema (draft-07). */
void policy_print_schema(struct buffer *out);

#endif
