/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker counts, for metrics. Its thread alone writes it, on lines of the cache that no other thread
 * writes; the main thread reads it. */
#ifndef MQWARD_PROXY_COUNTERS_H
#define MQWARD_PROXY_COUNTERS_H

#include "proxy/session/session_counters.h"

enum counters_direction { COUNTERS_FROM_CLIENT, COUNTERS_FROM_BROKER, COUNTERS_DIRECTIONS };
enum counters_handshake { COUNTERS_FULL, COUNTERS_RESUMED, COUNTERS_FAILED, COUNTERS_HANDSHAKES };
#define COUNTERS_PACKET_TYPES 16

struct counters {
    struct session_counters session;
    struct counter packets[COUNTERS_DIRECTIONS][COUNTERS_PACKET_TYPES]; /* that came, by enum mqtt_type */
    struct counter bytes[COUNTERS_DIRECTIONS];                          /* the same, and what was no packet */
    struct counter accepted, freed;                                     /* connections of clients */
    struct counter opened, ended;                                       /* sessions: CONNACK said yes */
    struct counter closed[REASON_COUNT];                                /* connections, why */
    struct counter handshakes[COUNTERS_HANDSHAKES];
    struct counter login_failures[REASON_COUNT];
    struct histogram decision[COUNTERS_DIRECTIONS]; /* histogram_short; one in SESSION_DECISION_SAMPLE */
    uint32_t decision_sample;                       /* of the writer: until the next one is timed */
    struct histogram scan;                          /* on the loop; histogram_long */
    struct histogram handshake, broker_connect;     /* histogram_long */
};

struct counters *counters_new(void);
void counters_free(struct counters *counters); /* NULL is fine */

#endif
