/* SPDX-License-Identifier: Apache-2.0 */
/* The ring in a file: what survives, what is set aside, what is refused. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/ring.h"
#include "check.h"

#define CAPACITY 4096
#define FILE_SIZE (4096 + CAPACITY)

static char folder[64], path[96], error[256];
static bool damaged;

static void setup(void)
{
    /* In memory where there is such a place: these tests make ten thousands of files. */
    strcpy(folder, access("/dev/shm", W_OK) == 0 ? "/dev/shm/mqward-ring-XXXXXX" : "/tmp/mqward-ring-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/ring", folder);
}

/* Removes what is in the folder, path itself only if all; returns the number of damaged files that were
 * there. */
static unsigned clear(bool all)
{
    DIR *directory = opendir(folder);
    unsigned count = 0;

    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        bool is_damaged = strstr(entry->d_name, ".damaged-") != NULL;
        count += is_damaged;
        if (all || is_damaged)
            unlinkat(dirfd(directory), entry->d_name, 0);
    }
    closedir(directory);
    return count;
}

static void teardown(void)
{
    clear(true);
    rmdir(folder);
}

TestSuite(ring_file, .init = setup, .fini = teardown, .timeout = 120);

static struct ring *open_ring(void)
{
    struct ring *ring = ring_open(path, CAPACITY, &damaged, error, sizeof(error));

    CHECK(ring != NULL, "%s", error);
    return ring;
}

static void push_number(struct ring *ring, size_t size)
{
    uint8_t payload[CAPACITY];

    memset(payload, (int)ring_next_serial(ring), size);
    CHECK(ring_push(ring, view_of(payload, size)));
}

static bool holds(const struct ring_record *record, size_t size)
{
    for (size_t i = 0; i < record->payload.length; i++)
        if (record->payload.data[i] != (uint8_t)record->serial)
            return false;
    return record->payload.length == size;
}

Test(ring_file, records_and_serials_survive_a_close)
{
    struct ring_record record;
    uint64_t serial = 1;

    for (int round = 0; round < 300; round++) {
        struct ring *ring = open_ring();
        CHECK(!damaged);
        CHECK(ring_next_serial(ring) == serial);
        if (round % 3 != 0) { /* left by the round before */
            CHECK(ring_peek(ring, &record) == 1 && record.serial == serial - 1 && holds(&record, 100));
            ring_pop(ring);
        }
        CHECK(ring_peek(ring, &record) == 0);
        if (round % 3 != 2) {
            push_number(ring, 100);
            serial++;
        }
        ring_close(ring);
    }
}

Test(ring_file, keeps_its_capacity_and_is_private)
{
    struct stat status;
    struct ring *ring = open_ring();

    push_number(ring, 10);
    ring_close(ring);
    ring = ring_open(path, 65536, &damaged, error, sizeof(error));
    cr_assert_not_null(ring);
    cr_assert_not(damaged);
    cr_assert_eq(ring_capacity(ring), CAPACITY);
    cr_assert_gt(ring_used(ring), 0);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0600);
    cr_assert_eq(status.st_size, FILE_SIZE);
    cr_assert_geq(status.st_blocks * 512, FILE_SIZE, "the space is reserved");
    ring_close(ring);
}

static void expect_refused(const char *at, size_t capacity, const char *sentence)
{
    cr_assert_null(ring_open(at, capacity, &damaged, error, sizeof(error)));
    cr_assert_not_null(strstr(error, sentence), "%s", error);
    cr_assert_not(damaged);
}

Test(ring_file, refuses_what_it_must_not_use)
{
    char name[128];
    struct ring *ring = open_ring();

    expect_refused(path, CAPACITY, "in use by another process");
    expect_refused(path, 5000, "power of two");
    expect_refused(path, 2048, "power of two");
    expect_refused(path, (size_t)2 << 30, "power of two");
    ring_close(ring);
    expect_refused(folder, CAPACITY, "Is a directory");
    snprintf(name, sizeof(name), "%s/none/ring", folder);
    expect_refused(name, CAPACITY, "No such file");
    snprintf(name, sizeof(name), "%s/link", folder);
    cr_assert_eq(symlink(path, name), 0);
    expect_refused(name, CAPACITY, "cannot be opened");
    snprintf(name, sizeof(name), "%s/fifo", folder);
    cr_assert_eq(mkfifo(name, 0600), 0);
    expect_refused(name, CAPACITY, "not a regular file");
}

