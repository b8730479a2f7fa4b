/* SPDX-License-Identifier: Apache-2.0 */
/* Owns hiredis' reader. Called by redis_client.c.
 *
 * hiredis allocates an array when it sees its length ("*2147483647" would be 16 GiB), and keeps what it has
 * parsed of an answer that has no end: arrays of arrays cost twenty bytes of memory for each that is sent. So
 * both what is unparsed and what is parsed of an unfinished answer have a bound. */
#include "exporters/redis_reader.h"

#include <assert.h>
#include <stdlib.h>

#include <hiredis/hiredis.h>

#include "base/memory.h"

#define READER_MAGIC 0x72726472U

struct redis_reader {
    uint32_t magic;
    redisReader *reader;
    redisReplyObjectFunctions functions; /* hiredis' own, but for arrays */
    void *(*create_array)(const redisReadTask *task, int elements);
    size_t bytes, elements; /* of the answer that is read */
};

static void *create_array(const redisReadTask *task, int elements)
{
    struct redis_reader *reader = task->privdata;

    if (elements > REDIS_ELEMENTS_MAX || reader->elements + (size_t)elements > REDIS_ELEMENTS_MAX)
        return NULL; /* an error of the reader */
    reader->elements += (size_t)elements;
    return reader->create_array(task, elements);
}

struct redis_reader *redis_reader_new(void)
{
    struct redis_reader *reader = memory_calloc(1, sizeof(*reader));

    reader->magic = READER_MAGIC;
    reader->reader = redisReaderCreate();
    if (reader->reader == NULL)
        memory_exhausted();
    reader->functions = *reader->reader->fn;
    reader->create_array = reader->functions.createArray;
    reader->functions.createArray = create_array;
    reader->reader->fn = &reader->functions;
    reader->reader->privdata = reader;
    return reader;
}

void redis_reader_free(struct redis_reader *reader)
{
    if (reader == NULL)
        return;
    assert(reader->magic == READER_MAGIC);
    redisReaderFree(reader->reader);
    reader->magic = 0;
    free(reader);
}

bool redis_reader_feed(struct redis_reader *reader, struct view bytes)
{
    assert(reader->magic == READER_MAGIC);
    reader->bytes += bytes.length;
    return reader->bytes <= REDIS_ANSWER_MAX &&
           redisReaderFeed(reader->reader, (const char *)bytes.data, bytes.length) == REDIS_OK;
}

enum redis_read redis_reader_next(struct redis_reader *reader, redisReply **reply)
{
    void *found = NULL;

    assert(reader->magic == READER_MAGIC);
    if (redisReaderGetReply(reader->reader, &found) != REDIS_OK)
        return REDIS_READ_BAD;
    *reply = found;
    if (found == NULL)
        return REDIS_READ_MORE;
    reader->bytes = reader->reader->len - reader->reader->pos;
    reader->elements = 0;
    return REDIS_READ_ANSWER;
}

struct view redis_reply_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS
               ? view_of(reply->str, (size_t)reply->len)
               : view_of(NULL, 0);
}
