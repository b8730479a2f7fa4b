/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens and key sets. The first byte chooses: a token as it is; header and claims (a newline between them),
 * signed here, so that what is behind the signature is reached; a key set. */
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "policy/jwt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECRET "0123456789abcdef0123456789abcdef"

static struct jwks *load(struct view text)
{
    struct diag_list *diag = diag_list_new();
    int fd = memfd_create("jwks", 0);
    char *path = memory_format("/proc/self/fd/%d", fd);
    if (fd < 0 || fchmod(fd, 0600) != 0 || write(fd, text.data, text.length) != (ssize_t)text.length)
        abort();
    struct jwks *jwks = jwks_load(path, diag, NULL);
    if ((jwks == NULL) != (diag_errors(diag) > 0))
        abort();
    free(path);
    close(fd);
    diag_list_free(diag);
    return jwks;
}

static const struct jwks *known(void)
{
    static struct jwks *jwks;
    if (jwks == NULL)
        jwks = load(VIEW("{\"keys\":[{\"kty\":\"oct\",\"k\":\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"},"
                         "{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"e\","
                         "\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
                         "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"},"
                         "{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
                         "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"));
    return jwks;
}

static char *encode(struct view bytes)
{
    char *text = memory_calloc(bytes.length / 3 + 2, 4);
    EVP_EncodeBlock((uint8_t *)text, bytes.data, (int)bytes.length);
    for (char *c = text; *c != '\0'; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    text[strcspn(text, "=")] = '\0';
    return text;
}

/* believed: somebody who has the secret signed it. */
static void verify(struct view token, bool believed)
{
    static const struct view issuer = {(const uint8_t *)"i", 1};
    const struct jwt_settings settings = {
        JWT_RS256 | JWT_ES256 | JWT_EDDSA | JWT_HS256, &issuer, 1, &issuer, 1, 30};
    char detail[JWT_DETAIL_SIZE];
    struct jwt *claims;
    struct view text;
    const struct view *items;
    size_t count;
    enum reason reason = jwt_verify(known(), &settings, token, 1700000000, &claims, detail);
    if ((reason == REASON_none) != (claims != NULL) || (claims != NULL && !believed))
        abort();
    if (claims == NULL)
        return;
    if (jwt_expires_s(claims) <= 1700000000)
        abort();
    jwt_claim_text(claims, VIEW("sub"), &text);
    jwt_claim_list(claims, VIEW("a.b"), &items, &count);
    jwt_claim_list(claims, VIEW("urn:a.b"), &items, &count);
    jwt_free(claims);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct view rest = view_skip(view_of(data, size), 1);
    if (size < 2)
        return 0;
    if (data[0] % 3 == 0) {
        jwt_looks_like_one(rest);
        verify(rest, false);
    } else if (data[0] % 3 == 1) {
        const uint8_t *newline = memchr(rest.data, '\n', rest.length);
        size_t length = newline == NULL ? rest.length : (size_t)(newline - rest.data);
        char *header = encode(view_of(rest.data, length));
        char *claims = newline == NULL ? memory_format("%s", "") : encode(view_skip(rest, length + 1));
        char *part = memory_format("%s.%s", header, claims);
        uint8_t mac[32];
        HMAC(EVP_sha256(), SECRET, 32, (uint8_t *)part, strlen(part), mac, NULL);
        char *signature = encode(view_of(mac, sizeof(mac)));
        char *token = memory_format("%s.%s", part, signature);
        verify(view_of_string(token), true);
        free(token);
        free(signature);
        free(part);
        free(claims);
        free(header);
    } else {
        jwks_free(load(rest));
    }
    return 0;
}
