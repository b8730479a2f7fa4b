/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the verification share. */
#ifndef MQWARD_EXPORTERS_VERIFY_PRIVATE_H
#define MQWARD_EXPORTERS_VERIFY_PRIVATE_H

#include "exporters/record.h"
#include "exporters/verify.h"
#include "exporters/verify_keys.h"

#define VERIFY_MAGIC 0x76657269U
#define VERIFY_NONE SIZE_MAX /* no finding */
#define VERIFY_SEEN_PARTS 64U
#define VERIFY_SEEN_PART 4096U /* lines */
#define VERIFY_PASSED 4096U    /* starts */
#define VERIFY_HOLES 4096U

/* A line that parsed. */
struct verify_input {
    struct view text;
    struct record_head head;
    struct chain_link link;
};

/* Lines [from, to] of a start that have not come. */
struct verify_hole {
    uint64_t start, epoch, from, to; /* to UINT64_MAX: the end of the start is not known */
    bool before_known, after_known;
    uint8_t before[CHAIN_HASH_SIZE]; /* hash of the line in front of it */
    uint8_t after[CHAIN_HASH_SIZE];  /* prev of the line behind it */
    uint64_t next;                   /* the end of a start: the next start that is here */
    /* The first lines of a start are missing, and with them what tells whether the end of the start before is
     * there: both holes have this number. 0: it is no such hole. */
    uint64_t pair;
    size_t finding;
};

/* Lines that came one behind the other and were not genuine. */
struct verify_run {
    uint64_t start, epoch, from, to; /* from 0: there is none */
    size_t finding;
};

struct verify_seen {
    uint64_t epoch, sequence;
    uint8_t hash[16]; /* of the hash of the line; without a key of the line itself */
};

/* How often there is a checkpoint, as the checkpoints of a start say. */
struct verify_interval {
    bool known;
    uint64_t events, seconds;
};

/* The first and the last line of a start that came, and were in front of none. */
struct verify_passed {
    uint64_t start, epoch, first, last;
    struct verify_interval interval;
};

/* Lines of a start, one behind the other, of which none is a checkpoint that holds. */
struct verify_span {
    uint64_t start, epoch, from, to; /* from 0: there is none */
    uint64_t first_us, last_us;      /* event.created of both */
    uint64_t step_us;                /* the longest time between two neighbours */
    bool front_open, back_open;      /* what stands there has not come: it may make the span longer */
    bool told;                       /* that it is too long */
};

/* Lines of a start that stand behind everything that was seen of the trail, or in front of it. */
struct verify_loose {
    uint64_t start, epoch, lines, checkpoints;
    struct verify_interval interval;
};

/* What is known of checkpoints at the present line. */
struct verify_checkpoints {
    bool known;               /* a checkpoint was seen, so what follows can be counted */
    bool broken;              /* lines are missing since then: counts do not fit, and that was said */
    uint64_t epoch, sequence; /* of the last one */
    uint64_t since;           /* lines behind it, or behind what is broken */
    uint64_t interval_events, interval_seconds;
};

struct verify {
    uint32_t magic;
    struct verify_options options;
    struct verify_keys *keys; /* NULL: no key */
    struct verify_summary summary;

    const char *name; /* of the line at hand */
    uint64_t number;

    struct verify_finding *findings;
    size_t finding_count, finding_capacity;
    size_t streak; /* the finding that the line before this one had, if it may be extended; or VERIFY_NONE */

    /* the chain up to here */
    bool begun;
    uint64_t first_start;
    uint8_t first_prev[CHAIN_HASH_SIZE]; /* of the line that summary says it begins with */
    uint64_t start, epoch, next;         /* the next line's */
    bool linked;                         /* hash is known */
    uint8_t hash[CHAIN_HASH_SIZE];
    struct verify_run forged;
    uint64_t foreign_epoch; /* of a chain whose key is another one; 0: none */

    struct verify_seen *seen[VERIFY_SEEN_PARTS];
    struct verify_hole *holes;
    size_t hole_count;
    bool forgotten; /* lines are missing of which nothing is known any more: there were too many holes */
    uint64_t pairs;
    struct verify_run late;
    struct verify_passed *passed; /* the last VERIFY_PASSED starts, at start count modulo that */
    size_t passed_count;

    struct verify_checkpoints checkpoints;
    uint64_t refused_epoch, refused_sequence; /* the last checkpoint of which the signature did not hold */
    struct verify_span span;                  /* the one that the last line in its place belongs to */
    uint64_t placed_start, placed_epoch, placed_sequence; /* that line, checkpoint or not */
    struct verify_span *spans;                            /* others that may become longer */
    size_t span_count;
    struct verify_loose *loose;
    size_t loose_count;

    size_t *unused; /* findings that were withdrawn, and that nothing knows of any more */
    size_t unused_count;
    size_t passing_count; /* findings that are kept and may be withdrawn */
    uint64_t reports;     /* findings so far, also those that were withdrawn */
};

/* ---- verify_findings.c ---- */

/* Adds one about the line at hand; returns its index, or VERIFY_NONE if it was only counted. count 0: one.
 * Without a text (VERIFY_PLAIN) it is what the kind says. */
#define VERIFY_PLAIN "%s", ""
size_t verify_report(struct verify *verify, enum verify_kind kind, const struct verify_input *input,
    uint64_t count, const char *format, ...) __attribute__((format(printf, 5, 6)));
