/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the comparison of the chain's state with the journal at a start. Called by chain_writer.c.
 *
 * Between the append of a batch and the state's move a process may die, and a power cut leaves of both what
 * the disk had: the journal may be some lines ahead (they are checked, and the state moves over them) or
 * behind (lines are lost, and that is said). A state that came back from a backup is behind by whole starts:
 * that is the same walk. */
#include "exporters/chain_recover.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "exporters/journal.h"

/* Keys that a walk may compute for lines and starts that are not there: some seconds. */
#define RECOVER_STEPS_MAX 20000000U

struct walk {
    struct chain_point *point;
    struct chain_recovery *recovery;
    struct chain_cursor known; /* where the state was */
    uint64_t last_known;       /* the last line of the state's epoch that it knows and the journal has */
    bool seen;                 /* a line of the chain */
    uint64_t kept_until_us;    /* as the state says */
    uint64_t steps;            /* left */

    bool last_is_bad;   /* the line before did not hold: no wonder that the link does not fit */
    uint64_t bad_lines; /* that do not hold */
    char first_bad[64]; /* event.id */
    uint64_t unchained; /* lines without a chain */
    char first_unchained[64];
    uint64_t missing;                                    /* between lines that hold */
    uint64_t missing_epoch, missing_first, missing_last; /* the first of such places */
};

void chain_recovery_note(
    struct chain_recovery *recovery, uint64_t count, uint64_t first, uint64_t last, const char *format, ...)
{
    va_list arguments;

    if (recovery->break_count == CHAIN_BREAKS_MAX)
        return;
    struct chain_break *broken = &recovery->breaks[recovery->break_count++];
    *broken = (struct chain_break){.count = count, .first = first, .last = last};
    va_start(arguments, format);
    vsnprintf(broken->detail, sizeof(broken->detail), format, arguments);
    va_end(arguments);
}

/* ---- one line ---- */

/* head NULL: what was there can't even be told. */
static void walk_count(uint64_t *count, char first[64], const struct record_head *head)
{
    if ((*count)++ > 0)
        return;
    if (head == NULL)
        snprintf(first, 64, "damaged");
    else
        snprintf(first, 64, "%016" PRIx64 "-%" PRIu64, head->epoch, head->sequence);
}

static void walk_bad(struct walk *walk, const struct record_head *head)
{
    walk_count(&walk->bad_lines, walk->first_bad, head);
    walk->last_is_bad = true;
}

/* A line that the state knows. The keys of these are gone, but it has the hash of the last one. */
static void walk_known(struct walk *walk, const struct journal_line *line)
{
    struct chain_link link;

    walk->last_known = line->head.sequence;
    walk->seen = true;
    if (line->head.sequence + 1 == walk->known.sequence &&
        (chain_parse(line->text, &link) != CHAIN_LINKED ||
            memcmp(link.hash, walk->known.prev, sizeof(link.hash)) != 0))
        walk_bad(walk, &line->head);
}

/* To where the line says that it is, if that is ahead, and not too far. */
static bool walk_reach(
    struct walk *walk, const struct chain_link *link, uint64_t sequence, struct chain_point *there)
{
    if (link->start < there->cursor.start)
        return false;
    if (link->start > there->cursor.start) {
        uint64_t starts = link->start - there->cursor.start;
        if (starts > walk->steps)
            return false;
        walk->steps -= starts;
        for (uint64_t i = 1; i < starts; i++)
            chain_next_secret(there->secret);
        chain_begin(&there->cursor, there->secret, link->epoch, link->start);
        chain_next_secret(there->secret);
    }
    if (link->epoch != there->cursor.epoch || sequence < there->cursor.sequence ||
        sequence - there->cursor.sequence > walk->steps)
        return false;
    uint64_t steps = sequence - there->cursor.sequence;
    walk->steps -= steps;
    chain_next_key(there->cursor.key, steps);
    there->cursor.sequence = sequence;
    return true;
}

