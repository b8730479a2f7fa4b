/* SPDX-License-Identifier: Apache-2.0 */
/* TLS streams: handshakes, read-ahead, ends and failures, also where every byte comes alone. */
#include <criterion/criterion.h>
#include <event2/event.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "certificates.h"
#include "end.h"

#define LARGE ((size_t)2 << 20)

struct tls_pair {
    struct event_base *base;
    struct certificates certificates;
    struct diag_list *diag;
    struct tls_server *server_context;
    struct tls_client *client_context;
    struct end server, client;
    struct buffer pattern;
    int relay[2]; /* between the two, where there is a relay */
    size_t chunk; /* bytes that the relay passes on at once */
};

static void make_contexts(struct tls_pair *pair, const char *host)
{
    pair->server_context = tls_server_new(&pair->certificates.listener, pair->diag);
    pair->client_context = tls_client_new(&pair->certificates.upstream_tls, host, pair->diag);
    if (diag_errors(pair->diag) > 0)
        diag_print(pair->diag, stderr);
    cr_assert(pair->server_context != NULL && pair->client_context != NULL);
}

static void prepare(struct tls_pair *pair)
{
    signal(SIGPIPE, SIG_IGN); /* as the daemon does: OpenSSL writes with write(2) */
    *pair = (struct tls_pair){.base = event_base_new(), .diag = diag_list_new(), .relay = {-1, -1}};
    certificates_make(&pair->certificates);
}

static void connect_pair(struct tls_pair *pair)
{
    int fds[2];

    end_sockets(fds);
    end_open(&pair->server, pair->base, fds[0], tls_server_accept(pair->server_context));
    end_open(&pair->client, pair->base, fds[1], tls_client_connect(pair->client_context));
}

static void set_up(struct tls_pair *pair)
{
    prepare(pair);
    make_contexts(pair, "localhost");
    connect_pair(pair);
}

static void tear_down(struct tls_pair *pair)
{
    end_close(&pair->server);
    end_close(&pair->client);
    for (int i = 0; i < 2; i++)
        if (pair->relay[i] >= 0)
            close(pair->relay[i]);
    tls_server_free(pair->server_context);
    tls_client_free(pair->client_context);
    diag_list_free(pair->diag);
    certificates_remove(&pair->certificates);
    buffer_release(&pair->pattern);
    event_base_free(pair->base);
}

static bool both_open(void *argument)
{
    const struct tls_pair *pair = argument;

    return pair->server.opened > 0 && pair->client.opened > 0;
}

static bool server_has_all(void *argument)
{
    const struct tls_pair *pair = argument;

    return buffer_length(&pair->server.received) >= buffer_length(&pair->pattern);
}

static bool server_ended(void *argument)
{
    return ((struct tls_pair *)argument)->server.ended;
}

static bool server_failed(void *argument)
{
    return ((struct tls_pair *)argument)->server.failed > 0;
}

static bool client_failed(void *argument)
{
    return ((struct tls_pair *)argument)->client.failed > 0;
}

static bool server_read_something(void *argument)
{
    return buffer_length(&((struct tls_pair *)argument)->server.received) > 0;
}

Test(stream_tls, both_ends_hear_of_the_handshake_once)
{
    struct tls_pair pair;

    set_up(&pair);
    cr_expect_not(stream_is_open(pair.server.stream));
    END_WAIT(pair.base, &pair, both_open);
    end_turn(pair.base, 20);
    cr_expect(pair.server.opened == 1 && pair.client.opened == 1);
    cr_expect_eq(pair.server.readable, 0, "a ticket is not for the reader");
    cr_expect_eq(pair.server.failed + pair.client.failed, 0);
    tear_down(&pair);
}

