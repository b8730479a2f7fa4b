/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the ring in memory: placing, publishing and taking records. Called by the workers (producer) and the
 * exporter thread (consumer); ring_file.c puts it into a file.
 *
 *      tail                 head                      positions grow for ever; offset = position mod capacity
 *       v                    v
 *   ....[entry|payload|pad][..]free......[skip mark|] the end of the memory
 *
 * Order of a push: payload, entry, skip mark, mark of the head, head in the header, head for the consumer.
 * Order of a pop: mark of the tail, tail in the header, tail for the producer. Every step is a release store,
 * so a process that is killed has done a prefix of them. */
#include "base/ring.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/ring_memory.h"

#define RING_ALIGNMENT 8

_Static_assert(sizeof(struct ring_header) <= RING_PAGE, "the header fits its page");
_Static_assert(sizeof(struct ring_entry) == RING_OVERHEAD, "an entry has no padding");

static inline uint64_t ring_mix(uint64_t state, uint64_t word)
{
    state = (state ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return state ^ state >> 32;
}

static inline uint64_t ring_read_word(const uint8_t *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return word;
}

/* Against damage, not against attackers: each step is one-to-one in the word that it takes in, so a change
 * within one word always changes the state; 32 of its bits are kept. Four lanes, so that multiplications
 * overlap. The position is in it so that what was left from an earlier lap never passes for a record. */
static uint32_t ring_check(uint64_t position, uint64_t serial, uint32_t length, const uint8_t *payload)
{
    uint64_t state = ring_mix(ring_mix(ring_mix(RING_VERSION, position), serial), length);
    uint64_t lane0 = 1, lane1 = 2, lane2 = 3, lane3 = 4, last = 0;
    size_t rest = payload == NULL ? 0 : length;

    for (; rest >= 32; rest -= 32, payload += 32) {
        lane0 = ring_mix(lane0, ring_read_word(payload));
        lane1 = ring_mix(lane1, ring_read_word(payload + 8));
        lane2 = ring_mix(lane2, ring_read_word(payload + 16));
        lane3 = ring_mix(lane3, ring_read_word(payload + 24));
    }
    state = ring_mix(ring_mix(ring_mix(ring_mix(state, lane0), lane1), lane2), lane3);
    for (; rest >= 8; rest -= 8, payload += 8)
        state = ring_mix(state, ring_read_word(payload));
    if (rest > 0)
        memcpy(&last, payload, rest);
    state = ring_mix(state, last);
    return (uint32_t)(state ^ state >> 32);
}

static uint64_t ring_mark_check(uint64_t serial, uint64_t position)
{
    return ring_mix(ring_mix(RING_VERSION, serial), position);
}

static uint64_t ring_header_check(const struct ring_header *header)
{
    uint64_t state = ring_mix(0, ring_read_word((const uint8_t *)header->magic));

    return ring_mix(ring_mix(state, (uint64_t)header->version << 32 | header->salvaged), header->capacity);
}

/* ---- head and tail in the header ---- */

static void ring_side_write(struct ring_side *side, unsigned mark, uint64_t position, uint64_t serial)
{
    struct ring_mark *written = &side->marks[mark];

    atomic_store_explicit(&written->serial, serial, memory_order_release);
    atomic_store_explicit(&written->position, position, memory_order_release);
    atomic_store_explicit(&written->check, ring_mark_check(serial, position), memory_order_release);
    atomic_store_explicit(&side->position, position, memory_order_release);
}

/* The index of the newest intact mark, or -1 if position equals none. A mark beyond position was written by a
 * process that was killed before the last step: it counts, its record is whole. */
static int ring_side_read(const struct ring_side *side)
{
    uint64_t position = atomic_load_explicit(&side->position, memory_order_relaxed), best = 0;
    bool found = false;
    int newest = -1;

    for (int i = 0; i < 2; i++) {
        uint64_t serial = atomic_load_explicit(&side->marks[i].serial, memory_order_relaxed);
        uint64_t marked = atomic_load_explicit(&side->marks[i].position, memory_order_relaxed);
        if (atomic_load_explicit(&side->marks[i].check, memory_order_relaxed) !=
            ring_mark_check(serial, marked))
            continue;
        found = found || marked == position;
        if (newest < 0 || marked > best) {
            newest = i;
            best = marked;
        }
    }
    return found ? newest : -1;
}

bool ring_capacity_valid(uint64_t capacity)
{
    return capacity >= RING_PAGE && capacity <= RING_CAPACITY_MAXIMUM && (capacity & (capacity - 1)) == 0;
}

void ring_format(struct ring_header *header, uint64_t capacity, bool salvaged)
{
    memcpy(header->magic, RING_MAGIC, sizeof(header->magic));
    header->version = RING_VERSION;
    header->salvaged = salvaged;
    header->capacity = capacity;
    header->check = ring_header_check(header);
    for (unsigned mark = 0; mark < 2; mark++) {
        ring_side_write(&header->head, mark, 0, 1);
        ring_side_write(&header->tail, mark, 0, 0);
    }
}

bool ring_header_holds(const struct ring_header *header)
{
    return memcmp(header->magic, RING_MAGIC, sizeof(header->magic)) == 0 && header->version == RING_VERSION &&
           ring_capacity_valid(header->capacity) && header->check == ring_header_check(header);
}

struct ring *ring_attach(void *memory, uint64_t capacity, int descriptor)
{
    struct ring_header *header = memory;
    int head_mark = ring_side_read(&header->head), tail_mark = ring_side_read(&header->tail);

    if (head_mark < 0 || tail_mark < 0)
        return NULL;
    uint64_t head = header->head.marks[head_mark].position, tail = header->tail.marks[tail_mark].position;
    if (head < tail || head - tail > capacity || head % RING_ALIGNMENT != 0 || tail % RING_ALIGNMENT != 0)
        return NULL;

    struct ring *ring = memory_calloc(1, sizeof(*ring));
    ring->header = header;
    ring->data = (uint8_t *)memory + RING_PAGE;
    ring->capacity = capacity;
    ring->descriptor = descriptor;
    ring->head = head;
    ring->next_serial = header->head.marks[head_mark].serial;
    ring->head_mark = head_mark == 0;
    ring->tail = tail;
    ring->tail_mark = tail_mark == 0;
    /* Where the last step of a killed process is missing, it is done now. */
    header->head.position = head;
    header->tail.position = tail;
    return ring;
}

struct ring *ring_new(size_t capacity)
{
    assert(ring_capacity_valid(capacity));
    void *memory =
        mmap(NULL, RING_PAGE + capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mqward: no memory for a ring");
        abort();
    }
    ring_format(memory, capacity, false);
    struct ring *ring = ring_attach(memory, capacity, -1);
    assert(ring != NULL);
    return ring;
}

void ring_close(struct ring *ring)
{
    if (ring == NULL)
        return;
    munmap(ring->header, RING_PAGE + ring->capacity);
    if (ring->descriptor >= 0)
        close(ring->descriptor); /* and with it the lock */
    free(ring);
}

/* ---- producer ---- */

static size_t ring_offset(const struct ring *ring, uint64_t position)
{
    return (size_t)(position & (ring->capacity - 1));
}

/* Bytes that a payload takes with its entry and padding. size is at most the capacity. */
static uint64_t ring_footprint(size_t size)
{
    return sizeof(struct ring_entry) +
           (((uint64_t)size + RING_ALIGNMENT - 1) & ~(uint64_t)(RING_ALIGNMENT - 1));
}

static uint64_t ring_free(const struct ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);

    return ring->capacity - (atomic_load_explicit(&ring->head, memory_order_relaxed) - tail);
}

