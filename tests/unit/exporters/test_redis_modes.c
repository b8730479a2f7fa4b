/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis sink's lists and channels against a real server, and the users of the manual. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "event.h"
#include "redis_server.h"
#include "secrets.h"

#define KEY "mqward:audit"

static uint32_t sinks_up(struct exporter *exporter)
{
    struct exporter_status status;

    exporter_status(exporter, &status);
    return status.sinks_up;
}

static uint64_t events(struct exporter *exporter)
{
    struct exporter_status status;

    exporter_status(exporter, &status);
    return status.events;
}

static long list_length(const struct redis_fixture *fixture)
{
    return strtol(redis_command(&fixture->server, "LLEN " KEY), NULL, 10);
}

/* Pops the head as Logstash does; the sequence of the event, 0 if there is none. The first one is a
 * checkpoint. */
static int64_t pop(const struct redis_fixture *fixture)
{
    const char *line = redis_command(&fixture->server, "--raw LPOP " KEY);
    json_t *document = json_loads(line, 0, NULL);
    int64_t sequence = document == NULL ? 0 : number_at(document, "event.sequence");

    json_decref(document);
    return sequence;
}

static bool is_down(struct exporter *exporter)
{
    struct exporter_status status;

    exporter_status(exporter, &status);
    return status.sinks_up == 0;
}

static void list_open(struct redis_fixture *fixture, uint64_t max_length)
{
    redis_fixture_open(fixture, "");
    fixture->redis.mode = REDIS_LIST;
    fixture->redis.max_length = max_length;
}

Test(redis_list, events_are_pushed_in_order)
{
    struct redis_fixture fixture;
    list_open(&fixture, 0);
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 3000);
    exporter_close(exporter, CLOSE_MS);
    cr_assert_eq(list_length(&fixture), 3000 + 2, "and two checkpoints");
    for (int64_t i = 1; i <= 50; i++)
        cr_assert_eq(pop(&fixture), i);
    redis_fixture_close(&fixture);
}

Test(redis_list, a_full_list_is_not_trimmed_and_goes_on_when_readers_have_popped)
{
    struct redis_fixture fixture;
    list_open(&fixture, 100);
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 250);
    WAIT_FOR(list_length(&fixture) == 100 && is_down(exporter));
    for (int64_t i = 1; i < 10; i++)
        cr_assert_eq(pop(&fixture), i);
    usleep(400000);
    cr_assert_eq(list_length(&fixture), 91, "a tenth must be free");
    for (int64_t i = 10; i <= 40; i++)
        cr_assert_eq(pop(&fixture), i);
    WAIT_FOR(list_length(&fixture) > 90);
    int64_t next = 41;
    uint64_t until = clock_monotonic_ms() + 60000;
    while (next <= 251 && clock_monotonic_ms() < until) {
        int64_t popped = pop(&fixture);
        if (popped == 0)
            continue;
        cr_assert_eq(popped, next, "nothing is missing, nothing comes twice");
        next++;
    }
    cr_assert_gt(next, 251);
    exporter_close(exporter, CLOSE_MS);
    cr_assert_geq(directory_actions(fixture.path, "sink-down"), 1);
    cr_assert_geq(directory_actions(fixture.path, "sink-up"), 1);
    redis_fixture_close(&fixture);
}

Test(redis_list, a_list_that_was_full_before_gets_nothing)
{
    struct redis_fixture fixture;
    list_open(&fixture, 5);
    redis_command(&fixture.server, "RPUSH " KEY " a b c d e f g");
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 20);
    WAIT_FOR(events(exporter) >= 22); /* a checkpoint and sink-down are two */
    cr_assert_eq(list_length(&fixture), 7);
    redis_command(&fixture.server, "DEL " KEY);
    WAIT_FOR(list_length(&fixture) == 5);
    exporter_close(exporter, 0);
    redis_fixture_close(&fixture);
}

