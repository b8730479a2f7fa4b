/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the state file of the chain. Called by chain_writer.c, and by the command line, which makes it and
 * looks at it.
 *
 * The file is written, not mapped: a page of the kernel's survives the process in both cases, and a file that
 * somebody cuts would kill a process that has it mapped. The new slot is written first, and then zeros over
 * the old one. All of it is within one sector, so that a power cut leaves it as it was at one moment. What a
 * file system or a disk keeps of overwritten sectors is beyond us (docs/audit.md).
 *
 * A page that is copied to the disk while it is written may all the same be neither. So the secret of the
 * next start, the same for as long as a start lasts, is in another sector as well, which is written once a
 * start: without it, and without the verification key, a new chain would have to begin.
 */
#include "exporters/chain_state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/private_file.h"
#include "base/secret.h"
#include "exporters/chain_slot.h"

#define STATE_MAGIC 0x63687374U

struct chain_state {
    uint32_t magic;
    int descriptor;
    char *path;
    struct chain_file *file; /* what the file has, or is to have */
    unsigned newest;
};

/* ---- a chain that begins ---- */

void chain_point_begin(struct chain_point *point, const uint8_t key[CHAIN_KEY_SIZE], uint64_t epoch)
{
    *point = (struct chain_point){.cursor = {.epoch = epoch}, .kept_until_us = UINT64_MAX};
    memcpy(point->secret, key, CHAIN_KEY_SIZE);
}

void chain_point_begin_elsewhere(struct chain_point *point, const uint8_t key[CHAIN_KEY_SIZE])
{
    chain_point_begin(point, key, 0);
    chain_next_secret(point->secret);
    point->cursor.start = 1;
}

/* ---- reading and making ---- */

static enum chain_state_found state_fail(const char *path, char *error, size_t error_size)
{
    int saved = errno;

    snprintf(error, error_size, "%s: %s", path, strerror(saved));
    errno = saved;
    return CHAIN_STATE_FAILED;
}

enum chain_state_found chain_state_read(
    const char *path, struct chain_point *point, char *error, size_t error_size)
{
    struct chain_page page;
    enum chain_state_found found = CHAIN_STATE_DAMAGED;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (descriptor == -1)
        return errno == ENOENT ? CHAIN_STATE_MISSING : state_fail(path, error, error_size);
    /* The writer may be between its steps while we copy. */
    for (unsigned tries = 0; tries < 100 && found == CHAIN_STATE_DAMAGED; tries++) {
        ssize_t length = pread(descriptor, &page, sizeof(page), 0);
        if (length == -1) {
            found = state_fail(path, error, error_size);
        } else if (length == sizeof(page) && chain_page_newest(&page) >= 0) {
            chain_slot_read(&page.slots[chain_page_newest(&page)], point);
            found = CHAIN_STATE_FOUND;
        }
    }
    close(descriptor);
    secret_wipe(&page, sizeof(page));
    return found;
}

/* 0 or -1 (errno). */
static int file_make(const char *path, const struct chain_file *file)
{
    uint8_t bytes[CHAIN_STATE_BYTES] = {0};

    memcpy(bytes, file, sizeof(*file));
    int status = private_file_make(path, bytes, sizeof(bytes)), saved = errno;
    secret_wipe(bytes, sizeof(bytes));
    errno = saved;
    return status;
}

int chain_state_make(const char *path, const struct chain_point *point, char *error, size_t error_size)
{
    struct chain_file file = {.page = {.magic = CHAIN_PAGE_TEXT}};

    chain_slot_write(&file.page.slots[0], point, 1);
    chain_seed_write(&file.seed, point);
    int status = file_make(path, &file);
    if (status == -1)
        state_fail(path, error, error_size);
    int saved = errno;
    secret_wipe(&file, sizeof(file));
    errno = saved;
    return status;
}

/* ---- the writer's ---- */

/* Whose it is, and what. 0, or -1 (errno) and a sentence. */
static int state_judge(int descriptor, const char *path, struct stat *status, char *error, size_t error_size)
{
    if (fstat(descriptor, status) == -1) {
        state_fail(path, error, error_size);
        return -1;
    }
    if (S_ISREG(status->st_mode) && status->st_uid == geteuid())
        return 0;
    snprintf(error, error_size, "%s: not a regular file of this process's user", path);
    errno = EPERM;
    return -1;
}

/* Its rights are put right: they may have come back wrong from a backup, and refusing to serve would not undo
 * it. */
static enum chain_state_found state_examine(int descriptor, const char *path, char *error, size_t error_size)
{
    struct stat status;

