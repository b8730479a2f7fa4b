/* SPDX-License-Identifier: Apache-2.0 */
/* The quarantine: what is in the folder, its bounds, and who may use it. */
#include "proxy/quarantine.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "quarantine_files.h"
#include "scan_bench.h"

Test(quarantine, a_payload_is_kept_once_with_the_description_that_it_first_had)
{
    char folder[DIRECTORY_MAX];

    directory_make(folder);
    umask(0);
    struct quarantine *quarantine = open_here(folder, LARGE, 100);
    cr_expect_str_eq(store(quarantine, "evil"), "stored");
    cr_expect_str_eq(store_with(quarantine, VIEW("evil"), VIEW("{\"other\": 1}")), "known");
    cr_expect_str_eq(store_with(quarantine, VIEW(""), DESCRIPTION), "stored", "an empty payload is one, too");
    file_check(folder, VIEW("evil"), ".payload", VIEW("evil"));
    file_check(folder, VIEW("evil"), ".json", DESCRIPTION);
    file_check(folder, VIEW(""), ".payload", VIEW(""));
    cr_expect_eq(file_count(folder), 4);
    quarantine_close(quarantine);
    quarantine = open_here(folder, LARGE, 100);
    cr_expect_str_eq(store(quarantine, "evil"), "known", "of an earlier run");
    quarantine_close(quarantine);
    directory_remove(folder);
}

Test(quarantine, the_folder_is_made_for_its_owner_alone)
{
    char parent[DIRECTORY_MAX], folder[DIRECTORY_MAX + 16];
    struct stat status;

    directory_make(parent);
    snprintf(folder, sizeof(folder), "%s/new", parent);
    umask(0);
    struct quarantine *quarantine = open_here(folder, LARGE, 100);
    cr_assert_eq(stat(folder, &status), 0);
    cr_expect_eq(status.st_mode & 07777, 0700);
    quarantine_close(quarantine);
    directory_remove(parent);
}

/* ---- bounds ---- */

Test(quarantine, it_holds_so_many_payloads_also_those_of_an_earlier_run)
{
    char folder[DIRECTORY_MAX];

    directory_make(folder);
    struct quarantine *quarantine = open_here(folder, LARGE, 2);
    cr_expect_str_eq(store(quarantine, "a"), "stored");
    quarantine_close(quarantine);
    quarantine = open_here(folder, LARGE, 2);
    cr_expect_str_eq(store(quarantine, "b"), "stored");
    cr_expect_str_eq(store(quarantine, "c"), "full");
    cr_expect_str_eq(store(quarantine, "a"), "known", "what is there needs no room");
    cr_expect_eq(file_count(folder), 4);
    quarantine_close(quarantine);
    directory_remove(folder);
}

Test(quarantine, it_holds_so_many_bytes_of_payloads_and_descriptions)
{
    static const uint8_t zeros[1000];
    const struct view large = view_of(zeros, sizeof(zeros));
    char folder[DIRECTORY_MAX];

    directory_make(folder);
    struct quarantine *quarantine = open_here(folder, 1100, 100);
    cr_expect_str_eq(store_with(quarantine, large, view_of(zeros, 101)), "full", "1101 bytes never fit");
    cr_expect_str_eq(store_with(quarantine, large, view_of(zeros, 80)), "stored");
    cr_expect_str_eq(store_with(quarantine, VIEW("0123456789a"), view_of(zeros, 10)), "full");
    cr_expect_str_eq(store_with(quarantine, VIEW("0123456789"), view_of(zeros, 10)), "stored");
    cr_expect_str_eq(store_with(quarantine, VIEW(""), view_of(zeros, 1)), "full");
    cr_expect_eq(file_count(folder), 4);
    quarantine_close(quarantine);
    quarantine = open_here(folder, 1101, 100);
    cr_expect_str_eq(store_with(quarantine, VIEW(""), view_of(zeros, 2)), "full");
    cr_expect_str_eq(store_with(quarantine, VIEW(""), view_of(zeros, 1)), "stored");
    quarantine_close(quarantine);
    /* More than there may be, since the configuration says so now. */
    quarantine = open_here(folder, 10, 1);
    cr_expect_str_eq(store(quarantine, "x"), "full");
    quarantine_close(quarantine);
    directory_remove(folder);
}

Test(quarantine, whoever_takes_files_away_makes_room)
{
    char folder[DIRECTORY_MAX], name[FILE_NAME_MAX];

    directory_make(folder);
    struct quarantine *quarantine = open_here(folder, LARGE, 1);
    cr_expect_str_eq(store(quarantine, "a"), "stored");
    cr_expect_str_eq(store(quarantine, "b"), "full");
    file_name(name, folder, VIEW("a"), ".payload");
    cr_assert_eq(unlink(name), 0);
    file_name(name, folder, VIEW("a"), ".json");
    cr_assert_eq(unlink(name), 0);
    atomic_fetch_sub(&later_s, 1000); /* it is time to count again, however long the last count took */
    cr_expect_str_eq(store(quarantine, "b"), "stored");
    file_check(folder, VIEW("b"), ".payload", VIEW("b"));
    cr_expect_str_eq(store(quarantine, "a"), "full");
    quarantine_close(quarantine);
    directory_remove(folder);
}

