/* SPDX-License-Identifier: Apache-2.0 */
/* Owns a TLS session with a server and the BIO under it. Called by outlet.c and outlet_io.c. */
#include "exporters/tls_wire.h"

#include <assert.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/memory.h"

#define WIRE_MAGIC 0x746c7377U
#define WIRE_TURN ((size_t)64 * 1024) /* bytes of the socket in a turn */
/* Handshake messages of the server's in a minute. A handshake has a dozen, an honest server sends a few
 * tickets then, and new keys once in millions of records. */
#define WIRE_MESSAGES 64U
#define WIRE_MESSAGES_MS 60000U

struct tls_wire {
    uint32_t magic;
    int socket;
    SSL *tls;
    BIO *bio;      /* the session's own */
    size_t budget; /* bytes that may still be read in this turn */
    unsigned messages;
    uint64_t messages_ms; /* they are counted since then */
    bool is_flooded;      /* there were too many of them */
    bool was_asked;       /* for a certificate */
    bool has_ticket;
    bool has_ended; /* the server's bytes have an end without good-bye */
    int error;      /* errno of the socket's last failure */
};

/* ---- the BIO ---- */

static BIO_METHOD *wire_method;
static pthread_once_t wire_method_once = PTHREAD_ONCE_INIT;

static int wire_bio_read(BIO *bio, char *out, int size)
{
    struct tls_wire *wire = BIO_get_data(bio);
    size_t most = (size_t)size < wire->budget ? (size_t)size : wire->budget;

    BIO_clear_retry_flags(bio);
    if (wire->is_flooded)
        return -1;
    if (most == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    ssize_t got = recv(wire->socket, out, most, MSG_DONTWAIT);
    if (got > 0) {
        wire->budget -= (size_t)got;
    } else if (got == 0) {
        wire->has_ended = true;
    } else if (errno == EAGAIN || errno == EINTR) {
        BIO_set_retry_read(bio);
    } else {
        wire->error = errno;
    }
    return (int)got;
}

static int wire_bio_write(BIO *bio, const char *bytes, int size)
{
    struct tls_wire *wire = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    ssize_t sent = send(wire->socket, bytes, (size_t)size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
        BIO_set_retry_write(bio);
    else if (sent < 0)
        wire->error = errno;
    return (int)sent;
}

static long wire_bio_control(BIO *bio, int command, long number, void *pointer)
{
    const struct tls_wire *wire = BIO_get_data(bio);

    (void)number, (void)pointer;
    if (command == BIO_CTRL_FLUSH)
        return 1;
    return command == BIO_CTRL_EOF ? wire->has_ended : 0;
}

static void make_method(void)
{
    wire_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "mqward wire");
    if (wire_method == NULL)
        return;
    BIO_meth_set_read(wire_method, wire_bio_read);
    BIO_meth_set_write(wire_method, wire_bio_write);
    BIO_meth_set_ctrl(wire_method, wire_bio_control);
}

/* ---- messages ---- */

static void on_message(
    int written, int version, int content_type, const void *bytes, size_t length, SSL *tls, void *argument)
{
    struct tls_wire *wire = argument;
    uint64_t now_ms;

    (void)version, (void)tls;
    if (written || content_type != SSL3_RT_HANDSHAKE || length == 0)
        return;
    now_ms = clock_monotonic_ms();
    if (now_ms - wire->messages_ms >= WIRE_MESSAGES_MS) {
        wire->messages_ms = now_ms;
        wire->messages = 0;
    }
    if (++wire->messages > WIRE_MESSAGES)
        wire->is_flooded = true;
    switch (*(const uint8_t *)bytes) {
    case SSL3_MT_CERTIFICATE_REQUEST:
        wire->was_asked = true;
        break;
    case SSL3_MT_NEWSESSION_TICKET:
        wire->has_ticket = true;
        break;
    default:
        break;
    }
}

bool tls_wire_is_accepted(const struct tls_wire *wire)
{
    return SSL_version(wire->tls) < TLS1_3_VERSION || !wire->was_asked || wire->has_ticket;
}

/* ---- calls ---- */

void tls_wire_begin_turn(struct tls_wire *wire)
{
    assert(wire->magic == WIRE_MAGIC);
    wire->budget = WIRE_TURN;
}

static enum tls_wire_result judge(struct tls_wire *wire, int result)
{
    if (wire->is_flooded)
        return TLS_WIRE_FAILED;
    if (result > 0)
        return TLS_WIRE_DONE;
    switch (SSL_get_error(wire->tls, result)) {
    case SSL_ERROR_WANT_READ:
        return TLS_WIRE_WANTS_INPUT;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WIRE_WANTS_OUTPUT;
    default:
        return TLS_WIRE_FAILED;
    }
}

static void forget_errors(struct tls_wire *wire)
{
    assert(wire->magic == WIRE_MAGIC);
    ERR_clear_error();
    wire->error = 0;
}

enum tls_wire_result tls_wire_handshake(struct tls_wire *wire)
{
    forget_errors(wire);
    return judge(wire, SSL_connect(wire->tls));
}

enum tls_wire_result tls_wire_read(struct tls_wire *wire, void *out, size_t size, size_t *count)
{
    assert(size >= TLS_WIRE_RECORD);
    forget_errors(wire);
    *count = 0;
    int got = SSL_read(wire->tls, out, (int)TLS_WIRE_RECORD);
    if (got > 0)
        *count = (size_t)got;
    return judge(wire, got);
}

enum tls_wire_result tls_wire_write(struct tls_wire *wire, struct view bytes, size_t *count)
{
    assert(bytes.length > 0);
    forget_errors(wire);
    *count = 0;
    int sent = SSL_write(
        wire->tls, bytes.data, (int)(bytes.length < TLS_WIRE_RECORD ? bytes.length : TLS_WIRE_RECORD));
    if (sent > 0)
        *count = (size_t)sent;
    return judge(wire, sent);
}

uint64_t tls_wire_sent(const struct tls_wire *wire)
{
    return BIO_number_written(wire->bio);
}

void tls_wire_describe(struct tls_wire *wire, char *detail, size_t size)
{
    if (wire->is_flooded)
        snprintf(detail, size, "TLS: the server sends handshake messages without end");
    else if (wire->has_ended && SSL_get_verify_result(wire->tls) == X509_V_OK)
        snprintf(detail, size, "the server closed the connection");
    else if (client_tls_describe(wire->tls, detail, size))
        return;
    else if (wire->error != 0)
        snprintf(detail, size, "%s", strerror(wire->error));
    else
        snprintf(detail, size, "the server closed the connection");
    ERR_clear_error();
}

/* ---- life ---- */

struct tls_wire *tls_wire_new(SSL_CTX *context, const char *name, int socket)
{
    struct tls_wire *wire;
    SSL *tls = client_tls_session(context, name);
    BIO *bio;

    pthread_once(&wire_method_once, make_method);
    bio = tls == NULL || wire_method == NULL ? NULL : BIO_new(wire_method);
    if (bio == NULL) {
        SSL_free(tls);
        return NULL;
    }
    wire = memory_calloc(1, sizeof(*wire));
    wire->magic = WIRE_MAGIC;
    wire->socket = socket;
    wire->tls = tls;
    wire->bio = bio;
    wire->messages_ms = clock_monotonic_ms();
    BIO_set_data(bio, wire);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls, bio, bio);
    SSL_set_msg_callback(tls, on_message);
    SSL_set_msg_callback_arg(tls, wire);
    return wire;
}

void tls_wire_free(struct tls_wire *wire)
{
    if (wire == NULL)
        return;
    assert(wire->magic == WIRE_MAGIC);
    wire->budget = 0; /* nothing more is read */
    if (SSL_is_init_finished(wire->tls))
        (void)SSL_shutdown(wire->tls);
    ERR_clear_error();
    SSL_free(wire->tls);
    wire->magic = 0;
    free(wire);
}
