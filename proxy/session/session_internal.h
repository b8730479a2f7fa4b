/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the session share. Nobody else includes this. */
#ifndef MQWARD_PROXY_SESSION_SESSION_INTERNAL_H
#define MQWARD_PROXY_SESSION_SESSION_INTERNAL_H

#include "proxy/session/session_repeats.h"
#include <string.h>

#include "proxy/session/session_scan.h"
#include "proxy/session/session_signed.h"

#define SESSION_MAGIC 0x5e551011u

/* NEW --CONNECT--> (IDENTIFYING --the password is right-->) CONNECTING --CONNACK 0--> OPEN; any --> CLOSING.
 */
enum session_state { SESSION_NEW, SESSION_IDENTIFYING, SESSION_CONNECTING, SESSION_OPEN, SESSION_CLOSING };

/* ---- packet ids in flight (session_ids.c) ---- */
enum session_id_state {
    SESSION_ID_FREE,
    SESSION_ID_WAITING,  /* for the receiver's PUBACK or PUBREC */
    SESSION_ID_LEFT_OUT, /* the same, but it has answered later messages: nothing waits behind this one */
    SESSION_ID_REFUSED,  /* the proxy's own answer waits for its turn */
    SESSION_ID_RECEIVED, /* the receiver's PUBREC said yes: its PUBCOMP ends the flow */
    SESSION_ID_OWNED,    /* the proxy's PUBREC said yes: it answers the PUBREL, too */
};

struct session_id {
    uint16_t packet_id;
    uint8_t state;
};

/* Up to so many stand in a list, more in tables. */
#define SESSION_IDS_FEW 8
struct session_id_table;
struct session_ids {
    struct session_id *few;
    struct session_id_table *
        *many; /* NULL while there are few; of these, NULL while all of theirs are free */
    uint32_t count, capacity;
};
enum session_id_state session_ids_get(const struct session_ids *ids, uint16_t packet_id);
void session_ids_set(struct session_ids *ids, uint16_t packet_id, enum session_id_state state);
/* One look: from becomes to, another one. False, and nothing changes: the id is in another state. */
bool session_ids_change(
    struct session_ids *ids, uint16_t packet_id, enum session_id_state from, enum session_id_state to);
void session_ids_free(struct session_ids *ids);

/* ---- acknowledgements (session_acks.c) ----
 * A flow is the messages of one sender: the client's towards the broker, or the broker's towards the client.
 * What the proxy refuses it acknowledges itself, but never ahead of the receiver's answers to earlier
 * messages: [MQTT-4.6.0-2] (PUBACK) and [MQTT-4.6.0-3] (PUBREC) are orders of their own. */
enum session_answer { SESSION_PUBACK, SESSION_PUBREC, SESSION_ANSWERS };

struct session_owed {
    uint16_t packet_id;
    uint8_t code; /* of a made-up answer */
    bool made_up;
};

/* The answers that are owed, the oldest first; a ring of capacity, a power of two. */
struct session_order {
    struct session_owed *items;
    uint32_t first, count, capacity;
};

struct session_flow {
    struct session_ids ids; /* messages whose flow has not ended: what Receive Maximum counts */
    struct session_order order[SESSION_ANSWERS];
    uint32_t search;  /* so many of the oldest are searched for an answer */
    uint32_t made_up; /* answers of the proxy that wait in order[] */
};

/* No sender has more messages in flight. */
#define SESSION_ORDER_MAX 65536
/* So far a client's answer out of order is searched for: nobody is to buy long searches with short packets.
 */
#define SESSION_ORDER_SEARCH 512
/* Above this many made-up answers outstanding the client is not read. */
#define SESSION_MADE_UP_HIGH 1024

/* A message goes on to the receiver. What it makes due (only where a sender has more in flight than there are
 * ids) is appended to out. */
void session_flow_forwarded(struct session_flow *flow, uint8_t qos, uint16_t packet_id,
    enum mqtt_version version, struct buffer *out);
