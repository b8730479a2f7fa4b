/* SPDX-License-Identifier: Apache-2.0 */
/* What one producer of events did not put into its ring, in a mapped file beside it
 * (repeats-<run>-<index>.table): how often an event was repeated since it was told (audit-events "Floods are
 * aggregated"), and what was lost for want of room ("Every loss is counted"). Like the ring it survives the
 * death of the process and is told by the next start. Sans-IO but for the file: the caller gives the time.
 *
 * The first event of its kind is pushed at once; those like it within the interval are counted, and at its
 * end one event tells of them: it stands for 1 + suppressed. So the sum over all events is what happened.
 *
 * One thread at a time uses a table: the producer, and before or after it whoever opens and closes. */
#ifndef MQWARD_EXPORTERS_REPEATS_H
#define MQWARD_EXPORTERS_REPEATS_H

#include "base/ring.h"
#include "exporters/audit.h"

struct repeats;

/* So many kinds of events are counted at a time; each takes a slot of 4 KiB. */
#define REPEATS_SLOTS 512

/* So many are counted at once, at most: a count that is further from its mirror is damaged. */
#define REPEATS_STEP 1024

/* Why an event was lost. */
enum repeats_loss {
    REPEATS_LOST_WAITING, /* the process ended, or had to go on, before there was room */
    REPEATS_LOST_DENY,    /* audit.on_full: deny */
    REPEATS_LOST_DROP,    /* audit.on_full: drop */
    REPEATS_LOST_REPORT,  /* a report of the audit trail itself */
    REPEATS_LOST_DAMAGE,  /* a table did not hold: nobody knows how many it had counted */
};

/* ---- repeats_file.c ---- */

struct repeats_options {
    uint32_t slots;       /* REPEATS_SLOTS at most; 0: nothing is aggregated, losses are counted */
    uint64_t interval_ms; /* audit.aggregate */
};

/* The table in a file, which is made if it is not there (its space is reserved: a full disk is an error here
 * and never a SIGBUS later). An existing one keeps its slots; one without any gets as many as are asked for.
 * A file that does not hold is renamed to <path>.damaged-<time>, *damaged is set, and a new one made, which
 * has that to tell: an unknown number is lost. NULL and a sentence in error. */
struct repeats *repeats_open(
    const char *path, const struct repeats_options *options, bool *damaged, char *error, size_t error_size);
/* The file stays unless it is to be unlinked. NULL is fine. */
void repeats_close(struct repeats *repeats, bool unlink_file);

/* ---- repeats.c ---- */

/* Of a table that an earlier run left: what it was about to tell when it died is told if the ring has it.
 * next_serial: of the producer's ring, before anything is pushed. Returns how many slots do not hold (they
 * are given up, and the table has that to tell; each stands for an unknown number of events). */
uint64_t repeats_settle(struct repeats *repeats, uint64_t next_serial);

/* True: one like it was told within the interval, this one was counted, and is not to be pushed. */
bool repeats_count(struct repeats *repeats, const struct audit_event *event);
/* Where an event was counted: for as long as those like it are, which is until its slot is told or given up.
 * For the thread that uses the table. */
struct repeats_ticket {
    uint64_t generation; /* 0: of no slot */
    uint32_t slot;
};
/* Of the event of which repeats_count() has just said true. */
struct repeats_ticket repeats_ticket(const struct repeats *repeats);
/* Counts so many events more (REPEATS_STEP at most) that are like the one that the ticket is of, and of the
 * same connection, which the caller knows: they are neither looked at nor encoded. wall_us: of all of them.
 * False: the ticket is over, and nothing was counted. */
bool repeats_count_again(
    struct repeats *repeats, const struct repeats_ticket *ticket, uint64_t count, uint64_t wall_us);
/* What two messages may differ in and be alike all the same (repeats_key.c): who knows that of them need not
 * make events to have them compared. */
bool repeats_compares_topic(enum audit_action action); /* the others of what was decided about, too */
bool repeats_compares_payload(enum audit_action action, enum audit_disposition disposition);
/* The event that repeats_count() was just asked about is in the ring. Until the end of the interval those
 * like it are counted. If the table is full, its oldest is told first, if the ring is half empty. */
void repeats_begin(
    struct repeats *repeats, const struct audit_event *event, struct ring *ring, uint64_t now_ms);
/* When something is to be told, monotonic ms; 0: nothing is counted. */
uint64_t repeats_due_ms(const struct repeats *repeats);
/* Tells what is due: the next one of each kind is news again. Only while the ring is half empty, since no
 * share pays for it, and counts are safe where they are. False: there is more to tell. */
bool repeats_tell(struct repeats *repeats, struct ring *ring, uint64_t now_ms);
/* Tells all, due or not, as long as there is room. */
bool repeats_tell_all(struct repeats *repeats, struct ring *ring);

/* Counts an event that found no room. */
void repeats_lose(struct repeats *repeats, enum repeats_loss why, const struct audit_event *event);
/* Events that were lost and not told of yet, where the number is known. Any thread. */
uint64_t repeats_lost(const struct repeats *repeats);
/* Something was lost that was not told of yet. */
bool repeats_has_lost(const struct repeats *repeats);
/* One audit-gap event for all of them, if there are any. False: the ring has no room. */
bool repeats_tell_lost(struct repeats *repeats, struct ring *ring, uint64_t wall_us);

/* As it was made with. */
uint32_t repeats_slots(const struct repeats *repeats);
/* There is nothing to tell. */
bool repeats_is_empty(const struct repeats *repeats);

/* event.severity, as the record will have it. */
unsigned repeats_severity(const struct audit_event *event);

#endif
