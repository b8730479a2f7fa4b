/* SPDX-License-Identifier: Apache-2.0 */
/* How threads of this process begin: signals are the main thread's. */
#ifndef MQWARD_BASE_THREAD_H
#define MQWARD_BASE_THREAD_H

#include <pthread.h>
#include <signal.h>

/* Blocks in the calling thread, and so in the threads that it begins, all signals but those that a fault of
 * the thread itself raises. SIGPIPE and SIGXFSZ become errors of the calls that would raise them. *before:
 * what was blocked so far, for thread_restore_signals(). */
void thread_block_signals(sigset_t *before);
void thread_restore_signals(const sigset_t *before);

/* Begins a thread with its signals blocked from its first instruction on. thread NULL: detached, nobody ever
 * joins it. 0, or the number of the error. */
int thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument);

#endif
