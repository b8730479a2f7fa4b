/* SPDX-License-Identifier: Apache-2.0 */
/* One session and everything around it that a test needs: a policy, a peer, hooks with scripted answers, the
 * framing that proxy/conn.c does, and a record of all that comes out, line by line in the order in which it
 * is to be carried out. */
#ifndef MQWARD_TESTS_UNIT_SESSION_WORLD_H
#define MQWARD_TESTS_UNIT_SESSION_WORLD_H

#include "proxy/session/session.h"

#define WORLD_LINES_MAX 16384
#define WORLD_ASKED_MAX 64

/* A policy from text; its messages are printed and NULL returned if it has errors. CA "fleet", password file
 * "users", key set "idp". */
struct policy *world_policy(const char *text);

struct world {
    struct session_settings settings;
    struct session_hooks hooks;
    struct session_peer peer;
    struct policy_certificate_value certificate_values[4];
    char certificate_texts[4][64];
    enum reason password_answer, claim_answer;
    bool password_later;     /* the answer is given by world_password(), not at once */
    bool password_awaited;   /* the session has asked */
    uint64_t password_tag;   /* 0: the name is not in the file */
    char *banned;            /* "id eva", "address 203.0.113.9"; NULL: nobody is; owned */
    bool ban_ordered;        /* by an operator */
    unsigned denials;        /* counted since the last that were too many */
    const char *policy_text; /* for the lines of rules */
    const char *keys;        /* of the issuer, in the key set; NULL: there is no set */

    struct session *session;
    struct session_settings *bound; /* to the session: a copy of settings, freed once others are in force */
    struct policy *shadow;          /* owned; NULL: none */
    struct policy *rebound;         /* by world_rebind(); owned */
    char previous_version[80];      /* of the policy before it */
    bool closed;                    /* output.close was seen */
    enum reason closing;            /* its reason */
    struct buffer to_client, to_broker;
    struct buffer held;           /* bytes of the client that wait until the session is ready */
    struct buffer held_broker;    /* and of the broker */
    char *lines[WORLD_LINES_MAX]; /* what came out and was not looked at yet; owned */
    size_t count;
    char claimed[256], password_asked[256]; /* the last call of these hooks */
    unsigned claims;
    /* rates: names of the checks that refuse, what was counted and held last */
    char limited[256], counted[256], held_rates[256];
    enum session_room room;        /* for what packets that waited have to tell */
    size_t room_asked, room_taken; /* bytes of a ring: for packets that waited; by events */
    const struct policy *held_policy;
    char denied[256]; /* the party of the last denial */

    /* Signatures: a store of its own, whose answers are given by world_replay_answer() if they are later. */
    struct replay_store *replays;
    bool replay_later, replay_down;
    bool split; /* the client's bytes come one by one */
    struct world_asked {
        char name[48];
        uint64_t ticket; /* 0: answered */
        enum replay_answer answer;
    } asked[WORLD_ASKED_MAX];
    size_t asked_count;

    /* Scans: a scanner of words (world_scan.c), whose answers are given by world_scanned() if they are later.
     */
    uint64_t scan_sets[POLICY_CHECKS_MAXIMUM];
    bool scan_later; /* nothing is scanned here */
    unsigned scans_here;
    char scan_request[4096]; /* the last */
    size_t scan_parts, scan_max;
    unsigned scan_views;
    struct world_scan {
        uint64_t ticket; /* 0: answered */
        uint64_t answered;
        struct session_scanned *results; /* owned */
        size_t count;
    } scans[2]; /* of the client, of the broker */

    /* Every event so far. */
    unsigned accepted, refused, errors, disconnects, events;
};

void world_init(struct world *world, const struct policy *policy, const char *policy_text);
/* Starts the session; settings and peer are set by now. */
void world_begin(struct world *world);
/* Bytes of a side, whole packets or not MQTT at all: framed as conn.c frames them. */
void world_feed(struct world *world, enum mqtt_direction from, struct view bytes);
/* Another policy, from text that outlives the world; settings may have changed, too. */
/* Of the session that begins, or from the next world_rebind() on. */
void world_shadow(struct world *world, const char *policy_text);
void world_carry_on(struct world *world); /* the audit has room again */
void world_rebind(struct world *world, const char *policy_text);
/* The answer to the password that was asked about. */
void world_password(struct world *world, enum reason found);
/* The answer to what the replay store was asked about the message of that name, the first that has none yet;
 * below 0: what it said when it was asked. False: it was not. */
bool world_replay_answer(struct world *world, const char *name, int answer);
/* The answer to what is scanned of the client's packets, or the broker's; again: to what was answered before.
 * False: there is none. */
bool world_scanned(struct world *world, bool outbound, bool again);
void world_abort(struct world *world, enum reason reason);
/* session_ended() */
void world_end(struct world *world, enum reason reason);
void world_forget_lines(struct world *world);
void world_free(struct world *world); /* the policy is the caller's */

/* ---- for the files of the world ---- */
void world_take_line(struct world *world, struct buffer *text); /* releases text */
/* The session's hook: what an event says, as a line (world_audit.c). */
void world_audit(void *context, const struct audit_event *event);
struct session_hooks world_hooks(struct world *world);    /* world_hooks.c */
const char *world_answer_word(enum replay_answer answer); /* scenario_signed.c */
/* world_scan.c */
void world_take_sets(struct world *world);
bool world_scan(void *context, const struct scan_request *request, struct scan_result *result);
void world_scan_later(void *context, const struct session_scan *scans, size_t count, uint64_t ticket);
void world_scan_free(struct world *world);
const struct jwks *world_find_jwks(void *context, const char *name);

#endif
