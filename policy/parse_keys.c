/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the keywords of keys.yaml, and what can be wrong with it before a secret is read. Called by keyring.c.
 */
#include "policy/parse_keys.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/number.h"
#include "base/secret.h"

#define FILE_SIZE_MAXIMUM ((size_t)4 << 20)
#define KEYS_MAXIMUM 4096
#define TIME_PATTERN "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"

bool parse_generation(struct view kid, struct view *master, uint32_t *generation)
{
    const uint8_t *dot = kid.length == 0 ? NULL : memrchr(kid.data, '.', kid.length);
    uint64_t number;

    if (dot == NULL)
        return false;
    *master = view_of(kid.data, (size_t)(dot - kid.data));
    if (master->length == 0 || number_parse(view_skip(kid, master->length + 1), &number) != 0 ||
        number == 0 || number > UINT32_MAX)
        return false;
    *generation = (uint32_t)number;
    return true;
}

/* ---- setters ---- */

static int set_version(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    uint64_t version = 0;
    const struct keyword any = {.name = keyword->name, .example = keyword->example};

    (void)target;
    if (keyword_set_number(context, &any, &version, node) != 0)
        return -1;
    if (version == 1)
        return 0;
    return keyword_error(
        context, node, "write 'version: 1'", "version %.*s of this file is not known", VIEW_ARGS(node->text));
}

static int set_kid(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct parsed_key *key = target;

    if (keyword_set_string(context, keyword, target, node) != 0)
        return -1;
    if (mps1_kid_valid(key->kid.text))
        return 0;
    key->kid.text.length = 0;
    return keyword_error(context, node, "letters, digits, '.', '_' and '-', at most 32 of them",
        "kid: '%.*s' is not a name for a key", VIEW_ARGS(node->text));
}

/* name: of the key that the text is the value of. */
static int check_sub(struct keyword_context *context, const char *name, const struct keyword_string *sub)
{
    if (mps1_sub_valid(sub->text))
        return 0;
    diag_add(context->diag, DIAG_ERROR, &sub->place,
        "letters, digits, '.', '_', ':', '@' and '-', at most 64 of them",
        "%s: '%.*s' is not a signer's name", name, VIEW_ARGS(sub->text));
    return -1;
}

static int set_sub(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct parsed_key *key = target;

    return keyword_set_string(context, keyword, target, node) != 0
               ? -1
               : check_sub(context, keyword->name, &key->sub);
}

static int set_revoked(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct parsed_key *key = target;
    int result = keyword_set_strings(context, keyword, target, node);

    for (size_t i = 0; i < key->revoked.count; i++)
        if (check_sub(context, keyword->name, &key->revoked.items[i]) != 0)
            result = -1;
    return result;
}

static int set_time(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    static const char hint[] = "a time in UTC such as 2027-03-01T00:00:00Z";
    uint64_t *seconds = (void *)((char *)target + keyword->offset);

    if (keyword_expect(context, node, keyword->name, YAML_SCALAR) != 0)
        return -1;
    if (clock_parse_seconds(node->text, seconds) != 0)
        return keyword_error(
            context, node, hint, "%s: expected a time, found '%.*s'", keyword->name, VIEW_ARGS(node->text));
    return 0;
}

static int set_not_after(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    ((struct parsed_key *)target)->not_after_place = node->place;
    return set_time(context, keyword, target, node);
}

static int set_minimums(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    static const struct keyword generation = {.name = "min_generation",
        .offset = offsetof(struct parsed_minimum, generation),
        .minimum = 1,
        .maximum = UINT32_MAX};
    struct parsed_key *key = target;
    int result = 0;

    if (keyword_expect(context, node, keyword->name, YAML_MAPPING) != 0)
        return -1;
    key->minimums = arena_calloc(context->arena, node->count + 1, sizeof(*key->minimums));
    for (const struct yaml_node *member = node->first; member != NULL; member = member->next) {
        struct parsed_minimum *minimum = &key->minimums[key->minimum_count];

        minimum->sub = (struct keyword_string){
            .text = arena_copy(context->arena, member->key), .place = member->key_place};
        if (check_sub(context, keyword->name, &minimum->sub) != 0 ||
            keyword_set_number(context, &generation, minimum, member) != 0)
            result = -1;
        else
            key->minimum_count++;
    }
    return result;
}

/* ---- tables ---- */

