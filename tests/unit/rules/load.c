/* SPDX-License-Identifier: Apache-2.0 */
/* Loading rule sets: what is taken, what is refused, and how it is said. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "machine.h"
#include "rules/generation.h"

/* A folder of files, and what loading it gave. */
struct loading {
    char folder[FOLDER_SIZE];
    struct diag_list *diag;
    struct scan_source source;
    const char *path;
    struct scan_rules *rules;
    struct buffer messages; /* "error place: message\n" */
};

static void note(void *context, enum diag_severity severity, const char *place, const char *message)
{
    struct buffer *messages = context;
    const char *slash = strrchr(place, '/');

    buffer_format(messages, "%s %s: %s\n", severity == DIAG_ERROR ? "error" : "warning",
        slash == NULL ? place : slash + 1, message);
}

static void setup(struct loading *loading)
{
    *loading = (struct loading){0};
    folder_make(loading->folder);
    loading->diag = diag_list_new();
    loading->path = loading->folder;
    loading->source = (struct scan_source){.name = "set", .paths = &loading->path, .path_count = 1};
}

static void put(struct loading *loading, const char *name, const char *text)
{
    folder_write(loading->folder, name, view_of_string(text));
}

static void load(struct loading *loading)
{
    loading->source.place.source = diag_add_source(loading->diag, "mqward.yaml");
    loading->rules = scan_rules_load(&loading->source, 1, loading->diag);
    diag_each(loading->diag, note, &loading->messages);
    buffer_append_byte(&loading->messages, '\0');
}

static const char *messages(const struct loading *loading)
{
    return (const char *)loading->messages.data;
}

static void teardown(struct loading *loading)
{
    scan_rules_release(loading->rules);
    diag_list_free(loading->diag);
    folder_remove(loading->folder);
    buffer_release(&loading->messages);
}

#define expect_messages(loading, expected) cr_expect_str_eq(messages(loading), expected)

/* ---- what is taken ---- */

Test(load, a_folder_in_order_of_names)
{
    struct loading l;

    setup(&l);
    put(&l, "b.yar", "rule second { condition: first }");
    put(&l, "a.yar",
        "rule first : x y { meta: description = \"d\" mitre_attack = \"T1\" n = 7 b = true condition: "
        "filesize > 3 }");
    put(&l, "c.txt", "not a rule");
    put(&l, ".d.yar", "not a rule");
    load(&l);
    expect_messages(&l, "");
    cr_assert_not_null(l.rules);
    cr_assert_eq(scan_rules_count(l.rules), 2);
    const struct scan_rule *rule = scan_rules_at(l.rules, 0);
    cr_expect_str_eq(rule->name, "first");
    cr_expect_str_eq(rule->set, "set");
    cr_assert_eq(rule->tag_count, 2);
    cr_expect_str_eq(rule->tags[1], "y");
    cr_expect_str_eq(rule->description, "d");
    cr_expect_str_eq(rule->mitre_attack, "T1");
    cr_expect_null(rule->severity);
    cr_assert_eq(rule->meta_count, 4);
    cr_expect_eq(rule->meta[2].number, 7);
    cr_expect_null(rule->meta[3].text);
    cr_expect(rule->always);
    cr_expect_eq(scan_rules_set(l.rules, "set"), 1);
    cr_expect_eq(scan_rules_set(l.rules, "other"), 0);
    teardown(&l);
}

Test(load, includes_from_the_own_folder_once)
{
    struct loading l;
    char inner[FOLDER_SIZE + 8];

    setup(&l);
    snprintf(inner, sizeof(inner), "%s/inner", l.folder);
    mkdir(inner, 0700);
    folder_write(inner, "deep.inc", VIEW("include \"../common.yar\" rule deep { condition: common }"));
    put(&l, "a.yar", "include \"inner/deep.inc\"\nrule a { condition: deep }");
    put(&l, "b.yar",
        "include\t\"common.yar\" rule b { strings: $a = \"include \\\"x\\\"\" condition: common and $a }");
    put(&l, "common.yar", "private rule common { condition: filesize > 2 } // include \"nothing.yar\"");
    load(&l);
    expect_messages(&l, "");
    cr_assert_not_null(l.rules);
    cr_expect_eq(scan_rules_count(l.rules), 4);
    cr_expect(scan_rules_at(l.rules, 0)->hidden);
    teardown(&l);
}