/* Where a record of size bytes would go: at the head, or behind a skip mark at the start of the memory. */
static bool ring_place(const struct ring *ring, size_t size, uint64_t *position)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t to_end = ring->capacity - ring_offset(ring, head);

    if (size > ring->capacity - sizeof(struct ring_entry))
        return false;
    uint64_t needed = ring_footprint(size);
    uint64_t skip = needed > to_end ? to_end : 0;
    if (skip + needed > ring_free(ring))
        return false;
    *position = head + skip;
    return true;
}

bool ring_has_room(const struct ring *ring, size_t size)
{
    uint64_t position;

    return ring_place(ring, size, &position);
}

size_t ring_room(const struct ring *ring)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t to_end = ring->capacity - ring_offset(ring, head), room = ring_free(ring);

    if (room > to_end) /* on both sides of the end: the larger part */
        room = room - to_end > to_end ? room - to_end : to_end;
    return room <= sizeof(struct ring_entry) ? 0 : (size_t)(room - sizeof(struct ring_entry));
}

uint8_t *ring_reserve(struct ring *ring, size_t size)
{
    if (!ring_place(ring, size, &ring->reserved_at)) {
        ring->reserved = false;
        return NULL;
    }
    ring->reserved = true;
    ring->reserved_size = size;
    return ring->data + ring_offset(ring, ring->reserved_at) + sizeof(struct ring_entry);
}

