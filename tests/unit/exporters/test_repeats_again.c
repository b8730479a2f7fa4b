/* SPDX-License-Identifier: Apache-2.0 */
/* Repeats that are counted by a ticket: what is told of them is what is told of those that are compared, and
 * a ticket ends with what it counts in. */
#include <criterion/criterion.h>

#include "repeats_world.h"

static struct audit_event event_at(uint64_t wall_us, struct view topic)
{
    struct audit_event event = event_plain();

    event.suppressed = 0;
    event.wall_us = wall_us;
    event.topic = topic;
    return event;
}

/* Tells of two: the first is pushed, the second is counted and has the ticket. */
static struct repeats_ticket begin(struct world *world, const struct audit_event *event, uint64_t now_ms)
{
    cr_assert(happens(world, event, now_ms));
    cr_assert_not(happens(world, event, now_ms));
    return repeats_ticket(world->repeats);
}

Test(repeats, a_ticket_counts_like_an_event)
{
    struct world world;
    struct audit_event event = event_at(1000, VIEW("one"));
    struct repeats_ticket ticket;
    struct told told;

    world_begin(&world, 4);
    cr_assert(happens(&world, &event, 0));
    event.wall_us = 2000;
    cr_assert_not(happens(&world, &event, 0));
    ticket = repeats_ticket(world.repeats);
    cr_assert(repeats_count_again(world.repeats, &ticket, 1, 3000));
    cr_assert(repeats_count_again(world.repeats, &ticket, REPEATS_STEP, 4000));
    cr_assert(repeats_count_again(world.repeats, &ticket, 5, 3500), "the clock may be set back");
    cr_assert(repeats_tell(world.repeats, world.ring, INTERVAL));
    told = take(&world);
    cr_expect_eq(told.events, 2);
    cr_expect_eq(told.things, 1 + 1 + 1 + REPEATS_STEP + 5);
    cr_expect_eq(told.last.start_us, 2000);
    cr_expect_eq(told.last.end_us, 4000);
    cr_expect_eq(told.last.wall_us, 4000);
    world_end(&world);
}

Test(repeats, the_first_that_is_counted_may_be_a_tickets)
{
    struct world world;
    const struct audit_event event = event_at(1000, VIEW("one")), other = event_at(1500, VIEW("two"));
    struct repeats_ticket ticket;

    world_begin(&world, 4);
    ticket = begin(&world, &event, 0);
    begin(&world, &other, 0);
    cr_assert(repeats_tell_all(world.repeats, world.ring));
    cr_assert_not(repeats_count_again(world.repeats, &ticket, 1, 2000), "it was told");
    take(&world);
    ticket = begin(&world, &event, INTERVAL);
    cr_assert(repeats_count_again(world.repeats, &ticket, 1, 2000));
    cr_assert(repeats_tell_all(world.repeats, world.ring));
    cr_expect_eq(take(&world).things, 3);
    world_end(&world);
}

Test(repeats, a_ticket_ends_with_its_interval)
{
    struct world world;
    const struct audit_event event = event_at(1000, VIEW("one"));
    struct repeats_ticket ticket, next;

    world_begin(&world, 4);
    ticket = begin(&world, &event, 0);
    cr_assert(repeats_tell(world.repeats, world.ring, INTERVAL - 1));
    cr_expect(repeats_count_again(world.repeats, &ticket, 1, 1000), "not before");
    cr_assert(repeats_tell(world.repeats, world.ring, INTERVAL));
    cr_expect_not(repeats_count_again(world.repeats, &ticket, 1, 1000));
    next = begin(&world, &event, INTERVAL);
    cr_expect_not(repeats_count_again(world.repeats, &ticket, 1, 1000), "the same slot is another one now");
    cr_expect(repeats_count_again(world.repeats, &next, 1, 1000));
    cr_assert(repeats_tell_all(world.repeats, world.ring));
    cr_expect_eq(take(&world).things, 3 + 3);
    world_end(&world);
}

Test(repeats, a_ticket_ends_when_another_kind_takes_its_slot)
{
    struct world world;
    const struct audit_event event = event_at(1000, VIEW("one")), other = event_at(1000, VIEW("two"));
    struct repeats_ticket ticket, others;
    struct told told;

    world_begin(&world, 1);
    ticket = begin(&world, &event, 0);
    others = begin(&world, &other, 0);
    cr_expect_eq(ticket.slot, others.slot);
    cr_expect_not(repeats_count_again(world.repeats, &ticket, 1, 1000));
    cr_expect(repeats_count_again(world.repeats, &others, 1, 1000));
    cr_assert(repeats_tell_all(world.repeats, world.ring));
    told = take(&world);
    cr_expect_eq(told.things, 2 + 3);
    cr_expect_str_eq(told.topic, "two");
    world_end(&world);
}

Test(repeats, what_finds_no_room_is_counted_on)
{
    struct world world;
    const struct audit_event event = event_at(1000, VIEW("one"));
    struct repeats_ticket ticket;

    world_begin(&world, 4);
    ticket = begin(&world, &event, 0);
    while (ring_push(world.ring, VIEW("\x01 something else")))
        ;
    cr_assert_not(repeats_tell(world.repeats, world.ring, INTERVAL));
    cr_expect(repeats_count_again(world.repeats, &ticket, 7, 1000));
    ring_discard(world.ring);
    cr_assert(repeats_tell(world.repeats, world.ring, INTERVAL));
    cr_expect_eq(take(&world).things, 1 + 7);
    world_end(&world);
}

/* Of several connections none is named, in whatever order they are counted. */
Test(repeats, tickets_of_two_connections)
{
    for (int first_again = 0; first_again < 2; first_again++) {
        struct world world;
        struct audit_event event = event_at(1000, VIEW("one"));
        struct repeats_ticket ticket, others;
        struct told told;

        world_begin(&world, 4);
        ticket = begin(&world, &event, 0);
        cr_expect(repeats_count_again(world.repeats, &ticket, 1, 1000));
        event.session_id = VIEW("another");
        cr_assert_not(happens(&world, &event, 0));
        others = repeats_ticket(world.repeats);
        cr_expect(repeats_count_again(world.repeats, first_again ? &ticket : &others, 1, 1000));
        cr_assert(repeats_tell_all(world.repeats, world.ring));
        told = take(&world);
        cr_expect_eq(told.things, 5);
        cr_expect_str_eq(told.session, "");
        world_end(&world);
    }
}

Test(repeats, a_ticket_of_nothing)
{
    struct world world;
    const struct repeats_ticket none = {0};

    for (uint32_t slots = 0; slots < 2; slots++) {
        world_begin(&world, slots);
        cr_expect_not(repeats_count_again(world.repeats, &none, 1, 1000));
        world_end(&world);
    }
}

/* A kill between the count and its mirror. */
Test(repeats, a_count_that_is_a_step_ahead_of_its_mirror_holds)
{
    for (uint64_t step = 0; step <= REPEATS_STEP + 1; step += step < 2 ? 1 : REPEATS_STEP - 2) {
        struct world world;
        const struct audit_event event = event_at(1000, VIEW("one"));

        world_begin(&world, 4);
        begin(&world, &event, 0);
        take(&world);
        atomic_fetch_add(&world.repeats->slots[0].count, step);
        cr_expect_eq(world_again(&world), step > REPEATS_STEP ? 1 : 0);
        cr_assert(repeats_tell_all(world.repeats, world.ring));
        cr_expect_eq(take(&world).things, step > REPEATS_STEP ? 0 : 1 + step, "%lu", step);
        repeats_tell_lost(world.repeats, world.ring, 1);
        world_end(&world);
    }
}
