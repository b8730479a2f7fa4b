/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reading of sample messages. Called by the tests of the shipped rules and by 'mqward rules'. */
#include "rules/samples.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/number.h"

#define FOLDER_DEPTH_MAX 16
#define FILES_MAX 1000000
#define CONTEXT_MAX ((size_t)65536)

/* ---- a file ---- */

static void complain(struct diag_list *diag, const char *path, const char *why)
{
    const struct diag_place place = {.source = diag_add_source(diag, path)};

    diag_add(diag, DIAG_ERROR, &place, NULL, "can't be read: %s", why);
}

/* NULL, or why not. */
static const char *read_descriptor(int descriptor, struct buffer *bytes)
{
    for (;;) {
        ssize_t got = read(descriptor, buffer_reserve(bytes, 65536), 65536);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? strerror(errno) : NULL;
        bytes->end += (size_t)got;
        if (buffer_length(bytes) > SAMPLE_MAX)
            return "it is larger than any message";
    }
}

bool sample_read_stream(int descriptor, const char *name, struct buffer *bytes, struct diag_list *diag)
{
    const char *why = read_descriptor(descriptor, bytes);

    if (why != NULL)
        complain(diag, name, why);
    return why == NULL;
}

bool sample_read_bytes(const char *path, struct buffer *bytes, struct diag_list *diag)
{
    /* Opening a pipe must not wait for its other end. */
    int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat status;
    const char *why = NULL;

    if (descriptor < 0 || fstat(descriptor, &status) != 0)
        why = strerror(errno);
    else if (!S_ISREG(status.st_mode))
        why = "it is not a regular file";
    else
        why = read_descriptor(descriptor, bytes);
    if (why != NULL)
        complain(diag, path, why);
    if (descriptor >= 0)
        close(descriptor);
    return why == NULL;
}

static int sextet(uint8_t c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c == 0 ? NULL : strchr(digits, c);

    return at == NULL ? -1 : (int)(at - digits);
}

/* Samples that antivirus software would take out of a clone are stored in base64; others can't be stored as
 * text. False: it is something else. */
static bool decode(struct buffer *bytes)
{
    struct buffer out = {0};
    uint32_t bits = 0;
    int have = 0;
    bool good = true;

    for (struct view rest = buffer_view(bytes); rest.length > 0 && good; rest = view_skip(rest, 1)) {
        int value = sextet(rest.data[0]);

        good = value >= 0 || rest.data[0] == '=' || isspace(rest.data[0]);
        if (value < 0)
            continue;
        bits = bits << 6 | (uint32_t)value;
        if ((have += 6) >= 8)
            buffer_append_byte(&out, (uint8_t)(bits >> (have -= 8)));
    }
    buffer_release(bytes);
    *bytes = out;
    return good;
}

/* ---- NAME.context ---- */

static const char *set_direction(struct scan_context *context, struct view value)
{
    context->outbound = view_equal_string(value, "out");
    return context->outbound || view_equal_string(value, "in") ? NULL : "expected in or out";
}

static const char *set_qos(struct scan_context *context, struct view value)
{
    uint64_t qos;

    if (number_parse(value, &qos) != 0 || qos > 2)
        return "expected 0, 1 or 2";
    context->qos = (unsigned)qos;
    return NULL;
}

static const char *set_retain(struct scan_context *context, struct view value)
{
    context->retain = view_equal_string(value, "true");
    return context->retain || view_equal_string(value, "false") ? NULL : "expected true or false";
}

/* set NULL: the value is a text at offset. */
static const struct word {
    const char *name;
    size_t offset;
    const char *(*set)(struct scan_context *context, struct view value);
} words[] = {
    {"topic", offsetof(struct scan_context, topic), NULL},
    {"client_id", offsetof(struct scan_context, client_id), NULL},
    {"username", offsetof(struct scan_context, username), NULL},
    {"identity", offsetof(struct scan_context, identity), NULL},
    {"groups", offsetof(struct scan_context, groups), NULL},
    {"content_type", offsetof(struct scan_context, content_type), NULL},
    {"direction", 0, set_direction},
    {"qos", 0, set_qos},
    {"retain", 0, set_retain},
};
#define WORDS (sizeof(words) / sizeof(words[0]))

const char *sample_set(struct sample *sample, struct view name, struct view value)
{
    for (size_t i = 0; i < WORDS; i++) {
        if (!view_equal_string(name, words[i].name))
            continue;
        if (words[i].set != NULL)
            return words[i].set(&sample->context, value);
        value = arena_copy(sample->arena, value);
        memcpy((char *)&sample->context + words[i].offset, &value, sizeof(value));
        return NULL;
    }
    return "expected one of topic, client_id, username, identity, groups, content_type, direction, qos, "
           "retain";
}

static const char *take_line(struct sample *sample, struct view line)
{
    const uint8_t *blank = memchr(line.data, ' ', line.length);
    struct view name = blank == NULL ? line : view_of(line.data, (size_t)(blank - line.data));

    return sample_set(sample, name, view_skip(line, name.length + 1));
}

static bool read_context(struct sample *sample, const char *path, struct diag_list *diag)
{
    const struct diag_source *source = diag_read_file(diag, path, CONTEXT_MAX, NULL);
    struct view rest = source == NULL ? VIEW("") : source->text;
    bool good = source != NULL;

    for (uint32_t number = 1; rest.length > 0; number++) {
        const uint8_t *end = memchr(rest.data, '\n', rest.length);
        struct view line = view_of(rest.data, end == NULL ? rest.length : (size_t)(end - rest.data));
        rest = view_skip(rest, line.length + 1);
        while (line.length > 0 && isspace(line.data[line.length - 1]))
            line.length--;
        const char *wrong = line.length == 0 ? NULL : take_line(sample, line);
        if (wrong == NULL)
            continue;
        const struct diag_place place = {source, number, 1, (uint32_t)line.length};
        diag_add(diag, DIAG_ERROR, &place, wrong, "not understood");
        good = false;
    }
    return good;
}

