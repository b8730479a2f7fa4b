/* SPDX-License-Identifier: Apache-2.0 */
/* A link to the shared replay store under test: its loop, what it was told, and questions that wait for their
 * answers. */
#ifndef MQWARD_TESTS_UNIT_PROXY_REPLAY_LINK_H
#define MQWARD_TESTS_UNIT_PROXY_REPLAY_LINK_H

#include "../exporters/redis_server.h"
#include "proxy/replay_shared.h"

struct replay_link {
    struct event_base *base;
    struct exporter_redis redis;
    struct replay_shared *shared;
    unsigned ups, downs; /* changes */
    bool refused;        /* with the last one */
    char detail[256];
};

/* By TCP, time-out one second. */
void replay_link_open(struct replay_link *link, uint16_t port);
/* With what redis says beside the port. */
void replay_link_open_as(struct replay_link *link, const struct exporter_redis *redis);
void replay_link_close(struct replay_link *link);
/* One turn of the loop, five milliseconds at most. */
void replay_link_turn(struct replay_link *link);
#define LINK_WAIT(link, condition)                                                                           \
    do {                                                                                                     \
        uint64_t link_until = clock_monotonic_ms() + 60000;                                                  \
        while (!(condition)) {                                                                               \
            cr_assert_lt(clock_monotonic_ms(), link_until, "in vain: %s", #condition);                       \
            replay_link_turn(link);                                                                          \
        }                                                                                                    \
    } while (0)
#define LINK_UP(link) LINK_WAIT(link, replay_shared_is_up((link)->shared))

/* A question and what came of it. */
struct replay_question {
    struct replay_shared_ask *ask;
    unsigned answers;
    enum replay_answer answer;
};
/* Asks; an answer is to come. */
void replay_link_ask(struct replay_link *link, struct replay_question *question,
    const struct replay_mark *mark, bool sequence);
/* Asks, waits for the answer and returns it. */
enum replay_answer replay_link_found(struct replay_link *link, const struct replay_mark *mark, bool sequence);
/* Tells what is done, and waits until Redis has it. */
void replay_link_done(struct replay_link *link, const struct replay_mark *mark, bool sequence);

/* Of signer "m25a", "plc-7"; until in ten minutes. */
struct replay_mark replay_link_nonce(uint64_t nonce, uint8_t tag);
struct replay_mark replay_link_counter(uint64_t epoch, uint64_t counter, uint8_t tag);

#endif
