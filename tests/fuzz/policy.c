/* SPDX-License-Identifier: Apache-2.0 */
/* A policy file from anybody, compiled and asked: text, a NUL, then topics separated by line feeds. */
#include "policy/policy.h"
#include "base/topic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(
    const struct policy *policy, const struct policy_subject *subject, struct view text, uint8_t bits)
{
    const struct policy_request request = {.operation = bits % 3,
        .topic = text,
        .dialect = DIALECT_EMQX,
        .qos = bits % 3,
        .retain = bits & 1,
        .size = bits};
    const struct policy_subscribe_request filter = {.filter = text, .dialect = DIALECT_EMQX, .qos = bits % 3};
    struct policy_verdict verdict;
    struct policy_subscribe_verdict granted;
    if (topic_name_valid(text))
        policy_decide(policy, subject, &request, &verdict);
    if (topic_filter_valid(text))
        policy_decide_subscribe(policy, subject, &filter, &granted);
}

static void ask_all(const struct policy *policy, struct view topics)
{
    static const char *const cas[] = {"fleet"};
    const struct policy_certificate_value values[] = {
        {"cn", VIEW("a")}, {"ou", VIEW("b")}, {"san.uri", VIEW("urn:dev:c")}};
    const struct policy_credentials credentials = {.has_certificate = topics.length % 2 == 0,
        .certificate_cas = cas,
        .certificate_ca_count = 1,
        .certificate_values = values,
        .certificate_value_count = 3,
        .has_username = topics.length % 3 > 0,
        .username = VIEW("a"),
        .has_password = topics.length % 3 > 1,
        .client_id = topics.length % 5 == 0 ? VIEW("") : VIEW("a"),
        .address = VIEW("10.20.0.1")};
    struct policy_subject *subject = NULL;
    policy_identify(policy, &credentials, &subject);
    for (uint8_t bits = 0; subject != NULL && topics.length > 0; bits++) {
        const uint8_t *end = memchr(topics.data, '\n', topics.length);
        struct view topic = view_of(topics.data, end == NULL ? topics.length : (size_t)(end - topics.data));
        ask(policy, subject, topic, bits);
        topics = view_skip(topics, topic.length + 1);
    }
    if (subject != NULL)
        policy_subject_set_client_id(policy, subject, VIEW("b"));
    policy_subject_free(subject);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size == 0 ? NULL : memchr(data, '\0', size);
    size_t length = end == NULL ? size : (size_t)(end - data);
    const struct diag_source source = {.path = "policy.yaml", .text = view_of(data, length)};
    struct diag_list *diag = diag_list_new();
    struct policy *policy = policy_compile(&source, NULL, diag);
    if (policy != NULL)
        ask_all(policy, view_skip(view_of(data, size), length + 1));
    policy_release(policy);
    diag_list_free(diag);
    return 0;
}
