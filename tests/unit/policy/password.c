/* SPDX-License-Identifier: Apache-2.0 */
/* Password files. Those in tests/vectors/password are as mosquitto_passwd 2.0.11 wrote them:
 *   mosquitto.txt                 -b alice secret; -H sha512 -b bob "hunter 2"; -b carol 'sécret:x$y'; -b
 * "dave d" ''; -H sha512-pbkdf2 -b éva, 300 times p mosquitto-updated.txt         -U of plain:pw1 and
 * other:pw:2, of which -U keeps "pw" mosquitto-updated-sha512.txt  -H sha512 -U of six:pw6
 *   argon2id.txt                  the reference implementation's command, see there */
#include "policy/password.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

/* The share of one check: 512 MiB by two. */
#define CHECK_MEMORY ((uint64_t)256 << 20)
#define FOLDER MQWARD_SOURCE_DIR "/tests/vectors/password/"

static struct password_file *load(const char *path, char **messages, size_t *errors)
{
    struct diag_list *diag = diag_list_new();
    size_t size;
    struct password_file *file = password_file_load(path, CHECK_MEMORY, diag, NULL);
    FILE *out = open_memstream(messages, &size);
    diag_print(diag, out);
    fclose(out);
    *errors = diag_errors(diag);
    diag_list_free(diag);
    return file;
}

static struct password_file *load_text(const char *text, char **messages, size_t *errors)
{
    char path[] = "/tmp/mqward-password-XXXXXX";
    int descriptor = mkstemp(path);
    cr_assert(descriptor >= 0);
    cr_assert_eq(write(descriptor, text, strlen(text)), (ssize_t)strlen(text));
    close(descriptor);
    struct password_file *file = load(path, messages, errors);
    unlink(path);
    return file;
}

static void expect_verify(const char *path, const char *name, const char *password, enum reason reason)
{
    char *messages;
    size_t errors;
    struct password_file *file = load(path, &messages, &errors);
    cr_assert(file != NULL, "%s", messages);
    enum reason found = password_file_verify(file, view_of_string(name), view_of_string(password));
    cr_expect_str_eq(reason_info(found)->name, reason_info(reason)->name, "%s %s", name, password);
    password_file_free(file);
    free(messages);
}

Test(password, files_of_mosquitto_passwd)
{
    char long_password[301] = "";
    memset(long_password, 'p', 300);
    expect_verify(FOLDER "mosquitto.txt", "alice", "secret", REASON_none);
    expect_verify(FOLDER "mosquitto.txt", "alice", "Secret", REASON_password_wrong);
    expect_verify(FOLDER "mosquitto.txt", "alice", "", REASON_password_wrong);
    expect_verify(FOLDER "mosquitto.txt", "bob", "hunter 2", REASON_none);
    expect_verify(FOLDER "mosquitto.txt", "bob", "hunter 2 ", REASON_password_wrong);
    expect_verify(FOLDER "mosquitto.txt", "carol",
        "s\xc3\xa9"
        "cret:x$y",
        REASON_none);
    expect_verify(FOLDER "mosquitto.txt", "dave d", "", REASON_none);
    expect_verify(FOLDER "mosquitto.txt", "\xc3\xa9va", long_password, REASON_none);
    expect_verify(FOLDER "mosquitto.txt", "nobody", "secret", REASON_password_unknown_user);
    expect_verify(FOLDER "mosquitto.txt", "", "", REASON_password_unknown_user);
    expect_verify(FOLDER "mosquitto-updated.txt", "plain", "pw1", REASON_none);
    expect_verify(FOLDER "mosquitto-updated.txt", "other", "pw", REASON_none);
    expect_verify(FOLDER "mosquitto-updated-sha512.txt", "six", "pw6", REASON_none);
}

Test(password, argon2id)
{
    static const char file[] = FOLDER "argon2id.txt";

    expect_verify(file, "erin", "secret", REASON_none);
    expect_verify(file, "erin", "secres", REASON_password_wrong);
    expect_verify(file, "erin", "", REASON_password_wrong);
    expect_verify(file, "fritz", "hunter 2", REASON_none);
    expect_verify(file, "fritz", "hunter 2 ", REASON_password_wrong);
    expect_verify(file, "g\xc3\xa9",
        "s\xc3\xa9"
        "cret:x$y",
        REASON_none);
    expect_verify(file, "hal", "", REASON_none);
    expect_verify(file, "hal", "x", REASON_password_wrong);
    expect_verify(file, "ida", "secret", REASON_none);
    expect_verify(file, "ida", "secret ", REASON_password_wrong);
    expect_verify(file, "nobody", "secret", REASON_password_unknown_user);
}

