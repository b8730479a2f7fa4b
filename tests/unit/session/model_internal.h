/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the session model share. The reference is made of arrays by packet identifier, lists and
 * sets of strings. It borrows the codec from the product, and nothing from the session or the policy engine.
 *
 *   model.c            the policies, and what a session asks of its surroundings
 *   model_life.c       lives and connections
 *   model_act.c        what the two peers do next
 *   model_step.c       one packet handed in, and what came out held against what was due
 *   model_report.c     the last packets, for failures
 *   model_list.c       lists and sets
 *   model_rules.c      the policy: what may be published, received and subscribed to
 *   model_packet.c     packets from what is to be in them
 *   model_peer.c       what a peer has sent and seen, and what it owes
 *   model_request.c    SUBSCRIBE and UNSUBSCRIBE of the client, and their answers
 *   model_connect.c    CONNECT, CONNACK, AUTH and DISCONNECT of both peers
 *   model_mischief.c   what neither may send
 *   judge*.c           what must come out for each packet that goes in */
#ifndef MQWARD_TESTS_UNIT_SESSION_MODEL_INTERNAL_H
#define MQWARD_TESTS_UNIT_SESSION_MODEL_INTERNAL_H

#include "model.h"
#include "proxy/session/session.h"

enum { CLIENT = MQTT_FROM_CLIENT, BROKER = MQTT_FROM_SERVER, SIDES };

static inline int other_side(int side)
{
    return side == CLIENT ? BROKER : CLIENT;
}

/* ---- lists and sets (model_list.c) ---- */

/* A queue of packet identifiers. */
struct list {
    uint16_t *items;
    uint32_t first, count, capacity;
};
void list_push(struct list *list, uint16_t item);
uint16_t list_take(struct list *list, uint32_t index);
bool list_remove(struct list *list, uint16_t item); /* the oldest; false: there is none */

/* A string that fits, or none. */
#define TEXT_MAX 255
struct text {
    uint8_t length;
    char bytes[TEXT_MAX];
};
bool text_set(struct text *text, struct view value); /* false, and empty: it does not fit */
static inline struct view text_view(const struct text *text)
{
    return view_of(text->bytes, text->length);
}

#define SET_MAX 64
struct set {
    unsigned count;
    struct text items[SET_MAX];
};
bool set_has(const struct set *set, struct view item);
bool set_add(struct set *set, struct view item); /* false: no room for it */
void set_remove(struct set *set, struct view item);

/* ---- the policy (model_rules.c) ---- */

enum on_deny { ON_DENY_REJECT, ON_DENY_DROP, ON_DENY_DISCONNECT };

/* What surrounds the rules. */
struct variant {
    const char *name;
    bool monitor;
    enum on_deny publish;
    bool disconnect_subscriber;
    unsigned subscriptions, levels, packet; /* limits; levels 0: none */
    uint32_t session_expiry;                /* seconds; UINT32_MAX: no limit */
    bool audit_all;                         /* what is allowed is audited, too */
    bool narrow;                            /* other rules, which allow less */
    bool passwords;                         /* who has a password is identified by it; else anybody is */
};
#define VARIANTS 8
#define VARIANTS_ENFORCED 6 /* those first */
extern const struct variant rules_variants[VARIANTS];
char *rules_text(const struct variant *variant); /* the policy; the caller frees it */

struct judgement {
    bool denied, watched; /* watched: a rule in monitor mode would deny it */
    bool unknown;         /* a filter that is not one of the model's */
    uint8_t code;         /* of 5.0, with denied */
    uint8_t max_qos;      /* of a filter */
};
/* client_id empty: not known. */
struct judgement rules_publish(const struct variant *variant, struct view client_id, struct view topic,
    unsigned qos, bool retain, size_t size);
struct judgement rules_receive(const struct variant *variant, struct view client_id, struct view topic);
struct judgement rules_filter(const struct variant *variant, struct view client_id, struct view filter);
bool rules_id_safe(struct view client_id); /* it can fill a placeholder */

/* Strings to choose from, with the client id filled in. */
unsigned rules_topic_count(void);
unsigned rules_filter_count(void);
void rules_topic(struct text *out, unsigned index, struct view client_id);
void rules_filter_text(struct text *out, unsigned index, struct view client_id);

/* ---- peers ---- */

enum { /* properties of messages */
    WITH_FORMAT = 1,
    WITH_EXPIRY = 2,
    WITH_CONTENT_TYPE = 4,
    WITH_RESPONSE_TOPIC = 8,
    WITH_CORRELATION = 16,
    WITH_USER = 32,
    WITH_SUBSCRIPTION_ID = 64,
};

#define PAYLOAD_MAX 600

