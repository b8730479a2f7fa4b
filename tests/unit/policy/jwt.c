/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens: each algorithm, and each way in which a token is not to be believed (RFC 7515, 7519, 8725). */
#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include "base/memory.h"
#include "jose.h"

#define NOW UINT64_C(1700000000)
#define GOOD                                                                                                 \
    "{\"iss\":\"https://idp.example\",\"aud\":\"mqtt\",\"sub\":\"plc-7\",\"exp\":1700000600,"                \
    "\"iat\":1700000000}"
#define ALL (JWT_RS256 | JWT_ES256 | JWT_EDDSA | JWT_HS256)

static const struct view issuers[] = {{(const uint8_t *)"https://idp.example", 19}};
static const struct view audiences[] = {{(const uint8_t *)"mqtt", 4}, {(const uint8_t *)"mqtt-b", 6}};

static const struct jwt_settings settings = {.algorithms = ALL,
    .issuers = issuers,
    .issuer_count = 1,
    .audiences = audiences,
    .audience_count = 2,
    .skew_s = 30};

static char last_detail[JWT_DETAIL_SIZE];

/* The reason's name for a token; frees the token. */
static const char *judge_with(
    const struct jwks *jwks, const struct jwt_settings *wanted, char *token, uint64_t now)
{
    struct jwt *claims = (struct jwt *)1;
    enum reason reason = jwt_verify(jwks, wanted, view_of_string(token), now, &claims, last_detail);
    cr_assert((claims != NULL) == (reason == REASON_none));
    jwt_free(claims);
    free(token);
    return reason_info(reason)->name;
}

static const char *judge(const struct jwks *jwks, char *token)
{
    return judge_with(jwks, &settings, token, NOW);
}

#define EXPECT(call, reason_name)                                                                            \
    do {                                                                                                     \
        const char *name_ = (call);                                                                          \
        cr_assert(strcmp(name_, reason_name) == 0, "%s (%s), not %s", name_, last_detail, reason_name);      \
    } while (0)

/* A signer and a set that knows it. */
struct issuer {
    struct signer signer;
    struct jwks *jwks;
};

static struct issuer issuer_new(enum jwt_algorithm algorithm, const char *kid)
{
    struct issuer issuer = {.signer = signer_new(algorithm, kid)};
    char *jwk = signer_jwk(&issuer.signer, "");
    issuer.jwks = set_of((const char *const[]){jwk, NULL});
    free(jwk);
    return issuer;
}

static void issuer_free(struct issuer *issuer)
{
    jwks_free(issuer->jwks);
    signer_free(&issuer->signer);
}

static const enum jwt_algorithm algorithms[] = {JWT_RS256, JWT_ES256, JWT_EDDSA, JWT_HS256};

Test(jwt, each_algorithm_with_and_without_kid)
{
    for (size_t i = 0; i < 4; i++) {
        for (int named = 0; named < 2; named++) {
            struct issuer issuer = issuer_new(algorithms[i], named ? "k1" : NULL);
            EXPECT(judge(issuer.jwks, signer_sign(&issuer.signer, GOOD)), "none");
            issuer_free(&issuer);
        }
    }
}

Test(jwt, every_changed_bit_of_a_signature_is_refused)
{
    for (size_t i = 1; i < 4; i++) {
        struct issuer issuer = issuer_new(algorithms[i], "k1");
        char *token = signer_sign(&issuer.signer, GOOD);
        char *signature = strrchr(token, '.') + 1;
        for (char *c = signature; c[1] != '\0'; c++) {
            char old = *c;
            *c = old == 'A' ? 'B' : 'A';
            EXPECT(judge(issuer.jwks, memory_format("%s", token)), "token_signature");
            *c = old;
        }
        EXPECT(judge(issuer.jwks, token), "none");
        issuer_free(&issuer);
    }
}

Test(jwt, every_changed_byte_of_header_and_claims_is_refused)
{
    struct issuer issuer = issuer_new(JWT_EDDSA, NULL);
    char *token = signer_sign(&issuer.signer, GOOD);
    for (char *c = token; c < strrchr(token, '.'); c++) {
        char old = *c;
        *c = old == 'A' ? 'B' : 'A';
        cr_assert(strcmp(judge(issuer.jwks, memory_format("%s", token)), "none") != 0, "at %td", c - token);
        *c = old;
    }
    free(token);
    issuer_free(&issuer);
}

