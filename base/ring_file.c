/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the files of rings: opening, checking, making and setting aside. Called by the exporter at start. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/ring_memory.h"

/* A caller's place for a sentence. */
struct ring_error {
    char *text;
    size_t size;
};

static void ring_fail(const struct ring_error *error, const char *path, const char *what, int number)
{
    snprintf(error->text, error->size, "%s: %s%s%s", path, what, number == 0 ? "" : ": ",
        number == 0 ? "" : strerror(number));
}

/* Locks path's file, and makes sure that it still is path's: somebody may have renamed it between open and
 * lock. */
static int ring_lock(int descriptor, const char *path, struct stat *status, const struct ring_error *error)
{
    struct stat named;

    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK)
            ring_fail(error, path, "in use by another process", 0);
        else
            ring_fail(error, path, "cannot be locked", errno);
        return -1;
    }
    if (fstat(descriptor, status) != 0) {
        ring_fail(error, path, "cannot be examined", errno);
        return -1;
    }
    if (!S_ISREG(status->st_mode)) {
        ring_fail(error, path, "not a regular file", 0);
        return -1;
    }
    if (lstat(path, &named) != 0 || named.st_ino != status->st_ino || named.st_dev != status->st_dev) {
        ring_fail(error, path, "in use by another process", 0);
        return -1;
    }
    return 0;
}

/* Reserves the space and maps it. NULL after an error. */
static void *ring_map(int descriptor, const char *path, uint64_t capacity, const struct ring_error *error)
{
    size_t size = RING_PAGE + (size_t)capacity;
    int status;

    do
        status = posix_fallocate(descriptor, 0, (off_t)size);
    while (status == EINTR);
    if (status != 0) {
        ring_fail(error, path, "no space can be reserved", status);
        return NULL;
    }
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (memory == MAP_FAILED) {
        ring_fail(error, path, "cannot be mapped", errno);
        return NULL;
    }
    return memory;
}

/* An empty ring in a new file at path, which is not yet anybody's. */
static struct ring *ring_make(
    const char *path, uint64_t capacity, bool salvaged, const struct ring_error *error)
{
    struct stat status;
    int descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (descriptor < 0) {
        ring_fail(error, path, "cannot be created", errno);
        return NULL;
    }
    if (ring_lock(descriptor, path, &status, error) != 0)
        goto fail;
    /* What is left of an earlier attempt. */
    if (ftruncate(descriptor, 0) != 0) {
        ring_fail(error, path, "cannot be emptied", errno);
        goto fail;
    }
    void *memory = ring_map(descriptor, path, capacity, error);
    if (memory == NULL) {
        unlink(path);
        goto fail;
    }
    ring_format(memory, capacity, salvaged);
    struct ring *ring = ring_attach(memory, capacity, descriptor);
    assert(ring != NULL);
    return ring;
fail:
    close(descriptor);
    return NULL;
}

/* Keeps the damaged file under a second name; path itself is replaced in one step afterwards. */
static int ring_set_aside(const char *path, const struct ring_error *error)
{
    for (uint64_t second = clock_wall_us() / 1000000, last = second + 60; second < last; second++) {
        char *name = memory_format("%s.damaged-%llu", path, (unsigned long long)second);
        int status = link(path, name);
        int number = status == 0 ? 0 : errno;
        /* A file system without hard links: there is an instant without a file, no more. */
        if (number != 0 && number != EEXIST && access(name, F_OK) != 0)
            number = rename(path, name) == 0 ? 0 : errno;
        free(name);
        if (number == 0)
            return 0;
        if (number != EEXIST) {
            ring_fail(error, path, "damaged, and cannot be renamed", number);
            return -1;
        }
    }
    ring_fail(error, path, "damaged, and has been renamed too often", 0);
    return -1;
}

/* Makes the file that path names from now on. old may be NULL; its intact records are carried over. */
static struct ring *ring_replace(
    const char *path, uint64_t capacity, bool damaged, struct ring *old, const struct ring_error *error)
{
    char *fresh = memory_format("%s.new", path);
    struct ring *ring = ring_make(fresh, capacity, damaged, error);

    if (ring == NULL)
        goto out;
    if (old != NULL)
        ring_salvage(ring, old);
    bool done = !damaged || ring_set_aside(path, error) == 0;
    if (done && rename(fresh, path) != 0) {
        ring_fail(error, path, "cannot be created", errno);
        done = false;
    }
    if (!done) {
        if (access(path, F_OK) == 0) /* else the next start goes on with it */
            unlink(fresh);
        ring_close(ring);
        ring = NULL;
    }
out:
    free(fresh);
    return ring;
}

/* The constant part of the header tells a ring of ours of this file's size. Read, not mapped: a short file
 * has no page to map. */
static bool ring_file_holds(int descriptor, off_t size, uint64_t *capacity)
{
    struct ring_header header;

    if (pread(descriptor, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        !ring_header_holds(&header))
        return false;
    *capacity = header.capacity;
    return size == (off_t)(RING_PAGE + header.capacity);
}

/* The ring in an open file, which is closed when that fails. */
static struct ring *ring_open_file(
    int descriptor, const char *path, uint64_t capacity, bool *damaged, const struct ring_error *error)
{
    struct ring *old = NULL, *ring = NULL;
    struct stat status;
    uint64_t found;

    if (ring_lock(descriptor, path, &status, error) != 0)
        goto out;
    if (ring_file_holds(descriptor, status.st_size, &found)) {
        void *memory = ring_map(descriptor, path, found, error);
        if (memory == NULL)
            goto out;
        old = ring_attach(memory, found, descriptor);
        if (old == NULL)
            munmap(memory, RING_PAGE + (size_t)found);
        else if (ring_intact(old)) {
            *damaged = old->header->salvaged != 0;
            return old;
        } else
            capacity = found;
    }
    ring = ring_replace(path, capacity, true, old, error);
    *damaged = ring != NULL;
out:
    if (old != NULL)
        ring_close(old);
    else
        close(descriptor);
    return ring;
}

/* Without hard links a damaged file loses its name before the salvaged one gets it: who died in between, or
 * could not go on, has left that beside it. */
static void ring_finish_replacing(const char *path)
{
    char *fresh = memory_format("%s.new", path);
    int descriptor = open(fresh, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct ring_header header;

    if (descriptor >= 0 && pread(descriptor, &header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
        ring_header_holds(&header) && header.salvaged != 0)
        (void)!rename(fresh, path); /* if not, it is told that path cannot be created */
    if (descriptor >= 0)
        close(descriptor);
    free(fresh);
}

struct ring *ring_open(const char *path, size_t capacity, bool *damaged, char *error, size_t error_size)
{
    struct ring_error sentence = {error, error_size};

    *damaged = false;
    if (!ring_capacity_valid(capacity)) {
        ring_fail(&sentence, path, "the capacity must be a power of two from 4 KiB to 1 GiB", 0);
        return NULL;
    }
    if (access(path, F_OK) != 0 && errno == ENOENT)
        ring_finish_replacing(path);
    int descriptor = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (descriptor >= 0)
        return ring_open_file(descriptor, path, capacity, damaged, &sentence);
    if (errno != ENOENT) {
        ring_fail(&sentence, path, "cannot be opened", errno);
        return NULL;
    }
    return ring_replace(path, capacity, false, NULL, &sentence);
}
