/* SPDX-License-Identifier: Apache-2.0 */
/* What a message may cost, whatever it is made of: bounds of work and of time, for a loop and for the pool.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/memory.h"
#include "machine.h"
#include "rules/scanner.h"

#define PARTS 700

struct bounded {
    struct scan_rules *rules;
    struct scanner *scanner;
    struct scan_context context;
    struct scan_request request;
    struct scan_part parts[PARTS];
    struct buffer bytes;
    struct scan_result result;
};

static void setup_rules(struct bounded *b, struct view rules, uint64_t budget_ns)
{
    char folder[FOLDER_SIZE];
    struct diag_list *diag = diag_list_new();
    const char *path = folder;
    const struct scan_source source = {.name = "a", .paths = &path, .path_count = 1, .budget_ns = budget_ns};

    folder_make(folder);
    folder_write(folder, "a.yar", rules);
    *b = (struct bounded){.rules = scan_rules_load(&source, 1, diag), .scanner = scanner_new()};
    cr_assert_not_null(b->rules);
    b->request = (struct scan_request){.sets = 1,
        .context = &b->context,
        .parts = b->parts,
        .part_count = 1,
        .max_scan = 1 << 20,
        .timeout_ns = UINT64_C(60000000000),
        .views = SCAN_VIEWS_ALL};
    folder_remove(folder);
    diag_list_free(diag);
}

static void setup_with(struct bounded *b, uint64_t budget_ns)
{
    setup_rules(b, VIEW("rule evil { strings: $a = \"EVIL-ONE\" condition: $a }"), budget_ns);
}

static void setup(struct bounded *b)
{
    setup_with(b, 100000);
}

static void teardown(struct bounded *b)
{
    buffer_release(&b->bytes);
    scanner_free(b->scanner);
    scan_rules_release(b->rules);
}

/* Appends what inflates to size bytes, of which the first say number. */
static void add_gzip(struct buffer *out, size_t size, unsigned number)
{
    struct buffer text = {0};
    z_stream stream = {0};

    buffer_format(&text, "%08u", number);
    while (buffer_length(&text) < size)
        buffer_append(&text, VIEW("{\"t\":21.5},"));
    cr_assert_eq(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&stream, size);
    stream.next_in = text.data + text.start;
    stream.avail_in = (uInt)size;
    stream.next_out = buffer_reserve(out, room);
    stream.avail_out = (uInt)room;
    cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out->end += room - stream.avail_out;
    deflateEnd(&stream);
    buffer_release(&text);
}

static void scan(struct bounded *b)
{
    scanner_scan(b->scanner, b->rules, &b->request, &b->result);
}

/* Members that are no streams of one another, of the same bytes or of different ones. */
static void one_part(struct bounded *b, unsigned members, size_t size, bool differ)
{
    buffer_clear(&b->bytes);
    for (unsigned i = 0; i < members; i++) {
        buffer_append(&b->bytes, VIEW("-"));
        add_gzip(&b->bytes, size, differ ? i : 0);
    }
    b->parts[0] = (struct scan_part){SCAN_PAYLOAD, buffer_view(&b->bytes)};
    b->request.part_count = 1;
}

Test(bounds, what_is_inflated_counts_also_where_it_is_no_new_view)
{
    struct bounded b;
    setup(&b);
    one_part(&b, 50, 8192, false);
    scan(&b);
    cr_expect(b.result.work >= 50 * 8192, "%zu", (size_t)b.result.work);
    cr_expect(!b.result.given_up);
    teardown(&b);
}

Test(bounds, a_loop_gives_up_what_takes_long_and_says_what_it_cost)
{
    struct bounded b;
    setup(&b);
    one_part(&b, 50, 8192, false);
    scan_request_for_loop(&b.request);
    scan(&b);
    cr_expect(b.result.given_up);
    cr_expect(b.result.work > 0 && b.result.work < 50 * 8192, "%zu", (size_t)b.result.work);
    one_part(&b, 50, 8192, true);
    scan(&b);
    cr_expect(b.result.given_up);
    one_part(&b, 1, 8192, true);
    scan(&b);
    cr_expect(!b.result.given_up && b.result.complete);
    teardown(&b);
}

Test(bounds, a_loop_gives_up_where_libyara_would_get_too_much)
{
    struct bounded b;
    setup(&b);
    while (buffer_length(&b.bytes) < 64 * 1024)
        buffer_append(&b.bytes, VIEW("EVIL-ONE "));
    b.parts[0] = (struct scan_part){SCAN_PAYLOAD, buffer_view(&b.bytes)};
    scan(&b);
    cr_expect(b.result.count == 1 && !b.result.given_up);
    scan_request_for_loop(&b.request);
    scan(&b);
    cr_expect(b.result.given_up);
    b.parts[0].bytes.length = 512;
    scan(&b);
    cr_expect(b.result.count == 1 && !b.result.given_up);
    teardown(&b);
}

