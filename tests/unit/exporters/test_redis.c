/* SPDX-License-Identifier: Apache-2.0 */
/* The Redis sink against a real server: delivery, IDs, cursor, what a resend becomes. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "event.h"
#include "redis_server.h"
#include "secrets.h"

#define KEY "mqward:audit"

static size_t users(struct redis_fixture *fixture)
{
    return redis_users(&fixture->server, KEY, NULL);
}

Test(redis, events_are_in_the_stream_well_within_a_second)
{
    struct redis_fixture fixture;
    redis_fixture_open(&fixture, "");
    fixture.settings.fsync = EXPORTER_FSYNC_NEVER; /* a slow disk is none of its business */
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 1);
    WAIT_FOR(redis_length(&fixture.server, KEY) == 1);
    unsigned late = 0;
    for (uint64_t i = 1; i < 6; i++) {
        uint64_t before = clock_monotonic_ms();
        redis_push(exporter, i, 1);
        while (redis_length(&fixture.server, KEY) < (long)i + 1 && clock_monotonic_ms() - before < 20000)
            ;
        late += clock_monotonic_ms() - before >= 1000;
    }
    cr_expect_leq(late, 2, "a busy machine or disk may hold up one or the other: %u", late);
    json_t *documents = redis_documents(&fixture.server, KEY);
    cr_assert_eq(json_array_size(documents), 7, "the first one is a checkpoint");
    cr_expect_str_eq(
        string_at(json_array_get(documents, 4), "message"), "PUBLISH denied: 3 -> plant/a/valve/3/cmd");
    cr_expect_eq(number_at(json_array_get(documents, 4), "event.sequence"), 5);
    json_decref(documents);
    exporter_close(exporter, CLOSE_MS);
    redis_fixture_close(&fixture);
}

Test(redis, many_events_arrive_once_and_in_order)
{
    struct redis_fixture fixture;
    size_t duplicates, index;
    json_t *document;
    redis_fixture_open(&fixture, "");
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 5000);      /* five windows */
    exporter_close(exporter, CLOSE_MS); /* at most: it ends when all are delivered */
    cr_assert_eq(redis_users(&fixture.server, KEY, &duplicates), 5000);
    cr_assert_eq(duplicates, 0);
    json_t *documents = redis_documents(&fixture.server, KEY);
    json_array_foreach(documents, index, document)
        cr_assert_eq(number_at(document, "event.sequence"), (int64_t)index + 1);
    json_decref(documents);
    redis_fixture_close(&fixture);
}

Test(redis, the_id_of_an_entry_is_the_sealed_millisecond_and_the_sequence)
{
    struct redis_fixture fixture;
    char id[64] = "";
    redis_fixture_open(&fixture, "");
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 3);
    exporter_close(exporter, CLOSE_MS);
    sscanf(redis_command(&fixture.server, "--raw XREVRANGE " KEY " + - COUNT 1"), "%63s", id);
    cr_assert_str_eq(strchr(id, '-'), "-5", "%s: a checkpoint before and behind them", id);
    uint64_t ms = strtoull(id, NULL, 10), now = clock_wall_us() / 1000;
    cr_assert(ms <= now && now - ms < 60000);
    redis_fixture_close(&fixture);
}

Test(redis, the_stream_is_trimmed_about_its_maximum)
{
    struct redis_fixture fixture;
    redis_fixture_open(&fixture, "--stream-node-max-entries 10");
    fixture.redis.max_length = 100;
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 1000);
    exporter_close(exporter, CLOSE_MS);
    long length = redis_length(&fixture.server, KEY);
    cr_assert(length >= 100 && length < 130, "%ld", length);
    redis_fixture_close(&fixture);
}

Test(redis, a_unix_socket_and_another_database_and_field_name_work)
{
    struct redis_fixture fixture;
    redis_fixture_open(&fixture, "");
    fixture.redis.address.host = fixture.server.socket;
    fixture.redis.database = 3;
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 10);
    exporter_close(exporter, CLOSE_MS);
    cr_assert_eq(
        strtol(redis_command(&fixture.server, "-n 3 XLEN " KEY), NULL, 10), 10 + 2, "and two checkpoints");
    cr_assert_eq(redis_length(&fixture.server, KEY), 0);
    redis_fixture_close(&fixture);
}

Test(redis, a_host_name_is_looked_up)
{
    struct redis_fixture fixture;
    redis_fixture_open(&fixture, "");
    fixture.redis.address.host = "localhost";
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 10);
    exporter_close(exporter, CLOSE_MS);
    cr_assert_eq(users(&fixture), 10);
    redis_fixture_close(&fixture);
}

/* ---- the cursor ---- */

Test(redis, the_next_run_goes_on_where_the_last_one_was_confirmed)
{
    struct redis_fixture fixture;
    size_t duplicates;
    redis_fixture_open(&fixture, "");
    fixture.redis.shared = true; /* so that a resend would be seen */
    for (uint64_t run = 0; run < 3; run++) {
        struct exporter *exporter = redis_exporter_open(&fixture.settings);
        redis_push(exporter, run * 100, 100);
        exporter_close(exporter, CLOSE_MS);
    }
    cr_assert_eq(redis_users(&fixture.server, KEY, &duplicates), 300);
    cr_assert_eq(duplicates, 0);
    redis_fixture_close(&fixture);
}

