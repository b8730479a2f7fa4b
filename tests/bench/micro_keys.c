/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what is measured of signature keys: taking one that is in the cache and one that has to be derived,
 * and the check of a signature with it. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "micro.h"
#include "policy/keyring.h"

#define DEVICES 1000
#define SUB_SIZE 24

struct keys {
    struct keyring *keyring;
    char (*subs)[SUB_SIZE];
    size_t next; /* of names that were not used before */
    uint8_t space[MPS1_HEADER_MAX];
    struct mps1_header header;
    struct mps1_message message;
};

/* A file that is nowhere on the disk; returns its path, free() it. */
static char *make_file(const char *text)
{
    int descriptor = memfd_create("keys", 0);

    if (descriptor < 0 || fchmod(descriptor, 0600) != 0 ||
        write(descriptor, text, strlen(text)) != (ssize_t)strlen(text))
        abort();
    return memory_format("/proc/self/fd/%d", descriptor);
}

static struct keyring *load(void)
{
    char *secret = make_file("8f1d4b7a90c3e62558ab0f7712de349c6b05fe81a2d9437c1e60b8954df2ca37\n");
    char *text = memory_format(
        "version: 1\nkeys: [{kid: m25a, type: master, alg: HMAC-SHA-256, secret: {file: %s}}]\n", secret);
    char *path = make_file(text);
    struct diag_list *diag = diag_list_new();
    struct keyring *keyring = keyring_load(path, diag, NULL);

    diag_print(diag, stderr);
    if (keyring == NULL)
        exit(1);
    diag_list_free(diag);
    free(path);
    free(text);
    free(secret);
    return keyring;
}

static void take(struct keys *keys, const char *sub)
{
    const struct keyring_key *key = keyring_take(
        keys->keyring, keyring_entry(keys->keyring, 0), MPS1_DEVICE, VIEW("m25a"), view_of_string(sub));

    assert(key->key.algorithm == MPS1_HMAC_SHA_256);
    keyring_put(key);
}

static void run_hit(void *context, size_t count)
{
    struct keys *keys = context;

    for (size_t i = 0; i < count; i++)
        take(keys, keys->subs[i % DEVICES]);
}

static void run_miss(void *context, size_t count)
{
    struct keys *keys = context;
    char sub[SUB_SIZE];

    for (size_t i = 0; i < count; i++) {
        snprintf(sub, sizeof(sub), "other-%zu", keys->next++);
        take(keys, sub);
    }
}

/* A PUBLISH of 64 bytes of payload, with the key from the cache. */
static void run_verify(void *context, size_t count)
{
    struct keys *keys = context;

    for (size_t i = 0; i < count; i++) {
        const struct keyring_entry *entry;
        if (keyring_find(keys->keyring, &keys->header, 0, &entry) != REASON_none)
            abort();
        const struct keyring_key *key =
            keyring_take(keys->keyring, entry, MPS1_DEVICE, keys->header.kid, keys->header.sub);
        if (!mps1_verify(&key->key, &keys->header, &keys->message))
            abort();
        keyring_put(key);
    }
}

static void sign(struct keys *keys)
{
    static const uint8_t payload[64];
    const struct keyring_entry *entry = keyring_entry(keys->keyring, 0);
    uint8_t tag[MPS1_TAG_MAX];

    keys->header = (struct mps1_header){
        .algorithm = MPS1_HMAC_SHA_256, .kid = VIEW("m25a"), .sub = view_of_string(keys->subs[0])};
    keys->message = (struct mps1_message){
        .topic = VIEW("bench/00042/data/00001"), .payload = view_of(payload, sizeof(payload))};
    mps1_write(&keys->header, keys->space);
    const struct keyring_key *key =
        keyring_take(keys->keyring, entry, MPS1_DEVICE, keys->header.kid, keys->header.sub);
    mps1_mac(&key->key, keys->header.covered, false, &keys->message, tag);
    keyring_put(key);
    mps1_write_tag(&keys->header, keys->space, tag);
}

static void destroy(void *context)
{
    struct keys *keys = context;

    keyring_release(keys->keyring);
    free(keys->subs);
    free(keys);
}

static struct keys *new_keys(void)
{
    struct keys *keys = memory_calloc(1, sizeof(*keys));

    keys->keyring = load();
    keys->subs = memory_calloc(DEVICES, sizeof(*keys->subs));
    for (size_t i = 0; i < DEVICES; i++)
        snprintf(keys->subs[i], SUB_SIZE, "plc-%05zu", i);
    sign(keys);
    return keys;
}

size_t micro_keys(struct micro_subject *subjects, size_t max)
{
    const struct micro_subject rows[] = {
        {"key of a signer, ready", run_hit, NULL, destroy, NULL, 2000},
        {"key of a signer, derived", run_miss, NULL, destroy, NULL, 100},
        {"key found, taken, signature verified", run_verify, NULL, destroy, NULL, 1000},
    };
    size_t count = sizeof(rows) / sizeof(rows[0]);

    assert(count <= max);
    for (size_t i = 0; i < count; i++) {
        subjects[i] = rows[i];
        subjects[i].context = new_keys();
    }
    return count;
}
