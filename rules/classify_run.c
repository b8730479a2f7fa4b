/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the abstract run of a condition: its jumps and its end. Called by classify.c.
 *
 * It does what yr_execute_code() of libyara 4.2.3 does, on sets of values. Where a jump depends on what is
 * not known, both ways are gone, each with what it then knows about the value; a state that was seen before
 * is left. Whatever is not understood, and a run that is too long, ends as "it can match": that costs time
 * later and never a finding. */
#include "rules/classify_run.h"

#include "rules/classify_state.h"

#define STEPS_MAXIMUM 100000

/* A jump at state->at: taken, not taken, or both, with what each way leaves on the stack (NULL: nothing). */
static void jump(struct runner *runner, struct state *state, bool take, const struct value *taken, bool stay,
    const struct value *stayed)
{
    int32_t offset;
    size_t from = state->at, depth = state->depth;

    memcpy(&offset, runner->run->code + from + 1, sizeof(offset));
    int64_t target = (int64_t)from + offset;
    if (target < 0 || target >= (int64_t)runner->run->size) {
        runner->lost = true;
        return;
    }
    if (take && stay) {
        state->at = (size_t)target;
        if (taken != NULL)
            classify_push(runner, state, *taken);
        classify_add_way(runner, state);
        state->depth = depth;
        take = false;
    }
    const struct value *left = take ? taken : stayed;
    state->at = take ? (size_t)target : from + 5;
    if (left != NULL)
        classify_push(runner, state, *left);
}

static void jump_if_true(struct runner *runner, struct state *state, bool pops)
{
    struct value v = classify_pop(runner, state), rest = v;

    if (v.kind == ANY)
        rest = falsy;
    if (v.kind == DEFINED)
        rest = constant(0);
    bool take = can_be_true(v), stay = v.kind != CONSTANT || !take;
    struct value truth = v.kind == ANY ? defined : v;
    jump(runner, state, take, pops ? NULL : &truth, stay, pops ? NULL : &rest);
}

static void jump_if_false(struct runner *runner, struct state *state, bool pops)
{
    struct value v = classify_pop(runner, state), zero = constant(0), rest = v;
    bool take = can_be_zero(v), stay = v.kind != CONSTANT || !take;

    if (v.kind == FALSY)
        rest = constant(UNDEFINED);
    jump(runner, state, take, pops ? NULL : &zero, stay, pops ? NULL : &rest);
}

static void jump_if_undefined(struct runner *runner, struct state *state)
{
    struct value v = classify_pop(runner, state);

    jump(runner, state, can_be_undefined(v), NULL, !is_gone(v), NULL);
}

static void jump_if_defined(struct runner *runner, struct state *state)
{
    struct value v = classify_pop(runner, state), gone = constant(UNDEFINED), rest = v;

    if (v.kind == ANY)
        rest = defined;
    if (v.kind == FALSY)
        rest = constant(0);
    jump(runner, state, !is_gone(v), &rest, can_be_undefined(v), &gone);
}

/* The raw value is 0. */
static void jump_if_zero(struct runner *runner, struct state *state, bool pops)
{
    struct value v = classify_pop(runner, state), zero = constant(0), rest = v;
    bool take = can_be_zero(v), stay = v.kind != CONSTANT || !take;

    if (v.kind == FALSY)
        rest = constant(UNDEFINED);
    jump(runner, state, take, pops ? NULL : &zero, stay, pops ? NULL : &rest);
}

static void jump_if_less(struct runner *runner, struct state *state, bool equal)
{
    struct value b = classify_pop(runner, state), a = classify_pop(runner, state);
    bool known = a.kind == CONSTANT && b.kind == CONSTANT;
    bool take = known && (a.a < b.a || (equal && a.a == b.a));

    jump(runner, state, !known || take, NULL, !known || !take, NULL);
}

/* false: it is no jump. */
static bool run_jump(struct runner *runner, struct state *state, uint8_t opcode)
{
    switch (opcode) {
    case OP_JTRUE:
    case OP_JTRUE_P:
        jump_if_true(runner, state, opcode == OP_JTRUE_P);
        return true;
    case OP_JFALSE:
    case OP_JFALSE_P:
        jump_if_false(runner, state, opcode == OP_JFALSE_P);
        return true;
    case OP_JZ:
    case OP_JZ_P:
        jump_if_zero(runner, state, opcode == OP_JZ_P);
        return true;
    case OP_JL_P:
    case OP_JLE_P:
        jump_if_less(runner, state, opcode == OP_JLE_P);
        return true;
    case OP_JUNDEF_P:
        jump_if_undefined(runner, state);
        return true;
    case OP_JNUNDEF:
        jump_if_defined(runner, state);
        return true;
    default:
        return false;
    }
}

/* One way, to its end. */
static void run_way(struct runner *runner, struct state *state)
{
    while (!runner->lost && !runner->matches) {
        const uint8_t *instruction = runner->run->code + state->at;
        size_t left = runner->run->size - state->at;
        size_t size = left == 0 ? 0 : classify_instruction_size(*instruction);
        if (size == 0 || size > left || ++runner->steps > STEPS_MAXIMUM) {
            runner->lost = true;
            return;
        }
        if (*instruction == OP_MATCH_RULE) {
            runner->matches = can_be_true(classify_pop(runner, state));
            runner->lost = runner->lost || classify_argument(instruction) != runner->run->rule ||
                           size != left || state->depth != 0;
            return;
        }
        if (run_jump(runner, state, *instruction))
            continue;
        classify_step(runner, state, instruction);
        state->at += size;
    }
}

bool classify_can_match(const struct classify_run *run, const struct classified *others, uint32_t known)
{
    struct runner runner = {.run = run, .others = others, .known = known};
    struct state first = {0};

    /* Loops of rules before it leave something there. */
    for (size_t i = 0; i < MEMORY_SIZE; i++)
        first.memory[i] = any;
    classify_add_way(&runner, &first);
    while (runner.open != NULL && !runner.lost && !runner.matches) {
        struct state *state = runner.open;
        runner.open = state->next;
        state->next = NULL;
        run_way(&runner, state);
        classify_free_states(state);
    }
    classify_free_states(runner.open);
    classify_free_states(runner.seen);
    return runner.lost || runner.matches;
}
