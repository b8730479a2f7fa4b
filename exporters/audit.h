/* SPDX-License-Identifier: Apache-2.0 */
/* An audit event: a plain struct whose strings are views, filled by whoever sees it happen, encoded into a
 * record of a ring, and rendered into an ECS document by the exporter thread. This layer knows nothing of
 * packets or policies: everything is told. */
#ifndef MQWARD_EXPORTERS_AUDIT_H
#define MQWARD_EXPORTERS_AUDIT_H

#include "base/reason.h"
#include "base/view.h"

/* ACTION(identifier, event.action, event.kind, categories, types) */
#define AUDIT_ACTIONS(ACTION)                                                                                \
    ACTION(connect_accepted, "mqtt-connect-accepted", "event", "network,authentication,session",             \
        "connection,start,allowed")                                                                          \
    ACTION(connect_refused, "mqtt-connect-refused", "event", "network,authentication,session",               \
        "connection,start,denied")                                                                           \
    ACTION(reauthenticated, "mqtt-reauthenticated", "event", "network,authentication,session", "info")       \
    ACTION(disconnect, "mqtt-disconnect", "event", "network,session", "connection,end")                      \
    ACTION(publish_allowed, "mqtt-publish-allowed", "event", "network", "access,allowed")                    \
    ACTION(publish_denied, "mqtt-publish-denied", "event", "network", "access,denied")                       \
    ACTION(subscribe_granted, "mqtt-subscribe-granted", "event", "network", "access,allowed")                \
    ACTION(subscribe_denied, "mqtt-subscribe-denied", "event", "network", "access,denied")                   \
    ACTION(subscription_withdrawn, "mqtt-subscription-withdrawn", "event", "network", "access,denied")       \
    ACTION(delivery_filtered, "mqtt-delivery-filtered", "event", "network", "access,denied")                 \
    ACTION(signature_rejected, "mqtt-signature-rejected", "event", "network", "access,denied")               \
    ACTION(payload_matched, "mqtt-payload-matched", "alert", "malware,intrusion_detection", "info,allowed")  \
    ACTION(payload_blocked, "mqtt-payload-blocked", "alert", "malware,intrusion_detection", "info,denied")   \
    ACTION(scan_failed, "mqtt-scan-failed", "event", "network", "access,denied")                             \
    ACTION(will_denied, "mqtt-will-denied", "event", "network", "access,denied")                             \
    ACTION(protocol_error, "mqtt-protocol-error", "event", "network", "protocol,denied")                     \
    ACTION(tls_handshake_failed, "tls-handshake-failed", "event", "network", "connection,denied")            \
    ACTION(rate_limited, "rate-limited", "event", "network", "connection,denied")                            \
    ACTION(client_banned, "client-banned", "event", "network", "access,denied")                              \
    ACTION(client_unbanned, "client-unbanned", "event", "network", "access,info")                            \
    ACTION(proxy_started, "proxy-started", "event", "configuration", "info")                                 \
    ACTION(proxy_stopping, "proxy-stopping", "event", "configuration", "info")                               \
    ACTION(policy_reloaded, "policy-reloaded", "event", "configuration", "change")                           \
    ACTION(policy_rejected, "policy-rejected", "event", "configuration", "info")                             \
    ACTION(shadow_diff, "shadow-diff", "event", "network", "access,info")                                    \
    ACTION(sink_down, "sink-down", "event", "configuration", "info")                                         \
    ACTION(sink_up, "sink-up", "event", "configuration", "info")                                             \
    ACTION(audit_gap, "audit-gap", "event", "configuration", "info")                                         \
    ACTION(checkpoint, "checkpoint", "event", "configuration", "info")                                       \
    ACTION(audit_recovered, "audit-recovered", "event", "configuration", "info")                             \
    ACTION(key_expiring, "key-expiring", "event", "configuration", "info")                                   \
    ACTION(replay_degraded, "replay-degraded", "event", "configuration", "info")                             \
    ACTION(replay_restored, "replay-restored", "event", "configuration", "info")

enum audit_action {
#define ACTION(identifier, name, kind, categories, types) AUDIT_##identifier,
    AUDIT_ACTIONS(ACTION)
#undef ACTION
        AUDIT_ACTION_COUNT
};

enum audit_disposition {
    AUDIT_FORWARDED, /* went on unchanged */
    AUDIT_REWRITTEN, /* went on changed */
    AUDIT_REJECTED,  /* refused, and the sender was told */
    AUDIT_DROPPED,   /* thrown away, the sender was not told */
    AUDIT_CLOSED,    /* the connection was closed */
    AUDIT_INFORMED,  /* nothing was decided: a report */
    AUDIT_MONITORED  /* would have been denied; went on because of monitor mode */
};

#define AUDIT_LIST_MAX 16
#define AUDIT_ROLES_MAX AUDIT_LIST_MAX
#define AUDIT_YARA_MAX AUDIT_LIST_MAX

/* Absent strings are empty views, absent numbers are as said. The count of a list stands right behind it
 * (audit.c finds it there). */
struct audit_event {
    enum audit_action action;
    enum reason reason;
    enum audit_disposition disposition;
    uint64_t wall_us;      /* when it happened */
    bool outbound;         /* network.direction: from the broker to the client */
    struct view detail;    /* free text for message/mqward.detail: what exactly was wrong */
    struct view statement; /* mqtt.statement: "MQTT-3.3.1-4" */

