/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what mqward-bench-checks measures: a PUBLISH through a session whose decision is remembered, with
 * checks of rates and without. The limits are such that everything passes. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/diag.h"
#include "base/memory.h"
#include "micro.h"
#include "policy/policy.h"
#include "proxy/counters.h"
#include "proxy/rates.h"
#include "proxy/session/session.h"

#define MESSAGES 1000
#define BATCH 195 /* messages that come at once: one TLS record */

static const struct checks_case {
    const char *name;
    const char *checks;
    bool counted; /* for metrics, as the daemon does */
} cases[] = {
    {"publish, no checks", "", false},
    {"publish, no checks, counted", "", true},
    {"publish, a check of other topics",
        "checks:\n  - {check: a, topics: \"other/#\", rate: {per: id, messages: 1000000/s}}\n", false},
    {"publish, a check of messages",
        "checks:\n  - {check: a, topics: \"#\", rate: {per: id, messages: 1000000/s}}\n", false},
    {"publish, a check of messages and bytes",
        "checks:\n  - {check: a, topics: \"#\", rate: {per: id, messages: 1000000/s, bytes: 16GiB/s}}\n",
        false},
    {"publish, three checks of messages",
        "checks:\n  - {check: a, topics: \"#\", rate: {per: id, messages: 1000000/s}}\n"
        "  - {check: b, topics: \"#\", rate: {per: address, messages: 1000000/s}}\n"
        "  - {check: c, topics: \"#\", rate: {per: group, messages: 1000000/s}}\n",
        false},
};

#define CASES (sizeof(cases) / sizeof(cases[0]))

struct checked {
    struct session_hooks hooks;
    struct policy *policy;
    struct session_settings settings;
    struct session_peer peer;
    struct session *session;
    struct counters *counters;
    struct rates *rates;
    struct rate_set *set;
    uint64_t now_ns, ahead_ns; /* ahead of the clock, so that the rate is never exceeded */
    struct buffer to_client, to_broker;
};

static void on_audit(void *context, const struct audit_event *event)
{
    (void)context;
    assert(event->action == AUDIT_connect_accepted);
    (void)event;
}

static enum reason on_claim(
    void *context, struct view identity, struct view client_id, uint64_t limit, bool proven)
{
    (void)context, (void)identity, (void)client_id, (void)limit, (void)proven;
    return REASON_none;
}

static uint64_t on_ban_left(void *context, const struct session_party *party, bool ordered)
{
    (void)context, (void)party, (void)ordered;
    return 0;
}

/* As proxy/conn_rates.c does it. */
static void on_hold_rates(void *context, const struct policy *policy, const struct policy_subject *subject)
{
    struct checked *checked = context;

    rates_hold(checked->rates, policy, subject, checked->peer.address, clock_monotonic_ns(), &checked->set);
}

static struct session_rates on_count(
    void *context, enum session_counted counted, uint64_t checks, uint64_t bytes)
{
    struct checked *checked = context;

    if (checked->now_ns == 0)
        checked->now_ns = clock_monotonic_ns() + (checked->ahead_ns += BATCH * UINT64_C(1000));
    return rates_count(checked->set, counted, checks, bytes, checked->now_ns);
}

static enum session_verdict feed(struct checked *checked, enum mqtt_direction from, struct view bytes)
{
    struct session_output output = {.to_client = &checked->to_client, .to_broker = &checked->to_broker};
    struct mqtt_frame frame;
    struct mqtt_error error;
    enum mqtt_result result =
        mqtt_frame_next(bytes, from, session_version(checked->session), 4096, &frame, &error);

    assert(result == MQTT_OK);
    (void)result;
    return from == MQTT_FROM_CLIENT ? session_client_packet(checked->session, &frame, &output)
                                    : session_broker_packet(checked->session, &frame, &output);
}

static void run_publish(void *context, size_t count)
{
    static const uint8_t publish[] = "\x30\x51\0\x0f"
                                     "dt/a/plc-7/temp"
                                     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    struct checked *checked = context;

    for (size_t i = 0; i < count; i++) {
        if (i % BATCH == 0)
            checked->now_ns = 0;
        if (feed(checked, MQTT_FROM_CLIENT, view_of(publish, 0x51 + 2)) == SESSION_FORWARD)
            continue;
        fprintf(stderr, "mqward-bench-checks: a message did not pass\n");
        exit(1);
    }
}

static void destroy(void *context)
{
    struct checked *checked = context;

    session_free(checked->session);
    rates_drop(checked->rates, checked->set, clock_monotonic_ns());
    rates_free(checked->rates);
    counters_free(checked->counters);
    policy_release(checked->policy);
    buffer_release(&checked->to_client);
    buffer_release(&checked->to_broker);
    free(checked);
}

static struct policy *make_policy(const struct checks_case *row)
{
    char text[1024];
    struct diag_list *diag = diag_list_new();

    snprintf(text, sizeof(text),
        "version: 1\npolicy: p\nidentity:\n  - anonymous: {id: anyone}\n"
        "rules:\n  - {rule: all, who: everyone, allow: publish, topics: [dt/#, other/#]}\n%s",
        row->checks);
    const struct diag_source source = {.path = "policy.yaml", .text = view_of_string(text)};
    struct policy *policy = policy_compile(&source, NULL, diag);

    if (policy == NULL) {
        diag_print(diag, stderr);
        exit(1);
    }
    diag_list_free(diag);
    return policy;
}

static struct checked *new_checked(const struct checks_case *row)
{
    static const _Atomic uint16_t slots[4] = {2, 3, 4, 5}; /* of the rule, and of up to three checks */
    static const uint8_t connect[] = "\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01"
                                     "c";
    static const uint8_t connack[] = "\x20\x02\0\0";
    struct checked *checked = memory_calloc(1, sizeof(*checked));
    struct counters *counters = row->counted ? counters_new() : NULL;

    checked->hooks = (struct session_hooks){.audit = on_audit,
        .claim = on_claim,
        .ban_left = on_ban_left,
        .hold_rates = on_hold_rates,
        .count = on_count,
        .counters = counters == NULL ? NULL : &counters->session};

    checked->counters = counters;
    checked->policy = make_policy(row);
    checked->rates = rates_new(RATES_IDLE_BYTES);
    checked->settings = (struct session_settings){.policy = checked->policy,
        .listener = "l",
        .upstream = "u",
        .broker_max_packet = 4096,
        .max_filters = 10,
        .slots = {.rules = slots}};
    checked->peer = (struct session_peer){.session_id = VIEW("1"), .address = VIEW("192.0.2.1")};
    checked->session = session_new(&checked->settings, &checked->peer, &checked->hooks, checked);
    feed(checked, MQTT_FROM_CLIENT, view_of(connect, sizeof(connect) - 1));
    feed(checked, MQTT_FROM_SERVER, view_of(connack, sizeof(connack) - 1));
    assert(session_is_open(checked->session));
    return checked;
}

size_t micro_subjects(struct micro_subject *subjects, size_t max, char *const *policies, size_t policy_count)
{
    size_t used = 0;

    (void)policies, (void)policy_count;
    for (size_t i = 0; i < CASES && used < max; i++) {
        subjects[used] =
            (struct micro_subject){"", run_publish, NULL, destroy, new_checked(&cases[i]), MESSAGES};
        snprintf(subjects[used].name, sizeof(subjects[used].name), "%s", cases[i].name);
        used++;
    }
    return used;
}
