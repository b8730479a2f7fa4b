/* SPDX-License-Identifier: Apache-2.0 */
/* The chain over stops, deaths and other people's hands: what holds goes on, what does not is said, and
 * mqward starts in any case. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ring.h"
#include "chain_follow.h"
#include "event.h"
#include "exporters/chain_key.h"
#include "exporters/chain_state.h"
#include "exporters/checkpoint.h"

static char path[DIRECTORY_MAX];
static struct exporter_settings settings;

static void begin(void)
{
    directory_make(path);
    settings = directory_settings(path);
    settings.chain = (struct exporter_chain){NULL, 10000, 60000};
}

static void end(void)
{
    directory_remove(path);
}

TestSuite(chain_recovery, .init = begin, .fini = end, .timeout = 100);

static struct exporter *open_exporter(void)
{
    char error[512] = "";
    struct exporter *exporter = exporter_open(&settings, error, sizeof(error));

    cr_assert_not_null(exporter, "%s", error);
    return exporter;
}

static void push(struct exporter *exporter, uint64_t first, uint64_t count)
{
    uint8_t record[AUDIT_EVENT_MAX];
    char user[32];

    for (uint64_t i = 0; i < count; i++) {
        struct audit_event event = event_numbered(first + i, user);
        while (!ring_push(exporter_ring(exporter, 0), view_of(record, audit_event_encode(&event, record))))
            usleep(1000);
        exporter_wake(exporter);
    }
}

/* A start with so many events, and a clean stop. */
static void run(uint64_t count)
{
    struct exporter *exporter = open_exporter();

    cr_assert_eq(exporter_start(exporter), 0);
    push(exporter, 0, count);
    exporter_close(exporter, 0);
}

/* A start whose events are in the journal and whose process then dies. */
static void die_with(uint64_t count)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct exporter *exporter = open_exporter();
        struct exporter_status sealed;
        cr_assert_eq(exporter_start(exporter), 0);
        push(exporter, 0, count);
        do {
            usleep(1000);
            exporter_status(exporter, &sealed);
        } while (sealed.events < count + 1);
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
}

static struct chain_followed follow_whole(void)
{
    uint8_t key[CHAIN_KEY_SIZE];

    chain_key_of(path, key);
    return chain_follow_whole(path, key);
}

/* In the directory; $last is the newest segment, $older are the others. */
static void shell(const char *line)
{
    char command[1024];

    snprintf(command, sizeof(command),
        "cd %s && last=$(ls journal-*.ndjson | tail -1) && older=$(ls journal-*.ndjson | head -n -1) && %s",
        path, line);
    cr_assert_eq(system(command), 0, "%s", command);
}

/* The audit-gap event of the chain: its detail holds text. Returns it; free with json_decref(). */
struct gaps {
    const char *text;
    size_t count;
    json_t *last;
};

static void count_gap(void *argument, struct view line, const struct record_head *head)
{
    struct gaps *gaps = argument;
    json_t *root = json_loadb((const char *)line.data, line.length, 0, NULL);

    (void)head;
    cr_assert_not_null(root);
    if (strcmp(string_at(root, "event.reason"), "chain_broken") == 0) {
        cr_assert_str_eq(string_at(root, "event.action"), "audit-gap");
        gaps->count++;
        if (gaps->text != NULL && strstr(string_at(root, "mqward.detail"), gaps->text) != NULL) {
            json_decref(gaps->last);
            gaps->last = json_incref(root);
        }
    }
    json_decref(root);
}

static size_t breaks(void)
{
    struct gaps gaps = {0};

    directory_lines(path, count_gap, &gaps);
    return gaps.count;
}

/* Exactly one break was ever said, and it says text. */
static json_t *the_break(const char *text)
{
    struct gaps gaps = {.text = text};

    directory_lines(path, count_gap, &gaps);
    cr_assert_eq(gaps.count, 1, "%zu breaks", gaps.count);
    cr_assert_not_null(gaps.last, "none says: %s", text);
    return gaps.last;
}

/* ---- what goes on ---- */

Test(chain_recovery, starts_one_after_the_other_are_one_chain)
{
    struct chain_followed found;

    for (unsigned start = 1; start <= 5; start++) {
        run(start == 3 ? 0 : 100 * start);
        found = follow_whole();
        cr_assert_eq(found.starts, start);
        cr_assert_eq(found.last_start, start);
        cr_assert(found.ends_signed, "the last line of a clean stop");
    }
    cr_assert_eq(found.lines, 1200 + 2 * 4 + 1, "two checkpoints a start, one where nothing else was sealed");
    cr_assert_eq(found.checkpoints, 9);
    cr_assert_eq(breaks(), 0);
    cr_assert_eq(directory_count(path, "damaged", NULL), 0);
}

