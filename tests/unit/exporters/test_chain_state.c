/* SPDX-License-Identifier: Apache-2.0 */
/* The state file: what is in it after a death at every moment, and what is no longer in it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "directory.h"
#include "exporters/chain_key.h"
#include "exporters/chain_state.h"

/* Where the slots are, and what a slot is: it must never move, states outlive versions. */
#define SLOT_OFFSET 16
#define SLOT_SIZE 200
#define SLOT_CHECK 168 /* of it in front of its check */
#define SECTOR 512
#define SEED_SIZE 96

static char directory[DIRECTORY_MAX], path[128], error[256];

static void begin(void)
{
    directory_make(directory);
    snprintf(path, sizeof(path), "%s/" CHAIN_STATE_NAME, directory);
}

static void end(void)
{
    directory_remove(directory);
}

TestSuite(chain_state, .init = begin, .fini = end);

/* Everything in it says the number. */
static struct chain_point numbered(uint64_t number)
{
    struct chain_point point = {.cursor = {.epoch = 7, .start = 3, .sequence = number},
        .checkpoint_epoch = 6,
        .checkpoint_sequence = number,
        .unsigned_lines = number,
        .sealed_us = number,
        .kept_until_us = UINT64_MAX};

    for (size_t i = 0; i < CHAIN_KEY_SIZE; i++) {
        point.cursor.key[i] = (uint8_t)(number * 31 + i * 7 + 1);
        point.cursor.prev[i] = (uint8_t)(number * 37 + i * 5 + 2);
        point.secret[i] = (uint8_t)(number * 41 + i * 3 + 3);
    }
    return point;
}

static bool is_numbered(const struct chain_point *point)
{
    struct chain_point wanted = numbered(point->cursor.sequence);

    return memcmp(point, &wanted, sizeof(wanted)) == 0;
}

static void make(uint64_t number)
{
    struct chain_point point = numbered(number);

    cr_assert_eq(chain_state_make(path, &point, error, sizeof(error)), 0, "%s", error);
}

static struct chain_state *open_state(struct chain_point *point)
{
    struct chain_state *state = NULL;

    cr_assert_eq(chain_state_open(path, &state, point, error, sizeof(error)), CHAIN_STATE_FOUND, "%s", error);
    return state;
}

static void read_file(uint8_t bytes[CHAIN_STATE_BYTES])
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);

    cr_assert_eq(read(descriptor, bytes, CHAIN_STATE_BYTES), CHAIN_STATE_BYTES);
    close(descriptor);
}

static void write_file(const uint8_t *bytes, size_t size)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    cr_assert_eq(write(descriptor, bytes, size), (ssize_t)size);
    close(descriptor);
}

Test(chain_state, what_is_set_is_found_by_the_next_process)
{
    struct chain_point point;
    struct stat status;

    cr_assert_eq(chain_state_read(path, &point, error, sizeof(error)), CHAIN_STATE_MISSING);
    make(1);
    cr_assert(stat(path, &status) == 0 && (status.st_mode & 0777) == 0600);
    cr_assert_eq(status.st_size, CHAIN_STATE_BYTES);
    for (uint64_t number = 1; number < 10; number++) {
        struct chain_state *state = open_state(&point);
        cr_assert(point.cursor.sequence == number && is_numbered(&point));
        struct chain_point next = numbered(number + 1);
        chain_state_set(state, &next);
        cr_assert_eq(chain_state_read(path, &point, error, sizeof(error)), CHAIN_STATE_FOUND);
        cr_assert(point.cursor.sequence == number + 1 && is_numbered(&point));
        cr_assert_eq(chain_state_sync(state), 0);
        chain_state_close(state);
    }
    struct chain_point other = numbered(99);
    cr_assert_eq(chain_state_make(path, &other, error, sizeof(error)), -1, "never over another one");
    cr_assert_eq(errno, EEXIST);
}

Test(chain_state, what_was_before_is_nowhere_in_the_file)
{
    uint8_t bytes[CHAIN_STATE_BYTES];
    struct chain_point point;

    make(1);
    struct chain_state *state = open_state(&point);
    for (uint64_t number = 2; number < 6; number++) {
        struct chain_point next = numbered(number), before = numbered(number - 1);
        chain_state_set(state, &next);
        read_file(bytes);
        cr_assert_not_null(memmem(bytes, sizeof(bytes), next.cursor.key, 32));
        cr_assert_null(memmem(bytes, sizeof(bytes), before.cursor.key, 8));
        cr_assert_null(memmem(bytes, sizeof(bytes), before.secret, 8));
    }
    chain_state_close(state);
}

