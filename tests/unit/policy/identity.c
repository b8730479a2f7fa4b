/* SPDX-License-Identifier: Apache-2.0 */
/* From credentials to a subject. */
#include <stdio.h>

#include "support.h"

#define HEAD                                                                                                 \
    "version: 1\npolicy: p\nidentity:\n"                                                                     \
    "  - cert: {ca: fleet, id: san.uri, strip: \"urn:dev:\", attrs: {site: ou}}\n"                           \
    "  - password: {file: users}\n  - broker: {id: username}\n  - anonymous: {id: guest}\n"
#define ALLOW(name, who, topic)                                                                              \
    "  - {rule: " name ", who: " who ", allow: publish, topics: [\"" topic "\"]}\n"

static const char *const fleet[] = {"other", "fleet"};

static struct policy_credentials certificate(const struct policy_certificate_value *values, size_t count)
{
    return (struct policy_credentials){
        .has_certificate = true,
        .certificate_cas = fleet,
        .certificate_ca_count = 2,
        .certificate_values = values,
        .certificate_value_count = count,
        .client_id = VIEW("c1"),
        .address = VIEW("10.20.3.4"),
    };
}

static void expect_identity(const struct fixture *fixture, const struct policy_credentials *credentials,
    enum policy_identify_result result, enum policy_source source, const char *id)
{
    struct policy_subject *subject = NULL;
    struct policy_identification found = policy_identify(fixture->policy, credentials, &subject);
    cr_assert_eq(found.result, result, "%d: %s", found.result, reason_info(found.reason)->name);
    cr_expect_eq(found.source, source);
    cr_expect(view_equal_string(policy_subject_id(subject), id));
    cr_expect_eq(policy_subject_source(subject), source);
    policy_subject_free(subject);
}

static void expect_refused(const struct fixture *fixture, const struct policy_credentials *credentials,
    enum reason reason, const char *rule, const char *detail)
{
    struct policy_subject *subject = NULL;
    struct policy_identification found = policy_identify(fixture->policy, credentials, &subject);
    cr_expect_eq(found.result, POLICY_REFUSED);
    cr_expect_str_eq(reason_info(found.reason)->name, reason_info(reason)->name);
    cr_expect_str_eq(rule_name(found.rule), rule);
    cr_expect_str_eq(found.detail, detail);
    cr_expect_null(subject);
}

Test(identity, the_first_source_whose_credential_is_present_decides)
{
    struct fixture fixture = fixture_good(HEAD);
    const struct policy_certificate_value values[] = {{"san.uri", VIEW("urn:dev:plc-7")}, {"ou", VIEW("a")}};
    struct policy_credentials credentials = certificate(values, 2);
    credentials.has_username = credentials.has_password = true;
    credentials.username = VIEW("eva");
    expect_identity(&fixture, &credentials, POLICY_IDENTIFIED, POLICY_SOURCE_CERT, "plc-7");
    /* A certificate of another CA is not that row's credential. */
    credentials.certificate_ca_count = 1;
    expect_identity(&fixture, &credentials, POLICY_CHECK_PASSWORD, POLICY_SOURCE_PASSWORD, "eva");
    credentials.has_password = false;
    expect_identity(&fixture, &credentials, POLICY_ASK_BROKER, POLICY_SOURCE_BROKER, "eva");
    credentials.has_username = false;
    expect_identity(&fixture, &credentials, POLICY_IDENTIFIED, POLICY_SOURCE_ANONYMOUS, "guest");
    fixture_free(&fixture);
}

Test(identity, a_bad_certificate_does_not_lead_to_the_next_source)
{
    struct fixture fixture = fixture_good(HEAD);
    const struct policy_certificate_value none[] = {{"cn", VIEW("plc-7")}};
    const struct policy_certificate_value two[] = {
        {"san.uri", VIEW("urn:dev:a")}, {"san.uri", VIEW("urn:dev:b")}};
    const struct policy_certificate_value foreign[] = {{"san.uri", VIEW("urn:person:a")}};
    const struct policy_certificate_value empty[] = {{"san.uri", VIEW("urn:dev:")}};
    const struct policy_certificate_value sites[] = {
        {"san.uri", VIEW("urn:dev:a")}, {"ou", VIEW("x")}, {"ou", VIEW("y")}};
    struct policy_credentials credentials = certificate(none, 1);
    expect_refused(&fixture, &credentials, REASON_identity_bad_certificate, "", "san.uri");
    credentials = certificate(two, 2);
    expect_refused(&fixture, &credentials, REASON_identity_bad_certificate, "", "san.uri");
    credentials = certificate(foreign, 1);
    expect_refused(&fixture, &credentials, REASON_identity_bad_certificate, "", "san.uri");
    credentials = certificate(empty, 1);
    expect_refused(&fixture, &credentials, REASON_identity_bad_certificate, "", "san.uri");
    credentials = certificate(sites, 3);
    expect_refused(&fixture, &credentials, REASON_identity_bad_certificate, "", "ou");
    fixture_free(&fixture);
}

