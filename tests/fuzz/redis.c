/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of a hostile Redis, sentinel or node: what is read of them is bounded, and whatever they name is a
 * host and a port. The first byte says how the bytes are cut. */
#include <stdlib.h>

#include <hiredis/hiredis.h>

#include "exporters/redis_locate.h"
#include "exporters/redis_reader.h"

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            abort();                                                                                         \
    } while (0)

static const struct redis_address nodes[] = {{"a", 1}, {"b", 2}};
static const struct exporter_redis watched = {
    .topology = REDIS_SENTINEL, .nodes = nodes, .node_count = 2, .master = "m"};
static const struct exporter_redis sharded = {.topology = REDIS_CLUSTER, .nodes = nodes, .node_count = 2};

static void check_target(const struct redis_locate *locate)
{
    struct redis_address address;

    redis_locate_target(locate, &address);
    CHECK(address.port != 0 && address.host[0] != 0 && strlen(address.host) < REDIS_HOST_MAX);
    CHECK(strpbrk(address.host, "/ \r\n\"\\") == NULL);
}

static void check_sentinel(struct redis_locate *locate, const redisReply *reply)
{
    redis_locate_begin(locate);
    if (redis_locate_take_master(locate, reply) == NULL) {
        check_target(locate);
        CHECK(redis_locate_take_role(locate, reply) != NULL); /* what names a master is no role */
        redis_locate_fail(locate);
    } else
        (void)redis_locate_skip(locate);
    check_target(locate);
}

static void check_node(struct redis_locate *locate, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ERROR)
        redis_locate_settle(locate);
    else if (redis_locate_redirect(locate, view_of(reply->str, (size_t)reply->len)) == REDIS_ENDLESS)
        redis_locate_begin(locate);
    check_target(locate);
}

static size_t count_elements(const redisReply *reply)
{
    size_t count = reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;

    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++)
        count += count_elements(reply->element[i]);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct redis_reader *reader = redis_reader_new();
    struct redis_locate *sentinels = redis_locate_new(&watched), *cluster = redis_locate_new(&sharded);
    size_t step = size == 0 ? 1 : (size_t)data[0] + 1;
    struct view rest = size == 0 ? view_of(NULL, 0) : view_of(data + 1, size - 1);
    enum redis_read read = REDIS_READ_MORE;
    redisReply *reply = NULL;

    while (read != REDIS_READ_BAD && rest.length > 0) {
        size_t count = rest.length < step ? rest.length : step;
        if (!redis_reader_feed(reader, view_of(rest.data, count)))
            break;
        rest = view_skip(rest, count);
        while ((read = redis_reader_next(reader, &reply)) == REDIS_READ_ANSWER) {
            CHECK(count_elements(reply) <= REDIS_ELEMENTS_MAX);
            check_sentinel(sentinels, reply);
            check_node(cluster, reply);
            freeReplyObject(reply);
        }
    }
    redis_locate_free(sentinels);
    redis_locate_free(cluster);
    redis_reader_free(reader);
    return 0;
}