Test(jwt, none_is_no_algorithm)
{
    static const char *const names[] = {"none", "None", "NONE", "nOnE", "", "es256", "ES384", "PS256", "dir"};
    struct issuer issuer = issuer_new(JWT_ES256, NULL);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *header = memory_format("{\"alg\":\"%s\"}", names[i]);
        EXPECT(judge(issuer.jwks, token_of(header, GOOD, NULL, 0)), "token_algorithm");
        EXPECT(judge(issuer.jwks, signer_token(&issuer.signer, header, GOOD)), "token_algorithm");
        free(header);
    }
    /* The right name does not make an empty signature one. */
    EXPECT(judge(issuer.jwks, token_of("{\"alg\":\"ES256\"}", GOOD, NULL, 0)), "token_signature");
    issuer_free(&issuer);
}

/* The classic: what the verifier publishes becomes the secret of an HMAC. */
static void confuse(const struct issuer *issuer, const char *header, const char *expected)
{
    BIO *out = BIO_new(BIO_s_mem());
    char *pem = NULL;
    uint8_t *der = NULL;
    char *jwk = signer_jwk(&issuer->signer, "");
    PEM_write_bio_PUBKEY(out, issuer->signer.key);
    size_t pem_length = (size_t)BIO_get_mem_data(out, &pem);
    int der_length = i2d_PUBKEY(issuer->signer.key, &der);
    const struct view secrets[] = {view_of(pem, pem_length), view_of(pem, pem_length - 1),
        view_of(der, (size_t)der_length), view_of_string(jwk), VIEW("")};

    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        char *probe = token_of(header, GOOD, NULL, 0);
        uint8_t mac[32];
        unsigned length = 0;
        HMAC(EVP_sha256(), secrets[i].data, (int)secrets[i].length, (const uint8_t *)probe, strlen(probe) - 1,
            mac, &length);
        EXPECT(judge(issuer->jwks, token_of(header, GOOD, mac, length)), expected);
        free(probe);
    }
    free(jwk);
    OPENSSL_free(der);
    BIO_free(out);
}

Test(jwt, a_public_key_is_no_hmac_secret)
{
    static const enum jwt_algorithm kinds[] = {JWT_RS256, JWT_ES256, JWT_EDDSA};
    for (size_t i = 0; i < 3; i++) {
        struct issuer issuer = issuer_new(kinds[i], "k1");
        confuse(&issuer, "{\"alg\":\"HS256\",\"kid\":\"k1\"}", "token_algorithm");
        confuse(&issuer, "{\"alg\":\"HS256\"}", "token_key_unknown");
        issuer_free(&issuer);
    }
}

Test(jwt, the_token_can_not_choose_another_algorithm_for_a_key)
{
    static const char *const names[] = {"RS256", "ES256", "EdDSA", "HS256"};
    for (size_t i = 0; i < 4; i++) {
        struct issuer issuer = issuer_new(algorithms[i], "k1");
        for (size_t k = 0; k < 4; k++) {
            char *header = memory_format("{\"alg\":\"%s\",\"kid\":\"k1\"}", names[k]);
            EXPECT(judge(issuer.jwks, signer_token(&issuer.signer, header, GOOD)),
                i == k ? "none" : "token_algorithm");
            free(header);
        }
        issuer_free(&issuer);
    }
}

Test(jwt, only_algorithms_of_the_policy)
{
    struct issuer issuer = issuer_new(JWT_ES256, "k1");
    struct jwt_settings other = settings;
    other.algorithms = JWT_RS256 | JWT_EDDSA | JWT_HS256;
    EXPECT(judge_with(issuer.jwks, &other, signer_sign(&issuer.signer, GOOD), NOW), "token_algorithm");
    other.algorithms = JWT_ES256;
    EXPECT(judge_with(issuer.jwks, &other, signer_sign(&issuer.signer, GOOD), NOW), "none");
    issuer_free(&issuer);
}

Test(jwt, a_key_without_its_own_issuer_is_not_taken_from_the_header)
{
    struct issuer issuer = issuer_new(JWT_EDDSA, "k1");
    struct signer stranger = signer_new(JWT_EDDSA, "k1");
    char *jwk = signer_jwk(&stranger, "");
    char *header = memory_format("{\"alg\":\"EdDSA\",\"jwk\":%s,\"jku\":\"https://evil.example/jwks\"}", jwk);
    EXPECT(judge(issuer.jwks, signer_token(&stranger, header, GOOD)), "token_signature");
    /* One that is honest about its key in the header is verified with the set all the same. */
    EXPECT(judge(issuer.jwks, signer_token(&issuer.signer, header, GOOD)), "none");
    free(header);
    free(jwk);
    signer_free(&stranger);
    issuer_free(&issuer);
}

