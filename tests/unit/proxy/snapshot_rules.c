/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of a snapshot: what is said of bad ones, which sets a check asks, what a reload may change, and
 * that a generation that is not in force any more leaves nothing behind. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../rules/generate.h"
#include "base/memory.h"
#include "proxy/retired.h"

#define IDENTITY                                                                                             \
    "version: 1\npolicy: p\nidentity:\n  - anonymous: {id: guest}\n"                                         \
    "rules:\n  - {rule: all, who: everyone, allow: [publish, subscribe], topics: [dt/#]}\n"
#define CHECK(name, terms) "  - {check: " name ", topics: [dt/#], yara: {" terms "}}\n"
#define MARK(name, text) "rule " name " { strings: $a = \"" text "\" condition: $a }\n"
#define GENERATED 2000

struct folder {
    char path[32];
    struct diag_list *diag;
    struct buffer findings; /* "error file:line: message\n", without the folder */
};

static void put(const struct folder *folder, const char *name, struct view text)
{
    char path[64];

    snprintf(path, sizeof(path), "%s/%s", folder->path, name);
    FILE *out = fopen(path, "w");
    cr_assert_not_null(out);
    cr_assert_eq(fwrite(text.data, 1, text.length, out), text.length);
    fclose(out);
}

static void put_config(const struct folder *folder, const char *more)
{
    struct buffer text = {0};

    buffer_format(&text,
        "version: 1\npolicy: policy.yaml\nlisteners: [{address: '127.0.0.1:0', plaintext: true}]\n"
        "upstreams: [{name: main, address: '127.0.0.1:1'}]\naudit: {directory: audit}\n%s",
        more);
    put(folder, "mqward.yaml", buffer_view(&text));
    buffer_release(&text);
}

static void setup(struct folder *folder, const char *more, const char *checks)
{
    struct buffer policy = {0};

    *folder = (struct folder){.path = "/tmp/mqward-rules-XXXXXX"};
    cr_assert_not_null(mkdtemp(folder->path));
    put_config(folder, more);
    buffer_format(&policy, IDENTITY "%s%s", checks[0] == '\0' ? "" : "checks:\n", checks);
    put(folder, "policy.yaml", buffer_view(&policy));
    buffer_release(&policy);
}

static void teardown(struct folder *folder)
{
    static const char *const names[] = {"mqward.yaml", "policy.yaml", "a.yar", "b.yar", "c.yar"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[64];
        snprintf(path, sizeof(path), "%s/%s", folder->path, names[i]);
        unlink(path);
    }
    cr_assert_eq(rmdir(folder->path), 0);
    diag_list_free(folder->diag);
    buffer_release(&folder->findings);
}

static void note(void *context, enum diag_severity severity, const char *place, const char *message)
{
    struct folder *folder = context;
    const char *slash = strrchr(place, '/'), *path = strstr(message, folder->path);
    size_t before = path == NULL ? 0 : (size_t)(path - message);

    if (severity == DIAG_ERROR)
        buffer_format(&folder->findings, "%s: %.*s%s\n", slash == NULL ? place : slash + 1, (int)before,
            message, path == NULL ? message : path + strlen(folder->path) + 1);
}

static struct snapshot *load(struct folder *folder)
{
    char path[64];

    diag_list_free(folder->diag);
    folder->diag = diag_list_new();
    buffer_clear(&folder->findings);
    snprintf(path, sizeof(path), "%s/mqward.yaml", folder->path);
    struct snapshot *snapshot = snapshot_load(path, folder->diag);
    diag_each(folder->diag, note, folder);
    buffer_append_byte(&folder->findings, '\0');
    cr_expect_eq(snapshot == NULL, diag_errors(folder->diag) > 0);
    return snapshot;
}

static const char *findings(const struct folder *folder)
{
    return (const char *)folder->findings.data;
}

/* ---- loading ---- */

