/* SPDX-License-Identifier: Apache-2.0 */
/* mqward-bench-micro: nanoseconds of single steps of a message's path; under callgrind, instructions. Owns
 * measuring and printing; micro_subjects.c is what is measured. mqward-bench-decisions is the same with
 * micro_decisions.c.
 *
 *     mqward-bench-micro [policy.yaml ...]
 *
 * A round runs all subjects, so that each sees the machine's good and bad moments. Under callgrind (started
 * with
 * --instr-atstart=no) each subject runs once after a warm-up and is dumped as "<name> <count>", from which
 * micro.py reads its instructions. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/memory.h"
#include "micro.h"

/* Building needs no valgrind; a build without its header counts no instructions. */
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#define CALLGRIND_ZERO_STATS
#define CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_STOP_INSTRUMENTATION
#define CALLGRIND_TOGGLE_COLLECT
#define CALLGRIND_DUMP_STATS_AT(label) (void)(label)
#endif

#define SUBJECTS_MAX 256
#define ROUNDS 15
#define SAMPLE_NS 10000000.0 /* at least */

/* Of the CPU: what else runs on the machine takes its share of the caches alone. */
static double now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Runs the subject once; returns the nanoseconds of it. */
static double run_once(const struct micro_subject *subject)
{
    double start = now_ns();
    double end;

    subject->run(subject->context, subject->count);
    end = now_ns();
    if (subject->rest != NULL)
        subject->rest(subject->context);
    return end - start;
}

/* Nanoseconds for one time, over runs of SAMPLE_NS in all. */
static double sample(const struct micro_subject *subject)
{
    double total = 0;
    double runs = 0;

    while (total < SAMPLE_NS) {
        total += run_once(subject);
        runs++;
    }
    return total / runs / (double)subject->count;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void measure_times(const struct micro_subject *subjects, size_t count)
{
    double(*samples)[ROUNDS] = memory_calloc(count + 1, sizeof(*samples));

    for (size_t i = 0; i < count; i++)
        (void)run_once(&subjects[i]); /* caches, branch predictor */
    for (size_t round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < count; i++)
            samples[i][round] = sample(&subjects[i]);
    printf("%-*s %12s %12s %12s\n", (int)sizeof(subjects->name), "ns", "median", "min", "max");
    for (size_t i = 0; i < count; i++) {
        qsort(samples[i], ROUNDS, sizeof(samples[i][0]), compare);
        printf("%-*s %12.1f %12.1f %12.1f\n", (int)sizeof(subjects->name), subjects[i].name,
            samples[i][ROUNDS / 2], samples[i][0], samples[i][ROUNDS - 1]);
    }
    free(samples);
}

static bool counted = true;

void micro_count(bool on)
{
    if (on == counted)
        return;
    counted = on;
    CALLGRIND_TOGGLE_COLLECT;
}

static void measure_instructions(const struct micro_subject *subject)
{
    char label[128];

    (void)run_once(subject);
    snprintf(label, sizeof(label), "%.*s %zu", (int)sizeof(subject->name), subject->name, subject->count);
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
    subject->run(subject->context, subject->count);
    CALLGRIND_DUMP_STATS_AT(label);
    CALLGRIND_STOP_INSTRUMENTATION;
    if (subject->rest != NULL)
        subject->rest(subject->context);
}

int main(int argc, char **argv)
{
    struct micro_subject subjects[SUBJECTS_MAX];
    size_t count = micro_subjects(subjects, SUBJECTS_MAX, argv + 1, (size_t)(argc - 1));

    if (!RUNNING_ON_VALGRIND)
        measure_times(subjects, count);
    for (size_t i = 0; i < count; i++) {
        if (RUNNING_ON_VALGRIND)
            measure_instructions(&subjects[i]);
        subjects[i].destroy(subjects[i].context);
    }
    return 0;
}