/* A process that dies leaves of its stores those up to some moment: members and check of the new slot, then
 * the zeros over the old one, its check first. */
Test(chain_state, every_torn_write_leaves_the_one_or_the_other)
{
    uint8_t before[CHAIN_STATE_BYTES], after[CHAIN_STATE_BYTES], torn[CHAIN_STATE_BYTES];
    struct chain_point point, next = numbered(8);
    size_t olds = 0, news = 0;

    make(7);
    read_file(before);
    struct chain_state *state = open_state(&point);
    chain_state_set(state, &next);
    chain_state_close(state);
    read_file(after);
    cr_assert_eq(
        memcmp(after + SLOT_OFFSET, (uint8_t[SLOT_SIZE]){0}, SLOT_SIZE), 0, "the first was the old one");
    memcpy(torn, before, sizeof(torn));
    for (size_t step = 0; step <= 2 * SLOT_SIZE; step++) {
        write_file(torn, sizeof(torn));
        state = open_state(&point);
        cr_assert(is_numbered(&point), "step %zu", step);
        if (point.cursor.sequence == 7) {
            cr_assert_eq(news, 0, "never back");
            olds++;
        } else {
            cr_assert_eq(point.cursor.sequence, 8);
            news++;
        }
        chain_state_close(state);
        uint8_t bytes[CHAIN_STATE_BYTES];
        read_file(bytes);
        struct chain_point gone = numbered(point.cursor.sequence == 7 ? 8 : 7);
        cr_assert_null(
            memmem(bytes, sizeof(bytes), gone.cursor.key, 8), "the other one is wiped, step %zu", step);
        if (step < SLOT_SIZE)
            torn[SLOT_OFFSET + SLOT_SIZE + step] = after[SLOT_OFFSET + SLOT_SIZE + step];
        else if (step < 2 * SLOT_SIZE)
            torn[SLOT_OFFSET + (SLOT_CHECK + step) % SLOT_SIZE] = 0;
    }
    cr_assert_eq(olds, SLOT_SIZE);
    cr_assert_eq(news, SLOT_SIZE + 1);
}

Test(chain_state, a_process_killed_at_random_moments_leaves_a_whole_one, .timeout = 60)
{
    struct chain_point point;
    int status;

    make(1);
    uint64_t last = 1;
    for (int death = 0; death < 100; death++) {
        pid_t child = fork();
        if (child == 0) {
            struct chain_state *state = open_state(&point);
            for (uint64_t number = point.cursor.sequence + 1;; number++) {
                struct chain_point next = numbered(number);
                chain_state_set(state, &next);
            }
        }
        usleep((useconds_t)(random() % 4000));
        kill(child, SIGKILL);
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFSIGNALED(status));
        cr_assert_eq(chain_state_read(path, &point, error, sizeof(error)), CHAIN_STATE_FOUND);
        cr_assert(is_numbered(&point), "death %d", death);
        cr_assert_geq(point.cursor.sequence, last);
        last = point.cursor.sequence;
    }
    cr_assert_gt(last, 100);
}

static void *set_for_a_while(void *argument)
{
    atomic_bool *stop = argument;
    struct chain_point point;
    struct chain_state *state = open_state(&point);

    for (uint64_t number = point.cursor.sequence + 1; !atomic_load(stop); number++) {
        struct chain_point next = numbered(number);
        chain_state_set(state, &next);
    }
    chain_state_close(state);
    return NULL;
}

