/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis sink when its server is away, refuses, hangs or talks nonsense: nothing is lost, nothing else
 * stalls. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "event.h"
#include "redis_server.h"
#include "secrets.h"

#define KEY "mqward:audit"

static uint64_t events(struct exporter *exporter)
{
    struct exporter_status status;

    exporter_status(exporter, &status);
    return status.events;
}

static uint32_t sinks_up(struct exporter *exporter)
{
    struct exporter_status status;

    exporter_status(exporter, &status);
    return status.sinks_up;
}

/* All of count users are there, none twice, and the stream says once that the sink was down and up. */
static void check_outage(struct redis_fixture *fixture, size_t count)
{
    size_t duplicates;

    cr_assert_eq(redis_users(&fixture->server, KEY, &duplicates), count);
    cr_assert_eq(duplicates, 0);
    cr_assert_eq(redis_actions(&fixture->server, KEY, "sink-down"), 1);
    cr_assert_eq(redis_actions(&fixture->server, KEY, "sink-up"), 1);
}

Test(redis_faults, a_killed_server_with_aof_gets_all_when_it_is_back)
{
    struct redis_fixture fixture;
    redis_fixture_open(&fixture, "--appendonly yes --appendfsync always");
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 100);
    WAIT_FOR(redis_length(&fixture.server, KEY) >= 100);
    WAIT_FOR(sinks_up(exporter) == 1);
    redis_push(exporter, 100, 900); /* some are under way when it dies */
    redis_server_kill(&fixture.server);
    redis_push(exporter, 1000, 1000);
    WAIT_FOR(sinks_up(exporter) == 0);
    redis_server_restart(&fixture.server);
    WAIT_FOR(sinks_up(exporter) == 1);
    exporter_close(exporter, CLOSE_MS);
    check_outage(&fixture, 2000);
    redis_fixture_close(&fixture);
}

Test(redis_faults, a_server_that_is_not_there_yet_gets_all_later)
{
    struct redis_fixture fixture;
    redis_fixture_open(&fixture, "");
    redis_server_kill(&fixture.server);
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 200);
    WAIT_FOR(events(exporter) >= 202); /* with a checkpoint and sink-down */
    redis_server_restart(&fixture.server);
    WAIT_FOR(sinks_up(exporter) == 1);
    exporter_close(exporter, CLOSE_MS);
    check_outage(&fixture, 200);
    redis_fixture_close(&fixture);
}

Test(redis_faults, a_wrong_password_keeps_all_until_it_is_corrected)
{
    struct redis_fixture fixture;
    setenv("REDISCLI_AUTH", "secret", 1);
    redis_fixture_open(&fixture, "--requirepass secret");
    fixture.redis.access.credentials = secrets_password(fixture.server.directory, "other");
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 200);
    WAIT_FOR(events(exporter) >= 202); /* with a checkpoint and sink-down */
    usleep(300000);
    cr_assert_eq(redis_length(&fixture.server, KEY), 0);
    redis_command(&fixture.server, "ACL SETUSER default '>other'");
    WAIT_FOR(sinks_up(exporter) == 1);
    exporter_close(exporter, CLOSE_MS);
    check_outage(&fixture, 200);
    credentials_free(fixture.redis.access.credentials);
    redis_fixture_close(&fixture);
}

static void check_no_secret(void *argument, struct view line, const struct record_head *head)
{
    bool *down = argument;

    (void)head;
    cr_assert_null(memmem(line.data, line.length, "s3cret-of-redis", 15));
    *down = *down || memmem(line.data, line.length, "sink_refused", 12) != NULL;
}

Test(redis_faults, a_server_that_repeats_the_password_does_not_get_it_into_the_trail)
{
    struct redis_fixture fixture;
    bool down = false;
    redis_fixture_open(
        &fixture, "--rename-command AUTH NO-SUCH-NAME"); /* it says: unknown command, with args ... */
    fixture.redis.access.username = "mqward";
    fixture.redis.access.credentials = secrets_password(fixture.server.directory, "s3cret-of-redis");
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 10);
    WAIT_FOR(events(exporter) >= 12); /* a checkpoint and sink-down are two */
    exporter_close(exporter, 0);
    directory_lines(fixture.path, check_no_secret, &down);
    cr_assert(down);
    credentials_free(fixture.redis.access.credentials);
    redis_fixture_close(&fixture);
}