static void forget_cursor(const struct redis_fixture *fixture, const char *text)
{
    char file[256];

    snprintf(file, sizeof(file), "%s/siem.cursor", fixture->path);
    cr_assert_eq(unlink(file), 0);
    if (text == NULL)
        return;
    FILE *out = fopen(file, "w");
    fputs(text, out);
    fclose(out);
}

Test(redis, without_a_good_cursor_all_is_sent_again_and_recognised)
{
    struct redis_fixture fixture;
    size_t duplicates;
    static const char *const cursors[] = {NULL, "", "garbage\n",
        "mqward-cursor 1 ffffffffffffffff 1 10 0000000000000000\n", "mqward-cursor 1 0000000000000000 0 0\n"};
    redis_fixture_open(&fixture, "");
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 1500);
    exporter_close(exporter, CLOSE_MS);
    for (size_t i = 0; i < sizeof(cursors) / sizeof(cursors[0]); i++) {
        forget_cursor(&fixture, cursors[i]);
        exporter = redis_exporter_open(&fixture.settings);
        redis_push(exporter, 1500 + i, 1);
        exporter_close(exporter, CLOSE_MS);
        cr_assert_eq(redis_users(&fixture.server, KEY, &duplicates), 1501 + i);
        cr_assert_eq(duplicates, 0, "they were in the stream under their IDs");
    }
    redis_fixture_close(&fixture);
}

/* ---- "equal or smaller" that does not mean delivered ---- */

Test(redis, an_id_refused_because_the_stream_is_ahead_is_sent_with_another)
{
    struct redis_fixture fixture;
    size_t duplicates;
    redis_fixture_open(&fixture, "");
    redis_command(&fixture.server, "XADD " KEY " 9999999999999-0 event '{}'"); /* the year 2286 */
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 1200);
    exporter_close(exporter, CLOSE_MS);
    cr_assert_eq(
        redis_users(&fixture.server, KEY, &duplicates), 1200, "nothing is taken for delivered that was not");
    cr_assert_eq(duplicates, 0);
    redis_fixture_close(&fixture);
}

Test(redis, an_entry_of_somebody_else_under_our_id_is_not_taken_for_ours)
{
    struct redis_fixture fixture;
    char id[64] = "";
    redis_fixture_open(&fixture, "");
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 1);
    exporter_close(exporter, CLOSE_MS);
    sscanf(redis_command(&fixture.server, "--raw XREVRANGE " KEY " + - COUNT 1"), "%63s", id);
    redis_command(&fixture.server, "DEL " KEY);
    redis_command(&fixture.server, "XADD " KEY " %s event '{}'", id);
    forget_cursor(&fixture, NULL);
    exporter = redis_exporter_open(&fixture.settings);
    exporter_close(exporter, CLOSE_MS);
    cr_assert_eq(users(&fixture), 1);
    redis_fixture_close(&fixture);
}

Test(redis, the_documented_user_may_do_all_that_is_needed)
{
    struct redis_fixture fixture;
    size_t duplicates;
    redis_fixture_open(&fixture, "");
    redis_command(&fixture.server, "ACL SETUSER mqward on '>pass word' resetkeys '~mqward:*' resetchannels "
                                   "nocommands +xadd +xrange +ping +select");
    fixture.redis.access.username = "mqward";
    fixture.redis.access.credentials = secrets_password(fixture.server.directory, "pass word");
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 100);
    exporter_close(exporter, CLOSE_MS);
    forget_cursor(&fixture, NULL);
    exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 100, 1);
    exporter_close(exporter, CLOSE_MS);
    cr_assert_eq(redis_users(&fixture.server, KEY, &duplicates), 101);
    cr_assert_eq(duplicates, 0);
    credentials_free(fixture.redis.access.credentials);
    redis_fixture_close(&fixture);
}

Test(redis, a_user_that_may_not_read_back_gets_duplicates_and_no_loss)
{
    struct redis_fixture fixture;
    size_t duplicates;
    redis_fixture_open(&fixture, "");
    redis_command(&fixture.server,
        "ACL SETUSER mqward on '>p' resetkeys '%%W~mqward:*' resetchannels nocommands +xadd +ping");
    fixture.redis.access.username = "mqward";
    fixture.redis.access.credentials = secrets_password(fixture.server.directory, "p");
    struct exporter *exporter = redis_exporter_open(&fixture.settings);
    redis_push(exporter, 0, 50);
    exporter_close(exporter, CLOSE_MS);
    cr_assert_eq(users(&fixture), 50);
    forget_cursor(&fixture, NULL);
    exporter = redis_exporter_open(&fixture.settings);
    exporter_close(exporter, CLOSE_MS);
    cr_assert_eq(redis_users(&fixture.server, KEY, &duplicates), 50);
    cr_assert_eq(duplicates, 50);
    credentials_free(fixture.redis.access.credentials);
    redis_fixture_close(&fixture);
}
