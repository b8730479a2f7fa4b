/* SPDX-License-Identifier: Apache-2.0 */
/* The chain under somebody else's hands while mqward runs or rests, and chains that begin elsewhere: no key
 * of what was sealed, no line lost, and no alarm without a cause. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ring.h"
#include "chain_follow.h"
#include "event.h"
#include "exporters/chain_key.h"
#include "exporters/chain_state.h"

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

TestSuite(chain_hands, .init = begin, .fini = end, .timeout = 100);

static struct exporter *start(void)
{
    char error[512] = "";
    struct exporter *exporter = exporter_open(&settings, error, sizeof(error));

    cr_assert_not_null(exporter, "%s", error);
    cr_assert_eq(exporter_start(exporter), 0);
    return exporter;
}

/* All of them are sealed when it returns; total: with those before. */
static void push(struct exporter *exporter, uint64_t count, uint64_t total)
{
    uint8_t record[AUDIT_EVENT_MAX];
    struct exporter_status sealed;
    char user[32];

    for (uint64_t i = 0; i < count; i++) {
        struct audit_event event = event_numbered(i, user);
        cr_assert(ring_push(exporter_ring(exporter, 0), view_of(record, audit_event_encode(&event, record))));
        exporter_wake(exporter);
    }
    WAIT_FOR((exporter_status(exporter, &sealed), sealed.events >= total));
}

static void run(uint64_t count)
{
    struct exporter *exporter = start();

    push(exporter, count, count);
    exporter_close(exporter, 0);
}

static void shell(const char *line)
{
    char command[1024];

    snprintf(command, sizeof(command), "cd %s && last=$(ls journal-*.ndjson | tail -1) && %s", path, line);
    cr_assert_eq(system(command), 0, "%s", command);
}

static void count_break(void *argument, struct view line, const struct record_head *head)
{
    static const char reason[] = "\"reason\":\"chain_broken\"";

    (void)head;
    *(size_t *)argument += memmem(line.data, line.length, reason, sizeof(reason) - 1) != NULL;
}

static size_t breaks(void)
{
    size_t count = 0;

    directory_lines(path, count_break, &count);
    return count;
}

/* ---- while it runs ---- */

Test(chain_hands, a_directory_that_is_deleted_takes_no_chain_with_it)
{
    uint8_t key[CHAIN_KEY_SIZE];
    char copy[DIRECTORY_MAX], command[512];

    struct exporter *exporter = start();
    push(exporter, 20, 21);
    chain_key_of(path, key);
    directory_make(copy);
    /* The state that is missed is made again at once, also while rm is at work. */
    snprintf(command, sizeof(command),
        "cp %s/checkpoint.* %s/journal-* %s && until rm -rf %s 2> /dev/null; do :; done", path, path, copy,
        path);
    cr_assert_eq(system(command), 0);
    push(exporter, 20, 41);
    exporter_close(exporter, 0);
    snprintf(command, sizeof(command),
        "cd %s && cmp checkpoint.pub %s/checkpoint.pub && cmp checkpoint.key %s/checkpoint.key", path, copy,
        copy);
    cr_assert_eq(system(command), 0, "the same pair");
    run(5);
    cr_assert_eq(breaks(), 0);
    /* With what the sinks have of the lines that were deleted it is whole. */
    snprintf(command, sizeof(command), "cp %s/journal-* %s", copy, path);
    cr_assert_eq(system(command), 0);
    cr_assert_eq(chain_follow_whole(path, key).last_start, 2, "the same chain");
    directory_remove(copy);
}

Test(chain_hands, a_state_that_is_cut_deleted_or_moved_is_there_again)
{
    static const char *const hands[] = {
        "truncate -s 0 chain.state", "rm chain.state", "mv chain.state moved"};

    for (size_t i = 0; i < sizeof(hands) / sizeof(hands[0]); i++) {
        struct exporter *exporter = start();
        push(exporter, 5, 5);
        shell(hands[i]);
        push(exporter, 5, 10);
        exporter_close(exporter, 0);
    }
    /* Also when nothing is sealed behind it. */
    struct exporter *exporter = start();
    push(exporter, 5, 5);
    shell("rm chain.state");
    exporter_close(exporter, 0);
    run(5);
    uint8_t key[CHAIN_KEY_SIZE];
    chain_key_of(path, key);
    cr_assert_eq(chain_follow_whole(path, key).last_start, 5);
    cr_assert_eq(breaks(), 0);
}

/* ---- a chain that begins elsewhere ---- */

static void make_elsewhere(uint8_t key[CHAIN_KEY_SIZE])
{
    struct chain_point point;
    char file[128], error[256];

    cr_assert_eq(chain_key_draw(key), 0);
    chain_point_begin_elsewhere(&point, key);
    snprintf(file, sizeof(file), "%s/" CHAIN_STATE_NAME, path);
    cr_assert_eq(chain_state_make(file, &point, error, sizeof(error)), 0, "%s", error);
}

