/* SPDX-License-Identifier: Apache-2.0 */
/* The shared replay store when its Redis is away, refuses, hangs, forgets or talks nonsense: each question
 * has one answer, and what is done is told later. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "replay_link.h"

#define EPOCH UINT64_C(0x0102030405060708)

static bool can_ask(struct replay_link *link)
{
    struct replay_mark mark = replay_link_nonce(99999, 1);
    struct replay_shared_ask *ask =
        replay_shared_ask(link->shared, &mark, false, clock_wall_us() / 1000, NULL, NULL);

    return ask != NULL;
}

/* All that was asked is answered once, with DOWN. */
static void check_down(struct replay_link *link, const struct replay_question *asked, size_t count)
{
    LINK_WAIT(link, asked[count - 1].answers > 0);
    cr_expect_gt(link->downs, 0);
    for (size_t i = 0; i < count; i++)
        cr_assert(asked[i].answers == 1 && asked[i].answer == REPLAY_DOWN, "question %zu: %u answers, %d", i,
            asked[i].answers, (int)asked[i].answer);
    cr_expect_not(can_ask(link));
}

#define MANY 500
static struct replay_question asked[MANY];

static void ask_many(struct replay_link *link)
{
    for (size_t i = 0; i < MANY; i++) {
        struct replay_mark nonce = replay_link_nonce(1000 + i, 1),
                           counter = replay_link_counter(EPOCH, 1000 + i, 1);

        replay_link_ask(link, &asked[i], i % 2 == 0 ? &nonce : &counter, i % 2 != 0);
    }
}

Test(replay_faults, without_a_server_nothing_is_asked_until_it_is_there)
{
    struct redis_server server = {.process = 0};
    struct replay_link link;

    redis_server_start(&server, "");
    redis_server_kill(&server);
    replay_link_open(&link, server.port);
    cr_expect_not(can_ask(&link), "not even before the first try");
    LINK_WAIT(&link, link.downs == 1);
    cr_expect_not(link.refused);
    cr_expect_not(can_ask(&link));
    redis_server_restart(&server);
    LINK_UP(&link);
    cr_expect_eq(link.downs, 1, "told once, not with each try");
    cr_expect_eq(link.ups, 1);
    replay_link_close(&link);
    redis_server_end(&server);
}

Test(replay_faults, a_killed_server_answers_all_once_and_hears_of_what_is_done_when_it_is_back)
{
    struct redis_server server = {.process = 0};
    struct replay_link link, other;
    struct replay_mark nonce = replay_link_nonce(1, 1), counter = replay_link_counter(EPOCH, 1, 1),
                       unasked = replay_link_nonce(2, 1), unseen = replay_link_counter(EPOCH, 2, 1);

    redis_server_start(&server, "--appendonly yes --appendfsync always");
    replay_link_open(&link, server.port);
    LINK_UP(&link);
    cr_expect_eq(replay_link_found(&link, &nonce, false), REPLAY_NEW);
    cr_expect_eq(replay_link_found(&link, &counter, true), REPLAY_NEW);
    kill(server.process, SIGSTOP);
    ask_many(&link);
    replay_shared_done(link.shared, &nonce, false); /* under way when it dies */
    redis_server_kill(&server);
    check_down(&link, asked, MANY);
    replay_shared_done(link.shared, &counter, true);  /* while it is away */
    replay_shared_done(link.shared, &unasked, false); /* was let in meanwhile */
    replay_shared_done(link.shared, &unseen, true);
    cr_expect_eq(replay_shared_owed(link.shared), 4);
    redis_server_restart(&server);
    LINK_WAIT(&link, replay_shared_owed(link.shared) == 0);
    replay_link_open(&other, server.port);
    LINK_UP(&other);
    cr_expect_eq(replay_link_found(&other, &nonce, false), REPLAY_DONE);
    cr_expect_eq(replay_link_found(&other, &counter, true), REPLAY_DONE);
    cr_expect_eq(replay_link_found(&other, &unasked, false), REPLAY_DONE);
    cr_expect_eq(replay_link_found(&other, &unseen, true), REPLAY_DONE);
    cr_expect(link.ups == 2 && link.downs == 1);
    replay_link_close(&other);
    replay_link_close(&link);
    redis_server_end(&server);
}

