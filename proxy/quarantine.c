/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the quarantine's bounds and who writes what in it. Called by scan_evidence.c. The disk is
 * quarantine_folder.c's; files are written without the lock, so that a slow disk holds up nobody who only
 * asks whether a payload is known. */
#include "proxy/quarantine.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "proxy/quarantine_folder.h"

#define LOG_EVERY_MS 60000
/* A full folder is counted again this long after the last count, and a hundred times as long as it took. */
#define COUNT_AGAIN_MS 1000

/* A payload that is being written: on its thread's stack. */
struct storing {
    struct storing *next;
    char hex[QUARANTINE_HEX + 1];
    uint64_t bytes;
};

/* What can go on for long and is said now and then. */
struct complaint {
    uint64_t said_ms; /* 0: never */
    uint64_t times;   /* since then */
};

struct quarantine {
    struct quarantine_folder folder;
    char *path;
    uint64_t max_bytes, max_files;

    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t stored;
    struct storing *storing;
    struct quarantine_usage usage; /* with what is being written */
    uint64_t count_again_ms;
    struct complaint full, failed;

    struct quarantine_fill told; /* of the thread that asks for it */
};

const char *quarantine_result_name(enum quarantine_result result)
{
    static const char *const names[] = {"stored", "known", "full", "failed", "busy"};

    assert((unsigned)result < sizeof(names) / sizeof(names[0]));
    return names[result];
}

/* ---- counting ---- */

static struct storing *find(struct storing *first, const char *hex)
{
    while (first != NULL && memcmp(first->hex, hex, QUARANTINE_HEX) != 0)
        first = first->next;
    return first;
}

static bool is_stored_now(const void *context, const char *hex)
{
    return find(((const struct quarantine *)context)->storing, hex) != NULL;
}

static int count(struct quarantine *quarantine)
{
    uint64_t begun_ms = clock_monotonic_ms(), ended_ms;
    struct quarantine_usage usage;

    int result = quarantine_folder_count(&quarantine->folder, is_stored_now, quarantine, &usage);
    ended_ms = clock_monotonic_ms();
    quarantine->count_again_ms = ended_ms + COUNT_AGAIN_MS + (ended_ms - begun_ms) * 100;
    if (result != 0)
        return -1;
    for (const struct storing *each = quarantine->storing; each != NULL; each = each->next) {
        usage.bytes += each->bytes;
        usage.files++;
    }
    quarantine->usage = usage;
    return 0;
}

static void give_back(struct quarantine_usage *usage, struct quarantine_usage what)
{
    usage->bytes -= what.bytes < usage->bytes ? what.bytes : usage->bytes;
    usage->files -= what.files < usage->files ? what.files : usage->files;
}

/* For a payload and its description of so many bytes, in the place of what is left of them. */
static bool has_room(const struct quarantine *quarantine, uint64_t bytes, struct quarantine_usage left)
{
    struct quarantine_usage usage = quarantine->usage;

    give_back(&usage, left);
    return usage.files < quarantine->max_files && usage.bytes <= quarantine->max_bytes &&
           bytes <= quarantine->max_bytes - usage.bytes;
}

void quarantine_fill(struct quarantine *quarantine, struct quarantine_fill *fill)
{
    /* Whoever counts the folder holds the lock. */
    if (pthread_mutex_trylock(&quarantine->lock) == 0) {
        quarantine->told = (struct quarantine_fill){
            quarantine->usage.bytes, quarantine->usage.files, quarantine->max_bytes, quarantine->max_files};
        pthread_mutex_unlock(&quarantine->lock);
    }
    *fill = quarantine->told;
}

/* ---- life ---- */

static int prepare(struct quarantine *quarantine, char *error, size_t size)
{
    char name[QUARANTINE_NAME_MAX];

    if (quarantine_folder_open(&quarantine->folder, quarantine->path, error, size) != 0)
        return -1;
    if (quarantine_folder_recover(&quarantine->folder, name) != 0) {
        snprintf(
            error, size, "%s%s%s: %s", quarantine->path, name[0] == '\0' ? "" : "/", name, strerror(errno));
        return -1;
    }
    if (count(quarantine) != 0) {
        snprintf(error, size, "%s: %s", quarantine->path, strerror(errno));
        return -1;
    }
    return 0;
}

struct quarantine *quarantine_open(
    const char *directory, uint64_t max_bytes, uint64_t max_files, char *error, size_t error_size)
{
    struct quarantine *quarantine = memory_calloc(1, sizeof(*quarantine));

    quarantine->path = memory_copy_string(view_of_string(directory));
    quarantine->max_bytes = max_bytes;
    quarantine->max_files = max_files;
    pthread_mutex_init(&quarantine->lock, NULL);
    pthread_cond_init(&quarantine->stored, NULL);
    if (prepare(quarantine, error, error_size) == 0) {
        quarantine_fill(quarantine, &quarantine->told);
        return quarantine;
    }
    quarantine_close(quarantine);
    return NULL;
}