Test(redis_list, a_blocked_reader_gets_each_event)
{
    struct redis_fixture fixture;
    char line[8] = "";
    list_open(&fixture, 10);
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    WAIT_FOR(list_length(&fixture) == 1);
    cr_assert_eq(pop(&fixture), 1);
    char command[256];
    snprintf(command, sizeof(command), "redis-cli -s %s --raw BLPOP " KEY " 20 | grep -c '\"event\"'",
        fixture.server.socket);
    FILE *reader = popen(command, "re");
    WAIT_FOR(strstr(redis_command(&fixture.server, "INFO clients"), "blocked_clients:1") != NULL);
    redis_push(exporter, 0, 1);
    cr_assert_not_null(fgets(line, sizeof(line), reader));
    cr_assert_eq(atoi(line), 1);
    pclose(reader);
    exporter_close(exporter, CLOSE_MS);
    redis_fixture_close(&fixture);
}

Test(redis_channel, events_are_published_and_nobody_has_to_listen)
{
    struct redis_fixture fixture;
    char line[8] = "", command[256];
    redis_fixture_open(&fixture, "");
    fixture.redis.mode = REDIS_CHANNEL;
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 100);
    WAIT_FOR(sinks_up(exporter) == 1);
    WAIT_FOR(
        strstr(redis_command(&fixture.server, "INFO commandstats"), "cmdstat_publish:calls=101,") != NULL);
    snprintf(command, sizeof(command),
        "redis-cli -s %s --raw SUBSCRIBE " KEY " | grep -m 50 '\"event\"' | wc -l", fixture.server.socket);
    FILE *reader = popen(command, "re");
    WAIT_FOR(strstr(redis_command(&fixture.server, "PUBSUB NUMSUB " KEY), "1") != NULL);
    redis_push(exporter, 100, 50);
    exporter_close(exporter, CLOSE_MS);
    redis_command(&fixture.server, "CLIENT KILL TYPE pubsub");
    cr_assert_not_null(fgets(line, sizeof(line), reader));
    cr_assert_eq(atoi(line), 50);
    pclose(reader);
    redis_fixture_close(&fixture);
}

/* ---- users ---- */

/* The lines of docs/audit.md; each command of them is needed. */
static void check_user(enum redis_mode mode, const char *keys, const char *const *rights)
{
    for (size_t without = 0;; without++) { /* the last round has all rights */
        struct redis_fixture fixture;
        char command[256];
        redis_fixture_open(&fixture, "");
        snprintf(command, sizeof(command),
            "ACL SETUSER mqward on '>secret' resetkeys resetchannels nocommands %s", keys);
        for (size_t i = 0; rights[i] != NULL; i++)
            if (i != without)
                snprintf(command + strlen(command), sizeof(command) - strlen(command), " %s", rights[i]);
        cr_assert_str_eq(redis_command(&fixture.server, "%s", command), "OK\n", "%s", command);
        fixture.redis.access = (struct redis_access){
            .username = "mqward", .credentials = secrets_password(fixture.server.directory, "secret")};
        fixture.redis.mode = mode;
        fixture.redis.max_length = mode == REDIS_LIST ? 1000 : 0;
        struct exporter *exporter = redis_exporter_open(&fixture.settings);
        redis_push(exporter, 0, 5);
        if (rights[without] == NULL)
            WAIT_FOR(sinks_up(exporter) == 1);
        else
            WAIT_FOR(events(exporter) >= 7); /* a checkpoint and sink-down are two */
        exporter_close(exporter, 0);
        cr_expect_eq(directory_actions(fixture.path, "sink-down"), rights[without] != NULL, "%s", command);
        credentials_free(fixture.redis.access.credentials);
        redis_fixture_close(&fixture);
        if (rights[without] == NULL)
            return;
    }
}

Test(redis_users, of_a_list_needs_the_rights_of_the_manual)
{
    check_user(REDIS_LIST, "'%W~mqward:*'", (const char *const[]){"+rpush", "+llen", "+ping", NULL});
}

Test(redis_users, of_a_channel_needs_the_rights_of_the_manual)
{
    check_user(REDIS_CHANNEL, "'&mqward:*'", (const char *const[]){"+publish", "+ping", NULL});
}