Test(load, an_include_in_a_rule)
{
    struct loading l;

    setup(&l);
    put(&l, "a.yar",
        "rule a { strings: $a = \"abc\" condition: include \"part.inc\"\n}\nrule b { condition: nonsense }");
    put(&l, "part.inc", "$a and\nfilesize > 3");
    load(&l);
    expect_messages(&l, "error a.yar:3:1: undefined identifier \"nonsense\"\n");
    teardown(&l);
}

Test(load, no_rules_at_all)
{
    struct loading l;

    setup(&l);
    put(&l, "a.yar", "// nothing yet\n");
    load(&l);
    expect_messages(&l, "");
    cr_assert_not_null(l.rules);
    cr_expect_eq(scan_rules_count(l.rules), 0);
    teardown(&l);
}

/* ---- what is refused ---- */

Test(load, errors_of_all_files)
{
    struct loading l;

    setup(&l);
    put(&l, "a.yar", "rule a {\n  condition:\n    $x\n}\n\nrule b { condition: }\n");
    put(&l, "b.yar", "rule good { condition: true }");
    put(&l, "c.yar", "rule c {\n  condition: good and nobody\n}\n");
    load(&l);
    cr_expect_null(l.rules);
    expect_messages(&l, "error a.yar:4:1: undefined string \"$x\"\n"
                        "error a.yar:6:1: syntax error\n"
                        "error c.yar:2:3: undefined identifier \"nobody\"\n");
    teardown(&l);
}

Test(load, errors_in_included_files_are_shown_there)
{
    struct loading l;

    setup(&l);
    put(&l, "a.yar", "rule a { condition: true }\ninclude \"b.inc\"\nrule c { condition: missing }");
    put(&l, "b.inc", "\n\n  rule b { condition: $nothing }\n");
    load(&l);
    expect_messages(&l, "error a.yar:3:1: undefined identifier \"missing\"\n"
                        "error b.inc:3:3: undefined string \"$nothing\"\n");
    teardown(&l);
}

Test(load, duplicate_names)
{
    struct loading l;

    setup(&l);
    put(&l, "a.yar", "rule same { condition: true }");
    put(&l, "b.yar", "\nrule same { condition: false }");
    load(&l);
    expect_messages(&l, "error b.yar:2:1: duplicated identifier \"same\"\n");
    teardown(&l);
}

Test(load, includes_from_elsewhere)
{
    struct loading l;
    char link[FOLDER_SIZE + 16];

    setup(&l);
    snprintf(link, sizeof(link), "%s/link.inc", l.folder);
    cr_assert_eq(symlink("/etc/passwd", link), 0);
    put(&l, "a.yar",
        "include \"/etc/passwd\"\ninclude \"../../etc/passwd\"\ninclude \"link.inc\"\n"
        "include \"missing.inc\"\ninclude \"\"\nrule a { condition: true }");
    load(&l);
    cr_expect_null(l.rules);
    expect_messages(&l,
        "error a.yar:1:1: can't include '/etc/passwd': it is an absolute path\n"
        "error a.yar:2:1: can't include '../../etc/passwd': it lies outside of the rule set's folder\n"
        "error a.yar:3:1: can't include 'link.inc': it lies outside of the rule set's folder\n"
        "error a.yar:4:1: can't include 'missing.inc': there is no such file\n"
        "error a.yar:5:1: can't include '': it lies outside of the rule set's folder\n");
    teardown(&l);
}

