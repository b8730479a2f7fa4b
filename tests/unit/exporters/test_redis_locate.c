/* SPDX-License-Identifier: Apache-2.0 */
/* Where the server is: every answer of sentinels and of a cluster's nodes; and what of an answer is read. */
#include <criterion/criterion.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "exporters/redis_locate.h"
#include "exporters/redis_reader.h"

static const struct redis_address nodes[] = {{"a", 1}, {"b", 2}, {"c", 3}};

static const struct exporter_redis with_sentinels = {
    .topology = REDIS_SENTINEL, .nodes = nodes, .node_count = 3, .master = "mymaster"};
static const struct exporter_redis with_cluster = {
    .topology = REDIS_CLUSTER, .nodes = nodes, .node_count = 3};

#define TARGET(locate, sentinel, name, number)                                                               \
    do {                                                                                                     \
        struct redis_address address;                                                                        \
        cr_expect_eq(redis_locate_target(locate, &address), sentinel);                                       \
        cr_expect_str_eq(address.host, name);                                                                \
        cr_expect_eq(address.port, number);                                                                  \
    } while (0)

static redisReply *reply_of(const char *text)
{
    struct redis_reader *reader = redis_reader_new();
    redisReply *reply = NULL;

    cr_assert(redis_reader_feed(reader, view_of_string(text)));
    cr_assert_eq(redis_reader_next(reader, &reply), REDIS_READ_ANSWER, "%s", text);
    redis_reader_free(reader);
    return reply;
}

static const char *take_master(struct redis_locate *locate, const char *text)
{
    redisReply *reply = reply_of(text);
    const char *problem = redis_locate_take_master(locate, reply);

    freeReplyObject(reply);
    return problem;
}

static const char *take_role(struct redis_locate *locate, const char *text)
{
    redisReply *reply = reply_of(text);
    const char *problem = redis_locate_take_role(locate, reply);

    freeReplyObject(reply);
    return problem;
}

#define MASTER_AT(host, length, port) "*2\r\n$" length "\r\n" host "\r\n$4\r\n" port "\r\n"
#define MASTER MASTER_AT("10.0.0.9", "8", "6379")
#define IS_MASTER                                                                                            \
    "*3\r\n$6\r\nmaster\r\n:3129659\r\n*1\r\n*3\r\n$9\r\n127.0.0.1\r\n$4\r\n9001\r\n$7\r\n3129242\r\n"
#define IS_REPLICA "*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.1\r\n:9000\r\n$9\r\nconnected\r\n:3167038\r\n"

Test(redis_locate, one_server_is_where_it_is)
{
    const struct exporter_redis settings = {.address = {"/run/redis.sock", 0}};
    struct redis_locate *locate = redis_locate_new(&settings);
    for (int i = 0; i < 3; i++) {
        redis_locate_begin(locate);
        TARGET(locate, false, "/run/redis.sock", 0);
        cr_expect_eq(redis_locate_redirect(locate, VIEW("MOVED 1 10.0.0.1:7")), REDIS_STAY,
            "it is no cluster: an error like any other");
        redis_locate_fail(locate);
    }
    redis_locate_free(locate);
}

Test(redis_locate, the_sentinel_that_names_the_master_is_the_first_of_the_list)
{
    struct redis_locate *locate = redis_locate_new(&with_sentinels);
    redis_locate_begin(locate);
    TARGET(locate, true, "a", 1);
    cr_expect(redis_locate_skip(locate));
    TARGET(locate, true, "b", 2);
    cr_expect_null(take_master(locate, MASTER));
    TARGET(locate, false, "10.0.0.9", 6379);
    cr_expect_null(take_role(locate, IS_MASTER));
    TARGET(locate, false, "10.0.0.9", 6379);
    redis_locate_fail(locate); /* the connection is lost later */
    redis_locate_begin(locate);
    TARGET(locate, true, "b", 2);
    cr_expect(redis_locate_skip(locate));
    TARGET(locate, true, "a", 1);
    cr_expect(redis_locate_skip(locate));
    TARGET(locate, true, "c", 3);
    cr_expect_not(redis_locate_skip(locate), "it was the last one");
    redis_locate_free(locate);
}

