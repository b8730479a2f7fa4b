/* SPDX-License-Identifier: Apache-2.0 */
/* What a scan tells, and what it does when it can't look at everything. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "machine.h"
#include "rules/scanner.h"

/* Sets a, b of one text each, and a message. */
struct scanning {
    struct scan_rules *rules;
    struct scanner *scanner;
    struct scan_context context;
    struct scan_request request;
    struct scan_part parts[4];
    struct scan_result result;
};

static struct scan_rules *load(const char *a, const char *b, bool automaton)
{
    const struct scan_load how = {.plain = true, .automaton = automaton};
    static const char *const granted[] = {"math", "elf", "time"};
    char folder[FOLDER_SIZE];
    struct diag_list *diag = diag_list_new();

    folder_make(folder);
    folder_write(folder, "a.yar", view_of_string(a));
    folder_write(folder, "b.yar", view_of_string(b));
    const char *paths[] = {memory_format("%s/a.yar", folder), memory_format("%s/b.yar", folder)};
    const struct scan_source sources[] = {{.name = "a",
                                              .paths = &paths[0],
                                              .path_count = 1,
                                              .allow_slow = true,
                                              .modules = granted,
                                              .module_count = 3},
        {.name = "b",
            .paths = &paths[1],
            .path_count = 1,
            .allow_slow = true,
            .modules = granted,
            .module_count = 3}};
    struct scan_rules *rules = scan_rules_load_with(sources, 2, diag, &how);
    if (rules == NULL)
        diag_print(diag, stderr);
    cr_assert_not_null(rules);
    folder_remove(folder);
    free((char *)paths[0]);
    free((char *)paths[1]);
    diag_list_free(diag);
    return rules;
}

static void setup_with(struct scanning *s, const char *a, const char *b, bool automaton)
{
    *s = (struct scanning){.rules = load(a, b, automaton), .scanner = scanner_new()};
    s->request = (struct scan_request){.sets = 3,
        .context = &s->context,
        .parts = s->parts,
        .part_count = 1,
        .max_scan = 1 << 20,
        .timeout_ns = UINT64_C(5000000000)};
}

static void setup(struct scanning *s, const char *a, const char *b)
{
    setup_with(s, a, b, false);
}

static void teardown(struct scanning *s)
{
    scanner_free(s->scanner);
    scan_rules_release(s->rules);
}

/* "set.rule@offset ...", and the same from the plain scan, asserted. */
static const char *scan(struct scanning *s, struct view payload)
{
    static char text[2][1024];

    s->parts[0] = (struct scan_part){SCAN_PAYLOAD, payload};
    for (int plain = 1; plain >= 0; plain--) {
        size_t used = 0;
        text[plain][0] = '\0';
        if (plain)
            scanner_scan_plainly(s->scanner, s->rules, &s->request, &s->result);
        else
            scanner_scan(s->scanner, s->rules, &s->request, &s->result);
        for (size_t i = 0; i < s->result.count && i < SCAN_FINDINGS_MAX; i++) {
            const struct scan_finding *finding = &s->result.findings[i];
            used += (size_t)snprintf(text[plain] + used, sizeof(text[0]) - used, "%s%s.%s@%lld",
                i == 0 ? "" : " ", finding->rule->set, finding->rule->name, (long long)finding->offset);
        }
    }
    if (s->result.error == NULL)
        cr_expect_str_eq(text[0], text[1]);
    return text[0];
}

Test(scanner, findings_in_the_order_of_rules)
{
    struct scanning s;

    setup(&s,
        "rule z { condition: filesize > 3 } rule y { strings: $a = \"bcd\" $b = \"abc\" condition: any of "
        "them }",
        "rule x { strings: $a = /c[d-f]+/ condition: #a == 1 }");
    cr_expect_str_eq(scan(&s, VIEW("..abcdef")), "a.z@-1 a.y@2 b.x@4");
    cr_expect(s.result.complete);
    cr_expect_str_eq(scan(&s, VIEW("..")), "");
    cr_expect_str_eq(scan(&s, VIEW("")), "");
    cr_expect_str_eq(scan(&s, (struct view){NULL, 0}), "");
    s.request.sets = 2;
    cr_expect_str_eq(scan(&s, VIEW("..abcdef")), "b.x@4");
    s.request.sets = 0;
    cr_expect_str_eq(scan(&s, VIEW("..abcdef")), "");
    teardown(&s);
}

