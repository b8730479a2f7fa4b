/* SPDX-License-Identifier: Apache-2.0 */
/* A scan pool under test. Workers are stood in for by a queue; the linker has scans and the disk pass through
 * gates, and the clock through the test (--wrap). */
#ifndef MQWARD_TESTS_UNIT_PROXY_SCAN_BENCH_H
#define MQWARD_TESTS_UNIT_PROXY_SCAN_BENCH_H

#include <pthread.h>
#include <stdatomic.h>

#include "../exporters/directory.h"
#include "proxy/scan_pool.h"
#include "proxy/worker.h"

/* ---- a worker without a loop ---- */

struct fake {
    struct worker worker; /* first */
    pthread_mutex_t lock;
    pthread_cond_t posted;
    struct worker_task *first, **last;
};

void fake_start(struct fake *fake);
/* The next result; NULL: there is none, and it was not to be waited for. */
struct worker_task *fake_take(struct fake *fake, bool wait);
/* Waits for a result and carries it out, as the worker's thread. */
void fake_run(struct fake *fake);
/* Carries out those that there are. */
void fake_drain(struct fake *fake);

/* ---- the gates ---- */

#define SCANS_NOTED 32

extern struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closed;
    uint8_t only;                /* holds up payloads that begin with it; 0: all */
    unsigned begun;              /* scans, also those that wait at the gate */
    uint8_t order[SCANS_NOTED];  /* the first bytes of their payloads */
    size_t lengths[SCANS_NOTED]; /* of the payload that is to be scanned */
    uint64_t work_max[SCANS_NOTED];
} gate;
/* So much earlier it is than the clock says: what is submitted then has waited so long once it is 0, and who
 * waits for a while does so in vain at once. */
extern _Atomic int later_s;

void gate_close(bool closed);
/* Waits until so many scans have come to it. */
void gate_await(unsigned begun);
/* Holds up whoever synchronises a file. */
void disk_close(bool closed);
/* Waits until somebody does. */
void disk_await(void);

/* ---- rules and messages ---- */

struct scan_rules *load(void);
unsigned references(struct scan_rules *rules);

/* A message and the checks that ask about it; what was found. */
struct message {
    struct scan_context context;
    struct scan_part parts[3];
    struct session_scan scans[3];
    size_t count;
    /* The answer. */
    unsigned answers;
    pthread_t thread;
    size_t found[3];
    const char *incomplete, *error, *error_set, *quarantine[3];
    bool complete, has_sha256[3];
    uint8_t sha256[32]; /* of what is kept */
    char rule[32];
    enum scan_part_kind part;
    uint64_t offset;
};

/* Of one check, on the topic "t". */
void message_make(struct message *message, struct view payload);
struct scan_job *submit(
    struct scan_pool *pool, struct fake *fake, struct scan_rules *rules, struct message *message);

/* ---- all together ---- */

struct bench {
    struct fake fake;
    struct scan_rules *rules;
    struct scan_pool *pool;
    struct quarantine *quarantine;
    char folder[DIRECTORY_MAX];
};

void bench_start(struct bench *bench, unsigned threads, bool quarantine);
/* Asserts that nobody has the rules any more. */
void bench_stop(struct bench *bench);

#endif