    /* the connection */
    struct view session_id; /* "9c1f-000412" */
    struct view client_ip;  /* textual */
    uint16_t client_port;
    struct view server_ip; /* the broker's address, or empty before there is one */
    uint16_t server_port;
    struct view listener;
    struct view upstream;

    /* TLS of the client's connection */
    bool tls;
    bool tls_resumed;
    struct view tls_version; /* "1.3" */
    struct view tls_cipher;
    struct view tls_server_name;
    struct view tls_subject, tls_issuer, tls_serial, tls_fingerprint; /* RFC 2253 names; hex; sha256 hex */

    /* who */
    struct view user;
    struct view source;   /* identity source: cert, password, ... */
    struct view username; /* as the client gave it, where it differs from user */
    struct view roles[AUDIT_ROLES_MAX];
    uint8_t role_count;
    struct view client_id;

    /* what */
    struct view packet; /* "publish" */
    struct view mqtt_version;
    bool has_topic;
    struct view topic; /* topic name or filter */
    struct view response_topic;
    bool has_qos;
    uint8_t qos;
    bool retained, duplicate;
    uint16_t packet_id; /* 0: none */
    bool has_reason_code;
    uint8_t reason_code; /* on the wire */
    bool has_payload;
    uint64_t payload_bytes;
    bool has_payload_hash;
    uint8_t payload_sha256[32];
    struct view payload_excerpt;
    bool has_connect;
    bool clean_start;
    uint16_t keep_alive;

    /* a signature of the payload, as it names itself: it may be forged */
    struct view signature_kid, signature_sub;

    /* What YARA has found in the payload. rule and rule_location are the policy's check. */
    struct view yara_rules[AUDIT_YARA_MAX]; /* names; the first is what the next ones are about */
    uint8_t yara_rule_count;
    struct view yara_sets[AUDIT_YARA_MAX]; /* rule sets, each once; the first is that of the first rule */
    uint8_t yara_set_count;
    struct view yara_tags[AUDIT_YARA_MAX];
    uint8_t yara_tag_count;
    struct view yara_techniques[AUDIT_YARA_MAX]; /* of ATT&CK: "T1105", each once */
    uint8_t yara_technique_count;
    struct view yara_id, yara_description, yara_reference, yara_severity; /* of its meta */
    bool has_yara_offset;
    uint64_t yara_offset;        /* of a match in the view */
    struct view yara_view;       /* "raw", "json/base64" */
    struct view yara_part;       /* "payload", "user_property", "correlation_data" */
    uint64_t yara_matches;       /* of rules in parts and views; 0: the event is about no scan, or one
                                    that found nothing */
    struct view scan_incomplete; /* why not all was looked at; empty: all was, or nothing was scanned */
    struct view quarantine;      /* what became of it there; empty: nothing was to be stored */
    bool has_quarantine_sha256;
    uint8_t quarantine_sha256[32]; /* of what is kept there: the name of its files */

    /* which rule */
    struct view ruleset; /* the policy's name */
    struct view policy_version;
    struct view previous_policy; /* version of the one that was replaced, where that is why it happened */
    struct view rule;            /* name; empty: the default deny */
    struct view rule_location;   /* "policy.yaml:41" */
    struct view nearest;         /* "telemetry:max_qos" */

    /* a connection that ended */
    bool has_totals;
    uint64_t duration_ms;
    uint64_t client_bytes, client_packets; /* from the client */
    uint64_t server_bytes, server_packets; /* to the client */

    /* a gap: when what is missing happened, and its place, where they are known (0: not) */
    uint64_t start_us, end_us;    /* event.start, event.end: the first and the last of them, wall clock */
    uint64_t gap_first, gap_last; /* sequences that are missing, both included */

    /* what the shadow policy says where the one in force decides otherwise */
    struct view shadow_policy;   /* its version */
    struct view shadow_decision; /* "allow", "deny" */
    struct view shadow_rule;     /* empty: no rule of it allows */
    struct view shadow_location;
    struct view shadow_reason;

    /* a count: lost events of audit-gap, recovered events, denials of client-banned */
    uint64_t count;
    uint64_t suppressed; /* others like this one, since the last event of their kind, that got none */

    /* a ban */
    struct view ban_by;    /* "id", "address" */
    struct view ban_value; /* the identity, the address or its network */
    uint64_t ban_until_us; /* its end on the wall clock; 0: none */
};

/* The longest string kept of a field (of many fields it is less: audit_fields.h); longer ones are cut and
 * marked when rendered. */
#define AUDIT_FIELD_MAX 1024
/* No encoded event is longer: what a caller must see free in its ring before it lets a packet have its
 * effect. */
#define AUDIT_EVENT_MAX 24576

/* Encodes into out (AUDIT_EVENT_MAX bytes at least); returns the length. Absent fields take no room. */
size_t audit_event_encode(const struct audit_event *event, uint8_t *out);
/* Views in *event point into record. 0, or -1 if it is not a record (damaged, or of a newer version). */
int audit_event_decode(struct view record, struct audit_event *event);

/* A row of AUDIT_ACTIONS; categories and types are lists with commas. */
struct audit_action_info {
    const char *name, *kind, *categories, *types;
};
const struct audit_action_info *audit_action_info(enum audit_action action);
const char *audit_action_name(enum audit_action action);
const char *audit_disposition_name(enum audit_disposition disposition);

/* The Markdown tables of actions, dispositions, reasons and caps for docs/audit.md, from the tables of the
 * code. */
struct buffer;
void audit_print_reference(struct buffer *out);

#endif