Test(chain_state, it_can_be_read_while_it_is_written, .timeout = 60)
{
    struct chain_point point;
    atomic_bool stop = false;
    pthread_t thread;

    make(1);
    cr_assert_eq(pthread_create(&thread, NULL, set_for_a_while, &stop), 0);
    for (int i = 0; i < 5000; i++) {
        cr_assert_eq(chain_state_read(path, &point, error, sizeof(error)), CHAIN_STATE_FOUND);
        cr_assert(is_numbered(&point));
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
}

Test(chain_state, a_file_that_is_deleted_moved_or_cut_is_made_again)
{
    static const char *const hands[] = {"rm chain.state", "mv chain.state moved", "truncate -s 0 chain.state",
        "truncate -s 100 chain.state", "cp chain.state x && mv x chain.state"};
    uint8_t bytes[CHAIN_STATE_BYTES];
    struct chain_point point;
    uint64_t number = 1;

    make(number);
    struct chain_state *state = open_state(&point);
    for (size_t i = 0; i < sizeof(hands) / sizeof(hands[0]); i++) {
        char command[256];
        snprintf(command, sizeof(command), "cd %s && %s", directory, hands[i]);
        cr_assert_eq(system(command), 0, "%s", command);
        cr_assert_not(chain_state_in_place(state));
        struct chain_point next = numbered(++number), before = numbered(number - 1);
        cr_assert_eq(chain_state_set(state, &next), 0, "%s", command);
        cr_assert(chain_state_in_place(state));
        cr_assert_eq(chain_state_read(path, &point, error, sizeof(error)), CHAIN_STATE_FOUND);
        cr_assert(point.cursor.sequence == number && is_numbered(&point));
        read_file(bytes);
        cr_assert_null(memmem(bytes, sizeof(bytes), before.cursor.key, 8));
    }
    chain_state_close(state);
    cr_assert_eq(directory_count(directory, "chain.state", NULL), 1);
    snprintf(path, sizeof(path), "%s/moved", directory);
    read_file(bytes);
    cr_assert_eq(memcmp(bytes, (uint8_t[512]){0}, 512), 0, "a file that was moved is no copy of a key");
}

Test(chain_state, damage_is_told_from_absence)
{
    uint8_t bytes[CHAIN_STATE_BYTES], changed[CHAIN_STATE_BYTES];
    struct chain_point point;
    struct chain_state *state;

    make(5);
    read_file(bytes);
    for (size_t i = 0; i < SLOT_OFFSET + SLOT_SIZE; i++) {
        memcpy(changed, bytes, sizeof(changed));
        changed[i] ^= 0x10;
        write_file(changed, sizeof(changed));
        cr_assert_eq(
            chain_state_read(path, &point, error, sizeof(error)), CHAIN_STATE_DAMAGED, "byte %zu", i);
        cr_assert_eq(chain_state_open(path, &state, &point, error, sizeof(error)), CHAIN_STATE_DAMAGED);
    }
    static const size_t sizes[] = {0, 1, 15, 16, 400, 4095};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        write_file(bytes, sizes[i]);
        cr_assert_eq(chain_state_open(path, &state, &point, error, sizeof(error)), CHAIN_STATE_DAMAGED, "%zu",
            sizes[i]);
    }
    cr_assert(unlink(path) == 0 && mkdir(path, 0700) == 0);
    cr_assert_eq(chain_state_open(path, &state, &point, error, sizeof(error)), CHAIN_STATE_FAILED);
    cr_assert(rmdir(path) == 0 && symlink("elsewhere", path) == 0);
    cr_assert_eq(chain_state_open(path, &state, &point, error, sizeof(error)), CHAIN_STATE_FAILED);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_eq(chain_state_open(path, &state, &point, error, sizeof(error)), CHAIN_STATE_FAILED);
}

/* A power cut may leave of the first sector what never was in it; the second one is not written meanwhile. */
Test(chain_state, of_a_first_sector_that_does_not_hold_the_start_is_rescued)
{
    uint8_t bytes[CHAIN_STATE_BYTES];
    struct chain_point point, made = numbered(5);
    uint64_t start;

    cr_assert_not(chain_state_rescue(path, &start), "nothing is there");
    make(4);
    struct chain_state *state = open_state(&point);
    cr_assert_eq(chain_state_set(state, &made), 0);
    chain_state_close(state);
    read_file(bytes);
    memset(bytes, 'x', SECTOR);
    write_file(bytes, sizeof(bytes));
    cr_assert_eq(chain_state_read(path, &point, error, sizeof(error)), CHAIN_STATE_DAMAGED);
    int old = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert(chain_state_rescue(path, &start));
    cr_assert_eq(start, 3);
    state = open_state(&point);
    cr_assert(point.cursor.start == 3 && point.cursor.epoch == 7 && point.cursor.sequence == 0);
    cr_assert_arr_eq(point.secret, made.secret, CHAIN_KEY_SIZE);
    cr_assert_arr_eq(point.cursor.key, (uint8_t[CHAIN_KEY_SIZE]){0}, CHAIN_KEY_SIZE);
    chain_state_close(state);
    cr_assert_eq(read(old, bytes, sizeof(bytes)), (ssize_t)sizeof(bytes));
    close(old);
    cr_assert_null(memmem(bytes, sizeof(bytes), made.secret, 8), "what is replaced is wiped");
    cr_assert_eq(directory_count(directory, "chain.state", NULL), 1);
}

