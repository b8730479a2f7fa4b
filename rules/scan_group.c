/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the calls of libyara's scanner. Called by scanner.c.
 *
 * libyara looks at the clock every 4,096 bytes and every 100 instructions of a condition, and its clock runs
 * on while the thread waits for a core. What a message may cost is CPU time: if libyara gave up early, it is
 * called again. */
#include "rules/scanner.h"

#include <time.h>

#include "base/memory.h"

#define TRIES_MAXIMUM 8

static uint64_t thread_cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

uint64_t scanner_time_left(struct scanner *scanner)
{
    uint64_t now = thread_cpu_ns();

    if (!scanner->started)
        scanner->deadline_ns = now + scanner->request->timeout_ns;
    scanner->started = true;
    return now < scanner->deadline_ns ? scanner->deadline_ns - now : 0;
}

uint64_t scanner_time_spent(const struct scanner *scanner)
{
    return thread_cpu_ns() + scanner->request->timeout_ns - scanner->deadline_ns;
}

/* ---- what libyara says ---- */

static uint64_t match_offset(const YR_SCAN_CONTEXT *context, const YR_RULE *rule)
{
    uint64_t least = UINT64_MAX;
    const YR_STRING *string;

    yr_rule_strings_foreach(rule, string)
    {
        const YR_MATCH *match = context->matches[string->idx].head;
        while (match != NULL && match->is_private)
            match = match->next;
        if (match != NULL && (uint64_t)(match->base + match->offset) < least)
            least = (uint64_t)(match->base + match->offset);
    }
    return least;
}

static int on_message(YR_SCAN_CONTEXT *context, int message, void *data, void *user)
{
    struct scanner *scanner = user;

    if (message == CALLBACK_MSG_TOO_MANY_MATCHES) {
        scanner->too_many = true;
        return CALLBACK_ERROR;
    }
    if (message != CALLBACK_MSG_RULE_MATCHING)
        return CALLBACK_CONTINUE;
    const YR_RULE *rule = data;
    uint32_t index = (uint32_t)(rule - context->rules->rules_table);
    uint32_t number = scanner->reported == NULL ? scanner->first_rule + index : scanner->reported[index];
    if (number != SCAN_NO_RULE)
        scanner_found(scanner, number, match_offset(context, rule));
    return CALLBACK_CONTINUE;
}

static const char *error_name(int error)
{
    switch (error) {
    case ERROR_SCAN_TIMEOUT:
        return "timeout";
    case ERROR_TOO_MANY_MATCHES:
        return "too many matches";
    case ERROR_TOO_MANY_RE_FIBERS:
        return "too many fibers";
    case ERROR_INSUFFICIENT_MEMORY:
        return "out of memory";
    case ERROR_EXEC_STACK_OVERFLOW:
        return "stack overflow";
    default:
        return "libyara failed";
    }
}

/* ---- a call ---- */

static YR_SCANNER *new_scanner(struct scanner *scanner, YR_RULES *rules)
{
    YR_SCANNER *own;

    if (yr_scanner_create(rules, &own) != ERROR_SUCCESS)
        return NULL;
    /* Its handlers of signals are no match for threads. */
    yr_scanner_set_flags(
        own, SCAN_FLAGS_FAST_MODE | SCAN_FLAGS_NO_TRYCATCH | SCAN_FLAGS_REPORT_RULES_MATCHING);
    yr_scanner_set_callback(own, on_message, scanner);
    return own;
}

static int call(struct scanner *scanner, YR_SCANNER *own, struct view bytes)
{
    size_t found = scanner->found_count;
    int error = ERROR_SCAN_TIMEOUT;
    uint64_t left = scanner_time_left(scanner);

    for (unsigned i = 0; i < TRIES_MAXIMUM && left > 0 && error == ERROR_SCAN_TIMEOUT; i++) {
        scanner->found_count = found;
        scanner->too_many = false;
        /* It keeps the one of the last executable. */
        own->entry_point = YR_UNDEFINED;
        own->timeout = left;
        error = yr_scanner_scan_mem(own, bytes.data == NULL ? (const uint8_t *)"" : bytes.data, bytes.length);
        if (error == ERROR_SCAN_TIMEOUT)
            left = scanner_time_left(scanner);
    }
    if (error != ERROR_SUCCESS)
        scanner->found_count = found;
    scanner->late = scanner->late || error == ERROR_SCAN_TIMEOUT;
    return error;
}

static void scan_with(struct scanner *scanner, YR_SCANNER **own, YR_RULES *rules, unsigned externals,
    const char *set, struct view bytes)
{
    if (scanner->late)
        return;
    if (*own == NULL)
        *own = new_scanner(scanner, rules);
    if (*own == NULL) {
        scanner_fail(scanner, error_name(ERROR_INSUFFICIENT_MEMORY), set);
        return;
    }
    if ((scanner->externals.with_nul & externals) != 0) {
        scanner_fail(scanner, "a NUL in what a rule asks for", set);
        return;
    }
    int error = externals_give(&scanner->externals, externals, *own);
    if (error == ERROR_SUCCESS)
        error = call(scanner, *own, bytes);
    if (error != ERROR_SUCCESS)
        scanner_fail(scanner, error_name(error), set);
}

void scan_group(struct scanner *scanner, size_t number, struct view bytes)
{
    const struct scan_group *group = &scanner->rules->groups[number];

    scanner->calls[number]++;
    scanner->reported = group->reported;
    scan_with(scanner, &scanner->groups[number], group->rules, group->externals,
        scanner->rules->sets[group->set].name, bytes);
}

void scan_whole(struct scanner *scanner, size_t number, struct view bytes)
{
    const struct scan_set *set = &scanner->rules->sets[number];

    if (set->whole == NULL)
        return;
    scanner->reported = NULL;
    scanner->first_rule = set->first_rule;
    scan_with(scanner, &scanner->wholes[number], set->whole, set->externals, set->name, bytes);
}
