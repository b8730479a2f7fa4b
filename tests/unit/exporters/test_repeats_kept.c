/* SPDX-License-Identifier: Apache-2.0 */
/* Repeats and losses: every event is told once, whatever happens to the process. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "repeats_world.h"

/* ---- losses ---- */

Test(repeats, losses_are_one_gap_with_their_times_and_severities)
{
    struct world world;
    struct audit_event event = event_plain(); /* severity 73 */
    struct told told;

    world_begin(&world, 4);
    cr_assert(repeats_tell_lost(world.repeats, world.ring, 1));
    cr_assert_eq(take(&world).gaps, 0);
    for (uint64_t i = 1; i <= 5; i++) {
        event.wall_us = i * 100;
        repeats_lose(world.repeats, REPEATS_LOST_DROP, &event);
    }
    event.reason = REASON_allowed;
    repeats_lose(world.repeats, REPEATS_LOST_WAITING, &event);
    event = event_full(); /* a match: as severe as its rule says */
    event.reason = REASON_payload_matched;
    event.wall_us = 300;
    event.yara_severity = VIEW("medium");
    repeats_lose(world.repeats, REPEATS_LOST_DROP, &event);
    cr_assert_eq(repeats_lost(world.repeats), 7);
    cr_assert_not(repeats_is_empty(world.repeats));
    cr_assert(repeats_tell_lost(world.repeats, world.ring, 777));
    told = take(&world);
    cr_assert_eq(told.gaps, 1);
    cr_assert_eq(told.lost, 7);
    cr_assert_eq(told.last.start_us, 100);
    cr_assert_eq(told.last.end_us, 500);
    cr_assert_eq(told.last.wall_us, 777);
    cr_assert_str_eq(told.detail, "there was no room in time; on_full: drop; severity 21: 1, 47: 1, 73: 5");
    cr_assert_eq(repeats_lost(world.repeats), 0);
    cr_assert(repeats_is_empty(world.repeats));
    cr_assert(repeats_tell_lost(world.repeats, world.ring, 778));
    cr_assert_eq(take(&world).gaps, 0, "and told once");
    world_end(&world);
}

Test(repeats, losses_wait_for_room)
{
    struct world world;
    const struct audit_event event = event_plain();

    world_begin(&world, 0);
    while (ring_push(world.ring, VIEW("\x01 something else")))
        ;
    repeats_lose(world.repeats, REPEATS_LOST_DENY, &event);
    cr_assert_not(repeats_tell_lost(world.repeats, world.ring, 1));
    cr_assert_eq(repeats_lost(world.repeats), 1);
    ring_discard(world.ring);
    cr_assert(repeats_tell_lost(world.repeats, world.ring, 1));
    cr_assert_eq(take(&world).lost, 1);
    world_end(&world);
}

/* ---- the next start ---- */

Test(repeats, what_was_counted_is_there_after_the_process)
{
    struct world world;
    char user[32];
    struct audit_event event;

    world_begin(&world, 16);
    for (uint64_t number = 0; number < 10; number++) {
        event = event_numbered(number, user);
        for (uint64_t i = 0; i <= number; i++)
            happens(&world, &event, 5);
        repeats_lose(world.repeats, REPEATS_LOST_DENY, &event);
    }
    cr_assert_eq(world_again(&world), 0);
    cr_assert_not(world.damaged);
    cr_assert_eq(repeats_lost(world.repeats), 10);
    cr_assert_neq(repeats_due_ms(world.repeats), 0, "what was left is due at once");
    cr_assert_eq(world_again(&world), 0, "it may die once more");
    cr_assert(repeats_tell_all(world.repeats, world.ring));
    cr_assert(repeats_tell_lost(world.repeats, world.ring, 1));
    cr_assert_eq(world_again(&world), 0, "told, and told once");
    cr_assert(repeats_tell_all(world.repeats, world.ring));
    cr_assert(repeats_is_empty(world.repeats));
    struct told told = take(&world);
    cr_assert_eq(told.things, 55);
    cr_assert_eq(told.lost, 10);
    world_end(&world);
}

/* A process that counts, loses and tells as fast as it can, killed at a random moment: what it had begun and
 * what it had done before are the bounds of what the next start tells. */
struct progress {
    _Atomic uint64_t things_begun, things_done, lost_begun, lost_done;
};

/* Of the event that was counted last, by its ticket. */
static void count_many(struct world *world, struct progress *progress)
{
    const struct repeats_ticket ticket = repeats_ticket(world->repeats);

    for (uint64_t many = 1; many <= REPEATS_STEP; many *= 4) {
        atomic_fetch_add(&progress->things_begun, many);
        cr_assert(repeats_count_again(world->repeats, &ticket, many, 1));
        atomic_fetch_add(&progress->things_done, many);
    }
}

