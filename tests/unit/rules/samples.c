/* SPDX-License-Identifier: Apache-2.0 */
/* Samples of rules: which names a rule's meta has, where their files are, and what a file says of a message;
 * rules one by one, and what they cost. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "machine.h"
#include "rules/samples.h"

struct samples {
    char folder[FOLDER_SIZE];
    struct diag_list *diag;
    struct scan_rules *rules;
    struct sample sample;
};

static void make_folder(const struct samples *s, const char *name)
{
    char *path = memory_format("%s/%s", s->folder, name);

    cr_assert_eq(mkdir(path, 0700), 0);
    free(path);
}

static void put(const struct samples *s, const char *name, const char *text)
{
    folder_write(s->folder, name, view_of_string(text));
}

/* rules: of FOLDER/iot/a.yar. */
static void setup(struct samples *s, const char *rules, const struct scan_load *how)
{
    *s = (struct samples){.diag = diag_list_new()};
    folder_make(s->folder);
    make_folder(s, "iot");
    make_folder(s, "iot/samples");
    make_folder(s, "samples");
    put(s, "iot/a.yar", rules);
    const char *path = memory_format("%s/iot", s->folder);
    const struct scan_source source = {
        .name = "iot", .paths = &path, .path_count = 1, .place = {diag_add_source(s->diag, "iot"), 0, 0, 0}};
    s->rules = scan_rules_load_with(&source, 1, s->diag, how);
    if (s->rules == NULL)
        diag_print(s->diag, stderr);
    cr_assert_not_null(s->rules);
    free((char *)path);
}

static void teardown(struct samples *s)
{
    sample_release(&s->sample);
    scan_rules_release(s->rules);
    diag_list_free(s->diag);
    folder_remove(s->folder);
}

static bool take(struct samples *s, const char *name)
{
    char *path = memory_format("%s/%s", s->folder, name);

    sample_release(&s->sample);
    bool good = sample_read(&s->sample, path, s->diag);
    free(path);
    return good;
}

static const struct scan_load as_served;
static const char plain[] = "rule r { strings: $a = \"needle\" condition: $a }";

#define expect_text(view, text) cr_expect(view_equal_string(view, text), "%.*s", VIEW_ARGS(view))

/* ---- names ---- */

Test(samples, names_of_all_meta_one_by_one)
{
    struct samples s;
    size_t next = 0;

    setup(&s,
        "rule r { meta: sample_hit = \"  a.b64\tb \" sample_miss = \"c\" sample_hit = 5 sample_hit = \"d\" "
        "strings: $a = \"needle\" condition: $a }",
        &as_served);
    const struct scan_rule *rule = scan_rules_at(s.rules, 0);
    expect_text(sample_next(rule, SAMPLE_HIT, &next), "a.b64");
    expect_text(sample_next(rule, SAMPLE_HIT, &next), "b");
    expect_text(sample_next(rule, SAMPLE_HIT, &next), "?");
    expect_text(sample_next(rule, SAMPLE_HIT, &next), "d");
    expect_text(sample_next(rule, SAMPLE_HIT, &next), "");
    expect_text(sample_next(rule, SAMPLE_HIT, &next), "");
    next = 0;
    expect_text(sample_next(rule, SAMPLE_MISS, &next), "c");
    expect_text(sample_next(rule, SAMPLE_MISS, &next), "");
    teardown(&s);
}

Test(samples, a_rule_knows_where_it_stands)
{
    struct samples s;

    setup(&s, "\nrule one { condition: true }\n\nprivate rule two\n{ condition: true }\n", &as_served);
    cr_expect(view_ends_with(view_of_string(scan_rules_at(s.rules, 0)->path), VIEW("/iot/a.yar")));
    cr_expect_eq(scan_rules_at(s.rules, 0)->line, 2);
    cr_expect_eq(scan_rules_at(s.rules, 1)->line, 4);
    teardown(&s);
}

/* ---- files ---- */

static void expect_found(const struct samples *s, const char *name, const char *end)
{
    char *path = sample_find(scan_rules_at(s->rules, 0), view_of_string(name));

    if (end == NULL)
        cr_expect_null(path, "%s: %s", name, path);
    else
        cr_expect(
            path != NULL && view_ends_with(view_of_string(path), view_of_string(end)), "%s: %s", name, path);
    free(path);
}

