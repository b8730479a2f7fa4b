/* SPDX-License-Identifier: Apache-2.0 */
/* Verification of the audit trail: takes its lines one by one, wherever they come from, and says what does
 * not hold (audit-events.md, "The promise", 2 and 6). Memory is bounded whatever is fed. */
#ifndef MQWARD_EXPORTERS_VERIFY_H
#define MQWARD_EXPORTERS_VERIFY_H

#include "exporters/chain.h"

struct chain_point;
struct checkpoint_public;
struct verify;

/* What can be wrong: kind, its name, what it means. */
#define VERIFY_KINDS(X)                                                                                      \
    X(CHANGED, "changed", "its hash does not fit: it was changed, or never was a line of this chain")        \
    X(INSERTED, "inserted", "it does not belong here: the chain has no place for it")                        \
    X(MISSING, "missing", "lines in front of it are missing")                                                \
    X(CUT, "cut off", "lines at the end are missing")                                                        \
    X(FORKED, "forked", "it follows on an earlier line than the one in front of it")                         \
    X(ORDER, "out of order", "it stands behind lines that it belongs in front of")                           \
    X(REPEATED, "repeated", "it stands here a second time")                                                  \
    X(KEY_REUSED, "key used twice", "it was sealed with a key that was already used up")                     \
    X(REWRITTEN, "rewritten", "the line in front of it is not the one that it follows on")                   \
    X(NEW_CHAIN, "another chain", "a chain begins here that the verification key does not fit")              \
    X(UNCHAINED, "unchained", "it has no link of the chain")                                                 \
    X(NO_LINE, "no line", "it is no line of mqward")                                                         \
    X(CHECKPOINT_FORGED, "checkpoint forged", "its signature is not one of the key")                         \
    X(CHECKPOINT_MISSING, "checkpoint missing", "a checkpoint that should be here is not")                   \
    X(CHECKPOINT_OVERDUE, "checkpoint overdue", "more lines than allowed are without a checkpoint")          \
    X(STATE, "state", "the state of the chain does not fit")                                                 \
    X(NOTHING, "nothing", "there is nothing to verify")                                                      \
    X(GAP, "declared gap", "mqward itself says that events are missing")

enum verify_kind {
#define VERIFY_ENUM(kind, name, text) VERIFY_##kind,
    VERIFY_KINDS(VERIFY_ENUM)
#undef VERIFY_ENUM
        VERIFY_KIND_COUNT
};

const char *verify_kind_name(enum verify_kind kind);

struct verify_finding {
    enum verify_kind kind;
    bool withdrawn;           /* later lines have explained it */
    uint64_t order;           /* of the reports */
    char name[256];           /* of the file, as verify_line() was given it; its end if it is longer */
    uint64_t line;            /* 0: the finding is about no line of it */
    uint64_t epoch, sequence; /* event.id; sequence 0: not known */
    uint64_t count;           /* lines that it is about: missing ones, or those from here on */
    char text[320];           /* one sentence; it may have texts of the line in it: any bytes */
};

/* More are counted, but not kept. */
#define VERIFY_FINDINGS_MAX 1000U

struct verify_options {
    const uint8_t *key; /* the verification key; NULL: hashes can't be checked */
    /* Any of them may have signed a checkpoint; none: signatures can't be checked. */
    const struct checkpoint_public *const *public_keys;
    size_t public_key_count;
    bool repeats;   /* lines may be there more than once, as sinks deliver them */
    bool any_order; /* lines may stand behind their place */
    /* Lines without a link of earlier epochs are of a version without a chain: they are counted. Every other
     * one is a finding. 0: all are. */
    uint64_t unchained_before;
    /* Checkpoints come after so many lines at the latest, until the first one of the trail tells; 10,000 or
     * less: the configuration's default. */
    uint64_t interval_events;
    /* Steps along the keys that forged lines may cost, all together: a number is easily claimed. 0:
     * VERIFY_PATIENCE, a quarter of an hour at worst. It bounds how far inside a start a trail may begin. */
    uint64_t patience;
};
#define VERIFY_PATIENCE ((uint64_t)1 << 33)

struct verify_summary {
    uint64_t lines;     /* all that were fed */
    uint64_t unchained; /* without a link, of an epoch before unchained_before */
    uint64_t repeats;   /* identical lines seen before */
    uint64_t far;       /* of them: too far behind for being compared; only their own hashes were checked */
    uint64_t late;      /* behind their place (any_order) */
    uint64_t skipped;   /* of a chain that the key does not fit: not checked */
    uint64_t starts;
    uint64_t checkpoints; /* that hold */
    uint64_t gaps;        /* audit-gap events */
    uint64_t lost;        /* the events that they declare lost */
    uint64_t findings;    /* all, also those that were not kept */
    bool whole;           /* the first line is the first one of its chain */
    uint64_t first_epoch, first_sequence, last_epoch, last_sequence;
    uint64_t first_us, last_us; /* event.created */
    bool has_checkpoint;
    uint64_t checkpoint_epoch, checkpoint_sequence, checkpoint_us;
    uint64_t behind; /* lines behind the last checkpoint: the chain alone protects them */
};

/* What options point to is borrowed. */
struct verify *verify_new(const struct verify_options *options);
void verify_free(struct verify *verify); /* wipes what it has of keys; NULL is fine */

/* The next line, without its newline. name is borrowed for the call. */
void verify_line(struct verify *verify, const char *name, uint64_t number, struct view line);
/* Something that can't be a line; text says why, in a sentence without a full stop. */
void verify_no_line(struct verify *verify, const char *name, uint64_t number, const char *text);
/* A file that is none of the trail, beside it; text says why. */
void verify_stray(struct verify *verify, const char *name, const char *text);
/* What would come next was deleted by retention while it was being read: the next line begins anew. */
void verify_gone(struct verify *verify);
/* After the last line: what the state file of the proxy says. It must have been read before the lines. */
void verify_state(struct verify *verify, const char *name, const struct chain_point *point);
/* The same file, read again after the last line: now the trail can't be ahead of it by a start. */
void verify_state_again(struct verify *verify, const char *name, const struct chain_point *point);
/* Instead of both: there is none that could be read; text says why. */
void verify_no_state(struct verify *verify, const char *name, const char *text);
/* After all of it; nothing but the questions below may follow. */
void verify_finish(struct verify *verify);

/* Those that are not withdrawn, in the order of the lines. */
const struct verify_finding *verify_next_finding(const struct verify *verify, size_t *index);
const struct verify_summary *verify_summary(const struct verify *verify);

#endif
