/* SPDX-License-Identifier: Apache-2.0 */
/* The families of /metrics: what workers count adds up, names are well made, and the table in
 * docs/metrics.md is that of the code. With MQWARD_BLESS=1 in the environment it is written there instead. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/metrics.h"
#include "proxy/slots.h"

#define MANUAL MQWARD_SOURCE_DIR "/docs/metrics.md"
#define BEGIN "<!-- reference: metrics -->\n"
#define END "<!-- end -->"

__attribute__((noinline)) static char *read_manual(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *in = fopen(MANUAL, "r");

    cr_assert_not_null(in, "docs/metrics.md is missing");
    cr_assert_geq(getdelim(&text, &size, '\0', in), 0);
    fclose(in);
    return text;
}

static void bless(const char *manual, size_t before, const char *after, struct view reference)
{
    FILE *out = fopen(MANUAL, "w");

    fwrite(manual, 1, before, out);
    fwrite(reference.data, 1, reference.length, out);
    fputs(after, out);
    fclose(out);
}

Test(metrics_manual, the_manual_holds_the_table_of_the_code)
{
    struct buffer reference = {0};
    char *manual = read_manual();
    char *start = strstr(manual, BEGIN);
    char *end = start == NULL ? NULL : strstr(start, END);

    metrics_print_reference(&reference);
    cr_assert_not_null(end, "docs/metrics.md has no table between its marks");
    start += strlen(BEGIN);
    if (getenv("MQWARD_BLESS") != NULL)
        bless(manual, (size_t)(start - manual), end, buffer_view(&reference));
    else
        cr_expect(view_equal(view_of(start, (size_t)(end - start)), buffer_view(&reference)),
            "docs/metrics.md differs from the families of the code; run this test with MQWARD_BLESS=1");
    free(manual);
    buffer_release(&reference);
}

static bool ends_in(const char *name, const char *end)
{
    return view_ends_with(view_of_string(name), view_of_string(end));
}

Test(metrics_families, names_say_units_and_kinds)
{
    for (size_t i = 0; i < METRICS_FAMILIES; i++) {
        const struct metrics_family *family = &metrics_families[i];

        cr_expect(strncmp(family->name, "mqward_", 7) == 0 || strncmp(family->name, "process_", 8) == 0, "%s",
            family->name);
        cr_expect_eq(family->type == METRICS_COUNTER, ends_in(family->name, "_total"), "%s", family->name);
        cr_expect(family->type != METRICS_HISTOGRAM || ends_in(family->name, "_seconds"), "%s", family->name);
        cr_expect(ends_in(family->help, "."), "%s", family->name);
        cr_expect_null(strchr(family->help, '|'), "%s", family->name);
    }
}

/* ---- two workers ---- */

static struct counters *workers[2];
static struct metrics_workers all;

static void read_rule(void *context, uint16_t slot, uint64_t *results)
{
    metrics_read_rule(context, slot, results);
}

static void set_up(void)
{
    for (size_t i = 0; i < 2; i++)
        workers[i] = counters_new();
    all = (struct metrics_workers){(const struct counters *const *)workers, 2,
        slots_new(SESSION_RULE_SLOTS, SESSION_RESULTS, read_rule, &all), NULL, NULL};
}

static void tear_down(void)
{
    slots_free((struct slots *)(uintptr_t)all.rules);
    for (size_t i = 0; i < 2; i++)
        counters_free(workers[i]);
}

static bool has(const struct buffer *text, const char *line)
{
    struct view v = buffer_view(text);

    return memmem(v.data, v.length, line, strlen(line)) != NULL;
}

static void write_all(struct buffer *out)
{
    struct metrics metrics;

    metrics_begin(&metrics, out);
    metrics_write_connections(&metrics, &all);
    metrics_write_broker_times(&metrics, &all);
    metrics_write_traffic(&metrics, &all);
    metrics_write_decisions(&metrics, &all);
    metrics_write_signatures(&metrics, &all);
    metrics_end(&metrics);
}

