/* SPDX-License-Identifier: Apache-2.0 */
/* A journal's chain, followed from its verification key. */
#ifndef MQWARD_TESTS_EXPORTERS_CHAIN_FOLLOW_H
#define MQWARD_TESTS_EXPORTERS_CHAIN_FOLLOW_H

#include "directory.h"
#include "exporters/chain.h"

enum chain_verdict {
    CHAIN_HOLDS,     /* hash and link are right */
    CHAIN_OTHER,     /* of another epoch or start than the cursor's, or of another sequence */
    CHAIN_UNLINKED,  /* the line is genuine, but the one before it is not the one that stood there */
    CHAIN_FORGED,    /* the hash does not fit the line: it was changed, or was never ours */
    CHAIN_UNCHAINED, /* no member */
};

/* Checks the line (without its newline) that should come next; sequence is what its head says
 * (record_parse_head()). The cursor is not moved: on CHAIN_HOLDS go on with chain_step(link->hash). link may
 * be incomplete after CHAIN_UNCHAINED and after a mangled member, which is CHAIN_FORGED. */
enum chain_verdict chain_check(
    const struct chain_cursor *cursor, struct view line, uint64_t sequence, struct chain_link *link);

struct chain_followed {
    size_t lines, checkpoints, starts; /* starts that have lines */
    uint64_t last_start;               /* chain.start of the last line */
    uint64_t epoch, sequence;          /* of the last line */
    bool begins_signed, ends_signed;   /* every start's first line is a checkpoint; the last line is one */
    size_t longest;                    /* lines between two checkpoints */
    size_t holes;                      /* lines whose prev is not the hash of the line before */
};

/* The verification key that a first start has left in the directory. */
void chain_key_of(const char *path, uint8_t key[CHAIN_KEY_SIZE]);
/* Asserts that every line of the journal holds under the key, that each checkpoint is signed by
 * checkpoint.pub of the directory, names the one before and counts right (up to the first hole). Links are
 * counted (holes), not asserted. */
struct chain_followed chain_follow(const char *path, const uint8_t key[CHAIN_KEY_SIZE]);
/* The same without holes. */
struct chain_followed chain_follow_whole(const char *path, const uint8_t key[CHAIN_KEY_SIZE]);

#endif
