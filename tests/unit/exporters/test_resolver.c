/* SPDX-License-Identifier: Apache-2.0 */
/* Names that nobody ever answers for: what they cost, and that nobody else pays for it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/view.h"
#include "directory.h"
#include "exporters/resolver.h"

/* ---- the wrapped call (--wrap): names that begin with "hangs" are looked up until the test lets go ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned hanging;   /* below the lock, as are the next */
static unsigned looked_up; /* so many have hung, those that do no more as well */
static bool let_go;
static _Atomic unsigned failing;    /* calls for names that begin with "fails": no name server answers */
static _Atomic uint64_t elapsed_ms; /* added to the clock */

uint64_t __real_clock_monotonic_ms(void);
uint64_t __wrap_clock_monotonic_ms(void);

uint64_t __wrap_clock_monotonic_ms(void)
{
    return __real_clock_monotonic_ms() + elapsed_ms;
}

int __real_getaddrinfo(
    const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list);
int __wrap_getaddrinfo(
    const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list);

int __wrap_getaddrinfo(
    const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list)
{
    if (strncmp(host, "fails", 5) == 0) {
        failing++;
        return EAI_AGAIN;
    }
    if (strncmp(host, "hangs", 5) != 0)
        return __real_getaddrinfo(host, port, hints, list);
    pthread_mutex_lock(&lock);
    hanging++;
    looked_up++;
    pthread_cond_broadcast(&changed);
    while (!let_go)
        pthread_cond_wait(&changed, &lock);
    hanging--;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return __real_getaddrinfo("127.0.0.1", port, hints, list);
}

