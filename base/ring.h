/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of records between one producer thread and one consumer thread, over memory that may be a mapped
 * file. A record is in the ring when ring_push() returns: in a mapped file it survives the death of the
 * process (kill -9) and is read by whoever opens the file next. Positions are bytes since creation (u64) and
 * never wrap in practice.
 *
 * Layout of the memory: a header page (magic, version, capacity, head, tail on cache lines of their own, each
 * with two marks that carry checks, a checksum of the constant part), then capacity bytes. A record: u32
 * length, u32 checksum of position, serial, length and payload, u64 serial, payload, padded to 8. A record
 * that does not fit before the end of the memory is preceded by a skip mark. */
#ifndef MQWARD_BASE_RING_H
#define MQWARD_BASE_RING_H

#include "base/view.h"

struct ring;

/* A record found in the ring; payload points into the ring until ring_pop(). */
struct ring_record {
    uint64_t serial; /* 1, 2, 3 ... since the ring was created */
    struct view payload;
};

/* An anonymous ring. capacity: bytes, a power of two, 4 KiB to 1 GiB. */
struct ring *ring_new(size_t capacity);
/* A ring in a file: opened and checked if it exists and is a ring of ours (its capacity then stays what it
 * was), made otherwise. Returns NULL and a sentence in error (NUL-terminated, error_size bytes) if the file
 * can't be used: a damaged file is renamed to <path>.damaged-<time> and a new one made, with *damaged set, so
 * that nothing is thrown away. If only records are damaged, those before the first damaged one are carried
 * over and serials go on behind the last one, so that the gap shows; if the header is damaged, serials start
 * at 1 again. The new file says so for good: *damaged is set whenever it is opened, so that whoever dies
 * before the gap is told leaves that to the next start. A push that was cut off by kill -9 shows either not
 * at all or as a whole record. The file is locked (flock) against a second process. Its space is reserved
 * (posix_fallocate): a full disk is an error here and never a SIGBUS later. */
struct ring *ring_open(const char *path, size_t capacity, bool *damaged, char *error, size_t error_size);
void ring_close(struct ring *ring); /* NULL is fine; a file stays */

/* Producer. True if a record of size bytes would fit now. Up to capacity / 2 - RING_OVERHEAD always fit an
 * empty ring; a larger one may or may not, as the position has it. */
#define RING_OVERHEAD 16 /* bytes before each payload */
bool ring_has_room(const struct ring *ring, size_t size);
/* Bytes that could be pushed now as one record (0 when full). */
size_t ring_room(const struct ring *ring);
/* Producer. Room for a record of size bytes, or NULL if the ring is full; ring_commit() publishes its first
 * used bytes. */
uint8_t *ring_reserve(struct ring *ring, size_t size);
void ring_commit(struct ring *ring, size_t used);
/* Both in one; false if the ring is full. */
bool ring_push(struct ring *ring, struct view payload);

/* Consumer. Looks at the next record without taking it. 1: found, 0: empty, -1: the memory is damaged here (a
 * checksum or a length does not hold); the consumer then calls ring_discard() and declares the gap. */
int ring_peek(struct ring *ring, struct ring_record *out);
/* The record after the one that cursor names; *cursor starts at 0 for the first unread. For batches: look at
 * many, then ring_pop_to() the cursor. */
int ring_peek_at(struct ring *ring, uint64_t *cursor, struct ring_record *out);
void ring_pop_to(struct ring *ring, uint64_t cursor);
void ring_pop(struct ring *ring); /* takes the record that ring_peek() showed */
/* Drops everything unread; returns the number of bytes dropped. */
uint64_t ring_discard(struct ring *ring);

size_t ring_capacity(const struct ring *ring);
uint64_t ring_used(const struct ring *ring); /* bytes waiting */
/* Where the next record goes, and the first that waits: bytes since the ring was created. */
uint64_t ring_head(const struct ring *ring);
uint64_t ring_tail(const struct ring *ring);
/* The serial that the next pushed record will have. */
uint64_t ring_next_serial(const struct ring *ring);

#endif
