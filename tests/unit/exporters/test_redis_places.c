/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis sink against scripted servers: slow ones, sentinels that are down or lie, a cluster that moves
 * the key, redirections without end, lists and replicas that answer nonsense. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "redis_fake.h"
#include "redis_server.h"

struct fixture {
    char path[DIRECTORY_MAX];
    struct redis_address nodes[4];
    struct exporter_redis redis;
    struct exporter_sink sink;
    struct exporter_settings settings;
    struct exporter *exporter;
};

static void fixture_open(struct fixture *fixture)
{
    directory_make(fixture->path);
    fixture->redis = (struct exporter_redis){.key = "{audit}:1", .field = "event", .timeout_ms = 30000};
    fixture->redis.nodes = fixture->nodes;
    fixture->sink = redis_sink("siem", &fixture->redis);
    fixture->settings = directory_settings(fixture->path);
    fixture->settings.sinks = &fixture->sink;
    fixture->settings.sink_count = 1;
}

static void name_nodes(struct fixture *fixture, enum redis_topology topology, size_t count,
    const struct redis_fake *const *fakes)
{
    fixture->redis.topology = topology;
    fixture->redis.master = topology == REDIS_SENTINEL ? "mymaster" : NULL;
    for (size_t i = 0; i < count; i++)
        fixture->nodes[i] = (struct redis_address){"127.0.0.1", fakes[i]->port};
    fixture->redis.node_count = count;
}

static void fixture_close(struct fixture *fixture)
{
    exporter_close(fixture->exporter, 2000); /* some servers take nothing to the end */
    directory_remove(fixture->path);
}

static size_t taken(struct redis_fake *fake)
{
    return atomic_load(&fake->event_count);
}

static uint32_t sinks_up(struct fixture *fixture)
{
    struct exporter_status status;

    exporter_status(fixture->exporter, &status);
    return status.sinks_up;
}

/* The events from first on, each once and in order. */
static void check_order(const struct redis_fake *fake, size_t from, size_t count, int64_t first)
{
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(fake->events[from + i], first + (int64_t)i, "%zu: %ld", i, (long)fake->events[from + i]);
}

/* ---- time ---- */

Test(redis_places, a_server_that_answers_one_command_at_a_time_is_not_too_slow)
{
    struct fixture fixture = {.exporter = NULL};
    struct redis_fake fake = {.each_ms = 250};
    redis_fake_start(&fake);
    fixture_open(&fixture);
    fixture.redis.address = (struct redis_address){"127.0.0.1", fake.port};
    fixture.redis.timeout_ms = 5000;
    fixture.exporter = redis_exporter_open(&fixture.settings);
    redis_push(fixture.exporter, 0, 40); /* twice the time-out for all of them */
    WAIT_FOR(taken(&fake) == 40);
    cr_assert_eq(atomic_load(&fake.connections), 1);
    check_order(&fake, 0, 40, 0);
    fixture_close(&fixture);
    redis_fake_stop(&fake);
}

/* It takes what has arrived, and then answers all of it: a window of a hundred takes ten times the time-out,
 * and would come again and again. */
Test(redis_places, a_server_that_is_slower_than_the_time_out_for_a_window_gets_smaller_ones)
{
    struct fixture fixture = {.exporter = NULL};
    struct redis_fake fake = {.each_ms = 20, .at_once = true};
    redis_fake_start(&fake);
    fixture_open(&fixture);
    fixture.redis.address = (struct redis_address){"127.0.0.1", fake.port};
    fixture.redis.timeout_ms = 200;
    fixture.exporter = redis_exporter_open(&fixture.settings);
    redis_push(fixture.exporter, 0, 100);
    WAIT_FOR(sinks_up(&fixture) == 1);
    WAIT_FOR(taken(&fake) > 0 && fake.events[taken(&fake) - 1] == 99);
    fixture_close(&fixture);
    redis_fake_stop(&fake);
}

/* On the exporter's thread: as a disk would that takes longer than the time-out. */
static void hold_up(void *argument)
{
    atomic_uint *left = argument;

    if (atomic_load(left) == 0)
        return;
    atomic_fetch_sub(left, 1);
    usleep(2000000);
}

