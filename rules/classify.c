/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading of libyara's code section, rule by rule. Called by load.c; classify_run.c runs a rule.
 *
 * The code of a rule begins with OP_INIT_RULE (a jump over all of it, and its index) and ends with
 * OP_MATCH_RULE; between rules there are only imports. Whatever is otherwise is not understood: then nothing
 * is told about any rule. */
#include "rules/classify.h"

#include <stdlib.h>

#include "base/memory.h"
#include "rules/classify_run.h"

#define INIT_SIZE (1 + sizeof(int32_t) + sizeof(uint32_t))

/* The size of an instruction, or 0: it is not known. */
size_t classify_instruction_size(uint8_t opcode)
{
    switch (opcode) {
    case OP_PUSH:
    case OP_CLEAR_M:
    case OP_ADD_M:
    case OP_INCR_M:
    case OP_PUSH_M:
    case OP_POP_M:
    case OP_SET_M:
    case OP_SWAPUNDEF:
    case OP_PUSH_RULE:
    case OP_MATCH_RULE:
    case OP_OBJ_LOAD:
    case OP_OBJ_FIELD:
    case OP_CALL:
    case OP_OF:
    case OP_OF_PERCENT:
    case OP_INT_TO_DBL:
    case OP_IMPORT:
        return 1 + sizeof(uint64_t);
    case OP_PUSH_8:
        return 2;
    case OP_PUSH_16:
        return 3;
    case OP_PUSH_32:
    case OP_JNUNDEF:
    case OP_JUNDEF_P:
    case OP_JFALSE:
    case OP_JFALSE_P:
    case OP_JTRUE:
    case OP_JTRUE_P:
    case OP_JL_P:
    case OP_JLE_P:
    case OP_JZ:
    case OP_JZ_P:
        return 5;
    case OP_INIT_RULE:
    case OP_HALT:
    case OP_ERROR:
    case OP_UNUSED:
    case OP_JUNDEF:
    case OP_JNUNDEF_P:
        return 0;
    default:
        return (opcode <= OP_DEFINED || IS_INT_OP(opcode) || IS_DBL_OP(opcode) || IS_STR_OP(opcode) ||
                   (opcode >= OP_READ_INT && opcode <= OP_UINT32BE) || opcode == OP_NOP)
                   ? 1
                   : 0;
    }
}

uint64_t classify_argument(const uint8_t *instruction)
{
    uint64_t argument;

    memcpy(&argument, instruction + 1, sizeof(argument));
    return argument;
}

/* ---- what a rule uses ---- */

static void add_need(struct classified *rule, uint32_t index)
{
    for (size_t i = 0; i < rule->need_count; i++) {
        if (rule->needs[i] == index)
            return;
    }
    rule->needs = memory_realloc(rule->needs, rule->need_count + 1, sizeof(*rule->needs));
    rule->needs[rule->need_count++] = index;
}

static void add_object(struct classified *rule, const char *name)
{
    for (size_t i = 0; i < rule->object_count; i++) {
        if (strcmp(rule->objects[i], name) == 0)
            return;
    }
    rule->objects = memory_realloc(rule->objects, rule->object_count + 1, sizeof(*rule->objects));
    rule->objects[rule->object_count++] = name;
}

/* false: there is an instruction that is not known, and thereby uses that are not. */
static bool find_uses(struct classified *rule, const uint8_t *code, const uint8_t *end, uint32_t rules)
{
    while (code < end) {
        size_t size = classify_instruction_size(*code);
        if (size == 0 || size > (size_t)(end - code))
            return false;
        uint64_t argument = size == 9 ? classify_argument(code) : 0;
        if (*code == OP_PUSH_RULE && argument >= rules)
            return false;
        if (*code == OP_PUSH_RULE)
            add_need(rule, (uint32_t)argument);
        /* libyara wrote a pointer there. */
        if (*code == OP_OBJ_LOAD)
            add_object(rule, (const char *)(uintptr_t)argument);
        code += size;
    }
    return true;
}

/* ---- all rules ---- */

/* Reads the rule at code; its end, or NULL. */
static const uint8_t *classify_rule(const YR_RULES *rules, struct classified *all, const uint8_t *code,
    const uint8_t *section_end, uint32_t expected)
{
    int32_t offset;
    uint32_t index;

    if ((size_t)(section_end - code) < INIT_SIZE || *code != OP_INIT_RULE)
        return NULL;
    memcpy(&offset, code + 1, sizeof(offset));
    memcpy(&index, code + 1 + sizeof(offset), sizeof(index));
    if (index != expected || offset <= (int32_t)INIT_SIZE || offset > section_end - code)
        return NULL;
    struct classified *rule = &all[index];
    const uint8_t *start = code + INIT_SIZE, *end = code + offset;
    if (!find_uses(rule, start, end, rules->num_rules))
        return NULL;
    struct classify_run run = {.code = start, .size = (size_t)(end - start), .rule = index};
    rule->by_needs = classify_can_match(&run, NULL, 0);
    rule->always = rule->by_needs && classify_can_match(&run, all, index);
    return end;
}

struct classified *classify(const YR_RULES *rules)
{
    const YR_ARENA_BUFFER *section = &rules->arena->buffers[YR_CODE_SECTION];
    const uint8_t *code = rules->code_start, *end = code == NULL ? NULL : section->data + section->used;
    struct classified *all = memory_calloc(rules->num_rules + 1, sizeof(*all));

    for (uint32_t i = 0; i < rules->num_rules; i++) {
        all[i].always = all[i].by_needs = true;
        while (code != NULL && code < end && *code == OP_IMPORT)
            code += 1 + sizeof(uint64_t);
        if (code != NULL)
            code = classify_rule(rules, all, code, end, i);
    }
    if (code != NULL)
        return all;
    /* What they refer to is not known either. */
    classified_free(all, rules->num_rules);
    return NULL;
}

void classified_free(struct classified *classified, size_t count)
{
    if (classified == NULL)
        return;
    for (size_t i = 0; i < count; i++) {
        free(classified[i].needs);
        free(classified[i].objects);
    }
    free(classified);
}
