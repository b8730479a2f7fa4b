/* SPDX-License-Identifier: Apache-2.0 */
/* Where the linter must be silent: what is next to each thing that it warns about (tests/policies/good/lints*
 * has those), and policies as people write them. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buffer.h"
#include "policy/pattern.h"
#include "support.h"

static void expect_silent(const char *policy)
{
    struct fixture fixture = fixture_good(policy);
    cr_expect_str_empty(fixture.messages, "%s\n%s", policy, fixture.messages);
    fixture_free(&fixture);
}

#define IDENTITY                                                                                             \
    "version: 1\npolicy: p\nidentity:\n"                                                                     \
    "  - cert: {ca: fleet, id: cn, attrs: {site: ou}}\n"                                                     \
    "  - password: {file: users}\n"
#define GROUPS                                                                                               \
    "groups:\n  devices: {source: cert}\n  people: {source: password}\n"                                     \
    "  admins: {source: password, ids: [admin-*]}\n"
#define USED "  - {rule: used, who: [devices, people, admins], allow: subscribe, topics: [used/<id>]}\n"
#define RULES IDENTITY GROUPS "rules:\n" USED

Test(lint, an_allow_of_which_the_denies_leave_something)
{
    /* a topic, some clients, a verb, retained messages, an except, a trial */
    expect_silent(RULES "  - {rule: a, who: devices, allow: publish, topics: [a/#]}\n"
                        "  - {rule: d, who: everyone, deny: publish, topics: [a/+/#]}\n");
    expect_silent(RULES "  - {rule: a, who: people, allow: publish, topics: [a]}\n"
                        "  - {rule: d, who: admins, deny: publish, topics: [a]}\n");
    expect_silent(RULES "  - {rule: a, who: people, allow: publish, topics: [a]}\n"
                        "  - {rule: d, who: everyone, unless: admins, deny: publish, topics: [a]}\n");
    expect_silent(RULES "  - {rule: a, who: devices, allow: publish, topics: [a]}\n"
                        "  - {rule: d, who: everyone, deny: receive, topics: [a]}\n");
    expect_silent(RULES "  - {rule: a, who: devices, allow: publish, topics: [a]}\n"
                        "  - {rule: d, who: everyone, deny: publish, topics: [a], if: {retain: true}}\n");
    expect_silent(RULES "  - {rule: a, who: devices, allow: publish, topics: [a/<id>]}\n"
                        "  - {rule: d, who: everyone, deny: publish, topics: [a/#], except: [a/keep]}\n");
    expect_silent(RULES "  - {rule: a, who: devices, allow: publish, topics: [a]}\n"
                        "  - {rule: d, mode: monitor, who: everyone, deny: publish, topics: [a]}\n");
    /* other values of placeholders */
    expect_silent(RULES "  - {rule: a, who: devices, allow: publish, topics: [a/<id>]}\n"
                        "  - {rule: d, who: everyone, deny: publish, topics: [a/<username>, a/b]}\n");
}

Test(lint, a_rule_that_says_what_others_do_not)
{
    /* more topics, more clients, more verbs, wider bounds, features, an except, a trial */
    expect_silent(RULES "  - {rule: a, who: devices, allow: publish, topics: [a/+]}\n"
                        "  - {rule: b, who: devices, allow: publish, topics: [a/#]}\n");
    expect_silent(RULES "  - {rule: a, who: admins, allow: publish, topics: [a]}\n"
                        "  - {rule: b, who: people, allow: publish, topics: [a]}\n");
    expect_silent(RULES "  - {rule: a, who: people, unless: admins, allow: publish, topics: [a]}\n"
                        "  - {rule: b, who: people, allow: publish, topics: [a]}\n");
    expect_silent(RULES "  - {rule: a, who: devices, allow: receive, topics: [a]}\n"
                        "  - {rule: b, who: devices, allow: subscribe, topics: [a]}\n");
    expect_silent(RULES "  - {rule: a, who: devices, allow: publish, topics: [a], if: {max_qos: 1}}\n"
                        "  - {rule: b, who: devices, allow: publish, topics: [a], if: {max_size: 1KiB}}\n");
    expect_silent(RULES "  - {rule: a, who: devices, allow: subscribe, topics: [a]}\n"
                        "  - {rule: b, who: devices, allow: subscribe, topics: [a], features: [shared]}\n");
    expect_silent(RULES "  - {rule: a, who: devices, deny: publish, topics: [a/#], except: [a/x]}\n"
                        "  - {rule: b, who: devices, deny: publish, topics: [a/<id>]}\n");
    expect_silent(RULES "  - {rule: a, mode: monitor, who: devices, deny: publish, topics: [a]}\n"
                        "  - {rule: b, who: devices, deny: publish, topics: [a]}\n");
}