#define KEY(field) offsetof(struct parsed_key, field)
#define SEEN(field) (1 + offsetof(struct parsed_key, field))

static const struct keyword_choice types[] = {
    {.name = "master",
        .value = KEYRING_MASTER,
        .help = "each signer has a key of its own, derived from this secret and its name."},
    {.name = "static", .value = KEYRING_STATIC, .help = "the secret is the key of the one signer in `sub`."},
    {0},
};
static const struct keyword_choice algorithms[] = {
    {.name = "HMAC-SHA-256", .value = MPS1_HMAC_SHA_256},
    {.name = "HMAC-SHA-384", .value = MPS1_HMAC_SHA_384},
    {.name = "HMAC-SHA-512", .value = MPS1_HMAC_SHA_512},
    {0},
};
static const struct keyword_choice formats[] = {
    {.name = "hex", .value = KEY_SECRET_HEX},
    {.name = "base64", .value = KEY_SECRET_BASE64},
    {.name = "raw", .value = KEY_SECRET_RAW, .help = "the file's bytes are the secret."},
    {0},
};

static const struct keyword secret_table[] = {
    {.name = "file",
        .set = keyword_set_string,
        .offset = KEY(secret.file),
        .example = "m25a.key",
        .flags = KEYWORD_REQUIRED,
        .value = "path",
        .help =
            "The file that holds the secret, relative to the folder of `keys.yaml`. Mode 0600, of root or "
            "of the user that mqward runs as."},
    {.name = "format",
        .set = keyword_set_choice,
        .offset = KEY(secret.format),
        .choices = formats,
        .default_text = "hex",
        .help = "How it is written there. Blanks and line ends do not count in `hex` and `base64`."},
    {0},
};

static const struct keyword key_table[] = {
    {.name = "kid",
        .set = set_kid,
        .offset = KEY(kid),
        .like = keyword_set_string,
        .pattern = "^[A-Za-z0-9._-]{1,32}$",
        .example = "m25a",
        .flags = KEYWORD_REQUIRED,
        .help =
            "The name of the key, in signatures and in the policy: letters, digits, `.`, `_`, `-`, at most "
            "32 of them."},
    {.name = "type",
        .set = keyword_set_choice,
        .offset = KEY(type),
        .choices = types,
        .example = "master",
        .flags = KEYWORD_REQUIRED,
        .help = "Whose key it is."},
    {.name = "alg",
        .set = keyword_set_choice,
        .offset = KEY(algorithm),
        .choices = algorithms,
        .example = "HMAC-SHA-256",
        .flags = KEYWORD_REQUIRED,
        .help = "The one algorithm of signatures with this key."},
    {.name = "sub",
        .set = set_sub,
        .offset = KEY(sub),
        .like = keyword_set_string,
        .pattern = "^[A-Za-z0-9._:@-]{1,64}$",
        .seen_offset = SEEN(has_sub),
        .example = "\"op:eva\"",
        .help = "The signer: an identity of the policy. Required with `type: static`, and only there."},
    {.name = "secret",
        .set = keyword_set_mapping,
        .members = secret_table,
        .example = "{file: m25a.key}",
        .flags = KEYWORD_REQUIRED,
        .help = "Where the secret is. A master has at least 32 bytes, a static key at least as many as a "
                "signature: 32, 48 or 64."},
    {.name = "not_before",
        .set = set_time,
        .offset = KEY(not_before_s),
        .like = keyword_set_string,
        .pattern = TIME_PATTERN,
        .seen_offset = SEEN(has_not_before),
        .value = "time in UTC, such as `2026-03-01T00:00:00Z`",
        .help = "Signatures are accepted from then on."},
    {.name = "not_after",
        .set = set_not_after,
        .offset = KEY(not_after_s),
        .like = keyword_set_string,
        .pattern = TIME_PATTERN,
        .seen_offset = SEEN(has_not_after),
        .value = "time in UTC",
        .help = "Signatures are accepted before that time. mqward warns from 30 days before on."},
    {.name = "revoked",
        .set = set_revoked,
        .offset = KEY(revoked),
        .like = keyword_set_strings,
        .default_text = "[]",
        .seen_offset = SEEN(has_revoked),
        .help = "Signers whose keys under this master are accepted no more. Only with `type: master`."},
    {.name = "min_generation",
        .set = set_minimums,
        .seen_offset = SEEN(has_minimums),
        .shape = KEYWORD_PAIRS,
        .value = "mapping of signers to numbers from 1 to 4294967295",
        .help =
            "The least generation of a signer's key that is still accepted: with `{plc-3: 2}` the device "
            "plc-3 signs with kid `m25a.2` or above, and its first key is void. Only with `type: master`."},
    {.name = "test",
        .set = keyword_set_boolean,
        .offset = KEY(test),
        .default_text = "false",
        .help =
            "A key for trying things out: its secret may be one that can be guessed, such as those of the "
            "examples. mqward warns of it each time the file is read."},
    {0},
};