Test(redis_places, answers_that_came_while_the_loop_was_held_up_are_in_time)
{
    struct fixture fixture = {.exporter = NULL};
    struct redis_fake fake = {.role = NULL};
    atomic_uint left = 2;
    char error[256];
    redis_fake_start(&fake);
    fixture_open(&fixture);
    fixture.redis.address = (struct redis_address){"127.0.0.1", fake.port};
    fixture.redis.timeout_ms = 1500;
    fixture.settings.ring_bytes = 64 * 1024; /* full often */
    fixture.exporter = exporter_open(&fixture.settings, error, sizeof(error));
    cr_assert_not_null(fixture.exporter, "%s", error);
    exporter_on_drained(fixture.exporter, hold_up, &left);
    cr_assert_eq(exporter_start(fixture.exporter), 0);
    WAIT_FOR(sinks_up(&fixture) == 1);
    redis_push(fixture.exporter, 0, 3000);
    WAIT_FOR(taken(&fake) >= 3000);
    cr_expect_eq(atomic_load(&left), 0);
    cr_expect_eq(atomic_load(&fake.connections), 1);
    fixture_close(&fixture);
    redis_fake_stop(&fake);
}

/* ---- sentinels ---- */

struct sentinel {
    _Atomic(const struct redis_fake *) master; /* may change while it runs */
    bool is_ignorant;
};

static void answer_as_sentinel(struct redis_fake *fake, const redisReply *command, struct buffer *out)
{
    const struct sentinel *sentinel = fake->argument;

    if (!redis_fake_is(command, "SENTINEL"))
        buffer_format(out, "-ERR unknown command\r\n");
    else if (sentinel->is_ignorant)
        buffer_format(out, "*-1\r\n");
    else {
        const struct redis_fake *master = sentinel->master;
        redis_fake_master(out, "127.0.0.1", master->port);
    }
}

Test(redis_places, sentinels_that_are_down_know_nothing_or_lie_are_passed_over)
{
    struct fixture fixture = {.exporter = NULL};
    struct redis_fake master = {.role = NULL}, replica = {.role = "slave"}, away = {.role = NULL};
    struct sentinel knows = {.master = &master}, lies = {.master = &replica},
                    ignorant = {.is_ignorant = true};
    struct redis_fake good = {.answer = answer_as_sentinel, .argument = &knows};
    struct redis_fake liar = {.answer = answer_as_sentinel, .argument = &lies};
    struct redis_fake fool = {.answer = answer_as_sentinel, .argument = &ignorant};
    struct redis_fake *const all[] = {&master, &replica, &away, &good, &liar, &fool};
    for (size_t i = 0; i < 6; i++)
        redis_fake_start(all[i]);
    redis_fake_stop(&away);
    fixture_open(&fixture);
    name_nodes(&fixture, REDIS_SENTINEL, 4, (const struct redis_fake *const[]){&away, &fool, &liar, &good});
    fixture.exporter = redis_exporter_open(&fixture.settings);
    redis_push(fixture.exporter, 0, 50);
    WAIT_FOR(taken(&master) >= 50);
    cr_expect_eq(taken(&replica), 0, "it says itself that it is no master");
    /* One that takes a second is passed over, and its turn comes again. */
    cr_expect_leq(
        atomic_load(&liar.connections), atomic_load(&good.connections), "it was not believed twice");
    fixture_close(&fixture);
    for (size_t i = 0; i < 6; i++)
        if (all[i] != &away)
            redis_fake_stop(all[i]);
}

/* A replica takes PUBLISH, so that no error tells that it is the master no more. */
Test(redis_places, a_master_that_becomes_a_replica_is_left)
{
    struct fixture fixture = {.exporter = NULL};
    struct redis_fake first = {.role = NULL}, second = {.role = NULL};
    struct sentinel knows = {.master = &first};
    struct redis_fake sentinel = {.answer = answer_as_sentinel, .argument = &knows};
    redis_fake_start(&first);
    redis_fake_start(&second);
    redis_fake_start(&sentinel);
    fixture_open(&fixture);
    name_nodes(&fixture, REDIS_SENTINEL, 1, (const struct redis_fake *const[]){&sentinel});
    fixture.redis.mode = REDIS_CHANNEL;
    fixture.exporter = redis_exporter_open(&fixture.settings);
    redis_push(fixture.exporter, 0, 10);
    WAIT_FOR(taken(&first) == 10);
    knows.master = &second;
    first.role = "slave";
    WAIT_FOR(atomic_load(&second.connections) == 1);
    redis_push(fixture.exporter, 10, 10);
    WAIT_FOR(taken(&second) == 10);
    cr_expect_eq(taken(&first), 10);
    fixture_close(&fixture);
    redis_fake_stop(&first);
    redis_fake_stop(&second);
    redis_fake_stop(&sentinel);
}

/* ---- a cluster ---- */

struct slot {
    atomic_size_t until;            /* so many events it takes; then the key is elsewhere */
    const struct redis_fake *owner; /* where it is then */
    const char *word;               /* MOVED or ASK */
    bool wants_asking;
};

