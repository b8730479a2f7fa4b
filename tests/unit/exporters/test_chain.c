/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of the chain against vectors that another implementation has made (tests/vectors/audit), and
 * what a line can be changed into. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "chain_follow.h"
#include "directory.h"
#include "event.h"
#include "exporters/chain.h"
#include "exporters/checkpoint.h"

#define VECTORS MQWARD_SOURCE_DIR "/tests/vectors/audit/chain.txt"
#define WORDS_MAX 16

struct vectors {
    uint8_t secrets[8][CHAIN_KEY_SIZE];
    size_t secret_count;
    struct chain_cursor cursor; /* of the lines */
    size_t lines, checkpoints;
    char seed[65], public[65], id[CHECKPOINT_ID_SIZE];
    struct checkpoint_key *key;
    struct checkpoint_public *public_key;
};

static size_t unhex(const char *text, uint8_t *out)
{
    size_t length = strlen(text) / 2;

    for (size_t i = 0; i < length; i++) {
        unsigned byte;
        cr_assert_eq(sscanf(text + 2 * i, "%2x", &byte), 1);
        out[i] = (uint8_t)byte;
    }
    return length;
}

/* The pair as the files that mqward reads. */
static void read_pair(struct vectors *vectors)
{
    char directory[DIRECTORY_MAX], path[128], public_path[128], error[256] = "";
    uint8_t seed[32];

    directory_make(directory);
    snprintf(path, sizeof(path), "%s/signing.key", directory);
    snprintf(public_path, sizeof(public_path), "%s/signing.pub", directory);
    unhex(vectors->seed, seed);
    EVP_PKEY *pair = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
    FILE *file = fopen(path, "w"), *public = fopen(public_path, "w");
    cr_assert(pair != NULL && file != NULL && public != NULL);
    cr_assert_eq(PEM_write_PKCS8PrivateKey(file, pair, NULL, NULL, 0, NULL, NULL), 1);
    cr_assert_eq(PEM_write_PUBKEY(public, pair), 1);
    cr_assert(fclose(file) == 0 && fclose(public) == 0 && chmod(path, 0600) == 0);
    EVP_PKEY_free(pair);
    vectors->key = checkpoint_key_read(path, NULL, error, sizeof(error));
    vectors->public_key = checkpoint_public_read(public_path, error, sizeof(error));
    cr_assert(vectors->key != NULL && vectors->public_key != NULL, "%s", error);
    cr_assert_str_eq(checkpoint_key_id(vectors->key), vectors->id);
    cr_assert_str_eq(checkpoint_public_id(vectors->public_key), vectors->id);
    directory_remove(directory);
}

static void on_line(struct vectors *vectors, char **words)
{
    uint64_t start = strtoull(words[1], NULL, 10), epoch = strtoull(words[2], NULL, 16);
    uint64_t sequence = strtoull(words[3], NULL, 10);
    struct view line = view_of_string(words[5]);
    struct chain_cursor *cursor = &vectors->cursor;
    struct buffer again = {0};
    struct record_head head;
    struct chain_link link;
    uint8_t key[CHAIN_KEY_SIZE];

    unhex(words[4], key);
    if (start != cursor->start)
        chain_begin(cursor, vectors->secrets[start - 1], epoch, start);
    cr_assert_arr_eq(cursor->key, key, sizeof(key));
    cr_assert_eq(record_parse_head(line, &head), 0);
    cr_assert(head.sequence == sequence && head.epoch == epoch);
    cr_assert_eq(chain_check(cursor, line, sequence, &link), CHAIN_HOLDS);
    cr_assert(link.start == start && link.epoch == epoch);

    /* Sealing the document anew gives the very line, wherever in the buffer it is. */
    buffer_append(&again, VIEW("{}\n"));
    const char *member = strstr(words[5], ",\"chain\":");
    buffer_append(&again, view_of(words[5], (size_t)(member - words[5])));
    buffer_append(&again, VIEW("}\n"));
    chain_seal(cursor, &again, 3);
    struct view sealed = buffer_view(&again);
    cr_assert_eq(sealed.data[sealed.length - 1], '\n');
    cr_assert(view_equal(view_of(sealed.data + 3, sealed.length - 4), line));
    cr_assert_leq(sealed.length - 4, (size_t)(member - words[5]) + CHAIN_MEMBER_MAX);
    cr_assert_arr_eq(cursor->prev, link.hash, sizeof(link.hash));
    buffer_release(&again);
    vectors->lines++;
}

