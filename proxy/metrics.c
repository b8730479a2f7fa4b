/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the table of families, and how what the workers count becomes series. Called by server_metrics.c on
 * the main thread, for each scrape. Numbers of one scrape are read one after the other while workers go on:
 * each is right by itself. */
#include "proxy/metrics.h"

#include <assert.h>
#include <stdio.h>

#include "proxy/mqtt/mqtt.h"
#include "proxy/slots.h"

const struct metrics_family metrics_families[METRICS_FAMILIES] = {
#define FAMILY(identifier, name, type, labels, help) {name, METRICS_##type, labels, help},
#include "proxy/metrics_families.def"
#undef FAMILY
};

void metrics_begin_family(struct metrics *metrics, enum metrics_family_id id)
{
    metrics_family(metrics, &metrics_families[id]);
}

void metrics_single(struct metrics *metrics, enum metrics_family_id id, uint64_t value)
{
    metrics_single_decimal(metrics, id, value, 0);
}

void metrics_single_decimal(
    struct metrics *metrics, enum metrics_family_id id, uint64_t value, unsigned digits)
{
    metrics_begin_family(metrics, id);
    metrics_decimal(metrics, NULL, value, digits);
}

void metrics_one(struct metrics *metrics, const char *label, uint64_t value)
{
    const struct view values[] = {view_of_string(label)};

    metrics_value(metrics, values, value);
}

void metrics_two(struct metrics *metrics, const char *first, const char *second, uint64_t value)
{
    const struct view values[] = {view_of_string(first), view_of_string(second)};

    metrics_value(metrics, values, value);
}

/* ---- adding up ---- */

/* The counter at an offset of struct counters, of all workers. */
static uint64_t sum(const struct metrics_workers *workers, size_t offset)
{
    uint64_t total = 0;

    for (size_t i = 0; i < workers->count; i++)
        total +=
            counter_read((const struct counter *)(const void *)((const char *)workers->counters[i] + offset));
    return total;
}
#define SUM(workers, field) sum(workers, offsetof(struct counters, field))
/* Of an array of counters. */
#define SUM_AT(workers, field, index)                                                                        \
    sum(workers, offsetof(struct counters, field) + (index) * sizeof(struct counter))

static struct histogram_total sum_histogram(const struct metrics_workers *workers, size_t offset)
{
    struct histogram_total total = {0};

    for (size_t i = 0; i < workers->count; i++)
        histogram_collect(
            (const struct histogram *)(const void *)((const char *)workers->counters[i] + offset), &total);
    return total;
}
#define SUM_HISTOGRAM(workers, field) sum_histogram(workers, offsetof(struct counters, field))

/* ---- by reason ---- */

/* A reason whose code begins as list has it ("ACL SYS-1012"), and is none of those that mean no harm
 * ("CON-0001"), can be expected and is there from the start: who asks for its increase sees the first one,
 * too. */
static bool is_expected(enum reason reason, const char *list)
{
    const char *code = reason_info(reason)->code;

    while (code[4] != '0' && *list != '\0') {
        size_t length = strcspn(list, " ");

        if (strncmp(code, list, length) == 0)
            return true;
        list += length + (list[length] == ' ');
    }
    return false;
}

/* offset: of an array by reason. */
static void write_reasons(struct metrics *metrics, enum metrics_family_id id,
    const struct metrics_workers *workers, size_t offset, const char *expected)
{
    metrics_begin_family(metrics, id);
    for (enum reason reason = 0; reason < REASON_COUNT; reason++) {
        uint64_t count = sum(workers, offset + reason * sizeof(struct counter));

        if (count != 0 || is_expected(reason, expected))
            metrics_one(metrics, reason_info(reason)->name, count);
    }
}
#define WRITE_REASONS(metrics, id, workers, field, expected)                                                 \
    write_reasons(metrics, id, workers, offsetof(struct counters, field), expected)

/* ---- connections ---- */

uint64_t metrics_connections(const struct counters *counters)
{
    uint64_t freed = counter_read(&counters->freed), accepted = counter_read(&counters->accepted);

    return accepted > freed ? accepted - freed : 0;
}

uint64_t metrics_sessions(const struct metrics_workers *workers)
{
    uint64_t ended = SUM(workers, ended), opened = SUM(workers, opened);

    return opened > ended ? opened - ended : 0;
}

