/* SPDX-License-Identifier: Apache-2.0 */
/* A model of both peers of a session: who has sent what and owes what, and what may get through. */
#ifndef MQWARD_TESTS_UNIT_SESSION_MODEL_H
#define MQWARD_TESTS_UNIT_SESSION_MODEL_H

#include "world.h"

#define MODEL_IDS 200
#define MODEL_ALIASES 4

extern const char model_policy[];

/* Packet ids in order. */
struct list {
    unsigned items[2 * MODEL_IDS];
    size_t count;
};

/* One sender's messages: towards the broker, or towards the client. */
struct flow {
    bool used[MODEL_IDS + 1];
    struct list unanswered[2]; /* QoS 1, QoS 2: sent, PUBACK or PUBREC not seen yet */
    struct list arrived[2];    /* at the receiver, which has not answered yet */
    struct list to_release;    /* the sender owes PUBREL */
    struct list released;      /* PUBREL sent, PUBCOMP not seen yet */
    struct list to_complete;   /* the receiver owes PUBCOMP */
};

struct model {
    uint64_t random;
    enum mqtt_version version;
    struct world *world;
    struct flow up, down;
    char aliases[MODEL_ALIASES + 1][16];
    char topic[16];                           /* of the client's PUBLISH in hand, in full */
    unsigned subscribe_counts[MODEL_IDS + 1]; /* filters asked, by packet id; 0: none is due */
    struct list subscribes;                   /* at the broker */
    unsigned forwarded_counts[MODEL_IDS + 1];
    bool wild; /* somebody broke the rules: only what must never happen is checked */
};

/* Pseudo-random, from model->random: 0 to limit - 1. */
unsigned model_below(struct model *model, unsigned limit);
void model_list_push(struct list *list, unsigned id);
unsigned model_list_take(struct list *list, size_t index);
/* Checks everything that came out of a packet, and moves the model. fed: its text, for when it goes on
 * unchanged. */
void model_look(struct model *model, enum mqtt_direction from, const char *fed);

#endif