static void on_checkpoint(struct vectors *vectors, char **words)
{
    struct checkpoint checkpoint = {.epoch = strtoull(words[1], NULL, 16),
        .start = strtoull(words[2], NULL, 10),
        .sequence = strtoull(words[3], NULL, 10),
        .events = strtoull(words[6], NULL, 10),
        .interval_events = strtoull(words[7], NULL, 10),
        .interval_seconds = strtoull(words[8], NULL, 10),
        .wall_us = strtoull(words[9], NULL, 10)};
    uint8_t wanted[256], encoded[CHECKPOINT_SIGNED_MAX], signature[64], made[64];

    unhex(words[4], checkpoint.prev);
    snprintf(
        checkpoint.previous, sizeof(checkpoint.previous), "%s", strcmp(words[5], "-") == 0 ? "" : words[5]);
    size_t length = unhex(words[10], wanted);
    cr_assert_eq(checkpoint_encode(&checkpoint, encoded), length);
    cr_assert_arr_eq(encoded, wanted, length);
    cr_assert_eq(unhex(words[11], signature), sizeof(signature));
    cr_assert_eq(checkpoint_sign(vectors->key, &checkpoint, made), 0);
    cr_assert_arr_eq(made, signature, sizeof(made));
    cr_assert(checkpoint_verify(vectors->public_key, &checkpoint, signature));
    for (size_t i = 0; i < sizeof(signature); i++) {
        signature[i] ^= 1;
        cr_assert(!checkpoint_verify(vectors->public_key, &checkpoint, signature));
        signature[i] ^= 1;
    }
    checkpoint.events++;
    cr_assert(!checkpoint_verify(vectors->public_key, &checkpoint, signature));
    vectors->checkpoints++;
}

static void on_vector(struct vectors *vectors, char *text)
{
    char *words[WORDS_MAX] = {0};
    size_t count = 0, limit = strncmp(text, "line ", 5) == 0 ? 5 : WORDS_MAX - 1;

    while (count < limit && text != NULL)
        words[count++] = strsep(&text, " ");
    words[count] = text; /* a line has blanks of its own */
    if (strcmp(words[0], "secret") == 0) {
        unhex(words[2], vectors->secrets[vectors->secret_count++]);
    } else if (strcmp(words[0], "line") == 0) {
        on_line(vectors, words);
    } else if (strcmp(words[0], "pair") == 0) {
        memcpy(vectors->seed, words[1], 65);
        memcpy(vectors->id, words[3], 65);
        read_pair(vectors);
    } else {
        cr_assert_str_eq(words[0], "checkpoint");
        on_checkpoint(vectors, words);
    }
}

Test(chain, agrees_with_another_implementation)
{
    struct vectors vectors = {0};
    FILE *file = fopen(VECTORS, "r");
    char *text = NULL;
    size_t size = 0;
    ssize_t length;

    cr_assert_not_null(file);
    while ((length = getline(&text, &size, file)) > 0) {
        text[length - 1] = '\0';
        if (text[0] != '#')
            on_vector(&vectors, text);
    }
    free(text);
    fclose(file);
    cr_assert(vectors.secret_count == 6 && vectors.lines == 21 && vectors.checkpoints == 3);
    for (size_t i = 1; i < vectors.secret_count; i++) {
        chain_next_secret(vectors.secrets[i - 1]);
        cr_assert_arr_eq(vectors.secrets[i - 1], vectors.secrets[i], CHAIN_KEY_SIZE);
    }
    checkpoint_key_free(vectors.key);
    checkpoint_public_free(vectors.public_key);
}