Test(redis_locate, a_sentinel_whose_master_is_none_is_the_last_of_the_list)
{
    struct redis_locate *locate = redis_locate_new(&with_sentinels);
    redis_locate_begin(locate);
    cr_expect_null(take_master(locate, MASTER));
    cr_expect_not_null(take_role(locate, IS_REPLICA));
    redis_locate_fail(locate);
    redis_locate_begin(locate);
    TARGET(locate, true, "b", 2);
    cr_expect_null(take_master(locate, MASTER)); /* and this one's can't be reached */
    redis_locate_fail(locate);
    redis_locate_begin(locate);
    TARGET(locate, true, "c", 3);
    cr_expect(redis_locate_skip(locate));
    TARGET(locate, true, "a", 1);
    redis_locate_free(locate);
}

Test(redis_locate, a_master_that_is_one_no_more_does_not_count_against_its_sentinel)
{
    struct redis_locate *locate = redis_locate_new(&with_sentinels);
    redis_locate_begin(locate);
    cr_expect_null(take_master(locate, MASTER));
    cr_expect_null(take_role(locate, IS_MASTER));
    cr_expect_null(take_role(locate, IS_MASTER), "it is asked now and then");
    cr_expect_not_null(take_role(locate, IS_REPLICA));
    redis_locate_fail(locate);
    redis_locate_begin(locate);
    TARGET(locate, true, "a", 1);
    redis_locate_free(locate);
}

Test(redis_locate, what_is_no_answer_of_a_sentinel_is_passed_over)
{
    static const char *const answers[] = {"*-1\r\n", "$-1\r\n", "+OK\r\n", ":1\r\n", "*0\r\n",
        "*1\r\n$1\r\na\r\n", "*3\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\n1\r\n", "*2\r\n:1\r\n:2\r\n",
        "*2\r\n$1\r\na\r\n:6379\r\n", "*2\r\n*0\r\n$1\r\n1\r\n", "*2\r\n$0\r\n\r\n$1\r\n1\r\n",
        "*2\r\n$1\r\na\r\n$0\r\n\r\n", "*2\r\n$1\r\na\r\n$1\r\n0\r\n", "*2\r\n$1\r\na\r\n$5\r\n65536\r\n",
        "*2\r\n$1\r\na\r\n$2\r\n-1\r\n", "*2\r\n$1\r\na\r\n$3\r\n1 2\r\n", "*2\r\n$4\r\n/tmp\r\n$1\r\n1\r\n",
        "*2\r\n$3\r\na b\r\n$1\r\n1\r\n", "*2\r\n$2\r\na\n\r\n$1\r\n1\r\n", "*2\r\n$2\r\n\0a\r\n$1\r\n1\r\n"};
    struct redis_locate *locate = redis_locate_new(&with_sentinels);
    redis_locate_begin(locate);
    for (size_t i = 0; i + 1 < sizeof(answers) / sizeof(answers[0]); i++) {
        cr_expect_not_null(take_master(locate, answers[i]), "answer %zu", i);
        TARGET(locate, true, "a", 1);
    }
    redis_locate_free(locate);
}

Test(redis_locate, a_host_that_is_too_long_is_none)
{
    struct redis_locate *locate = redis_locate_new(&with_sentinels);
    for (size_t length = REDIS_HOST_MAX - 1; length <= REDIS_HOST_MAX; length++) {
        struct buffer text = {0};
        buffer_format(&text, "*2\r\n$%zu\r\n", length);
        for (size_t i = 0; i < length; i++)
            buffer_append_byte(&text, 'h');
        buffer_format(&text, "\r\n$1\r\n1\r\n");
        buffer_append_byte(&text, 0);
        redis_locate_begin(locate);
        const char *problem = take_master(locate, (const char *)buffer_view(&text).data);
        cr_expect_eq(problem == NULL, length < REDIS_HOST_MAX);
        buffer_release(&text);
    }
    redis_locate_free(locate);
}