/* The usual case of session_flow_forwarded() at QoS 1, for runs: false, and nothing was done, if it is
 * another case. */
bool session_flow_begin(struct session_flow *flow, uint16_t packet_id);
/* The proxy's refusal of a message with this id waits for its turn: whatever comes under the id is that
 * message. */
bool session_flow_is_refused(const struct session_flow *flow, uint16_t packet_id);
/* The receiver answered (PUBACK, PUBREC, PUBCOMP): appends what became due for the sender to out. False: the
 * receiver answered a message that it never got; the answer must not go on. */
bool session_flow_answered(struct session_flow *flow, const struct mqtt_packet *answer, struct buffer *out);
/* The usual case of session_flow_answered() with a PUBACK: it is the oldest that is awaited, and nothing
 * becomes due. False, and nothing was done: it is another case. */
bool session_flow_end(struct session_flow *flow, uint16_t packet_id);
/* Refuses a message of QoS 1 or 2: the answer now, or once it is due. After a code below 0x80 the proxy also
 * answers the PUBREL of QoS 2. */
void session_flow_refuse(struct session_flow *flow, uint8_t qos, uint16_t packet_id, uint8_t code,
    enum mqtt_version version, struct buffer *out);
/* A PUBREL of the sender: true if the flow is the proxy's; it then has been dealt with. */
bool session_flow_release(
    struct session_flow *flow, uint16_t packet_id, enum mqtt_version version, struct buffer *out);
/* No message with this id is in flight. */
bool session_flow_is_new(const struct session_flow *flow, uint16_t packet_id);
void session_flow_free(struct session_flow *flow);

/* ---- topic aliases of the client (session_alias.c) ---- */
struct session_aliases {
    struct view *topics; /* owned copies, index alias - 1; NULL until the first is set */
    uint16_t maximum;
};
/* False: the alias is above the maximum. */
bool session_alias_set(struct session_aliases *aliases, uint16_t alias, struct view topic);
/* False: unknown or above the maximum. */
bool session_alias_get(const struct session_aliases *aliases, uint16_t alias, struct view *topic);
void session_alias_free(struct session_aliases *aliases);

/* ---- sets of topic filters (session_filters.c) ---- */
struct session_filters {
    uint64_t *hashes;
    size_t count, capacity;
};
uint64_t session_filter_hash(struct view filter); /* never 0 */
bool session_filters_has(const struct session_filters *filters, uint64_t hash);
/* True if it was not in the set; a set of max takes no more. */
bool session_filters_add(struct session_filters *filters, uint64_t hash, size_t max);
bool session_filters_remove(struct session_filters *filters, uint64_t hash); /* true if it was in the set */
void session_filters_free(struct session_filters *filters);

/* ---- filters that the client holds (session_held.c) ---- */
struct session_held_filter {
    uint64_t hash;
    uint32_t generation; /* of the item: a filter that is given back and asked for again is another one */
    uint32_t asked;      /* SUBSCRIBEs for it that are not answered yet */
    bool granted;
    uint8_t options;  /* of the newest SUBSCRIBE, as it went on */
    struct view text; /* owned; data == NULL: the session's texts were too long together */
};
struct session_held {
    struct session_held_filter *items;
    size_t count, capacity;
    uint32_t generation;
    size_t bytes; /* of all texts */
};
/* Filters that are counted; monitor mode lets a client pass every limit of the policy. */
#define SESSION_HELD_MAX 65536
/* Texts beyond so many bytes are not kept: what such a filter brings is still judged at each delivery. */
#define SESSION_HELD_BYTES (256 * 1024)
bool session_held_has(const struct session_held *held, uint64_t hash);
/* A SUBSCRIBE with the filter goes on. Returns the generation, for its answer; 0: there are too many to
 * count. */
