/* SPDX-License-Identifier: Apache-2.0 */
/* The scan pool: what is copied, in which order, who is told, and when rules are let go of. */
#include "proxy/scan_pool.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "scan_bench.h"

/* ---- scans ---- */

Test(scan_pool, the_answer_comes_on_the_worker_s_thread)
{
    struct bench bench;
    struct message message;

    bench_start(&bench, 1, false);
    message_make(&message, VIEW("an EVILEVIL payload"));
    cr_assert_not_null(submit(bench.pool, &bench.fake, bench.rules, &message));
    fake_run(&bench.fake);
    cr_expect_eq(message.answers, 1);
    cr_expect(pthread_equal(message.thread, pthread_self()));
    cr_expect_eq(message.found[0], 1);
    cr_expect_str_eq(message.rule, "evil");
    cr_expect_eq(message.offset, 3);
    cr_expect_null(message.quarantine[0]);
    cr_expect_eq(gate.work_max[0], 0, "nobody gives up here");
    message_make(&message, VIEW("ordinary"));
    submit(bench.pool, &bench.fake, bench.rules, &message);
    fake_run(&bench.fake);
    cr_expect_eq(message.found[0], 0);
    bench_stop(&bench);
}

Test(scan_pool, the_message_is_copied_with_all_that_rules_can_ask)
{
    char bytes[] = "fw/1cuig,ht FIRMWARE EVILEVIL EVILEVIL";
    struct bench bench;
    struct message message;

    bench_start(&bench, 1, false);
    gate_close(true);
    message_make(&message, view_of(bytes + 12, 8));
    message.context = (struct scan_context){.topic = view_of(bytes, 4),
        .client_id = view_of(bytes + 4, 1),
        .username = view_of(bytes + 5, 1),
        .identity = view_of(bytes + 6, 1),
        .groups = view_of(bytes + 7, 3),
        .content_type = view_of(bytes + 10, 1),
        .qos = 1,
        .retain = true,
        .outbound = true,
        .payload_size = 8};
    submit(bench.pool, &bench.fake, bench.rules, &message);
    struct message property, correlation;
    message_make(&property, VIEW(""));
    property.parts[1] = (struct scan_part){SCAN_USER_PROPERTY, view_of(bytes + 20, 9)};
    property.scans[0].request.part_count = 2;
    submit(bench.pool, &bench.fake, bench.rules, &property);
    message_make(&correlation, VIEW(""));
    correlation.parts[1] = (struct scan_part){SCAN_CORRELATION_DATA, view_of(bytes + 29, 9)};
    correlation.scans[0].request.part_count = 2;
    submit(bench.pool, &bench.fake, bench.rules, &correlation);
    memset(bytes, 'x', sizeof(bytes));
    message.context = (struct scan_context){0};
    property.parts[1].bytes.length = 0;
    memset(message.scans, 0, sizeof(message.scans));
    gate_close(false);
    for (int i = 0; i < 3; i++)
        fake_run(&bench.fake);
    cr_expect_str_eq(message.rule, "firmware");
    cr_expect_eq(property.found[0], 1);
    cr_expect_eq(property.part, SCAN_USER_PROPERTY);
    cr_expect_eq(property.offset, 1);
    cr_expect_eq(correlation.found[0], 1);
    cr_expect_eq(correlation.part, SCAN_CORRELATION_DATA);
    bench_stop(&bench);
}

Test(scan_pool, no_more_of_a_payload_is_copied_than_is_needed)
{
    static uint8_t payload[1000];
    struct bench bench;
    struct message message;

    bench_start(&bench, 1, true);
    message_make(&message, view_of(payload, sizeof(payload)));
    message.count = 2;
    message.scans[0].request.max_scan = 100;
    message.scans[1].request.max_scan = 200;
    submit(bench.pool, &bench.fake, bench.rules, &message);
    fake_run(&bench.fake);
    cr_expect_eq(gate.lengths[0], 201);
    cr_assert_not_null(message.incomplete);
    cr_expect_str_eq(message.incomplete, "max_scan");
    message.scans[1].quarantine = true;
    submit(bench.pool, &bench.fake, bench.rules, &message);
    fake_run(&bench.fake);
    cr_expect_eq(gate.lengths[2], 1000, "it may have to be stored");
    message.scans[1].quarantine = false;
    message.scans[1].request.max_scan = SIZE_MAX;
    submit(bench.pool, &bench.fake, bench.rules, &message);
    fake_run(&bench.fake);
    cr_expect_eq(gate.lengths[4], 1000);
    bench_stop(&bench);
}