Test(redis_locate, what_is_no_role_of_a_master_is_refused)
{
    static const char *const answers[] = {IS_REPLICA, "*1\r\n$8\r\nsentinel\r\n", "*0\r\n", "+master\r\n",
        "$6\r\nmaster\r\n", "*1\r\n+master\r\n", "*1\r\n*1\r\n$6\r\nmaster\r\n", "*1\r\n$6\r\nMaster\r\n",
        "*1\r\n$7\r\nmaster2\r\n", "*-1\r\n", ":0\r\n"};
    struct redis_locate *locate = redis_locate_new(&with_sentinels);
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        redis_locate_begin(locate);
        cr_assert_null(take_master(locate, MASTER));
        cr_expect_not_null(take_role(locate, answers[i]), "answer %zu", i);
    }
    redis_locate_free(locate);
}

/* ---- a cluster ---- */

Test(redis_locate, redirections_are_followed)
{
    struct redis_locate *locate = redis_locate_new(&with_cluster);
    redis_locate_begin(locate);
    TARGET(locate, false, "a", 1);
    cr_expect_eq(redis_locate_redirect(locate, VIEW("MOVED 3999 10.0.0.2:6381")), REDIS_FOLLOW);
    TARGET(locate, false, "10.0.0.2", 6381);
    cr_expect_not(redis_locate_is_asking(locate));
    cr_expect_eq(redis_locate_redirect(locate, VIEW("ASK 0 node-7.example:6382")), REDIS_FOLLOW);
    TARGET(locate, false, "node-7.example", 6382);
    cr_expect(redis_locate_is_asking(locate));
    cr_expect_eq(redis_locate_redirect(locate, VIEW("MOVED 16383 :6383")), REDIS_FOLLOW);
    TARGET(locate, false, "node-7.example", 6383);
    cr_expect_not(redis_locate_is_asking(locate), "MOVED takes no ASKING");
    cr_expect_eq(redis_locate_redirect(locate, VIEW("MOVED 1 ::1:6384")), REDIS_FOLLOW);
    TARGET(locate, false, "::1", 6384);
    cr_expect_eq(redis_locate_redirect(locate, VIEW("MOVED 1 [fe80::1]:6385")), REDIS_FOLLOW);
    TARGET(locate, false, "fe80::1", 6385);
    redis_locate_free(locate);
}

Test(redis_locate, redirections_to_nowhere_are_not)
{
    static const char *const errors[] = {"MOVED", "MOVED ", "MOVED 1", "MOVED 1 ", "MOVED 1 a",
        "MOVED 1 a:", "MOVED 1 a:0", "MOVED 1 a:65536", "MOVED 1 a:x", "MOVED 1 a:-1", "MOVED 16384 a:1",
        "MOVED -1 a:1", "MOVED x a:1", "MOVED 1 /tmp/s:1", "MOVED 1 ?:6380", "MOVED 1 a b:1", "MOVED 1 a:1 ",
        "MOVED  a:1", "ASK 1 a\"b:1", "ASK 1", "MOVED 1 \x01:1", "MOVED 99999999999999999999999 a:1",
        "MOVED 1 a:99999999999999999999999"};
    struct redis_locate *locate = redis_locate_new(&with_cluster);
    redis_locate_begin(locate);
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        cr_expect_eq(
            redis_locate_redirect(locate, view_of_string(errors[i])), REDIS_NONSENSE, "%s", errors[i]);
        TARGET(locate, false, "a", 1);
    }
    static const char *const others[] = {"", "ERR no", "MOVEDX 1 a:1", "moved 1 a:1",
        "CLUSTERDOWN The cluster is down", "TRYAGAIN Multiple keys request during rehashing of slot",
        "OOM command not allowed"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        cr_expect_eq(redis_locate_redirect(locate, view_of_string(others[i])), REDIS_STAY, "%s", others[i]);
    redis_locate_free(locate);
}