uint32_t session_held_ask(struct session_held *held, uint64_t hash, struct view filter, uint8_t options);
/* Its answer: a filter that no SUBSCRIBE got is not held. */
void session_held_answer(struct session_held *held, uint64_t hash, uint32_t generation, bool granted);
void session_held_remove(struct session_held *held, uint64_t hash);
void session_held_remove_at(struct session_held *held, size_t index);
void session_held_free(struct session_held *held);

/* ---- subscriptions (session_subscribe.c, session_unsubscribe.c) ---- */
/* A SUBSCRIBE, or a shortened UNSUBSCRIBE, that went on and whose SUBACK or UNSUBACK is awaited. */
struct session_pending {
    struct session_pending *next;
    enum mqtt_type type; /* of the answer */
    uint16_t packet_id;
    bool own;           /* the proxy's own packet: its answer is nobody else's */
    uint32_t count;     /* filters in the client's packet */
    uint32_t forwarded; /* of these, sent on */
    struct session_pending_filter {
        uint64_t hash;       /* of the filter, where it went on in a SUBSCRIBE */
        uint32_t generation; /* what session_held_ask() said; 0: not counted */
        uint8_t code;        /* the proxy's answer, or SESSION_BROKER_ANSWERS */
        uint8_t refusal; /* takes the place of the broker's yes: it was withdrawn since; 0: nothing does */
    } filters[];
};
#define SESSION_BROKER_ANSWERS 0xFF
#define SESSION_PENDING_HIGH 64

struct session_subscriptions {
    struct session_held held; /* sent on, and granted as far as is known */
    struct session_filters
        refused; /* the newest that the proxy kept back: the broker knows nothing of them */
    struct session_pending *pending;
    uint32_t pending_count;
};
/* Beyond it a refused filter is forgotten, and its UNSUBSCRIBE goes to the broker, who says the same. */
#define SESSION_REFUSED_MAX 1024
void session_subscriptions_free(struct session_subscriptions *subscriptions);

struct session_pending *session_pending_new(const struct mqtt_packet *packet, enum mqtt_type answer);
void session_pending_await(struct session *session, struct session_pending *pending);
/* A filter whose SUBSCRIBE is on its way was given back: its SUBACK is to say so. */
void session_pending_refuse(struct session *session, uint32_t generation, enum reason reason);
/* The proxy's whole answer, when nothing goes on. */
void session_pending_answer(
    struct session *session, const struct session_pending *pending, struct session_output *output);
/* The broker's answer, merged with the proxy's own. */
enum session_verdict session_pending_merge(struct session *session, struct session_pending *pending,
    struct mqtt_packet *packet, struct session_output *output);
/* Some brokers give one code for a filter that a packet names twice. True: so it may be, and nothing of the
 * packet was kept back, so that the answer can go on as it is. */
bool session_pending_counts_once(const struct session_pending *pending, size_t codes);
void session_pending_pass(
    struct session *session, struct session_pending *pending, const struct mqtt_packet *packet);
/* The one that this answer is for, taken out of the list; NULL: none. */
struct session_pending *session_pending_take(
    struct session *session, enum mqtt_type answer, uint16_t packet_id);
/* What the client is told of a filter that the proxy refuses. */
uint8_t session_refusal_code(const struct session *session, enum reason reason);
/* Gives subscriptions back that the policy does not grant any more (session_withdraw.c). */
void session_withdraw(struct session *session, struct session_output *output);
/* A packet with thousands of filters is an attack or a mistake: each filter costs a decision. */
enum session_verdict session_too_many_filters(
    struct session *session, enum mqtt_type type, struct session_output *output);

