/* SPDX-License-Identifier: Apache-2.0 */
/* Who has a turn while many handshakes could go on at once. */
#include "proxy/stream_turns.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <unistd.h>

#include "certificates.h"
#include "end.h"

#define STORM 24 /* libevent asks epoll for 32 at first */

struct storm {
    struct event_base *base;
    struct stream_turns *turns;
    struct certificates certificates;
    struct diag_list *diag;
    struct tls_server *server_context;
    struct tls_client *client_context;
    struct stream *servers[STORM];
    SSL *clients[STORM];
    int client_fds[STORM];
    size_t opened, failed;
    struct stream *live; /* plain; there is always something to read */
    int live_fd;
    size_t live_turns;
};

/* The clock of the turns: each look at it takes a fifth of what they have for handshakes, whatever the
 * machine does meanwhile. */
static uint64_t looked_ns;
uint64_t __wrap_clock_monotonic_ns(void);
uint64_t __real_clock_monotonic_ns(void);

uint64_t __wrap_clock_monotonic_ns(void)
{
    return looked_ns == 0 ? __real_clock_monotonic_ns() : (looked_ns += STREAM_HANDSHAKE_NS / 5);
}

static void on_server(struct stream *stream, enum stream_event event, void *argument)
{
    struct storm *storm = argument;

    (void)stream;
    storm->opened += event == STREAM_OPENED;
    storm->failed += event == STREAM_FAILED;
}

static void on_live(struct stream *stream, enum stream_event event, void *argument)
{
    uint8_t byte;

    cr_assert_eq(event, STREAM_READABLE);
    cr_assert_eq(stream_read(stream, &byte, 1), 1);
    ((struct storm *)argument)->live_turns++;
}

static void begin(struct storm *storm, size_t index)
{
    int fds[2];

    end_sockets(fds);
    storm->servers[index] =
        stream_new(storm->turns, fds[0], tls_server_accept(storm->server_context), on_server, storm);
    storm->client_fds[index] = fds[1];
    storm->clients[index] = tls_client_connect(storm->client_context);
    SSL_set_fd(storm->clients[index], fds[1]);
    cr_assert_eq(SSL_do_handshake(storm->clients[index]), -1); /* it has said hello */
}

static void set_up(struct storm *storm)
{
    static uint8_t much[4096];
    int fds[2];

    signal(SIGPIPE, SIG_IGN);
    looked_ns = 1;
    *storm = (struct storm){.base = event_base_new(), .diag = diag_list_new()};
    storm->turns = stream_turns_new(storm->base);
    certificates_make(&storm->certificates);
    storm->server_context = tls_server_new(&storm->certificates.listener, storm->diag);
    storm->client_context = tls_client_new(&storm->certificates.upstream_tls, "localhost", storm->diag);
    cr_assert(storm->server_context != NULL && storm->client_context != NULL);
    end_sockets(fds);
    storm->live = stream_new(storm->turns, fds[0], NULL, on_live, storm);
    storm->live_fd = fds[1];
    cr_assert_eq(write(fds[1], much, sizeof(much)), (ssize_t)sizeof(much));
    for (size_t i = 0; i < STORM; i++)
        begin(storm, i);
}

static void tear_down(struct storm *storm)
{
    for (size_t i = 0; i < STORM; i++) {
        stream_free(storm->servers[i]);
        SSL_free(storm->clients[i]);
        close(storm->client_fds[i]);
    }
    stream_free(storm->live);
    close(storm->live_fd);
    stream_turns_free(storm->turns);
    tls_server_free(storm->server_context);
    tls_client_free(storm->client_context);
    diag_list_free(storm->diag);
    certificates_remove(&storm->certificates);
    event_base_free(storm->base);
}

static void turn(struct storm *storm)
{
    event_base_loop(storm->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

/* What the servers have answered is answered; the number of clients that are done. */
static size_t pump_clients(struct storm *storm)
{
    size_t done = 0;

    for (size_t i = 0; i < STORM; i++)
        done += SSL_is_init_finished(storm->clients[i]) || SSL_do_handshake(storm->clients[i]) == 1;
    return done;
}

Test(stream_turns, a_live_stream_has_its_turn_between_any_few_handshakes)
{
    struct storm storm;
    size_t turns = 0;

    set_up(&storm);
    turn(&storm);
    cr_assert_eq(stream_turns_handshakes(storm.turns), STORM, "all could go on");
    cr_assert_eq(stream_turns_unfinished(storm.turns), STORM);
    for (; stream_turns_handshakes(storm.turns) > 0; turns++) {
        size_t before = stream_turns_handshakes(storm.turns), live = storm.live_turns;

        turn(&storm);
        cr_assert_eq(storm.live_turns, live + 1);
        cr_assert_lt(stream_turns_handshakes(storm.turns), before, "handshakes stand still");
    }
    cr_assert_gt(turns, 2, "all of them at once");
    cr_assert_eq(storm.opened, 0, "the clients have not answered");
    tear_down(&storm);
}

Test(stream_turns, handshakes_that_have_begun_do_not_wait_for_all_new_ones)
{
    struct storm storm;

    set_up(&storm);
    for (int turns = 0; storm.opened < STORM; turns++) {
        cr_assert_leq(pump_clients(&storm) - storm.opened, STORM * 2 / 3);
        cr_assert_lt(turns, 4 * STORM, "in vain");
        turn(&storm);
    }
    cr_assert_eq(stream_turns_unfinished(storm.turns), 0);
    cr_assert_eq(storm.failed, 0);
    tear_down(&storm);
}

Test(stream_turns, who_ends_while_it_waits_is_out_of_the_row)
{
    struct storm storm;

    set_up(&storm);
    turn(&storm);
    for (size_t i = 0; i < STORM; i += 2) {
        stream_free(storm.servers[i]);
        storm.servers[i] = NULL;
    }
    cr_assert_eq(stream_turns_handshakes(storm.turns), STORM / 2);
    cr_assert_eq(stream_turns_unfinished(storm.turns), STORM / 2);
    while (stream_turns_handshakes(storm.turns) > 0)
        turn(&storm);
    tear_down(&storm);
}