Test(load, modules_must_be_granted)
{
    static const char *const granted[] = {"math", "console"};
    struct loading l;

    setup(&l);
    put(&l, "a.yar", "import \"math\"\nimport /* here */ \"pe\"\nrule a { condition: pe.is_pe }");
    put(&l, "b.yar", "rule b { condition: $a }");
    l.source.modules = granted;
    l.source.module_count = 2;
    load(&l);
    expect_messages(&l, "error a.yar:2:1: module 'pe' is not granted to rule set 'set'\n"
                        "error b.yar:1:1: undefined string \"$a\"\n"
                        "error mqward.yaml: rule set 'set': module 'console' can't be granted\n");
    teardown(&l);
}

Test(load, compiled_rules_and_other_files)
{
    struct loading l;
    char fifo[FOLDER_SIZE + 16];

    setup(&l);
    snprintf(fifo, sizeof(fifo), "%s/pipe.yar", l.folder);
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    folder_write(l.folder, "a.yar", VIEW("YARA\0\0\0"));
    load(&l);
    cr_expect_null(l.rules);
    expect_messages(&l, "error a.yar: a NUL in a rule file\nerror pipe.yar: it is not a regular file\n");
    teardown(&l);
}

Test(load, slow_patterns)
{
    struct loading l;

    setup(&l);
    put(&l, "a.yar", "rule a {\n strings:\n $a = /a.*b/\n $b = {00 00}\n condition: any of them }");
    load(&l);
    cr_expect_null(l.rules);
    cr_expect_eq(diag_errors(l.diag), 3, "%s", messages(&l));
    teardown(&l);
    setup(&l);
    put(&l, "a.yar", "rule a {\n strings:\n $a = /a.*b/\n $b = {00 00}\n condition: any of them }");
    l.source.allow_slow = true;
    load(&l);
    cr_expect_not_null(l.rules);
    cr_expect_eq(diag_warnings(l.diag), 3);
    teardown(&l);
}

Test(load, a_missing_path)
{
    struct loading l;

    setup(&l);
    l.path = "/nonexistent/rules";
    load(&l);
    cr_expect_null(l.rules);
    cr_expect_eq(diag_errors(l.diag), 1, "%s", messages(&l));
    teardown(&l);
}

/* Its condition runs twenty times for each byte. */
Test(load, a_dear_rule_is_named)
{
    static const char *const text = "rule cheap { strings: $a = \"something\" condition: $a }\n"
                                    "rule dear {\n condition: for any i in (0..filesize) : (for any k in "
                                    "(0..20) : (uint8(i + k) == 300))\n}";
    struct loading l;

    setup(&l);
    put(&l, "a.yar", text);
    l.source.budget_ns = 200000;
    load(&l);
    cr_expect_null(l.rules);
    cr_expect_eq(diag_errors(l.diag), 1, "%s", messages(&l));
    cr_expect_not_null(strstr(messages(&l), "error a.yar:2:1: rule 'dear' costs "), "%s", messages(&l));
    teardown(&l);
    setup(&l);
    put(&l, "a.yar", text);
    l.source.budget_ns = 200000;
    l.source.allow_slow = true;
    load(&l);
    cr_expect_not_null(l.rules);
    cr_expect_eq(diag_warnings(l.diag), 1);
    teardown(&l);
}

/* ---- groups ---- */