static int set_keys(struct keyword_context *context, const struct keyword *keyword, void *target,
    const struct yaml_node *node)
{
    struct parsed_keys *keys = target;

    if (keyword_expect(context, node, keyword->name, YAML_SEQUENCE) != 0)
        return -1;
    if (node->count == 0)
        return keyword_error(context, node, "write at least one, or remove 'keys' from mqward.yaml",
            "keys: the list is empty");
    if (node->count > KEYS_MAXIMUM)
        return keyword_error(context, node, "devices need no keys of their own under a master",
            "keys: more than %d", KEYS_MAXIMUM);
    keys->items = arena_calloc(context->arena, node->count, sizeof(*keys->items));
    int result = 0;
    for (const struct yaml_node *row = node->first; row != NULL; row = row->next) {
        struct parsed_key *key = &keys->items[keys->count++];

        key->place = row->place;
        key->sound = keyword_read(context, key_table, key, row) == 0;
        result = key->sound ? result : -1;
    }
    return result;
}

static const struct keyword keys_table[] = {
    {.name = "version",
        .set = set_version,
        .example = "1",
        .flags = KEYWORD_REQUIRED,
        .value = "`1`",
        .help = "Version of this file's form."},
    {.name = "keys",
        .set = set_keys,
        .members = key_table,
        .shape = KEYWORD_LIST,
        .example = "[{kid: m25a, ...}]",
        .flags = KEYWORD_REQUIRED,
        .help = "The keys; at least one."},
    {0},
};

void keyring_print_reference(struct buffer *out)
{
    keyword_print_reference(out, keys_table, "keys.yaml", 3);
}

/* ---- what fits together ---- */

static void refuse(struct keyword_context *context, struct parsed_key *key, const struct diag_place *place,
    const char *hint, const char *format, ...) __attribute__((format(printf, 5, 6)));