Test(redis_faults, a_server_out_of_memory_gets_all_when_it_has_memory)
{
    struct redis_fixture fixture;
    redis_fixture_open(&fixture, "--maxmemory-policy noeviction");
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 100);
    WAIT_FOR(redis_length(&fixture.server, KEY) == 100);
    WAIT_FOR(sinks_up(exporter) == 1);
    redis_command(&fixture.server, "CONFIG SET maxmemory 1");
    redis_push(exporter, 100, 500);
    WAIT_FOR(sinks_up(exporter) == 0);
    cr_assert_eq(redis_length(&fixture.server, KEY), 100);
    redis_command(&fixture.server, "CONFIG SET maxmemory 0");
    WAIT_FOR(sinks_up(exporter) == 1);
    exporter_close(exporter, CLOSE_MS);
    check_outage(&fixture, 600);
    redis_fixture_close(&fixture);
}

Test(redis_faults, a_read_only_replica_gets_nothing_and_all_once_it_is_the_master)
{
    struct redis_fixture fixture;
    struct redis_server master = {.process = 0};
    redis_fixture_open(&fixture, "");
    redis_server_start(&master, "");
    redis_command(&fixture.server, "REPLICAOF 127.0.0.1 %u", master.port);
    WAIT_FOR(strstr(redis_command(&fixture.server, "INFO replication"), "master_link_status:up") != NULL);
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 300);
    WAIT_FOR(events(exporter) >= 302);
    redis_command(&fixture.server, "REPLICAOF NO ONE");
    WAIT_FOR(sinks_up(exporter) == 1);
    exporter_close(exporter, CLOSE_MS);
    check_outage(&fixture, 300);
    redis_server_end(&master);
    redis_fixture_close(&fixture);
}

Test(redis_faults, a_key_of_another_type_keeps_all_until_it_is_gone)
{
    struct redis_fixture fixture;
    redis_fixture_open(&fixture, "");
    redis_command(&fixture.server, "SET " KEY " x");
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 300);
    WAIT_FOR(events(exporter) >= 302);
    redis_command(&fixture.server, "DEL " KEY);
    WAIT_FOR(sinks_up(exporter) == 1);
    exporter_close(exporter, CLOSE_MS);
    check_outage(&fixture, 300);
    redis_fixture_close(&fixture);
}

Test(redis_faults, a_hung_server_stalls_neither_the_journal_nor_another_sink)
{
    struct redis_fixture fixture;
    struct redis_server other = {.process = 0};
    redis_fixture_open(&fixture, "");
    redis_server_start(&other, "");
    const struct exporter_redis second = redis_sink_settings(&other);
    const struct exporter_sink sinks[2] = {fixture.sink, redis_sink("other", &second)};
    fixture.redis.timeout_ms = 5000;
    fixture.settings.fsync = EXPORTER_FSYNC_NEVER; /* a slow disk is none of its business */
    fixture.settings.sinks = sinks;
    fixture.settings.sink_count = 2;
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 10);
    WAIT_FOR(redis_length(&fixture.server, KEY) >= 10 && redis_length(&other, KEY) >= 10);
    WAIT_FOR(sinks_up(exporter) == 2);
    kill(fixture.server.process, SIGSTOP);
    unsigned late = 0;
    for (uint64_t round = 0; round < 10; round++) {
        if (round == 5) /* the first half waits for its answers, the second one comes back in vain */
            WAIT_FOR(sinks_up(exporter) == 1);
        uint64_t before = clock_monotonic_ms(), sealed = events(exporter);
        redis_push(exporter, 10 + round * 100, 100);
        WAIT_FOR(events(exporter) >= sealed + 100);
        late += clock_monotonic_ms() - before >= 1000;
        usleep(100000);
    }
    cr_expect_leq(late, 4, "a busy machine or disk may hold up one or the other: %u", late);
    WAIT_FOR(redis_users(&other, KEY, NULL) == 1010);
    cr_assert_eq(sinks_up(exporter), 1);
    kill(fixture.server.process, SIGCONT);
    WAIT_FOR(sinks_up(exporter) == 2);
    exporter_close(exporter, CLOSE_MS);
    check_outage(&fixture, 1010);
    redis_server_end(&other);
    redis_fixture_close(&fixture);
}