/* The longest password that CONNECT carries, bytes of zero in it: none may end it early. */
Test(password, argon2id_takes_all_bytes_of_a_password)
{
    char *messages;
    size_t errors;
    struct password_file *file = load(FOLDER "argon2id.txt", &messages, &errors);
    static uint8_t password[65535] = "secret";
    cr_assert(file != NULL, "%s", messages);
    cr_expect_eq(password_file_verify(file, VIEW("erin"), view_of(password, 6)), REASON_none);
    cr_expect_eq(password_file_verify(file, VIEW("erin"), view_of(password, 7)), REASON_password_wrong);
    cr_expect_eq(
        password_file_verify(file, VIEW("erin"), view_of(password, sizeof(password))), REASON_password_wrong);
    password_file_free(file);
    free(messages);
}

static uint64_t tag_of(const char *line, const char *name)
{
    char *messages;
    size_t errors;
    struct password_file *file = load_text(line, &messages, &errors);
    cr_assert(file != NULL, "%s", messages);
    uint64_t tag = password_file_tag(file, view_of_string(name));
    password_file_free(file);
    free(messages);
    return tag;
}

/* A session ends with a reload that changes its hash: by whichever of its parts. */
Test(password, the_tag_changes_with_every_part_of_a_hash)
{
    static const char *const lines[] = {
        "a:$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "a:$argon2id$v=19$m=72,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "a:$argon2id$v=19$m=64,t=2,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "a:$argon2id$v=19$m=64,t=1,p=2$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
        "a:$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHR4$AAAAAAAAAAAAAAAAAAAAAA",
        "a:$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAQ",
        "a:$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAAA",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        cr_expect_neq(tag_of(lines[i], "a"), 0);
        cr_expect_eq(tag_of(lines[i], "a"), tag_of(lines[i], "a"));
        cr_expect_eq(tag_of(lines[i], "b"), 0);
        for (size_t k = 0; k < i; k++)
            cr_expect_neq(tag_of(lines[i], "a"), tag_of(lines[k], "a"), "%s", lines[i]);
    }
}

/* Names of both kinds of hashes in one file are told apart, and unknown ones cost what some known one costs.
 */
Test(password, kinds_may_be_mixed)
{
    char *messages, *six = read_text(FOLDER "mosquitto-updated-sha512.txt"),
                    *argon = read_text(FOLDER "argon2id.txt"), *text;
    size_t errors, size;
    FILE *out = open_memstream(&text, &size);
    fprintf(out, "%s%s", six, argon);
    fclose(out);
    struct password_file *file = load_text(text, &messages, &errors);
    cr_assert(file != NULL, "%s", messages);
    cr_expect_eq(password_file_verify(file, VIEW("six"), VIEW("pw6")), REASON_none);
    cr_expect_eq(password_file_verify(file, VIEW("erin"), VIEW("secret")), REASON_none);
    cr_expect_eq(password_file_verify(file, VIEW("six"), VIEW("secret")), REASON_password_wrong);
    for (int i = 0; i < 20; i++) {
        char name[8];
        snprintf(name, sizeof(name), "no-%d", i);
        cr_expect_eq(
            password_file_verify(file, view_of_string(name), VIEW("secret")), REASON_password_unknown_user);
    }
    password_file_free(file);
    free(messages);
    free(text);
    free(six);
    free(argon);
}

Test(password, a_hash_that_takes_more_than_its_share_of_memory_is_refused)
{
    char *messages;
    size_t errors;
    struct password_file *file =
        load_text("a:$argon2id$v=19$m=262144,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA\n"
                  "b:$argon2id$v=19$m=262145,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA\n",
            &messages, &errors);
    cr_expect_null(file);
    cr_expect_eq(errors, 1);
    cr_expect(
        strstr(messages, ":2:3: error: the check of this hash takes 262145 KiB of memory, more than the "
                         "262144 KiB that it may take") != NULL,
        "%s", messages);
    cr_expect_not_null(strstr(messages, "limits.password_memory"));
    cr_expect_null(strstr(messages, "AAAA"));
    free(messages);
}