Test(chain_state, of_a_second_sector_that_does_not_hold_nothing_is_rescued)
{
    uint8_t bytes[CHAIN_STATE_BYTES], changed[CHAIN_STATE_BYTES];
    struct chain_point point;
    uint64_t start;

    make(5);
    read_file(bytes);
    for (size_t i = 0; i < SEED_SIZE; i++) {
        memcpy(changed, bytes, sizeof(changed));
        changed[SECTOR + i] ^= 0x10;
        write_file(changed, sizeof(changed));
        cr_assert_not(chain_state_rescue(path, &start), "byte %zu", i);
        chain_state_close(open_state(&point)); /* the first one holds: the second one is put right */
        cr_assert(is_numbered(&point));
        cr_assert(chain_state_rescue(path, &start), "byte %zu", i);
    }
    memset(bytes + SECTOR, 0, SECTOR); /* as a version before wrote it */
    write_file(bytes, sizeof(bytes));
    cr_assert_not(chain_state_rescue(path, &start));
    struct chain_point beginning = {.cursor = {.start = 0, .epoch = 7}};
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(chain_state_make(path, &beginning, error, sizeof(error)), 0);
    cr_assert_not(chain_state_rescue(path, &start), "there is no start yet");
}

Test(chain_state, rights_that_are_too_wide_are_taken_back)
{
    struct chain_point point;
    struct stat status;

    make(5);
    cr_assert_eq(chmod(path, 0644), 0);
    chain_state_close(open_state(&point));
    cr_assert(stat(path, &status) == 0 && (status.st_mode & 0777) == 0600);
}

/* ---- the verification key's file ---- */

Test(chain_state, the_verification_key_is_one_line_of_text)
{
    char key_path[128], text[256] = "";
    uint8_t key[CHAIN_KEY_SIZE], again[CHAIN_KEY_SIZE];
    bool missing;
    snprintf(key_path, sizeof(key_path), "%s/" CHAIN_KEY_NAME, directory);

    cr_assert_eq(chain_key_read(key_path, again, &missing, error, sizeof(error)), -1);
    cr_assert(missing);
    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(i * 9);
    cr_assert_eq(chain_key_write(key_path, key, error, sizeof(error)), 0, "%s", error);
    cr_assert_eq(chain_key_read(key_path, again, &missing, error, sizeof(error)), 0, "%s", error);
    cr_assert_arr_eq(key, again, sizeof(key));
    cr_assert_eq(chain_key_write(key_path, key, error, sizeof(error)), -1);
    cr_assert_eq(errno, EEXIST);
    int descriptor = open(key_path, O_RDWR | O_CLOEXEC);
    cr_assert_eq(read(descriptor, text, sizeof(text)), 19 + 64 + 1);
    cr_assert_eq(strncmp(text, "mqward-chain-key-1 0009121b", 27), 0, "%s", text);
    cr_assert_eq(ftruncate(descriptor, 19 + 64), 0);
    cr_assert_eq(chain_key_read(key_path, again, &missing, error, sizeof(error)), 0, "without its newline");
    cr_assert_eq(pwrite(descriptor, "g", 1, 30), 1);
    cr_assert_eq(chain_key_read(key_path, again, &missing, error, sizeof(error)), -1);
    cr_assert_not_null(strstr(error, "no verification key"), "%s", error);
    cr_assert_eq(fchmod(descriptor, 0604), 0);
    cr_assert_eq(chain_key_read(key_path, again, &missing, error, sizeof(error)), -1);
    cr_assert_not_null(strstr(error, "open to other users"), "%s", error);
    close(descriptor);
}