/* ---- decisions that hold for the same topic again (session_cache.c) ---- */
struct session_cache_entry {
    uint8_t *topic; /* owned copy; NULL: the place is free */
    uint32_t length, hash;
    uint8_t max_qos;
    bool retain;
    uint16_t follower; /* the entry that was found after this one the last time */
    uint64_t max_size;
    uint64_t checks; /* that such a message is to pass */
    const struct policy_rule_info *rule;
};
struct session_cache {
    uint16_t capacity; /* a power of two */
    uint16_t last;     /* the entry that was found last */
    uint16_t turn;     /* whose place is taken next */
    struct session_cache_entry entries[];
};
static inline bool session_cache_holds(
    const struct session_cache_entry *entry, const struct policy_request *request)
{
    return entry->length == request->topic.length && request->qos <= entry->max_qos &&
           (!request->retain || entry->retain) && request->size <= entry->max_size && entry->topic != NULL &&
           memcmp(entry->topic, request->topic.data, entry->length) == 0;
}
/* The second look, at others than the last. */
const struct session_cache_entry *session_cache_search(
    struct session_cache *cache, const struct policy_request *request);
/* What allowed the same before, within the bounds that the policy gave; NULL: ask it. On the hot path. */
static inline const struct session_cache_entry *session_cache_find(
    struct session_cache *cache, const struct policy_request *request)
{
    if (cache == NULL)
        return NULL;
    return session_cache_holds(&cache->entries[cache->last], request) ? &cache->entries[cache->last]
                                                                      : session_cache_search(cache, request);
}
void session_cache_add(
    struct session_cache **cache, const struct policy_request *request, const struct policy_verdict *verdict);
void session_cache_free(struct session_cache *cache);

/* A CONNECT whose password is being checked, or whose will waits for the replay store. */
struct session_held_connect {
    struct session_password_check check;
    struct policy_identification found;
    uint64_t ticket;                     /* of the replay store; 0: it is not asked */
    uint64_t scan_ticket;                /* of the will's scan; 0: it is not scanned */
    uint64_t scanned_checks, scanned_of; /* as struct session_hold */
    bool is_foreseen;                    /* the next is filled in */
    struct session_foreseen foreseen;
    uint64_t will_checks;
    size_t header_length, length;
    uint8_t bytes[];
};
void session_held_connect_free(struct session_held_connect *held); /* NULL is fine */

/* What is held (session->hold) has its place now, or needs none. */
void session_hold_end(struct session *session);

/* What CONNECT said of the will, to judge it by another policy. */
struct session_will {
    uint8_t qos;
    bool retain;
    uint64_t size;
    struct view topic;             /* owned copies */
    struct view response_topic;    /* data == NULL: none */
    struct view kid, sub;          /* of the signature that stood at CONNECT; data == NULL: none did */
    struct session_mark *mark;     /* owned; until the broker has answered */
    struct policy_verdict verdict; /* that let it pass, until CONNECT has gone on */
};
void session_will_free(struct session_will *will); /* NULL is fine */

/* What of a packet's events depends on the client and the policy alone (session_room.c). */
struct session_foreseeable {
    size_t identity;       /* bytes of who and where, encoded; 0: to be worked out anew */
    size_t excerpt;        /* of a payload */
    size_t reports, scans; /* checks that tell and let pass, but for those of YARA; those */
};

struct session {
    uint32_t magic;
    enum session_state state;
    enum mqtt_version version; /* 0 before CONNECT */
    const struct session_settings *settings;
    const struct policy_settings *policy;
    const struct session_peer *peer;
    const struct session_hooks *hooks;
    void *context; /* of the hooks */

