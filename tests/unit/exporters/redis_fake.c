/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the threads of the scripted servers. */
#include "redis_fake.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

bool redis_fake_is(const redisReply *command, const char *name)
{
    return command->elements > 0 && strcasecmp(command->element[0]->str, name) == 0;
}

void redis_fake_master(struct buffer *out, const char *host, uint16_t port)
{
    char number[8];

    snprintf(number, sizeof(number), "%u", (unsigned)port);
    buffer_format(out, "*2\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(host), host, strlen(number), number);
}

static void take_event(struct redis_fake *fake, const redisReply *command)
{
    const char *line = command->element[command->elements - 1]->str;
    const char *found = strstr(line, "\"user\":{\"name\":\"");
    size_t count = atomic_load(&fake->event_count);

    if (found == NULL) /* of the trail itself */
        return;
    cr_assert_lt(count, REDIS_FAKE_EVENTS);
    fake->events[count] = strtoll(found + 16, NULL, 10);
    atomic_store(&fake->event_count, count + 1);
}

void redis_fake_answer(struct redis_fake *fake, const redisReply *command, struct buffer *out)
{
    const char *given = fake->role, *role = given == NULL ? "master" : given;

    if (redis_fake_is(command, "PING"))
        buffer_format(out, "+PONG\r\n");
    else if (redis_fake_is(command, "LLEN"))
        buffer_format(out, ":0\r\n");
    else if (redis_fake_is(command, "ROLE"))
        buffer_format(out, "*3\r\n$%zu\r\n%s\r\n:0\r\n*0\r\n", strlen(role), role);
    else if (redis_fake_is(command, "XADD")) {
        take_event(fake, command);
        buffer_format(out, "$3\r\n1-1\r\n");
    } else if (redis_fake_is(command, "RPUSH") || redis_fake_is(command, "PUBLISH")) {
        take_event(fake, command);
        buffer_format(out, ":%zu\r\n", atomic_load(&fake->event_count));
    } else
        buffer_format(out, "+OK\r\n");
}

static bool flush(int descriptor, struct buffer *out)
{
    struct view rest = buffer_view(out);

    while (rest.length > 0) {
        ssize_t count = send(descriptor, rest.data, rest.length, MSG_NOSIGNAL);
        if (count <= 0)
            return false;
        rest = view_skip(rest, (size_t)count);
    }
    buffer_clear(out);
    return true;
}

/* All that has arrived. False: the end. */
static bool receive(int descriptor, redisReader *reader)
{
    static _Thread_local char bytes[65536];
    ssize_t count = recv(descriptor, bytes, sizeof(bytes), 0);

    if (count <= 0)
        return false;
    do
        redisReaderFeed(reader, bytes, (size_t)count);
    while ((count = recv(descriptor, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0);
    return true;
}

static void serve(struct redis_fake *fake, int descriptor)
{
    redisReader *reader = redisReaderCreate();
    struct buffer out = {0};
    void *command = NULL;

    fake->is_asking = false;
    while (receive(descriptor, reader)) {
        while (redisReaderGetReply(reader, &command) == REDIS_OK && command != NULL) {
            atomic_fetch_add(&fake->commands, 1);
            if (fake->each_ms > 0)
                usleep(fake->each_ms * 1000);
            (fake->answer == NULL ? redis_fake_answer : fake->answer)(fake, command, &out);
            fake->is_asking = redis_fake_is(command, "ASKING");
            freeReplyObject(command);
            if (!fake->at_once && !flush(descriptor, &out))
                break;
        }
        if (!flush(descriptor, &out))
            break;
    }
    buffer_release(&out);
    redisReaderFree(reader);
}

static void *run(void *argument)
{
    struct redis_fake *fake = argument;

    for (;;) {
        int descriptor = accept(fake->listener, NULL, NULL);
        if (descriptor == -1)
            return NULL;
        atomic_fetch_add(&fake->connections, 1);
        serve(fake, descriptor);
        close(descriptor);
    }
}

void redis_fake_start(struct redis_fake *fake)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);

    fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(
        bind(fake->listener, (struct sockaddr *)&address, length) == 0 && listen(fake->listener, 64) == 0);
    getsockname(fake->listener, (struct sockaddr *)&address, &length);
    fake->port = ntohs(address.sin_port);
    cr_assert_eq(pthread_create(&fake->thread, NULL, run, fake), 0);
}

void redis_fake_stop(struct redis_fake *fake)
{
    shutdown(fake->listener, SHUT_RDWR);
    pthread_join(fake->thread, NULL);
    close(fake->listener);
}