static void answer_as_node(struct redis_fake *fake, const redisReply *command, struct buffer *out)
{
    const struct slot *slot = fake->argument;

    if (!redis_fake_is(command, "XADD"))
        redis_fake_answer(fake, command, out);
    else if (taken(fake) >= slot->until || (slot->wants_asking && !fake->is_asking))
        buffer_format(out, "-%s 5061 127.0.0.1:%u\r\n", slot->word, (unsigned)slot->owner->port);
    else
        redis_fake_answer(fake, command, out);
}

Test(redis_places, a_key_that_moves_is_followed_and_order_is_kept)
{
    struct fixture fixture = {.exporter = NULL};
    struct redis_fake second = {.role = NULL};
    struct slot slot = {.until = 700, .owner = &second, .word = "MOVED"};
    struct redis_fake first = {.answer = answer_as_node, .argument = &slot};
    redis_fake_start(&first);
    redis_fake_start(&second);
    fixture_open(&fixture);
    name_nodes(&fixture, REDIS_CLUSTER, 1, (const struct redis_fake *const[]){&first});
    fixture.exporter = redis_exporter_open(&fixture.settings);
    redis_push(fixture.exporter, 0, 2000);
    WAIT_FOR(taken(&second) == 1300);
    check_order(&first, 0, 700, 0);
    check_order(&second, 0, 1300, 700);
    cr_expect_eq(sinks_up(&fixture), 1, "a redirection is no failure");
    cr_expect_eq(atomic_load(&first.connections), 1);
    fixture_close(&fixture);
    redis_fake_stop(&first);
    redis_fake_stop(&second);
}

Test(redis_places, a_key_that_is_being_moved_is_asked_for)
{
    struct fixture fixture = {.exporter = NULL};
    struct redis_fake first = {.answer = answer_as_node}, second = {.answer = answer_as_node};
    struct slot leaves = {.until = 300, .owner = &second, .word = "ASK"};
    struct slot comes = {.until = SIZE_MAX, .owner = &first, .word = "MOVED", .wants_asking = true};
    first.argument = &leaves;
    second.argument = &comes;
    redis_fake_start(&first);
    redis_fake_start(&second);
    fixture_open(&fixture);
    name_nodes(&fixture, REDIS_CLUSTER, 2, (const struct redis_fake *const[]){&first, &second});
    fixture.exporter = redis_exporter_open(&fixture.settings);
    redis_push(fixture.exporter, 0, 1500);
    WAIT_FOR(taken(&second) == 1200);
    check_order(&first, 0, 300, 0);
    check_order(&second, 0, 1200, 300);
    fixture_close(&fixture);
    redis_fake_stop(&first);
    redis_fake_stop(&second);
}

Test(redis_places, redirections_without_end_are_a_failure_with_a_back_off)
{
    struct fixture fixture = {.exporter = NULL};
    struct redis_fake first = {.answer = answer_as_node}, second = {.answer = answer_as_node};
    struct slot there = {.owner = &second, .word = "MOVED"}, back = {.owner = &first, .word = "ASK"};
    first.argument = &there;
    second.argument = &back;
    redis_fake_start(&first);
    redis_fake_start(&second);
    fixture_open(&fixture);
    name_nodes(&fixture, REDIS_CLUSTER, 1, (const struct redis_fake *const[]){&first});
    fixture.exporter = redis_exporter_open(&fixture.settings);
    redis_push(fixture.exporter, 0, 10);
    WAIT_FOR(atomic_load(&first.connections) + atomic_load(&second.connections) >= 20);
    cr_expect_eq(sinks_up(&fixture), 0);
    uint64_t before = clock_monotonic_ms();
    unsigned count = atomic_load(&first.connections) + atomic_load(&second.connections);
    WAIT_FOR(clock_monotonic_ms() - before > 1000);
    count = atomic_load(&first.connections) + atomic_load(&second.connections) - count;
    uint64_t took = clock_monotonic_ms() - before;
    cr_expect_lt(count, 40 + 20 * took / 1000, "it waits between the attempts: %u in %lu ms", count,
        (unsigned long)took);
    back.until = SIZE_MAX; /* the cluster comes to its senses */
    WAIT_FOR(taken(&second) == 10);
    check_order(&second, 0, 10, 0);
    exporter_close(fixture.exporter, CLOSE_MS);
    cr_expect_eq(directory_actions(fixture.path, "sink-down"), 1);
    directory_remove(fixture.path);
    redis_fake_stop(&first);
    redis_fake_stop(&second);
}