Test(lint, a_group_that_reads_everything)
{
    expect_silent(RULES "  - {rule: a, who: admins, allow: subscribe, topics: [\"#\"]}\n");
    expect_silent(
        RULES "  - {rule: a, who: everyone, deny: subscribe, topics: [\"#\"], except: [used/<id>]}\n");
}

Test(lint, an_identity_with_a_comma)
{
    expect_silent(IDENTITY "groups:\n  a: {ids: [\"Doe, John\", b]}\n  b:\n    ids: \"Doe, Jane\"\n"
                           "rules:\n  - {rule: a, who: [a, b], allow: publish, topics: [a]}\n");
}

Test(lint, a_client_identifier_that_the_broker_checked)
{
    static const char own[] =
        "rules:\n  - {rule: own, who: everyone, allow: publish, topics: [a/<client_id>]}\n";
    char text[400];
    snprintf(text, sizeof(text), "version: 1\npolicy: p\nidentity:\n  - broker: {id: client_id}\n%s", own);
    expect_silent(text);
    snprintf(text, sizeof(text), "version: 1\npolicy: p\nidentity:\n  - broker: {id: username}\n%s", own);
    struct fixture fixture = fixture_good(text);
    cr_expect_not_null(strstr(fixture.messages, "allows by <client_id>"), "%s", fixture.messages);
    fixture_free(&fixture);
}

Test(lint, values_that_clients_have)
{
    expect_silent(RULES "  - {rule: a, who: devices, allow: publish, topics: [a/<site>]}\n");
    expect_silent(RULES "  - {rule: a, who: everyone, unless: people, allow: publish, topics: [a/<site>]}\n");
    expect_silent(RULES "  - {rule: a, mode: monitor, who: everyone, deny: publish, topics: [a/<site>]}\n");
    expect_silent(RULES "  - {rule: a, who: everyone, allow: publish, topics: [a/<username>]}\n");
    /* Nobody knows whether the password file has a name that fits. */
    static const char named[] =
        IDENTITY "groups:\n  plcs: {%sids: [plc-*]}\n"
                 "rules:\n  - {rule: a, who: plcs, allow: publish, topics: [a/<site>]}\n";
    char text[400];
    snprintf(text, sizeof(text), named, "");
    expect_silent(text);
    snprintf(text, sizeof(text), named, "source: password, ");
    struct fixture fixture = fixture_good(text);
    cr_expect_not_null(
        strstr(fixture.messages, "from connecting: they have no <site>"), "%s", fixture.messages);
    fixture_free(&fixture);
}

Test(lint, client_ids_that_fit)
{
    expect_silent("version: 1\npolicy: p\nidentity: [broker: {id: client_id}]\nclient_id: \"*<id>*\"\n"
                  "groups: {devs: {ids: [\"*-7\"]}}\n"
                  "rules: [{rule: a, who: devs, allow: publish, topics: [a]}]\n");
    expect_silent("version: 1\npolicy: p\nidentity: [broker: {id: client_id}]\nclient_id: \"dev-*\"\n"
                  "groups: {devs: {ids: [\"*-7\"]}}\n"
                  "rules: [{rule: a, who: devs, allow: publish, topics: [a]}]\n");
}

Test(lint, excepts_that_take_something)
{
    expect_silent(
        RULES "  - {rule: a, who: devices, allow: publish, topics: [a/#], except: [a/<id>, +/x]}\n");
    expect_silent(RULES "  - {rule: a, who: devices, allow: publish, topics: [<id>/#], except: [a/b]}\n");
    expect_silent(RULES "  - {rule: a, who: devices, deny: publish, topics: [$a<id>/x], except: [$ab/x]}\n");
}