/* A global rule decides about the others of its set, and of no other set. */
Test(scanner, private_and_global_rules)
{
    struct scanning s;

    setup(&s,
        "private rule p { strings: $a = \"marker\" condition: $a }\n"
        "global rule g { strings: $a = \"allowed\" condition: $a or filesize > 20 }\n"
        "rule r { strings: $a = \"thing\" condition: $a or p }",
        "rule q { strings: $a = \"thing\" condition: $a }");
    cr_expect_str_eq(scan(&s, VIEW("thing")), "b.q@0");
    cr_expect_str_eq(scan(&s, VIEW("thing, allowed")), "a.g@7 a.r@0 b.q@0");
    cr_expect_str_eq(scan(&s, VIEW("allowed")), "a.g@0");
    cr_expect_str_eq(scan(&s, VIEW("marker, allowed")), "a.g@8 a.r@-1");
    cr_expect_str_eq(scan(&s, VIEW("marker ..............................")), "a.g@-1 a.r@-1");
    teardown(&s);
}

Test(scanner, rules_know_their_message)
{
    struct scanning s;

    setup(&s,
        "rule topic_ { strings: $a = \"x\" condition: $a and topic startswith \"fw/\" }\n"
        "rule others { strings: $a = \"x\" condition: $a and client_id == \"c\" and username == \"u\" and "
        "identity == \"i\" and\n"
        "  groups contains \"g1\" and qos == 2 and retain and direction == \"out\" and content_type == "
        "\"t\" and\n"
        "  payload_size == 77 and view == \"raw\" }",
        "");
    cr_expect_str_eq(scan(&s, VIEW("x")), "");
    s.context.topic = VIEW("fw/1");
    cr_expect_str_eq(scan(&s, VIEW("x")), "a.topic_@0");
    s.context = (struct scan_context){
        VIEW("t"), VIEW("c"), VIEW("u"), VIEW("i"), VIEW("g0,g1"), VIEW("t"), 2, true, true, 77};
    cr_expect_str_eq(scan(&s, VIEW("x")), "a.others@0");
    s.context.qos = 1;
    cr_expect_str_eq(scan(&s, VIEW("x")), "");
    teardown(&s);
}

/* What can't be given to a rule is an error of its set, and only where the rule matters. */
Test(scanner, a_nul_in_what_a_rule_asks_for)
{
    struct scanning s;

    setup(&s, "rule t { strings: $a = \"x\" condition: $a and topic != \"fw\" }",
        "rule u { strings: $a = \"x\" condition: $a }");
    s.context.topic = VIEW("fw\0");
    cr_expect_str_eq(scan(&s, VIEW("x")), "b.u@0");
    cr_expect_str_eq(s.result.error, "a NUL in what a rule asks for");
    cr_expect_str_eq(s.result.error_set, "a");
    cr_expect_not(s.result.complete);
    s.parts[0].bytes = VIEW("y");
    scanner_scan(s.scanner, s.rules, &s.request, &s.result);
    cr_expect_null(s.result.error);
    teardown(&s);
}

/* libyara remembers the entry point of an executable for the next scan. */
Test(scanner, nothing_is_left_from_the_last_message)
{
    static const uint8_t elf[] =
        "\x7f"
        "ELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0\x01\0\0\0\x54\x80\x04\x08\x34\0\0\0\0\0\0\0"
        "\0\0\0\0\x34\0\x20\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\x80\x04\x08\0\x80\x04\x08"
        "\x5b\0\0\0\x5b\0\0\0\x05\0\0\0\0\x10\0\0abcdefgh";
    struct scanning s;

    setup(&s, "rule e { condition: entrypoint >= 0 }", "");
    cr_expect_str_eq(scan(&s, VIEW("none")), "");
    cr_expect_str_eq(scan(&s, view_of(elf, sizeof(elf) - 1)), "a.e@-1");
    cr_expect_str_eq(scan(&s, VIEW("none")), "");
    teardown(&s);
}

Test(scanner, no_more_than_max_scan)
{
    struct scanning s;

    setup(&s, "rule r { strings: $a = \"late\" condition: $a }", "");
    s.request.max_scan = 8;
    cr_expect_str_eq(scan(&s, VIEW("....late")), "a.r@4");
    cr_expect(s.result.complete);
    cr_expect_str_eq(scan(&s, VIEW(".....late")), "");
    cr_expect_not(s.result.complete);
    cr_expect_str_eq(s.result.incomplete, "max_scan");
    cr_expect_null(s.result.error);
    teardown(&s);
}

