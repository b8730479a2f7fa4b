/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the compilation of tests:, and the errors that tests which fail are. Called by policy.c after the
 * rules, and again when there are no errors. */
#include <stdio.h>

#include "base/buffer.h"
#include "policy/compile.h"
#include "policy/notation.h"

static const char *location_of(struct compiler *compiler, const struct diag_place *place)
{
    return compile_info(compiler, VIEW(""), place).location;
}

/* The words of an act without "by" and what follows. */
static const char *act_text(struct arena *arena, const struct keyword_string *line,
    const struct notation *notation, const struct notated_act *act)
{
    size_t length = line->text.length;
    if (act->by.length > 0)
        length = (size_t)(notation->words[notation->count - 2].raw.data - line->text.data);
    while (length > 0 && line->text.data[length - 1] == ' ')
        length--;
    return arena_copy_string(arena, view_of(line->text.data, length));
}

static void compile_cases(struct compiler *compiler, struct notation *notation,
    const struct keyword_strings *lines, bool allow, struct policy_test *test)
{
    for (size_t i = 0; i < lines->count; i++) {
        const struct keyword_string *line = &lines->items[i];
        struct policy_test_case *one = &test->cases[test->case_count];
        if (!notation_split(notation, line) ||
            !notation_read_act(notation, allow ? ACT_ALLOWED : ACT_DENIED, &one->act))
            continue;
        one->expects_allow = allow;
        one->text = act_text(compiler->arena, line, notation, &one->act);
        one->location = location_of(compiler, &line->place);
        one->by = one->act.by.length == 0 ? NULL : arena_copy_string(compiler->arena, one->act.by);
        test->case_count++;
    }
}

static void compile_test(struct compiler *compiler, struct notation *notation,
    const struct parsed_test *parsed, struct policy_test *test)
{
    test->as = arena_copy_string(compiler->arena, parsed->as.text);
    test->cases =
        arena_calloc(compiler->arena, parsed->allow.count + parsed->deny.count, sizeof(*test->cases));
    if (parsed->as.text.length > 0 && notation_split(notation, &parsed->as) &&
        notation_read_client(notation, &test->client))
        notation_at_end(notation);
    compile_cases(compiler, notation, &parsed->allow, true, test);
    compile_cases(compiler, notation, &parsed->deny, false, test);
}

void compile_tests(struct compiler *compiler, bool unsure)
{
    const struct parsed_tests *parsed = &compiler->parsed->tests;
    struct policy_test *tests = arena_calloc(compiler->arena, parsed->count, sizeof(*tests));
    struct notation notation = {
        .policy = compiler->policy, .arena = compiler->arena, .diag = compiler->diag, .unsure = unsure};
    for (size_t i = 0; i < parsed->count; i++)
        compile_test(compiler, &notation, &parsed->items[i], &tests[i]);
    compiler->policy->tests = tests;
    compiler->policy->test_count = parsed->count;
}

static void report_failure(
    struct compiler *compiler, const struct policy_test_result *result, const struct diag_place *place)
{
    char hint[256];
    snprintf(hint, sizeof(hint), "expected: %s", result->expected);
    diag_add(compiler->diag, DIAG_ERROR, place, hint, "test failed: '%s', as '%s', is %s", result->act,
        result->as, result->verdict);
}

void check_tests(struct compiler *compiler)
{
    const struct parsed_tests *parsed = &compiler->parsed->tests;
    struct policy_test_report *report = policy_test_run(compiler->policy);
    size_t next = 0;
    for (size_t i = 0; i < parsed->count; i++) {
        const struct keyword_strings *lists[] = {&parsed->items[i].allow, &parsed->items[i].deny};
        for (size_t list = 0; list < 2; list++) {
            for (size_t k = 0; k < lists[list]->count; k++) {
                const struct policy_test_result *result = &report->results[next++];
                if (!result->passed)
                    report_failure(compiler, result, &lists[list]->items[k].place);
            }
        }
    }
    policy_test_report_free(report);
}
