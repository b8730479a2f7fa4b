/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the sealer's side of the chain. Called by sealer.c.
 *
 *   chain_writer_begin -> chain_writer_seal ... -> journal_append -> chain_writer_commit -> ring_pop_to
 *
 * Dying at any arrow loses nothing of the chain: before the append nothing has happened; behind it the next
 * start finds lines that the state does not know, and they hold under the key that the state has. */
#include "exporters/chain_writer.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/secret.h"
#include "exporters/chain_key.h"

#define WRITER_MAGIC 0x63687772U

/* In pages that core dumps leave out. */
struct chain_places {
    struct chain_point at;   /* behind what was committed; the state file says the same */
    struct chain_point next; /* behind what was sealed */
};

struct chain_writer {
    uint32_t magic;
    const struct journal *journal;
    struct chain_state *state;
    struct checkpoint_key *key;
    struct chain_places *places;
    uint64_t interval_events, interval_ms; /* 0: not by these */
    uint64_t retention_us;                 /* 0: for ever */
    /* Since when the oldest line without a checkpoint waits for it, 0: there is none; of at and of next.
     * Monotonic, and as event.created says: whoever verifies has only that, and it goes on while the machine
     * sleeps or stands still. The clocks are looked at once a batch. */
    uint64_t waiting_ms, next_waiting_ms, batch_ms;
    uint64_t waiting_us, next_waiting_us;
    uint64_t checkpoint_us, batch_us; /* when the last committed one was sealed, and the batch, wall clock */
    char *own_key; /* the signing key's file, if it is in the audit directory; otherwise NULL */
    bool sync, unsynced, unwritten; /* the state's file */
    struct chain_recovery recovery;
};

/* ---- the signing key ---- */

static int writer_open_key(
    struct chain_writer *writer, const struct exporter_settings *settings, char *error, size_t error_size)
{
    char *path = settings->chain.signing_key != NULL
                     ? memory_format("%s", settings->chain.signing_key)
                     : memory_format("%s/" CHECKPOINT_KEY_NAME, settings->directory);
    char *public_path = checkpoint_public_path(path);
    bool missing;

    writer->key = checkpoint_key_read(path, &missing, error, error_size);
    if (writer->key == NULL && missing) {
        writer->key = checkpoint_key_make(path, public_path, error, error_size);
        if (writer->key != NULL)
            LOG_EVENT(LOG_INFO, "chain", "a key for checkpoints was made", log_string("path", path),
                log_string("public", public_path), log_string("key", checkpoint_key_id(writer->key)));
    }
    free(public_path);
    if (settings->chain.signing_key == NULL)
        writer->own_key = path;
    else
        free(path);
    return writer->key == NULL ? -1 : 0;
}

/* The pair again, when the directory was deleted. */
static void writer_restore_key(const struct chain_writer *writer)
{
    char error[512];

    if (writer->own_key == NULL || access(writer->own_key, F_OK) == 0 || errno != ENOENT)
        return;
    char *public_path = checkpoint_public_path(writer->own_key);
    if (checkpoint_key_write(writer->key, writer->own_key, public_path, error, sizeof(error)) == -1)
        LOG_LIMITED(
            LOG_ERROR, "chain", "the key for checkpoints can't be written again", log_string("error", error));
    free(public_path);
}

/* ---- the state ---- */