static void live(struct world *world, struct progress *progress)
{
    struct audit_event event = event_plain();
    uint64_t now_ms = 0;
    bool pushed;

    event.suppressed = 0;
    atomic_store(&progress->things_done, 0);
    while (ring_used(world->ring) < RING / 2) { /* what is told after it has room */
        for (uint64_t i = 0; i < 6; i++) {      /* each twice */
            event.qos = (uint8_t)(i / 2);
            event.topic = i >= 4 ? VIEW("another") : VIEW("one");
            atomic_fetch_add(&progress->things_begun, 1);
            pushed = happens(world, &event, now_ms);
            atomic_fetch_add(&progress->things_done, 1);
            if (!pushed)
                count_many(world, progress);
        }
        atomic_fetch_add(&progress->lost_begun, 1);
        repeats_lose(world->repeats, REPEATS_LOST_DROP, &event);
        atomic_fetch_add(&progress->lost_done, 1);
        now_ms += INTERVAL;
        repeats_tell(world->repeats, world->ring, now_ms);
        repeats_tell_lost(world->repeats, world->ring, 1);
    }
}

static void die_within(struct progress *progress, unsigned microseconds)
{
    struct world world;
    struct told told;
    int status;
    pid_t child;

    memset(progress, 0, sizeof(*progress));
    world_names(&world);
    child = fork();
    cr_assert_neq(child, -1);
    if (child == 0) {
        world_open(&world, 2, RING);
        live(&world, progress);
        _exit(0);
    }
    WAIT_FOR(progress->things_begun > 0);
    usleep(microseconds);
    kill(child, SIGKILL);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    world_open(&world, 0, RING);
    cr_assert_eq(repeats_settle(world.repeats, ring_next_serial(world.ring)), 0);
    cr_assert_not(world.damaged);
    cr_assert(repeats_tell_all(world.repeats, world.ring));
    cr_assert(repeats_tell_lost(world.repeats, world.ring, 1));
    told = take(&world);
    cr_assert(told.things >= progress->things_done && told.things <= progress->things_begun,
        "%lu told, %lu done, %lu begun", told.things, progress->things_done, progress->things_begun);
    cr_assert(told.lost >= progress->lost_done && told.lost <= progress->lost_begun, "%lu told, %lu lost",
        told.lost, progress->lost_done);
    world_end(&world);
}

Test(repeats, a_kill_at_any_moment_loses_nothing_and_tells_nothing_twice)
{
    struct progress *progress =
        mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    for (unsigned round = 0; round < 200; round++)
        die_within(progress, round * 37 % 3000);
    munmap(progress, sizeof(*progress));
}

static void write_at(const char *file, long offset, const void *bytes, size_t length)
{
    int descriptor = open(file, O_WRONLY | O_CLOEXEC);

    cr_assert_eq(pwrite(descriptor, bytes, length, offset), (ssize_t)length);
    close(descriptor);
}

/* Each moment of telling, as a kill leaves it. */
Test(repeats, what_was_being_told_is_told_once)
{
    for (int pushed = 0; pushed < 2; pushed++) {
        struct world world;
        struct audit_event event = event_plain();
        uint64_t serial, one = 1;

        event.suppressed = 0;
        world_begin(&world, 4);
        for (int i = 0; i < 6; i++)
            happens(&world, &event, 0);
        take(&world);
        serial = ring_next_serial(world.ring);
        if (pushed) {
            uint8_t record[AUDIT_EVENT_MAX];
            event.suppressed = 4;
            ring_push(world.ring, view_of(record, audit_event_encode(&event, record)));
        }
        write_at(world.table, offsetof(struct repeats_header, intent_slot), &one, sizeof(one));
        write_at(world.table, offsetof(struct repeats_header, intent_serial), &serial, sizeof(serial));
        cr_assert_eq(world_again(&world), 0);
        cr_assert(repeats_tell_all(world.repeats, world.ring));
        struct told told = take(&world);
        cr_assert_eq(told.things, 5);
        cr_assert_eq(told.events, 1);
        world_end(&world);
    }
}

Test(repeats, a_torn_copy_of_the_losses_leaves_the_other)
{
    struct world world;
    const struct audit_event event = event_plain();
    const uint64_t zero = 0;

    world_begin(&world, 0);
    for (int i = 0; i < 7; i++)
        repeats_lose(world.repeats, REPEATS_LOST_DROP, &event);
    /* Copy 1 is the newer of the first two; seven steps later it is copy 0. */
    write_at(world.table, offsetof(struct repeats_header, losses[1].check), &zero, sizeof(zero));
    world_again(&world);
    cr_assert_not(world.damaged);
    cr_assert_eq(repeats_lost(world.repeats), 7);
    write_at(world.table, offsetof(struct repeats_header, losses[0].counts[2]), &zero, sizeof(zero));
    repeats_close(world.repeats, false);
    ring_close(world.ring);
    world_open(&world, 0, RING);
    cr_assert(world.damaged, "neither holds");
    cr_assert_eq(directory_count(world.path, ".damaged-", NULL), 1);
    world_end(&world);
}

