/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the threads that help to load rules, for as long as that takes. Called by build.c. */
#include "rules/parallel.h"

#include <stdatomic.h>
#include <unistd.h>

#include "base/thread.h"

struct work {
    void (*each)(void *context, size_t i);
    void *context;
    size_t count;
    atomic_size_t next;
};

static void *do_work(void *argument)
{
    struct work *work = argument;

    for (size_t i = atomic_fetch_add(&work->next, 1); i < work->count; i = atomic_fetch_add(&work->next, 1))
        work->each(work->context, i);
    return NULL;
}

static size_t helpers(size_t count)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t threads = processors < 1 ? 1 : (size_t)processors;

    if (threads > PARALLEL_THREADS)
        threads = PARALLEL_THREADS;
    if (threads > count)
        threads = count;
    return threads > 0 ? threads - 1 : 0;
}

void parallel_each(size_t count, void (*each)(void *context, size_t i), void *context)
{
    struct work work = {.each = each, .context = context, .count = count};
    pthread_t threads[PARALLEL_THREADS];
    size_t wanted = helpers(count), started = 0;

    while (started < wanted && thread_start(&threads[started], do_work, &work) == 0) {
        pthread_setname_np(threads[started], "rules");
        started++;
    }
    do_work(&work);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}
