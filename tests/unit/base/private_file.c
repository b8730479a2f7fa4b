/* SPDX-License-Identifier: Apache-2.0 */
/* Files with secrets: what is read, what is refused, and that nothing waits. */
#include "base/private_file.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/mqward-private-XXXXXX";

static void begin(void)
{
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    int file = open("file", O_WRONLY | O_CREAT, 0600);
    cr_assert_eq(write(file, "secret", 6), 6);
    close(file);
    cr_assert_eq(symlink("file", "link"), 0);
    cr_assert_eq(mkfifo("pipe", 0600), 0);
    cr_assert_eq(mkdir("folder", 0700), 0);
}

static void end(void)
{
    unlink("file");
    unlink("link");
    unlink("pipe");
    rmdir("folder");
    rmdir(folder);
}

TestSuite(private_file, .init = begin, .fini = end);

static ssize_t read_mode(mode_t mode, struct private_file_error *error)
{
    char text[16];
    cr_assert_eq(chmod("file", mode), 0);
    return private_file_read("file", text, sizeof(text), error);
}

Test(private_file, the_owner_alone_may_have_rights)
{
    struct private_file_error error;
    cr_expect_eq(read_mode(0600, &error), 6);
    cr_expect_eq(read_mode(0400, &error), 6);
    cr_expect_eq(read_mode(0700, &error), 6);
    for (mode_t bit = 1; bit <= 040; bit <<= 1) {
        char expected[64];
        snprintf(expected, sizeof(expected), "it is open to other users of this machine (mode 6%02o)", bit);
        cr_expect_eq(read_mode(0600 | bit, &error), -1, "mode %03o", 0600 | bit);
        cr_expect_str_eq(error.message, expected);
        cr_expect_str_eq(error.hint, "chmod 600");
        cr_expect_not(error.missing);
    }
}

Test(private_file, a_link_is_followed_and_judged_by_what_it_leads_to)
{
    struct private_file_error error;
    char text[16];
    cr_expect_eq(private_file_read("link", text, sizeof(text), &error), 6);
    cr_expect_arr_eq(text, "secret", 6);
    cr_assert_eq(chmod("file", 0640), 0);
    cr_expect_eq(private_file_read("link", text, sizeof(text), &error), -1);
}

Test(private_file, what_is_no_file_is_refused_at_once, .timeout = 10)
{
    struct private_file_error error;
    char text[16];
    cr_expect_eq(private_file_read("pipe", text, sizeof(text), &error), -1);
    cr_expect_str_eq(error.message, "it is not a regular file");
    cr_expect_eq(private_file_read("folder", text, sizeof(text), &error), -1);
    cr_expect_str_eq(error.message, "it is not a regular file");
    cr_expect_eq(private_file_read("/dev/zero", text, sizeof(text), &error), -1);
    cr_expect_str_eq(error.message, "it is not a regular file");
}

Test(private_file, a_missing_file_is_told_from_others)
{
    struct private_file_error error;
    char text[16], name[5000];
    cr_expect_eq(private_file_read("nowhere", text, sizeof(text), &error), -1);
    cr_expect(error.missing);
    cr_expect_str_eq(error.message, "No such file or directory");
    cr_expect_eq(private_file_read("file/x", text, sizeof(text), &error), -1);
    cr_expect(error.missing);
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    cr_expect_eq(private_file_read(name, text, sizeof(text), &error), -1);
    cr_expect(error.missing);
}

Test(private_file, it_is_all_or_nothing)
{
    struct private_file_error error;
    char text[6];
    cr_expect_eq(private_file_read("file", text, 6, &error), 6);
    cr_expect_eq(private_file_read("file", text, 5, &error), -1);
    cr_expect_str_eq(error.message, "it is larger than 5 bytes");
}