static void wait_for_hanging(unsigned count)
{
    pthread_mutex_lock(&lock);
    while (hanging != count)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static void release_all(void)
{
    pthread_mutex_lock(&lock);
    let_go = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* ---- the tests ---- */

struct answer {
    unsigned calls;
    int result;
    bool has_list;
};

static void on_answer(void *argument, int result, const struct addrinfo *list)
{
    struct answer *answer = argument;

    answer->calls++;
    answer->result = result;
    answer->has_list = list != NULL;
}

static struct resolver *ask_given(
    struct event_base *base, const char *host, const void *giver, struct answer *answer)
{
    const struct resolver_name name = {host, 514, giver};

    return resolver_start(base, &name, on_answer, answer);
}

static struct resolver *ask(struct event_base *base, const char *host, struct answer *answer)
{
    return ask_given(base, host, NULL, answer);
}

static void turn(struct event_base *base, const struct answer *answer)
{
    uint64_t until = clock_monotonic_ms() + 30000;

    while (answer->calls == 0 && clock_monotonic_ms() < until) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        usleep(1000);
    }
    cr_assert_eq(answer->calls, 1);
}

Test(resolver, a_name_that_hangs_is_looked_up_once_and_answers_whoever_still_waits)
{
    struct event_base *base = event_base_new();
    struct answer given_up = {0}, first = {0}, second = {0};

    for (int i = 0; i < 100; i++) /* an attempt, its time-out, the next attempt */
        resolver_cancel(ask(base, "hangs.example", &given_up));
    wait_for_hanging(1);
    cr_assert_not_null(ask(base, "hangs.example", &first));
    cr_assert_not_null(ask(base, "hangs.example", &second));
    release_all();
    turn(base, &first);
    turn(base, &second);
    cr_assert(first.result == 0 && first.has_list && second.result == 0 && second.has_list);
    cr_assert_eq(given_up.calls, 0);
    wait_for_hanging(0);
    pthread_mutex_lock(&lock);
    unsigned found = looked_up;
    pthread_mutex_unlock(&lock);
    cr_assert_eq(found, 1);
    event_base_free(base);
}

Test(resolver, other_names_are_found_meanwhile_and_the_next_look_up_is_a_new_one)
{
    struct event_base *base = event_base_new();
    struct answer hangs = {0}, other = {0}, again = {0};
    struct resolver *resolver = ask(base, "hangs.example", &hangs);

    cr_assert_not_null(ask(base, "localhost", &other));
    turn(base, &other);
    cr_assert_eq(other.result, 0);
    cr_assert_eq(hangs.calls, 0);
    resolver_cancel(resolver);
    wait_for_hanging(1);
    release_all();
    wait_for_hanging(0);
    cr_assert_not_null(ask(base, "localhost", &again));
    turn(base, &again);
    cr_assert_eq(again.result, 0);
    event_base_free(base);
}

Test(resolver, names_of_one_giver_that_hang_have_a_bound_and_take_nobody_elses_place)
{
    struct event_base *base = event_base_new();
    struct answer answers[RESOLVER_GIVEN_MAX] = {0}, more = {0};
    static const char hostile, honest;
    struct resolver *waiting[RESOLVER_GIVEN_MAX] = {NULL};
    char host[32];

    for (unsigned i = 0; i < RESOLVER_GIVEN_MAX; i++) {
        snprintf(host, sizeof(host), "hangs-%u.example", i);
        waiting[i] = ask_given(base, host, &hostile, &answers[i]);
        cr_assert_not_null(waiting[i]);
        if (i % 2 == 0)
            resolver_cancel(waiting[i]); /* what was given up goes on, and counts */
    }
    cr_assert_null(ask_given(base, "hangs-too.example", &hostile, &more));
    cr_assert_eq(errno, EDQUOT);
    wait_for_hanging(RESOLVER_GIVEN_MAX);
    resolver_cancel(ask_given(base, "hangs-0.example", &hostile, &more)); /* waits for what there is */
    resolver_cancel(ask_given(base, "hangs-too.example", &honest, &more));
    for (unsigned i = 0; i < 100; i++) { /* names of the configuration */
        snprintf(host, sizeof(host), "hangs-own-%u.example", i);
        resolver_cancel(ask(base, host, &more));
    }
    wait_for_hanging(RESOLVER_GIVEN_MAX + 101);
    cr_assert_not_null(ask(base, "localhost", &more));
    turn(base, &more);
    release_all();
    for (unsigned i = 1; i < RESOLVER_GIVEN_MAX; i += 2)
        turn(base, &answers[i]);
    wait_for_hanging(0);
    event_base_free(base);
}

Test(resolver, a_giver_whose_look_ups_have_ended_has_room_again)
{
    struct event_base *base = event_base_new();
    struct answer ended = {0}, more = {0};
    static const char giver;
    char host[32];

    for (unsigned i = 0; i < RESOLVER_GIVEN_MAX; i++) {
        snprintf(host, sizeof(host), "hangs-%u.example", i);
        resolver_cancel(ask_given(base, host, &giver, &ended));
    }
    wait_for_hanging(RESOLVER_GIVEN_MAX);
    release_all();
    wait_for_hanging(0);
    struct resolver *resolver = NULL;
    WAIT_FOR(resolver != NULL || (resolver = ask_given(base, "localhost", &giver, &more)) != NULL);
    turn(base, &more);
    event_base_free(base);
}

Test(resolver, a_look_up_that_never_ends_is_not_the_last_of_its_name)
{
    struct event_base *base = event_base_new();
    struct answer first = {0}, other = {0};
    static const unsigned begun[] = {1, 2, 2, 3, 3, 3, 3, 4}; /* after so many times the patience */

    cr_assert_not_null(ask(base, "hangs.example", &first));
    wait_for_hanging(1);
    for (size_t i = 0; i < sizeof(begun) / sizeof(begun[0]); i++) {
        resolver_cancel(ask(base, "hangs.example", &other));
        wait_for_hanging(begun[i]);
        elapsed_ms += RESOLVER_PATIENCE_MS;
    }
    release_all();
    turn(base, &first);
    wait_for_hanging(0);
    event_base_free(base);
}

Test(resolver, a_name_server_that_does_not_answer_is_asked_once)
{
    struct event_base *base = event_base_new();
    struct answer answer = {0};

    cr_assert_not_null(ask(base, "fails.example", &answer));
    turn(base, &answer);
    cr_assert_eq(answer.result, EAI_AGAIN);
    cr_assert_eq(failing, 1);
    event_base_free(base);
}
