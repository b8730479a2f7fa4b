/* SPDX-License-Identifier: Apache-2.0 */
/* What the chain's state says of the journal, before the journal is opened: which of the files that lie there
 * may tell the time and the epoch. */
#ifndef MQWARD_EXPORTERS_CHAIN_KNOWN_H
#define MQWARD_EXPORTERS_CHAIN_KNOWN_H

#include "exporters/journal.h"

struct chain_known;

/* Reads the state in directory and fills in *chain, which borrows from what is returned. Without a state that
 * holds, or with one that has no line yet, the chain knows nothing. */
struct chain_known *chain_known_new(const char *directory, struct journal_chain *chain);
void chain_known_free(struct chain_known *known);

#endif