Test(scanner, parts_and_views)
{
    struct scanning s;

    setup(&s,
        "rule r { strings: $a = \"needle\" condition: $a } rule v { strings: $a = \"needle\" condition: $a "
        "and view == \"base64\" }",
        "");
    s.request.part_count = 3;
    s.request.views = SCAN_VIEWS_ALL;
    s.parts[1] = (struct scan_part){SCAN_USER_PROPERTY, VIEW("a needle")};
    s.parts[2] = (struct scan_part){SCAN_CORRELATION_DATA, VIEW("YSBuZWVkbGUgaW4gYSBoYXlzdGFjaw==")};
    cr_expect_str_eq(scan(&s, VIEW("nothing")), "a.r@2 a.r@2 a.v@2");
    cr_expect_eq(s.result.findings[0].part, SCAN_USER_PROPERTY);
    cr_expect_eq(s.result.findings[0].part_index, 1);
    cr_expect_eq(s.result.findings[0].view.length, 0);
    cr_expect_eq(s.result.findings[1].part, SCAN_CORRELATION_DATA);
    cr_expect_eq(s.result.findings[1].part_index, 2);
    cr_expect_eq(s.result.findings[1].view.length, 1);
    cr_expect_eq(s.result.findings[1].view.kinds[0], SCAN_BASE64);
    s.request.views = 0;
    cr_expect_str_eq(scan(&s, VIEW("nothing")), "a.r@2");
    teardown(&s);
}

Test(scanner, more_findings_than_are_told)
{
    struct scanning s;
    struct buffer text = {0};

    for (unsigned i = 0; i < 100; i++)
        buffer_format(&text, "rule r%u { strings: $a = \"common\" condition: $a }\n", i);
    buffer_append_byte(&text, '\0');
    setup(&s, (const char *)text.data, "");
    scan(&s, VIEW("common"));
    cr_expect_eq(s.result.count, 100);
    cr_expect_str_eq(s.result.findings[31].rule->name, "r31");
    buffer_release(&text);
    teardown(&s);
}

/* A condition that would run for minutes. */
Test(scanner, a_message_has_so_much_time)
{
    struct scanning s;
    static uint8_t payload[200000];

    setup(&s,
        "rule slow { strings: $a = \"go\" condition: $a and for all i in (0..filesize) : (for all k in "
        "(0..filesize) : (uint8(i) == 0 or k == k)) }",
        "rule quick { strings: $a = \"go\" condition: $a }");
    memcpy(payload, "go", 2);
    s.request.timeout_ns = 30000000;
    s.parts[0] = (struct scan_part){SCAN_PAYLOAD, view_of(payload, sizeof(payload))};
    uint64_t start = clock_monotonic_ms();
    scanner_scan(s.scanner, s.rules, &s.request, &s.result);
    cr_expect_lt(clock_monotonic_ms() - start, 10000);
    cr_assert_not_null(s.result.error);
    cr_expect_str_eq(s.result.error, "timeout");
    cr_expect_str_eq(s.result.error_set, "a");
    cr_expect_not(s.result.complete);
    /* The scanner goes on with the next message. */
    s.request.timeout_ns = UINT64_C(5000000000);
    s.request.sets = 2;
    cr_expect_str_eq(scan(&s, VIEW("go")), "b.quick@0");
    teardown(&s);
}

/* A string that is found a million times is an error, not a shorter list. */
Test(scanner, too_many_matches)
{
    struct scanning s;
    uint8_t *payload = memory_calloc(1, 1200000);

    memset(payload, 'a', 1200000);
    setup(&s, "rule many { strings: $a = \"aa\" condition: #a > 5 }",
        "rule b { strings: $a = \"aaaa\" condition: $a }");
    s.request.max_scan = SIZE_MAX;
    s.parts[0] = (struct scan_part){SCAN_PAYLOAD, view_of(payload, 1200000)};
    scanner_scan(s.scanner, s.rules, &s.request, &s.result);
    cr_assert_not_null(s.result.error);
    cr_expect_str_eq(s.result.error, "too many matches");
    cr_expect_eq(s.result.count, 1);
    free(payload);
    teardown(&s);
}

