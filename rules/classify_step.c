/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what single instructions do to values. Called by classify_run.c. */
#include "rules/classify_state.h"

/* ---- operators ---- */

static bool compare(unsigned operator, int64_t a, int64_t b)
{
    if (a == UNDEFINED || b == UNDEFINED)
        return false;
    switch (operator) {
    case _OP_EQ:
        return a == b;
    case _OP_NEQ:
        return a != b;
    case _OP_LT:
        return a < b;
    case _OP_GT:
        return a > b;
    case _OP_LE:
        return a <= b;
    default:
        return a >= b;
    }
}

/* Both values of a FALSY are tried. */
static struct value compare_integers(unsigned operator, struct value a, struct value b)
{
    if (is_gone(a) || is_gone(b))
        return constant(0);
    if ((a.kind != CONSTANT && a.kind != FALSY) || (b.kind != CONSTANT && b.kind != FALSY))
        return defined;
    bool result = compare(operator, a.kind == FALSY ? 0 : a.a, b.kind == FALSY ? 0 : b.a);
    if (a.kind == CONSTANT && b.kind == CONSTANT)
        return constant(result);
    return result ? defined : constant(0);
}

static struct value calculate(unsigned operator, struct value a, struct value b)
{
    int64_t result;
    bool overflow = true;

    if (is_gone(a) || is_gone(b))
        return constant(UNDEFINED);
    if (a.kind != CONSTANT || b.kind != CONSTANT)
        return any;
    if (operator== _OP_ADD)
        overflow = __builtin_add_overflow(a.a, b.a, &result);
    else if (operator== _OP_SUB)
        overflow = __builtin_sub_overflow(a.a, b.a, &result);
    else if (operator== _OP_MUL)
        overflow = __builtin_mul_overflow(a.a, b.a, &result);
    return overflow ? any : constant(result);
}

static void run_integers(struct runner *runner, struct state *state, unsigned operator)
{
    struct value b = classify_pop(runner, state);

    if (operator== _OP_MINUS) {
        classify_push(runner, state, is_gone(b) ? b : calculate(_OP_SUB, constant(0), b));
        return;
    }
    struct value a = classify_pop(runner, state);
    classify_push(
        runner, state, operator<= _OP_GE ? compare_integers(operator, a, b) : calculate(operator, a, b));
}

static void run_doubles(struct runner *runner, struct state *state, unsigned operator)
{
    struct value b = classify_pop(runner, state),
                 a = operator== _OP_MINUS ? defined : classify_pop(runner, state);

    if (operator<= _OP_GE)
        classify_push(runner, state, is_gone(a) || is_gone(b) ? constant(0) : defined);
    else
        classify_push(runner, state, any);
}

static void run_logic(struct runner *runner, struct state *state, uint8_t opcode)
{
    struct value b = classify_pop(runner, state);

    if (opcode == OP_DEFINED) {
        classify_push(runner, state, b.kind == CONSTANT ? constant(b.a != UNDEFINED) : defined);
        return;
    }
    if (opcode == OP_NOT) {
        struct value inverse = b.kind == DEFINED ? defined : any;
        if (b.kind == CONSTANT)
            inverse = constant(b.a == UNDEFINED ? UNDEFINED : b.a == 0);
        classify_push(runner, state, inverse);
        return;
    }
    struct value a = classify_pop(runner, state);
    bool certain = (a.kind == CONSTANT || a.kind == FALSY) && (b.kind == CONSTANT || b.kind == FALSY);
    bool either = can_be_true(a) || can_be_true(b), both = can_be_true(a) && can_be_true(b);
    bool possible = opcode == OP_AND ? both : either;
    if (certain || !possible)
        classify_push(runner, state, constant(possible));
    else
        classify_push(runner, state, defined);
}

/* ---- strings, all of which are absent ---- */