Test(redis_locate, redirections_without_end_have_one)
{
    struct redis_locate *locate = redis_locate_new(&with_cluster);
    for (int round = 0; round < 3; round++) {
        redis_locate_begin(locate);
        for (unsigned i = 0; i < REDIS_REDIRECTS_MAX; i++)
            cr_expect_eq(redis_locate_redirect(locate, i % 2 == 0 ? VIEW("MOVED 1 x:1") : VIEW("ASK 1 y:2")),
                REDIS_FOLLOW);
        cr_expect_eq(redis_locate_redirect(locate, VIEW("MOVED 1 x:1")), REDIS_ENDLESS);
        redis_locate_fail(locate);
    }
    redis_locate_begin(locate);
    for (unsigned i = 0; i < 5 * REDIS_REDIRECTS_MAX; i++) { /* with an answer between them */
        cr_expect_eq(redis_locate_redirect(locate, VIEW("MOVED 1 x:1")), REDIS_FOLLOW);
        redis_locate_settle(locate);
    }
    redis_locate_free(locate);
}

Test(redis_locate, after_a_failure_all_nodes_have_their_turn)
{
    struct redis_locate *locate = redis_locate_new(&with_cluster);
    static const struct redis_address turns[] = {{"a", 1}, {"b", 2}, {"c", 3}, {"x", 9}, {"a", 1}};
    redis_locate_begin(locate);
    cr_expect_eq(redis_locate_redirect(locate, VIEW("ASK 1 x:9")), REDIS_FOLLOW);
    cr_expect_eq(redis_locate_redirect(locate, VIEW("MOVED 1 b:2")), REDIS_FOLLOW, "it is known already");
    cr_expect_eq(redis_locate_redirect(locate, VIEW("ASK 1 x:9")), REDIS_FOLLOW);
    for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
        redis_locate_fail(locate);
        redis_locate_begin(locate);
        TARGET(locate, false, turns[i].host, turns[i].port);
        cr_expect_not(redis_locate_is_asking(locate));
    }
    redis_locate_free(locate);
}

/* Look-ups of those are bounded, and by nobody else's. */
Test(redis_locate, names_that_answers_give_are_told_from_those_of_the_configuration)
{
    struct redis_locate *locate = redis_locate_new(&with_sentinels);
    redis_locate_begin(locate);
    cr_expect_null(redis_locate_giver(locate));
    cr_expect_null(take_master(locate, MASTER));
    cr_expect_eq(redis_locate_giver(locate), (const void *)&with_sentinels, "of all clients of the settings");
    redis_locate_begin(locate);
    cr_expect_null(redis_locate_giver(locate));
    redis_locate_free(locate);

    locate = redis_locate_new(&with_cluster);
    redis_locate_begin(locate);
    cr_expect_null(redis_locate_giver(locate));
    cr_expect_eq(redis_locate_redirect(locate, VIEW("MOVED 1 x:9")), REDIS_FOLLOW);
    cr_expect_eq(redis_locate_giver(locate), (const void *)&with_cluster);
    cr_expect_eq(redis_locate_redirect(locate, VIEW("MOVED 1 b:2")), REDIS_FOLLOW);
    cr_expect_null(redis_locate_giver(locate), "it is known already");
    redis_locate_free(locate);
}

Test(redis_locate, nodes_that_are_learned_are_bounded)
{
    struct redis_locate *locate = redis_locate_new(&with_cluster);
    char error[64];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(error, sizeof(error), "MOVED 1 host-%u:7000", i);
        redis_locate_begin(locate);
        cr_expect_eq(redis_locate_redirect(locate, view_of_string(error)), REDIS_FOLLOW);
        snprintf(error, sizeof(error), "host-%u", i);
        TARGET(locate, false, error, 7000);
    }
    unsigned turns = 0, youngest = 0;
    struct redis_address address;
    do {
        redis_locate_fail(locate);
        redis_locate_target(locate, &address);
        youngest += strncmp(address.host, "host-9", 6) == 0;
        turns++;
    } while (strcmp(address.host, error) != 0);
    cr_expect_lt(turns, 64);
    cr_expect_eq(youngest, turns - 3, "the oldest make room");
    redis_locate_free(locate);
}