Test(redis_places, a_cluster_is_found_through_any_of_its_nodes)
{
    struct fixture fixture = {.exporter = NULL};
    struct redis_fake owner = {.role = NULL}, away = {.role = NULL};
    struct slot slot = {.owner = &owner, .word = "MOVED"};
    struct redis_fake other = {.answer = answer_as_node, .argument = &slot};
    redis_fake_start(&owner);
    redis_fake_start(&away);
    redis_fake_start(&other);
    redis_fake_stop(&away);
    fixture_open(&fixture);
    name_nodes(&fixture, REDIS_CLUSTER, 2, (const struct redis_fake *const[]){&away, &other});
    fixture.exporter = redis_exporter_open(&fixture.settings);
    redis_push(fixture.exporter, 0, 10);
    WAIT_FOR(taken(&owner) >= 10);
    fixture_close(&fixture);
    redis_fake_stop(&owner);
    redis_fake_stop(&other);
}

Test(redis_places, without_a_cluster_no_redirection_is_followed)
{
    struct fixture fixture = {.exporter = NULL};
    struct redis_fake second = {.role = NULL};
    struct slot slot = {.owner = &second, .word = "MOVED"};
    struct redis_fake first = {.answer = answer_as_node, .argument = &slot};
    redis_fake_start(&first);
    redis_fake_start(&second);
    fixture_open(&fixture);
    fixture.redis.address = (struct redis_address){"127.0.0.1", first.port};
    fixture.exporter = redis_exporter_open(&fixture.settings);
    redis_push(fixture.exporter, 0, 10);
    WAIT_FOR(atomic_load(&first.connections) >= 3);
    cr_expect_eq(atomic_load(&second.connections), 0);
    fixture_close(&fixture);
    redis_fake_stop(&first);
    redis_fake_stop(&second);
}

/* ---- answers that can't be ---- */

struct answers {
    const char *name, *answer;
};

static void answer_from_table(struct redis_fake *fake, const redisReply *command, struct buffer *out)
{
    const struct answers *answers = fake->argument;

    if (redis_fake_is(command, answers->name))
        buffer_format(out, "%s", answers->answer);
    else
        redis_fake_answer(fake, command, out);
}

