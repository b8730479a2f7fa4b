/* SPDX-License-Identifier: Apache-2.0 */
/* A trail as the sealer writes it, in memory: lines with their chain and their checkpoints. Tests then do to
 * it what an attacker would. */
#ifndef MQWARD_TESTS_EXPORTERS_TRAIL_H
#define MQWARD_TESTS_EXPORTERS_TRAIL_H

#include "exporters/chain_state.h"
#include "exporters/checkpoint.h"
#include "exporters/verify.h"

struct trail_line {
    char *text; /* without a newline */
    size_t length;
};

/* Who can seal: what the proxy has, or what somebody took from it. */
struct trail_writer {
    struct chain_point point;
    uint64_t interval; /* lines between checkpoints; 0: it makes none */
    uint64_t wall_us;
    const char *user;              /* of its events */
    struct checkpoint_key *signer; /* NULL: its checkpoints have signatures of nobody's */
};

struct trail {
    uint8_t key[CHAIN_KEY_SIZE]; /* the verification key */
    struct checkpoint_key *signer;
    struct checkpoint_public *public_key;
    bool borrowed; /* both keys are another trail's */
    struct trail_writer writer;
    struct trail_line *lines;
    size_t count, capacity;
};

/* Without lines. interval: of checkpoints. */
struct trail *trail_new(uint64_t interval);
/* The same, of lines that can be changed without changing the other's; it uses the other's keys. */
struct trail *trail_copy(const struct trail *trail);
void trail_free(struct trail *trail);
/* A start with so many lines, its first checkpoint and the one of a clean stop included. */
void trail_start(struct trail *trail, size_t lines);
/* A start's first line, and further lines; checkpoints where they are due. */
void trail_begin(struct trail *trail, struct trail_writer *writer);
void trail_event(struct trail *trail, struct trail_writer *writer);
void trail_gap(struct trail *trail, struct trail_writer *writer, uint64_t count);
void trail_checkpoint(struct trail *trail, struct trail_writer *writer);
/* A line without a chain. */
void trail_unchained(struct trail *trail, uint64_t epoch, uint64_t sequence);

/* ---- what is done to it ---- */

void trail_insert(struct trail *trail, size_t at, const char *text, size_t length);
void trail_remove(struct trail *trail, size_t at, size_t count);
void trail_move(struct trail *trail, size_t from, size_t to);
/* The line with old replaced by as long a text. */
void trail_replace(struct trail *trail, size_t at, const char *old, const char *text);

/* ---- verification ---- */

/* Everything it has, with all keys. Free with verify_free(). */
struct verify *trail_verify(const struct trail *trail, const struct verify_options *options);
struct verify_options trail_options(const struct trail *trail);
/* The first finding, or NULL. */
const struct verify_finding *trail_first(const struct verify *verify);

#endif
