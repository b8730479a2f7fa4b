/* SPDX-License-Identifier: Apache-2.0 */
/* What of the chain's state and of the journal fits together after a stop, a death or somebody's hands. */
#ifndef MQWARD_EXPORTERS_CHAIN_RECOVER_H
#define MQWARD_EXPORTERS_CHAIN_RECOVER_H

#include "exporters/chain_state.h"

struct journal;

/* Something that the chain proves wrong: one audit-gap event. */
struct chain_break {
    uint64_t count;       /* lines that are missing or not ours; 0: not known */
    uint64_t first, last; /* sequences, 0: not known */
    char detail[256];
};

#define CHAIN_BREAKS_MAX 8

struct chain_recovery {
    uint64_t moved; /* lines that hold and that the state did not know: it is behind them now */
    struct chain_break breaks[CHAIN_BREAKS_MAX];
    size_t break_count;
};

/* Checks the journal's lines from point on, moves point over those that hold, and notes what does not fit:
 * lines that the state knows and that are gone, lines that are gone in between, lines that do not hold, lines
 * without a chain. Behind lines that do not hold it goes on with the next one that does: its key does not
 * depend on them. 0, or -1 (errno) if the journal can't be read. */
int chain_recover(struct journal *journal, struct chain_point *point, struct chain_recovery *recovery);
/* Adds a break, if there is room. */
void chain_recovery_note(struct chain_recovery *recovery, uint64_t count, uint64_t first, uint64_t last,
    const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