Test(chain_hands, a_chain_from_elsewhere_never_has_its_verification_key_here)
{
    uint8_t key[CHAIN_KEY_SIZE], bytes[CHAIN_STATE_BYTES];
    char file[128];

    make_elsewhere(key);
    snprintf(file, sizeof(file), "%s/" CHAIN_STATE_NAME, path);
    FILE *state = fopen(file, "re");
    cr_assert(state != NULL && fread(bytes, 1, sizeof(bytes), state) == sizeof(bytes));
    fclose(state);
    cr_assert_null(memmem(bytes, sizeof(bytes), key, 8));
    run(5);
    run(5);
    struct chain_followed found = chain_follow_whole(path, key);
    cr_assert_eq(found.starts, 2);
    cr_assert_eq(found.last_start, 3, "the first one was given away");
    cr_assert_eq(breaks(), 0);
    cr_assert_eq(directory_count(path, "chain.key", NULL), 0);
}

Test(chain_hands, lines_of_a_version_without_a_chain_are_no_break_for_a_chain_from_elsewhere)
{
    uint8_t key[CHAIN_KEY_SIZE];

    run(30);
    shell("sed -i 's/,\"chain\":{.*$/}/' $last && rm chain.state chain.key");
    make_elsewhere(key);
    run(10);
    cr_assert_eq(breaks(), 0);
}

/* ---- while it rests ---- */

Test(chain_hands, what_retention_took_is_not_missing_when_the_state_is_made_anew)
{
    run(20);
    run(20);
    shell("sed -i 1,2d $(ls journal-*.ndjson | head -1) && rm chain.state");
    run(5);
    cr_assert_eq(breaks(), 1, "the state was gone, and nothing else");
    shell("rm $(ls journal-*.ndjson | head -1) && rm chain.state");
    run(5);
    cr_assert_eq(breaks(), 2);
}

static uint64_t newest_epoch(void)
{
    uint8_t key[CHAIN_KEY_SIZE];

    chain_key_of(path, key);
    return chain_follow(path, key).epoch;
}

Test(chain_hands, a_planted_segment_of_a_time_to_come_is_set_aside_once)
{
    static const char *const epochs[] = {"ffffffffffffffff", "f000000012345678", "8fffffff12345678"};

    run(5);
    for (size_t i = 0; i < sizeof(epochs) / sizeof(epochs[0]); i++) {
        char command[512];
        uint64_t before = newest_epoch();
        snprintf(command, sizeof(command),
            "sed 's/%016llx/%s/g; s/\"created\":\"2/\"created\":\"9/' $last > journal-%s-%020d.ndjson",
            (unsigned long long)before, epochs[i], epochs[i], 1);
        shell(command);
        run(5);
        cr_assert_eq(breaks(), i + 1);
        uint64_t after = newest_epoch();
        cr_assert(after > before && after - before < UINT64_C(100) << 32, "%llx", (unsigned long long)after);
        run(5);
        cr_assert_eq(breaks(), i + 1, "said once");
        cr_assert_eq(directory_count(path, ".damaged-", NULL), i + 1);
    }
    shell("! grep -q '\"created\":\"9' journal-*.ndjson");
}

Test(chain_hands, a_line_that_does_not_hold_does_not_tell_the_time)
{
    run(5);
    shell("sed -i '$p; $s/\"created\":\"2/\"created\":\"9/' $last");
    run(5);
    run(5);
    shell("test $(cat journal-*.ndjson | grep -c '\"created\":\"9') = 1");
}

/* But a clock that was ahead does, also when the process died before the state knew of it. */
Test(chain_hands, lines_that_hold_tell_the_time)
{
    char file[128], error[256];
    struct chain_point point;

    run(5);
    snprintf(file, sizeof(file), "%s/" CHAIN_STATE_NAME, path);
    struct chain_state *state;
    cr_assert_eq(chain_state_open(file, &state, &point, error, sizeof(error)), CHAIN_STATE_FOUND);
    point.sealed_us = clock_wall_us() + 3600 * UINT64_C(1000000);
    cr_assert_eq(chain_state_set(state, &point), 0);
    chain_state_close(state);
    struct chain_point ahead = point;
    shell("cp chain.state known");
    run(5);
    shell("cp known chain.state");
    run(5);
    cr_assert_eq(chain_state_read(file, &point, error, sizeof(error)), CHAIN_STATE_FOUND);
    cr_assert_gt(point.sealed_us, ahead.sealed_us + 1000, "a later millisecond in each epoch");
    cr_assert_eq(breaks(), 0);
}