Test(load, groups)
{
    static const char *const granted[] = {"math"};
    struct loading l;
    struct buffer text = {0};

    setup(&l);
    buffer_format(&text, "import \"math\"\nprivate rule helper { strings: $h = \"helper\" condition: $h }\n");
    for (unsigned i = 0; i < 100; i++)
        buffer_format(&text, "rule r%u { strings: $a = \"string%u\" condition: $a and helper }\n", i, i);
    buffer_format(&text,
        "rule m { strings: $a = \"entropy\" condition: $a and math.entropy(0, filesize) > 1.0 }\n"
        "rule always1 { condition: filesize > 1000 }\nrule always2 { condition: not r1 }\n");
    folder_write(l.folder, "a.yar", buffer_view(&text));
    l.source.modules = granted;
    l.source.module_count = 1;
    load(&l);
    expect_messages(&l, "");
    struct scan_rules_stats stats = scan_rules_stats(l.rules);
    cr_expect_eq(stats.rules, 104);
    /* 4 of strings, one of modules, one of rules that always run. */
    cr_expect_eq(stats.groups, 6);
    cr_expect_eq(stats.always_groups, 1);
    cr_expect_eq(stats.always_rules, 2);
    buffer_release(&text);
    teardown(&l);
}

/* A chain as long as a file is allowed to make it does not end the stack. */
Test(load, a_long_chain_of_rules)
{
    struct loading l;
    struct buffer text = {0};

    setup(&l);
    buffer_format(&text, "rule r0 { strings: $a = \"string\" condition: $a }\n");
    for (unsigned i = 1; i < 3000; i++)
        buffer_format(&text, "%s rule r%u { condition: r%u }\n", i == 2999 ? "" : "private", i, i - 1);
    folder_write(l.folder, "a.yar", buffer_view(&text));
    load(&l);
    expect_messages(&l, "");
    cr_expect_eq(scan_rules_stats(l.rules).always_rules, 0);
    buffer_release(&text);
    teardown(&l);
}

/* Braces, quotes and keywords where they mean nothing. */
Test(load, text_that_looks_like_rules)
{
    struct loading l;

    setup(&l);
    put(&l, "a.yar",
        "/* rule x { */ // rule y {\n"
        "private/**/rule/* rule z { */p { condition: true }\n"
        "global private rule g{strings:$a=\"}\\\"{\"$b=/[}\\/{\"]{1,2}x\\/ rule/ condition:not $a or "
        "$b}rule\n"
        "r1 : tag { meta: a = \"rule q { }\" strings: $rule = { 7b /* } rule */ 7d // }\n 22 [1-2] (2f|7b) "
        "}\n"
        "condition: $rule and #rule > 0 and @rule[1] \\ 2 < 100 and p }rule r2 { condition: r1 }");
    load(&l);
    expect_messages(&l, "");
    cr_assert_not_null(l.rules);
    cr_assert_eq(scan_rules_count(l.rules), 4);
    struct scan_rules_stats stats = scan_rules_stats(l.rules);
    /* Both rules that are reported are in one group, and it needs its strings. */
    cr_expect_eq(stats.groups, 1);
    cr_expect_eq(stats.always_groups, 0);
    teardown(&l);
}

/* Rules with pieces missing, doubled and changed: errors, or rules. */
Test(load, damaged_rules)
{
    struct random random = {3};
    struct generated generated;
    size_t good = 0;

    generate_rules(&generated, &random, 6, GENERATE_REFERENCES | GENERATE_EXTERNALS);
    for (unsigned i = 0; i < 150; i++) {
        struct loading l;
        struct buffer text = {0};
        struct view all = buffer_view(&generated.text);
        size_t from = random_below(&random, (unsigned)all.length), length = random_below(&random, 40);
        setup(&l);
        buffer_append(&text, view_of(all.data, from));
        for (unsigned k = random_below(&random, 4); k > 0; k--)
            buffer_append_byte(&text, (uint8_t) "{}\"/*\\\n$"[random_below(&random, 8)]);
        buffer_append(&text, view_skip(all, from + length));
        folder_write(l.folder, "a.yar", buffer_view(&text));
        l.source.allow_slow = true;
        load(&l);
        cr_expect((l.rules == NULL) == (diag_errors(l.diag) > 0));
        good += l.rules != NULL;
        buffer_release(&text);
        teardown(&l);
    }
    cr_expect_gt(good, 0);
    cr_expect_lt(good, 150);
    generated_release(&generated);
}
