/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "../rounds.h"
#include "base/memory.h"

struct random random_seeded(const char *what)
{
    return (struct random){rounds_seed(what)};
}

/* splitmix64 */
static uint64_t random_next(struct random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

size_t random_below(struct random *random, size_t limit)
{
    return (size_t)(random_next(random) % limit);
}

bool random_chance(struct random *random, unsigned percent)
{
    return random_below(random, 100) < percent;
}

struct fixture fixture_compile(const char *text)
{
    static const char *const cas[] = {"fleet", "other"};
    static const char *const files[] = {"users"};
    static const char *const jwks[] = {"idp"};
    static const char *const keys[] = {"m25a", "ops-1"};
    static const bool masters[] = {true, false};
    static const char *const sets[] = {"iot", "packers"};
    static const struct policy_names names = {cas, 2, files, 1, jwks, 1, keys, masters, 2, sets, 2};
    struct fixture fixture = {.diag = diag_list_new()};
    /* The source must outlive the policy's diagnostics: it lies on the heap, as does its text. */
    struct diag_source *source = memory_calloc(1, sizeof(*source));
    source->path = "policy.yaml";
    source->text = view_of(memory_copy_string(view_of_string(text)), strlen(text));
    fixture.source = *source;
    fixture.policy = policy_compile(source, &names, fixture.diag);
    size_t size = 0;
    FILE *out = open_memstream(&fixture.messages, &size);
    diag_print(fixture.diag, out);
    fclose(out);
    diag_list_free(fixture.diag);
    fixture.diag = NULL;
    free(source);
    return fixture;
}

struct fixture fixture_good(const char *text)
{
    struct fixture fixture = fixture_compile(text);
    cr_assert(fixture.policy != NULL, "%s", fixture.messages);
    return fixture;
}

void fixture_free(struct fixture *fixture)
{
    policy_release(fixture->policy);
    free((void *)(uintptr_t)fixture->source.text.data);
    free(fixture->messages);
}

struct policy_subject *fixture_device(const struct fixture *fixture, const char *id, const char *site)
{
    static const char *const cas[] = {"fleet"};
    const struct policy_certificate_value values[] = {
        {"cn", view_of_string(id)}, {"ou", view_of_string(site)}};
    const struct policy_credentials credentials = {
        .has_certificate = true,
        .certificate_cas = cas,
        .certificate_ca_count = 1,
        .certificate_values = values,
        .certificate_value_count = site == NULL ? 1 : 2,
        .client_id = view_of_string(id),
        .address = VIEW("192.0.2.7"),
    };
    struct policy_subject *subject = NULL;
    struct policy_identification found = policy_identify(fixture->policy, &credentials, &subject);
    cr_assert(found.result == POLICY_IDENTIFIED, "%s %s", reason_info(found.reason)->name, found.detail);
    return subject;
}

struct policy_subject *fixture_user(const struct fixture *fixture, const char *username)
{
    const struct policy_credentials credentials = {
        .has_username = true,
        .username = view_of_string(username),
        .has_password = true,
        .password = VIEW("secret"),
        .client_id = view_of_string(username),
        .address = VIEW("192.0.2.7"),
    };
    struct policy_subject *subject = NULL;
    struct policy_identification found = policy_identify(fixture->policy, &credentials, &subject);
    cr_assert(found.result != POLICY_REFUSED, "%s %s", reason_info(found.reason)->name, found.detail);
    return subject;
}

static struct policy_verdict decide(const struct fixture *fixture, const struct policy_subject *subject,
    enum policy_operation operation, const char *topic)
{
    const struct policy_request request = {
        .operation = operation, .topic = view_of_string(topic), .dialect = DIALECT_EMQX, .size = 10};
    struct policy_verdict verdict;
    policy_decide(fixture->policy, subject, &request, &verdict);
    return verdict;
}

struct policy_verdict publish(
    const struct fixture *fixture, const struct policy_subject *subject, const char *topic)
{
    return decide(fixture, subject, POLICY_PUBLISH, topic);
}

struct policy_verdict receive(
    const struct fixture *fixture, const struct policy_subject *subject, const char *topic)
{
    return decide(fixture, subject, POLICY_RECEIVE, topic);
}

struct policy_subscribe_verdict subscribe(
    const struct fixture *fixture, const struct policy_subject *subject, const char *filter)
{
    const struct policy_subscribe_request request = {
        .filter = view_of_string(filter), .dialect = DIALECT_EMQX, .qos = 2};
    struct policy_subscribe_verdict verdict;
    policy_decide_subscribe(fixture->policy, subject, &request, &verdict);
    return verdict;
}

const char *rule_name(const struct policy_rule_info *rule)
{
    return rule == NULL ? "" : rule->name;
}

char *read_text(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return NULL;
    char *text = NULL;
    size_t size = 0;
    ssize_t length = getdelim(&text, &size, '\0', file);
    fclose(file);
    if (length < 0) {
        free(text);
        return memory_copy_string(VIEW(""));
    }
    return text;
}