/* A message, as its sender keeps it until it is acknowledged. */
struct message {
    struct text topic;
    uint8_t qos, properties, response; /* response: which topic */
    bool retain;
    uint16_t size;   /* of the payload, at most PAYLOAD_MAX */
    uint32_t number; /* no two are alike */
};

enum stage { STAGE_FREE, STAGE_PUBLISHED, STAGE_RECEIVED, STAGE_RELEASED, STAGE_REQUEST };

struct outgoing {
    uint8_t stage;
    bool sent;     /* PUBLISH or PUBREL on this connection */
    bool counted;  /* PUBLISH on this connection: it takes of the Receive Maximum */
    uint32_t turn; /* the order of the PUBLISHes, for the next connection */
    struct message message;
};

struct incoming {   /* of the other side's messages */
    bool known;     /* QoS 2, and not released yet */
    bool owed[2];   /* PUBACK, PUBREC */
    bool completes; /* PUBCOMP is owed */
};

struct request { /* what the broker has to answer */
    uint8_t type;
    uint16_t packet_id;
    uint8_t count; /* codes */
};
#define REQUESTS_MAX 80

struct peer {
    struct outgoing *outgoing; /* its own messages and requests, by packet id */
    struct incoming *incoming; /* the other's, by packet id */
    uint32_t turns, unsent;    /* unsent: what an earlier connection left */
    unsigned in_flight;
    struct list owed[2]; /* PUBACK, PUBREC, oldest first */
    struct list to_release, to_complete;
    struct request requests[REQUESTS_MAX];
    unsigned request_count, pings;
    struct buffer inbox; /* on its way to the peer */

    /* this connection, as far as the peer has seen it */
    bool connected;
    bool to_authenticate, authenticating;
    bool answers_once; /* a broker that answers a filter that is named twice only once */
    unsigned receive_maximum, packet_limit, alias_maximum, max_qos;
    bool retains;
    uint32_t session_expiry;
    struct text client_id, method;
    struct text aliases[4]; /* the client's own; index alias - 1 */
};

/* ---- the reference ---- */

struct answer {
    uint16_t packet_id;
    bool made_up; /* by the proxy */
    uint8_t code;
};
struct answers {
    struct answer *items;
    uint32_t first, count, capacity;
};

enum owner { OWNER_NOBODY, OWNER_RECEIVER, OWNER_PROXY };

/* One sender's messages. */
struct flow {
    struct answers answers[2]; /* PUBACK, PUBREC: what is due to the sender, in the order of its PUBLISHes */
    struct flow_id {
        uint8_t owner;           /* who ends the flow */
        uint8_t qos;             /* of its message */
        bool acknowledged;       /* PUBREC said yes */
        bool released;           /* PUBREL went on: PUBCOMP is due */
        bool refused;            /* PUBREC of the proxy said no, and nothing was sent since */
    } * ids;                     /* by packet id; 0: those that the peers do not use */
    unsigned in_flight, made_up; /* made_up: answers of the proxy that are not due yet */
    bool any_order;              /* the receiver does not keep the order */
};

#define FILTERS_MAX 8
struct pending {
    uint8_t type; /* MQTT_SUBACK, MQTT_UNSUBACK */
    uint16_t packet_id;
    unsigned count, forwarded;
    bool proxys; /* the proxy's own UNSUBSCRIBE: nobody hears of the answer */
    struct pending_filter {
        struct text text;
        bool own; /* the proxy's answer, in code */
        bool any_code, either;
        bool past; /* of a SUBSCRIBE: an UNSUBSCRIBE for it went on since */
        uint8_t code;
        uint8_t withdrawn; /* since it went on: the client's code in place of the broker's yes; 0: no */
    } filters[FILTERS_MAX];
};

enum phase { PHASE_NEW, PHASE_IDENTIFYING, PHASE_CONNECTING, PHASE_OPEN, PHASE_CLOSED };

/* Who the client is held to be; NOBODY: monitor mode let it in, but did not believe it. */
enum identity { IDENTITY_NOBODY, IDENTITY_ANYONE, IDENTITY_USER };

struct last_will {
    bool left, has_response, retain;
    uint8_t qos;
    size_t size;
    struct text topic, response;
};

struct reference {
    struct flow flows[SIDES]; /* by sender */
    enum phase phase;
    enum mqtt_version version;
    struct text client_id, aliases[4], method;
    struct text known_id; /* client_id, if it can fill a placeholder */
    unsigned client_packet_limit, broker_packet_limit, broker_receive_maximum, broker_max_qos, keep_alive;
    bool broker_retains, has_method, authentication_asked;
    bool clean_start, resumed; /* resumed: the broker may have kept a session */
    bool outcome_due;          /* CONNECT was understood: it is accepted or refused */
    bool has_password;         /* and a user name */
    struct text username;
    uint64_t password_tag; /* of what the password was checked with; 0: nothing was proven */
    enum identity identity;
    struct last_will will;
    size_t packet_max, broker_packet_max; /* what the client and the broker were told */
    unsigned alias_maximum;
    uint32_t session_expiry_asked, session_expiry;
    bool vague; /* a side broke the rules of packet ids: acknowledgements are not looked at any more */
    bool vague_filters; /* the same of filters */
    bool vague_aliases; /* a topic did not fit */
    unsigned pending_count;

