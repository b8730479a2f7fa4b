/* SPDX-License-Identifier: Apache-2.0 */
/* The registry: connections per address, sessions per identity, client ids and their takeover. */
#include "proxy/registry.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>

static const int scope_a, scope_b;

Test(registry, an_address_has_as_many_connections_as_the_limit)
{
    struct registry *registry = registry_new();

    cr_expect(registry_address_add(registry, &scope_a, VIEW("192.0.2.1"), 2));
    cr_expect(registry_address_add(registry, &scope_a, VIEW("192.0.2.1"), 2));
    cr_expect_not(registry_address_add(registry, &scope_a, VIEW("192.0.2.1"), 2));
    cr_expect(registry_address_add(registry, &scope_a, VIEW("192.0.2.10"), 2), "another address");
    cr_expect(registry_address_add(registry, &scope_b, VIEW("192.0.2.1"), 2), "another listener");
    registry_address_remove(registry, &scope_a, VIEW("192.0.2.1"));
    cr_expect(registry_address_add(registry, &scope_a, VIEW("192.0.2.1"), 2));
    cr_expect_not(registry_address_add(registry, &scope_a, VIEW("192.0.2.1"), 2));
    registry_free(registry);
}

Test(registry, limit_0_is_none)
{
    struct registry *registry = registry_new();
    struct registry_session *session = NULL;

    for (int i = 0; i < 1000; i++) {
        cr_assert(registry_address_add(registry, &scope_a, VIEW("192.0.2.1"), 0));
        cr_assert_eq(
            registry_session_claim(registry, &scope_a, VIEW("eva"), VIEW(""), 0, &session), REASON_none);
        registry_session_release(registry, session);
        session = NULL;
    }
    registry_free(registry);
}

Test(registry, thousands_of_addresses_come_and_go)
{
    struct registry *registry = registry_new();
    char text[32];

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 5000; i++) {
            snprintf(text, sizeof(text), "10.0.%d.%d", i / 250, i % 250);
            cr_assert(registry_address_add(registry, &scope_a, view_of_string(text), 1));
            cr_assert_not(registry_address_add(registry, &scope_a, view_of_string(text), 1));
        }
        for (int i = 0; i < 5000; i++) {
            snprintf(text, sizeof(text), "10.0.%d.%d", i / 250, i % 250);
            registry_address_remove(registry, &scope_a, view_of_string(text));
        }
    }
    registry_free(registry);
}

static enum reason claim(struct registry *registry, const char *identity, const char *client_id,
    uint64_t limit, struct registry_session **session)
{
    *session = NULL;
    return registry_session_claim(
        registry, &scope_a, view_of_string(identity), view_of_string(client_id), limit, session);
}

Test(registry, an_identity_has_as_many_sessions_as_the_limit)
{
    struct registry *registry = registry_new();
    struct registry_session *one = NULL, *two = NULL, *three = NULL;

    cr_expect_eq(claim(registry, "eva", "a", 2, &one), REASON_none);
    cr_expect_eq(claim(registry, "eva", "", 2, &two), REASON_none);
    cr_expect_eq(claim(registry, "eva", "b", 2, &three), REASON_sessions_exceeded);
    cr_expect_null(three);
    cr_expect_eq(claim(registry, "eva", "", 2, &three), REASON_sessions_exceeded);
    cr_expect_eq(claim(registry, "bob", "b", 2, &three), REASON_none, "another identity");
    registry_session_release(registry, three);
    registry_session_release(registry, two);
    cr_expect_eq(claim(registry, "eva", "b", 2, &three), REASON_none);
    registry_session_release(registry, three);
    registry_session_release(registry, one);
    registry_session_release(registry, NULL);
    registry_free(registry);
}

Test(registry, a_client_id_belongs_to_the_identity_that_holds_it)
{
    struct registry *registry = registry_new();
    struct registry_session *one = NULL, *two = NULL;

    cr_expect_eq(claim(registry, "eva", "plc-7", 0, &one), REASON_none);
    cr_expect_eq(claim(registry, "bob", "plc-7", 0, &two), REASON_client_id_in_use);
    cr_expect_null(two);
    cr_expect_eq(registry_session_claim(registry, &scope_b, VIEW("bob"), VIEW("plc-7"), 0, &two), REASON_none,
        "another broker's clients are others");
    registry_session_release(registry, two);
    registry_session_release(registry, one);
    cr_expect_eq(claim(registry, "bob", "plc-7", 0, &two), REASON_none, "free again");
    registry_session_release(registry, two);
    registry_free(registry);
}

Test(registry, a_takeover_by_the_same_identity_is_not_one_session_more)
{
    struct registry *registry = registry_new();
    struct registry_session *old = NULL, *new = NULL, *other = NULL;

    cr_expect_eq(claim(registry, "eva", "plc-7", 1, &old), REASON_none);
    cr_expect_eq(claim(registry, "eva", "plc-7", 1, &new), REASON_none);
    cr_expect_eq(claim(registry, "eva", "plc-8", 1, &other), REASON_sessions_exceeded);
    registry_session_release(registry, old);
    cr_expect_eq(
        claim(registry, "eva", "plc-8", 1, &other), REASON_sessions_exceeded, "the new one holds it");
    cr_expect_eq(claim(registry, "bob", "plc-7", 1, &other), REASON_client_id_in_use);
    registry_session_release(registry, new);
    cr_expect_eq(claim(registry, "eva", "plc-8", 1, &other), REASON_none);
    registry_session_release(registry, other);
    registry_free(registry);
}

