/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the files of tables: opening, checking, making and setting aside, and the memory of a table. Called by
 * source.c; the directory's lock keeps other processes away. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "exporters/repeats_memory.h"

/* ---- checks ---- */

static uint64_t mix(uint64_t state, uint64_t word)
{
    state = (state ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return state ^ state >> 32;
}

/* Against damage, not against attackers, as those of rings. */
uint64_t repeats_check(uint64_t seed, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    uint64_t state = mix(REPEATS_VERSION, seed), word = 0;

    for (; length >= sizeof(word); length -= sizeof(word), at += sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        state = mix(state, word);
    }
    word = 0;
    if (length > 0)
        memcpy(&word, at, length);
    state = mix(state, word);
    return state == 0 ? 1 : state;
}

uint64_t repeats_header_check(const struct repeats_header *header)
{
    return repeats_check(header->slots, header->magic, sizeof(header->magic) + sizeof(header->version));
}

void repeats_set_slots(struct repeats_header *header, uint32_t slots)
{
    header->slots = slots;
    header->check = repeats_header_check(header);
}

void repeats_format(struct repeats_header *header, uint32_t slots)
{
    memcpy(header->magic, REPEATS_MAGIC, sizeof(header->magic));
    header->version = REPEATS_VERSION;
    repeats_set_slots(header, slots);
    repeats_losses_format(header);
}

static bool header_holds(const struct repeats_header *header)
{
    return memcmp(header->magic, REPEATS_MAGIC, sizeof(header->magic)) == 0 &&
           header->version == REPEATS_VERSION && header->slots <= REPEATS_SLOTS &&
           header->check == repeats_header_check(header) && repeats_losses_hold(header);
}

/* ---- a table in memory ---- */

static uint32_t bucket_count(uint32_t slots)
{
    uint32_t count = 1;

    while (count < slots * 2)
        count *= 2;
    return count;
}

struct repeats *repeats_attach(void *memory, uint64_t interval_ms, char *path)
{
    struct repeats *repeats = memory_calloc(1, sizeof(*repeats));
    uint32_t buckets;

    repeats->header = memory;
    repeats->slots = (void *)((uint8_t *)memory + REPEATS_PAGE);
    repeats->slot_count = repeats->header->slots;
    repeats->interval_ms = interval_ms;
    repeats->path = path;
    repeats->first = repeats->last = REPEATS_NONE;
    repeats_losses_attach(repeats);
    if (repeats->slot_count == 0)
        return repeats;
    buckets = bucket_count(repeats->slot_count);
    repeats->entries = memory_calloc(repeats->slot_count, sizeof(*repeats->entries));
    repeats->free_slots = memory_calloc(repeats->slot_count, sizeof(*repeats->free_slots));
    repeats->buckets = memory_calloc(buckets, sizeof(*repeats->buckets));
    repeats->bucket_mask = buckets - 1;
    memset(repeats->buckets, 0xff, buckets * sizeof(*repeats->buckets));
    /* The first ones are taken first: a quiet process touches few pages. */
    for (uint32_t i = repeats->slot_count; i-- > 0;)
        repeats->free_slots[repeats->free_count++] = i;
    return repeats;
}

void repeats_detach(struct repeats *repeats)
{
    for (uint32_t i = 0; i < repeats->slot_count; i++)
        free(repeats->entries[i].key);
    free(repeats->entries);
    free(repeats->free_slots);
    free(repeats->buckets);
    free(repeats->path);
    free(repeats);
}

/* ---- files ---- */

/* A caller's place for a sentence. */
struct repeats_error {
    char *text;
    size_t size;
};

static void fail(const struct repeats_error *error, const char *path, const char *what, int number)
{
    snprintf(error->text, error->size, "%s: %s: %s", path, what, strerror(number));
}

static size_t file_size(uint32_t slots)
{
    return REPEATS_PAGE * ((size_t)slots + 1);
}

/* Reserves the space and maps it. NULL after an error. */
static void *map(int descriptor, const char *path, uint32_t slots, const struct repeats_error *error)
{
    int status;
    void *memory;

    do
        status = posix_fallocate(descriptor, 0, (off_t)file_size(slots));
    while (status == EINTR);
    if (status != 0) {
        fail(error, path, "no space can be reserved", status);
        return NULL;
    }
    memory = mmap(NULL, file_size(slots), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (memory != MAP_FAILED)
        return memory;
    fail(error, path, "cannot be mapped", errno);
    return NULL;
}

static void fill(void *memory, uint32_t slots, const struct repeats_header *before, bool damaged)
{
    struct repeats *repeats;

    if (before != NULL) {
        memcpy(memory, before, sizeof(*before));
        repeats_set_slots(memory, slots);
    } else
        repeats_format(memory, slots);
    if (!damaged)
        return;
    repeats = repeats_attach(memory, 0, NULL);
    repeats_lose_table(repeats, clock_wall_us());
    repeats_detach(repeats);
}

/* What is damaged has another name as well, until rename() puts the fresh one in its place: who dies in
 * between finds it again, and says so. Where files have one name only, it is renamed. What was set aside
 * before stays. */
static int set_aside(const char *path, const struct repeats_error *error)
{
    int number = EEXIST;

    for (uint64_t second = clock_wall_us() / 1000000, last = second + 60; number == EEXIST && second < last;
         second++) {
        char *name = memory_format("%s.damaged-%" PRIu64, path, second);

        number = link(path, name) == 0 ? 0 : errno;
        if (number != 0 && number != EEXIST && access(name, F_OK) != 0)
            number = rename(path, name) == 0 ? 0 : errno;
        free(name);
    }
    if (number == 0)
        return 0;
    fail(error, path, "damaged, and cannot be renamed", number);
    return -1;
}

/* A table of no repeats, whole before it has its name. before: whose losses it has, or NULL. damaged: what
 * was there did not hold. */
static void *make(const char *path, uint32_t slots, const struct repeats_header *before, bool damaged,
    const struct repeats_error *error)
{
    char *fresh = memory_format("%s.new", path);
    int descriptor = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    void *memory = NULL;

    if (descriptor < 0) {
        fail(error, path, "cannot be created", errno);
        goto out;
    }
    memory = map(descriptor, path, slots, error);
    if (memory != NULL) {
        fill(memory, slots, before, damaged);
        bool aside = !damaged || set_aside(path, error) == 0;

        if (aside && rename(fresh, path) == 0)
            goto out;
        if (aside)
            fail(error, path, "cannot be created", errno);
        munmap(memory, file_size(slots));
        memory = NULL;
    }
    unlink(fresh);
out:
    if (descriptor >= 0)
        close(descriptor);
    free(fresh);
    return memory;
}

/* The header of an existing table; false: it does not hold. Read, not mapped: a short file has no page to
 * map.
 */
static bool read_header(int descriptor, struct repeats_header *header)
{
    struct stat status;

    return fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) &&
           pread(descriptor, header, sizeof(*header), 0) == (ssize_t)sizeof(*header) &&
           header_holds(header) && status.st_size == (off_t)file_size(header->slots);
}

/* The memory of what is there, in whatever state, or NULL. */
static void *open_existing(int descriptor, const char *path, const struct repeats_options *options,
    bool *damaged, const struct repeats_error *error)
{
    struct repeats_header header;

    *damaged = !read_header(descriptor, &header);
    if (*damaged)
        return make(path, options->slots, NULL, true, error);
    if (header.slots == 0 && options->slots > 0)
        return make(path, options->slots, &header, false, error);
    return map(descriptor, path, header.slots, error);
}

struct repeats *repeats_open(
    const char *path, const struct repeats_options *options, bool *damaged, char *error, size_t error_size)
{
    const struct repeats_error sentence = {error, error_size};
    int descriptor = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    void *memory;

    assert(options->slots <= REPEATS_SLOTS);
    *damaged = false;
    if (descriptor < 0 && errno != ENOENT) {
        fail(&sentence, path, "cannot be opened", errno);
        return NULL;
    }
    if (descriptor >= 0) {
        memory = open_existing(descriptor, path, options, damaged, &sentence);
        close(descriptor);
    } else
        memory = make(path, options->slots, NULL, false, &sentence);
    return memory == NULL
               ? NULL
               : repeats_attach(memory, options->interval_ms, memory_copy_string(view_of_string(path)));
}

void repeats_close(struct repeats *repeats, bool unlink_file)
{
    if (repeats == NULL)
        return;
    munmap(repeats->header, file_size(repeats->slot_count));
    if (unlink_file && unlink(repeats->path) == -1 && errno != ENOENT)
        LOG_EVENT(LOG_WARN, "audit", "table of repeats not removed", log_string("path", repeats->path),
            log_string("error", strerror(errno)));
    repeats_detach(repeats);
}
