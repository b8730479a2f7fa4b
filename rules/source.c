/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the way from a rule set's paths to its text. Called by load.c.
 *
 * libyara gets each file as one text without includes, so that no path of a rule file ever reaches its
 * open(): what is included is resolved here, must lie in the folder that the rule set names (after symbolic
 * links), and is taken once. source_cut.c finds includes, imports and rules. */
#include "rules/source.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "rules/source_cut.h"

#define FILES_MAXIMUM 10000
#define FILE_SIZE_MAXIMUM ((size_t)16 << 20)
#define SET_SIZE_MAXIMUM ((size_t)64 << 20)
#define INCLUDE_DEPTH_MAXIMUM 16

struct reader {
    struct source_set *set;
    const struct scan_source *source;
    struct diag_list *diag;
    char *root;  /* real path of the folder that includes must lie in */
    char **seen; /* real paths of what was read */
    size_t seen_count;
    size_t bytes;
    bool full; /* said that it is too much */
};

/* ---- what was read ---- */

static bool was_seen(const struct reader *reader, const char *real)
{
    for (size_t i = 0; i < reader->seen_count; i++) {
        if (strcmp(reader->seen[i], real) == 0)
            return true;
    }
    return false;
}

static void see(struct reader *reader, const char *real)
{
    reader->seen = memory_realloc(reader->seen, reader->seen_count + 1, sizeof(*reader->seen));
    reader->seen[reader->seen_count++] = memory_copy_string(view_of_string(real));
}

/* NULL after an error. libyara takes rules as C strings: what follows a NUL would not be there. */
static const struct diag_source *read_text(
    struct reader *reader, const char *path, const struct diag_place *referrer)
{
    struct stat status;
    struct diag_place place = {0};