Test(lint, plain_text_that_looks_like_a_placeholder)
{
    expect_silent(RULES "  - {rule: a, who: devices, deny: publish, topics: [a/%d, \"b/$x\", \"c/100%\"]}\n");
}

/* All good policies but those that are there for their warnings. */
Test(lint, is_silent_about_good_policies)
{
    DIR *folder = opendir(MQWARD_SOURCE_DIR "/tests/policies/good");
    cr_assert_not_null(folder);
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        struct view name = view_of_string(entry->d_name);
        bool about_warnings = strstr(entry->d_name, "lints") != NULL || view_equal(name, VIEW("minimal.txt"));
        cr_expect(about_warnings || !view_ends_with(name, VIEW(".txt")), "%s", entry->d_name);
    }
    closedir(folder);
}

/* Thousands of rules about the same topics cost a bounded time, and the linter says what it left out. */
Test(lint, many_rules_that_share_topics, .timeout = 60)
{
    struct buffer text = {0};
    buffer_append(&text, VIEW("version: 1\npolicy: p\nidentity: [anonymous: {}]\nrules:\n"));
    for (int i = 0; i < 10000; i++)
        buffer_format(&text,
            "  - {rule: r%d, who: everyone, %s: publish, topics: [dt/+/%d, dt/#], if: {retain: %s}}\n", i,
            i % 2 == 0 ? "allow" : "deny", i, i % 4 < 2 ? "true" : "false");
    buffer_append_byte(&text, '\0');
    struct fixture fixture = fixture_compile((const char *)buffer_view(&text).data);
    cr_expect_not_null(fixture.policy);
    cr_expect_not_null(strstr(fixture.messages, "can never"));
    fixture_free(&fixture);
    buffer_release(&text);
}

static bool overlaps(const char *a, const char *b)
{
    bool result = glob_overlaps(view_of_string(a), view_of_string(b));
    cr_expect_eq(result, glob_overlaps(view_of_string(b), view_of_string(a)), "%s %s", a, b);
    return result;
}

Test(lint, globs_that_some_text_fits_both_of)
{
    cr_expect(overlaps("", "*"));
    cr_expect(overlaps("a*", "*b"));
    cr_expect(overlaps("a*c", "*b*"));
    cr_expect(overlaps("dev-*", "*-7"));
    cr_expect(overlaps("**", ""));
    cr_expect(overlaps("a*b*c", "abc"));
    cr_expect_not(overlaps("", "a"));
    cr_expect_not(overlaps("a", "b"));
    cr_expect_not(overlaps("a*", "b*"));
    cr_expect_not(overlaps("*a", "*b"));
    cr_expect_not(overlaps("a*b", "ac"));
    cr_expect_not(overlaps("plc-*", "dev-*"));
}

/* The same as trying texts, for all globs of up to four bytes. */
Test(lint, globs_and_texts)
{
    static const char bytes[] = "ab*";
    static char globs[121][5], texts[127][7];
    size_t glob_count = 0, text_count = 0;
    for (int length = 0; length <= 4; length++) {
        int total = 1;
        for (int i = 0; i < length; i++)
            total *= 3;
        for (int n = 0; n < total; n++, glob_count++) {
            for (int i = 0, rest = n; i < length; i++, rest /= 3)
                globs[glob_count][i] = bytes[rest % 3];
        }
    }
    for (int length = 0; length <= 6; length++) {
        for (int n = 0; n < 1 << length; n++, text_count++) {
            for (int i = 0; i < length; i++)
                texts[text_count][i] = bytes[n >> i & 1];
        }
    }
    cr_assert_eq(glob_count, 121);
    cr_assert_eq(text_count, 127); /* the longest that two such globs need has six bytes */
    for (size_t a = 0; a < glob_count; a++) {
        for (size_t b = 0; b < glob_count; b++) {
            bool any = false;
            for (size_t t = 0; t < text_count && !any; t++)
                any = glob_matches(view_of_string(globs[a]), view_of_string(texts[t])) &&
                      glob_matches(view_of_string(globs[b]), view_of_string(texts[t]));
            cr_expect_eq(any, overlaps(globs[a], globs[b]), "%s %s", globs[a], globs[b]);
        }
    }
}
