/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the count of lost events in a table, and the audit-gap event that tells of them. Called by the
 * producers of events and by sealer.c. */
#include <assert.h>
#include <stdio.h>

#include "exporters/record_yara.h"
#include "exporters/repeats_memory.h"

static const unsigned severities[REPEATS_SEVERITIES] = {21, 47, 73, 99};

static const char *const reasons[] = {
    [REPEATS_LOST_WAITING] = "there was no room in time",
    [REPEATS_LOST_DENY] = "on_full: deny",
    [REPEATS_LOST_DROP] = "on_full: drop",
    [REPEATS_LOST_REPORT] = "reports of the audit trail itself",
    [REPEATS_LOST_DAMAGE] = "a table of repeats was damaged: an unknown number",
};

static void store(_Atomic uint64_t *at, uint64_t value)
{
    atomic_store_explicit(at, value, memory_order_release);
}

static uint64_t load(const _Atomic uint64_t *at)
{
    return atomic_load_explicit(at, memory_order_relaxed);
}

unsigned repeats_severity(const struct audit_event *event)
{
    return record_match_severity(event, reason_info(event->reason)->severity);
}

/* ---- the two copies ---- */

/* A copy as plain numbers. */
struct losses {
    uint64_t version, counts[REPEATS_SEVERITIES], first_us, last_us, why;
};

static uint64_t check_of(const struct losses *losses)
{
    return repeats_check(REPEATS_VERSION, losses, sizeof(*losses));
}

static bool read_copy(const struct repeats_losses *copy, struct losses *out)
{
    out->version = load(&copy->version);
    for (size_t i = 0; i < REPEATS_SEVERITIES; i++)
        out->counts[i] = load(&copy->counts[i]);
    out->first_us = load(&copy->first_us);
    out->last_us = load(&copy->last_us);
    out->why = load(&copy->why);
    return load(&copy->check) == check_of(out);
}

static void write_copy(struct repeats_losses *copy, const struct losses *losses)
{
    store(&copy->check, 0);
    store(&copy->version, losses->version);
    for (size_t i = 0; i < REPEATS_SEVERITIES; i++)
        store(&copy->counts[i], losses->counts[i]);
    store(&copy->first_us, losses->first_us);
    store(&copy->last_us, losses->last_us);
    store(&copy->why, losses->why);
    store(&copy->check, check_of(losses));
}

/* The newer copy that holds, or -1. */
static int newest(const struct repeats_header *header, struct losses *out)
{
    struct losses copies[2];
    bool first = read_copy(&header->losses[0], &copies[0]),
         second = read_copy(&header->losses[1], &copies[1]);
    int found = !first && !second ? -1 : !second || (first && copies[0].version > copies[1].version) ? 0 : 1;

    if (found >= 0)
        *out = copies[found];
    return found;
}

static uint64_t total_of(const struct losses *losses)
{
    uint64_t total = 0;

    for (size_t i = 0; i < REPEATS_SEVERITIES; i++)
        total += losses->counts[i];
    return total;
}

bool repeats_losses_hold(const struct repeats_header *header)
{
    struct losses losses;

    return newest(header, &losses) >= 0;
}

void repeats_losses_format(struct repeats_header *header)
{
    for (uint64_t i = 0; i < 2; i++)
        write_copy(&header->losses[i], &(struct losses){.version = i});
}

static void publish(struct repeats *repeats, const struct losses *losses)
{
    atomic_store_explicit(&repeats->lost, total_of(losses), memory_order_relaxed);
    repeats->has_lost = losses->why != 0;
}

void repeats_losses_attach(struct repeats *repeats)
{
    struct losses losses;
    int found = newest(repeats->header, &losses);

    assert(found >= 0);
    publish(repeats, &losses);
}

/* The next state, over the older copy. */
static void write_next(struct repeats *repeats, struct losses *losses)
{
    struct losses now;
    int current = newest(repeats->header, &now);

    assert(current >= 0);
    losses->version = now.version + 1;
    write_copy(&repeats->header->losses[1 - current], losses);
    publish(repeats, losses);
}

/* ---- counting and telling ---- */

/* What is not told yet, and one more for that reason, at that time. */
static void add(struct repeats *repeats, struct losses *losses, enum repeats_loss why, uint64_t wall_us)
{
    int found = newest(repeats->header, losses);

    assert(found >= 0);
    losses->why |= UINT64_C(1) << why;
    if (losses->first_us == 0 || wall_us < losses->first_us)
        losses->first_us = wall_us;
    if (wall_us > losses->last_us)
        losses->last_us = wall_us;
}

void repeats_lose(struct repeats *repeats, enum repeats_loss why, const struct audit_event *event)
{
    unsigned severity = repeats_severity(event);
    struct losses losses;
    size_t row = 0;

    add(repeats, &losses, why, event->wall_us);
    while (row + 1 < REPEATS_SEVERITIES && severities[row] < severity)
        row++;
    losses.counts[row]++;
    write_next(repeats, &losses);
}

void repeats_lose_table(struct repeats *repeats, uint64_t wall_us)
{
    struct losses losses;

    add(repeats, &losses, REPEATS_LOST_DAMAGE, wall_us);
    write_next(repeats, &losses);
}

uint64_t repeats_lost(const struct repeats *repeats)
{
    return atomic_load_explicit(&repeats->lost, memory_order_relaxed);
}

bool repeats_has_lost(const struct repeats *repeats)
{
    return repeats->has_lost;
}

void repeats_losses_told(struct repeats *repeats)
{
    write_next(repeats, &(struct losses){0});
}

/* "on_full: deny; severity 47: 3, 73: 1" */
static void describe(const struct losses *losses, char *out, size_t size)
{
    size_t length = 0;
    const char *before = "";

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if ((losses->why & UINT64_C(1) << i) == 0)
            continue;
        length += (size_t)snprintf(out + length, size - length, "%s%s", before, reasons[i]);
        before = "; ";
    }
    before = "; severity ";
    for (size_t i = 0; i < REPEATS_SEVERITIES; i++) {
        if (losses->counts[i] == 0)
            continue;
        length += (size_t)snprintf(out + length, size - length, "%s%u: %llu", before, severities[i],
            (unsigned long long)losses->counts[i]);
        before = ", ";
    }
    assert(length < size);
}

bool repeats_tell_lost(struct repeats *repeats, struct ring *ring, uint64_t wall_us)
{
    struct losses losses;
    char detail[320];

    if (!repeats->has_lost)
        return true;
    newest(repeats->header, &losses);
    describe(&losses, detail, sizeof(detail));
    const struct audit_event gap = {.action = AUDIT_audit_gap,
        .reason = REASON_audit_lost,
        .disposition = AUDIT_INFORMED,
        .wall_us = wall_us,
        .count = total_of(&losses),
        .start_us = losses.first_us,
        .end_us = losses.last_us,
        .detail = view_of_string(detail)};
    if (!repeats_push(repeats, ring, REPEATS_LOSSES, &gap))
        return false;
    repeats_losses_told(repeats);
    repeats_settled(repeats);
    return true;
}
