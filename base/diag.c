/* SPDX-License-Identifier: Apache-2.0 */
/* The list of diagnostics that one run of a reader collects, and its two renderings (text, JSON). Filled by
 * base/yaml.c, base/keyword.c and every reader of a file that people write; printed by the command line and
 * by the daemon's start and reload. All that is quoted comes from files that may be hostile: it is cut and
 * cleaned before it reaches a terminal. */
#include "base/diag.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/character.h"
#include "base/json.h"
#include "base/memory.h"

#define DIAG_KEPT 1000 /* above it, findings are only counted: nobody reads on, and memory stays bounded */
#define DIAG_TEXT 600  /* bytes of a message or hint */
#define DIAG_LINE 160  /* bytes of a quoted line */
#define DIAG_LINE_BEFORE 60 /* of them, before the caret */
#define DIAG_READ_CHUNK 16384
#define DIAG_SECRET 32 /* letters in a row that may be a secret: 16 bytes as hex, 24 as base64 */
#define DIAG_LISTED 20 /* candidates that a hint lists */

struct diag_entry {
    enum diag_severity severity;
    struct diag_place place;
    const char *message;
    const char *hint; /* may be NULL */
};

struct diag_list {
    struct arena *arena;
    struct diag_entry *entries;
    size_t count, capacity;
    size_t errors, warnings;
    size_t dropped; /* counted in errors and warnings, but not kept */
};

struct diag_list *diag_list_new(void)
{
    struct diag_list *list = memory_calloc(1, sizeof(*list));
    list->arena = arena_new();
    return list;
}

void diag_list_free(struct diag_list *list)
{
    if (list == NULL)
        return;
    arena_free(list->arena);
    free(list->entries);
    free(list);
}

size_t diag_errors(const struct diag_list *list)
{
    return list->errors;
}

size_t diag_warnings(const struct diag_list *list)
{
    return list->warnings;
}

/* Collecting */

static bool same_place(const struct diag_place *a, const struct diag_place *b)
{
    return a->source == b->source && a->line == b->line && a->column == b->column;
}

static bool already_listed(const struct diag_list *list, const struct diag_place *place, const char *message)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct diag_entry *entry = &list->entries[i];
        if (same_place(&entry->place, place) && strcmp(entry->message, message) == 0)
            return true;
    }
    return false;
}

/* A buffer for a message or hint: a byte more than is kept shows that there was more, the others take the
 * mark of it. */
struct diag_text {
    char bytes[DIAG_TEXT + sizeof("...")];
};

/* Cuts what is longer than DIAG_TEXT between two characters. */
static void cut_text(struct diag_text *text)
{
    size_t length = strlen(text->bytes);
    if (length <= DIAG_TEXT)
        return;
    length = DIAG_TEXT;
    while (length > 0 && ((uint8_t)text->bytes[length] & 0xc0) == 0x80)
        length--;
    memcpy(text->bytes + length, "...", sizeof("..."));
}

static bool is_secret_letter(char c)
{
    return isalnum((unsigned char)c) || (c != '\0' && strchr("+/=_-", c) != NULL);
}

/* Stars for what may be a secret of the source: as long as one, of the letters of hex and base64, and quoted
 * from there. Somebody may have written it where a name or a path belongs. */
static void mask_secrets(struct diag_text *text, const struct diag_source *source)
{
    if (source == NULL || !source->secret)
        return;
    for (char *part = text->bytes; *part != '\0';) {
        char *end = part; /* of the letters; a folder may have been put before what was quoted */
        while (is_secret_letter(*end))
            end++;
        bool begins = part == text->bytes || !isalnum((unsigned char)part[-1]);
        bool quoted = begins && end - part >= DIAG_SECRET &&
                      memmem(source->text.data, source->text.length, part, DIAG_SECRET) != NULL;
        if (quoted)
            memset(part, '*', (size_t)(end - part));
        part = quoted ? end : part + 1;
    }
}

