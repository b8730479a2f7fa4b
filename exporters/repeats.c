/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the counting of repeats in a table, and when they are told. Called by the producers of events (the
 * workers) and, for what earlier runs left, by sealer.c.
 *
 * Dying at any step neither loses a repeat nor tells it twice:
 *
 *   count:  one store to the slot, before the packet's effect. Who knows that the next one is alike has a
 *           ticket of the slot, and nothing is compared any more
 *   tell:   intent (slot, serial) -> ring_push -> count = 0 -> intent = 0. The next start sees an intent, and
 *           knows from the ring whether the record with that serial is there.
 *   begin:  the ring has the event; then record and length, and last the state that makes the slot one.
 *
 * A slot's record is the event without what is one act's own (repeats_key.c). */
#include "exporters/repeats.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "exporters/repeats_key.h"
#include "exporters/repeats_memory.h"

static void store(_Atomic uint64_t *at, uint64_t value)
{
    atomic_store_explicit(at, value, memory_order_release);
}

static uint64_t load(const _Atomic uint64_t *at)
{
    return atomic_load_explicit(at, memory_order_relaxed);
}

/* ---- slots ---- */

static void set_count(struct repeats_slot *slot, uint64_t count)
{
    store(&slot->count, count);
    store(&slot->mirror, ~count);
}

/* A damaged length must not lead out of the slot. */
static uint64_t slot_check(const struct repeats_slot *slot)
{
    if (slot->length == 0 || slot->length > sizeof(slot->record))
        return 0;
    return repeats_check(slot->length, slot->record, slot->length);
}

static void append(struct repeats *repeats, uint32_t index, uint64_t due_ms)
{
    struct repeats_entry *entry = &repeats->entries[index];

    entry->due_ms = due_ms;
    entry->next = REPEATS_NONE;
    entry->previous = repeats->last;
    *(repeats->last == REPEATS_NONE ? &repeats->first : &repeats->entries[repeats->last].next) = index;
    repeats->last = index;
}

static void unlink_entry(struct repeats *repeats, uint32_t index)
{
    const struct repeats_entry *entry = &repeats->entries[index];

    *(entry->previous == REPEATS_NONE ? &repeats->first : &repeats->entries[entry->previous].next) =
        entry->next;
    *(entry->next == REPEATS_NONE ? &repeats->last : &repeats->entries[entry->next].previous) =
        entry->previous;
}

static void leave_bucket(struct repeats *repeats, uint32_t index)
{
    struct repeats_entry *entry = &repeats->entries[index];
    uint32_t *at;

    if (entry->key == NULL)
        return;
    at = &repeats->buckets[entry->hash & repeats->bucket_mask];
    while (*at != index)
        at = &repeats->entries[*at].next_in_bucket;
    *at = entry->next_in_bucket;
    free(entry->key);
    entry->key = NULL;
}

/* Nothing is left to tell of it. */
static void free_slot(struct repeats *repeats, uint32_t index)
{
    store(&repeats->slots[index].state, 0);
    repeats->entries[index].generation = 0;
    unlink_entry(repeats, index);
    leave_bucket(repeats, index);
    repeats->free_slots[repeats->free_count++] = index;
}

static uint32_t find(const struct repeats *repeats)
{
    uint32_t index = repeats->buckets[repeats->key_hash & repeats->bucket_mask];

    while (index != REPEATS_NONE) {
        const struct repeats_entry *entry = &repeats->entries[index];

        if (entry->hash == repeats->key_hash && entry->key_length == repeats->key_length &&
            memcmp(entry->key, repeats->key, entry->key_length) == 0)
            return index;
        index = entry->next_in_bucket;
    }
    return REPEATS_NONE;
}

/* ---- telling ---- */

bool repeats_push(struct repeats *repeats, struct ring *ring, uint64_t what, const struct audit_event *event)
{
    uint8_t record[AUDIT_EVENT_MAX];
    size_t length = audit_event_encode(event, record);

    if (!ring_has_room(ring, length))
        return false;
    store(&repeats->header->intent_slot, what);
    store(&repeats->header->intent_serial, ring_next_serial(ring));
    return ring_push(ring, view_of(record, length));
}

