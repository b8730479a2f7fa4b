/* SPDX-License-Identifier: Apache-2.0 */
/* Whose events fill a worker's ring: shares of connections and principals, with nobody who drains it but the
 * test. */
#include <criterion/criterion.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "../exporters/directory.h"
#include "../exporters/event.h"
#include "base/memory.h"
#include "proxy/shares.h"
#include "proxy/worker.h"

struct world {
    char path[DIRECTORY_MAX];
    struct exporter *exporter;
    struct worker *worker;
};

static void world_begin(struct world *world, int on_full)
{
    char error[256] = "";

    directory_make(world->path);
    const struct exporter_settings settings = directory_settings(world->path);
    world->exporter = exporter_open(&settings, error, sizeof(error));
    cr_assert_not_null(world->exporter, "%s", error);
    world->worker = memory_calloc(1, sizeof(*world->worker));
    world->worker->exporter = world->exporter;
    world->worker->ring = exporter_ring(world->exporter, 0);
    world->worker->repeats = exporter_repeats(world->exporter, 0);
    world->worker->on_full = on_full;
    world->worker->base = event_base_new();
    world->worker->tell_event = event_new(world->worker->base, -1, 0, worker_on_tell, world->worker);
    ring_discard(world->worker->ring);
}

static void world_end(struct world *world)
{
    event_free(world->worker->tell_event);
    event_base_free(world->worker->base);
    free(world->worker);
    exporter_close(world->exporter, 0);
    directory_remove(world->path);
}

static struct worker_share client_of(const char *address)
{
    struct worker_share share = {0};

    worker_share_begin(&share, view_of_string(address));
    return share;
}

static struct audit_event event_of(enum reason reason)
{
    struct audit_event event = event_plain(); /* a few hundred bytes */

    event.reason = reason;
    return event;
}

/* Somebody's events, until so many of the ring's quarters are used. */
static void fill(struct world *world, struct worker_share *share, unsigned quarters)
{
    const struct audit_event event = event_of(REASON_no_allow);
    size_t wanted = ring_capacity(world->worker->ring) / 4 * quarters;

    while (ring_used(world->worker->ring) < wanted)
        worker_audit(world->worker, share, &event);
}

static bool asks(struct world *world, struct worker_share *share, size_t usual)
{
    return worker_audit_ask(world->worker, share, 4096, usual) == WORKER_ROOM;
}

/* True: it is in the ring. */
static bool tells(struct world *world, struct worker_share *share, enum reason reason)
{
    const struct audit_event event = event_of(reason);
    uint64_t before = ring_head(world->worker->ring);

    worker_audit(world->worker, share, &event);
    return ring_head(world->worker->ring) > before;
}

/* One that is in: what it does is not its address's any more, if it has an identity. */
static struct worker_share settled_client_of(const char *address, const char *identity)
{
    struct worker_share share = client_of(address);

    worker_share_answer(&share, view_of_string(identity));
    share.settled = true;
    return share;
}

/* Packets of a denial each, until one is not let in. */
static size_t pour(struct world *world, struct worker_share *share)
{
    size_t count = 0;

    while (asks(world, share, 800)) {
        cr_assert(tells(world, share, REASON_no_allow));
        count++;
    }
    return count;
}

Test(shares, one_of_ipv6_has_its_whole_network)
{
    struct world world;

    world_begin(&world, CONFIG_ON_FULL_DENY);
    fill(&world, NULL, 2);
    struct worker_share first = client_of("2001:db8:0:1::1"), again = first;
    size_t count = pour(&world, &first), rest = 0;
    cr_expect_gt(count, 3);
    for (unsigned i = 2; i < 40; i++) {
        char address[64];
        snprintf(address, sizeof(address), "2001:db8:0:1::%x", i);
        again = client_of(address);
        rest += pour(&world, &again);
    }
    cr_expect_leq(rest, count + 2, "%zu and %zu: of all together an eighth", count, rest);
    struct worker_share other = client_of("2001:db8:0:2::1");
    cr_expect(asks(&world, &other, 800));
    world_end(&world);
}

