/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the signature keys: made from keys.yaml and its files of secrets, found by the names that signatures
 * give them. Loaded with the configuration; asked for each signature. */
#include "policy/keyring.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/secret.h"
#include "policy/key_cache.h"
#include "policy/parse_keys.h"

#define CACHED_KEYS 65536
#define MASTER_SIZE_MINIMUM 32 /* of SHA-256, which HKDF makes of any secret: RFC 5869 section 3.3 */

struct key {
    struct keyring_entry entry; /* first: what callers have */
    struct view kid;
    uint8_t *secret; /* in the keyring's secrets */
    size_t secret_length;
    struct view *revoked;             /* sorted */
    struct keyring_minimum *minimums; /* sorted */
};

struct keyring {
    _Atomic size_t references;
    struct arena *arena; /* names; no secrets */
    struct key *keys;
    const struct key **by_kid; /* sorted */
    size_t count;
    uint8_t *secrets; /* secret_map(); KEY_SECRET_MAX for each key */
    struct key_cache *cache;
};

static const struct key *key_of(const struct keyring_entry *entry)
{
    return (const struct key *)entry;
}

static struct view secret_of(const struct key *key)
{
    return view_of(key->secret, key->secret_length);
}

/* ---- order ---- */

static int compare_views(struct view a, struct view b)
{
    size_t common = a.length < b.length ? a.length : b.length;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);

    return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

static int compare_subs(const void *left, const void *right)
{
    return compare_views(*(const struct view *)left, *(const struct view *)right);
}

static int compare_minimums(const void *left, const void *right)
{
    return compare_views(
        ((const struct keyring_minimum *)left)->sub, ((const struct keyring_minimum *)right)->sub);
}

static int compare_kids(const void *left, const void *right)
{
    return compare_views((*(const struct key *const *)left)->kid, (*(const struct key *const *)right)->kid);
}

static int compare_secrets(const void *left, const void *right)
{
    const struct key *a = *(const struct key *const *)left, *b = *(const struct key *const *)right;
    int order = compare_views(secret_of(a), secret_of(b));

    return order != 0 ? order : (a > b) - (a < b); /* in the file's order */
}

/* ---- from the file ---- */

static void copy_signers(struct arena *arena, struct key *key, const struct parsed_key *parsed)
{
    key->entry.revoked_count = parsed->revoked.count;
    key->revoked = arena_calloc(arena, parsed->revoked.count + 1, sizeof(*key->revoked));
    for (size_t i = 0; i < parsed->revoked.count; i++)
        key->revoked[i] = arena_copy(arena, parsed->revoked.items[i].text);
    qsort(key->revoked, parsed->revoked.count, sizeof(*key->revoked), compare_subs);

    key->entry.minimum_count = parsed->minimum_count;
    key->minimums = arena_calloc(arena, parsed->minimum_count + 1, sizeof(*key->minimums));
    for (size_t i = 0; i < parsed->minimum_count; i++)
        key->minimums[i] = (struct keyring_minimum){
            arena_copy(arena, parsed->minimums[i].sub.text), (uint32_t)parsed->minimums[i].generation};
    qsort(key->minimums, parsed->minimum_count, sizeof(*key->minimums), compare_minimums);
}

static void copy_key(struct arena *arena, struct key *key, const struct parsed_key *parsed)
{
    key->kid = arena_copy(arena, parsed->kid.text);
    key->entry = (struct keyring_entry){
        .kid = (const char *)key->kid.data, /* the arena's copy is followed by a NUL */
        .type = (enum keyring_type)parsed->type,
        .algorithm = (uint8_t)parsed->algorithm,
        .not_before_ms = parsed->has_not_before ? parsed->not_before_s * 1000 : 0,
        .not_after_ms = parsed->has_not_after ? parsed->not_after_s * 1000 : UINT64_MAX,
        .test = parsed->test,
    };
    if (parsed->has_sub)
        key->entry.sub = arena_copy(arena, parsed->sub.text);
    copy_signers(arena, key, parsed);
}

/* ---- secrets ---- */

static bool looks_like_secret(struct view file)
{
    return file.length >= 32 && memchr(file.data, '.', file.length) == NULL;
}

