/* SPDX-License-Identifier: Apache-2.0 */
/* The buckets of rates: who shares one, what survives its holders, bounds of memory, threads. */
#include "proxy/rates.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND RATE_SECOND_NS
#define START (1000 * SECOND)
#define ALL UINT64_MAX

#define HEAD                                                                                                 \
    "version: 1\npolicy: p\nidentity:\n  - broker: {id: username}\n"                                         \
    "groups:\n  plant: {ids: [\"p-*\"]}\n  lab: {ids: [\"*-lab\"]}\n"                                        \
    "rules:\n  - {rule: all, who: [plant, lab, everyone], allow: publish, topics: [t]}\n"                    \
    "checks:\n"

static struct policy *policy_of(const char *text)
{
    const struct diag_source source = {.path = "policy.yaml", .text = view_of_string(text)};
    struct diag_list *diag = diag_list_new();
    struct policy *policy = policy_compile(&source, NULL, diag);

    if (policy == NULL)
        diag_print(diag, stderr);
    diag_list_free(diag);
    cr_assert_not_null(policy);
    return policy;
}

/* A session's part: a subject and what it holds. */
struct client {
    struct rates *rates;
    struct policy_subject *subject;
    struct view address;
    struct rate_set *set;
};

static struct client client_of(
    struct rates *rates, const struct policy *policy, const char *id, const char *address)
{
    struct client client = {.rates = rates, .address = view_of_string(address)};
    const struct policy_credentials credentials = {
        .has_username = true, .username = view_of_string(id), .client_id = VIEW("c")};

    policy_identify(policy, &credentials, &client.subject);
    cr_assert_not_null(client.subject);
    return client;
}

static void hold(struct client *client, const struct policy *policy, uint64_t now_ns)
{
    rates_hold(client->rates, policy, client->subject, client->address, now_ns, &client->set);
}

static void leave(struct client *client, uint64_t now_ns)
{
    rates_drop(client->rates, client->set, now_ns);
    client->set = NULL;
    policy_subject_free(client->subject);
    client->subject = NULL;
}

/* How many of tries messages pass. */
static unsigned publishes(const struct client *client, unsigned tries, uint64_t bytes, uint64_t now_ns)
{
    unsigned count = 0;

    for (unsigned i = 0; i < tries; i++)
        count += rates_count(client->set, SESSION_MESSAGE, ALL, bytes, now_ns).refused == 0;
    return count;
}

/* A connect: arrival and entry; true if both pass. The client then holds what a session does. */
static bool connects(struct client *client, const struct policy *policy, uint64_t now_ns)
{
    rates_hold(client->rates, policy, NULL, client->address, now_ns, &client->set);
    if (rates_count(client->set, SESSION_ARRIVAL, ALL, 0, now_ns).refused != 0)
        return false;
    hold(client, policy, now_ns);
    return rates_count(client->set, SESSION_ENTRY, ALL, 0, now_ns).refused == 0;
}

/* Two clients: how many messages of ten each pass. */
static void expect_shared(const char *checks, const char *id_a, const char *address_a, const char *id_b,
    const char *address_b, unsigned a, unsigned b)
{
    char text[2048];
    struct policy *policy;
    struct rates *rates = rates_new(RATES_IDLE_BYTES);
    struct client first, second;

    snprintf(text, sizeof(text), "%s%s", HEAD, checks);
    policy = policy_of(text);
    first = client_of(rates, policy, id_a, address_a);
    second = client_of(rates, policy, id_b, address_b);
    hold(&first, policy, START);
    hold(&second, policy, START);
    cr_expect_eq(publishes(&first, 10, 0, START), a, "%s %s %s", checks, id_a, address_a);
    cr_expect_eq(publishes(&second, 10, 0, START), b, "%s %s %s", checks, id_b, address_b);
    leave(&first, START);
    leave(&second, START);
    rates_free(rates);
    policy_release(policy);
}

