/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the table and the ring of the tests of repeats. */
#include "repeats_world.h"

#include <criterion/criterion.h>
#include <stdio.h>

void world_open(struct world *world, uint32_t slots, size_t ring)
{
    const struct repeats_options options = {slots, INTERVAL};
    char error[256] = "";
    bool damaged;

    world->ring = ring_open(world->ring_path, ring, &damaged, error, sizeof(error));
    cr_assert_not_null(world->ring, "%s", error);
    world->repeats = repeats_open(world->table, &options, &world->damaged, error, sizeof(error));
    cr_assert_not_null(world->repeats, "%s", error);
}

void world_names(struct world *world)
{
    directory_make(world->path);
    snprintf(world->table, sizeof(world->table), "%s/a.table", world->path);
    snprintf(world->ring_path, sizeof(world->ring_path), "%s/a.ring", world->path);
}

void world_begin(struct world *world, uint32_t slots)
{
    world_names(world);
    world_open(world, slots, RING);
}

uint64_t world_again(struct world *world)
{
    repeats_close(world->repeats, false);
    ring_close(world->ring);
    world_open(world, 4, RING);
    return repeats_settle(world->repeats, ring_next_serial(world->ring));
}

void world_end(struct world *world)
{
    repeats_close(world->repeats, true);
    ring_close(world->ring);
    cr_expect_eq(directory_count(world->path, ".table", NULL), world->damaged ? 1 : 0);
    directory_remove(world->path);
}

bool happens(struct world *world, const struct audit_event *event, uint64_t now_ms)
{
    uint8_t record[AUDIT_EVENT_MAX];
    struct view encoded;

    if (repeats_count(world->repeats, event))
        return false;
    encoded = view_of(record, audit_event_encode(event, record));
    cr_assert(ring_push(world->ring, encoded));
    repeats_begin(world->repeats, event, world->ring, now_ms);
    return true;
}

struct told take(struct world *world)
{
    struct told told = {0};
    struct ring_record record;

    while (ring_peek(world->ring, &record) == 1) {
        cr_assert_eq(audit_event_decode(record.payload, &told.last), 0);
        if (told.last.action == AUDIT_audit_gap) {
            told.gaps++;
            told.lost += told.last.count;
        } else {
            told.events++;
            told.things += 1 + told.last.suppressed;
        }
        snprintf(told.topic, sizeof(told.topic), "%.*s", VIEW_ARGS(told.last.topic));
        snprintf(told.session, sizeof(told.session), "%.*s", VIEW_ARGS(told.last.session_id));
        snprintf(told.detail, sizeof(told.detail), "%.*s", VIEW_ARGS(told.last.detail));
        ring_pop(world->ring);
    }
    return told;
}
