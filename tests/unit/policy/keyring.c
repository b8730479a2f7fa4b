/* SPDX-License-Identifier: Apache-2.0 */
/* Keyrings: which key a signature's names mean, whether it may be used, and that it is the right one. */
#include "policy/keyring.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/memory.h"
#include "keys.h"
#include "support.h"

TestSuite(keyring, .init = keys_begin, .fini = keys_end);

#define NOW_MS UINT64_C(1750000000000)
#define MASTER "  - {kid: m25a, type: master, alg: HMAC-SHA-256, secret: {file: m25a.key}"
#define STATIC "  - {kid: ops-1, type: static, sub: \"op:eva\", alg: HMAC-SHA-256, secret: {file: ops-1.key}"
#define HEAD "version: 1\nkeys:\n"

static enum reason find_at(
    const struct keyring *keyring, unsigned algorithm, const char *kid, const char *sub, uint64_t now_ms)
{
    const struct keyring_entry *entry = (const struct keyring_entry *)keyring;
    const struct mps1_header header = {
        .algorithm = (uint8_t)algorithm, .kid = view_of_string(kid), .sub = view_of_string(sub)};
    enum reason reason = keyring_find(keyring, &header, now_ms, &entry);
    cr_expect(
        (entry == NULL) == (reason == REASON_sig_key_unknown), "entry with %s", reason_info(reason)->name);
    return reason;
}

static void expect_find(
    const struct keyring *keyring, unsigned algorithm, const char *kid, const char *sub, enum reason reason)
{
    enum reason found = find_at(keyring, algorithm, kid, sub, NOW_MS);
    cr_expect_str_eq(reason_info(found)->name, reason_info(reason)->name, "%u %s %s", algorithm, kid, sub);
}

Test(keyring, entries_have_what_was_written)
{
    struct keyring *keyring = keys_good(HEAD MASTER
        ", not_before: 2025-01-02T03:04:05Z, not_after: 2099-12-31T23:59:59Z,\n     revoked: [a, b], "
        "min_generation: {c: 2}}\n" STATIC "}\n"
        "  - kid: s384\n    type: static\n    sub: op:max\n    alg: HMAC-SHA-384\n    test: true\n"
        "    secret: {file: base64.key, format: base64}\n");
    cr_assert_eq(keyring_count(keyring), 3);
    const struct keyring_entry *entry = keyring_entry(keyring, 0);
    cr_expect_str_eq(entry->kid, "m25a");
    cr_expect_eq(entry->type, KEYRING_MASTER);
    cr_expect_eq(entry->algorithm, MPS1_HMAC_SHA_256);
    cr_expect_eq(entry->sub.length, 0);
    cr_expect_eq(entry->not_before_ms, UINT64_C(1735787045000));
    cr_expect_eq(entry->not_after_ms, UINT64_C(4102444799000));
    cr_expect_eq(entry->revoked_count, 2);
    cr_expect_eq(entry->minimum_count, 1);
    cr_expect_not(entry->test);
    entry = keyring_entry(keyring, 1);
    cr_expect_eq(entry->type, KEYRING_STATIC);
    cr_expect(view_equal(entry->sub, VIEW("op:eva")));
    cr_expect_eq(entry->not_before_ms, 0);
    cr_expect_eq(entry->not_after_ms, UINT64_MAX);
    entry = keyring_entry(keyring, 2);
    cr_expect_eq(entry->algorithm, MPS1_HMAC_SHA_384);
    cr_expect(entry->test);
    keyring_release(keyring);
}