    struct policy_subject *subject;
    struct policy_subject
        *shadow; /* of the shadow policy; NULL: there is none, or it would not let the client in */
    /* Of a client that the policy in force does not know any more, or as somebody else: who it was, and what
     * is to be said of its end. */
    struct view former_user; /* owned */
    enum policy_source former_source;
    const struct policy_rule_info *end_rule;
    char *end_detail;
    struct view client_id, username, authentication_method; /* owned copies */
    bool has_username, has_password;                        /* CONNECT had them */
    enum policy_token token_in; /* NONE: token, if there is one, is in the password all the same */
    struct view token;          /* owned copy of a client's JSON Web Token; data NULL: none */
    uint64_t token_since_s;     /* when it came, in seconds since 1970 */
    uint64_t expires_s;         /* seconds since 1970; 0: never */
    uint64_t password_tag;      /* of what the password was checked with */
    struct session_will *will;  /* NULL: none */
    struct session_held_connect *held_connect; /* while IDENTIFYING */
    char *previous_policy; /* version of the policy that another one has replaced; NULL: none */
    struct view server_address;
    uint16_t server_port;
    uint16_t keep_alive; /* seconds in force */
    bool clean_start;
    bool resumed;                    /* CONNACK says, or in 3.1 may mean, that the broker kept a session */
    bool has_authentication;         /* CONNECT named an authentication method: AUTH may follow */
    bool authentication_asked;       /* the broker's AUTH awaits the client's */
    bool identified;                 /* the identity is proven, so that all of its name answer for it */
    bool accepted;                   /* connect-accepted was audited: a disconnect event is owed */
    bool refused;                    /* connect-refused or its like was audited */
    bool session_expiry_limited;     /* the proxy lowered it */
    uint32_t session_expiry;         /* seconds, as sent to the broker */
    uint32_t session_expiry_asked;   /* as the client asked: 0 forbids a later one in DISCONNECT */
    uint32_t client_packet_limit;    /* CONNECT's Maximum Packet Size: nothing larger is sent to the client */
    uint16_t broker_receive_maximum; /* what CONNACK (5.0) says the broker can do */
    uint8_t broker_max_qos;
    bool broker_retains;
    uint64_t broker_packet_limit; /* CONNACK's Maximum Packet Size */
    uint64_t packet_limit;        /* of the policy at CONNECT, as the client was told */
    uint32_t broker_packet_max;   /* of the settings at CONNECT, as the broker was told */
    uint64_t sample;              /* state of the sampling of allowed events */
    bool sample_is_due;           /* the next allowed act is one of them */

    struct session_flow from_client, from_broker;
    struct session_aliases aliases;
    struct session_subscriptions subscriptions;
    struct session_cache *publish_cache, *receive_cache;
    struct session_denials *publish_denials, *receive_denials; /* NULL: none */
    struct session_repeats *repeats;                           /* NULL: none */
    struct session_marks marks;
    struct session_waiting waiting;    /* packets of the client */
    struct session_waiting deliveries; /* and of the broker, which wait for a scan */
    uint64_t tickets;                  /* given out */
    struct session_foreseen *foreseen; /* of the packet that is being handled; NULL: nothing */
    struct session_hold hold;          /* set by the handler of a packet that has to wait after all */
    /* Of the packet that is being handled, which has waited for it: by the checks that asked. NULL: nothing,
     * and its turn is its first. */
    const struct session_scanned *scanned;
    uint64_t scanned_checks, scanned_of; /* as struct session_hold */
    char *groups;         /* of the subject, joined, for rules that ask; NULL: nothing has asked yet */
    uint8_t refusal_code; /* of MQTT 5.0, in place of the reason's own; 0: none */
    bool holds_rates;
    struct session_foreseeable foreseeable;
    bool unrecorded;       /* the audit has no room for the packet that is being handled */
    bool unrecordable;     /* and never will have: one event says so of all of it */
    struct buffer scratch; /* property blocks under construction; empty between packets */
};

/* Before CONNECT: the limits that the client and the broker will be told. They hold to the end. */
void session_take_limits(struct session *session);
/* The one place where the state changes; asserts that the step is legal. */
void session_set_state(struct session *session, enum session_state state);

/* Ends the session for a reason: the answer to the client (CONNACK before OPEN, DISCONNECT in 5.0 after it),
 * and close. */
void session_close(struct session *session, enum reason reason, struct session_output *output);
/* What a 5.0 client is told of a reason. */
uint8_t session_refusal_code_of(const struct session *session, enum reason reason);
/* Encodes a packet for the client that the proxy made longer. Above the client's maximum packet size it goes
 * without what may be left out, [MQTT-3.2.2-19], and if that is not enough the session is closed. */