_Noreturn static void run_until_killed(int opened)
{
    struct exporter *exporter = open_exporter();

    cr_assert_eq(exporter_start(exporter), 0);
    cr_assert_eq(write(opened, "", 1), 1);
    for (uint64_t number = 0;; number += 10) {
        push(exporter, number, 10);
        usleep(500);
    }
}

Test(chain_recovery, deaths_at_random_moments_leave_one_chain)
{
    int status, opened[2];
    char byte;

    settings.segment_bytes = 100000;
    settings.chain.checkpoint_events = 100;
    cr_assert_eq(pipe(opened), 0);
    for (int death = 0; death < 25; death++) {
        settings.fsync = death % 3 == 0 ? EXPORTER_FSYNC_ALWAYS : EXPORTER_FSYNC_NEVER;
        pid_t child = fork();
        if (child == 0)
            run_until_killed(opened[1]);
        if (death % 5 != 4) /* the others die while they open */
            cr_assert_eq(read(opened[0], &byte, 1), 1);
        usleep((useconds_t)(random() % 25000));
        kill(child, SIGKILL);
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFSIGNALED(status), "it ended by itself in death %d", death);
    }
    run(10);
    struct chain_followed found = follow_whole();
    cr_assert(found.starts > 20 && found.last_start <= 26, "%zu", found.starts);
    cr_assert_leq(found.longest, 100);
    cr_assert_eq(breaks(), 0);
}

/* What a death between the append and the state's move leaves. */
Test(chain_recovery, lines_that_the_state_does_not_know_are_checked_and_kept)
{
    for (unsigned lines = 1; lines <= 3; lines++) {
        struct exporter *exporter = open_exporter();
        push(exporter, 0, 5);
        exporter_close(exporter, 0);
        shell("cp chain.state before");
        die_with(100 * lines);
        /* The state of that start's begin, and that of the stop before it: both are behind. */
        if (lines == 2)
            shell("cp before chain.state");
        run(7);
    }
    struct chain_followed found = follow_whole();
    cr_assert_eq(found.starts, 9);
    cr_assert_eq(breaks(), 0);
}

Test(chain_recovery, a_state_from_a_backup_finds_its_way_over_whole_starts)
{
    run(10);
    shell("cp chain.state backup");
    for (int i = 0; i < 5; i++)
        run(20);
    shell("cp backup chain.state");
    run(10);
    struct chain_followed found = follow_whole();
    cr_assert_eq(found.starts, 7);
    cr_assert_eq(found.last_start, 7);
    cr_assert_eq(breaks(), 0);
}

Test(chain_recovery, a_torn_tail_is_cut_and_the_chain_goes_on)
{
    die_with(50);
    shell("for f in journal-*.ndjson; do printf '{\"@timestamp\":\"2026-01' >> $f; done");
    run(10);
    cr_assert_eq(directory_count(path, ".torn", NULL), 1);
    cr_assert_eq(follow_whole().starts, 2);
    cr_assert_eq(breaks(), 0);
}

Test(chain_recovery, a_start_without_a_line_leaves_a_hole_in_the_numbers_only)
{
    run(5);
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        int status;
        if (child == 0) {
            /* The state is at the new start, and nothing gets into the journal. */
            struct chain_state *state;
            struct chain_point point;
            char file[128], error[256];
            snprintf(file, sizeof(file), "%s/" CHAIN_STATE_NAME, path);
            cr_assert_eq(chain_state_open(file, &state, &point, error, sizeof(error)), CHAIN_STATE_FOUND);
            chain_begin(&point.cursor, point.secret, point.cursor.epoch + 1, point.cursor.start + 1);
            chain_next_secret(point.secret);
            chain_state_set(state, &point);
            _exit(0);
        }
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert_eq(status, 0);
    }
    run(5);
    struct chain_followed found = follow_whole();
    cr_assert_eq(found.starts, 2);
    cr_assert_eq(found.last_start, 5);
    cr_assert_eq(breaks(), 0);
}