Test(password, comments_blank_lines_and_windows_line_ends_are_fine)
{
    char *messages, *lines = read_text(FOLDER "mosquitto-updated-sha512.txt"), text[1024];
    size_t errors;
    cr_assert_not_null(lines);
    lines[strcspn(lines, "\n")] = '\0';
    snprintf(text, sizeof(text), "# users: of the plant\r\n\r\n\n%s\r\n", lines);
    struct password_file *file = load_text(text, &messages, &errors);
    cr_assert(file != NULL, "%s", messages);
    cr_expect_eq(password_file_verify(file, VIEW("six"), VIEW("pw6")), REASON_none);
    cr_expect_str_eq(messages, "");
    password_file_free(file);
    free(messages);
    /* Without an end of the last line. */
    file = load_text(lines, &messages, &errors);
    cr_assert_not_null(file);
    cr_expect_eq(password_file_verify(file, VIEW("six"), VIEW("pw6")), REASON_none);
    password_file_free(file);
    free(messages);
    free(lines);
}

Test(password, an_empty_file_knows_nobody)
{
    char *messages;
    size_t errors;
    struct password_file *file = load_text("", &messages, &errors);
    cr_assert_not_null(file);
    cr_expect_eq(password_file_verify(file, VIEW("a"), VIEW("b")), REASON_password_unknown_user);
    password_file_free(file);
    free(messages);
}

#define HASH "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2Vjcg=="

#define COSTS "m=64,t=1,p=1"
#define SHORT "SECRETSECRETSECRETSECQ" /* 16 bytes */