void session_encode_to_client(struct session *session, struct mqtt_packet *packet,
    struct mqtt_properties *properties, struct session_output *output);
/* The client broke the protocol: audit, answer, close. Returns SESSION_CONSUMED. */
enum session_verdict session_client_error(struct session *session, const struct mqtt_error *error,
    enum mqtt_type type, struct session_output *output);
enum session_verdict session_client_violation(struct session *session, enum reason reason,
    const char *statement, const char *text, enum mqtt_type type, struct session_output *output);
enum session_verdict session_broker_violation(
    struct session *session, const char *statement, const char *text, struct session_output *output);

/* ---- audit (session_audit.c) ---- */
void session_event_begin(const struct session *session, struct audit_event *event, enum audit_action action,
    enum reason reason, enum audit_disposition disposition);
/* rule, nearest miss and would_deny of a verdict; nearest is where the text is built (AUDIT_NEAREST_MAX
 * bytes). */
#define SESSION_NEAREST_MAX 160
void session_event_verdict(struct audit_event *event, const struct policy_verdict *verdict, char *nearest);
void session_event_will(
    struct audit_event *event, const struct session_will *will, struct view response_topic);
/* length always; hash and excerpt as the policy says. */
void session_event_payload(const struct session *session, struct audit_event *event, struct view payload);
void session_event_emit(const struct session *session, const struct audit_event *event);
/* False: the policy wants to hear nothing of such events, and session_event_emit() leaves them out. */
bool session_audit_tells(const struct session *session, enum audit_action action);
/* True for the share of allowed acts that the policy wants to see. */
bool session_sample(struct session *session);
/* Of an act that can be left to others: false, and it is not of that share; or true, and so will this say,
 * and session_sample(), until session_sample() has said it once. */
bool session_sample_is_due(struct session *session);

/* ---- room for it (session_room.c) ---- */
/* The client, the broker or the policy is another one. */
void session_room_forget(struct session *session);

/* ---- counting (session_counters.c) ---- */
static inline uint16_t session_rule_slot(const struct session *session, const struct policy_rule_info *rule)
{
    const _Atomic uint16_t *slots = session->settings->slots.rules;

    return rule == NULL    ? SESSION_SLOT_NONE
           : slots == NULL ? SESSION_SLOT_OTHER
                           : atomic_load_explicit(&slots[rule->index], memory_order_relaxed);
}
/* The one decision on an act: it goes on, by its rule or because of monitor mode. On the hot path. */
static inline void session_count_passed(
    const struct session *session, enum session_operation operation, const struct policy_verdict *verdict)
{
    struct session_counters *counters = session->hooks->counters;

    if (counters == NULL)
        return;
    if (verdict->would_be_denied) {
        counter_add(&counters->decisions[operation][SESSION_MONITORED], 1);
        return;
    }
    counter_add(&counters->decisions[operation][SESSION_ALLOWED], 1);
    counter_add(&counters->rules[session_rule_slot(session, verdict->rule)][SESSION_ALLOWED], 1);
}
/* Or it does not. */
void session_count_denied(
    const struct session *session, enum session_operation operation, const struct policy_verdict *verdict);
/* So many times the same. */
void session_count_denials(const struct session *session, enum session_operation operation,
    const struct policy_verdict *verdict, uint64_t count);
/* A rule or a check would have denied it: each one that says so. */
void session_count_monitored(const struct session *session, const struct policy_verdict *verdict);
/* A CONNECT is refused. */
void session_count_refused(const struct session *session, enum reason reason);
/* The shadow policy decides otherwise; denies: it would have denied. */
void session_count_shadow(const struct session *session, bool denies);
/* A peer broke the protocol. */
void session_count_violation(const struct session *session, enum reason reason);
/* What checks said of a message's signature: reason, and what is noted in signature. */
void session_count_signature(
    const struct session *session, enum reason reason, const struct session_signature *signature);