Test(chain_recovery, lines_from_before_there_was_a_chain_stay_and_are_no_break)
{
    run(30);
    shell("sed -i 's/,\"chain\":{.*$/}/' journal-*.ndjson && rm chain.state chain.key");
    run(10);
    cr_assert_eq(breaks(), 0);
    cr_assert_eq(directory_actions(path, "mqtt-publish-denied"), 40);
    /* What follows is a chain of its own. */
    shell("rm $older");
    cr_assert_eq(follow_whole().last_start, 1);
}

Test(chain_recovery, what_retention_took_is_not_missing)
{
    settings.retention_ms = 100;
    die_with(50);
    shell("rm -f journal-*.ndjson"); /* -f: retention may have been quicker */
    usleep(150000);
    run(5);
    cr_assert_eq(breaks(), 0);
    /* But not as long as it must be there. */
    settings.retention_ms = 1000 * 1000;
    die_with(50);
    shell("rm journal-*.ndjson");
    run(5);
    json_t *found = the_break("the journal has no line of epoch");
    cr_assert_null(json_at(found, "mqward.count"), "how many were still there nobody knows");
    json_decref(found);
}

/* ---- what does not hold ---- */

/* Each of these is done to a journal of a process that died: 1 + 60 lines, the state knows them all. */
static void expect_break(const char *what, const char *text, int64_t count)
{
    uint8_t key[CHAIN_KEY_SIZE];

    die_with(60);
    chain_key_of(path, key);
    shell(what);
    run(5);
    json_t *found = the_break(text);
    if (count > 0)
        cr_assert_eq(number_at(found, "mqward.count"), count);
    json_decref(found);
    struct chain_followed rest = chain_follow(path, key);
    cr_assert_eq(rest.last_start, 2, "it goes on");
    cr_assert_eq(rest.holes, 1, "and whoever verifies sees where");
    run(5);
    cr_assert_eq(breaks(), 1, "said once");
}

Test(chain_recovery, a_journal_that_was_cut_is_said)
{
    expect_break("sed -i '41,$d' $last", "sequences 41 to 61 of epoch", 21);
    json_t *found = the_break("missing in the journal");
    cr_assert_eq(number_at(found, "mqward.gap.first_sequence"), 41);
    cr_assert_eq(number_at(found, "mqward.gap.last_sequence"), 61);
    json_decref(found);
}

Test(chain_recovery, a_changed_last_line_is_said)
{
    uint8_t key[CHAIN_KEY_SIZE];

    die_with(60);
    chain_key_of(path, key);
    shell("sed -i '61s/\"name\":\"59\"/\"name\":\"58\"/; 61s/\\(\"hash\":\"\\)./\\1x/' journal-*.ndjson");
    run(5);
    json_t *found = the_break("do not hold, the first is");
    cr_assert_eq(number_at(found, "mqward.count"), 1);
    json_decref(found);
}

/* The lines that the state does not know yet: what is done to them is seen by their keys. */
static void expect_break_beyond(const char *what, const char *text, int64_t count)
{
    struct exporter *exporter = open_exporter();
    push(exporter, 0, 5);
    exporter_close(exporter, 0);
    shell("cp chain.state behind");
    run(30);
    shell("cp behind chain.state");
    shell(what);
    run(5);
    json_t *found = the_break(text);
    cr_assert_eq(number_at(found, "mqward.count"), count);
    json_decref(found);
}

Test(chain_recovery, a_changed_line_that_the_state_does_not_know_is_said)
{
    expect_break_beyond("sed -i '10s/\"name\":\"8\"/\"name\":\"9\"/' $last", "do not hold, the first is", 1);
}

Test(chain_recovery, a_removed_line_that_the_state_does_not_know_is_said)
{
    expect_break_beyond("sed -i '10,12d' $last", "are missing in the journal", 3);
}

Test(chain_recovery, a_line_without_its_chain_is_said)
{
    expect_break_beyond("sed -i '10s/,\"chain\":{.*$/}/' $last", "not part of the chain", 1);
}

Test(chain_recovery, an_inserted_line_is_said)
{
    expect_break_beyond("sed -i '10p' $last", "do not hold, the first is", 1);
}

Test(chain_recovery, a_lost_state_is_made_anew_from_the_key_that_is_there)
{
    run(20);
    die_with(20);
    shell("rm chain.state");
    run(5);
    json_t *found = the_break("the chain's state was gone; it was made anew from chain.key");
    json_decref(found);
    struct chain_followed rest = follow_whole();
    cr_assert_eq(rest.starts, 3);
    cr_assert_eq(rest.last_start, 3, "the same chain");
}