/* ---- a message ---- */

bool sample_read(struct sample *sample, const char *path, struct diag_list *diag)
{
    char *context = memory_format("%s.context", path);

    *sample = (struct sample){.arena = arena_new(), .context.topic = VIEW("dt/plant-1/device-7/state")};
    bool good = sample_read_bytes(path, &sample->bytes, diag);
    if (good && view_ends_with(view_of_string(path), VIEW(".b64")) && !decode(&sample->bytes)) {
        complain(diag, path, "it is not base64");
        good = false;
    }
    if (good && access(context, F_OK) == 0)
        good = read_context(sample, context, diag);
    sample->context.payload_size = buffer_length(&sample->bytes);
    free(context);
    return good;
}

void sample_release(struct sample *sample)
{
    buffer_release(&sample->bytes);
    arena_free(sample->arena);
    *sample = (struct sample){0};
}

/* ---- what rules name ---- */

const char *sample_kind_name(enum sample_kind kind)
{
    static const char *const names[SAMPLE_KINDS] = {
        [SAMPLE_HIT] = "sample_hit", [SAMPLE_MISS] = "sample_miss"};

    return names[kind];
}

struct view sample_next(const struct scan_rule *rule, enum sample_kind kind, size_t *next)
{
    size_t at = 0;

    for (size_t i = 0; i < rule->meta_count; i++) {
        const struct scan_meta *meta = &rule->meta[i];
        if (strcmp(meta->name, sample_kind_name(kind)) != 0)
            continue;
        for (const char *name = meta->text == NULL ? "?" : meta->text; *name != '\0'; at++) {
            size_t length = strcspn(name, " \t\r\n");
            if (length > 0 && at >= *next) {
                *next = at + 1;
                return view_of(name, length);
            }
            name += length + (name[length] != '\0');
        }
    }
    return VIEW("");
}

/* In the first or the second of the folders; NULL: it is not there. free() it. */
static char *look_up(const struct scan_rule *rule, struct view name)
{
    static const char *const folders[] = {"samples/", "../samples/"};
    const char *slash = rule->path == NULL ? NULL : strrchr(rule->path, '/');
    int length = slash == NULL ? 0 : (int)(slash - rule->path + 1);

    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]) && rule->path != NULL; i++) {
        char *path = memory_format("%.*s%s%.*s", length, rule->path, folders[i], VIEW_ARGS(name));
        if (access(path, F_OK) == 0)
            return path;
        free(path);
    }
    return NULL;
}

bool sample_folder(const struct scan_rule *rule)
{
    char *path = look_up(rule, VIEW(""));
    bool found = path != NULL;

    free(path);
    return found;
}

char *sample_find(const struct scan_rule *rule, struct view name)
{
    /* Rules come from strangers. */
    if (name.length == 0 || name.data[0] == '.' || memchr(name.data, '/', name.length) != NULL)
        return NULL;
    return look_up(rule, name);
}

/* ---- folders ---- */

struct listing {
    struct arena *arena;
    const char **paths;
    size_t count;
    struct diag_list *diag;
    bool failed;
};

static int is_shown(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void fail(struct listing *listing, const char *path, const char *why)
{
    complain(listing->diag, path, why);
    listing->failed = true;
}

static void list_folder(struct listing *listing, const char *folder, unsigned depth);

/* Folders behind symbolic links are not entered, so that there is an end. */
static void list_entry(struct listing *listing, const char *path, unsigned depth)
{
    struct stat status;

    if (lstat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        list_folder(listing, path, depth + 1);
        return;
    }
    if (stat(path, &status) != 0 || !S_ISREG(status.st_mode) ||
        view_ends_with(view_of_string(path), VIEW(".context")))
        return;
    if (listing->count == FILES_MAX) {
        fail(listing, path, "there are too many files before it");
        return;
    }
    if ((listing->count & (listing->count + 1)) == 0)
        listing->paths = memory_realloc(listing->paths, 2 * (listing->count + 1), sizeof(*listing->paths));
    listing->paths[listing->count++] = arena_copy_string(listing->arena, view_of_string(path));
}

static void list_folder(struct listing *listing, const char *folder, unsigned depth)
{
    struct dirent **entries;
    int count = depth > FOLDER_DEPTH_MAX ? -1 : scandir(folder, &entries, is_shown, compare_names);

    if (count < 0)
        fail(listing, folder, depth > FOLDER_DEPTH_MAX ? "folders are nested too deeply" : strerror(errno));
    for (int i = 0; i < count; i++) {
        char *path = memory_format("%s%s%s", folder,
            view_ends_with(view_of_string(folder), VIEW("/")) ? "" : "/", entries[i]->d_name);
        if (!listing->failed)
            list_entry(listing, path, depth);
        free(path);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
}

bool sample_list(
    const char *folder, struct arena *arena, const char *const **paths, size_t *count, struct diag_list *diag)
{
    struct listing listing = {.arena = arena, .diag = diag};

    list_folder(&listing, folder, 0);
    if (!listing.failed && listing.count == 0)
        fail(&listing, folder, "it has no messages");
    const char **kept = arena_calloc(arena, listing.count + 1, sizeof(*kept));
    for (size_t i = 0; i < listing.count; i++)
        kept[i] = listing.paths[i];
    free(listing.paths);
    *paths = kept;
    *count = listing.count;
    return !listing.failed;
}
