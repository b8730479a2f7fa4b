/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of a Redis out of the bytes of its connection: hiredis' reader, with bounds on what a hostile
 * server can have it keep. No I/O. */
#ifndef MQWARD_EXPORTERS_REDIS_READER_H
#define MQWARD_EXPORTERS_REDIS_READER_H

#include "base/view.h"

struct redisReply;
struct redis_reader;

#define REDIS_ANSWER_MAX ((size_t)1024 * 1024) /* bytes of one answer: several times the longest event */
#define REDIS_ELEMENTS_MAX 4096                /* elements of all of its arrays together */

enum redis_read { REDIS_READ_ANSWER, REDIS_READ_MORE, REDIS_READ_BAD };

struct redis_reader *redis_reader_new(void);
void redis_reader_free(struct redis_reader *reader); /* NULL is fine */
/* False: the answer is too long. At most 64 KiB at a time, and redis_reader_next() until it wants more. */
bool redis_reader_feed(struct redis_reader *reader, struct view bytes);
/* ANSWER: *reply is the caller's, to be freed with freeReplyObject(). After BAD the reader is of no use any
 * more. */
enum redis_read redis_reader_next(struct redis_reader *reader, struct redisReply **reply);

/* The bytes of a string or a status; empty for anything else. */
struct view redis_reply_text(const struct redisReply *reply);

#endif
