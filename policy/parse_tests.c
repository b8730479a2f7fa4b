/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the keywords of tests:. Called by the table of parse.c. What the texts say is read by compile_tests.c,
 * which knows the identities and rules. */
#include "policy/parse.h"

#define TEST(field) offsetof(struct parsed_test, field)
const struct keyword parse_test_table[] = {
    {.name = "as",
        .set = keyword_set_string,
        .offset = TEST(as),
        .flags = KEYWORD_REQUIRED,
        .value = "client",
        .example = "cert plc-7 site=a",
        .help =
            "The client: its identity source, its identity, and `name=value` words: `cert plc-7 site=a`."},
    {.name = "allow",
        .set = keyword_set_strings,
        .offset = TEST(allow),
        .flags = KEYWORD_ONE_OR_MANY,
        .seen_offset = 1 + TEST(has_allow),
        .example = "[publish dt/a/plc-7/temp]",
        .value = "act or list of acts",
        .help = "What the client must be able to do: `publish dt/a/plc-7/temp qos=1`."},
    {.name = "deny",
        .set = keyword_set_strings,
        .offset = TEST(deny),
        .flags = KEYWORD_ONE_OR_MANY,
        .seen_offset = 1 + TEST(has_deny),
        .example = "[publish fw/a]",
        .value = "act or list of acts",
        .help = "What it must not be able to do: `publish fw/a by firmware-guard`."},
    {.foreign = parse_foreign_test},
};

int parse_set_tests(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct parsed_tests *tests = (void *)((char *)target + keyword->offset);
    if (keyword_expect(context, node, keyword->name, YAML_SEQUENCE) != 0)
        return -1;
    int result = 0;
    tests->items = arena_calloc(context->arena, node->count, sizeof(*tests->items));
    tests->count = 0;
    /* A test with an error stays, as far as it was read: the compiler finds its other errors. */
    for (const struct yaml_node *item = node->first; item != NULL; item = item->next) {
        struct parsed_test *test = &tests->items[tests->count++];
        if (keyword_read(context, parse_test_table, test, item) != 0)
            result = -1;
        else if (!test->has_allow && !test->has_deny)
            result = keyword_error(
                context, item, "allow: [publish dt/a/plc-7/temp]", "a test needs allow or deny");
    }
    return result;
}