Test(ring_file, a_full_disk_is_an_error_and_leaves_nothing)
{
    const struct rlimit limit = {8192, 8192};

    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    expect_refused(path, 65536, "no space can be reserved");
    cr_assert_neq(access(path, F_OK), 0);
    ring_close(open_ring()); /* a smaller one fits */
}

/* ---- files that are no ring ---- */

static void write_file(const void *bytes, size_t size)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    CHECK(descriptor >= 0 && write(descriptor, bytes, size) == (ssize_t)size);
    close(descriptor);
}

static void read_file(void *bytes, size_t size)
{
    int descriptor = open(path, O_RDONLY);

    CHECK(descriptor >= 0 && read(descriptor, bytes, size) == (ssize_t)size);
    close(descriptor);
}

Test(ring_file, a_file_that_is_no_ring_is_set_aside)
{
    static uint8_t image[FILE_SIZE + 1];
    static const size_t sizes[] = {0, 1, 100, 4095, 4096, 4097, FILE_SIZE - 1, FILE_SIZE + 1};

    /* A ring that was cut, or has grown. */
    ring_close(open_ring());
    read_file(image, FILE_SIZE);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        write_file(image, sizes[i]);
        struct ring *ring = open_ring();
        cr_assert(damaged, "%zu bytes", sizes[i]);
        cr_assert_eq(ring_next_serial(ring), 1);
        push_number(ring, 10);
        ring_close(ring);
    }
    /* All of them were kept, even those of the same second. */
    cr_assert_eq(clear(false), sizeof(sizes) / sizeof(sizes[0]));
    memset(image, 'x', sizeof(image));
    write_file(image, FILE_SIZE);
    ring_close(open_ring());
    cr_assert(damaged);
    ring_close(open_ring());
    cr_assert(damaged, "who opened it first may have died before anybody was told");
    cr_assert_eq(clear(false), 1, "what is there is not damaged again");
    clear(true);
    ring_close(open_ring());
    ring_close(open_ring());
    cr_assert_not(damaged);
}

/* Serials 1 to 10, the sixth of them damaged. */
static void make_damaged(void)
{
    static uint8_t image[FILE_SIZE];
    struct ring *ring = open_ring();

    for (int i = 0; i < 10; i++)
        push_number(ring, 200);
    ring_close(ring);
    read_file(image, FILE_SIZE);
    image[4096 + 5 * 216 + 100] ^= 1;
    write_file(image, FILE_SIZE);
}

/* Records before the damage go on in the new file: it is whole, and each start says so again. */
Test(ring_file, what_was_salvaged_is_not_salvaged_again)
{
    make_damaged();
    for (int start = 0; start < 4; start++) {
        struct ring *ring = open_ring();
        cr_assert(damaged);
        cr_assert_eq(ring_next_serial(ring), 11);
        cr_assert_gt(ring_used(ring), 0);
        ring_close(ring);
    }
    cr_assert_eq(clear(false), 1, "one file was set aside");
}

/* What is pushed before anybody could drain it (the journal takes nothing) survives the next end, too. */
Test(ring_file, what_comes_behind_the_salvaged_is_kept)
{
    struct ring_record record;
    uint64_t cursor = 0, serials[16];
    size_t count = 0;

    make_damaged();
    struct ring *ring = open_ring();
    push_number(ring, 200);
    push_number(ring, 200);
    ring_close(ring);
    ring = open_ring();
    cr_assert(damaged);
    while (count < 16 && ring_peek_at(ring, &cursor, &record) == 1)
        serials[count++] = record.serial;
    cr_assert_eq(count, 7);
    cr_assert_eq(serials[4], 5);
    cr_assert_eq(serials[5], 11);
    cr_assert_eq(serials[6], 12);
    ring_close(ring);
    cr_assert_eq(clear(false), 1, "one file was set aside");
}

/* Where there are no hard links, the damaged file is renamed, and then the new one: a start that dies in
 * between leaves that beside it. */