void quarantine_close(struct quarantine *quarantine)
{
    if (quarantine == NULL)
        return;
    assert(quarantine->storing == NULL);
    quarantine_folder_close(&quarantine->folder);
    pthread_cond_destroy(&quarantine->stored);
    pthread_mutex_destroy(&quarantine->lock);
    free(quarantine->path);
    free(quarantine);
}

/* ---- storing ---- */

/* With the lock. */
static void complain(struct quarantine *quarantine, struct complaint *complaint, const char *why)
{
    uint64_t now_ms = clock_monotonic_ms();

    complaint->times++;
    if (complaint->said_ms != 0 && now_ms - complaint->said_ms < LOG_EVERY_MS)
        return;
    LOG_EVENT(LOG_ERROR, "quarantine", "payloads were not stored", log_string("directory", quarantine->path),
        log_string("error", why), log_unsigned("payloads", complaint->times),
        log_unsigned("bytes", quarantine->usage.bytes), log_unsigned("files", quarantine->usage.files));
    *complaint = (struct complaint){.said_ms = now_ms};
}

static enum quarantine_result failed(struct quarantine *quarantine)
{
    int error = errno;

    complain(quarantine, &quarantine->failed, strerror(error));
    errno = error;
    return QUARANTINE_FAILED;
}

/* Somebody has taken one of the two files away, or cut it: the other gives way to the new pair. */
static struct quarantine_usage usage_of(const struct quarantine_pair *pair)
{
    return (struct quarantine_usage){(uint64_t)(pair->payload > 0 ? pair->payload : 0) +
                                         (uint64_t)(pair->description > 0 ? pair->description : 0),
        pair->payload >= 0};
}

/* With the lock, and nobody else writes this payload: is it there, or is there room for it? */
static enum quarantine_result reserve(
    struct quarantine *quarantine, const char *hex, size_t payload, size_t description)
{
    uint64_t bytes = (uint64_t)payload + description;
    struct quarantine_pair pair;

    if (quarantine_folder_look(&quarantine->folder, hex, &pair) != 0)
        return failed(quarantine);
    if (pair.payload == (int64_t)payload && pair.description >= 0)
        return QUARANTINE_KNOWN;
    struct quarantine_usage left = usage_of(&pair);
    if (!has_room(quarantine, bytes, left) && clock_monotonic_ms() >= quarantine->count_again_ms &&
        count(quarantine) != 0)
        return failed(quarantine);
    if (!has_room(quarantine, bytes, left)) {
        complain(quarantine, &quarantine->full,
            quarantine->usage.files >= quarantine->max_files ? "it is full: no more files"
                                                             : "it is full: no more bytes");
        return QUARANTINE_FULL;
    }
    if ((pair.payload >= 0 || pair.description >= 0) &&
        quarantine_folder_remove(&quarantine->folder, hex) != 0)
        return failed(quarantine);
    give_back(&quarantine->usage, left);
    quarantine->usage.bytes += bytes;
    quarantine->usage.files++;
    return QUARANTINE_STORED;
}

static void unlist(struct quarantine *quarantine, const struct storing *own)
{
    struct storing **link = &quarantine->storing;

    while (*link != own)
        link = &(*link)->next;
    *link = own->next;
    pthread_cond_broadcast(&quarantine->stored);
}

/* With the lock, which is let go of meanwhile. */
static enum quarantine_result write_pair(
    struct quarantine *quarantine, struct storing *own, struct view payload, struct view describe)
{
    int result, error;

    own->next = quarantine->storing;
    quarantine->storing = own;
    pthread_mutex_unlock(&quarantine->lock);
    result = quarantine_folder_write(&quarantine->folder, own->hex, payload, describe);
    error = errno;
    pthread_mutex_lock(&quarantine->lock);
    unlist(quarantine, own);
    if (result == 0)
        return QUARANTINE_STORED;
    give_back(&quarantine->usage, (struct quarantine_usage){own->bytes, 1});
    errno = error;
    return failed(quarantine);
}

enum quarantine_result quarantine_store(
    struct quarantine *quarantine, const uint8_t sha256[32], struct view payload, struct view describe)
{
    struct storing own = {.bytes = (uint64_t)payload.length + describe.length};
    enum quarantine_result result;
    int error;

    for (unsigned i = 0; i < QUARANTINE_HEX / 2; i++)
        snprintf(own.hex + 2 * i, 3, "%02x", sha256[i]);
    pthread_mutex_lock(&quarantine->lock);
    while (find(quarantine->storing, own.hex) != NULL)
        pthread_cond_wait(&quarantine->stored, &quarantine->lock);
    result = reserve(quarantine, own.hex, payload.length, describe.length);
    if (result == QUARANTINE_STORED)
        result = write_pair(quarantine, &own, payload, describe);
    error = errno;
    pthread_mutex_unlock(&quarantine->lock);
    errno = error;
    return result;
}