Test(keyring, a_kid_means_its_key_or_a_generation_of_a_master)
{
    struct keyring *keyring =
        keys_good(HEAD MASTER "}\n" STATIC "}\n"
                              "  - {kid: m25a.x.1, type: master, alg: HMAC-SHA-256, secret: {file: "
                              "m25b.key}}\n");
    static const struct {
        const char *kid, *entry;
        uint32_t generation;
    } rows[] = {
        {"m25a", "m25a", 1},
        {"m25a.1", "m25a", 1},
        {"m25a.2", "m25a", 2},
        {"m25a.10", "m25a", 10},
        {"m25a.4294967295", "m25a", UINT32_MAX},
        {"m25a.4294967296", NULL, 1},
        {"m25a.99999999999999999999", NULL, 1},
        {"m25a.0", NULL, 1},
        {"m25a.02", NULL, 1},
        {"m25a.", NULL, 1},
        {"m25a.2.3", NULL, 1},
        {"m25a.-2", NULL, 1},
        {"m25a.2a", NULL, 1},
        {"m25a.x.1", "m25a.x.1", 1},
        {"m25a.x.1.7", "m25a.x.1", 7},
        {"m25a.x", NULL, 1},
        {"m25", NULL, 1},
        {"m25a2", NULL, 1},
        {"M25A", NULL, 1},
        {".2", NULL, 1},
        {"ops-1", "ops-1", 1},
        {"ops-1.1", NULL, 1},
        {"ops-1.2", NULL, 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t generation;
        const struct keyring_entry *entry =
            keyring_find_kid(keyring, view_of_string(rows[i].kid), &generation);
        cr_expect((entry == NULL) == (rows[i].entry == NULL), "%s", rows[i].kid);
        if (entry != NULL && rows[i].entry != NULL) {
            cr_expect_str_eq(entry->kid, rows[i].entry);
            cr_expect_eq(generation, rows[i].generation, "%s: %u", rows[i].kid, generation);
        }
    }
    keyring_release(keyring);
}

Test(keyring, the_reason_says_why_a_key_is_not_used)
{
    struct keyring *keyring = keys_good(HEAD MASTER
        ", revoked: [plc-9, plc-10, a], min_generation: {plc-3: 2, plc-5: 4294967295}}\n" STATIC "}\n"
        "  - {kid: old, type: master, alg: HMAC-SHA-256, secret: {file: m25b.key}, not_after: "
        "2025-06-15T15:06:40Z, revoked: [plc-9]}\n"
        "  - {kid: new, type: static, sub: eva, alg: HMAC-SHA-256, secret: {file: raw.key, format: raw}, "
        "not_before: 2025-06-15T15:06:41Z}\n"
        "  - {kid: now, type: static, sub: eva, alg: HMAC-SHA-512, secret: {file: wrapped.key}, "
        "not_before: 2025-06-15T15:06:40Z, not_after: 2025-06-15T15:06:41Z}\n");
    expect_find(keyring, 5, "m25a", "plc-7", REASON_none);
    expect_find(keyring, 5, "m25a.2", "plc-7", REASON_none);
    expect_find(keyring, 5, "nobody", "plc-7", REASON_sig_key_unknown);
    expect_find(keyring, 6, "m25a", "plc-7", REASON_sig_alg);
    expect_find(keyring, 5, "m25a", "plc-9", REASON_sig_key_revoked);
    expect_find(keyring, 5, "m25a.7", "plc-9", REASON_sig_key_revoked);
    expect_find(keyring, 6, "m25a", "plc-9", REASON_sig_key_revoked);
    expect_find(keyring, 5, "m25a", "plc-99", REASON_none);
    expect_find(keyring, 5, "m25a", "plc-3", REASON_sig_key_revoked);
    expect_find(keyring, 5, "m25a.1", "plc-3", REASON_sig_key_revoked);
    expect_find(keyring, 5, "m25a.2", "plc-3", REASON_none);
    expect_find(keyring, 5, "m25a.3", "plc-3", REASON_none);
    expect_find(keyring, 5, "m25a.4294967294", "plc-5", REASON_sig_key_revoked);
    expect_find(keyring, 5, "m25a.4294967295", "plc-5", REASON_none);
    expect_find(keyring, 5, "ops-1", "op:eva", REASON_none);
    expect_find(keyring, 5, "ops-1", "op:max", REASON_sig_identity);
    expect_find(keyring, 7, "ops-1", "op:max", REASON_sig_alg);
    /* not_after is the first moment at which the key is not valid, not_before the first at which it is */
    expect_find(keyring, 5, "old", "plc-9", REASON_sig_key_inactive);
    expect_find(keyring, 5, "new", "eva", REASON_sig_key_inactive);
    expect_find(keyring, 7, "now", "eva", REASON_none);
    cr_expect_eq(find_at(keyring, 5, "old", "plc-7", NOW_MS - 1), REASON_none);
    cr_expect_eq(find_at(keyring, 5, "new", "eva", NOW_MS + 1000), REASON_none);
    cr_expect_eq(find_at(keyring, 7, "now", "eva", NOW_MS - 1), REASON_sig_key_inactive);
    cr_expect_eq(find_at(keyring, 7, "now", "eva", NOW_MS + 999), REASON_none);
    cr_expect_eq(find_at(keyring, 7, "now", "eva", NOW_MS + 1000), REASON_sig_key_inactive);
    keyring_release(keyring);
}

/* ---- the keys themselves ---- */

static void tag_of(const struct mps1_key *key, uint8_t tag[MPS1_TAG_MAX])
{
    const struct mps1_message message = {.topic = VIEW("t"), .payload = VIEW("p")};
    mps1_mac(key, VIEW("covered"), false, &message, tag);
}

/* The key that the keyring gives is the one of that secret. */
static void expect_key(struct keyring *keyring, enum mps1_label label, const char *kid, const char *sub,
    unsigned algorithm, struct view secret)
{
    const struct keyring_entry *entry = keyring_find_kid(keyring, view_of_string(kid), NULL);
    const struct keyring_key *taken =
        keyring_take(keyring, entry, label, view_of_string(kid), view_of_string(sub));
    uint8_t tag[MPS1_TAG_MAX], expected[MPS1_TAG_MAX];
    struct mps1_key key;
    mps1_key_init(&key, algorithm, secret);
    tag_of(&taken->key, tag);
    tag_of(&key, expected);
    cr_expect_eq(taken->key.algorithm, algorithm);
    cr_expect_arr_eq(tag, expected, mps1_tag_size(algorithm), "%s %s", kid, sub);
    keyring_put(taken);
}

static size_t from_hex(const char *hex, uint8_t *out)
{
    size_t length = 0;
    for (unsigned byte; sscanf(hex + 2 * length, "%2x", &byte) == 1; length++)
        out[length] = (uint8_t)byte;
    return length;
}

/* payload-signatures "Vectors": V1 and V2. */
Test(keyring, keys_are_those_of_the_specification)
{
    static const struct {
        unsigned algorithm;
        const char *name, *kid, *sub, *key;
    } vectors[] = {
        {MPS1_HMAC_SHA_256, "HMAC-SHA-256", "m25a", "plc-7",
            "4d745cdc0e80b9cfa5cf43c2793dda28e0c90714db7aec67dbe33e55af5f6da2"},
        {MPS1_HMAC_SHA_384, "HMAC-SHA-384", "m25a.2", "gw-1",
            "c867adcd2f5a264db145b5fb6a3f5eb8afb03851822b7d8b5511eb527a36c9296543037e767627bac80579011395342"
            "9"},
    };
    for (size_t i = 0; i < 2; i++) {
        char *text =
            memory_format(HEAD "  - {kid: m25a, type: master, alg: %s, secret: {file: count.key}, test: "
                               "true}\n",
                vectors[i].name);
        struct keyring *keyring = keys_good(text);
        uint8_t expected[MPS1_TAG_MAX], secret[MPS1_TAG_MAX];
        size_t length = from_hex(vectors[i].key, expected);
        const struct keyring_entry *entry = keyring_entry(keyring, 0);
        cr_assert_eq(length, mps1_tag_size(vectors[i].algorithm));
        keyring_derive(
            entry, MPS1_DEVICE, view_of_string(vectors[i].kid), view_of_string(vectors[i].sub), secret);
        cr_expect_arr_eq(secret, expected, length);
        for (int again = 0; again < 2; again++)
            expect_key(keyring, MPS1_DEVICE, vectors[i].kid, vectors[i].sub, vectors[i].algorithm,
                view_of(expected, length));
        keyring_derive(entry, MPS1_EGRESS_RECEIVER, view_of_string(vectors[i].kid),
            view_of_string(vectors[i].sub), secret);
        cr_expect_arr_neq(secret, expected, length, "the egress key is another one");
        expect_key(keyring, MPS1_EGRESS_RECEIVER, vectors[i].kid, vectors[i].sub, vectors[i].algorithm,
            view_of(secret, length));
        keyring_release(keyring);
        free(text);
    }
}

Test(keyring, secrets_are_read_in_each_format)
{
    struct keyring *keyring = keys_good(HEAD
        "  - {kid: hex, type: static, sub: a, alg: HMAC-SHA-512, secret: {file: wrapped.key}}\n"
        "  - {kid: base64, type: static, sub: a, alg: HMAC-SHA-384, secret: {file: base64.key, format: "
        "base64}}\n"
        "  - {kid: padded, type: static, sub: a, alg: HMAC-SHA-256, secret: {file: base64-padded.key, "
        "format: "
        "base64}}\n"
        "  - {kid: raw, type: static, sub: a, alg: HMAC-SHA-256, secret: {file: raw.key, format: raw}}\n"
        "  - {kid: link, type: static, sub: a, alg: HMAC-SHA-256, secret: {file: link.key}}\n"
        "  - {kid: text, type: static, sub: a, alg: HMAC-SHA-256, secret: {file: password.key, format: raw}, "
        "test: true}\n");
    /* SHA-512("mqward test secret <name>"), from its beginning */
    static const struct {
        const char *kid, *secret;
        unsigned algorithm;
    } rows[] = {
        {"hex",
            "55889ff474753e7c6dba3eb77ff5f9e256f487c66020bdf283d9f4601112110ebdb2d988a62d16134d9ecf1b46499c5f"
            "fb683bb39c7476b92305b6421c056b0b",
            MPS1_HMAC_SHA_512},
        {"base64",
            "168b0790201ded8aa7cfdbb8ae7faabfbea596b9a461dffa55de8211b90cab1aa65f182a5036f19d3e349436c322052"
            "f",
            MPS1_HMAC_SHA_384},
        {"padded", "7a76d5a2b17aac28f416dbd6b2bf179643ab31d2a1eb8e65615c111a3c0c0cfe", MPS1_HMAC_SHA_256},
        {"raw", "67d1fa678c4636a03b293320203f924e5254f0534af54422efeea038203709080dc73a17cf83752a",
            MPS1_HMAC_SHA_256},
        {"link", "66fc59795e936508110f3c237734506cb6b061d267575a243c7621b6d332538e", MPS1_HMAC_SHA_256},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint8_t secret[MPS1_TAG_MAX];
        expect_key(keyring, MPS1_DEVICE, rows[i].kid, "a", rows[i].algorithm,
            view_of(secret, from_hex(rows[i].secret, secret)));
    }
    static const char password[] = "correct horse battery staple, and 12 more\n";
    expect_key(keyring, MPS1_DEVICE, "text", "a", MPS1_HMAC_SHA_256, view_of_string(password));
    keyring_release(keyring);
}

/* ---- files ---- */

static void expect_refused(const char *name, const char *message)
{
    char *messages;
    struct keyring *keyring = keys_load(name, &messages);
    cr_expect_null(keyring, "%s", name);
    cr_expect_not_null(strstr(messages, message), "%s: expected '%s' in: %s", name, message, messages);
    free(messages);
}

Test(keyring, keys_yaml_itself_must_be_private)
{
    keys_write("a.yaml", HEAD MASTER "}\n", 0640);
    expect_refused(
        "a.yaml", "a.yaml: error: cannot be used: it is open to other users of this machine (mode 640)");
    keys_write("a.yaml", HEAD MASTER "}\n", 0601);
    expect_refused("a.yaml", "(mode 601)");
    expect_refused("pipe.key", "it is not a regular file");
    expect_refused("folder.key", "it is not a regular file");
    expect_refused("nowhere.yaml", "No such file");
    cr_assert_eq(symlink("a.yaml", "b.yaml"), 0);
    expect_refused("b.yaml", "(mode 601)");
    cr_assert_eq(chmod("a.yaml", 0400), 0);
    char *messages;
    struct keyring *keyring = keys_load("b.yaml", &messages);
    cr_expect_not_null(keyring, "%s", messages);
    keyring_release(keyring);
    free(messages);
}

Test(keyring, a_file_of_somebody_else_is_refused)
{
    keys_write("keys.yaml", HEAD MASTER "}\n", 0600);
    if (geteuid() != 0) /* only root gives files away; then there is no such file to refuse */
        return;
    cr_assert_eq(chown("m25a.key", 4711, (gid_t)-1), 0);
    expect_refused("keys.yaml", "it belongs to user 4711, who is neither root nor the user of this process");
    cr_assert_eq(chown("m25a.key", 0, (gid_t)-1), 0);
    cr_assert_eq(chown("keys.yaml", 4711, (gid_t)-1), 0);
    expect_refused("keys.yaml", "it belongs to user 4711");
    /* root's files are good enough for who is not root */
    cr_assert_eq(chown("keys.yaml", 0, (gid_t)-1), 0);
    cr_assert_eq(chmod(".", 0711), 0);
    cr_assert_eq(seteuid(4711), 0);
    expect_refused("keys.yaml", "Permission denied");
    cr_assert_eq(seteuid(0), 0);
}

Test(keyring, the_place_that_names_the_file_has_its_errors)
{
    const struct diag_source source = {.path = "mqward.yaml", .text = VIEW("keys: nowhere.yaml\n")};
    const struct diag_place place = {&source, 1, 7, 12};
    struct diag_list *diag = diag_list_new();
    char *text = NULL;
    size_t size = 0;
    cr_expect_null(keyring_load("nowhere.yaml", diag, &place));
    FILE *out = open_memstream(&text, &size);
    diag_print(diag, out);
    fclose(out);
    cr_expect_str_eq(text, "mqward.yaml:1:7: error: cannot use 'nowhere.yaml': No such file or directory\n"
                           "keys: nowhere.yaml\n      ^~~~~~~~~~~~\n");
    free(text);
    diag_list_free(diag);
}

Test(keyring, names_need_no_secrets)
{
    struct arena *arena = arena_new();
    struct keyring_names names;
    keys_write("keys.yaml",
        HEAD MASTER "}\n  - {kid: b, type: static, sub: x, alg: HMAC-SHA-256, secret: {file: nowhere}}\n",
        0600);
    cr_expect(keyring_read_names("keys.yaml", arena, &names));
    cr_assert_eq(names.count, 2);
    cr_expect_str_eq(names.kids[0], "m25a");
    cr_expect(names.masters[0]);
    cr_expect_str_eq(names.kids[1], "b");
    cr_expect_not(names.masters[1]);
    keys_write("keys.yaml", HEAD MASTER "}\n", 0644);
    cr_expect_not(keyring_read_names("keys.yaml", arena, &names));
    cr_expect_eq(names.count, 0);
    keys_write("keys.yaml", HEAD MASTER ", bla: 1}\n", 0600);
    cr_expect_not(keyring_read_names("keys.yaml", arena, &names));
    cr_expect_not(keyring_read_names("nowhere.yaml", arena, &names));
    arena_free(arena);
}

Test(keyring, one_that_was_read_has_the_same_names)
{
    struct arena *arena = arena_new();
    struct keyring_names names;
    struct keyring *keyring = keys_good(HEAD MASTER "}\n" STATIC "}\n");
    keyring_names(keyring, arena, &names);
    keyring_release(keyring);
    cr_assert_eq(names.count, 2);
    cr_expect_str_eq(names.kids[0], "m25a");
    cr_expect(names.masters[0]);
    cr_expect_str_eq(names.kids[1], "ops-1");
    cr_expect_not(names.masters[1]);
    arena_free(arena);
}

/* ---- time ---- */

static void note_kid(void *context, const struct keyring_entry *entry)
{
    buffer_format(context, "%s ", entry->kid);
}

static void expect_expiring(const struct keyring *keyring, uint64_t now_ms, const char *expected)
{
    struct buffer found = {0};
    keyring_expiring(keyring, now_ms, KEYRING_WARNING_MS, note_kid, &found);
    cr_expect(view_equal_string(buffer_view(&found), expected), "expected '%s', found '%.*s'", expected,
        VIEW_ARGS(buffer_view(&found)));
    buffer_release(&found);
}

Test(keyring, keys_that_end_within_thirty_days_are_told_of)
{
    struct keyring *keyring = keys_good(
        HEAD MASTER ", not_after: 2099-02-01T00:00:00Z}\n" STATIC ", not_after: 2099-01-11T00:00:00Z}\n"
                    "  - {kid: b, type: master, alg: HMAC-SHA-256, secret: {file: m25b.key}}\n");
    const uint64_t day_ms = 86400000, first_ms = UINT64_C(4070908800000); /* 2099-01-01 */
    expect_expiring(keyring, first_ms - 40 * day_ms, "");
    expect_expiring(keyring, first_ms - 20 * day_ms - 1, "");
    expect_expiring(keyring, first_ms - 20 * day_ms, "ops-1 ");
    expect_expiring(keyring, first_ms + day_ms, "m25a ops-1 ");
    expect_expiring(keyring, first_ms + 10 * day_ms, "m25a ");
    expect_expiring(keyring, first_ms + 31 * day_ms - 1, "m25a ");
    expect_expiring(keyring, first_ms + 31 * day_ms, "");
    keyring_release(keyring);
}

static void expect_warning(int64_t from_now_s, const char *expected)
{
    char end[CLOCK_SECONDS_LENGTH + 1], *messages;
    clock_format_seconds((uint64_t)((int64_t)(clock_wall_us() / 1000000) + from_now_s), end);
    char *text = memory_format(HEAD MASTER ", not_after: %s}\n", end);
    keys_write("keys.yaml", text, 0600);
    struct keyring *keyring = keys_load("keys.yaml", &messages);
    cr_expect_not_null(keyring, "%s", messages);
    if (expected[0] == '\0')
        cr_expect_str_eq(messages, "");
    else
        cr_expect_not_null(strstr(messages, expected), "expected '%s' in: %s", expected, messages);
    keyring_release(keyring);
    free(text);
    free(messages);
}

Test(keyring, loading_warns_of_keys_that_end)
{
    expect_warning(-1, "warning: key 'm25a' is not valid any more since ");
    expect_warning(3 * 86400 + 3600, "warning: key 'm25a' is valid for 3 days more, until ");
    expect_warning(30 * 86400 - 60, "warning: key 'm25a' is valid for 29 days more, until ");
    expect_warning(30 * 86400 + 60, "");
}

Test(keyring, the_manual_holds_the_reference_of_the_tables)
{
    static const char path[] = MQWARD_SOURCE_DIR "/docs/keys.md", mark[] = "<!-- reference: keys -->\n";
    struct buffer reference = {0};
    keyring_print_reference(&reference);
    char *manual = read_text(path);
    cr_assert_not_null(manual, "docs/keys.md is missing");
    char *begin = strstr(manual, mark), *end = begin == NULL ? NULL : strstr(begin, "<!-- end -->");
    cr_assert_not_null(end, "docs/keys.md has no reference between its marks");
    begin += strlen(mark);
    if (getenv("MQWARD_BLESS") != NULL) {
        FILE *out = fopen(path, "w");
        fwrite(manual, 1, (size_t)(begin - manual), out);
        fwrite(reference.data + reference.start, 1, buffer_length(&reference), out);
        fputs(end, out);
        fclose(out);
    } else {
        cr_expect(view_equal(view_of(begin, (size_t)(end - begin)), buffer_view(&reference)),
            "docs/keys.md differs from the keyword tables; run this test with MQWARD_BLESS=1");
    }
    free(manual);
    buffer_release(&reference);
}
