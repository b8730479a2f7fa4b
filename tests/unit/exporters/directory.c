/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tests' audit directories and the properties that every journal must have. */
#include "directory.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "event.h"

void directory_make(char path[DIRECTORY_MAX])
{
    snprintf(path, DIRECTORY_MAX, "/tmp/mqward-test-XXXXXX");
    cr_assert_not_null(mkdtemp(path));
}

void directory_remove(const char *path)
{
    DIR *stream = opendir(path);
    struct dirent *entry;

    cr_assert_not_null(stream);
    while ((entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(stream), entry->d_name, 0) == -1) {
            char inner[512];
            snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
            directory_remove(inner);
        }
    }
    closedir(stream);
    rmdir(path);
}

size_t directory_count(const char *path, const char *part, char found[256])
{
    DIR *stream = opendir(path);
    struct dirent *entry;
    size_t count = 0;

    cr_assert_not_null(stream);
    while ((entry = readdir(stream)) != NULL) {
        if (strstr(entry->d_name, part) == NULL)
            continue;
        if (count++ == 0 && found != NULL)
            snprintf(found, 256, "%.100s/%.140s", path, entry->d_name);
    }
    closedir(stream);
    return count;
}

struct exporter_settings directory_settings(const char *path)
{
    return (struct exporter_settings){.directory = path,
        .fsync = EXPORTER_FSYNC_INTERVAL,
        .fsync_interval_ms = 20,
        .segment_bytes = 4 * 1024 * 1024,
        .quota_bytes = 64 * 1024 * 1024,
        .retention_ms = 0,
        .ring_bytes = 256 * 1024,
        .rings = 2,
        .hostname = "edge-1"};
}

struct journal_settings directory_journal(const char *path)
{
    return (struct journal_settings){.directory = path,
        .fsync = EXPORTER_FSYNC_NEVER,
        .segment_bytes = 4 * 1024 * 1024,
        .quota_bytes = 64 * 1024 * 1024};
}

/* ---- reading ---- */

static int directory_is_segment(const struct dirent *entry)
{
    const char *end = strrchr(entry->d_name, '.');

    return strncmp(entry->d_name, "journal-", 8) == 0 && end != NULL && strcmp(end, ".ndjson") == 0;
}

static size_t directory_segment_lines(const char *path,
    void (*call)(void *argument, struct view line, const struct record_head *head), void *argument)
{
    struct stat status;
    size_t count = 0;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);

    cr_assert(descriptor != -1 && fstat(descriptor, &status) == 0);
    size_t size = (size_t)status.st_size;
    char *text = malloc(size + 1);
    cr_assert_eq(read(descriptor, text, size), (ssize_t)size);
    close(descriptor);
    for (char *line = text; line < text + size; count++) {
        char *end = memchr(line, '\n', (size_t)(text + size - line));
        struct record_head head;
        cr_assert_not_null(end, "%s ends with half a line", path);
        struct view v = view_of(line, (size_t)(end - line));
        cr_assert_eq(record_parse_head(v, &head), 0, "no line of ours: %.*s", VIEW_ARGS(v));
        call(argument, v, &head);
        line = end + 1;
    }
    free(text);
    return count;
}

size_t directory_lines(const char *path,
    void (*call)(void *argument, struct view line, const struct record_head *head), void *argument)
{
    struct dirent **names;
    int found = scandir(path, &names, directory_is_segment, alphasort);
    size_t count = 0;

    cr_assert(found >= 0);
    for (int i = 0; i < found; i++) {
        char segment[512];
        snprintf(segment, sizeof(segment), "%s/%s", path, names[i]->d_name);
        count += directory_segment_lines(segment, call, argument);
        free(names[i]);
    }
    free(names);
    return count;
}

struct directory_action {
    char needle[64];
    size_t count;
};

static void directory_count_action(void *argument, struct view line, const struct record_head *head)
{
    struct directory_action *action = argument;

    (void)head;
    action->count += memmem(line.data, line.length, action->needle, strlen(action->needle)) != NULL;
}

size_t directory_actions(const char *path, const char *action)
{
    struct directory_action wanted = {.count = 0};

    snprintf(wanted.needle, sizeof(wanted.needle), "\"action\":\"%s\"", action);
    directory_lines(path, directory_count_action, &wanted);
    return wanted.count;
}

struct directory_state {
    uint64_t epoch, sequence;
    struct record_origin *origins;
    size_t count, capacity;
    uint8_t *seen;
    size_t seen_size;
};

static void directory_check_line(void *argument, struct view line, const struct record_head *head)
{
    struct directory_state *state = argument;
    static const char key[] = "\"user\":{\"name\":\"";

    if (head->epoch != state->epoch) {
        cr_assert_gt(head->epoch, state->epoch, "epochs only grow");
        state->epoch = head->epoch;
        state->sequence = 0;
    }
    cr_assert_eq(head->sequence, ++state->sequence, "the sequence has no gap");
    if (record_is_checkpoint(line)) /* from no ring */
        return;
    if (state->count == state->capacity) {
        state->capacity = state->capacity == 0 ? 1024 : state->capacity * 2;
        state->origins = realloc(state->origins, state->capacity * sizeof(*state->origins));
    }
    cr_assert_eq(record_parse_origin(line, &state->origins[state->count++]), 0);
    const char *user = memmem(line.data, line.length, key, sizeof(key) - 1);
    if (user == NULL || state->seen == NULL)
        return;
    uint64_t number = strtoull(user + sizeof(key) - 1, NULL, 10);
    cr_assert_lt(number, state->seen_size);
    state->seen[number] = 1;
}

static int directory_compare_origins(const void *left, const void *right)
{
    const struct record_origin *a = left, *b = right;

    if (a->run != b->run)
        return a->run < b->run ? -1 : 1;
    if (a->ring != b->ring)
        return a->ring < b->ring ? -1 : 1;
    return a->serial < b->serial ? -1 : a->serial > b->serial;
}

size_t directory_check(const char *path, uint8_t *seen, size_t seen_size)
{
    struct directory_state state = {.seen = seen, .seen_size = seen_size};

    directory_lines(path, directory_check_line, &state);
    if (state.count > 0)
        qsort(state.origins, state.count, sizeof(*state.origins), directory_compare_origins);
    for (size_t i = 1; i < state.count; i++)
        cr_assert_neq(directory_compare_origins(&state.origins[i - 1], &state.origins[i]), 0,
            "ring %u, serial %llu is in the journal twice", state.origins[i].ring,
            (unsigned long long)state.origins[i].serial);
    free(state.origins);
    return state.count;
}