void repeats_settled(struct repeats *repeats)
{
    store(&repeats->header->intent_serial, 0);
    store(&repeats->header->intent_slot, 0);
}

/* One event for all repeats of the slot. */
static bool tell_slot(struct repeats *repeats, struct ring *ring, uint32_t index)
{
    struct repeats_slot *slot = &repeats->slots[index];
    uint64_t count = load(&slot->count);
    struct audit_event event;

    if (count == 0)
        return true;
    if (audit_event_decode(view_of(slot->record, slot->length), &event) == 0) {
        event = repeats_kept(&event, load(&slot->mixed) == 0);
        event.suppressed = count - 1;
        event.wall_us = load(&slot->last_us);
        if (count > 1) {
            event.start_us = load(&slot->first_us);
            event.end_us = event.wall_us;
        }
    } else /* of a newer version of mqward: how many is known, not what */
        event = (struct audit_event){.action = AUDIT_audit_gap,
            .reason = REASON_audit_lost,
            .disposition = AUDIT_INFORMED,
            .wall_us = load(&slot->last_us),
            .count = count,
            .detail = VIEW("repeats of an event that can't be read")};
    if (!repeats_push(repeats, ring, (uint64_t)index + 1, &event))
        return false;
    set_count(slot, 0);
    repeats_settled(repeats);
    return true;
}

static bool is_half_empty(const struct ring *ring)
{
    return ring_used(ring) <= ring_capacity(ring) / 2;
}

/* A slot does not outlive its interval, however many come: each interval has an event that says all there is
 * to say of one act, and then a number. */
bool repeats_tell(struct repeats *repeats, struct ring *ring, uint64_t now_ms)
{
    while (repeats->first != REPEATS_NONE && repeats->entries[repeats->first].due_ms <= now_ms) {
        if (load(&repeats->slots[repeats->first].count) > 0 &&
            (!is_half_empty(ring) || !tell_slot(repeats, ring, repeats->first)))
            return false;
        free_slot(repeats, repeats->first);
    }
    return true;
}

bool repeats_tell_all(struct repeats *repeats, struct ring *ring)
{
    while (repeats->first != REPEATS_NONE) {
        if (!tell_slot(repeats, ring, repeats->first))
            return false;
        free_slot(repeats, repeats->first);
    }
    return true;
}

uint64_t repeats_due_ms(const struct repeats *repeats)
{
    return repeats->first == REPEATS_NONE ? 0 : repeats->entries[repeats->first].due_ms;
}

/* ---- counting ---- */

static void add(struct repeats_slot *slot, uint64_t more, uint64_t wall_us)
{
    uint64_t count = load(&slot->count);

    /* The clock may be set back meanwhile: no end is before its beginning, or before the first event. */
    if (count == 0 || wall_us < load(&slot->first_us))
        store(&slot->first_us, wall_us);
    if (wall_us > load(&slot->last_us))
        store(&slot->last_us, wall_us);
    set_count(slot, count + more);
}

bool repeats_count(struct repeats *repeats, const struct audit_event *event)
{
    struct repeats_slot *slot;
    uint32_t index;

    repeats->key_length = repeats->slot_count == 0 ? 0 : repeats_key(event, repeats->key, &repeats->key_hash);
    if (repeats->key_length == 0)
        return false;
    index = find(repeats);
    if (index == REPEATS_NONE)
        return false;
    slot = &repeats->slots[index];
    if (load(&slot->mixed) == 0 && repeats_connection(event) != repeats->entries[index].connection)
        store(&slot->mixed, 1);
    add(slot, 1, event->wall_us);
    repeats->counted = index;
    return true;
}

struct repeats_ticket repeats_ticket(const struct repeats *repeats)
{
    return (struct repeats_ticket){repeats->entries[repeats->counted].generation, repeats->counted};
}

bool repeats_count_again(
    struct repeats *repeats, const struct repeats_ticket *ticket, uint64_t count, uint64_t wall_us)
{
    assert(count <= REPEATS_STEP);
    if (ticket->generation == 0 || repeats->entries[ticket->slot].generation != ticket->generation)
        return false;
    add(&repeats->slots[ticket->slot], count, wall_us);
    return true;
}