static void ring_write_skip(struct ring *ring, uint64_t position)
{
    const uint32_t skip[2] = {RING_SKIP, ring_check(position, 0, RING_SKIP, NULL)};

    memcpy(ring->data + ring_offset(ring, position), skip, sizeof(skip));
}

void ring_commit(struct ring *ring, size_t used)
{
    assert(ring->reserved && used <= ring->reserved_size);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t serial = atomic_load_explicit(&ring->next_serial, memory_order_relaxed);
    uint8_t *data = ring->data + ring_offset(ring, ring->reserved_at);
    uint8_t *payload = data + sizeof(struct ring_entry);
    uint64_t footprint = ring_footprint(used);
    struct ring_entry entry = {
        (uint32_t)used, ring_check(ring->reserved_at, serial, (uint32_t)used, payload), serial};

    memcpy(data, &entry, sizeof(entry));
    memset(payload + used, 0, (size_t)footprint - sizeof(entry) - used);
    if (ring->reserved_at != head)
        ring_write_skip(ring, head);
    head = ring->reserved_at + footprint;
    ring_side_write(&ring->header->head, ring->head_mark, head, serial + 1);
    ring->head_mark ^= 1;
    ring->reserved = false;
    atomic_store_explicit(&ring->next_serial, serial + 1, memory_order_relaxed);
    atomic_store_explicit(&ring->head, head, memory_order_release);
}

bool ring_push(struct ring *ring, struct view payload)
{
    uint8_t *room = ring_reserve(ring, payload.length);

    if (room == NULL)
        return false;
    if (payload.length > 0)
        memcpy(room, payload.data, payload.length);
    ring_commit(ring, payload.length);
    return true;
}

/* ---- consumer ---- */

/* The record at position, with the position behind it. Nothing in the memory is believed before it is
 * checked. 1, 0 (at the head) or -1. */
static int ring_read(
    const struct ring *ring, uint64_t position, uint64_t head, struct ring_record *out, uint64_t *end)
{
    uint64_t available = head - position, to_end = ring->capacity - ring_offset(ring, position);
    struct ring_entry entry;
    uint32_t skip[2];

    if (available == 0)
        return 0;
    memcpy(skip, ring->data + ring_offset(ring, position), sizeof(skip));
    if (skip[0] == RING_SKIP) {
        /* A record follows always, at the start of the memory. */
        if (to_end >= available || skip[1] != ring_check(position, 0, RING_SKIP, NULL))
            return -1;
        position += to_end;
        available -= to_end;
        to_end = ring->capacity;
    }
    uint64_t limit = available < to_end ? available : to_end;
    if (limit < sizeof(entry))
        return -1;
    const uint8_t *data = ring->data + ring_offset(ring, position);
    memcpy(&entry, data, sizeof(entry));
    if (entry.length > limit - sizeof(entry)) /* the limit is a multiple of 8, so the padding fits as well */
        return -1;
    if (entry.check != ring_check(position, entry.serial, entry.length, data + sizeof(entry)))
        return -1;
    out->serial = entry.serial;
    out->payload = view_of(data + sizeof(entry), entry.length);
    *end = position + ring_footprint(entry.length);
    return 1;
}

