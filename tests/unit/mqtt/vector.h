/* SPDX-License-Identifier: Apache-2.0 */
/* Packets as data: reads tests/vectors/mqtt/<file>.txt, whose format is described in the README.md beside
 * them. */
#ifndef MQWARD_TESTS_UNIT_MQTT_VECTOR_H
#define MQWARD_TESTS_UNIT_MQTT_VECTOR_H

#include "base/buffer.h"
#include "proxy/mqtt/mqtt.h"

enum vector_result { VECTOR_OK, VECTOR_SHORT, VECTOR_UNWISE, VECTOR_BAD };

/* One packet in one version and direction; a line with several gives several. */
struct vector {
    char label[256]; /* "publish.txt:12: QoS 3 (5.0, client)" */
    enum mqtt_version version;
    enum mqtt_direction direction;
    enum vector_result result;
    char reason[32];    /* of a bad one: the name in base/reason.def */
    char statement[64]; /* and the statement */
    struct view packet; /* exactly its bytes on the heap, so that a sanitizer sees every read beyond */
};

/* Calls visit for every vector of every file. Returns how many there were. A line that can't be read fails
 * the test. */
size_t vector_each(void (*visit)(const struct vector *vector, void *user), void *user);

/* The bytes of the packet notation, appended to out; false if it is not well-formed. */
bool vector_packet(const char *notation, struct buffer *out);

/* A copy on the heap of exactly v's length; free data. */
struct view vector_copy(struct view v);

#endif