/* "of": what is found is 0 for strings, for rules what is known of them. */
static struct value quantify(struct value quantifier, int64_t found, int64_t count, bool percent)
{
    if (quantifier.kind != CONSTANT)
        return any;
    if (percent) {
        if (quantifier.a == UNDEFINED || count == 0)
            return constant(UNDEFINED);
        return constant((double)found / (double)count * 100 >= (double)quantifier.a);
    }
    if (quantifier.a == UNDEFINED)
        return constant(found >= count);
    return constant(quantifier.a == 0 ? found == 0 : found >= quantifier.a);
}

static void run_of(struct runner *runner, struct state *state, const uint8_t *instruction)
{
    bool strings = classify_argument(instruction) == OF_STRING_SET, unknown = false;
    int64_t found = 0, count = 0;
    struct value v = classify_pop(runner, state);

    for (; !is_gone(v) && !runner->lost; v = classify_pop(runner, state), count++) {
        if (!strings && v.kind == CONSTANT)
            found += v.a;
        else if (!strings)
            unknown = true;
        if (v.kind != CONSTANT && v.kind != DEFINED)
            runner->lost = true;
    }
    struct value quantifier = classify_pop(runner, state);
    classify_push(
        runner, state, unknown ? any : quantify(quantifier, found, count, *instruction == OP_OF_PERCENT));
}

static void run_of_in(struct runner *runner, struct state *state)
{
    struct value to = classify_pop(runner, state), from = classify_pop(runner, state),
                 v = classify_pop(runner, state);
    int64_t count = 0;

    for (; !is_gone(v) && !runner->lost; v = classify_pop(runner, state), count++)
        runner->lost = runner->lost || v.kind != CONSTANT;
    struct value result = quantify(classify_pop(runner, state), 0, count, false);
    if (is_gone(to) || is_gone(from))
        result = constant(UNDEFINED);
    else if (!surely_defined(to) || !surely_defined(from))
        result = can_be_true(result) ? any : falsy;
    classify_push(runner, state, result);
}

/* In a range: 0, or undefined with its bounds. */
static void run_in_range(struct runner *runner, struct state *state)
{
    classify_pop(runner, state);
    struct value to = classify_pop(runner, state), from = classify_pop(runner, state);

    if (is_gone(to) || is_gone(from))
        classify_push(runner, state, constant(UNDEFINED));
    else
        classify_push(runner, state, surely_defined(to) && surely_defined(from) ? constant(0) : falsy);
}

static void run_string(struct runner *runner, struct state *state, uint8_t opcode)
{
    classify_pop(runner, state);
    if (opcode != OP_FOUND && opcode != OP_COUNT)
        classify_pop(runner, state);
    bool undefined = opcode == OP_OFFSET || opcode == OP_LENGTH;
    classify_push(runner, state, constant(undefined ? UNDEFINED : 0));
}

/* ---- loops ---- */

static void run_iterator_start(struct runner *runner, struct state *state, uint8_t opcode)
{
    struct value top = classify_pop(runner, state), iterator = {ITEMS, 0, 0};

    if (opcode == OP_ITER_START_DICT)
        iterator.kind = PAIRS;
    if (opcode == OP_ITER_START_INT_RANGE) {
        struct value from = classify_pop(runner, state);
        if (is_gone(from) || is_gone(top))
            iterator = (struct value){RANGE, 1, 0};
        else if (from.kind == CONSTANT && top.kind == CONSTANT)
            iterator = (struct value){RANGE, from.a, top.a};
    }
    if (opcode == OP_ITER_START_INT_ENUM) {
        runner->lost = runner->lost || top.kind != CONSTANT || top.a < 0 || top.a > CLASSIFY_STACK_MAXIMUM;
        for (int64_t i = 0; i < top.a && !runner->lost; i++)
            classify_pop(runner, state);
        iterator = (struct value){COUNT, 0, top.a};
    }
    classify_push(runner, state, iterator);
}

