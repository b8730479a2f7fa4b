/* SPDX-License-Identifier: Apache-2.0 */
/* What the classifier tells about conditions, and that it never tells too much: libyara is asked about
 * payloads without any string of a rule. */
#include <criterion/criterion.h>
#include <yara.h>

#include "machine.h"
#include "rules/classify.h"
#include "rules/compile.h"
#include "rules/generation.h"

/* With $a, $b and $c; those that the condition does not mention are left out. */
static YR_RULES *compile_condition(const char *condition)
{
    struct buffer text = {0};

    generation_initialize_yara();
    buffer_format(&text, "import \"math\"\nrule other { strings: $x = \"OTHER\" condition: $x }\n"
                         "rule anyway { condition: filesize > 3 }\nrule r {\n");
    if (strpbrk(condition, "$#@") != NULL || strstr(condition, "!a") != NULL ||
        strstr(condition, "them") != NULL)
        buffer_format(&text, "strings:\n");
    for (const char *name = "abc"; *name != '\0'; name++) {
        char marks[5][3] = {{'$', *name}, {'#', *name}, {'@', *name}, {'!', *name}};
        bool used = strstr(condition, "them") != NULL || strstr(condition, "$*") != NULL;
        for (unsigned i = 0; i < 4; i++)
            used = used || strstr(condition, marks[i]) != NULL;
        if (used)
            buffer_format(&text, "$%c = \"string%c\"\n", *name, *name);
    }
    buffer_format(&text, "condition: %s }", condition);
    buffer_append_byte(&text, '\0');
    YR_RULES *rules = compile_text(buffer_view(&text), "test");
    cr_assert_not_null(rules, "%s", (const char *)text.data);
    buffer_release(&text);
    return rules;
}

static bool is_always(const char *condition, bool *by_needs)
{
    YR_RULES *rules = compile_condition(condition);
    struct classified *classified = classify(rules);

    cr_assert_not_null(classified);
    bool always = classified[2].always;
    if (by_needs != NULL)
        *by_needs = classified[2].by_needs;
    classified_free(classified, rules->num_rules);
    yr_rules_destroy(rules);
    return always;
}

/* None of these can match without a string. */
static const char *const need_strings[] = {
    "$a",
    "$a and $b",
    "$a or $b",
    "any of them",
    "all of them",
    "2 of them",
    "1 of ($a, $b)",
    "60% of them",
    "#a > 2",
    "#a >= 1",
    "#a == 1",
    "$a at 0",
    "$a in (0..100)",
    "$a in (filesize - 100..filesize)",
    "#a in (0..100) > 0",
    "@a[1] < 100",
    "@a < 100",
    "!a[1] == 7",
    "filesize < 1000 and $a",
    "$a and filesize < 1000",
    "uint16(0) == 0x5a4d and $a",
    "($a and filesize > 5) or ($b and uint8(0) == 1)",
    "for any i in (1..#a) : (@a[i] < 100)",
    "for all i in (1..#a) : (@a[i] < 100)",
    "for any of them : ($ at 0)",
    "for all of them : ($)",
    "for 2 of them : (# > 1)",
    "any of them in (0..10)",
    "topic startswith \"fw/\" and $a",
    "math.entropy(0, filesize) > 7.0 and any of them",
    "$a and not $b",
    "not (not $a)",
    "other",
    "other and filesize > 2",
    "any of (other, other)",
    "$a and other",
    "$a or other",
    "false",
    "defined @a[1]",
    "#a + #b > 0",
    "#a * 2 > 1",
    "-#a < 0",
    "$a and for any i in (0..2) : (uint8(i) == 0x41)",
};

Test(classify, rules_that_need_their_strings)
{
    for (size_t i = 0; i < sizeof(need_strings) / sizeof(need_strings[0]); i++)
        cr_expect_not(is_always(need_strings[i], NULL), "%s", need_strings[i]);
}

/* Each of these can match without. */
static const char *const need_none[] = {
    "not $a",
    "#a < 3",
    "#a == 0",
    "none of them",
    "0 of them",
    "filesize > 10",
    "filesize > 10 or $a",
    "$a or uint16(0) == 0x5a4d",
    "true",
    "topic == \"a\"",
    "qos == 2",
    "retain",
    "topic",
    "math.entropy(0, filesize) > 7.0",
    "for any i in (0..3) : (uint8(i) == 0x41)",
    "for any i in (0..filesize) : (i == 7)",
    "not defined @a[1]",
    "anyway",
    "not other",
    "none of (other, other)",
    "any of (other, anyway)",
    "not ($a and $b)",
    "$a and $b or filesize == 7",
    "not $a at 0",
    "#a in (0..10) == 0",
    "entrypoint > 3",
    "filesize - 3 > 8",
    "content_type matches /json/",
    "for all of them : (# < 3)",
    "not any of them",
    "view == \"raw\" or $a",
};