    /* From here on, only what the counts say is looked at. */
    struct pending pending[REQUESTS_MAX];
    /* Filters: held; perhaps held; given up by the last request; refused; refused or unknown. */
    struct set sure, maybe, parted, refused, unsure;
};

/* ---- a step ---- */

enum { /* events of the audit that are counted */
    COUNT_PUBLISH_DENIED,
    COUNT_PUBLISH_ALLOWED,
    COUNT_SUBSCRIBE_DENIED,
    COUNT_SUBSCRIBE_GRANTED,
    COUNT_FILTERED,
    COUNT_WILL_DENIED,
    COUNT_PROTOCOL_ERROR,
    COUNT_WITHDRAWN,
    COUNTS
};

struct step {
    size_t event_bytes; /* of a ring, that the events of the step take */
    int side;           /* who sent the packet */
    struct view bytes;
    struct mqtt_packet packet;
    struct buffer out[SIDES], expected[SIDES];                 /* by receiver */
    bool opens, closes, asks, must_open, must_close, must_ask; /* asks: to check a password */
    struct text asked_name, asked_password;
    bool optional; /* what is expected, or nothing of it */
    bool refusal;  /* to the client: a CONNACK that says no, or silence */
    uint8_t refusal_codes[3];
    unsigned refusal_code_count; /* 0: any */
    unsigned events[COUNTS], events_min[COUNTS], events_max[COUNTS];
};

#define HISTORY_MAX 4096
#define HISTORY_BYTES 224
struct history_entry {
    const char *what;
    uint8_t side; /* who sent it */
    uint8_t version;
    size_t length;
    uint8_t bytes[HISTORY_BYTES];
};

/* Packet identifiers of a life: few, so that they are soon used again; at times many, so that there can be
 * many messages in flight. */
#define MODEL_IDS_FEW 12
#define MODEL_IDS_MANY 100

struct model {
    struct model_options options;
    struct choices choices;
    uint64_t seed;
    unsigned ids_max, steps;
    struct policy *policies[VARIANTS];

    /* a life */
    const struct variant *variant;
    enum mqtt_version version;
    bool mischief;
    bool rebinds;     /* other policies come into force meanwhile */
    uint64_t tag;     /* stands for the entry of the client in the password file; 0: there is none */
    unsigned ids;     /* packet identifiers in use: 1 to ids */
    uint32_t numbers; /* of messages */
    struct peer peers[SIDES];

    /* a connection */
    struct session_settings settings;
    struct session_peer session_peer;
    struct session_hooks hooks;
    struct session *session;
    struct session_settings *bound; /* to the session: a copy of settings, freed when they are replaced */
    struct buffer held_connect;     /* while its password is being checked */
    bool slow[SIDES];               /* answers late */
    bool corrupt[SIDES];            /* its next packet is not what it should be */
    struct reference reference;
    enum reason claim_answer;
    struct text claimed, claimed_by;
    unsigned accepted, refused, disconnects;
    struct step step;
    struct buffer packet, properties, will, scratch, corrupted; /* under construction */

    struct history_entry history[HISTORY_MAX];
    unsigned history_count;
    struct buffer report;
};

static inline unsigned below(struct model *model, unsigned limit)
{
    return choices_below(&model->choices, limit);
}
static inline bool rarely(struct model *model, unsigned times)
{
    return choices_rarely(&model->choices, times);
}