Test(snapshot_rules, each_check_asks_its_sets)
{
    struct folder f;

    setup(&f, "rules: {one: a.yar, two: [b.yar, c.yar]}\nscan: {inline: 1KiB}\n",
        CHECK("first",
            "rules: two") "  - {check: rate, topics: [dt/#], rate: {per: id, messages: 5/s}}\n" CHECK("both",
            "rules: [one, two]"));
    put(&f, "a.yar", VIEW(MARK("a", "marker")));
    put(&f, "b.yar", VIEW(MARK("b", "bbbbbb")));
    put(&f, "c.yar", VIEW(MARK("c", "cccccc")));
    struct snapshot *snapshot = load(&f);
    cr_assert_not_null(snapshot, "%s", findings(&f));
    cr_assert_not_null(snapshot->scan_rules);
    cr_expect_eq(scan_rules_count(snapshot->scan_rules), 3);
    uint64_t one = scan_rules_set(snapshot->scan_rules, "one"),
             two = scan_rules_set(snapshot->scan_rules, "two");
    cr_assert(one != 0 && two != 0 && one != two);
    cr_assert_eq(policy_check_count(snapshot->policy), 3);
    cr_expect_eq(snapshot->scan_sets[0], two);
    cr_expect_eq(snapshot->scan_sets[1], 0);
    cr_expect_eq(snapshot->scan_sets[2], one | two);
    cr_expect_eq(snapshot->services[0].session.scan_sets, snapshot->scan_sets);
    cr_expect_eq(snapshot->services[0].session.scan_inline, 1024);
    snapshot_release(snapshot);
    teardown(&f);
}

Test(snapshot_rules, without_rules_there_are_none)
{
    struct folder f;

    setup(&f, "", "");
    struct snapshot *snapshot = load(&f);
    cr_assert_not_null(snapshot, "%s", findings(&f));
    cr_expect_null(snapshot->scan_rules);
    snapshot_release(snapshot);
    teardown(&f);
}

Test(snapshot_rules, errors_of_all_files_are_found_in_one_run)
{
    struct folder f;

    setup(&f, "rules: {one: a.yar, two: [b.yar, nowhere.yar], bad: {budget: 1}}\ndrain: never\n",
        CHECK("first", "rules: tow"));
    put(&f, "a.yar", VIEW("rule a { condition: b }\n"));
    put(&f, "b.yar", VIEW("\nimport \"pe\"\n" MARK("b", "bbbbbb")));
    cr_expect_null(load(&f));
    cr_expect_str_eq(findings(&f), "a.yar:1:1: undefined identifier \"b\"\n"
                                   "b.yar:2:1: module 'pe' is not granted to rule set 'two'\n"
                                   "mqward.yaml:6:21: cannot read 'nowhere.yar': No such file or directory\n"
                                   "mqward.yaml:6:53: missing key 'files'\n"
                                   "mqward.yaml:6:62: budget: expected a duration, found '1'\n"
                                   "mqward.yaml:7:8: drain: expected a duration, found 'never'\n"
                                   "policy.yaml:8:50: mqward.yaml defines no rule set 'tow'\n");
    teardown(&f);
}

Test(snapshot_rules, a_check_needs_rules_and_a_quarantine_a_folder)
{
    struct folder f;

    setup(&f, "", CHECK("first", "rules: one"));
    cr_expect_null(load(&f));
    cr_expect_str_eq(findings(&f), "policy.yaml:8:50: mqward.yaml defines no rule set 'one'\n");
    teardown(&f);

    setup(&f, "rules: {one: a.yar}\n", CHECK("kept", "rules: one, on_match: quarantine"));
    put(&f, "a.yar", VIEW(MARK("a", "marker")));
    cr_expect_null(load(&f));
    cr_expect_str_eq(findings(&f), "mqward.yaml:2:9: check 'kept' (policy.yaml:8) keeps what it finds in the "
                                   "quarantine, and 'scan' names "
                                   "none\n");
    put_config(&f, "rules: {one: a.yar}\nscan: {quarantine: {directory: /q}}\n");
    struct snapshot *snapshot = load(&f);
    cr_expect_not_null(snapshot, "%s", findings(&f));
    snapshot_release(snapshot);
    teardown(&f);
}

/* ---- reloading ---- */

