/* SPDX-License-Identifier: Apache-2.0 */
/* The state of an abstract run of a condition: values that stand for sets of values, libyara's stack and
 * memory, and the ways that are still to be gone. */
#ifndef MQWARD_RULES_CLASSIFY_STATE_H
#define MQWARD_RULES_CLASSIFY_STATE_H

#include "rules/classify_run.h"

#define CLASSIFY_STACK_MAXIMUM 4096
#define MEMORY_SIZE (YR_MAX_LOOP_NESTING * (YR_MAX_LOOP_VARS + YR_INTERNAL_LOOP_VARS))
#define UNDEFINED ((int64_t)YR_UNDEFINED)

struct value {
    enum {
        CONSTANT, /* a; it may be UNDEFINED, or a pointer */
        FALSY,    /* 0 or undefined */
        DEFINED,  /* any but undefined */
        ANY,
        RANGE, /* an iterator over integers, from a to b */
        COUNT, /* an iterator over b integers that are not known; a are done */
        ITEMS, /* an iterator over an array that is not known */
        PAIRS, /* over a dictionary */
    } kind;
    int64_t a, b;
};

struct state {
    struct state *next;
    size_t at;
    size_t depth, capacity;
    struct value memory[MEMORY_SIZE];
    struct value *stack;
};

struct runner {
    const struct classify_run *run;
    const struct classified *others;
    uint32_t known;
    struct state *open, *seen;
    size_t states, steps;
    bool lost;    /* something was not understood */
    bool matches; /* a way ends in a match */
};

static const struct value any = {ANY, 0, 0}, defined = {DEFINED, 0, 0}, falsy = {FALSY, 0, 0};

static inline struct value constant(int64_t a)
{
    return (struct value){CONSTANT, a, 0};
}

static inline bool is_gone(struct value v)
{
    return v.kind == CONSTANT && v.a == UNDEFINED;
}

static inline bool surely_defined(struct value v)
{
    return v.kind == DEFINED || (v.kind == CONSTANT && v.a != UNDEFINED);
}

/* As jumps and the logical operators see it. */
static inline bool can_be_true(struct value v)
{
    return v.kind == CONSTANT ? v.a != UNDEFINED && v.a != 0 : v.kind != FALSY;
}

static inline bool can_be_zero(struct value v)
{
    return v.kind == CONSTANT ? v.a == 0 : true;
}

static inline bool can_be_undefined(struct value v)
{
    return v.kind == CONSTANT ? v.a == UNDEFINED : v.kind != DEFINED;
}

void classify_push(struct runner *runner, struct state *state, struct value v);
struct value classify_pop(struct runner *runner, struct state *state);
/* To be run later, unless it was seen. */
void classify_add_way(struct runner *runner, const struct state *state);
void classify_free_states(struct state *state);
/* Any instruction but jumps and OP_MATCH_RULE; state->at stays. */
void classify_step(struct runner *runner, struct state *state, const uint8_t *instruction);

#endif