/* ---- the reader ---- */

static enum redis_read read_all(struct redis_reader *reader, struct view bytes, size_t step)
{
    redisReply *reply = NULL;

    while (bytes.length > 0) {
        size_t count = bytes.length < step ? bytes.length : step;
        if (!redis_reader_feed(reader, view_of(bytes.data, count)))
            return REDIS_READ_BAD;
        bytes = view_skip(bytes, count);
        enum redis_read read = redis_reader_next(reader, &reply);
        if (read == REDIS_READ_ANSWER)
            freeReplyObject(reply);
        if (read != REDIS_READ_MORE)
            return read;
    }
    return REDIS_READ_MORE;
}

static enum redis_read read_text(struct view bytes, size_t step)
{
    struct redis_reader *reader = redis_reader_new();
    enum redis_read read = read_all(reader, bytes, step);

    redis_reader_free(reader);
    return read;
}

Test(redis_reader, answers_are_read_however_they_are_cut)
{
    const struct view whole = VIEW("*2\r\n*2\r\n$1\r\na\r\n:5\r\n$-1\r\n");
    for (size_t step = 1; step <= whole.length; step++)
        cr_expect_eq(read_text(whole, step), REDIS_READ_ANSWER, "%zu", step);
    cr_expect_eq(read_text(view_of(whole.data, whole.length - 1), 1), REDIS_READ_MORE);
}

Test(redis_reader, what_is_no_answer_is_bad)
{
    static const struct view texts[] = {VIEW("HTTP/1.1 200 OK\r\n"), VIEW("$-5\r\n"), VIEW("*-5\r\n"),
        VIEW("*2147483647\r\n"), VIEW("*4097\r\n"), VIEW("*99999999999999999999\r\n"),
        VIEW("$99999999999999999999\r\n"), VIEW("\0"), VIEW("%1\r\n"),
        VIEW("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n")};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        cr_expect_eq(read_text(texts[i], 65536), REDIS_READ_BAD, "%zu", i);
}

/* Arrays of arrays without end, each within its bound: what is parsed is kept until the answer is whole. */
Test(redis_reader, the_memory_that_an_answer_takes_is_bounded)
{
    struct buffer text = {0};
    buffer_format(&text, "*4000\r\n");
    for (unsigned i = 0; i < 3; i++)
        buffer_format(&text, "*90\r\n");
    cr_expect_eq(read_text(buffer_view(&text), 64), REDIS_READ_BAD);
    buffer_release(&text);
    buffer_format(&text, "$104857600\r\n");
    for (size_t i = 0; i < REDIS_ANSWER_MAX; i++)
        buffer_append_byte(&text, 'x');
    cr_expect_eq(read_text(buffer_view(&text), 16384), REDIS_READ_BAD);
    buffer_release(&text);
}

Test(redis_reader, many_answers_one_behind_the_other_have_no_bound)
{
    struct redis_reader *reader = redis_reader_new();
    struct buffer text = {0};
    redisReply *reply = NULL;
    for (unsigned i = 0; i < 1000; i++)
        buffer_format(&text, "*10\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n");
    for (unsigned round = 0; round < 50; round++) {
        cr_assert(redis_reader_feed(reader, buffer_view(&text)));
        unsigned count = 0;
        while (redis_reader_next(reader, &reply) == REDIS_READ_ANSWER) {
            freeReplyObject(reply);
            count++;
        }
        cr_assert_eq(count, 1000);
    }
    buffer_release(&text);
    redis_reader_free(reader);
}