Test(scan_pool, messages_are_scanned_in_their_order)
{
    static const char letters[] = "abcdefghijkl";
    struct message messages[12];
    struct bench bench;

    bench_start(&bench, 1, false);
    gate_close(true);
    for (size_t i = 0; i < 12; i++) {
        message_make(&messages[i], view_of(&letters[i], 1));
        submit(bench.pool, &bench.fake, bench.rules, &messages[i]);
    }
    gate_close(false);
    for (size_t i = 0; i < 12; i++) {
        fake_run(&bench.fake);
        cr_expect_eq(messages[i].answers, 1);
    }
    cr_expect_arr_eq(gate.order, letters, 12);
    bench_stop(&bench);
}

Test(scan_pool, one_that_takes_long_does_not_hold_up_the_others)
{
    struct message slow, quick;
    struct bench bench;

    bench_start(&bench, 2, false);
    gate.only = 's';
    gate_close(true);
    message_make(&slow, VIEW("slow"));
    submit(bench.pool, &bench.fake, bench.rules, &slow);
    gate_await(1);
    for (unsigned i = 1; i <= 3; i++) {
        message_make(&quick, VIEW("quick"));
        submit(bench.pool, &bench.fake, bench.rules, &quick);
        fake_run(&bench.fake);
        cr_expect_eq(quick.answers, 1);
        cr_expect_eq(slow.answers, 0);
    }
    gate_close(false);
    fake_run(&bench.fake);
    cr_expect_eq(slow.answers, 1);
    bench_stop(&bench);
}

/* ---- cancelling ---- */

Test(scan_pool, what_nobody_waits_for_is_not_scanned)
{
    struct message first, second, third;
    struct bench bench;

    bench_start(&bench, 1, true);
    gate_close(true);
    message_make(&first, VIEW("1"));
    message_make(&second, VIEW("2 EVILEVIL"));
    message_make(&third, VIEW("3"));
    second.scans[0].quarantine = true;
    submit(bench.pool, &bench.fake, bench.rules, &first);
    gate_await(1);
    struct scan_job *job = submit(bench.pool, &bench.fake, bench.rules, &second);
    submit(bench.pool, &bench.fake, bench.rules, &third);
    scan_job_cancel(job);
    scan_job_cancel(NULL);
    gate_close(false);
    for (int i = 0; i < 2; i++)
        fake_run(&bench.fake);
    cr_expect_eq(first.answers, 1);
    cr_expect_eq(second.answers, 0);
    cr_expect_eq(third.answers, 1);
    cr_expect_eq(gate.begun, 2);
    cr_expect_null(fake_take(&bench.fake, false));
    cr_expect_eq(directory_count(bench.folder, ".payload", NULL), 0);
    bench_stop(&bench);
}

/* Clients that leave and come back leave nothing behind, however long the queue is. */
Test(scan_pool, what_nobody_waits_for_is_given_up_at_once)
{
    static const unsigned order[] = {2, 0, 4, 3}; /* in the midst, at the front, at the end */
    static const char letters[] = "abcde";
    struct message first, others[5];
    struct scan_job *jobs[5];
    struct bench bench;

    bench_start(&bench, 1, false);
    gate_close(true);
    message_make(&first, VIEW("1"));
    submit(bench.pool, &bench.fake, bench.rules, &first);
    gate_await(1);
    unsigned before = references(bench.rules);
    for (unsigned i = 0; i < 5; i++) {
        message_make(&others[i], view_of(&letters[i], 1));
        jobs[i] = submit(bench.pool, &bench.fake, bench.rules, &others[i]);
    }
    cr_expect_eq(references(bench.rules), before + 5);
    for (unsigned i = 0; i < 4; i++) {
        scan_job_cancel(jobs[order[i]]);
        cr_expect_eq(references(bench.rules), before + 4 - i);
    }
    struct message last;
    message_make(&last, VIEW("z"));
    submit(bench.pool, &bench.fake, bench.rules, &last);
    gate_close(false);
    for (int i = 0; i < 3; i++)
        fake_run(&bench.fake);
    cr_expect_eq(others[1].answers, 1);
    cr_expect_eq(last.answers, 1);
    cr_expect_arr_eq(gate.order, "1bz", 3);
    cr_expect_eq(gate.begun, 3);
    bench_stop(&bench);
}

/* ---- waiting ---- */