static const char *copy_hint(struct diag_list *list, const char *hint, const struct diag_source *source)
{
    if (hint == NULL)
        return NULL;
    struct diag_text text;
    snprintf(text.bytes, sizeof(text.bytes), "%s", hint);
    cut_text(&text);
    mask_secrets(&text, source);
    return arena_copy_string(list->arena, view_of_string(text.bytes));
}

void diag_add(struct diag_list *list, enum diag_severity severity, const struct diag_place *place,
    const char *hint, const char *format, ...)
{
    static const struct diag_place nowhere = {0};
    place = place == NULL ? &nowhere : place;

    struct diag_text message;
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(message.bytes, sizeof(message.bytes), format, arguments);
    va_end(arguments);
    assert(written >= 0);
    cut_text(&message);
    mask_secrets(&message, place->source);

    bool keep = list->count < DIAG_KEPT;
    if (keep && already_listed(list, place, message.bytes))
        return;
    *(severity == DIAG_ERROR ? &list->errors : &list->warnings) += 1;
    if (!keep) {
        list->dropped++;
        return;
    }
    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 16 : list->capacity * 2;
        list->entries = memory_realloc(list->entries, list->capacity, sizeof(*list->entries));
    }
    list->entries[list->count++] = (struct diag_entry){
        .severity = severity,
        .place = *place,
        .message = arena_copy_string(list->arena, view_of_string(message.bytes)),
        .hint = copy_hint(list, hint, place->source),
    };
}

/* Is what is open a file on a disk, that a reader never waits for? Sets errno if it is not. */
static bool is_regular(int descriptor)
{
    struct stat status;
    if (fstat(descriptor, &status) != 0)
        return false;
    errno = S_ISDIR(status.st_mode) ? EISDIR : ENOTBLK;
    return S_ISREG(status.st_mode);
}

/* 0, or -1 with errno; EFBIG when there is more than limit, ENOTBLK when it is a pipe or device. */
static int read_whole(const char *path, size_t limit, bool regular, struct buffer *text)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (regular ? O_NONBLOCK : 0));
    if (descriptor < 0)
        return -1;
    int result = -1;
    while (!regular || is_regular(descriptor)) {
        ssize_t got = read(descriptor, buffer_reserve(text, DIAG_READ_CHUNK), DIAG_READ_CHUNK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            break;
        if (got == 0) {
            result = 0;
            break;
        }
        text->end += (size_t)got;
        if (buffer_length(text) > limit) {
            errno = EFBIG;
            break;
        }
    }
    int saved = errno;
    close(descriptor);
    errno = saved;
    return result;
}

static struct diag_source *new_source(struct diag_list *list, const char *path)
{
    struct diag_source *source = arena_alloc(list->arena, sizeof(*source));
    source->path = arena_copy_string(list->arena, view_of_string(path));
    return source;
}

const struct diag_source *diag_add_source(struct diag_list *list, const char *path)
{
    return new_source(list, path);
}

const struct diag_source *diag_add_secret(struct diag_list *list, const char *path, struct view text)
{
    struct diag_source *source = new_source(list, path);
    source->text = arena_copy(list->arena, text);
    source->secret = true;
    return source;
}

const struct diag_source *diag_read_file(
    struct diag_list *list, const char *path, size_t limit, const struct diag_place *referrer)
{
    struct diag_source *source = new_source(list, path);
    struct buffer text = {0};
    int result = read_whole(path, limit, referrer != NULL, &text);
    int error = errno;
    if (result == 0) {
        source->text = arena_copy(list->arena, buffer_view(&text));
    } else {
        struct diag_place whole_file = {.source = source};
        char why[64];
        snprintf(why, sizeof(why), "it is larger than %zu bytes", limit);
        const char *problem = error == EFBIG     ? why
                              : error == ENOTBLK ? "it is not a regular file"
                                                 : strerror(error);
        if (referrer == NULL)
            diag_add(list, DIAG_ERROR, &whole_file, NULL, "cannot be read: %s", problem);
        else
            diag_add(list, DIAG_ERROR, referrer, NULL, "cannot read '%s': %s", path, problem);
    }
    buffer_release(&text);
    return result == 0 ? source : NULL;
}