Test(replay_faults, a_hung_server_costs_the_time_out_and_not_more)
{
    struct redis_server server = {.process = 0};
    struct replay_link link;

    redis_server_start(&server, "");
    replay_link_open_as(&link, &(struct exporter_redis){.address.port = server.port, .timeout_ms = 500});
    LINK_UP(&link);
    kill(server.process, SIGSTOP);
    ask_many(&link);
    check_down(&link, asked, MANY);
    kill(server.process, SIGCONT);
    LINK_UP(&link);
    replay_link_close(&link);
    redis_server_end(&server);
}

/* Only so much is under way; above it the store is as good as away. */
Test(replay_faults, questions_under_way_are_bounded)
{
    enum { ASKS = 32768 };
    struct redis_server server = {.process = 0};
    struct replay_link link;
    struct replay_question *many = memory_calloc(ASKS, sizeof(*many));

    redis_server_start(&server, "");
    replay_link_open_as(&link, &(struct exporter_redis){.address.port = server.port, .timeout_ms = 60000});
    LINK_UP(&link);
    kill(server.process, SIGSTOP);
    for (size_t i = 0; i < ASKS; i++) {
        struct replay_mark mark = replay_link_nonce(i / 2, 1);
        replay_link_ask(&link, &many[i], &mark, false);
    }
    cr_expect_not(can_ask(&link));
    kill(server.process, SIGCONT);
    for (size_t i = 0; i < ASKS; i++) {
        LINK_WAIT(&link, many[i].answers == 1);
        cr_assert_eq(many[i].answer, i % 2 == 0 ? REPLAY_NEW : REPLAY_PENDING);
    }
    cr_expect(can_ask(&link));
    replay_link_close(&link);
    redis_server_end(&server);
    free(many);
}

Test(replay_faults, what_is_done_is_kept_within_bounds)
{
    enum { KEPT = 16384, MORE = 100 };
    struct redis_server server = {.process = 0};
    struct replay_link link;
    struct replay_mark mark;

    redis_server_start(&server, "");
    redis_server_kill(&server);
    replay_link_open(&link, server.port);
    LINK_WAIT(&link, link.downs == 1);
    for (uint64_t i = 0; i < KEPT + MORE; i++) {
        mark = replay_link_nonce(i, 1);
        replay_shared_done(link.shared, &mark, false);
    }
    cr_expect_eq(replay_shared_owed(link.shared), KEPT);
    redis_server_restart(&server);
    LINK_WAIT(&link, replay_shared_owed(link.shared) == 0);
    mark = replay_link_nonce(MORE - 1, 1);
    cr_expect_eq(replay_link_found(&link, &mark, false), REPLAY_NEW, "the oldest had to go");
    mark = replay_link_nonce(MORE, 1);
    cr_expect_eq(replay_link_found(&link, &mark, false), REPLAY_DONE);
    mark = replay_link_nonce(KEPT + MORE - 1, 1);
    cr_expect_eq(replay_link_found(&link, &mark, false), REPLAY_DONE);
    replay_link_close(&link);
    redis_server_end(&server);
}

/* The trial of a new connection finds it out: the store does not come and go. */
static void check_refusing(const char *wrong, const char *right)
{
    struct redis_server server = {.process = 0};
    struct replay_link link;
    struct replay_question question;
    struct replay_mark mark = replay_link_nonce(1, 1);

    redis_server_start(&server, "--maxmemory-policy noeviction");
    replay_link_open(&link, server.port);
    LINK_UP(&link);
    redis_command(&server, "%s", wrong);
    replay_link_ask(&link, &question, &mark, false);
    check_down(&link, &question, 1);
    cr_expect(link.refused, "%s", link.detail);
    for (uint64_t until = clock_monotonic_ms() + 700; clock_monotonic_ms() < until;)
        replay_link_turn(&link);
    cr_expect_eq(link.ups, 1, "%s: it is not up while it refuses", wrong);
    redis_command(&server, "%s", right);
    LINK_UP(&link);
    cr_expect_eq(replay_link_found(&link, &mark, false), REPLAY_NEW);
    cr_expect(link.ups == 2 && link.downs == 1);
    replay_link_close(&link);
    redis_server_end(&server);
}

