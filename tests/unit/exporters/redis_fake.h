/* SPDX-License-Identifier: Apache-2.0 */
/* A server that answers as a test wants it to, on a thread of its own: a Redis, a sentinel, a node of a
 * cluster, or something worse. One connection at a time. */
#ifndef MQWARD_TESTS_EXPORTERS_REDIS_FAKE_H
#define MQWARD_TESTS_EXPORTERS_REDIS_FAKE_H

#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

#define REDIS_FAKE_EVENTS 4096

struct redis_fake {
    /* Appends the answer to a command (an array of strings). NULL: redis_fake_answer(). */
    void (*answer)(struct redis_fake *fake, const redisReply *command, struct buffer *out);
    void *argument;
    unsigned each_ms;           /* so long a command takes */
    bool at_once;               /* all that has arrived is answered at once, when all of it is done */
    _Atomic(const char *) role; /* to ROLE; NULL: "master"; may change while it runs */

    int listener;
    uint16_t port;
    pthread_t thread;
    atomic_uint connections, commands;
    bool is_asking; /* the last command of the connection was ASKING */
    /* The numbers of the events (event_numbered()) that were taken, in this order. */
    int64_t events[REDIS_FAKE_EVENTS];
    atomic_size_t event_count;
};

/* The rest is set before. */
void redis_fake_start(struct redis_fake *fake);
void redis_fake_stop(struct redis_fake *fake);
/* As a Redis does: the greeting, ASKING, ROLE, and whatever adds an event. */
void redis_fake_answer(struct redis_fake *fake, const redisReply *command, struct buffer *out);

bool redis_fake_is(const redisReply *command, const char *name);
/* Appends what a sentinel answers. */
void redis_fake_master(struct buffer *out, const char *host, uint16_t port);

#endif
