/* SPDX-License-Identifier: Apache-2.0 */
/* Owns which groups a message is scanned with, by the rule sets that it is asked about. Called by scanner.c.
 */
#include "base/memory.h"
#include "rules/scanner.h"

/* Which groups belong to sets, and what of messages they ask for. */
static void fill_selection(const struct scanner *scanner, struct selection *selection, uint64_t sets)
{
    const struct scan_rules *rules = scanner->rules;

    if (selection->groups == NULL)
        selection->groups = memory_calloc(scanner->words + 1, sizeof(*selection->groups));
    memset(selection->groups, 0, scanner->words * sizeof(*selection->groups));
    selection->sets = sets;
    selection->externals = 0;
    selection->changing = false;
    for (size_t i = 0; i < rules->group_count; i++) {
        if ((sets & UINT64_C(1) << rules->groups[i].set) == 0)
            continue;
        selection->groups[i / 64] |= UINT64_C(1) << (i % 64);
        selection->externals |= rules->groups[i].externals;
        selection->changing = selection->changing || rules->groups[i].changing;
    }
}

void scanner_select(struct scanner *scanner, uint64_t sets)
{
    struct selection *selection;

    for (unsigned i = 0; i < SELECTIONS; i++) {
        selection = &scanner->selections[i];
        if (selection->groups != NULL && selection->sets == sets) {
            scanner->selected = selection;
            return;
        }
    }
    selection = &scanner->selections[scanner->next_selection];
    scanner->next_selection = (scanner->next_selection + 1) % SELECTIONS;
    fill_selection(scanner, selection, sets);
    scanner->selected = selection;
}