Test(rates, whoever_has_the_same_shares_a_bucket)
{
    static const char id[] = "  - {check: c, topics: \"#\", rate: {per: id, messages: 4/m}}\n";
    static const char address[] = "  - {check: c, topics: \"#\", rate: {per: address, messages: 4/m}}\n";
    static const char group[] =
        "  - {check: c, who: [plant, lab], topics: \"#\", rate: {per: group, messages: 4/m}}\n";
    static const char everyone[] = "  - {check: c, topics: \"#\", rate: {per: group, messages: 4/m}}\n";

    expect_shared(id, "p-1", "192.0.2.1", "p-1", "192.0.2.2", 4, 0);
    expect_shared(id, "p-1", "192.0.2.1", "p-2", "192.0.2.1", 4, 4);
    expect_shared(address, "p-1", "192.0.2.1", "p-2", "192.0.2.1", 4, 0);
    expect_shared(address, "p-1", "192.0.2.1", "p-1", "192.0.2.2", 4, 4);
    expect_shared(address, "p-1", "2001:db8::1", "p-2", "2001:db8::2:3:4:5", 4, 0);
    expect_shared(address, "p-1", "2001:db8::1", "p-2", "2001:db8:0:1::1", 4, 4);
    expect_shared(group, "p-1", "192.0.2.1", "p-2", "192.0.2.2", 4, 0);
    expect_shared(group, "p-1", "192.0.2.1", "x-lab", "192.0.2.1", 4, 4);
    expect_shared(group, "p-1", "192.0.2.1", "other", "192.0.2.1", 4, 10);
    /* in both groups: it takes of both, all or nothing */
    expect_shared(group, "p-lab", "192.0.2.1", "x-lab", "192.0.2.1", 4, 0);
    expect_shared(everyone, "p-1", "192.0.2.1", "other", "192.0.2.2", 4, 0);
}

/* A refusal takes nothing: neither of the other buckets of its check, nor of other checks. */
Test(rates, all_or_nothing)
{
    struct policy *policy = policy_of(HEAD
        "  - {check: many, topics: \"#\", rate: {per: id, messages: 6/m, bytes: 60B/m, bytes_burst: 60B}}\n"
        "  - {check: few, topics: \"#\", rate: {per: address, messages: 2/m}}\n");
    struct rates *rates = rates_new(RATES_IDLE_BYTES);
    struct client client = client_of(rates, policy, "p-1", "192.0.2.1");

    hold(&client, policy, START);
    cr_expect_eq(publishes(&client, 1, 61, START), 0);
    cr_expect_eq(publishes(&client, 5, 10, START), 2, "few");
    cr_expect_eq(rates_count(client.set, SESSION_MESSAGE, ALL, 10, START).refused, 2);
    /* of many, four and 40 bytes are left */
    for (int i = 0; i < 4; i++)
        cr_expect_eq(rates_count(client.set, SESSION_MESSAGE, 1, 10, START).refused, 0);
    cr_expect_eq(rates_count(client.set, SESSION_MESSAGE, 1, 0, START).refused, 1);
    cr_expect_eq(rates_count(client.set, SESSION_MESSAGE, 0, 10, START).refused, 0, "no check is about it");
    leave(&client, START);
    rates_free(rates);
    policy_release(policy);
}

Test(rates, checks_in_monitor_mode_only_report)
{
    struct policy *policy =
        policy_of(HEAD "  - {check: m, mode: monitor, topics: \"#\", rate: {per: id, messages: 2/m}}\n"
                       "  - {check: e, topics: \"#\", rate: {per: id, messages: 4/m}}\n");
    struct rates *rates = rates_new(RATES_IDLE_BYTES);
    struct client client = client_of(rates, policy, "p-1", "192.0.2.1");
    static const struct {
        uint64_t refused, monitored;
    } expected[] = {{0, 0}, {0, 0}, {0, 1}, {0, 1}, {2, 0}, {2, 0}};

    hold(&client, policy, START);
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        struct session_rates answer = rates_count(client.set, SESSION_MESSAGE, ALL, 0, START);

        cr_expect_eq(answer.refused, expected[i].refused, "message %zu", i + 1);
        cr_expect_eq(answer.monitored, expected[i].monitored, "message %zu", i + 1);
    }
    leave(&client, START);
    rates_free(rates);
    policy_release(policy);
}

