/* SPDX-License-Identifier: Apache-2.0 */
/* Owns nothing: how threads begin. Called by whatever has some. */
#include "base/thread.h"

#include <stddef.h>

void thread_block_signals(sigset_t *before)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t signals;

    sigfillset(&signals);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigdelset(&signals, faults[i]);
    pthread_sigmask(SIG_BLOCK, &signals, before);
}

void thread_restore_signals(const sigset_t *before)
{
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

int thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument)
{
    pthread_attr_t attributes;
    pthread_t detached;
    sigset_t before;
    int status = pthread_attr_init(&attributes);

    if (status != 0)
        return status;
    if (thread == NULL)
        status = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    thread_block_signals(&before);
    if (status == 0)
        status = pthread_create(thread == NULL ? &detached : thread, &attributes, run, argument);
    thread_restore_signals(&before);
    pthread_attr_destroy(&attributes);
    return status;
}
