/* SPDX-License-Identifier: Apache-2.0 */
/* Every tests/vectors/keys/bad/<name>.yaml is refused with exactly the output in <name>.txt beside it, and no
 * output has anything of a secret. With MQWARD_BLESS=1 in the environment the .txt files are written instead:
 * read each one as the person who gets it. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "keys.h"
#include "support.h"

#define BAD MQWARD_SOURCE_DIR "/tests/vectors/keys/bad"
#define SECRETS MQWARD_SOURCE_DIR "/tests/vectors/keys/secrets"

/* Letters of the secrets' files in a row that an output must not have. */
#define PIECE 12

static void expect_no_secret(const char *name, const char *output)
{
    DIR *folder = opendir(SECRETS);
    cr_assert_not_null(folder);
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        char *path = memory_format("%s/%s", SECRETS, entry->d_name);
        char *text = entry->d_name[0] == '.' ? NULL : read_text(path);
        for (size_t i = 0; text != NULL && i + PIECE <= strlen(text); i++)
            CHECK(memmem(output, strlen(output), text + i, PIECE) == NULL, "%s quotes %s:\n%s", name, path,
                output);
        free(text);
        free(path);
    }
    closedir(folder);
}

static void check_vector(const char *name)
{
    char *path = memory_format(BAD "/%s", name);
    char *expected_path = memory_format(BAD "/%.*s.txt", (int)(strlen(name) - strlen(".yaml")), name);
    char *text = read_text(path), *output;
    keys_write(name, text == NULL ? "" : text, 0600);
    struct keyring *keyring = keys_load(name, &output);
    cr_expect_null(keyring, "%s was accepted", name);
    keyring_release(keyring);
    expect_no_secret(name, output);
    if (getenv("MQWARD_BLESS") != NULL) {
        FILE *out = fopen(expected_path, "w");
        fputs(output, out);
        fclose(out);
    }
    char *expected = read_text(expected_path);
    cr_expect(expected != NULL && strcmp(output, expected) == 0, "%s: expected\n%s\nbut got\n%s", name,
        expected == NULL ? "(no .txt file)" : expected, output);
    free(expected);
    free(output);
    free(text);
    free(expected_path);
    free(path);
}

Test(keyring_bad, every_bad_file_is_refused_with_its_expected_output, .init = keys_begin, .fini = keys_end)
{
    DIR *folder = opendir(BAD);
    cr_assert_not_null(folder);
    size_t vectors = 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (!view_ends_with(view_of_string(entry->d_name), VIEW(".yaml")))
            continue;
        check_vector(entry->d_name);
        vectors++;
    }
    closedir(folder);
    cr_expect_geq(vectors, 35, "the folder of vectors is not where the test looks");
}
