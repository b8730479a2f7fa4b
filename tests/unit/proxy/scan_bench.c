/* SPDX-License-Identifier: Apache-2.0 */
/* The surroundings of a scan pool under test. */
#include "scan_bench.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <time.h>

#include "rules/generation.h"

/* ---- a worker without a loop ---- */

void worker_post(struct worker *worker, struct worker_task *task)
{
    struct fake *fake = (struct fake *)worker;

    task->next = NULL;
    pthread_mutex_lock(&fake->lock);
    *fake->last = task;
    fake->last = &task->next;
    pthread_cond_signal(&fake->posted);
    pthread_mutex_unlock(&fake->lock);
}

void fake_start(struct fake *fake)
{
    *fake = (struct fake){.lock = PTHREAD_MUTEX_INITIALIZER, .posted = PTHREAD_COND_INITIALIZER};
    fake->last = &fake->first;
}

struct worker_task *fake_take(struct fake *fake, bool wait)
{
    pthread_mutex_lock(&fake->lock);
    while (wait && fake->first == NULL)
        pthread_cond_wait(&fake->posted, &fake->lock);
    struct worker_task *task = fake->first;
    if (task != NULL) {
        fake->first = task->next;
        if (fake->first == NULL)
            fake->last = &fake->first;
    }
    pthread_mutex_unlock(&fake->lock);
    return task;
}

void fake_run(struct fake *fake)
{
    struct worker_task *task = fake_take(fake, true);

    task->run(task);
}

void fake_drain(struct fake *fake)
{
    struct worker_task *task;

    while ((task = fake_take(fake, false)) != NULL)
        task->run(task);
}

/* ---- the gates ---- */

struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
_Atomic int later_s;

void __wrap_scanner_scan(struct scanner *scanner, struct scan_rules *rules,
    const struct scan_request *request, struct scan_result *result);
void __real_scanner_scan(struct scanner *scanner, struct scan_rules *rules,
    const struct scan_request *request, struct scan_result *result);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_fsync(int descriptor);
int __real_fsync(int descriptor);

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closed;
    unsigned waiting;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

void __wrap_scanner_scan(struct scanner *scanner, struct scan_rules *rules,
    const struct scan_request *request, struct scan_result *result)
{
    struct view payload = request->parts[0].bytes;
    uint8_t letter = payload.length == 0 ? 0 : payload.data[0];

    pthread_mutex_lock(&gate.lock);
    if (gate.begun < SCANS_NOTED) {
        gate.order[gate.begun] = letter;
        gate.lengths[gate.begun] = payload.length;
        gate.work_max[gate.begun] = request->work_max;
    }
    gate.begun++;
    pthread_cond_broadcast(&gate.changed);
    while (gate.closed && (gate.only == 0 || gate.only == letter))
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
    __real_scanner_scan(scanner, rules, request, result);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    int result = __real_clock_gettime(clock, time);

    if (clock == CLOCK_MONOTONIC)
        time->tv_sec -= atomic_load(&later_s);
    return result;
}

int __wrap_fsync(int descriptor)
{
    pthread_mutex_lock(&disk.lock);
    disk.waiting++;
    pthread_cond_broadcast(&disk.changed);
    while (disk.closed)
        pthread_cond_wait(&disk.changed, &disk.lock);
    disk.waiting--;
    pthread_mutex_unlock(&disk.lock);
    return __real_fsync(descriptor);
}

void disk_close(bool closed)
{
    pthread_mutex_lock(&disk.lock);
    disk.closed = closed;
    pthread_cond_broadcast(&disk.changed);
    pthread_mutex_unlock(&disk.lock);
}

void disk_await(void)
{
    pthread_mutex_lock(&disk.lock);
    while (disk.waiting == 0)
        pthread_cond_wait(&disk.changed, &disk.lock);
    pthread_mutex_unlock(&disk.lock);
}

