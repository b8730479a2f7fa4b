/* SPDX-License-Identifier: Apache-2.0 */
/* Threads share a generation, each with its own scanner, while others come and go. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>

#include "machine.h"
#include "rules/generation.h"

#define THREADS 4
#define SCANS 3000

struct shared {
    struct scan_rules *_Atomic rules; /* swapped by the test; a reference is taken under the lock */
    pthread_mutex_t lock;
    struct generated generated;
    atomic_size_t findings;
};

static struct scan_rules *load(const struct generated *generated)
{
    char folder[FOLDER_SIZE];
    struct diag_list *diag = diag_list_new();
    const char *path = folder;
    const struct scan_source source = {.name = "set", .paths = &path, .path_count = 1, .allow_slow = true};

    folder_make(folder);
    folder_write(folder, "a.yar", buffer_view(&generated->text));
    struct scan_rules *rules = scan_rules_load(&source, 1, diag);
    cr_assert_not_null(rules);
    folder_remove(folder);
    diag_list_free(diag);
    return rules;
}

static struct scan_rules *take(struct shared *shared)
{
    pthread_mutex_lock(&shared->lock);
    struct scan_rules *rules = scan_rules_retain(shared->rules);
    pthread_mutex_unlock(&shared->lock);
    return rules;
}

static void *work(void *argument)
{
    struct shared *shared = argument;
    struct scanner *scanner = scanner_new();
    struct buffer payload = {0};
    /* The same payloads in each thread. */
    struct random random = {1};
    struct scan_result result;

    for (unsigned i = 0; i < SCANS; i++) {
        generate_payload(&shared->generated, &random, 100, &payload);
        struct scan_context context = machine_context(&random, buffer_length(&payload));
        struct scan_part part = {SCAN_PAYLOAD, buffer_view(&payload)};
        struct scan_request request = {.sets = 1,
            .context = &context,
            .parts = &part,
            .part_count = 1,
            .max_scan = 1 << 20,
            .timeout_ns = UINT64_C(5000000000)};
        struct scan_rules *rules = take(shared);
        scanner_scan(scanner, rules, &request, &result);
        atomic_fetch_add(&shared->findings, result.count);
        scan_rules_release(rules);
    }
    buffer_release(&payload);
    scanner_free(scanner);
    return NULL;
}

Test(threads, a_generation_is_shared_and_replaced)
{
    struct shared shared = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct random random = {9};
    pthread_t threads[THREADS];

    generate_rules(&shared.generated, &random, 100, GENERATE_EXTERNALS | GENERATE_REFERENCES);
    shared.rules = load(&shared.generated);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, &shared);
    for (unsigned i = 0; i < 3; i++) {
        struct scan_rules *next = load(&shared.generated), *last;
        pthread_mutex_lock(&shared.lock);
        last = shared.rules;
        shared.rules = next;
        pthread_mutex_unlock(&shared.lock);
        scan_rules_release(last);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    size_t findings = shared.findings;
    cr_expect_gt(findings, 0);
    /* All threads saw the same. */
    cr_expect_eq(findings % THREADS, 0);
    scan_rules_release(shared.rules);
    generated_release(&shared.generated);
}