/* ---- one line ---- */

static const uint8_t test_secret[CHAIN_KEY_SIZE] = "the secret of these tests, here.";

/* Seals the event as line sequence of a start; the cursor was at the line before it is sealed. */
static void seal(struct buffer *line, struct chain_cursor *at, const struct audit_event *event)
{
    struct chain_cursor cursor = *at;
    struct record_seal place = event_seal;

    place.epoch = cursor.epoch;
    place.sequence = cursor.sequence;
    buffer_clear(line);
    record_render(line, event, &place);
    chain_seal(&cursor, line, 0);
}

static struct chain_cursor cursor_at(uint64_t sequence)
{
    struct chain_cursor cursor = {0};

    chain_begin(&cursor, test_secret, 0x6920d2f13f1c9a52, 7);
    for (uint64_t i = 1; i < sequence; i++)
        chain_step(&cursor, test_secret);
    return cursor;
}

Test(chain, no_byte_of_a_line_can_be_changed)
{
    struct buffer line = {0};
    struct chain_cursor cursor = cursor_at(3);
    struct audit_event event = event_full();
    struct chain_link link;

    seal(&line, &cursor, &event);
    struct view text = view_of(line.data, line.end - 1);
    cr_assert_eq(chain_check(&cursor, text, 3, &link), CHAIN_HOLDS);
    for (size_t i = 0; i < text.length; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            line.data[i] ^= (uint8_t)(1 << bit);
            cr_assert_neq(chain_check(&cursor, text, 3, &link), CHAIN_HOLDS, "byte %zu, bit %u", i, bit);
            line.data[i] ^= (uint8_t)(1 << bit);
        }
    }
    for (size_t length = 0; length < text.length; length++)
        cr_assert_neq(chain_check(&cursor, view_of(text.data, length), 3, &link), CHAIN_HOLDS);
    buffer_release(&line);
}

Test(chain, a_line_holds_in_its_own_place_only)
{
    struct buffer line = {0};
    struct chain_cursor cursor = cursor_at(3);
    struct audit_event event = event_full();
    struct chain_link link;

    seal(&line, &cursor, &event);
    struct view text = view_of(line.data, line.end - 1);
    struct chain_cursor other = cursor_at(4);
    cr_assert_eq(chain_check(&other, text, 3, &link), CHAIN_OTHER);
    cr_assert(!chain_holds(other.key, &link), "the key of the next line");
    cr_assert_eq(chain_check(&cursor, text, 4, &link), CHAIN_OTHER);
    other = cursor;
    other.start++;
    cr_assert_eq(chain_check(&other, text, 3, &link), CHAIN_OTHER);
    other = cursor;
    other.epoch++;
    cr_assert_eq(chain_check(&other, text, 3, &link), CHAIN_OTHER);
    other = cursor;
    other.prev[31] ^= 1;
    cr_assert_eq(chain_check(&other, text, 3, &link), CHAIN_UNLINKED, "genuine, behind another line");
    other = cursor;
    other.key[0] ^= 1;
    cr_assert_eq(chain_check(&other, text, 3, &link), CHAIN_FORGED);
    /* Epoch and start are in the key. */
    uint8_t key[CHAIN_KEY_SIZE];
    chain_first_key(test_secret, cursor.epoch + 1, cursor.start, key);
    cr_assert_neq(memcmp(key, cursor_at(1).key, sizeof(key)), 0);
    chain_first_key(test_secret, cursor.epoch, cursor.start + 1, key);
    cr_assert_neq(memcmp(key, cursor_at(1).key, sizeof(key)), 0);
    buffer_release(&line);
}

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

