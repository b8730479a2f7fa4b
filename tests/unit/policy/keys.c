/* SPDX-License-Identifier: Apache-2.0 */
/* The folder of keys.h. */
#include "keys.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "support.h"

#define SECRETS MQWARD_SOURCE_DIR "/tests/vectors/keys/secrets"

static char folder_name[] = "/tmp/mqward-keys-XXXXXX";

static void copy_secret(const char *name)
{
    char *path = memory_format("%s/%s", SECRETS, name), bytes[16384];
    int from = open(path, O_RDONLY), to = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    ssize_t length = from < 0 ? -1 : read(from, bytes, sizeof(bytes));
    cr_assert(to >= 0 && length >= 0 && length < (ssize_t)sizeof(bytes), "%s", path);
    cr_assert_eq(write(to, bytes, (size_t)length), length);
    close(from);
    close(to);
    free(path);
}

void keys_begin(void)
{
    cr_assert_not_null(mkdtemp(folder_name));
    cr_assert_eq(chdir(folder_name), 0);
    DIR *folder = opendir(SECRETS);
    cr_assert_not_null(folder, "the folder of secrets is not where the test looks");
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
        if (entry->d_name[0] != '.')
            copy_secret(entry->d_name);
    closedir(folder);
    keys_write("group.key", "x", 0640);
    keys_write("open.key", "x", 0604);
    cr_assert_eq(mkfifo("pipe.key", 0600), 0);
    cr_assert_eq(mkdir("folder.key", 0700), 0);
    cr_assert_eq(symlink("m25a.key", "link.key"), 0);
    cr_assert_eq(symlink("open.key", "link-to-open.key"), 0);
}

void keys_end(void)
{
    DIR *folder = opendir(folder_name);
    cr_assert_not_null(folder);
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
        unlinkat(dirfd(folder), entry->d_name, strcmp(entry->d_name, "folder.key") == 0 ? AT_REMOVEDIR : 0);
    closedir(folder);
    rmdir(folder_name);
}

void keys_write(const char *name, const char *text, mode_t mode)
{
    unlink(name);
    int descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    cr_assert(descriptor >= 0, "%s", name);
    cr_assert_eq(write(descriptor, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(fchmod(descriptor, mode), 0);
    close(descriptor);
}

struct keyring *keys_load(const char *name, char **messages)
{
    struct diag_list *diag = diag_list_new();
    size_t size;
    struct keyring *keyring = keyring_load(name, diag, NULL);
    FILE *out = open_memstream(messages, &size);
    diag_print(diag, out);
    fclose(out);
    CHECK((keyring == NULL) == (diag_errors(diag) > 0), "a keyring exactly where there is no error");
    diag_list_free(diag);
    return keyring;
}

struct keyring *keys_good(const char *text)
{
    char *messages;
    keys_write("keys.yaml", text, 0600);
    struct keyring *keyring = keys_load("keys.yaml", &messages);
    cr_assert(keyring != NULL, "%s", messages);
    free(messages);
    return keyring;
}