static void push_item(struct runner *runner, struct state *state, bool pair, bool done, struct value item)
{
    classify_push(runner, state, constant(done));
    classify_push(runner, state, item);
    if (pair)
        classify_push(runner, state, item);
}

static void run_iterator_next(struct runner *runner, struct state *state)
{
    struct value iterator = classify_pop(runner, state), item = any;
    bool pair = iterator.kind == PAIRS;

    if (iterator.kind == ITEMS || pair) {
        classify_push(runner, state, iterator);
        size_t depth = state->depth;
        push_item(runner, state, pair, true, constant(UNDEFINED));
        state->at++;
        classify_add_way(runner, state);
        state->at--;
        state->depth = depth;
        push_item(runner, state, pair, false, any);
        return;
    }
    if (iterator.kind != RANGE && iterator.kind != COUNT) {
        runner->lost = true;
        return;
    }
    bool done = iterator.kind == RANGE ? iterator.a > iterator.b : iterator.a >= iterator.b;
    if (iterator.kind == RANGE)
        item = constant(iterator.a);
    if (!done && iterator.a == INT64_MAX)
        runner->lost = true;
    else if (!done)
        iterator.a++;
    classify_push(runner, state, iterator);
    push_item(runner, state, false, done, done ? constant(UNDEFINED) : item);
}

static void run_memory(struct runner *runner, struct state *state, const uint8_t *instruction)
{
    uint64_t index = classify_argument(instruction);

    if (index >= MEMORY_SIZE) {
        runner->lost = true;
        return;
    }
    struct value *slot = &state->memory[index], v;
    switch (*instruction) {
    case OP_CLEAR_M:
        *slot = constant(0);
        return;
    case OP_INCR_M:
        *slot = calculate(_OP_ADD, *slot, constant(1));
        if (is_gone(*slot))
            runner->lost = true;
        return;
    case OP_PUSH_M:
        classify_push(runner, state, *slot);
        return;
    default:
        v = classify_pop(runner, state);
    }
    if (*instruction == OP_POP_M)
        *slot = v;
    else if (*instruction == OP_ADD_M && !is_gone(v))
        *slot = v.kind == CONSTANT && !is_gone(*slot) ? calculate(_OP_ADD, *slot, v) : any;
    else if (*instruction == OP_SET_M) {
        if (surely_defined(v))
            *slot = v;
        else if (!is_gone(v))
            *slot = any;
        classify_push(runner, state, v);
    } else if (*instruction == OP_SWAPUNDEF)
        classify_push(runner, state, is_gone(v) ? *slot : surely_defined(v) ? v : any);
}

/* ---- the rest ---- */

static void run_push(struct runner *runner, struct state *state, const uint8_t *instruction)
{
    uint16_t half;
    uint32_t word;
    int64_t number = UNDEFINED;

    if (*instruction == OP_PUSH)
        number = (int64_t)classify_argument(instruction);
    else if (*instruction == OP_PUSH_8)
        number = instruction[1];
    else if (*instruction == OP_PUSH_16)
        memcpy(&half, instruction + 1, sizeof(half)), number = half;
    else if (*instruction == OP_PUSH_32)
        memcpy(&word, instruction + 1, sizeof(word)), number = word;
    classify_push(runner, state, constant(number));
}

static void run_push_rule(struct runner *runner, struct state *state, const uint8_t *instruction)
{
    uint64_t index = classify_argument(instruction);
    bool absent = runner->others != NULL && index < runner->known && !runner->others[index].always;

    classify_push(runner, state, absent ? constant(0) : defined);
}

/* Takes so many values, leaves one that is not known. */
static void run_unknown(struct runner *runner, struct state *state, size_t takes)
{
    for (size_t i = 0; i < takes; i++)
        classify_pop(runner, state);
    classify_push(runner, state, any);
}