void metrics_write_connections(struct metrics *metrics, const struct metrics_workers *workers)
{
    static const char *const results[COUNTERS_HANDSHAKES] = {"full", "resumed", "failed"};
    const struct histogram_total handshake = SUM_HISTOGRAM(workers, handshake);

    WRITE_REASONS(
        metrics, METRICS_connections_refused, workers, session.connects_refused, "IDN TLS CON SYS-1012");
    WRITE_REASONS(metrics, METRICS_connections_closed, workers, closed, "CON");
    metrics_single(metrics, METRICS_sessions, metrics_sessions(workers));
    metrics_single(metrics, METRICS_sessions_opened, SUM(workers, opened));
    metrics_begin_family(metrics, METRICS_tls_handshakes);
    for (size_t i = 0; i < COUNTERS_HANDSHAKES; i++)
        metrics_one(metrics, results[i], SUM_AT(workers, handshakes, i));
    metrics_begin_family(metrics, METRICS_tls_handshake_duration);
    metrics_histogram(metrics, NULL, &histogram_long, &handshake);
    metrics_begin_family(metrics, METRICS_login_failures);
    for (enum reason reason = 0; reason < REASON_COUNT; reason++) {
        uint64_t count = SUM_AT(workers, login_failures, reason);

        if (count != 0 || reason == REASON_password_unknown_user || reason == REASON_password_wrong ||
            reason == REASON_logins_exceeded || reason == REASON_logins_busy)
            metrics_one(metrics, reason_info(reason)->name, count);
    }
}

void metrics_write_broker_times(struct metrics *metrics, const struct metrics_workers *workers)
{
    const struct histogram_total connect = SUM_HISTOGRAM(workers, broker_connect);

    metrics_begin_family(metrics, METRICS_broker_connect_duration);
    metrics_histogram(metrics, NULL, &histogram_long, &connect);
}

/* ---- packets ---- */

static const char *const directions[COUNTERS_DIRECTIONS] = {"client_to_broker", "broker_to_client"};

/* Reserved types (0, and 15 before 5.0) are broken protocol, and no packet was handed on. */
static const char *const types[COUNTERS_PACKET_TYPES] = {NULL, "connect", "connack", "publish", "puback",
    "pubrec", "pubrel", "pubcomp", "subscribe", "suback", "unsubscribe", "unsuback", "pingreq", "pingresp",
    "disconnect", "auth"};

void metrics_write_traffic(struct metrics *metrics, const struct metrics_workers *workers)
{
    metrics_begin_family(metrics, METRICS_packets);
    for (size_t d = 0; d < COUNTERS_DIRECTIONS; d++)
        for (size_t t = 1; t < COUNTERS_PACKET_TYPES; t++)
            metrics_two(
                metrics, directions[d], types[t], SUM_AT(workers, packets, d * COUNTERS_PACKET_TYPES + t));
    metrics_begin_family(metrics, METRICS_bytes);
    for (size_t d = 0; d < COUNTERS_DIRECTIONS; d++)
        metrics_one(metrics, directions[d], SUM_AT(workers, bytes, d));
}

/* ---- decisions ---- */

static const char *const operations[SESSION_OPERATIONS] = {"publish", "will", "subscribe", "receive"};
static const char *const results_of_rules[SESSION_RESULTS] = {"allowed", "denied", "monitored"};

void metrics_read_rule(const struct metrics_workers *workers, uint16_t slot, uint64_t *results)
{
    for (size_t r = 0; r < SESSION_RESULTS; r++)
        results[r] = SUM_AT(workers, session.rules, (size_t)slot * SESSION_RESULTS + r);
}

static void write_rule(struct metrics *metrics, const char *name, const char *kind, const uint64_t *results)
{
    for (size_t r = 0; r < SESSION_RESULTS; r++) {
        const struct view values[] = {
            view_of_string(name), view_of_string(kind), view_of_string(results_of_rules[r])};

        metrics_value(metrics, values, results[r]);
    }
}

static void write_rules(struct metrics *metrics, const struct slots *slots)
{
    struct slots_entry entry;
    uint16_t next = 0;

    metrics_begin_family(metrics, METRICS_rule_decisions);
    slots_fixed(slots, SESSION_SLOT_NONE, &entry);
    write_rule(metrics, "_default", "default", entry.results);
    while (slots_next(slots, &next, &entry))
        write_rule(metrics, entry.name, entry.kind, entry.results);
    slots_fixed(slots, SESSION_SLOT_OTHER, &entry);
    write_rule(metrics, "_other", "other", entry.results);
}

static void write_rate_limited(struct metrics *metrics, const struct metrics_workers *workers)
{
    static const enum reason reasons[] = {REASON_connection_limit, REASON_address_limit,
        REASON_connect_rate_exceeded, REASON_logins_exceeded, REASON_logins_busy, REASON_sessions_exceeded};

    metrics_begin_family(metrics, METRICS_rate_limited);
    metrics_one(metrics, reason_info(REASON_rate_exceeded)->name,
        SUM_AT(workers, session.refusals, REASON_rate_exceeded));
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        metrics_one(
            metrics, reason_info(reasons[i])->name, SUM_AT(workers, session.connects_refused, reasons[i]));
}