/* The same, but lines in an unbroken row with it share one finding. */
size_t verify_report_streak(
    struct verify *verify, enum verify_kind kind, const struct verify_input *input, const char *text);
/* Nothing may name the finding afterwards. */
void verify_withdraw(struct verify *verify, size_t finding);
/* In the order in which they were reported, VERIFY_FINDINGS_MAX at most. Afterwards no index of a finding
 * holds. */
void verify_sort_findings(struct verify *verify);
void verify_retell(struct verify *verify, size_t finding, enum verify_kind kind, const char *text);

/* ---- verify.c ---- */

/* It is the first line of a chain. */
bool verify_is_genesis(const struct verify_input *input);

/* ---- verify_places.c: lines that do not come behind all others ---- */

void verify_remember(struct verify *verify, const struct verify_input *input);
/* 1: it was there, with this hash; -1: with another one; 0: not known. */
int verify_recall(const struct verify *verify, uint64_t epoch, uint64_t sequence, const uint8_t hash[16]);
/* A line with this number is among those that are kept. */
bool verify_has_come(const struct verify *verify, uint64_t epoch, uint64_t sequence);
/* The same, and that is its hash. */
bool verify_has_hash(
    const struct verify *verify, uint64_t epoch, uint64_t sequence, const uint8_t hash[CHAIN_HASH_SIZE]);
/* The bytes that verify_remember() keeps of a line. */
void verify_fingerprint(const struct verify *verify, const struct verify_input *input, uint8_t hash[16]);
/* Lines are missing in front of input; hole is copied. Returns its finding, if that still stands. */
size_t verify_open_hole(struct verify *verify, const struct verify_hole *hole);
/* A genuine line whose place is behind us. */
void verify_place_before(struct verify *verify, const struct verify_input *input);
/* The first line that is here of a start behind hole, the end of one, does not follow on what is in front of
 * that. Returns the finding. */
size_t verify_report_end(
    struct verify *verify, const struct verify_hole *hole, const struct verify_input *input);
/* True if lines [from, to] of the start, or some of them, are still missing. */
bool verify_is_missing(
    const struct verify *verify, uint64_t start, uint64_t epoch, uint64_t from, uint64_t to);

/* ---- verify_starts.c: the starts of which lines have come ---- */

/* It was the next one in the order of the chain. */
void verify_pass(struct verify *verify, const struct verify_input *input);
/* It came late: of a start that is known, or the first one of one that is not. */
void verify_pass_late(struct verify *verify, const struct verify_input *input);
void verify_pass_start(struct verify *verify, const struct verify_input *input);
/* The same start in another epoch if there is none in this one. NULL: nothing of it has come, or it is too
 * long ago. */
const struct verify_passed *verify_find_start(const struct verify *verify, uint64_t start, uint64_t epoch);
/* How often the start has a checkpoint; NULL: nothing of it came in its place. */
struct verify_interval *verify_interval_of(struct verify *verify, uint64_t start, uint64_t epoch);
/* The first line of the start has come. */
bool verify_begins_whole(const struct verify *verify, uint64_t start, uint64_t epoch);
/* A first line of a start names another line than the last one of the start before, the sequence of which is
 * last. True if it is one in front of that, which is here: reports it. */
bool verify_find_fork(
    struct verify *verify, uint64_t start, uint64_t epoch, uint64_t last, const struct verify_input *input);

/* ---- verify_checkpoint.c ---- */

/* Nothing was seen yet: what a checkpoint would have said is assumed. */
void verify_begin_checkpoints(struct verify *verify);

/* Lines are no good here, and that was said for good: a checkpoint may have been among them. */
void verify_break(struct verify *verify);
/* The same of lines that are missing: they may still come. */
void verify_break_open(struct verify *verify);
/* A genuine line: counts it, and checks it if it is a checkpoint or declares a gap. Late: in a hole; loose:
 * late, and nothing tells what belongs around it. */
enum verify_place { VERIFY_IN_PLACE, VERIFY_LATE, VERIFY_LOOSE_LINE };
void verify_count_line(struct verify *verify, const struct verify_input *input, enum verify_place place);

/* ---- verify_spans.c: how many lines are without a checkpoint, and for how long, whatever order they come in
 * ---- */

/* What was reported of the lines at hand stays, and the next line begins anew. */
void verify_drop_span(struct verify *verify);
/* A line in its place that is no checkpoint, or one that is; interval: what that says. */
void verify_extend_span(struct verify *verify, const struct verify_input *input);
void verify_end_span(
    struct verify *verify, const struct verify_input *input, const struct verify_interval *interval);
/* The same of lines that came late; loose: nothing tells what is beside it. */
void verify_join_span(struct verify *verify, const struct verify_input *input, bool loose);
void verify_bound_spans(
    struct verify *verify, const struct verify_input *input, const struct verify_interval *interval);
/* The line with the number last is the last one of its start. */
void verify_close_span(struct verify *verify, uint64_t start, uint64_t epoch, uint64_t last);
/* A line that nothing links to the others has come late. interval: what it says, if it is a checkpoint that
 * holds; otherwise NULL. */
void verify_count_loose(
    struct verify *verify, const struct verify_input *input, const struct verify_interval *interval);
/* After the last line. */
void verify_finish_spans(struct verify *verify);

#endif