Test(quarantine, half_of_a_pair_is_replaced_and_counted_once)
{
    char folder[DIRECTORY_MAX], name[FILE_NAME_MAX];

    directory_make(folder);
    struct quarantine *quarantine = open_here(folder, 7 + DESCRIPTION.length, 1);
    cr_expect_str_eq(store(quarantine, "payload"), "stored");
    file_name(name, folder, VIEW("payload"), ".json");
    cr_assert_eq(unlink(name), 0);
    atomic_fetch_sub(&later_s, 1000); /* the number is full until somebody counts again */
    cr_expect_str_eq(store(quarantine, "payload"), "stored");
    file_check(folder, VIEW("payload"), ".json", DESCRIPTION);
    file_name(name, folder, VIEW("payload"), ".payload");
    cr_assert_eq(unlink(name), 0);
    atomic_fetch_sub(&later_s, 1000);
    cr_expect_str_eq(store(quarantine, "payload"), "stored");
    file_check(folder, VIEW("payload"), ".payload", VIEW("payload"));
    cr_expect_str_eq(store_with(quarantine, VIEW(""), VIEW("")), "full");
    quarantine_close(quarantine);
    directory_remove(folder);
}

Test(quarantine, a_payload_that_was_cut_is_replaced_and_counted_once)
{
    char folder[DIRECTORY_MAX];

    directory_make(folder);
    file_put(folder, VIEW("other"), ".payload", VIEW("othe"));
    file_put(folder, VIEW("other"), ".json", VIEW("old"));
    struct quarantine *quarantine = open_here(folder, 5 + DESCRIPTION.length + 7, 3);
    cr_expect_str_eq(store(quarantine, "other"), "stored");
    file_check(folder, VIEW("other"), ".payload", VIEW("other"));
    file_check(folder, VIEW("other"), ".json", DESCRIPTION);
    cr_expect_str_eq(store_with(quarantine, VIEW("12345678"), VIEW("")), "full");
    cr_expect_str_eq(store_with(quarantine, VIEW("1234567"), VIEW("")), "stored", "seven bytes were left");
    quarantine_close(quarantine);
    /* Two payloads. */
    quarantine = open_here(folder, LARGE, 3);
    cr_expect_str_eq(store(quarantine, "third"), "stored");
    cr_expect_str_eq(store(quarantine, "fourth"), "full");
    quarantine_close(quarantine);
    directory_remove(folder);
}

/* ---- others ---- */

Test(quarantine, one_process_has_it_at_a_time)
{
    char folder[DIRECTORY_MAX];
    int status;

    directory_make(folder);
    struct quarantine *quarantine = open_here(folder, LARGE, 100);
    refuse(folder, "another process has this quarantine open");
    pid_t child = fork();
    if (child == 0) {
        char error[512];
        _exit(quarantine_open(folder, LARGE, 100, error, sizeof(error)) == NULL ? 42 : 43);
    }
    waitpid(child, &status, 0);
    cr_expect_eq(WEXITSTATUS(status), 42);
    cr_expect_str_eq(store(quarantine, "a"), "stored");
    quarantine_close(quarantine);
    quarantine_close(open_here(folder, LARGE, 100));
    directory_remove(folder);
}

Test(quarantine, a_folder_that_others_can_write_to_is_refused)
{
    static const mode_t modes[] = {0777, 01777, 0770, 0720, 0702};
    char folder[DIRECTORY_MAX];

    directory_make(folder);
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        cr_assert_eq(chmod(folder, modes[i]), 0);
        refuse(folder, "other users of this machine can write to the quarantine");
        cr_expect_eq(directory_count(folder, "lock", NULL), 0, "nothing was written there");
    }
    cr_assert_eq(chmod(folder, 0755), 0);
    quarantine_close(open_here(folder, LARGE, 1));
    if (chown(folder, 12345, (gid_t)-1) == 0)
        refuse(folder, "belongs to another user");
    directory_remove(folder);
}

Test(quarantine, a_folder_that_can_not_be_used_is_an_error)
{
    char folder[DIRECTORY_MAX], path[DIRECTORY_MAX + 32];

    directory_make(folder);
    snprintf(path, sizeof(path), "%s/missing/quarantine", folder);
    refuse(path, "No such file");
    snprintf(path, sizeof(path), "%s/file", folder);
    close(open(path, O_WRONLY | O_CREAT, 0600));
    refuse(path, "Not a directory");
    if (geteuid() != 0) {
        cr_assert_eq(chmod(folder, 0), 0);
        refuse(folder, "Permission denied");
        cr_assert_eq(chmod(folder, 0700), 0);
    } else {
        cr_assert_eq(seteuid(12345), 0);
        refuse(folder, "Permission denied"); /* it can't be read */
        cr_assert_eq(seteuid(0), 0);
        cr_assert_eq(chmod(folder, 0755), 0);
        cr_assert_eq(seteuid(12345), 0);
        refuse(folder, "Permission denied"); /* it can't be written to */
        cr_assert_eq(seteuid(0), 0);
    }
    directory_remove(folder);
}