/* libyara changes it where it stands. */
static void run_to_double(struct runner *runner, struct state *state, const uint8_t *instruction)
{
    uint64_t below = classify_argument(instruction);

    if (below == 0 || below > state->depth) {
        runner->lost = true;
        return;
    }
    struct value *v = &state->stack[state->depth - below];
    if (!is_gone(*v))
        *v = any;
}

static void run_other(struct runner *runner, struct state *state, const uint8_t *instruction)
{
    uint8_t opcode = *instruction;

    if (IS_INT_OP(opcode))
        run_integers(runner, state, opcode - OP_INT_BEGIN);
    else if (IS_DBL_OP(opcode))
        run_doubles(runner, state, opcode - OP_DBL_BEGIN);
    else if (IS_STR_OP(opcode) || (opcode >= OP_CONTAINS && opcode <= OP_IEQUALS) || opcode == OP_MATCHES ||
             opcode == OP_MOD || opcode == OP_SHL || opcode == OP_SHR ||
             (opcode >= OP_BITWISE_AND && opcode <= OP_BITWISE_XOR) || opcode == OP_INDEX_ARRAY ||
             opcode == OP_LOOKUP_DICT)
        run_unknown(runner, state, 2);
    else if (opcode == OP_BITWISE_NOT || opcode == OP_STR_TO_BOOL || opcode == OP_OBJ_VALUE ||
             opcode == OP_OBJ_FIELD || (opcode >= OP_READ_INT && opcode <= OP_UINT32BE))
        run_unknown(runner, state, 1);
    else if (opcode == OP_OBJ_LOAD || opcode == OP_ENTRYPOINT)
        run_unknown(runner, state, 0);
    else if (opcode == OP_CALL)
        /* The function and its arguments, whose types it names. */
        run_unknown(runner, state, 1 + strlen((const char *)(uintptr_t)classify_argument(instruction)));
    else if (opcode == OP_FILESIZE)
        classify_push(runner, state, defined);
    else if (opcode == OP_POP)
        classify_pop(runner, state);
    else if (opcode == OP_INT_TO_DBL)
        run_to_double(runner, state, instruction);
    else if (opcode != OP_NOP)
        runner->lost = true;
}

void classify_step(struct runner *runner, struct state *state, const uint8_t *instruction)
{
    switch (*instruction) {
    case OP_PUSH:
    case OP_PUSH_8:
    case OP_PUSH_16:
    case OP_PUSH_32:
    case OP_PUSH_U:
        run_push(runner, state, instruction);
        return;
    case OP_PUSH_RULE:
        run_push_rule(runner, state, instruction);
        return;
    case OP_AND:
    case OP_OR:
    case OP_NOT:
    case OP_DEFINED:
        run_logic(runner, state, *instruction);
        return;
    case OP_FOUND:
    case OP_COUNT:
    case OP_FOUND_AT:
    case OP_OFFSET:
    case OP_LENGTH:
        run_string(runner, state, *instruction);
        return;
    case OP_FOUND_IN:
    case OP_COUNT_IN:
        run_in_range(runner, state);
        return;
    case OP_OF:
    case OP_OF_PERCENT:
        run_of(runner, state, instruction);
        return;
    case OP_OF_FOUND_IN:
        run_of_in(runner, state);
        return;
    case OP_ITER_NEXT:
        run_iterator_next(runner, state);
        return;
    case OP_ITER_START_ARRAY:
    case OP_ITER_START_DICT:
    case OP_ITER_START_INT_RANGE:
    case OP_ITER_START_INT_ENUM:
        run_iterator_start(runner, state, *instruction);
        return;
    case OP_CLEAR_M:
    case OP_ADD_M:
    case OP_INCR_M:
    case OP_PUSH_M:
    case OP_POP_M:
    case OP_SET_M:
    case OP_SWAPUNDEF:
        run_memory(runner, state, instruction);
        return;
    default:
        run_other(runner, state, instruction);
    }
}
