/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the way from a path to the texts of a policy's files, and their common hash. Called by policy.c.
 *
 * A folder's files are those whose name ends in ".yaml" and does not begin with a dot: the backups and locks
 * of editors (x.yaml~, #x.yaml#, .#x.yaml, .x.yaml.swp) do not. Folders in it are not looked into. */
#include "policy/policy_files.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/memory.h"

#define FILES_MAXIMUM 1000
#define FILE_SIZE_MAXIMUM ((size_t)16 << 20)
#define FOLDER_SIZE_MAXIMUM ((size_t)64 << 20)
#define DIGEST_SIZE 32

static const char ending[] = ".yaml";
/* That of a file which is probably meant to be read. */
static const char *const other_endings[] = {".yml", ".yaml"};

/* ---- the names in a folder ---- */

struct names {
    char **items;
    size_t count;
};

static void free_names(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* sha256sum(1) prints such names in another form, and people can't tell them apart on a screen. */
static bool is_plain_name(const char *name)
{
    for (; *name != '\0'; name++) {
        if (*name == '\\' || (unsigned char)*name < 0x20 || *name == 0x7f)
            return false;
    }
    return true;
}

/* "rules.yml", "rules.YAML" */
static bool has_other_ending(const char *name)
{
    const char *dot = strrchr(name, '.');
    bool other = false;
    for (size_t i = 0; i < sizeof(other_endings) / sizeof(other_endings[0]) && dot != NULL; i++)
        other = other || strcasecmp(dot, other_endings[i]) == 0;
    return other;
}

static void take_name(
    struct diag_list *diag, const struct diag_place *place, const char *name, struct names *names)
{
    struct view text = view_of_string(name);
    if (name[0] == '.')
        return;
    if (!view_ends_with(text, view_of_string(ending))) {
        if (has_other_ending(name))
            diag_add(diag, DIAG_WARNING, place, "rename it if it is a part of the policy",
                "'%s' is not read: only names that end in '%s' are", name, ending);
        return;
    }
    if (!is_plain_name(name)) {
        diag_add(
            diag, DIAG_ERROR, place, "rename it", "'%s': a backslash or control character in a name", name);
        return;
    }
    if (names->count == FILES_MAXIMUM)
        diag_add(diag, DIAG_ERROR, place, NULL, "more than %d files", FILES_MAXIMUM);
    if (names->count >= FILES_MAXIMUM)
        return;
    names->items = memory_realloc(names->items, names->count + 1, sizeof(*names->items));
    names->items[names->count++] = memory_copy_string(text);
}

/* 0, or -1 with errno. */
static int list_names(
    struct diag_list *diag, const char *path, const struct diag_place *place, struct names *names)
{
    DIR *folder = opendir(path);
    if (folder == NULL)
        return -1;
    errno = 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        take_name(diag, place, entry->d_name, names);
        errno = 0;
    }
    int error = errno;
    closedir(folder);
    if (names->count > 1)
        qsort(names->items, names->count, sizeof(*names->items), compare_names);
    errno = error;
    return error == 0 ? 0 : -1;
}

/* ---- reading ---- */

/* A file of the folder; NULL after an error. A pipe or a socket would let a reload wait for its other end. */
static const struct diag_source *read_item(struct diag_list *diag, const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0 || S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))
        return diag_read_file(diag, path, FILE_SIZE_MAXIMUM, NULL);
    const struct diag_place place = {.source = diag_add_source(diag, path)};
    diag_add(diag, DIAG_ERROR, &place, NULL, "it is not a regular file");
    return NULL;
}

static void read_items(
    struct arena *arena, struct diag_list *diag, const struct names *names, struct policy_files *files)
{
    const char *folder = files->whole->path;
    const char *slash = view_ends_with(view_of_string(folder), VIEW("/")) ? "" : "/";
    size_t bytes = 0;
    files->items = arena_calloc(arena, names->count, sizeof(*files->items));
    for (size_t i = 0; i < names->count; i++) {
        const char *path = arena_format(arena, "%s%s%s", folder, slash, names->items[i]);
        const struct diag_source *item = read_item(diag, path);
        files->incomplete = files->incomplete || item == NULL;
        if (item == NULL)
            continue;
        bytes += item->text.length;
        files->items[files->count++] = item;
        if (bytes > FOLDER_SIZE_MAXIMUM) {
            const struct diag_place place = {.source = files->whole};
            diag_add(diag, DIAG_ERROR, &place, NULL, "its files are larger than %zu MiB together",
                FOLDER_SIZE_MAXIMUM >> 20);
            files->incomplete = true;
            return;
        }
    }
}

static bool read_folder(struct arena *arena, struct diag_list *diag, const char *path,
    const struct diag_place *referrer, struct policy_files *files)
{
    files->whole = diag_add_source(diag, path);
    files->is_folder = true;
    const struct diag_place whole = {.source = files->whole};
    struct names names = {NULL, 0};
    size_t errors = diag_errors(diag);
    int status = list_names(diag, path, &whole, &names);
    if (status != 0)
        diag_add(diag, DIAG_ERROR, referrer == NULL ? &whole : referrer, NULL,
            "the folder '%s' cannot be read: %s", path, strerror(errno));
    else if (names.count == 0 && diag_errors(diag) == errors)
        diag_add(diag, DIAG_ERROR, referrer == NULL ? &whole : referrer,
            "a policy's files have names that end in '.yaml'", "no policy in the folder '%s'", path);
    files->incomplete = diag_errors(diag) != errors;
    read_items(arena, diag, &names, files);
    free_names(&names);
    return files->count > 0;
}

bool policy_files_read(struct arena *arena, struct diag_list *diag, const char *path,
    const struct diag_place *referrer, struct policy_files *files)
{
    struct stat status;
    *files = (struct policy_files){0};
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
        return read_folder(arena, diag, path, referrer, files);
    files->whole = diag_read_file(diag, path, FILE_SIZE_MAXIMUM, referrer);
    files->items = arena_calloc(arena, 1, sizeof(*files->items));
    files->items[0] = files->whole;
    files->count = 1;
    return files->whole != NULL;
}

/* ---- the hash ---- */

struct digest_text {
    char hex[2 * DIGEST_SIZE + 1];
};

static bool hash_text(struct view text, struct digest_text *out)
{
    uint8_t digest[DIGEST_SIZE];
    const void *data = text.length == 0 ? (const void *)"" : text.data;
    if (EVP_Digest(data, text.length, digest, NULL, EVP_sha256(), NULL) != 1)
        return false;
    for (size_t i = 0; i < DIGEST_SIZE; i++) {
        out->hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        out->hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    out->hex[2 * DIGEST_SIZE] = '\0';
    return true;
}

static bool hash_folder(const struct policy_files *files, struct digest_text *out)
{
    struct buffer lines = {0};
    bool done = true;
    for (size_t i = 0; i < files->count && done; i++) {
        const char *slash = strrchr(files->items[i]->path, '/');
        done = hash_text(files->items[i]->text, out);
        buffer_format(&lines, "%s  %s\n", out->hex, slash == NULL ? files->items[i]->path : slash + 1);
    }
    done = done && hash_text(buffer_view(&lines), out);
    buffer_release(&lines);
    return done;
}

const char *policy_files_version(struct arena *arena, const struct policy_files *files)
{
    struct digest_text digest;
    bool done = files->is_folder ? hash_folder(files, &digest) : hash_text(files->items[0]->text, &digest);
    return done ? arena_format(arena, "sha256:%s", digest.hex) : NULL;
}