/* Around the work of one verification: what begin returns goes to end. */
uint64_t session_signature_begin(const struct session *session);
void session_signature_end(const struct session *session, uint64_t begun_ns);
void session_count_scan(const struct session *session, size_t check, enum session_scan_place place,
    const struct scan_result *result);

/* ---- the shadow policy (session_shadow.c) ---- */
/* The client is in, or was identified anew: who it is to the shadow policy. */
void session_shadow_begin(struct session *session);
void session_shadow_end(struct session *session);
/* The policy in force did not identify the client. */
void session_shadow_refused(
    const struct session *session, const struct policy_credentials *credentials, enum reason reason);
/* Compares a verdict, monitor mode's as if it were enforced, and tells the audit where the shadow's is
 * another. Its envelope becomes what both have. response_topic: empty if there is none. */
void session_shadow_act(const struct session *session, const struct policy_request *request,
    struct view response_topic, struct policy_verdict *verdict);
void session_shadow_subscribe(const struct session *session, const struct policy_subscribe_request *request,
    const struct policy_subscribe_verdict *verdict);

/* ---- denials and bans (session_ban.c) ---- */
/* An act of the client was refused by the policy: a publish, a filter, a will, a response topic, a rate; not
 * what monitor mode let pass. Called once for each, after its audit event and its answer. True: it was one
 * too many, and the session has ended. */
bool session_denied(
    struct session *session, const struct policy_verdict *verdict, struct session_output *output);
/* Only the client itself can have used up the rate: else to exceed it is no denial, or others would have it
 * banned. */
bool session_rate_is_own(const struct session *session, const struct policy_check_info *check);
/* Refuses the CONNECT of a banned address, and of a banned identity once there is one. True: refused. */
bool session_refuse_banned(struct session *session, struct session_output *output);

/* ---- rates (session_rates.c) ---- */
/* A CONNECT, by its address, before anything costs more; and of an identity that is proven. False: one too
 * many (and answered). */
bool session_rates_arrive(struct session *session, struct session_output *output);
bool session_rates_enter(struct session *session, struct session_output *output);
/* Another subject, or another policy: see hooks.hold_rates. */
void session_rates_hold(struct session *session, const struct policy_subject *subject);

/* ---- a PUBLISH on its way (session_publish.c, session_delivery.c) ---- */
struct session_publish {
    struct mqtt_publish packet;
    struct policy_request request;
    struct policy_verdict verdict;
    struct view response_topic;
    bool rewritten; /* the bytes that go on are not the ones that came: the alias ends here, or the signature
                     */
    uint64_t limited_by;                      /* bit of the check whose rate refuses it; 0: none does */
    const struct session_scan_found *scanned; /* what the event is about; NULL: no scan */
    bool is_signed;                           /* checks ask for a signature: the next two are filled in */
    struct session_signature signature;
    struct session_carrier carrier;
};
/* reason_code: on the wire; below 0: none. */
void session_audit_publish(struct session *session, const struct session_publish *context,
    enum audit_action action, enum audit_disposition disposition, int reason_code);
/* What checks in monitor mode would have refused for its signature. */
void session_audit_signatures(
    struct session *session, struct session_publish *context, enum audit_action action);

/* ---- the will (session_will.c) ---- */
/* Judges the will of a CONNECT but for its signature and its payload, and keeps what another policy will
 * need. *checks: those that it is to pass, as bits. False: denied (and answered). */
bool session_will_allowed(
    struct session *session, const struct mqtt_will *will, uint64_t *checks, struct session_output *output);
/* As session_publish_foresee(). */
bool session_will_foresee(struct session *session, const struct mqtt_will *will, uint64_t checks,
    uint64_t now_ms, struct session_mark *mark);
/* Judges the signature; carrier is what goes on. False: denied (and answered). */
bool session_will_signed(struct session *session, const struct mqtt_will *will, uint64_t checks,
    struct session_signature *signature, struct session_carrier *carrier, struct session_output *output);