Test(rates, connects)
{
    struct policy *policy = policy_of(HEAD "  - {check: a, rate: {per: address, connects: 3/m}}\n"
                                           "  - {check: i, rate: {per: id, connects: 2/m}}\n"
                                           "  - {check: g, who: plant, rate: {per: group, connects: 4/m}}\n");
    struct rates *rates = rates_new(RATES_IDLE_BYTES);
    static const struct {
        const char *id, *address;
        bool passes;
    } steps[] = {
        {"p-1", "192.0.2.1", true},
        {"p-1", "192.0.2.1", true},
        {"p-1", "192.0.2.1", false}, /* i; it has arrived, though */
        {"p-2", "192.0.2.1", false}, /* a */
        {"p-2", "192.0.2.2", true},
        {"p-3", "192.0.2.2", true},
        {"p-4", "192.0.2.2", false}, /* g */
        {"x", "192.0.2.3", true},
    };

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct client client = client_of(rates, policy, steps[i].id, steps[i].address);

        cr_expect_eq(connects(&client, policy, START), steps[i].passes, "step %zu", i + 1);
        cr_expect_eq(publishes(&client, 20, 0, START), 20, "connects are not messages");
        leave(&client, START);
    }
    rates_free(rates);
    policy_release(policy);
}

Test(rates, a_bucket_outlives_who_holds_it)
{
    struct policy *policy = policy_of(HEAD "  - {check: c, topics: \"#\", rate: {per: id, messages: 4/m}}\n");
    struct rates *rates = rates_new(RATES_IDLE_BYTES);

    for (int i = 0; i < 3; i++) {
        struct client client = client_of(rates, policy, "p-1", "192.0.2.1");

        hold(&client, policy, START + (uint64_t)i);
        cr_expect_eq(publishes(&client, 10, 0, START + (uint64_t)i), i == 0 ? 4 : 0, "connection %d", i);
        leave(&client, START + (uint64_t)i);
        cr_expect_eq(rates_buckets(rates), 1);
    }
    /* full again: forgotten when its shard is touched, at the latest by its own next holder's end */
    struct client client = client_of(rates, policy, "p-1", "192.0.2.1");
    hold(&client, policy, START + 61 * SECOND);
    leave(&client, START + 61 * SECOND);
    cr_expect_eq(rates_buckets(rates), 0);
    rates_free(rates);
    policy_release(policy);
}

Test(rates, a_new_policy_sets_new_limits_on_the_same_buckets)
{
    struct policy *slow = policy_of(HEAD "  - {check: c, topics: \"#\", rate: {per: id, messages: 1/h}}\n");
    struct policy *fast = policy_of(HEAD "  - {check: other, topics: \"#\", rate: {per: id, messages: 7/m}}\n"
                                         "  - {check: c, topics: \"#\", rate: {per: id, messages: 10/s}}\n");
    struct policy *none = policy_of("version: 1\npolicy: p\nidentity:\n  - broker: {id: username}\n"
                                    "rules:\n  - {rule: all, who: everyone, allow: publish, topics: [t]}\n");
    struct rates *rates = rates_new(RATES_IDLE_BYTES);
    struct client client = client_of(rates, slow, "p-1", "192.0.2.1");

    hold(&client, slow, START);
    cr_expect_eq(publishes(&client, 5, 0, START), 1);
    policy_subject_free(client.subject);
    client.subject = client_of(rates, fast, "p-1", "192.0.2.1").subject;
    hold(&client, fast, START);
    policy_release(slow); /* nothing of it is held */
    cr_expect_eq(rates_count(client.set, SESSION_MESSAGE, 2, 0, START).refused, 2, "the same bucket, empty");
    cr_expect_eq(rates_count(client.set, SESSION_MESSAGE, 1, 0, START).refused, 0, "another check's is full");
    cr_expect_eq(rates_count(client.set, SESSION_MESSAGE, 2, 0, START + SECOND / 10).refused, 0);
    policy_subject_free(client.subject);
    client.subject = client_of(rates, none, "p-1", "192.0.2.1").subject;
    hold(&client, none, START);
    cr_expect_eq(publishes(&client, 5, 0, START), 5);
    leave(&client, START);
    rates_free(rates);
    policy_release(fast);
    policy_release(none);
}

