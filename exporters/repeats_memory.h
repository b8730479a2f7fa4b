/* SPDX-License-Identifier: Apache-2.0 */
/* What repeats.c and repeats_file.c share: the layout of a table in its file. Nobody else includes it.
 * Integers are in the machine's order, as in rings. */
#ifndef MQWARD_EXPORTERS_REPEATS_MEMORY_H
#define MQWARD_EXPORTERS_REPEATS_MEMORY_H

#include <stdatomic.h>

#include "exporters/repeats.h"

#define REPEATS_MAGIC "mqwrept"
#define REPEATS_VERSION 1
#define REPEATS_PAGE ((size_t)4096) /* of the header, and of each slot */
#define REPEATS_NONE UINT32_MAX
#define REPEATS_LOSSES UINT64_MAX /* in intent_slot: what is being told are the losses */

/* Severities that are counted apart. */
#define REPEATS_SEVERITIES 4

/* Kept twice: the older copy is written, so that a process that is killed leaves one that holds. */
struct repeats_losses {
    _Atomic uint64_t version; /* the larger is the newer */
    _Atomic uint64_t counts[REPEATS_SEVERITIES];
    _Atomic uint64_t first_us, last_us;
    _Atomic uint64_t why; /* bits of enum repeats_loss */
    _Atomic uint64_t check;
};

struct repeats_header {
    char magic[8];
    uint32_t version;
    uint32_t slots;
    uint64_t check; /* of the three above */
    /* Before an event is pushed that tells of a slot (its index + 1) or of the losses: the serial that it
     * will have. Behind it they are as if told. 0: nothing is being told. */
    _Atomic uint64_t intent_slot, intent_serial;
    struct repeats_losses losses[2];
};

struct repeats_slot {
    _Atomic uint64_t state;             /* 0: free; else the check of length and record, which is never 0 */
    _Atomic uint64_t count;             /* repeats that were not told yet */
    _Atomic uint64_t mirror;            /* ~count; a step (REPEATS_STEP at most) behind if the process was
                                           killed between the two */
    _Atomic uint64_t first_us, last_us; /* of those counted */
    _Atomic uint64_t mixed;             /* 1: they are of more than one connection */
    uint64_t length;
    uint8_t record[REPEATS_PAGE - 7 * sizeof(uint64_t)]; /* the event that was told, encoded */
};

_Static_assert(sizeof(struct repeats_slot) == REPEATS_PAGE, "a slot is a page");
_Static_assert(sizeof(struct repeats_header) <= REPEATS_PAGE, "the header fits its page");

/* What the process alone knows of a slot. */
struct repeats_entry {
    uint8_t *key; /* owned; NULL: free, or of an earlier run */
    size_t key_length;
    uint64_t hash;
    uint64_t generation; /* of tickets; 0: free, or of an earlier run */
    uint64_t due_ms;
    uint64_t connection;     /* of the connection that the record is about (repeats_connection()) */
    uint32_t next_in_bucket; /* REPEATS_NONE: the last */
    uint32_t previous, next; /* of those in use, by due_ms */
};

/* Numbers and hashes; texts as far as they are kept, with their lengths and hashes; items of lists. */
#define REPEATS_KEY_ITEM ((size_t)128)
#define REPEATS_KEY_MAX                                                                                      \
    ((size_t)512 + 48 * (AUDIT_FIELD_MAX + 2 * sizeof(uint64_t)) +                                           \
        4 * AUDIT_LIST_MAX * (REPEATS_KEY_ITEM + 2 * sizeof(uint64_t)))

struct repeats {
    struct repeats_header *header;
    struct repeats_slot *slots;
    uint32_t slot_count;
    uint64_t interval_ms;
    char *path; /* owned */
    struct repeats_entry *entries;
    uint32_t *buckets; /* bucket_mask + 1 of them */
    uint32_t bucket_mask;
    uint32_t *free_slots;
    uint32_t free_count;
    uint32_t first, last;  /* the oldest, and the newest */
    uint32_t counted;      /* by the last repeats_count() that said true */
    uint64_t generations;  /* given out */
    _Atomic uint64_t lost; /* any thread reads it */
    bool has_lost;         /* that, or an unknown number */
    /* What repeats_count() was last asked about; key_length 0: it is of no kind that is aggregated. */
    size_t key_length;
    uint64_t key_hash;
    uint8_t key[REPEATS_KEY_MAX];
};

uint64_t repeats_check(uint64_t seed, const void *bytes, size_t length); /* never 0 */
uint64_t repeats_header_check(const struct repeats_header *header);
/* Makes zeroed memory an empty table. */
void repeats_format(struct repeats_header *header, uint32_t slots);
/* Another number of slots in a header. */
void repeats_set_slots(struct repeats_header *header, uint32_t slots);

/* ---- repeats.c ---- */
/* Pushes an event that tells of what (as intent_slot has it), under the protection of the intent. False: no
 * room, and no intent. */
bool repeats_push(struct repeats *repeats, struct ring *ring, uint64_t what, const struct audit_event *event);
/* What was pushed counts as told: the intent is over. */
void repeats_settled(struct repeats *repeats);

/* ---- repeats_losses.c ---- */
void repeats_losses_format(struct repeats_header *header);
/* True if one copy holds. */
bool repeats_losses_hold(const struct repeats_header *header);
/* Takes over what the file has. */
void repeats_losses_attach(struct repeats *repeats);
/* The table did not hold: an unknown number is lost. */
void repeats_lose_table(struct repeats *repeats, uint64_t wall_us);
/* They are told: zero again. */
void repeats_losses_told(struct repeats *repeats);

/* ---- repeats_file.c ---- */
/* A table over memory whose header holds; takes path over. */
struct repeats *repeats_attach(void *memory, uint64_t interval_ms, char *path);
/* Frees all but the mapping. */
void repeats_detach(struct repeats *repeats);

#endif