Test(replay_faults, a_server_out_of_memory_is_away_until_it_has_memory)
{
    check_refusing("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0");
}

Test(replay_faults, a_server_that_has_become_a_replica_is_away_until_it_is_the_master)
{
    check_refusing("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE");
}

Test(replay_faults, rights_that_were_taken_are_missed_until_they_are_back)
{
    check_refusing("ACL SETUSER default -set", "ACL SETUSER default +set");
}

Test(replay_faults, scripts_that_redis_has_forgotten_are_loaded_again)
{
    struct redis_server server = {.process = 0};
    struct replay_link link;
    struct replay_mark mark = replay_link_counter(EPOCH, 1, 1);

    redis_server_start(&server, "");
    replay_link_open(&link, server.port);
    LINK_UP(&link);
    redis_command(&server, "SCRIPT FLUSH");
    cr_expect_eq(replay_link_found(&link, &mark, true), REPLAY_DOWN);
    LINK_UP(&link);
    cr_expect_eq(replay_link_found(&link, &mark, true), REPLAY_NEW);
    replay_link_close(&link);
    redis_server_end(&server);
}

/* Whoever can write to Redis spoils the message whose key it is, not all the others. */
Test(replay_faults, a_key_of_another_type_concerns_its_message_alone)
{
    struct redis_server server = {.process = 0};
    struct replay_link link;
    struct replay_mark nonce = replay_link_nonce(UINT64_C(0xa8a9aaabacadaeaf), 1),
                       counter = replay_link_counter(EPOCH, 1, 1), other = replay_link_nonce(2, 1);

    redis_server_start(&server, "");
    replay_link_open(&link, server.port);
    LINK_UP(&link);
    redis_command(&server, "RPUSH mps1:r:672baa75ffe70666a950c1e148e11cdc x");
    redis_command(&server, "SET mps1:s:698166de521909dee61f41fc5c444c83 x");
    cr_expect_eq(replay_link_found(&link, &nonce, false), REPLAY_DOWN);
    cr_expect_eq(replay_link_found(&link, &counter, true), REPLAY_DOWN);
    replay_shared_undo(link.shared, &nonce, false);
    replay_shared_undo(link.shared, &counter, true);
    replay_link_done(&link, &counter, true);
    cr_expect_eq(replay_link_found(&link, &other, false), REPLAY_NEW);
    redis_command(&server, "DEL mps1:r:672baa75ffe70666a950c1e148e11cdc");
    redis_command(&server, "SET mps1:r:672baa75ffe70666a950c1e148e11cdc nonsense");
    cr_expect_eq(replay_link_found(&link, &nonce, false), REPLAY_DOWN);
    cr_expect_eq(link.downs, 0);
    replay_link_close(&link);
    redis_server_end(&server);
}

Test(replay_faults, a_redis_that_lost_its_data_learns_what_is_done_from_then_on)
{
    struct redis_server server = {.process = 0};
    struct replay_link link;
    struct replay_mark nonce = replay_link_nonce(1, 1), counter = replay_link_counter(EPOCH, 1, 1);

    redis_server_start(&server, "");
    replay_link_open(&link, server.port);
    LINK_UP(&link);
    replay_link_found(&link, &nonce, false);
    replay_link_found(&link, &counter, true);
    redis_command(&server, "FLUSHALL");
    replay_link_done(&link, &nonce, false);
    replay_link_done(&link, &counter, true);
    cr_expect_eq(replay_link_found(&link, &nonce, false), REPLAY_DONE);
    cr_expect_eq(replay_link_found(&link, &counter, true), REPLAY_DONE);
    replay_link_close(&link);
    redis_server_end(&server);
}

