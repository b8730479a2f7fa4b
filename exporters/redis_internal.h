/* SPDX-License-Identifier: Apache-2.0 */
/* What the modes of the Redis sink share with it: a window of events under way. Private to redis*.c. */
#ifndef MQWARD_EXPORTERS_REDIS_INTERNAL_H
#define MQWARD_EXPORTERS_REDIS_INTERNAL_H

#include "exporters/backoff.h"
#include "exporters/redis_client.h"
#include "exporters/redis_settings.h"
#include "exporters/sink.h"

#define REDIS_WINDOW 1000U /* entries under way at most */

struct event;

struct redis_entry {
    struct journal_position end;
    char id[48]; /* of a stream's entry: <milliseconds of event.created>-<event.sequence> */
    uint8_t *line;
    size_t length;
    bool is_delivered;
};

enum redis_list_state { REDIS_LIST_UNKNOWN, REDIS_LIST_OPEN, REDIS_LIST_FULL };

struct redis {
    uint32_t magic;
    struct sink *sink;
    const struct exporter_redis *settings;
    const struct redis_mode_row *mode;
    struct redis_client *client;

    struct redis_entry entries[REDIS_WINDOW];
    uint64_t entry_first, entry_next; /* [first, next) are under way; counts since the connection was made */
    size_t entry_bytes;
    size_t window;       /* entries that may be under way: fewer while the server is slow */
    uint64_t deliveries; /* since the connection was made */
    bool is_behind;      /* since then an ID was refused: the stream is ahead of what is sent */

    /* Replicas: [entry_first, delivered) are in the master, [entry_first, waited) were when WAIT was sent. */
    uint64_t delivered, waited;
    bool is_waiting; /* for the answer to WAIT, or for another try */
    bool is_short;   /* of replicas: WAIT is tried again after a pause */

    struct event *pause; /* full, or too few replicas: asks again */
    struct backoff pauses;

    enum redis_list_state list_state;
    uint64_t list_length, list_pushes; /* as the server said last; pushes without an answer */
};

/* A mode: one file, one row. Commands are the mode's own numbers, below REDIS_WAIT. */
#define REDIS_WAIT 100U
struct redis_mode_row {
    void (*ready)(struct redis *redis);          /* there is a new connection; NULL: entries may be sent */
    void (*again)(struct redis *redis);          /* a pause is over; NULL where the mode makes none */
    bool (*has_room)(const struct redis *redis); /* for one more; NULL: always */
    void (*send)(struct redis *redis, struct redis_entry *entry);
    void (*answered)(
        struct redis *redis, unsigned command, struct redis_entry *entry, const struct redisReply *reply);
};
extern const struct redis_mode_row redis_stream, redis_list, redis_channel;

/* ---- for the modes ---- */

/* The server has it. */
void redis_deliver(struct redis *redis, struct redis_entry *entry);
/* Sends what the journal has, up to the window. */
void redis_fill(struct redis *redis);
/* The server works, and can't take events for now: says so; again() comes after a back-off. */
void redis_pause(struct redis *redis, const char *detail);
/* What made it pause is over. */
void redis_resume(struct redis *redis);
/* An error that is none of the mode's own, or an answer that can't be one: the end of the connection. */
void redis_refuse(struct redis *redis, const struct redisReply *reply);

#endif