Test(quarantine, links_are_never_followed)
{
    static const char *const suffixes[] = {".payload", ".json", ".payload.new", ".json.new"};
    char folder[DIRECTORY_MAX], target[DIRECTORY_MAX + 16], name[FILE_NAME_MAX];
    struct stat status;

    directory_make(folder);
    snprintf(target, sizeof(target), "%s/target", folder);
    int descriptor = open(target, O_WRONLY | O_CREAT, 0600);
    cr_assert_eq(write(descriptor, "12345", 5), 5); /* as long as what will be stored */
    close(descriptor);
    for (size_t i = 0; i < 4; i++) {
        file_name(name, folder, VIEW("early"), suffixes[i]);
        cr_assert_eq(symlink(target, name), 0);
    }
    struct quarantine *quarantine = open_here(folder, LARGE, 3);
    for (size_t i = 0; i < 4; i++) {
        file_name(name, folder, VIEW("later"), suffixes[i]);
        cr_assert_eq(symlink(target, name), 0);
    }
    cr_expect_str_eq(store(quarantine, "early"), "stored");
    cr_expect_str_eq(store(quarantine, "later"), "stored");
    file_check(folder, VIEW("early"), ".payload", VIEW("early"));
    file_check(folder, VIEW("later"), ".payload", VIEW("later"));
    file_check(folder, VIEW("later"), ".json", DESCRIPTION);
    cr_assert_eq(stat(target, &status), 0);
    cr_expect_eq(status.st_size, 5);
    cr_expect_eq(file_count(folder), 4);
    quarantine_close(quarantine);

    snprintf(name, sizeof(name), "%s/quarantine.lock", folder);
    cr_assert_eq(unlink(name), 0);
    cr_assert_eq(symlink(target, name), 0);
    refuse(folder, "can't open quarantine.lock");
    directory_remove(folder);
}

Test(quarantine, a_folder_in_the_place_of_a_file_is_a_failure_and_no_more)
{
    char folder[DIRECTORY_MAX], name[FILE_NAME_MAX];

    directory_make(folder);
    log_nothing();
    struct quarantine *quarantine = open_here(folder, LARGE, 1);
    file_name(name, folder, VIEW("a"), ".json");
    cr_assert_eq(mkdir(name, 0700), 0);
    cr_expect_str_eq(store(quarantine, "a"), "failed");
    cr_expect_not(file_is_there(folder, VIEW("a"), ".payload"));
    cr_expect_eq(file_count(folder), 1, "the folder");
    cr_expect_str_eq(store(quarantine, "b"), "stored");
    quarantine_close(quarantine);
    directory_remove(folder);
}

/* ---- threads ---- */

#define THREADS 6
#define PAYLOADS 12

struct storm {
    struct quarantine *quarantine;
    pthread_barrier_t barrier;
    atomic_uint stored, known, full;
};

static void *take_part(void *argument)
{
    struct storm *storm = argument;
    char payload[32];

    for (unsigned i = 0; i < PAYLOADS; i++) {
        snprintf(payload, sizeof(payload), "payload %u", i);
        pthread_barrier_wait(&storm->barrier);
        const char *result = store(storm->quarantine, payload);
        atomic_fetch_add(strcmp(result, "stored") == 0  ? &storm->stored
                         : strcmp(result, "known") == 0 ? &storm->known
                                                        : &storm->full,
            1);
    }
    return NULL;
}

Test(quarantine, of_threads_with_the_same_payload_one_stores_it)
{
    char folder[DIRECTORY_MAX];
    struct storm storm = {0};
    pthread_t threads[THREADS];

    directory_make(folder);
    storm.quarantine = open_here(folder, LARGE, PAYLOADS - 2);
    pthread_barrier_init(&storm.barrier, NULL, THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, take_part, &storm);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_expect_eq(storm.stored, PAYLOADS - 2);
    cr_expect_eq(storm.known, (PAYLOADS - 2) * (THREADS - 1));
    cr_expect_eq(storm.full, 2 * THREADS);
    cr_expect_eq(file_check_all(folder), PAYLOADS - 2);
    pthread_barrier_destroy(&storm.barrier);
    quarantine_close(storm.quarantine);
    directory_remove(folder);
}

static void *store_own(void *argument)
{
    struct storm *storm = argument;
    char payload[64];

    for (unsigned i = 0; i < PAYLOADS; i++) {
        snprintf(payload, sizeof(payload), "%p %u", (void *)&payload, i); /* of this thread's stack */
        if (strcmp(store(storm->quarantine, payload), "stored") == 0)
            atomic_fetch_add(&storm->stored, 1);
    }
    return NULL;
}

Test(quarantine, threads_together_keep_to_the_bound)
{
    char folder[DIRECTORY_MAX];
    struct storm storm = {0};
    pthread_t threads[THREADS];

    directory_make(folder);
    log_nothing();
    storm.quarantine = open_here(folder, LARGE, 20);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, store_own, &storm);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_expect_eq(storm.stored, 20);
    cr_expect_eq(file_check_all(folder), 20);
    quarantine_close(storm.quarantine);
    directory_remove(folder);
}
