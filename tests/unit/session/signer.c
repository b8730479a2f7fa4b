/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the signatures of scenarios. Called by scenario_signed.c and by the world's hooks. */
#include "signer.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"

struct keyring *signer_keyring(void)
{
    static struct keyring *keyring;
    static const uint8_t secrets[3][32] = {{0x11, 0x83}, {0x27, 0x5d}, {0x39, 0xe2}};
    static const struct view revoked = {(const uint8_t *)"plc-9", 5};
    struct keyring_given given[] = {
        {.entry = {.kid = "m25a", .type = KEYRING_MASTER, .algorithm = MPS1_HMAC_SHA_256, .revoked_count = 1},
            .revoked = &revoked},
        {.entry = {.kid = "m38", .type = KEYRING_MASTER, .algorithm = MPS1_HMAC_SHA_384}},
        {.entry = {.kid = "own", .type = KEYRING_STATIC, .algorithm = MPS1_HMAC_SHA_256, .sub = VIEW("eva")}},
    };

    if (keyring != NULL)
        return keyring;
    for (size_t i = 0; i < 3; i++) {
        given[i].entry.not_after_ms = UINT64_MAX;
        given[i].secret = view_of(secrets[i], sizeof(secrets[i]));
    }
    return keyring = keyring_of(given, 3);
}

/* ---- a message ---- */

struct signing {
    struct mps1_header header;
    struct mps1_message message;
    bool forged;
};

static void write_number(uint8_t *out, size_t size, uint64_t number)
{
    for (; size > 0; size--, number >>= 8)
        out[size - 1] = (uint8_t)number;
}

static void set_nonce(struct signing *signing, const char *name)
{
    size_t length = strlen(name);

    memset(signing->header.nonce, 0, MPS1_NONCE_SIZE);
    memcpy(signing->header.nonce, name, length < MPS1_NONCE_SIZE ? length : MPS1_NONCE_SIZE);
}

/* "1:42", and no clock. */
static void set_sequence(struct signing *signing, const char *value)
{
    char *colon;

    signing->header.flags |= MPS1_SEQ;
    signing->header.t_ms = 0;
    write_number(signing->header.nonce, 8, strtoull(value, &colon, 10));
    write_number(signing->header.nonce + 8, 8, strtoull(colon + 1, NULL, 10));
}

static bool set_flag(struct signing *signing, const char *key)
{
    static const struct {
        const char *key;
        uint8_t flag;
    } flags[] = {{"retain", MPS1_RETAIN}, {"will", MPS1_WILL}, {"props", MPS1_PROPS}};

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (strcmp(key, flags[i].key) == 0) {
            signing->header.flags |= flags[i].flag;
            return true;
        }
    signing->forged = signing->forged || strcmp(key, "forged") == 0;
    return strcmp(key, "forged") == 0;
}

static bool set_word(struct signing *signing, const char *key, const char *value)
{
    if (strcmp(key, "topic") == 0)
        signing->message.topic = view_of_string(value);
    else if (strcmp(key, "payload") == 0)
        signing->message.payload = view_of_string(value);
    else if (strcmp(key, "content_type") == 0)
        signing->message.content_type = view_of_string(value);
    else if (strcmp(key, "sub") == 0)
        signing->header.sub = view_of_string(value);
    else if (strcmp(key, "kid") == 0)
        signing->header.kid = view_of_string(value);
    else if (strcmp(key, "age") == 0)
        signing->header.t_ms -= (uint64_t)(strtoll(value, NULL, 10) * 1000);
    else if (strcmp(key, "nonce") == 0)
        set_nonce(signing, value);
    else if (strcmp(key, "seq") == 0)
        set_sequence(signing, value);
    else
        return set_flag(signing, key);
    return true;
}

static void finish(struct signing *signing, struct buffer *header, struct buffer *payload)
{
    struct keyring *keyring = signer_keyring();
    const struct keyring_entry *entry = keyring_find_kid(keyring, signing->header.kid, NULL);
    uint8_t space[MPS1_HEADER_MAX], tag[MPS1_TAG_MAX];
    const struct keyring_key *key;

    /* A key that there is not: another one's will do. */
    entry = entry == NULL ? keyring_entry(keyring, 0) : entry;
    signing->header.algorithm = entry->algorithm;
    mps1_write(&signing->header, space);
    key = keyring_take(keyring, entry, MPS1_DEVICE, signing->header.kid, signing->header.sub);
    mps1_mac(&key->key, signing->header.covered, (signing->header.flags & MPS1_PROPS) != 0, &signing->message,
        tag);
    keyring_put(key);
    tag[0] ^= signing->forged ? 1 : 0;
    mps1_write_tag(&signing->header, space, tag);
    buffer_append(header, view_of(space, signing->header.length));
    buffer_append(payload, signing->message.payload);
}

bool signer_sign(const char *name, const char *words, struct buffer *header, struct buffer *payload)
{
    struct signing signing = {
        .header = {.kid = VIEW("m25a"), .sub = VIEW("plc-7"), .t_ms = clock_wall_us() / 1000},
        .message = {.topic = VIEW("dt/x"), .payload = VIEW("1")}};
    char *copy = memory_copy_string(view_of_string(words)), *save = NULL;
    bool good = true;

    set_nonce(&signing, name);
    for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        char *equals = strchr(word, '=');

        if (equals != NULL)
            *equals = 0;
        good = equals != NULL && set_word(&signing, word, equals + 1) && good;
    }
    if (good)
        finish(&signing, header, payload);
    free(copy);
    return good;
}

/* ---- names ---- */

void signer_property(struct view header, struct buffer *out)
{
    char text[MPS1_PROPERTY_MAX + 4];

    EVP_EncodeBlock((uint8_t *)text, header.data, (int)header.length);
    for (char *c = text; *c != 0 && *c != '='; c++)
        buffer_append_byte(out, (uint8_t)(*c == '+' ? '-' : *c == '/' ? '_' : *c));
}

void signer_name(const struct replay_mark *mark, bool sequence, char out[48])
{
    uint64_t numbers[2] = {0, 0};

    for (size_t i = 0; i < MPS1_NONCE_SIZE; i++)
        numbers[i / 8] = numbers[i / 8] << 8 | mark->nonce[i];
    if (sequence)
        snprintf(out, 48, "%llu:%llu", (unsigned long long)numbers[0], (unsigned long long)numbers[1]);
    else
        snprintf(out, 48, "%.16s", (const char *)mark->nonce);
}