Test(chain, only_its_own_spelling_is_a_member)
{
    static const struct {
        const char *line;
        enum chain_member member;
    } cases[] = {
        {"{\"a\":1,\"chain\":{\"epoch\":\"00000000000000ff\",\"start\":1,\"prev\":\"" ZEROS
         "\",\"hash\":\"" ZEROS "\"}}",
            CHAIN_LINKED},
        {"", CHAIN_ABSENT},
        {"{\"ecs\":{\"version\":\"9.4.0\"}}", CHAIN_ABSENT},
        {"{\"a\":\"\\\"chain\\\":{\\\"epoch\\\":\",\"b\":{\"c\":\"d\"}}", CHAIN_ABSENT},
        {"{\"a\":1,\"chain\":{\"epoch\":\"00000000000000FF\",\"start\":1,\"prev\":\"" ZEROS
         "\",\"hash\":\"" ZEROS "\"}}",
            CHAIN_MANGLED},
        {"{\"a\":1,\"chain\":{\"epoch\":\"00000000000000ff\",\"start\":0,\"prev\":\"" ZEROS
         "\",\"hash\":\"" ZEROS "\"}}",
            CHAIN_MANGLED},
        {"{\"a\":1,\"chain\":{\"epoch\":\"00000000000000ff\",\"start\":01,\"prev\":\"" ZEROS
         "\",\"hash\":\"" ZEROS "\"}}",
            CHAIN_MANGLED},
        {"{\"a\":1,\"chain\":{\"epoch\":\"00000000000000ff\",\"start\":99999999999999999999,\"prev\":\"" ZEROS
         "\",\"hash\":\"" ZEROS "\"}}",
            CHAIN_MANGLED},
        {"{\"a\":1,\"chain\":{\"epoch\":\"00000000000000ff\",\"start\":1,\"prev\":\"00\",\"hash\":\"" ZEROS
         "\"}}",
            CHAIN_MANGLED},
        {"{\"a\":1,\"chain\":{\"epoch\":\"00000000000000ff\",\"start\":1,\"prev\":\"" ZEROS
         "\",\"hash\":\"" ZEROS "\"}} ",
            CHAIN_MANGLED},
        {"{\"a\":1,\"chain\":{\"epoch\":\"00000000000000ff\",\"start\":1,\"prev\":\"" ZEROS
         "\", \"hash\":\"" ZEROS "\"}}",
            CHAIN_MANGLED},
        {"{\"a\":1,\"chain\":{\"epoch\":\"00000000000000ff\",\"start\":1}}", CHAIN_MANGLED},
        {"\",\"hash\":\"" ZEROS "\"}}", CHAIN_ABSENT},
        {ZEROS "\",\"hash\":\"" ZEROS "\"}}", CHAIN_ABSENT},
    };
    struct chain_link link;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_expect_eq(chain_parse(view_of_string(cases[i].line), &link), cases[i].member, "%s", cases[i].line);
    cr_assert_eq(chain_parse(view_of_string(cases[0].line), &link), CHAIN_LINKED);
    cr_assert(link.epoch == 255 && link.start == 1);
    cr_assert_eq(link.covered.length, strlen(cases[0].line) - strlen(",\"hash\":\"" ZEROS "\"}}"));
}

Test(chain, texts_of_others_are_no_member_and_the_largest_line_fits)
{
    struct buffer line = {0};
    struct record_head head;
    struct chain_link link;
    uint8_t worst[AUDIT_FIELD_MAX + 1];

    memset(worst, 1, sizeof(worst)); /* six bytes each */
    for (size_t i = 0; i <= EVENT_HOSTILE; i++) {
        struct chain_cursor cursor = cursor_at(2);
        struct audit_event event =
            event_with_texts(i < EVENT_HOSTILE ? event_hostile[i] : view_of(worst, sizeof(worst)));
        cursor.start = UINT64_MAX;
        seal(&line, &cursor, &event);
        struct view text = view_of(line.data, line.end - 1);
        cr_assert_leq(line.end, RECORD_LINE_MAX);
        cr_assert_eq(record_parse_head(text, &head), 0);
        cr_assert_eq(chain_check(&cursor, text, head.sequence, &link), CHAIN_HOLDS);
        /* What was there before it had a chain. */
        const uint8_t *member = memmem(text.data, text.length, ",\"chain\":", 9);
        cr_assert_eq((const uint8_t *)memmem(
                         member + 1, (size_t)(text.data + text.length - member - 1), ",\"chain\":", 9),
            NULL);
    }
    buffer_release(&line);
}

