/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the stack of a run and its ways. Called by classify_run.c and classify_step.c. */
#include "rules/classify_state.h"

#include <stdlib.h>

#include "base/memory.h"

#define STATES_MAXIMUM 2000

/* ---- the stack ---- */

void classify_push(struct runner *runner, struct state *state, struct value v)
{
    if (state->depth == CLASSIFY_STACK_MAXIMUM) {
        runner->lost = true;
        return;
    }
    if (state->depth == state->capacity) {
        state->capacity = state->capacity == 0 ? 16 : state->capacity * 2;
        state->stack = memory_realloc(state->stack, state->capacity, sizeof(*state->stack));
    }
    state->stack[state->depth++] = v;
}

struct value classify_pop(struct runner *runner, struct state *state)
{
    if (state->depth > 0)
        return state->stack[--state->depth];
    runner->lost = true;
    return any;
}

/* ---- ways ---- */

static bool same_values(const struct value *a, const struct value *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (a[i].kind != b[i].kind || a[i].a != b[i].a || a[i].b != b[i].b)
            return false;
    }
    return true;
}

static bool same_state(const struct state *a, const struct state *b)
{
    return a->at == b->at && a->depth == b->depth && same_values(a->memory, b->memory, MEMORY_SIZE) &&
           same_values(a->stack, b->stack, a->depth);
}

static struct state *copy_state(const struct state *state)
{
    struct state *copy = memory_calloc(1, sizeof(*copy));

    *copy = *state;
    copy->capacity = state->depth + 1;
    copy->stack = memory_calloc(copy->capacity, sizeof(*copy->stack));
    if (state->depth > 0)
        memcpy(copy->stack, state->stack, state->depth * sizeof(*copy->stack));
    return copy;
}

void classify_free_states(struct state *state)
{
    while (state != NULL) {
        struct state *next = state->next;
        free(state->stack);
        free(state);
        state = next;
    }
}

void classify_add_way(struct runner *runner, const struct state *state)
{
    for (const struct state *seen = runner->seen; seen != NULL; seen = seen->next) {
        if (same_state(seen, state))
            return;
    }
    if (++runner->states > STATES_MAXIMUM) {
        runner->lost = true;
        return;
    }
    struct state *seen = copy_state(state), *open = copy_state(state);
    seen->next = runner->seen;
    runner->seen = seen;
    open->next = runner->open;
    runner->open = open;
}
