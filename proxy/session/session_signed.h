/* SPDX-License-Identifier: Apache-2.0 */
/* Signed messages in a session: what is found of a signature, what the replay store is asked and told, which
 * packets wait for it. A part of session_internal.h, which includes it. */
#ifndef MQWARD_PROXY_SESSION_SESSION_SIGNED_H
#define MQWARD_PROXY_SESSION_SESSION_SIGNED_H

#include "proxy/session/session.h"

/* ---- signatures (session_signature.c) ---- */
/* What checks have found of a message's signature. Views into the message, or into found. */
struct session_signature {
    const struct policy_check_info *check;    /* whose signature stands, the first one; NULL: there is none */
    struct signature_found found;             /* of check; or what is wrong, of the one that refuses */
    const struct policy_check_info *refusing; /* NULL: none does */
    uint64_t now_ms;
    /* Checks in monitor mode that would refuse, as bits, and why. */
    uint64_t monitored;
    struct {
        enum reason reason;
        const char *detail;
    } would[POLICY_CHECKS_MAXIMUM];
    const struct policy_check_info *replay_check; /* that asks the replay store; NULL: none does */
    struct session_replay replay;
    enum replay_answer answer;
};

/* What checks are told of a message. */
struct signature_message session_signed_message(const struct session *session, struct view topic,
    struct view payload, const struct mqtt_properties *properties, bool retain);
/* Do the signatures that the checks (bits) ask for stand? REASON_none, or why signature->refusing refuses.
 * Changes nothing. */
enum reason session_signature_verify(const struct session *session, enum signature_place place,
    const struct signature_message *message, uint64_t checks, struct session_signature *signature);
/* A check that only reports would have refused it. */
void session_signature_note(const struct session *session, struct session_signature *signature,
    const struct policy_check_info *info, enum reason reason);
/* After REASON_none: asks the replay store, if it is to be asked. qos, dup, packet_id: of the packet. */
enum reason session_signature_seen(
    struct session *session, struct session_signature *signature, uint8_t qos, bool dup, uint16_t packet_id);
/* The message did not go on after all. */
void session_signature_undo(struct session *session, const struct session_signature *signature);
/* It did, and the broker owes no answer for it. */
void session_signature_done(struct session *session, const struct session_signature *signature);
/* The broker has answered a PUBLISH of the client: PUBACK, PUBREC, PUBCOMP. */
void session_signature_answered(struct session *session, enum mqtt_type type, const struct mqtt_ack *answer);
/* The key and the signer that the signature names, for the audit; empty if there is none, or it could not be
 * read. */
void session_signature_names(const struct session_signature *signature, struct view *kid, struct view *sub);
/* The same, and what is wrong. */
void session_event_signature(struct audit_event *event, const struct session_signature *signature);

/* What goes on of a message whose signature stands (forward: strip, pass, resign). */
struct session_carrier {
    bool changed;
    struct view payload;      /* as it came, unless changed */
    uint64_t without;         /* properties that go, as bits */
    bool without_property;    /* and the User Property of the signature */
    struct buffer space;      /* payload, where it was made */
    struct buffer properties; /* that come in addition */
};
void session_signature_forward(const struct session_signature *signature, struct view payload, bool retain,
    struct session_carrier *carrier);
void session_carrier_release(struct session_carrier *carrier);
/* Copies properties to out, but for those that the carrier leaves out and further ones. */
void session_carrier_properties(const struct session_carrier *carrier, struct buffer *out,
    const struct mqtt_properties *properties, uint64_t without);

/* ---- signed messages and the replay store (session_marks.c) ---- */
/* What the store is told of a message, kept. */
struct session_mark {
    bool sequence;
    bool again;
    bool is_new;   /* this copy is the one that the store had not seen */
    bool received; /* the broker's PUBREC said yes */
    uint8_t qos;   /* that the copy was sent with */
    uint8_t store_down, kid_length, sub_length;
    uint8_t nonce[MPS1_NONCE_SIZE], tag[REPLAY_TAG_SIZE];
    uint64_t t_ms, until_ms;
    uint8_t names[MPS1_KID_MAX + MPS1_SUB_MAX]; /* kid, sub */
};
void session_mark_take(struct session_mark *mark, const struct session_replay *replay);
struct session_replay session_mark_replay(const struct session_mark *mark); /* views of the mark */
bool session_mark_is(const struct session_mark *mark, const struct session_replay *replay);