/* ---- a server that is none ---- */

/* Answers to PING, SCRIPT LOAD twice, SET, GET, EVALSHA three times. */
static const char *const greeting[] = {"+PONG\r\n", "$40\r\n0123456789012345678901234567890123456789\r\n",
    "$40\r\n0123456789012345678901234567890123456789\r\n", "+OK\r\n", "$-1\r\n", ":0\r\n", ":0\r\n",
    ":0\r\n"};
#define GREETING (sizeof(greeting) / sizeof(greeting[0]))

struct fake {
    int listener;
    uint16_t port;
    const char *const *answers; /* to the commands, one after the other; the last one to all others */
    size_t count;
    unsigned pause_ms;  /* before each answer behind the greeting */
    bool close_instead; /* of the last answer */
    atomic_uint connections;
};

/* Commands in what was read: each begins with '*', and none of ours holds one elsewhere but in its scripts,
 * behind the first line. */
static size_t count_commands(const char *bytes, size_t length, bool *line_start)
{
    size_t count = 0;

    for (size_t i = 0; i < length; i++) {
        count += *line_start && bytes[i] == '*';
        *line_start = bytes[i] == '\n';
    }
    return count;
}

static bool answer_one(const struct fake *fake, int descriptor, size_t number)
{
    const char *text = fake->answers[number < fake->count ? number : fake->count - 1];

    if (number >= GREETING)
        usleep(fake->pause_ms * 1000);
    if (fake->close_instead && number + 1 >= fake->count)
        return false;
    return send(descriptor, text, strlen(text), MSG_NOSIGNAL) >= 0;
}

static void *run_fake(void *argument)
{
    struct fake *fake = argument;
    char bytes[16384];

    for (;;) {
        int descriptor = accept(fake->listener, NULL, NULL);
        size_t answered = 0;
        ssize_t got;
        bool open = true, line_start = true;

        if (descriptor == -1)
            return NULL;
        atomic_fetch_add(&fake->connections, 1);
        while (open && (got = read(descriptor, bytes, sizeof(bytes))) > 0)
            for (size_t due = count_commands(bytes, (size_t)got, &line_start); open && due > 0; due--)
                open = answer_one(fake, descriptor, answered++);
        close(descriptor);
    }
}

static pthread_t fake_start(struct fake *fake)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    pthread_t thread;

    fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(
        bind(fake->listener, (struct sockaddr *)&address, length) == 0 && listen(fake->listener, 8) == 0);
    getsockname(fake->listener, (struct sockaddr *)&address, &length);
    fake->port = ntohs(address.sin_port);
    pthread_create(&thread, NULL, run_fake, fake);
    return thread;
}

static void fake_end(struct fake *fake, pthread_t thread)
{
    shutdown(fake->listener, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(fake->listener);
}

/* Not the words of Redis at any point of the greeting: the store is never up, and the link comes back. */
Test(replay_faults, nonsense_in_the_greeting_never_gets_as_far_as_up)
{
    static const char *const nonsense[] = {"HTTP/1.1 400 Bad Request\r\n\r\n", "*2147483647\r\n$1\r\n",
        "$536870912\r\n", "$3\r\nabc\r\n", "-ERR no\r\n", "*1\r\n:1\r\n", "+PONG\r\n+PONG\r\n"};

    for (size_t at = 0; at < GREETING; at++)
        for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
            const char *answers[GREETING];
            struct fake fake = {.answers = answers, .count = GREETING};
            struct replay_link link;

            /* a string is what GET may answer, and an array's first line makes the reader wait */
            if (at == 4 && i == 3)
                continue;
            memcpy(answers, greeting, sizeof(answers));
            answers[at] = nonsense[i];
            pthread_t thread = fake_start(&fake);
            replay_link_open_as(
                &link, &(struct exporter_redis){.address.port = fake.port, .timeout_ms = 100});
            LINK_WAIT(&link, atomic_load(&fake.connections) >= 2);
            cr_expect(link.ups == 0 && link.downs == 1, "answer %zu at %zu: %s", i, at, link.detail);
            replay_link_close(&link);
            fake_end(&fake, thread);
        }
}