Test(jwt, kid_selects)
{
    struct signer a = signer_new(JWT_EDDSA, "a"), b = signer_new(JWT_EDDSA, "b");
    char *jwk_a = signer_jwk(&a, ""), *jwk_b = signer_jwk(&b, "");
    struct jwks *both = set_of((const char *const[]){jwk_a, jwk_b, NULL});
    EXPECT(judge(both, signer_sign(&a, GOOD)), "none");
    EXPECT(judge(both, signer_sign(&b, GOOD)), "none");
    EXPECT(judge(both, signer_token(&b, "{\"alg\":\"EdDSA\"}", GOOD)), "none");
    EXPECT(judge(both, signer_token(&b, "{\"alg\":\"EdDSA\",\"kid\":\"a\"}", GOOD)), "token_signature");
    static const char *const unknown[] = {"c", "", "A", "../../dev/null", "a' OR 1=1", "a\\u0001"};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        char *header = memory_format("{\"alg\":\"EdDSA\",\"kid\":\"%s\"}", unknown[i]);
        EXPECT(judge(both, signer_token(&b, header, GOOD)), "token_key_unknown");
        cr_assert(strchr(last_detail, '\1') == NULL && strlen(last_detail) < 80);
        free(header);
    }
    EXPECT(judge(both, signer_token(&b, "{\"alg\":\"EdDSA\",\"kid\":7}", GOOD)), "token_malformed");
    EXPECT(judge(both, signer_token(&b, "{\"alg\":\"EdDSA\",\"kid\":null}", GOOD)), "token_malformed");
    jwks_free(both);
    free(jwk_a);
    free(jwk_b);
    signer_free(&a);
    signer_free(&b);
}

Test(jwt, without_kid_at_most_eight_keys_are_tried)
{
    struct signer signers[10];
    char *jwks[11] = {NULL};
    for (size_t i = 0; i < 10; i++) {
        signers[i] = signer_new(JWT_EDDSA, NULL);
        jwks[i] = signer_jwk(&signers[i], "");
    }
    struct jwks *set = set_of((const char *const *)jwks);
    EXPECT(judge(set, signer_sign(&signers[7], GOOD)), "none");
    EXPECT(judge(set, signer_sign(&signers[8], GOOD)), "token_signature");
    jwks_free(set);
    for (size_t i = 0; i < 10; i++) {
        signer_free(&signers[i]);
        free(jwks[i]);
    }
}

Test(jwt, headers_that_are_refused)
{
    static const char *const headers[][2] = {
        {"", "token_malformed"},
        {"[]", "token_malformed"},
        {"{}", "token_malformed"},
        {"{\"alg\":1}", "token_malformed"},
        {"{\"alg\":\"EdDSA\"", "token_malformed"},
        {"{\"alg\":\"EdDSA\"}x", "token_malformed"},
        {"{\"alg\":\"none\",\"alg\":\"EdDSA\"}", "token_malformed"},
        {"{\"alg\":\"EdDSA\",\"alg\":\"EdDSA\"}", "token_malformed"},
        {"{\"alg\":\"EdDSA\",\"crit\":[\"exp\"],\"exp\":1}", "token_malformed"},
        {"{\"alg\":\"EdDSA\",\"b64\":false,\"crit\":[\"b64\"]}", "token_malformed"},
        {"{\"alg\":\"EdDSA\",\"b64\":false}", "token_malformed"},
        {"{\"alg\":\"EdDSA\",\"typ\":\"logout+jwt\"}", "token_malformed"},
        {"{\"alg\":\"EdDSA\",\"typ\":\"dpop+jwt\"}", "token_malformed"},
        {"{\"alg\":\"EdDSA\",\"typ\":7}", "token_malformed"},
        {"{\"alg\":\"EdDSA\\u0000\"}", "token_malformed"},
        {"{\"alg\":\"EdDSA\",\"x\":[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]}", "token_malformed"},
        {"{\"alg\":\"EdDSA\",\"x\":\"\xff\"}", "token_malformed"},
        {"{\"alg\":\"EdDSA\",\"typ\":\"jwt\"}", "none"},
        {"{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\"}", "none"},
        {"{\"alg\":\"EdDSA\",\"typ\":\"application/at+JWT\"}", "none"},
        {"{\"alg\":\"EdDSA\",\"x\":[[[[1]]]]}", "none"},
    };
    struct issuer issuer = issuer_new(JWT_EDDSA, NULL);
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        const char *name = judge(issuer.jwks, signer_token(&issuer.signer, headers[i][0], GOOD));
        cr_assert_str_eq(name, headers[i][1], "%s: %s", headers[i][0], name);
    }
    issuer_free(&issuer);
}