Test(shares, an_identity_is_charged_wherever_it_comes_from_and_its_address_is_not)
{
    struct world world;

    world_begin(&world, CONFIG_ON_FULL_DENY);
    fill(&world, NULL, 2);
    struct worker_share first = settled_client_of("192.0.2.1", "eva"),
                        second = settled_client_of("192.0.2.2", "eva"), third = client_of("192.0.2.1");
    for (int i = 0; i < 8; i++) { /* some connections of it */
        struct worker_share one = settled_client_of("192.0.2.1", "eva");
        pour(&world, &one);
    }
    cr_expect_not(asks(&world, &first, 800));
    cr_expect_not(asks(&world, &second, 800));
    cr_expect(asks(&world, &third, 800), "whoever else is there");
    worker_share_answer(&second, VIEW("")); /* it is not proven any more */
    cr_expect(asks(&world, &second, 800));
    world_end(&world);
}

/* As a connection does it: CONNECT is asked for the address, and its events are the identity's, too. */
static bool comes(struct world *world, const char *address, const char *identity)
{
    struct worker_share share = client_of(address);

    if (!asks(world, &share, 800))
        return false;
    worker_share_answer(&share, view_of_string(identity));
    return asks(world, &share, 800) && tells(world, &share, REASON_none);
}

Test(shares, who_comes_again_and_again_has_no_new_share)
{
    struct world world;
    size_t count = 0, rest = 0;

    world_begin(&world, CONFIG_ON_FULL_DENY);
    fill(&world, NULL, 2);
    while (count < 5000 && comes(&world, "192.0.2.1", "eva"))
        count++;
    cr_expect_gt(count, 3);
    while (rest < 5000 && comes(&world, "192.0.2.2", "eva"))
        rest++;
    cr_expect_leq(rest, 2, "%zu and %zu: of one identity, from wherever", count, rest);
    cr_expect_not(comes(&world, "192.0.2.1", "adam"), "its address is charged, too");
    cr_expect(comes(&world, "192.0.2.3", "adam"));
    world_end(&world);
}

Test(shares, with_block_what_can_not_be_waited_for_is_known)
{
    struct world world;

    world_begin(&world, CONFIG_ON_FULL_BLOCK);
    size_t capacity = ring_capacity(world.worker->ring);
    struct worker_share client = client_of("192.0.2.1");
    cr_expect(worker_audit_can_wait(world.worker, capacity / 2));
    cr_expect_not(worker_audit_can_wait(world.worker, capacity / 2 + 1));
    cr_expect_eq(worker_audit_foresee(world.worker, &client, capacity / 2, 800, 0), WORKER_ROOM);
    cr_expect_eq(
        worker_audit_foresee(world.worker, &client, capacity / 2, 800, capacity / 2 + 1), WORKER_ROOM_LATER);
    fill(&world, &client, 2);
    cr_expect_eq(worker_audit_foresee(world.worker, &client, 4096, 800, 0), WORKER_SHARE_LATER);
    cr_expect_eq(worker_audit_foresee(world.worker, NULL, 4096, 0, 0), WORKER_ROOM, "an end asks no share");
    ring_discard(world.worker->ring);
    world_end(&world);
}

/* Who has an event now and then, while the ring is drained as fast as it is filled and stays more than half
 * full, has what is not drained yet, and no more. */
Test(shares, what_is_drained_is_no_longer_counted)
{
    struct world world;
    const struct audit_event event = event_of(REASON_no_allow);

    world_begin(&world, CONFIG_ON_FULL_DENY);
    struct ring *ring = world.worker->ring;
    struct worker_share quiet = client_of("192.0.2.1");
    fill(&world, NULL, 3);
    for (unsigned turn = 0; turn < 20000; turn++) {
        struct ring_record record;
        if (turn % 100 == 0) {
            cr_assert(asks(&world, &quiet, 800), "turn %u", turn);
            worker_audit(world.worker, &quiet, &event);
        } else
            worker_audit(world.worker, NULL, &event);
        cr_assert_eq(ring_peek(ring, &record), 1);
        ring_pop(ring);
    }
    cr_assert_gt(ring_used(ring), ring_capacity(ring) / 2);
    ring_discard(ring);
    world_end(&world);
}

Test(shares, a_large_packet_is_not_let_in_where_it_would_take_what_is_others)
{
    struct world world;

    world_begin(&world, CONFIG_ON_FULL_DENY);
    struct worker_share client = client_of("192.0.2.1");
    size_t capacity = ring_capacity(world.worker->ring);
    cr_expect_eq(worker_audit_ask(world.worker, &client, capacity / 2, capacity / 3), WORKER_ROOM);
    cr_expect_eq(worker_audit_ask(world.worker, &client, capacity + 1, 800), WORKER_ROOM_DENIED,
        "it could never be recorded in whole");
    fill(&world, NULL, 2);
    cr_expect_eq(worker_audit_ask(world.worker, &client, capacity / 4, capacity / 4), WORKER_ROOM_DENIED);
    cr_expect_eq(worker_audit_ask(world.worker, &client, capacity / 4, 800), WORKER_ROOM);
    world_end(&world);
}

