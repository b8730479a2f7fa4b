/* SPDX-License-Identifier: Apache-2.0 */
/* Identities from tokens: which client is taken by the source, what its claims become, and how it ends. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/memory.h"
#include "jose.h"
#include "support.h"

#define NOW UINT64_C(1700000000)
#define POLICY(jwt)                                                                                          \
    "version: 1\n"                                                                                           \
    "policy: tokens\n"                                                                                       \
    "identity:\n"                                                                                            \
    "  - jwt: {jwks: idp, issuer: i, audience: mqtt, algs: [EdDSA], groups: realm.roles, attrs: {site: "     \
    "site, line: \"https://x.example/line\"}, skew: 10s" jwt "}\n"                                           \
    "  - password: {file: users}\n"                                                                          \
    "  - anonymous: {}\n"                                                                                    \
    "groups:\n"                                                                                              \
    "  operators: {source: jwt, member: iot-operator}\n"                                                     \
    "  admins: {member: [admin-*, root]}\n"                                                                  \
    "  tokens: {source: jwt}\n"                                                                              \
    "rules:\n"                                                                                               \
    "  - {rule: r, who: operators, allow: publish, topics: [cmd/<site>/<id>/#]}\n"                           \
    "  - {rule: a, who: admins, allow: publish, topics: [adm/<line>]}\n"                                     \
    "  - {rule: t, who: tokens, allow: subscribe, topics: [t]}\n"
#define CLAIMS(more) "{\"iss\":\"i\",\"aud\":\"mqtt\",\"exp\":1700000600" more "}"

static struct jwks *known;

static const struct jwks *find_jwks(void *context, const char *name)
{
    cr_assert_str_eq(name, "idp");
    return *(struct jwks **)context;
}

struct world {
    struct fixture fixture;
    struct signer signer;
    struct policy_subject *subject;
    struct policy_identification found;
};

static struct world world_new(const char *policy)
{
    struct world world = {.fixture = fixture_good(policy), .signer = signer_new(JWT_EDDSA, "k")};
    char *jwk = signer_jwk(&world.signer, "");
    known = set_of((const char *const[]){jwk, NULL});
    free(jwk);
    return world;
}

static void world_free(struct world *world)
{
    policy_subject_free(world->subject);
    signer_free(&world->signer);
    fixture_free(&world->fixture);
    jwks_free(known);
    known = NULL;
}

static struct policy_credentials credentials_of(const char *password)
{
    return (struct policy_credentials){
        .has_username = true,
        .username = VIEW("eva"),
        .has_password = true,
        .password = view_of_string(password),
        .client_id = VIEW("eva-1"),
        .address = VIEW("192.0.2.7"),
        .now_s = NOW,
        .find_jwks = find_jwks,
        .context = (void *)&known,
    };
}

static const char *identify(struct world *world, const struct policy_credentials *credentials)
{
    policy_subject_free(world->subject);
    world->subject = NULL;
    world->found = policy_identify(world->fixture.policy, credentials, &world->subject);
    return reason_info(world->found.reason)->name;
}

/* Who the bearer of a token with these claims is: the reason's name. */
static const char *bear(struct world *world, const char *claims)
{
    char *token = signer_sign(&world->signer, claims);
    struct policy_credentials credentials = credentials_of(token);
    const char *name = identify(world, &credentials);
    free(token);
    return name;
}

static bool in_group(const struct world *world, const char *name)
{
    const char *names[8];
    bool found = false;
    size_t count = policy_subject_groups(world->fixture.policy, world->subject, names, 8);
    for (size_t i = 0; i < count; i++)
        found = found || strcmp(names[i], name) == 0;
    return found;
}

Test(identity_jwt, claims_become_identity_groups_and_attributes)
{
    struct world world = world_new(POLICY(""));
    cr_assert_str_eq(bear(&world, CLAIMS(",\"sub\":\"plc-7\",\"site\":\"a\",\"realm\":{\"roles\":[\"x\","
                                         "\"iot-operator\"]}")),
        "none");
    cr_assert_eq(world.found.result, POLICY_IDENTIFIED);
    cr_assert_eq(world.found.token, POLICY_TOKEN_PASSWORD);
    cr_assert_eq(world.found.expires_s, UINT64_C(1700000610));
    cr_assert_str_eq(policy_source_name(policy_subject_source(world.subject)), "jwt");
    cr_assert(view_equal(policy_subject_id(world.subject), VIEW("plc-7")));
    cr_assert(in_group(&world, "operators") && in_group(&world, "tokens") && !in_group(&world, "admins"));
    cr_assert(publish(&world.fixture, world.subject, "cmd/a/plc-7/set").allowed);
    cr_assert(!publish(&world.fixture, world.subject, "cmd/b/plc-7/set").allowed);
    world_free(&world);
}

