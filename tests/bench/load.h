/* SPDX-License-Identifier: Apache-2.0 */
/* The load generator's parts: load_options.c reads the command line, load_client.c drives one connection,
 * load_tls.c turns packets into bytes for the socket, load.c owns the loop and the schedule. */
#ifndef MQWARD_BENCH_LOAD_H
#define MQWARD_BENCH_LOAD_H

#include <openssl/ssl.h>

#include "wire.h"

enum load_mode {
    LOAD_BATCH,  /* as many packets as fit into one TLS record, one write a record */
    LOAD_SINGLE, /* one record and one write a packet, pipelined */
    LOAD_CORK,   /* one record a packet, many records a write */
    LOAD_PACED   /* one record and one write a packet, at a fixed rate over all connections */
};

struct load_options {
    const char *host; /* IPv4 address */
    uint16_t port;
    enum load_mode mode;
    unsigned connections;
    uint64_t messages; /* in total, 0: until the time is up */
    double seconds;    /* 0: until the messages are sent or SIGTERM */
    uint64_t rate;     /* messages a second, paced only */
    unsigned window;   /* QoS 1: messages of a connection without PUBACK */
    unsigned topics;   /* of each connection */
    struct wire_publish_form form;
    bool tls;
    const char *ca; /* NULL: the server's certificate is not verified */
    const char *certificate;
    const char *key;
};

/* Reads the command line; prints why not and exits with 2 (0 for --help). */
void load_options_read(struct load_options *options, int argc, char **argv);

/* ---- load_tls.c: every connection writes through one memory BIO, so that TLS records are made here and the
 * modes differ only in how many of them go into one write ---- */

struct load_tls;

struct load_tls *load_tls_new(
    const struct load_options *options); /* exits with a message if files don't load */
void load_tls_free(struct load_tls *tls);
/* Handshake on a blocking socket; from then on what is written lands in the memory BIO. NULL and a message on
 * stderr if it fails. Free with SSL_free(). */
SSL *load_tls_connect(struct load_tls *tls, int socket);
/* One record (payload of at most 16 KiB) at the end of the memory BIO. */
void load_tls_encrypt(SSL *ssl, const uint8_t *bytes, size_t length);
/* The records made since load_tls_taken(). They stay valid until the next call with this tls. */
size_t load_tls_records(struct load_tls *tls, const uint8_t **bytes);
void load_tls_taken(struct load_tls *tls);

/* ---- load_client.c ---- */

/* What all clients share; load.c owns it. */
struct load_run {
    const struct load_options *options;
    struct load_tls *tls; /* NULL: plain */
    struct wire_publish publish;
    uint64_t left; /* messages that may still be sent; UINT64_MAX: no limit */
    uint64_t sent;
    uint64_t acknowledged;
    uint64_t refused; /* PUBACK with a reason code of 0x80 or more */
    uint64_t skipped; /* paced: not sent when due, because the connection was still busy with earlier ones */
    uint64_t lost;    /* connections that ended before we ended them */
};

enum load_state { LOAD_RUNNING, LOAD_DRAINING, LOAD_CLOSING, LOAD_CLOSED };

#define LOAD_INPUT_MAX 512

struct load_client {
    enum load_state state;
    int socket;
    unsigned number;
    SSL *ssl;         /* NULL: plain */
    uint8_t *pending; /* bytes that the socket did not take, or NULL */
    size_t pending_start;
    size_t pending_length;
    uint64_t sent;
    uint64_t acknowledged;
    unsigned topic;
    uint16_t packet_id;
    uint8_t input[LOAD_INPUT_MAX]; /* an incomplete packet */
    size_t input_length;
    bool wants_write; /* as the loop has it */
};

/* Connects, shakes hands and waits for CONNACK, blocking. False and a message on stderr if that fails. */
bool load_client_open(struct load_run *run, struct load_client *client, unsigned number);
/* The socket can be read: acknowledgements, the end. */
void load_client_readable(struct load_run *run, struct load_client *client);
/* The socket can be written: sends a turn's worth of messages unless the mode is paced. */
void load_client_writable(struct load_run *run, struct load_client *client);
/* Paced: one message is due on this connection. */
void load_client_due(struct load_run *run, struct load_client *client);
/* No more messages: what is on its way is finished, then DISCONNECT and the end of the stream. */
void load_client_stop(struct load_run *run, struct load_client *client);
/* True if the loop should call load_client_writable(). */
bool load_client_wants_write(const struct load_run *run, const struct load_client *client);
/* Closes the socket and frees what the client holds; twice is fine. */
void load_client_release(struct load_client *client);

#endif