Test(stream_tls, what_is_written_before_the_handshake_comes_behind_it)
{
    struct tls_pair pair;

    set_up(&pair);
    pair.pattern = end_pattern(100000);
    stream_write(pair.client.stream, buffer_view(&pair.pattern));
    cr_expect_eq(stream_queued(pair.client.stream), 100000);
    END_WAIT(pair.base, &pair, server_has_all);
    cr_expect(end_same(&pair.server.received, &pair.pattern));
    tear_down(&pair);
}

Test(stream_tls, a_large_write_arrives_whole_and_in_order)
{
    struct tls_pair pair;

    set_up(&pair);
    END_WAIT(pair.base, &pair, both_open);
    pair.pattern = end_pattern(LARGE);
    pair.server.portion = 5000;
    for (size_t at = 0; at < LARGE; at += LARGE / 8)
        stream_write(pair.client.stream, view_of(pair.pattern.data + at, LARGE / 8));
    cr_expect_gt(stream_queued(pair.client.stream), 0);
    cr_expect_neq(stream_stalled_since(pair.client.stream), 0);
    END_WAIT(pair.base, &pair, server_has_all);
    cr_expect(end_same(&pair.server.received, &pair.pattern));
    end_turn(pair.base, 20);
    cr_expect_eq(stream_queued(pair.client.stream), 0);
    cr_expect_eq(stream_stalled_since(pair.client.stream), 0);
    tear_down(&pair);
}

/* One read(2) brings many records: most of these bytes wait inside OpenSSL while the socket is silent. */
Test(stream_tls, bytes_that_wait_inside_tls_are_found_after_each_pause)
{
    struct tls_pair pair;

    set_up(&pair);
    END_WAIT(pair.base, &pair, both_open);
    pair.pattern = end_pattern(8000);
    stream_set_reading(pair.server.stream, false);
    pair.server.once = true;
    pair.server.portion = 100;
    for (size_t at = 0; at < 8000; at += 50)
        stream_write(pair.client.stream, view_of(pair.pattern.data + at, 50));
    for (size_t before = 0; before < 8000; before = buffer_length(&pair.server.received)) {
        stream_set_reading(pair.server.stream, true);
        end_turn(pair.base, 6);
        cr_assert_gt(buffer_length(&pair.server.received), before, "nothing more behind %zu bytes", before);
        cr_assert_leq(buffer_length(&pair.server.received), before + 100, "read although paused");
    }
    cr_expect(end_same(&pair.server.received, &pair.pattern));
    tear_down(&pair);
}

Test(stream_tls, shutdown_is_close_notify_behind_the_queue)
{
    struct tls_pair pair;

    set_up(&pair);
    END_WAIT(pair.base, &pair, both_open);
    pair.pattern = end_pattern(LARGE);
    stream_write(pair.client.stream, buffer_view(&pair.pattern));
    stream_shutdown(pair.client.stream);
    END_WAIT(pair.base, &pair, server_ended);
    cr_expect(end_same(&pair.server.received, &pair.pattern));
    cr_expect(SSL_get_shutdown(stream_ssl(pair.server.stream)) & SSL_RECEIVED_SHUTDOWN);
    tear_down(&pair);
}

/* A peer that sends its last bytes and close_notify together and then waits, with its socket open. */
Test(stream_tls, an_end_in_the_same_flight_as_the_last_bytes_is_seen)
{
    struct tls_pair pair;

    set_up(&pair);
    END_WAIT(pair.base, &pair, both_open);
    stream_set_reading(pair.server.stream, false);
    end_turn(pair.base, 10);
    pair.pattern = end_pattern(10);
    stream_write(pair.client.stream, buffer_view(&pair.pattern));
    SSL_shutdown(stream_ssl(pair.client.stream));
    stream_set_reading(pair.server.stream, true);
    END_WAIT(pair.base, &pair, server_ended);
    cr_expect(end_same(&pair.server.received, &pair.pattern));
    tear_down(&pair);
}