Test(metrics_workers, add_up, .init = set_up, .fini = tear_down)
{
    struct slots *slots = (struct slots *)(uintptr_t)all.rules;
    uint16_t slot = slots_take(slots, "rule", "odd \"name\"");
    struct buffer out = {0};

    counter_add(&workers[0]->session.rules[slot][SESSION_DENIED], 2);
    counter_add(&workers[1]->session.rules[slot][SESSION_DENIED], 3);
    counter_add(&workers[1]->session.rules[SESSION_SLOT_NONE][SESSION_DENIED], 1);
    counter_add(&workers[0]->session.decisions[SESSION_OPERATION_WILL][SESSION_MONITORED], 4);
    counter_add(&workers[0]->packets[COUNTERS_FROM_BROKER][3], 5);
    counter_add(&workers[1]->packets[COUNTERS_FROM_BROKER][3], 6);
    counter_add(&workers[0]->opened, 7);
    counter_add(&workers[1]->ended, 2);
    counter_add(&workers[1]->session.refusals[REASON_sig_replay], 8);
    counter_add(&workers[0]->session.shadow[SESSION_SHADOW_DENY], 9);
    counter_add(&workers[1]->session.shadow[SESSION_SHADOW_DENY], 1);
    histogram_add(&workers[0]->decision[COUNTERS_FROM_CLIENT], &histogram_short, 1000);
    histogram_add(&workers[1]->decision[COUNTERS_FROM_CLIENT], &histogram_short, 1001);
    write_all(&out);
    cr_expect(has(&out,
        "\nmqward_rule_decisions_total{rule=\"odd \\\"name\\\"\",kind=\"rule\",result=\"denied\"} 5\n"));
    cr_expect(
        has(&out, "\nmqward_rule_decisions_total{rule=\"_default\",kind=\"default\",result=\"denied\"} 1\n"));
    cr_expect(has(&out, "\nmqward_decisions_total{operation=\"will\",result=\"monitored\"} 4\n"));
    cr_expect(has(&out, "\nmqward_packets_total{direction=\"broker_to_client\",type=\"publish\"} 11\n"));
    cr_expect(has(&out, "\nmqward_sessions 5\n"));
    cr_expect(has(&out, "\nmqward_refusals_total{reason=\"sig_replay\"} 8\n"));
    cr_expect(has(&out, "\nmqward_shadow_differences_total{decision=\"deny\"} 10\n"));
    cr_expect(has(&out, "\nmqward_shadow_differences_total{decision=\"allow\"} 0\n"));
    cr_expect(has(&out, "\nmqward_refusals_total{reason=\"no_allow\"} 0\n"));
    cr_expect(has(&out,
        "\nmqward_decision_duration_seconds_bucket{direction=\"client_to_broker\",le=\"0.000001\"} 1\n"));
    cr_expect(has(&out, "\nmqward_decision_duration_seconds_count{direction=\"client_to_broker\"} 2\n"));
    cr_expect(
        has(&out, "\nmqward_decision_duration_seconds_sum{direction=\"client_to_broker\"} 0.000002001\n"));
    cr_expect_not(has(&out, "reason=\"started\""));
    slots_give(slots, slot);
    buffer_release(&out);
}

/* What a full table of rules costs the main thread is measured end to end; here it is bounded in size. */
Test(metrics_workers, a_scrape_is_bounded, .init = set_up, .fini = tear_down)
{
    struct slots *slots = (struct slots *)(uintptr_t)all.rules;
    struct buffer out = {0};
    char name[65];

    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "%064d", i);
        slots_take(slots, "rule", name);
    }
    write_all(&out);
    cr_assert_lt(buffer_length(&out), 2 << 20, "%zu bytes", buffer_length(&out));
    buffer_release(&out);
}
