/* SPDX-License-Identifier: Apache-2.0 */
/* The ring in memory: order, room, wrapping, two threads, damaged memory. */
#include "base/ring.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "check.h"

#define CAPACITY 4096

/* A payload that tells its serial at every byte. */
static void fill(uint8_t *payload, size_t size, uint64_t serial)
{
    for (size_t i = 0; i < size; i++)
        payload[i] = (uint8_t)(serial * 31 + i);
}

static bool is_filled(struct view payload, uint64_t serial)
{
    for (size_t i = 0; i < payload.length; i++)
        if (payload.data[i] != (uint8_t)(serial * 31 + i))
            return false;
    return true;
}

static bool push(struct ring *ring, size_t size)
{
    uint8_t payload[CAPACITY];

    fill(payload, size, ring_next_serial(ring));
    return ring_push(ring, view_of(payload, size));
}

/* Takes one record and checks it. */
static void expect(struct ring *ring, uint64_t serial, size_t size)
{
    struct ring_record record;

    CHECK(ring_peek(ring, &record) == 1);
    CHECK(record.serial == serial, "%llu", (unsigned long long)record.serial);
    CHECK(record.payload.length == size && is_filled(record.payload, serial));
    CHECK((uintptr_t)record.payload.data % 8 == 0);
    ring_pop(ring);
}

Test(ring, a_new_one_is_empty)
{
    struct ring *ring = ring_new(CAPACITY);
    struct ring_record record;
    uint64_t cursor = 0;

    cr_assert_eq(ring_peek(ring, &record), 0);
    cr_assert_eq(ring_peek_at(ring, &cursor, &record), 0);
    ring_pop_to(ring, cursor);
    cr_assert_eq(ring_used(ring), 0);
    cr_assert_eq(ring_discard(ring), 0);
    cr_assert_eq(ring_capacity(ring), CAPACITY);
    cr_assert_eq(ring_next_serial(ring), 1);
    cr_assert_eq(ring_room(ring), CAPACITY - RING_OVERHEAD);
    ring_close(ring);
    ring_close(NULL);
}

/* From every offset that a record can start at: fill with records of one size until full, then take them all.
 */
Test(ring, every_wrap_point_and_fill_level)
{
    static const size_t sizes[] = {0, 1, 7, 8, 9, 40, 100, 511, 1000, CAPACITY / 2 - RING_OVERHEAD};

    for (size_t offset = 16; offset <= CAPACITY; offset += 8)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct ring *ring = ring_new(CAPACITY);
            size_t first = offset < 2048 ? 0 : 1024; /* the way there in two steps: one may be too large */
            if (first > 0) {
                CHECK(push(ring, first - 16));
                expect(ring, 1, first - 16);
            }
            uint64_t serial = ring_next_serial(ring), end;
            CHECK(push(ring, offset - first - 16));
            expect(ring, serial++, offset - first - 16);
            for (end = serial; ring_has_room(ring, sizes[i]); end++)
                CHECK(push(ring, sizes[i]));
            CHECK(end > serial, "%zu bytes do not fit an empty ring at %zu", sizes[i], offset);
            CHECK(!push(ring, sizes[i]));
            CHECK(ring_used(ring) <= CAPACITY);
            while (serial < end)
                expect(ring, serial++, sizes[i]);
            CHECK(ring_used(ring) == 0);
            ring_close(ring);
        }
}

struct model {
    size_t sizes[CAPACITY];
    uint64_t first, next; /* serials of the oldest and of the one to come */
};

/* The room that is told is the room that there is. */
static void check_room(struct ring *ring)
{
    size_t room = ring_room(ring);

    CHECK(room == 0 || ring_has_room(ring, room));
    CHECK(!ring_has_room(ring, room + 1));
    CHECK(!ring_has_room(ring, SIZE_MAX) && ring_reserve(ring, SIZE_MAX) == NULL);
}

