/* SPDX-License-Identifier: Apache-2.0 */
/* mqward-bench-micro: nanoseconds of single steps of a message's path; under callgrind, instructions. Owns
 * measuring and printing; micro_subjects.c is what is measured.
 *
 *     mqward-bench-micro [policy.yaml ...]
 *
 * Under callgrind (started with --collect-atstart=no) each subject runs once after a warm-up and is dumped as
 * "<name> <count>", from which bench.py --micro reads its instructions. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "micro.h"

/* Building needs no valgrind; a build without its header counts no instructions. */
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#define CALLGRIND_ZERO_STATS
#define CALLGRIND_TOGGLE_COLLECT
#define CALLGRIND_DUMP_STATS_AT(label) (void)(label)
#endif

#define SUBJECTS_MAX 64
#define SAMPLES 15
#define SAMPLE_NS 20000000.0 /* at least */

static double now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
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

static void measure_time(const struct micro_subject *subject)
{
    double samples[SAMPLES];

    (void)sample(subject); /* caches, branch predictor */
    for (size_t i = 0; i < SAMPLES; i++)
        samples[i] = sample(subject);
    qsort(samples, SAMPLES, sizeof(samples[0]), compare);
    printf(
        "%-44s %9.1f %9.1f %9.1f\n", subject->name, samples[SAMPLES / 2], samples[0], samples[SAMPLES - 1]);
    fflush(stdout);
}

static void measure_instructions(const struct micro_subject *subject)
{
    char label[96];

    (void)run_once(subject);
    snprintf(label, sizeof(label), "%.*s %zu", (int)sizeof(subject->name), subject->name, subject->count);
    CALLGRIND_ZERO_STATS;
    CALLGRIND_TOGGLE_COLLECT;
    subject->run(subject->context, subject->count);
    CALLGRIND_TOGGLE_COLLECT;
    CALLGRIND_DUMP_STATS_AT(label);
    if (subject->rest != NULL)
        subject->rest(subject->context);
}

int main(int argc, char **argv)
{
    struct micro_subject subjects[SUBJECTS_MAX];
    size_t count = micro_subjects(subjects, SUBJECTS_MAX, argv + 1, (size_t)(argc - 1));

    if (!RUNNING_ON_VALGRIND)
        printf("%-44s %9s %9s %9s\n", "ns", "median", "min", "max");
    for (size_t i = 0; i < count; i++) {
        if (RUNNING_ON_VALGRIND)
            measure_instructions(&subjects[i]);
        else
            measure_time(&subjects[i]);
        subjects[i].destroy(subjects[i].context);
    }
    return 0;
}