    if (stat(path, &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) {
        place.source = diag_add_source(reader->diag, path);
        diag_add(reader->diag, DIAG_ERROR, &place, NULL, "it is not a regular file");
        return NULL;
    }
    const struct diag_source *text = diag_read_file(reader->diag, path, FILE_SIZE_MAXIMUM, referrer);
    if (text == NULL)
        return NULL;
    place.source = text;
    if (text->text.length > 0 && memchr(text->text.data, 0, text->text.length) != NULL) {
        diag_add(
            reader->diag, DIAG_ERROR, &place, "rules are text, not compiled rules", "a NUL in a rule file");
        return NULL;
    }
    reader->bytes += text->text.length;
    if (reader->bytes > SET_SIZE_MAXIMUM) {
        if (!reader->full)
            diag_add(reader->diag, DIAG_ERROR, &reader->source->place, NULL,
                "rule set '%s': more than %zu MiB", reader->source->name, SET_SIZE_MAXIMUM >> 20);
        reader->full = true;
        return NULL;
    }
    return text;
}

/* ---- includes ---- */

/* The real path, to be freed, or NULL: it is not there, or elsewhere. */
static char *resolve(
    const struct reader *reader, const struct diag_source *from, struct view name, const char **why)
{
    const char *slash = strrchr(from->path, '/');
    size_t length = strlen(reader->root);
    char *path = slash == NULL
                     ? memory_copy_string(name)
                     : memory_format("%.*s%.*s", (int)(slash - from->path + 1), from->path, VIEW_ARGS(name));
    char *real = name.length > 0 && name.data[0] == '/' ? NULL : realpath(path, NULL);

    free(path);
    *why = "there is no such file";
    if (name.length > 0 && name.data[0] == '/')
        *why = "it is an absolute path";
    if (real == NULL)
        return NULL;
    if (strncmp(real, reader->root, length) == 0 && (real[length] == '/' || length == 1))
        return real;
    free(real);
    *why = "it lies outside of the rule set's folder";
    return NULL;
}

/* cut_hooks.include: the text of what is included, or NULL: there is nothing to put in its place. */
static const struct diag_source *on_include(
    void *context, const struct diag_place *place, struct view name, unsigned depth)
{
    struct reader *reader = context;
    const char *why;

    if (depth > INCLUDE_DEPTH_MAXIMUM) {
        diag_add(reader->diag, DIAG_ERROR, place, NULL, "includes are nested too deeply");
        return NULL;
    }
    char *real = resolve(reader, place->source, name, &why);
    if (real == NULL) {
        diag_add(reader->diag, DIAG_ERROR, place, "a path inside of the rule set's folder, from this file",
            "can't include '%.*s': %s", VIEW_ARGS(name), why);
        return NULL;
    }
    const struct diag_source *text = NULL;
    if (!was_seen(reader, real)) {
        see(reader, real);
        text = read_text(reader, real, place);
    }
    free(real);
    return text;
}

/* cut_hooks.import */
static void on_import(void *context, const struct diag_place *place, struct view name)
{
    struct reader *reader = context;
    const struct scan_source *source = reader->source;

    for (size_t i = 0; i < source->module_count; i++) {
        if (view_equal_string(name, source->modules[i]))
            return;
    }
    reader->set->refused_imports++;
    diag_add(reader->diag, DIAG_ERROR, place,
        "modules read more of a payload than rules need; grant it if this one does",
        "module '%.*s' is not granted to rule set '%s'", VIEW_ARGS(name), source->name);
}

/* ---- files and folders ---- */

static void read_file(struct reader *reader, const char *path, const struct diag_place *referrer)
{
    static const struct cut_hooks hooks = {on_include, on_import};
    char *real = realpath(path, NULL);

    if (real != NULL && was_seen(reader, real)) {
        free(real);
        return;
    }
    if (real != NULL)
        see(reader, real);
    free(real);
    const struct diag_source *text = read_text(reader, path, referrer);
    if (text == NULL)
        return;
    struct source_set *set = reader->set;
    set->files = memory_realloc(set->files, set->file_count + 1, sizeof(*set->files));
    struct source_file *file = &set->files[set->file_count++];
    *file = (struct source_file){0};
    source_cut(file, text, &hooks, reader);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of a folder's rule files, in order; NULL with errno if it can't be read. */
static char **list_names(const char *path, size_t *count)
{
    DIR *folder = opendir(path);
    char **names = memory_calloc(1, sizeof(*names));

    *count = 0;
    if (folder == NULL) {
        free(names);
        return NULL;
    }
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        struct view name = view_of_string(entry->d_name);
        if (entry->d_name[0] == '.' || !view_ends_with(name, VIEW(".yar")) || *count > FILES_MAXIMUM)
            continue;
        names = memory_realloc(names, *count + 1, sizeof(*names));
        names[(*count)++] = memory_copy_string(name);
    }
    closedir(folder);
    if (*count > 1)
        qsort(names, *count, sizeof(*names), compare_names);
    return names;
}

static void read_folder(struct reader *reader, const char *path)
{
    size_t count;
    char **names = list_names(path, &count);
    const struct diag_place *place = &reader->source->place;

    if (names == NULL) {
        diag_add(reader->diag, DIAG_ERROR, place, NULL, "can't read folder %s: %s", path, strerror(errno));
        return;
    }
    if (count == 0)
        diag_add(reader->diag, DIAG_WARNING, place, "rule files end in '.yar'", "no rule files in %s", path);
    if (count > FILES_MAXIMUM)
        diag_add(reader->diag, DIAG_ERROR, place, NULL, "%s: more than %d files", path, FILES_MAXIMUM);
    for (size_t i = 0; i < count && count <= FILES_MAXIMUM; i++) {
        char *name = memory_format(
            "%s%s%s", path, view_ends_with(view_of_string(path), VIEW("/")) ? "" : "/", names[i]);
        read_file(reader, name, place);
        free(name);
    }
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

static void read_path(struct reader *reader, const char *path)
{
    struct stat status;
    bool folder = stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    char *real = realpath(path, NULL);

    if (real != NULL && !folder)
        *(strrchr(real, '/') == real ? real + 1 : strrchr(real, '/')) = '\0';
    reader->root = real;
    if (folder)
        read_folder(reader, path);
    else
        read_file(reader, path, &reader->source->place);
    free(reader->root);
}

void source_set_read(struct source_set *set, const struct scan_source *source, struct diag_list *diag)
{
    struct reader reader = {.set = set, .source = source, .diag = diag};

    *set = (struct source_set){0};
    for (size_t i = 0; i < source->path_count; i++)
        read_path(&reader, source->paths[i]);
    for (size_t i = 0; i < reader.seen_count; i++)
        free(reader.seen[i]);
    free(reader.seen);
}

void source_set_release(struct source_set *set)
{
    for (size_t i = 0; i < set->file_count; i++) {
        buffer_release(&set->files[i].text);
        free(set->files[i].lines);
        free(set->files[i].rules);
    }
    free(set->files);
    *set = (struct source_set){0};
}

struct diag_place source_place(const struct source_file *file, uint32_t line)
{
    const struct source_lines *found = &file->lines[0];

    for (size_t i = 0; i < file->line_count && file->lines[i].at <= line; i++)
        found = &file->lines[i];
    return source_cut_place(found->source, found->line + (line > found->at ? line - found->at : 0));
}

struct diag_place source_rule_place(const struct source_rule *rule)
{
    return source_cut_place(rule->source, rule->line);
}
