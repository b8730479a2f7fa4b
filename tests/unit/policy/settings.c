/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy says as a whole, its life, and the manual that is made from its keywords. */
#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "support.h"

Test(settings, defaults)
{
    struct fixture fixture = fixture_good("version: 1\npolicy: p\n");
    const struct policy_settings *settings = policy_settings(fixture.policy);
    cr_expect_str_eq(settings->name, "p");
    /* printf 'version: 1\npolicy: p\n' | sha256sum */
    cr_expect_str_eq(
        settings->version, "sha256:35ec765ac32605619c54bccfc873fd86474b1a53c03cefc2f7cfebf76640649b");
    cr_expect_eq(settings->mode, POLICY_ENFORCE);
    cr_expect_eq(settings->deny_publish, POLICY_PUBLISH_REJECT);
    cr_expect_eq(settings->deny_subscribe, POLICY_SUBSCRIBE_REFUSE);
    cr_expect_eq(settings->repeat.count, 0);
    cr_expect_eq(settings->limit_sessions, 0);
    cr_expect_eq(settings->limit_subscriptions, 1000);
    cr_expect_eq(settings->limit_topic_levels, 0);
    cr_expect_eq(settings->limit_packet, 1048576);
    cr_expect_eq(settings->limit_session_expiry_s, UINT32_MAX);
    cr_expect(settings->audit_deny);
    cr_expect_eq(settings->audit_allow_ppm, 0);
    cr_expect_eq(settings->audit_payload, POLICY_PAYLOAD_HASH);
    fixture_free(&fixture);
}

Test(settings, values)
{
    struct fixture fixture =
        fixture_good("version: 1\npolicy: p\nmode: monitor\non_deny: {publish: drop, subscribe: disconnect}\n"
                     "limits: {sessions_per_id: 1, subscriptions: 50, topic_levels: 10, packet: 256KiB, "
                     "session_expiry: 24h}\n"
                     "audit: {deny: none, allow: 1%, payload: excerpt 64}\n");
    const struct policy_settings *settings = policy_settings(fixture.policy);
    cr_expect_eq(settings->mode, POLICY_MONITOR);
    cr_expect_eq(settings->deny_publish, POLICY_PUBLISH_DROP);
    cr_expect_eq(settings->deny_subscribe, POLICY_SUBSCRIBE_DISCONNECT);
    cr_expect_eq(settings->limit_sessions, 1);
    cr_expect_eq(settings->limit_subscriptions, 50);
    cr_expect_eq(settings->limit_topic_levels, 10);
    cr_expect_eq(settings->limit_packet, 262144);
    cr_expect_eq(settings->limit_session_expiry_s, 86400);
    cr_expect_not(settings->audit_deny);
    cr_expect_eq(settings->audit_allow_ppm, 10000);
    cr_expect_eq(settings->audit_payload, POLICY_PAYLOAD_EXCERPT);
    cr_expect_eq(settings->audit_excerpt, 64);
    fixture_free(&fixture);
}

Test(settings, repeated_denials)
{
    static const struct {
        const char *text;
        struct policy_repeat repeat;
    } rows[] = {
        {"{count: 20, within: 1m, then: disconnect, ban: 10m}", {20, 60000, 600000, true, true}},
        {"{count: 1, within: 1s}", {1, 1000, 0, true, true}},
        {"{count: 1000, within: 24h, ban: 365d, by: [id, address]}",
            {1000, 86400000, UINT64_C(31536000000), true, true}},
        {"{count: 5, within: 90s, ban: 1s, by: id}", {5, 90000, 1000, true, false}},
        {"{count: 5, within: 90s, ban: 1s, by: [address]}", {5, 90000, 1000, false, true}},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[200];
        snprintf(text, sizeof(text), "version: 1\npolicy: p\non_deny: {repeat: %s}\n", rows[i].text);
        struct fixture fixture = fixture_good(text);
        const struct policy_repeat *found = &policy_settings(fixture.policy)->repeat,
                                   *wanted = &rows[i].repeat;
        cr_expect(found->count == wanted->count && found->within_ms == wanted->within_ms &&
                      found->ban_ms == wanted->ban_ms && found->ban_id == wanted->ban_id &&
                      found->ban_address == wanted->ban_address,
            "%s", rows[i].text);
        fixture_free(&fixture);
    }
}

Test(settings, a_policy_lives_until_its_last_release)
{
    struct fixture fixture = fixture_good("version: 1\npolicy: p\n");
    struct policy *policy = policy_retain(fixture.policy);
    fixture_free(&fixture);
    cr_expect_str_eq(policy_settings(policy)->name, "p");
    policy_release(policy);
    policy_release(NULL);
}

#define MANUAL MQWARD_SOURCE_DIR "/docs/policy.md"
#define BEGIN "<!-- reference: policy -->\n"
#define END "<!-- end -->"

/* With MQWARD_BLESS=1 the manual's reference is written anew. */
static void bless(const char *manual, const char *begin, const char *end, struct view reference)
{
    FILE *out = fopen(MANUAL, "w");
    cr_assert_not_null(out);
    fprintf(out, "%.*s%.*s%s", (int)(begin - manual), manual, VIEW_ARGS(reference), end);
    fclose(out);
}

Test(settings, the_manual_has_the_reference_of_the_keywords)
{
    struct buffer reference = {0};
    policy_print_reference(&reference);
    char *manual = read_text(MANUAL);
    cr_assert_not_null(manual);
    const char *begin = strstr(manual, BEGIN), *end = strstr(manual, END);
    cr_assert(begin != NULL && end != NULL && begin < end, "docs/policy.md lost its markers");
    begin += strlen(BEGIN);
    if (getenv("MQWARD_BLESS") != NULL)
        bless(manual, begin, end, buffer_view(&reference));
    else
        cr_expect(view_equal(view_of(begin, (size_t)(end - begin)), buffer_view(&reference)),
            "docs/policy.md is behind the keywords: run the test with MQWARD_BLESS=1");
    free(manual);
    buffer_release(&reference);
}