#define FAKE_QUESTIONS 100

static void check_fake(struct fake *fake, bool sequence, unsigned most_ms)
{
    struct replay_link link;
    struct replay_question questions[FAKE_QUESTIONS];
    pthread_t thread = fake_start(fake);

    replay_link_open_as(&link, &(struct exporter_redis){.address.port = fake->port, .timeout_ms = 400});
    LINK_UP(&link);
    uint64_t begun = clock_monotonic_ms();
    for (size_t i = 0; i < FAKE_QUESTIONS; i++) {
        struct replay_mark mark = sequence ? replay_link_counter(EPOCH, i, 1) : replay_link_nonce(i, 1);
        replay_link_ask(&link, &questions[i], &mark, sequence);
    }
    for (size_t i = 0; i < FAKE_QUESTIONS; i++)
        LINK_WAIT(&link, questions[i].answers > 0);
    cr_expect_lt(clock_monotonic_ms() - begun, most_ms);
    cr_expect_eq(questions[FAKE_QUESTIONS - 1].answers, 1);
    cr_expect_eq(questions[FAKE_QUESTIONS - 1].answer, REPLAY_DOWN);
    cr_expect_geq(link.downs, 1);
    replay_link_close(&link);
    fake_end(fake, thread);
}

Test(replay_faults, nonsense_instead_of_an_answer_is_the_end_of_the_connection)
{
    static const char *const nonsense[] = {"+QUEUED\r\n", ":5\r\n", ":-1\r\n", "*2\r\n:0\r\n:0\r\n",
        "-MOVED 1 127.0.0.1:1\r\n", "nonsense\r\n", "$536870912\r\n"};

    for (size_t i = 0; i < 2 * sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        const char *answers[GREETING + 1];
        struct fake fake = {.answers = answers, .count = GREETING + 1};

        memcpy(answers, greeting, sizeof(greeting));
        answers[GREETING] = nonsense[i / 2];
        check_fake(&fake, i % 2 != 0, 15000);
    }
}

Test(replay_faults, a_server_that_always_says_nil_is_asked_twice)
{
    const char *answers[GREETING + 1];
    struct fake fake = {.answers = answers, .count = GREETING + 1};
    struct replay_link link;
    struct replay_mark mark = replay_link_nonce(1, 1);

    memcpy(answers, greeting, sizeof(greeting));
    answers[GREETING] = "$-1\r\n";
    pthread_t thread = fake_start(&fake);
    replay_link_open(&link, fake.port);
    LINK_UP(&link);
    cr_expect_eq(replay_link_found(&link, &mark, false), REPLAY_DOWN);
    cr_expect_eq(link.downs, 0);
    replay_link_close(&link);
    fake_end(&fake, thread);
}

Test(replay_faults, a_server_that_closes_has_answered_nothing)
{
    const char *answers[GREETING + 1];
    struct fake fake = {.answers = answers, .count = GREETING + 1, .close_instead = true};

    memcpy(answers, greeting, sizeof(greeting));
    answers[GREETING] = "";
    check_fake(&fake, false, 15000);
}

/* Each answer comes within the time-out, the last one would come after 25 s. */
Test(replay_faults, a_server_that_drips_is_given_up_after_two_time_outs)
{
    const char *answers[GREETING + 1];
    struct fake fake = {.answers = answers, .count = GREETING + 1, .pause_ms = 250};

    memcpy(answers, greeting, sizeof(greeting));
    answers[GREETING] = "+OK\r\n";
    check_fake(&fake, false, 15000);
}