void gate_close(bool closed)
{
    pthread_mutex_lock(&gate.lock);
    gate.closed = closed;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

void gate_await(unsigned begun)
{
    pthread_mutex_lock(&gate.lock);
    while (gate.begun < begun)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

/* ---- rules and messages ---- */

static const char rules_text[] =
    "rule evil : dropper linux {\n"
    "  meta: id = \"t-1\" description = \"something \\\"evil\\\"\" severity = \"high\" mitre_attack = "
    "\"T1105\"\n"
    "  strings: $evil = \"EVILEVIL\"\n"
    "  condition: $evil }\n"
    "rule firmware { strings: $a = \"FIRMWARE\" condition: $a and topic == \"fw/1\" and client_id == \"c\"\n"
    "  and username == \"u\" and identity == \"i\" and groups == \"g,h\" and content_type == \"t\" and qos "
    "== 1\n"
    "  and retain and direction == \"out\" and payload_size == 8 }\n";

struct scan_rules *load(void)
{
    char folder[DIRECTORY_MAX], path[DIRECTORY_MAX + 16];
    struct diag_list *diag = diag_list_new();
    const char *paths = path;
    const struct scan_source source = {.name = "set", .paths = &paths, .path_count = 1};

    directory_make(folder);
    snprintf(path, sizeof(path), "%s/rules.yar", folder);
    FILE *file = fopen(path, "w");
    fputs(rules_text, file);
    fclose(file);
    struct scan_rules *rules = scan_rules_load(&source, 1, diag);
    cr_assert_not_null(rules);
    diag_list_free(diag);
    directory_remove(folder);
    return rules;
}

unsigned references(struct scan_rules *rules)
{
    return atomic_load(&rules->references);
}

static void on_done(void *owner, const struct session_scanned *results, size_t count)
{
    struct message *message = owner;

    cr_assert_eq(count, message->count);
    message->answers++;
    message->thread = pthread_self();
    for (size_t i = 0; i < count; i++) {
        const struct scan_result *result = &results[i].result;
        message->found[i] = result->count;
        message->quarantine[i] = results[i].quarantine;
        message->has_sha256[i] = results[i].has_quarantine_sha256;
        if (results[i].has_quarantine_sha256)
            memcpy(message->sha256, results[i].quarantine_sha256, sizeof(message->sha256));
        if (result->count == 0)
            continue;
        snprintf(message->rule, sizeof(message->rule), "%s", result->findings[0].rule->name);
        message->part = result->findings[0].part;
        message->offset = result->findings[0].offset;
    }
    message->incomplete = results[0].result.incomplete;
    message->error = results[0].result.error;
    message->error_set = results[0].result.error_set;
    message->complete = results[0].result.complete;
}

void message_make(struct message *message, struct view payload)
{
    *message = (struct message){.context = {.topic = VIEW("t"), .payload_size = payload.length},
        .parts = {{SCAN_PAYLOAD, payload}},
        .count = 1};
    for (size_t i = 0; i < 3; i++)
        message->scans[i].request = (struct scan_request){.sets = 1,
            .context = &message->context,
            .parts = message->parts,
            .part_count = 1,
            .max_scan = 1 << 20,
            .timeout_ns = UINT64_C(5000000000),
            .work_max = 1};
}

struct scan_job *submit(
    struct scan_pool *pool, struct fake *fake, struct scan_rules *rules, struct message *message)
{
    return scan_pool_submit(pool, &(struct scan_pool_request){.worker = &fake->worker,
                                      .rules = rules,
                                      .scans = message->scans,
                                      .count = message->count,
                                      .done = on_done,
                                      .owner = message});
}

void bench_start(struct bench *bench, unsigned threads, bool quarantine)
{
    char error[512] = "";

    *bench = (struct bench){.rules = load()};
    fake_start(&bench->fake);
    if (quarantine) {
        directory_make(bench->folder);
        bench->quarantine = quarantine_open(bench->folder, 1 << 20, 100, error, sizeof(error));
        cr_assert_not_null(bench->quarantine, "%s", error);
    }
    bench->pool = scan_pool_new(threads, 10000, bench->quarantine);
    cr_assert_not_null(bench->pool);
}

void bench_stop(struct bench *bench)
{
    cr_expect(scan_pool_free(bench->pool));
    fake_drain(&bench->fake);
    cr_expect_eq(references(bench->rules), 1);
    scan_rules_release(bench->rules);
    quarantine_close(bench->quarantine);
    if (bench->folder[0] != '\0')
        directory_remove(bench->folder);
}