Test(chain_recovery, a_lost_state_without_the_key_is_a_new_chain)
{
    uint8_t old_key[CHAIN_KEY_SIZE], key[CHAIN_KEY_SIZE];

    run(20);
    chain_key_of(path, old_key);
    shell("rm chain.state chain.key");
    run(5);
    json_decref(the_break("a new chain begins, with another verification key"));
    chain_key_of(path, key);
    cr_assert_neq(memcmp(key, old_key, sizeof(key)), 0);
    shell("rm $older");
    cr_assert_eq(follow_whole().last_start, 1);
}

Test(chain_recovery, a_damaged_state_is_kept_and_said)
{
    run(20);
    shell("for at in 20 230; do printf x | dd of=chain.state bs=1 seek=$at conv=notrunc status=none; done");
    run(5);
    json_decref(the_break("the chain's state was damaged; it was made anew from chain.key"));
    cr_assert_eq(directory_count(path, "chain.state.damaged-", NULL), 1);
    cr_assert_eq(follow_whole().last_start, 2);
}

/* The verification key is elsewhere, as it should be: it must not lose its meaning with a sector. */
Test(chain_recovery, a_damaged_state_without_the_key_is_no_new_chain)
{
    uint8_t key[CHAIN_KEY_SIZE];

    run(20);
    chain_key_of(path, key);
    shell("rm chain.key");
    for (int death = 0; death < 2; death++) { /* behind a clean stop, and a death */
        if (death)
            die_with(7);
        shell("head -c 512 /dev/urandom | dd of=chain.state bs=1 conv=notrunc status=none");
        run(5);
        if (!death)
            json_decref(the_break("the chain's state was damaged: lines of start 1 could not be checked"));
    }
    cr_assert_eq(breaks(), 2);
    cr_assert_eq(directory_count(path, "chain.key", NULL), 0, "there is no new one");
    cr_assert_eq(directory_count(path, "chain.state", NULL), 1);
    struct chain_followed found = chain_follow_whole(path, key);
    cr_assert_eq(found.starts, 4);
    cr_assert_eq(found.last_start, 4);
}

/* Without the keys nothing can be said of them, whatever their numbers are. */
Test(chain_recovery, lines_of_an_earlier_chain_are_no_break_when_a_damaged_state_is_rescued)
{
    uint8_t key[CHAIN_KEY_SIZE];

    for (int unchained = 0; unchained < 2; unchained++) {
        for (int i = 0; i < 4; i++)
            run(5);
        shell(unchained ? "sed -i 's/,\"chain\":{.*$/}/' journal-*.ndjson && rm chain.*" : "rm chain.*");
        run(5);
        chain_key_of(path, key);
        const size_t before = breaks();
        shell("rm chain.key && head -c 512 /dev/urandom | dd of=chain.state bs=1 conv=notrunc status=none");
        run(5);
        cr_assert_eq(breaks(), before + 1);
        struct gaps gaps = {.text = "lines of start 1 could not be checked"};
        directory_lines(path, count_gap, &gaps);
        cr_assert_not_null(gaps.last);
        cr_assert_null(json_at(gaps.last, "mqward.count"), "none is lost");
        json_decref(gaps.last);
        shell("mkdir old && mv $(ls journal-*.ndjson | head -n -2) old");
        cr_assert_eq(chain_follow_whole(path, key).last_start, 2, "one chain goes on");
        shell("rm -r old journal-* cursor-* chain.* 2>/dev/null || true");
    }
}

/* Of its own start one is. */
Test(chain_recovery, a_line_of_another_start_in_the_epoch_of_a_rescued_one_is_a_break)
{
    run(20);
    shell(
        "rm chain.key && head -c 512 /dev/urandom | dd of=chain.state bs=1 conv=notrunc status=none && "
        "sed -i '5s/\"start\":1,/\"start\":7,/' journal-*.ndjson && grep -q '\"start\":7,' journal-*.ndjson");
    run(5);
    struct gaps gaps = {.text = "lines of the journal do not hold, the first is"};
    directory_lines(path, count_gap, &gaps);
    cr_assert_not_null(gaps.last);
    cr_assert_eq(number_at(gaps.last, "mqward.count"), 1);
    json_decref(gaps.last);
}