Test(identity, without_a_source_for_it_a_client_is_refused)
{
    struct fixture fixture =
        fixture_good("version: 1\npolicy: p\nidentity:\n  - cert: {ca: fleet, id: cn}\n");
    struct policy_credentials credentials = {.client_id = VIEW("c")};
    expect_refused(&fixture, &credentials, REASON_identity_no_credential, "", "");
    fixture_free(&fixture);
}

Test(identity, groups_need_all_of_their_conditions)
{
    struct fixture fixture =
        fixture_good(HEAD "groups:\n"
                          "  devices: {source: cert}\n"
                          "  people: {source: [password, broker], ids: [op-*, eva]}\n"
                          "  near: {source: cert, net: [10.20.0.0/16, \"2001:db8::/32\"]}\n"
                          "  far: {source: cert, net: 10.21.0.0/16}\n"
                          "  site-a: {attrs: {site: [a, \"b-*\"]}}\n"
                          "rules:\n  - {rule: r, who: [devices, people, near, far, site-a], "
                          "allow: publish, topics: [x]}\n");
    static const struct {
        struct view address, site;
        const char *groups;
    } rows[] = {
        {VIEW("10.20.3.4"), VIEW("a"), "devices near site-a "},
        {VIEW("::ffff:10.20.3.4"), VIEW("b-7"), "devices near site-a "},
        {VIEW("10.21.3.4"), VIEW("b"), "devices far "},
        {VIEW("2001:db8::1%eth0"), VIEW("A"), "devices near "},
        {VIEW("not an address"), VIEW("a"), "devices site-a "},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct policy_certificate_value values[] = {
            {"san.uri", VIEW("urn:dev:x")}, {"ou", rows[i].site}};
        struct policy_credentials credentials = certificate(values, 2);
        struct policy_subject *subject = NULL;
        const char *names[8];
        char all[128] = "";
        credentials.address = rows[i].address;
        policy_identify(fixture.policy, &credentials, &subject);
        size_t count = policy_subject_groups(fixture.policy, subject, names, 8);
        for (size_t k = 0; k < count; k++)
            strcat(strcat(all, names[k]), " ");
        cr_expect_str_eq(all, rows[i].groups, "row %zu: %s", i, all);
        cr_expect_eq(policy_subject_groups(fixture.policy, subject, names, 1), 1);
        policy_subject_free(subject);
    }
    fixture_free(&fixture);
}

Test(identity, an_unsafe_attribute_that_a_group_asks_for_refuses_so_that_no_deny_vanishes)
{
    struct fixture fixture =
        fixture_good(HEAD "groups:\n"
                          "  locked: {source: cert, attrs: {site: [b*]}}\n"
                          "  remote: {source: broker, attrs: {site: [b*]}}\n"
                          "rules:\n" ALLOW("all", "everyone",
                              "x") "  - {rule: lock, who: locked, deny: publish, topics: [x]}\n"
                                   "  - {rule: remote, who: remote, deny: publish, topics: [x]}\n");
    const struct view sites[] = {VIEW("b/1"), VIEW("b\x01"), VIEW("$b"), VIEW("")};
    for (size_t i = 0; i < sizeof(sites) / sizeof(sites[0]); i++) {
        const struct policy_certificate_value values[] = {{"san.uri", VIEW("urn:dev:a")}, {"ou", sites[i]}};
        struct policy_credentials credentials = certificate(values, 2);
        expect_refused(&fixture, &credentials, REASON_identity_unsafe, "", "site");
    }
    /* One that is not there is in no such group, and nothing was hidden. */
    const struct policy_certificate_value no_site[] = {{"san.uri", VIEW("urn:dev:a")}};
    struct policy_credentials credentials = certificate(no_site, 1);
    expect_identity(&fixture, &credentials, POLICY_IDENTIFIED, POLICY_SOURCE_CERT, "a");
    fixture_free(&fixture);
}