/* ---- model_report.c ---- */
void history_add(struct model *model, const char *what, int side, struct view bytes);
_Noreturn void model_fail(struct model *model, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- model_packet.c ---- */
/* The packet at the start of bytes; false: there is none, and error says why. */
bool packet_read(struct view bytes, int sender, enum mqtt_version version, struct mqtt_packet *packet,
    struct mqtt_error *error);
/* All others build in model->packet. */
struct view packet_message(struct model *model, int side, const struct message *message, uint16_t packet_id,
    bool dup, unsigned alias, bool with_topic);
struct view packet_ack(struct model *model, enum mqtt_type type, uint16_t packet_id, uint8_t code);
struct view packet_plain(struct model *model, enum mqtt_type type);
struct view packet_encode(
    struct model *model, struct mqtt_packet *packet, struct mqtt_properties *properties);
void packet_maybe_user_property(struct model *model); /* into model->properties */

/* ---- model_peer.c ---- */
void peer_reset(struct model *model, int side); /* it remembers nothing */
void peer_new_connection(struct model *model, int side);
void peer_read(struct model *model, int side); /* takes its inbox in */
bool peer_publish(struct model *model, int side);
/* The message under an id that is free (0 with QoS 0). False: the packet is larger than the other side takes.
 */
bool peer_publish_as(struct model *model, int side, unsigned id, struct message message);
bool peer_resume(struct model *model, int side);                /* sends what an earlier connection left */
bool peer_send_again(struct model *model, int side);            /* MQTT 3.1 */
bool peer_answer(struct model *model, int side, unsigned kind); /* kind: 0 to 3 */
void peer_choose_message(struct model *model, int side, struct message *message);
unsigned peer_free_id(struct model *model, int side); /* 0: none found */

/* ---- model_request.c ---- */
bool client_subscribe(struct model *model, enum mqtt_type type);
bool broker_answer_request(struct model *model);

/* ---- model_connect.c ---- */
void client_connect(struct model *model, bool resumed);
bool broker_connack(struct model *model); /* Session Present */
bool peer_authenticate(struct model *model, int side);
void peer_disconnect(struct model *model, int side);
void client_learn(struct peer *client, const struct mqtt_connack *connack);
void broker_learn(struct peer *broker, const struct mqtt_connect *connect);

/* ---- model_act.c ---- */
void model_act(struct model *model);           /* one step of either side */
void model_settle(struct model *model);        /* both sides answer all that they owe */
void model_use_every_id(struct model *model);  /* each packet identifier once more */
void model_abort_somehow(struct model *model); /* for any reason */

/* ---- model_mischief.c ---- */
void model_misbehave(struct model *model, int side);

/* ---- model_step.c ---- */
/* Hands in bytes of a side, packet by packet, checks what comes out and puts it into the inboxes. */
void model_feed(struct model *model, int side, struct view bytes);
void model_abort(struct model *model, enum reason reason);
/* The answer to the password that CONNECT waits for. */
void model_password(struct model *model, enum reason found);
/* Another policy, or the same again; its settings may be others, too. Not while CONNECT is on its way. */
void model_rebind(struct model *model);
void model_choose_variant(struct model *model);
struct session_settings *model_copy_settings(const struct model *model);
bool model_client_ready(const struct model *model);
/* No packet of this side may be larger. */
size_t packet_limit(const struct model *model, int sender);

/* ---- judge*.c: what a step must lead to, into model->step ---- */
void judge_begin(struct model *model);       /* a connection */
void judge_take_limits(struct model *model); /* that client and broker will be told */
void judge_packet(struct model *model);
bool judge_out_of_place(const struct model *model, const struct mqtt_frame *frame);
void judge_malformed(struct model *model, const struct mqtt_error *error);
void judge_violation(struct model *model, uint8_t code);
void judge_close(struct model *model, uint8_t code);
void judge_withdrawal(struct model *model);
bool judge_said(const struct model *model, uint8_t code);
void judge_forward(struct model *model);
void judge_to_client(struct model *model, struct mqtt_packet *packet);
void judge_event(struct model *model, unsigned which, unsigned count);
bool judge_same_properties(
    struct model *model, const struct mqtt_properties *a, const struct mqtt_properties *b, uint64_t without);

void judge_publish(struct model *model); /* judge_flow.c */
void judge_acknowledgement(struct model *model);
void judge_release(struct model *model);
/* An acknowledgement came out as it was expected, or was made up. */
void judge_answered(struct model *model, struct flow *flow, const struct mqtt_packet *packet, bool made_up);
/* No answer of the proxy is overdue. */
void judge_nothing_due(struct model *model);
/* The client has to wait when much is outstanding, and only then. */
void judge_held(struct model *model, bool ready);
/* Nobody owes anything: no packet id is in use. */
void judge_settled(struct model *model);

void judge_connect(struct model *model); /* judge_connect.c */
void judge_password(struct model *model, enum reason found);
struct view judge_identity(const struct model *model); /* the name */
/* The will that CONNECT left, by the policy in force. False: denied, with the code. */
bool judge_will(struct model *model, uint8_t *code);
void judge_connack(struct model *model);
void judge_authentication(struct model *model);
void judge_disconnect(struct model *model);

void judge_request(struct model *model); /* judge_request.c */
void judge_request_answer(struct model *model);
/* What the broker says of the filter from now on is about a subscription that was given back. */
void judge_make_past(struct reference *reference, struct view text);
void judge_await(struct model *model, const struct pending *pending);

void judge_rebind(struct model *model, const struct variant *before); /* judge_rebind.c */

#endif
