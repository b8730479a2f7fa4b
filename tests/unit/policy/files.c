/* SPDX-License-Identifier: Apache-2.0 */
/* tests/policies: every bad/<name>.yaml is refused and every good/<name>.yaml compiles, with exactly the
 * messages of <name>.txt beside it (good: none if there is no such file); so are the policy folders
 * <name>.d, whose messages are in <name>.d.txt. With MQWARD_BLESS=1 in the environment the .txt files are
 * written instead: read each one as the person who gets it. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

#define FOLDER MQWARD_SOURCE_DIR "/tests/policies/"

static char *load_and_print(const char *path, bool *loaded)
{
    static const char *const cas[] = {"fleet", "other"};
    static const char *const files[] = {"users"};
    static const char *const jwks[] = {"idp"};
    static const char *const keys[] = {"m25a", "ops-1"};
    static const bool masters[] = {true, false};
    static const char *const sets[] = {"iot", "packers"};
    static const struct policy_names names = {cas, 2, files, 1, jwks, 1, keys, masters, 2, sets, 2};
    struct diag_list *diag = diag_list_new();
    char *text = NULL;
    size_t length = 0;
    struct policy *policy = policy_load(path, &names, diag, NULL);
    *loaded = policy != NULL;
    FILE *out = open_memstream(&text, &length);
    diag_print(diag, out);
    fclose(out);
    policy_release(policy);
    diag_list_free(diag);
    return text;
}

static void bless(const char *path, const char *text, bool good)
{
    if (good && text[0] == '\0') {
        unlink(path);
        return;
    }
    FILE *out = fopen(path, "w");
    cr_assert_not_null(out);
    fputs(text, out);
    fclose(out);
}

static void check_file(const char *name, bool good)
{
    char path[300];
    bool loaded;
    struct view stem = view_of_string(name);
    if (view_ends_with(stem, VIEW(".yaml")))
        stem.length -= strlen(".yaml");
    snprintf(path, sizeof(path), "%.*s.txt", VIEW_ARGS(stem));
    char *actual = load_and_print(name, &loaded);
    cr_expect_eq(loaded, good, "%s: loaded %d\n%s", name, loaded, actual);
    if (getenv("MQWARD_BLESS") != NULL)
        bless(path, actual, good);
    char *expected = read_text(path);
    const char *wanted = expected != NULL ? expected : good ? "" : "(no .txt file)";
    cr_expect_str_eq(actual, wanted, "%s: expected\n%s\nbut got\n%s", name, wanted, actual);
    free(expected);
    free(actual);
}

static size_t check_folder(const char *path, bool good)
{
    size_t count = 0;
    cr_assert_eq(chdir(path), 0); /* so that the paths in the messages are the names alone */
    DIR *folder = opendir(".");
    cr_assert_not_null(folder);
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        struct view name = view_of_string(entry->d_name);
        if (!view_ends_with(name, VIEW(".yaml")) && !view_ends_with(name, VIEW(".d")))
            continue;
        check_file(entry->d_name, good);
        count++;
    }
    closedir(folder);
    return count;
}

Test(files, every_bad_policy_is_refused_with_its_expected_messages)
{
    cr_expect_geq(check_folder(FOLDER "bad", false), 100);
}

Test(files, every_good_policy_compiles_with_its_expected_warnings)
{
    cr_expect_geq(check_folder(FOLDER "good", true), 12);
}