static void check_secret(
    const struct key *key, const struct parsed_key *parsed, struct diag_list *diag, const char *path)
{
    const struct diag_place *place = &parsed->secret.file.place;
    bool is_static = key->entry.type == KEYRING_STATIC;
    size_t minimum = is_static ? mps1_tag_size(key->entry.algorithm) : MASTER_SIZE_MINIMUM;
    const char *weakness = key_secret_weakness(secret_of(key));
    char hint[80];

    if (key->secret_length < minimum) {
        snprintf(hint, sizeof(hint),
            is_static ? "at least %zu bytes for %s" : "at least %zu bytes for a master", minimum,
            mps1_algorithm_name(key->entry.algorithm));
        diag_add(diag, DIAG_ERROR, place, hint, "the secret in '%s' is too short: %zu bytes", path,
            key->secret_length);
    } else if (weakness != NULL && !key->entry.test) {
        diag_add(diag, DIAG_ERROR, place,
            parsed->secret.format == KEY_SECRET_RAW
                ? "if it is written as hex or base64, say so with 'format'"
                : "make one with 'mqward keys new'; only a key with 'test: true' may be guessed",
            "the secret in '%s' can be guessed: %s", path, weakness);
    }
}

static void read_secret(
    struct key *key, const struct parsed_key *parsed, const char *folder, struct diag_list *diag)
{
    const struct keyword_string *file = &parsed->secret.file;
    const char *in = file->text.data[0] == '/' ? "" : folder;
    char *path = memory_format("%s%.*s", in, VIEW_ARGS(file->text));
    struct private_file_error error;
    ssize_t length =
        key_secret_read(path, (enum key_secret_format)parsed->secret.format, key->secret, &error);

    if (length < 0) {
        const char *hint = error.missing && looks_like_secret(file->text)
                               ? "is that the secret itself? 'file' names the file that has it"
                               : error.hint;
        diag_add(diag, DIAG_ERROR, &file->place, hint, "the secret in '%s' cannot be used: %s", path,
            error.message);
    } else {
        key->secret_length = (size_t)length;
        check_secret(key, parsed, diag, path);
    }
    free(path);
}

/* Two names for one secret: the second is a copy by mistake, or a rotation that changed nothing. */
static void check_distinct(
    const struct keyring *keyring, const struct parsed_keys *parsed, struct diag_list *diag)
{
    const struct key **sorted = memory_calloc(keyring->count, sizeof(*sorted));
    size_t count = 0;

    for (size_t i = 0; i < keyring->count; i++)
        if (keyring->keys[i].secret_length > 0)
            sorted[count++] = &keyring->keys[i];
    qsort(sorted, count, sizeof(*sorted), compare_secrets);
    for (size_t i = 1; i < count; i++)
        if (view_equal(secret_of(sorted[i]), secret_of(sorted[i - 1])))
            diag_add(diag, DIAG_ERROR, &parsed->items[sorted[i] - keyring->keys].secret.file.place,
                "each key has a secret of its own: 'mqward keys new'",
                "key '%s' has the same secret as key '%s' (line %u)", sorted[i]->entry.kid,
                sorted[i - 1]->entry.kid, parsed->items[sorted[i - 1] - keyring->keys].place.line);
    free(sorted);
}

/* ---- warnings ---- */

static void warn(
    const struct key *key, const struct parsed_key *parsed, uint64_t now_ms, struct diag_list *diag)
{
    char end[CLOCK_SECONDS_LENGTH + 1];

    if (key->entry.test)
        diag_add(diag, DIAG_WARNING, &parsed->kid.place, "remove 'test: true' for real traffic",
            "key '%s' is for tests: its secret may be known to everybody", key->entry.kid);
    if (key->entry.not_after_ms == UINT64_MAX)
        return;
    clock_format_seconds(key->entry.not_after_ms / 1000, end);
    if (key->entry.not_after_ms <= now_ms)
        diag_add(diag, DIAG_WARNING, &parsed->not_after_place, NULL,
            "key '%s' is not valid any more since %s", key->entry.kid, end);
    else if (key->entry.not_after_ms - now_ms <= KEYRING_WARNING_MS)
        diag_add(diag, DIAG_WARNING, &parsed->not_after_place,
            "add its successor now: both are valid together",
            "key '%s' is valid for %llu days more, until %s", key->entry.kid,
            (unsigned long long)((key->entry.not_after_ms - now_ms) / 86400000), end);
}

/* ---- a keyring ---- */

/* With keys that have nothing but room for their secrets. */
static struct keyring *allocate(size_t count)
{
    struct keyring *keyring = memory_calloc(1, sizeof(*keyring));

    atomic_init(&keyring->references, 1);
    keyring->arena = arena_new();
    keyring->count = count;
    keyring->keys = arena_calloc(keyring->arena, count, sizeof(*keyring->keys));
    keyring->by_kid = arena_calloc(keyring->arena, count, sizeof(*keyring->by_kid));
    keyring->secrets = secret_map(count * KEY_SECRET_MAX);
    for (size_t i = 0; i < count; i++) {
        keyring->by_kid[i] = &keyring->keys[i];
        keyring->keys[i].secret = keyring->secrets + i * KEY_SECRET_MAX;
    }
    return keyring;
}

