/* SPDX-License-Identifier: Apache-2.0 */
/* The quarantine: what crashes and full disks can do to it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "quarantine_files.h"

/* ---- crashes ---- */

Test(quarantine, what_an_earlier_run_left_is_removed_or_completed)
{
    char folder[DIRECTORY_MAX];

    directory_make(folder);
    file_put(folder, VIEW("a"), ".payload.new", VIEW("cut"));
    file_put(folder, VIEW("b"), ".payload.new", VIEW("b"));
    file_put(folder, VIEW("b"), ".json.new", VIEW("cut"));
    file_put(folder, VIEW("c"), ".payload", VIEW("c"));
    file_put(folder, VIEW("c"), ".json.new", VIEW("whole"));
    file_put(folder, VIEW("d"), ".payload.new", VIEW("d"));
    file_put(folder, VIEW("d"), ".json", VIEW("whole"));
    file_put(folder, VIEW("e"), ".payload", VIEW("e"));
    file_put(folder, VIEW("e"), ".json", VIEW("old"));
    file_put(folder, VIEW("e"), ".json.new", VIEW("cut"));
    file_put(folder, VIEW("f"), ".payload.new.txt", VIEW("somebody else's"));
    struct quarantine *quarantine = open_here(folder, LARGE, 3);
    cr_expect_not(file_is_there(folder, VIEW("a"), ".payload.new"));
    cr_expect_not(file_is_there(folder, VIEW("b"), ".payload.new"));
    cr_expect_not(file_is_there(folder, VIEW("b"), ".json.new"));
    file_check(folder, VIEW("c"), ".json", VIEW("whole"));
    file_check(folder, VIEW("d"), ".payload", VIEW("d"));
    file_check(folder, VIEW("e"), ".json", VIEW("old"));
    cr_expect_eq(directory_count(folder, ".new", NULL), 1, "somebody else's");
    cr_expect(file_is_there(folder, VIEW("f"), ".payload.new.txt"));
    cr_expect_str_eq(store(quarantine, "c"), "known");
    cr_expect_str_eq(store(quarantine, "d"), "known");
    cr_expect_str_eq(store(quarantine, "x"), "full", "c, d and e");
    quarantine_close(quarantine);
    directory_remove(folder);
}

/* More than a round ever waits for: nobody is to fill the disk who is not stopped. */
#define STORED_AT_MOST 20000

/* Until it is killed, or its test is gone. */
static _Noreturn void store_on(const char *folder, unsigned first)
{
    static uint8_t payload[PAYLOAD_SIZE];
    char error[512];
    struct quarantine *quarantine = quarantine_open(folder, LARGE, LARGE, error, sizeof(error));

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (quarantine == NULL)
        _exit(1);
    for (unsigned i = first; i < first + STORED_AT_MOST; i++) {
        fill_payload(payload, i);
        store_with(quarantine, view_of(payload, sizeof(payload) - i % 7), DESCRIPTION);
    }
    _exit(0);
}

Test(quarantine, a_process_that_is_killed_leaves_whole_pairs)
{
    char folder[DIRECTORY_MAX];
    size_t before = 0, payloads = 0;

    directory_make(folder);
    for (unsigned round = 0; round < 12; round++) {
        pid_t child = fork();
        cr_assert(child >= 0);
        if (child == 0)
            store_on(folder, round * 100000);
        WAIT_FOR(
            directory_count(folder, ".json", NULL) > before + 1 + directory_count(folder, ".json.new", NULL));
        usleep(round * 307); /* another moment each time */
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        quarantine_close(open_here(folder, LARGE, LARGE));
        payloads = file_check_all(folder);
        cr_assert_gt(payloads, before);
        before = payloads;
    }
    directory_remove(folder);
}

/* ---- disks ---- */

Test(quarantine, a_write_that_fails_leaves_nothing_and_takes_no_room)
{
    static const uint8_t zeros[5000];
    const struct view large = view_of(zeros, sizeof(zeros));
    char folder[DIRECTORY_MAX];

    directory_make(folder);
    struct quarantine *quarantine = open_here(folder, 2 * sizeof(zeros), 1);
    log_nothing();
    for (int i = 0; i < 5; i++) {
        file_limit(1000);
        errno = 0;
        cr_expect_str_eq(store_with(quarantine, large, DESCRIPTION), "failed");
        cr_expect_eq(errno, EFBIG);
        errno = 0;
        cr_expect_str_eq(store_with(quarantine, VIEW("small"), large), "failed", "the description");
        cr_expect_eq(errno, EFBIG);
        file_limit(RLIM_INFINITY);
        cr_expect_eq(file_count(folder), 0);
    }
    cr_expect_str_eq(store_with(quarantine, large, DESCRIPTION), "stored");
    cr_expect_eq(file_count(folder), 2);
    quarantine_close(quarantine);
    directory_remove(folder);
}

/* Only where the test may mount: nothing else has so little room. */
Test(quarantine, a_full_disk_leaves_nothing)
{
    static uint8_t payload[PAYLOAD_SIZE];
    char folder[DIRECTORY_MAX];
    unsigned stored = 0;

    directory_make(folder);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", folder, "tmpfs", 0, "size=128k,mode=0700") != 0) {
        fprintf(stderr, "no mounting here: not tested\n");
        directory_remove(folder);
        return;
    }
    log_nothing();
    struct quarantine *quarantine = open_here(folder, LARGE, 100);
    for (unsigned i = 0; i < 20; i++) {
        fill_payload(payload, i);
        errno = 0;
        const char *result = store_with(quarantine, view_of(payload, sizeof(payload)), DESCRIPTION);
        if (strcmp(result, "stored") == 0)
            stored++;
        else {
            cr_expect_eq(errno, ENOSPC);
            cr_expect_str_eq(result, "failed");
        }
    }
    cr_expect(stored > 0 && stored < 20, "%u", stored);
    cr_expect_eq(file_check_all(folder), stored);
    fill_payload(payload, 0);
    cr_expect_str_eq(store_with(quarantine, view_of(payload, sizeof(payload)), DESCRIPTION), "known");
    quarantine_close(quarantine);
    umount(folder);
    directory_remove(folder);
}

static size_t count_lines(const char *path, const char *with)
{
    char line[2048];
    FILE *stream = fopen(path, "r");
    size_t count = 0;

    while (fgets(line, sizeof(line), stream) != NULL)
        count += strstr(line, with) != NULL;
    fclose(stream);
    return count;
}

Test(quarantine, the_log_is_told_once_a_minute)
{
    char folder[DIRECTORY_MAX], log[DIRECTORY_MAX + 16];

    directory_make(folder);
    snprintf(log, sizeof(log), "%s/log", folder);
    log_configure(LOG_ERROR, LOG_TEXT, open(log, O_WRONLY | O_CREAT | O_APPEND, 0600));
    struct quarantine *quarantine = open_here(folder, LARGE, 1);
    file_limit(4096);
    static const uint8_t zeros[5000];
    for (int i = 0; i < 3; i++)
        store_with(quarantine, view_of(zeros, sizeof(zeros)), DESCRIPTION);
    store(quarantine, "a");
    for (int i = 0; i < 3; i++)
        cr_expect_str_eq(store(quarantine, "b"), "full");
    cr_expect_eq(count_lines(log, "File too large"), 1);
    cr_expect_eq(count_lines(log, "it is full: no more files"), 1);
    quarantine_close(quarantine);
    directory_remove(folder);
}
