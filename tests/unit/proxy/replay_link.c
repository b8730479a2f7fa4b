/* SPDX-License-Identifier: Apache-2.0 */
/* Links to the shared replay store for its tests. */
#include "replay_link.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <stdio.h>

#include "base/clock.h"

static void on_changed(void *argument, bool up, bool refused, const char *detail)
{
    struct replay_link *link = argument;

    link->ups += up;
    link->downs += !up;
    link->refused = refused;
    snprintf(link->detail, sizeof(link->detail), "%s", detail == NULL ? "" : detail);
}

void replay_link_open_as(struct replay_link *link, const struct exporter_redis *redis)
{
    const struct replay_shared_calls calls = {.changed = on_changed, .argument = link};
    char error[256] = "";

    *link = (struct replay_link){.base = event_base_new(), .redis = *redis};
    link->redis.address.host = "127.0.0.1";
    if (link->redis.timeout_ms == 0)
        link->redis.timeout_ms = 30000;
    link->shared = replay_shared_new(&link->redis, "mps1:", link->base, &calls, error, sizeof(error));
    cr_assert_not_null(link->shared, "%s", error);
}

void replay_link_open(struct replay_link *link, uint16_t port)
{
    replay_link_open_as(link, &(struct exporter_redis){.address.port = port});
}

void replay_link_close(struct replay_link *link)
{
    replay_shared_free(link->shared);
    event_base_free(link->base);
}

void replay_link_turn(struct replay_link *link)
{
    const struct timeval soon = {0, 5000};

    event_base_loopexit(link->base, &soon);
    event_base_loop(link->base, EVLOOP_ONCE);
}

static void on_answer(void *owner, enum replay_answer answer)
{
    struct replay_question *question = owner;

    question->ask = NULL;
    question->answers++;
    question->answer = answer;
}

void replay_link_ask(
    struct replay_link *link, struct replay_question *question, const struct replay_mark *mark, bool sequence)
{
    *question = (struct replay_question){.ask = NULL};
    question->ask =
        replay_shared_ask(link->shared, mark, sequence, clock_wall_us() / 1000, on_answer, question);
    cr_assert_not_null(question->ask);
}

enum replay_answer replay_link_found(struct replay_link *link, const struct replay_mark *mark, bool sequence)
{
    struct replay_question question;

    replay_link_ask(link, &question, mark, sequence);
    cr_assert_eq(question.answers, 0, "answered from within the call");
    LINK_WAIT(link, question.answers > 0);
    return question.answer;
}

void replay_link_done(struct replay_link *link, const struct replay_mark *mark, bool sequence)
{
    replay_shared_done(link->shared, mark, sequence);
    LINK_WAIT(link, replay_shared_owed(link->shared) == 0);
}

static void write_u64(uint8_t *out, uint64_t number)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(number >> (56 - 8 * i));
}

struct replay_mark replay_link_counter(uint64_t epoch, uint64_t counter, uint8_t tag)
{
    struct replay_mark mark = {.kid = VIEW("m25a"), .sub = VIEW("plc-7")};

    write_u64(mark.nonce, epoch);
    write_u64(mark.nonce + 8, counter);
    memset(mark.tag, tag, sizeof(mark.tag));
    return mark;
}

struct replay_mark replay_link_nonce(uint64_t nonce, uint8_t tag)
{
    struct replay_mark mark = replay_link_counter(UINT64_C(0xa0a1a2a3a4a5a6a7), nonce, tag);

    mark.t_ms = clock_wall_us() / 1000;
    mark.until_ms = mark.t_ms + 600000;
    return mark;
}
