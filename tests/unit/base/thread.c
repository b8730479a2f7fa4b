/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread of ours takes of signals: nothing but its own faults. */
#include "base/thread.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <unistd.h>

struct seen {
    sigset_t blocked;
    atomic_bool done;
};

static void *look(void *argument)
{
    struct seen *seen = argument;

    pthread_sigmask(SIG_BLOCK, NULL, &seen->blocked);
    seen->done = true;
    return NULL;
}

static void check(const struct seen *seen)
{
    static const int blocked[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGPIPE, SIGXFSZ, SIGCHLD};
    static const int open[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

    for (size_t i = 0; i < sizeof(blocked) / sizeof(blocked[0]); i++)
        cr_expect(sigismember(&seen->blocked, blocked[i]), "%d", blocked[i]);
    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++)
        cr_expect_not(sigismember(&seen->blocked, open[i]), "%d", open[i]);
}

Test(thread, takes_no_signals_and_its_maker_goes_on_as_before)
{
    struct seen seen = {.done = false};
    sigset_t before, after;
    pthread_t thread;

    pthread_sigmask(SIG_BLOCK, NULL, &before);
    cr_assert_eq(thread_start(&thread, look, &seen), 0);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    check(&seen);
    for (int signal = 1; signal < 32; signal++)
        cr_expect_eq(sigismember(&before, signal), sigismember(&after, signal), "%d", signal);
}

Test(thread, detached_it_is_joined_by_nobody)
{
    static struct seen seen;

    cr_assert_eq(thread_start(NULL, look, &seen), 0);
    for (int i = 0; i < 30000 && !seen.done; i++)
        usleep(1000);
    cr_assert(seen.done);
    check(&seen);
}