Test(password, every_bad_line_is_an_error_that_does_not_show_a_hash)
{
    static const struct {
        const char *line, *message;
    } rows[] = {
        {"alice", "expected a colon"},
        {":$6$AAAA$" HASH, "the user name is empty"},
        {"a:", "expected a password hash"},
        {"a:plain-SECRET", "expected a password hash"},
        {"a:$1$SECRETSECRET$" HASH, "this kind of password hash is not supported"},
        {"a:$argon2i$v=19$m=64,t=1,p=1$SECRETSECRE$SECRETSECRETSECRETSECR",
            "this kind of password hash is not supported"},
        {"a:$argon2d$v=19$m=64,t=1,p=1$SECRETSECRE$SECRETSECRETSECRETSECR",
            "this kind of password hash is not supported"},
        {"a:$ARGON2ID$v=19$m=64,t=1,p=1$SECRETSECRE$SECRETSECRETSECRETSECR",
            "this kind of password hash is not supported"},
        {"a:$argon2id", "this kind of password hash is not supported"},
        {"a:$argon2id$", "expected v=19"},
        {"a:$argon2id$v=19", "expected v=19"},
        {"a:$argon2id$v=16$" COSTS "$SECRETSECRE$" SHORT, "expected v=19"},
        {"a:$argon2id$" COSTS "$SECRETSECRE$" SHORT, "expected v=19"},
        {"a:$argon2id$v=19$", "expected m=KiB"},
        {"a:$argon2id$v=19$t=1,m=64,p=1$SECRETSECRE$" SHORT, "expected m=KiB"},
        {"a:$argon2id$v=19$m=64,t=1$SECRETSECRE$" SHORT, "expected m=KiB"},
        {"a:$argon2id$v=19$m=64,t=1,p=1,keyid=x$SECRETSECRE$" SHORT, "expected m=KiB"},
        {"a:$argon2id$v=19$m=64,t=0,p=1$SECRETSECRE$" SHORT, "expected m=KiB"},
        {"a:$argon2id$v=19$m=64,t=1,p=0$SECRETSECRE$" SHORT, "expected m=KiB"},
        {"a:$argon2id$v=19$m=-64,t=1,p=1$SECRETSECRE$" SHORT, "expected m=KiB"},
        {"a:$argon2id$v=19$m=064,t=1,p=1$SECRETSECRE$" SHORT, "expected m=KiB"},
        {"a:$argon2id$v=19$m=18446744073709551680,t=1,p=1$SECRETSECRE$" SHORT, "expected m=KiB"},
        {"a:$argon2id$v=19$m=4294967360,t=1,p=1$SECRETSECRE$" SHORT, "expected m=KiB"},
        {"a:$argon2id$v=19$m=7,t=1,p=1$SECRETSECRE$" SHORT, "less memory than Argon2id needs"},
        {"a:$argon2id$v=19$m=512,t=1,p=65$SECRETSECRE$" SHORT, "more lanes"},
        {"a:$argon2id$v=19$m=4194304,t=1,p=1$SECRETSECRE$" SHORT, "more memory and passes"},
        {"a:$argon2id$v=19$m=4294967295,t=4294967295,p=1$SECRETSECRE$" SHORT, "more memory and passes"},
        {"a:$argon2id$v=19$m=8,t=131073,p=1$SECRETSECRE$" SHORT, "more memory and passes"},
        {"a:$argon2id$v=19$" COSTS, "salt or hash is damaged"},
        {"a:$argon2id$v=19$" COSTS "$SECRETSECRE", "salt or hash is damaged"},
        {"a:$argon2id$v=19$" COSTS "$SECRETSE$" SHORT, "salt or hash is damaged"},
        {"a:$argon2id$v=19$" COSTS "$SECRETSECRE$SECRETSECRETSECRETSE", "salt or hash is damaged"},
        {"a:$argon2id$v=19$" COSTS "$SECRETSECRE$" SHORT "==", "salt or hash is damaged"},
        {"a:$argon2id$v=19$" COSTS "$SECRETSECRE$SECRETSECRETSECRETSECR", "salt or hash is damaged"},
        {"a:$argon2id$v=19$" COSTS "$SECRETSECRE$" SHORT "$x", "salt or hash is damaged"},
        {"a:$argon2id$v=19$" COSTS "$SECRETSECRE$SECRET_ECRETSECRETSECRA", "salt or hash is damaged"},
        {"a:$argon2id$v=19$" COSTS "$SECRETSECRE$" SHORT SHORT SHORT SHORT SHORT, "salt or hash is damaged"},
        {"a:$7$0$SECRET==$" HASH, "iterations is not a positive number"},
        {"a:$7$-1$SECRETSE$" HASH, "iterations is not a positive number"},
        {"a:$7$1000001$SECRETSE$" HASH, "more iterations"},
        {"a:$7$99999999999999999999$SECRETSE$" HASH, "iterations is not a positive number"},
        {"a:$7", "this kind of password hash is not supported"},
        {"a:$7$", "iterations is not a positive number"},
        {"a:$7$101", "salt or hash is damaged"},
        {"a:$6$", "salt or hash is damaged"},
        {"a:$7$101$SECRETSE", "salt or hash is damaged"},
        {"a:$6$SECRETSE", "salt or hash is damaged"},
        {"a:$6$$" HASH, "salt or hash is damaged"},
        {"a:$6$SECRETS$" HASH, "salt or hash is damaged"},
        {"a:$6$SECR TSE$" HASH, "salt or hash is damaged"},
        {"a:$6$SECRETSE$" HASH "$x", "salt or hash is damaged"},
        {"a:$6$SECRETSE$c2VjcmV0", "salt or hash is damaged"},
        {"a:$6$====$" HASH, "salt or hash is damaged"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *messages;
        size_t errors;
        struct password_file *file = load_text(rows[i].line, &messages, &errors);
        cr_expect_null(file, "%s", rows[i].line);
        cr_expect_eq(errors, 1);
        cr_expect(strstr(messages, rows[i].message) != NULL, "%s: %s", rows[i].line, messages);
        cr_expect(strstr(messages, "SECRET") == NULL && strstr(messages, "c2Vj") == NULL, "%s", messages);
        password_file_free(file);
        free(messages);
    }
}

Test(password, all_lines_are_checked_and_duplicates_refused)
{
    char *messages;
    size_t errors;
    struct password_file *file =
        load_text("a:$6$SECRETSE$" HASH "\nb\nb:$6$SECRETSE$" HASH "\na:$7$1$SECRETSE$" HASH "\nc:x\n",
            &messages, &errors);
    cr_expect_null(file);
    cr_expect_eq(errors, 3, "%s", messages);
    cr_expect(strstr(messages, ":4:1: error: user 'a' is already in line 1") != NULL, "%s", messages);
    cr_expect(strstr(messages, ":2:1: ") != NULL && strstr(messages, ":5:3: ") != NULL, "%s", messages);
    free(messages);
}

Test(password, a_file_that_others_can_read_is_a_warning)
{
    char path[] = "/tmp/mqward-password-XXXXXX", *messages;
    size_t errors;
    close(mkstemp(path));
    chmod(path, 0640);
    struct password_file *file = load(path, &messages, &errors);
    unlink(path);
    cr_expect_not_null(file);
    cr_expect(strstr(messages, "open to other users of this machine (mode 640)") != NULL, "%s", messages);
    password_file_free(file);
    free(messages);
}

Test(password, a_missing_file_is_an_error)
{
    char *messages;
    size_t errors;
    cr_expect_null(load("/nonexistent/passwords", &messages, &errors));
    cr_expect_eq(errors, 1);
    free(messages);
}