#define CLAIMS(more) "{\"iss\":\"https://idp.example\",\"aud\":\"mqtt\",\"sub\":\"x\"" more "}"

Test(jwt, claims_that_are_refused)
{
    static const char *const rows[][2] = {
        {CLAIMS(""), "token_claim_missing"},
        {CLAIMS(",\"exp\":\"1700000600\""), "token_claim_invalid"},
        {CLAIMS(",\"exp\":null"), "token_claim_invalid"},
        {CLAIMS(",\"exp\":true"), "token_claim_invalid"},
        {CLAIMS(",\"exp\":[1700000600]"), "token_claim_invalid"},
        {CLAIMS(",\"exp\":-1"), "token_claim_invalid"},
        {CLAIMS(",\"exp\":1700000600000"), "token_claim_invalid"}, /* milliseconds */
        {CLAIMS(",\"exp\":1e300"), "token_claim_invalid"},
        {CLAIMS(",\"exp\":1e999"), "token_malformed"},
        {CLAIMS(",\"exp\":99999999999999999999"), "token_malformed"},
        {CLAIMS(",\"exp\":NaN"), "token_malformed"},
        {CLAIMS(",\"exp\":1700000600,\"exp\":1700000600"), "token_malformed"},
        {CLAIMS(",\"exp\":1700000600,\"sub\":\"y\""), "token_malformed"},
        {CLAIMS(",\"exp\":1699999970"), "token_expired"},
        {CLAIMS(",\"exp\":0"), "token_expired"},
        {CLAIMS(",\"exp\":1699999969.5"), "token_expired"},
        {CLAIMS(",\"exp\":1699999970.5"), "none"},
        {CLAIMS(",\"exp\":1699999971"), "none"}, /* within the skew */
        {CLAIMS(",\"exp\":1700000600.25"), "none"},
        {CLAIMS(",\"exp\":1.7000006e9"), "none"},
        {CLAIMS(",\"exp\":253402300799"), "none"},
        {CLAIMS(",\"exp\":1700000600,\"nbf\":1700000030"), "none"},
        {CLAIMS(",\"exp\":1700000600,\"nbf\":1700000030.75"), "none"},
        {CLAIMS(",\"exp\":1700000600,\"nbf\":1700000031"), "token_not_yet_valid"},
        {CLAIMS(",\"exp\":1700000600,\"nbf\":\"0\""), "token_claim_invalid"},
        {CLAIMS(",\"exp\":1700000600,\"iat\":1700000031"), "token_not_yet_valid"},
        {CLAIMS(",\"exp\":1700000600,\"iat\":{}"), "token_claim_invalid"},
        {"{\"iss\":\"https://idp.example\",\"exp\":1700000600}", "token_claim_missing"},
        {"{\"iss\":\"https://idp.example\",\"exp\":1700000600,\"aud\":\"MQTT\"}", "token_audience"},
        {"{\"iss\":\"https://idp.example\",\"exp\":1700000600,\"aud\":[]}", "token_audience"},
        {"{\"iss\":\"https://idp.example\",\"exp\":1700000600,\"aud\":[\"web\",\"api\"]}", "token_audience"},
        {"{\"iss\":\"https://idp.example\",\"exp\":1700000600,\"aud\":[\"web\",\"mqtt-b\"]}", "none"},
        {"{\"iss\":\"https://idp.example\",\"exp\":1700000600,\"aud\":[\"mqtt\",7]}", "token_claim_invalid"},
        {"{\"iss\":\"https://idp.example\",\"exp\":1700000600,\"aud\":{\"mqtt\":1}}", "token_claim_invalid"},
        {"{\"aud\":\"mqtt\",\"exp\":1700000600}", "token_claim_missing"},
        {"{\"aud\":\"mqtt\",\"exp\":1700000600,\"iss\":\"https://idp.example/\"}", "token_issuer"},
        {"{\"aud\":\"mqtt\",\"exp\":1700000600,\"iss\":\"https://idp.example.evil\"}", "token_issuer"},
        {"{\"aud\":\"mqtt\",\"exp\":1700000600,\"iss\":[\"https://idp.example\"]}", "token_claim_invalid"},
        {"[1]", "token_malformed"},
        {"\"x\"", "token_malformed"},
        {"", "token_malformed"},
        {"{\"a\":", "token_malformed"},
    };
    struct issuer issuer = issuer_new(JWT_HS256, NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *name = judge(issuer.jwks, signer_sign(&issuer.signer, rows[i][0]));
        cr_assert_str_eq(name, rows[i][1], "%s: %s (%s)", rows[i][0], name, last_detail);
    }
    issuer_free(&issuer);
}