int ring_peek_at(struct ring *ring, uint64_t *cursor, struct ring_record *out)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint64_t position = *cursor == 0 ? tail : *cursor;

    assert(position >= tail && position <= head && position % RING_ALIGNMENT == 0);
    return ring_read(ring, position, head, out, cursor);
}

int ring_peek(struct ring *ring, struct ring_record *out)
{
    ring->peeked = 0;
    return ring_peek_at(ring, &ring->peeked, out);
}

static void ring_set_tail(struct ring *ring, uint64_t tail)
{
    ring_side_write(&ring->header->tail, ring->tail_mark, tail, 0);
    ring->tail_mark ^= 1;
    atomic_store_explicit(&ring->tail, tail, memory_order_release);
}

void ring_pop_to(struct ring *ring, uint64_t cursor)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

    if (cursor == 0 || cursor == tail) /* nothing was looked at */
        return;
    assert(cursor > tail && cursor <= atomic_load_explicit(&ring->head, memory_order_acquire));
    assert(cursor % RING_ALIGNMENT == 0);
    ring_set_tail(ring, cursor);
}

void ring_pop(struct ring *ring)
{
    assert(ring->peeked > atomic_load_explicit(&ring->tail, memory_order_relaxed));
    ring_pop_to(ring, ring->peeked);
}

uint64_t ring_discard(struct ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);

    if (head != tail)
        ring_set_tail(ring, head);
    return head - tail;
}

bool ring_intact(struct ring *ring)
{
    /* Behind what was salvaged, serials go on where the damaged ring's did. */
    bool salvaged = ring->header->salvaged != 0;
    uint64_t cursor = 0, serial = 0, next = ring_next_serial(ring);
    struct ring_record record;
    int found;

    while ((found = ring_peek_at(ring, &cursor, &record)) == 1) {
        if (serial != 0 && record.serial != serial + 1 && !(salvaged && record.serial > serial))
            return false;
        serial = record.serial;
    }
    return found == 0 && (serial == 0 || serial + 1 == next || (salvaged && serial < next));
}

void ring_salvage(struct ring *ring, struct ring *old)
{
    uint64_t cursor = 0;
    struct ring_record record;

    assert(ring_used(ring) == 0 && ring->capacity == old->capacity);
    while (ring_peek_at(old, &cursor, &record) == 1) {
        ring->next_serial = record.serial;
        bool pushed = ring_push(ring, record.payload);
        assert(pushed); /* they were in a ring of this size, and here they need no skip mark */
    }
    ring->next_serial = ring_next_serial(old);
    /* Both marks say the same position now; the newer must say the serial as well. */
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    ring_side_write(&ring->header->head, 0, head, ring->next_serial);
    ring_side_write(&ring->header->head, 1, head, ring->next_serial);
}

/* ---- both ---- */

size_t ring_capacity(const struct ring *ring)
{
    return (size_t)ring->capacity;
}

uint64_t ring_used(const struct ring *ring)
{
    /* The tail first: it never passes a head that is read later. */
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    uint64_t used = atomic_load_explicit(&ring->head, memory_order_acquire) - tail;

    return used > ring->capacity ? ring->capacity : used;
}

uint64_t ring_head(const struct ring *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_acquire);
}

uint64_t ring_tail(const struct ring *ring)
{
    return atomic_load_explicit(&ring->tail, memory_order_acquire);
}

uint64_t ring_next_serial(const struct ring *ring)
{
    return atomic_load_explicit(&ring->next_serial, memory_order_relaxed);
}