Test(ring_file, a_replacement_that_was_cut_short_is_finished)
{
    char fresh[sizeof(path) + 8];
    struct ring_record record;

    make_damaged();
    ring_close(open_ring());
    cr_assert(damaged);
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    cr_assert_eq(rename(path, fresh), 0);
    struct ring *ring = open_ring();
    cr_assert(damaged, "the gap is still to be told");
    cr_assert_eq(ring_peek(ring, &record), 1);
    cr_assert_eq(ring_next_serial(ring), 11);
    ring_close(ring);
    cr_assert_eq(clear(false), 1);
    /* An ordinary one that was never named is no record of anything. */
    clear(true);
    ring_close(open_ring());
    cr_assert_eq(rename(path, fresh), 0);
    ring_close(open_ring());
    cr_assert_not(damaged);
}

/* ---- damage, byte by byte ---- */

/* Records on both sides of the end: serials 4 to 15 of 200 bytes, one skip mark, both marks of each side in
 * use. */
static void make_image(uint8_t *image)
{
    struct ring_record record;
    struct ring *ring = open_ring();

    for (int i = 0; i < 3; i++) {
        push_number(ring, 1000);
        CHECK(ring_peek(ring, &record) == 1);
        ring_pop(ring);
    }
    for (int i = 0; i < 12; i++)
        push_number(ring, 200);
    ring_close(ring);
    read_file(image, FILE_SIZE);
}

/* Opens path's damaged file. Whatever it does, what it shows is what was pushed, from the start and without a
 * hole. */
static void check_damaged(size_t place, unsigned *found)
{
    struct ring_record record;
    struct ring *ring = open_ring();
    uint64_t cursor = 0, serial = 4;
    int status;

    while ((status = ring_peek_at(ring, &cursor, &record)) == 1) {
        CHECK(record.serial == serial && holds(&record, 200), "byte %zu", place);
        serial++;
    }
    CHECK(status == 0);
    if (damaged)
        CHECK(serial < 16 && (ring_next_serial(ring) == 16 || (place < 4096 && ring_next_serial(ring) == 1)));
    else
        CHECK(serial == 16 && ring_next_serial(ring) == 16, "byte %zu", place);
    push_number(ring, 20);
    ring_close(ring);
    CHECK(clear(false) == (damaged ? 1 : 0));
    found[place / 4096] += damaged;
}

Test(ring_file, every_damaged_byte_is_found_or_does_no_harm)
{
    static const uint8_t changes[] = {0x01, 0xFF};
    static uint8_t image[FILE_SIZE];
    unsigned found[2] = {0, 0};

    make_image(image);
    for (size_t i = 0; i < FILE_SIZE; i++)
        for (size_t k = 0; k < sizeof(changes); k++) {
            image[i] ^= changes[k];
            write_file(image, sizeof(image));
            image[i] ^= changes[k];
            check_damaged(i, found);
        }
    cr_assert_eq(found[1], (12 * (200 + RING_OVERHEAD) + 8) * sizeof(changes), "%u", found[1]);
    /* The constant part (32 bytes), head and tail, and their newest marks (24 bytes each). */
    cr_assert_eq(found[0], (32 + 2 * (8 + 24)) * sizeof(changes), "%u", found[0]);
}

Test(ring_file, random_damage_shows_no_wrong_record)
{
    static uint8_t image[FILE_SIZE], changed[FILE_SIZE];
    uint64_t state = 21;

    make_image(image);
    for (int round = 0; round < 2000; round++) {
        struct ring_record record;
        uint64_t cursor = 0, serial = 4;
        memcpy(changed, image, sizeof(image));
        /* In the header's used part, or anywhere, one to eight bytes. */
        for (uint64_t i = check_random(&state) % 8 + 1; i > 0; i--)
            changed[check_random(&state) % (round % 2 ? 192 : FILE_SIZE)] = (uint8_t)check_random(&state);
        write_file(changed, sizeof(changed));
        struct ring *ring = open_ring();
        for (; ring_peek_at(ring, &cursor, &record) == 1; serial++)
            CHECK(record.serial == serial && holds(&record, 200));
        CHECK(damaged || serial == 16);
        ring_close(ring);
        clear(false);
    }
}

/* A power cut can leave a header that is newer than the records: what lies there then is whole, but of an
 * earlier lap. */