    if (state_judge(descriptor, path, &status, error, error_size) == -1)
        return CHAIN_STATE_FAILED;
    if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        LOG_EVENT(
            LOG_WARN, "chain", "the state was open to other users of this machine", log_string("path", path));
        if (fchmod(descriptor, S_IRUSR | S_IWUSR) == -1)
            return state_fail(path, error, error_size);
    }
    return status.st_size == CHAIN_STATE_BYTES ? CHAIN_STATE_FOUND : CHAIN_STATE_DAMAGED;
}

/* A sector in one call: it is within a page, and no signal cuts a write in there. 0 or -1 (errno). */
static int sector_write(int descriptor, const void *bytes, size_t size, off_t at)
{
    ssize_t written;

    do
        written = pwrite(descriptor, bytes, size, at);
    while (written == -1 && errno == EINTR);
    if (written == (ssize_t)size)
        return 0;
    errno = written >= 0 ? ENOSPC : errno;
    return -1;
}

static int state_write(const struct chain_state *state)
{
    return sector_write(state->descriptor, &state->file->page, sizeof(state->file->page), 0);
}

/* The secret of point is in its own sector. 0 or -1 (errno). */
static int state_write_seed(struct chain_state *state, const struct chain_point *point)
{
    struct chain_seed *seed = &state->file->seed;

    if (chain_seed_fits(seed, point))
        return 0;
    chain_seed_write(seed, point);
    if (sector_write(state->descriptor, seed, sizeof(*seed), CHAIN_SECTOR) == 0)
        return 0;
    seed->magic[0] = '\0'; /* the next time again */
    return -1;
}

bool chain_state_in_place(const struct chain_state *state)
{
    struct stat own, named;

    assert(state->magic == STATE_MAGIC);
    if (fstat(state->descriptor, &own) == -1)
        return true; /* nothing is concluded: the write itself will tell */
    if (own.st_nlink == 0 || own.st_size != CHAIN_STATE_BYTES)
        return false;
    if (lstat(state->path, &named) == -1)
        return errno != ENOENT;
    return own.st_dev == named.st_dev && own.st_ino == named.st_ino;
}

/* Wipes it: wherever it was moved to, it would be a copy of a key. */
static void state_wipe_file(int descriptor)
{
    static const uint8_t zeros[sizeof(struct chain_file)];

    (void)!pwrite(descriptor, zeros, sizeof(zeros), 0);
    close(descriptor);
}