#define ROUNDS 5000

struct contender {
    struct registry *registry;
    const char *identity;
    unsigned held, refused;
    bool twice; /* both had the same client id at once */
    unsigned *holders;
    pthread_mutex_t *lock;
};

static void *contend(void *argument)
{
    struct contender *self = argument;

    for (int i = 0; i < ROUNDS; i++) {
        struct registry_session *session = NULL;

        if (claim(self->registry, self->identity, "plc-7", 1, &session) != REASON_none) {
            self->refused++;
            continue;
        }
        pthread_mutex_lock(self->lock);
        self->twice = self->twice || ++*self->holders > 1;
        pthread_mutex_unlock(self->lock);
        self->held++;
        if (registry_address_add(self->registry, &scope_a, VIEW("::1"), 1))
            registry_address_remove(self->registry, &scope_a, VIEW("::1"));
        pthread_mutex_lock(self->lock);
        --*self->holders;
        pthread_mutex_unlock(self->lock);
        registry_session_release(self->registry, session);
    }
    return NULL;
}

Test(registry, two_threads_never_hold_the_same_client_id)
{
    struct registry *registry = registry_new();
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    unsigned holders = 0;
    struct contender eva = {registry, "eva", 0, 0, false, &holders, &lock};
    struct contender bob = {registry, "bob", 0, 0, false, &holders, &lock};
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, contend, &bob), 0);
    contend(&eva);
    pthread_join(thread, NULL);
    cr_expect_not(eva.twice || bob.twice);
    cr_expect_eq(eva.held + eva.refused + bob.held + bob.refused, 2 * ROUNDS);
    cr_expect_gt(eva.held + bob.held, 0);
    registry_free(registry);
}

Test(registry, to_ask_claims_nothing)
{
    struct registry *registry = registry_new();
    struct registry_session *one = NULL, *two = NULL;

    cr_expect_eq(registry_session_check(registry, &scope_a, VIEW("bob"), VIEW("plc-7"), 1), REASON_none,
        "nobody's yet");
    cr_expect_eq(claim(registry, "eva", "plc-7", 1, &one), REASON_none, "still nobody's");
    cr_expect_eq(
        registry_session_check(registry, &scope_a, VIEW("bob"), VIEW("plc-7"), 1), REASON_client_id_in_use);
    cr_expect_eq(
        registry_session_check(registry, &scope_a, VIEW("eva"), VIEW("plc-8"), 1), REASON_sessions_exceeded);
    cr_expect_eq(
        registry_session_check(registry, &scope_a, VIEW("eva"), VIEW("plc-7"), 1), REASON_none, "a takeover");
    cr_expect_eq(claim(registry, "bob", "plc-8", 1, &two), REASON_none);
    registry_session_release(registry, two);
    registry_session_release(registry, one);
    registry_free(registry);
}

Test(registry, one_claim_replaces_another_without_a_gap)
{
    struct registry *registry = registry_new();
    struct registry_session *one = NULL, *two = NULL;

    cr_expect_eq(claim(registry, "eva", "", 1, &one), REASON_none);
    cr_expect_eq(registry_session_claim(registry, &scope_a, VIEW("eva"), VIEW("auto-1"), 1, &one),
        REASON_none, "its own place is free for it");
    cr_expect_eq(claim(registry, "eva", "auto-2", 1, &two), REASON_sessions_exceeded);
    registry_session_release(registry, one);
    cr_expect_eq(claim(registry, "eva", "auto-2", 1, &two), REASON_none);
    registry_session_release(registry, two);
    registry_free(registry);
}

Test(registry, a_session_knows_that_another_one_has_its_client_id)
{
    struct registry *registry = registry_new();
    struct registry_session *old = NULL, *new = NULL, *newest = NULL;

    cr_expect_eq(claim(registry, "eva", "plc-7", 1, &old), REASON_none);
    cr_expect_not(registry_session_taken_over(registry, old));
    cr_expect_eq(claim(registry, "eva", "plc-7", 1, &new), REASON_none);
    cr_expect(registry_session_taken_over(registry, old));
    cr_expect_not(registry_session_taken_over(registry, new));
    registry_session_release(registry, new);
    cr_expect_not(registry_session_taken_over(registry, old), "the other one has gone again");
    registry_session_release(registry, old);
    cr_expect_eq(claim(registry, "eva", "plc-7", 1, &newest), REASON_none);
    cr_expect_not(registry_session_taken_over(registry, newest));
    cr_expect_not(registry_session_taken_over(registry, NULL));
    registry_session_release(registry, newest);
    registry_free(registry);
}
