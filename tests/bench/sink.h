/* SPDX-License-Identifier: Apache-2.0 */
/* A client of the sink broker: reads, counts and answers. sink.c owns the loop, sink_client.c the bytes. */
#ifndef MQWARD_BENCH_SINK_H
#define MQWARD_BENCH_SINK_H

#include "wire.h"

/* Over all clients, since the start. */
struct sink_totals {
    uint64_t accepted;  /* connections */
    uint64_t open;      /* connections */
    uint64_t failed;    /* connections closed because of what they sent or a socket error */
    uint64_t packets;   /* of every type */
    uint64_t publishes; /* counted at their fixed header */
    uint64_t bytes;     /* read */
    uint64_t delivered; /* PUBLISH packets sent to clients */
};

struct sink_client {
    int socket;
    bool connected;  /* CONNECT was seen */
    bool subscribed; /* gets its own PUBLISH packets back, and those of the client WIRE_FAN_CLIENT */
    bool fans_out;   /* is WIRE_FAN_CLIENT: its PUBLISH packets go to all that have subscribed */
    enum wire_version version;
    uint64_t packets;
    uint64_t publishes;
    size_t skip;   /* bytes of a QoS 0 PUBLISH that are still to come and of no interest */
    uint8_t *tail; /* an incomplete packet, or NULL */
    size_t tail_length;
    uint8_t *unsent; /* what the socket did not take, or NULL: while there is any, nothing is read */
    size_t unsent_start;
    size_t unsent_length;
    struct sink_client *next; /* list of open clients, kept by sink.c */
    struct sink_client *previous;
};

enum sink_state {
    SINK_READING,   /* wants to be called when readable */
    SINK_ANSWERING, /* wants to be called when writable */
    SINK_CLOSED,    /* the peer ended it */
    SINK_FAILED,    /* it broke MQTT, or the socket failed */
};

/* PUBLISH packets that are to go to all that have subscribed. */
struct sink_fan {
    uint8_t *bytes;
    size_t length;
    uint64_t packets;
};

/* Does what the socket allows now: sends what is unsent, or reads once and answers. What is to be fanned out
 * is put behind what is in fan; whoever owns the clients sends it. The caller closes the socket after CLOSED
 * and FAILED. */
enum sink_state sink_client_ready(
    struct sink_client *client, struct sink_totals *totals, struct sink_fan *fan);
/* Sends bytes, or keeps them behind what is unsent. */
enum sink_state sink_client_send(struct sink_client *client, const uint8_t *bytes, size_t length);
/* Frees what the client holds, not the client, not the socket. */
void sink_client_release(struct sink_client *client);

#endif