Test(redis_places, answers_that_can_not_be_confirm_nothing)
{
    static const struct {
        enum redis_mode mode;
        uint32_t replicas;
        struct answers answers;
    } cases[] = {
        {REDIS_STREAM, 0, {"XADD", ":1\r\n"}},
        {REDIS_STREAM, 0, {"XADD", "$-1\r\n"}},
        {REDIS_STREAM, 0, {"XADD", "*0\r\n"}},
        {REDIS_STREAM, 0, {"XADD", "+QUEUED\r\n"}},
        {REDIS_LIST, 0, {"LLEN", "$1\r\n1\r\n"}},
        {REDIS_LIST, 0, {"LLEN", ":-1\r\n"}},
        {REDIS_LIST, 0, {"RPUSH", "+OK\r\n"}},
        {REDIS_LIST, 0, {"RPUSH", "*-1\r\n"}},
        {REDIS_LIST, 0, {"RPUSH", ":-5\r\n"}},
        {REDIS_LIST, 0, {"RPUSH", "-OOM command not allowed\r\n"}},
        {REDIS_CHANNEL, 0, {"PUBLISH", "+OK\r\n"}},
        {REDIS_CHANNEL, 0, {"PUBLISH", ":-1\r\n"}},
        {REDIS_CHANNEL, 0, {"PUBLISH", "-NOPERM this user has no permissions\r\n"}},
        {REDIS_STREAM, 1, {"WAIT", "+OK\r\n"}},
        {REDIS_STREAM, 1, {"WAIT", ":-1\r\n"}},
        {REDIS_STREAM, 1, {"WAIT", "-ERR WAIT cannot be used with replica instances\r\n"}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture = {.exporter = NULL};
        struct answers answers = cases[i].answers;
        struct redis_fake fake = {.answer = answer_from_table, .argument = &answers};
        redis_fake_start(&fake);
        fixture_open(&fixture);
        fixture.redis.address = (struct redis_address){"127.0.0.1", fake.port};
        fixture.redis.mode = cases[i].mode;
        fixture.redis.replicas = cases[i].replicas;
        fixture.redis.max_length = 1000;
        fixture.exporter = redis_exporter_open(&fixture.settings);
        redis_push(fixture.exporter, 0, 5);
        WAIT_FOR(atomic_load(&fake.connections) >= 3);
        cr_expect_eq(sinks_up(&fixture), 0, "case %zu", i);
        exporter_close(fixture.exporter, 0);
        cr_expect_eq(directory_actions(fixture.path, "sink-down"), 1, "case %zu", i);
        directory_remove(fixture.path);
        redis_fake_stop(&fake);
    }
}

static void answer_without_memory(struct redis_fake *fake, const redisReply *command, struct buffer *out)
{
    unsigned *refused = fake->argument;

    if (redis_fake_is(command, "XADD") && *refused > 0) {
        *refused -= 1;
        buffer_format(out, "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    } else
        redis_fake_answer(fake, command, out);
}

Test(redis_places, what_is_refused_is_not_overtaken_by_what_is_behind_it)
{
    struct fixture fixture = {.exporter = NULL};
    unsigned refused = 4; /* then it has memory again */
    struct redis_fake fake = {.answer = answer_without_memory, .argument = &refused};
    redis_fake_start(&fake);
    fixture_open(&fixture);
    fixture.redis.address = (struct redis_address){"127.0.0.1", fake.port};
    fixture.exporter = redis_exporter_open(&fixture.settings);
    redis_push(fixture.exporter, 0, 100);
    WAIT_FOR(taken(&fake) >= 100);
    check_order(&fake, 0, 100, 0);
    cr_expect_eq(atomic_load(&fake.connections), 5);
    fixture_close(&fixture);
    redis_fake_stop(&fake);
}

/* ---- replicas ---- */

static void answer_with_replicas(struct redis_fake *fake, const redisReply *command, struct buffer *out)
{
    const atomic_uint *replicas = fake->argument;

    if (redis_fake_is(command, "WAIT"))
        buffer_format(out, ":%u\r\n", atomic_load(replicas));
    else
        redis_fake_answer(fake, command, out);
}

/* A stream that is ahead of the first 50 IDs that it is asked to take. */
static void answer_ahead(struct redis_fake *fake, const redisReply *command, struct buffer *out)
{
    atomic_uint *refused = fake->argument;
    bool own = command->elements > 2 && strcmp(command->element[2]->str, "*") != 0;

    if (redis_fake_is(command, "WAIT"))
        buffer_format(out, ":1\r\n");
    else if (redis_fake_is(command, "XADD") && own && atomic_fetch_add(refused, 1) < 50)
        buffer_format(
            out, "-ERR The ID specified in XADD is equal or smaller than the target stream top item\r\n");
    else
        redis_fake_answer(fake, command, out);
}

/* As after a failover: what is sent again has IDs that the stream has passed, and what is behind it has not.
 */
Test(redis_places, what_is_above_the_stream_does_not_overtake_what_it_is_ahead_of)
{
    struct fixture fixture = {.exporter = NULL};
    atomic_uint refused = 0;
    struct redis_fake fake = {.answer = answer_ahead, .argument = &refused};

    redis_fake_start(&fake);
    fixture_open(&fixture);
    fixture.redis.address = (struct redis_address){"127.0.0.1", fake.port};
    fixture.redis.replicas = 1;
    fixture.exporter = redis_exporter_open(&fixture.settings);
    redis_push(fixture.exporter, 0, 300);
    WAIT_FOR(taken(&fake) == 300);
    check_order(&fake, 0, 300, 0);
    exporter_close(fixture.exporter, CLOSE_MS);
    directory_remove(fixture.path);
    redis_fake_stop(&fake);
}

Test(redis_places, too_few_replicas_confirm_nothing_and_repeat_nothing)
{
    struct fixture fixture = {.exporter = NULL};
    atomic_uint replicas = 1;
    struct redis_fake fake = {.answer = answer_with_replicas, .argument = &replicas};
    redis_fake_start(&fake);
    fixture_open(&fixture);
    fixture.redis.address = (struct redis_address){"127.0.0.1", fake.port};
    fixture.redis.replicas = 2;
    fixture.exporter = redis_exporter_open(&fixture.settings);
    redis_push(fixture.exporter, 0, 300);
    WAIT_FOR(taken(&fake) == 300);
    cr_expect_eq(sinks_up(&fixture), 0);
    atomic_store(&replicas, 2);
    WAIT_FOR(sinks_up(&fixture) == 1);
    exporter_close(fixture.exporter, CLOSE_MS);
    cr_expect_eq(taken(&fake), 300);
    check_order(&fake, 0, 300, 0);
    cr_expect_eq(atomic_load(&fake.connections), 1);
    cr_expect_eq(directory_actions(fixture.path, "sink-down"), 1);
    cr_expect_eq(directory_actions(fixture.path, "sink-up"), 1);
    directory_remove(fixture.path);
    redis_fake_stop(&fake);
}