Test(ring_file, records_of_an_earlier_lap_are_not_believed)
{
    static uint8_t earlier[FILE_SIZE], later[FILE_SIZE];
    uint8_t *const images[] = {earlier, later};
    struct ring_record record;

    for (int lap = 0; lap < 2; lap++) {
        struct ring *ring = open_ring();
        for (int i = 0; i < CAPACITY / 128; i++) {
            push_number(ring, 128 - RING_OVERHEAD);
            if (i % 2 == 0) /* half a lap stays */
                CHECK(ring_peek(ring, &record) == 1);
            if (i % 2 == 0)
                ring_pop(ring);
        }
        ring_close(ring);
        read_file(images[lap], FILE_SIZE);
        write_file(images[lap], FILE_SIZE);
        ring = open_ring();
        CHECK(!damaged);
        ring_discard(ring);
        ring_close(ring);
    }
    memcpy(later + 4096, earlier + 4096, CAPACITY);
    write_file(later, FILE_SIZE);
    struct ring *ring = open_ring();
    cr_assert(damaged);
    cr_assert_eq(ring_used(ring), 0);
    cr_assert_eq(ring_next_serial(ring), 2 * CAPACITY / 128 + 1);
    ring_close(ring);
}

/* ---- kill -9 ---- */

/* What the child had done for sure, and what it was about to do. */
struct progress {
    _Atomic uint64_t pushed;  /* the last serial whose push returned */
    _Atomic uint64_t popping; /* the last serial whose pop began */
    _Atomic uint64_t popped;  /* the last serial whose pop returned */
};

static size_t size_of(uint64_t serial)
{
    return (size_t)(serial * 2654435761u >> 7) % 400;
}

/* Pushes for ever; takes some when the ring is full. */
static _Noreturn void child_run(struct progress *progress)
{
    struct ring *ring = ring_open(path, CAPACITY, &damaged, error, sizeof(error));
    struct ring_record record;

    if (ring == NULL || damaged)
        _exit(1);
    if (ring_peek(ring, &record) == 1) /* the one before may have died before it said so */
        atomic_store(&progress->popped, record.serial - 1);
    for (;;) {
        uint64_t serial = ring_next_serial(ring);
        uint8_t *room = ring_reserve(ring, size_of(serial));
        if (room != NULL) {
            memset(room, (int)serial, size_of(serial));
            ring_commit(ring, size_of(serial));
            atomic_store(&progress->pushed, serial);
            continue;
        }
        for (int i = 0; i < 5; i++) {
            if (ring_peek(ring, &record) != 1)
                _exit(2);
            atomic_store(&progress->popping, record.serial);
            ring_pop(ring);
            atomic_store(&progress->popped, record.serial);
        }
    }
}

/* Opens what the child left; returns the serial after the last record that was there. */
static uint64_t check_left(const struct progress *progress, bool drain)
{
    struct ring_record record;
    struct ring *ring = open_ring();
    uint64_t cursor = 0, serial = 0;
    int found;

    CHECK(!damaged);
    while ((found = ring_peek_at(ring, &cursor, &record)) == 1) {
        if (serial == 0)
            CHECK(record.serial == progress->popped + 1 || record.serial == progress->popping + 1);
        else
            CHECK(record.serial == serial, "a gap before %llu", (unsigned long long)record.serial);
        CHECK(holds(&record, size_of(record.serial)));
        serial = record.serial + 1;
    }
    CHECK(found == 0);
    CHECK(serial != 0 || progress->pushed <= progress->popping);
    serial = ring_next_serial(ring);
    CHECK(serial == progress->pushed + 1 || serial == progress->pushed + 2,
        "the next serial is %llu after %llu", (unsigned long long)serial,
        (unsigned long long)progress->pushed);
    if (drain)
        ring_pop_to(ring, cursor);
    ring_close(ring);
    return serial;
}

Test(ring_file, a_kill_at_any_moment_loses_nothing)
{
    struct progress *progress =
        mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    uint64_t state = 77, last = 0;

    for (int round = 0; round < 60; round++) {
        pid_t child = fork();
        if (child == 0)
            child_run(progress);
        while (atomic_load(&progress->pushed) == last)
            CHECK(waitpid(child, NULL, WNOHANG) == 0, "the child ended");
        usleep((useconds_t)(check_random(&state) % 2000));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        bool drain = round % 3 == 0;
        last = check_left(progress, drain) - 1;
        atomic_store(&progress->pushed, last);
        if (drain) {
            atomic_store(&progress->popping, last);
            atomic_store(&progress->popped, last);
        }
    }
    cr_assert_gt(last, 1000);
    cr_assert_eq(clear(false), 0);
    munmap(progress, sizeof(*progress));
}