Test(scan_pool, what_has_waited_too_long_is_answered_without_a_scan)
{
    struct message first, late, timely;
    struct bench bench;

    bench_start(&bench, 1, true);
    gate_close(true);
    message_make(&first, VIEW("1"));
    submit(bench.pool, &bench.fake, bench.rules, &first);
    gate_await(1);
    message_make(&late, VIEW("EVILEVIL"));
    late.count = 2;
    late.scans[0].quarantine = true;
    atomic_store(&later_s, 11);
    submit(bench.pool, &bench.fake, bench.rules, &late);
    message_make(&timely, VIEW("EVILEVIL"));
    atomic_store(&later_s, 1);
    submit(bench.pool, &bench.fake, bench.rules, &timely);
    atomic_store(&later_s, 0);
    gate_close(false);
    for (int i = 0; i < 3; i++)
        fake_run(&bench.fake);
    cr_assert_eq(late.answers, 1);
    cr_assert_not_null(late.error);
    cr_expect_str_eq(late.error, "waited too long");
    cr_expect_null(late.error_set, "no rules are to blame");
    cr_expect_not(late.complete);
    cr_expect_eq(late.found[0] + late.found[1], 0);
    cr_expect_null(late.quarantine[0]);
    cr_expect_eq(gate.begun, 2);
    cr_expect_null(timely.error);
    cr_expect_eq(timely.found[0], 1);
    cr_expect_eq(directory_count(bench.folder, ".payload", NULL), 0);
    bench_stop(&bench);
}

Test(scan_pool, what_was_begun_is_stored_although_nobody_waits)
{
    struct message message;
    struct bench bench;

    bench_start(&bench, 1, true);
    gate_close(true);
    message_make(&message, VIEW("EVILEVIL"));
    message.scans[0].quarantine = true;
    struct scan_job *job = submit(bench.pool, &bench.fake, bench.rules, &message);
    gate_await(1);
    scan_job_cancel(job);
    gate_close(false);
    fake_run(&bench.fake);
    cr_expect_eq(message.answers, 0);
    cr_expect_eq(directory_count(bench.folder, ".payload", NULL), 1);
    bench_stop(&bench);
}

Test(scan_pool, an_answer_that_is_on_its_way_can_be_cancelled)
{
    struct message message;
    struct bench bench;

    bench_start(&bench, 1, false);
    message_make(&message, VIEW("EVILEVIL"));
    struct scan_job *job = submit(bench.pool, &bench.fake, bench.rules, &message);
    struct worker_task *task = fake_take(&bench.fake, true);
    scan_job_cancel(job);
    task->run(task);
    cr_expect_eq(message.answers, 0);
    bench_stop(&bench);
}

Test(scan_pool, the_end_leaves_nothing_behind)
{
    struct message messages[8];
    struct bench bench;

    bench_start(&bench, 1, false);
    gate_close(true);
    for (size_t i = 0; i < 8; i++) {
        message_make(&messages[i], VIEW("EVILEVIL"));
        scan_job_cancel(submit(bench.pool, &bench.fake, bench.rules, &messages[i]));
    }
    gate_close(false);
    bench_stop(&bench); /* with what is in the queue, in a scan, and on its way */
    for (size_t i = 0; i < 8; i++)
        cr_expect_eq(messages[i].answers, 0);
}

/* ---- rules ---- */

Test(scan_pool, findings_do_not_outlive_their_rules)
{
    struct message message;
    struct bench bench;

    bench_start(&bench, 1, false);
    struct scan_rules *rules = load();
    message_make(&message, VIEW("EVILEVIL"));
    submit(bench.pool, &bench.fake, rules, &message);
    struct worker_task *task = fake_take(&bench.fake, true);
    scan_pool_release_rules(bench.pool);
    WAIT_FOR(references(rules) == 2); /* ours and the job's */
    scan_rules_release(rules);
    task->run(task);
    cr_expect_str_eq(message.rule, "evil");
    bench_stop(&bench);
}

Test(scan_pool, idle_threads_let_go_of_rules)
{
    struct message messages[2];
    struct bench bench;

    bench_start(&bench, 2, false);
    for (int round = 0; round < 3; round++) {
        gate_close(true);
        for (size_t i = 0; i < 2; i++) {
            message_make(&messages[i], VIEW("EVILEVIL"));
            submit(bench.pool, &bench.fake, bench.rules, &messages[i]);
        }
        gate_await((unsigned)round * 2 + 2);
        gate_close(false);
        fake_run(&bench.fake);
        fake_run(&bench.fake);
        cr_expect_eq(references(bench.rules), 3, "both threads have them");
        scan_pool_release_rules(bench.pool);
        WAIT_FOR(references(bench.rules) == 1);
        cr_expect_eq(messages[0].found[0] + messages[1].found[0], 2);
    }
    bench_stop(&bench);
}

/* A connection that is not bound to the new rules yet may have messages scanned with the old ones; nobody
 * says again that they are to be let go of. */
Test(scan_pool, threads_that_were_idle_for_long_let_go_of_rules_by_themselves)
{
    struct message message;
    struct bench bench;

    bench_start(&bench, 1, false);
    atomic_store(&later_s, 10);
    for (int round = 0; round < 3; round++) {
        message_make(&message, VIEW("EVILEVIL"));
        submit(bench.pool, &bench.fake, bench.rules, &message);
        fake_run(&bench.fake);
        WAIT_FOR(references(bench.rules) == 1);
        cr_expect_eq(message.found[0], 1);
    }
    bench_stop(&bench);
}
