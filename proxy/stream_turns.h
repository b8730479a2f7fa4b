/* SPDX-License-Identifier: Apache-2.0 */
/* Whose turn it is among the streams of one thread: those that want to be called although their socket is
 * silent, and those whose TLS handshake could go on. A handshake costs as much as hundreds of packets, so few
 * of them go on in one turn of the loop, and everybody else has a turn in between. */
#ifndef MQWARD_PROXY_STREAM_TURNS_H
#define MQWARD_PROXY_STREAM_TURNS_H

#include <stddef.h>

struct event_base;
struct stream;
struct stream_turns;

/* Handshakes go on for so long in a turn of the loop, and in so many steps at most, but in one at least;
 * where they had to wait for longer turns of the others, for that share of it, and in as many steps more. A
 * step of a peer that sends single bytes is a short one. */
#define STREAM_HANDSHAKE_NS 500000
#define STREAM_HANDSHAKE_SHARE 4
#define STREAM_HANDSHAKES_AT_ONCE 32

/* base outlives it, and it outlives its streams. */
struct stream_turns *stream_turns_new(struct event_base *base);
void stream_turns_free(struct stream_turns *turns); /* NULL is fine */
/* Handshakes that wait for their turn: their peers have done their part. */
size_t stream_turns_handshakes(const struct stream_turns *turns);
/* Handshakes that are not done, whoever it is that they wait for. */
size_t stream_turns_unfinished(const struct stream_turns *turns);

#endif