/* After a run that aggregated nothing the next one does, and tells what that one lost. */
Test(repeats, a_table_without_slots_gets_them_and_keeps_its_losses)
{
    struct world world;
    struct audit_event event = event_plain();

    world_begin(&world, 0);
    for (int i = 0; i < 3; i++)
        repeats_lose(world.repeats, REPEATS_LOST_DENY, &event);
    cr_assert_eq(world_again(&world), 0);
    cr_assert_not(world.damaged);
    cr_assert_eq(repeats_slots(world.repeats), 4);
    cr_assert_eq(repeats_lost(world.repeats), 3);
    cr_assert(happens(&world, &event, 0));
    cr_assert_not(happens(&world, &event, 0));
    cr_assert_eq(world_again(&world), 0);
    cr_assert(repeats_tell_all(world.repeats, world.ring));
    cr_assert(repeats_tell_lost(world.repeats, world.ring, 1));
    struct told told = take(&world);
    cr_assert_eq(told.lost, 3);
    cr_assert_eq(told.events, 2);
    world_end(&world);
}

/* However often the process dies before it is told. */
Test(repeats, damage_is_remembered_until_it_is_told)
{
    for (int how = 0; how < 2; how++) {
        struct world world;
        struct audit_event event = event_plain();

        world_begin(&world, 4);
        for (int i = 0; i < 3; i++)
            happens(&world, &event, 0);
        take(&world);
        write_at(world.table, how == 0 ? 0 : (long)REPEATS_PAGE + (long)offsetof(struct repeats_slot, record),
            "\xee\xee", 2);
        world_again(&world);
        cr_expect_eq(world.damaged, how == 0);
        for (int i = 0; i < 2; i++) {
            cr_assert_eq(world_again(&world), 0);
            cr_assert_not(world.damaged);
            cr_expect_not(repeats_is_empty(world.repeats));
            cr_expect(repeats_has_lost(world.repeats));
            cr_expect_eq(repeats_lost(world.repeats), 0, "nobody knows how many");
        }
        cr_assert(repeats_tell_lost(world.repeats, world.ring, 1));
        struct told told = take(&world);
        cr_expect_eq(told.gaps, 1);
        cr_expect_eq(told.lost, 0);
        cr_expect_str_eq(told.detail, "a table of repeats was damaged: an unknown number");
        cr_expect(repeats_is_empty(world.repeats));
        world_again(&world);
        cr_expect(repeats_is_empty(world.repeats));
        world.damaged = how == 0; /* its file stays */
        world_end(&world);
    }
}

Test(repeats, what_is_left_of_an_earlier_run_is_due_at_once)
{
    struct world world;
    struct audit_event event = event_plain();

    world_begin(&world, 4);
    for (int i = 0; i < 3; i++)
        happens(&world, &event, 0);
    cr_assert_eq(world_again(&world), 0);
    cr_assert_neq(repeats_due_ms(world.repeats), 0);
    cr_assert_lt(repeats_due_ms(world.repeats), 1000);
    world_end(&world);
}

Test(repeats, a_damaged_file_is_kept_and_said)
{
    static const char garbage[8192] = "not a table";
    char kept[256] = "";

    for (int how = 0; how < 4; how++) {
        struct world world;
        world_begin(&world, 4);
        if (how == 0)
            write_at(world.table, 0, garbage, 64);
        else if (how == 1)
            cr_assert_eq(truncate(world.table, 100), 0);
        else if (how == 2)
            cr_assert_eq(truncate(world.table, 0), 0);
        else
            write_at(world.table, offsetof(struct repeats_header, slots), "\xff\xff\xff\x7f", 4);
        repeats_close(world.repeats, false);
        ring_close(world.ring);
        world_open(&world, 4, RING);
        cr_expect(world.damaged, "%d", how);
        cr_expect_eq(directory_count(world.path, ".damaged-", NULL), 1);
        write_at(world.table, 0, garbage, 64); /* at once again: what was kept before stays */
        repeats_close(world.repeats, false);
        ring_close(world.ring);
        world_open(&world, 4, RING);
        cr_expect_eq(directory_count(world.path, ".damaged-", kept), 2);
        cr_expect_eq(unlink(kept), 0);
        cr_expect(repeats_tell_all(world.repeats, world.ring));
        cr_expect(repeats_tell_lost(world.repeats, world.ring, 1));
        cr_expect_eq(take(&world).gaps, 1, "%d", how);
        cr_expect(repeats_is_empty(world.repeats));
        world_end(&world);
    }
}