/* Printing */

static int compare_entries(const void *left, const void *right)
{
    const struct diag_entry *a = *(const struct diag_entry *const *)left;
    const struct diag_entry *b = *(const struct diag_entry *const *)right;
    int by_path = strcmp(a->place.source == NULL ? "" : a->place.source->path,
        b->place.source == NULL ? "" : b->place.source->path);
    if (by_path != 0)
        return by_path;
    if (a->place.line != b->place.line)
        return a->place.line < b->place.line ? -1 : 1;
    if (a->place.column != b->place.column)
        return a->place.column < b->place.column ? -1 : 1;
    return a < b ? -1 : a > b; /* the order in which they were found */
}

/* The entries in order of file and place; free() the result. */
static const struct diag_entry **sort_entries(const struct diag_list *list)
{
    const struct diag_entry **sorted = memory_calloc(list->count + 1, sizeof(*sorted));
    for (size_t i = 0; i < list->count; i++)
        sorted[i] = &list->entries[i];
    qsort(sorted, list->count, sizeof(*sorted), compare_entries);
    return sorted;
}

/* Writes text in a form that is safe on a terminal. */
static void print_clean(struct view text, FILE *out)
{
    while (text.length > 0) {
        size_t length;
        uint32_t character = character_decode(text, &length);
        bool hidden = character_is_deceptive(character);
        if (character == '\t')
            fputc(' ', out);
        else if (length == 0 || hidden)
            fputc('?', out);
        else
            fwrite(text.data, 1, length, out);
        text = view_skip(text, length == 0 ? 1 : length);
    }
}

static size_t count_characters(struct view text)
{
    size_t characters = 0;
    while (text.length > 0) {
        size_t length = utf8_sequence_length(text);
        text = view_skip(text, length == 0 ? 1 : length);
        characters++;
    }
    return characters;
}

/* The line with this number, without its end; empty beyond the last. */
static struct view find_line(struct view text, uint32_t number)
{
    for (uint32_t line = 1; line < number && text.length > 0; line++) {
        const uint8_t *end = memchr(text.data, '\n', text.length);
        text = end == NULL ? (struct view){NULL, 0} : view_skip(text, (size_t)(end - text.data) + 1);
    }
    const uint8_t *end = text.length == 0 ? NULL : memchr(text.data, '\n', text.length);
    if (end != NULL)
        text.length = (size_t)(end - text.data);
    if (text.length > 0 && text.data[text.length - 1] == '\r')
        text.length--;
    return text.data == NULL ? VIEW("") : text;
}

/* offset, moved back to the start of the character that it is in. */
static size_t character_start(struct view text, size_t offset)
{
    while (offset > 0 && offset < text.length && (text.data[offset] & 0xc0) == 0x80)
        offset--;
    return offset;
}

/* The line and below it "^~~~". What is longer than DIAG_LINE is cut around the caret. */
static void print_quote(const struct diag_place *place, FILE *out)
{
    struct view line = find_line(place->source->text, place->line);
    size_t start = place->column == 0 ? 0 : place->column - 1;
    start = character_start(line, start < line.length ? start : line.length);
    size_t from = 0, to = line.length;
    if (line.length > DIAG_LINE) {
        from = character_start(line, start > DIAG_LINE_BEFORE ? start - DIAG_LINE_BEFORE : 0);
        to = line.length - from > DIAG_LINE ? character_start(line, from + DIAG_LINE) : line.length;
    }
    size_t end = place->length < to - start ? start + place->length : to;

    fputs(from > 0 ? "..." : "", out);
    print_clean(view_of(line.data + from, to - from), out);
    fputs(to < line.length ? "...\n" : "\n", out);
    size_t indent = (from > 0 ? 3 : 0) + count_characters(view_of(line.data + from, start - from));
    fprintf(out, "%*s^", (int)indent, "");
    for (size_t left = count_characters(view_of(line.data + start, end - start)); left > 1; left--)
        fputc('~', out);
    fputc('\n', out);
}

