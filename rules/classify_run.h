/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the condition of a rule with all strings absent and everything else unknown. */
#ifndef MQWARD_RULES_CLASSIFY_RUN_H
#define MQWARD_RULES_CLASSIFY_RUN_H

#include "rules/classify.h"

struct classify_run {
    const uint8_t *code; /* from behind OP_INIT_RULE to behind OP_MATCH_RULE */
    size_t size;
    uint32_t rule; /* its index */
};

/* Can it come out as true? needs: rules before known that are classified; a rule that is not always, and one
 * whose index is at least that, is false or unknown. NULL: nothing is known about other rules. */
bool classify_can_match(const struct classify_run *run, const struct classified *others, uint32_t known);

size_t classify_instruction_size(uint8_t opcode);
uint64_t classify_argument(const uint8_t *instruction); /* of those of 9 bytes */

#endif
