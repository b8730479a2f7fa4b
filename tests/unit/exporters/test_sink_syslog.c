/* SPDX-License-Identifier: Apache-2.0 */
/* The syslog sink against receivers of our own: every split of a stream, both framings, Unix sockets, and
 * what is not confirmed although the kernel took it. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/ring.h"
#include "directory.h"
#include "event.h"
#include "exporters/sink_syslog.h"
#include "exporters/sinks.h"
#include "syslog_parse.h"

/* ---- the wrapped call (--wrap): the kernel takes less than it is given ---- */

static _Atomic size_t send_most;   /* bytes of a call; 0: all */
static _Atomic unsigned send_full; /* every so many calls: EAGAIN; 0: never */

ssize_t __real_send(int descriptor, const void *bytes, size_t count, int flags);
ssize_t __wrap_send(int descriptor, const void *bytes, size_t count, int flags);

ssize_t __wrap_send(int descriptor, const void *bytes, size_t count, int flags)
{
    static _Atomic unsigned calls;

    if (send_full > 0 && ++calls % send_full == 0) {
        errno = EAGAIN;
        return -1;
    }
    return __real_send(descriptor, bytes, send_most > 0 && count > send_most ? send_most : count, flags);
}

/* ---- a receiver ---- */

struct receiver {
    char trail[DIRECTORY_MAX], folder[DIRECTORY_MAX], path[DIRECTORY_MAX + 16];
    int listener, connection;
    struct sink_syslog_settings syslog;
    struct exporter_sink sink;
    struct exporter_settings settings;
    struct exporter *exporter;
    struct buffer received;
};

static void receiver_settings(struct receiver *receiver, const char *host, uint16_t port)
{
    receiver->syslog = (struct sink_syslog_settings){
        .host = host,
        .port = port,
        .outlet = {.datagrams = true, .timeout_ms = 5000},
        .shape =
            {.facility = 16, .format = SYSLOG_TEXT, .sd_id = "mqward@32473", .process = 1, .limit = 8192},
        .timeout_ms = 5000,
    };
    receiver->sink = (struct exporter_sink){"syslog", &sink_syslog, &receiver->syslog};
    receiver->settings = directory_settings(receiver->trail);
    receiver->settings.sinks = &receiver->sink;
    receiver->settings.sink_count = 1;
}

static void receiver_tcp(struct receiver *receiver)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);

    *receiver = (struct receiver){.connection = -1};
    directory_make(receiver->trail);
    directory_make(receiver->folder);
    receiver->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(receiver->listener, (struct sockaddr *)&address, length), 0);
    cr_assert_eq(listen(receiver->listener, 8), 0);
    cr_assert_eq(getsockname(receiver->listener, (struct sockaddr *)&address, &length), 0);
    receiver_settings(receiver, "127.0.0.1", ntohs(address.sin_port));
}