Test(samples, beside_the_rule_or_above)
{
    struct samples s;

    setup(&s, plain, &as_served);
    put(&s, "iot/samples/near", "");
    put(&s, "samples/near", "");
    put(&s, "samples/above", "");
    put(&s, "iot/secret", "");
    expect_found(&s, "near", "/iot/samples/near");
    expect_found(&s, "above", "/iot/../samples/above");
    expect_found(&s, "nowhere", NULL);
    /* A rule that somebody else wrote reads nothing else. */
    expect_found(&s, "../secret", NULL);
    expect_found(&s, "/etc/passwd", NULL);
    expect_found(&s, "..", NULL);
    expect_found(&s, "", NULL);
    teardown(&s);
}

Test(samples, base64_is_decoded_and_nothing_else_is_taken_for_it)
{
    struct samples s;

    setup(&s, plain, &as_served);
    put(&s, "samples/good.b64", "bmVl\nZGxl\n");
    put(&s, "samples/padded.b64", "bmVlZGxlcw==");
    put(&s, "samples/bad.b64", "{\"a\":1}");
    put(&s, "samples/raw", "bmVl\n");
    cr_expect(take(&s, "samples/good.b64"));
    expect_text(buffer_view(&s.sample.bytes), "needle");
    cr_expect_eq(s.sample.context.payload_size, 6);
    cr_expect(take(&s, "samples/padded.b64"));
    expect_text(buffer_view(&s.sample.bytes), "needles");
    cr_expect(take(&s, "samples/raw"));
    expect_text(buffer_view(&s.sample.bytes), "bmVl\n");
    cr_expect_eq(diag_errors(s.diag), 0);
    cr_expect_not(take(&s, "samples/bad.b64"));
    cr_expect_not(take(&s, "samples/nowhere"));
    cr_expect_not(take(&s, "samples"), "a folder is no message");
    cr_expect_eq(diag_errors(s.diag), 3);
    teardown(&s);
}

Test(samples, a_pipe_does_not_hold_it_up)
{
    struct samples s;

    setup(&s, plain, &as_served);
    char *path = memory_format("%s/samples/pipe", s.folder);
    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_expect_not(take(&s, "samples/pipe"));
    free(path);
    teardown(&s);
}

Test(samples, the_context_of_a_message)
{
    struct samples s;

    setup(&s, plain, &as_served);
    put(&s, "samples/m", "x");
    cr_expect(take(&s, "samples/m"));
    expect_text(s.sample.context.topic, "dt/plant-1/device-7/state");
    put(&s, "samples/m.context",
        "topic fw/a b\r\n\nclient_id c\nusername u\nidentity i\ngroups g,h\ncontent_type text/plain\n"
        "direction out\nqos 2\nretain true");
    cr_expect(take(&s, "samples/m"));
    const struct scan_context *context = &s.sample.context;
    expect_text(context->topic, "fw/a b");
    expect_text(context->client_id, "c");
    expect_text(context->username, "u");
    expect_text(context->identity, "i");
    expect_text(context->groups, "g,h");
    expect_text(context->content_type, "text/plain");
    cr_expect(context->outbound && context->retain && context->qos == 2);
    cr_expect_eq(diag_errors(s.diag), 0);
    put(&s, "samples/m.context", "topics a\nqos 3\nretain yes\ndirection up\n");
    cr_expect_not(take(&s, "samples/m"));
    cr_expect_eq(diag_errors(s.diag), 4);
    teardown(&s);
}

Test(samples, folders_of_messages)
{
    struct samples s;
    const char *const *paths;
    struct arena *arena = arena_new();
    size_t count;

    setup(&s, plain, &as_served);
    char *folder = memory_format("%s/samples", s.folder), *empty = memory_format("%s/iot/samples", s.folder);
    make_folder(&s, "samples/deep");
    put(&s, "samples/b", "");
    put(&s, "samples/a", "");
    put(&s, "samples/a.context", "");
    put(&s, "samples/.hidden", "");
    put(&s, "samples/deep/c", "");
    char *link = memory_format("%s/samples/deep/round", s.folder);
    cr_assert_eq(symlink("..", link), 0);
    cr_expect(sample_list(folder, arena, &paths, &count, s.diag));
    cr_assert_eq(count, 3);
    cr_expect(view_ends_with(view_of_string(paths[0]), VIEW("/samples/a")));
    cr_expect(view_ends_with(view_of_string(paths[1]), VIEW("/samples/b")));
    cr_expect(view_ends_with(view_of_string(paths[2]), VIEW("/samples/deep/c")));
    cr_expect_eq(diag_errors(s.diag), 0);
    /* A trial with nothing is no success. */
    cr_expect_not(sample_list(empty, arena, &paths, &count, s.diag));
    cr_expect_not(sample_list("/nonexistent", arena, &paths, &count, s.diag));
    cr_expect_eq(diag_errors(s.diag), 2);
    free(folder);
    free(empty);
    free(link);
    arena_free(arena);
    teardown(&s);
}