Test(shares, with_deny_what_was_let_in_is_recorded_and_what_was_not_is_weighed)
{
    struct world world;

    world_begin(&world, CONFIG_ON_FULL_DENY);
    struct worker_share client = client_of("192.0.2.1"), stranger = client_of("192.0.2.9");
    cr_assert(asks(&world, &client, 800));
    fill(&world, NULL, 2);
    fill(&world, &client, 3);
    cr_expect_not(asks(&world, &client, 800));
    cr_expect(tells(&world, &client, REASON_no_allow), "of a packet that was let in before");
    cr_expect_not(tells(&world, &client, REASON_audit_unavailable), "of one that was not");
    fill(&world, &stranger, 2);
    while (tells(&world, &stranger, REASON_tls_failed))
        continue;
    cr_expect_lt(ring_used(world.worker->ring), ring_capacity(world.worker->ring) / 8 * 7,
        "who was never let in does not fill the ring");
    cr_expect_gt(repeats_lost(world.worker->repeats), 0);
    world_end(&world);
}

Test(shares, with_drop_nobody_fills_the_ring_with_what_is_most_severe)
{
    struct world world;

    world_begin(&world, CONFIG_ON_FULL_DROP);
    struct worker_share flooder = client_of("192.0.2.1"), other = client_of("192.0.2.9");
    for (int i = 0; i < 2000; i++)
        tells(&world, &flooder, REASON_sig_invalid);
    cr_expect_lt(ring_used(world.worker->ring), ring_capacity(world.worker->ring) / 4 * 3);
    cr_expect(tells(&world, &other, REASON_sig_invalid));
    cr_expect(tells(&world, &other, REASON_denied_by_rule));
    cr_expect_not(tells(&world, &flooder, REASON_sig_invalid));
    world_end(&world);
}

/* ---- names whose hashes are alike ---- */

static uint64_t alike(uint64_t number)
{
    return 7 + number * (SHARES / SHARES_ALIKE);
}

Test(shares, names_that_are_alike_have_shares_of_their_own)
{
    static struct shares shares;

    for (uint64_t i = 0; i < SHARES_ALIKE; i++) {
        cr_expect_eq(shares_undrained(&shares, alike(i), 0), 0, "%lu", (unsigned long)i);
        shares_charge(&shares, alike(i), 100 + i, 0, 1000 * (i + 1));
    }
    for (uint64_t i = 0; i < SHARES_ALIKE; i++)
        cr_expect_eq(shares_undrained(&shares, alike(i), 0), 100 + i);
}

Test(shares, who_finds_no_share_has_always_the_same_one_of_another)
{
    static struct shares shares;

    for (uint64_t i = 0; i < SHARES_ALIKE; i++)
        shares_charge(&shares, alike(i), 100, 0, 1000);
    uint64_t late = alike(SHARES_ALIKE);
    cr_expect_eq(shares_undrained(&shares, late, 0), 100);
    shares_charge(&shares, late, 50, 0, 2000);
    shares_charge(&shares, late, 50, 0, 3000);
    cr_expect_eq(shares_undrained(&shares, late, 0), 200, "what it pours in is charged");
    uint64_t sum = 0;
    for (uint64_t i = 0; i < SHARES_ALIKE; i++)
        sum += shares_undrained(&shares, alike(i), 0);
    cr_expect_eq(sum, SHARES_ALIKE * 100 + 100, "of one of them");
}

Test(shares, who_has_nothing_any_more_makes_room)
{
    static struct shares shares;

    for (uint64_t i = 0; i < SHARES_ALIKE; i++)
        shares_charge(&shares, alike(i), 100, 0, i == 3 ? 1000 : 9000);
    uint64_t late = alike(SHARES_ALIKE), tail = 1000; /* the fourth is drained */
    cr_expect_eq(shares_undrained(&shares, late, tail), 0);
    shares_charge(&shares, late, 50, tail, 10000);
    cr_expect_eq(shares_undrained(&shares, late, tail), 50);
    cr_expect_eq(shares_undrained(&shares, alike(2), tail), 100);
    cr_expect_eq(shares_undrained(&shares, late, 10000), 0);
}