Test(identity, unsafe_values_refuse_connect_naming_the_rule_that_would_fill_them_in)
{
    struct fixture fixture =
        fixture_good(HEAD "groups: {devices: {source: cert}, guests: {source: anonymous}}\nrules:\n" //
            ALLOW("own", "devices", "dt/<id>/#") ALLOW("site", "devices", "st/<site>"));
    static const struct {
        struct view id, site;
        enum reason reason;
        const char *rule, *detail;
    } rows[] = {
        {VIEW("urn:dev:a/b"), VIEW("x"), REASON_identity_unsafe, "own", "id"},
        {VIEW("urn:dev:+"), VIEW("x"), REASON_identity_unsafe, "own", "id"},
        {VIEW("urn:dev:a#"), VIEW("x"), REASON_identity_unsafe, "own", "id"},
        {VIEW("urn:dev:$SYS"), VIEW("x"), REASON_identity_unsafe, "own", "id"},
        {VIEW("urn:dev:a\x01"), VIEW("x"), REASON_identity_unsafe, "own", "id"},
        {VIEW("urn:dev:a\xc2\x85"), VIEW("x"), REASON_identity_unsafe, "own", "id"},
        {VIEW("urn:dev:a\xff"), VIEW("x"), REASON_identity_unsafe, "own", "id"},
        {VIEW("urn:dev:a"), VIEW(""), REASON_identity_unsafe, "site", "site"},
        {VIEW("urn:dev:a"), VIEW("x/y"), REASON_identity_unsafe, "site", "site"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct policy_certificate_value values[] = {{"san.uri", rows[i].id}, {"ou", rows[i].site}};
        struct policy_credentials credentials = certificate(values, 2);
        expect_refused(&fixture, &credentials, rows[i].reason, rows[i].rule, rows[i].detail);
    }
    const struct policy_certificate_value no_site[] = {{"san.uri", VIEW("urn:dev:a")}};
    struct policy_credentials credentials = certificate(no_site, 1);
    expect_refused(&fixture, &credentials, REASON_identity_missing, "site", "site");
    /* Rules about others do not ask. */
    credentials =
        (struct policy_credentials){.has_username = true, .username = VIEW("a/b"), .client_id = VIEW("x/#")};
    expect_identity(&fixture, &credentials, POLICY_ASK_BROKER, POLICY_SOURCE_BROKER, "a/b");
    fixture_free(&fixture);
}

Test(identity, over_long_values_are_refused)
{
    static uint8_t name[1025];
    memset(name, 'x', sizeof(name));
    struct fixture fixture = fixture_good(HEAD);
    struct policy_credentials credentials = {
        .has_username = true, .username = view_of(name, 1025), .client_id = VIEW("c")};
    expect_refused(&fixture, &credentials, REASON_identity_unsafe, "", "id");
    fixture_free(&fixture);
}

static enum reason client_id_reason(const char *pattern, const char *id, const char *client_id)
{
    char text[600];
    snprintf(text, sizeof(text), HEAD "client_id: \"%s\"\n", pattern);
    struct fixture fixture = fixture_good(text);
    struct policy_credentials credentials = {
        .has_username = true, .username = view_of_string(id), .client_id = view_of_string(client_id)};
    struct policy_subject *subject = NULL;
    struct policy_identification found = policy_identify(fixture.policy, &credentials, &subject);
    if (found.result == POLICY_REFUSED)
        cr_expect_str_eq(rule_name(found.rule), "client_id");
    policy_subject_free(subject);
    fixture_free(&fixture);
    return found.reason;
}

Test(identity, client_ids_belong_to_identities)
{
    cr_expect_eq(client_id_reason("<id>", "a", "a"), REASON_none);
    cr_expect_eq(client_id_reason("<id>", "a", "b"), REASON_client_id_not_allowed);
    cr_expect_eq(client_id_reason("<id>", "a*", "ab"), REASON_client_id_not_allowed, "the value is literal");
    cr_expect_eq(
        client_id_reason("<id>", "a", ""), REASON_client_id_not_allowed, "nobody makes up the identity");
    cr_expect_eq(client_id_reason("<id>-*", "a", "a-1"), REASON_none);
    cr_expect_eq(client_id_reason("<id>-*", "a", "a"), REASON_client_id_not_allowed);
    cr_expect_eq(client_id_reason("<id>-*", "a", "aa-1"), REASON_client_id_not_allowed);
    cr_expect_eq(client_id_reason("*-<username>-*", "a", "x-a-b-a-y"), REASON_none);
    cr_expect_eq(client_id_reason("fixed", "a", "fixed"), REASON_none);
    cr_expect_eq(
        client_id_reason("*", "a", ""), REASON_none, "the broker's choice is checked when it is known");
    cr_expect_eq(client_id_reason("<id>", "a/b", "a/b"), REASON_identity_unsafe);
    cr_expect_eq(client_id_reason("<site>", "a", "a"), REASON_identity_missing);
}

Test(identity, an_assigned_client_id_is_checked_when_it_comes_and_until_then_counts_against_the_client)
{
    struct fixture fixture =
        fixture_good("version: 1\npolicy: p\nidentity:\n  - anonymous: {}\nclient_id: \"auto-*\"\nrules:\n" //
            ALLOW("own", "everyone", "c/<client_id>") ALLOW("all", "everyone", "d/#")                       //
            "  - {rule: not, who: everyone, deny: publish, topics: [d/<client_id>]}\n");
    struct policy_credentials credentials = {0};
    struct policy_subject *subject = NULL;
    cr_assert_eq(policy_identify(fixture.policy, &credentials, &subject).result, POLICY_IDENTIFIED);
    cr_expect_not(publish(&fixture, subject, "c/auto-1").allowed, "an allow waits for the value");
    cr_expect_eq(publish(&fixture, subject, "d/auto-1").reason, REASON_denied_by_rule, "a deny does not");
    cr_expect_eq(
        policy_subject_set_client_id(fixture.policy, subject, VIEW("auto-1")).result, POLICY_IDENTIFIED);
    cr_expect(publish(&fixture, subject, "c/auto-1").allowed);
    cr_expect(publish(&fixture, subject, "d/auto-2").allowed);
    cr_expect_not(publish(&fixture, subject, "d/auto-1").allowed);
    struct policy_identification found = policy_subject_set_client_id(fixture.policy, subject, VIEW("x"));
    cr_expect_eq(found.reason, REASON_client_id_not_allowed);
    policy_subject_free(subject);
    policy_identify(fixture.policy, &credentials, &subject);
    found = policy_subject_set_client_id(fixture.policy, subject, VIEW("auto-/#"));
    cr_expect_eq(found.reason, REASON_identity_unsafe);
    cr_expect_str_eq(rule_name(found.rule), "own");
    policy_subject_free(subject);
    fixture_free(&fixture);
}

Test(identity, in_monitor_mode_a_refused_client_is_somebody_in_no_group)
{
    struct fixture fixture =
        fixture_good("version: 1\npolicy: p\nmode: monitor\nidentity:\n  - cert: {ca: fleet, id: cn}\n"
                     "groups: {d: {source: cert}}\nrules:\n" //
            ALLOW("own", "d", "c/<id>") ALLOW("all", "everyone", "e"));
    const struct policy_certificate_value values[] = {{"cn", VIEW("a/b")}};
    struct policy_credentials credentials = certificate(values, 1);
    struct policy_subject *subject = NULL;
    const char *names[2];
    struct policy_identification found = policy_identify(fixture.policy, &credentials, &subject);
    cr_expect_eq(found.result, POLICY_REFUSED);
    cr_expect_eq(found.reason, REASON_identity_unsafe);
    cr_assert_not_null(subject);
    cr_expect_eq(policy_subject_groups(fixture.policy, subject, names, 2), 0);
    struct policy_verdict verdict = publish(&fixture, subject, "c/a");
    cr_expect(verdict.allowed && verdict.would_be_denied && verdict.reason == REASON_no_allow);
    cr_expect_not(publish(&fixture, subject, "e").would_be_denied);
    policy_subject_free(subject);
    fixture_free(&fixture);
}