/* ---- keys of checkpoints ---- */

Test(checkpoint, a_pair_is_made_once_and_read_back)
{
    char directory[DIRECTORY_MAX], path[128], public_path[128], error[256] = "";
    bool missing;
    directory_make(directory);
    snprintf(path, sizeof(path), "%s/a.key", directory);
    snprintf(public_path, sizeof(public_path), "%s/a.pub", directory);

    cr_assert_null(checkpoint_key_read(path, &missing, error, sizeof(error)));
    cr_assert(missing);
    struct checkpoint_key *key = checkpoint_key_make(path, public_path, error, sizeof(error));
    cr_assert_not_null(key, "%s", error);
    struct stat status;
    cr_assert(stat(path, &status) == 0 && (status.st_mode & 0777) == 0600);
    cr_assert(stat(public_path, &status) == 0 && (status.st_mode & 0777) == 0600);
    struct checkpoint_key *again = checkpoint_key_read(path, &missing, error, sizeof(error));
    struct checkpoint_public *public = checkpoint_public_read(public_path, error, sizeof(error));
    cr_assert(again != NULL && public != NULL, "%s", error);
    cr_assert_str_eq(checkpoint_key_id(again), checkpoint_key_id(key));
    cr_assert_str_eq(checkpoint_public_id(public), checkpoint_key_id(key));
    cr_assert_null(checkpoint_key_make(path, public_path, error, sizeof(error)), "never over another one");
    cr_assert_not_null(strstr(error, "File exists"), "%s", error);
    checkpoint_key_free(again);
    again = checkpoint_key_read(path, &missing, error, sizeof(error));
    cr_assert_str_eq(checkpoint_key_id(again), checkpoint_public_id(public));
    checkpoint_key_free(again);
    checkpoint_key_free(key);
    checkpoint_public_free(public);
    cr_assert_eq(directory_count(directory, ".new", NULL), 0);
    directory_remove(directory);
}

static void write_key(const char *path, EVP_PKEY *key, const char *password)
{
    FILE *file = fopen(path, "w");

    cr_assert_not_null(file);
    cr_assert_eq(PEM_write_PKCS8PrivateKey(file, key, password == NULL ? NULL : EVP_aes_128_cbc(), password,
                     password == NULL ? 0 : (int)strlen(password), NULL, NULL),
        1);
    cr_assert_eq(fclose(file), 0);
    cr_assert_eq(chmod(path, 0600), 0);
}

Test(checkpoint, other_keys_and_open_files_are_refused)
{
    char directory[DIRECTORY_MAX], path[128], error[256] = "";
    bool missing;
    directory_make(directory);
    snprintf(path, sizeof(path), "%s/a.key", directory);

    EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    write_key(path, other, NULL);
    cr_assert_null(checkpoint_key_read(path, &missing, error, sizeof(error)));
    cr_assert(!missing && strstr(error, "no Ed25519 private key") != NULL, "%s", error);
    EVP_PKEY_free(other);
    other = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    write_key(path, other, "password");
    cr_assert_null(checkpoint_key_read(path, &missing, error, sizeof(error)));
    cr_assert_not_null(strstr(error, "without a password"), "%s", error);
    write_key(path, other, NULL);
    cr_assert_eq(chmod(path, 0640), 0);
    cr_assert_null(checkpoint_key_read(path, &missing, error, sizeof(error)));
    cr_assert_not_null(strstr(error, "open to other users"), "%s", error);
    cr_assert_null(checkpoint_public_read(path, error, sizeof(error)), "a private key is no public one");
    EVP_PKEY_free(other);
    directory_remove(directory);
}