/* Nothing is said about the claims of a token that nobody signed. */
Test(jwt, the_signature_comes_first)
{
    struct issuer issuer = issuer_new(JWT_EDDSA, NULL);
    struct signer stranger = signer_new(JWT_EDDSA, NULL);
    EXPECT(judge(issuer.jwks, signer_sign(&stranger, CLAIMS(",\"exp\":1"))), "token_signature");
    EXPECT(judge(issuer.jwks, signer_sign(&stranger, "no JSON")), "token_signature");
    signer_free(&stranger);
    issuer_free(&issuer);
}

Test(jwt, forms_that_are_refused)
{
    static const char *const changes[] = {"%s.", ".%s", "%s=", "%s\n", " %s", "%s.e30", "%s "};
    struct issuer issuer = issuer_new(JWT_EDDSA, NULL);
    char *good = signer_sign(&issuer.signer, GOOD);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        size_t before = (size_t)(strstr(changes[i], "%s") - changes[i]);
        char *token = memory_format("%.*s%s%s", (int)before, changes[i], good, changes[i] + before + 2);
        EXPECT(judge(issuer.jwks, token), "token_malformed");
    }
    /* 64 bytes of signature leave four bits over, which must be zero: another text would be the same token.
     */
    char last = good[strlen(good) - 1];
    good[strlen(good) - 1] = last == 'A' ? 'B' : (char)(last + 1);
    EXPECT(judge(issuer.jwks, memory_format("%s", good)), "token_malformed");
    EXPECT(judge(issuer.jwks, memory_format("%s", "")), "token_malformed");
    EXPECT(judge(issuer.jwks, memory_format("%s", "..")), "token_malformed");
    EXPECT(
        judge(issuer.jwks, memory_format("%.*s", (int)(strrchr(good, '.') - good), good)), "token_malformed");
    free(good);
    issuer_free(&issuer);
}

Test(jwt, size_is_bounded)
{
    struct issuer issuer = issuer_new(JWT_HS256, NULL);
    for (size_t size = 1000; size < 10000; size += 500) {
        char *filler = memory_calloc(1, size + 1);
        memset(filler, 'x', size);
        char *claims = memory_format("{\"iss\":\"https://idp.example\",\"aud\":\"mqtt\",\"exp\":1700000600,"
                                     "\"x\":\"%s\"}",
            filler);
        char *token = signer_sign(&issuer.signer, claims);
        const char *expected = strlen(token) <= JWT_SIZE_MAXIMUM ? "none" : "token_malformed";
        EXPECT(judge(issuer.jwks, token), expected);
        free(claims);
        free(filler);
    }
    issuer_free(&issuer);
}