Test(stream_tls, an_end_that_was_read_behind_bytes_is_not_lost_in_a_pause)
{
    struct tls_pair pair;
    SSL *ssl;

    set_up(&pair);
    END_WAIT(pair.base, &pair, both_open);
    end_turn(pair.base, 10);
    pair.server.once = true;
    ssl = stream_ssl(pair.client.stream);
    cr_assert_eq(SSL_write(ssl, "last", 4), 4);
    cr_assert_eq(SSL_shutdown(ssl), 0); /* close_notify; the socket stays open */
    END_WAIT(pair.base, &pair, server_read_something);
    end_turn(pair.base, 20);
    cr_expect_not(pair.server.ended);
    stream_set_reading(pair.server.stream, true);
    END_WAIT(pair.base, &pair, server_ended);
    tear_down(&pair);
}

Test(stream_tls, an_end_without_close_notify_is_an_end)
{
    struct tls_pair pair;

    set_up(&pair);
    END_WAIT(pair.base, &pair, both_open);
    end_turn(pair.base, 10);
    shutdown(stream_fd(pair.client.stream), SHUT_RDWR);
    END_WAIT(pair.base, &pair, server_ended);
    cr_expect_eq(pair.server.failed, 0);
    tear_down(&pair);
}

Test(stream_tls, bytes_that_are_not_tls_fail_the_handshake)
{
    struct tls_pair pair;
    int fds[2];

    prepare(&pair);
    make_contexts(&pair, "localhost");
    end_sockets(fds);
    end_open(&pair.server, pair.base, fds[0], tls_server_accept(pair.server_context));
    cr_assert_eq(send(fds[1], "\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00", 15, 0), 15);
    END_WAIT(pair.base, &pair, server_failed);
    cr_expect_not_null(strstr(stream_error(pair.server.stream), "TLS"));
    cr_expect_not(stream_certificate_rejected(pair.server.stream));
    cr_expect_eq(pair.server.opened, 0);
    close(fds[1]);
    tear_down(&pair);
}

Test(stream_tls, a_peer_that_goes_in_the_middle_of_the_handshake_fails_it)
{
    struct tls_pair pair;
    int fds[2];

    prepare(&pair);
    make_contexts(&pair, "localhost");
    end_sockets(fds);
    end_open(&pair.server, pair.base, fds[0], tls_server_accept(pair.server_context));
    cr_assert_eq(send(fds[1], "\x16\x03\x01", 3, 0), 3);
    end_turn(pair.base, 10);
    cr_expect_eq(pair.server.failed, 0);
    close(fds[1]);
    END_WAIT(pair.base, &pair, server_failed);
    cr_expect_str_neq(stream_error(pair.server.stream), "");
    tear_down(&pair);
}

Test(stream_tls, a_client_without_the_required_certificate_is_rejected)
{
    struct tls_pair pair;

    prepare(&pair);
    pair.certificates.listener_tls.client_certificate = CONFIG_CERTIFICATE_REQUIRED;
    make_contexts(&pair, "localhost");
    connect_pair(&pair);
    END_WAIT(pair.base, &pair, server_failed);
    cr_expect(stream_certificate_rejected(pair.server.stream));
    cr_expect_not_null(strstr(stream_error(pair.server.stream), "certificate"));
    tear_down(&pair);
}

static void expect_rejected(const char *certificate, const char *key, const char *text)
{
    struct tls_pair pair;

    prepare(&pair);
    pair.certificates.upstream_tls.certificate = certificates_path(&pair.certificates, certificate, 4);
    pair.certificates.upstream_tls.key = certificates_path(&pair.certificates, key, 5);
    make_contexts(&pair, "localhost");
    connect_pair(&pair);
    END_WAIT(pair.base, &pair, server_failed);
    cr_expect(stream_certificate_rejected(pair.server.stream));
    cr_expect_not_null(
        strstr(stream_error(pair.server.stream), text), "%s", stream_error(pair.server.stream));
    tear_down(&pair);
}

Test(stream_tls, an_expired_certificate_of_a_client_is_rejected_even_where_none_is_required)
{
    expect_rejected("expired.pem", "expired.key", "expired");
}