static void print_entry(const struct diag_entry *entry, FILE *out)
{
    const struct diag_place *place = &entry->place;
    if (place->source != NULL) {
        print_clean(view_of_string(place->source->path), out);
        if (place->line > 0)
            fprintf(out, ":%u:%u", place->line, place->column);
        fputs(": ", out);
    }
    fputs(entry->severity == DIAG_ERROR ? "error: " : "warning: ", out);
    print_clean(view_of_string(entry->message), out);
    fputc('\n', out);
    if (place->source != NULL && place->line > 0 && !place->source->secret)
        print_quote(place, out);
    if (entry->hint != NULL) {
        fputs("  hint: ", out);
        print_clean(view_of_string(entry->hint), out);
        fputc('\n', out);
    }
}

void diag_print(const struct diag_list *list, FILE *out)
{
    const struct diag_entry **sorted = sort_entries(list);
    for (size_t i = 0; i < list->count; i++)
        print_entry(sorted[i], out);
    if (list->dropped > 0)
        fprintf(out, "... and %zu more\n", list->dropped);
    free(sorted);
}

void diag_each(const struct diag_list *list,
    void (*each)(void *context, enum diag_severity severity, const char *place, const char *message),
    void *context)
{
    const struct diag_entry **sorted = sort_entries(list);
    for (size_t i = 0; i < list->count; i++) {
        const struct diag_entry *entry = sorted[i];
        struct buffer place = {0};
        if (entry->place.source != NULL)
            buffer_append(&place, view_of_string(entry->place.source->path));
        if (entry->place.line > 0)
            buffer_format(&place, ":%u:%u", entry->place.line, entry->place.column);
        buffer_append_byte(&place, '\0');
        each(context, entry->severity, (const char *)buffer_view(&place).data, entry->message);
        buffer_release(&place);
    }
    free(sorted);
}

void diag_print_json(const struct diag_list *list, struct json *json, const char *key)
{
    const struct diag_entry **sorted = sort_entries(list);
    json_write_array_begin(json, key);
    for (size_t i = 0; i < list->count; i++) {
        const struct diag_entry *entry = sorted[i];
        json_write_object_begin(json, NULL);
        json_write_string(
            json, "severity", view_of_string(entry->severity == DIAG_ERROR ? "error" : "warning"));
        if (entry->place.source == NULL)
            json_write_null(json, "file");
        else
            json_write_string(json, "file", view_of_string(entry->place.source->path));
        json_write_unsigned(json, "line", entry->place.line);
        json_write_unsigned(json, "column", entry->place.column);
        json_write_string(json, "message", view_of_string(entry->message));
        if (entry->hint == NULL)
            json_write_null(json, "hint");
        else
            json_write_string(json, "hint", view_of_string(entry->hint));
        json_write_object_end(json);
    }
    json_write_array_end(json);
    free(sorted);
}

/* Hints */

const char *diag_hint(struct diag_list *list, struct view word, const char *const *candidates, size_t count)
{
    if (count == 0 || list->count >= DIAG_KEPT)
        return NULL;
    const char *near = diag_suggest(word, candidates, count);
    if (near != NULL)
        return arena_format(list->arena, "did you mean '%s'?", near);
    if (count == 1)
        return arena_format(list->arena, "expected %s", candidates[0]);

    struct buffer text = {0};
    buffer_append(&text, VIEW("expected one of "));
    for (size_t i = 0; i < count && i < DIAG_LISTED; i++)
        buffer_format(&text, "%s%s", i == 0 ? "" : ", ", candidates[i]);
    if (count > DIAG_LISTED)
        buffer_append(&text, VIEW(", ..."));
    const char *hint = arena_copy_string(list->arena, buffer_view(&text));
    buffer_release(&text);
    return hint;
}
