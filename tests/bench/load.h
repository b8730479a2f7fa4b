/* SPDX-License-Identifier: Apache-2.0 */
/* The load generator's parts: load_options.c reads the command line; load.c owns the loop and the schedule of
 * the modes that send messages, load_open.c, load_client.c and load_read.c drive one connection, load_sign.c
 * signs; load_storm.c is the loop of the modes that only open connections; load_tls.c turns packets into
 * bytes for the socket. */
#ifndef MQWARD_BENCH_LOAD_H
#define MQWARD_BENCH_LOAD_H

#include <openssl/ssl.h>

#include "load_histogram.h"
#include "wire.h"

enum load_mode {
    LOAD_BATCH,      /* as many packets as fit into one TLS record, one write a record */
    LOAD_SINGLE,     /* one record and one write a packet, pipelined */
    LOAD_CORK,       /* one record a packet, many records a write */
    LOAD_PACED,      /* one record and one write a packet, at a fixed rate over all connections */
    LOAD_ROUNDTRIP,  /* as paced, and each message is waited for: QoS 0 until it comes back, QoS 1 until its
                        PUBACK */
    LOAD_FANOUT,     /* all connections subscribe, one more publishes past the proxy, at a fixed rate */
    LOAD_HANDSHAKES, /* opens and closes connections, so many at a time */
    LOAD_IDLE        /* opens connections and holds them */
};

struct load_address {
    const char *host; /* IPv4; NULL: not given */
    uint16_t port;
};

struct load_options {
    struct load_address target;
    struct load_address publisher; /* fan-out: where the publisher connects, without TLS */
    enum load_mode mode;
    unsigned connections;
    uint64_t messages; /* in total (handshakes: connections), 0: until the time is up */
    double seconds;    /* 0: until the messages are sent or SIGTERM */
    uint64_t rate;     /* messages a second, of the modes with a rate */
    unsigned window;   /* unanswered messages of a connection, where there are answers */
    unsigned topics;   /* of each connection */
    unsigned buffer;   /* bytes that a socket keeps unsent; 0: as the system has it */
    unsigned opening;  /* idle: connections that are opened at the same time */
    struct wire_publish_form form;
    bool tls;
    bool wait;      /* for a SIGUSR1 before the first message */
    bool resume;    /* handshakes: with the ticket of the connection before */
    const char *ca; /* NULL: the server's certificate is not verified */
    const char *certificate;
    const char *key;
    const char *sign; /* file with the master key in hex digits; NULL: nothing is signed */
};

/* Reads the command line; prints why not and exits with 2 (0 for --help). */
void load_options_read(struct load_options *options, int argc, char **argv);
/* True if messages are sent at a rate, and not as fast as they are taken. */
bool load_has_rate(enum load_mode mode);

/* Nanoseconds of the monotonic clock. */
int64_t load_now(void);
/* Prints why (errno) and exits with 1. */
void load_die(const char *what) __attribute__((noreturn));
/* Blocks SIGTERM, SIGINT and SIGUSR1; returns a descriptor that tells of them. */
int load_catch_signals(void);

/* ---- load_tls.c: every connection writes through one memory BIO, so that TLS records are made here and the
 * modes differ only in how many of them go into one write ---- */

struct load_tls;

struct load_tls *load_tls_new(
    const struct load_options *options); /* exits with a message if files don't load */
void load_tls_free(struct load_tls *tls);
/* A connection of its own on a socket: reads and writes it, no memory BIO. Free with SSL_free(). */
SSL *load_tls_attach(struct load_tls *tls, int socket);
/* Handshake on a blocking socket; from then on what is written lands in the memory BIO. NULL and a message on
 * stderr if it fails. Free with SSL_free(). */
SSL *load_tls_connect(struct load_tls *tls, int socket);
/* One record (payload of at most 16 KiB) at the end of the memory BIO. */
void load_tls_encrypt(SSL *ssl, const uint8_t *bytes, size_t length);
/* The records made since load_tls_taken(). They stay valid until the next call with this tls. */
size_t load_tls_records(struct load_tls *tls, const uint8_t **bytes);
void load_tls_taken(struct load_tls *tls);
/* Calls keep with each ticket that a server gives, and with what SSL_set_app_data() has put into its
 * connection; the session is keep's to free. */
void load_tls_on_ticket(struct load_tls *tls, void (*keep)(void *data, SSL_SESSION *session));

/* ---- load_sign.c: MPS1 signatures (payload-signatures, header and MAC input), in an envelope ---- */

struct load_sign;

/* The signer of all connections; the master key's kid is "bench", a connection's sub its number in digits.
 * Exits with a message if the key can't be read. NULL if options do not ask for signatures. */