static struct keyring *build(const struct parsed_keys *parsed, struct diag_list *diag)
{
    struct keyring *keyring = allocate(parsed->count);

    for (size_t i = 0; i < parsed->count; i++) {
        struct key *key = &keyring->keys[i];

        if (!parsed->items[i].sound)
            continue;
        copy_key(keyring->arena, key, &parsed->items[i]);
        read_secret(key, &parsed->items[i], parsed->folder, diag);
        warn(key, &parsed->items[i], clock_wall_us() / 1000, diag);
    }
    check_distinct(keyring, parsed, diag);
    qsort(keyring->by_kid, keyring->count, sizeof(*keyring->by_kid), compare_kids);
    return keyring;
}

struct keyring *keyring_load(const char *path, struct diag_list *diag, const struct diag_place *referrer)
{
    size_t errors = diag_errors(diag);
    struct arena *arena = arena_new();
    struct parsed_keys parsed;
    struct keyring *keyring = NULL;

    if (parse_keys(path, arena, diag, referrer, &parsed))
        keyring = build(&parsed, diag);
    arena_free(arena);
    if (diag_errors(diag) == errors) {
        assert(keyring != NULL);
        keyring->cache = key_cache_new(CACHED_KEYS);
        return keyring;
    }
    keyring_release(keyring);
    return NULL;
}

static void copy_given(struct arena *arena, struct key *key, const struct keyring_given *given)
{
    const struct keyring_entry *entry = &given->entry;

    assert(given->secret.length > 0 && given->secret.length <= KEY_SECRET_MAX);
    memcpy(key->secret, given->secret.data, given->secret.length);
    key->secret_length = given->secret.length;
    key->entry = *entry;
    key->kid = arena_copy(arena, view_of_string(entry->kid));
    key->entry.kid = (const char *)key->kid.data;
    key->entry.sub = arena_copy(arena, entry->sub);
    key->revoked = arena_calloc(arena, entry->revoked_count + 1, sizeof(*key->revoked));
    for (size_t i = 0; i < entry->revoked_count; i++)
        key->revoked[i] = arena_copy(arena, given->revoked[i]);
    qsort(key->revoked, entry->revoked_count, sizeof(*key->revoked), compare_subs);
    key->minimums = arena_calloc(arena, entry->minimum_count + 1, sizeof(*key->minimums));
    for (size_t i = 0; i < entry->minimum_count; i++)
        key->minimums[i] = (struct keyring_minimum){
            arena_copy(arena, given->minimums[i].sub), given->minimums[i].generation};
    qsort(key->minimums, entry->minimum_count, sizeof(*key->minimums), compare_minimums);
}

struct keyring *keyring_of(const struct keyring_given *given, size_t count)
{
    struct keyring *keyring = allocate(count);

    for (size_t i = 0; i < count; i++)
        copy_given(keyring->arena, &keyring->keys[i], &given[i]);
    qsort(keyring->by_kid, count, sizeof(*keyring->by_kid), compare_kids);
    keyring->cache = key_cache_new(CACHED_KEYS);
    return keyring;
}

struct keyring *keyring_retain(struct keyring *keyring)
{
    atomic_fetch_add_explicit(&keyring->references, 1, memory_order_relaxed);
    return keyring;
}

void keyring_release(struct keyring *keyring)
{
    if (keyring == NULL || atomic_fetch_sub_explicit(&keyring->references, 1, memory_order_acq_rel) > 1)
        return;
    if (keyring->cache != NULL)
        key_cache_close(keyring->cache);
    secret_unmap(keyring->secrets, keyring->count * KEY_SECRET_MAX, keyring->count * KEY_SECRET_MAX);
    arena_free(keyring->arena);
    free(keyring);
    secret_wipe_stack(); /* the last messages' hashes began with what was made of its keys */
}

size_t keyring_count(const struct keyring *keyring)
{
    return keyring->count;
}

const struct keyring_entry *keyring_entry(const struct keyring *keyring, size_t index)
{
    assert(index < keyring->count);
    return &keyring->keys[index].entry;
}

/* ---- which key ---- */