Test(identity_jwt, groups_are_names_or_globs)
{
    static const struct {
        const char *roles;
        bool operators, admins;
    } rows[] = {
        {"", false, false},
        {",\"realm\":{}", false, false},
        {",\"realm\":{\"roles\":[]}", false, false},
        {",\"realm\":{\"roles\":\"iot-operator\"}", true, false},
        {",\"realm\":{\"roles\":[\"iot-operator \"]}", false, false},
        {",\"realm\":{\"roles\":[\"iot-operators\",\"IOT-OPERATOR\",\"\"]}", false, false},
        {",\"realm\":{\"roles\":[\"root\"]}", false, true},
        {",\"realm\":{\"roles\":[\"admin-\",\"iot-operator\"]}", true, true},
    };
    struct world world = world_new(POLICY(""));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *claims = memory_format(
            CLAIMS(",\"sub\":\"s\",\"site\":\"a\",\"https://x.example/line\":3%s"), rows[i].roles);
        cr_assert_str_eq(bear(&world, claims), "none", "%s %s", rows[i].roles, world.found.detail);
        cr_assert_eq(in_group(&world, "operators"), rows[i].operators, "%s", rows[i].roles);
        cr_assert_eq(in_group(&world, "admins"), rows[i].admins, "%s", rows[i].roles);
        free(claims);
    }
    world_free(&world);
}

Test(identity_jwt, what_is_wrong_is_named)
{
    static const char *const rows[][3] = {
        {CLAIMS(""), "token_claim_missing", "sub"},
        {CLAIMS(",\"sub\":\"\""), "token_claim_invalid", "sub"},
        {CLAIMS(",\"sub\":[\"a\"]"), "token_claim_invalid", "sub"},
        {CLAIMS(",\"sub\":\"a\",\"site\":[\"x\"]"), "token_claim_invalid", "site"},
        {CLAIMS(",\"sub\":\"a\",\"realm\":{\"roles\":[\"x\",7]}"), "token_claim_invalid", "realm.roles"},
        {CLAIMS(",\"sub\":\"a\",\"realm\":\"x\""), "token_claim_invalid", "realm.roles"},
        {CLAIMS(",\"sub\":\"a\",\"realm\":{\"roles\":\"iot-operator\"}"), "identity_missing", "site"},
        {CLAIMS(",\"sub\":\"a\",\"site\":\"a/b\",\"realm\":{\"roles\":\"iot-operator\"}"), "identity_unsafe",
            "site"},
        {CLAIMS(",\"sub\":\"a/+\",\"site\":\"a\",\"realm\":{\"roles\":\"iot-operator\"}"), "identity_unsafe",
            "id"},
        {"{\"iss\":\"i\",\"aud\":\"mqtt\",\"sub\":\"a\",\"exp\":1699999990}", "token_expired", ""},
        {"{\"iss\":\"i\",\"aud\":\"web\",\"sub\":\"a\",\"exp\":1700000600}", "token_audience", ""},
    };
    struct world world = world_new(POLICY(""));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *name = bear(&world, rows[i][0]);
        cr_assert_str_eq(name, rows[i][1], "%s: %s", rows[i][0], name);
        cr_assert_str_eq(world.found.detail, rows[i][2], "%s", rows[i][0]);
        cr_assert_eq(world.found.result, POLICY_REFUSED);
        cr_assert_eq(world.found.source, POLICY_SOURCE_JWT);
        cr_assert_eq(world.found.token, POLICY_TOKEN_PASSWORD);
        cr_assert_null(world.subject);
    }
    world_free(&world);
}

/* A token decides, good or bad; what is no token goes on to the sources below. */
Test(identity_jwt, no_fall_through)
{
    struct world world = world_new(POLICY(""));
    struct signer stranger = signer_new(JWT_EDDSA, "k");
    char *token = signer_sign(&stranger, CLAIMS(",\"sub\":\"eva\""));
    struct policy_credentials credentials = credentials_of(token);
    cr_assert_str_eq(identify(&world, &credentials), "token_signature");
    credentials.password = VIEW("eyJhbGciOiJub25lIn0.e30.");
    cr_assert_str_eq(identify(&world, &credentials), "token_algorithm");
    credentials.password = VIEW("eyJhbGciOiJub25lIn0.cut.off.tok en");
    cr_assert_str_eq(identify(&world, &credentials), "token_malformed");
    credentials.password = VIEW("secret");
    identify(&world, &credentials);
    cr_assert_eq(world.found.result, POLICY_CHECK_PASSWORD);
    cr_assert_eq(world.found.token, POLICY_TOKEN_NONE);
    cr_assert(!in_group(&world, "tokens"));
    credentials.has_password = false;
    cr_assert_str_eq(identify(&world, &credentials), "none");
    cr_assert_eq(policy_subject_source(world.subject), POLICY_SOURCE_ANONYMOUS);
    free(token);
    signer_free(&stranger);
    world_free(&world);
}