/* Verdicts are remembered for the very same question only. */
Test(scanner, the_same_bytes_again)
{
    struct scanning s;
    struct scan_rules *other;

    setup(&s, "rule r { strings: $a = \"x\" condition: $a and topic == \"a\" }",
        "rule q { strings: $a = \"x\" condition: $a }");
    for (unsigned i = 0; i < 3; i++) {
        s.context.topic = VIEW("a");
        cr_expect_str_eq(scan(&s, VIEW("x")), "a.r@0 b.q@0");
        s.context.topic = VIEW("b");
        cr_expect_str_eq(scan(&s, VIEW("x")), "b.q@0");
        s.request.sets = 1;
        cr_expect_str_eq(scan(&s, VIEW("x")), "");
        s.request.sets = 3;
        cr_expect_str_eq(scan(&s, VIEW(".x")), "b.q@1");
    }
    s.context.topic = VIEW("b");
    other = load("rule new_one { strings: $a = \"x\" condition: $a and topic == \"b\" }", "", false);
    scan_rules_release(s.rules);
    s.rules = other;
    cr_expect_str_eq(scan(&s, VIEW("x")), "a.new_one@0");
    teardown(&s);
}

/* libyara is called for what could match, and not for what was seen before. */
Test(scanner, calls_of_libyara)
{
    struct scanning s;
    const struct scan_rule *members[2];

    setup(&s, "private rule p { condition: true } rule r { strings: $a = \"first\" condition: $a and p }",
        "rule q { strings: $a = \"second\" condition: $a }");
    cr_assert_eq(scan_rules_stats(s.rules).groups, 2);
    cr_assert_eq(scan_rules_group(s.rules, 0, members, 2), 1);
    cr_expect_str_eq(members[0]->name, "r");
    cr_expect_eq(scanner_group_calls(s.scanner, 0), 0);
    scan(&s, VIEW("nothing"));
    scan(&s, VIEW("a first one"));
    scan(&s, VIEW("a first one"));
    scan(&s, VIEW("one more: first"));
    cr_expect_eq(scanner_group_calls(s.scanner, 0), 2);
    cr_expect_eq(scanner_group_calls(s.scanner, 1), 0);
    cr_expect_eq(scanner_group_calls(s.scanner, 7), 0);
    teardown(&s);
}

/* Without an answer of the prefilter everything is scanned. */
Test(scanner, a_prefilter_that_fails)
{
    static const char first[] = "rule r { strings: $a = \"first\" condition: $a }",
                      second[] = "rule q { strings: $a = \"second\" condition: $a }";
    struct scanning s;

    setup(&s, first, second);
    scan(&s, VIEW(""));
    if (strcmp(scan_rules_stats(s.rules).engine, "hyperscan") == 0) {
        prefilter_space_free(s.scanner->space);
        s.scanner->space = NULL;
        cr_expect_str_eq(scan(&s, VIEW("a second")), "b.q@2");
        cr_expect_eq(scanner_group_calls(s.scanner, 0), 1);
    }
    teardown(&s);
    setup_with(&s, first, second, true);
    cr_expect_str_eq(scan_rules_stats(s.rules).engine, "automaton");
    cr_expect_str_eq(scan(&s, VIEW("the second")), "b.q@4");
    cr_expect_eq(scanner_group_calls(s.scanner, 0), 0);
    teardown(&s);
}

/* What depends on the clock is asked each time. */
Test(scanner, time_is_not_remembered)
{
    struct scanning s;

    setup(&s, "import \"time\" rule t { strings: $a = \"x\" condition: $a and time.now() > 1600000000 }", "");
    cr_expect_str_eq(scan(&s, VIEW("x")), "a.t@0");
    cr_expect_str_eq(scan(&s, VIEW("x")), "a.t@0");
    cr_expect_eq(scanner_group_calls(s.scanner, 0), 2);
    teardown(&s);
}

/* A scanner holds its generation: the last reference may go first. */
Test(scanner, generations)
{
    struct scanner *scanner = scanner_new();
    struct scan_context context = {0};
    struct scan_part part = {SCAN_PAYLOAD, VIEW("..x..")};
    struct scan_request request = {.sets = 1,
        .context = &context,
        .parts = &part,
        .part_count = 1,
        .max_scan = 100,
        .timeout_ns = 1000000000};
    struct scan_result result;

    for (unsigned i = 0; i < 3; i++) {
        struct scan_rules *rules = load("rule r { strings: $a = \"x\" condition: $a }", "", false);
        scanner_scan(scanner, rules, &request, &result);
        scan_rules_release(rules);
        cr_expect_eq(result.count, 1);
        cr_expect_str_eq(result.findings[0].rule->name, "r");
    }
    scanner_free(scanner);
    scanner_free(NULL);
    scan_rules_release(NULL);
}
