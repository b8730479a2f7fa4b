/* SPDX-License-Identifier: Apache-2.0 */
/* The scan pool: the thread that writes to the quarantine, on disks that are slow or do not answer. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "quarantine_files.h"
#include "scan_bench.h"

#define JOBS_MAX 64
#define MIB ((size_t)1 << 20)

static void submit_evil(struct bench *bench, struct message *message, struct view payload)
{
    message_make(message, payload);
    message->scans[0].quarantine = true;
    submit(bench->pool, &bench->fake, bench->rules, message);
}

/* The disk holds up the writer with a message. */
static void hang(struct bench *bench, struct message *message)
{
    disk_close(true);
    submit_evil(bench, message, VIEW("EVILEVIL and slow"));
    disk_await();
}

Test(scan_pool, a_slow_disk_does_not_hold_up_scans)
{
    struct message slow, quick;
    struct bench bench;

    bench_start(&bench, 1, true);
    hang(&bench, &slow);
    for (int i = 0; i < 3; i++) {
        message_make(&quick, VIEW("EVILEVIL"));
        submit(bench.pool, &bench.fake, bench.rules, &quick);
        fake_run(&bench.fake);
        cr_expect_eq(quick.found[0], 1);
        cr_expect_null(quick.quarantine[0]);
    }
    cr_expect_eq(slow.answers, 0);
    disk_close(false);
    fake_run(&bench.fake);
    cr_assert_not_null(slow.quarantine[0]);
    cr_expect_str_eq(slow.quarantine[0], "stored");
    bench_stop(&bench);
}

Test(scan_pool, no_more_than_so_many_messages_wait_for_the_disk)
{
    static struct message messages[JOBS_MAX + 2];
    char payloads[JOBS_MAX + 2][32];
    struct bench bench;

    bench_start(&bench, 1, true);
    hang(&bench, &messages[0]);
    for (unsigned i = 1; i < JOBS_MAX + 2; i++) {
        snprintf(payloads[i], sizeof(payloads[i]), "EVILEVIL %u", i);
        submit_evil(&bench, &messages[i], view_of_string(payloads[i]));
    }
    fake_run(&bench.fake);
    fake_run(&bench.fake);
    for (unsigned i = JOBS_MAX; i < JOBS_MAX + 2; i++) {
        cr_expect_eq(messages[i].found[0], 1, "what was found is told all the same");
        cr_assert_not_null(messages[i].quarantine[0]);
        cr_expect_str_eq(messages[i].quarantine[0], "busy");
        cr_expect_not(messages[i].has_sha256[0]);
    }
    disk_close(false);
    for (unsigned i = 0; i < JOBS_MAX; i++) {
        fake_run(&bench.fake);
        cr_assert_not_null(messages[i].quarantine[0]);
        cr_expect_str_eq(messages[i].quarantine[0], "stored", "in their order");
    }
    cr_expect_eq(directory_count(bench.folder, ".payload", NULL), JOBS_MAX);
    submit_evil(&bench, &messages[0], VIEW("EVILEVIL again"));
    fake_run(&bench.fake);
    cr_expect_str_eq(messages[0].quarantine[0], "stored", "there is room again");
    bench_stop(&bench);
}

Test(scan_pool, no_more_than_so_many_bytes_wait_for_the_disk)
{
    static uint8_t large[65 * MIB] = "EVILEVIL";
    struct message slow, messages[3];
    struct bench bench;

    log_configure(LOG_ERROR, LOG_TEXT, open("/dev/null", O_WRONLY));
    bench_start(&bench, 1, true);
    submit_evil(&bench, &slow, view_of(large, sizeof(large)));
    fake_run(&bench.fake);
    cr_expect_str_eq(slow.quarantine[0], "full", "alone it may be larger; the folder takes 1 MiB");
    hang(&bench, &slow);
    submit_evil(&bench, &messages[0], view_of(large, 40 * MIB));
    submit_evil(&bench, &messages[1], view_of(large, 40 * MIB));
    submit_evil(&bench, &messages[2], VIEW("EVILEVIL"));
    fake_run(&bench.fake);
    cr_assert_eq(messages[1].answers, 1);
    cr_expect_str_eq(messages[1].quarantine[0], "busy");
    disk_close(false);
    for (int i = 0; i < 3; i++)
        fake_run(&bench.fake);
    cr_expect_str_eq(slow.quarantine[0], "stored");
    cr_expect_str_eq(messages[0].quarantine[0], "full");
    cr_expect_str_eq(messages[2].quarantine[0], "stored");
    bench_stop(&bench);
}

/* ---- the end ---- */

Test(scan_pool, what_waits_for_the_disk_is_stored_at_the_end)
{
    char payloads[8][32];
    struct message messages[8];
    struct bench bench;

    atomic_store(&later_s, -55); /* the end waits a minute for a slow disk */
    bench_start(&bench, 1, true);
    hang(&bench, &messages[0]);
    for (unsigned i = 1; i < 8; i++) {
        snprintf(payloads[i], sizeof(payloads[i]), "EVILEVIL %u", i);
        submit_evil(&bench, &messages[i], view_of_string(payloads[i]));
    }
    gate_await(8);
    disk_close(false);
    cr_expect(scan_pool_free(bench.pool));
    bench.pool = NULL;
    cr_expect_eq(directory_count(bench.folder, ".json", NULL), 8);
    bench_stop(&bench);
}

/* *quarantine: the folder's, once nobody else has it open. */
static bool opens(const struct bench *bench, struct quarantine **quarantine)
{
    char error[512];

    if (*quarantine == NULL)
        *quarantine = quarantine_open(bench->folder, LARGE, 9, error, sizeof(error));
    return *quarantine != NULL;
}

/* Not even a disk that answers after all: the workers are gone by then. */
Test(scan_pool, a_disk_that_does_not_answer_does_not_hold_up_the_end)
{
    struct message messages[3];
    struct bench bench;
    struct quarantine *again = NULL;

    log_configure(LOG_ERROR, LOG_TEXT, open("/dev/null", O_WRONLY));
    bench_start(&bench, 1, true);
    hang(&bench, &messages[0]);
    submit_evil(&bench, &messages[1], VIEW("EVILEVIL 1"));
    submit_evil(&bench, &messages[2], VIEW("EVILEVIL 2"));
    gate_await(3);
    atomic_store(&later_s, 5); /* it has waited for 5 s already, says its clock */
    cr_expect_not(scan_pool_free(bench.pool));
    cr_expect_eq(references(bench.rules), 2, "that of the message that the disk has");
    atomic_store(&later_s, 0);
    disk_close(false);
    WAIT_FOR(opens(&bench, &again));
    cr_expect_eq(references(bench.rules), 1);
    cr_expect_null(fake_take(&bench.fake, false));
    cr_expect_eq(messages[0].answers + messages[1].answers + messages[2].answers, 0);
    cr_expect_str_eq(store(again, "EVILEVIL and slow"), "known");
    cr_expect_str_eq(store(again, "EVILEVIL 1"), "stored", "it was lost");
    scan_rules_release(bench.rules);
    quarantine_close(again);
    directory_remove(bench.folder);
}