Test(identity_jwt, a_set_that_is_not_there_refuses)
{
    struct world world = world_new(POLICY(""));
    struct jwks *kept = known;
    known = NULL;
    cr_assert_str_eq(bear(&world, CLAIMS(",\"sub\":\"a\"")), "token_key_unknown");
    known = kept;
    world_free(&world);
}

Test(identity_jwt, in_the_authentication_data)
{
    struct world world = world_new(POLICY(", in: auth"));
    char *token = signer_sign(&world.signer, CLAIMS(",\"sub\":\"a\""));
    struct policy_credentials credentials = credentials_of("secret");
    credentials.has_authentication = true;
    credentials.authentication_method = VIEW("JWT");
    credentials.authentication_data = view_of_string(token);
    cr_assert_str_eq(identify(&world, &credentials), "none");
    cr_assert_eq(world.found.token, POLICY_TOKEN_AUTHENTICATION);
    cr_assert(view_equal(policy_subject_id(world.subject), VIEW("a")));
    credentials.authentication_data = VIEW("");
    cr_assert_str_eq(identify(&world, &credentials), "token_malformed");
    credentials.authentication_method = VIEW("SCRAM-SHA-256");
    identify(&world, &credentials);
    cr_assert_eq(world.found.source, POLICY_SOURCE_PASSWORD);
    /* A token in the password is no credential of this source. */
    credentials = credentials_of(token);
    identify(&world, &credentials);
    cr_assert_eq(world.found.source, POLICY_SOURCE_PASSWORD);
    free(token);
    world_free(&world);
}

Test(identity_jwt, kept_at_expiry_and_passed_on)
{
    struct world world = world_new(POLICY(", at_expiry: keep, forward: pass"));
    cr_assert_str_eq(bear(&world, CLAIMS(",\"sub\":\"a\"")), "none");
    cr_assert_eq(world.found.expires_s, 0);
    cr_assert_eq(world.found.token, POLICY_TOKEN_NONE);
    world_free(&world);
}

Test(identity_jwt, monitor_mode_lets_in_a_stranger_of_whom_nothing_is_believed)
{
    struct fixture fixture = fixture_good(
        "version: 1\npolicy: p\nmode: monitor\nidentity:\n  - jwt: {jwks: idp, issuer: i, audience: mqtt, "
        "algs: [EdDSA], groups: roles}\ngroups: {g: {member: x}}\nrules:\n  - {rule: r, who: g, allow: "
        "publish, topics: [t]}\n");
    struct policy_credentials credentials = credentials_of("eyJhbGciOiJub25lIn0.e30.");
    struct policy_subject *subject;
    struct signer signer = signer_new(JWT_EDDSA, NULL);
    char *jwk = signer_jwk(&signer, "");
    const char *names[4];
    known = set_of((const char *const[]){jwk, NULL});
    struct policy_identification found = policy_identify(fixture.policy, &credentials, &subject);
    cr_assert_eq(found.reason, REASON_token_algorithm);
    cr_assert_eq(found.token, POLICY_TOKEN_PASSWORD);
    cr_assert_not_null(subject);
    cr_assert_eq(policy_subject_groups(fixture.policy, subject, names, 4), 0);
    policy_subject_free(subject);
    jwks_free(known);
    free(jwk);
    signer_free(&signer);
    fixture_free(&fixture);
}

Test(identity_cert, the_session_ends_with_the_certificate_if_the_policy_says_so)
{
    static const char *const cas[] = {"fleet"};
    static const struct policy_certificate_value values[] = {{"cn", {(const uint8_t *)"plc-7", 5}}};
    const struct policy_credentials credentials = {
        .has_certificate = true,
        .certificate_cas = cas,
        .certificate_ca_count = 1,
        .certificate_values = values,
        .certificate_value_count = 1,
        .certificate_expires_s = NOW + 5,
        .client_id = VIEW("plc-7"),
    };
    static const struct {
        const char *text;
        uint64_t expires_s;
    } rows[] = {{"", 0}, {", at_expiry: keep", 0}, {", at_expiry: disconnect", NOW + 5}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *text = memory_format("version: 1\npolicy: p\nidentity:\n  - cert: {ca: fleet, id: cn%s}\n"
                                   "rules:\n  - {rule: r, who: everyone, allow: publish, topics: [t]}\n",
            rows[i].text);
        struct fixture fixture = fixture_good(text);
        struct policy_subject *subject;
        cr_assert_eq(policy_identify(fixture.policy, &credentials, &subject).expires_s, rows[i].expires_s);
        policy_subject_free(subject);
        fixture_free(&fixture);
        free(text);
    }
}