Test(jwt, what_looks_like_a_token)
{
    static const struct {
        const char *text;
        bool looks;
    } rows[] = {
        {"eyJhbGciOiJub25lIn0.e30.", true},
        {"eyJhbGciOiJub25lIn0.e30.AAAA", true},
        {"ewogImFsZyI6IkVTMjU2In0.e30.AAAA", true}, /* "{\n" */
        {"eyJh.damaged.tok en", true},
        {"eyJlbmMiOiJBMjU2R0NNIn0.a.b.c.d", true}, /* encrypted */
        {"eyJhbGciOiJub25lIn0.e30", false},
        {"eyJhbGciOiJub25lIn0", false},
        {"secret", false},
        {"a.b.c", false},
        {"correct.horse.battery", false},
        {"", false},
        {"ey..", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_assert(jwt_looks_like_one(view_of_string(rows[i].text)) == rows[i].looks, "%s", rows[i].text);
}

Test(jwt, expiry_is_that_of_the_token_and_the_skew)
{
    struct issuer issuer = issuer_new(JWT_HS256, NULL);
    char *token = signer_sign(&issuer.signer, CLAIMS(",\"exp\":1700000600.2"));
    struct jwt *claims;
    cr_assert(
        jwt_verify(issuer.jwks, &settings, view_of_string(token), NOW, &claims, last_detail) == REASON_none);
    cr_assert(jwt_expires_s(claims) == 1700000631);
    jwt_free(claims);
    /* Until the last moment of it a token is good. */
    EXPECT(judge_with(issuer.jwks, &settings, memory_format("%s", token), 1700000630), "none");
    EXPECT(judge_with(issuer.jwks, &settings, token, 1700000631), "token_expired");
    issuer_free(&issuer);
}

/* ---- claims by name ---- */

static struct jwt *claims_of(struct issuer *issuer, const char *claims)
{
    struct jwt *found;
    char *token = signer_sign(&issuer->signer, claims);
    enum reason reason = jwt_verify(issuer->jwks, &settings, view_of_string(token), NOW, &found, last_detail);
    cr_assert(reason == REASON_none, "%s %s", reason_info(reason)->name, last_detail);
    free(token);
    return found;
}

Test(jwt, claims_are_found_by_path)
{
    struct issuer issuer = issuer_new(JWT_HS256, NULL);
    struct jwt *claims = claims_of(&issuer,
        CLAIMS(",\"exp\":1700000600,\"n\":42,\"r\":1.5,\"t\":true,\"a.b\":\"flat\",\"a\":{\"b\":\"deep\"},"
               "\"https://x.example/site\":\"s1\",\"realm\":{\"roles\":[\"r1\",\"r2\"]},\"one\":\"r3\","
               "\"mixed\":[\"r1\",2],\"empty\":[]"));
    static const struct {
        const char *path, *text;
        enum jwt_claim found;
    } texts[] = {
        {"sub", "x", JWT_CLAIM_FOUND},
        {"n", "42", JWT_CLAIM_FOUND},
        {"a.b", "deep", JWT_CLAIM_FOUND},
        {"https://x.example/site", "s1", JWT_CLAIM_FOUND},
        {"r", NULL, JWT_CLAIM_INVALID},
        {"t", NULL, JWT_CLAIM_INVALID},
        {"a", NULL, JWT_CLAIM_INVALID},
        {"sub.b", NULL, JWT_CLAIM_INVALID},
        {"a.c", NULL, JWT_CLAIM_MISSING},
        {"zone", NULL, JWT_CLAIM_MISSING},
        {"urn:x", NULL, JWT_CLAIM_MISSING},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct view text = {NULL, 0};
        cr_assert(jwt_claim_text(claims, view_of_string(texts[i].path), &text) == texts[i].found, "%s",
            texts[i].path);
        cr_assert(view_equal_string(text, texts[i].text), "%s", texts[i].path);
    }
    const struct view *items;
    size_t count;
    cr_assert(jwt_claim_list(claims, VIEW("realm.roles"), &items, &count) == JWT_CLAIM_FOUND && count == 2 &&
              view_equal(items[1], VIEW("r2")));
    cr_assert(jwt_claim_list(claims, VIEW("one"), &items, &count) == JWT_CLAIM_FOUND && count == 1);
    cr_assert(jwt_claim_list(claims, VIEW("empty"), &items, &count) == JWT_CLAIM_FOUND && count == 0);
    cr_assert(jwt_claim_list(claims, VIEW("mixed"), &items, &count) == JWT_CLAIM_INVALID);
    cr_assert(jwt_claim_list(claims, VIEW("n"), &items, &count) == JWT_CLAIM_INVALID);
    cr_assert(jwt_claim_list(claims, VIEW("zone"), &items, &count) == JWT_CLAIM_MISSING);
    jwt_free(claims);
    issuer_free(&issuer);
}

Test(jwt, paths_of_claims)
{
    static const char *const good[] = {"sub", "a.b.c", "https://x.example/a..b", "cognito:groups", "x y"};
    static const char *const bad[] = {"", ".", "a.", ".a", "a..b"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_assert(jwt_claim_path_valid(view_of_string(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert(!jwt_claim_path_valid(view_of_string(bad[i])), "%s", bad[i]);
}