static void receiver_unix(struct receiver *receiver, int kind)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    *receiver = (struct receiver){.connection = -1};
    directory_make(receiver->trail);
    directory_make(receiver->folder);
    snprintf(receiver->path, sizeof(receiver->path), "%s/log", receiver->folder);
    memcpy(address.sun_path, receiver->path, strlen(receiver->path));
    receiver->listener = socket(AF_UNIX, kind | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(receiver->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    if (kind == SOCK_STREAM)
        cr_assert_eq(listen(receiver->listener, 8), 0);
    else
        receiver->connection = receiver->listener;
    receiver_settings(receiver, receiver->path, 0);
}

static void receiver_start(struct receiver *receiver)
{
    char error[256] = "";

    receiver->exporter = exporter_open(&receiver->settings, error, sizeof(error));
    cr_assert_not_null(receiver->exporter, "%s", error);
    cr_assert_eq(exporter_start(receiver->exporter), 0);
}

static void receiver_accept(struct receiver *receiver)
{
    if (receiver->connection != -1)
        close(receiver->connection);
    receiver->connection = accept4(receiver->listener, NULL, NULL, SOCK_CLOEXEC);
    cr_assert_neq(receiver->connection, -1);
    buffer_clear(&receiver->received);
}

static void receiver_end(struct receiver *receiver)
{
    exporter_close(receiver->exporter, 0);
    if (receiver->connection != -1 && receiver->connection != receiver->listener)
        close(receiver->connection);
    close(receiver->listener);
    buffer_release(&receiver->received);
    directory_remove(receiver->trail);
    directory_remove(receiver->folder);
    send_most = 0;
    send_full = 0;
}

static void push(struct receiver *receiver, uint64_t first, uint64_t count)
{
    uint8_t record[AUDIT_EVENT_MAX];
    char user[32];

    for (uint64_t i = first; i < first + count; i++) {
        struct audit_event event = event_numbered(i, user);
        cr_assert(ring_push(
            exporter_ring(receiver->exporter, 0), view_of(record, audit_event_encode(&event, record))));
        exporter_wake(receiver->exporter);
    }
}

/* A datagram has a line feed put behind it. */
static void receive(struct receiver *receiver)
{
    uint8_t bytes[65536];
    struct pollfd descriptor = {.fd = receiver->connection, .events = POLLIN};

    if (poll(&descriptor, 1, 100) != 1)
        return;
    ssize_t count = recv(receiver->connection, bytes, sizeof(bytes), 0);
    cr_assert_gt(count, 0);
    buffer_append(&receiver->received, view_of(bytes, (size_t)count));
    if (receiver->connection == receiver->listener)
        buffer_append_byte(&receiver->received, '\n');
}

/* The next message by the framing; false if it is not there yet. */
static bool take_message(struct receiver *receiver, bool counted, struct syslog_parsed *parsed)
{
    struct view all = buffer_view(&receiver->received);
    size_t length = 0, skip = 0;

    if (counted) {
        size_t digits = 0;
        while (digits < all.length && all.data[digits] >= '0' && all.data[digits] <= '9')
            length = length * 10 + (size_t)(all.data[digits++] - '0');
        if (digits == all.length)
            return false;
        cr_assert(digits > 0 && all.data[0] != '0' && all.data[digits] == ' ');
        skip = digits + 1;
        if (all.length < skip + length)
            return false;
    } else {
        const uint8_t *end = all.length == 0 ? NULL : memchr(all.data, '\n', all.length);
        if (end == NULL)
            return false;
        length = (size_t)(end - all.data);
    }
    static struct buffer copy; /* the views of parsed live in it */
    buffer_clear(&copy);
    buffer_append(&copy, view_of(all.data + skip, length));
    const char *error = syslog_parse(buffer_view(&copy), parsed);
    cr_assert_null(error, "%s: %.*s", error, VIEW_ARGS(buffer_view(&copy)));
    buffer_consume(&receiver->received, skip + length + (counted ? 0 : 1));
    return true;
}

/* The user of the next message that has one. */
static uint64_t next_user(struct receiver *receiver, bool counted)
{
    struct syslog_parsed parsed;
    uint64_t until = clock_monotonic_ms() + 30000;

    for (;;) {
        while (take_message(receiver, counted, &parsed)) {
            const char *user = syslog_param(&parsed, "user");
            if (user != NULL)
                return strtoull(user, NULL, 10);
        }
        cr_assert_lt(clock_monotonic_ms(), until, "no message");
        receive(receiver);
    }
}

/* So many lines; the trail's first one is a checkpoint. The lag alone may still be that of a while ago. */
static bool is_delivered(struct receiver *receiver, uint64_t lines)
{
    struct exporter_sink_status status;

    exporter_sink_status(receiver->exporter, 0, &status);
    return status.up && status.delivered >= lines && status.lag_bytes == 0;
}

/* ---- the tests ---- */

Test(sink_syslog, every_split_of_a_stream_is_the_same_stream)
{
    for (int counted = 0; counted < 2; counted++) {
        struct receiver receiver;
        receiver_tcp(&receiver);
        receiver.syslog.framing = counted ? SYSLOG_OCTET_COUNTING : SYSLOG_LINES;
        send_most = 1; /* one byte a call: every split point there is */
        send_full = 7;
        receiver_start(&receiver);
        push(&receiver, 0, 20);
        receiver_accept(&receiver);
        for (uint64_t i = 0; i < 20; i++)
            cr_assert_eq(next_user(&receiver, counted), i);
        WAIT_FOR(is_delivered(&receiver, 1 + 20));
        receiver_end(&receiver);
    }
}

Test(sink_syslog, unix_sockets_of_both_kinds)
{
    for (int stream = 0; stream < 2; stream++) {
        struct receiver receiver;
        receiver_unix(&receiver, stream ? SOCK_STREAM : SOCK_DGRAM);
        receiver_start(&receiver);
        if (stream)
            receiver_accept(&receiver);
        push(&receiver, 0, 200);
        for (uint64_t i = 0; i < 200; i++)
            cr_assert_eq(next_user(&receiver, stream), i);
        WAIT_FOR(is_delivered(&receiver, 1 + 200));
        receiver_end(&receiver);
    }
}

/* False: it has died too late. What its kernel has had for a quarter of a second counts as delivered. */
static bool dies_unread(void)
{
    struct receiver receiver;

    receiver_tcp(&receiver);
    receiver_start(&receiver);
    receiver_accept(&receiver);
    push(&receiver, 0, 1);
    cr_assert_eq(next_user(&receiver, true), 0);
    WAIT_FOR(is_delivered(&receiver, 2));
    uint64_t before = clock_monotonic_ms();
    push(&receiver, 1, 50); /* its kernel has them at once, and it dies before it reads them */
    struct pollfd descriptor = {.fd = receiver.connection, .events = POLLIN};
    cr_assert_eq(poll(&descriptor, 1, 60000), 1);
    close(receiver.connection);
    receiver.connection = -1;
    bool in_time = clock_monotonic_ms() - before < 200;
    if (in_time) {
        receiver_accept(&receiver);
        for (uint64_t i = 1; i < 51; i++)
            cr_assert_eq(next_user(&receiver, true), i);
    }
    receiver_end(&receiver);
    return in_time;
}

Test(sink_syslog, what_a_receiver_had_not_read_when_it_went_comes_again)
{
    unsigned late = 0;

    while (late < 20 && !dies_unread())
        late++;
    cr_assert_lt(late, 20, "it has never died in time");
}

Test(sink_syslog, datagrams_that_nobody_has_read_come_again_at_the_next_socket)
{
    struct receiver receiver;
    struct stat before, after = {0};
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    receiver_unix(&receiver, SOCK_DGRAM);
    receiver_start(&receiver);
    push(&receiver, 0, 1);
    cr_assert_eq(next_user(&receiver, false), 0);
    WAIT_FOR(is_delivered(&receiver, 2));
    push(&receiver, 1, 5);
    struct pollfd descriptor = {.fd = receiver.connection, .events = POLLIN};
    cr_assert_eq(poll(&descriptor, 1, 60000), 1);
    cr_assert_eq(stat(receiver.path, &before), 0);
    close(receiver.listener);
    memcpy(address.sun_path, receiver.path, strlen(receiver.path));
    for (int i = 0; i < 100 && after.st_ino != before.st_ino; i++) { /* file systems give numbers again */
        if (i > 0)
            close(receiver.listener);
        cr_assert_eq(unlink(receiver.path), 0);
        receiver.listener = receiver.connection = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        cr_assert_eq(bind(receiver.listener, (struct sockaddr *)&address, sizeof(address)), 0);
        cr_assert_eq(stat(receiver.path, &after), 0);
    }
    buffer_clear(&receiver.received);
    for (uint64_t i = 1; i < 6; i++)
        cr_assert_eq(next_user(&receiver, false), i);
    receiver_end(&receiver);
}

Test(sink_syslog, what_is_not_acknowledged_is_not_confirmed)
{
    struct receiver receiver;
    struct exporter_sink_status status;
    int small = 1;

    receiver_tcp(&receiver);
    setsockopt(receiver.listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)); /* the kernel's least */
    receiver.syslog.timeout_ms = 300;
    receiver.syslog.shape.format = SYSLOG_JSON;
    receiver_start(&receiver);
    receiver_accept(&receiver);
    push(&receiver, 0, 100);
    WAIT_FOR((exporter_sink_status(receiver.exporter, 0, &status),
        status.failures > 0 && status.lag_bytes > 0)); /* the lag is measured now and then */
    cr_expect_lt(status.delivered, 100);
    receiver_end(&receiver);
}
