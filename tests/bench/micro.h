/* SPDX-License-Identifier: Apache-2.0 */
/* A micro-benchmark: a piece of a message's path, run many times. micro.c measures; micro_subjects.c and
 * micro_decisions.c are what is measured, each a program. */
#ifndef MQWARD_BENCH_MICRO_H
#define MQWARD_BENCH_MICRO_H

#include <stdbool.h>
#include <stddef.h>

struct micro_subject {
    char name[64];
    /* Does it count times. It asserts what comes out, so that nothing is measured that does not work. */
    void (*run)(void *context, size_t count);
    /* Between two runs, not measured; NULL: nothing to do. */
    void (*rest)(void *context);
    void (*destroy)(void *context);
    void *context;
    size_t count; /* of one run */
};

/* Fills subjects (room for max) with all that there is: micro_subjects.c the codec, the ring, and two
 * decisions for each policy file; micro_decisions.c the cases of each policy file. Returns how many; prints
 * why and exits if a policy can't be loaded. */
size_t micro_subjects(struct micro_subject *subjects, size_t max, char *const *policies, size_t policy_count);
/* Its parts for the codec and for signature keys. */
size_t micro_codec(struct micro_subject *subjects, size_t max);
size_t micro_keys(struct micro_subject *subjects, size_t max);

/* Within run(): from now on instructions are counted, or not: what is only there to feed the subject. At the
 * beginning and at the end of run() they are. */
void micro_count(bool on);

#endif
