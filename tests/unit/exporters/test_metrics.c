/* SPDX-License-Identifier: Apache-2.0 */
/* The text format of Prometheus: vectors of what is written, to the byte. promtool reads real scrapes in the
 * end-to-end tests. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>

#include "exporters/metrics.h"

static const struct metrics_family plain = {"a_b:c_1", METRICS_GAUGE, "", "Some thing."},
                                   counted = {"x_total", METRICS_COUNTER, "name,kind", "What."},
                                   timed = {"t_seconds", METRICS_HISTOGRAM, "at", "When."},
                                   untimed = {"u_seconds", METRICS_HISTOGRAM, "", "When."};

struct fixture {
    struct buffer out;
    struct metrics metrics;
};

static struct fixture *begin(struct fixture *fixture, const struct metrics_family *family)
{
    *fixture = (struct fixture){0};
    metrics_begin(&fixture->metrics, &fixture->out);
    metrics_family(&fixture->metrics, family);
    return fixture;
}

static void expect(struct fixture *fixture, const char *text)
{
    metrics_end(&fixture->metrics);
    cr_assert(view_equal_string(buffer_view(&fixture->out), text), "%.*s is not %s",
        VIEW_ARGS(buffer_view(&fixture->out)), text);
    buffer_release(&fixture->out);
}

static void add(struct fixture *fixture, struct view name, struct view kind, uint64_t value)
{
    const struct view values[] = {name, kind};

    metrics_value(&fixture->metrics, values, value);
}

Test(metrics, a_family_begins_with_its_help_and_type)
{
    struct fixture fixture;

    begin(&fixture, &plain);
    metrics_value(&fixture.metrics, NULL, 7);
    expect(&fixture, "# HELP a_b:c_1 Some thing.\n# TYPE a_b:c_1 gauge\na_b:c_1 7\n");
}

Test(metrics, a_family_without_series_is_not_there)
{
    struct fixture fixture;

    begin(&fixture, &plain);
    metrics_family(&fixture.metrics, &counted);
    add(&fixture, VIEW("a"), VIEW("b"), 1);
    metrics_family(&fixture.metrics, &timed);
    expect(&fixture, "# HELP x_total What.\n# TYPE x_total counter\nx_total{name=\"a\",kind=\"b\"} 1\n");
}

Test(metrics, help_and_label_values_are_escaped)
{
    static const struct metrics_family odd = {"o", METRICS_GAUGE, "l", "a \\ and\na \"quote\""};
    const struct view values[] = {VIEW("a\\b\"c\nd\te{},=\xC3\xA9\xF0\x9F\x90\xA2")};
    struct fixture fixture;

    begin(&fixture, &odd);
    metrics_value(&fixture.metrics, values, 1);
    expect(&fixture, "# HELP o a \\\\ and\\na \"quote\"\n# TYPE o gauge\n"
                     "o{l=\"a\\\\b\\\"c\\nd\te{},=\xC3\xA9\xF0\x9F\x90\xA2\"} 1\n");
}

Test(metrics, what_is_no_utf8_is_replaced)
{
    struct fixture fixture;

    begin(&fixture, &counted);
    add(&fixture, VIEW("a\xFFz"), VIEW("\xC3"), 1);
    add(&fixture, VIEW("\xED\xA0\x80"), VIEW(""), 2);
    expect(&fixture, "# HELP x_total What.\n# TYPE x_total counter\n"
                     "x_total{name=\"a\xEF\xBF\xBDz\",kind=\"\xEF\xBF\xBD\"} 1\n"
                     "x_total{name=\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\",kind=\"\"} 2\n");
}

Test(metrics, a_series_is_written_once)
{
    struct fixture fixture;

    begin(&fixture, &counted);
    add(&fixture, VIEW("a"), VIEW("b"), 1);
    add(&fixture, VIEW("b"), VIEW("a"), 2);
    add(&fixture, VIEW("a"), VIEW("b"), 3);
    add(&fixture, VIEW(""), VIEW("ab"), 4);
    expect(&fixture, "# HELP x_total What.\n# TYPE x_total counter\n"
                     "x_total{name=\"a\",kind=\"b\"} 1\nx_total{name=\"b\",kind=\"a\"} 2\n"
                     "x_total{name=\"\",kind=\"ab\"} 4\n");
}

Test(metrics, of_thousands_of_series_each_is_written_once)
{
    struct fixture fixture;
    size_t lines = 0;
    char name[16];

    begin(&fixture, &counted);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 5000; i++) {
            snprintf(name, sizeof(name), "n%d", i);
            add(&fixture, view_of_string(name), VIEW("k"), 1);
        }
    for (size_t i = fixture.out.start; i < fixture.out.end; i++)
        lines += fixture.out.data[i] == '\n';
    cr_assert_eq(lines, 2 + 5000);
    metrics_end(&fixture.metrics);
    buffer_release(&fixture.out);
}

Test(metrics, numbers_are_exact)
{
    static const struct {
        uint64_t value;
        unsigned digits;
        const char *text;
    } rows[] = {{0, 0, "0"}, {UINT64_MAX, 0, "18446744073709551615"}, {0, 9, "0"}, {1500, 3, "1.5"},
        {1, 9, "0.000000001"}, {1000000000, 9, "1"}, {1000000001, 9, "1.000000001"}, {100, 1, "10"},
        {UINT64_MAX, 18, "18.446744073709551615"}, {1760000000123456, 6, "1760000000.123456"}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fixture fixture;
        char text[160];

        begin(&fixture, &plain);
        metrics_decimal(&fixture.metrics, NULL, rows[i].value, rows[i].digits);
        snprintf(text, sizeof(text), "# HELP a_b:c_1 Some thing.\n# TYPE a_b:c_1 gauge\na_b:c_1 %s\n",
            rows[i].text);
        expect(&fixture, text);
    }
}

Test(metrics, a_histogram_counts_upwards)
{
    static const struct histogram_bounds bounds = {3, {500, 1000000, 2500000000}};
    const struct histogram_total total = {{1, 0, 2, 4}, 1234567890}, empty = {{0}, 0};
    const struct view values[] = {VIEW("x")};
    struct fixture fixture;

    begin(&fixture, &timed);
    metrics_histogram(&fixture.metrics, values, &bounds, &total);
    metrics_histogram(&fixture.metrics, values, &bounds, &empty); /* it is there already */
    metrics_family(&fixture.metrics, &untimed);
    metrics_histogram(&fixture.metrics, NULL, &bounds, &empty);
    expect(&fixture, "# HELP t_seconds When.\n# TYPE t_seconds histogram\n"
                     "t_seconds_bucket{at=\"x\",le=\"0.0000005\"} 1\n"
                     "t_seconds_bucket{at=\"x\",le=\"0.001\"} 1\n"
                     "t_seconds_bucket{at=\"x\",le=\"2.5\"} 3\n"
                     "t_seconds_bucket{at=\"x\",le=\"+Inf\"} 7\n"
                     "t_seconds_sum{at=\"x\"} 1.23456789\nt_seconds_count{at=\"x\"} 7\n"
                     "# HELP u_seconds When.\n# TYPE u_seconds histogram\n"
                     "u_seconds_bucket{le=\"0.0000005\"} 0\nu_seconds_bucket{le=\"0.001\"} 0\n"
                     "u_seconds_bucket{le=\"2.5\"} 0\nu_seconds_bucket{le=\"+Inf\"} 0\n"
                     "u_seconds_sum 0\nu_seconds_count 0\n");
}

Test(metrics, a_family_is_begun_once, .signal = SIGABRT)
{
    struct fixture fixture;

    begin(&fixture, &plain);
    metrics_family(&fixture.metrics, &counted);
    metrics_family(&fixture.metrics, &plain);
}

Test(metrics, a_counter_says_total, .signal = SIGABRT)
{
    static const struct metrics_family bad = {"x", METRICS_COUNTER, "", "What."};
    struct fixture fixture;

    begin(&fixture, &bad);
}
