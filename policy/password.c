/* SPDX-License-Identifier: Apache-2.0 */
/* Owns password files. Loaded by the proxy with its configuration, asked by it when policy_identify() says
 * POLICY_CHECK_PASSWORD. */
#include "policy/password.h"

#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/memory.h"
#include "policy/password_hash.h"

#define FILE_SIZE_MAXIMUM ((size_t)64 << 20)
#define NAME_MAXIMUM 65535

struct entry {
    struct view name;
    uint32_t line;
    struct password_hash hash;
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
    uint64_t check_memory;
    uint32_t line;
};

static struct diag_place place_of(const struct reader *reader, struct view line, struct view part)
{
    return (struct diag_place){reader->source, reader->line, (uint32_t)(part.data - line.data) + 1,
        part.length == 0 ? 1 : (uint32_t)part.length};
}

static void report(
    struct reader *reader, struct view line, struct view part, const char *hint, const char *message)
{
    struct diag_place place = place_of(reader, line, part);
    diag_add(reader->diag, DIAG_ERROR, &place, hint, "%s", message);
}

/* text: everything behind the name's colon. */
static bool read_hash(struct reader *reader, struct view line, struct view text, struct password_hash *hash)
{
    struct password_fault fault;

    if (!password_hash_parse(text, hash, &fault)) {
        report(reader, line, fault.part, fault.hint, fault.message);
        return false;
    }
    if ((uint64_t)hash->memory << 10 <= reader->check_memory)
        return true;
    struct diag_place place = place_of(reader, line, text);
    diag_add(reader->diag, DIAG_ERROR, &place,
        "limits.password_memory is shared by the checks that limits.password_checks allows at the same time",
        "the check of this hash takes %" PRIu32 " KiB of memory, more than the %" PRIu64
        " KiB that it may take",
        hash->memory, reader->check_memory >> 10);
    return false;
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
    struct view text = view_of(colon + 1, line.length - name.length - 1);
    if (!read_hash(reader, line, text, &entry.hash)) {
        OPENSSL_cleanse(&entry, sizeof(entry));
        return;
    }
    struct password_file *file = reader->file;
    if (file->count == file->capacity) {
        file->capacity = file->capacity == 0 ? 16 : file->capacity * 2;
        file->entries = memory_realloc(file->entries, file->capacity, sizeof(*file->entries));
    }
    entry.name = arena_copy(file->arena, name);
    file->entries[file->count++] = entry;
    OPENSSL_cleanse(&entry, sizeof(entry));
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
    const char *path, uint64_t check_memory, struct diag_list *diag, const struct diag_place *referrer)
{
    size_t errors = diag_errors(diag);
    const struct diag_source *source = diag_read_file(diag, path, FILE_SIZE_MAXIMUM, referrer);
    if (source == NULL)
        return NULL;
    struct password_file *file = memory_calloc(1, sizeof(*file));
    file->arena = arena_new();
    struct reader reader = {.file = file, .diag = diag, .source = source, .check_memory = check_memory};
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

uint64_t password_file_tag(const struct password_file *file, struct view name)
{
    const struct entry *entry = file->count == 0 ? NULL : find_entry(file, name);

    if (entry == NULL)
        return 0;
    uint64_t tag = password_hash_tag(&entry->hash);
    return tag == 0 ? 1 : tag;
}

enum reason password_file_verify(const struct password_file *file, struct view name, struct view password)
{
    if (file->count == 0)
        return REASON_password_unknown_user;
    const struct entry *entry = find_entry(file, name);
    /* An unknown name costs what some known name costs, always the same one for the same name: in a file of
     * one kind of hash, all names cost the same; in a mixed one, as many unknown names are of each kind as
     * known ones are. */
    const struct entry *used = entry != NULL ? entry : &file->entries[hash_bytes(name) % file->count];
    bool failed;
    bool equal = password_hash_check(&used->hash, password, &failed);
    if (failed)
        return REASON_internal_error;
    if (entry == NULL)
        return REASON_password_unknown_user;
    return equal ? REASON_none : REASON_password_wrong;
}