struct load_sign *load_sign_new(const struct load_options *options);
void load_sign_free(struct load_sign *sign);
/* Bytes of the envelope's header, 0 for NULL. */
size_t load_sign_size(const struct load_sign *sign);
/* Signs the packet as it is, for the connection of this number: fresh time and nonce, then the tag. */
void load_sign_message(struct load_sign *sign, struct wire_publish *publish, unsigned number);

/* ---- load_open.c, load_client.c, load_read.c ---- */

#define LOAD_FAN_MESSAGES 65536 /* fan-out: whose time of sending is remembered */

/* What all clients share; load.c owns it. */
struct load_run {
    const struct load_options *options;
    struct load_tls *tls;   /* NULL: plain */
    struct load_sign *sign; /* NULL: unsigned */
    struct wire_publish publish;
    uint64_t left; /* messages that may still be sent; UINT64_MAX: no limit */
    uint64_t sent;
    uint64_t acknowledged; /* PUBACKs, or messages that came back */
    uint64_t received;     /* fan-out: deliveries */
    uint64_t refused;      /* PUBACK with a reason code of 0x80 or more */
    uint64_t
        skipped; /* modes with a rate: not sent when due, because the connection was busy with earlier ones */
    uint64_t lost; /* connections that ended before we ended them */
    struct histogram times;
    int64_t *fan_sent_at; /* of fan-out, LOAD_FAN_MESSAGES of them; else NULL */
};

enum load_state { LOAD_RUNNING, LOAD_DRAINING, LOAD_CLOSING, LOAD_CLOSED };

#define LOAD_INPUT_MAX 4096
#define LOAD_RECORD_SIZE 16384 /* plain bytes of a batch; TLS's largest record */

struct load_client {
    enum load_state state;
    int socket;
    unsigned number;
    SSL *ssl;         /* NULL: plain */
    uint8_t *pending; /* bytes that the socket did not take, or NULL */
    size_t pending_start;
    size_t pending_length;
    uint64_t sent;
    uint64_t acknowledged; /* as in struct load_run */
    uint64_t received;
    int64_t
        *sent_at; /* round trip: of the messages under way, by their number modulo the window; else NULL */
    unsigned topic;
    uint16_t packet_id;
    bool subscriber;               /* publishes nothing, gets what the publisher of the fan-out sends */
    uint8_t input[LOAD_INPUT_MAX]; /* an incomplete packet */
    size_t input_length;
    bool wants_write; /* as the loop has it */
};

/* Connects, shakes hands, waits for CONNACK and, where the mode wants it, subscribes: blocking. Connection
 * number options->connections is the publisher of a fan-out. False and a message on stderr if that fails. */
bool load_client_open(struct load_run *run, struct load_client *client, unsigned number);
/* The socket can be read: acknowledgements, deliveries, the end. */
void load_client_readable(struct load_run *run, struct load_client *client);
/* The socket can be written: sends a turn's worth of messages unless the mode has a rate. */
void load_client_writable(struct load_run *run, struct load_client *client);
/* Modes with a rate: one message is due on this connection. */
void load_client_due(struct load_run *run, struct load_client *client);
/* No more messages: what is on its way is finished, then DISCONNECT and the end of the stream. */
void load_client_stop(struct load_run *run, struct load_client *client);
/* True if the loop should call load_client_writable(). */
bool load_client_wants_write(const struct load_run *run, const struct load_client *client);
/* Closes the socket and frees what the client holds; twice is fine. */
void load_client_release(struct load_client *client);

/* For load_open.c and load_read.c: */

/* One record, one write; longer packets take several records. */
void load_client_send(struct load_run *run, struct load_client *client, const uint8_t *bytes, size_t length);
/* What reading made TLS say. */
void load_client_send_records(struct load_run *run, struct load_client *client);
/* The connection ended before it should. */
void load_client_lose(struct load_run *run, struct load_client *client);
/* Goes on with the end once nothing is under way. */
void load_client_advance_end(struct load_run *run, struct load_client *client);
/* Bytes from the peer: more than 0, 0 if there are none now, -1 at the end of the stream. */
ssize_t load_client_receive(struct load_client *client, uint8_t *out, size_t size);
/* A TCP connection without Nagle's delay: blocking with a timeout, or only begun. -1 and errno if that fails.
 */
int load_connect(const struct load_options *options, const struct load_address *address, bool blocking);

/* ---- load_storm.c ---- */

/* Runs the modes handshakes and idle. Returns the exit code. */
int load_storm_run(const struct load_options *options, struct load_tls *tls);

#endif
