/* SPDX-License-Identifier: Apache-2.0 */
/* What a session remembers of what it refuses, so that the next refusal of the same is a look and a count. A
 * part of session_internal.h, which includes it. */
#ifndef MQWARD_PROXY_SESSION_SESSION_REPEATS_H
#define MQWARD_PROXY_SESSION_SESSION_REPEATS_H

#include "proxy/session/session.h"

struct session_publish;

/* ---- denials of the policy (session_denials.c) ---- */
#define SESSION_DENIALS 8
struct session_denial {
    uint8_t *topic; /* owned copy; NULL: free */
    uint32_t length;
    uint8_t qos; /* of the message; with retain and size all that the verdict holds for, if its envelope is
                    not valid */
    bool retain;
    uint64_t size;
    struct policy_verdict verdict;
};
struct session_denials {
    struct session_denial items[SESSION_DENIALS];
    uint8_t last, next;
};
/* What denied the same before; NULL: ask the policy. */
const struct policy_verdict *session_denials_find(
    struct session_denials *denials, const struct policy_request *request);
/* A denial that nothing but the topic, QoS, retain and size of the request have led to. It is not remembered
 * if the next one is to be looked at again. */
void session_denials_add(const struct session *session, struct session_denials **denials,
    const struct policy_request *request, const struct policy_verdict *verdict);
void session_denials_free(struct session_denials *denials);

/* ---- events that are repeated (session_repeats.c) ---- */
/* What of a message's event may be another one's from message to message, and is compared. Texts are views;
 * rules are the policy's own. */
struct session_act {
    enum audit_action action;
    enum reason reason;
    enum audit_disposition disposition;
    int reason_code; /* on the wire; below 0: none */
    bool outbound, retained;
    uint8_t qos;
    const struct policy_rule_info *rule, *nearest;
    const char *nearest_condition;
    struct view topic, response_topic, kid, sub;
};

#define SESSION_REPEATS 8
struct session_repeat {
    struct session_act act; /* its texts are in texts */
    struct repeats_ticket ticket;
    uint8_t *texts; /* owned */
    size_t capacity;
};
struct session_repeats {
    struct session_repeat items[SESSION_REPEATS];
    uint8_t last, next;
};

/* Without what the message itself has. */
struct session_act session_act_of_verdict(
    const struct policy_verdict *verdict, enum audit_action action, enum audit_disposition disposition);
/* Of a message that is not scanned. Its texts are those of the context. */
struct session_act session_act_of(const struct session_publish *context, enum audit_action action,
    enum audit_disposition disposition, int reason_code);
/* Counts so many (REPEATS_STEP at most) that are the same. False: nothing is known of such, and an event is
 * to be made. */
bool session_repeats_count(const struct session *session, const struct session_act *act, uint64_t count);
/* True: such an event was told a moment ago, and this one is counted. act: to be known from now on; NULL: it
 * says not all that is compared. The event need not have its payload, where that is not compared. */
bool session_repeats_ask(
    struct session *session, const struct session_act *act, const struct audit_event *event);
/* The client, the broker or the policy is another one. */
void session_repeats_forget(struct session *session);

#endif