Test(classify, rules_that_can_match_without)
{
    for (size_t i = 0; i < sizeof(need_none) / sizeof(need_none[0]); i++)
        cr_expect(is_always(need_none[i], NULL), "%s", need_none[i]);
}

Test(classify, rules_that_need_strings_of_others)
{
    bool by_needs;

    is_always("other", &by_needs);
    cr_expect(by_needs);
    is_always("$a or other", &by_needs);
    cr_expect(by_needs);
    is_always("$a and other", &by_needs);
    cr_expect_not(by_needs);
    is_always("$a and filesize > 3", &by_needs);
    cr_expect_not(by_needs);
}

Test(classify, what_a_rule_uses)
{
    YR_RULES *rules = compile_condition(
        "math.mean(0, 4) > 2.0 and topic == \"a\" and other and qos == 1 and topic != \"b\"");
    struct classified *classified = classify(rules);
    const struct classified *rule = &classified[2];

    cr_assert_eq(rule->object_count, 3);
    cr_expect_str_eq(rule->objects[0], "math");
    cr_expect_str_eq(rule->objects[1], "topic");
    cr_expect_str_eq(rule->objects[2], "qos");
    cr_assert_eq(rule->need_count, 1);
    cr_expect_eq(rule->needs[0], 0);
    classified_free(classified, rules->num_rules);
    yr_rules_destroy(rules);
}

/* A condition of so many ways that not all can be gone: it is taken for one that can match. */
Test(classify, a_long_condition_ends)
{
    struct buffer text = {0};

    buffer_format(&text, "$a and (for any i in (0..1000000000) : (uint8(i) == 1)");
    for (unsigned i = 0; i < 200; i++)
        buffer_format(&text, " or (uint8(%u) == 1 and for any i in (0..filesize) : (i == %u))", i, i);
    buffer_format(&text, ")");
    buffer_append_byte(&text, '\0');
    cr_expect_not(is_always((const char *)text.data, NULL));
    buffer_clear(&text);
    buffer_format(&text, "for any i in (0..1000000000) : (uint8(i) == 1 or uint8(i + 1) == 7)");
    buffer_append_byte(&text, '\0');
    cr_expect(is_always((const char *)text.data, NULL));
    buffer_release(&text);
}

/* ---- libyara is asked ---- */

struct asked {
    const struct classified *classified;
    const YR_RULES *rules;
};

static int on_message(YR_SCAN_CONTEXT *context, int message, void *data, void *user)
{
    const struct asked *asked = user;
    const YR_RULE *rule = data;

    (void)context;
    if (message == CALLBACK_MSG_RULE_MATCHING)
        cr_expect(asked->classified[rule - asked->rules->rules_table].always, "%s", rule->identifier);
    return CALLBACK_CONTINUE;
}

/* Payloads of bytes that no generated string is made of. */
Test(classify, nothing_matches_that_is_not_always)
{
    struct random random = {5};
    struct generated generated;
    uint8_t payload[300];

    generation_initialize_yara();
    generate_rules(&generated, &random, 800, GENERATE_REFERENCES | GENERATE_MODULES | GENERATE_EXTERNALS);
    YR_RULES *rules = compile_text(buffer_view(&generated.text), "test");
    cr_assert_not_null(rules);
    struct classified *classified = classify(rules);
    cr_assert_not_null(classified);
    struct asked asked = {classified, rules};
    size_t always = 0;
    for (uint32_t i = 0; i < rules->num_rules; i++)
        always += classified[i].always;
    cr_expect_lt(always, rules->num_rules / 2, "%zu of %u", always, rules->num_rules);
    for (size_t length = 0; length < sizeof(payload); length++) {
        for (size_t i = 0; i < length; i++)
            payload[i] = (uint8_t) "~\xa7_\x60"[random_below(&random, 4)];
        cr_assert_eq(
            yr_rules_scan_mem(rules, payload, length, SCAN_FLAGS_NO_TRYCATCH, on_message, &asked, 0), 0);
    }
    classified_free(classified, rules->num_rules);
    yr_rules_destroy(rules);
    generated_release(&generated);
}