Test(chain_recovery, a_process_that_died_while_it_made_the_first_files_is_no_matter)
{
    char error[256];
    uint8_t key[CHAIN_KEY_SIZE] = {1, 2, 3};
    char file[128];

    snprintf(file, sizeof(file), "%s/" CHAIN_KEY_NAME, path);
    cr_assert_eq(chain_key_write(file, key, error, sizeof(error)), 0);
    run(5); /* the key, and no state */
    cr_assert_eq(chain_follow_whole(path, key).starts, 1);
    cr_assert_eq(breaks(), 0);
    for (int i = 0; i < 2; i++) { /* names, and nothing in them yet */
        shell("rm chain.* journal-* && : > chain.key && chmod 600 chain.key");
        if (i == 1)
            shell(
                "head -c 84 /dev/zero | tr '\\0' a > chain.key && : > chain.state && chmod 600 chain.state");
        run(5);
        cr_assert_eq(follow_whole().starts, 1);
    }
    cr_assert_eq(directory_count(path, "chain.key.damaged-", NULL), 1);
    cr_assert_eq(breaks(), 0);
}

Test(chain_recovery, a_verification_key_that_was_moved_away_is_not_missed)
{
    uint8_t key[CHAIN_KEY_SIZE];

    run(5);
    chain_key_of(path, key);
    shell("rm chain.key");
    run(5);
    cr_assert_eq(directory_count(path, "chain.key", NULL), 0);
    cr_assert_eq(chain_follow_whole(path, key).starts, 2);
    /* And nothing in the directory can replace it. */
    shell("! grep -q mqward-chain-key * ");
}

/* ---- checkpoints ---- */

Test(chain_recovery, checkpoints_come_after_so_many_lines)
{
    settings.chain.checkpoint_events = 100;
    run(5000);
    struct chain_followed found = follow_whole();
    cr_assert_eq(found.longest, 100);
    cr_assert_eq(found.checkpoints, 1 + 50);
    cr_assert_eq(found.lines, 5051);
    cr_assert(found.ends_signed, "the fiftieth was the last line already");
}

/* The last of so many lines, of which the others were pushed no earlier than that. */
static void expect_checkpoint_in_time(struct exporter *exporter, uint64_t before, uint64_t lines)
{
    struct exporter_status status;

    WAIT_FOR((exporter_status(exporter, &status), status.events == lines));
    cr_assert_geq(clock_monotonic_ms() - before, 900);
    usleep(1300000);
    exporter_status(exporter, &status);
    cr_assert_eq(status.events, lines, "none while nothing else is sealed");
}

Test(chain_recovery, a_line_waits_for_its_checkpoint_no_longer_than_the_interval)
{
    settings.chain.checkpoint_interval_ms = 1000;
    struct exporter *exporter = open_exporter();
    uint64_t before = clock_monotonic_ms();
    push(exporter, 0, 3); /* before the start: one batch has all of them, and they share a checkpoint */
    cr_assert_eq(exporter_start(exporter), 0);
    expect_checkpoint_in_time(exporter, before, 1 + 3 + 1);
    before = clock_monotonic_ms();
    push(exporter, 0, 1);
    expect_checkpoint_in_time(exporter, before, 5 + 1 + 1);
    exporter_close(exporter, 0);
    struct chain_followed found = follow_whole();
    cr_assert_eq(found.lines, 7, "and none at the stop: nothing came since");
}

Test(chain_recovery, the_first_line_of_a_start_names_the_checkpoint_before_a_death)
{
    settings.chain.checkpoint_events = 100;
    die_with(250); /* two by count; 50 lines wait */
    run(0);
    struct chain_followed found = follow_whole(); /* which checks previous and events */
    cr_assert_eq(found.checkpoints, 4);
    cr_assert_eq(found.lines, 254);
}

Test(chain_recovery, the_signing_key_may_be_elsewhere)
{
    char file[128], error[512] = "";

    snprintf(file, sizeof(file), "%s/%s", path, "elsewhere.pem");
    settings.chain.signing_key = file;
    run(5);
    cr_assert_eq(directory_count(path, "elsewhere.pub", NULL), 1);
    cr_assert_eq(directory_count(path, CHECKPOINT_KEY_NAME, NULL), 0);
    shell("cp elsewhere.pub " CHECKPOINT_PUBLIC_NAME);
    run(5);
    cr_assert_eq(follow_whole().starts, 2);
    shell("chmod 640 elsewhere.pem");
    cr_assert_null(exporter_open(&settings, error, sizeof(error)));
    cr_assert_not_null(strstr(error, "open to other users"), "%s", error);
    shell("echo nonsense > elsewhere.pem && chmod 600 elsewhere.pem");
    cr_assert_null(exporter_open(&settings, error, sizeof(error)));
    cr_assert_not_null(strstr(error, "no Ed25519 private key"), "%s", error);
}