#define IDLE_BYTES ((size_t)1 << 20)

/* Many addresses come and go: memory stays bounded, and those that come back are forgotten when they are
 * full. */
Test(rates, addresses_that_never_come_back, .timeout = 120)
{
    struct policy *policy = policy_of(HEAD "  - {check: a, rate: {per: address, connects: 1/h}}\n"
                                           "  - {check: i, rate: {per: id, connects: 1/h}}\n");
    struct rates *rates = rates_new(IDLE_BYTES);
    struct client known = client_of(rates, policy, "p-1", "192.0.2.1");
    const size_t addresses = 20000, bound = IDLE_BYTES / 64;
    size_t most = 0;

    cr_expect(connects(&known, policy, START));
    leave(&known, START);
    for (size_t i = 0; i < addresses; i++) {
        char address[32];
        struct client client = {.rates = rates};

        snprintf(address, sizeof(address), "2001:db8:%zx:%zx::1", i >> 16, i & 0xffff);
        client.address = view_of_string(address);
        rates_hold(rates, policy, NULL, client.address, START, &client.set);
        rates_count(client.set, SESSION_ARRIVAL, ALL, 0, START);
        leave(&client, START);
        if (i % 100 == 0 && rates_buckets(rates) > most)
            most = rates_buckets(rates);
    }
    cr_expect(most < bound && most > bound / 4, "%zu buckets", most);
    /* addresses displace addresses alone */
    known = client_of(rates, policy, "p-1", "198.51.100.1");
    cr_expect_not(connects(&known, policy, START + SECOND));
    leave(&known, START + SECOND);
    /* two hours later every touch of a shard sweeps: half as many are enough, spread over the shards */
    for (size_t i = 0; i < most / 2; i++) {
        char address[32];
        struct client client = {.rates = rates};

        snprintf(address, sizeof(address), "10.%zu.%zu.%zu", i >> 16 & 255, i >> 8 & 255, i & 255);
        client.address = view_of_string(address);
        rates_hold(rates, policy, NULL, client.address, START + 7200 * SECOND, &client.set);
        leave(&client, START + 7200 * SECOND);
    }
    cr_expect(rates_buckets(rates) < most / 20, "%zu buckets", rates_buckets(rates));
    rates_free(rates);
    policy_release(policy);
}

/* ---- threads ---- */

#define THREADS 4
#define ROUNDS 300
#define TRIES 20

struct worker_part {
    struct rates *rates;
    struct policy *policy;
    unsigned passed;
};

/* Connections that come, publish and go, all of one identity. */
static void *work(void *argument)
{
    struct worker_part *part = argument;

    for (int i = 0; i < ROUNDS; i++) {
        struct client client = client_of(part->rates, part->policy, "p-1", "192.0.2.1");

        hold(&client, part->policy, START);
        part->passed += publishes(&client, TRIES, 0, START);
        leave(&client, START);
    }
    return NULL;
}

Test(rates, threads_share_what_there_is, .timeout = 120)
{
    struct policy *policy =
        policy_of(HEAD "  - {check: c, topics: \"#\", rate: {per: id, messages: 1000/h, burst: 5000}}\n"
                       "  - {check: d, topics: \"#\", rate: {per: address, bytes: 1KiB/h}}\n");
    struct rates *rates = rates_new(RATES_IDLE_BYTES);
    struct worker_part parts[THREADS];
    pthread_t threads[THREADS];
    unsigned passed = 0;

    for (int i = 0; i < THREADS; i++) {
        parts[i] = (struct worker_part){rates, policy, 0};
        cr_assert_eq(pthread_create(&threads[i], NULL, work, &parts[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        passed += parts[i].passed;
    }
    cr_expect_eq(passed, 5000);
    rates_free(rates);
    policy_release(policy);
}
