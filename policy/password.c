/* SPDX-License-Identifier: Apache-2.0 */
/* Owns password files. Loaded by the proxy with its configuration, asked by it when policy_identify() says
 * POLICY_CHECK_PASSWORD. */
#include "policy/password.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/number.h"

#define FILE_SIZE_MAXIMUM ((size_t)64 << 20)
/* A login costs its iterations in CPU time, for whoever tries one. A million take about half a second. */
#define ITERATIONS_MAXIMUM 1000000
#define SALT_MAXIMUM 64
#define HASH_SIZE 64 /* SHA-512 */
#define NAME_MAXIMUM 65535

struct entry {
    struct view name;
    uint32_t line;
    uint32_t iterations; /* 0: $6$, one SHA-512 over password and salt */
    size_t salt_length;
    uint8_t salt[SALT_MAXIMUM];
    uint8_t hash[HASH_SIZE];
};

struct password_file {
    struct arena *arena;   /* owns the names */
    struct entry *entries; /* sorted by name */
    size_t count;
    size_t capacity;
};

/* What reading a file needs. */
struct reader {
    struct password_file *file;
    struct diag_list *diag;
    const struct diag_source *source;
    uint32_t line;
};

static void report(
    struct reader *reader, struct view line, struct view part, const char *hint, const char *message)
{
    struct diag_place place = {reader->source, reader->line, (uint32_t)(part.data - line.data) + 1,
        part.length == 0 ? 1 : (uint32_t)part.length};
    diag_add(reader->diag, DIAG_ERROR, &place, hint, "%s", message);
}

/* Decodes base64 as OpenSSL writes it: whole groups, padding at the end only. Returns the number of bytes, or
 * -1. */
static int decode_base64(struct view text, uint8_t *out, size_t size)
{
    uint8_t buffer[(SALT_MAXIMUM + HASH_SIZE) * 2];
    size_t padding = 0;

    if (text.length == 0 || text.length % 4 != 0 || text.length / 4 * 3 > sizeof(buffer))
        return -1;
    while (padding < 2 && text.data[text.length - 1 - padding] == '=')
        padding++;
    for (size_t i = 0; i < text.length - padding; i++) {
        uint8_t c = text.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '+' && c != '/')
            return -1;
    }
    int length = EVP_DecodeBlock(buffer, text.data, (int)text.length);
    if (length < 0 || (size_t)length - padding > size)
        return -1;
    length -= (int)padding;
    memcpy(out, buffer, (size_t)length);
    OPENSSL_cleanse(buffer, sizeof(buffer));
    return length;
}

/* Takes the part before the next '$' off text. */
static bool next_part(struct view *text, struct view *part)
{
    const uint8_t *dollar = text->length == 0 ? NULL : memchr(text->data, '$', text->length);
    *part = *text;
    if (dollar == NULL) {
        *text = (struct view){NULL, 0};
        return false;
    }
    part->length = (size_t)(dollar - part->data);
    *text = view_of(dollar + 1, text->length - part->length - 1);
    return true;
}

static bool parse_iterations(struct reader *reader, struct view line, struct view part, struct entry *entry)
{
    uint64_t iterations;
    if (number_parse(part, &iterations) != 0 || iterations == 0) {
        report(reader, line, part, NULL, "the number of iterations is not a positive number");
        return false;
    }
    if (iterations > ITERATIONS_MAXIMUM) {
        report(reader, line, part, "at most 1000000", "more iterations than mqward spends on a login");
        return false;
    }
    entry->iterations = (uint32_t)iterations;
    return true;
}

/* hash: everything behind the name's colon. */
static bool parse_hash(struct reader *reader, struct view line, struct view hash, struct entry *entry)
{
    static const char hint[] = "write the file with mosquitto_passwd";
    struct view part, rest = hash;

    if (!next_part(&rest, &part) || part.length != 0) {
        report(reader, line, hash, "hash a file of plain passwords with mosquitto_passwd -U",
            "expected a password hash ($7$... or $6$...)");
        return false;
    }
    bool more = next_part(&rest, &part);
    bool iterated = view_equal(part, VIEW("7"));
    if (!more || (!iterated && !view_equal(part, VIEW("6")))) {
        report(reader, line, part, hint, "this kind of password hash is not supported by this version");
        return false;
    }
    if (iterated) {
        more = next_part(&rest, &part);
        if (!parse_iterations(reader, line, part, entry))
            return false;
    }
    bool salted = more && next_part(&rest, &part);
    int salt_length = salted ? decode_base64(part, entry->salt, sizeof(entry->salt)) : -1;
    if (salt_length <= 0 || decode_base64(rest, entry->hash, sizeof(entry->hash)) != HASH_SIZE) {
        report(reader, line, hash, hint, "salt or hash is damaged");
        return false;
    }
    entry->salt_length = (size_t)salt_length;
    return true;
}

static void parse_line(struct reader *reader, struct view line)
{
    struct entry entry = {.line = reader->line};

    if (line.length == 0 || line.data[0] == '#')
        return;
    const uint8_t *colon = memchr(line.data, ':', line.length);
    if (colon == NULL) {
        report(reader, line, view_of(line.data, 1), "name:hash, as mosquitto_passwd writes it",
            "expected a colon behind the user name");
        return;
    }
    struct view name = view_of(line.data, (size_t)(colon - line.data));
    if (name.length == 0 || name.length > NAME_MAXIMUM) {
        report(reader, line, name, NULL, "the user name is empty or longer than 65535 bytes");
        return;
    }
    if (!parse_hash(reader, line, view_of(colon + 1, line.length - name.length - 1), &entry))
        return;
    struct password_file *file = reader->file;
    if (file->count == file->capacity) {
        file->capacity = file->capacity == 0 ? 16 : file->capacity * 2;
        file->entries = memory_realloc(file->entries, file->capacity, sizeof(*file->entries));
    }
    entry.name = arena_copy(file->arena, name);
    file->entries[file->count++] = entry;
}

