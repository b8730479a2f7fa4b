/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what mqward-bench-library measures: a message scanned for the rules that mqward ships, as a worker
 * scans it: telemetry in which nothing is found. With "views", the decoded views are looked for, too. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/memory.h"
#include "micro.h"
#include "rules/scan.h"

#define TIMES 500

static const struct library_case {
    const char *name;
    size_t size;
    unsigned views;
} cases[] = {
    {"32 B JSON", 32, 0},
    {"128 B JSON", 128, 0},
    {"128 B JSON, views", 128, SCAN_VIEWS_ALL},
    {"1 KiB JSON", 1024, 0},
    {"1 KiB JSON, views", 1024, SCAN_VIEWS_ALL},
    {"16 KiB JSON, views", 16384, SCAN_VIEWS_ALL},
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

struct scanned {
    struct scan_rules *rules;
    struct scanner *scanner;
    struct buffer payload;
    unsigned views;
};

static void run(void *context, size_t count)
{
    static const struct scan_context message = {.topic = {(const uint8_t *)"dt/a/plc-7/temp", 15}};
    struct scanned *scanned = context;
    const struct scan_part part = {SCAN_PAYLOAD, buffer_view(&scanned->payload)};
    struct scan_request request = {.sets = 1,
        .context = &message,
        .parts = &part,
        .part_count = 1,
        .max_scan = 1 << 20,
        .timeout_ns = UINT64_C(1000000000),
        .views = scanned->views};
    struct scan_result result;

    scan_request_for_loop(&request);
    for (size_t i = 0; i < count; i++) {
        scanner_scan(scanned->scanner, scanned->rules, &request, &result);
        if (result.count != 0 || result.error != NULL || result.given_up)
            abort();
    }
}

static void destroy(void *context)
{
    struct scanned *scanned = context;

    scanner_free(scanned->scanner);
    scan_rules_release(scanned->rules);
    buffer_release(&scanned->payload);
    free(scanned);
}

static struct scan_rules *load(const char *path)
{
    const struct scan_source source = {
        .name = "shipped", .paths = &path, .path_count = 1, .allow_slow = true};
    struct diag_list *diag = diag_list_new();
    struct scan_rules *rules = scan_rules_load(&source, 1, diag);

    if (rules == NULL) {
        diag_print(diag, stderr);
        exit(1);
    }
    diag_list_free(diag);
    return rules;
}

static struct scanned *new_scanned(const struct library_case *row, struct scan_rules *rules)
{
    struct scanned *scanned = memory_calloc(1, sizeof(*scanned));

    scanned->rules = scan_rules_retain(rules);
    scanned->scanner = scanner_new();
    scanned->views = row->views;
    for (unsigned i = 0; buffer_length(&scanned->payload) < row->size; i++)
        buffer_format(&scanned->payload, "%s\"temperature%u\":21.%02u,\"status\":\"ok\"", i == 0 ? "{" : ",",
            i, i * 37 % 100);
    scanned->payload.end = scanned->payload.start + row->size - 1;
    buffer_append_byte(&scanned->payload, '}');
    return scanned;
}

/* The folder of the rules is the only argument. */
size_t micro_subjects(struct micro_subject *subjects, size_t max, char *const *folders, size_t folder_count)
{
    struct scan_rules *rules;

    if (folder_count != 1) {
        fprintf(stderr, "usage: mqward-bench-library FOLDER\n");
        exit(2);
    }
    rules = load(folders[0]);
    assert(CASES <= max);
    for (size_t i = 0; i < CASES; i++) {
        subjects[i] = (struct micro_subject){"", run, NULL, destroy, new_scanned(&cases[i], rules), TIMES};
        snprintf(subjects[i].name, sizeof(subjects[i].name), "%s", cases[i].name);
    }
    scan_rules_release(rules);
    return CASES;
}
