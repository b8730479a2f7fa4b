/* SPDX-License-Identifier: Apache-2.0 */
/* Decoded views as data: tests/vectors/rules/views, whose README describes the form. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "rules/views.h"

#define FOLDER MQWARD_SOURCE_DIR "/tests/vectors/rules/views"
#define VIEWS_MAX 16

struct vector {
    char name[128];
    struct buffer in, views[VIEWS_MAX];
    char paths[VIEWS_MAX][64]; /* "json/base64 @7" */
    char incomplete[32];
    size_t count, seen;
    struct scan_view_limits limits;
};

static int digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c == 0 ? NULL : strchr(digits, c);

    return at == NULL ? -1 : (int)(at - digits);
}

static void read_tokens(const char *at, struct buffer *out)
{
    while (*at != 0 && *at != '\n') {
        const size_t start = out->end;

        if (*at == ' ') {
            at++;
            continue;
        }
        if (*at == '"') {
            const size_t length = strcspn(++at, "\"");

            buffer_append(out, view_of(at, length));
            at += length + 1;
            continue;
        }
        for (; digit(at[0]) >= 0 && digit(at[1]) >= 0; at += 2)
            buffer_append_byte(out, (uint8_t)(digit(at[0]) << 4 | digit(at[1])));
        if (*at == '*') {
            char *end;
            const unsigned long times = strtoul(at + 1, &end, 10);
            uint8_t bytes[64];
            const size_t length = out->end - start;

            cr_assert(length > 0 && length <= sizeof(bytes));
            memcpy(bytes, out->data + start, length);
            for (unsigned long i = 1; i < times; i++)
                buffer_append(out, view_of(bytes, length));
            at = end;
        }
        cr_assert(strchr(" \n", *at) != NULL, "token: %s", at);
    }
}

static void read_limit(struct vector *vector, const char *text)
{
    char name[16];
    unsigned value;

    cr_assert_eq(sscanf(text, "%15s %u", name, &value), 2);
    if (strcmp(name, "depth") == 0)
        vector->limits.depth = value;
    else if (strcmp(name, "views") == 0)
        vector->limits.views = value;
    else if (strcmp(name, "output") == 0)
        vector->limits.output = value;
    else if (strcmp(name, "ratio") == 0)
        vector->limits.ratio = value;
    else if (strcmp(name, "work") == 0)
        vector->limits.work = value;
    else
        cr_assert_fail("limit %s", name);
}

static void read_line(struct vector *vector, char *line)
{
    line[strcspn(line, "\n")] = 0;
    if (strncmp(line, "case ", 5) == 0) {
        snprintf(vector->name, sizeof(vector->name), "%.127s", line + 5);
    } else if (strncmp(line, "in ", 3) == 0) {
        read_tokens(line + 3, &vector->in);
    } else if (strncmp(line, "limit ", 6) == 0) {
        read_limit(vector, line + 6);
    } else if (strncmp(line, "incomplete ", 11) == 0) {
        snprintf(vector->incomplete, sizeof(vector->incomplete), "%.31s", line + 11);
    } else if (strncmp(line, "view ", 5) == 0) {
        char *rest = strchr(strchr(line, '@'), ' ');

        cr_assert(rest != NULL && vector->count < VIEWS_MAX, "%s: %s", vector->name, line);
        *rest = 0;
        snprintf(vector->paths[vector->count], sizeof(vector->paths[0]), "%.63s", line + 5);
        read_tokens(rest + 1, &vector->views[vector->count++]);
    } else {
        cr_assert(line[0] == '#', "%s: %s", vector->name, line);
    }
}

static bool on_view(void *context, const struct scan_view_path *path, struct view bytes)
{
    struct vector *vector = context;
    char text[64] = "";
    const size_t at = vector->seen++;

    for (unsigned i = 0; i < path->length; i++) {
        strcat(text, i > 0 ? "/" : "");
        strcat(text, scan_view_name(path->kinds[i]));
    }
    snprintf(text + strlen(text), sizeof(text) - strlen(text), " @%llu", (unsigned long long)path->offset);
    cr_assert(at < vector->count, "%s: %s is one too many: %.*s", vector->name, text, VIEW_ARGS(bytes));
    cr_assert_str_eq(
        text, vector->paths[at], "%s: view %zu is %s: %.*s", vector->name, at, text, VIEW_ARGS(bytes));
    cr_assert(view_equal(bytes, buffer_view(&vector->views[at])), "%s: view %zu is %.*s", vector->name, at,
        VIEW_ARGS(bytes));
    return true;
}

static bool ignore_view(void *context, const struct scan_view_path *path, struct view bytes)
{
    (void)context, (void)path, (void)bytes;
    return true;
}

/* In memory of its own, so that a byte read beyond its end is seen. */
static const char *decode_copy(struct scan_view_space *space, struct vector *vector, size_t length,
    bool (*each)(void *context, const struct scan_view_path *path, struct view bytes))
{
    uint8_t *copy = malloc(length + (length == 0));

    memcpy(copy, vector->in.data, length);
    const char *why = scan_views(space, view_of(copy, length), SCAN_VIEWS_ALL, &vector->limits, each, vector);

    free(copy);
    return why;
}

static void check(struct scan_view_space *space, struct vector *vector)
{
    const size_t length = buffer_length(&vector->in);
    const char *why = decode_copy(space, vector, length, on_view);

    cr_assert_eq(
        vector->seen, vector->count, "%s: %zu views of %zu", vector->name, vector->seen, vector->count);
    cr_assert_str_eq(why == NULL ? "" : why, vector->incomplete, "%s: %s", vector->name, why);
    for (size_t i = 0; i < length; i++)
        decode_copy(space, vector, i, ignore_view);
}

static size_t check_file(struct scan_view_space *space, const char *name)
{
    char path[512];
    static char line[65536];
    size_t cases = 0;

    snprintf(path, sizeof(path), FOLDER "/%s", name);
    FILE *file = fopen(path, "r");

    cr_assert(file != NULL, "%s", path);
    for (bool more = true; more;) {
        struct vector vector = {.limits = scan_view_default_limits};

        while ((more = fgets(line, sizeof(line), file) != NULL) && line[0] != '\n')
            read_line(&vector, line);
        if (vector.name[0] != 0) {
            check(space, &vector);
            cases++;
        }
        buffer_release(&vector.in);
        for (size_t i = 0; i < vector.count; i++)
            buffer_release(&vector.views[i]);
    }
    fclose(file);
    return cases;
}

Test(views, of_all_vectors)
{
    struct scan_view_space *space = scan_view_space_new();
    DIR *folder = opendir(FOLDER);
    const struct dirent *entry;
    size_t cases = 0;

    cr_assert(folder != NULL);
    while ((entry = readdir(folder)) != NULL) {
        const size_t length = strlen(entry->d_name);

        if (length > 4 && strcmp(entry->d_name + length - 4, ".txt") == 0)
            cases += check_file(space, entry->d_name);
    }
    closedir(folder);
    cr_assert(cases > 50);
    scan_view_space_free(space);
}
