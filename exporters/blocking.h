/* SPDX-License-Identifier: Apache-2.0 */
/* A thread for calls that may block for as long as they like (a file on a network file system, a pipe whose
 * reader hangs), one job at a time. The loop never waits for it. */
#ifndef MQWARD_EXPORTERS_BLOCKING_H
#define MQWARD_EXPORTERS_BLOCKING_H

#include <stdint.h>

struct event_base;
struct blocking;

struct blocking_calls {
    void (*work)(void *state);    /* on the thread */
    void (*done)(void *argument); /* on the loop of base, after each work */
    void (*release)(void *state); /* when neither side uses it any more, on either */
};

/* state belongs to the thread from blocking_run() to done(), to the loop otherwise. NULL (errno) if no thread
 * can be made; state is not released then. */
struct blocking *blocking_new(
    struct event_base *base, const struct blocking_calls *calls, void *state, void *argument);
/* The last one is done. */
void blocking_run(struct blocking *blocking);
/* No call of done() comes any more. Gives the thread wait_ms to end; one that hangs is left behind with its
 * state, and the end of the process ends it. NULL is fine. */
void blocking_free(struct blocking *blocking, uint64_t wait_ms);

#endif