void metrics_write_decisions(struct metrics *metrics, const struct metrics_workers *workers)
{
    metrics_begin_family(metrics, METRICS_decisions);
    for (size_t o = 0; o < SESSION_OPERATIONS; o++)
        for (size_t r = 0; r < SESSION_RESULTS; r++)
            metrics_two(metrics, operations[o], results_of_rules[r],
                SUM_AT(workers, session.decisions, o * SESSION_RESULTS + r));
    write_rules(metrics, workers->rules);
    WRITE_REASONS(metrics, METRICS_refusals, workers, session.refusals, "ACL SIG YAR SYS-1012");
    WRITE_REASONS(metrics, METRICS_monitored, workers, session.monitored, "ACL SIG YAR IDN");
    metrics_begin_family(metrics, METRICS_shadow);
    metrics_one(metrics, "allow", SUM_AT(workers, session.shadow, SESSION_SHADOW_ALLOW));
    metrics_one(metrics, "deny", SUM_AT(workers, session.shadow, SESSION_SHADOW_DENY));
    write_rate_limited(metrics, workers);
    WRITE_REASONS(metrics, METRICS_protocol_errors, workers, session.protocol_errors, "MQT");
    metrics_begin_family(metrics, METRICS_decision_duration);
    for (size_t d = 0; d < COUNTERS_DIRECTIONS; d++) {
        const struct view values[] = {view_of_string(directions[d])};
        const struct histogram_total total =
            sum_histogram(workers, offsetof(struct counters, decision) + d * sizeof(struct histogram));

        metrics_histogram(metrics, values, &histogram_short, &total);
    }
}

/* ---- signatures ---- */

void metrics_write_signatures(struct metrics *metrics, const struct metrics_workers *workers)
{
    const struct histogram_total duration = SUM_HISTOGRAM(workers, session.signature);

    metrics_begin_family(metrics, METRICS_signatures);
    metrics_one(metrics, "valid", SUM_AT(workers, session.signatures, REASON_none));
    metrics_one(metrics, "none", SUM(workers, session.unsigned_messages));
    for (enum reason reason = 1; reason < REASON_COUNT; reason++) {
        uint64_t count = SUM_AT(workers, session.signatures, reason);

        if (count != 0 || is_expected(reason, "SIG"))
            metrics_one(metrics, reason_info(reason)->name, count);
    }
    metrics_begin_family(metrics, METRICS_signature_duration);
    metrics_histogram(metrics, NULL, &histogram_short, &duration);
}

/* ---- scans ---- */

static const char *const places[SESSION_SCAN_PLACES] = {"inline", "pool"};
static const char *const outcomes[SESSION_SCAN_OUTCOMES] = {"clean", "matched", "incomplete", "failed"};

void metrics_read_set(const struct metrics_workers *workers, uint16_t slot, uint64_t *results)
{
    for (size_t r = 0; r < SESSION_SCAN_OUTCOMES; r++)
        results[r] = SUM_AT(workers, session.sets, (size_t)slot * SESSION_SCAN_OUTCOMES + r);
}

static void write_sets(struct metrics *metrics, const struct slots *slots)
{
    struct slots_entry entry;
    uint16_t next = 0;

    metrics_begin_family(metrics, METRICS_set_scans);
    while (slots_next(slots, &next, &entry))
        for (size_t r = 0; r < SESSION_SCAN_OUTCOMES; r++)
            metrics_two(metrics, entry.name, outcomes[r], entry.results[r]);
    slots_fixed(slots, SESSION_SLOT_OTHER, &entry);
    for (size_t r = 0; r < SESSION_SCAN_OUTCOMES; r++)
        metrics_two(metrics, "_other", outcomes[r], entry.results[r]);
}

void metrics_write_scans(struct metrics *metrics, const struct metrics_workers *workers)
{
    const struct histogram_total here = SUM_HISTOGRAM(workers, scan);
    const struct view values[SESSION_SCAN_PLACES][1] = {
        {view_of_string(places[SESSION_SCAN_INLINE])}, {view_of_string(places[SESSION_SCAN_POOL])}};

    metrics_begin_family(metrics, METRICS_scans);
    for (size_t p = 0; p < SESSION_SCAN_PLACES; p++)
        for (size_t r = 0; r < SESSION_SCAN_OUTCOMES; r++)
            metrics_two(metrics, places[p], outcomes[r],
                SUM_AT(workers, session.scans, p * SESSION_SCAN_OUTCOMES + r));
    write_sets(metrics, workers->sets);
    metrics_begin_family(metrics, METRICS_scan_duration);
    metrics_histogram(metrics, values[SESSION_SCAN_INLINE], &histogram_long, &here);
    metrics_histogram(metrics, values[SESSION_SCAN_POOL], &histogram_long, workers->scans);
}

/* ---- the manual ---- */

void metrics_print_reference(struct buffer *out)
{
    buffer_append(out, VIEW("| family | type | labels | |\n|---|---|---|---|\n"));
    for (size_t i = 0; i < METRICS_FAMILIES; i++) {
        const struct metrics_family *family = &metrics_families[i];

        buffer_format(out, "| `%s` | %s | ", family->name, metrics_type_name(family->type));
        for (const char *label = family->labels; *label != '\0';) {
            size_t length = strcspn(label, ",");

            buffer_format(out, "%s`%.*s`", label == family->labels ? "" : ", ", (int)length, label);
            label += length + (label[length] == ',');
        }
        buffer_format(out, " | %s |\n", family->help);
    }
}