Test(ring, behaves_as_a_queue_for_random_sizes)
{
    struct ring *ring = ring_new(CAPACITY);
    static struct model model = {.first = 1, .next = 1};
    uint64_t state = 99;

    for (int step = 0; step < 300000; step++) {
        uint64_t random = check_random(&state);
        size_t size = random >> 8 & 7 ? random >> 16 & 127 : random >> 16 & 2047;
        if (random & 1) {
            bool room = ring_has_room(ring, size);
            CHECK(push(ring, size) == room);
            if (room)
                model.sizes[model.next++ % CAPACITY] = size;
        } else if (model.first < model.next) {
            expect(ring, model.first, model.sizes[model.first % CAPACITY]);
            model.first++;
        }
        CHECK((ring_used(ring) == 0) == (model.first == model.next));
        check_room(ring);
    }
    cr_assert_gt(model.next, 50000);
    ring_close(ring);
}

Test(ring, commits_less_than_was_reserved)
{
    struct ring *ring = ring_new(CAPACITY);

    for (uint64_t serial = 1; serial < 500; serial++) {
        size_t used = serial % 600;
        uint8_t *room = ring_reserve(ring, 1200);
        cr_assert_not_null(room);
        memset(room, 0xEE, 1200);
        fill(room, used, serial);
        cr_assert_eq(ring_used(ring), 0, "a reservation shows nothing");
        ring_commit(ring, used);
        expect(ring, serial, used);
    }
    /* A reservation that is not committed is forgotten. */
    memset(ring_reserve(ring, 100), 0xEE, 100);
    cr_assert(push(ring, 10));
    expect(ring, 500, 10);
    ring_close(ring);
}

Test(ring, refuses_to_commit_more_than_was_reserved, .signal = SIGABRT)
{
    struct ring *ring = ring_new(CAPACITY);

    ring_reserve(ring, 10);
    ring_commit(ring, 11);
}

Test(ring, refuses_to_commit_twice, .signal = SIGABRT)
{
    struct ring *ring = ring_new(CAPACITY);

    ring_reserve(ring, 10);
    ring_commit(ring, 10);
    ring_commit(ring, 10);
}

Test(ring, refuses_to_pop_what_was_not_looked_at, .signal = SIGABRT)
{
    struct ring *ring = ring_new(CAPACITY);

    push(ring, 10);
    ring_pop(ring);
}

Test(ring, shows_batches_and_takes_a_part)
{
    struct ring *ring = ring_new(CAPACITY);
    uint64_t first = 1;

    for (int round = 0; round < 100; round++) {
        struct ring_record record;
        uint64_t cursor = 0, third = 0, serial = first;
        while (ring_has_room(ring, 60))
            CHECK(push(ring, 60));
        for (int i = 0; ring_peek_at(ring, &cursor, &record) == 1; i++) {
            CHECK(record.serial == serial && is_filled(record.payload, serial));
            serial++;
            if (i == 2)
                third = cursor;
        }
        CHECK(serial == ring_next_serial(ring), "the batch shows all");
        ring_pop_to(ring, third);
        expect(ring, first + 3, 60);
        cursor = 0;
        CHECK(ring_peek_at(ring, &cursor, &record) == 1 && record.serial == first + 4);
        first += 4;
    }
    cr_assert_gt(ring_discard(ring), 0);
    cr_assert_eq(ring_used(ring), 0);
    uint64_t serial = ring_next_serial(ring);
    cr_assert(push(ring, 10));
    expect(ring, serial, 10);
    ring_close(ring);
}

/* ---- two threads ---- */

#define RECORDS 2000000

static void *produce(void *argument)
{
    struct ring *ring = argument;
    uint64_t state = 17;

    for (uint64_t serial = 1; serial <= RECORDS; serial++) {
        size_t size = check_random(&state) % 50;
        uint8_t *room;
        while ((room = ring_reserve(ring, size)) == NULL)
            sched_yield();
        fill(room, size, serial);
        ring_commit(ring, size);
    }
    return NULL;
}