/* A process that died in state_replace() has left it. */
static void state_drop_fresh(const char *fresh)
{
    int descriptor = open(fresh, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (descriptor != -1)
        state_wipe_file(descriptor);
    (void)unlink(fresh);
}

/* The last state under its name again, in a new file: there is no moment without one. 0 or -1 (errno). */
static int state_replace(struct chain_state *state)
{
    char *fresh = memory_format("%s.new", state->path);
    int descriptor = -1;

    state_drop_fresh(fresh);
    if (file_make(fresh, state->file) == 0) {
        descriptor = open(fresh, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (descriptor != -1 && rename(fresh, state->path) == -1) {
            int saved = errno;
            close(descriptor);
            descriptor = -1;
            state_drop_fresh(fresh);
            errno = saved;
        }
    }
    free(fresh);
    if (descriptor == -1)
        return -1;
    state_wipe_file(state->descriptor);
    state->descriptor = descriptor;
    LOG_EVENT(LOG_ERROR, "chain", "the state was deleted, moved or cut by somebody else, and is made again",
        log_string("path", state->path));
    return 0;
}

/* The newest slot of the file; the other one goes. */
static enum chain_state_found state_load(struct chain_state *state, char *error, size_t error_size)
{
    ssize_t length = pread(state->descriptor, state->file, sizeof(*state->file), 0);
    struct chain_point point;

    if (length == -1)
        return state_fail(state->path, error, error_size);
    int newest = length == sizeof(*state->file) ? chain_page_newest(&state->file->page) : -1;
    if (newest < 0)
        return CHAIN_STATE_DAMAGED;
    state->newest = (unsigned)newest;
    if (!chain_seed_holds(&state->file->seed))
        secret_wipe(&state->file->seed, sizeof(state->file->seed)); /* it is written again */
    chain_slot_wipe(&state->file->page.slots[1 - newest]);
    chain_slot_read(&state->file->page.slots[newest], &point);
    bool written = state_write(state) == 0 && state_write_seed(state, &point) == 0;
    int saved = errno;
    secret_wipe(&point, sizeof(point));
    errno = saved;
    return written ? CHAIN_STATE_FOUND : state_fail(state->path, error, error_size);
}

enum chain_state_found chain_state_open(
    const char *path, struct chain_state **out, struct chain_point *point, char *error, size_t error_size)
{
    int descriptor = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

    if (descriptor == -1)
        return errno == ENOENT ? CHAIN_STATE_MISSING : state_fail(path, error, error_size);
    struct chain_state *state = memory_calloc(1, sizeof(*state));
    *state = (struct chain_state){.magic = STATE_MAGIC, .descriptor = descriptor};
    state->file = secret_map(sizeof(*state->file));
    state->path = memory_format("%s", path);
    enum chain_state_found found = state_examine(descriptor, path, error, error_size);
    if (found == CHAIN_STATE_FOUND)
        found = state_load(state, error, error_size);
    if (found == CHAIN_STATE_FOUND) {
        char *fresh = memory_format("%s.new", path);
        state_drop_fresh(fresh);
        free(fresh);
        chain_slot_read(&state->file->page.slots[state->newest], point);
        *out = state;
        return found;
    }
    int saved = errno;
    chain_state_close(state);
    errno = saved;
    return found;
}

/* An empty one is none: the start removes it. */
int chain_state_check(const char *directory, char *error, size_t error_size)
{
    char *path = memory_format("%s/" CHAIN_STATE_NAME, directory);
    struct stat status;
    int descriptor = -1, result = 0;

    if (lstat(path, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0)
        goto out;
    descriptor = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (descriptor != -1) {
        result = state_judge(descriptor, path, &status, error, error_size);
        close(descriptor);
    } else if (errno != ENOENT) {
        state_fail(path, error, error_size);
        result = -1;
    }
out:
    free(path);
    return result;
}

/* What the second sector says, of a file that is nobody else's. */
static bool seed_read(int descriptor, struct chain_point *point)
{
    struct chain_seed seed;
    struct stat status;
    bool holds = fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == geteuid() &&
                 pread(descriptor, &seed, sizeof(seed), CHAIN_SECTOR) == sizeof(seed) &&
                 chain_seed_holds(&seed) && seed.start > 0;

    if (holds) {
        *point = (struct chain_point){
            .cursor = {.start = seed.start, .epoch = seed.epoch}, .kept_until_us = UINT64_MAX};
        memcpy(point->secret, seed.secret, sizeof(seed.secret));
    }
    secret_wipe(&seed, sizeof(seed));
    return holds;
}

bool chain_state_start(const char *path, uint64_t *start)
{
    struct chain_seed seed;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    bool holds = descriptor != -1 && pread(descriptor, &seed, sizeof(seed), CHAIN_SECTOR) == sizeof(seed) &&
                 chain_seed_holds(&seed) && seed.start > 0;

    if (holds)
        *start = seed.start;
    if (descriptor != -1)
        close(descriptor);
    secret_wipe(&seed, sizeof(seed));
    return holds;
}

bool chain_state_rescue(const char *path, uint64_t *start)
{
    char *fresh = memory_format("%s.new", path), error[512];
    int descriptor = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct chain_point point = {.kept_until_us = 0};
    bool rescued = descriptor != -1 && seed_read(descriptor, &point);

    if (rescued) {
        state_drop_fresh(fresh);
        rescued = chain_state_make(fresh, &point, error, sizeof(error)) == 0 && rename(fresh, path) == 0;
        *start = point.cursor.start;
    }
    if (rescued)
        state_wipe_file(descriptor); /* it would be a copy of a secret */
    else
        state_drop_fresh(fresh);
    if (!rescued && descriptor != -1)
        close(descriptor);
    secret_wipe(&point, sizeof(point));
    free(fresh);
    return rescued;
}

int chain_state_set(struct chain_state *state, const struct chain_point *point)
{
    assert(state->magic == STATE_MAGIC);
    struct chain_slot *old = &state->file->page.slots[state->newest],
                      *next = &state->file->page.slots[1 - state->newest];
    int replaced = chain_state_in_place(state) ? 0 : state_replace(state), saved = errno;

    int written = state_write_seed(state, point);
    if (written == -1)
        saved = errno;
    chain_slot_write(next, point, old->serial + 1);
    state->newest = 1 - state->newest;
    if (state_write(state) == -1) {
        written = -1;
        saved = errno;
    }
    chain_slot_wipe(old);
    if (written == 0 && (written = state_write(state)) == -1)
        saved = errno;
    errno = saved;
    return replaced == -1 ? -1 : written;
}

int chain_state_sync(struct chain_state *state)
{
    assert(state->magic == STATE_MAGIC);
    return fdatasync(state->descriptor);
}

void chain_state_close(struct chain_state *state)
{
    if (state == NULL)
        return;
    assert(state->magic == STATE_MAGIC);
    secret_unmap(state->file, sizeof(*state->file), sizeof(*state->file));
    close(state->descriptor);
    free(state->path);
    state->magic = 0;
    free(state);
}