/* Scans its payload; checks: those that ask for it. False: denied (and answered), or CONNECT waits, by
 * session->hold. signature: NULL: no check asks for one. */
bool session_will_scanned(struct session *session, const struct mqtt_will *will, uint64_t checks,
    const struct session_signature *signature, struct session_output *output);
/* CONNECT goes on with it. */
void session_will_sent(struct session *session, const struct session_signature *signature);
/* The broker has it; or it does not, so that it may come again. Of a connection that broke before CONNACK
 * that is not known, and neither is said. */
void session_will_answered(struct session *session, bool accepted);
/* Judges it by the policy and the keys that are in force now. False: the session has ended, since no packet
 * takes a will back but DISCONNECT. */
bool session_will_again(struct session *session, struct session_output *output);

/* ---- tokens (session_token.c) ---- */
/* What was found at CONNECT: keeps the token, for another policy or key set, and when it all ends. */
void session_token_take(
    struct session *session, const struct policy_identification *found, const struct mqtt_connect *connect);
/* Fills in what the token and its place are for policy_identify(). */
void session_token_present(const struct session *session, struct policy_credentials *credentials);
void session_token_free(struct session *session);
/* AUTH of a client whose token was in the authentication data: it brings another one. */
enum session_verdict session_token_renew(
    struct session *session, const struct mqtt_packet *packet, struct session_output *output);

/* ---- handlers of packets, by file; each gets a frame of its type ---- */
typedef enum session_verdict session_handler(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output);

session_handler session_client_connect; /* session_connect.c */
session_handler session_broker_connack; /* session_connack.c */
session_handler session_client_publish; /* session_publish.c */
session_handler session_broker_publish;
session_handler session_client_subscribe; /* session_subscribe.c */
session_handler session_broker_suback;
session_handler session_client_unsubscribe; /* session_unsubscribe.c */
session_handler session_broker_unsuback;

/* Refuses the CONNECT: audit, CONNACK, close. rule and detail may be NULL. */
void session_connect_refuse(struct session *session, enum reason reason, const struct policy_rule_info *rule,
    const char *detail, struct session_output *output);
/* What monitor mode lets pass, it reports. */
void session_connect_would_refuse(const struct session *session, enum reason reason,
    const struct policy_rule_info *rule, const char *detail);
/* What the client presents; username and password as they are known now. */
struct policy_credentials session_credentials(const struct session *session);
/* REASON_none: the policy's identity stands, but for a password or the broker's word; else why it does not.
 */
enum reason session_check_identity(const struct session *session, const struct policy_identification *found);
/* What stands for the client's entry in the password file; see hooks.password_tag. */
uint64_t session_password_tag(const struct session *session, const struct policy_identification *found);
/* The replay store has answered about the will of the CONNECT that waits for it. */
void session_connect_foreseen(
    struct session *session, enum replay_answer answer, struct session_output *output);
/* The will of the CONNECT that waits for it has been scanned. */
void session_connect_scanned(
    struct session *session, const struct session_scanned *results, struct session_output *output);
/* The verdict on a will; response_topic is the one that was denied, if any. False: denied, or would be. */
bool session_judge_will(const struct session *session, const struct session_will *will,
    struct policy_verdict *verdict, struct view *response_topic);
/* Claims the session's place under its present client id, or asks for it; see hooks.claim. */
enum reason session_claim(struct session *session, bool proven);
/* The broker is the one that checks who the client is: nothing is proven before its CONNACK. */
bool session_is_broker_identified(const struct session *session);
/* The code of the CONNACK that refuses a CONNECT for this reason; false: the version has none, the connection
 * just ends. */
bool session_connack_code(const struct session *session, enum reason reason, uint8_t *code);
/* The verdict of the policy on a topic. */
void session_judge(
    const struct session *session, const struct policy_request *request, struct policy_verdict *verdict);
/* False, with the verdict, if the requester may not receive on its own response topic. */
bool session_may_receive_response(
    const struct session *session, struct view topic, struct policy_verdict *verdict);

#endif