Test(redis_faults, the_quota_full_of_unconfirmed_events_stops_the_rings_until_the_sink_is_back)
{
    struct redis_fixture fixture;
    struct exporter_status status;
    redis_fixture_open(&fixture, "");
    fixture.settings.quota_bytes = JOURNAL_QUOTA_MIN;
    fixture.settings.ring_bytes = 8 * 1024 * 1024;
    kill(fixture.server.process, SIGSTOP);
    fixture.redis.timeout_ms = 2000; /* slower than any answer, even under a sanitizer on a busy machine */
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 3000); /* about 3 MB of lines */
    WAIT_FOR((exporter_status(exporter, &status), status.blocked));
    usleep(300000);
    exporter_status(exporter, &status);
    cr_assert(status.blocked);
    cr_assert_leq(status.journal_bytes, JOURNAL_QUOTA_MIN);
    kill(fixture.server.process, SIGCONT);
    WAIT_FOR((exporter_status(exporter, &status), !status.blocked && status.events >= 3000));
    exporter_close(exporter, CLOSE_MS);
    size_t duplicates;
    cr_assert_eq(redis_users(&fixture.server, KEY, &duplicates), 3000);
    cr_assert_eq(duplicates, 0);
    redis_fixture_close(&fixture);
}

/* ---- nonsense ---- */

struct fake {
    int listener;
    uint16_t port;
    const char *answer;
    size_t length;
    atomic_uint connections;
};

/* Answers whatever comes with the same bytes; ends when its listener is shut down. */
static void *run_fake(void *argument)
{
    struct fake *fake = argument;
    char buffer[4096];

    for (;;) {
        int descriptor = accept(fake->listener, NULL, NULL);
        if (descriptor == -1)
            return NULL;
        atomic_fetch_add(&fake->connections, 1);
        if (read(descriptor, buffer, sizeof(buffer)) > 0 &&
            send(descriptor, fake->answer, fake->length, MSG_NOSIGNAL) > 0)
            while (read(descriptor, buffer, sizeof(buffer)) > 0)
                ;
        close(descriptor);
    }
}

Test(redis_faults, nonsense_closes_the_connection_and_loses_nothing)
{
    static const struct {
        const char *bytes;
        size_t length;
    } answers[] = {
#define ANSWER(text) {text, sizeof(text) - 1}
        ANSWER("HTTP/1.1 400 Bad Request\r\n\r\n"),
        ANSWER("+PONG\r\n+PONG\r\n:5\r\n"),
        ANSWER("*2147483647\r\n$1\r\n"),
        ANSWER("$-5\r\n"),
        ANSWER("$536870912\r\n"),
        ANSWER("\0\0\0\0"),
        ANSWER(":1\r\n"),
        ANSWER("-ERR The ID specified in XADD is equal or smaller than the target stream top item\r\n"),
    };

    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        char path[DIRECTORY_MAX];
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t length = sizeof(address);
        struct fake fake = {.answer = answers[i].bytes, .length = answers[i].length};
        pthread_t thread;
        fake.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        cr_assert(
            bind(fake.listener, (struct sockaddr *)&address, length) == 0 && listen(fake.listener, 8) == 0);
        getsockname(fake.listener, (struct sockaddr *)&address, &length);
        pthread_create(&thread, NULL, run_fake, &fake);
        directory_make(path);
        struct exporter_settings settings = directory_settings(path);
        struct exporter_redis redis = {.address = {"127.0.0.1", ntohs(address.sin_port)},
            .key = KEY,
            .field = "event",
            .timeout_ms = 100};
        const struct exporter_sink sink = redis_sink("siem", &redis);
        settings.sinks = &sink;
        settings.sink_count = 1;
        struct exporter *exporter = redis_exporter_open(&settings);
        redis_push(exporter, 0, 10);
        WAIT_FOR(atomic_load(&fake.connections) >= 3); /* it comes back */
        cr_expect_eq(sinks_up(exporter), 0, "answer %zu", i);
        exporter_close(exporter, 0);
        shutdown(fake.listener, SHUT_RDWR);
        pthread_join(thread, NULL);
        close(fake.listener);
        cr_expect_eq(directory_actions(path, "sink-down"), 1, "answer %zu", i);
        cr_expect_eq(directory_check(path, NULL, 0), 11, "answer %zu", i);
        directory_remove(path);
    }
}
