/* SPDX-License-Identifier: Apache-2.0 */
/* A table of repeats beside its ring, as a worker has them, for tests. */
#ifndef MQWARD_TESTS_REPEATS_WORLD_H
#define MQWARD_TESTS_REPEATS_WORLD_H

#include "base/ring.h"
#include "directory.h"
#include "event.h"
#include "exporters/repeats.h"
#include "exporters/repeats_memory.h"

#define INTERVAL 10000
#define RING ((size_t)1024 * 1024)

struct world {
    char path[DIRECTORY_MAX];
    char table[DIRECTORY_MAX + 16], ring_path[DIRECTORY_MAX + 16];
    struct repeats *repeats;
    struct ring *ring;
    bool damaged;
};

/* The names of its files; nothing is opened. */
void world_names(struct world *world);
void world_open(struct world *world, uint32_t slots, size_t ring);
/* Both. */
void world_begin(struct world *world, uint32_t slots);
/* What a killed process and the next start are. Returns the slots that do not hold. */
uint64_t world_again(struct world *world);
void world_end(struct world *world);

/* An event as a worker has it: false, it was counted. */
bool happens(struct world *world, const struct audit_event *event, uint64_t now_ms);

/* The ring's events so far: how many, for how many things they stand, and how many they declare lost. */
struct told {
    uint64_t events, things, gaps, lost;
    struct audit_event last; /* its texts are gone */
    char topic[64], session[64], detail[256];
};
struct told take(struct world *world);

#endif