/* Nothing else bounds what such a set costs. */
Test(bounds, rules_without_a_budget_are_not_for_a_loop)
{
    struct bounded b;
    setup_with(&b, 0);
    b.parts[0] = (struct scan_part){SCAN_PAYLOAD, VIEW("an EVIL-ONE")};
    scan_request_for_loop(&b.request);
    scan(&b);
    cr_expect(b.result.given_up);
    b.parts[0].bytes = VIEW("a good one");
    scan(&b);
    cr_expect(!b.result.given_up);
    b.request.work_max = 0;
    b.parts[0].bytes = VIEW("an EVIL-ONE");
    scan(&b);
    cr_expect_eq(b.result.count, 1);
    teardown(&b);
}

Test(bounds, what_meets_no_rule_and_hides_nothing_takes_no_work)
{
    struct bounded b;
    setup(&b);
    b.parts[0] = (struct scan_part){SCAN_PAYLOAD, VIEW("{\"device\":\"plc-1\",\"temperature\":21.5}")};
    scan_request_for_loop(&b.request);
    scan(&b);
    cr_expect_eq(b.result.work, 0);
    teardown(&b);
}

/* Else a message of many User Properties would be many messages. */
Test(bounds, the_parts_of_a_message_share_its_bounds)
{
    struct bounded b;
    size_t starts[PARTS + 1];
    setup(&b);
    for (unsigned i = 0; i < PARTS; i++) {
        starts[i] = buffer_length(&b.bytes);
        add_gzip(&b.bytes, 8192, i);
    }
    starts[PARTS] = buffer_length(&b.bytes);
    for (unsigned i = 0; i < PARTS; i++)
        b.parts[i] = (struct scan_part){
            SCAN_USER_PROPERTY, view_of(buffer_view(&b.bytes).data + starts[i], starts[i + 1] - starts[i])};
    scan(&b);
    cr_expect(b.result.complete, "one of them is no work");
    b.request.part_count = PARTS;
    scan(&b);
    cr_expect(!b.result.complete);
    cr_expect_str_eq(b.result.incomplete, "output");
    cr_expect_null(b.result.error);
    teardown(&b);
}

Test(bounds, the_time_is_that_of_decoding_too)
{
    struct bounded b;
    setup(&b);
    one_part(&b, 200, 8192, false);
    b.request.timeout_ns = 1;
    scan(&b);
    cr_assert_not_null(b.result.error);
    cr_expect_str_eq(b.result.error, "timeout");
    cr_expect(!b.result.complete && !b.result.given_up);
    teardown(&b);
}

/* Else harmless findings put in front would hide the one that matters. */
Test(bounds, what_is_listed_has_each_rule_and_the_worst)
{
    struct bounded b;
    struct buffer rules = {0};
    size_t critical = 0, distinct = 0;

    buffer_append(&rules,
        VIEW("rule evil { meta: severity = \"critical\" strings: $a = \"EVIL-ONE\" condition: $a }\n"));
    for (unsigned i = 0; i < 40; i++)
        buffer_format(&rules,
            "rule low_%u { meta: severity = \"low\" strings: $a = \"LOW-%03u\" condition: $a }\n", i, i);
    setup_rules(&b, buffer_view(&rules), 100000);
    for (unsigned i = 0; i < PARTS - 1; i++) /* forty rules, each many times, then the one */
        b.parts[i] = (struct scan_part){SCAN_USER_PROPERTY, VIEW("LOW-000 LOW-001")};
    for (unsigned i = 0; i < 40; i++)
        buffer_format(&b.bytes, "LOW-%03u ", i);
    b.parts[PARTS - 2] = (struct scan_part){SCAN_USER_PROPERTY, buffer_view(&b.bytes)};
    b.parts[PARTS - 1] = (struct scan_part){SCAN_USER_PROPERTY, VIEW("EVIL-ONE")};
    b.request.part_count = PARTS;
    b.request.views = 0;
    scan(&b);
    cr_expect_eq(b.result.count, 2 * (PARTS - 2) + 40 + 1);
    for (size_t i = 0; i < SCAN_FINDINGS_MAX; i++) {
        bool before = false;
        for (size_t k = 0; k < i; k++)
            before = before || b.result.findings[k].rule == b.result.findings[i].rule;
        distinct += !before;
        critical += strcmp(b.result.findings[i].rule->name, "evil") == 0;
    }
    cr_expect_eq(critical, 1);
    cr_expect_eq(distinct, SCAN_FINDINGS_MAX);
    buffer_release(&rules);
    teardown(&b);
}