Test(stream_tls, a_certificate_of_nobody_is_rejected_even_where_none_is_required)
{
    expect_rejected("other.pem", "other.key", "self-signed");
}

Test(stream_tls, a_broker_with_another_name_is_rejected)
{
    struct tls_pair pair;

    prepare(&pair);
    make_contexts(&pair, "broker.example");
    connect_pair(&pair);
    END_WAIT(pair.base, &pair, client_failed);
    cr_expect(stream_certificate_rejected(pair.client.stream));
    cr_expect_not_null(
        strstr(stream_error(pair.client.stream), "hostname"), "%s", stream_error(pair.client.stream));
    cr_expect_eq(pair.client.opened, 0);
    tear_down(&pair);
}

Test(stream_tls, a_broker_is_verified_by_address_too)
{
    struct tls_pair pair;

    prepare(&pair);
    make_contexts(&pair, "127.0.0.1");
    connect_pair(&pair);
    END_WAIT(pair.base, &pair, both_open);
    tear_down(&pair);
    prepare(&pair);
    make_contexts(&pair, "127.0.0.2");
    connect_pair(&pair);
    END_WAIT(pair.base, &pair, client_failed);
    cr_expect(stream_certificate_rejected(pair.client.stream));
    tear_down(&pair);
}

Test(stream_tls, a_broker_of_nobodys_is_rejected_and_accepted_without_verification)
{
    struct tls_pair pair;

    for (int verify = 1; verify >= 0; verify--) {
        prepare(&pair);
        pair.certificates.listener_tls.certificate = certificates_path(&pair.certificates, "other.pem", 2);
        pair.certificates.listener_tls.key = certificates_path(&pair.certificates, "other.key", 3);
        pair.certificates.upstream_tls.verify = verify;
        make_contexts(&pair, "localhost");
        connect_pair(&pair);
        if (verify) {
            END_WAIT(pair.base, &pair, client_failed);
            cr_expect(stream_certificate_rejected(pair.client.stream));
        } else
            END_WAIT(pair.base, &pair, both_open);
        tear_down(&pair);
    }
}

/* ---- a relay that passes a byte at a time ---- */

static void pass(const struct tls_pair *pair, int from, int to)
{
    uint8_t bytes[64];
    ssize_t got = recv(from, bytes, pair->chunk, 0);

    if (got > 0)
        cr_assert_eq(send(to, bytes, (size_t)got, MSG_NOSIGNAL), got);
    else if (got == 0)
        shutdown(to, SHUT_WR);
}

static void turn_relayed(struct tls_pair *pair)
{
    for (int i = 0; i < 100; i++) {
        pass(pair, pair->relay[0], pair->relay[1]);
        pass(pair, pair->relay[1], pair->relay[0]);
        event_base_loop(pair->base, EVLOOP_NONBLOCK);
    }
}

Test(stream_tls, a_peer_whose_bytes_come_one_by_one_is_like_any_other)
{
    struct tls_pair pair;
    int left[2], right[2];

    prepare(&pair);
    make_contexts(&pair, "localhost");
    end_sockets(left);
    end_sockets(right);
    end_open(&pair.server, pair.base, left[0], tls_server_accept(pair.server_context));
    end_open(&pair.client, pair.base, right[0], tls_client_connect(pair.client_context));
    pair.relay[0] = left[1];
    pair.relay[1] = right[1];
    pair.chunk = 1;
    pair.pattern = end_pattern(3000);
    stream_write(pair.client.stream, buffer_view(&pair.pattern));
    stream_write(pair.server.stream, buffer_view(&pair.pattern));
    stream_shutdown(pair.client.stream);
    for (int i = 0; i < 1000 && !pair.server.ended; i++)
        turn_relayed(&pair);
    cr_expect(pair.server.ended);
    cr_expect(end_same(&pair.server.received, &pair.pattern));
    for (int i = 0; i < 1000 && buffer_length(&pair.client.received) < 3000; i++)
        turn_relayed(&pair);
    cr_expect(end_same(&pair.client.received, &pair.pattern));
    cr_expect_eq(pair.server.failed + pair.client.failed, 0);
    tear_down(&pair);
}

