/* SPDX-License-Identifier: Apache-2.0 */
/* Files with passwords and certificates towards sinks: which are no good, and what reading them again means.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "directory.h"
#include "pki.h"
#include "secrets.h"

static void check_password(struct credentials *credentials, const char *wanted)
{
    char *password = credentials_take_password(credentials);

    cr_assert_str_eq(password, wanted);
    credentials_give_password(password);
}

static void check_refused(const char *path, const char *wanted)
{
    char error[512] = "";

    cr_expect_null(credentials_new(&(struct credentials_files){.password_file = path}, error, sizeof(error)));
    cr_expect_not_null(strstr(error, wanted), "%s", error);
    cr_expect_not_null(strstr(error, path), "%s", error);
}

/* Who may have it beside root is in tests/unit/base/private_file.c. */
static void check_given_to_group(const char *path)
{
    char error[512] = "";

    cr_assert_eq(chmod(path, 0440), 0);
    if (geteuid() != 0) { /* it is not root's */
        check_refused(path, "mode 440");
        return;
    }
    cr_assert_eq(chown(path, 0, getegid()), 0);
    struct credentials *credentials =
        credentials_new(&(struct credentials_files){.password_file = path}, error, sizeof(error));
    cr_assert_not_null(credentials, "%s", error);
    check_password(credentials, "s3cret");
    credentials_free(credentials);
}

Test(credentials, a_password_is_the_first_line_of_a_file_that_nobody_else_may_read)
{
    static const char *const texts[] = {"s3cret", "s3cret\n", "s3cret\r\n", "s3cret\nmore\n"};
    char directory[DIRECTORY_MAX], path[256], error[512];

    directory_make(directory);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct credentials *credentials = secrets_password(directory, texts[i]);
        check_password(credentials, "s3cret");
        cr_assert_null(credentials_context(credentials));
        credentials_free(credentials);
    }
    secrets_write(path, directory, "password", "s3cret\n");
    cr_assert_eq(chmod(path, 0644), 0);
    check_refused(path, "mode 644");
    cr_assert_eq(chmod(path, 0660), 0);
    check_refused(path, "chmod 600");
    check_given_to_group(path);
    struct credentials *none = credentials_new(&(struct credentials_files){0}, error, sizeof(error));
    cr_assert_null(credentials_take_password(none));
    cr_assert_null(credentials_take_password(NULL));
    credentials_free(none);
    directory_remove(directory);
}

Test(credentials, what_is_no_password_is_refused_and_never_waited_for)
{
    char directory[DIRECTORY_MAX], path[256], text[CREDENTIALS_PASSWORD_MAX + 2];

    directory_make(directory);
    secrets_write(path, directory, "password", "");
    check_refused(path, "empty");
    secrets_write(path, directory, "password", "\nsecond\n");
    check_refused(path, "empty");
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    secrets_write(path, directory, "password", text);
    check_refused(path, "larger than");
    FILE *file = fopen(path, "w");
    fwrite("a\0b\n", 1, 4, file);
    fclose(file);
    check_refused(path, "zero byte");
    cr_assert_eq(unlink(path), 0);
    check_refused(path, "No such file");
    cr_assert_eq(mkfifo(path, 0600), 0);
    check_refused(path, "not a regular file");
    directory_remove(directory);
}

Test(credentials, what_is_read_again_is_in_force_when_it_is_committed_and_not_before)
{
    char directory[DIRECTORY_MAX], path[256], error[512] = "";

    directory_make(directory);
    secrets_write(path, directory, "password", "first\n");
    struct credentials *credentials =
        credentials_new(&(struct credentials_files){.password_file = path}, error, sizeof(error));
    secrets_write(path, directory, "password", "second\n");
    cr_assert(credentials_read(credentials, error, sizeof(error)));
    check_password(credentials, "first");
    credentials_commit(credentials);
    check_password(credentials, "second");
    secrets_write(path, directory, "password", "third\n");
    cr_assert(credentials_read(credentials, error, sizeof(error)));
    credentials_discard(credentials);
    credentials_commit(credentials);
    check_password(credentials, "second");
    secrets_write(path, directory, "password", "");
    cr_assert_not(credentials_read(credentials, error, sizeof(error)));
    cr_assert_not_null(strstr(error, "empty"), "%s", error);
    credentials_commit(credentials);
    check_password(credentials, "second");
    credentials_free(credentials);
    directory_remove(directory);
}

Test(credentials, certificates_are_read_again_as_well)
{
    char directory[DIRECTORY_MAX], path[DIRECTORY_MAX + 32], error[512] = "";

    directory_make(directory);
    X509_free(pki_certificate(directory, "authority", NULL, NULL, NULL, NULL));
    snprintf(path, sizeof(path), "%s/authority.pem", directory);
    struct credentials *credentials = credentials_new(
        &(struct credentials_files){.tls = true, .tls_files.authorities = path}, error, sizeof(error));
    cr_assert_not_null(credentials, "%s", error);
    SSL_CTX *first = credentials_context(credentials), *second;
    cr_assert(credentials_read(credentials, error, sizeof(error)));
    credentials_commit(credentials);
    second = credentials_context(credentials);
    cr_assert_neq(first, second);
    SSL_CTX_free(second);
    SSL_CTX_free(first); /* whoever holds one keeps it */
    cr_assert_eq(unlink(path), 0);
    cr_assert_not(credentials_read(credentials, error, sizeof(error)));
    cr_assert_not_null(strstr(error, path), "%s", error);
    credentials_free(credentials);
    cr_assert_null(credentials_new(
        &(struct credentials_files){.tls = true, .tls_files.authorities = path}, error, sizeof(error)));
    directory_remove(directory);
}