/* ---- rules one by one ---- */

static const char three[] = "rule one { strings: $a = \"needle\" condition: $a }\n"
                            "rule two { strings: $a = \"thread\" condition: $a and one }\n"
                            "rule three { strings: $a = \"button\" condition: $a }\n";

Test(samples, groups_of_one_rule_tell_which_was_a_candidate)
{
    static const struct scan_load apart = {.group_rules = 1};
    static const struct scan_context context = {.topic = VIEW("t")};
    const struct scan_part part = {SCAN_PAYLOAD, VIEW("thread and button")};
    const struct scan_request request = {.sets = 1,
        .context = &context,
        .parts = &part,
        .part_count = 1,
        .max_scan = 1 << 20,
        .timeout_ns = UINT64_C(5000000000)};
    struct scan_result result;
    struct samples s;

    setup(&s, three, &apart);
    cr_assert_eq(scan_rules_stats(s.rules).groups, 3);
    struct scanner *scanner = scanner_new();
    scanner_scan(scanner, s.rules, &request, &result);
    cr_assert_eq(result.count, 1);
    cr_expect_str_eq(result.findings[0].rule->name, "three");
    for (size_t i = 0; i < 3; i++) {
        const struct scan_rule *rule;
        cr_expect_eq(scan_rules_group(s.rules, i, &rule, 1), 1);
        cr_expect_eq(scanner_group_calls(scanner, i), strcmp(rule->name, "one") != 0, "%s", rule->name);
    }
    scanner_free(scanner);
    teardown(&s);
}

struct heard {
    struct scan_finding findings[64];
    size_t count;
};

static void hear(void *context, const struct scan_finding *finding)
{
    struct heard *heard = context;

    heard->findings[heard->count++] = *finding;
}

Test(samples, all_findings_are_told)
{
    static const struct scan_context context = {.topic = VIEW("t")};
    const struct scan_part part = {SCAN_PAYLOAD, VIEW("needle")};
    struct heard heard = {.count = 0};
    struct scan_request request = {.sets = 1,
        .context = &context,
        .parts = &part,
        .part_count = 1,
        .max_scan = 1 << 20,
        .timeout_ns = UINT64_C(5000000000),
        .each = hear,
        .each_context = &heard};
    struct buffer text = {0};
    struct scan_result result;
    struct samples s;

    for (unsigned i = 0; i < 40; i++)
        buffer_format(&text, "rule r%u { strings: $a = \"needle\" condition: $a }\n", i);
    buffer_append_byte(&text, '\0');
    setup(&s, (const char *)buffer_view(&text).data, &as_served);
    struct scanner *scanner = scanner_new();
    for (unsigned i = 0; i < 2; i++) { /* the second time they are remembered */
        heard.count = 0;
        scanner_scan(scanner, s.rules, &request, &result);
        cr_assert_eq(result.count, 40);
        cr_assert_eq(heard.count, 40);
        cr_expect_eq(heard.findings[39].rule, scan_rules_at(s.rules, 39));
        cr_expect_eq(heard.findings[7].rule, result.findings[7].rule);
    }
    scanner_free(scanner);
    buffer_release(&text);
    teardown(&s);
}

struct costs {
    char names[256];
    struct scan_cost last;
};

static void note_cost(void *context, const struct scan_cost *cost)
{
    struct costs *costs = context;
    size_t used = strlen(costs->names);

    snprintf(costs->names + used, sizeof(costs->names) - used, "%s.%s ", cost->set, cost->rule);
    costs->last = *cost;
}

/* Its condition runs twenty times for each byte. */
Test(samples, each_rule_is_measured)
{
    struct costs costs = {.names = ""};
    const struct view messages[] = {VIEW("{\"temperature\":21.5,\"unit\":\"C\"}"), VIEW("")};
    const struct scan_measure measure = {messages, 2, note_cost, &costs};
    const struct scan_load how = {.measure = &measure};
    struct samples s;

    setup(&s,
        "rule cheap { strings: $a = \"something\" condition: $a }\n"
        "rule dear { condition: for any i in (0..filesize) : (for any k in (0..20) : "
        "(uint8(i + k) == 300)) }",
        &how);
    cr_expect_str_eq(costs.names, "iot.cheap iot.dear ");
    cr_expect_gt(costs.last.messages_ns, 10000);
    cr_expect_gt(costs.last.hostile_ns, 100000);
    cr_expect_not_null(costs.last.hostile);
    teardown(&s);
}
