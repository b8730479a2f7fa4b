/* SPDX-License-Identifier: Apache-2.0 */
/* Every tests/vectors/config/bad/<name>.yaml is refused with exactly the output in <name>.txt beside it. With
 * MQWARD_BLESS=1 in the environment the .txt files are written instead: read each one as the person who gets
 * it. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proxy/config.h"

#define FOLDER MQWARD_SOURCE_DIR "/tests/vectors/config/bad"

/* What a person sees; free() it. */
static char *load_and_print(const char *path, bool *loaded)
{
    struct diag_list *diag = diag_list_new();
    struct arena *arena = arena_new();
    char *text = NULL;
    size_t length = 0;
    *loaded = config_load(path, arena, diag, NULL) != NULL;
    FILE *out = open_memstream(&text, &length);
    diag_print(diag, out);
    fclose(out);
    arena_free(arena);
    diag_list_free(diag);
    return text;
}

/* NULL if there is no such file; free() it. */
static char *read_text(const char *path)
{
    char *text = NULL;
    size_t size = 0;
    FILE *in = fopen(path, "r");
    if (in == NULL)
        return NULL;
    if (getdelim(&text, &size, '\0', in) < 0) {
        free(text);
        text = NULL;
    }
    fclose(in);
    return text;
}

static void check_vector(const char *name)
{
    char expected_path[300];
    snprintf(expected_path, sizeof(expected_path), "%.*s.txt", (int)(strlen(name) - strlen(".yaml")), name);
    bool loaded;
    char *actual = load_and_print(name, &loaded);
    cr_expect_not(loaded, "%s was accepted", name);
    if (getenv("MQWARD_BLESS") != NULL) {
        FILE *out = fopen(expected_path, "w");
        fputs(actual, out);
        fclose(out);
    }
    char *expected = read_text(expected_path);
    cr_expect(expected != NULL && strcmp(actual, expected) == 0, "%s: expected\n%s\nbut got\n%s", name,
        expected == NULL ? "(no .txt file)" : expected, actual);
    free(expected);
    free(actual);
}

Test(config_bad, every_bad_file_is_refused_with_its_expected_output)
{
    cr_assert_eq(chdir(FOLDER), 0); /* so that the paths in the output are the names alone */
    DIR *folder = opendir(".");
    cr_assert_not_null(folder);
    size_t vectors = 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (!view_ends_with(view_of_string(entry->d_name), VIEW(".yaml")))
            continue;
        check_vector(entry->d_name);
        vectors++;
    }
    closedir(folder);
    cr_expect_geq(vectors, 40, "the folder of vectors is not where the test looks");
}