static const struct key *find_exactly(const struct keyring *keyring, struct view kid)
{
    size_t low = 0, high = keyring->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_views(kid, keyring->by_kid[middle]->kid);

        if (order == 0)
            return keyring->by_kid[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

const struct keyring_entry *keyring_find_kid(
    const struct keyring *keyring, struct view kid, uint32_t *generation)
{
    const struct key *key = find_exactly(keyring, kid);
    uint32_t number = 1;
    struct view master;

    if (key == NULL && parse_generation(kid, &master, &number)) {
        key = find_exactly(keyring, master);
        if (key != NULL && key->entry.type != KEYRING_MASTER)
            key = NULL;
    }
    if (generation != NULL)
        *generation = number;
    return key == NULL ? NULL : &key->entry;
}

/* 1: any will do. */
static uint32_t least_generation(const struct key *key, struct view sub)
{
    const struct keyring_minimum wanted = {.sub = sub}, *found;

    found =
        bsearch(&wanted, key->minimums, key->entry.minimum_count, sizeof(*key->minimums), compare_minimums);
    return found == NULL ? 1 : found->generation;
}

static bool is_revoked(const struct key *key, struct view sub, uint32_t generation)
{
    if (bsearch(&sub, key->revoked, key->entry.revoked_count, sizeof(*key->revoked), compare_subs) != NULL)
        return true;
    return generation < least_generation(key, sub);
}

bool keyring_is_revoked(const struct keyring_entry *entry, struct view sub, uint32_t generation)
{
    return is_revoked(key_of(entry), sub, generation);
}

size_t keyring_kid_now(const struct keyring_entry *entry, struct view sub, char kid[MPS1_KID_MAX])
{
    uint32_t generation = least_generation(key_of(entry), sub);
    char text[MPS1_KID_MAX + 12];
    int length = generation > 1 ? snprintf(text, sizeof(text), "%s.%" PRIu32, entry->kid, generation)
                                : snprintf(text, sizeof(text), "%s", entry->kid);

    assert(length > 0 && length <= MPS1_KID_MAX); /* parse_keys.c sees to it */
    memcpy(kid, text, (size_t)length);
    return (size_t)length;
}

enum reason keyring_find(const struct keyring *keyring, const struct mps1_header *header, uint64_t now_ms,
    const struct keyring_entry **entry)
{
    uint32_t generation;
    const struct keyring_entry *found = keyring_find_kid(keyring, header->kid, &generation);

    *entry = found;
    if (found == NULL)
        return REASON_sig_key_unknown;
    if (now_ms < found->not_before_ms || now_ms >= found->not_after_ms)
        return REASON_sig_key_inactive;
    if (is_revoked(key_of(found), header->sub, generation))
        return REASON_sig_key_revoked;
    if (header->algorithm != found->algorithm)
        return REASON_sig_alg;
    if (found->type == KEYRING_STATIC && !view_equal(found->sub, header->sub))
        return REASON_sig_identity;
    return REASON_none;
}

/* ---- the key itself ---- */

void keyring_derive(const struct keyring_entry *entry, enum mps1_label label, struct view kid,
    struct view sub, uint8_t secret[MPS1_TAG_MAX])
{
    assert(entry->type == KEYRING_MASTER);
    mps1_derive(secret_of(key_of(entry)), label, entry->algorithm, kid, sub, secret);
}

static void make_ready(
    const struct key *key, enum mps1_label label, struct view kid, struct view sub, struct mps1_key *ready)
{
    uint8_t secret[MPS1_TAG_MAX];

    if (key->entry.type == KEYRING_STATIC) {
        mps1_key_init(ready, key->entry.algorithm, secret_of(key));
        return;
    }
    mps1_derive(secret_of(key), label, key->entry.algorithm, kid, sub, secret);
    mps1_key_init(ready, key->entry.algorithm, view_of(secret, mps1_tag_size(key->entry.algorithm)));
    secret_wipe(secret, sizeof(secret));
}

const struct keyring_key *keyring_take(struct keyring *keyring, const struct keyring_entry *entry,
    enum mps1_label label, struct view kid, struct view sub)
{
    struct key_name name = key_name_of(label, kid, sub);
    const struct keyring_key *key = key_cache_find(keyring->cache, &name);
    struct mps1_key ready;

    if (key != NULL)
        return key;
    make_ready(key_of(entry), label, kid, sub, &ready);
    key = key_cache_add(keyring->cache, &name, &ready);
    mps1_key_wipe(&ready);
    return key;
}

void keyring_expiring(const struct keyring *keyring, uint64_t now_ms, uint64_t within_ms,
    void (*each)(void *context, const struct keyring_entry *entry), void *context)
{
    for (size_t i = 0; i < keyring->count; i++) {
        const struct keyring_entry *entry = &keyring->keys[i].entry;
        bool ends = entry->not_after_ms != UINT64_MAX && entry->not_after_ms > now_ms;

        if (ends && entry->not_after_ms - now_ms <= within_ms)
            each(context, entry);
    }
}
