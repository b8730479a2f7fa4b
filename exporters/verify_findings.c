/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the list of what was found. Called by the other files of the verification. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "exporters/verify_private.h"

static const struct {
    const char *name, *text;
} kinds[] = {
#define VERIFY_ROW(kind, name, text) {name, text},
    VERIFY_KINDS(VERIFY_ROW)
#undef VERIFY_ROW
};

const char *verify_kind_name(enum verify_kind kind)
{
    return kinds[kind].name;
}

/* The end of the path is what tells files apart. */
static void finding_set_name(struct verify_finding *finding, const char *name)
{
    size_t length = strlen(name), room = sizeof(finding->name) - 1;

    snprintf(finding->name, sizeof(finding->name), "%s", length > room ? name + length - room : name);
}

/* Lines that have not come may still come, and then it must go: for these there is room of its own. */
static bool kind_may_go(enum verify_kind kind)
{
    return kind == VERIFY_MISSING || kind == VERIFY_CUT;
}

/* Where the next one goes: those that were withdrawn make room. */
static size_t finding_place(struct verify *verify, enum verify_kind kind)
{
    const size_t kept = verify->finding_count - verify->unused_count;

    if (kind_may_go(kind) ? verify->passing_count == VERIFY_HOLES
                          : kept - verify->passing_count == VERIFY_FINDINGS_MAX)
        return VERIFY_NONE;
    verify->passing_count += kind_may_go(kind);
    if (verify->unused_count > 0)
        return verify->unused[--verify->unused_count];
    if (verify->finding_count == verify->finding_capacity) {
        verify->finding_capacity = verify->finding_capacity == 0 ? 16 : verify->finding_capacity * 2;
        verify->findings =
            memory_realloc(verify->findings, verify->finding_capacity, sizeof(*verify->findings));
    }
    return verify->finding_count++;
}

size_t verify_report(struct verify *verify, enum verify_kind kind, const struct verify_input *input,
    uint64_t count, const char *format, ...)
{
    va_list arguments;

    verify->summary.findings++;
    verify->reports++;
    const size_t index = finding_place(verify, kind);
    if (index == VERIFY_NONE)
        return VERIFY_NONE;
    struct verify_finding *finding = &verify->findings[index];
    *finding = (struct verify_finding){
        .kind = kind, .line = verify->number, .count = count == 0 ? 1 : count, .order = verify->reports};
    if (input != NULL) {
        finding->epoch = input->head.epoch;
        finding->sequence = input->head.sequence;
    }
    finding_set_name(finding, verify->name);
    va_start(arguments, format);
    vsnprintf(finding->text, sizeof(finding->text), format, arguments);
    va_end(arguments);
    if (finding->text[0] == '\0')
        snprintf(finding->text, sizeof(finding->text), "%s", kinds[kind].text);
    return index;
}

size_t verify_report_streak(
    struct verify *verify, enum verify_kind kind, const struct verify_input *input, const char *text)
{
    if (verify->streak != VERIFY_NONE && verify->findings[verify->streak].kind == kind) {
        verify->findings[verify->streak].count++;
        return verify->streak;
    }
    verify->streak = verify_report(verify, kind, input, 1, "%s", text);
    return verify->streak;
}

void verify_withdraw(struct verify *verify, size_t finding)
{
    if (finding == VERIFY_NONE || verify->findings[finding].withdrawn)
        return;
    verify->findings[finding].withdrawn = true;
    verify->summary.findings--;
    verify->passing_count -= kind_may_go(verify->findings[finding].kind);
    if (verify->unused == NULL)
        verify->unused = memory_calloc((size_t)VERIFY_FINDINGS_MAX + VERIFY_HOLES, sizeof(*verify->unused));
    verify->unused[verify->unused_count++] = finding;
}

static int finding_compare(const void *left, const void *right)
{
    const struct verify_finding *a = left, *b = right;

    return a->order < b->order ? -1 : a->order > b->order;
}

void verify_sort_findings(struct verify *verify)
{
    size_t kept = 0;

    for (size_t i = 0; i < verify->finding_count; i++) {
        if (!verify->findings[i].withdrawn)
            verify->findings[kept++] = verify->findings[i];
    }
    if (kept > 0)
        qsort(verify->findings, kept, sizeof(*verify->findings), finding_compare);
    verify->finding_count = kept < VERIFY_FINDINGS_MAX ? kept : VERIFY_FINDINGS_MAX;
    verify->passing_count = verify->unused_count = 0;
}

void verify_retell(struct verify *verify, size_t finding, enum verify_kind kind, const char *text)
{
    if (finding == VERIFY_NONE)
        return;
    verify->findings[finding].kind = kind;
    snprintf(verify->findings[finding].text, sizeof(verify->findings[finding].text), "%s", text);
}

const struct verify_finding *verify_next_finding(const struct verify *verify, size_t *index)
{
    while (*index < verify->finding_count) {
        const struct verify_finding *finding = &verify->findings[(*index)++];
        if (!finding->withdrawn)
            return finding;
    }
    return NULL;
}