Test(repeats, a_damaged_slot_is_given_up_and_counted_and_the_others_stay)
{
    static const long places[] = {offsetof(struct repeats_slot, record) + 5,
        offsetof(struct repeats_slot, length), offsetof(struct repeats_slot, count),
        offsetof(struct repeats_slot, mirror), offsetof(struct repeats_slot, state)};

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct world world;
        char user[32], other[32];
        struct audit_event event = event_numbered(1, user), next = event_numbered(2, other);

        world_begin(&world, 4);
        for (int k = 0; k < 4; k++) {
            happens(&world, &event, 0);
            happens(&world, &next, 0);
        }
        take(&world);
        write_at(world.table, (long)REPEATS_PAGE + places[i], "\xee\xee", 2);
        cr_expect_eq(world_again(&world), 1, "at %ld", places[i]);
        cr_assert(repeats_tell_all(world.repeats, world.ring));
        cr_expect_eq(take(&world).things, 3, "at %ld", places[i]);
        world_end(&world);
    }
}

/* ---- through the exporter ---- */

static struct exporter *open_exporter(const struct exporter_settings *settings)
{
    char error[256] = "";
    struct exporter *exporter = exporter_open(settings, error, sizeof(error));

    cr_assert_not_null(exporter, "%s", error);
    return exporter;
}

struct sum {
    uint64_t things, gaps, lost;
};

static void add_line(void *argument, struct view line, const struct record_head *head)
{
    struct sum *sum = argument;
    json_t *root = json_loadb((const char *)line.data, line.length, 0, NULL);
    const char *action = string_at(root, "event.action");

    (void)head;
    if (strcmp(action, "mqtt-publish-denied") == 0)
        sum->things +=
            1 +
            (json_at(root, "mqward.suppressed") == NULL ? 0 : (uint64_t)number_at(root, "mqward.suppressed"));
    else if (strcmp(action, "audit-gap") == 0) {
        sum->gaps++;
        if (json_at(root, "mqward.count") != NULL)
            sum->lost += (uint64_t)number_at(root, "mqward.count");
    }
    json_decref(root);
}

static void count_and_die(const struct exporter_settings *settings)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct exporter *exporter = open_exporter(settings);
        struct world world = {.repeats = exporter_repeats(exporter, 0), .ring = exporter_ring(exporter, 0)};
        char user[32];
        struct audit_event event;
        for (uint64_t i = 0; i < 2000; i++) {
            event = event_numbered(i % 4, user);
            happens(&world, &event, 0);
        }
        repeats_lose(exporter_repeats(exporter, 0), REPEATS_LOST_DENY, &event);
        repeats_lose(exporter_repeats(exporter, 1), REPEATS_LOST_WAITING, &event);
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

Test(repeats, the_exporter_tells_at_the_next_start)
{
    char path[DIRECTORY_MAX];
    struct sum sum = {0};

    directory_make(path);
    struct exporter_settings settings = directory_settings(path);
    settings.aggregate_ms = INTERVAL;
    count_and_die(&settings);
    cr_assert_gt(directory_count(path, ".table", NULL), 0);
    settings.rings = 1;
    exporter_close(open_exporter(&settings), 0);
    directory_lines(path, add_line, &sum);
    cr_assert_eq(sum.things, 2000, "%lu", sum.things);
    cr_assert_eq(sum.gaps, 2);
    cr_assert_eq(sum.lost, 2);
    cr_assert_eq(directory_count(path, ".table", NULL), 0);
    cr_assert_eq(directory_count(path, ".ring", NULL), 0);
    exporter_close(open_exporter(&settings), 0);
    sum = (struct sum){0};
    directory_lines(path, add_line, &sum);
    cr_assert_eq(sum.things, 2000, "and not once more");
    directory_remove(path);
}

Test(repeats, the_exporter_tells_of_a_table_without_its_ring_and_of_one_that_is_damaged)
{
    char path[DIRECTORY_MAX], file[256];
    struct sum sum = {0};

    directory_make(path);
    struct exporter_settings settings = directory_settings(path);
    settings.aggregate_ms = INTERVAL;
    count_and_die(&settings);
    cr_assert_eq(directory_count(path, "-1.ring", file), 1);
    unlink(file);
    cr_assert_eq(directory_count(path, "-0.table", file), 1);
    write_at(file, 0, "garbage", 7);
    exporter_close(open_exporter(&settings), 0);
    directory_lines(path, add_line, &sum);
    cr_assert_eq(sum.gaps, 2, "one for what is damaged, one for what was lost");
    cr_assert_eq(sum.lost, 1);
    cr_assert_eq(sum.things, 4, "what the ring had");
    cr_assert_eq(directory_count(path, ".damaged-", NULL), 1);
    directory_remove(path);
}