Test(stream_tls, a_record_that_was_tampered_with_fails_the_stream)
{
    struct tls_pair pair;

    set_up(&pair);
    END_WAIT(pair.base, &pair, both_open);
    end_turn(pair.base, 10);
    stream_write(pair.client.stream, VIEW("good"));
    END_WAIT(pair.base, &pair, server_read_something);
    cr_assert_eq(
        send(stream_fd(pair.client.stream), "\x17\x03\x03\x00\x20 0123456789012345678901234567890", 37, 0),
        37);
    END_WAIT(pair.base, &pair, server_failed);
    cr_expect(view_equal(buffer_view(&pair.server.received), VIEW("good")));
    cr_expect_not_null(strstr(stream_error(pair.server.stream), "TLS"));
    tear_down(&pair);
}

static bool updates_keys(const struct tls_pair *pair, int times, int request)
{
    SSL *ssl = stream_ssl(pair->client.stream);

    for (int i = 0; i < times; i++)
        if (SSL_key_update(ssl, request) != 1 || SSL_do_handshake(ssl) != 1)
            return false;
    return true;
}

Test(stream_tls, a_peer_may_update_its_keys)
{
    struct tls_pair pair;

    set_up(&pair);
    END_WAIT(pair.base, &pair, both_open);
    pair.pattern = end_pattern(60);
    for (size_t i = 0; i < 60; i++) {
        cr_assert(updates_keys(&pair, 1, SSL_KEY_UPDATE_NOT_REQUESTED));
        stream_write(pair.client.stream, view_of(pair.pattern.data + i, 1));
        end_turn(pair.base, 1);
    }
    END_WAIT(pair.base, &pair, server_has_all);
    cr_expect(end_same(&pair.server.received, &pair.pattern));
    cr_expect_eq(pair.server.failed, 0);
    tear_down(&pair);
}

static bool client_has_all(void *argument)
{
    const struct tls_pair *pair = argument;

    return buffer_length(&pair->client.received) == buffer_length(&pair->pattern);
}

Test(stream_tls, a_peer_may_ask_for_new_keys_while_it_does_not_read)
{
    struct tls_pair pair;

    set_up(&pair);
    END_WAIT(pair.base, &pair, both_open);
    stream_set_reading(pair.client.stream, false);
    pair.pattern = end_pattern(1 << 20);
    stream_write(pair.server.stream, buffer_view(&pair.pattern));
    end_turn(pair.base, 20);
    cr_assert_gt(stream_queued(pair.server.stream), 0, "the socket should be full");
    for (int i = 0; i < 3; i++) {
        cr_assert(updates_keys(&pair, 1, SSL_KEY_UPDATE_REQUESTED));
        stream_write(pair.client.stream, VIEW("x"));
        end_turn(pair.base, 5);
    }
    stream_set_reading(pair.client.stream, true);
    END_WAIT(pair.base, &pair, client_has_all);
    cr_expect(end_same(&pair.client.received, &pair.pattern));
    cr_expect_eq(buffer_length(&pair.server.received), 3);
    cr_expect_eq(pair.server.failed, 0);
    tear_down(&pair);
}

Test(stream_tls, a_peer_that_does_nothing_but_update_its_keys_does_not_hold_the_thread)
{
    struct tls_pair pair;

    set_up(&pair);
    END_WAIT(pair.base, &pair, both_open);
    end_turn(pair.base, 10);
    cr_assert(updates_keys(&pair, 40, SSL_KEY_UPDATE_NOT_REQUESTED));
    END_WAIT(pair.base, &pair, server_failed);
    cr_expect_not_null(strstr(stream_error(pair.server.stream), "without data"));
    tear_down(&pair);
}