/* The diagnostics quote lines of the source, which they own: what is behind the colons goes before they can.
 */
static void mask_line(struct view line)
{
    uint8_t *bytes = (uint8_t *)(uintptr_t)line.data;
    const uint8_t *colon =
        line.length == 0 || line.data[0] == '#' ? NULL : memchr(line.data, ':', line.length);
    size_t start = colon == NULL ? (line.length > 0 && line.data[0] == '#' ? line.length : 0)
                                 : (size_t)(colon - line.data) + 1;
    if (line.length > start)
        memset(bytes + start, '*', line.length - start);
}

static void parse_lines(struct reader *reader)
{
    struct view rest = reader->source->text;
    while (rest.length > 0) {
        const uint8_t *newline = memchr(rest.data, '\n', rest.length);
        struct view line = view_of(rest.data, newline == NULL ? rest.length : (size_t)(newline - rest.data));
        rest = view_skip(rest, line.length + 1);
        if (line.length > 0 && line.data[line.length - 1] == '\r')
            line.length--;
        reader->line++;
        parse_line(reader, line);
        mask_line(line);
    }
}

static int compare_names(struct view a, struct view b)
{
    size_t shorter = a.length < b.length ? a.length : b.length;
    int order = shorter == 0 ? 0 : memcmp(a.data, b.data, shorter);
    return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = compare_names(x->name, y->name);
    return order != 0 ? order : (x->line > y->line) - (x->line < y->line);
}

static void refuse_duplicates(struct reader *reader)
{
    struct password_file *file = reader->file;
    if (file->count > 1)
        qsort(file->entries, file->count, sizeof(*file->entries), compare_entries);
    for (size_t i = 1; i < file->count; i++) {
        const struct entry *entry = &file->entries[i];
        if (!view_equal(entry->name, entry[-1].name))
            continue;
        struct diag_place place = {reader->source, entry->line, 1, (uint32_t)entry->name.length};
        diag_add(reader->diag, DIAG_ERROR, &place, NULL, "user '%.*s' is already in line %u",
            VIEW_ARGS(entry->name), entry[-1].line);
    }
}

static void warn_about_mode(struct reader *reader)
{
    struct stat status;
    if (stat(reader->source->path, &status) != 0 || (status.st_mode & (S_IRWXG | S_IRWXO)) == 0)
        return;
    struct diag_place place = {.source = reader->source};
    diag_add(reader->diag, DIAG_WARNING, &place, "chmod 600",
        "the password file is open to other users of this machine (mode %03o)",
        (unsigned)status.st_mode & 0777);
}

struct password_file *password_file_load(
    const char *path, struct diag_list *diag, const struct diag_place *referrer)
{
    size_t errors = diag_errors(diag);
    const struct diag_source *source = diag_read_file(diag, path, FILE_SIZE_MAXIMUM, referrer);
    if (source == NULL)
        return NULL;
    struct password_file *file = memory_calloc(1, sizeof(*file));
    file->arena = arena_new();
    struct reader reader = {.file = file, .diag = diag, .source = source};
    warn_about_mode(&reader);
    parse_lines(&reader);
    refuse_duplicates(&reader);
    if (diag_errors(diag) > errors) {
        password_file_free(file);
        return NULL;
    }
    return file;
}

void password_file_free(struct password_file *file)
{
    if (file == NULL)
        return;
    if (file->entries != NULL)
        OPENSSL_cleanse(file->entries, file->capacity * sizeof(*file->entries));
    free(file->entries);
    arena_free(file->arena);
    free(file);
}

static const struct entry *find_entry(const struct password_file *file, struct view name)
{
    size_t low = 0, high = file->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_names(name, file->entries[middle].name);
        if (order == 0)
            return &file->entries[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static bool digest_password(const struct entry *entry, struct view password, uint8_t out[HASH_SIZE])
{
    /* OpenSSL wants a pointer even for no bytes. */
    const void *bytes = password.length == 0 ? "" : (const void *)password.data;
    if (entry->iterations > 0)
        return password.length <= INT_MAX &&
               PKCS5_PBKDF2_HMAC(bytes, (int)password.length, entry->salt, (int)entry->salt_length,
                   (int)entry->iterations, EVP_sha512(), HASH_SIZE, out) == 1;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = context != NULL && EVP_DigestInit_ex(context, EVP_sha512(), NULL) == 1 &&
                EVP_DigestUpdate(context, bytes, password.length) == 1 &&
                EVP_DigestUpdate(context, entry->salt, entry->salt_length) == 1 &&
                EVP_DigestFinal_ex(context, out, NULL) == 1;
    EVP_MD_CTX_free(context);
    return done;
}

enum reason password_file_verify(const struct password_file *file, struct view name, struct view password)
{
    uint8_t digest[HASH_SIZE] = {0};

    if (file->count == 0)
        return REASON_password_unknown_user;
    const struct entry *entry = find_entry(file, name);
    /* An unknown name costs what some known name costs, always the same one for the same name. */
    const struct entry *used = entry != NULL ? entry : &file->entries[hash_bytes(name) % file->count];
    bool done = digest_password(used, password, digest);
    bool equal = CRYPTO_memcmp(digest, used->hash, HASH_SIZE) == 0;
    OPENSSL_cleanse(digest, sizeof(digest));
    if (entry == NULL)
        return REASON_password_unknown_user;
    return done && equal ? REASON_none : REASON_password_wrong;
}