static void refuse(struct keyword_context *context, struct parsed_key *key, const struct diag_place *place,
    const char *hint, const char *format, ...)
{
    char message[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    diag_add(context->diag, DIAG_ERROR, place, hint, "%s", message);
    key->sound = false;
}

static void check_type(struct keyword_context *context, struct parsed_key *key)
{
    bool is_static = key->type == KEYRING_STATIC;

    if (is_static && !key->has_sub)
        refuse(context, key, &key->place, "such as 'sub: \"op:eva\"'",
            "a static key is one signer's: missing key 'sub'");
    if (!is_static && key->has_sub)
        refuse(context, key, &key->sub.place, "remove it, or write 'type: static'",
            "sub: a master has the keys of all signers");
    if (is_static && (key->has_revoked || key->has_minimums))
        refuse(context, key, &key->place, "a static key ends with its 'not_after', or by removing it",
            "'%s' is for masters", key->has_revoked ? "revoked" : "min_generation");
}

static void check_key(struct keyword_context *context, struct parsed_key *key)
{
    if (!key->sound)
        return;
    check_type(context, key);
    if (key->has_not_before && key->has_not_after && key->not_before_s >= key->not_after_s)
        refuse(context, key, &key->not_after_place, NULL,
            "key '%.*s' is never valid: 'not_after' is not later than 'not_before'",
            VIEW_ARGS(key->kid.text));
    for (size_t i = 0; i < key->minimum_count; i++) {
        const struct parsed_minimum *minimum = &key->minimums[i];
        char sent[MPS1_KID_MAX + 16];
        int length =
            snprintf(sent, sizeof(sent), "%.*s.%u", VIEW_ARGS(key->kid.text), (unsigned)minimum->generation);

        if (minimum->generation > 1 && length > MPS1_KID_MAX)
            refuse(context, key, &minimum->sub.place, "a shorter kid",
                "min_generation: '%s' is longer than the 32 bytes that a signature has for it", sent);
    }
}

static int compare_kids(const void *left, const void *right)
{
    const struct parsed_key *a = *(struct parsed_key *const *)left, *b = *(struct parsed_key *const *)right;
    size_t common = a->kid.text.length < b->kid.text.length ? a->kid.text.length : b->kid.text.length;
    int order = common == 0 ? 0 : memcmp(a->kid.text.data, b->kid.text.data, common);

    if (order == 0)
        order = (a->kid.text.length > b->kid.text.length) - (a->kid.text.length < b->kid.text.length);
    return order != 0 ? order : (a > b) - (a < b); /* in the file's order */
}

static int compare_with_kid(const void *kid, const void *key)
{
    const struct parsed_key *wanted = &(const struct parsed_key){.kid = {.text = *(const struct view *)kid}};
    const struct parsed_key *found = *(struct parsed_key *const *)key;

    return view_equal(wanted->kid.text, found->kid.text) ? 0 : compare_kids(&wanted, key);
}

/* The same kid twice, and one that is a generation of another. */
static void check_kids(struct keyword_context *context, struct parsed_keys *keys)
{
    struct parsed_key **sorted = memory_calloc(keys->count, sizeof(*sorted));

    for (size_t i = 0; i < keys->count; i++)
        sorted[i] = &keys->items[i];
    if (keys->count > 0)
        qsort(sorted, keys->count, sizeof(*sorted), compare_kids);
    for (size_t i = 0; i < keys->count; i++) {
        struct parsed_key *key = sorted[i];
        struct view master;
        uint32_t generation;

        if (key->kid.text.length == 0)
            continue;
        if (i > 0 && view_equal(key->kid.text, sorted[i - 1]->kid.text))
            refuse(context, key, &key->kid.place, NULL, "kid '%.*s' is already in line %u",
                VIEW_ARGS(key->kid.text), sorted[i - 1]->kid.place.line);
        if (!parse_generation(key->kid.text, &master, &generation))
            continue;
        struct parsed_key *const *found =
            bsearch(&master, sorted, keys->count, sizeof(*sorted), compare_with_kid);
        if (found != NULL && (*found)->type == KEYRING_MASTER)
            refuse(context, key, &key->kid.place, "another kid",
                "kid '%.*s' is what generation %u of the keys under master '%.*s' (line %u) is called",
                VIEW_ARGS(key->kid.text), (unsigned)generation, VIEW_ARGS(master), (*found)->kid.place.line);
    }
    free(sorted);
}

/* ---- the file ---- */

static const struct diag_source *read_source(
    const char *path, struct diag_list *diag, const struct diag_place *referrer)
{
    uint8_t *text = secret_map(FILE_SIZE_MAXIMUM);
    struct private_file_error error;
    ssize_t length = private_file_read(path, text, FILE_SIZE_MAXIMUM, &error);
    const struct diag_source *source =
        diag_add_secret(diag, path, view_of(text, length < 0 ? 0 : (size_t)length));
    const struct diag_place whole = {.source = source};

    secret_unmap(text, FILE_SIZE_MAXIMUM, length < 0 ? 0 : (size_t)length);
    if (length >= 0)
        return source;
    if (referrer == NULL)
        diag_add(diag, DIAG_ERROR, &whole, error.hint, "cannot be used: %s", error.message);
    else
        diag_add(diag, DIAG_ERROR, referrer, error.hint, "cannot use '%s': %s", path, error.message);
    return NULL;
}

bool parse_keys(const char *path, struct arena *arena, struct diag_list *diag,
    const struct diag_place *referrer, struct parsed_keys *keys)
{
    const struct diag_source *source = read_source(path, diag, referrer);
    const struct yaml_node *root = source == NULL ? NULL : yaml_read(arena, source, diag);
    const char *slash = strrchr(path, '/');
    struct keyword_context context = {.arena = arena, .diag = diag};

    *keys = (struct parsed_keys){
        .folder = arena_copy_string(arena, view_of(path, slash == NULL ? 0 : (size_t)(slash - path) + 1))};
    if (root == NULL)
        return false;
    keyword_read(&context, keys_table, keys, root);
    for (size_t i = 0; i < keys->count; i++)
        check_key(&context, &keys->items[i]);
    check_kids(&context, keys);
    return keys->count > 0;
}