/* Nobody knows what was in front of the first line, if the state knows none, or retention may have had those
 * that it knows. */
static bool walk_begins(const struct walk *walk)
{
    return !walk->seen && (walk->known.epoch == 0 || clock_wall_us() >= walk->kept_until_us);
}

/* A genuine line that is not the next one, or does not follow the one that is in front of it. */
static void walk_note_hole(struct walk *walk, const struct chain_point *before, const struct chain_link *link,
    const struct record_head *head)
{
    bool same = before->cursor.start == link->start;
    uint64_t next = same ? before->cursor.sequence : 1;

    if (walk_begins(walk))
        return;
    if (head->sequence > next) {
        /* Lines that do not hold have their place, too. */
        uint64_t missing = head->sequence - next;
        if (walk->last_is_bad)
            return;
        if (walk->missing == 0) {
            walk->missing_epoch = link->epoch;
            walk->missing_first = next;
            walk->missing_last = head->sequence - 1;
        }
        walk->missing += missing;
    } else if (!walk->last_is_bad && memcmp(link->prev, before->cursor.prev, sizeof(link->prev)) != 0) {
        walk_bad(walk, head);
    }
}

static void walk_new(struct walk *walk, const struct journal_line *line)
{
    struct chain_point there = *walk->point;
    struct chain_link link;
    enum chain_member member = chain_parse(line->text, &link);

    if (member == CHAIN_ABSENT && walk->known.epoch == 0 && !walk->seen) {
        ; /* from before there was a chain */
    } else if (member == CHAIN_ABSENT) {
        walk_count(&walk->unchained, walk->first_unchained, &line->head);
        walk->last_is_bad = true;
    } else if (member == CHAIN_MANGLED || link.epoch != line->head.epoch ||
               !walk_reach(walk, &link, line->head.sequence, &there) ||
               !chain_holds(there.cursor.key, &link)) {
        walk_bad(walk, &line->head);
    } else {
        walk_note_hole(walk, walk->point, &link, &line->head);
        chain_step(&there.cursor, link.hash);
        there.unsigned_lines++;
        if (record_is_checkpoint(line->text)) {
            there.checkpoint_epoch = line->head.epoch;
            there.checkpoint_sequence = line->head.sequence;
            there.unsigned_lines = 0;
        }
        *walk->point = there;
        walk->recovery->moved++;
        walk->last_is_bad = false;
        walk->seen = true;
    }
    secret_wipe(&there, sizeof(there));
}

/* True behind what the state knows. */
static bool walk_is_beyond(const struct walk *walk, uint64_t epoch, uint64_t sequence)
{
    return epoch > walk->known.epoch || (epoch == walk->known.epoch && sequence >= walk->known.sequence);
}

/* The state was damaged: which start it was in is known, but none of its keys. Lines up to there can't be
 * checked; the last one is what the next start follows on. Those in front of that start may also be of
 * another chain, or of a version without one. */
static bool walk_has_no_key(const struct walk *walk)
{
    return walk->known.epoch > 0 && walk->known.start > 0 && walk->known.sequence == 0;
}

static void walk_unchecked(struct walk *walk, const struct journal_line *line)
{
    struct chain_point *point = walk->point;
    const bool own = line->head.epoch == walk->known.epoch;
    struct chain_link link;

    if (chain_parse(line->text, &link) != CHAIN_LINKED || link.epoch != line->head.epoch ||
        (own ? link.start != walk->known.start : link.start >= walk->known.start)) {
        if (own)
            walk_bad(walk, &line->head);
        return;
    }
    walk->seen = true;
    memcpy(point->cursor.prev, link.hash, sizeof(link.hash));
    point->unsigned_lines++;
    if (record_is_checkpoint(line->text)) {
        point->checkpoint_epoch = line->head.epoch;
        point->checkpoint_sequence = line->head.sequence;
        point->unsigned_lines = 0;
    }
}