/* An empty file was being made when a process died: there is nothing in it to be kept. */
static void writer_drop_empty(const char *path)
{
    struct stat status;

    if (lstat(path, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0)
        (void)unlink(path);
}

/* A file that does not hold is kept: renamed to <path>.damaged-<epoch>. */
static int writer_set_aside(const char *path, uint64_t epoch, char *error, size_t error_size)
{
    char *name = memory_format("%s.damaged-%016" PRIx64, path, epoch);
    int status = rename(path, name);

    if (status == -1)
        snprintf(error, error_size, "%s: damaged, and cannot be renamed: %s", path, strerror(errno));
    free(name);
    return status;
}

/* The verification key that lies there from the start of a chain whose state is gone, or a new one. *known
 * tells which. */
static int writer_find_key(const char *path, uint64_t epoch, uint8_t key[CHAIN_KEY_SIZE], bool *known,
    char *error, size_t error_size)
{
    bool missing;

    *known = chain_key_read(path, key, &missing, error, error_size) == 0;
    if (*known)
        return 0;
    if (!missing) {
        LOG_EVENT(LOG_ERROR, "chain", "the verification key can't be used and is set aside",
            log_string("error", error));
        if (writer_set_aside(path, epoch, error, error_size) == -1)
            return -1;
    }
    if (chain_key_draw(key) == -1) {
        snprintf(error, error_size, "no random numbers for the chain: %s", strerror(errno));
        return -1;
    }
    return chain_key_write(path, key, error, error_size);
}

/* True if the newest line of the journal is chained. */
static bool writer_journal_is_chained(struct journal *journal)
{
    size_t count;
    const struct journal_segment *segments = journal_segments(journal, &count);
    bool chained = false;

    if (count == 0)
        return false;
    struct journal_reader *reader = journal_reader_new(
        journal, (struct journal_position){segments[count - 1].epoch, segments[count - 1].first, 0});
    struct journal_line line;
    struct chain_link link;
    enum journal_read read;
    while ((read = journal_reader_next(reader, &line)) == JOURNAL_LINE || read == JOURNAL_DAMAGED)
        chained = read == JOURNAL_LINE ? chain_parse(line.text, &link) != CHAIN_ABSENT : chained;
    journal_reader_free(reader);
    return chained;
}

/* A state where there was none that holds: of the key that lies there, or of a chain that begins. */
static int writer_make_state(struct chain_writer *writer, const char *path, const char *key_path,
    bool damaged, struct journal *journal, char *error, size_t error_size)
{
    uint64_t epoch = journal_epoch(journal);
    uint8_t key[CHAIN_KEY_SIZE];
    bool known;

    if (damaged && writer_set_aside(path, epoch, error, error_size) == -1)
        return -1;
    if (writer_find_key(key_path, epoch, key, &known, error, error_size) == -1)
        return -1;
    bool chained = writer_journal_is_chained(journal);
    if (damaged || chained)
        chain_recovery_note(&writer->recovery, 0, 0, 0, "the chain's state was %s; %s",
            damaged ? "damaged" : "gone",
            known ? "it was made anew from " CHAIN_KEY_NAME
                  : "a new chain begins, with another verification key");
    LOG_EVENT(damaged || chained ? LOG_ERROR : LOG_INFO, "chain",
        known ? "the chain's state was made from the verification key" : "a new chain begins",
        log_string("key", key_path));
    chain_point_begin(&writer->places->at, key, known ? 0 : epoch);
    secret_wipe(key, sizeof(key));
    return chain_state_make(path, &writer->places->at, error, error_size);
}

/* A damaged state that still knows its start: the chain goes on. The verification key says more, if it is
 * there. */
static bool writer_rescue_state(struct chain_writer *writer, const char *path, const char *key_path)
{
    uint64_t start;

    if (access(key_path, F_OK) == 0 || !chain_state_rescue(path, &start))
        return false;
    chain_recovery_note(&writer->recovery, 0, 0, 0,
        "the chain's state was damaged: lines of start %" PRIu64 " could not be checked", start);
    LOG_EVENT(LOG_ERROR, "chain",
        "the chain's state was damaged; its start is known, and it goes on from there",
        log_string("path", path), log_unsigned("start", start));
    return true;
}

static int writer_open_state(struct chain_writer *writer, const char *directory, struct journal *journal,
    char *error, size_t error_size)
{
    char *path = memory_format("%s/" CHAIN_STATE_NAME, directory);
    char *key_path = memory_format("%s/" CHAIN_KEY_NAME, directory);

    writer_drop_empty(path);
    writer_drop_empty(key_path);
    enum chain_state_found found =
        chain_state_open(path, &writer->state, &writer->places->at, error, error_size);
    if (found == CHAIN_STATE_DAMAGED && writer_rescue_state(writer, path, key_path))
        found = chain_state_open(path, &writer->state, &writer->places->at, error, error_size);
    if ((found == CHAIN_STATE_MISSING || found == CHAIN_STATE_DAMAGED) &&
        writer_make_state(writer, path, key_path, found == CHAIN_STATE_DAMAGED, journal, error, error_size) ==
            0)
        found = chain_state_open(path, &writer->state, &writer->places->at, error, error_size);
    if (found == CHAIN_STATE_FOUND && access(key_path, F_OK) == 0)
        LOG_EVENT(LOG_WARN, "chain",
            "the verification key lies where the trail is written: move it to where it is verified",
            log_string("path", key_path));
    free(key_path);
    free(path);
    return found == CHAIN_STATE_FOUND ? 0 : -1;
}

/* The next start: from now on the state can't be led back to this one. */
static int writer_begin_start(struct chain_writer *writer, uint64_t epoch)
{
    struct chain_point *at = &writer->places->at;

    chain_begin(&at->cursor, at->secret, epoch, at->cursor.start + 1);
    chain_next_secret(at->secret);
    at->sealed_us = journal_sealed_us(writer->journal);
    at->kept_until_us = UINT64_MAX;
    int status = chain_state_set(writer->state, at);
    secret_wipe_stack();
    return status == -1 ? -1 : chain_state_sync(writer->state);
}

/* ---- life ---- */

struct chain_writer *chain_writer_open(
    const struct exporter_settings *settings, struct journal *journal, char *error, size_t error_size)
{
    struct chain_writer *writer = memory_calloc(1, sizeof(*writer));

    writer->magic = WRITER_MAGIC;
    writer->journal = journal;
    writer->places = secret_map(sizeof(*writer->places));
    writer->interval_events = settings->chain.checkpoint_events;
    writer->interval_ms = settings->chain.checkpoint_interval_ms;
    writer->retention_us = settings->retention_ms * 1000;
    writer->sync = settings->fsync != EXPORTER_FSYNC_NEVER;
    if (writer_open_key(writer, settings, error, error_size) == -1 ||
        writer_open_state(writer, settings->directory, journal, error, error_size) == -1)
        goto failed;
    if (chain_recover(journal, &writer->places->at, &writer->recovery) == -1 ||
        writer_begin_start(writer, journal_epoch(journal)) == -1) {
        snprintf(
            error, error_size, "%s: the chain can't be continued: %s", settings->directory, strerror(errno));
        goto failed;
    }
    if (writer->recovery.moved > 0)
        LOG_EVENT(LOG_INFO, "chain", "lines that the state did not know hold",
            log_unsigned("lines", writer->recovery.moved));
    return writer;
failed:
    chain_writer_close(writer);
    return NULL;
}

void chain_writer_close(struct chain_writer *writer)
{
    if (writer == NULL)
        return;
    assert(writer->magic == WRITER_MAGIC);
    if (writer->state != NULL)
        chain_writer_sync(writer);
    free(writer->own_key);
    chain_state_close(writer->state);
    checkpoint_key_free(writer->key);
    secret_unmap(writer->places, sizeof(*writer->places), sizeof(*writer->places));
    secret_wipe_stack();
    writer->magic = 0;
    free(writer);
}

/* What the file has not is told by the next start at worst: it checks the lines that the state does not know.
 */
static void writer_set(struct chain_writer *writer)
{
    if (!chain_state_in_place(writer->state))
        writer_restore_key(writer);
    writer->unwritten = chain_state_set(writer->state, &writer->places->at) == -1;
    if (writer->unwritten)
        LOG_LIMITED(LOG_ERROR, "chain", "state not written", log_string("error", strerror(errno)));
    writer->unsynced = true;
}

void chain_writer_sync(struct chain_writer *writer)
{
    assert(writer->magic == WRITER_MAGIC);
    if (writer->unwritten || !chain_state_in_place(writer->state))
        writer_set(writer);
    if (!writer->sync || !writer->unsynced)
        return;
    if (chain_state_sync(writer->state) == -1)
        LOG_LIMITED(LOG_ERROR, "chain", "state not synced", log_string("error", strerror(errno)));
    else
        writer->unsynced = false;
}

const struct chain_recovery *chain_writer_recovery(const struct chain_writer *writer)
{
    return &writer->recovery;
}

/* ---- checkpoints ---- */

bool chain_writer_is_due(const struct chain_writer *writer)
{
    const struct chain_point *next = &writer->places->next;

    assert(writer->magic == WRITER_MAGIC);
    if (next->cursor.sequence == 1)
        return true;
    if (next->unsigned_lines == 0)
        return false;
    if (writer->interval_events > 0 && next->unsigned_lines >= writer->interval_events)
        return true;
    return writer->interval_ms > 0 && writer->next_waiting_ms > 0 &&
           (writer->batch_ms - writer->next_waiting_ms >= writer->interval_ms ||
               writer->batch_us >= writer->next_waiting_us + writer->interval_ms * 1000);
}

bool chain_writer_has_unsigned(const struct chain_writer *writer)
{
    return writer->places->at.unsigned_lines > 0;
}

struct chain_progress chain_writer_progress(const struct chain_writer *writer)
{
    return (struct chain_progress){
        writer->checkpoint_us, writer->places->at.unsigned_lines, writer->waiting_ms};
}

void chain_writer_checkpoint(
    const struct chain_writer *writer, uint64_t wall_us, struct chain_checkpoint *checkpoint)
{
    const struct chain_point *next = &writer->places->next;
    struct checkpoint *place = &checkpoint->place;
    uint8_t signature[CHECKPOINT_SIGNATURE_SIZE];

    *place = (struct checkpoint){
        .epoch = next->cursor.epoch,
        .start = next->cursor.start,
        .sequence = next->cursor.sequence,
        .events = next->unsigned_lines,
        .interval_events = writer->interval_events,
        .interval_seconds = (writer->interval_ms + 999) / 1000,
        .wall_us = wall_us,
    };
    memcpy(place->prev, next->cursor.prev, sizeof(place->prev));
    if (next->checkpoint_sequence > 0)
        snprintf(place->previous, sizeof(place->previous), "%016" PRIx64 "-%" PRIu64, next->checkpoint_epoch,
            next->checkpoint_sequence);
    if (checkpoint_sign(writer->key, place, signature) == -1)
        memory_exhausted();
    EVP_EncodeBlock((uint8_t *)checkpoint->signature, signature, sizeof(signature));
    checkpoint->record = (struct record_checkpoint){
        .previous = place->previous,
        .events = place->events,
        .interval_events = place->interval_events,
        .interval_seconds = place->interval_seconds,
        .key = checkpoint_key_id(writer->key),
        .signature = checkpoint->signature,
    };
}

/* ---- a batch ---- */

/* A line behind point's others. */
static void point_count(struct chain_point *point, bool checkpoint)
{
    point->unsigned_lines++;
    if (!checkpoint)
        return;
    point->checkpoint_epoch = point->cursor.epoch;
    point->checkpoint_sequence = point->cursor.sequence - 1;
    point->unsigned_lines = 0;
}

void chain_writer_begin(struct chain_writer *writer, uint64_t sealed_us)
{
    assert(writer->magic == WRITER_MAGIC);
    writer->places->next = writer->places->at;
    writer->places->next.kept_until_us =
        writer->retention_us == 0 ? UINT64_MAX : sealed_us + writer->retention_us;
    writer->next_waiting_ms = writer->waiting_ms;
    writer->next_waiting_us = writer->waiting_us;
    writer->batch_us = sealed_us;
    writer->batch_ms = clock_monotonic_ms();
}

void chain_writer_seal(struct chain_writer *writer, struct buffer *lines, size_t from, bool checkpoint)
{
    struct chain_point *next = &writer->places->next;

    chain_seal(&next->cursor, lines, from);
    point_count(next, checkpoint);
    if (checkpoint) {
        writer->next_waiting_ms = 0;
    } else if (writer->next_waiting_ms == 0) {
        writer->next_waiting_ms = writer->batch_ms;
        writer->next_waiting_us = writer->batch_us;
    }
}

/* What the journal took is less than what was sealed: the same steps again, as far as it did. */
static void writer_follow(struct chain_point *at, struct view lines, const size_t *ends, size_t whole)
{
    struct chain_link link;

    for (size_t i = 0, from = 0; i < whole; from = ends[i++]) {
        struct view line = view_of(lines.data + from, ends[i] - from - 1);
        enum chain_member member = chain_parse(line, &link);
        assert(member == CHAIN_LINKED && link.start == at->cursor.start);
        chain_step(&at->cursor, link.hash);
        point_count(at, record_is_checkpoint(line));
    }
}

void chain_writer_commit(
    struct chain_writer *writer, struct view lines, const size_t *ends, size_t count, size_t whole)
{
    struct chain_point *at = &writer->places->at, *next = &writer->places->next;

    assert(writer->magic == WRITER_MAGIC && whole <= count);
    const uint64_t checkpoint = at->checkpoint_sequence, epoch = at->checkpoint_epoch;
    if (whole == count) {
        *at = *next;
        writer->waiting_ms = writer->next_waiting_ms;
        writer->waiting_us = writer->next_waiting_us;
    } else if (whole > 0) {
        writer_follow(at, lines, ends, whole);
        at->kept_until_us = next->kept_until_us;
        if (writer->waiting_ms == 0 && at->unsigned_lines > 0) { /* a little early is no harm */
            writer->waiting_ms = writer->batch_ms;
            writer->waiting_us = writer->batch_us;
        }
    }
    secret_wipe(next, sizeof(*next));
    if (at->checkpoint_sequence != checkpoint || at->checkpoint_epoch != epoch)
        writer->checkpoint_us = writer->batch_us;
    if (whole > 0) {
        at->sealed_us = journal_sealed_us(writer->journal);
        writer_set(writer);
    }
    secret_wipe_stack();
}
