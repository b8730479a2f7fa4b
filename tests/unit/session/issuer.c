/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens and key sets of scenarios. Called by scenario_identity.c and world.c. */
#include "issuer.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/view.h"

#define KEYS 3
#define KEY_BYTES 32

static char *base64url(const void *bytes, size_t length)
{
    char *text = memory_calloc(length / 3 + 2, 4);

    EVP_EncodeBlock((uint8_t *)text, bytes, (int)length);
    for (char *c = text; *c != 0; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    text[strcspn(text, "=")] = 0;
    return text;
}

/* -1: there is none of that name. */
static int find_key(const char *name)
{
    return name[0] == 'k' && name[1] >= '1' && name[1] < '1' + KEYS && name[2] == 0 ? name[1] - '1' : -1;
}

static void key_bytes(int key, uint8_t out[KEY_BYTES])
{
    memset(out, 'A' + key, KEY_BYTES);
}

/* ---- key sets ---- */

static struct jwks *load(const char *text)
{
    char path[] = "/tmp/mqward-issuer-XXXXXX";
    struct diag_list *diag = diag_list_new();
    struct jwks *keys = NULL;
    int fd = mkstemp(path);

    if (fd >= 0 && fchmod(fd, 0600) == 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text))
        keys = jwks_load(path, diag, NULL);
    diag_print(diag, stderr);
    diag_list_free(diag);
    close(fd);
    unlink(path);
    return keys;
}

const struct jwks *issuer_keys(const char *name)
{
    static struct jwks *sets[KEYS];
    int key = find_key(name);
    uint8_t bytes[KEY_BYTES];
    char *secret, *text;

    if (key < 0 || sets[key] != NULL)
        return key < 0 ? NULL : sets[key];
    key_bytes(key, bytes);
    secret = base64url(bytes, sizeof(bytes));
    text = memory_format("{\"keys\": [{\"kty\": \"oct\", \"k\": \"%s\"}]}", secret);
    sets[key] = load(text);
    free(text);
    free(secret);
    return sets[key];
}

/* ---- tokens ---- */

struct claims {
    const char *key, *iss, *aud, *sub, *exp, *roles;
};

static bool take_word(struct claims *claims, char *word)
{
    const struct {
        const char *name;
        const char **value;
    } rows[] = {{"key", &claims->key}, {"iss", &claims->iss}, {"aud", &claims->aud}, {"sub", &claims->sub},
        {"exp", &claims->exp}, {"roles", &claims->roles}};
    char *equals = strchr(word, '=');

    if (equals == NULL)
        return false;
    *equals = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (strcmp(rows[i].name, word) == 0) {
            *rows[i].value = equals + 1;
            return true;
        }
    return false;
}

static char *claims_text(const struct claims *claims)
{
    char *roles = memory_copy_string(view_of_string(claims->roles)), *save = NULL;
    char list[256] = "", audience[128] = "", *text;

    for (char *role = strtok_r(roles, ",", &save); role != NULL; role = strtok_r(NULL, ",", &save))
        snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s\"%s\"", list[0] == 0 ? "" : ",", role);
    if (claims->aud[0] != 0)
        snprintf(audience, sizeof(audience), "\"aud\":\"%s\",", claims->aud);
    text = memory_format("{\"iss\":\"%s\",%s\"sub\":\"%s\",\"exp\":%s,\"roles\":[%s]}", claims->iss, audience,
        claims->sub, claims->exp, list);
    free(roles);
    return text;
}

char *issuer_token(const char *words)
{
    static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    struct claims claims = {"k1", "i", "mqtt", "eva", "4102444800", ""};
    char *copy = memory_copy_string(view_of_string(words)), *save = NULL, *token = NULL;
    uint8_t key[KEY_BYTES], mac[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    bool good = true;

    for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
        good = good && take_word(&claims, word);
    if (good && find_key(claims.key) >= 0) {
        char *text = claims_text(&claims), *first = base64url(header, strlen(header)),
             *second = base64url(text, strlen(text)), *part = memory_format("%s.%s", first, second), *last;

        key_bytes(find_key(claims.key), key);
        HMAC(EVP_sha256(), key, KEY_BYTES, (const uint8_t *)part, strlen(part), mac, &length);
        last = base64url(mac, length);
        token = memory_format("%s.%s", part, last);
        free(text);
        free(first);
        free(second);
        free(part);
        free(last);
    }
    free(copy);
    return token;
}