static void walk_line(struct walk *walk, const struct journal_line *line)
{
    if (walk_has_no_key(walk) && line->head.epoch <= walk->known.epoch)
        walk_unchecked(walk, line);
    else if (line->head.epoch < walk->known.epoch)
        return;
    else if (walk_is_beyond(walk, line->head.epoch, line->head.sequence))
        walk_new(walk, line);
    else
        walk_known(walk, line);
}

/* ---- the whole ---- */

/* The first segment that may have a line from the state's last one on. */
static struct journal_position walk_start(struct journal *journal, const struct chain_cursor *cursor)
{
    struct journal_position start = JOURNAL_START;
    size_t count;
    const struct journal_segment *segments = journal_segments(journal, &count);

    for (size_t i = 0; i < count; i++) {
        if (segments[i].epoch > cursor->epoch ||
            (segments[i].epoch == cursor->epoch && segments[i].first >= cursor->sequence))
            break;
        start = (struct journal_position){segments[i].epoch, segments[i].first, 0};
    }
    return start;
}

/* What the state knows and the journal does not have any more. With nothing at all of that epoch there,
 * retention may have had it: the state says from when on. */
static void walk_note_end(const struct walk *walk)
{
    const struct chain_cursor *known = &walk->known;

    if (known->sequence <= 1 || walk->last_known + 1 >= known->sequence)
        return;
    if (walk->last_known > 0)
        chain_recovery_note(walk->recovery, known->sequence - 1 - walk->last_known, walk->last_known + 1,
            known->sequence - 1,
            "sequences %" PRIu64 " to %" PRIu64 " of epoch %016" PRIx64
            ", which the chain knows, are missing in the journal",
            walk->last_known + 1, known->sequence - 1, known->epoch);
    else if (clock_wall_us() < walk->kept_until_us)
        chain_recovery_note(walk->recovery, 0, 0, 0,
            "the journal has no line of epoch %016" PRIx64
            ", of which the chain knows sequences up to %" PRIu64,
            known->epoch, known->sequence - 1);
}

static void walk_note_rest(const struct walk *walk)
{
    if (walk->missing > 0)
        chain_recovery_note(walk->recovery, walk->missing, walk->missing_first, walk->missing_last,
            "lines are missing in the journal, first sequences %" PRIu64 " to %" PRIu64
            " of epoch %016" PRIx64,
            walk->missing_first, walk->missing_last, walk->missing_epoch);
    if (walk->bad_lines > 0)
        chain_recovery_note(walk->recovery, walk->bad_lines, 0, 0,
            "lines of the journal do not hold, the first is %s", walk->first_bad);
    if (walk->unchained > 0)
        chain_recovery_note(walk->recovery, walk->unchained, 0, 0,
            "lines of the journal are not part of the chain, the first is %s", walk->first_unchained);
}

int chain_recover(struct journal *journal, struct chain_point *point, struct chain_recovery *recovery)
{
    struct walk walk = {.point = point,
        .recovery = recovery,
        .known = point->cursor,
        .kept_until_us = point->kept_until_us,
        .steps = RECOVER_STEPS_MAX};
    struct journal_reader *reader = journal_reader_new(journal, walk_start(journal, &point->cursor));
    struct journal_line line;
    enum journal_read read;

    while ((read = journal_reader_next(reader, &line)) == JOURNAL_LINE || read == JOURNAL_DAMAGED) {
        if (read == JOURNAL_LINE)
            walk_line(&walk, &line);
        else if (walk_is_beyond(&walk, journal_reader_position(reader).epoch, walk.last_known + 1))
            walk_bad(&walk, NULL);
    }
    journal_reader_free(reader);
    secret_wipe(walk.known.key, sizeof(walk.known.key));
    if (read == JOURNAL_FAILED)
        return -1;
    walk_note_end(&walk);
    walk_note_rest(&walk);
    secret_wipe_stack();
    return 0;
}