Test(snapshot_rules, the_pool_and_the_quarantine_change_with_a_restart)
{
    static const struct {
        const char *config, *fixed;
    } rows[] = {
        {"rules: {one: a.yar}\nscan: {quarantine: {directory: /q}}\n", NULL},
        {"rules: {one: b.yar, two: a.yar}\nscan: {inline: 0, quarantine: {directory: /q}}\n", NULL},
        {"scan: {threads: 3, quarantine: {directory: /q}}\n", "scan.threads"},
        {"scan: {wait: 3s, quarantine: {directory: /q}}\n", "scan.wait"},
        {"scan: {quarantine: {directory: /other}}\n", "scan.quarantine"},
        {"scan: {quarantine: {directory: /q, size: 1MiB}}\n", "scan.quarantine"},
        {"scan: {quarantine: {directory: /q, files: 7}}\n", "scan.quarantine"},
        {"", "scan.quarantine"},
    };
    struct folder f;

    setup(&f, rows[0].config, "");
    put(&f, "a.yar", VIEW(MARK("a", "marker")));
    put(&f, "b.yar", VIEW(MARK("b", "bbbbbb")));
    struct snapshot *current = load(&f);
    cr_assert_not_null(current);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        put_config(&f, rows[i].config);
        struct snapshot *next = load(&f);
        cr_assert_not_null(next, "%s", findings(&f));
        const char *fixed = snapshot_fixed_difference(current, next);
        cr_expect(fixed == rows[i].fixed ||
                      (fixed != NULL && rows[i].fixed != NULL && strcmp(fixed, rows[i].fixed) == 0),
            "%s: %s", rows[i].config, fixed);
        snapshot_release(next);
    }
    snapshot_release(current);
    teardown(&f);
}

Test(snapshot_rules, what_somebody_uses_is_kept_until_he_does_not)
{
    struct folder f;
    struct retired *list = NULL;

    setup(&f, "rules: {one: a.yar}\n", "");
    put(&f, "a.yar", VIEW(MARK("a", "marker")));
    struct snapshot *used = load(&f), *scanned = load(&f), *idle = load(&f);
    cr_assert(used != NULL && scanned != NULL && idle != NULL);
    struct scan_rules *rules = scan_rules_retain(scanned->scan_rules);
    snapshot_retain(used);
    retired_add(&list, used);
    retired_add(&list, scanned);
    retired_add(&list, idle);
    cr_expect(retired_sweep(&list), "two of three are used");
    cr_expect_eq(scan_rules_count(used->scan_rules) + scan_rules_count(rules), 2);
    snapshot_release(used);
    cr_expect(retired_sweep(&list), "a scanner has the rules of the other");
    scan_rules_release(rules);
    cr_expect_not(retired_sweep(&list));
    cr_expect_null(list);
    retired_add(&list, load(&f));
    retired_release(&list);
    cr_expect_null(list);
    teardown(&f);
}

/* ---- memory ---- */

/* With a sanitizer, memory is not given back, and what is lost is found by other means. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(SANITIZED)

static size_t resident(void)
{
    size_t total, pages;
    FILE *in = fopen("/proc/self/statm", "r");

    cr_assert_not_null(in);
    cr_assert_eq(fscanf(in, "%zu %zu", &total, &pages), 2);
    fclose(in);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

Test(snapshot_rules, memory_of_old_generations_is_returned)
{
    struct folder f;
    struct random random = {42};
    struct generated generated = {0};
    struct retired *list = NULL;

    setup(&f, "rules: {one: {files: a.yar, budget: 0}}\n", "");
    generate_realistic(&generated, &random, GENERATED);
    put(&f, "a.yar", buffer_view(&generated.text));
    generated_release(&generated);
    size_t before = resident();
    struct snapshot *current = load(&f);
    cr_assert_not_null(current, "%s", findings(&f));
    cr_assert_eq(scan_rules_count(current->scan_rules), GENERATED);
    size_t first = resident();
    for (unsigned i = 0; i < 5; i++) {
        struct snapshot *next = load(&f);
        cr_assert_not_null(next);
        retired_add(&list, current);
        cr_assert_not(retired_sweep(&list));
        current = next;
    }
    size_t last = resident();
    snapshot_release(current);
    fprintf(stderr, "%zu KiB, with %d rules %zu KiB, after 5 reloads %zu KiB\n", before >> 10, GENERATED,
        first >> 10, last >> 10);
    cr_expect_lt(last, first + (first - before) / 4, "what old generations had is still there");
    teardown(&f);
}

#endif
