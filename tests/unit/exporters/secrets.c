/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the files with secrets of tests. */
#include "secrets.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void secrets_write(char path[256], const char *directory, const char *name, const char *text)
{
    snprintf(path, 256, "%s/%s", directory, name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_neq(file, -1);
    cr_assert_eq(write(file, text, strlen(text)), (ssize_t)strlen(text));
    close(file);
}

static struct credentials *made(const struct credentials_files *files)
{
    char error[512] = "";
    struct credentials *credentials = credentials_new(files, error, sizeof(error));

    cr_assert_not_null(credentials, "%s", error);
    return credentials;
}

/* The paths are read once: what is read again in a test has its own. */
struct credentials *secrets_password(const char *directory, const char *password)
{
    char path[256];

    secrets_write(path, directory, "password", password);
    return made(&(struct credentials_files){.password_file = path});
}

struct credentials *secrets_tls(const char *authority, const char *certificate, const char *key)
{
    return made(&(struct credentials_files){.tls = true, .tls_files = {authority, certificate, key}});
}
