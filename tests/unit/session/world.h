/* SPDX-License-Identifier: Apache-2.0 */
/* One session and everything around it that a test needs: a policy, a peer, hooks with scripted answers, the
 * framing that proxy/conn.c does, and a record of all that comes out, line by line in the order in which it
 * is to be carried out. */
#ifndef MQWARD_TESTS_UNIT_SESSION_WORLD_H
#define MQWARD_TESTS_UNIT_SESSION_WORLD_H

#include "proxy/session/session.h"

#define WORLD_LINES_MAX 16384

/* A policy from text; its messages are printed and NULL returned if it has errors. CA "fleet", password file
 * "users". */
struct policy *world_policy(const char *text);

struct world {
    struct session_settings settings;
    struct session_peer peer;
    struct policy_certificate_value certificate_values[4];
    char certificate_texts[4][64];
    enum reason password_answer, claim_answer;
    const char *policy_text; /* for the lines of rules */

    struct session *session;
    bool closed;         /* output.close was seen */
    enum reason closing; /* its reason */
    struct buffer to_client, to_broker;
    struct buffer held;           /* bytes of the client that wait until the session is ready */
    char *lines[WORLD_LINES_MAX]; /* what came out and was not looked at yet; owned */
    size_t count;
    char claimed[256], password_asked[256]; /* the last call of these hooks */
    unsigned claims;

    /* Every event so far. */
    unsigned accepted, refused, errors, disconnects, events;
};

void world_init(struct world *world, const struct policy *policy, const char *policy_text);
/* Starts the session; settings and peer are set by now. */
void world_begin(struct world *world);
/* Bytes of a side, whole packets or not MQTT at all: framed as conn.c frames them. */
void world_feed(struct world *world, enum mqtt_direction from, struct view bytes);
void world_abort(struct world *world, enum reason reason);
/* session_ended() */
void world_end(struct world *world, enum reason reason);
void world_forget_lines(struct world *world);
void world_free(struct world *world); /* the policy is the caller's */

#endif
