/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/dialect.h"

#include <criterion/criterion.h>

#include "support.h"

struct row {
    enum dialect dialect;
    const char *text;
    const char *topic; /* NULL: malformed */
    unsigned features;
    bool shared;
};

static void expect_row(const struct row *row, bool of_name)
{
    struct dialect_topic found;
    struct view text = view_of_string(row->text);
    bool valid = of_name ? dialect_strip_name(row->dialect, text, &found)
                         : dialect_strip_filter(row->dialect, text, &found);
    cr_expect_eq(valid, row->topic != NULL, "%s %s", dialect_name(row->dialect), row->text);
    if (!valid)
        return;
    cr_expect(view_equal_string(found.topic, row->topic), "%s: %.*s", row->text, VIEW_ARGS(found.topic));
    cr_expect_eq(found.features, row->features, "%s: %u", row->text, found.features);
    cr_expect_eq(found.shared, row->shared, "%s", row->text);
}

Test(dialect, prefixes_of_filters)
{
    static const struct row rows[] = {
        {DIALECT_MOSQUITTO, "a/b", "a/b", 0, false},
        {DIALECT_MOSQUITTO, "$SYS/#", "$SYS/#", 0, false},
        {DIALECT_MOSQUITTO, "$share/g/a/+", "a/+", POLICY_FEATURE_SHARED, true},
        {DIALECT_AWS, "$share/g/#", "#", POLICY_FEATURE_SHARED, true},
        {DIALECT_MOSQUITTO, "$share/g//x", "/x", POLICY_FEATURE_SHARED, true},
        {DIALECT_MOSQUITTO, "$share", "$share", 0, false},
        {DIALECT_MOSQUITTO, "$share/", NULL, 0, false},
        {DIALECT_MOSQUITTO, "$share/g", NULL, 0, false},
        {DIALECT_MOSQUITTO, "$share/g/", NULL, 0, false},
        {DIALECT_MOSQUITTO, "$share//a", NULL, 0, false},
        {DIALECT_MOSQUITTO, "$share/+/a", NULL, 0, false},
        {DIALECT_MOSQUITTO, "$share/#", NULL, 0, false},
        {DIALECT_MOSQUITTO, "$share/g/$share/h/a", NULL, 0, false},
        {DIALECT_MOSQUITTO, "$queue/a", "$queue/a", 0, false},
        {DIALECT_NANOMQ, "$queue/a", "a", POLICY_FEATURE_QUEUE, true},
        {DIALECT_EMQX, "$queue/a/#", "a/#", POLICY_FEATURE_QUEUE, true},
        {DIALECT_EMQX, "$queue/", NULL, 0, false},
        {DIALECT_EMQX, "$queue/$share/g/a", NULL, 0, false},
        {DIALECT_EMQX, "$share/g/$queue/a", NULL, 0, false},
        {DIALECT_EMQX, "$exclusive/a", "a", POLICY_FEATURE_EXCLUSIVE, false},
        {DIALECT_EMQX, "$share/g/$exclusive/a", "a", POLICY_FEATURE_SHARED | POLICY_FEATURE_EXCLUSIVE, true},
        {DIALECT_EMQX, "$exclusive/$share/g/a", "$share/g/a", POLICY_FEATURE_EXCLUSIVE, false},
        {DIALECT_EMQX, "$stream/a", "a", POLICY_FEATURE_STREAM, false},
        {DIALECT_EMQX, "$delayed/5/a", "$delayed/5/a", 0, false},
        {DIALECT_HIVEMQ, "$exclusive/a", "$exclusive/a", 0, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_row(&rows[i], false);
}

Test(dialect, prefixes_of_names)
{
    static const struct row rows[] = {
        {DIALECT_EMQX, "$delayed/15/a/b", "a/b", POLICY_FEATURE_DELAYED, false},
        {DIALECT_EMQX, "$delayed/15/$delayed/1/a", "a", POLICY_FEATURE_DELAYED, false},
        {DIALECT_EMQX, "$delayed/a", NULL, 0, false},
        {DIALECT_EMQX, "$delayed/x/a", NULL, 0, false},
        {DIALECT_EMQX, "$delayed/-1/a", NULL, 0, false},
        {DIALECT_EMQX, "$delayed//a", NULL, 0, false},
        {DIALECT_EMQX, "$delayed/5/", NULL, 0, false},
        {DIALECT_EMQX, "$share/g/a", "$share/g/a", 0, false},
        {DIALECT_MOSQUITTO, "$delayed/15/a", "$delayed/15/a", 0, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_row(&rows[i], true);
}

Test(dialect, names_lead_back_to_dialects)
{
    for (int i = 0; i < DIALECT_COUNT; i++)
        cr_expect_eq(dialect_parse(view_of_string(dialect_name((enum dialect)i))), i);
    cr_expect_eq(dialect_parse(VIEW("Mosquitto")), -1);
}