Test(ring, two_threads_pass_millions_of_records)
{
    struct ring *ring = ring_new(1 << 16);
    uint64_t serial = 1, state = 17;
    pthread_t producer;

    pthread_create(&producer, NULL, produce, ring);
    while (serial <= RECORDS) {
        struct ring_record record;
        uint64_t cursor = 0;
        int found = 0;
        for (int i = 0; i < 100 && (found = ring_peek_at(ring, &cursor, &record)) == 1; i++) {
            CHECK(record.serial == serial && is_filled(record.payload, serial));
            CHECK(record.payload.length == check_random(&state) % 50);
            serial++;
        }
        CHECK(found >= 0);
        CHECK(ring_used(ring) <= 1 << 16);
        ring_pop_to(ring, cursor);
        if (found == 0)
            sched_yield();
    }
    pthread_join(producer, NULL);
    cr_assert_eq(ring_used(ring), 0);
    ring_close(ring);
}

/* ---- damaged memory ---- */

/* A ring with records on both sides of its end; returns the start of its memory. */
static uint8_t *make_wrapped(struct ring **ring)
{
    *ring = ring_new(CAPACITY);
    uint8_t *memory = ring_reserve(*ring, 0) - RING_OVERHEAD;

    for (uint64_t serial = 1; serial <= 3; serial++) {
        push(*ring, 1000);
        expect(*ring, serial, 1000);
    }
    for (int i = 0; i < 12; i++)
        cr_assert(push(*ring, 200));
    return memory;
}

/* Reads all; what is shown must lie in the memory. Returns the records before the end or the damage. */
static unsigned read_all(struct ring *ring, const uint8_t *memory, int *found)
{
    struct ring_record record;
    uint64_t cursor = 0;
    unsigned count = 0;

    while ((*found = ring_peek_at(ring, &cursor, &record)) == 1) {
        CHECK(record.payload.data >= memory && record.payload.length <= CAPACITY);
        CHECK(record.payload.data + record.payload.length <= memory + CAPACITY);
        CHECK(record.serial == 4 + count && record.payload.length == 200 &&
              is_filled(record.payload, 4 + count));
        count++;
    }
    return count;
}

Test(ring, every_damaged_byte_is_found_and_what_is_before_it_is_kept)
{
    static const uint8_t changes[] = {0x01, 0x80, 0xFF};
    struct ring *ring;
    uint8_t *memory = make_wrapped(&ring);
    unsigned damaged = 0;
    int found;

    CHECK(read_all(ring, memory, &found) == 12 && found == 0);
    for (size_t i = 0; i < CAPACITY; i++)
        for (size_t k = 0; k < sizeof(changes); k++) {
            memory[i] ^= changes[k];
            unsigned count = read_all(ring, memory, &found);
            memory[i] ^= changes[k];
            CHECK(found == -1 || (found == 0 && count == 12));
            damaged += found == -1;
        }
    /* 12 records of 200 bytes and one skip mark. */
    cr_assert_eq(damaged, (12 * (200 + RING_OVERHEAD) + 8) * sizeof(changes));
    memory[3048 + 4] ^= 1;
    cr_assert_eq(read_all(ring, memory, &found), 0);
    cr_assert_eq(found, -1);
    cr_assert_eq(ring_discard(ring), 12 * 216 + CAPACITY - (3048 + 4 * 216));
    cr_assert(push(ring, 100), "goes on after the gap");
    expect(ring, 16, 100);
    ring_close(ring);
}

Test(ring, random_memory_is_never_believed)
{
    struct ring *ring;
    uint8_t *memory = make_wrapped(&ring);
    uint64_t state = 4;
    int found;

    for (int round = 0; round < 20000; round++) {
        for (size_t i = 0; i < CAPACITY; i += 4) {
            /* Mostly plausible lengths. */
            uint64_t random = check_random(&state);
            uint32_t word = random & 3 ? (uint32_t)(random >> 32) & 255 : (uint32_t)(random >> 32);
            word = (random & 0x70) == 0 ? UINT32_MAX : word;
            memcpy(memory + i, &word, 4);
        }
        CHECK(read_all(ring, memory, &found) == 0 && found == -1);
    }
    ring_close(ring);
}