/* Messages that the broker has not acknowledged, by packet id. */
struct session_marked;
struct session_marks {
    struct session_marked **buckets,
        **by_tag; /* capacity of each, a power of two; by_tag is behind buckets */
    uint32_t capacity, count;
};
/* is_new: the store had not seen it. */
void session_marks_put(struct session_marks *marks, uint16_t packet_id, uint8_t qos,
    const struct session_replay *replay, bool is_new);
/* NULL: no message with this id is awaited. Until the next put. */
struct session_mark *session_marks_find(const struct session_marks *marks, uint16_t packet_id);
/* Is the same message awaited under another id? */
bool session_marks_has_other(
    const struct session_marks *marks, uint16_t packet_id, const struct session_replay *replay);
void session_marks_remove(struct session_marks *marks, uint16_t packet_id); /* it was found */
void session_marks_free(struct session_marks *marks);

/* ---- packets of the client that wait for the replay store (session_waiting.c) ---- */
/* What the store has said of a packet before its turn came. */
struct session_foreseen {
    struct session_mark mark;
    uint64_t now_ms; /* by which the signature was judged */
    enum replay_answer answer;
    bool used; /* the packet's turn has asked for it */
};

/* A packet whose turn has begun and waits for a scan. */
struct session_hold {
    uint64_t ticket;                /* of the packet that is being handled; 0: it does not wait */
    uint64_t checks;                /* that asked for it */
    uint64_t of;                    /* those that the message is to pass */
    struct session_foreseen *known; /* what the replay store has answered about it; NULL: it was not asked */
};

struct session_waiting_packet;
struct session_waiting {
    struct session_waiting_packet *first, **last;
    size_t count, bytes;
};
/* Above either of them the client's packets wait where they are. */
#define SESSION_WAITING_MAX 64
#define SESSION_WAITING_BYTES (256 * 1024)

/* Asks the store under a new ticket. True: *answer says it. */
bool session_replay_ask(struct session *session, const struct session_replay *replay, uint64_t *ticket,
    enum replay_answer *answer);
/* A packet whose turn has begun waits for a scan: it was not taken out of what waits, or is the first of it
 * (session->hold). */
void session_waiting_hold(
    struct session *session, struct session_waiting *waiting, const struct mqtt_frame *frame);
/* The broker's packets wait behind one that is scanned. */
void session_waiting_deliver(struct session *session, const struct mqtt_frame *frame);
/* A scan is known: what waited for it has its turn, and those behind it. */
void session_waiting_scanned(struct session *session, uint64_t ticket, const struct session_scanned *results,
    struct session_output *output);
/* A packet of an open session's client. True: it was copied, and waits for its turn. */
bool session_waiting_take(struct session *session, const struct mqtt_frame *frame);
/* Handles what waits, up to the first packet that the store has not answered. */
void session_waiting_turns(struct session *session, struct session_output *output);
/* False: no packet waits under this ticket. */
bool session_waiting_answered(struct session *session, uint64_t ticket, enum replay_answer answer);
/* What waits will not have its turn any more. */
void session_waiting_drop(struct session *session);
void session_waiting_free(struct session_waiting *waiting);
/* After a packet's turn: what was foreseen and not used is taken back. */
void session_foreseen_end(struct session *session);
/* A packet of an open session's client, or broker, whose turn it is (session.c). */
enum session_verdict session_client_turn(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output);
enum session_verdict session_broker_turn(
    struct session *session, const struct mqtt_frame *frame, struct session_output *output);
/* What a PUBLISH whose turn it is (first), or is not yet, will ask the replay store; false: nothing that is
 * known now. Changes nothing (session_publish.c). */
bool session_publish_foresee(struct session *session, const struct mqtt_frame *frame, bool first,
    uint64_t now_ms, struct session_mark *mark);

#endif