/* A slot for another kind; the oldest makes place, once it is told. */
static bool take_slot(struct repeats *repeats, struct ring *ring, uint32_t *index)
{
    if (repeats->free_count == 0) {
        uint32_t oldest = repeats->first;

        /* The room that there is may have been asked for by the packet that is being handled. */
        if (load(&repeats->slots[oldest].count) > 0 &&
            (!is_half_empty(ring) || !tell_slot(repeats, ring, oldest)))
            return false;
        free_slot(repeats, oldest);
    }
    *index = repeats->free_slots[--repeats->free_count];
    return true;
}

static void write_record(struct repeats_slot *slot, const struct audit_event *event)
{
    uint8_t record[AUDIT_EVENT_MAX];

    slot->length = repeats_record(event, record, sizeof(slot->record));
    memcpy(slot->record, record, slot->length);
}

void repeats_begin(
    struct repeats *repeats, const struct audit_event *event, struct ring *ring, uint64_t now_ms)
{
    struct repeats_entry *entry;
    struct repeats_slot *slot;
    uint32_t index, *bucket;

    if (repeats->key_length == 0 || !take_slot(repeats, ring, &index))
        return;
    slot = &repeats->slots[index];
    write_record(slot, event);
    set_count(slot, 0);
    store(&slot->first_us, event->wall_us);
    store(&slot->last_us, event->wall_us);
    store(&slot->mixed, 0);
    store(&slot->state, slot_check(slot));

    entry = &repeats->entries[index];
    entry->key = (uint8_t *)memory_copy_string(view_of(repeats->key, repeats->key_length));
    entry->key_length = repeats->key_length;
    entry->hash = repeats->key_hash;
    entry->generation = ++repeats->generations;
    entry->connection = repeats_connection(event);
    bucket = &repeats->buckets[entry->hash & repeats->bucket_mask];
    entry->next_in_bucket = *bucket;
    *bucket = index;
    append(repeats, index, now_ms + repeats->interval_ms);
}

/* ---- what an earlier run left ---- */

/* False: the slot does not hold. */
static bool adopt(struct repeats *repeats, uint32_t index)
{
    struct repeats_slot *slot = &repeats->slots[index];
    uint64_t count = load(&slot->count), mirrored = ~load(&slot->mirror);

    if (load(&slot->state) != slot_check(slot) || count - mirrored > REPEATS_STEP)
        return false;
    for (uint32_t i = 0; i < repeats->free_count; i++) {
        if (repeats->free_slots[i] != index)
            continue;
        repeats->free_slots[i] = repeats->free_slots[--repeats->free_count];
        break;
    }
    set_count(slot, count);
    append(repeats, index, 1); /* at once: 0 would say that nothing is counted */
    return true;
}

/* The event that was being told is in the ring. */
static void finish_telling(struct repeats *repeats, uint64_t what)
{
    if (what == REPEATS_LOSSES)
        repeats_losses_told(repeats);
    else if (what >= 1 && what <= repeats->slot_count)
        set_count(&repeats->slots[what - 1], 0);
}

uint64_t repeats_settle(struct repeats *repeats, uint64_t next_serial)
{
    uint64_t serial = load(&repeats->header->intent_serial), bad = 0;

    if (serial != 0 && next_serial > serial)
        finish_telling(repeats, load(&repeats->header->intent_slot));
    repeats_settled(repeats);
    for (uint32_t i = 0; i < repeats->slot_count; i++) {
        if (load(&repeats->slots[i].state) == 0 || adopt(repeats, i))
            continue;
        if (bad++ == 0) /* told however often the process dies before it is */
            repeats_lose_table(repeats, clock_wall_us());
        store(&repeats->slots[i].state, 0);
    }
    return bad;
}

uint32_t repeats_slots(const struct repeats *repeats)
{
    return repeats->slot_count;
}

bool repeats_is_empty(const struct repeats *repeats)
{
    if (repeats->has_lost)
        return false;
    for (uint32_t at = repeats->first; at != REPEATS_NONE; at = repeats->entries[at].next) {
        if (load(&repeats->slots[at].count) > 0)
            return false;
    }
    return true;
}
